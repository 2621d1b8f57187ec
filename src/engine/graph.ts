import { compareUtf8 } from "../base/bytes.ts"
import { assert } from "../base/errors.ts"
import type { Engine } from "./engine.ts"
import { distinctEdges, type GraphEdge, writeGraphInput } from "./graph-edge.ts"
import { edgesOf, readGraphOutput } from "./graph-output.ts"
import { allocated, copyOut } from "./memory.ts"
import { writeInput } from "./text-input.ts"

export type GraphDirection = "out" | "in" | "both"

const DIRECTIONS = { out: 1, in: 2, both: 3 } as const // assembly/graph/rows.ts
const NONE = 0xffff_ffff
const NO_PATH = 1 // assembly/graph/walk.ts

export interface GraphEdgesOptions {
  readonly direction: GraphDirection
  /** Only these; an empty list is none. */
  readonly edgeTypes?: readonly string[] | undefined
  /** Without edges that are derived from documents. */
  readonly explicitOnly?: boolean | undefined
  readonly limit?: number | undefined
  readonly offset?: number | undefined
}

export interface GraphWalkOptions {
  /** Only these; an empty list is none. */
  readonly edgeTypes?: readonly string[] | undefined
  /** Which way edges are walked; `out` by default. */
  readonly direction?: GraphDirection | undefined
}

export interface GraphVisit {
  readonly id: string
  /** Edges from the nearest start. */
  readonly depth: number
  /** Which of the starts led there first. */
  readonly start: number
}

export interface GraphPath {
  /** Ids of nodes, both ends with them. */
  readonly path: string[]
  /** Edges. */
  readonly length: number
  /** Sum of their weights. */
  readonly weight: number
}

/** Counts of nodes and edges. */
export interface GraphSize {
  readonly nodes: number
  readonly explicit: number
  readonly derived: number
}

export interface GraphStats {
  /** Nodes with a record or an edge. */
  readonly nodeCount: number
  /** Nodes with a record. */
  readonly recordCount: number
  /** All, explicit and derived. */
  readonly edgeCount: number
  readonly explicitEdgeCount: number
  readonly derivedEdgeCount: number
  /** By type, in the order of their names' UTF-8 bytes. */
  readonly edgeTypes: readonly { readonly edgeType: string; readonly count: number }[]
  /** Edges at a node, from it and to it. */
  readonly maxDegree: number
  readonly meanDegree: number
  readonly memoryBytes: number
}

/** A collection's document graph, all of it in the engine's memory: close it. A node is named by its id and is there as long
 *  as it has a record or an edge. An edge is explicit, the only one of its (from, edgeType, to), or derived from a document,
 *  beside explicit ones and those of other documents. Every answer is in an order of its own, which does not depend on how
 *  the graph came about: edges at a node by type, then by the id at the other end, both by their UTF-8 bytes.
 *
 *  Errors of whatever adds or reads: LIMIT_EXCEEDED when the memory of the engine is used up; nothing is changed then. */
export class Graph {
  readonly #engine: Engine
  #pointer: number

  private constructor(engine: Engine, pointer: number) {
    this.#engine = engine
    this.#pointer = allocated(pointer)
  }

  static create(engine: Engine): Graph {
    return new Graph(engine, engine.abi.graphNew())
  }

