/** The time as the HTTP interface needs it, so that tests can make it pass. */
export interface ApiClock {
  /** For what is written down. */
  readonly now: () => Date
  /** Milliseconds; only differences mean something. */
  readonly monotonicMs: () => number
  /** Calls back once, unless the returned function was called before. */
  readonly after: (ms: number, callback: () => void) => () => void
}

export const systemClock: ApiClock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, ms)
    return () => clearTimeout(timer)
  },
}
