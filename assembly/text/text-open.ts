// Opening a segment: the header by which readers find its sections. A page whose checksum is right is trusted, because
// checksums find accidents. For bytes that somebody may have made there is textSegmentCheck: afterwards no ordinal, offset,
// length or count in the segment can lead outside of it, and none can keep a loop busy for long.
import { section, sectionLength } from "../blob";
import { regionAlloc, regionFree } from "../region";
import { ANALYZER_COUNT } from "./analyzer";
import { BLOCK_LENGTH, increment128, ordinalsFromGaps, runBytes, sum128 } from "./bit-packing";
import { unpack128 } from "./bit-unpacking";
import { FILTER_BLOCK_BYTES } from "./id-filter";
import { inputAddress, scratchRelease, scratchRetain, scratchTake, scratchTrim } from "./scratch";
import {
  DOC_COUNT_MAX, DOC_COUNT_OFFSET, docCountOf, FIELD_ANALYZER_OFFSET, FIELD_BYTES, FIELD_COUNT_OFFSET,
  FIELD_DOC_COUNT_OFFSET, FIELD_LENGTH_OFFSET, FIELD_POINT_COUNT_OFFSET, FIELD_POINT_DOCS_OFFSET,
  FIELD_POINT_KEYS_OFFSET, fieldCountOf, fieldKind, fieldOf, FIELDS_OFFSET, fieldsBegin, KIND_OFFSET, NO_DOC,
  NORM_STRIDE_OFFSET, NORMS_OFFSET, POINT, SEGMENT, TEXT,
} from "./text-index";
import {
  BLOCKS, BLOCKS_PER_GROUP, GROUP_ENDS, GROUP_KEYS, ID_FILTER, KEY_FIELD_BYTES, mayHaveId, META, META_ANALYZER_OFFSET,
  META_DOC_COUNT_OFFSET, META_FIELD_BYTES, META_FIELD_COUNT_OFFSET, META_FIELD_DOC_COUNT_OFFSET, META_FIELDS_OFFSET,
  META_KEY_BYTES_MAX_OFFSET, META_KIND_OFFSET, META_LENGTH_OFFSET, META_POINT_COUNT_OFFSET, META_TERM_COUNT_OFFSET,
  NORMS, PADDING_BYTES, POINT_DOCS, POINT_KEYS, POSITIONS, SEGMENT_BLOB_OFFSET, SEGMENT_BLOCKS_OFFSET,
  SEGMENT_GROUP_ENDS_OFFSET, SEGMENT_GROUP_KEYS_OFFSET, SEGMENT_GROUPS_OFFSET, SEGMENT_HEADER_BYTES,
  SEGMENT_ID_FILTER_BYTES_OFFSET, SEGMENT_ID_FILTER_OFFSET, SEGMENT_KEY_BYTES_MAX_OFFSET, SEGMENT_POSITIONS_END_OFFSET,
  SEGMENT_POSITIONS_OFFSET, SEGMENT_SKIPS_END_OFFSET, SEGMENT_SKIPS_OFFSET, SEGMENT_STATES_OFFSET,
  SEGMENT_TERM_BLOCKS_OFFSET, SEGMENT_TERM_INDEX_OFFSET, SEGMENT_TERMS_END_OFFSET, SEGMENT_TERMS_OFFSET,
  SKIP_BLOCK_OFFSET, SKIP_BYTES, SKIP_DOC_WIDTH_OFFSET, SKIP_FREQ_WIDTH_OFFSET, SKIP_LAST_DOC_OFFSET,
  SKIP_POSITION_OFFSET, SKIPS, TERM_INDEX, TERMS, TERMS_PER_BLOCK,
} from "./text-segment";
import { readVarint, varintEnd } from "./varint";

// What textSegmentFailure tells after textSegmentOpen returned 0.
const DAMAGED: u32 = 1;
const OTHER_FIELDS: u32 = 2;
const OUT_OF_MEMORY: u32 = 3;
let failure: u32 = 0;

export function textSegmentFailure(): u32 { return failure; }

@inline function fail(why: u32): usize {
  failure = why;
  return 0;
}

/** Opens the segment in `blob`, which blobCheck has found sound or textWriterSeal has written, over the fields whose
 *  kinds stand in the input as u8[fieldCount][2]. META, GROUP_ENDS and GROUP_KEYS are there; `states` tells of all
 *  pages (blob.ts), 0 where they are there. The blob stays the caller's. */
