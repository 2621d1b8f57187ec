// What the module exports of the vector index. An index is the address of its descriptor.
import { docSetAndCount } from "../doc-set";
import { jsonBytesMax, writeJson } from "./decimal";
import { dotExact } from "./distance";
import { addVector, nextRow } from "./build";
import { beginFrom, enterNewLinks, finish, insertLost, relink } from "./extend";
import {
  docOrdOf, freeIndex, M_MAX, newIndex, NONE, ordinalOf, VectorIndex, vectorRow, writerBytes,
} from "./layout";
import { ensurePools, exactScore, searchResults, searchVectors } from "./search";
import { isSound, open, seal } from "./segment";

@inline function at(index: usize): VectorIndex { return changetype<VectorIndex>(index); }

/** An empty writer; 0 when memory is used up. 2 ≤ m ≤ 128, so that a descent ends and a batch has room; or 0: without
 *  a graph. Memory for `expected` vectors is taken with the first. */
export function vectorWriterNew(dimension: u32, metric: u32, m: u32, efConstruction: u32, expected: u32): usize {
  assert(m == 0 || (m >= 2 && m <= M_MAX));
  const index = newIndex(dimension, metric, m, efConstruction);
  if (index) at(index).expected = expected;
  return index;
}

/** Where to write the next vector, f32[dimension]; 0 when memory is used up. */
export function vectorWriterRow(index: usize): usize {
  return nextRow(at(index));
}

/** Adds the vector written there: 0 done, 1 memory is used up, 2 a component is not finite. docOrds ascend. */
export function vectorWriterAdd(index: usize, docOrd: u32): i32 {
  return addVector(at(index), docOrd);
}

/** A writer that begins with the living vectors of a segment; 0 when memory is used up. Then vectorWriterRelink for all
 *  of them, vectorWriterEnterNewLinks and vectorWriterInsertLost for all, and vectorWriterExtended: it cannot be
 *  searched before. */
export function vectorWriterExtend(segment: usize, live: usize, expected: u32): usize {
  return beginFrom(at(segment), live, expected);
}

/** Gives the vectors from … to - 1 their links. */
export function vectorWriterRelink(index: usize, segment: usize, from: u32, to: u32): void {
  relink(at(index), at(segment), from, to);
}

/** Once all have theirs: the new ones among them lead back too. */
export function vectorWriterEnterNewLinks(index: usize, segment: usize, from: u32, to: u32): void {
  enterNewLinks(at(index), at(segment), from, to);
}

/** Then: who was left with few links is inserted again. */
export function vectorWriterInsertLost(index: usize, segment: usize, from: u32, to: u32): void {
  insertLost(at(index), at(segment), from, to);
}

export function vectorWriterExtended(index: usize): void {
  finish(at(index));
}

export function vectorWriterBytes(index: usize): usize {
  return writerBytes(at(index));
}

/** The writer's vectors as a new blob, a region of its own; 0 when memory is used up. */
export function vectorWriterSeal(index: usize): usize {
  return seal(at(index));
}

/** Opens a blob whose pages have all been checked: the index, 0 when memory is used up, 1 when the blob is damaged. The
 *  blob stays the caller's, and longer than the index. Its docOrds are below docCount. */
export function vectorSegmentOpen(blob: usize, docCount: u32): usize {
  return open(blob, docCount);
}

/** Whether all of a segment makes sense, beyond what keeps a search inside it. */
export function vectorSegmentCheck(index: usize): bool {
  return isSound(at(index));
}

export function vectorFree(index: usize): void {
  freeIndex(at(index));
}

export function vectorCount(index: usize): u32 {
  return at(index).count;
}

export function vectorDimension(index: usize): u32 {
  return at(index).dimension;
}

export function vectorMetric(index: usize): u32 {
  return at(index).metric;
}

/** How many of the documents in `accept` have a vector. */
export function vectorCountAccepted(index: usize, accept: usize): u32 {
  return docSetAndCount(at(index).present, accept);
}

/** Where to write a query, f32[dimension]. */
export function vectorQuery(index: usize): usize {
  return at(index).query;
}

/** The k best for the query; `accept` is a DocSet, or 0. Returns how many, -1 when memory is used up. */
export function vectorSearch(index: usize, k: u32, ef: u32, accept: usize): i32 {
  return searchVectors(at(index), k, ef, accept);
}

/** What vectorSearch found: {docOrd u32, score f32} each. */
export function vectorResults(index: usize): usize {
  return searchResults(at(index));
}

/** Turns `count` docOrds (u32) at `docOrds` into scores (f32) for the query; NaN where a document has no vector. */
export function vectorScores(index: usize, docOrds: usize, count: u32): void {
  const query = at(index).query;
  const squaredNorm = dotExact(query, query, at(index).rowBytes);
  for (const end = docOrds + (<usize>count << 2); docOrds < end; docOrds += 4) {
    const ordinal = ordinalOf(at(index), load<u32>(docOrds));
    store<f32>(docOrds, ordinal == NONE ? f32.NaN : exactScore(at(index), query, squaredNorm, ordinal));
  }
}

/** Where the components of a document's vector are, 0 where it has none. */
export function vectorOf(index: usize, docOrd: u32): usize {
  const ordinal = ordinalOf(at(index), docOrd);
  return ordinal == NONE ? 0 : vectorRow(at(index), ordinal);
}

/** Writes a document's vector as a JSON array to `vectorJsonText`. Returns its bytes, 0 where the document has no
 *  vector, -1 when memory is used up. */
export function vectorJson(index: usize, docOrd: u32): i32 {
  const row = vectorOf(index, docOrd);
  if (!row) return 0;
  const dimension = at(index).dimension;
  if (!ensurePools(at(index), (jsonBytesMax(dimension) >> 3) + 1)) return -1;
  return <i32>writeJson(at(index).pools, row, dimension);
}

/** Writes the f32[dimension] at `row` as a JSON array to `out`, where there is room for vectorRowJsonMax bytes. Returns
 *  its bytes. */
export function vectorRowJson(row: usize, dimension: u32, out: usize): usize {
  return writeJson(out, row, dimension);
}

export function vectorRowJsonMax(dimension: u32): usize {
  return <usize>jsonBytesMax(dimension);
}

/** Where vectorJson left its text; another call overwrites it. */
export function vectorJsonText(index: usize): usize {
  return at(index).pools;
}
