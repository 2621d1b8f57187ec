import { DocSet } from "../engine/doc-set.ts"
import { TextWriter } from "../engine/text-index.ts"
import { VectorWriter } from "../engine/vector-index.ts"
import type { StoredDocument } from "../storage/document-store.ts"
import type { ReadableFile } from "../storage/storage.ts"
import { decodeWalDocument, readWalDocument, type WalLocation } from "../storage/wal.ts"
import type { CheckedDocument } from "./document.ts"
import { Segment, type SegmentShape } from "./segment.ts"

/** A segment is sealed before it would pass either bound. Both depend on the documents alone, never on how they were
 *  batched, so that the same documents in the same order give the same segments. 256 Ki documents keep a 4096-document
 *  window's bookkeeping small; 256 MiB of stored bytes bound the log that a restart replays. */
export const SEGMENT_DOCUMENTS_MAX = 262_144
export const SEGMENT_BYTES_MAX = 256 * 1024 * 1024

const SCAN_BYTES = 1 << 20

/** The documents of the current write-ahead log: indexed in memory and searchable at once, their stored bytes read back
 *  from the log itself. */
export class RamSegment extends Segment {
  readonly text: TextWriter
  readonly vector: VectorWriter | undefined
  readonly live: DocSet
  /** Bytes of stored fields and vectors so far, the measure of SEGMENT_BYTES_MAX. */
  storedBytes = 0
  readonly #log: ReadableFile
  /** Where each document stands in the log; doubled when full. At most SEGMENT_DOCUMENTS_MAX entries. */
  #offsets = new Float64Array(1024)
  #lengths = new Uint32Array(1024)

  /** `log` is the file that the locations of `add` point into; the segment closes it. */
  constructor(shape: SegmentShape, log: ReadableFile) {
    super()
    this.#log = log
    this.text = new TextWriter(shape.engine, shape.fields)
    this.vector = shape.vector && new VectorWriter(shape.engine, { ...shape.vector, graph: true })
    this.live = DocSet.create(shape.engine, 1024)
  }

  /** True when a document of `bytes` (see `documentBytes`) belongs into the next segment. */
  isFullFor(bytes: number, documents = 1): boolean {
    return (
      this.documentCount + documents > SEGMENT_DOCUMENTS_MAX ||
      (this.documentCount > 0 && this.storedBytes + bytes > SEGMENT_BYTES_MAX)
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
    this.storedBytes += documentBytes(document)
    return docOrd
  }

  async stored(docOrd: number): Promise<StoredDocument> {
    return await readWalDocument(this.#log, this.#location(docOrd))
  }

  async *scan(accept: DocSet): AsyncIterable<StoredDocument & { docOrd: number }> {
    const count = Math.min(this.documentCount, accept.docCount)
    let docOrd = 0
    while (docOrd < count) {
      const start = this.#offset(docOrd)
      let end = docOrd + 1
      while (end < count && this.#offset(end) + this.#length(end) - start <= SCAN_BYTES) end++
      const bytes = await this.#log.read(start, this.#offset(end - 1) + this.#length(end - 1) - start)
      for (; docOrd < end; docOrd++) {
        if (!accept.has(docOrd)) continue
        const location = this.#location(docOrd)
        const at = location.offset - start
        yield { docOrd, ...decodeWalDocument(this.#log, location, bytes.subarray(at, at + location.length)) }
      }
    }
  }

  protected async close(): Promise<void> {
    this.text.close()
    this.vector?.close()
    this.live.close()
    await this.#log.close()
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

/** What a document counts against SEGMENT_BYTES_MAX: UTF-16 units of its fields and 4 bytes a vector component. */
export function documentBytes(document: { fieldsJson: string; vector: Float32Array | undefined }): number {
  return document.fieldsJson.length + (document.vector?.length ?? 0) * 4
}
