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
  /** What the live process that holds a folder's lock announces (`StorageLock.announce`), without taking the lock.
   *  Undefined where there is no folder, no such process, or nothing that this user may read. */
  readAnnouncement(directory: string): Promise<string | undefined>
  readonly createSha256: () => Sha256
  readonly createGcm: (direction: "encrypt" | "decrypt", key: Uint8Array, nonce: Uint8Array) => Gcm
  readonly zstd: Zstd
  /** Starts another thread of this process, which runs the runtime's own `worker.ts`. Missing where there are none. */
  startWorker?(listener: TaskWorkerListener): TaskWorker
  /** Listens for HTTP/1.1 and answers by `handler`, which never rejects. Missing where nothing can listen.
   *  LISTEN_FAILED; USAGE for a certificate that cannot be used. */
  serve?(handler: HttpHandler, options: ServeOptions): Promise<HttpServer>
  readonly files: Files
  readonly terminal: Terminal
}

/** `request.signal` aborts when the client has gone. A request whose body breaks off has a body that errors; an answer whose
 *  body errors breaks off, so that nobody takes it for whole. Both bodies are pulled no faster than they are used. */
export type HttpHandler = (request: Request, peer: Peer) => Promise<Response>

/** Who is at the other end of a connection. */
export interface Peer {
  readonly address: string
  readonly isLoopback: boolean
}

export interface ServeOptions {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  /** Texts in PEM. */
  readonly tls?: { readonly cert: string; readonly key: string } | undefined
  /** Of the request line and the headers, where the runtime can be told. */
  readonly headerBytes: number
  /** How long a connection may take for a request's headers, and be idle between requests, where the runtime can be told.
   *  Nothing else has a limit here: a body or an answer may take hours. */
  readonly headerSecs: number
}

export interface HttpServer {
  readonly port: number
  /** Without a slash at the end. */
  readonly url: string
  /** Takes no new connections, closes idle ones, and resolves when the others have had their answer. */
  stop(): Promise<void>
  /** Breaks off what is still there. */
  kill(): void
}

/** What archives need of a runtime. */
export type Codecs = Pick<Runtime, "createSha256" | "createGcm" | "zstd">

/** All that there is where a process has no files, no threads and no terminal, as on Deno Deploy. Collections need no more:
 *  `Prism.openStorage` takes it with a storage that is not a folder. */
export type DisklessRuntime = Pick<Runtime, "name" | "version"> & Codecs

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

/** AES-256-GCM (NIST SP 800-38D) over a stream of any length, without associated data. Only archives of PENC version 1
 *  need it: all else goes through WebCrypto, a chunk at a time. */
export interface Gcm {
  /** The same number of bytes, encrypted or decrypted; what is decrypted is not authentic before `verify` said so. */
  update(bytes: Uint8Array): Uint8Array
  /** After the last `update` of an encryption: the 16 bytes of the tag. */
  tag(): Uint8Array
  /** After the last `update` of a decryption: whether this is the tag of all that went through. */
  verify(tag: Uint8Array): boolean
}

/** Zstandard (RFC 8878), off the calling thread where the runtime can. Calls may overlap, and run beside each other then.
 *  Frames are whole and by themselves: `formats/zstd-frame.ts` finds where they end, and what they ask for. Their checksums
 *  are verified. */
export interface Zstd {
  /** One frame that holds these bytes (4 MiB at most), with its content size and checksum. Which bytes it has depends on
   *  the runtime. */
  compress(bytes: Uint8Array): Promise<Uint8Array>
  /** What one whole frame holds, exactly `length` bytes (4 MiB at most). CORRUPT where that cannot be. */
  decompress(frame: Uint8Array, length: number): Promise<Uint8Array>
  /** Decodes one whole frame of any size as it comes, in the pieces of `takeFrame`. Memory is bounded by its window, which
   *  is 128 MiB at most. CORRUPT where it cannot be decoded; what `frame` throws. */
  decompressStream(frame: AsyncIterable<Uint8Array>): AsyncIterable<Uint8Array>
}

/** Bytes that can be read at any place. */
export interface RandomAccess {
  readonly size: number
  /** Exactly `length` bytes from `offset`; TRUNCATED where it ends before. Calls may overlap. */
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Files that a user names: archives, schemas, key files. Paths are as typed, relative to the working directory. */
export interface Files {
  /** Byte length, or undefined where there is no such file. A directory is an IO_ERROR that says so. */
  size(path: string): Promise<number | undefined>
  isDirectory(path: string): Promise<boolean>
  /** Absolute form of a path, links left as they are. */
  resolve(path: string): string
  /** Where a path leads: absolute, every link on the way resolved, for what is there and for what may be made there.
   *  PATH_NOT_ALLOWED where links lead nowhere or in a circle. */
  realPath(path: string): Promise<string>
  /** The system's folder for temporary files, where it may be known. */
  temporaryDirectory(): string | undefined
  /** Streams a file; FILE_NOT_FOUND, PERMISSION_DENIED. */
  read(path: string): Promise<ReadableStream<Uint8Array>>
  /** Opens a file for reads at any place; undefined for a pipe or device. FILE_NOT_FOUND, PERMISSION_DENIED. With
   *  `followLink` false (default true), a link in the place of the file is PATH_NOT_ALLOWED: what `realPath` gave is read,
   *  or nothing, whoever puts a link there meanwhile. */
  open(path: string, options?: { readonly followLink?: boolean }): Promise<(RandomAccess & AsyncDisposable) | undefined>
  /** Bytes that there is room for where `path` is or would be, where that can be told. */
  freeBytes(path: string): Promise<number | undefined>
  /** Writes beside `path` under a temporary name (exclusive, mode 0600, no links followed). Closing the stream syncs
   *  and renames it over `path`; aborting removes it. Missing parent folders are made. Without `replace` an existing
   *  file is FILE_EXISTS, also when it appears meanwhile. `verify` gets what was written, after the sync and before the
   *  rename; where it throws, that error comes out and nothing was written. `onTemporary` gets the temporary file's path
   *  before it is made: a process that dies leaves it, and who knows it can `discard` it. */
  write(
    path: string,
    options: {
      replace: boolean
      verify?: (written: RandomAccess) => Promise<void>
      onTemporary?: (path: string) => Promise<void>
    },
  ): Promise<WritableStream<Uint8Array>>
  /** Writes bytes durably at the end of a file, which is made where it is missing (mode 0600, folders too). One call at a
   *  time for a file. */
  append(path: string, bytes: Uint8Array): Promise<void>
  /** Gives a file another name, in place of the file that may have it. */
  rename(from: string, to: string): Promise<void>
  /** Removes what `write` left under a temporary name; an absent one is fine. Any other name is INVALID_REQUEST. */
  discard(temporary: string): Promise<void>
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
