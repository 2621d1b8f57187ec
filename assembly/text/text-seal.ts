// Sealing: the documents of a writer as a segment. The layout stands in text-segment.ts. The same documents in the same
// order give the same bytes: terms and keys are sorted, and nothing depends on where something lies in memory.
import { blobAddSection, blobBegin, blobFinish, blobHeaderBytes } from "../blob";
import { regionAlloc, regionCapacity, regionFree } from "../region";
import { BLOCK_LENGTH, pack128, runBytes, width128 } from "./bit-packing";
import {
  CURSOR_BYTES, cursorCount, cursorDocAt, cursorDocFreq, cursorFreqs, cursorNextBlock, cursorOpenChain, cursorRunWidth,
  cursorRunWrite, runLength,
} from "./cursor";
import { filterAdd, filterBlock, filterBytes } from "./id-filter";
import { mergeSort, SORT_KEY_OFFSET, SORT_VALUE_OFFSET, SORTED_BYTES } from "./merge-sort";
import {
  compareBytes, docCountOf, FIELD_ANALYZER_OFFSET, FIELD_DOC_COUNT_OFFSET, FIELD_LENGTH_OFFSET,
  FIELD_NORM_SLOT_OFFSET, FIELD_POINT_COUNT_OFFSET, FIELD_POINT_DOCS_OFFSET, FIELD_POINT_KEYS_OFFSET, fieldCountOf,
  fieldKind, fieldOf, NO_DOC, NORM_STRIDE_OFFSET, NORMS_OFFSET, TEXT,
} from "./text-index";
import {
  BLOCKS, BLOCKS_PER_GROUP, GROUP_ENDS, GROUP_KEYS, ID_FILTER, KEY_FIELD_BYTES, META, META_ANALYZER_OFFSET,
  META_DOC_COUNT_OFFSET, META_FIELD_BYTES, META_FIELD_COUNT_OFFSET, META_FIELD_DOC_COUNT_OFFSET, META_FIELDS_OFFSET,
  META_KEY_BYTES_MAX_OFFSET, META_KIND_OFFSET, META_LENGTH_OFFSET, META_POINT_COUNT_OFFSET, META_TERM_COUNT_OFFSET,
  NORMS, PADDING_BYTES, POINT_DOCS, POINT_KEYS, POSITIONS, SECTION_COUNT, SEGMENT_MAGIC, SEGMENT_VERSION,
  SKIP_BLOCK_OFFSET, SKIP_BYTES, SKIP_DOC_WIDTH_OFFSET, SKIP_FREQ_WIDTH_OFFSET, SKIP_LAST_DOC_OFFSET,
  SKIP_MAX_FREQ_OFFSET, SKIP_MIN_NORM_OFFSET, SKIP_POSITION_OFFSET, SKIPS, TERM_INDEX, TERMS, TERMS_PER_BLOCK,
} from "./text-segment";
import {
  slotCount, TERM_BYTES_OFFSET, TERM_FIELD_OFFSET, TERM_LENGTH_OFFSET, termCountOf, termDocFreq, termInSlot,
} from "./text-writer";
import { VARINT_BYTES_MAX, writeVarint } from "./varint";

// Sinks: bytes that are appended to. {usize region, usize used} each; all that is not used is zero.
const SINKS: usize = memory.data(8 * 8, 16);
const SINK_USED_OFFSET: usize = 4;
const TERMS_SINK: usize = SINKS;
const TERM_INDEX_SINK: usize = SINKS + 8;
const SKIPS_SINK: usize = SINKS + 16;
const BLOCKS_SINK: usize = SINKS + 24;
const POSITIONS_SINK: usize = SINKS + 32;
const GROUP_ENDS_SINK: usize = SINKS + 40;
const GROUP_KEYS_SINK: usize = SINKS + 48;
const PAYLOAD_SINK: usize = SINKS + 56; // of one term at a time
const SINK_COUNT: usize = 8;

const CURSOR: usize = memory.data(1152, 16);
if (CURSOR_BYTES != 1152) ERROR("CURSOR must hold a cursor");
const GAPS: usize = memory.data(512, 16);

