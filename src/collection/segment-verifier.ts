import { tryDecodeUtf8 } from "../base/bytes.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import { DocSet } from "../engine/doc-set.ts"
import { Engine } from "../engine/engine.ts"
import { GraphSegment } from "../engine/graph-segment.ts"
import { TextSegment } from "../engine/text-index.ts"
import { VectorSegment } from "../engine/vector-index.ts"
import type { Sha256 } from "../runtime.ts"
import { DocumentStoreReader } from "../storage/document-store.ts"
import type { FileEntry, SegmentEntry } from "../storage/manifest.ts"
import { joinPath } from "../storage/path.ts"
import type { ReadableFile, Storage } from "../storage/storage.ts"
import { decodeTombstones } from "../storage/tombstones.ts"
import { DocumentChecker, indexFields } from "./document.ts"
import type { DocumentEdge } from "./document-edges.ts"
import { isAsCounted } from "./graph-counts.ts"
import { checkStoredEdge, checkStoredNode } from "./graph-record.ts"
import { ID_ORDINAL } from "./index-fields.ts"
import { parseSchema, type Schema } from "./schema.ts"
import { checkStoredDocument, damagedFile, inFile } from "./segment-files.ts"

/** The segments of one generation. Plain data: it goes to a worker thread as it is. */
export interface VerifyRequest {
  /** The collection's folder in the storage. */
  readonly directory: string
  /** The schema's text, as the manifest has it. */
  readonly schema: string
  /** Their files stay where they are meanwhile: whoever asks has pinned them. */
  readonly entries: readonly SegmentEntry[]
}

export interface VerifiedSegments {
  readonly files: number
  readonly bytes: number
  readonly documents: number
}

const READ_BYTES = 1 << 20

/** Reads everything of these segments: length and SHA-256 of each file, every checksum inside, whether index, graphs and
 *  counts contradict themselves, whether each stored document can be read, stands in the text index under its id and is
 *  live in no other segment. Holds the index of one segment in memory at a time, and the ids of all. CORRUPT, TRUNCATED
 *  or INCOMPATIBLE_VERSION with the file; the signal's reason. `onProgress` hears how many documents were read. */
export async function verifySegments(
  storage: Storage,
  createSha256: () => Sha256,
  request: VerifyRequest,
  options: { signal?: AbortSignal | undefined; onProgress?: ((documents: number) => void) | undefined } = {},
): Promise<VerifiedSegments> {
  await using verifier = new Verifier(storage, createSha256, request, options)
  for (const entry of request.entries) await verifier.verify(entry)
  return verifier.found
}

/** A segment that was verified: its index, of which only what look-ups need is in memory, and what of it is live. */
interface Earlier {
  readonly path: string
  readonly file: ReadableFile
  readonly text: TextSegment
  readonly live: DocSet
}

class Verifier implements AsyncDisposable {
  readonly #earlier: Earlier[] = []
  readonly found = { files: 0, bytes: 0, documents: 0 }
  readonly #storage: Storage
  readonly #createSha256: () => Sha256
  readonly #directory: string
  readonly #schema: Schema
  readonly #checker: DocumentChecker
  readonly #engine = new Engine()
  readonly #signal: AbortSignal | undefined
  readonly #onProgress: ((documents: number) => void) | undefined

  constructor(
    storage: Storage,
    createSha256: () => Sha256,
    { directory, schema }: VerifyRequest,
    options: { signal?: AbortSignal | undefined; onProgress?: ((documents: number) => void) | undefined },
  ) {
    this.#storage = storage
    this.#createSha256 = createSha256
    this.#directory = directory
    this.#schema = parseSchema(schema, { from: "archive" })
    this.#checker = new DocumentChecker(this.#schema)
    this.#signal = options.signal
    this.#onProgress = options.onProgress
  }

