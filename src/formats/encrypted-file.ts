import { PrismError } from "../base/errors.ts"
import type { RandomAccess, Runtime } from "../runtime.ts"
import { ChunkedPayload } from "./chunked-payload.ts"
import { encryptedVersion, VERSION_HEAD_BYTES } from "./encrypted-header.ts"
import { PayloadV1 } from "./encrypted-v1.ts"
import type { Key } from "./key.ts"

/** The payload of an encrypted archive, readable at any place. */
export class EncryptedFile implements RandomAccess {
  readonly version: 1 | 2
  readonly #payload: RandomAccess

  private constructor(version: 1 | 2, payload: RandomAccess) {
    this.version = version
    this.#payload = payload
  }

  /** Of version 2 the header and the last chunk are checked, so that a file which was cut is refused here, and damage
   *  elsewhere where it is read; a file of version 1 is read once as a whole.
   *  @throws PrismError INVALID_FORMAT, INCOMPATIBLE_VERSION, INVALID_KEY, DECRYPTION_FAILED, CORRUPT, TRUNCATED */
  static async open(file: RandomAccess, keys: readonly Key[], createGcm: Runtime["createGcm"]): Promise<EncryptedFile> {
    const version = encryptedVersion(await file.read(0, Math.min(file.size, VERSION_HEAD_BYTES)))
    const payload = version === 1 ? PayloadV1.open(file, keys, createGcm) : ChunkedPayload.open(file, keys)
    return new EncryptedFile(version, await payload)
  }

  get size(): number {
    return this.#payload.size
  }

  /** @throws PrismError CORRUPT, TRUNCATED */
  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset + length > this.size) {
      throw new PrismError("TRUNCATED", `the payload ends at byte ${this.size}, not at ${offset + length}`)
    }
    return await this.#payload.read(offset, length)
  }
}
