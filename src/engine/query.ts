import { assert, PrismError } from "../base/errors.ts"

/** A field that a leaf searches; `weight` > 0 counts one occurrence there as that many. */
export interface WeightedField {
  readonly field: number
  readonly weight: number
}

export interface TermBound {
  readonly term: string
  readonly inclusive: boolean
}

export interface TermQuery {
  readonly kind: "term"
  readonly fields: readonly WeightedField[]
  readonly term: string
  readonly boost: number
}

export interface PhraseQuery {
  readonly kind: "phrase"
  readonly fields: readonly WeightedField[]
  readonly terms: readonly { readonly term: string; readonly offset: number }[]
  readonly boost: number
}

/** A query over one segment's fields (ordinals of `IndexField`s), its terms analysed already. */
export type Query =
  /** Every document. Scores 0. */
  | { readonly kind: "all" }
  | { readonly kind: "none" }
  /** BM25; over several fields BM25F: term frequencies and lengths are weighted and summed before they saturate. */
  | TermQuery
  /** Every term at its offset from one start, in one field; the number of such starts is the term frequency. */
  | PhraseQuery
  /** A filter: some key of a point field in the closed interval. Scores 0. */
  | { readonly kind: "points"; readonly field: number; readonly lower: bigint; readonly upper: bigint }
  /** A filter: some term of the field in the range, by UTF-8 byte order. Scores 0. */
  | {
      readonly kind: "terms"
      readonly field: number
      readonly lower?: TermBound | undefined
      readonly upper?: TermBound | undefined
    }
  /** Lucene's meaning: every `must`, no `mustNot`, and a `should` at least where there is no `must`. */
  | {
      readonly kind: "bool"
      readonly must: readonly Query[]
      readonly should: readonly Query[]
      readonly mustNot: readonly Query[]
    }

export interface FieldTerm {
  readonly field: number
  readonly term: string
}

/** Every term whose document frequency `compileQuery` asks for; a term may come several times. */
export function termsOf(query: Query): FieldTerm[] {
  switch (query.kind) {
    case "term":
      return query.fields.map(({ field }) => ({ field, term: query.term }))
    case "phrase":
      return query.fields.flatMap(({ field }) => query.terms.map(({ term }) => ({ field, term })))
    case "bool":
      return [...query.must, ...query.should, ...query.mustNot].flatMap(termsOf)
    default:
      return []
  }
}

/** What a score needs to know about all segments together. */
export interface TextStatistics {
  /** Documents, deleted ones included as long as they are in a segment. */
  readonly docCount: number
  docFreq(field: number, term: string): number
  /** Sum of tokens. */
  fieldLength(field: number): number
  /** Documents that have the field. */
  fieldDocCount(field: number): number
  readonly k1: number
  readonly b: number
}

/** A compiled query: the same program for every segment. */
export class QueryProgram {
  /** assembly/text/query-program.ts has the layout. */
  readonly bytes: Uint8Array

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
}

/** Clauses inside clauses, at most. */
export const QUERY_DEPTH_MAX = 64
/** Clauses of all kinds together, at most; each term of a phrase is one. */
export const QUERY_CLAUSES_MAX = 4096

// assembly/text/query-program.ts
const HEADER_BYTES = 64
const NODE_BYTES = 32
const SET_BYTES = 8
const MEMBER_BYTES = 16
const TERM_BYTES = 16
const KINDS = { none: 0, all: 1, term: 2, phrase: 3, points: 4, terms: 5, bool: 6 } as const
const TERMS_LOWER = 1
const TERMS_LOWER_INCLUSIVE = 2
const TERMS_UPPER = 4
const TERMS_UPPER_INCLUSIVE = 8

const encoder = new TextEncoder()

/** Inverse document frequency as Lucene has it: ln(1 + (N − n + ½) / (n + ½)), never negative. */
function idf(docFreq: number, docCount: number): number {
  return Math.log(1 + (Math.max(docCount - docFreq, 0) + 0.5) / (docFreq + 0.5))
}

class ProgramWriter {
  readonly #statistics: TextStatistics
  readonly #nodes: ((view: DataView, at: number, next: number) => void)[] = []
  /** The node behind each one and all below it. */
  readonly #next: number[] = []
  readonly #sets: { first: number; count: number }[] = []
  readonly #setNumbers = new Map<string, number>()
  readonly #members: { field: number; weight: number; lengthFactor: number; averageLength: number }[] = []
  readonly #terms: { bytes: Uint8Array; position: number }[] = []
  #clauses = 0
  #cursors = 0
  #filters = 0
  #depth = 0

