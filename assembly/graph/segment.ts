// GraphSegment: what the documents and the graph operations of one segment say of the graph, an immutable blob (blob.ts).
// Written by writer.ts, brought into a graph by load.ts. Older segments say more: the newest word on a key counts.
//
// Sections
//   META         u32 each, below
//   ID_ENDS      u32[ids]: where each id ends in IDS
//   IDS          ids of nodes and documents, UTF-8, ascending by their bytes; an id's place among them is its ordinal here
//   NODES        u32[nodes]: ordinal of the id * 2 + (deleted); ascending
//   RECORD_ENDS  u32[nodes]: where each node's record ends in RECORDS; that of a deleted one is empty
//   RECORDS      the nodes' records
//   TYPE_ENDS, TYPES   of edge types what ID_ENDS and IDS are of ids
//   EDGES        explicit edges, ascending by from, type, to: 12 bytes each
//                  u32 from, u32 type * 4 + (weighted) * 2 + (deleted), u32 to
//   DOCUMENTS    documents that edges are derived from, ascending: 12 bytes each
//                  u32 docOrd, u32 ordinal of its id, u32 end of its edges in DERIVED
//   DERIVED      their edges, as EDGES has them, but in each document's own order
//   WEIGHTS      f64: of the weighted edges of EDGES, then of DERIVED, in their order; all others weigh 1
import { section, sectionLength } from "../blob";
import { regionAlloc, regionFree } from "../region";
import { scratchRelease, scratchRetain } from "../text/scratch";
import { compareBytes } from "../text/text-index";
import { beginOutput, outputValues, putText } from "./output";
import { isUtf8 } from "./utf8";

export const SEGMENT_MAGIC: u32 = 0x47524750; // "PGRG"
export const SEGMENT_VERSION: u16 = 1;

export const META: u32 = 1;
export const ID_ENDS: u32 = 2;
export const IDS: u32 = 3;
export const NODES: u32 = 4;
export const RECORD_ENDS: u32 = 5;
export const RECORDS: u32 = 6;
export const TYPE_ENDS: u32 = 7;
export const TYPES: u32 = 8;
export const EDGES: u32 = 9;
export const DOCUMENTS: u32 = 10;
export const DERIVED: u32 = 11;
export const WEIGHTS: u32 = 12;
export const SECTION_COUNT: u32 = 12;

export const META_ID_COUNT_OFFSET: usize = 0;
export const META_TYPE_COUNT_OFFSET: usize = 4;
export const META_NODE_COUNT_OFFSET: usize = 8; // with those deleted
export const META_EDGE_COUNT_OFFSET: usize = 12; // with those deleted
export const META_DOCUMENT_COUNT_OFFSET: usize = 16;
export const META_DERIVED_COUNT_OFFSET: usize = 20;
export const META_WEIGHT_COUNT_OFFSET: usize = 24;
export const META_DELETED_NODES_OFFSET: usize = 28;
export const META_DELETED_EDGES_OFFSET: usize = 32;
export const META_BYTES: usize = 36;

export const EDGE_BYTES: usize = 12;
export const EDGE_FROM_OFFSET: usize = 0;
export const EDGE_TYPE_OFFSET: usize = 4;
export const EDGE_TO_OFFSET: usize = 8;
export const EDGE_DELETED: u32 = 1;
export const EDGE_WEIGHTED: u32 = 2;
export const EDGE_TYPE_SHIFT: u32 = 2;

export const DOCUMENT_BYTES: usize = 12;
export const DOCUMENT_ORD_OFFSET: usize = 0;
export const DOCUMENT_ID_OFFSET: usize = 4;
export const DOCUMENT_END_OFFSET: usize = 8;

/** Lives in a region of its own. */
@unmanaged export class GraphSegment {
  idCount: u32;
  typeCount: u32;
  nodeCount: u32;
  edgeCount: u32;
  documentCount: u32;
  derivedCount: u32;
  weightCount: u32;
  idEnds: usize;
  ids: usize;
  typeEnds: usize;
  types: usize;
  nodes: usize;
  recordEnds: usize;
  records: usize;
  edges: usize;
  documents: usize;
  derived: usize;
  weights: usize;
}

@inline function at(segment: usize): GraphSegment { return changetype<GraphSegment>(segment); }

/** Where piece number `i` begins, of pieces side by side that end at `ends`. */
@inline export function pieceBegin(ends: usize, i: u32): u32 { return i ? load<u32>(ends + (<usize>i << 2) - 4) : 0; }
@inline export function pieceEnd(ends: usize, i: u32): u32 { return load<u32>(ends + (<usize>i << 2)); }
@inline function pieceLength(ends: usize, i: u32): u32 { return pieceEnd(ends, i) - pieceBegin(ends, i); }

