import { describe, expect, test } from "vitest"
import { assert, type PrismError } from "../../src/base/errors.ts"
import type { ProcessIdentity } from "../../src/storage/disk.ts"
import { acquireLock, type HeldLock, LOCK_NAME, type LockFiles, readAnnouncement } from "../../src/storage/lock-file.ts"
import { Pulse, parseOwnerFile } from "../../src/storage/owner-file.ts"
import { Random } from "../support/random.ts"
import { refusal } from "../support/refusal.ts"

const BEAT_MS = 10_000

/** Where a process runs: processes with the same number see each other's ids. */
interface Host {
  readonly machine: string
  readonly bootId: string | undefined
  readonly pidNamespace: string | undefined
  /** By how much its wall clock is wrong. */
  readonly wallErrorMs: number
}

const HOME: Host = { machine: "m", bootId: "b", pidNamespace: "n", wallErrorMs: 0 }

/** One folder, with the processes that use it. */
class World {
  readonly files = new Map<string, { text: string }>()
  nowMs = 1_000_000
  /** Called before each access to the folder: where another process may come in between, or this one die. */
  pause: (process: Process, wakeMs?: number) => Promise<void> = async (_, wakeMs) => {
    if (wakeMs !== undefined) this.nowMs = wakeMs
  }
  #processes: Process[] = []
  #nonces = 0

  readonly nonce = (): string => (this.#nonces++).toString(16).padStart(16, "0")

  start(pid: number, host = HOME): Process {
    const process = new Process(this, pid, host, this.nonce())
    this.#processes.push(process)
    return process
  }

  find(host: Host, pid: number): Process | undefined {
    return this.#processes.find(
      (process) =>
        process.isAlive &&
        process.identity.pid === pid &&
        process.host.bootId === host.bootId &&
        process.host.pidNamespace === host.pidNamespace,
    )
  }

  /** What a process that died without a word left. */
  async leave(name: string, owner: Process, nonce = this.nonce()): Promise<string> {
    this.files.set(name, { text: (await Pulse.begin(owner.files(), nonce, "")).text })
    return nonce
  }
}

class Process {
  readonly world: World
  readonly identity: ProcessIdentity
  readonly host: Host
  isAlive = true
  /** As a stopped process is: it takes no step before. */
  asleepUntilMs = 0

  constructor(world: World, pid: number, host: Host, startTime: string) {
    this.world = world
    this.host = host
    const { machine, bootId, pidNamespace } = host
    this.identity = { pid, machine, bootId, pidNamespace, startTime }
  }

  acquire(): Promise<HeldLock> {
    return acquireLock(this.files(), "data", this.world.nonce)
  }

  files(self = this.identity): LockFiles {
    const { files } = this.world
    const at = (wakeMs?: number) => this.world.pause(this, wakeMs)
    return {
      self,
      beatMs: BEAT_MS,
      clock: {
        wallMs: () => this.world.nowMs + this.host.wallErrorMs + 1e12,
        monotonicMs: () => this.world.nowMs,
        uptimeMs: async () => this.world.nowMs,
        sleep: (ms) => at(this.world.nowMs + ms),
        repeat: () => () => {},
      },
      make: async (name, text) => {
        await at()
        const file = { text }
        files.set(name, file)
        return {
          overwrite: async (bytes, position) => {
            await at()
            const slot = new TextDecoder().decode(bytes)
            file.text = file.text.slice(0, position) + slot + file.text.slice(position + slot.length)
          },
          sync: async () => {},
          close: async () => {},
        }
      },
      link: async (from, to) => {
        await at()
        if (files.has(to)) return "taken"
        const file = files.get(from)
        if (!file) return "gone"
        files.set(to, file)
        return "linked"
      },
      read: async (name) => {
        await at()
        return files.get(name)?.text
      },
      rename: async (from, to) => {
        await at()
        const file = files.get(from)
        if (!file) return false
        if (files.get(to) !== file) {
          files.delete(from)
          files.set(to, file)
        }
        return true
      },
      remove: async (name) => {
        await at()
        files.delete(name)
      },
      names: async () => {
        await at()
        return [...files.keys()].filter((name) => name.startsWith(`${LOCK_NAME}.`))
      },
      findProcess: async (pid) => {
        await at()
        const found = this.world.find(this.host, pid)
        return found && { startTime: found.identity.startTime }
      },
    }
  }
}

