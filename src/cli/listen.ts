import { createApp } from "../api/app.ts"
import { isLoopback } from "../api/loopback.ts"
import type { Service } from "../api/service.ts"
import { PrismError } from "../base/errors.ts"
import type { HttpServer, Runtime, ServeOptions } from "../runtime.ts"

export interface Listening extends HttpServer {
  /** Where commands of this machine reach it with the local token, by plain HTTP. */
  readonly localUrl: string
}

/** Answers where `options` say. Commands of this machine neither trust any certificate nor come to an address of the network
 *  as somebody of this machine: where it is one of those they have a port of their own, on 127.0.0.1, which takes the local
 *  token alone. @throws PrismError LISTEN_FAILED, NOT_SUPPORTED, USAGE */
export async function listen(
  { name, serve }: Pick<Runtime, "name" | "serve">,
  options: ServeOptions,
  service: Service,
): Promise<Listening> {
  if (serve === undefined) throw new PrismError("NOT_SUPPORTED", `${name} cannot listen`)
  const app = createApp(service)
  const main = await serve((request, peer) => app.fetch(request, peer), options)
  if (options.tls === undefined && isLoopback(options.host)) return { ...main, localUrl: main.url }
  let local: HttpServer
  try {
    const here = { ...options, host: "127.0.0.1", port: 0, tls: undefined }
    local = await serve((request, peer) => app.fetchLocal(request, peer), here)
  } catch (error) {
    main.kill()
    throw error
  }
  return {
    port: main.port,
    url: main.url,
    localUrl: local.url,
    stop: async () => {
      await Promise.all([main.stop(), local.stop()])
    },
    kill: () => {
      main.kill()
      local.kill()
    },
  }
}
