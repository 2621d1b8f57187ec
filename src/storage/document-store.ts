import { decodeUtf8Fatal } from "../base/bytes.ts"
import { crc32c } from "../base/crc32c.ts"
import { assert, PrismError } from "../base/errors.ts"
import type { Sha256 } from "../runtime.ts"
import type { BlockCache } from "./block-cache.ts"
import type { ReadableFile, WritableFile } from "./storage.ts"

// The stored documents of one segment in order of docOrd. Immutable; little-endian.
//
//   header   0..4   u32  magic          "PDOC"
//            4..6   u16  formatVersion
//            6..8   u16  zero
//            8..12  u32  CRC-32C of the bytes before
//   blocks   each   u32  CRC-32C of the rest of the block
//                   u8   codec          how the records are stored: 0 as they are; later versions may compress
//                   u8[3] zero
//                   then records: u32 idBytes | u32 fieldsBytes | id, UTF-8 | fields, compact JSON in UTF-8
//   index    a block: u64 offset | u32 byteLength | u32 firstDocOrd
//   footer   0..8   u64  byteLength     of the whole file
//            8..16  u64  indexOffset
//            16..20 u32  blockCount
//            20..24 u32  documentCount
//            24..28 u32  CRC-32C of the index
//            28..32 u32  CRC-32C of the footer's bytes before, then of the header
//
// A block is closed by the first record that takes it to BLOCK_BYTES, so a large document ends up in a block that is
// hardly larger than itself. The index stays in memory while the file is open: 16 bytes for every 32 KiB, so that a
// document costs one read. The footer is written last: whoever finds it whole may trust that all before was written.

export const DOCUMENT_STORE_VERSION = 1
const MAGIC = 0x434f4450
const HEADER_BYTES = 12
const BLOCK_BYTES = 32 * 1024
const BLOCK_HEADER_BYTES = 8
const BLOCK_CODEC_OFFSET = 4
const CODEC_PLAIN = 0
const RECORD_HEADER_BYTES = 8
const INDEX_ENTRY_BYTES = 16
const FOOTER_BYTES = 32
/** Blocks are written together from this size on: each write waits for a turn of the event loop. */
const WRITE_BYTES = 256 * 1024
const BUFFER_BYTES = WRITE_BYTES + BLOCK_BYTES
/** What a scan reads at once, unless one block is larger. */
const SCAN_BYTES = 1024 * 1024

export interface StoredDocument {
  readonly id: string
  /** The fields as compact JSON, exactly as they were added. */
  readonly fieldsJson: string
}

/** The same as the bytes that it has in the file. */
export interface EncodedDocument {
  readonly docOrd: number
  readonly id: Uint8Array
  readonly fields: Uint8Array
}

/** Writes to a new, empty file in bounded memory: some blocks and the index. The caller closes the file. */
export class DocumentStoreWriter {
  readonly #file: WritableFile
  readonly #sha256: Sha256
  /** What is not in the file yet: blocks, the last of them open, before them the header. */
  #buffer: Uint8Array
  #view: DataView
  #used: number
  #blockStart = HEADER_BYTES
  #blockFirstDocOrd = 0
  readonly #index = new GrowingIndex()
  #documentCount = 0

  constructor(file: WritableFile, sha256: Sha256) {
    assert(file.length === 0, "a document store begins its file")
    this.#file = file
    this.#sha256 = sha256
    this.#buffer = new Uint8Array(BUFFER_BYTES)
    this.#view = new DataView(this.#buffer.buffer)
    this.#buffer.set(header())
    this.#used = HEADER_BYTES
  }

  get documentCount(): number {
    return this.#documentCount
  }

