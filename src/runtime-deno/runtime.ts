import type { Runtime } from "../runtime.ts"
import { deployRuntime } from "./deploy-runtime.ts"
import { files } from "./files.ts"
import { serve } from "./serve.ts"
import { startWorker } from "./start-worker.ts"
import { openStorage, readAnnouncement } from "./storage.ts"
import { terminal } from "./terminal.ts"
import { zstd } from "./zstd.ts"

export const runtime: Runtime = {
  ...deployRuntime,
  openStorage,
  readAnnouncement,
  zstd,
  startWorker,
  serve,
  files,
  terminal,
}
