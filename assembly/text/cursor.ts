// Cursor: the postings of one term, 128 at a time. Chains of a writer and blocks of a segment are told apart only where
// the buffer is filled; whoever reads from it does not know.
//
//     0..4    u32    kind         CHAIN or PACKED
//     4..8    u32    docFreq
//     8..12   u32    count        postings in the buffer; 0 before the first block and behind the last
//    12..16   u32    index        of the current posting in the buffer
//    16..20   u32    left         postings behind those of the buffer
//    20..24   u32    previousDoc  the last document before the buffer's
//    24..28   u32    freqsReady   whether FREQS are those of the buffer
//    28..64          where the next block comes from: CHAIN_… or PACKED_…
//    64..128         positions
//   128..640  u32[]  DOCS
//   640..     u32[]  FREQS
import { BLOCK_LENGTH, increment128, ordinalsFromGaps, runSet, runValue } from "./bit-packing";
import { unpack128 } from "./bit-unpacking";
import { docCountOf, fieldKind, fieldOf, indexKind, NO_DOC, TEXT, WRITER } from "./text-index";
import {
  entryDocFreq, entryPayload, entryPayloadLength, findEntry, SEGMENT_BLOCKS_OFFSET, SEGMENT_POSITIONS_OFFSET,
  SEGMENT_SKIPS_OFFSET, SKIP_BLOCK_OFFSET, SKIP_BYTES, SKIP_DOC_WIDTH_OFFSET, SKIP_FREQ_WIDTH_OFFSET,
  SKIP_LAST_DOC_OFFSET, SKIP_POSITION_OFFSET,
} from "./text-segment";
import {
  findTerm, firstSliceBytes, nextSliceBytes, SLICE_NEXT_BYTES, TERM_DOC_HEAD_OFFSET, TERM_LAST_DOC_OFFSET,
  TERM_LAST_FREQ_OFFSET, TERM_POSITION_HEAD_OFFSET, termDocFreq,
} from "./text-writer";
import { readVarint, varintEnd } from "./varint";

const CHAIN: u32 = 1;
const PACKED: u32 = 2;

const KIND_OFFSET: usize = 0;
const DOC_FREQ_OFFSET: usize = 4;
const COUNT_OFFSET: usize = 8;
const INDEX_OFFSET: usize = 12;
const LEFT_OFFSET: usize = 16;
const PREVIOUS_DOC_OFFSET: usize = 20;
const FREQS_READY_OFFSET: usize = 24;

const CHAIN_TERM_OFFSET: usize = 28;
const CHAIN_AT_OFFSET: usize = 32;
const CHAIN_END_OFFSET: usize = 36;
const CHAIN_SLICE_BYTES_OFFSET: usize = 40;

const PACKED_SKIPS_OFFSET: usize = 28; // of the term's first full block
const PACKED_BLOCKS_OFFSET: usize = 32; // full blocks
const PACKED_NEXT_BLOCK_OFFSET: usize = 36;
const PACKED_SEGMENT_OFFSET: usize = 40;
const PACKED_TAIL_OFFSET: usize = 44;
const PACKED_TAIL_END_OFFSET: usize = 48;
const PACKED_FREQ_WIDTH_OFFSET: usize = 52; // of the block in the buffer
const PACKED_FREQS_OFFSET: usize = 56; // its packed frequencies

// Positions are read of the current posting only. Those before it in the buffer are passed over once.
const POSITION_INDEX_OFFSET: usize = 64; // postings of the buffer that are passed over
const POSITION_OFFSET: usize = 72; // read last
const RUN_OFFSET: usize = 76; // PACKED: the buffer's run of positions
const RUN_WIDTH_OFFSET: usize = 80;
const RUN_INDEX_OFFSET: usize = 88; // u64: positions passed over
const RUN_NEXT_OFFSET: usize = 96; // u64: the next to read
const DEBT_OFFSET: usize = 88; // CHAIN, u64: positions of earlier blocks that are still to be passed over
const POSITION_CHAIN_OFFSET: usize = 76; // CHAIN: at, end, slice bytes at the current posting
const POSITION_READ_OFFSET: usize = 100; // CHAIN: the same, while reading

