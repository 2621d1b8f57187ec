import { PrismError } from "../base/errors.ts"
import type { Peer, Sha256 } from "../runtime.ts"
import { hashApiKey, holdsApiKey } from "./api-key.ts"
import { ANYBODY, type Caller, callerOf, LOCK_READER, NOBODY } from "./caller.ts"
import type { ApiKey } from "./config.ts"

/** Finds out whose key a request carries. */
export class Authenticator {
  readonly #createSha256: () => Sha256
  readonly #callers: readonly { readonly hash: string; readonly caller: Caller }[]
  readonly #localHash: string | undefined

  /** `localToken`: what a process shows that has read it in the lock of the data directory. */
  constructor(keys: readonly ApiKey[], localToken: string | undefined, createSha256: () => Sha256) {
    this.#createSha256 = createSha256
    this.#callers = keys.map((key) => ({ hash: key.hash, caller: callerOf(key) }))
    this.#localHash = localToken === undefined ? undefined : hashApiKey(localToken, createSha256)
  }

  /** Whether anybody may do anything. */
  get isOpen(): boolean {
    return this.#callers.length === 0
  }

  /** NOBODY where there is no key. @throws PrismError UNAUTHORIZED, INVALID_REQUEST */
  identify(request: Request, peer: Peer | undefined): Caller {
    if (this.isOpen) return ANYBODY
    const key = keyOf(request.headers)
    if (key === undefined) return NOBODY
    const hash = hashApiKey(key, this.#createSha256)
    let found: Caller | undefined
    // All are compared, each to its end: how long it takes tells nothing about any.
    for (const { hash: known, caller } of this.#callers) if (isSame(hash, known)) found = caller
    if (peer?.isLoopback && this.#isLocal(hash)) found = LOCK_READER
    if (found) return found
    throw new PrismError("UNAUTHORIZED", "this API key is not known here", {
      hint: "its hash must stand under api_keys in prism.toml",
    })
  }

  /** Where the local token is all that is taken. @throws PrismError UNAUTHORIZED, INVALID_REQUEST */
  identifyLocal(request: Request): Caller {
    const key = keyOf(request.headers)
    if (key !== undefined && this.#isLocal(hashApiKey(key, this.#createSha256))) return LOCK_READER
    throw new PrismError("UNAUTHORIZED", "this address is for commands beside the data directory alone", {
      hint: "ask where the server says that it listens",
    })
  }

  #isLocal(hash: string): boolean {
    return this.#localHash !== undefined && isSame(hash, this.#localHash)
  }
}

export function needsKey(): PrismError {
  return new PrismError("UNAUTHORIZED", "this needs an API key", {
    hint: "send it as Authorization: Bearer KEY; the command line takes it from --api-key-file or PRISM_API_KEY",
  })
}

/** Whether a request carries a key, whatever it is worth. */
export function showsKey({ headers }: Request): boolean {
  return headers.has("authorization") || headers.has("x-api-key")
}

function keyOf(headers: Headers): string | undefined {
  const authorization = headers.get("authorization")
  const bearer = authorization === null ? undefined : /^bearer +(\S+) *$/i.exec(authorization)?.[1]
  if (authorization !== null && bearer === undefined) {
    throw new PrismError("UNAUTHORIZED", "the Authorization header holds no bearer token", {
      hint: "send Authorization: Bearer KEY",
    })
  }
  const plain = headers.get("x-api-key") ?? undefined
  if (bearer !== undefined && plain !== undefined && bearer !== plain) {
    throw new PrismError("INVALID_REQUEST", "Authorization and X-API-Key hold two different keys", {
      hint: "send one of them",
    })
  }
  return bearer ?? plain
}

const KEY_PARAMETERS = /^(x-?)?(api-?_?key|key|token|access-?_?token|auth(orization)?)$/i

/** URLs stand in logs, histories and the Referer of pages. @throws PrismError INVALID_REQUEST, which does not hold the key */
export function assertNoKeyInUrl(url: URL): void {
  const isSuspect = [...url.searchParams].some(([name]) => KEY_PARAMETERS.test(name))
  if (!isSuspect && !holdsApiKey(url.href)) return
  throw new PrismError(
    "INVALID_REQUEST",
    "the URL holds a key: it may have been logged on its way, so change that key",
    {
      hint: "an API key goes into the header Authorization: Bearer KEY, the key of an archive into the body",
    },
  )
}

/** Of two hashes; takes as long whichever character differs. */
function isSame(a: string, b: string): boolean {
  let difference = a.length ^ b.length
  for (let i = 0; i < a.length; i++) difference |= a.charCodeAt(i) ^ b.charCodeAt(i)
  return difference === 0
}
