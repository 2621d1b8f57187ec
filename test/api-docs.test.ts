// The OpenAPI document and the page, held against programs that know nothing of the contract.
import { createHash } from "node:crypto"
import { Validator } from "@seriousme/openapi-schema-validator"
import { Ajv2020 } from "ajv/dist/2020.js"
import { describe, expect, test, vi } from "vitest"
import * as z from "zod"
import { generateApiKey, hashApiKey } from "../src/api/api-key.ts"
import { OPERATIONS, type Operation, type OperationId } from "../src/api/contract.ts"
import { shapeText } from "../src/api/docs/shape-text.ts"
import { type DescribedOperation, describedPaths, type JsonSchema, openApiDocument } from "../src/api/openapi.ts"
import { ERROR_CODES } from "../src/base/errors.ts"
import { type TestApi, testApi } from "./support/api.ts"
import { runtime } from "./support/runtime.ts"

// What makes them is seen at work.
vi.mock("../src/api/openapi.ts", { spy: true })

interface Document {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, DescribedOperation>>>>
  readonly components: { readonly responses: Readonly<Record<string, { readonly description: string }>> }
}

async function openApi(api: TestApi): Promise<Document> {
  return (await (await api.fetch("/openapi.json")).json()) as Document
}

function described(document: Document): [method: string, path: string, operation: DescribedOperation][] {
  return Object.entries(document.paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => [method.toUpperCase(), path, operation] as const),
  ) as [string, string, DescribedOperation][]
}

describe("/openapi.json", () => {
  test("is valid by the specification's own schema", async () => {
    await using api = await testApi()
    const document = await openApi(api)
    const { valid, errors } = await new Validator().validate(document as unknown as Record<string, unknown>)
    expect(errors).toBe(undefined)
    expect(valid).toBe(true)
    const damaged = structuredClone(document) as { paths: Record<string, unknown> }
    damaged.paths["/health"] = { get: { responses: 7 } }
    expect((await new Validator().validate(damaged as unknown as Record<string, unknown>)).valid).toBe(false)
  })

  test("has every operation with its parameters, bodies, answers and who may ask", async () => {
    await using api = await testApi()
    const operations = described(await openApi(api))
    expect(operations.length).toBe(Object.keys(OPERATIONS).length)
    for (const [method, path, operation] of operations) {
      const declared = OPERATIONS[operation.operationId] as Operation
      expect([method, path]).toEqual([declared.method, declared.path])
      const inPath = operation.parameters.filter(({ in: place }) => place === "path").map(({ name }) => name)
      expect(inPath).toEqual([...path.matchAll(/\{(\w+)\}/g)].map(([, name]) => name))
      const inQuery = operation.parameters.filter(({ in: place }) => place === "query").map(({ name }) => name)
      expect(inQuery).toEqual(Object.keys(declared.query?.shape ?? {}))
      expect(operation.security.length > 0).toBe(declared.permission !== "public")
      expect(operation.requestBody !== undefined).toBe(declared.body !== undefined)
      expect(operation.responses).toHaveProperty([String(declared.status)])
      expect(operation.responses).toHaveProperty("default")
    }
  })

  test("names every code that an error may have", async () => {
    await using api = await testApi()
    const { components } = await openApi(api)
    const named = Object.values(components.responses).flatMap(
      ({ description }) => description.match(/[A-Z_]{4,}/g) ?? [],
    )
    const codes = Object.entries(ERROR_CODES).flatMap(([code, { status }]) => (status >= 400 ? [code] : []))
    expect(named.sort()).toEqual([...codes, "INTERNAL"].sort())
  })

  test("its shapes of bodies take and refuse what the validation of requests takes and refuses", async () => {
    await using api = await testApi()
    const ajv = new Ajv2020({ strict: false })
    let tried = 0
    for (const [, , { operationId, requestBody }] of described(await openApi(api))) {
      const { body, example } = OPERATIONS[operationId] as Operation
      if (!(body instanceof z.ZodType)) continue
      const validate = ajv.compile(requestBody!.content["application/json"]!.schema as object)
      const good = (example ?? {}) as Record<string, unknown>
      const values = [
        good,
        {},
        [],
        null,
        { ...good, nothing: 1 },
        { ...good, collection: "a/b" },
        { ...good, wait: "no" },
      ]
      for (const key of Object.keys(good)) values.push({ ...good, [key]: { wrong: true } })
      for (const value of values) {
        const of = `${operationId} ${JSON.stringify(value)}`
        expect([of, validate(value)]).toEqual([of, body.safeParse(value).success])
        tried++
      }
    }
    expect(tried).toBeGreaterThan(50)
  })
})

