import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { analyze } from "../../src/engine/analyzer.ts"
import { DocSet } from "../../src/engine/doc-set.ts"
import { Engine } from "../../src/engine/engine.ts"
import { compileQuery, type Query } from "../../src/engine/query.ts"
import {
  combinedStatistics,
  type IndexedValue,
  type IndexField,
  type TextHits,
  type TextIndex,
  TextSegment,
  TextWriter,
} from "../../src/engine/text-index.ts"
import { sourceOf } from "../support/bytes-source.ts"
import { NaiveIndex } from "../support/naive-text.ts"
import { Random } from "../support/random.ts"

const standard = { name: "standard" } as const
const terms = (text: string): string[] => analyze(new Engine(), standard, text).map(({ term }) => term)

describe("the standard analyzer", () => {
  test.each([
    ["words and case", "The QUICK-brown fox, (jumps)!", ["the", "quick", "brown", "fox", "jumps"]],
    ["nothing", " … — !?", []],
    ["letters with digits", "utf8 3d h264 B2B", ["utf8", "3d", "h264", "b2b"]],
    ["numbers", "1,000.50 v1.2 x² ½", ["1", "000", "50", "v1", "2", "x²", "½"]],
    [
      "apostrophes",
      "don't O’Neil's 'quoted' rock'n'roll 80's",
      ["don't", "o'neil's", "quoted", "rock'n'roll", "80", "s"],
    ],
    ["dots and underscores part", "www.example.org foo_bar", ["www", "example", "org", "foo", "bar"]],
    ["Latin accents", "Crème BRÛLÉE Łódź ŒUVRE Straße ẞ", ["crème", "brûlée", "łódź", "œuvre", "straße", "ß"]],
    ["Turkish İ", "İstanbul IĞDIR", ["istanbul", "iğdir"]],
    ["Greek with its final sigma", "ΟΔΥΣΣΕΥΣ Ὀδυσσεύς", ["οδυςςευς", "ὀδυςςεύς"]],
    ["Cyrillic", "Москва́ ЁЛКА Київ", ["москва́", "ёлка", "київ"]],
    ["Arabic with marks", "مُحَمَّد، القاهرة", ["مُحَمَّد", "القاهرة"]],
    ["Hebrew", "שלום, עולם", ["שלום", "עולם"]],
    ["Devanagari", "हिन्दी में", ["हिन्दी", "में"]],
    ["Korean", "안녕하세요 세계", ["안녕하세요", "세계"]],
    ["Chinese", "我爱北京。天安门", ["我爱", "爱北", "北京", "天安", "安门"]],
    ["one Han character", "第 1 章", ["第", "1", "章"]],
    ["Japanese", "東京タワー、きれい", ["東京", "京タ", "タワ", "ワー", "きれ", "れい"]],
    ["Han beside Latin", "使用Linux系统2024年", ["使用", "linux", "系统", "2024", "年"]],
    ["Thai: marks stay with their letter", "ที่นี่", ["ที่นี่"]],
    ["Thai", "ภาษาไทย", ["ภา", "าษ", "ษา", "าไ", "ไท", "ทย"]],
    ["Lao", "ພາສາ", ["ພາ", "າສ", "ສາ"]],
    ["Khmer", "ភាសា", ["ភាសា"]],
    ["emoji", "I ❤️ 🍕 and 👩‍👩‍👧!", ["i", "and"]],
    ["combining marks", "e\u0301te\u0301 \u0301x", ["e\u0301te\u0301", "x"]],
    [
      "invisible characters",
      "soft\u00adhyphen می\u200cخواهم a\u200bb \ufeffbom",
      ["softhyphen", "میخواهم", "a", "b", "bom"],
    ],
    ["beyond the basic plane", "𝐀𝒷 𐐀𐐨 𠀀𠀁", ["𝐀𝒷", "𐐨𐐨", "𠀀𠀁"]],
    ["a lone surrogate", "a\ud800b", ["a", "b"]],
  ])("%s", (_, text, expected) => {
    expect(terms(text)).toEqual(expected)
  })

  test("a word goes on as the next token after 255 bytes, and never inside a character", () => {
    expect(terms("a".repeat(600))).toEqual(["a".repeat(255), "a".repeat(255), "a".repeat(90)])
    expect(terms("é".repeat(200))).toEqual(["é".repeat(127), "é".repeat(73)])
    expect(terms(`x${"字".repeat(3)}`)).toEqual(["x", "字字", "字字"])
    for (const token of terms(`a${"\u0301".repeat(500)} 字${"\u0301".repeat(500)}字`)) {
      expect(new TextEncoder().encode(token).length).toBeLessThanOrEqual(255)
    }
  })

  test("positions count tokens", () => {
    expect(analyze(new Engine(), standard, "to be, or 北京市")).toEqual(
      ["to", "be", "or", "北京", "京市"].map((term, position) => ({ term, position })),
    )
  })

  test("text that is equal under /iu is cut into equal tokens", () => {
    const engine = new Engine()
    for (let c = 0; c < 0x1e944; c++) {
      if (c >= 0xd800 && c <= 0xdfff) continue
      const character = String.fromCodePoint(c)
      for (const other of [character.toUpperCase(), character.toLowerCase()]) {
        if (other === character || !new RegExp(`^\\u{${c.toString(16)}}$`, "iu").test(other)) continue
        expect(analyze(engine, standard, `a${other}`), `U+${c.toString(16)}`).toEqual(
          analyze(engine, standard, `a${character}`),
        )
      }
    }
  })

  test("any string is cut into the runs that its characters' properties say", () => {
    const engine = new Engine()
    const unit = fc.oneof(
      fc.constantFrom(..."aZ09 .,'’_-é字カไก\u0301\u200d\u200b\u00ad😀"),
      fc.string({ unit: "grapheme", minLength: 1, maxLength: 1 }),
    )
    fc.assert(
      fc.property(fc.array(unit, { maxLength: 30 }), (units) => {
        const text = units.join("")
        const tokens = analyze(engine, standard, text)
        // Every letter and digit of the text is in some token; what no token may hold is in none.
        const kept = new Set(tokens.flatMap(({ term }) => [...term]))
        expect([...kept].filter((character) => !/[\p{L}\p{M}\p{N}.,']/u.test(character))).toEqual([])
        const lost = [...text].filter((character) => {
          if (!/[\p{L}\p{N}]/u.test(character) || /\p{DI}/u.test(character)) return false
          return ![...kept].some(
            (one) => one === character || new RegExp(`^${one.replace(".", "\\.")}$`, "iu").test(character),
          )
        })
        expect(lost.filter((character) => character !== "İ")).toEqual([])
        expect(tokens.map(({ position }) => position)).toEqual(tokens.map((_, i) => i))
      }),
      { seed: 7, numRuns: 300 },
    )
  })

  test("raw keeps the value", () => {
    expect(analyze(new Engine(), { name: "raw" }, " Ab, C ")).toEqual([{ term: " Ab, C ", position: 0 }])
    expect(analyze(new Engine(), { name: "raw" }, "")).toEqual([{ term: "", position: 0 }])
  })
})

// A small model of an index: field 0 an id, 1 and 2 texts, 3 tags, 4 numbers.
const FIELDS: IndexField[] = [
  { kind: "term" },
  { kind: "text", analyzer: standard },
  { kind: "text", analyzer: standard },
  { kind: "term" },
  { kind: "point" },
]
const TITLE = 1
const BODY = 2
const TAG = 3
const NUMBER = 4
const BM25 = { k1: 1.2, b: 0.75 }

/** Words by a law like Zipf's: w0 is in most texts, the last in hardly any. */
const word = (random: Random, words: number): string => `w${Math.floor(words ** random.unit()) - 1}`

interface Model {
  readonly naive: NaiveIndex
  readonly documents: IndexedValue[][]
}

function model(seed: number, docCount: number, words: number): Model {
  const random = new Random(seed)
  const naive = new NaiveIndex([TITLE, BODY])
  const documents: IndexedValue[][] = []
  for (let doc = 0; doc < docCount; doc++) {
    const texts = new Map<number, string[][]>()
    const points = new Map<number, bigint[]>()
    texts.set(0, [[`id${doc}`]])
    for (const field of [TITLE, BODY]) {
      if (random.unit() < 0.2) continue
      const values = Array.from({ length: random.unit() < 0.8 ? 1 : random.below(4) }, () =>
        Array.from({ length: random.below(field === TITLE ? 6 : random.unit() < 0.02 ? 300 : 20) }, () =>
          word(random, words),
        ),
      )
      if (values.length > 0) texts.set(field, values)
    }
    const tags = Array.from({ length: random.below(3) }, () => [`tag ${random.below(9)}`])
    if (tags.length > 0) texts.set(TAG, tags)
    if (random.unit() < 0.7)
      points.set(
        NUMBER,
        Array.from({ length: 1 + random.below(2) }, () => BigInt(random.below(50))),
      )
    naive.add({ texts, points })
    documents.push([
      ...[...texts].flatMap(([field, values]) =>
        values.map((tokens) =>
          FIELDS[field]?.kind === "text" ? { field, text: tokens.join(" ") } : { field, term: tokens.join(" ") },
        ),
      ),
      ...[...points].flatMap(([field, keys]) => keys.map((point) => ({ field, point }))),
    ])
  }
  return { naive, documents }
}

function fill(engine: Engine, documents: IndexedValue[][]): TextWriter {
  const writer = new TextWriter(engine, FIELDS)
  for (const document of documents) writer.add(document)
  return writer
}

const aWord = fc.integer({ min: 0, max: 60 }).map((n) => `w${n}`)
const aWeight = fc.constantFrom(1, 1, 2, 0.5)
const textFields = fc.oneof(
  fc.constantFrom([{ field: TITLE, weight: 1 }], [{ field: BODY, weight: 1 }]),
  fc.tuple(aWeight, aWeight).map(([title, body]) => [
    { field: TITLE, weight: title },
    { field: BODY, weight: body },
  ]),
  fc.constant([
    { field: BODY, weight: 2 },
    { field: TAG, weight: 1 },
    { field: TITLE, weight: 3 },
  ]),
)
const boost = fc.constantFrom(1, 1, 2.5, 0.25)
const leaf: fc.Arbitrary<Query> = fc.oneof(
  { weight: 6, arbitrary: fc.record({ kind: fc.constant("term" as const), fields: textFields, term: aWord, boost }) },
  {
    weight: 3,
    arbitrary: fc.record({
      kind: fc.constant("phrase" as const),
      fields: textFields,
      terms: fc.array(
        fc.record({ term: fc.integer({ min: 0, max: 9 }).map((n) => `w${n}`), offset: fc.integer({ min: 0, max: 4 }) }),
        {
          minLength: 1,
          maxLength: 3,
        },
      ),
      boost,
    }),
  },
  fc.record({
    kind: fc.constant("term" as const),
    fields: fc.constant([{ field: TAG, weight: 1 }]),
    term: fc.integer({ min: 0, max: 9 }).map((n) => `tag ${n}`),
    boost,
  }),
  fc.record({
    kind: fc.constant("points" as const),
    field: fc.constant(NUMBER),
    lower: fc.bigInt({ min: 0n, max: 50n }),
    upper: fc.bigInt({ min: 0n, max: 50n }),
  }),
  fc.record({
    kind: fc.constant("terms" as const),
    field: fc.constantFrom(0, TAG, BODY),
    lower: fc.option(
      fc.record({ term: fc.constantFrom("", "id", "id3", "tag 4", "w2", "w5"), inclusive: fc.boolean() }),
      { nil: undefined },
    ),
    upper: fc.option(fc.record({ term: fc.constantFrom("id5", "tag 6", "w3", "w50", "x"), inclusive: fc.boolean() }), {
      nil: undefined,
    }),
  }),
  fc.constantFrom<Query>({ kind: "all" }, { kind: "none" }),
)
const { query: anyQuery } = fc.letrec<{ query: Query }>((tie) => ({
  query: fc.oneof(
    { maxDepth: 4, depthSize: "small" },
    leaf,
    fc.record({
      kind: fc.constant("bool" as const),
      must: fc.array(tie("query"), { maxLength: 3 }),
      should: fc.array(tie("query"), { maxLength: 3 }),
      mustNot: fc.array(tie("query"), { maxLength: 2 }),
    }),
  ),
}))

/** The naive answer in the order that hits have. */
function expectHits(hits: TextHits, expected: Map<number, number>, k: number): void {
  expect(hits.total).toBe(expected.size)
  expect(hits.docOrds.length).toBe(Math.min(k, expected.size))
  // Scores are f32: two that differ by less than their rounding may stand in either order.
  const best = [...expected].toSorted(([docA, a], [docB, b]) => b - a || docA - docB).slice(0, k)
  for (const [i, [, score]] of best.entries()) {
    const doc = hits.docOrds[i] ?? -1
    const ours = hits.scores[i] ?? Number.NaN
    const close = (a: number, b: number) => Math.abs(a - b) <= 1e-5 * Math.max(Math.abs(b), 1e-30)
    expect(close(ours, score), `score ${i}: ${ours} for ${score}`).toBe(true)
    expect(close(expected.get(doc) ?? Number.NaN, score), `document ${doc} at ${i}`).toBe(true)
    const previous = hits.scores[i - 1] ?? Infinity
    expect(ours < previous || (ours === previous && doc > (hits.docOrds[i - 1] ?? 0))).toBe(true)
  }
}

const inSet = (set: DocSet, docCount: number): number[] => {
  const bytes = set.toBytes()
  return Array.from({ length: docCount }, (_, doc) => doc).filter((doc) => ((bytes[doc >> 3] ?? 0) >> (doc & 7)) & 1)
}

async function indexed({ naive, documents }: ReturnType<typeof model>) {
  const engine = new Engine()
  const writer = fill(engine, documents)
  const sealed = writer.seal()
  const opened = await reopened(engine, sealed, FIELDS)
  return { naive, documents, engine, writer, sealed, opened }
}

/** The segment's bytes, opened again. */
async function reopened(engine: Engine, sealed: TextSegment, fields: readonly IndexField[]): Promise<TextSegment> {
  const opened = await TextSegment.open(engine, sourceOf(sealed.readBytes(0, sealed.byteLength)), fields)
  await opened.loadAll()
  opened.check()
  return opened
}

describe.each([
  ["400 documents", await indexed(model(1, 400, 60)), 150],
  ["9,000 documents, three windows", await indexed(model(2, 9000, 60)), 8],
])("an index of %s", (_, { naive, documents, engine, writer, sealed, opened }, numRuns) => {
  const indexes: [string, TextIndex][] = [
    ["writer", writer],
    ["sealed segment", sealed],
    ["opened segment", opened],
  ]
  const statistics = combinedStatistics([writer], BM25)

  test("tells the statistics that a naive count finds", () => {
    for (const [, index] of indexes) {
      expect(index.docCount).toBe(documents.length)
      for (const field of [0, TITLE, BODY, TAG]) {
        expect(index.fieldLength(field)).toBe(naive.fieldLength(field))
        expect(index.fieldDocCount(field)).toBe(naive.fieldDocCount(field))
      }
      for (const [field, term] of [
        [0, "id7"],
        [0, "id"],
        [TITLE, "w0"],
        [BODY, "w3"],
        [BODY, "nowhere"],
        [TAG, "tag 4"],
        [BODY, ""],
      ] as const) {
        expect([...index.lookup(field, term)]).toEqual(naive.lookup(field, term))
        expect(index.lastDocument(field, term)).toBe(naive.lookup(field, term).at(-1))
        expect(index.docFreq(field, term)).toBe(naive.docFreq(field, term))
      }
    }
  })

  test("answers every query as the naive index does", () => {
    fc.assert(
      fc.property(anyQuery, fc.constantFrom(0, 1, 10, 1000, 100_000), (query, k) => {
        const expected = naive.search(query, BM25.k1, BM25.b)
        const program = compileQuery(query, statistics)
        for (const [, index] of indexes) {
          expectHits(index.search(program, { k }), expected, k)
          using set = index.filter(program)
          expect(inSet(set, documents.length)).toEqual([...expected.keys()])
        }
      }),
      { seed: 3, numRuns },
    )
  })

  test("finds only what is accepted, whatever the length of the set", () => {
    const random = new Random(4)
    fc.assert(
      fc.property(anyQuery, fc.constantFrom(0.02, 0.5, 1), fc.constantFrom(1, 0.6, 1.3), (query, share, reach) => {
        using accept = DocSet.create(engine, Math.floor(documents.length * reach))
        for (let doc = 0; doc < accept.docCount; doc++) if (random.unit() < share) accept.add(doc)
        const expected = naive.search(query, BM25.k1, BM25.b)
        for (const doc of expected.keys()) if (doc >= accept.docCount || !accept.has(doc)) expected.delete(doc)
        const program = compileQuery(query, statistics)
        for (const [, index] of indexes) expectHits(index.search(program, { k: 20, accept }), expected, 20)
      }),
      { seed: 5, numRuns: Math.ceil(numRuns / 3) },
    )
  })

  test("gives writer and segment the same scores, bit for bit", () => {
    fc.assert(
      fc.property(anyQuery, (query) => {
        const program = compileQuery(query, statistics)
        expect(opened.search(program, { k: 50 })).toEqual(writer.search(program, { k: 50 }))
      }),
      { seed: 6, numRuns },
    )
  })
})

describe("scores", () => {
  test("BM25 is what a pencil finds", () => {
    const engine = new Engine()
    const writer = new TextWriter(engine, [{ kind: "text" }])
    writer.add([{ field: 0, text: "the cat sat on the mat" }])
    writer.add([{ field: 0, text: "the cat and the other cat" }])
    writer.add([{ field: 0, text: "a dog" }])
    writer.add([{ field: 0, text: "no animal at all here" }])
    // N = 4, n("cat") = 2: idf = ln(1 + (4 − 2 + .5) / (2 + .5)) = ln 2 = .693147
    // lengths 6, 6, 2, 5, average 4.75
    // document 0: tf 1: K = 1.2 · (.25 + .75 · 6 / 4.75) = 1.436842; .693147 · 2.2 · 1 / (1 + 1.436842) = .625779
    // document 1: tf 2:                                              .693147 · 2.2 · 2 / (2 + 1.436842) = .887398
    const program = compileQuery(
      { kind: "term", fields: [{ field: 0, weight: 1 }], term: "cat", boost: 1 },
      combinedStatistics([writer], BM25),
    )
    const { docOrds, scores, total } = writer.search(program, { k: 10 })
    expect([...docOrds]).toEqual([1, 0])
    expect(scores[0]).toBeCloseTo(0.887398, 5)
    expect(scores[1]).toBeCloseTo(0.625779, 5)
    expect(total).toBe(2)
  })

  test("BM25F counts both fields before it saturates", () => {
    const engine = new Engine()
    const writer = new TextWriter(engine, [{ kind: "text" }, { kind: "text" }])
    writer.add([
      { field: 0, text: "cat" },
      { field: 1, text: "a cat and a dog" },
    ])
    writer.add([
      { field: 0, text: "dog" },
      { field: 1, text: "a dog" },
    ])
    // Weights 2 and 1. N = 2, n("cat") = max(1, 1) = 1: idf = ln(1 + 1.5 / 1.5) = ln 2 = .693147
    // averages 1 and 3.5, weighted 2 · 1 + 3.5 = 5.5; document 0: length 2 · 1 + 5 = 7, tf 2 · 1 + 1 = 3
    // K = 1.2 · (.25 + .75 · 7 / 5.5) = 1.445455; .693147 · 2.2 · 3 / (3 + 1.445455) = 1.029090
    const fields = [
      { field: 0, weight: 2 },
      { field: 1, weight: 1 },
    ]
    const program = compileQuery({ kind: "term", fields, term: "cat", boost: 1 }, combinedStatistics([writer], BM25))
    expect(writer.search(program, { k: 10 }).scores[0]).toBeCloseTo(1.02909, 5)
  })

  test("a clause that stands twice counts twice", () => {
    const engine = new Engine()
    const writer = fill(engine, model(8, 50, 20).documents)
    const statistics = combinedStatistics([writer], BM25)
    const once: Query = { kind: "term", fields: [{ field: BODY, weight: 1 }], term: "w1", boost: 1 }
    const [single, double] = [[once], [once, once]].map((should) =>
      writer.search(compileQuery({ kind: "bool", must: [], should, mustNot: [] }, statistics), { k: 5 }),
    )
    expect(double?.docOrds).toEqual(single?.docOrds)
    expect([...(double?.scores ?? [])]).toEqual([...(single?.scores ?? [])].map((score) => score * 2))
  })

  test("a raw value of a term field scores its inverse document frequency", () => {
    const engine = new Engine()
    const writer = new TextWriter(engine, [{ kind: "term" }])
    for (const term of ["a", "b", "b", "b"])
      writer.add([
        { field: 0, term },
        { field: 0, term },
      ])
    const program = compileQuery(
      { kind: "term", fields: [{ field: 0, weight: 1 }], term: "a", boost: 3 },
      combinedStatistics([writer], BM25),
    )
    expect(writer.search(program, { k: 1 }).scores[0]).toBeCloseTo(3 * Math.log(1 + 3.5 / 1.5), 5)
  })

  test("several segments share one program and one set of statistics", () => {
    const { naive, documents } = model(9, 300, 40)
    const engine = new Engine()
    const [first, second] = [documents.slice(0, 120), documents.slice(120)].map((part) => fill(engine, part))
    if (!first || !second) throw new Error("two parts")
    const segment = first.seal()
    const statistics = combinedStatistics([segment, second], BM25)
    const query: Query = {
      kind: "term",
      fields: [
        { field: TITLE, weight: 1 },
        { field: BODY, weight: 1 },
      ],
      term: "w4",
      boost: 1,
    }
    const program = compileQuery(query, statistics)
    const expected = naive.search(query, BM25.k1, BM25.b)
    const [a, b] = [segment, second].map((index) => index.search(program, { k: 1000 }))
    for (const [i, doc] of (a?.docOrds ?? []).entries()) expect(a?.scores[i]).toBeCloseTo(expected.get(doc) ?? 0, 4)
    for (const [i, doc] of (b?.docOrds ?? []).entries())
      expect(b?.scores[i]).toBeCloseTo(expected.get(doc + 120) ?? 0, 4)
    expect((a?.total ?? 0) + (b?.total ?? 0)).toBe(expected.size)
  })
})

describe("bounds of a query", () => {
  const statistics = combinedStatistics([], BM25)
  const nested = (levels: number): Query =>
    levels === 0
      ? { kind: "all" }
      : { kind: "bool", must: [nested(levels - 1), { kind: "all" }], should: [], mustNot: [] }

  test("64 levels are answered, one more is an error", () => {
    const writer = fill(new Engine(), model(1, 20, 9).documents)
    expect(writer.search(compileQuery(nested(64), statistics), { k: 1 }).total).toBe(20)
    expect(() => compileQuery(nested(65), statistics)).toThrow(expect.objectContaining({ code: "INVALID_QUERY" }))
  })

  test("4096 clauses are answered, one more is an error", () => {
    const clauses = (count: number): Query => ({
      kind: "bool",
      must: [],
      should: Array.from({ length: count - 1 }, (_, i) => ({
        kind: "term",
        fields: [{ field: 0, weight: 1 }],
        term: `id${i}`,
        boost: 1,
      })),
      mustNot: [],
    })
    const writer = fill(new Engine(), model(1, 20, 9).documents)
    expect(writer.search(compileQuery(clauses(4096), statistics), { k: 1 }).total).toBe(20)
    expect(() => compileQuery(clauses(4097), statistics)).toThrow(expect.objectContaining({ code: "INVALID_QUERY" }))
    const words = Array.from({ length: 4097 }, (_, offset) => ({ term: "w0", offset }))
    const phrase: Query = { kind: "phrase", fields: [{ field: BODY, weight: 1 }], terms: words, boost: 1 }
    expect(() => compileQuery(phrase, statistics)).toThrow(expect.objectContaining({ code: "INVALID_QUERY" }))
  })

  test.each([-1, Number.NaN, Infinity])("a boost of %d is an error", (boost) => {
    const query: Query = { kind: "term", fields: [{ field: 0, weight: 1 }], term: "a", boost }
    expect(() => compileQuery(query, statistics)).toThrow(expect.objectContaining({ code: "INVALID_QUERY" }))
  })
})

describe("a writer", () => {
  test("finds a document as soon as it is added", () => {
    const engine = new Engine()
    const writer = new TextWriter(engine, FIELDS)
    const { documents, naive } = model(11, 60, 12)
    for (const [doc, document] of documents.entries()) {
      expect(writer.add(document)).toBe(doc)
      expect([...writer.lookup(0, `id${doc}`)]).toEqual([doc])
      const query: Query = { kind: "term", fields: [{ field: BODY, weight: 1 }], term: "w0", boost: 1 }
      const found = writer.search(compileQuery(query, combinedStatistics([writer], BM25)), { k: 1000 })
      expect([...found.docOrds].toSorted((a, b) => a - b)).toEqual(naive.lookup(BODY, "w0").filter((one) => one <= doc))
    }
  })

  test("a phrase never spans two values", () => {
    const engine = new Engine()
    const writer = new TextWriter(engine, [{ kind: "text" }])
    writer.add([
      { field: 0, text: "one two" },
      { field: 0, text: "three four" },
    ])
    const phrase = (...words: string[]) =>
      compileQuery(
        {
          kind: "phrase",
          fields: [{ field: 0, weight: 1 }],
          terms: words.map((term, offset) => ({ term, offset })),
          boost: 1,
        },
        combinedStatistics([writer], BM25),
      )
    expect(writer.search(phrase("one", "two"), { k: 1 }).total).toBe(1)
    expect(writer.search(phrase("two", "three"), { k: 1 }).total).toBe(0)
    expect(writer.search(phrase("three", "four"), { k: 1 }).total).toBe(1)
  })

  test("takes values of any length, and many of them", async () => {
    const engine = new Engine()
    const fields: IndexField[] = [{ kind: "term" }, { kind: "text" }]
    const writer = new TextWriter(engine, fields)
    const long = "x".repeat(300_000)
    writer.add([
      { field: 0, term: long },
      { field: 0, term: "" },
      { field: 1, text: "y ".repeat(200_000) },
    ])
    writer.add([
      { field: 0, term: `${long}y` },
      { field: 1, text: "" },
    ])
    const sealed = writer.seal()
    const opened = await reopened(engine, sealed, fields)
    for (const index of [writer, sealed, opened]) {
      expect([...index.lookup(0, long)]).toEqual([0])
      expect([...index.lookup(0, "")]).toEqual([0])
      expect([...index.lookup(0, `${long}y`)]).toEqual([1])
      expect(index.fieldLength(1)).toBe(200_000)
      expect(index.fieldDocCount(1)).toBe(2)
      const yy: Query = {
        kind: "phrase",
        fields: [{ field: 1, weight: 1 }],
        terms: [
          { term: "y", offset: 0 },
          { term: "y", offset: 199_999 },
        ],
        boost: 1,
      }
      expect(index.search(compileQuery(yy, combinedStatistics([index], BM25)), { k: 1 }).total).toBe(1)
    }
  })

  test("can be sealed empty", async () => {
    const engine = new Engine()
    const sealed = new TextWriter(engine, FIELDS).seal()
    const opened = await reopened(engine, sealed, FIELDS)
    const program = compileQuery({ kind: "all" }, combinedStatistics([opened], BM25))
    expect(opened.search(program, { k: 10 })).toEqual({
      docOrds: new Uint32Array(),
      scores: new Float32Array(),
      total: 0,
    })
    expect(opened.docFreq(BODY, "w0")).toBe(0)
  })

  test("writes the same bytes for the same documents, whatever else is in memory", () => {
    const { documents } = model(12, 700, 80)
    const [quiet, busy] = [new Engine(), new Engine()]
    const other = fill(busy, model(13, 300, 30).documents)
    const [a, b] = [fill(quiet, documents).seal(), fill(busy, documents).seal()]
    expect(b.readBytes(0, b.byteLength)).toEqual(a.readBytes(0, a.byteLength))
    other.close()
  })

  test("gives all memory back", async () => {
    const engine = new Engine()
    const { documents } = model(14, 500, 50)
    for (let round = 0; round < 3; round++) {
      const writer = fill(engine, documents)
      expect(writer.memoryBytes).toBeLessThanOrEqual(engine.memoryInUse)
      const sealed = writer.seal()
      const opened = await reopened(engine, sealed, FIELDS)
      const program = compileQuery({ kind: "all" }, combinedStatistics([writer], BM25))
      opened.search(program, { k: 100 })
      opened.filter(program).close()
      analyze(engine, standard, "some text")
      for (const index of [writer, sealed, opened]) index.close()
      expect(engine.memoryInUse).toBe(0)
    }
    analyze(engine, standard, "some text")
    expect(engine.memoryInUse).toBe(0)
  })
})