@inline export function nodeWord(segment: GraphSegment, i: u32): u32 {
  return load<u32>(segment.nodes + (<usize>i << 2));
}
@inline export function edgeAt(edges: usize, i: u32): usize { return edges + <usize>i * EDGE_BYTES; }
@inline export function documentAt(segment: GraphSegment, i: u32): usize {
  return segment.documents + <usize>i * DOCUMENT_BYTES;
}
@inline export function weightAt(segment: GraphSegment, i: u32): f64 {
  return load<f64>(segment.weights + (<usize>i << 3));
}

const SEGMENT_OUT_OF_MEMORY: usize = 0;
const SEGMENT_DAMAGED: usize = 1; // regions are aligned: no segment has this address

/** Opens a blob whose pages have all been checked: the segment, or why there is none. The blob stays the caller's, and
 *  longer than the segment. Whatever could lead a reader out of it, or round in it without end, is checked here;
 *  docOrds are below docCount. */
export function graphSegmentOpen(blob: usize, docCount: u32): usize {
  const meta = section(blob, META);
  if (!meta || sectionLength(blob, META) != META_BYTES) return SEGMENT_DAMAGED;
  const region = regionAlloc(offsetof<GraphSegment>());
  if (!region) return SEGMENT_OUT_OF_MEMORY;
  const segment = at(region);
  segment.idCount = load<u32>(meta, META_ID_COUNT_OFFSET);
  segment.typeCount = load<u32>(meta, META_TYPE_COUNT_OFFSET);
  segment.nodeCount = load<u32>(meta, META_NODE_COUNT_OFFSET);
  segment.edgeCount = load<u32>(meta, META_EDGE_COUNT_OFFSET);
  segment.documentCount = load<u32>(meta, META_DOCUMENT_COUNT_OFFSET);
  segment.derivedCount = load<u32>(meta, META_DERIVED_COUNT_OFFSET);
  segment.weightCount = load<u32>(meta, META_WEIGHT_COUNT_OFFSET);
  segment.idEnds = section(blob, ID_ENDS);
  segment.ids = section(blob, IDS);
  segment.typeEnds = section(blob, TYPE_ENDS);
  segment.types = section(blob, TYPES);
  segment.nodes = section(blob, NODES);
  segment.recordEnds = section(blob, RECORD_ENDS);
  segment.records = section(blob, RECORDS);
  segment.edges = section(blob, EDGES);
  segment.documents = section(blob, DOCUMENTS);
  segment.derived = section(blob, DERIVED);
  segment.weights = section(blob, WEIGHTS);
  if (areSectionsSound(blob, segment) && areNodesSound(segment, meta) && areEdgesSound(segment, meta) &&
      areDocumentsSound(segment, docCount)) {
    scratchRetain();
    return region;
  }
  regionFree(region);
  return SEGMENT_DAMAGED;
}

export function graphSegmentFree(segment: usize): void {
  regionFree(segment);
  scratchRelease();
}

function areSectionsSound(blob: usize, segment: GraphSegment): bool {
  return isLong(blob, ID_ENDS, segment.idCount, 4) && isLong(blob, TYPE_ENDS, segment.typeCount, 4) &&
    isLong(blob, NODES, segment.nodeCount, 4) && isLong(blob, RECORD_ENDS, segment.nodeCount, 4) &&
    isLong(blob, EDGES, segment.edgeCount, EDGE_BYTES) && isLong(blob, DERIVED, segment.derivedCount, EDGE_BYTES) &&
    isLong(blob, DOCUMENTS, segment.documentCount, DOCUMENT_BYTES) && isLong(blob, WEIGHTS, segment.weightCount, 8) &&
    arePieces(segment.idEnds, segment.idCount, sectionLength(blob, IDS)) &&
    arePieces(segment.typeEnds, segment.typeCount, sectionLength(blob, TYPES)) &&
    arePieces(segment.recordEnds, segment.nodeCount, sectionLength(blob, RECORDS)) &&
    areNames(segment.ids, segment.idEnds, segment.idCount) &&
    areNames(segment.types, segment.typeEnds, segment.typeCount);
}

@inline function isLong(blob: usize, id: u32, count: u32, bytes: usize): bool {
  return <u64>sectionLength(blob, id) == <u64>count * bytes;
}

