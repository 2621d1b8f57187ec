// The header of an encrypted archive of version 2: who may open it, and what its chunks are encrypted with.
import { concatBytes, decodeUtf8, encodeUtf8 } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import { ChunkCipher } from "./encrypted-chunks.ts"
import { damaged, decryptionFailed, notEncrypted, tooSmall, truncated, unsupportedVersion } from "./encrypted-errors.ts"
import type { Key } from "./key.ts"
import { decodeSlots, encodeSlots, isSlotOf, type KeySlot, openSlots, SLOTS_BYTES, wrapFileKey } from "./key-slots.ts"
import { equalInConstantTime, hkdf, hmac, randomBytes } from "./web-crypto.ts"

//   0..4        "PENC"
//   4           u8         version         2
//   5           u8         flags           0
//   6           u8         chunkLog2       12 to 24: a chunk holds 2^chunkLog2 bytes of the payload
//   7           u8         0
//   8..40       u8[32]     fileSalt
//   40..4136    u8[4096]   slots           key-slots.ts
//   4136..4168  u8[32]     mac             HMAC-SHA256(macKey, bytes 0..4136)
//   4168..                 chunks          encrypted-chunks.ts
//
//   macKey      HKDF-SHA256(file key, fileSalt, "prism-penc-v2/header", 32 bytes)
//   payloadKey  HKDF-SHA256(file key, fileSalt, "prism-penc-v2/payload", 32 bytes)

export const HEADER_BYTES = 4168
export const CHUNK_LOG2 = 18
/** Bytes that tell a version. */
export const VERSION_HEAD_BYTES = 33

const MAGIC = "PENC"
const VERSION_OFFSET = 4
const FLAGS_OFFSET = 5
const CHUNK_LOG2_OFFSET = 6
const RESERVED_OFFSET = 7
const FILE_SALT_OFFSET = 8
const SLOTS_OFFSET = 40
const MAC_OFFSET = SLOTS_OFFSET + SLOTS_BYTES
const CHUNK_LOG2_MIN = 12
const CHUNK_LOG2_MAX = 24
const HEADER_INFO = encodeUtf8("prism-penc-v2/header")
const PAYLOAD_INFO = encodeUtf8("prism-penc-v2/payload")

/** The version of an encrypted archive by its first bytes: 33 of them, or all where it is shorter.
 *  @throws PrismError INVALID_FORMAT, INCOMPATIBLE_VERSION */
export function encryptedVersion(head: Uint8Array): 1 | 2 {
  const magic = decodeUtf8(head.subarray(0, MAGIC.length))
  if (head.length < VERSION_HEAD_BYTES && MAGIC.startsWith(magic)) throw tooSmall(head.length)
  if (magic !== MAGIC) throw notEncrypted()
  const version = head[VERSION_OFFSET]!
  if (version !== 1 && version !== 2) throw unsupportedVersion(version)
  return version
}

/** A new file key, wrapped for each of the keys. @throws PrismError INVALID_KEY, LIMIT_EXCEEDED */
export async function createHeader(
  keys: readonly Key[],
  chunkLog2: number,
): Promise<{ header: Uint8Array; chunks: ChunkCipher }> {
  assert(chunkLog2 >= CHUNK_LOG2_MIN && chunkLog2 <= CHUNK_LOG2_MAX, "a chunk size that no reader takes")
  const fileKey = randomBytes(32)
  const fileSalt = randomBytes(32)
  const fixed = concatBytes([encodeUtf8(MAGIC), Uint8Array.of(2, 0, chunkLog2, 0), fileSalt])
  const slots = await Promise.all(keys.map((key) => wrapFileKey(fileKey, key)))
  return { header: await seal(fixed, slots, fileKey), chunks: await chunksOf(fixed, fileKey) }
}

/** Checks a header and opens it with one of the keys. @throws PrismError CORRUPT, TRUNCATED where it is not whole,
 *  DECRYPTION_FAILED where none of the keys opens it, INVALID_KEY */
export async function openHeader(header: Uint8Array, keys: readonly Key[]): Promise<ChunkCipher> {
  const { fileKey } = await open(header, keys)
  return await chunksOf(header.subarray(0, SLOTS_OFFSET), fileKey)
}

/** Another set of keys for the same payload. `replace` and `remove` take every slot away that the old key opens: it may
 *  have been added twice. */
export type KeyChange = { readonly add: Key } | { readonly replace: Key } | { readonly remove: true }

/** The header of the same file, with its keys changed. What knew the old key and an old copy can still read that.
 *  @throws PrismError as `openHeader` for `old`; LIMIT_EXCEEDED for a 17th key, INVALID_REQUEST for removing the last */
export async function rotateKeys(header: Uint8Array, old: Key, change: KeyChange): Promise<Uint8Array> {
  const { slots: there, fileKey } = await open(header, [old])
  const slots: KeySlot[] = []
  for (const slot of there) if ("add" in change || !(await isSlotOf(slot, old))) slots.push(slot)
  const added = "add" in change ? change.add : "replace" in change ? change.replace : undefined
  if (added) slots.push(await wrapFileKey(fileKey, added))
  if (slots.length === 0) {
    throw new PrismError("INVALID_REQUEST", "This is the only key of the archive", {
      hint: "without a key nobody could read it again: add another one first",
    })
  }
  return await seal(header.subarray(0, SLOTS_OFFSET), slots, fileKey)
}

async function open(header: Uint8Array, keys: readonly Key[]): Promise<{ slots: KeySlot[]; fileKey: Uint8Array }> {
  if (header.length < HEADER_BYTES) throw truncated("header")
  assert(header.length === HEADER_BYTES && header[VERSION_OFFSET] === 2, "not a header of version 2")
  const chunkLog2 = header[CHUNK_LOG2_OFFSET]!
  const isKnown = header[FLAGS_OFFSET] === 0 && header[RESERVED_OFFSET] === 0
  if (!isKnown || chunkLog2 < CHUNK_LOG2_MIN || chunkLog2 > CHUNK_LOG2_MAX) throw damaged("header")
  const slots = decodeSlots(header.subarray(SLOTS_OFFSET, MAC_OFFSET))
  const fileKey = await openSlots(slots, keys)
  if (fileKey === undefined) throw decryptionFailed()
  const mac = await macOf(header.subarray(0, MAC_OFFSET), fileKey)
  if (!equalInConstantTime(mac, header.subarray(MAC_OFFSET))) throw damaged("header")
  return { slots, fileKey }
}

/** fixed: bytes 0..40 */
async function seal(fixed: Uint8Array, slots: readonly KeySlot[], fileKey: Uint8Array): Promise<Uint8Array> {
  const bytes = concatBytes([fixed, encodeSlots(slots)])
  return concatBytes([bytes, await macOf(bytes, fileKey)])
}

async function macOf(bytes: Uint8Array, fileKey: Uint8Array): Promise<Uint8Array> {
  const macKey = await hkdf(fileKey, fileSaltOf(bytes), HEADER_INFO, 32)
  return await hmac(macKey, bytes)
}

async function chunksOf(fixed: Uint8Array, fileKey: Uint8Array): Promise<ChunkCipher> {
  const payloadKey = await hkdf(fileKey, fileSaltOf(fixed), PAYLOAD_INFO, 32)
  return await ChunkCipher.create(payloadKey, 2 ** fixed[CHUNK_LOG2_OFFSET]!, [
    fixed.subarray(0, FILE_SALT_OFFSET),
    fileSaltOf(fixed),
  ])
}

function fileSaltOf(header: Uint8Array): Uint8Array {
  return header.subarray(FILE_SALT_OFFSET, SLOTS_OFFSET)
}
