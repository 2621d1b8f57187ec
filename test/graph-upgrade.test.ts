// A collection that was written before there were graphs, opened by a version that has them.
import { expect, test } from "vitest"
import { crc32c } from "../src/base/crc32c.ts"
import type { Collection } from "../src/collection/collection.ts"
import { Prism } from "../src/collection/prism.ts"
import { encodeManifest, readManifest } from "../src/storage/manifest.ts"
import { WAL_VERSION } from "../src/storage/wal.ts"
import { FaultyStorage, writeWhole } from "./support/faulty-storage.ts"
import { runtime } from "./support/runtime.ts"

const FOLDER = "collections/c"
const GRAPH = "  graph: {edges: [{edge_type: cites, from_field: id, to_field: cites}]}\n"
const SCHEMA = "backends:\n  text: {fields: [{name: title, type: text}]}\n"

/** Two documents, one sealed and one in the log, in files of the versions before: no graph file, no graph folder, a manifest
 *  and a log of version 2. The schema had a graph already, without effect. */
async function before(): Promise<FaultyStorage> {
  const storage = new FaultyStorage()
  const prism = await Prism.openStorage(storage, runtime)
  const collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
  await collection.add({ id: "a", fields: { title: "sealed", cites: ["b", { odd: true }] } })
  await collection.checkpoint()
  await collection.add({ id: "b", fields: { title: "logged", cites: "a" } })
  storage.kill()
  const old = storage.process()
  const manifest = await readManifest(old, FOLDER)
  const log = `${FOLDER}/${manifest.logs[0]?.path}`
  const bytes = await old.read(log)
  const view = new DataView(bytes.buffer, bytes.byteOffset)
  view.setUint16(4, 2, true)
  view.setUint32(28, crc32c(bytes.subarray(0, 28)), true)
  const written = encodeManifest({ ...manifest, formatVersion: 2 as 3, schema: SCHEMA + GRAPH })
  for (const [path, content] of [
    [log, bytes],
    [`${FOLDER}/MANIFEST`, written],
  ] as const) {
    await old.remove(path)
    await writeWhole(old, path, content)
  }
  return old
}

async function edgesOf(collection: Collection, id: string): Promise<string[]> {
  const { edges } = await collection.graph.edges(id, { direction: "out" })
  return edges.map(({ edge_type, to }) => `${edge_type} ${to}`)
}

test("its documents' edges are there, and nodes and edges go into a new log", async () => {
  const storage = await before()
  let prism = await Prism.openStorage(storage, runtime)
  let collection = await prism.collection("c")
  expect([await edgesOf(collection, "a"), await edgesOf(collection, "b")]).toEqual([["cites b"], ["cites a"]])
  const [former] = (await readManifest(storage, FOLDER)).logs
  await collection.graph.addEdges({ from: "a", to: "x", edge_type: "knows" })
  const { logs } = await readManifest(storage, FOLDER)
  const newest = logs.at(-1)
  expect(newest?.number).toBeGreaterThan(former?.number as number)
  const header = await storage.read(`${FOLDER}/${newest?.path}`, { offset: 0, length: 32 })
  expect(header[4]).toBe(WAL_VERSION)
  await collection.checkpoint()
  await collection.verify()
  await prism.close()
  prism = await Prism.openStorage(storage.process(), runtime)
  collection = await prism.collection("c")
  expect([await edgesOf(collection, "a"), await edgesOf(collection, "b")]).toEqual([
    ["cites b", "knows x"],
    ["cites a"],
  ])
  await collection.optimize()
  await collection.verify()
  expect(await edgesOf(collection, "a")).toEqual(["cites b", "knows x"])
  await prism.close()
})

test("it is read beside its writer, and written to without its graph ever being asked for", async () => {
  const storage = await before()
  const reader = await Prism.openStorage(storage.process(), runtime, { readOnly: true })
  expect(await edgesOf(await reader.collection("c"), "b")).toEqual(["cites a"])
  await reader.close()
  const prism = await Prism.openStorage(storage, runtime)
  const collection = await prism.collection("c")
  await collection.add({ id: "c", fields: { title: "new" } })
  await collection.delete("b")
  await collection.optimize()
  await collection.verify()
  expect([await edgesOf(collection, "a"), await edgesOf(collection, "c")]).toEqual([["cites b"], []])
  await prism.close()
})