@inline function sinkUsed(sink: usize): usize { return load<usize>(sink, SINK_USED_OFFSET); }
@inline function sinkEnd(sink: usize): usize { return load<usize>(sink) + sinkUsed(sink); }
/** Says that everything before `end` is used. */
@inline function sinkAdvance(sink: usize, end: usize): void {
  store<usize>(sink, end - load<usize>(sink), SINK_USED_OFFSET);
}

/** Room for `bytes` more zero bytes; returns where, or 0 when memory is used up. */
function sinkReserve(sink: usize, bytes: u64): usize {
  const region = load<usize>(sink);
  const used = sinkUsed(sink);
  const wanted = <u64>used + bytes;
  if (region != 0 && wanted <= <u64>regionCapacity(region)) return region + used;
  if (wanted > 0xf000_0000) return 0;
  const asked = max<usize>(<usize>wanted, used + (used >> 1));
  const grown = regionAlloc(asked);
  if (!grown) return 0;
  memory.copy(grown, region, used);
  memory.fill(grown + asked, 0, regionCapacity(grown) - asked);
  regionFree(region);
  store<usize>(sink, grown);
  return grown + used;
}

/** The segment's blob in a region of its own, which the caller frees; 0 when memory is used up. */
export function textWriterSeal(writer: usize): usize {
  memory.fill(SINKS, 0, SINK_COUNT << 3);
  const sorted = sortedTerms(writer);
  const blob = sorted && writeTerms(writer, sorted) ? writeBlob(writer, sorted) : 0;
  for (let i: usize = 0; i < SINK_COUNT; i++) regionFree(load<usize>(SINKS + (i << 3)));
  regionFree(sorted);
  return blob;
}

let sealedTerms: u32 = 0;
let sealedIds: u32 = 0; // those of field 0; they are the first in order
let keyBytesMax: u32 = 0;

/** Pairs of (the key's first eight bytes, term) in the order of keys, in a region; 0 when memory is used up. */
function sortedTerms(writer: usize): usize {
  const count = <usize>termCountOf(writer);
  const pairs = regionAlloc(count * SORTED_BYTES);
  const spare = regionAlloc(count * SORTED_BYTES);
  if (!pairs || !spare) {
    regionFree(pairs);
    regionFree(spare);
    return 0;
  }
  sealedTerms = 0;
  sealedIds = 0;
  keyBytesMax = 0;
  for (let slot: usize = 0, slots = slotCount(writer); slot < slots; slot++) {
    const term = termInSlot(writer, slot);
    if (!term || !termDocFreq(writer, term)) continue;
    const length = load<u32>(term, TERM_LENGTH_OFFSET);
    let prefix: u64 = 0;
    for (let i: u32 = 0, shift: u64 = 40; i < min<u32>(length, 6); i++, shift -= 8) {
      prefix |= <u64>load<u8>(term + i, TERM_BYTES_OFFSET) << shift;
    }
    const pair = pairs + <usize>sealedTerms * SORTED_BYTES;
    sealedTerms++;
    sealedIds += <u32>(load<u32>(term, TERM_FIELD_OFFSET) == 0);
    store<u64>(pair, <u64>load<u32>(term, TERM_FIELD_OFFSET) << 48 | prefix, SORT_KEY_OFFSET);
    store<usize>(pair, term, SORT_VALUE_OFFSET);
    keyBytesMax = max<u32>(keyBytesMax, length + KEY_FIELD_BYTES);
  }
  const sorted = mergeSort(pairs, spare, sealedTerms, (a, b) =>
    compareBytes(
      a + TERM_BYTES_OFFSET, load<u32>(a, TERM_LENGTH_OFFSET), b + TERM_BYTES_OFFSET, load<u32>(b, TERM_LENGTH_OFFSET),
    ) <= 0
  );
  regionFree(sorted == pairs ? spare : pairs);
  return sorted;
}

