/** Every error that a user can cause or repair: its HTTP status, and the exit code of the command line. */
export const ERROR_CODES = {
  USAGE: { status: 400, exit: 2 },
  INVALID_REQUEST: { status: 400, exit: 2 },
  INVALID_QUERY: { status: 400, exit: 2 },
  INVALID_KEY: { status: 400, exit: 2 },
  INVALID_NAME: { status: 400, exit: 2 },
  INVALID_JSON: { status: 400, exit: 2 },
  DECRYPTION_FAILED: { status: 400, exit: 6 },
  UNAUTHORIZED: { status: 401, exit: 1 },
  FORBIDDEN: { status: 403, exit: 1 },
  PATH_NOT_ALLOWED: { status: 403, exit: 1 },
  PERMISSION_DENIED: { status: 403, exit: 1 },
  ROUTE_NOT_FOUND: { status: 404, exit: 3 },
  METHOD_NOT_ALLOWED: { status: 405, exit: 2 },
  REQUEST_TIMEOUT: { status: 408, exit: 1 },
  JOB_NOT_FOUND: { status: 404, exit: 3 },
  COLLECTION_NOT_FOUND: { status: 404, exit: 3 },
  DOCUMENT_NOT_FOUND: { status: 404, exit: 3 },
  NODE_NOT_FOUND: { status: 404, exit: 3 },
  DATA_DIRECTORY_NOT_FOUND: { status: 404, exit: 3 },
  FILE_NOT_FOUND: { status: 404, exit: 3 },
  COLLECTION_EXISTS: { status: 409, exit: 4 },
  FILE_EXISTS: { status: 409, exit: 4 },
  BUSY: { status: 409, exit: 1 },
  LOCKED: { status: 409, exit: 1 },
  LOCK_LOST: { status: 409, exit: 1 },
  READ_ONLY: { status: 409, exit: 1 },
  CLOSED: { status: 409, exit: 1 },
  SCHEMA_CONFLICT: { status: 409, exit: 1 },
  QUOTA_EXCEEDED: { status: 413, exit: 1 },
  LIMIT_EXCEEDED: { status: 413, exit: 1 },
  UNSUPPORTED_MEDIA_TYPE: { status: 415, exit: 2 },
  INVALID_BODY: { status: 422, exit: 2 },
  INVALID_SCHEMA: { status: 422, exit: 1 },
  INVALID_DOCUMENT: { status: 422, exit: 1 },
  DIMENSION_MISMATCH: { status: 422, exit: 1 },
  DUPLICATE_ID: { status: 422, exit: 1 },
  INVALID_FORMAT: { status: 422, exit: 1 },
  CHECKSUM_MISMATCH: { status: 422, exit: 5 },
  CORRUPT: { status: 422, exit: 5 },
  TRUNCATED: { status: 422, exit: 5 },
  INCOMPATIBLE_VERSION: { status: 422, exit: 7 },
  PARTIAL: { status: 207, exit: 8 },
  DISK_FULL: { status: 507, exit: 1 },
  IO_ERROR: { status: 500, exit: 1 },
  LISTEN_FAILED: { status: 500, exit: 1 },
  NOT_SUPPORTED: { status: 501, exit: 1 },
  TOO_MANY_REQUESTS: { status: 429, exit: 1 },
  HEADERS_TOO_LARGE: { status: 431, exit: 2 },
  UNAVAILABLE: { status: 503, exit: 1 },
  SERVER_UNREACHABLE: { status: 502, exit: 1 },
  SERVER_ERROR: { status: 502, exit: 1 },
  INTERRUPTED: { status: 499, exit: 130 },
} as const satisfies Record<string, { status: number; exit: number }>

export type ErrorCode = keyof typeof ERROR_CODES

/** One refused document or line of a larger input. `place` names it as a user would: `line 7`, `document "a"`. */
export interface Problem {
  readonly place: string
  readonly code: ErrorCode
  readonly message: string
  readonly hint?: string
}

/** An error that a user can cause or repair. A bug is an `assert` instead. */
export class PrismError extends Error {
  override readonly name = "PrismError"
  readonly code: ErrorCode
  /** What to do about it, one sentence without a full stop. */
  readonly hint: string | undefined
  /** Where it is: a file, line, entry, document or byte. */
  readonly place: string | undefined
  /** The single problems, where one error stands for several. */
  readonly problems: readonly Problem[]

  constructor(
    code: ErrorCode,
    message: string,
    details: { hint?: string; place?: string; problems?: readonly Problem[]; cause?: unknown } = {},
  ) {
    super(message, "cause" in details ? { cause: details.cause } : undefined)
    this.code = code
    this.hint = details.hint
    this.place = details.place
    this.problems = details.problems ?? []
  }
}

/** A state that clears itself, unlike most that a write may fail with. */
export function isDiskFull(error: unknown): boolean {
  return error instanceof PrismError && error.code === "DISK_FULL"
}

/** Throws where the program itself is wrong; never for input. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Bug in Prism: ${message}`)
}
