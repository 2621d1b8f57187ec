// What a server writes down about requests: ids, access log, audit log, metrics.
import { describe, expect, test } from "vitest"
import { generateApiKey, hashApiKey } from "../../src/api/api-key.ts"
import { createApp } from "../../src/api/app.ts"
import { type AuditEntry, auditFile } from "../../src/api/audit.ts"
import { createLog } from "../../src/api/log.ts"
import { Metrics } from "../../src/api/metrics.ts"
import { decodeUtf8 } from "../../src/base/bytes.ts"
import { PrismError } from "../../src/base/errors.ts"
import { Prism } from "../../src/collection/prism.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { LOCAL_PEER, refusedWith, testApi } from "../support/api.ts"
import { ApiServer } from "../support/api-server.ts"
import { FakeRuntime } from "../support/fake-runtime.ts"
import { runtime, system, temporaryFolder } from "../support/runtime.ts"

const SCHEMA = { backends: { text: { fields: [{ name: "title", type: "text", stored: true, indexed: true }] } } }

describe("request ids", () => {
  test("a sane one is kept, any other is replaced, every answer has one", async () => {
    await using api = await testApi()
    const idFor = async (given?: string, path = "/health") =>
      (await api.fetch(path, given === undefined ? {} : { headers: { "x-request-id": given } })).headers.get(
        "x-request-id",
      )
    expect(await idFor("job-7.a:b_c")).toBe("job-7.a:b_c")
    for (const given of [undefined, "", "a b", 'a"b', "a,b", "é", "a".repeat(129)]) {
      expect(await idFor(given)).toMatch(/^[0-9a-f-]{36}$/)
    }
    expect(await idFor("x", "/nothing")).toBe("x")
    expect(await idFor("x", "/health?key=1")).toBe("x")
  })
})

test("an answer that streams and fails before its first byte is an error with its status", async () => {
  await using api = await testApi()
  await api.send("PUT", "/collections/a", SCHEMA)
  const download = async (query: string, passphrase: string) =>
    await api.fetch(`/_admin/collections/a/archive?${query}`, { headers: { "prism-passphrase": passphrase } })
  expect(await refusedWith(await download("format=encrypted", ""))).toBe("400 INVALID_KEY")
  expect(await refusedWith(await download("format=encrypted&enc_version=1", "YQ=="))).toBe("400 INVALID_REQUEST")
  const answer = await download("format=encrypted", "YQ==")
  expect(new TextDecoder().decode((await answer.arrayBuffer()).slice(0, 4))).toBe("PENC")
})

