import { decodeUtf8, encodeUtf8 } from "../../src/base/bytes.ts"
import { assert, PrismError } from "../../src/base/errors.ts"
import { truncated } from "../../src/storage/memory-storage.ts"
import { joinPath, parentPath, pathNames } from "../../src/storage/path.ts"
import type {
  ReadableFile,
  Storage,
  StorageEntry,
  StorageHold,
  StorageLock,
  WritableFile,
} from "../../src/storage/storage.ts"
import { Random } from "./random.ts"

// A machine whose disk keeps what was synced apart from what was not, and fails where it is told to.
//
// A file is bytes, and how many of them are on the disk for sure. A folder is names, twice: as programs see them, and as
// they are on the disk for sure. Each change of names is kept until its folder is synced; after
// a power cut any subset of the changes that are left took place, in their order, and none without an earlier one of the
// same name or the same file. Of the bytes that were not synced any part arrived. So disks may behave by POSIX; journals
// order more than that, and nothing may rely on it.
//
// A rename within a folder took place or did not. A file that moves to another folder gets its new name with the sync of
// that folder and loses the old one with the sync of the other: a crash may leave both. A folder never has two names: the
// sync of either place settles its move.
//
// A sync that fails is worse than none (P. Rebello et al., Can Applications Recover from fsync Failures?, USENIX ATC
// 2020): the bytes count as clean afterwards. They can be read until the machine stops, a later sync succeeds without
// writing them, and then they are gone.

/** What happens to the operation that a fault hits. With the last two the program goes on and is told. */
export type Fault =
  /** The power goes before the operation is done, in the middle of it if it is an append. Every later call fails. */
  | { readonly kind: "stop" }
  /** The same, but only the process dies: the machine goes on, its page cache too. */
  | { readonly kind: "kill" }
  /** Nothing happens, and it fails; what a sync should have written is lost with the power. */
  | { readonly kind: "fail"; readonly code: "DISK_FULL" | "IO_ERROR" }
  /** It fails after it was done; an append only after this part of its bytes, 0 ≤ part ≤ 1. A read just fails. */
  | { readonly kind: "tear"; readonly part: number }

export const CHANGING_OPERATIONS = [
  "create",
  "cut",
  "append",
  "sync",
  "rename",
  "remove",
  "makeDirectory",
  "removeDirectory",
  "syncDirectory",
  "reserve",
  "hold",
  "release",
] as const
export const READING_OPERATIONS = ["read", "open", "size", "list", "held"] as const

export interface Operation {
  /** "cut" is `Storage.append`, which opens a file; "read" is a read of an open file too. */
  readonly kind: (typeof CHANGING_OPERATIONS)[number] | (typeof READING_OPERATIONS)[number]
  readonly path: string
}

/** What the processes of one machine share: its disk and its page cache. */
class Machine {
  readonly root = new Folder()
  /** Decides of each operation whether a fault hits it. */
  faults: ((operation: Operation) => Fault | undefined) | undefined
  /** Turns of the promise queue that an operation takes besides the one that any call does. */
  turns: () => number = () => 0
  /** Bytes of all files together that the disk has room for. */
  capacity = Number.POSITIVE_INFINITY
  usedBytes = 0
  /** A reservation makes no more room than this: it costs as much here as anything that is written. */
  reserveMax = Number.POSITIVE_INFINITY
  operationCount = 0
  stopped = false
  owner: FaultyStorage | undefined
  /** Whether the last owner died. */
  isOrphaned = false
  /** Changes of names that may not be on the disk yet, oldest first. */
  changes: NameChange[] = []

  find(path: string): Folder | File | undefined {
    let at: Folder | File | undefined = this.root
    for (const name of pathNames(path)) at = at instanceof Folder ? at.now.get(name) : undefined
    return at
  }

  folderOf(path: string): Folder {
    const folder = this.find(parentPath(path))
    if (folder instanceof Folder) return folder
    if (folder === undefined) throw notFound(path)
    throw new PrismError("IO_ERROR", `cannot use ${path}: a part of the path is a file, not a folder`, { place: path })
  }

