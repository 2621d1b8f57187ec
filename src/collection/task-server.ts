// What a worker thread does, and the messages between it and the Background that started it.
import { type SentError, toSent } from "../base/sent-error.ts"
import type { Runtime } from "../runtime.ts"
import { type BuildTask, buildSegment } from "./segment-builder.ts"
import { type VerifyRequest, verifySegments } from "./segment-verifier.ts"

export type Task =
  | { readonly kind: "build"; readonly request: BuildTask }
  | { readonly kind: "verify"; readonly request: VerifyRequest }

/** One task at a time; `location` is the storage's. An abort is answered by the task's failure. */
export type ToWorker =
  | { readonly kind: "run"; readonly location: string; readonly task: Task }
  | { readonly kind: "abort" }

export type FromWorker =
  /** The modules are loaded and the thread listens. */
  | { readonly kind: "ready" }
  | { readonly kind: "progress"; readonly documents: number }
  | { readonly kind: "done"; readonly result: unknown }
  | { readonly kind: "failed"; readonly error: SentError }

export interface TaskOptions {
  readonly signal?: AbortSignal | undefined
  /** Called now and then with the number of documents done. */
  readonly onProgress?: ((documents: number) => void) | undefined
}

/** A task is heard of at most this often: enough for a progress line, nothing for the two threads. */
const PROGRESS_INTERVAL_MS = 100

/** Runs a task on the thread that calls it. */
export async function runTask(
  storage: Parameters<typeof buildSegment>[0],
  createSha256: Runtime["createSha256"],
  { kind, request }: Task,
  { signal, onProgress }: TaskOptions,
): Promise<unknown> {
  const options = { signal, onProgress: onProgress && throttled(onProgress) }
  return kind === "build"
    ? await buildSegment(storage, createSha256, request, options)
    : await verifySegments(storage, createSha256, request, options)
}

/** Serves the tasks that a parent thread sends. */
export function serveTasks(
  runtime: Pick<Runtime, "openStorage" | "createSha256">,
  parent: { post(message: FromWorker): void; listen(callback: (message: unknown) => void): void },
): void {
  let abort = new AbortController()
  const run = async (location: string, task: Task): Promise<FromWorker> => {
    try {
      await using storage = await runtime.openStorage(location, { create: false })
      const result = await runTask(storage, runtime.createSha256, task, {
        signal: abort.signal,
        onProgress: (documents) => parent.post({ kind: "progress", documents }),
      })
      return { kind: "done", result }
    } catch (error) {
      return { kind: "failed", error: toSent(error) }
    }
  }
  parent.listen((message) => {
    const request = message as ToWorker
    if (request.kind === "abort") return abort.abort()
    abort = new AbortController()
    void run(request.location, request.task).then((answer) => parent.post(answer))
  })
  parent.post({ kind: "ready" })
}

/** Lets a call through when the last one is long enough ago. */
export function throttled(
  report: (documents: number) => void,
  now: () => number = () => performance.now(),
): (documents: number) => void {
  let last = now()
  return (documents) => {
    const time = now()
    if (time - last < PROGRESS_INTERVAL_MS) return
    last = time
    report(documents)
  }
}
