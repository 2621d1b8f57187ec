import { decodeUtf8, encodeUtf8, toHex } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import type { Disk, DiskReader, DiskWriter } from "./disk.ts"
import { acquireLock, judgeOwner, LOCK_NAME, type LockFiles, parseOwner, renderOwner } from "./lock-file.ts"
import { truncated } from "./memory-storage.ts"
import { isLockName, joinPath, parentPath, pathNames } from "./path.ts"
import type { ReadableFile, Storage, StorageEntry, StorageHold, StorageLock, WritableFile } from "./storage.ts"
import { attempt, systemError } from "./system-error.ts"

/** A folder of local files as storage, the same on every runtime: the runtime brings the system calls. */
export class LocalStorage implements Storage {
  readonly location: string
  readonly #disk: Disk
  readonly #root: string
  readonly #readOnly: boolean
  /** The folders that opening made, outermost first, where they go with the last of what is in them. */
  readonly #temporary: readonly string[]
  #lock: StorageLock | undefined
  #closed = false

  private constructor(disk: Disk, root: string, readOnly: boolean, temporary: readonly string[]) {
    this.#disk = disk
    this.#root = root
    this.location = root
    this.#readOnly = readOnly
    this.#temporary = temporary
  }

  /** DATA_DIRECTORY_NOT_FOUND where the folder is missing and `create` is not asked for. With `readOnly` nothing but
   *  holds is ever written: READ_ONLY. */
  static async open(
    disk: Disk,
    directory: string,
    options: { create: boolean; removeIfEmpty?: boolean; readOnly?: boolean },
  ): Promise<LocalStorage> {
    const root = disk.resolve(directory)
    const found = await attempt("open", directory, () => disk.stat(root))
    if (found && found.kind !== "directory") {
      throw new PrismError("IO_ERROR", `cannot open ${directory}: it is a file, not a folder`, { place: directory })
    }
    let made: string[] = []
    if (!found) {
      if (!options.create) {
        throw new PrismError("DATA_DIRECTORY_NOT_FOUND", `the data folder ${directory} is not there`, {
          place: directory,
        })
      }
      made = await attempt("make the folder", directory, () => makeDirectories(disk, root))
    }
    return new LocalStorage(disk, root, options.readOnly ?? false, options.removeIfEmpty ? made : [])
  }

  async read(path: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    await using file = await this.open(path)
    return await file.read(range?.offset ?? 0, range?.length ?? file.size)
  }

