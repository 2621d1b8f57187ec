// The sealed vector index: a blob (blob.ts) whose sections are the arenas of layout.ts, byte for byte. No pointers, so
// opening one is checking it. Single vectors are read from the file by src/engine/vector-index.ts, which knows META,
// DOC_ORDS and VECTORS too.
import { blobAddSection, blobBegin, blobFinish, blobHeaderBytes, section, sectionLength } from "../blob";
import { docSetAdd, docSetNew } from "../doc-set";
import { regionAlloc } from "../region";
import {
  COSINE, docOrdOf, EUCLIDEAN, firstUpperRow, freeIndex, levelOf, linkArena, linkOffset, M_MAX, newIndex, NONE,
  rowBytesOf, slotsAt, towerOf, twinOf, VectorIndex,
} from "./layout";

export const VECTOR_MAGIC: u32 = 0x43455650; // "PVEC"
export const VECTOR_VERSION: u16 = 2;
const KIND_F32: u16 = 0;

const META: u32 = 1;
const DOC_ORDS: u32 = 2;
const TOWERS: u32 = 3;
const TWINS: u32 = 4;
const UPPER: u32 = 5;
const LINKS: u32 = 6;
const FACTORS: u32 = 7; // cosine only
const VECTORS: u32 = 8;
const SECTION_COUNT: u32 = 8;

// META, u32 each:
const META_DIMENSION: usize = 0;
const META_METRIC: usize = 4;
const META_M: usize = 8;
const META_EF_CONSTRUCTION: usize = 12;
const META_COUNT: usize = 16;
const META_ENTRY: usize = 20;
const META_TOP_LEVEL: usize = 24;
const META_UPPER_COUNT: usize = 28;
const META_LAST_DOC_ORD: usize = 32; // NONE without vectors
const META_BYTES: usize = 36;

/** Writes a writer's index into a new blob; 0 when memory is used up. */
export function seal(index: VectorIndex): usize {
  const count = <u64>index.count;
  const isCosine = index.metric == COSINE;
  const ordBytes = count << 2;
  const linkBytes = count * index.m0 << 2;
  const upperBytes = <u64>index.upperCount * index.m << 2;
  const vectorBytes = count * index.rowBytes;
  const sections = SECTION_COUNT - <u32>!isCosine;
  const body = META_BYTES + 64 * SECTION_COUNT + ordBytes * (isCosine ? 4 : 3) + linkBytes + upperBytes + vectorBytes;
  const most = blobHeaderBytes(sections, body) + body;
  if (most > <u64>0xffffffff) return 0;
  const blob = regionAlloc(<usize>most);
  if (!blob) return 0;
  blobBegin(blob, VECTOR_MAGIC, KIND_F32, VECTOR_VERSION);
  let offset = blobHeaderBytes(sections, body);
  const meta = blob + offset;
  store<u32>(meta, index.dimension, META_DIMENSION);
  store<u32>(meta, index.metric, META_METRIC);
  store<u32>(meta, index.m, META_M);
  store<u32>(meta, index.efConstruction, META_EF_CONSTRUCTION);
  store<u32>(meta, index.count, META_COUNT);
  store<u32>(meta, index.entry, META_ENTRY);
  store<u32>(meta, index.topLevel, META_TOP_LEVEL);
  store<u32>(meta, index.upperCount, META_UPPER_COUNT);
  store<u32>(meta, index.count ? docOrdOf(index, index.count - 1) : NONE, META_LAST_DOC_ORD);
  offset = blobAddSection(blob, META, offset, META_BYTES);
  offset = copySection(blob, DOC_ORDS, offset, index.docOrds, <usize>ordBytes);
  offset = copySection(blob, TOWERS, offset, index.towers, <usize>ordBytes);
  offset = copySection(blob, TWINS, offset, index.twins, <usize>ordBytes);
  offset = copySection(blob, UPPER, offset, index.upper, <usize>upperBytes);
  offset = copySection(blob, LINKS, offset, index.links, <usize>linkBytes);
  if (isCosine) offset = copySection(blob, FACTORS, offset, index.factors, <usize>ordBytes);
  offset = copySection(blob, VECTORS, offset, index.vectors, <usize>vectorBytes);
  blobFinish(blob, offset);
  return blob;
}

