import { plural } from "./format.ts"

/** `3 documents`, and where an archive tells of a graph, `3 documents, 2 nodes and 5 edges`. */
export function countRecords(
  documents: number,
  { nodes, edges }: { readonly nodes: number | undefined; readonly edges: number | undefined },
): string {
  const counted = plural(documents, "document")
  if (nodes === undefined || edges === undefined) return counted
  return `${counted}, ${plural(nodes, "node")} and ${plural(edges, "edge")}`
}
