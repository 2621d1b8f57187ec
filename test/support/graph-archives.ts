// A small collection with a graph, and what a restored one holds.
import { encodeUtf8 } from "../../src/base/bytes.ts"
import type { Collection } from "../../src/collection/collection.ts"
import type { Prism } from "../../src/collection/prism.ts"
import { exportBytes } from "./archives.ts"
import { sha256 } from "./snapshots.ts"
import { lines } from "./streams.ts"

export const SCHEMA = {
  backends: {
    text: { fields: [{ name: "title", type: "text" }] },
    vector: { embedding_field: "embedding", dimension: 2 },
    graph: { edges: [{ edge_type: "cites", to_field: "cites" }] },
  },
} as const

export const edge = (from: string, to: string, weight = 1) => ({ from, to, edge_type: "knows", weight })

/** Segments of every kind: with documents, with a deleted document, without any document, with deletions of nodes and edges;
 *  and what is in the log alone. */
export async function fillGraph(prism: Prism): Promise<Collection> {
  const collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
  const { graph } = collection
  const document = (id: string, cites: string[], title = "common") => ({
    id,
    fields: { title, cites },
    vector: [1, id.length],
  })
  await collection.add([document("a", ["b", "cc"]), document("b", ["a"]), document("cc", [])])
  await graph.addEdges([edge("a", "x", 2.5), edge("x", "b"), edge("gone", "x")])
  await collection.checkpoint()
  await graph.addNodes([{ id: "x", node_type: "person", title: "X", payload: { n: 1 } }, { id: "gone" }, { id: "é🦉" }])
  await graph.addEdges([edge("x", "é🦉", 0), edge("x", "\uffee")])
  await collection.checkpoint()
  await collection.delete("b")
  await graph.deleteNode("gone")
  await graph.deleteEdges({ from: "x", to: "b", edge_type: "knows" })
  await collection.checkpoint()
  await collection.add(document("d", ["a", "x"]))
  await graph.addEdges(edge("a", "x", 0.1))
  return collection
}

/** What is there, whatever it is made of. */
export async function graphContentOf(collection: Collection): Promise<unknown> {
  const { graph } = collection
  const { memory_bytes: _, ...stats } = await graph.stats()
  const answers: unknown[] = [lines(await exportBytes(collection, { format: "portable" })).slice(1), stats]
  for (const start of ["a", "x", "d"]) {
    const { nodes } = await graph.bfs({ start, max_depth: 9 })
    answers.push(nodes, await graph.edges(start), await graph.shortestPath({ start, target: "x" }))
  }
  const { results, expanded } = await collection.search({ query: "common", limit: 1, expand: { depth: 2 } })
  return JSON.stringify([answers, results.map(({ id }) => id), expanded])
}

/** A portable archive of version 2 whose checksums fit. */
export function portableV2({
  counts,
  order = ["documents", "nodes", "edges"],
  schema = JSON.stringify(SCHEMA),
  ...parts
}: {
  documents: string[]
  nodes: string[]
  edges: string[]
  counts?: [number, number, number]
  order?: ("documents" | "nodes" | "edges")[]
  schema?: string
}): Uint8Array {
  const text = order.flatMap((part) => parts[part])
  const [document_count, node_count, edge_count] = counts ?? [
    parts.documents.length,
    parts.nodes.length,
    parts.edges.length,
  ]
  const header = {
    format: "prism-portable-v2",
    metadata: {
      ...{ version: "1.0", collection: "c", document_count, node_count, edge_count },
      checksum: sha256(encodeUtf8(text.join(""))),
    },
    schema_b64: btoa(schema),
  }
  return encodeUtf8([JSON.stringify(header), ...text, ""].join("\n"))
}
