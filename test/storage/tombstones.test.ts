import { expect, test, vi } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import { decodeTombstones, encodeTombstones, readTombstones } from "../../src/storage/tombstones.ts"

const SET = Uint8Array.of(3, 0, 0, 0, 7, 1, 2, 255)
const FILE = encodeTombstones(SET, 5)

function refused(bytes: Uint8Array, documentCount = 5): string {
  try {
    decodeTombstones(bytes, "text/000001.live", documentCount)
  } catch (error) {
    if (error instanceof PrismError && error.message.includes("text/000001.live")) return error.code
    throw error
  }
  return "nothing"
}

test("a set of live documents comes back as it was", () => {
  expect(decodeTombstones(FILE, "a", 5)).toEqual(SET)
  expect(decodeTombstones(encodeTombstones(new Uint8Array(0), 0), "a", 0)).toEqual(new Uint8Array(0))
})

test("every cut is TRUNCATED, every flipped byte and every other segment's file CORRUPT", () => {
  for (let cut = 0; cut < FILE.length; cut++) expect(refused(FILE.subarray(0, cut))).toBe("TRUNCATED")
  for (let at = 0; at < FILE.length; at++) {
    const flipped = FILE.slice()
    flipped[at]! ^= 0x40
    expect(["CORRUPT", "TRUNCATED"], `byte ${at}`).toContain(refused(flipped))
  }
  expect(refused(Uint8Array.of(...FILE, 0))).toBe("CORRUPT")
  expect(refused(FILE, 6)).toBe("CORRUPT")
})

test("a file that is too long for its documents is refused before it is read", async () => {
  const read = vi.fn<() => Promise<Uint8Array>>(async () => FILE)
  const file = { path: "a", size: 2 ** 40, read, close: async () => {}, [Symbol.asyncDispose]: async () => {} }
  await expect(readTombstones({ open: async () => file }, "a", 5)).rejects.toMatchObject({
    code: "CORRUPT",
    place: "a",
  })
  expect(read).not.toHaveBeenCalled()
})
