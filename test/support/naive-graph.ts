import type { GraphEdge } from "../../src/engine/graph-edge.ts"

const encoder = new TextEncoder()

/** Order of UTF-8 bytes, which is that of code points. */
export function compareUtf8(a: string, b: string): number {
  const [x, y] = [encoder.encode(a), encoder.encode(b)]
  for (let i = 0; i < Math.min(x.length, y.length); i++) if (x[i] !== y[i]) return (x[i] as number) - (y[i] as number)
  return x.length - y.length
}

type Direction = "out" | "in" | "both"

interface Owned extends GraphEdge {
  /** Document that the edge is derived from; undefined: explicit. */
  readonly owner: string | undefined
}

/** The document graph by its definition: a list of edges, looked through from one end to the other each time. */
export class NaiveGraph {
  readonly records = new Map<string, string>()
  edges: Owned[] = []

  has(id: string): boolean {
    return this.records.has(id) || this.edges.some(({ from, to }) => from === id || to === id)
  }

  putEdge(edge: GraphEdge): void {
    this.removeEdge(edge.from, edge.edgeType, edge.to)
    this.edges.push({ ...edge, owner: undefined })
  }

  removeEdge(from: string, edgeType: string, to: string): boolean {
    const before = this.edges.length
    this.edges = this.edges.filter(
      (edge) => edge.owner !== undefined || edge.from !== from || edge.edgeType !== edgeType || edge.to !== to,
    )
    return this.edges.length < before
  }

  removeNode(id: string): boolean {
    this.edges = this.edges.filter(({ owner, from, to }) => owner !== undefined || (from !== id && to !== id))
    return this.records.delete(id)
  }

  setDocumentEdges(docId: string, edges: readonly GraphEdge[]): void {
    this.edges = this.edges.filter(({ owner }) => owner !== docId)
    for (const edge of edges) {
      this.edges = this.edges.filter(
        ({ owner, from, to, edgeType }) =>
          owner !== docId || from !== edge.from || to !== edge.to || edgeType !== edge.edgeType,
      )
      this.edges.push({ ...edge, owner: docId })
    }
  }

  /** In the order that the engine promises. */
  at(id: string, direction: Direction, edgeTypes?: readonly string[], explicitOnly = false): GraphEdge[] {
    const end = (which: "from" | "to", other: "from" | "to") =>
      this.edges
        .filter((edge) => edge[which] === id && (edgeTypes?.includes(edge.edgeType) ?? true))
        .filter(({ owner }) => !explicitOnly || owner === undefined)
        .sort(
          (a, b) =>
            compareUtf8(a.edgeType, b.edgeType) ||
            compareUtf8(a[other], b[other]) ||
            Number(a.owner !== undefined) - Number(b.owner !== undefined) ||
            compareUtf8(a.owner ?? "", b.owner ?? ""),
        )
        .map(({ from, to, edgeType, weight }) => ({ from, to, edgeType, weight }))
    const out = direction === "in" ? [] : end("from", "to")
    const into = direction === "out" ? [] : end("to", "from")
    return [...out, ...into.filter(({ from }) => direction === "in" || from !== id)]
  }

  bfs(
    starts: readonly string[],
    direction: Direction,
    maxDepth: number,
    edgeTypes?: readonly string[],
  ): { id: string; depth: number; start: number }[] {
    const found: { id: string; depth: number; start: number }[] = []
    const seen = new Set<string>()
    const reach = (id: string, depth: number, start: number) => {
      if (!seen.has(id)) found.push({ id, depth, start })
      seen.add(id)
    }
    for (const [start, id] of starts.entries()) if (this.has(id)) reach(id, 0, start)
    for (let place = 0; place < found.length; place++) {
      const { id, depth, start } = found[place] as { id: string; depth: number; start: number }
      if (depth === maxDepth) break
      for (const { from, to } of this.at(id, direction, edgeTypes)) reach(from === id ? to : from, depth + 1, start)
    }
    return found
  }

  /** By relaxing every edge until nothing changes (Bellman & Ford): weight, then hops. */
  distance(
    start: string,
    target: string,
    direction: Direction,
    edgeTypes?: readonly string[],
  ): { weight: number; length: number } | null {
    if (!this.has(start) || !this.has(target)) return null
    const best = new Map([[start, { weight: 0, length: 0 }]])
    for (let changed = true; changed; ) {
      changed = false
      const relax = (from: string, to: string, weight: number) => {
        const here = best.get(from)
        if (!here) return
        const next = { weight: here.weight + weight, length: here.length + 1 }
        const old = best.get(to)
        if (old && (old.weight < next.weight || (old.weight === next.weight && old.length <= next.length))) return
        best.set(to, next)
        changed = true
      }
      for (const { from, to, edgeType, weight } of this.edges) {
        if (edgeTypes && !edgeTypes.includes(edgeType)) continue
        if (direction !== "in") relax(from, to, weight)
        if (direction !== "out") relax(to, from, weight)
      }
    }
    return best.get(target) ?? null
  }
}
