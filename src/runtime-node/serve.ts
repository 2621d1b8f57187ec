import { createServer as createPlainServer, type Server, type ServerResponse } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo, Socket } from "node:net"
import { getRequestListener, type HttpBindings } from "@hono/node-server"
import { tapped } from "../base/streams.ts"
import type { HttpHandler, HttpServer, ServeOptions } from "../runtime.ts"
import { checkCertificate, listenError, peerAt, urlOf } from "./listening.ts"

/** Node looks this often for connections that are too late with their headers. */
const LATE_CHECK_MS = 1000

/** HTTP by node:http and node:https, with requests and answers as Hono's adapter makes them. */
export async function serve(handler: HttpHandler, options: ServeOptions): Promise<HttpServer> {
  const { host, port, tls, headerBytes, headerSecs } = options
  checkCertificate(options)
  const settings = {
    maxHeaderSize: headerBytes,
    headersTimeout: headerSecs * 1000,
    keepAliveTimeout: headerSecs * 1000,
    connectionsCheckingInterval: LATE_CHECK_MS,
    // Its default would end an upload after five minutes.
    requestTimeout: 0,
  }
  const connections = new Connections()
  const answer = getRequestListener(
    async (request, bindings) => {
      const { incoming, outgoing } = bindings as HttpBindings
      const gone = new AbortController()
      outgoing.once("close", () => {
        if (!outgoing.writableFinished) gone.abort(new Error("the connection was broken off"))
      })
      // The adapter's own signal aborts with a text, which is no error to who catches it.
      Object.defineProperty(request, "signal", { value: gone.signal })
      const response = await handler(request, peerAt(incoming.socket.remoteAddress))
      return breakingOff(response, () => void outgoing.destroy())
    },
    { overrideGlobalObjects: false },
  )
  const server = tls === undefined ? createPlainServer(settings) : createTlsServer({ ...settings, ...tls })
  server.on("connection", (socket: Socket) => connections.add(socket))
  server.on("request", (incoming, outgoing) => {
    connections.use(incoming.socket, outgoing)
    void answer(incoming, outgoing)
  })
  const address = await listen(server, host, port, options)
  return {
    port: address.port,
    url: urlOf(options, address.port),
    stop: async () => {
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
      connections.closeUnused()
      await closed
    },
    kill: () => {
      server.close()
      server.closeAllConnections()
    },
  }
}

/** Those of a server, each with how many requests are under way on it. Node's own closeIdleConnections leaves those alone
 *  that never sent a request. */
class Connections {
  /** By the other end's address: a TLS socket is another object than the one that it came over. */
  readonly #all = new Map<string, { readonly socket: Socket; requests: number }>()
  #isClosing = false

  add(socket: Socket): void {
    const name = nameOf(socket)
    this.#all.set(name, { socket, requests: 0 })
    socket.once("close", () => this.#all.delete(name))
  }

  /** A request came, and is under way until its answer is closed. */
  use(socket: Socket, answer: ServerResponse): void {
    const connection = this.#all.get(nameOf(socket))
    if (connection === undefined) return
    connection.requests++
    answer.once("close", () => {
      connection.requests--
      if (this.#isClosing) this.closeUnused()
    })
  }

  /** Closes what is not in use, now and whenever that comes to be. */
  closeUnused(): void {
    this.#isClosing = true
    for (const { socket, requests } of this.#all.values()) if (requests === 0) socket.destroy()
  }
}

function nameOf({ remoteAddress, remotePort }: Socket): string {
  return `${remoteAddress} ${remotePort}`
}

async function listen(server: Server, host: string, port: number, options: ServeOptions): Promise<AddressInfo> {
  await new Promise<void>((resolve, reject) => {
    server.once("error", (error) => reject(listenError(error, options)))
    server.listen({ host, port }, resolve)
  })
  return server.address() as AddressInfo
}

/** The answer, with a body whose error breaks the connection off. The adapter would print it, and might send it. */
function breakingOff(response: Response, destroy: () => void): Response {
  if (response.body === null || response.headers.has("content-length")) return response
  const body = tapped(response.body as ReadableStream<Uint8Array>, {
    onEnd: ({ outcome }) => void (outcome === "failed" && destroy()),
    hidesFailure: true,
  })
  return new Response(body, response)
}
