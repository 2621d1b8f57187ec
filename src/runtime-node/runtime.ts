import type { Runtime } from "../runtime.ts"
import { files } from "./files.ts"
import { createSha256 } from "./sha256.ts"
import { startWorker } from "./start-worker.ts"
import { openStorage } from "./storage.ts"
import { terminal } from "./terminal.ts"

export const runtime: Runtime = {
  name: "node",
  version: process.versions.node,
  openStorage,
  createSha256,
  startWorker,
  files,
  terminal,
}