  async verify(entry: SegmentEntry): Promise<void> {
    const { text, documents, vector, tombstones, graph } = entry.files
    if (graph && !this.#schema.graph) throw damagedFile(graph.path, "is a graph, but the schema has none")
    const live = DocSet.create(this.#engine, entry.documentCount)
    try {
      live.fill()
      if (tombstones) await this.#file(tombstones, (file) => this.#tombstones(entry, file, live))
      await this.#file(text, (file) => this.#text(entry, file, live))
      await this.#keep(text, live)
    } catch (error) {
      live.close()
      throw error
    }
    if (graph) await this.#file(graph, (file) => this.#graph(entry, file))
    if (vector) await this.#file(vector, (file) => this.#vectors(entry, file))
    else if (entry.vectorCount > 0)
      throw damagedFile(documents.path, `has no file for its ${entry.vectorCount} vectors`)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const { file, text, live } of this.#earlier) {
      text.close()
      live.close()
      await file.close()
    }
  }

  /** For the look-ups of those that follow. */
  async #keep({ path }: FileEntry, live: DocSet): Promise<void> {
    const file = await this.#storage.open(joinPath(this.#directory, path))
    try {
      const text = await TextSegment.open(this.#engine, file, indexFields(this.#schema))
      this.#earlier.push({ path, file, text, live })
    } catch (error) {
      await file.close()
      throw error
    }
  }

  /** Length and hash of a file, then what is in it. */
  async #file(entry: FileEntry, look: (file: ReadableFile) => Promise<void>): Promise<void> {
    const path = joinPath(this.#directory, entry.path)
    await inFile(path, async () => {
      await using file = await this.#storage.open(path)
      if (file.size !== entry.length) {
        throw damagedFile(path, `is ${file.size} bytes long, the manifest says ${entry.length}`)
      }
      const sha256 = this.#createSha256()
      for (let offset = 0; offset < file.size; offset += READ_BYTES) {
        sha256.update(await file.read(offset, Math.min(READ_BYTES, file.size - offset)))
        await this.#pause()
      }
      // Its own checksums come first: they know the place of what is damaged.
      await look(file)
      if (sha256.digestHex() !== entry.sha256) throw damagedFile(path, "is not the file that the manifest names")
    })
    this.found.files++
    this.found.bytes += entry.length
  }

  /** The text index, then the documents against it. */
  async #text(entry: SegmentEntry, file: ReadableFile, live: DocSet): Promise<void> {
    using text = await TextSegment.open(this.#engine, file, indexFields(this.#schema))
    await text.loadAll()
    text.check()
    if (text.docCount !== entry.documentCount) {
      throw damagedFile(file.path, `holds ${text.docCount} documents, the manifest says ${entry.documentCount}`)
    }
    await this.#file(entry.files.documents, (documents) => this.#documents(entry, documents, text, live))
  }

  async #documents(entry: SegmentEntry, file: ReadableFile, text: TextSegment, live: DocSet): Promise<void> {
    const reader = await DocumentStoreReader.open(file)
    if (reader.documentCount !== entry.documentCount) {
      throw damagedFile(file.path, `holds ${reader.documentCount} documents, the manifest says ${entry.documentCount}`)
    }
    let ids: string[] = []
    for await (const { docOrd, id, fieldsJson } of reader.scan()) {
      checkStoredDocument(this.#checker, id, fieldsJson, file.path)
      if (text.lastDocument(ID_ORDINAL, id) !== docOrd) {
        throw damagedFile(file.path, `holds document ${JSON.stringify(id)}, which the text index does not find there`)
      }
      if (live.has(docOrd)) ids.push(id)
      this.found.documents++
      if (this.found.documents % DOCUMENTS_PER_PAUSE === 0) {
        await this.#checkOnlyHere(ids, file.path)
        ids = []
        this.#onProgress?.(this.found.documents)
        await this.#pause()
      }
    }
    await this.#checkOnlyHere(ids, file.path)
  }

  async #checkOnlyHere(ids: readonly string[], path: string): Promise<void> {
    for (const earlier of this.#earlier) {
      await earlier.text.prepareIds(ids)
      for (const id of ids) {
        const docOrd = earlier.text.lastDocument(ID_ORDINAL, id)
        if (docOrd === undefined || !earlier.live.has(docOrd)) continue
        throw damagedFile(path, `holds document ${JSON.stringify(id)}, which is live in ${earlier.path} too`)
      }
    }
  }

