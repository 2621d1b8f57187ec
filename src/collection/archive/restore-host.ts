// What a restore needs of the collections among which it happens, the same for every format.
import { PrismError } from "../../base/errors.ts"
import type { Codecs } from "../../runtime.ts"
import type { SegmentEntry } from "../../storage/manifest.ts"
import type { Storage } from "../../storage/storage.ts"
import type { Collection } from "../collection.ts"
import { parseSchema, renderSchema, type Schema } from "../schema.ts"
import type { BuildTask } from "../segment-builder.ts"
import type { RestoreOptions, RestoreReport } from "./options.ts"
import { checkSelection } from "./select.ts"

export interface RestoreHost {
  readonly codecs: Codecs
  readonly storage: Storage
  /** Of the writer that the restored files get their names from; see segment-files.ts. */
  readonly tenure: string
  /** Refuses a name or a schema that cannot come in here, before anything is written. */
  admit(name: string, schema: Schema): Promise<void>
  /** Path of a new folder for a collection that is not visible yet. It is removed if it does not become so. */
  stage(): string
  /** Builds a segment off this thread, where there are others. */
  readonly build: (task: BuildTask, options: { signal?: AbortSignal | undefined }) => Promise<SegmentEntry | undefined>
  /** The collection in such a folder. */
  openStaged(name: string, directory: string): Promise<Collection>
}

/** What a restore made: whole, closed to nobody, visible to nobody. */
export interface RestoredCollection {
  readonly staged: Collection
  readonly directory: string
  readonly report: RestoreReport
}

/** The name and the schema that an archive's collection gets here. */
export async function admit(
  host: RestoreHost,
  options: RestoreOptions,
  archived: { readonly collection: string; readonly schema: string },
): Promise<{ name: string; schema: Schema }> {
  const name = options.target ?? archived.collection
  const given = parseSchema(archived.schema, { from: "archive" })
  const schema = parseSchema(renderSchema(given, { collection: name }).yaml, { from: "archive" })
  checkSelection(name, schema, options)
  await host.admit(name, schema)
  return { name, schema }
}

/** Warnings about what an archive holds that this version does not know. */
export function unknownKeyWarnings(schema: Schema, headerKeys: readonly string[]): string[] {
  const warnings = [...schema.warnings]
  if (schema.unknownKeys.length > 0)
    warnings.push(`schema keys kept but not known here: ${schema.unknownKeys.join(", ")}`)
  if (headerKeys.length > 0) warnings.push(`header keys not known here: ${headerKeys.join(", ")}`)
  return warnings
}

/** DISK_FULL where there is no room for so many bytes. */
export async function checkRoom(storage: Storage, bytes: number): Promise<void> {
  const free = await storage.freeBytes()
  if (free === undefined || free >= bytes) return
  throw new PrismError("DISK_FULL", `the collection takes at least ${bytes} bytes, and ${free} are free`, {
    hint: "make room in the data folder",
  })
}
