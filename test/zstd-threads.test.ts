// The threads of the codec, when they are not as they should be: with threads that do what the test tells them.
import { assert, describe, test } from "vitest"
import { PrismError } from "../src/base/errors.ts"
import { toSent } from "../src/base/sent-error.ts"
import type { TaskWorkerListener } from "../src/runtime.ts"
import type { Thread } from "../src/runtime-node/thread.ts"
import { loadCodec } from "../src/runtime-node/zstd.ts"
import { CodecThreads } from "../src/runtime-node/zstd-threads.ts"
import { refusalCode } from "./support/refusal.ts"

class FakeThread implements Thread {
  readonly listener: TaskWorkerListener
  isStopped = false
  holdsProcess = true
  #job: Uint8Array | undefined

  constructor(listener: TaskWorkerListener) {
    this.listener = listener
  }

  get isBusy(): boolean {
    return this.#job !== undefined
  }

  post(message: unknown, handedOver: ArrayBuffer[] = []): void {
    this.#job = structuredClone(message as { bytes: Uint8Array }, { transfer: handedOver }).bytes
  }

  setHoldsProcess(holds: boolean): void {
    this.holdsProcess = holds
  }

  async stop(): Promise<void> {
    this.isStopped = true
  }

  /** The job's bytes, as they are. */
  succeed(): void {
    const bytes = this.#job
    this.#job = undefined
    this.listener.onMessage({ kind: "done", bytes })
  }

  fail(error: Error): void {
    this.#job = undefined
    this.listener.onMessage({ kind: "failed", error: toSent(error) })
  }
}

function fakeThreads() {
  const started: FakeThread[] = []
  const threads = new CodecThreads((listener) => {
    const thread = new FakeThread(listener)
    started.push(thread)
    queueMicrotask(() => listener.onMessage({ kind: "ready" }))
    return thread
  }, loadCodec)
  const bytes = Uint8Array.of(1, 2, 3)
  return { started, bytes, run: () => threads.run({ kind: "compress", bytes }) }
}

/** Lets what waits for promises alone go on. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 20; turn++) await Promise.resolve()
}

describe("threads of the codec", () => {
  test("are used again, four at most, and hold the process while they work", async () => {
    const { started, bytes, run } = fakeThreads()
    const jobs = Array.from({ length: 9 }, run)
    await settle()
    assert.isAtMost(started.length, 4)
    assert.isTrue(started.every((thread) => thread.isBusy && thread.holdsProcess))
    const { length } = started
    for (let turn = 0; turn < 9; turn++) {
      for (const thread of started) if (thread.isBusy) thread.succeed()
      await settle()
    }
    for (const result of await Promise.all(jobs)) assert.deepEqual(result, bytes)
    assert.equal(bytes.length, 3) // a copy was handed over
    assert.equal(started.length, length)
    assert.isTrue(started.every((thread) => !thread.holdsProcess && !thread.isStopped))
  })

  test("are kept after a frame that cannot be decoded, and replaced after any other failure", async () => {
    const { started, run } = fakeThreads()
    for (const [error, isReplaced] of [
      [new PrismError("CORRUPT", "the frame cannot be decoded"), false],
      [new RangeError("out of memory"), true],
      [new Error("Failed to compress with code -64"), true],
    ] as const) {
      const { length } = started
      const job = run()
      await settle()
      const thread = started.at(-1)!
      thread.fail(error)
      assert.equal(await job.catch((thrown: Error) => thrown.message), error.message)
      assert.equal(thread.isStopped, isReplaced)
      const next = run()
      await settle()
      started.at(-1)!.succeed()
      await next
      assert.equal(started.length, Math.max(1, length) + (isReplaced ? 1 : 0))
    }
  })

  test("that end while they work or wait are replaced", async () => {
    const { started, run } = fakeThreads()
    const job = run()
    await settle()
    started[0]!.listener.onEnd(new Error("killed"))
    assert.equal(await refusalCode(job), "IO_ERROR")
    const second = run()
    await settle()
    started[1]!.succeed()
    await second
    started[1]!.listener.onEnd(undefined)
    const third = run()
    await settle()
    started[2]!.succeed()
    await third
  })

  test("that do not start leave the work to the thread that calls", async () => {
    const bytes = new TextEncoder().encode("one after the other ".repeat(100))
    for (const start of [
      () => {
        throw new Error("no threads here")
      },
      (listener: TaskWorkerListener) => {
        queueMicrotask(() => listener.onEnd(new Error("no such module")))
        return new FakeThread(listener)
      },
    ]) {
      const threads = new CodecThreads(start, loadCodec)
      const frame = await threads.run({ kind: "compress", bytes })
      assert.deepEqual(
        new Uint8Array(await threads.run({ kind: "decompress", bytes: frame, length: bytes.length })),
        bytes,
      )
    }
  })
})