  file(path: string): File {
    const file = this.find(path)
    if (file instanceof File) return file
    if (file) throw new PrismError("IO_ERROR", `cannot open ${path}: it is a folder`, { place: path })
    throw notFound(path)
  }

  change(change: NameChange): void {
    for (const { folder, name, node } of change.names) setName(folder.now, name, node)
    this.changes.push(change)
  }

  /** Brings changes to the disk, and those before them that they need. */
  settle(isDue: (change: NameChange) => boolean): void {
    const due = new Set(this.changes.filter(isDue))
    if (due.size === 0) return
    const touched = new Set<string>()
    for (const change of this.changes.toReversed()) {
      const keys = change.names.flatMap(({ folder, name, node = change.after }) => [
        `${folder.number}/${name}`,
        ...(node ? [`${node.number}`] : []),
      ])
      if (!due.has(change) && !keys.some((key) => touched.has(key))) continue
      due.add(change)
      for (const key of keys) touched.add(key)
    }
    for (const change of this.changes) {
      if (!due.has(change)) continue
      for (const { folder, name, node } of change.names) setName(folder.durable, name, node)
      for (const folder of change.detached ?? []) folder.isDetached = true
    }
    this.changes = this.changes.filter(
      (change) => !due.has(change) && !change.names.every(({ folder }) => folder.isDetached),
    )
  }
}

interface NameChange {
  readonly names: readonly {
    readonly folder: Folder
    readonly name: string
    readonly node: Folder | File | undefined
  }[]
  /** Folder whose sync brings this to the disk. */
  readonly folder: Folder
  /** Another whose sync does so too: the one that a folder moved out of. */
  readonly source?: Folder
  /** Never on the disk without the changes before it that name this file. */
  readonly after?: File
  /** Folders that nobody can reach once this is on the disk. */
  readonly detached?: readonly Folder[]
}

let nodeCount = 0

class Folder {
  readonly number = ++nodeCount
  readonly now = new Map<string, Folder | File>()
  readonly durable = new Map<string, Folder | File>()
  isDetached = false
}

interface Range {
  readonly start: number
  readonly end: number
}

/** A file apart from its names. */
class File {
  readonly number = ++nodeCount
  /** As programs see it. */
  readonly now = new Bytes()
  /** As it is on the disk for sure. */
  readonly durable = new Bytes()
  /** Written since the last sync. */
  dirty: Range[] = []
  /** What failed syncs gave up: part of it may have arrived before they failed. */
  lost: Range[] = []
  /** The process that holds this name, where it is a hold and no more. */
  holder: FaultyStorage | undefined

  get length(): number {
    return this.now.length
  }

  /** Returns by how much the file grew. */
  write(offset: number, bytes: Uint8Array): number {
    const before = this.now.length
    this.now.write(offset, bytes)
    const last = this.dirty.at(-1)
    const end = offset + bytes.length
    if (last?.end === offset) this.dirty[this.dirty.length - 1] = { start: last.start, end }
    else if (bytes.length > 0) this.dirty.push({ start: offset, end })
    return this.now.length - before
  }

  cut(length: number): void {
    const clip = (ranges: readonly Range[]) =>
      ranges.filter(({ start }) => start < length).map(({ start, end }) => ({ start, end: Math.min(end, length) }))
    this.now.cut(length)
    this.durable.cut(length)
    this.dirty = clip(this.dirty)
    this.lost = clip(this.lost)
  }

  /** Durable zeros up to this length. */
  reserve(length: number): void {
    this.now.grow(length)
    this.durable.grow(length)
  }

  sync(): void {
    for (const { start, end } of this.dirty) this.durable.write(start, this.now.read(start, end - start))
    this.dirty = []
  }

  failSync(): void {
    this.lost.push(...this.dirty)
    this.dirty = []
  }

