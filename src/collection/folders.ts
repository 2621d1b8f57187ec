import { PrismError } from "../base/errors.ts"
import { joinPath, parentPath } from "../storage/path.ts"
import type { Storage } from "../storage/storage.ts"

/** Live collections. Their folder is their name. */
const COLLECTIONS = "collections"
/** Collections that are being made: a restore that is not verified yet. Whatever is here at start-up is removed. */
const STAGING = "staging"
/** Collections on their way out: deleted, or about to be replaced by a staged one. */
const TRASH = "trash"
/** Collections that were taken out of service and kept; see detached.ts. */
export const DETACHED = "detached"

/** Marks a folder of the trash that is a collection about to be replaced; its name follows. */
const REPLACED_PREFIX = "replaced."

/** The folders of a storage between which collections move. Every move is a rename that both folders know durably before
 *  anything rests on it, or that is taken back: a crash leaves a collection in one place, whole. */
export class CollectionFolders {
  readonly #storage: Storage
  /** Collections that were made, replaced or moved by a change that could neither be synced nor undone. */
  readonly #unsure = new Map<string, unknown>()
  /** Staging folders that only the next start may remove. */
  readonly #kept = new Set<string>()
  #count = 0

  constructor(storage: Storage) {
    this.#storage = storage
  }

  /** Makes the folders and clears away what a crash left; for the holder of the storage's lock. */
  async recover(): Promise<void> {
    for (const folder of [COLLECTIONS, STAGING, TRASH, DETACHED]) await this.#storage.makeDirectory(folder)
    // A process that died, or whose sync failed, may have left names that a power cut would still take away: first they
    // are made durable, then something may rest on them.
    for (const folder of [TRASH, DETACHED, COLLECTIONS]) await this.#storage.syncDirectory(folder)
    await this.#recoverTrash()
    for (const { name, kind } of await this.#storage.list(STAGING)) {
      if (kind === "directory") await this.#storage.removeDirectory(`${STAGING}/${name}`)
    }
  }

