import { afterEach, beforeEach, expect, test, vi } from "vitest"
import { Prism } from "../../src/collection/prism.ts"
import { Engine } from "../../src/engine/engine.ts"
import { PrismError } from "../../src/index.ts"
import type { WritableFile } from "../../src/storage/storage.ts"
import { FaultyStorage } from "../support/faulty-storage.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { refusal } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"
import { collectSink, streamOf } from "../support/streams.ts"

const SCHEMA = { backends: { text: { fields: [{ name: "title", type: "text" }] } } } as const

let storage: LastingStorage
let prism: Prism

beforeEach(async () => {
  storage = new LastingStorage()
  prism = await Prism.openStorage(storage, runtime)
})

afterEach(async () => {
  await prism.close()
})

async function archiveOf(title: string, id = "a"): Promise<Uint8Array> {
  const source = await prism.createCollection("source", SCHEMA)
  await source.add({ id, fields: { title } })
  const sink = collectSink()
  await source.export(sink.stream)
  await prism.deleteCollection("source")
  return sink.bytes()
}

/** The codes of the refused ones; every other error is one of the test. */
function codes(results: readonly PromiseSettledResult<unknown>[]): string[] {
  return results.flatMap((result) => {
    if (result.status === "fulfilled") return []
    if (!(result.reason instanceof PrismError)) throw result.reason
    return [result.reason.code]
  })
}

test("of two that create one name at once, one is told that it exists", async () => {
  const results = await Promise.allSettled([prism.createCollection("c", SCHEMA), prism.createCollection("c", SCHEMA)])
  expect(codes(results)).toEqual(["COLLECTION_EXISTS"])
  expect(await storage.list("staging")).toEqual([])
})

test("a collection that is closed can be opened again", async () => {
  const first = await prism.createCollection("c", SCHEMA)
  await first.add({ id: "a", fields: { title: "one" } })
  const closing = first.close()
  const second = await prism.collection("c")
  await closing
  expect((await second.get("a"))?.fields).toEqual({ title: "one" })
  expect((await prism.listCollections()).map(({ document_count }) => document_count)).toEqual([1])
})

test("a closed collection says so, whatever is asked of it", async () => {
  const collection = await prism.createCollection("c", SCHEMA)
  await collection.close()
  const sink = collectSink()
  const calls: (() => unknown)[] = [
    () => collection.add({ id: "a", fields: {} }),
    () => collection.get("a"),
    () => collection.delete("a"),
    () => collection.search({}),
    () => collection.export(sink.stream),
    () => collection.stats(),
    () => collection.verify(),
    () => collection.checkpoint(),
    () => collection.which(["a"]),
    async () => {
      for await (const _ of collection.documents()) continue
    },
  ]
  const results = await Promise.allSettled(calls.map(async (call) => await call()))
  expect(codes(results)).toEqual(calls.map(() => "CLOSED"))
})

test("whoever opens a collection while it is deleted never gets one whose writes are lost", async () => {
  for (let turn = 0; turn < 20; turn++) {
    await prism.createCollection("c", SCHEMA)
    const deleting = prism.deleteCollection("c")
    const opened: Promise<unknown>[] = []
    for (let delay = 0; delay < turn; delay++) await Promise.resolve()
    opened.push(prism.collection("c").then(async (collection) => await collection.add({ id: "a", fields: {} })))
    const results = await Promise.allSettled([deleting, ...opened])
    expect(results[0]?.status).toBe("fulfilled")
    expect(["COLLECTION_NOT_FOUND", "CLOSED", undefined]).toContain(codes(results)[0])
    expect(await prism.collectionNames()).toEqual([])
    await expect(prism.collection("c")).rejects.toMatchObject({ code: "COLLECTION_NOT_FOUND" })
  }
})

test("whoever opens a collection while it is replaced gets the old one or the new one, never a lost one", async () => {
  const archive = await archiveOf("new")
  await prism.createCollection("c", SCHEMA)
  for (let turn = 0; turn < 40; turn++) {
    const replacing = prism.restore(streamOf(archive), { target: "c", mode: "replace" })
    const running = new Set([replacing])
    void replacing.finally(() => running.clear())
    while (running.size > 0) {
      await prism.collection("c").then(
        async (collection) => await collection.search({}).catch(() => undefined),
        (error) => expect(error).toMatchObject({ code: "CLOSED" }),
      )
      await new Promise((resolve) => setTimeout(resolve, 0))
    }
    await replacing
    const collection = await prism.collection("c")
    expect((await collection.get("a"))?.fields).toEqual({ title: "new" })
    await collection.add({ id: `kept-${turn}`, fields: {} })
    await prism.close()
    prism = await Prism.openStorage(storage, runtime)
    expect(await (await prism.collection("c")).get(`kept-${turn}`)).toBeDefined()
  }
})

