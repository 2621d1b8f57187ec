/** Milliseconds that a rate is taken over. */
const WINDOW_MS = 5000
/** Before that it would only be noise. */
const SETTLE_MS = 250

/** Units a second over the last five seconds: old enough to be steady, young enough to follow a change. */
export class RateMeter {
  #samples: { at: number; done: number }[] = []

  add(at: number, done: number): void {
    this.#samples.push({ at, done })
    // One sample older than the window stays, as its left edge.
    while (this.#samples.length > 2 && this.#samples[1]!.at <= at - WINDOW_MS) this.#samples.shift()
  }

  get rate(): number | undefined {
    const first = this.#samples[0]
    const last = this.#samples.at(-1)
    if (first === undefined || last === undefined || last.at - first.at < SETTLE_MS) return undefined
    return ((last.done - first.done) / (last.at - first.at)) * 1000
  }
}
