import { expect, test } from "vitest"
import { Engine } from "../../src/engine/engine.ts"
import { copyIn } from "../../src/engine/memory.ts"
import { Random } from "../support/random.ts"

function crc32c(engine: Engine, bytes: Uint8Array, seed = 0): number {
  const region = copyIn(engine, bytes)
  const crc = engine.abi.crc32c(region, bytes.length, seed) >>> 0
  engine.abi.regionFree(region)
  return crc
}

/** A bit at a time, straight from the polynomial 0x1EDC6F41. */
function crc32cOfBits(bytes: Uint8Array): number {
  let crc = 0xffffffff
  for (const byte of bytes) {
    crc ^= byte
    for (let bit = 0; bit < 8; bit++) crc = crc & 1 ? (crc >>> 1) ^ 0x82f63b78 : crc >>> 1
  }
  return ~crc >>> 0
}

test("crc32c gives the checksums of RFC 3720, B.4", () => {
  const engine = new Engine()
  const ascending = Uint8Array.from({ length: 32 }, (_, i) => i)
  expect(crc32c(engine, new Uint8Array(32))).toBe(0x8a9136aa)
  expect(crc32c(engine, new Uint8Array(32).fill(0xff))).toBe(0x62a8ab43)
  expect(crc32c(engine, ascending)).toBe(0x46dd794e)
  expect(crc32c(engine, ascending.toReversed())).toBe(0x113fdb5c)
  expect(crc32c(engine, new TextEncoder().encode("123456789"))).toBe(0xe3069283)
})

test("crc32c of any length, whole or in two pieces, is that of the bitwise definition", () => {
  const engine = new Engine()
  const random = new Random(6)
  for (let length = 0; length < 80; length++) {
    const bytes = Uint8Array.from({ length }, () => random.bits())
    const cut = random.below(length + 1)
    expect(crc32c(engine, bytes)).toBe(crc32cOfBits(bytes))
    expect(crc32c(engine, bytes.subarray(cut), crc32c(engine, bytes.subarray(0, cut)))).toBe(crc32cOfBits(bytes))
  }
})
