// What a server said of a failure, or that it said nothing, as the error that the library would throw itself.
import { ERROR_CODES, type ErrorCode, PrismError, type Problem } from "../base/errors.ts"

/** The error in an answer. `answer`: its JSON, undefined where it has none. */
export function answeredError(url: string, status: number, answer: unknown): PrismError {
  const error = isObject(answer) ? answer["error"] : undefined
  if (isObject(error) && typeof error["message"] === "string") return toldError(url, error)
  return new PrismError("SERVER_ERROR", `${url} answered ${status}, and not as a server of Prism does`, {
    hint: "check the URL, and what stands between here and there",
  })
}

/** The error that a server tells by the members `code`, `message`, `hint`, `place` and `problems`. */
export function toldError(url: string, told: Readonly<Record<string, unknown>>): PrismError {
  const { code, hint, place, problems } = told
  const message = String(told["message"])
  return new PrismError(codeOf(code), isKnown(code) ? message : `${url} failed with ${String(code)}: ${message}`, {
    ...(typeof hint === "string" && { hint }),
    ...(typeof place === "string" && { place }),
    problems: Array.isArray(problems) ? problems.filter(isObject).map(problemOf) : [],
  })
}

export function unreachable(url: string, cause: unknown): PrismError {
  return new PrismError("SERVER_UNREACHABLE", `cannot reach ${url}${reasonOf(cause)}`, {
    hint: "check the URL, and that a server listens there",
    place: url,
    cause,
  })
}

export function brokenOff(url: string, cause: unknown): PrismError {
  return new PrismError("SERVER_UNREACHABLE", `${url} broke off in the middle of its answer${reasonOf(cause)}`, {
    hint: "its log tells why; try again",
    place: url,
    cause,
  })
}

/** Platforms wrap what really happened, and say it in their own words. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return ""
  const { cause } = error
  const reason = cause instanceof Error && cause.message !== "" ? cause.message : error.message
  return reason === "" ? "" : `: ${reason}`
}

function problemOf(problem: Readonly<Record<string, unknown>>): Problem {
  const { place, code, message } = problem
  return { place: String(place), code: codeOf(code), message: String(message) }
}

/** A newer server may have codes of its own. */
function codeOf(code: unknown): ErrorCode {
  return isKnown(code) ? code : "SERVER_ERROR"
}

function isKnown(code: unknown): code is ErrorCode {
  return typeof code === "string" && Object.hasOwn(ERROR_CODES, code)
}

function isObject(value: unknown): value is Readonly<Record<string, unknown>> {
  return typeof value === "object" && value !== null
}
