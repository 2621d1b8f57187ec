import { vectorBuildBytes } from "../engine/vector-index.ts"
import type { SegmentEntry } from "../storage/manifest.ts"
import type { VectorShape } from "./segment.ts"

// Which segments become one. Only neighbours do: so documents stay in the order of their last write, across segments
// and inside them, and an export needs no sort.
//
// Tiers as of a log-structured merge: what is sealed from a log has level 0, and `mergeFactor` neighbours of a level
// become one of the next. A document is so rewritten once a level, log(documents) times in all, and a search meets at
// most mergeFactor - 1 segments of each. Merged restores may leave small segments between large ones, which have no
// neighbours of their level: where too many have gathered in one place, they are merged whatever their levels.

/** A run of neighbours: `segments[first]` to `segments[end - 1]`. */
export interface Run {
  readonly first: number
  readonly end: number
}

/** What is left of a segment, and what a merge has to hold for it. */
export interface MergeCandidate {
  readonly level: number
  readonly documentCount: number
  readonly liveCount: number
  /** Nodes and edges in it that an optimization leaves out. */
  readonly graphWaste: number
  /** Engine memory that building its live documents anew takes, see `buildBytes`. */
  readonly bytes: number
}

/** A segment with a larger share of deleted documents is rewritten by itself: it costs at most twice the documents that
 *  go, and so what is deleted takes at most a third of the room. */
const DEAD_SHARE_MAX = 1 / 3

/** The run to merge next, oldest segments first in `segments`; undefined where all is well. A run never takes more than
 *  `bytesMax` together. */
export function chooseMerge(
  segments: readonly MergeCandidate[],
  { mergeFactor, bytesMax }: { mergeFactor: number; bytesMax: number },
): Run | undefined {
  const levels = [...new Set(segments.map(({ level }) => level))].sort((a, b) => a - b)
  for (const level of levels) {
    const run =
      findRun(segments, mergeFactor, bytesMax, (one) => one === level) ??
      // As they come from logs alone, there are at most (level + 1) (mergeFactor - 1) up to a level.
      findRun(segments, (level + 2) * mergeFactor, bytesMax, (one) => one <= level)
    if (run) return run
  }
  const wasteful = segments.findIndex(
    ({ documentCount, liveCount }) => documentCount - liveCount > documentCount * DEAD_SHARE_MAX,
  )
  return wasteful === -1 ? undefined : { first: wasteful, end: wasteful + 1 }
}

/** The first `length` neighbours of such levels. */
function findRun(
  segments: readonly MergeCandidate[],
  length: number,
  bytesMax: number,
  isOf: (level: number) => boolean,
): Run | undefined {
  let first = 0
  let bytes = 0
  for (const [place, segment] of segments.entries()) {
    bytes += segment.bytes
    if (!isOf(segment.level) || bytes > bytesMax) {
      // Where the sum is too large, the next run begins with this one, if it may be merged at all.
      const begins = isOf(segment.level) && segment.bytes <= bytesMax
      first = begins ? place : place + 1
      bytes = begins ? segment.bytes : 0
    }
    if (place + 1 - first === length) return { first, end: place + 1 }
  }
  return undefined
}

/** The runs that leave as few segments as `bytesMax` allows, and no deleted document. */
export function planOptimize(segments: readonly MergeCandidate[], bytesMax: number): Run[] {
  const runs: Run[] = []
  let first = 0
  let bytes = 0
  const close = (end: number) => {
    const [one, ...others] = segments.slice(first, end)
    const isClean = others.length === 0 && one?.documentCount === one?.liveCount && one?.graphWaste === 0
    if (end > first && !isClean) runs.push({ first, end })
    first = end
    bytes = 0
  }
  for (const [place, segment] of segments.entries()) {
    if (bytes + segment.bytes > bytesMax) close(place)
    bytes += segment.bytes
  }
  close(segments.length)
  return runs
}

/** Level of what is made of these: a rewrite stays where it was, a merge rises. */
export function levelAfter(entries: readonly SegmentEntry[]): number {
  const highest = Math.max(...entries.map(({ level }) => level))
  return entries.length === 1 ? highest : highest + 1
}

/** What indexing text takes for a byte of the sealed index: the writer, its postings as they grow, the sealed copy.
 *  Debian's packages took 5.0. */
const TEXT_BUILD_FACTOR = 6

/** The same of a graph: the source, the writer, the sealed copy. */
const GRAPH_BUILD_FACTOR = 4

/** Engine memory that building a segment's live documents anew, and its graph, takes. */
export function buildBytes(
  { documentCount, vectorCount, files }: SegmentEntry,
  liveCount: number,
  vector: VectorShape | undefined,
): number {
  const alive = documentCount === 0 ? 1 : liveCount / documentCount
  // Nodes and edges of their own stay, however many documents go.
  const graph = (files.graph?.length ?? 0) * GRAPH_BUILD_FACTOR
  const text = files.text.length * TEXT_BUILD_FACTOR * alive
  const vectors = vector && vectorCount > 0 ? vectorBuildBytes(vector, vectorCount) * alive : 0
  // Text is indexed and written, with the graph, before the vectors are.
  return Math.ceil(Math.max(text + graph, vectors))
}