  constructor(statistics: TextStatistics) {
    this.#statistics = statistics
  }

  add(query: Query, depth: number): void {
    if (depth > QUERY_DEPTH_MAX) {
      throw new PrismError("INVALID_QUERY", `the query nests more than ${QUERY_DEPTH_MAX} levels deep`, {
        hint: "leave out parentheses that change nothing, or ask several queries",
      })
    }
    this.#clauses += query.kind === "phrase" ? query.terms.length : 1
    if (this.#clauses > QUERY_CLAUSES_MAX) {
      throw new PrismError("INVALID_QUERY", `the query has more than ${QUERY_CLAUSES_MAX} clauses`, {
        hint: "ask several queries, or use a range",
      })
    }
    const number = this.#nodes.length
    this.#nodes.push(() => {}) // its place, before those of its children
    this.#next.push(0)
    this.#nodes[number] = this.#node(query, depth)
    this.#next[number] = this.#nodes.length
  }

  #node(query: Query, depth: number): (view: DataView, at: number, next: number) => void {
    switch (query.kind) {
      case "all":
      case "none":
        return (view, at) => view.setUint32(at, KINDS[query.kind], true)
      case "term":
      case "phrase":
        return this.#leaf(query)
      case "points": {
        this.#filters++
        const { field, lower, upper } = query
        if (lower > upper) return (view, at) => view.setUint32(at, KINDS.none, true)
        return (view, at) => {
          view.setUint32(at, KINDS.points, true)
          view.setUint32(at + 8, field, true)
          view.setBigUint64(at + 16, lower, true)
          view.setBigUint64(at + 24, upper, true)
        }
      }
      case "terms": {
        this.#filters++
        const { field, lower, upper } = query
        const first = this.#terms.length
        this.#addTerm(lower?.term ?? "", 0)
        this.#addTerm(upper?.term ?? "", 0)
        const bounds =
          (lower ? TERMS_LOWER | (lower.inclusive ? TERMS_LOWER_INCLUSIVE : 0) : 0) |
          (upper ? TERMS_UPPER | (upper.inclusive ? TERMS_UPPER_INCLUSIVE : 0) : 0)
        return (view, at) => {
          view.setUint32(at, KINDS.terms, true)
          view.setUint32(at + 8, field, true)
          view.setUint32(at + 12, bounds, true)
          view.setUint32(at + 16, first, true)
        }
      }
      case "bool": {
        const { must, should, mustNot } = query
        this.#depth = Math.max(this.#depth, depth)
        for (const child of [...must, ...should, ...mustNot]) this.add(child, depth + 1)
        return (view, at) => {
          view.setUint32(at, KINDS.bool, true)
          view.setUint32(at + 8, must.length, true)
          view.setUint32(at + 12, should.length, true)
          view.setUint32(at + 16, mustNot.length, true)
        }
      }
      default:
        assert(false, `unknown query ${JSON.stringify(query)}`)
    }
  }

  #leaf(query: TermQuery | PhraseQuery): (view: DataView, at: number) => void {
    const { docCount, k1 } = this.#statistics
    if (!(query.boost >= 0 && query.boost <= 1e9)) {
      throw new PrismError("INVALID_QUERY", `a boost of ${query.boost} is not between 0 and 1,000,000,000`)
    }
    const terms = query.kind === "term" ? [{ term: query.term, offset: 0 }] : query.terms
    if (terms.length === 0 || query.fields.length === 0) return (view, at) => view.setUint32(at, KINDS.none, true)
    // Over several fields the document frequency that counts is that of their union; the largest of them is what is
    // known of it.
    const idfs = terms.map(({ term }) =>
      idf(Math.max(...query.fields.map(({ field }) => this.#statistics.docFreq(field, term))), docCount),
    )
    const weight = query.boost * (k1 + 1) * idfs.reduce((sum, value) => sum + value, 0)
    const set = this.#set(query.fields)
    const first = this.#terms.length
    const start = Math.min(...terms.map(({ offset }) => offset))
    for (const { term, offset } of terms) this.#addTerm(term, offset - start)
    // A phrase of several terms has a second cursor for each.
    this.#cursors += terms.length * query.fields.length * (terms.length > 1 ? 2 : 1)
    return (view, at) => {
      view.setUint32(at, KINDS[query.kind], true)
      view.setFloat32(at + 8, weight, true)
      view.setUint32(at + 12, set, true)
      view.setUint32(at + 16, first, true)
      view.setUint32(at + 20, terms.length, true)
    }
  }

  #addTerm(term: string, position: number): void {
    this.#terms.push({ bytes: encoder.encode(term), position })
  }

  /** Leaves over the same fields with the same weights share one table of norms. */
  #set(fields: readonly WeightedField[]): number {
    const key = fields.map(({ field, weight }) => `${field}^${weight}`).join(" ")
    const known = this.#setNumbers.get(key)
    if (known !== undefined) return known
    const { k1, b } = this.#statistics
    const first = this.#members.length
    const lengths = fields.map(({ field }) => this.#statistics.fieldLength(field))
    const docCounts = fields.map(({ field }) => this.#statistics.fieldDocCount(field))
    // The average weighted length of the documents that can match: those that have the most frequent of the fields.
    // A field that few documents have adds little to it.
    const average =
      fields.reduce((sum, { weight }, i) => sum + weight * (lengths[i] ?? 0), 0) / Math.max(1, ...docCounts)
    for (const [i, { field, weight }] of fields.entries()) {
      assert(weight > 0 && weight <= 1e9, `field weight ${weight}`)
      const lengthFactor = average > 0 ? (k1 * b * weight) / average : 0
      this.#members.push({
        field,
        weight,
        lengthFactor,
        averageLength: (lengths[i] ?? 0) / Math.max(1, docCounts[i] ?? 0),
      })
    }
    this.#sets.push({ first, count: fields.length })
    this.#setNumbers.set(key, this.#sets.length - 1)
    return this.#sets.length - 1
  }

  finish(): Uint8Array {
    const sets = HEADER_BYTES + this.#nodes.length * NODE_BYTES
    const members = sets + this.#sets.length * SET_BYTES
    const terms = members + this.#members.length * MEMBER_BYTES
    const pool = terms + this.#terms.length * TERM_BYTES
    const poolBytes = this.#terms.reduce((sum, { bytes }) => sum + bytes.length, 0)
    const program = new Uint8Array(pool + poolBytes + 8) // terms are compared eight bytes at a time
    const view = new DataView(program.buffer)
    const header = [
      this.#nodes.length,
      this.#sets.length,
      this.#members.length,
      this.#cursors,
      this.#filters,
      this.#depth,
    ]
    for (const [i, value] of header.entries()) view.setUint32(i * 4, value, true)
    view.setFloat32(24, this.#statistics.k1 * (1 - this.#statistics.b), true)
    for (const [i, offset] of [sets, members, terms, pool].entries()) view.setUint32(28 + i * 4, offset, true)
    for (const [i, write] of this.#nodes.entries()) {
      write(view, HEADER_BYTES + i * NODE_BYTES, this.#next[i] ?? 0)
      view.setUint32(HEADER_BYTES + i * NODE_BYTES + 4, this.#next[i] ?? 0, true)
    }
    for (const [i, { first, count }] of this.#sets.entries()) {
      view.setUint32(sets + i * SET_BYTES, first, true)
      view.setUint32(sets + i * SET_BYTES + 4, count, true)
    }
    for (const [i, { field, weight, lengthFactor, averageLength }] of this.#members.entries()) {
      view.setUint32(members + i * MEMBER_BYTES, field, true)
      view.setFloat32(members + i * MEMBER_BYTES + 4, weight, true)
      view.setFloat32(members + i * MEMBER_BYTES + 8, lengthFactor, true)
      view.setFloat32(members + i * MEMBER_BYTES + 12, averageLength, true)
    }
    let end = 0
    for (const [i, { bytes, position }] of this.#terms.entries()) {
      view.setUint32(terms + i * TERM_BYTES, end, true)
      view.setUint32(terms + i * TERM_BYTES + 4, bytes.length, true)
      view.setUint32(terms + i * TERM_BYTES + 8, position, true)
      program.set(bytes, pool + end)
      end += bytes.length
    }
    return program
  }
}

/** Errors: INVALID_QUERY for a tree that is too deep, has too many clauses, or a boost that is no score's. */
export function compileQuery(query: Query, statistics: TextStatistics): QueryProgram {
  const writer = new ProgramWriter(statistics)
  writer.add(query, 0)
  return new QueryProgram(writer.finish())
}
