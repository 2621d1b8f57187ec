import { describe, expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import type { ByteSource, PageCache } from "../../src/engine/blob.ts"
import { DocSet } from "../../src/engine/doc-set.ts"
import { Engine } from "../../src/engine/engine.ts"
import { type VectorIndex, VectorSegment, VectorWriter } from "../../src/engine/vector-index.ts"
import { repairChecksums } from "../support/blob-bytes.ts"
import { Random } from "../support/random.ts"

const PAGE_BYTES = 65_536

function gaussian(random: Random, dimension: number): Float32Array {
  return Float32Array.from({ length: dimension }, () => random.normal())
}

/** The bytes of a segment with these vectors; documents without one are left out. */
function sealed(vectors: readonly (Float32Array | undefined)[], dimension: number): Uint8Array {
  using writer = new VectorWriter(new Engine(), { dimension, metric: "cosine", m: 2, efConstruction: 10, graph: true })
  for (const [docOrd, vector] of vectors.entries()) if (vector) writer.add(docOrd, vector)
  using segment = writer.seal()
  return segment.readBytes(0, segment.byteLength)
}

/** A file in memory that tells what was read of it. */
class Source implements ByteSource {
  readonly bytes: Uint8Array
  bytesRead = 0
  error: Error | undefined

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }

  get size(): number {
    return this.bytes.length
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (this.error) throw this.error
    this.bytesRead += length
    return this.bytes.slice(offset, offset + length)
  }
}

/** Keeps all that was ever read. */
function keepAll(): PageCache {
  const kept = new Map<number, Promise<Uint8Array>>()
  return {
    get(_source, offset, load) {
      const page = kept.get(offset) ?? load()
      kept.set(offset, page)
      return page
    },
  }
}

const bits = (vector: Float32Array | undefined) => vector && new Uint32Array(vector.slice().buffer)
const text = (bytes: Uint8Array | undefined) => bytes && new TextDecoder().decode(bytes)
const corrupt = expect.objectContaining({ code: "CORRUPT" })

describe.each([
  { name: "of every document", gap: 1 },
  { name: "of some documents", gap: 0 },
])("vectors $name", ({ gap }) => {
  const random = new Random(16)
  const vectors: (Float32Array | undefined)[] = []
  for (let i = 0; i < 2000; i++) {
    const some = [random.normal(), -0, 0, 1e-45, -3e38, random.normal()]
    for (let none = gap ? 0 : random.below(3); none > 0; none--) vectors.push(undefined)
    vectors.push(Float32Array.from({ length: 13 }, () => some[random.below(6)] ?? 0))
  }
  const expected = { dimension: 13, metric: "cosine" as const, docCount: vectors.length }

  test("come back bit for bit, from the writer, the segment, the file and the loaded file", async () => {
    const engine = new Engine()
    using writer = new VectorWriter(engine, { ...expected, m: 4, efConstruction: 10, graph: true })
    for (const [docOrd, vector] of vectors.entries()) if (vector) writer.add(docOrd, vector)
    using segment = writer.seal()
    const bytes = segment.readBytes(0, segment.byteLength)
    using file = await VectorSegment.open(engine, new Source(bytes), expected, keepAll())
    using loaded = await VectorSegment.open(engine, new Source(bytes), expected)
    await loaded.load()
    expect([segment.load(), loaded.load()]).toEqual([undefined, undefined])
    for (const docOrd of [...Array.from({ length: 200 }, () => random.below(vectors.length)), 0, vectors.length - 1]) {
      const vector = vectors[docOrd]
      const json = text(writer.vectorJson(docOrd))
      expect(json && bits(Float32Array.from(JSON.parse(json) as number[]))).toEqual(bits(vector))
      for (const index of [writer, segment, loaded] satisfies VectorIndex[]) {
        expect(bits(index.vector(docOrd))).toEqual(bits(vector))
        expect(text(index.vectorJson(docOrd))).toBe(json)
      }
      for (const index of [segment, file, loaded]) {
        expect(bits(await index.readVector(docOrd))).toEqual(bits(vector))
        expect(text(await index.readVectorJson(docOrd))).toBe(json)
      }
    }
    expect(await file.readVector(vectors.length)).toBeUndefined()
    expect(await file.readVectorJson(vectors.length)).toBeUndefined()
    const none = Uint32Array.of(vectors.indexOf(undefined), 999_999)
    expect(loaded.scores(gaussian(random, 13), gap ? none.subarray(1) : none)[0]).toBeNaN()
    expect(loaded.readBytes(0, loaded.byteLength)).toEqual(bytes)
    expect(file.isLoaded).toBe(false)
  })

  test("are scanned in the order of their documents, from a file and from memory", async () => {
    const engine = new Engine()
    using file = await VectorSegment.open(engine, new Source(sealed(vectors, 13)), expected)
    for (const isLoaded of [false, true]) {
      if (isLoaded) await file.load()
      let last = -1
      let count = 0
      for await (const { docOrd, vector } of file.scan()) {
        expect(docOrd).toBeGreaterThan(last)
        expect(bits(vector)).toEqual(bits(vectors[docOrd]))
        last = docOrd
        count++
      }
      expect(count).toBe(2000)
    }
  })
})

