// Lossless JSON: integers beyond 2^53 stay exact, and the text of a document can be kept as it was written.
// JSON.parse rounds long integers, moves integer-like keys to the front and drops repeated keys; the scanner here does
// none of that, and is taken only where the difference could show.
import { type ErrorCode, PrismError } from "./errors.ts"

export type JsonValue = null | boolean | number | bigint | string | JsonValue[] | JsonObject
export interface JsonObject {
  [key: string]: JsonValue
}

export interface JsonOptions {
  /** Arrays and objects inside each other; a scalar is 0, `[]` is 1. Default 64. */
  depthMax?: number
  /** Code of the error for text that is no JSON. Default INVALID_DOCUMENT. */
  code?: ErrorCode
  /** Place of that error, as a user would name it. */
  place?: string
}

export const JSON_DEPTH_MAX = 64

/** A value of JSON text. Integers (literals without fraction and exponent) beyond ±(2^53 − 1) become bigint, other
 *  numbers doubles; a number beyond the doubles is an error, as is text that is deeper than `depthMax`. Of a repeated
 *  key the last one counts, as in JSON.parse. */
export function parseJson(text: string, options: JsonOptions = {}): JsonValue {
  if (!mayHoldLongInteger(text)) {
    let value: JsonValue | undefined
    try {
      value = JSON.parse(text) as JsonValue
    } catch {
      // The scanner below finds the same fault and can name its column.
    }
    if (value !== undefined && nestsWithin(value, options.depthMax ?? JSON_DEPTH_MAX)) return value
  }
  const scanner = new JsonScanner(text, options)
  const value = scanner.readValue(0)
  scanner.expectEnd()
  return value
}

/** The same JSON text without insignificant white space, checked. Key order, number literals and escapes stay as they
 *  are; a repeated key is an error. The result is well-formed Unicode: a lone surrogate in the text becomes an escape. */
export function compactJson(text: string, options: JsonOptions = {}): string {
  const scanner = new JsonScanner(text, options)
  scanner.skipValue(0)
  scanner.expectEnd()
  return scanner.compacted()
}

/** One member of an object in JSON text: its key, decoded, and where it stands in the text. */
export interface JsonMember {
  readonly key: string
  /** Offsets of the whole member and of its value in UTF-16 units, without white space around. */
  readonly start: number
  readonly valueStart: number
  readonly end: number
}

/** The members of the object that `text` holds, in their order. Checked like compactJson. */
export function jsonMembers(text: string, options: JsonOptions = {}): JsonMember[] {
  const scanner = new JsonScanner(text, options)
  const members = scanner.readMembers({ inCompact: false })
  scanner.expectEnd()
  return members
}

/** compactJson and the members of the object in it, by one scan. */
export function compactMembers(text: string, options: JsonOptions = {}): { json: string; members: JsonMember[] } {
  const scanner = new JsonScanner(text, options)
  const members = scanner.readMembers({ inCompact: true })
  scanner.expectEnd()
  return { json: scanner.compacted(), members }
}

/** Compact JSON of a value. A bigint is written as an integer and −0 as `-0.0`, so that both come back as they were.
 *  What JSON has no spelling for (NaN, an infinity, undefined, a Date, a typed array) is an error that names its path. */
export function stringifyJson(value: unknown, options: JsonOptions = {}): string {
  return stringify(value, "", options.depthMax ?? JSON_DEPTH_MAX, options)
}

/** False only where every integer in the JSON text is below 2^53: those have fewer than 16 digits. */
export function mayHoldLongInteger(text: string): boolean {
  return /(?:^|[^.\d])\d{16}/.test(text)
}

/** Sets an own property, `__proto__` like any other. */
export function setProperty<T>(object: { [key: string]: T }, key: string, value: T): void {
  if (key === "__proto__") {
    Object.defineProperty(object, key, { value, writable: true, enumerable: true, configurable: true })
  } else {
    object[key] = value
  }
}

