// Rows: the edges at a node, those from it and those to it, side by side in memory and in an order that does not depend on
// how the graph came about: by edge type, then by the node at the other end, both by the bytes of their names, then the
// explicit edge, then derived ones by their owners' ids.
//
// An edge is appended in no order and, when it ends, left where it is: rows are tidied when they are read, or when they
// are full of edges that ended. So a change costs little, however many edges a node has.
//
// Row, 20 bytes of a node's entry (store.ts)
//    0..4   usize  entries   block of the heap, 0 without any
//    4..8   u32    length    entries, those of edges that ended too
//    8..12  u32    capacity
//   12..16  u32    sorted    how many of the first entries are in order
//   16..20  u32    degree    entries of edges that live
//
// Entry, 12 bytes
//    0..4   u32    neighbour  node at the other end
//    4..8   u32    edge
//    8..12  u32    type
import { compareBytes } from "../text/text-index";
import { scratchTake } from "../text/scratch";
import { blockBytes, heapGive, heapTake } from "./heap";
import { entryAddress, entryLength, NONE } from "./names";
import {
  enterRow, GraphStore, IN_ROW_OFFSET, isLive, leaveRow, nodeEntry, OUT_ROW_OFFSET, ownerOf, typeEntry, typeOf,
} from "./store";

export const OUT: u32 = 1;
export const IN: u32 = 2;

const ENTRIES_OFFSET: usize = 0;
const LENGTH_OFFSET: usize = 4;
const CAPACITY_OFFSET: usize = 8;
const SORTED_OFFSET: usize = 12;
const DEGREE_OFFSET: usize = 16;

export const ENTRY_BYTES: usize = 12;
export const NEIGHBOUR_OFFSET: usize = 0;
export const EDGE_OFFSET: usize = 4;
export const ENTRY_TYPE_OFFSET: usize = 8;

/** So many new entries are put in their places one by one; more are sorted. */
const INSERTED_MAX: u32 = 8;

@inline function rowOf(graph: GraphStore, node: u32, direction: u32): usize {
  return nodeEntry(graph, node) + (direction == OUT ? OUT_ROW_OFFSET : IN_ROW_OFFSET);
}
/** Edges that live. */
@inline export function degreeOf(graph: GraphStore, node: u32, direction: u32): u32 {
  return load<u32>(rowOf(graph, node, direction), DEGREE_OFFSET);
}
@inline export function rowBegin(graph: GraphStore, node: u32, direction: u32): usize {
  return load<usize>(rowOf(graph, node, direction), ENTRIES_OFFSET);
}
@inline export function rowEnd(graph: GraphStore, node: u32, direction: u32): usize {
  const row = rowOf(graph, node, direction);
  return load<usize>(row, ENTRIES_OFFSET) + <usize>load<u32>(row, LENGTH_OFFSET) * ENTRY_BYTES;
}

/** Makes room for one more edge; false when memory is used up. */
export function reserveInRow(graph: GraphStore, node: u32, direction: u32): bool {
  const row = rowOf(graph, node, direction);
  const capacity = load<u32>(row, CAPACITY_OFFSET);
  if (load<u32>(row, LENGTH_OFFSET) < capacity) return true;
  if (load<u32>(row, DEGREE_OFFSET) < capacity) {
    dropEnded(graph, row);
    if (load<u32>(row, LENGTH_OFFSET) < capacity - (capacity >> 2)) return true;
  }
  return resize(graph, row, max<u32>(capacity << 1, 1));
}

/** Gives a row room for `entries`, or a few more; false, and nothing is changed, when memory is used up. */
function resize(graph: GraphStore, row: usize, entries: u32): bool {
  const capacity = load<u32>(row, CAPACITY_OFFSET);
  const bytes = blockBytes(<usize>entries * ENTRY_BYTES);
  const block = heapTake(graph.heap, bytes);
  if (!block) return false;
  const old = load<usize>(row, ENTRIES_OFFSET);
  memory.copy(block, old, <usize>load<u32>(row, LENGTH_OFFSET) * ENTRY_BYTES);
  if (old) heapGive(graph.heap, old, <usize>capacity * ENTRY_BYTES);
  store<usize>(row, block, ENTRIES_OFFSET);
  store<u32>(row, <u32>(bytes / ENTRY_BYTES), CAPACITY_OFFSET);
  return true;
}

