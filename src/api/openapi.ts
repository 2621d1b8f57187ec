// The contract as an OpenAPI 3.1 document (https://spec.openapis.org/oas/v3.1.1).
import * as z from "zod"
import { ERROR_CODES } from "../base/errors.ts"
import { VERSION } from "../base/version.ts"
import { accepted, errorAnswer, OPERATIONS, type Operation, type OperationId, type RawBody } from "./contract.ts"
import { RAW_BODY_TYPES } from "./request-body.ts"

/** JSON Schema of draft 2020-12, as far as the contract needs it. */
export interface JsonSchema {
  readonly type?: string
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly default?: unknown
  readonly format?: string
  readonly pattern?: string
  readonly minimum?: number
  readonly maximum?: number
  readonly properties?: Readonly<Record<string, JsonSchema>>
  readonly required?: readonly string[]
  readonly additionalProperties?: boolean | JsonSchema
  readonly items?: JsonSchema
  readonly anyOf?: readonly JsonSchema[]
  readonly $ref?: string
}

interface Parameter {
  readonly name: string
  readonly in: "path" | "query" | "header"
  readonly required: boolean
  readonly description?: string
  readonly schema: JsonSchema
}

interface Content {
  readonly [mediaType: string]: { readonly schema: JsonSchema; readonly example?: unknown }
}

interface Reference {
  readonly $ref: string
}

interface Answer {
  readonly description: string
  readonly content: Content
}

export interface DescribedOperation {
  readonly operationId: OperationId
  readonly tags: readonly Operation["tag"][]
  readonly summary: string
  readonly description: string
  readonly parameters: readonly Parameter[]
  readonly requestBody?: { readonly required: boolean; readonly content: Content }
  readonly responses: Readonly<Record<string, Answer | Reference>>
  readonly security: readonly Readonly<Record<string, readonly string[]>>[]
}

/** In the order in which people read them. */
export const TAGS: Readonly<Record<Operation["tag"], string>> = {
  Collections: "What there is, and how each is set up",
  Documents: "In and out of a collection",
  Search: "By text, by vector, or by both",
  Graph: "Nodes, edges and the ways between them",
  Archives: "Export, import, detach and attach",
  Jobs: "Long work that goes on by itself",
  Server: "Health and figures of the server itself",
}

const JSON_TYPE = "application/json"
const ERROR: JsonSchema = { $ref: "#/components/schemas/Error" }

const BINARY: JsonSchema = { type: "string", format: "binary" }
const DOCUMENT: JsonSchema = {
  type: "object",
  properties: { id: { type: "string", description: "1 to 512 bytes" } },
  required: ["id"],
  additionalProperties: true,
}

/** Bodies that no shape checks, by media type. What is in none of these types is lines, each a document. */
const RAW_BODIES: Readonly<Record<RawBody, (mediaType: string) => JsonSchema>> = {
  documents: (mediaType) => {
    if (mediaType !== JSON_TYPE) return { type: "string", description: "A document a line" }
    const list: JsonSchema = { type: "array", items: DOCUMENT }
    return { anyOf: [list, { type: "object", properties: { documents: list }, required: ["documents"] }] }
  },
  schema: (mediaType) => (mediaType === JSON_TYPE ? { type: "object" } : { type: "string" }),
  archive: () => BINARY,
}

/** Paths, each with its methods in lowercase. */
export function describedPaths(): Record<string, Record<string, DescribedOperation>> {
  const paths: Record<string, Record<string, DescribedOperation>> = {}
  for (const [id, operation] of Object.entries(OPERATIONS) as [OperationId, Operation][]) {
    const path = (paths[operation.path] ??= {})
    path[operation.method.toLowerCase()] = describe(id, operation)
  }
  return paths
}

