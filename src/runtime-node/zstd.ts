import type { Zstd } from "../runtime.ts"
import { startThread, workerUrl } from "./thread.ts"
import type { BlockingCodec } from "./zstd-codec.ts"
import { nativeZstd } from "./zstd-native.ts"
import { decompressStream } from "./zstd-stream.ts"
import { CodecThreads } from "./zstd-threads.ts"

/** The codec of a Node without its own; no other loads it. */
export async function loadCodec(): Promise<BlockingCodec> {
  return await (await import("./zstd-wasm.ts")).loadWasmCodec()
}

function zstdOnThreads(): Zstd {
  const worker = workerUrl(import.meta.url)
  const threads = new CodecThreads((listener) => startThread(worker, listener, "zstd"), loadCodec)
  return {
    compress: (bytes) => threads.run({ kind: "compress", bytes }),
    decompress: (frame, length) => threads.run({ kind: "decompress", bytes: frame, length }),
    decompressStream,
  }
}

export const zstd: Zstd = nativeZstd ?? zstdOnThreads()
