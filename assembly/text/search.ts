// Evaluates a query program over one index.
//
// The documents are taken in windows of 4096. In a window every node of the query gives its matches as a set of bits
// with a score for each: leaves fill, OR unites, AND begins with the rarest clause and hands what is left to the next as a
// mask, NOT takes away. A leaf first lists its matches and term frequencies, so that scoring is a loop of its own over
// vectors of four. Windows in which nothing can match are passed over by the postings' skip data.
//
//   Window   0..512 u64[64] bits, 512.. f32[4096] scores; a score counts only where its bit is set
//   List     u32[4096] documents, less the window's base and ascending, then f32[4096]: term frequencies, then scores
//   mask     u64[64], or 0 for every document: matches outside of it are left out
import { DOC_SET_WORDS_OFFSET, docSetFree, docSetLength, docSetNew, docSetSeal } from "../doc-set";
import {
  CURSOR_BYTES, CURSOR_HEADER_BYTES, cursorCount, cursorDocAt, cursorDocFreq, cursorDocs, cursorFreqs, cursorIndex,
  cursorLastDoc, cursorNextBlock, cursorNextPosition, cursorOpen, cursorOpenChain, cursorOpenEntry, cursorPositions,
  cursorSeek, cursorSeekPosition, cursorSetIndex, lowerBound,
} from "./cursor";
import { LENGTHS } from "./fieldnorm";
import {
  ALL, BOOL, MEMBER_AVERAGE_LENGTH_OFFSET, MEMBER_BYTES, MEMBER_FIELD_OFFSET, MEMBER_LENGTH_FACTOR_OFFSET,
  MEMBER_WEIGHT_OFFSET, NODE_BYTES, NODE_FIELD_OFFSET, NODE_FIRST_TERM_OFFSET, NODE_KIND_OFFSET, NODE_LOWER_OFFSET,
  NODE_MUST_NOT_OFFSET, NODE_MUST_OFFSET, NODE_NEXT_OFFSET, NODE_SET_OFFSET, NODE_SHOULD_OFFSET, NODE_TERM_COUNT_OFFSET,
  NODE_UPPER_OFFSET, NODE_WEIGHT_OFFSET, NONE, PHRASE, POINTS, PROGRAM_CURSOR_COUNT_OFFSET, PROGRAM_DEPTH_OFFSET,
  PROGRAM_FILTER_COUNT_OFFSET, PROGRAM_HEADER_BYTES, PROGRAM_LENGTH_BASE_OFFSET, PROGRAM_MEMBER_COUNT_OFFSET,
  PROGRAM_MEMBERS_OFFSET, PROGRAM_NODE_COUNT_OFFSET, PROGRAM_SET_COUNT_OFFSET, PROGRAM_SETS_OFFSET,
  PROGRAM_TERM_LENGTH_OFFSET, PROGRAM_TERM_POSITION_OFFSET, programTerm, programTermBytes, SET_BYTES, TERM, TERMS,
} from "./query-program";
import { inputAddress, scratchTake, scratchTrim } from "./scratch";
import { inRange, rangeBegin, rangeField, rangeNext, rangeOf } from "./term-range";
import {
  docCountOf, FIELD_NORM_SLOT_OFFSET, FIELD_POINT_COUNT_OFFSET, FIELD_POINT_DOCS_OFFSET, FIELD_POINT_KEYS_OFFSET,
  fieldKind, fieldOf, indexKind, NO_DOC, NORM_STRIDE_OFFSET, NORMS_OFFSET, SEGMENT, TEXT,
} from "./text-index";
import { SEGMENT_KEY_BYTES_MAX_OFFSET } from "./text-segment";
import {
  slotCount, TERM_BYTES_OFFSET, TERM_FIELD_OFFSET, TERM_LENGTH_OFFSET, termInSlot,
} from "./text-writer";
import { threshold, topBegin, topCount, topFinish, topPush } from "./top-k";

const WINDOW_DOCS: u32 = 4096;
const BITS_BYTES: usize = 512;
const SCORES_OFFSET: usize = BITS_BYTES;
const WINDOW_BYTES: usize = BITS_BYTES + 16384;

const LIST_SCORES_OFFSET: usize = 16384 + 64;
const LIST_BYTES: usize = 2 * (16384 + 64); // 16 values more than a window has: vectors are stored whole

// Prepared node, 64 bytes
//    0..4   u32    kind       NONE, ALL, TERM, PHRASE, FILTER or BOOL
//    4..8   u32    cost       about how many documents match, at most
//   BOOL            8 usize children (usize[]: must, cheapest first; should; mustNot), 12, 16, 20 u32 their counts
//   TERM, PHRASE    8 usize members, 12 u32 their count, 16 u32 terms, 20 usize set, 24 f32 weight
//   FILTER          8 usize words, whole windows
//  Member of a leaf: f32 weight, u32 (0), then for each term usize cursor, u32 position; the rarest term first
//  Set: f32 lengthBase, u32 tables, then for each field with norms u32 slot, u32 (0), f32[256] what a norm adds
const FILTER: u32 = 7;
const PREPARED_BYTES: usize = 64;
const P_KIND_OFFSET: usize = 0;
const P_COST_OFFSET: usize = 4;
const P_CHILDREN_OFFSET: usize = 8;
const P_MUST_OFFSET: usize = 12;
const P_SHOULD_OFFSET: usize = 16;
const P_MUST_NOT_OFFSET: usize = 20;
const P_MEMBERS_OFFSET: usize = 8;
const P_MEMBER_COUNT_OFFSET: usize = 12;
const P_TERM_COUNT_OFFSET: usize = 16;
const P_SET_OFFSET: usize = 20;
const P_WEIGHT_OFFSET: usize = 24;
const P_WORDS_OFFSET: usize = 8;

const LEAF_MEMBER_HEADER_BYTES: usize = 8;
const LEAF_TERM_BYTES: usize = 8;

const SET_HEADER_BYTES: usize = 8;
const SET_TABLE_HEADER_BYTES: usize = 8;
const SET_TABLE_BYTES: usize = SET_TABLE_HEADER_BYTES + 1024;

