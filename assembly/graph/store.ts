// What a graph (graph.ts) keeps, a writer of a segment (writer.ts) too: nodes and edge types by name, records, edges.
//
// An explicit edge is known by (from, type, to), of which there is one; a hash table leads to it (open addressing,
// linear probing): {u32 hash, u32 ordinal + 1} a slot, 0 where free. A derived edge belongs to the document that it
// came from, its owner.
//
// Edge, 32 bytes
//    0..4   u32  from    ordinals of nodes
//    4..8   u32  to
//    8..16  f64  weight  finite, not below 0
//   16..20  u32  type    ordinal of its name
//   20..24  u32  owner   node that has the name of the document; NONE: the edge is explicit
//   24..28  u32  next    edge of the same owner, or the next free entry; ordinal + 1, 0 at the end
//   28..32  u32  state   LIVE, DELETED or neither, and how many rows (rows.ts) have it: 0, 1 or 2
import { regionAlloc, regionCapacity, regionFree, regionReserve } from "../region";
import { heapFree, heapGive, heapHeld, heapTake, HEAP_BYTES } from "./heap";
import { freeNames, isNamed, nameEntry, Names, namesHeld, NONE, reserveNames } from "./names";

// The owner's part of a node's entry (names.ts). Rows are rows.ts's.
const RECORD_OFFSET: usize = 12; // address, 0: none, DELETED_RECORD: a writer's node that was deleted
const RECORD_LENGTH_OFFSET: usize = 16;
export const OWNED_OFFSET: usize = 20; // first edge of the document with that name, ordinal + 1
export const OUT_ROW_OFFSET: usize = 24;
export const IN_ROW_OFFSET: usize = 44; // up to 64, which is all

// And of an edge type's.
export const TYPE_EDGES_OFFSET: usize = 12; // how many it has that live
export const TYPE_WANTED_OFFSET: usize = 16; // the last filter that named it

export const EDGE_BYTES: usize = 32;
const FROM_OFFSET: usize = 0;
const TO_OFFSET: usize = 4;
const WEIGHT_OFFSET: usize = 8;
const TYPE_OFFSET: usize = 16;
const OWNER_OFFSET: usize = 20;
const NEXT_OFFSET: usize = 24;
const STATE_OFFSET: usize = 28;
const LIVE: u32 = 4;
const DELETED: u32 = 8;
const ROWS_MASK: u32 = 3;

const DELETED_RECORD: usize = 1;
const EDGES_FIRST: u32 = 2000;
const SLOTS_FIRST: u32 = 4096;
const SLOT_EDGE_OFFSET: usize = 4;

@unmanaged export class GraphStore {
  nodes: Names;
  types: Names;
  heap: usize;
  edges: usize;
  edgeCapacity: u32;
  edgeEnd: u32; // ordinals are below it, those of free entries too
  firstFreeEdge: u32; // ordinal + 1
  slots: usize;
  slotMask: u32;
  slotCount: u32;
  recordCount: u32;
  explicitCount: u32; // that live
  derivedCount: u32;
  deletedNodes: u32; // a writer's tombstones
  deletedEdges: u32;
}

/** Bytes of a store's fields with those of its tables and its heap. */
export const STORE_BYTES: usize = offsetof<GraphStore>() + 2 * offsetof<Names>() + HEAP_BYTES;

/** Begins a store in zeroed memory. */
export function beginStore(at: usize): GraphStore {
  const graph = changetype<GraphStore>(at);
  graph.nodes = changetype<Names>(at + offsetof<GraphStore>());
  graph.types = changetype<Names>(at + offsetof<GraphStore>() + offsetof<Names>());
  graph.heap = at + offsetof<GraphStore>() + 2 * offsetof<Names>();
  graph.nodes.heap = graph.heap;
  graph.types.heap = graph.heap;
  return graph;
}

/** Gives back everything but the store's own fields. */
export function freeStore(graph: GraphStore): void {
  for (let node: u32 = 0; node < graph.nodes.end; node++) {
    if (isNamed(graph.nodes, node)) clearRecord(graph, node);
  }
  freeNames(graph.nodes);
  freeNames(graph.types);
  regionFree(graph.edges);
  regionFree(graph.slots);
  heapFree(graph.heap);
}

