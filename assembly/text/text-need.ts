// What a call will read of a segment whose pages come when they are needed. Each function here goes the way that the call
// itself goes, as far as the pages there allow, and marks those that are missing (blobNeed). Whoever called loads them
// and asks again, until nothing is missing: a term takes four rounds at most (where its group of the dictionary is, the
// group, its skips, its blocks), a range of points one for each halving that leads to a new page. Then the call itself
// need not look.
import { blobNeed } from "../blob";
import { FILTER_BLOCK_BYTES, filterBlock } from "./id-filter";
import {
  MEMBER_BYTES, MEMBER_FIELD_OFFSET, NODE_BYTES, NODE_FIELD_OFFSET, NODE_FIRST_TERM_OFFSET, NODE_KIND_OFFSET,
  NODE_LOWER_OFFSET, NODE_SET_OFFSET, NODE_TERM_COUNT_OFFSET, NODE_UPPER_OFFSET, PHRASE, POINTS, PROGRAM_HEADER_BYTES,
  PROGRAM_MEMBERS_OFFSET, PROGRAM_NODE_COUNT_OFFSET, PROGRAM_SETS_OFFSET, PROGRAM_TERM_LENGTH_OFFSET, programTerm,
  programTermBytes, SET_BYTES, TERM, TERMS,
} from "./query-program";
import { inputAddress, scratchTake, scratchTrim } from "./scratch";
import {
  lowerLength, lowerTerm, rangeBegin, rangeEndField, rangeEndLength, rangeEndTerm, rangeField, rangeNext, rangeOf,
} from "./term-range";
import {
  docCountOf, FIELD_POINT_COUNT_OFFSET, FIELD_POINT_DOCS_OFFSET, FIELD_POINT_KEYS_OFFSET, fieldKind, fieldOf, NO_DOC,
  NORM_STRIDE_OFFSET, NORMS_OFFSET, TEXT,
} from "./text-index";
import {
  blockAddress, BLOCKS_PER_GROUP, entryDocFreq, entryPayload, entryPayloadLength, findEntry, groupFor, mayHaveId,
  SEGMENT_BLOB_OFFSET, SEGMENT_BLOCKS_OFFSET, SEGMENT_GROUPS_OFFSET, SEGMENT_ID_FILTER_BYTES_OFFSET,
  SEGMENT_ID_FILTER_OFFSET, SEGMENT_KEY_BYTES_MAX_OFFSET, SEGMENT_POSITIONS_END_OFFSET, SEGMENT_POSITIONS_OFFSET,
  SEGMENT_SKIPS_END_OFFSET, SEGMENT_SKIPS_OFFSET, SEGMENT_STATES_OFFSET, SEGMENT_TERM_BLOCKS_OFFSET,
  SEGMENT_TERM_INDEX_OFFSET, SEGMENT_TERMS_END_OFFSET, SKIP_BLOCK_OFFSET, SKIP_BYTES, SKIP_DOC_WIDTH_OFFSET,
  SKIP_FREQ_WIDTH_OFFSET, SKIP_POSITION_OFFSET,
} from "./text-segment";
import { readVarint, varintEnd } from "./varint";

let segment: usize = 0;

@inline function need(from: usize, end: usize): bool {
  return blobNeed(load<usize>(segment, SEGMENT_BLOB_OFFSET), load<usize>(segment, SEGMENT_STATES_OFFSET), from, end);
}

/** Whether docFreq, lookup and lastDocument of the term, `length` bytes in the input, can be answered. */
export function textNeedTerm(textSegment: usize, field: u32, length: u32): bool {
  segment = textSegment;
  const filter = field != 0 || needFilter(inputAddress(), length);
  if (!needGroupOf(field, inputAddress(), length)) return false;
  return (!findEntry(segment, field, inputAddress(), length) || needPostings(false)) && filter;
}

/** Whether lastDocument of an id, `length` bytes in the input, can be answered. */
export function textNeedId(textSegment: usize, length: u32): bool {
  segment = textSegment;
  const id = inputAddress();
  if (!needFilter(id, length)) return false;
  if (!mayHaveId(segment, id, length)) return true;
  if (!needGroupOf(0, id, length)) return false;
  if (!findEntry(segment, 0, id, length)) return true;
  const blocks = entryDocFreq >> 7;
  if (!blocks) return true;
  const last = load<usize>(segment, SEGMENT_SKIPS_OFFSET) +
    <usize>(readVarint(entryPayload, entryPayload + entryPayloadLength) + blocks - 1) * SKIP_BYTES;
  return need(last, last + SKIP_BYTES);
}

function needFilter(id: usize, length: u32): bool {
  const bytes = load<usize>(segment, SEGMENT_ID_FILTER_BYTES_OFFSET);
  if (!bytes) return true;
  const block = filterBlock(load<usize>(segment, SEGMENT_ID_FILTER_OFFSET), bytes, id, length);
  return need(block, block + FILTER_BLOCK_BYTES);
}