// The query that is being answered.
let index: usize = 0;
let docCount: u32 = 0;
let norms: usize = 0;
let normStride: usize = 0;
let prepared: usize = 0;
let windows: usize = 0; // Window[depth + 1]
let list: usize = 0; // the result of leafList
let spareList: usize = 0;
let mergedList: usize = 0;
let base: u32 = 0; // first document of the window
let scoring: bool = false; // whether scores are wanted
let bump: usize = 0; // where the scratch is free

let total: u32 = 0;
let hits: usize = 0;

const NEW_BITS: usize = memory.data(512, 16);
const ACCEPT_BITS: usize = memory.data(512, 16);
const PHRASE_BITS: usize = memory.data(512, 16);

/** Matches that `accept` let through, after textSearch. */
export function textSearchTotal(): u32 { return total; }

/** The hits, after textSearch: u32[hits] docOrds, then f32[hits] scores; valid until the next call. */
export function textSearchHits(): usize { return hits; }

/** Answers the program in the input: the `k` best of the documents in `accept` (a DocSet, or 0 for all). Returns how
 *  many hits there are, −1 when memory is used up. */
export function textSearch(textIndex: usize, k: u32, accept: usize): i32 {
  const wanted = min<u32>(k, docCountOf(textIndex));
  const program = inputAddress();
  if (!prepare(textIndex, program, <u64>wanted << 4)) {
    scratchTrim();
    return -1;
  }
  const heap = take(<usize>wanted << 3);
  hits = take(<usize>wanted << 3);
  topBegin(heap, wanted);
  scoring = wanted != 0;
  total = 0;
  const kind = load<u32>(prepared, P_KIND_OFFSET);
  const isLeaf = kind == TERM || kind == PHRASE;
  for (let doc = nextDoc(prepared, 0); doc < docCount; doc = nextDoc(prepared, base + WINDOW_DOCS)) {
    base = doc & ~(WINDOW_DOCS - 1);
    const mask = accept ? acceptWindow(accept) : 0;
    if (isLeaf) collectList(leafList(prepared, mask));
    else collectWindow(mask);
    if (docCount - base <= WINDOW_DOCS) break;
  }
  const found = topCount();
  topFinish(hits, hits + (<usize>found << 2));
  return found;
}

/** Gives back what a search needed, once its hits are read. */
export function textSearchEnd(): void {
  scratchTrim();
}

/** The documents that match the program in the input, as a new DocSet; 0 when memory is used up. */
export function textFilter(textIndex: usize): usize {
  const set = docSetNew(docCountOf(textIndex));
  if (!set || !prepare(textIndex, inputAddress(), 0)) {
    docSetFree(set);
    scratchTrim();
    return 0;
  }
  scoring = false;
  for (let doc = nextDoc(prepared, 0); doc < docCount; doc = nextDoc(prepared, base + WINDOW_DOCS)) {
    base = doc & ~(WINDOW_DOCS - 1);
    evaluate(prepared, 0, 0, windows);
    const bytes = min<usize>(BITS_BYTES, ((<usize>(docCount - base) + 63) >> 6) << 3);
    memory.copy(set + DOC_SET_WORDS_OFFSET + (base >> 3), windows, bytes);
    if (docCount - base <= WINDOW_DOCS) break;
  }
  docSetSeal(set);
  scratchTrim();
  return set;
}

/** The window's words of `accept`; what lies past its length is not in it. */
function acceptWindow(accept: usize): usize {
  const length = docSetLength(accept);
  const words = accept + DOC_SET_WORDS_OFFSET + (base >> 3);
  if (length >= base + WINDOW_DOCS) return words;
  const bytes = length > base ? ((<usize>(length - base) + 63) >> 6) << 3 : 0;
  memory.fill(ACCEPT_BITS, 0, BITS_BYTES);
  memory.copy(ACCEPT_BITS, words, bytes);
  return ACCEPT_BITS;
}

function collectList(count: u32): void {
  total += count;
  if (!scoring) return;
  const scores = list + LIST_SCORES_OFFSET;
  for (let i: usize = 0; i < count; i++) {
    const score = load<f32>(scores + (i << 2));
    if (score > threshold) topPush(score, base + load<u32>(list + (i << 2)));
  }
}

function collectWindow(mask: usize): void {
  evaluate(prepared, 0, mask, windows);
  for (let word: usize = 0; word < 64; word++) {
    let bits = load<u64>(windows + (word << 3));
    if (!bits) continue;
    total += <u32>popcnt<u64>(bits);
    if (!scoring) continue;
    do {
      const doc = (word << 6) + <usize>ctz<u64>(bits);
      const score = load<f32>(windows + (doc << 2), SCORES_OFFSET);
      if (score > threshold) topPush(score, base + <u32>doc);
      bits &= bits - 1;
    } while (bits);
  }
}

// Preparing: postings are opened, filters are filled, norm tables are made.

@inline function take(bytes: usize): usize {
  const taken = bump;
  bump = (bump + bytes + 15) & ~15;
  return taken;
}

@inline function align16(bytes: u64): u64 { return (bytes + 15) & ~15; }

