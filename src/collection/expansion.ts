// How a search goes on along the edges of the graph: from its results to documents that these lead to.
import { PrismError } from "../base/errors.ts"
import type { Graph, GraphVisit } from "../engine/graph.ts"
import { edgeTypesOf, wholeNumber } from "./graph.ts"
import { checkOptions } from "./known-options.ts"

export interface ExpandRequest {
  /** One type, or several. All where missing. */
  readonly edge_type?: string | readonly string[] | undefined
  /** Edges between a result and what is found. From 1 to 100. */
  readonly depth: number
  /** Documents at most, 1,000 at the most. Default 100. */
  readonly limit?: number | undefined
}

/** A document that the results of a search lead to. */
export interface ExpandedDocument<Fields = Record<string, unknown>> {
  readonly id: string
  /** Edges from the nearest result. */
  readonly depth: number
  /** The id of that result. */
  readonly via: string
  readonly fields: Fields
}

export interface Expansion {
  readonly edgeTypes: readonly string[] | undefined
  readonly depth: number
  readonly limit: number
}

const DEPTH_MAX = 100
const LIMIT_MAX = 1000

/** Nodes that are looked at: those that are no document, or not let through by the filter, count too. */
const VISITS_MAX = 10_000

/** INVALID_REQUEST names the key. */
export function planExpansion(request: ExpandRequest): Expansion {
  if (typeof request !== "object" || request === null || Array.isArray(request)) {
    throw new PrismError("INVALID_REQUEST", `"expand" is ${JSON.stringify(request)}`, {
      place: "expand",
      hint: 'for example {"edge_type": "cites", "depth": 1}',
    })
  }
  checkOptions("expand", request, ["edge_type", "depth", "limit"])
  return {
    edgeTypes: edgeTypesOf(request.edge_type),
    depth: wholeNumber("depth", request.depth, { min: 1, max: DEPTH_MAX }),
    limit: wholeNumber("limit", request.limit, { byDefault: 100, min: 1, max: LIMIT_MAX }),
  }
}

/** What lies around the results, nearest first, without themselves. `start` is a result's place. */
export function reachable(
  graph: Graph,
  results: readonly string[],
  { edgeTypes, depth }: Expansion,
): { visits: GraphVisit[]; truncated: boolean } {
  const limit = VISITS_MAX + results.length + 1
  const found = graph.bfs(results, { edgeTypes, maxDepth: depth, limit }).filter((visit) => visit.depth > 0)
  return { visits: found.slice(0, VISITS_MAX), truncated: found.length > VISITS_MAX }
}
