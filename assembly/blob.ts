// Blob: the container of every segment. Its bytes on disk are its bytes in memory: no pointers, only offsets. Pages of
// the file are read when they are needed, so each has a checksum of its own.
//
//   0..4    u32  magic         names the structure
//   4..6    u16  kind          a variant of the structure, its owner's own
//   6..8    u16  version       of the structure's layout; this header and the tables keep theirs for ever
//   8..16   u64  length        of the whole blob in bytes
//  16..18   u16  sectionCount  at least one
//  18..20   u16  body          offset of the body / 64
//  20..24   u32  headerCrc     CRC-32C of bytes 0..20, then of everything from 24 up to the body
//  24..          section table, 24 bytes an entry, in the order of offsets
//                  0..4   u32  id       unique in the blob
//                  4..8   u32           0
//                  8..16  u64  offset   from the beginning of the blob, a multiple of 64, the bytes of a cache line
//                 16..24  u64  length   in bytes
//   then          page table: u32 CRC-32C of each page of 64 KiB of the body, the last one as long as it is
//   then 0 up to a multiple of 64, where the body begins with the first section; bytes between sections, and up to a
//   multiple of 64 at the end, are 0.
//
// Blobs of before (format 1) had no page table, 0 for the body's offset, and the CRC of a section in its entry.
import { crc32c } from "./crc32c";

const MAGIC_OFFSET: usize = 0;
const KIND_OFFSET: usize = 4;
const VERSION_OFFSET: usize = 6;
const LENGTH_OFFSET: usize = 8;
const SECTION_COUNT_OFFSET: usize = 16;
const BODY_OFFSET: usize = 18;
const HEADER_CRC_OFFSET: usize = 20;
const TABLE_OFFSET: usize = 24;
const ENTRY_BYTES: usize = 24;
const ENTRY_ID_OFFSET: usize = 0;
const ENTRY_OFFSET_OFFSET: usize = 8;
const ENTRY_LENGTH_OFFSET: usize = 16;
const SECTIONS_MAX: u32 = 1024;
const ALIGNMENT: usize = 64;
const PAGE_BITS: u64 = 16;
const PAGE_BYTES: u64 = 1 << PAGE_BITS;

/** What `blobCheck` returns. */
export const BLOB_OK: i32 = 0;
export const BLOB_NOT_OURS: i32 = 1; // another magic
export const BLOB_TRUNCATED: i32 = 2; // shorter than its header says
export const BLOB_HEADER_DAMAGED: i32 = 3;
export const BLOB_VERSION: i32 = 4; // sound, but of another layout
export const BLOB_TABLE_DAMAGED: i32 = 5; // sections outside the blob, overlapping, unaligned

@inline function aligned(bytes: usize): usize { return (bytes + ALIGNMENT - 1) & ~(ALIGNMENT - 1); }
@inline function entry(blob: usize, slot: u32): usize { return blob + TABLE_OFFSET + <usize>slot * ENTRY_BYTES; }
@inline function sectionCountOf(blob: usize): u32 { return <u32>load<u16>(blob, SECTION_COUNT_OFFSET); }

/** Offset of the first page, so also the bytes of header and tables. */
export function blobBody(blob: usize): usize {
  return <usize>load<u16>(blob, BODY_OFFSET) * ALIGNMENT;
}

/** Pages of the body. */
export function blobPageCount(blob: usize): u32 {
  return <u32>((load<u64>(blob, LENGTH_OFFSET) - blobBody(blob) + PAGE_BYTES - 1) >> PAGE_BITS);
}

/** Where the page table is. */
@inline function pageTable(blob: usize): usize { return entry(blob, sectionCountOf(blob)); }

function pageCrc(blob: usize, page: u32): u32 {
  const offset = <u64>blobBody(blob) + (<u64>page << PAGE_BITS);
  return crc32c(blob + <usize>offset, <usize>min(PAGE_BYTES, load<u64>(blob, LENGTH_OFFSET) - offset), 0);
}

// Writing: blobBegin, blobAddSection in ascending order, the sections' bytes, blobFinish.

/** Where the first section begins in a blob of so many sections whose body, padding included, is `bodyBytes` at most. */
export function blobHeaderBytes(sectionCount: u32, bodyBytes: u64): usize {
  const pages = <usize>((bodyBytes + PAGE_BYTES - 1) >> PAGE_BITS);
  return aligned(TABLE_OFFSET + <usize>sectionCount * ENTRY_BYTES + (pages << 2));
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
  const slot = sectionCountOf(blob);
  if (!slot) store<u16>(blob, <u16>(offset / ALIGNMENT), BODY_OFFSET);
  const at = entry(blob, slot);
  store<u32>(at, id, ENTRY_ID_OFFSET);
  store<u64>(at, <u64>offset, ENTRY_OFFSET_OFFSET);
  store<u64>(at, <u64>length, ENTRY_LENGTH_OFFSET);
  store<u16>(blob, <u16>(slot + 1), SECTION_COUNT_OFFSET);
  return aligned(offset + length);
}

