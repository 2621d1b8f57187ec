// What a worker thread of this runtime runs. Nothing imports it: `startWorker` names it, and so must a bundler.
import { serveTasks } from "../collection/task-server.ts"
import { createSha256 } from "./sha256.ts"
import { openStorage } from "./storage.ts"
import { parentThread } from "./thread.ts"
import { loadCodec } from "./zstd.ts"
import { serveZstd } from "./zstd-threads.ts"

const parent = parentThread()
if (parent.role === "zstd") serveZstd(parent, loadCodec())
else serveTasks({ openStorage, createSha256 }, parent)
