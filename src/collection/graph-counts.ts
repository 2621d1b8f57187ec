import type { GraphSegment } from "../engine/graph-segment.ts"
import type { GraphCounts, SegmentEntry } from "../storage/manifest.ts"

/** Nodes and edges that are put or deleted in a segment, beside those that its documents bring. */
export function graphRecordCount({ graph }: Pick<SegmentEntry, "graph">): number {
  return graph ? graph.nodes + graph.edges + graph.deletions : 0
}

export function countsOf({ nodeCount, edgeCount, tombstoneCount }: GraphSegment): GraphCounts {
  return { nodes: nodeCount, edges: edgeCount, deletions: tombstoneCount }
}

/** Whether a segment's graph is what the manifest says of it. */
export function isAsCounted(segment: GraphSegment, { graph }: Pick<SegmentEntry, "graph">): boolean {
  const { nodes, edges, deletions } = countsOf(segment)
  return nodes === graph?.nodes && edges === graph.edges && deletions === graph.deletions
}
