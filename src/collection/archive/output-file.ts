// The file that an archive is written to: what may be replaced by it, and whether there is room for it.
import { decodeUtf8 } from "../../base/bytes.ts"
import { PrismError } from "../../base/errors.ts"
import { sequential } from "../../base/streams.ts"
import { sniffArchive } from "../../formats/portable.ts"
import { decompressSeekable } from "../../formats/seekable-zstd.ts"
import type { Files, RandomAccess, Runtime, Zstd } from "../../runtime.ts"
import { HEAD_BYTES } from "./open-archive.ts"

/** Whether `path` may be written where something is: an archive of ours may be replaced by a new one, anything else with
 *  `overwrite`, but for a device or pipe: in the place of that no file is wanted. The hints tell a user how to ask for that, and what to write to instead of a device or pipe.
 *  @throws PrismError FILE_EXISTS for whatever else is there */
export async function checkReplaceable(
  { files, zstd }: Pick<Runtime, "files" | "zstd">,
  path: string,
  { overwrite, hints }: { overwrite: boolean; hints: { readonly overwrite: string; readonly device: string } },
): Promise<boolean> {
  if (await files.isDirectory(path)) {
    throw new PrismError("FILE_EXISTS", `${path} is a folder`, { hint: "name a file in it", place: path })
  }
  if ((await files.size(path)) === undefined) return overwrite
  await using file = await files.open(path)
  // A pipe would be read here, for ever, to see what it holds.
  if (!file) {
    throw new PrismError("FILE_EXISTS", `cannot write ${path}: it is a device or pipe`, {
      place: path,
      hint: hints.device,
    })
  }
  if (overwrite || (await isOurs(file, zstd))) return true
  throw new PrismError("FILE_EXISTS", `${path} exists and is no archive of Prism`, {
    place: path,
    hint: hints.overwrite,
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

/** DISK_FULL where an archive of so many bytes has no room at `path`. */
export async function checkRoomFor(files: Files, path: string, bytes: number): Promise<void> {
  const free = await files.freeBytes(path)
  if (free === undefined || free >= bytes) return
  throw new PrismError("DISK_FULL", `the archive takes at least ${bytes} bytes, and ${free} are free`, {
    place: path,
    hint: "make room, or choose another disk; an archive that is there stays until the new one is whole, so both need room",
  })
}