  /** Adds a document by its bytes in UTF-8, from a log or another store. The first has docOrd 0. Await each before the
   *  next; returns a promise only where the file is written to, now and then. */
  add({ id, fields }: { readonly id: Uint8Array; readonly fields: Uint8Array }): Promise<void> | undefined {
    const isFirst = this.#used === this.#blockStart
    this.#reserve(BLOCK_HEADER_BYTES + RECORD_HEADER_BYTES + id.length + fields.length)
    if (isFirst) this.#used += BLOCK_HEADER_BYTES
    const start = this.#used
    this.#view.setUint32(start, id.length, true)
    this.#view.setUint32(start + 4, fields.length, true)
    this.#buffer.set(id, start + RECORD_HEADER_BYTES)
    this.#buffer.set(fields, start + RECORD_HEADER_BYTES + id.length)
    this.#used += RECORD_HEADER_BYTES + id.length + fields.length
    this.#documentCount++
    if (this.#used - this.#blockStart < BLOCK_HEADER_BYTES + BLOCK_BYTES) return undefined
    this.#endBlock()
    return this.#used >= WRITE_BYTES ? this.#write() : undefined
  }

  /** Writes what is left and syncs the file; its entry in its folder is the caller's to sync. */
  async finish(): Promise<{ length: number; sha256: string; documentCount: number }> {
    if (this.#used > this.#blockStart) this.#endBlock()
    const indexOffset = this.#file.length + this.#used
    await this.#write()
    const index = this.#index.bytes()
    const footer = new Uint8Array(FOOTER_BYTES)
    const view = new DataView(footer.buffer)
    setU64(view, 0, indexOffset + index.length + FOOTER_BYTES)
    setU64(view, 8, indexOffset)
    view.setUint32(16, index.length / INDEX_ENTRY_BYTES, true)
    view.setUint32(20, this.#documentCount, true)
    view.setUint32(24, crc32c(index), true)
    view.setUint32(28, crc32c(header(), crc32c(footer.subarray(0, 28))), true)
    for (const bytes of [index, footer]) {
      this.#sha256.update(bytes)
      await this.#file.append(bytes)
    }
    await this.#file.sync()
    return { length: this.#file.length, sha256: this.#sha256.digestHex(), documentCount: this.#documentCount }
  }

  #reserve(length: number): void {
    if (this.#used + length <= this.#buffer.length) return
    const grown = new Uint8Array(this.#used + length)
    grown.set(this.#buffer.subarray(0, this.#used))
    this.#buffer = grown
    this.#view = new DataView(grown.buffer)
  }

  #endBlock(): void {
    const block = this.#buffer.subarray(this.#blockStart, this.#used)
    block.fill(0, 0, BLOCK_HEADER_BYTES)
    block[BLOCK_CODEC_OFFSET] = CODEC_PLAIN
    this.#view.setUint32(this.#blockStart, crc32c(block.subarray(4)), true)
    this.#index.add(this.#file.length + this.#blockStart, block.length, this.#blockFirstDocOrd)
    this.#blockStart = this.#used
    this.#blockFirstDocOrd = this.#documentCount
  }

  /** Writes the blocks that have ended, and begins anew with an empty buffer; never while a block is open. */
  async #write(): Promise<void> {
    const bytes = this.#buffer.subarray(0, this.#used)
    this.#sha256.update(bytes)
    await this.#file.append(bytes)
    this.#used = 0
    this.#blockStart = 0
    if (this.#buffer.length === BUFFER_BYTES) return
    // A large document is behind us.
    this.#buffer = new Uint8Array(BUFFER_BYTES)
    this.#view = new DataView(this.#buffer.buffer)
  }
}

/** Reads one document with one read of its block, through the cache where there is one. Every byte of the file is covered by a checksum: damage is CORRUPT
 *  with the bytes' place, at `open` (header, index, footer) or when the block is read. */
export class DocumentStoreReader {
  readonly documentCount: number
  readonly #file: ReadableFile
  readonly #index: DataView
  readonly #blockCount: number
  readonly #cache: BlockCache | undefined

  private constructor(file: ReadableFile, index: DataView, documentCount: number, cache: BlockCache | undefined) {
    this.#file = file
    this.#cache = cache
    this.#index = index
    this.#blockCount = index.byteLength / INDEX_ENTRY_BYTES
    this.documentCount = documentCount
  }

  /** The file stays the caller's to close, and to be forgotten by the cache then: its blocks are kept under the file's
   *  identity. INCOMPATIBLE_VERSION, TRUNCATED, CORRUPT. */
  static async open(file: ReadableFile, cache?: BlockCache): Promise<DocumentStoreReader> {
    if (file.size < HEADER_BYTES + FOOTER_BYTES) throw damaged(file, 0, file.size, "it is too short", "TRUNCATED")
    const head = await file.read(0, HEADER_BYTES)
    checkHeader(file, head)
    const footerOffset = file.size - FOOTER_BYTES
    const footer = await file.read(footerOffset, FOOTER_BYTES)
    const view = dataView(footer)
    if (view.getUint32(28, true) !== crc32c(head, crc32c(footer.subarray(0, 28)))) {
      throw damaged(file, footerOffset, FOOTER_BYTES, "the footer's checksum does not match")
    }
    const indexOffset = getU64(view, 8)
    const indexLength = view.getUint32(16, true) * INDEX_ENTRY_BYTES
    if (getU64(view, 0) !== file.size || indexOffset + indexLength !== footerOffset) {
      throw damaged(file, footerOffset, FOOTER_BYTES, "the lengths in the footer do not fit the file")
    }
    const index = await file.read(indexOffset, indexLength)
    if (view.getUint32(24, true) !== crc32c(index)) {
      throw damaged(file, indexOffset, indexLength, "the index's checksum does not match")
    }
    const reader = new DocumentStoreReader(file, dataView(index), view.getUint32(20, true), cache)
    reader.#checkIndex(indexOffset)
    return reader
  }

  /** `docOrd`: 0 ≤ docOrd < documentCount. */
  async get(docOrd: number): Promise<StoredDocument> {
    assert(docOrd >= 0 && docOrd < this.documentCount, `docOrd ${docOrd} of ${this.documentCount}`)
    let low = 0
    let high = this.#blockCount - 1
    while (low < high) {
      const middle = (low + high + 1) >>> 1
      if (this.#firstDocOrd(middle) <= docOrd) low = middle
      else high = middle - 1
    }
    const offset = this.#blockOffset(low)
    const load = async () => this.#checked(low, await this.#file.read(offset, this.#blockLength(low)))
    const block = this.#cache ? await this.#cache.get(this.#file, offset, load) : await load()
    const records = new RecordCursor(this.#file, offset, block)
    for (let skip = docOrd - this.#firstDocOrd(low); skip > 0; skip--) records.next()
    const { id, fields } = records.next()
    return decodeDocument(this.#file, id, fields)
  }

  /** All documents in order of docOrd, reading the file once from `from` on in large pieces. */
  async *scan(from = 0): AsyncGenerator<{ docOrd: number } & StoredDocument, void, undefined> {
    for await (const documents of this.scanEncoded(from)) {
      for (const { docOrd, id, fields } of documents) yield { docOrd, ...decodeDocument(this.#file, id, fields) }
    }
  }

  /** The same as bytes, as many documents at once as were read at once. */
  async *scanEncoded(from = 0): AsyncGenerator<EncodedDocument[], void, undefined> {
    let block = 0
    while (block < this.#blockCount && this.#firstDocOrd(block + 1) <= from) block++
    while (block < this.#blockCount) {
      const start = this.#blockOffset(block)
      let end = block + 1
      while (end < this.#blockCount && this.#blockOffset(end) + this.#blockLength(end) - start <= SCAN_BYTES) end++
      const bytes = await this.#file.read(start, this.#blockOffset(end - 1) + this.#blockLength(end - 1) - start)
      const documents: EncodedDocument[] = []
      for (; block < end; block++) {
        const offset = this.#blockOffset(block) - start
        const content = this.#checked(block, bytes.subarray(offset, offset + this.#blockLength(block)))
        const records = new RecordCursor(this.#file, start + offset, content)
        for (let docOrd = this.#firstDocOrd(block); docOrd < this.#firstDocOrd(block + 1); docOrd++) {
          const record = records.next()
          if (docOrd >= from) documents.push({ docOrd, ...record })
        }
      }
      yield documents
    }
  }

  #blockOffset(block: number): number {
    return getU64(this.#index, block * INDEX_ENTRY_BYTES)
  }

  #blockLength(block: number): number {
    return this.#index.getUint32(block * INDEX_ENTRY_BYTES + 8, true)
  }

  #firstDocOrd(block: number): number {
    return block < this.#blockCount ? this.#index.getUint32(block * INDEX_ENTRY_BYTES + 12, true) : this.documentCount
  }

  /** Blocks lie one behind the other from the header to the index, each with at least one document. */
  #checkIndex(indexOffset: number): void {
    let offset = HEADER_BYTES
    let docOrd = 0
    for (let block = 0; block < this.#blockCount; block++) {
      const fits =
        this.#blockOffset(block) === offset &&
        this.#blockLength(block) > BLOCK_HEADER_BYTES &&
        this.#firstDocOrd(block) === docOrd &&
        this.#firstDocOrd(block + 1) > docOrd
      if (!fits) throw damaged(this.#file, indexOffset, this.#index.byteLength, `the entry of block ${block} is wrong`)
      offset += this.#blockLength(block)
      docOrd = this.#firstDocOrd(block + 1)
    }
    if (offset !== indexOffset || (this.#blockCount === 0 && this.documentCount > 0)) {
      throw damaged(this.#file, indexOffset, this.#index.byteLength, "the blocks do not fill the file")
    }
  }

  #checked(block: number, bytes: Uint8Array): Uint8Array {
    const offset = this.#blockOffset(block)
    if (dataView(bytes).getUint32(0, true) !== crc32c(bytes.subarray(4))) {
      throw damaged(this.#file, offset, bytes.length, `the checksum of block ${block} does not match`)
    }
    const codec = bytes[BLOCK_CODEC_OFFSET]
    if (codec !== CODEC_PLAIN) {
      throw new PrismError("INCOMPATIBLE_VERSION", `${this.#file.path}: blocks of kind ${codec} are not known here`, {
        place: this.#file.path,
        hint: "use the newer version of Prism that wrote it",
      })
    }
    return bytes
  }
}

/** Walks the records of a block whose checksum was right. */
class RecordCursor {
  readonly #file: ReadableFile
  readonly #blockOffset: number
  readonly #bytes: Uint8Array
  readonly #view: DataView
  #at = BLOCK_HEADER_BYTES

  constructor(file: ReadableFile, blockOffset: number, bytes: Uint8Array) {
    this.#file = file
    this.#blockOffset = blockOffset
    this.#bytes = bytes
    this.#view = dataView(bytes)
  }

  next(): { id: Uint8Array; fields: Uint8Array } {
    const start = this.#at + RECORD_HEADER_BYTES
    if (start <= this.#bytes.length) {
      const idEnd = start + this.#view.getUint32(this.#at, true)
      const fieldsEnd = idEnd + this.#view.getUint32(this.#at + 4, true)
      if (fieldsEnd <= this.#bytes.length) {
        this.#at = fieldsEnd
        return { id: this.#bytes.subarray(start, idEnd), fields: this.#bytes.subarray(idEnd, fieldsEnd) }
      }
    }
    throw damaged(this.#file, this.#blockOffset, this.#bytes.length, "a record does not fit into its block")
  }
}

function decodeDocument(file: ReadableFile, id: Uint8Array, fields: Uint8Array): StoredDocument {
  return { id: decodeUtf8Fatal(id, file.path), fieldsJson: decodeUtf8Fatal(fields, file.path) }
}

/** Index entries as bytes, doubling. */
class GrowingIndex {
  #bytes = new Uint8Array(64 * INDEX_ENTRY_BYTES)
  #length = 0

  add(offset: number, byteLength: number, firstDocOrd: number): void {
    if (this.#length === this.#bytes.length) {
      const grown = new Uint8Array(this.#length * 2)
      grown.set(this.#bytes)
      this.#bytes = grown
    }
    const view = new DataView(this.#bytes.buffer, this.#length)
    setU64(view, 0, offset)
    view.setUint32(8, byteLength, true)
    view.setUint32(12, firstDocOrd, true)
    this.#length += INDEX_ENTRY_BYTES
  }

  bytes(): Uint8Array {
    return this.#bytes.subarray(0, this.#length)
  }
}

function header(): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  const view = new DataView(bytes.buffer)
  view.setUint32(0, MAGIC, true)
  view.setUint16(4, DOCUMENT_STORE_VERSION, true)
  view.setUint32(8, crc32c(bytes.subarray(0, 8)), true)
  return bytes
}

function checkHeader(file: ReadableFile, bytes: Uint8Array): void {
  const view = dataView(bytes)
  if (view.getUint32(0, true) !== MAGIC) throw damaged(file, 0, HEADER_BYTES, "it does not begin as a document store")
  if (view.getUint32(8, true) !== crc32c(bytes.subarray(0, 8))) {
    throw damaged(file, 0, HEADER_BYTES, "the header's checksum does not match")
  }
  const version = view.getUint16(4, true)
  if (version === DOCUMENT_STORE_VERSION) return
  throw new PrismError(
    "INCOMPATIBLE_VERSION",
    `${file.path} has format version ${version}, this Prism reads up to ${DOCUMENT_STORE_VERSION}`,
    { place: file.path, hint: "use the newer version of Prism that wrote it" },
  )
}

function damaged(
  file: ReadableFile,
  offset: number,
  length: number,
  what: string,
  code: "CORRUPT" | "TRUNCATED" = "CORRUPT",
): PrismError {
  return new PrismError(code, `${file.path} is damaged in bytes ${offset} to ${offset + length}: ${what}`, {
    place: `${file.path}, bytes ${offset} to ${offset + length}`,
    hint: "restore the collection from an archive",
  })
}

function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}

/** Safe up to 2^53, as all lengths are. */
function setU64(view: DataView, offset: number, value: number): void {
  view.setBigUint64(offset, BigInt(value), true)
}

function getU64(view: DataView, offset: number): number {
  return Number(view.getBigUint64(offset, true))
}
