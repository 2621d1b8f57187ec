// Deno's own codec, on threads where that is worth it. On two cores with other work 400 MB of text were compressed at 445 MB/s
// instead of 266, and a timer was late by 8 ms (p99) instead of 127: `npm run bench deno-zstd`. What takes less than a second
// gains no time, since threads start in it, but leaves the calling thread free all the same.
import type { Zstd } from "../runtime.ts"
import { decompressStream } from "../runtime-node/zstd-stream.ts"
import { CodecThreads } from "../runtime-node/zstd-threads.ts"
import { startWebThread } from "./web-thread.ts"
import { codec, zstdHere } from "./zstd-here.ts"

/** What holds less is done at once, in a millisecond: to hand it over, and to start a thread, takes longer. */
const HERE_BYTES_MAX = 256 * 1024

/** A thread keeps the process from ending, so it is not kept for long; the next one starts in 30 ms. */
const IDLE_MS = 250

const worker = new URL(import.meta.url.endsWith(".ts") ? "./zstd-worker.ts" : "./zstd-worker.js", import.meta.url)
const threads = new CodecThreads(
  (listener) => startWebThread(worker, listener),
  async () => codec,
  IDLE_MS,
)

export const zstd: Zstd = {
  async compress(bytes) {
    if (bytes.length <= HERE_BYTES_MAX) return await zstdHere.compress(bytes)
    return await threads.run({ kind: "compress", bytes })
  },
  async decompress(frame, length) {
    if (length <= HERE_BYTES_MAX) return await zstdHere.decompress(frame, length)
    return await threads.run({ kind: "decompress", bytes: frame, length })
  },
  decompressStream,
}
