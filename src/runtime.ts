// The port: what a runtime must bring. Types only.
import type { Storage } from "./storage/storage.ts"

export interface Runtime {
  readonly name: "node" | "deno" | "bun"
  readonly version: string
  /** Opens a folder as storage. `create` makes it where it is missing, else that is DATA_DIRECTORY_NOT_FOUND; with
   *  `removeIfEmpty` a folder that was made so is taken away again if no file has come into it when it is closed. With
   *  `readOnly` nothing but holds is ever written. */
  openStorage(
    directory: string,
    options: { create: boolean; removeIfEmpty?: boolean; readOnly?: boolean },
  ): Promise<Storage>
  createSha256(): Sha256
  /** Starts another thread of this process, which runs the runtime's own `worker.ts`. Missing where there are none. */
  startWorker?(listener: TaskWorkerListener): TaskWorker
  readonly files: Files
  readonly terminal: Terminal
}

/** A thread. What goes to it and comes from it is copied (structured clone). */
export interface TaskWorker {
  post(message: unknown): void
  /** Whether the process waits for this thread before it ends; at first it does. */
  setHoldsProcess(holds: boolean): void
  /** Ends the thread, whatever it is doing. Resolves when it is gone; twice is fine. */
  stop(): Promise<void>
}

export interface TaskWorkerListener {
  onMessage(message: unknown): void
  /** Called once, when the thread has ended. `error`: what it ended of, where it did not end by itself. */
  onEnd(error: unknown): void
}

/** Streaming SHA-256 (FIPS 180-4). */
export interface Sha256 {
  update(bytes: Uint8Array): void
  /** Lowercase hex of everything so far; the hash takes no more afterwards. */
  digestHex(): string
}

/** Files that a user names: archives, schemas, key files. Paths are as typed, relative to the working directory. */
export interface Files {
  /** Byte length, or undefined where there is no such file. A directory is an IO_ERROR that says so. */
  size(path: string): Promise<number | undefined>
  isDirectory(path: string): Promise<boolean>
  /** Streams a file; FILE_NOT_FOUND, PERMISSION_DENIED. */
  read(path: string): Promise<ReadableStream<Uint8Array>>
  /** Writes beside `path` under a temporary name (exclusive, mode 0600, no links followed). Closing the stream syncs
   *  and renames it over `path`; aborting removes it. Missing parent folders are made. Without `replace` an existing
   *  file is FILE_EXISTS, also when it appears meanwhile. */
  write(path: string, options: { replace: boolean }): Promise<WritableStream<Uint8Array>>
}

/** The process as the command line sees it. */
export interface Terminal {
  readonly stdin: ReadableStream<Uint8Array>
  readonly stdinIsTerminal: boolean
  /** Resolves once the bytes are handed to the system; rejects with INTERRUPTED when the reader has gone (EPIPE). */
  stdout(bytes: Uint8Array | string): Promise<void>
  stderr(text: string): void
  readonly stdoutIsTerminal: boolean
  readonly stderrIsTerminal: boolean
  readonly columns: number
  env(name: string): string | undefined
  /** Calls back on SIGINT and SIGTERM until the returned function is called. */
  onInterrupt(callback: () => void): () => void
  /** Peak resident memory of the process in bytes, where the platform tells. */
  peakMemoryBytes(): number | undefined
}
