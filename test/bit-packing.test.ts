import { expect, test } from "vitest"
import { Engine } from "../src/engine/engine.ts"
import { Random } from "./support/random.ts"

const engine = new Engine()
const { abi } = engine
const values = abi.regionAlloc(3 * 1024) >>> 0
const packed = values + 1024
const unpacked = values + 2048

const u32 = (address: number, length: number) => new Uint32Array(engine.bytes.buffer, address, length)

/** The layout in words: value i is in lane i % 4, at bits (i >> 2) * width of that lane's stream of 32-bit words. */
function naivePack(input: Uint32Array, width: number): Uint32Array {
  const words = new Uint32Array(4 * width)
  for (const [i, value] of input.entries()) {
    for (let bit = 0; bit < width; bit++) {
      if (((value >>> bit) & 1) === 0) continue
      const at = (i >> 2) * width + bit
      const word = (at >> 5) * 4 + (i % 4)
      words[word] = ((words[word] ?? 0) | (1 << (at % 32))) >>> 0
    }
  }
  return words
}

test.each(Array.from({ length: 33 }, (_, width) => width))("128 values of %d bits", (width) => {
  const random = new Random(width)
  const mask = width === 32 ? 0xffff_ffff : 2 ** width - 1
  const inputs = [
    Uint32Array.from({ length: 128 }, () => (random.bits() & mask) >>> 0),
    new Uint32Array(128).fill(mask),
    new Uint32Array(128),
    Uint32Array.from({ length: 128 }, (_, i) => (i === width ? mask : 0)),
  ]
  for (const input of inputs) {
    u32(values, 128).set(input)
    u32(packed, 256).fill(0xdead_beef)
    abi.pack128(width, values, packed)
    expect(u32(packed, 4 * width)).toEqual(naivePack(input, width))
    expect(u32(packed + 16 * width, 4)).toEqual(new Uint32Array(4).fill(0xdead_beef))
    u32(unpacked, 132).fill(0xdead_beef)
    abi.unpack128(width, packed, unpacked)
    expect(u32(unpacked, 128)).toEqual(input)
    expect(u32(unpacked + 512, 4)).toEqual(new Uint32Array(4).fill(0xdead_beef))
    expect(abi.width128(values)).toBe(32 - Math.clz32(input.reduce((all, value) => all | value, 0)))
  }
})

test("gaps add up to ordinals, modulo 2³²", () => {
  const random = new Random(99)
  for (const previous of [0xffff_ffff, 0, 77, 0xffff_ff00]) {
    const gaps = Uint32Array.from({ length: 128 }, () => random.bits() >>> (random.below(4) * 8))
    u32(values, 128).set(gaps)
    abi.ordinalsFromGaps(values, previous)
    let ordinal = previous
    expect(u32(values, 128)).toEqual(gaps.map((gap) => (ordinal = (ordinal + gap + 1) >>> 0)))
  }
})
