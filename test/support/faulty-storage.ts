import { PrismError } from "../../src/base/errors.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { joinPath, parentPath } from "../../src/storage/path.ts"
import type { ReadableFile, Storage, StorageEntry, StorageLock, WritableFile } from "../../src/storage/storage.ts"
import { Random } from "./random.ts"

/** What happens to the operation that a fault hits. After `stop` the machine is off: every call fails. With the others
 *  the program goes on and is told. */
export type Fault =
  /** The power goes before the operation is done, in the middle of it if it is an append. */
  | { readonly kind: "stop" }
  /** Nothing happens, and it fails. */
  | { readonly kind: "fail"; readonly code: "DISK_FULL" | "IO_ERROR" }
  /** It fails after it was done; an append only after this part of its bytes, 0 ≤ part ≤ 1. */
  | { readonly kind: "tear"; readonly part: number }

/** A file apart from its names. Files only grow, so what is on the disk for sure is a prefix of it. */
interface Inode {
  readonly file: ReadableFile
  length: number
  durableLength: number
}

/** Files by path; a folder is undefined. */
type Tree = Map<string, Inode | undefined>

/** A change of the names in one folder that is not synced yet. */
interface Change {
  readonly directory: string
  readonly apply: (tree: Tree) => void
}

/** A storage in memory that keeps what was synced apart from what was not, and fails where it is told to.
 *
 *  Every operation that changes something counts as one; a fault hits one of them. After `crash` only what the port
 *  promises is left: synced bytes and synced names surely, and of the rest any part, in any order. */
export class FaultyStorage implements Storage {
  readonly #now = new MemoryStorage()
  readonly #tree: Tree = new Map([["", undefined]])
  readonly #durableTree: Tree = new Map([["", undefined]])
  #changes: Change[] = []
  #fault: { readonly at: number; readonly fault: Fault } | undefined
  #stopped = false
  /** Changing operations so far. */
  operationCount = 0

