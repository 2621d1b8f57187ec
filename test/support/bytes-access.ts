import { PrismError } from "../../src/base/errors.ts"
import type { RandomAccess } from "../../src/runtime.ts"

/** Bytes in memory as a file that is read at any place. */
export function bytesAccess(bytes: Uint8Array): RandomAccess {
  return {
    size: bytes.length,
    async read(offset, length) {
      if (offset + length > bytes.length) throw new PrismError("TRUNCATED", `the file ends at byte ${bytes.length}`)
      return bytes.slice(offset, offset + length)
    },
  }
}
