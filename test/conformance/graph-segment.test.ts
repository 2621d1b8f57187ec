import { describe, expect, test } from "vitest"
import type { ByteSource } from "../../src/engine/blob.ts"
import { DocSet } from "../../src/engine/doc-set.ts"
import { Engine, isTrap } from "../../src/engine/engine.ts"
import { Graph } from "../../src/engine/graph.ts"
import type { GraphEdge } from "../../src/engine/graph-edge.ts"
import { GraphSegment, GraphSegmentWriter } from "../../src/engine/graph-segment.ts"
import { repairChecksums } from "../support/blob-bytes.ts"
import { compareUtf8 } from "../support/naive-graph.ts"
import { Random } from "../support/random.ts"

const encoder = new TextEncoder()
const decoder = new TextDecoder()
const corrupt = expect.objectContaining({ code: "CORRUPT" })
const edge = (from: string, to: string, edgeType = "is", weight = 1): GraphEdge => ({ from, to, edgeType, weight })
const source = (bytes: Uint8Array): ByteSource => ({
  size: bytes.length,
  read: async (offset, length) => bytes.slice(offset, offset + length),
})
const bytesOf = (segment: GraphSegment) => segment.readBytes(0, segment.byteLength)

const IDS = [...Array.from({ length: 20 }, (_, i) => `document-number-${i}`), "", "\u{1f600}", "\uffee", "é", "\0"]
const TYPES = ["is", "has", "\u{1f600}", "\uffee"]

type Operation =
  | { kind: "putNode"; id: string; record: string }
  | { kind: "deleteNode"; id: string }
  | { kind: "putEdge"; edge: GraphEdge }
  | { kind: "deleteEdge"; edge: GraphEdge }
  | { kind: "document"; docId: string; edges: GraphEdge[] }

function randomOperation(random: Random): Operation {
  const id = () => IDS[random.below(IDS.length)] as string
  const one = () => edge(id(), id(), TYPES[random.below(TYPES.length)], [1, 0, 1 / 3][random.below(3)])
  switch (random.below(6)) {
    case 0:
      return { kind: "putNode", id: id(), record: "r".repeat(random.below(50)) }
    case 1:
      return { kind: "deleteNode", id: id() }
    case 2:
      return { kind: "deleteEdge", edge: one() }
    case 3:
      return { kind: "document", docId: id(), edges: Array.from({ length: random.below(4) }, one) }
    default:
      return { kind: "putEdge", edge: one() }
  }
}

const keyOf = ({ from, edgeType, to }: GraphEdge) => JSON.stringify([from, edgeType, to])

/** What a segment says, by the definition. */
class NaiveSegment {
  readonly nodes = new Map<string, string | undefined>()
  readonly edges = new Map<string, GraphEdge & { deleted: boolean }>()
  readonly documents: { docId: string; edges: GraphEdge[] }[] = []

  apply(operation: Operation): void {
    switch (operation.kind) {
      case "putNode":
        this.nodes.set(operation.id, operation.record)
        break
      case "deleteNode":
        this.nodes.set(operation.id, undefined)
        break
      case "document": {
        const distinct = new Map(operation.edges.map((one) => [keyOf(one), one]))
        this.documents.push({ docId: operation.docId, edges: [...distinct.values()] })
        break
      }
      default: {
        const deleted = operation.kind === "deleteEdge"
        this.edges.set(keyOf(operation.edge), { ...operation.edge, deleted, ...(deleted ? { weight: 1 } : {}) })
      }
    }
  }

  /** What nodeRecords, edgeRecords and documentEdges give. */
  records(withDeleted = true) {
    return {
      nodes: [...this.nodes]
        .filter(([, record]) => withDeleted || record !== undefined)
        .sort(([a], [b]) => compareUtf8(a, b)),
      edges: [...this.edges.values()]
        .filter(({ deleted }) => withDeleted || !deleted)
        .sort((a, b) => compareUtf8(a.from, b.from) || compareUtf8(a.edgeType, b.edgeType) || compareUtf8(a.to, b.to)),
      documents: this.documents
        .map(({ docId, edges }, docOrd) => ({ docOrd, docId, edges }))
        .filter(({ edges }) => edges.length > 0),
    }
  }
}

const recordsOf = (segment: GraphSegment) => ({
  nodes: [...segment.nodeRecords()].map(({ id, record }) => [id, record && decoder.decode(record)]),
  edges: [...segment.edgeRecords()],
  documents: [...segment.documentEdges()],
})

