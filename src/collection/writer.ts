import { isDiskFull, PrismError } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import { settleAll } from "../base/settle.ts"
import type { Graph, GraphSize } from "../engine/graph.ts"
import type { Manifest, SegmentEntry } from "../storage/manifest.ts"
import { Compactor, type OptimizeOptions, type Take } from "./compactor.ts"
import type { CollectionContext } from "./context.ts"
import { Generations, type OpenLog } from "./generations.ts"
import { expandedDeletion } from "./graph-operations.ts"
import {
  applyOperations,
  asLogged,
  documentIdOf,
  placeOf,
  prepareOperations,
  type WriteOperation,
} from "./operations.ts"
import { operationBytes } from "./ram-segment.ts"
import type { Schema } from "./schema.ts"
import type { Segment, SegmentShape } from "./segment.ts"
import { sizeOf } from "./size.ts"
import { type PinnedGeneration, pinGeneration } from "./view.ts"

/** What became of a write. */
export interface Committed {
  /** Operations, from the first on, that are durable and visible. All of them, unless there is a refusal. */
  readonly done: number
  readonly found: Found
  /** Why the rest was not taken. */
  readonly refusal: PrismError | undefined
}

/** What operations met. */
export interface Found {
  /** Documents that were replaced or deleted. */
  documents: number
  /** Nodes and edges that were deleted, where no document brings them. */
  nodes: number
  edges: number
}

class PendingWrite {
  readonly operations: readonly WriteOperation[]
  readonly resolve: (committed: Committed) => void
  readonly reject: (error: unknown) => void
  done = 0
  readonly found: Found = { documents: 0, nodes: 0, edges: 0 }
  refusal: PrismError | undefined

  constructor(
    operations: readonly WriteOperation[],
    resolve: (committed: Committed) => void,
    reject: (error: unknown) => void,
  ) {
    this.operations = operations
    this.resolve = resolve
    this.reject = reject
  }
}

/** An operation on its way into the log. */
interface Item {
  readonly write: PendingWrite
  readonly operation: WriteOperation
}

/** What the log gets of an item; the deletion of a node takes several. */
interface Entry extends Item {
  readonly isLast: boolean
}

interface Frame {
  readonly entries: readonly Entry[]
  /** Entries that are applied between two looks at the clock. */
  readonly step: number
}

/** Stored bytes a frame of the log holds at most: large enough that a sync is spread over many documents, small enough
 *  that replay and the reader of a frame stay in bounded memory. */
const FRAME_BYTES_MAX = 4 * 1024 * 1024
const FRAME_OPERATIONS_MAX = 4096
/** Operations of a frame that are indexed between two looks at the clock: a millisecond or two. */
const APPLY_STEP = 64

/** A log of deletions adds nothing to the RAM segment; past this many times a full one's bytes it is folded all the
 *  same. More than the documents of a full RAM segment take (a UTF-16 unit is up to three bytes), so it moves no
 *  segment's end. */
const LOG_PER_RAM_BYTES = 4

/** RAM segments that may wait to be sealed. Whoever writes faster than they are sealed waits for it: memory stays
 *  bounded, and so does the log that a restart replays. */
const FROZEN_MAX = 2

/** No document is taken when the engine holds more. What lies between this and the 4 GiB of its memory is for searching:
 *  a document must never be in the log that the next open has no room to replay. */
const ENGINE_BYTES_MAX = 3 * 1024 * 1024 * 1024

/** What a byte of a segment's graph takes at most once it is loaded: an edge of 12 bytes is one of 32, with a place in two
 *  rows and in a hash table, each of which doubles. */
const GRAPH_LOAD_FACTOR = 12

/** A log longer than this is folded at close: it would take the next open 50 ms (text at more than 20 MB/s). A shorter one
 *  is cheaper to replay than a tiny segment is to keep. */
const CLOSE_CHECKPOINT_BYTES = 1024 * 1024

/** The one writer of a collection. Writes are applied in the order in which they were called; those that wait together
 *  share one frame of the log and so one sync. Segments are sealed and merged in the background. */
