import { expect, test } from "vitest"
import { Engine } from "../../src/engine/engine.ts"
import { Random } from "../support/random.ts"

const PAGE_BYTES = 65_536

/** Fills a region with a byte of its own and notices every byte that somebody else changed. */
function expectFilled(engine: Engine, region: number, bytes: number, mark: number): void {
  const seen = engine.bytes.subarray(region, region + bytes)
  expect(seen.every((byte) => byte === mark)).toBe(true)
}

test("regions never overlap, are zeroed and aligned, and all pages come back", () => {
  const engine = new Engine()
  const random = new Random(1)
  const open: { region: number; bytes: number; mark: number }[] = []
  for (let step = 0; step < 600; step++) {
    if (open.length > 0 && random.unit() < 0.48) {
      const [taken] = open.splice(random.below(open.length), 1)
      if (!taken) continue
      expectFilled(engine, taken.region, taken.bytes, taken.mark)
      engine.abi.regionFree(taken.region)
    } else {
      const bytes = random.below(random.unit() < 0.1 ? 20 * PAGE_BYTES : 2 * PAGE_BYTES)
      const region = engine.abi.regionAlloc(bytes) >>> 0
      expect(region % 64).toBe(0)
      expect(region + bytes).toBeLessThanOrEqual(engine.bytes.length)
      expectFilled(engine, region, bytes, 0)
      const mark = 1 + (step % 255)
      engine.bytes.fill(mark, region, region + bytes)
      open.push({ region, bytes, mark })
    }
    const pages = open.reduce((sum, { bytes }) => sum + Math.ceil((bytes + 64) / PAGE_BYTES), 0)
    expect(engine.memoryInUse).toBe(pages * PAGE_BYTES)
  }
  const sorted = open.toSorted((a, b) => a.region - b.region)
  for (const [i, { region, bytes }] of sorted.entries()) {
    expect(region + bytes).toBeLessThanOrEqual(sorted[i + 1]?.region ?? Infinity)
  }
  for (const { region } of open) engine.abi.regionFree(region)
  expect(engine.memoryInUse).toBe(0)
})

test("regions that come and go for ever do not let memory grow for ever", () => {
  const engine = new Engine()
  const random = new Random(2)
  const open: { region: number; pages: number }[] = []
  let pagesOpen = 0
  let peakPages = 0
  for (let step = 0; step < 30_000; step++) {
    const pages = 1 + random.below(random.unit() < 0.05 ? 60 : 6)
    while (open.length > 0 && (pagesOpen + pages > 300 || random.unit() < 0.3)) {
      const [taken] = open.splice(random.below(open.length), 1)
      engine.abi.regionFree(taken?.region ?? 0)
      pagesOpen -= taken?.pages ?? 0
    }
    open.push({ region: engine.abi.regionAlloc(pages * PAGE_BYTES - 64), pages })
    pagesOpen += pages
    peakPages = Math.max(peakPages, pagesOpen)
  }
  // First fit needs up to about log2(largest / smallest) times the peak in the worst case (Robson 1977); twice is plenty here.
  expect(engine.bytes.length / PAGE_BYTES).toBeLessThan(2 * peakPages)
})

test("a region that grows by half again and again finds the place of its predecessors", () => {
  const engine = new Engine()
  let region = engine.abi.regionAlloc(PAGE_BYTES)
  let bytes = PAGE_BYTES
  while (bytes < 64 * 2 ** 20) {
    bytes = Math.ceil(bytes * 1.5)
    const next = engine.abi.regionAlloc(bytes)
    engine.abi.regionFree(region)
    region = next
  }
  expect(engine.bytes.length).toBeLessThan(4 * bytes)
})

test("more than there is gives 0 and changes nothing", () => {
  const engine = new Engine()
  const region = engine.abi.regionAlloc(100)
  const pages = engine.bytes.length
  expect(engine.abi.regionAlloc(2 ** 32 - 1)).toBe(0)
  expect(engine.bytes.length).toBe(pages)
  expect(engine.memoryInUse).toBe(PAGE_BYTES)
  engine.abi.regionFree(region)
})

test("freeing twice, or what is no region, traps", () => {
  const engine = new Engine()
  const [a, b, c] = [engine.abi.regionAlloc(1), engine.abi.regionAlloc(1), engine.abi.regionAlloc(1)]
  engine.abi.regionFree(a)
  expect(() => engine.abi.regionFree(a)).toThrow(WebAssembly.RuntimeError)
  engine.abi.regionFree(b)
  expect(() => engine.abi.regionFree(b)).toThrow(WebAssembly.RuntimeError)
  expect(() => engine.abi.regionFree(c + 64)).toThrow(WebAssembly.RuntimeError)
  expect(() => engine.abi.regionFree(0)).not.toThrow()
})