/** Pieces follow each other and fill their section. */
function arePieces(ends: usize, count: u32, bytes: usize): bool {
  let before: u32 = 0;
  for (let i: u32 = 0; i < count; i++) {
    const end = pieceEnd(ends, i);
    if (end < before) return false;
    before = end;
  }
  return before == <u32>bytes;
}

/** UTF-8 all of them, and ascending: what brings a segment into a graph takes two names for two. */
function areNames(texts: usize, ends: usize, count: u32): bool {
  for (let i: u32 = 0; i < count; i++) {
    const text = texts + pieceBegin(ends, i);
    if (!isUtf8(text, texts + pieceEnd(ends, i))) return false;
    if (i && compareBytes(texts + pieceBegin(ends, i - 1), pieceLength(ends, i - 1), text, pieceLength(ends, i)) >= 0) {
      return false;
    }
  }
  return true;
}

function areNodesSound(segment: GraphSegment, meta: usize): bool {
  let deleted: u32 = 0;
  for (let i: u32 = 0; i < segment.nodeCount; i++) {
    const word = nodeWord(segment, i);
    if (word >> 1 >= segment.idCount) return false;
    if (!(word & 1)) continue;
    deleted++;
    if (pieceLength(segment.recordEnds, i)) return false;
  }
  return deleted == load<u32>(meta, META_DELETED_NODES_OFFSET);
}

let weighted: u32 = 0; // edges that areEdges met
let deleted: u32 = 0;

function areEdgesSound(segment: GraphSegment, meta: usize): bool {
  weighted = 0;
  deleted = 0;
  if (!areEdges(segment, segment.edges, segment.edgeCount)) return false;
  if (deleted != load<u32>(meta, META_DELETED_EDGES_OFFSET)) return false;
  if (!areEdges(segment, segment.derived, segment.derivedCount)) return false;
  if (deleted != load<u32>(meta, META_DELETED_EDGES_OFFSET) || weighted != segment.weightCount) return false;
  for (let i: u32 = 0; i < segment.weightCount; i++) {
    const weight = weightAt(segment, i);
    if (!(weight >= 0 && weight <= f64.MAX_VALUE)) return false;
  }
  return true;
}

function areEdges(segment: GraphSegment, edges: usize, count: u32): bool {
  for (let i: u32 = 0; i < count; i++) {
    const edge = edgeAt(edges, i);
    const word = load<u32>(edge, EDGE_TYPE_OFFSET);
    if (load<u32>(edge, EDGE_FROM_OFFSET) >= segment.idCount || load<u32>(edge, EDGE_TO_OFFSET) >= segment.idCount ||
        word >> EDGE_TYPE_SHIFT >= segment.typeCount) return false;
    if (word & EDGE_WEIGHTED) weighted++;
    if (!(word & EDGE_DELETED)) continue;
    if (word & EDGE_WEIGHTED) return false;
    deleted++;
  }
  return true;
}

function areDocumentsSound(segment: GraphSegment, docCount: u32): bool {
  let before: i64 = -1;
  let end: u32 = 0;
  for (let i: u32 = 0; i < segment.documentCount; i++) {
    const document = documentAt(segment, i);
    const docOrd = load<u32>(document, DOCUMENT_ORD_OFFSET);
    if (<i64>docOrd <= before || docOrd >= docCount || load<u32>(document, DOCUMENT_ID_OFFSET) >= segment.idCount ||
        load<u32>(document, DOCUMENT_END_OFFSET) < end) return false;
    before = <i64>docOrd;
    end = load<u32>(document, DOCUMENT_END_OFFSET);
  }
  return end == segment.derivedCount;
}

/** Whether all of a segment makes sense, beyond what keeps a reader inside it: nodes and edges are in their order, once. */
export function graphSegmentCheck(segment: usize): bool {
  const all = at(segment);
  for (let i: u32 = 1; i < all.nodeCount; i++) {
    if (nodeWord(all, i) >> 1 <= nodeWord(all, i - 1) >> 1) return false;
  }
  for (let i: u32 = 1; i < all.edgeCount; i++) {
    const a = edgeAt(all.edges, i - 1);
    const b = edgeAt(all.edges, i);
    const keyA = keyOf(a);
    const keyB = keyOf(b);
    if (keyA > keyB || (keyA == keyB && load<u32>(a, EDGE_TO_OFFSET) >= load<u32>(b, EDGE_TO_OFFSET))) return false;
  }
  return true;
}

@inline function keyOf(edge: usize): u64 {
  return <u64>load<u32>(edge, EDGE_FROM_OFFSET) << 32 | load<u32>(edge, EDGE_TYPE_OFFSET) >> EDGE_TYPE_SHIFT;
}

// Reading a few at a time, for exports

