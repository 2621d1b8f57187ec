import { PrismError } from "../base/errors.ts"
import { settleAll } from "../base/settle.ts"
import type { Manifest } from "../storage/manifest.ts"
import { joinPath } from "../storage/path.ts"
import { replayWal, type WalLocation, type WalReplay } from "../storage/wal.ts"
import type { CollectionContext } from "./context.ts"
import { DocumentChecker } from "./document.ts"
import { applyOperations, prepareOperations, replayed, type WriteOperation } from "./operations.ts"
import { RamSegment } from "./ram-segment.ts"
import type { Schema } from "./schema.ts"
import { SealedSegment } from "./sealed-segment.ts"
import type { Segment, SegmentShape } from "./segment.ts"

/** The segments that a manifest names, oldest first, and a RAM segment for each of its logs. */
export interface OpenSegments {
  readonly sealed: readonly SealedSegment[]
  readonly logs: readonly { readonly ram: RamSegment; readonly replay: WalReplay }[]
}

/** What the engine needs for a file besides its bytes: headers, page states, and the rest of a page of 64 KiB. */
const REGION_BYTES = 128 * 1024

/** Operations that are looked up together while a log is replayed. */
const REPLAY_STEP = 1024

/** Opens the segments of a manifest and replays its logs in memory. CORRUPT where a file is missing or damaged. */
export async function openSegments(
  name: string,
  { storage, directory, cache }: Pick<CollectionContext, "storage" | "directory" | "cache">,
  manifest: Manifest,
  schema: Schema,
  shape: SegmentShape,
): Promise<OpenSegments> {
  const sealed: SealedSegment[] = []
  const logs: { ram: RamSegment; replay: WalReplay }[] = []
  const indexes = manifest.segments.flatMap(({ files }) => [files.text, ...(files.vector ? [files.vector] : [])])
  shape.engine.reserve(indexes.reduce((sum, { length }) => sum + length + REGION_BYTES, 0))
  try {
    // All at once: what a disk does for small reads is wait.
    const opening = manifest.segments.map((entry) => SealedSegment.open(storage, directory, entry, shape, cache))
    for (const result of await Promise.allSettled(opening)) if (result.status === "fulfilled") sealed.push(result.value)
    if (sealed.length < opening.length) await Promise.all(opening)
    for (const entry of manifest.logs) {
      const path = joinPath(directory, entry.path)
      const ram = new RamSegment(shape, entry, await storage.open(path))
      const older = [...sealed, ...logs.map((log) => log.ram)]
      const log = { ram, replay: replayWal(storage, path, { walNumber: entry.number, length: entry.length }) }
      logs.push(log)
      await replay(log, older, new DocumentChecker(schema))
    }
    return { sealed, logs }
  } catch (error) {
    await releaseAll([...sealed, ...logs.map(({ ram }) => ram)]).catch(() => undefined)
    if (error instanceof PrismError && error.code === "FILE_NOT_FOUND") {
      throw new PrismError("CORRUPT", `a file of collection "${name}" is missing: ${error.place}`, {
        hint: "restore the collection from its last export",
        cause: error,
        ...(error.place === undefined ? {} : { place: error.place }),
      })
    }
    throw error
  }
}

async function replay(
  { ram, replay }: { ram: RamSegment; replay: WalReplay },
  older: readonly Segment[],
  checker: DocumentChecker,
): Promise<void> {
  let operations: WriteOperation[] = []
  let locations: WalLocation[] = []
  const apply = async () => {
    await prepareOperations(older, operations)
    applyOperations({ older, active: ram, graph: undefined, checker }, operations, locations)
    operations = []
    locations = []
  }
  for await (const { operation, location } of replay) {
    operations.push(replayed(checker, operation))
    locations.push(location)
    if (operations.length === REPLAY_STEP) await apply()
  }
  await apply()
}

export async function releaseAll(segments: readonly Segment[]): Promise<void> {
  await settleAll(segments.map((segment) => () => segment.release()))
}

/** Paths, relative to the collection's folder, of all that a manifest names but itself. */
export function pathsOf(manifest: Manifest): string[] {
  const files = manifest.segments.flatMap((entry) => Object.values(entry.files).map(({ path }) => path))
  return [...files, ...manifest.logs.map(({ path }) => path)]
}