export function textSegmentOpen(blob: usize, states: usize, fieldCount: u32): usize {
  const meta = section(blob, META);
  const metaBytes = sectionLength(blob, META);
  if (metaBytes < META_FIELDS_OFFSET) return fail(DAMAGED);
  if (load<u32>(meta, META_FIELD_COUNT_OFFSET) != fieldCount) return fail(OTHER_FIELDS);
  if (<u64>metaBytes != META_FIELDS_OFFSET + <u64>fieldCount * META_FIELD_BYTES) return fail(DAMAGED);
  const segment = regionAlloc(SEGMENT_HEADER_BYTES + <usize>fieldCount * FIELD_BYTES);
  if (!segment) return fail(OUT_OF_MEMORY);

  store<u32>(segment, SEGMENT, KIND_OFFSET);
  store<u32>(segment, load<u32>(meta, META_DOC_COUNT_OFFSET), DOC_COUNT_OFFSET);
  store<u32>(segment, fieldCount, FIELD_COUNT_OFFSET);
  const fields = segment + SEGMENT_HEADER_BYTES;
  store<usize>(segment, fields, FIELDS_OFFSET);
  const texts = fieldsBegin(fields, fieldCount, inputAddress(), ANALYZER_COUNT);
  if (texts < 0) unreachable();
  store<usize>(segment, section(blob, NORMS), NORMS_OFFSET);
  store<u32>(segment, texts, NORM_STRIDE_OFFSET);
  store<usize>(segment, blob, SEGMENT_BLOB_OFFSET);
  const terms = section(blob, TERMS);
  store<usize>(segment, terms, SEGMENT_TERMS_OFFSET);
  store<usize>(segment, terms + sectionLength(blob, TERMS) - PADDING_BYTES, SEGMENT_TERMS_END_OFFSET);
  store<usize>(segment, section(blob, TERM_INDEX), SEGMENT_TERM_INDEX_OFFSET);
  store<u32>(segment, <u32>(sectionLength(blob, TERM_INDEX) >> 2), SEGMENT_TERM_BLOCKS_OFFSET);
  store<usize>(segment, section(blob, SKIPS), SEGMENT_SKIPS_OFFSET);
  store<usize>(segment, section(blob, BLOCKS), SEGMENT_BLOCKS_OFFSET);
  store<usize>(segment, section(blob, POSITIONS), SEGMENT_POSITIONS_OFFSET);
  store<usize>(segment, section(blob, POSITIONS) + sectionLength(blob, POSITIONS), SEGMENT_POSITIONS_END_OFFSET);
  store<usize>(segment, section(blob, SKIPS) + sectionLength(blob, SKIPS), SEGMENT_SKIPS_END_OFFSET);
  store<usize>(segment, states, SEGMENT_STATES_OFFSET);
  store<u32>(segment, <u32>(sectionLength(blob, GROUP_ENDS) >> 2), SEGMENT_GROUPS_OFFSET);
  store<usize>(segment, section(blob, GROUP_ENDS), SEGMENT_GROUP_ENDS_OFFSET);
  store<usize>(segment, section(blob, GROUP_KEYS), SEGMENT_GROUP_KEYS_OFFSET);
  store<usize>(segment, section(blob, ID_FILTER), SEGMENT_ID_FILTER_OFFSET);
  store<usize>(segment, sectionLength(blob, ID_FILTER), SEGMENT_ID_FILTER_BYTES_OFFSET);
  store<u32>(segment, load<u32>(meta, META_KEY_BYTES_MAX_OFFSET), SEGMENT_KEY_BYTES_MAX_OFFSET);

  let why: u32 = 0;
  let points: u64 = 0;
  for (let i: u32 = 0; i < fieldCount; i++) {
    const field = fieldOf(segment, i);
    const at = meta + META_FIELDS_OFFSET + <usize>i * META_FIELD_BYTES;
    if (load<u32>(at, META_KIND_OFFSET) != fieldKind(field)) why = OTHER_FIELDS;
    if (load<u32>(at, META_ANALYZER_OFFSET) != load<u32>(field, FIELD_ANALYZER_OFFSET)) why = OTHER_FIELDS;
    const pointCount = load<u32>(at, META_POINT_COUNT_OFFSET);
    store<u32>(field, load<u32>(at, META_FIELD_DOC_COUNT_OFFSET), FIELD_DOC_COUNT_OFFSET);
    store<u64>(field, load<u64>(at, META_LENGTH_OFFSET), FIELD_LENGTH_OFFSET);
    store<usize>(field, section(blob, POINT_KEYS) + (<usize>points << 3), FIELD_POINT_KEYS_OFFSET);
    store<usize>(field, section(blob, POINT_DOCS) + (<usize>points << 2), FIELD_POINT_DOCS_OFFSET);
    store<u32>(field, pointCount, FIELD_POINT_COUNT_OFFSET);
    points += pointCount;
  }
  if (!why && !checkLengths(segment, blob, points)) why = DAMAGED;
  if (why) {
    regionFree(segment);
    return fail(why);
  }
  scratchRetain();
  return segment;
}