const POSITIONS_LEFT_OFFSET: usize = 112; // what a phrase keeps: positions still to be read, and the one read last
const POSITION_CURRENT_OFFSET: usize = 120; // i64, −1 before the first

const DOCS_OFFSET: usize = 128;
const FREQS_OFFSET: usize = 640;
export const CURSOR_HEADER_BYTES: usize = 128; // all of a cursor that has not moved yet
export const CURSOR_BYTES: usize = 1152;

@inline export function cursorDocFreq(cursor: usize): u32 { return load<u32>(cursor, DOC_FREQ_OFFSET); }
@inline export function cursorCount(cursor: usize): u32 { return load<u32>(cursor, COUNT_OFFSET); }
@inline export function cursorIndex(cursor: usize): u32 { return load<u32>(cursor, INDEX_OFFSET); }
@inline export function cursorSetIndex(cursor: usize, index: u32): void { store<u32>(cursor, index, INDEX_OFFSET); }
@inline export function cursorDocs(cursor: usize): usize { return cursor + DOCS_OFFSET; }
@inline export function cursorDocAt(cursor: usize, index: u32): u32 {
  return load<u32>(cursor + (<usize>index << 2), DOCS_OFFSET);
}
@inline export function cursorLastDoc(cursor: usize): u32 {
  return load<u32>(cursor + (<usize>cursorCount(cursor) << 2), DOCS_OFFSET - 4);
}

/** Frequencies of the postings in the buffer, u32[count], decoded when they are first asked for. */
@inline export function cursorFreqs(cursor: usize): usize {
  if (!load<u32>(cursor, FREQS_READY_OFFSET)) decodeFreqs(cursor);
  return cursor + FREQS_OFFSET;
}

/** Opens the postings of a term at `cursor`, CURSOR_BYTES of any content; false where the index has no such term. */
export function cursorOpen(cursor: usize, index: usize, field: u32, term: usize, length: u32): bool {
  if (indexKind(index) == WRITER) {
    const found = findTerm(index, field, term, length);
    return found != 0 && cursorOpenChain(cursor, index, found);
  }
  if (!findEntry(index, field, term, length)) return false;
  cursorOpenEntry(cursor, index, fieldKind(fieldOf(index, field)) == TEXT);
  return true;
}

@inline function begin(cursor: usize, kind: u32, docFreq: u32): void {
  store<u32>(cursor, kind, KIND_OFFSET);
  store<u32>(cursor, docFreq, DOC_FREQ_OFFSET);
  store<u32>(cursor, 0, COUNT_OFFSET);
  store<u32>(cursor, 0, INDEX_OFFSET);
  store<u32>(cursor, docFreq, LEFT_OFFSET);
  store<u32>(cursor, NO_DOC, PREVIOUS_DOC_OFFSET);
  store<u32>(cursor, 0, POSITION_INDEX_OFFSET);
}

/** Opens the postings of a writer's term; false where it has none. */
export function cursorOpenChain(cursor: usize, writer: usize, term: usize): bool {
  const docFreq = termDocFreq(writer, term);
  if (!docFreq) return false;
  begin(cursor, CHAIN, docFreq);
  const head = load<usize>(term, TERM_DOC_HEAD_OFFSET);
  const last = load<u32>(term, TERM_LAST_DOC_OFFSET);
  // The last document is not in the chain, unless memory was used up while one more was added.
  store<usize>(cursor, last < docCountOf(writer) ? term : 0, CHAIN_TERM_OFFSET);
  store<usize>(cursor, head, CHAIN_AT_OFFSET);
  store<usize>(cursor, head + firstSliceBytes() - SLICE_NEXT_BYTES, CHAIN_END_OFFSET);
  store<usize>(cursor, firstSliceBytes(), CHAIN_SLICE_BYTES_OFFSET);
  const positions = load<usize>(term, TERM_POSITION_HEAD_OFFSET);
  store<usize>(cursor, positions, POSITION_CHAIN_OFFSET);
  store<usize>(cursor, positions + firstSliceBytes() - SLICE_NEXT_BYTES, POSITION_CHAIN_OFFSET + 4);
  store<usize>(cursor, firstSliceBytes(), POSITION_CHAIN_OFFSET + 8);
  store<u64>(cursor, 0, DEBT_OFFSET);
  return true;
}

