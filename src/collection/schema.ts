// The schema of a collection: INTERFACES.md, section Schema.
import {
  isCollection,
  isMap,
  isScalar,
  LineCounter,
  parseDocument,
  stringify,
  visit,
  type Document as YamlDocument,
} from "yaml"
import { utf8Length } from "../base/bytes.ts"
import { PrismError, type Problem } from "../base/errors.ts"
import { JSON_DEPTH_MAX } from "../base/json.ts"
import { closest } from "../base/similar.ts"
import { ANALYZERS, type AnalyzerSpec, analyzerByName } from "../engine/analyzer.ts"

export const FIELD_TYPES = ["text", "string", "i64", "u64", "f64", "bool", "date", "bytes"] as const
export type FieldType = (typeof FIELD_TYPES)[number]

export const DISTANCES = ["cosine", "dot", "euclidean"] as const
export type Distance = (typeof DISTANCES)[number]

export const MERGE_STRATEGIES = ["weighted", "rrf"] as const
export type MergeStrategy = (typeof MERGE_STRATEGIES)[number]

export interface SchemaField {
  /** A dot reaches into nested objects: `author.name`. */
  readonly name: string
  readonly type: FieldType
  readonly stored: boolean
  readonly indexed: boolean
  /** What the schema's `tokenizer` names; only a text field is analysed. */
  readonly analyzer: AnalyzerSpec
}

export interface VectorBackend {
  readonly embeddingField: string
  readonly dimension: number
  readonly distance: Distance
  readonly hnswM: number
  readonly hnswEfConstruction: number
  readonly hnswEfSearch: number
}

/** Edges that documents bring: from each value of one of their fields to each of another. */
export interface DerivedEdge {
  readonly edgeType: string
  /** "id" is the document's own. */
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
  readonly graph: { readonly edges: readonly DerivedEdge[] } | undefined
  readonly quota: { readonly maxDocuments: number | undefined; readonly maxSizeMb: number | undefined }
  /** What is stamped into documents. Both are off by default: a document comes back as it was given. */
  readonly systemFields: { readonly indexedAt: boolean; readonly documentBoost: boolean }
  readonly hybrid: {
    readonly defaultStrategy: MergeStrategy
    readonly rrfK: number
    readonly textWeight: number
    readonly vectorWeight: number
  }
  /** The text that the schema was read from, YAML or JSON, whole. */
  readonly source: string
  /** Where it came from; decides what is an error and what a warning. */
  readonly from: SchemaOrigin
  /** Paths of keys that this version does not know, in the order of the text; only from an archive. */
  readonly unknownKeys: readonly string[]
  /** What is kept without effect here, a sentence each. */
  readonly warnings: readonly string[]
}

export type SchemaOrigin = "user" | "archive"

export const SCHEMA_BYTES_MAX = 1024 * 1024
export const FIELD_COUNT_MAX = 500
export const DIMENSION_MAX = 65_536

/** Reads a schema: YAML 1.2 or JSON text, or a plain object. Throws INVALID_SCHEMA whose `problems` list everything that
 *  is wrong, each with its path and line. What this version does not know is wrong in a user's schema; in an archive's it
 *  is kept, listed and does not stop a restore. */
export function parseSchema(schema: string | object, options: { from: SchemaOrigin }): Schema {
  const source = typeof schema === "string" ? schema : stringifyObject(schema)
  const { document, lines } = readYaml(source)
  return new SchemaReader(document, lines, source, options.from).read()
}

/** The schema as YAML: the source as it stands, comments too, where it is YAML. `collection` sets the name. Credentials
 *  are replaced by "***" and their paths listed. */
export function renderSchema(
  schema: Schema,
  options: { collection?: string } = {},
): { yaml: string; redacted: string[] } {
  const { document } = readYaml(schema.source)
  // JSON is YAML, but people should get to see the block style. Aliases are written out, or "***" could take away what
  // another part of the text refers to.
  const rendered =
    (isMap(document.contents) && document.contents.flow === true) || hasAlias(document)
      ? asBlockStyle(document)
      : document
  let isChanged = rendered !== document
  const { collection } = options
  if (collection !== undefined && rendered.get("collection") !== collection && isMap(rendered.contents)) {
    rendered.contents.delete("collection")
    rendered.contents.items.unshift(rendered.createPair("collection", collection) as never)
    isChanged = true
  }
  const redacted: string[] = []
  redact(rendered, redacted)
  isChanged ||= redacted.length > 0
  return { yaml: isChanged ? rendered.toString({ lineWidth: 0 }) : schema.source, redacted }
}

