import { crc32c } from "../../src/base/crc32c.ts"

// The layout stands in assembly/blob.ts.
const PAGE_BYTES = 65_536

const viewOf = (blob: Uint8Array) => new DataView(blob.buffer, blob.byteOffset, blob.length)

/** Where the first page of a blob begins. */
export const bodyOf = (blob: Uint8Array): number => viewOf(blob).getUint16(18, true) * 64

/** Writes the checksums that belong to a blob's bytes, as somebody would who forges one. */
export function repairChecksums(blob: Uint8Array): void {
  const view = viewOf(blob)
  const body = bodyOf(blob)
  const table = 24 + view.getUint16(16, true) * 24
  for (let page = 0; body + page * PAGE_BYTES < blob.length && table + page * 4 + 4 <= body; page++) {
    const from = body + page * PAGE_BYTES
    view.setUint32(table + page * 4, crc32c(blob.subarray(from, from + PAGE_BYTES)), true)
  }
  view.setUint32(20, crc32c(blob.subarray(24, body), crc32c(blob.subarray(0, 20))), true)
}
