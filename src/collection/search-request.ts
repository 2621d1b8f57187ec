import { PrismError } from "../base/errors.ts"
import type { Query } from "../engine/query.ts"
import { type ExpandedDocument, type ExpandRequest, type Expansion, planExpansion } from "./expansion.ts"
import { checkOptions } from "./known-options.ts"
import { type Analyze, parseQuery } from "./query-parser.ts"
import type { Schema } from "./schema.ts"

/** What a user asks. Everything is optional; without query and vector every document that the filter lets through matches. */
export interface SearchRequest {
  /** Lucene's classic query syntax. */
  query?: string | undefined
  /** As many components as the schema's dimension. */
  vector?: ArrayLike<number> | undefined
  /** A query that documents must match without being scored by it, such as `price:[10 TO 50]`. */
  filter?: string | undefined
  /** Fields that bare words search; all indexed text fields when missing. */
  fields?: readonly string[] | undefined
  /** At most 10,000 results. Default 10. */
  limit?: number | undefined
  offset?: number | undefined
  /** How a hybrid search ranks. Default: the schema's, else "weighted". */
  merge_strategy?: "weighted" | "rrf" | undefined
  /** Weights of "weighted", taken relative to their sum. Default .5 and .5. */
  text_weight?: number | undefined
  vector_weight?: number | undefined
  /** The constant of "rrf". Default 60. */
  rrf_k?: number | undefined
  /** Candidates of the vector search: larger finds more and takes longer. Default: the schema's hnsw_ef_search. */
  ef?: number | undefined
  /** Results that score less are left out; `total` still counts them. */
  min_score?: number | undefined
  /** Goes on along edges of the graph: `expanded` of the answer are the documents that the results lead to. The filter
   *  counts for them too, but not for what lies between. At most 10,000 nodes are looked at: `expanded_truncated` of the
   *  answer tells where there may be more. */
  expand?: ExpandRequest | undefined
}

export interface SearchResult<Fields = Record<string, unknown>> {
  readonly id: string
  /** Grows with quality: BM25, similarity (cosine, dot product or 1 / (1 + L2)), or the fused score. */
  readonly score: number
  readonly fields: Fields
}

export interface SearchResponse<Fields = Record<string, unknown>> {
  readonly results: SearchResult<Fields>[]
  /** Number of matching documents. */
  readonly total: number
  /** Where the request asks for it: documents that the results lead to and that are none of them, nearest first. */
  readonly expanded?: ExpandedDocument<Fields>[]
  /** There where they may not be all: the limit, or that of the nodes which are looked at, was reached. */
  readonly expanded_truncated?: true
  readonly latency_ms: number
}

/** A request checked against the schema, its queries parsed. */
export interface SearchPlan {
  readonly query: Query | undefined
  readonly filter: Query | undefined
  readonly vector: Float32Array | undefined
  readonly limit: number
  readonly offset: number
  readonly mergeStrategy: "weighted" | "rrf"
  readonly textWeight: number
  readonly vectorWeight: number
  readonly rrfK: number
  readonly ef: number
  readonly minScore: number | undefined
  readonly expansion: Expansion | undefined
}

/** Bound on offset + limit and on ef: results are ranked in memory. Deeper pages are an export's work. */
const DEPTH_MAX = 10_000

const REQUEST_KEYS: readonly (keyof SearchRequest)[] = [
  "query",
  "vector",
  "filter",
  "fields",
  "limit",
  "offset",
  "merge_strategy",
  "text_weight",
  "vector_weight",
  "rrf_k",
  "ef",
  "min_score",
  "expand",
]

