// The graph in archives of every format: what leaves comes back, and nothing that is not what was written.
import { describe, expect, test } from "vitest"
import { decodeUtf8, encodeUtf8 } from "../../src/base/bytes.ts"
import { diffArchives } from "../../src/collection/archive/diff.ts"
import type { ExportOptions } from "../../src/collection/archive/options.ts"
import { viewArchive } from "../../src/collection/archive/view-archive.ts"
import type { Collection } from "../../src/collection/collection.ts"
import { nodeLine, parseGraphLine } from "../../src/collection/graph-record.ts"
import { Prism } from "../../src/collection/prism.ts"
import { Engine } from "../../src/engine/engine.ts"
import { GraphSegmentWriter } from "../../src/engine/graph-segment.ts"
import { generateKey, parseKey } from "../../src/formats/key.ts"
import { exportBytes, type OpenSnapshot, openPrism, openSnapshot, packSnapshot } from "../support/archives.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import { FaultyStorage } from "../support/faulty-storage.ts"
import { edge, fillGraph, graphContentOf, portableV2, SCHEMA } from "../support/graph-archives.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"
import { sha256 } from "../support/snapshots.ts"
import { collectSink, lines, streamOf } from "../support/streams.ts"

const key = parseKey(generateKey())
const FORMATS = {
  portable: { format: "portable" },
  snapshot: { format: "snapshot" },
  "version 2": { encryption: { keys: [key] } },
  "version 1": { encryption: { keys: [key], version: 1 } },
} as const satisfies Record<string, ExportOptions>
const formats = Object.entries(FORMATS) as [string, ExportOptions][]

const source = await fillGraph(await openPrism())
const content = await graphContentOf(source)
const archives = new Map<string, Uint8Array>()
for (const [name, options] of formats) archives.set(name, await exportBytes(source, options))
const archive = (name: string) => archives.get(name) as Uint8Array

const RECORDS = [
  '{"node":{"id":"x","node_type":"person","title":"X","payload":{"n":1}}}',
  '{"node":{"id":"é🦉"}}',
  '{"edge":{"from":"a","to":"x","edge_type":"knows","weight":0.1}}',
  '{"edge":{"from":"x","to":"é🦉","edge_type":"knows","weight":0}}',
  '{"edge":{"from":"x","to":"\uffee","edge_type":"knows","weight":1}}',
]