describe("/docs", () => {
  test("loads nothing from elsewhere, and its policy allows its own style and script alone", async () => {
    await using api = await testApi()
    const answer = await api.fetch("/docs")
    const html = await answer.text()
    expect(answer.headers.get("content-type")).toBe("text/html; charset=utf-8")
    expect(html).not.toMatch(/\b(src|srcset)="|@import|url\(/)
    const links = [...html.replace(/<script>[^]*<\/script>/, "").matchAll(/href="([^"]*)"/g)].map(([, href]) => href)
    expect(links.filter((href) => !/^(#\w+|\/openapi\.json|data:,)$/.test(href!))).toEqual([])
    const policy = answer.headers.get("content-security-policy")!
    expect(policy).toContain("default-src 'none'")
    expect(policy).not.toContain("unsafe")
    const hash = (text: string) => `'sha256-${createHash("sha256").update(text).digest("base64")}'`
    const styles = [...html.matchAll(/<style>([^]*?)<\/style>/g)].map(([, text]) => hash(text!))
    const scripts = [...html.matchAll(/<script>([^]*?)<\/script>/g)].map(([, text]) => hash(text!))
    expect([styles.length, scripts.length]).toEqual([1, 1])
    expect(policy).toContain(`style-src ${styles[0]};`)
    expect(policy).toContain(`script-src ${scripts[0]};`)
    expect(html).not.toMatch(/ (on\w+|style)="/)
  })

  test("has every operation, and each link leads to one", async () => {
    await using api = await testApi()
    const html = await (await api.fetch("/docs")).text()
    const ids = [...html.matchAll(/<article id="(\w+)"/g)].map(([, id = ""]) => id)
    expect(ids.sort()).toEqual(Object.keys(OPERATIONS).sort())
    for (const [, target] of html.matchAll(/href="#(\w+)"/g)) expect(ids).toContain(target)
  })

  test("and the document are made once, and tell nothing of who asked for which host", async () => {
    const key = { name: "a", hash: "00".repeat(32), roles: [{ permissions: ["read"] as const, collections: "*" }] }
    await using api = await testApi({ apiKeys: [key] })
    for (const path of ["/docs", "/openapi.json"]) {
      const first = await (await api.fetch(path)).text()
      vi.clearAllMocks()
      expect(await (await api.fetch(`http://a'b.example${path}`)).text()).toBe(first)
      expect(describedPaths).not.toHaveBeenCalled()
      expect(openApiDocument).not.toHaveBeenCalled()
    }
  })
})

/** The commands of the page, as a shell would read them. */
async function curlCommands(
  api: TestApi,
): Promise<Map<OperationId, { method: string; url: string; init: RequestInit }>> {
  const html = await (await api.fetch("/docs")).text()
  const commands = new Map<OperationId, { method: string; url: string; init: RequestInit }>()
  for (const [, id, block = ""] of html.matchAll(/<article id="(\w+)"[^]*?<pre class="curl">(curl [^]*?)<\/pre>/g)) {
    const text = block
      .replaceAll("&quot;", '"')
      .replaceAll("&#39;", "'")
      .replaceAll("&lt;", "<")
      .replaceAll("&amp;", "&")
    const words = [...text.replaceAll("\\\n", " ").matchAll(/'([^']*)'|"([^"]*)"|(\S+)/g)].map(
      (of) => of[1] ?? of[2] ?? of[3]!,
    )
    const after = (flag: string) => words.flatMap((word, i) => (word === flag ? [words[i + 1]!] : []))
    const headers = after("-H").map((header) => header.split(/: (.*)/s).slice(0, 2) as [string, string])
    const [data] = after("-d")
    const method = after("-X")[0] ?? "GET"
    commands.set(id as OperationId, {
      method,
      url: words.find((word) => word.startsWith("http"))!,
      init: { method, headers, ...(data !== undefined && { body: data }) },
    })
  }
  return commands
}

test("the page's commands work, one after another", async () => {
  await using api = await testApi()
  const commands = await curlCommands(api)
  expect(commands.size).toBe(Object.keys(OPERATIONS).length)
  const run = async (id: OperationId) => {
    const { url, init } = commands.get(id)!
    return await api.fetch(url, init)
  }
  const inMemory = (Object.entries(OPERATIONS) as [OperationId, Operation][]).filter(
    ([id, { tag }]) =>
      ["Collections", "Documents", "Search", "Graph", "Server"].includes(tag) && !id.startsWith("delete"),
  )
  const last = ["deleteEdges", "deleteNode", "deleteDocument", "deleteCollection"] as const
  for (const id of ["createCollection", "addDocuments", ...inMemory.map(([id]) => id), ...last] as OperationId[]) {
    if (id === "createCollection" && (await api.prism.collectionNames()).length > 0) continue
    const response = await run(id)
    expect([id, response.status]).toEqual([id, (OPERATIONS[id] as Operation).status])
    if (id === "search") expect(await response.json()).toMatchObject({ total: 1, results: [{ id: "p1" }] })
    else await response.body?.cancel()
  }
  // Those of archives are well formed; a server without files refuses them for that alone.
  for (const [id, { tag, long }] of Object.entries(OPERATIONS) as [OperationId, Operation][]) {
    if (tag !== "Archives" || !long) continue
    expect([id, [403, 404]]).toEqual([id, expect.arrayContaining([(await run(id)).status])])
  }
})

test("where keys are needed, the commands carry one", async () => {
  const key = generateApiKey()
  const hash = hashApiKey(key, runtime.createSha256)
  await using api = await testApi({
    apiKeys: [{ name: "a", hash, roles: [{ permissions: ["admin"], collections: "*" }] }],
  })
  const commands = await curlCommands(api)
  for (const [id, { init }] of commands) {
    const carries = JSON.stringify(init.headers).includes("Bearer $PRISM_API_KEY")
    expect([id, carries]).toEqual([id, (OPERATIONS[id] as Operation).permission !== "public"])
  }
})

test("a shape is written as people write it", () => {
  const schema: JsonSchema = {
    type: "object",
    properties: {
      id: { type: "string", description: "What it is" },
      kind: { enum: ["a", "b"], default: "a" },
      many: { type: "array", items: { anyOf: [{ type: "number", minimum: 0, maximum: 9 }, { type: "null" }] } },
      inner: { type: "object", properties: { n: { type: "integer", minimum: 0, maximum: 9 } }, required: ["n"] },
      rest: { type: "object", additionalProperties: {} },
    },
    required: ["id", "inner"],
  }
  expect(shapeText(schema)).toBe(`{
  id: string  // What it is
  kind?: "a" | "b"  // default "a"
  many?: (number | null)[]
  inner: {
    n: integer  // 0 to 9
  }
  rest?: { … }
}`)
})