/** Makes the query ready to run; `extraBytes` of scratch are left for the caller. False when memory is used up. */
function prepare(textIndex: usize, program: usize, extraBytes: u64): bool {
  index = textIndex;
  docCount = docCountOf(textIndex);
  norms = load<usize>(textIndex, NORMS_OFFSET);
  normStride = load<u32>(textIndex, NORM_STRIDE_OFFSET);
  const nodeCount = load<u32>(program, PROGRAM_NODE_COUNT_OFFSET);
  const setCount = load<u32>(program, PROGRAM_SET_COUNT_OFFSET);
  const memberCount = load<u32>(program, PROGRAM_MEMBER_COUNT_OFFSET);
  const cursorCount = load<u32>(program, PROGRAM_CURSOR_COUNT_OFFSET);
  const filterCount = load<u32>(program, PROGRAM_FILTER_COUNT_OFFSET);
  const depth = load<u32>(program, PROGRAM_DEPTH_OFFSET);
  const filterBytes = ((<u64>docCount + WINDOW_DOCS - 1) / WINDOW_DOCS) * BITS_BYTES;
  const keyBytes = indexKind(index) == SEGMENT ? load<u32>(index, SEGMENT_KEY_BYTES_MAX_OFFSET) : 0;
  const bytes = <u64>nodeCount * (PREPARED_BYTES + 16 + sizeof<usize>()) + // 16: rounding of its children or members
    <u64>setCount * (sizeof<usize>() + 32) + <u64>memberCount * SET_TABLE_BYTES +
    <u64>cursorCount * (CURSOR_BYTES + LEAF_MEMBER_HEADER_BYTES + LEAF_TERM_BYTES) +
    <u64>filterCount * filterBytes + CURSOR_BYTES + align16(keyBytes) +
    <u64>(depth + 1) * WINDOW_BYTES + 3 * LIST_BYTES + extraBytes + 256;
  const scratch = scratchTake(bytes);
  if (!scratch) return false;
  bump = scratch;
  list = take(LIST_BYTES);
  spareList = take(LIST_BYTES);
  mergedList = take(LIST_BYTES);
  windows = take(WINDOW_BYTES * (depth + 1));
  prepared = take(<usize>nodeCount * PREPARED_BYTES);
  const sets = take(<usize>setCount * sizeof<usize>());
  for (let i: usize = 0; i < setCount; i++) store<usize>(sets + (i << alignof<usize>()), prepareSet(program, i));
  const key = take(keyBytes);
  const cursor = take(CURSOR_BYTES);
  for (let i = <i32>nodeCount - 1; i >= 0; i--) { // children before their parents
    const node = program + PROGRAM_HEADER_BYTES + <usize>i * NODE_BYTES;
    const to = prepared + <usize>i * PREPARED_BYTES;
    const kind = load<u32>(node, NODE_KIND_OFFSET);
    store<u32>(to, kind, P_KIND_OFFSET);
    store<u32>(to, kind == ALL ? docCount : 0, P_COST_OFFSET);
    if (kind == TERM || kind == PHRASE) prepareLeaf(program, node, to, sets);
    else if (kind == POINTS) preparePoints(node, to, <usize>filterBytes);
    else if (kind == TERMS) prepareTerms(program, node, to, <usize>filterBytes, cursor, key);
    else if (kind == BOOL) prepareBool(program, node, i, to);
  }
  return true;
}

function prepareSet(program: usize, number: usize): usize {
  const set = program + load<u32>(program, PROGRAM_SETS_OFFSET) + number * SET_BYTES;
  const count = load<u32>(set, 4);
  const to = take(SET_HEADER_BYTES + <usize>count * SET_TABLE_BYTES);
  let lengthBase = load<f32>(program, PROGRAM_LENGTH_BASE_OFFSET);
  let tables: u32 = 0;
  let member = program + load<u32>(program, PROGRAM_MEMBERS_OFFSET) + <usize>load<u32>(set) * MEMBER_BYTES;
  for (let i: u32 = 0; i < count; i++, member += MEMBER_BYTES) {
    const field = fieldOf(index, load<u32>(member, MEMBER_FIELD_OFFSET));
    const factor = load<f32>(member, MEMBER_LENGTH_FACTOR_OFFSET);
    if (fieldKind(field) != TEXT) {
      // No length is kept of a raw value: it counts as average.
      lengthBase += factor * load<f32>(member, MEMBER_AVERAGE_LENGTH_OFFSET);
      continue;
    }
    const table = to + SET_HEADER_BYTES + <usize>tables * SET_TABLE_BYTES;
    tables++;
    store<u32>(table, load<u32>(field, FIELD_NORM_SLOT_OFFSET));
    const factors = f32x4.splat(factor);
    for (let offset: usize = 0; offset < 1024; offset += 16) {
      v128.store(table + offset, f32x4.mul(factors, v128.load(LENGTHS + offset)), SET_TABLE_HEADER_BYTES);
    }
  }
  store<f32>(to, lengthBase);
  store<u32>(to, tables, 4);
  return to;
}

function prepareLeaf(program: usize, node: usize, to: usize, sets: usize): void {
  const setNumber = <usize>load<u32>(node, NODE_SET_OFFSET);
  const termCount = load<u32>(node, NODE_TERM_COUNT_OFFSET);
  const set = program + load<u32>(program, PROGRAM_SETS_OFFSET) + setNumber * SET_BYTES;
  const memberBytes = LEAF_MEMBER_HEADER_BYTES + <usize>termCount * LEAF_TERM_BYTES;
  const members = take(memberBytes * load<u32>(set, 4));
  let found: u32 = 0;
  let cost: u64 = 0;
  let member = program + load<u32>(program, PROGRAM_MEMBERS_OFFSET) + <usize>load<u32>(set) * MEMBER_BYTES;
  for (let i: u32 = 0, count = load<u32>(set, 4); i < count; i++, member += MEMBER_BYTES) {
    const leafMember = members + <usize>found * memberBytes;
    const field = load<u32>(member, MEMBER_FIELD_OFFSET);
    if (termCount > 1 && fieldKind(fieldOf(index, field)) != TEXT) continue; // no positions, no phrases
    if (!openTerms(program, node, field, leafMember)) continue;
    store<f32>(leafMember, load<f32>(member, MEMBER_WEIGHT_OFFSET));
    cost += cursorDocFreq(load<usize>(leafMember, LEAF_MEMBER_HEADER_BYTES));
    found++;
  }
  // A phrase of one term is a term.
  store<u32>(to, found ? (termCount == 1 ? TERM : PHRASE) : NONE, P_KIND_OFFSET);
  store<u32>(to, <u32>min<u64>(cost, docCount), P_COST_OFFSET);
  store<usize>(to, members, P_MEMBERS_OFFSET);
  store<u32>(to, found, P_MEMBER_COUNT_OFFSET);
  store<u32>(to, termCount, P_TERM_COUNT_OFFSET);
  store<usize>(to, load<usize>(sets + (setNumber << alignof<usize>())), P_SET_OFFSET);
  store<f32>(to, load<f32>(node, NODE_WEIGHT_OFFSET), P_WEIGHT_OFFSET);
}

