// A graph on disks that fail: what was acknowledged is there, and every change is there whole or not at all.
import { expect, test } from "vitest"
import type { Collection } from "../src/collection/collection.ts"
import { Prism } from "../src/collection/prism.ts"
import { type Fault, FaultyStorage } from "./support/faulty-storage.ts"
import { refusalCode } from "./support/refusal.ts"
import { runtime } from "./support/runtime.ts"
import { collectSink, lines, streamOf } from "./support/streams.ts"

const SCHEMA = {
  backends: {
    text: { fields: [{ name: "title", type: "text" }] },
    graph: { edges: [{ edge_type: "cites", to_field: "cites" }] },
  },
} as const

/** Every collection with its lines, and what its graph answers: what a user could lose. */
async function stateOf(prism: Prism): Promise<Record<string, unknown>> {
  const state: Record<string, unknown> = {}
  for (const name of await prism.collectionNames()) {
    const collection = await prism.collection(name)
    const sink = collectSink()
    await collection.export(sink.stream)
    const { memory_bytes: _, ...stats } = await collection.graph.stats()
    const walk = await collection.graph.bfs({ start: "a", max_depth: 9, direction: "both" }).catch(() => undefined)
    state[name] = [lines(sink.bytes()).slice(1), stats, walk?.nodes]
  }
  return state
}

async function archive(fill: (collection: Collection) => Promise<unknown>, format: "portable" | "snapshot") {
  const prism = await Prism.openStorage(new FaultyStorage(), runtime)
  const collection = (await prism.createCollection("source", SCHEMA)) as unknown as Collection
  await fill(collection)
  const sink = collectSink()
  await collection.export(sink.stream, { format })
  await prism.close()
  return sink.bytes()
}

const edge = (from: string, to: string, weight = 1) => ({ from, to, edge_type: "knows", weight })
const document = (id: string, ...cites: string[]) => ({ id, fields: { title: id, cites } })

const first = await archive(async ({ graph, ...collection }) => {
  await graph.addNodes([{ id: "a", title: "archived" }, { id: "z" }])
  await graph.addEdges([edge("a", "z", 3)])
  return collection
}, "portable")
const second = await archive(async (collection) => {
  await collection.add(document("y", "a"))
  await collection.graph.addEdges([edge("y", "a"), edge("y", "gone")])
  await collection.checkpoint()
  await collection.graph.deleteEdges({ from: "y", to: "gone", edge_type: "knows" })
}, "snapshot")

/** Everything that changes what is stored, one step after another; each is one frame of the log or one swap. */
const STEPS: ((prism: Prism) => Promise<unknown>)[] = [
  async (prism) => await prism.createCollection("c", SCHEMA),
  async (prism) => await (await prism.collection("c")).graph.addNodes([{ id: "a", title: "A" }, { id: "b" }]),
  async (prism) =>
    await (await prism.collection("c")).graph.addEdges([edge("a", "b"), edge("b", "c", 0.5), edge("c", "a")]),
  // A segment without any document.
  async (prism) => await (await prism.collection("c")).checkpoint(),
  async (prism) => await (await prism.collection("c")).add([document("a", "b", "d"), document("d", "e")]),
  // Takes three edges with it.
  async (prism) => await (await prism.collection("c")).graph.deleteNode("c"),
  async (prism) => await (await prism.collection("c")).checkpoint(),
  async (prism) => await (await prism.collection("c")).add(document("a", "f")),
  async (prism) => await (await prism.collection("c")).graph.deleteEdges(edgeKey("a", "b")),
  async (prism) => await (await prism.collection("c")).delete("d"),
  async (prism) => await prism.restore(streamOf(second), { target: "c", mode: "merge" }),
  async (prism) => await prism.restore(streamOf(first), { target: "c", mode: "replace" }),
]

function edgeKey(from: string, to: string) {
  return { from, to, edge_type: "knows" }
}

