// The text engine, below the library: relevance on SciFact, then indexing and query times on Debian's packages.
// Run: npm run bench text [scifact | debian]
import { readFileSync } from "node:fs"
import { analyze } from "../src/engine/analyzer.ts"
import { Engine } from "../src/engine/engine.ts"
import { compileQuery, type Query, type QueryProgram } from "../src/engine/query.ts"
import {
  combinedStatistics,
  type IndexField,
  type TextHits,
  TextSegment,
  TextWriter,
} from "../src/engine/text-index.ts"
import { Random } from "../test/support/random.ts"
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
      const should = analyze(engine, STANDARD, text).map(
        ({ term }): Query => ({ kind: "term", fields, term, boost: 1 }),
      )
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

// Debian's packages: one segment, top 10 with an exact count, in process, one thread.

const DOCUMENTS = 63_436
const QUERIES = 1000
const ROUNDS = 5
const CHECKED = 12
const TEXT_ONLY = [{ field: TEXT, weight: 1 }]

/** CPU seconds that the process has used. */
const cpuSeconds = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function build(engine: Engine, packages: readonly Article[], withId: boolean): TextWriter {
  const writer = new TextWriter(engine, FIELDS)
  for (const { id, title, text } of packages) {
    const texts = [
      { field: TITLE, text: title },
      { field: TEXT, text },
    ]
    writer.add(withId ? [{ field: 0, term: id }, ...texts] : texts)
  }
  return writer
}

/** What `queries` take one by one, in µs: of each its best of five rounds, because others use the machine too; and the
 *  mean of all rounds by CPU time. */
function times(queries: readonly (() => unknown)[]): { p50: number; p99: number; meanCpu: number } {
  const best = queries.map(() => Infinity)
  for (const query of queries) query() // warms up
  const before = cpuSeconds()
  for (let round = 0; round < ROUNDS; round++) {
    for (const [i, query] of queries.entries()) {
      const start = process.hrtime.bigint()
      query()
      best[i] = Math.min(best[i] ?? Infinity, Number(process.hrtime.bigint() - start) / 1000)
    }
  }
  const meanCpu = ((cpuSeconds() - before) / ROUNDS / queries.length) * 1e6
  best.sort((a, b) => a - b)
  const at = (share: number) => Number((best[Math.floor(best.length * share)] ?? 0).toFixed(1))
  return { p50: at(0.5), p99: at(0.99), meanCpu: Number(meanCpu.toFixed(1)) }
}

