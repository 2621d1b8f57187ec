// Graph: all nodes and edges of a collection, in memory and changed in place. A node is there as long as it has a record or
// an edge; a document's id is a name too, as long as edges are derived from the document.
import { regionAlloc, regionCapacity, regionFree } from "../region";
import { inputAddress, scratchRelease, scratchRetain, scratchTrim } from "../text/scratch";
import { findInput, inputEnd, inputFrom, inputTo, inputType, inputWeight, internInput } from "./edge-input";
import { entryAddress, entryLength, findName, internName, isNamed, NONE, removeName } from "./names";
import { beginOutput, outputValues, putText } from "./output";
import {
  appendToRow, degreeOf, EDGE_OFFSET, endInRow, ENTRY_BYTES, ENTRY_TYPE_OFFSET, freeRow, giveRow, IN, NEIGHBOUR_OFFSET,
  OUT, reserveInRow, rowBegin, rowEnd, tidyRow,
} from "./rows";
import {
  addEdge, beginStore, clearRecord, endEdge, findEdge, freeStore, fromOf, GraphStore, hasRecord, isLive, nextOf,
  nodeEntry, OWNED_OFFSET, ownerOf, putRecord, recordAddress, recordLength, reserveInStore,
  setNext, setWeight, STORE_BYTES, storeHeld,
  toOf, TYPE_EDGES_OFFSET, TYPE_WANTED_OFFSET, typeEntry, typeOf, weightOf,
} from "./store";

/** Lives at the beginning of a region of its own, its store behind it. */
@unmanaged export class Graph {
  graph: GraphStore;
  /** Number of the filter that holds, 0 for none: types that it names have it in their entries. */
  filter: u32;
  filters: u32;
  // walk.ts
  walk: usize;
  walkCapacity: u32;
  epoch: u32;
  queue: usize;
  queueEnd: u32;
}

@inline function at(graph: usize): Graph { return changetype<Graph>(graph); }
@inline export function storeOf(graph: usize): GraphStore { return at(graph).graph; }

/** An empty graph; 0 when memory is used up. */
export function graphNew(): usize {
  const region = regionAlloc(offsetof<Graph>() + STORE_BYTES);
  if (!region) return 0;
  at(region).graph = beginStore(region + offsetof<Graph>());
  scratchRetain();
  return region;
}

export function graphFree(graph: usize): void {
  const all = storeOf(graph);
  for (let node: u32 = 0; node < all.nodes.end; node++) {
    if (!isNamed(all.nodes, node)) continue;
    giveRow(all, node, OUT);
    giveRow(all, node, IN);
  }
  freeStore(all);
  regionFree(at(graph).walk);
  regionFree(graph);
  scratchRelease();
}

/** Bytes of linear memory that the graph holds. */
export function graphBytes(graph: usize): f64 {
  const walk = at(graph).walk;
  return <f64>regionCapacity(graph) + <f64>storeHeld(storeOf(graph)) + (walk ? <f64>regionCapacity(walk) : 0);
}

/** Makes room for so many nodes, explicit and derived edges more; false when memory is used up. */
export function graphReserve(graph: usize, nodes: u32, explicit: u32, derived: u32): bool {
  return reserveInStore(storeOf(graph), nodes, explicit, derived);
}

// Nodes. Ids, and what else a call takes, stand in the input (text/scratch.ts).

@inline function findNode(graph: usize, idBytes: u32): u32 {
  return findName(storeOf(graph).nodes, inputAddress(), idBytes);
}

/** Whether a node has a record or an edge. */
@inline function isThere(graph: GraphStore, node: u32): bool {
  return hasRecord(graph, node) || degreeOf(graph, node, OUT) != 0 || degreeOf(graph, node, IN) != 0;
}

/** The node of the id in the input, NONE where there is none. */
export function graphNode(graph: usize, idBytes: u32): u32 {
  const node = findNode(graph, idBytes);
  return node != NONE && isThere(storeOf(graph), node) ? node : NONE;
}

/** Gives the node of the id in the input the record behind it; false when memory is used up. */
export function graphPutNode(graph: usize, idBytes: u32, recordBytes: u32): bool {
  const all = storeOf(graph);
  const node = internName(all.nodes, inputAddress(), idBytes);
  if (node == NONE) return false;
  const isPut = putRecord(all, node, inputAddress() + idBytes, recordBytes);
  if (!isPut) releaseNode(all, node);
  scratchTrim();
  return isPut;
}

