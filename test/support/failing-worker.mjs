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
    default: {
      const files = { text: { length: 1 }, documents: { length: 1 } }
      parentPort?.postMessage({ kind: "done", result: { id: task.request.id, files } })
    }
  }
})
parentPort?.postMessage({ kind: "ready" })
