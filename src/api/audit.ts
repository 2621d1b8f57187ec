// The audit log: who did what to which collection, as lines of JSON.
import { encodeUtf8 } from "../base/bytes.ts"
import type { Files } from "../runtime.ts"

/** When an audit file becomes `FILE.1`, in place of the one before. */
const AUDIT_FILE_BYTES = 64 * 1024 * 1024

export interface AuditEntry {
  readonly time: string
  readonly request_id: string
  /** Name of the key. */
  readonly key: string
  readonly peer: string | null
  /** Of the contract; null where it has none. */
  readonly operation: string | null
  /** Null where it is about none, or about all. */
  readonly collection: string | null
  /** `started` is durable before anything is done, so a change without one did not come through this interface; `refused`
   *  is for want of a key or a permission. */
  readonly outcome: "started" | "done" | "failed" | "refused"
  readonly status?: number
  /** Of an error. */
  readonly code?: string
}

/** Where audit entries go. Rejects where an entry could not be made durable. */
export type Audit = (entry: AuditEntry) => Promise<void>

/** Appends to a file, and puts what comes meanwhile into one write. */
export function auditFile(
  files: Pick<Files, "size" | "append" | "rename">,
  path: string,
  bytesMax = AUDIT_FILE_BYTES,
): Audit {
  let waiting = ""
  let next: Promise<void> | undefined
  let last: Promise<unknown> = Promise.resolve()

  const write = async () => {
    const bytes = encodeUtf8(waiting)
    waiting = ""
    next = undefined
    const size = (await files.size(path)) ?? 0
    if (size > 0 && size + bytes.length > bytesMax) await files.rename(path, `${path}.1`)
    await files.append(path, bytes)
  }
  return (entry) => {
    waiting += `${JSON.stringify(entry)}\n`
    if (next === undefined) {
      next = last.then(write)
      last = next.catch(() => undefined)
    }
    return next
  }
}

/** Where there are no files: the lines go to the log. */
export function auditLines(writeLine: (line: string) => void): Audit {
  return async (entry) => writeLine(JSON.stringify({ audit: entry }))
}
