import { createServer as createPlainServer, type Server } from "node:http"
import { createServer as createTlsServer } from "node:https"
import type { AddressInfo } from "node:net"
import { getRequestListener, type HttpBindings } from "@hono/node-server"
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
  let isStopping = false
  const answer = getRequestListener(
    async (request, bindings) => {
      const { incoming, outgoing } = bindings as HttpBindings
      // A connection that was in use when the server stopped has its answer, and goes.
      outgoing.once("close", () => {
        if (isStopping) server.closeIdleConnections()
      })
      const response = await handler(request, peerAt(incoming.socket.remoteAddress))
      return breakingOff(response, () => void outgoing.destroy())
    },
    { overrideGlobalObjects: false },
  )
  const server = tls === undefined ? createPlainServer(settings) : createTlsServer({ ...settings, ...tls })
  server.on("request", (incoming, outgoing) => void answer(incoming, outgoing))
  const address = await listen(server, host, port, options)
  return {
    port: address.port,
    url: urlOf(options, address.port),
    stop: async () => {
      isStopping = true
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()))
      server.closeIdleConnections()
      await closed
    },
    kill: () => {
      server.close()
      server.closeAllConnections()
    },
  }
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
  const reader = (response.body as ReadableStream<Uint8Array>).getReader()
  const body = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) controller.close()
          else controller.enqueue(value)
        } catch {
          destroy()
        }
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
  return new Response(body, response)
}
