// The body of a request within the server's limits: its type, its length, and how long the client takes for it.
import { PrismError } from "../base/errors.ts"
import { streamOf } from "../base/streams.ts"
import type { ApiClock } from "./clock.ts"
import type { Limits } from "./config.ts"
import type { Operation, RawBody } from "./contract.ts"

const JSON_TYPES = ["application/json"]
const JSON_LINES_TYPES = ["application/x-ndjson", "application/jsonl", "application/x-jsonlines"]

/** Media types of bodies that are no plain JSON, the usual one first. None of them can a page of another site send without
 *  asking first (CORS), as it could with a form's. */
export const RAW_BODY_TYPES: Readonly<Record<RawBody, readonly string[]>> = {
  documents: [...JSON_TYPES, ...JSON_LINES_TYPES],
  schema: [...JSON_TYPES, "application/yaml", "application/x-yaml", "text/yaml"],
  archive: ["application/octet-stream", "application/zstd", ...JSON_LINES_TYPES],
}

/** Whether a body is JSON lines. */
export function isJsonLines(request: Request): boolean {
  return JSON_LINES_TYPES.includes(mediaTypeOf(request) ?? "")
}

/** The body as it comes: reading it rejects with LIMIT_EXCEEDED, REQUEST_TIMEOUT, UNSUPPORTED_MEDIA_TYPE (where it was not
 *  declared at all), or INTERRUPTED where the client goes.
 *  @throws PrismError UNSUPPORTED_MEDIA_TYPE, LIMIT_EXCEEDED for what the headers say already */
export function limitBody(
  operation: Operation,
  request: Request,
  limits: Limits,
  clock: ApiClock,
): AsyncIterable<Uint8Array> | undefined {
  if (request.method === "GET" || request.method === "HEAD") return undefined
  const allowed = typeof operation.body === "string" ? RAW_BODY_TYPES[operation.body] : JSON_TYPES
  const mediaType = mediaTypeOf(request)
  if (mediaType !== undefined && !allowed.includes(mediaType)) throw unsupported(allowed)
  const declaredBytes = Number(request.headers.get("content-length") ?? 0)
  const isStreamed = operation.body === "archive" || isJsonLines(request)
  if (!isStreamed && declaredBytes > limits.bodyBytes) throw tooLarge(limits)
  if (request.body === null) return undefined
  return limited(request.body as ReadableStream<Uint8Array>, {
    // A body without a type is none, as curl sends with -X POST.
    bytesMax: mediaType === undefined ? 0 : isStreamed ? Number.POSITIVE_INFINITY : limits.bodyBytes,
    tooMany: () => (mediaType === undefined ? unsupported(allowed) : tooLarge(limits)),
    idleMs: limits.idleBodySecs * 1000,
    totalMs: isStreamed ? undefined : limits.requestSecs * 1000,
    clock,
  })
}

/** The same request with this body, for a handler that reads it itself. */
export function withBody(request: Request, body: AsyncIterable<Uint8Array>): Request {
  const { url, method, headers, signal } = request
  return new Request(url, { method, headers, body: streamOf(body), signal, duplex: "half" } as RequestInit)
}

function mediaTypeOf(request: Request): string | undefined {
  const header = request.headers.get("content-type")
  return header === null ? undefined : (header.split(";")[0] as string).trim().toLowerCase()
}

async function* limited(
  source: ReadableStream<Uint8Array>,
  options: {
    readonly bytesMax: number
    readonly tooMany: () => PrismError
    readonly idleMs: number
    /** All the time that reads may wait for the client, undefined: any. */
    readonly totalMs: number | undefined
    readonly clock: ApiClock
  },
): AsyncGenerator<Uint8Array> {
  const { bytesMax, tooMany, idleMs, clock } = options
  const reader = source.getReader()
  let bytes = 0
  let leftMs = options.totalMs ?? Number.POSITIVE_INFINITY

  /** The clock runs while a read waits for the client, not while the server is at work. */
  const read = () =>
    new Promise<ReadableStreamReadResult<Uint8Array>>((resolve, reject) => {
      const startedMs = clock.monotonicMs()
      const stopClock = clock.after(Math.min(idleMs, leftMs), () => reject(tooSlow()))
      const stop = () => {
        stopClock()
        leftMs -= clock.monotonicMs() - startedMs
      }
      reader.read().then(
        (result) => {
          stop()
          resolve(result)
        },
        (cause: unknown) => {
          stop()
          reject(new PrismError("INTERRUPTED", "the client went away before the end of its body", { cause }))
        },
      )
    })
  try {
    for (;;) {
      const { done, value } = await read()
      if (done) return
      bytes += value.length
      if (bytes > bytesMax) throw tooMany()
      yield value
    }
  } finally {
    // Not awaited: a client that sends nothing need not let go either.
    void reader.cancel().catch(() => {})
  }
}

function tooSlow(): PrismError {
  return new PrismError("REQUEST_TIMEOUT", "the body did not come in time", {
    hint: "limits.idle_body_secs and limits.request_secs of prism.toml say how long a server waits",
  })
}

function tooLarge({ bodyBytes }: Limits): PrismError {
  return new PrismError("LIMIT_EXCEEDED", `the body is over ${bodyBytes} bytes`, {
    hint: "send documents as application/x-ndjson: that streams",
  })
}

function unsupported(allowed: readonly string[]): PrismError {
  const [usual] = allowed as [string]
  return new PrismError("UNSUPPORTED_MEDIA_TYPE", `the body is not declared as ${allowed.join(", ")}`, {
    hint: `send the header Content-Type: ${usual}`,
  })
}
