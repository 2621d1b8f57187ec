// Blocks of 128 integers, each packed to the width of the largest.
//
// The layout is vertical, so that one v128 instruction works on four values: value i stands in lane i % 4 of row i / 4,
// and each 32-bit lane is a stream of its own of 32 rows times `width` bits, lowest bits first. A block of width w is
// w v128s, 16 * w bytes (Lemire & Boytsov, Software: Practice and Experience 45(1), arXiv:1209.2137).

export const BLOCK_LENGTH: u32 = 128;
export const BLOCK_BYTES: usize = 512; // unpacked

/** Bits that the largest of u32[128] at `values` needs. */
export function width128(values: usize): u32 {
  let all = v128.load(values);
  for (let offset: usize = 16; offset < BLOCK_BYTES; offset += 16) all = v128.or(all, v128.load(values + offset));
  const or = i32x4.extract_lane(all, 0) | i32x4.extract_lane(all, 1) | i32x4.extract_lane(all, 2) |
    i32x4.extract_lane(all, 3);
  return 32 - <u32>clz<i32>(or);
}

/** Packs u32[128] at `from` to 16 * width bytes at `to`; no value may need more than `width` bits. */
export function pack128(width: u32, from: usize, to: usize): void {
  let word = i32x4.splat(0);
  let filled: u32 = 0; // bits of `word` in use
  for (let offset: usize = 0; offset < BLOCK_BYTES; offset += 16) {
    const row = v128.load(from + offset);
    if (filled == 32) { // shl takes its distance modulo 32
      v128.store(to, word);
      to += 16;
      word = i32x4.splat(0);
      filled = 0;
    }
    word = v128.or(word, i32x4.shl(row, <i32>filled));
    filled += width;
    if (filled > 32) {
      v128.store(to, word);
      to += 16;
      filled -= 32;
      word = i32x4.shr_u(row, <i32>(width - filled));
    }
  }
  if (width) v128.store(to, word);
}

/** Turns gaps into ordinals, in place: value i becomes previous + (gap 0 + 1) + … + (gap i + 1), modulo 2³². */
export function ordinalsFromGaps(values: usize, previous: u32): void {
  const zero = i32x4.splat(0);
  const one = i32x4.splat(1);
  let carry = i32x4.splat(<i32>previous);
  for (let offset: usize = 0; offset < BLOCK_BYTES; offset += 16) {
    let row = i32x4.add(v128.load(values + offset), one);
    // In the order (zero, row): V8 makes one instruction of it; (row, zero) takes up to ten times as long.
    row = i32x4.add(row, v128.shuffle<u8>(zero, row, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25, 26, 27));
    row = i32x4.add(row, v128.shuffle<u8>(zero, row, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23));
    row = i32x4.add(row, carry);
    v128.store(values + offset, row);
    carry = v128.shuffle<u32>(row, row, 3, 3, 3, 3);
  }
}

/** Adds 1 to each of u32[128]: frequencies are packed less one. */
export function increment128(values: usize): void {
  const one = i32x4.splat(1);
  for (let offset: usize = 0; offset < BLOCK_BYTES; offset += 16) {
    v128.store(values + offset, i32x4.add(v128.load(values + offset), one));
  }
}

/** Sum of u32[128], exact. */
export function sum128(values: usize): u64 {
  let sum = i64x2.splat(0);
  for (let offset: usize = 0; offset < BLOCK_BYTES; offset += 16) {
    const row = v128.load(values + offset);
    sum = i64x2.add(sum, i64x2.add(i64x2.extend_low_i32x4_u(row), i64x2.extend_high_i32x4_u(row)));
  }
  return <u64>(i64x2.extract_lane(sum, 0) + i64x2.extract_lane(sum, 1));
}

// Runs of any length, one width, one value after the other: any value can be read without those before it.

/** Value `index` of a run of `width`-bit values (width ≤ 32) at `run`. Reads up to 7 bytes past the run. */
@inline export function runValue(run: usize, width: u32, index: u64): u32 {
  const bit = index * width;
  return <u32>((load<u64>(run + <usize>(bit >> 3)) >> (bit & 7)) & (((<u64>1) << width) - 1));
}

/** Bytes of a run. */
@inline export function runBytes(width: u32, length: u64): u64 {
  return (length * width + 7) >> 3;
}

/** Writes value `index` of a run over zero bits, with up to 7 bytes past the run that must be zero and stay so. */
@inline export function runSet(run: usize, width: u32, index: u64, value: u32): void {
  const bit = index * width;
  const at = run + <usize>(bit >> 3);
  store<u64>(at, load<u64>(at) | (<u64>value << (bit & 7)));
}