function writeTerms(writer: usize, sorted: usize): bool {
  let previous: usize = 0;
  for (let i: u32 = 0; i < sealedTerms; i++) {
    const term = load<usize>(sorted + <usize>i * SORTED_BYTES, SORT_VALUE_OFFSET);
    if (i % (TERMS_PER_BLOCK * BLOCKS_PER_GROUP) == 0 && !writeGroup(term, previous)) return false;
    if (i % TERMS_PER_BLOCK == 0) {
      const at = sinkReserve(TERM_INDEX_SINK, 4);
      if (!at) return false;
      store<u32>(at, <u32>sinkUsed(TERMS_SINK));
      sinkAdvance(TERM_INDEX_SINK, at + 4);
      previous = 0;
    }
    if (!cursorOpenChain(CURSOR, writer, term)) return false;
    if (!writePostings(writer, load<u32>(term, TERM_FIELD_OFFSET))) return false;
    if (!writeEntry(term, previous)) return false;
    previous = term;
  }
  if (!sinkReserve(TERMS_SINK, PADDING_BYTES) || !sinkReserve(POSITIONS_SINK, PADDING_BYTES)) return false;
  sinkAdvance(TERMS_SINK, sinkEnd(TERMS_SINK) + PADDING_BYTES);
  sinkAdvance(POSITIONS_SINK, sinkEnd(POSITIONS_SINK) + PADDING_BYTES);
  return true;
}

/** Begins a group with `term`; `previous` is the term before it, 0 where there is none. */
function writeGroup(term: usize, previous: usize): bool {
  const field = load<u32>(term, TERM_FIELD_OFFSET);
  let length: u32 = 0; // that tells the two terms apart
  if (previous && load<u32>(previous, TERM_FIELD_OFFSET) == field) length = sharedBytes(term, previous) + 1;
  const key = sinkReserve(GROUP_KEYS_SINK, <u64>length + KEY_FIELD_BYTES);
  const end = sinkReserve(GROUP_ENDS_SINK, 4);
  if (!key || !end) return false;
  store<u16>(key, bswap<u16>(<u16>field));
  memory.copy(key + KEY_FIELD_BYTES, term + TERM_BYTES_OFFSET, length);
  sinkAdvance(GROUP_KEYS_SINK, key + KEY_FIELD_BYTES + length);
  store<u32>(end, <u32>sinkUsed(GROUP_KEYS_SINK));
  sinkAdvance(GROUP_ENDS_SINK, end + 4);
  return true;
}

/** Bytes that two terms begin with alike. */
function sharedBytes(a: usize, b: usize): u32 {
  const most = min<u32>(load<u32>(a, TERM_LENGTH_OFFSET), load<u32>(b, TERM_LENGTH_OFFSET));
  let shared: u32 = 0;
  while (shared < most && load<u8>(a + shared, TERM_BYTES_OFFSET) == load<u8>(b + shared, TERM_BYTES_OFFSET)) shared++;
  return shared;
}

/** The dictionary's entry of `term`, its payload written already. `previous` is the term before it in the block. */
function writeEntry(term: usize, previous: usize): bool {
  const field = load<u32>(term, TERM_FIELD_OFFSET);
  const length = load<u32>(term, TERM_LENGTH_OFFSET);
  const payloadLength = sinkUsed(PAYLOAD_SINK);
  let at = sinkReserve(TERMS_SINK, <u64>length + payloadLength + KEY_FIELD_BYTES + 4 * VARINT_BYTES_MAX);
  if (!at) return false;
  let shared: u32 = 0;
  if (previous) {
    const previousField = load<u32>(previous, TERM_FIELD_OFFSET);
    if (previousField == field) {
      shared = sharedBytes(term, previous) + KEY_FIELD_BYTES;
    } else if (previousField >> 8 == field >> 8) {
      shared = 1;
    }
  }
  at = writeVarint(at, shared);
  at = writeVarint(at, length + KEY_FIELD_BYTES - shared);
  if (shared == 0) store<u8>(at++, field >> 8);
  if (shared <= 1) store<u8>(at++, field);
  const from = max<u32>(shared, KEY_FIELD_BYTES) - KEY_FIELD_BYTES;
  memory.copy(at, term + TERM_BYTES_OFFSET + from, length - from);
  at += length - from;
  at = writeVarint(at, cursorDocFreq(CURSOR));
  at = writeVarint(at, <u32>payloadLength);
  memory.copy(at, load<usize>(PAYLOAD_SINK), payloadLength);
  sinkAdvance(TERMS_SINK, at + payloadLength);
  memory.fill(load<usize>(PAYLOAD_SINK), 0, payloadLength);
  store<usize>(PAYLOAD_SINK, 0, SINK_USED_OFFSET);
  return true;
}

