// f32 → shortest decimal, as JavaScript would write it if it had numbers of 32 bits.
//
// Schubfach (Giulietti, "The Schubfach way to render doubles", 2020) for f32. Let v = c · 2^q and k such that 10^k is
// the largest power of ten not wider than the interval of reals that round to v. Then that interval holds at least one
// multiple of 10^k, and at most one of 10^(k+1), which is shorter: compute v and the ends of its interval in units of
// 10^k / 4, sticky in the last bit, and compare.
//
// Who reads the text parses it as f64, and rounds that to f32. Such double rounding matters where a decimal of at most
// 9 digits is so near to the middle between two f32 that its f64 is that middle. All 2³¹ middles were searched: it
// happens at 120 of them, and changes the shortest decimal of two numbers alone, which are spelt out below.

const MANTISSA_BITS: u32 = 23;
const HIDDEN_BIT: u32 = 1 << MANTISSA_BITS;
const K_MIN: i32 = -45;

// 10^-k, K_MIN ≤ k ≤ 31, as 63 significant bits, rounded up; worked out with exact integers.
const POWERS: usize = memory.data<u64>([
  0x59aedfc10d7279c6, 0x47bf19673df52e38, 0x72cb5bd86321e38d, 0x5bd5e313828182d7, 0x4977e8dc68679be0,
  0x758ca7c70d7292ff, 0x5e0a1fd271287599, 0x4b3b4ca85a86c47b, 0x785ee10d5da46d91, 0x604be73de4838ada,
  0x4d0985cb1d3608af, 0x7b426fab61f00de4, 0x629b8c891b267183, 0x4ee2d6d415b85acf, 0x7e37be2022c0914c,
  0x64f964e68233a770, 0x50c783eb9b5c85f3, 0x409f9cbc7c4a04c3, 0x6765c793fa10079e, 0x52b7d2dcc80cd2e5,
  0x422ca8b0a00a4251, 0x69e10de76676d081, 0x54b40b1f852bda01, 0x43c33c1937564801, 0x6c6b935b8bbd4001,
  0x56bc75e2d6310001, 0x4563918244f40001, 0x6f05b59d3b200001, 0x58d15e1762800001, 0x470de4df82000001,
  0x71afd498d0000001, 0x5af3107a40000001, 0x48c2739500000001, 0x746a528800000001, 0x5d21dba000000001,
  0x4a817c8000000001, 0x7735940000000001, 0x5f5e100000000001, 0x4c4b400000000001, 0x7a12000000000001,
  0x61a8000000000001, 0x4e20000000000001, 0x7d00000000000001, 0x6400000000000001, 0x5000000000000001,
  0x4000000000000001, 0x6666666666666667, 0x51eb851eb851eb86, 0x4189374bc6a7ef9e, 0x68db8bac710cb296,
  0x53e2d6238da3c212, 0x431bde82d7b634db, 0x6b5fca6af2bd215f, 0x55e63b88c230e77f, 0x44b82fa09b5a52cc,
  0x6df37f675ef6eae0, 0x57f5ff85e5925580, 0x465e6604b7a84466, 0x709709a125da070a, 0x5a126e1a84ae6c08,
  0x480ebe7b9d58566d, 0x734aca5f6226f0ae, 0x5c3bd5191b525a25, 0x49c97747490eae84, 0x760f253edb4ab0d3,
  0x5e72843249088d76, 0x4b8ed0283a6d3df8, 0x78e480405d7b9659, 0x60b6cd004ac94514, 0x4d5f0a66a23a9daa,
  0x7bcb43d769f762a9, 0x63090312bb2c4eee, 0x4f3a68dbc8f03f25, 0x7ec3daf941806507, 0x65697bfa9acd1da0,
  0x51212ffbaf0a7e19, 0x40e7599625a1fe7b
]);

/** ⌊log₁₀ 2^e⌋, ⌊log₁₀ ¾ 2^e⌋ and ⌊log₂ 10^e⌋ in the range that f32 needs. */
@inline function log10Pow2(e: i32): i32 { return <i32>((<i64>e * 661_971_961_083) >> 41); }
@inline function log10ThreeQuartersPow2(e: i32): i32 {
  return <i32>((<i64>e * 661_971_961_083 - 274_743_187_321) >> 41);
}
@inline function log2Pow10(e: i32): i32 { return <i32>((<i64>e * 913_124_641_741) >> 38); }

/** ⌊g · c / 2^63⌋ with a last bit that tells whether anything was cut off; g = high · 2^32 + low. */
@inline function scaled(low: u64, high: u64, c: u64): u32 {
  const product = high * c + ((low * c) >> 32);
  return <u32>(product >> 31) | <u32>((product & 0x7fffffff) != 0);
}

