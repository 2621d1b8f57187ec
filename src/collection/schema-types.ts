// What a schema in a program says to the type checker: the keys it may have, and the fields that its documents have.
import type { FieldType } from "./schema.ts"

/** A schema as an object; the same keys as in YAML. */
export interface SchemaInput {
  readonly collection?: string
  readonly description?: string
  readonly backends: {
    readonly text?: {
      readonly fields: readonly FieldInput[]
      readonly bm25_k1?: number
      readonly bm25_b?: number
    }
    readonly vector?: {
      readonly embedding_field: string
      readonly dimension: number
      readonly distance?: "cosine" | "dot" | "euclidean"
      readonly hnsw_m?: number
      readonly hnsw_ef_construction?: number
      readonly hnsw_ef_search?: number
    }
    readonly graph?: {
      /** `from_field` is "id" by default. */
      readonly edges?: readonly {
        readonly edge_type: string
        readonly from_field?: string
        readonly to_field: string
      }[]
    }
  }
  readonly system_fields?: { readonly indexed_at?: boolean; readonly document_boost?: boolean }
  readonly hybrid?: {
    readonly default_strategy?: "weighted" | "rrf"
    readonly rrf_k?: number
    readonly text_weight?: number
    readonly vector_weight?: number
  }
  readonly quota?: { readonly max_documents?: number; readonly max_size_mb?: number }
  /** Keys of the original that have no effect yet are kept as they come. */
  readonly [key: string]: unknown
}

export interface FieldInput {
  readonly name: string
  readonly type: FieldType
  readonly stored?: boolean
  readonly indexed?: boolean
  readonly tokenizer?: string
}

/** What a field of each type holds in JavaScript: i64 and u64 beyond 2^53 are bigint, bytes are base64. */
interface ValueOfType {
  text: string
  string: string
  i64: number | bigint
  u64: number | bigint
  f64: number
  bool: boolean
  date: string | number
  bytes: string
}

/** The fields of a document under a schema: each one value, several, or none. Others may be there and are kept. */
export type FieldsOf<Schema> = Schema extends {
  readonly backends: { readonly text: { readonly fields: readonly (infer Field extends FieldInput)[] } }
}
  ? { [One in Field as One["name"]]?: ValueOfType[One["type"]] | readonly ValueOfType[One["type"]][] | null } & {
      [field: string]: unknown
    }
  : Record<string, unknown>
