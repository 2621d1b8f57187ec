import { expect, test } from "vitest"
import { fuseReciprocalRank, fuseWeighted } from "../../src/collection/fusion.ts"

const candidate = (docOrd: number, textScore: number | undefined, vectorScore: number | undefined) => ({
  segment: 0,
  docOrd,
  textScore,
  vectorScore,
})
const scores = (hits: readonly { docOrd: number; score: number }[]) => hits.map(({ docOrd, score }) => [docOrd, score])

test("weighted: text over the best text score, cosines below 0 as 0, weights relative to their sum", () => {
  const hits = fuseWeighted([candidate(0, 8, -0.5), candidate(1, 4, 0.6), candidate(2, undefined, 0.9)], {
    textWeight: 3,
    vectorWeight: 1,
    bestText: 8,
    metric: "cosine",
  })
  // (3 × 8/8 + 0) / 4, (3 × 4/8 + .6) / 4, (0 + .9) / 4
  expect(scores(hits)).toEqual([
    [0, 0.75],
    [1, expect.closeTo(0.525, 12)],
    [2, expect.closeTo(0.225, 12)],
  ])
})

test("weighted: dot products keep their order, also where all are negative", () => {
  const options = { textWeight: 0, vectorWeight: 1, bestText: 1, metric: "dot" } as const
  expect(scores(fuseWeighted([candidate(0, 1, -9), candidate(1, 1, -1), candidate(2, 1, -5)], options))).toEqual([
    [1, 1],
    [2, 0.5],
    [0, 0],
  ])
  expect(scores(fuseWeighted([candidate(0, 1, 2), candidate(1, 1, 8)], options))).toEqual([
    [1, 1],
    [0, 0.25],
  ])
})

test("reciprocal rank: 1 / (k + rank) from each side that has the document, ties in the order of writing", () => {
  const hits = fuseReciprocalRank(
    [
      candidate(0, 1, undefined),
      candidate(1, 5, 0.2),
      candidate(2, undefined, 0.2),
      candidate(3, undefined, undefined),
    ],
    60,
  )
  expect(scores(hits)).toEqual([
    [1, 1 / 61 + 1 / 61],
    [0, 1 / 62],
    [2, 1 / 62],
    [3, 0],
  ])
})
