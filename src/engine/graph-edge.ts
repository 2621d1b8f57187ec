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
  let most = id.length * 3 + (record?.length ?? 0)
  for (const { from, to, edgeType } of edges) most += HEADER_BYTES + (from.length + edgeType.length + to.length) * 3
  const input = allocated(engine.abi.textInput(most))
  const { bytes } = engine
  const idBytes = id === "" ? 0 : writeText(bytes, id, input)
  if (record) bytes.set(record, input + idBytes)
  let at = input + idBytes
  for (const edge of edges) at = writeEdge(bytes, edge, at)
  return idBytes
}

const header = new Uint8Array(HEADER_BYTES)
const headerView = new DataView(header.buffer)

/** Returns where the next one belongs. */
function writeEdge(bytes: Uint8Array, { from, to, edgeType, weight }: GraphEdge, at: number): number {
  assert(weight >= 0 && weight < Number.POSITIVE_INFINITY, `weight of an edge is ${weight}`)
  const texts = at + HEADER_BYTES
  const all = from + edgeType + to
  let [fromBytes, typeBytes, toBytes] = [from.length, edgeType.length, to.length]
  // All at once where they are ASCII, as mostly; a surrogate at an end could join that of the next text.
  if (writeText(bytes, all, texts) !== all.length) {
    fromBytes = writeText(bytes, from, texts)
    typeBytes = writeText(bytes, edgeType, texts + fromBytes)
    toBytes = writeText(bytes, to, texts + fromBytes + typeBytes)
  }
  headerView.setUint32(0, fromBytes, true)
  headerView.setUint32(4, typeBytes, true)
  headerView.setUint32(8, toBytes, true)
  headerView.setFloat64(12, weight, true)
  bytes.set(header, at)
  return texts + fromBytes + typeBytes + toBytes
}

/** Returns its bytes. The view ends where the text does at most: into one of 2 GiB and more Node 20 writes nothing. */
function writeText(bytes: Uint8Array, text: string, at: number): number {
  return encoder.encodeInto(text, bytes.subarray(at, at + text.length * 3)).written
}

/** The edges, of equal ones the last. */
export function distinctEdges(edges: readonly GraphEdge[]): readonly GraphEdge[] {
  if (edges.length < 2) return edges
  const distinct = new Map<string, GraphEdge>()
  for (const edge of edges) distinct.set(JSON.stringify([edge.from, edge.edgeType, edge.to]), edge)
  return [...distinct.values()]
}
