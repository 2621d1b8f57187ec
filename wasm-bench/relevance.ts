// nDCG@10 on SciFact through the public library with default settings: text, vectors, hybrid by both fusions.
// The reference figures (Lucene .665, RRF .68 to .70) come with the data. Run: npm run bench relevance
import { readFileSync } from "node:fs"
import type { DocumentInput, SearchRequest } from "../src/index.ts"
import { Prism } from "../src/runtime-node/index.ts"
import { dataFile, readFloat16, readJsonLines, readJudgements, record } from "./shared-data.ts"

const DIMENSION = 384
const judgements = readJudgements("scifact/qrels.tsv")
const queries = readFileSync(dataFile("scifact/queries.jsonl"), "utf8")
  .trim()
  .split("\n")
  .map((line) => JSON.parse(line) as { id: string; text: string })
const corpusVectors = readFloat16("scifact/corpus-384.f16")
const queryVectors = readFloat16("scifact/queries-384.f16")

const prism = await Prism.memory()
const collection = await prism.createCollection("scifact", {
  backends: {
    text: {
      fields: [
        { name: "title", type: "text" },
        { name: "text", type: "text" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: DIMENSION },
  },
})
let row = 0
const batch: DocumentInput[] = []
for await (const { id, title, text } of readJsonLines<Record<"id" | "title" | "text", string>>(
  "scifact/corpus.jsonl.zst",
)) {
  batch.push({ id, fields: { title, text }, vector: corpusVectors.subarray(row * DIMENSION, ++row * DIMENSION) })
  if (batch.length === 1000) await collection.add(batch.splice(0))
}
await collection.add(batch)

/** Graded gain 2^grade − 1, discount log2(rank + 1), against the best possible order (Järvelin & Kekäläinen 2002). */
function ndcg(ranking: readonly string[], grades: ReadonlyMap<string, number>): number {
  const gain = (grade: number, rank: number) => (2 ** grade - 1) / Math.log2(rank + 2)
  const ideal = [...grades.values()].sort((a, b) => b - a).slice(0, 10)
  const best = ideal.reduce((sum, grade, rank) => sum + gain(grade, rank), 0)
  return ranking.reduce((sum, id, rank) => sum + gain(grades.get(id) ?? 0, rank), 0) / best
}

/** A claim as the query language takes it literally: what belongs to its syntax is escaped. */
const plain = (text: string) =>
  text.replace(/[+\-!(){}[\]^"~*?:\\/&|<>=]/g, "\\$&").replace(/\b(AND|OR|NOT)\b/g, (word) => word.toLowerCase())

const modes: Record<string, (query: { text: string; vector: Float32Array }) => SearchRequest> = {
  text: ({ text }) => ({ query: text }),
  vector: ({ vector }) => ({ vector }),
  "hybrid (default)": ({ text, vector }) => ({ query: text, vector }),
  "hybrid rrf": ({ text, vector }) => ({ query: text, vector, merge_strategy: "rrf" }),
  "hybrid weighted, text .3": ({ text, vector }) => ({ query: text, vector, text_weight: 0.3, vector_weight: 0.7 }),
}
const figures: Record<string, number> = {}
for (const [mode, request] of Object.entries(modes)) {
  let sum = 0
  let count = 0
  for (const [place, query] of queries.entries()) {
    const grades = judgements.get(query.id)
    if (!grades) continue
    const vector = queryVectors.subarray(place * DIMENSION, (place + 1) * DIMENSION)
    const { results } = await collection.search(request({ text: plain(query.text), vector }))
    sum += ndcg(
      results.map(({ id }) => id),
      grades,
    )
    count++
  }
  figures[mode] = Number((sum / count).toFixed(4))
  console.log(`${mode.padEnd(26)} nDCG@10 ${figures[mode].toFixed(4)}  (${count} queries)`)
}
await prism.close()
record("relevance", { corpus: "SciFact, 5,183 abstracts", "nDCG@10": figures })