/** What cuts a field's text into words, also where the schema does not declare it. */
export function analyzerOf(schema: Schema, field: string): AnalyzerSpec {
  return schema.text?.fields.find(({ name }) => name === field)?.analyzer ?? { name: "standard" }
}

/** Why documents of an archive (its schema is `theirs`) cannot be merged into a collection (`ours`), or undefined. */
export function compareSchemas(ours: Schema, theirs: Schema): string | undefined {
  const here = new Map(ours.text?.fields.map((field) => [field.name, field]))
  for (const field of theirs.text?.fields ?? []) {
    const own = here.get(field.name)
    if (own === undefined) return `field "${field.name}" is not declared here, ${field.type} in the archive`
    if (own.type !== field.type) return `field "${field.name}" is ${own.type} here, ${field.type} in the archive`
  }
  const [a, b] = [ours.vector, theirs.vector]
  if (b === undefined) return undefined
  if (a === undefined) return "no vector backend here, one in the archive"
  if (a.dimension !== b.dimension) {
    return `vectors have ${a.dimension} dimensions here, ${b.dimension} in the archive`
  }
  if (a.embeddingField !== b.embeddingField) {
    return `the embedding field is "${a.embeddingField}" here, "${b.embeddingField}" in the archive`
  }
  if (a.distance !== b.distance) return `the distance is ${a.distance} here, ${b.distance} in the archive`
  return undefined
}

/** Throws INVALID_NAME unless the name can be a collection's. */
export function checkCollectionName(name: string): void {
  if (/^[A-Za-z0-9][A-Za-z0-9_-]{0,127}$/.test(name)) return
  throw new PrismError("INVALID_NAME", `${quote(name)} cannot name a collection`, {
    hint: "use 1 to 128 letters, digits, _ and -, beginning with a letter or digit",
  })
}

// Keys that are known but have no effect in this version stand here too, so that they are no surprise.
const TOP_KEYS = [
  "collection",
  "description",
  "backends",
  "indexing",
  "quota",
  "embedding_generation",
  "facets",
  "boosting",
  "storage",
  "system_fields",
  "hybrid",
  "replication",
  "reranking",
  "ilm_policy",
]
const INERT_TOP_KEYS = [
  "indexing",
  "embedding_generation",
  "facets",
  "boosting",
  "storage",
  "replication",
  "reranking",
  "ilm_policy",
]
const TEXT_KEYS = ["fields", "bm25_k1", "bm25_b"]
const FIELD_KEYS = ["name", "type", "stored", "indexed", "tokenizer", "tokenizer_options"]
const INERT_VECTOR_KEYS = ["vector_weight", "num_shards", "shard_oversample", "compaction"]
const VECTOR_KEYS = [
  "embedding_field",
  "dimension",
  "distance",
  "hnsw_m",
  "hnsw_ef_construction",
  "hnsw_ef_search",
  ...INERT_VECTOR_KEYS,
]
const EDGE_KEYS = ["edge_type", "from_field", "to_field"]
/** In UTF-8. */
export const EDGE_TYPE_BYTES_MAX = 512

/** Fields that the system itself keeps in a document; their names are not a schema's to give. */
export const SYSTEM_FIELDS = ["_id", "_indexed_at", "_boost"]

// Words of other engines.
const TYPE_SYNONYMS: Readonly<Record<string, FieldType>> = {
  int: "i64",
  integer: "i64",
  long: "i64",
  int64: "i64",
  uint64: "u64",
  unsigned: "u64",
  float: "f64",
  double: "f64",
  number: "f64",
  float64: "f64",
  keyword: "string",
  str: "string",
  boolean: "bool",
  datetime: "date",
  timestamp: "date",
  binary: "bytes",
  blob: "bytes",
}
const DISTANCE_SYNONYMS: Readonly<Record<string, Distance>> = {
  cos: "cosine",
  angular: "cosine",
  ip: "dot",
  inner_product: "dot",
  dot_product: "dot",
  l2: "euclidean",
  l2sq: "euclidean",
}

type Path = readonly (string | number)[]
type PlainObject = Readonly<Record<string, unknown>>

