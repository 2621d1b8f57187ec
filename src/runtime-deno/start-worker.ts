import type { TaskWorker, TaskWorkerListener } from "../runtime.ts"
import { startThread, workerUrl } from "../runtime-node/thread.ts"

export function startWorker(listener: TaskWorkerListener): TaskWorker {
  return startThread(workerUrl(import.meta.url), listener)
}