/** Gives back the segment without its blob. */
export function textSegmentFree(segment: usize): void {
  regionFree(segment);
  scratchRelease();
}

// The check. Everything is compared in 64 bits, so that no sum can wrap.

let checkedBlocks: u64 = 0; // full blocks that the terms so far have claimed
let skipCount: u64 = 0;
let blockBytes: u64 = 0;
let positionBytes: u64 = 0;

const CHECK_DOCS: usize = memory.data(512, 16);
const CHECK_FREQS: usize = memory.data(512, 16);

/** Whether the sections are as long as META says: no more of the segment need be there for it. */
function checkLengths(segment: usize, blob: usize, points: u64): bool {
  const docCount = docCountOf(segment);
  const texts = load<u32>(segment, NORM_STRIDE_OFFSET);
  const termBytes = <u64>sectionLength(blob, TERMS);
  const termCount = load<u32>(section(blob, META), META_TERM_COUNT_OFFSET);
  if (docCount > DOC_COUNT_MAX || <u64>sectionLength(blob, NORMS) != <u64>docCount * texts) return false;
  if (<u64>sectionLength(blob, POINT_KEYS) != points << 3 || <u64>sectionLength(blob, POINT_DOCS) != points << 2) {
    return false;
  }
  if (termBytes < PADDING_BYTES || sectionLength(blob, POSITIONS) < PADDING_BYTES) return false;
  const termBlocks = (<u64>termCount + TERMS_PER_BLOCK - 1) / TERMS_PER_BLOCK;
  if (<u64>sectionLength(blob, TERM_INDEX) != termBlocks << 2) return false;
  if (<u64>load<u32>(segment, SEGMENT_KEY_BYTES_MAX_OFFSET) > termBytes) return false;
  if (sectionLength(blob, SKIPS) % SKIP_BYTES != 0 || sectionLength(blob, ID_FILTER) % FILTER_BLOCK_BYTES != 0) {
    return false;
  }
  const groups = (termBlocks + BLOCKS_PER_GROUP - 1) / BLOCKS_PER_GROUP;
  const ends = section(blob, GROUP_ENDS);
  if (<u64>sectionLength(blob, GROUP_ENDS) != groups << 2) return false;
  let end: u64 = 0;
  for (let i: usize = 0; i < <usize>groups; i++) {
    const next = <u64>load<u32>(ends + (i << 2));
    if (next < end + KEY_FIELD_BYTES) return false;
    end = next;
  }
  return <u64>sectionLength(blob, GROUP_KEYS) == end;
}

/** Checks all of a segment whose pages are all there: 0, or what textSegmentFailure tells. */
export function textSegmentCheck(segment: usize): u32 {
  const blob = load<usize>(segment, SEGMENT_BLOB_OFFSET);
  const docCount = docCountOf(segment);
  for (let i: u32 = 0, count = fieldCountOf(segment); i < count; i++) {
    if (!checkField(fieldOf(segment, i), docCount)) return DAMAGED;
  }
  checkedBlocks = 0;
  skipCount = <u64>(sectionLength(blob, SKIPS) / SKIP_BYTES);
  blockBytes = <u64>sectionLength(blob, BLOCKS);
  positionBytes = <u64>sectionLength(blob, POSITIONS) - PADDING_BYTES;
  const keyBytesMax = load<u32>(segment, SEGMENT_KEY_BYTES_MAX_OFFSET);
  const key = scratchTake(keyBytesMax);
  if (!key) return OUT_OF_MEMORY;
  const termCount = load<u32>(section(blob, META), META_TERM_COUNT_OFFSET);
  const sound = checkTerms(segment, termCount, keyBytesMax, key) && checkedBlocks == skipCount;
  scratchTrim();
  return sound ? 0 : DAMAGED;
}

