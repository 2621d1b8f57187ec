import { concatBytes } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"

const LINE_FEED = 0x0a
const CARRIAGE_RETURN = 0x0d

/** One line of a text file, without its end. `text` is undefined where `problem` says why. */
export interface Line {
  /** From 1. */
  readonly number: number
  readonly text: string
  readonly problem: PrismError | undefined
  /** False for a last line that no line feed ends. */
  readonly ended: boolean
}

/** Splits UTF-8 text into lines, a batch a chunk, holding at most `bytesMax` and one chunk. A byte order mark is taken
 *  away, and a carriage return before the line feed. A longer line is read past, never kept: it comes as a problem
 *  (LIMIT_EXCEEDED), as does one that is not UTF-8 (INVALID_FORMAT). `onBytes` hears how many bytes were read. */
export async function* readLines(
  source: AsyncIterable<Uint8Array>,
  options: { bytesMax: number; onBytes?: (bytes: number) => void },
): AsyncGenerator<Line[]> {
  const { bytesMax, onBytes } = options
  const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  let number = 1
  let bytes = 0
  /** What came of the line that is not complete yet, and its length, which goes on counting past the limit. */
  let held: Uint8Array[] = []
  let heldLength = 0

  const finish = (tail: Uint8Array, ended: boolean): Line => {
    const length = heldLength + tail.length
    let problem: PrismError | undefined
    let text = ""
    const last = tail.at(-1) ?? held.at(-1)?.at(-1)
    if (length > bytesMax + 1 || (length === bytesMax + 1 && last !== CARRIAGE_RETURN)) {
      problem = new PrismError("LIMIT_EXCEEDED", `line is ${length} bytes long, the limit is ${bytesMax}`)
    } else {
      const whole = held.length === 0 ? tail : concatBytes([...held, tail])
      const start = number === 1 && whole[0] === 0xef && whole[1] === 0xbb && whole[2] === 0xbf ? 3 : 0
      const end = whole.at(-1) === CARRIAGE_RETURN ? whole.length - 1 : whole.length
      try {
        text = decoder.decode(whole.subarray(start, end))
      } catch {
        problem = new PrismError("INVALID_FORMAT", "line is not valid UTF-8")
      }
    }
    held = []
    heldLength = 0
    return { number: number++, text, problem, ended }
  }

  for await (const chunk of source) {
    bytes += chunk.length
    const lines: Line[] = []
    let start = 0
    for (;;) {
      const end = chunk.indexOf(LINE_FEED, start)
      if (end === -1) break
      lines.push(finish(chunk.subarray(start, end), true))
      start = end + 1
    }
    if (start < chunk.length) {
      heldLength += chunk.length - start
      if (heldLength > bytesMax + 1) held = []
      else held.push(chunk.slice(start))
    }
    onBytes?.(bytes)
    if (lines.length > 0) yield lines
  }
  if (heldLength > 0) yield [finish(new Uint8Array(), false)]
}
