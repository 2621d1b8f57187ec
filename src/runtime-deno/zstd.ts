// Deno's own codec, on the thread that calls it. Its promises would block that all the same, an error of its streams cannot
// be caught, and its threads of node:worker_threads take ten times as long to be given a frame as it takes to compress one.
import { assert } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import type { Zstd } from "../runtime.ts"
import { blockingNativeCodec } from "../runtime-node/zstd-native.ts"
import { decompressStream } from "../runtime-node/zstd-stream.ts"

const codec = blockingNativeCodec
assert(codec !== undefined, "Deno has zstd")

export const zstd: Zstd = {
  async compress(bytes) {
    await letOthersRun()
    return codec.compress(bytes)
  },
  async decompress(frame, length) {
    await letOthersRun()
    return codec.decompress(frame, length)
  },
  decompressStream,
}