/** Writes the postings of CURSOR: full blocks to their sections, the rest to the payload. */
function writePostings(writer: usize, field: u32): bool {
  const fieldState = fieldOf(writer, field);
  const hasPositions = fieldKind(fieldState) == TEXT;
  const docFreq = cursorDocFreq(CURSOR);
  if (docFreq >= BLOCK_LENGTH) {
    const at = sinkReserve(PAYLOAD_SINK, VARINT_BYTES_MAX);
    if (!at) return false;
    sinkAdvance(PAYLOAD_SINK, writeVarint(at, <u32>(sinkUsed(SKIPS_SINK) / SKIP_BYTES)));
  }
  let previousDoc = NO_DOC;
  while (cursorNextBlock(CURSOR)) {
    const count = cursorCount(CURSOR);
    if (count == BLOCK_LENGTH) {
      if (!writeFullBlock(writer, fieldState, hasPositions, previousDoc)) return false;
    } else if (!writeTail(hasPositions, previousDoc)) {
      return false;
    }
    previousDoc = cursorDocAt(CURSOR, count - 1);
  }
  return true;
}

function writeFullBlock(writer: usize, fieldState: usize, hasPositions: bool, previousDoc: u32): bool {
  const freqs = cursorFreqs(CURSOR);
  const norms = load<usize>(writer, NORMS_OFFSET) + load<u32>(fieldState, FIELD_NORM_SLOT_OFFSET);
  const stride = <usize>load<u32>(writer, NORM_STRIDE_OFFSET);
  let maxFreq: u32 = 0;
  let minNorm: u32 = hasPositions ? 255 : 0;
  let previous = previousDoc;
  for (let i: u32 = 0; i < BLOCK_LENGTH; i++) {
    const doc = cursorDocAt(CURSOR, i);
    store<u32>(GAPS + (<usize>i << 2), doc - previous - 1);
    previous = doc;
    const freq = freqs + (<usize>i << 2);
    maxFreq = max<u32>(maxFreq, load<u32>(freq));
    store<u32>(freq, load<u32>(freq) - 1);
    if (hasPositions) minNorm = min<u32>(minNorm, load<u8>(norms + <usize>doc * stride));
  }
  const skip = sinkReserve(SKIPS_SINK, SKIP_BYTES);
  if (!skip) return false;
  sinkAdvance(SKIPS_SINK, skip + SKIP_BYTES);
  const docWidth = width128(GAPS);
  const freqWidth = width128(freqs);
  const packed = sinkReserve(BLOCKS_SINK, (docWidth + freqWidth) << 4);
  if (!packed) return false;
  store<u32>(skip, previous, SKIP_LAST_DOC_OFFSET);
  store<u32>(skip, <u32>(sinkUsed(BLOCKS_SINK) >> 4), SKIP_BLOCK_OFFSET);
  store<u8>(skip, docWidth, SKIP_DOC_WIDTH_OFFSET);
  store<u8>(skip, freqWidth, SKIP_FREQ_WIDTH_OFFSET);
  store<u8>(skip, min<u32>(maxFreq, 255), SKIP_MAX_FREQ_OFFSET);
  store<u8>(skip, minNorm, SKIP_MIN_NORM_OFFSET);
  pack128(docWidth, GAPS, packed);
  pack128(freqWidth, freqs, packed + (<usize>docWidth << 4));
  sinkAdvance(BLOCKS_SINK, packed + (<usize>(docWidth + freqWidth) << 4));
  for (let i: usize = 0; i < BLOCK_LENGTH; i++) store<u32>(freqs + (i << 2), load<u32>(freqs + (i << 2)) + 1);
  store<u32>(skip, <u32>sinkUsed(POSITIONS_SINK), SKIP_POSITION_OFFSET);
  return !hasPositions || writeRun(POSITIONS_SINK);
}