/** Opens the postings of the dictionary entry that the walk stands on. */
export function cursorOpenEntry(cursor: usize, segment: usize, hasPositions: bool): void {
  begin(cursor, PACKED, entryDocFreq);
  store<usize>(cursor, segment, PACKED_SEGMENT_OFFSET);
  const blocks = entryDocFreq >> 7;
  let tail = entryPayload;
  const tailEnd = entryPayload + entryPayloadLength;
  store<u32>(cursor, blocks, PACKED_BLOCKS_OFFSET);
  store<u32>(cursor, 0, PACKED_NEXT_BLOCK_OFFSET);
  if (blocks) {
    const first = readVarint(tail, tailEnd);
    tail = varintEnd;
    store<usize>(cursor, load<usize>(segment, SEGMENT_SKIPS_OFFSET) + <usize>first * SKIP_BYTES, PACKED_SKIPS_OFFSET);
  }
  store<usize>(cursor, tail, PACKED_TAIL_OFFSET);
  store<usize>(cursor, tailEnd, PACKED_TAIL_END_OFFSET);
}

/** Fills the buffer with the next postings; false, and an empty buffer, where there are none. */
@inline export function cursorNextBlock(cursor: usize): bool {
  return cursorAdvance(cursor, 0);
}

/** Fills the buffer with the first block behind this one whose last document is not before `target`. */
export function cursorAdvance(cursor: usize, target: u32): bool {
  return load<u32>(cursor, KIND_OFFSET) == CHAIN ? advanceChain(cursor, target) : advancePacked(cursor, target);
}

/** Moves to the first posting that is not before `target`, never back, and returns its document, or NO_DOC. */
@inline export function cursorSeek(cursor: usize, target: u32): u32 {
  const count = cursorCount(cursor);
  if (count != 0 && cursorLastDoc(cursor) >= target) {
    const doc = cursorDocAt(cursor, cursorIndex(cursor));
    return doc >= target ? doc : seekInBuffer(cursor, target);
  }
  return cursorAdvance(cursor, target) ? seekInBuffer(cursor, target) : NO_DOC;
}

/** The buffer's last document is not before `target`. */
function seekInBuffer(cursor: usize, target: u32): u32 {
  const index = cursorIndex(cursor);
  const found = lowerBound(cursorDocs(cursor), index, cursorCount(cursor), target);
  cursorSetIndex(cursor, found);
  return cursorDocAt(cursor, found);
}

/** The first index of ascending u32[to] at `docs`, from `from` on, whose value is not below `target`; or `to`. */
export function lowerBound(docs: usize, from: u32, to: u32, target: u32): u32 {
  let length = to - from;
  while (length > 0) {
    const half = length >> 1;
    const below = load<u32>(docs + (<usize>(from + half) << 2)) < target;
    from = below ? from + half + 1 : from;
    length = below ? length - half - 1 : half;
  }
  return from;
}

function exhausted(cursor: usize): bool {
  store<u32>(cursor, 0, COUNT_OFFSET);
  store<u32>(cursor, 0, INDEX_OFFSET);
  store<u32>(cursor, 0, LEFT_OFFSET);
  return false;
}

// Chains

let chainAt: usize = 0;
let chainEnd: usize = 0;
let chainSliceBytes: usize = 0;

@inline function chainOpen(state: usize): void {
  chainAt = load<usize>(state);
  chainEnd = load<usize>(state, 4);
  chainSliceBytes = load<usize>(state, 8);
}
@inline function chainSave(state: usize): void {
  store<usize>(state, chainAt);
  store<usize>(state, chainEnd, 4);
  store<usize>(state, chainSliceBytes, 8);
}
@inline function chainByte(): u32 {
  if (chainAt == chainEnd) chainFollow();
  return <u32>load<u8>(chainAt++);
}
function chainFollow(): void {
  chainAt = load<usize>(chainEnd);
  chainSliceBytes = nextSliceBytes(chainSliceBytes);
  chainEnd = chainAt + chainSliceBytes - SLICE_NEXT_BYTES;
}
@inline function chainVarint(): u32 {
  let byte = chainByte();
  if (byte < 0x80) return byte;
  let value = byte & 0x7f;
  for (let shift = 7; ; shift += 7) {
    byte = chainByte();
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) break;
  }
  return value;
}