/** A document is the next one of the segment. */
function write(writer: GraphSegmentWriter, operation: Operation, docOrd: number): void {
  if (operation.kind === "putNode") writer.putNode(operation.id, encoder.encode(operation.record))
  else if (operation.kind === "deleteNode") writer.deleteNode(operation.id)
  else if (operation.kind === "putEdge") writer.putEdge(operation.edge)
  else if (operation.kind === "document") writer.addDocumentEdges(docOrd, operation.docId, operation.edges)
  else writer.deleteEdge(operation.edge.from, operation.edge.edgeType, operation.edge.to)
}

/** The answers of a graph that are easy to hold against another's. */
const everything = (graph: Graph) => ({
  ...graph.stats(),
  memoryBytes: 0,
  nodes: IDS.map((id) => graph.node(id)),
  edges: IDS.map((id) => graph.edges(id, { direction: "both" })),
  explicit: IDS.map((id) => graph.edges(id, { direction: "both", explicitOnly: true })),
})

describe("a graph in segments", () => {
  test.each([1, 2, 3, 4])("is the same from a log, from segments and from merged ones (seed %i)", async (seed) => {
    const random = new Random(seed)
    const engine = new Engine()
    using whole = Graph.create(engine)
    const segments: { bytes: Uint8Array; twin: NaiveSegment; live: boolean[] }[] = []
    const place = new Map<string, { live: boolean[]; docOrd: number }>()
    for (let count = 1 + random.below(5); count > 0; count--) {
      using writer = GraphSegmentWriter.create(engine)
      const twin = new NaiveSegment()
      const live: boolean[] = []
      for (let operations = random.below(120); operations > 0; operations--) {
        const operation = randomOperation(random)
        write(writer, operation, twin.documents.length)
        twin.apply(operation)
        if (operation.kind === "putNode") whole.putNode(operation.id, encoder.encode(operation.record))
        else if (operation.kind === "putEdge") whole.putEdge(operation.edge)
        else if (operation.kind === "deleteEdge") {
          const { from, edgeType, to } = operation.edge
          whole.removeEdge(from, edgeType, to)
        } else if (operation.kind === "document") {
          whole.setDocumentEdges(operation.docId, operation.edges)
          const older = place.get(operation.docId)
          if (older) older.live[older.docOrd] = false
          place.set(operation.docId, { live, docOrd: live.length })
          live.push(true)
        } else {
          // A node's deletion is that of its record; who deletes a node deletes its explicit edges one by one.
          for (const one of whole.edges(operation.id, { direction: "both", explicitOnly: true }).edges) {
            const deletion = { kind: "deleteEdge", edge: one } as const
            write(writer, deletion, 0)
            twin.apply(deletion)
          }
          whole.removeNode(operation.id)
        }
      }
      using sealed = writer.seal()
      sealed.check()
      expect(recordsOf(sealed)).toEqual(twin.records())
      expect(writer.isEmpty).toBe(sealed.byteLength === emptyBytes(engine))
      segments.push({ bytes: bytesOf(sealed), twin, live })
    }

    /** Deletes some documents after all, then loads what the parts say. */
    const loaded = async (parts: readonly { bytes: Uint8Array; live: boolean[] }[]) => {
      const graph = Graph.create(engine)
      for (const { bytes, live } of parts) {
        using set = setOf(engine, live)
        using segment = await GraphSegment.open(engine, source(bytes), { docCount: live.length })
        await segment.load()
        segment.check()
        segment.addTo(graph, set)
      }
      return graph
    }
    for (const [docId, { live, docOrd }] of place) {
      if (random.below(4) > 0) continue
      live[docOrd] = false
      whole.setDocumentEdges(docId, [])
    }
    using fromSegments = await loaded(segments)
    expect(everything(fromSegments)).toEqual(everything(whole))

    // Any cut of the segments into an older and a newer part, each merged, or all of them.
    const merged = async (parts: typeof segments, isOldest: boolean) => {
      using writer = GraphSegmentWriter.create(engine)
      let base = 0
      for (const { bytes, live } of parts) {
        using set = setOf(engine, live)
        using segment = await GraphSegment.open(engine, source(bytes), { docCount: live.length })
        await segment.load()
        writer.addSegment(segment, set, base)
        base += set.count
      }
      if (isOldest) writer.dropTombstones()
      using sealed = writer.seal()
      sealed.check()
      const twin = new NaiveSegment()
      for (const part of parts) {
        for (const [id, record] of part.twin.nodes) twin.nodes.set(id, record)
        for (const [key, one] of part.twin.edges) twin.edges.set(key, one)
        twin.documents.push(...part.twin.documents.filter((_, docOrd) => part.live[docOrd]))
      }
      expect(recordsOf(sealed)).toEqual(twin.records(!isOldest))
      expect([sealed.nodeCount, sealed.edgeCount]).toEqual([
        twin.records(false).nodes.length,
        twin.records(false).edges.length,
      ])
      return { bytes: bytesOf(sealed), live: Array.from({ length: base }, () => true) }
    }
    for (let cut = 0; cut <= segments.length; cut++) {
      const parts = [await merged(segments.slice(0, cut), true), await merged(segments.slice(cut), cut === 0)]
      using graph = await loaded(parts)
      expect(everything(graph)).toEqual(everything(whole))
    }
  })

  test("comes to the same bytes however its state came about", () => {
    const engine = new Engine()
    using first = GraphSegmentWriter.create(engine)
    using second = GraphSegmentWriter.create(engine)
    first.putNode("b", encoder.encode("{}"))
    first.putEdge(edge("a", "b", "has", 2))
    first.deleteEdge("b", "is", "a")
    second.deleteEdge("a", "has", "b")
    second.putEdge(edge("b", "a"))
    second.putEdge(edge("a", "b", "has", 3))
    second.deleteNode("b")
    second.deleteEdge("b", "is", "a")
    second.putNode("b", encoder.encode("{}"))
    second.putEdge(edge("a", "b", "has", 2))
    using one = first.seal()
    using other = second.seal()
    expect(bytesOf(other)).toEqual(bytesOf(one))
  })

  test("is read from its header on, and gives its memory back", async () => {
    const engine = new Engine()
    const writer = GraphSegmentWriter.create(engine)
    for (let i = 0; i < 30_000; i++) writer.putEdge(edge(`node ${i}`, `node ${i + 1}`, "next", i))
    writer.deleteNode("gone")
    writer.addDocumentEdges(7, "document", [edge("document", "node 7", "about")])
    const sealed = writer.seal()
    const bytes = bytesOf(sealed)
    sealed.close()
    writer.close()
    let read = 0
    const counted: ByteSource = {
      size: bytes.length,
      read: async (offset, length) => {
        read += length
        return bytes.slice(offset, offset + length)
      },
    }
    const segment = await GraphSegment.open(engine, counted, { docCount: 8 })
    expect(read).toBeLessThan(2 * 65_536)
    expect([segment.nodeCount, segment.edgeCount, segment.tombstoneCount, segment.derivedCount]).toEqual([
      0, 30_000, 1, 1,
    ])
    expect(() => [...segment.nodeRecords()]).toThrow("before it is loaded")
    await Promise.all([segment.load(), segment.load()])
    expect(segment.load()).toBeUndefined()
    expect([...segment.edgeRecords()].length).toBe(30_000)
    segment.close()
    expect(engine.memoryInUse).toBe(0)
    const closed = await GraphSegment.open(engine, counted, { docCount: 8 })
    const loading = closed.load()
    closed.close()
    await expect(loading).rejects.toMatchObject({ code: "CLOSED" })
    await expect((await GraphSegment.open(engine, counted, { docCount: 7 })).load()).rejects.toEqual(corrupt)
  })
})

