// The HTTP interface as one function from a request to an answer. It never listens: a runtime does that.
import { Hono } from "hono"
import { cors } from "hono/cors"
import { ERROR_CODES, PrismError } from "../base/errors.ts"
import { tapped } from "../base/streams.ts"
import type { Peer } from "../runtime.ts"
import { errorAnswer, jsonAnswer, PartlyDone } from "./answers.ts"
import { type AuditEntry, auditedMembers, needsAudit } from "./audit.ts"
import { Authenticator, assertNoKeyInUrl, needsKey, showsKey } from "./authenticator.ts"
import { begun } from "./begun.ts"
import { assertMay, assertMaySomewhere, type Caller, NOBODY } from "./caller.ts"
import { checkBody, checkParameters } from "./check-request.ts"
import { OPERATIONS, type Operation, type OperationId } from "./contract.ts"
import { assertFromHere } from "./guard.ts"
import { handlers } from "./handlers/handlers.ts"
import type { JobTools, Work } from "./job.ts"
import { RateLimit } from "./rate-limit.ts"
import { Refusals } from "./refusals.ts"
import { limitBody, withBody } from "./request-body.ts"
import { collectionIn, collectionsIn } from "./scope.ts"
import type { Call, Handler, Service } from "./service.ts"

export interface App {
  /** Every route that there is, for those who want to know that it is the contract's and no other. */
  readonly routes: readonly { readonly method: string; readonly path: string }[]
  /** Answers a request of the contract; rejects never. `peer` is missing where the runtime does not know it. */
  fetch(request: Request, peer?: Peer): Promise<Response>
  /** The same, but that only the local token lets anybody in. */
  fetchLocal(request: Request, peer?: Peer): Promise<Response>
}

/** A request on its way, and what is known of it so far. */
interface Exchange {
  readonly id: string
  readonly peer: Peer | undefined
  /** Whether it came where the local token alone is taken. */
  readonly isLocal: boolean
  readonly startedMs: number
  caller: Caller
  operation?: OperationId
  collection?: string | undefined
  /** What else the audit log says of it. */
  audited?: ReturnType<typeof auditedMembers>
  error?: unknown
  /** Whether its start is in the audit log, and its end shall be when it is answered. */
  isAudited?: boolean
  /** Whether it is one of those that may run at the same time. */
  isCounted?: true
}

/** What is answered also when the server is about to end. */
const WHILE_DRAINING: ReadonlySet<OperationId> = new Set([
  "health",
  "ready",
  "metrics",
  "listJobs",
  "getJob",
  "cancelJob",
])

/** What those who watch over a server ask, and what is answered however much else is: the rest counts. Of these, the ones
 *  with a key have the rate of that key. */
const UNLIMITED: ReadonlySet<OperationId> = new Set(["health", "ready", "metrics", "serverStats"])

const METHODS = ["GET", "POST", "PUT", "DELETE"] as const
const EXPOSED_HEADERS = ["X-Request-Id", "Retry-After", "Content-Disposition"]
const ALLOWED_HEADERS = ["Authorization", "X-API-Key", "Content-Type", "X-Request-Id", "Prism-Key", "Prism-Passphrase"]

/** Answers requests with what `service` has. */
export function createApp(service: Service): App {
  return new HttpApp(service)
}

class HttpApp implements App {
  readonly #service: Service
  readonly #router: Hono<{ Bindings: Exchange }>
  readonly #authenticator: Authenticator
  readonly #rateLimit: RateLimit
  readonly #refusals: Refusals
  /** Requests that work. */
  #running = 0

  constructor(service: Service) {
    const { config, clock, localToken, runtime } = service
    this.#service = service
    this.#authenticator = new Authenticator(config.apiKeys, localToken, runtime.createSha256)
    this.#rateLimit = new RateLimit(config.limits.requestsPerSecond, clock.monotonicMs)
    this.#refusals = new Refusals(service.audit, clock.monotonicMs)
    this.#router = this.#createRouter()
  }

  get routes(): App["routes"] {
    return this.#router.routes.map(({ method, path }) => ({ method, path }))
  }

  async fetch(request: Request, peer?: Peer): Promise<Response> {
    return await this.#exchange(request, peer, false)
  }

  async fetchLocal(request: Request, peer?: Peer): Promise<Response> {
    return await this.#exchange(request, peer, true)
  }

