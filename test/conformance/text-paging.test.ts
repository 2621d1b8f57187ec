import { expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import type { ByteSource } from "../../src/engine/blob.ts"
import { Engine } from "../../src/engine/engine.ts"
import { compileQuery, type Query, type QueryProgram, termsOf } from "../../src/engine/query.ts"
import { combinedStatistics, type IndexField, TextSegment, TextWriter } from "../../src/engine/text-index.ts"
import { bodyOf, repairChecksums } from "../support/blob-bytes.ts"
import { sourceOf } from "../support/bytes-source.ts"
import { Random } from "../support/random.ts"

const PAGE = 65_536
const FIELDS: IndexField[] = [{ kind: "term" }, { kind: "text" }, { kind: "text" }, { kind: "term" }, { kind: "point" }]
const [ID, TITLE, BODY, TAG, TIME] = [0, 1, 2, 3, 4]
const DOCUMENTS = 30_000
const BM25 = { k1: 1.2, b: 0.75 }

/** Words from very frequent to very rare. */
const word = (random: Random) => `w${Math.floor(2 ** (random.unit() * 16))}`
const idOf = (doc: number) => `${(doc % 977).toString(36)}-${doc}`

function corpus(engine: Engine): { segment: TextSegment; bytes: Uint8Array } {
  const random = new Random(31)
  const writer = new TextWriter(engine, FIELDS)
  for (let doc = 0; doc < DOCUMENTS; doc++) {
    writer.add([
      // Some documents are written again and again: their ids have blocks of postings.
      { field: ID, term: doc % 100 === 7 ? "again" : idOf(doc) },
      { field: TITLE, text: `${word(random)} ${word(random)}` },
      { field: BODY, text: Array.from({ length: 24 }, () => word(random)).join(" ") },
      ...(doc % 3 === 0 ? [{ field: TAG, term: `t${random.below(40)}` }] : []),
      { field: TIME, point: BigInt(random.below(1 << 20)) },
    ])
  }
  const segment = writer.seal()
  writer.close()
  return { segment, bytes: segment.readBytes(0, segment.byteLength) }
}

const engine = new Engine()
const { segment: resident, bytes } = corpus(engine)
const statistics = combinedStatistics([resident], BM25)

/** Fills with garbage the place where a blob of `size` bytes will be opened, so that an answer out of a page that is
 *  missing is a wrong one. The region has as many pages as that of PagedBlob.open, so both are found in the same place. */
function soil(engine: Engine, size: number): void {
  const garbage = engine.abi.regionAlloc(size + Math.ceil(size / PAGE) + 64) >>> 0
  engine.bytes.fill(0xa5, garbage, garbage + size)
  engine.abi.regionFree(garbage)
}

async function openLazily(source: ByteSource = sourceOf(bytes)): Promise<TextSegment> {
  soil(engine, source.size)
  return await TextSegment.open(engine, source, FIELDS)
}

function counted(slow = false) {
  const reads: { offset: number; length: number }[] = []
  const waiting: (() => void)[] = []
  const state = { fails: false }
  const source: ByteSource = {
    size: bytes.length,
    read: async (offset, length) => {
      reads.push({ offset, length })
      if (slow) await new Promise<void>((resolve) => waiting.push(resolve))
      if (state.fails) throw new PrismError("IO_ERROR", "the disk says no")
      return bytes.slice(offset, offset + length)
    },
  }
  return { source, reads, waiting, state }
}

function randomQuery(random: Random, depth = 0): Query {
  const text =
    random.unit() < 0.5
      ? [{ field: BODY, weight: 1 }]
      : [
          { field: TITLE, weight: 2 },
          { field: BODY, weight: 1 },
        ]
  const term = () => (random.unit() < 0.9 ? word(random) : "nowhere")
  const kind = random.below(depth < 2 ? 8 : 6)
  if (kind === 0) return { kind: "term", fields: text, term: term(), boost: 1 }
  if (kind === 1)
    return { kind: "term", fields: [{ field: TAG, weight: 1 }, ...text], term: `t${random.below(50)}`, boost: 1 }
  if (kind === 2) {
    const terms = Array.from({ length: 1 + random.below(3) }, (_, offset) => ({ term: term(), offset }))
    return { kind: "phrase", fields: [{ field: TAG, weight: 1 }, ...text], terms, boost: 1 }
  }
  if (kind === 3) {
    const lower = random.below(1 << 20)
    return {
      kind: "points",
      field: TIME,
      lower: BigInt(lower),
      upper: BigInt(lower + random.below(1 << random.below(20))),
    }
  }
  if (kind === 4) {
    const field = [ID, TITLE, BODY, TAG][random.below(4)] as number
    const bound = () => ({
      term: field === ID ? idOf(random.below(DOCUMENTS)) : field === TAG ? `t${random.below(50)}` : word(random),
      inclusive: random.unit() < 0.5,
    })
    return {
      kind: "terms",
      field,
      lower: random.unit() < 0.8 ? bound() : undefined,
      upper: random.unit() < 0.8 ? bound() : undefined,
    }
  }
  if (kind === 5) return random.unit() < 0.5 ? { kind: "all" } : { kind: "none" }
  const clauses = () => Array.from({ length: random.below(3) }, () => randomQuery(random, depth + 1))
  return { kind: "bool", must: clauses(), should: clauses(), mustNot: clauses() }
}

/** Whether both give the same, to the last bit. */
function expectSame(lazy: TextSegment, program: QueryProgram): void {
  const [a, b] = [lazy, resident].map((segment) => segment.search(program, { k: 20 }))
  expect(a).toEqual(b)
  const [set, wanted] = [lazy, resident].map((segment) => segment.filter(program))
  expect(set?.count).toBe(wanted?.count)
  if (wanted) set?.andNot(wanted)
  expect(set?.count).toBe(0)
  set?.close()
  wanted?.close()
}

test("a segment whose pages come when they are needed answers every query as one that is all there", async () => {
  const random = new Random(1)
  let partly = 0
  for (let round = 0; round < 30; round++) {
    const lazy = await openLazily()
    for (let i = 0; i < 5; i++) {
      const query = randomQuery(random)
      const program = compileQuery(query, statistics)
      await lazy.prepare(program)
      expect(lazy.prepare(program)).toBeUndefined()
      expectSame(lazy, program)
      const terms = termsOf(query)
      await lazy.prepareTerms(terms)
      for (const { field, term } of terms) {
        expect(lazy.docFreq(field, term)).toBe(resident.docFreq(field, term))
        const documents = resident.lookup(field, term)
        expect(lazy.lookup(field, term).join()).toBe(documents.join())
        expect(lazy.lastDocument(field, term)).toBe(documents.at(-1))
      }
      if (lazy.residentBytes < lazy.byteLength) partly++
    }
    lazy.close()
  }
  expect(partly).toBeGreaterThan(100)
})

test("the last document of an id is found, and of what is no id nothing", async () => {
  const random = new Random(2)
  for (let round = 0; round < 20; round++) {
    const lazy = await openLazily()
    const ids = Array.from({ length: 30 }, () =>
      random.unit() < 0.5 ? idOf(random.below(DOCUMENTS)) : `no-${random.bits()}`,
    )
    ids.push("again", "", "\uffff")
    await lazy.prepareIds(ids)
    expect(lazy.prepareIds(ids)).toBeUndefined()
    for (const id of ids) expect(lazy.lastDocument(ID, id)).toBe(resident.lookup(ID, id).at(-1))
    lazy.close()
  }
})

test("ranges of a few terms bring what lies around them", async () => {
  const random = new Random(8)
  const ids = Array.from({ length: DOCUMENTS }, (_, doc) => idOf(doc)).toSorted((a, b) => (a < b ? -1 : 1))
  for (let round = 0; round < 60; round++) {
    const lazy = await openLazily()
    const first = random.below(DOCUMENTS)
    const [lower, upper] = [ids[first], ids[Math.min(first + random.below(1500), DOCUMENTS - 1)]]
    const bounds = { lower: { term: lower ?? "", inclusive: true }, upper: { term: upper ?? "", inclusive: true } }
    const program = compileQuery({ kind: "terms", field: ID, ...bounds }, statistics)
    await lazy.prepare(program)
    expectSame(lazy, program)
    lazy.close()
  }
})

test("postings over several pages all come", async () => {
  const random = new Random(9)
  const own = new Engine()
  const writer = new TextWriter(own, [{ kind: "term" }, { kind: "text" }])
  for (let doc = 0; doc < 60_000; doc++) {
    writer.add([
      { field: 0, term: `${doc}` },
      { field: 1, text: "x ".repeat(2 ** random.below(10)) },
    ])
  }
  const whole = writer.seal()
  const source = sourceOf(whole.readBytes(0, whole.byteLength))
  const program = compileQuery(
    { kind: "term", fields: [{ field: 1, weight: 1 }], term: "x", boost: 1 },
    combinedStatistics([whole], BM25),
  )
  soil(own, source.size)
  const lazy = await TextSegment.open(own, source, [{ kind: "term" }, { kind: "text" }])
  await lazy.prepare(program)
  expect(lazy.search(program, { k: 50 })).toEqual(whole.search(program, { k: 50 }))
  // No positions, and of the ids nothing.
  expect(lazy.residentBytes).toBeLessThan(lazy.byteLength / 4)
})

test("opening reads a page; a rare word costs a few, however large the segment is", async () => {
  const { source, reads } = counted()
  const lazy = await openLazily(source)
  expect(bytes.length).toBeGreaterThan(44 * PAGE)
  expect(reads).toHaveLength(2)
  expect(lazy.residentBytes).toBeLessThanOrEqual(bodyOf(bytes) + PAGE)
  expect(lazy.docCount).toBe(DOCUMENTS)
  expect(lazy.fieldLength(BODY)).toBe(DOCUMENTS * 24)
  const rare = Array.from({ length: 60_000 }, (_, i) => `w${i + 5000}`).find(
    (term) => resident.docFreq(BODY, term) === 2,
  )
  const query: Query = { kind: "term", fields: [{ field: BODY, weight: 1 }], term: rare ?? "", boost: 1 }
  await lazy.prepareTerms(termsOf(query))
  const program = compileQuery(query, combinedStatistics([lazy], BM25))
  await lazy.prepare(program)
  expectSame(lazy, program)
  // Its group of the dictionary, two entries of TERM_INDEX, the norms of two documents.
  expect(lazy.residentBytes).toBeLessThan(bodyOf(bytes) + 9 * PAGE)
  lazy.close()
})

test("prepares at the same time share their reads", async () => {
  const random = new Random(3)
  const { source, reads, waiting } = counted(true)
  const opening = openLazily(source)
  const serve = async <T>(wanted: Promise<T>): Promise<T> => {
    let isDone = false
    const done = wanted.finally(() => {
      isDone = true
    })
    while (!isDone) {
      // The read that came last arrives first.
      waiting.pop()?.()
      await new Promise((resolve) => setTimeout(resolve, 0))
    }
    return await done
  }
  const lazy = await serve(opening)
  const programs = Array.from({ length: 60 }, () => compileQuery(randomQuery(random), statistics))
  await serve(Promise.all(programs.map(async (program) => await lazy.prepare(program))))
  for (const program of programs) expectSame(lazy, program)
  await serve(lazy.loadAll())
  lazy.check()
  const read = reads.slice(1).reduce((sum, { length }) => sum + length, 0)
  expect(read).toBe(bytes.length - bodyOf(bytes))
  expect(new Set(reads.slice(1).map(({ offset }) => offset)).size).toBe(reads.length - 1)
  lazy.close()
})

test("a read that fails leaves the segment as it was; the next prepare tries again", async () => {
  const { source, state } = counted()
  const lazy = await openLazily(source)
  const programs = Array.from({ length: 20 }, (_, i) => compileQuery(randomQuery(new Random(40 + i)), statistics))
  const [first, ...others] = programs as [QueryProgram, ...QueryProgram[]]
  await lazy.prepare(first)
  for (const program of others) {
    state.fails = true
    const failing = lazy.prepare(program)
    if (failing) await expect(failing).rejects.toMatchObject({ code: "IO_ERROR" })
    expectSame(lazy, first)
    state.fails = false
    await lazy.prepare(program)
    expectSame(lazy, program)
  }
  lazy.close()
})

test("a damaged page is told by the prepare that needs it; other queries are answered", async () => {
  const random = new Random(5)
  let told = 0
  for (let round = 0; round < 40; round++) {
    const damaged = bytes.slice()
    const at = bodyOf(bytes) + PAGE + random.below(bytes.length - bodyOf(bytes) - PAGE)
    damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8))
    const lazy = await openLazily(sourceOf(damaged))
    for (let i = 0; i < 4; i++) {
      const program = compileQuery(randomQuery(random), statistics)
      const failure = await lazy.prepare(program)?.then(
        () => undefined,
        (error: unknown) => error,
      )
      if (failure === undefined) expectSame(lazy, program)
      else {
        expect(failure).toMatchObject({ code: "CORRUPT" })
        told++
      }
    }
    await expect(lazy.loadAll()).rejects.toMatchObject({ code: "CORRUPT" })
    lazy.close()
  }
  expect(told).toBeGreaterThan(5)
})

