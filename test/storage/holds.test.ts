// Holds and pins between the processes of one folder, which are objects here with an identity and a clock of their own.
import { describe, expect, test } from "vitest"
import { disk } from "../../src/runtime-node/disk.ts"
import type { Disk, ProcessIdentity } from "../../src/storage/disk.ts"
import { LocalStorage } from "../../src/storage/local-storage.ts"
import { pinFiles, pinnedFiles } from "../../src/storage/pins.ts"
import { writeWhole } from "../support/faulty-storage.ts"
import { refusalCode } from "../support/refusal.ts"
import { system, temporaryFolder } from "../support/runtime.ts"

const BEAT_MS = 10_000

class Machines {
  nowMs = 1e9
  readonly #beats = new Set<() => void>()
  readonly dead = new Set<string>()

  process(identity: Partial<ProcessIdentity> & { pid: number }): Disk {
    const self = { machine: "m", bootId: "b", pidNamespace: "n", startTime: "1", ...identity }
    return {
      ...disk,
      self: async () => self,
      findProcess: async (pid) => (this.dead.has(`${self.pidNamespace}/${pid}`) ? undefined : { startTime: "1" }),
      clock: {
        wallMs: () => this.nowMs,
        monotonicMs: () => this.nowMs,
        uptimeMs: async () => this.nowMs - 1e8,
        sleep: async () => {},
        repeat: (_, call) => {
          const beat = () => {
            if (!this.dead.has(`${self.pidNamespace}/${self.pid}`)) call()
          }
          this.#beats.add(beat)
          return () => void this.#beats.delete(beat)
        },
      },
    }
  }

