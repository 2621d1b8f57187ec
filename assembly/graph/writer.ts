// Writer of a GraphSegment (segment.ts): takes operations one by one, or those of other segments, and keeps the last word
// on each key. What it holds is bounded by what came in.
//
// Documents, 12 bytes each in the order of docOrds: u32 docOrd, u32 node that has the document's id, u32 end of its edges
// Derived edges, 24 bytes each, the documents' one after the other
//    0..4   u32  from
//    4..8   u32  type
//    8..12  u32  to
//   16..24  f64  weight
import { blobAddSection, blobBegin, blobFinish, blobHeaderBytes } from "../blob";
import { regionAlloc, regionCapacity, regionFree, regionReserve } from "../region";
import { mergeSort, SORT_KEY_OFFSET, SORT_VALUE_OFFSET, SORTED_BYTES } from "../text/merge-sort";
import { inputAddress, scratchRelease, scratchRetain, scratchTrim } from "../text/scratch";
import { compareBytes } from "../text/text-index";
import { inputEnd, inputFrom, inputTo, inputType, inputWeight, internInput } from "./edge-input";
import { isLiveDocument } from "./load";
import { entryAddress, entryLength, internName, isNamed, nameEntry, Names, NONE } from "./names";
import {
  DOCUMENT_BYTES, DOCUMENT_END_OFFSET, DOCUMENT_ID_OFFSET, DOCUMENT_ORD_OFFSET, documentAt, DOCUMENTS, DERIVED,
  EDGE_BYTES, EDGE_FROM_OFFSET, EDGE_TO_OFFSET, EDGE_TYPE_OFFSET, EDGE_TYPE_SHIFT, EDGE_WEIGHTED, EDGES,
  GraphSegment, ID_ENDS, IDS, META, META_BYTES, META_DELETED_EDGES_OFFSET, META_DELETED_NODES_OFFSET,
  META_DERIVED_COUNT_OFFSET, META_DOCUMENT_COUNT_OFFSET, META_EDGE_COUNT_OFFSET, META_ID_COUNT_OFFSET,
  META_NODE_COUNT_OFFSET, META_TYPE_COUNT_OFFSET, META_WEIGHT_COUNT_OFFSET, NODES,
  RECORD_ENDS, RECORDS, SECTION_COUNT, SEGMENT_MAGIC, SEGMENT_VERSION, TYPE_ENDS, TYPES, WEIGHTS,
} from "./segment";
import {
  addEdge, beginStore, findEdge, freeStore, fromOf, GraphStore, hasRecord, isEdgeDeleted, isNodeDeleted,
  markEdgeDeleted, markEdgeLive, markNodeDeleted, putRecord, recordAddress, recordLength, setWeight,
  STORE_BYTES, storeHeld, toOf, typeOf, weightOf,
} from "./store";
import {
  edgeFrom, edgeIsDeleted, edgeTo, edgeType, edgeWeight, nodeOfId, passEdges, readEdge, transferBegin, transferEnd,
  transferExplicit, transferNodes,
} from "./transfer";

const DERIVED_BYTES: usize = 24;
const DERIVED_FROM_OFFSET: usize = 0;
const DERIVED_TYPE_OFFSET: usize = 4;
const DERIVED_TO_OFFSET: usize = 8;
const DERIVED_WEIGHT_OFFSET: usize = 16;
const ARRAY_BYTES_FIRST: usize = 60_000;

/** Lives at the beginning of a region of its own, its store behind it. */
@unmanaged class GraphWriter {
  graph: GraphStore;
  documents: usize;
  documentCount: u32;
  derived: usize;
  derivedCount: u32;
  dropsDeleted: bool;
}

@inline function at(writer: usize): GraphWriter { return changetype<GraphWriter>(writer); }

/** An empty writer; 0 when memory is used up. */
export function graphWriterNew(): usize {
  const region = regionAlloc(offsetof<GraphWriter>() + STORE_BYTES);
  if (!region) return 0;
  at(region).graph = beginStore(region + offsetof<GraphWriter>());
  scratchRetain();
  return region;
}

export function graphWriterFree(writer: usize): void {
  freeStore(at(writer).graph);
  regionFree(at(writer).documents);
  regionFree(at(writer).derived);
  regionFree(writer);
  scratchRelease();
}

@inline function held(region: usize): usize { return region ? regionCapacity(region) : 0; }

