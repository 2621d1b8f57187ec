import { PrismError } from "../base/errors.ts"
import { DocSet } from "../engine/doc-set.ts"
import { TextSegment } from "../engine/text-index.ts"
import { VectorSegment } from "../engine/vector-index.ts"
import { DocumentStoreReader, type StoredDocument } from "../storage/document-store.ts"
import type { FileEntry, SegmentEntry } from "../storage/manifest.ts"
import type { ReadableFile, Storage } from "../storage/storage.ts"
import { Segment, type SegmentShape } from "./segment.ts"

/** An immutable segment from its files; deletions since it was written are in memory until the next checkpoint. */
export class SealedSegment extends Segment {
  readonly text: TextSegment
  readonly vector: VectorSegment | undefined
  readonly live: DocSet
  /** What the manifest says of it; replaced when its deletions are written. */
  entry: SegmentEntry
  /** True while memory knows deletions that no file of the manifest holds (the write-ahead log has them). */
  hasNewDeletions = false
  readonly #documents: DocumentStoreReader
  readonly #files: readonly ReadableFile[]

  constructor(
    entry: SegmentEntry,
    parts: {
      text: TextSegment
      vector: VectorSegment | undefined
      live: DocSet
      documents: DocumentStoreReader
      /** Closed with the segment. */
      files: readonly ReadableFile[]
    },
  ) {
    super()
    this.entry = entry
    this.text = parts.text
    this.vector = parts.vector
    this.live = parts.live
    this.#documents = parts.documents
    this.#files = parts.files
  }

  /** Opens the files of `entry`, whose paths are relative to `directory`. */
  static async open(
    storage: Storage,
    directory: string,
    entry: SegmentEntry,
    shape: SegmentShape,
  ): Promise<SealedSegment> {
    const { engine } = shape
    const opened: { close(): unknown }[] = []
    const keep = <T extends { close(): unknown }>(part: T): T => {
      opened.push(part)
      return part
    }
    try {
      const textFile = keep(await storage.open(`${directory}/${entry.files.text.path}`))
      checkLength(entry.files.text, textFile.size)
      const text = keep(await TextSegment.open(engine, textFile, shape.fields))
      if (text.docCount !== entry.documentCount) {
        throw corrupt(entry.files.text, `holds ${text.docCount} documents, the manifest says ${entry.documentCount}`)
      }
      let vector: VectorSegment | undefined
      if (entry.files.vector && shape.vector) {
        const bytes = await readWhole(storage, directory, entry.files.vector)
        const source = {
          size: bytes.length,
          read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
        }
        vector = keep(await VectorSegment.open(engine, source, { ...shape.vector, docCount: entry.documentCount }))
        await vector.load()
      }
      let live: DocSet
      if (entry.files.tombstones) {
        const bytes = await readWhole(storage, directory, entry.files.tombstones)
        live = keep(DocSet.fromBytes(engine, bytes, entry.documentCount))
      } else {
        live = keep(DocSet.create(engine, entry.documentCount))
        live.fill()
      }
      if (live.count !== entry.documentCount - entry.deletedCount) {
        throw corrupt(
          entry.files.tombstones ?? entry.files.text,
          `the manifest counts ${entry.deletedCount} deleted documents`,
        )
      }
      const file = keep(await storage.open(`${directory}/${entry.files.documents.path}`))
      const documents = await DocumentStoreReader.open(file)
      if (documents.documentCount !== entry.documentCount) {
        throw corrupt(
          entry.files.documents,
          `holds ${documents.documentCount} documents, the manifest says ${entry.documentCount}`,
        )
      }
      return new SealedSegment(entry, { text, vector, live, documents, files: [textFile, file] })
    } catch (error) {
      for (const part of opened.reverse()) await part.close()
      throw error
    }
  }

  override delete(docOrd: number): boolean {
    const deleted = super.delete(docOrd)
    this.hasNewDeletions ||= deleted
    return deleted
  }

  async stored(docOrd: number): Promise<StoredDocument> {
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
    for (const file of this.#files) await file.close()
  }
}

async function readWhole(storage: Storage, directory: string, file: FileEntry): Promise<Uint8Array> {
  const bytes = await storage.read(`${directory}/${file.path}`)
  checkLength(file, bytes.length)
  return bytes
}

function checkLength(file: FileEntry, length: number): void {
  if (length !== file.length) throw corrupt(file, `is ${length} bytes long, the manifest says ${file.length}`)
}

function corrupt(file: FileEntry, what: string): PrismError {
  return new PrismError("CORRUPT", `segment file ${file.path} ${what}`, {
    place: file.path,
    hint: "restore the collection from its last export",
  })
}