/** Reads the sections of one schema and collects what is wrong with them. */
class SchemaReader {
  readonly #document: YamlDocument
  readonly #lines: LineCounter
  readonly #source: string
  readonly #from: SchemaOrigin
  readonly #problems: { readonly line: number; readonly problem: Problem }[] = []
  readonly #unknownKeys: string[] = []
  readonly #warnings: string[] = []
  readonly #inert: string[] = []

  constructor(document: YamlDocument, lines: LineCounter, source: string, from: SchemaOrigin) {
    this.#document = document
    this.#lines = lines
    this.#source = source
    this.#from = from
  }

  read(): Schema {
    const root = this.#plainRoot()
    this.#knownKeys(root, [], TOP_KEYS)
    const collection = this.#text(root, ["collection"])
    if (collection !== undefined) {
      try {
        checkCollectionName(collection)
      } catch (error) {
        // An archive's name may be of another making: it is the target's name that must be a good one.
        if (this.#from === "user")
          this.#problem(["collection"], `${(error as PrismError).message}: ${(error as PrismError).hint}`)
      }
    }
    const backends = this.#section(root, ["backends"])
    if (backends !== undefined) this.#knownKeys(backends, ["backends"], ["text", "vector", "graph"])
    const text = this.#readText(backends)
    const vector = this.#readVector(backends, text)
    const graph = this.#readGraph(backends)
    const isEmpty = text === undefined && vector === undefined && graph === undefined
    if (this.#from === "user" && isEmpty && this.#problems.length === 0) {
      this.#problem(["backends"], "neither a text nor a vector backend, nor a graph: nothing could be searched")
    }
    for (const key of INERT_TOP_KEYS) if (!saysNothing(root[key])) this.#inert.push(key)
    const quota = this.#section(root, ["quota"]) ?? {}
    this.#knownKeys(quota, ["quota"], ["max_documents", "max_size_mb"])
    const system = this.#section(root, ["system_fields"]) ?? {}
    this.#knownKeys(system, ["system_fields"], ["indexed_at", "document_boost"])
    const hybrid = this.#section(root, ["hybrid"]) ?? {}
    this.#knownKeys(hybrid, ["hybrid"], ["default_strategy", "rrf_k", "text_weight", "vector_weight"])
    const schema: Schema = {
      collection,
      description: this.#text(root, ["description"]),
      text,
      vector,
      graph,
      quota: {
        maxDocuments: this.#integer(quota, ["quota", "max_documents"], { min: 0, max: Number.MAX_SAFE_INTEGER }),
        maxSizeMb: this.#number(quota, ["quota", "max_size_mb"], { min: 0 }),
      },
      systemFields: {
        indexedAt: this.#boolean(system, ["system_fields", "indexed_at"]) ?? false,
        documentBoost: this.#boolean(system, ["system_fields", "document_boost"]) ?? false,
      },
      hybrid: {
        defaultStrategy: this.#word(hybrid, ["hybrid", "default_strategy"], MERGE_STRATEGIES) ?? "weighted",
        rrfK: this.#number(hybrid, ["hybrid", "rrf_k"], { min: 0 }) ?? 60,
        textWeight: this.#number(hybrid, ["hybrid", "text_weight"], { min: 0 }) ?? 0.5,
        vectorWeight: this.#number(hybrid, ["hybrid", "vector_weight"], { min: 0 }) ?? 0.5,
      },
      source: this.#source,
      from: this.#from,
      unknownKeys: this.#unknownKeys,
      warnings: this.#warnings,
    }
    if (this.#inert.length > 0)
      this.#warnings.push(`kept, but without effect in this version: ${this.#inert.join(", ")}`)
    if (this.#problems.length > 0) {
      throw invalidSchema(this.#problems.toSorted((a, b) => a.line - b.line).map((found) => found.problem))
    }
    return schema
  }

  #plainRoot(): PlainObject {
    let root: unknown
    try {
      root = this.#document.toJS({ maxAliasCount: 100 })
    } catch {
      // The one thing that stops it: aliases of aliases that would fill the memory.
      throw invalidSchema([problem("schema", "too many aliases")])
    }
    if (typeof root !== "object" || root === null || Array.isArray(root)) {
      const found = root === null ? "nothing" : describe(root)
      throw invalidSchema([problem("schema", `expected a mapping with "backends", found ${found}`)])
    }
    if (!isWithin(root, JSON_DEPTH_MAX)) {
      throw invalidSchema([problem("schema", `more than ${JSON_DEPTH_MAX} levels deep`)])
    }
    return root as PlainObject
  }

  #readText(backends: PlainObject | undefined): Schema["text"] {
    const path = ["backends", "text"]
    const text = this.#section(backends, path)
    if (text === undefined) return undefined
    this.#knownKeys(text, path, TEXT_KEYS)
    const fields: SchemaField[] = []
    const names = new Set<string>()
    const list = this.#list(text, [...path, "fields"])
    if (list.length > FIELD_COUNT_MAX) {
      this.#problem([...path, "fields"], `${list.length} fields, at most ${FIELD_COUNT_MAX} are possible`)
    }
    if (list.length === 0 && this.#from === "user") this.#problem([...path, "fields"], "no fields: name at least one")
    for (const [i, item] of list.slice(0, FIELD_COUNT_MAX).entries()) {
      const field = this.#readField(item, [...path, "fields", i])
      if (field === undefined) continue
      if (names.has(field.name)) {
        this.#problem([...path, "fields", i, "name"], `field ${quote(field.name)} is declared twice`)
      } else {
        names.add(field.name)
        fields.push(field)
      }
    }
    return {
      fields,
      bm25K1: this.#number(text, [...path, "bm25_k1"], { min: 0 }) ?? 1.2,
      bm25B: this.#number(text, [...path, "bm25_b"], { min: 0, max: 1 }) ?? 0.75,
    }
  }

  #readField(item: unknown, path: Path): SchemaField | undefined {
    if (!isPlainObject(item)) {
      this.#problem(path, `expected a field such as {name: title, type: text}, found ${describe(item)}`)
      return undefined
    }
    this.#knownKeys(item, path, FIELD_KEYS)
    const name = this.#text(item, [...path, "name"])
    const type = this.#word(item, [...path, "type"], FIELD_TYPES, TYPE_SYNONYMS)
    if (isBlank(item.name)) this.#problem([...path, "name"], "missing")
    if (isBlank(item.type)) this.#problem([...path, "type"], `missing: one of ${FIELD_TYPES.join(", ")}`)
    const stored = this.#boolean(item, [...path, "stored"]) ?? true
    const indexed = this.#boolean(item, [...path, "indexed"]) ?? true
    const analyzer = this.#readAnalyzer(item, path)
    if (name === undefined || type === undefined) return undefined
    if (name === "id" || SYSTEM_FIELDS.includes(name)) {
      const what = `${quote(name)} is a field of the system`
      if (this.#from === "user") this.#problem([...path, "name"], `${what}, choose another name`)
      else this.#warnings.push(`${what} and not declared a second time`)
      return undefined
    }
    const fault = this.#from === "user" ? faultOfFieldName(name) : faultOfAnyName(name)
    if (fault !== undefined) this.#problem([...path, "name"], `${quote(name)} ${fault}`)
    return { name, type, stored, indexed, analyzer }
  }

  #readAnalyzer(field: PlainObject, path: Path): AnalyzerSpec {
    const standard: AnalyzerSpec = { name: "standard" }
    if (!isBlank(field.tokenizer_options)) {
      const options = [...path, "tokenizer_options"]
      if (this.#from === "user") this.#problem(options, "no tokenizer takes options yet")
      else this.#warnings.push(`${pathText(options)}: no tokenizer takes options yet, they are kept without effect`)
    }
    const place = [...path, "tokenizer"]
    const name = this.#text(field, place)
    if (name === undefined) return standard
    const analyzer = analyzerByName(name)
    if (analyzer !== undefined) return analyzer
    if (this.#from === "user") {
      this.#problem(place, `unknown tokenizer ${quote(name)}${suggestion(name, Object.keys(ANALYZERS))}`)
    } else {
      this.#warnings.push(`${pathText(place)}: tokenizer ${quote(name)} is not here yet, standard is used instead`)
    }
    return standard
  }

  #readVector(backends: PlainObject | undefined, text: Schema["text"]): VectorBackend | undefined {
    const path = ["backends", "vector"]
    const vector = this.#section(backends, path)
    if (vector === undefined) return undefined
    this.#knownKeys(vector, path, VECTOR_KEYS)
    for (const key of INERT_VECTOR_KEYS) if (!isBlank(vector[key])) this.#inert.push(pathText([...path, key]))
    const embeddingField = this.#text(vector, [...path, "embedding_field"])
    if (isBlank(vector.embedding_field)) this.#problem([...path, "embedding_field"], "missing")
    if (isBlank(vector.dimension)) this.#problem([...path, "dimension"], "missing")
    if (embeddingField !== undefined) {
      const isTaken = embeddingField === "id" || SYSTEM_FIELDS.includes(embeddingField)
      const fault = isTaken
        ? "is a field of the system, choose another name"
        : text?.fields.some((field) => field.name === embeddingField)
          ? "is also a field of the text backend"
          : this.#from === "user"
            ? faultOfFieldName(embeddingField)
            : faultOfAnyName(embeddingField)
      if (fault !== undefined) this.#problem([...path, "embedding_field"], `${quote(embeddingField)} ${fault}`)
    }
    return {
      embeddingField: embeddingField ?? "",
      dimension: this.#integer(vector, [...path, "dimension"], { min: 1, max: DIMENSION_MAX }) ?? 0,
      distance: this.#word(vector, [...path, "distance"], DISTANCES, DISTANCE_SYNONYMS) ?? "cosine",
      hnswM: this.#integer(vector, [...path, "hnsw_m"], { min: 2, max: 128 }) ?? 16,
      hnswEfConstruction: this.#integer(vector, [...path, "hnsw_ef_construction"], { min: 1, max: 65_536 }) ?? 200,
      // The original's 100 finds 93 % of the true neighbours on the hardest real data, 150 finds 96 (wasm-bench/vectors.ts).
      hnswEfSearch: this.#integer(vector, [...path, "hnsw_ef_search"], { min: 1, max: 65_536 }) ?? 150,
    }
  }

  #readGraph(backends: PlainObject | undefined): Schema["graph"] {
    const path = ["backends", "graph"]
    const graph = this.#section(backends, path)
    if (graph === undefined) return undefined
    this.#knownKeys(graph, path, ["edges"])
    const edges: DerivedEdge[] = []
    for (const [i, item] of this.#list(graph, [...path, "edges"]).entries()) {
      const place = [...path, "edges", i]
      if (!isPlainObject(item)) {
        this.#problem(place, `expected an edge such as {edge_type, from_field, to_field}, found ${describe(item)}`)
        continue
      }
      this.#knownKeys(item, place, EDGE_KEYS)
      const [edgeType, fromField, toField] = EDGE_KEYS.map((key) => {
        if (isBlank(item[key]) && key !== "from_field") this.#problem([...place, key], "missing")
        return this.#text(item, [...place, key]) ?? ""
      }) as [string, string, string]
      if (utf8Length(edgeType) > EDGE_TYPE_BYTES_MAX) {
        this.#problem([...place, "edge_type"], `has over ${EDGE_TYPE_BYTES_MAX} bytes`)
      }
      // Most edges leave the document that tells of them.
      edges.push({ edgeType, fromField: fromField || "id", toField })
    }
    return { edges }
  }

