import { PrismError } from "../base/errors.ts"
import { parseJson, stringifyJson } from "../base/json.ts"
import { chunksOf, streamOf } from "../base/streams.ts"
import { answeredError, brokenOff, unreachable } from "./answered-errors.ts"

export interface ConnectionOptions {
  /** Of the server, with the path in front of its routes where it has one: `https://search.example.com/prism`. */
  readonly url: string | URL
  readonly apiKey?: string | undefined
  /** Default: the one of the platform. */
  readonly fetch?: ((url: string, init: RequestInit) => Promise<Response>) | undefined
  /** Sent with every request. */
  readonly headers?: Readonly<Record<string, string>> | undefined
}

/** A request in the parts that the contract knows. Members of another name are parameters of the path. */
export interface RequestParts {
  readonly query?: Readonly<Record<string, unknown>> | undefined
  readonly headers?: Readonly<Record<string, string | undefined>> | undefined
  readonly body?: unknown
  readonly signal?: AbortSignal | undefined
  readonly [parameter: string]: unknown
}

/** Where a server is, and how it is asked. */
export class Connection {
  readonly #base: string
  readonly #fetch: (url: string, init: RequestInit) => Promise<Response>
  readonly #headers: Readonly<Record<string, string>>

  constructor({ url, apiKey, fetch, headers }: ConnectionOptions) {
    this.#base = baseOf(url)
    // Browsers refuse a fetch that is called as a method of something else.
    this.#fetch = fetch ?? ((target, init) => globalThis.fetch(target, init))
    this.#headers = { ...headers, ...(apiKey !== undefined && { authorization: `Bearer ${checkKey(apiKey)}` }) }
  }

  /** The status and what was answered: JSON parsed exactly, anything else as a Response whose body is still to come.
   *  @throws PrismError what the server says; SERVER_UNREACHABLE, SERVER_ERROR; the signal's reason */
  async call(
    [method, path, mediaType]: readonly [method: string, path: string, mediaType?: string],
    parts: RequestParts,
  ): Promise<{ status: number; value: unknown }> {
    const { signal, headers } = parts
    const { body, type, failure } = encode(parts.body, mediaType)
    const init: RequestInit & { duplex?: "half" } = {
      method,
      headers: { ...this.#headers, ...(type !== undefined && { "content-type": type }), ...given(headers) },
      // Keys go to the server that was named, and to no other.
      redirect: "error",
      ...(body !== undefined && { body }),
      ...(body instanceof ReadableStream && { duplex: "half" }),
      ...(signal && { signal }),
    }
    const explain = (error: unknown, otherwise: (base: string, cause: unknown) => PrismError): unknown => {
      if (signal?.aborted) return signal.reason
      return failure() ?? (error instanceof PrismError ? error : otherwise(this.#base, error))
    }
    let response: Response
    try {
      response = await this.#fetch(this.#base + target(path, parts), init)
    } catch (error) {
      throw explain(error, unreachable)
    }
    const { status } = response
    const refusal = (answer: unknown): unknown => failure() ?? answeredError(this.#base, status, answer)
    if (!/^application\/json\b/.test(response.headers.get("content-type") ?? "")) {
      const stream = guarded(response, (error) => explain(error, brokenOff))
      if (response.ok) return { status, value: new Response(stream, response) }
      await stream?.cancel().catch(() => {})
      throw refusal(undefined)
    }
    let text: string
    try {
      text = await response.text()
    } catch (error) {
      throw explain(error, brokenOff)
    }
    const value = jsonOf(text)
    if (!response.ok || value === undefined) throw refusal(value)
    return { status, value }
  }
}

/** @throws PrismError INVALID_REQUEST; the URL is not told where it may hold a password */
function baseOf(url: string | URL): string {
  const hint = "it looks like http://localhost:3080"
  let parsed: URL
  try {
    parsed = new URL(url)
  } catch {
    throw new PrismError("INVALID_REQUEST", "the URL of the server is none", { hint })
  }
  if (parsed.username !== "" || parsed.password !== "") {
    throw new PrismError("INVALID_REQUEST", "the URL of the server holds a name or a password", {
      hint: "give an API key instead: it goes into a header",
    })
  }
  if (!/^https?:$/.test(parsed.protocol) || parsed.search !== "" || parsed.hash !== "") {
    throw new PrismError("INVALID_REQUEST", `${parsed} is no URL of a server`, { hint })
  }
  return parsed.href.replace(/\/+$/, "")
}

/** The message of a fetch that refuses a header may hold it. @throws PrismError INVALID_REQUEST */
function checkKey(apiKey: string): string {
  if (/^[\x21-\x7e]+$/.test(apiKey)) return apiKey
  throw new PrismError("INVALID_REQUEST", "the API key is none", {
    hint: "it is one word, as prism api-key generate prints it",
  })
}

function target(path: string, parts: RequestParts): string {
  const filled = path.replace(/\{(\w+)\}/g, (_, name: string) => {
    const value = String(parts[name])
    // These would be taken out of the URL, which is another one then.
    if (value !== "" && value !== "." && value !== "..") return encodeURIComponent(value)
    throw new PrismError("INVALID_REQUEST", `"${value}" cannot stand in a URL as ${name}`, {
      place: name,
      hint: "getDocuments and deleteDocuments take any id",
    })
  })
  const query = new URLSearchParams(given(parts.query))
  return query.size === 0 ? filled : `${filled}?${query}`
}

/** Members that are there, as text. */
function given(members: Readonly<Record<string, unknown>> | undefined): Record<string, string> {
  const there = Object.entries(members ?? {}).filter(([, value]) => value !== undefined)
  return Object.fromEntries(there.map(([name, value]) => [name, String(value)]))
}

interface Encoded {
  readonly body: BodyInit | undefined
  readonly type: string | undefined
  /** What reading the body failed of: what fetch makes of it differs from platform to platform. */
  readonly failure: () => unknown
}

/** Text and bytes are sent as they are where the operation takes them (it has a media type), everything else as JSON. */
function encode(value: unknown, mediaType: string | undefined): Encoded {
  const failure = () => undefined
  if (value === undefined) return { body: undefined, type: undefined, failure }
  if (mediaType === undefined || !isBytes(value)) {
    return { body: stringifyJson(value), type: "application/json", failure }
  }
  if (!(value instanceof ReadableStream)) return { body: value, type: mediaType, failure }
  let failed: unknown
  const chunks = async function* () {
    try {
      yield* chunksOf(value)
    } catch (error) {
      failed = error
      throw error
    }
  }
  return { body: streamOf(chunks()), type: mediaType, failure: () => failed }
}

function isBytes(value: unknown): value is string | Uint8Array<ArrayBuffer> | Blob | ReadableStream<Uint8Array> {
  return (
    typeof value === "string" || value instanceof Uint8Array || value instanceof Blob || value instanceof ReadableStream
  )
}

/** The body of an answer, which fails with what `explain` makes of a failure. */
function guarded(response: Response, explain: (error: unknown) => unknown): ReadableStream<Uint8Array> | null {
  const body = response.body as ReadableStream<Uint8Array> | null
  if (body === null) return null
  const chunks = async function* () {
    try {
      yield* chunksOf(body)
    } catch (error) {
      throw explain(error)
    }
  }
  return streamOf(chunks())
}

function jsonOf(text: string): unknown {
  try {
    return parseJson(text)
  } catch {
    return undefined
  }
}
