// Progress on stderr: amount, rate and time left. What it looks like is a pure function; when it is drawn needs a clock,
// which is passed in.
import { RateMeter } from "../base/rate-meter.ts"
import { formatBytes, formatCount, formatDuration, truncate } from "./format.ts"

export interface Progress {
  readonly stage: string
  readonly done: number
  /** Undefined where the end cannot be known, as for a pipe. */
  readonly total: number | undefined
  readonly unit: "documents" | "lines" | "bytes" | "searches"
}

/** One line of progress. `rate` is in units a second, undefined while too little is known.
 *  "Exporting  38%  24,105 of 63,436 documents  12,050/s  3 s left" */
export function renderProgress(progress: Progress, rate: number | undefined): string {
  const { stage, done, total, unit } = progress
  const bytes = unit === "bytes"
  const amount = (value: number) => (bytes ? formatBytes(value) : formatCount(value))
  const known = total !== undefined && total > 0
  const parts = [stage === "" ? "Working" : stage[0]!.toUpperCase() + stage.slice(1)]
  // Never 100% before the end, and never more than that when a file grew meanwhile.
  if (known) parts.push(`${String(done >= total ? 100 : Math.min(99, Math.floor((done / total) * 100))).padStart(3)}%`)
  parts.push(
    known
      ? `${amount(done)} of ${amount(total)}${bytes ? "" : ` ${unit}`}`
      : `${amount(done)}${bytes ? "" : ` ${unit}`}`,
  )
  if (rate !== undefined) parts.push(`${amount(rate)}/s`)
  if (known && rate !== undefined && rate > 0 && done < total) {
    parts.push(`${formatDuration(((total - done) / rate) * 1000)} left`)
  }
  return parts.join("  ")
}

const REDRAW_MS = 100
const LOG_LINE_MS = 2000

/** Draws progress: on a terminal one line over and over, else (with `--progress`) a line now and then. */
export class ProgressDisplay {
  readonly #write: (text: string) => void
  readonly #columns: number | undefined
  readonly #now: () => number
  #meter = new RateMeter()
  #latest: Progress | undefined
  #drawn: Progress | undefined
  #drawnAt = Number.NEGATIVE_INFINITY
  #onScreen = false

  /** `columns`: width of the terminal; undefined where stderr is none. `now`: milliseconds, never going back. */
  constructor(write: (text: string) => void, columns: number | undefined, now: () => number) {
    this.#write = write
    this.#columns = columns
    this.#now = now
  }

  update(progress: Progress): void {
    if (this.#latest !== undefined && this.#latest.stage !== progress.stage) this.#endStage()
    this.#latest = progress
    const now = this.#now()
    if (now - this.#drawnAt < (this.#columns === undefined ? LOG_LINE_MS : REDRAW_MS)) return
    this.#drawnAt = now
    this.#meter.add(now, progress.done)
    this.#draw()
  }

  /** Takes the line away, so that a message can stand in its place; the next update draws it again. */
  clear(): void {
    if (!this.#onScreen) return
    this.#write("\r\u001b[K")
    this.#onScreen = false
    this.#drawnAt = Number.NEGATIVE_INFINITY
  }

  /** The end, good or bad. */
  finish(): void {
    this.#endStage()
    this.clear()
    this.#latest = undefined
  }

  /** A log ends with the last amount of each stage; on a terminal the result speaks for itself. */
  #endStage(): void {
    if (this.#columns === undefined && this.#latest !== undefined && this.#latest !== this.#drawn) this.#draw()
    this.#meter = new RateMeter()
    this.#drawnAt = Number.NEGATIVE_INFINITY
  }

  #draw(): void {
    this.#drawn = this.#latest
    const text = renderProgress(this.#latest!, this.#meter.rate)
    if (this.#columns === undefined) {
      this.#write(`${text}\n`)
    } else {
      this.#write(`\r${truncate(text, this.#columns - 1)}\u001b[K`)
      this.#onScreen = true
    }
  }
}
