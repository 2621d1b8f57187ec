// Requests that nobody would send, made of what /openapi.json says, and what must hold of each answer.
import { Ajv2020, type ValidateFunction } from "ajv/dist/2020.js"
import fc from "fast-check"
import type { OperationId } from "../../src/api/contract.ts"
import type { DescribedOperation, JsonSchema } from "../../src/api/openapi.ts"
import { ERROR_CODES } from "../../src/base/errors.ts"
import { type TestApi, testApi } from "./api.ts"

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>
  readonly components: object
}

interface Target {
  readonly method: string
  readonly path: string
  readonly operation: DescribedOperation
}

interface Shot {
  readonly operationId: OperationId
  readonly url: string
  readonly init: RequestInit
}

const COLLECTIONS = ["texts", "vectors", "graphs", "empty"] as const

/** Strings that have hurt somebody. */
const hostileText = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom(...COLLECTIONS, "p1", "p2", "title", "cites", "x", "-", "*") },
  fc.string({ unit: "binary", maxLength: 30 }),
  fc.string({ maxLength: 30 }),
  fc.constantFrom(
    "",
    "..",
    "../../etc/passwd",
    "%2e%2e%2f",
    "a/b",
    "a%00b",
    "\u0000",
    "\ud800",
    "\u202e\ufeff",
    "__proto__",
    "constructor",
    "toString",
    "a".repeat(5000),
    "é".repeat(300),
    "title:[1 TO",
    "((((((((((",
    "title:/(a+)+$/",
    "*:*",
    "a~999999",
    '"a b"~99999999999',
    "a^1e999",
    "NOT NOT NOT a",
    "\\",
    "'; DROP TABLE--",
  ),
)

const hostileNumber = fc.oneof(
  fc.integer({ min: -5, max: 20 }),
  fc.double(),
  fc.constantFrom(0, -0, -1, 1e308, 5e-324, 2 ** 31, 2 ** 32, 2 ** 53, -(2 ** 53) - 2, 0.1, 65_537, 10_001),
)

const hostileValue: fc.Arbitrary<unknown> = fc.oneof(
  { weight: 2, arbitrary: hostileText },
  { weight: 2, arbitrary: hostileNumber },
  fc.constantFrom(null, true, false, [], {}),
  fc.array(hostileNumber, { maxLength: 5 }),
  fc.dictionary(hostileText, fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
  fc.integer({ min: 1, max: 100 }).map((depth) => nested(depth)),
)

function nested(depth: number): unknown {
  let value: unknown = 1
  for (let i = 0; i < depth; i++) value = i % 2 === 0 ? [value] : { a: value }
  return value
}

/** A value of a shape, one time in a few a wrong one, with members missing or too many. */
function valueOf(schema: JsonSchema, spite: number): fc.Arbitrary<unknown> {
  const good = goodValueOf(schema, spite)
  return fc.integer({ min: 0, max: 99 }).chain((roll) => (roll < spite ? hostileValue : good))
}

function goodValueOf(schema: JsonSchema, spite: number): fc.Arbitrary<unknown> {
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum) return fc.constantFrom(...schema.enum)
  if (schema.anyOf) return fc.oneof(...schema.anyOf.map((one) => valueOf(one, spite)))
  if (schema.pattern?.includes("A-Za-z0-9")) return fc.constantFrom(...COLLECTIONS, "none")
  switch (schema.type) {
    case "object": {
      const { properties = {}, required = [], additionalProperties } = schema
      const members = Object.fromEntries(
        Object.entries(properties).map(([name, member]) => [name, valueOf(member, spite)]),
      )
      const record = fc.record(members, { requiredKeys: required as string[] })
      const isOpen = additionalProperties !== undefined && additionalProperties !== false
      const more = fc.dictionary(fc.oneof(fc.constantFrom("title", "embedding", "price"), hostileText), hostileValue, {
        maxKeys: 3,
      })
      const added = fc.integer({ min: 0, max: 99 }).chain((roll) => (isOpen || roll < spite ? more : fc.constant({})))
      return fc.tuple(record, added).map(([own, extra]) => ({ ...extra, ...own }))
    }
    case "array":
      return fc.array(valueOf(schema.items ?? {}, spite), { maxLength: 4 })
    case "integer":
      return fc.integer({ min: schema.minimum ?? 0, max: Math.min(schema.maximum ?? 20, 20) })
    case "number":
      return fc.double({ min: schema.minimum ?? -2, max: 2, noNaN: true })
    case "boolean":
      return fc.boolean()
    case "string":
      return hostileText
    default:
      return hostileValue
  }
}

/** What a client may write for a value: JSON, or nearly. */
const textOf = (value: unknown): fc.Arbitrary<string> => {
  const text = JSON.stringify(value) ?? ""
  return fc.oneof(
    { weight: 12, arbitrary: fc.constant(text) },
    fc.nat({ max: text.length }).map((cut) => text.slice(0, cut)),
    fc.constantFrom(
      `\ufeff${text}`,
      `${text}${text}`,
      ` \n\t${text}\r\n`,
      text.replaceAll(":", "="),
      text.replaceAll('"', "'"),
    ),
    fc.constantFrom("NaN", "1e999", "123456789012345678901234567890", '{"a":1,"a":2}', '"\\ud800"', "[".repeat(10_000)),
  )
}

