// TextWriter: an inverted index in memory that grows a document at a time and can be searched between any two.
//
// Terms stand in a hash table (open addressing, linear probing): {u32 hash, usize term} a slot, term 0 where free.
// Terms and their postings lie in an arena: a chain of regions that are filled from front to back and freed together.
//
// Term
//    0..4   u32    field
//    4..8   u32    length         of the term in bytes
//    8..12  u32    docFreq
//   12..16  u32    lastDoc        the document added last, not in the chain yet: its frequency may still grow
//   16..20  u32    lastFreq
//   20..24  u32    lastPosition   in lastDoc
//   24..28  u32    previousDoc    the one before it, NO_DOC where there is none: gaps in the chain are counted from it
//   28..32  usize  docHead        chain of (gap, frequency), 0 where only lastDoc has the term
//   32..36  usize  docWrite, docEnd
//   40..44  usize  positionHead   chain of positions, each document's counted from 0; text fields only
//   44..48  usize  positionWrite, positionEnd
//   52..    u8[]   the term
//
// A chain is a list of slices of 16, 32, … 2048 bytes, the last four of each the address of the next. Chains hold
// varints (a gap is shifted by one, the low bit set where the frequency is 1), and a varint may cross slices.
import { regionAlloc, regionCapacity, regionFree } from "../region";
import {
  ANALYZER_COUNT, analyzerNext, analyzerStart, tokenAddress, tokenLength, tokenPosition,
} from "./analyzer";
import { fieldnorm } from "./fieldnorm";
import { inputAddress, scratchRelease, scratchRetain, scratchTrim } from "./scratch";
import {
  DOC_COUNT_MAX, DOC_COUNT_OFFSET, docCountOf, equalBytes, FIELD_ANALYZER_OFFSET, FIELD_BYTES, FIELD_COUNT_OFFSET,
  FIELD_DOC_COUNT_OFFSET, FIELD_LENGTH_OFFSET, FIELD_NORM_SLOT_OFFSET, FIELD_POINT_COUNT_OFFSET,
  FIELD_POINT_DOCS_OFFSET, FIELD_POINT_KEYS_OFFSET, fieldCountOf, fieldKind, fieldOf, FIELDS_OFFSET, fieldsBegin,
  HEADER_BYTES, KIND_OFFSET, NO_DOC, NORM_STRIDE_OFFSET, NORMS_OFFSET, TERM, TEXT, WRITER,
} from "./text-index";

// The writer's own part of the header.
const TABLE_OFFSET: usize = HEADER_BYTES;
const TABLE_MASK_OFFSET: usize = HEADER_BYTES + 4;
const TERM_COUNT_OFFSET: usize = HEADER_BYTES + 8;
const ARENA_AT_OFFSET: usize = HEADER_BYTES + 12;
const ARENA_END_OFFSET: usize = HEADER_BYTES + 16;
const ARENA_CHUNKS_OFFSET: usize = HEADER_BYTES + 20; // list of regions, the newest first
const ARENA_BYTES_OFFSET: usize = HEADER_BYTES + 24;
const FULL_OFFSET: usize = HEADER_BYTES + 28; // 1 when memory was used up in the middle of a document
const WRITER_BYTES: usize = HEADER_BYTES + 32;

// The writer's own part of a field: the document that is being added.
const FIELD_CURRENT_LENGTH_OFFSET: usize = 36; // its tokens so far
const FIELD_NEXT_POSITION_OFFSET: usize = 40; // of the first token of its next value
const FIELD_SEEN_OFFSET: usize = 44; // 1 when it has a value
const FIELD_CURRENT_POINTS_OFFSET: usize = 48; // its keys so far, behind the pointCount of those before

/** Tokens that nothing can span, between two values of a field. */
const POSITION_GAP: u32 = 100;

const SLOT_BYTES: usize = 8;
const SLOT_TERM_OFFSET: usize = 4;
const SLOTS_AT_FIRST: usize = 2048;
const CHUNK_BYTES_MAX: usize = 1 << 20;
const CHUNK_HEADER_BYTES: usize = 16;

