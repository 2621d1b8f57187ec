import { expect, test, vi } from "vitest"
import { PrismError } from "../src/base/errors.ts"
import { Prism } from "../src/collection/prism.ts"
import { Engine } from "../src/engine/engine.ts"
import { Graph } from "../src/engine/graph.ts"
import type { GraphEdge } from "../src/engine/graph-edge.ts"
import { GraphSegment, GraphSegmentWriter } from "../src/engine/graph-segment.ts"
import { sourceOf } from "./support/bytes-source.ts"
import { LastingStorage } from "./support/lasting-storage.ts"
import { Random } from "./support/random.ts"
import { refusalCode } from "./support/refusal.ts"
import { runtime } from "./support/runtime.ts"

const PAGE_BYTES = 65_536
const full = expect.objectContaining({ code: "LIMIT_EXCEEDED" })
const edge = (from: string, to: string, weight = 1): GraphEdge => ({ from, to, edgeType: "is", weight })

/** Takes all of the engine's memory but some pages. The system gives none of it, because nobody writes there. */
function leavePages(engine: Engine, pages: number): void {
  const kept = engine.abi.regionAlloc(pages * PAGE_BYTES - 1024)
  for (let bytes = 2 ** 31; bytes >= PAGE_BYTES / 2; ) if (engine.abi.regionAlloc(bytes) === 0) bytes /= 2
  engine.abi.regionFree(kept)
}

/** Changes that only add, so that memory fills. */
function* changes(): Generator<(graph: Graph) => void> {
  const random = new Random(3)
  for (let i = 0; ; i++) {
    const near = () => `node ${i + random.below(20)}`
    const edges = Array.from({ length: random.below(5) }, () => edge(near(), "hub", random.below(9)))
    const [one, record] = [edge(near(), near(), random.below(9)), new Uint8Array(random.below(200)).fill(i)]
    const id = near()
    yield (graph) => graph.putEdge(one)
    yield (graph) => graph.putNode(id, record)
    yield (graph) => graph.setDocumentEdges(id, edges)
    yield (graph) => graph.setDocumentEdges(id, [...edges, one])
  }
}

test.each([6, 9, 14, 40])("a graph that fills the last of %d pages refuses whole changes, and goes on", (pages) => {
  const [small, large] = [new Engine(), new Engine()]
  const [graph, twin] = [Graph.create(small), Graph.create(large)]
  for (const one of [graph, twin]) one.putEdge(edge("hub", "hub"))
  graph.stats() // What a read works in is kept from one to the next, so it is there when nothing else is.
  leavePages(small, pages)
  let refused = 0
  let made = 0
  for (const change of changes()) {
    try {
      change(graph)
      change(twin)
      made++
    } catch (error) {
      expect(error).toEqual(full)
      refused++
    }
    if (refused === 50) break
  }
  const expectSame = () => {
    expect({ ...graph.stats(), memoryBytes: 0 }).toEqual({ ...twin.stats(), memoryBytes: 0 })
    for (let i = 0; i < (made + refused) / 4 + 20; i++) {
      expect(graph.edges(`node ${i}`, { direction: "both" })).toEqual(twin.edges(`node ${i}`, { direction: "both" }))
      expect(graph.node(`node ${i}`)).toEqual(twin.node(`node ${i}`))
    }
  }
  expect(made).toBeGreaterThan(20)
  expectSame()
  for (let i = 0; i < made / 8; i++) {
    for (const one of [graph, twin]) {
      one.setDocumentEdges(`node ${i}`, [])
      one.removeNode(`node ${i}`)
    }
  }
  expectSame()
  const again = changes()
  for (let i = 0; i < 10; i++) {
    const { value: change } = again.next() as { value: (graph: Graph) => void }
    for (const one of [graph, twin]) change(one)
  }
  expectSame()
})

test("a graph that cannot reserve is as it was, and takes within what it reserved whole frames", () => {
  const [small, large] = [new Engine(), new Engine()]
  const size = { nodes: 20_001, explicit: 5000, derived: 5000 }
  const [graph, other] = [Graph.create(small), Graph.create(large)]
  leavePages(small, 4)
  expect(() => graph.reserve(size)).toThrow(full)
  expect(graph.has("a")).toBe(false)
  other.reserve(size)
  // Names and rows have the rest, 100 bytes an edge; a table that doubled would take more.
  leavePages(large, 16)
  for (let i = 0; i < 5000; i++) other.putEdge(edge("a", `node ${i % 50}`, i))
  other.setDocumentEdges(
    "d",
    Array.from({ length: 2500 }, (_, i) => edge("d", `x ${i}`)),
  )
  expect(other.stats()).toMatchObject({ explicitEdgeCount: 50, derivedEdgeCount: 2500 })
})

test("what a loaded graph has no room for is refused before it is in the log, and the rest is taken", async () => {
  const storage = new LastingStorage()
  const prism = await Prism.openStorage(storage, runtime)
  const schema = { backends: { graph: { edges: [{ edge_type: "cites", to_field: "cites" }] } } } as const
  const collection = await prism.createCollection("c", schema)
  await collection.graph.addEdges({ from: "a", to: "b", edge_type: "is" })
  await collection.graph.stats()
  const reserve = vi.spyOn(Graph.prototype, "reserve").mockImplementation(() => {
    throw new PrismError("LIMIT_EXCEEDED", "used up")
  })
  try {
    expect(await refusalCode(collection.graph.addEdges({ from: "b", to: "c", edge_type: "is" }))).toBe("LIMIT_EXCEEDED")
    expect(await refusalCode(collection.graph.addNodes({ id: "n" }))).toBe("LIMIT_EXCEEDED")
    expect(await refusalCode(collection.add({ id: "d", cites: ["a"] }))).toBe("LIMIT_EXCEEDED")
    await collection.add({ id: "e" })
  } finally {
    reserve.mockRestore()
  }
  await collection.graph.addEdges({ from: "a", to: "e", edge_type: "is" })
  await prism.close()
  await using again = await Prism.openStorage(storage, runtime)
  const stats = await (await again.collection("c")).graph.stats()
  expect(stats).toMatchObject({ node_count: 3, edge_count: 2, document_edge_count: 0 })
})

test("sealing, opening, loading and merging without memory is an error, and leaves nothing behind", async () => {
  const engine = new Engine()
  const writer = GraphSegmentWriter.create(engine)
  for (let i = 0; i < 20_000; i++) writer.putEdge(edge(`node ${i}`, `node ${i + 1}`, i))
  const sealed = writer.seal()
  const bytes = sealed.readBytes(0, sealed.byteLength)
  const [graph, other] = [Graph.create(engine), GraphSegmentWriter.create(engine)]
  leavePages(engine, 4)
  const inUse = engine.memoryInUse
  expect(() => writer.seal()).toThrow(full)
  await expect(GraphSegment.open(engine, sourceOf(bytes), { docCount: 0 })).rejects.toEqual(full)
  expect(engine.memoryInUse).toBe(inUse)
  expect(() => sealed.addTo(graph)).toThrow(full)
  graph.close()
  expect(() => other.addSegment(sealed, { pointer: 0, count: 0 } as never, 0)).toThrow(full)
  other.close()
  expect(() => {
    for (let i = 0; ; i++) writer.putEdge(edge(`more ${i}`, "x"))
  }).toThrow(full)
  expect(engine.memoryInUse).toBeLessThanOrEqual(inUse + 2 * PAGE_BYTES)
  const kept = [...sealed.edgeRecords()].length
  expect(kept).toBe(20_000)
})