function copySection(blob: usize, id: u32, offset: usize, from: usize, length: usize): usize {
  memory.copy(blob + offset, from, length);
  return blobAddSection(blob, id, offset, length);
}

export const SEGMENT_OUT_OF_MEMORY: usize = 0;
export const SEGMENT_DAMAGED: usize = 1; // regions are aligned: no index has this address

/** Opens a blob whose pages have all been checked: the index, or why there is none. The blob stays the caller's, and
 *  longer than the index. What could lead a search out of its arenas, or round in circles, is checked here, so that it
 *  need not look; whether the rest makes sense is for isSound to say. docOrds are below docCount. */
export function open(blob: usize, docCount: u32): usize {
  const meta = section(blob, META);
  if (!meta || sectionLength(blob, META) != META_BYTES) return SEGMENT_DAMAGED;
  const dimension = load<u32>(meta, META_DIMENSION);
  const metric = load<u32>(meta, META_METRIC);
  const m = load<u32>(meta, META_M);
  const count = load<u32>(meta, META_COUNT);
  const upperCount = load<u32>(meta, META_UPPER_COUNT);
  if (dimension == 0 || dimension > 1 << 20 || metric > EUCLIDEAN || m < 2 || m > M_MAX) return SEGMENT_DAMAGED;
  // None of these products overflows: each factor is below 2³², dimension and m far below.
  const length = <u64>count;
  if (!isLong(blob, DOC_ORDS, length << 2) || !isLong(blob, TOWERS, length << 2) || !isLong(blob, TWINS, length << 2) ||
      !isLong(blob, UPPER, <u64>upperCount * m << 2) || !isLong(blob, LINKS, length * m << 3) ||
      !isLong(blob, FACTORS, metric == COSINE ? length << 2 : 0) ||
      !isLong(blob, VECTORS, length * rowBytesOf(dimension))) return SEGMENT_DAMAGED;

  const region = newIndex(dimension, metric, m, load<u32>(meta, META_EF_CONSTRUCTION));
  if (!region) return SEGMENT_OUT_OF_MEMORY;
  const index = changetype<VectorIndex>(region);
  index.count = count;
  index.entry = load<u32>(meta, META_ENTRY);
  index.topLevel = load<u32>(meta, META_TOP_LEVEL);
  index.upperCount = upperCount;
  index.docOrds = section(blob, DOC_ORDS);
  index.towers = section(blob, TOWERS);
  index.twins = section(blob, TWINS);
  index.upper = section(blob, UPPER);
  index.links = section(blob, LINKS);
  index.factors = section(blob, FACTORS);
  index.vectors = section(blob, VECTORS);
  index.blob = blob;
  index.visited = regionAlloc(<usize>count << 1);
  const isGood = index.visited != 0 && isSafe(index, load<u32>(meta, META_LAST_DOC_ORD), docCount);
  if (isGood) index.present = docSetNew(count ? docOrdOf(index, count - 1) + 1 : 0);
  if (index.present) {
    for (let ordinal: u32 = 0; ordinal < count; ordinal++) docSetAdd(index.present, docOrdOf(index, ordinal));
    return region;
  }
  const failure = index.visited != 0 && !isGood ? SEGMENT_DAMAGED : SEGMENT_OUT_OF_MEMORY;
  freeIndex(index);
  return failure;
}

function isLong(blob: usize, id: u32, length: u64): bool {
  return <u64>sectionLength(blob, id) == length;
}

function isSafe(index: VectorIndex, lastDocOrd: u32, docCount: u32): bool {
  const count = index.count;
  if (!count) return index.upperCount == 0 && lastDocOrd == NONE;
  if (docOrdOf(index, count - 1) != lastDocOrd || lastDocOrd >= docCount) return false;
  if (!areDocOrdsSound(index) || !areTowersSound(index)) return false;
  if (index.entry >= count || levelOf(towerOf(index, index.entry)) != index.topLevel) return false;
  const areTwins = areTwinsSound(index);
  memory.fill(index.visited, 0, <usize>count << 1);
  return areTwins && areLinksInside(index);
}

