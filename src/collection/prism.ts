import { toHex } from "../base/bytes.ts"
import { type ErrorCode, PrismError } from "../base/errors.ts"
import { settleAll } from "../base/settle.ts"
import { closest } from "../base/similar.ts"
import type { Codecs, Runtime } from "../runtime.ts"
import { BlockCache } from "../storage/block-cache.ts"
import { MemoryStorage } from "../storage/memory-storage.ts"
import type { Storage, StorageLock } from "../storage/storage.ts"
import { checkSource } from "./archive/check-request.ts"
import { openArchive } from "./archive/open-archive.ts"
import type { ArchiveSource, RestoreOptions, RestoreReport, VerifyOptions, VerifyReport } from "./archive/options.ts"
import { restorePortable } from "./archive/portable.ts"
import type { RestoredCollection, RestoreHost } from "./archive/restore-host.ts"
import { select } from "./archive/select.ts"
import { restoreSnapshot } from "./archive/snapshot.ts"
import { spool } from "./archive/spool.ts"
import { verifyArchive } from "./archive/verify.ts"
import { Background } from "./background.ts"
import { Collection, type CollectionStats } from "./collection.ts"
import { type CollectionContext, DEFAULT_TUNING, type Tuning } from "./context.ts"
import { Generations } from "./generations.ts"
import { checkOptions } from "./known-options.ts"
import { checkCollectionName, parseSchema, type Schema } from "./schema.ts"
import type { FieldsOf, SchemaInput } from "./schema-types.ts"

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
  /** Why it cannot be opened; then nothing else is known. */
  readonly error?: { readonly code: ErrorCode; readonly message: string }
}

export interface OpenOptions {
  /** Reads beside a process that may be writing, and writes nothing but the pins that keep what is read. Each collection
   *  is seen as it was when it was first used. */
  readonly readOnly?: boolean
}

type PrismRuntime = Codecs & Pick<Runtime, "startWorker">

/** All collections of one storage, under its lock: one process at a time; or, opened to be read alone, beside it. */
export class Prism implements AsyncDisposable {
  readonly #storage: Storage
  readonly #runtime: PrismRuntime
  /** Undefined where it is read alone. */
  readonly #lock: StorageLock | undefined
  readonly #tuning: Tuning
  readonly #background: Background
  readonly #cache = new BlockCache()
  readonly #tenure = toHex(crypto.getRandomValues(new Uint8Array(4)))
  readonly #open = new Map<string, Collection>()
  /** The last task that each name waits for; see `#inTurn`. */
  readonly #turns = new Map<string, Promise<unknown>>()
  /** Collections that were made, or replaced, by a change that could neither be synced nor undone. */
  readonly #unsure = new Map<string, unknown>()
  /** Staging folders that only the next start may remove. */
  readonly #kept = new Set<string>()
  #stagingNumber = 0
  #closing: Promise<void> | undefined

  private constructor(storage: Storage, runtime: PrismRuntime, lock: StorageLock | undefined, tuning: Tuning) {
    this.#storage = storage
    this.#runtime = runtime
    this.#lock = lock
    this.#tuning = tuning
    this.#background = new Background(runtime, storage)
  }

  /** Takes the storage's lock and clears away what a crash left; not where it is only read. LOCKED while another process
   *  has it. The storage is closed with the Prism, also when this fails. `tuning` is for tests. */
  static async openStorage(
    storage: Storage,
    runtime: PrismRuntime,
    options: OpenOptions & { readonly tuning?: Partial<Tuning> } = {},
  ): Promise<Prism> {
    const tuning = { ...DEFAULT_TUNING, ...options.tuning }
    if (options.readOnly) return new Prism(storage, runtime, undefined, tuning)
    let lock: StorageLock | undefined
    try {
      lock = await storage.lock()
      for (const folder of [COLLECTIONS, STAGING, TRASH]) await storage.makeDirectory(folder)
      // A process that died, or whose sync failed, may have left names that a power cut would still take away: first they
      // are made durable, then something may rest on them.
      for (const folder of [TRASH, COLLECTIONS]) await storage.syncDirectory(folder)
      await recoverFolders(storage)
      return new Prism(storage, runtime, lock, tuning)
    } catch (error) {
      await settleAll([async () => await lock?.release(), () => storage.close()]).catch(() => undefined)
      throw error
    }
  }

  /** Makes an empty collection. `schema` is YAML, JSON, or an object of the same shape; its `collection`, where given,
   *  must be `name`. INVALID_NAME, INVALID_SCHEMA, COLLECTION_EXISTS. */
  async createCollection<const S extends SchemaInput | string>(
    name: string,
    schema: S,
  ): Promise<Collection<FieldsOf<S>>> {
    this.#assertWritable()
    checkCollectionName(name)
    const parsed = parseSchema(schema, { from: "user" })
    return await this.#inTurn(name, async () => {
      if (await this.#exists(name)) throw exists(name)
      const staged = await this.#stage(parsed)
      try {
        await this.#publish(staged, name)
      } catch (error) {
        await this.#discard(staged)
        throw error
      }
      return (await this.#opened(name)) as Collection<FieldsOf<S>>
    })
  }