export const TERM_FIELD_OFFSET: usize = 0;
export const TERM_LENGTH_OFFSET: usize = 4;
const TERM_DOC_FREQ_OFFSET: usize = 8;
export const TERM_LAST_DOC_OFFSET: usize = 12;
export const TERM_LAST_FREQ_OFFSET: usize = 16;
const TERM_LAST_POSITION_OFFSET: usize = 20;
const TERM_PREVIOUS_DOC_OFFSET: usize = 24;
export const TERM_DOC_HEAD_OFFSET: usize = 28;
const TERM_DOC_WRITE_OFFSET: usize = 32;
const TERM_DOC_END_OFFSET: usize = 36;
export const TERM_POSITION_HEAD_OFFSET: usize = 40;
const TERM_POSITION_WRITE_OFFSET: usize = 44;
const TERM_POSITION_END_OFFSET: usize = 48;
export const TERM_BYTES_OFFSET: usize = 52;

const SLICE_BYTES_FIRST: usize = 16;
const SLICE_BYTES_MAX: usize = 2048;
export const SLICE_NEXT_BYTES: usize = 4;

/** Bytes of the slice after one of `bytes`. */
@inline export function nextSliceBytes(bytes: usize): usize { return min<usize>(bytes << 1, SLICE_BYTES_MAX); }
@inline export function firstSliceBytes(): usize { return SLICE_BYTES_FIRST; }

/** A writer over `fieldCount` fields, whose kinds stand in the input as u8[fieldCount][2]. 0 when memory is used up. */
export function textWriterNew(fieldCount: u32): usize {
  const headBytes = WRITER_BYTES + <usize>fieldCount * FIELD_BYTES;
  const writer = regionAlloc(headBytes);
  const table = regionAlloc(SLOTS_AT_FIRST * SLOT_BYTES);
  if (!writer || !table) {
    regionFree(writer);
    regionFree(table);
    return 0;
  }
  store<u32>(writer, WRITER, KIND_OFFSET);
  store<u32>(writer, fieldCount, FIELD_COUNT_OFFSET);
  store<usize>(writer, writer + WRITER_BYTES, FIELDS_OFFSET);
  const texts = fieldsBegin(writer + WRITER_BYTES, fieldCount, inputAddress(), ANALYZER_COUNT);
  if (texts < 0) unreachable();
  store<u32>(writer, texts, NORM_STRIDE_OFFSET);
  store<usize>(writer, table, TABLE_OFFSET);
  store<usize>(writer, SLOTS_AT_FIRST - 1, TABLE_MASK_OFFSET);
  // What the first region has left is the beginning of the arena.
  store<usize>(writer, align4(writer + headBytes), ARENA_AT_OFFSET);
  store<usize>(writer, writer + regionCapacity(writer), ARENA_END_OFFSET);
  memory.fill(writer + headBytes, 0, regionCapacity(writer) - headBytes);
  scratchRetain();
  return writer;
}

export function textWriterFree(writer: usize): void {
  for (let i: u32 = 0, count = fieldCountOf(writer); i < count; i++) {
    regionFree(load<usize>(fieldOf(writer, i), FIELD_POINT_KEYS_OFFSET));
    regionFree(load<usize>(fieldOf(writer, i), FIELD_POINT_DOCS_OFFSET));
  }
  let chunk = load<usize>(writer, ARENA_CHUNKS_OFFSET);
  while (chunk) {
    const next = load<usize>(chunk);
    regionFree(chunk);
    chunk = next;
  }
  regionFree(load<usize>(writer, TABLE_OFFSET));
  regionFree(load<usize>(writer, NORMS_OFFSET));
  regionFree(writer);
  scratchRelease();
}

/** Bytes of linear memory that the writer holds. */
export function textWriterBytes(writer: usize): f64 {
  let bytes = <f64>regionCapacity(writer) + <f64>load<usize>(writer, ARENA_BYTES_OFFSET) +
    <f64>regionCapacity(load<usize>(writer, TABLE_OFFSET));
  const norms = load<usize>(writer, NORMS_OFFSET);
  if (norms) bytes += <f64>regionCapacity(norms);
  for (let i: u32 = 0, count = fieldCountOf(writer); i < count; i++) {
    const keys = load<usize>(fieldOf(writer, i), FIELD_POINT_KEYS_OFFSET);
    if (keys) bytes += <f64>regionCapacity(keys) * 1.5;
  }
  return bytes;
}

@inline function align4(bytes: usize): usize { return (bytes + 3) & ~3; }

