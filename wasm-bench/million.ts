// A million documents with 100-d vectors: written, opened cold, searched, optimized, each phase in a process of its
// own. Run: npm run bench million [COUNT] [-- --phases write,open,search,optimize --folder DIR]
//
// Debian's packages over and over with other words each time, vectors drawn from word vectors with noise (corpus.ts).
// The folder stays, by default build/million-COUNT, so that single phases can be run again on it. What a million gives
// is kept in record/. The page cache is dropped where root runs it, else `open` says that it could not.
import { existsSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { totalmem } from "node:os"
import { join, resolve } from "node:path"
import { monitorEventLoopDelay } from "node:perf_hooks"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import type { Collection } from "../src/index.ts"
import { Prism } from "../src/runtime-node/index.ts"
import { DIMENSION, prepareCorpus, type Query, readBatches, readQuestions, readRows, rowOf, SCHEMA } from "./corpus.ts"
import {
  answer,
  cpuSeconds,
  dropPageCache,
  fileSystemOf,
  folderBytes,
  latencies,
  median,
  readRate,
  residentBytes,
  rounded,
  runStage,
} from "./measure.ts"
import { dataFile, record } from "./shared-data.ts"

const BATCH = 1000
/** A search every so often while documents are written. */
const SEARCH_INTERVAL_MS = 50
const DELAY_RESOLUTION_MS = 5
const COLD_OPENS = 5
/** The collection is quiet when all threads together used less than this share of a core for a while. */
const QUIET_SHARE = 0.5
const QUIET_MS = 5000
const K = 10
const EXACT_QUERIES = 100

const KINDS = {
  text: ({ text }: Query) => ({ query: text }),
  vector: ({ vector }: Query) => ({ vector }),
  hybrid: ({ text, vector }: Query) => ({ query: text, vector }),
}
type Kind = keyof typeof KINDS
const KIND_NAMES = Object.keys(KINDS) as Kind[]

const MB = (bytes: number) => Math.round(bytes / 1e6)
const milliseconds = (times: readonly number[]) => ({
  p50: rounded(median(times), 1),
  max: rounded(Math.max(...times), 1),
})

/** Asks text, vector and hybrid queries in turn, at fixed times. `answered`: from the call; `due`: from when it should
 *  have been asked, which also counts how long the process was busy with something else. */
class Searcher {
  readonly #collection: Collection
  readonly #queries: readonly Query[]
  /** Since the last report, and since the phase began. */
  readonly #window = new Times()
  readonly #phase = new Times()
  #stopped = false
  #running: Promise<void> | undefined

  constructor(collection: Collection, queries: readonly Query[]) {
    this.#collection = collection
    this.#queries = queries
  }

  start(): void {
    this.#running = this.#run()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    await this.#running
  }

  report(): object {
    return this.#window.take()
  }

  endPhase(): object {
    this.#window.take()
    return this.#phase.take()
  }

  async #run(): Promise<void> {
    const begun = performance.now()
    for (let asked = 0; !this.#stopped; asked++) {
      const due = begun + asked * SEARCH_INTERVAL_MS
      await sleep(Math.max(0, due - performance.now()))
      const kind = KIND_NAMES[asked % KIND_NAMES.length] as Kind
      const started = performance.now()
      await this.#collection.search({ ...KINDS[kind](this.#queries[asked % this.#queries.length] as Query), limit: K })
      const ended = performance.now()
      for (const times of [this.#window, this.#phase]) times.add(kind, ended - started, ended - due)
    }
  }
}

class Times {
  #times = new Map<Kind, { answered: number[]; due: number[] }>()

  add(kind: Kind, answered: number, due: number): void {
    const times = this.#times.get(kind) ?? { answered: [], due: [] }
    times.answered.push(answered)
    times.due.push(due)
    this.#times.set(kind, times)
  }

  take(): object {
    const taken = [...this.#times].map(([kind, { answered, due }]) => [
      kind,
      { answered: latencies(answered), due: latencies(due) },
    ])
    this.#times = new Map()
    return Object.fromEntries(taken) as object
  }
}

/** Waits until no thread works any more. */
async function untilQuiet(collection: Collection): Promise<void> {
  for (;;) {
    const cpu = cpuSeconds()
    await sleep(QUIET_MS)
    const { pending_segments } = await collection.stats()
    if (pending_segments === 0 && cpuSeconds() - cpu < (QUIET_SHARE * QUIET_MS) / 1000) return
  }
}

async function storageFigures(collection: Collection, data: string) {
  const { document_count, segments, resident_bytes, cache } = await collection.stats()
  const bytes = folderBytes(data)
  return {
    documents: document_count,
    segments: segments.map(({ level, documents }) => ({ level, documents })),
    diskMB: MB(bytes),
    bytesADocument: Math.round(bytes / document_count),
    residentIndexMB: MB(resident_bytes),
    cache,
  }
}

/** (a) Everything by `add`, while searches go on; then until all merges are done. */
async function write(folder: string, count: number): Promise<object> {
  const data = join(folder, "data")
  rmSync(data, { recursive: true, force: true })
  const prism = await Prism.open(data)
  const collection = (await prism.createCollection("packages", SCHEMA)) as Collection
  const searcher = new Searcher(collection, readQuestions(folder).queries)
  const delay = monitorEventLoopDelay({ resolution: DELAY_RESOLUTION_MS })
  const eventLoopDelay = () => {
    // It measures from one of its timers to the next.
    const late = (nanoseconds: number) => rounded(Math.max(0, nanoseconds / 1e6 - DELAY_RESOLUTION_MS), 1)
    const [p50, p99, max] = [delay.percentile(50), delay.percentile(99), delay.max].map(late)
    delay.reset()
    return { p50, p99, max }
  }
  delay.enable()
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  searcher.start()
  let added = 0
  const batches: number[] = []
  const timeline: object[] = []
  for await (const batch of readBatches(folder, BATCH)) {
    const asked = performance.now()
    await collection.add(batch)
    batches.push(performance.now() - asked)
    added += batch.length
    if (Math.floor((added * 10) / count) === Math.floor(((added - batch.length) * 10) / count)) continue
    const { segment_count, pending_segments } = await collection.stats()
    timeline.push({
      documents: added,
      seconds: rounded(seconds(), 1),
      residentMB: MB(residentBytes()),
      segments: segment_count,
      pending: pending_segments,
      eventLoopDelayMs: eventLoopDelay(),
      searches: searcher.report(),
    })
    // Seen at once, unlike the answer.
    console.error(
      `  ${added} documents after ${seconds().toFixed(1)} s, ${MB(residentBytes())} MB resident, ` +
        `${segment_count} segments, ${pending_segments} pending`,
    )
  }
  const addSeconds = seconds()
  const whileWriting = searcher.endPhase()
  await untilQuiet(collection)
  const quietSeconds = seconds() - QUIET_MS / 1000
  await searcher.stop()
  const whileMerging = searcher.endPhase()
  const delayWhileMerging = eventLoopDelay()
  const figures = await storageFigures(collection, data)
  if (figures.documents !== count) throw new Error(`${count} documents were added, ${figures.documents} are there`)
  const closing = performance.now()
  await prism.close()
  return {
    addSeconds: rounded(addSeconds, 1),
    documentsPerSecond: Math.round(count / addSeconds),
    quietSeconds: rounded(quietSeconds, 1),
    documentsPerSecondUntilQuiet: Math.round(count / quietSeconds),
    closeSeconds: rounded((performance.now() - closing) / 1000, 1),
    cpuSeconds: rounded(cpuSeconds(), 1),
    peakMB: MB(residentBytes("VmHWM")),
    addBatchMs: latencies(batches),
    searchInterval: `${SEARCH_INTERVAL_MS} ms`,
    whileWriting: { searches: whileWriting },
    whileMerging: { searches: whileMerging, eventLoopDelayMs: delayWhileMerging },
    timeline,
    ...figures,
  }
}

/** (b) One opening with nothing in the page cache; `place` tells which query is asked. */
async function open(folder: string, place: number): Promise<object> {
  const query = readQuestions(folder).queries[place] as Query
  const diskBytes = () => Number(/^read_bytes: (\d+)/m.exec(readFileSync("/proc/self/io", "utf8"))?.[1])
  const dropped = dropPageCache()
  const before = diskBytes()
  const started = performance.now()
  const prism = await Prism.open(join(folder, "data"))
  const collection = await prism.collection("packages")
  const opened = performance.now()
  const text = await collection.search(KINDS.text(query))
  const textDone = performance.now()
  const afterText = { diskMB: MB(diskBytes() - before), residentMB: MB(residentBytes()) }
  const vectorStarted = performance.now()
  const vector = await collection.search(KINDS.vector(query))
  const vectorDone = performance.now()
  const afterVector = { diskMB: MB(diskBytes() - before), residentMB: MB(residentBytes()) }
  if (text.total === 0 || vector.results.length !== K) throw new Error(`"${query.text}" found nothing`)
  await prism.close()
  return {
    dropped,
    openMs: rounded(opened - started, 1),
    firstTextMs: rounded(textDone - started, 1),
    firstVectorMs: rounded(vectorDone - vectorStarted, 1),
    afterText,
    afterVector,
  }
}

/** What the disk gives when the files of the graphs are only read. */
function readGraphs(folder: string): object {
  const vectors = join(folder, "data/collections/packages/vector")
  const dropped = dropPageCache()
  const files = readdirSync(vectors).map((name) => readRate(join(vectors, name)))
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  const seconds = files.reduce((sum, file) => sum + file.seconds, 0)
  return { dropped, graphMB: MB(bytes), readMs: rounded(seconds * 1000, 1), diskMBPerSecond: MB(bytes / seconds) }
}

/** (c) Searches when nothing else goes on, recall, and the samples of the corpus looked up again. */
async function search(folder: string): Promise<object> {
  const data = join(folder, "data")
  const { queries, samples } = readQuestions(folder)
  const prism = await Prism.open(data)
  const collection = (await prism.collection("packages")) as Collection
  for (const { id, fields, vector } of samples) {
    const found = await collection.get(id)
    const same = JSON.stringify(found?.fields) === JSON.stringify(fields)
    if (!same || vector.some((component, i) => found?.vector?.[i] !== component)) throw new Error(`${id} is not it`)
  }
  const steady: Record<string, object> = {}
  for (const kind of KIND_NAMES) {
    const times: number[] = []
    for (const round of ["warm", "measured"]) {
      for (const query of queries) {
        const started = performance.now()
        await collection.search({ ...KINDS[kind](query), limit: K })
        if (round === "measured") times.push(performance.now() - started)
      }
    }
    steady[kind] = latencies(times)
  }
  const started = performance.now()
  const sampled = await collection.recall({ samples: 100, k: K, seed: 1 })
  const recallSeconds = rounded((performance.now() - started) / 1000, 1)
  const exactRecall = await recallOfQueries(collection, folder, queries.slice(0, EXACT_QUERIES))
  const figures = await storageFigures(collection, data)
  await prism.close()
  return {
    steady,
    recall: { ...sampled, seconds: recallSeconds },
    recallOfQueriesBesideAScan: rounded(exactRecall, 4),
    residentMB: MB(residentBytes()),
    peakMB: MB(residentBytes("VmHWM")),
    ...figures,
  }
}

/** Recall of queries that are in no index, against a scan of the corpus that shares no code with it. */
async function recallOfQueries(collection: Collection, folder: string, queries: readonly Query[]): Promise<number> {
  const best = queries.map(() => [] as { row: number; cosine: number }[])
  const lengths = queries.map(({ vector }) => Math.hypot(...vector))
  let row = 0
  for await (const vector of readRows(folder)) {
    const length = Math.hypot(...vector)
    for (const [place, query] of queries.entries()) {
      let dot = 0
      for (let i = 0; i < DIMENSION; i++) dot += (vector[i] as number) * (query.vector[i] as number)
      const cosine = dot / (length * (lengths[place] as number))
      const list = best[place] as { row: number; cosine: number }[]
      if (list.length === K && cosine <= (list[K - 1]?.cosine ?? 0)) continue
      list.push({ row, cosine })
      list.sort((a, b) => b.cosine - a.cosine)
      if (list.length > K) list.pop()
    }
    row++
  }
  let found = 0
  for (const [place, query] of queries.entries()) {
    const { results } = await collection.search({ vector: query.vector, limit: K })
    const rows = new Set(results.map(({ id }) => rowOf(id)))
    found += (best[place] ?? []).filter((neighbor) => rows.has(neighbor.row)).length
  }
  return found / (queries.length * K)
}

/** (d) One segment of all. */
async function optimize(folder: string): Promise<object> {
  const data = join(folder, "data")
  const prism = await Prism.open(data)
  const collection = (await prism.collection("packages")) as Collection
  const before = await storageFigures(collection, data)
  const started = performance.now()
  const report = await collection.optimize()
  const seconds = rounded((performance.now() - started) / 1000, 1)
  const after = await storageFigures(collection, data)
  const peakMB = MB(residentBytes("VmHWM"))
  await prism.close()
  const diskMBAfterClose = MB(folderBytes(data))
  return { seconds, peakMB, cpuSeconds: rounded(cpuSeconds(), 1), report, before, after, diskMBAfterClose }
}

const STAGES: Record<string, (folder: string, argument: number) => Promise<object> | object> = {
  prepare: async (folder, count) => {
    await prepareCorpus(folder, count)
    return {}
  },
  write,
  open,
  readGraphs,
  search,
  optimize,
}

const PHASES: Record<string, (stage: typeof runOne) => Promise<object>> = {
  write: (stage) => stage("write"),
  open: coldOpens,
  search: (stage) => stage("search"),
  optimize: async (stage) => ({
    optimize: await stage("optimize"),
    open: await coldOpens(stage),
    search: await stage("search"),
  }),
}

async function coldOpens(stage: typeof runOne): Promise<object> {
  const opens: Record<"openMs" | "firstTextMs" | "firstVectorMs", number>[] = []
  for (let place = 0; place < COLD_OPENS; place++) opens.push(await stage("open", place))
  const of = (figure: keyof (typeof opens)[number]) => milliseconds(opens.map((one) => one[figure]))
  return {
    openMs: of("openMs"),
    firstTextMs: of("firstTextMs"),
    firstVectorMs: of("firstVectorMs"),
    disk: await stage("readGraphs"),
    opens,
  }
}

/** A line for each figure or group of figures; the long lists stand in the record. */
function describe(result: object, indent = "  "): void {
  for (const [name, value] of Object.entries(result) as [string, unknown][]) {
    if (name === "timeline" || name === "opens") continue
    const text = JSON.stringify(value).replaceAll('"', "").replaceAll(",", ", ")
    if (text.length <= 110 || Array.isArray(value) || typeof value !== "object" || value === null) {
      console.log(`${indent}${name}: ${text}`)
    } else {
      console.log(`${indent}${name}:`)
      describe(value, `${indent}  `)
    }
  }
}

let runOne: <T>(stage: string, argument?: number) => Promise<T>

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: {
    phases: { type: "string", default: Object.keys(PHASES).join(",") },
    folder: { type: "string" },
    stage: { type: "string" },
  },
})
const count = Number(positionals[0] ?? 1_000_000)
if (values.stage !== undefined) {
  answer(await STAGES[values.stage]?.(values.folder ?? "", count))
} else {
  dataFile("debian-packages.jsonl.zst")
  const folder = resolve(values.folder ?? `build/million-${count}`)
  runOne = (stage, argument = count) =>
    runStage(process.execPath, [fileURLToPath(import.meta.url), "--stage", stage, "--folder", folder, String(argument)])
  await runOne("prepare")
  const kept = join(folder, "results.json")
  const results = existsSync(kept) ? (JSON.parse(readFileSync(kept, "utf8")) as Record<string, object>) : {}
  const { size } = statSync(join(folder, "documents.jsonl"))
  console.log(`${count} documents, ${Math.round(size / count)} bytes of JSON each, ${DIMENSION}-d vectors of 400 bytes`)
  for (const phase of values.phases.split(",")) {
    const run = PHASES[phase]
    if (run === undefined) throw new Error(`there is no phase ${phase}; there are: ${Object.keys(PHASES).join(", ")}`)
    console.log(`${phase} …`)
    results[phase] = await run(runOne)
    describe(results[phase])
    writeFileSync(kept, JSON.stringify(results, null, 2))
  }
  const corpus = {
    documents: count,
    jsonBytesADocument: Math.round(size / count),
    vectorBytesADocument: DIMENSION * 4,
    fileSystem: fileSystemOf(folder),
    memoryMB: MB(totalmem()),
  }
  if (count === 1_000_000) record("million", { corpus, ...results })
  else console.log("not recorded: that is for a million")
}
