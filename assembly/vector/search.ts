// Search: down the levels to the nearest vector, then a beam over level 0 (arXiv:1603.09320, Alg. 2 and 5); or every
// accepted vector in turn, where that costs less. Either way the best are scored again, exactly.
import { DOC_SET_WORDS_OFFSET, docSetAndCount, docSetHas, docSetLength } from "../doc-set";
import { regionAlloc, regionFree } from "../region";
import { dot4, dotExact, l2Squared4, l2SquaredExact } from "./distance";
import {
  COSINE, DOT, docOrdOf, EUCLIDEAN, hasGraph, linkArena, linkOffset, M_MAX, NONE, slotsAt, twinOf, VectorIndex,
  vectorRow,
} from "./layout";
import { distanceOfKey, EXPANDED, insertKey, keyAt, keyOf, ordinalOfKey, putKey, sortKeys } from "./pool";

/** Distances of the row `q` to the four vectors whose ordinals stand at `ordinals`. `scale` is the query's own factor
 *  (layout.ts), `index` is passed in pieces to keep them in registers. */
@inline function measure4(
  vectors: usize, rowBytes: usize, metric: u32, factors: usize, q: usize, scales: v128, ordinals: usize,
): v128 {
  const a = <usize>load<u32>(ordinals);
  const b = <usize>load<u32>(ordinals, 4);
  const c = <usize>load<u32>(ordinals, 8);
  const d = <usize>load<u32>(ordinals, 12);
  const rowA = vectors + a * rowBytes;
  const rowB = vectors + b * rowBytes;
  const rowC = vectors + c * rowBytes;
  const rowD = vectors + d * rowBytes;
  if (metric == EUCLIDEAN) return l2Squared4(q, rowA, rowB, rowC, rowD, rowBytes);
  let dots = dot4(q, rowA, rowB, rowC, rowD, rowBytes);
  if (metric == COSINE) {
    let norms = v128.load32_zero(factors + (a << 2));
    norms = v128.load_lane<f32>(factors + (b << 2), norms, 1);
    norms = v128.load_lane<f32>(factors + (c << 2), norms, 2);
    norms = v128.load_lane<f32>(factors + (d << 2), norms, 3);
    dots = f32x4.mul(dots, f32x4.mul(norms, scales));
  }
  return f32x4.sub(f32x4.splat(0), dots); // 0 - x, never -0: equal distances have equal keys
}

/** Loads something of every cache line of the next four rows. WebAssembly has no prefetch, but a processor runs ahead:
 *  the lines come in while the four rows before them are measured. 1.2 × the queries a second at 384 dimensions. */
@inline function touchNext4(index: VectorIndex, vectors: usize, rowBytes: usize, ordinals: usize): void {
  const a = vectors + <usize>load<u32>(ordinals) * rowBytes;
  const b = vectors + <usize>load<u32>(ordinals, 4) * rowBytes;
  const c = vectors + <usize>load<u32>(ordinals, 8) * rowBytes;
  const d = vectors + <usize>load<u32>(ordinals, 12) * rowBytes;
  let sink: u32 = 0;
  for (let offset: usize = 0; offset < rowBytes; offset += 64) {
    sink ^= load<u32>(a + offset) ^ load<u32>(b + offset) ^ load<u32>(c + offset) ^ load<u32>(d + offset);
  }
  index.sink = sink;
}

/** Fills up the last group of four of the batch with its last vector; there is room for three more. */
@inline function fillUpBatch(end: usize): void {
  const last = load<u32>(end - 4);
  store<u32>(end, last);
  store<u32>(end, last, 4);
  store<u32>(end, last, 8);
}

/** Writes the distances of the row `q` to the first `count` ≥ 1 vectors of the batch to `index.distances`. */
export function measureBatch(index: VectorIndex, q: usize, scale: f32, count: u32): void {
  const vectors = index.vectors;
  const rowBytes = <usize>index.rowBytes;
  const metric = index.metric;
  const factors = index.factors;
  const scales = f32x4.splat(scale);
  let at = index.batch;
  let out = index.distances;
  const end = at + (<usize>count << 2);
  fillUpBatch(end);
  for (; at < end; at += 16) {
    if (at + 16 < end) touchNext4(index, vectors, rowBytes, at + 16);
    v128.store(out, measure4(vectors, rowBytes, metric, factors, q, scales, at));
    out += 16;
  }
}