/** True where a parsed value nests at most `depthMax` deep and holds no infinity (JSON.parse makes one of 1e999). */
export function nestsWithin(value: JsonValue, depthMax: number): boolean {
  if (typeof value === "number") return Number.isFinite(value)
  if (typeof value !== "object" || value === null) return true
  if (depthMax === 0) return false
  if (Array.isArray(value)) {
    for (const item of value) if (!nestsWithin(item, depthMax - 1)) return false
    return true
  }
  for (const key in value) if (!nestsWithin(value[key]!, depthMax - 1)) return false
  return true
}

function stringify(value: unknown, path: string, depthLeft: number, options: JsonOptions): string {
  switch (typeof value) {
    case "string":
      return JSON.stringify(value)
    case "number":
      if (!Number.isFinite(value)) throw unspeakable(String(value), path, options)
      return Object.is(value, -0) ? "-0.0" : String(value)
    case "bigint":
      return value.toString()
    case "boolean":
      return value ? "true" : "false"
    case "object":
      break
    default:
      throw unspeakable(typeof value, path, options, "leave the field out, or use null")
  }
  if (value === null) return "null"
  if (depthLeft === 0) {
    throw new PrismError(options.code ?? "INVALID_DOCUMENT", `${pathName(path)} is nested too deeply`, {
      hint: `at most ${options.depthMax ?? JSON_DEPTH_MAX} arrays and objects may lie inside each other`,
      ...placeOf(options),
    })
  }
  if (Array.isArray(value)) {
    let json = "["
    for (let i = 0; i < value.length; i++) {
      if (i > 0) json += ","
      json += stringify(value[i], `${path}[${i}]`, depthLeft - 1, options)
    }
    return `${json}]`
  }
  const kind = Object.prototype.toString.call(value).slice(8, -1)
  if (kind !== "Object") {
    const hint =
      kind === "Date"
        ? "pass a date as text: date.toISOString()"
        : ArrayBuffer.isView(value)
          ? "pass numbers as a plain array, bytes as base64 text"
          : "pass plain objects and arrays"
    throw unspeakable(kind, path, options, hint)
  }
  let json = ""
  for (const key of Object.keys(value)) {
    json += json === "" ? "{" : ","
    const member = (value as Record<string, unknown>)[key]
    json += `${JSON.stringify(key)}:${stringify(member, path === "" ? key : `${path}.${key}`, depthLeft - 1, options)}`
  }
  return json === "" ? "{}" : `${json}}`
}

function unspeakable(what: string, path: string, options: JsonOptions, hint?: string): PrismError {
  return new PrismError(options.code ?? "INVALID_DOCUMENT", `${pathName(path)} is ${what}, which JSON cannot hold`, {
    ...(hint === undefined ? {} : { hint }),
    ...placeOf(options),
  })
}

function pathName(path: string): string {
  return path === "" ? "the value" : `"${path}"`
}

function placeOf(options: JsonOptions): { place?: string } {
  return options.place === undefined ? {} : { place: options.place }
}

const WORDS: Readonly<Record<string, null | boolean>> = { true: true, false: false, null: null }

const QUOTE = 0x22
const PLUS = 0x2b
const MINUS = 0x2d
const POINT = 0x2e
const ZERO = 0x30
const LOWER_E = 0x65
const LOWER_CASE = 0x20
const COMMA = 0x2c
const COLON = 0x3a
const BACKSLASH = 0x5c
const OPEN_BRACKET = 0x5b
const CLOSE_BRACKET = 0x5d
const OPEN_BRACE = 0x7b
const CLOSE_BRACE = 0x7d

/** A recursive descent over JSON text (RFC 8259). */
class JsonScanner {
  readonly #text: string
  readonly #options: JsonOptions
  readonly #depthMax: number
  #at = 0
  /** Compact text up to #copied. */
  #compact = ""
  #copied = 0

  constructor(text: string, options: JsonOptions) {
    this.#text = text
    this.#options = options
    this.#depthMax = options.depthMax ?? JSON_DEPTH_MAX
  }

  readValue(depth: number): JsonValue {
    this.#skipSpace()
    const code = this.#text.charCodeAt(this.#at)
    if (code === QUOTE) return this.#readString()
    if (code === OPEN_BRACE) {
      const object: JsonObject = {}
      this.#skipObject(depth, (key) => setProperty(object, key, this.readValue(depth + 1)))
      return object
    }
    if (code === OPEN_BRACKET) {
      const items: JsonValue[] = []
      this.#skipArray(depth, () => items.push(this.readValue(depth + 1)))
      return items
    }
    return this.#readScalar()
  }

