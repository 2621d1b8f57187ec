import type { Query, WeightedField } from "../../src/engine/query.ts"

/** A document of the naive index: for each field the tokens of each value, or the keys. */
export interface NaiveDocument {
  readonly texts: ReadonlyMap<number, readonly (readonly string[])[]>
  readonly points: ReadonlyMap<number, readonly bigint[]>
}

const POSITION_GAP = 100

/** The text index as one would write it on a blackboard: maps, doubles, and every document looked at for every clause.
 *  It judges the engine, so it shares nothing with it. */
export class NaiveIndex {
  readonly #documents: {
    positions: Map<number, Map<string, number[]>>
    lengths: Map<number, number>
    points: ReadonlyMap<number, readonly bigint[]>
  }[] = []
  readonly #textFields: ReadonlySet<number>
  /** What was counted since the last document came: every score asks for it again. */
  readonly #counted = new Map<string, number>()

  constructor(textFields: readonly number[]) {
    this.#textFields = new Set(textFields)
  }

  get docCount(): number {
    return this.#documents.length
  }

  add({ texts, points }: NaiveDocument): void {
    const positions = new Map<number, Map<string, number[]>>()
    const lengths = new Map<number, number>()
    for (const [field, values] of texts) {
      const terms = new Map<string, number[]>()
      let position = 0
      for (const tokens of values) {
        for (const token of tokens) terms.set(token, [...(terms.get(token) ?? []), position++])
        position += POSITION_GAP
      }
      positions.set(field, terms)
      lengths.set(field, values.flat().length)
    }
    this.#documents.push({ positions, lengths, points })
    this.#counted.clear()
  }

  fieldLength(field: number): number {
    return this.#documents.reduce((sum, { lengths }) => sum + (lengths.get(field) ?? 0), 0)
  }

  fieldDocCount(field: number): number {
    return this.#documents.filter(({ lengths }) => lengths.has(field)).length
  }

  averageLength(field: number): number {
    return this.#once(`averageLength ${field}`, () =>
      this.fieldDocCount(field) === 0 ? 0 : this.fieldLength(field) / this.fieldDocCount(field),
    )
  }

  docFreq(field: number, term: string): number {
    return this.#once(`docFreq ${field} ${term}`, () => this.lookup(field, term).length)
  }

  #once(key: string, count: () => number): number {
    const value = this.#counted.get(key) ?? count()
    this.#counted.set(key, value)
    return value
  }

  lookup(field: number, term: string): number[] {
    return [...this.#documents.keys()].filter((doc) => this.#documents[doc]?.positions.get(field)?.has(term))
  }

  /** Score of every match; k1 and b as in the statistics. */
  search(query: Query, k1: number, b: number): Map<number, number> {
    const matches = new Map<number, number>()
    for (const doc of this.#documents.keys()) {
      const score = this.#score(query, doc, k1, b)
      if (score !== undefined) matches.set(doc, score)
    }
    return matches
  }

  #score(query: Query, doc: number, k1: number, b: number): number | undefined {
    switch (query.kind) {
      case "all":
        return 0
      case "none":
        return undefined
      case "term":
        return this.#leaf(doc, query.fields, [{ term: query.term, offset: 0 }], query.boost, k1, b)
      case "phrase":
        return this.#leaf(doc, query.fields, query.terms, query.boost, k1, b)
      case "points": {
        const keys = this.#documents[doc]?.points.get(query.field) ?? []
        return keys.some((key) => key >= query.lower && key <= query.upper) ? 0 : undefined
      }
      case "terms": {
        const { lower, upper } = query
        const inRange = (term: string) => {
          const above = lower ? compareUtf8(term, lower.term) : 1
          const below = upper ? compareUtf8(term, upper.term) : -1
          return (above > 0 || (above === 0 && lower?.inclusive)) && (below < 0 || (below === 0 && upper?.inclusive))
        }
        return [...(this.#documents[doc]?.positions.get(query.field)?.keys() ?? [])].some(inRange) ? 0 : undefined
      }
      case "bool": {
        const must = query.must.map((child) => this.#score(child, doc, k1, b))
        const should = query.should.map((child) => this.#score(child, doc, k1, b))
        if (must.includes(undefined)) return undefined
        if (must.length === 0 && should.every((score) => score === undefined)) return undefined
        if (query.mustNot.some((child) => this.#score(child, doc, k1, b) !== undefined)) return undefined
        return [...must, ...should].reduce<number>((sum, score) => sum + (score ?? 0), 0)
      }
    }
  }

  #leaf(
    doc: number,
    fields: readonly WeightedField[],
    terms: readonly { term: string; offset: number }[],
    boost: number,
    k1: number,
    b: number,
  ): number | undefined {
    let frequency = 0
    let length = 0
    let average = 0
    const mostDocuments = Math.max(
      ...fields.map(({ field }) => this.#once(`documents ${field}`, () => this.fieldDocCount(field))),
    )
    for (const { field, weight } of fields) {
      const isText = this.#textFields.has(field)
      if (isText || terms.length === 1) frequency += weight * this.#occurrences(doc, field, terms, isText)
      const own = this.#documents[doc]?.lengths.get(field) ?? 0
      // No length is kept of a raw value, so it counts as average.
      length += weight * (isText ? quantised(own) : this.averageLength(field))
      average += (weight * this.#once(`length ${field}`, () => this.fieldLength(field))) / Math.max(1, mostDocuments)
    }
    if (frequency === 0) return undefined
    const idf = terms.reduce((sum, { term }) => {
      const n = Math.max(...fields.map(({ field }) => this.docFreq(field, term)))
      return sum + Math.log(1 + (this.docCount - n + 0.5) / (n + 0.5))
    }, 0)
    const norm = average > 0 ? (b * length) / average : 0
    return (boost * idf * (k1 + 1) * frequency) / (frequency + k1 * (1 - b + norm))
  }

  #occurrences(
    doc: number,
    field: number,
    terms: readonly { term: string; offset: number }[],
    isText: boolean,
  ): number {
    const positions = this.#documents[doc]?.positions.get(field)
    const [first, ...others] = terms
    const starts = positions?.get(first?.term ?? "") ?? []
    if (!isText) return Math.min(starts.length, 1)
    return starts.filter((start) =>
      others.every(({ term, offset }) => positions?.get(term)?.includes(start - (first?.offset ?? 0) + offset)),
    ).length
  }
}

const encoder = new TextEncoder()

function compareUtf8(a: string, b: string): number {
  const [x, y] = [encoder.encode(a), encoder.encode(b)]
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return (x[i] ?? 0) - (y[i] ?? 0)
  return x.length - y.length
}

/** The length that a one-byte fieldnorm keeps: exact up to 39, from there 24 more than a number of four significant
 *  bits, rounded down. */
function quantised(length: number): number {
  if (length < 40) return length
  const unit = 2 ** (Math.floor(Math.log2(length - 24)) - 3)
  return 24 + Math.floor((length - 24) / unit) * unit
}
