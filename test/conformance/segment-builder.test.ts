import { describe, expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import { indexFields } from "../../src/collection/document.ts"
import { parseSchema } from "../../src/collection/schema.ts"
import { type BuildSource, type BuildTask, buildSegment } from "../../src/collection/segment-builder.ts"
import { type VerifiedSegments, verifySegments } from "../../src/collection/segment-verifier.ts"
import { Engine } from "../../src/engine/engine.ts"
import { TextSegment } from "../../src/engine/text-index.ts"
import { VectorSegment } from "../../src/engine/vector-index.ts"
import { DocumentStoreReader } from "../../src/storage/document-store.ts"
import type { SegmentEntry } from "../../src/storage/manifest.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { encodeTombstones } from "../../src/storage/tombstones.ts"
import { type Fault, FaultyStorage, writeWhole } from "../support/faulty-storage.ts"
import { Random } from "../support/random.ts"
import { refusal } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"
import {
  DIMENSION,
  liveBits,
  makeFolders,
  type Put,
  randomOrdinals,
  randomPut,
  SCHEMA,
  segmentSource,
  WORDS,
  writeLog,
} from "../support/segment-sources.ts"

const createSha256 = () => runtime.createSha256()

function task(sources: readonly BuildSource[], id: number, level = 0): BuildTask {
  return { directory: "c", schema: SCHEMA, id, stem: String(id).padStart(6, "0"), level, sources }
}

async function build(storage: Storage, sources: readonly BuildSource[], id: number, level = 0): Promise<SegmentEntry> {
  const entry = await buildSegment(storage, createSha256, task(sources, id, level))
  if (!entry) throw new Error("nothing was built")
  return entry
}

/** Names of all files but the logs. */
async function segmentFiles(storage: Storage): Promise<string[]> {
  const names = await Promise.all(["c/text", "c/vector"].map((folder) => storage.list(folder)))
  return names.flat().map(({ name }) => name)
}

/** Holds the files of a segment, each read with its own reader, against the documents that should be in it. */
async function expectHolds(storage: Storage, entry: SegmentEntry, expected: readonly Put[]): Promise<void> {
  const schema = parseSchema(SCHEMA, { from: "user" })
  expect(entry).toMatchObject({
    documentCount: expected.length,
    deletedCount: 0,
    vectorCount: expected.filter(({ vector }) => vector).length,
  })
  await using stored = await storage.open(`c/${entry.files.documents.path}`)
  const documents: { id: string; fieldsJson: string }[] = []
  for await (const { id, fieldsJson } of (await DocumentStoreReader.open(stored)).scan()) {
    documents.push({ id, fieldsJson })
  }
  expect(documents).toEqual(expected.map(({ id, fieldsJson }) => ({ id, fieldsJson })))

  const engine = new Engine()
  await using textFile = await storage.open(`c/${entry.files.text.path}`)
  using text = await TextSegment.open(engine, textFile, indexFields(schema))
  await text.loadAll()
  for (const word of WORDS) {
    const holders = expected.flatMap(({ fieldsJson }, docOrd) => (fieldsJson.includes(word) ? [docOrd] : []))
    expect([...text.lookup(1, word)]).toEqual(holders)
  }
  for (const [docOrd, { id }] of expected.entries()) expect([...text.lookup(0, id)]).toEqual([docOrd])

  const withVector = expected.flatMap(({ vector }, docOrd) => (vector ? [{ docOrd, vector }] : []))
  if (!entry.files.vector) return expect(withVector).toEqual([])
  await using vectorFile = await storage.open(`c/${entry.files.vector.path}`)
  const shape = { dimension: DIMENSION, metric: "euclidean", docCount: expected.length } as const
  using vectors = await VectorSegment.open(engine, vectorFile, shape)
  await vectors.load()
  for (const [docOrd, { vector }] of expected.entries()) expect(vectors.vector(docOrd)).toEqual(vector)
  const query = Float32Array.from({ length: DIMENSION }, (_, place) => place / DIMENSION)
  const distance = (vector: Float32Array) => vector.reduce((sum, x, place) => sum + (x - (query[place] ?? 0)) ** 2, 0)
  const nearest = withVector.toSorted((a, b) => distance(a.vector) - distance(b.vector)).slice(0, 5)
  // The graph of a hundred vectors misses nothing when half of them are looked at.
  const { docOrds } = vectors.search(query, { k: 5, ef: withVector.length })
  expect([...docOrds]).toEqual(nearest.map(({ docOrd }) => docOrd))
}

/** Two logs with updates and deletions between them, a segment of the first, and what is live in both. */
async function someSources(storage: Storage, seed: number) {
  const random = new Random(seed)
  await makeFolders(storage, "c")
  const first = Array.from({ length: 90 }, (_, place) => randomPut(random, `a${place}`))
  const second = Array.from({ length: 60 }, (_, place) => randomPut(random, `b${place}`))
  const deadInFirst = randomOrdinals(random, first.length, 0.1)
  const deadInSecond = randomOrdinals(random, second.length, 0.3)
  const log1 = await writeLog(storage, "c", 1, [
    ...first.slice(0, 40),
    { kind: "delete", id: "nobody" },
    ...first.slice(40),
  ])
  const log2 = await writeLog(storage, "c", 2, second, deadInSecond)
  const segment = await build(storage, [log1], 1)
  const sources = [segmentSource(segment, deadInFirst), log2]
  const live = [
    ...first.filter((_, docOrd) => !deadInFirst.has(docOrd)),
    ...second.filter((_, docOrd) => !deadInSecond.has(docOrd)),
  ]
  return { first, segment, sources, live }
}

describe("a build", () => {
  test("holds the live documents of its sources in their order, byte for byte", async () => {
    for (const seed of [1, 2, 3]) {
      const storage = new FaultyStorage()
      const { first, segment, sources, live } = await someSources(storage, seed)
      await expectHolds(storage, segment, first)
      const merged = await build(storage, sources, 2, 1)
      expect(merged).toMatchObject({ id: 2, level: 1 })
      expect(Object.values(merged.files).map(({ path }) => path)).toEqual([
        "text/000002.idx",
        "text/000002.docs",
        "vector/000002.hnsw",
      ])
      await expectHolds(storage, merged, live)
      // A graph that lost most of its vectors, and one that comes second.
      const deadInMerged = randomOrdinals(new Random(seed), live.length, 0.6)
      const third = Array.from({ length: 30 }, (_, place) => randomPut(new Random(place), `c${place}`))
      const behind = await build(storage, [await writeLog(storage, "c", 3, third)], 3)
      const again = await build(storage, [segmentSource(merged, deadInMerged), segmentSource(behind)], 4, 2)
      await expectHolds(storage, again, [...live.filter((_, docOrd) => !deadInMerged.has(docOrd)), ...third])
    }
  })

  test("gives the same files for the same sources, wherever they are", async () => {
    const [one, other] = [new FaultyStorage(), new FaultyStorage()]
    const entries = []
    for (const storage of [one, other]) entries.push(await build(storage, (await someSources(storage, 4)).sources, 2))
    expect(entries[0]).toEqual(entries[1])
  })

  test("is there after a crash once it has resolved", async () => {
    const storage = new FaultyStorage()
    const { sources, live } = await someSources(storage, 5)
    const entry = await build(storage, sources, 2)
    await expectHolds(await storage.crash(), entry, live)
  })

  test("makes no file where nothing lives, and none for vectors where there are none", async () => {
    const storage = new FaultyStorage()
    await makeFolders(storage, "c")
    const puts = [1, 2, 3].map((id) => ({ ...randomPut(new Random(id), `d${id}`), vector: undefined }))
    const log = await writeLog(storage, "c", 1, puts)
    const empty = await writeLog(storage, "c", 2, [{ kind: "delete", id: "d1" }])
    expect(
      await buildSegment(storage, createSha256, task([{ ...log, live: liveBits(3, new Set([0, 1, 2])) }], 1)),
    ).toBe(undefined)
    expect(await buildSegment(storage, createSha256, task([], 1))).toBe(undefined)
    expect(await segmentFiles(storage)).toEqual([])
    const entry = await build(storage, [log, empty], 1)
    expect(entry.files.vector).toBe(undefined)
    await expectHolds(storage, entry, puts)
  })

  test("of one large document and of many empty ones is a build like any other", async () => {
    const storage = new FaultyStorage()
    await makeFolders(storage, "c")
    const large: Put = {
      kind: "put",
      id: "large",
      fieldsJson: `{"words":"${"ash ".repeat(300_000)}"}`,
      vector: undefined,
    }
    const many = Array.from({ length: 3000 }, (_, place): Put => {
      return { kind: "put", id: `${place}`, fieldsJson: "{}", vector: undefined }
    })
    const entry = await build(storage, [await writeLog(storage, "c", 1, [large, ...many])], 1)
    await using file = await storage.open(`c/${entry.files.documents.path}`)
    const reader = await DocumentStoreReader.open(file)
    expect(await reader.get(0)).toEqual({ id: "large", fieldsJson: large.fieldsJson })
    expect(await reader.get(3000)).toEqual({ id: "2999", fieldsJson: "{}" })
  })

  test("tells of documents that are done, ascending and not beyond their number", async () => {
    const storage = new FaultyStorage()
    const { sources, live } = await someSources(storage, 6)
    const heard: number[] = []
    await buildSegment(storage, createSha256, task(sources, 2), { onProgress: (documents) => heard.push(documents) })
    expect(heard.length).toBeGreaterThan(0)
    expect(heard).toEqual(heard.toSorted((a, b) => a - b))
    expect(heard.at(-1)).toBeLessThanOrEqual(live.length)
  })
})

describe("a build that fails", () => {
  test("leaves no file, whichever operation failed", async () => {
    const faults: Fault[] = [
      { kind: "fail", code: "DISK_FULL" },
      { kind: "fail", code: "IO_ERROR" },
      { kind: "tear", part: 0.5 },
    ]
    const whole = new FaultyStorage()
    const { sources } = await someSources(whole, 7)
    const before = await segmentFiles(whole)
    for (const fault of faults) {
      for (let at = 0, isDone = false; !isDone; at++) {
        const storage = await FaultyStorage.from(whole)
        let operations = 0
        // Reads too.
        storage.faults = () => (operations++ === at ? fault : undefined)
        const outcome = await buildSegment(storage, createSha256, task(sources, 2)).catch((error: unknown) => error)
        isDone = operations <= at
        if (isDone) expect(outcome).toMatchObject({ id: 2 })
        else {
          expect(outcome, `operation ${at}`).toBeInstanceOf(PrismError)
          expect(outcome).toMatchObject({ code: fault.kind === "fail" ? fault.code : "IO_ERROR" })
          expect(await segmentFiles(storage), `operation ${at}`).toEqual(before)
        }
        expect(at).toBeLessThan(200)
      }
    }
  })

  test("leaves nothing but its own files where they cannot be removed, and makes them anew", async () => {
    const storage = new FaultyStorage()
    const { sources, live } = await someSources(storage, 8)
    const before = await segmentFiles(storage)
    let isBroken = false
    storage.faults = ({ kind, path }) => {
      isBroken ||= kind === "sync" && path === "c/vector/000002.hnsw"
      return isBroken ? { kind: "fail", code: "IO_ERROR" } : undefined
    }
    expect(await refusal(build(storage, sources, 2))).toMatchObject({ code: "IO_ERROR" })
    storage.faults = undefined
    const left = await segmentFiles(storage)
    expect(left.filter((name) => !before.includes(name))).toEqual(["000002.docs", "000002.idx", "000002.hnsw"])
    await expectHolds(storage, await build(storage, sources, 2), live)
  })

  test("ends of its signal with the signal's reason at any operation, and leaves no file", async () => {
    const reason = new Error("not wanted any more")
    let aborted = 0
    const whole = new FaultyStorage()
    const { sources } = await someSources(whole, 9)
    const before = await segmentFiles(whole)
    for (let at = 0, isDone = false; !isDone; at++) {
      const storage = await FaultyStorage.from(whole)
      const abort = new AbortController()
      let operations = 0
      storage.faults = () => {
        if (operations++ === at) abort.abort(reason)
        return undefined
      }
      const outcome = await buildSegment(storage, createSha256, task(sources, 2), { signal: abort.signal }).catch(
        (error: unknown) => error,
      )
      isDone = operations <= at
      if (outcome !== reason) continue // so near its end that it looked at the signal no more
      aborted++
      expect(await segmentFiles(storage), `operation ${at}`).toEqual(before)
    }
    expect(aborted).toBeGreaterThan(10)
    const signal = AbortSignal.abort(reason)
    await expect(buildSegment(whole, createSha256, task(sources, 2), { signal })).rejects.toBe(reason)
  })

  test("of a damaged source is CORRUPT and names the file", async () => {
    const random = new Random(10)
    const whole = new FaultyStorage()
    const { segment, sources } = await someSources(whole, 10)
    const expected = await build(whole, sources, 2)
    for (const file of [segment.files.documents.path, segment.files.vector?.path ?? "", "wal-000002.log"]) {
      const bytes = await whole.read(`c/${file}`)
      for (let flip = 0; flip < 60; flip++) {
        const damaged = bytes.slice()
        // The first and last bytes too: headers and footers.
        const at = flip < 10 ? flip * 3 : flip < 20 ? bytes.length - 1 - flip : random.below(bytes.length)
        damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8))
        const storage = await FaultyStorage.from(whole)
        await storage.remove(`c/${file}`)
        await writeWhole(storage, `c/${file}`, damaged)
        const outcome = await build(storage, sources, 4).catch((error: unknown) => error)
        if (!(outcome instanceof PrismError)) {
          // A byte that nothing reads, such as padding: then the segment is what it is without the damage.
          expect(outcome).toMatchObject({ documentCount: expected.documentCount, vectorCount: expected.vectorCount })
          expect((outcome as SegmentEntry).files.documents.sha256).toBe(expected.files.documents.sha256)
          continue
        }
        expect(["CORRUPT", "TRUNCATED", "INCOMPATIBLE_VERSION"], `${file}, byte ${at}`).toContain(outcome.code)
        expect(outcome.place).toContain(file)
      }
      const storage = await FaultyStorage.from(whole)
      await storage.remove(`c/${file}`)
      const missing = await refusal(build(storage, sources, 4))
      expect(missing.code).toBe("CORRUPT")
      expect(missing.place).toContain(file)
    }
  })

  test("of a document that the schema refuses, or of another number of them, is CORRUPT", async () => {
    const storage = new FaultyStorage()
    await makeFolders(storage, "c")
    const put = randomPut(new Random(11), "a")
    const logs: [name: string, source: BuildSource][] = [
      ["no JSON", await writeLog(storage, "c", 1, [{ ...put, fieldsJson: '{"words":' }])],
      ["another type", await writeLog(storage, "c", 2, [{ ...put, fieldsJson: '{"number":"one"}' }])],
      ["another dimension", await writeLog(storage, "c", 3, [{ ...put, vector: new Float32Array(DIMENSION + 1) }])],
    ]
    const two = await writeLog(storage, "c", 4, [put, { ...put, id: "b" }])
    logs.push(["one document fewer", { ...two, documentCount: 3, live: liveBits(3, new Set()) } as BuildSource])
    logs.push(["one document more", { ...two, documentCount: 1, live: liveBits(1, new Set()) } as BuildSource])
    for (const [name, source] of logs) {
      const error = await refusal(build(storage, [source], 1))
      expect(error.code, name).toBe("CORRUPT")
      expect(error.place, name).toContain((source as { log: { path: string } }).log.path)
      expect(await segmentFiles(storage)).toEqual([])
    }
  })
})