/** Zeroed bytes of the arena, 4-byte aligned; 0 when memory is used up. */
@inline function arenaTake(writer: usize, bytes: usize): usize {
  const at = load<usize>(writer, ARENA_AT_OFFSET);
  const end = load<usize>(writer, ARENA_END_OFFSET);
  if (bytes > end - at) return arenaTakeMore(writer, bytes);
  store<usize>(writer, align4(at + bytes), ARENA_AT_OFFSET);
  return at;
}

function arenaTakeMore(writer: usize, bytes: usize): usize {
  // Chunks grow with the arena, so that little is left over in small writers and little is done often in large ones.
  const held = load<usize>(writer, ARENA_BYTES_OFFSET);
  const wanted = max<usize>(min<usize>(held >> 1, CHUNK_BYTES_MAX), bytes + CHUNK_HEADER_BYTES);
  const chunk = regionAlloc(wanted);
  if (!chunk) return 0;
  const capacity = regionCapacity(chunk);
  memory.fill(chunk + wanted, 0, capacity - wanted);
  store<usize>(chunk, load<usize>(writer, ARENA_CHUNKS_OFFSET));
  store<usize>(writer, chunk, ARENA_CHUNKS_OFFSET);
  store<usize>(writer, held + capacity, ARENA_BYTES_OFFSET);
  const at = chunk + CHUNK_HEADER_BYTES;
  const rest = chunk + capacity - align4(at + bytes);
  if (rest > load<usize>(writer, ARENA_END_OFFSET) - load<usize>(writer, ARENA_AT_OFFSET)) {
    store<usize>(writer, align4(at + bytes), ARENA_AT_OFFSET);
    store<usize>(writer, chunk + capacity, ARENA_END_OFFSET);
  }
  return at;
}

// Terms

/** Eight bytes a step; `term` has 8 readable bytes behind it. */
@inline function hashOf(field: u32, term: usize, length: u32): u32 {
  let hash = (<u64>length << 32 | field) * 0x9e37_79b9_7f4a_7c15;
  let left = length;
  while (left > 8) {
    hash = mix(hash ^ load<u64>(term));
    term += 8;
    left -= 8;
  }
  if (left) hash = mix(hash ^ (load<u64>(term) & (0xffff_ffff_ffff_ffff >> ((8 - <u64>left) << 3))));
  hash ^= hash >> 29;
  return <u32>(hash ^ (hash >> 32));
}
@inline function mix(hash: u64): u64 {
  hash ^= hash >> 32;
  hash *= 0xd6e8_feb8_6659_fd93;
  return hash ^ (hash >> 29);
}

/** The term, or 0. */
export function findTerm(writer: usize, field: u32, term: usize, length: u32): usize {
  const table = load<usize>(writer, TABLE_OFFSET);
  const mask = load<usize>(writer, TABLE_MASK_OFFSET);
  const hash = hashOf(field, term, length);
  for (let slot = <usize>hash & mask; ; slot = (slot + 1) & mask) {
    const found = load<usize>(table + slot * SLOT_BYTES, SLOT_TERM_OFFSET);
    if (!found) return 0;
    if (load<u32>(table + slot * SLOT_BYTES) == hash && isTerm(found, field, term, length)) return found;
  }
  return 0;
}

@inline function isTerm(found: usize, field: u32, term: usize, length: u32): bool {
  return load<u32>(found, TERM_FIELD_OFFSET) == field && load<u32>(found, TERM_LENGTH_OFFSET) == length &&
    equalBytes(found + TERM_BYTES_OFFSET, term, length);
}

/** The term, new where it was not there; 0 when memory is used up. */
function internTerm(writer: usize, field: u32, term: usize, length: u32): usize {
  const table = load<usize>(writer, TABLE_OFFSET);
  const mask = load<usize>(writer, TABLE_MASK_OFFSET);
  const hash = hashOf(field, term, length);
  let slot = <usize>hash & mask;
  while (true) {
    const found = load<usize>(table + slot * SLOT_BYTES, SLOT_TERM_OFFSET);
    if (!found) break;
    if (load<u32>(table + slot * SLOT_BYTES) == hash && isTerm(found, field, term, length)) return found;
    slot = (slot + 1) & mask;
  }
  const made = arenaTake(writer, TERM_BYTES_OFFSET + length);
  if (!made) return 0;
  store<u32>(made, field, TERM_FIELD_OFFSET);
  store<u32>(made, length, TERM_LENGTH_OFFSET);
  store<u32>(made, NO_DOC, TERM_LAST_DOC_OFFSET);
  store<u32>(made, NO_DOC, TERM_PREVIOUS_DOC_OFFSET);
  memory.copy(made + TERM_BYTES_OFFSET, term, length);
  const count = load<u32>(writer, TERM_COUNT_OFFSET) + 1;
  if (<usize>count > mask - (mask >> 2) && !growTable(writer)) return 0;
  place(load<usize>(writer, TABLE_OFFSET), load<usize>(writer, TABLE_MASK_OFFSET), hash, made);
  store<u32>(writer, count, TERM_COUNT_OFFSET);
  return made;
}

