// A worker thread that says it is ready, and comes to an end in one way or another when it gets a task: the task's schema
// names the way.
import { parentPort } from "node:worker_threads"

parentPort?.on("message", ({ kind, task }) => {
  if (kind !== "run") return
  switch (task.request.schema) {
    case "exit":
      return process.exit(3)
    case "throw":
      throw new TypeError("thrown by the test")
    case "no memory":
      throw Object.assign(new Error("heap"), { code: "ERR_WORKER_OUT_OF_MEMORY" })
    default:
      parentPort?.postMessage({ kind: "done", result: task.request.id })
  }
})
parentPort?.postMessage({ kind: "ready" })
