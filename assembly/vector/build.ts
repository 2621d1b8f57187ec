// Building the graph, a vector at a time (arXiv:1603.09320, Alg. 1, 3 and 4). The same vectors in the same order give
// the same graph: levels come from ordinals, ties from the order of keys.
import { docSetAdd, docSetGrow, docSetNew } from "../doc-set";
import { regionAlloc, regionFree } from "../region";
import { dotExact } from "./distance";
import {
  COSINE, distanceArena, factorOf, hasGraph, LEVEL_MAX, linkArena, linkOffset, NONE, slotsAt, twinOf, VectorIndex,
  vectorRow,
} from "./layout";
import { distanceOfKey, EXPANDED, insertKey, keyAt, keyOf, ordinalOfKey, putKey } from "./pool";
import { anyNearer, descendTo, ensureBuildPool, measureBatch, measureOne, newEpoch, searchLevel, see } from "./search";

const FIRST_CAPACITY: u32 = 64;

/** A region of `bytes` with what `region` holds at its beginning; 0 when memory is used up, then `region` stays. */
function grown(region: usize, usedBytes: usize, bytes: u64): usize {
  if (bytes > <u64>0xffffffff) return 0;
  const next = regionAlloc(<usize>bytes);
  if (!next) return 0;
  memory.copy(next, region, usedBytes);
  regionFree(region);
  return next;
}

/** Makes every arena hold one vector more. False when memory is used up: the index stays as it is. */
export function ensureCapacity(index: VectorIndex): bool {
  const count = index.count;
  if (count < index.capacity) return true;
  const capacity = index.capacity ? count + (count >> 1) : max<u32>(FIRST_CAPACITY, index.expected);
  const used = <usize>count;
  const length = <u64>capacity;
  const linkBytes = <usize>index.m0 << 2;
  let next: usize;
  // An arena that has grown before another failed is larger than it need be, no more.
  if (!(next = grown(index.docOrds, used << 2, length << 2))) return false;
  index.docOrds = next;
  if (index.metric == COSINE) {
    if (!(next = grown(index.factors, used << 2, length << 2))) return false;
    index.factors = next;
  }
  if (hasGraph(index)) {
    if (!(next = grown(index.towers, used << 2, length << 2))) return false;
    index.towers = next;
    if (!(next = grown(index.twins, used << 2, length << 2))) return false;
    index.twins = next;
    if (!(next = grown(index.links, used * linkBytes, length * linkBytes))) return false;
    index.links = next;
    if (!(next = grown(index.linkDistances, used * linkBytes, length * linkBytes))) return false;
    index.linkDistances = next;
    if (!(next = grown(index.visited, 0, length << 1))) return false;
    index.visited = next;
    index.epoch = 0;
  }
  if (!(next = grown(index.vectors, used * index.rowBytes, length * index.rowBytes))) return false;
  index.vectors = next;
  index.capacity = capacity;
  return true;
}

export function ensureUpper(index: VectorIndex, rows: u32): bool {
  if (rows <= index.upperCapacity) return true;
  const capacity = max<u32>(FIRST_CAPACITY, rows + (rows >> 1));
  const rowBytes = <usize>index.m << 2;
  const used = <usize>index.upperCount * rowBytes;
  let next: usize;
  if (!(next = grown(index.upper, used, <u64>capacity * rowBytes))) return false;
  index.upper = next;
  if (!(next = grown(index.upperDistances, used, <u64>capacity * rowBytes))) return false;
  index.upperDistances = next;
  index.upperCapacity = capacity;
  return true;
}

export function ensurePresent(index: VectorIndex, docOrd: u32): bool {
  if (!index.present) index.present = docSetNew(docOrd + 1);
  if (!index.present) return false;
  const present = docSetGrow(index.present, docOrd + 1);
  if (!present) return false;
  index.present = present;
  return true;
}

/** Level of a vector: l with probability M⁻ˡ(1 − M⁻¹), out of its ordinal alone (splitmix64). */
function levelFor(index: VectorIndex, ordinal: u32): u32 {
  let z = (<u64>ordinal + 1) * 0x9e3779b97f4a7c15;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
  z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
  z ^= z >> 31;
  const m = <u64>index.m;
  let level: u32 = 0;
  for (let bound = u64.MAX_VALUE / m; z < bound && level < LEVEL_MAX; bound /= m) level++;
  return level;
}

