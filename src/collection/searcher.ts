import { assert } from "../base/errors.ts"
import { DocSet } from "../engine/doc-set.ts"
import type { Engine } from "../engine/engine.ts"
import { compileQuery, type QueryProgram, termsOf } from "../engine/query.ts"
import { combinedStatistics } from "../engine/text-index.ts"
import { type Candidate, type FusedHit, fuseReciprocalRank, fuseWeighted, ranked } from "./fusion.ts"
import type { Schema } from "./schema.ts"
import type { SearchPlan } from "./search-request.ts"
import { allOf, type Segment } from "./segment.ts"

/** Each side of a hybrid search brings at least this many candidates, so that a document that is good on both sides and
 *  best on neither is there to be ranked. (SciFact: nDCG@10 changes by less than .001 from 100 on.) */
const HYBRID_CANDIDATES = 100

export interface FoundDocuments {
  /** Ranked best first: the requested page and everything before it. */
  readonly hits: FusedHit[]
  /** Matching documents: those that the text query matches, or have a vector to compare. Of a hybrid search, those that
   *  the text query matches and the vector side's candidates. */
  readonly total: number
}

/** A plan that is compiled with the statistics of all segments. */
export interface CompiledSearch {
  readonly plan: SearchPlan
  readonly program: QueryProgram | undefined
  readonly filter: QueryProgram | undefined
}

/** Loads what statistics over the plan's terms need, and the graphs that it walks; undefined when all is there. */
export function loadForSearch(segments: readonly Segment[], plan: SearchPlan): Promise<unknown> | undefined {
  const terms = [plan.query, plan.filter].flatMap((query) => (query ? termsOf(query) : []))
  return allOf(segments.flatMap((segment) => [segment.text.prepareTerms(terms), plan.vector && segment.loadVectors()]))
}

/** Compiles a plan for segments that `loadForSearch` was called for. */
export function compileSearch(segments: readonly Segment[], schema: Schema, plan: SearchPlan): CompiledSearch {
  const statistics = combinedStatistics(
    segments.map(({ text }) => text),
    { k1: schema.text?.bm25K1 ?? 1.2, b: schema.text?.bm25B ?? 0.75 },
  )
  return {
    plan,
    // A search without query and vector finds everything that the filter lets through.
    program: plan.query || !plan.vector ? compileQuery(plan.query ?? { kind: "all" }, statistics) : undefined,
    filter: plan.filter && compileQuery(plan.filter, statistics),
  }
}

/** Loads the postings that a search reads; undefined when they are there. */
export function loadPostings(
  segments: readonly Segment[],
  { program, filter }: CompiledSearch,
): Promise<unknown> | undefined {
  const programs = [program, filter].filter((part) => part !== undefined)
  return allOf(segments.flatMap(({ text }) => programs.map((part) => text.prepare(part))))
}

/** Answers a search over segments that everything is loaded of, oldest first. Synchronous: nothing changes meanwhile. */
export function searchSegments(
  engine: Engine,
  segments: readonly Segment[],
  schema: Schema,
  { plan, program, filter }: CompiledSearch,
): FoundDocuments {
  const accepts = segments.map((segment) => accepted(segment, filter))
  try {
    const depth = plan.offset + plan.limit
    if (program && plan.vector) return hybrid(engine, segments, accepts, schema, plan, program)
    if (plan.vector) return vectorOnly(segments, accepts, plan, plan.vector, depth)
    assert(program, "a search has a query or a vector")
    return textOnly(segments, accepts, program, depth)
  } finally {
    for (const accept of accepts) accept.close()
  }
}

/** Live documents of a segment that the filter lets through. */
function accepted(segment: Segment, filter: QueryProgram | undefined): { set: DocSet | undefined; close(): void } {
  if (filter) {
    const set = segment.text.filter(filter)
    set.and(segment.live)
    return { set, close: () => set.close() }
  }
  const everyDocument = segment.liveCount === segment.documentCount
  return { set: everyDocument ? undefined : segment.live, close: () => {} }
}

type Accepts = readonly { readonly set: DocSet | undefined }[]

function accept(accepts: Accepts, segment: number): { accept?: DocSet } {
  const set = accepts[segment]?.set
  return set ? { accept: set } : {}
}

