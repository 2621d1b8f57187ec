// Zstandard of node:zlib: Node from 22.15 on, Deno, Bun. Undefined on an older Node.
import type { Duplex } from "node:stream"
import { pipeline } from "node:stream/promises"
import { promisify } from "node:util"
import * as zlib from "node:zlib"
import { PrismError } from "../base/errors.ts"
import { storedFrameBytes } from "../formats/zstd-frame.ts"
import type { Zstd } from "../runtime.ts"
import { type BlockingCodec, checkLength, LEVEL, undecodable } from "./zstd-codec.ts"

type Options = Record<string, unknown>
type Callback = (error: Error | null, result: Uint8Array) => void

/** What @types/node does not know at the oldest Node that we run on. */
interface NodeZstd {
  readonly zstdCompress: (bytes: Uint8Array, options: Options, callback: Callback) => void
  readonly zstdDecompress: (bytes: Uint8Array, options: Options, callback: Callback) => void
  readonly zstdCompressSync: (bytes: Uint8Array, options: Options) => Uint8Array
  readonly zstdDecompressSync: (bytes: Uint8Array, options: Options) => Uint8Array
  readonly createZstdDecompress: () => Duplex
  readonly constants: { ZSTD_c_compressionLevel: number; ZSTD_c_checksumFlag: number }
}

const node = "zstdCompress" in zlib ? (zlib as unknown as NodeZstd) : undefined

function compressing({ constants }: NodeZstd, bytes: Uint8Array): Options {
  const params = { [constants.ZSTD_c_compressionLevel]: LEVEL, [constants.ZSTD_c_checksumFlag]: 1 }
  // Room for all, so that it is done in one step: in several, Deno now and then appends a frame without content. Without
  // the pledge the frame may not say how much it holds.
  return { params, chunkSize: storedFrameBytes(bytes.length) + 64 * 1024, pledgedSrcSize: bytes.length }
}

function decompressing(length: number): Options {
  // With one byte more the decoder sees the end in its first step: three times as fast. 64 is the least that is taken.
  return { maxOutputLength: Math.max(length, 1), chunkSize: Math.max(length + 1, 64) }
}

export const blockingNativeCodec: BlockingCodec | undefined = node && {
  compress: (bytes) => node.zstdCompressSync(bytes, compressing(node, bytes)),
  decompress(frame, length) {
    try {
      return checkLength(node.zstdDecompressSync(frame, decompressing(length)), length)
    } catch (error) {
      throw error instanceof PrismError ? error : undecodable(error)
    }
  },
}

/** On the thread pool of Node and Bun. Deno's calls block, and errors of its streams end the process. */
export const nativeZstd: Zstd | undefined = node && {
  compress: (bytes) => promisify(node.zstdCompress)(bytes, compressing(node, bytes)),

  async decompress(frame, length) {
    const content = await promisify(node.zstdDecompress)(frame, decompressing(length)).catch((error: unknown) => {
      throw undecodable(error)
    })
    return checkLength(content, length)
  },

  async *decompressStream(frame) {
    let failed: { readonly error: unknown } | undefined
    const source = async function* () {
      try {
        yield* frame
      } catch (error) {
        failed = { error }
        throw error
      }
    }
    const decoder = node.createZstdDecompress()
    const feeding = pipeline(source, decoder)
    feeding.catch(() => {}) // the decoder gives the same error
    try {
      for await (const chunk of decoder) yield chunk as Uint8Array
      await feeding
    } catch (error) {
      if (failed !== undefined) throw failed.error // the source's own
      throw undecodable(error)
    } finally {
      decoder.destroy()
    }
  },
}