  /** The collection of that name, opened at its first use and after it was closed. COLLECTION_NOT_FOUND suggests a
   *  similar name. */
  async collection<Fields = Record<string, unknown>>(name: string): Promise<Collection<Fields>> {
    this.#assertOpen()
    checkCollectionName(name)
    const open = this.#open.get(name)
    const collection = open && !open.isClosed ? open : await this.#inTurn(name, () => this.#opened(name))
    return collection as Collection<Fields>
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

  /** Every collection. One that cannot be opened is told with its error, and keeps nobody from the others. */
  async listCollections(): Promise<CollectionSummary[]> {
    const summaries: CollectionSummary[] = []
    for (const name of await this.collectionNames()) {
      const summary = await this.#inTurn(name, async () => {
        // It may have been deleted since the names were read.
        if (!(await this.#exists(name))) return undefined
        try {
          const open = this.#open.get(name)
          const isOpen = open !== undefined && !open.isClosed
          // Looked at, and not kept: a list is no reason to hold every collection in memory.
          const collection = isOpen ? open : await this.#openBeside(name)
          try {
            const { document_count, size_bytes, backends } = await collection.stats()
            return { name, document_count, size_bytes, backends }
          } finally {
            if (!isOpen) await collection.close()
          }
        } catch (error) {
          if (!(error instanceof PrismError)) throw error
          const unknown = { document_count: 0, size_bytes: 0, backends: { text: false, vector: false, graph: false } }
          return { name, ...unknown, error: { code: error.code, message: error.message } }
        }
      })
      if (summary) summaries.push(summary)
    }
    return summaries
  }

  /** Deletes a collection with its data. COLLECTION_NOT_FOUND. */
  async deleteCollection(name: string): Promise<void> {
    this.#assertWritable()
    checkCollectionName(name)
    await this.#inTurn(name, async () => {
      if (!(await this.#exists(name))) throw await this.#notFound(name)
      await this.#unload(name)
      await this.#forgetReplaced(name)
      const trash = `${TRASH}/${this.#unique()}`
      await this.#moveDurably(`${COLLECTIONS}/${name}`, trash)
      await this.#storage.removeDirectory(trash)
    })
  }

  /** Reads an archive of any format into a collection, which appears whole or not at all: it is staged beside the live
   *  data, verified, then renamed into place. With `where` or `ids` it gets those documents alone. */
  async restore(source: ArchiveSource, options: RestoreOptions = {}): Promise<RestoreReport> {
    this.#assertWritable()
    checkOptions("restore", options, RESTORE_OPTIONS)
    checkSource(source, options)
    const { mode = "fail" } = options
    const made: string[] = []
    try {
      const { staged, directory, report } = await this.#restoreStaged(source, options, () => {
        made.push(`${STAGING}/${this.#unique()}`)
        return made.at(-1) as string
      })
      const { collection: name } = report
      let warning = await staged.quotaWarning()
      const segments = await staged.sealAndClose()
      options.signal?.throwIfAborted()
      if (!options.dryRun) {
        await this.#inTurn(name, async () => {
          if (mode === "merge" && (await this.#exists(name))) {
            const collection = await this.#opened(name)
            // Another one may have taken the name while the archive was read.
            collection.assertSameSchema(staged.schema)
            await collection.adopt(directory, segments)
            warning = await collection.quotaWarning()
          } else await this.#publish(directory, name, mode === "replace")
        })
      }
      return warning ? { ...report, warnings: [...report.warnings, warning] } : report
    } finally {
      // What became a collection is not there any more.
      for (const directory of made) await this.#discard(directory)
    }
  }

  async #restoreStaged(
    source: ArchiveSource,
    options: RestoreOptions,
    stage: () => string,
  ): Promise<RestoredCollection> {
    const { mode = "fail", format, keys, sizeBytes, signal } = options
    const storage = this.#storage
    await using archive = await openArchive(source, {
      codecs: this.#runtime,
      format,
      keys,
      sizeBytes,
      signal,
      spool: async (bytes) => await spool(storage, stage(), bytes),
    })
    const host: RestoreHost = {
      codecs: this.#runtime,
      storage,
      tenure: this.#tenure,
      admit: async (name, schema) => {
        checkCollectionName(name)
        if (!(await this.#exists(name))) return
        if (mode === "fail") throw exists(name, "give another name with --target-collection, or --replace or --merge")
        if (mode === "merge") (await this.collection(name)).assertSameSchema(schema)
      },
      stage,
      build: async (task, options) => await this.#background.build(task, options),
      openStaged: async (name, directory) => await Collection.open(name, this.#context(directory, { durable: false })),
    }
    const restore = archive.format === "portable" ? restorePortable : restoreSnapshot
    return await select(await restore(archive, options, host), options)
  }

  /** Checks an archive of any format whole without restoring it. */
  async verify(source: ArchiveSource, options: VerifyOptions = {}): Promise<VerifyReport> {
    checkOptions("verify", options, VERIFY_OPTIONS)
    checkSource(source, options)
    return await verifyArchive(source, options, this.#runtime)
  }

  /** Closes every collection, then gives the lock back. Twice is fine. */
  async close(): Promise<void> {
    this.#closing ??= this.#close()
    await this.#closing
  }

  async #close(): Promise<void> {
    // What moves collections ends first: the lock is for it.
    while (this.#turns.size > 0) await Promise.all(this.#turns.values())
    const collections = [...this.#open.values()]
    this.#open.clear()
    await settleAll([
      ...collections.map((collection) => () => collection.close()),
      () => this.#background.close(),
      async () => await this.#lock?.release(),
      () => this.#storage.close(),
    ])
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Runs what opens, publishes or removes the collection of a name after what does so already: nobody opens a folder
   *  that is on its way out, and of two that want the name one is told. */
  async #inTurn<T>(name: string, task: () => Promise<T>): Promise<T> {
    const run = (this.#turns.get(name) ?? Promise.resolve()).then(async () => {
      this.#assertOpen()
      return await task()
    })
    const turn = run.then(
      () => undefined,
      () => undefined,
    )
    this.#turns.set(name, turn)
    try {
      return await run
    } finally {
      if (this.#turns.get(name) === turn) this.#turns.delete(name)
    }
  }

  /** The open collection of that name; only in its turn. */
  async #opened(name: string): Promise<Collection> {
    const open = this.#open.get(name)
    if (open && !open.isClosed) return open
    this.#open.delete(name)
    // Whoever closed it hears of what fails there; its files are free afterwards.
    await open?.close().catch(() => undefined)
    const collection = await (this.#lock ? this.#openToWrite(name) : this.#openBeside(name))
    this.#open.set(name, collection)
    collection.onClosed(() => {
      if (this.#open.get(name) === collection) this.#open.delete(name)
    })
    return collection
  }

  async #openToWrite(name: string): Promise<Collection> {
    if (!(await this.#exists(name))) throw await this.#notFound(name)
    if (this.#unsure.has(name)) {
      throw new PrismError("READ_ONLY", `it is not sure that the disk knows collection "${name}"`, {
        hint: "open the data folder again: then it is known",
        cause: this.#unsure.get(name),
      })
    }
    return await Collection.open(name, this.#context(`${COLLECTIONS}/${name}`, { durable: true }))
  }

  /** Opens a collection to be read alone, beside a process that may replace its folder meanwhile: so what looks damaged
   *  is looked at again. */
  async #openBeside(name: string): Promise<Collection> {
    for (let attempt = 1; ; attempt++) {
      let directory = `${COLLECTIONS}/${name}`
      if (!(await this.#exists(name))) {
        // In the moment of its replacement it is here.
        directory = `${TRASH}/${REPLACED_PREFIX}${name}`
        if ((await this.#storage.list(directory)).length === 0) throw await this.#notFound(name)
      }
      try {
        return await Collection.openReadOnly(name, this.#context(directory, { durable: true }))
      } catch (error) {
        if (attempt === READ_ATTEMPTS || !(error instanceof PrismError && error.code === "CORRUPT")) throw error
      }
    }
  }

  #context(directory: string, { durable }: { durable: boolean }): CollectionContext {
    const lock = this.#lock
    return {
      storage: this.#storage,
      directory,
      codecs: this.#runtime,
      background: this.#background,
      cache: this.#cache,
      tenure: this.#tenure,
      isTakeover: lock?.isTakeover ?? false,
      assertHeld: async () => await lock?.assertHeld(),
      durable,
      tuning: this.#tuning,
    }
  }

  /** Writes an empty collection into a staging folder. */
  async #stage(schema: Schema): Promise<string> {
    const directory = `${STAGING}/${this.#unique()}`
    try {
      await Generations.create(
        { storage: this.#storage, directory, durable: false, tenure: this.#tenure },
        schema.source,
      )
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
    if (there) await this.#forgetReplaced(name)
    let isRenaming = false
    try {
      if (there) await this.#moveDurably(live, replaced)
      isRenaming = true
      await this.#storage.rename(staged, live)
      await this.#storage.syncDirectory(COLLECTIONS)
    } catch (error) {
      // Nobody may write to what the next power cut may take away. A rename that failed may have happened all the same.
      if (isRenaming && (await this.#exists(name).catch(() => true))) {
        await this.#takeBack(name, live, staged, error)
      }
      // Where the old one cannot be put back either, the next start does it; the first error is the one to tell.
      if (there && !(await this.#exists(name).catch(() => true))) {
        await this.#moveDurably(replaced, live).catch(() => undefined)
      }
      throw error
    }
    this.#unsure.delete(name)
    // The new one is live whatever becomes of the old one: what is left of it goes with the next change.
    if (there) await removeReplaced(this.#storage, name, this.#unique()).catch(() => undefined)
  }

  /** Makes a published folder a staged one again. Until that is durable a power cut may bring it back: it stays whole. */
  async #takeBack(name: string, live: string, staged: string, error: unknown): Promise<void> {
    try {
      await this.#storage.rename(live, staged)
    } catch {
      this.#unsure.set(name, error)
      return
    }
    try {
      await this.#storage.syncDirectory(COLLECTIONS)
    } catch {
      this.#kept.add(staged)
    }
  }

  /** What an earlier replacement could not remove must not come back in place of what goes now. */
  async #forgetReplaced(name: string): Promise<void> {
    const trash = await this.#storage.list(TRASH)
    if (trash.some((entry) => entry.name === REPLACED_PREFIX + name)) {
      await removeReplaced(this.#storage, name, this.#unique())
    }
  }

  /** Moves a folder from the live ones into the trash, or back. A rename changes two folders, and both must know it. */
  async #moveDurably(from: string, to: string): Promise<void> {
    await this.#storage.rename(from, to)
    await this.#storage.syncDirectory(TRASH)
    await this.#storage.syncDirectory(COLLECTIONS)
  }

  /** Removes a folder after an error. Where that fails too, the next start removes it; the first error is the one to tell. */
  async #discard(directory: string): Promise<void> {
    if (this.#kept.has(directory)) return
    await this.#storage.removeDirectory(directory).catch(() => undefined)
  }

  /** Closes a collection that is about to be removed. Its log is not folded: a full disk must not keep anybody from
   *  deleting. What fails here is no reason to keep it either. */
  async #unload(name: string): Promise<void> {
    const open = this.#open.get(name)
    this.#open.delete(name)
    await open?.close({ fold: false }).catch(() => undefined)
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

  #assertWritable(): void {
    this.#assertOpen()
    if (this.#lock) return
    throw new PrismError("READ_ONLY", "this Prism was opened for reading alone", { hint: "open it without readOnly" })
  }

  #assertOpen(): void {
    if (this.#closing) throw new PrismError("CLOSED", "this Prism is closed", { hint: "open it again" })
  }
}

const RESTORE_OPTIONS = [
  ...["target", "mode", "format", "onBadLine", "lineBytesMax", "sizeBytes"],
  ...["keys", "where", "ids", "dryRun", "signal", "onProgress"],
]
const VERIFY_OPTIONS = ["sizeBytes", "keys", "signal", "onProgress"]

/** A collection that looks damaged to a reader so many times in a row is damaged. */
const READ_ATTEMPTS = 3

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
  for (const { name, kind } of await storage.list(TRASH)) {
    if (kind === "file") continue // not ours, and in nobody's way
    const collection = name.startsWith(REPLACED_PREFIX) ? name.slice(REPLACED_PREFIX.length) : undefined
    if (collection === undefined) await storage.removeDirectory(`${TRASH}/${name}`)
    else if (!(await hasCollection(storage, collection))) {
      await storage.rename(`${TRASH}/${name}`, `${COLLECTIONS}/${collection}`)
      await storage.syncDirectory(COLLECTIONS)
      await storage.syncDirectory(TRASH)
    } else await removeReplaced(storage, collection, `recovered-${collection}`)
  }
  for (const { name, kind } of await storage.list(STAGING)) {
    if (kind === "directory") await storage.removeDirectory(`${STAGING}/${name}`)
  }
}

function exists(name: string, hint = "delete it first, or choose another name"): PrismError {
  return new PrismError("COLLECTION_EXISTS", `collection "${name}" already exists`, { place: name, hint })
}

/** What `Prism` is to a user of one runtime: `Prism.open(directory)` and `Prism.memory()`. */
export function bindPrism(runtime: Runtime) {
  return {
    /** Opens the collections of a folder, which is made where it is missing. LOCKED while another process has it, unless
     *  it is to be read alone. */
    open: async (directory: string, options: OpenOptions = {}): Promise<Prism> => {
      checkOptions("Prism.open", options, ["readOnly"])
      const { readOnly = false } = options
      const storage = await runtime.openStorage(directory, { create: !readOnly, readOnly })
      return await Prism.openStorage(storage, runtime, { readOnly })
    },
    /** Collections in memory: gone when closed. */
    memory: async (): Promise<Prism> => await Prism.openStorage(new MemoryStorage(), runtime),
  }
}
