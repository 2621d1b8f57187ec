import { assert, PrismError } from "../base/errors.ts"
import { closest } from "../base/similar.ts"
import type { Runtime } from "../runtime.ts"
import { MemoryStorage } from "../storage/memory-storage.ts"
import type { Storage, StorageLock } from "../storage/storage.ts"
import {
  type RestoreOptions,
  type RestoreReport,
  restorePortable,
  type VerifyOptions,
  type VerifyReport,
  verifyArchive,
} from "./archive.ts"
import { Collection, type CollectionStats } from "./collection.ts"
import { checkCollectionName, parseSchema, type Schema } from "./schema.ts"
import { CollectionWriter } from "./writer.ts"

/** Live collections. Their folder is their name. */
const COLLECTIONS = "collections"
/** Collections that are being made: a restore that is not verified yet. Whatever is here at start-up is removed. */
const STAGING = "staging"
/** Collections on their way out: deleted, or about to be replaced by a staged one. */
const TRASH = "trash"

export interface CollectionSummary {
  readonly name: string
  readonly document_count: number
  /** Bytes on disk. */
  readonly size_bytes: number
  readonly backends: CollectionStats["backends"]
}

/** All collections of one storage, under its lock: one process at a time. */
export class Prism implements AsyncDisposable {
  readonly #storage: Storage
  readonly #runtime: Pick<Runtime, "createSha256">
  readonly #lock: StorageLock
  readonly #open = new Map<string, Promise<Collection>>()
  #stagingNumber = 0
  #closed = false

  private constructor(storage: Storage, runtime: Pick<Runtime, "createSha256">, lock: StorageLock) {
    this.#storage = storage
    this.#runtime = runtime
    this.#lock = lock
  }

  /** Takes the storage's lock and clears away what a crash left. LOCKED while another process has it. The storage is
   *  closed with the Prism, also when this fails. */
  static async openStorage(storage: Storage, runtime: Pick<Runtime, "createSha256">): Promise<Prism> {
    let lock: StorageLock | undefined
    try {
      lock = await storage.lock()
      for (const folder of [COLLECTIONS, STAGING, TRASH]) await storage.makeDirectory(folder)
      await recoverFolders(storage)
      return new Prism(storage, runtime, lock)
    } catch (error) {
      await lock?.release()
      await storage.close()
      throw error
    }
  }

