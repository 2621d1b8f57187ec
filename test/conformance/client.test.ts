// The typed client against the HTTP interface in this process, and against servers that do not do what they should.
import fc from "fast-check"
import { describe, expect, expectTypeOf, test } from "vitest"
import type { JobAnswer } from "../../src/api/contract.ts"
import { encodeUtf8 } from "../../src/base/bytes.ts"
import { PrismError } from "../../src/base/errors.ts"
import { type Client, createClient, type Job } from "../../src/client/index.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { ApiServer } from "../support/api-server.ts"
import { streamOf } from "../support/fake-runtime.ts"

const SCHEMA = {
  backends: {
    text: { fields: [{ name: "title", type: "text" }] },
    vector: { embedding_field: "embedding", dimension: 2 },
  },
}
const URL = "http://localhost:3080"

interface Seen {
  readonly url: string
  readonly method: string
  readonly headers: Record<string, string>
}

/** A client of collections in memory, with what it asks for. */
async function served() {
  const server = await ApiServer.open({ storage: new MemoryStorage() })
  const seen: Seen[] = []
  const client = createClient({
    url: URL,
    fetch: async (url, init) => {
      const request = new Request(url, init)
      seen.push({ url, method: request.method, headers: Object.fromEntries(request.headers) })
      return await server.fetch(request)
    },
  })
  await client.createCollection({ collection: "products", body: SCHEMA })
  return { client, seen, [Symbol.asyncDispose]: () => server.close() }
}

/** A client of a server that answers like this. */
function answering(answer: (url: string, init: RequestInit) => Response | Promise<Response>): Client {
  return createClient({ url: URL, fetch: async (url, init) => await answer(url, init) })
}

function json(value: unknown, status = 200): Response {
  return new Response(JSON.stringify(value), { status, headers: { "content-type": "application/json" } })
}

async function failure(running: Promise<unknown>): Promise<PrismError> {
  const error: unknown = await running.then(
    () => undefined,
    (reason: unknown) => reason,
  )
  expect(error).toBeInstanceOf(PrismError)
  return error as PrismError
}

describe("operations", () => {
  test("documents go in as JSON and as lines, are found, and come out", async () => {
    await using server = await served()
    const { client } = server
    const body = [
      { id: "a", title: "Wireless keyboard", embedding: [1, 0] },
      { id: "b", fields: { title: "Wired keyboard", stock: 9_007_199_254_740_993n } },
    ]
    expect(await client.addDocuments({ collection: "products", body })).toEqual({ indexed: 2, failed: 0, errors: [] })
    const lines = streamOf([encodeUtf8('{"id":"c","title":"Mou'), encodeUtf8('se"}\nnot JSON\n')])
    expect(await client.addDocuments({ collection: "products", body: lines })).toMatchObject({
      indexed: 1,
      failed: 1,
      errors: [{ code: "INVALID_DOCUMENT", line: 2 }],
    })
    const { results, total } = await client.search({ collection: "products", body: { query: "keyboard", limit: 1 } })
    expect({ found: results.length, total }).toEqual({ found: 1, total: 2 })
    // What a double cannot hold is exact both ways.
    expect((await client.getDocument({ collection: "products", id: "b" })).fields["stock"]).toBe(9_007_199_254_740_993n)
    const exported = await client.exportDocuments({ collection: "products" })
    expect((await exported.text()).split("\n")).toEqual([
      '{"id":"a","fields":{"title":"Wireless keyboard"},"vector":[1,0]}',
      '{"id":"b","fields":{"title":"Wired keyboard","stock":9007199254740993}}',
      '{"id":"c","fields":{"title":"Mouse"}}',
      "",
    ])
    expect(await client.deleteDocuments({ collection: "products", body: { ids: ["a", "zz", "a"] } })).toEqual({
      deleted: 1,
      missing: ["zz"],
    })
    const listed = await client.listCollections({ query: { details: true } })
    expect(listed.details).toMatchObject([{ name: "products", document_count: 2 }])
    expect(await client.deleteCollection({ collection: "products" })).toEqual({
      collection: "products",
      status: "deleted",
    })
    expect(await client.listCollections()).toEqual({ collections: [] })
  })

  test("a schema may be text, and an answer may have no body that is JSON", async () => {
    await using server = await served()
    const { client, seen } = server
    await client.createCollection({
      collection: "two",
      body: "backends: { text: { fields: [{ name: a, type: text }] } }",
    })
    expect(seen.at(-1)?.headers["content-type"]).toBe("application/yaml")
    expect((await client.schema({ collection: "two" })).source).toContain("name: a")
  })

  test("any id reaches its document, also where a path has no place for it", async () => {
    await using server = await served()
    const { client } = server
    const odd = fc.oneof(fc.string({ unit: "grapheme" }), fc.constantFrom(".", "..", "a/../b", "%2e", "?#&", " "))
    const id = odd.filter((text) => text !== "" && encodeUtf8(text).length <= 512)
    await fc.assert(
      fc.asyncProperty(id, async (id) => {
        await client.addDocuments({ collection: "products", body: [{ id, title: "x" }] })
        const { documents } = await client.getDocuments({ collection: "products", body: { ids: [id] } })
        expect(documents.map((document) => document.id)).toEqual([id])
        if (id === "." || id === "..") {
          const { code } = await failure(client.deleteDocument({ collection: "products", id }))
          expect(code).toBe("INVALID_REQUEST")
          await client.deleteDocuments({ collection: "products", body: { ids: [id] } })
        } else {
          expect((await client.getDocument({ collection: "products", id })).id).toBe(id)
          await client.deleteDocument({ collection: "products", id })
        }
        expect((await client.stats({ collection: "products" })).document_count).toBe(0)
      }),
      { seed: 7, numRuns: 60 },
    )
  })

  test("the key is sent in a header of every request, and nowhere else", async () => {
    const seen: { url: string; init: RequestInit }[] = []
    const client = createClient({
      url: "https://example.com/prism/",
      apiKey: "secret-key",
      headers: { "x-trace": "1" },
      fetch: async (url, init) => {
        seen.push({ url, init })
        return json({ status: "ready" })
      },
    })
    await client.ready()
    await client.downloadArchive({
      collection: "p",
      query: { format: "encrypted", enc_version: "1" },
      headers: { "prism-key": "ab" },
    })
    expect(seen.map(({ url }) => url)).toEqual([
      "https://example.com/prism/ready",
      "https://example.com/prism/_admin/collections/p/archive?format=encrypted&enc_version=1",
    ])
    for (const { init } of seen) {
      expect(init.headers).toMatchObject({ authorization: "Bearer secret-key", "x-trace": "1" })
      expect(init.redirect).toBe("error")
    }
    expect(seen[1]?.init.headers).toMatchObject({ "prism-key": "ab" })
  })
})

