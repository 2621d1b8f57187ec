// The k best hits so far: a heap of u64 keys with the worst on top.
//
// A key is the bits of the score, which is never negative, above the complement of docOrd: so a larger key is a better
// hit, and of equal scores the lower docOrd is the better one.

let heap: usize = 0;
let capacity: u32 = 0;
let count: u32 = 0;
/** What a hit must beat. Documents come in ascending order, so a hit that only equals it is the worse one. */
export let threshold: f32 = -1;

/** Begins with room for `k` keys, 8 bytes each, at `keys`. */
export function topBegin(keys: usize, k: u32): void {
  heap = keys;
  capacity = k;
  count = 0;
  threshold = k ? -1 : Infinity;
}

export function topCount(): u32 {
  return count;
}

@inline function key(slot: u32): u64 { return load<u64>(heap + (<usize>slot << 3)); }
@inline function setKey(slot: u32, value: u64): void { store<u64>(heap + (<usize>slot << 3), value); }

/** Takes a hit whose score is above the threshold. */
export function topPush(score: f32, docOrd: u32): void {
  const value = <u64>reinterpret<u32>(score) << 32 | ~docOrd;
  if (count < capacity) {
    let slot = count++;
    while (slot) {
      const parent = (slot - 1) >> 1;
      if (key(parent) <= value) break;
      setKey(slot, key(parent));
      slot = parent;
    }
    setKey(slot, value);
    if (count == capacity) threshold = reinterpret<f32>(<u32>(key(0) >> 32));
  } else {
    siftDown(value);
    threshold = reinterpret<f32>(<u32>(key(0) >> 32));
  }
}

/** Puts `value` in the place of the top, then where it belongs. */
function siftDown(value: u64): void {
  let slot: u32 = 0;
  while (true) {
    let child = (slot << 1) + 1;
    if (child >= count) break;
    if (child + 1 < count && key(child + 1) < key(child)) child++;
    if (key(child) >= value) break;
    setKey(slot, key(child));
    slot = child;
  }
  setKey(slot, value);
}

/** Writes the hits, best first, to u32[count] and f32[count], and empties the heap. */
export function topFinish(docOrds: usize, scores: usize): void {
  while (count) {
    const worst = key(0);
    count--;
    const last = key(count);
    if (count) siftDown(last);
    store<u32>(docOrds + (<usize>count << 2), ~<u32>worst);
    store<u32>(scores + (<usize>count << 2), <u32>(worst >> 32));
  }
}
