import type { Runtime } from "../runtime.ts"
import { files } from "./files.ts"
import { createGcm } from "./gcm.ts"
import { serve } from "./serve.ts"
import { createSha256 } from "./sha256.ts"
import { startWorker } from "./start-worker.ts"
import { openStorage, readAnnouncement } from "./storage.ts"
import { terminal } from "./terminal.ts"
import { zstd } from "./zstd.ts"

export const runtime: Runtime = {
  name: "bun",
  version: process.versions.bun ?? "unknown",
  openStorage,
  readAnnouncement,
  createSha256,
  createGcm,
  zstd,
  startWorker,
  serve,
  files,
  terminal,
}