/** Bytes of linear memory that the writer holds. */
export function graphWriterBytes(writer: usize): f64 {
  return <f64>regionCapacity(writer) + <f64>storeHeld(at(writer).graph) + <f64>held(at(writer).documents) +
    <f64>held(at(writer).derived);
}

/** Leaves tombstones out of what is sealed: there is no older segment for them to hide anything of. */
export function graphWriterDropDeleted(writer: usize): void {
  at(writer).dropsDeleted = true;
}

/** Whether a segment would hold nothing. */
export function graphWriterIsEmpty(writer: usize): bool {
  const graph = at(writer).graph;
  const deleted = at(writer).dropsDeleted ? 0 : graph.deletedNodes + graph.deletedEdges;
  return !graph.recordCount && !graph.explicitCount && !deleted && !at(writer).derivedCount;
}

// Operations. Ids, records and edges stand in the input. All are false when memory is used up, and then nothing is changed
// but that a name may be known.

export function graphWriterPutNode(writer: usize, idBytes: u32, recordBytes: u32): bool {
  const graph = at(writer).graph;
  const node = internName(graph.nodes, inputAddress(), idBytes);
  const isPut = node != NONE && putRecord(graph, node, inputAddress() + idBytes, recordBytes);
  scratchTrim();
  return isPut;
}

export function graphWriterDeleteNode(writer: usize, idBytes: u32): bool {
  const node = internName(at(writer).graph.nodes, inputAddress(), idBytes);
  if (node == NONE) return false;
  markNodeDeleted(at(writer).graph, node);
  return true;
}

/** Puts the explicit edge in the input, or deletes it. */
export function graphWriterSetEdge(writer: usize, isDeleted: bool): bool {
  const input = inputAddress();
  return internInput(at(writer).graph, input) &&
    setEdge(at(writer).graph, inputFrom, inputType, inputTo, inputWeight(input), isDeleted);
}

function setEdge(graph: GraphStore, from: u32, type: u32, to: u32, weight: f64, isDeleted: bool): bool {
  let edge = findEdge(graph, from, type, to);
  if (edge == NONE) edge = addEdge(graph, from, type, to, weight, NONE);
  if (edge == NONE) return false;
  if (isDeleted) {
    markEdgeDeleted(graph, edge);
  } else {
    markEdgeLive(graph, edge);
    setWeight(graph, edge, weight);
  }
  return true;
}

/** Adds `count` edges that are derived from a document; its id stands in the input, the edges behind it. docOrds ascend. */
export function graphWriterAddDocument(writer: usize, docOrd: u32, idBytes: u32, count: u32): bool {
  const all = at(writer);
  const node = internName(all.graph.nodes, inputAddress(), idBytes);
  if (node == NONE || !reserveDerived(all, count)) return false;
  const before = all.derivedCount;
  let input = inputAddress() + idBytes;
  for (let i: u32 = 0; i < count; i++) {
    if (!internInput(all.graph, input)) {
      all.derivedCount = before;
      return false;
    }
    putDerived(all, inputFrom, inputType, inputTo, inputWeight(input));
    input = inputEnd(input);
  }
  endDocument(all, docOrd, node);
  scratchTrim();
  return true;
}

/** Makes room for one more document and `count` derived edges. */
function reserveDerived(all: GraphWriter, count: u32): bool {
  const documents = grown(all.documents, all.documentCount, 1, DOCUMENT_BYTES);
  if (!documents) return false;
  all.documents = documents;
  const derived = grown(all.derived, all.derivedCount, count, DERIVED_BYTES);
  if (!derived) return false;
  all.derived = derived;
  return true;
}

/** The array, in a larger region where it has no room for `more` items; 0, the array being as it was, when memory is used
 *  up. */
function grown(array: usize, count: u32, more: u32, bytes: usize): usize {
  const wanted = (<u64>count + more) * bytes;
  if (array && wanted <= <u64>regionCapacity(array)) return array;
  const twice = max<u64>(max<u64>(wanted, <u64>held(array) << 1), <u64>ARRAY_BYTES_FIRST);
  if (twice > 0xffff_0000) return 0;
  const larger = regionReserve(<usize>twice);
  if (!larger) return 0;
  memory.copy(larger, array, <usize>count * bytes);
  regionFree(array);
  return larger;
}

