import { crc32c } from "../base/crc32c.ts"
import { assert, PrismError } from "../base/errors.ts"
import type { Engine } from "./engine.ts"
import { allocated, copyOut } from "./memory.ts"
import { ReadBuffers } from "./read-buffers.ts"

/** Where a blob's bytes are read from; a storage's ReadableFile is one. Rejects where there are fewer bytes. */
export interface ByteSource {
  readonly size: number
  /** For messages, where it has one. */
  readonly path?: string
  read(offset: number, length: number): Promise<Uint8Array>
  /** Fills `target` with the bytes from `offset` on, where the source can. */
  readInto?(target: Uint8Array, offset: number): Promise<void>
}

/** Keeps pages that were read, by the source's identity and the offset there; a storage's BlockCache is one. */
export interface PageCache {
  get(source: object, offset: number, load: () => Promise<Uint8Array>): Promise<Uint8Array>
}

/** What a blob must be. `what` names the structure in messages: "vector segment". */
export interface ExpectedBlob {
  readonly what: string
  readonly magic: number
  readonly version: number
}

// What blobCheck of assembly/blob.ts returns.
const OK = 0
const NOT_OURS = 1
const TRUNCATED = 2
const HEADER_DAMAGED = 3
const VERSION = 4
const TABLE_DAMAGED = 5

// assembly/blob.ts: what the engine knows of a page while not all of them are there.
const ABSENT = 0
const PRESENT = 1
const WANTED = 2

const PAGE_BYTES = 65_536
const MEMORY_BYTES = 2 ** 32 - PAGE_BYTES // an address is a u32
/** Pages that one read takes together: 1 MiB. */
const PAGES_A_READ = 16
const READS_AT_ONCE = 4
/** Of all blobs together: as many as the runtime has threads for them (libuv: 4). */
const readBuffers = new ReadBuffers(READS_AT_ONCE, PAGES_A_READ * PAGE_BYTES)
/** Ranges over more pages than this pass the cache by: a scan would leave nothing in it that is asked for again. */
const CACHED_PAGES_MAX = 2
/** The first read of a file: header and tables of a blob of up to about 60 MiB. */
const FIRST_READ_BYTES = 4096
const FIXED_HEADER_BYTES = 24

interface OpenedFile {
  readonly source: ByteSource
  readonly cache: PageCache | undefined
  readonly what: string
}

/** A segment's bytes (assembly/blob.ts). Their place in the engine's memory is reserved whole when the blob is opened;
 *  pages of 64 KiB come there when they are needed, checked by their checksums, and stay. */
export class PagedBlob {
  readonly byteLength: number
  readonly #engine: Engine
  readonly #pointer: number
  readonly #file: OpenedFile | undefined
  /** Offset of the first page. */
  readonly #body: number
  readonly #pageCount: number
  #presentPages: number
  /** Pages that are being read, and by what. */
  readonly #loading = new Map<number, Promise<void>>()
  #closed = false

  private constructor(engine: Engine, pointer: number, file: OpenedFile | undefined) {
    this.#engine = engine
    this.#pointer = pointer
    this.#file = file
    this.byteLength = engine.abi.blobLength(pointer) >>> 0
    this.#body = engine.abi.blobBody(pointer) >>> 0
    this.#pageCount = engine.abi.blobPageCount(pointer) >>> 0
    this.#presentPages = file ? 0 : this.#pageCount
    if (file) this.#engine.bytes.fill(ABSENT, this.#states, this.#states + this.#pageCount)
  }

  /** Reads and checks the header with its tables, and nothing else. The source stays the caller's: open as long as the
   *  blob is. Errors: CORRUPT, TRUNCATED, INCOMPATIBLE_VERSION, LIMIT_EXCEEDED, and those of a read. */
  static async open(engine: Engine, source: ByteSource, expected: ExpectedBlob, cache?: PageCache): Promise<PagedBlob> {
    const { abi } = engine
    const { size } = source
    const header = await readExactly(source, 0, Math.min(size, FIRST_READ_BYTES), expected.what)
    // One byte a page for its state stands behind the blob.
    const bytes = size + Math.ceil(size / PAGE_BYTES) + 64
    const pointer = allocated(bytes > MEMORY_BYTES ? 0 : abi.regionReserve(bytes))
    try {
      engine.bytes.fill(0, pointer, pointer + FIXED_HEADER_BYTES)
      engine.bytes.set(header, pointer)
      const wanted = Math.min(size, abi.blobCheckBytes(pointer) >>> 0)
      if (wanted > header.length) {
        const rest = await readExactly(source, header.length, wanted - header.length, expected.what)
        engine.bytes.set(rest, pointer + header.length)
      }
      const failure = abi.blobCheck(pointer, BigInt(size), expected.magic, expected.version)
      if (failure !== OK) throw blobError(failure, expected, abi.blobVersion(pointer), source)
      return new PagedBlob(engine, pointer, { source, cache, what: expected.what })
    } catch (error) {
      abi.regionFree(pointer)
      throw error
    }
  }

