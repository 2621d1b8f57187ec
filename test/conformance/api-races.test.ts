// Many clients and one name: whatever the order, what was acknowledged is there, what was refused was not done, and no
// answer is a bug. Clients that go in the middle of an archive leave nothing.
import { describe, expect, test } from "vitest"
import type { Storage } from "../../src/storage/storage.ts"
import { ApiServer } from "../support/api-server.ts"
import { documentsOf, fillSmall } from "../support/archives.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { Random } from "../support/random.ts"
import { runtime, system, temporaryFolder } from "../support/runtime.ts"

const SCHEMA = { backends: { text: { fields: [{ name: "words", type: "text" }] } } }

const refusals = [404, 409, 429]

describe("one name", () => {
  test.each([1, 2, 3])("writes, detaches and attaches lose nothing that was acknowledged (seed %i)", async (seed) => {
    await using folder = await temporaryFolder()
    await using api = await ApiServer.open({
      storage: new LastingStorage(),
      backupRoots: [folder.path],
      concurrentJobs: 8,
    })
    await api.call("PUT", "/collections/c", SCHEMA)
    const acknowledged = new Set<string>()
    const refused = new Set<string>()
    const detached = new Map<string, number>()
    const statuses = new Map<string, Set<number>>()
    const note = (kind: string, status: number) => {
      statuses.set(kind, (statuses.get(kind) ?? new Set()).add(status))
      expect([kind, [200, 201, ...refusals].includes(status), status]).toEqual([kind, true, status])
    }
    const client = async (number: number) => {
      const random = new Random(seed * 100 + number)
      for (let step = 0; step < 25; step++) {
        const choice = random.below(10)
        if (choice < 6) {
          const id = `${number}-${step}`
          const { status } = await api.post("/collections/c/documents", [{ id, words: "here" }])
          note("write", status)
          ;(status === 201 ? acknowledged : refused).add(id)
        } else if (choice < 7) {
          const path = `${folder.path}/${number}-${step}.tar.zst`
          const { status, body } = await api.post("/_admin/collections/c/detach", {
            destination: { type: "file", path },
          })
          note("detach", status)
          if (status === 200) detached.set(path, (body as unknown as Detached).metadata.document_count)
        } else if (choice < 9) {
          note("attach", (await api.post("/_admin/collections/attach", { target_collection: "c" })).status)
        } else note("search", (await api.post("/collections/c/search", { query: "here" })).status)
      }
    }
    await Promise.all(Array.from({ length: 4 }, (_, number) => client(number)))
    await api.post("/_admin/collections/attach", { target_collection: "c" })
    const there = await documentsOf(await api.service.prism.collection("c"))
    const ids = there.map((line) => (JSON.parse(line) as { id: string }).id)
    expect(new Set(ids)).toEqual(acknowledged)
    expect(ids.filter((id) => refused.has(id))).toEqual([])
    // The storm was one.
    expect(detached.size).toBeGreaterThan(0)
    expect(refused.size).toBeGreaterThan(0)
    expect(statuses.get("attach")).toContain(200)
    expect(await system.list(folder.path)).toEqual([...detached.keys()].map((path) => path.split("/").at(-1)).sort())
    for (const [path, count] of detached) {
      await using file = await runtime.files.open(path)
      expect((await api.service.prism.verify(file!)).document_count).toBe(count)
    }
  })

  test.each([1, 2])(
    "with deletes, replacements and uploads among them every answer is a true one (seed %i)",
    async (seed) => {
      await using folder = await temporaryFolder()
      const storage = new LastingStorage()
      await using api = await ApiServer.open({ storage, backupRoots: [folder.path], concurrentJobs: 8 })
      await fillSmall(api.service.prism)
      const archive = `${folder.path}/first.tar.zst`
      await api.post("/_admin/export", { collection: "c", format: "snapshot", output_path: archive })
      const source = { type: "file", path: archive }
      const client = async (number: number) => {
        const random = new Random(seed * 1000 + number)
        for (let step = 0; step < 20; step++) {
          const output = `${folder.path}/${number}-${step}`
          const destination = { type: "file", path: output }
          const requests = [
            () => api.post("/collections/c/documents", [{ id: `${number}`, words: "w" }]),
            () => api.post("/_admin/collections/c/detach", { destination, delete_data: random.below(2) === 0 }),
            () => api.post("/_admin/collections/attach", { source }),
            () => api.post("/_admin/collections/attach", { target_collection: "c" }),
            () => api.call("DELETE", "/collections/c"),
            () => api.post("/_admin/import", { input_path: archive, mode: random.below(2) === 0 ? "replace" : "fail" }),
            () => api.post("/_admin/export", { collection: "c", output_path: output }),
            () => api.post("/collections/c/optimize", {}),
            () => api.get("/collections/c/stats"),
          ]
          const { status, body } = await requests[random.below(requests.length)]!()
          const isTrue = [200, 201, ...refusals].includes(status)
          expect([isTrue, status, isTrue || body.error]).toEqual([true, status, true])
        }
      }
      await Promise.all(Array.from({ length: 4 }, (_, number) => client(number)))
      for (const place of ["staging", "trash"]) expect([place, await storage.list(place)]).toEqual([place, []])
      expect((await system.list(folder.path)).filter((name) => name.endsWith(".tmp"))).toEqual([])
      const isLive = (await api.service.prism.collectionNames()).includes("c")
      const back = await api.post("/_admin/import", { input_path: archive, mode: "replace" })
      expect([isLive, back.status]).toEqual([isLive, 200])
      expect((await documentsOf(await api.service.prism.collection("c"))).length).toBe(5)
    },
  )
})

