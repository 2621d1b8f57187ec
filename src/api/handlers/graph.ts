import { PrismError } from "../../base/errors.ts"
import { jsonAnswer } from "../answers.ts"
import type { Handlers } from "../service.ts"

/** The graph of a collection. */
export const graphHandlers: Handlers<
  | "addNodes"
  | "getNode"
  | "deleteNode"
  | "nodeEdges"
  | "addEdges"
  | "deleteEdges"
  | "bfs"
  | "shortestPath"
  | "graphStats"
> = {
  addNodes: async ({ path, body }, { prism }) => {
    const { graph } = await prism.collection(path.collection)
    return await addition(body.nodes.length, graph.addNodes(body.nodes))
  },

  getNode: async ({ path }, { prism }) => {
    const node = await (await prism.collection(path.collection)).graph.node(path.id)
    if (!node) throw notFound(path.collection, path.id)
    return { ...node }
  },

  deleteNode: async ({ path }, { prism }) => {
    const { deleted, edges_deleted } = await (await prism.collection(path.collection)).graph.deleteNode(path.id)
    if (!deleted && edges_deleted === 0) throw notFound(path.collection, path.id)
    return { id: path.id, status: "deleted", edges_deleted }
  },

  nodeEdges: async ({ path, query }, { prism }) => {
    const { edges, total } = await (await prism.collection(path.collection)).graph.edges(path.id, query)
    return { edges: [...edges], total }
  },

  addEdges: async ({ path, body }, { prism }) => {
    const { graph } = await prism.collection(path.collection)
    return await addition(body.edges.length, graph.addEdges(body.edges))
  },

  deleteEdges: async ({ path, body }, { prism }) =>
    await (await prism.collection(path.collection)).graph.deleteEdges(body.edges),

  bfs: async ({ path, body }, { prism }) => {
    const { nodes, ...rest } = await (await prism.collection(path.collection)).graph.bfs(body)
    return { nodes: [...nodes], ...rest }
  },

  shortestPath: async ({ path, body }, { prism }) => {
    const found = await (await prism.collection(path.collection)).graph.shortestPath(body)
    return { ...found, path: found.path && [...found.path] }
  },

  graphStats: async ({ path }, { prism }) => ({
    ...(await (await prism.collection(path.collection)).graph.stats()),
  }),
}

/** As of documents: a bad one is refused by itself; 422 where all are. */
async function addition(count: number, adding: Promise<{ added: number }>) {
  try {
    return { added: (await adding).added, failed: 0, errors: [] }
  } catch (error) {
    if (!(error instanceof PrismError) || error.problems.length === 0) throw error
    const failed = error.problems.length
    const answer = { added: count - failed, failed, errors: [...error.problems] }
    if (failed < count) return answer
    const { code, message, hint } = error
    return jsonAnswer({ ...answer, error: { code, message, ...(hint !== undefined && { hint }) } }, 422)
  }
}

function notFound(collection: string, id: string): PrismError {
  return new PrismError("NODE_NOT_FOUND", `nothing was added of node "${id}" in collection "${collection}"`, {
    place: id,
  })
}
