// A frame of Zstandard data, as far as it is known without decoding it: RFC 8878, section 3.1.
//
//   frame      u32 0xFD2FB528 | header | blocks | u32 checksum: low half of the content's XXH64, if the header says so
//   header     u8 descriptor  bits 7-6 width of the content size, 5 single segment, 3 zero, 2 checksum follows,
//                             1-0 width of the dictionary's id
//              u8 window      exponent - 10 in bits 7-3, eighths of it in bits 2-0; not there in a single segment
//              u0/8/16/32     dictionary id
//              u0/8/16/32/64  content size, the u16 less 256; a single segment has no u0 but a u8
//   block      u24            bit 0 last one, bits 2-1 kind, bits 23-3 size | content
//                             kinds: 0 raw; 1 one byte, which stands for `size` of them; 2 compressed; 3 reserved
//   skippable  u32 0x184D2A50 to 0x184D2A5F | u32 length | content
//
// All little-endian.
import { concatBytes } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import type { ByteReader } from "./byte-reader.ts"

const FRAME_MAGIC = 0xfd2fb528
const SKIPPABLE_MAGIC = 0x184d2a50
export const SKIPPABLE_HEADER_BYTES = 8
const CHECKSUM_BYTES = 4
const BLOCK_HEADER_BYTES = 3
const BLOCK_BYTES_MAX = 128 * 1024

/** Magic, descriptor, window, dictionary id, content size. */
const HEADER_BYTES_MAX = 4 + 1 + 1 + 4 + 8

/** A decoder holds as much of what it decoded, at least. `zstd --long=27` needs all of it. */
const WINDOW_BYTES_MAX = 128 * 1024 * 1024

export interface FrameHeader {
  readonly kind: "frame"
  /** Bytes of the header, the magic number included. */
  readonly headerBytes: number
  readonly windowBytes: number
  /** Bytes that the frame decodes to, where it says so. */
  readonly contentBytes: number | undefined
  readonly hasChecksum: boolean
}

/** Bytes that are no part of the content. */
export interface SkippableHeader {
  readonly kind: "skippable"
  readonly magic: number
  /** Bytes after the header's eight. */
  readonly length: number
}

/** Reads the header of the frame that begins next, without taking it; undefined at the end of the source. CORRUPT where
 *  none begins, TRUNCATED, LIMIT_EXCEEDED for a window over 128 MiB, INVALID_FORMAT where it needs a dictionary. */
export async function peekFrameHeader(
  input: ByteReader,
  place: string,
): Promise<FrameHeader | SkippableHeader | undefined> {
  const bytes = await input.peek(HEADER_BYTES_MAX)
  if (bytes.length === 0) return undefined
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const isThere = (end: number) => {
    if (bytes.length >= end) return
    throw new PrismError("TRUNCATED", "the compressed data ends within the header of a frame", {
      place,
      hint: "the file was cut, or something was added to its end: copy it again",
    })
  }
  isThere(4)
  const magic = view.getUint32(0, true)
  if ((magic & 0xfffffff0) >>> 0 === SKIPPABLE_MAGIC) {
    isThere(SKIPPABLE_HEADER_BYTES)
    return { kind: "skippable", magic, length: view.getUint32(4, true) }
  }
  if (magic !== FRAME_MAGIC) {
    throw new PrismError("CORRUPT", "no Zstandard frame begins where one should", {
      place,
      hint: "is something else appended to the file, or was it changed on its way",
    })
  }

  isThere(5)
  const descriptor = view.getUint8(4)
  if (descriptor & 0b1000) throw new PrismError("CORRUPT", "a reserved bit of the frame's header is set", { place })
  const isSingleSegment = (descriptor & 0b10_0000) !== 0
  const dictionaryWidth = [0, 1, 2, 4][descriptor & 0b11]!
  const contentWidth = [isSingleSegment ? 1 : 0, 2, 4, 8][descriptor >> 6]!
  const dictionaryOffset = isSingleSegment ? 5 : 6
  const contentOffset = dictionaryOffset + dictionaryWidth
  const headerBytes = contentOffset + contentWidth
  isThere(headerBytes)

  const dictionaryId = unsigned(view, dictionaryOffset, dictionaryWidth)
  if (dictionaryId !== 0) {
    throw new PrismError("INVALID_FORMAT", `the frame can only be read with the dictionary ${dictionaryId}`, {
      place,
      hint: "compress it again without a dictionary",
    })
  }
  const stored = unsigned(view, contentOffset, contentWidth)
  const contentBytes = contentWidth === 0 ? undefined : contentWidth === 2 ? stored + 256 : stored
  if (contentBytes !== undefined && contentBytes > Number.MAX_SAFE_INTEGER) {
    throw new PrismError("CORRUPT", `the frame says that it holds ${contentBytes} bytes`, { place })
  }
  const windowBytes = isSingleSegment ? contentBytes! : windowOf(view.getUint8(5))
  if (windowBytes > WINDOW_BYTES_MAX) {
    const mebibytes = Math.ceil(windowBytes / 2 ** 20)
    throw new PrismError("LIMIT_EXCEEDED", `the frame's window is ${mebibytes} MiB, 128 MiB is the limit`, {
      place,
      hint: "compress it again, with --long=27 at most",
    })
  }
  return { kind: "frame", headerBytes, windowBytes, contentBytes, hasChecksum: (descriptor & 0b100) !== 0 }
}