/** Whether any of the first `count` vectors of the batch is nearer to the row `q` than `distance`. */
export function anyNearer(index: VectorIndex, q: usize, scale: f32, count: u32, distance: f32): bool {
  if (!count) return false;
  const vectors = index.vectors;
  const rowBytes = <usize>index.rowBytes;
  const metric = index.metric;
  const factors = index.factors;
  const scales = f32x4.splat(scale);
  const limit = f32x4.splat(distance);
  let at = index.batch;
  const end = at + (<usize>count << 2);
  fillUpBatch(end);
  for (; at < end; at += 16) {
    const near = f32x4.lt(measure4(vectors, rowBytes, metric, factors, q, scales, at), limit);
    if (v128.any_true(near)) return true;
  }
  return false;
}

/** Key of one vector. */
export function measureOne(index: VectorIndex, q: usize, scale: f32, ordinal: u32): i64 {
  store<u32>(index.batch, ordinal);
  measureBatch(index, q, scale, 1);
  return keyOf(load<f32>(index.distances), ordinal);
}

/** Begins a walk on which no vector has been seen yet. */
export function newEpoch(index: VectorIndex): u32 {
  let epoch = index.epoch + 1;
  if (epoch > 0xffff) {
    memory.fill(index.visited, 0, <usize>index.count << 1);
    epoch = 1;
  }
  index.epoch = epoch;
  return epoch;
}

@inline export function see(index: VectorIndex, ordinal: u32, epoch: u32): void {
  store<u16>(index.visited + (<usize>ordinal << 1), <u16>epoch);
}

/** Puts the neighbours of a vector that this walk has not seen into the batch, and marks them. Returns how many. Their
 *  rows are touched at once, see touchNext4. */
@inline function gather(index: VectorIndex, ordinal: u32, level: u32, epoch: u32): u32 {
  const visited = index.visited;
  const batch = index.batch;
  let at = linkArena(index, level) + linkOffset(index, ordinal, level);
  const end = at + (<usize>slotsAt(index, level) << 2);
  let count: usize = 0;
  let sink: u32 = 0;
  for (; at < end; at += 4) {
    const link = load<u32>(at);
    if (link == NONE) break;
    const mark = visited + (<usize>link << 1);
    store<u32>(batch + (count << 2), link);
    count += <usize>(<u32>load<u16>(mark) != epoch);
    store<u16>(mark, <u16>epoch);
    sink ^= load<u32>(vectorRow(index, link));
  }
  index.sink = sink;
  return <u32>count;
}

/** Walks one level, always to the best neighbour, until none is better. What was seen in this epoch, on the levels
 *  above too, was no better than `best`. */
function descend(index: VectorIndex, q: usize, scale: f32, best: i64, level: u32, epoch: u32): i64 {
  const batch = index.batch;
  const distances = index.distances;
  let before: i64;
  do {
    before = best;
    const found = gather(index, ordinalOfKey(best), level, epoch);
    if (!found) break;
    measureBatch(index, q, scale, found);
    for (let i: usize = 0; i < <usize>found; i++) {
      const key = keyOf(load<f32>(distances + (i << 2)), load<u32>(batch + (i << 2)));
      if (key < best) best = key;
    }
  } while (best < before);
  return best;
}

/** From the entry down to a vector near `q`, where to begin on `level`. */
export function descendTo(index: VectorIndex, q: usize, scale: f32, level: u32): i64 {
  const epoch = newEpoch(index);
  let best = measureOne(index, q, scale, index.entry);
  for (let above = index.topLevel; above > level; above--) best = descend(index, q, scale, best, above, epoch);
  return best;
}

