import { PrismError } from "../base/errors.ts"

/** Counts the requests that are being worked on, and lets them end: no new one begins once `begin` was called. */
export class Drain {
  #working = 0
  #isDraining = false
  #onIdle: () => void = () => {}

  get isDraining(): boolean {
    return this.#isDraining
  }

  /** Runs what makes one answer. @throws PrismError UNAVAILABLE */
  async run<T>(work: () => Promise<T>): Promise<T> {
    if (this.#isDraining) throw draining()
    this.#working++
    try {
      return await work()
    } finally {
      this.#working--
      if (this.#working === 0) this.#onIdle()
    }
  }

  /** From now on nothing begins. Resolves when nothing is being worked on. */
  async begin(): Promise<void> {
    this.#isDraining = true
    if (this.#working === 0) return
    await new Promise<void>((resolve) => {
      this.#onIdle = resolve
    })
  }
}

export function draining(): PrismError {
  return new PrismError("UNAVAILABLE", "the server is about to end and takes no new requests", {
    hint: "ask again when it is back",
  })
}