  /** A key that nobody reads is most likely a typo. */
  #knownKeys(object: PlainObject, path: Path, known: readonly string[]): void {
    for (const key of Object.keys(object)) {
      if (known.includes(key)) continue
      const place = [...path, key]
      if (this.#from === "archive") this.#unknownKeys.push(pathText(place))
      else this.#problem(place, `unknown key ${quote(key)}${suggestion(key, known)}`)
    }
  }

  /** The mapping at the end of `path`; null is the same as nothing. */
  #section(parent: PlainObject | undefined, path: Path): PlainObject | undefined {
    const value = parent?.[path.at(-1)!]
    if (isBlank(value)) return undefined
    if (isPlainObject(value)) return value
    this.#problem(path, `expected a mapping, found ${describe(value)}`)
    return undefined
  }

  #list(parent: PlainObject, path: Path): readonly unknown[] {
    const value = parent[path.at(-1)!]
    if (isBlank(value)) return []
    if (Array.isArray(value)) return value as unknown[]
    this.#problem(path, `expected a list, found ${describe(value)}`)
    return []
  }

  #text(parent: PlainObject, path: Path): string | undefined {
    const value = parent[path.at(-1)!]
    if (isBlank(value)) return undefined
    if (typeof value === "string") return value
    this.#problem(
      path,
      `expected text, found ${describe(value)}${typeof value === "object" ? "" : ": put it in quotes"}`,
    )
    return undefined
  }

  #boolean(parent: PlainObject, path: Path): boolean | undefined {
    const value = parent[path.at(-1)!]
    if (isBlank(value)) return undefined
    if (typeof value === "boolean") return value
    this.#problem(path, `expected true or false, found ${describe(value)}`)
    return undefined
  }

  #number(parent: PlainObject, path: Path, range: { min: number; max?: number }): number | undefined {
    const value = parent[path.at(-1)!]
    if (isBlank(value)) return undefined
    const max = range.max ?? Number.MAX_VALUE
    if (typeof value === "number" && value >= range.min && value <= max) return value
    const wanted = range.max === undefined ? `of at least ${range.min}` : `from ${range.min} to ${range.max}`
    this.#problem(path, `expected a number ${wanted}, found ${describe(value)}`)
    return undefined
  }

  #integer(parent: PlainObject, path: Path, range: { min: number; max: number }): number | undefined {
    const value = parent[path.at(-1)!]
    if (isBlank(value)) return undefined
    if (Number.isInteger(value) && (value as number) >= range.min && (value as number) <= range.max)
      return value as number
    const wanted =
      range.max === Number.MAX_SAFE_INTEGER ? `of at least ${range.min}` : `from ${range.min} to ${range.max}`
    this.#problem(path, `expected a whole number ${wanted}, found ${describe(value)}`)
    return undefined
  }

  #word<T extends string>(
    parent: PlainObject,
    path: Path,
    words: readonly T[],
    synonyms: Readonly<Record<string, T>> = {},
  ): T | undefined {
    const value = parent[path.at(-1)!]
    if (isBlank(value)) return undefined
    if ((words as readonly unknown[]).includes(value)) return value as T
    if (typeof value !== "string") {
      this.#problem(path, `expected one of ${words.join(", ")}, found ${describe(value)}`)
    } else {
      const synonym = Object.hasOwn(synonyms, value.toLowerCase()) ? synonyms[value.toLowerCase()] : undefined
      const hint = synonym === undefined ? suggestion(value, words) : `, did you mean "${synonym}"?`
      this.#problem(path, `unknown ${String(path.at(-1)).replaceAll("_", " ")} ${quote(value)}${hint}`)
    }
    return undefined
  }

  #problem(path: Path, message: string): void {
    const line = this.#lineOf(path)
    this.#problems.push({ line, problem: problem(`${pathText(path)} (line ${line})`, message) })
  }

  /** Line of the node at `path`, or of the nearest one around it that is in the text. */
  #lineOf(path: Path): number {
    for (let length = path.length; length > 0; length--) {
      const parent = this.#document.getIn(path.slice(0, length - 1), true)
      const key = path[length - 1]!
      if (!isCollection(parent)) continue
      const item = isMap(parent)
        ? (parent.items.find((pair) => isScalar(pair.key) && pair.key.value === key)?.key as { range?: number[] })
        : (parent.items[key as number] as { range?: number[] })
      const offset = item?.range?.[0]
      if (offset !== undefined) return this.#lines.linePos(offset).line
    }
    return 1
  }
}

