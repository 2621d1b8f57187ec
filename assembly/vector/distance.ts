// Kernels over rows of f32. A row is 16-byte aligned and padded with zeros to a multiple of 8 components, which change
// no sum: there is no scalar tail.
//
// The traversal compares four vectors with one at a time: four independent sums hide the latency of an addition, the
// one row is loaded once for four, and the cache misses of four rows overlap. For one vector alone the same kernel is
// called with the same row four times, so a pair has one distance, whoever computes it. f32 is enough to choose the
// candidates; scores that a user sees are summed in f64.

/** Components a row is padded to. */
export const LANES: u32 = 8;

// [Σa, Σb, Σc, Σd] of four vectors of four sums
@inline function sums(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = f32x4.add(v128.shuffle<f32>(a, b, 0, 1, 4, 5), v128.shuffle<f32>(a, b, 2, 3, 6, 7));
  const cd = f32x4.add(v128.shuffle<f32>(c, d, 0, 1, 4, 5), v128.shuffle<f32>(c, d, 2, 3, 6, 7));
  return f32x4.add(v128.shuffle<f32>(ab, cd, 0, 2, 4, 6), v128.shuffle<f32>(ab, cd, 1, 3, 5, 7));
}

/** Inner products [Σqᵢaᵢ, Σqᵢbᵢ, Σqᵢcᵢ, Σqᵢdᵢ]. q, a, b, c, d: addresses of rows; bytes: of a row. */
export function dot4(q: usize, a: usize, b: usize, c: usize, d: usize, bytes: usize): v128 {
  let sumA = f32x4.splat(0);
  let sumB = sumA;
  let sumC = sumA;
  let sumD = sumA;
  for (const end = q + bytes; q < end; q += 32) {
    const q0 = v128.load(q);
    const q1 = v128.load(q, 16);
    sumA = f32x4.add(sumA, f32x4.mul(q0, v128.load(a)));
    sumB = f32x4.add(sumB, f32x4.mul(q0, v128.load(b)));
    sumC = f32x4.add(sumC, f32x4.mul(q0, v128.load(c)));
    sumD = f32x4.add(sumD, f32x4.mul(q0, v128.load(d)));
    sumA = f32x4.add(sumA, f32x4.mul(q1, v128.load(a, 16)));
    sumB = f32x4.add(sumB, f32x4.mul(q1, v128.load(b, 16)));
    sumC = f32x4.add(sumC, f32x4.mul(q1, v128.load(c, 16)));
    sumD = f32x4.add(sumD, f32x4.mul(q1, v128.load(d, 16)));
    a += 32;
    b += 32;
    c += 32;
    d += 32;
  }
  return sums(sumA, sumB, sumC, sumD);
}

@inline function addSquare(sum: v128, q: v128, x: v128): v128 {
  const difference = f32x4.sub(q, x);
  return f32x4.add(sum, f32x4.mul(difference, difference));
}

/** Squared Euclidean distances [Σ(qᵢ−aᵢ)², …]; no root: the order is the same, and the graph only compares.
 *  q, a, b, c, d: addresses of rows; bytes: of a row. */
export function l2Squared4(q: usize, a: usize, b: usize, c: usize, d: usize, bytes: usize): v128 {
  let sumA = f32x4.splat(0);
  let sumB = sumA;
  let sumC = sumA;
  let sumD = sumA;
  for (const end = q + bytes; q < end; q += 32) {
    const q0 = v128.load(q);
    const q1 = v128.load(q, 16);
    sumA = addSquare(sumA, q0, v128.load(a));
    sumB = addSquare(sumB, q0, v128.load(b));
    sumC = addSquare(sumC, q0, v128.load(c));
    sumD = addSquare(sumD, q0, v128.load(d));
    sumA = addSquare(sumA, q1, v128.load(a, 16));
    sumB = addSquare(sumB, q1, v128.load(b, 16));
    sumC = addSquare(sumC, q1, v128.load(c, 16));
    sumD = addSquare(sumD, q1, v128.load(d, 16));
    a += 32;
    b += 32;
    c += 32;
    d += 32;
  }
  return sums(sumA, sumB, sumC, sumD);
}

// Exact: products of two f32 are exact in f64, and no sum of them leaves its range.

@inline function low(x: v128): v128 { return f64x2.promote_low_f32x4(x); }
@inline function high(x: v128): v128 { return f64x2.promote_low_f32x4(v128.shuffle<f32>(x, x, 2, 3, 2, 3)); }
@inline function sum(x: v128): f64 { return f64x2.extract_lane(x, 0) + f64x2.extract_lane(x, 1); }

/** Inner product Σaᵢbᵢ in f64. a, b: addresses of rows; bytes: of a row. */
export function dotExact(a: usize, b: usize, bytes: usize): f64 {
  let low2 = f64x2.splat(0);
  let high2 = low2;
  for (const end = a + bytes; a < end; a += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    low2 = f64x2.add(low2, f64x2.mul(low(x), low(y)));
    high2 = f64x2.add(high2, f64x2.mul(high(x), high(y)));
    b += 16;
  }
  return sum(f64x2.add(low2, high2));
}

/** Squared Euclidean distance Σ(aᵢ−bᵢ)² in f64. a, b: addresses of rows; bytes: of a row. */
export function l2SquaredExact(a: usize, b: usize, bytes: usize): f64 {
  let low2 = f64x2.splat(0);
  let high2 = low2;
  for (const end = a + bytes; a < end; a += 16) {
    const x = v128.load(a);
    const y = v128.load(b);
    const lows = f64x2.sub(low(x), low(y));
    const highs = f64x2.sub(high(x), high(y));
    low2 = f64x2.add(low2, f64x2.mul(lows, lows));
    high2 = f64x2.add(high2, f64x2.mul(highs, highs));
    b += 16;
  }
  return sum(f64x2.add(low2, high2));
}