describe.each(formats)("%s", (name) => {
  test("brings everything back, also into a folder that is opened again", async () => {
    const storage = new LastingStorage()
    let prism = await openPrism(storage)
    const report = await prism.restore(streamOf(archive(name)), { keys: [key] })
    expect(report).toMatchObject({ documents_imported: 3, checksum: "verified", warnings: [] })
    if (name === "portable") expect(report).toMatchObject({ nodes_imported: 2, edges_imported: 3 })
    const restored = await prism.collection("c")
    expect(await graphContentOf(restored)).toBe(content)
    await restored.verify()
    await prism.close()
    prism = await openPrism(storage)
    const again = await prism.collection("c")
    expect(await graphContentOf(again)).toBe(content)
    // And through every other format.
    for (const [other, options] of formats) {
      const bytes = await exportBytes(again, options)
      await prism.restore(streamOf(bytes), { keys: [key], target: other.replace(" ", "-") })
      expect(await graphContentOf(await prism.collection(other.replace(" ", "-")))).toBe(content)
    }
    await prism.close()
  })

  test("is verified, looked into and compared without being restored", async () => {
    await using prism = await openPrism()
    const verified = await prism.verify(bytesAccess(archive(name)), { keys: [key] })
    expect(verified).toMatchObject({ document_count: 3 })
    await using view = await viewArchive(bytesAccess(archive(name)), [key], runtime)
    expect(view.entries.map((entry) => entry.name)).toEqual(expect.arrayContaining(["documents.jsonl", "graph.jsonl"]))
    const read = async (entry: string) => {
      let text = ""
      for await (const bytes of view.read(entry)) text += decodeUtf8(bytes)
      return text.split("\n").slice(0, -1)
    }
    expect(await read("graph.jsonl")).toEqual(RECORDS)
    expect(await read("documents.jsonl")).toHaveLength(3)

    const changed = await fillGraph(prism)
    await changed.graph.addNodes({ id: "x", title: "Y" })
    await changed.graph.addEdges(edge("x", "\uffee", 5))
    await changed.graph.deleteEdges({ from: "a", to: "x", edge_type: "knows" })
    await changed.graph.addEdges(edge("a", "new"))
    await changed.delete("d")
    await using other = await viewArchive(bytesAccess(await exportBytes(changed, FORMATS.snapshot)), [], runtime)
    for (const linesPerPass of [undefined, 2]) {
      const options = { createSha256: runtime.createSha256, ...(linesPerPass && { linesPerPass }) }
      const found: string[] = []
      for await (const { change, kind, id } of diffArchives(view, other, options)) found.push(`${change} ${kind} ${id}`)
      expect(found.sort()).toEqual([
        "added edge a -knows-> new",
        "changed edge x -knows-> \uffee",
        "changed node x",
        "removed document d",
        "removed edge a -knows-> x",
      ])
      for await (const difference of diffArchives(view, view, options)) expect(difference).toBe(undefined)
    }
  })

  test("merges: what it has replaces, what it has not stays", async () => {
    await using prism = await openPrism()
    const target = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
    await target.add([
      { id: "a", fields: { title: "old", cites: ["old"] } },
      { id: "b", fields: { title: "kept", cites: ["gone"] } },
    ])
    // In the archive's collection some of these are deleted; that is no word about them here.
    await target.graph.addNodes([
      { id: "gone", title: "kept" },
      { id: "x", title: "old" },
    ])
    await target.graph.addEdges([edge("a", "x", 7), edge("x", "b", 7), edge("gone", "x", 7)])
    await target.checkpoint()
    await target.graph.stats()
    await prism.restore(streamOf(archive(name)), { keys: [key], mode: "merge" })
    const merged = await prism.collection("c")
    expect(await merged.graph.node("gone")).toEqual({ id: "gone", title: "kept" })
    expect(await merged.graph.node("x")).toMatchObject({ title: "X" })
    const edges = (await merged.graph.edges("x", { direction: "both" })).edges
    expect(edges.map(({ from, to, edge_type, weight }) => `${from} ${edge_type} ${to} ${weight}`).sort()).toEqual(
      ["a knows x 0.1", "d cites x 1", "gone knows x 7", "x knows b 7", "x knows é🦉 0", "x knows \uffee 1"].sort(),
    )
    expect((await merged.graph.edges("old", {}).catch((error: unknown) => error)) as Error).toMatchObject({
      code: "NODE_NOT_FOUND",
    })
    expect((await merged.graph.edges("b", { direction: "out" })).total).toBe(1)
    await merged.verify()
    await merged.optimize()
    await merged.verify()
    expect((await merged.graph.edges("x", { direction: "both" })).total).toBe(6)
  })

  test("restored in part brings documents and their edges, and nothing else", async () => {
    await using prism = await openPrism()
    for (const selection of [{ ids: ["a", "d"] }, { where: "_id:a OR _id:d" }, { ids: ["a", "cc", "d"] }]) {
      await prism.restore(streamOf(archive(name)), { keys: [key], ...selection, mode: "replace" })
      const part = await prism.collection("c")
      const stats = await part.graph.stats()
      expect(stats).toMatchObject({ record_count: 0, explicit_edge_count: 0, document_edge_count: 4 })
      await part.verify()
    }
  })
})

test("a line is a node or an edge however its key is spelled, and a document otherwise", () => {
  const record = { kind: "put node", id: "x", recordJson: "{}" }
  expect(parseGraphLine('{"node":{"id":"x"}}')).toEqual(record)
  expect(parseGraphLine(' { "n\\u006fde" : { "id" : "x" } } ')).toEqual(record)
  expect(parseGraphLine('{"\\u0065dge":{"from":"a","to":"b","edge_type":"t"}}')).toMatchObject({ kind: "put edge" })
  for (const text of ['{"node":{"id":"x"},"id":"y"}', '{"n\\u0064ode":{"id":"x"}}', '{"\\u0069d":{}}', '{"node":1}']) {
    expect(parseGraphLine(text), text).toBeUndefined()
  }
})

