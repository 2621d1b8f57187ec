// A stream that passes through says once how it ended, however it does.
import { describe, expect, test } from "vitest"
import { type StreamEnd, tapped } from "../../src/base/streams.ts"

/** A stream by hand, and what is done to it. */
class Source {
  readonly stream: ReadableStream<Uint8Array>
  controller!: ReadableStreamDefaultController<Uint8Array>
  cancelledWith: unknown

  constructor() {
    this.stream = new ReadableStream<Uint8Array>(
      {
        start: (controller) => void (this.controller = controller),
        cancel: (reason) => void (this.cancelledWith = reason),
      },
      { highWaterMark: 0 },
    )
  }
}

function tap(options: Omit<Parameters<typeof tapped>[1], "onEnd"> = {}) {
  const source = new Source()
  const ends: StreamEnd[] = []
  const reader = tapped(source.stream, { ...options, onEnd: (end) => void ends.push(end) }).getReader()
  return { source, ends, reader }
}

const bytes = new Uint8Array(3)
const error = new Error("broken")

describe("a tapped stream", () => {
  test("has the same bytes, and ends whole once", async () => {
    const before = [new Uint8Array(2)]
    const { source, ends, reader } = tap({ before })
    expect((await reader.read()).value?.length).toBe(2)
    const second = reader.read()
    source.controller.enqueue(bytes)
    expect((await second).value).toBe(bytes)
    expect(ends).toEqual([])
    const last = reader.read()
    source.controller.close()
    expect((await last).done).toBe(true)
    await reader.cancel()
    expect(ends).toEqual([{ outcome: "whole", bytes: 5 }])
  })

  test("that is cancelled while a read waits ends once, and its source with it", async () => {
    const { source, ends, reader } = tap()
    const read = reader.read()
    await reader.cancel("enough")
    expect((await read).done).toBe(true)
    expect(source.cancelledWith).toBe("enough")
    expect(ends).toEqual([{ outcome: "cancelled", bytes: 0 }])
  })

  test.each([true, false])("fails once with its source (while a read waits: %s)", async (reads) => {
    const { source, ends, reader } = tap()
    const read = reads ? reader.read() : undefined
    source.controller.error(error)
    await expect(reader.closed).rejects.toBe(error)
    await expect(read ?? reader.read()).rejects.toBe(error)
    await reader.cancel().catch(() => {})
    expect(ends).toEqual([{ outcome: "failed", bytes: 0, error }])
  })

  test.each([true, false])("fails when it is aborted, and cancels its source (a read waits: %s)", async (reads) => {
    const aborting = new AbortController()
    const { source, ends, reader } = tap({ signal: aborting.signal })
    const read = reads ? reader.read() : undefined
    aborting.abort(error)
    await expect(read ?? reader.read()).rejects.toBe(error)
    expect(source.cancelledWith).toBe(error)
    expect(ends).toEqual([{ outcome: "failed", bytes: 0, error }])
  })

  test("that hides its failure lets a read wait until it is cancelled", async () => {
    const { source, ends, reader } = tap({ hidesFailure: true })
    const read = reader.read()
    source.controller.error(error)
    while (ends.length === 0) await Promise.resolve()
    await reader.cancel().catch(() => {})
    expect((await read).done).toBe(true)
    expect(ends).toEqual([{ outcome: "failed", bytes: 0, error }])
  })

  test("tells when it waits for who reads, and no more after its end", async () => {
    const waits: string[] = []
    const { source, reader } = tap({
      onWait: () => {
        waits.push("waits")
        return () => void waits.push("goes on")
      },
    })
    expect(waits.splice(0)).toEqual(["waits"])
    const read = reader.read()
    source.controller.enqueue(bytes)
    await read
    expect(waits.splice(0)).toEqual(["goes on", "waits"])
    await reader.cancel()
    expect(waits).toEqual(["goes on"])
  })
})
