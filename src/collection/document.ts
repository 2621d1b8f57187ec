// Documents: what comes in, checked against the schema, becomes what is stored, indexed and searched.
import { fromBase64, utf8Length } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import {
  compactMembers,
  JSON_DEPTH_MAX,
  type JsonMember,
  type JsonObject,
  type JsonValue,
  jsonMembers,
  mayHoldLongInteger,
  nestsWithin,
  parseJson,
  setProperty,
  stringifyJson,
} from "../base/json.ts"
import { sortableBool, sortableDate, sortableF64, sortableI64, sortableU64 } from "../engine/sortable.ts"
import type { IndexedValue } from "../engine/text-index.ts"
import { fromMicroseconds, parseDateTime } from "./date.ts"
import { describe, quote } from "./describe.ts"
import { countDocumentEdges, type DocumentEdge, documentEdges } from "./document-edges.ts"
import { checkId } from "./id.ts"
import { BOOST_FIELD, ID_ORDINAL, INDEXED_AT_FIELD, searchFields } from "./index-fields.ts"
import type { FieldType, Schema } from "./schema.ts"

export { indexFields } from "./index-fields.ts"

/** A document as a program gives it: its fields in an object of their own, or beside the id. */
export type DocumentInput<Fields = Record<string, unknown>> =
  | DocumentLine
  | { readonly id: string; readonly fields?: Readonly<Fields>; readonly vector?: ArrayLike<number> }
  | ({ readonly id: string; readonly fields?: never } & Readonly<Fields>)

/** A document that the schema accepts. */
export interface CheckedDocument {
  readonly id: string
  /** Compact JSON of the fields as they were given: key order, number literals and escapes. Without the id and without
   *  the embedding field. Well-formed Unicode. */
  readonly fieldsJson: string
  readonly vector: Float32Array | undefined
  /** What the text index takes; the id is field 0. */
  readonly values: IndexedValue[]
  /** How many edges the schema draws from its fields, see `countDocumentEdges`. They are many times the document: nobody has
   *  those of more than one at a time. */
  readonly edgeCount: number
  /** Values of bytes fields that were no base64 and were taken as UTF-8 (archives of 0.6 only). */
  readonly plainBytesCount: number
}

export interface CheckOptions {
  /** An archive may hold what 0.6 let in: bytes that are no base64. Default "user". */
  from?: "user" | "archive"
  /** RFC 3339. Stamped as `_indexed_at` where the schema asks for it; only what an archive brings stays. */
  indexedAt?: string
}

const NO_EDGES: readonly DocumentEdge[] = []

export const DOCUMENT_BYTES_MAX = 16 * 1024 * 1024

/** A document as a line of JSON gives it. It keeps the text of its fields as it was written. */
export class DocumentLine {
  readonly id: string
  /** Of `{"id","fields","vector"}`; in the other shape it is still among the fields. */
  readonly vector: readonly JsonValue[] | undefined
  /** True of `{"id", …fields}`. */
  readonly isFlat: boolean
  /** Parsed exactly, without the id. */
  readonly fields: JsonObject
  readonly #fieldsJson: string
  readonly #members: readonly JsonMember[] | undefined

  /** `fieldsJson` is compact; `members` are all of it that counts, where that is already known. */
  constructor(
    id: string,
    fields: JsonObject,
    fieldsJson: string,
    options: { members?: readonly JsonMember[]; vector?: readonly JsonValue[] | undefined; isFlat: boolean },
  ) {
    this.id = id
    this.fields = fields
    this.vector = options.vector
    this.isFlat = options.isFlat
    this.#fieldsJson = fieldsJson
    this.#members = options.members
  }

  /** Compact JSON text of the fields, without the id and what else is named. */
  fieldsJson(without: readonly string[]): string {
    const isWhole = this.#members === undefined && !without.some((name) => Object.hasOwn(this.fields, name))
    return isWhole ? this.#fieldsJson : withoutMembers(this.#fieldsJson, without, this.#members)
  }
}

/** Reads one line of JSON: `{"id","fields","vector"?}` or `{"id", …fields}`. Throws INVALID_DOCUMENT. */
export function parseDocumentLine(text: string): DocumentLine {
  return parseCanonicalLine(text) ?? parseAnyLine(text)
}

