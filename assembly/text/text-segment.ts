// TextSegment: an immutable inverted index, one blob (blob.ts). Written by text-seal.ts, opened by text-open.ts. Its pages
// are read when they are needed (text-need.ts); what every look-up begins with stands in front, so that it comes at once.
//
// Sections
//   META        u32 docCount, u32 fieldCount, u32 termCount, u32 keyBytesMax, then 32 bytes a field:
//                 u32 kind, u32 analyzer, u32 docCount, u32 pointCount, u64 length, u64 (0)
//   GROUP_ENDS  u32[groups]: where the key of each group of 32 blocks of the dictionary ends in GROUP_KEYS
//   GROUP_KEYS  keys that are past all keys of the groups before and not past any of their own: as short as that allows,
//               but for the field's two bytes
//   TERMS       the dictionary: blocks of 32 entries, in the order of keys. A key is the ordinal of the field, two bytes,
//               the higher first, and the term. 8 zero bytes follow the last block.
//   TERM_INDEX  u32[blocks]: where each block begins in TERMS
//   SKIPS       16 bytes a full block of 128 postings; the blocks of a term stand together, terms in their order:
//                 u32 lastDoc, u32 offset in BLOCKS / 16, u32 offset in POSITIONS,
//                 u8 docWidth, u8 freqWidth, u8 the highest frequency (255: or more), u8 the lowest fieldnorm
//   BLOCKS      full blocks: gaps (docWidth), then frequencies less one (freqWidth), packed as bit-packing.ts says
//   POSITIONS   positions of the full blocks of text fields: u8 width, then a run (bit-packing.ts) of all positions of
//               the block, each counted from the one before it in its document, the first from 0. 8 zero bytes follow.
//   NORMS       u8[docCount][text fields]
//   POINT_KEYS  u64[], ascending, the point fields one after the other
//   POINT_DOCS  u32[], the documents of those keys, ascending among equal keys
//   ID_FILTER   a filter of the terms of field 0, the documents' ids (id-filter.ts)
//
// Entry of the dictionary
//   varint shared        bytes that the key shares with the one before it; 0 in the first entry of a block
//   varint rest          bytes that follow of the key: u8[rest]
//   varint docFreq
//   varint payloadLength
//   payload: varint first block of the term in SKIPS, where docFreq ≥ 128;
//            then its last docFreq % 128 postings: varint gap * 2 + (frequency is 1), varint frequency where it is not 1;
//            then in text fields their positions, as in POSITIONS.
// So a term of one document, about half of them all, is nowhere but in the dictionary.
//
// A gap is the distance to the posting before it less one, of the first to −1. A term field has neither frequencies nor
// positions: each frequency is 1.
import { filterBlock, filterHas } from "./id-filter";
import { readVarint, varintEnd } from "./varint";
import { compareBytes, HEADER_BYTES } from "./text-index";

export const SEGMENT_MAGIC: u32 = 0x53545250; // "PRTS"
export const SEGMENT_VERSION: u16 = 2;

export const META: u32 = 1;
export const GROUP_ENDS: u32 = 2;
export const GROUP_KEYS: u32 = 3;
export const TERMS: u32 = 4;
export const TERM_INDEX: u32 = 5;
export const SKIPS: u32 = 6;
export const BLOCKS: u32 = 7;
export const POSITIONS: u32 = 8;
export const NORMS: u32 = 9;
export const POINT_KEYS: u32 = 10;
export const POINT_DOCS: u32 = 11;
export const ID_FILTER: u32 = 12;
export const SECTION_COUNT: u32 = 12;

export const META_DOC_COUNT_OFFSET: usize = 0;
export const META_FIELD_COUNT_OFFSET: usize = 4;
export const META_TERM_COUNT_OFFSET: usize = 8;
export const META_KEY_BYTES_MAX_OFFSET: usize = 12;
export const META_FIELDS_OFFSET: usize = 16;
export const META_FIELD_BYTES: usize = 32;
export const META_KIND_OFFSET: usize = 0;
export const META_ANALYZER_OFFSET: usize = 4;
export const META_FIELD_DOC_COUNT_OFFSET: usize = 8;
export const META_POINT_COUNT_OFFSET: usize = 12;
export const META_LENGTH_OFFSET: usize = 16;

export const TERMS_PER_BLOCK: u32 = 32;
/** A group is what a look-up needs of the dictionary: some 20 to 60 KB, so seldom more than two pages. */
export const BLOCKS_PER_GROUP: u32 = 32;
/** Zero bytes behind what is read eight bytes at a time. */
export const PADDING_BYTES: usize = 8;
export const KEY_FIELD_BYTES: u32 = 2;

