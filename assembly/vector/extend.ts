// Beginning a writer with the graph of a segment, without the vectors that are dead.
//
// Links of a dead vector are repaired as in FreshDiskANN's delete consolidation (arXiv:2105.09613, Alg. 4): who was
// linked to it has the neighbours of its dead neighbours for candidates, and chooses by the heuristic of the builder.
// Unlike there the links that live all stay, and a new link is entered on its other side too, where there is room. On
// 10,000 embeddings (384-d) of which half are dead, recall@10 at ef 150 is .9933 by the algorithm as printed, .9977
// where links stay, .9993 with both, and .9990 in a graph built from scratch.
//
// Distances of links are no part of a segment: they are measured again, and come out the same, to the bit.
//
// A vector keeps its level. Where the first of equal vectors is dead, the oldest twin alive takes its place in the
// graph, links, level and all.
import { docSetAdd, docSetCount, docSetHas, docSetLength } from "../doc-set";
import { regionAlloc, regionFree } from "../region";
import { chooseLinks, ensureCapacity, ensurePresent, ensureUpper, linkBack, writeLinks } from "./build";
import {
  COSINE, distanceArena, docOrdOf, factorOf, freeIndex, levelOf, linkArena, linkOffset, newIndex, NONE, slotsAt,
  towerOf, twinOf, VectorIndex, vectorRow,
} from "./layout";
import { distanceOfKey, insertKey, keyAt, keyOf, ordinalOfKey, putKey, sortKeys } from "./pool";
import {
  anyNearer, descendTo, ensureBuildPool, ensurePools, measureBatch, measureOne, newEpoch, searchLevel, see,
} from "./search";

// What one extension works with, a region of u32:
//   places[vectors of the segment]  of a vector in the segment's graph: the new ordinal of who stands in its place,
//                                   NONE where nobody does. Of its twins: nothing that is read
//   origins[vectors of the writer]  of a vector in the new graph: the old ordinal of whose links it takes over, NONE
//                                   for twins
@inline function placeOf(index: VectorIndex, old: u32): u32 {
  return load<u32>(index.places + (<usize>old << 2));
}
@inline function originOf(index: VectorIndex, ordinal: u32): u32 {
  return load<u32>(index.origins + (<usize>ordinal << 2));
}

/** A writer with the living vectors of a segment, its graph still without links: `relink` all, then `enterNewLinks` of
 *  all, then `finish`. 0 when memory is used up. docOrds become ranks in `live`, `expected` is the writer's. */
export function beginFrom(segment: VectorIndex, live: usize, expected: u32): usize {
  const region = newIndex(segment.dimension, segment.metric, segment.m, segment.efConstruction);
  if (!region) return 0;
  const index = changetype<VectorIndex>(region);
  if (fill(index, segment, live, expected)) return region;
  freeIndex(index);
  return 0;
}

function fill(index: VectorIndex, segment: VectorIndex, live: usize, expected: u32): bool {
  const oldCount = segment.count;
  const places = regionAlloc(<usize>oldCount << 2);
  if (!places) return false;
  index.places = places;
  const count = rankLiving(segment, live, places);
  index.expected = max<u32>(expected, count);
  const origins = regionAlloc(<usize>count << 2);
  if (!origins) return false;
  index.origins = origins;
  if (!ensureCapacity(index) || !ensureUpper(index, segment.upperCount)) return false;
  const slots = <u64>index.m0;
  if (!ensurePools(index, slots * (slots + 1)) || !ensureBuildPool(index)) return false;
  if (!ensurePresent(index, docSetCount(live))) return false;

  let rank: u32 = 0;
  let docOrd: u32 = 0;
  for (let old: u32 = 0; old < oldCount; old++) {
    const ordinal = placeOf(index, old);
    if (ordinal == NONE) continue;
    for (const own = docOrdOf(segment, old); docOrd < own; docOrd++) rank += <u32>docSetHas(live, docOrd);
    copyVector(index, ordinal, segment, old);
    store<u32>(index.docOrds + (<usize>ordinal << 2), rank);
    docSetAdd(index.present, rank);
  }
  index.count = count;
  memory.fill(origins, 0xff, <usize>count << 2);
  takeOver(index, segment);
  raiseTowers(index, segment);
  return true;
}

