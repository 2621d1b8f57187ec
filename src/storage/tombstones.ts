import { crc32c } from "../base/crc32c.ts"
import { assert, PrismError } from "../base/errors.ts"
import type { Storage } from "./storage.ts"

// Which documents of a segment live, in a file of its own. Immutable; little-endian.
//
//   0..4   u32  magic          "PLIV"
//   4..6   u16  formatVersion
//   6..8   u16  zero
//   8..12  u32  documentCount
//   12..16 u32  byteLength     of the set: a bit a document
//   16..20 u32  CRC-32C of the set, then of the bytes before
//   20..        the set, as the engine reads it

export const TOMBSTONES_VERSION = 1
const MAGIC = 0x56494c50
const HEADER_BYTES = 20
const CHECKSUM_OFFSET = 16

/** `bytes`: the set of live documents. */
export function encodeTombstones(bytes: Uint8Array, documentCount: number): Uint8Array {
  const file = new Uint8Array(HEADER_BYTES + bytes.length)
  const view = new DataView(file.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint16(4, TOMBSTONES_VERSION, true)
  view.setUint32(8, documentCount, true)
  view.setUint32(12, bytes.length, true)
  file.set(bytes, HEADER_BYTES)
  view.setUint32(CHECKSUM_OFFSET, checksum(file), true)
  return file
}

/** The set in a file, of which no more is read than there can be of so many documents: in an archive it may have any
 *  length. Errors as of decodeTombstones. */
export async function readTombstones(
  storage: Pick<Storage, "open">,
  path: string,
  documentCount: number,
): Promise<Uint8Array> {
  await using file = await storage.open(path)
  if (file.size <= HEADER_BYTES + Math.ceil(documentCount / 8)) {
    return decodeTombstones(await file.read(0, file.size), path, documentCount)
  }
  throw damaged("CORRUPT", path, `it has ${file.size} bytes, too many for ${documentCount} documents`)
}

/** The set that was encoded. TRUNCATED, CORRUPT, INCOMPATIBLE_VERSION; CORRUPT also where it is of another number of
 *  documents. `path`: for messages. */
export function decodeTombstones(file: Uint8Array, path: string, documentCount: number): Uint8Array {
  const refuse = (code: "CORRUPT" | "TRUNCATED", what: string) => damaged(code, path, what)
  if (file.length < HEADER_BYTES) throw refuse("TRUNCATED", "it is shorter than its header")
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  if (view.getUint32(0, true) !== MAGIC) throw refuse("CORRUPT", "it does not begin as a set of live documents")
  const length = HEADER_BYTES + view.getUint32(12, true)
  if (file.length < length) throw refuse("TRUNCATED", `it ends at byte ${file.length} of ${length}`)
  if (file.length > length || view.getUint32(CHECKSUM_OFFSET, true) !== checksum(file)) {
    throw refuse("CORRUPT", "its checksum does not match")
  }
  const version = view.getUint16(4, true)
  if (version !== TOMBSTONES_VERSION) {
    throw new PrismError(
      "INCOMPATIBLE_VERSION",
      `${path} has format version ${version}, this Prism reads version ${TOMBSTONES_VERSION}`,
      { place: path, hint: "use the version of Prism that wrote it" },
    )
  }
  const found = view.getUint32(8, true)
  if (found !== documentCount) throw refuse("CORRUPT", `it is of ${found} documents, the segment has ${documentCount}`)
  return file.subarray(HEADER_BYTES)
}

function damaged(code: "CORRUPT" | "TRUNCATED", path: string, what: string): PrismError {
  return new PrismError(code, `${path} is damaged: ${what}`, {
    place: path,
    hint: "restore the collection from an archive",
  })
}

function checksum(file: Uint8Array): number {
  assert(file.length >= HEADER_BYTES, "a header")
  return crc32c(file.subarray(0, CHECKSUM_OFFSET), crc32c(file.subarray(HEADER_BYTES)))
}