function putDerived(all: GraphWriter, from: u32, type: u32, to: u32, weight: f64): void {
  const edge = all.derived + <usize>(all.derivedCount++) * DERIVED_BYTES;
  store<u32>(edge, from, DERIVED_FROM_OFFSET);
  store<u32>(edge, type, DERIVED_TYPE_OFFSET);
  store<u32>(edge, to, DERIVED_TO_OFFSET);
  store<f64>(edge, weight, DERIVED_WEIGHT_OFFSET);
}

function endDocument(all: GraphWriter, docOrd: u32, node: u32): void {
  const document = all.documents + <usize>(all.documentCount++) * DOCUMENT_BYTES;
  store<u32>(document, docOrd, DOCUMENT_ORD_OFFSET);
  store<u32>(document, node, DOCUMENT_ID_OFFSET);
  store<u32>(document, all.derivedCount, DOCUMENT_END_OFFSET);
}

/** Takes over what a segment says, newer than all before. Of its documents those in `live`, a DocSet: they become
 *  base + rank in it, past every document before. */
export function graphWriterAddSegment(writer: usize, segment: usize, live: usize, base: u32): bool {
  const all = at(writer);
  const from = changetype<GraphSegment>(segment);
  if (!transferBegin(from)) return false;
  const isIn = transferNodes(all.graph, from, markNodeDeleted) && transferExplicit(all.graph, from, takeEdge) &&
    addDocuments(all, from, live, base);
  transferEnd();
  return isIn;
}

function takeEdge(graph: GraphStore): bool {
  return setEdge(graph, edgeFrom, edgeType, edgeTo, edgeWeight, edgeIsDeleted);
}

function addDocuments(all: GraphWriter, segment: GraphSegment, live: usize, base: u32): bool {
  let i: u32 = 0;
  let docOrd: u32 = 0; // its rank is `rank`
  let rank: u32 = 0;
  for (let d: u32 = 0; d < segment.documentCount; d++) {
    const document = documentAt(segment, d);
    const end = load<u32>(document, DOCUMENT_END_OFFSET);
    for (const to = load<u32>(document, DOCUMENT_ORD_OFFSET); docOrd < to; docOrd++) {
      rank += <u32>isLiveDocument(live, docOrd);
    }
    if (!isLiveDocument(live, docOrd)) {
      passEdges(segment.derived, i, end);
      i = end;
      continue;
    }
    const node = nodeOfId(all.graph, segment, load<u32>(document, DOCUMENT_ID_OFFSET));
    if (node == NONE || !reserveDerived(all, end - i)) return false;
    for (; i < end; i++) {
      if (!readEdge(all.graph, segment, segment.derived, i)) return false;
      putDerived(all, edgeFrom, edgeType, edgeTo, edgeWeight);
    }
    endDocument(all, base + rank, node);
  }
  return true;
}

// Sealing. Names and edges are sorted as pairs (merge-sort.ts); `rank` of a name is its ordinal in the segment.

const USED: u32 = 1; // in the place of a rank, before there are any

let sealed: GraphWriter = changetype<GraphWriter>(0);
let nodeRanks: usize = 0; // u32[nodes.end]
let typeRanks: usize = 0; // u32[types.end]
let pairs: usize = 0; // of whatever is sorted
let spare: usize = 0;

@inline function rankOf(ranks: usize, ordinal: u32): u32 { return load<u32>(ranks + (<usize>ordinal << 2)); }
@inline function setRank(ranks: usize, ordinal: u32, rank: u32): void {
  store<u32>(ranks + (<usize>ordinal << 2), rank);
}
@inline function derivedAt(i: u32): usize { return sealed.derived + <usize>i * DERIVED_BYTES; }
@inline function documentOf(i: u32): usize { return sealed.documents + <usize>i * DOCUMENT_BYTES; }
@inline function valueOf(sorted: usize, i: u32): u32 {
  return load<u32>(sorted + <usize>i * SORTED_BYTES, SORT_VALUE_OFFSET);
}

