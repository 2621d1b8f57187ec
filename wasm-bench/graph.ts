// The document graph below the library, on WordNet's relations and Debian's dependencies: load, breadth first to depth 3,
// the lightest path. Beside it a Map of arrays with a binary heap, ngraph, and igraph (C, called from Python), by turns,
// in CPU time; each must give the same answers.
// Run: npm run bench graph [ROUNDS]. Needs the zstd program; igraph's part a python3 that has it ($PYTHON names one).
import { spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import createGraph from "ngraph.graph"
import { aStar } from "ngraph.path"
import { Engine } from "../src/engine/engine.ts"
import { Graph } from "../src/engine/graph.ts"
import { GraphSegment, GraphSegmentWriter } from "../src/engine/graph-segment.ts"
import { Random } from "../test/support/random.ts"
import { cpuSeconds, median, rounded } from "./measure.ts"
import { readJsonLines, record } from "./shared-data.ts"

const ROUNDS = Number(process.argv[2] ?? 5)
const DEPTH = 3
const STARTS = 500
const PAIRS = 40
const PYTHON = process.env["PYTHON"] ?? "python3"

interface Edge {
  readonly from: string
  readonly to: string
  readonly edgeType: string
  readonly weight: number
}

interface Task {
  readonly nodes: readonly string[]
  readonly edges: readonly Edge[]
  readonly starts: readonly string[]
  readonly pairs: readonly (readonly [start: string, target: string])[]
}

interface Answers {
  /** Nodes up to DEPTH from each start, itself with them. */
  near: number[]
  /** Of the lightest path of each pair; null where there is none. */
  weights: (number | null)[]
}

type Part = "load" | "bfs" | "path"
type Run = Answers & { readonly seconds: Record<Part, number> }

/** CPU seconds that some work takes, and what it gives. */
function timed<T>(work: () => T): [seconds: number, result: T] {
  const before = cpuSeconds()
  const result = work()
  return [cpuSeconds() - before, result]
}

function measured<G>(
  load: () => G,
  near: (graph: G, start: string) => number,
  weight: (graph: G, start: string, target: string) => number | null,
  { starts, pairs }: Task,
): Run {
  globalThis.gc?.()
  const [loadSeconds, graph] = timed(load)
  const [bfsSeconds, allNear] = timed(() => starts.map((start) => near(graph, start)))
  const [pathSeconds, weights] = timed(() => pairs.map(([start, target]) => weight(graph, start, target)))
  return { seconds: { load: loadSeconds, bfs: bfsSeconds, path: pathSeconds }, near: allNear, weights }
}

function prism(task: Task): Run {
  return measured(
    () => {
      const graph = Graph.create(new Engine())
      for (const edge of task.edges) graph.putEdge(edge)
      return graph
    },
    (graph, start) => graph.bfs([start], { maxDepth: DEPTH }).length,
    (graph, start, target) => graph.shortestPath(start, target)?.weight ?? null,
    task,
  )
}

/** As a collection is opened: from the file of a segment, checked. */
async function prismOpened(task: Task, bytes: Uint8Array): Promise<Run> {
  const engine = new Engine()
  const before = cpuSeconds()
  const file = { size: bytes.length, read: async (at: number, length: number) => bytes.subarray(at, at + length) }
  using segment = await GraphSegment.open(engine, file, { docCount: 0 })
  await segment.load()
  const opened = cpuSeconds() - before
  const run = measured(
    () => {
      const graph = Graph.create(engine)
      segment.addTo(graph)
      return graph
    },
    (graph, start) => graph.bfs([start], { maxDepth: DEPTH }).length,
    (graph, start, target) => graph.shortestPath(start, target)?.weight ?? null,
    task,
  )
  return { ...run, seconds: { ...run.seconds, load: run.seconds.load + opened } }
}

type Adjacency = Map<string, Edge[]>

function mapOfArrays(task: Task): Run {
  return measured(
    () => {
      const graph: Adjacency = new Map()
      for (const edge of task.edges) {
        const row = graph.get(edge.from)
        if (row) row.push(edge)
        else graph.set(edge.from, [edge])
        if (!graph.has(edge.to)) graph.set(edge.to, [])
      }
      return graph
    },
    (graph, start) => {
      const depths = new Map([[start, 0]])
      for (const [id, depth] of depths) {
        if (depth === DEPTH) break
        for (const { to } of graph.get(id) ?? []) if (!depths.has(to)) depths.set(to, depth + 1)
      }
      return depths.size
    },
    (graph, start, target) => {
      const best = new Map([[start, 0]])
      const heap: { id: string; weight: number }[] = [{ id: start, weight: 0 }]
      for (let nearest = pop(heap); nearest; nearest = pop(heap)) {
        const { id, weight } = nearest
        if (id === target) return weight
        if (weight > (best.get(id) ?? 0)) continue
        for (const edge of graph.get(id) ?? []) {
          const next = weight + edge.weight
          if (next >= (best.get(edge.to) ?? Number.POSITIVE_INFINITY)) continue
          best.set(edge.to, next)
          push(heap, { id: edge.to, weight: next })
        }
      }
      return null
    },
    task,
  )
}

interface Item {
  readonly id: string
  readonly weight: number
}

function push(heap: Item[], item: Item): void {
  let place = heap.length
  heap.push(item)
  while (place > 0) {
    const parent = (place - 1) >> 1
    const above = heap[parent] as Item
    if (above.weight <= item.weight) break
    heap[place] = above
    place = parent
  }
  heap[place] = item
}

function pop(heap: Item[]): Item | undefined {
  const nearest = heap[0]
  const item = heap.pop()
  if (item === undefined || heap.length === 0) return nearest
  let place = 0
  for (let child = 1; child < heap.length; child = 2 * place + 1) {
    if (child + 1 < heap.length && (heap[child + 1] as Item).weight < (heap[child] as Item).weight) child++
    const below = heap[child] as Item
    if (below.weight >= item.weight) break
    heap[place] = below
    place = child
  }
  heap[place] = item
  return nearest
}

function ngraph(task: Task): Run {
  return measured(
    () => {
      const graph = createGraph<undefined, number>({ multigraph: true })
      for (const { from, to, weight } of task.edges) graph.addLink(from, to, weight)
      const finder = aStar<undefined, number>(graph, { oriented: true, distance: (_from, _to, link) => link.data })
      return { graph, finder }
    },
    ({ graph }, start) => {
      const depths = new Map<string, number>([[start, 0]])
      for (const [id, depth] of depths) {
        if (depth === DEPTH) break
        graph.forEachLinkedNode(
          id,
          (node) => {
            if (!depths.has(node.id as string)) depths.set(node.id as string, depth + 1)
          },
          true,
        )
      }
      return depths.size
    },
    ({ graph, finder }, start, target) => {
      if (start === target) return 0
      const path = finder.find(start, target).reverse()
      if (path.length === 0) return null
      let weight = 0
      for (let i = 1; i < path.length; i++) {
        const links: number[] = []
        const [from, to] = [path[i - 1], path[i]]
        graph.forEachLinkedNode(
          from?.id as string,
          (_node, link) => {
            if (link.toId === to?.id) links.push(link.data)
          },
          true,
        )
        weight += Math.min(...links)
      }
      return weight
    },
    task,
  )
}

/** Undefined where no igraph is here. */
function igraph({ nodes, edges, starts, pairs }: Task, folder: string): (Run & { version: string }) | undefined {
  const ordinals = new Map(nodes.map((id, i) => [id, i]))
  const ordinal = (id: string) => ordinals.get(id)
  const input = join(folder, "graph.json")
  writeFileSync(
    input,
    JSON.stringify({
      nodes: nodes.length,
      edges: edges.map(({ from, to, weight }) => [ordinal(from), ordinal(to), weight]),
      depth: DEPTH,
      starts: starts.map(ordinal),
      pairs: pairs.map((pair) => pair.map(ordinal)),
    }),
  )
  const { status, stdout } = spawnSync(PYTHON, ["wasm-bench/graph.py", input], { maxBuffer: 2 ** 28 })
  return status === 0 ? (JSON.parse(stdout.toString()) as Run & { version: string }) : undefined
}

function check(name: string, run: Answers, expected: Answers): void {
  for (const [i, near] of run.near.entries()) {
    if (near !== expected.near[i]) throw new Error(`${name}: ${near} nodes near start ${i}, not ${expected.near[i]}`)
  }
  for (const [i, weight] of run.weights.entries()) {
    const right = expected.weights[i] as number | null
    const same = weight === null || right === null ? weight === right : Math.abs(weight - right) < 1e-9
    if (!same) throw new Error(`${name}: path ${i} weighs ${weight}, not ${right}`)
  }
}

async function measure(name: string, task: Task): Promise<object> {
  const folder = mkdtempSync(join(tmpdir(), "prism-graph-"))
  const runs = new Map<string, Run[]>()
  const engine = new Engine()
  using writer = GraphSegmentWriter.create(engine)
  for (const edge of task.edges) writer.putEdge(edge)
  const [sealSeconds, sealed] = timed(() => writer.seal())
  const bytes = sealed.readBytes(0, sealed.byteLength)
  sealed.close()
  let version = "none here"
  try {
    // One round more: the first warms up.
    for (let round = 0; round <= ROUNDS; round++) {
      const turn: Record<string, Run> = {
        "Prism, edge by edge": prism(task),
        "Prism, from its file": await prismOpened(task, bytes),
        "Map of arrays": mapOfArrays(task),
        ngraph: ngraph(task),
      }
      const native = igraph(task, folder)
      if (native) {
        turn["igraph"] = native
        version = native.version
      }
      for (const [peer, run] of Object.entries(turn)) {
        check(`${name}, ${peer}`, run, turn["Map of arrays"] as Run)
        if (round > 0) runs.set(peer, [...(runs.get(peer) ?? []), run])
      }
    }
  } finally {
    rmSync(folder, { recursive: true })
  }
  const per: Record<Part, number> = { load: 1e3, bfs: 1e6 / STARTS, path: 1e6 / PAIRS }
  const figures: Record<string, Record<Part, number>> = {}
  for (const [peer, all] of runs) {
    const of = (part: Part) => rounded(median(all.map(({ seconds }) => seconds[part])) * per[part], 1)
    figures[peer] = { load: of("load"), bfs: of("bfs"), path: of("path") }
  }
  const ours = figures["Prism, from its file"] as Record<Part, number>
  const timesAsFast = Object.fromEntries(
    Object.entries(figures)
      .filter(([peer]) => !peer.startsWith("Prism"))
      .map(([peer, { load, bfs, path }]) => [
        peer,
        { load: rounded(load / ours.load), bfs: rounded(bfs / ours.bfs), path: rounded(path / ours.path) },
      ]),
  )
  using graph = Graph.create(engine)
  for (const edge of task.edges) graph.putEdge(edge)
  const [first] = runs.get("Map of arrays") as [Run]
  const result = {
    nodes: task.nodes.length,
    edges: graph.stats().edgeCount,
    meanNear: Math.round(first.near.reduce((sum, count) => sum + count, 0) / STARTS),
    pathsFound: first.weights.filter((weight) => weight !== null).length,
    sealMs: rounded(sealSeconds * 1e3, 1),
    fileBytesAnEdge: rounded(bytes.length / graph.stats().edgeCount, 1),
    memoryBytesAnEdge: rounded(graph.memoryBytes / graph.stats().edgeCount, 1),
    igraph: version,
    "CPU: load ms, bfs µs, path µs": figures,
    "Prism, from its file, times as fast as": timesAsFast,
  }
  console.log(name, JSON.stringify(result, null, 2))
  return result
}

/** Half of the pairs at random, half within reach of each other. */
function taskOf(edges: readonly Edge[], random: Random): Task {
  const nodes = [...new Set(edges.flatMap(({ from, to }) => [from, to]))]
  const some = () => nodes[random.below(nodes.length)] as string
  using graph = Graph.create(new Engine())
  for (const edge of edges) graph.putEdge(edge)
  const pairs = Array.from({ length: PAIRS }, (_, i) => {
    const start = some()
    const near = graph.bfs([start], { maxDepth: 8 })
    return [start, i % 2 === 0 ? some() : (near[random.below(near.length)] as { id: string }).id] as const
  })
  return { nodes, edges, starts: Array.from({ length: STARTS }, some), pairs }
}

const distinct = (edges: readonly Edge[]) => [
  ...new Map(edges.map((edge) => [`${edge.from}\n${edge.edgeType}\n${edge.to}`, edge])).values(),
]

const random = new Random(2026)
const wordnet: Edge[] = []
for await (const { id, rel } of readJsonLines<{ id: string; rel: [string, string][] }>("wordnet.jsonl.zst")) {
  for (const [edgeType, to] of rel) wordnet.push({ from: id, to, edgeType, weight: 1 + (edgeType.length % 3) / 2 })
}
const debian: Edge[] = []
for await (const { id, depends } of readJsonLines<{ id: string; depends: string[] }>("debian-packages.jsonl.zst")) {
  for (const to of depends) debian.push({ from: id, to, edgeType: "depends", weight: 1 })
}
record("graph", {
  wordnet: await measure("WordNet", taskOf(distinct(wordnet), random)),
  debian: await measure("Debian", taskOf(distinct(debian), random)),
})
