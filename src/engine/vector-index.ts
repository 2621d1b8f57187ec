import { assert, PrismError } from "../base/errors.ts"
import { type ByteSource, type PageCache, PagedBlob } from "./blob.ts"
import type { DocSet } from "./doc-set.ts"
import type { Engine } from "./engine.ts"
import { allocated, copyOut } from "./memory.ts"

export type Metric = "cosine" | "dot" | "euclidean"

export interface VectorHits {
  /** Best first, ties by docOrd. */
  readonly docOrds: Uint32Array
  /** Cosine similarity, inner product, or 1 / (1 + L2). */
  readonly scores: Float32Array
}

/** The vectors of one segment. A document without a vector is not in it. */
export interface VectorIndex {
  /** Vectors in the index. */
  readonly count: number
  /** How many documents of `accept` (default: all) have a vector. */
  countAccepted(accept?: DocSet): number
  /** The k best of the documents in `accept` (default: all): k results wherever k of them have a vector. A larger
   *  `ef` finds more of the true neighbours, and takes longer. */
  search(query: Float32Array, options: { k: number; ef: number; accept?: DocSet }): VectorHits
  /** Exact scores of single documents; NaN where one has no vector. */
  scores(query: Float32Array, docOrds: Uint32Array): Float32Array
  /** The vector as it came in, bit for bit. */
  vector(docOrd: number): Float32Array | undefined
  /** `[0.1,…]`, the shortest decimals that parse back to the same f32, in UTF-8. */
  vectorJson(docOrd: number): Uint8Array | undefined
  /** Gives the memory back. Closing twice is fine. */
  close(): void
}

// assembly/vector/layout.ts
const LANES = 8
const METRICS: readonly Metric[] = ["cosine", "dot", "euclidean"]
const VECTOR_MAGIC = 0x43455650
export const VECTOR_VERSION = 2
const WHAT = "vector segment"

const rowBytesOf = (dimension: number): number => Math.ceil(dimension / LANES) * LANES * 4

// assembly/vector/segment.ts
const META = 1
const DOC_ORDS = 2
const VECTORS = 8
const META_DIMENSION = 0
const META_METRIC = 4
const META_COUNT = 16
const META_LAST_DOC_ORD = 32
const META_BYTES = 36

abstract class EngineVectorIndex implements VectorIndex {
  protected readonly engine: Engine
  #index: number

  /** `index` is 0 where there is none in the engine yet. */
  constructor(engine: Engine, index: number) {
    this.engine = engine
    this.#index = index
  }

