import { PrismError } from "../base/errors.ts"

/** Whom it knows at once. Who asks from ever new addresses makes it forget those that asked longest ago, not grow. */
const ASKERS_MAX = 10_000

/** A bucket of tokens for each who asks: a second's worth at the most, filled evenly, each request takes one. */
export class RateLimit {
  readonly #perSecond: number
  readonly #monotonicMs: () => number
  /** Those that asked longest ago first. */
  readonly #buckets = new Map<string, { readonly tokens: number; readonly atMs: number }>()

  /** `perSecond` 0: no limit. */
  constructor(perSecond: number, monotonicMs: () => number) {
    this.#perSecond = perSecond
    this.#monotonicMs = monotonicMs
  }

  /** @throws PrismError TOO_MANY_REQUESTS */
  take(asker: string): void {
    if (this.#perSecond === 0) return
    const now = this.#monotonicMs()
    const bucket = this.#buckets.get(asker) ?? { tokens: this.#perSecond, atMs: now }
    const tokens = Math.min(this.#perSecond, bucket.tokens + ((now - bucket.atMs) / 1000) * this.#perSecond)
    this.#buckets.delete(asker)
    this.#buckets.set(asker, { tokens: tokens >= 1 ? tokens - 1 : tokens, atMs: now })
    for (const oldest of this.#buckets.keys()) {
      if (this.#buckets.size <= ASKERS_MAX) break
      this.#buckets.delete(oldest)
    }
    if (tokens >= 1) return
    throw new PrismError("TOO_MANY_REQUESTS", `more than ${this.#perSecond} requests a second`, {
      hint: "wait a second, and send several searches as one to /_msearch, several documents as one list",
    })
  }
}
