import { joinPath } from "./path.ts"
import { PINS_DIRECTORY } from "./pins.ts"
import type { Storage } from "./storage.ts"

/** Removes what a process that died left in a folder: every file whose path in it is not in `keep`. Folders stay. Only
 *  the holder of the storage's lock may do this, and only after the manifest was read. Returns what it removed. */
export async function removeLeftovers(
  storage: Storage,
  directory: string,
  keep: ReadonlySet<string>,
): Promise<string[]> {
  const removed: string[] = []
  const visit = async (folder: string): Promise<void> => {
    for (const entry of await storage.list(joinPath(directory, folder))) {
      const path = joinPath(folder, entry.name)
      // Pins go with their owners.
      if (path === PINS_DIRECTORY) continue
      if (entry.kind === "directory") await visit(path)
      else if (!keep.has(path)) {
        // Not synced: what comes back after a crash is removed again.
        await storage.remove(joinPath(directory, path))
        removed.push(path)
      }
    }
  }
  await visit("")
  return removed
}
