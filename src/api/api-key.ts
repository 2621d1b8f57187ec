// The keys of the HTTP interface, as clients hold them. A server knows their hashes alone.
import { encodeUtf8, toBase64 } from "../base/bytes.ts"
import type { Sha256 } from "../runtime.ts"

const PREFIX = "prism_"
const RANDOM_BYTES = 32

/** A new key: 32 random bytes in base64url (RFC 4648 §5), after a prefix by which scanners for leaked secrets find it. */
export function generateApiKey(): string {
  const random = toBase64(crypto.getRandomValues(new Uint8Array(RANDOM_BYTES)))
  return PREFIX + random.replaceAll("+", "-").replaceAll("/", "_").replace(/=+$/, "")
}

/** What a configuration holds of a key. One round of SHA-256 will do: a key is random, so nobody can guess at it. */
export function hashApiKey(key: string, createSha256: () => Sha256): string {
  const hash = createSha256()
  hash.update(encodeUtf8(key))
  return hash.digestHex()
}

/** Whether a key stands anywhere in a text. */
export function holdsApiKey(text: string): boolean {
  return /prism_[\w-]{43}/.test(text)
}