describe("errors", () => {
  test("are those of the library, with hint, place and problems", async () => {
    await using server = await served()
    const { client } = server
    const missing = await failure(client.stats({ collection: "product" }))
    expect(missing).toMatchObject({ code: "COLLECTION_NOT_FOUND", hint: expect.stringContaining("products") as string })
    const body = { limit: -1, offset: -2 }
    const invalid = await failure(client.search({ collection: "products", body }))
    expect(invalid).toMatchObject({ code: "INVALID_BODY", place: "limit" })
    expect(invalid.problems.map(({ place }) => place)).toEqual(["limit", "offset"])
  })

  test("a server that is not there is told with its URL", async () => {
    const client = createClient({ url: "http://127.0.0.1:1/" })
    const error = await failure(client.health())
    expect(error).toMatchObject({ code: "SERVER_UNREACHABLE", place: "http://127.0.0.1:1" })
    expect(error.message).toMatch(/^cannot reach http:\/\/127\.0\.0\.1:1: /)
  })

  test("what is no server of Prism is told, and what a newer one says is not lost", async () => {
    const page = answering(() => new Response("<h1>Bad gateway</h1>", { status: 502 }))
    expect(await failure(page.health())).toMatchObject({
      code: "SERVER_ERROR",
      message: expect.stringContaining("502") as string,
    })
    const cut = answering(() => new Response('{"status":', { headers: { "content-type": "application/json" } }))
    expect((await failure(cut.health())).code).toBe("SERVER_ERROR")
    const newer = answering(() => json({ error: { code: "FROM_TOMORROW", message: "no idea", hint: "update" } }, 400))
    expect(await failure(newer.health())).toMatchObject({
      code: "SERVER_ERROR",
      message: `${URL} failed with FROM_TOMORROW: no idea`,
      hint: "update",
    })
  })

  test("an answer that breaks off in the middle fails what reads it", async () => {
    const client = answering(() => {
      let sent = false
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (sent) controller.error(new TypeError("terminated"))
          else controller.enqueue(encodeUtf8("half"))
          sent = true
        },
      })
      return new Response(body, { headers: { "content-type": "application/x-ndjson" } })
    })
    const answer = await client.exportDocuments({ collection: "p" })
    const { code, message } = await failure(answer.text())
    expect({ code, message }).toEqual({
      code: "SERVER_UNREACHABLE",
      message: `${URL} broke off in the middle of its answer: terminated`,
    })
  })

  test("what the body failed of is what comes out", async () => {
    await using server = await served()
    const broken = new ReadableStream<Uint8Array>({
      pull: () => Promise.reject(new PrismError("IO_ERROR", "the disk is gone")),
    })
    const error = await failure(server.client.addDocuments({ collection: "products", body: broken }))
    expect(error).toMatchObject({ code: "IO_ERROR", message: "the disk is gone" })
  })

  test("an abort rejects with its reason, before the answer and within", async () => {
    const reason = new PrismError("INTERRUPTED", "enough")
    const waiting = answering(
      (_, { signal }) =>
        new Promise((_resolve, reject) => signal?.addEventListener("abort", () => reject(new Error("AbortError")))),
    )
    const before = new AbortController()
    const running = failure(waiting.health({ signal: before.signal }))
    before.abort(reason)
    expect(await running).toBe(reason)

    const within = new AbortController()
    const client = answering(
      (_, { signal }) =>
        new Response(
          new ReadableStream<Uint8Array>({
            start: (controller) => signal?.addEventListener("abort", () => controller.error(new Error("AbortError"))),
          }),
        ),
    )
    const answer = await client.metrics({ signal: within.signal })
    const reading = failure(answer.text())
    within.abort(reason)
    expect(await reading).toBe(reason)
  })

  test.each([
    ["not a url", "the URL of the server is none"],
    ["ftp://example.com", "is no URL of a server"],
    ["http://localhost:3080/?key=1", "is no URL of a server"],
    ["http://me:hunter2@localhost:3080", "holds a name or a password"],
  ])("the URL %s is refused at once", async (url, message) => {
    const error = await failure((async () => createClient({ url }))())
    expect(error).toMatchObject({ code: "INVALID_REQUEST", message: expect.stringContaining(message) as string })
    expect(error.message).not.toContain("hunter2")
  })
})

