// The tar around a snapshot's files. POSIX.1-1988 ustar is written, plain files alone; read is what stock tools write:
// ustar, PAX (POSIX.1-2001, pax) and GNU tar's formats (GNU tar manual, "Basic Tar Format").
//
//   header of 512 bytes | data | zeros up to a multiple of 512 bytes     an entry
//   …
//   1024 zeros, and as many more as the writer pads with                 the end of the archive
//
// A header has NUL-terminated text, and numbers in octal digits:
//
//     0  name        124  size        156  type: "0" a file           265  user        345  prefix of the name
//   100  mode        136  mtime       157  link's target              297  group
//   108  uid         148  checksum    257  "ustar" NUL                329  device, major
//   116  gid                          263  version "00"               337  device, minor
//
// The checksum is the sum of the header's bytes with its own eight taken as spaces.
import { extract, type Header } from "tar-stream"
import { encodeUtf8 } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import type { RandomAccess } from "../runtime.ts"
import { ByteReader } from "./byte-reader.ts"

const BLOCK_BYTES = 512
const NAME_BYTES_MAX = 99
/** Eleven octal digits: 8 GiB − 1. */
export const TAR_FILE_BYTES_MAX = 0o77777777777

/** The two blocks that end an archive. */
export const TAR_END: Uint8Array = new Uint8Array(2 * BLOCK_BYTES)

/** Header of a regular file of mode 0644, of nobody, at time 0. */
export function tarHeader(name: string, size: number): Uint8Array {
  const nameBytes = encodeUtf8(name)
  assert(nameBytes.length > 0 && nameBytes.length <= NAME_BYTES_MAX, `"${name}" is no name for a tar entry`)
  assert(Number.isSafeInteger(size) && size >= 0 && size <= TAR_FILE_BYTES_MAX, `tar entry of ${size} bytes`)
  const header = new Uint8Array(BLOCK_BYTES)
  const put = (offset: number, text: string): void => header.set(encodeUtf8(text), offset)
  header.set(nameBytes)
  put(100, "0000644\0")
  put(108, "0000000\0")
  put(116, "0000000\0")
  put(124, `${octal(size, 11)}\0`)
  put(136, "00000000000\0")
  put(148, "        ")
  put(156, "0")
  put(257, "ustar\0")
  put(263, "00")
  put(329, "0000000\0")
  put(337, "0000000\0")
  let sum = 0
  for (const byte of header) sum += byte
  put(148, `${octal(sum, 6)}\0 `)
  return header
}

/** Zeros that follow `size` bytes of data. */
export function tarPadding(size: number): Uint8Array {
  return new Uint8Array(paddedLength(size) - size)
}

/** Bytes of an entry: header, data and padding. */
export function tarEntryLength(size: number): number {
  return BLOCK_BYTES + paddedLength(size)
}

function octal(value: number, digits: number): string {
  return value.toString(8).padStart(digits, "0")
}

function paddedLength(size: number): number {
  return Math.ceil(size / BLOCK_BYTES) * BLOCK_BYTES
}

// --- reading ---

/** GNU tar fills its last record, of 10 KiB by default, with zeros. More than this would be a stream that never ends. */
const TRAILING_BYTES_MAX = 1024 * 1024
/** An entry's headers: a long name or the PAX records of stock tools take a few blocks, extended attributes more. */
const HEADER_BYTES_MAX = 64 * 1024

const TYPE_OFFSET = 156
const GLOBAL_PAX = 0x67 // "g"

/** What the headers say of an entry. Nothing is checked of its name. */
export interface TarHeader {
  readonly name: string
  readonly type: "file" | "directory"
  /** Bytes of data; 0 of a directory. */
  readonly size: number
  /** In the tar: where the first of its headers, and where its data begins. */
  readonly headerOffset: number
  readonly dataOffset: number
}

export interface TarEntry extends TarHeader {
  /** The data, once, before the next entry is asked for; what is left of it then is skipped. */
  readonly body: AsyncIterable<Uint8Array>
}

/** The entries of a tar, in constant memory: nothing is read before it is asked for. Errors, with the byte as place:
 *  TRUNCATED where the archive ends before its end blocks do; CORRUPT where a header's checksum or number is wrong, or
 *  something follows the end blocks; INVALID_FORMAT for what is neither a file nor a directory. */
export async function* readTar(bytes: AsyncIterable<Uint8Array>): AsyncGenerator<TarEntry> {
  await using input = new ByteReader(bytes)
  for (;;) {
    const header = await readHeader(input.position, () => takeBlock(input))
    if (header === undefined) break
    const end = header.dataOffset + header.size
    yield { ...header, body: { [Symbol.asyncIterator]: () => takeUntil(input, end) } }
    for await (const _ of takeUntil(input, header.dataOffset + paddedLength(header.size)));
  }
  let trailingLength = 0
  for (;;) {
    const rest = await input.next(TRAILING_BYTES_MAX)
    if (rest === undefined) break
    trailingLength += rest.length
    checkTrailing(rest, trailingLength, input.position)
  }
  if (trailingLength % BLOCK_BYTES !== 0) throw truncated(input.position)
}

