// Limits of bodies, headers, time, concurrency and rate, by a clock that the tests move.
import { describe, expect, test, vi } from "vitest"
import { generateApiKey, hashApiKey } from "../../src/api/api-key.ts"
import { encodeUtf8 } from "../../src/base/bytes.ts"
import { refusedWith, type TestApi, testApi } from "../support/api.ts"
import { runtime } from "../support/runtime.ts"

const SCHEMA = { backends: { text: { fields: [{ name: "title", type: "text", stored: true, indexed: true }] } } }
const JSON_TYPE = { "content-type": "application/json" }

async function apiWith(limits: NonNullable<Parameters<typeof testApi>[0]>["limits"]): Promise<TestApi> {
  const api = await testApi({ limits: limits! })
  expect((await api.send("PUT", "/collections/a", SCHEMA)).status).toBe(201)
  return api
}

/** A body that a client sends piece by piece. */
class SlowBody {
  readonly stream: ReadableStream<Uint8Array>
  cancelled = false
  #controller!: ReadableStreamDefaultController<Uint8Array>
  #isAwaited = false
  #onAwaited = () => {}

  constructor() {
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.#controller = controller),
        pull: () => {
          this.#isAwaited = true
          this.#onAwaited()
        },
        cancel: () => void (this.cancelled = true),
      },
      { highWaterMark: 0 },
    )
  }

  /** Resolves when the server waits for more. */
  async isAwaited(): Promise<void> {
    await new Promise<void>((resolve) => {
      this.#onAwaited = resolve
      if (this.#isAwaited) resolve()
    })
  }

  send(text: string): void {
    this.#isAwaited = false
    this.#controller.enqueue(encodeUtf8(text))
  }

  end(): void {
    this.#controller.close()
  }

  fail(): void {
    this.#controller.error(new Error("socket hang up"))
  }
}

function post(api: TestApi, path: string, body: BodyInit, headers: Record<string, string> = JSON_TYPE) {
  return api.fetch(path, { method: "POST", body, headers, duplex: "half" } as RequestInit)
}

function chunks(...texts: string[]): ReadableStream<Uint8Array> {
  return new ReadableStream<Uint8Array>({
    start(controller) {
      for (const text of texts) controller.enqueue(encodeUtf8(text))
      controller.close()
    },
  })
}

describe("bytes of a body", () => {
  const search = "/collections/a/search"
  const fits = `{"query":"${"x".repeat(988)}"}` // 1000 bytes

  test("are counted as they come, whatever Content-Length says", async () => {
    await using api = await apiWith({ bodyBytes: 1000 })
    expect((await post(api, search, fits)).status).toBe(200)
    expect((await post(api, search, chunks(fits.slice(0, 500), fits.slice(500)))).status).toBe(200)
    expect(await refusedWith(await post(api, search, `${fits} `))).toBe("413 LIMIT_EXCEEDED")
    expect(await refusedWith(await post(api, search, chunks(fits, " ")))).toBe("413 LIMIT_EXCEEDED")
    const lied = { ...JSON_TYPE, "content-length": "10" }
    expect(await refusedWith(await post(api, search, chunks(fits, " "), lied))).toBe("413 LIMIT_EXCEEDED")
  })

  test("that are declared to be too many are not waited for", async () => {
    await using api = await apiWith({ bodyBytes: 1000 })
    const body = new SlowBody()
    const answer = await post(api, search, body.stream, { ...JSON_TYPE, "content-length": "1001" })
    expect(await refusedWith(answer)).toBe("413 LIMIT_EXCEEDED")
  })

  test("an endless body is left once it is too long", async () => {
    await using api = await apiWith({ bodyBytes: 1000 })
    let pulled = 0
    let cancelled = false
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulled++
        controller.enqueue(new Uint8Array(100).fill(0x20))
      },
      cancel: () => void (cancelled = true),
    })
    expect(await refusedWith(await post(api, search, endless))).toBe("413 LIMIT_EXCEEDED")
    expect(pulled).toBeLessThan(20)
    expect(cancelled).toBe(true)
  })

  test("have no end where documents stream", async () => {
    await using api = await apiWith({ bodyBytes: 1000 })
    const lines = Array.from({ length: 100 }, (_, i) => `{"id":"${i}","title":"a rather long title"}\n`)
    const streamed = { "content-type": "application/x-ndjson" }
    const answer = await post(api, "/collections/a/documents", chunks(...lines), streamed)
    expect(await answer.json()).toMatchObject({ indexed: 100, failed: 0 })
  })
})

