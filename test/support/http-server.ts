// The HTTP interface over a real socket of this machine.
import type { HttpServer, Peer } from "../../src/runtime.ts"
import { ApiServer, type ApiServerOptions } from "./api-server.ts"
import { runtime } from "./runtime.ts"

export interface ServedApi extends AsyncDisposable {
  readonly api: ApiServer
  readonly http: HttpServer
  readonly url: string
  /** Each request that came, as a log would have it. */
  readonly requests: readonly string[]
}

export interface ServedApiOptions extends ApiServerOptions {
  /** Stands between the network and the interface. */
  readonly between?: (request: Request, answer: () => Promise<Response>, http: HttpServer) => Promise<Response>
}

export async function serveApi({ between, ...options }: ServedApiOptions): Promise<ServedApi> {
  const api = await ApiServer.open(options)
  const requests: string[] = []
  const http: HttpServer = await runtime.serve!(
    async (request: Request, peer: Peer) => {
      requests.push(`${request.method} ${request.url.slice(new URL(request.url).origin.length)}`)
      const answer = async () => await api.fetch(request, peer)
      return between ? await between(request, answer, http) : await answer()
    },
    { host: "127.0.0.1", port: 0, headerBytes: 16 * 1024, headerSecs: 60 },
  )
  const close = async () => {
    http.kill()
    await http.stop()
    await api.close()
  }
  return { api, http, url: http.url, requests, [Symbol.asyncDispose]: close }
}
