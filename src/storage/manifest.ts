import { decodeUtf8Fatal, encodeUtf8, toHex } from "../base/bytes.ts"
import { crc32c } from "../base/crc32c.ts"
import { PrismError } from "../base/errors.ts"
import { joinPath, pathNames } from "./path.ts"
import type { Storage } from "./storage.ts"

// The manifest names all files of one generation of a collection. It is one line of JSON that always begins
//
//   {"formatVersion":1,"checksum":"8 lowercase hex digits",…
//
// `checksum` is the CRC-32C of the whole file with these 8 digits as zeros. Every later version keeps this beginning,
// so that a damaged file and one of a newer Prism can be told apart.

export const MANIFEST_NAME = "MANIFEST"
export const MANIFEST_VERSION = 3
/** What version 3 adds, the files of graphs, is not there in version 2. */
const MANIFEST_VERSIONS_READ: readonly number[] = [2, MANIFEST_VERSION]

export interface Manifest {
  readonly formatVersion: typeof MANIFEST_VERSION
  /** 32 hex digits, new for every collection that is made: tells it from another one that got its name. */
  readonly collectionId: string
  /** Grows by one with each manifest of a collection. */
  readonly generation: number
  /** RFC 3339, UTC. */
  readonly committedAt: string
  /** The schema's text as it was given, YAML or JSON. */
  readonly schema: string
  /** Documents in the segments that are not deleted; those in the logs are not counted. */
  readonly documentCount: number
  /** Every segment id ever given is smaller. */
  readonly nextSegmentId: number
  /** The write-ahead logs that continue these segments, each continuing the one before. New operations go to the last;
   *  those before it wait to become segments. */
  readonly logs: readonly LogEntry[]
  /** Oldest first. */
  readonly segments: readonly SegmentEntry[]
}

export interface SegmentEntry {
  readonly id: number
  /** All documents in its files, deleted ones too. */
  readonly documentCount: number
  readonly deletedCount: number
  /** Documents with a vector, deleted ones too. */
  readonly vectorCount: number
  /** 0 for what was sealed from a log; a merge is one level above the highest of its sources. */
  readonly level: number
  readonly files: {
    readonly text: FileEntry
    readonly documents: FileEntry
    readonly vector?: FileEntry
    readonly tombstones?: FileEntry
    readonly graph?: FileEntry
  }
  /** What the graph file holds besides the edges of documents; with it alone. */
  readonly graph?: GraphCounts
}

export interface GraphCounts {
  /** Nodes and edges that are put here, whether a newer segment hides them or not. */
  readonly nodes: number
  readonly edges: number
  /** Nodes and edges of older segments that are deleted here. */
  readonly deletions: number
}

export interface LogEntry {
  /** As the log's own header has it; they ascend. */
  readonly number: number
  /** Relative to the folder of the manifest. */
  readonly path: string
  /** Bytes of its header and frames, once another log continues it: every one of them is durable, and none behind them
   *  was acknowledged. The last log, which grows, has none. */
  readonly length?: number
}

export interface FileEntry {
  /** Relative to the folder of the manifest. */
  readonly path: string
  readonly length: number
  /** Lowercase hex of the SHA-256 of all its bytes. */
  readonly sha256: string
}

/** Replaces the manifest of a folder: a reader, or a crash, sees the old one or the new one, never a mixture. The files
 *  that it names, and their entries in their folders, must be durable before. Durable when it resolves.
 *
 *  `beforeRename` is called when all but the rename is done. Where this rejects before, the old manifest stands; from the
 *  rename on either one may be there. */
export async function writeManifest(
  storage: Storage,
  directory: string,
  manifest: Manifest,
  beforeRename?: () => Promise<void>,
): Promise<void> {
  // Another name each time: a writer that was thought dead and wakes up in here must not rename a file of its successor.
  const nonce = toHex(crypto.getRandomValues(new Uint8Array(8)))
  const temporary = joinPath(directory, `${MANIFEST_NAME}.${nonce}${DRAFT_ENDING}`)
  try {
    await using file = await storage.create(temporary)
    await file.append(encodeManifest(manifest))
    await file.sync()
    await beforeRename?.()
  } catch (error) {
    await storage.remove(temporary).catch(() => undefined)
    throw error
  }
  await storage.rename(temporary, joinPath(directory, MANIFEST_NAME))
  // The rename is itself a change of the folder.
  await storage.syncDirectory(directory)
}

/** Removes manifests of a folder that were written and not put in place yet. */
export async function removeDrafts(storage: Storage, directory: string): Promise<void> {
  for (const { name } of await storage.list(directory)) {
    if (name.startsWith(`${MANIFEST_NAME}.`) && name.endsWith(DRAFT_ENDING)) {
      await storage.remove(joinPath(directory, name))
    }
  }
}

/** CORRUPT where it is damaged, or missing: a collection's folder gets its final name only with a manifest in it.
 *  INCOMPATIBLE_VERSION where a newer Prism wrote it. */
export async function readManifest(storage: Storage, directory: string): Promise<Manifest> {
  const path = joinPath(directory, MANIFEST_NAME)
  if ((await storage.size(path)) === undefined) {
    throw new PrismError("CORRUPT", `${path} is missing`, { place: path, hint: RESTORE_HINT })
  }
  return decodeManifest(await storage.read(path), path)
}