function textOnly(segments: readonly Segment[], accepts: Accepts, program: QueryProgram, k: number): FoundDocuments {
  const hits: FusedHit[] = []
  let total = 0
  for (const [segment, { text }] of segments.entries()) {
    const found = text.search(program, { k, ...accept(accepts, segment) })
    total += found.total
    found.docOrds.forEach((docOrd, place) => hits.push({ segment, docOrd, score: found.scores[place] as number }))
  }
  return { hits: ranked(hits).slice(0, k), total }
}

function vectorOnly(
  segments: readonly Segment[],
  accepts: Accepts,
  plan: SearchPlan,
  query: Float32Array,
  k: number,
): FoundDocuments {
  const hits: FusedHit[] = []
  let total = 0
  for (const [segment, { vector }] of segments.entries()) {
    if (!vector) continue
    total += vector.countAccepted(accepts[segment]?.set)
    const found = vector.search(query, { k, ef: plan.ef, ...accept(accepts, segment) })
    found.docOrds.forEach((docOrd, place) => hits.push({ segment, docOrd, score: found.scores[place] as number }))
  }
  return { hits: ranked(hits).slice(0, k), total }
}

function hybrid(
  engine: Engine,
  segments: readonly Segment[],
  accepts: Accepts,
  schema: Schema,
  plan: SearchPlan,
  program: QueryProgram,
): FoundDocuments {
  const depth = Math.max(HYBRID_CANDIDATES, plan.offset + plan.limit)
  const text = textOnly(segments, accepts, program, depth)
  const vector = vectorOnly(segments, accepts, plan, plan.vector as Float32Array, depth)

  const candidates: Candidate[] = []
  let matchedByVectorAlone = 0
  for (const [segment, index] of segments.entries()) {
    const textScores = scoresIn(text.hits, segment)
    const vectorScores = scoresIn(vector.hits, segment)
    completeVectorScores(index, plan.vector as Float32Array, textScores, vectorScores)
    completeTextScores(engine, index, program, textScores, vectorScores)
    for (const docOrd of new Set([...textScores.keys(), ...vectorScores.keys()])) {
      const textScore = textScores.get(docOrd)
      if (textScore === undefined) matchedByVectorAlone++
      candidates.push({ segment, docOrd, textScore, vectorScore: vectorScores.get(docOrd) })
    }
  }
  const hits =
    plan.mergeStrategy === "rrf"
      ? fuseReciprocalRank(candidates, plan.rrfK)
      : fuseWeighted(candidates, {
          textWeight: plan.textWeight,
          vectorWeight: plan.vectorWeight,
          bestText: text.hits[0]?.score ?? 0,
          metric: schema.vector?.distance ?? "cosine",
        })
  return { hits, total: text.total + matchedByVectorAlone }
}

function scoresIn(hits: readonly FusedHit[], segment: number): Map<number, number> {
  return new Map(hits.filter((hit) => hit.segment === segment).map((hit) => [hit.docOrd, hit.score]))
}

/** A document that only one side found is scored by the other side too, exactly. */
function completeVectorScores(
  segment: Segment,
  query: Float32Array,
  textScores: Map<number, number>,
  vectorScores: Map<number, number>,
): void {
  const missing = Uint32Array.from([...textScores.keys()].filter((docOrd) => !vectorScores.has(docOrd)))
  if (!segment.vector || missing.length === 0) return
  segment.vector.scores(query, missing).forEach((score, place) => {
    if (!Number.isNaN(score)) vectorScores.set(missing[place] as number, score)
  })
}

function completeTextScores(
  engine: Engine,
  segment: Segment,
  program: QueryProgram,
  textScores: Map<number, number>,
  vectorScores: Map<number, number>,
): void {
  const missing = [...vectorScores.keys()].filter((docOrd) => !textScores.has(docOrd))
  if (missing.length === 0) return
  const only = DocSet.create(engine, segment.documentCount)
  for (const docOrd of missing) only.add(docOrd)
  try {
    const found = segment.text.search(program, { k: missing.length, accept: only })
    found.docOrds.forEach((docOrd, place) => textScores.set(docOrd, found.scores[place] as number))
  } finally {
    only.close()
  }
}
