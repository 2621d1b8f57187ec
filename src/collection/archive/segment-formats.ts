// Which versions of segment files this version reads as they are, and which it builds anew.
import { PrismError } from "../../base/errors.ts"
import { GRAPH_VERSION } from "../../engine/graph-segment.ts"
import { SEGMENT_VERSION } from "../../engine/text-index.ts"
import { VECTOR_VERSION } from "../../engine/vector-index.ts"
import type { SnapshotMetadata } from "../../formats/snapshot.ts"
import { DOCUMENT_STORE_VERSION } from "../../storage/document-store.ts"
import type { SegmentEntry } from "../../storage/manifest.ts"
import { joinPath } from "../../storage/path.ts"
import type { Storage } from "../../storage/storage.ts"
import { readTombstones, TOMBSTONES_VERSION } from "../../storage/tombstones.ts"
import type { Schema } from "../schema.ts"
import type { BuildTask } from "../segment-builder.ts"
import { damagedFile, segmentStem } from "../segment-files.ts"
import type { RestoreHost } from "./restore-host.ts"

/** Versions of a segment's files as this version writes them. */
const SEGMENT_FORMATS = {
  text: SEGMENT_VERSION,
  documents: DOCUMENT_STORE_VERSION,
  vector: VECTOR_VERSION,
  tombstones: TOMBSTONES_VERSION,
  graph: GRAPH_VERSION,
} as const

/** Versions of the kinds of files that a collection may have: without a graph it can be read where there is none. */
export function segmentFormats({ graph }: Schema): Readonly<Record<string, number>> {
  const kinds = Object.entries(SEGMENT_FORMATS).filter(([kind]) => graph !== undefined || kind !== "graph")
  return Object.fromEntries(kinds)
}

/** Versions that index files had before; what they hold is indexed anew. Documents and deletions have had one alone. */
const OLDER_FORMATS: Partial<Record<string, readonly number[]>> = { text: [1], vector: [1] }

/** How what is to be indexed anew is read. */
type OldFormats = Pick<SegmentSource, "vectorFormat">

/** Refuses files of kinds or versions that this version does not read, before they are written. What it gives back is
 *  there only where some are older, and tells how their vectors are to be read. */
export function checkFormats({ segmentFormats }: SnapshotMetadata): OldFormats | undefined {
  let isOld = false
  for (const [kind, version] of Object.entries(segmentFormats)) {
    if (!Object.hasOwn(SEGMENT_FORMATS, kind)) throw unknownKind(kind)
    const known = SEGMENT_FORMATS[kind as keyof typeof SEGMENT_FORMATS]
    if (version === known) continue
    if (!OLDER_FORMATS[kind]?.includes(version)) {
      throw incompatible(`its ${kind} files have version ${version}, this Prism reads up to ${known}`)
    }
    isOld = true
  }
  if (!isOld) return undefined
  return segmentFormats["vector"] === 1 ? { vectorFormat: 1 } : {}
}

/** Whether its index files are of an older version. */
export function isOlder(metadata: SnapshotMetadata): boolean {
  return checkFormats(metadata) !== undefined
}

type SegmentSource = Extract<BuildTask["sources"][number], { kind: "segment" }>

/** Builds each segment anew from its documents and vectors; the old files go. CORRUPT where there are other documents than
 *  the metadata says, as opening a segment as it is would find. */
export async function rebuildSegments(
  entries: readonly SegmentEntry[],
  old: OldFormats,
  schema: Schema,
  directory: string,
  host: RestoreHost,
  signal: AbortSignal | undefined,
): Promise<SegmentEntry[]> {
  const { storage, tenure } = host
  const rebuilt: SegmentEntry[] = []
  for (const entry of entries) {
    const live = await liveDocuments(storage, directory, entry)
    const id = entries.length + entry.id
    const source: SegmentSource = { kind: "segment", entry, live, ...old }
    const stem = segmentStem(id, tenure)
    const isOldest = rebuilt.length === 0
    const task = { directory, schema: schema.source, id, stem, level: entry.level, isOldest, sources: [source] }
    const built = await host.build(task, { signal })
    const [found, announced] = [built?.documentCount ?? 0, entry.documentCount - entry.deletedCount]
    if (found !== announced) {
      throw damagedFile(entry.files.documents.path, `holds ${found} live documents, the metadata says ${announced}`)
    }
    if (built) rebuilt.push(built)
    for (const { path } of Object.values(entry.files)) await storage.remove(joinPath(directory, path))
  }
  return rebuilt
}

/** The bits of a segment's live documents. */
async function liveDocuments(storage: Storage, directory: string, entry: SegmentEntry): Promise<Uint8Array> {
  const { files, documentCount } = entry
  if (files.tombstones) {
    const path = joinPath(directory, files.tombstones.path)
    return await readTombstones(storage, path, documentCount)
  }
  const live = new Uint8Array((documentCount + 7) >>> 3).fill(0xff)
  if (documentCount % 8 !== 0) live[live.length - 1] = 0xff >>> (8 - (documentCount % 8))
  return live
}

export function unknownKind(kind: string): PrismError {
  return incompatible(`it has files of a kind that is not known here: ${kind}`)
}

function incompatible(what: string): PrismError {
  return new PrismError("INCOMPATIBLE_VERSION", `Incompatible snapshot version: ${what}`, {
    place: "metadata.json",
    hint: "export the collection as portable (.prism.jsonl) where it lives, and restore that",
  })
}
