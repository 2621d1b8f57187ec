// Deno's own codec, on the thread that calls it. Its promises would block that all the same, and an error of its streams
// cannot be caught.
import { assert } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import type { Zstd } from "../runtime.ts"
import type { BlockingCodec } from "../runtime-node/zstd-codec.ts"
import { blockingNativeCodec } from "../runtime-node/zstd-native.ts"
import { decompressStream } from "../runtime-node/zstd-stream.ts"

assert(blockingNativeCodec !== undefined, "Deno has zstd")

export const codec: BlockingCodec = blockingNativeCodec

let earlier: Promise<unknown> = Promise.resolve()

/** One call after the other: those that waited for a turn side by side would all have the same one. */
async function inTurn(work: () => Uint8Array): Promise<Uint8Array> {
  const result = earlier.then(letOthersRun).then(work)
  earlier = result.then(
    () => {},
    () => {},
  )
  return await result
}

export const zstdHere: Zstd = {
  compress: (bytes) => inTurn(() => codec.compress(bytes)),
  decompress: (frame, length) => inTurn(() => codec.decompress(frame, length)),
  decompressStream,
}
