import { PrismError } from "../base/errors.ts"
import { LOCK_NAME } from "./lock-file.ts"

const NAME = /^[A-Za-z0-9._-]{1,200}$/

/** The names of a storage path, none for the root. PATH_NOT_ALLOWED for what could lead out of the storage, or would
 *  mean another file on another file system. */
export function pathNames(path: string): string[] {
  if (path === "") return []
  const names = path.split("/")
  for (const name of names) {
    if (!NAME.test(name) || name === "." || name === "..") {
      throw new PrismError("PATH_NOT_ALLOWED", `${JSON.stringify(path)} is not a path inside the storage`, {
        place: path,
        hint: "names in it hold letters, digits, dot, dash and underscore only",
      })
    }
  }
  if (names.length === 1 && isLockName(path)) {
    throw new PrismError("PATH_NOT_ALLOWED", `${path} belongs to the lock of the storage`, { place: path })
  }
  return names
}

/** Names in the root that hold the lock. */
export function isLockName(name: string): boolean {
  return name === LOCK_NAME || name.startsWith(`${LOCK_NAME}.`)
}

/** Path of the folder that `path` lies in, "" for the root. */
export function parentPath(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf("/")))
}

/** Path of a name in a folder. */
export function joinPath(directory: string, name: string): string {
  if (name === "") return directory
  return directory === "" ? name : `${directory}/${name}`
}
