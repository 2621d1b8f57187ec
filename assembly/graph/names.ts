// Names: strings that were given ordinals, each once. Ids of nodes are one such table, edge types another.
//
// A name has an entry of 64 bytes; what its owner keeps of it stands behind the first 12.
//    0..4   u32    hash     of its bytes; of a free entry the next free one
//    4..8   usize  address  of its bytes in the heap, 0 where the entry is free
//    8..12  u32    length   in bytes
//   12..64         its owner's, zeros at first
//
// A hash table (open addressing, linear probing) leads from a name to its ordinal: u32 ordinal + 1 a slot, 0 where free.
import { regionAlloc, regionCapacity, regionFree, regionReserve } from "../region";
import { equalBytes } from "../text/text-index";
import { heapGive, heapTake } from "./heap";

export const NONE: u32 = 0xffffffff;

const ENTRY_BITS: usize = 6;
const HASH_OFFSET: usize = 0;
const ADDRESS_OFFSET: usize = 4;
const LENGTH_OFFSET: usize = 8;
const CAPACITY_FIRST: u32 = 1000; // about a page
const CAPACITY_MAX: u32 = 1 << 26;

/** Zeros at first. */
@unmanaged export class Names {
  heap: usize;
  entries: usize;
  capacity: u32;
  /** Ordinals are below it, those of free entries too. */
  end: u32;
  count: u32;
  firstFree: u32; // ordinal + 1
  slots: usize;
  mask: u32;
}

@inline export function nameEntry(names: Names, ordinal: u32): usize {
  return names.entries + (<usize>ordinal << ENTRY_BITS);
}
@inline export function entryAddress(entry: usize): usize { return load<usize>(entry, ADDRESS_OFFSET); }
@inline export function entryLength(entry: usize): u32 { return load<u32>(entry, LENGTH_OFFSET); }
@inline export function isNamed(names: Names, ordinal: u32): bool {
  return entryAddress(nameEntry(names, ordinal)) != 0;
}

function hashOf(name: usize, length: u32): u32 {
  let hash = <u64>length * 0x9e37_79b9_7f4a_7c15;
  let left = length;
  for (; left >= 8; left -= 8) {
    hash = mix(hash ^ load<u64>(name));
    name += 8;
  }
  let rest: u64 = 0;
  for (; left; left--) rest = rest << 8 | <u64>load<u8>(name++);
  hash = mix(hash ^ rest);
  return <u32>(hash ^ (hash >> 32));
}
@inline function mix(hash: u64): u64 {
  hash ^= hash >> 32;
  hash *= 0xd6e8_feb8_6659_fd93;
  return hash ^ (hash >> 29);
}

/** The ordinal of a name, NONE where it has none. */
export function findName(names: Names, name: usize, length: u32): u32 {
  if (!names.count) return NONE;
  return slotOf(names, name, length, hashOf(name, length));
}

@inline function slotOf(names: Names, name: usize, length: u32, hash: u32): u32 {
  const mask = names.mask;
  for (let slot = hash & mask; ; slot = (slot + 1) & mask) {
    const found = load<u32>(names.slots + (<usize>slot << 2));
    if (!found) return NONE;
    const entry = nameEntry(names, found - 1);
    if (load<u32>(entry, HASH_OFFSET) == hash && entryLength(entry) == length &&
        equalBytes(entryAddress(entry), name, length)) return found - 1;
  }
  return NONE;
}

/** The ordinal of a name, a new one where it had none; NONE when memory is used up. */
export function internName(names: Names, name: usize, length: u32): u32 {
  const hash = hashOf(name, length);
  if (names.count) {
    const found = slotOf(names, name, length, hash);
    if (found != NONE) return found;
  }
  if (!names.firstFree && names.end == names.capacity && !growEntries(names)) return NONE;
  if (names.count + 1 > names.mask - (names.mask >> 2) && !growSlots(names)) return NONE;
  const address = heapTake(names.heap, length);
  if (!address) return NONE;
  memory.copy(address, name, length);
  let ordinal = names.end;
  if (names.firstFree) {
    ordinal = names.firstFree - 1;
    names.firstFree = load<u32>(nameEntry(names, ordinal), HASH_OFFSET);
  } else {
    names.end++;
  }
  const entry = nameEntry(names, ordinal);
  memory.fill(entry, 0, 1 << ENTRY_BITS);
  store<u32>(entry, hash, HASH_OFFSET);
  store<usize>(entry, address, ADDRESS_OFFSET);
  store<u32>(entry, length, LENGTH_OFFSET);
  names.count++;
  place(names.slots, names.mask, hash, ordinal);
  return ordinal;
}