  /** Begins with what another storage holds, all of it durable. */
  static async from(storage: Storage): Promise<FaultyStorage> {
    const faulty = new FaultyStorage()
    await copyTree(storage, faulty.#now)
    const adopt = async (directory: string): Promise<void> => {
      for (const { name, kind } of await faulty.#now.list(directory)) {
        const path = joinPath(directory, name)
        const file = kind === "file" ? await faulty.#now.open(path) : undefined
        const inode = file && { file, length: file.size, durableLength: file.size }
        faulty.#tree.set(path, inode)
        faulty.#durableTree.set(path, inode)
        if (kind === "directory") await adopt(path)
      }
    }
    await adopt("")
    return faulty
  }

  /** The fault hits the changing operation with this number, counted from 0 and from now on. */
  failAt(operation: number, fault: Fault): void {
    this.#fault = { at: this.operationCount + operation, fault }
  }

  /** The machine loses power: what is left, as a storage of its own. Without a seed everything that was not synced is
   *  gone; with one, any part of it is there. Every later call of this one fails. */
  async crash(seed?: number): Promise<MemoryStorage> {
    this.#stopped = true
    const random = seed === undefined ? undefined : new Random(seed)
    const tree: Tree = new Map(this.#durableTree)
    for (const change of this.#changes) if (random && random.below(2) === 0) change.apply(tree)
    const storage = new MemoryStorage()
    const folders = new Set([""])
    for (const [path, inode] of [...tree].sort(([a], [b]) => (a < b ? -1 : 1))) {
      // A folder whose own name is gone has taken with it what was inside.
      if (path === "" || !folders.has(parentPath(path))) continue
      if (!inode) {
        folders.add(path)
        await storage.makeDirectory(path)
      } else await writeWhole(storage, path, await survivingBytes(inode, random))
    }
    return storage
  }

  async read(path: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    this.#checkRunning(path)
    return await this.#now.read(path, range)
  }

  async open(path: string): Promise<ReadableFile> {
    this.#checkRunning(path)
    return await this.#now.open(path)
  }

  async size(path: string): Promise<number | undefined> {
    this.#checkRunning(path)
    return await this.#now.size(path)
  }

  async list(directory: string): Promise<StorageEntry[]> {
    this.#checkRunning(directory)
    return await this.#now.list(directory)
  }

  async create(path: string): Promise<WritableFile> {
    const file = await this.#operation(
      path,
      () => this.#now.create(path),
      () => this.#created(path),
    )
    return this.#writable(file, this.#tree.get(path)!)
  }

  async #created(path: string): Promise<void> {
    const inode = { file: await this.#now.open(path), length: 0, durableLength: 0 }
    this.#tree.set(path, inode)
    this.#change(parentPath(path), (tree) => void tree.set(path, inode))
  }

  async append(path: string, length: number): Promise<WritableFile> {
    const inode = this.#tree.get(path)
    const file = await this.#operation(
      path,
      () => this.#now.append(path, length),
      async () => {
        // The port promises that the cut is durable.
        inode!.length = length
        inode!.durableLength = Math.min(inode!.durableLength, length)
      },
    )
    return this.#writable(file, inode!)
  }

  async rename(from: string, to: string): Promise<void> {
    const apply = (tree: Tree) => {
      // One step, and what lies in a folder that moves is as durable as it was.
      const inside = [...tree].filter(([path]) => path === from || path.startsWith(`${from}/`))
      for (const [path, inode] of inside) {
        tree.delete(path)
        tree.set(to + path.slice(from.length), inode)
      }
    }
    const inode = this.#tree.get(from)
    await this.#operation(
      from,
      () => this.#now.rename(from, to),
      async () => {
        apply(this.#tree)
        // The name of a file may be new itself: then the rename alone brings it to the disk.
        this.#change(parentPath(to), (tree) => {
          if (!tree.has(from)) tree.set(from, inode)
          apply(tree)
        })
      },
    )
  }

  async remove(path: string): Promise<void> {
    await this.#operation(
      path,
      () => this.#now.remove(path),
      async () => {
        this.#tree.delete(path)
        this.#change(parentPath(path), (tree) => void tree.delete(path))
      },
    )
  }

  async makeDirectory(path: string): Promise<void> {
    await this.#operation(
      path,
      () => this.#now.makeDirectory(path),
      async () => {
        for (let at = path; at !== ""; at = parentPath(at)) {
          this.#tree.set(at, undefined)
          this.#durableTree.set(at, undefined)
        }
      },
    )
  }

  async removeDirectory(path: string): Promise<void> {
    await this.#operation(
      path,
      () => this.#now.removeDirectory(path),
      async () => {
        // Each name in it goes by itself, so that a crash may leave any part; the sync of the outer folder settles all.
        for (const name of [...this.#tree.keys()].filter((name) => name === path || name.startsWith(`${path}/`))) {
          this.#tree.delete(name)
          this.#change(parentPath(path), (tree) => void tree.delete(name))
        }
      },
    )
  }

  async syncDirectory(path: string): Promise<void> {
    await this.#operation(
      path,
      () => this.#now.syncDirectory(path),
      async () => {
        for (const change of this.#changes) if (change.directory === path) change.apply(this.#durableTree)
        this.#changes = this.#changes.filter((change) => change.directory !== path)
      },
    )
  }

  async lock(): Promise<StorageLock> {
    this.#checkRunning("")
    return await this.#now.lock()
  }

  async freeBytes(): Promise<number | undefined> {
    return undefined
  }

  async close(): Promise<void> {
    await this.#now.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #writable(file: WritableFile, inode: Inode): WritableFile {
    const append = (bytes: Uint8Array) =>
      this.#operation(
        file.path,
        () => file.append(bytes),
        async () => {
          inode.length += bytes.length
        },
        async (part) => {
          const written = bytes.subarray(0, Math.floor(bytes.length * part))
          await file.append(written)
          inode.length += written.length
        },
      )
    const sync = () =>
      this.#operation(
        file.path,
        () => file.sync(),
        async () => {
          inode.durableLength = inode.length
        },
      )
    const close = () => file.close()
    return {
      path: file.path,
      get length() {
        return inode.length
      },
      append,
      sync,
      close,
      [Symbol.asyncDispose]: close,
    }
  }

  /** Runs a changing operation: `call` does it in memory, `record` notes what of it is durable. `tear` does a part. */
  async #operation<T>(
    path: string,
    call: () => Promise<T>,
    record: () => Promise<void>,
    tear?: (part: number) => Promise<void>,
  ): Promise<T> {
    this.#checkRunning(path)
    const number = this.operationCount++
    const fault = this.#fault?.at === number ? this.#fault.fault : undefined
    if (fault) {
      // An append that the power cuts short: all of it counts as not synced, and the crash decides what is left.
      if (tear && fault.kind !== "fail") await tear(fault.kind === "tear" ? fault.part : 1)
      else if (fault.kind === "tear") {
        await call()
        await record()
      }
      if (fault.kind === "stop") this.#stopped = true
      const code = fault.kind === "fail" ? fault.code : "IO_ERROR"
      throw new PrismError(code, `${path}: the test made operation ${number} fail`, { place: path })
    }
    const result = await call()
    await record()
    return result
  }

  #change(directory: string, apply: (tree: Tree) => void): void {
    this.#changes.push({ directory, apply })
  }

  #checkRunning(path: string): void {
    if (this.#stopped) throw new PrismError("IO_ERROR", `${path}: the machine has stopped`, { place: path })
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

/** Synced bytes, then any part of the others: a prefix in which pages may be zeros because their data did not arrive. */
async function survivingBytes(inode: Inode, random: Random | undefined): Promise<Uint8Array> {
  const { file, length, durableLength } = inode
  const bytes = await file.read(0, random ? durableLength + random.below(length - durableLength + 1) : durableLength)
  if (!random) return bytes
  const pageBytes = 1 << (3 + random.below(10))
  for (let page = durableLength; page < bytes.length; page += pageBytes) {
    if (random.below(4) === 0) bytes.fill(0, page, page + pageBytes)
  }
  return bytes
}
