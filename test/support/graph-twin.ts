// The graph of a collection as plain maps, worked out apart from the engine.

export interface TwinEdge {
  readonly from: string
  readonly to: string
  readonly edge_type: string
  readonly weight: number
}

const keyOf = ({ from, edge_type, to }: Omit<TwinEdge, "weight">) => JSON.stringify([from, edge_type, to])

export class GraphTwin {
  readonly nodes = new Map<string, object>()
  readonly #explicit = new Map<string, TwinEdge>()
  readonly #ofDocuments = new Map<string, readonly TwinEdge[]>()
  /** By types, until something changes. */
  readonly #rows = new Map<string, Map<string, TwinEdge[]>>()

  putEdge(edge: TwinEdge): void {
    this.#rows.clear()
    this.#explicit.set(keyOf(edge), edge)
  }

  deleteEdge(edge: Omit<TwinEdge, "weight">): boolean {
    this.#rows.clear()
    return this.#explicit.delete(keyOf(edge))
  }

  deleteNode(id: string): { deleted: boolean; edges_deleted: number } {
    const touching = [...this.#explicit.values()].filter(({ from, to }) => from === id || to === id)
    for (const edge of touching) this.deleteEdge(edge)
    return { deleted: this.nodes.delete(id), edges_deleted: touching.length }
  }

  /** Of equal ones one. */
  setDocument(id: string, edges: readonly TwinEdge[]): void {
    this.#rows.clear()
    this.#ofDocuments.set(id, [...new Map(edges.map((edge) => [keyOf(edge), edge])).values()])
  }

  deleteDocument(id: string): void {
    this.#rows.clear()
    this.#ofDocuments.delete(id)
  }

  get documentIds(): string[] {
    return [...this.#ofDocuments.keys()]
  }

  get explicit(): TwinEdge[] {
    return [...this.#explicit.values()]
  }

  get edges(): TwinEdge[] {
    return [...this.#explicit.values(), ...[...this.#ofDocuments.values()].flat()]
  }

  has(id: string): boolean {
    return (
      this.nodes.has(id) || this.#ofDocuments.has(id) || this.edges.some(({ from, to }) => from === id || to === id)
    )
  }

  edgesAt(id: string, direction: "out" | "in" | "both", types?: readonly string[]): TwinEdge[] {
    return this.edges.filter(
      ({ from, to, edge_type }) =>
        (types?.includes(edge_type) ?? true) &&
        ((direction !== "in" && from === id) || (direction !== "out" && to === id)),
    )
  }

  /** How far each node is that can be reached, along edges that leave nodes. */
  distances(starts: readonly string[], depthMax: number, types?: readonly string[]): Map<string, number> {
    const neighbours = this.#neighbours(types)
    const found = new Map(starts.map((id) => [id, 0]))
    for (const [id, depth] of found) {
      if (depth === depthMax) continue
      for (const { to } of neighbours.get(id) ?? []) if (!found.has(to)) found.set(to, depth + 1)
    }
    return found
  }

  /** The least sum of weights from one node to another: Bellman and Ford's way. */
  leastWeight(start: string, target: string, types?: readonly string[]): number | undefined {
    const edges = this.edges.filter(({ edge_type }) => types?.includes(edge_type) ?? true)
    const best = new Map([[start, 0]])
    for (let isBetter = true; isBetter; ) {
      isBetter = false
      for (const { from, to, weight } of edges) {
        const sum = (best.get(from) ?? Number.POSITIVE_INFINITY) + weight
        if (sum >= (best.get(to) ?? Number.POSITIVE_INFINITY)) continue
        best.set(to, sum)
        isBetter = true
      }
    }
    return best.get(target)
  }

  #neighbours(types?: readonly string[]): Map<string, TwinEdge[]> {
    const key = JSON.stringify(types ?? null)
    const known = this.#rows.get(key)
    if (known) return known
    const neighbours = new Map<string, TwinEdge[]>()
    this.#rows.set(key, neighbours)
    for (const edge of this.edges) {
      if (types && !types.includes(edge.edge_type)) continue
      const list = neighbours.get(edge.from)
      if (list) list.push(edge)
      else neighbours.set(edge.from, [edge])
    }
    return neighbours
  }

  /** Node and edge lines of an archive, in their order. */
  lines(): string[] {
    // Bytes as digits of one width are in order where the bytes are; no text has a zero byte here.
    const digits = (text: string) => [...new TextEncoder().encode(text)].map((byte) => String(byte).padStart(3, "0"))
    const keyOf = (names: readonly string[]) => names.map((name) => digits(name).join("")).join(" ")
    const byBytes = (a: readonly string[], b: readonly string[]) => (keyOf(a) < keyOf(b) ? -1 : 1)
    const nodes = [...this.nodes].sort(([a], [b]) => byBytes([a], [b]))
    const edges = this.explicit.sort((a, b) => byBytes([a.from, a.edge_type, a.to], [b.from, b.edge_type, b.to]))
    return [
      ...nodes.map(([id, rest]) => JSON.stringify({ node: { id, ...rest } })),
      ...edges.map(({ from, to, edge_type, weight }) => JSON.stringify({ edge: { from, to, edge_type, weight } })),
    ]
  }
}