/** Writes checksums and total length, once every byte of every section stands. */
export function blobFinish(blob: usize, length: usize): void {
  store<u64>(blob, <u64>length, LENGTH_OFFSET);
  const pages = blobPageCount(blob);
  const table = pageTable(blob);
  if (table + (<usize>pages << 2) > blob + blobBody(blob)) unreachable(); // more than blobHeaderBytes was told
  for (let page: u32 = 0; page < pages; page++) store<u32>(table + (<usize>page << 2), pageCrc(blob, page));
  store<u32>(blob, headerCrc(blob, blobBody(blob)), HEADER_CRC_OFFSET);
}

// Reading

function headerCrc(blob: usize, end: usize): u32 {
  return crc32c(blob + TABLE_OFFSET, end - TABLE_OFFSET, crc32c(blob, HEADER_CRC_OFFSET, 0));
}

/** Bytes that `blobCheck` wants to see of a blob, of which the first 24 are there. */
export function blobCheckBytes(blob: usize): usize {
  const body = blobBody(blob);
  return body ? body : TABLE_OFFSET + <usize>load<u32>(blob, SECTION_COUNT_OFFSET) * ENTRY_BYTES;
}

/** Checks header and tables of a blob that came from outside, of which `length` bytes exist and blobCheckBytes, if so
 *  many, are there. blobCheckPage checks the rest. What is inside a section is its owner's to check. */
export function blobCheck(blob: usize, length: u64, magic: u32, version: u16): i32 {
  if (length >= 4 && load<u32>(blob, MAGIC_OFFSET) != magic) return BLOB_NOT_OURS;
  if (length < <u64>TABLE_OFFSET) return BLOB_TRUNCATED;
  const headerBytes = blobCheckBytes(blob);
  if (length < <u64>headerBytes) return BLOB_TRUNCATED;
  const sectionCount = sectionCountOf(blob);
  const tableEnd = TABLE_OFFSET + <usize>sectionCount * ENTRY_BYTES;
  if (sectionCount > SECTIONS_MAX || headerBytes < tableEnd) return BLOB_HEADER_DAMAGED;
  if (load<u32>(blob, HEADER_CRC_OFFSET) != headerCrc(blob, headerBytes)) return BLOB_HEADER_DAMAGED;
  const stated = load<u64>(blob, LENGTH_OFFSET);
  if (length < stated) return BLOB_TRUNCATED;
  if (length > stated) return BLOB_HEADER_DAMAGED;
  if (!blobBody(blob) || load<u16>(blob, VERSION_OFFSET) != version) return BLOB_VERSION;

  const pages = (stated - headerBytes + PAGE_BYTES - 1) >> PAGE_BITS; // not below 0: stated is the length
  if (<u64>tableEnd + (pages << 2) > <u64>headerBytes) return BLOB_TABLE_DAMAGED;
  let end = <u64>headerBytes;
  for (let slot: u32 = 0; slot < sectionCount; slot++) {
    const at = entry(blob, slot);
    const offset = load<u64>(at, ENTRY_OFFSET_OFFSET);
    const bytes = load<u64>(at, ENTRY_LENGTH_OFFSET);
    const outside = offset < end || offset > stated || bytes > stated - offset;
    if (outside || (offset & (ALIGNMENT - 1)) != 0) return BLOB_TABLE_DAMAGED;
    for (let other: u32 = 0; other < slot; other++) {
      if (load<u32>(entry(blob, other), ENTRY_ID_OFFSET) == load<u32>(at, ENTRY_ID_OFFSET)) return BLOB_TABLE_DAMAGED;
    }
    end = offset + bytes;
  }
  return BLOB_OK;
}

/** Whether the bytes of a page of the body are those that were written. */
export function blobCheckPage(blob: usize, page: u32): bool {
  return pageCrc(blob, page) == blobPageCrc(blob, page);
}

/** The checksum that a page must have. */
export function blobPageCrc(blob: usize, page: u32): u32 {
  return load<u32>(pageTable(blob) + (<usize>page << 2));
}

// What is known of a page of a blob that is read bit by bit: a byte each, which src/engine/blob.ts keeps.
const PAGE_PRESENT: u8 = 1;
const PAGE_WANTED: u8 = 2;

/** Whether the bytes from `from` up to `end`, addresses in the body, are there; marks the pages that are missing as
 *  wanted. `states` is 0 where all of the blob is there. */
export function blobNeed(blob: usize, states: usize, from: usize, end: usize): bool {
  if (!states || from >= end) return true;
  const body = blob + blobBody(blob);
  let all = true;
  const last = (end - 1 - body) >> <usize>PAGE_BITS;
  for (let page = (from - body) >> <usize>PAGE_BITS; page <= last; page++) {
    if (load<u8>(states + page) == PAGE_PRESENT) continue;
    store<u8>(states + page, PAGE_WANTED);
    all = false;
  }
  return all;
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
  const sectionCount = sectionCountOf(blob);
  for (let slot: u32 = 0; slot < sectionCount; slot++) {
    const at = entry(blob, slot);
    if (load<u32>(at, ENTRY_ID_OFFSET) == id) return at;
  }
  return 0;
}
