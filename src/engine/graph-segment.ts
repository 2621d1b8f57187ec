import { assert, PrismError } from "../base/errors.ts"
import { type ByteSource, PagedBlob } from "./blob.ts"
import type { DocSet } from "./doc-set.ts"
import type { Engine } from "./engine.ts"
import type { Graph } from "./graph.ts"
import { distinctEdges, type GraphEdge, writeGraphInput } from "./graph-edge.ts"
import { edgesOf, readGraphOutput } from "./graph-output.ts"
import { allocated, copyOut } from "./memory.ts"
import { writeInput } from "./text-input.ts"

const WHAT = "graph segment"

// assembly/graph/segment.ts
const GRAPH_MAGIC = 0x47524750
export const GRAPH_VERSION = 1
const META = 1
const META_BYTES = 36

/** Nodes, edges or documents that a reader takes at once. */
const BATCH = 1024

/** What one segment's documents and graph operations say of the graph, while it is written. The last word on a key counts:
 *  a node's id, or (from, edgeType, to). It is read by sealing it, at any time: the writer stays as it is.
 *
 *  LIMIT_EXCEEDED when the memory of the engine is used up; after that of `addSegment` the writer is of no more use. */
export class GraphSegmentWriter {
  readonly #engine: Engine
  #pointer: number
  #docEnd = 0

  private constructor(engine: Engine, pointer: number) {
    this.#engine = engine
    this.#pointer = allocated(pointer)
  }

  static create(engine: Engine): GraphSegmentWriter {
    return new GraphSegmentWriter(engine, engine.abi.graphWriterNew())
  }

  get #writer(): number {
    assert(this.#pointer !== 0, "graph writer used after close")
    return this.#pointer
  }

