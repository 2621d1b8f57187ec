// The graph of a collection: what is written is what is read, whatever became of the segments meanwhile.
import { describe, expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import type { Collection } from "../../src/collection/collection.ts"
import type { EdgeInput, NodeInput } from "../../src/collection/graph-record.ts"
import { Prism } from "../../src/collection/prism.ts"
import { FaultyStorage } from "../support/faulty-storage.ts"
import { GraphTwin, type TwinEdge } from "../support/graph-twin.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { Random } from "../support/random.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"
import { collectSink, lines, streamOf } from "../support/streams.ts"

const SCHEMA = {
  backends: {
    text: { fields: [{ name: "title", type: "text" }] },
    graph: {
      edges: [
        { edge_type: "cites", to_field: "cites" },
        { edge_type: "wrote", from_field: "authors", to_field: "id" },
      ],
    },
  },
} as const

async function openSmall(): Promise<{ prism: Prism; collection: Collection }> {
  const prism = await Prism.openStorage(new LastingStorage(), runtime)
  const collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
  return { prism, collection }
}

const TINY = { ramDocuments: 6, ramBytes: 400, mergeFactor: 2 }

test.each([
  { seed: 1, tuning: {} },
  { seed: 2, tuning: TINY },
  { seed: 3, tuning: TINY },
  { seed: 4, tuning: { ...TINY, mergeFactor: 3 } },
])("random operations leave what plain maps hold (seed $seed, $tuning)", async ({ seed, tuning }) => {
  const random = new Random(seed)
  const int = (bound: number) => random.below(bound)
  let storage = new FaultyStorage()
  let prism = await Prism.openStorage(storage, runtime, { tuning })
  let collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
  const twin = new GraphTwin()
  const IDS = Array.from({ length: 18 }, (_, place) => (place % 5 === 0 ? `${place}🦉` : `n${place}\uffee`))
  const TYPES = ["cites", "wrote", "likes"]
  const anId = () => IDS[int(IDS.length)] as string
  const aType = () => TYPES[int(TYPES.length)] as string
  const someIds = () => Array.from({ length: int(4) }, anId)
  const reopen = async () => {
    storage = storage.process()
    prism = await Prism.openStorage(storage, runtime, { tuning })
    collection = await prism.collection("c")
  }
  const putDocument = async () => {
    const id = anId()
    const cites = int(3) === 0 ? anId() : someIds()
    const authors = int(4) === 0 ? undefined : someIds()
    await collection.add({ id, fields: { title: `title ${int(9)}`, cites, ...(authors && { authors }) } })
    twin.setDocument(id, [
      ...[cites].flat().map((to): TwinEdge => ({ from: id, to, edge_type: "cites", weight: 1 })),
      ...(authors ?? []).map((from): TwinEdge => ({ from, to: id, edge_type: "wrote", weight: 1 })),
    ])
  }
  const steps: Record<string, () => Promise<unknown>> = {
    putDocument,
    async deleteDocument() {
      const id = anId()
      await collection.delete(id)
      twin.deleteDocument(id)
    },
    async addNodes() {
      const nodes = Array.from({ length: 1 + int(4) }, (_, place): NodeInput => {
        return {
          id: anId(),
          node_type: aType(),
          ...(int(2) === 0 ? {} : { title: `t${place}`, payload: { n: [place] } }),
        }
      })
      expect(await collection.graph.addNodes(nodes)).toEqual({ added: nodes.length })
      for (const { id, ...rest } of nodes) twin.nodes.set(id, rest)
    },
    async addEdges() {
      const edges = Array.from({ length: 1 + int(6) }, (): EdgeInput & { weight: number } => {
        return { from: anId(), to: anId(), edge_type: aType(), weight: int(5) / 2 }
      })
      expect(await collection.graph.addEdges(edges)).toEqual({ added: edges.length })
      for (const edge of edges) twin.putEdge(edge)
    },
    async deleteEdges() {
      const known = twin.explicit
      const edges = Array.from({ length: 2 }, () => {
        const found = known[int(known.length)] ?? { from: anId(), to: anId(), edge_type: aType() }
        const { from, to, edge_type } = int(3) > 0 ? found : { from: anId(), to: anId(), edge_type: aType() }
        return { from, to, edge_type }
      })
      const there = edges.map((edge) => twin.deleteEdge(edge)).filter(Boolean).length
      expect(await collection.graph.deleteEdges(edges)).toEqual({ deleted: there })
    },
    async deleteNode() {
      const id = anId()
      expect(await collection.graph.deleteNode(id)).toEqual(twin.deleteNode(id))
    },
    async together() {
      // Without waiting in between: the deletion sees the edges before it, and not those behind it.
      const [id, other] = [anId(), anId()]
      const edge = { from: id, to: other, edge_type: "likes", weight: 2 }
      const done = [
        collection.graph.addEdges(edge),
        collection.graph.addNodes({ id, title: "gone" }),
        collection.graph.deleteNode(id),
        collection.graph.addEdges({ ...edge, edge_type: "cites" }),
        putDocument(),
      ]
      await Promise.all(done)
      twin.putEdge(edge)
      twin.deleteNode(id)
      twin.putEdge({ ...edge, edge_type: "cites" })
    },
    checkpoint: async () => await collection.checkpoint(),
    optimize: async () => await collection.optimize(),
    verify: async () => await collection.verify(),
    async reopen() {
      await prism.close()
      await reopen()
    },
    async abandon() {
      storage.kill()
      await reopen()
    },
    async readBeside() {
      const reader = await Prism.openStorage(storage.process(), runtime, { readOnly: true })
      const beside = await reader.collection("c")
      await compare(beside)
      await reader.close()
    },
    async replace() {
      const format = int(2) === 0 ? "portable" : "snapshot"
      const mode = int(2) === 0 ? "merge" : "replace"
      const sink = collectSink()
      await collection.export(sink.stream, { format })
      await prism.restore(streamOf(sink.bytes()), { mode })
      collection = await prism.collection("c")
    },
  }
  const often = ["putDocument", "putDocument", "deleteDocument", "addNodes", "addEdges", "addEdges", "deleteEdges"]
  const names = [...often, ...often, ...Object.keys(steps)]
  for (let step = 0; step < 150; step++) {
    const name = names[int(names.length)] as string
    await steps[name]?.()
    await compare(collection).catch((error: unknown) => {
      throw new Error(`after step ${step}, ${name}`, { cause: error })
    })
  }
  await collection.optimize()
  const { segments } = await collection.stats()
  expect(segments.length).toBeLessThanOrEqual(1)
  await compare(collection)
  await prism.close()

  async function compare(found: Collection): Promise<void> {
    const { graph } = found
    const id = anId()
    expect(await graph.node(id)).toEqual(twin.nodes.has(id) ? { id, ...twin.nodes.get(id) } : undefined)
    const stats = await graph.stats()
    expect(stats).toMatchObject({
      record_count: twin.nodes.size,
      edge_count: twin.edges.length,
      explicit_edge_count: twin.explicit.length,
    })
    const direction = (["out", "in", "both"] as const)[int(3)] as "out"
    const types = int(2) === 0 ? undefined : [aType(), aType()]
    if (!twin.has(id)) {
      expect(await refusalCode(graph.edges(id))).toBe("NODE_NOT_FOUND")
      expect(await refusalCode(graph.bfs({ start: id, max_depth: 1 }))).toBe("NODE_NOT_FOUND")
    } else {
      const { edges, total } = await graph.edges(id, { direction, edge_type: types })
      const expected = twin.edgesAt(id, direction, types)
      expect(total).toBe(expected.length)
      const sorted = (list: readonly TwinEdge[]) =>
        list.map((edge) => JSON.stringify(edge, ["from", "to", "edge_type", "weight"])).sort()
      expect(sorted(edges)).toEqual(sorted(expected))

      const maxDepth = int(5)
      const reached = await graph.bfs({ start: id, max_depth: maxDepth, edge_type: types })
      expect(new Map(reached.nodes.map((node) => [node.id, node.depth]))).toEqual(twin.distances([id], maxDepth, types))

      const target = anId()
      if (!twin.has(target)) return
      const way = await graph.shortestPath({ start: id, target, edge_types: types })
      expect(way.weight ?? undefined).toBe(twin.leastWeight(id, target, types))
      if (way.path) {
        expect([way.path[0], way.path.at(-1), way.length]).toEqual([id, target, way.path.length - 1])
        const steps = way.path.slice(1).map((to, place) => {
          const between = twin.edgesAt(way.path?.[place] as string, "out", types).filter((edge) => edge.to === to)
          return Math.min(...between.map(({ weight }) => weight))
        })
        expect(steps.reduce((sum, weight) => sum + weight, 0)).toBe(way.weight)
      }
    }
    const sink = collectSink()
    await found.export(sink.stream)
    expect(lines(sink.bytes()).slice(1 + twin.documentIds.length)).toEqual(twin.lines())
  }
})

describe("nodes and edges", () => {
  test("come back as they were given, and only what is bad is refused", async () => {
    const { prism, collection } = await openSmall()
    const { graph } = collection
    const payload = { deep: [1, { x: null }], big: 2n ** 70n, minus: -0 }
    await graph.addNodes({ id: "a", node_type: "person", title: "Ada", payload })
    const found = await graph.node("a")
    expect(found).toEqual({ id: "a", node_type: "person", title: "Ada", payload })
    expect(Object.is((found as { payload: typeof payload }).payload.minus, -0)).toBe(true)
    expect(await graph.node("b")).toBe(undefined)
    await graph.addNodes({ id: "a" })
    expect(await graph.node("a")).toEqual({ id: "a" })

    const error = await refusal(
      graph.addEdges([
        { from: "a", to: "b", edge_type: "knows" },
        { from: "a", to: "b", edge_type: "owes", weight: -0.5 },
        { from: "a", to: "c", edge_type: "owes", weight: Number.POSITIVE_INFINITY },
        { from: "a", to: "d", edge_type: "" },
        { from: "a", to: "x".repeat(513), edge_type: "knows" },
        { from: "a", to: "\ud800", edge_type: "knows" },
        { from: "a", to: "e", edge_type: "knows", wieght: 2 } as EdgeInput,
        { from: "a", to: 5 as unknown as string, edge_type: "knows" },
        7 as unknown as EdgeInput,
        { from: "a", to: "b", edge_type: "t".repeat(512), weight: 0 },
      ]),
    )
    expect([error.code, error.hint]).toEqual(["INVALID_REQUEST", expect.stringContaining("the other 2 are added")])
    expect(error.problems.map(({ place, code }) => [place, code])).toEqual([
      ['edge "a" -owes-> "b"', "INVALID_REQUEST"],
      ['edge "a" -owes-> "c"', "INVALID_REQUEST"],
      ["edge 3", "INVALID_REQUEST"],
      ["edge 4", "LIMIT_EXCEEDED"],
      ["edge 5", "INVALID_REQUEST"],
      ['edge "a" -knows-> "e"', "INVALID_REQUEST"],
      ["edge 7", "INVALID_REQUEST"],
      ["edge 8", "INVALID_REQUEST"],
    ])
    expect(error.problems[0]?.message).toContain("not negative, 1e+290 at most, found -0.5")
    expect((await graph.edges("a")).total).toBe(2)

    const bad = await refusal(
      graph.addNodes([
        { id: "n", payload: Number.NaN },
        { id: "m", title: 3 as unknown as string },
        { id: "k", payload: Array.from({ length: 70 }).reduce((inner: unknown) => [inner], 1) },
        { id: "l".repeat(513) },
        { id: "j", nodetype: "x" } as NodeInput,
        { id: "i", payload: "x".repeat(16 * 1024 * 1024) },
        { id: "good" },
      ]),
    )
    expect(bad.problems.map(({ place, code }) => [place, code])).toEqual([
      ['node "n"', "INVALID_REQUEST"],
      ['node "m"', "INVALID_REQUEST"],
      ['node "k"', "INVALID_REQUEST"],
      ["node 3", "LIMIT_EXCEEDED"],
      ['node "j"', "INVALID_REQUEST"],
      ['node "i"', "LIMIT_EXCEEDED"],
    ])
    expect(await graph.node("good")).toEqual({ id: "good" })
    await prism.close()
  })

  test("are asked for within bounds", async () => {
    const { prism, collection } = await openSmall()
    const { graph } = collection
    await graph.addEdges({ from: "a", to: "b", edge_type: "t" })
    for (const call of [
      graph.edges("a", { direction: "up" as "out" }),
      graph.edges("a", { limit: 10_001 }),
      graph.edges("a", { offset: -1 }),
      graph.edges("a", { edge_type: [] }),
      graph.edges("a", { edgetype: "t" } as object),
      graph.bfs({ start: "a" } as { start: string; max_depth: number }),
      graph.bfs({ start: "a", max_depth: 1.5 }),
      graph.bfs({ start: "a", max_depth: 1, limit: 0 }),
      graph.bfs({ start: 1 as unknown as string, max_depth: 1 }),
      graph.shortestPath({ start: "a", target: null as unknown as string }),
      graph.deleteEdges([{ from: "a", to: "b", edge_type: "t" }, {} as EdgeInput]),
      collection.search({ expand: { depth: 0 } }),
      collection.search({ expand: { depth: 1, limit: 1001 } }),
      collection.search({ expand: { depth: 1, edge_type: 3 as unknown as string } }),
      collection.search({ expand: [] as unknown as { depth: number } }),
    ]) {
      expect((await refusal(call)).code).toBe("INVALID_REQUEST")
    }
    expect((await graph.edges("a")).total).toBe(1)
    for (const id of ["a", "b"]) {
      expect(await refusalCode(graph.shortestPath({ start: id, target: "nowhere" }))).toBe("NODE_NOT_FOUND")
      expect(await refusalCode(graph.shortestPath({ start: "nowhere", target: id }))).toBe("NODE_NOT_FOUND")
    }
    expect(await graph.shortestPath({ start: "b", target: "a" })).toEqual({ path: null, length: null, weight: null })
    await prism.close()
  })

  test("of a cycle of 10,000 edges are walked to their end", async () => {
    const { prism, collection } = await openSmall()
    const { graph } = collection
    const count = 10_000
    const next = (place: number) => `n${place % count}`
    await graph.addEdges(
      Array.from({ length: count }, (_, place) => ({ from: next(place), to: next(place + 1), edge_type: "next" })),
    )
    const all = await graph.bfs({ start: "n0", max_depth: 100_000 })
    expect([all.count, all.truncated, all.nodes.at(-1)]).toEqual([count, false, { id: "n9999", depth: 9999 }])
    const some = await graph.bfs({ start: "n0", max_depth: 100_000, limit: 10 })
    expect([some.count, some.truncated]).toEqual([10, true])
    expect(await graph.shortestPath({ start: "n5", target: "n4" })).toMatchObject({ length: 9999, weight: 9999 })
    await prism.close()
  })

  test("are refused where the collection has no graph, with what to do", async () => {
    const prism = await Prism.openStorage(new LastingStorage(), runtime)
    const collection = await prism.createCollection("c", {
      backends: { text: { fields: [{ name: "t", type: "text" }] } },
    })
    expect(() => collection.graph).toThrow(expect.objectContaining({ code: "INVALID_REQUEST" }))
    const error = await refusal(collection.search({ expand: { depth: 1 } }))
    expect([error.code, error.hint]).toEqual(["INVALID_REQUEST", expect.stringContaining("backends.graph")])
    await prism.close()
  })

  test("need neither text nor documents", async () => {
    const storage = new LastingStorage()
    let prism = await Prism.openStorage(storage, runtime)
    let { graph } = await prism.createCollection("c", { backends: { graph: {} } })
    await graph.addNodes({ id: "a" })
    await graph.addEdges({ from: "a", to: "b", edge_type: "t", weight: 3 })
    await (await prism.collection("c")).checkpoint()
    const stats = await (await prism.collection("c")).stats()
    expect(stats).toMatchObject({ document_count: 0, segment_count: 1, backends: { text: false, graph: true } })
    await (await prism.collection("c")).verify()
    await prism.close()
    prism = await Prism.openStorage(storage, runtime)
    graph = (await prism.collection("c")).graph
    expect((await graph.edges("b")).edges).toEqual([{ from: "a", to: "b", edge_type: "t", weight: 3 }])
    // What is deleted leaves nothing once it is merged.
    expect(await graph.deleteNode("a")).toEqual({ deleted: true, edges_deleted: 1 })
    await (await prism.collection("c")).optimize()
    expect((await (await prism.collection("c")).stats()).segment_count).toBe(0)
    await prism.close()
  })

  test("count against the quota of size, not of documents", async () => {
    const prism = await Prism.openStorage(new LastingStorage(), runtime)
    const schema = { backends: { graph: {} }, quota: { max_documents: 0, max_size_mb: 0.1 } } as const
    const { graph } = await prism.createCollection("c", schema)
    await graph.addNodes({ id: "a", payload: "x".repeat(50_000) })
    const error = await refusal(graph.addNodes([{ id: "b", payload: "x".repeat(60_000) }]))
    expect([error.code, error.place]).toEqual(["QUOTA_EXCEEDED", 'node "b"'])
    expect(await graph.deleteNode("a")).toEqual({ deleted: true, edges_deleted: 0 })
    await prism.close()
  })
})

describe("the edges of documents", () => {
  test("are drawn from text, numbers and lists, also from nested fields", async () => {
    const prism = await Prism.openStorage(new LastingStorage(), runtime)
    const collection = await prism.createCollection("c", {
      backends: {
        graph: {
          edges: [
            { edge_type: "in", to_field: "place.ids" },
            { edge_type: "between", from_field: "a", to_field: "b" },
          ],
        },
      },
    })
    await collection.add({
      id: "d",
      place: [{ ids: "x" }, { ids: [7, 2n ** 60n, null] }, {}],
      a: ["p", "q", "p"],
      b: ["r", "s"],
    })
    const edgesOf = async (id: string) =>
      (await collection.graph.edges(id, { direction: "out" })).edges.map(({ edge_type, to }) => `${edge_type} ${to}`)
    expect(await edgesOf("d")).toEqual(["in 1152921504606846976", "in 7", "in x"])
    expect(await edgesOf("p")).toEqual(["between r", "between s"])
    expect(await edgesOf("q")).toEqual(["between r", "between s"])
    // They go with the document, and only they.
    await collection.graph.addEdges({ from: "p", to: "r", edge_type: "between", weight: 9 })
    await collection.add({ id: "d", a: "p", b: 1 })
    expect(await edgesOf("p")).toEqual(["between 1", "between r"])
    await collection.delete("d")
    expect(await edgesOf("p")).toEqual(["between r"])
    expect(await refusalCode(collection.graph.edges("d"))).toBe("NODE_NOT_FOUND")
    await prism.close()
  })

  test("that cannot be drawn refuse the document by itself", async () => {
    const { prism, collection } = await openSmall()
    const bad: [unknown, string, RegExp][] = [
      [{ id: "x" }, "INVALID_DOCUMENT", /field "cites" expects ids for edges "cites", found an object/],
      [[["x"]], "INVALID_DOCUMENT", /found a list/],
      [1.5, "INVALID_DOCUMENT", /found 1.5/],
      [true, "INVALID_DOCUMENT", /found true/],
      ["x".repeat(513), "INVALID_DOCUMENT", /found the text/],
    ]
    for (const [cites, code, message] of bad) {
      const error = await refusal(
        collection.add([
          { id: "bad", fields: { cites } },
          { id: "good", fields: { cites: "x" } },
        ]),
      )
      expect([error.code, error.problems.length]).toEqual([code, 1])
      expect(error.problems[0]?.message).toMatch(message)
    }
    const many = Array.from({ length: 400 }, (_, place) => place)
    const schema = { backends: { graph: { edges: [{ edge_type: "t", from_field: "a", to_field: "b" }] } } } as const
    const crossed = await prism.createCollection("crossed", schema)
    expect(await refusalCode(crossed.add({ id: "d", a: many, b: many }))).toBe("LIMIT_EXCEEDED")
    expect(await collection.graph.stats()).toMatchObject({ edge_count: 1, document_edge_count: 1 })
    await prism.close()
  })
})

test("small documents with many edges fill a segment as large ones do, also after a restart", async () => {
  const storage = new LastingStorage()
  const ids = Array.from({ length: 64 }, (_, place) => place)
  const document = (id: string) => ({ id, a: ids, b: ids })
  const tuning = { ramBytes: 500_000 }
  let prism = await Prism.openStorage(storage, runtime, { tuning })
  const schema = { backends: { graph: { edges: [{ edge_type: "t", from_field: "a", to_field: "b" }] } } } as const
  let collection: Collection = (await prism.createCollection("crossed", schema)) as unknown as Collection
  const segments = async () => {
    const { segment_count, pending_segments } = await collection.stats()
    return segment_count + pending_segments
  }
  await collection.add(["a", "b", "c"].map(document))
  expect(await segments()).toBe(0)
  await prism.close()
  prism = await Prism.openStorage(storage, runtime, { tuning })
  collection = await prism.collection("crossed")
  await collection.add(document("d"))
  expect(await segments()).toBe(1)
  await collection.add(["e", "f", "g"].map(document))
  expect(await segments()).toBe(2)
  expect(await collection.graph.stats()).toMatchObject({ edge_count: 7 * 4096, node_count: 64 })
  await collection.verify()
  await prism.close()
})

describe("the deletion of a node", () => {
  const hub = async (edges: number) => {
    const { prism, collection } = await openSmall()
    await collection.graph.addNodes({ id: "hub" })
    await collection.graph.addEdges(
      Array.from({ length: edges }, (_, place) =>
        place % 2 === 0
          ? { from: "hub", to: `n${place}`, edge_type: "leads" }
          : { from: `n${place}`, to: "hub", edge_type: "leads" },
      ),
    )
    // It is loaded: who looks has not to wait until it is.
    await collection.graph.stats()
    return { prism, collection }
  }
  /** What somebody sees who looks at every turn of the event loop while `work` goes on. */
  const watched = async (collection: Collection, work: () => Promise<unknown>) => {
    const seen: { record: boolean; edges: number }[] = []
    const now = performance.now.bind(performance)
    let ended = false
    let ms = now()
    // Every pause that may be made is made.
    performance.now = () => (ms += 1000)
    const working = work().finally(() => {
      performance.now = now
      ended = true
    })
    while (!ended) {
      const { record_count, edge_count } = await collection.graph.stats()
      seen.push({ record: record_count > 0, edges: edge_count })
      await new Promise((resolve) => setTimeout(resolve, 0))
    }
    await working
    return seen
  }

  test("with 1024 edges is seen whole or not at all", async () => {
    const { prism, collection } = await hub(1024)
    const seen = await watched(collection, async () => {
      expect(await collection.graph.deleteNode("hub")).toEqual({ deleted: true, edges_deleted: 1024 })
    })
    expect(seen.length).toBeGreaterThan(0)
    for (const { record, edges } of seen) expect(edges).toBe(record ? 1024 : 0)
    expect((await collection.graph.stats()).node_count).toBe(0)
    await prism.close()
  })

  test("with more edges takes them 1024 at a time, the node with the last", async () => {
    const { prism, collection } = await hub(4000)
    const frames: number[] = []
    const seen = await watched(collection, async () => {
      expect(await collection.graph.deleteNode("hub")).toEqual({ deleted: true, edges_deleted: 4000 })
    })
    for (const { record, edges } of seen) {
      if (record) frames.push(edges)
      else expect(edges).toBe(0)
    }
    const between = frames.filter((edges) => edges < 4000)
    expect(between.length).toBeGreaterThan(0)
    for (const edges of between) expect([2976, 1952, 928]).toContain(edges)
    expect((await collection.graph.stats()).node_count).toBe(0)
    await prism.close()
  })
})

test("a reader without a pin reads the graph of its moment, though the log is gone", async () => {
  const storage = new LastingStorage()
  const prism = await Prism.openStorage(storage, runtime)
  const collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
  await collection.add({ id: "a", fields: { title: "moon", cites: "b" } })
  await collection.checkpoint()
  await collection.graph.addEdges({ from: "b", to: "c", edge_type: "leads" })
  await collection.add({ id: "d", fields: { title: "sun", cites: "c" } })
  const pinless = new Proxy(storage, {
    get: (target, key: keyof LastingStorage) => {
      if (key === "hold") throw new PrismError("READ_ONLY", "no place for a pin")
      const value = target[key]
      return typeof value === "function" ? value.bind(target) : value
    },
  })
  const reader = await Prism.openStorage(pinless, runtime, { readOnly: true })
  const beside = await reader.collection("c")
  await collection.graph.deleteNode("b")
  await collection.add({ id: "d", fields: { title: "sun" } })
  await collection.optimize()
  const { nodes } = await beside.graph.bfs({ start: "a", max_depth: 9 })
  expect(nodes.map(({ id }) => id)).toEqual(["a", "b", "c"])
  expect((await beside.graph.edges("d")).total).toBe(1)
  const sink = collectSink()
  expect(await beside.export(sink.stream)).toMatchObject({ document_count: 2, edge_count: 1 })
  expect((await collection.graph.stats()).edge_count).toBe(1)
  await reader.close()
  await prism.close()
})

describe("a search that expands", () => {
  const add = async (collection: Collection) =>
    await collection.add([
      { id: "a", fields: { title: "moon", cites: ["b", "x"] } },
      { id: "b", fields: { title: "sun", cites: ["c", "a"] } },
      { id: "c", fields: { title: "star", cites: ["d"] } },
      { id: "d", fields: { title: "sun and moon" } },
      { id: "e", fields: { title: "sun" } },
    ])

  test("goes on from its results along edges, through what is no document", async () => {
    const { prism, collection } = await openSmall()
    await add(collection)
    await collection.checkpoint()
    await collection.graph.addEdges([
      { from: "x", to: "e", edge_type: "leads" },
      { from: "a", to: "c", edge_type: "leads" },
    ])
    const search = async (expand: object, request: object = { query: "title:moon", limit: 1 }) => {
      const { results, expanded } = await collection.search({ ...request, expand: expand as { depth: number } })
      return [results.map(({ id }) => id), expanded?.map(({ id, depth, via }) => `${id} ${depth} ${via}`)]
    }
    expect(await search({ depth: 1 })).toEqual([["a"], ["b 1 a", "c 1 a"]])
    expect(await search({ depth: 1, edge_type: "cites" })).toEqual([["a"], ["b 1 a"]])
    expect(await search({ depth: 3, edge_type: "cites" })).toEqual([["a"], ["b 1 a", "c 2 a", "d 3 a"]])
    expect(await search({ depth: 2, edge_type: ["cites", "leads"] })).toEqual([
      ["a"],
      ["b 1 a", "c 1 a", "e 2 a", "d 2 a"],
    ])
    expect(await search({ depth: 2, limit: 2 })).toEqual([["a"], ["b 1 a", "c 1 a"]])
    expect(await search({ depth: 2 }, { query: "nothing" })).toEqual([[], []])
    // All results are starts, and none of them is listed again.
    expect(await search({ depth: 1 }, { query: "star sun", limit: 9 })).toEqual([["c", "b", "e", "d"], ["a 1 b"]])
    const { expanded } = await collection.search({ query: "title:star", expand: { depth: 1 } })
    expect(expanded).toEqual([{ id: "d", depth: 1, via: "c", fields: { title: "sun and moon" } }])
    expect(await collection.search({ query: "title:star" })).not.toHaveProperty("expanded")
    await collection.delete("b")
    expect(await search({ depth: 9, edge_type: "cites" })).toEqual([["a"], []])
    await prism.close()
  })

  test("says so where there may be more", async () => {
    const { prism, collection } = await openSmall()
    await add(collection)
    const truncated = async (expand: { depth: number; limit?: number }) =>
      (await collection.search({ query: "title:moon", limit: 1, expand })).expanded_truncated
    expect(await truncated({ depth: 3, limit: 2 })).toBe(true)
    expect(await truncated({ depth: 3, limit: 3 })).toBeUndefined()
    // Nodes that are no documents count as looked at: b, c, d, x and these are 10,000.
    const leaves = Array.from({ length: 9996 }, (_, place) => ({ from: "x", to: `leaf${place}`, edge_type: "leads" }))
    await collection.graph.addEdges(leaves)
    expect(await truncated({ depth: 3 })).toBeUndefined()
    await collection.graph.addEdges({ from: "x", to: "one more", edge_type: "leads" })
    expect(await truncated({ depth: 3 })).toBe(true)
    await prism.close()
  })

  test("shows nothing that its filter hides", async () => {
    const { prism, collection } = await openSmall()
    await add(collection)
    const request = { query: "title:moon", filter: "title:moon OR title:star", limit: 1, expand: { depth: 3 } }
    const { results, expanded } = await collection.search(request)
    expect([results.map(({ id }) => id), expanded?.map(({ id }) => id)]).toEqual([["a"], ["c", "d"]])
    await prism.close()
  })
})