/** Lines as we write them ourselves, at the speed of JSON.parse: undefined where anything is spelled otherwise. */
function parseCanonicalLine(text: string): DocumentLine | undefined {
  if (!text.startsWith('{"id":"') || !text.endsWith("}")) return undefined
  const idEnd = text.indexOf('"', 7)
  const id = text.slice(7, idEnd)
  if (idEnd < 0 || id.includes("\\") || !text.startsWith('","fields":{', idEnd)) return undefined
  const fieldsStart = idEnd + 11
  let fieldsEnd = text.length - 1
  let vector: readonly JsonValue[] | undefined
  try {
    if (text.endsWith("]}")) {
      // In valid JSON these characters can only be a key: a quote inside a string would be escaped. Should what follows
      // be more than one list of numbers, or the rest no object, the line is not of this form.
      const vectorKey = text.lastIndexOf(',"vector":[')
      if (vectorKey > fieldsStart) {
        vector = JSON.parse(text.slice(vectorKey + 10, -1)) as JsonValue[]
        if (!vector.every((component) => typeof component === "number")) return undefined
        fieldsEnd = vectorKey
      }
    }
    const fieldsJson = text.slice(fieldsStart, fieldsEnd)
    if (mayHoldLongInteger(fieldsJson)) return undefined
    const fields = JSON.parse(fieldsJson) as JsonObject
    // What JSON.parse and JSON.stringify leave as it is holds no repeated or reordered key, no white space, no literal
    // that a double would change, no control character and no lone surrogate.
    if (Object.hasOwn(fields, "id") || !nestsWithin(fields, JSON_DEPTH_MAX)) return undefined
    if (JSON.stringify(fields) !== fieldsJson || JSON.stringify(id).length !== id.length + 2) return undefined
    return new DocumentLine(id, fields, fieldsJson, { vector, isFlat: false })
  } catch {
    return undefined
  }
}

function parseAnyLine(line: string): DocumentLine {
  // The document's own braces come on top of its fields' depth.
  const options = { depthMax: JSON_DEPTH_MAX + 1 }
  const { json: text, members } = compactMembers(line, options)
  const member = (key: string): JsonMember | undefined => members.find((candidate) => candidate.key === key)
  const valueOf = (found: JsonMember): string => text.slice(found.valueStart, found.end)
  const idMember = member("id")
  const id = checkId(idMember === undefined ? undefined : parseJson(valueOf(idMember), options))
  const place = placeOf(id)
  const fieldsMember = member("fields")
  if (fieldsMember !== undefined && text[fieldsMember.valueStart] === "{") {
    refuseMixedShape(
      members.map((found) => found.key),
      place,
    )
    const vectorMember = member("vector")
    const given = vectorMember === undefined ? null : parseJson(valueOf(vectorMember), options)
    const vector = oneVector(undefined, given, "vector", place) as JsonValue[] | undefined
    const fieldsJson = valueOf(fieldsMember)
    const fields = parseFields(fieldsJson)
    if (!Object.hasOwn(fields, "id")) return new DocumentLine(id, fields, fieldsJson, { vector, isFlat: false })
    // 0.6 repeats the id inside the fields; it is the document's, not theirs.
    if (fields.id !== id) throw otherIdInside(id, fields.id)
    delete fields.id
    const own = jsonMembers(fieldsJson).filter(({ key }) => key !== "id")
    return new DocumentLine(id, fields, fieldsJson, { members: own, vector, isFlat: false })
  }
  const fields = parseJson(text, options) as JsonObject
  delete fields.id
  const own = members.filter((found) => found !== idMember)
  return new DocumentLine(id, fields, text, { members: own, isFlat: true })
}

/** Fields as a program sees them: exact, integers beyond 2^53 as bigint. */
export function parseFields(fieldsJson: string): JsonObject {
  return parseJson(fieldsJson) as JsonObject
}

/** An object in compact JSON without some of its members. */
function withoutMembers(
  json: string,
  without: readonly string[],
  members: readonly JsonMember[] = jsonMembers(json),
): string {
  const kept = members.filter(({ key }) => !without.includes(key))
  return `{${kept.map(({ start, end }) => json.slice(start, end)).join(",")}}`
}

