import { expect, test } from "vitest"
import { Prism } from "../src/collection/prism.ts"
import { MemoryStorage } from "../src/storage/memory-storage.ts"
import type { Storage } from "../src/storage/storage.ts"
import { type Fault, FaultyStorage } from "./support/faulty-storage.ts"
import { refusalCode } from "./support/refusal.ts"
import { runtime } from "./support/runtime.ts"
import { collectSink, lines, streamOf } from "./support/streams.ts"

const SCHEMA = {
  backends: {
    text: { fields: [{ name: "title", type: "text" }] },
    vector: { embedding_field: "embedding", dimension: 2 },
  },
} as const

/** Every collection with its document lines: what a user could lose. */
type State = Record<string, string[]>

async function stateOf(prism: Prism): Promise<State> {
  const state: State = {}
  for (const name of await prism.collectionNames()) {
    const sink = collectSink()
    await (await prism.collection(name)).export(sink.stream)
    state[name] = lines(sink.bytes()).slice(1)
  }
  return state
}

async function archive(documents: { id: string; title: string }[]): Promise<Uint8Array> {
  const prism = await Prism.openStorage(new MemoryStorage(), runtime)
  const collection = await prism.createCollection("source", SCHEMA)
  await collection.add(documents.map(({ id, title }, place) => ({ id, fields: { title }, vector: [place, 1] })))
  const sink = collectSink()
  await collection.export(sink.stream)
  await prism.close()
  return sink.bytes()
}

const first = await archive([
  { id: "a", title: "archived a" },
  { id: "x", title: "archived x" },
])
const second = await archive([{ id: "y", title: "archived y" }])

/** Everything that changes what is stored, one step after another. */
const STEPS: ((prism: Prism) => Promise<unknown>)[] = [
  async (prism) => await prism.createCollection("c", SCHEMA),
  async (prism) =>
    await (await prism.collection("c")).add([
      { id: "a", fields: { title: "one" }, vector: [1, 0] },
      { id: "b", fields: {} },
    ]),
  async (prism) => await (await prism.collection("c")).checkpoint(),
  async (prism) => await (await prism.collection("c")).add({ id: "a", fields: { title: "two" } }),
  async (prism) => await (await prism.collection("c")).delete("b"),
  async (prism) => await (await prism.collection("c")).checkpoint(),
  async (prism) => await (await prism.collection("c")).add({ id: "d", fields: { title: "three" } }),
  async (prism) => await prism.restore(streamOf(first), { target: "c", mode: "merge" }),
  async (prism) => await prism.restore(streamOf(second), { target: "c", mode: "replace" }),
  async (prism) => await prism.restore(streamOf(first), { target: "e" }),
  async (prism) => await prism.deleteCollection("c"),
]

/** States after 0, 1, 2 … steps, on a storage that never fails. */
const states: State[] = [{}]
let operations = 0
{
  const storage = new FaultyStorage()
  const prism = await Prism.openStorage(storage, runtime)
  for (const step of STEPS) {
    await step(prism)
    states.push(await stateOf(prism))
  }
  await prism.close()
  operations = storage.operationCount
}

/** Runs the steps with a fault at one operation; the number of steps that were acknowledged. */
async function runUntilFault(storage: Storage): Promise<{ acknowledged: number; prism: Prism | undefined }> {
  let acknowledged = 0
  let prism: Prism | undefined
  try {
    prism = await Prism.openStorage(storage, runtime)
    for (const step of STEPS) {
      await step(prism)
      acknowledged++
    }
  } catch (error) {
    expect(error).toMatchObject({ name: "PrismError" })
  }
  return { acknowledged, prism }
}

const FAULTS: Fault[] = [{ kind: "stop" }, { kind: "fail", code: "DISK_FULL" }, { kind: "tear", part: 0.5 }]

test.each(FAULTS)("a $kind at any operation loses nothing acknowledged and leaves nothing half done", async (fault) => {
  let hits = 0
  for (let at = 0; at < operations; at++) {
    const storage = new FaultyStorage()
    storage.failAt(at, fault)
    const { acknowledged } = await runUntilFault(storage)
    if (acknowledged < STEPS.length) hits++
    // Two outcomes of the power failure: nothing that was not synced is left, or any part of it.
    for (const seed of [undefined, at]) {
      const survivor = await storage.crash(seed)
      const prism = await Prism.openStorage(survivor, runtime)
      const state = await stateOf(prism)
      const allowed = states.slice(acknowledged, acknowledged + 2)
      expect(allowed, `operation ${at}, ${acknowledged} steps acknowledged`).toContainEqual(state)
      expect(await survivor.list("staging")).toEqual([])
      expect(await survivor.list("trash")).toEqual([])
      await prism.close()
    }
  }
  expect(hits).toBeGreaterThan(operations / 2)
})

test("a collection that was replaced and then deleted never comes back, whatever failed on the way", async () => {
  for (const fault of [FAULTS[1], { kind: "tear", part: 1 }] as Fault[]) {
    for (let at = 0, after = 1; at < after; at++) {
      const storage = new FaultyStorage()
      const prism = await Prism.openStorage(storage, runtime)
      await (await prism.createCollection("c", SCHEMA)).add({ id: "a", fields: { title: "old" } })
      const before = storage.operationCount
      storage.failAt(at, fault)
      await prism.restore(streamOf(second), { target: "c", mode: "replace" }).catch(() => undefined)
      after = Math.max(after, storage.operationCount - before)
      // Where an earlier fault made the way longer, this one has not come yet: the deletion is not what it is for.
      storage.failAt(Number.MAX_SAFE_INTEGER, fault)
      await prism.deleteCollection("c")
      const again = await Prism.openStorage(await FaultyStorage.from(storage), runtime)
      expect(await stateOf(again), `${fault.kind} at operation ${at}`).toEqual({})
      await again.close()
    }
  }
})

