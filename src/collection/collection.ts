import { PrismError, type Problem } from "../base/errors.ts"
import { analyze } from "../engine/analyzer.ts"
import { Engine } from "../engine/engine.ts"
import { readManifest, type SegmentEntry } from "../storage/manifest.ts"
import { type ExportOptions, type ExportReport, exportPortable } from "./archive.ts"
import {
  type CheckedDocument,
  checkId,
  DocumentChecker,
  type DocumentInput,
  indexFields,
  parseFields,
} from "./document.ts"
import { compareSchemas, parseSchema, type Schema, type VectorBackend } from "./schema.ts"
import { planSearch, type SearchRequest, type SearchResponse, type SearchResult } from "./search-request.ts"
import { searchSegments } from "./searcher.ts"
import type { Segment, SegmentShape, VectorShape } from "./segment.ts"
import { type CollectionFiles, CollectionWriter, type WriteOperation } from "./writer.ts"

/** A document as a user gets it back. `fields` is plain JSON data, integers beyond 2^53 as bigint. */
export interface Document<Fields = Record<string, unknown>> {
  readonly id: string
  readonly fields: Fields
  readonly vector?: Float32Array
}

export interface AddReport {
  /** Documents that are now durable and visible. */
  readonly indexed: number
}

export interface CollectionStats {
  readonly name: string
  readonly document_count: number
  /** Documents that were replaced or deleted and still take room. */
  readonly deleted_count: number
  /** Bytes on disk: segment files and log. */
  readonly size_bytes: number
  readonly segment_count: number
  readonly generation: number
  readonly memory_bytes: number
  readonly backends: { readonly text: boolean; readonly vector: boolean; readonly graph: boolean }
}

/** Documents that are checked before they are handed to the log together. */
const ADD_CHUNK = 1024

/** One collection: documents in, answers and archives out. */
export class Collection<Fields = Record<string, unknown>> implements AsyncDisposable {
  readonly name: string
  readonly schema: Schema
  readonly #engine: Engine
  readonly #files: CollectionFiles
  readonly #writer: CollectionWriter
  readonly #checker: DocumentChecker
  readonly #hiddenFields: readonly string[]

  private constructor(name: string, schema: Schema, engine: Engine, files: CollectionFiles, writer: CollectionWriter) {
    this.name = name
    this.schema = schema
    this.#engine = engine
    this.#files = files
    this.#writer = writer
    this.#checker = new DocumentChecker(schema, { collection: name })
    this.#hiddenFields = (schema.text?.fields ?? []).filter(({ stored }) => !stored).map((field) => field.name)
  }

  /** Opens a collection's directory: what was acknowledged is there, also after a crash. CORRUPT, INCOMPATIBLE_VERSION. */
  static async open(name: string, files: CollectionFiles): Promise<Collection> {
    const manifest = await readManifest(files.storage, files.directory)
    const schema = parseSchema(manifest.schema, { from: "archive" })
    const engine = new Engine()
    const shape: SegmentShape = {
      engine,
      fields: indexFields(schema),
      vector: schema.vector && vectorShape(schema.vector),
    }
    return new Collection(
      name,
      schema,
      engine,
      files,
      await CollectionWriter.open(name, files, manifest, schema, shape),
    )
  }

  /** Adds documents, each replacing the one with its id. Resolves once all of them are durable; the next search sees
   *  them. A bad document is refused by itself: then this rejects with INVALID_DOCUMENT (or the code that all problems
   *  share) and lists each in `problems`; the good ones are durable. Of one id twice the second is refused. */
  async add(documents: DocumentInput<Fields> | readonly DocumentInput<Fields>[]): Promise<AddReport> {
    const list = Array.isArray(documents) ? (documents as readonly DocumentInput[]) : [documents as DocumentInput]
    const problems: Problem[] = []
    const ids = new Set<string>()
    const options = { indexedAt: new Date().toISOString() }
    let indexed = 0
    for (let first = 0; first < list.length; first += ADD_CHUNK) {
      const operations: WriteOperation[] = []
      for (const [place, input] of list.slice(first, first + ADD_CHUNK).entries()) {
        try {
          const document = this.#checker.check(input, options)
          if (ids.has(document.id)) throw duplicate(document.id)
          ids.add(document.id)
          operations.push({ kind: "put", document })
        } catch (error) {
          problems.push(asProblem(error, `document ${first + place}`))
        }
      }
      await this.#writer.commit(operations)
      indexed += operations.length
    }
    if (problems.length > 0) throw refusal(problems, indexed)
    return { indexed }
  }