/** Takes a node's record away with all explicit edges from it and to it. Returns whether it had a record. */
export function graphRemoveNode(graph: usize, idBytes: u32): bool {
  const all = storeOf(graph);
  const node = findNode(graph, idBytes);
  if (node == NONE) return false;
  endExplicit(all, node, OUT);
  endExplicit(all, node, IN);
  const hadRecord = clearRecord(all, node);
  releaseNode(all, node);
  return hadRecord;
}

function endExplicit(graph: GraphStore, node: u32, direction: u32): void {
  // Nothing of the row moves while its edges end; only the node itself would take it along, so that is released later.
  const end = rowEnd(graph, node, direction);
  for (let entry = rowBegin(graph, node, direction); entry < end; entry += ENTRY_BYTES) {
    const edge = load<u32>(entry, EDGE_OFFSET);
    if (!isLive(graph, edge) || ownerOf(graph, edge) != NONE) continue;
    const type = typeOf(graph, edge);
    unlink(graph, edge);
    const neighbour = load<u32>(entry, NEIGHBOUR_OFFSET);
    if (neighbour != node) releaseNode(graph, neighbour);
    releaseType(graph, type);
  }
}

/** Where a node's record is, 0 where it has none; its bytes are graphRecordBytes. */
export function graphRecord(graph: usize, node: u32): usize {
  return recordAddress(storeOf(graph), node);
}
export function graphRecordBytes(graph: usize, node: u32): u32 {
  return recordLength(storeOf(graph), node);
}

/** Forgets a node that nothing needs any more. */
export function releaseNode(graph: GraphStore, node: u32): void {
  if (isThere(graph, node) || load<u32>(nodeEntry(graph, node), OWNED_OFFSET)) return;
  freeRow(graph, node, OUT);
  freeRow(graph, node, IN);
  removeName(graph.nodes, node);
}

/** Forgets a type that no edge has any more. */
export function releaseType(graph: GraphStore, type: u32): void {
  if (!load<u32>(typeEntry(graph, type), TYPE_EDGES_OFFSET)) removeName(graph.types, type);
}

// Edges

/** Adds an edge to both its rows; NONE, and nothing is changed, when memory is used up. */
function link(graph: GraphStore, from: u32, type: u32, to: u32, weight: f64, owner: u32): u32 {
  if (!reserveInRow(graph, from, OUT) || !reserveInRow(graph, to, IN)) return NONE;
  const edge = addEdge(graph, from, type, to, weight, owner);
  if (edge == NONE) return NONE;
  appendToRow(graph, from, OUT, to, edge);
  appendToRow(graph, to, IN, from, edge);
  return edge;
}

/** Ends an edge. Its nodes and its type stay: they are the caller's to release. */
function unlink(graph: GraphStore, edge: u32): void {
  endInRow(graph, fromOf(graph, edge), OUT);
  endInRow(graph, toOf(graph, edge), IN);
  endEdge(graph, edge);
}

/** Adds an explicit edge, or gives one that is there its weight; false when memory is used up. */
export function putExplicit(graph: GraphStore, from: u32, type: u32, to: u32, weight: f64): bool {
  const edge = findEdge(graph, from, type, to);
  if (edge == NONE) return link(graph, from, type, to, weight, NONE) != NONE;
  setWeight(graph, edge, weight);
  return true;
}

/** Removes an explicit edge; false where there is none. Its nodes and its type stay. */
export function removeExplicit(graph: GraphStore, from: u32, type: u32, to: u32): bool {
  const edge = findEdge(graph, from, type, to);
  if (edge == NONE) return false;
  unlink(graph, edge);
  return true;
}

/** Adds an edge that is derived from the document with the name of `owner`; false when memory is used up. */
export function addDerived(graph: GraphStore, from: u32, type: u32, to: u32, weight: f64, owner: u32): bool {
  const edge = link(graph, from, type, to, weight, owner);
  if (edge == NONE) return false;
  const entry = nodeEntry(graph, owner);
  setNext(graph, edge, load<u32>(entry, OWNED_OFFSET));
  store<u32>(entry, edge + 1, OWNED_OFFSET);
  return true;
}

