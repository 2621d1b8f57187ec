import { PrismError } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import { settleAll } from "../base/settle.ts"
import { DocSet } from "../engine/doc-set.ts"
import type { Sha256 } from "../runtime.ts"
import { DocumentStoreReader, DocumentStoreWriter } from "../storage/document-store.ts"
import { filesOf, removeLeftovers } from "../storage/leftovers.ts"
import {
  type FileEntry,
  MANIFEST_VERSION,
  type Manifest,
  type SegmentEntry,
  writeManifest,
} from "../storage/manifest.ts"
import type { Storage } from "../storage/storage.ts"
import { replayWal, type WalLocation, type WalOperation, WalWriter } from "../storage/wal.ts"
import { type CheckedDocument, DocumentChecker } from "./document.ts"
import { documentBytes, RamSegment, SEGMENT_BYTES_MAX } from "./ram-segment.ts"
import type { Schema } from "./schema.ts"
import { SealedSegment } from "./sealed-segment.ts"
import { copyOfLive, type Segment, type SegmentShape } from "./segment.ts"

/** Where a collection's files are and how to write them. */
export interface CollectionFiles {
  readonly storage: Storage
  /** Relative to the storage's root. */
  readonly directory: string
  readonly createSha256: () => Sha256
  /** False while a restore is staged: nobody was promised anything yet, and the checkpoint at its end syncs. */
  readonly durable: boolean
}

export type WriteOperation =
  | { readonly kind: "put"; readonly document: CheckedDocument }
  | { readonly kind: "delete"; readonly id: string }

interface PendingWrite {
  readonly operations: readonly WriteOperation[]
  readonly resolve: (replaced: number) => void
  readonly reject: (error: unknown) => void
}

/** Stored bytes a frame of the log holds at most: large enough that a sync is spread over many documents, small enough
 *  that replay and the reader of a frame stay in bounded memory. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024
/** A log of deletions adds nothing to the RAM segment; past this it is folded all the same. More than the documents of a
 *  full RAM segment take (SEGMENT_BYTES_MAX UTF-16 units are up to three bytes each), so it moves no segment's end. */
const LOG_BYTES_MAX = 4 * SEGMENT_BYTES_MAX
const FRAME_OPERATIONS_MAX = 4096

/** Segments of one moment with the documents that were live then. */
export interface PinnedView {
  readonly segments: readonly { readonly segment: Segment; readonly live: DocSet }[]
  readonly documentCount: number
  close(): Promise<void>
}

/** The one writer of a collection: write-ahead log, RAM segment, checkpoints. Writes are applied in the order in which
 *  they were called; those that wait together share one frame of the log and so one sync. */
export class CollectionWriter {
  readonly schema: Schema
  /** For messages. */
  readonly #name: string
  readonly #files: CollectionFiles
  readonly #shape: SegmentShape
  #manifest: Manifest
  #sealed: SealedSegment[]
  #ram: RamSegment
  #wal: WalWriter
  #pending: PendingWrite[] = []
  #drainScheduled = false
  #tail: Promise<unknown> = Promise.resolve()
  /** Set when memory may no longer equal the log; only opening the collection again repairs that. */
  #broken: unknown
  #closing: Promise<void> | undefined

  private constructor(
    name: string,
    files: CollectionFiles,
    schema: Schema,
    shape: SegmentShape,
    state: { manifest: Manifest; sealed: SealedSegment[]; ram: RamSegment; wal: WalWriter },
  ) {
    this.#name = name
    this.#files = files
    this.schema = schema
    this.#shape = shape
    this.#manifest = state.manifest
    this.#sealed = state.sealed
    this.#ram = state.ram
    this.#wal = state.wal
  }

