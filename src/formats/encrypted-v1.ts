// Encrypted archives of version 1: one message, one tag. Read for ever, written on request.
import { concatBytes, encodeUtf8 } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import { sequential } from "../base/streams.ts"
import type { RandomAccess, Runtime } from "../runtime.ts"
import { decryptionFailed } from "./encrypted-errors.ts"
import { encryptedVersion, VERSION_HEAD_BYTES } from "./encrypted-header.ts"
import { checkRawKey, type Key } from "./key.ts"
import { aesKey, ctr, GCM_TAG_BYTES, randomBytes } from "./web-crypto.ts"

//   0..4          "PENC"
//   4             u8       version     1
//   5..17         u8[12]   nonce
//   17..size−16   u8[]     ciphertext  AES-256-GCM(key, nonce, payload), no associated data
//   size−16..     u8[16]   tag

const NONCE_OFFSET = 5
const CIPHERTEXT_OFFSET = 17
const OVERHEAD_BYTES = 33

const NONCE_BYTES = 12
const AES_BLOCK_BYTES = 16
/** What one message may hold: NIST SP 800-38D, section 5.2.1.1. */
const PAYLOAD_BYTES_MAX = 2 ** 36 - 32

type CreateGcm = Runtime["createGcm"]

/** The bytes of an encrypted archive of version 1. @throws PrismError INVALID_KEY, LIMIT_EXCEEDED over 64 GiB */
export async function* encryptV1(
  plaintext: AsyncIterable<Uint8Array>,
  key: Key,
  createGcm: CreateGcm,
): AsyncGenerator<Uint8Array> {
  const nonce = randomBytes(NONCE_BYTES)
  const gcm = createGcm("encrypt", rawBytes(key), nonce)
  yield concatBytes([encodeUtf8("PENC"), Uint8Array.of(1), nonce])
  let length = 0
  for await (const bytes of plaintext) {
    length += bytes.length
    if (length > PAYLOAD_BYTES_MAX) throw tooLarge("write version 2, which takes any size")
    yield gcm.update(bytes)
  }
  yield gcm.tag()
}

/** The payload of an encrypted archive of version 1, which one of the keys opens. The file is read twice: nothing is given
 *  before its tag was verified.
 *  @throws PrismError INVALID_FORMAT, INCOMPATIBLE_VERSION, INVALID_KEY, DECRYPTION_FAILED, LIMIT_EXCEEDED */
export async function* decryptV1(
  file: RandomAccess,
  keys: readonly Key[],
  createGcm: CreateGcm,
): AsyncGenerator<Uint8Array> {
  const key = await verify(file, keys, createGcm)
  // The file may have become another one since, so the end is checked again.
  yield* decryptOnce(file, key, createGcm)
}

/** The payload of a file of version 1 at any place. */
export class PayloadV1 implements RandomAccess {
  readonly size: number
  readonly #file: RandomAccess
  readonly #key: CryptoKey
  readonly #nonce: Uint8Array

  private constructor(file: RandomAccess, key: CryptoKey, nonce: Uint8Array) {
    this.size = file.size - OVERHEAD_BYTES
    this.#file = file
    this.#key = key
    this.#nonce = nonce
  }

  /** Verifies the tag, for which the whole file is read once. @throws PrismError as `decryptV1` */
  static async open(file: RandomAccess, keys: readonly Key[], createGcm: CreateGcm): Promise<PayloadV1> {
    const key = await verify(file, keys, createGcm)
    return new PayloadV1(file, await aesKey(key, "AES-CTR"), await file.read(NONCE_OFFSET, NONCE_BYTES))
  }

  /** GCM encrypts as CTR does, from counter block nonce ‖ 2 on; 1 went into the tag (SP 800-38D, section 7.1). */
  async read(offset: number, length: number): Promise<Uint8Array> {
    const block = Math.floor(offset / AES_BLOCK_BYTES)
    const before = offset - block * AES_BLOCK_BYTES
    const bytes = await this.#file.read(CIPHERTEXT_OFFSET + offset - before, before + length)
    const counter = new Uint8Array(AES_BLOCK_BYTES)
    counter.set(this.#nonce)
    new DataView(counter.buffer).setUint32(NONCE_BYTES, 2 + block)
    return (await ctr(this.#key, counter, bytes)).subarray(before)
  }
}

/** The key that the tag of the whole file was made with. */
async function verify(file: RandomAccess, keys: readonly Key[], createGcm: CreateGcm): Promise<Uint8Array> {
  let failure = decryptionFailed()
  for (const key of keys) {
    try {
      const bytes = rawBytes(key)
      for await (const _ of decryptOnce(file, bytes, createGcm)) await letOthersRun()
      return bytes
    } catch (error) {
      if (!(error instanceof PrismError) || !["DECRYPTION_FAILED", "INVALID_KEY"].includes(error.code)) throw error
      failure = error
    }
  }
  throw failure
}

/** What comes is not authentic before the end has come. */
async function* decryptOnce(file: RandomAccess, key: Uint8Array, createGcm: CreateGcm): AsyncGenerator<Uint8Array> {
  const head = await file.read(0, Math.min(file.size, VERSION_HEAD_BYTES))
  const version = encryptedVersion(head)
  assert(version === 1, "not a file of version 1")
  if (file.size - OVERHEAD_BYTES > PAYLOAD_BYTES_MAX) throw tooLarge("nobody can have written this: use another backup")
  const gcm = createGcm("decrypt", key, head.subarray(NONCE_OFFSET, CIPHERTEXT_OFFSET))
  const end = file.size - GCM_TAG_BYTES
  for await (const bytes of sequential(file, { offset: CIPHERTEXT_OFFSET, end })) yield gcm.update(bytes)
  if (!gcm.verify(await file.read(end, GCM_TAG_BYTES))) throw decryptionFailed()
}

function rawBytes(key: Key): Uint8Array {
  if (key.kind === "passphrase") {
    throw new PrismError("INVALID_KEY", "An archive of version 1 is opened by a key, not by a passphrase", {
      hint: "use the key file that it was written with",
    })
  }
  checkRawKey(key.bytes)
  return key.bytes
}

function tooLarge(hint: string): PrismError {
  return new PrismError("LIMIT_EXCEEDED", "Version 1 holds 64 GiB at most", { hint })
}
