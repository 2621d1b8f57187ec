import { toHex } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import { settleAll } from "../base/settle.ts"
import { DocSet } from "../engine/doc-set.ts"
import type { Graph } from "../engine/graph.ts"
import { removeLeftovers } from "../storage/leftovers.ts"
import {
  type FileEntry,
  type LogEntry,
  MANIFEST_NAME,
  MANIFEST_VERSION,
  type Manifest,
  type SegmentEntry,
  writeManifest,
} from "../storage/manifest.ts"
import { joinPath } from "../storage/path.ts"
import { pinnedFiles } from "../storage/pins.ts"
import { encodeTombstones } from "../storage/tombstones.ts"
import { WAL_VERSION, WalWriter } from "../storage/wal.ts"
import type { CollectionContext } from "./context.ts"
import { DocumentChecker } from "./document.ts"
import { loadGraph } from "./graph-loader.ts"
import { openSegments, pathsOf, releaseAll } from "./open-segments.ts"
import { RamSegment } from "./ram-segment.ts"
import type { Schema } from "./schema.ts"
import { SealedSegment } from "./sealed-segment.ts"
import { prepareIds, type Segment, type SegmentShape } from "./segment.ts"
import type { BuildSource, BuildTask } from "./segment-builder.ts"
import { isOfTenure, logPath, SEGMENT_FOLDERS, segmentPaths, segmentStem, tombstonesPath } from "./segment-files.ts"

/** What a new segment is to be made of: segments of one moment with the documents that were live then. */
export interface Capture {
  readonly task: BuildTask
  readonly sources: readonly Segment[]
  readonly lives: readonly DocSet[]
  release(): Promise<void>
}

/** A log and how long it is by now. */
export type LogState = Required<LogEntry>

/** The same with the segment that has its operations, and its file open. */
export interface OpenLog extends LogState {
  readonly ram: RamSegment
}

interface State {
  readonly manifest: Manifest
  readonly sealed: readonly SealedSegment[]
  readonly frozen: readonly RamSegment[]
  readonly active: RamSegment
  readonly log: WalWriter
  readonly isLogOld: boolean
}

/** The segments and logs of a collection as its one writer changes them. Each change is one swap of the manifest:
 *  nothing is seen in memory that a restart would not find, and a file goes only when no manifest, no reader of this
 *  process and no pin of another one needs it. One change at a time: the writer sees to that. */
export class Generations {
  readonly #context: CollectionContext
  readonly #schema: Schema
  readonly #shape: SegmentShape
  readonly checker: DocumentChecker
  /** True where the owner before may wake up within a write to the log: then another one is to be begun before anything is
   *  written. Nobody reads what comes behind the end of a log that another one continues. */
  #isLogInherited: boolean
  /** True where the log is of an older version, which says nothing of nodes and edges: then too. */
  #isLogOld: boolean
  #manifest: Manifest
  #sealed: readonly SealedSegment[]
  /** RAM segments that are full, oldest first. */
  #frozen: readonly RamSegment[]
  #active: RamSegment
  #log: WalWriter
  #nextSegmentId: number
  /** Set when nobody knows which manifest is on the disk; only opening the collection again tells. */
  #uncertain: { readonly error: unknown } | undefined
  /** Files that no manifest names and nobody here reads; they go when no pin holds them. */
  readonly #obsolete = new Set<string>()
  #graph: Graph | undefined
  /** True where nodes and edges that no document brings are to be left out of what is built from now on. */
  isOfDocumentsAlone = false
  /** Files that are read by name in this process, with how many times. */
  readonly #held = new Map<string, number>()
  /** The last sweep: they come one after another. */
  #sweeping: Promise<void> = Promise.resolve()
  #isClosed = false

