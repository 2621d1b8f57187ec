// Threads by Deno's own `Worker`: threads of its node:worker_threads take 300 ms to be given 4 MiB, ten times as long as it
// takes to compress them.
import type { TaskWorkerListener } from "../runtime.ts"
import type { ParentThread, Thread } from "../runtime-node/thread.ts"
import { deno } from "./deno.ts"

/** Starts a thread that runs the module at `url`. As long as it lives the process does not end by itself. */
export function startWebThread(url: URL, listener: TaskWorkerListener): Thread {
  // A module that may not be read is an error that Deno also writes to stderr, whoever listens to it.
  const { state } = deno.permissions.querySync({ name: "read", path: url })
  if (state !== "granted") throw new Error(`no right to read ${url}`)
  const worker = new Worker(url, { type: "module" })
  worker.addEventListener("message", ({ data }) => listener.onMessage(data))
  worker.addEventListener("error", (event) => {
    event.preventDefault() // else it ends this thread too
    listener.onEnd(event.error ?? new Error(event.message))
  })
  return {
    post: (message, handedOver = []) => worker.postMessage(message, handedOver),
    setHoldsProcess() {}, // it always does
    async stop() {
      worker.terminate()
    },
  }
}

/** The thread that started this one. */
export const parentOfWebThread: Pick<ParentThread, "post" | "listen"> = {
  post: (message, handedOver = []) => globalThis.postMessage(message, { transfer: handedOver }),
  listen: (callback) => globalThis.addEventListener("message", ({ data }) => callback(data)),
}