/** Whether the program in the input can be answered: 1, or 0; −1 when memory is used up. */
export function textNeed(textSegment: usize): i32 {
  segment = textSegment;
  const program = inputAddress();
  let all = true;
  let node = program + PROGRAM_HEADER_BYTES;
  for (let i: u32 = 0, nodes = load<u32>(program, PROGRAM_NODE_COUNT_OFFSET); i < nodes; i++, node += NODE_BYTES) {
    const kind = load<u32>(node, NODE_KIND_OFFSET);
    if (kind == TERM || kind == PHRASE) {
      all = needLeaf(program, node) && all;
    } else if (kind == POINTS) {
      all = needPoints(node) && all;
    } else if (kind == TERMS) {
      const key = scratchTake(load<u32>(segment, SEGMENT_KEY_BYTES_MAX_OFFSET));
      if (!key) return -1;
      all = needRange(program, node, key) && all;
    }
  }
  scratchTrim();
  return all;
}

// The dictionary

@inline function groupStart(group: u32): usize {
  const block = group * BLOCKS_PER_GROUP;
  return block < load<u32>(segment, SEGMENT_TERM_BLOCKS_OFFSET)
    ? blockAddress(segment, block)
    : load<usize>(segment, SEGMENT_TERMS_END_OFFSET);
}

/** The entries of TERM_INDEX of a group and the first behind it. */
function needGroupIndex(group: u32): bool {
  const index = load<usize>(segment, SEGMENT_TERM_INDEX_OFFSET);
  const first = group * BLOCKS_PER_GROUP;
  const end = min<u32>(first + BLOCKS_PER_GROUP + 1, load<u32>(segment, SEGMENT_TERM_BLOCKS_OFFSET));
  return need(index + (<usize>first << 2), index + (<usize>end << 2));
}

function needGroupOf(field: u32, term: usize, length: u32): bool {
  if (!load<u32>(segment, SEGMENT_GROUPS_OFFSET)) return true;
  const group = groupFor(segment, field, term, length);
  return needGroupIndex(group) && need(groupStart(group), groupStart(group + 1));
}

function needRange(program: usize, node: usize, key: usize): bool {
  rangeOf(program, node);
  const groups = load<u32>(segment, SEGMENT_GROUPS_OFFSET);
  if (!groups) return true;
  const first = groupFor(segment, rangeField, lowerTerm, lowerLength);
  const last = max<u32>(first, groupFor(segment, rangeEndField(), rangeEndTerm(), rangeEndLength()));
  // A walk ends at the first entry behind the range: it may be the first of another group.
  const behind = min<u32>(last + 1, groups - 1);
  const indexed = needGroupIndex(first);
  if (!needGroupIndex(behind) || !indexed) return false;
  if (!need(groupStart(first), groupStart(behind + 1))) return false;
  let all = true;
  rangeBegin(segment, key);
  while (rangeNext()) all = needPostings(false) && all;
  return all;
}

// Postings

/** Those of the entry that was found last. */
function needPostings(withPositions: bool): bool {
  const blocks = entryDocFreq >> 7;
  if (!blocks) return true;
  const first = load<usize>(segment, SEGMENT_SKIPS_OFFSET) +
    <usize>readVarint(entryPayload, entryPayload + entryPayloadLength) * SKIP_BYTES;
  const next = first + <usize>blocks * SKIP_BYTES; // of another term: says where the positions of this one end
  const isLast = next == load<usize>(segment, SEGMENT_SKIPS_END_OFFSET);
  if (!need(first, isLast ? next : next + SKIP_BYTES)) return false;
  const last = next - SKIP_BYTES;
  const packed = load<usize>(segment, SEGMENT_BLOCKS_OFFSET);
  const lastBytes = <usize>(load<u8>(last, SKIP_DOC_WIDTH_OFFSET) + load<u8>(last, SKIP_FREQ_WIDTH_OFFSET)) << 4;
  const all = need(
    packed + (<usize>load<u32>(first, SKIP_BLOCK_OFFSET) << 4),
    packed + (<usize>load<u32>(last, SKIP_BLOCK_OFFSET) << 4) + lastBytes,
  );
  if (!withPositions) return all;
  const positions = load<usize>(segment, SEGMENT_POSITIONS_OFFSET);
  const end = isLast
    ? load<usize>(segment, SEGMENT_POSITIONS_END_OFFSET)
    : positions + load<u32>(next, SKIP_POSITION_OFFSET);
  return need(positions + load<u32>(first, SKIP_POSITION_OFFSET), end) && all;
}