function readYaml(source: string): { document: YamlDocument; lines: LineCounter } {
  const bytes = utf8Length(source)
  if (bytes > SCHEMA_BYTES_MAX) {
    throw new PrismError("LIMIT_EXCEEDED", `schema has ${bytes} bytes, at most ${SCHEMA_BYTES_MAX} are possible`)
  }
  const lines = new LineCounter()
  const document = parseDocument(source, {
    version: "1.2",
    schema: "core",
    stringKeys: true,
    lineCounter: lines,
    logLevel: "error",
  })
  const faults = [...document.errors, ...document.warnings]
  if (faults.length > 0) {
    throw invalidSchema(
      faults.slice(0, 20).map((fault) => {
        const at = lines.linePos(fault.pos[0])
        // Its message goes on with the place and a picture of the line.
        const message = fault.message.split("\n")[0]!.replace(/ at line \d+, column \d+:?$/, "")
        return problem(`line ${at.line}, column ${at.col}`, message)
      }),
    )
  }
  return { document, lines }
}

function stringifyObject(schema: object): string {
  if (!isWithin(schema, JSON_DEPTH_MAX)) {
    throw invalidSchema([problem("schema", `more than ${JSON_DEPTH_MAX} levels deep`)])
  }
  return stringify(schema, { lineWidth: 0, aliasDuplicateObjects: false })
}

