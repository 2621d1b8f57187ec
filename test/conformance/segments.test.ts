import { describe, expect, test, vi } from "vitest"
import type { Collection } from "../../src/collection/collection.ts"
import type { Tuning } from "../../src/collection/context.ts"
import { Prism } from "../../src/collection/prism.ts"
import type { Progress } from "../../src/index.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { replayWal, WalWriter } from "../../src/storage/wal.ts"
import { FaultyStorage, writeWhole } from "../support/faulty-storage.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { Random } from "../support/random.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"
import { collectSink, streamOf } from "../support/streams.ts"

const SCHEMA = {
  backends: {
    text: { fields: [{ name: "words", type: "text" }] },
    vector: { embedding_field: "embedding", dimension: 3, distance: "euclidean" },
  },
} as const

const open = async (storage: Storage, tuning: Partial<Tuning> = {}): Promise<Prism> =>
  await Prism.openStorage(storage, runtime, { tuning })

const document = (number: number, words = `word${number} common`) => ({
  id: `doc-${number}`,
  fields: { words },
  vector: [number % 7, number % 11, number],
})

/** Ids in the order of their last write. */
async function ids(collection: Collection): Promise<string[]> {
  const found: string[] = []
  for await (const { id } of collection.documents()) found.push(id)
  return found
}

async function add(collection: Collection, from: number, to: number): Promise<void> {
  for (let number = from; number < to; number++) await collection.add(document(number))
}

describe("segments in the background", () => {
  test("are sealed and merged while writes go on, and keep the order of the last write", async () => {
    await using prism = await open(new LastingStorage(), { ramDocuments: 4, mergeFactor: 2 })
    const collection = await prism.createCollection("c", SCHEMA)
    await add(collection, 0, 60)
    await collection.add([document(3), document(31)])
    await collection.checkpoint()
    const order = [...Array(60).keys()].filter((number) => number !== 3 && number !== 31).concat(3, 31)
    expect(await ids(collection)).toEqual(order.map((number) => `doc-${number}`))
    await collection.optimize()
    expect(await ids(collection)).toEqual(order.map((number) => `doc-${number}`))
    const { segments, deleted_count, log_bytes, pending_segments, state } = await collection.stats()
    expect(segments.map(({ documents, deleted, vectors }) => [documents, deleted, vectors])).toEqual([[60, 0, 60]])
    expect([deleted_count, pending_segments, state]).toEqual([0, 0, "ready"])
    expect(log_bytes).toBeLessThan(100)
  })

  test("a document that is deleted or replaced while its segment is merged stays so", async () => {
    const storage = new LastingStorage()
    await using prism = await open(storage, { ramDocuments: 4 })
    const collection = await prism.createCollection("c", SCHEMA)
    await add(collection, 0, 20)
    await collection.checkpoint()
    const optimizing = collection.optimize()
    await collection.delete(["doc-0", "doc-7", "doc-19"])
    await collection.add(document(8, "new words"))
    await optimizing
    const check = async (one: Collection) => {
      expect((await one.search({ query: "common", limit: 50 })).total).toBe(16)
      expect((await one.search({ query: "word8" })).total).toBe(0)
      expect((await one.search({ query: "new" })).results.map(({ id }) => id)).toEqual(["doc-8"])
      expect((await one.stats()).document_count).toBe(17)
      expect(await one.get("doc-7")).toBeUndefined()
    }
    await check(collection)
    await prism.close()
    await using again = await open(storage)
    await check(await again.collection("c"))
  })

  test("an optimize that is aborted leaves everything as it was", async () => {
    const storage = new LastingStorage()
    await using prism = await open(storage, { ramDocuments: 10 })
    const collection = await prism.createCollection("c", SCHEMA)
    await add(collection, 0, 40)
    await collection.checkpoint()
    const before = await collection.stats()
    const abort = new AbortController()
    const optimizing = collection.optimize({ signal: abort.signal })
    abort.abort(new Error("enough"))
    await expect(optimizing).rejects.toThrow("enough")
    expect((await collection.stats()).segments).toEqual(before.segments)
    const names = (await storage.list("collections/c/text")).map(({ name }) => name)
    expect(names.length).toBe(2 * before.segment_count)
    const stages: Progress[] = []
    const report = await collection.optimize({ onProgress: (progress) => stages.push(progress) })
    expect(report).toMatchObject({ segments_before: before.segment_count, segments_after: 1, documents: 40 })
    expect(stages.at(-1)).toEqual({ stage: "optimizing", unit: "documents", done: 40, total: 40 })
  })

  test("files go when nobody needs them, and not before", async () => {
    const storage = new LastingStorage()
    await using prism = await open(storage, { ramDocuments: 5 })
    const collection = await prism.createCollection("c", SCHEMA)
    await add(collection, 0, 20)
    await collection.checkpoint()
    const files = async () => (await storage.list("collections/c/text")).length
    const before = await files()
    await using reader = await Prism.openStorage(storage, runtime, { readOnly: true })
    const beside = await reader.collection("c")
    await collection.delete(["doc-1"])
    await collection.optimize()
    expect(await files()).toBe(before + 2)
    expect((await ids(beside)).length).toBe(20)
    await beside.close()
    await add(collection, 20, 21)
    await collection.optimize()
    expect(await files()).toBe(2)
  })
})

