import { assert, PrismError } from "../base/errors.ts"
import { ANALYZER_CODES, type AnalyzerSpec } from "./analyzer.ts"
import { type ByteSource, openBlob, type PageCache } from "./blob.ts"
import { DocSet } from "./doc-set.ts"
import type { Engine } from "./engine.ts"
import { allocated, copyOut } from "./memory.ts"
import type { FieldTerm, QueryProgram, TextStatistics } from "./query.ts"
import { writeInput, writeInputBytes } from "./text-input.ts"

/** One field of the index; its ordinal is its place in the array that a writer or segment is opened with. */
export interface IndexField {
  /** "text": analysed, scored, with positions. "term": each value one token, as it is. "point": sortable u64 keys. */
  readonly kind: "text" | "term" | "point"
  /** Of a "text" field; "standard" where it is missing. Other kinds ignore it. */
  readonly analyzer?: AnalyzerSpec | undefined
}

/** One value of a document, by the kind of its field. A field may have several; a phrase never spans two of them. */
export type IndexedValue =
  | { readonly field: number; readonly text: string }
  | { readonly field: number; readonly term: string }
  | { readonly field: number; readonly point: bigint }

/** Best first, equal scores by docOrd. */
export interface TextHits {
  readonly docOrds: Uint32Array
  readonly scores: Float32Array
  /** Every match that `accept` lets through, not only those returned. */
  readonly total: number
}

export interface TextSearchOptions {
  /** How many hits are wanted; 0 only counts. */
  readonly k: number
  /** The documents that may be found; those past its length may not. */
  readonly accept?: DocSet | undefined
}

/** What a RAM writer and a sealed segment both answer. */
export interface TextIndex {
  readonly docCount: number
  /** Makes ready what `docFreq`, `lookup` and `lastDocument` read of these terms; undefined where it is. The errors of
   *  a read, and CORRUPT: the next call tries again. */
  prepareTerms(terms: readonly FieldTerm[]): Promise<void> | undefined
  /** The same for `lastDocument` of field 0, the ids. */
  prepareIds(ids: readonly string[]): Promise<void> | undefined
  /** The same for `search` and `filter`. */
  prepare(program: QueryProgram): Promise<void> | undefined
  /** Sum of tokens over all documents. */
  fieldLength(field: number): number
  /** Documents with at least one value in the field. */
  fieldDocCount(field: number): number
  docFreq(field: number, term: string): number
  /** Documents with the term, ascending. */
  lookup(field: number, term: string): Uint32Array
  /** The last of them. */
  lastDocument(field: number, term: string): number | undefined
  search(program: QueryProgram, options: TextSearchOptions): TextHits
  /** Matching documents, whether deleted or not. The caller closes the set. */
  filter(program: QueryProgram): DocSet
  close(): void
}

const KIND_CODES = { text: 0, term: 1, point: 2 } as const
const FIELDS_MAX = 65_535

// assembly/text/text-segment.ts
const SEGMENT_MAGIC = 0x53545250
const SEGMENT_VERSION = 2
const BLOB_LENGTH_OFFSET = 8

/** The statistics of several indexes taken together, as `compileQuery` wants them. */
export function combinedStatistics(
  indexes: readonly TextIndex[],
  { k1, b }: { k1: number; b: number },
): TextStatistics {
  const sum = (of: (index: TextIndex) => number) => indexes.reduce((total, index) => total + of(index), 0)
  return {
    docCount: sum(({ docCount }) => docCount),
    docFreq: (field, term) => sum((index) => index.docFreq(field, term)),
    fieldLength: (field) => sum((index) => index.fieldLength(field)),
    fieldDocCount: (field) => sum((index) => index.fieldDocCount(field)),
    k1,
    b,
  }
}

function writeFieldKinds(engine: Engine, fields: readonly IndexField[]): void {
  assert(fields.length <= FIELDS_MAX, `${fields.length} fields`)
  const codes = fields.flatMap(({ kind, analyzer }) => [
    KIND_CODES[kind],
    kind === "text" ? ANALYZER_CODES[analyzer?.name ?? "standard"] : 0,
  ])
  writeInputBytes(engine, Uint8Array.from(codes))
}