const encoder = new TextEncoder()

function bodyOf({ operation }: Target): fc.Arbitrary<RequestInit> {
  const contents = Object.entries(operation.requestBody?.content ?? {})
  const anyType = fc.constantFrom(
    "application/json",
    "text/plain",
    "application/x-ndjson",
    "",
    "application/json; charset=utf-16",
  )
  const typed = (bytes: Uint8Array, type: string): RequestInit => ({
    body: bytes as Uint8Array<ArrayBuffer>,
    ...(type !== "" && { headers: { "content-type": type } }),
  })
  const none = fc.constant<RequestInit>({})
  if (contents.length === 0) {
    return fc.oneof(
      { weight: 6, arbitrary: none },
      fc.tuple(hostileValue.chain(textOf), anyType).map(([text, type]) => typed(encoder.encode(text), type)),
    )
  }
  const declared = fc.constantFrom(...contents).chain(([type, { schema, example }]) => {
    const values = fc.oneof(valueOf(schema, 10), valueOf(schema, 0), fc.constant(example ?? {}))
    if (!type.includes("json")) return fc.tuple(fc.uint8Array({ maxLength: 200 }), fc.constant(type))
    if (type === "application/json") {
      return fc.tuple(
        values.chain(textOf).map((text) => encoder.encode(text)),
        fc.constant(type),
      )
    }
    const lines = fc.array(valueOf({ type: "object", additionalProperties: true }, 10).chain(textOf), { maxLength: 4 })
    return fc.tuple(
      lines.map((all) => encoder.encode(all.join("\n"))),
      fc.constant(type),
    )
  })
  return fc.oneof(
    { weight: 8, arbitrary: declared.map(([bytes, type]) => typed(bytes, type)) },
    { weight: 1, arbitrary: none },
    {
      weight: 1,
      arbitrary: fc.tuple(fc.uint8Array({ maxLength: 50 }), anyType).map(([bytes, type]) => typed(bytes, type)),
    },
  )
}

/** Anything that a URL takes; most of it percent-encoded, some as it is. */
const pathSegment = fc.oneof(
  { weight: 5, arbitrary: fc.constantFrom(...COLLECTIONS, "p1", "p2").map(encodeURIComponent) },
  hostileText.map((text) => encodeURIComponent(text.replace(/[\ud800-\udfff]/g, "?"))),
  fc.constantFrom("%", "%zz", "%c3%28", "%00", "..%2f..", ";a=b", ",", "%ff%fe"),
)

function shotAt(target: Target): fc.Arbitrary<Shot> {
  const { operation, path, method } = target
  const names = [...path.matchAll(/\{(\w+)\}/g)].map(([braces]) => braces)
  const segments = fc.tuple(...names.map(() => pathSegment))
  const queryParameters = operation.parameters.filter(({ in: place }) => place === "query")
  const query = fc.record(
    Object.fromEntries(queryParameters.map(({ name, schema }) => [name, valueOf(schema, 20).map(plainText)])),
    { requiredKeys: [] },
  )
  const more = fc.oneof(
    { weight: 8, arbitrary: fc.constant({}) },
    fc.dictionary(hostileText, hostileText, { maxKeys: 2 }),
  )
  const headers = fc.record(
    Object.fromEntries(
      operation.parameters
        .filter(({ in: place }) => place === "header")
        .map(({ name }) => [name, fc.base64String({ maxLength: 64 })]),
    ),
    { requiredKeys: [] },
  )
  const body = method === "GET" ? fc.constant<RequestInit>({}) : bodyOf(target)
  return fc.tuple(segments, query, more, headers, body).map(([values, asked, extra, sent, init]) => {
    let filled = path
    for (const [i, name] of names.entries()) filled = filled.replace(name, () => values[i] as string)
    const search = new URLSearchParams({ ...asked, ...extra } as Record<string, string>).toString()
    return {
      operationId: operation.operationId,
      url: search === "" ? filled : `${filled}?${search}`,
      init: {
        ...init,
        method,
        headers: { ...(init.headers as Record<string, string>), ...(sent as Record<string, string>) },
      },
    }
  })
}

export interface FuzzReport {
  requests: number
  readonly byOperation: Record<string, Record<number, number>>
}

/** A server in memory with a few collections. */
export async function fuzzApi(): Promise<TestApi> {
  const api = await testApi({ limits: { bodyBytes: 100_000, requestsPerSecond: 0 } })
  await refill(api)
  return api
}

