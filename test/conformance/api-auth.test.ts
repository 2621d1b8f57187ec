// Keys, roles and what stands between a route and who asks for it.
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { generateApiKey, hashApiKey } from "../../src/api/api-key.ts"
import { matchesPattern } from "../../src/api/caller.ts"
import type { ApiKey, Role } from "../../src/api/config.ts"
import { OPERATIONS, type Operation } from "../../src/api/contract.ts"
import { refusedWith, testApi } from "../support/api.ts"
import { runtime } from "../support/runtime.ts"

const ADMIN = generateApiKey()
const LOGS_READER = generateApiKey()
const LOGS_ADMIN = generateApiKey()
const LOCAL = generateApiKey()

const keyed = (name: string, key: string, ...roles: Role[]): ApiKey => ({
  name,
  hash: hashApiKey(key, runtime.createSha256),
  roles,
})

const apiKeys = [
  keyed("root", ADMIN, { permissions: ["admin"], collections: "*" }),
  keyed("reader", LOGS_READER, { permissions: ["read"], collections: "logs-*" }),
  keyed("owner", LOGS_ADMIN, { permissions: ["admin"], collections: "logs-*" }),
]

const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

async function keyedApi() {
  const api = await testApi({ apiKeys, service: { localToken: LOCAL } })
  for (const name of ["logs-a", "logs-b", "books"]) {
    const schema = { backends: { text: { fields: [{ name: "title", type: "text", stored: true, indexed: true }] } } }
    expect((await api.send("PUT", `/collections/${name}`, schema, bearer(ADMIN))).status).toBe(201)
  }
  api.audited.length = 0
  return api
}

describe("keys", () => {
  test("are 256 random bits with a prefix, of which a server knows the SHA-256", () => {
    const keys = Array.from({ length: 100 }, generateApiKey)
    for (const key of keys) expect(key).toMatch(/^prism_[A-Za-z0-9_-]{43}$/)
    expect(new Set(keys).size).toBe(100)
    // echo -n prism_test | sha256sum
    expect(hashApiKey("prism_test", runtime.createSha256)).toBe(
      "b9f6102d82513ea5eceef27ac3cf489d7a34118b33adba65497c20ccbd4b48cb",
    )
  })

  test("are taken as bearer tokens and as X-API-Key", async () => {
    await using api = await keyedApi()
    const path = "/collections/logs-a/schema"
    for (const headers of [
      bearer(LOGS_READER),
      { authorization: `bearer  ${LOGS_READER}` },
      { "x-api-key": LOGS_READER },
    ]) {
      expect((await api.send("GET", path, undefined, headers)).status).toBe(200)
    }
    expect(api.accesses.at(-1)).toMatchObject({ key: "reader", route: "/collections/{collection}/schema" })
  })

  test("without one, or with a wrong one, is 401 and says how", async () => {
    await using api = await keyedApi()
    const path = "/collections/logs-a/schema"
    for (const headers of [
      {},
      bearer(generateApiKey()),
      bearer(`${ADMIN}x`),
      bearer(ADMIN.slice(0, -1)),
      bearer(hashApiKey(ADMIN, runtime.createSha256)),
      { authorization: "Basic cm9vdDpyb290" },
      { authorization: ADMIN },
      { "x-api-key": "" },
    ]) {
      const response = await api.send("GET", path, undefined, headers as Record<string, string>)
      expect(response.headers.get("www-authenticate")).toBe('Bearer realm="prism"')
      expect(await refusedWith(response)).toBe("401 UNAUTHORIZED")
    }
    const both = { ...bearer(ADMIN), "x-api-key": LOGS_READER }
    expect(await refusedWith(await api.send("GET", path, undefined, both))).toBe("400 INVALID_REQUEST")
  })

  test("in a URL are refused, and stand in no log", async () => {
    await using api = await keyedApi()
    for (const path of [
      `/collections/logs-a/schema?api_key=${ADMIN}`,
      `/collections/logs-a/schema?x=${ADMIN}`,
      `/collections/logs-a/schema?${ADMIN}`,
      `/collections/${ADMIN}/schema`,
      "/health?token=secret",
    ]) {
      const response = await api.send("GET", path, undefined, bearer(ADMIN))
      const text = await response.text()
      expect([response.status, text]).toEqual([400, expect.stringContaining("Authorization: Bearer KEY")])
      expect(text).not.toContain(ADMIN)
    }
    const logged = JSON.stringify([api.accesses, api.audited, api.failures])
    for (const secret of [ADMIN, "secret"]) expect(logged).not.toContain(secret)
  })

  test("of the lock's announcement is an administrator's, from this machine alone", async () => {
    await using api = await keyedApi()
    const ask = (peer?: { address: string; isLoopback: boolean }) =>
      api.fetch("/admin/collections", { headers: bearer(LOCAL) }, peer)
    expect((await ask()).status).toBe(200)
    expect(api.accesses.at(-1)).toMatchObject({ key: "lock", status: 200 })
    expect((await ask({ address: "192.0.2.1", isLoopback: false })).status).toBe(401)
  })
})

