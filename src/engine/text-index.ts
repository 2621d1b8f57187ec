import type { AnalyzerSpec } from "./analyzer.ts"
import type { DocSet } from "./doc-set.ts"
import type { Engine } from "./engine.ts"
import type { QueryProgram, TextStatistics } from "./query.ts"

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
  readonly k: number
  readonly accept?: DocSet | undefined
}

/** What a RAM writer and a sealed segment both answer. */
export interface TextIndex {
  readonly docCount: number
  /** Sum of tokens over all documents. */
  fieldLength(field: number): number
  /** Documents with at least one value in the field. */
  fieldDocCount(field: number): number
  docFreq(field: number, term: string): number
  /** Documents with the term, ascending. */
  lookup(field: number, term: string): Uint32Array
  search(program: QueryProgram, options: TextSearchOptions): TextHits
  /** Matching documents, whether deleted or not. The caller closes the set. */
  filter(program: QueryProgram): DocSet
  close(): void
}

/** The statistics of several indexes taken together, as `compileQuery` wants them. */
export function combinedStatistics(
  _indexes: readonly TextIndex[],
  _parameters: { k1: number; b: number },
): TextStatistics {
  throw new Error("combinedStatistics is not written yet")
}

/** An inverted index in memory that is searchable after every `add`. */
export class TextWriter implements TextIndex {
  constructor(_engine: Engine, _fields: readonly IndexField[]) {
    throw new Error("TextWriter is not written yet")
  }

  get docCount(): number {
    throw new Error("TextWriter is not written yet")
  }

  get memoryBytes(): number {
    throw new Error("TextWriter is not written yet")
  }

  /** Adds one document and returns its docOrd. Errors: LIMIT_EXCEEDED when the memory of the engine is used up; the
   *  writer then takes no more documents, and holds those before. */
  add(_values: readonly IndexedValue[]): number {
    throw new Error("TextWriter is not written yet")
  }

  /** The documents so far as an immutable segment; the writer stays as it is until it is closed. */
  seal(): TextSegment {
    throw new Error("TextWriter is not written yet")
  }

  fieldLength(_field: number): number {
    throw new Error("TextWriter is not written yet")
  }

  fieldDocCount(_field: number): number {
    throw new Error("TextWriter is not written yet")
  }

  docFreq(_field: number, _term: string): number {
    throw new Error("TextWriter is not written yet")
  }

  lookup(_field: number, _term: string): Uint32Array {
    throw new Error("TextWriter is not written yet")
  }

  search(_program: QueryProgram, _options: TextSearchOptions): TextHits {
    throw new Error("TextWriter is not written yet")
  }

  filter(_program: QueryProgram): DocSet {
    throw new Error("TextWriter is not written yet")
  }

  close(): void {
    throw new Error("TextWriter is not written yet")
  }
}

/** An immutable inverted index whose bytes on disk are its bytes in linear memory. */
export class TextSegment implements TextIndex {
  private constructor() {}

  /** Errors: CORRUPT, INCOMPATIBLE_VERSION. `fields` must be those that the segment was written with. */
  static open(_engine: Engine, _bytes: Uint8Array, _fields: readonly IndexField[]): TextSegment {
    throw new Error("TextSegment is not written yet")
  }

  get docCount(): number {
    throw new Error("TextSegment is not written yet")
  }

  get byteLength(): number {
    throw new Error("TextSegment is not written yet")
  }

  /** A copy of a range of the segment's bytes. */
  readBytes(_offset: number, _length: number): Uint8Array {
    throw new Error("TextSegment is not written yet")
  }

  fieldLength(_field: number): number {
    throw new Error("TextSegment is not written yet")
  }

  fieldDocCount(_field: number): number {
    throw new Error("TextSegment is not written yet")
  }

  docFreq(_field: number, _term: string): number {
    throw new Error("TextSegment is not written yet")
  }

  lookup(_field: number, _term: string): Uint32Array {
    throw new Error("TextSegment is not written yet")
  }

  search(_program: QueryProgram, _options: TextSearchOptions): TextHits {
    throw new Error("TextSegment is not written yet")
  }

  filter(_program: QueryProgram): DocSet {
    throw new Error("TextSegment is not written yet")
  }

  close(): void {
    throw new Error("TextSegment is not written yet")
  }
}
