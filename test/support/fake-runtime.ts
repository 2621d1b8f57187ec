import { createHash } from "node:crypto"
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../src/base/bytes.ts"
import { PrismError } from "../../src/base/errors.ts"
import { run } from "../../src/cli/run.ts"
import type { Files, Runtime } from "../../src/runtime.ts"
import { createGcm } from "../../src/runtime-node/gcm.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { bytesAccess } from "./bytes-access.ts"
import { LastingStorage } from "./lasting-storage.ts"
import { runtime } from "./runtime.ts"

export interface Result {
  readonly code: number
  readonly stdout: string
  readonly stderr: string
}

/** A machine in memory: files, data directories, environment, and a terminal that keeps what was written to it. */
export class FakeRuntime implements Runtime {
  readonly name = "node"
  readonly version = "0.0.0"
  readonly zstd = runtime.zstd
  readonly fileBytes = new Map<string, Uint8Array>()
  readonly directories = new Map<string, LastingStorage | undefined>()
  /** Data directories where not even a pin can be written. */
  readonly unwritable = new Set<string>()
  /** What the holders of data directories announce. */
  readonly announcements = new Map<string, string>()
  readonly environment: Record<string, string> = {}
  /** What stdin holds, in the chunks in which it comes. */
  input: (string | Uint8Array)[] = []
  /** Without an end stdin waits for ever, as a terminal or a slow pipe does. */
  inputEnds = true
  stdinIsTerminal = false
  stdoutIsTerminal = false
  stderrIsTerminal = false
  columns = 80
  /** Room on the disk. */
  bytesFree: number | undefined = undefined
  /** Stdout takes so many bytes, then its reader is gone. */
  stdoutBytesMax = Number.POSITIVE_INFINITY
  /** Called when stdin is read beyond what it holds, and does not end. */
  onWaiting: () => void = () => {}
  /** Called with each text as it is written to stderr. */
  onStderr: (text: string) => void = () => {}
  /** Called before each read at a place of a file. */
  onReadAt: () => void = () => {}
  #stdout: Uint8Array[] = []
  #stderr = ""
  #interrupts = new Set<() => void>()
  clock = 0
  #made = new Set<string>()

  get terminal() {
    return this
  }

  get files() {
    return this.#files
  }

