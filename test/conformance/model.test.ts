import { expect, test } from "vitest"
import { Collection } from "../../src/collection/collection.ts"
import { Prism } from "../../src/collection/prism.ts"
import { FaultyStorage } from "../support/faulty-storage.ts"
import { Random } from "../support/random.ts"
import { runtime } from "../support/runtime.ts"
import { collectSink, lines, streamOf } from "../support/streams.ts"

const SCHEMA = {
  backends: {
    text: {
      fields: [
        { name: "words", type: "text" },
        { name: "number", type: "i64" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: 3, distance: "euclidean" },
  },
} as const
const WORDS = ["ash", "birch", "cedar", "elm", "fir", "hazel", "juniper", "larch"]

type Model = Map<string, { words: string; number: number; vector: number[] | undefined; written: number }>

// The collection against a Map: random adds, updates, deletes, checkpoints, reopenings, abandonments without close, exports
// and restores; after each step counts, every document, searches and the order of an export are compared. With tiny
// segments everything is sealed and merged all the time.
const TINY = { ramDocuments: 5, ramBytes: 300, mergeFactor: 2 }

test.each([
  { seed: 1, tuning: {} },
  { seed: 2, tuning: {} },
  { seed: 3, tuning: TINY },
  { seed: 4, tuning: TINY },
  { seed: 5, tuning: { ...TINY, mergeFactor: 3 } },
])("random operations leave what a Map holds (seed $seed, $tuning)", async ({ seed, tuning }) => {
  const random = new Random(seed)
  const int = (bound: number) => random.below(bound)
  let storage = new FaultyStorage()
  let prism = await Prism.openStorage(storage, runtime, { tuning })
  let collection: Collection = await prism.createCollection("trees", SCHEMA)
  const model: Model = new Map()
  let written = 0

  const randomDocument = () => {
    const words = Array.from({ length: 1 + int(5) }, () => WORDS[int(WORDS.length)]).join(" ")
    const vector = int(4) === 0 ? undefined : [int(9), int(9), int(9)]
    return { id: `tree-${int(40)}`, words, number: int(5), vector }
  }
  const steps: Record<string, () => Promise<void>> = {
    async add() {
      const documents = new Map(Array.from({ length: 1 + int(6) }, randomDocument).map((one) => [one.id, one]))
      await collection.add(
        [...documents.values()].map(({ id, words, number, vector }) => ({
          id,
          fields: { words, number },
          ...(vector ? { vector } : {}),
        })),
      )
      for (const { id, ...rest } of documents.values()) {
        model.delete(id)
        model.set(id, { ...rest, written: written++ })
      }
    },
    async delete() {
      const ids = [`tree-${int(40)}`, `tree-${int(40)}`]
      const there = new Set(ids.filter((id) => model.has(id))).size
      expect(await collection.delete(ids)).toBe(there)
      for (const id of ids) model.delete(id)
    },
    checkpoint: async () => await collection.checkpoint(),
    async optimize() {
      await collection.optimize()
      const { segment_count, deleted_count } = await collection.stats()
      expect([segment_count, deleted_count]).toEqual([model.size > 0 ? 1 : 0, 0])
    },
    verify: async () => void (await collection.verify()),
    async readBeside() {
      const reader = await Prism.openStorage(storage.process(), runtime, { readOnly: true })
      const beside = await reader.collection("trees")
      const before = [...model.keys()]
      await steps["add"]?.()
      await steps["optimize"]?.()
      const order: string[] = []
      for await (const { id } of beside.documents()) order.push(id)
      expect(order).toEqual(before)
      await reader.close()
    },
    async reopen() {
      await prism.close()
      storage = storage.process()
      prism = await Prism.openStorage(storage, runtime, { tuning })
      collection = await prism.collection("trees")
    },
    async abandon() {
      storage.kill()
      storage = storage.process()
      prism = await Prism.openStorage(storage, runtime, { tuning })
      collection = await prism.collection("trees")
    },
    async restore() {
      const sink = collectSink()
      await collection.export(sink.stream)
      await prism.restore(streamOf(sink.bytes()), { target: "trees", mode: int(2) ? "replace" : "merge" })
      collection = await prism.collection("trees")
      const again = collectSink()
      await collection.export(again.stream)
      expect(lines(again.bytes()).slice(1)).toEqual(lines(sink.bytes()).slice(1))
    },
  }
  const often = ["add", "add", "add", "add", "delete", "delete"]
  const seldom = ["checkpoint", "optimize", "verify", "readBeside", "reopen", "abandon", "restore"]
  const names = [...often, ...seldom]
  for (let step = 0; step < 120; step++) {
    await steps[names[int(names.length)] as string]?.()
    await compare()
  }
  await prism.close()

  async function compare(): Promise<void> {
    expect((await collection.stats()).document_count).toBe(model.size)
    const order: string[] = []
    for await (const { id, fields, vector } of collection.documents()) {
      const expected = model.get(id)
      expect(fields).toEqual({ words: expected?.words, number: expected?.number })
      expect(vector && [...vector]).toEqual(expected?.vector)
      order.push(id)
    }
    expect(order).toEqual([...model.keys()])

    const word = WORDS[int(WORDS.length)] as string
    const withWord = [...model].filter(([, { words }]) => words.split(" ").includes(word)).map(([id]) => id)
    const found = await collection.search({ query: word, limit: 100 })
    expect(found.results.map(({ id }) => id).sort()).toEqual(withWord.sort())
    expect(found.total).toBe(withWord.length)

    const number = int(5)
    const origin = [int(9), int(9), int(9)]
    const near = await collection.search({ vector: origin, filter: `number:${number}`, limit: 5 })
    const distances = [...model.values()]
      .filter((one) => one.number === number && one.vector)
      .map(
        ({ vector }) =>
          1 / (1 + Math.hypot(...(vector as number[]).map((value, axis) => value - (origin[axis] as number)))),
      )
      .sort((a, b) => b - a)
      .slice(0, 5)
    expect(near.results.length).toBe(distances.length)
    near.results.forEach(({ score }, place) => expect(score).toBeCloseTo(distances[place] as number, 5))
  }
})
