// The graph on real data: WordNet's typed edges beside its documents, Debian's dependencies drawn from theirs.
import { existsSync, readFileSync } from "node:fs"
import { expect, test } from "vitest"
import { sequential } from "../src/base/streams.ts"
import type { ExportOptions } from "../src/collection/archive/options.ts"
import type { Collection } from "../src/collection/collection.ts"
import { Prism } from "../src/collection/prism.ts"
import { generateKey, parseKey } from "../src/formats/key.ts"
import { decompressSeekable } from "../src/formats/seekable-zstd.ts"
import { bytesAccess } from "./support/bytes-access.ts"
import { GraphTwin } from "./support/graph-twin.ts"
import { LastingStorage } from "./support/lasting-storage.ts"
import { runtime } from "./support/runtime.ts"
import { collectSink, streamOf } from "./support/streams.ts"

const data = new URL("../../shared/data/", import.meta.url)
const isHere = existsSync(data)
if (!isHere) console.warn("skipped: the graphs of WordNet and Debian (shared/data), which are no part of the project")

async function records<T>(file: string): Promise<T[]> {
  const pieces: Uint8Array[] = []
  const compressed = sequential(bytesAccess(new Uint8Array(readFileSync(new URL(file, data)))))
  for await (const bytes of decompressSeekable(compressed, runtime.zstd)) pieces.push(bytes.slice())
  return Buffer.concat(pieces)
    .toString()
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line) as T)
}

/** Each takes some 20 s on a machine that does nothing else. */
const TIMEOUT_MS = 300_000

const keys = [parseKey(generateKey())]
const FORMATS: [string, ExportOptions][] = [
  ["portable", { format: "portable" }],
  ["snapshot", { format: "snapshot" }],
  ["encrypted", { encryption: { keys } }],
]

async function compare(collection: Collection, twin: GraphTwin, starts: readonly string[], types?: readonly string[]) {
  for (const start of starts) {
    for (const depth of [1, 2, 100]) {
      const { nodes, truncated } = await collection.graph.bfs({
        start,
        max_depth: depth,
        edge_type: types,
        limit: 100_000,
      })
      const distances = twin.distances([start], depth, types)
      expect([nodes.length, truncated]).toEqual([Math.min(distances.size, 100_000), distances.size > 100_000])
      const found = new Map(nodes.map(({ id, depth }) => [id, depth]))
      expect(found.size).toBe(nodes.length)
      expect([...found].filter(([id, depth]) => distances.get(id) !== depth)).toEqual([])
    }
  }
  // Weights are 1: the least sum is the least number of edges.
  for (const [place, start] of starts.entries()) {
    const target = starts[(place + 1) % starts.length] as string
    const { length } = await collection.graph.shortestPath({ start, target, ...(types && { edge_types: types }) })
    expect(length ?? undefined).toBe(twin.distances([start], Number.POSITIVE_INFINITY, types).get(target))
  }
}