  /** Runs one command line. */
  async run(...argv: string[]): Promise<Result> {
    this.#stdout = []
    this.#stderr = ""
    const code = await run(argv, this, () => this.clock)
    for (const [path, storage] of this.directories) {
      if (storage && this.#made.has(path) && !(await hasFile(storage, ""))) this.directories.delete(path)
    }
    this.#made.clear()
    if (this.#interrupts.size > 0) throw new Error("the command still listens to signals")
    return { code, stdout: decodeUtf8(this.stdoutBytes), stderr: this.#stderr }
  }

  get stdoutBytes(): Uint8Array {
    return Uint8Array.from(this.#stdout.flatMap((chunk) => [...chunk]))
  }

  /** SIGINT. */
  interrupt(): void {
    for (const callback of this.#interrupts) callback()
  }

  write(path: string, content: string | Uint8Array): void {
    this.fileBytes.set(path, typeof content === "string" ? encodeUtf8(content) : content)
  }

  text(path: string): string {
    return decodeUtf8(this.fileBytes.get(path)!)
  }

  // Runtime

  async openStorage(
    directory: string,
    { create, removeIfEmpty, readOnly }: { create: boolean; removeIfEmpty?: boolean; readOnly?: boolean },
  ): Promise<Storage> {
    if (!this.directories.has(directory) && !create) {
      throw new PrismError("DATA_DIRECTORY_NOT_FOUND", `there is no folder ${directory}`)
    }
    let storage = this.directories.get(directory)
    if (storage === undefined) {
      if (!this.directories.has(directory) && removeIfEmpty) this.#made.add(directory)
      storage = new LastingStorage()
      this.directories.set(directory, storage)
    }
    const refused = this.unwritable.has(directory) ? [...WRITES, "hold"] : readOnly ? WRITES : []
    return refused.length === 0 ? storage : refusing(storage, refused)
  }

  async readAnnouncement(directory: string): Promise<string | undefined> {
    return this.announcements.get(directory)
  }

  createSha256() {
    const hash = createHash("sha256")
    return { update: (bytes: Uint8Array) => void hash.update(bytes), digestHex: () => hash.digest("hex") }
  }

  readonly createGcm = createGcm

  readonly #files: Files = {
    size: async (path) => {
      if (this.directories.has(path)) throw new PrismError("IO_ERROR", `cannot read ${path}: it is a folder`)
      return this.fileBytes.get(path)?.length
    },
    isDirectory: async (path) => this.directories.has(path),
    // Without folders and links in it, every path is what it says.
    resolve: (path) => path,
    realPath: async (path) => path,
    temporaryDirectory: () => "/tmp",
    read: async (path) => {
      const bytes = this.fileBytes.get(path)
      if (bytes === undefined) throw new PrismError("FILE_NOT_FOUND", `there is no file ${path}`, { place: path })
      return streamOf(chunked(bytes, 1000))
    },
    open: async (path) => {
      const bytes = this.fileBytes.get(path)
      if (bytes === undefined) throw new PrismError("FILE_NOT_FOUND", `there is no file ${path}`, { place: path })
      const access = bytesAccess(bytes)
      const read: typeof access.read = (...place) => {
        this.onReadAt()
        return access.read(...place)
      }
      return { size: access.size, read, [Symbol.asyncDispose]: async () => {} }
    },
    freeBytes: async () => this.bytesFree,
    append: async (path, bytes) => {
      this.fileBytes.set(path, concatBytes([this.fileBytes.get(path) ?? new Uint8Array(), bytes]))
    },
    rename: async (from, to) => {
      const bytes = this.fileBytes.get(from)
      if (bytes === undefined) throw new PrismError("FILE_NOT_FOUND", `there is no file ${from}`, { place: from })
      this.fileBytes.delete(from)
      this.fileBytes.set(to, bytes)
    },
    // Nothing is written under another name here.
    discard: async () => {},
    write: async (path, { replace, verify }) => {
      const check = () => {
        if (!replace && this.fileBytes.has(path)) throw new PrismError("FILE_EXISTS", `${path} exists`, { place: path })
      }
      check()
      const parts: Uint8Array[] = []
      return new WritableStream<Uint8Array>({
        write: (bytes) => void parts.push(bytes.slice()),
        close: async () => {
          const whole = concatBytes(parts)
          await verify?.(bytesAccess(whole))
          check()
          this.fileBytes.set(path, whole)
        },
      })
    },
  }

  // Terminal

  get stdin(): ReadableStream<Uint8Array> {
    const chunks = this.input.map((chunk) => (typeof chunk === "string" ? encodeUtf8(chunk) : chunk))
    return streamOf(chunks, this.inputEnds, () => this.onWaiting())
  }

  async stdout(bytes: Uint8Array | string): Promise<void> {
    const chunk = typeof bytes === "string" ? encodeUtf8(bytes) : bytes.slice()
    this.stdoutBytesMax -= chunk.length
    if (this.stdoutBytesMax < 0) throw new PrismError("INTERRUPTED", "the reader of standard output has gone")
    this.#stdout.push(chunk)
  }

  stderr(text: string): void {
    this.#stderr += text
    this.onStderr(text)
  }

  env(name: string): string | undefined {
    return this.environment[name]
  }

  onInterrupt(callback: () => void): () => void {
    this.#interrupts.add(callback)
    return () => void this.#interrupts.delete(callback)
  }

  peakMemoryBytes(): undefined {
    return undefined
  }
}

const WRITES = [
  "create",
  "append",
  "rename",
  "remove",
  "makeDirectory",
  "removeDirectory",
  "syncDirectory",
  "lock",
] as const satisfies readonly (keyof Storage)[]

/** The same storage, in which these calls are READ_ONLY. */
function refusing(storage: Storage, calls: readonly string[]): Storage {
  return new Proxy(storage, {
    get(target, name) {
      if (typeof name === "string" && calls.includes(name)) {
        return () => Promise.reject(new PrismError("READ_ONLY", `${name} in a folder that is only read`))
      }
      const member: unknown = Reflect.get(target, name)
      return typeof member === "function" ? member.bind(target) : member
    },
  })
}

async function hasFile(storage: Storage, path: string): Promise<boolean> {
  for (const { name, kind } of await storage.list(path)) {
    if (kind === "file" || (await hasFile(storage, path === "" ? name : `${path}/${name}`))) return true
  }
  return false
}

/** A stream of these chunks. Without an end it waits after them, having called `onWaiting`. */
export function streamOf(
  chunks: readonly Uint8Array[],
  ends = true,
  onWaiting: () => void = () => {},
): ReadableStream<Uint8Array> {
  let next = 0
  return new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        const chunk = chunks[next++]
        if (chunk !== undefined) controller.enqueue(chunk)
        else if (ends) controller.close()
        else {
          queueMicrotask(onWaiting)
          return new Promise(() => {})
        }
      },
    },
    { highWaterMark: 0 },
  )
}

export function chunked(bytes: Uint8Array, size: number): Uint8Array[] {
  const chunks: Uint8Array[] = []
  for (let start = 0; start < bytes.length; start += size) chunks.push(bytes.subarray(start, start + size))
  return chunks
}
