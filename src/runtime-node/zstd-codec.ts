import { PrismError } from "../base/errors.ts"

/** A codec that works on the thread that calls it. What it gives is its caller's alone. */
export interface BlockingCodec {
  /** See `Zstd.compress`. */
  compress(bytes: Uint8Array): Uint8Array
  /** See `Zstd.decompress`. An error that is not CORRUPT means that the codec itself is broken. */
  decompress(frame: Uint8Array, length: number): Uint8Array
}

export const LEVEL = 3

export function undecodable(cause: unknown): PrismError {
  const why = cause instanceof Error ? `: ${cause.message}` : ""
  return new PrismError("CORRUPT", `the compressed data is damaged: a frame cannot be decoded${why}`, {
    cause,
    hint: "copy the file again, or use another backup",
  })
}

/** Holds a decoded frame against the length that it should have. */
export function checkLength(content: Uint8Array, length: number): Uint8Array {
  if (content.length === length) return content
  throw new PrismError("CORRUPT", `the frame holds ${content.length} bytes instead of ${length}`)
}