  /** The engine's name for it. */
  get index(): number {
    assert(this.#index !== 0, "vector index used before it is loaded, or after close")
    return this.#index
  }

  protected set index(index: number) {
    this.#index = index
  }

  protected get hasIndex(): boolean {
    return this.#index !== 0
  }

  get count(): number {
    return this.engine.abi.vectorCount(this.index) >>> 0
  }

  countAccepted(accept?: DocSet): number {
    return accept ? this.engine.abi.vectorCountAccepted(this.index, accept.pointer) >>> 0 : this.count
  }

  search(query: Float32Array, options: { k: number; ef: number; accept?: DocSet }): VectorHits {
    assert(options.k >= 0 && options.ef >= 0, "k and ef are not negative")
    this.#writeQuery(query)
    const { abi } = this.engine
    const most = this.count // u32, unlike what the caller may ask for
    const [k, ef] = [Math.min(options.k, most), Math.min(options.ef, most)]
    const count = abi.vectorSearch(this.index, k, ef, options.accept?.pointer ?? 0)
    if (count < 0) allocated(0)
    const docOrds = new Uint32Array(count)
    const scores = new Float32Array(count)
    const results = new DataView(this.engine.bytes.buffer, abi.vectorResults(this.index) >>> 0, count * 8)
    for (let i = 0; i < count; i++) {
      docOrds[i] = results.getUint32(i * 8, true)
      scores[i] = results.getFloat32(i * 8 + 4, true)
    }
    return { docOrds, scores }
  }

  scores(query: Float32Array, docOrds: Uint32Array): Float32Array {
    this.#writeQuery(query)
    const { abi } = this.engine
    const region = allocated(abi.regionAlloc(docOrds.length * 4))
    new Uint32Array(this.engine.bytes.buffer, region, docOrds.length).set(docOrds)
    abi.vectorScores(this.index, region, docOrds.length)
    const scores = new Float32Array(this.engine.bytes.buffer, region, docOrds.length).slice()
    abi.regionFree(region)
    return scores
  }

  vector(docOrd: number): Float32Array | undefined {
    const row = this.engine.abi.vectorOf(this.index, docOrd) >>> 0
    if (row === 0) return undefined
    return new Float32Array(this.engine.bytes.buffer, row, this.#dimension).slice()
  }

  vectorJson(docOrd: number): Uint8Array | undefined {
    const { abi } = this.engine
    const length = abi.vectorJson(this.index, docOrd)
    if (length < 0) allocated(0)
    return length === 0 ? undefined : copyOut(this.engine, abi.vectorJsonText(this.index) >>> 0, length)
  }

  close(): void {
    if (this.#index !== 0) this.engine.abi.vectorFree(this.#index)
    this.#index = 0
  }

  [Symbol.dispose](): void {
    this.close()
  }

  get #dimension(): number {
    return this.engine.abi.vectorDimension(this.index)
  }

  #writeQuery(query: Float32Array): void {
    if (query.length !== this.#dimension) {
      throw new PrismError(
        "DIMENSION_MISMATCH",
        `the query has ${query.length} dimensions, the vectors have ${this.#dimension}`,
        { hint: "embed the query with the model that made the vectors" },
      )
    }
    for (const component of query) {
      if (!Number.isFinite(component)) {
        throw new PrismError("INVALID_REQUEST", `the query vector holds ${component}, which is not a number of f32`)
      }
    }
    const at = this.engine.abi.vectorQuery(this.index) >>> 0
    new Float32Array(this.engine.bytes.buffer, at, query.length).set(query)
  }
}

export interface VectorWriterOptions {
  readonly dimension: number
  readonly metric: Metric
  /** Links a vector has on upper levels, 2 to 128; at level 0 twice as many. */
  readonly m: number
  /** Candidates that are looked at for them. */
  readonly efConstruction: number
  /** False: no graph. Adding is a copy, every search looks at each vector, and there is no sealing. */
  readonly graph: boolean
  /** About how many vectors will come: memory for them is taken at once, and nothing is copied when it grows. */
  readonly expected?: number | undefined
}

/** A graph of which a larger share is dead is better built anew. `VectorWriter.extend` keeps recall up to there: with
 *  half dead, recall@10 at ef 150 is .9510 on 60,000 word vectors (.9527 from scratch) and .9817 on 50,000 embeddings
 *  (.9820), in a fifth to a seventh of the time; with .8 dead it is .968 (.982) and .985 (.993). Six times after another
 *  with .4 dead each: no further from scratch than the first time. */
export const EXTEND_DEAD_SHARE_MAX = 0.5

/** Bytes of the engine's memory that building a graph of `count` vectors takes at most, from nothing or by `extend`,
 *  sealed segment included: once the segment that is extended, the writer with `expected: count`, the new segment. So
 *  3.9 GiB are enough for 2.2 million vectors of 100 dimensions or 0.8 million of 384. */
export function vectorBuildBytes({ dimension, m }: { dimension: number; m: number }, count: number): number {
  const vector = rowBytesOf(dimension) + 4 // its factor
  const links = 2 * m * 4
  const upper = ((m * 4) / (m - 1)) * 1.1 // rows a vector, some more by chance
  const ordinals = 3 * 4 // docOrd, tower, twin
  const marks = 2 + 1 // visited, and a bit in DocSets that double
  const segment = vector + links + upper + ordinals + marks
  const writer = vector + 2 * (links + 2.5 * upper) + ordinals + marks + 2 * 4 // distances of links; places and origins
  return Math.ceil(count * (2 * segment + writer)) + FIXED_BUILD_BYTES
}

/** What does not grow with the vectors: descriptors, pools, headers, and regions rounded up to pages. */
const FIXED_BUILD_BYTES = 4 << 20

/** Vectors that are relinked between two pauses: a few milliseconds, repairs included. */
const RELINK_STEP = 256

function newIndex(engine: Engine, options: VectorWriterOptions): number {
  const { dimension, metric, m, efConstruction, graph, expected = 0 } = options
  assert(m >= 2 && m <= 128 && dimension >= 1 && efConstruction >= 1, "options of a vector index")
  const { abi } = engine
  return allocated(abi.vectorWriterNew(dimension, METRICS.indexOf(metric), graph ? m : 0, efConstruction, expected))
}

/** A vector index that grows. It is searchable at once, and stays so after `seal`, until it is closed. */
export class VectorWriter extends EngineVectorIndex {
  readonly #dimension: number
  readonly #hasGraph: boolean
  #docEnd = 0

