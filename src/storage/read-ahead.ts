import type { ReadableFile } from "./storage.ts"

/** Large enough that a read costs little beside what is done with its bytes. */
const WINDOW_BYTES = 1024 * 1024

/** A file that is read from its beginning to its end in small pieces: reads a window at once and gives views of it, which
 *  stay as they are. Reads do not overlap. */
export class ReadAhead implements ReadableFile {
  readonly path: string
  readonly size: number
  readonly #file: ReadableFile
  #window: Uint8Array = new Uint8Array(0)
  #start = 0

  /** `size`: where its end is to be, if not behind all that is there. */
  constructor(file: ReadableFile, size = file.size) {
    this.path = file.path
    this.size = size
    this.#file = file
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < this.#start || offset + length > this.#start + this.#window.length) {
      const wanted = Math.min(Math.max(length, WINDOW_BYTES), this.size - offset)
      // What does not fit is TRUNCATED there.
      if (length >= wanted) return await this.#file.read(offset, length)
      this.#window = await this.#file.read(offset, wanted)
      this.#start = offset
    }
    return this.#window.subarray(offset - this.#start, offset - this.#start + length)
  }

  async close(): Promise<void> {
    await this.#file.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
