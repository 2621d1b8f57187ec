// The query language: Lucene's classic syntax.
import type { Query } from "../engine/query.ts"
import type { Schema } from "./schema.ts"

/** Tokens of a text as the field's analyzer makes them. */
export type Analyze = (field: string, text: string) => readonly { readonly term: string; readonly position: number }[]

export interface QueryOptions {
  /** Text fields that terms without a field search. Default: every indexed text field. */
  readonly fields?: readonly string[] | undefined
}

/** Throws INVALID_QUERY with the 1-based column as its place. */
export function parseQuery(text: string, schema: Schema, analyze: Analyze, options: QueryOptions = {}): Query {
  throw new Error(`not written yet ${text} ${schema.from} ${typeof analyze} ${options.fields}`)
}
