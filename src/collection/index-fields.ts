// Which field of a schema is which field of the text index.
import type { IndexField } from "../engine/text-index.ts"
import type { FieldType, Schema, SchemaField } from "./schema.ts"

/** A field that queries can name, at `ordinal` in the text index. */
export interface SearchField {
  readonly name: string
  readonly ordinal: number
  readonly type: FieldType
  readonly index: IndexField
}

export const ID_FIELD = "_id"
export const ID_ORDINAL = 0
export const INDEXED_AT_FIELD = "_indexed_at"
export const BOOST_FIELD = "_boost"

/** The indexed fields of a schema by ordinal: the id, the schema's fields in their order, the time of indexing. */
export function searchFields(schema: Schema): SearchField[] {
  const fields: SearchField[] = [{ name: ID_FIELD, ordinal: ID_ORDINAL, type: "string", index: { kind: "term" } }]
  for (const field of schema.text?.fields ?? []) {
    if (field.indexed) {
      fields.push({ name: field.name, ordinal: fields.length, type: field.type, index: indexField(field) })
    }
  }
  if (schema.systemFields.indexedAt) {
    fields.push({ name: INDEXED_AT_FIELD, ordinal: fields.length, type: "date", index: { kind: "point" } })
  }
  return fields
}

/** What writers and segments of the text index are opened with. */
export function indexFields(schema: Schema): IndexField[] {
  return searchFields(schema).map((field) => field.index)
}

function indexField(field: SchemaField): IndexField {
  switch (field.type) {
    case "text":
      return { kind: "text", analyzer: field.analyzer }
    case "string":
    case "bytes":
      return { kind: "term" }
    default:
      return { kind: "point" }
  }
}
