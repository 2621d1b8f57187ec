import { decodeUtf8 } from "../base/bytes.ts"
import { PrismError, type Problem } from "../base/errors.ts"
import type { Graph, GraphDirection } from "../engine/graph.ts"
import type { WalGraphOperation } from "../storage/wal.ts"
import {
  checkEdge,
  checkEdgeKey,
  checkEdgeType,
  checkNode,
  checkNodeId,
  type EdgeInput,
  type EdgeKey,
  type NodeInput,
  nodeOf,
} from "./graph-record.ts"
import { checkOptions } from "./known-options.ts"
import { placeOf } from "./operations.ts"
import { asProblem, refusal } from "./refused.ts"
import type { Committed } from "./writer.ts"

export interface GraphEdgeResult extends EdgeKey {
  readonly weight: number
}

export interface EdgesRequest {
  /** "out": those that leave the node; "in": those that enter it; "both" (default). */
  readonly direction?: GraphDirection | undefined
  /** One type, or several. All where missing. */
  readonly edge_type?: string | readonly string[] | undefined
  /** At most 10,000. Default 100. */
  readonly limit?: number | undefined
  readonly offset?: number | undefined
}

export interface EdgesResponse {
  /** By type, then by the node at the other end. */
  readonly edges: readonly GraphEdgeResult[]
  /** Without limit and offset. */
  readonly total: number
}

export interface BfsRequest {
  readonly start: string
  readonly edge_type?: string | readonly string[] | undefined
  /** Edges between the start and what is found: 1 is its neighbours. At most 100,000. */
  readonly max_depth: number
  /** Which way edges are walked. Default "out". */
  readonly direction?: GraphDirection | undefined
  /** Nodes at most, 100,000 at the most. Default 10,000. */
  readonly limit?: number | undefined
}

export interface BfsResponse {
  /** The start first, then nearest first. */
  readonly nodes: readonly { readonly id: string; readonly depth: number }[]
  /** Of `nodes`. */
  readonly count: number
  /** True where the limit left some out. */
  readonly truncated: boolean
}

export interface ShortestPathRequest {
  readonly start: string
  readonly target: string
  readonly edge_types?: readonly string[] | undefined
}

export interface ShortestPathResponse {
  /** Ids from start to target; null where no path leads there. */
  readonly path: readonly string[] | null
  /** Edges of the path. */
  readonly length: number | null
  /** Sum of their weights: of all paths the smallest. */
  readonly weight: number | null
}

export interface CollectionGraphStats {
  /** Nodes that have a record or an edge. */
  readonly node_count: number
  /** Nodes that were added, by `addNodes`. */
  readonly record_count: number
  /** All edges. */
  readonly edge_count: number
  /** Edges that were added, by `addEdges`. */
  readonly explicit_edge_count: number
  /** Edges that documents bring. */
  readonly document_edge_count: number
  readonly edge_types: Readonly<Record<string, number>>
  readonly max_degree: number
  readonly mean_degree: number
  readonly memory_bytes: number
}

/** What a graph needs of its collection. */
export interface GraphHost {
  readonly name: string
  /** INVALID_REQUEST where it has no graph. */
  commit(operations: readonly WalGraphOperation[]): Promise<Committed>
  /** Calls `use` with the graph as it is between two writes. */
  read<T>(use: (graph: Graph) => T): Promise<T>
  /** Which of these ids documents have. */
  which(ids: readonly string[]): Promise<Set<string>>
}

const EDGES_MAX = 10_000
const DEPTH_MAX = 100_000
/** To walk so many, and to hand them over, keeps others waiting for less than 100 ms. */
const NODES_MAX = 100_000

/** Records that are checked before they are handed to the log together. */
const CHUNK = 1024

/** The graph of a collection: nodes and edges that were added, and the edges that documents bring. Every document is a node
 *  of it, and so is every id that an edge names. INVALID_REQUEST where the collection's schema has no `backends.graph`. */
export class CollectionGraph {
  readonly #host: GraphHost

  constructor(host: GraphHost) {
    this.#host = host
  }