  putNode(id: string, record: Uint8Array): void {
    const idBytes = writeGraphInput(this.#engine, id, { record })
    if (!this.#engine.abi.graphWriterPutNode(this.#writer, idBytes, record.length)) allocated(0)
  }

  /** Leaves a tombstone, which hides what older segments say of the node. Its edges are the caller's to delete. */
  deleteNode(id: string): void {
    if (!this.#engine.abi.graphWriterDeleteNode(this.#writer, writeInput(this.#engine, id))) allocated(0)
  }

  /** Puts an explicit edge. */
  putEdge(edge: GraphEdge): void {
    this.#setEdge(edge, false)
  }

  /** Leaves a tombstone of an explicit edge. */
  deleteEdge(from: string, edgeType: string, to: string): void {
    this.#setEdge({ from, to, edgeType, weight: 1 }, true)
  }

  #setEdge(edge: GraphEdge, isDeleted: boolean): void {
    writeGraphInput(this.#engine, "", { edges: [edge] })
    if (!this.#engine.abi.graphWriterSetEdge(this.#writer, Number(isDeleted))) allocated(0)
  }

  /** Adds the edges that are derived from a document, of equal ones the last. docOrds ascend; a document without edges is
   *  left out. */
  addDocumentEdges(docOrd: number, docId: string, edges: readonly GraphEdge[]): void {
    assert(docOrd >= this.#docEnd, `docOrd ${docOrd} does not ascend`)
    if (edges.length === 0) return
    const distinct = distinctEdges(edges)
    const idBytes = writeGraphInput(this.#engine, docId, { edges: distinct })
    if (!this.#engine.abi.graphWriterAddDocument(this.#writer, docOrd, idBytes, distinct.length)) allocated(0)
    this.#docEnd = docOrd + 1
  }

  /** Takes over what a loaded segment says; segments come oldest first. Of its documents those in `live`, whose docOrds
   *  become `base` + their rank in it. */
  addSegment(source: GraphSegment, live: DocSet, base: number): void {
    assert(base >= this.#docEnd, `docOrd ${base} does not ascend`)
    if (!this.#engine.abi.graphWriterAddSegment(this.#writer, source.pointer, live.pointer, base)) allocated(0)
    this.#docEnd = base + live.count
  }

  /** Leaves tombstones out of what is sealed: there is no older segment of which they could hide anything. */
  dropTombstones(): void {
    this.#engine.abi.graphWriterDropDeleted(this.#writer)
  }

  /** Whether a segment would hold nothing. */
  get isEmpty(): boolean {
    return Boolean(this.#engine.abi.graphWriterIsEmpty(this.#writer))
  }

  /** Linear memory that the writer holds. */
  get memoryBytes(): number {
    return this.#engine.abi.graphWriterBytes(this.#writer)
  }

  /** What was written so far as an immutable segment with memory of its own. The same state gives the same bytes, whatever
   *  led to it. */
  seal(): GraphSegment {
    return GraphSegment.adopt(this.#engine, allocated(this.#engine.abi.graphWriterSeal(this.#writer)), this.#docEnd)
  }

  /** Gives the memory back. Closing twice is fine. */
  close(): void {
    if (this.#pointer !== 0) this.#engine.abi.graphWriterFree(this.#pointer)
    this.#pointer = 0
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

/** What META tells before anything else is read. */
interface SegmentShape {
  readonly nodeCount: number
  readonly edgeCount: number
  readonly tombstoneCount: number
  readonly documentCount: number
  readonly derivedCount: number
  readonly allNodes: number
  readonly allEdges: number
}

/** An immutable file of one segment's part in the graph. Its bytes on disk are its bytes in memory: it is loaded, then read,
 *  and can be closed when it has been brought into a graph. */
export class GraphSegment {
  readonly #engine: Engine
  readonly #blob: PagedBlob
  readonly #shape: SegmentShape
  readonly #docCount: number
  #pointer = 0
  #loading: Promise<void> | undefined
  #isClosed = false

  private constructor(engine: Engine, blob: PagedBlob, shape: SegmentShape, docCount: number) {
    this.#engine = engine
    this.#blob = blob
    this.#shape = shape
    this.#docCount = docCount
  }

  /** Opens what `readBytes` gave, which stays open until the segment is loaded. Only the header is read. Documents have
   *  ordinals below `docCount`. Errors: CORRUPT, TRUNCATED, INCOMPATIBLE_VERSION, and those of a read. */
  static async open(engine: Engine, source: ByteSource, { docCount }: { docCount: number }): Promise<GraphSegment> {
    const blob = await PagedBlob.open(engine, source, { what: WHAT, magic: GRAPH_MAGIC, version: GRAPH_VERSION })
    try {
      const { offset, length } = blob.section(META)
      return new GraphSegment(engine, blob, shapeOf(await blob.read(offset, length)), docCount)
    } catch (error) {
      blob.close()
      throw error
    }
  }

  /** Takes over a blob that the engine made. */
  static adopt(engine: Engine, pointer: number, docCount: number): GraphSegment {
    const blob = PagedBlob.adopt(engine, pointer)
    const { offset, length } = blob.section(META)
    const segment = new GraphSegment(engine, blob, shapeOf(copyOut(engine, pointer + offset, length)), docCount)
    try {
      segment.#open()
      return segment
    } catch (error) {
      blob.close()
      throw error
    }
  }

  /** Nodes with a record. */
  get nodeCount(): number {
    return this.#shape.nodeCount
  }

  /** Explicit edges. */
  get edgeCount(): number {
    return this.#shape.edgeCount
  }

  /** Nodes and explicit edges that are deleted, as far as older segments have them. */
  get tombstoneCount(): number {
    return this.#shape.tombstoneCount
  }

  /** Derived edges, of documents that live and of others. */
  get derivedCount(): number {
    return this.#shape.derivedCount
  }

  /** Bytes of the segment. */
  get byteLength(): number {
    return this.#blob.byteLength
  }

  /** Linear memory that the segment's bytes take. */
  get residentBytes(): number {
    return this.#blob.residentBytes
  }

  /** Where the loaded segment is in linear memory. */
  get pointer(): number {
    assert(!this.#isClosed, "graph segment used after close")
    assert(this.#pointer !== 0, "a graph segment is read before it is loaded")
    return this.#pointer
  }

  /** Brings all of the segment into memory and checks what could mislead a reader; undefined where that is done. Callers at
   *  once share the work; after an error the next call reads again what is missing. Errors: CORRUPT, CLOSED, LIMIT_EXCEEDED,
   *  and those of a read. */
  load(): Promise<void> | undefined {
    if (this.#pointer !== 0) return undefined
    this.#loading ??= this.#load().finally(() => {
      this.#loading = undefined
    })
    return this.#loading
  }

  async #load(): Promise<void> {
    await this.#blob.loadAll()
    this.#blob.assertOpen()
    this.#open()
  }

  #open(): void {
    const pointer = this.#engine.abi.graphSegmentOpen(this.#blob.pointer, this.#docCount) >>> 0
    if (pointer === 1) throw contradiction()
    this.#pointer = allocated(pointer)
  }

  /** Brings all that a loaded segment says into a graph, older segments being there already: nodes, explicit edges, and the
   *  edges that are derived from documents in `live`, from all where it is not given. LIMIT_EXCEEDED when the memory of the
   *  engine is used up: then the graph holds a part of it. */
  addTo(graph: Graph, live?: DocSet): void {
    if (!this.#engine.abi.graphAddSegment(graph.pointer, this.pointer, live?.pointer ?? 0)) allocated(0)
  }

  /** The nodes by the bytes of their ids; without a record those that are deleted. */
  *nodeRecords(): Generator<{ id: string; record: Uint8Array<ArrayBuffer> | undefined }, void, undefined> {
    for (const [from, to] of batches(0, this.#shape.allNodes)) {
      const { values, texts } = readGraphOutput(
        this.#engine,
        this.#engine.abi.graphSegmentNodes(this.pointer, from, to),
      )
      for (const [i, id] of texts.entries()) {
        const record = values.getUint32(i * 8, true)
        const length = values.getUint32(i * 8 + 4, true)
        yield { id, record: record === 0 ? undefined : this.#copyRecord(record, length) }
      }
    }
  }

  #copyRecord(record: number, length: number): Uint8Array<ArrayBuffer> {
    assert(!this.#isClosed, "graph segment used after close")
    return copyOut(this.#engine, record, length)
  }

  /** The explicit edges by the bytes of from, edgeType and to, those that are deleted too. */
  *edgeRecords(): Generator<GraphEdge & { readonly deleted: boolean }, void, undefined> {
    let weight = 0
    for (const [from, to] of batches(0, this.#shape.allEdges)) {
      const output = readGraphOutput(
        this.#engine,
        this.#engine.abi.graphSegmentEdges(this.pointer, 0, from, to, weight),
      )
      weight = output.total
      const flags = (to - from) * 8
      for (const [i, edge] of edgesOf(output, to - from).entries()) {
        yield { ...edge, deleted: output.values.getUint32(flags + i * 4, true) === 1 }
      }
    }
  }

  /** The documents that edges are derived from, ascending, whether they live or not. */
  *documentEdges(): Generator<{ docOrd: number; docId: string; edges: GraphEdge[] }, void, undefined> {
    const { abi } = this.#engine
    let weight = abi.graphSegmentExplicitWeights(this.pointer) >>> 0
    let start = 0
    for (const [from, to] of batches(0, this.#shape.documentCount)) {
      const documents = readGraphOutput(this.#engine, abi.graphSegmentDocuments(this.pointer, from, to))
      for (const [i, docId] of documents.texts.entries()) {
        const end = documents.values.getUint32(i * 8 + 4, true)
        const output = readGraphOutput(this.#engine, abi.graphSegmentEdges(this.pointer, 1, start, end, weight))
        weight = output.total
        yield { docOrd: documents.values.getUint32(i * 8, true), docId, edges: edgesOf(output, end - start) }
        start = end
      }
    }
  }

  /** Looks at all that a loaded segment says: CORRUPT where it contradicts itself. */
  check(): void {
    if (!this.#engine.abi.graphSegmentCheck(this.pointer)) throw contradiction()
  }

  /** A copy of some of the bytes of a segment that is all there, as a writer's is. */
  readBytes(offset: number, length: number): Uint8Array<ArrayBuffer> {
    assert(offset >= 0 && length >= 0 && offset + length <= this.byteLength, "range of a segment")
    assert(this.#blob.isComplete, "bytes of a segment in memory")
    return copyOut(this.#engine, this.#blob.pointer + offset, length)
  }

  /** Gives the memory back. Closing twice is fine. */
  close(): void {
    if (this.#pointer !== 0) this.#engine.abi.graphSegmentFree(this.#pointer)
    this.#pointer = 0
    this.#blob.close()
    this.#isClosed = true
  }

  [Symbol.dispose](): void {
    this.close()
  }
}

function* batches(from: number, end: number): Generator<[from: number, to: number]> {
  for (; from < end; from += BATCH) yield [from, Math.min(end, from + BATCH)]
}

function shapeOf(bytes: Uint8Array<ArrayBuffer>): SegmentShape {
  if (bytes.length !== META_BYTES) throw contradiction()
  const meta = new DataView(bytes.buffer)
  const [allNodes, allEdges, documentCount, derivedCount, , deletedNodes, deletedEdges] = [
    8, 12, 16, 20, 24, 28, 32,
  ].map((offset) => meta.getUint32(offset, true)) as [number, number, number, number, number, number, number]
  if (deletedNodes > allNodes || deletedEdges > allEdges) throw contradiction()
  return {
    nodeCount: allNodes - deletedNodes,
    edgeCount: allEdges - deletedEdges,
    tombstoneCount: deletedNodes + deletedEdges,
    documentCount,
    derivedCount,
    allNodes,
    allEdges,
  }
}

function contradiction(): PrismError {
  return new PrismError("CORRUPT", `the ${WHAT} contradicts itself`, { hint: "restore the collection from an archive" })
}
