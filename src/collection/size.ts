import type { Manifest, SegmentEntry } from "../storage/manifest.ts"
import type { LogState } from "./generations.ts"

/** Bytes that a collection takes on disk: what its manifest names, and the logs as far as they are written. */
export function sizeOf(manifest: Manifest, logs: readonly LogState[]): number {
  return sizeOfFiles(manifest.segments) + sizeOfLogs(logs)
}

export function sizeOfFiles(entries: readonly SegmentEntry[]): number {
  return entries.flatMap(({ files }) => Object.values(files)).reduce((sum, { length }) => sum + length, 0)
}

export function sizeOfLogs(logs: readonly LogState[]): number {
  return logs.reduce((sum, { length }) => sum + length, 0)
}