describe("a portable archive", () => {
  test("of a collection with a graph is prism-portable-v2, which any tool can check", async () => {
    const text = decodeUtf8(archive("portable"))
    const [header, ...others] = lines(archive("portable"))
    const { format, metadata } = JSON.parse(header as string)
    expect([format, metadata.version]).toEqual(["prism-portable-v2", "1.0"])
    expect(metadata).toMatchObject({ document_count: 3, node_count: 2, edge_count: 3, backends: { graph: true } })
    expect(others.slice(3)).toEqual(RECORDS)
    expect(metadata.checksum).toBe(sha256(encodeUtf8(others.join(""))))
    expect(metadata.size_bytes).toBe(encodeUtf8(text).length - encodeUtf8(`${header}\n`).length)
  })

  test("of a collection without one is prism-portable-v1, and a collection with one takes it too", async () => {
    await using prism = await openPrism()
    const plain = await prism.createCollection("plain", { backends: { text: SCHEMA.backends.text } })
    await plain.add({ id: "a", fields: { title: "t" } })
    const bytes = await exportBytes(plain as unknown as Collection, FORMATS.portable)
    expect(decodeUtf8(bytes)).toContain('{"format":"prism-portable-v1"')
    expect(decodeUtf8(bytes)).not.toContain("node_count")
    // A document may have fields of these names.
    const odd = '{"node":{"id":"a"},"id":"odd","edge":{}}'
    const archived = portableV2({ documents: [odd], nodes: [], edges: [] })
    await prism.restore(streamOf(archived))
    expect((await (await prism.collection("c")).get("odd"))?.fields).toEqual({ node: { id: "a" }, edge: {} })
  })

  test("keeps numbers of a payload as they are written, and forgives white space and order", async () => {
    await using prism = await openPrism()
    const payload = '{"n":1.0,"big":123456789012345678901234567890,"e":1E5}'
    const archived = portableV2({
      edges: ['{ "edge" : {"edge_type":"t","weight":1.50,"to":"b","from":"a"} }'],
      nodes: [`{"node":{"payload":${payload},"title":null,"id":"n"}}`],
      documents: ['{"id":"late","fields":{}}'],
      order: ["edges", "nodes", "documents"],
    })
    await prism.restore(streamOf(archived))
    const restored = await prism.collection("c")
    expect(lines(await exportBytes(restored, FORMATS.portable)).slice(1)).toEqual([
      '{"id":"late","fields":{}}',
      `{"node":{"id":"n","payload":${payload}}}`,
      '{"edge":{"from":"a","to":"b","edge_type":"t","weight":1.5}}',
    ])
  })

  test("tells bad lines by their numbers, or skips them", async () => {
    const good = {
      documents: ['{"id":"a","fields":{}}'],
      nodes: ['{"node":{"id":"n"}}'],
      edges: [RECORDS[2] as string],
    }
    const bad: [Partial<typeof good>, string][] = [
      [{ nodes: [...good.nodes, ...good.nodes] }, "DUPLICATE_ID"],
      [{ edges: [...good.edges, ...good.edges] }, "DUPLICATE_ID"],
      [{ edges: ['{"edge":{"from":"a","to":"b","edge_type":"t","weight":-1}}'] }, "INVALID_REQUEST"],
      [{ edges: ['{"edge":{"from":"a","to":"b"}}'] }, "INVALID_REQUEST"],
      [{ nodes: ['{"node":{"title":"no id"}}'] }, "INVALID_REQUEST"],
      [{ nodes: ['{"node":{"id":"n","id":"m"}}'] }, "INVALID_DOCUMENT"],
      [{ nodes: ['{"node":{"id":"n"}'] }, "INVALID_DOCUMENT"],
      [{ nodes: ['{"node":{"id":"n"},"more":1}'] }, "INVALID_DOCUMENT"],
      [{ documents: ['{"id":"a","fields":{"cites":{}}}'] }, "INVALID_DOCUMENT"],
    ]
    for (const [change, code] of bad) {
      await using prism = await openPrism()
      const bytes = portableV2({ ...good, ...change })
      const error = await refusal(prism.restore(streamOf(bytes)))
      expect([error.code, error.place], JSON.stringify(change)).toEqual([code, expect.stringMatching(/^line \d$/)])
      expect(await prism.collectionNames()).toEqual([])
      const isRepeated = code === "DUPLICATE_ID"
      if (!isRepeated) expect(await refusalCode(prism.verify(streamOf(bytes)))).toBe(code)
      const problems: string[] = []
      const report = await prism.restore(streamOf(bytes), { onBadLine: ({ code }) => void problems.push(code) })
      expect([problems, report.documents_skipped]).toEqual([[code], 1])
    }
  })

  test("that holds other kinds of lines than its header counts is CORRUPT", async () => {
    await using prism = await openPrism()
    const bytes = portableV2({
      documents: ['{"id":"a","fields":{}}'],
      nodes: ['{"node":{"id":"n"}}'],
      edges: [],
      counts: [1, 0, 1],
    })
    expect(await refusalCode(prism.restore(streamOf(bytes)))).toBe("CORRUPT")
    expect(await refusalCode(prism.verify(streamOf(bytes)))).toBe("CORRUPT")
    const noGraph = portableV2({
      documents: [],
      nodes: [],
      edges: [],
      schema: "backends: {text: {fields: [{name: a, type: text}]}}",
    })
    expect(await refusalCode(prism.restore(streamOf(noGraph)))).toBe("INVALID_FORMAT")
    expect(await prism.collectionNames()).toEqual([])
  })
})