  /** `made` instead of options: an index that the engine made. */
  constructor(engine: Engine, made: VectorWriterOptions | number) {
    super(engine, typeof made === "number" ? made : newIndex(engine, made))
    this.#dimension = engine.abi.vectorDimension(this.index)
    this.#hasGraph = typeof made === "number" || made.graph
  }

  /** A writer that begins with the graph of a loaded segment, without its dead vectors. docOrds become ranks in `live`;
   *  those of later `add` calls follow. `expected`: about how many vectors there will be. `pause` is awaited between
   *  pieces of the work, and may throw. */
  static async extend(
    engine: Engine,
    segment: VectorSegment,
    live: DocSet,
    { expected = 0, pause }: { expected?: number; pause?: () => Promise<void> } = {},
  ): Promise<VectorWriter> {
    const { abi } = engine
    const index = allocated(abi.vectorWriterExtend(segment.index, live.pointer, expected))
    const writer = new VectorWriter(engine, index)
    writer.#docEnd = live.count
    try {
      const count = writer.count
      for (const step of ["vectorWriterRelink", "vectorWriterEnterNewLinks", "vectorWriterInsertLost"] as const) {
        for (let from = 0; from < count; from += RELINK_STEP) {
          abi[step](index, segment.index, from, Math.min(from + RELINK_STEP, count))
          await pause?.()
        }
      }
      abi.vectorWriterExtended(index)
      return writer
    } catch (error) {
      writer.close()
      throw error
    }
  }