/** What the writer holds as a new blob, a region of its own; 0 when memory is used up. The writer stays as it is. */
export function graphWriterSeal(writer: usize): usize {
  sealed = at(writer);
  const graph = sealed.graph;
  const most = max<u32>(max<u32>(graph.nodes.end, graph.types.end), graph.edgeEnd);
  const ranks = <u64>graph.nodes.end + graph.types.end;
  const bytes = (ranks << 2) + 32 + (<u64>most * SORTED_BYTES << 1);
  const region = bytes > 0xffff_0000 ? <usize>0 : regionAlloc(<usize>bytes);
  if (!region) return 0;
  nodeRanks = region;
  typeRanks = nodeRanks + (<usize>graph.nodes.end << 2);
  pairs = (typeRanks + (<usize>graph.types.end << 2) + 15) & ~15;
  spare = pairs + <usize>most * SORTED_BYTES;
  const blob = writeBlob();
  regionFree(region);
  return blob;
}

@inline function isNodeSealed(node: u32): bool {
  const graph = sealed.graph;
  return isNamed(graph.nodes, node) && (hasRecord(graph, node) || (!sealed.dropsDeleted && isNodeDeleted(graph, node)));
}
@inline function isEdgeSealed(edge: u32): bool {
  return !sealed.dropsDeleted || !isEdgeDeleted(sealed.graph, edge);
}

/** Marks the names that the segment needs. */
function markUsed(): void {
  const graph = sealed.graph;
  for (let node: u32 = 0; node < graph.nodes.end; node++) if (isNodeSealed(node)) setRank(nodeRanks, node, USED);
  for (let edge: u32 = 0; edge < graph.edgeEnd; edge++) {
    if (!isEdgeSealed(edge)) continue;
    setRank(nodeRanks, fromOf(graph, edge), USED);
    setRank(nodeRanks, toOf(graph, edge), USED);
    setRank(typeRanks, typeOf(graph, edge), USED);
  }
  for (let i: u32 = 0; i < sealed.documentCount; i++) {
    setRank(nodeRanks, load<u32>(documentOf(i), DOCUMENT_ID_OFFSET), USED);
  }
  for (let i: u32 = 0; i < sealed.derivedCount; i++) {
    setRank(nodeRanks, load<u32>(derivedAt(i), DERIVED_FROM_OFFSET), USED);
    setRank(nodeRanks, load<u32>(derivedAt(i), DERIVED_TO_OFFSET), USED);
    setRank(typeRanks, load<u32>(derivedAt(i), DERIVED_TYPE_OFFSET), USED);
  }
}

let sortedNames: Names = changetype<Names>(0);

/** The names that were marked, sorted; their number is `usedCount`, their bytes `usedBytes`. */
function sortNames(names: Names, ranks: usize): usize {
  usedCount = 0;
  usedBytes = 0;
  for (let ordinal: u32 = 0; ordinal < names.end; ordinal++) {
    if (rankOf(ranks, ordinal) != USED) continue;
    const entry = nameEntry(names, ordinal);
    const pair = pairs + <usize>(usedCount++) * SORTED_BYTES;
    store<u64>(pair, firstBytes(entryAddress(entry), entryLength(entry)), SORT_KEY_OFFSET);
    store<u32>(pair, ordinal, SORT_VALUE_OFFSET);
    usedBytes += entryLength(entry);
  }
  sortedNames = names;
  return mergeSort(pairs, spare, usedCount, areNamesInOrder);
}

let usedCount: u32 = 0;
let usedBytes: u64 = 0;

/** The first eight bytes, zeros where there are fewer, as a number of their order. */
function firstBytes(text: usize, length: u32): u64 {
  if (length >= 8) return bswap<u64>(load<u64>(text));
  let key: u64 = 0;
  for (let i: u32 = 0; i < 8; i++) key = key << 8 | (i < length ? <u64>load<u8>(text + i) : 0);
  return key;
}

function areNamesInOrder(a: usize, b: usize): bool {
  const entryA = nameEntry(sortedNames, <u32>a);
  const entryB = nameEntry(sortedNames, <u32>b);
  return compareBytes(entryAddress(entryA), entryLength(entryA), entryAddress(entryB), entryLength(entryB)) <= 0;
}

/** The explicit edges by from and type, those of both alike by to. */
function sortEdges(): usize {
  const graph = sealed.graph;
  usedCount = 0;
  for (let edge: u32 = 0; edge < graph.edgeEnd; edge++) {
    if (!isEdgeSealed(edge)) continue;
    const pair = pairs + <usize>(usedCount++) * SORTED_BYTES;
    const from = rankOf(nodeRanks, fromOf(graph, edge));
    store<u64>(pair, <u64>from << 32 | rankOf(typeRanks, typeOf(graph, edge)), SORT_KEY_OFFSET);
    store<u32>(pair, edge, SORT_VALUE_OFFSET);
  }
  return mergeSort(pairs, spare, usedCount, areEdgesInOrder);
}