async function debian(): Promise<object> {
  const packages: Article[] = []
  for await (const one of readJsonLines<Article>("debian-packages.jsonl.zst")) packages.push(one)
  if (packages.length !== DOCUMENTS) throw new Error(`${packages.length} packages`)
  const encoder = new TextEncoder()
  const textBytes = packages.reduce((sum, { title, text }) => sum + encoder.encode(title + text).length, 0)

  const engine = new Engine()
  build(engine, packages, true).close() // warms up
  const start = cpuSeconds()
  using writer = build(engine, packages, true)
  const added = cpuSeconds()
  const sealed = writer.seal()
  const done = cpuSeconds()
  const bytes = sealed.readBytes(0, sealed.byteLength)
  sealed.close()
  const opening = cpuSeconds()
  const file = {
    size: bytes.length,
    read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
  }
  using segment = await TextSegment.open(engine, file, FIELDS)
  await segment.loadAll()
  segment.check()
  const opened = cpuSeconds()
  const writerBytes = writer.memoryBytes
  writer.close()
  const bare = build(new Engine(), packages, false).seal().byteLength
  const indexing = {
    documentsPerCpuSecond: Math.round(DOCUMENTS / (done - start)),
    addingAlone: Math.round(DOCUMENTS / (added - start)),
    sealCpuSeconds: Number((done - added).toFixed(3)),
    openCpuSeconds: Number((opened - opening).toFixed(3)),
    indexBytesATextByte: Number((bare / textBytes).toFixed(3)),
    writerBytesATextByte: Number((writerBytes / textBytes).toFixed(2)),
    textBytes,
  }
  console.log(indexing)

  // The naive scorer goes by the tokens of every document; they also give the terms to draw from.
  const tokens = packages.map(({ text }) => analyze(engine, STANDARD, text).map(({ term }) => term))
  const docFreq = new Map<string, number>()
  for (const one of tokens) for (const term of new Set(one)) docFreq.set(term, (docFreq.get(term) ?? 0) + 1)

  // Terms of the field `text` are drawn with a chance that grows with their document frequency, from those of 2 documents
  // or more and of every fifth document or less. Two or three in a query are drawn independently, and differ. A phrase
  // is what stands behind a random place of a random document, two such terms side by side.
  const random = new Random(2026)
  const drawable = [...docFreq].filter(([, n]) => n >= 2 && n <= DOCUMENTS / 5).sort(([a], [b]) => (a < b ? -1 : 1))
  const sums: number[] = []
  for (const [, n] of drawable) sums.push((sums.at(-1) ?? 0) + n)
  const isDrawable = new Set(drawable.map(([term]) => term))
  const draw = (): string => {
    const at = random.unit() * (sums.at(-1) ?? 0)
    let [low, high] = [0, sums.length - 1]
    while (low < high) {
      const middle = (low + high) >> 1
      if ((sums[middle] ?? 0) <= at) low = middle + 1
      else high = middle
    }
    return drawable[low]?.[0] ?? ""
  }
  const drawSome = (count: number): string[] => {
    const terms = new Set<string>()
    while (terms.size < count) terms.add(draw())
    return [...terms]
  }
  const drawPhrase = (): string[] => {
    for (;;) {
      const one = tokens[random.below(DOCUMENTS)] ?? []
      const at = random.below(one.length)
      const pair = one.slice(at, at + 2)
      if (pair.length === 2 && pair.every((term) => isDrawable.has(term))) return pair
    }
  }
  type Fields = typeof BOTH
  const term = (term: string, fields: Fields): Query => ({ kind: "term", fields, term, boost: 1 })
  const none = { must: [], should: [], mustNot: [] }
  const classes: Record<string, { words: () => string[]; query: (words: string[], fields: Fields) => Query }> = {
    term: { words: () => drawSome(1), query: ([word = ""], fields) => term(word, fields) },
    "AND of 2": {
      words: () => drawSome(2),
      query: (words, fields) => ({ kind: "bool", ...none, must: words.map((word) => term(word, fields)) }),
    },
    "OR of 2": {
      words: () => drawSome(2),
      query: (words, fields) => ({ kind: "bool", ...none, should: words.map((word) => term(word, fields)) }),
    },
    "OR of 3": {
      words: () => drawSome(3),
      query: (words, fields) => ({ kind: "bool", ...none, should: words.map((word) => term(word, fields)) }),
    },
    "phrase of 2": {
      words: drawPhrase,
      query: (words, fields) => ({
        kind: "phrase",
        fields,
        terms: words.map((word, offset) => ({ term: word, offset })),
        boost: 1,
      }),
    },
  }
  const statistics = combinedStatistics([segment], BM25)
  const averageLength = tokens.reduce((sum, { length }) => sum + length, 0) / DOCUMENTS
  const naive = (name: string, words: readonly string[]) => naiveTop(tokens, docFreq, averageLength, name, words)
  const figures: Record<string, object> = {}
  for (const [name, { words, query }] of Object.entries(classes)) {
    const drawn = Array.from({ length: QUERIES }, words)
    const programs = drawn.map((one): [QueryProgram, Query, Query] => {
      const alone = query(one, TEXT_ONLY)
      return [compileQuery(alone, statistics), alone, query(one, BOTH)]
    })
    for (const [i, [program]] of programs.slice(0, CHECKED).entries()) {
      check(segment.search(program, { k: 10 }), naive(name, drawn[i] ?? []), `${name}: ${drawn[i]?.join(" ")}`)
    }
    figures[name] = {
      search: times(
        programs.map(
          ([program]) =>
            () =>
              segment.search(program, { k: 10 }),
        ),
      ),
      "compiled too": times(
        programs.map(
          ([, alone]) =>
            () =>
              segment.search(compileQuery(alone, statistics), { k: 10 }),
        ),
      ),
      "compiled, title and text": times(
        programs.map(
          ([, , both]) =>
            () =>
              segment.search(compileQuery(both, statistics), { k: 10 }),
        ),
      ),
    }
    console.log(name, JSON.stringify(figures[name]))
  }
  return { indexing, µs: figures }
}

/** Every document's score by the formula, in doubles. */
function naiveTop(
  tokens: readonly (readonly string[])[],
  docFreq: ReadonlyMap<string, number>,
  averageLength: number,
  name: string,
  words: readonly string[],
): { scores: number[]; total: number } {
  const idf = (term: string) => {
    const n = docFreq.get(term) ?? 0
    return Math.log(1 + (tokens.length - n + 0.5) / (n + 0.5))
  }
  const scores: number[] = []
  for (const one of tokens) {
    const length = keptLength(one.length)
    const score = (weight: number, tf: number) =>
      (weight * (BM25.k1 + 1) * tf) / (tf + BM25.k1 * (1 - BM25.b + (BM25.b * length) / averageLength))
    const counts = words.map((word) => one.filter((term) => term === word).length)
    if (name === "phrase of 2") {
      const tf = one.filter((term, i) => term === words[0] && one[i + 1] === words[1]).length
      if (tf) scores.push(score(idf(words[0] ?? "") + idf(words[1] ?? ""), tf))
    } else if (name === "AND of 2" ? counts.every(Boolean) : counts.some(Boolean)) {
      scores.push(counts.reduce((sum, tf, i) => sum + (tf ? score(idf(words[i] ?? ""), tf) : 0), 0))
    }
  }
  return { scores: scores.sort((a, b) => b - a).slice(0, 10), total: scores.length }
}

/** What a one-byte fieldnorm keeps of a length: exact to 39, then 24 and four significant bits more. */
function keptLength(length: number): number {
  if (length < 40) return length
  const unit = 2 ** (Math.floor(Math.log2(length - 24)) - 3)
  return 24 + Math.floor((length - 24) / unit) * unit
}

function check(hits: TextHits, expected: { scores: number[]; total: number }, what: string): void {
  const wrong = expected.scores.some((score, i) => Math.abs((hits.scores[i] ?? 0) - score) > 1e-5 * score)
  if (wrong || hits.total !== expected.total || hits.scores.length !== expected.scores.length) {
    throw new Error(
      `wrong answer to ${what}: ${hits.total} [${hits.scores.join(" ")}] for ${expected.total} [${expected.scores.join(" ")}]`,
    )
  }
}

const parts = { scifact, debian }
const [only] = process.argv.slice(2)
const results: Record<string, object> = {}
for (const [name, run] of Object.entries(parts)) if (!only || only === name) results[name] = await run()
if (!only) record("text", results)