/** Opens every term of a leaf in one field, the rarest first; false where one is missing. */
function openTerms(program: usize, node: usize, field: u32, leafMember: usize): bool {
  const termCount = load<u32>(node, NODE_TERM_COUNT_OFFSET);
  const firstTerm = load<u32>(node, NODE_FIRST_TERM_OFFSET);
  const before = bump;
  for (let t: u32 = 0; t < termCount; t++) {
    const term = programTerm(program, firstTerm + t);
    const cursor = take(termCount > 1 ? 2 * CURSOR_BYTES : CURSOR_BYTES);
    const length = load<u32>(term, PROGRAM_TERM_LENGTH_OFFSET);
    if (!cursorOpen(cursor, index, field, programTermBytes(program, term), length)) {
      bump = before;
      return false;
    }
    if (termCount > 1) memory.copy(cursor + CURSOR_BYTES, cursor, CURSOR_HEADER_BYTES);
    let slot = t;
    while (slot && cursorDocFreq(leafCursor(leafMember, slot - 1)) > cursorDocFreq(cursor)) {
      store<u64>(leafTerm(leafMember, slot), load<u64>(leafTerm(leafMember, slot - 1)));
      slot--;
    }
    store<usize>(leafTerm(leafMember, slot), cursor);
    store<u32>(leafTerm(leafMember, slot), load<u32>(term, PROGRAM_TERM_POSITION_OFFSET), 4);
  }
  return true;
}

@inline function leafTerm(leafMember: usize, slot: u32): usize {
  return leafMember + LEAF_MEMBER_HEADER_BYTES + <usize>slot * LEAF_TERM_BYTES;
}
@inline function leafCursor(leafMember: usize, slot: u32): usize { return load<usize>(leafTerm(leafMember, slot)); }
/** Of a phrase: a cursor on the same term that goes only where positions are read. */
@inline function positionCursor(leafMember: usize, slot: u32): usize {
  return leafCursor(leafMember, slot) + CURSOR_BYTES;
}
@inline function leafPosition(leafMember: usize, slot: u32): u32 { return load<u32>(leafTerm(leafMember, slot), 4); }

@inline function filterAdd(words: usize, doc: u32): void {
  const at = words + ((<usize>doc >> 6) << 3);
  store<u64>(at, load<u64>(at) | (<u64>1 << (doc & 63)));
}

function filterBegin(to: usize, bytes: usize): usize {
  const words = take(bytes);
  memory.fill(words, 0, bytes);
  store<usize>(to, words, P_WORDS_OFFSET);
  return words;
}

function filterEnd(to: usize, words: usize, bytes: usize): void {
  let count: u32 = 0;
  for (let offset: usize = 0; offset < bytes; offset += 8) count += <u32>popcnt<u64>(load<u64>(words + offset));
  store<u32>(to, count ? FILTER : NONE, P_KIND_OFFSET);
  store<u32>(to, count, P_COST_OFFSET);
}

function preparePoints(node: usize, to: usize, bytes: usize): void {
  const words = filterBegin(to, bytes);
  const field = fieldOf(index, load<u32>(node, NODE_FIELD_OFFSET));
  const keys = load<usize>(field, FIELD_POINT_KEYS_OFFSET);
  const docs = load<usize>(field, FIELD_POINT_DOCS_OFFSET);
  const count = load<u32>(field, FIELD_POINT_COUNT_OFFSET);
  const lower = load<u64>(node, NODE_LOWER_OFFSET);
  const upper = load<u64>(node, NODE_UPPER_OFFSET);
  if (indexKind(index) == SEGMENT) {
    let from: u32 = 0;
    let to = count;
    while (from < to) {
      const middle = (from + to) >> 1;
      if (load<u64>(keys + (<usize>middle << 3)) < lower) from = middle + 1;
      else to = middle;
    }
    for (; from < count && load<u64>(keys + (<usize>from << 3)) <= upper; from++) {
      filterAdd(words, load<u32>(docs + (<usize>from << 2)));
    }
  } else {
    for (let i: usize = 0; i < count; i++) {
      const key = load<u64>(keys + (i << 3));
      if (key >= lower && key <= upper) filterAdd(words, load<u32>(docs + (i << 2)));
    }
  }
  filterEnd(to, words, bytes);
}

function prepareTerms(program: usize, node: usize, to: usize, bytes: usize, cursor: usize, key: usize): void {
  const words = filterBegin(to, bytes);
  rangeOf(program, node);
  if (indexKind(index) == SEGMENT) {
    const hasPositions = fieldKind(fieldOf(index, rangeField)) == TEXT;
    rangeBegin(index, key);
    while (rangeNext()) {
      cursorOpenEntry(cursor, index, hasPositions);
      addPostings(words, cursor);
    }
  } else {
    for (let slot: usize = 0, slots = slotCount(index); slot < slots; slot++) {
      const found = termInSlot(index, slot);
      if (!found || load<u32>(found, TERM_FIELD_OFFSET) != rangeField) continue;
      if (!inRange(found + TERM_BYTES_OFFSET, load<u32>(found, TERM_LENGTH_OFFSET))) continue;
      if (cursorOpenChain(cursor, index, found)) addPostings(words, cursor);
    }
  }
  filterEnd(to, words, bytes);
}

function addPostings(words: usize, cursor: usize): void {
  while (cursorNextBlock(cursor)) {
    for (let i: u32 = 0, count = cursorCount(cursor); i < count; i++) filterAdd(words, cursorDocAt(cursor, i));
  }
}