/** Lets one waiting flow of control at a time take one step, in an order of its own for each seed. */
class Scheduler {
  readonly world: World
  readonly random: Random
  readonly #waiting = new Set<{ readonly process: Process; readonly wakeMs: number; readonly proceed: () => void }>()
  readonly #failures: unknown[] = []
  readonly #flows = new Map<() => Promise<void>, Process>()

  constructor(world: World, random: Random) {
    this.world = world
    this.random = random
    world.pause = (process, wakeMs = 0) =>
      new Promise((proceed) => {
        this.#waiting.add({ process, wakeMs, proceed })
      })
  }

  run(process: Process, flow: () => Promise<void>): void {
    this.#flows.set(flow, process)
    flow()
      .catch((error: unknown) => this.#failures.push(error))
      .finally(() => {
        if (process.isAlive) this.#flows.delete(flow)
      })
  }

  /** Until every flow has ended or died. `between` may kill, or let time go by. */
  async finish(between: () => void): Promise<void> {
    for (;;) {
      // One flow may wait for another, so it is not counted who waits: whoever can go on does so now.
      await new Promise((resolve) => setImmediate(resolve))
      if (this.#failures.length > 0) throw this.#failures[0]
      if (this.#flows.size === 0) return
      between()
      // The dead never come back from their last step.
      for (const step of this.#waiting) if (!step.process.isAlive) this.#waiting.delete(step)
      for (const [flow, process] of this.#flows) if (!process.isAlive) this.#flows.delete(flow)
      if (this.#flows.size === 0) return
      assert(this.#waiting.size > 0, "somebody can go on")
      const readyMs = ({ wakeMs, process }: { wakeMs: number; process: Process }) =>
        Math.max(wakeMs, process.asleepUntilMs)
      const earliest = Math.min(...[...this.#waiting].map(readyMs))
      this.world.nowMs = Math.max(this.world.nowMs, earliest)
      const ready = [...this.#waiting].filter((step) => readyMs(step) <= this.world.nowMs)
      const next = ready[this.random.below(ready.length)]!
      this.#waiting.delete(next)
      next.proceed()
    }
  }
}

async function acquireUnlessLocked(process: Process): Promise<HeldLock | undefined> {
  try {
    return await process.acquire()
  } catch (error) {
    if ((error as PrismError).code !== "LOCKED") throw error
    return undefined
  }
}

describe("under any order of steps and deaths", () => {
  async function run(seed: number, processCount: number, deaths: number): Promise<number> {
    const world = new World()
    const scheduler = new Scheduler(world, new Random(seed))
    const holders = new Set<Process>()
    let deathsLeft = deaths
    let wins = 0
    // A dead owner to begin with, so that everybody starts with a take-over.
    const before = world.start(999)
    await world.leave(LOCK_NAME, before)
    before.isAlive = false
    const processes = Array.from({ length: processCount }, (_, place) => world.start(place + 1))
    for (const process of processes) {
      scheduler.run(process, async () => {
        for (let visits = 0; visits < 2; visits++) {
          const lock = await acquireUnlessLocked(process)
          if (!lock) continue
          expect(holders.size, `seed ${seed}: two processes hold the lock`).toBe(0)
          holders.add(process)
          wins++
          await world.pause(process)
          await lock.check()
          await world.pause(process)
          holders.delete(process)
          await lock.release()
        }
      })
    }
    await scheduler.finish(() => {
      if (deathsLeft === 0 || scheduler.random.below(12) > 0) return
      const process = processes[scheduler.random.below(processes.length)]!
      if (process.isAlive) deathsLeft--
      process.isAlive = false
      holders.delete(process)
    })
    return wins
  }

  test("never do two live processes hold the lock", async () => {
    let wins = 0
    for (let seed = 0; seed < 400; seed++) wins += await run(seed, 2 + (seed % 4), seed % 4)
    expect(wins).toBeGreaterThan(400)
  })

  test("where nobody dies, somebody wins", async () => {
    for (let seed = 1000; seed < 1200; seed++) expect(await run(seed, 3, 0)).toBeGreaterThan(0)
  })

  test("whom a refusal names is the one that wins, and nothing but the lock is left", async () => {
    for (let seed = 0; seed < 400; seed++) {
      const world = new World()
      const before = world.start(999)
      await world.leave(LOCK_NAME, before)
      before.isAlive = false
      const scheduler = new Scheduler(world, new Random(seed))
      const messages: string[] = []
      for (const pid of [1, 2, 3, 4]) {
        const process = world.start(pid)
        scheduler.run(process, async () => {
          messages[pid] = await process.acquire().then(
            () => "won",
            (error: unknown) => (error as PrismError).message,
          )
        })
      }
      await scheduler.finish(() => {})
      const winner = messages.indexOf("won")
      expect(messages.filter((message) => message === "won")).toEqual(["won"])
      expect(new Set(messages.slice(1)), `seed ${seed}`).toEqual(
        new Set(["won", `data is in use by process ${winner}`]),
      )
      expect([...world.files.keys()], `seed ${seed}`).toEqual([LOCK_NAME])
    }
  })
})

describe("an announcement", () => {
  test("that is read, under any order of steps and deaths, is of one who held the lock at that time", async () => {
    const seen = { heard: 0, nothing: 0 }
    for (let seed = 0; seed < 300; seed++) {
      const world = new World()
      const scheduler = new Scheduler(world, new Random(seed))
      /** What a process announces while it holds the lock, and announced before, until that is written; and those who
       *  listen meanwhile. */
      const holders = new Map<Process, readonly string[]>()
      const listening = new Set<Set<string>>()
      let number = 0
      const processes = [1, 2, 3].map((pid) => world.start(pid))
      for (const process of processes) {
        scheduler.run(process, async () => {
          for (let visits = 0; visits < 2; visits++) {
            const lock = await acquireUnlessLocked(process)
            if (!lock) continue
            for (let word = 0; word < 2; word++) {
              const text = `${"x".repeat(40 * scheduler.random.below(3))} ${number++}`
              holders.set(process, [...(holders.get(process) ?? []).slice(-1), text])
              for (const heard of listening) heard.add(text)
              await lock.announce(text)
              await world.pause(process)
            }
            await lock.release()
            holders.delete(process)
          }
        })
      }
      const reader = world.start(9)
      scheduler.run(reader, async () => {
        for (let look = 0; look < 20; look++) {
          const allowed = new Set([...holders.values()].flat())
          listening.add(allowed)
          const heard = await readAnnouncement(reader.files())
          listening.delete(allowed)
          if (heard !== undefined) expect([...allowed], `seed ${seed}`).toContain(heard)
          seen[heard === undefined ? "nothing" : "heard"]++
          await world.pause(reader)
        }
      })
      let deathsLeft = seed % 3
      await scheduler.finish(() => {
        if (deathsLeft === 0 || scheduler.random.below(20) > 0) return
        const process = processes[scheduler.random.below(processes.length)]!
        if (process.isAlive) deathsLeft--
        process.isAlive = false
        holders.delete(process)
      })
    }
    expect(Math.min(seen.heard, seen.nothing)).toBeGreaterThan(300)
  })

  test("of a dead process, of one that was taken over from, and of one that released the lock is none", async () => {
    const world = new World()
    const [first, second, reader] = [1, 2, 9].map((pid) => world.start(pid)) as [Process, Process, Process]
    expect(await readAnnouncement(reader.files())).toBe(undefined)
    const old = await first.acquire()
    expect(await readAnnouncement(reader.files())).toBe(undefined)
    await old.announce("the first")
    expect(await readAnnouncement(reader.files())).toBe("the first")
    first.isAlive = false
    expect(await readAnnouncement(reader.files())).toBe(undefined)
    const lock = await second.acquire()
    expect(await readAnnouncement(reader.files())).toBe(undefined)
    // It only slept, and wakes up.
    first.isAlive = true
    await expect(old.announce("still the first")).rejects.toMatchObject({ code: "LOCK_LOST" })
    expect(await readAnnouncement(reader.files())).toBe(undefined)
    await lock.announce("the second")
    await old.release()
    expect(await readAnnouncement(reader.files())).toBe("the second")
    await lock.beat()
    await lock.beat()
    expect(await readAnnouncement(reader.files())).toBe("the second")
    await lock.release()
    expect(await readAnnouncement(reader.files())).toBe(undefined)
    expect(world.files.get(LOCK_NAME)?.text).not.toContain("second")
    await expect(lock.announce("too late")).rejects.toMatchObject({ code: "LOCK_LOST" })
    expect(world.files.get(LOCK_NAME)?.text).not.toContain("late")
  })

  test("of a process elsewhere counts while it beats", async () => {
    const world = new World()
    const there = world.start(1, { ...HOME, machine: "other", bootId: "c", pidNamespace: "o" })
    const reader = world.start(9)
    const lock = await there.acquire()
    await lock.announce("here I am")
    for (let beat = 0; beat < 5; beat++) {
      world.nowMs += BEAT_MS
      await lock.beat()
      expect(await readAnnouncement(reader.files())).toBe("here I am")
    }
    world.nowMs += 4 * BEAT_MS
    expect(await readAnnouncement(reader.files())).toBe(undefined)
  })

  test("that is half written is not believed", async () => {
    const world = new World()
    const [holder, reader] = [world.start(1), world.start(9)]
    const lock = await holder.acquire()
    const file = world.files.get(LOCK_NAME)!
    const texts = [file.text]
    const announced = ["http://127.0.0.1:3080 secret", 'ü\n"', "", "http://127.0.0.1:3080 another", "x".repeat(1900)]
    for (const text of announced) {
      await lock.announce(text)
      expect(await readAnnouncement(reader.files())).toBe(text)
      texts.push(file.text)
    }
    for (const [place, before] of texts.entries()) {
      const after = texts[place + 1]
      if (after === undefined) continue
      const [from, to] = [announced[place - 1], announced[place]]
      let halves = 0
      for (let cut = 0; cut <= after.length; cut++) {
        // A prefix arrived, over what was there or at the end of the file; or the beginning did not.
        for (const torn of [
          after.slice(0, cut) + before.slice(cut),
          after.slice(0, cut),
          before.slice(0, cut).padEnd(cut) + after.slice(cut),
        ]) {
          file.text = torn
          const found = await readAnnouncement(reader.files())
          expect([from, to, undefined], `${place}, cut at ${cut}`).toContain(found)
          if (found === undefined) halves++
        }
      }
      expect(halves).toBeGreaterThan(10)
    }
  })
})

describe("under any order of steps, deaths and sleeps, in several namespaces and machines", () => {
  /** Each holder appends entries to one log, and acknowledges one after it saw that it holds the lock still. */
  async function run(seed: number): Promise<{ wins: number; acknowledged: number; lost: number; slept: number }> {
    const random = new Random(seed)
    const world = new World()
    const scheduler = new Scheduler(world, random)
    const hosts: Host[] = [
      HOME,
      { ...HOME, pidNamespace: "o" },
      { ...HOME, machine: "other", bootId: "c", wallErrorMs: random.below(120_000) - 60_000 },
      { ...HOME, machine: "other", bootId: "c", pidNamespace: "o", wallErrorMs: 0 },
    ]
    const log: string[] = []
    /** What was in the log when somebody became the holder, in that order. */
    const takeovers: ReadonlySet<string>[] = []
    const counts = { wins: 0, acknowledged: 0, lost: 0, slept: 0 }
    const processes = Array.from({ length: 2 + random.below(4) }, (_, place) =>
      world.start(place + 1, hosts[random.below(hosts.length)]),
    )
    for (const process of processes) {
      scheduler.run(process, async () => {
        for (let visits = 0; visits < 4; visits++) {
          const lock = await acquireUnlessLocked(process)
          if (!lock) {
            await world.pause(process, world.nowMs + random.below(3 * BEAT_MS))
            continue
          }
          counts.wins++
          takeovers.push(new Set(log))
          const number = takeovers.length
          let isOpen = true
          scheduler.run(process, async () => {
            while (isOpen) {
              await world.pause(process, world.nowMs + BEAT_MS)
              if (isOpen) await lock.beat()
            }
          })
          try {
            for (let entry = 0; entry < 12; entry++) {
              await world.pause(process, world.nowMs + random.below(BEAT_MS))
              await lock.check()
              log.push(`${number}.${entry}`)
              await world.pause(process)
              await lock.check()
              counts.acknowledged++
              for (const [later, seen] of takeovers.slice(number).entries()) {
                const place = `seed ${seed}: holder ${number + later + 1} did not see ${number}.${entry}`
                expect(seen.has(`${number}.${entry}`), place).toBe(true)
              }
            }
          } catch (error) {
            if ((error as PrismError).code !== "LOCK_LOST") throw error
            counts.lost++
          }
          isOpen = false
          await lock.release()
        }
      })
    }
    await scheduler.finish(() => {
      world.nowMs += random.below(100)
      if (random.below(40) > 0) return
      counts.slept++
      // Shorter and longer than anybody's patience.
      processes[random.below(processes.length)]!.asleepUntilMs = world.nowMs + random.below(6 * BEAT_MS)
      if (random.below(10) === 0) processes[random.below(processes.length)]!.isAlive = false
    })
    return counts
  }

  test("what an owner acknowledges is there for every later one", async () => {
    const all = { wins: 0, acknowledged: 0, lost: 0, slept: 0 }
    for (let seed = 0; seed < 600; seed++) {
      const counts = await run(seed)
      for (const key of Object.keys(all) as (keyof typeof all)[]) all[key] += counts[key]
    }
    // It would prove nothing without takeovers from the living.
    expect(all.wins).toBeGreaterThan(1000)
    expect(all.acknowledged).toBeGreaterThan(5000)
    expect(all.lost).toBeGreaterThan(100)
  })
})

test("a stale lock is taken over, with what takers that died left behind", async () => {
  const world = new World()
  const dead = world.start(100)
  dead.isAlive = false
  const first = await world.leave(LOCK_NAME, dead)
  const second = await world.leave(`${LOCK_NAME}.${first}`, dead)
  await world.leave(`${LOCK_NAME}.${second}`, dead)
  world.files.set(`${LOCK_NAME}.new-0123`, { text: "unfinished" })
  const lock = await world.start(1).acquire()
  expect([...world.files.keys()]).toEqual([LOCK_NAME])
  expect(parseOwnerFile(world.files.get(LOCK_NAME)!.text)?.beat.isHeld).toBe(true)
  await lock.release()
  // It stays, as nobody's: to remove it by its name might hit a later owner's.
  expect(parseOwnerFile(world.files.get(LOCK_NAME)!.text)?.beat.isHeld).toBe(false)
  expect(await world.start(2).acquire()).toBeDefined()
  expect([...world.files.keys()]).toEqual([LOCK_NAME])
})

test("a process that got the id of a dead owner is not taken for it", async () => {
  const world = new World()
  const owner = world.start(7)
  await owner.acquire()
  owner.isAlive = false
  world.start(7)
  expect(await world.start(1).acquire()).toBeDefined()
})

describe("LOCKED says who it is and what to do", () => {
  async function errorFor(owner: Partial<ProcessIdentity>, self: Partial<ProcessIdentity> = {}) {
    const world = new World()
    const me = world.start(1)
    const other = world.start(42)
    const files = other.files({ ...other.identity, ...owner })
    world.files.set(LOCK_NAME, { text: (await Pulse.begin(files, world.nonce(), "")).text })
    const error = await refusal(acquireLock(me.files({ ...me.identity, ...self }), "/data", world.nonce))
    expect(error.code).toBe("LOCKED")
    expect(error.place).toBe("/data")
    // A refused process leaves nothing and takes nothing.
    expect([...world.files.keys()]).toEqual([LOCK_NAME])
    expect(world.nowMs).toBe(1_000_000)
    return `${error.message} | ${error.hint}`
  }

  test("another process of this machine", async () => {
    expect(await errorFor({})).toBe("/data is in use by process 42 | wait until it is done, or stop it with kill 42")
  })

  test("this process itself", async () => {
    const world = new World()
    const process = world.start(1)
    await process.acquire()
    const error = await refusal(process.acquire())
    expect(`${error.message} | ${error.hint}`).toMatch(/open in this process \(1\) already .*close it first/)
  })

  test("another machine or container, which was heard of a moment ago", async () => {
    const expected = /process 42 of another machine or container \(.*\) \| close it there.* half a minute later/
    expect(await errorFor({ machine: "other", bootId: "c" })).toMatch(expected)
    expect(await errorFor({ machine: "other", bootId: undefined })).toMatch(expected)
    expect(await errorFor({ pidNamespace: "o" })).toMatch(expected)
    // A system that does not tell namespaces apart may be a container.
    expect(await errorFor({ pidNamespace: undefined }, { pidNamespace: undefined })).toMatch(expected)
  })

  test("processes that may not know their machine", async () => {
    const unknown = { machine: "", bootId: undefined }
    expect(await errorFor({ ...unknown, pid: 4242 }, unknown)).toMatch(/process 4242 of another machine or container/)
    expect(await errorFor({ machine: "", bootId: "c" }, { machine: "" })).toMatch(/another machine/)
  })

  test("a file that is none of ours", async () => {
    const world = new World()
    const me = world.start(1)
    const { text } = await Pulse.begin(me.files(), world.nonce(), "")
    const owner = text.slice(0, text.indexOf("\n") + 1)
    for (const text of [
      "",
      "{",
      "{}",
      '"x"',
      '{"pid":1,"machine":"m","nonce":"../../x"}',
      owner,
      `${owner}held 00000`,
    ]) {
      world.files.set(LOCK_NAME, { text })
      const error = await refusal(me.acquire())
      expect(error.code).toBe("LOCKED")
      expect(error.hint).toMatch(/remove the file LOCK/)
      expect(world.files.get(LOCK_NAME)!.text).toBe(text)
    }
  })
})

test("on a platform that tells less, a process that runs is the owner", async () => {
  const world = new World()
  const less: Host = { machine: "m", bootId: undefined, pidNamespace: undefined, wallErrorMs: 0 }
  const owner = world.start(42, less)
  await owner.acquire()
  world.nowMs += 100 * BEAT_MS
  expect((await refusal(world.start(1, less).acquire())).message).toMatch(/process 42$/)
  owner.isAlive = false
  expect(await world.start(2, less).acquire()).toBeDefined()
})

describe("a heartbeat tells where process ids do not", () => {
  /** Whether the lock of an owner that was heard of so long ago is taken over, and how long that took. */
  async function takeover(owner: Host, silentMs: number, self = HOME, world = new World()) {
    await world.leave(LOCK_NAME, world.start(1, owner))
    world.nowMs += silentMs
    const begin = world.nowMs
    const lock = await acquireUnlessLocked(world.start(1, self))
    return { taken: lock !== undefined, afterMs: world.nowMs - begin }
  }

  test("in another container of this machine, at once", async () => {
    const owner = { ...HOME, pidNamespace: "o" }
    expect(await takeover(owner, 3 * BEAT_MS - 1)).toEqual({ taken: false, afterMs: 0 })
    expect(await takeover(owner, 3 * BEAT_MS)).toEqual({ taken: true, afterMs: 0 })
  })

  test("on another machine, after it was watched for three beats", async () => {
    const owner = { ...HOME, machine: "other", bootId: "c" }
    expect(await takeover(owner, 3 * BEAT_MS - 1)).toEqual({ taken: false, afterMs: 0 })
    expect(await takeover(owner, 3 * BEAT_MS)).toEqual({ taken: true, afterMs: 3 * BEAT_MS })
  })

  test("where its clocks disagree, as where a container has an uptime of its own, it is watched too", async () => {
    const owner = { ...HOME, pidNamespace: "o", wallErrorMs: 4 * BEAT_MS }
    expect(await takeover(owner, 3 * BEAT_MS)).toEqual({ taken: true, afterMs: 3 * BEAT_MS })
  })

  test("one that beats while it is watched is LOCKED after one beat", async () => {
    const world = new World()
    const owner = world.start(1, { ...HOME, machine: "other", bootId: "c", wallErrorMs: 1e9 })
    const lock = await owner.acquire()
    const begin = world.nowMs
    world.pause = async (_, wakeMs) => {
      if (wakeMs === undefined) return
      if (wakeMs - begin === BEAT_MS) await lock.beat()
      world.nowMs = Math.max(world.nowMs, wakeMs)
    }
    expect(await acquireUnlessLocked(world.start(1))).toBe(undefined)
    expect(world.nowMs - begin).toBe(BEAT_MS)
  })

  test("after the machine was started again its old locks are stale, at once once they are old", async () => {
    const before = { ...HOME, bootId: "before" }
    // Another machine of that name would have been heard of by then.
    expect(await takeover(before, 0)).toEqual({ taken: true, afterMs: 3 * BEAT_MS })
    const world = new World()
    await world.leave(LOCK_NAME, world.start(1, before))
    world.nowMs += 3 * BEAT_MS
    const files = world.start(1).files()
    const begin = world.nowMs
    const clock = { ...files.clock, uptimeMs: async () => 2 * BEAT_MS }
    await acquireLock({ ...files, clock }, "data", world.nonce)
    expect(world.nowMs).toBe(begin)
  })
})

describe("an owner that slept", () => {
  async function asleep(sleepMs: number) {
    const world = new World()
    const lock = await world.start(1).acquire()
    world.nowMs += sleepMs
    return { world, lock, other: world.start(1, { ...HOME, pidNamespace: "o" }) }
  }

  test("does not look while its heartbeat is fresh, and looks once it is not", async () => {
    const { world, lock } = await asleep(2 * BEAT_MS - 1)
    expect(lock.check()).toBe(undefined)
    world.nowMs++
    expect(lock.check()).toBeInstanceOf(Promise)
    await lock.check()
    expect(lock.check()).toBe(undefined)
  })

  test("has LOCK_LOST after another took over, for good, and is no obstacle after that", async () => {
    const { world, lock, other } = await asleep(3 * BEAT_MS)
    const taken = await other.acquire()
    for (let look = 0; look < 2; look++) {
      const error = await refusal(Promise.resolve(lock.check()))
      expect(error.code).toBe("LOCK_LOST")
      expect(error.hint).toMatch(/open it again/)
    }
    await lock.release()
    await taken.check()
    await taken.release()
    const again = await world.start(3).acquire()
    await again.check()
    expect((await refusal(Promise.resolve(taken.check()))).code).toBe("LOCK_LOST")
  })

  test("and is woken up while another takes over leaves nobody with the lock, and nobody locked out", async () => {
    const { world, lock, other } = await asleep(3 * BEAT_MS)
    // It wakes up between the look of the other and the link, and sees nothing of it yet.
    const files = other.files()
    const link: LockFiles["link"] = async (from, to) => {
      if (to !== LOCK_NAME) expect(await lock.beat()).toBe(true)
      return await files.link(from, to)
    }
    expect((await refusal(acquireLock({ ...files, link }, "data", world.nonce))).code).toBe("LOCKED")
    expect(lock.check()).toBe(undefined)
    expect(await lock.beat()).toBe(false)
    expect((await refusal(Promise.resolve(lock.check()))).code).toBe("LOCK_LOST")
    expect(await world.start(4).acquire()).toBeDefined()
  })

  test("goes on after its heartbeats fail, as long as it looks each time", async () => {
    const world = new World()
    const files = world.start(1).files()
    let full = false
    const make: LockFiles["make"] = async (name, text) => {
      const handle = await files.make(name, text)
      return {
        ...handle,
        overwrite: async (bytes, position) => {
          if (full) throw new Error("no space")
          await handle.overwrite(bytes, position)
        },
      }
    }
    const lock = await acquireLock({ ...files, make }, "data", world.nonce)
    full = true
    world.nowMs += 2 * BEAT_MS
    for (let look = 0; look < 3; look++) {
      const looked = lock.check()
      expect(looked).toBeInstanceOf(Promise)
      await looked
    }
  })
})

test("a slot that is cut off or damaged leaves the one before", async () => {
  const world = new World()
  const process = world.start(1)
  const lock = await process.acquire()
  await lock.beat()
  const { text } = world.files.get(LOCK_NAME)!
  const whole = parseOwnerFile(text)!
  const slots = text.indexOf("\n") + 1
  const slotBytes = (text.length - slots) / 2
  for (let at = slots; at < text.length; at++) {
    const damaged = `${text.slice(0, at)}${text[at] === "7" ? "8" : "7"}${text.slice(at + 1)}`
    const { beat } = parseOwnerFile(damaged)!
    const isLast = Math.floor((at - slots) / slotBytes) === whole.beat.count % 2
    expect(beat.count, `byte ${at}`).toBe(isLast ? whole.beat.count - 1 : whole.beat.count)
  }
})