/** A collection of four documents whose owner was thought dead, and writes to its log after another one opened it. */
async function takenOver(): Promise<{ storage: FaultyStorage; prism: Prism; collection: Collection }> {
  const disk = new FaultyStorage()
  const asleep = await open(disk)
  await add(await asleep.createCollection("c", SCHEMA), 0, 4)
  disk.kill()
  const storage = disk.process()
  const prism = await open(storage)
  const collection = await prism.collection("c")
  const path = (await storage.list("collections/c")).find(({ name }) => name.endsWith(".log"))?.name ?? ""
  // It looked at its lock before it fell asleep, and its write comes now.
  const replay = replayWal(storage, `collections/c/${path}`, { walNumber: 1 })
  for await (const _ of replay) continue
  const late = await WalWriter.resume(storage, replay)
  await late.append([
    { kind: "delete", id: "doc-1" },
    { kind: "put", id: "late", fieldsJson: "{}", vector: undefined },
  ])
  return { storage, prism, collection }
}

test("what an owner that was thought dead still writes is nobody's once its successor has written", async () => {
  const { storage, collection } = await takenOver()
  await collection.add(document(4))
  const expected = [0, 1, 2, 3, 4].map((number) => `doc-${number}`)
  expect(await ids(collection)).toEqual(expected)
  storage.kill()
  await using again = await open(storage.process())
  const reopened = await again.collection("c")
  expect(await ids(reopened)).toEqual(expected)
  await reopened.verify()
  await reopened.checkpoint()
  expect(await ids(reopened)).toEqual(expected)
})

test("an owner that was thought dead puts no manifest in place of the one that its successor reads", async () => {
  const { storage: disk } = await takenOver()
  disk.kill()
  const storage = disk.process()
  await using prism = await open(storage)
  const draft = "collections/c/MANIFEST.0123456789abcdef.tmp"
  await writeWhole(storage, draft, await storage.read("collections/c/MANIFEST"))
  const read = storage.read.bind(storage)
  const late: Promise<string>[] = []
  vi.spyOn(storage, "read").mockImplementation(async (path, range) => {
    const bytes = await read(path, range)
    // It wakes up at the worst time.
    if (path.endsWith("MANIFEST")) late.push(refusalCode(storage.rename(draft, path)))
    return bytes
  })
  await prism.collection("c")
  expect(await Promise.all(late)).toEqual(["FILE_NOT_FOUND"])
})

test("what an owner that was thought dead still writes damages nothing where its successor writes nothing", async () => {
  const { storage, prism } = await takenOver()
  await prism.close()
  await using again = await open(storage.process())
  // A write that was never answered: it came late.
  expect(await ids(await again.collection("c"))).toEqual(["doc-0", "doc-2", "doc-3", "late"])
})

