// The vector index in memory: HNSW as in Malkov & Yashunin, arXiv:1603.09320, over rows of f32.
//
// A vector has an ordinal, its place in the order of insertion; docOrds ascend with it. Every arena is indexed by
// ordinal. The writer's arenas are regions that grow; a segment's are sections of its blob (segment.ts). Who searches
// sees no difference. A writer without a graph (m = 0) has vectors, factors and docOrds alone, and is scanned.
//
//   vectors    f32[count][rowBytes / 4]  the components as they came in, then zeros up to a multiple of LANES
//   factors    f32[count]     cosine only: 1 / norm, 0 for a vector of zeros. Kept beside the originals, which an
//                             export must give back bit for bit
//   docOrds    u32[count]     ascending
//   links      u32[count][M0] neighbours at level 0; NONE after the last
//   towers     u32[count]     first row in `upper` << 4 | highest level of the vector
//   upper      u32[…][M]      neighbours at levels 1, 2, …: a row a level; NONE after the last
//   twins      u32[count]     the next vector with the very same components, or NONE. Only the first of them is in the
//                             graph: a crowd of equal vectors would fill each other's links and be cut off from others
import { docSetFree } from "../doc-set";
import { regionAlloc, regionCapacity, regionFree } from "../region";
import { LANES } from "./distance";

export const COSINE: u32 = 0;
export const DOT: u32 = 1;
export const EUCLIDEAN: u32 = 2;

export const NONE: u32 = 0xffffffff;
export const M_MAX: u32 = 128;
export const LEVEL_MAX: u32 = 15;

/** Lives at the beginning of a region of its own; after it the query's row, then the batch. */
@unmanaged export class VectorIndex {
  dimension: u32;
  rowBytes: u32;
  metric: u32;
  m: u32;
  m0: u32;
  efConstruction: u32;
  count: u32;
  capacity: u32; // of the arenas that are indexed by ordinal; a writer's only
  expected: u32; // what capacity begins with
  entry: u32; // where every search begins, a vector of the highest level
  topLevel: u32;
  upperCount: u32; // rows in `upper`
  upperCapacity: u32;

  vectors: usize;
  factors: usize;
  docOrds: usize;
  links: usize;
  towers: usize;
  upper: usize;
  twins: usize;
  /** f32 beside each u32 of `links` and `upper`: the distances that pruning compares over and over; a writer's only. */
  linkDistances: usize;
  upperDistances: usize;

  places: usize; // extend.ts; while a segment's graph is taken over
  origins: usize;

  /** DocSet of the documents that have a vector. */
  present: usize;
  blob: usize; // a segment's bytes, which are not the index's to give back; 0 for a writer

  query: usize; // f32 row, as it came in
  unit: usize; // f32 row: the query over its norm
  batch: usize; // u32[2 * M_MAX + 4] ordinals whose distances are wanted
  distances: usize; // f32[2 * M_MAX + 4]
  visited: usize; // u16[capacity]: the epoch in which a vector was last seen
  epoch: u32;
  sink: u32; // keeps loads whose only purpose is that they happened
  pools: usize; // i64[poolsLength]: pool.ts; grows with ef and k
  poolsLength: u32;
  ranked: usize; // in `pools`: what the last search found
}

const BATCH_BYTES: usize = (2 * M_MAX + 4) * 4;

@inline export function rowBytesOf(dimension: u32): u32 {
  return ((dimension + LANES - 1) & ~(LANES - 1)) << 2;
}
@inline export function vectorRow(index: VectorIndex, ordinal: u32): usize {
  return index.vectors + <usize>ordinal * index.rowBytes;
}
@inline export function factorOf(index: VectorIndex, ordinal: u32): f32 {
  return index.metric == COSINE ? load<f32>(index.factors + (<usize>ordinal << 2)) : 1;
}
@inline export function docOrdOf(index: VectorIndex, ordinal: u32): u32 {
  return load<u32>(index.docOrds + (<usize>ordinal << 2));
}
@inline export function twinOf(index: VectorIndex, ordinal: u32): u32 {
  return load<u32>(index.twins + (<usize>ordinal << 2));
}
@inline export function towerOf(index: VectorIndex, ordinal: u32): u32 {
  return load<u32>(index.towers + (<usize>ordinal << 2));
}
@inline export function levelOf(tower: u32): u32 { return tower & LEVEL_MAX; }
@inline export function firstUpperRow(tower: u32): u32 { return tower >> 4; }