/** Both shapes at once would leave it to us to guess which one was meant. */
function refuseMixedShape(keys: readonly string[], place: string): void {
  const other = keys.find((key) => key !== "id" && key !== "fields" && key !== "vector")
  if (other !== undefined) {
    throw invalid(
      `"fields" beside ${quote(other)}`,
      place,
      'put every field into "fields", or every field beside the id',
    )
  }
}

/** A declared field of the schema, where its values go. */
interface FieldPlan {
  readonly name: string
  /** The name's parts where it reaches into nested objects. */
  readonly steps: readonly string[] | undefined
  readonly type: FieldType
  /** In the text index; undefined where it is only checked. */
  readonly ordinal: number | undefined
}

/** Checks documents of one schema. Make it once: it prepares what is the same for all documents. */
export class DocumentChecker {
  readonly #schema: Schema
  readonly #plans: readonly FieldPlan[]
  readonly #collection: string | undefined
  /** Fields that hold the vector: the embedding field; beside the id also `vector`, unless that is a field's name. */
  readonly #vectorFields: readonly string[]
  readonly #flatVectorFields: readonly string[]

  /** `collection` names it in messages; default: the schema's own name. */
  constructor(schema: Schema, options: { collection?: string } = {}) {
    this.#schema = schema
    this.#collection = options.collection ?? schema.collection
    const embeddingField = schema.vector?.embeddingField
    this.#vectorFields = embeddingField === undefined ? [] : [embeddingField]
    const isVectorFree =
      embeddingField !== undefined &&
      embeddingField !== "vector" &&
      !schema.text?.fields.some((field) => field.name === "vector")
    this.#flatVectorFields = isVectorFree ? [...this.#vectorFields, "vector"] : this.#vectorFields
    const ordinals = new Map(searchFields(schema).map((field) => [field.name, field.ordinal]))
    const declared = schema.text?.fields.map(({ name, type }) => ({ name, type })) ?? []
    if (schema.systemFields.indexedAt) declared.push({ name: INDEXED_AT_FIELD, type: "date" })
    this.#plans = declared.map(({ name, type }) => ({
      name,
      type,
      steps: name.includes(".") ? name.split(".") : undefined,
      ordinal: ordinals.get(name),
    }))
  }

  /** Throws INVALID_DOCUMENT, DIMENSION_MISMATCH or LIMIT_EXCEEDED with place `document "id"`. */
  check(document: DocumentInput, options: CheckOptions = {}): CheckedDocument {
    if (typeof document !== "object" || document === null) {
      throw new PrismError("INVALID_DOCUMENT", `a document is an object with an id, found ${describe(document)}`)
    }
    const id = checkId(document.id)
    const place = placeOf(id)
    const isLine = document instanceof DocumentLine
    const isFlat = isLine ? document.isFlat : !isObject(document.fields)
    const vectorFields = isFlat ? this.#flatVectorFields : this.#vectorFields
    const draft = isLine ? draftOfLine(document, vectorFields, place) : draftOfInput(document, id, vectorFields, place)
    let { fieldsJson, fields } = draft
    if (options.indexedAt !== undefined && this.#schema.systemFields.indexedAt) {
      const isGiven = Object.hasOwn(fields, INDEXED_AT_FIELD)
      if (!isGiven || options.from !== "archive") {
        if (isGiven) fieldsJson = withoutMembers(fieldsJson, [INDEXED_AT_FIELD])
        const stamp = `${JSON.stringify(INDEXED_AT_FIELD)}:${JSON.stringify(options.indexedAt)}`
        fieldsJson = fieldsJson === "{}" ? `{${stamp}}` : `${fieldsJson.slice(0, -1)},${stamp}}`
        fields = { ...fields, [INDEXED_AT_FIELD]: options.indexedAt }
      }
    }
    checkSize(fieldsJson, place)
    const vector = this.#checkVector(draft.vector, place)
    return this.#checked(id, fieldsJson, fields, vector, { from: options.from ?? "user", isStored: false })
  }

  /** A stored document once more, as it was acknowledged. */
  checkStored(id: string, fieldsJson: string, vector: Float32Array | undefined): CheckedDocument {
    return this.#checked(id, fieldsJson, parseFields(fieldsJson), vector, { from: "archive", isStored: true })
  }

  /** The edges that a stored document brings. */
  storedEdges(id: string, fieldsJson: string): readonly DocumentEdge[] {
    const declared = this.#schema.graph?.edges ?? []
    return declared.length === 0 ? NO_EDGES : documentEdges(declared, id, parseFields(fieldsJson))
  }

  #checked(
    id: string,
    fieldsJson: string,
    fields: Readonly<Record<string, unknown>>,
    vector: Float32Array | undefined,
    { from, isStored }: { from: "user" | "archive"; isStored: boolean },
  ): CheckedDocument {
    const sink: ValueSink = { values: [{ field: ID_ORDINAL, term: id }], plainBytesCount: 0, place: placeOf(id), from }
    for (const plan of this.#plans) {
      if (plan.steps === undefined || Object.hasOwn(fields, plan.name)) {
        if (Object.hasOwn(fields, plan.name)) takeValues(fields[plan.name], plan, sink)
      } else {
        takeNested(fields, plan.steps, 0, plan, sink)
      }
    }
    if (this.#schema.systemFields.documentBoost && Object.hasOwn(fields, BOOST_FIELD)) {
      const boost = fields[BOOST_FIELD]
      if (boost !== null && !(typeof boost === "number" && boost > 0 && Number.isFinite(boost))) {
        throw invalid(`field "${BOOST_FIELD}" expects a number above 0, found ${describe(boost)}`, sink.place)
      }
    }
    const edgeCount = this.#schema.graph ? countDocumentEdges(this.#schema.graph.edges, id, fields, { isStored }) : 0
    return { id, fieldsJson, vector, values: sink.values, edgeCount, plainBytesCount: sink.plainBytesCount }
  }

  #checkVector(vector: ArrayLike<unknown> | undefined, place: string): Float32Array | undefined {
    if (vector === undefined) return undefined
    const backend = this.#schema.vector
    if (backend === undefined) {
      throw invalid(
        "a vector, but the schema has no vector backend",
        place,
        "leave the vector out, or declare backends.vector",
      )
    }
    if (vector.length !== backend.dimension) {
      const name = this.#collection === undefined ? "the collection" : `collection ${quote(this.#collection)}`
      throw new PrismError(
        "DIMENSION_MISMATCH",
        `vector has ${vector.length} dimensions, ${name} expects ${backend.dimension}`,
        { place, hint: "embed the text with the model that built the collection" },
      )
    }
    const components = new Float32Array(backend.dimension)
    for (let i = 0; i < components.length; i++) {
      const component = vector[i]
      if (typeof component === "number") components[i] = component
      else if (typeof component === "bigint") components[i] = Number(component)
      else throw invalid(`vector[${i}] expects a number, found ${describe(component)}`, place)
      if (!Number.isFinite(components[i])) {
        throw invalid(`vector[${i}] is ${component}, which is no finite 32-bit float`, place)
      }
    }
    return components
  }
}