const DRAFT_ENDING = ".tmp"
const RESTORE_HINT = "restore the collection from an archive"
const BEGINNING = /^\{"formatVersion":([1-9][0-9]{0,8}),"checksum":"([0-9a-f]{8})"/

export function encodeManifest(manifest: Manifest): Uint8Array {
  const { formatVersion, ...rest } = manifest
  const text = `${JSON.stringify({ formatVersion, checksum: "00000000", ...rest })}\n`
  const bytes = encodeUtf8(text)
  return encodeUtf8(text.replace('"checksum":"00000000"', `"checksum":"${checksumHex(bytes)}"`))
}

/** `path`: for messages. Errors as of `readManifest`. */
export function decodeManifest(bytes: Uint8Array, path: string): Manifest {
  const corrupt = (what: string) =>
    new PrismError("CORRUPT", `${path} is damaged: ${what}`, { place: path, hint: RESTORE_HINT })
  const text = decodeUtf8Fatal(bytes, path)
  const beginning = BEGINNING.exec(text)
  if (!beginning) throw corrupt("it does not begin as a manifest")
  const [, version, checksum] = beginning as unknown as [string, string, string]
  const zeroed = text.replace(`"checksum":"${checksum}"`, '"checksum":"00000000"')
  if (checksumHex(encodeUtf8(zeroed)) !== checksum) throw corrupt("its checksum does not match")
  if (!MANIFEST_VERSIONS_READ.includes(Number(version))) {
    const isNewer = Number(version) > MANIFEST_VERSION
    throw new PrismError(
      "INCOMPATIBLE_VERSION",
      `${path} has format version ${version}, this Prism reads versions ${MANIFEST_VERSIONS_READ.join(" and ")}`,
      {
        place: path,
        hint: isNewer
          ? "use the newer version of Prism that wrote it"
          : "export the collection with the version of Prism that wrote it, and restore the archive here",
      },
    )
  }
  const { checksum: _, ...manifest } = JSON.parse(text) as Record<string, unknown>
  const wrong = findWrong(manifest)
  if (wrong !== undefined) throw corrupt(`${wrong} is not as it must be`)
  return { ...(manifest as unknown as Manifest), formatVersion: MANIFEST_VERSION }
}

function checksumHex(bytes: Uint8Array): string {
  return crc32c(bytes).toString(16).padStart(8, "0")
}

/** Name of the first value that a manifest of this version cannot have. The checksum finds damage; this finds files that
 *  something else wrote, before a path of theirs is opened or a count of theirs is believed. */
function findWrong(manifest: Record<string, unknown>): string | undefined {
  for (const key of ["generation", "documentCount", "nextSegmentId"]) if (!isCount(manifest[key])) return key
  if (!/^[0-9a-f]{32}$/.test(String(manifest["collectionId"]))) return "collectionId"
  for (const key of ["committedAt", "schema"]) if (typeof manifest[key] !== "string") return key
  const logs = manifest["logs"]
  if (!Array.isArray(logs) || logs.length === 0 || !logs.every((log) => isObject(log) && isLogEntry(log))) return "logs"
  if ((logs as LogEntry[]).some(({ number }, place) => place > 0 && number <= logs[place - 1].number)) return "logs"
  if ((logs as LogEntry[]).some(({ length }, place) => isCount(length) !== place < logs.length - 1)) return "logs"
  if (!Array.isArray(manifest["segments"])) return "segments"
  const paths = new Set<string>((logs as LogEntry[]).map(({ path }) => path))
  if (paths.size < logs.length) return "logs"
  let live = 0
  for (const [place, segment] of (manifest["segments"] as Record<string, unknown>[]).entries()) {
    const where = `segments[${place}]`
    if (!isObject(segment)) return where
    const { id, documentCount, deletedCount, vectorCount, level, files, graph } = segment
    if (!isCount(id) || id >= (manifest["nextSegmentId"] as number)) return `${where}.id`
    if (!isCount(documentCount)) return `${where}.documentCount`
    if (!isCount(deletedCount) || deletedCount > documentCount) return `${where}.deletedCount`
    if (!isCount(vectorCount) || vectorCount > documentCount) return `${where}.vectorCount`
    if (!isCount(level)) return `${where}.level`
    live += documentCount - deletedCount
    if (!isObject(files)) return `${where}.files`
    for (const kind of ["text", "documents"]) if (!(kind in files)) return `${where}.files.${kind}`
    for (const [kind, file] of Object.entries(files)) {
      if (!isObject(file) || !isFileEntry(file)) return `${where}.files.${kind}`
      if (paths.has(file.path)) return `${where}.files.${kind}.path`
      paths.add(file.path)
    }
    if ("graph" in files !== "graph" in segment) return `${where}.graph`
    if (
      graph !== undefined &&
      !(isObject(graph) && ["nodes", "edges", "deletions"].every((key) => isCount(graph[key])))
    )
      return `${where}.graph`
  }
  return live === manifest["documentCount"] ? undefined : "documentCount"
}

function isLogEntry({ number, path }: Record<string, unknown>): boolean {
  return isCount(number) && isPath(path)
}

function isFileEntry(file: Record<string, unknown>): file is Record<string, unknown> & FileEntry {
  const { path, length, sha256 } = file
  return isPath(path) && isCount(length) && typeof sha256 === "string" && /^[0-9a-f]{64}$/.test(sha256)
}

function isPath(path: unknown): boolean {
  if (typeof path !== "string") return false
  try {
    return pathNames(path).length > 0
  } catch {
    return false
  }
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}
