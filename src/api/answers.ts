import { encodeUtf8 } from "../base/bytes.ts"
import { ERROR_CODES, type ErrorCode, PrismError } from "../base/errors.ts"
import { stringifyJson } from "../base/json.ts"
import { streamOf } from "../base/streams.ts"

export const JSON_TYPE = "application/json; charset=utf-8"

/** A JSON answer; long integers are exact. */
export function jsonAnswer(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return textAnswer(stringifyJson(value), JSON_TYPE, status, headers)
}

/** Answers of up to this size leave at once: a connection's buffers take them whole. */
const PIECE_BYTES = 64 * 1024

/** An answer that is known whole. Where it is small its length is said; a larger one is a stream, so that it counts until
 *  the client has taken it, and may break off. */
export function textAnswer(
  text: string,
  mediaType: string,
  status = 200,
  headers: Record<string, string> = {},
): Response {
  const bytes = encodeUtf8(text)
  if (bytes.length > PIECE_BYTES) {
    return new Response(streamOf(piecesOf(bytes)), { status, headers: { "content-type": mediaType, ...headers } })
  }
  return new Response(bytes as Uint8Array<ArrayBuffer>, {
    status,
    headers: { "content-type": mediaType, "content-length": String(bytes.length), ...headers },
  })
}

async function* piecesOf(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < bytes.length; at += PIECE_BYTES) yield bytes.slice(at, at + PIECE_BYTES)
}

/** What an error says to a client. Of a bug it says nothing that may be secret: the log has it. */
export function errorMembers(error: unknown): { status: number; error: Record<string, unknown> } {
  if (!(error instanceof PrismError)) {
    const message = "an error that Prism did not expect; the server's log has it under this request's id"
    return { status: 500, error: { code: "INTERNAL", message } }
  }
  const { code, message, hint, place, problems } = error
  return {
    status: ERROR_CODES[code].status,
    error: {
      code,
      message,
      ...(hint !== undefined && { hint }),
      ...(place !== undefined && { place }),
      ...(problems.length > 0 && { problems }),
    },
  }
}

/** What HTTP wants to hear besides the status (RFC 9110 §10.2.3, §11.6.1, §15.5.9). */
const ERROR_HEADERS: Partial<Record<ErrorCode, Record<string, string>>> = {
  UNAUTHORIZED: { "www-authenticate": 'Bearer realm="prism"' },
  TOO_MANY_REQUESTS: { "retry-after": "1" },
  UNAVAILABLE: { "retry-after": "1" },
  REQUEST_TIMEOUT: { connection: "close" },
}

/** What ended work of which some is done, and stays so: the answer tells of both. */
export class PartlyDone extends Error {
  /** Members of the answer, besides the error. */
  readonly done: object

  constructor(done: object, cause: unknown) {
    super("not all of it was done", { cause })
    this.done = done
  }
}

/** `done`: members besides the error, of what is done all the same. */
export function errorAnswer(error: unknown, headers: Record<string, string> = {}, done: object = {}): Response {
  const { status, error: members } = errorMembers(error)
  const ofCode = error instanceof PrismError ? ERROR_HEADERS[error.code] : undefined
  return jsonAnswer({ ...done, error: members }, status, { ...ofCode, ...headers })
}