function place(table: usize, mask: usize, hash: u32, term: usize): void {
  let slot = <usize>hash & mask;
  while (load<usize>(table + slot * SLOT_BYTES, SLOT_TERM_OFFSET)) slot = (slot + 1) & mask;
  store<u32>(table + slot * SLOT_BYTES, hash);
  store<usize>(table + slot * SLOT_BYTES, term, SLOT_TERM_OFFSET);
}

function growTable(writer: usize): bool {
  const table = load<usize>(writer, TABLE_OFFSET);
  const mask = load<usize>(writer, TABLE_MASK_OFFSET);
  const wider = (mask << 1) | 1;
  if (wider >= 1 << 28) return false;
  const grown = regionAlloc((wider + 1) * SLOT_BYTES);
  if (!grown) return false;
  for (let slot: usize = 0; slot <= mask; slot++) {
    const term = load<usize>(table + slot * SLOT_BYTES, SLOT_TERM_OFFSET);
    if (term) place(grown, wider, load<u32>(table + slot * SLOT_BYTES), term);
  }
  regionFree(table);
  store<usize>(writer, grown, TABLE_OFFSET);
  store<usize>(writer, wider, TABLE_MASK_OFFSET);
  return true;
}

/** Slots of the table, and what stands in one: for walks over every term, in no order. */
@inline export function slotCount(writer: usize): usize { return load<usize>(writer, TABLE_MASK_OFFSET) + 1; }
@inline export function termInSlot(writer: usize, slot: usize): usize {
  return load<usize>(load<usize>(writer, TABLE_OFFSET) + slot * SLOT_BYTES, SLOT_TERM_OFFSET);
}
@inline export function termCountOf(writer: usize): u32 { return load<u32>(writer, TERM_COUNT_OFFSET); }

/** Documents that have the term, without the one that did not become whole when memory was used up. */
@inline export function termDocFreq(writer: usize, term: usize): u32 {
  const docFreq = load<u32>(term, TERM_DOC_FREQ_OFFSET);
  return docFreq ? docFreq - <u32>(load<u32>(term, TERM_LAST_DOC_OFFSET) >= docCountOf(writer)) : 0;
}

// Postings

/** Puts a varint into the chain whose head, write and end stand at `chain`; false when memory is used up. */
@inline function chainPut(writer: usize, chain: usize, value: u32): bool {
  while (value >= 0x80) {
    if (!chainPutByte(writer, chain, value | 0x80)) return false;
    value >>= 7;
  }
  return chainPutByte(writer, chain, value);
}

@inline function chainPutByte(writer: usize, chain: usize, byte: u32): bool {
  let write = load<usize>(chain, 4);
  if (write == load<usize>(chain, 8)) {
    write = chainGrow(writer, chain);
    if (!write) return false;
  }
  store<u8>(write, byte);
  store<usize>(chain, write + 1, 4);
  return true;
}

/** Appends a slice; returns where it may be written. */
function chainGrow(writer: usize, chain: usize): usize {
  const head = load<usize>(chain);
  let bytes = SLICE_BYTES_FIRST;
  if (head) {
    // The sizes are known by the way from the head; it is walked only while slices still grow: seven steps.
    let slice = head;
    const last = load<usize>(chain, 8);
    while (slice + bytes - SLICE_NEXT_BYTES != last && bytes < SLICE_BYTES_MAX) {
      slice = load<usize>(slice + bytes - SLICE_NEXT_BYTES);
      bytes = nextSliceBytes(bytes);
    }
    bytes = nextSliceBytes(bytes);
  }
  const slice = arenaTake(writer, bytes);
  if (!slice) return 0;
  if (head) store<usize>(load<usize>(chain, 8), slice);
  else store<usize>(chain, slice);
  store<usize>(chain, slice, 4);
  store<usize>(chain, slice + bytes - SLICE_NEXT_BYTES, 8);
  return slice;
}

