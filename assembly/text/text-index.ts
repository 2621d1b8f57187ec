// What a writer in memory and a sealed segment have in common: the header that every reader of either goes by.
//
// TextIndex
//    0..4   u32    kind         WRITER or SEGMENT; the fields behind HEADER_BYTES are the kind's own
//    4..8   u32    docCount
//    8..12  u32    fieldCount
//   12..16  usize  fields       Field[fieldCount]
//   16..20  usize  norms        u8[docCount][normStride]: the fieldnorms of a document stand together
//   20..24  u32    normStride   text fields
//
// Field, 64 bytes
//    0..4   u32    kind         TEXT, TERM or POINT
//    4..8   u32    analyzer     of a TEXT field
//    8..12  u32    normSlot     of a TEXT field: its place among the norms of a document
//   12..16  u32    docCount     documents that have the field
//   16..24  u64    length       tokens of all documents; values of a TERM field; keys of a POINT field
//   24..28  usize  pointKeys    u64[pointCount]; ascending in a segment, as they came in a writer
//   28..32  usize  pointDocs    u32[pointCount]
//   32..36  u32    pointCount
//   36..64         the writer's own

export const KIND_OFFSET: usize = 0;
export const DOC_COUNT_OFFSET: usize = 4;
export const FIELD_COUNT_OFFSET: usize = 8;
export const FIELDS_OFFSET: usize = 12;
export const NORMS_OFFSET: usize = 16;
export const NORM_STRIDE_OFFSET: usize = 20;
export const HEADER_BYTES: usize = 32;

export const WRITER: u32 = 1;
export const SEGMENT: u32 = 2;

export const FIELD_KIND_OFFSET: usize = 0;
export const FIELD_ANALYZER_OFFSET: usize = 4;
export const FIELD_NORM_SLOT_OFFSET: usize = 8;
export const FIELD_DOC_COUNT_OFFSET: usize = 12;
export const FIELD_LENGTH_OFFSET: usize = 16;
export const FIELD_POINT_KEYS_OFFSET: usize = 24;
export const FIELD_POINT_DOCS_OFFSET: usize = 28;
export const FIELD_POINT_COUNT_OFFSET: usize = 32;
export const FIELD_BYTES: usize = 64;

export const TEXT: u32 = 0;
export const TERM: u32 = 1;
export const POINT: u32 = 2;
export const FIELD_KINDS: u32 = 3;

export const NO_DOC: u32 = 0xffff_ffff; // past every document
export const DOC_COUNT_MAX: u32 = 0x7fff_0000;

@inline export function indexKind(index: usize): u32 { return load<u32>(index, KIND_OFFSET); }
@inline export function docCountOf(index: usize): u32 { return load<u32>(index, DOC_COUNT_OFFSET); }
@inline export function fieldCountOf(index: usize): u32 { return load<u32>(index, FIELD_COUNT_OFFSET); }
@inline export function fieldOf(index: usize, field: u32): usize {
  return load<usize>(index, FIELDS_OFFSET) + <usize>field * FIELD_BYTES;
}
@inline export function fieldKind(field: usize): u32 { return load<u32>(field, FIELD_KIND_OFFSET); }

/** Gives every field the kind and analyzer that u8[fieldCount][2] at `kinds` says. Returns the number of text fields,
 *  or −1 where a kind or analyzer is unknown. */
export function fieldsBegin(fields: usize, fieldCount: u32, kinds: usize, analyzerCount: u32): i32 {
  let texts: u32 = 0;
  for (let i: u32 = 0; i < fieldCount; i++) {
    const field = fields + <usize>i * FIELD_BYTES;
    const kind = <u32>load<u8>(kinds + (<usize>i << 1));
    const analyzer = <u32>load<u8>(kinds + (<usize>i << 1), 1);
    if (kind >= FIELD_KINDS || analyzer >= analyzerCount) return -1;
    store<u32>(field, kind, FIELD_KIND_OFFSET);
    store<u32>(field, analyzer, FIELD_ANALYZER_OFFSET);
    store<u32>(field, texts, FIELD_NORM_SLOT_OFFSET);
    if (kind == TEXT) texts++;
  }
  return texts;
}

/** Order of two byte strings: negative, 0 or positive as of memcmp, the shorter first where one begins the other. */
export function compareBytes(a: usize, aLength: u32, b: usize, bLength: u32): i32 {
  const shared = min<u32>(aLength, bLength);
  let i: u32 = 0;
  while (i + 8 <= shared) {
    const x = load<u64>(a + i);
    const y = load<u64>(b + i);
    if (x != y) return bswap<u64>(x) < bswap<u64>(y) ? -1 : 1;
    i += 8;
  }
  for (; i < shared; i++) {
    const difference = <i32>load<u8>(a + i) - <i32>load<u8>(b + i);
    if (difference) return difference;
  }
  return aLength < bLength ? -1 : <i32>(aLength > bLength);
}

@inline export function equalBytes(a: usize, b: usize, length: u32): bool {
  let i: u32 = 0;
  for (; i + 8 <= length; i += 8) if (load<u64>(a + i) != load<u64>(b + i)) return false;
  for (; i < length; i++) if (load<u8>(a + i) != load<u8>(b + i)) return false;
  return true;
}
