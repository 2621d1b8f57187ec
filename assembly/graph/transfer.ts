// Transfer: a segment's nodes and edges with the ordinals that a store (store.ts) has for their names, each of which is
// interned when it is first met, and never again. One transfer at a time.
import { regionFree, regionReserve } from "../region";
import { internName, NONE } from "./names";
import {
  EDGE_DELETED, EDGE_FROM_OFFSET, EDGE_TO_OFFSET, EDGE_TYPE_OFFSET, EDGE_TYPE_SHIFT, EDGE_WEIGHTED, edgeAt,
  GraphSegment, nodeWord, pieceBegin, pieceEnd, weightAt,
} from "./segment";
import { GraphStore, putRecord, reserveExplicit } from "./store";

let ids: usize = 0; // u32[ids]: ordinal of a node, NONE where it was not met yet
let types: usize = 0; // u32[types]
let nextWeight: u32 = 0;

/** Of the edge that was read last. */
export let edgeFrom: u32 = 0;
export let edgeType: u32 = 0;
export let edgeTo: u32 = 0;
export let edgeWeight: f64 = 1;
export let edgeIsDeleted: bool = false;

/** Begins with the first edge of EDGES; false when memory is used up. */
export function transferBegin(segment: GraphSegment): bool {
  const names = (<u64>segment.idCount + segment.typeCount) << 2;
  ids = names > 0xffff_0000 ? 0 : regionReserve(<usize>names);
  if (!ids) return false;
  memory.fill(ids, 0xff, <usize>names);
  types = ids + (<usize>segment.idCount << 2);
  nextWeight = 0;
  return true;
}

export function transferEnd(): void {
  regionFree(ids);
}

/** What a name was mapped to, NONE where it was not met. */
@inline export function metNode(id: u32): u32 { return load<u32>(ids + (<usize>id << 2)); }
@inline export function metType(type: u32): u32 { return load<u32>(types + (<usize>type << 2)); }

/** The store's node of a segment's id; NONE when memory is used up. */
export function nodeOfId(graph: GraphStore, segment: GraphSegment, id: u32): u32 {
  const met = metNode(id);
  if (met != NONE) return met;
  const begin = pieceBegin(segment.idEnds, id);
  const node = internName(graph.nodes, segment.ids + begin, pieceEnd(segment.idEnds, id) - begin);
  store<u32>(ids + (<usize>id << 2), node);
  return node;
}

function typeOfName(graph: GraphStore, segment: GraphSegment, name: u32): u32 {
  const met = metType(name);
  if (met != NONE) return met;
  const begin = pieceBegin(segment.typeEnds, name);
  const type = internName(graph.types, segment.types + begin, pieceEnd(segment.typeEnds, name) - begin);
  store<u32>(types + (<usize>name << 2), type);
  return type;
}

/** Brings the segment's records of nodes in; `remove` takes the one of a node that the segment deletes. False when memory
 *  is used up. */
export function transferNodes(
  graph: GraphStore, segment: GraphSegment, remove: (graph: GraphStore, node: u32) => void,
): bool {
  for (let i: u32 = 0; i < segment.nodeCount; i++) {
    const word = nodeWord(segment, i);
    const node = nodeOfId(graph, segment, word >> 1);
    if (node == NONE) return false;
    if (word & 1) {
      remove(graph, node);
      continue;
    }
    const begin = pieceBegin(segment.recordEnds, i);
    if (!putRecord(graph, node, segment.records + begin, pieceEnd(segment.recordEnds, i) - begin)) return false;
  }
  return true;
}

/** Reads the segment's explicit edges one after the other; `take` brings in, or deletes, the one that was read last.
 *  False when memory is used up. */
export function transferExplicit(graph: GraphStore, segment: GraphSegment, take: (graph: GraphStore) => bool): bool {
  // Once, not again and again by doubling. To a graph that has edges, many of these may be no new ones.
  if (!graph.explicitCount && !reserveExplicit(graph, segment.edgeCount)) return false;
  for (let i: u32 = 0; i < segment.edgeCount; i++) {
    if (!readEdge(graph, segment, segment.edges, i) || !take(graph)) return false;
  }
  return true;
}

/** Reads edge number `i` of EDGES or DERIVED; false when memory is used up. All are read once, in their order, or passed
 *  over. */
export function readEdge(graph: GraphStore, segment: GraphSegment, edges: usize, i: u32): bool {
  const edge = edgeAt(edges, i);
  const word = load<u32>(edge, EDGE_TYPE_OFFSET);
  edgeFrom = nodeOfId(graph, segment, load<u32>(edge, EDGE_FROM_OFFSET));
  edgeType = typeOfName(graph, segment, word >> EDGE_TYPE_SHIFT);
  edgeTo = nodeOfId(graph, segment, load<u32>(edge, EDGE_TO_OFFSET));
  edgeWeight = word & EDGE_WEIGHTED ? weightAt(segment, nextWeight++) : 1;
  edgeIsDeleted = (word & EDGE_DELETED) != 0;
  return edgeFrom != NONE && edgeType != NONE && edgeTo != NONE;
}

/** Passes edges from … to - 1 over. */
export function passEdges(edges: usize, from: u32, to: u32): void {
  for (let i = from; i < to; i++) {
    nextWeight += <u32>((load<u32>(edgeAt(edges, i), EDGE_TYPE_OFFSET) & EDGE_WEIGHTED) != 0);
  }
}
