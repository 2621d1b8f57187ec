// Documents: what comes in, checked against the schema, as what is stored, indexed and searched.
import type { JsonObject } from "../base/json.ts"
import type { IndexedValue, IndexField } from "../engine/text-index.ts"
import type { Schema } from "./schema.ts"

/** A document as a program gives it: its fields by themselves, or beside the id. */
export type DocumentInput =
  | DocumentLine
  | { readonly id: string; readonly fields?: Readonly<Record<string, unknown>>; readonly vector?: ArrayLike<number> }
  | { readonly id: string; readonly [field: string]: unknown }

/** A document as a line of JSON gives it. It keeps the text of its fields as they were written. */
export class DocumentLine {
  readonly id: string = ""
  readonly text: string = ""
}

/** A document that the schema accepts. */
export interface CheckedDocument {
  readonly id: string
  /** Compact JSON of the fields as they were given: key order, number literals and escapes. Without the id and without
   *  the embedding field. Well-formed Unicode. */
  readonly fieldsJson: string
  readonly vector: Float32Array | undefined
  /** What the text index takes, by field ordinal; the id is field 0. */
  readonly values: IndexedValue[]
  /** How many values of bytes fields were no base64 and were taken as UTF-8 (archives only). */
  readonly plainBytesCount: number
}

export interface CheckOptions {
  /** Where the document comes from. An archive of 0.6 may hold bytes that are no base64. Default "user". */
  from?: "user" | "archive"
  /** Stamped into `_indexed_at` where the schema asks for it and the document has none. RFC 3339. */
  indexedAt?: string
}

/** Reads one line of JSON: `{"id","fields","vector"?}` or `{"id", …fields}`. Throws INVALID_DOCUMENT with the column. */
export function parseDocumentLine(text: string): DocumentLine {
  throw new Error(`not written yet ${text}`)
}

/** Checks documents of one schema. Make it once: it prepares what does not change between documents. */
export class DocumentChecker {
  constructor(schema: Schema) {
    throw new Error(`not written yet ${schema.from}`)
  }

  /** Throws INVALID_DOCUMENT, DIMENSION_MISMATCH or LIMIT_EXCEEDED with place `document "id"`. */
  check(document: DocumentInput, options: CheckOptions = {}): CheckedDocument {
    throw new Error(`not written yet ${String(document.id)} ${options.from}`)
  }

  /** A stored document again (from the log): no options, nothing is stamped. */
  checkStored(id: string, fieldsJson: string, vector: Float32Array | undefined): CheckedDocument {
    throw new Error(`not written yet ${id} ${fieldsJson} ${vector?.length}`)
  }
}

/** The fields of the text index: field 0 is the id ("_id", a term), then every indexed field of the schema. */
export function indexFields(schema: Schema): IndexField[] {
  throw new Error(`not written yet ${schema.from}`)
}

/** Fields as a program sees them: exact integers beyond 2^53 as bigint. */
export function parseFields(fieldsJson: string): JsonObject {
  throw new Error(`not written yet ${fieldsJson}`)
}
