// Exports while others write: each holds exactly what some number of operations, in the order in which they were called,
// had left: at least those acknowledged when it was called, at most those called when its first byte came.
import { expect, test } from "vitest"
import type { Collection } from "../src/collection/collection.ts"
import { Prism } from "../src/collection/prism.ts"
import type { Codecs } from "../src/runtime.ts"
import { MemoryStorage } from "../src/storage/memory-storage.ts"
import { Random } from "./support/random.ts"
import { runtime, temporaryFolder } from "./support/runtime.ts"
import { collectSink, lines, streamOf } from "./support/streams.ts"

/** A snapshot is restored each time, to see what is in it. */
const EXPORTS = { portable: 20, snapshot: 6 }
const WRITERS = 4
const IDS = 150
const SCHEMA = {
  backends: {
    text: {
      fields: [
        { name: "words", type: "text" },
        { name: "operation", type: "i64" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: 3, distance: "euclidean" },
  },
} as const
/** Small, so that segments are sealed and merged all the time. */
const TUNING = { ramDocuments: 40, mergeFactor: 3 }

/** One operation on one document: a put, or a delete. */
interface Operation {
  readonly id: string
  readonly isDelete: boolean
}

/** Every operation that was called, by its number, and which calls of them were acknowledged. */
class History {
  readonly operations: Operation[] = []
  /** Operations before this number are acknowledged, all of them. */
  acknowledged = 0
  readonly #ends: { readonly end: number; isDone: boolean }[] = []
  #waiting: { readonly until: number; readonly resolve: () => void }[] = []

  async call(operations: readonly Operation[], run: (first: number) => Promise<unknown>): Promise<void> {
    const first = this.operations.length
    this.operations.push(...operations)
    const call = { end: this.operations.length, isDone: false }
    this.#ends.push(call)
    await run(first)
    call.isDone = true
    while (this.#ends[0]?.isDone) this.acknowledged = this.#ends.shift()?.end ?? 0
    for (const { until, resolve } of this.#waiting) if (until <= this.acknowledged) resolve()
    this.#waiting = this.#waiting.filter(({ until }) => until > this.acknowledged)
  }

  /** Resolves when so many more operations were acknowledged. */
  async progress(count: number): Promise<void> {
    const until = this.acknowledged + count
    await new Promise<void>((resolve) => this.#waiting.push({ until, resolve }))
  }

  /** The numbers of the operations that wrote what is there after the first `count`, in the order of the last writes. */
  replay(count: number): number[] {
    const state = new Map<string, number>()
    for (const [number, { id, isDelete }] of this.operations.slice(0, count).entries()) {
      state.delete(id)
      if (!isDelete) state.set(id, number)
    }
    return [...state.values()]
  }
}

function documentOf(id: string, number: number) {
  return {
    id,
    fields: { words: `operation${number} writes ${id}`, operation: number },
    ...(number % 3 ? { vector: [number % 100, Math.floor(number / 100), 1] } : {}),
  }
}

/** Writes until it is told to stop. */
async function keepWriting(collection: Collection, history: History, seed: number, signal: AbortSignal): Promise<void> {
  const random = new Random(seed)
  while (!signal.aborted) {
    const isDelete = random.below(5) === 0
    const ids = new Set(Array.from({ length: 1 + random.below(6) }, () => `d${random.below(IDS)}`))
    await history.call(
      [...ids].map((id) => ({ id, isDelete })),
      (first) =>
        isDelete
          ? collection.delete([...ids])
          : collection.add([...ids].map((id, place) => documentOf(id, first + place))),
    )
  }
}

const storages = {
  memory: async () => ({ storage: new MemoryStorage(), [Symbol.asyncDispose]: async () => {} }),
  "local files": async () => {
    const folder = await temporaryFolder()
    const storage = await runtime.openStorage(folder.path, { create: true })
    return { storage, [Symbol.asyncDispose]: folder[Symbol.asyncDispose] }
  },
}

/** The documents of an archive as lines of JSON. */
async function documentsOf(archive: Uint8Array, format: "portable" | "snapshot"): Promise<string[]> {
  if (format === "portable") return lines(archive).slice(1)
  await using prism = await Prism.openStorage(new MemoryStorage(), runtime)
  await prism.restore(streamOf(archive, 64 * 1024))
  const sink = collectSink()
  await (await prism.collection("c")).export(sink.stream)
  return lines(sink.bytes()).slice(1)
}

test.each([
  ["portable", "memory"],
  ["portable", "local files"],
  ["snapshot", "memory"],
  ["snapshot", "local files"],
] as const)("%s, %s: each of many exports equals one moment while others write", async (format, storage) => {
  await using opened = await storages[storage]()
  // Without workers: what is built in the background takes turns with the writers here, and so in every run.
  const withoutWorkers: Codecs = Object.fromEntries(
    Object.entries(runtime).filter(([name]) => name !== "startWorker"),
  ) as unknown as Codecs
  await using prism = await Prism.openStorage(opened.storage, withoutWorkers, { tuning: TUNING })
  const collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
  const history = new History()
  const stop = new AbortController()
  const writers = Array.from({ length: WRITERS }, (_, seed) => keepWriting(collection, history, seed, stop.signal))
  let generationsWhileExporting = 0
  let highestLevel = 0
  for (let count = 0; count < EXPORTS[format]; count++) {
    await history.progress(60)
    const before = await collection.stats()
    const from = history.acknowledged
    let to: number | undefined
    const chunks: Uint8Array[] = []
    const sink = new WritableStream<Uint8Array>({
      async write(chunk) {
        to ??= history.operations.length
        chunks.push(chunk.slice())
        // A slow reader: others write, seal and merge before it takes more. A snapshot comes in many small chunks.
        await history.progress(format === "snapshot" ? 1 : 40)
      },
    })
    const report = await collection.export(sink, { format })
    const after = await collection.stats()
    generationsWhileExporting += after.generation - before.generation
    highestLevel = Math.max(highestLevel, ...after.segments.map(({ level }) => level))
    const documents = (await documentsOf(Buffer.concat(chunks), format)).map((line) => JSON.parse(line))
    const found = documents.map(({ fields }) => fields.operation as number)
    const moments = Array.from({ length: (to ?? 0) - from + 1 }, (_, more) => history.replay(from + more))
    expect(moments, `export ${count}, between ${from} and ${to} operations`).toContainEqual(found)
    expect(documents).toEqual(documents.map(({ id }, place) => documentOf(id, found[place] as number)))
    expect(report.document_count).toBe(found.length)
  }
  stop.abort()
  await Promise.all(writers)
  expect(generationsWhileExporting).toBeGreaterThan(EXPORTS[format])
  expect(highestLevel).toBeGreaterThan(0)
  await collection.verify()
})
