import { PrismError } from "../base/errors.ts"
import type { Files } from "../runtime.ts"
import type { Storage } from "../storage/storage.ts"
import { Job, type Work } from "./job.ts"
import { type JobRecord, JobRecords } from "./job-records.ts"

/** Jobs that ended and can still be asked for. */
const ENDED_MAX = 1000
/** How long each start tells of a job that was cut off, from the first one that did. */
const TOLD_MS = 7 * 24 * 60 * 60 * 1000

export interface JobsOptions {
  /** Where what runs is recorded, so that a process after a crash knows of it: the collections' own. */
  readonly storage: Storage
  /** Where jobs leave temporary files, if anywhere. */
  readonly files?: Files | undefined
  /** Jobs that may run at once. */
  readonly concurrent: number
  /** Milliseconds of a clock that never goes back. */
  readonly now?: () => number
}

/** All jobs of a server. Long work goes on whether somebody waits for it or not. */
export class Jobs {
  readonly #records: JobRecords | undefined
  readonly #concurrent: number
  readonly #now: () => number
  /** In the order in which they began. */
  readonly #jobs = new Map<string, Job>()
  /** Those that run, and the end of each. */
  readonly #running = new Map<Job, Promise<void>>()
  /** In the order in which they ended. */
  readonly #ended: Job[] = []
  #isClosing = false

  private constructor(records: JobRecords | undefined, concurrent: number, now: () => number) {
    this.#records = records
    this.#concurrent = concurrent
    this.#now = now
  }

  /** Knows the jobs that ran when the process before died, and removes what they left outside the data folder. Only for
   *  the holder of the storage's lock. */
  static async open(options: JobsOptions): Promise<Jobs> {
    const { storage, files, concurrent, now = () => performance.now() } = options
    // What is in memory alone dies with its jobs.
    const { records, left } =
      storage.location === undefined ? { records: undefined, left: [] } : await JobRecords.open(storage)
    const jobs = new Jobs(records, concurrent, now)
    const today = new Date()
    for (const found of left) {
      const record = { ...found, found_at: found.found_at ?? today.toISOString() }
      // Where it cannot be removed now, a later start does it: the record stays as long as the job is told of.
      for (const path of record.temporaries) await files?.discard(path).catch(() => undefined)
      const job = new Job(record, "interrupted", now)
      // As is one whose day cannot be read.
      if (!(today.getTime() - Date.parse(record.found_at) < TOLD_MS)) {
        await jobs.#forget(job)
        continue
      }
      if (found.found_at === undefined) await jobs.#write(record)
      jobs.#jobs.set(job.id, job)
      await jobs.#remember(job)
    }
    return jobs
  }

  /** How many run. */
  get running(): number {
    return this.#running.size
  }

  /** In the order in which they began. */
  list(): Job[] {
    return [...this.#jobs.values()]
  }

  /** JOB_NOT_FOUND where there is none, or none any more. */
  get(id: string): Job {
    const job = this.#jobs.get(id)
    if (job) return job
    throw jobNotFound()
  }

  /** TOO_MANY_REQUESTS where enough run; UNAVAILABLE once the server ends. */
  start(about: Pick<JobRecord, "kind" | "collection" | "started_by">, work: Work): Job {
    if (this.#isClosing) throw new PrismError("UNAVAILABLE", "the server is ending", { hint: "ask again in a while" })
    if (this.#running.size >= this.#concurrent) {
      throw new PrismError("TOO_MANY_REQUESTS", `${this.#running.size} jobs run, and no more may at once`, {
        hint: "wait until one has ended, or cancel one: GET /_admin/jobs lists them",
      })
    }
    const temporaries: string[] = []
    const record = { ...about, id: crypto.randomUUID(), created_at: new Date().toISOString(), temporaries }
    const job = new Job(record, "running", this.#now)
    this.#jobs.set(job.id, job)
    this.#running.set(job, this.#run(job, record, work))
    return job
  }

  /** What the job came to: its result, or the error that it ended with is thrown. */
  async wait(job: Job): Promise<unknown> {
    await this.#running.get(job)
    return job.outcome()
  }

  /** Cancels a job that runs, and resolves when what it was making is taken away. One that has ended stays as it is. */
  async cancel(job: Job): Promise<void> {
    job.cancel(new PrismError("INTERRUPTED", "the job was cancelled", { hint: "start it again" }))
    await this.#running.get(job)
  }

  /** Resolves when none runs. */
  async idle(): Promise<void> {
    while (this.#running.size > 0) await Promise.all(this.#running.values())
  }

  /** Takes no more jobs, cancels those that run, and resolves when they have ended. The next process tells of them. */
  async close(): Promise<void> {
    this.#isClosing = true
    const reason = new PrismError("INTERRUPTED", "the server ended before the job did", { hint: "start it again" })
    for (const job of this.#running.keys()) job.cancel(reason)
    await this.idle()
  }

  async #run(job: Job, record: JobRecord & { temporaries: string[] }, work: Work): Promise<void> {
    await this.#write(record)
    await job.run(work, async (path) => {
      record.temporaries.push(path)
      await this.#write(record)
    })
    const wasCutOff = this.#isClosing && job.state === "cancelled"
    if (!wasCutOff) await this.#forget(job)
    this.#running.delete(job)
    await this.#remember(job)
  }

  /** A disk that is full keeps nobody from writing an archive to another one: then a crash goes untold. */
  async #write(record: JobRecord): Promise<void> {
    await this.#records?.write(record).catch(() => undefined)
  }

  async #forget(job: Job): Promise<void> {
    await this.#records?.remove(job.id).catch(() => undefined)
  }

  async #remember(job: Job): Promise<void> {
    this.#ended.push(job)
    if (this.#ended.length <= ENDED_MAX) return
    const oldest = this.#ended.shift() as Job
    this.#jobs.delete(oldest.id)
    if (oldest.state === "interrupted") await this.#forget(oldest)
  }
}

export function jobNotFound(): PrismError {
  return new PrismError("JOB_NOT_FOUND", "there is no such job", { hint: "GET /_admin/jobs tells which there are" })
}