export const ADDED: i32 = 0;
export const OUT_OF_MEMORY: i32 = 1;
export const NOT_FINITE: i32 = 2;

/** Address of the row for the next vector: f32[dimension] may be written there, what follows is 0. 0 when memory is
 *  used up. */
export function nextRow(index: VectorIndex): usize {
  return ensureCapacity(index) ? vectorRow(index, index.count) : 0;
}

/** Adds the vector that stands in the next row. docOrds ascend. */
export function addVector(index: VectorIndex, docOrd: u32): i32 {
  const ordinal = index.count;
  const row = vectorRow(index, ordinal);
  const squaredNorm = dotExact(row, row, index.rowBytes);
  if (!(squaredNorm < Infinity)) return NOT_FINITE; // finite f32 cannot get there in f64
  const level = hasGraph(index) ? levelFor(index, ordinal) : 0;
  if (!ensurePresent(index, docOrd)) return OUT_OF_MEMORY;
  if (hasGraph(index) && (!ensureUpper(index, index.upperCount + level) || !ensureBuildPool(index))) {
    return OUT_OF_MEMORY;
  }
  const at = <usize>ordinal << 2;
  if (index.metric == COSINE) {
    store<f32>(index.factors + at, squaredNorm > 0 ? <f32>min<f64>(1 / sqrt(squaredNorm), f32.MAX_VALUE) : 0);
  }
  store<u32>(index.docOrds + at, docOrd);
  docSetAdd(index.present, docOrd);
  index.count = ordinal + 1;
  if (!hasGraph(index)) return ADDED;
  store<u32>(index.twins + at, NONE);
  store<u32>(index.towers + at, 0);
  memory.fill(index.links + linkOffset(index, ordinal, 0), 0xff, <usize>index.m0 << 2);
  insert(index, ordinal, level);
  return ADDED;
}

function insert(index: VectorIndex, ordinal: u32, level: u32): void {
  const upperCount = index.upperCount;
  if (level) {
    const rowBytes = <usize>index.m << 2;
    memory.fill(index.upper + <usize>upperCount * rowBytes, 0xff, <usize>level * rowBytes);
    store<u32>(index.towers + (<usize>ordinal << 2), (upperCount << 4) | level);
    index.upperCount = upperCount + level;
  }
  if (ordinal) {
    const q = vectorRow(index, ordinal);
    const scale = factorOf(index, ordinal);
    const pool = index.pools;
    const top = min<u32>(level, index.topLevel);
    putKey(pool, 0, descendTo(index, q, scale, top));
    let count: u32 = 1;
    // Nobody is linked to the vector before level 0 has shown whether it has a twin.
    for (let levels = top + 1; levels > 0; levels--) {
      count = searchBuildLevel(index, q, scale, levels - 1, count);
      chooseLinks(index, ordinal, levels - 1, pool, count);
    }
    if (joinTwin(index, ordinal, q, scale, count)) {
      index.upperCount = upperCount;
      store<u32>(index.towers + (<usize>ordinal << 2), 0);
      memory.fill(index.links + linkOffset(index, ordinal, 0), 0xff, <usize>index.m0 << 2);
      return;
    }
    for (let at: u32 = 0; at <= top; at++) linkBack(index, ordinal, at);
    if (level <= index.topLevel) return;
  }
  index.entry = ordinal;
  index.topLevel = level;
}

/** Widens the pool's `count` keys, the nearest of the level above, to the nearest of this level. */
function searchBuildLevel(index: VectorIndex, q: usize, scale: f32, level: u32, count: u32): u32 {
  const pool = index.pools;
  const epoch = newEpoch(index);
  for (let i: u32 = 0; i < count; i++) {
    const key = keyAt(pool, i) & ~EXPANDED;
    putKey(pool, i, key);
    see(index, ordinalOfKey(key), epoch);
  }
  return searchLevel(index, q, scale, level, pool, count, index.efConstruction, epoch);
}