describe("roles", () => {
  test("a pattern is what a regular expression says", () => {
    const text = fc.string({ unit: fc.constantFrom("a", "b", "-", "*"), maxLength: 12 })
    const name = fc.string({ unit: fc.constantFrom("a", "b", "-"), maxLength: 12 })
    fc.assert(
      fc.property(text, name, (pattern, tried) => {
        expect(matchesPattern(pattern, tried)).toBe(new RegExp(`^${pattern.replaceAll("*", ".*")}$`).test(tried))
      }),
      { seed: 6, numRuns: 2000 },
    )
    expect(matchesPattern("*a".repeat(128), "a".repeat(127))).toBe(false)
  })

  test("permissions hold for the collections of their pattern alone", async () => {
    await using api = await keyedApi()
    const ask = async (key: string, method: string, path: string, body?: unknown) =>
      (await api.send(method, path, body, bearer(key))).status
    expect(await ask(LOGS_READER, "POST", "/collections/logs-b/search", { query: "x" })).toBe(200)
    expect(await ask(LOGS_READER, "POST", "/collections/books/search", { query: "x" })).toBe(403)
    // No telling whether it is there.
    expect(await ask(LOGS_READER, "POST", "/collections/nothing/search", { query: "x" })).toBe(403)
    expect(await ask(LOGS_READER, "POST", "/collections/logs-b/documents", [{ id: "a" }])).toBe(403)
    expect(await ask(LOGS_READER, "DELETE", "/collections/logs-b")).toBe(403)
    expect(await ask(LOGS_READER, "GET", "/metrics")).toBe(403)
    // admin implies all, where it holds
    expect(await ask(LOGS_ADMIN, "POST", "/collections/logs-b/documents", [{ id: "a", title: "x" }])).toBe(201)
    expect(await ask(LOGS_ADMIN, "PUT", "/collections/logs-c", {})).toBe(422)
    expect(await ask(LOGS_ADMIN, "PUT", "/collections/books2", {})).toBe(403)
    expect(await ask(LOGS_ADMIN, "DELETE", "/collections/logs-b")).toBe(200)
    expect(await ask(LOGS_ADMIN, "GET", "/metrics")).toBe(403)
  })

  test("a body names collections too, and one that is not allowed refuses the whole request", async () => {
    await using api = await keyedApi()
    const searches = (...names: string[]) => ({ searches: names.map((collection) => ({ collection, query: "x" })) })
    const ask = async (body: unknown) => (await api.send("POST", "/_msearch", body, bearer(LOGS_READER))).status
    expect(await ask(searches("logs-a", "logs-b"))).toBe(200)
    expect(await ask(searches("logs-a", "books"))).toBe(403)
    api.clock.pass(1000)
    expect(await ask(searches("books"))).toBe(403)
    expect(api.audited.at(-1)).toMatchObject({ operation: "multiSearch", collection: "books", outcome: "refused" })
  })

  test("a list shows what its asker may see", async () => {
    await using api = await keyedApi()
    const list = async (key: string) =>
      await (await api.send("GET", "/admin/collections", undefined, bearer(key))).json()
    expect(await list(ADMIN)).toEqual({ collections: ["books", "logs-a", "logs-b"] })
    expect(await list(LOGS_ADMIN)).toEqual({ collections: ["logs-a", "logs-b"] })
    expect(await list(LOGS_READER)).toMatchObject({ error: { code: "FORBIDDEN" } })
  })
})

