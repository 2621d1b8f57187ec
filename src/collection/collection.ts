import type { ByteBudget } from "../base/byte-budget.ts"
import { isDiskFull, PrismError, type Problem } from "../base/errors.ts"
import { analyze } from "../engine/analyzer.ts"
import { DocSet } from "../engine/doc-set.ts"
import { Engine, isTrap } from "../engine/engine.ts"
import type { Graph, GraphVisit } from "../engine/graph.ts"
import type { QueryProgram } from "../engine/query.ts"
import type { CacheStats } from "../storage/block-cache.ts"
import { readManifest, removeDrafts, type SegmentEntry } from "../storage/manifest.ts"
import { joinPath } from "../storage/path.ts"
import { replayWal } from "../storage/wal.ts"
import { checkExport } from "./archive/check-request.ts"
import { GraphLines } from "./archive/graph-lines.ts"
import type { ExportOptions, ExportReport, LongWork } from "./archive/options.ts"
import { documentChunks, documentLines, portableChunks } from "./archive/portable.ts"
import { snapshotChunks } from "./archive/snapshot.ts"
import { writeArchive } from "./archive/write-archive.ts"
import { type Backends, backendsOf } from "./backends.ts"
import type { OptimizeOptions } from "./compactor.ts"
import type { CollectionContext } from "./context.ts"
import { type CheckedDocument, DocumentChecker, type DocumentInput, indexFields, parseFields } from "./document.ts"
import { type Expansion, reachable } from "./expansion.ts"
import { CollectionGraph } from "./graph.ts"
import { checkId } from "./id.ts"
import { checkOptions } from "./known-options.ts"
import { releaseAll } from "./open-segments.ts"
import { documentIdOf, placeOf, type WriteOperation } from "./operations.ts"
import { CollectionReader, pinManifest } from "./reader.ts"
import { type RecallOptions, type RecallReport, sampleRecall } from "./recall.ts"
import { asProblem, refusal } from "./refused.ts"
import { analyzerOf, compareSchemas, parseSchema, type Schema, type VectorBackend } from "./schema.ts"
import { SealedSegment } from "./sealed-segment.ts"
import {
  noGraph,
  planSearch,
  type SearchPlan,
  type SearchRequest,
  type SearchResponse,
  type SearchResult,
} from "./search-request.ts"
import { type CompiledSearch, compileSearch, loadForSearch, loadPostings, searchSegments } from "./searcher.ts"
import { allOf, prepareIds, type Segment, type SegmentShape, type VectorShape } from "./segment.ts"
import { sizeOf, sizeOfFiles, sizeOfLogs } from "./size.ts"
import { pinView } from "./view.ts"
import { WriteGate } from "./write-gate.ts"
import { CollectionWriter } from "./writer.ts"

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
  /** Bytes on disk: segment files and logs. */
  readonly size_bytes: number
  readonly log_bytes: number
  /** Immutable segments, oldest first; what is in memory alone is in none of them. */
  readonly segments: readonly SegmentStats[]
  readonly segment_count: number
  /** Full segments in memory that wait to be sealed. */
  readonly pending_segments: number
  readonly generation: number
  /** "disk full" until a write goes through again; "read-only" until the collection is opened again, or because the
   *  Prism was opened so. */
  readonly state: "ready" | "disk full" | "read-only"
  /** What hindered the last work in the background, until some succeeds. */
  readonly problem?: { readonly code: string; readonly message: string }
  /** Engine memory that open structures hold, whether it was ever touched or not. */
  readonly memory_bytes: number
  /** What of the segments' files is in that memory. */
  readonly resident_bytes: number
  /** Blocks and pages that were read lately, of all collections of the Prism. */
  readonly cache: CacheStats
  readonly backends: Backends
}

export interface SegmentStats {
  readonly id: number
  readonly level: number
  /** Deleted ones too. */
  readonly documents: number
  readonly deleted: number
  readonly vectors: number
  readonly bytes: number
}

export interface OptimizeReport {
  readonly segments_before: number
  readonly segments_after: number
  readonly documents: number
  readonly bytes_before: number
  readonly bytes_after: number
}

