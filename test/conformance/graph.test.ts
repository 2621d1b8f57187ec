import { describe, expect, test } from "vitest"
import { Engine } from "../../src/engine/engine.ts"
import { Graph } from "../../src/engine/graph.ts"
import type { GraphEdge } from "../../src/engine/graph-edge.ts"
import { compareUtf8, NaiveGraph } from "../support/naive-graph.ts"
import { Random } from "../support/random.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const edge = (from: string, to: string, edgeType = "is", weight = 1): GraphEdge => ({ from, to, edgeType, weight })

// Ids whose UTF-8 order is not that of UTF-16, with a common prefix of more than eight bytes, one empty, one long.
const IDS = [
  ...Array.from({ length: 30 }, (_, i) => `document-number-${i}`),
  "",
  "\u{1f600}",
  "\uffee",
  "é",
  "\0",
  "x".repeat(40_000),
]
const TYPES = ["is", "has", "\u{1f600}", "\uffee", "is part of"]
const DIRECTIONS = ["out", "in", "both"] as const

/** What a graph says, against the definition. */
function expectSame(graph: Graph, naive: NaiveGraph, random: Random): void {
  const stats = graph.stats()
  const explicit = naive.edges.filter(({ owner }) => owner === undefined).length
  const degree = (id: string) => naive.at(id, "out").length + naive.at(id, "in").length
  const there = IDS.filter((id) => naive.has(id))
  expect(stats).toEqual({
    nodeCount: there.length,
    recordCount: naive.records.size,
    edgeCount: naive.edges.length,
    explicitEdgeCount: explicit,
    derivedEdgeCount: naive.edges.length - explicit,
    edgeTypes: [...new Set(naive.edges.map(({ edgeType }) => edgeType))].sort(compareUtf8).map((edgeType) => ({
      edgeType,
      count: naive.edges.filter((one) => one.edgeType === edgeType).length,
    })),
    maxDegree: Math.max(0, ...there.map(degree)),
    meanDegree: there.length === 0 ? 0 : (2 * naive.edges.length) / there.length,
    memoryBytes: graph.memoryBytes,
  })
  for (const id of IDS) {
    expect(graph.has(id)).toBe(naive.has(id))
    const record = graph.node(id)
    expect(record && decoder.decode(record)).toBe(naive.records.get(id))
  }
  const some = () => IDS[random.below(IDS.length)] as string
  for (let i = 0; i < 6; i++) {
    const direction = DIRECTIONS[random.below(3)] as "out" | "in" | "both"
    const edgeTypes = random.below(2) ? TYPES.filter(() => random.below(2)) : undefined
    const [id, other] = [some(), some()]
    const explicitOnly = random.below(2) === 1
    const edges = naive.at(id, direction, edgeTypes, explicitOnly)
    expect(graph.edges(id, { direction, edgeTypes, explicitOnly })).toEqual({ edges, total: edges.length })
    const [offset, limit] = [random.below(5), random.below(5)]
    expect(graph.edges(id, { direction, edgeTypes, explicitOnly, offset, limit })).toEqual({
      edges: edges.slice(offset, offset + limit),
      total: edges.length,
    })
    const starts = [id, other, some()].slice(random.below(3))
    const maxDepth = random.below(5)
    const visits = naive.bfs(starts, direction, maxDepth, edgeTypes)
    expect(graph.bfs(starts, { direction, edgeTypes, maxDepth })).toEqual(visits)
    expect(graph.bfs(starts, { direction, edgeTypes, maxDepth, limit })).toEqual(visits.slice(0, limit))
    const path = graph.shortestPath(id, other, { direction, edgeTypes })
    const distance = naive.distance(id, other, direction, edgeTypes)
    expect(path && { weight: path.weight, length: path.length }).toEqual(distance)
    if (path) expectPath(naive, path, { start: id, target: other, direction, edgeTypes })
  }
}

/** The path goes along edges, and weighs what it says. */
function expectPath(
  naive: NaiveGraph,
  { path, length, weight }: { path: string[]; length: number; weight: number },
  asked: {
    start: string
    target: string
    direction: "out" | "in" | "both"
    edgeTypes: readonly string[] | undefined
  },
): void {
  expect([path[0], path.at(-1), path.length]).toEqual([asked.start, asked.target, length + 1])
  let sum = 0
  for (let i = 1; i < path.length; i++) {
    const between = naive
      .at(path[i - 1] as string, asked.direction, asked.edgeTypes)
      .filter(({ from, to }) => (from === path[i - 1] ? to : from) === path[i])
    sum += Math.min(...between.map((one) => one.weight))
  }
  expect(sum).toBe(weight)
}