interface ValueSink {
  readonly values: IndexedValue[]
  plainBytesCount: number
  readonly place: string
  readonly from: "user" | "archive"
}

/** Follows a dotted name into nested objects, through every object of a list on the way. */
function takeNested(value: unknown, steps: readonly string[], depth: number, plan: FieldPlan, sink: ValueSink): void {
  if (depth === steps.length) {
    takeValues(value, plan, sink)
  } else if (Array.isArray(value)) {
    for (const item of value) takeNested(item, steps, depth, plan, sink)
  } else if (typeof value === "object" && value !== null && Object.hasOwn(value, steps[depth]!)) {
    takeNested((value as Record<string, unknown>)[steps[depth]!], steps, depth + 1, plan, sink)
  }
}

/** One value or a list of values; null is the same as none. */
function takeValues(value: unknown, plan: FieldPlan, sink: ValueSink): void {
  if (Array.isArray(value)) {
    for (let i = 0; i < value.length; i++) takeValue(value[i], plan, sink, i)
  } else {
    takeValue(value, plan, sink, undefined)
  }
}

function takeValue(value: unknown, plan: FieldPlan, sink: ValueSink, index: number | undefined): void {
  if (value === null) return
  const { ordinal } = plan
  switch (plan.type) {
    case "text":
      if (typeof value !== "string") throw mistyped(value, plan, sink, index)
      if (ordinal !== undefined) sink.values.push({ field: ordinal, text: value })
      return
    case "string":
      if (typeof value !== "string") throw mistyped(value, plan, sink, index)
      if (ordinal !== undefined) sink.values.push({ field: ordinal, term: value })
      return
    case "bytes":
      if (typeof value !== "string") throw mistyped(value, plan, sink, index)
      if (fromBase64(value) === undefined) {
        if (sink.from === "user") throw mistyped(value, plan, sink, index)
        sink.plainBytesCount++
      }
      if (ordinal !== undefined) sink.values.push({ field: ordinal, term: value })
      return
    default: {
      const point = pointOf(plan.type, value)
      if (point === undefined) throw mistyped(value, plan, sink, index)
      if (ordinal !== undefined) sink.values.push({ field: ordinal, point })
    }
  }
}

