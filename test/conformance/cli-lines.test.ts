import { describe, expect, test } from "vitest"
import { encodeUtf8 } from "../../src/base/bytes.ts"
import { chunksOf, peek } from "../../src/base/streams.ts"
import { readLines } from "../../src/formats/lines.ts"
import { chunked, streamOf } from "../support/fake-runtime.ts"

async function linesOf(bytes: Uint8Array, chunkBytes: number, bytesMax = 10) {
  const lines = []
  for await (const batch of readLines(chunksOf(streamOf(chunked(bytes, chunkBytes))), { bytesMax }))
    lines.push(...batch)
  return lines.map(({ number, text, problem, ended }) => [number, problem?.code ?? text, ended])
}

describe("lines", () => {
  const text = "\ufeffone\r\n\ntwo\u00e9\n\r\n0123456789\n0123456789\r\n0123456789a\nlast"
  const expected = [
    [1, "one", true],
    [2, "", true],
    [3, "two\u00e9", true],
    [4, "", true],
    [5, "0123456789", true],
    [6, "0123456789", true],
    [7, "LIMIT_EXCEEDED", true],
    [8, "last", false],
  ]

  test("are the same however the bytes come in", async () => {
    const bytes = encodeUtf8(text)
    for (let size = 1; size <= bytes.length; size++) expect(await linesOf(bytes, size)).toEqual(expected)
  })

  test("that are not UTF-8 are a problem of their own", async () => {
    const bytes = Uint8Array.of(0x61, 0x0a, 0xff, 0x0a, 0x62, 0x0a)
    expect(await linesOf(bytes, 2)).toEqual([
      [1, "a", true],
      [2, "INVALID_FORMAT", true],
      [3, "b", true],
    ])
  })

  test("over the limit are read past without being held", async () => {
    let given = 0
    async function* endless() {
      for (; given < 100; given++) yield new Uint8Array(1_000_000).fill(0x61)
      yield encodeUtf8("\nnext\n")
    }
    const lines = []
    for await (const batch of readLines(endless(), { bytesMax: 1000 })) lines.push(...batch)
    expect(lines.map(({ number, problem, text }) => [number, problem?.message ?? text])).toEqual([
      [1, "line is 100000000 bytes long, the limit is 1000"],
      [2, "next"],
    ])
  })

  test("of nothing are none", async () => {
    expect(await linesOf(new Uint8Array(), 1)).toEqual([])
  })
})

describe("streams", () => {
  test("looking at the beginning takes nothing away", async () => {
    const bytes = encodeUtf8("0123456789")
    for (const size of [1, 3, 10]) {
      for (const length of [0, 1, 4, 10, 20]) {
        const { head, stream } = await peek(streamOf(chunked(bytes, size)), length)
        expect(head).toEqual(bytes.subarray(0, length))
        const whole: number[] = []
        for await (const chunk of chunksOf(stream)) whole.push(...chunk)
        expect(whole).toEqual([...bytes])
      }
    }
  })

  test("a read that waits ends when it is interrupted", async () => {
    const abort = new AbortController()
    const seen: number[] = []
    const reading = (async () => {
      for await (const chunk of chunksOf(streamOf([Uint8Array.of(7)], false), abort.signal)) {
        seen.push(...chunk)
        queueMicrotask(() => abort.abort(new Error("stop")))
      }
    })()
    await expect(reading).rejects.toThrow("stop")
    expect(seen).toEqual([7])
  })
})