  async #vectors(entry: SegmentEntry, file: ReadableFile): Promise<void> {
    const { vector: backend } = this.#schema
    if (!backend) throw damagedFile(file.path, "holds vectors, but the schema has none")
    using vectors = await VectorSegment.open(this.#engine, file, {
      dimension: backend.dimension,
      metric: backend.distance,
      docCount: entry.documentCount,
    })
    await vectors.load()
    vectors.check()
    if (vectors.count !== entry.vectorCount) {
      throw damagedFile(file.path, `holds ${vectors.count} vectors, the manifest says ${entry.vectorCount}`)
    }
  }

  /** The graph, its nodes and edges, then the edges of each document against it. */
  async #graph(entry: SegmentEntry, file: ReadableFile): Promise<void> {
    using graph = await GraphSegment.open(this.#engine, file, { docCount: entry.documentCount })
    await graph.load()
    graph.check()
    if (!isAsCounted(graph, entry)) throw damagedFile(file.path, "holds other nodes and edges than the manifest says")
    let records = 0
    const pause = async () => {
      if (++records % RECORDS_PER_PAUSE === 0) await this.#pause()
    }
    for (const { id, record } of graph.nodeRecords()) {
      const recordJson = record && tryDecodeUtf8(record)
      if (record && recordJson === undefined) throw damagedFile(file.path, "holds a node that is not UTF-8")
      checkStoredNode(id, recordJson)
      await pause()
    }
    for (const edge of graph.edgeRecords()) {
      checkStoredEdge(edge)
      await pause()
    }
    const path = joinPath(this.#directory, entry.files.documents.path)
    await using documents = await this.#storage.open(path)
    const reader = await DocumentStoreReader.open(documents)
    const found = graph.documentEdges()
    let next = found.next()
    for await (const { docOrd, id, fieldsJson } of reader.scan()) {
      const expected = textOf(id, this.#checker.storedEdges(id, fieldsJson))
      const isHere = !next.done && next.value.docOrd === docOrd
      const written = isHere ? textOf(next.value?.docId ?? "", next.value?.edges ?? []) : textOf(id, [])
      if (isHere) next = found.next()
      if (written !== expected) {
        throw damagedFile(file.path, `holds other edges of document ${JSON.stringify(id)} than its fields make`)
      }
      if (docOrd % DOCUMENTS_PER_PAUSE === 0) await this.#pause()
    }
  }

  async #tombstones(entry: SegmentEntry, file: ReadableFile, live: DocSet): Promise<void> {
    const bytes = decodeTombstones(await file.read(0, file.size), file.path, entry.documentCount)
    using written = DocSet.fromBytes(this.#engine, bytes, entry.documentCount)
    live.and(written)
    const deleted = entry.documentCount - live.count
    if (deleted !== entry.deletedCount) {
      throw damagedFile(file.path, `marks ${deleted} documents deleted, the manifest says ${entry.deletedCount}`)
    }
  }

  async #pause(): Promise<void> {
    await letOthersRun()
    this.#signal?.throwIfAborted()
  }
}

/** The same for the same edges of a document. */
function textOf(id: string, edges: readonly (DocumentEdge & { readonly weight?: number })[]): string {
  const texts = edges.map(({ from, edgeType, to, weight = 1 }) => JSON.stringify([from, edgeType, to, weight]))
  return JSON.stringify([id, texts.sort()])
}

/** Between two looks at the clock; a document takes some 10 to 100 µs. */
const DOCUMENTS_PER_PAUSE = 64
/** A node or an edge takes some µs. */
const RECORDS_PER_PAUSE = 512
