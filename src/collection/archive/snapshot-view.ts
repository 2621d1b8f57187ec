import { PrismError } from "../../base/errors.ts"
import { sequential } from "../../base/streams.ts"
import { SeekableZstdFile } from "../../formats/seekable-zstd.ts"
import { type EntryPlace, readEntryTable, readSnapshotHead, type SnapshotReport } from "../../formats/snapshot.ts"
import type { Codecs, RandomAccess } from "../../runtime.ts"
import { BlockCache } from "../../storage/block-cache.ts"
import { Background } from "../background.ts"
import { Collection } from "../collection.ts"
import { type CollectionContext, DEFAULT_TUNING } from "../context.ts"
import { Generations } from "../generations.ts"
import { parseSchema } from "../schema.ts"
import { ArchiveStorage } from "./archive-storage.ts"
import { type ArchiveEntry, type ArchiveView, DOCUMENTS, GRAPH, noEntry, withLineEnds } from "./archive-view.ts"
import type { ArchiveFormat } from "./options.ts"
import { isOlder } from "./segment-formats.ts"
import { segmentEntry } from "./snapshot.ts"

/** A snapshot whose entries are read where they lie. */
export class SnapshotView implements ArchiveView {
  readonly format: ArchiveFormat
  readonly collection: string
  readonly documentCount: number
  readonly exportedAt: string
  readonly prismVersion: string
  readonly entries: readonly ArchiveEntry[]
  readonly graphLineCount: number | undefined
  readonly #tar: RandomAccess
  readonly #table: readonly EntryPlace[]
  readonly #head: SnapshotReport
  readonly #runtime: Codecs
  #opened: Promise<Collection> | undefined

  private constructor(
    format: ArchiveFormat,
    tar: RandomAccess,
    table: readonly EntryPlace[],
    head: SnapshotReport,
    runtime: Codecs,
  ) {
    const { metadata } = head
    this.format = format
    this.#tar = tar
    this.#table = table
    this.#head = head
    this.#runtime = runtime
    this.collection = metadata.collection
    this.documentCount = metadata.documentCount
    this.exportedAt = metadata.exportedAt
    this.prismVersion = metadata.prismVersion
    const hasGraph = metadata.backends.graph
    const counts = metadata.segments.map(({ graph }) => (graph ? graph.nodes + graph.edges : 0))
    this.graphLineCount = hasGraph ? counts.reduce((sum, count) => sum + count, 0) : undefined
    const made = [DOCUMENTS, ...(hasGraph ? [GRAPH] : [])]
    this.entries = [...table, ...made.map((name) => ({ name, size: undefined }))]
  }

  /** `compressed`: the snapshot, decrypted. Undefined where it cannot be read at any place. */
  static async open(
    format: ArchiveFormat,
    compressed: RandomAccess,
    runtime: Codecs,
  ): Promise<SnapshotView | undefined> {
    const tar = await SeekableZstdFile.open(compressed, runtime.zstd)
    if (!tar) return undefined
    const table = await readEntryTable(tar)
    const head = await readSnapshotHead(tar, table, runtime.createSha256)
    return new SnapshotView(format, tar, table, head, runtime)
  }

  async *read(name: string): AsyncGenerator<Uint8Array> {
    const entry = this.#table.find((place) => place.name === name)
    if (entry) yield* sequential(this.#tar, { offset: entry.offset, end: entry.offset + entry.size })
    else if (name === DOCUMENTS) yield* withLineEnds(this.documents())
    else if (name === GRAPH && this.graphLineCount !== undefined) yield* withLineEnds(this.graph())
    else throw noEntry(name, this.entries)
  }

  async *documents(): AsyncGenerator<Uint8Array> {
    this.#opened ??= this.#open()
    yield* (await this.#opened).lines()
  }

  async *graph(): AsyncGenerator<Uint8Array> {
    if (this.graphLineCount === undefined) return
    this.#opened ??= this.#open()
    yield* (await this.#opened).graphLines()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await (await this.#opened?.catch(() => undefined))?.close()
  }

  /** Reads the header of every segment file: throws as a restore would where these are not what the metadata says. Files of
   *  an older version are not looked at. */
  async check(): Promise<void> {
    if (isOlder(this.#head.metadata)) return
    this.#opened ??= this.#open()
    await this.#opened
  }

  /** The collection that a restore would make, read where it lies. */
  async #open(): Promise<Collection> {
    const { metadata, schema, files } = this.#head
    if (isOlder(metadata)) {
      throw new PrismError("INCOMPATIBLE_VERSION", "the index files in the archive are of an older version", {
        hint: "restore it: then the documents are indexed anew, and a new export can be looked into",
      })
    }
    const storage = new ArchiveStorage(this.#tar, this.#table)
    const context: CollectionContext = {
      storage,
      directory: "",
      codecs: this.#runtime,
      background: new Background(this.#runtime, storage),
      cache: new BlockCache(),
      tenure: "00000000",
      isTakeover: false,
      assertHeld: async () => {},
      durable: false,
      tuning: DEFAULT_TUNING,
    }
    const segments = metadata.segments.map((segment, place) => segmentEntry(place + 1, segment, files, (name) => name))
    await Generations.create(context, parseSchema(schema, { from: "archive" }), segments)
    return await Collection.openReadOnly(metadata.collection, context)
  }
}