// What textWriterLastDocument answers beside a docOrd; see assembly/text/lookup.ts.
const NO_DOCUMENT = 0xffff_ffff
const ONLY_POSTINGS_TELL = 0xffff_fffe

/** Everything that is read alike from a writer and a segment (assembly/text/text-index.ts). */
abstract class TextReader implements TextIndex {
  protected readonly engine: Engine
  protected readonly fields: readonly IndexField[]
  #pointer: number

  constructor(engine: Engine, fields: readonly IndexField[], pointer: number) {
    this.engine = engine
    this.fields = fields
    this.#pointer = pointer
  }

  protected get pointer(): number {
    assert(this.#pointer !== 0, "text index used after close")
    return this.#pointer
  }

  get docCount(): number {
    return this.engine.abi.textDocCount(this.pointer) >>> 0
  }

  prepareTerms(_terms: readonly FieldTerm[]): Promise<void> | undefined {
    return undefined
  }

  prepareIds(_ids: readonly string[]): Promise<void> | undefined {
    return undefined
  }

  prepare(_program: QueryProgram): Promise<void> | undefined {
    return undefined
  }

  fieldLength(field: number): number {
    this.checkField(field)
    return this.engine.abi.textFieldLength(this.pointer, field)
  }

  fieldDocCount(field: number): number {
    this.checkField(field)
    return this.engine.abi.textFieldDocCount(this.pointer, field) >>> 0
  }

  docFreq(field: number, term: string): number {
    this.checkField(field)
    return this.engine.abi.textDocFreq(this.pointer, field, writeInput(this.engine, term)) >>> 0
  }

  lookup(field: number, term: string): Uint32Array {
    this.checkField(field)
    const { abi } = this.engine
    const docs = allocated(abi.textLookup(this.pointer, field, writeInput(this.engine, term)))
    const result = new Uint32Array(this.engine.bytes.buffer, docs, abi.textLookupCount()).slice()
    abi.textLookupEnd()
    return result
  }

  lastDocument(field: number, term: string): number | undefined {
    return this.lookup(field, term).at(-1)
  }

  search(program: QueryProgram, { k, accept }: TextSearchOptions): TextHits {
    assert(Number.isInteger(k) && k >= 0, `k is ${k}`)
    const { abi } = this.engine
    writeInputBytes(this.engine, program.bytes)
    const count = abi.textSearch(this.pointer, Math.min(k, 0xffff_ffff), accept?.pointer ?? 0)
    if (count < 0) allocated(0)
    const hits = abi.textSearchHits() >>> 0
    const { buffer } = this.engine.bytes
    const docOrds = new Uint32Array(buffer, hits, count).slice()
    const scores = new Float32Array(buffer, hits + count * 4, count).slice()
    abi.textSearchEnd()
    return { docOrds, scores, total: abi.textSearchTotal() >>> 0 }
  }

  filter(program: QueryProgram): DocSet {
    writeInputBytes(this.engine, program.bytes)
    return new DocSet(this.engine, this.engine.abi.textFilter(this.pointer))
  }

  /** Gives the memory back. Closing twice is fine. */
  close(): void {
    if (this.#pointer !== 0) this.free(this.#pointer)
    this.#pointer = 0
  }

  [Symbol.dispose](): void {
    this.close()
  }

  protected abstract free(pointer: number): void

  // Linear memory has no walls: a field that is not there would be read out of another structure.
  protected checkField(field: number): void {
    assert(Number.isInteger(field) && field >= 0 && field < this.fields.length, `there is no field ${field}`)
  }
}

/** An inverted index in memory that is searchable after every `add`. */
export class TextWriter extends TextReader {
  constructor(engine: Engine, fields: readonly IndexField[]) {
    writeFieldKinds(engine, fields)
    super(engine, [...fields], allocated(engine.abi.textWriterNew(fields.length)))
  }

  /** Bytes of linear memory that the writer holds. */
  get memoryBytes(): number {
    return this.engine.abi.textWriterBytes(this.pointer)
  }

  /** Adds one document and returns its docOrd. Errors: LIMIT_EXCEEDED when the memory of the engine is used up; the
   *  writer then takes no more documents, and holds those before. */
  add(values: readonly IndexedValue[]): number {
    const { engine, pointer } = this
    const { abi } = engine
    for (const value of values) assert(this.#fits(value), `a value does not fit field ${value.field}`)
    let added = true
    for (const value of values) {
      if (!added) break
      if ("text" in value) added = Boolean(abi.textWriterAddText(pointer, value.field, writeInput(engine, value.text)))
      else if ("term" in value)
        added = Boolean(abi.textWriterAddTerm(pointer, value.field, writeInput(engine, value.term)))
      else added = Boolean(abi.textWriterAddPoint(pointer, value.field, value.point))
    }
    if (!added || !abi.textWriterEnd(pointer)) allocated(0)
    return this.docCount - 1
  }

  #fits(value: IndexedValue): boolean {
    const kind = this.fields[value.field]?.kind
    if ("text" in value) return kind === "text"
    return "term" in value ? kind === "term" : kind === "point"
  }

  override lastDocument(field: number, term: string): number | undefined {
    this.checkField(field)
    const last = this.engine.abi.textWriterLastDocument(this.pointer, field, writeInput(this.engine, term)) >>> 0
    if (last === NO_DOCUMENT) return undefined
    return last === ONLY_POSTINGS_TELL ? super.lastDocument(field, term) : last
  }

  /** The documents so far as an immutable segment; the writer stays as it is until it is closed. */
  seal(): TextSegment {
    const blob = allocated(this.engine.abi.textWriterSeal(this.pointer))
    return TextSegment.own(this.engine, blob, this.fields, true)
  }

  protected free(pointer: number): void {
    this.engine.abi.textWriterFree(pointer)
  }
}

/** An immutable inverted index whose bytes on disk are its bytes in linear memory. */
export class TextSegment extends TextReader {
  readonly #blob: number
  readonly byteLength: number

  private constructor(engine: Engine, fields: readonly IndexField[], pointer: number, blob: number) {
    super(engine, fields, pointer)
    this.#blob = blob
    const view = new DataView(engine.bytes.buffer)
    this.byteLength = Number(view.getBigUint64(blob + BLOB_LENGTH_OFFSET, true))
  }

  /** Checks the bytes whole, so that nothing in them can mislead a later call. Errors: CORRUPT, TRUNCATED,
   *  INCOMPATIBLE_VERSION. `fields` must be those that the segment was written with. */
  static async open(
    engine: Engine,
    source: ByteSource,
    fields: readonly IndexField[],
    _cache?: PageCache,
  ): Promise<TextSegment> {
    const bytes = await source.read(0, source.size)
    const blob = openBlob(engine, bytes, { what: "text segment", magic: SEGMENT_MAGIC, version: SEGMENT_VERSION })
    return TextSegment.own(engine, blob, fields, false)
  }

  /** Takes over a blob in the engine's memory. */
  static own(engine: Engine, blob: number, fields: readonly IndexField[], trusted: boolean): TextSegment {
    writeFieldKinds(engine, fields)
    const pointer = engine.abi.textSegmentOpen(blob, fields.length, trusted ? 1 : 0) >>> 0
    if (pointer !== 0) return new TextSegment(engine, [...fields], pointer, blob)
    const failure = engine.abi.textSegmentFailure()
    engine.abi.regionFree(blob)
    throw segmentError(failure)
  }

  get residentBytes(): number {
    return this.byteLength
  }

  async loadAll(): Promise<void> {}

  check(): void {}

  /** A copy of a range of the segment's bytes. */
  readBytes(offset: number, length: number): Uint8Array<ArrayBuffer> {
    assert(
      this.pointer !== 0 && offset >= 0 && length >= 0 && offset + length <= this.byteLength,
      "outside the segment",
    )
    return copyOut(this.engine, this.#blob + offset, length)
  }

  protected free(pointer: number): void {
    this.engine.abi.textSegmentFree(pointer)
  }
}

/** By what textSegmentFailure of assembly/text/text-open.ts returns. */
function segmentError(failure: number): PrismError {
  const hint = "restore the collection from an archive"
  switch (failure) {
    case 1:
      return new PrismError("CORRUPT", "the text segment contradicts itself", { hint })
    case 2:
      return new PrismError("CORRUPT", "the text segment was written with other fields than the schema has", { hint })
    default:
      return allocated(0) as never
  }
}
