import { RateMeter } from "../base/rate-meter.ts"
import type { Progress } from "../collection/progress.ts"
import { errorMembers } from "./answers.ts"
import type { JobAnswer } from "./contract.ts"
import type { JobRecord } from "./job-records.ts"

/** What the work of a job is given. */
export interface JobTools {
  /** Aborted when the job is cancelled, or the server ends. */
  readonly signal: AbortSignal
  readonly onProgress: (progress: Progress) => void
  /** To be told of a file outside the data folder before it is made: where the process dies, the next one removes it. */
  readonly onTemporary: (path: string) => Promise<void>
}

export type Work = (tools: JobTools) => Promise<unknown>

/** Between two samples of how far a job is. */
const SAMPLE_MS = 100

/** A piece of long work: how far it is, and what became of it. */
export class Job {
  readonly id: string
  readonly #record: JobRecord
  readonly #now: () => number
  readonly #controller = new AbortController()
  #state: JobAnswer["state"]
  #progress: Progress | undefined
  #meter = new RateMeter()
  #sampledAt = Number.NEGATIVE_INFINITY
  #finishedAt: string | null
  #result: unknown
  #error: Error | undefined

  /** `now`: milliseconds of a clock that never goes back. */
  constructor(record: JobRecord, state: "running" | "interrupted", now: () => number) {
    this.id = record.id
    this.#record = record
    this.#state = state
    // Nobody saw it end.
    this.#finishedAt = record.found_at ?? null
    this.#now = now
  }

  /** The name of who asked for it. */
  get startedBy(): string {
    return this.#record.started_by
  }

  get state(): JobAnswer["state"] {
    return this.#state
  }

  /** Never rejects. */
  async run(work: Work, onTemporary: JobTools["onTemporary"]): Promise<void> {
    const { signal } = this.#controller
    try {
      signal.throwIfAborted()
      this.#result = await work({ signal, onProgress: (progress) => this.#follow(progress), onTemporary })
      this.#state = "done"
    } catch (error) {
      this.#error = error instanceof Error ? error : new Error(String(error))
      this.#state = signal.aborted ? "cancelled" : "failed"
    }
    this.#finishedAt = new Date().toISOString()
  }

  cancel(reason: Error): void {
    this.#controller.abort(reason)
  }

  /** What the work came to, once it has ended: its result, or the error that it ended with is thrown. */
  outcome(): unknown {
    if (this.#error !== undefined) throw this.#error
    return this.#result
  }

  answer(): JobAnswer {
    const { id, kind, collection, created_at } = this.#record
    return {
      id,
      kind,
      collection,
      state: this.#state,
      created_at,
      finished_at: this.#finishedAt,
      progress: this.#progressAnswer(),
      result: this.#result ?? null,
      error: this.#error === undefined ? null : (errorMembers(this.#error).error as JobAnswer["error"]),
    }
  }

  #follow(progress: Progress): void {
    if (progress.stage !== this.#progress?.stage) {
      this.#meter = new RateMeter()
      this.#sampledAt = Number.NEGATIVE_INFINITY
    }
    this.#progress = progress
    const now = this.#now()
    if (now - this.#sampledAt < SAMPLE_MS) return
    this.#sampledAt = now
    this.#meter.add(now, progress.done)
  }

  #progressAnswer(): JobAnswer["progress"] {
    if (!this.#progress) return null
    const { stage, unit, done, total = null } = this.#progress
    const rate = this.#meter.rate ?? null
    const isGoing = this.#state === "running" && rate !== null && rate > 0
    const seconds_left = isGoing && total !== null ? Math.max(0, total - done) / rate : null
    return { stage, unit, done, total, rate, seconds_left }
  }
}
