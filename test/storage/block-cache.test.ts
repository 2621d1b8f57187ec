import { expect, test } from "vitest"
import { BlockCache } from "../../src/storage/block-cache.ts"
import { Random } from "../support/random.ts"

test("holds what its capacity allows, the most recently used, as a list of them would", async () => {
  const random = new Random(1)
  const cache = new BlockCache(1000)
  const sources = [{}, {}, {}]
  /** Most recently used last. */
  let model: { source: object; offset: number; length: number }[] = []
  let expected = { hits: 0, misses: 0 }
  for (let round = 0; round < 5000; round++) {
    const source = sources[random.below(3)]!
    if (random.below(100) === 0) {
      cache.forget(source)
      model = model.filter((block) => block.source !== source)
    }
    const offset = random.below(12)
    const length = offset === 11 ? 1500 : 20 * (offset + 1)
    let loaded = false
    const bytes = await cache.get(source, offset, async () => {
      loaded = true
      return new Uint8Array(length).fill(offset)
    })
    expect(bytes).toEqual(new Uint8Array(length).fill(offset))
    const known = model.find((block) => block.source === source && block.offset === offset)
    expect(loaded).toBe(known === undefined)
    expected = known ? { ...expected, hits: expected.hits + 1 } : { ...expected, misses: expected.misses + 1 }
    // A block that has no room by itself leaves the others there.
    if (length <= 1000) model = [...model.filter((block) => block !== known), { source, offset, length }]
    while (model.reduce((sum, block) => sum + block.length, 0) > 1000) model.shift()
    const heldBytes = model.reduce((sum, block) => sum + block.length, 0)
    expect(cache.stats).toEqual({ ...expected, bytes: heldBytes, capacity: 1000 })
  }
})

test("calls at the same time share a load, a failed one is not kept, a forgotten one neither", async () => {
  const cache = new BlockCache(100)
  const source = {}
  let loads = 0
  let settle: (result: Uint8Array | Error) => void = () => {}
  const load = () => {
    loads++
    return new Promise<Uint8Array>((resolve, reject) => {
      settle = (result) => (result instanceof Error ? reject(result) : resolve(result))
    })
  }
  const failing = [cache.get(source, 0, load), cache.get(source, 0, load)]
  settle(new Error("no"))
  for (const call of failing) await expect(call).rejects.toThrow("no")
  expect(loads).toBe(1)
  const forgotten = cache.get(source, 0, load)
  expect(loads).toBe(2)
  cache.forget(source)
  settle(Uint8Array.of(1))
  expect(await forgotten).toEqual(Uint8Array.of(1))
  expect(cache.stats.bytes).toBe(0)
  const again = cache.get(source, 0, load)
  settle(Uint8Array.of(2))
  expect(await again).toEqual(Uint8Array.of(2))
  expect(await cache.get(source, 0, load)).toEqual(Uint8Array.of(2))
  expect(loads).toBe(3)
  expect(cache.stats).toEqual({ bytes: 1, capacity: 100, hits: 2, misses: 3 })
})