describe("a segment in a file", () => {
  const random = new Random(30)
  const vectors = Array.from({ length: 3000 }, () => gaussian(random, 24))
  const bytes = sealed(vectors, 24)
  const expected = { dimension: 24, metric: "cosine" as const, docCount: 3000 }

  test("is opened by its header, and searched once it is loaded, by one read of each byte", async () => {
    const engine = new Engine()
    const source = new Source(bytes)
    const segment = await VectorSegment.open(engine, source, expected)
    expect(source.bytesRead).toBeLessThan(2 * PAGE_BYTES)
    expect(segment.count).toBe(3000)
    expect([segment.isLoaded, segment.byteLength]).toEqual([false, bytes.length])
    expect(segment.residentBytes).toBeLessThan(4096)
    const query = gaussian(random, 24)
    expect(() => segment.search(query, { k: 1, ef: 1 })).toThrow("before it is loaded")
    const before = source.bytesRead
    await Promise.all([segment.load(), segment.load()])
    expect(source.bytesRead - before).toBeLessThanOrEqual(bytes.length)
    expect([segment.isLoaded, segment.residentBytes]).toEqual([true, bytes.length])
    using all = DocSet.create(engine, 3000)
    all.fill()
    expect(segment.countAccepted(all)).toBe(3000)
    expect(segment.search(vectors[7] ?? query, { k: 1, ef: 3000 }).docOrds[0]).toBe(7)
    segment.check()
    segment.close()
    all.close()
    expect(engine.memoryInUse).toBe(0)
  })

  test("gives single vectors without memory of the engine, and reads pages that a cache has only once", async () => {
    const engine = new Engine()
    const source = new Source(bytes)
    using segment = await VectorSegment.open(engine, source, expected, keepAll())
    const { memoryInUse } = engine
    for (let i = 0; i < 3000; i += 7) expect(bits(await segment.readVector(i))).toEqual(bits(vectors[i]))
    expect(source.bytesRead).toBeLessThan(bytes.length + PAGE_BYTES)
    expect(segment.residentBytes).toBeLessThan(4096)
    expect(engine.memoryInUse).toBe(memoryInUse)
  })

  test("that could not be read is read again by the next search; one that is closed meanwhile ends its load", async () => {
    const engine = new Engine()
    const source = new Source(bytes)
    const segment = await VectorSegment.open(engine, source, expected)
    source.error = new Error("the disk is gone")
    await expect(segment.load()).rejects.toThrow("the disk is gone")
    await expect(segment.readVector(5)).rejects.toThrow("the disk is gone")
    source.error = undefined
    const loading = segment.load()
    segment.close()
    await expect(loading).rejects.toThrow(expect.objectContaining({ code: "CLOSED" }))
    expect(engine.memoryInUse).toBe(0)
    using again = await VectorSegment.open(engine, source, expected)
    source.error = new Error("the disk is gone")
    await expect(again.load()).rejects.toThrow("the disk is gone")
    source.error = undefined
    await again.load()
    expect(again.isLoaded).toBe(true)
  })

  test("never gives a vector of a damaged page, and others as they were", async () => {
    const engine = new Engine()
    let [refused, given] = [0, 0]
    for (let round = 0; round < 40; round++) {
      const damaged = bytes.slice()
      const at = 4096 + random.below(bytes.length - 4096)
      damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8))
      let segment: VectorSegment
      try {
        segment = await VectorSegment.open(engine, new Source(damaged), expected)
      } catch (error) {
        expect(error).toEqual(corrupt)
        continue
      }
      for (let i = round; i < 3000; i += 50) {
        try {
          expect(bits(await segment.readVector(i))).toEqual(bits(vectors[i]))
          given++
        } catch (error) {
          expect(error).toEqual(corrupt)
          refused++
        }
      }
      await expect(segment.load()).rejects.toThrow(corrupt)
      segment.close()
    }
    expect(refused).toBeGreaterThan(100)
    expect(given).toBeGreaterThan(100)
    expect(engine.memoryInUse).toBe(0)
  })

  test("without vectors can be searched, sealed and opened", async () => {
    const engine = new Engine()
    using writer = new VectorWriter(engine, { dimension: 4, metric: "dot", m: 16, efConstruction: 10, graph: true })
    using segment = writer.seal()
    const empty = new Source(segment.readBytes(0, segment.byteLength))
    using reopened = await VectorSegment.open(engine, empty, { dimension: 4, metric: "dot", docCount: 0 })
    expect(await reopened.readVector(0)).toBeUndefined()
    for await (const _ of reopened.scan()) expect.fail("a vector")
    await reopened.load()
    for (const index of [writer, segment, reopened] satisfies VectorIndex[]) {
      expect(index.count).toBe(0)
      expect(index.search(new Float32Array(4), { k: 10, ef: 10 }).docOrds.length).toBe(0)
      expect(index.vector(0)).toBeUndefined()
    }
  })
})

