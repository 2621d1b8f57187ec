import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { DocSet } from "../../src/engine/doc-set.ts"
import { Engine } from "../../src/engine/engine.ts"
import { type Metric, type VectorSegment, VectorWriter, vectorBuildBytes } from "../../src/engine/vector-index.ts"
import { Random } from "../support/random.ts"

const METRICS: Metric[] = ["cosine", "dot", "euclidean"]

function newWriter(engine: Engine, dimension: number, metric: Metric, graph = true): VectorWriter {
  return new VectorWriter(engine, { dimension, metric, m: 16, efConstruction: 200, graph })
}

/** The definition of the scores, in f64 and a component at a time. */
function score(metric: Metric, a: Float32Array, b: Float32Array): number {
  let [dot, aa, bb, differences] = [0, 0, 0, 0]
  for (const [i, x] of a.entries()) {
    const y = b[i] ?? Number.NaN
    dot += x * y
    aa += x * x
    bb += y * y
    differences += (x - y) ** 2
  }
  if (metric === "euclidean") return Math.fround(1 / (1 + Math.sqrt(differences)))
  if (metric === "dot") return Math.fround(dot)
  return Math.fround(aa * bb > 0 ? dot / Math.sqrt(aa * bb) : 0)
}

/** The k best of `documents`, by looking at each. */
function bruteForce(metric: Metric, query: Float32Array, documents: Map<number, Float32Array>, k: number) {
  return [...documents]
    .map(([docOrd, vector]) => ({ docOrd, score: score(metric, query, vector) }))
    .toSorted((a, b) => b.score - a.score || a.docOrd - b.docOrd)
    .slice(0, k)
}

function gaussian(random: Random, dimension: number): Float32Array {
  return Float32Array.from({ length: dimension }, () => random.normal())
}

/** Vectors around centres, as embeddings lie: some near to each other, none evenly spread. */
function clustered(random: Random, count: number, dimension: number): Map<number, Float32Array> {
  const centres = Array.from({ length: 30 }, () => gaussian(random, dimension))
  const documents = new Map<number, Float32Array>()
  for (let docOrd = 0; documents.size < count; docOrd += random.unit() < 0.2 ? 2 : 1) {
    const centre = centres[random.below(centres.length)] ?? gaussian(random, dimension)
    documents.set(
      docOrd,
      centre.map((x) => x + random.normal() * 0.7),
    )
  }
  return documents
}

function addAll(writer: VectorWriter, documents: Map<number, Float32Array>): void {
  for (const [docOrd, vector] of documents) writer.add(docOrd, vector)
}

function recall(found: Uint32Array, truth: { docOrd: number }[]): number {
  const ords = new Set(found)
  return truth.filter(({ docOrd }) => ords.has(docOrd)).length / truth.length
}

