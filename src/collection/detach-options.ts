// What detaching and attaching a collection are asked for, and what they answer.
import type { ExportReport, RestoreOptions, RestoreReport } from "./archive/options.ts"
import type { Collection } from "./collection.ts"

export interface DetachOptions {
  /** Exports the collection, whole, to where it is safe, and checks what arrived there: as `export` into a file whose
   *  `verify` reads it again. Where it rejects, the collection goes on as if nothing had been. Meanwhile the collection
   *  takes no writes (BUSY), and is searched and read as before. */
  readonly write: (collection: Collection) => Promise<ExportReport>
  /** Where the archive goes, to be told with the kept copy. */
  readonly archivePath?: string
  /** Deletes the data once the archive is written. Otherwise it is kept, out of service. */
  readonly deleteData?: boolean
}

export interface DetachReport {
  readonly collection: string
  /** What `write` resolved to. */
  readonly archive: ExportReport
  readonly data_deleted: boolean
  /** Name of the kept copy, where the data was not deleted. */
  readonly copy?: string
}

/** Only whole archives are attached: what they were made of goes afterwards. */
export type AttachOptions = Pick<
  RestoreOptions,
  "target" | "format" | "keys" | "lineBytesMax" | "sizeBytes" | "signal" | "onProgress"
>

export interface AttachReport extends RestoreReport {
  /** Kept copies of the collection that were removed: those that this very archive was made of. */
  readonly copies_removed: readonly string[]
}

export interface ReattachOptions {
  /** Name of a kept copy; the newest of the collection by default. */
  readonly copy?: string
}