@inline function putId(segment: GraphSegment, id: u32): void {
  putText(segment.ids + pieceBegin(segment.idEnds, id), pieceLength(segment.idEnds, id));
}

/** Nodes from … to - 1: of each u32 address and u32 length of its record, address 0 where it is deleted, and its id as a
 *  text. 0 when memory is used up. */
export function graphSegmentNodes(segment: usize, from: u32, to: u32): usize {
  const all = at(segment);
  let textBytes: u64 = 0;
  for (let i = from; i < to; i++) textBytes += pieceLength(all.idEnds, nodeWord(all, i) >> 1);
  const output = beginOutput(<usize>(to - from) << 3, to - from, textBytes, to - from);
  if (!output) return 0;
  let value = outputValues(output);
  for (let i = from; i < to; i++) {
    const word = nodeWord(all, i);
    store<usize>(value, word & 1 ? 0 : all.records + pieceBegin(all.recordEnds, i));
    store<u32>(value, pieceLength(all.recordEnds, i), 4);
    value += 8;
    putId(all, word >> 1);
  }
  return output;
}

/** Edges from … to - 1 of EDGES, or of DERIVED, whose weights begin with number `weight`: f64 weights, then u32 each: 1,
 *  where it is deleted, 0; and of each the texts from, type, to. `total` of the output is the number of the weight that
 *  follows. 0 when memory is used up. */
export function graphSegmentEdges(segment: usize, derived: bool, from: u32, to: u32, weight: u32): usize {
  const all = at(segment);
  const edges = derived ? all.derived : all.edges;
  const count = to - from;
  let textBytes: u64 = 0;
  let weightEnd = weight;
  for (let i = from; i < to; i++) {
    const edge = edgeAt(edges, i);
    const word = load<u32>(edge, EDGE_TYPE_OFFSET);
    textBytes += pieceLength(all.idEnds, load<u32>(edge, EDGE_FROM_OFFSET));
    textBytes += pieceLength(all.typeEnds, word >> EDGE_TYPE_SHIFT);
    textBytes += pieceLength(all.idEnds, load<u32>(edge, EDGE_TO_OFFSET));
    weightEnd += <u32>((word & EDGE_WEIGHTED) != 0);
  }
  const output = beginOutput((<usize>count * 12 + 7) & ~7, count * 3, textBytes, weightEnd);
  if (!output) return 0;
  let value = outputValues(output);
  let deletion = value + (<usize>count << 3);
  for (let i = from; i < to; i++) {
    const edge = edgeAt(edges, i);
    const word = load<u32>(edge, EDGE_TYPE_OFFSET);
    store<f64>(value, word & EDGE_WEIGHTED ? weightAt(all, weight++) : 1);
    store<u32>(deletion, word & EDGE_DELETED);
    value += 8;
    deletion += 4;
    putId(all, load<u32>(edge, EDGE_FROM_OFFSET));
    const type = word >> EDGE_TYPE_SHIFT;
    putText(all.types + pieceBegin(all.typeEnds, type), pieceLength(all.typeEnds, type));
    putId(all, load<u32>(edge, EDGE_TO_OFFSET));
  }
  return output;
}

/** Documents from … to - 1: u32 docOrd and u32 end of its edges in DERIVED each, and its id as a text. 0 when memory is
 *  used up. */
export function graphSegmentDocuments(segment: usize, from: u32, to: u32): usize {
  const all = at(segment);
  let textBytes: u64 = 0;
  for (let i = from; i < to; i++) {
    textBytes += pieceLength(all.idEnds, load<u32>(documentAt(all, i), DOCUMENT_ID_OFFSET));
  }
  const output = beginOutput(<usize>(to - from) << 3, to - from, textBytes, to - from);
  if (!output) return 0;
  let value = outputValues(output);
  for (let i = from; i < to; i++) {
    const document = documentAt(all, i);
    store<u32>(value, load<u32>(document, DOCUMENT_ORD_OFFSET));
    store<u32>(value, load<u32>(document, DOCUMENT_END_OFFSET), 4);
    value += 8;
    putId(all, load<u32>(document, DOCUMENT_ID_OFFSET));
  }
  return output;
}

/** Weighted edges of EDGES: the number of the first weight of DERIVED. */
export function graphSegmentExplicitWeights(segment: usize): u32 {
  const all = at(segment);
  let weights: u32 = 0;
  for (let i: u32 = 0; i < all.edgeCount; i++) {
    weights += <u32>((load<u32>(edgeAt(all.edges, i), EDGE_TYPE_OFFSET) & EDGE_WEIGHTED) != 0);
  }
  return weights;
}