/** Interns the names of the edge at `input` and adds it; false, and nothing is changed, when memory is used up. */
function addInput(graph: GraphStore, input: usize, owner: u32): bool {
  if (internInput(graph, input)) {
    const weight = inputWeight(input);
    const isIn = owner == NONE
      ? putExplicit(graph, inputFrom, inputType, inputTo, weight)
      : addDerived(graph, inputFrom, inputType, inputTo, weight, owner);
    if (isIn) return true;
  }
  if (inputFrom != NONE && inputFrom != inputTo && inputFrom != owner) releaseNode(graph, inputFrom);
  if (inputTo != NONE && inputTo != owner) releaseNode(graph, inputTo);
  if (inputType != NONE) releaseType(graph, inputType);
  return false;
}

/** Puts the explicit edge in the input (edge-input.ts); false when memory is used up. */
export function graphPutEdge(graph: usize): bool {
  return addInput(storeOf(graph), inputAddress(), NONE);
}

/** Removes the explicit edge in the input; false where there is none. */
export function graphRemoveEdge(graph: usize): bool {
  const all = storeOf(graph);
  if (!findInput(all, inputAddress()) || !removeExplicit(all, inputFrom, inputType, inputTo)) return false;
  releaseNode(all, inputFrom);
  if (inputTo != inputFrom) releaseNode(all, inputTo);
  releaseType(all, inputType);
  return true;
}

/** Whether the explicit edge in the input is there. */
export function graphHasEdge(graph: usize): bool {
  const all = storeOf(graph);
  return findInput(all, inputAddress()) && findEdge(all, inputFrom, inputType, inputTo) != NONE;
}

/** Replaces the edges that are derived from a document, whose id stands in the input, by the `count` edges behind it;
 *  false, and nothing is changed, when memory is used up. */
export function graphSetDocumentEdges(graph: usize, idBytes: u32, count: u32): bool {
  const all = storeOf(graph);
  const owner = count ? internName(all.nodes, inputAddress(), idBytes) : findNode(graph, idBytes);
  if (owner == NONE) return !count;
  const before = takeOwned(all, owner);
  let input = inputAddress() + idBytes;
  let areIn = true;
  for (let i: u32 = 0; i < count && areIn; i++) {
    areIn = addInput(all, input, owner);
    input = inputEnd(input);
  }
  if (areIn) {
    endOwned(all, before, owner);
  } else {
    endOwned(all, takeOwned(all, owner), owner);
    store<u32>(nodeEntry(all, owner), before, OWNED_OFFSET);
  }
  releaseNode(all, owner);
  scratchTrim();
  return areIn;
}

/** Detaches a document's edges from it: the first, ordinal + 1. */
function takeOwned(graph: GraphStore, owner: u32): u32 {
  const entry = nodeEntry(graph, owner);
  const first = load<u32>(entry, OWNED_OFFSET);
  store<u32>(entry, 0, OWNED_OFFSET);
  return first;
}

/** Ends edges that were a document's. */
function endOwned(graph: GraphStore, first: u32, owner: u32): void {
  while (first) {
    const edge = first - 1;
    first = nextOf(graph, edge);
    const from = fromOf(graph, edge);
    const to = toOf(graph, edge);
    const type = typeOf(graph, edge);
    unlink(graph, edge);
    if (from != owner) releaseNode(graph, from);
    if (to != from && to != owner) releaseNode(graph, to);
    releaseType(graph, type);
  }
}

/** Ends what was derived from a document. Its nodes and types stay. */
export function dropOwned(graph: GraphStore, owner: u32): void {
  for (let first = takeOwned(graph, owner); first; ) {
    const edge = first - 1;
    first = nextOf(graph, edge);
    unlink(graph, edge);
  }
}

// Reading

/** From here on every type is wanted. */
export function graphWantAll(graph: usize): void {
  at(graph).filter = 0;
}

/** From here on only the types that graphWant names. */
export function graphWantNone(graph: usize): void {
  at(graph).filter = ++at(graph).filters;
}

/** The type in the input is wanted too. */
export function graphWant(graph: usize, typeBytes: u32): void {
  const types = storeOf(graph).types;
  const type = findName(types, inputAddress(), typeBytes);
  if (type != NONE) store<u32>(typeEntry(storeOf(graph), type), at(graph).filter, TYPE_WANTED_OFFSET);
}

@inline export function isWanted(graph: Graph, type: u32): bool {
  return !graph.filter || load<u32>(typeEntry(graph.graph, type), TYPE_WANTED_OFFSET) == graph.filter;
}