/** Shots make and delete collections; what they aim at comes back. */
async function refill(api: TestApi): Promise<void> {
  const there = new Set(await api.prism.collectionNames())
  for (const name of there) {
    if (!(COLLECTIONS as readonly string[]).includes(name)) await api.prism.deleteCollection(name)
  }
  const text = {
    fields: [
      { name: "title", type: "text", stored: true, indexed: true },
      { name: "price", type: "f64", stored: true, indexed: true },
    ],
  } as const
  const graph = { edges: [{ edge_type: "cites", to_field: "cites" }] } as const
  const vector = { embedding_field: "embedding", dimension: 3, distance: "cosine" } as const
  for (const name of COLLECTIONS) {
    if (there.has(name)) continue
    const backends = { text, ...(name === "vectors" && { vector }), ...(name === "graphs" && { graph }) }
    const collection = await api.prism.createCollection<string>(name, JSON.stringify({ backends }))
    if (name === "empty") continue
    await collection.add([
      { id: "p1", title: "a wireless x", price: 1, ...(name === "vectors" && { embedding: [1, 0, 0] }), cites: ["p2"] },
      { id: "p2", title: "b wired", price: 2, ...(name === "vectors" && { embedding: [0, 1, 0] }) },
    ] as never)
  }
}

/** Sends `runs` requests of this seed, and rejects with the first whose answer breaks a promise: never a 500, never no
 *  answer, the declared shape and status, an error in the shape of errors, a code with its own status. */
export async function fuzz(api: TestApi, seed: number, runs: number): Promise<FuzzReport> {
  const document = (await (await api.fetch("/openapi.json")).json()) as Document
  const targets = Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]): Target => ({ method: method.toUpperCase(), path, operation })),
  )
  const operations = new Map(targets.map(({ operation }) => [operation.operationId, operation]))
  const check = checker(document, operations)
  const report: FuzzReport = { requests: 0, byOperation: {} }
  const shots = fc.constantFrom(...targets).chain(shotAt)
  await fc.assert(
    fc.asyncProperty(shots, async ({ operationId: of, url, init }) => {
      // A URL that names a key is refused before anything else; that has tests of its own.
      const response = await api.fetch(url, init)
      const text = await response.text()
      report.requests++
      const counts = (report.byOperation[of] ??= {})
      counts[response.status] = (counts[response.status] ?? 0) + 1
      check(of, response, text)
      if (api.failures.length > 0) throw new Error("the server told of a failure", { cause: api.failures[0] })
      if (api.metrics.inFlight !== 0 || api.clock.timers !== 0) throw new Error("something of the request is left")
      if (/Collection|attach|upload/i.test(of)) await refill(api)
    }),
    { seed, numRuns: runs, endOnFailure: false },
  )
  return report
}

function checker(
  document: Document,
  operations: ReadonlyMap<OperationId, DescribedOperation>,
): (operationId: OperationId, response: Response, text: string) => void {
  const ajv = new Ajv2020({ strict: false, validateFormats: false })
  ajv.addSchema(strict({ components: document.components }) as object, "openapi")
  const validators = new Map<string, ValidateFunction>()
  const validatorOf = (id: string, schema: JsonSchema) => {
    const found = validators.get(id) ?? ajv.compile(resolved(strict(schema)) as object)
    validators.set(id, found)
    return found
  }
  return (operationId, response, text) => {
    const { status } = response
    const { responses } = operations.get(operationId)!
    const fail = (what: string): never => {
      throw new Error(`${operationId}: ${what}: ${status} ${text.slice(0, 500)}`)
    }
    if (!response.headers.has("x-request-id")) fail("no request id")
    if (status >= 500 && status !== 503 && status !== 501) fail("a failure of the server")
    const declared =
      responses[status] ?? (status >= 400 ? responses["default"] : undefined) ?? fail("an undeclared status")
    const content = "content" in declared ? declared.content : errorContent
    const mediaType = response.headers.get("content-type")!
    if (status < 400 && !Object.keys(content).some((type) => mediaType.startsWith(type)))
      fail(`an undeclared ${mediaType}`)
    if (!mediaType.startsWith("application/json")) return
    const value = JSON.parse(text) as { error?: { code: keyof typeof ERROR_CODES } }
    const { schema } = content["application/json"] as { schema: JsonSchema }
    const validate = validatorOf("$ref" in schema ? schema.$ref! : `${operationId} ${status}`, schema)
    if (!validate(value)) fail(`not the declared shape (${ajv.errorsText(validate.errors)})`)
    // Where each of many was refused, the error is the first one's.
    if (status === 422 && "errors" in value) return
    if (status >= 400 && ERROR_CODES[value.error!.code]?.status !== status) fail("a code with another status")
  }
}

const ERROR: JsonSchema = { $ref: "#/components/schemas/Error" }
const errorContent = { "application/json": { schema: ERROR } }

/** References lead to the document's components. */
function resolved(schema: unknown): unknown {
  return JSON.parse(JSON.stringify(schema).replaceAll('"#/components/', '"openapi#/components/'))
}

/** The same shapes, in which an object has no member but those that are declared. */
function strict(schema: unknown): unknown {
  if (Array.isArray(schema)) return schema.map(strict)
  if (typeof schema !== "object" || schema === null) return schema
  const members = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, strict(value)]))
  return "properties" in members && !("additionalProperties" in members) && members["type"] === "object"
    ? { ...members, additionalProperties: false }
    : members
}

function plainText(value: unknown): string {
  return typeof value === "string" ? value : (JSON.stringify(value) ?? "")
}
