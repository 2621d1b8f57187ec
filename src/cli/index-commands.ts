import type { CollectionStats } from "../collection/collection.ts"
import type { RecallReport } from "../collection/recall.ts"
import { COLLECTION, PROGRESS } from "./arguments.ts"
import { command, group } from "./command.ts"
import { facts, formatBytes, formatCount, formatPercent, plural, table } from "./format.ts"
import { withCollections } from "./with-collections.ts"

const optimize = command({
  name: "optimize",
  description: "Merge the segments into as few as can be and drop what was deleted or replaced",
  details: [
    "Merges happen by themselves while a collection is written to. This one makes the smallest files and the fastest " +
      "searches, and is worth its time after the last of many writes. It needs room on the disk for a second copy of the " +
      "index until it is done. Interrupted, it loses nothing and can be run again.",
  ],
  examples: [
    ["prism index optimize -c products", "after a large import"],
    ["prism index optimize -c products --progress", "with lines of progress, for the log of a nightly job"],
  ],
  args: { collection: COLLECTION, progress: PROGRESS },
  async run(context, { collection, progress }) {
    const report = await withCollections(context, "change", async (collections) => {
      const opened = await collections.collection(collection)
      const display = context.progress(progress)
      return await opened.optimize({
        signal: context.signal,
        ...(display && { onProgress: (done) => display.update(done) }),
      })
    })
    context.endProgress()
    if (context.json) await context.printJson({ success: true, collection, ...report })
    else {
      const { documents, segments_before, segments_after, bytes_before, bytes_after } = report
      await context.print(
        `Optimized "${collection}": ${plural(documents, "document")}, ` +
          `${plural(segments_before, "segment")} before and ${formatCount(segments_after)} now, ` +
          `${formatBytes(bytes_before)} before and ${formatBytes(bytes_after)} now`,
      )
    }
    return 0
  },
})

const stats = command({
  name: "stats",
  description: "Show what a collection is made of, and how good its vector search is",
  details: [
    "With --recall some of the collection's own vectors are searched for twice, once as a search would and once exactly; " +
      "recall is the share of the exact neighbors that the search finds. It reads every vector, which takes a while.",
  ],
  examples: [
    ["prism index stats -c products", "a table"],
    ["prism index stats -c products --recall", "with the recall of the vector search"],
    ["prism index stats -c products --json | jq .segment_count", "for a script"],
  ],
  args: {
    collection: COLLECTION,
    recall: { type: "boolean", description: "Measure the recall of the vector search, by 100 samples" },
  },
  async run(context, { collection, recall }) {
    const { stats, measured } = await withCollections(context, "read", async (collections) => {
      const opened = await collections.collection(collection)
      const measured = recall && opened.schema.vector ? await opened.recall({ signal: context.signal }) : undefined
      // Afterwards, so that memory and block cache are those of an open collection that was used.
      return { stats: await opened.stats(), measured }
    })
    if (context.json) {
      await context.printJson({ ...stats, ...(recall && { recall: measured ?? null }) })
      return 0
    }
    await context.print(
      facts([
        ["Collection", stats.name],
        ["Documents", formatCount(stats.document_count)],
        ["Size", formatBytes(stats.size_bytes)],
        ...describeStorage(stats),
        ...(measured ? [["Recall", describeRecall(measured)] as const] : []),
      ]),
    )
    if (stats.segments.length > 0) await context.print(`\n${describeSegments(stats)}`)
    if (recall && measured === undefined) context.note("There is no recall to measure: the collection has no vectors")
    return 0
  },
})

/** What is known of how a collection lies on disk. State, memory and cache would be those of this command's own process,
 *  which tell nobody anything: they stand in the JSON alone. */
export function describeStorage(stats: CollectionStats): [string, string][] {
  return [
    ["Generation", formatCount(stats.generation)],
    [
      "Segments",
      `${formatCount(stats.segment_count)}, and ${formatCount(stats.pending_segments)} waiting to be sealed`,
    ],
    ["Deleted", `${plural(stats.deleted_count, "document")}, replaced ones too, that still take room`],
    ["Log", formatBytes(stats.log_bytes)],
  ]
}

function describeRecall({ recall, samples, k, ef }: RecallReport): string {
  if (recall === null) return "There is no recall to measure"
  return `${formatPercent(recall)} of the nearest ${k} (${plural(samples, "sample")}, ef ${ef})`
}

function describeSegments({ segments }: CollectionStats): string {
  const header = ["SEGMENT", "LEVEL", "DOCUMENTS", "DELETED", "VECTORS", "SIZE"] as const
  return table(
    header.map((title) => ({ title, align: "right" })),
    segments.map(({ id, level, documents, deleted, vectors, bytes }) => [
      String(id),
      String(level),
      formatCount(documents),
      formatCount(deleted),
      formatCount(vectors),
      formatBytes(bytes),
    ]),
  )
}

export const indexCommands = group({
  name: "index",
  description: "Merge the segments of a collection, show what it is made of",
  examples: [
    ["prism index optimize -c products", "one segment of all"],
    ["prism index stats -c products --recall", "sizes, state and recall"],
  ],
  subCommands: [optimize, stats],
})
