import fc from "fast-check"
import { expect, test } from "vitest"
import { buildBytes, chooseMerge, type MergeCandidate, planOptimize } from "../src/collection/compaction.ts"

const clean = (level: number, documents = 10): MergeCandidate => ({
  level,
  documentCount: documents,
  liveCount: documents,
  graphWaste: 0,
  bytes: documents,
})

/** Merges until there is nothing to do; returns the segments and how often a document was rewritten. */
function settle(segments: MergeCandidate[], options: { mergeFactor: number; bytesMax: number }) {
  let left = segments
  let rewritten = 0
  for (let run = chooseMerge(left, options); run; run = chooseMerge(left, options)) {
    const merged = left.slice(run.first, run.end)
    const live = merged.reduce((sum, { liveCount }) => sum + liveCount, 0)
    expect(merged.reduce((sum, { bytes }) => sum + bytes, 0)).toBeLessThanOrEqual(
      Math.max(options.bytesMax, merged.length === 1 ? Number.POSITIVE_INFINITY : 0),
    )
    const level = Math.max(...merged.map((one) => one.level)) + (merged.length > 1 ? 1 : 0)
    left = [...left.slice(0, run.first), clean(level, live), ...left.slice(run.end)]
    rewritten += live
  }
  return { left, rewritten }
}

test("eight neighbours of a level become one of the next, and never more than seven of one stay", () => {
  const options = { mergeFactor: 8, bytesMax: Number.POSITIVE_INFINITY }
  let segments: MergeCandidate[] = []
  let rewritten = 0
  for (let sealed = 1; sealed <= 1000; sealed++) {
    const settled = settle([...segments, clean(0, 1)], options)
    segments = settled.left
    rewritten += settled.rewritten
    // As the digits of a number to the base of 8.
    const digits = [...sealed.toString(8)].map(Number)
    const counts = digits.map((_, place) => segments.filter(({ level }) => level === digits.length - 1 - place).length)
    expect(counts).toEqual(digits)
  }
  // log8(1000) is 3.3: no document was merged more than three times.
  expect(rewritten).toBeLessThanOrEqual(3 * 1000)
})

test("small segments between large ones, as merged restores leave them, are merged in the end", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 3 }), { maxLength: 60 }), (levels) => {
      const { left } = settle(
        levels.map((level) => clean(level)),
        { mergeFactor: 4, bytesMax: 1e9 },
      )
      const longest = (isOf: (level: number) => boolean) => {
        let most = 0
        let run = 0
        for (const { level } of left) {
          run = isOf(level) ? run + 1 : 0
          most = Math.max(most, run)
        }
        return most
      }
      for (let level = 0; level <= Math.max(0, ...left.map((one) => one.level)); level++) {
        expect(longest((one) => one === level)).toBeLessThan(4)
        expect(longest((one) => one <= level)).toBeLessThan(4 * (level + 2))
      }
      expect(left.reduce((sum, { liveCount }) => sum + liveCount, 0)).toBe(levels.length * 10)
    }),
    { seed: 1, numRuns: 300 },
  )
})

test("what one engine cannot build is not merged", () => {
  const options = { mergeFactor: 2, bytesMax: 100 }
  expect(chooseMerge([clean(0, 60), clean(0, 60)], options)).toBeUndefined()
  expect(chooseMerge([clean(0, 60), clean(0, 60), clean(0, 40)], options)).toEqual({ first: 1, end: 3 })
  expect(chooseMerge([clean(0, 200), clean(0, 50), clean(0, 50)], options)).toEqual({ first: 1, end: 3 })
  expect(planOptimize([clean(1, 60), clean(0, 60), clean(0, 40), clean(0, 10)], 100)).toEqual([{ first: 1, end: 3 }])
})

test("a segment of which more than a third is deleted is rewritten", () => {
  const options = { mergeFactor: 8, bytesMax: 100 }
  const of = (liveCount: number) => ({ ...clean(2, 30), liveCount })
  expect(chooseMerge([of(30), of(20)], options)).toBeUndefined()
  expect(chooseMerge([of(30), of(19)], options)).toEqual({ first: 1, end: 2 })
  expect(chooseMerge([of(0)], options)).toEqual({ first: 0, end: 1 })
})

test("optimize plans one segment of all that fits, and nothing where nothing is to do", () => {
  expect(planOptimize([], 100)).toEqual([])
  expect(planOptimize([clean(3)], 100)).toEqual([])
  expect(planOptimize([{ ...clean(3), liveCount: 9 }], 100)).toEqual([{ first: 0, end: 1 }])
  expect(planOptimize([clean(3), clean(0), clean(0)], 100)).toEqual([{ first: 0, end: 3 }])
})

test("a graph takes its memory however many documents of its segment are deleted", () => {
  const file = (length: number) => ({ path: "", length, sha256: "" })
  const entry = { id: 1, documentCount: 10, deletedCount: 0, vectorCount: 10, level: 0 }
  const files = { text: file(100), documents: file(100) }
  const estimate = (live: number, graph: number) =>
    buildBytes({ ...entry, files: { ...files, ...(graph && { graph: file(graph) }) } }, live, undefined)
  expect([estimate(10, 0), estimate(1, 0)]).toEqual([600, 60])
  for (const live of [0, 1, 10]) expect(estimate(live, 1000) - estimate(live, 0)).toBe(4000)
  const vector = { dimension: 64, metric: "dot", m: 16, efConstruction: 100 } as const
  const withVectors = (live: number) => buildBytes({ ...entry, files }, live, vector)
  expect(withVectors(5)).toBe(Math.ceil(withVectors(10) / 2))
})