describe.each(METRICS)("%s", (metric) => {
  test("a small index gives the exact answer, ties by docOrd", () => {
    // Sums of small integers are exact in f32 and f64: the ranking must be the very same.
    const engine = new Engine()
    const component = fc.integer({ min: -9, max: 9 })
    const cases = fc.integer({ min: 1, max: 70 }).chain((dimension) =>
      fc.record({
        vectors: fc.array(fc.array(component, { minLength: dimension, maxLength: dimension }), { maxLength: 40 }),
        query: fc.array(component, { minLength: dimension, maxLength: dimension }),
        k: fc.integer({ min: 0, max: 50 }),
        gap: fc.integer({ min: 1, max: 3 }),
      }),
    )
    fc.assert(
      fc.property(cases, ({ vectors, query, k, gap }) => {
        const documents = new Map(vectors.map((vector, i) => [i * gap, Float32Array.from(vector)]))
        const q = Float32Array.from(query)
        using writer = newWriter(engine, query.length, metric)
        addAll(writer, documents)
        using segment = writer.seal()
        using flat = newWriter(engine, query.length, metric, false)
        addAll(flat, documents)
        for (const index of [writer, segment, flat]) {
          const { docOrds, scores } = index.search(q, { k, ef: 10 })
          const hits = [...docOrds].map((docOrd, i) => ({ docOrd, score: scores[i] }))
          expect(hits).toEqual(bruteForce(metric, q, documents, k))
        }
      }),
      { seed: 11, numRuns: 150 },
    )
    expect(engine.memoryInUse).toBe(0)
  })

  test("a large index finds nearly all true neighbours, and scores them exactly", () => {
    const engine = new Engine()
    const random = new Random(12)
    const documents = clustered(random, 4000, 25)
    using writer = newWriter(engine, 25, metric)
    addAll(writer, documents)
    using segment = writer.seal()
    let sum = 0
    const queries = Array.from(clustered(random, 60, 25).values())
    for (const query of queries) {
      const { docOrds, scores } = segment.search(query, { k: 10, ef: 60 })
      expect(segment.scores(query, docOrds)).toEqual(scores)
      expect(writer.search(query, { k: 10, ef: 60 })).toEqual({ docOrds, scores })
      for (const [i, docOrd] of docOrds.entries()) {
        expect(scores[i]).toBeCloseTo(score(metric, query, documents.get(docOrd) ?? query), 5)
      }
      sum += recall(docOrds, bruteForce(metric, query, documents, 10))
    }
    expect(sum / queries.length).toBeGreaterThan(0.97)
  })

  test("whatever part of the documents is accepted, min(k, accepted) of them come back, and the right ones", () => {
    const engine = new Engine()
    const random = new Random(13)
    const documents = clustered(random, 3000, 16)
    const docCount = Math.max(...documents.keys()) + 1
    using writer = newWriter(engine, 16, metric)
    addAll(writer, documents)
    using segment = writer.seal()
    for (const share of [0, 0.001, 0.01, 0.05, 0.2, 0.5, 0.9, 1]) {
      let sum = 0
      for (let round = 0; round < 12; round++) {
        const query = documents.get([...documents.keys()][random.below(3000)] ?? 0)?.map((x) => x + random.normal() / 3)
        if (!query) continue
        // Half of the filters take what is far from the query: the walk must get there.
        const sorted = bruteForce(metric, query, documents, documents.size).map(({ docOrd }) => docOrd)
        const wanted = Math.round(share * documents.size)
        const chosen = round % 2 ? sorted.slice(sorted.length - wanted) : [...documents.keys()].slice(0, wanted)
        using accept = DocSet.create(engine, docCount)
        for (const docOrd of chosen) accept.add(docOrd)
        const { docOrds } = segment.search(query, { k: 10, ef: 40, accept })
        expect(docOrds.length).toBe(Math.min(10, chosen.length))
        expect([...docOrds].every((docOrd) => accept.has(docOrd))).toBe(true)
        const accepted = new Map([...documents].filter(([docOrd]) => accept.has(docOrd)))
        sum += chosen.length ? recall(docOrds, bruteForce(metric, query, accepted, 10)) : 1
      }
      expect(sum / 12).toBeGreaterThan(0.95)
    }
  })

  test("a crowd of equal vectors cuts nobody off, and each of them is found", () => {
    const engine = new Engine()
    const random = new Random(14)
    const documents = clustered(random, 1500, 12)
    const crowd = gaussian(random, 12)
    const start = Math.max(...documents.keys()) + 1
    for (let i = 0; i < 1500; i++) documents.set(start + i, i % 3 ? crowd : gaussian(random, 12))
    using writer = newWriter(engine, 12, metric)
    addAll(writer, documents)
    using segment = writer.seal()
    for (let round = 0; round < 20; round++) {
      const alone = start + 1 + 3 * random.below(400)
      using accept = DocSet.create(engine, start + 1500)
      for (const docOrd of documents.keys()) if (documents.get(docOrd) !== crowd) accept.add(docOrd)
      accept.add(alone)
      const query = crowd.map((x) => x * 1.01)
      const { docOrds } = segment.search(query, { k: 5, ef: 30, accept })
      const accepted = new Map([...documents].filter(([docOrd]) => accept.has(docOrd)))
      expect(recall(docOrds, bruteForce(metric, query, accepted, 5))).toBeGreaterThanOrEqual(0.8)
      if (metric !== "dot") expect(docOrds[0]).toBe(alone)
    }
    const all = segment.search(crowd, { k: 5000, ef: 10 })
    expect(all.docOrds.toSorted()).toEqual(Uint32Array.from(documents.keys()).toSorted())
  })

  test("without a graph, and with an ef of all vectors, every vector is looked at", () => {
    const engine = new Engine()
    const random = new Random(23)
    const documents = clustered(random, 1501, 20)
    const docCount = Math.max(...documents.keys()) + 1
    using flat = newWriter(engine, 20, metric, false)
    using writer = newWriter(engine, 20, metric)
    addAll(flat, documents)
    addAll(writer, documents)
    using segment = writer.seal()
    expect(flat.memoryBytes).toBeLessThan(writer.memoryBytes)
    for (const query of clustered(random, 8, 20).values()) {
      using accept = DocSet.create(engine, docCount)
      for (const docOrd of documents.keys()) if (random.unit() < 0.6) accept.add(docOrd)
      expect(flat.countAccepted(accept)).toBe(segment.countAccepted(accept))
      for (const k of [10, 700]) {
        const all = flat.search(query, { k, ef: 1 })
        const truth = bruteForce(metric, query, documents, k)
        expect(recall(all.docOrds, truth)).toBe(1)
        for (const [i, { score }] of truth.entries()) expect(all.scores[i]).toBeCloseTo(score, 5)
        expect(segment.search(query, { k, ef: segment.count })).toEqual(all)
        const some = flat.search(query, { k, ef: 1, accept })
        expect(segment.search(query, { k, ef: segment.count, accept })).toEqual(some)
        const accepted = new Map([...documents].filter(([docOrd]) => accept.has(docOrd)))
        expect(recall(some.docOrds, bruteForce(metric, query, accepted, k))).toBe(1)
      }
    }
  })

  test("a graph that is carried on without its dead vectors finds what one from scratch would", async () => {
    const engine = new Engine()
    const random = new Random(24)
    const documents = clustered(random, 2000, 20)
    const docCount = Math.max(...documents.keys()) + 1
    using writer = newWriter(engine, 20, metric)
    addAll(writer, documents)
    using segment = writer.seal()
    for (const dead of [0.03, 0.5]) {
      using live = DocSet.create(engine, docCount)
      for (let docOrd = 0; docOrd < docCount; docOrd++) if (random.unit() >= dead) live.add(docOrd)
      using extended = await VectorWriter.extend(engine, segment, live)
      const living = new Map<number, Float32Array>()
      for (let docOrd = 0, rank = 0; docOrd < docCount; docOrd++) {
        if (!live.has(docOrd)) continue
        const vector = documents.get(docOrd)
        if (vector) living.set(rank, vector)
        rank++
      }
      expect(extended.count).toBe(living.size)
      for (const [docOrd, vector] of living) expect(extended.vector(docOrd)).toEqual(vector)
      for (const vector of clustered(random, 300, 20).values()) {
        const docOrd = live.count + living.size
        living.set(docOrd, vector)
        extended.add(docOrd, vector)
      }
      using sealed = extended.seal()
      sealed.check()
      let [sum, scratch] = [0, 0]
      using anew = newWriter(engine, 20, metric)
      addAll(anew, living)
      for (const query of clustered(random, 60, 20).values()) {
        const truth = bruteForce(metric, query, living, 10)
        const hits = sealed.search(query, { k: 10, ef: 40 })
        expect(extended.search(query, { k: 10, ef: 40 })).toEqual(hits)
        sum += recall(hits.docOrds, truth) / 60
        scratch += recall(anew.search(query, { k: 10, ef: 40 }).docOrds, truth) / 60
      }
      expect(sum).toBeGreaterThan(scratch - 0.02)
    }
  })

  test("vectors of zeros, of the largest and of the smallest numbers are found, and no score is NaN", () => {
    const engine = new Engine()
    const random = new Random(15)
    const sizes = [0, 1e-45, 1e-40, 1e-20, 1, 1e19, 3e38]
    const documents = new Map<number, Float32Array>()
    for (let docOrd = 0; docOrd < 700; docOrd++) {
      const size = sizes[docOrd % sizes.length] ?? 0
      documents.set(
        docOrd,
        Float32Array.from({ length: 9 }, () => size * (2 * random.unit() - 1)),
      )
    }
    using writer = newWriter(engine, 9, metric)
    addAll(writer, documents)
    for (const query of [...documents.values()].slice(0, 14)) {
      for (const ef of [10, 1000]) {
        const { docOrds, scores } = writer.search(query, { k: 20, ef })
        expect(docOrds.length).toBe(20)
        expect(scores.every(Number.isFinite)).toBe(true)
        expect(scores).toEqual(scores.toSorted().toReversed())
      }
    }
    if (metric === "cosine") {
      expect(writer.scores(new Float32Array(9).fill(1), Uint32Array.of(0))).toEqual(Float32Array.of(0))
      expect(writer.search(new Float32Array(9), { k: 3, ef: 10 }).scores).toEqual(new Float32Array(3))
    }
  })
})