/** A beam of `ef` over one level. The pool holds `count` keys to begin with, all of them seen in this epoch, and room
 *  for ef; it ends with the nearest that were found. Returns how many. */
export function searchLevel(
  index: VectorIndex, q: usize, scale: f32, level: u32, pool: usize, count: u32, ef: u32, epoch: u32,
): u32 {
  const batch = index.batch;
  const distances = index.distances;
  let worst = count == ef ? keyAt(pool, count - 1) : i64.MAX_VALUE;
  let next: u32 = 0;
  while (next < count) {
    const key = keyAt(pool, next);
    if (key & EXPANDED) {
      next++;
      continue;
    }
    putKey(pool, next, key | EXPANDED);
    next++;
    const found = gather(index, ordinalOfKey(key), level, epoch);
    if (!found) continue;
    measureBatch(index, q, scale, found);
    for (let i: usize = 0; i < <usize>found; i++) {
      const candidate = keyOf(load<f32>(distances + (i << 2)), load<u32>(batch + (i << 2)));
      if (candidate >= worst) continue;
      const place = insertKey(pool, count, ef, candidate);
      next = min<u32>(next, place);
      if (count < ef) count++;
      if (count == ef) worst = keyAt(pool, ef - 1);
    }
  }
  return count;
}

// A walk measures about WALK_PER_EF vectors for each that its beam holds, counted in vectors of a scan, which are
// cheaper: memory is read in order. Whichever costs less is done. Where both took the same time, this factor was, with
// filters at random, k = 10 and ef 100 and 200: 30 on 100,000 word vectors (100-d), 15 to 20 on 62,436 embeddings
// (384-d). So a scan begins below a share of sqrt(24 · ef / vectors): 15 to 28 % there. A scan besides is exact.
const WALK_PER_EF: u32 = 24;

@inline function isAccepted(index: VectorIndex, accept: usize, acceptLength: u32, ordinal: u32): bool {
  const docOrd = docOrdOf(index, ordinal);
  return docOrd < acceptLength && docSetHas(accept, docOrd);
}

/** Whether a vector, or another with the same components, is accepted. */
@inline function anyAccepted(index: VectorIndex, accept: usize, acceptLength: u32, ordinal: u32): bool {
  while (ordinal != NONE) {
    if (isAccepted(index, accept, acceptLength, ordinal)) return true;
    ordinal = twinOf(index, ordinal);
  }
  return false;
}

/** The walk where only some vectors count: all are walked over, `results` takes the accepted ones. Returns how many, or
 *  NONE where it gave up: when the pool is full of vectors that are nearer but not accepted, or `budget` vectors have
 *  been measured. */
function searchAccepted(
  index: VectorIndex, q: usize, pool: usize, poolCapacity: u32, results: usize, ef: u32, accept: usize,
  budget: u32, epoch: u32,
): u32 {
  const batch = index.batch;
  const distances = index.distances;
  const acceptLength = docSetLength(accept);
  let count: u32 = 1;
  let resultCount: u32 = 0;
  if (anyAccepted(index, accept, acceptLength, ordinalOfKey(keyAt(pool, 0)))) {
    putKey(results, 0, keyAt(pool, 0));
    resultCount = 1;
  }
  let measured: u32 = 0;
  let worst = resultCount == ef ? keyAt(results, 0) : i64.MAX_VALUE;
  let next: u32 = 0;
  while (next < count) {
    const key = keyAt(pool, next);
    if (key & EXPANDED) {
      next++;
      continue;
    }
    if (resultCount == ef && key > keyAt(results, ef - 1)) break;
    if (measured > budget) return NONE;
    putKey(pool, next, key | EXPANDED);
    next++;
    const found = gather(index, ordinalOfKey(key), 0, epoch);
    if (!found) continue;
    measureBatch(index, q, 1, found);
    measured += found;
    for (let i: usize = 0; i < <usize>found; i++) {
      const ordinal = load<u32>(batch + (i << 2));
      const candidate = keyOf(load<f32>(distances + (i << 2)), ordinal);
      if (candidate >= worst) continue;
      if (count == poolCapacity && resultCount < ef) return NONE;
      const place = insertKey(pool, count, poolCapacity, candidate);
      next = min<u32>(next, place);
      if (count < poolCapacity) count++;
      if (anyAccepted(index, accept, acceptLength, ordinal)) {
        insertKey(results, resultCount, ef, candidate);
        if (resultCount < ef) resultCount++;
      }
      if (resultCount == ef) worst = keyAt(results, ef - 1);
    }
  }
  return resultCount;
}

