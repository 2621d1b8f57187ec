import { LocalStorage } from "../storage/local-storage.ts"
import type { Storage } from "../storage/storage.ts"
import { disk } from "./disk.ts"

/** Opens a folder as storage; see `Runtime.openStorage`. */
export function openStorage(
  directory: string,
  options: { create: boolean; removeIfEmpty?: boolean; readOnly?: boolean },
): Promise<Storage> {
  return LocalStorage.open(disk, directory, options)
}

/** See `Runtime.readAnnouncement`. */
export function readAnnouncement(directory: string): Promise<string | undefined> {
  return LocalStorage.readAnnouncement(disk, directory)
}