/** One random change of both. */
function change(graph: Graph, naive: NaiveGraph, random: Random): void {
  const some = () => IDS[random.below(random.below(2) ? IDS.length : 6)] as string
  const one = () => edge(some(), some(), TYPES[random.below(TYPES.length)], random.below(4) / 2)
  switch (random.below(9)) {
    case 0: {
      const [id, record] = [some(), "r".repeat(random.below(100) ** 2)]
      graph.putNode(id, encoder.encode(record))
      naive.records.set(id, record)
      break
    }
    case 1: {
      const id = some()
      expect(graph.removeNode(id)).toBe(naive.removeNode(id))
      break
    }
    case 2:
    case 3: {
      const { from, edgeType, to } = naive.edges[random.below(naive.edges.length)] ?? one()
      expect(graph.removeEdge(from, edgeType, to)).toBe(naive.removeEdge(from, edgeType, to))
      break
    }
    case 4: {
      const [id, edges] = [some(), Array.from({ length: random.below(6) }, one)]
      graph.setDocumentEdges(id, edges)
      naive.setDocumentEdges(id, edges)
      break
    }
    case 5: {
      const id = some()
      graph.setDocumentEdges(id, [])
      naive.setDocumentEdges(id, [])
      break
    }
    default: {
      const put = one()
      graph.putEdge(put)
      naive.putEdge(put)
    }
  }
}

