import { decodeUtf8, encodeUtf8, toHex } from "../base/bytes.ts"
import { assert, isDiskFull, PrismError } from "../base/errors.ts"
import { settleAll } from "../base/settle.ts"
import type { Disk, DiskReader, DiskWriter } from "./disk.ts"
import { acquireLock, type HeldLock, LOCK_NAME, type LockFiles, readAnnouncement } from "./lock-file.ts"
import { truncated } from "./memory-storage.ts"
import { type Beat, HEARTBEAT_MS, judge, Pulse, parseOwnerFile, type Witness, watchMs } from "./owner-file.ts"
import { isLockName, joinPath, parentPath, pathNames } from "./path.ts"
import type { ReadableFile, Storage, StorageEntry, StorageHold, StorageLock, WritableFile } from "./storage.ts"
import { attempt } from "./system-error.ts"

export interface LocalStorageOptions {
  readonly create: boolean
  readonly removeIfEmpty?: boolean
  readonly readOnly?: boolean
  /** For tests. All processes that use a folder must agree. */
  readonly heartbeatMs?: number
}

/** A folder of local files as storage, the same on every runtime: the runtime brings the system calls. */
export class LocalStorage implements Storage {
  readonly location: string
  readonly #disk: Disk
  readonly #root: string
  readonly #readOnly: boolean
  /** The folders that opening made, outermost first, where they go with the last of what is in them. */
  readonly #temporary: readonly string[]
  readonly #beatMs: number
  #self: ReturnType<Disk["self"]> | undefined
  #lock: HeldLock | undefined
  /** By path in the system. */
  readonly #holds = new Map<string, Pulse>()
  #stopBeating: (() => void) | undefined
  /** Heartbeats of others whose clock is not known here, and since when they are as they are. */
  readonly #silent = new Map<string, { readonly count: number; readonly sinceMs: number }>()
  #closed = false

  private constructor(disk: Disk, root: string, options: LocalStorageOptions, temporary: readonly string[]) {
    this.#disk = disk
    this.#root = root
    this.location = root
    this.#readOnly = options.readOnly ?? false
    this.#beatMs = options.heartbeatMs ?? HEARTBEAT_MS
    this.#temporary = temporary
  }

  /** DATA_DIRECTORY_NOT_FOUND where the folder is missing and `create` is not asked for. With `readOnly` nothing but
   *  holds is ever written: READ_ONLY. */
  static async open(disk: Disk, directory: string, options: LocalStorageOptions): Promise<LocalStorage> {
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
    return new LocalStorage(disk, root, options, options.removeIfEmpty ? made : [])
  }

