import { PrismError } from "../../base/errors.ts"
import type { EntryPlace } from "../../formats/snapshot.ts"
import type { RandomAccess } from "../../runtime.ts"
import { MemoryStorage } from "../../storage/memory-storage.ts"
import type { ReadableFile } from "../../storage/storage.ts"

/** The entries of a snapshot as files, read where they lie. What else a collection needs is written beside them, in
 *  memory. */
export class ArchiveStorage extends MemoryStorage {
  readonly #tar: RandomAccess
  readonly #entries: ReadonlyMap<string, EntryPlace>

  constructor(tar: RandomAccess, entries: readonly EntryPlace[]) {
    super()
    this.#tar = tar
    this.#entries = new Map(entries.map((entry) => [entry.name, entry]))
  }

  override async open(path: string): Promise<ReadableFile> {
    const entry = this.#entries.get(path)
    return entry ? new EntryFile(path, this.#tar, entry) : await super.open(path)
  }

  override async read(path: string, range?: { readonly offset: number; readonly length: number }): Promise<Uint8Array> {
    if (!this.#entries.has(path)) return await super.read(path, range)
    const file = await this.open(path)
    return await file.read(range?.offset ?? 0, range?.length ?? file.size)
  }

  override async size(path: string): Promise<number | undefined> {
    return this.#entries.get(path)?.size ?? (await super.size(path))
  }
}

class EntryFile implements ReadableFile {
  readonly path: string
  readonly size: number
  readonly #tar: RandomAccess
  readonly #offset: number

  constructor(path: string, tar: RandomAccess, { offset, size }: EntryPlace) {
    this.path = path
    this.size = size
    this.#tar = tar
    this.#offset = offset
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset + length > this.size) {
      throw new PrismError("TRUNCATED", `${this.path} ends at byte ${this.size}`, { place: this.path })
    }
    return await this.#tar.read(this.#offset + offset, length)
  }

  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
