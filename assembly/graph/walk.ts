// Walks over the graph: breadth first, and to the nearest by weight (Dijkstra). Both go along rows in their order, so that
// their answers do not depend on how the graph came about.
//
// What a walk knows of a node, 32 bytes, by its ordinal
//    0..8   f64  weight    of the path to it
//    8..12  u32  hops      of that path
//   12..16  u32  arrival   number of the edge that led there, in the order in which the walk met them
//   16..20  u32  before    the node before it on the path
//   20..24  u32  place     in the heap
//   24..28  u32  epoch     the walk that reached it, of two: reached, epoch + 1: settled
//   28..32       unused
//
// Behind them the queue of a breadth first walk, 12 bytes a node, or the heap of the other, its ordinals:
//    0..4   u32  node
//    4..8   u32  depth
//    8..12  u32  start     which of the starts led there first
import { regionFree, regionReserve } from "../region";
import { Graph, graphNode, isWanted, putName, storeOf } from "./graph";
import { entryLength, NONE } from "./names";
import { beginOutput, outputValues } from "./output";
import {
  EDGE_OFFSET, ENTRY_BYTES, ENTRY_TYPE_OFFSET, IN, NEIGHBOUR_OFFSET, OUT, rowBegin, rowEnd, tidyRow,
} from "./rows";
import { nodeEntry, weightOf } from "./store";

const WALK_BYTES: usize = 32;
const WEIGHT_OFFSET: usize = 0;
const HOPS_OFFSET: usize = 8;
const ARRIVAL_OFFSET: usize = 12;
const BEFORE_OFFSET: usize = 16;
const PLACE_OFFSET: usize = 20;
const EPOCH_OFFSET: usize = 24;

const QUEUE_BYTES: usize = 12;
const QUEUE_NODE_OFFSET: usize = 0;
const QUEUE_DEPTH_OFFSET: usize = 4;
const QUEUE_START_OFFSET: usize = 8;

@inline function at(graph: usize): Graph { return changetype<Graph>(graph); }
@inline function walkOf(graph: Graph, node: u32): usize { return graph.walk + <usize>node * WALK_BYTES; }
@inline function queued(graph: Graph, place: u32): usize { return graph.queue + <usize>place * QUEUE_BYTES; }

/** Begins a walk; false when memory is used up. */
export function graphWalkBegin(graph: usize): bool {
  const walker = at(graph);
  const nodes = storeOf(graph).nodes.end;
  if (walker.walkCapacity < nodes || !walker.walk) {
    regionFree(walker.walk);
    walker.walkCapacity = 0;
    const capacity = <u64>nodes + (nodes >> 2) + 64;
    const bytes = capacity * (WALK_BYTES + QUEUE_BYTES);
    walker.walk = bytes > 0xffff_0000 ? 0 : regionReserve(<usize>bytes);
    if (!walker.walk) return false;
    walker.walkCapacity = <u32>capacity;
    walker.queue = walkOf(walker, walker.walkCapacity);
    walker.epoch = 0xffff_fffe;
  }
  walker.epoch += 2;
  if (!walker.epoch) {
    memory.fill(walker.walk, 0, <usize>walker.walkCapacity * WALK_BYTES);
    walker.epoch = 2;
  }
  walker.queueEnd = 0;
  return true;
}

/** Puts the node of the id in the input into the queue, where there is one and it is new, as start number `start`. */
export function graphWalkFrom(graph: usize, idBytes: u32, start: u32): void {
  const node = graphNode(graph, idBytes);
  if (node != NONE) reach(at(graph), node, 0, start);
}

@inline function reach(walker: Graph, node: u32, depth: u32, start: u32): void {
  const walk = walkOf(walker, node);
  if (load<u32>(walk, EPOCH_OFFSET) == walker.epoch) return;
  store<u32>(walk, walker.epoch, EPOCH_OFFSET);
  const place = queued(walker, walker.queueEnd++);
  store<u32>(place, node, QUEUE_NODE_OFFSET);
  store<u32>(place, depth, QUEUE_DEPTH_OFFSET);
  store<u32>(place, start, QUEUE_START_OFFSET);
}

