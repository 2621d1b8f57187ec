import { ERROR_CODES, PrismError } from "../base/errors.ts"
import { stringifyJson } from "../base/json.ts"

const JSON_TYPE = { "content-type": "application/json; charset=utf-8" }

/** A JSON answer; long integers are exact. */
export function jsonAnswer(value: unknown, status = 200, headers: Record<string, string> = {}): Response {
  return new Response(stringifyJson(value), { status, headers: { ...JSON_TYPE, ...headers } })
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

export function errorAnswer(error: unknown, headers: Record<string, string> = {}): Response {
  const { status, error: members } = errorMembers(error)
  return jsonAnswer({ error: members }, status, headers)
}