describe("a snapshot", () => {
  test("holds the index as it is: restored files are byte-equal", async () => {
    await using prism = await openPrism()
    await prism.restore(streamOf(archive("snapshot")))
    const before = await openSnapshot(archive("snapshot"))
    const after = await openSnapshot(await exportBytes(await prism.collection("c"), FORMATS.snapshot))
    const hashes = ({ files }: OpenSnapshot) => [...files].map(([name, bytes]) => `${name} ${sha256(bytes)}`)
    expect(hashes(after)).toEqual(hashes(before))
    expect([...before.files.keys()].filter((name) => name.startsWith("graph/"))).toHaveLength(4)
    expect(before.metadata["segment_formats"]).toMatchObject({ graph: 1 })
    expect(before.metadata["backends"]).toMatchObject({ graph: true })
    // Of a collection without a graph nothing speaks of one.
    const plain = await prism.createCollection("plain", { backends: { text: SCHEMA.backends.text } })
    await plain.add({ id: "a", fields: {} })
    const { metadata } = await openSnapshot(await exportBytes(plain as unknown as Collection, FORMATS.snapshot))
    expect(JSON.stringify(metadata).match(/graph[^,}]*/g)).toEqual(['graph":false'])
  })

  test("from before there were graphs comes back with the edges of its documents", async () => {
    await using prism = await openPrism()
    const { backends } = SCHEMA
    const plain = await prism.createCollection("c", { backends: { text: backends.text, vector: backends.vector } })
    await plain.add([
      { id: "a", fields: { title: "t", cites: ["b"] } },
      // What no edge can be drawn from was taken then.
      { id: "b", fields: { title: "t", cites: [{ odd: 1 }, "a"] } },
    ])
    const old = await openSnapshot(await exportBytes(plain as unknown as Collection, FORMATS.snapshot))
    old.schema = JSON.stringify({ collection: "c", ...SCHEMA })
    await prism.restore(streamOf(await packSnapshot(old)), { mode: "replace" })
    const collection = await prism.collection("c")
    const edgesOf = async (id: string) =>
      (await collection.graph.edges(id, { direction: "out" })).edges.map(({ to }) => to)
    expect([await edgesOf("a"), await edgesOf("b")]).toEqual([["b"], ["a"]])
    await collection.verify()
    await collection.graph.addNodes({ id: "n" })
    await collection.optimize()
    await collection.verify()
    expect([await edgesOf("a"), await edgesOf("b")]).toEqual([["b"], ["a"]])
  })

  test("that contradicts itself is refused, and leaves nothing", async () => {
    const forge = async (change: (snapshot: OpenSnapshot) => void) => {
      const snapshot = await openSnapshot(archive("snapshot"))
      change(snapshot)
      return await packSnapshot(snapshot)
    }
    type Segment = { graph: Record<string, number>; files: { graph?: string } }
    const segment = ({ metadata }: OpenSnapshot, place = 0) => metadata.segments[place] as unknown as Segment
    const forgeries: [string, (snapshot: OpenSnapshot) => void][] = [
      ["CORRUPT", (snapshot) => void (segment(snapshot).graph["edges"] = 2)],
      ["CORRUPT", (snapshot) => void (segment(snapshot).graph["deletions"] = 1)],
      ["CORRUPT", (snapshot) => void delete segment(snapshot).graph["nodes"]],
      ["CORRUPT", (snapshot) => void delete (segment(snapshot) as Partial<Segment>).graph],
      ["CORRUPT", (snapshot) => void delete segment(snapshot).files.graph],
      ["CORRUPT", (snapshot) => void (segment(snapshot).files.graph = segment(snapshot, 1).files.graph as string)],
      ["CORRUPT", (snapshot) => void (segment(snapshot).files.graph = "text/000001.idx")],
      [
        "CORRUPT",
        (snapshot) => {
          // The graph of another segment.
          const [first, second] = [
            segment(snapshot, 0).files.graph as string,
            segment(snapshot, 1).files.graph as string,
          ]
          snapshot.files.set(first, snapshot.files.get(second) as Uint8Array)
        },
      ],
      ["CORRUPT", (snapshot) => void (snapshot.schema = snapshot.schema.replace(/^ {2}graph:[^]*$/m, ""))],
      [
        "INCOMPATIBLE_VERSION",
        ({ metadata }) => void (metadata["segment_formats"] = { ...(metadata["segment_formats"] as object), graph: 2 }),
      ],
    ]
    for (const [place, [code, change]] of forgeries.entries()) {
      await using prism = await openPrism()
      const error = await refusal(prism.restore(streamOf(await forge(change))))
      expect(error.code, `forgery ${place}: ${error.message}`).toBe(code)
      expect(await prism.collectionNames()).toEqual([])
    }
  })
})

