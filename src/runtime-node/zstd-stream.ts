// Decoding of frames of any size where node:zlib's streams cannot be used: zstd-codec, on the calling thread. It is there
// as WebAssembly, with 16 MiB of memory and no more, and as asm.js, a third as fast, with any memory.
import type { Binding, Options } from "zstd-codec/lib/zstd-codec-binding.js"
import { letOthersRun } from "../base/let-others-run.ts"
import { once } from "../base/streams.ts"
import { ByteReader } from "../formats/byte-reader.ts"
import { peekFrameHeader } from "../formats/zstd-frame.ts"
import { undecodable } from "./zstd-codec.ts"

const MIB = 1024 * 1024

/** WebAssembly's memory has room for it. `zstd` needs no more up to level 19. */
const WASM_WINDOW_MAX = 8 * MIB

/** Of what `zstd` writes without options. A binding that decoded no larger one is used again; memory that held larger ones
 *  is in pieces. */
const KEPT_WINDOW_MAX = 2 * MIB

/** Beside the window, in asm.js: its static data, stack and buffers. */
const ASM_MEMORY_BASE = 16 * MIB
const ASM_MEMORY_STEP = 16 * MIB

let kept: Binding | undefined

/** See `Zstd.decompressStream`. */
export async function* decompressStream(frame: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  const chunks = frame[Symbol.asyncIterator]()
  const first = await chunks.next()
  const header = await peekFrameHeader(new ByteReader(once(first.value ?? new Uint8Array(0))), "byte 0")
  const windowBytes = header?.kind === "frame" ? header.windowBytes : 0
  const isSmall = windowBytes <= KEPT_WINDOW_MAX
  const binding = (isSmall ? kept : undefined) ?? (await load(windowBytes))
  if (isSmall) kept = undefined // it decodes one frame at a time
  const stream = new binding.ZstdDecompressStreamBinding()
  try {
    const output: Uint8Array[] = []
    const keep = (bytes: Uint8Array) => void output.push(bytes)
    let isWell = stream.begin()
    for (let next = first; isWell && !next.done; next = await chunks.next()) {
      isWell = stream.transform(next.value, keep) && stream.flush(keep)
      yield* output.splice(0)
      await letOthersRun()
    }
    if (!isWell) throw undecodable(undefined)
  } finally {
    await chunks.return?.()
  }
  stream.delete()
  if (isSmall) kept = binding
}

async function load(windowBytes: number): Promise<Binding> {
  const isWasm = windowBytes <= WASM_WINDOW_MAX
  const { default: bind } = isWasm
    ? await import("zstd-codec/lib/zstd-codec-binding-wasm.js")
    : await import("zstd-codec/lib/zstd-codec-binding.js")
  const memoryBytes = ASM_MEMORY_BASE + Math.ceil(windowBytes / ASM_MEMORY_STEP) * ASM_MEMORY_STEP
  return await new Promise((resolve) => {
    const module: Options & Partial<Binding> = {
      ...(isWasm ? {} : { TOTAL_MEMORY: memoryBytes }),
      print() {},
      printErr() {},
      onRuntimeInitialized() {
        // Emscripten gives the module a `then` of its own, which a promise would call for ever.
        resolve({ ZstdDecompressStreamBinding: module.ZstdDecompressStreamBinding! })
      },
    }
    bind(module)
  })
}
