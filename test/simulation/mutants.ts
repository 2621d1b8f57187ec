import type {
  ReadableFile,
  Storage,
  StorageEntry,
  StorageHold,
  StorageLock,
  WritableFile,
} from "../../src/storage/storage.ts"
import type { FaultyStorage } from "../support/faulty-storage.ts"

// Storages that break one rule each, as a program would that forgot it: the simulation must notice.

/** Hands everything on. */
class Passing implements Storage {
  readonly location = undefined
  protected readonly storage: FaultyStorage

  constructor(storage: FaultyStorage) {
    this.storage = storage
  }

  read(path: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    return this.storage.read(path, range)
  }

  open(path: string): Promise<ReadableFile> {
    return this.storage.open(path)
  }

  size(path: string): Promise<number | undefined> {
    return this.storage.size(path)
  }

  list(directory: string): Promise<StorageEntry[]> {
    return this.storage.list(directory)
  }

  async create(path: string): Promise<WritableFile> {
    return this.writable(await this.storage.create(path))
  }

  async append(path: string, length: number): Promise<WritableFile> {
    return this.writable(await this.storage.append(path, length))
  }

  rename(from: string, to: string): Promise<void> {
    return this.storage.rename(from, to)
  }

  remove(path: string): Promise<void> {
    return this.storage.remove(path)
  }

  makeDirectory(path: string): Promise<void> {
    return this.storage.makeDirectory(path)
  }

  removeDirectory(path: string): Promise<void> {
    return this.storage.removeDirectory(path)
  }

  syncDirectory(path: string): Promise<void> {
    return this.storage.syncDirectory(path)
  }

  lock(): Promise<StorageLock> {
    return this.storage.lock()
  }

  hold(path: string, content: string): Promise<StorageHold> {
    return this.storage.hold(path, content)
  }

  held(directory: string): Promise<{ readonly name: string; readonly content: string }[]> {
    return this.storage.held(directory)
  }

  freeBytes(): Promise<number | undefined> {
    return this.storage.freeBytes()
  }

  close(): Promise<void> {
    return this.storage.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** What a sync of a file does here. */
  protected sync(file: WritableFile): Promise<void> {
    return file.sync()
  }

  private writable(file: WritableFile): WritableFile {
    const sync = () => this.sync(file)
    return {
      path: file.path,
      get length() {
        return file.length
      },
      append: (bytes) => file.append(bytes),
      async appendDurably(bytes) {
        await file.append(bytes)
        await sync()
      },
      cut: (length) => file.cut(length),
      rewrite: (bytes, offset) => file.rewrite(bytes, offset),
      reserve: (byteLength) => file.reserve(byteLength),
      sync,
      close: () => file.close(),
      [Symbol.asyncDispose]: () => file.close(),
    }
  }
}

/** A sync that resolves without one. */
class NoSync extends Passing {
  protected override async sync(): Promise<void> {}
}

/** Files are synced only when they, or the manifest that names them, have been renamed. */
class RenameBeforeSync extends Passing {
  #waiting: WritableFile[] = []

  protected override async sync(file: WritableFile): Promise<void> {
    if (file.path.endsWith(".log")) return await file.sync()
    this.#waiting.push(file)
  }

  override async rename(from: string, to: string): Promise<void> {
    await super.rename(from, to)
    for (const file of this.#waiting.splice(0)) await this.storage.syncFile(file.path === from ? to : file.path)
  }
}

/** A writer that removes what it needs no more, whoever reads it. */
class UnpinnedDelete extends Passing {
  override async held(): Promise<{ readonly name: string; readonly content: string }[]> {
    return []
  }
}

/** A sync that failed is tried again until it succeeds. */
class RetriedSync extends Passing {
  protected override async sync(file: WritableFile): Promise<void> {
    while (!this.storage.isDead) {
      try {
        return await file.sync()
      } catch {}
    }
    await file.sync()
  }
}

export const MUTANTS = {
  "no sync": (storage: FaultyStorage): Storage => new NoSync(storage),
  "rename before sync": (storage: FaultyStorage): Storage => new RenameBeforeSync(storage),
  "unpinned delete": (storage: FaultyStorage): Storage => new UnpinnedDelete(storage),
  "a retried sync": (storage: FaultyStorage): Storage => new RetriedSync(storage),
}
