// The key slots of an encrypted archive: each wraps the file key for one key of a user.
import { concatBytes, encodeUtf8 } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import { damaged } from "./encrypted-errors.ts"
import { checkRawKey, type Key, normalizePassphrase } from "./key.ts"
import { aesKey, equalInConstantTime, gcmOpen, gcmSeal, hkdf, pbkdf2, randomBytes } from "./web-crypto.ts"

// A slot:
//   0        u8         type        1 raw key, 2 passphrase; 0 ends the slots, and zeros fill the rest of their space
//   1..3     u16be      bodyLength  of what follows; a type that is not known here is skipped by it
//   3..35    u8[32]     salt
//   35..39   u32be      rounds      of PBKDF2; type 2 only, the rest of type 1 stands 4 bytes earlier
//   39..71   u8[32]     commitment  to the user's key
//   71..119  u8[48]     wrapped     file key[32] ‖ tag[16]
//
//   K                          type 1: the key itself; type 2: PBKDF2-SHA256(UTF-8 NFC passphrase, salt, rounds)
//   wrappingKey ‖ commitment   HKDF-SHA256(K, salt, "prism-penc-v2/wrap", 64 bytes)
//   wrapped                    AES-256-GCM(wrappingKey, nonce of zeros, file key, associated data = bytes 0 to commitment)
//
// A nonce of zeros is safe because the salt makes each wrapping key a new one, which encrypts one message only.

export const SLOTS_BYTES = 4096
/** PBKDF2 rounds of all passphrase slots of a file, so that a forged header cannot keep a reader busy. */
const ROUNDS_SUM_MAX = 10_000_000
const SLOTS_MAX = 16

/** Written for a passphrase. OWASP Password Storage Cheat Sheet, 2023, for PBKDF2-HMAC-SHA256. */
const ROUNDS = 600_000
const END = 0
const RAW = 1
const PASSPHRASE = 2
const SLOT_HEAD_BYTES = 3
const SALT_BYTES = 32
const ROUNDS_BYTES = 4
const COMMITMENT_BYTES = 32
const WRAPPED_BYTES = 48
const BODY_BYTES = new Map([
  [RAW, SALT_BYTES + COMMITMENT_BYTES + WRAPPED_BYTES],
  [PASSPHRASE, SALT_BYTES + ROUNDS_BYTES + COMMITMENT_BYTES + WRAPPED_BYTES],
])
const WRAP_INFO = encodeUtf8("prism-penc-v2/wrap")
const ZERO_NONCE = new Uint8Array(12)

/** One slot as its bytes, type and length included. */
export type KeySlot = Uint8Array

/** A new slot for this key. */
export async function wrapFileKey(fileKey: Uint8Array, key: Key): Promise<KeySlot> {
  const type = key.kind === "raw" ? RAW : PASSPHRASE
  const bodyLength = BODY_BYTES.get(type)!
  const slot = new Uint8Array(SLOT_HEAD_BYTES + bodyLength)
  const view = new DataView(slot.buffer)
  view.setUint8(0, type)
  view.setUint16(1, bodyLength)
  slot.set(randomBytes(SALT_BYTES), SLOT_HEAD_BYTES)
  if (type === PASSPHRASE) view.setUint32(SLOT_HEAD_BYTES + SALT_BYTES, ROUNDS)
  const { wrappingKey, commitment } = await derive(slot, key)
  const { associated, commitmentAt, wrappedAt } = partsOf(slot)
  slot.set(commitment, commitmentAt)
  slot.set(await gcmSeal(wrappingKey, ZERO_NONCE, fileKey, associated), wrappedAt)
  return slot
}

/** The file key in the first slot that one of the keys opens; undefined where none does. Keys are tried in their order.
 *  @throws PrismError CORRUPT where a slot is for the key, but its wrapped file key is damaged */
export async function openSlots(slots: readonly KeySlot[], keys: readonly Key[]): Promise<Uint8Array | undefined> {
  for (const key of keys) {
    for (const [index, slot] of slots.entries()) {
      const wrappingKey = await wrappingKeyOf(slot, key)
      if (wrappingKey === undefined) continue
      const { associated, wrappedAt } = partsOf(slot)
      const fileKey = await gcmOpen(wrappingKey, ZERO_NONCE, slot.subarray(wrappedAt), associated)
      if (fileKey === undefined) throw damaged(`key slot ${index}`)
      return fileKey
    }
  }
  return undefined
}