  async #exchange(request: Request, peer: Peer | undefined, isLocal: boolean): Promise<Response> {
    const { clock, metrics } = this.#service
    metrics.began()
    const startedMs = clock.monotonicMs()
    const exchange: Exchange = { id: requestIdOf(request), peer, isLocal, startedMs, caller: NOBODY }
    const response = await this.#audited(request, exchange, await this.#routed(request, exchange))
    return this.#sent(request, response, exchange)
  }

  /** The router hands on what is thrown and is no Error, as the reason of a signal may be. */
  async #routed(request: Request, exchange: Exchange): Promise<Response> {
    try {
      return await this.#router.fetch(request, exchange)
    } catch (error) {
      return this.#failed(request, exchange, error)
    }
  }

  #failed({ signal }: Request, exchange: Exchange, thrown: unknown): Response {
    const error = thrown instanceof PartlyDone ? thrown.cause : thrown
    const isGone = signal.aborted && !(error instanceof PrismError)
    exchange.error = isGone ? new PrismError("INTERRUPTED", "the client has gone", { cause: error }) : error
    return errorAnswer(exchange.error, {}, thrown instanceof PartlyDone ? thrown.done : {})
  }

  #createRouter(): Hono<{ Bindings: Exchange }> {
    const { allowedOrigins, limits } = this.#service.config
    const router = new Hono<{ Bindings: Exchange }>()
    router.use(async ({ req, env }, next) => {
      assertHeadersFit(req.raw, limits.headerBytes)
      assertNoKeyInUrl(new URL(req.url))
      if (env.isLocal) env.caller = this.#authenticator.identifyLocal(req.raw)
      else if (this.#authenticator.isOpen) assertFromHere(req.raw, allowedOrigins)
      await next()
    })
    const answerOrigin = cors({
      origin: [...allowedOrigins],
      allowMethods: [...METHODS],
      allowHeaders: ALLOWED_HEADERS,
      exposeHeaders: EXPOSED_HEADERS,
      maxAge: 600,
    })
    router.use(async (context, next) => {
      const isAllowed = allowedOrigins.includes(context.req.header("origin") ?? "")
      return await (isAllowed ? answerOrigin(context, next) : next())
    })
    const methodsOf = new Map<string, string[]>()
    for (const [id, operation] of Object.entries(OPERATIONS) as [OperationId, Operation][]) {
      const handler = handlers[id] as Handler<OperationId>
      const path = operation.path.replace(/\{(\w+)\}/g, ":$1")
      methodsOf.set(path, [...(methodsOf.get(path) ?? []), operation.method])
      router.on(operation.method, path, async ({ req, env }) => {
        env.operation = id
        const path = req.param() as Record<string, string>
        const work = () => this.#answer(operation, handler, req.raw, path, env)
        return await (WHILE_DRAINING.has(id) ? work() : this.#service.drain.run(work))
      })
    }
    for (const [path, methods] of methodsOf) {
      const allow = [...methods, ...(methods.includes("GET") ? ["HEAD"] : [])].join(", ")
      router.all(path, ({ req, env }) => {
        env.error = new PrismError("METHOD_NOT_ALLOWED", `${req.path} takes no ${req.method}`, {
          hint: `it takes ${allow}`,
        })
        return errorAnswer(env.error, { allow })
      })
    }
    router.notFound(({ req, env }) => {
      env.error = new PrismError("ROUTE_NOT_FOUND", `there is no ${req.method} ${req.path}`, {
        hint: "see /docs for what there is",
      })
      return errorAnswer(env.error)
    })
    router.onError((error, { req, env }) => this.#failed(req.raw, env, error))
    return router
  }

  async #answer(
    operation: Operation,
    handler: Handler<OperationId>,
    request: Request,
    path: Record<string, string>,
    exchange: Exchange,
  ): Promise<Response> {
    const { config, clock } = this.#service
    const caller = this.#identify(operation, request, exchange)
    this.#begin(exchange)
    const { permission, scope } = operation
    if (scope === undefined || scope === "path") this.#authorize(exchange, operation, [collectionIn(path)])
    else if (scope !== "own") assertMaySomewhere(caller, permission)
    const { query } = checkParameters(operation, request, path)
    const limited = limitBody(operation, request, config.limits, clock)
    const isRaw = typeof operation.body === "string"
    const body = isRaw ? undefined : await checkBody(operation, limited)
    if (typeof scope === "object") this.#authorize(exchange, operation, collectionsIn(body, scope.body))
    exchange.audited = auditedMembers(query, body)
    if (needsAudit(operation)) await this.#auditStart(exchange)
    const given = isRaw && limited ? withBody(request, limited) : request
    const run = async (tools: JobTools) => {
      const call = { path, query, body, request: given, caller, ...tools } as unknown as Call<OperationId>
      const value = await handler(call, this.#service)
      // Which name an archive brings is known now.
      const { collection } = value as { readonly collection?: unknown }
      if (typeof collection === "string") exchange.collection ??= collection
      return value
    }
    if (operation.long) return await this.#answerByJob(operation, exchange, body as { wait: boolean }, run)
    const value = await run({ signal: request.signal, onProgress: () => {}, onTemporary: async () => {} })
    if (!(value instanceof Response)) return jsonAnswer(value, operation.status)
    if (request.method !== "HEAD") return await begun(value, request.signal)
    await value.body?.cancel()
    return new Response(null, value)
  }

  /** Long work goes on when the client goes. */
  async #answerByJob(
    { status }: Operation,
    exchange: Exchange,
    { wait }: { readonly wait: boolean },
    run: Work,
  ): Promise<Response> {
    const { jobs } = this.#service
    const { operation, collection = null, caller, isAudited = false } = exchange
    const about = { kind: operation as OperationId, collection, started_by: caller.name }
    if (wait) return jsonAnswer(await jobs.wait(jobs.start(about, run)), status)
    const job = jobs.start(about, (tools) => this.#runUnwatched(exchange, isAudited, run, tools))
    exchange.isAudited = false
    return jsonAnswer({ job: job.answer() }, 202)
  }

  /** What came of a job that nobody waits for is known when it ends, not when it is answered. */
  async #runUnwatched(exchange: Exchange, isAudited: boolean, run: Work, tools: JobTools): Promise<unknown> {
    const { log, clock } = this.#service
    try {
      const result = await run(tools)
      if (isAudited) await this.#auditEnd(exchange, { outcome: "done" })
      return result
    } catch (error) {
      if (isOurs(error)) log.failure(clock.now().toISOString(), exchange.id, error)
      if (isAudited) await this.#auditEnd(exchange, { outcome: "failed", ...codeOf(error) })
      throw error
    }
  }

  /** @throws PrismError UNAVAILABLE */
  #begin(exchange: Exchange): void {
    if (UNLIMITED.has(exchange.operation as OperationId)) return
    const { concurrentRequests } = this.#service.config.limits
    if (this.#running >= concurrentRequests) {
      throw new PrismError("UNAVAILABLE", `${concurrentRequests} requests are at work already`, {
        hint: "wait a second, then ask again",
      })
    }
    this.#running++
    exchange.isCounted = true
  }

  /** @throws PrismError UNAUTHORIZED, INVALID_REQUEST, TOO_MANY_REQUESTS */
  #identify({ permission }: Operation, request: Request, exchange: Exchange): Caller {
    const { peer } = exchange
    if (permission === "public") {
      if (!UNLIMITED.has(exchange.operation as OperationId)) this.#rateLimit.take(`peer ${peer?.address}`)
      return NOBODY
    }
    try {
      if (!exchange.isLocal) exchange.caller = this.#authenticator.identify(request, peer)
    } catch (error) {
      // Guesses at keys are counted too.
      this.#rateLimit.take(`peer ${peer?.address}`)
      throw error
    }
    const { name, hasKey } = exchange.caller
    this.#rateLimit.take(hasKey ? `key ${name}` : `peer ${peer?.address}`)
    if (exchange.caller === NOBODY) throw needsKey()
    return exchange.caller
  }

  /** `collections`: undefined stands for all. @throws PrismError FORBIDDEN */
  #authorize(
    exchange: Exchange,
    { permission, serverFile }: Operation,
    collections: readonly (string | undefined)[],
  ): void {
    exchange.collection = collections.length === 1 ? collections[0] : undefined
    for (const collection of collections) {
      assertMay(exchange.caller, permission, serverFile ? undefined : collection)
    }
  }

  /** Nothing is done whose start cannot be written down. @throws PrismError UNAVAILABLE */
  async #auditStart(exchange: Exchange): Promise<void> {
    const { audit } = this.#service
    try {
      await audit({ ...this.#auditMembers(exchange), outcome: "started" })
      exchange.isAudited = true
    } catch (cause) {
      throw new PrismError("UNAVAILABLE", "the audit log cannot be written, and what is not in it is not done", {
        hint: "the server's log says why",
        cause,
      })
    }
  }

  /** What came of what the audit log has the start of; and whose key was turned away. Who shows none could fill the log
   *  with nothing: the access log and the metrics have that. */
  async #audited(request: Request, exchange: Exchange, response: Response): Promise<Response> {
    const { status } = response
    const end = { status, ...codeOf(exchange.error) }
    if (exchange.isAudited) {
      await this.#auditEnd(exchange, { outcome: status < 400 ? "done" : "failed", ...end })
    } else if ((status === 401 || status === 403) && showsKey(request)) {
      await this.#auditEnd(exchange, { outcome: "refused", ...end })
    }
    return response
  }

  /** It is done, or refused, and stays so: a log that cannot be written is told of in the other one. */
  async #auditEnd(exchange: Exchange, end: Pick<AuditEntry, "outcome" | "status" | "code">): Promise<void> {
    const { audit, log, clock } = this.#service
    try {
      const entry = { ...this.#auditMembers(exchange), ...end }
      await (end.outcome === "refused" ? this.#refusals.add(entry) : audit(entry))
    } catch (error) {
      log.failure(clock.now().toISOString(), exchange.id, error)
    }
  }

  #auditMembers({ id, caller, peer, operation, collection, audited }: Exchange) {
    const time = this.#service.clock.now().toISOString()
    return {
      time,
      request_id: id,
      key: caller.name,
      peer: peer?.address ?? null,
      operation: operation ?? null,
      collection: collection ?? null,
      ...audited,
    }
  }

  /** The answer as it goes out; what is to be done when its last byte has gone is tied to it. */
  #sent(request: Request, response: Response, exchange: Exchange): Response {
    const { headers, status } = response
    headers.set("x-request-id", exchange.id)
    headers.set("x-content-type-options", "nosniff")
    if (!headers.has("cache-control")) headers.set("cache-control", "no-store")
    if (this.#service.drain.isDraining) headers.set("connection", "close")
    const declared = headers.get("content-length")
    if (request.method === "HEAD" || response.body === null || declared !== null) {
      this.#ended(request, status, request.method === "HEAD" ? 0 : Number(declared), exchange)
      return response
    }
    const { clock, config } = this.#service
    const late = new AbortController()
    const body = tapped(response.body as ReadableStream<Uint8Array>, {
      signal: late.signal,
      onWait: () => clock.after(config.limits.idleBodySecs * 1000, () => late.abort(notTaken())),
      onEnd: (end) => {
        if (end.outcome === "failed") exchange.error ??= end.error
        if (end.outcome === "cancelled") exchange.error ??= gone()
        this.#ended(request, status, end.bytes, exchange, end.outcome !== "whole")
      },
    })
    return new Response(body, { status, headers })
  }

  #ended({ method }: Request, status: number, bytes: number, exchange: Exchange, isCutOff = false): void {
    const { clock, log, metrics } = this.#service
    const { id, operation, caller, peer, startedMs, error } = exchange
    const time = clock.now().toISOString()
    const ms = clock.monotonicMs() - startedMs
    const route = operation === undefined ? undefined : OPERATIONS[operation].path
    const known = [...METHODS, "HEAD", "OPTIONS"].includes(method) ? method : "OTHER"
    metrics.ended(known, route ?? "none", status, ms / 1000)
    if (error !== undefined && isOurs(error)) log.failure(time, id, error)
    log.access({
      time,
      request_id: id,
      method: known,
      route: route ?? null,
      status,
      duration_ms: Math.round(ms * 100) / 100,
      bytes,
      key: caller.name,
      peer: peer?.address ?? null,
      ...codeOf(error),
      ...(isCutOff && { cut_off: true }),
    })
    if (exchange.isCounted) this.#running--
  }
}