function areEdgesInOrder(a: usize, b: usize): bool {
  return rankOf(nodeRanks, toOf(sealed.graph, <u32>a)) <= rankOf(nodeRanks, toOf(sealed.graph, <u32>b));
}

let blobAt: usize = 0;
let blobOffset: usize = 0; // where the next section begins

function endSection(id: u32, bytes: usize): void {
  blobOffset = blobAddSection(blobAt, id, blobOffset, bytes);
}

function writeBlob(): usize {
  markUsed();
  const graph = sealed.graph;
  // What there may be at most of each; names that are counted here may turn out not to be used.
  const nodes = <u64>graph.recordCount + graph.deletedNodes;
  const edges = <u64>graph.edgeEnd;
  let textBytes: u64 = 0;
  for (let node: u32 = 0; node < graph.nodes.end; node++) {
    if (rankOf(nodeRanks, node)) textBytes += entryLength(nameEntry(graph.nodes, node)) + 4;
    if (isNamed(graph.nodes, node) && hasRecord(graph, node)) textBytes += recordLength(graph, node);
  }
  for (let type: u32 = 0; type < graph.types.end; type++) {
    if (rankOf(typeRanks, type)) textBytes += entryLength(nameEntry(graph.types, type)) + 4;
  }
  const body = <u64>META_BYTES + 64 * SECTION_COUNT + textBytes + (nodes << 3) +
    (edges + sealed.derivedCount) * (EDGE_BYTES + 8) + <u64>sealed.documentCount * DOCUMENT_BYTES;
  const most = body + blobHeaderBytes(SECTION_COUNT, body);
  blobAt = most > 0xffff_0000 ? 0 : regionAlloc(<usize>most);
  if (!blobAt) return 0;
  blobBegin(blobAt, SEGMENT_MAGIC, 0, SEGMENT_VERSION);
  blobOffset = blobHeaderBytes(SECTION_COUNT, body);
  const meta = blobAt + blobOffset;
  endSection(META, META_BYTES);

  const ids = sortNames(graph.nodes, nodeRanks);
  store<u32>(meta, usedCount, META_ID_COUNT_OFFSET);
  writeNames(graph.nodes, ids, nodeRanks, ID_ENDS, IDS);
  writeNodes(meta, ids);
  const types = sortNames(graph.types, typeRanks);
  store<u32>(meta, usedCount, META_TYPE_COUNT_OFFSET);
  writeNames(graph.types, types, typeRanks, TYPE_ENDS, TYPES);
  writeEdges(meta);
  blobFinish(blobAt, blobOffset);
  return blobAt;
}

/** Writes sorted names, and notes their ranks. */
function writeNames(names: Names, sorted: usize, ranks: usize, endsSection: u32, textsSection: u32): void {
  const ends = blobAt + blobOffset;
  endSection(endsSection, <usize>usedCount << 2);
  const texts = blobAt + blobOffset;
  let text = texts;
  for (let rank: u32 = 0; rank < usedCount; rank++) {
    const name = valueOf(sorted, rank);
    const entry = nameEntry(names, name);
    memory.copy(text, entryAddress(entry), entryLength(entry));
    text += entryLength(entry);
    store<u32>(ends + (<usize>rank << 2), <u32>(text - texts));
    setRank(ranks, name, rank);
  }
  endSection(textsSection, text - texts);
}

/** Writes the nodes in the order of the sorted ids, which usedCount counts. */
function writeNodes(meta: usize, ids: usize): void {
  const graph = sealed.graph;
  const words = blobAt + blobOffset;
  let count: u32 = 0;
  let deletedCount: u32 = 0;
  for (let rank: u32 = 0; rank < usedCount; rank++) {
    const node = valueOf(ids, rank);
    if (!isNodeSealed(node)) continue;
    const isDeleted = isNodeDeleted(graph, node);
    deletedCount += <u32>isDeleted;
    store<u32>(words + (<usize>(count++) << 2), rank << 1 | <u32>isDeleted);
  }
  store<u32>(meta, count, META_NODE_COUNT_OFFSET);
  store<u32>(meta, deletedCount, META_DELETED_NODES_OFFSET);
  endSection(NODES, <usize>count << 2);

  const ends = blobAt + blobOffset;
  endSection(RECORD_ENDS, <usize>count << 2);
  const records = blobAt + blobOffset;
  let record = records;
  for (let i: u32 = 0; i < count; i++) {
    const word = load<u32>(words + (<usize>i << 2));
    const node = valueOf(ids, word >> 1);
    if (!(word & 1)) {
      memory.copy(record, recordAddress(graph, node), recordLength(graph, node));
      record += recordLength(graph, node);
    }
    store<u32>(ends + (<usize>i << 2), <u32>(record - records));
  }
  endSection(RECORDS, record - records);
}