export class CollectionWriter {
  readonly schema: Schema
  /** For messages. */
  readonly #name: string
  readonly #context: CollectionContext
  readonly #shape: SegmentShape
  readonly #generations: Generations
  readonly #compactor: Compactor
  #pending: PendingWrite[] = []
  #drainScheduled = false
  #tail: Promise<unknown> = Promise.resolve()
  /** Set when memory may no longer equal the log; only opening the collection again repairs that. */
  #broken: unknown
  #diskFull = false
  #closing: Promise<void> | undefined

  private constructor(
    name: string,
    context: CollectionContext,
    schema: Schema,
    shape: SegmentShape,
    generations: Generations,
  ) {
    this.#name = name
    this.#context = context
    this.schema = schema
    this.#shape = shape
    this.#generations = generations
    this.#compactor = new Compactor(context, generations, (task) => this.#exclusive(task))
  }

  static async open(
    name: string,
    context: CollectionContext,
    manifest: Manifest,
    schema: Schema,
    shape: SegmentShape,
  ): Promise<CollectionWriter> {
    const generations = await Generations.open(name, context, manifest, schema, shape)
    const writer = new CollectionWriter(name, context, schema, shape, generations)
    // What a crash left waiting. Merges begin with the next seal: a command that writes one document is not to start one.
    if (generations.frozen.length > 0) writer.#compactor.schedule()
    return writer
  }

  get isClosed(): boolean {
    return this.#closing !== undefined
  }

  /** Segments in the order in which their documents were written; the RAM segment is the last. CLOSED once the writer
   *  is closed, but no error after a failed write: what was acknowledged can still be read. */
  get segments(): readonly Segment[] {
    if (this.isClosed) throw this.#closedError()
    return this.#generations.segments
  }

  get manifest(): Manifest {
    if (this.isClosed) throw this.#closedError()
    return this.#generations.manifest
  }

  /** Keeps the files that the manifest names now until the returned function is called. */
  holdFiles(): () => Promise<void> {
    if (this.isClosed) throw this.#closedError()
    return this.#generations.hold()
  }

  get logs(): readonly OpenLog[] {
    return this.#generations.logs
  }

  /** A moment between two commits: it has everything that was acknowledged before the call. */
  async pin(): Promise<PinnedGeneration> {
    return await this.#exclusive(async () => pinGeneration(this))
  }

  get state(): "ready" | "disk full" | "read-only" {
    if (this.#failure !== undefined) return "read-only"
    return this.#diskFull ? "disk full" : "ready"
  }

  /** Why the last seal or merge did not come about; undefined once one has. */
  get problem(): unknown {
    return this.#compactor.problem
  }

  /** Makes the operations durable and visible, or a prefix of them where one is refused. Where it rejects, any prefix
   *  may be there: a restart decides. DISK_FULL rejects what did not fit, and the next write tries again. `onDone` is
   *  called before it settles, also where it rejects, with the number of operations that are known to be durable. */
  async commit(operations: readonly WriteOperation[], onDone?: (done: number) => void): Promise<Committed> {
    this.#assertUsable()
    if (operations.length === 0) return { done: 0, found: { documents: 0, nodes: 0, edges: 0 }, refusal: undefined }
    let write: PendingWrite | undefined
    const committed = new Promise<Committed>((resolve, reject) => {
      write = new PendingWrite(operations, resolve, reject)
      this.#pending.push(write)
      if (this.#drainScheduled) return
      this.#drainScheduled = true
      void this.#exclusive(async () => {
        this.#drainScheduled = false
        await this.#drain(this.#pending.splice(0))
      })
    })
    return await committed.finally(() => onDone?.(write?.done ?? 0))
  }

  /** The collection's graph, loaded; for as long as nothing is awaited, because a restore may put another one in its
   *  place. */
  async loadGraph(): Promise<Graph> {
    if (this.isClosed) throw this.#closedError()
    return this.#generations.graph ?? (await this.#exclusive(() => this.#generations.loadGraph()))
  }

  /** The same where it is loaded. */
  get graph(): Graph | undefined {
    if (this.isClosed) throw this.#closedError()
    return this.#generations.graph
  }

  /** From now on what is built leaves out the nodes and edges that no document brings. */
  keepDocumentsAlone(): void {
    this.#generations.isOfDocumentsAlone = true
  }

