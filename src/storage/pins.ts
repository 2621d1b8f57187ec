import { toHex } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import { joinPath, pathNames } from "./path.ts"
import type { Storage, StorageHold } from "./storage.ts"

// A pin is a held file `pins/<32 hex digits>.pin` in a collection's folder: paths in that folder, one a line. While its
// owner lives, the writer removes none of them.

/** Folder of the pins in a collection's folder. */
export const PINS_DIRECTORY = "pins"

/** Keeps files of a folder from being removed by its writer, in any process. A reader reads the manifest, pins what it
 *  names and reads the manifest again: where that is still the same, nothing was removed before the pin stood there.
 *  Undefined where nothing can be written: then open all that is needed at once. */
export async function pinFiles(
  storage: Storage,
  directory: string,
  paths: Iterable<string>,
): Promise<StorageHold | undefined> {
  let content = ""
  for (const path of paths) {
    assert(pathNames(path).length > 0, "a file is pinned")
    content += `${path}\n`
  }
  const name = toHex(crypto.getRandomValues(new Uint8Array(16)))
  try {
    return await storage.hold(joinPath(directory, `${PINS_DIRECTORY}/${name}.pin`), content)
  } catch (error) {
    const code = error instanceof PrismError ? error.code : undefined
    if (code === "PERMISSION_DENIED" || code === "READ_ONLY" || code === "DISK_FULL") return undefined
    throw error
  }
}

/** Paths that somebody's pin names. The writer replaces the manifest first, then looks here, then removes. */
export async function pinnedFiles(storage: Storage, directory: string): Promise<ReadonlySet<string>> {
  const pinned = new Set<string>()
  for (const { content } of await storage.held(joinPath(directory, PINS_DIRECTORY))) {
    for (const path of content.split("\n")) if (path !== "") pinned.add(path)
  }
  return pinned
}