  /** Adds documents that are checked already; for imports that check line by line. */
  async addChecked(documents: readonly CheckedDocument[]): Promise<void> {
    await this.#writer.commit(documents.map((document) => ({ kind: "put", document })))
  }

  /** The document with this id, or undefined. INVALID_DOCUMENT or LIMIT_EXCEEDED for what no id can be. */
  async get(id: string): Promise<Document<Fields> | undefined> {
    checkId(id)
    const segments = this.#retain()
    try {
      for (const segment of segments.toReversed()) {
        const docOrd = segment.find(id)
        if (docOrd === undefined) continue
        const vector = segment.vector?.vector(docOrd)
        const { fieldsJson } = await segment.stored(docOrd)
        return { id, fields: parseFields(fieldsJson) as Fields, ...(vector ? { vector } : {}) }
      }
      return undefined
    } finally {
      await release(segments)
    }
  }

  /** True if a document has this id. */
  has(id: string): boolean {
    return this.#writer.segments.some((segment) => segment.find(id) !== undefined)
  }

  /** Deletes documents by id, durably. Resolves to how many of them were there. INVALID_DOCUMENT or LIMIT_EXCEEDED for
   *  what no id can be; then none is deleted. */
  async delete(ids: string | readonly string[]): Promise<number> {
    const list = Array.isArray(ids) ? (ids as readonly string[]) : [ids as string]
    for (const id of list) checkId(id)
    return await this.#writer.commit(list.map((id) => ({ kind: "delete", id })))
  }