  /** Takes over a blob that the engine made: all of it is there. */
  static adopt(engine: Engine, pointer: number): PagedBlob {
    return new PagedBlob(engine, pointer, undefined)
  }

  /** Where the blob is in linear memory. */
  get pointer(): number {
    assert(!this.#closed, "blob used after close")
    return this.#pointer
  }

  /** Throws CLOSED where the blob was closed while somebody waited for it. */
  assertOpen(): void {
    if (this.#closed) throw new PrismError("CLOSED", `the ${this.#file?.what} was closed while it was read`)
  }

  /** Where the engine finds a byte for each page, whether it is there; 0 where all of them are. */
  get states(): number {
    return this.isComplete ? 0 : this.#states
  }

  get #states(): number {
    return this.pointer + Math.ceil(this.byteLength / 64) * 64
  }

  /** Whether every page is there. */
  get isComplete(): boolean {
    return this.#presentPages === this.#pageCount
  }

  /** Bytes that are there, header and tables with them. */
  get residentBytes(): number {
    return Math.min(this.byteLength, this.#body + this.#presentPages * PAGE_BYTES)
  }

  /** Where a section is; of length 0 where there is none of that id. */
  section(id: number): { readonly offset: number; readonly length: number } {
    const { abi } = this.#engine
    const address = abi.section(this.pointer, id) >>> 0
    return { offset: address && address - this.pointer, length: abi.sectionLength(this.pointer, id) >>> 0 }
  }

  /** Brings a range into the engine's memory; undefined where it is there. Errors: CORRUPT for a page that is not what
   *  was written, CLOSED, and those of a read; what failed is read again by the next call. */
  load(offset: number, length: number): Promise<void> | undefined {
    const [first, end] = this.#pagesOf(offset, length)
    return this.#fetch(this.#pagesWhere((state) => state !== PRESENT, first, end))
  }

  async loadAll(): Promise<void> {
    await this.load(0, this.byteLength)
  }

  /** Brings the pages that the engine marked as wanted since the last call; undefined where it marked none. */
  loadWanted(): Promise<void> | undefined {
    const wanted = this.#pagesWhere((state) => state === WANTED, 0, this.#pageCount)
    for (const page of wanted) this.#engine.bytes[this.#states + page] = ABSENT
    return this.#fetch(wanted)
  }

  /** A copy of a range, checked; what is not in the engine's memory comes through the cache and is not put there. */
  async read(offset: number, length: number): Promise<Uint8Array<ArrayBuffer>> {
    const [first, end] = this.#pagesOf(offset, length)
    if (this.#file === undefined || this.#pagesWhere((state) => state !== PRESENT, first, end).length === 0) {
      return copyOut(this.#engine, this.pointer + offset, length)
    }
    const { source, cache } = this.#file
    const result = new Uint8Array(length)
    const inHeader = Math.max(0, this.#body - offset)
    if (inHeader > 0) result.set(copyOut(this.#engine, this.pointer + offset, inHeader))
    const isCached = cache !== undefined && end - first <= CACHED_PAGES_MAX
    for (let page = first; page < end; ) {
      const start = page
      const count = isCached ? 1 : Math.min(PAGES_A_READ, end - page)
      const at = this.#pageOffset(start)
      const read = () => this.#readChecked(source, start, count)
      const bytes = await (isCached ? cache.get(source, at, read) : read())
      const from = Math.max(0, offset - at)
      result.set(bytes.subarray(from, offset + length - at), at + from - offset)
      page += count
    }
    return result
  }

  /** Gives the memory back. Reads that are under way come to nothing. Closing twice is fine. */
  close(): void {
    if (!this.#closed) this.#engine.abi.regionFree(this.#pointer)
    this.#closed = true
  }

  /** The pages that a range touches. */
  #pagesOf(offset: number, length: number): [first: number, end: number] {
    assert(offset >= 0 && length >= 0 && offset + length <= this.byteLength, "outside the blob")
    const [first, end] = [offset - this.#body, length && offset + length - this.#body]
    return [Math.max(0, Math.floor(first / PAGE_BYTES)), Math.max(0, Math.ceil(end / PAGE_BYTES))]
  }

  #pageOffset(page: number): number {
    return Math.min(this.byteLength, this.#body + page * PAGE_BYTES)
  }

  #pagesWhere(matches: (state: number) => boolean, first: number, end: number): number[] {
    const pages: number[] = []
    if (this.isComplete) return pages
    const states = this.#engine.bytes.subarray(this.#states, this.#states + this.#pageCount)
    for (let page = first; page < end; page++) if (matches(states[page] as number)) pages.push(page)
    return pages
  }

  /** Brings pages, ascending, a few reads at once; callers that want the same page share its read. */
  #fetch(pages: readonly number[]): Promise<void> | undefined {
    if (pages.length === 0) return undefined
    let next = 0
    const reader = async () => {
      while (next < pages.length) {
        this.assertOpen()
        const page = pages[next] as number
        const other = this.#loading.get(page)
        if (other !== undefined || this.#isPresent(page)) {
          next++
          await other
          continue
        }
        let count = 1
        while (count < PAGES_A_READ && pages[next + count] === page + count && !this.#loading.has(page + count)) count++
        next += count
        const reading = this.#bring(page, count)
        for (let i = page; i < page + count; i++) this.#loading.set(i, reading)
        try {
          await reading
        } finally {
          for (let i = page; i < page + count; i++) this.#loading.delete(i)
        }
      }
    }
    const stopAll = (error: unknown) => {
      next = pages.length
      throw error
    }
    return allOf(Array.from({ length: READS_AT_ONCE }, () => reader().catch(stopAll)))
  }

  #isPresent(page: number): boolean {
    return this.isComplete || this.#engine.bytes[this.#states + page] === PRESENT
  }

  async #bring(first: number, count: number): Promise<void> {
    const { source, what } = this.#file as OpenedFile
    const at = this.#pageOffset(first)
    const length = this.#pageOffset(first + count) - at
    if (!source.readInto) return this.#install(first, count, await readExactly(source, at, length, what))
    await readBuffers.lend(async (buffer) => {
      const bytes = buffer.subarray(0, length)
      await source.readInto?.(bytes, at)
      this.#install(first, count, bytes)
    })
  }

  /** Puts pages that were read in their place. */
  #install(first: number, count: number, bytes: Uint8Array): void {
    const { source, what } = this.#file as OpenedFile
    const at = this.#pageOffset(first)
    this.assertOpen()
    for (let page = first; page < first + count; page++) {
      if (this.#isPresent(page)) continue
      const from = this.#pageOffset(page)
      this.#engine.bytes.set(bytes.subarray(from - at, this.#pageOffset(page + 1) - at), this.#pointer + from)
      if (!this.#engine.abi.blobCheckPage(this.#pointer, page)) throw pageError(what, from, source)
      this.#engine.bytes[this.#states + page] = PRESENT
      this.#presentPages++
    }
  }

  async #readChecked(source: ByteSource, first: number, count: number): Promise<Uint8Array> {
    const { what } = this.#file as OpenedFile
    const at = this.#pageOffset(first)
    const bytes = await readExactly(source, at, this.#pageOffset(first + count) - at, what)
    this.assertOpen()
    for (let page = first; page < first + count; page++) {
      const from = this.#pageOffset(page)
      const crc = crc32c(bytes.subarray(from - at, this.#pageOffset(page + 1) - at))
      if (crc !== this.#engine.abi.blobPageCrc(this.#pointer, page) >>> 0) throw pageError(what, from, source)
    }
    return bytes
  }
}

/** Waits for all, then fails with the error that came first. */
async function allOf(tasks: readonly Promise<void>[]): Promise<void> {
  await Promise.allSettled(tasks)
  await Promise.all(tasks)
}

async function readExactly(source: ByteSource, offset: number, length: number, what: string): Promise<Uint8Array> {
  const bytes = await source.read(offset, length)
  if (bytes.length === length) return bytes
  throw new PrismError("TRUNCATED", `the ${what} ends too early`, restoreFrom(source))
}

const restoreFrom = ({ path }: ByteSource) => ({
  hint: "restore the collection from an archive",
  ...(path === undefined ? {} : { place: path }),
})

const pageError = (what: string, offset: number, source: ByteSource) =>
  new PrismError(
    "CORRUPT",
    `the ${what} is damaged: its bytes from ${offset} on have another checksum`,
    restoreFrom(source),
  )

function blobError(failure: number, expected: ExpectedBlob, version: number, source: ByteSource): PrismError {
  const details = restoreFrom(source)
  switch (failure) {
    case NOT_OURS:
      return new PrismError("CORRUPT", `this is no ${expected.what}`, details)
    case TRUNCATED:
      return new PrismError("TRUNCATED", `the ${expected.what} ends too early`, details)
    case HEADER_DAMAGED:
      return new PrismError("CORRUPT", `the header of the ${expected.what} is damaged`, details)
    case TABLE_DAMAGED:
      return new PrismError("CORRUPT", `the section table of the ${expected.what} is damaged`, details)
    case VERSION:
      return new PrismError(
        "INCOMPATIBLE_VERSION",
        `the ${expected.what} has format version ${version}, this engine reads ${expected.version}`,
        { ...details, hint: "restore it from a portable export" },
      )
    default:
      assert(false, `blobCheck returned ${failure}`)
  }
}
