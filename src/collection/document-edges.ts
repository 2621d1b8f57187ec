// The edges of the graph that documents bring: what the schema draws from their fields.
import { utf8Length } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { describe, quote } from "./describe.ts"
import { ID_BYTES_MAX, isBroken } from "./id.ts"
import type { DerivedEdge } from "./schema.ts"

/** Edges of a document weigh 1. */
export interface DocumentEdge {
  readonly from: string
  readonly edgeType: string
  readonly to: string
}

/** A list of n sources and one of m targets make n × m edges. Of Debian's packages none has more than 332; this is twelve
 *  times as many, and no more than 64 × 64. A segment's worth of documents that all have so many is sealed early (see
 *  `operationBytes`). */
export const DOCUMENT_EDGES_MAX = 4096

/** How many edges a document's fields bring; one that two rules of the schema draw counts twice. INVALID_DOCUMENT with the
 *  field where a value can be no id, LIMIT_EXCEEDED where there are too many. Of a document that `isStored` such values, and
 *  edges past the limit, are left out instead: it was taken before the schema's edges were drawn. */
export function countDocumentEdges(
  declared: readonly DerivedEdge[],
  id: string,
  fields: Readonly<Record<string, unknown>>,
  { isStored }: { isStored: boolean },
): number {
  const place = `document ${quote(id)}`
  let count = 0
  for (const edge of declared) {
    const { sources, targets } = endsOf(edge, id, fields, { isStored, place })
    count += sources.length * targets.length
    if (count > DOCUMENT_EDGES_MAX && !isStored) {
      throw new PrismError("LIMIT_EXCEEDED", `its fields make more than ${DOCUMENT_EDGES_MAX} edges`, { place })
    }
  }
  return Math.min(count, DOCUMENT_EDGES_MAX)
}

/** The edges that a stored document's fields bring, each once, as `countDocumentEdges` counts them. */
export function documentEdges(
  declared: readonly DerivedEdge[],
  id: string,
  fields: Readonly<Record<string, unknown>>,
): DocumentEdge[] {
  const edges = new Map<string, DocumentEdge>()
  for (const edge of declared) {
    const { edgeType } = edge
    const { sources, targets } = endsOf(edge, id, fields, { isStored: true, place: "" })
    for (const from of sources) {
      for (const to of targets) {
        edges.set(JSON.stringify([from, edgeType, to]), { from, edgeType, to })
        if (edges.size === DOCUMENT_EDGES_MAX) return [...edges.values()]
      }
    }
  }
  return [...edges.values()]
}

/** From each of the sources one leads to each of the targets. */
function endsOf(
  edge: DerivedEdge,
  id: string,
  fields: Readonly<Record<string, unknown>>,
  options: Options,
): { sources: readonly string[]; targets: readonly string[] } {
  const ids = (field: string) => (field === "id" ? [id] : idsAt(fields, field, edge, options))
  const targets = ids(edge.toField)
  return { sources: targets.length > 0 ? ids(edge.fromField) : [], targets }
}

interface Options {
  readonly isStored: boolean
  readonly place: string
}

/** The ids that a field holds, each once: text or whole numbers, one or a list; missing and null are none. */
function idsAt(
  fields: Readonly<Record<string, unknown>>,
  field: string,
  { edgeType }: DerivedEdge,
  { isStored, place }: Options,
): string[] {
  const ids = new Set<string>()
  for (const value of valuesAt(fields, field)) {
    if (value === null || value === undefined) continue
    const id = idOf(value)
    if (id !== undefined) ids.add(id)
    else if (!isStored) {
      throw new PrismError(
        "INVALID_DOCUMENT",
        `field ${quote(field)} expects ids for edges ${quote(edgeType)}, found ${describe(value)}`,
        { place, hint: `an id is text of up to ${ID_BYTES_MAX} bytes, or a whole number; a list of them is fine` },
      )
    }
  }
  return [...ids]
}

function idOf(value: unknown): string | undefined {
  if (typeof value === "bigint" || Number.isSafeInteger(value)) return String(value)
  if (typeof value !== "string" || isBroken(value)) return undefined
  return value.length * 3 <= ID_BYTES_MAX || utf8Length(value) <= ID_BYTES_MAX ? value : undefined
}

/** What stands under a name, or under its parts in nested objects, through every object of a list on the way. */
function* valuesAt(fields: Readonly<Record<string, unknown>>, name: string): Generator {
  if (Object.hasOwn(fields, name)) yield* itemsOf(fields[name])
  else if (name.includes(".")) yield* nestedAt(fields, name.split("."))
}

function* nestedAt(value: unknown, steps: readonly string[]): Generator {
  const [step, ...rest] = steps
  if (step === undefined) yield* itemsOf(value)
  else if (Array.isArray(value)) for (const item of value) yield* nestedAt(item, steps)
  else if (typeof value === "object" && value !== null && Object.hasOwn(value, step)) {
    yield* nestedAt((value as Record<string, unknown>)[step], rest)
  }
}

function itemsOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [value]
}
