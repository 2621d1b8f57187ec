import { decodeUtf8Fatal, encodeUtf8 } from "../base/bytes.ts"
import { type ErrorCode, PrismError } from "../base/errors.ts"
import type { Storage } from "../storage/storage.ts"
import { DETACHED } from "./folders.ts"

// Collections that were taken out of service and kept:
//
//   detached/<name>     the collection's folder as it was when it was closed, and in it
//   detached/<name>.2   the next one of that name, if the first is still there; and so on: the highest is the newest
//     DETACHED          one line of JSON: when, and to which archive; see DetachRecord
//
// The record is written before the folder moves, so that no copy is without; where the move does not come about, or is
// undone, it is a file that no manifest names: the next open of the collection removes it.

const RECORD_NAME = "DETACHED"

/** The archive that was written before a collection was detached. */
export interface DetachedArchive {
  /** Where it went, as the caller told. */
  readonly path?: string
  /** SHA-256 of its bytes. */
  readonly file_sha256: string
}

interface DetachRecord {
  /** RFC 3339, UTC. */
  readonly detached_at: string
  readonly document_count: number
  /** Bytes on disk. */
  readonly size_bytes: number
  readonly archive: DetachedArchive
}

/** A collection that was detached and kept. */
export interface DetachedCopy extends Partial<DetachRecord> {
  /** Of the collection. */
  readonly name: string
  /** Of this copy: the collection's name, or that with a number where more than one is kept. */
  readonly copy: string
  /** Why nothing else is known of it. */
  readonly error?: { readonly code: ErrorCode; readonly message: string }
}

/** Every kept copy, by name; of one name the oldest first. */
export async function listDetached(storage: Storage): Promise<DetachedCopy[]> {
  const copies: DetachedCopy[] = []
  for (const { name, copy } of await detachedFolders(storage)) {
    try {
      copies.push({ name, copy, ...(await readRecord(storage, copy)) })
    } catch (error) {
      if (!(error instanceof PrismError)) throw error
      copies.push({ name, copy, error: { code: error.code, message: error.message } })
    }
  }
  return copies
}

/** Names of the copies of a collection, the oldest first. */
export async function copiesOf(storage: Storage, name: string): Promise<string[]> {
  return (await detachedFolders(storage)).filter((folder) => folder.name === name).map(({ copy }) => copy)
}

/** The name that the next copy of a collection gets: it is newer than all that are there. */
export async function nextCopy(storage: Storage, name: string): Promise<string> {
  const last = (await detachedFolders(storage)).filter((folder) => folder.name === name).at(-1)
  return last ? `${name}.${last.number + 1}` : name
}

export function copyPath(copy: string): string {
  return `${DETACHED}/${copy}`
}

/** Writes the record into a collection's folder, durably. */
export async function writeRecord(storage: Storage, directory: string, record: DetachRecord): Promise<void> {
  const path = `${directory}/${RECORD_NAME}`
  // Of an attempt that failed.
  await storage.remove(path)
  await using file = await storage.create(path)
  await file.append(encodeUtf8(`${JSON.stringify(record)}\n`))
  await file.sync()
  await storage.syncDirectory(directory)
}

/** CORRUPT where it is damaged or missing. */
async function readRecord(storage: Storage, copy: string): Promise<DetachRecord> {
  const path = `${copyPath(copy)}/${RECORD_NAME}`
  const corrupt = () => new PrismError("CORRUPT", `${path} does not tell when it was detached`, { place: path })
  if ((await storage.size(path)) === undefined) throw corrupt()
  let record: Partial<DetachRecord> | null
  try {
    record = JSON.parse(decodeUtf8Fatal(await storage.read(path), path)) as Partial<DetachRecord> | null
  } catch (error) {
    if (error instanceof SyntaxError) throw corrupt()
    throw error
  }
  const { detached_at, document_count, size_bytes, archive } = record ?? {}
  if (typeof detached_at !== "string" || typeof document_count !== "number" || typeof size_bytes !== "number") {
    throw corrupt()
  }
  if (typeof archive?.file_sha256 !== "string" || !["string", "undefined"].includes(typeof archive.path))
    throw corrupt()
  return { detached_at, document_count, size_bytes, archive }
}

interface DetachedFolder {
  readonly name: string
  readonly copy: string
  readonly number: number
}

/** By name, then by number. Anything else in the folder is none of ours. */
async function detachedFolders(storage: Storage): Promise<DetachedFolder[]> {
  const folders: DetachedFolder[] = []
  for (const entry of await storage.list(DETACHED)) {
    const [, name, number] = /^([^.]+)(?:\.([1-9][0-9]{0,8}))?$/.exec(entry.name) ?? []
    if (entry.kind !== "directory" || name === undefined) continue
    folders.push({ name, copy: entry.name, number: Number(number ?? 1) })
  }
  return folders.sort((a, b) => (a.name === b.name ? a.number - b.number : a.name < b.name ? -1 : 1))
}