  /** What a power cut leaves: synced bytes, then any part of the others, a prefix in which pages may be zeros because
   *  their data did not arrive. Without randomness nothing that was not synced is left. */
  survivor(random: Random | undefined): File {
    const file = new File()
    file.write(0, this.durable.read(0, this.durable.length))
    if (random) {
      file.now.grow(this.durable.length + random.below(Math.max(0, this.length - this.durable.length) + 1))
      const pageBytes = 1 << (3 + random.below(10))
      const keepSome = ({ start, end }: Range, share: number) => {
        for (let page = start; page < Math.min(end, file.length); page += pageBytes) {
          const stop = Math.min(page + pageBytes, end, file.length)
          if (random.unit() < share) file.now.write(page, this.now.read(page, stop - page))
        }
      }
      for (const range of this.lost) keepSome(range, 0.25)
      for (const range of this.dirty) keepSome(range, 0.75)
    }
    file.durable.write(0, file.now.read(0, file.length))
    file.dirty = []
    return file
  }
}

/** Bytes that grow; capacity doubles. What a cut took away reads as zeros when it is grown over. */
class Bytes {
  length = 0
  #bytes = new Uint8Array(0)

  write(offset: number, bytes: Uint8Array): void {
    this.grow(offset + bytes.length)
    this.#bytes.set(bytes, offset)
  }