describe("bytes of an answer", () => {
  const note = "n".repeat(1000)
  const documents = Array.from({ length: 60 }, (_, i) => ({ id: `${i}`, title: "x", note }))
  const searches = (count: number, limit: number) =>
    Array.from({ length: count }, () => ({ collection: "a", query: "x", limit }))
  const ids = (count: number) => documents.slice(0, count).map(({ id }) => id)

  test.each([
    ["a search", "/collections/a/search", { query: "x", limit: 8 }, { query: "x", limit: 60 }],
    ["searches", "/_msearch", { searches: searches(4, 2) }, { searches: searches(20, 2) }],
    ["documents", "/collections/a/documents/_get", { ids: ids(8) }, { ids: ids(60) }],
  ])("%s: what is more is refused as a whole", async (_, path, few, many) => {
    await using api = await apiWith({ answerBytes: 10_000 })
    await api.send("POST", "/collections/a/documents", documents)
    expect((await api.send("POST", path, few)).status).toBe(200)
    const refused = await api.send("POST", path, many)
    expect(refused.status).toBe(413)
    expect(await refused.json()).toMatchObject({
      error: { code: "LIMIT_EXCEEDED", hint: expect.stringContaining("a smaller limit") as string },
    })
    expect((await api.send("GET", "/collections/a/documents")).status).toBe(200)
  })

  test("are read no further once they are too many", async () => {
    await using api = await apiWith({ answerBytes: 10_000 })
    await api.send("POST", "/collections/a/documents", documents)
    const parse = vi.spyOn(JSON, "parse")
    try {
      expect((await api.send("POST", "/collections/a/search", { query: "x", limit: 60 })).status).toBe(413)
      // Nine results fit, and the request itself is JSON.
      expect(parse.mock.calls.filter(([text]) => text.includes(note)).length).toBeLessThan(10)
    } finally {
      parse.mockRestore()
    }
  })
})

describe("time of a body", () => {
  const limits = { idleBodySecs: 10, requestSecs: 30 }

  test("a client that sends nothing more is 408 after the idle time", async () => {
    await using api = await apiWith(limits)
    const body = new SlowBody()
    const answering = post(api, "/collections/a/search", body.stream)
    await body.isAwaited()
    body.send("{")
    await body.isAwaited()
    api.clock.pass(9_999)
    expect(api.clock.timers).toBe(1)
    api.clock.pass(1)
    const answer = await answering
    expect(answer.headers.get("connection")).toBe("close")
    expect(await refusedWith(answer)).toBe("408 REQUEST_TIMEOUT")
    expect(body.cancelled).toBe(true)
    expect(api.clock.timers).toBe(0)
  })

  test("one that trickles is 408 after the whole time, but not where documents stream", async () => {
    await using api = await apiWith(limits)
    const trickle = async (type: string) => {
      const body = new SlowBody()
      let answered = false
      const answering = post(api, "/collections/a/documents", body.stream, { "content-type": type }).then((answer) => {
        answered = true
        return answer
      })
      for (let i = 0; i < 10 && !answered; i++) {
        await Promise.race([body.isAwaited(), answering])
        if (answered) break
        api.clock.pass(5_000)
        body.send(" ")
      }
      if (!answered) body.end()
      return (await answering).status
    }
    expect(await trickle("application/json")).toBe(408)
    expect(await trickle("application/x-ndjson")).toBe(201)
    expect(api.clock.timers).toBe(0)
  })

  test("lines that stop coming are an error, beside what became of those before", async () => {
    await using api = await apiWith({ idleBodySecs: 5 })
    const body = new SlowBody()
    const answering = post(api, "/collections/a/documents", body.stream, { "content-type": "application/x-ndjson" })
    await body.isAwaited()
    const lines = Array.from({ length: 1000 }, (_, i) => `{"id":"${i}","title":"x"}\n`).join("")
    body.send(`{\n${lines}{"id":"late","title":"not taken yet"}\n`)
    await body.isAwaited()
    api.clock.pass(5000)
    const answer = await answering
    expect([answer.status, await answer.json()]).toMatchObject([
      408,
      { indexed: 1000, failed: 1, errors: [{ line: 1 }], error: { code: "REQUEST_TIMEOUT" } },
    ])
    expect(api.accesses.at(-1)).toMatchObject({ status: 408, code: "REQUEST_TIMEOUT" })
    const { total } = (await (await api.send("POST", "/collections/a/search", { query: "x" })).json()) as {
      total: number
    }
    expect(total).toBe(1000)
  })

  test("a client that goes away ends the request and is no failure of the server", async () => {
    await using api = await apiWith(limits)
    const body = new SlowBody()
    const answering = post(api, "/collections/a/documents", body.stream, { "content-type": "application/x-ndjson" })
    await body.isAwaited()
    body.fail()
    expect(await refusedWith(await answering)).toBe("499 INTERRUPTED")
    expect(api.failures).toEqual([])
    expect(api.metrics.inFlight).toBe(0)
  })

  test.each([new Error("gone"), "gone", undefined, null])(
    "an aborted request is answered (reason: %s)",
    async (reason) => {
      await using api = await apiWith(limits)
      const aborting = new AbortController()
      aborting.abort(reason)
      const searches = [{ collection: "a", query: "x" }]
      const answer = await api.fetch("/_msearch", {
        method: "POST",
        body: JSON.stringify({ searches }),
        headers: JSON_TYPE,
        signal: aborting.signal,
      })
      expect(await refusedWith(answer)).toBe("499 INTERRUPTED")
      expect(api.failures).toEqual([])
      expect(api.metrics.inFlight).toBe(0)
      expect(api.accesses.at(-1)).toMatchObject({ route: "/_msearch", status: 499, code: "INTERRUPTED" })
    },
  )
})