function advanceChain(cursor: usize, target: u32): bool {
  while (nextChainBlock(cursor)) if (cursorLastDoc(cursor) >= target) return true;
  return false;
}

function nextChainBlock(cursor: usize): bool {
  // What the buffer still owes to the chain of positions.
  const passed = load<u32>(cursor, POSITION_INDEX_OFFSET);
  let debt = load<u64>(cursor, DEBT_OFFSET);
  for (let i = passed, count = cursorCount(cursor); i < count; i++) {
    debt += load<u32>(cursor + (<usize>i << 2), FREQS_OFFSET);
  }
  store<u64>(cursor, debt, DEBT_OFFSET);
  store<u32>(cursor, 0, POSITION_INDEX_OFFSET);

  const left = load<u32>(cursor, LEFT_OFFSET);
  if (!left) return exhausted(cursor);
  const count = min<u32>(left, BLOCK_LENGTH);
  const term = load<usize>(cursor, CHAIN_TERM_OFFSET);
  const chained = term != 0 && count == left ? count - 1 : count;
  let doc = load<u32>(cursor, PREVIOUS_DOC_OFFSET);
  chainOpen(cursor + CHAIN_AT_OFFSET);
  for (let i: u32 = 0; i < chained; i++) {
    const at = cursor + (<usize>i << 2);
    const gap = chainVarint();
    doc += (gap >> 1) + 1;
    store<u32>(at, doc, DOCS_OFFSET);
    store<u32>(at, gap & 1 ? 1 : chainVarint(), FREQS_OFFSET);
  }
  chainSave(cursor + CHAIN_AT_OFFSET);
  if (chained < count) {
    const at = cursor + (<usize>chained << 2);
    doc = load<u32>(term, TERM_LAST_DOC_OFFSET);
    store<u32>(at, doc, DOCS_OFFSET);
    store<u32>(at, load<u32>(term, TERM_LAST_FREQ_OFFSET), FREQS_OFFSET);
  }
  store<u32>(cursor, count, COUNT_OFFSET);
  store<u32>(cursor, 0, INDEX_OFFSET);
  store<u32>(cursor, left - count, LEFT_OFFSET);
  store<u32>(cursor, doc, PREVIOUS_DOC_OFFSET);
  store<u32>(cursor, 1, FREQS_READY_OFFSET);
  return true;
}

// Packed blocks

@inline function skipLastDoc(skips: usize, block: u32): u32 {
  return load<u32>(skips + <usize>block * SKIP_BYTES, SKIP_LAST_DOC_OFFSET);
}

function advancePacked(cursor: usize, target: u32): bool {
  if (!load<u32>(cursor, LEFT_OFFSET)) return exhausted(cursor);
  const blocks = load<u32>(cursor, PACKED_BLOCKS_OFFSET);
  let block = load<u32>(cursor, PACKED_NEXT_BLOCK_OFFSET);
  if (block < blocks) {
    const skips = load<usize>(cursor, PACKED_SKIPS_OFFSET);
    if (skipLastDoc(skips, block) < target) {
      // Gallop, then halve: `block` is too early, `block + step` may be.
      let step: u32 = 1;
      while (block + step < blocks && skipLastDoc(skips, block + step) < target) {
        block += step;
        step <<= 1;
      }
      let high = min<u32>(block + step, blocks); // the first that is late enough, or none
      while (block + 1 < high) {
        const middle = (block + high) >> 1;
        if (skipLastDoc(skips, middle) < target) block = middle;
        else high = middle;
      }
      block = high;
    }
    if (block < blocks) {
      decodeBlock(cursor, skips, block);
      return true;
    }
  }
  return decodeTail(cursor, target);
}

