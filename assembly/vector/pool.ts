// Pool: the best candidates so far, as one ascending array of i64 keys.
//
//   bits 63..32  distance, as a signed integer of the same order
//   bits 31..1   ordinal: of two equal distances the older vector is the better one
//   bit  0       the candidate has been expanded
//
// One sorted array serves as both queues of the paper: the next candidate is the first that is not expanded, the worst
// result is the last, and the search ends when all are expanded.

export const EXPANDED: i64 = 1;

/** A distance that is not a number (an overflow of f32: such vectors exist) counts as the largest. */
@inline export function keyOf(distance: f32, ordinal: u32): i64 {
  const bits = reinterpret<i32>(distance);
  const order = distance == distance ? bits ^ ((bits >> 31) & 0x7fffffff) : i32.MAX_VALUE;
  return (<i64>order << 32) | (<i64>ordinal << 1);
}
@inline export function ordinalOfKey(key: i64): u32 { return <u32>key >> 1; }
@inline export function distanceOfKey(key: i64): f32 {
  const order = <i32>(key >> 32);
  return reinterpret<f32>(order ^ ((order >> 31) & 0x7fffffff));
}

@inline export function keyAt(pool: usize, place: u32): i64 { return load<i64>(pool + (<usize>place << 3)); }
@inline export function putKey(pool: usize, place: u32, key: i64): void { store<i64>(pool + (<usize>place << 3), key); }

/** Puts `key` into a pool of `count` keys that has room for `capacity`; the last falls out of a full one. The caller
 *  has seen that it belongs there: the pool is not full, or the key is below the last. Returns its place. */
export function insertKey(pool: usize, count: u32, capacity: u32, key: i64): u32 {
  // Without a branch on the comparison, which nobody could predict.
  let place: u32 = 0;
  let length = count;
  while (length) {
    const half = length >> 1;
    const isBelow = keyAt(pool, place + half) < key;
    place = select<u32>(place + half + 1, place, isBelow);
    length = select<u32>(length - half - 1, half, isBelow);
  }
  const from = pool + (<usize>place << 3);
  let at = pool + (<usize>min<u32>(count, capacity - 1) << 3);
  // Two keys a step, from the end: memory.copy costs more than it moves for a few hundred bytes.
  while (at >= from + 16) {
    at -= 16;
    v128.store(at, v128.load(at), 8);
  }
  if (at > from) store<i64>(from, load<i64>(from), 8);
  store<i64>(from, key);
  return place;
}

/** Sorts keys ascending, in place (heapsort: no recursion, no memory). */
export function sortKeys(keys: usize, count: u32): void {
  for (let root = count >> 1; root > 0; root--) siftDown(keys, root - 1, count);
  for (let end = count; end > 1; end--) {
    const largest = keyAt(keys, 0);
    putKey(keys, 0, keyAt(keys, end - 1));
    putKey(keys, end - 1, largest);
    siftDown(keys, 0, end - 1);
  }
}

function siftDown(keys: usize, root: u32, count: u32): void {
  const key = keyAt(keys, root);
  for (;;) {
    let child: u32 = 2 * root + 1;
    if (child >= count) break;
    if (child + 1 < count && keyAt(keys, child) < keyAt(keys, child + 1)) child++;
    if (keyAt(keys, child) <= key) break;
    putKey(keys, root, keyAt(keys, child));
    root = child;
  }
  putKey(keys, root, key);
}
