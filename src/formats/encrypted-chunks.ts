// The payload of an encrypted archive of version 2: chunks that can be read alone, and only in their place.
import { concatBytes } from "../base/bytes.ts"
import { damaged, truncated } from "./encrypted-errors.ts"
import { aesKey, GCM_TAG_BYTES, gcmOpen, gcmSeal, sha256 } from "./web-crypto.ts"

// Chunk i stands at 4168 + i × (chunkBytes + 16):
//   ciphertext ‖ tag[16]   AES-256-GCM(payloadKey, nonce, plaintext, associated data = SHA-256(bytes 0..8 ‖ fileSalt))
//   nonce                  3 zero bytes ‖ u64be(i) ‖ last u8
//
// Every chunk is full but the last, whose `last` is 1; only that of an empty payload is empty. The associated data is the
// same for all and leaves the slots out, so that another set of keys leaves the chunks as they are. This is the STREAM
// construction: Hoang, Reyhanitabar, Rogaway & Vizár, "Online Authenticated-Encryption and its Nonce-Reuse
// Misuse-Resistance", CRYPTO 2015, section 5.

const NONCE_BYTES = 12
const NONCE_INDEX_OFFSET = 3
const NONCE_LAST_OFFSET = 11

export class ChunkCipher {
  /** Of the payload, in a full chunk. */
  readonly chunkBytes: number
  /** Of a full chunk in the file. */
  readonly sealedBytes: number
  readonly #key: CryptoKey
  readonly #associated: Uint8Array

  private constructor(key: CryptoKey, chunkBytes: number, associated: Uint8Array) {
    this.#key = key
    this.chunkBytes = chunkBytes
    this.sealedBytes = chunkBytes + GCM_TAG_BYTES
    this.#associated = associated
  }

  /** bound: what of the header the chunks belong to. */
  static async create(payloadKey: Uint8Array, chunkBytes: number, bound: readonly Uint8Array[]): Promise<ChunkCipher> {
    return new ChunkCipher(await aesKey(payloadKey, "AES-GCM"), chunkBytes, await sha256(concatBytes(bound)))
  }

  async seal(plaintext: Uint8Array, index: number, isLast: boolean): Promise<Uint8Array> {
    return await gcmSeal(this.#key, nonceOf(index, isLast), plaintext, this.#associated)
  }

  /** The plaintext of a chunk. `isLast`: nothing follows it in the file. @throws PrismError CORRUPT, TRUNCATED */
  async open(sealed: Uint8Array, index: number, isLast: boolean): Promise<Uint8Array> {
    const place = `chunk ${index}`
    const plaintext = await this.#tryOpen(sealed, index, isLast)
    if (plaintext !== undefined) {
      if (plaintext.length === 0 && index > 0) throw damaged(place)
      return plaintext
    }
    if (sealed.length < this.sealedBytes) throw truncated(place)
    // Whole, but made for another place: the rest is missing, or something was put behind the end.
    if ((await this.#tryOpen(sealed, index, !isLast)) === undefined) throw damaged(place)
    throw isLast
      ? truncated(place)
      : damaged(place, "something stands behind its last chunk: cut it off, or use another backup")
  }

  async #tryOpen(sealed: Uint8Array, index: number, isLast: boolean): Promise<Uint8Array | undefined> {
    return await gcmOpen(this.#key, nonceOf(index, isLast), sealed, this.#associated)
  }
}

function nonceOf(index: number, isLast: boolean): Uint8Array {
  const nonce = new Uint8Array(NONCE_BYTES)
  new DataView(nonce.buffer).setBigUint64(NONCE_INDEX_OFFSET, BigInt(index))
  nonce[NONCE_LAST_OFFSET] = isLast ? 1 : 0
  return nonce
}
