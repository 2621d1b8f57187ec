import { letOthersRun } from "../base/let-others-run.ts"
import type { Engine } from "../engine/engine.ts"
import { Graph } from "../engine/graph.ts"
import { DocumentChecker } from "./document.ts"
import type { OpenLog } from "./generations.ts"
import { applyGraphOperation, setEdgesOf } from "./graph-operations.ts"
import type { Schema } from "./schema.ts"
import type { SealedSegment } from "./sealed-segment.ts"

/** Operations of a log between two looks at the clock. */
const OPERATIONS_PER_PAUSE = 64

/** Reads the graph of a collection out of its segments, oldest first, each with what is live of it now, and then out of the
 *  logs of those that are not sealed. Between two commits alone. */
export async function loadGraph(
  engine: Engine,
  schema: Schema,
  { sealed, logs }: { readonly sealed: readonly SealedSegment[]; readonly logs: readonly OpenLog[] },
): Promise<Graph> {
  const graph = Graph.create(engine)
  const checker = new DocumentChecker(schema)
  try {
    for (const segment of sealed) {
      if (segment.files.graph) await segment.addToGraph(graph)
      else await deriveEdges(graph, segment, checker)
      await letOthersRun()
    }
    for (const log of logs) await replayGraph(graph, log, checker)
    return graph
  } catch (error) {
    graph.close()
    throw error
  }
}

/** Of a segment that was built before there were graphs. */
async function deriveEdges(graph: Graph, segment: SealedSegment, checker: DocumentChecker): Promise<void> {
  let count = 0
  for await (const { id, fieldsJson } of segment.scan(segment.live)) {
    setEdgesOf(graph, id, checker.storedEdges(id, fieldsJson))
    if (++count % OPERATIONS_PER_PAUSE === 0) await letOthersRun()
  }
}

async function replayGraph(graph: Graph, { ram, length }: OpenLog, checker: DocumentChecker): Promise<void> {
  let docOrd = 0
  let count = 0
  for await (const { operation } of ram.replay(length)) {
    if (++count % OPERATIONS_PER_PAUSE === 0) await letOthersRun()
    if (operation.kind === "delete") continue
    if (operation.kind !== "put") applyGraphOperation(graph, operation)
    else if (ram.live.has(docOrd++)) {
      setEdgesOf(graph, operation.id, checker.storedEdges(operation.id, operation.fieldsJson))
    }
  }
}