  private constructor(context: CollectionContext, schema: Schema, shape: SegmentShape, state: State) {
    this.#context = context
    this.#shape = shape
    this.#schema = schema
    this.checker = new DocumentChecker(schema)
    this.#isLogInherited = context.isTakeover && !isOfTenure(state.active.log.path, context.tenure)
    this.#isLogOld = state.isLogOld
    this.#manifest = state.manifest
    this.#sealed = state.sealed
    this.#frozen = state.frozen
    this.#active = state.active
    this.#log = state.log
    this.#nextSegmentId = state.manifest.nextSegmentId
  }

  /** Makes a collection in a directory: an empty one in a new directory, or one of `segments` whose files are there and
   *  durable. */
  static async create(
    { storage, directory, durable, tenure }: Pick<CollectionContext, "storage" | "directory" | "durable" | "tenure">,
    schema: Schema,
    segments: readonly SegmentEntry[] = [],
  ): Promise<void> {
    for (const folder of ["", ...foldersOf(schema)]) await storage.makeDirectory(joinPath(directory, folder))
    const log = { number: 1, path: logPath(1, tenure) }
    const file = await WalWriter.create(storage, joinPath(directory, log.path), { walNumber: log.number, durable })
    await file.close()
    await writeManifest(storage, directory, {
      formatVersion: MANIFEST_VERSION,
      collectionId: toHex(crypto.getRandomValues(new Uint8Array(16))),
      generation: 1,
      committedAt: new Date().toISOString(),
      schema: schema.source,
      documentCount: liveCount(segments),
      nextSegmentId: Math.max(0, ...segments.map(({ id }) => id)) + 1,
      logs: [log],
      segments,
    })
  }

  /** Opens what the manifest names, removes what nothing names, and replays the logs. */
  static async open(
    name: string,
    context: CollectionContext,
    manifest: Manifest,
    schema: Schema,
    shape: SegmentShape,
  ): Promise<Generations> {
    const { storage, directory, durable } = context
    // A process that died, or whose sync failed, may have left a rename that a power cut takes back: then the manifest
    // before it is the one that counts, and its files are no leftovers.
    await storage.syncDirectory(directory)
    // A collection from before the graph was there has no folder for it.
    if (schema.graph) await storage.makeDirectory(joinPath(directory, "graph"))
    const pinned = await pinnedFiles(storage, directory)
    await removeLeftovers(storage, directory, new Set([MANIFEST_NAME, ...pathsOf(manifest), ...pinned]))
    const { sealed, logs } = await openSegments(name, context, manifest, schema, shape)
    const rams = logs.map(({ ram }) => ram)
    const last = logs.at(-1)
    assert(last, "a manifest names a log")
    try {
      const log = await WalWriter.resume(storage, last.replay, { durable })
      const isLogOld = last.replay.version !== WAL_VERSION
      const state = { manifest, sealed, frozen: rams.slice(0, -1), active: last.ram, log, isLogOld }
      return new Generations(context, schema, shape, state)
    } catch (error) {
      await releaseAll([...sealed, ...rams]).catch(() => undefined)
      throw error
    }
  }

  get mustBeginLog(): boolean {
    return this.#isLogInherited || this.#isLogOld
  }

  /** Undefined until it is loaded, and again once it is outdated. */
  get graph(): Graph | undefined {
    return this.#graph
  }

  /** The collection's graph, which is read at its first use. Between two commits alone. */
  async loadGraph(): Promise<Graph> {
    this.#graph ??= await loadGraph(this.#shape.engine, this.#schema, this)
    return this.#graph
  }

  get shape(): SegmentShape {
    return this.#shape
  }

  get manifest(): Manifest {
    return this.#manifest
  }