test("headers and URL have a length", async () => {
  await using api = await apiWith({ headerBytes: 2000 })
  expect((await api.fetch("/health", { headers: { "x-a": "a".repeat(1900) } })).status).toBe(200)
  expect(await refusedWith(await api.fetch("/health", { headers: { "x-a": "a".repeat(2000) } }))).toBe(
    "431 HEADERS_TOO_LARGE",
  )
  expect((await api.fetch(`/${"a".repeat(2000)}`)).status).toBe(431)
})

test("so many requests at once, and no more; questions about the server are always answered", async () => {
  await using api = await apiWith({ concurrentRequests: 2 })
  const bodies = [new SlowBody(), new SlowBody()]
  const waiting = bodies.map((body) => post(api, "/collections/a/search", body.stream))
  for (const body of bodies) await body.isAwaited()
  const refused = await api.send("GET", "/collections/a/schema")
  expect(refused.headers.get("retry-after")).toBe("1")
  expect(await refusedWith(refused)).toBe("503 UNAVAILABLE")
  for (const path of ["/health", "/ready", "/metrics"]) expect((await api.fetch(path)).status).toBe(200)
  for (const path of ["/docs", "/openapi.json"]) expect((await api.fetch(path)).status).toBe(503)
  bodies[0]!.end()
  expect((await waiting[0]!).status).toBe(200)
  expect((await api.send("GET", "/collections/a/schema")).status).toBe(200)
  bodies[1]!.end()
  await waiting[1]
})

test("an answer that streams counts until its end, also where the client leaves", async () => {
  await using api = await apiWith({ concurrentRequests: 1 })
  await api.send("POST", "/collections/a/documents", [{ id: "a", title: "x" }])
  const schema = async () => (await api.send("GET", "/collections/a/schema")).status
  const first = await api.send("GET", "/collections/a/documents")
  expect(await schema()).toBe(503)
  expect(await first.text()).toContain('"id":"a"')
  expect(await schema()).toBe(200)
  const second = await api.send("GET", "/collections/a/documents")
  await second.body!.cancel()
  expect(await schema()).toBe(200)
  expect(api.accesses.at(-2)).toMatchObject({ cut_off: true, code: "INTERRUPTED" })
  await api.fetch("/collections/a/documents", { method: "HEAD" })
  expect(await schema()).toBe(200)
  expect(api.metrics.inFlight).toBe(0)
})

