import { PrismError } from "../base/errors.ts"
import { DocSet } from "../engine/doc-set.ts"
import type { Engine } from "../engine/engine.ts"
import type { Graph } from "../engine/graph.ts"
import { GraphSegment } from "../engine/graph-segment.ts"
import { TextSegment } from "../engine/text-index.ts"
import { VectorSegment } from "../engine/vector-index.ts"
import type { BlockCache } from "../storage/block-cache.ts"
import { DocumentStoreReader, type StoredDocument } from "../storage/document-store.ts"
import type { FileEntry, SegmentEntry } from "../storage/manifest.ts"
import { joinPath } from "../storage/path.ts"
import type { ReadableFile, Storage } from "../storage/storage.ts"
import { readTombstones } from "../storage/tombstones.ts"
import { graphRecordCount, isAsCounted } from "./graph-counts.ts"
import { Segment, type SegmentShape } from "./segment.ts"

/** The open files of a segment. Its deletions are in memory. */
export interface SegmentFiles {
  readonly text: ReadableFile
  readonly documents: ReadableFile
  readonly vector?: ReadableFile
  readonly graph?: ReadableFile
}

interface Parts {
  readonly engine: Engine
  readonly text: TextSegment
  readonly vector: VectorSegment | undefined
  readonly live: DocSet
  readonly documents: DocumentStoreReader
  readonly files: SegmentFiles
  readonly cache: BlockCache
}

/** An immutable segment, read from its files as it is needed; deletions since it was written are in memory until they
 *  are written beside it. */
export class SealedSegment extends Segment {
  readonly text: TextSegment
  readonly vector: VectorSegment | undefined
  readonly live: DocSet
  /** What the manifest says of it; replaced when its deletions are written. */
  entry: SegmentEntry
  /** True while memory knows deletions that no file of the manifest holds (the write-ahead log has them). */
  hasNewDeletions = false
  readonly #documents: DocumentStoreReader
  /** Immutable, and readable as long as the segment is held, whatever becomes of their names. */
  readonly files: SegmentFiles
  readonly #cache: BlockCache
  readonly #engine: Engine

  private constructor(entry: SegmentEntry, parts: Parts) {
    super()
    this.#engine = parts.engine
    this.entry = entry
    this.text = parts.text
    this.vector = parts.vector
    this.live = parts.live
    this.#documents = parts.documents
    this.files = parts.files
    this.#cache = parts.cache
  }

  /** Opens the files of `entry`, whose paths are relative to `directory`, and reads their headers. All stay open, so
   *  that the segment can be read to its end whatever becomes of their names. */
  static async open(
    storage: Storage,
    directory: string,
    entry: SegmentEntry,
    shape: SegmentShape,
    cache: BlockCache,
  ): Promise<SealedSegment> {
    const { engine } = shape
    const opened: { close(): unknown }[] = []
    const keep = <T extends { close(): unknown }>(part: T): T => {
      opened.push(part)
      return part
    }
    const open = async (file: FileEntry): Promise<ReadableFile> => {
      const found = keep(await storage.open(joinPath(directory, file.path)))
      if (found.size !== file.length) {
        throw corrupt(file, `is ${found.size} bytes long, the manifest says ${file.length}`)
      }
      return found
    }
    try {
      const textFile = await open(entry.files.text)
      const text = keep(await TextSegment.open(engine, textFile, shape.fields, cache))
      if (text.docCount !== entry.documentCount) {
        throw corrupt(entry.files.text, `holds ${text.docCount} documents, the manifest says ${entry.documentCount}`)
      }
      let vector: VectorSegment | undefined
      let vectorFile: ReadableFile | undefined
      if (entry.files.vector) {
        if (!shape.vector) throw corrupt(entry.files.vector, "holds vectors, but the schema has none")
        const expected = { ...shape.vector, docCount: entry.documentCount }
        vectorFile = await open(entry.files.vector)
        vector = keep(await VectorSegment.open(engine, vectorFile, expected, cache))
        if (vector.count !== entry.vectorCount) {
          throw corrupt(entry.files.vector, `holds ${vector.count} vectors, the manifest says ${entry.vectorCount}`)
        }
      } else if (entry.vectorCount > 0) {
        throw corrupt(entry.files.documents, `has no file for its ${entry.vectorCount} vectors`)
      }
      const documentsFile = await open(entry.files.documents)
      const documents = await DocumentStoreReader.open(documentsFile, cache)
      if (documents.documentCount !== entry.documentCount) {
        throw corrupt(
          entry.files.documents,
          `holds ${documents.documentCount} documents, the manifest says ${entry.documentCount}`,
        )
      }
      const graphFile = entry.files.graph && (await open(entry.files.graph))
      if (graphFile && !shape.hasGraph) throw corrupt(entry.files.text, "has a graph, but the schema has none")
      if (graphFile) (await openGraph(engine, graphFile, entry)).close()
      const live = keep(await readLive(storage, directory, entry, shape))
      const files = {
        text: textFile,
        documents: documentsFile,
        ...(vectorFile && { vector: vectorFile }),
        ...(graphFile && { graph: graphFile }),
      }
      return new SealedSegment(entry, { engine, text, vector, live, documents, files, cache })
    } catch (error) {
      for (const part of opened.reverse()) await part.close()
      throw error
    }
  }

