// Blob: the container of every segment. Its bytes on disk are its bytes in memory: no pointers, only offsets.
//
//   0..4    u32  magic         names the structure
//   4..6    u16  kind          a variant of the structure, its owner's own
//   6..8    u16  version       of the structure's layout; this header and the table keep theirs for ever
//   8..16   u64  length        of the whole blob in bytes
//  16..20   u32  sectionCount
//  20..24   u32  headerCrc     CRC-32C of bytes 0..20, then of the section table
//  24..          section table, 24 bytes an entry, in the order of offsets
//                  0..4   u32  id       unique in the blob
//                  4..8   u32  crc      CRC-32C of the section's bytes
//                  8..16  u64  offset   from the beginning of the blob, a multiple of 64, the bytes of a cache line
//                 16..24  u64  length   in bytes
//   then the sections; bytes between them, and up to a multiple of 64 at the end, are 0.
import { crc32c } from "./crc32c";

const MAGIC_OFFSET: usize = 0;
const KIND_OFFSET: usize = 4;
const VERSION_OFFSET: usize = 6;
const LENGTH_OFFSET: usize = 8;
const SECTION_COUNT_OFFSET: usize = 16;
const HEADER_CRC_OFFSET: usize = 20;
const TABLE_OFFSET: usize = 24;
const ENTRY_BYTES: usize = 24;
const ENTRY_ID_OFFSET: usize = 0;
const ENTRY_CRC_OFFSET: usize = 4;
const ENTRY_OFFSET_OFFSET: usize = 8;
const ENTRY_LENGTH_OFFSET: usize = 16;
const SECTIONS_MAX: u32 = 1024;
const ALIGNMENT: usize = 64;

/** What `blobCheck` returns. */
export const BLOB_OK: i32 = 0;
export const BLOB_NOT_OURS: i32 = 1; // another magic
export const BLOB_TRUNCATED: i32 = 2; // shorter than its header says
export const BLOB_HEADER_DAMAGED: i32 = 3;
export const BLOB_VERSION: i32 = 4; // sound, but of another layout
export const BLOB_TABLE_DAMAGED: i32 = 5; // sections outside the blob, overlapping, unaligned
export const BLOB_SECTION_DAMAGED: i32 = 6; // the bytes of a section are not those that were written

@inline function aligned(bytes: usize): usize { return (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1); }
@inline function entry(blob: usize, slot: u32): usize { return blob + TABLE_OFFSET + <usize>slot * ENTRY_BYTES; }

function headerCrc(blob: usize): u32 {
  const tableBytes = <usize>load<u32>(blob, SECTION_COUNT_OFFSET) * ENTRY_BYTES;
  return crc32c(blob + TABLE_OFFSET, tableBytes, crc32c(blob, HEADER_CRC_OFFSET, 0));
}

function isZero(from: usize, to: usize): bool {
  for (; from < to; from++) if (load<u8>(from)) return false;
  return true;
}

// Writing: blobBegin, blobAddSection in ascending order, the sections' bytes, blobFinish.

/** Where the first section may begin: bytes of header and table, a multiple of 64. */
export function blobHeaderBytes(sectionCount: u32): usize {
  return aligned(TABLE_OFFSET + <usize>sectionCount * ENTRY_BYTES);
}

/** Writes the header to zeroed memory. */
export function blobBegin(blob: usize, magic: u32, kind: u16, version: u16): void {
  store<u32>(blob, magic, MAGIC_OFFSET);
  store<u16>(blob, kind, KIND_OFFSET);
  store<u16>(blob, version, VERSION_OFFSET);
  store<u32>(blob, 0, SECTION_COUNT_OFFSET);
}

/** Enters the next section; returns the offset (a multiple of 64) at which the one after it may begin. */
export function blobAddSection(blob: usize, id: u32, offset: usize, length: usize): usize {
  const slot = load<u32>(blob, SECTION_COUNT_OFFSET);
  const at = entry(blob, slot);
  store<u32>(at, id, ENTRY_ID_OFFSET);
  store<u64>(at, <u64>offset, ENTRY_OFFSET_OFFSET);
  store<u64>(at, <u64>length, ENTRY_LENGTH_OFFSET);
  store<u32>(blob, slot + 1, SECTION_COUNT_OFFSET);
  return aligned(offset + length);
}