  skipValue(depth: number): void {
    this.#skipSpace()
    const code = this.#text.charCodeAt(this.#at)
    if (code === QUOTE) {
      this.#skipString()
    } else if (code === OPEN_BRACE) {
      const keys = new Set<string>()
      this.#skipObject(depth, (key, start) => {
        this.#refuseRepeated(keys, key, start)
        this.skipValue(depth + 1)
      })
    } else if (code === OPEN_BRACKET) {
      this.#skipArray(depth, () => this.skipValue(depth + 1))
    } else {
      this.#skipScalar()
    }
  }

  /** Offsets are those of the text, or of its compact form. */
  readMembers({ inCompact }: { inCompact: boolean }): JsonMember[] {
    const here = (): number => (inCompact ? this.#compactAt() : this.#at)
    this.#skipSpace()
    if (this.#text.charCodeAt(this.#at) !== OPEN_BRACE) throw this.#error("expected an object", this.#at)
    const members: JsonMember[] = []
    const keys = new Set<string>()
    this.#skipObject(0, (key, start, compactStart) => {
      this.#refuseRepeated(keys, key, start)
      this.#skipSpace()
      const valueStart = here()
      this.skipValue(1)
      members.push({ key, start: inCompact ? compactStart : start, valueStart, end: here() })
    })
    return members
  }

  expectEnd(): void {
    this.#skipSpace()
    if (this.#at < this.#text.length) throw this.#error("expected the end of the text", this.#at)
  }

  compacted(): string {
    return this.#copied === 0 ? this.#text : this.#compact + this.#text.slice(this.#copied)
  }

  /** From `{` to after `}`; `member` must consume the value. */
  #skipObject(depth: number, member: (key: string, start: number, compactStart: number) => void): void {
    this.#enter(depth)
    this.#skipSpace()
    if (this.#text.charCodeAt(this.#at) === CLOSE_BRACE) {
      this.#at++
      return
    }
    for (;;) {
      this.#skipSpace()
      const start = this.#at
      const compactStart = this.#compactAt()
      if (this.#text.charCodeAt(start) !== QUOTE) throw this.#error("expected a key in double quotes", start)
      const key = this.#readString()
      this.#skipSpace()
      if (this.#text.charCodeAt(this.#at) !== COLON) throw this.#error('expected ":"', this.#at)
      this.#at++
      member(key, start, compactStart)
      this.#skipSpace()
      const code = this.#text.charCodeAt(this.#at)
      if (code !== COMMA && code !== CLOSE_BRACE) throw this.#error('expected "," or "}"', this.#at)
      this.#at++
      if (code === CLOSE_BRACE) return
    }
  }

  /** From `[` to after `]`; `item` must consume the value. */
  #skipArray(depth: number, item: () => void): void {
    this.#enter(depth)
    this.#skipSpace()
    if (this.#text.charCodeAt(this.#at) === CLOSE_BRACKET) {
      this.#at++
      return
    }
    for (;;) {
      item()
      this.#skipSpace()
      const code = this.#text.charCodeAt(this.#at)
      if (code !== COMMA && code !== CLOSE_BRACKET) throw this.#error('expected "," or "]"', this.#at)
      this.#at++
      if (code === CLOSE_BRACKET) return
    }
  }

  #enter(depth: number): void {
    if (depth >= this.#depthMax)
      throw this.#error(`more than ${this.#depthMax} arrays and objects inside each other`, this.#at)
    this.#at++
  }

  #refuseRepeated(keys: Set<string>, key: string, start: number): void {
    if (keys.has(key)) throw this.#error(`key ${JSON.stringify(key)} appears twice`, start)
    keys.add(key)
  }

  #readString(): string {
    const start = this.#at
    const isPlain = this.#skipString()
    // JSON.parse decodes the escapes; #skipString has checked them.
    if (isPlain) return this.#text.slice(start + 1, this.#at - 1)
    return JSON.parse(this.#text.slice(start, this.#at)) as string
  }

  /** From `"` to after `"`. True where the string has no escape. */
  #skipString(): boolean {
    const text = this.#text
    const start = this.#at
    let at = start + 1
    let isPlain = true
    for (;;) {
      const code = text.charCodeAt(at)
      if (code === QUOTE) break
      if (code === BACKSLASH) {
        isPlain = false
        const escape = /["\\/bfnrt]|u[0-9a-fA-F]{4}/y
        escape.lastIndex = at + 1
        if (!escape.test(text)) throw this.#error("not an escape that JSON knows", at)
        at = escape.lastIndex
      } else if (code < 0x20) {
        throw this.#error("a control character in a string must be escaped", at)
      } else if (code >= 0xd800 && code < 0xe000) {
        if (code < 0xdc00 && (text.charCodeAt(at + 1) & 0xfc00) === 0xdc00) {
          at += 2
        } else {
          this.#compact += `${text.slice(this.#copied, at)}\\u${code.toString(16)}`
          this.#copied = ++at
        }
      } else if (Number.isNaN(code)) {
        throw this.#error("the text ends inside a string", start)
      } else {
        at++
      }
    }
    this.#at = at + 1
    return isPlain
  }

  #readScalar(): null | boolean | number | bigint {
    const start = this.#at
    this.#skipScalar()
    const literal = this.#text.slice(start, this.#at)
    const word = WORDS[literal]
    if (word !== undefined) return word
    const value = Number(literal)
    return Number.isSafeInteger(value) || /[.eE]/.test(literal) ? value : BigInt(literal)
  }

  /** A number, true, false or null. */
  #skipScalar(): void {
    const text = this.#text
    const start = this.#at
    let at = start
    if (text.charCodeAt(at) === MINUS) at++
    const digits = at
    while (isDigit(text.charCodeAt(at))) at++
    if (at > digits && (at === digits + 1 || text.charCodeAt(digits) !== ZERO)) {
      if (text.charCodeAt(at) === POINT && isDigit(text.charCodeAt(at + 1))) {
        at += 2
        while (isDigit(text.charCodeAt(at))) at++
      }
      const hasExponent = (text.charCodeAt(at) | LOWER_CASE) === LOWER_E
      if (hasExponent) {
        const sign = text.charCodeAt(at + 1)
        let exponent = sign === PLUS || sign === MINUS ? at + 2 : at + 1
        if (isDigit(text.charCodeAt(exponent))) {
          while (isDigit(text.charCodeAt(exponent))) exponent++
          at = exponent
        }
      }
      // The largest double has 309 digits.
      if ((hasExponent || at - start > 300) && !Number.isFinite(Number(text.slice(start, at)))) {
        throw this.#error(`number ${abbreviate(text.slice(start, at))} is out of range`, start)
      }
      this.#at = at
      return
    }
    for (const word of ["true", "false", "null"]) {
      if (text.startsWith(word, start)) {
        this.#at = start + word.length
        return
      }
    }
    if (at > digits) throw this.#error("a number does not begin with 0", start)
    throw this.#error(start < text.length ? "expected a value" : "the text ends where a value should be", start)
  }

  /** Where the compact form stands, as long as no white space was met since #skipSpace. */
  #compactAt(): number {
    return this.#compact.length + this.#at - this.#copied
  }

  #skipSpace(): void {
    const start = this.#at
    for (;;) {
      const code = this.#text.charCodeAt(this.#at)
      if (code !== 0x20 && code !== 0x0a && code !== 0x0d && code !== 0x09) break
      this.#at++
    }
    if (this.#at > start) {
      this.#compact += this.#text.slice(this.#copied, start)
      this.#copied = this.#at
    }
  }

  #error(what: string, at: number): PrismError {
    return new PrismError(this.#options.code ?? "INVALID_DOCUMENT", `not valid JSON at column ${at + 1}: ${what}`, {
      ...placeOf(this.#options),
    })
  }
}

function isDigit(code: number): boolean {
  return code >= 0x30 && code <= 0x39
}

function abbreviate(literal: string): string {
  return literal.length <= 40 ? literal : `${literal.slice(0, 20)}… (${literal.length} characters)`
}
