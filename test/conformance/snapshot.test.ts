// Snapshots and encrypted archives of whole collections: what goes in comes out, through every way in and out.
import { describe, expect, test, vi } from "vitest"
import xxhash from "xxhash-wasm"
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../src/base/bytes.ts"
import { diffArchives } from "../../src/collection/archive/diff.ts"
import type { ArchiveSource, ExportOptions } from "../../src/collection/archive/options.ts"
import { viewArchive } from "../../src/collection/archive/view-archive.ts"
import type { Collection } from "../../src/collection/collection.ts"
import type { Tuning } from "../../src/collection/context.ts"
import { Prism } from "../../src/collection/prism.ts"
import { TextWriter } from "../../src/engine/text-index.ts"
import { VectorWriter } from "../../src/engine/vector-index.ts"
import { generateKey, type Key, parseKey } from "../../src/formats/key.ts"
import { decompressSeekable } from "../../src/formats/seekable-zstd.ts"
import { storeFrame } from "../../src/formats/zstd-frame.ts"
import type { RandomAccess } from "../../src/runtime.ts"
import { readManifest } from "../../src/storage/manifest.ts"
import type { ReadableFile, Storage } from "../../src/storage/storage.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { Random } from "../support/random.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"
import { collectSink, lines, streamOf } from "../support/streams.ts"