interface Detached {
  readonly metadata: { readonly document_count: number }
}

describe("a client that goes", () => {
  /** A collection whose archives take many pieces. */
  const server = async () => {
    const storage = new LastingStorage()
    const api = await ApiServer.open({ storage })
    await api.call("PUT", "/collections/c", SCHEMA)
    const random = new Random(7)
    const words = () => Array.from({ length: 200 }, () => random.below(1_000_000_000).toString(36)).join(" ")
    for (let batch = 0; batch < 10; batch++) {
      await api.post(
        "/collections/c/documents",
        Array.from({ length: 40 }, (_, i) => ({ id: `${batch}-${i}`, words: words() })),
      )
      if (batch === 4) await (await api.service.prism.collection("c")).checkpoint()
    }
    return { api, storage, [Symbol.asyncDispose]: () => api.close() }
  }

  test.each(["portable", "snapshot"])("in the middle of a %s download ends the export", async (format) => {
    await using there = await server()
    const { api, storage } = there
    const response = await api.fetch(new Request(`http://localhost/_admin/collections/c/archive?format=${format}`))
    const reader = response.body!.getReader()
    await reader.read()
    // What it reads stays as long as it reads.
    expect((await api.post("/collections/c/optimize", {})).status).toBe(200)
    const withOld = await bytesIn(storage, "collections/c")
    await reader.cancel()
    while ((await bytesIn(storage, "collections/c")) > withOld * 0.7)
      await new Promise((resolve) => setTimeout(resolve, 1))
    expect((await api.call("DELETE", "/collections/c")).status).toBe(200)
    expect(await storage.list("trash")).toEqual([])
  })

  test("before the first byte ends it too", async () => {
    await using there = await server()
    const { api } = there
    const client = new AbortController()
    const request = new Request("http://localhost/_admin/collections/c/archive", { signal: client.signal })
    const response = api.fetch(request)
    client.abort()
    expect((await response).status).toBe(499)
  })

  test.each(["portable", "snapshot", "encrypted"])("in the middle of a %s upload leaves nothing", async (format) => {
    await using there = await server()
    const { api, storage } = there
    const headers = { "prism-key": "ab".repeat(32), "content-type": "application/octet-stream" }
    const response = await api.fetch(
      new Request(`http://localhost/_admin/collections/c/archive?format=${format}`, {
        headers: format === "encrypted" ? headers : {},
      }),
    )
    const bytes = new Uint8Array(await response.arrayBuffer())
    for (const part of [0, 0.01, 0.5, 0.99]) {
      let at = 0
      const end = Math.floor(bytes.length * part)
      const body = new ReadableStream<Uint8Array>({
        pull(controller) {
          if (at >= end) return controller.error(new TypeError("the connection is gone"))
          controller.enqueue(bytes.slice(at, Math.min(end, at + 65_536)))
          at += 65_536
        },
      })
      const request = new Request("http://localhost/_admin/collections/d/archive", {
        method: "PUT",
        headers,
        body,
        duplex: "half",
      } as RequestInit)
      const answer = await api.fetch(request)
      expect([part, answer.status]).toEqual([part, 499])
      expect(((await answer.json()) as { error: { code: string } }).error.code).toBe("INTERRUPTED")
      expect(await api.service.prism.collectionNames()).toEqual(["c"])
      expect(await storage.list("staging")).toEqual([])
    }
  })

  test("who sends faster than it is read waits", async () => {
    await using there = await server()
    const { api } = there
    const response = await api.fetch(new Request("http://localhost/_admin/collections/c/archive"))
    const bytes = new Uint8Array(await response.arrayBuffer())
    let sent = 0
    let most = 0
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (sent >= bytes.length) return controller.close()
          controller.enqueue(bytes.slice(sent, sent + 10_000))
          sent += 10_000
          most = Math.max(most, -(controller.desiredSize ?? 0))
        },
      },
      { highWaterMark: 0 },
    )
    const answer = await api.fetch(
      new Request("http://localhost/_admin/collections/d/archive", {
        method: "PUT",
        headers: { "content-type": "application/octet-stream" },
        body,
        duplex: "half",
      } as RequestInit),
    )
    expect(answer.status).toBe(200)
    // Never more than what a read asked for lies between.
    expect(most).toBeLessThanOrEqual(1)
  })
})

async function bytesIn(storage: Storage, folder: string): Promise<number> {
  let bytes = 0
  for (const { name, kind } of await storage.list(folder)) {
    const path = `${folder}/${name}`
    bytes += kind === "directory" ? await bytesIn(storage, path) : ((await storage.size(path)) ?? 0)
  }
  return bytes
}
