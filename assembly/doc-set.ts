// DocSet: which documents of one segment, a bit for each docOrd.
//
//   0..4   u32       length  docOrds are 0 .. length - 1
//   4..8   u32       count   bits that are set
//   8..16            unused
//  16..    u64[]     words   bit (docOrd & 63) of word (docOrd >> 6); bits from length on are always 0
//
// The words go on to a multiple of 16 bytes, so that whole vectors of 128 bits can be combined.
import { regionAlloc, regionCapacity, regionFree } from "./region";

const LENGTH_OFFSET: usize = 0;
const COUNT_OFFSET: usize = 4;
export const DOC_SET_WORDS_OFFSET: usize = 16;

@inline function wordsEnd(set: usize): usize {
  return set + DOC_SET_WORDS_OFFSET + wordBytes(load<u32>(set, LENGTH_OFFSET));
}
/** Bytes of the words, a multiple of 16. */
@inline function wordBytes(length: u32): usize { return (<usize>(length >> 7) + <usize>((length & 127) != 0)) << 4; }
@inline function wordAddress(set: usize, docOrd: u32): usize {
  return set + ((<usize>docOrd >> 6) << alignof<u64>());
}

/** An empty set over docOrds 0 .. docCount - 1; 0 when memory is used up. */
export function docSetNew(docCount: u32): usize {
  const set = regionAlloc(DOC_SET_WORDS_OFFSET + wordBytes(docCount));
  if (set) store<u32>(set, docCount, LENGTH_OFFSET);
  return set;
}

export function docSetFree(set: usize): void {
  regionFree(set);
}

/** Returns whether `docOrd` was new. */
export function docSetAdd(set: usize, docOrd: u32): bool {
  assert(docOrd < load<u32>(set, LENGTH_OFFSET));
  const address = wordAddress(set, docOrd);
  const word = load<u64>(address, DOC_SET_WORDS_OFFSET);
  const bit = <u64>1 << (docOrd & 63);
  if (word & bit) return false;
  store<u64>(address, word | bit, DOC_SET_WORDS_OFFSET);
  store<u32>(set, load<u32>(set, COUNT_OFFSET) + 1, COUNT_OFFSET);
  return true;
}

/** Returns whether `docOrd` was there. */
export function docSetRemove(set: usize, docOrd: u32): bool {
  assert(docOrd < load<u32>(set, LENGTH_OFFSET));
  const address = wordAddress(set, docOrd);
  const word = load<u64>(address, DOC_SET_WORDS_OFFSET);
  const bit = <u64>1 << (docOrd & 63);
  if (!(word & bit)) return false;
  store<u64>(address, word & ~bit, DOC_SET_WORDS_OFFSET);
  store<u32>(set, load<u32>(set, COUNT_OFFSET) - 1, COUNT_OFFSET);
  return true;
}

@inline export function docSetHas(set: usize, docOrd: u32): bool {
  assert(docOrd < load<u32>(set, LENGTH_OFFSET));
  return <bool>((load<u64>(wordAddress(set, docOrd), DOC_SET_WORDS_OFFSET) >> (docOrd & 63)) & 1);
}

export function docSetCount(set: usize): u32 {
  return load<u32>(set, COUNT_OFFSET);
}

/** How many docOrds the set is over, in it or not. */
export function docSetLength(set: usize): u32 {
  return load<u32>(set, LENGTH_OFFSET);
}

/** Clears the bits that stand for no docOrd, then counts. Called after words were written in bulk. */
export function docSetSeal(set: usize): void {
  const length = load<u32>(set, LENGTH_OFFSET);
  const end = wordsEnd(set);
  for (let address = wordAddress(set, length) + DOC_SET_WORDS_OFFSET, keep = length & 63; address < end; address += 8) {
    store<u64>(address, keep ? load<u64>(address) & ((<u64>1 << keep) - 1) : 0);
    keep = 0;
  }
  let count: u32 = 0;
  for (let address = set + DOC_SET_WORDS_OFFSET; address < end; address += 8) {
    count += <u32>popcnt<u64>(load<u64>(address));
  }
  store<u32>(set, count, COUNT_OFFSET);
}