/** Enters an edge where reserveInRow has made room. */
export function appendToRow(graph: GraphStore, node: u32, direction: u32, neighbour: u32, edge: u32): void {
  const row = rowOf(graph, node, direction);
  const length = load<u32>(row, LENGTH_OFFSET);
  const entry = load<usize>(row, ENTRIES_OFFSET) + <usize>length * ENTRY_BYTES;
  store<u32>(entry, neighbour, NEIGHBOUR_OFFSET);
  store<u32>(entry, edge, EDGE_OFFSET);
  store<u32>(entry, typeOf(graph, edge), ENTRY_TYPE_OFFSET);
  store<u32>(row, length + 1, LENGTH_OFFSET);
  store<u32>(row, load<u32>(row, DEGREE_OFFSET) + 1, DEGREE_OFFSET);
  enterRow(graph, edge);
}

/** An edge of this row ends. */
export function endInRow(graph: GraphStore, node: u32, direction: u32): void {
  const row = rowOf(graph, node, direction);
  store<u32>(row, load<u32>(row, DEGREE_OFFSET) - 1, DEGREE_OFFSET);
}

/** Lets go of all entries of a row without a living edge, and of its memory. */
export function freeRow(graph: GraphStore, node: u32, direction: u32): void {
  const row = rowOf(graph, node, direction);
  for (let at = rowBegin(graph, node, direction), end = rowEnd(graph, node, direction); at < end; at += ENTRY_BYTES) {
    leaveRow(graph, load<u32>(at, EDGE_OFFSET));
  }
  giveRow(graph, node, direction);
  memory.fill(row, 0, DEGREE_OFFSET);
}

/** Gives back a row's memory alone, when the whole graph is closed. */
export function giveRow(graph: GraphStore, node: u32, direction: u32): void {
  const row = rowOf(graph, node, direction);
  const entries = load<usize>(row, ENTRIES_OFFSET);
  if (entries) heapGive(graph.heap, entries, <usize>load<u32>(row, CAPACITY_OFFSET) * ENTRY_BYTES);
}

/** Makes a row what it is read as; false when memory is used up. */
export function tidyRow(graph: GraphStore, node: u32, direction: u32): bool {
  const row = rowOf(graph, node, direction);
  if (load<u32>(row, DEGREE_OFFSET) != load<u32>(row, LENGTH_OFFSET)) dropEnded(graph, row);
  const length = load<u32>(row, LENGTH_OFFSET);
  const sorted = load<u32>(row, SORTED_OFFSET);
  if (sorted == length) return true;
  if (length - sorted <= INSERTED_MAX) insertNew(graph, row, sorted, length);
  else if (!sortRow(graph, row, length)) return false;
  store<u32>(row, length, SORTED_OFFSET);
  return true;
}

/** Takes the edges that ended out of a row, and gives memory back where few are left. */
function dropEnded(graph: GraphStore, row: usize): void {
  const begin = load<usize>(row, ENTRIES_OFFSET);
  const end = begin + <usize>load<u32>(row, LENGTH_OFFSET) * ENTRY_BYTES;
  const sortedEnd = begin + <usize>load<u32>(row, SORTED_OFFSET) * ENTRY_BYTES;
  let sorted: u32 = 0;
  let to = begin;
  for (let at = begin; at < end; at += ENTRY_BYTES) {
    const edge = load<u32>(at, EDGE_OFFSET);
    if (!isLive(graph, edge)) {
      leaveRow(graph, edge);
      continue;
    }
    sorted += <u32>(at < sortedEnd);
    moveEntry(to, at);
    to += ENTRY_BYTES;
  }
  const length = <u32>((to - begin) / ENTRY_BYTES);
  store<u32>(row, length, LENGTH_OFFSET);
  store<u32>(row, sorted, SORTED_OFFSET);
  // Where there is no memory to move to, the row stays in what it has.
  if (length < load<u32>(row, CAPACITY_OFFSET) >> 2) resize(graph, row, max<u32>(length << 1, 1));
}

