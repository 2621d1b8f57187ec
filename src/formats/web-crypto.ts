// The few primitives of WebCrypto that archives use, over plain bytes.

/** What WebCrypto takes. Nothing here is ever a view of shared memory. */
const own = (bytes: Uint8Array) => bytes as Uint8Array<ArrayBuffer>

export const GCM_TAG_BYTES = 16

export function randomBytes(length: number): Uint8Array {
  return crypto.getRandomValues(new Uint8Array(length))
}

export async function sha256(bytes: Uint8Array): Promise<Uint8Array> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", own(bytes)))
}

/** HKDF-SHA256 (RFC 5869). */
export async function hkdf(secret: Uint8Array, salt: Uint8Array, info: Uint8Array, length: number) {
  const key = await crypto.subtle.importKey("raw", own(secret), "HKDF", false, ["deriveBits"])
  const algorithm = { name: "HKDF", hash: "SHA-256", salt: own(salt), info: own(info) }
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 8 * length))
}

/** PBKDF2-HMAC-SHA256 (RFC 8018, section 5.2), 32 bytes. */
export async function pbkdf2(password: Uint8Array, salt: Uint8Array, rounds: number): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey("raw", own(password), "PBKDF2", false, ["deriveBits"])
  const algorithm = { name: "PBKDF2", hash: "SHA-256", salt: own(salt), iterations: rounds }
  return new Uint8Array(await crypto.subtle.deriveBits(algorithm, key, 256))
}

/** HMAC-SHA256 (RFC 2104). */
export async function hmac(secret: Uint8Array, bytes: Uint8Array): Promise<Uint8Array> {
  const key = await crypto.subtle.importKey("raw", own(secret), { name: "HMAC", hash: "SHA-256" }, false, ["sign"])
  return new Uint8Array(await crypto.subtle.sign("HMAC", key, own(bytes)))
}

/** An AES-256 key for the calls below. */
export async function aesKey(secret: Uint8Array, mode: "AES-GCM" | "AES-CTR"): Promise<CryptoKey> {
  return await crypto.subtle.importKey("raw", own(secret), mode, false, ["encrypt", "decrypt"])
}

/** AES-GCM (NIST SP 800-38D): ciphertext ‖ tag of 16 bytes. nonce: 12 bytes. */
export async function gcmSeal(key: CryptoKey, nonce: Uint8Array, plaintext: Uint8Array, associated: Uint8Array) {
  const algorithm = { name: "AES-GCM", iv: own(nonce), additionalData: own(associated) }
  return new Uint8Array(await crypto.subtle.encrypt(algorithm, key, own(plaintext)))
}

/** The plaintext of `gcmSeal`, or undefined where that is not what these bytes are. */
export async function gcmOpen(key: CryptoKey, nonce: Uint8Array, sealed: Uint8Array, associated: Uint8Array) {
  if (sealed.length < GCM_TAG_BYTES) return undefined
  const algorithm = { name: "AES-GCM", iv: own(nonce), additionalData: own(associated) }
  try {
    return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, own(sealed)))
  } catch (error) {
    // Anything else, such as too little memory, says nothing about the bytes.
    if ((error as { name?: unknown }).name === "OperationError") return undefined
    throw error
  }
}

/** AES-CTR (NIST SP 800-38A) from a counter block of 16 bytes on, whose last 32 bits count. */
export async function ctr(key: CryptoKey, counter: Uint8Array, bytes: Uint8Array): Promise<Uint8Array> {
  const algorithm = { name: "AES-CTR", counter: own(counter), length: 32 }
  return new Uint8Array(await crypto.subtle.decrypt(algorithm, key, own(bytes)))
}

/** Whether bytes are the same, in a time that does not tell where they differ. */
export function equalInConstantTime(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  let difference = 0
  for (let i = 0; i < a.length; i++) difference |= a[i]! ^ b[i]!
  return difference === 0
}
