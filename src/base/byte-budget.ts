import { PrismError } from "./errors.ts"

/** The bytes that one answer may have, counted while it is collected: none is made that is larger. */
export class ByteBudget {
  readonly #bytesMax: number
  #bytes = 0

  constructor(bytesMax: number) {
    this.#bytesMax = bytesMax
  }

  /** Whether something did not fit. */
  get isExceeded(): boolean {
    return this.#bytes > this.#bytesMax
  }

  /** @throws PrismError LIMIT_EXCEEDED */
  take(bytes: number): void {
    this.#bytes += bytes
    if (!this.isExceeded) return
    throw new PrismError("LIMIT_EXCEEDED", `the answer is over ${this.#bytesMax} bytes`, {
      hint: "ask for less at once: a smaller limit, fewer ids, fewer searches",
    })
  }
}
