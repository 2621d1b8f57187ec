import type { ByteSource } from "../../src/engine/blob.ts"

/** Bytes as a file would give them. */
export function sourceOf(bytes: Uint8Array): ByteSource {
  return { size: bytes.length, read: async (offset, length) => bytes.slice(offset, offset + length) }
}