/** Writes the new ordinal of each living vector to `places`, NONE for a dead one. Returns how many live. */
function rankLiving(segment: VectorIndex, live: usize, places: usize): u32 {
  const length = docSetLength(live);
  let count: u32 = 0;
  for (let old: u32 = 0; old < segment.count; old++) {
    const docOrd = docOrdOf(segment, old);
    const isLiving = docOrd < length && docSetHas(live, docOrd);
    store<u32>(places + (<usize>old << 2), isLiving ? count : NONE);
    count += <u32>isLiving;
  }
  return count;
}

function copyVector(index: VectorIndex, ordinal: u32, segment: VectorIndex, old: u32): void {
  const to = <usize>ordinal << 2;
  memory.copy(vectorRow(index, ordinal), vectorRow(segment, old), index.rowBytes);
  if (index.metric == COSINE) store<f32>(index.factors + to, factorOf(segment, old));
  store<u32>(index.twins + to, NONE);
  store<u32>(index.towers + to, 0);
  memory.fill(index.links + linkOffset(index, ordinal, 0), 0xff, <usize>index.m0 << 2);
}

/** Gives every place of the segment's graph to the oldest living vector with its components, and chains the others
 *  behind it in the order they had: the first, then from the newest to the second. */
function takeOver(index: VectorIndex, segment: VectorIndex): void {
  const oldCount = segment.count;
  const epoch = newEpoch(segment);
  for (let old: u32 = 0; old < oldCount; old++) {
    const twin = twinOf(segment, old);
    if (twin != NONE) see(segment, twin, epoch);
  }
  for (let first: u32 = 0; first < oldCount; first++) {
    if (<u32>load<u16>(segment.visited + (<usize>first << 1)) == epoch) continue; // behind another
    let heir = placeOf(index, first);
    if (heir == NONE) {
      for (let twin = twinOf(segment, first); twin != NONE; twin = twinOf(segment, twin)) {
        const ordinal = placeOf(index, twin);
        if (ordinal != NONE) heir = ordinal; // the last of them is the oldest
      }
      if (heir == NONE) continue;
      store<u32>(index.places + (<usize>first << 2), heir);
    }
    store<u32>(index.origins + (<usize>heir << 2), first);
    let last = heir;
    for (let twin = twinOf(segment, first); twin != NONE; twin = twinOf(segment, twin)) {
      const ordinal = placeOf(index, twin);
      if (ordinal == NONE || ordinal == heir) continue;
      store<u32>(index.twins + (<usize>last << 2), ordinal);
      last = ordinal;
    }
  }
}

/** Towers in the order of ordinals, and the entry: the old one where it lives, else the first of the highest level. */
function raiseTowers(index: VectorIndex, segment: VectorIndex): void {
  let rows: u32 = 0;
  let topLevel: u32 = 0;
  let entry: u32 = NONE;
  const oldEntry = segment.count ? placeOf(index, segment.entry) : NONE;
  for (let ordinal: u32 = 0; ordinal < index.count; ordinal++) {
    const origin = originOf(index, ordinal);
    if (origin == NONE) continue;
    const level = levelOf(towerOf(segment, origin));
    if (level) store<u32>(index.towers + (<usize>ordinal << 2), (rows << 4) | level);
    rows += level;
    if (entry == NONE || level > topLevel || ordinal == oldEntry) {
      entry = ordinal;
      topLevel = level;
    }
  }
  index.upperCount = rows;
  memory.fill(index.upper, 0xff, (<usize>rows * index.m) << 2);
  index.entry = entry == NONE ? 0 : entry;
  index.topLevel = topLevel;
}

