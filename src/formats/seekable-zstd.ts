// Zstandard data that can be read at any place: independent frames, then a table of them in a skippable frame, which a
// decoder that knows nothing of it passes over. FORMATS.md, section 2; the format is zstd's own,
// contrib/seekable_format/zstd_seekable_compression_format.md.
//
//   file      frame… | table
//   frame     zstd-frame.ts; holds 4 MiB at most, with content size and checksum
//   table     u32 0x184D2A5E | u32 length of what follows | entry… | footer
//   entry     u32 bytes of the frame | u32 bytes that it decodes to
//   footer    u32 number of entries | u8 descriptor = 0 | u32 0x8F92EAB1
//
// All little-endian. Other writers' tables may hold checksums, which their descriptor says: to us they are skippable
// frames as others, and the file is read from one end to the other.
import xxhash, { type XXHashAPI } from "xxhash-wasm"
import { concatBytes } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { once } from "../base/streams.ts"
import type { RandomAccess, Zstd } from "../runtime.ts"
import { ByteReader } from "./byte-reader.ts"
import { InOrder } from "./in-order.ts"
import {
  type FrameHeader,
  peekFrameHeader,
  SKIPPABLE_HEADER_BYTES,
  type SkippableHeader,
  storedFrameBytes,
  storeFrame,
  takeFrame,
  takeInParts,
  takeWhole,
} from "./zstd-frame.ts"

const TABLE_FRAME_MAGIC = 0x184d2a5e
const FOOTER_MAGIC = 0x8f92eab1
const ENTRY_BYTES = 8
const FOOTER_BYTES = 9
const DESCRIPTOR_OFFSET = 4
const FOOTER_MAGIC_OFFSET = 5

/** Bytes of content in a frame. */
const CONTENT_BYTES_MAX = 4 * 1024 * 1024

/** A frame that is longer than its content could be stored, or comes in more pieces than anybody cuts 4 MiB into, is not
 *  read into memory. */
const FRAME_BYTES_MAX = CONTENT_BYTES_MAX + 64 * 1024
const FRAME_PIECES_MAX = 4096

/** A frame that does not say what it holds may make a decoder hold so much instead. */
const UNSIZED_WINDOW_BYTES_MAX = 8 * 1024 * 1024

/** 4 TiB of content in full frames. Bounds what a table takes in memory. */
const FRAMES_MAX = 2 ** 20

/** Frames that are compressed or decompressed beside each other: with what goes in and comes out 8 MiB each. */
const FRAMES_AT_ONCE = 4

const CACHED_FRAMES_MAX = 8

/** Of a frame so much, in pieces, is compressed to judge by. */
const SAMPLE_BYTES = 64 * 1024
const SAMPLE_PIECES = 4

/** A frame whose sample shrinks by less is stored. That costs noise a quarter of the time; random float32 vectors, which
 *  shrink by 8 %, are stored too, and nothing is to be decoded afterwards. */
const SAVING_MIN = 0.1

let loading: Promise<XXHashAPI> | undefined

function loadXxhash(): Promise<XXHashAPI> {
  loading ??= xxhash()
  return loading
}

/** Part of what is to be compressed. The bytes must stay as they are until the frames after theirs are taken. */
export interface Piece {
  readonly bytes: Uint8Array
  /** Whether a new frame begins with it, so that it can be read without what is before it. */
  readonly startsFrame: boolean
}

/** Compresses a stream in constant memory. LIMIT_EXCEEDED over 2^20 frames; what the pieces' source throws. */
export async function* compressSeekable(pieces: AsyncIterable<Piece>, zstd: Zstd): AsyncGenerator<Uint8Array> {
  const xxh = await loadXxhash()
  const frames = new InOrder<{ frame: Uint8Array; contentBytes: number }>(FRAMES_AT_ONCE)
  const entries: number[] = []
  const take = async () => {
    const { frame, contentBytes } = await frames.take()
    if (entries.length === 2 * FRAMES_MAX) {
      throw new PrismError("LIMIT_EXCEEDED", `the data needs more than ${FRAMES_MAX} frames`)
    }
    entries.push(frame.length, contentBytes)
    return frame
  }
  try {
    for await (const content of contents(pieces)) {
      if (frames.isFull) yield await take()
      frames.give(encodeFrame(content, zstd, xxh).then((frame) => ({ frame, contentBytes: content.length })))
    }
    while (!frames.isEmpty) yield await take()
    yield encodeTable(entries)
  } finally {
    await frames.settle()
  }
}

