// Threads by node:worker_threads, which Deno and Bun have too, with the same events.
import { platform, setPriority } from "node:os"
import { parentPort, Worker, workerData } from "node:worker_threads"
import { assert } from "../base/errors.ts"
import type { TaskWorker, TaskWorkerListener } from "../runtime.ts"

/** Where worker.ts lies beside the module with this address, compiled or as it was written.
 *
 *  In a bundle there is one module left, so the bundle needs a `worker.js` beside it: a second entry point that holds
 *  `import "prism/worker"`. Bun's single binaries too (`bun build --compile main.ts worker.ts`): it is compiled in under
 *  the name `worker.js`, the entry points' common folder left out. Without it the work is done on the calling thread. */
export function workerUrl(neighbour: string): URL {
  return new URL(neighbour.endsWith(".ts") ? "./worker.ts" : "./worker.js", neighbour)
}

/** What a thread is for: tasks of a collection, beside what its callers wait for, or a codec, which they wait for. */
export type ThreadRole = "tasks" | "zstd"

export interface Thread extends TaskWorker {
  /** `handedOver`: buffers of the message that need not be copied, and are gone here afterwards. */
  post(message: unknown, handedOver?: ArrayBuffer[]): void
}

/** Starts a thread that runs the module at `url`. */
export function startThread(url: URL, listener: TaskWorkerListener, role: ThreadRole = "tasks"): Thread {
  // Options of this process, such as --input-type, would keep the compiled file from being loaded; TypeScript needs those
  // that load it.
  const worker = new Worker(url, { workerData: role, ...(url.pathname.endsWith(".ts") ? {} : { execArgv: [] }) })
  let error: unknown
  worker.on("message", (message) => listener.onMessage(message))
  worker.on("error", (thrown) => {
    error = thrown
  })
  worker.on("exit", () => listener.onEnd(error))
  return {
    post: (message, handedOver = []) => worker.postMessage(message, handedOver),
    setHoldsProcess(holds) {
      if (holds) worker.ref()
      else worker.unref()
    },
    async stop() {
      await worker.terminate()
    },
  }
}

/** Of a thread that works in the background, as of nice(1): it gets what the threads that answer leave, a tenth of a core
 *  where they want all. */
const NICENESS = 10

/** On Linux each thread has a priority of its own; elsewhere it is the process's, and stays. Deno leaves it as it is. */
function giveWay(): void {
  if (platform() !== "linux") return
  try {
    setPriority(NICENESS)
  } catch {
    // Where that is forbidden the work is done all the same.
  }
}

export interface ParentThread {
  /** What this thread was started for. */
  readonly role: ThreadRole
  post(message: unknown, handedOver?: ArrayBuffer[]): void
  listen(callback: (message: unknown) => void): void
}

/** The thread that started this one. */
export function parentThread(): ParentThread {
  const port = parentPort
  assert(port !== null, "worker.ts runs in a thread of its own")
  const role = workerData as ThreadRole
  if (role === "tasks") giveWay()
  return {
    role,
    post: (message, handedOver = []) => port.postMessage(message, handedOver),
    listen: (callback) => void port.on("message", callback),
  }
}