  /** Seals everything written so far into immutable segments. */
  async checkpoint(): Promise<void> {
    this.#assertUsable()
    await this.#exclusive(async () => {
      this.#assertWhole()
      if (!this.#generations.log.isEmpty) await this.#generations.freeze()
    })
    const last = this.#generations.frozen.at(-1)
    while (last && this.#generations.frozen.includes(last)) await this.#compactor.sealOldest()
  }

  /** Merges segments until there are as few as one engine can build, without deleted documents. */
  async optimize(options: OptimizeOptions = {}): Promise<void> {
    options.signal?.throwIfAborted()
    await this.checkpoint()
    await this.#compactor.optimize(options)
  }

  /** Seals what waits, and merges what is due. */
  async settle(options: OptimizeOptions): Promise<void> {
    this.#assertUsable()
    await this.#compactor.settle(options)
  }

  /** Takes over the segments of another collection's directory; see Generations.adopt. */
  async adopt(directory: string, entries: readonly SegmentEntry[]): Promise<number> {
    this.#assertUsable()
    return await this.#exclusive(async () => {
      this.#assertWhole()
      if (!this.#generations.log.isEmpty) await this.#generations.freeze()
      while (this.#generations.frozen.length > 0) await this.#compactor.sealOldest(inTurn)
      const replaced = await this.#generations.adopt(directory, entries)
      this.#compactor.schedule()
      return replaced
    })
  }

  /** Lets go of everything after the writes that wait. A long log is folded first, so that the next open is quick, unless
   *  `fold` is false. Every call resolves when it is done. */
  async close(options: { fold?: boolean } = {}): Promise<void> {
    this.#closing ??= this.#close(options.fold !== false)
    await this.#closing
  }

  async #close(fold: boolean): Promise<void> {
    await settleAll([
      () => this.#compactor.stopMerging(),
      () =>
        this.#exclusive(async () => {
          if (!fold || this.#failure !== undefined) return
          try {
            if (this.#generations.log.length > CLOSE_CHECKPOINT_BYTES) await this.#generations.freeze()
            while (this.#generations.frozen.length > 0) await this.#compactor.sealOldest(inTurn)
          } catch (error) {
            // The logs have it all, and the next open tries again.
            if (!isDiskFull(error)) throw error
          }
        }),
      () => this.#compactor.stop(),
      () => this.#exclusive(() => this.#generations.close()),
    ])
  }

