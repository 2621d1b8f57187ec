import { describe, expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import { fromSent, toSent } from "../../src/base/sent-error.ts"
import { Background } from "../../src/collection/background.ts"
import type { BuildTask } from "../../src/collection/segment-builder.ts"
import { type FromWorker, type ToWorker, throttled } from "../../src/collection/task-server.ts"
import type { TaskWorkerListener } from "../../src/runtime.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { writeWhole } from "../support/faulty-storage.ts"
import { Random } from "../support/random.ts"
import { refusal } from "../support/refusal.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"
import { liveBits, makeFolders, randomPut, SCHEMA, segmentSource, writeLog } from "../support/segment-sources.ts"
import { startScriptThread, startWorker } from "../support/worker.ts"

const createSha256 = () => runtime.createSha256()

/** Threads that do what the test tells them, for a storage that they could reach. */
class FakeThreads {
  readonly threads: FakeThread[] = []
  readonly storage = Object.assign(new MemoryStorage(), { location: "somewhere" }) as Storage
  /** Timers that run, with what they call. */
  readonly timers = new Set<() => void>()
  readonly background = new Background(
    { createSha256, startWorker: (listener) => new FakeThread(this, listener) },
    this.storage,
    (callback) => {
      this.timers.add(callback)
      return () => this.timers.delete(callback)
    },
  )

  get running(): string[] {
    return this.threads.flatMap(({ task }) => (task === undefined ? [] : [task]))
  }

  /** Lets what waits for promises alone go on. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 20; turn++) await Promise.resolve()
  }

  seal(name: string, signal?: AbortSignal): Promise<unknown> {
    const log = { number: 1, path: "wal", length: 32 }
    const source = { kind: "log", log, documentCount: 0, live: new Uint8Array() } as const
    return this.background.build({ ...TASK, directory: name, sources: [source] }, { signal })
  }

  merge(name: string, signal?: AbortSignal): Promise<unknown> {
    return this.background.build({ ...TASK, directory: name }, { signal })
  }
}

/** What a thread answers that has built a segment with an index of so many bytes. */
function built(id: number, length = 1): FromWorker {
  const file = { path: "a", length, sha256: "" }
  const files = { text: file, documents: file }
  return { kind: "done", result: { id, documentCount: 1, deletedCount: 0, vectorCount: 0, level: 0, files } }
}

const TASK: BuildTask = { directory: "", schema: "", id: 1, stem: "000001", level: 0, sources: [] }

class FakeThread {
  readonly listener: TaskWorkerListener
  /** The folder of the task that it runs. */
  task: string | undefined
  isAborted = false
  isStopped = false
  holdsProcess = true

  constructor(threads: FakeThreads, listener: TaskWorkerListener) {
    this.listener = listener
    threads.threads.push(this)
    this.say({ kind: "ready" })
  }

  say(message: FromWorker): void {
    if (message.kind === "done" || message.kind === "failed") this.task = undefined
    queueMicrotask(() => this.listener.onMessage(message))
  }

  end(error?: unknown): void {
    this.listener.onEnd(error)
  }

  post(message: unknown): void {
    const order = message as ToWorker
    if (order.kind === "run") this.task = order.task.request.directory
    else this.isAborted = true
  }

  setHoldsProcess(holds: boolean): void {
    this.holdsProcess = holds
  }

  async stop(): Promise<void> {
    this.isStopped = true
    this.end()
  }
}

describe("the queue", () => {
  test("runs two tasks at a time, seals before merges, and one merge at most", async () => {
    const fake = new FakeThreads()
    const results = Promise.all([
      fake.merge("merge 1"),
      fake.merge("merge 2"),
      fake.seal("seal 1"),
      fake.seal("seal 2"),
      fake.merge("merge 3"),
      fake.seal("seal 3"),
    ])
    const order: string[] = []
    for (;;) {
      await fake.settle()
      const { running } = fake
      if (running.length === 0) break
      expect(running.length).toBeLessThanOrEqual(2)
      expect(running.filter((name) => name.startsWith("merge")).length).toBeLessThanOrEqual(1)
      order.push(running.join(" + "))
      const done = fake.threads.find(({ task }) => task === running.at(-1))
      done?.say(built(order.length))
    }
    expect(order).toEqual(["merge 1 + seal 1", "merge 1 + seal 2", "merge 1 + seal 3", "merge 1", "merge 2", "merge 3"])
    // In the order of the calls, by when each was done.
    expect(await results).toMatchObject([4, 5, 1, 2, 6, 3].map((id) => ({ id })))
    expect(fake.threads.length).toBe(2)
  })

  test("an abort takes a task out of it at once, and reaches one that runs", async () => {
    const fake = new FakeThreads()
    const reason = new Error("not wanted any more")
    const [first, second] = [new AbortController(), new AbortController()]
    const runs = fake.merge("a", first.signal)
    const waits = fake.merge("b", second.signal)
    await fake.settle()
    second.abort(reason)
    await expect(waits).rejects.toBe(reason)
    first.abort(reason)
    await fake.settle()
    const [thread] = fake.threads
    expect(thread?.isAborted).toBe(true)
    thread?.say({ kind: "failed", error: toSent(new Error("aborted")) })
    await expect(runs).rejects.toBe(reason)
    await expect(fake.merge("c", first.signal)).rejects.toBe(reason)
  })

  test("a thread without work does not hold the process, and is stopped when its time is over", async () => {
    const fake = new FakeThreads()
    const first = fake.seal("a")
    await fake.settle()
    const [thread] = fake.threads
    expect(thread?.holdsProcess).toBe(true)
    expect(fake.timers.size).toBe(0)
    thread?.say(built(1))
    await first
    await fake.settle()
    expect(thread?.holdsProcess).toBe(false)
    expect(fake.timers.size).toBe(1)
    // Used again before its time is over.
    const second = fake.seal("b")
    await fake.settle()
    expect(fake.timers.size).toBe(0)
    expect([fake.threads.length, thread?.holdsProcess]).toEqual([1, true])
    thread?.say(built(2))
    await second
    await fake.settle()
    for (const callback of fake.timers) callback()
    expect(thread?.isStopped).toBe(true)
    const third = fake.seal("c")
    await fake.settle()
    expect(fake.threads.length).toBe(2)
    fake.threads[1]?.say(built(3))
    expect(await third).toMatchObject({ id: 3 })
  })

  test("a thread that built a large index, or failed, is stopped with its task", async () => {
    const fake = new FakeThreads()
    const answers = [built(1, 100 * 1024 * 1024), { kind: "failed", error: toSent(new Error("no")) } as const, built(3)]
    for (const [place, answer] of answers.entries()) {
      const task = fake.seal("a").catch(() => undefined)
      await fake.settle()
      fake.threads[place]?.say(answer)
      await task
      await fake.settle()
    }
    expect(fake.threads.map(({ isStopped }) => isStopped)).toEqual([true, true, false])
  })

  test("closing ends what runs and what waits, and stops the threads", async () => {
    const fake = new FakeThreads()
    const tasks = [fake.merge("a"), fake.merge("b")].map((task) => task.catch((error: unknown) => error))
    await fake.settle()
    const closed = fake.background.close()
    await fake.settle()
    expect(fake.threads[0]?.isAborted).toBe(true)
    expect(fake.threads[0]?.isStopped).toBe(false)
    fake.threads[0]?.say({ kind: "failed", error: toSent(new Error("aborted")) })
    await closed
    for (const error of await Promise.all(tasks)) expect(error).toMatchObject({ name: "PrismError", code: "CLOSED" })
    expect(fake.threads.map(({ isStopped }) => isStopped)).toEqual([true])
    expect((await refusal(fake.merge("c"))).code).toBe("CLOSED")
    await fake.background.close()
  })

  test("a thread that ends fails its task alone, and what it has written is removed", async () => {
    const fake = new FakeThreads()
    await makeFolders(fake.storage, "c")
    const first = fake.merge("c")
    const second = fake.merge("d")
    await fake.settle()
    for (const name of ["text/000001.idx", "text/000001.docs", "text/000002.idx", "vector/000001.hnsw"]) {
      await writeWhole(fake.storage, `c/${name}`, new Uint8Array(1))
    }
    fake.threads[0]?.end(Object.assign(new Error("heap"), { code: "ERR_WORKER_OUT_OF_MEMORY" }))
    expect((await refusal(first)).code).toBe("LIMIT_EXCEEDED")
    expect(await fake.storage.list("c/text")).toMatchObject([{ name: "000002.idx" }])
    expect(await fake.storage.list("c/vector")).toEqual([])
    await fake.settle()
    expect(fake.threads.length).toBe(2)
    fake.threads[1]?.say(built(2))
    expect(await second).toMatchObject({ id: 2 })
    // One that ends while it has no task is not used again.
    await fake.settle()
    fake.threads[1]?.end()
    const third = fake.seal("e")
    await fake.settle()
    expect(fake.threads.length).toBe(3)
    fake.threads[2]?.say(built(3))
    expect(await third).toMatchObject({ id: 3 })
  })

  test("progress goes through at most ten times a second", () => {
    let time = 1000
    const heard: number[] = []
    const report = throttled(
      (documents) => heard.push(documents),
      () => time,
    )
    for (; time <= 2000; time++) report(time)
    expect(heard).toEqual(Array.from({ length: 10 }, (_, place) => 1100 + place * 100))
  })
})

describe("threads of this runtime", () => {
  /** A collection's folder with two logs, on disk. */
  async function someLogs(folder: string) {
    const storage = await runtime.openStorage(folder, { create: true })
    await makeFolders(storage, "c")
    const random = new Random(1)
    const puts = Array.from({ length: 400 }, (_, place) => randomPut(random, `d${place}`))
    const log1 = await writeLog(storage, "c", 1, puts.slice(0, 250), new Set([1, 5, 8]))
    const log2 = await writeLog(storage, "c", 2, puts.slice(250))
    return { storage, log1, log2 }
  }

  test("build the same files as this one, and verify them", async () => {
    await using folder = await temporaryFolder()
    const { storage, log1, log2 } = await someLogs(folder.path)
    const threads = new Background({ createSha256, startWorker }, storage)
    const here = new Background({ createSha256 }, storage)
    const task = { directory: "c", schema: SCHEMA, level: 0 }
    const [one, two] = await Promise.all([
      threads.build({ ...task, id: 1, stem: "000001", sources: [log1] }),
      threads.build({ ...task, id: 2, stem: "000002", sources: [log2] }),
    ])
    const inline = await here.build({ ...task, id: 3, stem: "000003", sources: [log1] })
    const hashes = (entry: typeof one) => Object.values(entry?.files ?? {}).map(({ sha256 }) => sha256)
    expect(hashes(one)).toEqual(hashes(inline))
    expect(hashes(one).length).toBe(3)
    if (!one || !two) throw new Error("nothing was built")
    const merge = { ...task, level: 1, sources: [segmentSource(one, new Set([7])), segmentSource(two)] }
    const merged = await threads.build({ ...merge, id: 4, stem: "000004" })
    expect(hashes(merged)).toEqual(hashes(await here.build({ ...merge, id: 5, stem: "000005" })))
    if (!merged) throw new Error("nothing was built")
    for (const entries of [[one, two], [merged]]) {
      const request = { directory: "c", schema: SCHEMA, entries }
      expect(await threads.verify(request)).toEqual(await here.verify(request))
    }
    const none = { ...log1, live: liveBits(250, new Set(Array.from({ length: 250 }, (_, place) => place))) }
    expect(await threads.build({ ...task, id: 6, stem: "000006", sources: [none] })).toBe(undefined)
    await threads.close()
    await here.close()
    await storage.close()
  })

  test("fail with the errors of this one", async () => {
    await using folder = await temporaryFolder()
    const { storage, log1 } = await someLogs(folder.path)
    const threads = new Background({ createSha256, startWorker }, storage)
    const here = new Background({ createSha256 }, storage)
    const task = {
      directory: "c",
      schema: SCHEMA,
      id: 1,
      stem: "000001",
      level: 0,
      sources: [{ ...log1, log: { ...log1.log, number: 9 } }],
    }
    const [there, expected] = [await refusal(threads.build(task)), await refusal(here.build(task))]
    expect(there).toBeInstanceOf(PrismError)
    const parts = ({ code, message, hint, place, problems }: PrismError) => ({ code, message, hint, place, problems })
    expect(parts(there)).toEqual(parts(expected))
    expect(there.place).toContain("wal-000001.log")
    const abort = new AbortController()
    const reason = new Error("not wanted any more")
    const aborted = threads.build({ ...task, sources: [log1] }, { signal: abort.signal })
    abort.abort(reason)
    await expect(aborted).rejects.toBe(reason)
    expect(await storage.list("c/text")).toEqual([])
    await threads.close()
    await storage.close()
  })

  test("that come to an end take their task with them, not the process", async () => {
    const storage = Object.assign(new MemoryStorage(), { location: "somewhere" }) as Storage
    const background = new Background(
      { createSha256, startWorker: (listener) => startScriptThread("failing-worker.mjs", listener) },
      storage,
    )
    const build = (schema: string) => background.build({ ...TASK, schema, id: 17 })
    expect(await refusal(build("exit"))).toMatchObject({ code: "IO_ERROR" })
    expect(await build("work")).toMatchObject({ id: 17 })
    const thrown = await refusal(build("throw"))
    expect(thrown).toMatchObject({ code: "IO_ERROR" })
    expect(thrown.message).toContain("thrown by the test")
    expect(await build("work")).toMatchObject({ id: 17 })
    await background.close()
  })

  test("that may not be started leave the work to this one", async () => {
    const storage = Object.assign(new MemoryStorage(), { location: "somewhere" }) as Storage
    const startWorker = () => {
      throw new Error("access denied")
    }
    const background = new Background({ createSha256, startWorker }, storage)
    expect(await background.build(TASK)).toBe(undefined)
    expect(await background.verify({ directory: "", schema: SCHEMA, entries: [] })).toMatchObject({ files: 0 })
    await background.close()
  })

  test("that cannot be started leave the work to this one", async () => {
    await using folder = await temporaryFolder()
    const { storage, log1 } = await someLogs(folder.path)
    let started = 0
    const background = new Background(
      {
        createSha256,
        startWorker: (listener) => {
          started++
          return startScriptThread("there-is-no-such-file.mjs", listener)
        },
      },
      storage,
    )
    const task = { directory: "c", schema: SCHEMA, level: 0, sources: [log1] }
    expect(await background.build({ ...task, id: 1, stem: "000001" })).toMatchObject({ id: 1, documentCount: 247 })
    expect(await background.build({ ...task, id: 2, stem: "000002" })).toMatchObject({ id: 2, documentCount: 247 })
    expect(started).toBe(1)
    await background.close()
    await storage.close()
  })
})

test("errors cross threads whole", () => {
  const cause = new Error("the disk says no")
  const error = new PrismError("CORRUPT", "it is damaged", {
    hint: "repair it",
    place: "a file",
    problems: [{ place: "line 1", code: "INVALID_DOCUMENT", message: "no id" }],
    cause,
  })
  const received = fromSent(structuredClone(toSent(error)))
  expect(received).toBeInstanceOf(PrismError)
  expect(received).toEqual(error)
  expect(received).toMatchObject({ ...error, stack: error.stack, cause: { message: "the disk says no" } })
  expect(fromSent(structuredClone(toSent(new TypeError("a bug"))))).toMatchObject({ message: "a bug" })
  expect(fromSent(structuredClone(toSent("a word")))).toMatchObject({ message: "a word" })
  // A chain of causes that never ends.
  const endless = new Error("again")
  endless.cause = endless
  expect(fromSent(structuredClone(toSent(endless)))).toMatchObject({ message: "again" })
})
