// No route is without a permission, none asks for less than it declares, and the page says what is so.
import { readFileSync } from "node:fs"
import { expect, test } from "vitest"
import * as z from "zod"
import { renderPermissions } from "../scripts/permissions.mjs"
import { generateApiKey, hashApiKey } from "../src/api/api-key.ts"
import { createApp } from "../src/api/app.ts"
import { OPERATIONS, type Operation, type OperationId } from "../src/api/contract.ts"
import { MemoryStorage } from "../src/storage/memory-storage.ts"
import { type ErrorBody, testApi } from "./support/api.ts"
import { ApiServer } from "./support/api-server.ts"
import { runtime } from "./support/runtime.ts"

const operations = Object.entries(OPERATIONS) as [OperationId, Operation][]
const page = readFileSync(new URL("../docs/admin/permissions.md", import.meta.url), "utf8")

test("docs/admin/permissions.md is what the contract says: npm run docs:permissions writes it", () => {
  expect(page).toBe(renderPermissions(OPERATIONS))
})

test("every route is an operation of the contract, and every operation has a route", async () => {
  await using api = await ApiServer.open({ storage: new MemoryStorage() })
  const routes = createApp(api.service).routes.filter(({ path }) => path !== "/*")
  const declared = operations.map(([, { method, path }]) => `${method} ${path.replace(/\{(\w+)\}/g, ":$1")}`)
  const routed = routes.filter(({ method }) => method !== "ALL").map(({ method, path }) => `${method} ${path}`)
  expect(routed.sort()).toEqual(declared.sort())
  // What answers any method is the 405 of a path that is declared.
  const paths = new Set(operations.map(([, { path }]) => path.replace(/\{(\w+)\}/g, ":$1")))
  for (const { method, path } of routes) if (method === "ALL") expect(paths).toContain(path)
})