const LONG_WORK_OPTIONS = ["signal", "onProgress"]

/** Documents that are checked before they are handed to the log together. */
const ADD_CHUNK = 1024

/** One collection: documents in, answers and archives out. */
export class Collection<Fields = Record<string, unknown>> implements AsyncDisposable {
  readonly name: string
  readonly schema: Schema
  readonly #engine: Engine
  readonly #context: CollectionContext
  readonly #source: CollectionWriter | CollectionReader
  readonly #checker: DocumentChecker
  readonly #hiddenFields: readonly string[]
  readonly #gate = new WriteGate()
  #onClosed: (() => void) | undefined

  private constructor(
    name: string,
    schema: Schema,
    engine: Engine,
    context: CollectionContext,
    source: CollectionWriter | CollectionReader,
  ) {
    this.name = name
    this.schema = schema
    this.#engine = engine
    this.#context = context
    this.#source = source
    this.#checker = new DocumentChecker(schema, { collection: name })
    this.#hiddenFields = (schema.text?.fields ?? []).filter(({ stored }) => !stored).map((field) => field.name)
  }

  /** Opens a collection's directory: what was acknowledged is there, also after a crash. CORRUPT, INCOMPATIBLE_VERSION. */
  static async open(name: string, context: CollectionContext): Promise<Collection> {
    // Then a writer that was thought dead cannot put a manifest of its own in place any more, whenever it wakes up.
    if (context.isTakeover) await removeDrafts(context.storage, context.directory)
    const manifest = await readManifest(context.storage, context.directory)
    const { schema, shape } = shapeOf(manifest.schema)
    const writer = await CollectionWriter.open(name, context, manifest, schema, shape)
    return new Collection(name, schema, shape.engine, context, writer)
  }

  /** Opens it as it is now, for reading alone, beside a process that may write it. */
  static async openReadOnly(name: string, context: CollectionContext): Promise<Collection> {
    for (;;) {
      const pinned = await pinManifest(context)
      let shaped: ReturnType<typeof shapeOf>
      try {
        shaped = shapeOf(pinned.manifest.schema)
      } catch (error) {
        await pinned.pin?.release().catch(() => undefined)
        throw error
      }
      const { schema, shape } = shaped
      const reader = await CollectionReader.open(name, context, pinned, schema, shape)
      if (reader) return new Collection(name, schema, shape.engine, context, reader)
    }
  }

  /** Adds documents, each replacing the one with its id. Resolves once all of them are durable; the next search sees
   *  them. A bad document is refused by itself: then this rejects with INVALID_DOCUMENT (or the code that all problems
   *  share) and lists each in `problems`; the good ones are durable. Of one id twice the second is refused. */
  async add(documents: DocumentInput<Fields> | readonly DocumentInput<Fields>[]): Promise<AddReport> {
    return await this.#gate.pass(() => this.#add(documents))
  }