/** Whether a slot was made for this key. */
export async function isSlotOf(slot: KeySlot, key: Key): Promise<boolean> {
  return (await wrappingKeyOf(slot, key)) !== undefined
}

async function wrappingKeyOf(slot: KeySlot, key: Key): Promise<CryptoKey | undefined> {
  if (slot[0] !== (key.kind === "raw" ? RAW : PASSPHRASE)) return undefined
  const { wrappingKey, commitment } = await derive(slot, key)
  const { commitmentAt, wrappedAt } = partsOf(slot)
  return equalInConstantTime(commitment, slot.subarray(commitmentAt, wrappedAt)) ? wrappingKey : undefined
}

/** All slots, then zeros. @throws PrismError LIMIT_EXCEEDED */
export function encodeSlots(slots: readonly KeySlot[]): Uint8Array {
  const bytes = concatBytes(slots)
  if (slots.length > SLOTS_MAX || bytes.length > SLOTS_BYTES || roundsOf(slots) > ROUNDS_SUM_MAX) {
    throw new PrismError("LIMIT_EXCEEDED", "There is no room for another key in this archive", {
      hint: `it has ${SLOTS_MAX} at most: remove one first`,
    })
  }
  assert(slots.length > 0, "an archive without a key")
  const space = new Uint8Array(SLOTS_BYTES)
  space.set(bytes)
  return space
}

/** The slots in their space of 4096 bytes; those of an unknown type too. @throws PrismError CORRUPT */
export function decodeSlots(space: Uint8Array): KeySlot[] {
  const slots: KeySlot[] = []
  const view = new DataView(space.buffer, space.byteOffset, space.length)
  let offset = 0
  while (offset < space.length && view.getUint8(offset) !== END) {
    const place = `key slot ${slots.length}`
    if (offset + SLOT_HEAD_BYTES > space.length) throw damaged(place)
    const bodyLength = view.getUint16(offset + 1)
    const end = offset + SLOT_HEAD_BYTES + bodyLength
    const known = BODY_BYTES.get(view.getUint8(offset))
    if (slots.length === SLOTS_MAX || end > space.length || (known ?? bodyLength) !== bodyLength) throw damaged(place)
    slots.push(space.subarray(offset, end))
    offset = end
  }
  if (space.subarray(offset).some((byte) => byte !== 0)) throw damaged("key slots")
  if (slots.some((slot) => slot[0] === PASSPHRASE && roundsIn(slot) === 0)) throw damaged("key slots")
  if (roundsOf(slots) > ROUNDS_SUM_MAX) {
    throw damaged("key slots", `its passphrases ask for more than ${ROUNDS_SUM_MAX} rounds of work, nobody writes that`)
  }
  return slots
}

async function derive(slot: KeySlot, key: Key): Promise<{ wrappingKey: CryptoKey; commitment: Uint8Array }> {
  const salt = slot.subarray(SLOT_HEAD_BYTES, SLOT_HEAD_BYTES + SALT_BYTES)
  let secret: Uint8Array
  if (key.kind === "raw") {
    checkRawKey(key.bytes)
    secret = key.bytes
  } else secret = await pbkdf2(encodeUtf8(normalizePassphrase(key.passphrase)), salt, roundsIn(slot))
  const derived = await hkdf(secret, salt, WRAP_INFO, 64)
  return { wrappingKey: await aesKey(derived.subarray(0, 32), "AES-GCM"), commitment: derived.subarray(32) }
}

function partsOf(slot: KeySlot): { associated: Uint8Array; commitmentAt: number; wrappedAt: number } {
  const wrappedAt = slot.length - WRAPPED_BYTES
  const commitmentAt = wrappedAt - COMMITMENT_BYTES
  return { associated: slot.subarray(0, commitmentAt), commitmentAt, wrappedAt }
}

function roundsIn(slot: KeySlot): number {
  return new DataView(slot.buffer, slot.byteOffset).getUint32(SLOT_HEAD_BYTES + SALT_BYTES)
}

function roundsOf(slots: readonly KeySlot[]): number {
  return slots.reduce((sum, slot) => sum + (slot[0] === PASSPHRASE ? roundsIn(slot) : 0), 0)
}