  /** Puts back a collection whose replacement did not arrive, then empties the trash. */
  async #recoverTrash(): Promise<void> {
    for (const { name, kind } of await this.#storage.list(TRASH)) {
      if (kind === "file") continue // not ours, and in nobody's way
      const collection = name.startsWith(REPLACED_PREFIX) ? name.slice(REPLACED_PREFIX.length) : undefined
      if (collection === undefined) await this.#storage.removeDirectory(`${TRASH}/${name}`)
      else if (await this.exists(collection)) await this.#removeReplaced(collection, `recovered-${collection}`)
      else await this.#move(`${TRASH}/${name}`, this.live(collection))
    }
  }

  /** Of the live collection of that name. */
  live(name: string): string {
    return `${COLLECTIONS}/${name}`
  }

  /** Where a collection is in the moment of its replacement. */
  replaced(name: string): string {
    return `${TRASH}/${REPLACED_PREFIX}${name}`
  }

  /** True if the folder is there: one that lost its manifest is damaged, not absent. */
  async exists(name: string): Promise<boolean> {
    return (await this.names()).includes(name)
  }

  /** Live collections, sorted by name. */
  async names(): Promise<string[]> {
    const entries = await this.#storage.list(COLLECTIONS)
    return entries
      .filter(({ kind }) => kind === "directory")
      .map(({ name }) => name)
      .sort()
  }

  /** READ_ONLY where the next power cut may take away what would be written to the collection. */
  assertSure(name: string): void {
    if (!this.#unsure.has(name)) return
    throw new PrismError("READ_ONLY", `it is not sure that the disk knows collection "${name}"`, {
      hint: "open the data folder again: then it is known",
      cause: this.#unsure.get(name),
    })
  }

  /** Path of a new folder for a collection that is being made. */
  stage(): string {
    return `${STAGING}/${this.#unique()}`
  }

  /** Removes a folder of the staging or of the trash. Where that fails, the next start does it; an error before is the one
   *  to tell. */
  async discard(directory: string): Promise<void> {
    if (this.#kept.has(directory)) return
    await this.#storage.removeDirectory(directory).catch(() => undefined)
  }

  /** Makes a staged folder the live one of that name, in place of one that is there. Its files are synced already; renames
   *  and folders follow. */
  async publish(staged: string, name: string): Promise<void> {
    const live = this.live(name)
    const there = await this.exists(name)
    // A crash between the two renames leaves the old collection in the trash under its name: start-up puts it back.
    const replaced = this.replaced(name)
    if (there) await this.forgetReplaced(name)
    let isRenaming = false
    try {
      if (there) await this.#move(live, replaced)
      isRenaming = true
      await this.#storage.rename(staged, live)
      await this.#storage.syncDirectory(COLLECTIONS)
    } catch (error) {
      // Nobody may write to what the next power cut may take away. A rename that failed may have happened all the same.
      if (isRenaming && (await this.exists(name).catch(() => true))) await this.#takeBack(name, staged, error)
      // Where the old one cannot be put back either, the next start does it; the first error is the one to tell.
      if (there && !(await this.exists(name).catch(() => true))) {
        await this.#move(replaced, live).catch(() => undefined)
      }
      throw error
    }
    this.#unsure.delete(name)
    // The new one is live whatever becomes of the old one: what is left of it goes with the next change.
    if (there) await this.#removeReplaced(name, this.#unique()).catch(() => undefined)
  }

  /** Makes a published folder a staged one again. Until that is durable a power cut may bring it back: it stays whole. */
  async #takeBack(name: string, staged: string, error: unknown): Promise<void> {
    try {
      await this.#storage.rename(this.live(name), staged)
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

  /** Moves a live collection that nobody has open to another place, the trash by default, where it is then; a failure
   *  leaves it live. */
  async takeOut(name: string, to = `${TRASH}/${this.#unique()}`): Promise<string> {
    const live = this.live(name)
    try {
      await this.#move(live, to)
    } catch (error) {
      // A rename that failed may have happened all the same.
      try {
        if (!(await this.exists(name))) await this.#move(to, live)
      } catch {
        this.#unsure.set(name, error)
      }
      throw error
    }
    return to
  }

  /** Makes a folder that was taken out the live collection of that name, which is free; a failure leaves it where it was. */
  async putBack(from: string, name: string): Promise<void> {
    try {
      await this.#move(from, this.live(name))
    } catch (error) {
      if (await this.exists(name).catch(() => true)) await this.#takeBack(name, from, error)
      throw error
    }
    this.#unsure.delete(name)
  }

  /** Takes a folder of any other place into the trash, durably, then removes it. */
  async removeFrom(directory: string): Promise<void> {
    const trash = `${TRASH}/${this.#unique()}`
    await this.#move(directory, trash)
    await this.discard(trash)
  }

  /** What an earlier replacement could not remove must not come back in place of what goes now. */
  async forgetReplaced(name: string): Promise<void> {
    const trash = await this.#storage.list(TRASH)
    if (trash.some((entry) => joinPath(TRASH, entry.name) === this.replaced(name))) {
      await this.#removeReplaced(name, this.#unique())
    }
  }

  /** Removes a collection whose replacement is live. First it loses the name under which it would be put back, durably:
   *  a part of it, left by a crash, must never come back. */
  async #removeReplaced(name: string, unique: string): Promise<void> {
    await this.#storage.rename(this.replaced(name), `${TRASH}/${unique}`)
    await this.#storage.syncDirectory(TRASH)
    await this.#storage.removeDirectory(`${TRASH}/${unique}`)
  }

  /** A rename changes two folders, and both must know it. */
  async #move(from: string, to: string): Promise<void> {
    await this.#storage.rename(from, to)
    await this.#storage.syncDirectory(parentPath(to))
    await this.#storage.syncDirectory(parentPath(from))
  }

  #unique(): string {
    return `${Date.now().toString(36)}-${++this.#count}`
  }
}
