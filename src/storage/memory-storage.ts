import { decodeUtf8, encodeUtf8 } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import { joinPath, parentPath, pathNames } from "./path.ts"
import type { ReadableFile, Storage, StorageEntry, StorageHold, StorageLock, WritableFile } from "./storage.ts"

/** A storage that lasts as long as its process. Everything in it is durable at once, as far as memory can be. */
export class MemoryStorage implements Storage {
  readonly location = undefined
  /** By path; a folder is `undefined`. Files are objects of their own, so that an open one outlives its name. */
  readonly #entries = new Map<string, MemoryBytes | undefined>([["", undefined]])
  /** Held files: their bytes tell a file from a later one of the same name. */
  readonly #holds = new Set<MemoryBytes>()
  #lock: StorageLock | undefined
  #closed = false

  async read(path: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    const bytes = this.#file(path)
    return bytes.read(path, range?.offset ?? 0, range?.length ?? bytes.length)
  }

  async open(path: string): Promise<ReadableFile> {
    return new MemoryReadableFile(path, this.#file(path))
  }

  async size(path: string): Promise<number | undefined> {
    this.#check(path)
    return this.#entries.get(path)?.length
  }

  async list(directory: string): Promise<StorageEntry[]> {
    this.#check(directory)
    const entries: StorageEntry[] = []
    for (const [path, bytes] of this.#entries) {
      if (path === "" || parentPath(path) !== directory) continue
      entries.push({ name: path.slice(path.lastIndexOf("/") + 1), kind: bytes ? "file" : "directory" })
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async create(path: string): Promise<WritableFile> {
    this.#check(path)
    if (this.#entries.has(path)) throw exists(path)
    this.#requireDirectory(parentPath(path), path)
    const bytes = new MemoryBytes()
    this.#entries.set(path, bytes)
    return new MemoryWritableFile(path, bytes)
  }

  async append(path: string, length: number): Promise<WritableFile> {
    const bytes = this.#file(path)
    if (bytes.length < length) throw truncated(path, length, bytes.length)
    bytes.truncate(length)
    return new MemoryWritableFile(path, bytes)
  }

  async rename(from: string, to: string): Promise<void> {
    this.#check(from)
    this.#check(to)
    assert(from !== "" && to !== "", "the root of a storage has no name")
    if (!this.#entries.has(from)) throw notFound(from)
    this.#requireDirectory(parentPath(to), to)
    const moved = this.#entries.get(from)
    if (this.#entries.has(to) && (moved === undefined || this.#entries.get(to) === undefined)) throw exists(to)
    assert(!to.startsWith(`${from}/`), "a folder cannot move into itself")
    const inside = [...this.#entries].filter(([path]) => path === from || path.startsWith(`${from}/`))
    for (const [path, bytes] of inside) {
      this.#entries.delete(path)
      this.#entries.set(to + path.slice(from.length), bytes)
    }
  }

  async remove(path: string): Promise<void> {
    this.#check(path)
    if (this.#entries.get(path) !== undefined) this.#entries.delete(path)
    else if (this.#entries.has(path))
      throw new PrismError("IO_ERROR", `cannot remove ${path}: it is a folder`, { place: path })
  }

  async makeDirectory(path: string): Promise<void> {
    this.#check(path)
    let made = ""
    for (const name of pathNames(path)) {
      made = joinPath(made, name)
      if (this.#entries.get(made) !== undefined) throw exists(made)
      this.#entries.set(made, undefined)
    }
  }

  async removeDirectory(path: string): Promise<void> {
    this.#check(path)
    assert(path !== "", "the root of a storage stays")
    if (this.#entries.get(path) !== undefined) {
      throw new PrismError("IO_ERROR", `cannot remove ${path}: it is a file, not a folder`, { place: path })
    }
    for (const name of this.#entries.keys()) {
      if (name === path || name.startsWith(`${path}/`)) this.#entries.delete(name)
    }
  }

  async syncDirectory(path: string): Promise<void> {
    this.#check(path)
    this.#requireDirectory(path, path)
  }

  async lock(): Promise<StorageLock> {
    this.#check("")
    if (this.#lock) {
      throw new PrismError("LOCKED", "this storage has a writer in this process already", {
        hint: "use the Prism that is open, or close it first",
      })
    }
    const release = async () => {
      if (this.#lock === lock) this.#lock = undefined
    }
    const assertHeld = async () => {
      if (this.#lock !== lock) throw new PrismError("LOCK_LOST", "this storage has another writer by now")
    }
    // No other process is there to hear it.
    const announce = assertHeld
    const lock: StorageLock = { isTakeover: false, release, assertHeld, announce, [Symbol.asyncDispose]: release }
    this.#lock = lock
    return lock
  }

  async hold(path: string, content: string): Promise<StorageHold> {
    await this.makeDirectory(parentPath(path))
    await using file = await this.create(path)
    await file.append(encodeUtf8(content))
    const bytes = this.#file(path)
    this.#holds.add(bytes)
    const release = async () => {
      this.#holds.delete(bytes)
      if (this.#entries.get(path) === bytes) this.#entries.delete(path)
    }
    return { release, [Symbol.asyncDispose]: release }
  }

  async held(directory: string): Promise<{ name: string; content: string }[]> {
    const held: { name: string; content: string }[] = []
    for (const { name, kind } of await this.list(directory)) {
      const path = joinPath(directory, name)
      const bytes = kind === "file" ? this.#entries.get(path) : undefined
      if (!bytes) continue
      if (this.#holds.has(bytes)) held.push({ name, content: decodeUtf8(bytes.read(path, 0, bytes.length)) })
      else this.#entries.delete(path)
    }
    return held
  }

  async freeBytes(): Promise<number | undefined> {
    this.#check("")
    return undefined
  }

  async close(): Promise<void> {
    await this.#lock?.release()
    this.#closed = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #check(path: string): void {
    if (this.#closed) throw new PrismError("CLOSED", "the storage is closed")
    pathNames(path)
  }

  #file(path: string): MemoryBytes {
    this.#check(path)
    const bytes = this.#entries.get(path)
    if (bytes) return bytes
    if (this.#entries.has(path))
      throw new PrismError("IO_ERROR", `cannot open ${path}: it is a folder`, { place: path })
    throw notFound(path)
  }

  #requireDirectory(directory: string, path: string): void {
    if (!this.#entries.has(directory)) throw notFound(path)
    if (this.#entries.get(directory) !== undefined) {
      throw new PrismError("IO_ERROR", `cannot use ${path}: a part of the path is a file, not a folder`, {
        place: path,
      })
    }
  }
}

/** Bytes that grow at their end; capacity doubles, so that n appends copy O(n) bytes. */
class MemoryBytes {
  length = 0
  #bytes = new Uint8Array(0)

  append(bytes: Uint8Array): void {
    const end = this.length + bytes.length
    if (end > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(end, this.#bytes.length * 2, 256))
      grown.set(this.#bytes.subarray(0, this.length))
      this.#bytes = grown
    }
    this.#bytes.set(bytes, this.length)
    this.length = end
  }

  truncate(length: number): void {
    this.length = length
  }

  read(path: string, offset: number, length: number): Uint8Array {
    if (offset + length > this.length) throw truncated(path, offset + length, this.length)
    return this.#bytes.slice(offset, offset + length)
  }
}

class MemoryReadableFile implements ReadableFile {
  readonly path: string
  readonly size: number
  #bytes: MemoryBytes | undefined

  constructor(path: string, bytes: MemoryBytes) {
    this.path = path
    this.size = bytes.length
    this.#bytes = bytes
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (!this.#bytes) throw new PrismError("CLOSED", `${this.path} is closed`, { place: this.path })
    return this.#bytes.read(this.path, offset, length)
  }

  async close(): Promise<void> {
    this.#bytes = undefined
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

class MemoryWritableFile implements WritableFile {
  readonly path: string
  #bytes: MemoryBytes
  #closed = false

  constructor(path: string, bytes: MemoryBytes) {
    this.path = path
    this.#bytes = bytes
  }

  get length(): number {
    return this.#bytes.length
  }

  async append(bytes: Uint8Array): Promise<void> {
    this.#check()
    this.#bytes.append(bytes)
  }

  async appendDurably(bytes: Uint8Array): Promise<void> {
    await this.append(bytes)
  }

  async reserve(): Promise<void> {
    this.#check()
  }

  async rewrite(): Promise<void> {
    this.#check()
  }

  async cut(length: number): Promise<void> {
    this.#check()
    this.#bytes.truncate(length)
  }

  async sync(): Promise<void> {
    this.#check()
  }

  async close(): Promise<void> {
    this.#closed = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #check(): void {
    if (this.#closed) throw new PrismError("CLOSED", `${this.path} is closed`, { place: this.path })
  }
}

function notFound(path: string): PrismError {
  return new PrismError("FILE_NOT_FOUND", `${path} is not there`, { place: path })
}

function exists(path: string): PrismError {
  return new PrismError("FILE_EXISTS", `${path} exists already`, { place: path })
}

/** A file that ends before a read or append needs it to. */
export function truncated(path: string, needed: number, length: number): PrismError {
  return new PrismError("TRUNCATED", `${path} ends at byte ${length}, ${needed} were expected`, { place: path })
}
