// What the runtimes' servers say alike: addresses, and why they cannot listen.
import { createPrivateKey, X509Certificate } from "node:crypto"
import { isLoopback } from "../api/loopback.ts"
import { PrismError } from "../base/errors.ts"
import type { Peer, ServeOptions } from "../runtime.ts"

export function peerAt(address: string | undefined): Peer {
  return { address: address ?? "", isLoopback: isLoopback(address ?? "") }
}

export function urlOf({ host, tls }: ServeOptions, port: number): string {
  return `${tls === undefined ? "http" : "https"}://${host.includes(":") ? `[${host}]` : host}:${port}`
}

/** Why a server cannot listen, by the system's code for it. */
export function listenError(error: unknown, { host, port }: ServeOptions): PrismError {
  const { code, message } = error as { code?: string; message?: string }
  const { says, hint } = REASONS[code ?? ""] ?? { says: message ?? String(error), hint: "try another address or port" }
  return new PrismError("LISTEN_FAILED", `cannot listen on ${host} port ${port}: ${says}`, { hint, cause: error })
}

const REASONS: Record<string, { says: string; hint: string }> = {
  EADDRINUSE: {
    says: "another program does already",
    hint: "choose another port with --port N, or stop the other program",
  },
  EADDRNOTAVAIL: { says: "this machine has no such address", hint: "name one that it has with --host, or 127.0.0.1" },
  EACCES: {
    says: "that is not allowed",
    hint: "ports below 1024 are the administrator's; choose another with --port N",
  },
  ENOTFOUND: { says: "there is no host of that name", hint: "name an address of this machine with --host" },
}

/** Whether a server could use them is told by some runtimes at the first connection alone. @throws PrismError USAGE */
export function checkCertificate({ tls }: ServeOptions): void {
  if (tls === undefined) return
  const fail = (message: string, cause?: unknown) => {
    throw new PrismError("USAGE", `the TLS certificate and its key cannot be used: ${message}`, {
      hint: "cert_file and key_file under [tls] in prism.toml are PEM files that belong together",
      cause,
    })
  }
  let belongTogether = false
  try {
    belongTogether = new X509Certificate(tls.cert).checkPrivateKey(createPrivateKey(tls.key))
  } catch (error) {
    fail((error as Error).message, error)
  }
  if (!belongTogether) fail("the key is not that of the certificate")
}
