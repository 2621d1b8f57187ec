// The query language, which is Lucene's classic syntax:
//
//     wireless keyboard            documents with either word; more and rarer words score higher
//     "wireless keyboard"          the words one after the other
//     +wireless -cable             must, must not; also AND, OR, NOT, &&, ||, !
//     title:keyboard  title:(a b)  in one field
//     price:[10 TO 50}  price:>10  from 10 to below 50; above 10. For numbers, dates, bools and strings
//     created:2024-05-06           that whole day (UTC)
//     field:*  *:*                 documents that have the field; all documents
//     (a OR b)^2 c                 counts twice
//     \+                           a backslash takes the meaning of the next character away
//
// As in Lucene, AND makes the clauses on both sides of it required, so `a OR b AND c` is `a +b +c`; parentheses say
// what is meant. Other than in Lucene, a query of nothing but NOT finds all other documents, and `!` and `/` are
// ordinary characters inside a word.
import { PrismError } from "../base/errors.ts"
import { closest } from "../base/similar.ts"
import type { Query, WeightedField } from "../engine/query.ts"
import {
  POINT_MAX,
  POINT_MIN,
  sortableBool,
  sortableDate,
  sortableF64,
  sortableI64,
  sortableU64,
} from "../engine/sortable.ts"
import { parseDateTime, parseDay, TICKS_PER_DAY } from "./date.ts"
import { ID_FIELD, type SearchField, searchFields } from "./index-fields.ts"
import type { Schema } from "./schema.ts"

/** Tokens of a text as the field's analyzer makes them. */
export type Analyze = (field: string, text: string) => readonly { readonly term: string; readonly position: number }[]

export interface QueryOptions {
  /** Text and string fields that terms without a field search. Default: every indexed text field. */
  readonly fields?: readonly string[] | undefined
}

export const QUERY_LENGTH_MAX = 65_536
export const QUERY_DEPTH_MAX = 32
export const QUERY_CLAUSES_MAX = 1024
const BOOST_MAX = 1e6

/** Reads a query. Throws INVALID_QUERY, whose place is the column (in characters, from 1). */
export function parseQuery(text: string, schema: Schema, analyze: Analyze, options: QueryOptions = {}): Query {
  return new QueryParser(text, schema, analyze, options).parse()
}

