// Vector files of format 1, which no version writes any more: their vectors, to be indexed anew.
import { crc32c } from "../base/crc32c.ts"
import { PrismError } from "../base/errors.ts"
import type { ReadableFile } from "./storage.ts"

//   0..4    u32  magic         "PVEC"
//   4..6    u16  kind          0
//   6..8    u16  version       1
//   8..16   u64  length        of the file
//  16..20   u32  sectionCount
//  20..24   u32  CRC-32C of bytes 0..20, then of the section table
//  24..          section table, 24 bytes an entry: u32 id | u32 CRC-32C of the section | u64 offset | u64 length
//
// The sections that matter here; all else is the graph:
//
//   1 META      u32[8]  dimension, metric, M, efConstruction, count, …
//   2 DOC_ORDS  u32[count], ascending
//   8 VECTORS   f32[count][dimension rounded up to a multiple of 4]

const MAGIC = 0x43455650
const HEADER_BYTES = 24
const ENTRY_BYTES = 24
/** Format 1 had eight at most. */
const SECTIONS_MAX = 8
const META = 1
const DOC_ORDS = 2
const VECTORS = 8
const META_BYTES = 32
const META_COUNT = 16
const LANES = 4
/** Read at once. */
const ROWS_BYTES = 1024 * 1024

interface Section {
  readonly crc: number
  readonly offset: number
  readonly length: number
}

/** The vectors of a file with the docOrds of their documents, which ascend. CORRUPT or TRUNCATED where it is damaged, or
 *  not of this dimension. */
export async function* readVectorsV1(
  file: ReadableFile,
  expected: { readonly dimension: number; readonly docCount: number },
): AsyncGenerator<{ docOrd: number; vector: Float32Array }> {
  const sections = await readSections(file)
  const meta = view(await readSection(file, sections, META, META_BYTES))
  const count = meta.getUint32(META_COUNT, true)
  if (meta.getUint32(0, true) !== expected.dimension || count > expected.docCount) {
    throw damaged(file, `it holds ${count} vectors of ${meta.getUint32(0, true)} dimensions`)
  }
  const docOrds = view(await readSection(file, sections, DOC_ORDS, count * 4))
  const rowBytes = Math.ceil(expected.dimension / LANES) * LANES * 4
  const rows = sectionOf(file, sections, VECTORS, count * rowBytes)
  const step = Math.max(1, Math.floor(ROWS_BYTES / rowBytes))
  let crc = 0
  let last = -1
  for (let first = 0; first < count; first += step) {
    const end = Math.min(count, first + step)
    const bytes = await file.read(rows.offset + first * rowBytes, (end - first) * rowBytes)
    crc = crc32c(bytes, crc)
    // What comes before the last row's checksum is known is staged alone.
    for (let row = first; row < end; row++) {
      const docOrd = docOrds.getUint32(row * 4, true)
      if (docOrd <= last || docOrd >= expected.docCount) throw damaged(file, "its documents are out of order")
      last = docOrd
      const at = (row - first) * rowBytes
      yield { docOrd, vector: new Float32Array(bytes.slice(at, at + expected.dimension * 4).buffer) }
    }
  }
  if (crc !== rows.crc) throw damaged(file, "the checksum of its vectors does not match")
}

async function readSections(file: ReadableFile): Promise<Map<number, Section>> {
  const header = await file.read(0, HEADER_BYTES)
  const fields = view(header)
  const count = fields.getUint32(16, true)
  if (fields.getUint32(0, true) !== MAGIC || fields.getUint16(6, true) !== 1 || count > SECTIONS_MAX) {
    throw damaged(file, "it does not begin as a vector file of format 1")
  }
  const table = await file.read(HEADER_BYTES, count * ENTRY_BYTES)
  if (crc32c(table, crc32c(header.subarray(0, 20))) !== fields.getUint32(20, true)) {
    throw damaged(file, "the checksum of its header does not match")
  }
  const sections = new Map<number, Section>()
  const entries = view(table)
  for (let at = 0; at < table.length; at += ENTRY_BYTES) {
    sections.set(entries.getUint32(at, true), {
      crc: entries.getUint32(at + 4, true),
      offset: Number(entries.getBigUint64(at + 8, true)),
      length: Number(entries.getBigUint64(at + 16, true)),
    })
  }
  return sections
}

function sectionOf(file: ReadableFile, sections: ReadonlyMap<number, Section>, id: number, length: number): Section {
  const section = sections.get(id)
  if (section?.length === length && section.offset + length <= file.size) return section
  throw damaged(file, `its section ${id} is not as it must be`)
}

async function readSection(
  file: ReadableFile,
  sections: ReadonlyMap<number, Section>,
  id: number,
  length: number,
): Promise<Uint8Array> {
  const { crc, offset } = sectionOf(file, sections, id, length)
  const bytes = await file.read(offset, length)
  if (crc32c(bytes) === crc) return bytes
  throw damaged(file, `the checksum of its section ${id} does not match`)
}

function view(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

function damaged(file: ReadableFile, what: string): PrismError {
  return new PrismError("CORRUPT", `${file.path} is damaged: ${what}`, {
    place: file.path,
    hint: "restore the collection from an archive",
  })
}