/** Writes a finite f32 as JSON; -0 stays -0. Returns the address after its last character, at most DECIMAL_MAX on. */
export function writeDecimal(out: usize, value: f32): usize {
  const bits = reinterpret<u32>(value);
  if (bits >> 31) {
    store<u8>(out, 0x2d); // -
    out++;
  }
  const magnitude = bits & 0x7fffffff;
  if (!magnitude) {
    store<u8>(out, 0x30);
    return out + 1;
  }
  // The f64 of 7.038531e-26 rounds to the next f32, which has it for its shortest.
  if (magnitude == 0x15ae43fd) return writeDigits(out, 70_385_307, -33);
  if (magnitude == 0x15ae43fe) return writeDigits(out, 7_038_531, -32);

  const exponent = <i32>(magnitude >> MANTISSA_BITS);
  const mantissa = magnitude & (HIDDEN_BIT - 1);
  const c = exponent ? mantissa | HIDDEN_BIT : mantissa;
  const q = exponent ? exponent - 150 : -149;
  const isEven = (c & 1) == 0; // then the ends of the interval round to it too
  // In units of 2^q / 4. Below a power of two the f32 are twice as dense.
  const isRegular = mantissa != 0 || exponent <= 1;
  const middle = c << 2;
  const lower = middle - (isRegular ? 2 : 1);
  const upper = middle + 2;
  const k = isRegular ? log10Pow2(q) : log10ThreeQuartersPow2(q);
  const shift = <u64>(q + log2Pow10(-k) + 1);
  const power = load<u64>(POWERS + (<usize>(k - K_MIN) << 3));
  const low = power & 0xffffffff;
  const high = power >> 32;
  const v = scaled(low, high, <u64>middle << shift);
  const from = scaled(low, high, <u64>lower << shift) + <u32>!isEven;
  const to = scaled(low, high, <u64>upper << shift) - <u32>!isEven;

  const s = v >> 2;
  if (s >= 10) {
    const below = s / 10 * 10;
    const above = below + 10;
    if (from <= below << 2) return writeDigits(out, below, k);
    if (above << 2 <= to) return writeDigits(out, above, k);
  }
  const t = s + 1;
  const isBelowIn = from <= s << 2;
  const isAboveIn = t << 2 <= to;
  if (isBelowIn != isAboveIn) return writeDigits(out, isBelowIn ? s : t, k);
  const middleOfBoth = (s + t) << 1;
  return writeDigits(out, v < middleOfBoth || (v == middleOfBoth && (s & 1) == 0) ? s : t, k);
}

/** Characters that one number may take: "-" and 21 digits. */
export const DECIMAL_MAX: usize = 22;

/** Writes digits · 10^exponent; digits > 0. */
function writeDigits(out: usize, digits: u32, exponent: i32): usize {
  while (digits % 10 == 0) {
    digits /= 10;
    exponent++;
  }
  const length = digitCount(digits);
  const point = <i32>length + exponent; // digits before the decimal point
  if (exponent >= 0 && point <= 21) {
    out = writeInteger(out, digits, length);
    memory.fill(out, 0x30, exponent);
    return out + exponent;
  }
  if (point > 0 && point <= 21) {
    // One place to the right, then the digits before the point go back.
    writeInteger(out + 1, digits, length);
    for (let i = 0; i < point; i++) store<u8>(out + i, load<u8>(out + i, 1));
    store<u8>(out + point, 0x2e); // .
    return out + length + 1;
  }
  if (point > -6 && point <= 0) {
    store<u64>(out, 0x3030303030302e30); // 0.000000
    return writeInteger(out + 2 - point, digits, length);
  }
  writeInteger(out + 1, digits, length);
  store<u8>(out, load<u8>(out, 1));
  if (length > 1) {
    store<u8>(out, 0x2e, 1);
    out += length + 1;
  } else {
    out++;
  }
  const power = point - 1;
  store<u8>(out, 0x65); // e
  store<u8>(out, power < 0 ? 0x2d : 0x2b, 1);
  const size = <u32>abs<i32>(power);
  return writeInteger(out + 2, size, digitCount(size));
}

@inline function digitCount(n: u32): u32 {
  let count: u32 = 1;
  for (let limit: u64 = 10; <u64>n >= limit; limit *= 10) count++;
  return count;
}

@inline function writeInteger(out: usize, n: u32, length: u32): usize {
  const end = out + length;
  for (let at = end; at > out; n /= 10) {
    at--;
    store<u8>(at, <u8>(0x30 + n % 10));
  }
  return end;
}

/** Writes f32[length] as a JSON array. Returns its bytes; there is room for `jsonBytesMax(length)`. */
export function writeJson(out: usize, vector: usize, length: u32): usize {
  let at = out;
  for (const end = vector + (<usize>length << 2); vector < end; vector += 4) {
    store<u8>(at, 0x2c); // ,
    at = writeDecimal(at + 1, load<f32>(vector));
  }
  store<u8>(out, 0x5b); // [
  store<u8>(at, 0x5d); // ]
  return at + 1 - out;
}

export function jsonBytesMax(length: u32): u64 {
  return <u64>length * (DECIMAL_MAX + 1) + 16; // short numbers are written eight bytes at once
}