describe("a graph", () => {
  test.each([1, 2, 3])(
    "answers as its definition does after any changes, and gives its memory back (seed %i)",
    (seed) => {
      const random = new Random(seed)
      const engine = new Engine()
      const graph = Graph.create(engine)
      const naive = new NaiveGraph()
      for (let round = 0; round < 60; round++) {
        for (let changes = random.below(12); changes > 0; changes--) change(graph, naive, random)
        expectSame(graph, naive, random)
      }
      for (const id of IDS) {
        graph.removeNode(id)
        graph.setDocumentEdges(id, [])
      }
      expect(graph.stats()).toMatchObject({ nodeCount: 0, recordCount: 0, edgeCount: 0, edgeTypes: [] })
      graph.close()
      expect(engine.memoryInUse).toBe(0)
    },
  )

  test("says the same in the same order, however it came about", () => {
    const random = new Random(7)
    const ids = Array.from({ length: 40 }, (_, i) => `node ${i}`)
    const edges: GraphEdge[] = []
    for (const from of ids)
      for (const to of ids)
        if (random.below(8) === 0) edges.push(edge(from, to, TYPES[random.below(3)], random.below(3)))
    const shuffled = edges.map((one) => ({ one, key: random.unit() })).sort((a, b) => a.key - b.key)
    const engine = new Engine()
    using first = Graph.create(engine)
    for (const one of edges) first.putEdge(one)
    using second = Graph.create(engine)
    for (const { one } of shuffled) {
      second.putEdge(edge("gone", one.to, "gone"))
      second.putEdge({ ...one, weight: 9 })
      if (random.below(3) === 0) second.bfs([one.from], { maxDepth: 3 })
    }
    second.removeNode("gone")
    for (const { one } of shuffled.toReversed()) second.putEdge(one)
    for (const id of ids) {
      for (const direction of DIRECTIONS) {
        expect(second.edges(id, { direction })).toEqual(first.edges(id, { direction }))
        expect(second.bfs([id], { direction, maxDepth: 9 })).toEqual(first.bfs([id], { direction, maxDepth: 9 }))
        for (const other of ids)
          expect(second.shortestPath(id, other, { direction })).toEqual(first.shortestPath(id, other, { direction }))
      }
    }
  })

  test("of nothing has no nodes, no edges and no paths", () => {
    using graph = Graph.create(new Engine())
    expect(graph.stats()).toMatchObject({ nodeCount: 0, edgeCount: 0, edgeTypes: [], maxDegree: 0, meanDegree: 0 })
    expect(graph.edges("a", { direction: "both" })).toEqual({ edges: [], total: 0 })
    expect(graph.bfs(["a"], { maxDepth: 3 })).toEqual([])
    expect(graph.bfs([], { maxDepth: 3 })).toEqual([])
    expect(graph.shortestPath("a", "a")).toBeNull()
    expect([graph.has("a"), graph.node("a"), graph.removeNode("a"), graph.removeEdge("a", "b", "c")]).toEqual([
      false,
      undefined,
      false,
      false,
    ])
  })

  test("gives weights back bit for bit, and refuses those that no path can have", () => {
    using graph = Graph.create(new Engine())
    for (const weight of [0, 5e-324, 0.1, 1 / 3, 2 ** 53 + 2, 1.7976931348623157e308]) {
      graph.putEdge(edge("a", "b", "is", weight))
      expect(graph.edges("a", { direction: "out" }).edges).toEqual([edge("a", "b", "is", weight)])
      expect(graph.shortestPath("a", "b")).toEqual({ path: ["a", "b"], length: 1, weight })
    }
    for (const weight of [-1, -5e-324, Number.NaN, Number.POSITIVE_INFINITY]) {
      expect(() => graph.putEdge(edge("a", "b", "is", weight))).toThrow("Bug in Prism")
      expect(() => graph.setDocumentEdges("d", [edge("a", "c", "is", weight)])).toThrow("Bug in Prism")
    }
    expect(graph.stats().edgeCount).toBe(1)
  })

  test("prefers the lighter way, of equally heavy ones the shorter", () => {
    using graph = Graph.create(new Engine())
    for (const [from, to, weight] of [
      ["a", "b", 1],
      ["b", "d", 1],
      ["a", "d", 3],
      ["a", "c", 0.5],
      ["c", "e", 0.5],
      ["e", "d", 1],
      ["d", "d", 0],
      ["d", "f", 0],
    ] as const)
      graph.putEdge(edge(from, to, "is", weight))
    expect(graph.shortestPath("a", "d")).toEqual({ path: ["a", "b", "d"], length: 2, weight: 2 })
    expect(graph.shortestPath("a", "f")).toEqual({ path: ["a", "b", "d", "f"], length: 3, weight: 2 })
    expect(graph.shortestPath("f", "a")).toBeNull()
    expect(graph.shortestPath("f", "a", { direction: "in" })?.weight).toBe(2)
    expect(graph.shortestPath("f", "f")).toEqual({ path: ["f"], length: 0, weight: 0 })
    expect(graph.shortestPath("a", "d", { edgeTypes: [] })).toBeNull()
    expect(graph.shortestPath("a", "d", { edgeTypes: ["has", "is"] })?.length).toBe(2)
    expect(graph.shortestPath("a", "d", { edgeTypes: ["has"] })).toBeNull()
  })

  test("walks round a cycle of 10,000 edges once", () => {
    using graph = Graph.create(new Engine())
    const count = 10_000
    const name = (i: number) => `node ${i % count}`
    for (let i = 0; i < count; i++) graph.putEdge(edge(name(i), name(i + 1)))
    const visits = graph.bfs([name(0)], { maxDepth: 2 ** 32 })
    expect(visits).toEqual(Array.from({ length: count }, (_, i) => ({ id: name(i), depth: i, start: 0 })))
    expect(graph.shortestPath(name(0), name(count - 1))?.length).toBe(count - 1)
    expect(graph.shortestPath(name(0), name(count - 1), { direction: "both" })?.length).toBe(1)
    expect(graph.bfs([name(0), name(5000)], { maxDepth: 1, direction: "both" }).map(({ start }) => start)).toEqual([
      0, 1, 0, 0, 1, 1,
    ])
  })

  test("keeps a hub of 100,000 edges in order while they come and go", () => {
    const engine = new Engine()
    const graph = Graph.create(engine)
    const random = new Random(11)
    const ids = Array.from({ length: 100_000 }, (_, i) => `leaf ${random.bits().toString(36)} ${i}`)
    for (const id of ids) graph.putEdge(edge(id, "hub"))
    const sorted = ids.toSorted((a, b) => (a < b ? -1 : 1))
    const first = () => graph.edges("hub", { direction: "in", limit: 1 })
    expect(graph.bfs(["hub"], { direction: "in", maxDepth: 1 }).map(({ id }) => id)).toEqual(["hub", ...sorted])
    for (let i = 0; i < 50; i++) {
      expect(first()).toEqual({ edges: [edge(sorted[i] as string, "hub")], total: 100_000 - i })
      graph.removeEdge(sorted[i] as string, "is", "hub")
    }
    const before = graph.memoryBytes
    for (const id of sorted.slice(50)) graph.removeEdge(id, "is", "hub")
    expect(graph.has("hub")).toBe(false)
    for (const id of ids) graph.putEdge(edge(id, "hub"))
    expect(graph.memoryBytes).toBeLessThan(before * 1.1)
    expect(first().total).toBe(100_000)
    expect(graph.removeNode("hub")).toBe(false)
    expect(graph.stats().nodeCount).toBe(0)
    graph.close()
    expect(engine.memoryInUse).toBe(0)
  })

  test("does not grow when the same documents come again and again", () => {
    using graph = Graph.create(new Engine())
    const round = (edgeType: string) => {
      for (let i = 0; i < 200; i++) {
        graph.setDocumentEdges(
          `document ${i}`,
          [1, 2, 3].map((step) => edge(`document ${i}`, `document ${(i + step) % 200}`, edgeType)),
        )
      }
    }
    for (let i = 0; i < 20; i++) round(`type ${i}`)
    const before = graph.memoryBytes
    for (let i = 0; i < 300; i++) round(`type ${i}`)
    expect(graph.memoryBytes).toBe(before)
    expect(graph.stats()).toMatchObject({ edgeCount: 600, edgeTypes: [{ edgeType: "type 299", count: 600 }] })
  })
})

test("the order of ids is that of their bytes", () => {
  using graph = Graph.create(new Engine())
  for (const id of IDS) graph.putEdge(edge("all", id))
  expect(graph.edges("all", { direction: "out" }).edges.map(({ to }) => to)).toEqual(IDS.toSorted(compareUtf8))
})