/** Bytes that the store holds beside its own fields. */
export function storeHeld(graph: GraphStore): usize {
  return <usize>heapHeld(graph.heap) + namesHeld(graph.nodes) + namesHeld(graph.types) +
    (graph.edges ? regionCapacity(graph.edges) : 0) + (graph.slots ? regionCapacity(graph.slots) : 0);
}

// Nodes and types

@inline export function nodeEntry(graph: GraphStore, node: u32): usize { return nameEntry(graph.nodes, node); }
@inline export function typeEntry(graph: GraphStore, type: u32): usize { return nameEntry(graph.types, type); }

@inline export function hasRecord(graph: GraphStore, node: u32): bool {
  return load<usize>(nodeEntry(graph, node), RECORD_OFFSET) > DELETED_RECORD;
}
@inline export function isNodeDeleted(graph: GraphStore, node: u32): bool {
  return load<usize>(nodeEntry(graph, node), RECORD_OFFSET) == DELETED_RECORD;
}
@inline export function recordAddress(graph: GraphStore, node: u32): usize {
  return load<usize>(nodeEntry(graph, node), RECORD_OFFSET);
}
@inline export function recordLength(graph: GraphStore, node: u32): u32 {
  return load<u32>(nodeEntry(graph, node), RECORD_LENGTH_OFFSET);
}

/** Gives a node its record, in the place of what it had; false, and nothing is changed, when memory is used up. */
export function putRecord(graph: GraphStore, node: u32, record: usize, length: u32): bool {
  const address = heapTake(graph.heap, length);
  if (!address) return false;
  memory.copy(address, record, length);
  clearRecord(graph, node);
  const entry = nodeEntry(graph, node);
  store<usize>(entry, address, RECORD_OFFSET);
  store<u32>(entry, length, RECORD_LENGTH_OFFSET);
  graph.recordCount++;
  return true;
}

/** Takes a node's record away; returns whether it had one. */
export function clearRecord(graph: GraphStore, node: u32): bool {
  const entry = nodeEntry(graph, node);
  const record = load<usize>(entry, RECORD_OFFSET);
  store<usize>(entry, 0, RECORD_OFFSET);
  if (record == DELETED_RECORD) graph.deletedNodes--;
  if (record <= DELETED_RECORD) return false;
  heapGive(graph.heap, record, load<u32>(entry, RECORD_LENGTH_OFFSET));
  graph.recordCount--;
  return true;
}

/** Leaves a tombstone in the place of a node's record. */
export function markNodeDeleted(graph: GraphStore, node: u32): void {
  clearRecord(graph, node);
  store<usize>(nodeEntry(graph, node), DELETED_RECORD, RECORD_OFFSET);
  graph.deletedNodes++;
}

// Edges

@inline function edgeAddress(graph: GraphStore, edge: u32): usize {
  return graph.edges + <usize>edge * EDGE_BYTES;
}
@inline export function fromOf(graph: GraphStore, edge: u32): u32 {
  return load<u32>(edgeAddress(graph, edge), FROM_OFFSET);
}
@inline export function toOf(graph: GraphStore, edge: u32): u32 {
  return load<u32>(edgeAddress(graph, edge), TO_OFFSET);
}
@inline export function weightOf(graph: GraphStore, edge: u32): f64 {
  return load<f64>(edgeAddress(graph, edge), WEIGHT_OFFSET);
}
@inline export function setWeight(graph: GraphStore, edge: u32, weight: f64): void {
  store<f64>(edgeAddress(graph, edge), weight, WEIGHT_OFFSET);
}
@inline export function typeOf(graph: GraphStore, edge: u32): u32 {
  return load<u32>(edgeAddress(graph, edge), TYPE_OFFSET);
}
@inline export function ownerOf(graph: GraphStore, edge: u32): u32 {
  return load<u32>(edgeAddress(graph, edge), OWNER_OFFSET);
}
@inline export function nextOf(graph: GraphStore, edge: u32): u32 {
  return load<u32>(edgeAddress(graph, edge), NEXT_OFFSET);
}
@inline export function setNext(graph: GraphStore, edge: u32, next: u32): void {
  store<u32>(edgeAddress(graph, edge), next, NEXT_OFFSET);
}
@inline export function isLive(graph: GraphStore, edge: u32): bool {
  return (load<u32>(edgeAddress(graph, edge), STATE_OFFSET) & LIVE) != 0;
}
@inline export function isEdgeDeleted(graph: GraphStore, edge: u32): bool {
  return (load<u32>(edgeAddress(graph, edge), STATE_OFFSET) & DELETED) != 0;
}

