// CRC-32C (Castagnoli, RFC 3720 section 12.1): the checksum of a frame in our own files.

const POLYNOMIAL = 0x82f63b78 // reflected

// Slicing by 8 [Kounavis & Berry 2005]: TABLES[k][b] is the CRC of byte b followed by k zero bytes, so that eight
// bytes go through eight independent look-ups instead of a chain of eight.
const TABLES: readonly Int32Array[] = Array.from({ length: 8 }, () => new Int32Array(256))
for (let byte = 0; byte < 256; byte++) {
  let crc = byte
  for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ POLYNOMIAL : crc >>> 1
  TABLES[0]![byte] = crc
}
for (let slice = 1; slice < 8; slice++) {
  for (let byte = 0; byte < 256; byte++) {
    const shorter = TABLES[slice - 1]![byte]!
    TABLES[slice]![byte] = (shorter >>> 8) ^ TABLES[0]![shorter & 0xff]!
  }
}
const [T0, T1, T2, T3, T4, T5, T6, T7] = TABLES as [
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
  Int32Array,
]

/** CRC-32C as a u32. `seed` is the CRC of the bytes before these, so that a long text can be given in pieces. */
export function crc32c(bytes: Uint8Array, seed = 0): number {
  let crc = ~seed
  let i = 0
  for (const end = bytes.length - 7; i < end; i += 8) {
    crc ^= bytes[i]! | (bytes[i + 1]! << 8) | (bytes[i + 2]! << 16) | (bytes[i + 3]! << 24)
    crc =
      T7[crc & 0xff]! ^
      T6[(crc >>> 8) & 0xff]! ^
      T5[(crc >>> 16) & 0xff]! ^
      T4[crc >>> 24]! ^
      T3[bytes[i + 4]!]! ^
      T2[bytes[i + 5]!]! ^
      T1[bytes[i + 6]!]! ^
      T0[bytes[i + 7]!]!
  }
  for (; i < bytes.length; i++) crc = (crc >>> 8) ^ T0[(crc ^ bytes[i]!) & 0xff]!
  return ~crc >>> 0
}