/** The entries of a tar that can be read at any place: reads their headers alone. Errors as of readTar. */
export async function* listTar(file: RandomAccess): AsyncGenerator<TarHeader> {
  let offset = 0
  const readBlock = async () => {
    if (offset + BLOCK_BYTES > file.size) throw truncated(file.size)
    const block = await file.read(offset, BLOCK_BYTES)
    offset += BLOCK_BYTES
    return block
  }
  for (;;) {
    const header = await readHeader(offset, readBlock)
    if (header === undefined) break
    yield header
    offset = header.dataOffset + paddedLength(header.size)
  }
  const trailingLength = file.size - offset
  const rest = await file.read(offset, Math.min(trailingLength, TRAILING_BYTES_MAX))
  checkTrailing(rest, trailingLength, file.size)
  if (trailingLength % BLOCK_BYTES !== 0) throw truncated(file.size)
}

/** The headers of one entry: its own, behind those that extend it with a long name or PAX records. undefined at the end
 *  blocks. tar-stream decodes them; it is given nothing else, because it takes any input for a whole archive, reads on
 *  behind the end blocks, and its streams would have to be fed while others are drained. */
async function readHeader(headerOffset: number, nextBlock: () => Promise<Uint8Array>): Promise<TarHeader | undefined> {
  let block = await nextBlock()
  if (isZero(block)) {
    if (!isZero(await nextBlock())) throw corrupt("one block of zeros, where two end it", headerOffset)
    return undefined
  }
  // Their records would hold for all later entries, which would have to be kept; no tool writes them unasked.
  if (block[TYPE_OFFSET] === GLOBAL_PAX) throw refused("a global PAX header", headerOffset)
  const decoder = extract({ highWaterMark: 1 })
  let header: Header | undefined
  decoder.on("entry", (decoded: Header) => {
    header = decoded
  })
  for (let dataOffset = headerOffset + BLOCK_BYTES; ; dataOffset += BLOCK_BYTES) {
    try {
      await write(decoder, block)
    } catch (cause) {
      throw corrupt("no valid header", headerOffset, cause)
    }
    if (header !== undefined) return { ...checkHeader(header, headerOffset), headerOffset, dataOffset }
    if (dataOffset - headerOffset >= HEADER_BYTES_MAX) {
      throw new PrismError("LIMIT_EXCEEDED", `a tar entry has more than ${HEADER_BYTES_MAX} bytes of headers`, {
        place: placeOf(headerOffset),
        hint: "archive the folder again without extended attributes",
      })
    }
    block = await nextBlock()
  }
}

/** Resolves when the decoder has looked at the block: with a high-water mark of one byte it drains after every write. */
function write(decoder: ReturnType<typeof extract>, block: Uint8Array): Promise<void> {
  return new Promise((resolve, reject) => {
    decoder.once("error", reject)
    decoder.once("drain", () => {
      decoder.off("error", reject)
      resolve()
    })
    decoder.write(block)
  })
}

function checkHeader(header: Header, headerOffset: number): Pick<TarHeader, "name" | "type" | "size"> {
  const { name, type, size } = header
  const pax = (header.pax ?? {}) as Record<string, string>
  if (Object.keys(pax).some((key) => key.startsWith("GNU.sparse."))) throw refused("a sparse file", headerOffset, name)
  if (type !== "file" && type !== "directory") {
    throw refused(type === null ? "of an unknown type" : `a ${type}`, headerOffset, name)
  }
  // tar-stream takes the digits that a PAX size begins with, and a number that it cannot read in base 256 for null.
  const isNumber = Number.isSafeInteger(size) && size >= 0 && (pax.size === undefined || /^\d+$/.test(pax.size))
  if (!isNumber || (type === "directory" && size > 0)) throw corrupt("an impossible size", headerOffset)
  return { name, type, size }
}

async function takeBlock(input: ByteReader): Promise<Uint8Array> {
  const block = await input.take(BLOCK_BYTES)
  if (block.length < BLOCK_BYTES) throw truncated(input.position)
  return block
}

/** TRUNCATED where the stream ends before. */
async function* takeUntil(input: ByteReader, end: number): AsyncGenerator<Uint8Array> {
  while (input.position < end) {
    const bytes = await input.next(end - input.position)
    if (bytes === undefined) throw truncated(input.position)
    yield bytes
  }
}

function checkTrailing(bytes: Uint8Array, lengthSoFar: number, offset: number): void {
  if (!isZero(bytes)) throw corrupt("something follows its end", offset)
  if (lengthSoFar > TRAILING_BYTES_MAX) throw corrupt(`more than ${TRAILING_BYTES_MAX} zeros follow its end`, offset)
}

function isZero(bytes: Uint8Array): boolean {
  return bytes.every((byte) => byte === 0)
}

const DAMAGED_HINT = "the file was damaged or changed after it was written: copy it again, or use another backup"

function corrupt(what: string, offset: number, cause?: unknown): PrismError {
  return new PrismError("CORRUPT", `the tar is damaged: ${what}`, {
    place: placeOf(offset),
    hint: DAMAGED_HINT,
    ...(cause !== undefined && { cause }),
  })
}

function truncated(offset: number): PrismError {
  return new PrismError("TRUNCATED", `the tar ends after ${offset} bytes, before its end-of-archive blocks`, {
    place: placeOf(offset),
    hint: "part of the file is missing: copy it again, or use another backup",
  })
}

function refused(what: string, offset: number, name?: string): PrismError {
  const subject = name === undefined ? "the tar has" : `tar entry ${JSON.stringify(name.slice(0, 100))} is`
  return new PrismError("INVALID_FORMAT", `${subject} ${what}`, {
    place: placeOf(offset),
    hint: "a snapshot holds plain files alone",
  })
}

function placeOf(offset: number): string {
  return `byte ${offset} of the tar`
}