test("what arrives after close is nobody's", async () => {
  const inUse = engine.memoryInUse
  const { source, waiting } = counted(true)
  const opening = openLazily(source)
  for (let i = 0; i < 2; i++) {
    waiting.pop()?.()
    await new Promise((resolve) => setTimeout(resolve, 0))
  }
  const lazy = await opening
  const point = compileQuery({ kind: "points", field: TIME, lower: 5n, upper: 9n }, statistics)
  const pending = [
    (async () => await lazy.prepare(point))(),
    (async () => await lazy.prepareIds([idOf(5)]))(),
    lazy.loadAll(),
  ]
  lazy.close()
  expect(engine.memoryInUse).toBe(inUse)
  const settled = Promise.allSettled(pending)
  for (const resolve of waiting) resolve()
  for (const result of await settled) expect(result).toMatchObject({ status: "rejected", reason: { code: "CLOSED" } })
})

test("asking before preparing is a bug that is told, never a wrong answer", async () => {
  const lazy = await openLazily()
  const program = compileQuery({ kind: "term", fields: [{ field: BODY, weight: 1 }], term: "w1", boost: 1 }, statistics)
  for (const ask of [
    () => lazy.docFreq(BODY, "w1"),
    () => lazy.lookup(BODY, "w1"),
    () => lazy.lastDocument(ID, idOf(3)),
    () => lazy.search(program, { k: 1 }),
    () => lazy.filter(program),
    () => lazy.check(),
    () => lazy.readBytes(0, 1),
  ]) {
    expect(ask).toThrow("Bug in Prism")
  }
  lazy.close()
})