@inline function place(slots: usize, mask: u32, hash: u32, ordinal: u32): void {
  let slot = hash & mask;
  while (load<u32>(slots + (<usize>slot << 2))) slot = (slot + 1) & mask;
  store<u32>(slots + (<usize>slot << 2), ordinal + 1);
}

/** Forgets a name; its ordinal may become another's. */
export function removeName(names: Names, ordinal: u32): void {
  const entry = nameEntry(names, ordinal);
  const slots = names.slots;
  const mask = names.mask;
  let hole = load<u32>(entry, HASH_OFFSET) & mask;
  while (load<u32>(slots + (<usize>hole << 2)) != ordinal + 1) hole = (hole + 1) & mask;
  // What stands behind the hole moves up, unless that would bring it before its own place.
  for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
    const found = load<u32>(slots + (<usize>slot << 2));
    if (!found) break;
    const home = load<u32>(nameEntry(names, found - 1), HASH_OFFSET) & mask;
    if (((slot - home) & mask) < ((slot - hole) & mask)) continue;
    store<u32>(slots + (<usize>hole << 2), found);
    hole = slot;
  }
  store<u32>(slots + (<usize>hole << 2), 0);
  heapGive(names.heap, entryAddress(entry), entryLength(entry));
  store<usize>(entry, 0, ADDRESS_OFFSET);
  store<u32>(entry, names.firstFree, HASH_OFFSET);
  names.firstFree = ordinal + 1;
  names.count--;
}

/** Makes room for so many names more; false when memory is used up. */
export function reserveNames(names: Names, more: u32): bool {
  // Entries that are free are not counted: they may be few.
  while (<u64>names.end + more > names.capacity) if (!growEntries(names)) return false;
  while (<u64>names.count + more > <u64>(names.mask - (names.mask >> 2))) if (!growSlots(names)) return false;
  return true;
}

function growEntries(names: Names): bool {
  const capacity = names.capacity ? names.capacity << 1 : CAPACITY_FIRST;
  if (capacity > CAPACITY_MAX) return false;
  const grown = regionReserve(<usize>capacity << ENTRY_BITS);
  if (!grown) return false;
  memory.copy(grown, names.entries, <usize>names.end << ENTRY_BITS);
  regionFree(names.entries);
  names.entries = grown;
  names.capacity = <u32>(regionCapacity(grown) >> ENTRY_BITS);
  return true;
}

function growSlots(names: Names): bool {
  const mask = names.mask ? (names.mask << 1) | 1 : 8191;
  const slots = regionAlloc((<usize>mask + 1) << 2);
  if (!slots) return false;
  for (let ordinal: u32 = 0; ordinal < names.end; ordinal++) {
    if (isNamed(names, ordinal)) place(slots, mask, load<u32>(nameEntry(names, ordinal), HASH_OFFSET), ordinal);
  }
  regionFree(names.slots);
  names.slots = slots;
  names.mask = mask;
  return true;
}

/** Gives back what the table holds beside the heap. */
export function freeNames(names: Names): void {
  for (let ordinal: u32 = 0; ordinal < names.end; ordinal++) {
    const entry = nameEntry(names, ordinal);
    if (entryAddress(entry)) heapGive(names.heap, entryAddress(entry), entryLength(entry));
  }
  regionFree(names.entries);
  regionFree(names.slots);
}

/** Bytes of the table beside the heap. */
export function namesHeld(names: Names): usize {
  return (names.entries ? regionCapacity(names.entries) : 0) + (names.slots ? regionCapacity(names.slots) : 0);
}