/** Checks a request. INVALID_REQUEST names the key, INVALID_QUERY the column, DIMENSION_MISMATCH both dimensions. */
export function planSearch(collection: string, schema: Schema, request: SearchRequest, analyze: Analyze): SearchPlan {
  // Programs in JavaScript come here too.
  if (typeof request !== "object" || request === null) {
    throw new PrismError("INVALID_REQUEST", `a search takes an object, not ${JSON.stringify(request) ?? "nothing"}`, {
      hint: 'for example search({ query: "moon" })',
    })
  }
  checkOptions("a search", request, REQUEST_KEYS)
  const limit = wholeNumber(request, "limit", 10, 0, DEPTH_MAX)
  const offset = wholeNumber(request, "offset", 0, 0, DEPTH_MAX)
  if (offset + limit > DEPTH_MAX) {
    throw invalid("offset", `plus limit is over ${DEPTH_MAX}`, "export the collection to read all of it")
  }
  const mergeStrategy = request.merge_strategy ?? schema.hybrid.defaultStrategy
  if (mergeStrategy !== "weighted" && mergeStrategy !== "rrf") {
    throw invalid("merge_strategy", `is ${JSON.stringify(mergeStrategy)}`, 'it is "weighted" or "rrf"')
  }
  const textWeight = number(request, "text_weight", schema.hybrid.textWeight)
  const vectorWeight = number(request, "vector_weight", schema.hybrid.vectorWeight)
  if (textWeight < 0 || vectorWeight < 0 || textWeight + vectorWeight <= 0) {
    throw invalid(
      "text_weight",
      "and vector_weight must not be negative, nor both 0",
      "weights count relative to their sum",
    )
  }
  const rrfK = number(request, "rrf_k", schema.hybrid.rrfK)
  if (rrfK < 0) throw invalid("rrf_k", "is negative", "60 is usual")
  const options = { fields: checkedFields(request) }
  return {
    query: queryText(request, "query", (text) => parseQuery(text, schema, analyze, options)),
    filter: queryText(request, "filter", (text) => parseQuery(text, schema, analyze, {})),
    vector: request.vector === undefined ? undefined : queryVector(collection, schema, request.vector),
    limit,
    offset,
    mergeStrategy,
    textWeight,
    vectorWeight,
    rrfK,
    ef: Math.max(wholeNumber(request, "ef", schema.vector?.hnswEfSearch ?? 1, 1, DEPTH_MAX), offset + limit),
    minScore: request.min_score === undefined ? undefined : number(request, "min_score", 0),
    expansion: request.expand === undefined ? undefined : expansion(collection, schema, request.expand),
  }
}

function expansion(collection: string, schema: Schema, expand: ExpandRequest): Expansion {
  if (!schema.graph) throw noGraph(collection)
  return planExpansion(expand)
}

/** Where a graph is asked for that is not there. */
export function noGraph(collection: string): PrismError {
  return new PrismError("INVALID_REQUEST", `collection "${collection}" has no graph`, {
    place: collection,
    hint: "create it with backends.graph in its schema",
  })
}

function checkedFields(request: SearchRequest): readonly string[] | undefined {
  const { fields } = request
  if (fields === undefined) return undefined
  if (!Array.isArray(fields) || fields.length === 0 || fields.some((field) => typeof field !== "string")) {
    throw invalid("fields", "is not a list of field names", 'for example ["title"]')
  }
  return fields
}

function queryText(request: SearchRequest, key: "query" | "filter", parse: (text: string) => Query): Query | undefined {
  const text = request[key]
  if (text === undefined) return undefined
  if (typeof text !== "string") throw invalid(key, "is not a string", "write it in the query syntax")
  return parse(text)
}

function queryVector(collection: string, schema: Schema, vector: ArrayLike<number>): Float32Array {
  if (!schema.vector) {
    throw invalid("vector", `is given, but collection "${collection}" has no vectors`, "search by query alone")
  }
  const dimension = schema.vector.dimension
  if (typeof vector !== "object" || vector === null || typeof vector.length !== "number") {
    throw invalid("vector", "is not a list of numbers", `give ${dimension} numbers`)
  }
  if (vector.length !== dimension) {
    throw new PrismError(
      "DIMENSION_MISMATCH",
      `vector has ${vector.length} dimensions, collection "${collection}" expects ${dimension}`,
      { hint: "embed the query with the model that built the collection" },
    )
  }
  const components = Float32Array.from(vector)
  for (let place = 0; place < dimension; place++) {
    if (typeof vector[place] !== "number" || !Number.isFinite(components[place])) {
      throw invalid("vector", `component ${place} is not a finite 32-bit number`, `give ${dimension} numbers`)
    }
  }
  return components
}

function number(request: SearchRequest, key: keyof SearchRequest, byDefault: number): number {
  const value = request[key] ?? byDefault
  if (typeof value !== "number" || !Number.isFinite(value))
    throw invalid(key, "is not a number", "give a finite number")
  return value
}

function wholeNumber(
  request: SearchRequest,
  key: keyof SearchRequest,
  byDefault: number,
  min: number,
  max: number,
): number {
  const value = number(request, key, byDefault)
  if (!Number.isInteger(value) || value < min || value > max) {
    throw invalid(key, `is ${value}`, `give a whole number from ${min} to ${max}`)
  }
  return value
}

function invalid(key: string, what: string, hint: string): PrismError {
  return new PrismError("INVALID_REQUEST", `"${key}" ${what}`, { place: key, hint })
}
