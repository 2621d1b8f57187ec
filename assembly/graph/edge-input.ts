// EdgeInput: edges as TypeScript writes them for a call, one behind the other, at any address.
//    0..4   u32  bytes of the id of the node that it goes from
//    4..8   u32  bytes of its type
//    8..12  u32  bytes of the id of the node that it goes to
//   12..20  f64  weight
//   20..         the three, UTF-8
import { findName, internName, NONE } from "./names";
import { GraphStore } from "./store";

const FROM_BYTES_OFFSET: usize = 0;
const TYPE_BYTES_OFFSET: usize = 4;
const TO_BYTES_OFFSET: usize = 8;
const WEIGHT_OFFSET: usize = 12;
const HEADER_BYTES: usize = 20;

/** Of the edge that was read last. Ordinals are NONE where there was no memory, or no such name. */
export let inputFrom: u32 = NONE;
export let inputType: u32 = NONE;
export let inputTo: u32 = NONE;

@inline export function inputWeight(at: usize): f64 { return load<f64>(at, WEIGHT_OFFSET); }

@inline function typeAt(at: usize): usize { return at + HEADER_BYTES + load<u32>(at, FROM_BYTES_OFFSET); }
@inline function toAt(at: usize): usize { return typeAt(at) + load<u32>(at, TYPE_BYTES_OFFSET); }
/** Where the edge after this one is. */
@inline export function inputEnd(at: usize): usize { return toAt(at) + load<u32>(at, TO_BYTES_OFFSET); }

/** Interns the names of an edge; false where memory is used up, and then some of them may be there. */
export function internInput(graph: GraphStore, at: usize): bool {
  inputType = NONE;
  inputTo = NONE;
  inputFrom = internName(graph.nodes, at + HEADER_BYTES, load<u32>(at, FROM_BYTES_OFFSET));
  if (inputFrom != NONE) inputType = internName(graph.types, typeAt(at), load<u32>(at, TYPE_BYTES_OFFSET));
  if (inputType != NONE) inputTo = internName(graph.nodes, toAt(at), load<u32>(at, TO_BYTES_OFFSET));
  return inputTo != NONE;
}

/** Looks the names of an edge up; false where one is not there. */
export function findInput(graph: GraphStore, at: usize): bool {
  inputFrom = findName(graph.nodes, at + HEADER_BYTES, load<u32>(at, FROM_BYTES_OFFSET));
  inputType = findName(graph.types, typeAt(at), load<u32>(at, TYPE_BYTES_OFFSET));
  inputTo = findName(graph.nodes, toAt(at), load<u32>(at, TO_BYTES_OFFSET));
  return inputFrom != NONE && inputType != NONE && inputTo != NONE;
}
