// The document graph on real data: all of WordNet's relations and of Debian's dependencies, held against NetworkX.
// Needs ../shared/data, which is no part of the project, zstd, and python3 with networkx; skips what lacks one, and says so.
import { spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { describe, expect, test } from "vitest"
import { DocSet } from "../src/engine/doc-set.ts"
import { Engine } from "../src/engine/engine.ts"
import { Graph } from "../src/engine/graph.ts"
import type { GraphEdge } from "../src/engine/graph-edge.ts"
import { GraphSegment, GraphSegmentWriter } from "../src/engine/graph-segment.ts"
import { Random } from "./support/random.ts"

const FOLDER = "../shared/data"
const has = (program: string, ...args: string[]) => spawnSync(program, args).status === 0
const LACKS = [
  ...(existsSync(`${FOLDER}/wordnet.jsonl.zst`) ? [] : [FOLDER]),
  ...(has("zstd", "--version") ? [] : ["zstd"]),
  ...(has("python3", "-c", "import networkx") ? [] : ["python3 with networkx"]),
]
if (LACKS.length > 0) console.warn(`skipped: the graphs of WordNet and Debian, for want of ${LACKS.join(", ")}`)
const why = LACKS.length > 0 ? ` (skipped: no ${LACKS.join(", ")} here)` : ""

function readLines(name: string): Record<string, unknown>[] {
  const { stdout } = spawnSync("zstd", ["-dc", `${FOLDER}/${name}`], { maxBuffer: 2 ** 30 })
  return stdout
    .toString()
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, unknown>)
}

/** Reads edges and questions, answers them. Of parallel edges the lightest counts, as on every shortest path. */
const NETWORKX = `
import json, sys, networkx
asked = json.load(sys.stdin)
graph = networkx.DiGraph()
for start, end, weight in asked["edges"]:
    if not graph.has_edge(start, end) or graph[start][end]["weight"] > weight:
        graph.add_edge(start, end, weight=weight)
graph.add_nodes_from(asked["nodes"])
near = [dict(networkx.single_source_shortest_path_length(graph, node, 3)) for node in asked["starts"]]
paths = []
for start, target in asked["pairs"]:
    try:
        paths.append(networkx.bidirectional_dijkstra(graph, start, target)[0])
    except networkx.NetworkXNoPath:
        paths.append(None)
json.dump({"nodes": graph.number_of_nodes(), "edges": graph.number_of_edges(), "near": near, "paths": paths}, sys.stdout)
`

interface Answers {
  readonly nodes: number
  readonly edges: number
  readonly near: Record<string, number>[]
  readonly paths: (number | null)[]
}

/** Asks NetworkX and a graph the same. */
function expectAsNetworkx(graph: Graph, nodes: readonly string[], edges: readonly GraphEdge[], random: Random): void {
  const some = () => nodes[random.below(nodes.length)] as string
  const starts = Array.from({ length: 20 }, some)
  // Half of the targets are within reach.
  const pairs = Array.from({ length: 16 }, (_, i) => {
    const start = some()
    const near = graph.bfs([start], { maxDepth: 6 })
    return [start, i % 2 === 0 ? some() : (near[random.below(near.length)] as { id: string }).id] as const
  })
  const input = JSON.stringify({
    edges: edges.map(({ from, to, weight }) => [from, to, weight]),
    nodes,
    starts,
    pairs,
  })
  const { stdout, stderr } = spawnSync("python3", ["-c", NETWORKX], { input, maxBuffer: 2 ** 30 })
  expect(stderr.toString()).toBe("")
  const answers = JSON.parse(stdout.toString()) as Answers
  expect(graph.stats().nodeCount).toBe(answers.nodes)
  for (const [i, start] of starts.entries()) {
    const near = graph.bfs([start], { maxDepth: 3 })
    expect(Object.fromEntries(near.map(({ id, depth }) => [id, depth]))).toEqual(answers.near[i])
  }
  let found = 0
  for (const [i, [start, target]] of pairs.entries()) {
    const path = graph.shortestPath(start, target)
    if (path !== null) found++
    expect(path && path.weight, `${start} to ${target}`).toEqual(
      answers.paths[i] === null ? null : expect.closeTo(answers.paths[i] as number, 9),
    )
  }
  expect(found).toBeGreaterThanOrEqual(8)
}