// Only where they stand alone: "ANDROID" and "R&&D" are words.
const CONJUNCTION = /(?:AND|OR|&&|\|\|)(?=[\s()"]|$)/y
const MODIFIER = /[+\-!]|NOT(?=[\s()"]|$)/y
const OPERATOR_WORD = /(?:AND|OR|NOT|&&|\|\|)(?=[\s()"]|$)/y

/** How a clause takes part in its group. */
type Occur = "should" | "must" | "mustNot"
interface Clause {
  /** undefined: nothing was left of it by the analyzer (an empty text, punctuation). It neither matches nor excludes. */
  readonly query: Query | undefined
  occur: Occur
}

/** A word as it was written. */
interface Word {
  readonly text: string
  readonly start: number
  /** Where an unescaped * or ? stands, or -1. */
  readonly wildcard: number
}

/** One end of a range; undefined is open. */
interface Bound {
  readonly text: string
  readonly inclusive: boolean
  readonly at: number
}

type Scope = SearchField | undefined

class QueryParser {
  readonly #text: string
  readonly #schema: Schema
  readonly #analyze: Analyze
  readonly #fields: ReadonlyMap<string, SearchField>
  readonly #bareFields: readonly SearchField[]
  #at = 0
  #clauseCount = 0

  constructor(text: string, schema: Schema, analyze: Analyze, options: QueryOptions) {
    this.#text = text
    this.#schema = schema
    this.#analyze = analyze
    const fields = searchFields(schema)
    this.#fields = new Map(fields.map((field) => [field.name, field]))
    this.#bareFields =
      options.fields === undefined
        ? fields.filter((field) => field.type === "text")
        : options.fields.map((name) => this.#bareField(name))
  }

  parse(): Query {
    if (this.#text.length > QUERY_LENGTH_MAX) {
      throw this.#error(QUERY_LENGTH_MAX, `the query is longer than ${QUERY_LENGTH_MAX} characters`)
    }
    this.#skipSpace()
    if (this.#isAtEnd()) throw this.#error(0, "the query is empty", "*:* finds every document")
    const query = this.#parseClauses(undefined, 0)
    if (!this.#isAtEnd()) throw this.#error(this.#at, 'a ")" that closes nothing', escapeHint(")"))
    return query ?? { kind: "none" }
  }

  /** Clauses up to the end or a closing parenthesis, which stays. */
  #parseClauses(scope: Scope, depth: number): Query | undefined {
    const clauses: Clause[] = []
    for (;;) {
      const operatorAt = this.#at
      const conjunction = this.#takeConjunction()
      if (conjunction !== undefined && clauses.length === 0) {
        throw this.#error(
          operatorAt,
          `${conjunction} needs a clause before it`,
          "write and, or in small letters to search for the word",
        )
      }
      if (this.#isAtEnd() || this.#peek() === ")") {
        if (conjunction === undefined) break
        throw this.#error(
          operatorAt,
          `${conjunction} needs a clause after it`,
          "write and, or in small letters to search for the word",
        )
      }
      const modifier = this.#takeModifier()
      // Lucene's rule: AND reaches back to the clause before it.
      const last = clauses.at(-1)
      if (conjunction === "AND" && last?.occur === "should") last.occur = "must"
      const occur = modifier ?? (conjunction === "AND" ? "must" : "should")
      clauses.push({ query: this.#parseClause(scope, depth), occur })
      this.#skipSpace()
    }
    return combine(clauses)
  }

  /** AND, OR, && or || where it stands alone. */
  #takeConjunction(): "AND" | "OR" | undefined {
    const match = this.#match(CONJUNCTION)
    if (match === undefined) return undefined
    this.#skipSpace()
    return match === "AND" || match === "&&" ? "AND" : "OR"
  }

  #takeModifier(): Occur | undefined {
    const start = this.#at
    const match = this.#match(MODIFIER)
    if (match === undefined) return undefined
    this.#skipSpace()
    if (/[+\-!]/.test(this.#peek()))
      throw this.#error(this.#at, `${this.#peek()} after ${match}`, escapeHint(this.#peek()))
    if (this.#isAtEnd() || this.#peek() === ")") {
      const hint = match === "NOT" ? "write not in small letters to search for the word" : escapeHint(match)
      throw this.#error(start, `${match} needs a clause after it`, hint)
    }
    return match === "+" ? "must" : "mustNot"
  }

  #parseClause(scope: Scope, depth: number): Query | undefined {
    const start = this.#at
    const first = this.#peek()
    if (first === "(") return this.#parseGroup(scope, depth)
    if (first === '"') return this.#parsePhrase(scope)
    if (first === "[" || first === "{") return this.#parseRange(scope)
    const word = this.#takeWord()
    if (this.#peek() !== ":") {
      this.#refuseComparisonWithoutColon(start)
      return this.#parseTerm(scope, word)
    }
    this.#at++
    if (word.text === "*" && word.wildcard >= 0) {
      const any = this.#takeWord()
      if (any.text !== "*" || any.wildcard < 0)
        throw this.#error(any.start, "after *: only * can follow", "*:* finds every document")
      this.#takeBoost()
      return this.#leaf(start, { kind: "all" })
    }
    if (word.wildcard >= 0) throw this.#unsupported(word.wildcard, "a wildcard in the name of a field", escapeHint("*"))
    return this.#parseScoped(this.#field(word), depth)
  }

  /** `price>30` would search for the words price and 30: a different query than the one that was meant. */
  #refuseComparisonWithoutColon(start: number): void {
    const written = /^([^<>=\\]+)([<>]=?|=)/.exec(this.#text.slice(start, this.#at))
    const [, name = "", operator = ""] = written ?? []
    if (!this.#fields.has(name)) return
    const value = operator === "=" ? ":" : `:${operator}`
    throw this.#error(
      start + name.length,
      `${operator} after field ${quote(name)} without a colon`,
      `write ${name}${value}…, or put it in quotes to search for the words`,
    )
  }

  /** What follows `field:`. */
  #parseScoped(field: SearchField, depth: number): Query | undefined {
    this.#skipSpace()
    const start = this.#at
    switch (this.#peek()) {
      case "(":
        return this.#parseGroup(field, depth)
      case '"':
        return this.#parsePhrase(field)
      case "[":
      case "{":
        return this.#parseRange(field)
    }
    const operator = this.#match(/[<>]=?/y)
    if (operator !== undefined) return this.#parseComparison(field, operator, start)
    if (/[+\-!]/.test(this.#peek()) && field.index.kind !== "point") {
      const sign = this.#peek()
      throw this.#error(
        start,
        `a ${sign} after the colon`,
        `write ${sign}${field.name}:… or, for the character itself, \\${sign}`,
      )
    }
    return this.#parseTerm(field, this.#takeWord())
  }

  #parseGroup(scope: Scope, depth: number): Query | undefined {
    const start = this.#at
    if (depth >= QUERY_DEPTH_MAX) throw this.#error(start, `more than ${QUERY_DEPTH_MAX} parentheses inside each other`)
    this.#at++
    this.#skipSpace()
    if (this.#peek() === ")") throw this.#error(start, "nothing between the parentheses", escapeHint("("))
    const query = this.#parseClauses(scope, depth + 1)
    if (this.#peek() !== ")") throw this.#error(start, 'a "(" that is never closed', escapeHint("("))
    this.#at++
    const boost = this.#takeBoost()
    return query === undefined || boost === 1 ? query : this.#boosted(query, boost, start)
  }

  /** The boost of a group belongs to every leaf in it. */
  #boosted(query: Query, factor: number, at: number): Query {
    if (query.kind === "bool") {
      const [must, should] = [query.must, query.should].map((all) => all.map((one) => this.#boosted(one, factor, at)))
      return { kind: "bool", must: must!, should: should!, mustNot: query.mustNot }
    }
    if (!("boost" in query)) return query
    const boost = query.boost * factor
    if (boost >= 1 / BOOST_MAX && boost <= BOOST_MAX) return { ...query, boost }
    throw this.#error(at, `boosts multiply to ${boost}; they may reach from ${1 / BOOST_MAX} to ${BOOST_MAX}`)
  }

  #parsePhrase(scope: Scope): Query | undefined {
    const start = this.#at
    const text = this.#takeQuoted()
    if (this.#peek() === "~")
      throw this.#unsupported(this.#at, "slop (~) after a phrase", "leave ~ out to find the exact phrase")
    return this.#value(scope, text, true, this.#takeBoost(), start)
  }

  #parseTerm(scope: Scope, word: Word): Query | undefined {
    if (word.wildcard >= 0) {
      if (word.text !== "*") {
        const kind =
          word.text.indexOf("*") === word.text.length - 1 && !word.text.includes("?") ? "a prefix" : "a wildcard"
        throw this.#unsupported(word.wildcard, `${kind} (* or ?)`, escapeHint(this.#text[word.wildcard]!))
      }
      this.#takeBoost()
      return this.#leaf(word.start, scope === undefined ? { kind: "all" } : existsQuery(scope))
    }
    if (this.#peek() === "~") throw this.#unsupported(this.#at, "fuzzy search (~)", escapeHint("~"))
    return this.#value(scope, word.text, false, this.#takeBoost(), word.start)
  }

  #parseComparison(field: SearchField, operator: string, start: number): Query {
    this.#skipSpace()
    const at = this.#at
    const isQuoted = this.#peek() === '"'
    const word = isQuoted ? undefined : this.#takeWord()
    if (word !== undefined && word.wildcard >= 0) {
      throw this.#unsupported(word.wildcard, "a wildcard in a comparison", escapeHint("*"))
    }
    const text = word === undefined ? this.#takeQuoted() : word.text
    const bound = { text, at, inclusive: operator.endsWith("=") }
    this.#takeBoost()
    return this.#leaf(
      start,
      operator.startsWith(">")
        ? this.#range(field, bound, undefined, start)
        : this.#range(field, undefined, bound, start),
    )
  }

  #parseRange(scope: Scope): Query {
    const start = this.#at
    const lowerInclusive = this.#text[this.#at++] === "["
    if (scope === undefined)
      throw this.#error(start, "a range needs a field", `write field:[… TO …], or ${escapeHint("[")}`)
    const lower = this.#takeBound(lowerInclusive, start)
    this.#skipSpace()
    if (this.#match(/TO(?=[\s\]}]|$)/y) === undefined) {
      throw this.#error(
        this.#at,
        'expected "TO" between the ends of the range',
        "write [from TO to], with * for an open end",
      )
    }
    const upper = this.#takeBound(true, start)
    this.#skipSpace()
    const close = this.#match(/[\]}]/y)
    if (close === undefined)
      throw this.#error(start, "a range that is never closed", "it ends with ] or, to leave the end out, with }")
    this.#takeBoost()
    return this.#leaf(start, this.#range(scope, lower, upper && { ...upper, inclusive: close === "]" }, start))
  }

  #takeBound(inclusive: boolean, start: number): Bound | undefined {
    this.#skipSpace()
    const at = this.#at
    if (this.#peek() === '"') return { text: this.#takeQuoted(), inclusive, at }
    const raw = this.#match(/(?:\\[^]|[^\s\]}\\])+/y)
    if (raw === undefined)
      throw this.#error(at < this.#text.length ? at : start, "an end of the range is missing", "use * for an open end")
    return raw === "*" ? undefined : { text: this.#unescape(raw, at), inclusive, at }
  }

  /** One value, where it is to be found: analysed text, a whole string, or a number's key. */
  #value(scope: Scope, text: string, isQuoted: boolean, boost: number, at: number): Query | undefined {
    if (scope === undefined) {
      if (this.#bareFields.length === 0) {
        throw this.#error(at, "no text field to search", `name a field: ${this.#fieldNames().slice(0, 8).join(", ")}`)
      }
      return this.#analysed(this.#bareFields, text, isQuoted, boost, at)
    }
    switch (scope.type) {
      case "text":
      case "string":
      case "bytes":
        return this.#analysed([scope], text, isQuoted, boost, at)
      default: {
        const bound = { text, at, inclusive: true }
        return this.#leaf(at, this.#range(scope, bound, bound, at))
      }
    }
  }

  /** Fields that cut the text into the same tokens are searched as one. */
  #analysed(
    fields: readonly SearchField[],
    text: string,
    isQuoted: boolean,
    boost: number,
    at: number,
  ): Query | undefined {
    const groups = new Map<string, { tokens: ReturnType<Analyze>; fields: WeightedField[] }>()
    for (const field of fields) {
      const tokens = field.type === "text" ? this.#analyze(field.name, text) : [{ term: text, position: 0 }]
      const key = JSON.stringify(tokens.map(({ term, position }) => [term, position]))
      const group = groups.get(key) ?? { tokens, fields: [] }
      group.fields.push({ field: field.ordinal, weight: 1 })
      groups.set(key, group)
    }
    const clauses: Clause[] = []
    for (const { tokens, fields: weighted } of groups.values()) {
      if (isQuoted && tokens.length > 1) {
        const first = tokens[0]!.position
        const terms = tokens.map(({ term, position }) => ({ term, offset: position - first }))
        clauses.push({ query: this.#leaf(at, { kind: "phrase", fields: weighted, terms, boost }), occur: "should" })
      } else {
        for (const { term } of tokens) {
          clauses.push({ query: this.#leaf(at, { kind: "term", fields: weighted, term, boost }), occur: "should" })
        }
      }
    }
    return combine(clauses)
  }

  #range(field: SearchField, lower: Bound | undefined, upper: Bound | undefined, start: number): Query {
    if (lower === undefined && upper === undefined) return existsQuery(field)
    if (field.type === "text") {
      throw this.#error(
        start,
        `field ${JSON.stringify(field.name)} is text, which has no order`,
        "ranges work on numbers, dates, bools and strings",
      )
    }
    if (field.index.kind === "term") {
      return {
        kind: "terms",
        field: field.ordinal,
        ...(lower && { lower: { term: lower.text, inclusive: lower.inclusive } }),
        ...(upper && { upper: { term: upper.text, inclusive: upper.inclusive } }),
      }
    }
    let from = lower === undefined ? POINT_MIN : this.#lowerKey(field, lower)
    let to = upper === undefined ? POINT_MAX : this.#upperKey(field, upper)
    if (from < POINT_MIN) from = POINT_MIN
    if (to > POINT_MAX) to = POINT_MAX
    return from > to ? { kind: "none" } : { kind: "points", field: field.ordinal, lower: from, upper: to }
  }

  /** The least key that the bound lets in; past POINT_MAX where there is none. */
  #lowerKey(field: SearchField, bound: Bound): bigint {
    const [first, last] = this.#keys(field, bound)
    return bound.inclusive ? first : last + 1n
  }

  /** The greatest key that the bound lets in; below POINT_MIN where there is none. */
  #upperKey(field: SearchField, bound: Bound): bigint {
    const [first, last] = this.#keys(field, bound)
    return bound.inclusive ? last : first - 1n
  }

  /** First and last key of what the bound names: mostly one key; a day for a date without time; for an integer field
   *  and 1.5, an empty interval between the keys of 1 and 2. Outside the type's range both lie beyond its keys. */
  #keys(field: SearchField, bound: Bound): readonly [bigint, bigint] {
    const { text, at } = bound
    switch (field.type) {
      case "bool": {
        if (text !== "true" && text !== "false") throw this.#badValue(field, bound, "true or false")
        const key = sortableBool(text === "true")
        return [key, key]
      }
      case "date": {
        const moment = parseDateTime(text)
        if (moment !== undefined) return [sortableDate(moment), sortableDate(moment)]
        const day = parseDay(text)
        if (day !== undefined) return [sortableDate(day), sortableDate(day + TICKS_PER_DAY - 1n)]
        throw this.#badValue(field, bound, 'a date: 2024-05-06 or "2024-05-06T07:08:09Z"')
      }
      case "f64": {
        const number = parseNumber(text)
        if (number === undefined) throw this.#badValue(field, bound, "a number")
        return [sortableF64(number), sortableF64(number)]
      }
      case "i64":
      case "u64": {
        const number = /^[+-]?\d+$/.test(text) ? Number(text) : parseNumber(text)
        if (number === undefined || !Number.isFinite(number)) throw this.#badValue(field, bound, "a whole number")
        const isExact = /^[+-]?\d+$/.test(text)
        const low = isExact ? BigInt(text.replace("+", "")) : BigInt(Math.ceil(number))
        const high = isExact ? low : BigInt(Math.floor(number))
        return [integerKey(field.type, low), integerKey(field.type, high)]
      }
      default:
        throw this.#error(at, `field ${JSON.stringify(field.name)} has no order`)
    }
  }

  #badValue(field: SearchField, bound: Bound, wanted: string): PrismError {
    return this.#error(
      bound.at,
      `field ${JSON.stringify(field.name)} is ${field.type}, ${quote(bound.text)} is not`,
      `write ${wanted}`,
    )
  }

  #bareField(name: string): SearchField {
    const field = this.#find(name)
    if (field === undefined) throw this.#unknownField(name, 0)
    if (field.type === "text" || field.type === "string") return field
    throw this.#error(0, `field ${JSON.stringify(name)} is ${field.type}, not text`, `name it in the query: ${name}:…`)
  }

  #field(word: Word): SearchField {
    const field = this.#find(word.text)
    if (field === undefined) throw this.#unknownField(word.text, word.start)
    return field
  }

  #find(name: string): SearchField | undefined {
    return this.#fields.get(name) ?? (name === "id" ? this.#fields.get(ID_FIELD) : undefined)
  }

  #unknownField(name: string, at: number): PrismError {
    if (name === "") return this.#error(at, "a colon without a field before it", escapeHint(":"))
    if (this.#schema.text?.fields.some((field) => field.name === name)) {
      return this.#error(at, `field ${quote(name)} is not indexed`, "the schema says indexed: false")
    }
    if (this.#schema.vector?.embeddingField === name) {
      return this.#error(at, `field ${quote(name)} holds vectors`, "search it with a vector")
    }
    const near = closest(name, this.#fieldNames())
    const hint =
      near === undefined
        ? `known are ${this.#fieldNames().slice(0, 20).join(", ")}; ${escapeHint(":")}`
        : `did you mean ${quote(near)}?`
    return this.#error(at, `unknown field ${quote(name)}`, hint)
  }

  #fieldNames(): string[] {
    return ["id", ...[...this.#fields.keys()].filter((name) => name !== ID_FIELD)]
  }

  /** Characters up to the next one with a meaning of its own. */
  #takeWord(): Word {
    const start = this.#at
    let text = ""
    let wildcard = -1
    const operator = this.#match(OPERATOR_WORD)
    if (operator !== undefined) {
      throw this.#error(start, `${operator} where a value should be`, `to search for the word itself, put it in quotes`)
    }
    while (!this.#isAtEnd()) {
      const character = this.#peek()
      if (character === "\\") {
        const escape = this.#match(/\\u[0-9a-fA-F]{4}|\\[^]/uy)
        if (escape === undefined) throw this.#error(this.#at, "a backslash with nothing after it", escapeHint("\\"))
        text += this.#unescape(escape, this.#at - escape.length)
        continue
      }
      if (/[\s():"^~[\]{}]/.test(character)) break
      if (character === "/" && this.#at === start) {
        throw this.#unsupported(start, "a regular expression (/…/)", escapeHint("/"))
      }
      if ((character === "*" || character === "?") && wildcard < 0) wildcard = this.#at
      text += character
      this.#at++
    }
    if (this.#at === start) {
      if (this.#isAtEnd()) throw this.#error(start, "the query ends where a value should be")
      throw this.#error(start, `unexpected ${JSON.stringify(this.#peek())}`, escapeHint(this.#peek()))
    }
    return { text, start, wildcard }
  }

  /** From one quote to after the next. */
  #takeQuoted(): string {
    const start = this.#at
    const raw = this.#match(/"(?:\\[^]|[^"\\])*"/uy)
    if (raw === undefined) throw this.#error(start, "a quote that is never closed", escapeHint('"'))
    return this.#unescape(raw.slice(1, -1), start + 1)
  }

  #unescape(raw: string, at: number): string {
    return raw.replace(/\\(?:u([0-9a-fA-F]{4})|(u)|([^]))/gu, (_, hex, bad, character, offset: number) => {
      if (bad !== undefined) throw this.#error(at + offset, "\\u needs four hexadecimal digits", escapeHint("\\"))
      return hex === undefined ? (character as string) : String.fromCharCode(Number.parseInt(hex as string, 16))
    })
  }

  /** `^2`, or 1 where there is none. */
  #takeBoost(): number {
    if (this.#peek() !== "^") return 1
    const start = this.#at
    const match = this.#match(/\^(?:\d+(?:\.\d*)?|\.\d+)(?=[\s)]|$)/y)
    const boost = match === undefined ? Number.NaN : Number(match.slice(1))
    if (!(boost >= 1 / BOOST_MAX && boost <= BOOST_MAX)) {
      throw this.#error(start, `^ needs a number from ${1 / BOOST_MAX} to ${BOOST_MAX}`, escapeHint("^"))
    }
    return boost
  }

  #leaf(at: number, query: Query): Query {
    this.#clauseCount += query.kind === "phrase" ? query.terms.length : 1
    if (this.#clauseCount > QUERY_CLAUSES_MAX) {
      throw this.#error(at, `more than ${QUERY_CLAUSES_MAX} terms`, "split the query")
    }
    return query
  }

  #peek(): string {
    return this.#text[this.#at] ?? ""
  }

  #isAtEnd(): boolean {
    return this.#at >= this.#text.length
  }

  #skipSpace(): void {
    this.#match(/\s+/y)
  }

  #match(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)
    if (match === null) return undefined
    this.#at = pattern.lastIndex
    return match[0]
  }

  #unsupported(at: number, what: string, hint: string): PrismError {
    return this.#error(at, `${what} is not supported yet`, hint)
  }

  #error(at: number, what: string, hint?: string): PrismError {
    // Characters, not UTF-16 units: the column that an editor shows.
    const column = [...this.#text.slice(0, at)].length + 1
    return new PrismError("INVALID_QUERY", `column ${column}: ${what}`, {
      place: `column ${column}`,
      ...(hint === undefined ? {} : { hint }),
    })
  }
}