  /** Searches by text, by vector, or by both. INVALID_REQUEST, INVALID_QUERY with the column, DIMENSION_MISMATCH. */
  async search(request: SearchRequest): Promise<SearchResponse<Fields>> {
    const started = performance.now()
    const plan = planSearch(this.name, this.schema, request, this.#analyze)
    const segments = this.#retain()
    try {
      const { hits, total } = searchSegments(this.#engine, segments, this.schema, plan)
      const page = hits
        .slice(plan.offset, plan.offset + plan.limit)
        .filter(({ score }) => plan.minScore === undefined || score >= plan.minScore)
      const results = await Promise.all(
        page.map(async ({ segment, docOrd, score }): Promise<SearchResult<Fields>> => {
          const { id, fieldsJson } = await (segments[segment] as Segment).stored(docOrd)
          return { id, score, fields: this.#shown(fieldsJson) }
        }),
      )
      return { results, total, latency_ms: performance.now() - started }
    } finally {
      await release(segments)
    }
  }

  /** Every document in the order in which it was last written, as of the first one asked for; writes go on
   *  meanwhile. */
  async *documents(): AsyncIterable<Document<Fields>> {
    const view = await this.#writer.pin()
    try {
      for (const { segment, live } of view.segments) {
        for await (const { docOrd, id, fieldsJson } of segment.scan(live)) {
          const vector = segment.vector?.vector(docOrd)
          yield { id, fields: parseFields(fieldsJson) as Fields, ...(vector ? { vector } : {}) }
        }
      }
    } finally {
      await view.close()
    }
  }

  /** Writes a portable archive of every document that was acknowledged before the call. Closes `sink` when it is whole
   *  and aborts it on an error. */
  async export(sink: WritableStream<Uint8Array>, options: ExportOptions = {}): Promise<ExportReport> {
    const view = await this.#writer.pin()
    try {
      return await exportPortable(this.name, this.schema, view, sink, options, this.#files.createSha256)
    } finally {
      await view.close()
    }
  }

  async stats(): Promise<CollectionStats> {
    const segments = this.#writer.segments
    const documents = segments.reduce((sum, segment) => sum + segment.documentCount, 0)
    return {
      name: this.name,
      document_count: this.#writer.documentCount,
      deleted_count: documents - this.#writer.documentCount,
      size_bytes: this.#writer.files.reduce((sum, { length }) => sum + length, 0) + this.#writer.logBytes,
      segment_count: segments.length - 1,
      generation: this.#writer.generation,
      memory_bytes: this.#engine.memoryInUse,
      backends: {
        text: this.schema.text !== undefined,
        vector: this.schema.vector !== undefined,
        graph: this.schema.graph !== undefined,
      },
    }
  }

  /** Reads every file of the current generation and compares it with the manifest. CHECKSUM_MISMATCH or CORRUPT names the
   *  file. */
  async verify(): Promise<{ files: number; bytes: number }> {
    const { storage, directory, createSha256 } = this.#files
    let count = 0
    let bytes = 0
    for (const entry of this.#writer.files) {
      if ((await storage.size(`${directory}/${entry.path}`)) === undefined) {
        // A checkpoint may have replaced it since the list was made.
        if (!this.#writer.files.includes(entry)) continue
        throw new PrismError("CORRUPT", `segment file ${entry.path} is missing`, {
          place: entry.path,
          hint: "restore the collection from its last export",
        })
      }
      await using file = await storage.open(`${directory}/${entry.path}`)
      const sha256 = createSha256()
      const step = 1 << 20
      for (let offset = 0; offset < file.size; offset += step) {
        sha256.update(await file.read(offset, Math.min(step, file.size - offset)))
      }
      if (file.size !== entry.length || sha256.digestHex() !== entry.sha256) {
        throw new PrismError("CHECKSUM_MISMATCH", `segment file ${entry.path} is not what was written`, {
          place: entry.path,
          hint: "restore the collection from its last export",
        })
      }
      count++
      bytes += file.size
    }
    return { files: count, bytes }
  }

  /** SCHEMA_CONFLICT where documents of the other schema cannot be merged into this one. */
  assertSameSchema(other: Schema): void {
    const conflict = compareSchemas(this.schema, other)
    if (conflict) {
      throw new PrismError("SCHEMA_CONFLICT", `Schema conflict: ${conflict}`, {
        hint: "restore under another name, or replace the collection",
      })
    }
  }

  /** Folds the log into an immutable segment now, so that the next open need not replay it. Happens by itself when the
   *  log grows long, and at close. */
  async checkpoint(): Promise<void> {
    await this.#writer.checkpoint()
  }

  /** Seals what is in memory and closes; for a staged collection about to be moved. Resolves to its segments. */
  async sealAndClose(): Promise<readonly SegmentEntry[]> {
    try {
      await this.checkpoint()
      return (await readManifest(this.#files.storage, this.#files.directory)).segments
    } finally {
      await this.close({ fold: false })
    }
  }

  /** Takes over the segments of a staged, closed collection; see CollectionWriter.adopt. */
  async adopt(directory: string, segments: readonly SegmentEntry[]): Promise<number> {
    return await this.#writer.adopt(directory, segments)
  }

  get isClosed(): boolean {
    return this.#writer.isClosed
  }

  /** Waits for the writes that were begun. A long log is folded, so that the next open is quick; `fold: false` leaves it. */
  async close(options: { fold?: boolean } = {}): Promise<void> {
    await this.#writer.close(options)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Cuts query text as the field's own analyzer cuts documents. */
  readonly #analyze = (field: string, text: string) => {
    const declared = this.schema.text?.fields.find(({ name }) => name === field)
    return analyze(this.#engine, declared?.analyzer ?? { name: "standard" }, text)
  }

  #retain(): readonly Segment[] {
    return this.#writer.segments.map((segment) => segment.retain())
  }

  /** The fields that a search shows: all but those that the schema declares as not stored. */
  #shown(fieldsJson: string): Fields {
    const fields = parseFields(fieldsJson) as Record<string, unknown>
    for (const name of this.#hiddenFields) delete fields[name]
    return fields as Fields
  }
}

function vectorShape(backend: VectorBackend): VectorShape {
  return {
    dimension: backend.dimension,
    metric: backend.distance,
    m: backend.hnswM,
    efConstruction: backend.hnswEfConstruction,
  }
}

async function release(segments: readonly Segment[]): Promise<void> {
  for (const segment of segments) await segment.release()
}

function duplicate(id: string): PrismError {
  return new PrismError("DUPLICATE_ID", `id "${id}" occurs twice in one batch`, {
    place: `document "${id}"`,
    hint: "the first of them was taken; send the second by itself to replace it",
  })
}

function asProblem(error: unknown, place: string): Problem {
  if (!(error instanceof PrismError)) throw error
  return { place: error.place ?? place, code: error.code, message: error.message }
}

/** One error for the refused documents of an `add`. */
function refusal(problems: readonly Problem[], indexed: number): PrismError {
  const [first] = problems as [Problem]
  const code = problems.every((problem) => problem.code === first.code) ? first.code : "INVALID_DOCUMENT"
  const message =
    problems.length === 1
      ? `${first.place}: ${first.message}`
      : `${problems.length} documents are refused; the first: ${first.place}: ${first.message}`
  return new PrismError(code, message, {
    place: first.place,
    problems,
    hint: indexed > 0 ? `the other ${indexed} are added; send these again once mended` : "nothing was added",
  })
}