async function reopened(engine: Engine, segment: GraphSegment, docCount: number): Promise<GraphSegment> {
  const bytes = segment.readBytes(0, segment.byteLength)
  const file = { size: bytes.length, read: async (at: number, length: number) => bytes.subarray(at, at + length) }
  const opened = await GraphSegment.open(engine, file, { docCount })
  await opened.load()
  opened.check()
  return opened
}

describe.skipIf(LACKS.length > 0)("real graphs", () => {
  test(`WordNet's synsets with 377,592 explicit edges answer as in NetworkX${why}`, async () => {
    const engine = new Engine()
    const random = new Random(1)
    const synsets = readLines("wordnet.jsonl.zst") as unknown as {
      id: string
      title: string
      rel: [string, string][]
    }[]
    const edges: GraphEdge[] = []
    // Types weigh something, so that the lightest way is not the one with the fewest edges.
    const weights = new Map<string, number>()
    using writer = GraphSegmentWriter.create(engine)
    const seen = new Set<string>()
    for (const { id, title, rel } of synsets) {
      writer.putNode(id, new TextEncoder().encode(JSON.stringify({ node_type: "synset", title })))
      for (const [edgeType, to] of rel) {
        const weight = weights.get(edgeType) ?? 0.5 + random.below(8) / 4
        weights.set(edgeType, weight)
        const one = { from: id, to, edgeType, weight }
        edges.push(one)
        seen.add(JSON.stringify([id, edgeType, to]))
        writer.putEdge(one)
      }
    }
    expect([synsets.length, edges.length]).toEqual([117_659, 377_592])
    using sealed = writer.seal()
    using segment = await reopened(engine, sealed, 0)
    expect([segment.nodeCount, segment.edgeCount]).toEqual([117_659, seen.size])
    using graph = Graph.create(engine)
    segment.addTo(graph)
    const stats = graph.stats()
    expect(stats).toMatchObject({
      nodeCount: 117_659,
      recordCount: 117_659,
      explicitEdgeCount: seen.size,
      derivedEdgeCount: 0,
    })
    expect(stats.edgeTypes.map(({ edgeType }) => edgeType)).toEqual([...weights.keys()].sort())
    expectAsNetworkx(
      graph,
      synsets.map(({ id }) => id),
      edges,
      random,
    )
    // Every synset's record comes back, in the order of ids.
    const ids = Array.from(segment.nodeRecords(), ({ id }) => id)
    expect(ids).toEqual(synsets.map(({ id }) => id).sort())
  })

  test(`Debian's packages with the edges that are derived from their dependencies answer as in NetworkX${why}`, async () => {
    const engine = new Engine()
    const random = new Random(2)
    const packages = readLines("debian-packages.jsonl.zst") as unknown as { id: string; depends: string[] }[]
    using writer = GraphSegmentWriter.create(engine)
    const edgesOf = ({ id, depends }: { id: string; depends: readonly string[] }) =>
      depends.map((to) => ({ from: id, to, edgeType: "depends", weight: 1 }))
    for (const [docOrd, one] of packages.entries()) writer.addDocumentEdges(docOrd, one.id, edgesOf(one))
    using sealed = writer.seal()
    using segment = await reopened(engine, sealed, packages.length)
    // A tenth of them are deleted.
    using live = DocSet.create(engine, packages.length)
    live.fill()
    for (const docOrd of packages.keys()) if (random.below(10) === 0) live.remove(docOrd)
    const edges = packages.filter((_, docOrd) => live.has(docOrd)).flatMap(edgesOf)
    using graph = Graph.create(engine)
    segment.addTo(graph, live)
    const distinct = new Set(edges.map(({ from, to }) => JSON.stringify([from, to]))).size
    expect(graph.stats()).toMatchObject({ recordCount: 0, explicitEdgeCount: 0, derivedEdgeCount: distinct })
    const nodes = [...new Set(edges.flatMap(({ from, to }) => [from, to]))]
    expectAsNetworkx(graph, nodes, edges, random)
    // The same, when the dead are merged away.
    using merged = GraphSegmentWriter.create(engine)
    merged.addSegment(segment, live, 0)
    using small = merged.seal()
    expect(small.derivedCount).toBe(distinct)
    using again = Graph.create(engine)
    small.addTo(again)
    const libc = (of: Graph) => of.edges("libc6", { direction: "in" })
    expect(libc(again)).toEqual(libc(graph))
    expect(libc(graph).total).toBe(new Set(edges.filter(({ to }) => to === "libc6").map(({ from }) => from)).size)
  })
})
