import { type ErrorCode, PrismError, type Problem } from "./errors.ts"

/** An error as it crosses threads: structured clone would keep its message alone. */
export interface SentError {
  readonly message: string
  readonly stack: string | undefined
  readonly prism: { code: ErrorCode; hint?: string; place?: string; problems: readonly Problem[] } | undefined
  readonly cause: SentError | undefined
}

/** Errors say why they came about at most so many times over. */
const CAUSES_MAX = 4

export function toSent(error: unknown, depth = 0): SentError {
  if (!(error instanceof Error)) return { message: String(error), stack: undefined, prism: undefined, cause: undefined }
  const { message, stack, cause } = error
  return {
    message,
    stack,
    prism:
      error instanceof PrismError
        ? {
            code: error.code,
            problems: error.problems,
            ...(error.hint === undefined ? {} : { hint: error.hint }),
            ...(error.place === undefined ? {} : { place: error.place }),
          }
        : undefined,
    cause: cause === undefined || depth === CAUSES_MAX ? undefined : toSent(cause, depth + 1),
  }
}

export function fromSent({ message, stack, prism, cause }: SentError): Error {
  const because = cause ? { cause: fromSent(cause) } : {}
  const error = prism ? new PrismError(prism.code, message, { ...prism, ...because }) : new Error(message, because)
  // Where it was thrown, not where it arrived.
  if (stack !== undefined) error.stack = stack
  return error
}
