// The keys of encrypted archives, as users hold them.
import { fromHex, toHex } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { randomBytes } from "./web-crypto.ts"

export const KEY_BYTES = 32

/** Opens a slot of an archive. `raw` is used as it is, so it must be random; a passphrase is stretched first. */
export type Key =
  | { readonly kind: "raw"; readonly bytes: Uint8Array }
  | { readonly kind: "passphrase"; readonly passphrase: string }

/** A key as key files and requests hold it: 64 hex characters in either case, white space around them. The text is in no
 *  error. @throws PrismError INVALID_KEY */
export function parseKey(text: string): Key {
  const bytes = fromHex(text.trim())
  if (bytes === undefined) throw invalidKey("Key must be 64 hex characters")
  checkRawKey(bytes)
  return { kind: "raw", bytes }
}

/** A new random key as 64 lowercase hex characters. */
export function generateKey(): string {
  return toHex(randomBytes(KEY_BYTES))
}

/** @throws PrismError INVALID_KEY */
export function checkRawKey(bytes: Uint8Array): void {
  if (bytes.length !== KEY_BYTES) throw invalidKey(`Key must be 32 bytes, got ${bytes.length}`)
}

/** UTF-8 in normalization form C, so that it does not matter how a keyboard composes "é".
 *  @throws PrismError INVALID_KEY where it is empty */
export function normalizePassphrase(passphrase: string): string {
  if (passphrase === "") throw new PrismError("INVALID_KEY", "Passphrase is empty", { hint: "give one that is not" })
  return passphrase.normalize("NFC")
}

function invalidKey(message: string): PrismError {
  return new PrismError("INVALID_KEY", message, { hint: "make one with prism key generate" })
}