// A pool of more keys than this costs more to keep sorted than all keys cost to sort at the end.
const SCAN_POOL_MAX: u32 = 512;

/** Room for keys that a scan for the best `wanted` needs. */
@inline function scanCapacity(wanted: u32, accepted: u32): u32 {
  return wanted <= SCAN_POOL_MAX ? wanted : accepted;
}

const SCAN_BATCH: u32 = 2 * M_MAX;

/** Measures every accepted vector; `keys` takes the best `capacity` of them, ascending. Returns how many. */
function scan(index: VectorIndex, q: usize, keys: usize, capacity: u32, accept: usize): u32 {
  if (!accept && capacity <= SCAN_POOL_MAX) return scanAll(index, q, keys, capacity);
  const present = index.present;
  const batch = index.batch;
  const batchCapacity = SCAN_BATCH;
  let length = docSetLength(present);
  if (accept) length = min<u32>(length, docSetLength(accept));
  let count: u32 = 0;
  let batched: u32 = 0;
  let ordinal: u32 = 0; // of the first vector of the word
  for (let docOrd: u32 = 0; docOrd < length; docOrd += 64) {
    const offset = (<usize>docOrd >> 3) + DOC_SET_WORDS_OFFSET;
    const here = load<u64>(present + offset);
    let wanted = accept ? here & load<u64>(accept + offset) : here;
    while (wanted) {
      const below = (wanted & (0 - wanted)) - 1;
      store<u32>(batch + (<usize>batched << 2), ordinal + <u32>popcnt<u64>(here & below));
      batched++;
      wanted &= wanted - 1;
      if (batched == batchCapacity) {
        count = scanBatch(index, q, keys, count, capacity, batched);
        batched = 0;
      }
    }
    ordinal += <u32>popcnt<u64>(here);
  }
  if (batched) count = scanBatch(index, q, keys, count, capacity, batched);
  if (capacity > SCAN_POOL_MAX) sortKeys(keys, count);
  return count;
}

/** The same for all vectors, which lie one behind the other. */
function scanAll(index: VectorIndex, q: usize, keys: usize, capacity: u32): u32 {
  const rowBytes = <usize>index.rowBytes;
  const metric = index.metric;
  const batch = index.batch;
  const distances = index.distances;
  const whole = index.count & ~3;
  let row = index.vectors;
  let factors = index.factors;
  let count: u32 = 0;
  let limit = f32x4.splat(f32.NaN); // nothing is ≥ NaN
  for (let ordinal: u32 = 0; ordinal < whole; ordinal += 4) {
    const b = row + rowBytes;
    const c = b + rowBytes;
    const d = c + rowBytes;
    let near: v128;
    if (metric == EUCLIDEAN) {
      near = l2Squared4(q, row, b, c, d, rowBytes);
    } else {
      near = dot4(q, row, b, c, d, rowBytes);
      if (metric == COSINE) {
        near = f32x4.mul(near, v128.load(factors));
        factors += 16;
      }
      near = f32x4.sub(f32x4.splat(0), near);
    }
    row = d + rowBytes;
    if (i32x4.all_true(f32x4.ge(near, limit))) continue; // ordinals ascend: who is as far as the worst comes too late
    v128.store(distances, near);
    v128.store(batch, i32x4.add(i32x4.splat(ordinal), i32x4(0, 1, 2, 3)));
    count = takeBest(index, keys, count, capacity, 4);
    if (count == capacity) limit = f32x4.splat(distanceOfKey(keyAt(keys, capacity - 1)));
  }
  const rest = index.count - whole;
  for (let i: u32 = 0; i < rest; i++) store<u32>(batch + (<usize>i << 2), whole + i);
  return rest ? scanBatch(index, q, keys, count, capacity, rest) : count;
}

