/** Work that goes on side by side, a bounded number of pieces at once, and is taken in the order in which it was given:
 *
 *      for (const item of items) {
 *        if (work.isFull) yield await work.take()
 *        work.give(start(item))
 *      }
 *      while (!work.isEmpty) yield await work.take()
 */
export class InOrder<T> {
  readonly #atOnce: number
  readonly #running: Promise<T>[] = []

  constructor(atOnce: number) {
    this.#atOnce = atOnce
  }

  get isFull(): boolean {
    return this.#running.length >= this.#atOnce
  }

  get isEmpty(): boolean {
    return this.#running.length === 0
  }

  give(piece: Promise<T>): void {
    piece.catch(() => {}) // heard of when it is taken
    this.#running.push(piece)
  }

  /** What became of the oldest piece. */
  take(): Promise<T> {
    return this.#running.shift()!
  }

  /** Waits for what still goes on, whatever becomes of it. */
  async settle(): Promise<void> {
    await Promise.allSettled(this.#running.splice(0))
  }
}

/** Runs `work` on several items at once, and gives the results in the order of the items. */
export async function* inOrder<T, R>(
  source: AsyncIterable<T>,
  atOnce: number,
  work: (item: T) => Promise<R>,
): AsyncGenerator<R> {
  const running = new InOrder<R>(atOnce)
  try {
    for await (const item of source) {
      if (running.isFull) yield await running.take()
      running.give(work(item))
    }
    while (!running.isEmpty) yield await running.take()
  } finally {
    // Whoever leaves early shall find nothing going on.
    await running.settle()
  }
}