test("nodes and edges of a segment that are none that a collection takes are found, and no line is made of them", async () => {
  const small = await (await openPrism()).createCollection("c", { backends: { graph: { edges: [] } } })
  await small.graph.addNodes({ id: "a" })
  await small.graph.addEdges(edge("a", "b"))
  const snapshot = await openSnapshot(await exportBytes(small as unknown as Collection, FORMATS.snapshot))
  const [path] = [...snapshot.files.keys()].filter((name) => name.startsWith("graph/")) as [string]
  const verified = async (put: { id?: string; record?: string; from?: string; type?: string; weight?: number }) => {
    const { id = "a", record = "{}", from = "a", type = "knows", weight = 1 } = put
    using writer = GraphSegmentWriter.create(new Engine())
    writer.putNode(id, encodeUtf8(record))
    writer.putEdge({ from, to: "b", edgeType: type, weight })
    using sealed = writer.seal()
    snapshot.files.set(path, sealed.readBytes(0, sealed.byteLength))
    await using prism = await openPrism()
    await prism.restore(streamOf(await packSnapshot(snapshot)))
    const collection = await prism.collection("c")
    await collection.verify()
    return lines(await exportBytes(collection, FORMATS.portable)).slice(1)
  }
  const sound = await verified({ record: '{"title":"A","payload":[1.0,{"k":null}]}', weight: 1e290 })
  expect(sound).toEqual([
    '{"node":{"id":"a","title":"A","payload":[1.0,{"k":null}]}}',
    '{"edge":{"from":"a","to":"b","edge_type":"knows","weight":1e+290}}',
  ])
  const records = ["", "[]", "{", '{"title":1}', '{"other":1}', '{ "title":"x"}', '{"title":null}', '{"id":"a"}']
  const lineOfAnother = '{"title":"x"}}\n{"node":{"id":"b"}'
  const another = ['{"title":"x"}},"edge":{"from":"x"}', 'x"title":"x"}', '{"payload":1,"title":"x"}']
  for (const record of [...records, lineOfAnother, ...another]) {
    expect(await refusalCode(verified({ record })), record).toBe("CORRUPT")
    expect(() => nodeLine("a", record), record).toThrow(expect.objectContaining({ code: "CORRUPT" }))
  }
  const long = "x".repeat(513)
  for (const put of [{ id: long }, { from: long }, { type: long }, { type: "" }, { weight: 1e291 }]) {
    expect(await refusalCode(verified(put)), JSON.stringify(put)).toBe("CORRUPT")
  }
})

