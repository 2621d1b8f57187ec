// What can be wrong with an encrypted archive, in the words of FORMATS.md, section 3. No error holds a key, a passphrase
// or a byte of the payload.
import { PrismError } from "../base/errors.ts"

const COPY_AGAIN = "copy the file again, or use another backup"

/** The key opens nothing; or what says so is damaged, which cannot be told apart. */
export function decryptionFailed(): PrismError {
  return new PrismError("DECRYPTION_FAILED", "Decryption failed (wrong key or corrupted data)", {
    hint: "check that this is the key of this file; if it is, the file is damaged: use another backup",
  })
}

/** `place`: "header", "key slot 2", "chunk 7". */
export function damaged(place: string, hint = COPY_AGAIN): PrismError {
  return new PrismError("CORRUPT", `Archive is damaged (${place})`, { place, hint })
}

export function truncated(place: string): PrismError {
  return new PrismError("TRUNCATED", `Archive is truncated (${place})`, {
    place,
    hint: `its end is missing or damaged: ${COPY_AGAIN}`,
  })
}

export function unsupportedVersion(version: number, hint = "read it with a newer version of Prism"): PrismError {
  return new PrismError("INCOMPATIBLE_VERSION", `Unsupported format version: ${version}`, { place: "byte 4", hint })
}

export function notEncrypted(): PrismError {
  return new PrismError("INVALID_FORMAT", "Invalid file format (not a Prism encrypted export)", {
    place: "byte 0",
    hint: "an encrypted archive starts with PENC; check the name of the file",
  })
}

export function tooSmall(size: number): PrismError {
  return new PrismError("INVALID_FORMAT", "File too small to be encrypted", { place: `byte ${size}`, hint: COPY_AGAIN })
}
