import { expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import { DocSet } from "../../src/engine/doc-set.ts"
import { Engine } from "../../src/engine/engine.ts"
import { Random } from "../support/random.ts"

function randomPair(engine: Engine, random: Random, docCount: number): { docSet: DocSet; twin: Set<number> } {
  const docSet = DocSet.create(engine, docCount)
  const twin = new Set<number>()
  for (let step = 0; step < docCount; step++) {
    const docOrd = random.below(docCount)
    if (random.unit() < 0.7) {
      expect(docSet.add(docOrd)).toBe(!twin.has(docOrd))
      twin.add(docOrd)
    } else {
      expect(docSet.remove(docOrd)).toBe(twin.delete(docOrd))
    }
  }
  return { docSet, twin }
}

function expectSame(docSet: DocSet, twin: Set<number>): void {
  const members = Array.from({ length: docSet.docCount }, (_, docOrd) => docOrd).filter((docOrd) => docSet.has(docOrd))
  expect(members).toEqual([...twin].toSorted((a, b) => a - b))
  expect(docSet.count).toBe(twin.size)
}

test("a DocSet does what a Set does", () => {
  const engine = new Engine()
  const random = new Random(3)
  for (const docCount of [0, 1, 63, 64, 65, 127, 128, 129, 500, 1000]) {
    for (const otherCount of [docCount, Math.floor(docCount / 2), docCount + 77]) {
      const { docSet: other, twin: otherTwin } = randomPair(engine, random, otherCount)
      const { docSet, twin } = randomPair(engine, random, docCount)
      expectSame(docSet, twin)

      docSet.andNot(other)
      for (const docOrd of otherTwin) twin.delete(docOrd)
      expectSame(docSet, twin)

      docSet.or(other)
      for (const docOrd of otherTwin) if (docOrd < docCount) twin.add(docOrd)
      expectSame(docSet, twin)

      if (twin.has(0)) expect(docSet.remove(0)).toBe(twin.delete(0))
      docSet.and(other)
      for (const docOrd of twin) if (!otherTwin.has(docOrd)) twin.delete(docOrd)
      expectSame(docSet, twin)

      docSet.fill()
      expectSame(docSet, new Set(Array.from({ length: docCount }, (_, docOrd) => docOrd)))
      docSet.close()
      other.close()
    }
  }
  expect(engine.memoryInUse).toBe(0)
})

test("a DocSet that grows keeps what it holds, and the new documents are not in it", () => {
  const engine = new Engine()
  const random = new Random(4)
  const docSet = DocSet.create(engine, 0)
  const twin = new Set<number>()
  for (let docCount = 1; docCount < 3_000_000; docCount = Math.ceil(docCount * 2.7)) {
    docSet.grow(docCount)
    expect(docSet.docCount).toBe(docCount)
    expect(docSet.count).toBe(twin.size)
    for (let i = 0; i < 20; i++) {
      const docOrd = random.below(docCount)
      expect(docSet.add(docOrd)).toBe(!twin.has(docOrd))
      twin.add(docOrd)
    }
    if (docCount < 10_000) expectSame(docSet, twin)
  }
  for (const docOrd of twin) expect(docSet.has(docOrd)).toBe(true)
  docSet.grow(5)
  expect(docSet.docCount).toBeGreaterThan(5)
  docSet.close()
  expect(engine.memoryInUse).toBe(0)
})

test("a DocSet comes back from its bytes, and bytes of another length are refused", () => {
  const engine = new Engine()
  const random = new Random(5)
  for (const docCount of [0, 1, 8, 9, 200]) {
    using docSet = randomPair(engine, random, docCount).docSet
    const bytes = docSet.toBytes()
    expect(bytes.length).toBe(Math.ceil(docCount / 8))
    using back = DocSet.fromBytes(engine, bytes, docCount)
    expect(back.toBytes()).toEqual(bytes)
    expect(back.count).toBe(docSet.count)
    expect(() => DocSet.fromBytes(engine, new Uint8Array(bytes.length + 1), docCount)).toThrow(PrismError)
  }
  expect(() => DocSet.fromBytes(engine, Uint8Array.of(0b100), 2)).toThrow(PrismError) // a bit that stands for no document
  expect(engine.memoryInUse).toBe(0)
})

test("gather keeps of a set what concerns the members of another, as their ranks", () => {
  const engine = new Engine()
  const random = new Random(4)
  for (const docCount of [0, 1, 64, 65, 200, 1000]) {
    const [members, now] = [randomPair(engine, random, docCount), randomPair(engine, random, docCount + 70)]
    const target = DocSet.create(engine, members.docSet.count + 5)
    expect(target.gather(5, members.docSet, now.docSet)).toBe(members.docSet.count + 5)
    const ranks = [...members.twin].toSorted((a, b) => a - b)
    expectSame(target, new Set(ranks.flatMap((docOrd, rank) => (now.twin.has(docOrd) ? [5 + rank] : []))))
    const copy = members.docSet.copy()
    expectSame(copy, members.twin)
    for (const set of [members.docSet, now.docSet, target, copy]) set.close()
  }
})