test("edges are told apart whatever their ends and types are called", async () => {
  await using prism = await openPrism()
  const collection = await prism.createCollection("c", { backends: { graph: { edges: [] } } })
  // Both read `a -x-> b -y-> c`.
  const alike = [
    { from: "a", edge_type: "x-> b -y", to: "c" },
    { from: "a -x-> b", edge_type: "y", to: "c" },
  ] as const
  const viewed = async () => await viewArchive(bytesAccess(await exportBytes(collection, {})), [], runtime)
  await collection.graph.addEdges(alike)
  await using before = await viewed()
  for (const gone of alike) {
    await collection.graph.addEdges(alike)
    await collection.graph.deleteEdges(gone)
    await using after = await viewed()
    const found = []
    for await (const one of diffArchives(before, after, runtime)) found.push(one)
    expect(found).toEqual([{ change: "removed", kind: "edge", id: "a -x-> b -y-> c" }])
  }
})

test("documents that leave as lines of JSON leave alone", async () => {
  const sink = collectSink()
  expect(await source.exportDocuments(sink.stream)).toBe(3)
  expect(lines(sink.bytes()).map((line) => JSON.parse(line).id)).toEqual(["a", "cc", "d"])
})

test("a collection that is read beside its writer is exported whole, its log too", async () => {
  const storage = new FaultyStorage()
  const prism = await openPrism(storage)
  await fillGraph(prism)
  const reader = await Prism.openStorage(storage.process(), runtime, { readOnly: true })
  const beside = await reader.collection("c")
  expect(await graphContentOf(beside)).toBe(content)
  await using other = await openPrism()
  await other.restore(streamOf(await exportBytes(beside, FORMATS.snapshot)))
  expect(await graphContentOf(await other.collection("c"))).toBe(content)
  expect(await refusalCode(beside.graph.addNodes({ id: "new" }))).toBe("READ_ONLY")
  await reader.close()
  await prism.close()
})

test("an export tells how far it is in nodes and edges, and is cancelled there too", async () => {
  const prism = await openPrism()
  const collection = await prism.createCollection("c", SCHEMA)
  await collection.graph.addNodes(Array.from({ length: 1500 }, (_, place) => ({ id: `n${place}` })))
  await collection.graph.addEdges(Array.from({ length: 700 }, (_, place) => edge(`n${place}`, "x")))
  const told: string[] = []
  await collection.export(collectSink().stream, {
    onProgress: ({ stage, unit, done, total }) => told.push(`${stage} ${done} of ${total} ${unit}`),
  })
  const steps = [512, 1024, 1500, 2012, 2200].map((done) => `${done} of 2200 lines`)
  const both = ["measuring", "writing"].flatMap((stage) => [
    `${stage} 0 of 0 documents`,
    ...steps.map((step) => `${stage} ${step}`),
  ])
  expect(told).toEqual(both)
  for (const stop of [512, 2012]) {
    const controller = new AbortController()
    let last = 0
    const cancelled = collection.export(collectSink().stream, {
      signal: controller.signal,
      onProgress: ({ done }) => {
        last = done
        if (done === stop) controller.abort(new Error("enough"))
      },
    })
    await expect(cancelled).rejects.toThrow("enough")
    expect(last).toBe(stop)
  }
  await prism.close()
})
