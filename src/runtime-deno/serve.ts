import { tapped } from "../base/streams.ts"
import type { HttpHandler, HttpServer, ServeOptions } from "../runtime.ts"
import { checkCertificate, listenError, peerAt, urlOf } from "../runtime-node/listening.ts"
import { type DenoHttpServer, deno } from "./deno.ts"

/** HTTP by Deno.serve. It cannot be told how large headers may be, nor how long they may take. */
export async function serve(handler: HttpHandler, options: ServeOptions): Promise<HttpServer> {
  const { host, port, tls } = options
  checkCertificate(options)
  const exchanges = new Set<Exchange>()
  const killer = new AbortController()
  let isStopping = false
  let server: DenoHttpServer
  try {
    server = deno.serve(
      { hostname: host, port, ...tls, signal: killer.signal, onListen: () => {} },
      async (request, { remoteAddr }) => {
        const exchange = new Exchange(request, () => exchanges.delete(exchange))
        exchanges.add(exchange)
        return await exchange.answer((own) => handler(own, peerAt(remoteAddr.hostname)))
      },
    )
  } catch (error) {
    throw listenError(error, options)
  }
  return {
    port: server.addr.port,
    url: urlOf(options, server.addr.port),
    stop: async () => {
      isStopping = true
      await server.shutdown()
    },
    kill: () => {
      // Once it stops, Deno has no way to break connections off: each is, by what is being said on it.
      if (!isStopping) killer.abort()
      for (const exchange of exchanges) exchange.breakOff()
    },
  }
}

/** A request with its answer. Deno aborts the signal of every request at its end: this one's aborts only if that came
 *  too early. */
class Exchange {
  readonly #theirs: Request
  readonly #gone = new AbortController()
  readonly #onEnd: () => void

  constructor(request: Request, onEnd: () => void) {
    this.#theirs = request
    this.#onEnd = onEnd
  }

  async answer(handler: (request: Request) => Promise<Response>): Promise<Response> {
    const { signal } = this.#theirs
    const breakOff = () => this.breakOff()
    signal.addEventListener("abort", breakOff)
    const response = await handler(new Request(this.#theirs, { signal: this.#gone.signal }))
    signal.removeEventListener("abort", breakOff)
    if (response.body === null || response.headers.has("content-length")) {
      this.#onEnd()
      return response
    }
    return new Response(
      tapped(response.body as ReadableStream<Uint8Array>, {
        signal: this.#gone.signal,
        onEnd: ({ outcome }) => (outcome === "cancelled" ? this.breakOff() : this.#onEnd()),
      }),
      response,
    )
  }

  breakOff(): void {
    this.#gone.abort(new Error("the connection was broken off"))
    this.#onEnd()
  }
}
