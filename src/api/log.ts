// What a server says about its requests, a line each. Bodies, queries, ids of documents and keys are in none of them.
import { PrismError } from "../base/errors.ts"

export interface AccessEntry {
  readonly time: string
  readonly request_id: string
  readonly method: string
  /** The path as the contract has it, without what stood in its braces; null where the contract has none. */
  readonly route: string | null
  readonly status: number
  /** Until the last byte of the answer was taken. */
  readonly duration_ms: number
  /** Of the answer's body. */
  readonly bytes: number
  /** Name of the key. */
  readonly key: string
  readonly peer: string | null
  /** Of an error. */
  readonly code?: string
  /** True where the client went away, or the server failed, amid the answer. */
  readonly cut_off?: true
}

export interface Log {
  access(entry: AccessEntry): void
  /** What must not pass in silence: bugs, failed disks. Said even where accesses are not. */
  failure(time: string, requestId: string, error: unknown): void
}

export function createLog(format: "text" | "json" | "off", writeLine: (line: string) => void): Log {
  return {
    access(entry) {
      if (format === "off") return
      writeLine(format === "json" ? JSON.stringify(entry) : accessText(entry))
    },
    failure(time, requestId, error) {
      const text = errorText(error)
      writeLine(
        format === "json"
          ? JSON.stringify({ time, request_id: requestId, error: text })
          : `${time} error in request ${requestId}: ${text}`,
      )
    },
  }
}

function accessText(entry: AccessEntry): string {
  const { time, method, route, status, duration_ms, bytes, code, cut_off, key, peer, request_id } = entry
  const how = `${status}${code === undefined ? "" : ` ${code}`}${cut_off ? " (cut off)" : ""}`
  return `${time} ${method} ${route ?? "-"} ${how} ${duration_ms} ms ${bytes} B key=${JSON.stringify(key)} peer=${peer ?? "-"} id=${request_id}`
}

/** With its causes; of a bug the stack too. */
function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  const own = error instanceof PrismError ? `${error.code}: ${error.message}` : (error.stack ?? error.message)
  return error.cause === undefined ? own : `${own}\ncaused by ${errorText(error.cause)}`
}