/** Counts one occurrence in the document that is being added; false when memory is used up. */
@inline function addOccurrence(writer: usize, term: usize, docOrd: u32, position: u32, hasPositions: bool): bool {
  const lastDoc = load<u32>(term, TERM_LAST_DOC_OFFSET);
  let lastPosition: u32 = 0;
  if (lastDoc == docOrd) {
    if (!hasPositions) return true; // a raw value is there or not, however often
    lastPosition = load<u32>(term, TERM_LAST_POSITION_OFFSET);
    if (!chainPut(writer, term + TERM_POSITION_HEAD_OFFSET, position - lastPosition)) return false;
    store<u32>(term, load<u32>(term, TERM_LAST_FREQ_OFFSET) + 1, TERM_LAST_FREQ_OFFSET);
  } else {
    if (lastDoc != NO_DOC) {
      const freq = load<u32>(term, TERM_LAST_FREQ_OFFSET);
      const gap = lastDoc - load<u32>(term, TERM_PREVIOUS_DOC_OFFSET) - 1;
      const chain = term + TERM_DOC_HEAD_OFFSET;
      if (!chainPut(writer, chain, (gap << 1) | <u32>(freq == 1))) return false;
      if (freq != 1 && !chainPut(writer, chain, freq)) return false;
    }
    if (hasPositions && !chainPut(writer, term + TERM_POSITION_HEAD_OFFSET, position)) return false;
    store<u32>(term, lastDoc, TERM_PREVIOUS_DOC_OFFSET);
    store<u32>(term, docOrd, TERM_LAST_DOC_OFFSET);
    store<u32>(term, 1, TERM_LAST_FREQ_OFFSET);
    store<u32>(term, load<u32>(term, TERM_DOC_FREQ_OFFSET) + 1, TERM_DOC_FREQ_OFFSET);
  }
  store<u32>(term, position, TERM_LAST_POSITION_OFFSET);
  return true;
}

// Documents: any number of values, then textWriterEnd. Each returns whether there was memory enough; when there was not,
// the document is not there, and the writer takes no more.

/** Adds a value, `length` bytes in the input, to a text field of the current document. */
export function textWriterAddText(writer: usize, field: u32, length: u32): bool {
  const fieldState = fieldOf(writer, field);
  assert(fieldKind(fieldState) == TEXT);
  if (load<u32>(writer, FULL_OFFSET)) return false;
  const docOrd = docCountOf(writer);
  const base = load<u32>(fieldState, FIELD_NEXT_POSITION_OFFSET);
  let tokens: u32 = 0;
  analyzerStart(load<u32>(fieldState, FIELD_ANALYZER_OFFSET), inputAddress(), length);
  while (analyzerNext()) {
    const term = internTerm(writer, field, tokenAddress, tokenLength);
    if (!term || !addOccurrence(writer, term, docOrd, base + tokenPosition, true)) return full(writer);
    tokens = tokenPosition + 1;
  }
  store<u32>(fieldState, base + tokens + POSITION_GAP, FIELD_NEXT_POSITION_OFFSET);
  store<u32>(fieldState, load<u32>(fieldState, FIELD_CURRENT_LENGTH_OFFSET) + tokens, FIELD_CURRENT_LENGTH_OFFSET);
  store<u32>(fieldState, 1, FIELD_SEEN_OFFSET);
  return true;
}

/** Adds a value, `length` bytes in the input, to a term field of the current document. */
export function textWriterAddTerm(writer: usize, field: u32, length: u32): bool {
  const fieldState = fieldOf(writer, field);
  assert(fieldKind(fieldState) == TERM);
  if (load<u32>(writer, FULL_OFFSET)) return false;
  const term = internTerm(writer, field, inputAddress(), length);
  if (!term || !addOccurrence(writer, term, docCountOf(writer), 0, false)) return full(writer);
  store<u32>(fieldState, load<u32>(fieldState, FIELD_CURRENT_LENGTH_OFFSET) + 1, FIELD_CURRENT_LENGTH_OFFSET);
  store<u32>(fieldState, 1, FIELD_SEEN_OFFSET);
  return true;
}