/** What each frame is to hold. */
async function* contents(pieces: AsyncIterable<Piece>): AsyncGenerator<Uint8Array> {
  let parts: Uint8Array[] = []
  let length = 0
  const join = () => {
    const content = parts.length === 1 ? parts[0]! : concatBytes(parts)
    parts = []
    length = 0
    return content
  }
  for await (const { bytes, startsFrame } of pieces) {
    if (startsFrame && length > 0) yield join()
    for (let start = 0; start < bytes.length; ) {
      const part = bytes.subarray(start, start + CONTENT_BYTES_MAX - length)
      parts.push(part)
      length += part.length
      start += part.length
      if (length === CONTENT_BYTES_MAX) yield join()
    }
  }
  if (length > 0) yield join()
}

async function encodeFrame(content: Uint8Array, zstd: Zstd, xxh: XXHashAPI): Promise<Uint8Array> {
  if (await shrinks(content, zstd)) {
    const frame = await zstd.compress(content)
    if (frame.length < storedFrameBytes(content.length)) return frame
  }
  return storeFrame(content, xxh.h64Raw(content))
}

/** Whether compressing is worth its time, by a sample from all over the content. */
async function shrinks(content: Uint8Array, zstd: Zstd): Promise<boolean> {
  if (content.length <= 2 * SAMPLE_BYTES) return true
  const pieceBytes = SAMPLE_BYTES / SAMPLE_PIECES
  const sample = concatBytes(
    Array.from({ length: SAMPLE_PIECES }, (_, piece) => {
      const start = Math.floor(((content.length - pieceBytes) * piece) / (SAMPLE_PIECES - 1))
      return content.subarray(start, start + pieceBytes)
    }),
  )
  return (await zstd.compress(sample)).length < (1 - SAVING_MIN) * SAMPLE_BYTES
}

function encodeTable(entries: readonly number[]): Uint8Array {
  const length = 4 * entries.length + FOOTER_BYTES
  const view = new DataView(new ArrayBuffer(SKIPPABLE_HEADER_BYTES + length))
  view.setUint32(0, TABLE_FRAME_MAGIC, true)
  view.setUint32(4, length, true)
  let at = SKIPPABLE_HEADER_BYTES
  for (const value of entries) {
    view.setUint32(at, value, true)
    at += 4
  }
  view.setUint32(at, entries.length / 2, true)
  view.setUint8(at + DESCRIPTOR_OFFSET, 0)
  view.setUint32(at + FOOTER_MAGIC_OFFSET, FOOTER_MAGIC, true)
  return new Uint8Array(view.buffer)
}

/** The number of entries, or undefined where these bytes are no footer of ours. */
function parseFooter(bytes: Uint8Array): number | undefined {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isOurs = view.getUint32(FOOTER_MAGIC_OFFSET, true) === FOOTER_MAGIC && view.getUint8(DESCRIPTOR_OFFSET) === 0
  return isOurs ? view.getUint32(0, true) : undefined
}

/** Decompresses a stream in constant memory: ours, and what any other program wrote. Our frames are decoded beside each
 *  other; one of more than 4 MiB, or that does not say how much it holds, as it comes. `onInput` hears how many bytes were
 *  read from the source, chunk by chunk. Throws, with the frame as the place:
 *
 *      CORRUPT         no frame where one should begin, damage, a table at the end that tells of other frames
 *      TRUNCATED       the source is empty or ends within a frame
 *      LIMIT_EXCEEDED  a window over 128 MiB
 *      INVALID_FORMAT  a frame that needs a dictionary */