/** Whether an entry of a row is listed: each loop once, though it stands in both rows. */
@inline function isListed(graph: Graph, node: u32, directions: u32, direction: u32, entry: usize, all: bool): bool {
  if (!isWanted(graph, load<u32>(entry, ENTRY_TYPE_OFFSET))) return false;
  if (direction == IN && (directions & OUT) != 0 && load<u32>(entry, NEIGHBOUR_OFFSET) == node) return false;
  return all || ownerOf(graph.graph, load<u32>(entry, EDGE_OFFSET)) == NONE;
}

/** The edges at a node, those from it first, in the order of its rows, without the first `offset`: f64 weights, and of each
 *  the texts from, type, to. `explicitOnly`: without derived ones. 0 when memory is used up. */
export function graphEdges(
  graph: usize, node: u32, directions: u32, explicitOnly: bool, offset: u32, limit: u32,
): usize {
  const all = storeOf(graph);
  let total: u32 = 0;
  let count: u32 = 0;
  let textBytes: u64 = 0;
  for (let direction = OUT; direction <= IN; direction++) {
    if (!(directions & direction)) continue;
    if (!tidyRow(all, node, direction)) return 0;
    const end = rowEnd(all, node, direction);
    for (let entry = rowBegin(all, node, direction); entry < end; entry += ENTRY_BYTES) {
      if (!isListed(at(graph), node, directions, direction, entry, !explicitOnly)) continue;
      if (total++ < offset || count == limit) continue;
      count++;
      textBytes += textBytesOf(all, load<u32>(entry, EDGE_OFFSET));
    }
  }
  const output = beginOutput(<usize>count << 3, count * 3, textBytes, total);
  if (!output) return 0;
  let weight = outputValues(output);
  let skipped: u32 = 0;
  for (let direction = OUT; direction <= IN && count; direction++) {
    if (!(directions & direction)) continue;
    const end = rowEnd(all, node, direction);
    for (let entry = rowBegin(all, node, direction); entry < end && count; entry += ENTRY_BYTES) {
      if (!isListed(at(graph), node, directions, direction, entry, !explicitOnly)) continue;
      if (skipped++ < offset) continue;
      count--;
      const edge = load<u32>(entry, EDGE_OFFSET);
      store<f64>(weight, weightOf(all, edge));
      weight += 8;
      putName(nodeEntry(all, fromOf(all, edge)));
      putName(typeEntry(all, typeOf(all, edge)));
      putName(nodeEntry(all, toOf(all, edge)));
    }
  }
  return output;
}

@inline function textBytesOf(graph: GraphStore, edge: u32): u64 {
  return <u64>entryLength(nodeEntry(graph, fromOf(graph, edge))) + entryLength(typeEntry(graph, typeOf(graph, edge))) +
    entryLength(nodeEntry(graph, toOf(graph, edge)));
}

/** Adds a name to the output. */
@inline export function putName(entry: usize): void {
  putText(entryAddress(entry), entryLength(entry));
}

/** Counts: u32 nodes that are there, records, explicit edges, derived edges, the most edges at a node, 0; then u32 a type:
 *  its edges, with its name as a text. 0 when memory is used up. */
export function graphStats(graph: usize): usize {
  const all = storeOf(graph);
  let textBytes: u64 = 0;
  for (let type: u32 = 0; type < all.types.end; type++) {
    if (isNamed(all.types, type)) textBytes += entryLength(typeEntry(all, type));
  }
  const types = all.types.count;
  const output = beginOutput((24 + (<usize>types << 2) + 7) & ~7, types, textBytes, types);
  if (!output) return 0;
  let nodes: u32 = 0;
  let degreeMax: u32 = 0;
  for (let node: u32 = 0; node < all.nodes.end; node++) {
    if (!isNamed(all.nodes, node) || !isThere(all, node)) continue;
    nodes++;
    degreeMax = max<u32>(degreeMax, degreeOf(all, node, OUT) + degreeOf(all, node, IN));
  }
  const values = outputValues(output);
  store<u32>(values, nodes);
  store<u32>(values, all.recordCount, 4);
  store<u32>(values, all.explicitCount, 8);
  store<u32>(values, all.derivedCount, 12);
  store<u32>(values, degreeMax, 16);
  let value = values + 24;
  for (let type: u32 = 0; type < all.types.end; type++) {
    if (!isNamed(all.types, type)) continue;
    const entry = typeEntry(all, type);
    store<u32>(value, load<u32>(entry, TYPE_EDGES_OFFSET));
    value += 4;
    putName(entry);
  }
  return output;
}