/** The sortable key of a number, bool or date as a document holds it, or undefined where it is not of that type. */
function pointOf(type: "i64" | "u64" | "f64" | "bool" | "date", value: unknown): bigint | undefined {
  switch (type) {
    case "i64": {
      const integer = exactInteger(value)
      return integer === undefined || BigInt.asIntN(64, integer) !== integer ? undefined : sortableI64(integer)
    }
    case "u64": {
      const integer = exactInteger(value)
      return integer === undefined || BigInt.asUintN(64, integer) !== integer ? undefined : sortableU64(integer)
    }
    case "f64": {
      // The stored text keeps an integer beyond 2^53 as it is; its key is the double next to it.
      const number = typeof value === "bigint" ? Number(value) : value
      return typeof number === "number" && Number.isFinite(number) ? sortableF64(number) : undefined
    }
    case "bool":
      return typeof value === "boolean" ? sortableBool(value) : undefined
    case "date": {
      const integer = exactInteger(value)
      const ticks =
        integer !== undefined ? fromMicroseconds(integer) : typeof value === "string" ? parseDateTime(value) : undefined
      return ticks === undefined ? undefined : sortableDate(ticks)
    }
  }
}

/** 3, 3.0 and 3n are 3; a number beyond 2^53 has been rounded before we saw it, so it is none. */
function exactInteger(value: unknown): bigint | undefined {
  if (typeof value === "bigint") return value
  return Number.isSafeInteger(value) ? BigInt(value as number) : undefined
}

const EXPECTED: Readonly<Record<FieldType, string>> = {
  text: "text",
  string: "text",
  i64: "a whole number from -9223372036854775808 to 9223372036854775807 (i64)",
  u64: "a whole number from 0 to 18446744073709551615 (u64)",
  f64: "a finite number (f64)",
  bool: "true or false",
  date: "a date and time such as 2024-05-06T07:08:09Z (RFC 3339)",
  bytes: "base64 text, padded (bytes)",
}

function mistyped(value: unknown, plan: FieldPlan, sink: ValueSink, index: number | undefined): PrismError {
  const name = index === undefined ? quote(plan.name) : `${quote(plan.name)}[${index}]`
  const hint = hintFor(value, plan.type)
  return invalid(`field ${name} expects ${EXPECTED[plan.type]}, found ${describe(value)}`, sink.place, hint)
}