/** A new edge that lives, its nodes and its type being there; NONE when memory is used up. An explicit one must be new. */
export function addEdge(graph: GraphStore, from: u32, type: u32, to: u32, weight: f64, owner: u32): u32 {
  if (owner == NONE && !reserveExplicit(graph, 1)) return NONE;
  let edge = graph.edgeEnd;
  if (graph.firstFreeEdge) {
    edge = graph.firstFreeEdge - 1;
    graph.firstFreeEdge = nextOf(graph, edge);
  } else {
    if (edge == graph.edgeCapacity && !growEdges(graph)) return NONE;
    graph.edgeEnd++;
  }
  const at = edgeAddress(graph, edge);
  store<u32>(at, from, FROM_OFFSET);
  store<u32>(at, to, TO_OFFSET);
  store<f64>(at, weight, WEIGHT_OFFSET);
  store<u32>(at, type, TYPE_OFFSET);
  store<u32>(at, owner, OWNER_OFFSET);
  store<u32>(at, 0, NEXT_OFFSET);
  store<u32>(at, LIVE, STATE_OFFSET);
  if (owner == NONE) {
    place(graph.slots, graph.slotMask, hashOf(from, type, to), edge);
    graph.slotCount++;
    graph.explicitCount++;
  } else {
    graph.derivedCount++;
  }
  countType(graph, type, 1);
  return edge;
}

/** An edge that lived does so no more. Its entry is free when no row has it. */
export function endEdge(graph: GraphStore, edge: u32): void {
  const at = edgeAddress(graph, edge);
  if (ownerOf(graph, edge) == NONE) {
    removeSlot(graph, edge);
    graph.explicitCount--;
  } else {
    graph.derivedCount--;
  }
  countType(graph, typeOf(graph, edge), -1);
  const rows = load<u32>(at, STATE_OFFSET) & ROWS_MASK;
  store<u32>(at, rows, STATE_OFFSET);
  if (!rows) freeEdge(graph, edge);
}

@inline export function enterRow(graph: GraphStore, edge: u32): void {
  const at = edgeAddress(graph, edge);
  store<u32>(at, load<u32>(at, STATE_OFFSET) + 1, STATE_OFFSET);
}
/** A row has let go of an edge that lives no more. */
export function leaveRow(graph: GraphStore, edge: u32): void {
  const at = edgeAddress(graph, edge);
  const state = load<u32>(at, STATE_OFFSET) - 1;
  store<u32>(at, state, STATE_OFFSET);
  if (!state) freeEdge(graph, edge);
}

function freeEdge(graph: GraphStore, edge: u32): void {
  setNext(graph, edge, graph.firstFreeEdge);
  graph.firstFreeEdge = edge + 1;
}

/** Turns a writer's explicit edge into its tombstone. */
export function markEdgeDeleted(graph: GraphStore, edge: u32): void {
  if (isEdgeDeleted(graph, edge)) return;
  store<u32>(edgeAddress(graph, edge), DELETED, STATE_OFFSET);
  setWeight(graph, edge, 1);
  graph.explicitCount--;
  graph.deletedEdges++;
}
export function markEdgeLive(graph: GraphStore, edge: u32): void {
  if (!isEdgeDeleted(graph, edge)) return;
  store<u32>(edgeAddress(graph, edge), LIVE, STATE_OFFSET);
  graph.explicitCount++;
  graph.deletedEdges--;
}

@inline function countType(graph: GraphStore, type: u32, change: i32): void {
  const entry = typeEntry(graph, type);
  store<u32>(entry, load<u32>(entry, TYPE_EDGES_OFFSET) + change, TYPE_EDGES_OFFSET);
}

function growEdges(graph: GraphStore): bool {
  const capacity = graph.edgeCapacity ? <u64>graph.edgeCapacity << 1 : <u64>EDGES_FIRST;
  if (capacity * EDGE_BYTES > 0xffff_0000) return false;
  const grown = regionReserve(<usize>capacity * EDGE_BYTES);
  if (!grown) return false;
  memory.copy(grown, graph.edges, <usize>graph.edgeEnd * EDGE_BYTES);
  regionFree(graph.edges);
  graph.edges = grown;
  graph.edgeCapacity = <u32>(regionCapacity(grown) / EDGE_BYTES);
  return true;
}