/** The clauses of one group as one query; undefined where the analyzer left nothing of them. */
function combine(clauses: readonly Clause[]): Query | undefined {
  const known = clauses.filter((clause): clause is Clause & { query: Query } => clause.query !== undefined)
  if (known.length === 0) return undefined
  const pick = (occur: Occur): Query[] => known.filter((clause) => clause.occur === occur).map((clause) => clause.query)
  const [must, should, mustNot] = [pick("must"), pick("should"), pick("mustNot")]
  if (mustNot.length === 0 && must.length + should.length === 1) return must[0] ?? should[0]
  // Nothing but NOT: everything else.
  if (must.length + should.length === 0) must.push({ kind: "all" })
  return { kind: "bool", must, should, mustNot }
}

/** Documents with any value in the field. */
function existsQuery(field: SearchField): Query {
  if (field.index.kind === "point") return { kind: "points", field: field.ordinal, lower: POINT_MIN, upper: POINT_MAX }
  return { kind: "terms", field: field.ordinal }
}

/** The key of an integer of any size; outside the type's range, a key next to it. */
function integerKey(type: "i64" | "u64", value: bigint): bigint {
  const [min, max] = type === "i64" ? [-(2n ** 63n), 2n ** 63n - 1n] : [0n, 2n ** 64n - 1n]
  if (value < min) return POINT_MIN - 1n
  if (value > max) return POINT_MAX + 1n
  return type === "i64" ? sortableI64(value) : sortableU64(value)
}

function parseNumber(text: string): number | undefined {
  if (!/^[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$/.test(text)) return undefined
  const number = Number(text)
  return Number.isFinite(number) ? number : undefined
}

function escapeHint(character: string): string {
  return `to search for the character itself, write \\${character}`
}

/** A word of the user's in a message: quoted, on one line, not too long. */
function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