test("a writer is searchable at every size, and the same documents give the same bytes", () => {
  const random = new Random(17)
  const documents = clustered(random, 1200, 8)
  const seals = [new Engine(), new Engine()].map((engine, round) => {
    using writer = newWriter(engine, 8, "euclidean")
    for (const [docOrd, vector] of documents) {
      writer.add(docOrd, vector)
      // Searching must not change what is built.
      if (round === 0) expect(writer.search(vector, { k: 1, ef: 20 }).scores).toEqual(Float32Array.of(1))
    }
    expect(writer.memoryBytes).toBeGreaterThan(1200 * 8 * 4)
    expect(writer.memoryBytes).toBeLessThanOrEqual(engine.memoryInUse)
    using segment = writer.seal()
    return segment.readBytes(0, segment.byteLength)
  })
  expect(seals[0]).toEqual(seals[1])
})

describe("a graph that is carried on", () => {
  /** A third of the vectors are equal to others, in three crowds that begin at once. */
  function crowded(random: Random, count: number): Float32Array[] {
    const crowds = Array.from({ length: 3 }, () => gaussian(random, 6))
    return Array.from({ length: count }, (_, i) => (i % 3 ? gaussian(random, 6) : crowds[(i / 3) % 3]) ?? crowds[0]!)
  }

  function sealed(engine: Engine, vectors: Float32Array[]): VectorSegment {
    using writer = newWriter(engine, 6, "cosine")
    for (const [docOrd, vector] of vectors.entries()) writer.add(docOrd, vector)
    return writer.seal()
  }

  function bytesOf(segment: VectorSegment): Uint8Array {
    return segment.readBytes(0, segment.byteLength)
  }

  test("is the same, byte for byte, where all live; and its second half is what it would have been", async () => {
    const engine = new Engine()
    const vectors = crowded(new Random(25), 900)
    using whole = sealed(engine, vectors)
    using half = sealed(engine, vectors.slice(0, 450))
    using live = DocSet.create(engine, 450)
    live.fill()
    using extended = await VectorWriter.extend(engine, half, live, { expected: 900 })
    using again = extended.seal()
    expect(bytesOf(again)).toEqual(bytesOf(half))
    for (let i = 450; i < 900; i++) extended.add(i, vectors[i] ?? new Float32Array(6))
    using grown = extended.seal()
    expect(bytesOf(grown)).toEqual(bytesOf(whole))
  })

  test("has each equal vector that lives, whoever of them died, and the same bytes in every engine", async () => {
    const vectors = crowded(new Random(26), 600)
    const dead = new Random(27)
    const isDead = vectors.map((_, i) => i < 12 || dead.unit() < 0.4)
    const files: Uint8Array[] = []
    for (const pauses of [0, 1]) {
      const engine = new Engine()
      using segment = sealed(engine, vectors)
      using live = DocSet.create(engine, 600)
      for (const [i, is] of isDead.entries()) if (!is) live.add(i)
      let paused = 0
      const pause = async () => void paused++
      using extended = await VectorWriter.extend(engine, segment, live, pauses ? { pause, expected: 5000 } : {})
      expect(paused > 0).toBe(pauses > 0)
      const living = vectors.filter((_, i) => !isDead[i])
      expect(living.map((_, i) => extended.vector(i))).toEqual(living)
      for (const crowd of vectors.filter((_, i) => i < 9 && i % 3 === 0)) {
        const ranks = living.flatMap((vector, i) => (vector === crowd ? [i] : []))
        extended.add(extended.count, crowd)
        ranks.push(extended.count - 1)
        living.push(crowd)
        const { docOrds } = extended.search(crowd, { k: ranks.length, ef: 10 })
        expect([...docOrds]).toEqual(ranks)
      }
      using carried = extended.seal()
      carried.check()
      files.push(bytesOf(carried))
    }
    expect(files[0]).toEqual(files[1])
  })

  test("finds the few that are left of a group, no fewer than a graph from scratch does", async () => {
    const options = { dimension: 16, metric: "euclidean", m: 8, efConstruction: 50, graph: true } as const
    const found = { carried: 0, scratch: 0 }
    for (let seed = 0; seed < 8; seed++) {
      const random = new Random(seed)
      const engine = new Engine()
      using writer = new VectorWriter(engine, options)
      using scratch = new VectorWriter(engine, options)
      using live = DocSet.create(engine, 1500)
      const left: Float32Array[] = []
      for (let i = 0; i < 1500; i++) {
        // Six groups of a hundred, of three of which two vectors are left each, and a large one.
        const centre = i < 600 ? 6 * Math.sin((i % 6) * 7 + 1) : 0
        const vector = gaussian(random, 16).map((x) => x / 2 + centre)
        writer.add(i, vector)
        if (i < 600 && (i >= 12 || i % 2 === 1)) continue
        live.add(i)
        scratch.add(scratch.count, vector)
        if (i < 600) left.push(vector)
      }
      using segment = writer.seal()
      using carried = await VectorWriter.extend(engine, segment, live)
      for (const [rank, vector] of left.entries()) {
        if (carried.search(vector, { k: 1, ef: 10 }).docOrds[0] === rank) found.carried++
        if (scratch.search(vector, { k: 1, ef: 10 }).docOrds[0] === rank) found.scratch++
      }
    }
    expect(found.carried).toBeGreaterThan(40) // of 48; 8 where lost vectors are not inserted again
    expect(found.carried).toBeGreaterThanOrEqual(found.scratch)
  })

  test("may lose all its vectors, or none but one; a pause that throws leaves no memory behind", async () => {
    const engine = new Engine()
    const vectors = crowded(new Random(28), 300)
    const segment = sealed(engine, vectors)
    for (const survivor of [undefined, 0, 299]) {
      using live = DocSet.create(engine, 300)
      if (survivor !== undefined) live.add(survivor)
      using extended = await VectorWriter.extend(engine, segment, live)
      expect(extended.count).toBe(live.count)
      for (const [i, vector] of vectors.entries()) extended.add(live.count + i, vector)
      const { docOrds } = extended.search(vectors[1] ?? new Float32Array(6), { k: 1, ef: 10 })
      expect([...docOrds]).toEqual([live.count + 1])
      using resealed = extended.seal()
      resealed.check()
    }
    using live = DocSet.create(engine, 300)
    live.fill()
    const stop = VectorWriter.extend(engine, segment, live, { pause: () => Promise.reject(new Error("stop")) })
    await expect(stop).rejects.toThrow("stop")
    segment.close()
    live.close()
    expect(engine.memoryInUse).toBe(0)
  })
})