/** Where a section is, by its place in the table. */
function sectionAt(place: number): { offset: number; length: number } {
  const view = new DataView(bytes.buffer)
  const entry = 24 + 24 * place
  return { offset: Number(view.getBigUint64(entry + 8, true)), length: Number(view.getBigUint64(entry + 16, true)) }
}
const LAST_SECTION = new DataView(bytes.buffer).getUint16(16, true) - 1

test("forged group keys and filters of ids are refused by the check, or change no answer", async () => {
  const random = new Random(6)
  let refused = 0
  for (let round = 0; round < 45; round++) {
    // GROUP_ENDS, GROUP_KEYS, ID_FILTER (assembly/text/text-segment.ts)
    const { offset, length } = sectionAt([1, 2, LAST_SECTION][round % 3] as number)
    expect(length).toBeGreaterThan(50)
    const forged = bytes.slice()
    const at = offset + random.below(length)
    forged[at] = round % 3 === 2 ? 0 : random.below(256)
    repairChecksums(forged)
    let segment: TextSegment | undefined
    try {
      segment = await openLazily(sourceOf(forged))
      await segment.loadAll()
      segment.check()
      for (let i = 0; i < 200; i++) {
        const [id, term] = [idOf(random.below(DOCUMENTS)), word(random)]
        expect(segment.lastDocument(ID, id)).toBe(resident.lookup(ID, id).at(-1))
        expect(segment.docFreq(BODY, term)).toBe(resident.docFreq(BODY, term))
      }
    } catch (error) {
      expect(error).toMatchObject({ code: "CORRUPT" })
      refused++
    }
    segment?.close()
  }
  expect(refused).toBeGreaterThan(25)
})

test("of ids that are not there, the filter lets about one in a hundred through", async () => {
  // ID_FILTER stands last (assembly/text/text-segment.ts); everything else of the file cannot be read here.
  const { offset: from, length } = sectionAt(LAST_SECTION)
  const terms = DOCUMENTS - DOCUMENTS / 100 + 1
  expect(length).toBe(Math.ceil((terms * 10) / 512) * 64)
  const state = { isOpen: false }
  const lazy = await openLazily({
    size: bytes.length,
    read: async (offset, count) => {
      if (state.isOpen && offset + count <= from) throw new PrismError("IO_ERROR", "not this")
      return bytes.slice(offset, offset + count)
    },
  })
  state.isOpen = true
  const passes = async (id: string) =>
    (await lazy.prepareIds([id])?.then(
      () => false,
      () => true,
    )) ?? false
  let passed = 0
  for (let i = 0; i < 50_000; i++) if (await passes(`other-${i}`)) passed++
  expect(passed / 50_000).toBeGreaterThan(0.003)
  expect(passed / 50_000).toBeLessThan(0.015)
  for (let doc = 0; doc < 500; doc++) if (doc % 100 !== 7) expect(await passes(idOf(doc))).toBe(true)
  lazy.close()
})
