// The HTTP interface over a storage in memory, without a server around it.
import { createApp } from "../../src/api/app.ts"
import type { AuditEntry } from "../../src/api/audit.ts"
import { type ApiClock, systemClock } from "../../src/api/clock.ts"
import { DEFAULT_CONFIG, type Limits, type ServerConfig } from "../../src/api/config.ts"
import { Drain } from "../../src/api/drain.ts"
import { Jobs } from "../../src/api/jobs.ts"
import type { AccessEntry } from "../../src/api/log.ts"
import { Metrics } from "../../src/api/metrics.ts"
import type { Service } from "../../src/api/service.ts"
import { Prism } from "../../src/collection/prism.ts"
import type { Peer } from "../../src/runtime.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { runtime } from "./runtime.ts"

export const BASE = "http://localhost:3080"
export const LOCAL_PEER: Peer = { address: "127.0.0.1", isLoopback: true }

export interface TestApi extends AsyncDisposable {
  readonly prism: Prism
  readonly clock: TestClock
  readonly metrics: Metrics
  readonly audited: AuditEntry[]
  readonly accesses: AccessEntry[]
  readonly failures: unknown[]
  fetch(path: string, init?: RequestInit, peer?: Peer): Promise<Response>
  /** Sends JSON, or nothing. */
  send(method: string, path: string, body?: unknown, headers?: Record<string, string>): Promise<Response>
  readonly drain: Drain
}

/** What a service has besides collections and jobs; its logs say nothing. */
export function quietService() {
  return {
    config: DEFAULT_CONFIG,
    clock: systemClock,
    drain: new Drain(),
    metrics: new Metrics(),
    log: { access: () => {}, failure: () => {} },
    audit: async () => {},
    uptime: () => 1,
  } satisfies Partial<Service>
}

export async function testApi(
  options: Partial<Omit<ServerConfig, "limits">> & {
    readonly limits?: Partial<Limits>
    readonly service?: Partial<Service>
  } = {},
): Promise<TestApi> {
  const { limits, service, ...config } = options
  const storage = new MemoryStorage()
  const prism = await Prism.openStorage(storage, runtime)
  const jobs = await Jobs.open({ storage, concurrent: 2 })
  const quiet = quietService()
  const { drain, metrics } = quiet
  const clock = new TestClock()
  const audited: AuditEntry[] = []
  const accesses: AccessEntry[] = []
  const failures: unknown[] = []
  const app = createApp({
    ...quiet,
    prism,
    runtime,
    jobs,
    backupRoots: undefined,
    config: { ...DEFAULT_CONFIG, ...config, limits: { ...DEFAULT_CONFIG.limits, ...limits } },
    clock,
    log: {
      access: (entry) => void accesses.push(entry),
      failure: (_time, _id, error) => void failures.push(error),
    },
    audit: async (entry) => void audited.push(entry),
    ...service,
  })
  const fetch: TestApi["fetch"] = async (path, init, peer = LOCAL_PEER) =>
    await app.fetch(new Request(path.startsWith("http") ? path : `${BASE}${path}`, init), peer)
  return {
    prism,
    clock,
    metrics,
    audited,
    accesses,
    failures,
    fetch,
    send: async (method, path, body, headers = {}) =>
      await fetch(path, {
        method,
        ...(body !== undefined && { body: JSON.stringify(body) }),
        headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
      }),
    drain,
    [Symbol.asyncDispose]: async () => {
      await jobs.close()
      await prism.close()
    },
  }
}

/** A clock that stands until a test moves it. */
export class TestClock implements ApiClock {
  #ms = 0
  readonly #timers = new Map<number, { readonly atMs: number; readonly callback: () => void }>()
  #nextTimer = 0

  readonly now = () => new Date(Date.UTC(2026, 0, 1) + this.#ms)
  readonly monotonicMs = () => this.#ms
  readonly after = (ms: number, callback: () => void) => {
    if (ms === 0) {
      queueMicrotask(callback)
      return () => {}
    }
    const id = this.#nextTimer++
    this.#timers.set(id, { atMs: this.#ms + ms, callback })
    return () => void this.#timers.delete(id)
  }

  get timers(): number {
    return this.#timers.size
  }

  pass(ms: number): void {
    this.#ms += ms
    for (const [id, { atMs, callback }] of this.#timers) {
      if (atMs > this.#ms) continue
      this.#timers.delete(id)
      callback()
    }
  }
}

export interface ErrorBody {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string }
}

/** Status and code of an error. */
export async function refusedWith(response: Response): Promise<string> {
  const body = (await response.json()) as ErrorBody
  return `${response.status} ${body.error.code}`
}