describe("opening", () => {
  test("reads what a query needs: neither graphs nor other documents' postings", async () => {
    const storage = new LastingStorage()
    const random = new Random(1)
    const schema = {
      backends: {
        text: { fields: [{ name: "words", type: "text" }] },
        vector: { embedding_field: "embedding", dimension: 32 },
      },
    } as const
    const prism = await open(storage)
    const collection = await prism.createCollection("c", schema)
    for (let first = 0; first < 3000; first += 500) {
      await collection.add(
        Array.from({ length: 500 }, (_, place) => ({
          id: `doc-${first + place}`,
          fields: { words: Array.from({ length: 60 }, () => `w${random.below(5000)}`).join(" ") },
          vector: Array.from({ length: 32 }, () => random.unit() - 0.5),
        })),
      )
    }
    await collection.optimize()
    const size = (await collection.stats()).size_bytes
    const expected = await collection.search({ query: "w17 w18", limit: 5 })
    await prism.close()

    await using again = await open(storage)
    const lazy = await again.collection("c")
    const opened = (await lazy.stats()).resident_bytes
    expect(opened).toBeLessThan(size / 20)
    expect((await lazy.search({ query: "w17 w18", limit: 5 })).results).toEqual(expected.results)
    const searched = (await lazy.stats()).resident_bytes
    expect(searched).toBeLessThan(size / 2)
    const vector = (await lazy.get("doc-1234"))?.vector
    expect(vector?.length).toBe(32)
    const { resident_bytes, cache } = await lazy.stats()
    expect(resident_bytes - searched).toBeLessThan(size / 10)
    expect(cache.bytes).toBeGreaterThan(0)
    const nearest = await lazy.search({ vector: vector as Float32Array, limit: 1 })
    expect(nearest.results.map(({ id }) => id)).toEqual(["doc-1234"])
    expect((await lazy.stats()).resident_bytes - resident_bytes).toBeGreaterThan(3000 * 32 * 4)
  })

  test("to be read alone: nothing is written but pins, and what is seen stays as it was", async () => {
    const storage = new LastingStorage()
    await using prism = await open(storage, { ramDocuments: 4 })
    const collection = await prism.createCollection("c", SCHEMA)
    await add(collection, 0, 10)
    await using reader = await Prism.openStorage(storage, runtime, { readOnly: true })
    const beside = await reader.collection("c")
    await collection.add(document(5, "changed"))
    await collection.delete(["doc-6"])
    await collection.optimize()
    expect((await ids(beside)).length).toBe(10)
    expect((await beside.search({ query: "word5" })).total).toBe(1)
    expect((await beside.stats()).state).toBe("read-only")
    const sink = collectSink()
    expect((await beside.export(sink.stream)).document_count).toBe(10)
    await beside.verify()
    const refused = await Promise.all([
      refusalCode(beside.add(document(99))),
      refusalCode(beside.delete("doc-1")),
      refusalCode(beside.optimize()),
      refusalCode(beside.checkpoint()),
      refusalCode(reader.createCollection("d", SCHEMA)),
      refusalCode(reader.deleteCollection("c")),
      refusalCode(reader.restore(streamOf(sink.bytes()), { target: "d" })),
    ])
    expect(new Set(refused)).toEqual(new Set(["READ_ONLY"]))
    await beside.close()
    expect((await (await reader.collection("c")).stats()).document_count).toBe(9)
    expect(await refusalCode(reader.collection("d"))).toBe("COLLECTION_NOT_FOUND")
  })

  test("one collection that is damaged keeps nobody from the others", async () => {
    const storage = new LastingStorage()
    await using prism = await open(storage)
    await (await prism.createCollection("good", SCHEMA)).add(document(1))
    await (await prism.createCollection("bad", SCHEMA)).close()
    await storage.remove("collections/bad/MANIFEST")
    const [bad, good] = await prism.listCollections()
    expect(bad).toMatchObject({ name: "bad", error: { code: "CORRUPT" } })
    expect(good).toMatchObject({ name: "good", document_count: 1 })
  })
})

