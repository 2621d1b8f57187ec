import { assert, type PrismError } from "../base/errors.ts"

/** Lets the writes of one collection through until it is shut. */
export class WriteGate {
  #refuse: (() => PrismError) | undefined
  #inside = 0
  #emptied: (() => void) | undefined

  /** Runs a write. Throws what `shut` was given, at once, while the gate is shut. */
  async pass<T>(write: () => Promise<T>): Promise<T> {
    if (this.#refuse) throw this.#refuse()
    this.#inside++
    try {
      return await write()
    } finally {
      this.#inside--
      if (this.#inside === 0) this.#emptied?.()
    }
  }

  /** Refuses every later write; resolves when those that were let through have ended, whatever their end. `open` lets
   *  writes through again. */
  async shut(refuse: () => PrismError): Promise<void> {
    assert(!this.#refuse, "a gate is shut once")
    this.#refuse = refuse
    if (this.#inside === 0) return
    await new Promise<void>((resolve) => {
      this.#emptied = resolve
    })
    this.#emptied = undefined
  }

  open(): void {
    this.#refuse = undefined
  }
}
