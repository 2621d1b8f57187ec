// What changes of documents, nodes and edges make of the graph in memory.
import { encodeUtf8 } from "../base/bytes.ts"
import type { Graph } from "../engine/graph.ts"
import type { GraphSegmentWriter } from "../engine/graph-segment.ts"
import type { WalGraphOperation } from "../storage/wal.ts"
import type { DocumentEdge } from "./document-edges.ts"

/** Returns whether what is deleted was there; of a put false. */
export function applyGraphOperation(graph: Graph, operation: WalGraphOperation): boolean {
  switch (operation.kind) {
    case "put node":
      graph.putNode(operation.id, encodeUtf8(operation.recordJson))
      return false
    case "delete node":
      return graph.removeNode(operation.id)
    case "put edge":
      graph.putEdge(operation)
      return false
    case "delete edge":
      return graph.removeEdge(operation.from, operation.edgeType, operation.to)
  }
}

/** Gives a document these edges in place of those that it had. */
export function setEdgesOf(graph: Graph, id: string, edges: readonly DocumentEdge[]): void {
  graph.setDocumentEdges(id, edges.map(weighed))
}

/** Edges of documents weigh the same. */
export function weighed(edge: DocumentEdge): DocumentEdge & { readonly weight: number } {
  return { ...edge, weight: 1 }
}

/** Edges that are deleted together: with the longest names they fit into one frame of the log, and to take them out of the
 *  graph is a few milliseconds. */
export const EDGES_DELETED_AT_ONCE = 1024

/** The deletion of a node with that of every edge that touches it: so neither a log nor a segment has to know of deletions
 *  that reach further than one record. In parts, each to be applied before the next is asked for; the last has the node. */
export function* expandedDeletion(graph: Graph, id: string): Generator<WalGraphOperation[], void, undefined> {
  for (;;) {
    const limit = EDGES_DELETED_AT_ONCE
    const { edges, total } = graph.edges(id, { direction: "both", explicitOnly: true, limit })
    const deletions = edges.map(({ from, edgeType, to }) => ({ kind: "delete edge", from, edgeType, to }) as const)
    if (total <= limit) {
      yield [...deletions, { kind: "delete node", id }]
      return
    }
    yield deletions
  }
}

/** Notes an operation for a segment. */
export function writeGraphOperation(writer: GraphSegmentWriter, operation: WalGraphOperation): void {
  switch (operation.kind) {
    case "put node":
      return writer.putNode(operation.id, encodeUtf8(operation.recordJson))
    case "delete node":
      return writer.deleteNode(operation.id)
    case "put edge":
      return writer.putEdge(operation)
    case "delete edge":
      return writer.deleteEdge(operation.from, operation.edgeType, operation.to)
  }
}
