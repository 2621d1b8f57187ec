// The schema of a collection: INTERFACES.md, section Schema.

export type FieldType = "text" | "string" | "i64" | "u64" | "f64" | "bool" | "date" | "bytes"

export interface SchemaField {
  readonly name: string
  readonly type: FieldType
  readonly stored: boolean
  readonly indexed: boolean
  /** Analyzer of a text field: "standard" unless the schema says otherwise. */
  readonly tokenizer: string
}

export interface VectorBackend {
  readonly embeddingField: string
  readonly dimension: number
  readonly distance: "cosine" | "dot" | "euclidean"
  readonly hnswM: number
  readonly hnswEfConstruction: number
  readonly hnswEfSearch: number
}

export interface GraphEdge {
  readonly edgeType: string
  readonly fromField: string
  readonly toField: string
}

export interface Schema {
  readonly collection: string | undefined
  readonly description: string | undefined
  readonly text:
    | { readonly fields: readonly SchemaField[]; readonly bm25K1: number; readonly bm25B: number }
    | undefined
  readonly vector: VectorBackend | undefined
  readonly graph: { readonly edges: readonly GraphEdge[] } | undefined
  readonly quota: { readonly maxDocuments: number | undefined; readonly maxSizeMb: number | undefined }
  readonly systemFields: { readonly indexedAt: boolean; readonly documentBoost: boolean }
  readonly hybrid: {
    readonly defaultStrategy: "weighted" | "rrf"
    readonly rrfK: number
    readonly textWeight: number
    readonly vectorWeight: number
  }
  /** The text that the schema was read from, YAML or JSON, whole. */
  readonly source: string
  /** Where it came from; decides what is an error and what a warning. */
  readonly from: "user" | "archive"
  /** Paths of keys that this version does not know, in the order of the text; only from an archive. */
  readonly unknownKeys: readonly string[]
  /** What is kept without effect here, a sentence each. */
  readonly warnings: readonly string[]
}

/** Reads a schema in YAML 1.2 or JSON. Throws INVALID_SCHEMA whose `problems` list everything that is wrong. */
export function parseSchema(text: string | object, options: { from: "user" | "archive" }): Schema {
  throw new Error(`not written yet ${typeof text} ${options.from}`)
}

/** The schema as YAML: the source text where it says all of it, with comments; `collection` renames. Credentials are
 *  replaced by "***" and their paths listed. */
export function renderSchema(
  schema: Schema,
  options: { collection?: string } = {},
): { yaml: string; redacted: string[] } {
  throw new Error(`not written yet ${schema.from} ${options.collection}`)
}

/** Why documents of an archive (its schema `theirs`) cannot be merged into a collection (`ours`), or undefined. */
export function compareSchemas(ours: Schema, theirs: Schema): string | undefined {
  throw new Error(`not written yet ${ours.from} ${theirs.from}`)
}

/** Throws INVALID_NAME unless the name can be a collection's. */
export function checkCollectionName(name: string): void {
  throw new Error(`not written yet ${name}`)
}
