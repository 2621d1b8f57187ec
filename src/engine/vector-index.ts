import { assert, PrismError } from "../base/errors.ts"
import { openBlob } from "./blob.ts"
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

/** Bytes that can be read by range; a `ReadableFile` is one. */
export interface ByteSource {
  readonly size: number
  read(offset: number, length: number): Promise<Uint8Array>
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
  /** Makes the methods above ready; undefined when they are. Those below need no such call. */
  load(): Promise<void> | undefined
  readVector(docOrd: number): Promise<Float32Array | undefined>
  readVectorJson(docOrd: number): Promise<Uint8Array | undefined>
  /** Gives the memory back. Closing twice is fine. */
  close(): void
}

// assembly/vector/layout.ts
const METRICS: readonly Metric[] = ["cosine", "dot", "euclidean"]
const VECTOR_MAGIC = 0x43455650
const VECTOR_VERSION = 2
const WHAT = "vector segment"
const DOC_COUNT_MAX = 0xffff_ffff

abstract class EngineVectorIndex implements VectorIndex {
  protected readonly engine: Engine
  #index: number

  constructor(engine: Engine, index: number) {
    this.engine = engine
    this.#index = index
  }

  get index(): number {
    assert(this.#index !== 0, "vector index used after close")
    return this.#index
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
    return new Float32Array(this.engine.bytes.buffer, row, this.dimension).slice()
  }

  vectorJson(docOrd: number): Uint8Array | undefined {
    const { abi } = this.engine
    const length = abi.vectorJson(this.index, docOrd)
    if (length < 0) allocated(0)
    return length === 0 ? undefined : copyOut(this.engine, abi.vectorJsonText(this.index) >>> 0, length)
  }

  load(): Promise<void> | undefined {
    return undefined
  }

  async readVector(docOrd: number): Promise<Float32Array | undefined> {
    return this.vector(docOrd)
  }

  async readVectorJson(docOrd: number): Promise<Uint8Array | undefined> {
    return this.vectorJson(docOrd)
  }

  close(): void {
    if (this.#index !== 0) this.engine.abi.vectorFree(this.#index)
    this.#index = 0
  }

  [Symbol.dispose](): void {
    this.close()
  }

  get dimension(): number {
    return this.engine.abi.vectorDimension(this.index)
  }

  get metric(): Metric {
    return METRICS[this.engine.abi.vectorMetric(this.index)] ?? "cosine"
  }

  #writeQuery(query: Float32Array): void {
    if (query.length !== this.dimension) {
      throw new PrismError(
        "DIMENSION_MISMATCH",
        `the query has ${query.length} dimensions, the vectors have ${this.dimension}`,
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
    this.#dimension = this.dimension
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
      for (const step of [abi.vectorWriterRelink, abi.vectorWriterEnterNewLinks]) {
        for (let from = 0; from < count; from += RELINK_STEP) {
          step(index, segment.index, from, Math.min(from + RELINK_STEP, count))
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
    return VectorSegment.adopt(this.engine, blob, this)
  }
}

/** A sealed vector index. Its bytes on disk are its bytes in memory. */
export class VectorSegment extends EngineVectorIndex {
  readonly #blob: number
  /** Bytes of the segment. */
  readonly byteLength: number

  private constructor(engine: Engine, index: number, blob: number) {
    super(engine, index)
    this.#blob = blob
    this.byteLength = engine.abi.blobLength(blob) >>> 0
  }

  /** Opens what `readBytes` gave. Every byte is checked: CORRUPT, TRUNCATED, INCOMPATIBLE_VERSION. With `docCount`, a
   *  vector of a document from there on is CORRUPT too. */
  static async open(
    engine: Engine,
    source: ByteSource,
    expected: { dimension: number; metric: Metric; docCount?: number },
  ): Promise<VectorSegment> {
    const bytes = await source.read(0, source.size)
    const blob = openBlob(engine, bytes, { what: WHAT, magic: VECTOR_MAGIC, version: VECTOR_VERSION })
    return VectorSegment.adopt(engine, blob, expected)
  }

  /** Takes over a blob that the engine made or has checked. */
  static adopt(
    engine: Engine,
    blob: number,
    expected: { dimension: number; metric: Metric; docCount?: number },
  ): VectorSegment {
    const { abi } = engine
    const index = abi.vectorSegmentOpen(blob, expected.docCount ?? DOC_COUNT_MAX) >>> 0
    if (index <= 1) {
      abi.regionFree(blob)
      allocated(index)
      throw new PrismError("CORRUPT", `the ${WHAT} contradicts itself`, {
        hint: "restore the collection from an archive",
      })
    }
    const dimension = abi.vectorDimension(index) >>> 0
    const metric = METRICS[abi.vectorMetric(index)]
    if (dimension !== expected.dimension || metric !== expected.metric) {
      abi.vectorFree(index)
      throw new PrismError(
        "CORRUPT",
        `the ${WHAT} holds ${metric} vectors of ${dimension} dimensions, the schema says ${expected.metric} and ${expected.dimension}`,
      )
    }
    return new VectorSegment(engine, index, blob)
  }

  get isLoaded(): boolean {
    return true
  }

  /** Linear memory that the segment holds. */
  get residentBytes(): number {
    return this.byteLength
  }

  /** All vectors in the order of their documents. */
  async *scan(): AsyncGenerator<{ docOrd: number; vector: Float32Array }> {
    for (let docOrd = 0, left = this.count; left > 0; docOrd++) {
      const vector = this.vector(docOrd)
      if (!vector) continue
      left--
      yield { docOrd, vector }
    }
  }

  /** Looks at everything that a search relies on: CORRUPT where the file contradicts itself. */
  check(): void {}

  /** A copy of some of the segment's bytes. */
  readBytes(offset: number, length: number): Uint8Array<ArrayBuffer> {
    assert(offset >= 0 && length >= 0 && offset + length <= this.byteLength, "range of a segment")
    void this.index
    return copyOut(this.engine, this.#blob + offset, length)
  }
}