/** Puts every docOrd in. */
export function docSetFill(set: usize): void {
  memory.fill(set + DOC_SET_WORDS_OFFSET, 0xff, wordBytes(load<u32>(set, LENGTH_OFFSET)));
  docSetSeal(set);
}

/** a ∩ b into a. Docs that lie past b's length count as not in b. */
export function docSetAnd(a: usize, b: usize): void {
  const shared = sharedBytes(a, b);
  for (let offset: usize = 0; offset < shared; offset += 16) {
    v128.store(a + offset, v128.and(word128(a, offset), word128(b, offset)), DOC_SET_WORDS_OFFSET);
  }
  const rest = a + DOC_SET_WORDS_OFFSET + shared;
  memory.fill(rest, 0, wordsEnd(a) - rest);
  docSetSeal(a);
}

/** a \ b into a. */
export function docSetAndNot(a: usize, b: usize): void {
  const shared = sharedBytes(a, b);
  for (let offset: usize = 0; offset < shared; offset += 16) {
    v128.store(a + offset, v128.andnot(word128(a, offset), word128(b, offset)), DOC_SET_WORDS_OFFSET);
  }
  docSetSeal(a);
}

/** a ∪ b into a. Docs of b that lie past a's length are left out. */
export function docSetOr(a: usize, b: usize): void {
  const shared = sharedBytes(a, b);
  for (let offset: usize = 0; offset < shared; offset += 16) {
    v128.store(a + offset, v128.or(word128(a, offset), word128(b, offset)), DOC_SET_WORDS_OFFSET);
  }
  docSetSeal(a);
}

/** |a ∩ b| */
export function docSetAndCount(a: usize, b: usize): u32 {
  const shared = sharedBytes(a, b);
  let count: u32 = 0;
  for (let offset = DOC_SET_WORDS_OFFSET; offset < DOC_SET_WORDS_OFFSET + shared; offset += 8) {
    count += <u32>popcnt<u64>(load<u64>(a + offset) & load<u64>(b + offset));
  }
  return count;
}

@inline function sharedBytes(a: usize, b: usize): usize {
  return wordBytes(min<u32>(load<u32>(a, LENGTH_OFFSET), load<u32>(b, LENGTH_OFFSET)));
}
@inline function word128(set: usize, offset: usize): v128 {
  return v128.load(set + offset, DOC_SET_WORDS_OFFSET);
}

/** Puts the bits that `now` has for the members of `members`, side by side and in order, into `target` from `offset` on,
 *  where it is empty: what a segment that is made of `members` alone has of `now`. Returns the offset behind them. */
export function docSetGather(target: usize, offset: u32, members: usize, now: usize): u32 {
  assert(docSetLength(now) >= docSetLength(members));
  const end = wordBytes(docSetLength(members)) + DOC_SET_WORDS_OFFSET;
  for (let at = DOC_SET_WORDS_OFFSET; at < end; at += 8) {
    const bits = load<u64>(now + at);
    for (let left = load<u64>(members + at); left; left &= left - 1) {
      if (bits & left & (0 - left)) docSetAdd(target, offset);
      offset++;
    }
  }
  return offset;
}

/** Makes the set reach over `docCount` docOrds (never fewer than before); the new ones are not in it. Returns where the
 *  set is now: the old address is no longer valid when another is returned. 0 when memory is used up: the set stays. */
export function docSetGrow(set: usize, docCount: u32): usize {
  const length = load<u32>(set, LENGTH_OFFSET);
  if (docCount <= length) return set;
  const bytes = DOC_SET_WORDS_OFFSET + wordBytes(docCount);
  if (bytes > regionCapacity(set)) {
    const used = DOC_SET_WORDS_OFFSET + wordBytes(length);
    const grown = regionAlloc(max<usize>(bytes, used * 2));
    if (!grown) return 0;
    memory.copy(grown, set, used);
    regionFree(set);
    set = grown;
  } else {
    const end = wordsEnd(set);
    memory.fill(end, 0, set + bytes - end); // a region zeroes only what was asked for
  }
  store<u32>(set, docCount, LENGTH_OFFSET);
  return set;
}
