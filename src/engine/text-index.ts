import { assert, PrismError } from "../base/errors.ts"
import { ANALYZER_CODES, type AnalyzerSpec } from "./analyzer.ts"
import { type ByteSource, type PageCache, PagedBlob } from "./blob.ts"
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
export const SEGMENT_VERSION = 2
/** META, GROUP_ENDS and GROUP_KEYS: every look-up begins there. */
const SECTIONS_AT_OPEN = [1, 2, 3]

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

// What textLastDocument answers beside a docOrd; see assembly/text/lookup.ts.
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

  // All of a writer is there, always; a segment has its own answers.
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
    this.checkField(field)
    const last = this.engine.abi.textLastDocument(this.pointer, field, writeInput(this.engine, term)) >>> 0
    if (last === NO_DOCUMENT) return undefined
    return last === ONLY_POSTINGS_TELL ? this.lookup(field, term).at(-1) : last
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

  /** The documents so far as an immutable segment; the writer stays as it is until it is closed. */
  seal(): TextSegment {
    const blob = allocated(this.engine.abi.textWriterSeal(this.pointer))
    return TextSegment.adopt(this.engine, blob, this.fields)
  }

  protected free(pointer: number): void {
    this.engine.abi.textWriterFree(pointer)
  }
}

/** An immutable inverted index whose bytes on disk are its bytes in linear memory. Of a segment that was opened from a
 *  file the pages come when they are prepared, and stay: what was prepared once is for good. */
export class TextSegment extends TextReader {
  readonly #blob: PagedBlob
  readonly #prepared = new WeakSet<QueryProgram>()

  private constructor(engine: Engine, fields: readonly IndexField[], blob: PagedBlob) {
    writeFieldKinds(engine, fields)
    const pointer = engine.abi.textSegmentOpen(blob.pointer, blob.states, fields.length) >>> 0
    if (pointer === 0) throw segmentError(engine.abi.textSegmentFailure())
    super(engine, [...fields], pointer)
    this.#blob = blob
  }

  /** Reads little more than a page, whatever the segment holds. `fields` must be those that the segment was written
   *  with. The source stays the caller's: open as long as the segment is. Errors: CORRUPT, TRUNCATED,
   *  INCOMPATIBLE_VERSION, LIMIT_EXCEEDED, and those of a read. */
  static async open(
    engine: Engine,
    source: ByteSource,
    fields: readonly IndexField[],
    cache?: PageCache,
  ): Promise<TextSegment> {
    const expected = { what: "text segment", magic: SEGMENT_MAGIC, version: SEGMENT_VERSION }
    const blob = await PagedBlob.open(engine, source, expected, cache)
    try {
      const sections = SECTIONS_AT_OPEN.map((id) => blob.section(id))
      await Promise.all(sections.map(async ({ offset, length }) => await blob.load(offset, length)))
      return new TextSegment(engine, fields, blob)
    } catch (error) {
      blob.close()
      throw error
    }
  }

  /** Takes over a blob that the engine made. */
  static adopt(engine: Engine, pointer: number, fields: readonly IndexField[]): TextSegment {
    const blob = PagedBlob.adopt(engine, pointer)
    try {
      return new TextSegment(engine, fields, blob)
    } catch (error) {
      blob.close()
      throw error
    }
  }

  get byteLength(): number {
    return this.#blob.byteLength
  }

  /** Bytes of the segment that are in memory. */
  get residentBytes(): number {
    return this.#blob.residentBytes
  }

  override prepareTerms(terms: readonly FieldTerm[]): Promise<void> | undefined {
    return this.#bringFor(terms, ({ field, term }) => this.#hasTerm(field, term))
  }

  override prepareIds(ids: readonly string[]): Promise<void> | undefined {
    return this.#bringFor(ids, (id) => this.#hasId(id))
  }

  override prepare(program: QueryProgram): Promise<void> | undefined {
    if (this.#prepared.has(program)) return undefined
    return this.#bringFor([program], () => this.#hasProgram(program))
  }

  /** Reads everything that is missing. */
  async loadAll(): Promise<void> {
    await this.#blob.loadAll()
  }

  /** Checks all of a segment that is loaded, so that nothing in it can mislead a later call, even where somebody made it
   *  on purpose with checksums that are right. Errors: CORRUPT, LIMIT_EXCEEDED. */
  check(): void {
    assert(this.#blob.isComplete, "a segment is checked before it is loaded")
    const failure = this.engine.abi.textSegmentCheck(this.pointer)
    if (failure !== 0) throw segmentError(failure)
  }

  override docFreq(field: number, term: string): number {
    this.#assertReady(() => this.#hasTerm(field, term))
    return super.docFreq(field, term)
  }

  override lookup(field: number, term: string): Uint32Array {
    this.#assertReady(() => this.#hasTerm(field, term))
    return super.lookup(field, term)
  }

  override lastDocument(field: number, term: string): number | undefined {
    this.#assertReady(() => (field === 0 ? this.#hasId(term) : this.#hasTerm(field, term)))
    return super.lastDocument(field, term)
  }

  override search(program: QueryProgram, options: TextSearchOptions): TextHits {
    this.#assertReady(() => this.#hasProgram(program))
    return super.search(program, options)
  }

  override filter(program: QueryProgram): DocSet {
    this.#assertReady(() => this.#hasProgram(program))
    return super.filter(program)
  }

  /** A copy of a range of the bytes of a segment that is all there, as a writer's is. */
  readBytes(offset: number, length: number): Uint8Array<ArrayBuffer> {
    assert(this.#blob.isComplete, "a segment is copied before it is loaded")
    assert(offset >= 0 && length >= 0 && offset + length <= this.byteLength, "outside the segment")
    return copyOut(this.engine, this.#blob.pointer + offset, length)
  }

  protected free(pointer: number): void {
    this.engine.abi.textSegmentFree(pointer)
    this.#blob.close()
  }

  // Each of the following asks the engine, which marks the pages that are missing (assembly/text/text-need.ts).

  #hasTerm(field: number, term: string): boolean {
    this.checkField(field)
    return Boolean(this.engine.abi.textNeedTerm(this.pointer, field, writeInput(this.engine, term)))
  }

  #hasId(id: string): boolean {
    return Boolean(this.engine.abi.textNeedId(this.pointer, writeInput(this.engine, id)))
  }

  #hasProgram(program: QueryProgram): boolean {
    if (this.#prepared.has(program)) return true
    writeInputBytes(this.engine, program.bytes)
    const answer = this.engine.abi.textNeed(this.pointer)
    if (answer < 0) allocated(0)
    if (answer > 0) this.#prepared.add(program)
    return answer > 0
  }

  /** Bytes that are not there would be read as zeros: an answer that is wrong, with no error. */
  #assertReady(isReady: () => boolean): void {
    assert(this.#blob.isComplete || isReady(), "a segment is asked for something that was not prepared")
  }

  #bringFor<T>(items: readonly T[], isReady: (item: T) => boolean): Promise<void> | undefined {
    if (this.#blob.isComplete) return undefined
    const missing = items.filter((item) => !isReady(item))
    return missing.length === 0 ? undefined : this.#bring(missing, isReady)
  }

  /** Every look at what is missing leads a step further: to the dictionary, then to the postings that it tells of. */
  async #bring<T>(missing: readonly T[], isReady: (item: T) => boolean): Promise<void> {
    for (let left = missing; left.length > 0; left = left.filter((item) => !isReady(item))) {
      await this.#blob.loadWanted()
      this.#blob.assertOpen()
    }
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
