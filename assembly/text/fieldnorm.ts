// Fieldnorm: the number of tokens of a field in one byte. Exact to 39, then four significant bits: Lucene's
// SmallFloat.intToByte4, so that scores are comparable with Lucene's.

const EXACT: u32 = 24; // 255 less the code of 2³¹ − 1: codes left over for exact values

export function fieldnorm(length: u32): u8 {
  if (length > 0x7fffffff) length = 0x7fffffff;
  if (length < EXACT) return <u8>length;
  const rest = length - EXACT;
  const bits = 32 - <u32>clz<u32>(rest);
  if (bits < 4) return <u8>(EXACT + rest);
  const shift = bits - 4;
  return <u8>(EXACT + (((rest >> shift) & 7) | ((shift + 1) << 3)));
}

/** The smallest length that has this fieldnorm. */
export function lengthOfFieldnorm(norm: u32): u32 {
  if (norm < EXACT) return norm;
  const code = norm - EXACT;
  const shift = code >> 3;
  return EXACT + (shift == 0 ? code & 7 : (((code & 7) | 8) << (shift - 1)));
}

/** f32[256]: the length that each fieldnorm stands for. */
export const LENGTHS: usize = fillLengths(memory.data(256 * 4, 16));

function fillLengths(lengths: usize): usize {
  for (let norm: u32 = 0; norm < 256; norm++) store<f32>(lengths + (<usize>norm << 2), <f32>lengthOfFieldnorm(norm));
  return lengths;
}
