import { assert } from "../base/errors.ts"
import type { Engine } from "./engine.ts"
import { allocated } from "./memory.ts"

/** An edge of the document graph. Its weight is finite and not below 0. */
export interface GraphEdge {
  readonly from: string
  readonly to: string
  readonly edgeType: string
  readonly weight: number
}

const encoder = new TextEncoder()
const HEADER_BYTES = 20 // assembly/graph/edge-input.ts

/** Writes a node's id, where there is one, with edges or a record behind it, where the engine's next call reads them.
 *  Returns the id's bytes. */
export function writeGraphInput(
  engine: Engine,
  id: string,
  { edges = [], record }: { edges?: readonly GraphEdge[]; record?: Uint8Array },
): number {
  let bytes = id.length * 3 + (record?.length ?? 0)
  for (const { from, to, edgeType } of edges) bytes += HEADER_BYTES + (from.length + edgeType.length + to.length) * 3
  const input = allocated(engine.abi.textInput(bytes))
  const target = engine.bytes.subarray(input, input + bytes)
  const idBytes = encoder.encodeInto(id, target).written
  if (record) target.set(record, idBytes)
  const view = new DataView(target.buffer, target.byteOffset, bytes)
  let at = idBytes
  for (const { from, to, edgeType, weight } of edges) {
    assert(weight >= 0 && weight < Number.POSITIVE_INFINITY, `weight of an edge is ${weight}`)
    const header = at
    at += HEADER_BYTES
    for (const [i, text] of [from, edgeType, to].entries()) {
      const { written } = encoder.encodeInto(text, target.subarray(at))
      view.setUint32(header + i * 4, written, true)
      at += written
    }
    view.setFloat64(header + 12, weight, true)
  }
  return idBytes
}

/** The edges, of equal ones the last. */
export function distinctEdges(edges: readonly GraphEdge[]): readonly GraphEdge[] {
  if (edges.length < 2) return edges
  const distinct = new Map<string, GraphEdge>()
  for (const edge of edges) distinct.set(JSON.stringify([edge.from, edge.edgeType, edge.to]), edge)
  return [...distinct.values()]
}
