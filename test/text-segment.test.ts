import { expect, test } from "vitest"
import { PrismError } from "../src/base/errors.ts"
import { Engine } from "../src/engine/engine.ts"
import { compileQuery, type Query, type QueryProgram } from "../src/engine/query.ts"
import { combinedStatistics, type IndexField, TextSegment, TextWriter } from "../src/engine/text-index.ts"
import { bodyOf, repairChecksums } from "./support/blob-bytes.ts"
import { sourceOf } from "./support/bytes-source.ts"
import { Random } from "./support/random.ts"

const FIELDS: IndexField[] = [{ kind: "term" }, { kind: "text" }, { kind: "point" }]

/** A segment that has everything the format has, as small as it gets: full blocks, tails, single postings, points. */
function smallSegment(engine: Engine): TextSegment {
  const random = new Random(1)
  const writer = new TextWriter(engine, FIELDS)
  for (let doc = 0; doc < 300; doc++) {
    const words = Array.from({ length: 1 + random.below(5) }, () =>
      random.unit() < 0.8 ? "often" : `w${random.below(20)}`,
    )
    writer.add([
      { field: 0, term: doc % 2 ? "odd" : "even" },
      { field: 1, text: words.join(" ") },
      ...(doc % 9 === 0 ? [{ field: 2, point: BigInt(doc % 5) << 40n }] : []),
    ])
  }
  const segment = writer.seal()
  writer.close()
  return segment
}

const text = [{ field: 1, weight: 1 }]
const QUERIES: Query[] = [
  { kind: "term", fields: text, term: "often", boost: 1 },
  { kind: "term", fields: text, term: "w3", boost: 1 },
  {
    kind: "phrase",
    fields: text,
    terms: [
      { term: "often", offset: 0 },
      { term: "w3", offset: 1 },
    ],
    boost: 1,
  },
  {
    kind: "phrase",
    fields: text,
    terms: [
      { term: "often", offset: 0 },
      { term: "often", offset: 1 },
    ],
    boost: 1,
  },
  { kind: "points", field: 2, lower: 1n << 40n, upper: 3n << 40n },
  { kind: "terms", field: 0, lower: { term: "f", inclusive: true } },
  { kind: "terms", field: 1, upper: { term: "w15", inclusive: true } },
  {
    kind: "bool",
    must: [
      { kind: "term", fields: text, term: "often", boost: 1 },
      { kind: "term", fields: [{ field: 0, weight: 1 }], term: "odd", boost: 1 },
    ],
    should: [{ kind: "term", fields: text, term: "w4", boost: 1 }],
    mustNot: [{ kind: "term", fields: text, term: "w5", boost: 1 }],
  },
]

const answers = (segment: TextSegment, programs: readonly QueryProgram[]) =>
  programs.map((program) => segment.search(program, { k: 7 }))

/** Opens damaged bytes and asks everything of them; the error's code where they are refused. */
async function tryDamaged(engine: Engine, bytes: Uint8Array, programs: readonly QueryProgram[]) {
  const inUse = engine.memoryInUse
  let segment: TextSegment | undefined
  try {
    segment = await TextSegment.open(engine, sourceOf(bytes), FIELDS)
    await segment.loadAll()
    segment.check()
  } catch (error) {
    segment?.close()
    expect(error).toBeInstanceOf(PrismError)
    expect(engine.memoryInUse).toBe(inUse)
    return (error as PrismError).code
  }
  const result = answers(segment, programs)
  for (const term of ["often", "w3", "", "zzz"]) segment.lookup(1, term)
  segment.close()
  return result
}

function prepared() {
  const engine = new Engine()
  const segment = smallSegment(engine)
  const statistics = combinedStatistics([segment], { k1: 1.2, b: 0.75 })
  const programs = QUERIES.map((query) => compileQuery(query, statistics))
  return {
    engine,
    segment,
    programs,
    bytes: segment.readBytes(0, segment.byteLength),
    right: answers(segment, programs),
  }
}

test("a segment with any byte flipped is refused or answers as before", async () => {
  const { engine, programs, bytes, right } = prepared()
  let refused = 0
  for (let at = 0; at < bytes.length; at++) {
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
    const result = await tryDamaged(engine, bytes, programs)
    if (typeof result === "string") {
      expect(["CORRUPT", "TRUNCATED", "INCOMPATIBLE_VERSION"]).toContain(result)
      refused++
    } else {
      expect(result).toEqual(right)
    }
    bytes[at] = (bytes[at] ?? 0) ^ (1 << (at % 8))
  }
  expect(refused).toBe(bytes.length)
})

test("a segment cut anywhere is refused", async () => {
  const { engine, programs, bytes } = prepared()
  for (let length = 0; length < bytes.length; length++) {
    expect(["CORRUPT", "TRUNCATED"]).toContain(await tryDamaged(engine, bytes.slice(0, length), programs))
  }
})

test("a segment that somebody made, checksums and all, never traps and never hangs", async () => {
  const { engine, programs, bytes } = prepared()
  const sectionsAt = bodyOf(bytes)
  const random = new Random(2)
  let refused = 0
  let answered = 0
  const attempt = async (damaged: Uint8Array) => {
    repairChecksums(damaged)
    if (typeof (await tryDamaged(engine, damaged, programs)) === "string") refused++
    else answered++
  }
  for (let at = sectionsAt; at < bytes.length; at++) {
    const damaged = bytes.slice()
    damaged[at] = [0, 0xff, random.below(256), (damaged[at] ?? 0) + 1][at % 4] ?? 0
    await attempt(damaged)
  }
  for (let round = 0; round < 500; round++) {
    const damaged = bytes.slice()
    for (let i = random.below(8); i >= 0; i--)
      damaged[sectionsAt + random.below(bytes.length - sectionsAt)] = random.below(256)
    await attempt(damaged)
  }
  expect(refused).toBeGreaterThan(1000)
  expect(answered).toBeGreaterThan(10)
})

test("a segment of a newer version, or of other fields, is refused by name", async () => {
  const { engine, bytes } = prepared()
  const newer = bytes.slice()
  new DataView(newer.buffer).setUint16(6, 9, true)
  repairChecksums(newer)
  await expect(TextSegment.open(engine, sourceOf(newer), FIELDS)).rejects.toMatchObject({
    code: "INCOMPATIBLE_VERSION",
  })
  const others: IndexField[][] = [
    FIELDS.slice(0, 2),
    [...FIELDS, { kind: "text" }],
    [{ kind: "text" }, { kind: "text" }, { kind: "point" }],
    [{ kind: "term" }, { kind: "text", analyzer: { name: "raw" } }, { kind: "point" }],
  ]
  for (const fields of others) {
    await expect(TextSegment.open(engine, sourceOf(bytes), fields)).rejects.toMatchObject({ code: "CORRUPT" })
  }
})