/** Leaves out what cannot match, sorts must by cost, and lets a BOOL of one clause be that clause. */
function prepareBool(program: usize, node: usize, number: u32, to: usize): void {
  const must = load<u32>(node, NODE_MUST_OFFSET);
  const should = load<u32>(node, NODE_SHOULD_OFFSET);
  const all = must + should + load<u32>(node, NODE_MUST_NOT_OFFSET);
  const children = take(<usize>all << alignof<usize>());
  let child = number + 1;
  let kept: u32 = 0;
  let shoulds: u32 = 0;
  let mustCost: u32 = NO_DOC;
  let shouldCost: u64 = 0;
  let none = must + should == 0;
  for (let i: u32 = 0; i < all; i++) {
    const at = prepared + <usize>child * PREPARED_BYTES;
    const kind = load<u32>(at, P_KIND_OFFSET);
    const cost = load<u32>(at, P_COST_OFFSET);
    child = load<u32>(program + PROGRAM_HEADER_BYTES + <usize>child * NODE_BYTES, NODE_NEXT_OFFSET);
    if (kind == NONE) {
      if (i < must) none = true;
      continue;
    }
    let slot = kept++;
    if (i < must) {
      mustCost = min<u32>(mustCost, cost);
      while (slot && load<u32>(childAt(children, slot - 1), P_COST_OFFSET) > cost) {
        store<usize>(children + (<usize>slot << alignof<usize>()), childAt(children, slot - 1));
        slot--;
      }
    } else if (i < must + should) {
      shoulds++;
      shouldCost += cost;
    }
    store<usize>(children + (<usize>slot << alignof<usize>()), at);
  }
  if (none || (must == 0 && shoulds == 0)) {
    store<u32>(to, NONE, P_KIND_OFFSET);
    return;
  }
  if (kept == 1) {
    memory.copy(to, childAt(children, 0), PREPARED_BYTES);
    return;
  }
  store<u32>(to, must ? mustCost : <u32>min<u64>(shouldCost, docCount), P_COST_OFFSET);
  store<usize>(to, children, P_CHILDREN_OFFSET);
  store<u32>(to, must, P_MUST_OFFSET);
  store<u32>(to, shoulds, P_SHOULD_OFFSET);
  store<u32>(to, kept - must - shoulds, P_MUST_NOT_OFFSET);
}

@inline function childAt(children: usize, slot: u32): usize {
  return load<usize>(children + (<usize>slot << alignof<usize>()));
}

// Moving on

/** A document from `target` on before which nothing matches: it may match, or not. NO_DOC or more: nothing is left. */
function nextDoc(node: usize, target: u32): u32 {
  if (target >= docCount) return NO_DOC;
  switch (load<u32>(node, P_KIND_OFFSET)) {
    case ALL: return target;
    case TERM:
    case PHRASE: return nextOfLeaf(node, target);
    case FILTER: return nextInWords(load<usize>(node, P_WORDS_OFFSET), target);
    case BOOL: {
      const children = load<usize>(node, P_CHILDREN_OFFSET);
      const must = load<u32>(node, P_MUST_OFFSET);
      if (must) {
        for (let i: u32 = 0; i < must; i++) target = nextDoc(childAt(children, i), target);
        return target;
      }
      let next = NO_DOC;
      for (let i: u32 = 0, should = load<u32>(node, P_SHOULD_OFFSET); i < should; i++) {
        next = min<u32>(next, nextDoc(childAt(children, i), target));
      }
      return next;
    }
    default: return NO_DOC;
  }
}

function nextOfLeaf(node: usize, target: u32): u32 {
  const terms = load<u32>(node, P_TERM_COUNT_OFFSET);
  let next = NO_DOC;
  let member = load<usize>(node, P_MEMBERS_OFFSET);
  for (let i: u32 = 0, count = load<u32>(node, P_MEMBER_COUNT_OFFSET); i < count; i++) {
    let doc = target;
    for (let t: u32 = 0; t < terms && doc != NO_DOC; t++) doc = cursorSeek(leafCursor(member, t), doc);
    next = min<u32>(next, doc);
    member += LEAF_MEMBER_HEADER_BYTES + <usize>terms * LEAF_TERM_BYTES;
  }
  return next;
}

function nextInWords(words: usize, target: u32): u32 {
  let word = target >> 6;
  let bits = load<u64>(words + (<usize>word << 3)) & (~<u64>0 << (target & 63));
  while (!bits) {
    word++;
    if (word << 6 >= docCount) return NO_DOC;
    bits = load<u64>(words + (<usize>word << 3));
  }
  return (word << 6) + <u32>ctz<u64>(bits);
}

// Leaves

/** Lists the leaf's matches in the window, in `mask` where there is one, with their scores; returns how many. */
function leafList(node: usize, mask: usize): u32 {
  const isTerm = load<u32>(node, P_KIND_OFFSET) == TERM;
  const terms = load<u32>(node, P_TERM_COUNT_OFFSET);
  let member = load<usize>(node, P_MEMBERS_OFFSET);
  let found = listMember(member, isTerm, terms, mask, list);
  for (let i: u32 = 1, count = load<u32>(node, P_MEMBER_COUNT_OFFSET); i < count; i++) {
    member += LEAF_MEMBER_HEADER_BYTES + <usize>terms * LEAF_TERM_BYTES;
    const more = listMember(member, isTerm, terms, mask, spareList);
    if (!more) continue;
    if (found) {
      found = mergeLists(found, more);
      const swap = list;
      list = mergedList;
      mergedList = swap;
    } else {
      found = more;
      const swap = list;
      list = spareList;
      spareList = swap;
    }
  }
  if (scoring && found) scoreList(found, load<usize>(node, P_SET_OFFSET), load<f32>(node, P_WEIGHT_OFFSET));
  return found;
}

@inline function listMember(member: usize, isTerm: bool, terms: u32, mask: usize, to: usize): u32 {
  const weight = load<f32>(member);
  if (!isTerm) return listPhrase(member, terms, weight, mask, to);
  return mask ? listMasked(leafCursor(member, 0), weight, mask, to) : listAll(leafCursor(member, 0), weight, to);
}