const setOf = (engine: Engine, live: readonly boolean[]) => {
  const set = DocSet.create(engine, live.length)
  for (const [docOrd, isLive] of live.entries()) if (isLive) set.add(docOrd)
  return set
}

function emptyBytes(engine: Engine): number {
  using writer = GraphSegmentWriter.create(engine)
  using sealed = writer.seal()
  return sealed.byteLength
}

describe("a damaged segment", () => {
  const engine = new Engine()
  const bytes = (() => {
    using writer = GraphSegmentWriter.create(engine)
    writer.putNode("a", encoder.encode("{}"))
    writer.putNode("é", encoder.encode('{"x":1}'))
    writer.deleteNode("z")
    writer.putEdge(edge("a", "é"))
    writer.putEdge(edge("a", "z", "has", 0.5))
    writer.deleteEdge("b", "has", "a")
    writer.addDocumentEdges(1, "d", [edge("d", "a"), edge("d", "z", "has", 0.25)])
    writer.addDocumentEdges(4, "e", [edge("e", "e")])
    using sealed = writer.seal()
    return bytesOf(sealed)
  })()

  /** Everything that a collection does with a segment of a file. */
  const use = async (damaged: Uint8Array, inEngine: Engine) => {
    using segment = await GraphSegment.open(inEngine, source(damaged), { docCount: 5 })
    await segment.load()
    using graph = Graph.create(inEngine)
    segment.addTo(graph)
    const records = recordsOf(segment)
    for (const id of ["a", "b", "d", "z", "é"]) {
      graph.edges(id, { direction: "both" })
      graph.bfs([id], { maxDepth: 9, direction: "both" })
      graph.shortestPath(id, "a")
    }
    using live = DocSet.create(inEngine, 5)
    live.fill()
    using writer = GraphSegmentWriter.create(inEngine)
    writer.addSegment(segment, live, 0)
    using merged = writer.seal()
    merged.check()
    segment.check()
    return records
  }

  test("is refused, whichever byte of it is another", async () => {
    const sound = await use(bytes, engine)
    for (let at = 0; at < bytes.length; at++) {
      const damaged = bytes.slice()
      damaged[at] = (damaged[at] as number) ^ 0x41
      // Zeros behind the last section of a page are covered by its checksum as well: there is no byte that does not count.
      await expect(use(damaged, engine), `byte ${at}`).rejects.toThrow(
        expect.objectContaining({ code: expect.stringMatching(/^(CORRUPT|TRUNCATED|INCOMPATIBLE_VERSION)$/) }),
      )
    }
    for (const length of [0, 1, 23, 24, 400, bytes.length - 1]) {
      await expect(use(bytes.slice(0, length), engine)).rejects.toMatchObject({
        code: expect.stringMatching(/^(CORRUPT|TRUNCATED)$/),
      })
    }
    expect(await use(bytes, engine)).toEqual(sound)
    expect(engine.memoryInUse).toBe(0)
  })

  test("leads nobody out of it, also where its checksums were made to fit", async () => {
    const random = new Random(5)
    let refused = 0
    for (let at = 24; at < bytes.length; at++) {
      for (const value of [0xff, random.below(256)]) {
        const forged = bytes.slice()
        forged[at] = value
        repairChecksums(forged)
        try {
          await use(forged, engine)
        } catch (error) {
          expect(isTrap(error), `byte ${at} = ${value}`).toBe(false)
          expect(error).toMatchObject({
            code: expect.stringMatching(/^(CORRUPT|TRUNCATED|INCOMPATIBLE_VERSION|LIMIT_EXCEEDED)$/),
          })
          refused++
        }
        expect(engine.memoryInUse).toBe(0)
      }
    }
    expect(refused).toBeGreaterThan(100)
  })

  test("is refused where it is not in order", async () => {
    const { offset } = placeOf(bytes, 2, 3)
    const swapped = bytes.slice()
    // The ids begin "a", "b": the other way round every reader stays inside, but nothing can be merged with it.
    expect([swapped[offset], swapped[offset + 1]]).toEqual([0x61, 0x62])
    swapped.set([0x62, 0x61], offset)
    repairChecksums(swapped)
    await expect(use(swapped, engine)).rejects.toEqual(corrupt)
  })

  test("is refused before anything is made of it where a name stands there twice", async () => {
    using writer = GraphSegmentWriter.create(engine)
    for (const id of ["aaaaaaXa", "aaaaaaXb"]) writer.deleteNode(id)
    for (const type of ["ta", "tb"]) writer.deleteEdge("aaaaaaXa", type, "aaaaaaXb")
    using sealed = writer.seal()
    const sound = bytesOf(sealed)
    for (const [place, id] of [
      [2, 3],
      [7, 8],
    ] as const) {
      const { offset, length } = placeOf(sound, place, id)
      const twice = sound.slice()
      twice.copyWithin(offset + length / 2, offset, offset + length / 2)
      repairChecksums(twice)
      using segment = await GraphSegment.open(engine, source(twice), { docCount: 0 })
      await expect((async () => await segment.load())()).rejects.toEqual(corrupt)
    }
  })

  test("is refused where an id is not UTF-8", async () => {
    const { offset, length } = placeOf(bytes, 2, 3)
    const broken = bytes.slice()
    for (const lone of [0x41, 0xc3, 0xff]) {
      broken[offset + length - 1] = lone
      repairChecksums(broken)
      await expect(use(broken, engine)).rejects.toEqual(corrupt)
    }
  })
})

