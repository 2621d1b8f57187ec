// Detaching and attaching on disks that fail: at any step a collection is live or detached, whole, and never neither.
import { describe, expect, test } from "vitest"
import type { Collection } from "../src/collection/collection.ts"
import type { Prism } from "../src/collection/prism.ts"
import { documentsOf, fillSmall, openPrism } from "./support/archives.ts"
import { type Fault, FaultyStorage } from "./support/faulty-storage.ts"
import { refusalCode } from "./support/refusal.ts"
import { collectSink, streamOf } from "./support/streams.ts"

/** What a user has: live collections, and kept copies, each with its document lines; and the archives that were written. */
interface State {
  readonly live: Record<string, string[]>
  readonly kept: Record<string, string[]>
}

interface Archives {
  /** Those whose sink was closed, the newest last. */
  readonly whole: Uint8Array[]
}

const write = (archives: Archives) => async (collection: Collection) => {
  const sink = collectSink()
  const report = await collection.export(sink.stream, { format: "snapshot" })
  archives.whole.push(sink.bytes())
  return report
}

/** On a machine of its own, so that looking changes nothing: each copy is looked into by attaching it. */
async function stateOf(storage: FaultyStorage): Promise<State> {
  const live: Record<string, string[]> = {}
  const kept: Record<string, string[]> = {}
  let copies: string[]
  {
    await using prism = await openPrism(await FaultyStorage.from(storage.process()))
    for (const name of await prism.collectionNames()) live[name] = await documentsOf(await prism.collection(name))
    const detached = await prism.listDetached()
    expect(detached.filter(({ error }) => error)).toEqual([])
    copies = detached.map(({ copy }) => copy)
  }
  for (const copy of copies) {
    await using prism = await openPrism(await FaultyStorage.from(storage.process()))
    const name = copy.replace(/\..*/, "")
    if (name in live) await prism.deleteCollection(name)
    kept[copy] = await documentsOf(await prism.reattach(name, { copy }))
  }
  return { live, kept }
}

/** Collection "c" live, with something in its log alone, and an older one of that name detached. */
async function machine(): Promise<{ base: FaultyStorage; archives: Archives }> {
  const storage = new FaultyStorage()
  const archives: Archives = { whole: [] }
  const prism = await openPrism(storage)
  await fillSmall(prism, "older")
  await prism.detach("c", { write: write(archives) })
  const collection = await fillSmall(prism, "precious")
  await collection.add({ id: "doc-9", fields: { words: "precious ninth" } })
  // Not closed, which would fold the log.
  storage.kill()
  return { base: await FaultyStorage.from(storage.process()), archives }
}

/** The same with "c" deleted, so that its name is free. */
async function emptied(): Promise<{ base: FaultyStorage; archives: Archives }> {
  const { base, archives } = await machine()
  const prism = await openPrism(base)
  await prism.deleteCollection("c")
  await prism.close()
  return { base: await FaultyStorage.from(base.process()), archives }
}

const withC = await machine()
const withoutC = await emptied()

interface Scenario {
  readonly from: { readonly base: FaultyStorage; readonly archives: Archives }
  readonly run: (prism: Prism, archives: Archives) => Promise<unknown>
  /** A state between the one before and the one after that a crash, or a failure, may leave too. */
  readonly between?: (before: State, after: State) => State
}

const SCENARIOS: Record<string, Scenario> = {
  "a detach that keeps the data": {
    from: withC,
    run: (prism, archives) => prism.detach("c", { write: write(archives) }),
  },
  "a detach that deletes the data": {
    from: withC,
    run: (prism, archives) => prism.detach("c", { write: write(archives), deleteData: true }),
  },
  "an attach of an archive": {
    from: withoutC,
    run: (prism, archives) => prism.attach(streamOf(archives.whole[0] as Uint8Array)),
    // It is live before its copy goes.
    between: (before, after) => ({ live: after.live, kept: before.kept }),
  },
  "an attach of a kept copy": { from: withoutC, run: (prism) => prism.reattach("c") },
  "a deletion of a kept copy": { from: withC, run: (prism) => prism.deleteDetached("c") },
}

async function begin({ from }: Scenario): Promise<{ storage: FaultyStorage; prism: Prism; archives: Archives }> {
  const storage = await FaultyStorage.from(from.base)
  return { storage, prism: await openPrism(storage), archives: { whole: [...from.archives.whole] } }
}

/** On a disk that never fails: what was there, what is there then, and what it takes. */
async function rehearse(scenario: Scenario) {
  const before = await stateOf(scenario.from.base)
  const { storage, prism, archives } = await begin(scenario)
  const first = storage.operationCount
  let calls = 0
  storage.faults = () => void calls++
  await scenario.run(prism, archives)
  storage.faults = undefined
  const operations = storage.operationCount - first
  await prism.close()
  const after = await stateOf(storage)
  expect(after).not.toEqual(before)
  /** Once it was done; and where it was not, or nobody knows. */
  const done = [after, ...(scenario.between ? [scenario.between(before, after)] : [])]
  return { before, done, allowed: [before, ...done], operations, calls }
}

/** No document of the collections before is in none of: the live ones, the kept ones, an archive that is whole. */
function expectNothingLost(before: State, state: State, archives: Archives, from: Archives, place: string): void {
  const safe = new Set([...Object.values(state.live), ...Object.values(state.kept)].map(String))
  const isArchived = archives.whole.length > from.whole.length
  for (const lines of Object.values(before.live)) expect(isArchived || safe.has(String(lines)), place).toBe(true)
}

