import { expect, test } from "vitest"
import { Engine } from "../src/engine/engine.ts"
import { compileQuery, type Query } from "../src/engine/query.ts"
import {
  combinedStatistics,
  type IndexedValue,
  type IndexField,
  TextSegment,
  TextWriter,
} from "../src/engine/text-index.ts"
import { sourceOf } from "./support/bytes-source.ts"
import { Random } from "./support/random.ts"

const PAGE_BYTES = 65_536
const FIELDS: IndexField[] = [{ kind: "term" }, { kind: "text" }, { kind: "point" }]
const BM25 = { k1: 1.2, b: 0.75 }
const full = expect.objectContaining({ code: "LIMIT_EXCEEDED" })

/** Takes all of the engine's memory but some pages. The system gives none of it, because nobody writes there. */
function leavePages(engine: Engine, pages: number): void {
  const kept = engine.abi.regionAlloc(pages * PAGE_BYTES - 1024)
  for (let bytes = 2 ** 31; bytes >= PAGE_BYTES / 2; ) if (engine.abi.regionAlloc(bytes) === 0) bytes /= 2
  engine.abi.regionFree(kept)
}

const documents = (count: number): IndexedValue[][] => {
  const random = new Random(5)
  return Array.from({ length: count }, (_, doc) => [
    { field: 0, term: `id${doc}` },
    { field: 1, text: Array.from({ length: 20 }, () => `w${random.below(5000)}`).join(" ") },
    { field: 2, point: BigInt(doc) },
  ])
}

const all: Query[] = [
  { kind: "term", fields: [{ field: 1, weight: 1 }], term: "w7", boost: 1 },
  {
    kind: "phrase",
    fields: [{ field: 1, weight: 1 }],
    terms: [
      { term: "w7", offset: 0 },
      { term: "w8", offset: 1 },
    ],
    boost: 1,
  },
  { kind: "points", field: 2, lower: 3n, upper: 2n ** 63n },
  { kind: "terms", field: 1, lower: { term: "w10", inclusive: true }, upper: { term: "w11", inclusive: true } },
]

test.each([3, 4, 5, 7, 12, 30])("a writer that fills the last of %d pages keeps every whole document", (pages) => {
  const [small, large] = [new Engine(), new Engine()]
  const writer = new TextWriter(small, FIELDS)
  // What a search works in is kept from one to the next, so it is there when nothing else is.
  for (const query of all) writer.search(compileQuery(query, combinedStatistics([writer], BM25)), { k: 100 })
  leavePages(small, pages)
  const corpus = documents(20_000)
  let added = 0
  expect(() => {
    for (const document of corpus) {
      writer.add(document)
      added++
    }
  }).toThrow(full)
  expect(() => writer.add([])).toThrow(full)
  expect(writer.docCount).toBe(added)
  expect(added).toBeGreaterThan(0)

  const twin = new TextWriter(large, FIELDS)
  for (const document of corpus.slice(0, added)) twin.add(document)
  for (const field of [0, 1, 2]) {
    expect(writer.fieldLength(field)).toBe(twin.fieldLength(field))
    expect(writer.fieldDocCount(field)).toBe(twin.fieldDocCount(field))
  }
  expect(writer.lookup(0, `id${added}`)).toEqual(new Uint32Array())
  expect(writer.lastDocument(0, `id${added}`)).toBeUndefined()
  for (let word = 0; word < 5000; word += 7) {
    expect(writer.docFreq(1, `w${word}`)).toBe(twin.docFreq(1, `w${word}`))
    expect(writer.lookup(1, `w${word}`)).toEqual(twin.lookup(1, `w${word}`))
    expect(writer.lastDocument(1, `w${word}`)).toBe(twin.lookup(1, `w${word}`).at(-1))
  }
  const statistics = combinedStatistics([twin], BM25)
  for (const query of all) {
    const program = compileQuery(query, statistics)
    expect(writer.search(program, { k: 10 })).toEqual(twin.search(program, { k: 10 }))
  }
  twin.close()
  writer.close()
})

test("sealing, opening and filtering without memory is an error, and leaves nothing behind", async () => {
  const engine = new Engine()
  const writer = new TextWriter(engine, FIELDS)
  for (const document of documents(3000)) writer.add(document)
  const sealed = writer.seal()
  const bytes = sealed.readBytes(0, sealed.byteLength)
  const statistics = combinedStatistics([writer], BM25)
  leavePages(engine, 3)
  const inUse = engine.memoryInUse
  expect(() => writer.seal()).toThrow(full)
  expect(engine.memoryInUse).toBe(inUse)
  await expect(TextSegment.open(engine, sourceOf(bytes), FIELDS)).rejects.toEqual(full)
  expect(engine.memoryInUse).toBe(inUse)
  const many: Query = {
    kind: "bool",
    must: [],
    should: Array.from({ length: 3000 }, () => all[0] as Query),
    mustNot: [],
  }
  for (const ask of [
    () => sealed.search(compileQuery(many, statistics), { k: 5 }),
    () => sealed.filter(compileQuery(many, statistics)),
  ]) {
    expect(ask).toThrow(full)
  }
  expect(engine.memoryInUse).toBeLessThanOrEqual(inUse + 2 * PAGE_BYTES)
  expect(sealed.docFreq(1, "w7")).toBe(writer.docFreq(1, "w7"))
})