describe("the access log", () => {
  test("has a line for each request, with the route and not the path, and nothing that was sent", async () => {
    await using api = await testApi()
    await api.send("PUT", "/collections/secretname", SCHEMA)
    await api.send("POST", "/collections/secretname/search", { query: "secretquery" }, { "x-request-id": "r1" })
    await api.send("GET", "/collections/secretname/documents/secretid?secret=secret")
    await api.send("GET", "/secretpath")
    expect(api.accesses).toMatchObject([
      { method: "PUT", route: "/collections/{collection}", status: 201 },
      { method: "POST", route: "/collections/{collection}/search", status: 200, request_id: "r1", key: "local" },
      { route: "/collections/{collection}/documents/{id}", status: 400, code: "INVALID_REQUEST" },
      { route: null, status: 404, code: "ROUTE_NOT_FOUND", peer: "127.0.0.1" },
    ])
    expect(JSON.stringify(api.accesses)).not.toContain("secret")
  })

  test("counts bytes and time of the answer, also of one that streams", async () => {
    await using api = await testApi()
    await api.send("PUT", "/collections/a", SCHEMA)
    await api.send("POST", "/collections/a/documents", [{ id: "a", title: "x" }])
    for (const path of ["/collections/a/schema", "/collections/a/documents"]) {
      const answer = await api.send("GET", path)
      api.clock.pass(250)
      const { length } = new Uint8Array(await answer.arrayBuffer())
      expect(api.accesses.at(-1)).toMatchObject({ bytes: length, duration_ms: path.endsWith("schema") ? 0 : 250 })
    }
  })

  test("is text or JSON or nothing; failures are said even then", () => {
    const entry = {
      time: "2026-01-01T00:00:00.000Z",
      request_id: "r1",
      method: "GET",
      route: "/health",
      status: 200,
      duration_ms: 1.5,
      bytes: 9,
      key: 'a "name"\n',
      peer: null,
    }
    const said = (format: "text" | "json" | "off") => {
      const lines: string[] = []
      const log = createLog(format, (line) => lines.push(line))
      log.access(entry)
      log.failure(entry.time, "r1", new PrismError("IO_ERROR", "the disk", { cause: new Error("EIO") }))
      return lines
    }
    const [text, failure] = said("text")
    expect(text).toBe('2026-01-01T00:00:00.000Z GET /health 200 1.5 ms 9 B key="a \\"name\\"\\n" peer=- id=r1')
    expect(failure).toMatch(/^2026-01-01T00:00:00.000Z error in request r1: IO_ERROR: the disk\ncaused by Error: EIO/)
    expect(said("json").map((line) => JSON.parse(line))).toMatchObject([entry, { request_id: "r1" }])
    expect(said("off")).toHaveLength(1)
  })

  test("a bug is 500 without its words, which the log has", async () => {
    const prism = await Prism.openStorage(new MemoryStorage(), runtime)
    const broken = new Proxy(prism, {
      get: (target, name) => {
        if (name === "collectionNames") return () => Promise.reject(new Error("secret detail"))
        return Reflect.get(target, name)
      },
    })
    await using api = await testApi({ service: { prism: broken } })
    const answer = await api.fetch("/health")
    const text = await answer.text()
    expect([answer.status, text]).toEqual([500, expect.stringContaining("INTERNAL")])
    expect(text).not.toContain("secret")
    expect(api.failures).toMatchObject([{ message: "secret detail" }])
    expect(api.metrics.errors).toBe(1)
    await prism.close()
  })
})