export const SKIP_BYTES: usize = 16;
export const SKIP_LAST_DOC_OFFSET: usize = 0;
export const SKIP_BLOCK_OFFSET: usize = 4;
export const SKIP_POSITION_OFFSET: usize = 8;
export const SKIP_DOC_WIDTH_OFFSET: usize = 12;
export const SKIP_FREQ_WIDTH_OFFSET: usize = 13;
export const SKIP_MAX_FREQ_OFFSET: usize = 14;
export const SKIP_MIN_NORM_OFFSET: usize = 15;

// The segment's own part of the header (text-index.ts): where its sections are.
export const SEGMENT_BLOB_OFFSET: usize = HEADER_BYTES;
export const SEGMENT_TERMS_OFFSET: usize = HEADER_BYTES + 4;
export const SEGMENT_TERMS_END_OFFSET: usize = HEADER_BYTES + 8;
export const SEGMENT_TERM_INDEX_OFFSET: usize = HEADER_BYTES + 12;
export const SEGMENT_TERM_BLOCKS_OFFSET: usize = HEADER_BYTES + 16;
export const SEGMENT_SKIPS_OFFSET: usize = HEADER_BYTES + 20;
export const SEGMENT_BLOCKS_OFFSET: usize = HEADER_BYTES + 24;
export const SEGMENT_POSITIONS_OFFSET: usize = HEADER_BYTES + 28;
export const SEGMENT_KEY_BYTES_MAX_OFFSET: usize = HEADER_BYTES + 32;
export const SEGMENT_STATES_OFFSET: usize = HEADER_BYTES + 36; // of pages (blob.ts), 0 where all are there
export const SEGMENT_GROUPS_OFFSET: usize = HEADER_BYTES + 40; // how many
export const SEGMENT_GROUP_ENDS_OFFSET: usize = HEADER_BYTES + 44;
export const SEGMENT_GROUP_KEYS_OFFSET: usize = HEADER_BYTES + 48;
export const SEGMENT_SKIPS_END_OFFSET: usize = HEADER_BYTES + 52;
export const SEGMENT_POSITIONS_END_OFFSET: usize = HEADER_BYTES + 56;
export const SEGMENT_ID_FILTER_OFFSET: usize = HEADER_BYTES + 60;
export const SEGMENT_ID_FILTER_BYTES_OFFSET: usize = HEADER_BYTES + 64;
export const SEGMENT_HEADER_BYTES: usize = HEADER_BYTES + 80;

// The entry that a walk over the dictionary stands on.
export let entryDocFreq: u32 = 0;
export let entryPayload: usize = 0;
export let entryPayloadLength: u32 = 0;
/** Behind the entry. */
export let entryEnd: usize = 0;
let entryShared: u32 = 0;
let entryRest: usize = 0;
let entryRestLength: u32 = 0;

/** Reads the entry at `at`. The dictionary was checked when it was opened, so nothing is checked here. */
@inline function readEntry(at: usize, end: usize): void {
  entryShared = readVarint(at, end);
  entryRestLength = readVarint(varintEnd, end);
  entryRest = varintEnd;
  entryDocFreq = readVarint(entryRest + entryRestLength, end);
  entryPayloadLength = readVarint(varintEnd, end);
  entryPayload = varintEnd;
  entryEnd = entryPayload + entryPayloadLength;
}

@inline export function blockAddress(segment: usize, block: u32): usize {
  return load<usize>(segment, SEGMENT_TERMS_OFFSET) +
    load<u32>(load<usize>(segment, SEGMENT_TERM_INDEX_OFFSET) + (<usize>block << 2));
}

/** Order of the first key of a block against (field, term), as compareBytes. */
function compareFirst(segment: usize, block: u32, field: u32, term: usize, length: u32): i32 {
  readEntry(blockAddress(segment, block), load<usize>(segment, SEGMENT_TERMS_END_OFFSET));
  const keyField = <u32>bswap<u16>(load<u16>(entryRest));
  if (keyField != field) return keyField < field ? -1 : 1;
  return compareBytes(entryRest + KEY_FIELD_BYTES, entryRestLength - KEY_FIELD_BYTES, term, length);
}

/** Order of a group's key against (field, term), as compareBytes. Not of the first group: it begins before everything. */
function compareGroup(segment: usize, group: u32, field: u32, term: usize, length: u32): i32 {
  const ends = load<usize>(segment, SEGMENT_GROUP_ENDS_OFFSET) + (<usize>group << 2);
  const begin = load<u32>(ends - 4);
  const key = load<usize>(segment, SEGMENT_GROUP_KEYS_OFFSET) + begin;
  const keyField = <u32>bswap<u16>(load<u16>(key));
  if (keyField != field) return keyField < field ? -1 : 1;
  return compareBytes(key + KEY_FIELD_BYTES, load<u32>(ends) - begin - KEY_FIELD_BYTES, term, length);
}