  /** Makes an empty collection. `schema` is YAML, JSON, or an object of the same shape; its `collection`, where given,
   *  must be `name`. INVALID_NAME, INVALID_SCHEMA, COLLECTION_EXISTS. */
  async createCollection(name: string, schema: string | object): Promise<Collection> {
    this.#assertOpen()
    checkCollectionName(name)
    const parsed = parseSchema(schema, { from: "user" })
    if (await this.#exists(name)) throw exists(name)
    const staged = await this.#stage(parsed)
    try {
      await this.#publish(staged, name)
    } catch (error) {
      await this.#discard(staged)
      throw error
    }
    return await this.collection(name)
  }

  /** The collection of that name, opened at its first use. COLLECTION_NOT_FOUND suggests a similar name. */
  async collection(name: string): Promise<Collection> {
    this.#assertOpen()
    checkCollectionName(name)
    let opening = this.#open.get(name)
    if (!opening) {
      opening = this.#openCollection(name)
      this.#open.set(name, opening)
      // A failed opening is not remembered: the next call tries again.
      opening.catch(() => this.#open.delete(name))
    }
    return await opening
  }

  /** Sorted by name. */
  async collectionNames(): Promise<string[]> {
    this.#assertOpen()
    const entries = await this.#storage.list(COLLECTIONS)
    return entries
      .filter(({ kind }) => kind === "directory")
      .map(({ name }) => name)
      .sort()
  }

  async listCollections(): Promise<CollectionSummary[]> {
    const summaries: CollectionSummary[] = []
    for (const name of await this.collectionNames()) {
      const { document_count, size_bytes, backends } = await (await this.collection(name)).stats()
      summaries.push({ name, document_count, size_bytes, backends })
    }
    return summaries
  }

  /** Deletes a collection with its data. COLLECTION_NOT_FOUND. */
  async deleteCollection(name: string): Promise<void> {
    this.#assertOpen()
    checkCollectionName(name)
    if (!(await this.#exists(name))) throw await this.#notFound(name)
    await this.#unload(name)
    const trash = `${TRASH}/${this.#unique()}`
    await this.#moveDurably(`${COLLECTIONS}/${name}`, trash)
    await this.#storage.removeDirectory(trash)
  }

  /** Reads a portable archive into a collection, which appears whole or not at all: it is staged beside the live data,
   *  verified, then renamed into place. */
  async restore(source: ReadableStream<Uint8Array>, options: RestoreOptions = {}): Promise<RestoreReport> {
    this.#assertOpen()
    const mode = options.mode ?? "fail"
    let staged: string | undefined
    try {
      const restored = await restorePortable(source, options, {
        createSha256: this.#runtime.createSha256,
        begin: async (name, schema) => {
          checkCollectionName(name)
          const there = await this.#exists(name)
          if (there && mode === "fail")
            throw exists(name, "give another name with --target-collection, or --replace or --merge")
          if (there && mode === "merge") (await this.collection(name)).assertSameSchema(schema)
          staged = await this.#stage(schema)
          return await Collection.open(name, {
            storage: this.#storage,
            directory: staged,
            createSha256: this.#runtime.createSha256,
            durable: false,
          })
        },
      })
      const name = restored.report.collection
      assert(staged !== undefined, "a restore ends without having begun")
      const segments = await restored.staged.sealAndClose()
      if (mode === "merge" && (await this.#exists(name))) {
        await (await this.collection(name)).adopt(staged, segments)
        await this.#storage.removeDirectory(staged)
      } else await this.#publish(staged, name, mode === "replace")
      return restored.report
    } catch (error) {
      if (staged !== undefined) await this.#discard(staged)
      throw error
    }
  }

  /** Checks an archive whole without restoring it. */
  async verify(source: ReadableStream<Uint8Array>, options: VerifyOptions = {}): Promise<VerifyReport> {
    return await verifyArchive(source, options, this.#runtime.createSha256)
  }

  /** Closes every collection, then gives the lock back. */
  async close(): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    const failures: unknown[] = []
    for (const opening of this.#open.values()) {
      try {
        await (await opening).close()
      } catch (error) {
        failures.push(error)
      }
    }
    this.#open.clear()
    await this.#lock.release()
    await this.#storage.close()
    if (failures.length > 0) throw failures[0]
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  async #openCollection(name: string): Promise<Collection> {
    if (!(await this.#exists(name))) throw await this.#notFound(name)
    return await Collection.open(name, {
      storage: this.#storage,
      directory: `${COLLECTIONS}/${name}`,
      createSha256: this.#runtime.createSha256,
      durable: true,
    })
  }

  /** Writes an empty collection into a staging folder. */
  async #stage(schema: Schema): Promise<string> {
    const directory = `${STAGING}/${this.#unique()}`
    const files = { storage: this.#storage, directory, createSha256: this.#runtime.createSha256, durable: false }
    try {
      await CollectionWriter.create(files, schema.source)
      return directory
    } catch (error) {
      await this.#discard(directory)
      throw error
    }
  }

  /** Makes a staged collection the live one of that name. Its files are synced already; renames and folders follow. */
  async #publish(staged: string, name: string, replace = false): Promise<void> {
    const live = `${COLLECTIONS}/${name}`
    await this.#unload(name)
    const there = await this.#exists(name)
    if (there && !replace) throw exists(name)
    // A crash between the two renames leaves the old collection in the trash under its name: start-up puts it back.
    const replaced = `${TRASH}/${REPLACED_PREFIX}${name}`
    if (there) {
      await this.#moveDurably(live, replaced)
    }
    try {
      await this.#storage.rename(staged, live)
    } catch (error) {
      if (there) await this.#storage.rename(replaced, live)
      throw error
    }
    await this.#storage.syncDirectory(COLLECTIONS)
    if (there) await removeReplaced(this.#storage, name, this.#unique())
  }

  /** Moves a folder out of the live ones. A rename changes two folders, and both must know it. */
  async #moveDurably(live: string, trash: string): Promise<void> {
    await this.#storage.rename(live, trash)
    await this.#storage.syncDirectory(TRASH)
    await this.#storage.syncDirectory(COLLECTIONS)
  }

  /** Removes a folder after an error. Where that fails too, the next start removes it; the first error is the one to tell. */
  async #discard(directory: string): Promise<void> {
    await this.#storage.removeDirectory(directory).catch(() => undefined)
  }

  async #unload(name: string): Promise<void> {
    const opening = this.#open.get(name)
    if (!opening) return
    this.#open.delete(name)
    await (await opening).close()
  }

  async #exists(name: string): Promise<boolean> {
    return await hasCollection(this.#storage, name)
  }

  async #notFound(name: string): Promise<PrismError> {
    const names = await this.collectionNames()
    const similar = closest(name, names)
    let hint = "there is none yet: create one, or restore an archive"
    if (similar) hint = `did you mean "${similar}"?`
    else if (names.length > 0) hint = `there are: ${names.slice(0, 10).join(", ")}${names.length > 10 ? ", …" : ""}`
    return new PrismError("COLLECTION_NOT_FOUND", `collection "${name}" does not exist`, { place: name, hint })
  }

  #unique(): string {
    return `${Date.now().toString(36)}-${++this.#stagingNumber}`
  }

  #assertOpen(): void {
    if (this.#closed) throw new PrismError("CLOSED", "this Prism is closed", { hint: "open it again" })
  }
}

/** Marks a folder of the trash that is a collection about to be replaced; its name follows. */
const REPLACED_PREFIX = "replaced."

/** True if the folder is there: one that lost its manifest is damaged, not absent. */
async function hasCollection(storage: Storage, name: string): Promise<boolean> {
  return (await storage.list(COLLECTIONS)).some((entry) => entry.kind === "directory" && entry.name === name)
}

/** Removes a collection whose replacement is live. First it loses the name under which it would be put back, durably:
 *  a part of it, left by a crash, must never come back. */
async function removeReplaced(storage: Storage, name: string, unique: string): Promise<void> {
  await storage.rename(`${TRASH}/${REPLACED_PREFIX}${name}`, `${TRASH}/${unique}`)
  await storage.syncDirectory(TRASH)
  await storage.removeDirectory(`${TRASH}/${unique}`)
}

/** Puts back a collection whose replacement did not arrive, then empties staging and trash. */
async function recoverFolders(storage: Storage): Promise<void> {
  for (const { name } of await storage.list(TRASH)) {
    const collection = name.startsWith(REPLACED_PREFIX) ? name.slice(REPLACED_PREFIX.length) : undefined
    if (collection === undefined) await storage.removeDirectory(`${TRASH}/${name}`)
    else if (!(await hasCollection(storage, collection))) {
      await storage.rename(`${TRASH}/${name}`, `${COLLECTIONS}/${collection}`)
      await storage.syncDirectory(COLLECTIONS)
      await storage.syncDirectory(TRASH)
    } else await removeReplaced(storage, collection, `recovered-${collection}`)
  }
  for (const { name } of await storage.list(STAGING)) await storage.removeDirectory(`${STAGING}/${name}`)
}

function exists(name: string, hint = "delete it first, or choose another name"): PrismError {
  return new PrismError("COLLECTION_EXISTS", `collection "${name}" already exists`, { place: name, hint })
}

/** What `Prism` is to a user of one runtime: `Prism.open(directory)` and `Prism.memory()`. */
export function bindPrism(runtime: Runtime) {
  return {
    /** Opens the collections of a folder, which is made where it is missing. LOCKED while another process has it. */
    open: async (directory: string): Promise<Prism> =>
      await Prism.openStorage(await runtime.openStorage(directory, { create: true }), runtime),
    /** Collections in memory: gone when closed. */
    memory: async (): Promise<Prism> => await Prism.openStorage(new MemoryStorage(), runtime),
  }
}
