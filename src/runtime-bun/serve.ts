import { tapped } from "../base/streams.ts"
import type { HttpHandler, HttpServer, ServeOptions } from "../runtime.ts"
import { checkCertificate, listenError, peerAt, urlOf } from "../runtime-node/listening.ts"

/** Seconds that Bun's idle timeout can be set to. */
const IDLE_SECS_MAX = 255

/** The part of Bun that is used here, typed: the compiler that builds this package knows Node only. */
interface BunServer {
  readonly port: number
  stop(closeActiveConnections: boolean): Promise<void>
  requestIP(request: Request): { readonly address: string } | null
  timeout(request: Request, seconds: number): void
}

interface BunApi {
  serve(options: {
    hostname: string
    port: number
    tls?: { cert: string; key: string } | undefined
    idleTimeout: number
    maxRequestBodySize: number
    development: boolean
    reusePort: boolean
    fetch(request: Request, server: BunServer): Promise<Response>
  }): BunServer
}

const { Bun: bun } = globalThis as unknown as { Bun: BunApi }

/** HTTP by Bun.serve. It cannot be told how large headers may be, nor how long they may take: that is 10 seconds. */
export async function serve(handler: HttpHandler, options: ServeOptions): Promise<HttpServer> {
  const { host, port, tls, headerSecs } = options
  const idleTimeout = Math.min(headerSecs, IDLE_SECS_MAX)
  checkCertificate(options)
  let server: BunServer
  try {
    server = bun.serve({
      hostname: host,
      port,
      tls,
      idleTimeout,
      // Archives are larger than its default of 128 MB.
      maxRequestBodySize: Number.MAX_SAFE_INTEGER,
      development: false,
      // Said, because outside of development several processes would get the same port.
      reusePort: false,
      async fetch(request, server) {
        // From here on nothing is idle: an export may take minutes to say its first byte.
        server.timeout(request, 0)
        const response = await handler(request, peerAt(server.requestIP(request)?.address))
        return atItsEnd(response, () => server.timeout(request, idleTimeout))
      },
    })
  } catch (error) {
    throw listenError(error, options)
  }
  return {
    port: server.port,
    url: urlOf(options, server.port),
    stop: () => server.stop(false),
    kill: () => void server.stop(true),
  }
}

/** The answer, which calls back when its last byte is made, or it broke off: what is set for a request stays with its connection. */
function atItsEnd(response: Response, onEnd: () => void): Response {
  if (response.body === null || response.headers.has("content-length")) {
    onEnd()
    return response
  }
  return new Response(tapped(response.body as ReadableStream<Uint8Array>, { onEnd }), response)
}