test("two that replace one collection at once leave one of the two, and nothing in the trash", async () => {
  const archives = [await archiveOf("one"), await archiveOf("two")]
  await prism.createCollection("c", SCHEMA)
  await Promise.all(archives.map((bytes) => prism.restore(streamOf(bytes), { target: "c", mode: "replace" })))
  expect(["one", "two"]).toContain((await (await prism.collection("c")).get("a"))?.fields["title"])
  expect(await storage.list("trash")).toEqual([])
  expect(await storage.list("staging")).toEqual([])
})

test("two merges into one collection at once both arrive", async () => {
  const archives = [await archiveOf("one", "a"), await archiveOf("two", "b")]
  const collection = await prism.createCollection("c", SCHEMA)
  const added = collection.add({ id: "c", fields: { title: "three" } })
  await Promise.all([added, ...archives.map((bytes) => prism.restore(streamOf(bytes), { target: "c", mode: "merge" }))])
  expect((await (await prism.collection("c")).stats()).document_count).toBe(3)
})

test("what is searched, read or exported while the collection is closed or deleted ends whole or as CLOSED", async () => {
  for (let turn = 0; turn < 10; turn++) {
    const collection = await prism.createCollection("c", SCHEMA)
    await collection.add(Array.from({ length: 50 }, (_, place) => ({ id: `${place}`, fields: { title: "word" } })))
    if (turn % 2) await collection.checkpoint()
    const sink = collectSink()
    const results = await Promise.allSettled([
      collection.search({ query: "word", limit: 50 }).then(({ results }) => expect(results.length).toBe(50)),
      collection.export(sink.stream).then((report) => expect(report.document_count).toBe(50)),
      collection.get("7").then((found) => expect(found?.id).toBe("7")),
      prism.deleteCollection("c"),
      collection.search({ query: "word" }),
      collection.stats(),
    ])
    expect(codes(results).filter((code) => code !== "CLOSED")).toEqual([])
  }
})

test("who still reads a collection that was deleted takes nothing from the next one of its name", async () => {
  const first = await prism.createCollection("c", SCHEMA)
  await first.add([
    { id: "a", fields: { title: "old" } },
    { id: "b", fields: {} },
  ])
  const reading = first.documents()[Symbol.asyncIterator]()
  await reading.next()
  // Its log is obsolete now, and stays for the reader alone.
  await first.checkpoint()
  await prism.deleteCollection("c")
  const second = await prism.createCollection("c", SCHEMA)
  await second.add({ id: "a", fields: { title: "new" } })
  await reading.return?.()
  await prism.close()
  prism = await Prism.openStorage(storage, runtime)
  expect((await (await prism.collection("c")).get("a"))?.fields).toEqual({ title: "new" })
})

test("what is sealed or merged while the collection is closed ends whole or as CLOSED, and changes nothing later", async () => {
  await prism.close()
  prism = await Prism.openStorage(storage, runtime, { tuning: { ramDocuments: 4 } })
  await prism.createCollection("c", SCHEMA)
  for (let turn = 0; turn < 40; turn++) {
    const collection = await prism.collection("c")
    const documents = Array.from({ length: 10 }, (_, place) => ({ id: `${turn}/${place}`, fields: {} }))
    await collection.add(documents)
    const working = [collection.optimize(), collection.checkpoint()]
    for (let delay = 0; delay < turn; delay++) await Promise.resolve()
    const closing = collection.close({ fold: turn % 2 === 0 })
    const results = await Promise.allSettled([closing, ...working])
    expect(results[0]?.status).toBe("fulfilled")
    expect(codes(results).filter((code) => code !== "CLOSED")).toEqual([])
    expect((await (await prism.collection("c")).stats()).document_count).toBe(10 * (turn + 1))
  }
})

test("what waits behind a checkpoint that failed at the manifest is refused, not lost", async () => {
  // At every operation of the checkpoint: the operation is done, and fails nevertheless.
  for (let at = 0; ; at++) {
    const faulty = new FaultyStorage()
    const doomed = await Prism.openStorage(faulty, runtime)
    const collection = await doomed.createCollection("c", SCHEMA)
    await collection.add({ id: "a", fields: { title: "one" } })
    const before = faulty.operationCount
    faulty.failAt(at, { kind: "tear", part: 1 })
    const checkpoint = collection.checkpoint()
    const added = collection.add({ id: "b", fields: { title: "two" } })
    const [folded, acknowledged] = await Promise.allSettled([checkpoint, added])
    const steps = faulty.operationCount - before
    const opened = await Prism.openStorage(await faulty.crash(), runtime)
    const again = await opened.collection("c")
    expect(await again.get("a")).toBeDefined()
    if (acknowledged.status === "fulfilled") expect(await again.get("b")).toBeDefined()
    await opened.close()
    if (folded.status === "fulfilled" && at > steps) break
  }
})

