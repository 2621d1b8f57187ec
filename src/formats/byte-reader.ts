import { concatBytes } from "../base/bytes.ts"

const EMPTY = new Uint8Array(0)

/** Takes bytes out of a stream in the lengths that a format asks for, however it was cut, and knows where it is. What it
 *  gives may be part of the source's chunks, which must stay as they are. */
export class ByteReader implements AsyncDisposable {
  readonly #chunks: AsyncIterator<Uint8Array>
  readonly #onInput: (bytes: number) => void
  /** Taken from the source and not yet given. */
  #rest: Uint8Array = EMPTY
  #position: number

  /** `position`: what the first byte of the source is called. `onInput` hears the length of every chunk. */
  constructor(source: AsyncIterable<Uint8Array>, position = 0, onInput: (bytes: number) => void = () => {}) {
    this.#chunks = source[Symbol.asyncIterator]()
    this.#position = position
    this.#onInput = onInput
  }

  /** Place of the next byte. */
  get position(): number {
    return this.#position
  }

  /** The next `length` bytes, which stay to be taken; fewer where the source ends before. */
  async peek(length: number): Promise<Uint8Array> {
    if (this.#rest.length < length) {
      const parts = this.#rest.length > 0 ? [this.#rest] : []
      let missing = length - this.#rest.length
      while (missing > 0) {
        const { done, value } = await this.#chunks.next()
        if (done) break
        this.#onInput(value.length)
        parts.push(value)
        missing -= value.length
      }
      this.#rest = parts.length === 1 ? parts[0]! : concatBytes(parts)
    }
    return this.#rest.subarray(0, length)
  }

  /** The next `length` bytes; fewer where the source ends before. */
  async take(length: number): Promise<Uint8Array> {
    const bytes = await this.peek(length)
    this.#rest = this.#rest.subarray(bytes.length)
    this.#position += bytes.length
    return bytes
  }

  /** What there is of the next `lengthMax` bytes, one at least, for what may be too long to hold; undefined at the end. */
  async next(lengthMax: number): Promise<Uint8Array | undefined> {
    const { length } = await this.peek(1)
    return length === 0 ? undefined : await this.take(Math.min(lengthMax, this.#rest.length))
  }

  async isAtEnd(): Promise<boolean> {
    return (await this.peek(1)).length === 0
  }

  /** Lets go of the source, before its end too. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#chunks.return?.()
  }
}