test("every byte of a live collection's files that is damaged is found, by the name of its file", async () => {
  const storage = new LastingStorage()
  await using prism = await open(storage, { ramDocuments: 30 })
  const collection = await prism.createCollection("c", SCHEMA)
  await add(collection, 0, 40)
  await collection.checkpoint()
  await collection.delete(["doc-3"])
  await add(collection, 40, 75)
  await collection.checkpoint()
  await add(collection, 75, 80)
  expect(await collection.verify()).toMatchObject({ documents: 79 })
  const logBytes = (await collection.stats()).log_bytes
  const random = new Random(7)
  const paths: string[] = []
  for (const folder of ["", "/text", "/vector"]) {
    for (const { name, kind } of await storage.list(`collections/c${folder}`)) {
      if (kind === "file" && name !== "MANIFEST") paths.push(`collections/c${folder}/${name}`)
    }
  }
  expect(paths.length).toBeGreaterThan(9)
  for (const path of paths) {
    const bytes = await storage.read(path)
    for (let attempt = 0; attempt < 10; attempt++) {
      const damaged = bytes.slice()
      // Behind the frames of a log may be room for more, which means nothing.
      const at = random.below(path.endsWith(".log") ? logBytes : bytes.length)
      damaged[at] = (damaged[at] as number) ^ (1 << random.below(8))
      await storage.remove(path)
      await writeWhole(storage, path, damaged)
      const error = await refusal(collection.verify())
      expect(["CHECKSUM_MISMATCH", "CORRUPT", "TRUNCATED", "INCOMPATIBLE_VERSION"], `${path}, byte ${at}`).toContain(
        error.code,
      )
      expect(`${error.place}: ${error.message}`).toContain(path.slice(path.lastIndexOf("/") + 1))
    }
    await storage.remove(path)
    await writeWhole(storage, path, bytes)
  }
  await collection.verify()
})

describe("quotas", () => {
  test("of documents refuse what is new, document by document; what is there can be replaced", async () => {
    await using prism = await open(new LastingStorage())
    const collection = await prism.createCollection("c", { ...SCHEMA, quota: { max_documents: 3 } })
    await add(collection, 0, 2)
    const error = await refusal(collection.add([document(2), document(3), document(1, "again"), document(4)]))
    expect(error.code).toBe("QUOTA_EXCEEDED")
    expect(error.problems.map(({ place }) => place)).toContain('document "doc-3"')
    expect((await ids(collection)).length).toBe(3)
    await collection.add(document(0, "replaced"))
    expect(await refusalCode(collection.add(document(9)))).toBe("QUOTA_EXCEEDED")
    await collection.delete("doc-0")
    await collection.add(document(9))
    expect((await collection.stats()).document_count).toBe(3)
  })

  test("of size are met, and deleting makes room", async () => {
    await using prism = await open(new LastingStorage())
    const collection = await prism.createCollection("c", { ...SCHEMA, quota: { max_size_mb: 0.1 } })
    const large = (number: number) => document(number, `word${number} `.repeat(2000))
    let added = 0
    let error: { code: string } | undefined
    while (!error && added < 100) {
      error = await collection.add(large(added)).then(
        () => undefined,
        (refused) => refused,
      )
      if (!error) added++
    }
    expect(error?.code).toBe("QUOTA_EXCEEDED")
    expect((await collection.stats()).size_bytes).toBeLessThanOrEqual(100_000 + 1000)
    await collection.delete((await ids(collection)).slice(1))
    await collection.optimize()
    await collection.add(large(added))
  })

  test("do not keep a backup from being restored, but say so", async () => {
    await using prism = await open(new LastingStorage())
    const free = await prism.createCollection("free", SCHEMA)
    await add(free, 0, 5)
    const sink = collectSink()
    await free.export(sink.stream)
    const limited = await prism.createCollection("limited", { ...SCHEMA, quota: { max_documents: 2 } })
    await prism.restore(streamOf(sink.bytes()), { target: "limited", mode: "merge" })
    const archive = collectSink()
    expect((await limited.export(archive.stream)).document_count).toBe(5)
    const report = await prism.restore(streamOf(archive.bytes()), { target: "restored" })
    expect(report.documents_imported).toBe(5)
    expect(report.warnings.join()).toMatch(/quota of 2/)
    expect(await refusalCode((await prism.collection("restored")).add(document(9)))).toBe("QUOTA_EXCEEDED")
  })
})

