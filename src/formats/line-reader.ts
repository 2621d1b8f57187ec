// Splits a stream of bytes into lines, in memory that is bounded by the longest line allowed.
import type { Sha256 } from "../runtime.ts"

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d
const EMPTY = new Uint8Array(0)

/** A line without its end (LF or CR LF). */
export interface RawLine {
  /** From 1. */
  readonly number: number
  /** undefined where the line is longer than allowed: its bytes were hashed and let go. Valid until the next call. */
  readonly bytes: Uint8Array | undefined
  /** False where the file ends without a line end. */
  readonly isEnded: boolean
}

/** Reads lines one after the other:
 *
 *      for (;;) {
 *        const line = reader.take()
 *        if (line !== undefined) …
 *        else if (!(await reader.fill())) break
 *      }
 *
 *  The last line needs no line end. Bytes that no line end follows yet are copied, so the source may reuse its chunks. */
export class LineReader {
  readonly #source: ReadableStreamDefaultReader<Uint8Array>
  readonly #lineBytesMax: number
  /** Hash of everything. */
  readonly #fileHash: Sha256
  #lineHash: LineHash | undefined
  #chunk: Uint8Array = EMPTY
  #offset = 0
  #lineNumber = 0
  /** Beginning of a line whose end is in a later chunk. */
  #held: Uint8Array = EMPTY
  #heldLength = 0
  #isTooLong = false
  #isEnded = false
  #bytesRead = 0

  constructor(stream: ReadableStream<Uint8Array>, lineBytesMax: number, createSha256: () => Sha256) {
    this.#source = stream.getReader()
    this.#lineBytesMax = lineBytesMax
    this.#fileHash = createSha256()
  }

  get bytesRead(): number {
    return this.#bytesRead
  }

  /** True once the line that is being read is known to be longer than allowed. */
  get isTooLong(): boolean {
    return this.#isTooLong
  }

  /** The first bytes of the line that is being read. */
  get held(): Uint8Array {
    return this.#held.subarray(0, this.#heldLength)
  }

  /** From the next line on, lines are hashed without their ends. */
  hashLines(hash: Sha256): void {
    this.#lineHash = new LineHash(hash)
  }

  /** The next line that is whole, or undefined where more must be read first. */
  take(): RawLine | undefined {
    const end = this.#chunk.indexOf(LINE_FEED, this.#offset)
    if (end >= 0) {
      const rest = this.#chunk.subarray(this.#offset, end)
      this.#offset = end + 1
      return this.#finish(rest, true)
    }
    this.#hold(this.#chunk.subarray(this.#offset))
    this.#chunk = EMPTY
    this.#offset = 0
    const isLineLeft = this.#isEnded && (this.#heldLength > 0 || this.#isTooLong)
    return isLineLeft ? this.#finish(EMPTY, false) : undefined
  }

  /** Reads on. False at the end of the stream, when `take` has nothing left either. */
  async fill(): Promise<boolean> {
    if (this.#isEnded) return false
    const { done, value } = await this.#source.read()
    if (done) {
      this.#isEnded = true
      return true
    }
    this.#chunk = value
    this.#offset = 0
    this.#bytesRead += value.length
    this.#fileHash.update(value)
    return true
  }

  /** SHA-256 of the lines since `hashLines` and of the whole file, at the end of the stream. */
  digests(): { lines: string; file: string } {
    return { lines: this.#lineHash!.digestHex(), file: this.#fileHash.digestHex() }
  }

  async cancel(): Promise<void> {
    await this.#source.cancel()
  }

  #finish(rest: Uint8Array, isEnded: boolean): RawLine {
    this.#lineHash?.add(rest, true)
    let line: Uint8Array | undefined
    if (this.#heldLength === 0 && !this.#isTooLong) line = rest
    else if (this.#append(rest)) line = this.#held.subarray(0, this.#heldLength)
    if (line?.at(-1) === CARRIAGE_RETURN) line = line.subarray(0, -1)
    if (line !== undefined && line.length > this.#lineBytesMax) line = undefined
    this.#heldLength = 0
    this.#isTooLong = false
    return { number: ++this.#lineNumber, bytes: line, isEnded }
  }

  #hold(part: Uint8Array): void {
    if (part.length === 0) return
    this.#lineHash?.add(part, false)
    this.#append(part)
  }

  /** False where the line is longer than allowed; then nothing of it is kept. */
  #append(part: Uint8Array): boolean {
    const length = this.#heldLength + part.length
    // One byte more may be the CR of the line end.
    if (this.#isTooLong || length > this.#lineBytesMax + 1) {
      this.#isTooLong = true
      return false
    }
    if (length > this.#held.length) {
      const grown = new Uint8Array(Math.min(Math.max(length, 2 * this.#held.length, 4096), this.#lineBytesMax + 1))
      grown.set(this.#held.subarray(0, this.#heldLength))
      this.#held = grown
    }
    this.#held.set(part, this.#heldLength)
    this.#heldLength = length
    return true
  }
}

/** Hashes lines without LF and without the CR before it. Short pieces are gathered: a call of the hash costs as much as
 *  hashing some hundred bytes. */
export class LineHash {
  readonly #hash: Sha256
  readonly #gathered = new Uint8Array(64 * 1024)
  #gatheredLength = 0
  /** A CR at the end of a piece: part of the line, unless its end follows. */
  #isCarriageReturnOpen = false

  constructor(hash: Sha256) {
    this.#hash = hash
  }

  add(piece: Uint8Array, isLineEnd: boolean): void {
    if (this.#isCarriageReturnOpen && (piece.length > 0 || !isLineEnd)) this.#update(Uint8Array.of(CARRIAGE_RETURN))
    this.#isCarriageReturnOpen = false
    if (piece.at(-1) === CARRIAGE_RETURN) {
      piece = piece.subarray(0, -1)
      this.#isCarriageReturnOpen = !isLineEnd
    }
    this.#update(piece)
  }

  digestHex(): string {
    this.#flush()
    return this.#hash.digestHex()
  }

  #update(piece: Uint8Array): void {
    if (this.#gatheredLength + piece.length > this.#gathered.length) this.#flush()
    if (piece.length > this.#gathered.length) {
      this.#hash.update(piece)
    } else {
      this.#gathered.set(piece, this.#gatheredLength)
      this.#gatheredLength += piece.length
    }
  }

  #flush(): void {
    if (this.#gatheredLength > 0) this.#hash.update(this.#gathered.subarray(0, this.#gatheredLength))
    this.#gatheredLength = 0
  }
}