  get paths(): readonly string[] {
    return Object.values(this.entry.files).map(({ path }) => path)
  }

  /** Whether nothing of it is there any more: no document, and no node or edge that was put or deleted here. */
  get isEmpty(): boolean {
    return this.liveCount === 0 && graphRecordCount(this.entry) === 0
  }

  /** Brings its nodes and edges into the collection's graph, where those of all older segments are. */
  async addToGraph(graph: Graph): Promise<void> {
    if (!this.files.graph) return
    using segment = await openGraph(this.#engine, this.files.graph, this.entry)
    await segment.load()
    segment.addTo(graph, this.live)
  }

  override delete(docOrd: number): boolean {
    const deleted = super.delete(docOrd)
    this.hasNewDeletions ||= deleted
    return deleted
  }

  override keepOnly(set: DocSet): void {
    super.keepOnly(set)
    this.hasNewDeletions = true
  }

  loadVectors(): Promise<void> | undefined {
    return this.vector?.load()
  }

  async storedVector(docOrd: number): Promise<Float32Array | undefined> {
    const { vector } = this
    return vector?.isLoaded ? vector.vector(docOrd) : await vector?.readVector(docOrd)
  }

  async storedVectorJson(docOrd: number): Promise<Uint8Array | undefined> {
    const { vector } = this
    return vector?.isLoaded ? vector.vectorJson(docOrd) : await vector?.readVectorJson(docOrd)
  }

  copyOfLive(): DocSet {
    return this.live.copy()
  }

  async stored(docOrd: number): Promise<StoredDocument> {
    const { documentCount, files } = this.entry
    // An index of somebody who makes checksums fit may find anything.
    if (docOrd >= documentCount) throw corrupt(files.text, `finds document ${docOrd} of ${documentCount}`)
    return await this.#documents.get(docOrd)
  }

  async *scan(accept: DocSet): AsyncIterable<StoredDocument & { docOrd: number }> {
    for await (const document of this.#documents.scan()) {
      if (accept.has(document.docOrd)) yield document
    }
  }

  protected async close(): Promise<void> {
    this.text.close()
    this.vector?.close()
    this.live.close()
    for (const file of Object.values(this.files) as ReadableFile[]) {
      this.#cache.forget(file)
      await file.close()
    }
  }
}

/** Opens the graph file of a segment. CORRUPT where it is not what the manifest says. */
async function openGraph(engine: Engine, file: ReadableFile, entry: SegmentEntry): Promise<GraphSegment> {
  const named = entry.files.graph as FileEntry
  const segment = await GraphSegment.open(engine, file, { docCount: entry.documentCount })
  if (isAsCounted(segment, entry)) return segment
  segment.close()
  throw corrupt(named, "holds other nodes and edges than the manifest says")
}

async function readLive(
  storage: Storage,
  directory: string,
  entry: SegmentEntry,
  { engine }: SegmentShape,
): Promise<DocSet> {
  const { tombstones, text } = entry.files
  let live: DocSet
  if (tombstones) {
    const path = joinPath(directory, tombstones.path)
    const bytes = await readTombstones(storage, path, entry.documentCount)
    live = DocSet.fromBytes(engine, bytes, entry.documentCount)
  } else {
    live = DocSet.create(engine, entry.documentCount)
    live.fill()
  }
  if (live.count === entry.documentCount - entry.deletedCount) return live
  live.close()
  throw corrupt(tombstones ?? text, `has other deletions than the ${entry.deletedCount} that the manifest counts`)
}

function corrupt(file: FileEntry, what: string): PrismError {
  return new PrismError("CORRUPT", `segment file ${file.path} ${what}`, {
    place: file.path,
    hint: "restore the collection from its last export",
  })
}
