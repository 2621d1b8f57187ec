// What keeps pages of other sites away from a server without keys.
import { describe, expect, test } from "vitest"
import { BASE, refusedWith, testApi } from "../support/api.ts"

const SCHEMA = { backends: { text: { fields: [{ name: "title", type: "text", stored: true, indexed: true }] } } }

describe("a server without keys answers to its own names alone", () => {
  test.each([
    "http://localhost:3080",
    "http://LOCALHOST",
    "http://127.0.0.1:8080",
    "http://127.1.2.3",
    "http://[::1]:3080",
    "https://localhost",
  ])("%s is one", async (base) => {
    await using api = await testApi()
    expect((await api.fetch(`${base}/health`)).status).toBe(200)
  })

  test.each([
    "http://prism.example",
    "http://localhost.evil.example",
    "http://127.0.0.1.evil.example",
    "http://192.168.1.7:3080",
    "http://0.0.0.0:3080",
    "http://[::2]",
    "http://1270.0.0.1.example",
  ])("%s is none", async (base) => {
    await using api = await testApi()
    for (const path of ["/health", "/admin/collections"]) {
      expect(await refusedWith(await api.fetch(`${base}${path}`))).toBe("403 FORBIDDEN")
    }
    expect(api.accesses.at(-1)).toMatchObject({ status: 403, key: "anonymous" })
  })

  test("the Host header counts, whatever the URL says", async () => {
    await using api = await testApi()
    const ask = async (host: string) => (await api.fetch("/health", { headers: { host } })).status
    for (const host of ["localhost:1", "127.0.0.1", "[::1]:80"]) expect(await ask(host)).toBe(200)
    for (const host of [
      "evil.example",
      "localhost@evil.example",
      "localhost#.evil.example",
      "[::1",
      "",
      "localhost,evil",
    ]) {
      expect([host, await ask(host)]).toEqual([host, 403])
    }
  })

  test("with keys any name will do: the key is what counts", async () => {
    const key = { name: "a", hash: "00".repeat(32), roles: [{ permissions: ["read"] as const, collections: "*" }] }
    await using api = await testApi({ apiKeys: [key] })
    expect((await api.fetch("http://prism.example/health", { headers: { origin: "http://x.example" } })).status).toBe(
      200,
    )
  })
})

describe("pages of other sites", () => {
  test("are refused by their Origin and by Sec-Fetch-Site", async () => {
    await using api = await testApi()
    const ask = async (headers: Record<string, string>) => (await api.fetch("/admin/collections", { headers })).status
    expect(await ask({})).toBe(200)
    expect(await ask({ origin: BASE, "sec-fetch-site": "same-origin" })).toBe(200)
    expect(await ask({ "sec-fetch-site": "none" })).toBe(200)
    for (const origin of [
      "http://evil.example",
      "null",
      "http://localhost:3081",
      "https://localhost:3080",
      "file://",
      BASE + "/",
    ]) {
      expect([origin, await ask({ origin })]).toEqual([origin, 403])
    }
    for (const site of ["cross-site", "same-site", ""]) {
      expect([site, await ask({ "sec-fetch-site": site })]).toEqual([site, 403])
    }
  })

  test("that are allowed get CORS, others nothing of it", async () => {
    await using api = await testApi({ allowedOrigins: ["https://app.example"] })
    const preflight = (origin: string) =>
      api.fetch("/collections/a/search", {
        method: "OPTIONS",
        headers: { origin, "access-control-request-method": "POST", "access-control-request-headers": "content-type" },
      })
    const allowed = await preflight("https://app.example")
    expect(allowed.status).toBe(204)
    expect(allowed.headers.get("access-control-allow-origin")).toBe("https://app.example")
    expect(allowed.headers.get("access-control-allow-methods")).toBe("GET,POST,PUT,DELETE")
    expect(allowed.headers.get("access-control-allow-headers")).toContain("Authorization")
    expect(allowed.headers.get("access-control-allow-credentials")).toBe(null)
    const other = await preflight("https://evil.example")
    expect([other.status, other.headers.get("access-control-allow-origin")]).toEqual([403, null])

    for (const path of ["/admin/collections", "/nothing", "/collections/nothing/schema"]) {
      const answer = await api.fetch(path, {
        headers: { origin: "https://app.example", "sec-fetch-site": "cross-site" },
      })
      expect(answer.status).toBe(path.startsWith("/admin") ? 200 : 404)
      expect(answer.headers.get("access-control-allow-origin")).toBe("https://app.example")
      expect(answer.headers.get("access-control-expose-headers")).toContain("X-Request-Id")
      expect(answer.headers.get("vary")).toContain("Origin")
    }
    expect((await api.fetch("/health")).headers.get("access-control-allow-origin")).toBe(null)
  })
})

describe("a body must say what it is", () => {
  const post = (api: Awaited<ReturnType<typeof testApi>>, path: string, body: BodyInit, type?: string) =>
    api.fetch(path, {
      method: "POST",
      // Bytes alone get no type from fetch.
      body: typeof body === "string" ? new TextEncoder().encode(body) : body,
      ...(type !== undefined && { headers: { "content-type": type } }),
    })

  test("JSON, and nothing that a form can send", async () => {
    await using api = await testApi()
    expect((await api.send("PUT", "/collections/a", SCHEMA)).status).toBe(201)
    const search = "/collections/a/search"
    for (const type of ["application/json", "application/json; charset=utf-8", "Application/JSON"]) {
      expect((await post(api, search, '{"query":"x"}', type)).status).toBe(200)
    }
    for (const type of [
      "text/plain",
      "application/x-www-form-urlencoded",
      "multipart/form-data; boundary=a",
      "text/plain; application/json",
      "application/x-ndjson",
      "application/jsonp",
      undefined,
    ]) {
      const answer = await post(api, search, '{"query":"x"}', type)
      expect([type, await refusedWith(answer)]).toEqual([type, "415 UNSUPPORTED_MEDIA_TYPE"])
    }
    expect((await post(api, "/collections/a/documents", '{"id":"a","title":"x"}', "application/x-ndjson")).status).toBe(
      201,
    )
    expect((await post(api, "/collections/a/documents", '[{"id":"a"}]', "text/plain")).status).toBe(415)
  })

  test("a schema may be YAML", async () => {
    await using api = await testApi()
    const put = async (type: string) => {
      const body = "backends:\n  text:\n    fields:\n      - {name: title, type: text}\n"
      return (await api.fetch("/collections/a", { method: "PUT", body, headers: { "content-type": type } })).status
    }
    expect(await put("text/plain")).toBe(415)
    expect(await put("application/yaml")).toBe(201)
  })

  test("without a body no type is needed, where one is taken and where none is", async () => {
    await using api = await testApi()
    expect((await api.send("PUT", "/collections/a", SCHEMA)).status).toBe(201)
    expect((await api.fetch("/collections/a/optimize", { method: "POST" })).status).toBe(200)
    expect(
      (await api.fetch("/collections/a/verify", { method: "POST", headers: { "content-length": "0" } })).status,
    ).toBe(200)
    const remove = (body: string, type: string) =>
      api.fetch("/collections/a", { method: "DELETE", body, headers: { "content-type": type } })
    expect((await remove("x=1", "application/x-www-form-urlencoded")).status).toBe(415)
    // Nothing is ignored in silence.
    expect(await refusedWith(await remove('{"detached":true}', "application/json"))).toBe("422 INVALID_BODY")
    expect((await remove("{}", "application/json")).status).toBe(200)
  })
})
