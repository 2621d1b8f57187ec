// What keeps pages of other sites away from a server that asks nobody for a key.
import { PrismError } from "../base/errors.ts"
import { isLoopback } from "./loopback.ts"

/** Where a server has no keys, whoever reaches it may do everything, and a browser reaches it for any page that it shows.
 *  So it answers only to its own names (else a page's host could be pointed at this machine: DNS rebinding), and to no
 *  page of another site. @throws PrismError FORBIDDEN */
export function assertFromHere(request: Request, allowedOrigins: readonly string[]): void {
  const url = new URL(request.url)
  const host = request.headers.get("host") ?? url.host
  if (!isLocalHost(host) || !isLocalHost(url.host)) {
    throw new PrismError("FORBIDDEN", "without API keys only requests to localhost are answered", {
      hint: "ask for localhost or 127.0.0.1, or give the server keys: prism api-key generate",
    })
  }
  const origin = request.headers.get("origin")
  if (origin !== null && allowedOrigins.includes(origin)) return
  // `none`: the user has typed the address. `same-site` is another port of this machine, say: somebody else's program.
  const isOwn = ["same-origin", "none"].includes(request.headers.get("sec-fetch-site") ?? "none")
  if ((origin !== null && origin !== url.origin) || !isOwn) {
    throw new PrismError("FORBIDDEN", "this comes from a page of another site", {
      hint: "name that site in allowed_origins of prism.toml, if it may do everything here",
    })
  }
}

/** `localhost:3080`, `127.0.0.1`, `[::1]:3080`. */
function isLocalHost(host: string): boolean {
  const name = /^(?:\[([\da-f:.]+)\]|([\w.-]+))(?::\d{1,5})?$/i.exec(host)
  return name !== null && isLoopback((name[1] ?? name[2]) as string)
}