test("a full disk refuses the write and goes on serving what is there", async () => {
  const storage = new FaultyStorage()
  const prism = await Prism.openStorage(storage, runtime)
  const collection = await prism.createCollection("c", SCHEMA)
  await collection.add({ id: "a", fields: { title: "one" } })
  storage.failAt(0, { kind: "fail", code: "DISK_FULL" })
  await expect(collection.add({ id: "b", fields: {} })).rejects.toMatchObject({ code: "DISK_FULL" })
  expect((await collection.search({ query: "one" })).total).toBe(1)
  // A full disk is a state that clears itself.
  expect(await collection.add({ id: "b", fields: {} })).toMatchObject({ indexed: 1 })
  await prism.close()
})

/** A creation fails and leaves nothing; another one lasts. */
async function expectTakenBack(prism: Prism, storage: FaultyStorage): Promise<void> {
  expect(await refusalCode(prism.createCollection("c", SCHEMA))).toBe("IO_ERROR")
  expect(await refusalCode(prism.collection("c"))).toBe("COLLECTION_NOT_FOUND")
  await (await prism.createCollection("c", SCHEMA)).add({ id: "a", fields: { title: "kept" } })
  const again = await Prism.openStorage(await storage.crash(), runtime)
  expect(await (await again.collection("c")).get("a")).toMatchObject({ fields: { title: "kept" } })
  await again.close()
}

test("a collection whose folder could not be synced is taken back: nobody writes to what a power cut may take", async () => {
  const storage = new FaultyStorage()
  const prism = await Prism.openStorage(storage, runtime)
  let failures = 1
  storage.faults = ({ kind, path }) =>
    kind === "syncDirectory" && path === "collections" && failures-- > 0
      ? { kind: "fail", code: "IO_ERROR" }
      : undefined
  await expectTakenBack(prism, storage)

  // Where it cannot be taken back either, it is not written to.
  const other = new FaultyStorage()
  const unlucky = await Prism.openStorage(other, runtime)
  other.faults = ({ kind, path }) => {
    const isUndone = kind === "rename" && path === "collections/c"
    return isUndone || (kind === "syncDirectory" && path === "collections")
      ? { kind: "fail", code: "IO_ERROR" }
      : undefined
  }
  expect(await refusalCode(unlucky.createCollection("c", SCHEMA))).toBe("IO_ERROR")
  expect(await refusalCode(unlucky.collection("c"))).toBe("READ_ONLY")
})

test("a collection whose renaming failed, but happened, is taken back", async () => {
  const storage = new FaultyStorage()
  const prism = await Prism.openStorage(storage, runtime)
  let failures = 1
  storage.faults = ({ kind, path }) =>
    kind === "rename" && /^staging\/[^/]+$/.test(path) && failures-- > 0 ? { kind: "tear", part: 1 } : undefined
  await expectTakenBack(prism, storage)
})

test("what a process left unsynced when it died is made durable before anything is removed for its sake", async () => {
  // The process dies, or its sync fails, between a rename and the sync of the folder; another one starts and cleans up;
  // then the power goes, at any operation of that start.
  const scenarios: Record<string, (prism: Prism) => Promise<unknown>> = {
    "a checkpoint": async (prism) => {
      const collection = await prism.collection("c")
      await collection.delete("a")
      await collection.checkpoint()
    },
    "a replacement": async (prism) => await prism.restore(streamOf(second), { target: "c", mode: "replace" }),
  }
  for (const [name, change] of Object.entries(scenarios)) {
    for (let failed = 0; failed < 12; failed++) {
      for (let stopAt = 0; stopAt < 14; stopAt++) {
        const storage = new FaultyStorage()
        const prism = await Prism.openStorage(storage, runtime)
        const collection = await prism.createCollection("c", SCHEMA)
        await collection.add([
          { id: "a", fields: { title: "one" } },
          { id: "b", fields: { title: "two" } },
        ])
        await collection.checkpoint()
        await collection.add({ id: "d", fields: { title: "three" } })
        await collection.delete("d")
        let syncs = 0
        storage.faults = ({ kind }) => (kind === "syncDirectory" && syncs++ === failed ? { kind: "kill" } : undefined)
        await change(prism).catch(() => undefined)
        storage.kill()
        storage.faults = undefined
        const next = storage.process()
        next.failAt(stopAt, { kind: "stop" })
        const restarted = await Prism.openStorage(next, runtime).catch(() => undefined)
        await restarted?.collection("c").catch(() => undefined)
        const left = await Prism.openStorage(await storage.crash(), runtime)
        const ids: string[] = []
        for await (const { id } of (await left.collection("c")).documents()) ids.push(id)
        const may = [["a", "b"], ["b"], await idsOf(second)]
        expect(may, `${name}, sync ${failed}, then stopped at ${stopAt}`).toContainEqual(ids)
        await left.close()
      }
    }
  }
})

async function idsOf(archive: Uint8Array): Promise<string[]> {
  return lines(archive)
    .slice(1)
    .map((line) => JSON.parse(line).id)
}