test("an answer that nobody takes on is broken off after the idle time, also one that was known whole", async () => {
  await using api = await apiWith({ concurrentRequests: 1, idleBodySecs: 10 })
  const documents = Array.from({ length: 100 }, (_, i) => ({ id: `${i}`, title: "x", note: "n".repeat(100_000) }))
  await api.send("POST", "/collections/a/documents", documents)
  const schema = async () => (await api.send("GET", "/collections/a/schema")).status
  for (const ask of [
    () => api.send("GET", "/collections/a/documents"),
    () => api.send("POST", "/collections/a/search", { query: "x", limit: 100 }),
  ]) {
    const answer = await ask()
    const reader = answer.body!.getReader()
    for (let i = 0; i < 3; i++) {
      await reader.read()
      api.clock.pass(9_999)
      expect(await schema()).toBe(503)
    }
    api.clock.pass(1)
    expect(await schema()).toBe(200)
    await expect(reader.read()).rejects.toMatchObject({ code: "REQUEST_TIMEOUT" })
    expect(api.accesses.at(-2)).toMatchObject({ status: 200, cut_off: true, code: "REQUEST_TIMEOUT" })
    expect([api.failures, api.clock.timers, api.metrics.inFlight]).toEqual([[], 0, 0])
  }
})

test("so many requests a second for each who asks, and a token comes back with time", async () => {
  await using api = await testApi({ limits: { requestsPerSecond: 3 } })
  const ask = async (address = "127.0.0.1") => await api.fetch("/admin/collections", {}, { address, isLoopback: true })
  for (let i = 0; i < 3; i++) expect((await ask()).status).toBe(200)
  const refused = await ask()
  expect(refused.headers.get("retry-after")).toBe("1")
  expect(await refusedWith(refused)).toBe("429 TOO_MANY_REQUESTS")
  expect((await ask("127.0.0.2")).status).toBe(200)
  api.clock.pass(333)
  expect((await ask()).status).toBe(429)
  api.clock.pass(1)
  expect((await ask()).status).toBe(200)
  expect((await ask()).status).toBe(429)
  api.clock.pass(3_600_000)
  for (let i = 0; i < 3; i++) expect((await ask()).status).toBe(200)
  expect((await ask()).status).toBe(429)
})

test("who shows no key is told so also when all places are taken", async () => {
  const key = generateApiKey()
  const roles = [{ permissions: ["admin"] as const, collections: "*" }]
  const apiKeys = [{ name: "a", hash: hashApiKey(key, runtime.createSha256), roles }]
  await using api = await testApi({ apiKeys, limits: { concurrentRequests: 1 } })
  const headers = { "x-api-key": key }
  expect((await api.send("PUT", "/collections/a", SCHEMA, headers)).status).toBe(201)
  const body = new SlowBody()
  const working = post(api, "/collections/a/search", body.stream, { ...JSON_TYPE, ...headers })
  await body.isAwaited()
  expect((await api.send("GET", "/collections/a/schema")).status).toBe(401)
  expect((await api.send("GET", "/collections/a/schema", undefined, headers)).status).toBe(503)
  body.end()
  await working
})

test("pages for everybody have the rate of an address, questions whether it lives have none", async () => {
  await using api = await testApi({ limits: { requestsPerSecond: 2 } })
  const ask = async (path: string) => (await api.fetch(path)).status
  expect([await ask("/docs"), await ask("/openapi.json"), await ask("/docs")]).toEqual([200, 200, 429])
  for (let i = 0; i < 5; i++) expect([await ask("/health"), await ask("/ready")]).toEqual([200, 200])
})

test("guesses at keys are counted by address, keys by themselves", async () => {
  const key = { name: "a", hash: "00".repeat(32), roles: [{ permissions: ["admin"] as const, collections: "*" }] }
  await using api = await testApi({ apiKeys: [key], limits: { requestsPerSecond: 2 } })
  const guess = async () => (await api.fetch("/admin/collections", { headers: { "x-api-key": "guess" } })).status
  expect([await guess(), await guess(), await guess()]).toEqual([401, 401, 429])
})

test("draining refuses work, answers about the server, and ends with the last answer", async () => {
  await using api = await apiWith({})
  const body = new SlowBody()
  const answering = post(api, "/collections/a/documents", body.stream, { "content-type": "application/x-ndjson" })
  await body.isAwaited()
  let drained = false
  const draining = api.drain.begin().then(() => void (drained = true))
  const refused = await api.send("GET", "/collections/a/schema")
  expect(refused.headers.get("connection")).toBe("close")
  expect(await refusedWith(refused)).toBe("503 UNAVAILABLE")
  expect(await refusedWith(await api.fetch("/ready"))).toBe("503 UNAVAILABLE")
  expect((await api.fetch("/health")).status).toBe(200)
  expect(drained).toBe(false)
  body.send('{"id":"a","title":"x"}\n')
  body.end()
  expect((await answering).status).toBe(201)
  await draining
  expect(api.failures).toEqual([])
})