function hasAlias(document: YamlDocument): boolean {
  let found = false
  visit(document, {
    Alias() {
      found = true
      return visit.BREAK
    },
  })
  return found
}

function asBlockStyle(document: YamlDocument): YamlDocument {
  return parseDocument(
    stringify(document.toJS({ maxAliasCount: 100 }), { lineWidth: 0, aliasDuplicateObjects: false }),
    {
      version: "1.2",
      schema: "core",
      stringKeys: true,
      logLevel: "error",
    },
  )
}

// Names of values that open doors. `backends` is left out: there names are fields, and nothing is secret.
const CREDENTIAL =
  /(^|[_-])(secret|password|passphrase|token|credentials?|authorization|api[_-]?key|access[_-]?key([_-]?id)?|secret[_-]?(access[_-]?)?key|private[_-]?key|account[_-]?key|sas[_-]?token|connection[_-]?string)$/i
const REDACTED = "***"

function redact(document: YamlDocument, redacted: string[]): void {
  const walk = (node: unknown, path: Path): void => {
    if (!isCollection(node)) return
    if (!isMap(node)) {
      for (const [i, item] of node.items.entries()) walk(item, [...path, i])
      return
    }
    for (const pair of node.items) {
      const key = isScalar(pair.key) ? String(pair.key.value) : ""
      const place = [...path, key]
      if (path.length === 0 && key === "backends") continue
      const isEmpty = pair.value === null || (isScalar(pair.value) && isBlank(pair.value.value))
      if (CREDENTIAL.test(key) && !isEmpty) {
        pair.value = document.createNode(REDACTED) as never
        redacted.push(pathText(place))
      } else {
        walk(pair.value, place)
      }
    }
  }
  walk(document.contents, [])
}

