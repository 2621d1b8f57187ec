import type { Graph } from "../engine/graph.ts"
import type { WalGraphOperation, WalLocation, WalOperation } from "../storage/wal.ts"
import type { CheckedDocument, DocumentChecker } from "./document.ts"
import { applyGraphOperation, setEdgesOf } from "./graph-operations.ts"
import { placeOfEdge, placeOfNode } from "./graph-record.ts"
import type { RamSegment } from "./ram-segment.ts"
import { prepareIds, type Segment } from "./segment.ts"

/** One write: what the log records and the segments then show. */
export type WriteOperation = DocumentOperation | WalGraphOperation

type DocumentOperation =
  | { readonly kind: "put"; readonly document: CheckedDocument }
  | { readonly kind: "delete"; readonly id: string }

/** Of the document that it is about; undefined where that is a node or an edge. */
export function documentIdOf(operation: WriteOperation): string | undefined {
  if (operation.kind === "put") return operation.document.id
  return operation.kind === "delete" ? operation.id : undefined
}

/** Names what it is about as a user would. */
export function placeOf(operation: WriteOperation): string {
  switch (operation.kind) {
    case "put":
      return `document "${operation.document.id}"`
    case "delete":
      return `document "${operation.id}"`
    case "put node":
    case "delete node":
      return placeOfNode(operation.id)
    default:
      return placeOfEdge(operation)
  }
}

/** What an operation of the log was when it was written. */
export function replayed(checker: DocumentChecker, operation: WalOperation): WriteOperation {
  if (operation.kind !== "put") return operation
  return { kind: "put", document: checker.checkStored(operation.id, operation.fieldsJson, operation.vector) }
}

/** What the log records of an operation. */
export function asLogged(operation: WriteOperation): WalOperation {
  return operation.kind === "put" ? { kind: "put", ...operation.document } : operation
}

/** Makes `applyOperations` possible; undefined when it is. */
export function prepareOperations(
  older: readonly Segment[],
  operations: readonly WriteOperation[],
): Promise<unknown> | undefined {
  return prepareIds(
    older,
    operations.flatMap((operation) => documentIdOf(operation) ?? []),
  )
}

/** Where operations take effect. */
export interface Target {
  readonly older: readonly Segment[]
  /** The one whose log they stand in. */
  readonly active: RamSegment
  /** Undefined as long as it is not loaded. */
  readonly graph: Graph | undefined
  /** Draws the edges of documents. */
  readonly checker: DocumentChecker
}

/** Applies operations in order: a put adds its document to the active segment, and either kind takes the document that its
 *  id had, there or in an older segment, out of sight. The graph changes with them. Returns for each whether what it
 *  replaces or deletes was there, as far as that is known. */
export function applyOperations(
  { older, active, graph, checker }: Target,
  operations: readonly WriteOperation[],
  locations: readonly WalLocation[],
): boolean[] {
  return operations.map((operation, place) => {
    if (operation.kind !== "put" && operation.kind !== "delete") {
      active.countGraphOperation(operation)
      return graph !== undefined && applyGraphOperation(graph, operation)
    }
    const id = operation.kind === "put" ? operation.document.id : operation.id
    const found = removeLive(older, active, id)
    if (operation.kind === "put") active.add(operation.document, locations[place] as WalLocation)
    if (graph) {
      const brings = operation.kind === "put" && operation.document.edgeCount > 0
      setEdgesOf(graph, id, brings ? checker.storedEdges(id, operation.document.fieldsJson) : [])
    }
    return found
  })
}

/** An id is live in one segment at most. */
function removeLive(older: readonly Segment[], active: RamSegment, id: string): boolean {
  const here = active.find(id)
  if (here !== undefined) return active.delete(here)
  for (let place = older.length - 1; place >= 0; place--) {
    const segment = older[place] as Segment
    const docOrd = segment.find(id)
    if (docOrd !== undefined) return segment.delete(docOrd)
  }
  return false
}
