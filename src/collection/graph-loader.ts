import type { Engine } from "../engine/engine.ts"
import { Graph } from "../engine/graph.ts"
import { joinPath } from "../storage/path.ts"
import { replayWal } from "../storage/wal.ts"
import type { CollectionContext } from "./context.ts"
import { DocumentChecker } from "./document.ts"
import type { LogState } from "./generations.ts"
import { applyGraphOperation, setEdgesOf } from "./graph-operations.ts"
import type { Schema } from "./schema.ts"
import { SealedSegment } from "./sealed-segment.ts"
import type { Segment } from "./segment.ts"

/** Reads the graph of a collection out of its segments, oldest first, each with what is live of it now, and out of the logs
 *  of those that are not sealed. Between two commits alone. */
export async function loadGraph(
  engine: Engine,
  schema: Schema,
  { segments, logs }: { readonly segments: readonly Segment[]; readonly logs: readonly LogState[] },
  context: Pick<CollectionContext, "storage" | "directory">,
): Promise<Graph> {
  const graph = Graph.create(engine)
  const checker = new DocumentChecker(schema)
  const waiting = [...logs]
  try {
    for (const segment of segments) {
      if (segment instanceof SealedSegment && segment.files.graph) await segment.addToGraph(graph)
      else if (segment instanceof SealedSegment) await deriveEdges(graph, segment, checker)
      else await replayGraph(graph, segment, waiting.shift() as LogState, checker, context)
    }
    return graph
  } catch (error) {
    graph.close()
    throw error
  }
}

/** Of a segment that was built before there were graphs. */
async function deriveEdges(graph: Graph, segment: SealedSegment, checker: DocumentChecker): Promise<void> {
  for await (const { id, fieldsJson } of segment.scan(segment.live)) {
    setEdgesOf(graph, id, checker.storedEdges(id, fieldsJson))
  }
}

async function replayGraph(
  graph: Graph,
  segment: Segment,
  log: LogState,
  checker: DocumentChecker,
  { storage, directory }: Pick<CollectionContext, "storage" | "directory">,
): Promise<void> {
  let docOrd = 0
  const replay = replayWal(storage, joinPath(directory, log.path), { walNumber: log.number, length: log.length })
  for await (const { operation } of replay) {
    if (operation.kind === "delete") continue
    if (operation.kind !== "put") applyGraphOperation(graph, operation)
    else if (segment.live.has(docOrd++)) {
      setEdgesOf(graph, operation.id, checker.storedEdges(operation.id, operation.fieldsJson))
    }
  }
}
