// Figures of the server as it is at this moment, for /metrics.
import { VERSION } from "../base/version.ts"
import type { CollectionStats } from "../collection/collection.ts"
import { type Family, one } from "./metrics.ts"
import type { Service } from "./service.ts"

/** So many collections have figures of their own, the first by name: each is a series more for Prometheus to keep. */
const COLLECTIONS_MAX = 1000

/** Of each open collection: one that is not open has no figures until somebody asks for it. */
const COLLECTION_FIGURES: readonly [name: string, help: string, value: (stats: CollectionStats) => number][] = [
  ["documents", "Documents that can be found.", (stats) => stats.document_count],
  ["deleted_documents", "Replaced or deleted documents that still take room.", (stats) => stats.deleted_count],
  ["segments", "Sealed segments.", (stats) => stats.segment_count],
  ["pending_segments", "Full segments in memory that wait to be sealed.", (stats) => stats.pending_segments],
  ["disk_bytes", "Segment files and logs.", (stats) => stats.size_bytes],
  ["log_bytes", "Write-ahead logs.", (stats) => stats.log_bytes],
  ["memory_bytes", "Engine memory that open structures hold.", (stats) => stats.memory_bytes],
  ["resident_bytes", "What of the segments' files is in that memory.", (stats) => stats.resident_bytes],
  ["writable", "1 while it takes writes, 0 while its disk is full or it is read-only.", (stats) => writable(stats)],
]

export async function serverFigures({ prism, runtime, uptime, clock, jobs }: Service): Promise<Family[]> {
  const open = prism.openCollections
  const stats = await Promise.all(open.slice(0, COLLECTIONS_MAX).map((collection) => collection.stats()))
  const cache = stats[0]?.cache
  const peakBytes = runtime.terminal?.peakMemoryBytes()
  return [
    {
      name: "prism_build_info",
      type: "gauge",
      help: "Always 1.",
      values: [[{ version: VERSION, runtime: runtime.name, runtime_version: runtime.version }, 1]],
    },
    one("prism_uptime_seconds", "gauge", "Since the server began.", uptime()),
    one("prism_jobs_running", "gauge", "Long work that is under way.", jobs.running),
    one("prism_collections", "gauge", "Collections, open or not.", (await prism.collectionNames()).length),
    one("prism_collections_open", "gauge", `Collections that are open; ${COLLECTIONS_MAX} have figures.`, open.length),
    ...COLLECTION_FIGURES.map(
      ([name, help, value]): Family => ({
        name: `prism_collection_${name}`,
        type: "gauge",
        help,
        values: stats.map((of) => [{ collection: of.name }, value(of)]),
      }),
    ),
    ...(cache
      ? [
          one("prism_cache_bytes", "gauge", "Blocks of files in memory.", cache.bytes),
          one("prism_cache_hits_total", "counter", "Blocks that were there.", cache.hits),
          one("prism_cache_misses_total", "counter", "Blocks that had to be read.", cache.misses),
        ]
      : []),
    ...(peakBytes === undefined
      ? []
      : [one("prism_memory_peak_bytes", "gauge", "The most memory that the process had.", peakBytes)]),
    one("prism_event_loop_delay_seconds", "gauge", "How late a timer came just now.", await timerDelay(clock)),
  ]
}

function writable({ state }: CollectionStats): number {
  return state === "ready" ? 1 : 0
}

async function timerDelay(clock: Service["clock"]): Promise<number> {
  const startedMs = clock.monotonicMs()
  await new Promise<void>((resolve) => void clock.after(0, resolve))
  return (clock.monotonicMs() - startedMs) / 1000
}