function invalidSchema(problems: readonly Problem[]): PrismError {
  const [first] = problems as readonly [Problem, ...Problem[]]
  const message =
    problems.length === 1 ? `${first.place}: ${first.message}` : `the schema has ${problems.length} problems`
  return new PrismError("INVALID_SCHEMA", message, { place: first.place, problems })
}

function problem(place: string, message: string): Problem {
  return { place, code: "INVALID_SCHEMA", message }
}

/** What keeps a name from being easy to use in queries and paths, or undefined. */
function faultOfFieldName(name: string): string | undefined {
  if (name.startsWith("_")) return "begins with _, which is the system's"
  if (!/^[\p{L}\p{N}_-]+(?:\.[\p{L}\p{N}_-]+)*$/u.test(name)) {
    return "cannot name a field: use letters, digits, _ and -, with dots between the names of nested fields"
  }
  return faultOfAnyName(name)
}

function faultOfAnyName(name: string): string | undefined {
  if (name === "") return "cannot name a field"
  return utf8Length(name) > 255 ? "is longer than 255 bytes" : undefined
}

function suggestion(word: string, words: readonly string[]): string {
  const near = closest(word, words)
  return near === undefined ? `: known are ${words.join(", ")}` : `, did you mean ${quote(near)}?`
}

function isPlainObject(value: unknown): value is PlainObject {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

/** True for the sections that 0.6 writes into every schema, with nothing but its defaults in them. */
function saysNothing(value: unknown): boolean {
  if (isBlank(value) || value === 0 || value === "local") return true
  return typeof value === "object" && value !== null && Object.values(value).every(saysNothing)
}

/** null means the same as a key that is not there. */
function isBlank(value: unknown): boolean {
  return value === null || value === undefined
}

function isWithin(value: unknown, depthMax: number): boolean {
  if (typeof value !== "object" || value === null) return true
  return depthMax > 0 && Object.values(value).every((item) => isWithin(item, depthMax - 1))
}

function describe(value: unknown): string {
  if (isBlank(value)) return "nothing"
  if (Array.isArray(value)) return "a list"
  if (typeof value === "object") return "a mapping"
  return typeof value === "string" ? `the text ${quote(value)}` : String(value)
}

/** A word of the user's in a message: quoted, on one line, not too long. */
function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}

function pathText(path: Path): string {
  let text = ""
  for (const step of path) text += typeof step === "number" ? `[${step}]` : text === "" ? step : `.${step}`
  return text
}
