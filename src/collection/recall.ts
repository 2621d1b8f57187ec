import { PrismError } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import { ranked } from "./fusion.ts"
import type { Segment } from "./segment.ts"

export interface RecallOptions {
  /** Stored vectors that are looked for. Default 100, all where there are fewer. */
  readonly samples?: number
  /** Neighbours of each. Default 10. */
  readonly k?: number
  /** Candidates that a search keeps; the schema's by default. */
  readonly ef?: number
  /** Another seed takes other samples. */
  readonly seed?: number
  readonly signal?: AbortSignal
}

export interface RecallReport {
  /** Share of the true neighbours that were found, 0 to 1; null where there is no vector to look for. */
  readonly recall: number | null
  readonly samples: number
  readonly k: number
  readonly ef: number
}

/** Recall@k of the graphs of segments whose vectors are loaded, against comparing with every vector. A sample finds
 *  itself, in both. */
export async function sampleRecall(
  segments: readonly Segment[],
  { samples = 100, k = 10, ef, seed = 1, signal }: RecallOptions & { ef: number },
): Promise<RecallReport> {
  for (const [name, value] of Object.entries({ samples, k, ef })) {
    if (!Number.isSafeInteger(value) || value < 1) {
      throw new PrismError("INVALID_REQUEST", `${name} must be a whole number from 1 on, not ${value}`)
    }
  }
  const queries = sampleVectors(segments, samples, seed)
  let wanted = 0
  let found = 0
  for (const query of queries) {
    const exact = nearest(segments, query, k, Number.MAX_SAFE_INTEGER)
    const walked = new Set(nearest(segments, query, k, ef))
    wanted += exact.length
    found += exact.filter((hit) => walked.has(hit)).length
    await letOthersRun()
    signal?.throwIfAborted()
  }
  return { recall: wanted === 0 ? null : found / wanted, samples: queries.length, k, ef }
}

/** The k nearest live documents; an `ef` beyond the number of vectors compares with all of them. */
function nearest(segments: readonly Segment[], query: Float32Array, k: number, ef: number): string[] {
  const hits = segments.flatMap(({ vector, live }, segment) => {
    if (!vector) return []
    const { docOrds, scores } = vector.search(query, { k, ef, accept: live })
    return [...docOrds].map((docOrd, place) => ({ segment, docOrd, score: scores[place] as number }))
  })
  return ranked(hits)
    .slice(0, k)
    .map(({ segment, docOrd }) => `${segment}/${docOrd}`)
}

/** Vectors of live documents at even steps from a start that the seed decides. */
function sampleVectors(segments: readonly Segment[], samples: number, seed: number): Float32Array[] {
  const counts = segments.map(({ vector, live }) => vector?.countAccepted(live) ?? 0)
  const total = counts.reduce((sum, count) => sum + count, 0)
  const documents = segments.reduce((sum, { documentCount }) => sum + documentCount, 0)
  const vectors: Float32Array[] = []
  if (total === 0) return vectors
  // Documents that are deleted or have no vector are stepped over: so about as many more are looked at.
  const looks = Math.min(documents, Math.ceil((samples * documents) / total))
  const start = (seed * 0x9e3779b1) % documents
  for (let look = 0; look < looks && vectors.length < samples; look++) {
    let docOrd = Math.floor(start + (look * documents) / looks) % documents
    for (const { documentCount, live, vector } of segments) {
      if (docOrd >= documentCount) {
        docOrd -= documentCount
        continue
      }
      const found = live.has(docOrd) ? vector?.vector(docOrd) : undefined
      if (found) vectors.push(found)
      break
    }
  }
  return vectors
}
