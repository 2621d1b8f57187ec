// LEB128 integers: seven bits a byte, lowest first, the high bit set where another byte follows.

/** Where the last `readVarint` ended; 0 where it ran into `end` or past 32 bits. */
export let varintEnd: usize = 0;

/** Reads a u32 in from `at` < `end`. */
@inline export function readVarint(at: usize, end: usize): u32 {
  if (at < end) {
    const byte = <u32>load<u8>(at);
    if (byte < 0x80) {
      varintEnd = at + 1;
      return byte;
    }
  }
  return readLongVarint(at, end);
}

function readLongVarint(at: usize, end: usize): u32 {
  let value: u32 = 0;
  for (let shift: u32 = 0; shift < 35 && at < end; shift += 7) {
    const byte = <u32>load<u8>(at++);
    value |= (byte & 0x7f) << shift;
    if (byte < 0x80) {
      varintEnd = shift == 28 && byte > 0x0f ? 0 : at;
      return value;
    }
  }
  varintEnd = 0;
  return 0;
}

export const VARINT_BYTES_MAX: usize = 5;

/** Writes a u32 and returns the address behind it. */
@inline export function writeVarint(at: usize, value: u32): usize {
  while (value >= 0x80) {
    store<u8>(at++, value | 0x80);
    value >>= 7;
  }
  store<u8>(at++, value);
  return at;
}