  /** Adds nodes, each replacing the one with its id. Resolves once all of them are durable. A bad one is refused by itself:
   *  then this rejects with INVALID_REQUEST (or the code that all problems share) and lists each in `problems`; the good ones
   *  are durable. */
  async addNodes(nodes: NodeInput | readonly NodeInput[]): Promise<{ added: number }> {
    return await this.#add(asList(nodes), checkNode, "node")
  }

  /** Adds edges, each replacing the one with its ends and type; as addNodes. */
  async addEdges(edges: EdgeInput | readonly EdgeInput[]): Promise<{ added: number }> {
    return await this.#add(asList(edges), checkEdge, "edge")
  }

  /** What was added of a node, or undefined. */
  async node(id: string): Promise<NodeInput | undefined> {
    const record = await this.#host.read((graph) => graph.node(checkNodeId(id, "the id of a node")))
    return record && nodeOf(id, decodeUtf8(record))
  }

  /** Deletes what was added of a node, with every edge from it and to it that was added. Edges that documents bring stay.
   *  Resolves to what was there. Whoever reads meanwhile, and a crash, sees it whole or not at all where those edges are
   *  1024 at most. Of more, edges go first, 1024 at a time, and the node with the last of them: a crash, or an error such as
   *  DISK_FULL, may leave the node with a part of its edges, to be deleted once more. */
  async deleteNode(id: string): Promise<{ deleted: boolean; edges_deleted: number }> {
    const operation = { kind: "delete node", id: checkNodeId(id, "the id of a node") } as const
    const { found } = await this.#host.commit([operation])
    return { deleted: found.nodes > 0, edges_deleted: found.edges }
  }

  /** Deletes edges that were added, durably. Resolves to how many were there. Where one is none, none is deleted. */
  async deleteEdges(edges: EdgeKey | readonly EdgeKey[]): Promise<{ deleted: number }> {
    const { found } = await this.#host.commit(asList(edges).map(checkEdgeKey))
    return { deleted: found.edges }
  }