/** Links of level 0 lead to vectors; those above to vectors that reach up there. */
function areLinksInside(index: VectorIndex): bool {
  const count = i32x4.splat(index.count);
  const none = i32x4.splat(NONE);
  const bytes = (<usize>index.count * index.m0) << 2; // m0 is even: whole pairs
  let bad = i64x2.splat(0);
  let at = index.links;
  for (const end = at + bytes; at < end; at += 8) {
    const links = v128.load64_zero(at);
    bad = v128.or(bad, v128.andnot(i32x4.ge_u(links, count), i32x4.eq(links, none)));
  }
  if (v128.any_true(bad)) return false;
  for (let ordinal: u32 = 0; ordinal < index.count; ordinal++) {
    const level = levelOf(towerOf(index, ordinal));
    for (let above: u32 = 1; above <= level; above++) {
      let at = index.upper + linkOffset(index, ordinal, above);
      for (const end = at + (<usize>index.m << 2); at < end; at += 4) {
        const link = load<u32>(at);
        if (link == NONE) break;
        if (link >= index.count || levelOf(towerOf(index, link)) < above) return false;
      }
    }
  }
  return true;
}

/** Looks at the rest of an opened segment: links lead into the graph, and no number is infinite or NaN. */
export function isSound(index: VectorIndex): bool {
  const count = index.count;
  memory.fill(index.visited, 0, <usize>count << 1);
  index.epoch = 0;
  const isGraph = areTwinsSound(index) && (!count || !isTwin(index, index.entry)) && areRowsSound(index);
  memory.fill(index.visited, 0, <usize>count << 1);
  return isGraph && areFinite(index.vectors, <usize>count * index.rowBytes) &&
    (index.metric != COSINE || areFinite(index.factors, <usize>count << 2));
}

function areRowsSound(index: VectorIndex): bool {
  for (let ordinal: u32 = 0; ordinal < index.count; ordinal++) {
    const level = levelOf(towerOf(index, ordinal));
    for (let at: u32 = 0; at <= level; at++) {
      if (!isRowSound(index, linkArena(index, at) + linkOffset(index, ordinal, at), at)) return false;
    }
  }
  return true;
}

function areDocOrdsSound(index: VectorIndex): bool {
  const count = index.count;
  for (let ordinal: u32 = 1; ordinal < count; ordinal++) {
    if (docOrdOf(index, ordinal) <= docOrdOf(index, ordinal - 1)) return false;
  }
  return true;
}

/** Towers stand one behind the other in `upper`, and fill it. */
function areTowersSound(index: VectorIndex): bool {
  let rows: u32 = 0;
  for (let ordinal: u32 = 0; ordinal < index.count; ordinal++) {
    const tower = towerOf(index, ordinal);
    const level = levelOf(tower);
    if (level > index.topLevel || level > index.upperCount - rows) return false;
    if (firstUpperRow(tower) != (level ? rows : 0)) return false;
    rows += level;
  }
  return rows == index.upperCount;
}

@inline function isTwin(index: VectorIndex, ordinal: u32): bool {
  return load<u16>(index.visited + (<usize>ordinal << 1)) != 0;
}

/** A chain ascends from its first vector to the newest twin, then descends: so none goes round in a circle. Marks in
 *  `visited` who is behind another. */
function areTwinsSound(index: VectorIndex): bool {
  const count = index.count;
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) {
    const twin = twinOf(index, ordinal);
    if (twin == NONE) continue;
    if (twin >= count || twin == ordinal || isTwin(index, twin)) return false;
    store<u16>(index.visited + (<usize>twin << 1), 1);
  }
  for (let ordinal: u32 = 0; ordinal < count; ordinal++) {
    const twin = twinOf(index, ordinal);
    if (twin != NONE && twin > ordinal && isTwin(index, ordinal)) return false;
  }
  return true;
}

/** Every link of a row leads to another vector of the graph that reaches up to this level. */
function isRowSound(index: VectorIndex, row: usize, level: u32): bool {
  for (const end = row + (<usize>slotsAt(index, level) << 2); row < end; row += 4) {
    const link = load<u32>(row);
    if (link == NONE) break;
    if (link >= index.count || levelOf(towerOf(index, link)) < level || isTwin(index, link)) return false;
  }
  return true;
}

/** No f32 is infinite or NaN. */
function areFinite(from: usize, bytes: usize): bool {
  for (const end = from + bytes; from < end; from += 4) {
    if ((load<u32>(from) & 0x7f800000) == 0x7f800000) return false;
  }
  return true;
}