test("the marks of what was visited outlast more searches than they can count", () => {
  const engine = new Engine()
  const random = new Random(18)
  using writer = new VectorWriter(engine, { dimension: 4, metric: "dot", m: 4, efConstruction: 10, graph: true })
  addAll(writer, clustered(random, 600, 4))
  const query = gaussian(random, 4)
  const first = writer.search(query, { k: 1, ef: 1 })
  for (let i = 0; i < 66_000; i++) {
    const { docOrds } = writer.search(query, { k: 1, ef: 1 })
    if (docOrds[0] !== first.docOrds[0]) expect.fail(`search ${i} found another`)
  }
})

test.each([
  { dimension: 3, m: 2 },
  { dimension: 100, m: 16 },
  { dimension: 40, m: 64 },
])("a build stays within the memory that it is said to take: $dimension dimensions, m = $m", async (shape) => {
  const random = new Random(29)
  const options = { ...shape, metric: "cosine" as const, efConstruction: 4, graph: true }
  const count = 6000
  const vectors = Array.from({ length: count }, () => gaussian(random, shape.dimension))
  const engine = new Engine()
  const start = engine.bytes.length
  let segment: VectorSegment | undefined
  for (const kept of [0, count / 2, count]) {
    const live = DocSet.create(engine, segment?.count ?? 0)
    for (let docOrd = 0; docOrd < live.docCount; docOrd++) if (docOrd < kept) live.add(docOrd)
    const writer = segment
      ? await VectorWriter.extend(engine, segment, live, { expected: count })
      : new VectorWriter(engine, { ...options, expected: count })
    segment?.close()
    live.close()
    for (let docOrd = writer.count; docOrd < count; docOrd++) writer.add(docOrd, vectors[docOrd] ?? new Float32Array())
    segment = writer.seal()
    writer.close()
    const taken = engine.bytes.length - start
    expect(taken).toBeLessThan(vectorBuildBytes(shape, count))
  }
  expect(engine.bytes.length - start).toBeGreaterThan(vectorBuildBytes(shape, count) / 2 - (4 << 20))
})

test("closing gives all memory back, for ever", () => {
  const engine = new Engine()
  const random = new Random(22)
  const documents = clustered(random, 300, 40)
  let bytesAfterFirst = 0
  for (let round = 0; round < 20; round++) {
    const writer = newWriter(engine, 40, "cosine")
    addAll(writer, documents)
    const segment = writer.seal()
    segment.search(gaussian(random, 40), { k: 10, ef: 100 })
    writer.close()
    segment.close()
    segment.close()
    expect(engine.memoryInUse).toBe(0)
    bytesAfterFirst ||= engine.bytes.length
    expect(engine.bytes.length).toBe(bytesAfterFirst)
  }
})
