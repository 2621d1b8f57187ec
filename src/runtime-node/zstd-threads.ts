// Compressing and decompressing on threads, where node:zlib has no Zstandard, or has it on the calling thread alone.
import { availableParallelism } from "node:os"
import { PrismError } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import { fromSent, type SentError, toSent } from "../base/sent-error.ts"
import type { TaskWorkerListener } from "../runtime.ts"
import type { ParentThread, Thread } from "./thread.ts"
import type { BlockingCodec } from "./zstd-codec.ts"

type Job =
  | { readonly kind: "compress"; readonly bytes: Uint8Array }
  | { readonly kind: "decompress"; readonly bytes: Uint8Array; readonly length: number }

/** One answer a job, in order. */
type Answer =
  | { readonly kind: "ready" }
  | { readonly kind: "done"; readonly bytes: Uint8Array }
  | { readonly kind: "failed"; readonly error: SentError }

const THREADS_MAX = Math.min(4, availableParallelism())

/** A thread without work is kept as long, where it does not keep the process. */
const IDLE_MS = 5_000

function runJob(codec: BlockingCodec, job: Job): Uint8Array {
  return job.kind === "compress" ? codec.compress(job.bytes) : codec.decompress(job.bytes, job.length)
}

/** Serves the jobs that a parent thread sends. */
export function serveZstd(parent: Pick<ParentThread, "post" | "listen">, codec: Promise<BlockingCodec>): void {
  const answer = async (job: Job) => {
    try {
      const bytes = runJob(await codec, job)
      parent.post({ kind: "done", bytes } satisfies Answer, [bytes.buffer as ArrayBuffer])
    } catch (error) {
      parent.post({ kind: "failed", error: toSent(error) } satisfies Answer)
    }
  }
  parent.listen((message) => void answer(message as Job))
  parent.post({ kind: "ready" } satisfies Answer)
}

/** Does jobs on as many threads as there are cores, four at most; on the calling thread where none can be started. The
 *  process waits for jobs; for threads without one only where the runtime cannot leave them, and then not for long. */
export class CodecThreads {
  readonly #startThread: (listener: TaskWorkerListener) => Thread
  readonly #loadCodec: () => Promise<BlockingCodec>
  readonly #idleMs: number
  /** Threads without work, with the timer that stops them. */
  readonly #idle = new Map<CodecThread, ReturnType<typeof setTimeout>>()
  readonly #waiting: (() => void)[] = []
  #running = 0
  /** Set once it is known that no thread starts. */
  #codecHere: Promise<BlockingCodec> | undefined

  /** `loadCodec`: the one for the calling thread. */
  constructor(
    startThread: (listener: TaskWorkerListener) => Thread,
    loadCodec: () => Promise<BlockingCodec>,
    idleMs = IDLE_MS,
  ) {
    this.#startThread = startThread
    this.#loadCodec = loadCodec
    this.#idleMs = idleMs
  }

  async run(job: Job): Promise<Uint8Array> {
    if (this.#running === THREADS_MAX) await new Promise<void>((resolve) => void this.#waiting.push(resolve))
    else this.#running++
    try {
      return await (this.#codecHere === undefined ? this.#runThere(job) : this.#runHere(job, this.#codecHere))
    } finally {
      // A job that waits takes this one's place.
      const next = this.#waiting.shift()
      if (next !== undefined) next()
      else this.#running--
    }
  }

  async #runHere(job: Job, codec: Promise<BlockingCodec>): Promise<Uint8Array> {
    await letOthersRun()
    return runJob(await codec, job)
  }

  async #runThere(job: Job): Promise<Uint8Array> {
    const thread = this.#takeThread()
    try {
      const bytes = await thread.run(job)
      this.#keep(thread)
      return bytes
    } catch (error) {
      if (error instanceof NotStartedError) {
        // A bundler that left worker.ts out, a loader that does not take it: slower is better than not at all.
        this.#codecHere ??= this.#loadCodec()
        return await this.#runHere(job, this.#codecHere)
      }
      // A refused frame is no fault of the thread. A codec that ran out of memory fails for ever: the next job gets a new one.
      if (error instanceof PrismError && error.code === "CORRUPT") this.#keep(thread)
      else await thread.stop()
      throw error
    }
  }

  #takeThread(): CodecThread {
    for (const [thread, timer] of this.#idle) {
      this.#idle.delete(thread)
      clearTimeout(timer)
      if (!thread.hasEnded) return thread
    }
    return new CodecThread(this.#startThread)
  }

  #keep(thread: CodecThread): void {
    const timer = setTimeout(() => {
      this.#idle.delete(thread)
      void thread.stop()
    }, this.#idleMs)
    timer.unref()
    this.#idle.set(thread, timer)
  }
}

/** The thread ended before it said that it listens. */
class NotStartedError extends Error {}

/** A thread that does one job at a time. */
class CodecThread {
  readonly #thread: Thread | undefined
  readonly #started: Promise<void>
  #job: { resolve(bytes: Uint8Array): void; reject(error: unknown): void } | undefined
  hasEnded = false

  constructor(startThread: (listener: TaskWorkerListener) => Thread) {
    let isStarted: () => void
    let isNot: (error: unknown) => void
    this.#started = new Promise((resolve, reject) => {
      isStarted = resolve
      isNot = reject
    })
    this.#started.catch(() => {}) // `run` awaits it
    const listener: TaskWorkerListener = {
      onMessage: (message) => {
        const answer = message as Answer
        if (answer.kind === "ready") isStarted()
        else if (answer.kind === "done") this.#job?.resolve(answer.bytes)
        else this.#job?.reject(fromSent(answer.error))
      },
      onEnd: (error) => {
        this.hasEnded = true
        isNot(new NotStartedError("the thread did not start", { cause: error }))
        this.#job?.reject(
          new PrismError("IO_ERROR", "the thread that compresses ended before it was done", { cause: error }),
        )
      },
    }
    try {
      this.#thread = startThread(listener)
    } catch (error) {
      // A process that may start none.
      listener.onEnd(error)
    }
  }

  async run(job: Job): Promise<Uint8Array> {
    this.#thread?.setHoldsProcess(true)
    try {
      await this.#started
      return await new Promise((resolve, reject) => {
        this.#job = { resolve, reject }
        const bytes = new Uint8Array(job.bytes) // a copy to hand over: once instead of twice
        this.#thread?.post({ ...job, bytes } satisfies Job, [bytes.buffer])
      })
    } finally {
      this.#job = undefined
      this.#thread?.setHoldsProcess(false)
    }
  }

  async stop(): Promise<void> {
    await this.#thread?.stop()
  }
}
