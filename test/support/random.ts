/** Seeded pseudo-random numbers (splitmix32), so that a failing test fails again. */
export class Random {
  #state: number

  constructor(seed: number) {
    this.#state = seed >>> 0
  }

  /** u32 */
  bits(): number {
    this.#state = (this.#state + 0x9e3779b9) >>> 0
    let z = this.#state
    z = Math.imul(z ^ (z >>> 16), 0x21f0aaad)
    z = Math.imul(z ^ (z >>> 15), 0x735a2d97)
    return (z ^ (z >>> 15)) >>> 0
  }

  /** 0 ≤ x < 1 */
  unit(): number {
    return this.bits() / 2 ** 32
  }

  /** Integer, 0 ≤ x < end */
  below(end: number): number {
    return Math.floor(this.unit() * end)
  }

  /** Standard normal (Box & Muller). */
  normal(): number {
    return Math.sqrt(-2 * Math.log(1 - this.unit())) * Math.cos(2 * Math.PI * this.unit())
  }
}