function writeTail(hasPositions: bool, previousDoc: u32): bool {
  const count = cursorCount(CURSOR);
  const freqs = cursorFreqs(CURSOR);
  let at = sinkReserve(PAYLOAD_SINK, <u64>count * 2 * VARINT_BYTES_MAX);
  if (!at) return false;
  let previous = previousDoc;
  for (let i: u32 = 0; i < count; i++) {
    const doc = cursorDocAt(CURSOR, i);
    const freq = load<u32>(freqs + (<usize>i << 2));
    at = writeVarint(at, ((doc - previous - 1) << 1) | <u32>(freq == 1));
    if (freq != 1) at = writeVarint(at, freq);
    previous = doc;
  }
  sinkAdvance(PAYLOAD_SINK, at);
  return !hasPositions || writeRun(PAYLOAD_SINK);
}

/** The positions of the postings in CURSOR's buffer. */
function writeRun(sink: usize): bool {
  const width = cursorRunWidth(CURSOR);
  const bytes = runBytes(width, runLength);
  const at = sinkReserve(sink, 1 + bytes + PADDING_BYTES);
  if (!at) return false;
  store<u8>(at, width);
  cursorRunWrite(CURSOR, width, at + 1);
  sinkAdvance(sink, at + 1 + <usize>bytes);
  return true;
}