describe.each(Object.entries(SCENARIOS))("%s", (name, scenario) => {
  test("on a machine that stops, or in a process that dies, at any step is done whole or not at all", async () => {
    const { before, done, allowed, operations } = await rehearse(scenario)
    const seen = { before: 0, after: 0 }
    for (let at = 0; at < operations; at++) {
      for (const kind of ["stop", "kill"] as const) {
        const { storage, prism, archives } = await begin(scenario)
        storage.failAt(at, { kind })
        const isDone = await scenario.run(prism, archives).then(
          () => true,
          (error: unknown) => {
            expect(error, `${kind} at ${at}`).toMatchObject({ name: "PrismError" })
            return false
          },
        )
        for (const left of kind === "kill" ? [storage.process()] : [await storage.crash(), await storage.crash(at)]) {
          left.faults = undefined
          await using restarted = await openPrism(left)
          const place = `${kind} at ${at}`
          expect([await left.list("staging"), await left.list("trash")], place).toEqual([[], []])
          await restarted.close()
          const state = await stateOf(left)
          expect(isDone ? done : allowed, place).toContainEqual(state)
          expectNothingLost(before, state, archives, scenario.from.archives, place)
          seen[JSON.stringify(state) === JSON.stringify(before) ? "before" : "after"]++
        }
      }
    }
    console.log(`${name}: ${operations} steps, ${JSON.stringify(seen)}`)
    expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
  })

  test("on a disk that fails at any call is done whole or not at all, and what is live takes writes", async () => {
    const { before, done, allowed, calls } = await rehearse(scenario)
    let failures = 0
    for (let at = 0; at < calls; at++) {
      const faults: Fault[] = [
        { kind: "fail", code: at % 2 === 0 ? "DISK_FULL" : "IO_ERROR" },
        { kind: "tear", part: 1 },
      ]
      for (const fault of faults) {
        const { storage, prism, archives } = await begin(scenario)
        let call = 0
        storage.faults = () => (call++ === at ? fault : undefined)
        const result = await scenario.run(prism, archives).catch((error: unknown) => error)
        storage.faults = undefined
        const place = `${fault.kind} at ${at}`
        const isError = result instanceof Error
        if (isError) {
          expect(result, place).toMatchObject({ name: "PrismError" })
          failures++
        }
        // What is live goes on, unless the log itself was hit.
        const state: State = { live: {}, kept: {} }
        const wasWritable = new Set<string>()
        for (const live of await prism.collectionNames()) {
          const collection = await prism.collection(live)
          state.live[live] = await documentsOf(collection)
          const { state: writable } = await collection.stats()
          if (writable === "ready") {
            expect((await collection.add({ id: "new", fields: {} })).indexed, place).toBe(1)
            wasWritable.add(live)
          } else expect(fault.kind === "tear" || (fault.kind === "fail" && fault.code === "IO_ERROR"), place).toBe(true)
        }
        if (isError)
          expect(
            allowed.map(({ live }) => live),
            place,
          ).toContainEqual(state.live)
        // Nor does a restart, or a power cut, take away what was acknowledged.
        if (at % 3 === 0) await prism.close().catch(() => undefined)
        const left = at % 3 === 0 ? storage.process() : await storage.crash(at % 3 === 1 ? undefined : at)
        await (await openPrism(left)).close()
        const found = await stateOf(left)
        for (const [name, lines] of Object.entries(found.live)) {
          found.live[name] = lines.filter((line) => !line.includes('"new"'))
          if (wasWritable.has(name)) expect(lines.length, place).toBe(found.live[name].length + 1)
        }
        expect(isError ? allowed : done, place).toContainEqual(found)
        expectNothingLost(before, found, archives, scenario.from.archives, place)
      }
    }
    console.log(`${name}: ${calls} calls, ${failures} failures`)
    expect(failures).toBeGreaterThan(calls / 3)
  })
})

test("one whose place nobody knows takes no writes until a restart tells", async () => {
  const storage = await FaultyStorage.from(withC.base)
  const prism = await openPrism(storage)
  storage.faults = ({ kind, path }) =>
    kind === "syncDirectory" && (path === "detached" || path === "collections")
      ? { kind: "fail", code: "IO_ERROR" }
      : undefined
  expect(await refusalCode(prism.detach("c", { write: write({ whole: [] }) }))).toBe("IO_ERROR")
  storage.faults = undefined
  expect(await refusalCode(prism.collection("c"))).toBe("READ_ONLY")
  await prism.close()
  await using restarted = await openPrism(storage.process())
  expect(await (await restarted.collection("c")).get("doc-9")).toBeDefined()
})

test("a collection that was replaced and then detached never comes back, whatever failed on the way", async () => {
  const archive = withC.archives.whole[0] as Uint8Array
  for (let at = 0, after = 1; at < after; at++) {
    const storage = await FaultyStorage.from(withC.base)
    const prism = await openPrism(storage)
    const before = storage.operationCount
    storage.failAt(at, { kind: "fail", code: "IO_ERROR" })
    await prism.restore(streamOf(archive), { mode: "replace" }).catch(() => undefined)
    after = Math.max(after, storage.operationCount - before)
    storage.faults = undefined
    // Where the replacement left nobody sure, a restart tells.
    const isDetached = await prism.detach("c", { write: write({ whole: [] }), deleteData: at % 2 === 0 }).then(
      () => true,
      () => false,
    )
    await prism.close().catch(() => undefined)
    await using again = await openPrism(await FaultyStorage.from(storage.process()))
    if (isDetached) expect(await again.collectionNames(), `operation ${at}`).toEqual([])
    else expect(await again.collectionNames(), `operation ${at}`).toEqual(["c"])
  }
})