/** Unites `list` and `spareList` in `mergedList`; where both have a document its weighted frequencies add up. */
function mergeLists(count: u32, more: u32): u32 {
  // A document past every other ends both lists.
  store<u32>(list + (<usize>count << 2), NO_DOC);
  store<u32>(spareList + (<usize>more << 2), NO_DOC);
  let a = list;
  let b = spareList;
  const end = list + (<usize>count << 2);
  const moreEnd = spareList + (<usize>more << 2);
  let to = mergedList;
  while (a < end || b < moreEnd) {
    const docA = load<u32>(a);
    const docB = load<u32>(b);
    const fromA = docA <= docB;
    const fromB = docB <= docA;
    store<u32>(to, fromA ? docA : docB);
    const freqA = fromA ? load<f32>(a, LIST_SCORES_OFFSET) : 0;
    const freqB = fromB ? load<f32>(b, LIST_SCORES_OFFSET) : 0;
    store<f32>(to, freqA + freqB, LIST_SCORES_OFFSET);
    a += <usize>fromA << 2;
    b += <usize>fromB << 2;
    to += 4;
  }
  return <u32>((to - mergedList) >> 2);
}

/** Lists the window's postings with their frequencies times `weight`. */
function listAll(cursor: usize, weight: f32, to: usize): u32 {
  const windowEnd = base + WINDOW_DOCS;
  const bases = i32x4.splat(<i32>base);
  const weights = f32x4.splat(weight);
  let count: usize = 0;
  let doc = cursorSeek(cursor, base);
  while (doc < windowEnd) {
    const from = cursorIndex(cursor);
    const all = cursorCount(cursor);
    const until = cursorLastDoc(cursor) < windowEnd ? all : lowerBound(cursorDocs(cursor), from, all, windowEnd);
    const bytes = <usize>(until - from) << 2;
    const docs = cursorDocs(cursor) + (<usize>from << 2);
    const target = to + (count << 2);
    for (let offset: usize = 0; offset < bytes; offset += 16) {
      v128.store(target + offset, i32x4.sub(v128.load(docs + offset), bases));
    }
    if (scoring) {
      const freqs = cursorFreqs(cursor) + (<usize>from << 2);
      for (let offset: usize = 0; offset < bytes; offset += 16) {
        const weighted = f32x4.mul(f32x4.convert_i32x4_u(v128.load(freqs + offset)), weights);
        v128.store(target + offset, weighted, LIST_SCORES_OFFSET);
      }
    }
    count += until - from;
    if (until < all) {
      cursorSetIndex(cursor, until);
      break;
    }
    doc = cursorNextBlock(cursor) ? cursorDocAt(cursor, 0) : NO_DOC;
  }
  return <u32>count;
}

/** The same for the postings in `mask`; blocks that have none are not decoded. */
function listMasked(cursor: usize, weight: f32, mask: usize, to: usize): u32 {
  const windowEnd = base + WINDOW_DOCS;
  let count: usize = 0;
  let wanted = nextInMask(mask, 0);
  while (wanted < WINDOW_DOCS) {
    const doc = cursorSeek(cursor, base + wanted);
    if (doc >= windowEnd) break;
    const from = cursorIndex(cursor);
    const all = cursorCount(cursor);
    const last = cursorLastDoc(cursor);
    const until = last < windowEnd ? all : lowerBound(cursorDocs(cursor), from, all, windowEnd);
    const before = count;
    for (let i = <usize>from; i < <usize>until; i++) {
      const offset = cursorDocAt(cursor, <u32>i) - base;
      store<u32>(to + (count << 2), offset);
      store<u32>(to + (count << 2), <u32>i, LIST_SCORES_OFFSET);
      count += <usize>(load<u64>(mask + ((<usize>offset >> 6) << 3)) >> (offset & 63)) & 1;
    }
    if (scoring && count > before) {
      const freqs = cursorFreqs(cursor);
      for (let i = before; i < count; i++) {
        const at = to + (i << 2);
        const freq = load<u32>(freqs + (<usize>load<u32>(at, LIST_SCORES_OFFSET) << 2));
        store<f32>(at, <f32>freq * weight, LIST_SCORES_OFFSET);
      }
    }
    if (until < all) {
      cursorSetIndex(cursor, until);
      break;
    }
    wanted = last - base + 1 < WINDOW_DOCS ? nextInMask(mask, last - base + 1) : WINDOW_DOCS;
    cursorSetIndex(cursor, all - 1);
  }
  return <u32>count;
}

/** The first bit of the mask from `from` < 4096 on, or 4096. */
function nextInMask(mask: usize, from: u32): u32 {
  let word = from >> 6;
  let bits = load<u64>(mask + (<usize>word << 3)) & (~<u64>0 << (from & 63));
  while (!bits) {
    word++;
    if (word == 64) return WINDOW_DOCS;
    bits = load<u64>(mask + (<usize>word << 3));
  }
  return (word << 6) + <u32>ctz<u64>(bits);
}

/** Lists the documents of the window that have the phrase in one field, with how often, times `weight`. Documents that
 *  have all terms are found first, as for an AND; then a second cursor a term goes to those alone, for the positions.
 *  (One cursor a term, going from document to document, took 5 to 10 % longer in wasm-bench/text.ts.) */
function listPhrase(member: usize, terms: u32, weight: f32, mask: usize, to: usize): u32 {
  const wasScoring = scoring;
  scoring = false; // no frequencies yet
  let count = mask ? listMasked(leafCursor(member, 0), weight, mask, to) : listAll(leafCursor(member, 0), weight, to);
  for (let t: u32 = 1; t < terms && count; t++) {
    memory.fill(PHRASE_BITS, 0, BITS_BYTES);
    for (let i: usize = 0; i < count; i++) setBit(PHRASE_BITS, load<u32>(to + (i << 2)));
    count = listMasked(leafCursor(member, t), weight, PHRASE_BITS, to);
  }
  scoring = wasScoring;
  let found: usize = 0;
  for (let i: usize = 0; i < count; i++) {
    const doc = load<u32>(to + (i << 2));
    for (let t: u32 = 0; t < terms; t++) cursorSeek(positionCursor(member, t), base + doc);
    const freq = phraseFreq(member, terms);
    store<u32>(to + (found << 2), doc);
    store<f32>(to + (found << 2), <f32>freq * weight, LIST_SCORES_OFFSET);
    found += <usize>(freq != 0);
  }
  return <u32>found;
}