test("after a failed write everything acknowledged can be read and exported, and the collection opened again", async () => {
  const faulty = new FaultyStorage()
  const sick = await Prism.openStorage(faulty, runtime)
  const collection = await sick.createCollection("c", SCHEMA)
  await collection.add({ id: "a", fields: { title: "one" } })
  faulty.failAt(0, { kind: "fail", code: "IO_ERROR" })
  await expect(collection.add({ id: "b", fields: {} })).rejects.toMatchObject({ code: "IO_ERROR" })
  await expect(collection.add({ id: "c", fields: {} })).rejects.toMatchObject({ code: "READ_ONLY" })
  const sink = collectSink()
  expect((await collection.export(sink.stream)).document_count).toBe(1)
  await collection.close()
  const again = await sick.collection("c")
  await again.add({ id: "b", fields: {} })
  expect((await again.stats()).document_count).toBe(2)
  await sick.close()
})

test("a collection is deleted although its log can no longer be folded", async () => {
  let isFull = false
  class FullStorage extends LastingStorage {
    override async create(path: string): Promise<WritableFile> {
      if (isFull) throw new PrismError("DISK_FULL", "no space left", { place: path })
      return await super.create(path)
    }
  }
  const full = await Prism.openStorage(new FullStorage(), runtime)
  const collection = await full.createCollection("c", SCHEMA)
  await collection.add({ id: "a", fields: { title: "x".repeat(5 * 1024 * 1024) } })
  isFull = true
  await full.deleteCollection("c")
  expect(await full.collectionNames()).toEqual([])
  await full.close()
})

test("what no id can be is refused, and the collection goes on", async () => {
  const collection = await prism.createCollection("c", SCHEMA)
  await collection.add([
    { id: "7", fields: {} },
    { id: "\ufffd", fields: {} },
  ])
  for (const id of [7, undefined, null, "\ud800", "x".repeat(1000)] as string[]) {
    await expect(collection.delete([id])).rejects.toBeInstanceOf(PrismError)
    await expect(collection.delete(id)).rejects.toBeInstanceOf(PrismError)
    await expect(collection.get(id)).rejects.toBeInstanceOf(PrismError)
  }
  await collection.add({ id: "8", fields: {} })
  expect((await collection.stats()).document_count).toBe(3)
})

test("a file that is gone is damage, named", async () => {
  const collection = await prism.createCollection("c", SCHEMA)
  await collection.add({ id: "a", fields: {} })
  await collection.checkpoint()
  const named = async (folder: string, wanted: RegExp) => {
    const { name } = (await storage.list(`collections/c${folder}`)).find((entry) => wanted.test(entry.name)) ?? {}
    return `${folder}/${name}`.replace(/^\//, "")
  }
  for (const path of [await named("/text", /idx$/), await named("/text", /docs$/), await named("", /^wal/)]) {
    await prism.close()
    await storage.rename(`collections/c/${path}`, "staged")
    prism = await Prism.openStorage(storage, runtime)
    const error = await refusal(prism.collection("c"))
    expect(error.code).toBe("CORRUPT")
    expect(error.message).toContain(path)
    await storage.rename("staged", `collections/c/${path}`)
  }
  expect(await (await prism.collection("c")).get("a")).toBeDefined()
})

test("a document for which the index has no room is refused before it is in the log; deletes go on", async () => {
  const collection = await prism.createCollection("c", SCHEMA)
  await collection.add({ id: "a", fields: { title: "one" } })
  const memoryInUse = vi.spyOn(Engine.prototype, "memoryInUse", "get").mockReturnValue(3.5 * 2 ** 30)
  try {
    expect((await refusal(collection.add({ id: "b", fields: {} }))).code).toBe("LIMIT_EXCEEDED")
    expect(await collection.delete("a")).toBe(1)
  } finally {
    memoryInUse.mockRestore()
  }
  await collection.add({ id: "c", fields: {} })
  await prism.close()
  prism = await Prism.openStorage(storage, runtime)
  expect((await (await prism.collection("c")).stats()).document_count).toBe(1)
})