export async function* decompressSeekable(
  source: AsyncIterable<Uint8Array>,
  zstd: Zstd,
  options: { onInput?(bytes: number): void } = {},
): AsyncGenerator<Uint8Array> {
  const input = new ByteReader(source, 0, (bytes) => options.onInput?.(bytes))
  const decoded = new InOrder<Uint8Array>(FRAMES_AT_ONCE)
  const found = new FoundFrames(await loadXxhash())
  let tableProblem: PrismError | undefined
  try {
    for (let number = 1; ; number++) {
      const start = input.position
      const place = `frame ${number}, byte ${start}`
      const header = await peekFrameHeader(input, place)
      if (header === undefined) break
      tableProblem = undefined
      if (header.kind === "skippable") {
        tableProblem = await found.compareTable(input, header, place)
        found.add(input.position - start, 0)
        continue
      }
      const frame = await readFrame(input, header, place)
      let contentBytes = header.contentBytes ?? 0
      if (frame instanceof Uint8Array) {
        if (decoded.isFull) yield await decoded.take()
        decoded.give(placed(zstd.decompress(frame, contentBytes), place))
      } else {
        while (!decoded.isEmpty) yield await decoded.take()
        contentBytes = yield* decodeStream(frame, header, zstd, place)
      }
      found.add(input.position - start, contentBytes)
    }
    while (!decoded.isEmpty) yield await decoded.take()
    if (input.position === 0) throw new PrismError("TRUNCATED", "there is no compressed data", { place: "byte 0" })
    if (tableProblem !== undefined) throw tableProblem
  } finally {
    await decoded.settle()
    await input[Symbol.asyncDispose]()
  }
}

/** The frame whose header was peeked at: whole where it says that it holds 4 MiB at most, and takes no more itself. */
async function readFrame(
  input: ByteReader,
  header: FrameHeader,
  place: string,
): Promise<Uint8Array | AsyncIterable<Uint8Array>> {
  const chunks = takeFrame(input, header, place)
  if (header.contentBytes === undefined || header.contentBytes > CONTENT_BYTES_MAX) return chunks
  const held: Uint8Array[] = []
  let length = 0
  for (;;) {
    const { done, value } = await chunks.next()
    if (done) return concatBytes(held)
    held.push(value)
    length += value.length
    if (length > FRAME_BYTES_MAX || held.length > FRAME_PIECES_MAX) return chain(held, chunks)
  }
}

async function* chain(first: readonly Uint8Array[], rest: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield* first
  yield* rest
}

/** Content of a frame as it comes. Returns how many bytes it was. */
async function* decodeStream(
  frame: AsyncIterable<Uint8Array>,
  header: FrameHeader,
  zstd: Zstd,
  place: string,
): AsyncGenerator<Uint8Array, number> {
  let contentBytes = 0
  try {
    for await (const part of zstd.decompressStream(frame)) {
      contentBytes += part.length
      if (contentBytes > (header.contentBytes ?? Number.POSITIVE_INFINITY)) break
      yield part
    }
  } catch (error) {
    throw withPlace(error, place)
  }
  if (contentBytes !== (header.contentBytes ?? contentBytes)) {
    throw new PrismError("CORRUPT", `the frame does not hold the ${header.contentBytes} bytes that it says`, { place })
  }
  return contentBytes
}

/** A codec knows what is wrong with a frame, not where the frame is. */
function withPlace(error: unknown, place: string): unknown {
  if (!(error instanceof PrismError) || error.place !== undefined) return error
  const { code, message, hint, cause } = error
  return new PrismError(code, message, { place, cause, ...(hint === undefined ? {} : { hint }) })
}

async function placed<T>(promise: Promise<T>, place: string): Promise<T> {
  try {
    return await promise
  } catch (error) {
    throw withPlace(error, place)
  }
}

/** The frames that a stream had so far, to compare a table with: their number, and a hash of what their entries would be,
 *  so that any number of them takes no memory. */
class FoundFrames {
  readonly #entry = new DataView(new ArrayBuffer(ENTRY_BYTES))
  readonly #entryBytes = new Uint8Array(this.#entry.buffer)
  readonly #xxh: XXHashAPI
  readonly #hash: ReturnType<XXHashAPI["create64"]>
  #count = 0

  constructor(xxh: XXHashAPI) {
    this.#xxh = xxh
    this.#hash = xxh.create64()
  }