test.skipIf(!isHere)(
  "WordNet's 117,659 documents and 377,592 relations come in, answer, and come back of every archive",
  async () => {
    interface Synset {
      readonly id: string
      readonly title: string
      readonly text: string
      readonly rel: readonly [type: string, to: string][]
    }
    const synsets = await records<Synset>("wordnet.jsonl.zst")
    const prism = await Prism.openStorage(new LastingStorage(), runtime)
    const schema = { backends: { text: { fields: [{ name: "title", type: "text" }] }, graph: {} } } as const
    const collection = (await prism.createCollection("wordnet", schema)) as unknown as Collection
    const twin = new GraphTwin()
    expect(synsets.reduce((sum, { rel }) => sum + rel.length, 0)).toBe(377_592)
    // Two words of a synset may relate to words of one other in the same way: that is one edge.
    const EDGES = new Set(synsets.flatMap(({ id, rel }) => rel.map((one) => JSON.stringify([id, ...one])))).size
    expect(EDGES).toBe(364_552)
    let first = performance.now()
    const took = (what: string) => {
      const now = performance.now()
      console.log(`WordNet, ${what}: ${Math.round(now - first)} ms`)
      first = now
    }
    for (let at = 0; at < synsets.length; at += 10_000) {
      const part = synsets.slice(at, at + 10_000)
      await collection.add(part.map(({ id, title }) => ({ id, fields: { title } })))
      const edges = part.flatMap(({ id, rel }) =>
        rel.map(([edge_type, to]) => ({ from: id, to, edge_type, weight: 1 })),
      )
      await collection.graph.addEdges(edges)
      for (const edge of edges) twin.putEdge(edge)
    }
    took("documents and edges in")
    expect((await collection.stats()).document_count).toBe(117_659)
    expect(await collection.graph.stats()).toMatchObject({ edge_count: EDGES, explicit_edge_count: EDGES })
    const starts = ["noun00001740", "noun02084071", "verb00692347", synsets.at(-1)?.id as string]
    await compare(collection, twin, starts)
    await compare(collection, twin, starts, ["@", "~"])
    took("answers and the twin's")
    await collection.checkpoint()
    const { memory_bytes } = await collection.graph.stats()
    console.log(`WordNet, the graph in memory: ${(memory_bytes / 1e6).toFixed(1)} MB`)
    for (const [format, options] of FORMATS) {
      first = performance.now()
      const sink = collectSink()
      await collection.export(sink.stream, options)
      took(`export, ${format}, ${(sink.bytes().length / 1e6).toFixed(1)} MB`)
      await prism.restore(streamOf(sink.bytes(), 1 << 20), { keys, target: format })
      took(`restore, ${format}`)
      const restored = await prism.collection(format)
      const stats = await restored.graph.stats()
      took(`the graph loaded, ${format}`)
      expect([(await restored.stats()).document_count, stats.edge_count]).toEqual([117_659, EDGES])
      await compare(restored, twin, starts.slice(0, 1))
      await prism.deleteCollection(format)
    }
    await prism.close()
  },
  TIMEOUT_MS,
)

test.skipIf(!isHere)(
  "Debian's 286k dependencies are drawn from its packages, and come back of every archive",
  async () => {
    interface Package {
      readonly id: string
      readonly title: string
      readonly depends?: readonly string[]
    }
    const packages = await records<Package>("debian-packages.jsonl.zst")
    const prism = await Prism.openStorage(new LastingStorage(), runtime)
    const schema = {
      backends: {
        text: { fields: [{ name: "title", type: "text" }] },
        graph: { edges: [{ edge_type: "depends", to_field: "depends" }] },
      },
    } as const
    const collection = (await prism.createCollection("debian", schema)) as unknown as Collection
    const twin = new GraphTwin()
    for (let at = 0; at < packages.length; at += 10_000) {
      const part = packages.slice(at, at + 10_000)
      await collection.add(
        part.map(({ id, title, depends }) => ({ id, fields: { title, ...(depends && { depends }) } })),
      )
    }
    for (const { id, depends = [] } of packages) {
      twin.setDocument(
        id,
        depends.map((to) => ({ from: id, to, edge_type: "depends", weight: 1 })),
      )
    }
    const edgeCount = twin.edges.length
    expect(edgeCount).toBeGreaterThan(280_000)
    expect(await collection.graph.stats()).toMatchObject({ edge_count: edgeCount, document_edge_count: edgeCount })
    const starts = ["firefox-esr", "libreoffice", "0ad", "bash", "libc6"]
    await compare(collection, twin, starts)
    const { results, expanded } = await collection.search({
      query: "_id:0ad",
      limit: 1,
      expand: { edge_type: "depends", depth: 1 },
    })
    expect(results.map(({ id }) => id)).toEqual(["0ad"])
    const direct = twin.edgesAt("0ad", "out").map(({ to }) => to)
    expect(expanded?.map(({ id }) => id).sort()).toEqual(direct.filter((id) => twin.documentIds.includes(id)).sort())
    for (const [format, options] of FORMATS) {
      const sink = collectSink()
      await collection.export(sink.stream, options)
      await prism.restore(streamOf(sink.bytes(), 1 << 20), { keys, target: format })
      const restored = await prism.collection(format)
      expect(await restored.graph.stats()).toMatchObject({ edge_count: edgeCount, explicit_edge_count: 0 })
      await compare(restored, twin, starts.slice(0, 1))
      await prism.deleteCollection(format)
    }
    await prism.close()
  },
  TIMEOUT_MS,
)