/** Whether the key of a group stands where the group begins: past the last key before, not past the first of its own. */
function checkGroup(segment: usize, group: u32, before: usize, beforeLength: u32, first: usize, length: u32): bool {
  if (!group) return true; // its key is never asked for
  const ends = load<usize>(segment, SEGMENT_GROUP_ENDS_OFFSET) + (<usize>group << 2);
  const begin = load<u32>(ends - 4);
  const key = load<usize>(segment, SEGMENT_GROUP_KEYS_OFFSET) + begin;
  const keyLength = load<u32>(ends) - begin;
  return compareKeys(before, beforeLength, key, keyLength) < 0 && compareKeys(key, keyLength, first, length) <= 0;
}

function checkField(field: usize, docCount: u32): bool {
  if (load<u32>(field, FIELD_DOC_COUNT_OFFSET) > docCount) return false;
  const count = load<u32>(field, FIELD_POINT_COUNT_OFFSET);
  if (count && fieldKind(field) != POINT) return false;
  const keys = load<usize>(field, FIELD_POINT_KEYS_OFFSET);
  const docs = load<usize>(field, FIELD_POINT_DOCS_OFFSET);
  for (let i: u32 = 0; i < count; i++) {
    if (load<u32>(docs + (<usize>i << 2)) >= docCount) return false;
    if (i && load<u64>(keys + (<usize>(i - 1) << 3)) > load<u64>(keys + (<usize>i << 3))) return false;
  }
  return true;
}

function checkTerms(segment: usize, termCount: u32, keyBytesMax: u32, key: usize): bool {
  const begin = load<usize>(segment, SEGMENT_TERMS_OFFSET);
  const end = load<usize>(segment, SEGMENT_TERMS_END_OFFSET);
  const index = load<usize>(segment, SEGMENT_TERM_INDEX_OFFSET);
  let at = begin;
  let keyLength: u32 = 0;
  for (let i: u32 = 0; i < termCount; i++) {
    const first = i % TERMS_PER_BLOCK == 0;
    if (first && load<u32>(index + (<usize>(i / TERMS_PER_BLOCK) << 2)) != <u32>(at - begin)) return false;
    const shared = readVarint(at, end);
    if (!varintEnd) return false;
    const rest = readVarint(varintEnd, end);
    if (!varintEnd) return false;
    const bytes = varintEnd;
    if (shared > keyLength || (first && shared != 0) || rest > <u32>(end - bytes)) return false;
    if (<u64>shared + rest > keyBytesMax || shared + rest < KEY_FIELD_BYTES) return false;
    // Ascending: what follows the shared part must be larger than what stood there, or stand where nothing stood.
    if (first) {
      if (i && compareKeys(key, keyLength, bytes, rest) >= 0) return false;
      const group = i / (TERMS_PER_BLOCK * BLOCKS_PER_GROUP);
      if (i % (TERMS_PER_BLOCK * BLOCKS_PER_GROUP) == 0 && !checkGroup(segment, group, key, keyLength, bytes, rest)) {
        return false;
      }
    } else if (rest == 0 || (shared < keyLength && load<u8>(bytes) <= load<u8>(key + shared))) {
      return false;
    }
    memory.copy(key + shared, bytes, rest);
    keyLength = shared + rest;
    const field = <u32>bswap<u16>(load<u16>(key));
    if (field >= fieldCountOf(segment) || fieldKind(fieldOf(segment, field)) == POINT) return false;
    if (!field && !mayHaveId(segment, key + KEY_FIELD_BYTES, keyLength - KEY_FIELD_BYTES)) return false;
    const docFreq = readVarint(bytes + rest, end);
    if (!varintEnd) return false;
    const payloadLength = readVarint(varintEnd, end);
    if (!varintEnd || payloadLength > <u32>(end - varintEnd)) return false;
    if (docFreq == 0 || docFreq > docCountOf(segment)) return false;
    at = varintEnd + payloadLength;
    if (!checkPostings(segment, docFreq, varintEnd, at, fieldKind(fieldOf(segment, field)) == TEXT)) return false;
  }
  return at == end;
}

function compareKeys(a: usize, aLength: u32, b: usize, bLength: u32): i32 {
  const shared = min<u32>(aLength, bLength);
  for (let i: u32 = 0; i < shared; i++) {
    const difference = <i32>load<u8>(a + i) - <i32>load<u8>(b + i);
    if (difference) return difference;
  }
  return aLength < bLength ? -1 : <i32>(aLength > bLength);
}

