// A Bloom filter in blocks of 64 bytes (Putze, Sanders, Singler, "Cache-, hash- and space-efficient Bloom filters", 2007):
// a term sets seven bits of one block, so that asking for it touches one cache line, and one page of a file. At ten bits a
// term about one in a hundred of those that are not in it seems to be (test/conformance/text-paging.test.ts: 1.0 %).
const BITS_A_TERM: u64 = 10;
const BLOCK_BITS: u64 = 512;
export const FILTER_BLOCK_BYTES: usize = 64;
const BITS_SET: u32 = 7; // ln 2 · 10, the best for ten bits a term

/** Bytes of a filter of so many terms. */
export function filterBytes(terms: u32): usize {
  return <usize>((<u64>terms * BITS_A_TERM + BLOCK_BITS - 1) / BLOCK_BITS) * FILTER_BLOCK_BYTES;
}

/** The block of a term in a filter that has any; filterHas and filterAdd go on with it. */
export function filterBlock(filter: usize, bytes: usize, term: usize, length: u32): usize {
  let hash = <u64>length * 0x9e37_79b9_7f4a_7c15;
  let left = length;
  for (; left >= 8; left -= 8, term += 8) hash = mix(hash ^ load<u64>(term));
  let rest: u64 = 0;
  for (let i: u32 = 0; i < left; i++) rest |= <u64>load<u8>(term + i) << (i << 3);
  hash = mix(hash ^ rest);
  bits = mix(hash ^ 0x9e37_79b9_7f4a_7c15);
  return filter + <usize>(((hash >> 32) * <u64>(bytes / FILTER_BLOCK_BYTES)) >> 32) * FILTER_BLOCK_BYTES;
}

let bits: u64 = 0; // seven times nine, of the term that filterBlock was asked for

export function filterHas(block: usize): bool {
  let left = bits;
  for (let i: u32 = 0; i < BITS_SET; i++, left >>= 9) {
    if (!((load<u64>(block + <usize>((left >> 3) & 56)) >> (left & 63)) & 1)) return false;
  }
  return true;
}

export function filterAdd(block: usize): void {
  let left = bits;
  for (let i: u32 = 0; i < BITS_SET; i++, left >>= 9) {
    const word = block + <usize>((left >> 3) & 56);
    store<u64>(word, load<u64>(word) | (<u64>1 << (left & 63)));
  }
}

/** Both halves of a product of 64 bits end up everywhere (the finalizer of MurmurHash3). */
@inline function mix(hash: u64): u64 {
  hash ^= hash >> 33;
  hash *= 0xff51_afd7_ed55_8ccd;
  hash ^= hash >> 33;
  hash *= 0xc4ce_b9fe_1a85_ec53;
  return hash ^ (hash >> 33);
}