/** Takes the frame whose header was peeked at, in pieces: the header, each block, the checksum. A piece decodes to 128 KiB
 *  at most. CORRUPT or TRUNCATED where its blocks do not fit together; what they hold is not looked at. */
export async function* takeFrame(input: ByteReader, header: FrameHeader, place: string): AsyncGenerator<Uint8Array> {
  const blockBytesMax = Math.min(header.windowBytes, BLOCK_BYTES_MAX)
  yield await takeWhole(input, header.headerBytes, place)
  for (let isLast = false; !isLast; ) {
    const head = await input.peek(BLOCK_HEADER_BYTES)
    if (head.length < BLOCK_HEADER_BYTES) throw truncated(place)
    const [low, middle, high] = head
    const fields = low! | (middle! << 8) | (high! << 16)
    isLast = (fields & 1) === 1
    const kind = (fields >> 1) & 3
    const size = fields >> 3
    if (kind === 3 || size > blockBytesMax) {
      throw new PrismError("CORRUPT", "a block of the frame has a size or kind that cannot be", { place })
    }
    yield await takeWhole(input, BLOCK_HEADER_BYTES + (kind === 1 ? 1 : size), place)
  }
  if (header.hasChecksum) yield await takeWhole(input, CHECKSUM_BYTES, place)
}

/** The next `length` bytes of a frame. TRUNCATED where the source ends before. */
export async function takeWhole(input: ByteReader, length: number, place: string): Promise<Uint8Array> {
  const bytes = await input.take(length)
  if (bytes.length < length) throw truncated(place)
  return bytes
}

/** As takeWhole, but as they come: a skippable frame may be too long to hold. */
export async function* takeInParts(input: ByteReader, length: number, place: string): AsyncGenerator<Uint8Array> {
  for (let missing = length; missing > 0; ) {
    const part = await input.next(missing)
    if (part === undefined) throw truncated(place)
    missing -= part.length
    yield part
  }
}

function truncated(place: string): PrismError {
  return new PrismError("TRUNCATED", "the compressed data ends within a frame", {
    place,
    hint: "the file was cut: copy it again",
  })
}

/** What `storeFrame` adds to so many bytes. */
export function storedFrameBytes(contentBytes: number): number {
  return 9 + contentBytes + BLOCK_HEADER_BYTES * Math.max(1, Math.ceil(contentBytes / BLOCK_BYTES_MAX)) + CHECKSUM_BYTES
}

/** A frame that holds bytes as they are: a single segment of raw blocks. `xxh64`: of the bytes. */
export function storeFrame(bytes: Uint8Array, xxh64: bigint): Uint8Array {
  const head = new DataView(new ArrayBuffer(9))
  head.setUint32(0, FRAME_MAGIC, true)
  head.setUint8(4, 0b1010_0100) // content size u32, single segment, checksum
  head.setUint32(5, bytes.length, true)
  const parts: Uint8Array[] = [new Uint8Array(head.buffer)]
  let start = 0
  do {
    const block = bytes.subarray(start, start + BLOCK_BYTES_MAX)
    start += BLOCK_BYTES_MAX
    const fields = (block.length << 3) | (start >= bytes.length ? 1 : 0)
    parts.push(Uint8Array.of(fields, fields >> 8, fields >> 16), block)
  } while (start < bytes.length)
  return concatBytes([...parts, checksumBytes(xxh64)])
}

/** The same frame with a checksum, which it must not have yet: some codecs cannot write one. `xxh64`: of its content. */
export function withChecksum(frame: Uint8Array, xxh64: bigint): Uint8Array {
  const checked = concatBytes([frame, checksumBytes(xxh64)])
  checked[4]! |= 0b100
  return checked
}

function checksumBytes(xxh64: bigint): Uint8Array {
  const bytes = new Uint8Array(CHECKSUM_BYTES)
  new DataView(bytes.buffer).setUint32(0, Number(xxh64 & 0xffff_ffffn), true)
  return bytes
}

function windowOf(byte: number): number {
  const base = 2 ** (10 + (byte >> 3))
  return base + (base / 8) * (byte & 7)
}

/** Unsigned integer of 0, 1, 2, 4 or 8 bytes; one of 8 may be rounded above 2^53. */
function unsigned(view: DataView, offset: number, width: number): number {
  let value = 0
  for (let byte = width - 1; byte >= 0; byte--) value = value * 256 + view.getUint8(offset + byte)
  return value
}