@inline function moveEntry(to: usize, from: usize): void {
  store<u64>(to, load<u64>(from));
  store<u32>(to, load<u32>(from, ENTRY_TYPE_OFFSET), ENTRY_TYPE_OFFSET);
}

function insertNew(graph: GraphStore, row: usize, sorted: u32, length: u32): void {
  const begin = load<usize>(row, ENTRIES_OFFSET);
  for (; sorted < length; sorted++) {
    const entry = begin + <usize>sorted * ENTRY_BYTES;
    const neighbour = load<u32>(entry, NEIGHBOUR_OFFSET);
    const edge = load<u32>(entry, EDGE_OFFSET);
    const type = load<u32>(entry, ENTRY_TYPE_OFFSET);
    let low: u32 = 0;
    let high = sorted;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (compareEntries(graph, begin + <usize>middle * ENTRY_BYTES, entry) <= 0) low = middle + 1;
      else high = middle;
    }
    const to = begin + <usize>low * ENTRY_BYTES;
    memory.copy(to + ENTRY_BYTES, to, entry - to);
    store<u32>(to, neighbour, NEIGHBOUR_OFFSET);
    store<u32>(to, edge, EDGE_OFFSET);
    store<u32>(to, type, ENTRY_TYPE_OFFSET);
  }
}

/** Merge sort from the bottom up. Pieces that follow each other already are copied: rows of a segment mostly do. */
function sortRow(graph: GraphStore, row: usize, length: u32): bool {
  const bytes = <usize>length * ENTRY_BYTES;
  const entries = load<usize>(row, ENTRIES_OFFSET);
  const spare = scratchTake(<u64>bytes);
  if (!spare) return false;
  let from = entries;
  let to = spare;
  for (let width = ENTRY_BYTES; width < bytes; width <<= 1) {
    for (let start: usize = 0; start < bytes; start += width << 1) {
      let left = from + start;
      const leftEnd = from + min<usize>(start + width, bytes);
      let right = leftEnd;
      const rightEnd = from + min<usize>(start + (width << 1), bytes);
      let out = to + start;
      if (right < rightEnd && compareEntries(graph, leftEnd - ENTRY_BYTES, right) > 0) {
        while (left < leftEnd && right < rightEnd) {
          if (compareEntries(graph, left, right) <= 0) {
            moveEntry(out, left);
            left += ENTRY_BYTES;
          } else {
            moveEntry(out, right);
            right += ENTRY_BYTES;
          }
          out += ENTRY_BYTES;
        }
      }
      memory.copy(out, left, leftEnd - left);
      memory.copy(out + (leftEnd - left), right, rightEnd - right);
    }
    const swap = from;
    from = to;
    to = swap;
  }
  if (from != entries) memory.copy(entries, from, bytes);
  return true;
}

function compareEntries(graph: GraphStore, a: usize, b: usize): i32 {
  const typeA = typeEntry(graph, load<u32>(a, ENTRY_TYPE_OFFSET));
  const types = compareNames(typeA, typeEntry(graph, load<u32>(b, ENTRY_TYPE_OFFSET)));
  if (types) return types;
  const nodeA = nodeEntry(graph, load<u32>(a, NEIGHBOUR_OFFSET));
  const nodes = compareNames(nodeA, nodeEntry(graph, load<u32>(b, NEIGHBOUR_OFFSET)));
  if (nodes) return nodes;
  const ownerA = ownerOf(graph, load<u32>(a, EDGE_OFFSET));
  const ownerB = ownerOf(graph, load<u32>(b, EDGE_OFFSET));
  if (ownerA == ownerB) return 0;
  if (ownerA == NONE) return -1;
  return ownerB == NONE ? 1 : compareNames(nodeEntry(graph, ownerA), nodeEntry(graph, ownerB));
}

@inline function compareNames(a: usize, b: usize): i32 {
  return a == b ? 0 : compareBytes(entryAddress(a), entryLength(a), entryAddress(b), entryLength(b));
}