/** Where a section is, by its place in the table and its id (assembly/blob.ts). */
function placeOf(blob: Uint8Array, place: number, id: number): { offset: number; length: number } {
  const view = new DataView(blob.buffer, 24 + place * 24)
  expect(view.getUint32(0, true)).toBe(id)
  return { offset: Number(view.getBigUint64(8, true)), length: Number(view.getBigUint64(16, true)) }
}

test("a writer takes what the graph takes, and nothing with a weight that no path can have", () => {
  using writer = GraphSegmentWriter.create(new Engine())
  expect(writer.isEmpty).toBe(true)
  for (const weight of [-1, Number.NaN, Number.POSITIVE_INFINITY]) {
    expect(() => writer.putEdge(edge("a", "b", "is", weight))).toThrow("Bug in Prism")
  }
  writer.deleteEdge("a", "is", "b")
  expect(writer.isEmpty).toBe(false)
  writer.dropTombstones()
  expect(writer.isEmpty).toBe(true)
  writer.addDocumentEdges(3, "d", [])
  expect(writer.isEmpty).toBe(true)
  writer.addDocumentEdges(3, "d", [edge("d", "e")])
  expect(writer.isEmpty).toBe(false)
  expect(() => writer.addDocumentEdges(3, "e", [edge("d", "e")])).toThrow("Bug in Prism")
})
