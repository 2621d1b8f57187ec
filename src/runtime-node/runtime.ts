import type { Runtime } from "../runtime.ts"
import { files } from "./files.ts"
import { createGcm } from "./gcm.ts"
import { createSha256 } from "./sha256.ts"
import { startWorker } from "./start-worker.ts"
import { openStorage, readAnnouncement } from "./storage.ts"
import { terminal } from "./terminal.ts"
import { zstd } from "./zstd.ts"

export const runtime: Runtime = {
  name: "node",
  version: process.versions.node,
  openStorage,
  readAnnouncement,
  createSha256,
  createGcm,
  zstd,
  startWorker,
  // Only when it is asked for: Hono's adapter takes longer to load than most commands run.
  serve: async (handler, options) => await (await import("./serve.ts")).serve(handler, options),
  files,
  terminal,
}