describe("the audit log", () => {
  test("has the start and the end of what administers or deletes, and refusals of keys", async () => {
    const key = generateApiKey()
    const hash = hashApiKey(key, runtime.createSha256)
    const apiKeys = [{ name: "ops", hash, roles: [{ permissions: ["admin"] as const, collections: "a*" }] }]
    await using api = await testApi({ apiKeys })
    const headers = { "x-api-key": key, "x-request-id": "r1" }
    await api.send("PUT", "/collections/a", SCHEMA, headers)
    await api.send("PUT", "/collections/a", SCHEMA, headers)
    await api.send("GET", "/collections/a/schema", undefined, headers)
    await api.send("DELETE", "/collections/a/documents/none", undefined, headers)
    await api.send("DELETE", "/collections/b", undefined, headers)
    await api.send("DELETE", "/collections/a")
    const common = {
      time: "2026-01-01T00:00:00.000Z",
      request_id: "r1",
      key: "ops",
      peer: "127.0.0.1",
      collection: "a",
    }
    const create = { ...common, operation: "createCollection" }
    const remove = { ...common, operation: "deleteDocument" }
    expect(api.audited).toEqual([
      { ...create, outcome: "started" },
      { ...create, outcome: "done", status: 201 },
      { ...create, outcome: "started" },
      { ...create, outcome: "failed", status: 409, code: "COLLECTION_EXISTS" },
      { ...remove, outcome: "started" },
      { ...remove, outcome: "failed", status: 404, code: "DOCUMENT_NOT_FOUND" },
      {
        ...common,
        operation: "deleteCollection",
        collection: "b",
        outcome: "refused",
        status: 403,
        code: "FORBIDDEN",
        count: 1,
      },
    ])
  })

  test("has nothing of what changes nothing, nor of who shows no key", async () => {
    await using api = await testApi()
    await api.send("PUT", "/collections/a", SCHEMA)
    await api.send("POST", "/collections/a/documents", [{ id: "a", title: "x" }])
    const lines = api.audited.length
    for (const path of ["/admin/collections?all=true", "/_admin/jobs", "/_admin/collections/a/archive"]) {
      expect((await api.send("GET", path)).status).toBe(200)
      expect((await api.fetch(path, { method: "HEAD" })).status).toBe(200)
    }
    await api.send("POST", "/collections/a/documents/_get", { ids: ["a"] })
    await api.send("POST", "/_msearch", { searches: [{ collection: "a", query: "x" }] })
    expect(api.audited).toHaveLength(lines)

    const apiKeys = [
      { name: "ops", hash: "00".repeat(32), roles: [{ permissions: ["admin"] as const, collections: "*" }] },
    ]
    await using closed = await testApi({ apiKeys })
    for (let i = 0; i < 100; i++) expect((await closed.send("DELETE", `/collections/c${i}`)).status).toBe(401)
    expect(closed.audited).toEqual([])
    expect(closed.accesses).toHaveLength(100)
  })

  test("has a line a second for each address whose key is refused, which counts the others", async () => {
    const apiKeys = [
      { name: "ops", hash: "00".repeat(32), roles: [{ permissions: ["admin"] as const, collections: "*" }] },
    ]
    await using api = await testApi({ apiKeys })
    const guess = async (address: string) =>
      (await api.fetch("/admin/collections", { headers: { "x-api-key": "guess" } }, { address, isLoopback: false }))
        .status
    for (let i = 0; i < 50; i++) expect(await guess("192.0.2.1")).toBe(401)
    expect(await guess("192.0.2.2")).toBe(401)
    api.clock.pass(999)
    await guess("192.0.2.1")
    api.clock.pass(1)
    await guess("192.0.2.1")
    expect(api.audited.map(({ peer, count }) => [peer, count])).toEqual([
      ["192.0.2.1", 1],
      ["192.0.2.2", 1],
      ["192.0.2.1", 51],
    ])
  })

  test("says which file, what becomes of what is there, and what the archive's own name was", async () => {
    await using folder = await temporaryFolder()
    const audited: AuditEntry[] = []
    const audit = async (entry: AuditEntry) => void audited.push(entry)
    await using server = await ApiServer.open({
      storage: new MemoryStorage(),
      backupRoots: [folder.path],
      service: { audit },
    })
    await server.call("PUT", "/collections/a", SCHEMA)
    const path = `${folder.path}/a.tar.zst`
    const destination = { type: "file", path }
    await server.post("/_admin/collections/a/detach", { destination, overwrite: true, delete_data: true })
    const { job } = (await server.post("/_admin/import", { input_path: path, mode: "replace", wait: false })).body
    await server.service.jobs.wait(server.service.jobs.get(job.id))
    await server.post("/_admin/collections/attach", { source: destination })
    const archive = await (await server.fetch(new Request("http://localhost/_admin/collections/a/archive"))).blob()
    const headers = { "content-type": "application/octet-stream" }
    const upload = { method: "PUT", body: archive, headers }
    await server.fetch(new Request("http://localhost/_admin/collections/-/archive?mode=replace", upload))
    expect(audited.slice(2)).toMatchObject([
      { operation: "detach", collection: "a", outcome: "started", path, overwrite: true, delete_data: true },
      { operation: "detach", collection: "a", outcome: "done", path, overwrite: true, delete_data: true },
      { operation: "importArchive", collection: null, outcome: "started", path, mode: "replace" },
      { operation: "importArchive", collection: "a", outcome: "done", path, mode: "replace" },
      { operation: "attach", collection: null, outcome: "started", path },
      { operation: "attach", outcome: "failed", code: "COLLECTION_EXISTS" },
      { operation: "uploadArchive", collection: null, outcome: "started", mode: "replace" },
      { operation: "uploadArchive", collection: "a", outcome: "done", mode: "replace" },
    ])
  })

  test("tells of the end of a job when it ends, not when it is answered", async () => {
    await using folder = await temporaryFolder()
    await using server = await ApiServer.open({ storage: new MemoryStorage(), backupRoots: [folder.path] })
    const audited: AuditEntry[] = []
    let onEnd = () => {}
    const ended = () => new Promise<void>((resolve) => void (onEnd = resolve))
    const audit = async (entry: AuditEntry) => {
      audited.push(entry)
      if (entry.outcome !== "started") onEnd()
    }
    await server.call("PUT", "/collections/a", SCHEMA)
    const app = createApp({ ...server.service, audit })
    const exported = async (overwrite: boolean) => {
      const body = { collection: "a", output_path: `${folder.path}/other`, overwrite, wait: false }
      const headers = { "content-type": "application/json" }
      const request = { method: "POST", headers, body: JSON.stringify(body) }
      const end = ended()
      expect((await app.fetch(new Request("http://localhost/_admin/export", request))).status).toBe(202)
      await end
    }
    await system.write(system.path(folder.path, "other"), "no archive")
    await exported(false)
    await exported(true)
    expect(audited).toMatchObject([
      { operation: "exportArchive", collection: "a", outcome: "started" },
      { operation: "exportArchive", collection: "a", outcome: "failed", code: "FILE_EXISTS" },
      { outcome: "started" },
      { operation: "exportArchive", collection: "a", outcome: "done" },
    ])
  })

  test("that cannot be written stops what it would have to tell of, before anything is done", async () => {
    const failure = new PrismError("DISK_FULL", "no space left")
    await using api = await testApi({ service: { audit: () => Promise.reject(failure) } })
    expect(await refusedWith(await api.send("PUT", "/collections/a", SCHEMA))).toBe("503 UNAVAILABLE")
    expect(await api.prism.collectionNames()).toEqual([])
    expect((await api.send("GET", "/health")).status).toBe(200)
    expect(api.failures).toMatchObject([{ cause: failure }])
  })

  test("whose end cannot be written says so in the server's log", async () => {
    const failure = new PrismError("DISK_FULL", "no space left")
    let calls = 0
    const audit = async () => {
      if (++calls === 2) throw failure
    }
    await using api = await testApi({ service: { audit } })
    expect((await api.send("PUT", "/collections/a", SCHEMA)).status).toBe(201)
    expect(api.failures).toEqual([failure])
  })

  const entry = (id: number): AuditEntry => ({
    time: "2026-01-01T00:00:00.000Z",
    request_id: String(id),
    key: "ops",
    peer: null,
    operation: "optimize",
    collection: "a",
    outcome: "started",
  })
  const idsIn = (bytes: Uint8Array | undefined) =>
    decodeUtf8(bytes ?? new Uint8Array())
      .split("\n")
      .filter(Boolean)
      .map((line) => Number((JSON.parse(line) as AuditEntry).request_id))

  test("keeps every line in order, however many come at once, and makes way for itself when it is long", async () => {
    const fake = new FakeRuntime()
    const audit = auditFile(fake.files, "audit.jsonl", 1000)
    await Promise.all(Array.from({ length: 4 }, (_, id) => audit(entry(id))))
    for (let id = 4; id < 10; id++) await audit(entry(id))
    const kept = [...idsIn(fake.fileBytes.get("audit.jsonl.1")), ...idsIn(fake.fileBytes.get("audit.jsonl"))]
    expect(kept).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
    expect(fake.fileBytes.get("audit.jsonl")!.length).toBeLessThanOrEqual(1000)
  })

  test("loses nothing to refusals, however many there are", async () => {
    const fake = new FakeRuntime()
    const audit = auditFile(fake.files, "audit.jsonl", 1000)
    await audit(entry(0))
    for (let id = 1; id < 50; id++) await audit({ ...entry(id), outcome: "refused" })
    expect(idsIn(fake.fileBytes.get("audit.jsonl"))).toEqual([0])
    expect(idsIn(fake.fileBytes.get("audit.jsonl.refused")).at(-1)).toBe(49)
    expect([...fake.fileBytes.values()].reduce((sum, { length }) => sum + length, 0)).toBeLessThan(3000)
  })

  test("rejects the lines that were not written, and goes on", async () => {
    const fake = new FakeRuntime()
    let fails = true
    const append: typeof fake.files.append = async (path, bytes) => {
      if (fails) throw new PrismError("DISK_FULL", "no space left")
      await fake.files.append(path, bytes)
    }
    const audit = auditFile({ ...fake.files, append }, "audit.jsonl")
    const results = await Promise.allSettled([audit(entry(0)), audit(entry(1))])
    expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"])
    fails = false
    await audit(entry(2))
    expect(idsIn(fake.fileBytes.get("audit.jsonl"))).toEqual([2])
  })
})