  /** Adds a document's vector. docOrds ascend; a document without a vector is left out. */
  add(docOrd: number, vector: Float32Array): void {
    assert(docOrd >= this.#docEnd, `docOrd ${docOrd} does not ascend`)
    assert(vector.length === this.#dimension, `vector of ${vector.length} dimensions, not ${this.#dimension}`)
    const { abi } = this.engine
    const row = allocated(abi.vectorWriterRow(this.index))
    new Float32Array(this.engine.bytes.buffer, row, this.#dimension).set(vector)
    const failure = abi.vectorWriterAdd(this.index, docOrd)
    if (failure === 1) allocated(0)
    assert(failure === 0, `vector of document ${docOrd} holds a component that is not finite`)
    this.#docEnd = docOrd + 1
  }

  /** Linear memory that the writer holds. */
  get memoryBytes(): number {
    return this.engine.abi.vectorWriterBytes(this.index) >>> 0
  }

  /** The vectors so far as an immutable segment with memory of its own. */
  seal(): VectorSegment {
    assert(this.#hasGraph, "a segment has a graph")
    const blob = allocated(this.engine.abi.vectorWriterSeal(this.index))
    return VectorSegment.adopt(this.engine, blob, this.#docEnd)
  }
}

/** What META and the places of two sections tell of a segment, before anything else of it is read. */
interface SegmentShape {
  readonly dimension: number
  readonly metric: Metric
  readonly count: number
  /** Of the last vector; -1 where there is none. */
  readonly lastDocOrd: number
  /** Where the sections begin. */
  readonly docOrds: number
  readonly vectors: number
}

/** A sealed vector index. Its bytes on disk are its bytes in memory. One of a file is searched once it is loaded; its
 *  vectors are read without that. */
export class VectorSegment extends EngineVectorIndex {
  readonly #blob: PagedBlob
  readonly #shape: SegmentShape
  readonly #docCount: number
  #loading: Promise<void> | undefined
  #isClosed = false

  private constructor(engine: Engine, blob: PagedBlob, shape: SegmentShape, docCount: number) {
    super(engine, 0)
    this.#blob = blob
    this.#shape = shape
    this.#docCount = docCount
  }

  /** Opens what `readBytes` gave, which stays open as long as the segment. Only what names it is read; `cache` keeps
   *  pages that are read for single vectors. Documents have ordinals below `docCount`. Errors: CORRUPT, TRUNCATED,
   *  INCOMPATIBLE_VERSION; and of every method that reads, CORRUPT where its bytes are not those that were written. */
  static async open(
    engine: Engine,
    source: ByteSource,
    expected: { dimension: number; metric: Metric; docCount: number },
    cache?: PageCache,
  ): Promise<VectorSegment> {
    const blob = await PagedBlob.open(
      engine,
      source,
      { what: WHAT, magic: VECTOR_MAGIC, version: VECTOR_VERSION },
      cache,
    )
    try {
      const { offset, length } = blob.section(META)
      const shape = shapeOf(blob, await blob.read(offset, length))
      if (shape.dimension !== expected.dimension || shape.metric !== expected.metric) {
        throw new PrismError(
          "CORRUPT",
          `the ${WHAT} holds ${shape.metric} vectors of ${shape.dimension} dimensions, the schema says ${expected.metric} and ${expected.dimension}`,
        )
      }
      if (shape.lastDocOrd >= expected.docCount) throw contradiction()
      return new VectorSegment(engine, blob, shape, expected.docCount)
    } catch (error) {
      blob.close()
      throw error
    }
  }

  /** Takes over a blob that the engine made. */
  static adopt(engine: Engine, pointer: number, docCount: number): VectorSegment {
    const blob = PagedBlob.adopt(engine, pointer)
    const { offset, length } = blob.section(META)
    const segment = new VectorSegment(engine, blob, shapeOf(blob, copyOut(engine, pointer + offset, length)), docCount)
    segment.#openIndex()
    return segment
  }

  override get count(): number {
    return this.#shape.count
  }

  /** Bytes of the segment. */
  get byteLength(): number {
    return this.#blob.byteLength
  }

  get isLoaded(): boolean {
    return this.hasIndex
  }

  /** Linear memory that the segment's bytes take. */
  get residentBytes(): number {
    return this.#blob.residentBytes
  }

  /** Brings all of the segment into memory, so that it can be searched; undefined where it is there. Callers at once
   *  share the work; after an error the next call reads again what is missing. */
  load(): Promise<void> | undefined {
    if (this.hasIndex) return undefined
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #load(): Promise<void> {
    await this.#blob.loadAll()
    if (this.#isClosed) throw new PrismError("CLOSED", `the ${WHAT} was closed while it was read`)
    this.#openIndex()
  }

  #openIndex(): void {
    const index = this.engine.abi.vectorSegmentOpen(this.#blob.pointer, this.#docCount) >>> 0
    if (index === 1) throw contradiction()
    this.index = allocated(index)
  }

  /** A document's vector, bit for bit, loaded or not. */
  async readVector(docOrd: number): Promise<Float32Array | undefined> {
    const bytes = await this.#readRow(docOrd)
    return bytes && new Float32Array(bytes.buffer)
  }

  /** The same as JSON, see `vectorJson`. */
  async readVectorJson(docOrd: number): Promise<Uint8Array | undefined> {
    const bytes = await this.#readRow(docOrd)
    if (!bytes) return undefined
    const { abi } = this.engine
    const row = allocated(abi.regionAlloc(bytes.length + abi.vectorRowJsonMax(this.#shape.dimension)))
    this.engine.bytes.set(bytes, row)
    const text = row + bytes.length
    const json = copyOut(this.engine, text, abi.vectorRowJson(row, this.#shape.dimension, text))
    abi.regionFree(row)
    return json
  }

  /** All vectors in the order of their documents, of which at most 1 MiB is in memory at once. */
  async *scan(): AsyncGenerator<{ docOrd: number; vector: Float32Array }, void, undefined> {
    const { dimension, count, docOrds, vectors } = this.#shape
    const rowBytes = rowBytesOf(dimension)
    const step = Math.max(1, Math.floor(SCAN_BYTES / rowBytes))
    for (let first = 0; first < count; first += step) {
      const length = Math.min(step, count - first)
      const ords = new Uint32Array((await this.#blob.read(docOrds + first * 4, length * 4)).buffer)
      const rows = new Float32Array((await this.#blob.read(vectors + first * rowBytes, length * rowBytes)).buffer)
      for (const [i, docOrd] of ords.entries()) {
        const at = (i * rowBytes) / 4
        yield { docOrd, vector: rows.subarray(at, at + dimension) }
      }
    }
  }

  /** Looks at all that a loaded segment says: CORRUPT where it contradicts itself. */
  check(): void {
    if (!this.engine.abi.vectorSegmentCheck(this.index)) throw contradiction()
  }

  /** A copy of some of the bytes of a segment that a writer has sealed. */
  readBytes(offset: number, length: number): Uint8Array<ArrayBuffer> {
    assert(offset >= 0 && length >= 0 && offset + length <= this.byteLength, "range of a segment")
    assert(this.#blob.isComplete, "bytes of a segment in memory")
    return copyOut(this.engine, this.#blob.pointer + offset, length)
  }

  override close(): void {
    super.close()
    this.#blob.close()
    this.#isClosed = true
  }

  /** The components of a document's vector. */
  async #readRow(docOrd: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
    const ordinal = await this.#ordinalOf(docOrd)
    if (ordinal === undefined) return undefined
    const { dimension, vectors } = this.#shape
    return await this.#blob.read(vectors + ordinal * rowBytesOf(dimension), dimension * 4)
  }

  /** Which vector is a document's. Where every document up to the last has one, nothing need be read for that. */
  async #ordinalOf(docOrd: number): Promise<number | undefined> {
    const { count, lastDocOrd, docOrds } = this.#shape
    if (docOrd > lastDocOrd) return undefined
    // So many documents before the last have no vector: no ordinal is further than that below its docOrd.
    const missing = lastDocOrd + 1 - count
    if (missing === 0) return docOrd
    let from = Math.max(0, docOrd - missing)
    let to = Math.min(docOrd, count - 1)
    while (from < to) {
      const middle = (from + to) >>> 1
      if ((await this.#docOrdAt(docOrds, middle)) < docOrd) from = middle + 1
      else to = middle
    }
    return (await this.#docOrdAt(docOrds, from)) === docOrd ? from : undefined
  }

  async #docOrdAt(docOrds: number, ordinal: number): Promise<number> {
    const bytes = await this.#blob.read(docOrds + ordinal * 4, 4)
    return new DataView(bytes.buffer).getUint32(0, true)
  }
}

const SCAN_BYTES = 1 << 20

function shapeOf(blob: PagedBlob, bytes: Uint8Array<ArrayBuffer>): SegmentShape {
  if (bytes.length !== META_BYTES) throw contradiction()
  const meta = new DataView(bytes.buffer)
  const dimension = meta.getUint32(META_DIMENSION, true)
  const metric = METRICS[meta.getUint32(META_METRIC, true)]
  const count = meta.getUint32(META_COUNT, true)
  const lastDocOrd = count === 0 ? -1 : meta.getUint32(META_LAST_DOC_ORD, true)
  const [docOrds, vectors] = [blob.section(DOC_ORDS), blob.section(VECTORS)]
  const isLong = docOrds.length === count * 4 && vectors.length === count * rowBytesOf(dimension)
  if (metric === undefined || !isLong || lastDocOrd < count - 1) throw contradiction()
  return { dimension, metric, count, lastDocOrd, docOrds: docOrds.offset, vectors: vectors.offset }
}

function contradiction(): PrismError {
  return new PrismError("CORRUPT", `the ${WHAT} contradicts itself`, { hint: "restore the collection from an archive" })
}
