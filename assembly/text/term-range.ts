// The range of a TERMS node, and a walk over the terms of a segment that are in it.
import {
  NODE_BOUNDS_OFFSET, NODE_FIELD_OFFSET, NODE_FIRST_TERM_OFFSET, PROGRAM_TERM_BYTES, PROGRAM_TERM_LENGTH_OFFSET,
  programTerm, programTermBytes, TERMS_LOWER, TERMS_LOWER_INCLUSIVE, TERMS_UPPER, TERMS_UPPER_INCLUSIVE,
} from "./query-program";
import { compareBytes } from "./text-index";
import { KEY_FIELD_BYTES, walkBegin, walkKeyLength, walkNext } from "./text-segment";

export let rangeField: u32 = 0;
let bounds: u32 = 0;
export let lowerTerm: usize = 0; // of no bytes where there is no bound
export let lowerLength: u32 = 0;
let upperTerm: usize = 0;
let upperLength: u32 = 0;

/** Takes the range of `node`. */
export function rangeOf(program: usize, node: usize): void {
  const lower = programTerm(program, load<u32>(node, NODE_FIRST_TERM_OFFSET));
  const upper = lower + PROGRAM_TERM_BYTES;
  rangeField = load<u32>(node, NODE_FIELD_OFFSET);
  bounds = load<u32>(node, NODE_BOUNDS_OFFSET);
  lowerTerm = programTermBytes(program, lower);
  lowerLength = load<u32>(lower, PROGRAM_TERM_LENGTH_OFFSET);
  upperTerm = programTermBytes(program, upper);
  upperLength = load<u32>(upper, PROGRAM_TERM_LENGTH_OFFSET);
}

@inline function inLower(term: usize, length: u32): bool {
  if (!(bounds & TERMS_LOWER)) return true;
  const order = compareBytes(term, length, lowerTerm, lowerLength);
  return order > 0 || (order == 0 && (bounds & TERMS_LOWER_INCLUSIVE) != 0);
}
@inline function inUpper(term: usize, length: u32): bool {
  if (!(bounds & TERMS_UPPER)) return true;
  const order = compareBytes(term, length, upperTerm, upperLength);
  return order < 0 || (order == 0 && (bounds & TERMS_UPPER_INCLUSIVE) != 0);
}

export function inRange(term: usize, length: u32): bool {
  return inLower(term, length) && inUpper(term, length);
}

/** A place behind the whole range: (rangeEndField, rangeEndTerm). */
@inline export function rangeEndField(): u32 { return bounds & TERMS_UPPER ? rangeField : rangeField + 1; }
@inline export function rangeEndTerm(): usize { return upperTerm; }
@inline export function rangeEndLength(): u32 { return bounds & TERMS_UPPER ? upperLength : 0; }

let rangeKey: usize = 0;

/** Begins a walk; `key` has room for the segment's longest key. */
export function rangeBegin(segment: usize, key: usize): void {
  rangeKey = key;
  walkBegin(segment, rangeField, lowerTerm, lowerLength, key);
}

/** Puts the walk of text-segment.ts on the next entry in the range. */
export function rangeNext(): bool {
  while (walkNext()) {
    const field = <u32>bswap<u16>(load<u16>(rangeKey));
    const term = rangeKey + KEY_FIELD_BYTES;
    const length = walkKeyLength - KEY_FIELD_BYTES;
    if (field < rangeField || (field == rangeField && !inLower(term, length))) continue;
    return field == rangeField && inUpper(term, length);
  }
  return false;
}