function scanBatch(index: VectorIndex, q: usize, keys: usize, count: u32, capacity: u32, batched: u32): u32 {
  measureBatch(index, q, 1, batched);
  if (capacity <= SCAN_POOL_MAX) return takeBest(index, keys, count, capacity, batched);
  for (let i: usize = 0; i < <usize>batched; i++) { // there is room for all
    putKey(keys, count, keyOf(load<f32>(index.distances + (i << 2)), load<u32>(index.batch + (i << 2))));
    count++;
  }
  return count;
}

/** Enters the first of the batch, whose distances are known, into a pool of the best. */
function takeBest(index: VectorIndex, keys: usize, count: u32, capacity: u32, batched: u32): u32 {
  let worst = count == capacity ? keyAt(keys, count - 1) : i64.MAX_VALUE;
  for (let i: usize = 0; i < <usize>batched; i++) {
    const candidate = keyOf(load<f32>(index.distances + (i << 2)), load<u32>(index.batch + (i << 2)));
    if (candidate >= worst) continue;
    insertKey(keys, count, capacity, candidate);
    if (count < capacity) count++;
    if (count == capacity) worst = keyAt(keys, capacity - 1);
  }
  return count;
}

/** Score as users know it: cosine similarity, inner product, or 1 / (1 + L2). Summed in f64, then rounded once.
 *  Never NaN: a vector of zeros has cosine 0 with everything. `squaredNorm` is that of `q`. */
export function exactScore(index: VectorIndex, q: usize, squaredNorm: f64, ordinal: u32): f32 {
  const row = vectorRow(index, ordinal);
  const bytes = <usize>index.rowBytes;
  const metric = index.metric;
  if (metric == EUCLIDEAN) return <f32>(1 / (1 + sqrt(l2SquaredExact(q, row, bytes))));
  const dot = dotExact(q, row, bytes);
  if (metric == DOT) return <f32>min<f64>(max<f64>(dot, -f32.MAX_VALUE), f32.MAX_VALUE);
  const norms = sqrt(squaredNorm * dotExact(row, row, bytes));
  return norms > 0 ? <f32>min<f64>(max<f64>(dot / norms, -1), 1) : 0;
}

/** The row to walk with: for cosine q / |q|, so that nothing overflows on the way; zeros stay zeros. */
function walkRow(index: VectorIndex, squaredNorm: f64): usize {
  const q = index.query;
  if (index.metric != COSINE || !(squaredNorm > 0)) return q;
  const unit = index.unit;
  const factor = 1 / sqrt(squaredNorm);
  for (let offset: usize = 0, end: usize = index.rowBytes; offset < end; offset += 4) {
    store<f32>(unit + offset, <f32>(<f64>load<f32>(q + offset) * factor));
  }
  return unit;
}

/** Makes `pools` hold `length` keys; what they were is lost. A search keeps there, one after the other, the walk's
 *  pool, the accepted results, and what it returns. */
export function ensurePools(index: VectorIndex, length: u64): bool {
  if (length <= <u64>index.poolsLength) return true;
  if (length > 1 << 28) return false;
  const pools = regionAlloc(<usize>length << 3);
  if (!pools) return false;
  regionFree(index.pools);
  index.pools = pools;
  index.poolsLength = <u32>length;
  return true;
}

/** Room for the keys of one search of the writer. */
export function ensureBuildPool(index: VectorIndex): bool {
  return ensurePools(index, max<u32>(index.efConstruction, index.m0 + 1));
}

// A few more candidates than wanted are scored exactly: f32 may have swapped neighbours in rank.
const RERANK_EXTRA: u32 = 8;

/** Where the last search left {docOrd u32, score f32} of each result, best first, ties by docOrd. */
@inline export function searchResults(index: VectorIndex): usize { return index.ranked; }

