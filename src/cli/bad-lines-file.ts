import { encodeUtf8 } from "../base/bytes.ts"
import { PrismError, type Problem } from "../base/errors.ts"
import { chunksOf } from "../base/streams.ts"
import type { Files } from "../runtime.ts"

const BEGINNING = '{"place":'
const BUFFER_BYTES = 64 * 1024

/** The lines of an archive that a restore skipped, one JSON object a line: where it stood, why it was refused, and the
 *  line itself (not where it is over the limit or no UTF-8). The file appears when the restore has succeeded, and only if a line was skipped. */
export class BadLinesFile {
  readonly path: string
  readonly #files: Files
  #writer: WritableStreamDefaultWriter<Uint8Array> | undefined
  #buffered = ""

  private constructor(files: Files, path: string) {
    this.#files = files
    this.path = path
  }

  /** @throws PrismError FILE_EXISTS where its name is taken by a file that is none of these */
  static async prepare(files: Files, archive: string): Promise<BadLinesFile> {
    // Beside the archive; a pipe, and its name as in <(zstd -dc FILE), has no folder of its own.
    const isPipe = archive === "-" || archive.startsWith("/dev/") || archive.startsWith("/proc/")
    const path = `${isPipe ? "restore" : archive}.bad-lines.jsonl`
    if ((await files.size(path)) !== undefined) {
      let beginning = ""
      for await (const chunk of chunksOf(await files.read(path))) {
        beginning += String.fromCharCode(...chunk.subarray(0, BEGINNING.length))
        if (beginning.length >= BEGINNING.length) break
      }
      if (!beginning.startsWith(BEGINNING)) {
        throw new PrismError("FILE_EXISTS", `${path}, where skipped lines go, exists and holds something else`, {
          hint: "move it away first",
          place: path,
        })
      }
    }
    return new BadLinesFile(files, path)
  }

  async add({ place, code, message }: Problem, line: string | undefined): Promise<void> {
    this.#buffered += `${JSON.stringify({ place, code, message, line })}\n`
    if (this.#buffered.length >= BUFFER_BYTES) await this.#flush()
  }

  async close(): Promise<void> {
    await this.#flush()
    await this.#writer?.close()
  }

  async abort(): Promise<void> {
    await this.#writer?.abort().catch(() => {})
  }

  async #flush(): Promise<void> {
    if (this.#buffered === "") return
    this.#writer ??= (await this.#files.write(this.path, { replace: true })).getWriter()
    const bytes = encodeUtf8(this.#buffered)
    this.#buffered = ""
    await this.#writer.write(bytes)
  }
}
