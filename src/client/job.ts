import type { JobAnswer } from "../api/contract.ts"
import { PrismError } from "../base/errors.ts"
import { toldError } from "./answered-errors.ts"
import type { Client } from "./client.ts"

export interface WaitOptions {
  /** Ends the waiting; the job goes on. */
  readonly signal?: AbortSignal | undefined
  /** Called with each state that is seen while the job runs. */
  readonly onProgress?: ((job: JobAnswer) => void) | undefined
}

const FIRST_PAUSE_MS = 20
const PAUSE_MS_MAX = 1000

/** Long work of a server, which goes on by itself. */
export class Job<Answer = unknown> {
  readonly id: string
  readonly #client: Pick<Client, "getJob" | "cancelJob">

  constructor(client: Pick<Client, "getJob" | "cancelJob">, id: string) {
    this.#client = client
    this.id = id
  }

  /** How far it is, and what became of it. */
  async state(options: { signal?: AbortSignal | undefined } = {}): Promise<JobAnswer> {
    return (await this.#client.getJob({ id: this.id, ...options })).job
  }

  /** Ends it; what it was making is taken away. */
  async cancel(): Promise<JobAnswer> {
    return (await this.#client.cancelJob({ id: this.id })).job
  }

  /** Asks until it has ended, ever less often, and gives what the operation answers.
   *  @throws PrismError what it failed of; INTERRUPTED where it was cancelled, or the server ended before it did */
  async result({ signal, onProgress }: WaitOptions = {}): Promise<Answer> {
    for (let pause = FIRST_PAUSE_MS; ; pause = Math.min(pause * 1.5, PAUSE_MS_MAX)) {
      const job = await this.state({ signal })
      if (job.state === "done") return job.result as Answer
      if (job.state !== "running") throw endOf(job)
      onProgress?.(job)
      await sleep(pause, signal)
    }
  }
}

function endOf({ id, state, error }: JobAnswer): PrismError {
  if (error) return toldError(`job ${id}`, error)
  return new PrismError("INTERRUPTED", `job ${id} was ${state}`, {
    hint: state === "interrupted" ? "the server ended before it; start it again" : "start it again",
  })
}

async function sleep(ms: number, signal: AbortSignal | undefined): Promise<void> {
  signal?.throwIfAborted()
  await new Promise<void>((resolve, reject) => {
    const end = () => {
      clearTimeout(timer)
      signal?.removeEventListener("abort", abort)
    }
    const timer = setTimeout(() => {
      end()
      resolve()
    }, ms)
    const abort = () => {
      end()
      reject(signal?.reason)
    }
    signal?.addEventListener("abort", abort)
  })
}