  /** The edges at a node. NODE_NOT_FOUND where neither a document nor a node nor an edge has the id. */
  async edges(id: string, request: EdgesRequest = {}): Promise<EdgesResponse> {
    checkOptions("edges", request, ["direction", "edge_type", "limit", "offset"])
    checkNodeId(id, "the id of a node")
    const options = {
      direction: directionOf(request, "both"),
      edgeTypes: edgeTypesOf(request.edge_type),
      limit: wholeNumber("limit", request.limit, { byDefault: 100, min: 0, max: EDGES_MAX }),
      offset: wholeNumber("offset", request.offset, { byDefault: 0, min: 0, max: Number.MAX_SAFE_INTEGER }),
    }
    return await this.#at([id], (graph) => {
      const { edges, total } = graph.edges(id, options)
      return { edges: edges.map(({ edgeType, ...edge }) => ({ ...edge, edge_type: edgeType })), total }
    })
  }

  /** What can be reached from a node, and how far it is. NODE_NOT_FOUND. */
  async bfs(request: BfsRequest): Promise<BfsResponse> {
    checkOptions("bfs", request, ["start", "edge_type", "max_depth", "direction", "limit"])
    const start = checkNodeId(request.start, "start")
    const limit = wholeNumber("limit", request.limit, { byDefault: 10_000, min: 1, max: NODES_MAX })
    const options = {
      direction: directionOf(request, "out"),
      edgeTypes: edgeTypesOf(request.edge_type),
      maxDepth: wholeNumber("max_depth", request.max_depth, { min: 0, max: DEPTH_MAX }),
      limit: limit + 1,
    }
    const found = await this.#at([start], (graph) => graph.bfs([start], options))
    // A document without edges is a node that the graph does not know of.
    const nodes =
      found.length > 0 ? found.slice(0, limit).map(({ id, depth }) => ({ id, depth })) : [{ id: start, depth: 0 }]
    return { nodes, count: nodes.length, truncated: found.length > limit }
  }

  /** The way along edges, in their direction, whose weights come to the least. NODE_NOT_FOUND. */
  async shortestPath(request: ShortestPathRequest): Promise<ShortestPathResponse> {
    checkOptions("shortestPath", request, ["start", "target", "edge_types"])
    const start = checkNodeId(request.start, "start")
    const target = checkNodeId(request.target, "target")
    const options = { edgeTypes: edgeTypesOf(request.edge_types) }
    const found = await this.#at([start, target], (graph) => graph.shortestPath(start, target, options))
    if (found) return { path: found.path, length: found.length, weight: found.weight }
    return start === target ? { path: [start], length: 0, weight: 0 } : { path: null, length: null, weight: null }
  }

  async stats(): Promise<CollectionGraphStats> {
    return await this.#host.read((graph) => {
      const stats = graph.stats()
      return {
        node_count: stats.nodeCount,
        record_count: stats.recordCount,
        edge_count: stats.edgeCount,
        explicit_edge_count: stats.explicitEdgeCount,
        document_edge_count: stats.derivedEdgeCount,
        edge_types: Object.fromEntries(stats.edgeTypes.map(({ edgeType, count }) => [edgeType, count])),
        max_degree: stats.maxDegree,
        mean_degree: stats.meanDegree,
        memory_bytes: stats.memoryBytes,
      }
    })
  }

  async #add<Input>(
    inputs: readonly Input[],
    check: (input: Input) => WalGraphOperation,
    what: "node" | "edge",
  ): Promise<{ added: number }> {
    const problems: Problem[] = []
    let added = 0
    for (let first = 0; first < inputs.length || first === 0; first += CHUNK) {
      const operations: WalGraphOperation[] = []
      for (const [place, input] of inputs.slice(first, first + CHUNK).entries()) {
        try {
          operations.push(check(input))
        } catch (error) {
          problems.push(asProblem(error, `${what} ${first + place}`))
        }
      }
      const { done, refusal: refused } = await this.#host.commit(operations)
      added += done
      for (const operation of refused ? operations.slice(done) : []) {
        problems.push({ ...asProblem(refused, ""), place: placeOf(operation) })
      }
    }
    if (problems.length > 0) throw refusal(problems, { what, code: "INVALID_REQUEST", added })
    return { added }
  }

  /** Reads the graph where every one of these ids is a node. */
  async #at<T>(ids: readonly string[], use: (graph: Graph) => T): Promise<T> {
    const { result, missing } = await this.#host.read((graph) => ({
      result: use(graph),
      missing: ids.filter((id) => !graph.has(id)),
    }))
    if (missing.length === 0) return result
    const documents = await this.#host.which(missing)
    const unknown = missing.find((id) => !documents.has(id))
    if (unknown === undefined) return result
    throw new PrismError("NODE_NOT_FOUND", `collection "${this.#host.name}" has no node ${JSON.stringify(unknown)}`, {
      place: unknown,
      hint: "a node is a document, what was added as one, or what an edge names",
    })
  }
}

/** INVALID_REQUEST; undefined means all types. */
export function edgeTypesOf(given: string | readonly string[] | undefined): readonly string[] | undefined {
  if (given === undefined || given === null) return undefined
  const types: unknown = typeof given === "string" ? [given] : given
  if (Array.isArray(types) && types.length > 0) return types.map(checkEdgeType)
  throw invalid("edge_type", `is ${JSON.stringify(given)}`, "give one type, or a list of several; leave it out for all")
}

/** INVALID_REQUEST for what is no whole number from `min` to `max`. */
export function wholeNumber(
  key: string,
  value: number | undefined,
  { byDefault, min, max }: { byDefault?: number; min: number; max: number },
): number {
  const number = value ?? byDefault
  if (typeof number === "number" && Number.isInteger(number) && number >= min && number <= max) return number
  throw invalid(
    key,
    `is ${number === undefined ? "missing" : JSON.stringify(number)}`,
    `give a whole number from ${min} to ${max}`,
  )
}

function directionOf(
  { direction }: { direction?: GraphDirection | undefined },
  byDefault: GraphDirection,
): GraphDirection {
  const found = direction ?? byDefault
  if (found === "out" || found === "in" || found === "both") return found
  throw invalid("direction", `is ${JSON.stringify(found)}`, 'it is "out", "in" or "both"')
}

function asList<T>(given: T | readonly T[]): readonly T[] {
  return Array.isArray(given) ? (given as readonly T[]) : [given as T]
}

function invalid(key: string, what: string, hint: string): PrismError {
  return new PrismError("INVALID_REQUEST", `"${key}" ${what}`, { place: key, hint })
}
