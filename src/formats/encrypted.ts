// Encrypted archives, "PENC": FORMATS.md, section 3. This is version 2 as a stream, which is what is written; version 1 is
// encrypted-v1.ts, reads at any place encrypted-file.ts.
//
//   header[4168]   encrypted-header.ts, with key-slots.ts in it
//   chunks         encrypted-chunks.ts
import { ByteReader } from "./byte-reader.ts"
import type { ChunkCipher } from "./encrypted-chunks.ts"
import { unsupportedVersion } from "./encrypted-errors.ts"
import {
  CHUNK_LOG2,
  createHeader,
  encryptedVersion,
  HEADER_BYTES,
  openHeader,
  VERSION_HEAD_BYTES,
} from "./encrypted-header.ts"
import { inOrder } from "./in-order.ts"
import type { Key } from "./key.ts"

/** Chunks at once: enough for every core, in memory that does not grow with the size of a chunk. */
const RUNNING_MAX = 8
const RUNNING_BYTES_MAX = 4 * 1024 * 1024

/** The bytes of an encrypted archive that each of the keys opens.
 *  @throws PrismError INVALID_KEY, LIMIT_EXCEEDED for more than 16 keys */
export async function* encrypt(
  plaintext: AsyncIterable<Uint8Array>,
  keys: readonly Key[],
  { chunkLog2 = CHUNK_LOG2 }: { chunkLog2?: number } = {},
): AsyncGenerator<Uint8Array> {
  await using source = new ByteReader(plaintext)
  const { header, chunks } = await createHeader(keys, chunkLog2)
  yield header
  yield* inOrder(blocksOf(source, chunks.chunkBytes), runningMax(chunks), ({ bytes, index, isLast }) =>
    chunks.seal(bytes, index, isLast),
  )
}

/** The payload of an encrypted archive of version 2, which one of the keys opens. Each piece is authentic when it comes,
 *  but only an end without an error says that it was all: use nothing of it before.
 *  @throws PrismError INVALID_FORMAT, INCOMPATIBLE_VERSION, INVALID_KEY, DECRYPTION_FAILED, CORRUPT, TRUNCATED */
export async function* decrypt(encrypted: AsyncIterable<Uint8Array>, keys: readonly Key[]): AsyncGenerator<Uint8Array> {
  await using source = new ByteReader(encrypted)
  const header = await source.take(HEADER_BYTES)
  if (encryptedVersion(header.subarray(0, VERSION_HEAD_BYTES)) === 1) {
    throw unsupportedVersion(1, "this version is read from a file, since its only tag stands at the end")
  }
  const chunks = await openHeader(header, keys)
  yield* inOrder(blocksOf(source, chunks.sealedBytes), runningMax(chunks), ({ bytes, index, isLast }) =>
    chunks.open(bytes, index, isLast),
  )
}

/** What is left as blocks of `size` bytes, of which only the last may be shorter; nothing is one empty block. */
async function* blocksOf(source: ByteReader, size: number) {
  for (let index = 0; ; index++) {
    const bytes = await source.take(size)
    const isLast = await source.isAtEnd()
    yield { index, bytes, isLast }
    if (isLast) return
  }
}

function runningMax(chunks: ChunkCipher): number {
  return Math.max(1, Math.min(RUNNING_MAX, RUNNING_BYTES_MAX / chunks.chunkBytes))
}
