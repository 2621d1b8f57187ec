import { assert } from "../base/errors.ts"

/** A field that a leaf searches; `weight` > 0 counts one occurrence there as that many. */
export interface WeightedField {
  readonly field: number
  readonly weight: number
}

export interface TermBound {
  readonly term: string
  readonly inclusive: boolean
}

/** A query over one segment's fields (ordinals of `IndexField`s), its terms analysed already. */
export type Query =
  | { readonly kind: "all" }
  | { readonly kind: "none" }
  /** BM25; over several fields BM25F: term frequencies and lengths are weighted and summed before they saturate. */
  | {
      readonly kind: "term"
      readonly fields: readonly WeightedField[]
      readonly term: string
      readonly boost: number
    }
  /** Every term at its offset from one start, in one field; the number of such starts is the term frequency. */
  | {
      readonly kind: "phrase"
      readonly fields: readonly WeightedField[]
      readonly terms: readonly { readonly term: string; readonly offset: number }[]
      readonly boost: number
    }
  /** A filter: some key of a point field in the closed interval. Scores 0. */
  | { readonly kind: "points"; readonly field: number; readonly lower: bigint; readonly upper: bigint }
  /** A filter: some term of the field in the range, by UTF-8 byte order. Scores 0. */
  | { readonly kind: "terms"; readonly field: number; readonly lower?: TermBound; readonly upper?: TermBound }
  /** Lucene's meaning: every `must`, no `mustNot`, and a `should` at least where there is no `must`. */
  | {
      readonly kind: "bool"
      readonly must: readonly Query[]
      readonly should: readonly Query[]
      readonly mustNot: readonly Query[]
    }

/** What a score needs to know about all segments together. */
export interface TextStatistics {
  /** Documents, deleted ones included as long as they are in a segment. */
  readonly docCount: number
  docFreq(field: number, term: string): number
  /** Tokens a document that has the field. */
  averageLength(field: number): number
  readonly k1: number
  readonly b: number
}

/** A compiled query: the same program for every segment. */
export class QueryProgram {
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** Errors: INVALID_QUERY for a tree that is too deep or has too many clauses. */
export function compileQuery(_query: Query, _statistics: TextStatistics): QueryProgram {
  assert(false, "compileQuery is not written yet")
}
