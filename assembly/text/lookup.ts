// What an index tells about one field or one term, and the analyzer for queries.
import { analyzerNext, analyzerStart, tokenAddress, tokenLength, tokenPosition } from "./analyzer";
import { CURSOR_BYTES, cursorCount, cursorDocFreq, cursorDocs, cursorNextBlock, cursorOpen } from "./cursor";
import { inputAddress, scratchTake, scratchTrim } from "./scratch";
import {
  docCountOf, FIELD_DOC_COUNT_OFFSET, FIELD_LENGTH_OFFSET, fieldOf, indexKind, NO_DOC, SEGMENT, WRITER,
} from "./text-index";
import {
  entryDocFreq, entryPayload, entryPayloadLength, findEntry, mayHaveId, SEGMENT_SKIPS_OFFSET, SKIP_BYTES,
  SKIP_LAST_DOC_OFFSET,
} from "./text-segment";
import { findTerm, TERM_LAST_DOC_OFFSET, termDocFreq } from "./text-writer";
import { readVarint, varintEnd } from "./varint";

export function textDocCount(index: usize): u32 {
  return docCountOf(index);
}

/** Tokens of all documents, values of a term field, keys of a point field. A double: exact to 2⁵³. */
export function textFieldLength(index: usize, field: u32): f64 {
  return <f64>load<u64>(fieldOf(index, field), FIELD_LENGTH_OFFSET);
}

export function textFieldDocCount(index: usize, field: u32): u32 {
  return load<u32>(fieldOf(index, field), FIELD_DOC_COUNT_OFFSET);
}

/** Documents that have the term, `length` bytes in the input, in the field. */
export function textDocFreq(index: usize, field: u32, length: u32): u32 {
  if (indexKind(index) == WRITER) {
    const term = findTerm(index, field, inputAddress(), length);
    return term ? termDocFreq(index, term) : 0;
  }
  return findEntry(index, field, inputAddress(), length) ? entryDocFreq : 0;
}

/** The last document that has the term, `length` bytes in the input, without reading its other postings: an id that is
 *  written again and again is looked up at each of its updates. u32.MAX_VALUE where none has the term;
 *  u32.MAX_VALUE - 1 where only the postings tell, because a writer's memory was used up while one more was added. */
export function textLastDocument(index: usize, field: u32, length: u32): u32 {
  if (indexKind(index) == SEGMENT) return lastOfSegment(index, field, inputAddress(), length);
  const term = findTerm(index, field, inputAddress(), length);
  if (!term || !termDocFreq(index, term)) return u32.MAX_VALUE;
  const last = load<u32>(term, TERM_LAST_DOC_OFFSET);
  return last < docCountOf(index) ? last : u32.MAX_VALUE - 1;
}

function lastOfSegment(segment: usize, field: u32, term: usize, length: u32): u32 {
  if (!field && !mayHaveId(segment, term, length)) return u32.MAX_VALUE;
  if (!findEntry(segment, field, term, length)) return u32.MAX_VALUE;
  const end = entryPayload + entryPayloadLength;
  const blocks = entryDocFreq >> 7;
  let at = entryPayload;
  let doc = NO_DOC;
  if (blocks) {
    const last = readVarint(at, end) + blocks - 1;
    at = varintEnd;
    doc = load<u32>(load<usize>(segment, SEGMENT_SKIPS_OFFSET) + <usize>last * SKIP_BYTES, SKIP_LAST_DOC_OFFSET);
  }
  for (let left = entryDocFreq & 127; left; left--) {
    const gap = readVarint(at, end);
    at = varintEnd;
    if (!(gap & 1)) {
      readVarint(at, end);
      at = varintEnd;
    }
    doc += (gap >> 1) + 1;
  }
  return doc;
}

let found: u32 = 0;

/** How many documents textLookup found. */
export function textLookupCount(): u32 { return found; }

/** The documents that have the term, `length` bytes in the input: u32[textLookupCount()], ascending, valid until the
 *  next call; 0 when memory is used up. */
export function textLookup(index: usize, field: u32, length: u32): usize {
  found = 0;
  let cursor = scratchTake(CURSOR_BYTES);
  if (!cursor || !cursorOpen(cursor, index, field, inputAddress(), length)) return cursor;
  const docFreq = cursorDocFreq(cursor);
  if (docFreq > 1) {
    cursor = scratchTake(<u64>CURSOR_BYTES + (<u64>docFreq << 2)); // may move: what the cursor held is written anew
    if (!cursor || !cursorOpen(cursor, index, field, inputAddress(), length)) return 0;
  }
  if (docFreq == 1) {
    cursorNextBlock(cursor);
    found = 1;
    return cursorDocs(cursor);
  }
  const docs = cursor + CURSOR_BYTES;
  while (cursorNextBlock(cursor)) {
    const count = cursorCount(cursor);
    memory.copy(docs + (<usize>found << 2), cursorDocs(cursor), <usize>count << 2);
    found += count;
  }
  return docs;
}

/** Gives back what a lookup or an analysis needed, once its answer is read. */
export function textLookupEnd(): void {
  scratchTrim();
}

/** Analyses the text in the input. Returns u32 tokens, then for each u32 position, u32 length and its bytes, each on a
 *  multiple of four; valid until the next call. 0 when memory is used up. */
export function textAnalyze(analyzer: u32, length: u32): usize {
  // A token takes eight bytes and what it is long. Folding makes two bytes three at most, pairs hold everything twice,
  // and no token is without a byte of its own.
  const result = scratchTake(<u64>length * 14 + 64);
  if (!result) return 0;
  let count: u32 = 0;
  let at = result + 4;
  analyzerStart(analyzer, inputAddress(), length);
  while (analyzerNext()) {
    store<u32>(at, tokenPosition);
    store<u32>(at, tokenLength, 4);
    memory.copy(at + 8, tokenAddress, tokenLength);
    at = (at + 8 + tokenLength + 3) & ~3;
    count++;
  }
  store<u32>(result, count);
  return result;
}