function hintFor(value: unknown, type: FieldType): string | undefined {
  const isNumeric = type === "i64" || type === "u64" || type === "f64"
  if (Array.isArray(value)) return "a list of values is fine, a list of lists is not"
  if (typeof value === "string") {
    if (isNumeric && value.trim() !== "" && !Number.isNaN(Number(value))) return "write the number without quotes"
    if (type === "bool" && /^(true|false)$/i.test(value)) return "write it without quotes"
    if (type === "date" && /^\d{4}-\d{2}-\d{2}$/.test(value)) return `add a time of day: ${value}T00:00:00Z`
    if (type === "date" && /^\d{4}-\d{2}-\d{2}[Tt ][\d:.]+$/.test(value)) return `add a time zone: ${value}Z for UTC`
  }
  if (typeof value === "number" || typeof value === "bigint") {
    if (type === "text" || type === "string") return "put it in quotes"
    if (type === "date") return "a number is taken as microseconds since 1970, in the years 1 to 9999"
    if (typeof value === "number" && Number.isInteger(value) && (type === "i64" || type === "u64")) {
      return "beyond 2^53 a JavaScript number is not exact: pass a bigint, or an integer without exponent in JSON"
    }
  }
  return undefined
}

/** What `check` works on, whoever gave it. */
interface Draft {
  readonly fieldsJson: string
  readonly fields: Readonly<Record<string, unknown>>
  readonly vector: ArrayLike<unknown> | undefined
}

/** Takes the vector out of a line's fields. */
function draftOfLine(line: DocumentLine, vectorFields: readonly string[], place: string): Draft {
  let vector: ArrayLike<unknown> | undefined = line.vector
  for (const name of vectorFields) {
    if (Object.hasOwn(line.fields, name)) vector = oneVector(vector, line.fields[name], name, place)
  }
  return { fieldsJson: line.fieldsJson(vectorFields), fields: line.fields, vector }
}

/** Takes a program's object apart. */
function draftOfInput(
  document: Readonly<Record<string, unknown>>,
  id: string,
  vectorFields: readonly string[],
  place: string,
): Draft {
  const isFlat = !isObject(document.fields)
  if (!isFlat) refuseMixedShape(Object.keys(document), place)
  const fields: Record<string, unknown> = {}
  let vector: ArrayLike<unknown> | undefined
  if (!isFlat) vector = oneVector(undefined, document.vector, "vector", place)
  const given = isFlat ? document : (document.fields as Record<string, unknown>)
  for (const key of Object.keys(given)) {
    const value = given[key]
    if (key === "id") {
      if (value !== id) throw otherIdInside(id, value)
    } else if (vectorFields.includes(key)) {
      vector = oneVector(vector, value, key, place)
    } else {
      setProperty(fields, key, value)
    }
  }
  return { fieldsJson: stringifyJson(fields, { place }), fields, vector }
}

/** The vector of a document that may give it in two places, as long as both are the same. */
function oneVector(
  vector: ArrayLike<unknown> | undefined,
  other: unknown,
  name: string,
  place: string,
): ArrayLike<unknown> | undefined {
  if (other === null || other === undefined) return vector
  const isList = Array.isArray(other) || (ArrayBuffer.isView(other) && "length" in other)
  if (!isList) {
    throw invalid(`${quote(name)} expects a list of numbers, found ${describe(other)}`, place)
  }
  const list = other as ArrayLike<unknown>
  if (vector === undefined) return list
  for (let i = 0; i < Math.max(vector.length, list.length); i++) {
    if (Math.fround(Number(vector[i])) !== Math.fround(Number(list[i]))) {
      throw invalid(`"vector" and ${quote(name)} are two different vectors`, place, "give the vector once")
    }
  }
  return vector
}

function checkSize(fieldsJson: string, place: string): void {
  if (fieldsJson.length * 3 <= DOCUMENT_BYTES_MAX) return
  const bytes = utf8Length(fieldsJson)
  if (bytes <= DOCUMENT_BYTES_MAX) return
  throw new PrismError("LIMIT_EXCEEDED", `the fields have ${bytes} bytes, at most ${DOCUMENT_BYTES_MAX} are possible`, {
    place,
  })
}

function isObject(value: unknown): boolean {
  return typeof value === "object" && value !== null && !Array.isArray(value) && !ArrayBuffer.isView(value)
}

function otherIdInside(id: string, other: unknown): PrismError {
  return invalid(`its fields hold another id, ${describe(other)}`, placeOf(id), "leave the id out of the fields")
}

function invalid(message: string, place: string, hint?: string): PrismError {
  return new PrismError("INVALID_DOCUMENT", message, hint === undefined ? { place } : { place, hint })
}

function placeOf(id: string): string {
  return `document ${quote(id)}`
}