/** Ways to write a path that some server, somewhere, has taken for the plain one. */
const DISGUISES: readonly ((path: string) => string)[] = [
  (path) => `/health,${path}`,
  (path) => `/health/..${path}`,
  (path) => `/health/%2e%2e${path}`,
  (path) => `/health/..;${path}`,
  (path) => `/health%2f..${path}`,
  (path) => `/${path}`,
  (path) => path.replace("/_admin", "/%5fadmin").replace("/collections", "/%63ollections"),
  (path) => path.replace("/_admin", "/_ADMIN").replace("/collections", "/Collections"),
  (path) => `${path}/`,
  (path) => `${path}//`,
  (path) => `${path}/.`,
  (path) => `${path};x=/health`,
  (path) => `${path}%00`,
  (path) => `${path}%2f`,
  (path) => `${path}.json`,
  (path) => path.replace("/", "\\"),
  (path) => path.replaceAll("/", "%2f").replace("%2f", "/"),
  (path) => `${path}?/health`,
  (path) => `${path}#/health`,
]

describe("no disguise passes a guard that the plain path does not", () => {
  const guarded = (Object.values(OPERATIONS) as Operation[]).filter(({ permission }) => permission !== "public")
  const override = { "x-http-method-override": "GET", "x-method-override": "GET", "x-original-url": "/health" }

  test("without a key nothing that is guarded is answered", async () => {
    await using api = await keyedApi()
    for (const { method, path } of guarded) {
      const plain = path.replace("{collection}", "logs-a").replace(/\{\w+\}/g, "x")
      for (const disguise of [(same: string) => same, ...DISGUISES]) {
        for (const tried of new Set([method, "GET", "HEAD", "OPTIONS", "PUT", "POST", "DELETE"])) {
          for (const headers of [{}, override, { "x-forwarded-for": "127.0.0.1", "x-rewrite-url": "/health" }]) {
            const response = await api.fetch(disguise(plain), { method: tried, headers: headers as HeadersInit })
            const of = `${tried} ${disguise(plain)}`
            const isHealth = new URL(disguise(plain), "http://localhost").pathname === "/health"
            if (!isHealth) expect([of, response.status >= 400]).toEqual([of, true])
          }
        }
      }
    }
    expect((await api.prism.collectionNames()).length).toBe(3)
  })

  test("a key that may not still may not", async () => {
    await using api = await keyedApi()
    for (const disguise of DISGUISES) {
      const path = disguise("/collections/books")
      const response = await api.fetch(path, { method: "DELETE", headers: bearer(LOGS_READER) })
      expect([path, response.status >= 400]).toEqual([path, true])
    }
    expect(await api.prism.collectionNames()).toContain("books")
  })
})

test("a method that a path does not take is 405 with those that it takes", async () => {
  await using api = await keyedApi()
  const allow = async (method: string, path: string) => {
    const response = await api.fetch(path, { method })
    return `${response.status} ${response.headers.get("allow")}`
  }
  expect(await allow("PUT", "/health")).toBe("405 GET, HEAD")
  expect(await allow("PATCH", "/collections/books")).toBe("405 PUT, DELETE")
  expect(await allow("GET", "/collections/books")).toBe("405 PUT, DELETE")
  expect(await allow("HEAD", "/collections/books")).toBe("405 PUT, DELETE")
  expect(await allow("OPTIONS", "/collections/books")).toBe("405 PUT, DELETE")
  expect(await refusedWith(await api.fetch("/nothing"))).toBe("404 ROUTE_NOT_FOUND")
})