  add(frameBytes: number, contentBytes: number): void {
    this.#count++
    this.#entry.setUint32(0, frameBytes, true)
    this.#entry.setUint32(4, contentBytes, true)
    this.#hash.update(this.#entryBytes)
  }

  /** Takes a skippable frame. Where it is a table: what is wrong with it, if it is the table of these frames. */
  async compareTable(
    input: ByteReader,
    { magic, length }: SkippableHeader,
    place: string,
  ): Promise<PrismError | undefined> {
    await takeWhole(input, SKIPPABLE_HEADER_BYTES, place)
    const entriesBytes = length - FOOTER_BYTES
    if (magic !== TABLE_FRAME_MAGIC || entriesBytes < 0) {
      for await (const _ of takeInParts(input, length, place));
      return undefined
    }
    const hash = this.#xxh.create64()
    for await (const part of takeInParts(input, entriesBytes, place)) hash.update(part)
    const count = parseFooter(await takeWhole(input, FOOTER_BYTES, place))
    if (count === undefined) return undefined
    const isSame = count === this.#count && entriesBytes === count * ENTRY_BYTES
    if (isSame && hash.digest() === this.#hash.digest()) return undefined
    return new PrismError("CORRUPT", `the table at the end tells of other frames than the ${this.#count} before it`, {
      place,
      hint: "frames are missing, twice there or in another order: take the file from its source again",
    })
  }
}

/** A file of `compressSeekable` that is read at any place. What is read is checked frame by frame; that the file is whole
 *  only `decompressSeekable` can tell. */
export class SeekableZstdFile implements RandomAccess {
  readonly size: number
  readonly #file: RandomAccess
  readonly #zstd: Zstd
  /** Where frame i begins in the file; one more for the end of the last. */
  readonly #frameStarts: Float64Array
  /** Where its content begins; one more for the end. */
  readonly #contentStarts: Float64Array
  /** Content by frame, the one that was asked for last at the end. */
  readonly #cache = new Map<number, Promise<Uint8Array>>()
  #decoding = 0
  readonly #waiting: (() => void)[] = []

  private constructor(file: RandomAccess, zstd: Zstd, frameStarts: Float64Array, contentStarts: Float64Array) {
    this.size = contentStarts.at(-1)!
    this.#file = file
    this.#zstd = zstd
    this.#frameStarts = frameStarts
    this.#contentStarts = contentStarts
  }

  /** Reads the table; undefined where the file does not end with one of ours, of 2^20 frames at most and 4 MiB in each:
   *  another one can only be read as a stream. CORRUPT where it does not fit the file. */
  static async open(file: RandomAccess, zstd: Zstd): Promise<SeekableZstdFile | undefined> {
    if (file.size < SKIPPABLE_HEADER_BYTES + FOOTER_BYTES) return undefined
    const count = parseFooter(await file.read(file.size - FOOTER_BYTES, FOOTER_BYTES))
    if (count === undefined) return undefined
    const tableBytes = SKIPPABLE_HEADER_BYTES + count * ENTRY_BYTES + FOOTER_BYTES
    const tableStart = file.size - tableBytes
    const place = `the frame table in the last ${tableBytes} bytes`
    const wrong = (what: string) =>
      new PrismError("CORRUPT", `the frame table ${what}`, {
        place,
        hint: "copy the file again, or use another backup",
      })
    if (tableStart < 0) throw wrong("is longer than the file")
    if (count > FRAMES_MAX) return undefined

    const bytes = await file.read(tableStart, tableBytes)
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
    if (view.getUint32(0, true) !== TABLE_FRAME_MAGIC) throw wrong("does not begin where its length says")
    if (view.getUint32(4, true) !== tableBytes - SKIPPABLE_HEADER_BYTES) throw wrong("has two different lengths")
    const frameStarts = new Float64Array(count + 1)
    const contentStarts = new Float64Array(count + 1)
    for (let frame = 0; frame < count; frame++) {
      const at = SKIPPABLE_HEADER_BYTES + frame * ENTRY_BYTES
      const frameBytes = view.getUint32(at, true)
      const contentBytes = view.getUint32(at + 4, true)
      // A skippable frame has no content, and may have any length.
      if (contentBytes > CONTENT_BYTES_MAX || (contentBytes > 0 && frameBytes > FRAME_BYTES_MAX)) return undefined
      frameStarts[frame + 1] = frameStarts[frame]! + frameBytes
      contentStarts[frame + 1] = contentStarts[frame]! + contentBytes
    }
    if (frameStarts[count] !== tableStart) throw wrong("tells of more or fewer bytes than are before it")
    return new SeekableZstdFile(file, zstd, frameStarts, contentStarts)
  }

