import { isDiskFull, PrismError } from "../base/errors.ts"
import { settleAll } from "../base/settle.ts"
import type { SegmentEntry } from "../storage/manifest.ts"
import { buildBytes, chooseMerge, levelAfter, type MergeCandidate, planOptimize, type Run } from "./compaction.ts"
import type { CollectionContext } from "./context.ts"
import type { Capture, Generations } from "./generations.ts"
import { graphRecordCount } from "./graph-counts.ts"
import type { Progress } from "./progress.ts"
import { sizeOfLogs } from "./size.ts"

/** Gives a task the turn in which the list of segments may change. */
export type Take = (task: () => Promise<void>) => Promise<void>

export interface OptimizeOptions {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

/** A segment that is being built from a capture. */
interface Job {
  readonly capture: Capture
  readonly built: Promise<SegmentEntry | undefined>
  readonly abort: AbortController
}

/** Engine memory that the building of one segment may take; the rest of its 4 GiB is for what an estimate misses. */
const BUILD_BYTES_MAX = 3 * 1024 * 1024 * 1024

/** A sealed segment takes about as much as its log: the documents once more, the graph beside the vectors, the index. */
const SEGMENT_PER_LOG_BYTES = 2

/** Seals and merges the segments of a collection in the background, one seal and one merge at a time. */
export class Compactor {
  readonly #context: CollectionContext
  readonly #generations: Generations
  readonly #take: Take
  #sealing: Job | undefined
  #merging: Job | undefined
  #optimizing: Promise<void> | undefined
  #onProgress: ((progress: Progress) => void) | undefined
  #mayMerge = true
  #maySeal = true
  /** Why the last job did not come about; the next one that does clears it. */
  problem: unknown

  constructor(context: CollectionContext, generations: Generations, take: Take) {
    this.#context = context
    this.#generations = generations
    this.#take = take
  }