describe("jobs", () => {
  /** A server whose one job is in these states, one after the other. */
  function withJob(...states: Partial<JobAnswer>[]) {
    const asked: string[] = []
    const client = answering((url, { method }) => {
      asked.push(`${method} ${url.slice(URL.length)}`)
      const state = states.length > 1 ? states.shift() : states[0]
      return json(
        { job: { id: "j1", state: "running", error: null, result: null, ...state } },
        method === "POST" ? 202 : 200,
      )
    })
    return { client, asked }
  }

  test("long work that is not waited for is a job, asked until it has ended", async () => {
    const progress = { stage: "writing", unit: "bytes", done: 5, total: 10, rate: null, seconds_left: null } as const
    const result = { collection: "p", source: null, files_extracted: 1, bytes_extracted: 2 }
    const { client, asked } = withJob({}, { progress }, { state: "done", result })
    const job = await client.attach({ body: { target_collection: "p", wait: false } })
    expect(job.id).toBe("j1")
    const seen: unknown[] = []
    expect(await job.result({ onProgress: (state) => seen.push(state.progress) })).toEqual(result)
    expect(seen).toEqual([progress])
    expect(asked).toEqual(["POST /_admin/collections/attach", "GET /_admin/jobs/j1", "GET /_admin/jobs/j1"])
  })

  test("one that fails, is cancelled or does not outlive its server says so", async () => {
    const error = { code: "CORRUPT", message: "bad page", hint: "restore it" }
    const failed = withJob({ state: "failed", error }).client.job("j1")
    expect(await failure(failed.result())).toMatchObject(error)
    for (const state of ["cancelled", "interrupted"] as const) {
      const { message } = await failure(withJob({ state }).client.job("j1").result())
      expect(message).toBe(`job j1 was ${state}`)
    }
  })

  test("an abort ends the waiting, and the job is cancelled by whoever wants that", async () => {
    const { client, asked } = withJob({})
    const aborter = new AbortController()
    const reason = new PrismError("INTERRUPTED", "enough")
    const job = client.job("j1")
    expect(await failure(job.result({ signal: aborter.signal, onProgress: () => aborter.abort(reason) }))).toBe(reason)
    await job.cancel()
    expect(asked).toEqual(["GET /_admin/jobs/j1", "DELETE /_admin/jobs/j1"])
  })
})

test("types are those of the contract", () => {
  type Attached = { collection: string; source: unknown; files_extracted: number; bytes_extracted: number }
  // Checked by the compiler; never called.
  const use = async (client: Client) => {
    expectTypeOf(await client.health()).toMatchTypeOf<{ status: "ok"; uptime_secs: number }>()
    expectTypeOf(await client.exportDocuments({ collection: "p" })).toEqualTypeOf<Response>()
    expectTypeOf(await client.attach({ body: {} })).toMatchTypeOf<Attached>()
    const job = await client.attach({ body: { wait: false } })
    expectTypeOf(job.id).toEqualTypeOf<string>()
    expectTypeOf(await job.result()).toMatchTypeOf<Attached>()
    expectTypeOf(client.job("j1")).toEqualTypeOf<Job>()
    // @ts-expect-error the path has a parameter
    await client.stats()
    // @ts-expect-error a collection is made of a schema
    await client.createCollection({ collection: "p" })
    // @ts-expect-error a limit is a number
    await client.search({ collection: "p", body: { limit: "3" } })
    // @ts-expect-error no such member
    await client.search({ collection: "p", body: { limits: 3 } })
    // @ts-expect-error no such format
    await client.downloadArchive({ collection: "p", query: { format: "tar" } })
    // @ts-expect-error no such operation
    await client.drop({ collection: "p" })
  }
  expect(use).toBeTypeOf("function")
})
