import { PrismError } from "../base/errors.ts"
import { fromSent } from "../base/sent-error.ts"
import { settleAll } from "../base/settle.ts"
import type { Runtime, TaskWorker, TaskWorkerListener } from "../runtime.ts"
import type { SegmentEntry } from "../storage/manifest.ts"
import type { Storage } from "../storage/storage.ts"
import type { BuildTask } from "./segment-builder.ts"
import { removeSegmentFiles } from "./segment-files.ts"
import type { VerifiedSegments, VerifyRequest } from "./segment-verifier.ts"
import { type FromWorker, runTask, type Task, type TaskOptions, type ToWorker } from "./task-server.ts"

/** At the same time, of one Prism. One of them is kept for seals: writers may be waiting for the memory they free. */
const TASKS_MAX = 2

/** A thread without work is kept as long: starting one takes some 50 ms, and its memory is worth more after a while. */
const IDLE_MS = 5_000

/** A thread that built a larger index is not kept at all: linear memory never shrinks, and its next task would begin with
 *  a new one before the old one is collected. */
const IDLE_INDEX_BYTES_MAX = 64 * 1024 * 1024

/** Calls back later, unless the returned function is called before. Must not keep the process from ending. */
export type StartTimer = (callback: () => void, milliseconds: number) => () => void

const startUnheldTimer: StartTimer = (callback, milliseconds) => {
  const timer = setTimeout(callback, milliseconds)
  timer.unref()
  return () => clearTimeout(timer)
}

interface Job {
  readonly task: Task
  readonly abort: AbortController
  readonly onProgress: ((documents: number) => void) | undefined
  readonly resolve: (result: unknown) => void
  readonly reject: (error: unknown) => void
}

/** Long work of a Prism, beside what its callers wait for: on threads where the runtime has them and they can reach the
 *  storage, else between the turns of this one. Seals come before merges and verifications; of each kind the oldest is
 *  the first. The process waits for tasks, not for threads without one. */
export class Background {
  readonly #storage: Storage
  readonly #location: string | undefined
  readonly #createSha256: Runtime["createSha256"]
  readonly #startTimer: StartTimer
  #startWorker: Runtime["startWorker"]
  readonly #queue: Job[] = []
  readonly #running = new Map<Job, Promise<void>>()
  /** Threads without work, with what stops their timer. */
  readonly #idle = new Map<Thread, () => void>()
  #closing: Promise<void> | undefined

