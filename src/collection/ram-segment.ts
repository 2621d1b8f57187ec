import { DocSet } from "../engine/doc-set.ts"
import type { Engine } from "../engine/engine.ts"
import { TextWriter } from "../engine/text-index.ts"
import { VectorWriter } from "../engine/vector-index.ts"
import type { StoredDocument } from "../storage/document-store.ts"
import type { LogEntry } from "../storage/manifest.ts"
import type { ReadableFile } from "../storage/storage.ts"
import {
  decodeWalDocument,
  readWalDocument,
  replayOpenWal,
  type WalGraphOperation,
  type WalLocation,
  type WalReplay,
} from "../storage/wal.ts"
import type { Tuning } from "./context.ts"
import type { CheckedDocument } from "./document.ts"
import type { WriteOperation } from "./operations.ts"
import { Segment, type SegmentShape } from "./segment.ts"

const SCAN_BYTES = 1 << 20

/** The documents of one write-ahead log: indexed in memory and searchable at once, their stored bytes read back from the
 *  log itself. Vectors have no graph yet: a search scans them. */
export class RamSegment extends Segment {
  readonly text: TextWriter
  readonly vector: VectorWriter | undefined
  readonly live: DocSet
  /** As the manifest names it; replaced when another one continues it. */
  log: LogEntry
  readonly paths: readonly string[]
  /** Of all documents, nodes and edges so far; see `operationBytes`. */
  storedBytes = 0
  /** Changes of nodes and edges in the log: they are in the collection's graph, not here. */
  graphOperationCount = 0
  readonly #engine: Engine
  readonly #dimension: number
  readonly #file: ReadableFile
  /** Where each document stands in the log; doubled when full. At most Tuning.ramDocuments entries. */
  #offsets = new Float64Array(1024)
  #lengths = new Uint32Array(1024)

  /** `file` is the log that the locations of `add` point into; the segment closes it. */
  constructor(shape: SegmentShape, log: LogEntry, file: ReadableFile) {
    super()
    this.log = log
    this.paths = [log.path]
    this.#engine = shape.engine
    this.#dimension = shape.vector?.dimension ?? 0
    this.#file = file
    this.text = new TextWriter(shape.engine, shape.fields)
    this.vector = shape.vector && new VectorWriter(shape.engine, { ...shape.vector, graph: false })
    this.live = DocSet.create(shape.engine, 1024)
  }

  /** True when `documents` more, and nodes and edges with them, of `bytes` together (see `operationBytes`) belong into the
   *  next segment. */
  isFullFor(bytes: number, documents: number, tuning: Tuning): boolean {
    if (this.documentCount === 0 && this.graphOperationCount === 0) return false
    const vectors = (this.vector?.count ?? 0) + documents
    return (
      this.documentCount + documents > tuning.ramDocuments ||
      this.storedBytes + bytes > tuning.ramBytes ||
      vectors * this.#dimension * 4 > tuning.ramVectorBytes
    )
  }

  add(document: CheckedDocument, location: WalLocation): number {
    const docOrd = this.text.add(document.values)
    if (document.vector) this.vector?.add(docOrd, document.vector)
    if (docOrd === this.#offsets.length) {
      const [offsets, lengths] = [this.#offsets, this.#lengths]
      this.#offsets = new Float64Array(docOrd * 2)
      this.#offsets.set(offsets)
      this.#lengths = new Uint32Array(docOrd * 2)
      this.#lengths.set(lengths)
      this.live.grow(docOrd * 2)
    }
    this.#offsets[docOrd] = location.offset
    this.#lengths[docOrd] = location.length
    this.live.add(docOrd)
    this.storedBytes += operationBytes({ kind: "put", document })
    return docOrd
  }

  countGraphOperation(operation: WalGraphOperation): void {
    this.graphOperationCount++
    this.storedBytes += operationBytes(operation)
  }

  /** Reads the first `length` bytes of the log again, which are whole frames. */
  replay(length: number): WalReplay {
    return replayOpenWal(this.#file, { walNumber: this.log.number, length })
  }

  loadVectors(): undefined {
    return undefined
  }

  async storedVector(docOrd: number): Promise<Float32Array | undefined> {
    return this.vector?.vector(docOrd)
  }

  async storedVectorJson(docOrd: number): Promise<Uint8Array | undefined> {
    return this.vector?.vectorJson(docOrd)
  }

  copyOfLive(): DocSet {
    // The segment's own set reaches further than its documents: it grows by doubling.
    const copy = DocSet.create(this.#engine, this.documentCount)
    copy.or(this.live)
    return copy
  }

  async stored(docOrd: number): Promise<StoredDocument> {
    return await readWalDocument(this.#file, this.#location(docOrd))
  }

  async *scan(accept: DocSet): AsyncIterable<StoredDocument & { docOrd: number }> {
    const count = Math.min(this.documentCount, accept.docCount)
    let docOrd = 0
    while (docOrd < count) {
      const start = this.#offset(docOrd)
      let end = docOrd + 1
      while (end < count && this.#offset(end) + this.#length(end) - start <= SCAN_BYTES) end++
      const bytes = await this.#file.read(start, this.#offset(end - 1) + this.#length(end - 1) - start)
      for (; docOrd < end; docOrd++) {
        if (!accept.has(docOrd)) continue
        const location = this.#location(docOrd)
        const at = location.offset - start
        yield { docOrd, ...decodeWalDocument(this.#file, location, bytes.subarray(at, at + location.length)) }
      }
    }
  }

  protected async close(): Promise<void> {
    this.text.close()
    this.vector?.close()
    this.live.close()
    await this.#file.close()
  }

  #location(docOrd: number): WalLocation {
    return { offset: this.#offset(docOrd), length: this.#length(docOrd) }
  }

  #offset(docOrd: number): number {
    return this.#offsets[docOrd] as number
  }

  #length(docOrd: number): number {
    return this.#lengths[docOrd] as number
  }
}

/** What an edge of a document takes in the engine that seals it, 24 in the writer with 12 in the segment; the names of its ends
 *  are in the fields. */
const DOCUMENT_EDGE_BYTES = 36

/** What an operation counts against Tuning.ramBytes: UTF-16 units of a document's fields, 4 bytes a vector component and 36
 *  an edge that it brings; of a node and an edge all that they say. A deletion counts nothing. */
export function operationBytes(operation: WriteOperation): number {
  switch (operation.kind) {
    case "put": {
      const { fieldsJson, vector, edgeCount } = operation.document
      return fieldsJson.length + (vector?.length ?? 0) * 4 + edgeCount * DOCUMENT_EDGE_BYTES
    }
    case "put node":
      return operation.id.length + operation.recordJson.length
    case "put edge":
      return operation.from.length + operation.edgeType.length + operation.to.length + 8
    default:
      return 0
  }
}
