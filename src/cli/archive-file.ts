// Archives as files that a user names: opened at any place where they can be, told from others, and which may be replaced.
import { decodeUtf8 } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { sequential } from "../base/streams.ts"
import { archiveKind, HEAD_BYTES } from "../collection/archive/open-archive.ts"
import type { ArchiveSource } from "../collection/archive/options.ts"
import { sniffArchive } from "../formats/portable.ts"
import { decompressSeekable } from "../formats/seekable-zstd.ts"
import type { RandomAccess, Zstd } from "../runtime.ts"
import type { Context } from "./context.ts"
import { peek } from "./streams.ts"

export interface ArchiveFile extends AsyncDisposable {
  /** As messages call it. */
  readonly name: string
  readonly source: ArchiveSource
  /** In bytes, where it is known. */
  readonly size: number | undefined
}

/** The archive in a file, or in stdin for "-". @throws PrismError INVALID_FORMAT for what begins as nothing of ours */
export async function openArchiveFile(context: Context, path: string): Promise<ArchiveFile> {
  const file = path === "-" ? undefined : await context.runtime.files.open(path)
  if (file) {
    try {
      checkKind(await file.read(0, Math.min(HEAD_BYTES, file.size)), path)
      const close = () => file[Symbol.asyncDispose]()
      return { name: path, source: file, size: file.size, [Symbol.asyncDispose]: close }
    } catch (error) {
      await file[Symbol.asyncDispose]()
      throw error
    }
  }
  const input = await context.openInput(path)
  const { head, stream } = await peek(input.stream, HEAD_BYTES)
  const close = async () => await stream.cancel().catch(() => {})
  try {
    checkKind(head, input.name)
    return {
      name: input.name,
      source: stream,
      size: input.size,
      [Symbol.asyncDispose]: async () => {
        // Whoever reads it lets go of it himself.
        if (!stream.locked) await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

function checkKind(head: Uint8Array, name: string): void {
  try {
    archiveKind(head)
  } catch (error) {
    if (!(error instanceof PrismError)) throw error
    const { code, message, hint } = error
    throw new PrismError(code, message.replace(/^the file/, name), { place: name, ...(hint !== undefined && { hint }) })
  }
}

/** Whether `path` may be written where something is: an archive of ours may be replaced by a new one.
 *  @throws PrismError FILE_EXISTS for any other file without `force`, and for a folder */
export async function checkReplaceable(context: Context, path: string, force: boolean): Promise<boolean> {
  const { files, zstd } = context.runtime
  if (await files.isDirectory(path)) {
    throw new PrismError("FILE_EXISTS", `${path} is a folder`, { hint: "name a file in it", place: path })
  }
  if (force || (await files.size(path)) === undefined) return force
  await using file = await files.open(path)
  // A pipe would be read here, for ever, to see what it holds.
  if (!file) {
    throw new PrismError("IO_ERROR", `cannot write ${path}: it is a device or pipe`, {
      place: path,
      hint: "use -o - for standard output",
    })
  }
  if (await isOurs(file, zstd)) return true
  throw new PrismError("FILE_EXISTS", `${path} exists and is no archive of Prism`, {
    hint: "choose another name, or replace it with --force",
    place: path,
  })
}

async function isOurs(file: RandomAccess, zstd: Zstd): Promise<boolean> {
  const head = await file.read(0, Math.min(HEAD_BYTES, file.size))
  const kind = sniffArchive(head)
  // A text may begin with PENC too.
  if (kind !== "zstd") return kind === "portable" || (kind === "encrypted" && (head[4] === 1 || head[4] === 2))
  try {
    // Of the many files that are compressed with zstd, a snapshot is the one whose first entry has this name.
    for await (const tar of decompressSeekable(sequential(file), zstd)) return startsWith(tar, "metadata.json\0")
  } catch (error) {
    if (!(error instanceof PrismError)) throw error
  }
  return false
}

function startsWith(bytes: Uint8Array, text: string): boolean {
  return decodeUtf8(bytes.subarray(0, text.length)) === text
}