@inline function hashOf(from: u32, type: u32, to: u32): u32 {
  let hash = (<u64>from << 32 | to) ^ (<u64>type * 0x9e37_79b9_7f4a_7c15);
  hash ^= hash >> 32;
  hash *= 0xd6e8_feb8_6659_fd93;
  hash ^= hash >> 29;
  hash *= 0x9e37_79b9_7f4a_7c15;
  return <u32>(hash >> 32);
}
@inline function slotAt(slots: usize, slot: u32): usize { return slots + (<usize>slot << 3); }

/** The explicit edge, live or a tombstone; NONE where there is none. */
export function findEdge(graph: GraphStore, from: u32, type: u32, to: u32): u32 {
  if (!graph.slotCount) return NONE;
  const hash = hashOf(from, type, to);
  for (let slot = hash & graph.slotMask; ; slot = (slot + 1) & graph.slotMask) {
    const at = slotAt(graph.slots, slot);
    const found = load<u32>(at, SLOT_EDGE_OFFSET);
    if (!found) return NONE;
    if (load<u32>(at) != hash) continue;
    const edge = found - 1;
    if (fromOf(graph, edge) == from && toOf(graph, edge) == to && typeOf(graph, edge) == type) return edge;
  }
  return NONE;
}

@inline function place(slots: usize, mask: u32, hash: u32, edge: u32): void {
  let slot = hash & mask;
  while (load<u32>(slotAt(slots, slot), SLOT_EDGE_OFFSET)) slot = (slot + 1) & mask;
  store<u32>(slotAt(slots, slot), hash);
  store<u32>(slotAt(slots, slot), edge + 1, SLOT_EDGE_OFFSET);
}

function removeSlot(graph: GraphStore, edge: u32): void {
  const slots = graph.slots;
  const mask = graph.slotMask;
  let hole = hashOf(fromOf(graph, edge), typeOf(graph, edge), toOf(graph, edge)) & mask;
  while (load<u32>(slotAt(slots, hole), SLOT_EDGE_OFFSET) != edge + 1) hole = (hole + 1) & mask;
  // What stands behind the hole moves up, unless that would bring it before its own place.
  for (let slot = (hole + 1) & mask; ; slot = (slot + 1) & mask) {
    const at = slotAt(slots, slot);
    if (!load<u32>(at, SLOT_EDGE_OFFSET)) break;
    if (((slot - load<u32>(at)) & mask) < ((slot - hole) & mask)) continue;
    store<u64>(slotAt(slots, hole), load<u64>(at));
    hole = slot;
  }
  store<u64>(slotAt(slots, hole), 0);
  graph.slotCount--;
}

/** Makes room in the tables for so many nodes, explicit and derived edges more; false when memory is used up. Names,
 *  records and rows take theirs as they come. */
export function reserveInStore(graph: GraphStore, nodes: u32, explicit: u32, derived: u32): bool {
  while (<u64>graph.edgeEnd + explicit + derived > graph.edgeCapacity) if (!growEdges(graph)) return false;
  return reserveExplicit(graph, explicit) && reserveNames(graph.nodes, nodes) && reserveNames(graph.types, explicit);
}

/** Makes room for so many explicit edges more; false when memory is used up. */
export function reserveExplicit(graph: GraphStore, more: u32): bool {
  const wanted = <u64>graph.slotCount + more;
  let mask = graph.slotMask ? <u64>graph.slotMask : <u64>SLOTS_FIRST - 1;
  while (wanted > mask - (mask >> 2)) mask = mask << 1 | 1;
  if (mask == <u64>graph.slotMask) return true;
  if (mask >= 1 << 29) return false;
  const slots = regionAlloc((<usize>mask + 1) << 3);
  if (!slots) return false;
  for (let slot: u32 = 0; graph.slots != 0 && slot <= graph.slotMask; slot++) {
    const at = slotAt(graph.slots, slot);
    const found = load<u32>(at, SLOT_EDGE_OFFSET);
    if (found) place(slots, <u32>mask, load<u32>(at), found - 1);
  }
  regionFree(graph.slots);
  graph.slots = slots;
  graph.slotMask = <u32>mask;
  return true;
}