function gone(): PrismError {
  return new PrismError("INTERRUPTED", "the client went away before the end of the answer")
}

function notTaken(): PrismError {
  return new PrismError("REQUEST_TIMEOUT", "the client did not go on to take the answer", {
    hint: "limits.idle_body_secs of prism.toml says how long a server waits",
  })
}

/** A client's own id, where it can stand in a log; else a new one. */
function requestIdOf(request: Request): string {
  const given = request.headers.get("x-request-id") ?? ""
  return /^[\w.:-]{1,128}$/.test(given) ? given : crypto.randomUUID()
}

/** @throws PrismError HEADERS_TOO_LARGE */
function assertHeadersFit(request: Request, bytesMax: number): void {
  let bytes = request.url.length
  for (const [name, value] of request.headers) bytes += name.length + value.length
  if (bytes <= bytesMax) return
  throw new PrismError("HEADERS_TOO_LARGE", `the URL and the headers are over ${bytesMax} bytes together`)
}

function codeOf(error: unknown): { code?: string } {
  if (error === undefined) return {}
  return { code: error instanceof PrismError ? error.code : "INTERNAL" }
}

/** Whether whoever runs the server should know of it: a bug, or a disk that fails. */
function isOurs(error: unknown): boolean {
  if (!(error instanceof PrismError)) return true
  return ERROR_CODES[error.code].status >= 500 && (error.code !== "UNAVAILABLE" || error.cause !== undefined)
}