/** Walks breadth first from what graphWalkFrom put in, `depthMax` edges far and until `limit` nodes are found: of each
 *  u32 depth, u32 start, and its id as a text. 0 when memory is used up. */
export function graphBfs(graph: usize, directions: u32, depthMax: u32, limit: u32): usize {
  const walker = at(graph);
  const all = walker.graph;
  for (let place: u32 = 0; place < walker.queueEnd && walker.queueEnd < limit; place++) {
    const here = queued(walker, place);
    const node = load<u32>(here, QUEUE_NODE_OFFSET);
    const depth = load<u32>(here, QUEUE_DEPTH_OFFSET);
    const start = load<u32>(here, QUEUE_START_OFFSET);
    if (depth >= depthMax) break;
    for (let direction = OUT; direction <= IN; direction++) {
      if (!(directions & direction)) continue;
      if (!tidyRow(all, node, direction)) return 0;
      const end = rowEnd(all, node, direction);
      for (let entry = rowBegin(all, node, direction); entry < end; entry += ENTRY_BYTES) {
        if (!isWanted(walker, load<u32>(entry, ENTRY_TYPE_OFFSET))) continue;
        reach(walker, load<u32>(entry, NEIGHBOUR_OFFSET), depth + 1, start);
      }
    }
  }
  const count = min(walker.queueEnd, limit);
  let textBytes: u64 = 0;
  for (let place: u32 = 0; place < count; place++) {
    textBytes += entryLength(nodeEntry(all, load<u32>(queued(walker, place), QUEUE_NODE_OFFSET)));
  }
  const output = beginOutput(<usize>count << 3, count, textBytes, count);
  if (!output) return 0;
  let value = outputValues(output);
  for (let place: u32 = 0; place < count; place++) {
    const here = queued(walker, place);
    store<u32>(value, load<u32>(here, QUEUE_DEPTH_OFFSET));
    store<u32>(value, load<u32>(here, QUEUE_START_OFFSET), 4);
    value += 8;
    putName(nodeEntry(all, load<u32>(here, QUEUE_NODE_OFFSET)));
  }
  return output;
}

// The heap: u32 nodes in the queue's memory, the nearest first.

@inline function heapNode(walker: Graph, place: u32): u32 { return load<u32>(walker.queue + (<usize>place << 2)); }
@inline function putInHeap(walker: Graph, place: u32, node: u32): void {
  store<u32>(walker.queue + (<usize>place << 2), node);
  store<u32>(walkOf(walker, node), place, PLACE_OFFSET);
}

/** By weight, then by hops, then by which was met first. */
@inline function isNearer(walker: Graph, a: u32, b: u32): bool {
  const walkA = walkOf(walker, a);
  const walkB = walkOf(walker, b);
  const weightA = load<f64>(walkA, WEIGHT_OFFSET);
  const weightB = load<f64>(walkB, WEIGHT_OFFSET);
  if (weightA != weightB) return weightA < weightB;
  const hopsA = load<u32>(walkA, HOPS_OFFSET);
  const hopsB = load<u32>(walkB, HOPS_OFFSET);
  if (hopsA != hopsB) return hopsA < hopsB;
  return load<u32>(walkA, ARRIVAL_OFFSET) < load<u32>(walkB, ARRIVAL_OFFSET);
}

function moveUp(walker: Graph, place: u32, node: u32): void {
  while (place) {
    const parent = (place - 1) >> 1;
    const above = heapNode(walker, parent);
    if (!isNearer(walker, node, above)) break;
    putInHeap(walker, place, above);
    place = parent;
  }
  putInHeap(walker, place, node);
}