test("a full disk rejects writes until there is room, loses nothing and keeps answering", async () => {
  const storage = new FaultyStorage()
  const prism = await open(storage, { ramDocuments: 6 })
  const collection = await prism.createCollection("c", SCHEMA)
  await add(collection, 0, 5)
  storage.capacity = storage.usedBytes + 2000
  let added = 5
  let error: { code: string } | undefined
  while (!error) {
    error = await collection.add(document(added)).then(
      () => undefined,
      (refused) => refused,
    )
    if (!error) added++
  }
  expect(error.code).toBe("DISK_FULL")
  expect((await collection.stats()).state).toBe("disk full")
  expect((await collection.search({ query: "common", limit: 0 })).total).toBe(added)
  // Not even what a seal that failed has given back.
  storage.capacity = 0
  expect(await refusalCode(collection.add(document(added)))).toBe("DISK_FULL")
  storage.capacity = Number.POSITIVE_INFINITY
  await add(collection, added, added + 20)
  expect((await collection.stats()).state).toBe("ready")
  expect((await ids(collection)).length).toBe(added + 20)
  storage.kill()
  await using again = await open(storage.process())
  expect((await ids(await again.collection("c"))).length).toBe(added + 20)
})

test("a collection is closed on a full disk as any other: what could not be folded stays in its logs", async () => {
  const storage = new FaultyStorage()
  const prism = await open(storage, { ramDocuments: 6 })
  const collection = await prism.createCollection("c", SCHEMA)
  await add(collection, 0, 6)
  // Room for a log and a manifest, not for a segment.
  storage.capacity = storage.usedBytes + 2000
  await collection.add(document(6))
  expect((await collection.stats()).pending_segments).toBe(1)
  await prism.close()
  storage.capacity = Number.POSITIVE_INFINITY
  await using again = await open(storage.process())
  expect((await ids(await again.collection("c"))).length).toBe(7)
})

test("recall compares the graph with every vector, and says what it cannot do", async () => {
  await using prism = await open(new LastingStorage(), { ramDocuments: 50 })
  const collection = await prism.createCollection("c", SCHEMA)
  expect(await collection.recall()).toMatchObject({ recall: null, samples: 0 })
  await add(collection, 0, 200)
  await collection.checkpoint()
  const { recall, samples, k } = await collection.recall({ samples: 20, k: 5 })
  expect([samples, k]).toEqual([20, 5])
  expect(recall).toBeGreaterThan(0.95)
  expect(await refusalCode(collection.recall({ samples: 0 }))).toBe("INVALID_REQUEST")
  const text = await prism.createCollection("text", { backends: { text: SCHEMA.backends.text } })
  expect(await refusalCode(text.recall())).toBe("INVALID_REQUEST")
})

test("an option that there is not is refused, with the one that was meant", async () => {
  await using prism = await open(new LastingStorage())
  const collection = await prism.createCollection("c", SCHEMA)
  const options = { onprogress: () => {} } as object
  for (const call of [
    () => collection.optimize(options),
    () => collection.settle(options),
    () => collection.verify(options),
    () => collection.export(collectSink().stream, options),
    () => prism.restore(streamOf(new Uint8Array(0)), options),
    () => prism.verify(streamOf(new Uint8Array(0)), options),
  ]) {
    const error = await refusal((async () => await call())())
    expect([error.code, error.hint]).toEqual(["INVALID_REQUEST", 'did you mean "onProgress"?'])
  }
  expect((await refusal(collection.recall({ sample: 5 } as object))).hint).toMatch(/samples/)
})

test("a program may wait for the merges that are due", async () => {
  const storage = new LastingStorage()
  for (let turn = 0; turn < 12; turn++) {
    await using prism = await open(storage, { mergeFactor: 4 })
    const collection = turn === 0 ? await prism.createCollection("c", SCHEMA) : await prism.collection("c")
    await add(collection, turn * 3, turn * 3 + 5)
    await collection.checkpoint()
    await collection.settle()
    expect((await collection.stats()).segment_count).toBeLessThan(8)
  }
  await using prism = await open(storage)
  expect((await ids(await prism.collection("c"))).length).toBe(38)
})