/** Gives the vectors from … to - 1 the links of their origins, and others for those that led to dead vectors. */
export function relink(index: VectorIndex, segment: VectorIndex, from: u32, to: u32): void {
  for (let ordinal = from; ordinal < to; ordinal++) {
    const origin = originOf(index, ordinal);
    if (origin == NONE) continue;
    const level = levelOf(towerOf(index, ordinal));
    for (let at: u32 = 0; at <= level; at++) relinkAt(index, segment, ordinal, origin, at);
  }
}

function relinkAt(index: VectorIndex, segment: VectorIndex, ordinal: u32, origin: u32, level: u32): void {
  const pool = index.pools;
  const epoch = newEpoch(index);
  see(index, ordinal, epoch);
  const kept = gatherLiving(index, segment, ordinal, origin, level, epoch, 0);
  let count = kept;
  let at = linkArena(segment, level) + linkOffset(segment, origin, level);
  for (const end = at + (<usize>slotsAt(index, level) << 2); at < end; at += 4) {
    const neighbour = load<u32>(at);
    if (neighbour == NONE) break;
    if (placeOf(index, neighbour) != NONE) continue;
    count = gatherLiving(index, segment, ordinal, neighbour, level, epoch, count);
  }
  count = fillUp(index, level, kept, count);
  sortKeys(pool, count);
  writeLinks(index, ordinal, level, pool, count);
}

/** Of the keys in the pool the first `kept` are links; the others are candidates, which join them by the heuristic of
 *  `chooseLinks` as long as a row has room. Returns how many links there are then. */
function fillUp(index: VectorIndex, level: u32, kept: u32, count: u32): u32 {
  const pool = index.pools;
  const batch = index.batch;
  const slots = slotsAt(index, level);
  sortKeys(pool + (<usize>kept << 3), count - kept);
  for (let i: u32 = 0; i < kept; i++) store<u32>(batch + (<usize>i << 2), ordinalOfKey(keyAt(pool, i)));
  for (let i = kept; i < count && kept < slots; i++) {
    const key = keyAt(pool, i);
    const candidate = ordinalOfKey(key);
    if (anyNearer(index, vectorRow(index, candidate), factorOf(index, candidate), kept, distanceOfKey(key))) continue;
    store<u32>(batch + (<usize>kept << 2), candidate);
    putKey(pool, kept, key);
    kept++;
  }
  return kept;
}

/** Appends the keys of the living neighbours of `old`, as seen from `ordinal`, that this epoch has not seen. */
function gatherLiving(
  index: VectorIndex, segment: VectorIndex, ordinal: u32, old: u32, level: u32, epoch: u32, count: u32,
): u32 {
  const batch = index.batch;
  const distances = index.distances;
  let found: u32 = 0;
  let at = linkArena(segment, level) + linkOffset(segment, old, level);
  for (const end = at + (<usize>slotsAt(index, level) << 2); at < end; at += 4) {
    const link = load<u32>(at);
    if (link == NONE) break;
    const place = placeOf(index, link);
    if (place == NONE || <u32>load<u16>(index.visited + (<usize>place << 1)) == epoch) continue;
    see(index, place, epoch);
    store<u32>(batch + (<usize>found << 2), place);
    found++;
  }
  if (!found) return count;
  measureBatch(index, vectorRow(index, ordinal), factorOf(index, ordinal), found);
  for (let i: u32 = 0; i < found; i++) {
    const key = keyOf(load<f32>(distances + (<usize>i << 2)), load<u32>(batch + (<usize>i << 2)));
    putKey(index.pools, count + i, key);
  }
  return count + found;
}

/** Once all are relinked: the links that the vectors from … to - 1 did not have before lead back too. */
export function enterNewLinks(index: VectorIndex, segment: VectorIndex, from: u32, to: u32): void {
  for (let ordinal = from; ordinal < to; ordinal++) {
    const origin = originOf(index, ordinal);
    if (origin == NONE) continue;
    const level = levelOf(towerOf(index, ordinal));
    for (let at: u32 = 0; at <= level; at++) enterNewLinksAt(index, segment, ordinal, origin, at);
  }
}

