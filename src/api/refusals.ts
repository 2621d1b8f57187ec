import type { Audit, AuditEntry } from "./audit.ts"

/** Between two lines of one peer. */
const LINE_MS = 1000
/** Peers that are known at once. Who asks from ever new addresses makes it forget those whose line is the oldest, not grow. */
const PEERS_MAX = 10_000

/** Tells of requests that were refused for want of a permission, or with a key that is not known: a line a second for each
 *  peer, which counts those before it that have none. */
export class Refusals {
  readonly #audit: Audit
  readonly #monotonicMs: () => number
  /** When a peer had its last line, and how many refusals since have none; those whose line is the oldest first. */
  readonly #peers = new Map<string | null, { readonly atMs: number; untold: number }>()

  constructor(audit: Audit, monotonicMs: () => number) {
    this.#audit = audit
    this.#monotonicMs = monotonicMs
  }

  /** Rejects where the line could not be made durable. */
  async add(entry: AuditEntry): Promise<void> {
    const now = this.#monotonicMs()
    const known = this.#peers.get(entry.peer)
    if (known && now - known.atMs < LINE_MS) {
      known.untold++
      return
    }
    this.#peers.delete(entry.peer)
    this.#peers.set(entry.peer, { atMs: now, untold: 0 })
    for (const oldest of this.#peers.keys()) {
      if (this.#peers.size <= PEERS_MAX) break
      this.#peers.delete(oldest)
    }
    await this.#audit({ ...entry, count: 1 + (known?.untold ?? 0) })
  }
}