  /** Writes the files of an empty collection into a new directory. */
  static async create(files: CollectionFiles, schema: string): Promise<void> {
    const { storage, directory } = files
    for (const folder of ["", "/text", "/vector"]) await storage.makeDirectory(directory + folder)
    const manifest: Manifest = {
      formatVersion: MANIFEST_VERSION,
      generation: 1,
      committedAt: new Date().toISOString(),
      schema,
      documentCount: 0,
      nextSegmentId: 1,
      logs: [1],
      segments: [],
    }
    const wal = await WalWriter.create(storage, `${directory}/${walPath(1)}`, { walNumber: 1, durable: files.durable })
    await wal.close()
    await writeManifest(storage, directory, manifest)
  }

  /** Opens what the manifest names, removes what it does not, and replays the log. */
  static async open(
    name: string,
    files: CollectionFiles,
    manifest: Manifest,
    schema: Schema,
    shape: SegmentShape,
  ): Promise<CollectionWriter> {
    const { storage, directory } = files
    await removeLeftovers(storage, directory, keptFiles(manifest))
    const sealed: SealedSegment[] = []
    let ram: RamSegment | undefined
    try {
      for (const entry of manifest.segments) sealed.push(await SealedSegment.open(storage, directory, entry, shape))
      const walNumber = manifest.logs.at(-1) as number
      const path = `${directory}/${walPath(walNumber)}`
      ram = new RamSegment(shape, await storage.open(path))
      const segments = [...sealed, ram]
      const checker = new DocumentChecker(schema)
      const replay = replayWal(storage, path, { walNumber })
      for await (const { operation, location } of replay) {
        apply(segments, ram, replayed(checker, operation), location)
      }
      const wal = await WalWriter.resume(storage, replay, { durable: files.durable })
      return new CollectionWriter(name, files, schema, shape, { manifest, sealed, ram, wal })
    } catch (error) {
      await releaseAll(ram ? [...sealed, ram] : sealed).catch(() => undefined)
      if (error instanceof PrismError && error.code === "FILE_NOT_FOUND") {
        throw new PrismError("CORRUPT", `a file of collection "${name}" is missing: ${error.place}`, {
          hint: "restore the collection from its last export",
          cause: error,
          ...(error.place === undefined ? {} : { place: error.place }),
        })
      }
      throw error
    }
  }

  get isClosed(): boolean {
    return this.#closing !== undefined
  }

  /** Segments in the order in which their documents were written; the RAM segment is the last. CLOSED once the writer
   *  is closed, but no error after a failed write: what was acknowledged can still be read. */
  get segments(): readonly Segment[] {
    if (this.isClosed) throw this.#closedError()
    return this.#allSegments
  }

  get #allSegments(): readonly Segment[] {
    return [...this.#sealed, this.#ram]
  }

  get documentCount(): number {
    return this.segments.reduce((sum, segment) => sum + segment.liveCount, 0)
  }

  get generation(): number {
    return this.#manifest.generation
  }

  get logBytes(): number {
    return this.#wal.length
  }

  /** Files of the current generation, the log left out. */
  get files(): readonly FileEntry[] {
    if (this.isClosed) throw this.#closedError()
    return this.#manifest.segments.flatMap(({ files }) => Object.values(files) as FileEntry[])
  }