function enterNewLinksAt(index: VectorIndex, segment: VectorIndex, ordinal: u32, origin: u32, level: u32): void {
  const rowBytes = <usize>slotsAt(index, level) << 2;
  const epoch = newEpoch(index);
  let isWhole = true;
  let old = linkArena(segment, level) + linkOffset(segment, origin, level);
  for (const end = old + rowBytes; old < end && load<u32>(old) != NONE; old += 4) {
    const place = placeOf(index, load<u32>(old));
    if (place == NONE) isWhole = false;
    else see(index, place, epoch);
  }
  if (isWhole) return;
  const offset = linkOffset(index, ordinal, level);
  const links = linkArena(index, level) + offset;
  const linkDistances = distanceArena(index, level) + offset;
  for (let slot: usize = 0; slot < rowBytes; slot += 4) {
    const other = load<u32>(links + slot);
    if (other == NONE) break;
    if (<u32>load<u16>(index.visited + (<usize>other << 1)) == epoch) continue;
    enterLink(index, other, level, keyOf(load<f32>(linkDistances + slot), ordinal));
  }
}

/** Puts a link into a row that does not have it yet and is not full. */
function enterLink(index: VectorIndex, ordinal: u32, level: u32, key: i64): void {
  const pool = index.pools;
  const slots = slotsAt(index, level);
  const offset = linkOffset(index, ordinal, level);
  const links = linkArena(index, level) + offset;
  const linkDistances = distanceArena(index, level) + offset;
  const to = ordinalOfKey(key);
  let count: u32 = 0;
  for (; count < slots; count++) {
    const link = load<u32>(links + (<usize>count << 2));
    if (link == to) return;
    if (link == NONE) break;
    putKey(pool, count, keyOf(load<f32>(linkDistances + (<usize>count << 2)), link));
  }
  if (count == slots) return;
  insertKey(pool, count, slots, key);
  writeLinks(index, ordinal, level, pool, count + 1);
}

/** At the end: whoever was left without links is inserted again. */
export function finish(index: VectorIndex): void {
  for (let ordinal: u32 = 0; ordinal < index.count; ordinal++) {
    if (originOf(index, ordinal) == NONE) continue;
    const level = levelOf(towerOf(index, ordinal));
    for (let at: u32 = 0; at <= level; at++) {
      if (load<u32>(linkArena(index, at) + linkOffset(index, ordinal, at)) == NONE) linkAnew(index, ordinal, at);
    }
  }
  regionFree(index.places);
  regionFree(index.origins);
  index.places = index.origins = 0;
}

/** Links a vector at a level where it has no links, if there is another vector. */
function linkAnew(index: VectorIndex, ordinal: u32, level: u32): void {
  const pool = index.pools;
  const q = vectorRow(index, ordinal);
  const scale = factorOf(index, ordinal);
  const isEntry = index.entry == ordinal;
  const start = isEntry ? anotherAt(index, ordinal, level) : ordinalOfKey(descendTo(index, q, scale, level));
  if (start == NONE || start == ordinal) return;
  putKey(pool, 0, measureOne(index, q, scale, start));
  const epoch = newEpoch(index);
  see(index, ordinal, epoch);
  see(index, start, epoch);
  const count = searchLevel(index, q, scale, level, pool, 1, index.efConstruction, epoch);
  chooseLinks(index, ordinal, level, pool, count);
  linkBack(index, ordinal, level);
}

/** The first other vector of the graph that reaches up to a level, NONE where there is none. */
function anotherAt(index: VectorIndex, ordinal: u32, level: u32): u32 {
  for (let other: u32 = 0; other < index.count; other++) {
    if (other == ordinal || originOf(index, other) == NONE) continue;
    if (levelOf(towerOf(index, other)) >= level) return other;
  }
  return NONE;
}
