import { type ErrorCode, PrismError } from "../base/errors.ts"

const CODES: Record<string, { code: ErrorCode; what: string; hint?: string }> = {
  ENOENT: { code: "FILE_NOT_FOUND", what: "no such file or folder" },
  EEXIST: { code: "FILE_EXISTS", what: "it exists already" },
  ENOTEMPTY: { code: "FILE_EXISTS", what: "a folder with files in it is there already" },
  ENOSPC: { code: "DISK_FULL", what: "no space left on the device", hint: "free some space, then try again" },
  EDQUOT: { code: "DISK_FULL", what: "the disk quota is used up", hint: "free some space, then try again" },
  EACCES: { code: "PERMISSION_DENIED", what: "permission denied", hint: "check who owns the folder and its mode" },
  EPERM: { code: "PERMISSION_DENIED", what: "not permitted", hint: "check who owns the folder and its mode" },
  EROFS: { code: "READ_ONLY", what: "the file system is read-only", hint: "use a folder that can be written to" },
  EISDIR: { code: "IO_ERROR", what: "it is a folder" },
  ENOTDIR: { code: "IO_ERROR", what: "a part of the path is a file, not a folder" },
  EMFILE: { code: "IO_ERROR", what: "too many open files", hint: "raise the limit, for example ulimit -n 4096" },
  ENFILE: { code: "IO_ERROR", what: "too many open files on this machine", hint: "close other programs" },
  EFBIG: { code: "IO_ERROR", what: "the file is too large for this file system" },
  EIO: { code: "IO_ERROR", what: "the device failed", hint: "check the disk, then open the collection again" },
  ELOOP: { code: "IO_ERROR", what: "a symbolic link is in the way" },
  ENAMETOOLONG: { code: "IO_ERROR", what: "the name is too long" },
}

/** What the system refused as an error that a user can act on. `action`: what was tried, as in "write".
 *  An error that is a PrismError already stays as it is; one without a system code is a bug and stays one. */
export function systemError(error: unknown, action: string, path: string): Error {
  if (error instanceof PrismError) return error
  if (error instanceof Error && error.name === "NotCapable") {
    return new PrismError("PERMISSION_DENIED", `cannot ${action} ${path}: ${error.message}`, {
      place: path,
      hint: "Deno needs --allow-read and --allow-write for this path",
      cause: error,
    })
  }
  const code = (error as { code?: unknown } | null)?.code
  if (typeof code !== "string") return error instanceof Error ? error : new Error(String(error))
  const known = CODES[code]
  return new PrismError(
    known?.code ?? "IO_ERROR",
    `cannot ${action} ${path}: ${known?.what ?? (error as Error).message} (${code})`,
    { place: path, cause: error, ...(known?.hint === undefined ? {} : { hint: known.hint }) },
  )
}

/** Runs a system call; its error comes out as `systemError` makes it. */
export async function attempt<T>(action: string, path: string, call: () => Promise<T>): Promise<T> {
  try {
    return await call()
  } catch (error) {
    throw systemError(error, action, path)
  }
}

/** A failed write to standard output. INTERRUPTED where its reader has gone, as `head` does when it has enough. */
export function stdoutError(error: unknown): Error {
  const code = (error as { code?: unknown } | null)?.code
  if (code === "EPIPE" || code === "ERR_STREAM_DESTROYED") {
    return new PrismError("INTERRUPTED", "the reader of standard output has gone", { place: "stdout", cause: error })
  }
  return systemError(error, "write", "standard output")
}
