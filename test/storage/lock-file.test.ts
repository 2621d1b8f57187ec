import { describe, expect, test } from "vitest"
import type { PrismError } from "../../src/base/errors.ts"
import type { ProcessIdentity } from "../../src/storage/disk.ts"
import { acquireLock, LOCK_NAME, type LockFiles, renderOwner } from "../../src/storage/lock-file.ts"
import { Random } from "../support/random.ts"
import { refusal } from "../support/refusal.ts"

/** One folder of one machine, with the processes that run on it. */
class Machine {
  readonly files = new Map<string, string>()
  readonly startTimes = new Map<number, string>()
  /** Called before each access to the folder: where another process may come in between, or this one die. */
  pause: (pid: number) => Promise<void> = async () => {}
  #nonces = 0

  identity(pid: number): ProcessIdentity {
    return { pid, machine: "m", bootId: "b", pidNamespace: "n", startTime: this.startTimes.get(pid) }
  }

  start(pid: number): void {
    this.startTimes.set(pid, `${pid}.${this.#nonces++}`)
  }

  nonce(): string {
    return (this.#nonces++).toString(16).padStart(16, "0")
  }

  view(pid: number, identity = this.identity(pid)): LockFiles {
    const at = () => this.pause(pid)
    return {
      publish: async (name, text) => {
        await at()
        if (this.files.has(name)) return false
        this.files.set(name, text)
        return true
      },
      read: async (name) => {
        await at()
        return this.files.get(name)
      },
      rename: async (from, to) => {
        await at()
        const text = this.files.get(from)
        if (text === undefined) throw new Error(`${from} is gone`)
        this.files.delete(from)
        this.files.set(to, text)
      },
      remove: async (name) => {
        await at()
        this.files.delete(name)
      },
      leftovers: async () => {
        await at()
        return [...this.files.keys()].filter((name) => name.startsWith(`${LOCK_NAME}.`))
      },
      self: async () => identity,
      findProcess: async (other) => {
        await at()
        return this.startTimes.has(other) ? { startTime: this.startTimes.get(other) } : undefined
      },
    }
  }
}

const acquire = (machine: Machine, pid: number) => acquireLock(machine.view(pid), "data", machine.nonce())

describe("under any order of steps and deaths", () => {
  /** Lets one waiting process at a time take one step. */
  async function run(seed: number, processCount: number, deaths: number): Promise<{ won: number; wins: number }> {
    const random = new Random(seed)
    const machine = new Machine()
    const holders = new Set<number>()
    const waiting = new Map<number, () => void>()
    let running = processCount
    let deathsLeft = deaths
    let wins = 0
    let changed = () => {}
    machine.pause = (pid) =>
      new Promise((resolve) => {
        waiting.set(pid, resolve)
        changed()
      })
    const live = async (pid: number) => {
      for (let visits = 0; visits < 2; visits++) {
        let release: (() => Promise<void>) | undefined
        try {
          release = await acquire(machine, pid)
        } catch (error) {
          if ((error as PrismError).code !== "LOCKED") throw error
        }
        if (!release) continue
        expect([...holders], `seed ${seed}: two processes hold the lock`).toEqual([])
        holders.add(pid)
        wins++
        await machine.pause(pid)
        await machine.pause(pid)
        holders.delete(pid)
        await release()
      }
    }
    // A dead owner to begin with, so that everybody starts with a take-over.
    machine.files.set(LOCK_NAME, renderOwner({ ...machine.identity(999), nonce: machine.nonce() }))
    const failures: unknown[] = []
    for (let pid = 1; pid <= processCount; pid++) {
      machine.start(pid)
      live(pid)
        .catch((error: unknown) => failures.push(error))
        .finally(() => {
          running--
          changed()
        })
    }
    while (running > 0) {
      while (waiting.size < running) {
        const change = new Promise<void>((resolve) => {
          changed = resolve
        })
        if (waiting.size < running) await change
      }
      if (running === 0) break
      const pids = [...waiting.keys()]
      const pid = pids[random.below(pids.length)]!
      const proceed = waiting.get(pid)!
      waiting.delete(pid)
      if (deathsLeft > 0 && random.below(12) === 0) {
        // It never comes back from this step.
        deathsLeft--
        machine.startTimes.delete(pid)
        holders.delete(pid)
        running--
      } else proceed()
    }
    if (failures.length > 0) throw failures[0]
    return { won: holders.size, wins }
  }

  test("never do two live processes hold the lock", async () => {
    let wins = 0
    for (let seed = 0; seed < 400; seed++) wins += (await run(seed, 2 + (seed % 4), seed % 4)).wins
    expect(wins).toBeGreaterThan(400)
  })

  test("where nobody dies, somebody wins", async () => {
    for (let seed = 1000; seed < 1200; seed++) expect((await run(seed, 3, 0)).wins).toBeGreaterThan(0)
  })

  test("whom a refusal names is the one that wins", async () => {
    for (let seed = 0; seed < 400; seed++) {
      const random = new Random(seed)
      const machine = new Machine()
      const waiting: (() => void)[] = []
      machine.pause = () => new Promise((resolve) => waiting.push(resolve))
      machine.files.set(LOCK_NAME, renderOwner({ ...machine.identity(999), nonce: machine.nonce() }))
      const pids = [1, 2, 3, 4]
      for (const pid of pids) machine.start(pid)
      const running = new Set(pids)
      const outcomes = pids.map((pid) =>
        acquire(machine, pid)
          .then(
            () => "won",
            (error: unknown) => (error as PrismError).message,
          )
          .finally(() => running.delete(pid)),
      )
      while (running.size > 0) {
        await new Promise((resolve) => setImmediate(resolve))
        waiting.splice(random.below(Math.max(1, waiting.length)), 1)[0]?.()
      }
      const messages = await Promise.all(outcomes)
      const winner = pids[messages.indexOf("won")]
      expect(messages.filter((message) => message === "won")).toEqual(["won"])
      expect(new Set(messages), `seed ${seed}`).toEqual(new Set(["won", `data is in use by process ${winner}`]))
    }
  })
})

test("a stale lock is taken over, with what takers that died left behind", async () => {
  const machine = new Machine()
  const nonces = [machine.nonce(), machine.nonce(), machine.nonce()]
  const owner = (pid: number, place: number) => renderOwner({ ...machine.identity(pid), nonce: nonces[place]! })
  machine.files.set(LOCK_NAME, owner(100, 0))
  machine.files.set(`${LOCK_NAME}.${nonces[0]}`, owner(101, 1))
  machine.files.set(`${LOCK_NAME}.${nonces[1]}`, owner(102, 2))
  machine.files.set(`${LOCK_NAME}.new-0123`, "unfinished")
  machine.start(1)
  const release = await acquire(machine, 1)
  expect([...machine.files.keys()]).toEqual([LOCK_NAME])
  await release()
  expect(machine.files.size).toBe(0)
})

test("a process that got the id of a dead owner is not taken for it", async () => {
  const machine = new Machine()
  machine.start(7)
  await acquire(machine, 7)
  machine.start(7)
  machine.start(1)
  expect(await acquire(machine, 1)).toBeTypeOf("function")
})

describe("LOCKED says who it is and what to do", () => {
  async function errorFor(owner: Partial<ProcessIdentity>, self: Partial<ProcessIdentity> = {}) {
    const machine = new Machine()
    machine.start(1)
    machine.start(42)
    const nonce = machine.nonce()
    machine.files.set(LOCK_NAME, renderOwner({ ...machine.identity(42), ...owner, nonce }))
    const view = machine.view(1, { ...machine.identity(1), ...self })
    const error = await refusal(acquireLock(view, "/data", machine.nonce()))
    expect(error.code).toBe("LOCKED")
    expect(error.place).toBe("/data")
    // A refused process leaves nothing and takes nothing.
    expect([...machine.files.keys()]).toEqual([LOCK_NAME])
    return `${error.message} | ${error.hint}`
  }

  test("another process of this machine", async () => {
    expect(await errorFor({})).toBe("/data is in use by process 42 | wait until it is done, or stop it with kill 42")
  })

  test("this process itself", async () => {
    expect(await errorFor({ pid: 1, startTime: "1.0" })).toMatch(/open in this process \(1\) already .*close it first/)
  })

  test("another machine, which cannot be looked at from here", async () => {
    expect(await errorFor({ machine: "other", bootId: "c" })).toMatch(/process 42 of another machine .*\(other\).*LOCK/)
    expect(await errorFor({ machine: "other", bootId: undefined })).toMatch(/another machine/)
  })

  test("another container of this machine", async () => {
    expect(await errorFor({ pidNamespace: "o" })).toMatch(/another machine or container/)
  })

  test("processes that may not know their machine", async () => {
    const unknown = { machine: "", bootId: undefined }
    expect(await errorFor({ ...unknown, pid: 4242 }, unknown)).toMatch(/process 4242 of another machine or container/)
    expect(await errorFor({ machine: "", bootId: "c" }, { machine: "" })).toMatch(/another machine/)
  })

  test("a platform that tells less: a running process is the owner", async () => {
    const unknown = { bootId: undefined, pidNamespace: undefined, startTime: undefined }
    expect(await errorFor(unknown, unknown)).toMatch(/process 42/)
  })

  test("a file that is none of ours", async () => {
    for (const text of ["", "{", "{}", '"x"', '{"pid":1,"machine":"m","nonce":"../../x"}']) {
      const machine = new Machine()
      machine.start(1)
      machine.files.set(LOCK_NAME, text)
      const error = await refusal(acquire(machine, 1))
      expect(error.code).toBe("LOCKED")
      expect(error.hint).toMatch(/remove the file LOCK/)
      expect(machine.files.get(LOCK_NAME)).toBe(text)
    }
  })
})

test("after the machine was started again its old locks are stale", async () => {
  const machine = new Machine()
  machine.start(1)
  machine.start(42)
  const before = { ...machine.identity(42), bootId: "before", nonce: machine.nonce() }
  machine.files.set(LOCK_NAME, renderOwner(before))
  expect(await acquire(machine, 1)).toBeTypeOf("function")
})