/** Starts from which every term stands at its position, in the document that all position cursors are on. */
function phraseFreq(member: usize, terms: u32): u32 {
  const lead = positionCursor(member, 0);
  for (let t: u32 = 1; t < terms; t++) cursorPositions(positionCursor(member, t));
  let freq: u32 = 0;
  for (let left = cursorPositions(lead); left; left--) {
    const start = <i64>cursorNextPosition(lead) - leafPosition(member, 0);
    if (start < 0) continue;
    let everywhere = true;
    for (let t: u32 = 1; t < terms && everywhere; t++) {
      const wanted = start + leafPosition(member, t);
      const position = cursorSeekPosition(positionCursor(member, t), wanted);
      if (position < 0) return freq;
      everywhere = position == wanted;
    }
    if (everywhere) {
      freq++;
      if (!scoring) return freq;
    }
  }
  return freq;
}

/** Turns the weighted frequencies of `list` into scores: weight · tf / (tf + k1 · (1 − b + b · length / average)). */
function scoreList(count: u32, set: usize, weight: f32): void {
  const tables = load<u32>(set, 4);
  const lengthBase = f32x4.splat(load<f32>(set));
  const weights = f32x4.splat(weight);
  v128.store(list + (<usize>count << 2), i32x4.splat(0)); // behind the list, where the last vector may reach
  const end = list + (<usize>count << 2);
  const rows = norms + <usize>base * normStride;
  if (tables == 1) {
    const column = rows + load<u32>(set, SET_HEADER_BYTES);
    const table = set + SET_HEADER_BYTES + SET_TABLE_HEADER_BYTES;
    for (let at = list; at < end; at += 16) {
      const lengths = f32x4.add(lengthBase, gather(at, column, table));
      const freqs = v128.load(at, LIST_SCORES_OFFSET);
      v128.store(at, f32x4.div(f32x4.mul(weights, freqs), f32x4.add(freqs, lengths)), LIST_SCORES_OFFSET);
    }
  } else {
    for (let at = list; at < end; at += 16) {
      let lengths = lengthBase;
      for (let t: u32 = 0, header = set + SET_HEADER_BYTES; t < tables; t++, header += SET_TABLE_BYTES) {
        lengths = f32x4.add(lengths, gather(at, rows + load<u32>(header), header + SET_TABLE_HEADER_BYTES));
      }
      const freqs = v128.load(at, LIST_SCORES_OFFSET);
      v128.store(at, f32x4.div(f32x4.mul(weights, freqs), f32x4.add(freqs, lengths)), LIST_SCORES_OFFSET);
    }
  }
}

/** What the norms of four documents add: f32[256] at `table`, by the u8 at `column` + document · normStride. */
@inline function gather(docs: usize, column: usize, table: usize): v128 {
  let result = v128.load32_zero(normEntry(load<u32>(docs), column, table));
  result = v128.load_lane<f32>(normEntry(load<u32>(docs, 4), column, table), result, 1);
  result = v128.load_lane<f32>(normEntry(load<u32>(docs, 8), column, table), result, 2);
  return v128.load_lane<f32>(normEntry(load<u32>(docs, 12), column, table), result, 3);
}
@inline function normEntry(doc: u32, column: usize, table: usize): usize {
  return table + (<usize>load<u8>(column + <usize>doc * normStride) << 2);
}

// Nodes, in a window each

@inline function setBit(bits: usize, doc: u32): void {
  const word = bits + ((<usize>doc >> 6) << 3);
  store<u64>(word, load<u64>(word) | (<u64>1 << (doc & 63)));
}

@inline function isEmpty(bits: usize): bool {
  let all = v128.load(bits);
  for (let offset: usize = 16; offset < BITS_BYTES; offset += 16) all = v128.or(all, v128.load(bits + offset));
  return !v128.any_true(all);
}

/** The words of an ALL or FILTER node; ALL gets its own. */
function wordsOf(node: usize): usize {
  if (load<u32>(node, P_KIND_OFFSET) == FILTER) return load<usize>(node, P_WORDS_OFFSET) + (base >> 3);
  const left = docCount - base;
  if (left >= WINDOW_DOCS) {
    memory.fill(NEW_BITS, 0xff, BITS_BYTES);
  } else {
    memory.fill(NEW_BITS, 0, BITS_BYTES);
    memory.fill(NEW_BITS, 0xff, left >> 3);
    if (left & 7) store<u8>(NEW_BITS + (left >> 3), (<u32>1 << (left & 7)) - 1);
  }
  return NEW_BITS;
}

/** Fills `window` with the matches of `node` in `mask`. Windows from `depth` + 1 on are free. */
function evaluate(node: usize, depth: u32, mask: usize, window: usize): void {
  const kind = load<u32>(node, P_KIND_OFFSET);
  if (kind != BOOL) {
    memory.fill(window, 0, BITS_BYTES);
    unite(node, depth, mask, window);
    return;
  }
  const children = load<usize>(node, P_CHILDREN_OFFSET);
  const must = load<u32>(node, P_MUST_OFFSET);
  const should = load<u32>(node, P_SHOULD_OFFSET);
  const mustNot = load<u32>(node, P_MUST_NOT_OFFSET);
  if (must) {
    evaluate(childAt(children, 0), depth, mask, window);
    for (let i: u32 = 1; i < must; i++) {
      if (isEmpty(window)) return;
      restrict(childAt(children, i), depth, window);
    }
  } else {
    memory.fill(window, 0, BITS_BYTES);
    for (let i: u32 = 0; i < should; i++) unite(childAt(children, i), depth, mask, window);
  }
  for (let i: u32 = 0; i < mustNot; i++) {
    if (isEmpty(window)) return;
    exclude(childAt(children, must + should + i), depth, window);
  }
  if (must && scoring) {
    for (let i: u32 = 0; i < should; i++) {
      if (isEmpty(window)) return;
      addScores(childAt(children, must + i), depth, window);
    }
  }
}