function writeBlob(writer: usize, sorted: usize): usize {
  const docCount = docCountOf(writer);
  const fieldCount = fieldCountOf(writer);
  const metaBytes = META_FIELDS_OFFSET + <usize>fieldCount * META_FIELD_BYTES;
  const normBytes = <usize>docCount * load<u32>(writer, NORM_STRIDE_OFFSET);
  let points: usize = 0;
  for (let i: u32 = 0; i < fieldCount; i++) points += load<u32>(fieldOf(writer, i), FIELD_POINT_COUNT_OFFSET);
  const idBytes = filterBytes(sealedIds);
  let body: u64 = <u64>metaBytes + normBytes + <u64>points * 12 + idBytes + SECTION_COUNT * 64;
  for (let sink = TERMS_SINK; sink <= GROUP_KEYS_SINK; sink += 8) body += sinkUsed(sink);
  const total = body + blobHeaderBytes(SECTION_COUNT, body);
  if (total > 0xf000_0000) return 0;
  const blob = regionAlloc(<usize>total);
  if (!blob) return 0;
  blobBegin(blob, SEGMENT_MAGIC, 0, SEGMENT_VERSION);

  let offset = blobHeaderBytes(SECTION_COUNT, body);
  const meta = blob + offset;
  store<u32>(meta, docCount, META_DOC_COUNT_OFFSET);
  store<u32>(meta, fieldCount, META_FIELD_COUNT_OFFSET);
  store<u32>(meta, sealedTerms, META_TERM_COUNT_OFFSET);
  store<u32>(meta, keyBytesMax, META_KEY_BYTES_MAX_OFFSET);
  for (let i: u32 = 0; i < fieldCount; i++) {
    const field = fieldOf(writer, i);
    const at = meta + META_FIELDS_OFFSET + <usize>i * META_FIELD_BYTES;
    store<u32>(at, fieldKind(field), META_KIND_OFFSET);
    store<u32>(at, load<u32>(field, FIELD_ANALYZER_OFFSET), META_ANALYZER_OFFSET);
    store<u32>(at, load<u32>(field, FIELD_DOC_COUNT_OFFSET), META_FIELD_DOC_COUNT_OFFSET);
    store<u32>(at, load<u32>(field, FIELD_POINT_COUNT_OFFSET), META_POINT_COUNT_OFFSET);
    store<u64>(at, load<u64>(field, FIELD_LENGTH_OFFSET), META_LENGTH_OFFSET);
  }
  offset = blobAddSection(blob, META, offset, metaBytes);
  offset = copySection(blob, GROUP_ENDS, offset, load<usize>(GROUP_ENDS_SINK), sinkUsed(GROUP_ENDS_SINK));
  offset = copySection(blob, GROUP_KEYS, offset, load<usize>(GROUP_KEYS_SINK), sinkUsed(GROUP_KEYS_SINK));
  offset = copySection(blob, TERMS, offset, load<usize>(TERMS_SINK), sinkUsed(TERMS_SINK));
  offset = copySection(blob, TERM_INDEX, offset, load<usize>(TERM_INDEX_SINK), sinkUsed(TERM_INDEX_SINK));
  offset = copySection(blob, SKIPS, offset, load<usize>(SKIPS_SINK), sinkUsed(SKIPS_SINK));
  offset = copySection(blob, BLOCKS, offset, load<usize>(BLOCKS_SINK), sinkUsed(BLOCKS_SINK));
  offset = copySection(blob, POSITIONS, offset, load<usize>(POSITIONS_SINK), sinkUsed(POSITIONS_SINK));
  offset = copySection(blob, NORMS, offset, load<usize>(writer, NORMS_OFFSET), normBytes);
  const keys = offset;
  offset = blobAddSection(blob, POINT_KEYS, keys, points << 3);
  const docs = offset;
  offset = blobAddSection(blob, POINT_DOCS, docs, points << 2);
  if (!writePoints(writer, blob + keys, blob + docs)) {
    regionFree(blob);
    return 0;
  }
  const filter = blob + offset;
  offset = blobAddSection(blob, ID_FILTER, offset, idBytes);
  for (let i: u32 = 0; i < sealedIds; i++) {
    const id = load<usize>(sorted + <usize>i * SORTED_BYTES, SORT_VALUE_OFFSET);
    filterAdd(filterBlock(filter, idBytes, id + TERM_BYTES_OFFSET, load<u32>(id, TERM_LENGTH_OFFSET)));
  }
  blobFinish(blob, offset);
  return blob;
}

function copySection(blob: usize, id: u32, offset: usize, from: usize, bytes: usize): usize {
  memory.copy(blob + offset, from, bytes);
  return blobAddSection(blob, id, offset, bytes);
}

function writePoints(writer: usize, keys: usize, docs: usize): bool {
  for (let i: u32 = 0, fields = fieldCountOf(writer); i < fields; i++) {
    const field = fieldOf(writer, i);
    const count = <usize>load<u32>(field, FIELD_POINT_COUNT_OFFSET);
    if (!count) continue;
    const pairs = regionAlloc(count * SORTED_BYTES);
    const spare = regionAlloc(count * SORTED_BYTES);
    if (pairs && spare) {
      for (let k: usize = 0; k < count; k++) {
        store<u64>(pairs + k * SORTED_BYTES, load<u64>(load<usize>(field, FIELD_POINT_KEYS_OFFSET) + (k << 3)));
        const doc = load<u32>(load<usize>(field, FIELD_POINT_DOCS_OFFSET) + (k << 2));
        store<u32>(pairs + k * SORTED_BYTES, doc, SORT_VALUE_OFFSET);
      }
      const sorted = mergeSort(pairs, spare, <u32>count, (a, b) => true); // keys came in the order of documents
      for (let k: usize = 0; k < count; k++) {
        store<u64>(keys + (k << 3), load<u64>(sorted + k * SORTED_BYTES, SORT_KEY_OFFSET));
        store<u32>(docs + (k << 2), load<u32>(sorted + k * SORTED_BYTES, SORT_VALUE_OFFSET));
      }
    }
    regionFree(pairs);
    regionFree(spare);
    if (!pairs || !spare) return false;
    keys += count << 3;
    docs += count << 2;
  }
  return true;
}
