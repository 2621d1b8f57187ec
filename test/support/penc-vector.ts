// The test vector of docs/formats/encrypted.md, worked out from its inputs by the words of that page with node:crypto,
// and by nothing of src/.
import { createCipheriv, createHash, createHmac, hkdfSync, pbkdf2Sync } from "node:crypto"

const range = (first: number, length: number) => Buffer.from(Array.from({ length }, (_, i) => first + i))

export const PASSPHRASE = "correct horse battery stäple"
export const ROUNDS = 600_000
export const PAYLOAD = Buffer.from(Array.from({ length: 5000 }, (_, i) => i % 251))
const CHUNK_LOG2 = 12

const hkdf = (secret: Buffer, salt: Buffer, info: string, length: number) =>
  Buffer.from(hkdfSync("sha256", secret, salt, info, length))

function gcm(key: Buffer, nonce: Buffer, plaintext: Buffer, associated: Buffer = Buffer.alloc(0)): Buffer {
  const cipher = createCipheriv("aes-256-gcm", key, nonce).setAAD(associated)
  return Buffer.concat([cipher.update(plaintext), cipher.final(), cipher.getAuthTag()])
}

/** Every value by its name in the page, and both files. */
export function vector() {
  const key = range(0x00, 32)
  const fileKey = range(0x20, 32)
  const fileSalt = range(0x40, 32)
  const salts = [range(0x60, 32), range(0x80, 32)] as const
  const nonce = range(0xa0, 12)

  const wrap = (secret: Buffer, salt: Buffer, head: Buffer) => {
    const derived = hkdf(secret, salt, "prism-penc-v2/wrap", 64)
    const [wrappingKey, commitment] = [derived.subarray(0, 32), derived.subarray(32)]
    const wrapped = gcm(wrappingKey, Buffer.alloc(12), fileKey, head)
    return { wrappingKey, commitment, wrapped, slot: Buffer.concat([head, commitment, wrapped]) }
  }
  const raw = wrap(key, salts[0], Buffer.concat([Buffer.from([1, 0, 112]), salts[0]]))
  const rounds = Buffer.alloc(4)
  rounds.writeUInt32BE(ROUNDS)
  const stretched = pbkdf2Sync(PASSPHRASE.normalize("NFC"), salts[1], ROUNDS, 32, "sha256")
  const passphrase = wrap(stretched, salts[1], Buffer.concat([Buffer.from([2, 0, 116]), salts[1], rounds]))

  const fixed = Buffer.concat([Buffer.from("PENC"), Buffer.from([2, 0, CHUNK_LOG2, 0]), fileSalt])
  const slots = Buffer.alloc(4096)
  Buffer.concat([raw.slot, passphrase.slot]).copy(slots)
  const macKey = hkdf(fileKey, fileSalt, "prism-penc-v2/header", 32)
  const mac = createHmac("sha256", macKey).update(fixed).update(slots).digest()

  const payloadKey = hkdf(fileKey, fileSalt, "prism-penc-v2/payload", 32)
  const associated = createHash("sha256").update(fixed).digest()
  const nonces = [Buffer.alloc(12), Buffer.from([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 1])] as const
  const split = 2 ** CHUNK_LOG2
  const chunks = [
    gcm(payloadKey, nonces[0], PAYLOAD.subarray(0, split), associated),
    gcm(payloadKey, nonces[1], PAYLOAD.subarray(split), associated),
  ] as const
  const v2 = Buffer.concat([fixed, slots, mac, ...chunks])
  const message = gcm(key, nonce, PAYLOAD)
  const v1 = Buffer.concat([Buffer.from("PENC"), Buffer.from([1]), nonce, message])
  const sha256 = (bytes: Buffer) => createHash("sha256").update(bytes).digest()
  const values: Record<string, Buffer> = {
    "key K": key,
    "file key FK": fileKey,
    "file salt": fileSalt,
    "slot 0 salt": salts[0],
    "slot 0 wrapping key": raw.wrappingKey,
    "slot 0 commitment": raw.commitment,
    "slot 0 wrapped FK": raw.wrapped,
    "slot 1 salt": salts[1],
    "slot 1 K": stretched,
    "slot 1 wrapping key": passphrase.wrappingKey,
    "slot 1 commitment": passphrase.commitment,
    "slot 1 wrapped FK": passphrase.wrapped,
    "mac key": macKey,
    "header mac": mac,
    "payload key": payloadKey,
    "associated data": associated,
    "chunk 0 nonce": nonces[0],
    "chunk 0 tag": chunks[0].subarray(-16),
    "chunk 1 nonce": nonces[1],
    "chunk 1 tag": chunks[1].subarray(-16),
    "SHA-256 of the file": sha256(v2),
    "version 1 nonce": nonce,
    "version 1 tag": message.subarray(-16),
    "SHA-256 of the version 1 file": sha256(v1),
  }
  return { values, v1, v2, key }
}