  /** Begins what there is to do. After a failure nothing is tried again until the next call. */
  schedule(): void {
    if (!this.#mayMerge || this.#generations.uncertain) return
    if (!this.#sealing && this.#generations.frozen.length > 0) this.#startSeal()
    if (this.#merging || this.#optimizing) return
    const { mergeFactor } = this.#context.tuning
    const run = chooseMerge(this.#candidates(), { mergeFactor, bytesMax: BUILD_BYTES_MAX })
    if (!run) return
    const total = this.#liveCount(run)
    const report = (done: number) => this.#onProgress?.({ stage: "optimizing", unit: "documents", done, total })
    this.#startMerge(run, report)
  }

  #liveCount({ first, end }: Run): number {
    return this.#generations.sealed.slice(first, end).reduce((sum, { liveCount }) => sum + liveCount, 0)
  }

  /** Tries again what a full disk hindered, once there is room. */
  async retryWhenRoom(): Promise<void> {
    if (isDiskFull(this.problem) && (await this.#hasRoom())) this.schedule()
  }

  /** Whether the disk may hold what the next segment takes; true where nobody can tell. */
  async #hasRoom(): Promise<boolean> {
    const free = await this.#context.storage.freeBytes()
    return free === undefined || free > SEGMENT_PER_LOG_BYTES * sizeOfLogs(this.#generations.logs)
  }

  /** Merges what is due, as it would happen by itself, and waits for it. What hinders a merge is remembered, no error. */
  async settle({ signal, onProgress }: OptimizeOptions): Promise<void> {
    this.#onProgress = onProgress
    const stop = () => this.#merging?.abort.abort(signal?.reason)
    signal?.addEventListener("abort", stop)
    try {
      for (this.schedule(); this.#merging && !signal?.aborted; ) await this.#finish(this.#merging)
    } catch {
      // It is in `problem`.
    } finally {
      signal?.removeEventListener("abort", stop)
      this.#onProgress = undefined
    }
    signal?.throwIfAborted()
  }

  /** Waits until the oldest frozen segment is sealed, which is begun if it was not. Rejects with what hindered it. */
  async sealOldest(take: Take = this.#take): Promise<void> {
    if (this.#generations.frozen.length === 0) return
    // Not to write most of a segment for each that asks.
    if (isDiskFull(this.problem) && !(await this.#hasRoom())) throw this.problem
    await this.#finish(this.#sealing ?? this.#startSeal(), take)
  }

  /** Merges the sealed segments into as few as one engine can build, without deleted documents. */
  async optimize(options: OptimizeOptions): Promise<void> {
    while (this.#optimizing) await this.#optimizing.catch(() => undefined)
    this.#optimizing = this.#optimize(options)
    try {
      await this.#optimizing
    } finally {
      this.#optimizing = undefined
      this.schedule()
    }
  }

  async #optimize({ signal, onProgress }: OptimizeOptions): Promise<void> {
    // No other merge begins meanwhile, so runs stay where they are: seals come behind them, and the last run is first.
    while (this.#merging) await this.#finish(this.#merging).catch(() => undefined)
    const runs = planOptimize(this.#candidates(), BUILD_BYTES_MAX)
    const total = runs.reduce((sum, run) => sum + this.#liveCount(run), 0)
    let done = 0
    for (const run of runs.reverse()) {
      signal?.throwIfAborted()
      const report = (built: number) =>
        onProgress?.({ stage: "optimizing", unit: "documents", done: done + built, total })
      const documents = this.#liveCount(run)
      const job = this.#startMerge(run, report)
      const stop = () => job.abort.abort(signal?.reason)
      signal?.addEventListener("abort", stop)
      try {
        await this.#finish(job)
      } finally {
        signal?.removeEventListener("abort", stop)
      }
      done += documents
      report(0)
    }
  }

  /** Gives up the merge that is running, if any; none begins afterwards (CLOSED). */
  async stopMerging(): Promise<void> {
    this.#mayMerge = false
    this.#merging?.abort.abort(closedError())
    if (this.#merging) await this.#finish(this.#merging).catch(() => undefined)
  }

  /** Gives up everything, and nothing begins afterwards (CLOSED): its end would change a manifest that may be another
   *  writer's by then. */
  async stop(): Promise<void> {
    this.#mayMerge = false
    this.#maySeal = false
    const jobs = [this.#sealing, this.#merging].filter((job) => job !== undefined)
    for (const job of jobs) job.abort.abort(closedError())
    await settleAll(jobs.map((job) => () => this.#finish(job).catch(() => undefined)))
  }

  #candidates(): MergeCandidate[] {
    const { sealed, shape, isOfDocumentsAlone } = this.#generations
    return sealed.map(({ entry, liveCount }, place) => {
      const { level, documentCount, graph } = entry
      const records = isOfDocumentsAlone ? graphRecordCount(entry) : 0
      // What is deleted in the oldest segment hides nothing any more.
      const graphWaste = place === 0 ? Math.max(records, graph?.deletions ?? 0) : records
      return { level, documentCount, liveCount, graphWaste, bytes: buildBytes(entry, liveCount, shape.vector) }
    })
  }

  #startSeal(): Job {
    if (!this.#maySeal) throw closedError()
    const job = this.#start(this.#generations.captureLog())
    this.#sealing = job
    return job
  }

  #startMerge(run: Run, onProgress?: (documents: number) => void): Job {
    if (!this.#mayMerge) throw closedError()
    const entries = this.#generations.sealed.slice(run.first, run.end).map(({ entry }) => entry)
    const job = this.#start(this.#generations.captureRun(run, levelAfter(entries)), onProgress)
    this.#merging = job
    return job
  }

  #start(capture: Capture, onProgress?: (documents: number) => void): Job {
    const abort = new AbortController()
    const options = { signal: abort.signal, ...(onProgress ? { onProgress } : {}) }
    const built = this.#context.background.build(capture.task, options)
    const job: Job = { capture, abort, built }
    // Where nobody waits for it, it is put into its place when it is ready.
    const finish = () => this.#finish(job).catch(() => undefined)
    void job.built.then(finish, finish)
    return job
  }

  /** Waits for a job, then puts its segment into the place of its sources. Rejects with what hindered that, which is
   *  remembered too. Whoever comes second finds it done. */
  async #finish(job: Job, take: Take = this.#take): Promise<void> {
    await job.built.catch(() => undefined)
    await take(async () => {
      if (this.#sealing !== job && this.#merging !== job) return
      try {
        const entry = await job.built
        await this.#generations.install(job.capture, entry)
        this.problem = undefined
      } catch (error) {
        if (!job.abort.signal.aborted) this.problem = error
        throw error
      } finally {
        // Not earlier: while it is put into its place, nobody may begin to build from the same sources.
        if (this.#sealing === job) this.#sealing = undefined
        else this.#merging = undefined
        await job.capture.release()
        await this.#generations.swept()
      }
      this.schedule()
    })
  }
}

function closedError(): PrismError {
  return new PrismError("CLOSED", "the collection is closed", { hint: "open it again" })
}