  async open(path: string): Promise<ReadableFile> {
    const place = this.#place(path)
    const reader = await attempt("open", place, () => this.#disk.openRead(place))
    return new LocalReadableFile(place, reader)
  }

  async size(path: string): Promise<number | undefined> {
    const place = this.#place(path)
    const found = await attempt("look at", place, () => this.#disk.stat(place))
    return found?.kind === "file" ? found.size : undefined
  }

  async list(directory: string): Promise<StorageEntry[]> {
    const place = this.#place(directory)
    const entries: StorageEntry[] = []
    const names = await attempt("list", place, async () => {
      try {
        return await this.#disk.list(place)
      } catch (error) {
        if (isCode(error, "ENOENT")) return []
        throw error
      }
    })
    // A link, socket or device is nothing that the storage made, nor is the lock a part of what it holds.
    for (const { name, kind } of names) {
      if (kind === "other" || (directory === "" && isLockName(name))) continue
      entries.push({ name, kind })
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  async create(path: string): Promise<WritableFile> {
    const place = this.#writablePlace(path)
    const writer = await attempt("make", place, () => this.#disk.createExclusive(place))
    return new LocalWritableFile(place, writer, 0)
  }

  async append(path: string, length: number): Promise<WritableFile> {
    const place = this.#writablePlace(path)
    const size = (await attempt("open", place, () => this.#disk.stat(place)))?.size ?? 0
    if (size < length) throw truncated(place, length, size)
    const writer = await attempt("open", place, () => this.#disk.openAppend(place, length))
    const file = new LocalWritableFile(place, writer, length)
    // The cut must reach the disk before anything new does: otherwise a crash could show old bytes behind new ones.
    if (size > length) {
      try {
        await file.sync()
      } catch (error) {
        await file.close()
        throw error
      }
    }
    return file
  }

  async rename(from: string, to: string): Promise<void> {
    const source = this.#writablePlace(from)
    const target = this.#writablePlace(to)
    assert(from !== "" && to !== "", "the root of a storage has no name")
    await attempt("rename", source, async () => {
      // The system replaces an empty folder silently, and refuses with different codes otherwise.
      const moved = await this.#disk.stat(source)
      const replaced = await this.#disk.stat(target)
      if (replaced && (moved?.kind === "directory" || replaced.kind === "directory")) {
        throw new PrismError("FILE_EXISTS", `cannot rename ${source}: ${target} exists already`, { place: target })
      }
      await this.#disk.rename(source, target)
    })
  }

  async remove(path: string): Promise<void> {
    const place = this.#writablePlace(path)
    // Some runtimes remove an empty folder too when they are asked to unlink it.
    if ((await attempt("look at", place, () => this.#disk.stat(place)))?.kind === "directory") {
      throw new PrismError("IO_ERROR", `cannot remove ${place}: it is a folder`, { place })
    }
    await attempt("remove", place, () => unlinkIfThere(this.#disk, place))
  }

  async makeDirectory(path: string): Promise<void> {
    const place = this.#writablePlace(path)
    await attempt("make the folder", place, () => makeDirectories(this.#disk, place))
  }

  async removeDirectory(path: string): Promise<void> {
    assert(path !== "", "the root of a storage stays")
    const place = this.#writablePlace(path)
    const found = await attempt("remove", place, () => this.#disk.stat(place))
    if (!found) return
    if (found.kind !== "directory") {
      throw new PrismError("IO_ERROR", `cannot remove ${place}: it is a file, not a folder`, { place })
    }
    await attempt("remove", place, () => this.#disk.removeTree(place))
  }

  async syncDirectory(path: string): Promise<void> {
    const place = this.#writablePlace(path)
    await attempt("sync", place, () => this.#disk.syncDirectory(place))
  }

  async lock(): Promise<StorageLock> {
    const place = this.#writablePlace("")
    const nonce = randomHex()
    const unlock = await attempt("lock", place, () => acquireLock(lockFiles(this.#disk, place, nonce), place, nonce))
    let held = true
    const release = async () => {
      if (!held) return
      held = false
      if (this.#lock === lock) this.#lock = undefined
      await attempt("unlock", place, unlock)
    }
    const assertHeld = async () => {}
    const lock: StorageLock = { release, assertHeld, [Symbol.asyncDispose]: release }
    this.#lock = lock
    return lock
  }

  async hold(path: string, content: string): Promise<StorageHold> {
    const place = this.#place(path)
    await attempt("make the folder of", place, () => makeDirectories(this.#disk, this.#place(parentPath(path))))
    await attempt("make", place, async () => {
      const owner = renderOwner({ ...(await this.#disk.self()), nonce: randomHex() })
      await writeExclusive(this.#disk, place, encodeUtf8(owner + content))
    })
    const release = () => attempt("remove", place, () => unlinkIfThere(this.#disk, place))
    return { release, [Symbol.asyncDispose]: release }
  }

  async held(directory: string): Promise<{ name: string; content: string }[]> {
    const held: { name: string; content: string }[] = []
    const files = lockFiles(this.#disk, this.#place(""), "")
    for (const { name, kind } of await this.list(directory)) {
      if (kind !== "file") continue
      const path = joinPath(directory, name)
      const text = decodeUtf8(await this.read(path))
      const end = text.indexOf("\n")
      const owner = parseOwner(text.slice(0, end + 1))
      const liveness = owner && (await judgeOwner(files, await this.#disk.self(), owner))
      if (liveness === "dead") await unlinkIfThere(this.#disk, this.#place(path)).catch(() => undefined)
      else held.push({ name, content: text.slice(end + 1) })
    }
    return held
  }

  async freeBytes(): Promise<number | undefined> {
    const place = this.#place("")
    return await attempt("look at", place, () => this.#disk.freeBytes(place))
  }

  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#lock?.release()
    if (this.#temporary.length > 0) await this.#removeEmptyFolders()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** rmdir(2) takes only an empty folder away: whatever somebody put there stays, and the folders that it lies in. */
  async #removeEmptyFolders(): Promise<void> {
    const entries = await this.#disk.list(this.#root).catch(() => [])
    const inner = entries
      .filter(({ kind }) => kind === "directory")
      .map(({ name }) => this.#disk.join(this.#root, name))
    for (const path of [...inner, ...this.#temporary.toReversed()]) {
      await this.#disk.removeDirectory(path).catch(() => undefined)
    }
  }

  /** The system's path, to change something there. */
  #writablePlace(path: string): string {
    const place = this.#place(path)
    if (this.#readOnly)
      throw new PrismError("READ_ONLY", `${place}: the data folder is open to be read only`, { place })
    return place
  }

  /** The system's path. */
  #place(path: string): string {
    if (this.#closed) throw new PrismError("CLOSED", "the storage is closed")
    return pathNames(path).reduce((place, name) => this.#disk.join(place, name), this.#root)
  }
}

class LocalReadableFile implements ReadableFile {
  readonly path: string
  readonly size: number
  #reader: DiskReader | undefined

  constructor(path: string, reader: DiskReader) {
    this.path = path
    this.size = reader.size
    this.#reader = reader
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const reader = this.#reader
    if (!reader) throw closed(this.path)
    const bytes = new Uint8Array(length)
    const count = await attempt("read", this.path, () => reader.read(bytes, offset))
    if (count < length) throw truncated(this.path, offset + length, offset + count)
    return bytes
  }

  async close(): Promise<void> {
    const reader = this.#reader
    this.#reader = undefined
    await attempt("close", this.path, async () => await reader?.close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

class LocalWritableFile implements WritableFile {
  readonly path: string
  #length: number
  #writer: DiskWriter | undefined

  constructor(path: string, writer: DiskWriter, length: number) {
    this.path = path
    this.#writer = writer
    this.#length = length
  }

  get length(): number {
    return this.#length
  }

  async append(bytes: Uint8Array): Promise<void> {
    const writer = this.#writer
    if (!writer) throw closed(this.path)
    await attempt("write", this.path, () => writer.write(bytes))
    this.#length += bytes.length
  }

  async appendDurably(bytes: Uint8Array): Promise<void> {
    await this.append(bytes)
    await this.sync()
  }

  async reserve(_byteLength: number): Promise<void> {}

  async sync(): Promise<void> {
    const writer = this.#writer
    if (!writer) throw closed(this.path)
    await attempt("sync", this.path, () => writer.sync())
  }

  async close(): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await attempt("close", this.path, async () => await writer?.close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** Makes a folder and those above it that are missing, each durable. Returns those that it made, outermost first. */
export async function makeDirectories(disk: Disk, path: string): Promise<string[]> {
  const found = await disk.stat(path)
  if (found?.kind === "directory") return []
  if (found) throw new PrismError("FILE_EXISTS", `${path} is a file, not a folder`, { place: path })
  const parent = disk.parent(path)
  const made = parent === path ? [] : await makeDirectories(disk, parent)
  try {
    await disk.makeDirectory(path)
    made.push(path)
  } catch (error) {
    // Another process may have been quicker.
    if (!isCode(error, "EEXIST") || (await disk.stat(path))?.kind !== "directory") throw error
  }
  await disk.syncDirectory(parent)
  return made
}

export async function unlinkIfThere(disk: Disk, path: string): Promise<void> {
  try {
    await disk.unlink(path)
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error
  }
}

export function isCode(error: unknown, code: string): boolean {
  return (error as { code?: unknown } | null)?.code === code
}

/** Whether `link` failed because the file system has none, as FAT. */
export function isWithoutLinks(error: unknown): boolean {
  return ["EPERM", "ENOTSUP", "EOPNOTSUPP", "ENOSYS"].some((code) => isCode(error, code))
}

/** 128 random bits: a name or nonce that nobody else has. */
export function randomHex(): string {
  return toHex(crypto.getRandomValues(new Uint8Array(16)))
}

function closed(path: string): PrismError {
  return new PrismError("CLOSED", `${path} is closed`, { place: path })
}

async function writeExclusive(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const writer = await disk.createExclusive(path)
  try {
    await writer.write(bytes)
  } finally {
    await writer.close()
  }
}

// A lock file larger than this is not one of ours.
const LOCK_BYTES_MAX = 4096

function lockFiles(disk: Disk, root: string, nonce: string): LockFiles {
  const temporary = disk.join(root, `${LOCK_NAME}.new-${nonce}`)
  return {
    async publish(name, text) {
      const target = disk.join(root, name)
      const bytes = encodeUtf8(text)
      for (;;) {
        await unlinkIfThere(disk, temporary)
        await writeExclusive(disk, temporary, bytes)
        try {
          // A link, and not a rename, because a rename would replace.
          await disk.link(temporary, target)
          return true
        } catch (error) {
          if (isCode(error, "EEXIST")) return false
          if (isWithoutLinks(error)) break
          // The holder of the lock cleans up what it finds; then it was ours. Begin again.
          if (!isCode(error, "ENOENT")) throw systemError(error, "link", temporary)
        } finally {
          await unlinkIfThere(disk, temporary)
        }
      }
      // A file system without links shows the file for a moment before its content: whoever looks then finds it locked.
      try {
        await writeExclusive(disk, target, bytes)
        return true
      } catch (error) {
        if (isCode(error, "EEXIST")) return false
        throw error
      }
    },
    async read(name) {
      let reader: DiskReader
      try {
        reader = await disk.openRead(disk.join(root, name))
      } catch (error) {
        if (isCode(error, "ENOENT")) return undefined
        throw error
      }
      try {
        const bytes = new Uint8Array(LOCK_BYTES_MAX)
        return new TextDecoder().decode(bytes.subarray(0, await reader.read(bytes, 0)))
      } finally {
        await reader.close()
      }
    },
    rename: (from, to) => disk.rename(disk.join(root, from), disk.join(root, to)),
    remove: (name) => unlinkIfThere(disk, disk.join(root, name)),
    async leftovers() {
      const names = (await disk.list(root)).map((entry) => entry.name)
      return names.filter((name) => name.startsWith(`${LOCK_NAME}.`))
    },
    self: () => disk.self(),
    findProcess: (pid) => disk.findProcess(pid),
  }
}
