// Zstandard for a Node without its own: one frame at a time, by @bokuweb/zstd-wasm.
import { compress, decompress, init } from "@bokuweb/zstd-wasm"
import xxhash from "xxhash-wasm"
import { withChecksum } from "../formats/zstd-frame.ts"
import { type BlockingCodec, checkLength, LEVEL, undecodable } from "./zstd-codec.ts"

/** How the package tells that zstd refused its input. -64 is memory_allocation: nothing that it is given works afterwards. */
const REFUSED = /with code -(?!64$)\d+$/

/** IO_ERROR and the like where the package's own files are missing. */
export async function loadWasmCodec(): Promise<BlockingCodec> {
  const [xxh] = await Promise.all([xxhash(), init()])
  return {
    compress: (bytes) => withChecksum(compress(bytes, LEVEL), xxh.h64Raw(bytes)),
    decompress(frame, length) {
      let content: Uint8Array
      try {
        content = decompress(frame, { defaultHeapSize: Math.max(length, 1) })
      } catch (error) {
        throw error instanceof Error && REFUSED.test(error.message) ? undecodable(undefined) : error
      }
      return checkLength(content, length)
    },
  }
}