/** Links that a row of this level has room for. */
@inline export function slotsAt(index: VectorIndex, level: u32): u32 {
  return level ? index.m : index.m0;
}
/** Offset of a row of links in `links` or `upper`, and of its distances in the arena beside it. */
@inline export function linkOffset(index: VectorIndex, ordinal: u32, level: u32): usize {
  return level
    ? (<usize>(firstUpperRow(towerOf(index, ordinal)) + level - 1) * index.m) << 2
    : (<usize>ordinal * index.m0) << 2;
}
@inline export function linkArena(index: VectorIndex, level: u32): usize {
  return level ? index.upper : index.links;
}
@inline export function distanceArena(index: VectorIndex, level: u32): usize {
  return level ? index.upperDistances : index.linkDistances;
}

@inline export function hasGraph(index: VectorIndex): bool { return index.m != 0; }

/** A descriptor without vectors; null when memory is used up. */
export function newIndex(dimension: u32, metric: u32, m: u32, efConstruction: u32): usize {
  const rowBytes = rowBytesOf(dimension);
  const descriptor: usize = (offsetof<VectorIndex>() + 63) & ~63;
  const region = regionAlloc(descriptor + 2 * rowBytes + 2 * BATCH_BYTES);
  if (!region) return 0;
  const index = changetype<VectorIndex>(region);
  index.dimension = dimension;
  index.rowBytes = rowBytes;
  index.metric = metric;
  index.m = m;
  index.m0 = 2 * m;
  index.efConstruction = efConstruction;
  index.query = region + descriptor;
  index.unit = index.query + rowBytes;
  index.batch = index.unit + rowBytes;
  index.distances = index.batch + BATCH_BYTES;
  return region;
}

/** Gives back everything that the index holds. */
export function freeIndex(index: VectorIndex): void {
  if (!index.blob) {
    regionFree(index.vectors);
    regionFree(index.factors);
    regionFree(index.docOrds);
    regionFree(index.links);
    regionFree(index.towers);
    regionFree(index.upper);
    regionFree(index.twins);
    regionFree(index.linkDistances);
    regionFree(index.upperDistances);
  }
  regionFree(index.places);
  regionFree(index.origins);
  docSetFree(index.present);
  regionFree(index.visited);
  regionFree(index.pools);
  regionFree(changetype<usize>(index));
}

@inline function held(region: usize): usize { return region ? regionCapacity(region) : 0; }

/** Bytes of linear memory that a writer holds. */
export function writerBytes(index: VectorIndex): usize {
  return held(index.vectors) + held(index.factors) + held(index.docOrds) + held(index.links) + held(index.towers) +
    held(index.upper) + held(index.twins) + held(index.linkDistances) + held(index.upperDistances) +
    held(index.present) + held(index.places) + held(index.origins) +
    held(index.visited) + held(index.pools) + held(changetype<usize>(index));
}

/** Ordinal of a document's vector, NONE where it has none. */
export function ordinalOf(index: VectorIndex, docOrd: u32): u32 {
  let from: u32 = 0;
  let to = index.count;
  while (from < to) {
    const middle = from + ((to - from) >> 1);
    if (docOrdOf(index, middle) < docOrd) from = middle + 1;
    else to = middle;
  }
  return from < index.count && docOrdOf(index, from) == docOrd ? from : NONE;
}
