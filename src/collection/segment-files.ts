// What a segment's files are called, and whose fault it is when one of them is damaged.
import { PrismError } from "../base/errors.ts"
import { joinPath } from "../storage/path.ts"
import type { Storage } from "../storage/storage.ts"
import type { CheckedDocument, DocumentChecker } from "./document.ts"

// The names of new files hold the tenure of the writer that makes them, 8 hex digits that no other opening of the
// collection has: a writer that was thought dead and wakes up cannot meet its successor at any name.

/** What the names of a segment's files begin with. */
export function segmentStem(id: number, tenure: string): string {
  return `${padded(id)}-${tenure}`
}

/** Paths of a segment's files, relative to the collection's folder. */
export function segmentPaths(stem: string) {
  return {
    text: `text/${stem}.idx`,
    documents: `text/${stem}.docs`,
    vector: `vector/${stem}.hnsw`,
    graph: `graph/${stem}.adj`,
  }
}

/** Path of a segment's deletions as a generation of the manifest names them: each generation may have others. */
export function tombstonesPath(id: number, generation: number, tenure: string): string {
  return `text/${segmentStem(id, tenure)}.${generation}.live`
}

export function logPath(number: number, tenure: string): string {
  return `wal-${padded(number)}-${tenure}.log`
}

/** Whether the writer of this tenure made the file. */
export function isOfTenure(path: string, tenure: string): boolean {
  return path.includes(`-${tenure}.`)
}

function padded(number: number): string {
  return String(number).padStart(6, "0")
}

/** Removes what a build of this segment has written. What cannot be removed, the next start removes. */
export async function removeSegmentFiles(storage: Storage, directory: string, stem: string): Promise<void> {
  for (const path of Object.values(segmentPaths(stem))) {
    await storage.remove(joinPath(directory, path)).catch(() => undefined)
  }
}

/** Runs work on a file that the manifest names: damage is CORRUPT with the file's path, also where the reader of a
 *  structure knows no path, and so is a file that is not there. */
export async function inFile<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw atFile(error, path)
  }
}

function atFile(error: unknown, path: string): unknown {
  if (!(error instanceof PrismError)) return error
  if (error.code === "FILE_NOT_FOUND") return damagedFile(path, "is missing", error)
  if (error.place !== undefined) return error
  if (error.code !== "CORRUPT" && error.code !== "TRUNCATED" && error.code !== "INCOMPATIBLE_VERSION") return error
  const { message, hint, cause } = error
  return new PrismError(error.code, `${path}: ${message}`, { place: path, cause, ...(hint ? { hint } : {}) })
}

export function damagedFile(path: string, what: string, cause?: unknown): PrismError {
  return new PrismError("CORRUPT", `segment file ${path} ${what}`, {
    place: path,
    hint: "restore the collection from its last export",
    ...(cause === undefined ? {} : { cause }),
  })
}

/** A stored document as the schema sees it. It was checked when it came in: what does not pass now is damage. */
export function checkStoredDocument(
  checker: DocumentChecker,
  id: string,
  fieldsJson: string,
  path: string,
): CheckedDocument {
  try {
    return checker.checkStored(id, fieldsJson, undefined)
  } catch (error) {
    if (!(error instanceof PrismError)) throw error
    throw damagedFile(path, `holds a document that the schema refuses: ${error.message}`, error)
  }
}

/** Folders of segments' files, in a collection's folder and in a snapshot; the last one only where there is a graph. */
export const SEGMENT_FOLDERS: readonly string[] = ["text", "vector", "graph"]