/** The segment with some documents marked deleted. */
async function withTombstones(storage: Storage, entry: SegmentEntry, dead: ReadonlySet<number>): Promise<SegmentEntry> {
  const path = `text/${entry.id}.live`
  const bytes = encodeTombstones(liveBits(entry.documentCount, dead), entry.documentCount)
  await writeWhole(storage, `c/${path}`, bytes)
  const sha256 = createSha256()
  sha256.update(bytes)
  const tombstones = { path, length: bytes.length, sha256: sha256.digestHex() }
  return { ...entry, deletedCount: dead.size, files: { ...entry.files, tombstones } }
}

describe("verifying segments", () => {
  const request = (entries: readonly SegmentEntry[]) => ({ directory: "c", schema: SCHEMA, entries })

  test("counts what it has read", async () => {
    const storage = new FaultyStorage()
    const { segment, sources, live } = await someSources(storage, 12)
    const merged = await withTombstones(storage, await build(storage, sources, 2), new Set([3, 5]))
    const files = [segment, merged].flatMap((entry) => Object.values(entry.files))
    const found: VerifiedSegments[] = []
    for (const one of [segment, merged]) found.push(await verifySegments(storage, createSha256, request([one])))
    const sum = (key: "files" | "bytes" | "documents") => found.reduce((total, counts) => total + counts[key], 0)
    expect([sum("files"), sum("bytes"), sum("documents")]).toEqual([
      7,
      files.reduce((total, { length }) => total + length, 0),
      90 + live.length,
    ])
  })

  test("finds a document that is live in two of them", async () => {
    const storage = new FaultyStorage()
    const { segment, sources } = await someSources(storage, 12)
    const merged = await build(storage, sources, 2)
    const error = await refusal(verifySegments(storage, createSha256, request([segment, merged])))
    expect([error.code, error.message]).toEqual(["CORRUPT", expect.stringContaining("which is live in")])
  })

  test("finds every changed byte of every file, and names the file", async () => {
    const random = new Random(13)
    const whole = new FaultyStorage()
    const segment = await withTombstones(whole, (await someSources(whole, 13)).segment, new Set([0, 89]))
    for (const { path } of Object.values(segment.files)) {
      const bytes = await whole.read(`c/${path}`)
      for (let flip = 0; flip < 60; flip++) {
        const damaged = bytes.slice()
        const at = flip < 10 ? flip * 3 : flip < 20 ? bytes.length - 1 - flip : random.below(bytes.length)
        damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8))
        const storage = await FaultyStorage.from(whole)
        await storage.remove(`c/${path}`)
        await writeWhole(storage, `c/${path}`, flip === 20 ? bytes.subarray(0, -1) : damaged)
        const error = await refusal(verifySegments(storage, createSha256, request([segment])))
        expect(["CORRUPT", "TRUNCATED", "INCOMPATIBLE_VERSION"]).toContain(error.code)
        expect(error.place).toContain(path)
      }
      const storage = await FaultyStorage.from(whole)
      await storage.remove(`c/${path}`)
      const missing = await refusal(verifySegments(storage, createSha256, request([segment])))
      expect(missing.code).toBe("CORRUPT")
      expect(missing.place).toContain(path)
    }
  })

  test("finds files of another segment, each whole in itself", async () => {
    const storage = new FaultyStorage()
    const { segment, sources } = await someSources(storage, 14)
    const merged = await build(storage, sources, 2)
    for (const kind of ["text", "documents", "vector"] as const) {
      const mixed = { ...merged, files: { ...merged.files, [kind]: segment.files[kind] } }
      const error = await refusal(verifySegments(storage, createSha256, request([mixed])))
      expect(error.code, kind).toBe("CORRUPT")
    }
    const marked = await withTombstones(storage, segment, new Set([1]))
    for (const counted of [
      { ...segment, vectorCount: segment.vectorCount - 1 },
      { ...marked, deletedCount: 2 },
    ]) {
      expect((await refusal(verifySegments(storage, createSha256, request([counted])))).code).toBe("CORRUPT")
    }
  })

  test("ends of its signal with the signal's reason", async () => {
    const storage = new FaultyStorage()
    const { segment } = await someSources(storage, 15)
    const reason = new Error("not wanted any more")
    const abort = new AbortController()
    storage.faults = ({ kind }) => {
      if (kind === "read") abort.abort(reason)
      return undefined
    }
    const { signal } = abort
    await expect(verifySegments(storage, createSha256, request([segment]), { signal })).rejects.toBe(reason)
  })
})
