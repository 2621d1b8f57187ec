// Archives as files of the server: paths in requests, and what is written and read there.
import { PrismError } from "../../base/errors.ts"
import type { ExportOptions, ExportReport } from "../../collection/archive/options.ts"
import { checkReplaceable, checkRoomFor } from "../../collection/archive/output-file.ts"
import type { Collection } from "../../collection/collection.ts"
import type { Files, RandomAccess } from "../../runtime.ts"
import type { BackupRoots } from "../backup-roots.ts"
import type { JobTools } from "../job.ts"
import type { Service } from "../service.ts"

export interface Output {
  readonly path: string
  /** Also over a file that is no archive. */
  readonly overwrite: boolean
  /** Gets what was written before it has its name; where it throws, nothing was written. */
  readonly verify?: (written: RandomAccess) => Promise<void>
}

/** Writes an archive of a collection to a file that a request names.
 *  @throws PrismError PATH_NOT_ALLOWED, FILE_EXISTS, DISK_FULL, INTERRUPTED */
export async function exportToFile(
  service: Service,
  collection: Collection,
  { path, overwrite, verify }: Output,
  options: Pick<ExportOptions, "format" | "encryption">,
  { signal, onProgress, onTemporary }: JobTools,
): Promise<ExportReport> {
  const { files, roots } = filesOf(service)
  const target = await roots.resolve(path)
  const replace = await checkReplaceable({ ...service.runtime, files }, target, { overwrite, hints: HINTS })
  const sink = await files.write(target, {
    replace,
    onTemporary,
    verify: async (written) => {
      await verify?.(written)
      // Somebody may have put a link in the place of a folder since.
      if ((await roots.resolve(path)) !== target) throw changed(path)
    },
  })
  return await collection.export(sink, {
    ...options,
    signal,
    onProgress,
    onSize: async (bytes) => await checkRoomFor(files, target, bytes),
  })
}

const HINTS = {
  overwrite: 'choose another name, or replace it with "overwrite": true',
  device: "name a file",
}

/** Opens an archive that a request names, lets `use` read it, and closes it.
 *  @throws PrismError PATH_NOT_ALLOWED, FILE_NOT_FOUND, INVALID_REQUEST for what is no file */
export async function withArchiveFile<T>(
  service: Service,
  path: string,
  use: (file: RandomAccess) => Promise<T>,
): Promise<T> {
  const { files, roots } = filesOf(service)
  const source = await roots.resolve(path)
  if (await files.isDirectory(source)) throw noFile(path, "a folder")
  await using file = await files.open(source, { followLink: false })
  if (!file) throw noFile(path, "a device or pipe")
  return await use(file)
}

function filesOf({ runtime, backupRoots }: Service): { files: Files; roots: BackupRoots } {
  if (runtime.files && backupRoots) return { files: runtime.files, roots: backupRoots }
  throw new PrismError("PATH_NOT_ALLOWED", "this server has no files but the collections'", {
    hint: "stream the archive: GET and PUT /_admin/collections/NAME/archive",
  })
}

function noFile(path: string, what: string): PrismError {
  return new PrismError("INVALID_REQUEST", `${path} is ${what}`, { place: path, hint: "name an archive" })
}

function changed(path: string): PrismError {
  return new PrismError("PATH_NOT_ALLOWED", `${path} leads elsewhere than when the export began`, {
    place: path,
    hint: "use a folder that nobody else may change",
  })
}
