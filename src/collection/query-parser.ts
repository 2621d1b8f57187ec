// The query language: Lucene's classic syntax.
import type { Query } from "../engine/query.ts"
import type { Schema } from "./schema.ts"

/** Tokens of a text as the field's analyzer makes them. */
export type Analyze = (field: string, text: string) => readonly { readonly term: string; readonly position: number }[]

/** Throws INVALID_QUERY with the 1-based column as its place. */
export function parseQuery(text: string, schema: Schema, analyze: Analyze): Query {
  throw new Error(`not written yet ${text} ${schema.from} ${typeof analyze}`)
}