  grow(length: number): void {
    if (length > this.#bytes.length) {
      const grown = new Uint8Array(Math.max(length, this.#bytes.length * 2, 256))
      grown.set(this.#bytes.subarray(0, this.length))
      this.#bytes = grown
    }
    this.length = Math.max(this.length, length)
  }

  cut(length: number): void {
    if (length >= this.length) return
    this.#bytes.fill(0, length, this.length)
    this.length = length
  }

  read(offset: number, length: number): Uint8Array {
    return this.#bytes.slice(offset, offset + length)
  }
}

/** One process's view of a machine that can fail.
 *
 *  Every operation that changes something counts as one, over all processes of the machine; `failAt` lets a fault hit one
 *  of them, `faults` any operation, reads too. */
export class FaultyStorage implements Storage {
  readonly location = undefined
  readonly #machine: Machine
  #dead = false
  #closed = false
  #lock: StorageLock | undefined

  constructor()
  constructor(machine: Machine)
  constructor(machine = new Machine()) {
    this.#machine = machine
  }

  /** Begins with what another storage holds, all of it durable. */
  static async from(storage: Storage): Promise<FaultyStorage> {
    const faulty = new FaultyStorage()
    await copyTree(storage, faulty)
    const machine = faulty.#machine
    machine.settle(() => true)
    const sync = (folder: Folder) => {
      for (const node of folder.now.values()) {
        if (node instanceof File) node.sync()
        else sync(node)
      }
    }
    sync(machine.root)
    machine.operationCount = 0
    return faulty
  }

  /** Another process on the same machine. */
  process(): FaultyStorage {
    return new FaultyStorage(this.#machine)
  }

  /** Changing operations so far. */
  get operationCount(): number {
    return this.#machine.operationCount
  }

  /** The fault hits the changing operation with this number, counted from 0 and from now on. */
  failAt(operation: number, fault: Fault): void {
    const at = this.#machine.operationCount + operation
    this.#machine.faults = ({ kind }) =>
      this.#machine.operationCount - 1 === at && isChanging(kind) ? fault : undefined
  }

  /** Asked before each operation, of all processes; replaces `failAt`. */
  set faults(faults: ((operation: Operation) => Fault | undefined) | undefined) {
    this.#machine.faults = faults
  }

  /** How many turns of the promise queue each operation takes more: other orders of what goes on at the same time. */
  set turns(turns: () => number) {
    this.#machine.turns = turns
  }

  /** Bytes that the disk has room for, all files together; more than `usedBytes` once there is room again. */
  set capacity(bytes: number) {
    this.#machine.capacity = bytes
  }

  /** Bytes that a reservation makes room for at most. */
  set reserveMax(bytes: number) {
    this.#machine.reserveMax = bytes
  }

  get usedBytes(): number {
    return this.#machine.usedBytes
  }

  /** Syncs a file that is open no more, where it is still there. */
  async syncFile(path: string): Promise<void> {
    await this.#operation({ kind: "sync", path }, () => {
      const file = this.#machine.find(path)
      if (file instanceof File) file.sync()
    })
  }

  /** What programs see of a file now, without an operation. */
  peek(path: string): Uint8Array | undefined {
    const file = this.#machine.find(path)
    return file instanceof File ? file.now.read(0, file.length) : undefined
  }

  get isStopped(): boolean {
    return this.#machine.stopped
  }

  get isDead(): boolean {
    return this.#dead || this.#machine.stopped
  }

  /** The process dies: its lock and what it holds count no more, every later call of it fails. Nothing else is lost. */
  kill(): void {
    this.#dead = true
    if (this.#machine.owner !== this) return
    this.#machine.owner = undefined
    this.#machine.isOrphaned = true
  }

  /** The machine loses power: what is left, as a machine of its own. Without a seed everything that was not synced is
   *  gone; with one, any part of it is there. Every later call of this one fails. */
  async crash(seed?: number): Promise<FaultyStorage> {
    const machine = this.#machine
    machine.stopped = true
    const random = seed === undefined ? undefined : new Random(seed)
    machine.settle(() => random !== undefined && random.below(2) === 0)
    const left = new Machine()
    left.isOrphaned = machine.isOrphaned || machine.owner !== undefined
    const copy = (from: Folder, to: Folder) => {
      // By name, so that the same seed always leaves the same.
      const names = new Map(from.durable)
      // What was never meant to be durable may have come to the disk all the same.
      for (const [name, node] of random ? from.now : []) {
        if (!names.has(name) && isHold(node) && random?.below(2) === 0) names.set(name, node)
      }
      for (const [name, node] of [...names].sort(([a], [b]) => (a < b ? -1 : 1))) {
        const survivor = node instanceof File ? node.survivor(random) : new Folder()
        to.now.set(name, survivor)
        to.durable.set(name, survivor)
        if (survivor instanceof File) left.usedBytes += survivor.length
        else copy(node as Folder, survivor)
      }
    }
    copy(machine.root, left.root)
    return new FaultyStorage(left)
  }

  async read(path: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    return await this.#operation({ kind: "read", path }, () => {
      const file = this.#machine.file(path)
      return readExactly(file, path, range?.offset ?? 0, range?.length ?? file.length)
    })
  }

  async open(path: string): Promise<ReadableFile> {
    const file = await this.#operation({ kind: "open", path }, () => this.#machine.file(path))
    let isOpen = true
    const close = async () => {
      isOpen = false
    }
    const read = async (offset: number, length: number) => {
      if (!isOpen) throw new PrismError("CLOSED", `${path} is closed`, { place: path })
      return await this.#operation({ kind: "read", path }, () => readExactly(file, path, offset, length), {
        isOpen: true,
      })
    }
    return { path, size: file.length, read, close, [Symbol.asyncDispose]: close }
  }

  async size(path: string): Promise<number | undefined> {
    return await this.#operation({ kind: "size", path }, () => {
      const file = this.#machine.find(path)
      return file instanceof File ? file.length : undefined
    })
  }

  async list(directory: string): Promise<StorageEntry[]> {
    return await this.#operation({ kind: "list", path: directory }, () => {
      const folder = this.#machine.find(directory)
      if (!(folder instanceof Folder)) return []
      return [...folder.now]
        .map(([name, node]): StorageEntry => ({ name, kind: node instanceof File ? "file" : "directory" }))
        .sort((a, b) => (a.name < b.name ? -1 : 1))
    })
  }

  async create(path: string): Promise<WritableFile> {
    const file = await this.#operation({ kind: "create", path }, () => {
      const folder = this.#machine.folderOf(path)
      if (this.#machine.find(path)) throw exists(path)
      this.#needRoom(1, path)
      const file = new File()
      this.#machine.change({ names: [{ folder, name: lastName(path), node: file }], folder })
      return file
    })
    return this.#writable(path, file, 0)
  }

  async append(path: string, length: number): Promise<WritableFile> {
    const file = await this.#operation({ kind: "cut", path }, () => {
      const file = this.#machine.file(path)
      if (file.length < length) throw truncated(path, length, file.length)
      this.#machine.usedBytes -= file.length - length
      // The port promises that the cut is durable.
      file.cut(length)
      return file
    })
    return this.#writable(path, file, length)
  }

  async rename(from: string, to: string): Promise<void> {
    await this.#operation({ kind: "rename", path: from }, () => {
      const machine = this.#machine
      const node = machine.find(from)
      pathNames(to)
      assert(from !== "" && to !== "", "the root of a storage has no name")
      if (!node) throw notFound(from)
      const [source, target] = [machine.folderOf(from), machine.folderOf(to)]
      const replaced = machine.find(to)
      if (replaced && !(replaced instanceof File && node instanceof File)) throw exists(to)
      assert(!to.startsWith(`${from}/`), "a folder cannot move into itself")
      if (replaced instanceof File) machine.usedBytes -= replaced.length
      const gone = { folder: source, name: lastName(from), node: undefined }
      const there = { folder: target, name: lastName(to), node }
      if (node instanceof Folder) machine.change({ names: [gone, there], folder: target, source })
      else if (source === target) machine.change({ names: [gone, there], folder: source })
      else {
        machine.change({ names: [there], folder: target })
        machine.change({ names: [gone], folder: source, after: node })
      }
    })
  }

  async remove(path: string): Promise<void> {
    await this.#operation({ kind: "remove", path }, () => {
      const node = this.#machine.find(path)
      if (!node) return
      if (node instanceof Folder) {
        throw new PrismError("IO_ERROR", `cannot remove ${path}: it is a folder`, { place: path })
      }
      this.#machine.usedBytes -= node.length
      const folder = this.#machine.folderOf(path)
      this.#machine.change({ names: [{ folder, name: lastName(path), node: undefined }], folder })
    })
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#operation({ kind: "makeDirectory", path }, () => {
      let at = this.#machine.root
      for (const name of pathNames(path)) {
        const there = at.now.get(name)
        if (there instanceof File) throw exists(path)
        const folder = there ?? new Folder()
        const inside = at
        at.now.set(name, folder)
        // Durable when it resolves, with what became of that name before.
        this.#machine.settle((change) => change.names.some((one) => one.folder === inside && one.name === name))
        at.durable.set(name, folder)
        at = folder
      }
    })
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#operation({ kind: "removeDirectory", path }, () => {
      assert(path !== "", "the root of a storage stays")
      const machine = this.#machine
      const removed = machine.find(path)
      if (!removed) return
      if (removed instanceof File) {
        throw new PrismError("IO_ERROR", `cannot remove ${path}: it is a file, not a folder`, { place: path })
      }
      const outer = machine.folderOf(path)
      const detached: Folder[] = []
      // Each name in it goes by itself, so that a crash may leave any part; the sync of the outer folder settles all.
      const empty = (folder: Folder) => {
        detached.push(folder)
        for (const [name, node] of [...folder.now]) {
          if (node instanceof Folder) empty(node)
          else machine.usedBytes -= node.length
          machine.change({ names: [{ folder, name, node: undefined }], folder: outer })
        }
      }
      empty(removed)
      const names = [{ folder: outer, name: lastName(path), node: undefined }]
      machine.change({ names, folder: outer, detached })
    })
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#operation({ kind: "syncDirectory", path }, () => {
      const folder = this.#machine.find(path)
      if (!(folder instanceof Folder)) throw notFound(path)
      this.#machine.settle((change) => change.folder === folder || change.source === folder)
    })
  }

  async lock(): Promise<StorageLock> {
    this.#check("")
    const machine = this.#machine
    if (machine.owner) {
      throw new PrismError("LOCKED", "this storage has a writer in a process already", {
        hint: "use the Prism that is open, or close it first",
      })
    }
    machine.owner = this
    const { isOrphaned: isTakeover } = machine
    machine.isOrphaned = false
    const release = async () => {
      if (this.#lock !== lock) return
      this.#lock = undefined
      if (machine.owner === this) machine.owner = undefined
    }
    const assertHeld = async () => {
      this.#check("", true)
      if (machine.owner !== this) throw new PrismError("LOCK_LOST", "this storage has another writer by now")
    }
    const lock: StorageLock = { isTakeover, release, assertHeld, announce: assertHeld, [Symbol.asyncDispose]: release }
    this.#lock = lock
    return lock
  }

  /** Never durable: a power cut leaves it, as a file that nobody holds, or not. */
  async hold(path: string, content: string): Promise<StorageHold> {
    const file = new File()
    const name = lastName(path)
    const folder = await this.#operation({ kind: "hold", path }, () => {
      let folder = this.#machine.root
      for (const name of pathNames(parentPath(path))) {
        const there = folder.now.get(name) ?? new Folder()
        if (there instanceof File) throw exists(path)
        folder.now.set(name, there)
        folder = there
      }
      if (folder.now.has(name)) throw exists(path)
      this.#needRoom(1, path)
      file.holder = this
      file.write(0, encodeUtf8(content))
      folder.now.set(name, file)
      return folder
    })
    const release = async () => {
      if (file.holder === undefined) return
      file.holder = undefined
      await this.#operation(
        { kind: "release", path },
        () => {
          if (folder.now.get(name) === file) folder.now.delete(name)
        },
        { isOpen: true },
      )
    }
    return { release, [Symbol.asyncDispose]: release }
  }

  async held(directory: string): Promise<{ name: string; content: string }[]> {
    return await this.#operation({ kind: "held", path: directory }, () => {
      const folder = this.#machine.find(directory)
      const held: { name: string; content: string }[] = []
      if (!(folder instanceof Folder)) return held
      for (const [name, file] of folder.now) {
        if (!(file instanceof File)) continue
        if (file.holder === undefined || file.holder.isDead) folder.now.delete(name)
        else held.push({ name, content: decodeUtf8(file.now.read(0, file.length)) })
      }
      return held.sort((a, b) => (a.name < b.name ? -1 : 1))
    })
  }

  async freeBytes(): Promise<number | undefined> {
    const { capacity, usedBytes } = this.#machine
    return Number.isFinite(capacity) ? Math.max(0, capacity - usedBytes) : undefined
  }

  async close(): Promise<void> {
    await this.#lock?.release()
    this.#closed = true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #writable(path: string, file: File, length: number): WritableFile {
    const machine = this.#machine
    let end = length
    let isOpen = true
    const check = () => {
      if (!isOpen) throw new PrismError("CLOSED", `${path} is closed`, { place: path })
    }
    const write = (bytes: Uint8Array) => {
      machine.usedBytes += file.write(end, bytes)
      end += bytes.length
    }
    const append = async (bytes: Uint8Array) => {
      check()
      const tear = (part: number) => write(bytes.subarray(0, Math.floor(bytes.length * part)))
      const whole = () => {
        const room = file.length - end + Math.max(0, machine.capacity - machine.usedBytes)
        write(bytes.subarray(0, room))
        if (room < bytes.length) throw full(path)
      }
      await this.#operation({ kind: "append", path }, whole, { tear, isOpen: true })
    }
    const reserve = async (byteLength: number) => {
      check()
      const whole = () => {
        const to = end + Math.min(byteLength, machine.reserveMax)
        const more = Math.max(0, to - file.length)
        this.#needRoom(more, path)
        file.reserve(to)
        machine.usedBytes += more
      }
      await this.#operation({ kind: "reserve", path }, whole, { isOpen: true })
    }
    const rewrite = async (bytes: Uint8Array, offset: number) => {
      check()
      const tear = (part: number) => file.write(offset, bytes.subarray(0, Math.floor(bytes.length * part)))
      await this.#operation({ kind: "append", path }, () => file.write(offset, bytes), { tear, isOpen: true })
    }
    const cut = async (length: number) => {
      check()
      const whole = () => {
        machine.usedBytes -= file.length - length
        // The port promises that the cut is durable.
        file.cut(length)
        end = length
      }
      await this.#operation({ kind: "cut", path }, whole, { isOpen: true })
    }
    const sync = async () => {
      check()
      await this.#operation({ kind: "sync", path }, () => file.sync(), { fail: () => file.failSync(), isOpen: true })
    }
    const appendDurably = async (bytes: Uint8Array) => {
      await append(bytes)
      await sync()
    }
    const close = async () => {
      isOpen = false
    }
    return {
      path,
      get length() {
        return end
      },
      append,
      appendDurably,
      reserve,
      cut,
      rewrite,
      sync,
      close,
      [Symbol.asyncDispose]: close,
    }
  }

  /** Runs an operation, whole in one turn. `tear` does a part of it; `fail` is what it does when it fails. */
  async #operation<T>(
    operation: Operation,
    run: () => T,
    options: { tear?: (part: number) => void; fail?: () => void; isOpen?: boolean } = {},
  ): Promise<T> {
    const { path, kind } = operation
    const machine = this.#machine
    const { tear, fail, isOpen = false } = options
    this.#check(path, isOpen)
    for (let turns = machine.turns(); turns > 0; turns--) await Promise.resolve()
    this.#check(path, isOpen)
    const changing = isChanging(kind)
    if (changing) machine.operationCount++
    const fault = machine.faults?.(operation)
    if (fault) {
      // An append that is cut short: all of it counts as not synced, and the crash decides what is left.
      if (fault.kind === "fail") fail?.()
      else if (tear) tear(fault.kind === "tear" ? fault.part : 1)
      else if (fault.kind === "tear" && changing) run()
      if (fault.kind === "stop") machine.stopped = true
      if (fault.kind === "kill") this.kill()
      throw new PrismError(fault.kind === "fail" ? fault.code : "IO_ERROR", `${path}: the test made a ${kind} fail`, {
        place: path,
      })
    }
    const result = run()
    for (let turns = machine.turns(); turns > 0; turns--) await Promise.resolve()
    // What is done is done, but nobody is left to hear of it.
    this.#check(path, true)
    return result
  }

  #needRoom(bytes: number, path: string): void {
    if (this.#machine.usedBytes + bytes > this.#machine.capacity) throw full(path)
  }

  /** Files that are open stay so when their storage is closed. */
  #check(path: string, isOpen = false): void {
    if (this.#machine.stopped) throw new PrismError("IO_ERROR", `${path}: the machine has stopped`, { place: path })
    if (this.#dead) throw new PrismError("IO_ERROR", `${path}: the process is dead`, { place: path })
    if (this.#closed && !isOpen) throw new PrismError("CLOSED", "the storage is closed")
    if (!isOpen) pathNames(path)
  }
}

/** Copies all files and folders. */
export async function copyTree(from: Storage, to: Storage, directory = ""): Promise<void> {
  for (const { name, kind } of await from.list(directory)) {
    const path = joinPath(directory, name)
    if (kind === "file") await writeWhole(to, path, await from.read(path))
    else {
      await to.makeDirectory(path)
      await copyTree(from, to, path)
    }
  }
}

/** Makes a file with these bytes. */
export async function writeWhole(storage: Storage, path: string, bytes: Uint8Array): Promise<void> {
  await using file = await storage.create(path)
  await file.append(bytes)
}

/** A held file, or a folder that was made for some. */
function isHold(node: Folder | File): boolean {
  if (node instanceof File) return node.holder !== undefined
  return node.durable.size === 0 && node.now.size > 0 && [...node.now.values()].every(isHold)
}

function isChanging(kind: Operation["kind"]): boolean {
  return (CHANGING_OPERATIONS as readonly string[]).includes(kind)
}

function setName(names: Map<string, Folder | File>, name: string, node: Folder | File | undefined): void {
  if (node) names.set(name, node)
  else names.delete(name)
}

function lastName(path: string): string {
  return path.slice(path.lastIndexOf("/") + 1)
}

function readExactly(file: File, path: string, offset: number, length: number): Uint8Array {
  if (offset + length > file.length) throw truncated(path, offset + length, file.length)
  return file.now.read(offset, length)
}

function full(path: string): PrismError {
  return new PrismError("DISK_FULL", `${path}: the disk of the test is full`, { place: path })
}

function notFound(path: string): PrismError {
  return new PrismError("FILE_NOT_FOUND", `${path} is not there`, { place: path })
}

function exists(path: string): PrismError {
  return new PrismError("FILE_EXISTS", `${path} exists already`, { place: path })
}
