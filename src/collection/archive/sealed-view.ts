// What a snapshot holds: a pinned moment as nothing but sealed segments.
import { assert } from "../../base/errors.ts"
import { once, sequential } from "../../base/streams.ts"
import type { DocSet } from "../../engine/doc-set.ts"
import type { SnapshotFile, SnapshotSegment } from "../../formats/snapshot.ts"
import type { RandomAccess } from "../../runtime.ts"
import type { SegmentEntry } from "../../storage/manifest.ts"
import { MemoryStorage } from "../../storage/memory-storage.ts"
import { joinPath } from "../../storage/path.ts"
import { encodeTombstones } from "../../storage/tombstones.ts"
import type { CollectionContext } from "../context.ts"
import type { OpenLog } from "../generations.ts"
import { graphRecordCount } from "../graph-counts.ts"
import { SealedSegment } from "../sealed-segment.ts"
import { type BuildTask, buildSegment } from "../segment-builder.ts"
import { SEGMENT_FOLDERS } from "../segment-files.ts"
import type { PinnedGeneration } from "../view.ts"

/** The segments of a moment, and the files that they are made of: readable as long as the view is open. */
export interface SealedView {
  readonly segments: readonly SnapshotSegment[]
  readonly files: readonly SnapshotFile[]
}

type Context = Pick<CollectionContext, "storage" | "directory" | "codecs">

/** Seals in memory what the view has in RAM segments: three of them at most, each of bounded size, and hardly anything of
 *  a collection that was just checkpointed. The collection stays as it is, so that one that is only read can be exported
 *  too. Files are named by the place of their segment: the same moment has the same names everywhere. */
export async function sealView(view: PinnedGeneration, context: Context, signal?: AbortSignal): Promise<SealedView> {
  const segments: SnapshotSegment[] = []
  const files: SnapshotFile[] = []
  for (const { segment, live } of view.segments) {
    const isOldest = segments.length === 0
    let sealed: Sealed | undefined
    if (segment instanceof SealedSegment) {
      // Of the oldest, deletions hide nothing any more.
      const records = graphRecordCount(segment.entry) - (isOldest ? (segment.entry.graph?.deletions ?? 0) : 0)
      if (live.count > 0 || records > 0) sealed = segment
    } else {
      const log = view.logs.find(({ ram }) => ram === segment)
      assert(log, "a RAM segment has a log")
      sealed = await sealLog({ schema: view.manifest.schema, isOldest }, log, live, context, signal)
    }
    if (!sealed) continue
    const names = entryNames(segments.length + 1)
    const { entry } = sealed
    for (const kind of ["text", "documents", "vector", "graph"] as const) {
      const [file, source] = [entry.files[kind], sealed.files[kind]]
      if (!file || !source) continue
      const read = () => sequential(source, { step: READ_BYTES })
      files.push({ name: names[kind], length: file.length, sha256: file.sha256, read })
    }
    // What was deleted since, and what was deleted within a RAM segment, is not in the sealed one any more.
    const deleted = segment instanceof SealedSegment ? entry.documentCount - live.count : 0
    if (deleted > 0) {
      const bytes = encodeTombstones(live.toBytes(), entry.documentCount)
      const sha256 = context.codecs.createSha256()
      sha256.update(bytes)
      files.push({ name: names.tombstones, length: bytes.length, sha256: sha256.digestHex(), read: () => once(bytes) })
    }
    segments.push({
      documents: entry.documentCount,
      deleted,
      vectors: entry.vectorCount,
      level: entry.level,
      ...(entry.graph && { graph: entry.graph }),
      files: {
        text: names.text,
        documents: names.documents,
        ...(sealed.files.vector && { vector: names.vector }),
        ...(sealed.files.graph && { graph: names.graph }),
        ...(deleted > 0 && { tombstones: names.tombstones }),
      },
    })
  }
  // Folder by folder, as an archive has them.
  const inFolder = (folder: string) => files.filter(({ name }) => name.startsWith(`${folder}/`))
  return { segments, files: SEGMENT_FOLDERS.flatMap(inFolder) }
}

function entryNames(place: number) {
  const stem = String(place).padStart(6, "0")
  return {
    text: `text/${stem}.idx`,
    documents: `text/${stem}.docs`,
    vector: `vector/${stem}.hnsw`,
    graph: `graph/${stem}.adj`,
    tombstones: `text/${stem}.live`,
  }
}

interface Sealed {
  readonly entry: SegmentEntry
  readonly files: {
    readonly text: RandomAccess
    readonly documents: RandomAccess
    readonly vector?: RandomAccess
    readonly graph?: RandomAccess
  }
}

/** What a log would be sealed into, in memory; undefined where nothing is left of it. */
async function sealLog(
  collection: Pick<BuildTask, "schema" | "isOldest">,
  { number, path, length }: OpenLog,
  live: DocSet,
  { storage, directory, codecs }: Context,
  signal: AbortSignal | undefined,
): Promise<Sealed | undefined> {
  const scratch = new MemoryStorage()
  for (const folder of SEGMENT_FOLDERS) await scratch.makeDirectory(joinPath(directory, folder))
  // Of the moment: the segment itself may have grown since.
  const log = { number, path, length }
  const source = { kind: "log", log, documentCount: live.docCount, live: live.toBytes() } as const
  const task = { directory, ...collection, id: 0, stem: "log", level: 0, sources: [source] }
  const entry = await buildSegment(storage, codecs.createSha256, task, { signal }, scratch)
  if (!entry) return undefined
  const open = async (path: string) => await scratch.open(joinPath(directory, path))
  return {
    entry,
    files: {
      text: await open(entry.files.text.path),
      documents: await open(entry.files.documents.path),
      ...(entry.files.vector && { vector: await open(entry.files.vector.path) }),
      ...(entry.files.graph && { graph: await open(entry.files.graph.path) }),
    },
  }
}

/** Read at once of a segment's file: a frame of the archive, which is not joined of parts then. A read may wait behind
 *  frames that are being compressed, on the same threads: four small ones would wait four times. */
const READ_BYTES = 4 * 1024 * 1024