  constructor(
    runtime: Pick<Runtime, "startWorker" | "createSha256">,
    storage: Storage,
    startTimer: StartTimer = startUnheldTimer,
  ) {
    this.#storage = storage
    this.#createSha256 = runtime.createSha256
    this.#startTimer = startTimer
    this.#location = storage.location
    if (this.#location !== undefined) this.#startWorker = runtime.startWorker
  }

  /** See `buildSegment`. IO_ERROR or LIMIT_EXCEEDED too, where the thread it ran on came to an end; CLOSED. */
  async build(task: BuildTask, options: TaskOptions = {}): Promise<SegmentEntry | undefined> {
    return (await this.#submit({ kind: "build", request: task }, options)) as SegmentEntry | undefined
  }

  /** See `verifySegments`. Errors as of `build`. */
  async verify(request: VerifyRequest, options: TaskOptions = {}): Promise<VerifiedSegments> {
    return (await this.#submit({ kind: "verify", request }, options)) as VerifiedSegments
  }

  /** Aborts every task (CLOSED) and stops the threads. Resolves when nothing runs any more; twice is fine. */
  async close(): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  async #close(): Promise<void> {
    for (const { abort } of [...this.#queue, ...this.#running.keys()]) abort.abort(closedError())
    await Promise.all(this.#running.values())
    const threads = [...this.#idle]
    this.#idle.clear()
    for (const [, stopTimer] of threads) stopTimer()
    await settleAll(
      threads.map(
        ([thread]) =>
          () =>
            thread.stop(),
      ),
    )
  }

  async #submit(task: Task, { signal, onProgress }: TaskOptions): Promise<unknown> {
    if (this.#closing) throw closedError()
    signal?.throwIfAborted()
    const abort = new AbortController()
    const forward = () => abort.abort(signal?.reason)
    signal?.addEventListener("abort", forward)
    try {
      return await new Promise((resolve, reject) => {
        const job: Job = { task, abort, onProgress, resolve, reject }
        abort.signal.addEventListener("abort", () => {
          const place = this.#queue.indexOf(job)
          if (place < 0) return // it runs, and hears of it by itself
          this.#queue.splice(place, 1)
          reject(abort.signal.reason)
        })
        this.#queue.push(job)
        this.#startJobs()
      })
    } finally {
      signal?.removeEventListener("abort", forward)
    }
  }

  #startJobs(): void {
    for (let job = this.#takeNext(); job !== undefined; job = this.#takeNext()) {
      const started = job
      const run = this.#run(started).then(started.resolve, started.reject)
      this.#running.set(
        started,
        run.then(() => {
          this.#running.delete(started)
          this.#startJobs()
        }),
      )
    }
  }

  #takeNext(): Job | undefined {
    if (this.#running.size >= TASKS_MAX) return undefined
    const isOneSlow = [...this.#running.keys()].some((job) => !isSeal(job))
    let place = this.#queue.findIndex(isSeal)
    if (place < 0 && !isOneSlow && this.#queue.length > 0) place = 0
    return place < 0 ? undefined : this.#queue.splice(place, 1)[0]
  }

  async #run(job: Job): Promise<unknown> {
    const { task, onProgress, abort } = job
    const options = { onProgress, signal: abort.signal }
    if (this.#startWorker === undefined || this.#location === undefined) {
      return await runTask(this.#storage, this.#createSha256, task, options)
    }
    const thread = this.#takeThread(this.#startWorker)
    let isKept = false
    try {
      const result = await thread.run(this.#location, task, options)
      isKept = largestIndex(task, result) <= IDLE_INDEX_BYTES_MAX
      return result
    } catch (error) {
      if (error instanceof NotStartedError) {
        // A bundler that left worker.ts out, a loader that does not take it: slower is better than not at all.
        this.#startWorker = undefined
        return await this.#run(job)
      }
      if (thread.hasEnded && task.kind === "build") {
        await removeSegmentFiles(this.#storage, task.request.directory, task.request.stem)
      }
      throw abort.signal.aborted ? abort.signal.reason : error
    } finally {
      if (isKept && !this.#closing) this.#keep(thread)
      else await thread.stop()
    }
  }

  #takeThread(startWorker: NonNullable<Runtime["startWorker"]>): Thread {
    for (const [thread, stopTimer] of this.#idle) {
      this.#idle.delete(thread)
      stopTimer()
      if (!thread.hasEnded) return thread
    }
    return new Thread(startWorker)
  }

  #keep(thread: Thread): void {
    const stopTimer = this.#startTimer(() => {
      this.#idle.delete(thread)
      void thread.stop()
    }, IDLE_MS)
    this.#idle.set(thread, stopTimer)
  }
}

/** The thread ended before it said that it listens. */
class NotStartedError extends Error {}

/** A worker thread that runs one task at a time. */
class Thread {
  readonly #worker: TaskWorker | undefined
  readonly #started: Promise<void>
  #task:
    | { onProgress: TaskOptions["onProgress"]; resolve(result: unknown): void; reject(error: unknown): void }
    | undefined
  hasEnded = false

  constructor(startWorker: NonNullable<Runtime["startWorker"]>) {
    let isStarted: () => void
    let isNot: (error: unknown) => void
    this.#started = new Promise((resolve, reject) => {
      isStarted = resolve
      isNot = reject
    })
    this.#started.catch(() => undefined) // `run` awaits it
    const listener: TaskWorkerListener = {
      onMessage: (message) => {
        const answer = message as FromWorker
        if (answer.kind === "ready") isStarted()
        else if (answer.kind === "progress") this.#task?.onProgress?.(answer.documents)
        else if (answer.kind === "done") this.#task?.resolve(answer.result)
        else this.#task?.reject(fromSent(answer.error))
      },
      onEnd: (error) => {
        this.hasEnded = true
        isNot(new NotStartedError("the thread did not start", { cause: error }))
        this.#task?.reject(endedError(error))
      },
    }
    try {
      this.#worker = startWorker(listener)
    } catch (error) {
      // A process that may start none.
      listener.onEnd(error)
    }
  }

  async run(location: string, task: Task, { signal, onProgress }: TaskOptions): Promise<unknown> {
    this.#worker?.setHoldsProcess(true)
    const post = (message: ToWorker) => this.#worker?.post(message)
    const abort = () => post({ kind: "abort" })
    try {
      await this.#started
      if (this.hasEnded) throw endedError(undefined)
      signal?.throwIfAborted()
      signal?.addEventListener("abort", abort)
      return await new Promise((resolve, reject) => {
        this.#task = { onProgress, resolve, reject }
        post({ kind: "run", location, task })
      })
    } finally {
      this.#task = undefined
      signal?.removeEventListener("abort", abort)
      this.#worker?.setHoldsProcess(false)
    }
  }

  async stop(): Promise<void> {
    await this.#worker?.stop()
  }
}

/** Bytes of the largest index that a task had in memory, about. */
function largestIndex({ kind, request }: Task, result: unknown): number {
  const entries = kind === "verify" ? request.entries : [result as SegmentEntry | undefined]
  const sizes = entries.flatMap((entry) => {
    const { text, vector, graph } = entry?.files ?? {}
    return [text, vector, graph].map((file) => file?.length ?? 0)
  })
  return Math.max(0, ...sizes)
}

function endedError(cause: unknown): PrismError {
  const { code, message } = cause instanceof Error ? (cause as Error & { code?: unknown }) : {}
  if (code === "ERR_WORKER_OUT_OF_MEMORY") {
    return new PrismError("LIMIT_EXCEEDED", "a thread in the background has used up its memory", {
      hint: "give the process more memory, or spread the documents over several collections",
      cause,
    })
  }
  const why = message === undefined ? "" : `: ${message}`
  return new PrismError("IO_ERROR", `a thread in the background came to an end before its task did${why}`, {
    hint: "nothing that was acknowledged is lost: try it again",
    cause,
  })
}

function closedError(): PrismError {
  return new PrismError("CLOSED", "this Prism is closed", { hint: "open it again" })
}

/** Turns a log into a segment. */
function isSeal({ task }: Job): boolean {
  return task.kind === "build" && task.request.sources.some(({ kind }) => kind === "log")
}