const SCHEMA = {
  backends: {
    text: {
      fields: [
        { name: "words", type: "text" },
        { name: "hidden", type: "text", stored: false },
        { name: "number", type: "i64" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: 3, distance: "euclidean" },
  },
} as const

const open = async (storage: Storage = new LastingStorage(), tuning: Partial<Tuning> = {}): Promise<Prism> =>
  await Prism.openStorage(storage, runtime, { tuning })

const document = (number: number, words = `word${number} common`) => ({
  id: `doc-${number}`,
  fields: { words, hidden: `secret${number}`, number, other: { kept: [number, null] } },
  ...(number % 4 === 0 ? {} : { vector: [number % 7, number % 11, number] }),
})

/** Sealed segments with deletions, merged ones, and documents that are in the log alone. */
async function fill(prism: Prism, count = 60): Promise<Collection> {
  const collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
  await collection.add(Array.from({ length: count }, (_, number) => document(number)))
  await collection.checkpoint()
  await collection.delete(["doc-3", "doc-17"])
  await collection.add([document(5, "changed words"), document(count)])
  return collection
}

async function exported(collection: Collection, options: ExportOptions = { format: "snapshot" }) {
  const sink = collectSink()
  const report = await collection.export(sink.stream, options)
  return { bytes: sink.bytes(), report }
}

async function documentsOf(collection: Collection): Promise<string> {
  return lines((await exported(collection, { format: "portable" })).bytes)
    .slice(1)
    .join("\n")
}

async function tarOf(bytes: Uint8Array): Promise<Uint8Array> {
  const chunks: Uint8Array[] = []
  for await (const chunk of decompressSeekable(once(bytes), runtime.zstd)) chunks.push(chunk.slice())
  return concatBytes(chunks)
}

async function* once(bytes: Uint8Array) {
  yield bytes
}

function fileOf(bytes: Uint8Array): RandomAccess {
  return { size: bytes.length, read: async (offset, length) => bytes.slice(offset, offset + length) }
}

const key = (): Key => parseKey(generateKey())

describe("a snapshot", () => {
  test.each([
    ["in memory", {}],
    ["of many small segments", { ramDocuments: 7, mergeFactor: 3 }],
  ])("brings everything back as it was: %s", async (_, tuning) => {
    await using prism = await open(new LastingStorage(), tuning)
    const collection = await fill(prism)
    const { bytes, report } = await exported(collection)
    expect(report).toMatchObject({ collection: "c", format: "snapshot", document_count: 59, size_bytes: bytes.length })
    await using other = await open()
    const restored = await other.restore(streamOf(bytes), { target: "r" })
    expect(restored).toMatchObject({
      ...{ collection: "r", format: "snapshot", documents_imported: 59, checksum: "verified", warnings: [] },
      file_sha256: report.file_sha256,
    })
    expect(restored.files_extracted).toBeGreaterThan(1)
    const copy = await other.collection("r")
    expect(await documentsOf(copy)).toBe(await documentsOf(collection))
    for (const request of [
      { query: "common", limit: 100 },
      { query: "changed" },
      { query: "secret12" },
      { query: "words:common", vector: [1, 2, 30], filter: "number:[10 TO 40]", limit: 20 },
      { vector: [0, 5, 17], limit: 60 },
    ]) {
      const [ours, theirs] = [await collection.search(request), await copy.search(request)]
      expect([theirs.total, theirs.results]).toEqual([ours.total, ours.results])
    }
    await copy.add(document(3))
    expect((await copy.search({ query: "word3" })).total).toBe(1)
    await expect(copy.verify()).resolves.toMatchObject({ documents: 60 })
  })

  test("is not indexed again: no document goes into an engine, and the files are the same", async () => {
    const [storage, others] = [new LastingStorage(), new LastingStorage()]
    await using prism = await open(storage)
    const collection = await fill(prism)
    const { bytes } = await exported(collection)
    const inserts = [vi.spyOn(TextWriter.prototype, "add"), vi.spyOn(VectorWriter.prototype, "add")]
    try {
      await using other = await open(others)
      await other.restore(streamOf(bytes))
      expect(inserts.map((spy) => spy.mock.calls.length)).toEqual([0, 0])
    } finally {
      for (const spy of inserts) spy.mockRestore()
    }
    const hashes = async (from: Storage) =>
      (await readManifest(from, "collections/c")).segments.map(({ files }) =>
        Object.entries(files).map(([kind, { length, sha256 }]) => ({ kind, length, sha256 })),
      )
    expect(await hashes(others)).toEqual(await hashes(storage))
  })

  test("of one generation is one tar, whoever makes it", async () => {
    await using folder = await temporaryFolder()
    const storage = await runtime.openStorage(folder.path, { create: true })
    await using prism = await open(storage)
    const collection = await fill(prism)
    const first = await exported(collection)
    const second = await exported(collection)
    expect(second.report.checksum).toBe(first.report.checksum)
    expect(await tarOf(second.bytes)).toEqual(await tarOf(first.bytes))
    await using reader = await Prism.openStorage(
      await runtime.openStorage(folder.path, { create: false, readOnly: true }),
      runtime,
      { readOnly: true },
    )
    const third = await exported(await reader.collection("c"))
    expect(await tarOf(third.bytes)).toEqual(await tarOf(first.bytes))
  })

  test("of a collection that is only read holds what is in its log alone", async () => {
    const storage = new LastingStorage()
    await using prism = await open(storage)
    const collection = await fill(prism)
    await using reader = await Prism.openStorage(storage, runtime, { readOnly: true })
    const { bytes } = await exported(await reader.collection("c"))
    await using other = await open()
    await other.restore(streamOf(bytes))
    expect(await documentsOf(await other.collection("c"))).toBe(await documentsOf(collection))
  })

  test("of an empty collection is an empty collection", async () => {
    await using prism = await open()
    const collection = await prism.createCollection("c", SCHEMA)
    const { bytes } = await exported(collection as unknown as Collection)
    await using other = await open()
    expect(await other.restore(streamOf(bytes))).toMatchObject({ documents_imported: 0, files_extracted: 0 })
    const copy = await other.collection("c")
    await copy.add(document(1))
    expect((await copy.search({ query: "common" })).total).toBe(1)
  })

  test("goes by the rules of a restore: fail, replace, merge, another name, a schema that does not fit", async () => {
    await using prism = await open()
    const collection = await fill(prism)
    const { bytes } = await exported(collection)
    expect(await refusalCode(prism.restore(streamOf(bytes)))).toBe("COLLECTION_EXISTS")
    expect(await refusalCode(prism.restore(streamOf(bytes), { target: "../c" }))).toBe("INVALID_NAME")
    await collection.delete("doc-1")
    await collection.add([document(2, "newer"), document(100)])
    await prism.restore(streamOf(bytes), { mode: "merge" })
    const merged = await prism.collection("c")
    expect((await merged.stats()).document_count).toBe(60)
    expect((await merged.get("doc-1"))?.fields).toMatchObject({ words: "word1 common" })
    expect((await merged.get("doc-2"))?.fields).toMatchObject({ words: "word2 common" })
    expect(await merged.get("doc-100")).toBeDefined()
    await prism.restore(streamOf(bytes), { mode: "replace" })
    const replaced = await prism.collection("c")
    expect([(await replaced.stats()).document_count, await replaced.get("doc-100")]).toEqual([59, undefined])
    await prism.createCollection("other", { backends: { text: { fields: [{ name: "words", type: "string" }] } } })
    const conflict = await refusal(prism.restore(streamOf(bytes), { target: "other", mode: "merge" }))
    expect([conflict.code, conflict.message]).toEqual([
      "SCHEMA_CONFLICT",
      'Schema conflict: field "words" is string here, text in the archive',
    ])
  })

  test("is refused before anything of it is written, where that is known", async () => {
    const storage = new LastingStorage()
    await using prism = await open(storage)
    const { bytes } = await exported(await fill(prism))
    const create = vi.spyOn(storage, "create")
    expect(await refusalCode(prism.restore(streamOf(bytes)))).toBe("COLLECTION_EXISTS")
    expect(create).not.toHaveBeenCalled()
  })

  test("leaves nothing when it is only tried, or given up", async () => {
    const storage = new LastingStorage()
    await using prism = await open()
    const { bytes } = await exported(await fill(prism))
    await using other = await open(storage)
    const tried = await other.restore(streamOf(bytes), { dryRun: true })
    expect(tried).toMatchObject({ documents_imported: 59, checksum: "verified" })
    expect([await other.collectionNames(), await storage.list("staging")]).toEqual([[], []])
    const abort = new AbortController()
    const reason = new Error("given up")
    const restoring = other.restore(streamOf(bytes, 100), {
      signal: abort.signal,
      onProgress: () => abort.abort(reason),
    })
    await expect(restoring).rejects.toBe(reason)
    expect([await other.collectionNames(), await storage.list("staging")]).toEqual([[], []])
    const sink = collectSink()
    const stop = new AbortController()
    const collection = await prism.collection("c")
    await expect(
      collection.export(sink.stream, {
        format: "snapshot",
        signal: stop.signal,
        onProgress: () => stop.abort(reason),
      }),
    ).rejects.toBe(reason)
    expect(sink.aborted()).toBe(true)
  })

  test("is one moment while others write", async () => {
    await using prism = await open(new LastingStorage(), { ramDocuments: 20, mergeFactor: 3 })
    const collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
    const random = new Random(5)
    let acknowledged = 0
    let isWriting = true
    const write = async () => {
      while (isWriting) {
        // The two always have the same words: no moment shows them apart.
        const words = `round${acknowledged} ${random.below(9)}`
        await collection.add([document(1, words), document(2, words), document(10 + (acknowledged % 50))])
        acknowledged++
      }
    }
    const writing = write()
    await using other = await open()
    try {
      for (let round = 0; round < 8; round++) {
        const before = acknowledged
        const { bytes } = await exported(collection)
        await other.restore(streamOf(bytes), { target: `r${round}` })
        const copy = await other.collection(`r${round}`)
        const [one, two] = [await copy.get("doc-1"), await copy.get("doc-2")]
        expect(one?.fields["words"]).toBe(two?.fields["words"])
        if (before > 0) expect(Number(/\d+/.exec(String(one?.fields["words"]))?.[0])).toBeGreaterThanOrEqual(before - 1)
        await copy.verify()
      }
    } finally {
      isWriting = false
      await writing
    }
  })
})

describe("a part of an archive", () => {
  test.each(["portable", "snapshot"] as const)("by query, and by ids: %s", async (format) => {
    await using prism = await open(new LastingStorage(), { ramDocuments: 13 })
    const { bytes } = await exported(await fill(prism), { format })
    const storage = new LastingStorage()
    await using other = await open(storage)
    const matching = await other.restore(streamOf(bytes), { target: "q", where: "number:[10 TO 19]" })
    expect([matching.documents_imported, matching.ids_missing]).toEqual([9, []])
    const found = await (await other.collection("q")).search({ query: "common", limit: 50 })
    expect(found.results.map(({ id }) => id).sort()).toEqual(
      [10, 11, 12, 13, 14, 15, 16, 18, 19].map((number) => `doc-${number}`),
    )
    const chosen = await other.restore(streamOf(bytes), { target: "i", ids: ["doc-5", "doc-3", "doc-60", "none"] })
    expect([chosen.documents_imported, chosen.ids_missing]).toEqual([2, ["doc-3", "none"]])
    const copy = await other.collection("i")
    expect((await copy.get("doc-5"))?.fields).toMatchObject({ words: "changed words" })
    expect((await copy.stats()).deleted_count).toBe(0)
    // What was left out is in no file of it.
    await copy.verify()
    const none = await other.restore(streamOf(bytes), { target: "none", where: "number:7777" })
    expect(none.documents_imported).toBe(0)
    expect(await refusalCode(other.restore(streamOf(bytes), { target: "x", where: "number:[1 TO" }))).toBe(
      "INVALID_QUERY",
    )
    expect(await refusalCode(other.restore(streamOf(bytes), { target: "x", where: "a", ids: ["a"] }))).toBe(
      "INVALID_REQUEST",
    )
    expect(await storage.list("staging")).toEqual([])
  })
})

describe("an encrypted archive", () => {
  const passphrase: Key = { kind: "passphrase", passphrase: "correct horse" }

  test("opens by each of its keys, as a stream and as a file, and by no other", async () => {
    const keys = [key(), key(), passphrase]
    await using prism = await open()
    const collection = await fill(prism)
    const { bytes, report } = await exported(collection, { encryption: { keys } })
    expect(report).toMatchObject({ format: "encrypted", document_count: 59 })
    await using other = await open()
    for (const [place, one] of keys.entries()) {
      const source: ArchiveSource = place === 1 ? fileOf(bytes) : streamOf(bytes)
      const restored = await other.restore(source, { keys: [key(), one], target: `r${place}` })
      expect(restored).toMatchObject({ format: "encrypted", file_sha256: report.file_sha256 })
      expect(await documentsOf(await other.collection(`r${place}`))).toBe(await documentsOf(collection))
    }
    expect(await refusalCode(other.restore(streamOf(bytes)))).toBe("INVALID_KEY")
    expect(await refusalCode(other.restore(streamOf(bytes), { keys: [key()], target: "x" }))).toBe("DECRYPTION_FAILED")
    expect(await other.verify(streamOf(bytes), { keys: [keys[1] as Key] })).toMatchObject({ document_count: 59 })
    expect(decodeUtf8(bytes)).not.toContain("common")
  })

  test("of version 1 comes in from a file, and from a stream", async () => {
    const storage = new LastingStorage()
    const one = key()
    await using prism = await open()
    const collection = await fill(prism)
    const { bytes, report } = await exported(collection, { encryption: { keys: [one], version: 1 } })
    expect(bytes[4]).toBe(1)
    const opened: ReadableFile[] = []
    const original = storage.open.bind(storage)
    vi.spyOn(storage, "open").mockImplementation(async (path) => {
      const file = await original(path)
      if (path.startsWith("staging/") && path.endsWith("/archive")) opened.push(file)
      return file
    })
    await using other = await open(storage)
    for (const [name, source] of [
      ["file", fileOf(bytes)],
      ["stream", streamOf(bytes)],
    ] as const) {
      const restored = await other.restore(source, { keys: [one], target: name })
      expect(restored).toMatchObject({ format: "encrypted", file_sha256: report.file_sha256 })
      expect(await documentsOf(await other.collection(name))).toBe(await documentsOf(collection))
      const damaged = bytes.slice()
      damaged[damaged.length - 20] = (damaged[damaged.length - 20] as number) ^ 1
      const again: ArchiveSource = name === "file" ? fileOf(damaged) : streamOf(damaged)
      expect(await refusalCode(other.restore(again, { keys: [one], target: "x" }))).toBe("DECRYPTION_FAILED")
    }
    expect(await storage.list("staging")).toEqual([])
    expect(opened).toHaveLength(2)
    for (const file of opened) expect(await refusalCode(file.read(0, 1))).toBe("CLOSED")
    expect(await other.verify(fileOf(bytes), { keys: [one] })).toMatchObject({ document_count: 59 })
    expect(await refusalCode(other.verify(streamOf(bytes), { keys: [one] }))).toBe("INVALID_REQUEST")
    for (const keys of [[passphrase], [one, one]]) {
      const refused = exported(collection, { encryption: { keys, version: 1 } })
      expect(await refusalCode(refused)).toBe("INVALID_REQUEST")
    }
    expect(await refusalCode(exported(collection, { format: "portable", encryption: { keys: [one] } }))).toBe(
      "INVALID_REQUEST",
    )
  })
})

describe("an archive, without restoring it", () => {
  test("shows its entries and its documents", async () => {
    const keys = [key()]
    await using prism = await open(new LastingStorage(), { ramDocuments: 13 })
    const collection = await fill(prism)
    const documents = `${await documentsOf(collection)}\n`
    for (const options of [
      { format: "portable" },
      { format: "snapshot" },
      { encryption: { keys } },
      { encryption: { keys, version: 1 } },
    ] as const) {
      const { bytes, report } = await exported(collection, options)
      await using view = await viewArchive(fileOf(bytes), keys, runtime)
      expect([view.format, view.collection, view.documentCount]).toEqual([report.format, "c", 59])
      const read = async (name: string) => {
        const chunks: Uint8Array[] = []
        for await (const chunk of view.read(name)) chunks.push(chunk.slice())
        return concatBytes(chunks)
      }
      expect(decodeUtf8(await read("documents.jsonl"))).toBe(documents)
      expect(decodeUtf8(await read("schema.yaml"))).toContain("collection: c")
      for (const { name, size } of view.entries) if (size !== undefined) expect((await read(name)).length).toBe(size)
      expect(await refusalCode(read("text/none"))).toBe("FILE_NOT_FOUND")
    }
  })

  test("is compared with another, whatever their formats", async () => {
    await using prism = await open()
    const collection = await fill(prism)
    const before = await exported(collection, { format: "portable" })
    await collection.delete(["doc-8", "doc-9"])
    await collection.add([document(10, "other words"), document(11), document(70)])
    const after = await exported(collection)
    for (const linesPerPass of [1_000, 7]) {
      await using first = await viewArchive(fileOf(before.bytes), [], runtime)
      await using second = await viewArchive(fileOf(after.bytes), [], runtime)
      const createSha256 = () => runtime.createSha256()
      const found: string[] = []
      for await (const { change, id } of diffArchives(first, second, { createSha256, linesPerPass })) {
        found.push(`${change} ${id}`)
      }
      expect(found.sort()).toEqual(["added doc-70", "changed doc-10", "removed doc-8", "removed doc-9"])
      for await (const difference of diffArchives(second, second, { createSha256, linesPerPass })) {
        expect(difference).toBe("nothing differs from itself")
      }
    }
  })
})

test("a snapshot whose frames are too large to be read at any place is whole all the same", async () => {
  await using prism = await open()
  const collection = await fill(prism)
  const random = new Random(1)
  const noise = () => String.fromCharCode(...Array.from({ length: 1024 }, () => 32 + random.below(90)))
  const large = Array.from({ length: 5 }, (_, number) => ({
    id: `large-${number}`,
    fields: { other: Array.from({ length: 1024 }, noise) },
  }))
  await collection.add(large)
  const tar = await tarOf((await exported(collection)).bytes)
  const frame = storeFrame(tar, (await xxhash()).h64Raw(tar))
  const table = Uint32Array.of(0x184d2a5e, 17, frame.length, tar.length, 1).buffer
  const packed = concatBytes([frame, new Uint8Array(table), Uint8Array.of(0, 0xb1, 0xea, 0x92, 0x8f)])
  expect(await prism.verify(fileOf(packed))).toMatchObject({ document_count: 64 })
  expect(await prism.restore(fileOf(packed), { target: "x" })).toMatchObject({ documents_imported: 64 })
  expect((await refusal(viewArchive(fileOf(packed), [], runtime))).message).toContain("cannot be looked into")
})

test("an archive that says that it holds less than it does is compared no further than that", async () => {
  const createSha256 = () => runtime.createSha256()
  let taken = 0
  const archive = {
    documentCount: 10,
    graphLineCount: undefined,
    async *graph() {},
    async *documents() {
      for (; ; taken++) yield encodeUtf8(`{"id":"${taken}","fields":{}}`)
    },
  }
  const differences = diffArchives(archive, archive, { createSha256 })
  expect(await refusalCode(differences.next())).toBe("CORRUPT")
  expect(taken).toBe(10)
})

describe("what is no archive", () => {
  test("is told so, with a hint", async () => {
    await using prism = await open()
    const { bytes } = await exported(await fill(prism))
    for (const wrong of ["", "PK\u0003\u0004", "hello", "PENC"].map(encodeUtf8)) {
      const error = await refusal(prism.restore(streamOf(wrong), { target: "x", keys: [key()] }))
      expect([error.code, error.hint !== undefined]).toEqual(["INVALID_FORMAT", true])
    }
    expect(await refusalCode(prism.restore(streamOf(bytes), { target: "x", format: "portable" }))).toBe(
      "INVALID_FORMAT",
    )
    expect(await prism.collectionNames()).toEqual(["c"])
  })
})

test("what JavaScript may ask for is refused before anything is done, with what was meant", async () => {
  await using prism = await open()
  const collection = await fill(prism)
  const untyped = collection as unknown as { export(sink: unknown, options?: unknown): Promise<unknown> }
  const restoring = prism as unknown as { restore(source: unknown, options?: unknown): Promise<unknown> }
  const sink = () => collectSink().stream
  for (const [call, code, hint] of [
    [untyped.export({}), "INVALID_REQUEST", "Writable.toWeb"],
    [untyped.export(sink(), { format: "zip" }), "INVALID_REQUEST", '"portable" or "snapshot"'],
    [untyped.export(sink(), { encryption: {} }), "INVALID_KEY", "parseKey"],
    [untyped.export(sink(), { encryption: { keys: [] } }), "INVALID_KEY", "parseKey"],
    [untyped.export(sink(), { encryption: { keys: ["00"] } }), "INVALID_KEY", "parseKey"],
    [untyped.export(sink(), { encryption: { keys: [key()], version: 3 } }), "INVALID_REQUEST", "2 (default) or 1"],
    [restoring.restore({}), "INVALID_REQUEST", "Readable.toWeb"],
    [restoring.restore(null), "INVALID_REQUEST", "Readable.toWeb"],
    [restoring.restore(streamOf(new Uint8Array(9)), { keys: "00" }), "INVALID_KEY", "parseKey"],
    [restoring.restore(streamOf(new Uint8Array(9)), { format: "tar" }), "INVALID_REQUEST", '"portable" or "snapshot"'],
  ] as const) {
    const error = await refusal(call)
    expect([error.code, error.hint]).toEqual([code, expect.stringContaining(hint)])
  }
})