/** Where the pool holds a vector with the very same components, enters the new one behind it. */
function joinTwin(index: VectorIndex, ordinal: u32, q: usize, scale: f32, count: u32): bool {
  const pool = index.pools;
  const own = distanceOfKey(measureOne(index, q, scale, ordinal)); // and so the distance of a twin, to the bit
  for (let i: u32 = 0; i < count; i++) {
    const key = keyAt(pool, i);
    const distance = distanceOfKey(key);
    if (distance > own) break;
    const other = ordinalOfKey(key);
    if (distance == own && memory.compare(vectorRow(index, other), q, index.rowBytes) == 0) {
      const twins = index.twins;
      store<u32>(twins + (<usize>ordinal << 2), twinOf(index, other));
      store<u32>(twins + (<usize>other << 2), ordinal);
      return true;
    }
  }
  return false;
}

/** Chooses a vector's links at a level from ascending keys (Alg. 4): a candidate that is nearer to one already chosen
 *  is left out, so that links lead in different directions. Fills the row; the distances beside it too. */
export function chooseLinks(index: VectorIndex, ordinal: u32, level: u32, keys: usize, count: u32): void {
  const slots = slotsAt(index, level);
  const offset = linkOffset(index, ordinal, level);
  const links = linkArena(index, level) + offset;
  const linkDistances = distanceArena(index, level) + offset;
  const batch = index.batch; // the chosen
  let chosen: u32 = 0;
  for (let i: u32 = 0; i < count && chosen < slots; i++) {
    const key = keyAt(keys, i);
    const candidate = ordinalOfKey(key);
    const distance = distanceOfKey(key);
    if (anyNearer(index, vectorRow(index, candidate), factorOf(index, candidate), chosen, distance)) continue;
    const at = <usize>chosen << 2;
    store<u32>(batch + at, candidate);
    store<u32>(links + at, candidate);
    store<f32>(linkDistances + at, distance);
    chosen++;
  }
  memory.fill(links + (<usize>chosen << 2), 0xff, <usize>(slots - chosen) << 2);
}

/** Fills a vector's row at a level from ascending keys, no more than it has room for. */
export function writeLinks(index: VectorIndex, ordinal: u32, level: u32, keys: usize, count: u32): void {
  const offset = linkOffset(index, ordinal, level);
  const links = linkArena(index, level) + offset;
  const linkDistances = distanceArena(index, level) + offset;
  for (let i: u32 = 0; i < count; i++) {
    const key = keyAt(keys, i);
    store<u32>(links + (<usize>i << 2), ordinalOfKey(key));
    store<f32>(linkDistances + (<usize>i << 2), distanceOfKey(key));
  }
}

/** Enters the vector in the rows of all that it links to. */
function linkBack(index: VectorIndex, ordinal: u32, level: u32): void {
  const offset = linkOffset(index, ordinal, level);
  const links = linkArena(index, level) + offset;
  const linkDistances = distanceArena(index, level) + offset;
  const slots = slotsAt(index, level);
  for (let slot: u32 = 0; slot < slots; slot++) {
    const at = <usize>slot << 2;
    const other = load<u32>(links + at);
    if (other == NONE) break;
    addLink(index, other, level, ordinal, load<f32>(linkDistances + at));
  }
}

/** Adds one link to a row, which stays in the order of keys; a full row is chosen anew. */
export function addLink(index: VectorIndex, from: u32, level: u32, to: u32, distance: f32): void {
  const offset = linkOffset(index, from, level);
  const links = linkArena(index, level) + offset;
  const linkDistances = distanceArena(index, level) + offset;
  const slots = slotsAt(index, level);
  if (load<u32>(links + (<usize>(slots - 1) << 2)) == NONE) {
    let slot: u32 = 0;
    while (load<u32>(links + (<usize>slot << 2)) != NONE) slot++;
    const key = keyOf(distance, to);
    for (; slot > 0; slot--) {
      const before = <usize>(slot - 1) << 2;
      if (keyOf(load<f32>(linkDistances + before), load<u32>(links + before)) < key) break;
      const at = <usize>slot << 2;
      store<u32>(links + at, load<u32>(links + at - 4));
      store<f32>(linkDistances + at, load<f32>(linkDistances + at - 4));
    }
    store<u32>(links + (<usize>slot << 2), to);
    store<f32>(linkDistances + (<usize>slot << 2), distance);
    return;
  }
  const pool = index.pools;
  for (let slot: u32 = 0; slot < slots; slot++) {
    const at = <usize>slot << 2;
    putKey(pool, slot, keyOf(load<f32>(linkDistances + at), load<u32>(links + at)));
  }
  insertKey(pool, slots, slots + 1, keyOf(distance, to));
  chooseLinks(index, from, level, pool, slots + 1);
}