function checkPostings(segment: usize, docFreq: u32, at: usize, end: usize, isText: bool): bool {
  const docCount = docCountOf(segment);
  const blocks = docFreq / BLOCK_LENGTH;
  let doc = NO_DOC;
  if (blocks) {
    const first = readVarint(at, end);
    if (!varintEnd || <u64>first != checkedBlocks || <u64>blocks > skipCount - checkedBlocks) return false;
    at = varintEnd;
    for (let i: u32 = 0; i < blocks; i++) {
      const skip = load<usize>(segment, SEGMENT_SKIPS_OFFSET) + <usize>(first + i) * SKIP_BYTES;
      if (!checkBlock(segment, skip, doc, isText)) return false;
      doc = load<u32>(skip, SKIP_LAST_DOC_OFFSET);
    }
    checkedBlocks += blocks;
  }
  const count = docFreq % BLOCK_LENGTH;
  if (!count) return at == end;
  let positions: u64 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const gap = readVarint(at, end);
    if (!varintEnd) return false;
    at = varintEnd;
    let freq: u32 = 1;
    if (!(gap & 1)) {
      freq = readVarint(at, end);
      if (!varintEnd || freq == 0 || !isText) return false;
      at = varintEnd;
    }
    const next = (doc == NO_DOC ? 0 : <u64>doc + 1) + (gap >> 1);
    if (next >= docCount) return false;
    doc = <u32>next;
    positions += freq;
  }
  if (!isText) return at == end;
  const bytes = checkRun(at, end, positions, count);
  return bytes != 0 && at + bytes == end;
}

function checkBlock(segment: usize, skip: usize, previousDoc: u32, isText: bool): bool {
  const docWidth = <u32>load<u8>(skip, SKIP_DOC_WIDTH_OFFSET);
  const freqWidth = <u32>load<u8>(skip, SKIP_FREQ_WIDTH_OFFSET);
  const offset = <u64>load<u32>(skip, SKIP_BLOCK_OFFSET) << 4;
  if (docWidth > 32 || freqWidth > (isText ? 32 : 0)) return false;
  if (offset + ((docWidth + freqWidth) << 4) > blockBytes) return false;
  const packed = load<usize>(segment, SEGMENT_BLOCKS_OFFSET) + <usize>offset;
  unpack128(docWidth, packed, CHECK_DOCS);
  ordinalsFromGaps(CHECK_DOCS, previousDoc);
  let previous: i64 = previousDoc == NO_DOC ? -1 : <i64>previousDoc;
  for (let i: usize = 0; i < BLOCK_LENGTH; i++) {
    const doc = <i64>load<u32>(CHECK_DOCS + (i << 2)); // where a sum wrapped it is not above the one before
    if (doc <= previous) return false;
    previous = doc;
  }
  if (<u32>previous != load<u32>(skip, SKIP_LAST_DOC_OFFSET) || <u32>previous >= docCountOf(segment)) return false;
  if (!isText) return true;

  unpack128(freqWidth, packed + (<usize>docWidth << 4), CHECK_FREQS);
  increment128(CHECK_FREQS);
  for (let i: usize = 0; i < BLOCK_LENGTH; i++) if (!load<u32>(CHECK_FREQS + (i << 2))) return false;
  const positionOffset = load<u32>(skip, SKIP_POSITION_OFFSET);
  if (<u64>positionOffset >= positionBytes) return false;
  const positions = load<usize>(segment, SEGMENT_POSITIONS_OFFSET);
  const run = positions + positionOffset;
  return checkRun(run, positions + <usize>positionBytes, sum128(CHECK_FREQS), BLOCK_LENGTH) != 0;
}

/** Bytes that `length` positions of `docs` documents take at `at`, with their width; 0 where they go past `end`. */
function checkRun(at: usize, end: usize, length: u64, docs: u32): usize {
  if (at >= end) return 0;
  const width = <u32>load<u8>(at);
  // Positions of a document differ, so all steps can be 0 only where there is one each: nobody makes us count to 2³².
  if (width > 32 || (width == 0 && length != docs)) return 0;
  const bytes = runBytes(width, length);
  return bytes > <u64>(end - at - 1) ? 0 : 1 + <usize>bytes;
}