describe("what a file may not do", () => {
  const random = new Random(19)
  const same = gaussian(random, 3)
  const bytes = sealed(
    Array.from({ length: 60 }, (_, i) => (i % 7 ? gaussian(random, 3) : same)),
    3,
  )
  const expected = { dimension: 3, metric: "cosine" as const, docCount: 60 }

  test("a byte that turned, any of them, or one that is missing, is noticed at open, at load and by a read", async () => {
    const engine = new Engine()
    const openAnd = async (source: Source, use: (segment: VectorSegment) => unknown) => {
      using segment = await VectorSegment.open(engine, source, expected)
      await use(segment)
    }
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at] = (damaged[at] ?? 0) ^ (1 << random.below(8))
      // A segment this small has one page: whoever reads anything of it notices.
      for (const use of [(s: VectorSegment) => s.load(), (s: VectorSegment) => s.readVector(at % 60)]) {
        const error: unknown = await openAnd(new Source(damaged), use).catch((e: unknown) => e)
        if (!(error instanceof PrismError)) expect.fail(`byte ${at} may turn`)
      }
      const cut: unknown = await openAnd(new Source(bytes.slice(0, at)), () => undefined).catch((e: unknown) => e)
      if (!(cut instanceof PrismError)) expect.fail(`bytes from ${at} on may be missing`)
    }
    expect(engine.memoryInUse).toBe(0)
  })

  test("a forged file with sound checksums is refused, or can be searched without harm", async () => {
    const engine = new Engine()
    const sectionCount = new DataView(bytes.buffer).getUint16(16, true)
    const found = { refused: 0, searched: 0, sound: 0 }
    for (let round = 0; round < 6000; round++) {
      const forged = bytes.slice()
      const view = new DataView(forged.buffer)
      const entry = 24 + 24 * random.below(sectionCount)
      const [offset, length] = [view.getUint32(entry + 8, true), view.getUint32(entry + 16, true)]
      if (length === 0) continue
      const at = offset + 4 * random.below(length / 4)
      const values = [0, 1, 59, 60, 61, 2 ** 31, 0xffffffff, 0xfffffffe, view.getUint32(at, true) ^ 16, random.bits()]
      view.setUint32(at, values[random.below(values.length)] ?? 0, true)
      repairChecksums(forged)
      let segment: VectorSegment | undefined
      try {
        segment = await VectorSegment.open(engine, new Source(forged), { ...expected, docCount: 100 })
        for (const docOrd of [0, 30, 59, 99]) await segment.readVector(docOrd)
        await segment.load()
      } catch (error) {
        expect(error).toEqual(corrupt)
        segment?.close()
        found.refused++
        continue
      }
      const { docOrds, scores } = segment.search(gaussian(random, 3), { k: 2, ef: 2 })
      expect(docOrds.length).toBe(2)
      expect(docOrds.every((docOrd) => docOrd < 100)).toBe(true)
      found.searched++
      try {
        segment.check()
        expect(scores.every(Number.isFinite)).toBe(true)
        found.sound++
      } catch (error) {
        expect(error).toEqual(corrupt)
      }
      segment.close()
    }
    expect(found.refused).toBeGreaterThan(100)
    expect(found.sound).toBeGreaterThan(100)
    expect(found.searched - found.sound).toBeGreaterThan(100)
    expect(engine.memoryInUse).toBe(0)
  })

  test("a segment of another metric or dimension, or of more documents, is refused", async () => {
    const engine = new Engine()
    for (const other of [{ dimension: 4 }, { metric: "dot" as const }, { docCount: 59 }]) {
      const opening = VectorSegment.open(engine, new Source(bytes), { ...expected, ...other })
      await expect(opening).rejects.toThrow(corrupt)
    }
    expect(engine.memoryInUse).toBe(0)
  })

  test("a query of another dimension, or with a component that is no number, is an error of the caller", async () => {
    const engine = new Engine()
    using segment = await VectorSegment.open(engine, new Source(bytes), expected)
    await segment.load()
    const search = (query: Float32Array) => () => segment.search(query, { k: 1, ef: 1 })
    expect(search(new Float32Array(4))).toThrow(expect.objectContaining({ code: "DIMENSION_MISMATCH" }))
    expect(search(Float32Array.of(1, Number.NaN, 0))).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }))
    expect(search(Float32Array.of(1, Infinity, 0))).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }))
  })
})
