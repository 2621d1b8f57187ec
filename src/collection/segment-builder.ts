import { decodeUtf8Fatal } from "../base/bytes.ts"
import { assert } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import { DocSet } from "../engine/doc-set.ts"
import { Engine } from "../engine/engine.ts"
import { GraphSegment, GraphSegmentWriter } from "../engine/graph-segment.ts"
import { TextWriter } from "../engine/text-index.ts"
import { EXTEND_DEAD_SHARE_MAX, VectorSegment, VectorWriter } from "../engine/vector-index.ts"
import type { Sha256 } from "../runtime.ts"
import { DocumentStoreReader, DocumentStoreWriter } from "../storage/document-store.ts"
import type { FileEntry, GraphCounts, LogEntry, SegmentEntry } from "../storage/manifest.ts"
import { joinPath, parentPath } from "../storage/path.ts"
import type { Storage, WritableFile } from "../storage/storage.ts"
import { readVectorsV1 } from "../storage/vectors-v1.ts"
import { replayWal } from "../storage/wal.ts"
import { DocumentChecker, indexFields } from "./document.ts"
import { countsOf } from "./graph-counts.ts"
import { weighed, writeGraphOperation } from "./graph-operations.ts"
import { parseSchema, type Schema, type VectorBackend } from "./schema.ts"
import { checkStoredDocument, damagedFile, inFile, removeSegmentFiles, segmentPaths } from "./segment-files.ts"

/** One new segment out of logs and segments. Plain data: it goes to a worker thread as it is. */
export interface BuildTask {
  /** The collection's folder in the storage. */
  readonly directory: string
  /** The schema's text, as the manifest has it. */
  readonly schema: string
  /** Of the new segment. */
  readonly id: number
  /** What its files' names begin with; there are none such. */
  readonly stem: string
  readonly level: number
  /** Whether no older segment holds anything that nodes and edges which are deleted in the sources could hide. */
  readonly isOldest?: boolean
  /** Whether nodes and edges that no document brings are left out. */
  readonly isOfDocumentsAlone?: boolean
  /** Oldest first. They do not change while they are read. */
  readonly sources: readonly BuildSource[]
}

/** `live`: a bit a document, as of `DocSet.toBytes`. Of a log, the documents are its puts in their order. */
export type BuildSource =
  | {
      readonly kind: "log"
      readonly log: Required<LogEntry>
      readonly documentCount: number
      readonly live: Uint8Array
    }
  | {
      readonly kind: "segment"
      readonly entry: SegmentEntry
      readonly live: Uint8Array
      /** Given: of its vector file, of which nothing but the vectors is taken then. */
      readonly vectorFormat?: 1
    }

export interface BuildOptions {
  readonly signal?: AbortSignal | undefined
  /** Called with the number of documents that are wholly in the new segment. */
  readonly onProgress?: ((documents: number) => void) | undefined
}

/** Copied at once from the engine to a file. */
const WRITE_BYTES = 1 << 20

/** Vectors between two looks at the clock: adding one to a graph takes some 0.1 to 1 ms. */
const VECTORS_PER_PAUSE = 8

/** Builds a segment of the sources' live documents in their order: ordinals are ranks among them. Of nodes and edges it
 *  has the last that any source says. Its files and their names are durable when this resolves; undefined, and no file,
 *  where nothing is left. Only what the new index takes is in memory, text and graph first and then vectors: documents stream
 *  from file to file. The same sources give the same bytes.
 *
 *  `target`: where it is written, in the same folder of that storage, which must be there.
 *
 *  Whatever goes wrong, the files are removed again. CORRUPT with the file where a source is damaged; DISK_FULL;
 *  LIMIT_EXCEEDED where the index has no room in memory; the signal's reason. */
export async function buildSegment(
  storage: Storage,
  createSha256: () => Sha256,
  task: BuildTask,
  options: BuildOptions = {},
  target: Storage = storage,
): Promise<SegmentEntry | undefined> {
  options.signal?.throwIfAborted()
  if (task.sources.length === 0) return undefined
  const sources = task.sources.map((source) => new Source(storage, task.directory, source))
  try {
    return await new SegmentBuild(target, createSha256, task, options, sources).run()
  } catch (error) {
    await removeSegmentFiles(target, task.directory, task.stem)
    throw error
  }
}

class SegmentBuild {
  readonly #storage: Storage
  readonly #createSha256: () => Sha256
  readonly #task: BuildTask
  readonly #options: BuildOptions
  readonly #sources: readonly Source[]
  readonly #schema: Schema
  readonly #engine = new Engine()

