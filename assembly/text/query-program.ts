// The byte program of a query, written by compileQuery (src/engine/query.ts). It comes from there alone, never from
// outside, so it is not checked. Everything is little-endian and a multiple of four bytes, but for the pool.
//
// Header, 64 bytes
//    0..4   u32  nodeCount
//    4..8   u32  setCount
//    8..12  u32  memberCount
//   12..16  u32  cursorCount    postings that the query may have open
//   16..20  u32  filterCount    nodes POINTS and TERMS
//   20..24  u32  depth          nested BOOLs
//   24..28  f32  lengthBase     k1 · (1 − b)
//   28..44  u32  offsets of sets, members, terms, pool; nodes follow the header
//
// Node, 32 bytes. Nodes stand in pre-order: the children of a BOOL follow it, must first, then should, then mustNot.
//    0..4   u32  kind
//    4..8   u32  next           the node behind this one and all below it
//   BOOL            8 u32 must, 12 u32 should, 16 u32 mustNot: counts
//   TERM, PHRASE    8 f32 weight (boost · idf · (k1 + 1)), 12 u32 set, 16 u32 first term, 20 u32 terms
//   POINTS          8 u32 field, 16 u64 lower, 24 u64 upper, both in the interval
//   TERMS           8 u32 field, 12 u32 bounds (TERMS_…), 16 u32 first term: of lower, then of upper
//
// Set, 8 bytes: the fields that a leaf searches together: u32 first member, u32 members
// Member, 16 bytes: u32 field, f32 weight, f32 lengthFactor (k1 · b · weight / weighted average length of the set),
//                   f32 averageLength of the field alone
// Term, 16 bytes: u32 offset in the pool, u32 length, u32 position (of a phrase's term), u32 (0)

export const PROGRAM_NODE_COUNT_OFFSET: usize = 0;
export const PROGRAM_SET_COUNT_OFFSET: usize = 4;
export const PROGRAM_MEMBER_COUNT_OFFSET: usize = 8;
export const PROGRAM_CURSOR_COUNT_OFFSET: usize = 12;
export const PROGRAM_FILTER_COUNT_OFFSET: usize = 16;
export const PROGRAM_DEPTH_OFFSET: usize = 20;
export const PROGRAM_LENGTH_BASE_OFFSET: usize = 24;
export const PROGRAM_SETS_OFFSET: usize = 28;
export const PROGRAM_MEMBERS_OFFSET: usize = 32;
export const PROGRAM_TERMS_OFFSET: usize = 36;
export const PROGRAM_POOL_OFFSET: usize = 40;
export const PROGRAM_HEADER_BYTES: usize = 64;

export const NONE: u32 = 0;
export const ALL: u32 = 1;
export const TERM: u32 = 2;
export const PHRASE: u32 = 3;
export const POINTS: u32 = 4;
export const TERMS: u32 = 5;
export const BOOL: u32 = 6;

export const NODE_BYTES: usize = 32;
export const NODE_KIND_OFFSET: usize = 0;
export const NODE_NEXT_OFFSET: usize = 4;
export const NODE_MUST_OFFSET: usize = 8;
export const NODE_SHOULD_OFFSET: usize = 12;
export const NODE_MUST_NOT_OFFSET: usize = 16;
export const NODE_WEIGHT_OFFSET: usize = 8;
export const NODE_SET_OFFSET: usize = 12;
export const NODE_FIRST_TERM_OFFSET: usize = 16;
export const NODE_TERM_COUNT_OFFSET: usize = 20;
export const NODE_FIELD_OFFSET: usize = 8;
export const NODE_BOUNDS_OFFSET: usize = 12;
export const NODE_LOWER_OFFSET: usize = 16;
export const NODE_UPPER_OFFSET: usize = 24;

export const TERMS_LOWER: u32 = 1;
export const TERMS_LOWER_INCLUSIVE: u32 = 2;
export const TERMS_UPPER: u32 = 4;
export const TERMS_UPPER_INCLUSIVE: u32 = 8;

export const SET_BYTES: usize = 8;
export const MEMBER_BYTES: usize = 16;
export const MEMBER_FIELD_OFFSET: usize = 0;
export const MEMBER_WEIGHT_OFFSET: usize = 4;
export const MEMBER_LENGTH_FACTOR_OFFSET: usize = 8;
export const MEMBER_AVERAGE_LENGTH_OFFSET: usize = 12;
export const PROGRAM_TERM_BYTES: usize = 16;
export const PROGRAM_TERM_OFFSET_OFFSET: usize = 0;
export const PROGRAM_TERM_LENGTH_OFFSET: usize = 4;
export const PROGRAM_TERM_POSITION_OFFSET: usize = 8;

@inline export function programTerm(program: usize, term: u32): usize {
  return program + load<u32>(program, PROGRAM_TERMS_OFFSET) + <usize>term * PROGRAM_TERM_BYTES;
}
@inline export function programTermBytes(program: usize, term: usize): usize {
  return program + load<u32>(program, PROGRAM_POOL_OFFSET) + load<u32>(term, PROGRAM_TERM_OFFSET_OFFSET);
}