/** The group that holds (field, term), if any does. */
export function groupFor(segment: usize, field: u32, term: usize, length: u32): u32 {
  let low: u32 = 0;
  let high = load<u32>(segment, SEGMENT_GROUPS_OFFSET);
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if (compareGroup(segment, middle, field, term, length) <= 0) low = middle;
    else high = middle;
  }
  return low;
}

/** The last block of that group whose first key is not past (field, term); its first where every one is. */
function blockFor(segment: usize, field: u32, term: usize, length: u32): u32 {
  let low = groupFor(segment, field, term, length) * BLOCKS_PER_GROUP;
  let high = min<u32>(low + BLOCKS_PER_GROUP, load<u32>(segment, SEGMENT_TERM_BLOCKS_OFFSET));
  while (low + 1 < high) {
    const middle = (low + high) >> 1;
    if (compareFirst(segment, middle, field, term, length) <= 0) low = middle;
    else high = middle;
  }
  return low;
}

/** Whether the filter of ids lets it be that the segment has this one. */
export function mayHaveId(segment: usize, id: usize, length: u32): bool {
  const bytes = load<usize>(segment, SEGMENT_ID_FILTER_BYTES_OFFSET);
  return bytes != 0 && filterHas(filterBlock(load<usize>(segment, SEGMENT_ID_FILTER_OFFSET), bytes, id, length));
}

/** Puts the walk on the entry of (field, term); false where there is none. */
export function findEntry(segment: usize, field: u32, term: usize, length: u32): bool {
  const blocks = load<u32>(segment, SEGMENT_TERM_BLOCKS_OFFSET);
  if (!blocks) return false;
  const block = blockFor(segment, field, term, length);
  const end = load<usize>(segment, SEGMENT_TERMS_END_OFFSET);
  const blockEnd = block + 1 < blocks ? blockAddress(segment, block + 1) : end;
  // `matched` bytes of the wanted key are those of the entry before. While an entry shares more than that with the one
  // before it, it is too small as well; where it shares less it is too large.
  let matched: u32 = 0;
  const wantedLength = length + KEY_FIELD_BYTES;
  for (let at = blockAddress(segment, block); at < blockEnd; at = entryEnd) {
    readEntry(at, end);
    if (entryShared > matched) continue;
    if (entryShared < matched) return false;
    let i: u32 = 0;
    while (i < entryRestLength && matched < wantedLength) {
      const wanted = keyByte(field, term, matched);
      const byte = <u32>load<u8>(entryRest + i);
      if (byte != wanted) {
        if (byte > wanted) return false;
        break;
      }
      i++;
      matched++;
    }
    if (i == entryRestLength) {
      if (matched == wantedLength) return true;
    } else if (matched == wantedLength) {
      return false; // the entry goes on where the wanted key ends
    }
  }
  return false;
}

@inline function keyByte(field: u32, term: usize, i: u32): u32 {
  if (i == 0) return field >> 8;
  if (i == 1) return field & 0xff;
  return <u32>load<u8>(term + i - KEY_FIELD_BYTES);
}

// A walk over the dictionary, entry by entry: walkBegin, then walkNext until it is false. Keys are put together in a
// buffer of the caller's, keyBytesMax long.

let walkAt: usize = 0;
let walkEnd: usize = 0;
let walkKey: usize = 0;
export let walkKeyLength: u32 = 0;

/** Begins at the block that may hold (field, term), so a walk may meet keys before it. */
export function walkBegin(segment: usize, field: u32, term: usize, length: u32, key: usize): void {
  walkEnd = load<usize>(segment, SEGMENT_TERMS_END_OFFSET);
  walkAt = walkEnd;
  walkKey = key;
  walkKeyLength = 0;
  if (!load<u32>(segment, SEGMENT_TERM_BLOCKS_OFFSET)) return;
  walkAt = blockAddress(segment, blockFor(segment, field, term, length));
}

/** Moves to the next entry, and puts its key together at the address given to walkBegin. */
export function walkNext(): bool {
  if (walkAt >= walkEnd) return false;
  readEntry(walkAt, walkEnd);
  memory.copy(walkKey + entryShared, entryRest, entryRestLength);
  walkKeyLength = entryShared + entryRestLength;
  walkAt = entryEnd;
  return true;
}