test("what administers needs admin, what is public is about the server alone", () => {
  for (const [id, { path, permission, tag }] of operations) {
    if (/^\/_?admin\//.test(path)) expect([id, permission]).toEqual([id, "admin"])
    if (permission === "public") expect([id, tag]).toEqual([id, "Server"])
  }
})

test("wherever a request names a collection, its permission is about that one", () => {
  for (const [id, { path, scope, body }] of operations) {
    if (path.includes("{collection}")) expect([id, scope]).toEqual([id, "path"])
    const names = body instanceof z.ZodType ? JSON.stringify(z.toJSONSchema(body, { io: "input" })) : ""
    const inBody = /"(\w*collection\w*)":/.exec(names)?.[1]
    if (inBody !== undefined) expect([id, scope]).toEqual([id, { body: expect.stringMatching(`${inBody}$`) }])
  }
})

test("whoever may name a file of the server may do so for all collections", () => {
  for (const [id, { body, serverFile }] of operations) {
    const names = body instanceof z.ZodType ? JSON.stringify(z.toJSONSchema(body, { io: "input" })) : ""
    expect([id, serverFile ?? false]).toEqual([id, /"(\w+_)?path":/.test(names)])
  }
})

/** The page's own table, read as text. */
const rows = [
  ...page.matchAll(/^\| `(\w+)` \| `([^`]+)` \| ([^|]*) \| (●?) \| (●?) \| (●?) \| (●?) \| (●?) \|$/gm),
].map(([, method = "", path = "", on = "", ...dots]) => ({ method, path, on, dots: dots.map((dot) => dot === "●") }))

const ROLES = ["read", "write", "delete", "admin"] as const
const PATTERNS = { own: "logs-*", other: "books*", all: "*" } as const

/** A request about the collection logs-a, wherever the operation has its name. */
function requestFor({ method, path, scope, example, body }: Operation): [path: string, init: RequestInit] {
  const target = path.replace("{collection}", "logs-a").replace("{id}", "none")
  const headers = new Headers()
  if (method === "GET" || body === undefined) return [target, { method, headers }]
  headers.set("content-type", body === "archive" ? "application/octet-stream" : "application/json")
  if (body === "archive") return [target, { method, headers, body: "x" }]
  const value = structuredClone((example ?? {}) as Record<string, unknown>)
  if (typeof scope === "object") {
    if (scope.body === "searches[].collection") value["searches"] = [{ collection: "logs-a", query: "x" }]
    else value[scope.body] = "logs-a"
  }
  return [target, { method, headers, body: JSON.stringify(value) }]
}

test("each operation lets in who the page says, and nobody else", async () => {
  expect(rows).toHaveLength(operations.length)
  const keys = ROLES.flatMap((role) =>
    Object.values(PATTERNS).map((pattern) => ({ role, pattern, key: generateApiKey() })),
  )
  const apiKeys = keys.map(({ role, pattern, key }) => ({
    name: `${role}:${pattern}`,
    hash: hashApiKey(key, runtime.createSha256),
    roles: [{ permissions: [role], collections: pattern }],
  }))
  await using api = await testApi({ apiKeys })
  const isLetIn = async (operation: Operation, key?: string) => {
    const [path, init] = requestFor(operation)
    if (key !== undefined) (init.headers as Headers).set("x-api-key", key)
    const response = await api.fetch(path, init)
    if (response.ok || response.status === 202) return (await response.body?.cancel(), true)
    const { error } = (await response.json()) as ErrorBody
    expect([path, error.code]).not.toEqual([path, "INTERNAL"])
    return !["UNAUTHORIZED", "FORBIDDEN"].includes(error.code)
  }
  let asked = 0
  for (const { method, path, on, dots } of rows) {
    const [, operation] = operations.find(([, of]) => of.method === method && of.path === path)!
    const [withoutKey, ...byRole] = dots as [boolean, ...boolean[]]
    expect([method, path, await isLetIn(operation)]).toEqual([method, path, withoutKey])
    for (const { role, pattern, key } of keys) {
      const covers =
        withoutKey || pattern === PATTERNS.all || on.startsWith("any") || (on !== "all" && pattern === PATTERNS.own)
      const expected = byRole[ROLES.indexOf(role)]! && covers
      const of = `${method} ${path} ${role}:${pattern}`
      expect([of, await isLetIn(operation, key)]).toEqual([of, expected])
      asked++
    }
  }
  expect(asked).toBe(operations.length * 12)
})

test("an archive that brings its own name, or lies on the server, needs all collections", async () => {
  const [own, all] = [generateApiKey(), generateApiKey()]
  const keyed = (key: string, collections: string) => ({
    name: collections,
    hash: hashApiKey(key, runtime.createSha256),
    roles: [{ permissions: ["admin"] as const, collections }],
  })
  await using api = await testApi({ apiKeys: [keyed(own, "logs-*"), keyed(all, "*")] })
  const code = async (key: string, method: string, path: string, body: string, type: string) => {
    const headers = { "x-api-key": key, "content-type": type }
    return ((await (await api.fetch(path, { method, body, headers })).json()) as ErrorBody).error.code
  }
  for (const [method, path, body, type] of [
    ["PUT", "/_admin/collections/-/archive", "x", "application/octet-stream"],
    ["POST", "/_admin/import", '{"input_path":"/backup/a"}', "application/json"],
    ["POST", "/_admin/import", '{"input_path":"/backup/a","target_collection":null}', "application/json"],
    ["POST", "/_admin/collections/attach", '{"source":{"type":"file","path":"/backup/a"}}', "application/json"],
    [
      "POST",
      "/_admin/import",
      '{"input_path":"/backup/books","target_collection":"logs-mine","mode":"replace"}',
      "application/json",
    ],
    [
      "POST",
      "/_admin/export",
      '{"collection":"logs-mine","output_path":"/backup/books","overwrite":true}',
      "application/json",
    ],
  ] as const) {
    expect(await code(own, method, path, body, type)).toBe("FORBIDDEN")
    expect(await code(all, method, path, body, type)).not.toBe("FORBIDDEN")
  }
})