@inline function windowAt(depth: u32): usize { return windows + <usize>depth * WINDOW_BYTES; }

/** Adds the matches of `node` in `mask` to those of `window`. */
function unite(node: usize, depth: u32, mask: usize, window: usize): void {
  const kind = load<u32>(node, P_KIND_OFFSET);
  if (kind == TERM || kind == PHRASE) {
    const count = leafList(node, mask);
    for (let i: usize = 0; i < count; i++) {
      const doc = load<u32>(list + (i << 2));
      const word = window + ((<usize>doc >> 6) << 3);
      const bits = load<u64>(word);
      const bit = <u64>1 << (doc & 63);
      store<u64>(word, bits | bit);
      const at = window + (<usize>doc << 2);
      const before = bits & bit ? load<f32>(at, SCORES_OFFSET) : 0;
      store<f32>(at, before + load<f32>(list + (i << 2), LIST_SCORES_OFFSET), SCORES_OFFSET);
    }
  } else if (kind == ALL || kind == FILTER) {
    const words = wordsOf(node);
    for (let offset: usize = 0; offset < BITS_BYTES; offset += 8) {
      const before = load<u64>(window + offset);
      let fresh = load<u64>(words + offset) & ~before;
      if (mask) fresh &= load<u64>(mask + offset);
      store<u64>(window + offset, before | fresh);
      for (; fresh; fresh &= fresh - 1) {
        store<f32>(window + (((offset << 3) + <usize>ctz<u64>(fresh)) << 2), 0, SCORES_OFFSET);
      }
    }
  } else if (kind == BOOL) {
    const other = windowAt(depth + 1);
    evaluate(node, depth + 1, mask, other);
    for (let offset: usize = 0; offset < BITS_BYTES; offset += 8) {
      const before = load<u64>(window + offset);
      const more = load<u64>(other + offset);
      store<u64>(window + offset, before | more);
      for (let bits = more; bits; bits &= bits - 1) {
        const at = ((offset << 3) + <usize>ctz<u64>(bits)) << 2;
        const score = before & (bits & -bits) ? load<f32>(window + at, SCORES_OFFSET) : 0;
        store<f32>(window + at, score + load<f32>(other + at, SCORES_OFFSET), SCORES_OFFSET);
      }
    }
  }
}

/** Keeps what matches `node` too, and adds its scores. */
function restrict(node: usize, depth: u32, window: usize): void {
  const kind = load<u32>(node, P_KIND_OFFSET);
  if (kind == TERM || kind == PHRASE) {
    const count = leafList(node, window);
    memory.fill(window, 0, BITS_BYTES);
    for (let i: usize = 0; i < count; i++) {
      const doc = load<u32>(list + (i << 2));
      setBit(window, doc);
      const at = window + (<usize>doc << 2);
      const score = load<f32>(at, SCORES_OFFSET) + load<f32>(list + (i << 2), LIST_SCORES_OFFSET);
      store<f32>(at, score, SCORES_OFFSET);
    }
  } else if (kind == ALL || kind == FILTER) {
    const words = wordsOf(node);
    for (let offset: usize = 0; offset < BITS_BYTES; offset += 16) {
      v128.store(window + offset, v128.and(v128.load(window + offset), v128.load(words + offset)));
    }
  } else {
    const other = windowAt(depth + 1);
    evaluate(node, depth + 1, window, other);
    memory.copy(window, other, BITS_BYTES);
    if (scoring) addWindow(window, other);
  }
}

/** Takes away what matches `node`. */
function exclude(node: usize, depth: u32, window: usize): void {
  const wasScoring = scoring;
  scoring = false;
  const kind = load<u32>(node, P_KIND_OFFSET);
  if (kind == TERM || kind == PHRASE) {
    const count = leafList(node, window);
    for (let i: usize = 0; i < count; i++) {
      const doc = load<u32>(list + (i << 2));
      const word = window + ((<usize>doc >> 6) << 3);
      store<u64>(word, load<u64>(word) & ~(<u64>1 << (doc & 63)));
    }
  } else {
    let words: usize;
    if (kind == BOOL) {
      words = windowAt(depth + 1);
      evaluate(node, depth + 1, window, words);
    } else {
      words = wordsOf(node);
    }
    for (let offset: usize = 0; offset < BITS_BYTES; offset += 16) {
      v128.store(window + offset, v128.andnot(v128.load(window + offset), v128.load(words + offset)));
    }
  }
  scoring = wasScoring;
}

/** Adds the scores of `node` to the documents of `window` that match it. */
function addScores(node: usize, depth: u32, window: usize): void {
  const kind = load<u32>(node, P_KIND_OFFSET);
  if (kind == TERM || kind == PHRASE) {
    const count = leafList(node, window);
    for (let i: usize = 0; i < count; i++) {
      const at = window + (<usize>load<u32>(list + (i << 2)) << 2);
      const score = load<f32>(at, SCORES_OFFSET) + load<f32>(list + (i << 2), LIST_SCORES_OFFSET);
      store<f32>(at, score, SCORES_OFFSET);
    }
  } else if (kind == BOOL) {
    const other = windowAt(depth + 1);
    evaluate(node, depth + 1, window, other);
    addWindow(window, other);
  }
}

/** Adds the scores of `other` to those of `window`, for the bits of `other`. */
function addWindow(window: usize, other: usize): void {
  for (let offset: usize = 0; offset < BITS_BYTES; offset += 8) {
    for (let bits = load<u64>(other + offset); bits; bits &= bits - 1) {
      const at = ((offset << 3) + <usize>ctz<u64>(bits)) << 2;
      const score = load<f32>(window + at, SCORES_OFFSET) + load<f32>(other + at, SCORES_OFFSET);
      store<f32>(window + at, score, SCORES_OFFSET);
    }
  }
}
