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
import type {
  ArchiveSource,
  ExportReport,
  RestoreOptions,
  RestoreReport,
  VerifyOptions,
  VerifyReport,
} from "./archive/options.ts"
import { restorePortable } from "./archive/portable.ts"
import type { RestoredCollection, RestoreHost } from "./archive/restore-host.ts"
import { select } from "./archive/select.ts"
import { restoreSnapshot } from "./archive/snapshot.ts"
import { spool } from "./archive/spool.ts"
import { verifyArchive } from "./archive/verify.ts"
import { Background } from "./background.ts"
import { Collection, type CollectionStats } from "./collection.ts"
import { type CollectionContext, DEFAULT_TUNING, type Tuning } from "./context.ts"
import type { AttachOptions, AttachReport, DetachOptions, DetachReport, ReattachOptions } from "./detach-options.ts"
import { copiesOf, copyPath, type DetachedCopy, listDetached, nextCopy, writeRecord } from "./detached.ts"
import { CollectionFolders } from "./folders.ts"
import { Generations } from "./generations.ts"
import { checkOptions } from "./known-options.ts"
import { checkCollectionName, parseSchema, type Schema } from "./schema.ts"
import type { FieldsOf, SchemaInput } from "./schema-types.ts"

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
  readonly #folders: CollectionFolders
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
  /** Collections whose archive is being written before they are detached. */
  readonly #detaching = new Set<string>()
  #closing: Promise<void> | undefined

  private constructor(storage: Storage, runtime: PrismRuntime, lock: StorageLock | undefined, tuning: Tuning) {
    this.#storage = storage
    this.#folders = new CollectionFolders(storage)
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
      const prism = new Prism(storage, runtime, lock, tuning)
      await prism.#folders.recover()
      return prism
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
      if (await this.#folders.exists(name)) throw exists(name)
      const staged = await this.#stage(parsed)
      try {
        await this.#publish(staged, name)
      } catch (error) {
        await this.#folders.discard(staged)
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
    return await this.#folders.names()
  }

  /** Collections that are open now, by name. */
  get openCollections(): readonly Collection[] {
    return [...this.#open.values()].filter(({ isClosed }) => !isClosed).sort((a, b) => (a.name < b.name ? -1 : 1))
  }

  /** Every collection. One that cannot be opened is told with its error, and keeps nobody from the others. */
  async listCollections(): Promise<CollectionSummary[]> {
    const summaries: CollectionSummary[] = []
    for (const name of await this.collectionNames()) {
      const summary = await this.#inTurn(name, async () => {
        // It may have been deleted since the names were read.
        if (!(await this.#folders.exists(name))) return undefined
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
      if (!(await this.#folders.exists(name))) throw await this.#notFound(name)
      this.#assertNotDetaching(name)
      await this.#folders.forgetReplaced(name)
      await this.#unload(name)
      await this.#storage.removeDirectory(await this.#folders.takeOut(name))
    })
  }

  /** Reads an archive of any format into a collection, which appears whole or not at all: it is staged beside the live
   *  data, verified, then renamed into place. With `where` or `ids` it gets those documents alone. */
  async restore(source: ArchiveSource, options: RestoreOptions = {}): Promise<RestoreReport> {
    this.#assertWritable()
    checkOptions("restore", options, RESTORE_OPTIONS)
    return await this.#restore(source, options)
  }

  /** `onPublished` is called in the turn in which the collection became the live one of its name. */
  async #restore(
    source: ArchiveSource,
    options: RestoreOptions,
    onPublished?: (report: RestoreReport) => Promise<void>,
  ): Promise<RestoreReport> {
    checkSource(source, options)
    const { mode = "fail" } = options
    const made: string[] = []
    try {
      const { staged, directory, report } = await this.#restoreStaged(source, options, () => {
        made.push(this.#folders.stage())
        return made.at(-1) as string
      })
      const { collection: name } = report
      let warning = await staged.quotaWarning()
      if (mode === "merge") await staged.forgetDeletions(options.signal ? { signal: options.signal } : {})
      const segments = await staged.sealAndClose()
      options.signal?.throwIfAborted()
      if (!options.dryRun) {
        await this.#inTurn(name, async () => {
          if (mode === "merge" && (await this.#folders.exists(name))) {
            const collection = await this.#opened(name)
            // Another one may have taken the name while the archive was read.
            collection.assertSameSchema(staged.schema)
            await collection.adopt(directory, segments)
            warning = await collection.quotaWarning()
          } else await this.#publish(directory, name, mode === "replace")
          await onPublished?.(report)
        })
      }
      return warning ? { ...report, warnings: [...report.warnings, warning] } : report
    } finally {
      // What became a collection is not there any more.
      for (const directory of made) await this.#folders.discard(directory)
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
        if (!(await this.#folders.exists(name))) return
        if (mode === "fail") {
          throw exists(
            name,
            "give another name (--target-collection, target_collection), or --replace or --merge it (mode)",
          )
        }
        this.#assertNotDetaching(name)
        if (mode === "merge") (await this.collection(name)).assertSameSchema(schema)
      },
      stage,
      build: async (task, options) => await this.#background.build(task, options),
      openStaged: async (name, directory) => await Collection.open(name, this.#context(directory, { durable: false })),
    }
    const restore = archive.format === "portable" ? restorePortable : restoreSnapshot
    return await select(await restore(archive, options, host), options)
  }

  /** Takes a collection out of service behind an archive of it. Writes are refused with BUSY from now on, those that were
   *  begun end first and are in the archive; once that is written, the collection is closed, and its data deleted, or kept
   *  where `listDetached` tells of it. Until then a failure leaves all as it was; one that comes after leaves it live or
   *  detached, whole, but closed: `collection` opens it again where it is live. So does a crash, at any time.
   *  COLLECTION_NOT_FOUND; BUSY while it is being detached already. */
  async detach(name: string, options: DetachOptions): Promise<DetachReport> {
    this.#assertWritable()
    checkCollectionName(name)
    checkOptions("detach", options, DETACH_OPTIONS)
    const collection = await this.#inTurn(name, async () => {
      const collection = await this.#opened(name)
      this.#assertNotDetaching(name)
      this.#detaching.add(name)
      return collection
    })
    try {
      // Not in turn: it takes long, and whoever wants to read the collection is not to wait for it.
      await collection.freeze(() => busy(name))
      const archive = await options.write(collection)
      return await this.#inTurn(name, () => this.#takeOutOfService(collection, archive, options))
    } finally {
      this.#detaching.delete(name)
      collection.thaw()
    }
  }

  async #takeOutOfService(
    collection: Collection,
    archive: ExportReport,
    { archivePath, deleteData = false }: DetachOptions,
  ): Promise<DetachReport> {
    const { name } = collection
    // Then another one of that name may have been opened, and written to.
    if (this.#open.get(name) !== collection || collection.isClosed) {
      throw new PrismError("CLOSED", `collection "${name}" was closed while it was being detached`, {
        hint: "nothing has changed: detach it again",
      })
    }
    await this.#folders.forgetReplaced(name)
    if (deleteData) {
      await this.#unload(name)
      await this.#folders.discard(await this.#folders.takeOut(name))
      return { collection: name, archive, data_deleted: true }
    }
    const copy = await nextCopy(this.#storage, name)
    const { document_count, size_bytes } = await collection.stats()
    await writeRecord(this.#storage, this.#folders.live(name), {
      detached_at: new Date().toISOString(),
      document_count,
      size_bytes,
      archive: { ...(archivePath === undefined ? {} : { path: archivePath }), file_sha256: archive.file_sha256 },
    })
    await this.#unload(name)
    await this.#folders.takeOut(name, copyPath(copy))
    return { collection: name, archive, data_deleted: false, copy }
  }

  /** Brings a collection back from an archive: a restore under a free name. Once it is live, the kept copy of that name
   *  goes that this very archive was made of; other copies stay. Errors as of `restore`. */
  async attach(source: ArchiveSource, options: AttachOptions = {}): Promise<AttachReport> {
    this.#assertWritable()
    checkOptions("attach", options, ATTACH_OPTIONS)
    const copies_removed: string[] = []
    const warnings: string[] = []
    const report = await this.#restore(source, options, async ({ collection, file_sha256 }) => {
      try {
        for (const { name, copy, archive } of await listDetached(this.#storage)) {
          if (name !== collection || archive?.file_sha256 !== file_sha256) continue
          await this.#folders.removeFrom(copyPath(copy))
          copies_removed.push(copy)
        }
      } catch (error) {
        // The collection is live, whatever becomes of the copies.
        if (!(error instanceof PrismError)) throw error
        warnings.push(`a kept copy of "${collection}" could not be removed: ${error.message}`)
      }
    })
    return { ...report, warnings: [...report.warnings, ...warnings], copies_removed }
  }

  /** Puts a kept copy back into service, without an archive. It is opened where it lies first, so that one that is damaged
   *  stays there. COLLECTION_EXISTS where its name is taken; COLLECTION_NOT_FOUND. */
  async reattach(name: string, options: ReattachOptions = {}): Promise<Collection> {
    this.#assertWritable()
    checkCollectionName(name)
    checkOptions("reattach", options, ["copy"])
    return await this.#inTurn(name, async () => {
      if (await this.#folders.exists(name)) throw exists(name, "detach or delete it first")
      const copies = await copiesOf(this.#storage, name)
      const copy = options.copy ?? copies.at(-1)
      if (copy === undefined || !copies.includes(copy)) throw await this.#noCopy(options.copy ?? name)
      await (await Collection.openReadOnly(name, this.#context(copyPath(copy), { durable: true }))).close()
      await this.#folders.putBack(copyPath(copy), name)
      return await this.#opened(name)
    })
  }

  /** Every collection that was detached and kept. */
  async listDetached(): Promise<DetachedCopy[]> {
    this.#assertOpen()
    return await listDetached(this.#storage)
  }

  /** Deletes a kept copy, by the name that `listDetached` gives it. COLLECTION_NOT_FOUND. */
  async deleteDetached(copy: string): Promise<void> {
    this.#assertWritable()
    const found = (await listDetached(this.#storage)).find((one) => one.copy === copy)
    if (!found) throw await this.#noCopy(copy)
    await this.#inTurn(found.name, async () => {
      if (!(await copiesOf(this.#storage, found.name)).includes(copy)) throw await this.#noCopy(copy)
      await this.#folders.removeFrom(copyPath(copy))
    })
  }

  /** Checks an archive of any format whole without restoring it. */
  async verify(source: ArchiveSource, options: VerifyOptions = {}): Promise<VerifyReport> {
    checkOptions("verify", options, VERIFY_OPTIONS)
    checkSource(source, options)
    return await verifyArchive(source, options, this.#runtime)
  }

  /** Tells other processes that use the folder a short text until this is closed; see `StorageLock.announce`.
   *  LIMIT_EXCEEDED where it takes more than about 2000 bytes. */
  async announce(text: string): Promise<void> {
    this.#assertWritable()
    await this.#lock?.announce(text)
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
    if (!(await this.#folders.exists(name))) throw await this.#notFound(name)
    this.#folders.assertSure(name)
    return await Collection.open(name, this.#context(this.#folders.live(name), { durable: true }))
  }

  /** Opens a collection to be read alone, beside a process that may replace its folder meanwhile: so what looks damaged
   *  is looked at again. */
  async #openBeside(name: string): Promise<Collection> {
    for (let attempt = 1; ; attempt++) {
      let directory = this.#folders.live(name)
      if (!(await this.#folders.exists(name))) {
        // In the moment of its replacement it is here.
        directory = this.#folders.replaced(name)
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
    const directory = this.#folders.stage()
    try {
      await Generations.create({ storage: this.#storage, directory, durable: false, tenure: this.#tenure }, schema)
      return directory
    } catch (error) {
      await this.#folders.discard(directory)
      throw error
    }
  }

  /** Makes a staged collection the live one of that name. */
  async #publish(staged: string, name: string, replace = false): Promise<void> {
    if (await this.#folders.exists(name)) {
      if (!replace) throw exists(name)
      this.#assertNotDetaching(name)
    }
    await this.#unload(name)
    await this.#folders.publish(staged, name)
  }

  /** Closes a collection that is about to be removed. Its log is not folded: a full disk must not keep anybody from
   *  deleting. What fails here is no reason to keep it either. */
  async #unload(name: string): Promise<void> {
    const open = this.#open.get(name)
    this.#open.delete(name)
    await open?.close({ fold: false }).catch(() => undefined)
  }

  async #notFound(name: string): Promise<PrismError> {
    const isKept = (await copiesOf(this.#storage, name)).length > 0
    const hint = isKept
      ? "it was detached and is kept: attach it again"
      : whichThereAre(name, await this.collectionNames())
    return new PrismError("COLLECTION_NOT_FOUND", `collection "${name}" does not exist`, { place: name, hint })
  }

  async #noCopy(name: string): Promise<PrismError> {
    const copies = await listDetached(this.#storage)
    return new PrismError("COLLECTION_NOT_FOUND", `no detached collection "${name}" is kept`, {
      place: name,
      hint: whichThereAre(
        name,
        copies.map(({ copy }) => copy),
        "none is kept: attach an archive",
      ),
    })
  }

  #assertNotDetaching(name: string): void {
    if (this.#detaching.has(name)) throw busy(name)
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

const DETACH_OPTIONS = ["write", "archivePath", "deleteData"]
const ATTACH_OPTIONS = ["target", "format", "keys", "lineBytesMax", "sizeBytes", "signal", "onProgress"]

function busy(name: string): PrismError {
  return new PrismError("BUSY", `collection "${name}" is being detached`, {
    place: name,
    hint: "wait until that is done; it can be searched meanwhile",
  })
}

function whichThereAre(
  name: string,
  names: readonly string[],
  none = "there is none yet: create one, or restore an archive",
): string {
  const similar = closest(name, names)
  if (similar) return `did you mean "${similar}"?`
  return names.length > 0 ? `there are: ${names.slice(0, 10).join(", ")}${names.length > 10 ? ", …" : ""}` : none
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