/** Takes the nearest node out. */
function takeNearest(walker: Graph): u32 {
  const nearest = heapNode(walker, 0);
  const count = --walker.queueEnd;
  if (!count) return nearest;
  const node = heapNode(walker, count);
  let place: u32 = 0;
  for (let child: u32 = 1; child < count; child = (place << 1) + 1) {
    if (child + 1 < count && isNearer(walker, heapNode(walker, child + 1), heapNode(walker, child))) child++;
    const below = heapNode(walker, child);
    if (!isNearer(walker, below, node)) break;
    putInHeap(walker, place, below);
    place = child;
  }
  putInHeap(walker, place, node);
  return nearest;
}

/** What graphShortestPath returns where no path is. */
const NO_PATH: usize = 1; // no output has this address

/** The path of the least weight, of those the one with the fewest edges, from a node to another (walk begun): f64 weight,
 *  and the ids along it, the start first. 0 when memory is used up, 1 where there is no path. */
export function graphShortestPath(graph: usize, start: u32, target: u32, directions: u32): usize {
  const walker = at(graph);
  const all = walker.graph;
  const reached = walker.epoch;
  const settled = reached + 1;
  let arrivals: u32 = 0;
  store<u32>(walkOf(walker, start), reached, EPOCH_OFFSET);
  store<f64>(walkOf(walker, start), 0, WEIGHT_OFFSET);
  store<u32>(walkOf(walker, start), 0, HOPS_OFFSET);
  store<u32>(walkOf(walker, start), NONE, BEFORE_OFFSET);
  putInHeap(walker, walker.queueEnd++, start);
  while (walker.queueEnd) {
    const node = takeNearest(walker);
    if (node == target) return pathTo(walker, target);
    const here = walkOf(walker, node);
    store<u32>(here, settled, EPOCH_OFFSET);
    const weightHere = load<f64>(here, WEIGHT_OFFSET);
    const hops = load<u32>(here, HOPS_OFFSET) + 1;
    for (let direction = OUT; direction <= IN; direction++) {
      if (!(directions & direction)) continue;
      if (!tidyRow(all, node, direction)) return 0;
      const end = rowEnd(all, node, direction);
      for (let entry = rowBegin(all, node, direction); entry < end; entry += ENTRY_BYTES) {
        if (!isWanted(walker, load<u32>(entry, ENTRY_TYPE_OFFSET))) continue;
        const neighbour = load<u32>(entry, NEIGHBOUR_OFFSET);
        const there = walkOf(walker, neighbour);
        const state = load<u32>(there, EPOCH_OFFSET);
        if (state == settled) continue;
        const weight = weightHere + weightOf(all, load<u32>(entry, EDGE_OFFSET));
        const isNew = state != reached;
        if (!isNew) {
          const best = load<f64>(there, WEIGHT_OFFSET);
          if (weight > best || (weight == best && hops >= load<u32>(there, HOPS_OFFSET))) continue;
        }
        store<u32>(there, reached, EPOCH_OFFSET);
        store<f64>(there, weight, WEIGHT_OFFSET);
        store<u32>(there, hops, HOPS_OFFSET);
        store<u32>(there, arrivals++, ARRIVAL_OFFSET);
        store<u32>(there, node, BEFORE_OFFSET);
        moveUp(walker, isNew ? walker.queueEnd++ : load<u32>(there, PLACE_OFFSET), neighbour);
      }
    }
  }
  return NO_PATH;
}

function pathTo(walker: Graph, target: u32): usize {
  const all = walker.graph;
  const count = load<u32>(walkOf(walker, target), HOPS_OFFSET) + 1;
  let textBytes: u64 = 0;
  let place = count;
  // The heap is no longer needed: the path stands there, so that it is read from its start.
  for (let node = target; node != NONE; node = load<u32>(walkOf(walker, node), BEFORE_OFFSET)) {
    textBytes += entryLength(nodeEntry(all, node));
    store<u32>(walker.queue + (<usize>--place << 2), node);
  }
  const output = beginOutput(8, count, textBytes, count);
  if (!output) return 0;
  store<f64>(outputValues(output), load<f64>(walkOf(walker, target), WEIGHT_OFFSET));
  for (place = 0; place < count; place++) putName(nodeEntry(all, heapNode(walker, place)));
  return output;
}