  constructor(
    storage: Storage,
    createSha256: () => Sha256,
    task: BuildTask,
    options: BuildOptions,
    sources: readonly Source[],
  ) {
    this.#storage = storage
    this.#createSha256 = createSha256
    this.#task = task
    this.#options = options
    this.#sources = sources
    this.#schema = parseSchema(task.schema, { from: "archive" })
  }

  async run(): Promise<SegmentEntry | undefined> {
    const { id, level } = this.#task
    const documentCount = this.#sources.reduce((sum, { live }) => sum + live.count, 0)
    const graph = this.#schema.graph && (await this.#collectGraph())
    if (documentCount === 0 && (graph?.isEmpty ?? true)) return undefined
    const { text, documents, vectorCountMax } = await this.#buildText(graph)
    const graphFile = graph && (await this.#writeGraph(graph))
    const vector =
      this.#schema.vector && vectorCountMax > 0
        ? await this.#buildVectors(this.#schema.vector, vectorCountMax)
        : undefined
    const files = {
      text,
      documents,
      ...(vector ? { vector: vector.file } : {}),
      ...(graphFile ? { graph: graphFile.file } : {}),
    }
    for (const folder of new Set(Object.values(files).map(({ path }) => parentPath(path)))) {
      await this.#storage.syncDirectory(joinPath(this.#task.directory, folder))
    }
    const counts = { id, documentCount, deletedCount: 0, vectorCount: vector?.count ?? 0, level }
    return { ...counts, files, ...(graphFile ? { graph: graphFile.counts } : {}) }
  }

  /** The nodes and edges of the sources that no document brings. */
  async #collectGraph(): Promise<GraphSegmentWriter> {
    const writer = GraphSegmentWriter.create(this.#engine)
    if (this.#task.isOfDocumentsAlone) return writer
    for (const source of this.#sources) {
      await source.addRecords(this.#engine, writer)
      await this.#pause()
    }
    if (this.#task.isOldest) writer.dropTombstones()
    return writer
  }

  /** There is a file also where it says nothing: a segment without one was built before there were graphs. */
  async #writeGraph(writer: GraphSegmentWriter): Promise<{ file: FileEntry; counts: GraphCounts }> {
    using sealed = writer.seal()
    writer.close()
    const file = await this.#write(segmentPaths(this.#task.stem).graph, sealed)
    return { file, counts: countsOf(sealed) }
  }

  /** Documents and text index. Counts how many vectors there may be on the way. */
  async #buildText(
    graph: GraphSegmentWriter | undefined,
  ): Promise<{ text: FileEntry; documents: FileEntry; vectorCountMax: number }> {
    const paths = segmentPaths(this.#task.stem)
    const writer = new TextWriter(this.#engine, indexFields(this.#schema))
    const checker = new DocumentChecker(this.#schema)
    let vectorCountMax = 0
    await using file = await this.#create(paths.documents)
    const store = new DocumentStoreWriter(file, this.#createSha256())
    for (const source of this.#sources) {
      for await (const documents of source.documents()) {
        for (const document of documents) {
          const { id, fieldsJson } = decode(document, source.path)
          const checked = checkStoredDocument(checker, id, fieldsJson, source.path)
          const docOrd = writer.add(checked.values)
          if (graph && checked.edgeCount > 0) {
            graph.addDocumentEdges(docOrd, id, checker.storedEdges(id, fieldsJson).map(weighed))
          }
          const written = store.add(document)
          // A block at a time: some tens of documents, or one large one.
          if (written) {
            await written
            if (!this.#schema.vector) this.#options.onProgress?.(store.documentCount)
            await this.#pause()
          }
        }
      }
      vectorCountMax += source.vectorCountMax
    }
    const { length, sha256 } = await store.finish()
    const sealed = writer.seal()
    writer.close()
    const text = await this.#write(paths.text, sealed)
    sealed.close()
    return { text, documents: { path: paths.documents, length, sha256 }, vectorCountMax }
  }

  async #buildVectors(
    backend: VectorBackend,
    expected: number,
  ): Promise<{ file: FileEntry; count: number } | undefined> {
    const shape = { dimension: backend.dimension, metric: backend.distance }
    const [first, ...others] = this.#sources as readonly [Source, ...Source[]]
    const extended = await this.#extended(first, shape, expected)
    const writer =
      extended ??
      new VectorWriter(this.#engine, {
        ...shape,
        m: backend.hnswM,
        efConstruction: backend.hnswEfConstruction,
        graph: true,
        expected,
      })
    let base = extended ? first.live.count : 0
    let added = 0
    for (const source of extended ? others : this.#sources) {
      for await (const { rank, vector } of source.vectors(this.#engine, shape)) {
        writer.add(base + rank, vector)
        if (++added % VECTORS_PER_PAUSE === 0) {
          this.#options.onProgress?.(base + rank + 1)
          await this.#pause()
        }
      }
      base += source.live.count
    }
    if (writer.count === 0) return undefined
    const sealed = writer.seal()
    writer.close()
    const file = await this.#write(segmentPaths(this.#task.stem).vector, sealed)
    const { count } = sealed
    sealed.close()
    return { file, count }
  }

  /** A writer that goes on with the graph of the first source, where it has one that is worth it. */
  async #extended(
    first: Source,
    shape: { dimension: number; metric: VectorBackend["distance"] },
    expected: number,
  ): Promise<VectorWriter | undefined> {
    return await first.withGraph(this.#engine, shape, async (segment) => {
      using live = DocSet.fromBytes(this.#engine, first.live.bytes, first.documentCount)
      await segment.load()
      const dead = segment.count - segment.countAccepted(live)
      if (dead > segment.count * EXTEND_DEAD_SHARE_MAX) return undefined
      return await VectorWriter.extend(this.#engine, segment, live, { expected, pause: () => this.#pause() })
    })
  }

  /** A new file of the segment. Something of that name can only be what an earlier build could not remove. */
  async #create(path: string): Promise<WritableFile> {
    const whole = joinPath(this.#task.directory, path)
    await this.#storage.remove(whole)
    return await this.#storage.create(whole)
  }

  /** Writes a sealed index and syncs it. */
  async #write(
    path: string,
    sealed: { readonly byteLength: number; readBytes(offset: number, length: number): Uint8Array },
  ): Promise<FileEntry> {
    await using file = await this.#create(path)
    const sha256 = this.#createSha256()
    for (let offset = 0; offset < sealed.byteLength; offset += WRITE_BYTES) {
      const bytes = sealed.readBytes(offset, Math.min(WRITE_BYTES, sealed.byteLength - offset))
      sha256.update(bytes)
      await file.append(bytes)
      await this.#pause()
    }
    await file.sync()
    return { path, length: file.length, sha256: sha256.digestHex() }
  }

  async #pause(): Promise<void> {
    await letOthersRun()
    this.#options.signal?.throwIfAborted()
  }
}

interface EncodedDocument {
  readonly id: Uint8Array
  readonly fields: Uint8Array
}

/** One source with those of its documents that are live. */
class Source {
  readonly live: LiveSet
  readonly documentCount: number
  /** Path of the file that holds the documents. */
  readonly path: string
  /** No fewer than the live vectors that it has; of a log it is known when `documents` has ended. */
  vectorCountMax = 0
  readonly #storage: Storage
  readonly #directory: string
  readonly #source: BuildSource

  constructor(storage: Storage, directory: string, source: BuildSource) {
    this.#storage = storage
    this.#directory = directory
    this.#source = source
    const { path, documentCount } =
      source.kind === "log"
        ? { path: source.log.path, documentCount: source.documentCount }
        : { path: source.entry.files.documents.path, documentCount: source.entry.documentCount }
    this.path = joinPath(directory, path)
    this.documentCount = documentCount
    this.live = new LiveSet(source.live, documentCount)
  }

  /** The live documents in their order, as many at once as are read at once. */
  async *documents(): AsyncGenerator<EncodedDocument[], void, undefined> {
    const { live } = this
    if (this.#source.kind === "log") {
      this.vectorCountMax = 0
      for await (const { puts } of this.#puts(this.#source.log)) {
        for (const { vector } of puts) if (vector.length > 0) this.vectorCountMax++
        yield puts
      }
      return
    }
    const { entry } = this.#source
    this.vectorCountMax = Math.min(entry.vectorCount, live.count)
    await using file = await inFile(this.path, () => this.#storage.open(this.path))
    const reader = await DocumentStoreReader.open(file)
    this.#checkCount(reader.documentCount)
    for await (const documents of reader.scanEncoded()) yield documents.filter(({ docOrd }) => live.has(docOrd))
  }

  /** Adds the nodes and edges that no document brings, over those that are there. */
  async addRecords(engine: Engine, writer: GraphSegmentWriter): Promise<void> {
    if (this.#source.kind === "log") {
      const { number, length } = this.#source.log
      const replay = replayWal(this.#storage, this.path, { walNumber: number, length })
      for await (const operation of replay.graphOperations()) writeGraphOperation(writer, operation)
      return
    }
    const { files, documentCount } = this.#source.entry
    if (!files.graph) return
    const path = joinPath(this.#directory, files.graph.path)
    await inFile(path, async () => {
      await using file = await this.#storage.open(path)
      using segment = await GraphSegment.open(engine, file, { docCount: documentCount })
      await segment.load()
      // The edges of documents are made of these anew, as the text index is.
      using noDocument = DocSet.create(engine, documentCount)
      writer.addSegment(segment, noDocument, 0)
    })
  }

  /** The live vectors with the ranks of their documents among the live ones. */
  async *vectors(
    engine: Engine,
    shape: { dimension: number; metric: VectorBackend["distance"] },
  ): AsyncGenerator<{ rank: number; vector: Float32Array }, void, undefined> {
    if (this.#source.kind === "log") {
      for await (const { puts, rank } of this.#puts(this.#source.log)) {
        for (const [place, { vector }] of puts.entries()) {
          if (vector.length === 0) continue
          if (vector.length !== shape.dimension * 4) throw damagedFile(this.path, "holds a vector of another dimension")
          // A copy, because a frame does not keep its vectors aligned.
          yield { rank: rank + place, vector: new Float32Array(vector.slice().buffer) }
        }
      }
      return
    }
    const file = this.#source.entry.files.vector
    if (!file) return
    const path = joinPath(this.#directory, file.path)
    await using source = await inFile(path, () => this.#storage.open(path))
    const isOld = this.#source.vectorFormat === 1
    using segment = isOld ? undefined : await inFile(path, () => this.#openGraph(engine, shape, source))
    const ranks = this.live.ranks()
    const all = segment?.scan() ?? readVectorsV1(source, { ...shape, docCount: this.documentCount })
    const vectors = all[Symbol.asyncIterator]()
    for (;;) {
      const next = await inFile(path, () => vectors.next())
      if (next.done) return
      if (this.live.has(next.value.docOrd)) yield { rank: ranks(next.value.docOrd), vector: next.value.vector }
    }
  }

  /** Runs work on the source's vector segment; undefined where it has none. */
  async withGraph<T>(
    engine: Engine,
    shape: { dimension: number; metric: VectorBackend["distance"] },
    work: (segment: VectorSegment) => Promise<T>,
  ): Promise<T | undefined> {
    if (this.#source.kind !== "segment" || this.#source.vectorFormat === 1) return undefined
    const file = this.#source.entry.files.vector
    if (!file) return undefined
    const path = joinPath(this.#directory, file.path)
    return await inFile(path, async () => {
      await using source = await this.#storage.open(path)
      using segment = await this.#openGraph(engine, shape, source)
      return await work(segment)
    })
  }

  async #openGraph(
    engine: Engine,
    shape: { dimension: number; metric: VectorBackend["distance"] },
    file: { readonly path: string; readonly size: number; read(offset: number, length: number): Promise<Uint8Array> },
  ): Promise<VectorSegment> {
    const segment = await VectorSegment.open(engine, file, { ...shape, docCount: this.documentCount })
    assert(this.#source.kind === "segment", "only a segment has a graph")
    const { vectorCount } = this.#source.entry
    if (segment.count === vectorCount) return segment
    segment.close()
    throw damagedFile(file.path, `holds ${segment.count} vectors, the manifest says ${vectorCount}`)
  }

  /** The live puts of a log, with the rank of the first of each batch. */
  async *#puts({ number, length }: Required<LogEntry>) {
    let docOrd = 0
    let rank = 0
    const replay = replayWal(this.#storage, this.path, { walNumber: number, length })
    for await (const all of replay.encodedPuts()) {
      const puts = all.filter((_, place) => this.live.has(docOrd + place))
      docOrd += all.length
      yield { puts, rank }
      rank += puts.length
    }
    this.#checkCount(docOrd)
  }

  #checkCount(found: number): void {
    if (found === this.documentCount) return
    throw damagedFile(this.path, `holds ${found} documents, the manifest says ${this.documentCount}`)
  }
}

/** Bits of live documents, read without the engine. */
class LiveSet {
  readonly bytes: Uint8Array
  readonly count: number

  constructor(bytes: Uint8Array, documentCount: number) {
    assert(bytes.length === (documentCount + 7) >>> 3, `${bytes.length} bytes for ${documentCount} documents`)
    this.bytes = bytes
    let count = 0
    for (const byte of bytes) for (let bits = byte; bits !== 0; bits &= bits - 1) count++
    this.count = count
  }

  /** False for what is past the end. */
  has(docOrd: number): boolean {
    return (((this.bytes[docOrd >>> 3] ?? 0) >>> (docOrd & 7)) & 1) === 1
  }

  /** Tells how many live documents are before one; asked for ascending ones. */
  ranks(): (docOrd: number) => number {
    let next = 0
    let rank = 0
    return (docOrd) => {
      for (; next < docOrd; next++) if (this.has(next)) rank++
      return rank
    }
  }
}

function decode({ id, fields }: EncodedDocument, path: string): { id: string; fieldsJson: string } {
  return { id: decodeUtf8Fatal(id, path), fieldsJson: decodeUtf8Fatal(fields, path) }
}
