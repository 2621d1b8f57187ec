// Clients on real connections that leave, or stop to read: none of them keeps a place of those who ask after it.
import { describe, expect, test } from "vitest"
import { DEFAULT_CONFIG, type Limits } from "../../src/api/config.ts"
import type { Service } from "../../src/api/service.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { TestClock } from "../support/api.ts"
import { type ServedApi, type ServedApiOptions, serveApi } from "../support/http-server.ts"
import { RawClient } from "../support/raw-client.ts"

const SCHEMA = { backends: { text: { fields: [{ name: "title", type: "text", stored: true, indexed: true }] } } }

async function serving(
  limits: Partial<Limits>,
  options: Partial<ServedApiOptions> & { readonly service?: Partial<Service> } = {},
): Promise<ServedApi> {
  const served = await serveApi({
    storage: new MemoryStorage(),
    ...options,
    service: {
      config: { ...DEFAULT_CONFIG, limits: { ...DEFAULT_CONFIG.limits, ...limits } },
      ...options.service,
    },
  })
  const { api } = served
  expect((await api.call("PUT", "/collections/c", SCHEMA)).status).toBe(201)
  return served
}

async function fill({ api }: ServedApi, count: number, note: string): Promise<void> {
  for (let i = 0; i < count; i++) {
    expect((await api.post("/collections/c/documents", [{ id: `d${i}`, title: "here", note }])).status).toBe(201)
  }
}

const get = (path: string) => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n\r\n`

function post(path: string, value: unknown): string {
  const body = JSON.stringify(value)
  const headers = `Content-Type: application/json\r\nContent-Length: ${body.length}\r\n`
  return `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n${body}`
}

/** Asks until nothing else is at work, as often as a server may need to notice. */
async function isQuiet({ api, url }: ServedApi): Promise<void> {
  for (let turn = 0; turn < 3000 && api.service.metrics.inFlight > 0; turn++) {
    await (await fetch(`${url}/health`)).arrayBuffer()
  }
  expect(api.service.metrics.inFlight).toBe(0)
}

async function answersThree({ url }: ServedApi): Promise<void> {
  const answers = await Promise.all([1, 2, 3].map(() => fetch(`${url}/collections/c/schema`)))
  for (const answer of answers) {
    expect(answer.status).toBe(200)
    await answer.arrayBuffer()
  }
}

describe("clients that leave", () => {
  const searches = Array.from({ length: 100 }, () => ({ collection: "c", query: "here" }))

  test.each([
    ["a multi-search", post("/_msearch", { searches })],
    ["a download", get("/_admin/collections/c/archive?format=snapshot")],
  ])("before the first byte of %s keep no place", async (_, request) => {
    let client: RawClient | undefined
    await using served = await serving(
      { concurrentRequests: 3 },
      {
        async between({ signal }, answer) {
          if (client !== undefined) {
            const gone = new Promise((resolve) => signal.addEventListener("abort", resolve))
            client.break()
            await gone
          }
          return await answer()
        },
      },
    )
    await fill(served, 3, "")
    for (let i = 0; i < 6; i++) {
      client = await RawClient.connect(served.http.port)
      await client.send(request)
      await client.rest()
    }
    client = undefined
    await isQuiet(served)
    await answersThree(served)
  })

  test("in the middle of a download keep none", async () => {
    await using served = await serving({ concurrentRequests: 3 })
    await fill(served, 40, "n".repeat(1024 * 1024))
    for (let i = 0; i < 6; i++) {
      await using client = await RawClient.connect(served.http.port)
      await client.send(get("/collections/c/documents"))
      expect(await client.until('"id":')).toMatch(/^HTTP\/1\.1 200 /)
      client.break()
      await isQuiet(served)
    }
    await answersThree(served)
  })
})

describe("clients that do not go on reading", () => {
  test.each([
    ["an export", get("/collections/c/documents")],
    ["a search", post("/collections/c/search", { query: "here", limit: 40 })],
  ])("%s counts until it is taken, and is broken off when that takes too long", async (_, request) => {
    const clock = new TestClock()
    await using served = await serving({ concurrentRequests: 1, idleBodySecs: 10 }, { service: { clock } })
    await fill(served, 40, "n".repeat(1024 * 1024))
    await using client = await RawClient.connect(served.http.port)
    client.pause()
    await client.send(request)
    const statusOf = async () => {
      const answer = await fetch(`${served.url}/collections/c/schema`)
      await answer.arrayBuffer()
      return answer.status
    }
    while ((await statusOf()) !== 503) {}
    for (let turn = 0; turn < 50; turn++) expect(await statusOf()).toBe(503)
    clock.pass(10_000)
    await isQuiet(served)
    expect(await statusOf()).toBe(200)
    client.resume()
    expect(await client.skipTo("\r\n0\r\n\r\n")).not.toContain("\r\n0\r\n\r\n")
  })
})
