// What a runtime brings for local files: system calls, no decisions. Types only.
//
// Paths are the system's own. Errors carry the system's code in `code`, as in "ENOENT". What is made is made with mode
// 0600 for files and 0700 for folders.

export interface Disk {
  /** Absolute form of a path that a user typed. */
  readonly resolve: (path: string) => string
  readonly parent: (path: string) => string
  readonly name: (path: string) => string
  readonly join: (directory: string, name: string) => string
  /** Follows links. Undefined where nothing is there. */
  readonly stat: (
    path: string,
  ) => Promise<{ readonly kind: "file" | "directory" | "other"; readonly size: number } | undefined>
  /** Absolute, without any link in it. Fails with ENOENT where nothing is there, or where a link leads nowhere; with ELOOP
   *  where links lead in a circle. */
  readonly realPath: (path: string) => Promise<string>
  /** False where nothing is there. */
  readonly isLink: (path: string) => Promise<boolean>
  /** The system's folder for temporary files, where it may be known. */
  readonly temporaryDirectory: () => string | undefined
  /** Does not follow links: names of what is directly in a folder. */
  readonly list: (path: string) => Promise<{ readonly name: string; readonly kind: "file" | "directory" | "other" }[]>
  /** Fails with ELOOP where the last name of the path is a link and `followLink` is false. */
  readonly openRead: (path: string, options?: { readonly followLink?: boolean }) => Promise<DiskReader>
  /** Streams a file from its beginning to its end; a pipe or device too. */
  readonly stream: (path: string) => Promise<ReadableStream<Uint8Array>>
  /** Opens a file that is there for writing at its end, which is at `length` afterwards. */
  readonly openAppend: (path: string, length: number) => Promise<DiskWriter>
  /** O_CREAT | O_EXCL: fails with EEXIST where the name is taken, by a dangling link too. */
  readonly createExclusive: (path: string) => Promise<DiskWriter>
  readonly rename: (from: string, to: string) => Promise<void>
  /** Another name for a file; fails with EEXIST where the name is taken. */
  readonly link: (from: string, to: string) => Promise<void>
  /** Of a file; what it does with a folder depends on the platform. */
  readonly unlink: (path: string) => Promise<void>
  readonly makeDirectory: (path: string) => Promise<void>
  /** An empty folder; fails where something is in it. */
  readonly removeDirectory: (path: string) => Promise<void>
  /** With all that is in it; an absent one is fine. */
  readonly removeTree: (path: string) => Promise<void>
  readonly syncDirectory: (path: string) => Promise<void>
  readonly freeBytes: (path: string) => Promise<number | undefined>
  /** Who this process is, as far as the platform tells. */
  readonly self: () => Promise<ProcessIdentity>
  /** Whether a process with this id runs here now, with its start time where the platform tells. */
  readonly findProcess: (pid: number) => Promise<{ readonly startTime: string | undefined } | undefined>
  readonly clock: Clock
}

export interface DiskReader {
  readonly size: number
  /** Reads into all of `target` from `position` on, as far as the file goes; returns how many bytes that were. */
  read(target: Uint8Array, position: number): Promise<number>
  close(): Promise<void>
}

export interface DiskWriter {
  /** Writes all of `bytes` at the end. */
  write(bytes: Uint8Array): Promise<void>
  /** `write` and `sync` in one, where the system has that. */
  writeDurably(bytes: Uint8Array): Promise<void>
  /** Cuts the file off after its first `length` bytes, where `write` goes on then. */
  cut(length: number): Promise<void>
  /** Writes elsewhere; the end that `write` goes on from stays where it is. */
  overwrite(bytes: Uint8Array, position: number): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

/** Tells one process from every other, also from a later one with the same id. */
export interface ProcessIdentity {
  readonly pid: number
  /** The machine's id, else its host name; "" where neither may be known. */
  readonly machine: string
  /** Another after each start of the machine. Linux only. */
  readonly bootId: string | undefined
  /** Process ids are unique within it. Linux only. */
  readonly pidNamespace: string | undefined
  /** When the process started, in the platform's unit. Linux only. */
  readonly startTime: string | undefined
}

export interface Clock {
  readonly wallMs: () => number
  /** Only differences mean something; it may stand still while the machine sleeps. */
  readonly monotonicMs: () => number
  /** Since the machine was started, the same for all of its processes. Linux only. */
  readonly uptimeMs: () => Promise<number | undefined>
  readonly sleep: (ms: number) => Promise<void>
  /** Calls again and again until the returned function is called. Does not keep the process alive. */
  readonly repeat: (ms: number, call: () => void) => () => void
}
