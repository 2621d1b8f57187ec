// The text engine, below the library: relevance on SciFact, then indexing and query times on Debian's packages.
// Run: npm run bench text [scifact | debian]
import { readFileSync } from "node:fs"
import { analyze } from "../src/engine/analyzer.ts"
import { Engine } from "../src/engine/engine.ts"
import { compileQuery, type Query, type QueryProgram } from "../src/engine/query.ts"
import { combinedStatistics, type IndexField, type TextHits, type TextIndex, TextSegment, TextWriter } from "../src/engine/text-index.ts"
import { dataFile, readJsonLines, readJudgements, record } from "./shared-data.ts"

const BM25 = { k1: 1.2, b: 0.75 }
const STANDARD = { name: "standard" } as const
const FIELDS: IndexField[] = [
  { kind: "term" },
  { kind: "text", analyzer: STANDARD },
  { kind: "text", analyzer: STANDARD },
]
const TITLE = 1
const TEXT = 2
const BOTH = [
  { field: TITLE, weight: 1 },
  { field: TEXT, weight: 1 },
]

interface Article {
  readonly id: string
  readonly title: string
  readonly text: string
}

/** Graded gain 2^grade − 1, discount log2(rank + 1), against the best possible order (Järvelin & Kekäläinen 2002). */
function ndcg(ranking: readonly string[], grades: ReadonlyMap<string, number>): number {
  const gain = (grade: number, rank: number) => (2 ** grade - 1) / Math.log2(rank + 2)
  const ideal = [...grades.values()].sort((a, b) => b - a).slice(0, 10)
  const best = ideal.reduce((sum, grade, rank) => sum + gain(grade, rank), 0)
  return ranking.reduce((sum, id, rank) => sum + gain(grades.get(id) ?? 0, rank), 0) / best
}

async function scifact(): Promise<Record<string, number>> {
  const engine = new Engine()
  const ids: string[] = []
  // Field 3 holds title and text together: what one BM25 field would give, as Lucene's reference has it.
  const fields: IndexField[] = [...FIELDS, { kind: "text", analyzer: STANDARD }]
  using writer = new TextWriter(engine, fields)
  for await (const { id, title, text } of readJsonLines<Article>("scifact/corpus.jsonl.zst")) {
    ids.push(id)
    writer.add([
      { field: TITLE, text: title },
      { field: TEXT, text },
      { field: 3, text: `${title}\n${text}` },
    ])
  }
  using segment = writer.seal()
  const judgements = readJudgements("scifact/qrels.tsv")
  const queries = readFileSync(dataFile("scifact/queries.jsonl"), "utf8").trim().split("\n")
  const modes = {
    "BM25F, title and text": BOTH,
    "BM25F, title twice": [
      { field: TITLE, weight: 2 },
      { field: TEXT, weight: 1 },
    ],
    "one field": [{ field: 3, weight: 1 }],
  }
  const figures: Record<string, number> = {}
  for (const [mode, fields] of Object.entries(modes)) {
    let sum = 0
    let count = 0
    for (const line of queries) {
      const { id, text } = JSON.parse(line) as { id: string; text: string }
      const grades = judgements.get(id)
      if (!grades) continue
      const should = analyze(engine, STANDARD, text).map(({ term }): Query => ({ kind: "term", fields, term, boost: 1 }))
      const program = compileQuery({ kind: "bool", must: [], should, mustNot: [] }, combinedStatistics([segment], BM25))
      const { docOrds } = segment.search(program, { k: 10 })
      sum += ndcg(
        [...docOrds].map((doc) => ids[doc] ?? ""),
        grades,
      )
      count++
    }
    figures[mode] = Number((sum / count).toFixed(4))
    console.log(`SciFact, ${mode.padEnd(24)} nDCG@10 ${figures[mode].toFixed(4)} (${count} queries)`)
  }
  return figures
}

const result = await scifact()
console.log(result)
