import type { WalLocation, WalOperation } from "../storage/wal.ts"
import type { CheckedDocument, DocumentChecker } from "./document.ts"
import type { RamSegment } from "./ram-segment.ts"
import { prepareIds, type Segment } from "./segment.ts"

/** One write: what the log records and the segments then show. */
export type WriteOperation =
  | { readonly kind: "put"; readonly document: CheckedDocument }
  | { readonly kind: "delete"; readonly id: string }

export function idOf(operation: WriteOperation): string {
  return operation.kind === "put" ? operation.document.id : operation.id
}

/** What an operation of the log was when it was written. */
export function replayed(checker: DocumentChecker, operation: WalOperation): WriteOperation {
  if (operation.kind === "delete") return operation
  return { kind: "put", document: checker.checkStored(operation.id, operation.fieldsJson, operation.vector) }
}

/** Makes `applyOperations` possible; undefined when it is. */
export function prepareOperations(
  older: readonly Segment[],
  operations: readonly WriteOperation[],
): Promise<unknown> | undefined {
  return prepareIds(older, operations.map(idOf))
}

/** Applies operations that stand in the log of `active`, in order: a put adds its document there, and either kind takes
 *  the document that its id had, here or in an older segment, out of sight. Returns for each whether there was one. */
export function applyOperations(
  older: readonly Segment[],
  active: RamSegment,
  operations: readonly WriteOperation[],
  locations: readonly WalLocation[],
): boolean[] {
  return operations.map((operation, place) => {
    const found = removeLive(older, active, idOf(operation))
    if (operation.kind === "put") active.add(operation.document, locations[place] as WalLocation)
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
