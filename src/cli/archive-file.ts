// Archives as files that a user names: what they are by their first bytes, and which may be replaced.
import { decodeUtf8 } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { sniffArchive } from "../formats/portable.ts"
import type { Files } from "../runtime.ts"
import type { Input } from "./context.ts"
import { peek } from "./streams.ts"

/** Bytes that tell what an archive is. */
const HEAD_BYTES = 64

export const ONLY_PORTABLE = "Only the portable format works in this version"

/** Refuses an output whose name promises another format than portable. */
export function checkExportName(path: string, formatGiven: boolean): void {
  if (path.endsWith(".enc")) {
    throw new PrismError("USAGE", `${ONLY_PORTABLE}; ${path} has the name of an encrypted archive`, {
      hint: "name it .prism.jsonl, and encrypt it with a tool of your own before it leaves the machine",
    })
  }
  if (!formatGiven && /\.(tar\.zst|tzst)$/.test(path)) {
    throw new PrismError("USAGE", `${ONLY_PORTABLE}; ${path} has the name of a snapshot`, {
      hint: "name it .prism.jsonl, or say --format portable",
    })
  }
}

/** Whether `path` may be written: it is free, or holds an archive of ours that a new one may replace.
 *  @throws PrismError FILE_EXISTS for any other file without `force`; IO_ERROR for a folder */
export async function checkReplaceable(files: Files, path: string, force: boolean): Promise<{ replace: boolean }> {
  if (await files.isDirectory(path)) {
    throw new PrismError("FILE_EXISTS", `${path} is a folder`, { hint: "name a file in it", place: path })
  }
  if ((await files.size(path)) === undefined) return { replace: force }
  if (force) return { replace: true }
  const { head, stream } = await peek(await files.read(path), HEAD_BYTES)
  await stream.cancel()
  const kind = sniffArchive(head)
  // The format also lets a snapshot be replaced; told from any other zstd file by its first entry, which this version
  // cannot read.
  if (kind === "portable" || kind === "encrypted") return { replace: true }
  throw new PrismError("FILE_EXISTS", `${path} exists and is no archive of Prism`, {
    hint: "choose another name, or replace it with --force",
    place: path,
  })
}

/** The archive in an input, as a stream that starts with a portable archive. @throws PrismError INVALID_FORMAT for
 *  anything else */
export async function openArchive({ name, size, stream: input }: Input): Promise<Input> {
  const { head, stream } = await peek(input, HEAD_BYTES)
  const refuse = async (message: string, hint: string): Promise<never> => {
    await stream.cancel().catch(() => {})
    throw new PrismError("INVALID_FORMAT", message, { hint, place: name })
  }
  if (head.length === 0) return refuse(`${name} is empty`, "check that the export was written whole")
  switch (sniffArchive(head)) {
    case "portable":
      return { name, size, stream }
    case "encrypted":
      return refuse(`${name} is an encrypted archive; ${LOWER}`, EXPORT_PORTABLE)
    case "zstd":
      return refuse(`${name} is compressed with zstd, as snapshots are; ${LOWER}`, EXPORT_PORTABLE)
    default:
  }
  // What looks like JSON may be a portable archive whose header was written another way: its reader knows.
  if (/^\ufeff?\s*\{/.test(decodeUtf8(head))) return { name, size, stream }
  return refuse(
    `${name} is no archive of Prism`,
    'a portable archive starts with {"format":"prism-portable-v1"; documents come in with prism document import',
  )
}

const LOWER = ONLY_PORTABLE[0]!.toLowerCase() + ONLY_PORTABLE.slice(1)
const EXPORT_PORTABLE = "export the collection again with --format portable where it lives"
