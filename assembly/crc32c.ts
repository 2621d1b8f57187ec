// CRC-32C (Castagnoli, RFC 3720 §12.1), eight bytes a step by eight tables ("slicing by 8", Kounavis & Berry, 2005).

const POLYNOMIAL: u32 = 0x82f63b78; // reflected

// table(k)[b]: the CRC of byte b followed by k zero bytes. Written once, when the module starts, and the same whoever
// writes it: a second instance over the same memory changes nothing.
const TABLE_BYTES: usize = 256 * sizeof<u32>();
const TABLES: usize = fillTables(memory.data(8 * 256 * 4, 16));

function fillTables(tables: usize): usize {
  for (let byte: u32 = 0; byte < 256; byte++) {
    let crc = byte;
    for (let bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ (crc & 1 ? POLYNOMIAL : 0);
    store<u32>(tables + (<usize>byte << 2), crc);
  }
  for (let k: usize = 1; k < 8; k++) {
    for (let byte: usize = 0; byte < 256; byte++) {
      const shorter = load<u32>(tables + (k - 1) * TABLE_BYTES + (byte << 2));
      store<u32>(tables + k * TABLE_BYTES + (byte << 2), (shorter >> 8) ^ load<u32>(tables + ((shorter & 0xff) << 2)));
    }
  }
  return tables;
}

@inline function entry(k: usize, byte: u32): u32 {
  return load<u32>(TABLES + (<usize>byte << 2) + k * TABLE_BYTES);
}

/** CRC-32C of `length` bytes at `address`. `seed` is the CRC of what came before, 0 at the beginning. */
export function crc32c(address: usize, length: usize, seed: u32): u32 {
  let crc = ~seed;
  while (length >= 8) {
    const low = load<u32>(address) ^ crc;
    const high = load<u32>(address, 4);
    crc =
      entry(7, low & 0xff) ^ entry(6, (low >> 8) & 0xff) ^ entry(5, (low >> 16) & 0xff) ^ entry(4, low >> 24) ^
      entry(3, high & 0xff) ^ entry(2, (high >> 8) & 0xff) ^ entry(1, (high >> 16) & 0xff) ^ entry(0, high >> 24);
    address += 8;
    length -= 8;
  }
  while (length) {
    crc = (crc >> 8) ^ entry(0, (crc ^ load<u8>(address)) & 0xff);
    address++;
    length--;
  }
  return ~crc;
}