function writeEdges(meta: usize): void {
  const graph = sealed.graph;
  const sorted = sortEdges();
  const edges = blobAt + blobOffset;
  let deletedCount: u32 = 0;
  for (let i: u32 = 0; i < usedCount; i++) {
    const edge = valueOf(sorted, i);
    const isDeleted = isEdgeDeleted(graph, edge);
    deletedCount += <u32>isDeleted;
    writeEdge(edges, i, fromOf(graph, edge), typeOf(graph, edge), toOf(graph, edge), weightOf(graph, edge), isDeleted);
  }
  store<u32>(meta, usedCount, META_EDGE_COUNT_OFFSET);
  store<u32>(meta, deletedCount, META_DELETED_EDGES_OFFSET);
  endSection(EDGES, <usize>usedCount * EDGE_BYTES);

  const documents = blobAt + blobOffset;
  for (let i: u32 = 0; i < sealed.documentCount; i++) {
    const from = documentOf(i);
    const to = documents + <usize>i * DOCUMENT_BYTES;
    store<u32>(to, load<u32>(from, DOCUMENT_ORD_OFFSET), DOCUMENT_ORD_OFFSET);
    store<u32>(to, rankOf(nodeRanks, load<u32>(from, DOCUMENT_ID_OFFSET)), DOCUMENT_ID_OFFSET);
    store<u32>(to, load<u32>(from, DOCUMENT_END_OFFSET), DOCUMENT_END_OFFSET);
  }
  store<u32>(meta, sealed.documentCount, META_DOCUMENT_COUNT_OFFSET);
  endSection(DOCUMENTS, <usize>sealed.documentCount * DOCUMENT_BYTES);

  const derived = blobAt + blobOffset;
  for (let i: u32 = 0; i < sealed.derivedCount; i++) {
    const edge = derivedAt(i);
    const type = load<u32>(edge, DERIVED_TYPE_OFFSET);
    const to = load<u32>(edge, DERIVED_TO_OFFSET);
    writeEdge(derived, i, load<u32>(edge, DERIVED_FROM_OFFSET), type, to, weightOfDerived(i), false);
  }
  store<u32>(meta, sealed.derivedCount, META_DERIVED_COUNT_OFFSET);
  endSection(DERIVED, <usize>sealed.derivedCount * EDGE_BYTES);

  const weights = blobAt + blobOffset;
  let weight = weights;
  for (let i: u32 = 0; i < usedCount; i++) weight = writeWeight(weight, weightOf(graph, valueOf(sorted, i)));
  for (let i: u32 = 0; i < sealed.derivedCount; i++) weight = writeWeight(weight, weightOfDerived(i));
  store<u32>(meta, <u32>((weight - weights) >> 3), META_WEIGHT_COUNT_OFFSET);
  endSection(WEIGHTS, weight - weights);
}

@inline function weightOfDerived(i: u32): f64 { return load<f64>(derivedAt(i), DERIVED_WEIGHT_OFFSET); }

/** Of a tombstone the weight is 1 (store.ts). */
function writeEdge(edges: usize, i: u32, from: u32, type: u32, to: u32, weight: f64, isDeleted: bool): void {
  const edge = edges + <usize>i * EDGE_BYTES;
  const flags = weight == 1 ? 0 : EDGE_WEIGHTED;
  store<u32>(edge, rankOf(nodeRanks, from), EDGE_FROM_OFFSET);
  store<u32>(edge, rankOf(typeRanks, type) << EDGE_TYPE_SHIFT | flags | <u32>isDeleted, EDGE_TYPE_OFFSET);
  store<u32>(edge, rankOf(nodeRanks, to), EDGE_TO_OFFSET);
}

function writeWeight(at: usize, weight: f64): usize {
  if (weight == 1) return at;
  store<f64>(at, weight);
  return at + 8;
}