  async pass(beats: number): Promise<void> {
    for (let beat = 0; beat < beats; beat++) {
      this.nowMs += BEAT_MS
      for (const call of this.#beats) call()
      // Heartbeats are written through the system's own threads.
      await new Promise((resolve) => setTimeout(resolve, 30))
    }
  }
}

const open = (from: Disk, path: string, readOnly = false) => LocalStorage.open(from, path, { create: false, readOnly })

describe("a pin", () => {
  test("counts while its owner lives, and is removed after that", async () => {
    await using folder = await temporaryFolder()
    const machines = new Machines()
    await using writer = await open(machines.process({ pid: 1 }), folder.path)
    await using reader = await open(machines.process({ pid: 2 }), folder.path, true)
    await writer.makeDirectory("c")
    const pin = await pinFiles(reader, "c", ["text/1.idx", "MANIFEST"])
    await pinFiles(writer, "c", ["text/2.idx"])
    expect(await pinnedFiles(writer, "c")).toEqual(new Set(["text/1.idx", "MANIFEST", "text/2.idx"]))
    machines.dead.add("n/2")
    expect(await pinnedFiles(writer, "c")).toEqual(new Set(["text/2.idx"]))
    expect(await system.list(system.path(folder.path, "c/pins"))).toHaveLength(1)
    await pin!.release()
    await pin!.release()
  })

  test("of another container counts while it beats", async () => {
    await using folder = await temporaryFolder()
    const machines = new Machines()
    await using writer = await open(machines.process({ pid: 1 }), folder.path)
    await using reader = await open(machines.process({ pid: 1, pidNamespace: "o" }), folder.path)
    await writer.makeDirectory("c")
    await pinFiles(reader, "c", ["a"])
    await machines.pass(5)
    expect(await pinnedFiles(writer, "c")).toEqual(new Set(["a"]))
    machines.dead.add("o/1")
    machines.nowMs += 2 * BEAT_MS
    expect(await pinnedFiles(writer, "c")).toEqual(new Set(["a"]))
    machines.nowMs += BEAT_MS
    expect(await pinnedFiles(writer, "c")).toEqual(new Set())
    expect(await writer.list("c/pins")).toEqual([])
  })

  test("of another machine counts until it was seen unchanged for three beats", async () => {
    await using folder = await temporaryFolder()
    const machines = new Machines()
    await using writer = await open(machines.process({ pid: 1 }), folder.path)
    await using reader = await open(machines.process({ pid: 1, machine: "far", bootId: "f" }), folder.path)
    await writer.makeDirectory("c")
    await pinFiles(reader, "c", ["a"])
    machines.dead.add("n/1")
    machines.nowMs += 100 * BEAT_MS
    expect(await pinnedFiles(writer, "c")).toEqual(new Set(["a"]))
    machines.nowMs += 3 * BEAT_MS - 1
    expect(await pinnedFiles(writer, "c")).toEqual(new Set(["a"]))
    machines.nowMs += 1
    expect(await pinnedFiles(writer, "c")).toEqual(new Set())
  })

  test("goes with the storage that holds it", async () => {
    await using folder = await temporaryFolder()
    const reader = await open(disk, folder.path, true)
    await pinFiles(reader, "c", ["a"])
    await reader.close()
    await using writer = await open(disk, folder.path)
    expect(await pinnedFiles(writer, "c")).toEqual(new Set())
    expect(await writer.list("c/pins")).toEqual([])
  })

  test("is undefined where nothing can be written", async () => {
    await using folder = await temporaryFolder()
    for (const code of ["EROFS", "EACCES", "ENOSPC"]) {
      const fail = async () => {
        throw Object.assign(new Error(code), { code })
      }
      const refusing = { ...disk, makeDirectory: fail, createExclusive: fail }
      await using storage = await open(refusing, folder.path, true)
      expect(await pinFiles(storage, "c", ["a"])).toBe(undefined)
      expect(await pinnedFiles(storage, "c")).toEqual(new Set())
    }
    expect(await system.list(folder.path)).toEqual([])
  })
})

test("a storage that is open to be read changes nothing but holds", async () => {
  await using folder = await temporaryFolder()
  await using storage = await open(disk, folder.path, true)
  await system.write(system.path(folder.path, "a"), "kept")
  const calls = [
    () => storage.create("b"),
    () => storage.append("a", 0),
    () => storage.rename("a", "b"),
    () => storage.remove("a"),
    () => storage.makeDirectory("d"),
    () => storage.removeDirectory("d"),
    () => storage.syncDirectory(""),
    () => storage.lock(),
  ]
  for (const call of calls) expect(await refusalCode(call())).toBe("READ_ONLY")
  expect(await system.list(folder.path)).toEqual(["a"])
  expect(await storage.size("a")).toBe(4)
  await using hold = await storage.hold("holds/a", "x")
  expect(await refusalCode(storage.hold("holds/a", "y"))).toBe("FILE_EXISTS")
  expect(await storage.held("holds")).toEqual([{ name: "a", content: "x" }])
  expect(hold).toBeDefined()
})

test("who lost the lock changes and acknowledges nothing more, through files that are open neither", async () => {
  await using folder = await temporaryFolder()
  const machines = new Machines()
  await using sleeper = await open(machines.process({ pid: 1 }), folder.path)
  await using other = await open(machines.process({ pid: 1, pidNamespace: "o" }), folder.path)
  const lock = await sleeper.lock()
  await using file = await sleeper.create("log")
  await file.appendDurably(new Uint8Array(3))
  machines.nowMs += 3 * BEAT_MS
  await using taken = await other.lock()
  const calls = [
    () => lock.assertHeld(),
    () => file.append(new Uint8Array(1)),
    () => file.appendDurably(new Uint8Array(1)),
    () => file.reserve(1),
    () => file.cut(0),
    () => file.sync(),
    () => sleeper.create("b"),
    () => sleeper.append("log", 0),
    () => sleeper.rename("log", "b"),
    () => sleeper.remove("log"),
    () => sleeper.makeDirectory("d"),
    () => sleeper.removeDirectory("d"),
    () => sleeper.syncDirectory(""),
  ]
  for (const call of calls) expect(await refusalCode(call())).toBe("LOCK_LOST")
  expect(await other.list("")).toEqual([{ name: "log", kind: "file" }])
  expect(await other.size("log")).toBe(3)
  await lock.release()
  await taken.assertHeld()
  await writeWhole(other, "b", new Uint8Array(1))
})

test("room that was reserved is zeros behind the end, and goes with a cut", async () => {
  await using folder = await temporaryFolder()
  await using storage = await open(disk, folder.path)
  await using file = await storage.create("log")
  await file.appendDurably(Uint8Array.of(1, 2))
  await file.reserve(6)
  expect(file.length).toBe(2)
  await file.appendDurably(Uint8Array.of(3))
  await file.append(Uint8Array.of(4))
  expect(await storage.read("log")).toEqual(Uint8Array.of(1, 2, 3, 4, 0, 0, 0, 0))
  await file.cut(3)
  expect(file.length).toBe(3)
  await file.appendDurably(Uint8Array.of(5))
  expect(await storage.read("log")).toEqual(Uint8Array.of(1, 2, 3, 5))
})