/** States after 0, 1, 2 … steps, on a storage that never fails. */
const states: unknown[] = [{}]
let operations = 0
{
  const storage = new FaultyStorage()
  const prism = await Prism.openStorage(storage, runtime)
  for (const step of STEPS) {
    await step(prism)
    states.push(await stateOf(prism))
  }
  await prism.close()
  // What looking at the states took counts too.
  operations = storage.operationCount
}

/** Each takes some 10 s on a machine that does nothing else. */
const TIMEOUT_MS = 300_000

const FAULTS: Fault[] = [{ kind: "stop" }, { kind: "fail", code: "DISK_FULL" }, { kind: "tear", part: 0.5 }]

test.each(FAULTS)(
  "a $kind at any operation loses nothing acknowledged and leaves nothing half done",
  async (fault) => {
    let hits = 0
    for (let at = 0; at < operations; at++) {
      const storage = new FaultyStorage()
      storage.failAt(at, fault)
      let acknowledged = 0
      try {
        const prism = await Prism.openStorage(storage, runtime)
        for (const step of STEPS) {
          await step(prism)
          acknowledged++
        }
      } catch (error) {
        expect(error).toMatchObject({ name: "PrismError" })
        hits++
      }
      // Nothing that was not synced is left, or any part of it.
      const survivor = await storage.crash(at % 2 === 0 ? undefined : at)
      const prism = await Prism.openStorage(survivor, runtime)
      const state = await stateOf(prism)
      expect(states.slice(acknowledged, acknowledged + 2), `operation ${at}, ${acknowledged} steps`).toContainEqual(
        state,
      )
      if (at % 4 === 0) for (const name of await prism.collectionNames()) await (await prism.collection(name)).verify()
      expect([await survivor.list("staging"), await survivor.list("trash")]).toEqual([[], []])
      await prism.close()
    }
    console.log(`${fault.kind}: ${operations} operations, ${hits} failures`)
    expect(hits).toBeGreaterThan(operations / 3)
  },
  TIMEOUT_MS,
)

test("a graph that cannot be read is CORRUPT when it is asked for, and no write rests on it", async () => {
  let storage = new FaultyStorage()
  let prism = await Prism.openStorage(storage, runtime)
  for (const step of STEPS.slice(0, 7)) await step(prism)
  await prism.close()
  storage = storage.process()
  const folder = "collections/c/graph"
  const [file] = await storage.list(folder)
  const path = `${folder}/${file?.name}`
  const bytes = await storage.read(path)
  let failures = 0
  for (let at = 0; at < bytes.length; at += 3) {
    const damaged = await FaultyStorage.from(storage)
    const flipped = bytes.slice()
    flipped[at] = (flipped[at] as number) ^ 1
    await damaged.remove(path)
    const target = await damaged.create(path)
    await target.append(flipped)
    await target.close()
    prism = await Prism.openStorage(damaged, runtime)
    const collection = await prism.collection("c").catch((error: unknown) => {
      expect(error, `byte ${at}`).toMatchObject({
        code: expect.stringMatching(/CORRUPT|INCOMPATIBLE_VERSION|TRUNCATED/),
      })
      return undefined
    })
    if (collection) {
      expect(await refusalCode(collection.verify())).toBe("CORRUPT")
      const code = await collection.graph.stats().then(
        () => undefined,
        (error: { code: string }) => error.code,
      )
      expect([undefined, "CORRUPT"]).toContain(code)
      if (code) {
        expect(await refusalCode(collection.graph.deleteNode("a"))).toBe("CORRUPT")
        expect(await refusalCode(collection.graph.deleteEdges(edgeKey("a", "b")))).toBe("CORRUPT")
        // Documents are still there, and taken.
        await collection.add(document("new", "a"))
        expect((await collection.search({ query: "title:new" })).total).toBe(1)
      }
    }
    failures++
    await prism.close()
  }
  expect(failures).toBe(Math.ceil(bytes.length / 3))
})