  /** Makes the operations durable and visible, all of them or, where it rejects, a prefix that a restart decides.
   *  Resolves to the number of documents that they replaced or deleted. */
  async commit(operations: readonly WriteOperation[]): Promise<number> {
    this.#assertUsable()
    if (operations.length === 0) return 0
    return await new Promise((resolve, reject) => {
      this.#pending.push({ operations, resolve, reject })
      if (this.#drainScheduled) return
      this.#drainScheduled = true
      void this.#exclusive(async () => {
        this.#drainScheduled = false
        await this.#drain(this.#pending.splice(0))
      })
    })
  }

  /** Folds the log into an immutable segment and drops it. Nothing to fold: nothing is written. */
  async checkpoint(): Promise<void> {
    this.#assertUsable()
    await this.#exclusive(async () => {
      this.#assertWhole()
      await this.#checkpoint()
    })
  }

  /** Holds the segments and their live documents as they are now, for a reader that goes on across writes. */
  async pin(): Promise<PinnedView> {
    if (this.isClosed) throw this.#closedError()
    return await this.#exclusive(async () => {
      const segments: { segment: Segment; live: DocSet }[] = []
      const close = async () => {
        for (const { live } of segments) live.close()
        await releaseAll(segments.map(({ segment }) => segment))
      }
      try {
        for (const segment of this.#allSegments) {
          segments.push({ live: copyOfLive(segment, this.#shape.engine), segment: segment.retain() })
        }
        return { segments, documentCount: segments.reduce((sum, { live }) => sum + live.count, 0), close }
      } catch (error) {
        await close()
        throw error
      }
    })
  }

  /** Takes over the segments of another collection's directory (same storage, same schema, sealed, closed) as the
   *  newest ones: every document of them replaces what this collection has under its id, in one manifest swap.
   *  Resolves to the number of documents replaced. */
  async adopt(directory: string, entries: readonly SegmentEntry[]): Promise<number> {
    this.#assertUsable()
    return await this.#exclusive(async () => {
      this.#assertWhole()
      await this.#checkpoint()
      const { storage } = this.#files
      const moved: SegmentEntry[] = []
      const opened: SealedSegment[] = []
      const generation = this.#manifest.generation + 1
      const lives = this.#sealed.map((segment) => copyOfLive(segment, this.#shape.engine))
      let replaced = 0
      try {
        let id = this.#manifest.nextSegmentId
        for (const entry of entries) {
          const target = renamed(entry, id++, generation)
          moved.push(target)
          for (const kind of Object.keys(entry.files) as (keyof SegmentEntry["files"])[]) {
            const [from, to] = [entry.files[kind] as FileEntry, target.files[kind] as FileEntry]
            await storage.rename(`${directory}/${from.path}`, `${this.#files.directory}/${to.path}`)
          }
          const segment = await SealedSegment.open(storage, this.#files.directory, target, this.#shape)
          opened.push(segment)
          for await (const document of segment.scan(segment.live)) {
            for (const [place, older] of this.#sealed.entries()) {
              const docOrd = older.find(document.id)
              if (docOrd === undefined) continue
              lives[place]?.remove(docOrd)
              replaced++
              break // an id is live in one segment at most
            }
          }
        }
        const kept: SegmentEntry[] = []
        for (const [place, segment] of this.#sealed.entries()) {
          const live = lives[place] as DocSet
          kept.push(
            live.count === segment.liveCount
              ? segment.entry
              : await this.#writeTombstones(segment.entry, live, generation),
          )
        }
        await this.#syncFolders()
        await this.#swapManifest({ segments: [...kept, ...moved], nextSegmentId: id })
        for (const [place, segment] of this.#sealed.entries()) {
          segment.live.and(lives[place] as DocSet)
          segment.entry = kept[place] as SegmentEntry
        }
        this.#sealed = [...this.#sealed, ...opened]
        return replaced
      } catch (error) {
        await releaseAll(opened).catch(() => undefined)
        await this.#discardUnnamedFiles()
        throw error
      } finally {
        for (const live of lives) live.close()
      }
    })
  }

  /** Lets go of everything after the writes that wait. A long log is folded first, so that the next open is quick, unless
   *  `fold` is false. Every call resolves when it is done. */
  async close(options: { fold?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#exclusive(async () => {
      const fold = options.fold !== false && this.#ram.storedBytes > CLOSE_CHECKPOINT_BYTES
      await settleAll([
        async () => {
          if (fold && this.#broken === undefined) await this.#checkpoint()
        },
        () => this.#wal.close(),
        () => releaseAll(this.#allSegments),
      ])
    })
    await this.#closing
  }

  /** Runs tasks one after another; a failed one does not stop the next. */
  async #exclusive<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(task)
    this.#tail = run.catch(() => {})
    return await run
  }

  #assertUsable(): void {
    if (this.isClosed) throw this.#closedError()
    this.#assertWhole()
  }

  /** Once more when a task's turn has come: one before it may have failed. Then nobody knows which log the manifest on
   *  the disk names, and what would be written to this one might never be replayed. */
  #assertWhole(): void {
    if (this.#broken !== undefined) {
      throw new PrismError("READ_ONLY", `collection "${this.#name}" takes no writes after an error`, {
        hint: "close it and open it again: what was acknowledged is safe",
        cause: this.#broken,
      })
    }
  }

  #closedError(): PrismError {
    return new PrismError("CLOSED", `collection "${this.#name}" is closed`, { hint: "open it again" })
  }

  async #drain(writes: readonly PendingWrite[]): Promise<void> {
    const operations = writes.flatMap((write) => write.operations)
    const replacedAfter: number[] = []
    let replaced = 0
    let failure: { error: unknown } | undefined
    try {
      this.#assertWhole()
      while (replacedAfter.length < operations.length) {
        const frame = await this.#nextFrame(operations, replacedAfter.length)
        const locations = await this.#append(frame)
        try {
          frame.forEach((operation, place) => {
            if (apply(this.#allSegments, this.#ram, operation, locations[place] as WalLocation)) replaced++
            replacedAfter.push(replaced)
          })
        } catch (error) {
          this.#broken = error
          throw error
        }
        await letOthersRun()
      }
    } catch (error) {
      failure = { error }
    }
    let first = 0
    for (const write of writes) {
      const end = first + write.operations.length
      if (end <= replacedAfter.length) {
        write.resolve((replacedAfter[end - 1] as number) - (first === 0 ? 0 : (replacedAfter[first - 1] as number)))
      } else write.reject(failure?.error)
      first = end
    }
  }

  /** Operations that go into one frame. Seals the RAM segment first when the next document has no room in it: where a
   *  segment ends depends on the documents alone. */
  async #nextFrame(operations: readonly WriteOperation[], first: number): Promise<readonly WriteOperation[]> {
    if (this.#wal.length > LOG_BYTES_MAX) await this.#checkpoint()
    let bytes = 0
    let documents = 0
    let end = first
    for (; end < operations.length && end - first < FRAME_OPERATIONS_MAX; end++) {
      const operation = operations[end] as WriteOperation
      if (operation.kind === "delete") continue
      if (this.#shape.engine.memoryInUse > ENGINE_BYTES_MAX) {
        if (end > first) break
        throw new PrismError("LIMIT_EXCEEDED", `the index of collection "${this.#name}" has no room in memory`, {
          hint: "spread the documents over several collections",
        })
      }
      const size = documentBytes(operation.document)
      if (this.#ram.isFullFor(bytes + size, documents + 1)) {
        if (end > first) break
        await this.#checkpoint()
      }
      if (end > first && bytes + size > FRAME_BYTES_MAX) break
      bytes += size
      documents++
    }
    return operations.slice(first, end)
  }

  async #append(frame: readonly WriteOperation[]): Promise<readonly WalLocation[]> {
    try {
      return await this.#wal.append(
        frame.map(
          (operation): WalOperation => (operation.kind === "put" ? { kind: "put", ...operation.document } : operation),
        ),
      )
    } catch (error) {
      // The frame may or may not be in the file: only a replay can tell.
      this.#broken = error
      throw error
    }
  }

  async #checkpoint(): Promise<void> {
    const ram = this.#ram
    if (this.#wal.isEmpty) return
    const { storage, directory, durable } = this.#files
    const generation = this.#manifest.generation + 1
    const kept: SegmentEntry[] = []
    let sealed: SealedSegment | undefined
    let wal: WalWriter | undefined
    let next: RamSegment | undefined
    try {
      for (const segment of this.#sealed) {
        kept.push(
          segment.hasNewDeletions
            ? await this.#writeTombstones(segment.entry, segment.live, generation)
            : segment.entry,
        )
      }
      if (ram.liveCount > 0) sealed = await this.#seal(ram, this.#manifest.nextSegmentId, generation)
      const walNumber = (this.#manifest.logs.at(-1) as number) + 1
      const path = `${directory}/${walPath(walNumber)}`
      wal = await WalWriter.create(storage, path, { walNumber, durable })
      next = new RamSegment(this.#shape, await storage.open(path))
      await this.#syncFolders()
      await this.#swapManifest({
        segments: sealed ? [...kept, sealed.entry] : kept,
        nextSegmentId: this.#manifest.nextSegmentId + (sealed ? 1 : 0),
        logs: [walNumber],
      })
    } catch (error) {
      await next?.release()
      await wal?.close()
      await sealed?.release()
      await this.#discardUnnamedFiles()
      throw error
    }
    for (const [place, segment] of this.#sealed.entries()) {
      segment.entry = kept[place] as SegmentEntry
      segment.hasNewDeletions = false
    }
    if (sealed) this.#sealed = [...this.#sealed, sealed]
    const oldWal = this.#wal
    this.#wal = wal
    this.#ram = next
    await oldWal.close()
    await ram.release()
    await this.#discardUnnamedFiles()
  }

  /** Removes files that the manifest does not name. Not after a failed swap: then nobody knows which manifest is on the
   *  disk, and only opening the collection again tells. What cannot be removed now, the next open removes. */
  async #discardUnnamedFiles(): Promise<void> {
    if (this.#broken !== undefined) return
    await removeLeftovers(this.#files.storage, this.#files.directory, keptFiles(this.#manifest)).catch(() => undefined)
  }

  /** Writes the RAM segment's files, synced, and opens them. */
  async #seal(ram: RamSegment, id: number, generation: number): Promise<SealedSegment> {
    const { storage, directory, createSha256 } = this.#files
    const stem = String(id).padStart(6, "0")
    const text = ram.text.seal()
    const vector = ram.vector && ram.vector.count > 0 ? ram.vector.seal() : undefined
    const live = copyOfLive(ram, this.#shape.engine)
    try {
      const textFile = await this.#write(`text/${stem}.idx`, chunks(text))
      const vectorFile = vector && (await this.#write(`vector/${stem}.hnsw`, chunks(vector)))
      const documentsPath = `text/${stem}.docs`
      const file = await storage.create(`${directory}/${documentsPath}`)
      const store = new DocumentStoreWriter(file, createSha256())
      try {
        const all = DocSet.create(this.#shape.engine, ram.documentCount)
        all.fill()
        try {
          for await (const document of ram.scan(all)) await store.add(document.id, document.fieldsJson)
        } finally {
          all.close()
        }
        const { length, sha256 } = await store.finish()
        const documentsFile: FileEntry = { path: documentsPath, length, sha256 }
        await file.sync()
        let entry: SegmentEntry = {
          id,
          documentCount: ram.documentCount,
          deletedCount: 0,
          vectorCount: vector?.count ?? 0,
          level: 0,
          files: { text: textFile, documents: documentsFile, ...(vectorFile ? { vector: vectorFile } : {}) },
        }
        if (live.count < ram.documentCount) entry = await this.#writeTombstones(entry, live, generation)
        const stored = await storage.open(`${directory}/${documentsPath}`)
        try {
          const documents = await DocumentStoreReader.open(stored)
          return new SealedSegment(entry, { text, vector, live, documents, files: [stored] })
        } catch (error) {
          await stored.close()
          throw error
        }
      } finally {
        await file.close()
      }
    } catch (error) {
      text.close()
      vector?.close()
      live.close()
      throw error
    }
  }

  async #writeTombstones(entry: SegmentEntry, live: DocSet, generation: number): Promise<SegmentEntry> {
    const stem = String(entry.id).padStart(6, "0")
    const tombstones = await this.#write(`text/${stem}.${generation}.live`, [live.toBytes()])
    return { ...entry, deletedCount: entry.documentCount - live.count, files: { ...entry.files, tombstones } }
  }

  async #write(path: string, parts: Iterable<Uint8Array>): Promise<FileEntry> {
    const { storage, directory, createSha256 } = this.#files
    const file = await storage.create(`${directory}/${path}`)
    try {
      const sha256 = createSha256()
      for (const part of parts) {
        sha256.update(part)
        await file.append(part)
      }
      await file.sync()
      return { path, length: file.length, sha256: sha256.digestHex() }
    } finally {
      await file.close()
    }
  }

  async #syncFolders(): Promise<void> {
    for (const folder of ["", "/text", "/vector"])
      await this.#files.storage.syncDirectory(this.#files.directory + folder)
  }

  async #swapManifest(change: Partial<Manifest> & { segments: readonly SegmentEntry[] }): Promise<void> {
    const manifest: Manifest = {
      ...this.#manifest,
      ...change,
      segments: [...change.segments],
      generation: this.#manifest.generation + 1,
      committedAt: new Date().toISOString(),
      documentCount: change.segments.reduce((sum, entry) => sum + entry.documentCount - entry.deletedCount, 0),
    }
    try {
      await writeManifest(this.#files.storage, this.#files.directory, manifest)
    } catch (error) {
      this.#broken = error
      throw error
    }
    this.#manifest = manifest
  }
}

