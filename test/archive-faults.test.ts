// Archives on disks that fail: whatever breaks on the way, what was there is there, and what was to come is there whole or
// not at all.
import { readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { equalBytes } from "../src/base/bytes.ts"
import type { ExportOptions, RestoreOptions } from "../src/collection/archive/options.ts"
import type { Prism } from "../src/collection/prism.ts"
import { generateKey, parseKey } from "../src/formats/key.ts"
import { disk } from "../src/runtime-node/disk.ts"
import { localFiles } from "../src/storage/local-files.ts"
import { contentOf, documentsOf, exportBytes, fillSmall, openPrism } from "./support/archives.ts"
import { bytesAccess } from "./support/bytes-access.ts"
import { type Fault, FaultyStorage } from "./support/faulty-storage.ts"
import { Fuse } from "./support/fuse.ts"
import { temporaryFolder } from "./support/runtime.ts"
import { collectSink, streamOf } from "./support/streams.ts"

const keys = [parseKey(generateKey())]

const FORMATS = {
  portable: { format: "portable" },
  snapshot: { format: "snapshot" },
  "version 2": { encryption: { keys } },
  "version 1": { encryption: { keys, version: 1 } },
} as const satisfies Record<string, ExportOptions>

type Format = keyof typeof FORMATS

const archives = new Map<string, Uint8Array>()
{
  await using prism = await openPrism()
  const collection = await fillSmall(prism, "archived")
  for (const [format, options] of Object.entries(FORMATS)) archives.set(format, await exportBytes(collection, options))
}
const archive = (format: Format) => archives.get(format) as Uint8Array

/** A machine with two collections, one of them with what only its log has. */
async function machine(): Promise<FaultyStorage> {
  const storage = new FaultyStorage()
  const prism = await openPrism(storage)
  const collection = await fillSmall(prism, "precious")
  await collection.add({ id: "doc-9", fields: { words: "precious ninth" } })
  await (
    await prism.createCollection("bystander", { backends: { text: { fields: [{ name: "words", type: "text" }] } } })
  ).add({ id: "b", fields: {} })
  // Not closed, which would fold the log.
  storage.kill()
  return await FaultyStorage.from(storage.process())
}
const base = await machine()

/** Every collection with its document lines: what a user could lose. */
async function stateOf(prism: Prism): Promise<Record<string, string[]>> {
  const state: Record<string, string[]> = {}
  for (const name of await prism.collectionNames()) {
    state[name] = await documentsOf(await prism.collection(name))
  }
  return state
}

const before = await stateOf(await openPrism(await FaultyStorage.from(base)))

const restore = async (prism: Prism, format: Format, options: RestoreOptions) =>
  await prism.restore(streamOf(archive(format)), { keys, ...options })

/** On a disk that never fails: the state afterwards, and how many operations it takes. */
async function rehearsal(format: Format, options: RestoreOptions) {
  const storage = await FaultyStorage.from(base)
  const prism = await openPrism(storage)
  const first = storage.operationCount
  let calls = 0
  storage.faults = () => void calls++
  await restore(prism, format, options)
  storage.faults = undefined
  const operations = storage.operationCount - first
  return { after: await stateOf(prism), operations, calls }
}

/** Those of portable archives are in faults.test.ts. */
const RESTORES: [Format, RestoreOptions][] = [
  ["version 2", { target: "new" }],
  ["snapshot", { mode: "replace" }],
  ["snapshot", { mode: "merge" }],
  ["version 1", { mode: "replace" }],
]

describe.each(RESTORES)("a restore of an archive, %s, %j", (format, options) => {
  test("on a machine that stops, or in a process that dies, at any step is done whole or not at all", async () => {
    const { after, operations } = await rehearsal(format, options)
    expect(after).not.toEqual(before)
    const seen = { before: 0, after: 0 }
    for (let at = 0; at < operations; at++) {
      for (const kind of at % 3 === 0 ? (["stop", "kill"] as const) : (["stop"] as const)) {
        const storage = await FaultyStorage.from(base)
        const prism = await openPrism(storage)
        storage.failAt(at, { kind })
        // What goes wrong while it tidies up is nobody's concern but the next start's.
        const error = await restore(prism, format, options).then(
          () => undefined,
          (thrown: unknown) => thrown,
        )
        if (error !== undefined)
          expect(error, `${kind} at ${at}`).toMatchObject({ name: "PrismError", code: "IO_ERROR" })
        // Of what was not synced nothing is left, or any part.
        const left = kind === "kill" ? storage.process() : await storage.crash(at % 2 === 0 ? undefined : at)
        storage.faults = undefined
        await using restarted = await openPrism(left)
        const state = await stateOf(restarted)
        const isBefore = JSON.stringify(state) === JSON.stringify(before)
        expect(state, `${kind} at ${at}`).toEqual(isBefore && error !== undefined ? before : after)
        seen[isBefore ? "before" : "after"]++
        expect([await left.list("staging"), await left.list("trash")], `${kind} at ${at}`).toEqual([[], []])
      }
    }
    console.log(`${format} ${JSON.stringify(options)}: ${operations} steps, ${JSON.stringify(seen)}`)
    expect(Math.min(seen.before, seen.after)).toBeGreaterThan(0)
  })

  test("on a disk that fails at any call is done whole or not at all, and leaves nothing behind", async () => {
    const { after, calls } = await rehearsal(format, options)
    let failures = 0
    for (let at = 0; at < calls; at++) {
      const fault: Fault = at % 2 === 0 ? { kind: "fail", code: "DISK_FULL" } : { kind: "tear", part: 0.5 }
      const storage = await FaultyStorage.from(base)
      const prism = await openPrism(storage)
      let call = 0
      storage.faults = () => (call++ === at ? fault : undefined)
      const result = await restore(prism, format, options).catch((error: unknown) => error)
      storage.faults = undefined
      const isError = result instanceof Error
      if (isError) {
        expect(result).toMatchObject({ name: "PrismError" })
        failures++
      }
      await prism.close().catch(() => undefined)
      const left = storage.process()
      await using restarted = await openPrism(left)
      const state = await stateOf(restarted)
      const place = `${fault.kind} at ${at}`
      if (!isError) expect(state, place).toEqual(after)
      else expect([before, after], place).toContainEqual(state)
      expect([await left.list("staging"), await left.list("trash")], place).toEqual([[], []])
    }
    console.log(`${format} ${JSON.stringify(options)}: ${calls} calls, ${failures} failures`)
    expect(failures).toBeGreaterThan(calls / 2)
  })
})

describe.each(Object.keys(FORMATS) as Format[])("an export, %s, to a file", (format) => {
  /** Writes over an earlier archive where there is one. */
  async function run(folder: string, replace: boolean, fuse: Fuse): Promise<unknown> {
    await using prism = await openPrism()
    const collection = await fillSmall(prism, MARK)
    try {
      const sink = await localFiles(fuse.disk(disk)).write(join(folder, "out"), { replace })
      await collection.export(sink, FORMATS[format])
      return undefined
    } catch (error) {
      expect(error).toMatchObject({ name: "PrismError" })
      return error
    }
  }

  async function isWhole(path: string): Promise<boolean> {
    await using prism = await openPrism()
    const bytes = new Uint8Array(readFileSync(path))
    await prism.restore(bytesAccess(bytes), { keys })
    return (await contentOf(await prism.collection("c"))).includes(MARK)
  }

  test.each([true, false])(
    "over a disk that fails at any call, or is gone from then on, is whole or not there: replace %s",
    async (replace) => {
      await using folder = await temporaryFolder()
      const path = join(folder.path, "out")
      const earlier = archive("portable")
      const reset = () => {
        for (const name of readdirSync(folder.path)) rmSync(join(folder.path, name))
        if (replace) writeFileSync(path, earlier)
      }
      let failures = 0
      for (const isGone of [false, true]) {
        for (let at = 0; ; at++) {
          reset()
          const fuse = new Fuse((call) => (isGone ? call >= at : call === at))
          const error = await run(folder.path, replace, fuse)
          const names = readdirSync(folder.path)
          const isOld = names.includes("out") === replace && (!replace || equalBytes(readFileSync(path), earlier))
          if (!isOld) expect(await isWhole(path)).toBe(true)
          if (error === undefined) expect(isOld).toBe(false)
          else failures++
          // A disk that works again is tidied up; of one that is gone a part may stay, which tells nothing in an encrypted one.
          if (!isGone) expect(names).toEqual(isOld && !replace ? [] : ["out"])
          if ("encryption" in FORMATS[format]) {
            for (const name of names) {
              if (name !== "out") expect(readFileSync(join(folder.path, name)).includes(MARK)).toBe(false)
            }
          }
          if (fuse.calls <= at) break
        }
      }
      console.log(`export, ${format}, replace ${replace}: ${failures} failures`)
      expect(failures).toBeGreaterThan(8)
    },
  )

  test("of a collection whose disk fails at any call is aborted, and harms nothing", async () => {
    let failures = 0
    for (let at = 0, calls = 1; at < calls; at++) {
      const storage = await FaultyStorage.from(base)
      const prism = await openPrism(storage)
      const collection = await prism.collection("c")
      let call = 0
      storage.faults = () => (call++ === at ? { kind: "fail", code: "IO_ERROR" } : undefined)
      const sink = collectSink()
      const error = await collection.export(sink.stream, FORMATS[format]).then(
        () => undefined,
        (thrown: unknown) => thrown,
      )
      // Until one is not reached.
      if (call > at) calls = at + 2
      storage.faults = undefined
      if (error !== undefined) {
        failures++
        expect(error).toMatchObject({ name: "PrismError" })
        expect(sink.aborted()).toBe(true)
      }
      expect(await stateOf(prism)).toEqual(before)
      await prism.close()
    }
    console.log(`export, ${format}: ${failures} failures`)
    expect(failures).toBeGreaterThan(3)
  })
})

describe.each(Object.keys(FORMATS) as Format[])("a source that fails, %s,", (format) => {
  test("at any read fails a restore and a verification, and leaves nothing", async () => {
    const bytes = archive(format)
    const piece = Math.ceil(bytes.length / 9)
    for (let failing = 0; failing < 9; failing++) {
      let reads = 0
      const stream = () =>
        new ReadableStream<Uint8Array>({
          pull(controller) {
            if (reads === failing) return controller.error(new Error("the cable was pulled"))
            controller.enqueue(bytes.slice(reads * piece, ++reads * piece))
          },
        })
      const storage = await FaultyStorage.from(base)
      await using prism = await openPrism(storage)
      await expect(prism.restore(stream(), { keys, mode: "replace" })).rejects.toThrow("the cable was pulled")
      expect(await storage.list("staging")).toEqual([])
      expect(await stateOf(prism)).toEqual(before)
      reads = 0
      if (format !== "version 1") await expect(prism.verify(stream(), { keys })).rejects.toThrow("the cable was pulled")
    }
  })
})

const MARK = "unmistakable"