export function openApiDocument(): Record<string, unknown> {
  return {
    openapi: "3.1.1",
    info: {
      title: "Prism",
      version: VERSION,
      description:
        "Hybrid search over HTTP. JSON in and out; long integers are exact. Every answer has an X-Request-Id, the request's own " +
        "where it has a sane one. Every error is `{error: {code, message, hint?}}` with a true status.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    servers: [{ url: "/" }],
    tags: Object.entries(TAGS).map(([name, description]) => ({ name, description })),
    paths: describedPaths(),
    components: {
      schemas: { Error: schemaOf(errorAnswer), Job: schemaOf(accepted) },
      responses: Object.fromEntries(errorStatuses().map((status) => [`Error${status}`, errorResponse(status)])),
      securitySchemes: {
        bearer: { type: "http", scheme: "bearer", description: "An API key of the server's prism.toml" },
        apiKey: {
          type: "apiKey",
          in: "header",
          name: "X-API-Key",
          description: "The same key, in a header of its own",
        },
      },
    },
  }
}

function describe(id: OperationId, operation: Operation): DescribedOperation {
  const { tag, summary, permission } = operation
  const requestBody = requestBodyOf(operation)
  return {
    operationId: id,
    tags: [tag],
    summary,
    description: [operation.description, permissionText(operation)].filter(Boolean).join(" "),
    parameters: parametersOf(operation),
    ...(requestBody && { requestBody }),
    responses: responsesOf(operation),
    security: permission === "public" ? [] : [{ bearer: [] }, { apiKey: [] }],
  }
}

function permissionText({ permission, scope }: Operation): string {
  if (permission === "public") return "Anybody may ask."
  if (scope === "own") return `Needs \`${permission}\` on all collections, but for what was begun with the same key.`
  const where =
    scope === undefined
      ? "on all collections"
      : scope === "answer"
        ? "on some collection; the answer tells of those alone"
        : scope === "path"
          ? "on the collection"
          : `on what \`${scope.body}\` names`
  return `Needs \`${permission}\` ${where}.`
}

function parametersOf({ path, query, headers, body }: Operation): Parameter[] {
  const inPath = [...path.matchAll(/\{(\w+)\}/g)].map(([, name]): Parameter => {
    const isCollection = name === "collection"
    const pattern = `^${body === "archive" ? "(-|" : "("}[A-Za-z0-9][A-Za-z0-9_-]{0,127})$`
    return {
      name: name as string,
      in: "path",
      required: true,
      schema: { type: "string", ...(isCollection && { pattern }) },
    }
  })
  return [...inPath, ...namedParameters(query, "query"), ...namedParameters(headers, "header")]
}

function namedParameters(shape: z.ZodObject | undefined, place: "query" | "header"): Parameter[] {
  if (shape === undefined) return []
  const { required = [] } = schemaOf(shape)
  // What it is parsed to says more than text: "true" and "false" stand for a boolean.
  const { properties = {} } = z.toJSONSchema(shape, { io: "output" }) as JsonSchema
  return Object.entries(properties).map(([name, { description, ...schema }]) => ({
    name,
    in: place,
    required: required.includes(name),
    ...(description !== undefined && { description }),
    schema,
  }))
}

function requestBodyOf({ body, example }: Operation): DescribedOperation["requestBody"] {
  if (body === undefined) return undefined
  const withExample = example === undefined ? {} : { example }
  if (typeof body !== "string") {
    const isRequired = !body.safeParse({}).success
    return { required: isRequired, content: { [JSON_TYPE]: { schema: schemaOf(body), ...withExample } } }
  }
  const content = RAW_BODY_TYPES[body].map((mediaType) => {
    const schema = RAW_BODIES[body](mediaType)
    return [mediaType, { schema, ...(mediaType === JSON_TYPE && withExample) }] as const
  })
  return { required: true, content: Object.fromEntries(content) }
}

function responsesOf(operation: Operation): Record<string, Answer | Reference> {
  const { status, answer, long, body, path, permission, method, eachByItself } = operation
  const content: Content =
    "mediaType" in answer
      ? { [answer.mediaType]: { schema: /json|text/.test(answer.mediaType) ? { type: "string" } : BINARY } }
      : { [JSON_TYPE]: { schema: schemaOf(answer) } }
  const job: Answer = {
    description: "With `wait: false`: a job that goes on",
    content: { [JSON_TYPE]: { schema: { $ref: "#/components/schemas/Job" } } },
  }
  const isAbout = path.includes("{") || (operation.scope !== undefined && operation.scope !== "own")
  const errors = new Set([400, 431, 500, 503])
  if (permission !== "public") for (const more of [401, 403, 429]) errors.add(more)
  if (isAbout) for (const more of [404, 409]) errors.add(more)
  if (method !== "GET") for (const more of [408, 413, 415, 422, 507]) errors.add(more)
  if (body === undefined) errors.delete(413)
  return {
    [status]: { description: operation.summary, content },
    ...(long && { 202: job }),
    ...Object.fromEntries(
      [...errors].sort((a, b) => a - b).map((error) => [error, { $ref: `#/components/responses/Error${error}` }]),
    ),
    ...(eachByItself && { 422: allRefused(schemaOf(answer as z.ZodType)) }),
    default: { description: "Any other error", content: { [JSON_TYPE]: { schema: ERROR } } },
  }
}

function allRefused({ properties, required = [], ...rest }: JsonSchema): Answer {
  const error: JsonSchema = { $ref: "#/components/schemas/Error/properties/error" }
  const listed: JsonSchema = { ...rest, properties: { ...properties, error }, required: [...required, "error"] }
  return {
    description: "Every one was refused, and is listed; or the request as a whole was",
    content: { [JSON_TYPE]: { schema: { anyOf: [listed, ERROR] } } },
  }
}

function errorStatuses(): number[] {
  const statuses = new Set(Object.values(ERROR_CODES).map(({ status }): number => status))
  return [...statuses].filter((status) => status >= 400).sort((a, b) => a - b)
}

function errorResponse(status: number): Answer {
  const codes = Object.entries(ERROR_CODES).flatMap(([code, of]) => (of.status === status ? [`\`${code}\``] : []))
  if (status === 500) codes.push("`INTERNAL`")
  return { description: codes.join(", "), content: { [JSON_TYPE]: { schema: ERROR } } }
}

function schemaOf(shape: z.ZodType): JsonSchema {
  const { $schema: _, ...schema } = z.toJSONSchema(shape, { io: "input" })
  return schema as JsonSchema
}