/** No document is taken when the engine holds more. What lies between this and the 4 GiB of its memory is for sealing a
 *  segment and for searching: a document must never be in the log that the next open has no room to replay. */
const ENGINE_BYTES_MAX = 3 * 1024 * 1024 * 1024

/** A log longer than this is folded at close. Smaller ones are cheaper to replay (text alone at > 20 MB/s) than a tiny
 *  segment is to keep. */
const CLOSE_CHECKPOINT_BYTES = 4 * 1024 * 1024

function walPath(number: number): string {
  return `wal-${String(number).padStart(6, "0")}.log`
}

async function releaseAll(segments: readonly Segment[]): Promise<void> {
  await settleAll(segments.map((segment) => () => segment.release()))
}

/** Applies one operation; true if a live document of that id was there. */
function apply(
  segments: readonly Segment[],
  ram: RamSegment,
  operation: WriteOperation,
  location: WalLocation,
): boolean {
  const id = operation.kind === "put" ? operation.document.id : operation.id
  let found = false
  for (let place = segments.length - 1; place >= 0 && !found; place--) {
    const segment = segments[place] as Segment
    const docOrd = segment.find(id)
    if (docOrd !== undefined) found = segment.delete(docOrd)
  }
  if (operation.kind === "put") ram.add(operation.document, location)
  return found
}

