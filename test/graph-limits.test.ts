import { expect, test } from "vitest"
import { Engine } from "../src/engine/engine.ts"
import { Graph } from "../src/engine/graph.ts"
import type { GraphEdge } from "../src/engine/graph-edge.ts"
import { GraphSegment, GraphSegmentWriter } from "../src/engine/graph-segment.ts"
import { sourceOf } from "./support/bytes-source.ts"
import { Random } from "./support/random.ts"

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
