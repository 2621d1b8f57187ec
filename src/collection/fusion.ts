import type { Metric } from "../engine/vector-index.ts"

/** One document that the text side, the vector side or both found. A side that does not match it scores undefined. */
export interface Candidate {
  /** Place of its segment in the searcher, then its ordinal there: together the order of ties. */
  readonly segment: number
  readonly docOrd: number
  readonly textScore: number | undefined
  readonly vectorScore: number | undefined
}

export interface FusedHit {
  readonly segment: number
  readonly docOrd: number
  readonly score: number
}

/** Convex combination of normalised scores, each in 0..1 (Bruch, Gai & Ingber, arXiv:2210.11934, "TM2C2").
 *  Text has the theoretical minimum 0 and is divided by the best score of the query over all matches.
 *  Vectors: a cosine below 0 counts as 0, because mapping -1..1 onto 0..1 halves the spread of the half in which real
 *  embeddings lie (nDCG@10 on SciFact .709 so, .698 mapped); 1 / (1 + L2) is in range; a dot product has no bound and is
 *  taken between the candidates' lowest, at most 0, and best. Weights are taken relative to their sum. */
export function fuseWeighted(
  candidates: readonly Candidate[],
  options: { textWeight: number; vectorWeight: number; bestText: number; metric: Metric },
): FusedHit[] {
  const weightSum = options.textWeight + options.vectorWeight
  // 0..1 for a bounded metric; a dot product reaches from its lowest candidate, if below 0, to its best.
  let [lowest, best] = [0, 1]
  if (options.metric === "dot") {
    const scores = candidates.flatMap(({ vectorScore }) => vectorScore ?? [])
    lowest = scores.reduce((low, score) => Math.min(low, score), 0)
    best = scores.reduce((high, score) => Math.max(high, score), lowest)
  }
  const normalised = (score: number | undefined) =>
    score === undefined || best === lowest ? 0 : Math.max(0, score - lowest) / (best - lowest)
  return ranked(
    candidates.map((candidate) => {
      const text = options.bestText > 0 ? (candidate.textScore ?? 0) / options.bestText : 0
      const vector = normalised(candidate.vectorScore)
      return fused(candidate, (options.textWeight * text + options.vectorWeight * vector) / weightSum)
    }),
  )
}

/** Reciprocal rank fusion: Σ 1 / (k + rank), ranks from 1 (Cormack, Clarke & Büttcher, SIGIR 2009). A side that does
 *  not match a document adds nothing for it. */
export function fuseReciprocalRank(candidates: readonly Candidate[], k: number): FusedHit[] {
  const scores = new Float64Array(candidates.length)
  for (const side of ["textScore", "vectorScore"] as const) {
    const found = [...candidates.keys()].filter((place) => candidates[place]?.[side] !== undefined)
    found.sort(
      (a, b) =>
        (candidates[b]?.[side] ?? 0) - (candidates[a]?.[side] ?? 0) ||
        byPlace(candidates[a] as Candidate, candidates[b] as Candidate),
    )
    found.forEach((place, rank) => {
      scores[place] = (scores[place] ?? 0) + 1 / (k + rank + 1)
    })
  }
  return ranked(candidates.map((candidate, place) => fused(candidate, scores[place] ?? 0)))
}

/** Sorts best first; equal scores keep the order in which the documents were written. */
export function ranked(hits: FusedHit[]): FusedHit[] {
  return hits.sort((a, b) => b.score - a.score || byPlace(a, b))
}

function fused(candidate: Candidate, score: number): FusedHit {
  return { segment: candidate.segment, docOrd: candidate.docOrd, score }
}

function byPlace(a: { segment: number; docOrd: number }, b: { segment: number; docOrd: number }): number {
  return a.segment - b.segment || a.docOrd - b.docOrd
}
