// Heap: blocks of any size out of regions, given back one by one; for ids, records and rows that come and go.
//
// A size is rounded up to a class, two a doubling: 16, 24, 32, 48 … 32,768 bytes. A block that is given back waits in the
// list of its class. What is larger is a region of its own.
//
//   0..4    usize  at      the rest of the newest chunk, from which blocks are cut
//   4..8    usize  end
//   8..12   usize  chunks  list of regions, the newest first
//  12..16   u32    held    bytes of all regions
//  16..     usize  free[CLASS_COUNT]  lists of blocks; the first four bytes of each lead to the next
import { regionCapacity, regionFree, regionReserve } from "../region";

const AT_OFFSET: usize = 0;
const END_OFFSET: usize = 4;
const CHUNKS_OFFSET: usize = 8;
const HELD_OFFSET: usize = 12;
const FREE_OFFSET: usize = 16;
const CLASS_COUNT: usize = 23;
const BLOCK_BYTES_MIN: usize = 16;
const BLOCK_BYTES_MAX: usize = 32_768;
const CHUNK_HEADER_BYTES: usize = 16;
const CHUNK_BYTES_MAX: usize = 1 << 20;

/** Bytes of a heap's own fields, which begin as zeros wherever its owner puts them. */
export const HEAP_BYTES: usize = FREE_OFFSET + CLASS_COUNT * 4;

@inline function classOf(bytes: usize): usize {
  if (bytes <= BLOCK_BYTES_MIN) return 0;
  const exponent = 31 - clz<u32>(<u32>bytes - 1);
  const doubling = <usize>(exponent - 4) << 1;
  return bytes <= <usize>3 << (exponent - 1) ? doubling + 1 : doubling + 2;
}
@inline function classBytes(sizeClass: usize): usize {
  return (sizeClass & 1 ? 24 : 16) << (sizeClass >> 1);
}

/** Bytes that a block of `bytes` has room for. */
@inline export function blockBytes(bytes: usize): usize {
  return bytes > BLOCK_BYTES_MAX ? bytes : classBytes(classOf(bytes));
}

/** A block that holds anything, aligned to 8 bytes; 0 when memory is used up. */
export function heapTake(heap: usize, bytes: usize): usize {
  if (bytes > BLOCK_BYTES_MAX) {
    const region = regionReserve(bytes);
    if (region) store<u32>(heap, load<u32>(heap, HELD_OFFSET) + <u32>regionCapacity(region), HELD_OFFSET);
    return region;
  }
  const sizeClass = classOf(bytes);
  const list = heap + FREE_OFFSET + (sizeClass << 2);
  const block = load<usize>(list);
  if (block) {
    store<usize>(list, load<usize>(block));
    return block;
  }
  const size = classBytes(sizeClass);
  let at = load<usize>(heap, AT_OFFSET);
  if (size > load<usize>(heap, END_OFFSET) - at) {
    at = addChunk(heap);
    if (!at) return 0;
  }
  store<usize>(heap, at + size, AT_OFFSET);
  return at;
}

/** Begins a new chunk and returns where its first block is; 0 when memory is used up. */
function addChunk(heap: usize): usize {
  const held = load<u32>(heap, HELD_OFFSET);
  const chunk = regionReserve(max<usize>(min<usize>(held >> 1, CHUNK_BYTES_MAX), BLOCK_BYTES_MAX + CHUNK_HEADER_BYTES));
  if (!chunk) return 0;
  const capacity = regionCapacity(chunk);
  store<usize>(chunk, load<usize>(heap, CHUNKS_OFFSET));
  store<usize>(heap, chunk, CHUNKS_OFFSET);
  store<usize>(heap, chunk + capacity, END_OFFSET);
  store<u32>(heap, held + <u32>capacity, HELD_OFFSET);
  return chunk + CHUNK_HEADER_BYTES;
}

/** Takes back a block of `bytes`, the number that it was taken with, or one of the same `blockBytes`. */
export function heapGive(heap: usize, block: usize, bytes: usize): void {
  if (bytes > BLOCK_BYTES_MAX) {
    store<u32>(heap, load<u32>(heap, HELD_OFFSET) - <u32>regionCapacity(block), HELD_OFFSET);
    regionFree(block);
    return;
  }
  const list = heap + FREE_OFFSET + (classOf(bytes) << 2);
  store<usize>(block, load<usize>(list));
  store<usize>(list, block);
}

/** Gives back the chunks. Blocks that are regions are their owners' to give back before. */
export function heapFree(heap: usize): void {
  let chunk = load<usize>(heap, CHUNKS_OFFSET);
  while (chunk) {
    const next = load<usize>(chunk);
    regionFree(chunk);
    chunk = next;
  }
}

export function heapHeld(heap: usize): u32 {
  return load<u32>(heap, HELD_OFFSET);
}