function decodeBlock(cursor: usize, skips: usize, block: u32): void {
  const skip = skips + <usize>block * SKIP_BYTES;
  const segment = load<usize>(cursor, PACKED_SEGMENT_OFFSET);
  const packed = load<usize>(segment, SEGMENT_BLOCKS_OFFSET) + (<usize>load<u32>(skip, SKIP_BLOCK_OFFSET) << 4);
  const docWidth = <u32>load<u8>(skip, SKIP_DOC_WIDTH_OFFSET);
  unpack128(docWidth, packed, cursor + DOCS_OFFSET);
  ordinalsFromGaps(cursor + DOCS_OFFSET, block ? load<u32>(skip - SKIP_BYTES, SKIP_LAST_DOC_OFFSET) : NO_DOC);
  store<u32>(cursor, <u32>load<u8>(skip, SKIP_FREQ_WIDTH_OFFSET), PACKED_FREQ_WIDTH_OFFSET);
  store<usize>(cursor, packed + (<usize>docWidth << 4), PACKED_FREQS_OFFSET);
  store<u32>(cursor, BLOCK_LENGTH, COUNT_OFFSET);
  store<u32>(cursor, 0, INDEX_OFFSET);
  store<u32>(cursor, load<u32>(cursor, DOC_FREQ_OFFSET) - ((block + 1) << 7), LEFT_OFFSET);
  store<u32>(cursor, block + 1, PACKED_NEXT_BLOCK_OFFSET);
  store<u32>(cursor, 0, FREQS_READY_OFFSET);
  const run = load<usize>(segment, SEGMENT_POSITIONS_OFFSET) + load<u32>(skip, SKIP_POSITION_OFFSET);
  store<u32>(cursor, 0, POSITION_INDEX_OFFSET);
  store<u64>(cursor, 0, RUN_INDEX_OFFSET);
  store<usize>(cursor, run, RUN_OFFSET); // the width stands in front; read when positions are
}

function decodeFreqs(cursor: usize): void {
  const freqs = cursor + FREQS_OFFSET;
  unpack128(load<u32>(cursor, PACKED_FREQ_WIDTH_OFFSET), load<usize>(cursor, PACKED_FREQS_OFFSET), freqs);
  increment128(freqs);
  store<u32>(cursor, 1, FREQS_READY_OFFSET);
}

function decodeTail(cursor: usize, target: u32): bool {
  const blocks = load<u32>(cursor, PACKED_BLOCKS_OFFSET);
  const count = load<u32>(cursor, DOC_FREQ_OFFSET) & (BLOCK_LENGTH - 1);
  store<u32>(cursor, blocks, PACKED_NEXT_BLOCK_OFFSET);
  store<u32>(cursor, 0, LEFT_OFFSET);
  if (!count) return exhausted(cursor);
  const end = load<usize>(cursor, PACKED_TAIL_END_OFFSET);
  let at = load<usize>(cursor, PACKED_TAIL_OFFSET);
  let doc = blocks ? skipLastDoc(load<usize>(cursor, PACKED_SKIPS_OFFSET), blocks - 1) : NO_DOC;
  for (let i: u32 = 0; i < count; i++) {
    const to = cursor + (<usize>i << 2);
    const gap = readVarint(at, end);
    at = varintEnd;
    doc += (gap >> 1) + 1;
    store<u32>(to, doc, DOCS_OFFSET);
    let freq: u32 = 1;
    if (!(gap & 1)) {
      freq = readVarint(at, end);
      at = varintEnd;
    }
    store<u32>(to, freq, FREQS_OFFSET);
  }
  if (doc < target) return exhausted(cursor);
  store<u32>(cursor, count, COUNT_OFFSET);
  store<u32>(cursor, 0, INDEX_OFFSET);
  store<u32>(cursor, 1, FREQS_READY_OFFSET);
  store<u32>(cursor, 0, POSITION_INDEX_OFFSET);
  store<u64>(cursor, 0, RUN_INDEX_OFFSET);
  store<usize>(cursor, at, RUN_OFFSET);
  return true;
}

// Positions of the current posting: cursorPositions once, then cursorNextPosition as often as it said.

