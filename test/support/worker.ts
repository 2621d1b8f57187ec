// Threads for tests. Those of the runtime run what `npm run build` compiled: Node 20 starts no thread from TypeScript.
import { fileURLToPath } from "node:url"
import type { Runtime, TaskWorker, TaskWorkerListener } from "../../src/runtime.ts"
import { startThread } from "../../src/runtime-node/thread.ts"
import { runtime } from "./runtime.ts"

type StartWorker = NonNullable<Runtime["startWorker"]>

const compiled = new URL(`../../dist/runtime-${runtime.name}/start-worker.js`, import.meta.url)
export const { startWorker } = (await import(/* @vite-ignore */ fileURLToPath(compiled))) as {
  startWorker: StartWorker
}

/** A thread that runs a script of this folder. */
export function startScriptThread(name: string, listener: TaskWorkerListener): TaskWorker {
  return startThread(new URL(name, import.meta.url), listener)
}