  /** Where the graph is in linear memory. */
  get pointer(): number {
    assert(this.#pointer !== 0, "graph used after close")
    return this.#pointer
  }

  /** Linear memory that the graph holds. */
  get memoryBytes(): number {
    return this.#engine.abi.graphBytes(this.pointer)
  }

  /** Makes room in the graph's tables, which grow by doubling, for so many more: what is put then takes no more than
   *  its own bytes. */
  reserve({ nodes, explicit, derived }: GraphSize): void {
    if (!this.#engine.abi.graphReserve(this.pointer, nodes, explicit, derived)) allocated(0)
  }

  /** Gives a node its record, bytes of the caller's own, in the place of the one that it had. */
  putNode(id: string, record: Uint8Array): void {
    const idBytes = writeGraphInput(this.#engine, id, { record })
    if (!this.#engine.abi.graphPutNode(this.pointer, idBytes, record.length)) allocated(0)
  }

  /** Removes a node's record, and every explicit edge from it and to it. Returns whether it had a record. */
  removeNode(id: string): boolean {
    return Boolean(this.#engine.abi.graphRemoveNode(this.pointer, writeInput(this.#engine, id)))
  }

  /** A copy of a node's record. */
  node(id: string): Uint8Array<ArrayBuffer> | undefined {
    const { abi } = this.#engine
    const node = this.#find(id)
    const record = node === undefined ? 0 : abi.graphRecord(this.pointer, node) >>> 0
    return record === 0 ? undefined : copyOut(this.#engine, record, abi.graphRecordBytes(this.pointer, node as number))
  }

  /** Whether a node has a record or an edge. */
  has(id: string): boolean {
    return this.#find(id) !== undefined
  }

  /** Adds an explicit edge; where it is there, it gets this weight. */
  putEdge(edge: GraphEdge): void {
    writeGraphInput(this.#engine, "", { edges: [edge] })
    if (!this.#engine.abi.graphPutEdge(this.pointer)) allocated(0)
  }

  /** Removes an explicit edge; false where there is none. */
  removeEdge(from: string, edgeType: string, to: string): boolean {
    writeGraphInput(this.#engine, "", { edges: [{ from, to, edgeType, weight: 0 }] })
    return Boolean(this.#engine.abi.graphRemoveEdge(this.pointer))
  }

  /** Whether an explicit edge is there. */
  hasEdge(from: string, edgeType: string, to: string): boolean {
    writeGraphInput(this.#engine, "", { edges: [{ from, to, edgeType, weight: 0 }] })
    return Boolean(this.#engine.abi.graphHasEdge(this.pointer))
  }

  /** Replaces the edges that are derived from a document; of equal ones the last counts. */
  setDocumentEdges(docId: string, edges: readonly GraphEdge[]): void {
    const distinct = distinctEdges(edges)
    const idBytes = writeGraphInput(this.#engine, docId, { edges: distinct })
    if (!this.#engine.abi.graphSetDocumentEdges(this.pointer, idBytes, distinct.length)) allocated(0)
  }

  /** The edges at a node, those from it first; a loop is listed once. `total` is how many there are without `limit` and
   *  `offset`. */
  edges(
    id: string,
    { direction, edgeTypes, explicitOnly = false, limit = NONE, offset = 0 }: GraphEdgesOptions,
  ): { edges: GraphEdge[]; total: number } {
    const node = this.#find(id)
    if (node === undefined) return { edges: [], total: 0 }
    this.#want(edgeTypes)
    const output = readGraphOutput(
      this.#engine,
      this.#engine.abi.graphEdges(
        this.pointer,
        node,
        DIRECTIONS[direction],
        Number(explicitOnly),
        u32(offset),
        u32(limit),
      ),
    )
    return { edges: edgesOf(output, output.texts.length / 3), total: output.total }
  }

  /** Walks breadth first from all starts at once, which have depth 0, and finds each node once, up to `maxDepth` edges far
   *  and up to `limit` nodes. A start that is not there is passed over. */
  bfs(
    starts: readonly string[],
    {
      edgeTypes,
      direction = "out",
      maxDepth,
      limit = NONE,
    }: GraphWalkOptions & { readonly maxDepth: number; readonly limit?: number | undefined },
  ): GraphVisit[] {
    const { abi } = this.#engine
    this.#begin(edgeTypes)
    for (const [i, start] of starts.entries()) abi.graphWalkFrom(this.pointer, writeInput(this.#engine, start), i)
    const { values, texts } = readGraphOutput(
      this.#engine,
      abi.graphBfs(this.pointer, DIRECTIONS[direction], u32(maxDepth), u32(limit)),
    )
    return texts.map((id, i) => ({
      id,
      depth: values.getUint32(i * 8, true),
      start: values.getUint32(i * 8 + 4, true),
    }))
  }

  /** The path of the least weight, of those one with the fewest edges; null where there is none or an end is not there.
   *  Weights are summed in doubles from the start on. */
  shortestPath(
    start: string,
    target: string,
    { edgeTypes, direction = "out" }: GraphWalkOptions = {},
  ): GraphPath | null {
    const { abi } = this.#engine
    const from = this.#find(start)
    const to = this.#find(target)
    if (from === undefined || to === undefined) return null
    this.#begin(edgeTypes)
    const answer = abi.graphShortestPath(this.pointer, from, to, DIRECTIONS[direction])
    if (answer === NO_PATH) return null
    const { values, texts } = readGraphOutput(this.#engine, answer)
    return { path: [...texts], length: texts.length - 1, weight: values.getFloat64(0, true) }
  }

  stats(): GraphStats {
    const { values, texts } = readGraphOutput(this.#engine, this.#engine.abi.graphStats(this.pointer))
    const [nodeCount, recordCount, explicitEdgeCount, derivedEdgeCount, maxDegree] = [0, 4, 8, 12, 16].map((offset) =>
      values.getUint32(offset, true),
    ) as [number, number, number, number, number]
    const edgeCount = explicitEdgeCount + derivedEdgeCount
    return {
      nodeCount,
      recordCount,
      edgeCount,
      explicitEdgeCount,
      derivedEdgeCount,
      edgeTypes: texts
        .map((edgeType, i) => ({ edgeType, count: values.getUint32(24 + i * 4, true) }))
        .sort((a, b) => compareUtf8(a.edgeType, b.edgeType)),
      maxDegree,
      meanDegree: nodeCount === 0 ? 0 : (2 * edgeCount) / nodeCount,
      memoryBytes: this.memoryBytes,
    }
  }

  /** Gives the memory back. Closing twice is fine. */
  close(): void {
    if (this.#pointer !== 0) this.#engine.abi.graphFree(this.#pointer)
    this.#pointer = 0
  }

  [Symbol.dispose](): void {
    this.close()
  }

  #find(id: string): number | undefined {
    const node = this.#engine.abi.graphNode(this.pointer, writeInput(this.#engine, id)) >>> 0
    return node === NONE ? undefined : node
  }

  #want(edgeTypes: readonly string[] | undefined): void {
    const { abi } = this.#engine
    if (!edgeTypes) return abi.graphWantAll(this.pointer)
    abi.graphWantNone(this.pointer)
    for (const edgeType of edgeTypes) abi.graphWant(this.pointer, writeInput(this.#engine, edgeType))
  }

  #begin(edgeTypes: readonly string[] | undefined): void {
    this.#want(edgeTypes)
    if (!this.#engine.abi.graphWalkBegin(this.pointer)) allocated(0)
  }
}

/** A count as the engine takes it: what is larger means no bound. */
function u32(count: number): number {
  assert(count >= 0 && (Number.isInteger(count) || count === Number.POSITIVE_INFINITY), `${count} is no count`)
  return Math.min(count, NONE)
}