/** Begins with the positions of the current posting; returns how many there are. */
export function cursorPositions(cursor: usize): u32 {
  const index = cursorIndex(cursor);
  const freqs = cursorFreqs(cursor);
  let passed: u64 = 0;
  for (let i = load<u32>(cursor, POSITION_INDEX_OFFSET); i < index; i++) passed += load<u32>(freqs + (<usize>i << 2));
  store<u32>(cursor, index, POSITION_INDEX_OFFSET);
  if (load<u32>(cursor, KIND_OFFSET) == CHAIN) {
    passed += load<u64>(cursor, DEBT_OFFSET);
    store<u64>(cursor, 0, DEBT_OFFSET);
    chainOpen(cursor + POSITION_CHAIN_OFFSET);
    while (passed) passed -= <u64>(chainByte() < 0x80);
    chainSave(cursor + POSITION_CHAIN_OFFSET);
    chainSave(cursor + POSITION_READ_OFFSET);
  } else {
    passed += load<u64>(cursor, RUN_INDEX_OFFSET);
    store<u64>(cursor, passed, RUN_INDEX_OFFSET);
    store<u64>(cursor, passed, RUN_NEXT_OFFSET);
    store<u32>(cursor, <u32>load<u8>(load<usize>(cursor, RUN_OFFSET)), RUN_WIDTH_OFFSET);
  }
  const count = load<u32>(freqs + (<usize>index << 2));
  store<u32>(cursor, 0, POSITION_OFFSET);
  store<u32>(cursor, count, POSITIONS_LEFT_OFFSET);
  store<i64>(cursor, -1, POSITION_CURRENT_OFFSET);
  return count;
}

/** The position read last, or the first after it that is not before `wanted`; −1 where there is none. */
export function cursorSeekPosition(cursor: usize, wanted: i64): i64 {
  let position = load<i64>(cursor, POSITION_CURRENT_OFFSET);
  if (position >= wanted) return position;
  let left = load<u32>(cursor, POSITIONS_LEFT_OFFSET);
  while (position < wanted) {
    if (!left) return -1;
    left--;
    position = <i64>cursorNextPosition(cursor);
  }
  store<u32>(cursor, left, POSITIONS_LEFT_OFFSET);
  store<i64>(cursor, position, POSITION_CURRENT_OFFSET);
  return position;
}

/** The next position of the current posting; ask no further than cursorPositions said. */
export function cursorNextPosition(cursor: usize): u32 {
  let step: u32;
  if (load<u32>(cursor, KIND_OFFSET) == CHAIN) {
    chainOpen(cursor + POSITION_READ_OFFSET);
    step = chainVarint();
    chainSave(cursor + POSITION_READ_OFFSET);
  } else {
    const next = load<u64>(cursor, RUN_NEXT_OFFSET);
    step = runValue(load<usize>(cursor, RUN_OFFSET) + 1, load<u32>(cursor, RUN_WIDTH_OFFSET), next);
    store<u64>(cursor, next + 1, RUN_NEXT_OFFSET);
  }
  const position = load<u32>(cursor, POSITION_OFFSET) + step;
  store<u32>(cursor, position, POSITION_OFFSET);
  return position;
}

// Writing a chain's positions as the run of a packed block: width, then write, for every block of the cursor in turn.

/** Positions of the buffer, after cursorRunWidth. */
export let runLength: u64 = 0;

/** CHAIN only. Bits that the largest step between the buffer's positions needs. */
export function cursorRunWidth(cursor: usize): u32 {
  let length: u64 = 0;
  for (let i: u32 = 0, count = cursorCount(cursor); i < count; i++) {
    length += load<u32>(cursor + (<usize>i << 2), FREQS_OFFSET);
  }
  runLength = length;
  chainOpen(cursor + POSITION_CHAIN_OFFSET);
  let all: u32 = 0;
  for (; length; length--) all |= chainVarint();
  return 32 - <u32>clz<u32>(all);
}

/** CHAIN only. Writes the run over zero bytes at `to`, and passes over the buffer's positions. */
export function cursorRunWrite(cursor: usize, width: u32, to: usize): void {
  chainOpen(cursor + POSITION_CHAIN_OFFSET);
  for (let i: u64 = 0; i < runLength; i++) runSet(to, width, i, chainVarint());
  chainSave(cursor + POSITION_CHAIN_OFFSET);
  store<u32>(cursor, cursorCount(cursor), POSITION_INDEX_OFFSET);
}