  /** Runs tasks one after another; a failed one does not stop the next. */
  async #exclusive<T>(task: () => Promise<T>): Promise<T> {
    const run = this.#tail.then(task)
    this.#tail = run.catch(() => {})
    return await run
  }

  get #failure(): unknown {
    return this.#broken ?? this.#generations.uncertain?.error
  }

  #assertUsable(): void {
    if (this.isClosed) throw this.#closedError()
    this.#assertWhole()
  }

  /** Once more when a task's turn has come: one before it may have failed. Then nobody knows which log the manifest on
   *  the disk names, and what would be written to this one might never be replayed. */
  #assertWhole(): void {
    const failure = this.#failure
    if (failure === undefined) return
    if (failure instanceof PrismError && failure.code === "LOCK_LOST") throw failure
    throw new PrismError("READ_ONLY", `collection "${this.#name}" takes no writes after an error`, {
      hint: "close it and open it again: what was acknowledged is safe",
      cause: failure,
    })
  }

  #closedError(): PrismError {
    return new PrismError("CLOSED", `collection "${this.#name}" is closed`, { hint: "open it again" })
  }

  async #drain(writes: readonly PendingWrite[]): Promise<void> {
    const items = writes.flatMap((write) => write.operations.map((operation): Item => ({ write, operation })))
    try {
      this.#assertWhole()
      for (let first = 0; first < items.length; ) {
        const end = await this.#frameEnd(items, first)
        await this.#commitFrame(items.slice(first, end))
        first = end
      }
    } catch (error) {
      this.#diskFull = isDiskFull(error)
      // Those that were answered stay so; one that a quota refused in part waits for its frame like the others.
      for (const write of writes) write.reject(error)
    }
  }

  /** Items up to which one frame goes. Freezes the RAM segment first when the next document has no room in it: where a
   *  segment ends depends on the documents alone. */
  async #frameEnd(items: readonly Item[], first: number): Promise<number> {
    const { tuning } = this.#context
    if (this.#generations.mustBeginLog) await this.#freeze()
    if (this.#generations.log.length > LOG_PER_RAM_BYTES * tuning.ramBytes) await this.#freeze()
    let bytes = 0
    let documents = 0
    let end = first
    for (; end < items.length && end - first < FRAME_OPERATIONS_MAX; end++) {
      const { write, operation } = items[end] as Item
      // By itself: which edges go with it is known once everything before it is done.
      if (operation.kind === "delete node") return Math.max(end, first + 1)
      if (!operation.kind.startsWith("put") || write.refusal) continue
      if (this.#shape.engine.memoryInUse > ENGINE_BYTES_MAX) {
        write.refusal = new PrismError(
          "LIMIT_EXCEEDED",
          `the index of collection "${this.#name}" has no room in memory`,
          {
            hint: "spread the documents over several collections",
          },
        )
        continue
      }
      const size = operationBytes(operation)
      const isDocument = operation.kind === "put"
      if (this.#generations.active.isFullFor(bytes + size, documents + (isDocument ? 1 : 0), tuning)) {
        if (end > first) break
        await this.#freeze()
      }
      if (end > first && bytes + size > FRAME_BYTES_MAX) break
      bytes += size
      if (isDocument) documents++
    }
    return end
  }

  async #commitFrame(items: readonly Item[]): Promise<void> {
    const { older } = this.#generations
    const operations = items.map(({ operation }) => operation)
    let taken = await this.#withinGraph(items.filter(({ write }) => write.refusal === undefined))
    const prepared = prepareOperations(older, operations)
    if (this.#hasQuota) {
      await prepared
      taken = this.#withinQuota(taken)
    }
    if (taken.length > 0) {
      for await (const frame of this.#framesOf(taken)) await this.#commitEntries(frame, prepared)
    }
    for (const { write } of items) if (isDone(write)) write.resolve(write)
  }

  async #commitEntries({ entries, step }: Frame, prepared: Promise<unknown> | undefined): Promise<void> {
    const operations = entries.map(({ operation }) => operation)
    // Both wait for the disk, and neither for the other.
    const [appended, looked] = await Promise.allSettled([
      this.#generations.log.append(operations.map(asLogged)),
      prepared,
    ])
    if (appended.status === "rejected") {
      const { reason } = appended
      // The frame may or may not be in the file: only a replay can tell. A full disk took nothing of it.
      if (!isDiskFull(reason)) this.#broken = reason
      throw reason
    }
    this.#diskFull = false
    await this.#compactor.retryWhenRoom()
    try {
      if (looked.status === "rejected") throw looked.reason
      // After the sync, before anybody is told: whoever took the storage over meanwhile has replayed this frame, or it
      // is not acknowledged.
      await this.#context.assertHeld()
      for (let first = 0; first < operations.length; first += step) {
        const end = first + step
        const places = appended.value.slice(first, end)
        const found = applyOperations(this.#generations, operations.slice(first, end), places)
        for (const [place, { write, operation, isLast }] of entries.slice(first, end).entries()) {
          if (isLast) write.done++
          if (found[place]) write.found[kindOf(operation)]++
        }
        await letOthersRun()
      }
    } catch (error) {
      this.#broken = error
      throw error
    }
  }

  /** One frame; of the deletion of a node, which comes by itself, several where it has many edges. */
  async *#framesOf(items: readonly Item[]): AsyncGenerator<Frame, void, undefined> {
    // Only the graph knows what is there to be deleted.
    const deletes = items.some(({ operation: { kind } }) => kind === "delete node" || kind === "delete edge")
    const graph = deletes ? await this.#generations.loadGraph() : undefined
    const [{ write, operation }] = items as [Item]
    if (!graph || operation.kind !== "delete node") {
      yield { entries: items.map((item) => ({ ...item, isLast: true })), step: APPLY_STEP }
      return
    }
    for (const part of expandedDeletion(graph, operation.id)) {
      const entries = part.map((one) => ({ write, operation: one, isLast: one.kind === "delete node" }))
      // Nobody sees a part of it.
      yield { entries, step: part.length }
    }
  }

  /** A restore is no reason to refuse what was there already: it warns instead. */
  get #hasQuota(): boolean {
    const { maxDocuments, maxSizeMb } = this.schema.quota
    return this.#context.durable && (maxDocuments !== undefined || maxSizeMb !== undefined)
  }

  /** Leaves out, and refuses, what would take the collection past its quota. */
  #withinQuota(items: readonly Item[]): Item[] {
    const { maxDocuments = Number.POSITIVE_INFINITY, maxSizeMb = Number.POSITIVE_INFINITY } = this.schema.quota
    const segments = this.#generations.segments
    const there = new Map<string, boolean>()
    let documents = segments.reduce((sum, { liveCount }) => sum + liveCount, 0)
    let bytes = sizeOf(this.#generations.manifest, this.#generations.logs)
    return items.filter(({ write, operation }) => {
      if (write.refusal) return false
      const id = documentIdOf(operation)
      const isThere = id === undefined || (there.get(id) ?? segments.some((segment) => segment.find(id) !== undefined))
      if (operation.kind === "delete") {
        if (isThere) documents--
        there.set(operation.id, false)
        return true
      }
      const size = operationBytes(operation)
      if (!isThere && documents + 1 > maxDocuments) {
        write.refusal = this.#quotaExceeded(`${maxDocuments} documents`, operation)
      } else if (size > 0 && bytes + size > maxSizeMb * 1_000_000) {
        write.refusal = this.#quotaExceeded(`${maxSizeMb} MB`, operation)
      }
      if (write.refusal) return false
      if (!isThere) documents++
      bytes += size
      if (id !== undefined) there.set(id, true)
      return true
    })
  }

  /** Leaves out, and refuses, what the graph has no room for: what is in the log it must be able to take. */
  async #withinGraph(items: readonly Item[]): Promise<Item[]> {
    const sizes = items.map(({ operation }) => graphSizeOf(operation))
    const sum = (of: keyof GraphSize) => sizes.reduce((total, size) => total + size[of], 0)
    const more = { nodes: sum("nodes"), explicit: sum("explicit"), derived: sum("derived") }
    if (more.nodes === 0) return [...items]
    try {
      const graph = this.#generations.graph ?? (this.#mayGraphFail ? await this.#generations.loadGraph() : undefined)
      graph?.reserve(more)
      return [...items]
    } catch (error) {
      if (!(error instanceof PrismError && error.code === "LIMIT_EXCEEDED")) throw error
      return items.filter(({ write }, place) => {
        if (sizes[place]?.nodes) write.refusal ??= error
        return write.refusal === undefined
      })
    }
  }

  /** Whether a graph that is not loaded might have no room in memory. */
  get #mayGraphFail(): boolean {
    const { sealed, frozen, active } = this.#generations
    const files = sealed.reduce((sum, { files: { graph } }) => sum + (graph?.size ?? 0), 0)
    const logs = [...frozen, active].reduce((sum, { storedBytes }) => sum + storedBytes, 0)
    return this.#shape.engine.memoryInUse + (files + logs) * GRAPH_LOAD_FACTOR > ENGINE_BYTES_MAX
  }

  #quotaExceeded(quota: string, operation: WriteOperation): PrismError {
    return new PrismError("QUOTA_EXCEEDED", `collection "${this.#name}" has its quota of ${quota}`, {
      place: placeOf(operation),
      hint: "delete documents and optimize, or merge an export into a collection whose schema allows more",
    })
  }

  /** Begins a new RAM segment, when there is room for one more that waits. */
  async #freeze(): Promise<void> {
    while (this.#generations.frozen.length >= FROZEN_MAX) await this.#compactor.sealOldest(inTurn)
    await this.#generations.freeze()
    this.#compactor.schedule()
  }
}

/** For who has the turn already. */
const inTurn: Take = (task) => task()

function isDone(write: PendingWrite): boolean {
  return write.refusal !== undefined || write.done === write.operations.length
}

/** Nodes and edges that an operation adds to the graph at most. */
function graphSizeOf(operation: WriteOperation): GraphSize {
  const derived = operation.kind === "put" ? operation.document.edgeCount : 0
  const explicit = operation.kind === "put edge" ? 1 : 0
  // Beside the ends of edges the document that brings them.
  const own = derived > 0 || operation.kind === "put node" ? 1 : 0
  return { nodes: own + 2 * (explicit + derived), explicit, derived }
}

function kindOf({ kind }: WriteOperation): keyof Found {
  if (kind === "put" || kind === "delete") return "documents"
  return kind === "put node" || kind === "delete node" ? "nodes" : "edges"
}