/** Writes checksums and total length, once every byte of every section stands. */
export function blobFinish(blob: usize, length: usize): void {
  store<u64>(blob, <u64>length, LENGTH_OFFSET);
  const sectionCount = load<u32>(blob, SECTION_COUNT_OFFSET);
  for (let slot: u32 = 0; slot < sectionCount; slot++) {
    const at = entry(blob, slot);
    const bytes = <usize>load<u64>(at, ENTRY_LENGTH_OFFSET);
    store<u32>(at, crc32c(blob + <usize>load<u64>(at, ENTRY_OFFSET_OFFSET), bytes, 0), ENTRY_CRC_OFFSET);
  }
  store<u32>(blob, headerCrc(blob), HEADER_CRC_OFFSET);
}

// Reading

/** Checks a blob of `length` bytes that came from outside: header, table, and the checksum of every section. What is
 *  inside a section is its owner's to check. */
export function blobCheck(blob: usize, length: usize, magic: u32, version: u16): i32 {
  if (length >= 4 && load<u32>(blob, MAGIC_OFFSET) != magic) return BLOB_NOT_OURS;
  if (length < TABLE_OFFSET) return BLOB_TRUNCATED;
  const sectionCount = load<u32>(blob, SECTION_COUNT_OFFSET);
  if (sectionCount > SECTIONS_MAX) return BLOB_HEADER_DAMAGED;
  const headerBytes = blobHeaderBytes(sectionCount);
  if (length < headerBytes) return BLOB_TRUNCATED;
  if (load<u32>(blob, HEADER_CRC_OFFSET) != headerCrc(blob)) return BLOB_HEADER_DAMAGED;
  const stated = load<u64>(blob, LENGTH_OFFSET);
  if (<u64>length < stated) return BLOB_TRUNCATED;
  if (<u64>length > stated) return BLOB_HEADER_DAMAGED;
  if (load<u16>(blob, VERSION_OFFSET) != version) return BLOB_VERSION;

  let end: u64 = <u64>(TABLE_OFFSET + <usize>sectionCount * ENTRY_BYTES);
  for (let slot: u32 = 0; slot < sectionCount; slot++) {
    const at = entry(blob, slot);
    const offset = load<u64>(at, ENTRY_OFFSET_OFFSET);
    const bytes = load<u64>(at, ENTRY_LENGTH_OFFSET);
    const outside = offset < end || offset > stated || bytes > stated - offset;
    if (outside || (offset & (ALIGNMENT - 1)) != 0) return BLOB_TABLE_DAMAGED;
    if (offset - end >= ALIGNMENT || !isZero(blob + <usize>end, blob + <usize>offset)) return BLOB_TABLE_DAMAGED;
    for (let other: u32 = 0; other < slot; other++) {
      if (load<u32>(entry(blob, other), ENTRY_ID_OFFSET) == load<u32>(at, ENTRY_ID_OFFSET)) return BLOB_TABLE_DAMAGED;
    }
    if (load<u32>(at, ENTRY_CRC_OFFSET) != crc32c(blob + <usize>offset, <usize>bytes, 0)) return BLOB_SECTION_DAMAGED;
    end = offset + bytes;
  }
  if (stated - end >= ALIGNMENT || !isZero(blob + <usize>end, blob + <usize>stated)) return BLOB_TABLE_DAMAGED;
  return BLOB_OK;
}

/** Bytes of the whole blob. */
export function blobLength(blob: usize): usize {
  return <usize>load<u64>(blob, LENGTH_OFFSET);
}

export function blobKind(blob: usize): u16 {
  return load<u16>(blob, KIND_OFFSET);
}

export function blobVersion(blob: usize): u16 {
  return load<u16>(blob, VERSION_OFFSET);
}

/** Address of a section's bytes, 0 where the blob has none of that id. */
export function section(blob: usize, id: u32): usize {
  const at = find(blob, id);
  return at ? blob + <usize>load<u64>(at, ENTRY_OFFSET_OFFSET) : 0;
}

/** Bytes of a section, 0 where the blob has none of that id. */
export function sectionLength(blob: usize, id: u32): usize {
  const at = find(blob, id);
  return at ? <usize>load<u64>(at, ENTRY_LENGTH_OFFSET) : 0;
}

function find(blob: usize, id: u32): usize {
  const sectionCount = load<u32>(blob, SECTION_COUNT_OFFSET);
  for (let slot: u32 = 0; slot < sectionCount; slot++) {
    const at = entry(blob, slot);
    if (load<u32>(at, ENTRY_ID_OFFSET) == id) return at;
  }
  return 0;
}