describe("metrics", () => {
  /** The text format by its definition: a sample's name belongs to the family whose TYPE stands above it. */
  function parse(text: string): Map<string, number> {
    expect(text.endsWith("\n")).toBe(true)
    const samples = new Map<string, number>()
    let family = ""
    const seen = new Set<string>()
    for (const line of text.slice(0, -1).split("\n")) {
      const comment = /^# (?:HELP ([a-z_]+) [^\n]+|TYPE ([a-z_]+) (?:counter|gauge|histogram))$/.exec(line)
      if (comment) {
        family = (comment[1] ?? comment[2]) as string
        if (comment[1] !== undefined) expect(seen.has(family)).toBe(false)
        seen.add(family)
        continue
      }
      const [, name, value] =
        /^([a-z_]+(?:\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})?) (\d[\d.e+-]*)$/.exec(line) ?? []
      expect([line, name?.startsWith(family)]).toEqual([line, true])
      expect(samples.has(name!)).toBe(false)
      samples.set(name!, Number(value))
    }
    return samples
  }

  test("count requests by route and status, and tell of each open collection", async () => {
    await using api = await testApi()
    await api.send("PUT", "/collections/a", SCHEMA)
    await api.send("POST", "/collections/a/documents", [
      { id: "a", title: "x" },
      { id: "b", title: "y" },
    ])
    await api.send("POST", "/collections/a/search", { query: "x" })
    const search = { collection: "a", query: "x" }
    await api.send("POST", "/_msearch", { searches: [search, search] })
    for (let i = 0; i < 3; i++) await api.send("GET", `/collections/a/documents/none${i}`)
    await api.send("GET", "/nothing")
    await api.fetch("/health", { method: "PROPFIND" })
    const answer = await api.fetch("/metrics", {}, LOCAL_PEER)
    expect(answer.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8")
    const samples = parse(await answer.text())
    const requests = (method: string, route: string, status: number) =>
      samples.get(`prism_http_requests_total{method="${method}",route="${route}",status="${status}"}`)
    expect(requests("GET", "/collections/{collection}/documents/{id}", 404)).toBe(3)
    expect(requests("GET", "none", 404)).toBe(1)
    expect(requests("OTHER", "none", 405)).toBe(1)
    expect(samples.get("prism_http_requests_in_flight")).toBe(1)
    expect(samples.get("prism_searches_total")).toBe(3)
    expect(samples.get('prism_collection_documents{collection="a"}')).toBe(2)
    expect(samples.get('prism_collection_log_bytes{collection="a"}')).toBeGreaterThan(0)
    expect(samples.get("prism_collections_open")).toBe(1)
    expect(samples.get("prism_uptime_seconds")).toBe(1)
  })

  test("durations fall into buckets that grow to the count", () => {
    const metrics = new Metrics()
    for (const seconds of [0.0005, 0.001, 0.02, 3, 1000]) {
      metrics.began()
      metrics.ended("GET", "/a", 200, seconds)
    }
    const samples = parse(metrics.render([]))
    const bucket = (le: string) =>
      samples.get(`prism_http_request_duration_seconds_bucket{method="GET",route="/a",le="${le}"}`)
    expect(["0.001", "0.01", "0.025", "5", "60", "+Inf"].map(bucket)).toEqual([2, 2, 3, 4, 4, 5])
    expect(samples.get('prism_http_request_duration_seconds_count{method="GET",route="/a"}')).toBe(5)
    expect(samples.get('prism_http_request_duration_seconds_sum{method="GET",route="/a"}')).toBeCloseTo(1003.0215)
  })

  test("labels are escaped", () => {
    const figures = { name: "prism_a", type: "gauge", help: "A.", values: [[{ a: 'x"\\\n' }, 1]] } as const
    expect(new Metrics().render([figures])).toContain('prism_a{a="x\\"\\\\\\n"} 1\n')
  })
})
