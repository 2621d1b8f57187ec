import { concatBytes } from "../base/bytes.ts"
import type { RandomAccess } from "../runtime.ts"
import type { ChunkCipher } from "./encrypted-chunks.ts"
import { truncated } from "./encrypted-errors.ts"
import { HEADER_BYTES, openHeader } from "./encrypted-header.ts"
import type { Key } from "./key.ts"
import { GCM_TAG_BYTES } from "./web-crypto.ts"

/** Decrypted chunks that are kept, since neighbours are often read next. */
const KEPT_MAX = 16
const KEPT_BYTES_MAX = 8 * 1024 * 1024

/** The payload of an encrypted archive of version 2, decrypted where it is read. */
export class ChunkedPayload implements RandomAccess {
  readonly size: number
  readonly #file: RandomAccess
  readonly #chunks: ChunkCipher
  readonly #lastIndex: number
  /** By index, the one that was asked for last at the end. */
  readonly #kept = new Map<number, Promise<Uint8Array>>()
  readonly #keptMax: number

  private constructor(file: RandomAccess, chunks: ChunkCipher) {
    this.#file = file
    this.#chunks = chunks
    const { chunkBytes, sealedBytes } = chunks
    const sealedSize = file.size - HEADER_BYTES
    this.#lastIndex = Math.max(0, Math.ceil(sealedSize / sealedBytes) - 1)
    const lastBytes = sealedSize - this.#lastIndex * sealedBytes - GCM_TAG_BYTES
    if (lastBytes < 0) throw truncated(`chunk ${this.#lastIndex}`)
    this.size = this.#lastIndex * chunkBytes + lastBytes
    this.#keptMax = Math.max(1, Math.min(KEPT_MAX, KEPT_BYTES_MAX / chunkBytes))
  }

  /** @throws PrismError CORRUPT, TRUNCATED, DECRYPTION_FAILED, INVALID_KEY */
  static async open(file: RandomAccess, keys: readonly Key[]): Promise<ChunkedPayload> {
    const chunks = await openHeader(await file.read(0, Math.min(file.size, HEADER_BYTES)), keys)
    const payload = new ChunkedPayload(file, chunks)
    // It alone says that nothing is missing.
    await payload.#chunk(payload.#lastIndex)
    return payload
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const { chunkBytes } = this.#chunks
    const parts: Uint8Array[] = []
    for (let at = offset; at < offset + length; ) {
      const index = Math.floor(at / chunkBytes)
      const start = at - index * chunkBytes
      const part = (await this.#chunk(index)).slice(start, start + offset + length - at)
      parts.push(part)
      at += part.length
    }
    return parts.length === 1 ? parts[0]! : concatBytes(parts)
  }

  async #chunk(index: number): Promise<Uint8Array> {
    const chunk = this.#kept.get(index) ?? this.#decrypt(index)
    this.#kept.delete(index)
    this.#kept.set(index, chunk)
    if (this.#kept.size > this.#keptMax) this.#kept.delete(this.#kept.keys().next().value!)
    try {
      return await chunk
    } catch (error) {
      // The next read shall try again: a device may have failed for a moment.
      this.#kept.delete(index)
      throw error
    }
  }

  async #decrypt(index: number): Promise<Uint8Array> {
    const offset = HEADER_BYTES + index * this.#chunks.sealedBytes
    const sealed = await this.#file.read(offset, Math.min(this.#chunks.sealedBytes, this.#file.size - offset))
    return await this.#chunks.open(sealed, index, index === this.#lastIndex)
  }
}