function replayed(checker: DocumentChecker, operation: WalOperation): WriteOperation {
  if (operation.kind === "delete") return operation
  return { kind: "put", document: checker.checkStored(operation.id, operation.fieldsJson, operation.vector) }
}

/** Paths of everything that a manifest keeps: what else is there, a crash or a failed checkpoint left. */
function keptFiles(manifest: Manifest): Set<string> {
  return manifest.logs.reduce((paths, log) => paths.add(walPath(log)), filesOf(manifest))
}

/** The same segment under another id, with the names that its files get. */
function renamed(entry: SegmentEntry, id: number, generation: number): SegmentEntry {
  const stem = String(id).padStart(6, "0")
  const path = (file: FileEntry, name: string): FileEntry => ({ ...file, path: name })
  const { text, documents, vector, tombstones } = entry.files
  return {
    ...entry,
    id,
    files: {
      text: path(text, `text/${stem}.idx`),
      documents: path(documents, `text/${stem}.docs`),
      ...(vector ? { vector: path(vector, `vector/${stem}.hnsw`) } : {}),
      ...(tombstones ? { tombstones: path(tombstones, `text/${stem}.${generation}.live`) } : {}),
    },
  }
}

function* chunks(segment: {
  byteLength: number
  readBytes(offset: number, length: number): Uint8Array
}): Iterable<Uint8Array> {
  const step = 1 << 20
  for (let offset = 0; offset < segment.byteLength; offset += step) {
    yield segment.readBytes(offset, Math.min(step, segment.byteLength - offset))
  }
}