/** The norms of the entry's documents: all there are where it has many. */
function needNorms(): bool {
  const norms = load<usize>(segment, NORMS_OFFSET);
  const stride = <usize>load<u32>(segment, NORM_STRIDE_OFFSET);
  if (entryDocFreq >> 7) return need(norms, norms + <usize>docCountOf(segment) * stride);
  const end = entryPayload + entryPayloadLength;
  let at = entryPayload;
  let doc = NO_DOC;
  let all = true;
  for (let left = entryDocFreq; left; left--) {
    const gap = readVarint(at, end);
    at = varintEnd;
    if (!(gap & 1)) {
      readVarint(at, end);
      at = varintEnd;
    }
    doc += (gap >> 1) + 1;
    const norm = norms + <usize>doc * stride;
    all = need(norm, norm + stride) && all;
  }
  return all;
}

function needLeaf(program: usize, node: usize): bool {
  const set = program + load<u32>(program, PROGRAM_SETS_OFFSET) + <usize>load<u32>(node, NODE_SET_OFFSET) * SET_BYTES;
  const members = program + load<u32>(program, PROGRAM_MEMBERS_OFFSET) + <usize>load<u32>(set) * MEMBER_BYTES;
  const membersEnd = members + <usize>load<u32>(set, 4) * MEMBER_BYTES;
  let isScored = false; // by lengths, of a text field
  for (let member = members; member < membersEnd; member += MEMBER_BYTES) {
    if (fieldKind(fieldOf(segment, load<u32>(member, MEMBER_FIELD_OFFSET))) == TEXT) isScored = true;
  }
  const isPhrase = load<u32>(node, NODE_TERM_COUNT_OFFSET) > 1;
  let all = true;
  for (let member = members; member < membersEnd; member += MEMBER_BYTES) {
    const field = load<u32>(member, MEMBER_FIELD_OFFSET);
    if (isPhrase && fieldKind(fieldOf(segment, field)) != TEXT) continue;
    all = needTerms(program, node, field, isPhrase, isScored) && all;
  }
  return all;
}

/** All terms of a leaf in one field. */
function needTerms(program: usize, node: usize, field: u32, isPhrase: bool, isScored: bool): bool {
  const first = load<u32>(node, NODE_FIRST_TERM_OFFSET);
  const end = first + load<u32>(node, NODE_TERM_COUNT_OFFSET);
  let all = true;
  let rarest = first;
  let rarestDocFreq = NO_DOC;
  for (let i = first; i < end; i++) {
    const term = programTerm(program, i);
    const bytes = programTermBytes(program, term);
    const length = load<u32>(term, PROGRAM_TERM_LENGTH_OFFSET);
    if (!needGroupOf(field, bytes, length)) {
      all = false;
      continue;
    }
    if (!findEntry(segment, field, bytes, length)) return true; // and nothing of the others is read
    if (entryDocFreq < rarestDocFreq) {
      rarest = i;
      rarestDocFreq = entryDocFreq;
    }
  }
  if (!all) return false;
  for (let i = first; i < end; i++) {
    findTerm(program, i, field);
    all = needPostings(isPhrase) && all;
  }
  if (!isScored) return all;
  if (isPhrase) findTerm(program, rarest, field);
  return needNorms() && all;
}

@inline function findTerm(program: usize, number: u32, field: u32): void {
  const term = programTerm(program, number);
  findEntry(segment, field, programTermBytes(program, term), load<u32>(term, PROGRAM_TERM_LENGTH_OFFSET));
}

// Points

/** The first of ascending u64[count] at `keys` that is not below `key`, or past it where `isPast`; −1 where a page is
 *  missing. */
function lowerKey(keys: usize, count: u32, key: u64, isPast: bool): i64 {
  let from: u32 = 0;
  let to = count;
  while (from < to) {
    const middle = (from + to) >> 1;
    const at = keys + (<usize>middle << 3);
    if (!need(at, at + 8)) return -1;
    const found = load<u64>(at);
    if (found < key || (isPast && found == key)) from = middle + 1;
    else to = middle;
  }
  return from;
}

function needPoints(node: usize): bool {
  const field = fieldOf(segment, load<u32>(node, NODE_FIELD_OFFSET));
  const keys = load<usize>(field, FIELD_POINT_KEYS_OFFSET);
  const docs = load<usize>(field, FIELD_POINT_DOCS_OFFSET);
  const count = load<u32>(field, FIELD_POINT_COUNT_OFFSET);
  const from = lowerKey(keys, count, load<u64>(node, NODE_LOWER_OFFSET), false);
  const end = lowerKey(keys, count, load<u64>(node, NODE_UPPER_OFFSET), true);
  if (from < 0 || end < 0) return false;
  // The search reads one key behind the range.
  const read = need(keys + (<usize>from << 3), keys + (<usize>min<i64>(end + 1, count) << 3));
  return need(docs + (<usize>from << 2), docs + (<usize>end << 2)) && read;
}
