// The audit log: who changed what of which collection, as lines of JSON.
import { encodeUtf8 } from "../base/bytes.ts"
import type { Files } from "../runtime.ts"
import type { Operation } from "./contract.ts"

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
  /** Of refusals: that many stand for this one, the others came from the same peer since its last line. */
  readonly count?: number
  /** As the request says: the file on the server, what becomes of what is there, and whether data goes. */
  readonly path?: string
  readonly mode?: string
  readonly overwrite?: boolean
  readonly delete_data?: boolean
}

/** Where audit entries go. Rejects where an entry could not be made durable. */
export type Audit = (entry: AuditEntry) => Promise<void>

/** Whether an operation is told of when it is let in: what administers or deletes, and changes something. */
export function needsAudit({ method, permission }: Operation): boolean {
  return method !== "GET" && (permission === "admin" || permission === "delete")
}

/** What a checked request says that is worth to know later, and is no secret. */
export function auditedMembers(
  query: unknown,
  body: unknown,
): Pick<AuditEntry, "path" | "mode" | "overwrite" | "delete_data"> {
  const { output_path, input_path, destination, source, mode, overwrite, delete_data } = {
    ...(query as Asked | undefined),
    ...(body as Asked | undefined),
  }
  const path = output_path ?? input_path ?? destination?.path ?? source?.path
  return {
    ...(path !== undefined && { path }),
    ...(mode !== undefined && { mode }),
    ...(overwrite !== undefined && { overwrite }),
    ...(delete_data !== undefined && { delete_data }),
  }
}

/** Where the contract has it, of whichever operation. */
interface Asked {
  readonly output_path?: string
  readonly input_path?: string
  readonly destination?: { readonly path: string }
  readonly source?: { readonly path: string } | null
  readonly mode?: string
  readonly overwrite?: boolean
  readonly delete_data?: boolean
}

/** Appends to a file. Refusals have one of their own, `FILE.refused`: whoever is refused cannot push out what was done. */
export function auditFile(
  files: Pick<Files, "size" | "append" | "rename">,
  path: string,
  bytesMax = AUDIT_FILE_BYTES,
): Audit {
  const done = appender(files, path, bytesMax)
  const refused = appender(files, `${path}.refused`, bytesMax)
  return async (entry) => await (entry.outcome === "refused" ? refused : done)(entry)
}

/** Puts what comes while it writes into one write. */
function appender(files: Pick<Files, "size" | "append" | "rename">, path: string, bytesMax: number): Audit {
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