/** Adds a key to a point field of the current document. */
export function textWriterAddPoint(writer: usize, field: u32, key: u64): bool {
  const fieldState = fieldOf(writer, field);
  assert(fieldKind(fieldState) > TERM);
  if (load<u32>(writer, FULL_OFFSET)) return false;
  const current = load<u32>(fieldState, FIELD_CURRENT_POINTS_OFFSET);
  const count = load<u32>(fieldState, FIELD_POINT_COUNT_OFFSET) + current;
  if (count >= 1 << 28) return full(writer);
  if (!reserve(fieldState + FIELD_POINT_KEYS_OFFSET, <usize>count << 3, 8)) return full(writer);
  if (!reserve(fieldState + FIELD_POINT_DOCS_OFFSET, <usize>count << 2, 4)) return full(writer);
  store<u64>(load<usize>(fieldState, FIELD_POINT_KEYS_OFFSET) + (<usize>count << 3), key);
  store<u32>(load<usize>(fieldState, FIELD_POINT_DOCS_OFFSET) + (<usize>count << 2), docCountOf(writer));
  store<u32>(fieldState, current + 1, FIELD_CURRENT_POINTS_OFFSET);
  store<u32>(fieldState, load<u32>(fieldState, FIELD_CURRENT_LENGTH_OFFSET) + 1, FIELD_CURRENT_LENGTH_OFFSET);
  store<u32>(fieldState, 1, FIELD_SEEN_OFFSET);
  return true;
}

/** Ends the current document: from here on it is found. */
export function textWriterEnd(writer: usize): bool {
  if (load<u32>(writer, FULL_OFFSET)) return false;
  const docOrd = docCountOf(writer);
  const stride = <usize>load<u32>(writer, NORM_STRIDE_OFFSET);
  if (docOrd >= DOC_COUNT_MAX || <u64>(docOrd + 1) * stride > 0xf000_0000) return full(writer);
  if (stride && !reserve(writer + NORMS_OFFSET, <usize>docOrd * stride, stride)) return full(writer);
  const norms = load<usize>(writer, NORMS_OFFSET) + <usize>docOrd * stride;
  for (let i: u32 = 0, count = fieldCountOf(writer); i < count; i++) {
    const field = fieldOf(writer, i);
    if (!load<u32>(field, FIELD_SEEN_OFFSET)) continue;
    const length = load<u32>(field, FIELD_CURRENT_LENGTH_OFFSET);
    if (fieldKind(field) == TEXT) store<u8>(norms + load<u32>(field, FIELD_NORM_SLOT_OFFSET), fieldnorm(length));
    store<u32>(field, load<u32>(field, FIELD_DOC_COUNT_OFFSET) + 1, FIELD_DOC_COUNT_OFFSET);
    store<u64>(field, load<u64>(field, FIELD_LENGTH_OFFSET) + length, FIELD_LENGTH_OFFSET);
    const points = load<u32>(field, FIELD_POINT_COUNT_OFFSET) + load<u32>(field, FIELD_CURRENT_POINTS_OFFSET);
    store<u32>(field, points, FIELD_POINT_COUNT_OFFSET);
    store<u32>(field, 0, FIELD_CURRENT_LENGTH_OFFSET);
    store<u32>(field, 0, FIELD_NEXT_POSITION_OFFSET);
    store<u32>(field, 0, FIELD_CURRENT_POINTS_OFFSET);
    store<u32>(field, 0, FIELD_SEEN_OFFSET);
  }
  store<u32>(writer, docOrd + 1, DOC_COUNT_OFFSET);
  scratchTrim();
  return true;
}

function full(writer: usize): bool {
  store<u32>(writer, 1, FULL_OFFSET);
  scratchTrim();
  return false;
}

/** Makes room for `more` bytes behind `used` in the region whose address stands at `slot`. */
@inline function reserve(slot: usize, used: usize, more: usize): bool {
  const region = load<usize>(slot);
  if (region && used + more <= regionCapacity(region)) return true;
  return growRegion(slot, used, more);
}

function growRegion(slot: usize, used: usize, more: usize): bool {
  const region = load<usize>(slot);
  const grown = regionAlloc(max<usize>(used << 1, used + more));
  if (!grown) return false;
  // All of the capacity is zero, not only what was asked for: a document without the field writes no norm.
  memory.copy(grown, region, used);
  const asked = max<usize>(used << 1, used + more);
  memory.fill(grown + asked, 0, regionCapacity(grown) - asked);
  regionFree(region);
  store<usize>(slot, grown);
  return true;
}