  async #add(documents: DocumentInput<Fields> | readonly DocumentInput<Fields>[]): Promise<AddReport> {
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
      const { done, refusal: refused } = await this.#writer.commit(operations)
      indexed += done
      if (refused) {
        for (const operation of operations.slice(done)) {
          problems.push({ ...asProblem(refused, ""), place: placeOf(operation) })
        }
      }
    }
    if (problems.length > 0) throw refusal(problems, { what: "document", code: "INVALID_DOCUMENT", added: indexed })
    return { indexed }
  }

  /** Its nodes and edges. INVALID_REQUEST where the schema has no graph. */
  get graph(): CollectionGraph {
    if (!this.schema.graph) throw noGraph(this.name)
    return new CollectionGraph({
      name: this.name,
      commit: async (operations) => await this.#gate.pass(() => this.#writer.commit(operations)),
      read: async (use) => await this.#readGraph(use),
      which: async (ids) => await this.which(ids),
    })
  }

  /** Adds documents that are checked already; for imports that check line by line. `onAdded` is called with how many of
   *  them, from the first on, are durable, before this resolves or rejects. */
  async addChecked(documents: readonly CheckedDocument[], onAdded?: (count: number) => void): Promise<void> {
    await this.write(
      documents.map((document) => ({ kind: "put", document })),
      onAdded,
    )
  }

  /** The same for nodes and edges too. */
  async write(operations: readonly WriteOperation[], onDone?: (count: number) => void): Promise<void> {
    const { refusal: refused } = await this.#gate.pass(() => this.#writer.commit(operations, onDone))
    if (refused) throw refused
  }

  /** Which operations would replace something: a document of the same id, or what was added as a node or edge. */
  async replacing(operations: readonly WriteOperation[]): Promise<Set<WriteOperation>> {
    const ids = await this.which(operations.flatMap((operation) => documentIdOf(operation) ?? []))
    const records = operations.filter(({ kind }) => kind === "put node" || kind === "put edge")
    const isThere = (graph: Graph, record: WriteOperation) =>
      (record.kind === "put node" && graph.node(record.id) !== undefined) ||
      (record.kind === "put edge" && graph.hasEdge(record.from, record.edgeType, record.to))
    const found =
      records.length > 0 ? await this.#readGraph((graph) => records.filter((record) => isThere(graph, record))) : []
    const isReplaced = (id: string | undefined) => id !== undefined && ids.has(id)
    return new Set([...found, ...operations.filter((operation) => isReplaced(documentIdOf(operation)))])
  }

  /** The document with this id, or undefined. INVALID_DOCUMENT or LIMIT_EXCEEDED for what no id can be. */
  async get(id: string, { budget }: Bounded = {}): Promise<Document<Fields> | undefined> {
    checkId(id)
    await using found = await this.#read(
      (segments) => prepareIds(segments, [id]),
      (segments) => {
        for (const segment of segments) {
          const docOrd = segment.find(id)
          if (docOrd !== undefined) return { segment, docOrd }
        }
        return undefined
      },
    )
    if (!found.result) return undefined
    const { segment, docOrd } = found.result
    const [{ fieldsJson }, vector] = await Promise.all([segment.stored(docOrd), segment.storedVector(docOrd)])
    budget?.take(sizeInAnswer(id, fieldsJson) + (vector?.length ?? 0) * NUMBER_BYTES)
    return { id, fields: parseFields(fieldsJson) as Fields, ...(vector ? { vector } : {}) }
  }

  /** Which of these ids documents have. */
  async which(ids: readonly string[]): Promise<Set<string>> {
    await using found = await this.#read(
      (segments) => prepareIds(segments, ids),
      (segments) => new Set(ids.filter((id) => segments.some((segment) => segment.find(id) !== undefined))),
    )
    return found.result
  }

  /** Deletes documents by id, durably. Resolves to how many of them were there. INVALID_DOCUMENT or LIMIT_EXCEEDED for
   *  what no id can be; then none is deleted. */
  async delete(ids: string | readonly string[]): Promise<number> {
    const list = Array.isArray(ids) ? (ids as readonly string[]) : [ids as string]
    for (const id of list) checkId(id)
    const operations = list.map((id) => ({ kind: "delete", id }) as const)
    return (await this.#gate.pass(() => this.#writer.commit(operations))).found.documents
  }

  /** As `delete`, and tells which of the ids no document has. */
  async deleteAll(ids: readonly string[]): Promise<{ deleted: number; missing: string[] }> {
    const wanted = [...new Set(ids)]
    const there = await this.which(wanted)
    return { deleted: await this.delete(wanted), missing: wanted.filter((id) => !there.has(id)) }
  }

  /** Searches by text, by vector, or by both. INVALID_REQUEST, INVALID_QUERY with the column, DIMENSION_MISMATCH. */
  async search(request: SearchRequest, { budget }: Bounded = {}): Promise<SearchResponse<Fields>> {
    const started = performance.now()
    const plan = planSearch(this.name, this.schema, request, this.#analyze)
    const found = await this.#found(plan, budget)
    const expanded = plan.expansion && (await this.#expand(plan, plan.expansion, found.results, budget))
    return { ...found, ...expanded, latency_ms: performance.now() - started }
  }

  async #found(
    plan: SearchPlan,
    budget: ByteBudget | undefined,
  ): Promise<{ results: SearchResult<Fields>[]; total: number }> {
    let compiled: CompiledSearch | undefined
    await using found = await this.#read(
      async (segments) => {
        await loadForSearch(segments, plan)
        compiled = compileSearch(segments, this.schema, plan)
        await loadPostings(segments, compiled)
      },
      (segments) => searchSegments(this.#engine, segments, this.schema, compiled as CompiledSearch),
    )
    const { hits, total } = found.result
    const page = hits
      .slice(plan.offset, plan.offset + plan.limit)
      .filter(({ score }) => plan.minScore === undefined || score >= plan.minScore)
    const results = await inTurn(page, async ({ segment, docOrd, score }): Promise<SearchResult<Fields>> => {
      const { id, fieldsJson } = await (found.segments[segment] as Segment).stored(docOrd)
      budget?.take(sizeInAnswer(id, fieldsJson))
      return { id, score, fields: this.#shown(fieldsJson) }
    })
    return { results, total }
  }

  /** The documents that results lead to, in the graph as it is now: a little later than the search. */
  async #expand(
    plan: SearchPlan,
    expansion: Expansion,
    results: readonly SearchResult<Fields>[],
    budget: ByteBudget | undefined,
  ): Promise<Pick<SearchResponse<Fields>, "expanded" | "expanded_truncated">> {
    const starts = results.map(({ id }) => id)
    const { visits, truncated } = await this.#readGraph((graph) => reachable(graph, starts, expansion))
    let filter: QueryProgram | undefined
    await using found = await this.#read(
      async (segments) => {
        await prepareIds(
          segments,
          visits.map(({ id }) => id),
        )
        if (!plan.filter) return
        await loadForSearch(segments, plan)
        const compiled = compileSearch(segments, this.schema, plan)
        filter = compiled.filter
        await loadPostings(segments, compiled)
      },
      (segments) => {
        const accepts = segments.map((segment) => (filter ? segment.text.filter(filter) : undefined))
        const documents: (GraphVisit & { segment: Segment; docOrd: number })[] = []
        for (const visit of visits) {
          if (documents.length > expansion.limit) break
          for (const [place, segment] of segments.entries()) {
            const docOrd = segment.find(visit.id)
            if (docOrd === undefined) continue
            if (accepts[place]?.has(docOrd) ?? true) documents.push({ ...visit, segment, docOrd })
            break // an id is live in one segment at most
          }
        }
        for (const accept of accepts) accept?.close()
        return documents
      },
    )
    const expanded = await inTurn(
      found.result.slice(0, expansion.limit),
      async ({ id, depth, start, segment, docOrd }) => {
        const { fieldsJson } = await segment.stored(docOrd)
        budget?.take(sizeInAnswer(id, fieldsJson))
        return { id, depth, via: starts[start] as string, fields: this.#shown(fieldsJson) }
      },
    )
    return { expanded, ...((truncated || found.result.length > expansion.limit) && { expanded_truncated: true }) }
  }

  /** Every document in the order in which it was last written, as of the first one asked for; writes go on
   *  meanwhile. */
  async *documents(): AsyncIterable<Document<Fields>> {
    await using view = pinView(this.#source.segments)
    for (const { segment, live } of view.segments) {
      for await (const { docOrd, id, fieldsJson } of segment.scan(live)) {
        const vector = await segment.storedVector(docOrd)
        yield { id, fields: parseFields(fieldsJson) as Fields, ...(vector ? { vector } : {}) }
      }
    }
  }

  /** Every document as a line of a portable archive, without line end. */
  async *lines(options: LongWork = {}): AsyncGenerator<Uint8Array> {
    await using view = pinView(this.#source.segments)
    yield* documentLines(view, "writing", options)
  }

  /** Every node and edge that no document brings as a line of a portable archive, without line end. */
  async *graphLines(): AsyncGenerator<Uint8Array> {
    if (!this.schema.graph) return
    await using view = await this.#source.pin()
    using lines = await GraphLines.open(view)
    yield* lines.nodes()
    yield* lines.edges()
  }

  /** Writes an archive of every document that was acknowledged before the call. Closes `sink` when it is whole and aborts
   *  it on an error. */
  async export(sink: WritableStream<Uint8Array>, options: ExportOptions = {}): Promise<ExportReport> {
    checkOptions("export", options, ["format", "encryption", "onSize", ...LONG_WORK_OPTIONS])
    checkExport(sink, options)
    return await writeArchive(this.#archive(options), sink, options.signal)
  }

  /** Writes every document as a line of JSON, and nothing else. Closes `sink` at the end and aborts it on an error. Resolves
   *  to how many they are. */
  async exportDocuments(sink: WritableStream<Uint8Array>, options: LongWork = {}): Promise<number> {
    checkOptions("exportDocuments", options, LONG_WORK_OPTIONS)
    await using view = pinView(this.#source.segments)
    return await writeArchive(documentChunks(view, options), sink, options.signal)
  }

  async *#archive(options: ExportOptions): AsyncGenerator<Uint8Array, ExportReport> {
    const { format = options.encryption ? "snapshot" : "portable" } = options
    if (format === "snapshot") {
      await this.#sealForSnapshot()
      await using view = await this.#source.pin()
      return yield* snapshotChunks(this.name, this.schema, view, options, this.#context)
    }
    const { createSha256 } = this.#context.codecs
    if (!this.schema.graph) {
      await using view = pinView(this.#source.segments)
      return yield* portableChunks(this.name, this.schema, view, undefined, options, createSha256)
    }
    await using view = await this.#source.pin()
    using lines = await GraphLines.open(view)
    return yield* portableChunks(this.name, this.schema, view, lines, options, createSha256)
  }

  /** A snapshot seals in memory what is not sealed yet: a collection that can be written does it once and for all. */
  async #sealForSnapshot(): Promise<void> {
    const source = this.#source
    if (!(source instanceof CollectionWriter) || source.state !== "ready") return
    try {
      await source.checkpoint()
    } catch (error) {
      if (!isDiskFull(error)) throw error
    }
  }

  /** Drops every document that is not selected, and every node and edge that none brings, for a collection that is not visible yet. Resolves to those of `ids` that
   *  no document has. */
  async keepOnly({ where, ids = [] }: { where?: string; ids?: readonly string[] }): Promise<string[]> {
    await this.checkpoint()
    this.#writer.keepDocumentsAlone()
    if (where === undefined) return await this.#keepIds(ids)
    const plan = planSearch(this.name, this.schema, { filter: where }, this.#analyze)
    let filter: QueryProgram | undefined
    await using _ = await this.#read(
      async (segments) => {
        await loadForSearch(segments, plan)
        const compiled = compileSearch(segments, this.schema, plan)
        filter = compiled.filter
        await loadPostings(segments, compiled)
      },
      (segments) => {
        for (const segment of segments) {
          using matching = segment.text.filter(filter as QueryProgram)
          segment.keepOnly(matching)
        }
      },
    )
    return []
  }

  async #keepIds(ids: readonly string[]): Promise<string[]> {
    await using found = await this.#read(
      (segments) => prepareIds(segments, ids),
      (segments) => {
        const missing = new Set(ids)
        for (const segment of segments) {
          using wanted = DocSet.create(this.#engine, segment.documentCount)
          for (const id of missing) {
            const docOrd = segment.find(id)
            if (docOrd === undefined) continue
            wanted.add(docOrd)
            missing.delete(id)
          }
          segment.keepOnly(wanted)
        }
        return [...missing]
      },
    )
    return found.result
  }

  async stats(): Promise<CollectionStats> {
    const source = this.#source
    const { segments, manifest } = source
    const documents = segments.reduce((sum, segment) => sum + segment.documentCount, 0)
    const live = segments.reduce((sum, segment) => sum + segment.liveCount, 0)
    const sealed = segments.filter((segment) => segment instanceof SealedSegment)
    const problem = source instanceof CollectionWriter ? source.problem : undefined
    return {
      name: this.name,
      document_count: live,
      deleted_count: documents - live,
      size_bytes: sizeOf(manifest, source.logs),
      log_bytes: sizeOfLogs(source.logs),
      segments: sealed.map(({ entry, liveCount }) => ({
        id: entry.id,
        level: entry.level,
        documents: entry.documentCount,
        deleted: entry.documentCount - liveCount,
        vectors: entry.vectorCount,
        bytes: sizeOfFiles([entry]),
      })),
      segment_count: sealed.length,
      pending_segments: segments.length - sealed.length - 1,
      generation: manifest.generation,
      state: source instanceof CollectionWriter ? source.state : "read-only",
      ...(problem === undefined ? {} : { problem: asProblem(problem, this.name) }),
      memory_bytes: this.#engine.memoryInUse,
      resident_bytes: sealed.reduce(
        (sum, { text, vector }) => sum + text.residentBytes + (vector?.residentBytes ?? 0),
        0,
      ),
      cache: this.#context.cache.stats,
      backends: backendsOf(this.schema),
    }
  }

  /** Merges the segments into as few as can be built, and drops what was deleted. Searches and writes go on meanwhile. */
  async optimize(options: OptimizeOptions = {}): Promise<OptimizeReport> {
    checkOptions("optimize", options, LONG_WORK_OPTIONS)
    const before = await this.stats()
    await this.#writer.optimize(options)
    const after = await this.stats()
    return {
      segments_before: before.segment_count + before.pending_segments,
      segments_after: after.segment_count,
      documents: after.document_count,
      bytes_before: before.size_bytes,
      bytes_after: after.size_bytes,
    }
  }

  /** Waits for the merges that are due: they go on by themselves while the collection is open, and closing gives up the
   *  one that is running. For programs that write and end. */
  async settle(options: OptimizeOptions = {}): Promise<void> {
    checkOptions("settle", options, LONG_WORK_OPTIONS)
    await this.#writer.settle(options)
  }

  /** Finds the nearest neighbours of stored vectors by the graph and by comparing with every vector, and tells how many
   *  of these the graph found. INVALID_REQUEST where the collection has no vectors. */
  async recall(options: RecallOptions = {}): Promise<RecallReport> {
    checkOptions("recall", options, ["samples", "k", "ef", "seed", "signal"])
    const { vector } = this.schema
    if (!vector) {
      throw new PrismError("INVALID_REQUEST", `collection "${this.name}" has no vectors`, { place: this.name })
    }
    await using found = await this.#read(
      (segments) => allOf(segments.map((segment) => segment.loadVectors())),
      () => undefined,
    )
    return await sampleRecall(found.segments, { ef: vector.hnswEfSearch, ...options })
  }

  /** Reads every file of the current generation, compares it with the manifest, and checks what is in it; then the logs.
   *  CHECKSUM_MISMATCH, CORRUPT or TRUNCATED names the file. */
  async verify(options: LongWork = {}): Promise<{ files: number; bytes: number; documents: number }> {
    checkOptions("verify", options, LONG_WORK_OPTIONS)
    const { storage, directory, background } = this.#context
    const { manifest, segments, logs } = this.#source
    const documents = segments.reduce((sum, { liveCount }) => sum + liveCount, 0)
    const total = manifest.segments.reduce((sum, { documentCount }) => sum + documentCount, 0)
    const release = this.#source.holdFiles()
    try {
      let { files, bytes } = await background.verify(
        { directory, schema: manifest.schema, entries: manifest.segments },
        {
          ...(options.signal ? { signal: options.signal } : {}),
          onProgress: (done) => options.onProgress?.({ stage: "verifying", unit: "documents", done, total }),
        },
      )
      for (const log of logs) {
        // What was acknowledged is known here, unlike after a crash: its last frame is no torn one.
        const known = { walNumber: log.number, length: log.length }
        for await (const _ of replayWal(storage, joinPath(directory, log.path), known)) options.signal?.throwIfAborted()
        files++
        bytes += log.length
      }
      return { files, bytes, documents }
    } catch (error) {
      throw (await this.#isOutdated(error)) ? outdated(this.name) : error
    } finally {
      await release()
    }
  }

  /** Whether files that were looked for by name may have gone with good reason: nothing could be pinned. */
  async #isOutdated(failure: unknown): Promise<boolean> {
    const source = this.#source
    if (!(failure instanceof PrismError && failure.code === "CORRUPT")) return false
    if (!(source instanceof CollectionReader) || source.isPinned) return false
    try {
      const { generation, collectionId } = await readManifest(this.#context.storage, this.#context.directory)
      return generation !== source.manifest.generation || collectionId !== source.manifest.collectionId
    } catch {
      return true
    }
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

  /** Leaves no segment that deletes nodes or edges of older ones: where they come behind others', it would delete theirs.
   *  LIMIT_EXCEEDED where that takes more memory than there is. */
  async forgetDeletions(options: OptimizeOptions): Promise<void> {
    await this.checkpoint()
    const hasDeletions = () => this.#source.manifest.segments.some(({ graph }) => (graph?.deletions ?? 0) > 0)
    if (hasDeletions()) await this.#writer.optimize(options)
    if (!hasDeletions()) return
    throw new PrismError("LIMIT_EXCEEDED", "the graph is too large to be merged into another one", {
      hint: "export the collection as portable where it lives, and merge that",
    })
  }

  /** Seals what is in memory and closes; for a staged collection about to be moved. Resolves to its segments. */
  async sealAndClose(): Promise<readonly SegmentEntry[]> {
    try {
      await this.checkpoint()
      return (await readManifest(this.#context.storage, this.#context.directory)).segments
    } finally {
      await this.close({ fold: false })
    }
  }

  /** What to say where there are more documents than the schema allows, as a restore may leave it. */
  async quotaWarning(): Promise<string | undefined> {
    const { maxDocuments } = this.schema.quota
    const { document_count } = await this.stats()
    if (maxDocuments === undefined || document_count <= maxDocuments) return undefined
    return `${document_count} documents are more than the schema's quota of ${maxDocuments}: no other is taken`
  }

  /** Takes over the segments of a staged, closed collection; see CollectionWriter.adopt. */
  async adopt(directory: string, segments: readonly SegmentEntry[]): Promise<number> {
    return await this.#gate.pass(() => this.#writer.adopt(directory, segments))
  }

  /** Refuses every write from now on with what `refuse` gives; resolves when those that were begun have ended. Reads, and
   *  what goes on in the background, are not hindered. */
  async freeze(refuse: () => PrismError): Promise<void> {
    await this.#gate.shut(refuse)
  }

  /** Takes writes again. */
  thaw(): void {
    this.#gate.open()
  }

  get isClosed(): boolean {
    return this.#source.isClosed
  }

  /** Waits for the writes that were begun. A long log is folded, so that the next open is quick; `fold: false` leaves it. */
  async close(options: { fold?: boolean } = {}): Promise<void> {
    try {
      await this.#source.close(options)
    } finally {
      this.#onClosed?.()
    }
  }

  /** Calls back when it is closed, whatever the end: who keeps a list of open collections forgets it then, since the
   *  engine's memory goes back with the last reference to the collection. */
  onClosed(callback: () => void): void {
    this.#onClosed = callback
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Cuts query text as the field's own analyzer cuts documents. */
  readonly #analyze = (field: string, text: string) => {
    return analyze(this.#engine, analyzerOf(this.schema, field), text)
  }

  /** READ_ONLY where the Prism was opened so. */
  get #writer(): CollectionWriter {
    if (this.#source instanceof CollectionWriter) return this.#source
    throw new PrismError("READ_ONLY", `collection "${this.name}" was opened for reading alone`, {
      hint: "open the data folder without readOnly",
    })
  }

  /** Loads what `use` needs from the segments of now, then calls it; they are held until the caller disposes of the
   *  answer. Where the list of segments changed while something was loaded, it begins anew: between its last look at
   *  the list and the end of `use` nothing else runs, so that `use` sees one moment. */
  async #read<T>(
    load: (segments: readonly Segment[]) => Promise<unknown> | undefined,
    use: (segments: readonly Segment[]) => T,
  ): Promise<Reading<T>> {
    for (;;) {
      const segments = this.#source.segments.map((segment) => segment.retain())
      const release = async () => await releaseAll(segments)
      try {
        await load(segments)
        if (isSameList(segments, this.#source.segments)) {
          return { segments, result: use(segments), [Symbol.asyncDispose]: release }
        }
      } catch (error) {
        await release()
        throw isTrap(error) ? trapped(this.name, error) : error
      }
      await release()
    }
  }

  /** Calls `use` with the graph, which is loaded first where it is not yet: it sees one moment. */
  async #readGraph<T>(use: (graph: Graph) => T): Promise<T> {
    for (;;) {
      await this.#source.loadGraph()
      const { graph } = this.#source
      if (!graph) continue // a restore was merged in at this very moment
      try {
        return use(graph)
      } catch (error) {
        throw isTrap(error) ? trapped(this.name, error) : error
      }
    }
  }

  /** The fields that a search shows: all but those that the schema declares as not stored. */
  #shown(fieldsJson: string): Fields {
    const fields = parseFields(fieldsJson) as Record<string, unknown>
    for (const name of this.#hiddenFields) delete fields[name]
    return fields as Fields
  }
}

/** What a document has in an answer besides its id and its fields. */
const RESULT_BYTES = 64
/** Of a number of a vector in an answer. */
const NUMBER_BYTES = 20
/** Documents that are read at once: each may have megabytes. */
const READS_AT_ONCE = 16

interface Bounded {
  /** What the answer may take; LIMIT_EXCEEDED where it is more. */
  readonly budget?: ByteBudget
}

function sizeInAnswer(id: string, fieldsJson: string): number {
  return id.length + fieldsJson.length + RESULT_BYTES
}

/** What `make` makes of each, in their order, a few at a time. */
async function inTurn<T, R>(values: readonly T[], make: (value: T) => Promise<R>): Promise<R[]> {
  const made: R[] = []
  for (let at = 0; at < values.length; at += READS_AT_ONCE) {
    made.push(...(await Promise.all(values.slice(at, at + READS_AT_ONCE).map(make))))
  }
  return made
}

/** A schema as it was given, and an engine of its own with what its segments look like. */
function shapeOf(source: string): { schema: Schema; shape: SegmentShape } {
  const schema = parseSchema(source, { from: "archive" })
  const shape = {
    engine: new Engine(),
    fields: indexFields(schema),
    vector: schema.vector && vectorShape(schema.vector),
    hasGraph: schema.graph !== undefined,
  }
  return { schema, shape }
}

export function vectorShape(backend: VectorBackend): VectorShape {
  return {
    dimension: backend.dimension,
    metric: backend.distance,
    m: backend.hnswM,
    efConstruction: backend.hnswEfConstruction,
  }
}

interface Reading<T> extends AsyncDisposable {
  /** Held, oldest first. */
  readonly segments: readonly Segment[]
  readonly result: T
}

function isSameList(a: readonly Segment[], b: readonly Segment[]): boolean {
  return a.length === b.length && a.every((segment, place) => segment === b[place])
}

function outdated(name: string): PrismError {
  return new PrismError("CLOSED", `collection "${name}" has changed since it was opened, and no pin could be written`, {
    hint: "open it again to verify what is there now",
  })
}

function trapped(name: string, cause: unknown): PrismError {
  return new PrismError("CORRUPT", `an index of collection "${name}" is not what its checksums say`, {
    place: name,
    hint: "verify the collection; it may come from an archive that somebody forged",
    cause,
  })
}

function duplicate(id: string): PrismError {
  return new PrismError("DUPLICATE_ID", `id "${id}" occurs twice in one batch`, {
    place: `document "${id}"`,
    hint: "the first of them was taken; send the second by itself to replace it",
  })
}
