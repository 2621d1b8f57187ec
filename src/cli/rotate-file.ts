import { PrismError } from "../base/errors.ts"
import { sequential } from "../base/streams.ts"
import { decrypt, encrypt } from "../formats/encrypted.ts"
import { EncryptedFile } from "../formats/encrypted-file.ts"
import {
  encryptedVersion,
  HEADER_BYTES,
  type KeyChange,
  rotateKeys,
  VERSION_HEAD_BYTES,
} from "../formats/encrypted-header.ts"
import { decryptV1 } from "../formats/encrypted-v1.ts"
import type { Key } from "../formats/key.ts"
import type { RandomAccess, Sha256 } from "../runtime.ts"
import type { Context } from "./context.ts"
import { formatBytes } from "./format.ts"
import { usageError } from "./parse.ts"

/** Puts an encrypted archive with other keys in the place of this one: written beside it, synced, read again, renamed, so
 *  that a kill at any time leaves the old file or the new one, whole. With `rekey` the payload is encrypted anew under a
 *  new file key, for the new key alone or, with `add`, for both.
 *  @throws PrismError as `EncryptedFile.open`; USAGE, DISK_FULL, LIMIT_EXCEEDED, INVALID_REQUEST, INTERRUPTED */
export async function rotateFile(
  context: Context,
  path: string,
  old: Key,
  change: KeyChange,
  { rekey }: { rekey: boolean },
): Promise<{ sizeBytes: number; fileSha256: string }> {
  const { runtime, signal } = context
  const { createGcm } = runtime
  await using opened = await runtime.files.open(path)
  if (opened === undefined) {
    throw new PrismError("IO_ERROR", `${path} is a device or pipe`, { place: path, hint: "name a file" })
  }
  const file = interruptible(opened, signal)
  const version = encryptedVersion(await file.read(0, Math.min(file.size, VERSION_HEAD_BYTES)))
  if (version === 1 && !rekey) {
    throw usageError("An archive of version 1 has one key, which cannot be changed", "encrypt it anew with --rekey")
  }
  // Whatever is wrong with the old file is said before a new one is begun.
  await EncryptedFile.open(file, [old], createGcm)
  const free = await runtime.files.freeBytes(path)
  if (free !== undefined && free < file.size) {
    throw new PrismError("DISK_FULL", `a second copy of ${path} takes ${formatBytes(file.size)}`, {
      place: path,
      hint: "free some space, then try again",
    })
  }

  const newKeys = "add" in change ? [change.add] : "replace" in change ? [change.replace] : []
  const payloadHash = runtime.createSha256()
  let pieces: AsyncIterable<Uint8Array>
  if (rekey) {
    const payload = version === 1 ? decryptV1(file, [old], createGcm) : decrypt(sequential(file), [old])
    pieces = encrypt(hashed(payload, payloadHash), "add" in change ? [old, ...newKeys] : newKeys)
  } else {
    const header = await rotateKeys(await file.read(0, HEADER_BYTES), old, change)
    pieces = withHeader(header, sequential(file, { offset: HEADER_BYTES }))
  }

  const fileHash = runtime.createSha256()
  let sizeBytes = 0
  let fileSha256 = ""
  const verify = async (synced: RandomAccess) => {
    const written = interruptible(synced, signal)
    sizeBytes = written.size
    fileSha256 = fileHash.digestHex()
    if ((await digest(sequential(written), runtime.createSha256())) !== fileSha256) throw notAsWritten(path)
    if (newKeys.length > 0) await EncryptedFile.open(written, newKeys, createGcm)
    if (!rekey) return
    const again = await digest(decrypt(sequential(written), newKeys), runtime.createSha256())
    if (again !== payloadHash.digestHex()) throw notAsWritten(path)
  }
  const writer = (await runtime.files.write(path, { replace: true, verify })).getWriter()
  try {
    for await (const piece of hashed(pieces, fileHash)) await writer.write(piece)
  } catch (error) {
    await writer.abort(error).catch(() => {})
    throw error
  }
  await writer.close()
  return { sizeBytes, fileSha256 }
}

/** The same file, whose reads end with the signal's reason once that is aborted. */
function interruptible(file: RandomAccess, signal: AbortSignal): RandomAccess {
  return {
    size: file.size,
    async read(offset, length) {
      signal.throwIfAborted()
      return await file.read(offset, length)
    },
  }
}

async function* withHeader(header: Uint8Array, chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  yield header
  yield* chunks
}

/** The same pieces, hashed as they pass. */
async function* hashed(pieces: AsyncIterable<Uint8Array>, hash: Sha256): AsyncGenerator<Uint8Array> {
  for await (const piece of pieces) {
    hash.update(piece)
    yield piece
  }
}

async function digest(pieces: AsyncIterable<Uint8Array>, hash: Sha256): Promise<string> {
  for await (const piece of pieces) hash.update(piece)
  return hash.digestHex()
}

function notAsWritten(path: string): PrismError {
  return new PrismError("CORRUPT", `the new ${path} does not read as it was written, so the old one stays`, {
    place: path,
    hint: "check the disk",
  })
}
