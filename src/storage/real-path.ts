import { PrismError } from "../base/errors.ts"
import type { Disk } from "./disk.ts"
import { isCode } from "./local-storage.ts"
import { attempt, systemError } from "./system-error.ts"

/** Where a path leads once every link on the way is resolved; what is not there yet keeps its names. PATH_NOT_ALLOWED
 *  where links lead nowhere or in a circle: whoever makes their target decides then what the path means. */
export async function realPath(disk: Disk, path: string): Promise<string> {
  const missing: string[] = []
  for (let place = disk.resolve(path); ; place = disk.parent(place)) {
    const real = await existing(disk, path, place)
    if (real !== undefined) return missing.reduce((folder, name) => disk.join(folder, name), real)
    if (await attempt("look at", path, () => disk.isLink(place))) {
      throw notAllowed(path, `${place} is a link to what is not there`)
    }
    missing.unshift(disk.name(place))
  }
}

/** Undefined where nothing is there. */
async function existing(disk: Disk, path: string, place: string): Promise<string | undefined> {
  try {
    return await disk.realPath(place)
  } catch (error) {
    if (isCode(error, "ENOENT") && disk.parent(place) !== place) return undefined
    if (isCode(error, "ELOOP")) throw notAllowed(path, "its links lead in a circle")
    throw systemError(error, "look at", path)
  }
}

/** A path whose links do not tell where it leads. */
export function notAllowed(path: string, why: string): PrismError {
  return new PrismError("PATH_NOT_ALLOWED", `cannot use ${path}: ${why}`, {
    place: path,
    hint: "name the file or folder itself",
  })
}