  /** See `RandomAccess`. Decodes the frames that hold these bytes, if they are not among the last eight. Errors as of
   *  `decompressSeekable`; CORRUPT too where a frame is not the one that the table tells of. */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset + length > this.size) {
      throw new PrismError("TRUNCATED", `the content ends at byte ${this.size}`, { place: `byte ${offset}` })
    }
    const result = new Uint8Array(length)
    const contents = new InOrder<Uint8Array>(FRAMES_AT_ONCE)
    const first = this.#frameAt(offset)
    let filled = 0
    const fill = async () => {
      const skipped = filled === 0 ? offset - this.#contentStarts[first]! : 0
      const content = (await contents.take()).subarray(skipped, skipped + length - filled)
      result.set(content, filled)
      filled += content.length
    }
    try {
      for (let frame = first; this.#contentStarts[frame]! < offset + length; frame++) {
        if (contents.isFull) await fill()
        contents.give(this.#content(frame))
      }
      while (!contents.isEmpty) await fill()
    } finally {
      await contents.settle()
    }
    return result
  }

  /** The last frame whose content begins at or before a byte. */
  #frameAt(offset: number): number {
    let low = 0
    let high = this.#contentStarts.length - 1
    while (high - low > 1) {
      const middle = (low + high) >> 1
      if (this.#contentStarts[middle]! <= offset) low = middle
      else high = middle
    }
    return low
  }

  #content(frame: number): Promise<Uint8Array> {
    let content = this.#cache.get(frame)
    this.#cache.delete(frame)
    if (content === undefined) {
      content = this.#inTurn(() => this.#decode(frame))
      content.catch(() => this.#cache.delete(frame)) // it may only be the disk that failed
    }
    this.#cache.set(frame, content)
    for (const oldest of this.#cache.keys()) {
      if (this.#cache.size <= CACHED_FRAMES_MAX) break
      this.#cache.delete(oldest)
    }
    return content
  }

  /** Decodes no more frames at once than one read would, however many reads there are: whoever opens all segments of an
   *  archive together would hold 8 MiB for each of their files. */
  async #inTurn(decode: () => Promise<Uint8Array>): Promise<Uint8Array> {
    if (this.#decoding < FRAMES_AT_ONCE) this.#decoding++
    else await new Promise<void>((resolve) => this.#waiting.push(resolve))
    try {
      return await decode()
    } finally {
      const next = this.#waiting.shift()
      if (next) next()
      else this.#decoding--
    }
  }

  async #decode(frame: number): Promise<Uint8Array> {
    const start = this.#frameStarts[frame]!
    const frameBytes = this.#frameStarts[frame + 1]! - start
    const contentBytes = this.#contentStarts[frame + 1]! - this.#contentStarts[frame]!
    if (contentBytes === 0) return new Uint8Array(0)
    const place = `frame ${frame + 1}, byte ${start}`
    const bytes = await this.#file.read(start, frameBytes)
    const input = new ByteReader(once(bytes), start)
    const header = await peekFrameHeader(input, place)
    if (header?.kind === "frame") {
      for await (const _ of takeFrame(input, header, place));
      const isBounded = header.contentBytes !== undefined || header.windowBytes <= UNSIZED_WINDOW_BYTES_MAX
      const isSame = (header.contentBytes ?? contentBytes) === contentBytes && input.position === start + frameBytes
      if (isBounded && isSame) return await placed(this.#zstd.decompress(bytes, contentBytes), place)
    }
    throw new PrismError("CORRUPT", "the frame is not the one that the frame table tells of", { place })
  }
}