/** Finds the k best of the accepted vectors (`accept`: a DocSet, 0 for all) to the query in `index.query`. They are
 *  left at `searchResults`. Returns how many, min(k, accepted vectors), or -1 when memory is used up. */
export function searchVectors(index: VectorIndex, k: u32, ef: u32, accept: usize): i32 {
  const count = index.count;
  const accepted = accept ? docSetAndCount(index.present, accept) : count;
  k = min<u32>(k, accepted);
  if (!k) return 0;
  const wanted = min<u32>(k + RERANK_EXTRA, accepted);
  ef = min<u32>(max<u32>(ef, k), count);
  // A beam that is to hold ef accepted vectors passes ef · count / accepted, on the average.
  const passed = <u64>ef * count / accepted;
  const beam = <u32>min<u64>(passed + (passed >> 1) + ef, count);
  const walks = hasGraph(index) && passed * WALK_PER_EF < <u64>accepted;
  const resultCapacity = accept && walks ? ef : 0;
  const poolCapacity = max<u32>(walks ? (accept ? beam : ef) : 0, scanCapacity(wanted, accepted));
  if (!ensurePools(index, <u64>poolCapacity + resultCapacity + k)) return -1;
  const pool = index.pools;
  const results = pool + (<usize>poolCapacity << 3);
  const ranked = results + (<usize>resultCapacity << 3);
  index.ranked = ranked;

  const squaredNorm = dotExact(index.query, index.query, index.rowBytes);
  const q = walkRow(index, squaredNorm);
  let candidates = pool;
  let found: u32 = 0;
  if (walks) {
    const best = descendTo(index, q, 1, 0);
    const epoch = newEpoch(index);
    see(index, ordinalOfKey(best), epoch);
    putKey(pool, 0, best);
    if (accept && accepted < count) {
      found = searchAccepted(index, q, pool, poolCapacity, results, ef, accept, accepted, epoch);
      candidates = results;
    } else {
      found = searchLevel(index, q, 1, 0, pool, 1, ef, epoch);
      accept = 0;
    }
    // The walk may have been cut off, by its budget or because parts of the graph do not hang together.
    const ranks = found == NONE ? 0 : rank(index, squaredNorm, candidates, found, true, accept, ranked, k, wanted);
    if (ranks == k) return <i32>k;
  }
  found = scan(index, q, pool, scanCapacity(wanted, accepted), accept);
  return <i32>rank(index, squaredNorm, pool, found, false, accept, ranked, k, wanted);
}

/** Scores the first `wanted` of ascending keys exactly; `ranked` takes the k best of them. With `twins`, each key
 *  stands for all vectors with its components. Returns how many were ranked. */
function rank(
  index: VectorIndex, squaredNorm: f64, keys: usize, count: u32, twins: bool, accept: usize, ranked: usize, k: u32,
  wanted: u32,
): u32 {
  const acceptLength = accept ? docSetLength(accept) : 0;
  let ranks: u32 = 0;
  let seen: u32 = 0;
  for (let i: u32 = 0; i < count && seen < wanted; i++) {
    let ordinal = ordinalOfKey(keyAt(keys, i));
    const distance: f32 = <f32>0 - exactScore(index, index.query, squaredNorm, ordinal);
    do {
      if (!accept || isAccepted(index, accept, acceptLength, ordinal)) {
        seen++;
        const key = keyOf(distance, ordinal);
        if (ranks < k || key < keyAt(ranked, k - 1)) {
          insertKey(ranked, ranks, k, key);
          if (ranks < k) ranks++;
        }
      }
      ordinal = twins ? twinOf(index, ordinal) : NONE;
    } while (ordinal != NONE);
  }
  // In place, a key's 8 bytes become docOrd and score.
  for (let i: u32 = 0; i < ranks; i++) {
    const key = keyAt(ranked, i);
    const at = ranked + (<usize>i << 3);
    store<u32>(at, docOrdOf(index, ordinalOfKey(key)));
    store<f32>(at, <f32>0 - distanceOfKey(key), 4);
  }
  return ranks;
}