  /** What the holder of a folder's lock announces, without taking it: see `Runtime.readAnnouncement`. */
  static async readAnnouncement(
    disk: Disk,
    directory: string,
    heartbeatMs = HEARTBEAT_MS,
  ): Promise<string | undefined> {
    const root = disk.resolve(directory)
    const { clock, findProcess } = disk
    try {
      return await attempt("look at the lock of", directory, async () => {
        const witness = { self: await disk.self(), clock, findProcess, beatMs: heartbeatMs }
        return await readAnnouncement(lockFiles(disk, root, witness))
      })
    } catch (error) {
      // What is not for this user is none for it.
      if (isCode(error, "PERMISSION_DENIED")) return undefined
      throw error
    }
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
    const place = await this.#writable(path)
    const writer = await attempt("make", place, () => this.#disk.createExclusive(place))
    return new LocalWritableFile(place, writer, 0, this.#lock)
  }

  async append(path: string, length: number): Promise<WritableFile> {
    const place = await this.#writable(path)
    const size = (await attempt("open", place, () => this.#disk.stat(place)))?.size ?? 0
    if (size < length) throw truncated(place, length, size)
    const writer = await attempt("open", place, () => this.#disk.openAppend(place, length))
    const file = new LocalWritableFile(place, writer, length, this.#lock)
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
    const source = await this.#writable(from)
    const target = await this.#writable(to)
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
    const place = await this.#writable(path)
    // Some runtimes remove an empty folder too when they are asked to unlink it.
    if ((await attempt("look at", place, () => this.#disk.stat(place)))?.kind === "directory") {
      throw new PrismError("IO_ERROR", `cannot remove ${place}: it is a folder`, { place })
    }
    await attempt("remove", place, () => unlinkIfThere(this.#disk, place))
  }

  async makeDirectory(path: string): Promise<void> {
    const place = await this.#writable(path)
    await attempt("make the folder", place, () => makeDirectories(this.#disk, place))
  }

  async removeDirectory(path: string): Promise<void> {
    assert(path !== "", "the root of a storage stays")
    const place = await this.#writable(path)
    const found = await attempt("remove", place, () => this.#disk.stat(place))
    if (!found) return
    if (found.kind !== "directory") {
      throw new PrismError("IO_ERROR", `cannot remove ${place}: it is a file, not a folder`, { place })
    }
    await attempt("remove", place, () => this.#disk.removeTree(place))
  }

  async syncDirectory(path: string): Promise<void> {
    const place = await this.#writable(path)
    await attempt("sync", place, () => this.#disk.syncDirectory(place))
  }

  async lock(): Promise<StorageLock> {
    const place = this.#writablePlace("")
    const held = await this.#withRoom(() =>
      attempt("lock", place, async () =>
        acquireLock(lockFiles(this.#disk, place, await this.#witness()), place, randomHex),
      ),
    )
    this.#lock = held
    this.#beatFromNowOn()
    const assertHeld = async () => await attempt("look at the lock of", place, async () => await held.check())
    const release = async () =>
      await attempt("unlock", place, async () =>
        // A folder that goes when it is closed must not stay for the sake of its lock.
        this.#release(held, { forget: this.#temporary.length > 0 && (await this.#removeEmptyFolders()) }),
      )
    const announce = async (text: string) => await attempt("write the lock of", place, () => held.announce(text))
    return { isTakeover: held.isTakeover, assertHeld, announce, release, [Symbol.asyncDispose]: release }
  }

  async hold(path: string, content: string): Promise<StorageHold> {
    const place = this.#place(path)
    const folder = this.#place(parentPath(path))
    await attempt("make the folder of", place, () => makeDirectories(this.#disk, folder))
    const pulse = await attempt("make", place, async () => {
      const { pulse, text } = await Pulse.begin(await this.#witness(), randomHex(), content)
      const temporary = `${place}${UNFINISHED}`
      pulse.attach(await makeWhole(this.#disk, temporary, encodeUtf8(text)))
      try {
        // With its whole content at once: a hold that is cut off would not count.
        await renameWithoutReplacing(this.#disk, temporary, place)
      } catch (error) {
        await pulse.end().catch(() => undefined)
        await unlinkIfThere(this.#disk, temporary).catch(() => undefined)
        throw error
      }
      return pulse
    })
    this.#holds.set(place, pulse)
    this.#beatFromNowOn()
    const release = () => attempt("remove", place, () => this.#releaseHold(place, pulse))
    return { release, [Symbol.asyncDispose]: release }
  }

  async held(directory: string): Promise<{ name: string; content: string }[]> {
    const held: { name: string; content: string }[] = []
    const witness = await this.#witness()
    for (const { name, kind } of await this.list(directory)) {
      if (kind !== "file") continue
      const path = joinPath(directory, name)
      const text = await this.read(path).catch((error: unknown) => {
        // Released meanwhile.
        if (isCode(error, "FILE_NOT_FOUND")) return undefined
        throw error
      })
      // Anything else is none of ours, or was never finished.
      const file = text && parseOwnerFile(decodeUtf8(text))
      if (!file) continue
      const place = this.#place(path)
      const liveness = await judge(witness, file)
      if (
        liveness === "dead" ||
        (liveness === "silent" && this.#isSilentForLong(witness, file.owner.nonce, file.beat))
      ) {
        await unlinkIfThere(this.#disk, place).catch(() => undefined)
        this.#silent.delete(file.owner.nonce)
      } else if (!name.endsWith(UNFINISHED)) held.push({ name, content: file.content })
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
    const root = this.#root
    await settleAll([
      ...[...this.#holds].map(
        ([place, pulse]) =>
          () =>
            attempt("remove", place, () => this.#releaseHold(place, pulse)),
      ),
      async () => {
        const forget = this.#temporary.length > 0 && (await this.#removeEmptyFolders())
        if (this.#lock) await attempt("unlock", root, () => this.#release(this.#lock!, { forget }))
        if (forget) await this.#removeEmptyFolders()
      },
    ])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Does what a full disk must not hinder: who cannot lock cannot delete. Room for it is kept in a file. */
  async #withRoom<T>(work: () => Promise<T>): Promise<T> {
    const room = this.#disk.join(this.#root, ROOM_NAME)
    let result: T
    try {
      result = await work()
    } catch (error) {
      if (!isDiskFull(error)) throw error
      await attempt("remove", room, () => unlinkIfThere(this.#disk, room))
      result = await work()
    }
    // Not in a folder that goes when nothing has come into it; and where there is no room now, the next one keeps it.
    if (this.#temporary.length === 0 && !(await this.#disk.stat(room))) {
      await makeWhole(this.#disk, room, new Uint8Array(ROOM_BYTES)).then(
        (file) => file.close(),
        () => undefined,
      )
    }
    return result
  }

  /** rmdir(2) takes only an empty folder away: whatever somebody put there stays, and the folders that it lies in. True
   *  where nothing but the lock is in the way. */
  async #removeEmptyFolders(): Promise<boolean> {
    const list = () => this.#disk.list(this.#root).catch(() => [])
    const inner = (await list()).filter(({ kind }) => kind === "directory")
    for (const { name } of inner) {
      await this.#disk.removeDirectory(this.#disk.join(this.#root, name)).catch(() => undefined)
    }
    const isEmpty = (await list()).every(({ name }) => isLockName(name))
    for (const path of this.#temporary.toReversed()) await this.#disk.removeDirectory(path).catch(() => undefined)
    return isEmpty
  }

  async #release(held: HeldLock, options: { forget?: boolean } = {}): Promise<void> {
    if (this.#lock === held) this.#lock = undefined
    this.#beatNoMore()
    await held.release(options)
  }

  async #releaseHold(place: string, pulse: Pulse): Promise<void> {
    if (!this.#holds.delete(place)) return
    this.#beatNoMore()
    await pulse.end()
    await unlinkIfThere(this.#disk, place)
  }

  #beatFromNowOn(): void {
    this.#stopBeating ??= this.#disk.clock.repeat(this.#beatMs, () => {
      // One that fails is one that is missing.
      this.#lock?.beat().catch(() => undefined)
      for (const pulse of this.#holds.values()) pulse.beat().catch(() => undefined)
    })
  }

  #beatNoMore(): void {
    if (this.#lock || this.#holds.size > 0) return
    this.#stopBeating?.()
    this.#stopBeating = undefined
  }

  async #witness(): Promise<Witness> {
    this.#self ??= this.#disk.self()
    const { clock, findProcess } = this.#disk
    return { self: await this.#self, clock, findProcess, beatMs: this.#beatMs }
  }

  /** Of an owner that nothing here tells of: whether its heartbeat has been the same for so long that it is dead. */
  #isSilentForLong(witness: Witness, nonce: string, beat: Beat): boolean {
    const nowMs = witness.clock.monotonicMs()
    const seen = this.#silent.get(nonce)
    if (seen?.count === beat.count) return nowMs - seen.sinceMs >= watchMs(witness)
    this.#silent.set(nonce, { count: beat.count, sinceMs: nowMs })
    return false
  }

  /** The system's path, to change something there. */
  async #writable(path: string): Promise<string> {
    const place = this.#writablePlace(path)
    const look = this.#lock?.check()
    if (look) await attempt("look at the lock of", this.#root, () => look)
    return place
  }

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

export class LocalReadableFile implements ReadableFile {
  readonly path: string
  readonly size: number
  #reader: DiskReader | undefined

  constructor(path: string, reader: DiskReader) {
    this.path = path
    this.size = reader.size
    this.#reader = reader
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    const bytes = new Uint8Array(length)
    await this.readInto(bytes, offset)
    return bytes
  }

  /** Fills `target` with the bytes from `offset` on. */
  async readInto(target: Uint8Array, offset: number): Promise<void> {
    const reader = this.#reader
    if (!reader) throw closed(this.path)
    const count = await attempt("read", this.path, () => reader.read(target, offset))
    if (count < target.length) throw truncated(this.path, offset + target.length, offset + count)
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
  /** The one under which it was opened. */
  readonly #lock: HeldLock | undefined
  #length: number
  #writer: DiskWriter | undefined

  constructor(path: string, writer: DiskWriter, length: number, lock: HeldLock | undefined) {
    this.path = path
    this.#writer = writer
    this.#length = length
    this.#lock = lock
  }

  get length(): number {
    return this.#length
  }

  async append(bytes: Uint8Array): Promise<void> {
    const writer = this.#open()
    await this.#assertHeld()
    await attempt("write", this.path, () => writer.write(bytes))
    this.#length += bytes.length
  }

  async appendDurably(bytes: Uint8Array): Promise<void> {
    const writer = this.#open()
    await this.#assertHeld()
    await attempt("write", this.path, () => writer.writeDurably(bytes))
    this.#length += bytes.length
    await this.#assertHeld()
  }

  async reserve(byteLength: number): Promise<void> {
    const writer = this.#open()
    await this.#assertHeld()
    await attempt("write", this.path, () => writer.overwrite(new Uint8Array(byteLength), this.#length))
    await attempt("sync", this.path, () => writer.sync())
  }

  async rewrite(bytes: Uint8Array, offset: number): Promise<void> {
    const writer = this.#open()
    await this.#assertHeld()
    await attempt("write", this.path, () => writer.overwrite(bytes, offset))
  }

  async cut(length: number): Promise<void> {
    const writer = this.#open()
    await this.#assertHeld()
    await attempt("cut", this.path, () => writer.cut(length))
    this.#length = length
    await this.sync()
  }

  async sync(): Promise<void> {
    const writer = this.#open()
    await attempt("sync", this.path, () => writer.sync())
    // What was synced before another owner took over, that one has seen.
    await this.#assertHeld()
  }

  async close(): Promise<void> {
    const writer = this.#writer
    this.#writer = undefined
    await attempt("close", this.path, async () => await writer?.close())
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #open(): DiskWriter {
    if (!this.#writer) throw closed(this.path)
    return this.#writer
  }

  async #assertHeld(): Promise<void> {
    const look = this.#lock?.check()
    if (look) await attempt("look at the lock for", this.path, () => look)
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

/** A file that is there only to be removed when the disk is full. */
const ROOM_NAME = `${LOCK_NAME}.room`
/** For a token of the lock, the blocks of folders that grow, and what a file system rounds up. */
const ROOM_BYTES = 64 * 1024

/** Ending of a hold that is being made. */
const UNFINISHED = ".new"

/** A new file with these bytes in it, open; none where that fails. */
async function makeWhole(disk: Disk, path: string, bytes: Uint8Array): Promise<DiskWriter> {
  const writer = await disk.createExclusive(path)
  try {
    await writer.write(bytes)
    return writer
  } catch (error) {
    await writer.close().catch(() => undefined)
    await unlinkIfThere(disk, path).catch(() => undefined)
    throw error
  }
}

/** rename(2) replaces; link(2) does not. Fails with EEXIST where the name is taken. */
export async function renameWithoutReplacing(disk: Disk, from: string, to: string): Promise<void> {
  try {
    await disk.link(from, to)
    await disk.unlink(from)
    return
  } catch (error) {
    if (!isWithoutLinks(error)) throw error
  }
  await claimAndRename(disk, from, to)
}

/** Without links the name is claimed with an empty file of our own first, which may then be replaced. */
async function claimAndRename(disk: Disk, from: string, to: string): Promise<void> {
  await (await disk.createExclusive(to)).close()
  try {
    await disk.rename(from, to)
  } catch (error) {
    await unlinkIfThere(disk, to).catch(() => undefined)
    throw error
  }
}

// A lock file larger than this is not one of ours.
const LOCK_BYTES_MAX = 4096

function lockFiles(disk: Disk, root: string, witness: Witness): LockFiles {
  const at = (name: string) => disk.join(root, name)
  const unless = async <T>(code: string, otherwise: T, call: () => Promise<T>): Promise<T> => {
    try {
      return await call()
    } catch (error) {
      if (isCode(error, code)) return otherwise
      throw error
    }
  }
  return {
    ...witness,
    make: (name, text) => makeWhole(disk, at(name), encodeUtf8(text)),
    link: (from, to) =>
      unless("EEXIST", "taken", () =>
        unless("ENOENT", "gone", async () => {
          try {
            await disk.link(at(from), at(to))
            return "linked"
          } catch (error) {
            if (!isWithoutLinks(error)) throw error
          }
          await claimAndRename(disk, at(from), at(to))
          return "moved"
        }),
      ),
    read: (name) =>
      unless("ENOENT", undefined, async () => {
        const reader = await disk.openRead(at(name))
        try {
          const bytes = new Uint8Array(LOCK_BYTES_MAX)
          return decodeUtf8(bytes.subarray(0, await reader.read(bytes, 0)))
        } finally {
          await reader.close()
        }
      }),
    rename: (from, to) =>
      unless("ENOENT", false, async () => {
        await disk.rename(at(from), at(to))
        return true
      }),
    remove: (name) => unlinkIfThere(disk, at(name)),
    async names() {
      const names = (await disk.list(root)).map((entry) => entry.name)
      return names.filter((name) => name.startsWith(`${LOCK_NAME}.`))
    },
  }
}
