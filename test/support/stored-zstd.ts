import xxhash from "xxhash-wasm"
import { assert } from "../../src/base/errors.ts"
import { storeFrame } from "../../src/formats/zstd-frame.ts"
import type { Zstd } from "../../src/runtime.ts"

const xxh = await xxhash()

/** What `storeFrame` puts before the blocks, and before each. */
const HEADER_BYTES = 9
const BLOCK_HEADER_BYTES = 3

/** Frames that hold bytes as they are, written and read at once: nothing waits for another thread, so that a run that is
 *  to be the same again can have snapshots in it. */
export const storedZstd: Zstd = {
  compress: async (bytes) => storeFrame(bytes, xxh.h64Raw(bytes)),
  async decompress(frame, length) {
    const content = new Uint8Array(length)
    let used = 0
    for (let at = HEADER_BYTES; used < length; ) {
      const size = ((frame[at] as number) | ((frame[at + 1] as number) << 8) | ((frame[at + 2] as number) << 16)) >> 3
      at += BLOCK_HEADER_BYTES
      content.set(frame.subarray(at, at + size), used)
      used += size
      at += size
    }
    return content
  },
  decompressStream() {
    assert(false, "frames that this codec wrote are small")
  },
}
