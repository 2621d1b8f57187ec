import { concatBytes, encodeUtf8, tryDecodeUtf8 } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { chunksOf } from "../base/streams.ts"
import type { Files } from "../runtime.ts"
import type { Context } from "./context.ts"
import { printable } from "./format.ts"

/** `FILE.sha256`: one line that `sha256sum -c` reads in the file's folder (GNU coreutils, "sha2 utilities"). */
export class ChecksumFile {
  readonly #files: Files
  readonly #path: string
  readonly #name: string

  private constructor(files: Files, path: string, name: string) {
    this.#files = files
    this.#path = path
    this.#name = name
  }

  /** @throws PrismError FILE_EXISTS where its name is taken by a file that holds something else, without `force` */
  static async prepare(files: Files, archive: string, force: boolean): Promise<ChecksumFile> {
    const path = `${archive}.sha256`
    const isFolder = await files.isDirectory(path)
    if (isFolder || (!force && (await files.size(path)) !== undefined && !(await isChecksum(files, path)))) {
      throw new PrismError("FILE_EXISTS", `${path}, where the hash goes, exists and holds something else`, {
        hint: "move it away first",
        place: path,
      })
    }
    return new ChecksumFile(files, path, archive.slice(archive.lastIndexOf("/") + 1))
  }

  async write(sha256: string): Promise<void> {
    const writer = (await this.#files.write(this.#path, { replace: true })).getWriter()
    await writer.write(encodeUtf8(checksumLine(sha256, this.#name)))
    await writer.close()
  }
}

/** Says so where the hash of a file that was just written stands beside it, of what it held before. */
export async function noteStaleChecksum(context: Context, path: string): Promise<void> {
  const { files } = context.runtime
  const beside = `${path}.sha256`
  if ((await files.isDirectory(beside)) || (await files.size(beside)) === undefined) return
  context.note(`${printable(beside)} still tells the hash of the old file`)
}

/** A name with a backslash or a line end is escaped, and the line says so with a backslash before it. */
function checksumLine(sha256: string, name: string): string {
  const escaped = name.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll("\r", "\\r")
  return `${escaped === name ? "" : "\\"}${sha256}  ${escaped}\n`
}

/** Whether it is the hash of one file: a list of several would be lost. */
async function isChecksum(files: Files, path: string): Promise<boolean> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const chunk of chunksOf(await files.read(path))) {
    parts.push(chunk)
    length += chunk.length
    if (length > LINE_BYTES_MAX) return false
  }
  return /^\\?[0-9a-f]{64} [ *][^\n]+\n?$/.test(tryDecodeUtf8(concatBytes(parts)) ?? "")
}

/** A hash and the longest path of a file, escaped. */
const LINE_BYTES_MAX = 16 * 1024
