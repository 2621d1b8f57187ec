// Stable merge sort of pairs (u64 key, u32 value), 16 bytes each, from the bottom up: n log n whatever comes in.

export const SORTED_BYTES: usize = 16;
export const SORT_KEY_OFFSET: usize = 0;
export const SORT_VALUE_OFFSET: usize = 8;

/** Sorts `count` pairs at `pairs` with as much room at `spare`; returns which of the two holds the result.
 *  `inOrder(a, b)` says of the values of equal keys whether they may stand as they do. */
export function mergeSort(pairs: usize, spare: usize, count: u32, inOrder: (a: usize, b: usize) => bool): usize {
  const bytes = <usize>count * SORTED_BYTES;
  let from = pairs;
  let to = spare;
  for (let width = SORTED_BYTES; width < bytes; width <<= 1) {
    for (let start: usize = 0; start < bytes; start += width << 1) {
      let left = from + start;
      const leftEnd = from + min<usize>(start + width, bytes);
      let right = leftEnd;
      const rightEnd = from + min<usize>(start + (width << 1), bytes);
      let out = to + start;
      while (left < leftEnd && right < rightEnd) {
        const a = load<u64>(left, SORT_KEY_OFFSET);
        const b = load<u64>(right, SORT_KEY_OFFSET);
        const takeLeft = a < b ||
          (a == b && inOrder(load<usize>(left, SORT_VALUE_OFFSET), load<usize>(right, SORT_VALUE_OFFSET)));
        v128.store(out, v128.load(takeLeft ? left : right));
        if (takeLeft) left += SORTED_BYTES;
        else right += SORTED_BYTES;
        out += SORTED_BYTES;
      }
      memory.copy(out, left, leftEnd - left);
      memory.copy(out + (leftEnd - left), right, rightEnd - right);
    }
    const swap = from;
    from = to;
    to = swap;
  }
  return from;
}