  /** In the order in which their documents were written; the active RAM segment is the last. */
  get segments(): readonly Segment[] {
    return [...this.older, this.#active]
  }

  /** All but the active one. */
  get older(): readonly Segment[] {
    return [...this.#sealed, ...this.#frozen]
  }

  get sealed(): readonly SealedSegment[] {
    return this.#sealed
  }

  get frozen(): readonly RamSegment[] {
    return this.#frozen
  }

  get active(): RamSegment {
    return this.#active
  }

  /** The log of the active segment. */
  get log(): WalWriter {
    return this.#log
  }

  get uncertain(): { readonly error: unknown } | undefined {
    return this.#uncertain
  }

  /** The logs that wait to be sealed, and the active one. */
  get logs(): readonly OpenLog[] {
    const frozen = this.#frozen.map((ram) => ({ ...endedLog(ram), ram }))
    return [...frozen, { ...this.#active.log, length: this.#log.length, ram: this.#active }]
  }

  /** Keeps the files of the present generation from being removed until the returned function is called. */
  hold(): () => Promise<void> {
    const paths = pathsOf(this.#manifest)
    for (const path of paths) this.#held.set(path, (this.#held.get(path) ?? 0) + 1)
    return async () => {
      for (const path of paths) {
        const holders = this.#held.get(path) as number
        if (holders > 1) this.#held.set(path, holders - 1)
        else this.#held.delete(path)
      }
      await this.#sweep()
    }
  }

  /** The active segment is full, or to be sealed: begins a new log and a RAM segment for it. */
  async freeze(): Promise<void> {
    this.#assertCertain()
    const { storage, directory, durable, tenure } = this.#context
    const number = this.#active.log.number + 1
    const entry = { number, path: logPath(number, tenure) }
    const path = joinPath(directory, entry.path)
    // What an attempt that failed left there.
    await storage.remove(path)
    const ended = { ...this.#active.log, length: this.#log.length }
    let log: WalWriter | undefined
    let ram: RamSegment | undefined
    try {
      log = await WalWriter.create(storage, path, { walNumber: number, durable })
      ram = new RamSegment(this.#shape, entry, await storage.open(path))
      this.#manifest = await this.#swap({ logs: [...this.#manifest.logs.slice(0, -1), ended, entry] })
    } catch (error) {
      await settleAll([async () => await log?.close(), async () => await ram?.release()]).catch(() => undefined)
      await this.#discard([entry.path])
      throw error
    }
    const full = this.#log
    this.#active.log = ended
    this.#frozen = [...this.#frozen, this.#active]
    this.#active = ram
    this.#log = log
    this.#isLogInherited = false
    this.#isLogOld = false
    await full.close()
  }

  /** What the oldest frozen segment is sealed from. */
  captureLog(): Capture {
    const [ram] = this.#frozen
    assert(ram, "a segment waits to be sealed")
    return this.#capture([ram], { level: 0, isOldest: this.#sealed.length === 0 }, (live) => ({
      kind: "log",
      log: endedLog(ram),
      documentCount: ram.documentCount,
      live,
    }))
  }

  /** What a run of sealed segments becomes one from. */
  captureRun(run: { first: number; end: number }, level: number): Capture {
    const sources = this.#sealed.slice(run.first, run.end)
    return this.#capture(sources, { level, isOldest: run.first === 0 }, (live, place) => {
      const { entry } = sources[place] as SealedSegment
      return { kind: "segment", entry, live }
    })
  }

  #capture(
    sources: readonly Segment[],
    { level, isOldest }: { level: number; isOldest: boolean },
    describe: (live: Uint8Array, place: number) => BuildSource,
  ): Capture {
    for (const segment of sources) segment.retain()
    const lives = sources.map((segment) => segment.copyOfLive())
    const id = this.#nextSegmentId++
    const task: BuildTask = {
      directory: this.#context.directory,
      schema: this.#manifest.schema,
      id,
      stem: segmentStem(id, this.#context.tenure),
      level,
      isOldest,
      isOfDocumentsAlone: this.isOfDocumentsAlone,
      sources: lives.map((live, place) => describe(live.toBytes(), place)),
    }
    const release = async () => {
      for (const live of lives) live.close()
      await releaseAll(sources)
    }
    return { task, sources, lives, release }
  }

  /** Puts the segment that was built from `capture` in the place of its sources; undefined where nothing was left to
   *  build. Deletions that came meanwhile are carried over. */
  async install({ sources, lives }: Capture, entry: SegmentEntry | undefined): Promise<void> {
    this.#assertCertain()
    const { storage, directory, cache } = this.#context
    const isSealed = sources[0] instanceof RamSegment
    const replaced = new Set<Segment>(sources)
    const written: string[] = entry ? Object.values(entry.files).map(({ path }) => path) : []
    let built: SealedSegment | undefined
    let kept: readonly SealedSegment[] = this.#sealed
    const entries = new Map<SealedSegment, SegmentEntry>()
    try {
      if (entry) {
        built = await SealedSegment.open(storage, directory, entry, this.#shape, cache)
        using now = this.#carryOver(sources, lives, entry.documentCount)
        built.live.and(now)
        if (built.isEmpty) {
          await built.release()
          built = undefined
        } else if (built.liveCount < entry.documentCount)
          entries.set(built, await this.#writeTombstones(built, written))
      }
      // A log that goes takes with it the deletions that it recorded in older segments.
      for (const segment of isSealed ? this.#sealed : []) {
        if (segment.hasNewDeletions) entries.set(segment, await this.#writeTombstones(segment, written))
      }
      const at = isSealed ? this.#sealed.length : this.#sealed.findIndex((segment) => replaced.has(segment))
      kept = this.#sealed.flatMap((segment, place) => {
        const here = replaced.has(segment) ? [] : [segment]
        return place === at && built ? [built, ...here] : here
      })
      if (isSealed && built) kept = [...kept, built]
      await this.#syncFolders()
      const [oldest] = this.#frozen
      this.#manifest = await this.#swap({
        segments: kept.map((segment) => entries.get(segment) ?? segment.entry),
        logs: isSealed
          ? this.#manifest.logs.filter(({ number }) => number !== oldest?.log.number)
          : this.#manifest.logs,
      })
    } catch (error) {
      await built?.release().catch(() => undefined)
      await this.#discard(written)
      throw error
    }
    const unused = new Set(written)
    for (const segment of kept) {
      const next = entries.get(segment)
      const former = segment.entry.files.tombstones?.path
      if (next) {
        segment.entry = next
        segment.hasNewDeletions = false
        if (former !== undefined) this.#obsolete.add(former)
      }
      for (const path of segment.paths) unused.delete(path)
    }
    // Of a segment that had nothing left when it was ready.
    for (const path of unused) this.#obsolete.add(path)
    this.#sealed = kept
    if (isSealed) this.#frozen = this.#frozen.slice(1)
    await this.#drop(sources)
  }

  /** Takes over the segments of another collection's directory (same storage, same schema, sealed, closed) as the
   *  newest ones: every document of them replaces what this collection has under its id, in one manifest swap. The
   *  active segment is empty and none is frozen. Resolves to the number of documents replaced. */
  async adopt(from: string, entries: readonly SegmentEntry[]): Promise<number> {
    this.#assertCertain()
    assert(this.#frozen.length === 0 && this.#log.isEmpty, "adopted segments come behind all others")
    const { storage, directory, cache, tenure } = this.#context
    const moved: string[] = []
    const opened: SealedSegment[] = []
    const changed = new Map<SealedSegment, DocSet>()
    let replaced = 0
    try {
      for (const entry of entries) {
        const target = renamed(entry, this.#nextSegmentId++, tenure)
        for (const kind of Object.keys(entry.files) as (keyof SegmentEntry["files"])[]) {
          const [source, path] = [entry.files[kind] as FileEntry, target.files[kind] as FileEntry]
          await storage.rename(joinPath(from, source.path), joinPath(directory, path.path))
          moved.push(path.path)
        }
        const segment = await SealedSegment.open(storage, directory, target, this.#shape, cache)
        opened.push(segment)
        replaced += await this.#replace(segment, changed)
      }
      const next = new Map<SealedSegment, SegmentEntry>()
      for (const [segment, live] of changed) next.set(segment, await this.#writeTombstones(segment, moved, live))
      await this.#syncFolders()
      this.#manifest = await this.#swap({
        segments: [...this.#sealed, ...opened].map((segment) => next.get(segment) ?? segment.entry),
      })
      for (const [segment, live] of changed) {
        const former = segment.entry.files.tombstones?.path
        if (former !== undefined) this.#obsolete.add(former)
        segment.live.and(live)
        segment.entry = next.get(segment) as SegmentEntry
      }
    } catch (error) {
      await releaseAll(opened).catch(() => undefined)
      await this.#discard(moved)
      throw error
    } finally {
      for (const live of changed.values()) live.close()
    }
    this.#sealed = [...this.#sealed, ...opened]
    // It is read again at its next use: what came in may be more than what was there.
    this.#graph?.close()
    this.#graph = undefined
    await this.#sweep()
    return replaced
  }

  /** Notes in `changed` what the documents of `segment` replace. */
  async #replace(segment: SealedSegment, changed: Map<SealedSegment, DocSet>): Promise<number> {
    let replaced = 0
    let ids: string[] = []
    const look = async () => {
      await prepareIds(this.#sealed, ids)
      for (const id of ids) {
        for (const older of this.#sealed) {
          const docOrd = older.find(id)
          if (docOrd === undefined) continue
          if (!changed.has(older)) changed.set(older, older.copyOfLive())
          changed.get(older)?.remove(docOrd)
          replaced++
          break // an id is live in one segment at most
        }
      }
      ids = []
    }
    for await (const { id } of segment.scan(segment.live)) {
      ids.push(id)
      if (ids.length === IDS_STEP) await look()
    }
    await look()
    return replaced
  }

  /** Resolves when the files of segments that nobody reads any more are gone, as far as they may. */
  async swept(): Promise<void> {
    await this.#sweeping
  }

  /** Lets go of everything; files that may go now do. None goes after it resolved, whoever holds a segment until then:
   *  by then the folder may be another collection's, with the same names in it. The next open removes what is left. */
  async close(): Promise<void> {
    const end = async () => {
      this.#isClosed = true
      await this.#sweeping
    }
    await settleAll([
      () => this.#log.close({ endMark: !this.#isLogInherited }),
      () => releaseAll(this.segments),
      async () => {
        this.#graph?.close()
        this.#graph = undefined
      },
      () => this.#sweep(),
      end,
    ])
  }

  /** Which documents of a segment that holds the members of `lives` alone are live now. The caller closes it. */
  #carryOver(sources: readonly Segment[], lives: readonly DocSet[], documentCount: number): DocSet {
    const now = DocSet.create(this.#shape.engine, documentCount)
    const end = sources.reduce((offset, { live }, place) => now.gather(offset, lives[place] as DocSet, live), 0)
    assert(end === documentCount, `a segment of ${documentCount} documents is built from ${end}`)
    return now
  }

  async #writeTombstones(segment: SealedSegment, written: string[], live = segment.live): Promise<SegmentEntry> {
    const { storage, directory, codecs, tenure } = this.#context
    const { entry } = segment
    const path = tombstonesPath(entry.id, this.#manifest.generation + 1, tenure)
    const bytes = encodeTombstones(live.toBytes(), entry.documentCount)
    // What an attempt that failed left there.
    await storage.remove(joinPath(directory, path))
    written.push(path)
    await using file = await storage.create(joinPath(directory, path))
    await file.append(bytes)
    await file.sync()
    const sha256 = codecs.createSha256()
    sha256.update(bytes)
    const tombstones = { path, length: bytes.length, sha256: sha256.digestHex() }
    return { ...entry, deletedCount: entry.documentCount - live.count, files: { ...entry.files, tombstones } }
  }

  async #syncFolders(): Promise<void> {
    const { storage, directory } = this.#context
    for (const folder of foldersOf(this.#schema)) await storage.syncDirectory(joinPath(directory, folder))
  }

  /** Resolves to the new manifest. Who asked takes it over together with the segments and logs that it names: between
   *  the two nobody may look, or files are held by one list and read by the other. */
  async #swap(change: { segments?: readonly SegmentEntry[]; logs?: readonly LogEntry[] }): Promise<Manifest> {
    const { storage, directory, assertHeld } = this.#context
    const segments = change.segments ?? this.#manifest.segments
    const manifest: Manifest = {
      ...this.#manifest,
      ...change,
      generation: this.#manifest.generation + 1,
      committedAt: new Date().toISOString(),
      nextSegmentId: this.#nextSegmentId,
      documentCount: liveCount(segments),
    }
    let renaming = false
    try {
      await writeManifest(storage, directory, manifest, async () => {
        await assertHeld()
        renaming = true
      })
    } catch (error) {
      if (renaming) this.#uncertain = { error }
      throw error
    }
    return manifest
  }

  /** Before anything is written: of two manifests that may be on the disk one names files that the next swap would give
   *  the same names. */
  #assertCertain(): void {
    if (!this.#uncertain) return
    throw new PrismError("READ_ONLY", `a change of ${this.#context.directory} failed halfway`, {
      hint: "close the collection and open it again: what was acknowledged is safe",
      cause: this.#uncertain.error,
    })
  }

  /** Lets go of segments that the manifest no longer names; their files go when the last reader has. */
  async #drop(segments: readonly Segment[]): Promise<void> {
    for (const segment of segments) {
      const { paths } = segment
      void segment.closed.then(() => {
        for (const path of paths) this.#obsolete.add(path)
        void this.#sweep()
      })
    }
    await releaseAll(segments)
    await this.#sweep()
  }

  /** Removes files that were written for a swap that did not happen. Not after one that may have: nobody knows which
   *  manifest is on the disk. What cannot be removed now, the next open removes. */
  async #discard(paths: readonly string[]): Promise<void> {
    if (this.#uncertain) return
    const { storage, directory } = this.#context
    for (const path of paths) await storage.remove(joinPath(directory, path)).catch(() => undefined)
  }

  async #sweep(): Promise<void> {
    const sweep = this.#sweeping.then(() => this.#removeObsolete())
    this.#sweeping = sweep.catch(() => undefined)
    await sweep
  }

  /** Removes obsolete files that no other process has pinned. What cannot be removed now, the next open removes. */
  async #removeObsolete(): Promise<void> {
    if (this.#uncertain || this.#obsolete.size === 0) return
    const { storage, directory } = this.#context
    try {
      const pinned = await pinnedFiles(storage, directory)
      for (const path of [...this.#obsolete]) {
        if (this.#isClosed) return
        if (pinned.has(path) || this.#held.has(path)) continue
        await storage.remove(joinPath(directory, path))
        this.#obsolete.delete(path)
      }
    } catch (error) {
      if (!(error instanceof PrismError)) throw error
    }
  }
}

function liveCount(segments: readonly SegmentEntry[]): number {
  return segments.reduce((sum, { documentCount, deletedCount }) => sum + documentCount - deletedCount, 0)
}

/** The log of a frozen segment. */
function endedLog({ log: { number, path, length } }: RamSegment): LogState {
  assert(length !== undefined, "the log of a frozen segment has ended")
  return { number, path, length }
}

/** Ids that are looked up together. */
const IDS_STEP = 1024

/** Of segments' files, in the collection's. */
export function foldersOf({ graph }: Pick<Schema, "graph">): readonly string[] {
  return graph ? SEGMENT_FOLDERS : SEGMENT_FOLDERS.slice(0, -1)
}

/** The same segment under another id, with the names that its files get. */
function renamed(entry: SegmentEntry, id: number, tenure: string): SegmentEntry {
  const paths = { ...segmentPaths(segmentStem(id, tenure)), tombstones: tombstonesPath(id, 0, tenure) }
  const files = Object.entries(entry.files).map(([kind, file]) => {
    return [kind, { ...file, path: paths[kind as keyof SegmentEntry["files"]] }]
  })
  return { ...entry, id, files: Object.fromEntries(files) as SegmentEntry["files"] }
}
