// Resident memory before a collection is loaded, loaded, and after it is closed, three times over: what share comes
// back, and whether anything creeps. Run: npm run bench memory [COUNT] [-- --folder DIR]
//
// Needs 500 MB that loading adds, which 600,000 documents of corpus.ts with 100-d vectors give; a folder of `npm run
// bench million` (--folder build/million-1000000) is one already. Everything is loaded by searches: the graphs by the
// first vector search, the pages of the text index by a query for each word of a sample of the documents. What the
// kernel counts as resident is read after forced garbage collections. First the same is done with a few documents in
// memory.
import { existsSync } from "node:fs"
import { join, resolve } from "node:path"
import { setTimeout as sleep } from "node:timers/promises"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import type { Collection } from "../src/index.ts"
import { Prism } from "../src/runtime-node/index.ts"
import { prepareCorpus, readBatches, readQuestions, SCHEMA } from "./corpus.ts"
import { answer, residentBytes, rounded, runStage } from "./measure.ts"
import { dataFile, record } from "./shared-data.ts"

const CYCLES = 3
const LOADED_MB_MIN = 500
const GIVEN_BACK_MIN = 0.95
/** Garbage collections in a row that free nothing more. */
const IDLE_ROUNDS = 15
/** Documents whose words are asked for, each by itself. */
const SAMPLE = 20_000

interface Cycle {
  readonly beforeMB: number
  readonly loadedMB: number
  readonly afterMB: number
  /** What the collection itself says is in memory when it is loaded. */
  readonly indexMB: number
  readonly givenBack: number
}

const MB = (bytes: number) => rounded(bytes / 1e6, 1)

/** What is resident when more collections make it no less: finalizers free what the next collection finds, and the
 *  runtime gives pages back to the system bit by bit. */
async function settledBytes(): Promise<number> {
  let least = Number.POSITIVE_INFINITY
  for (let idle = 0; idle < IDLE_ROUNDS; idle++) {
    globalThis.gc?.()
    await sleep(100)
    const resident = residentBytes()
    if (resident < least - 1e6) idle = 0
    least = Math.min(least, resident)
  }
  return least
}

async function sampleWords(folder: string): Promise<string[]> {
  const words = new Set<string>()
  let count = 0
  for await (const batch of readBatches(folder, 1000)) {
    for (const { fields } of batch) {
      for (const word of (fields as { text: string }).text.match(/\p{L}{2,}/gu) ?? []) words.add(word.toLowerCase())
    }
    count += batch.length
    if (count >= SAMPLE) break
  }
  return [...words]
}

async function build(folder: string): Promise<void> {
  const prism = await Prism.open(join(folder, "data"))
  const collection = await prism.createCollection("packages", SCHEMA)
  for await (const batch of readBatches(folder, 1000)) await collection.add(batch)
  await collection.optimize()
  await prism.close()
  answer({})
}

/** In a function of its own: a variable that outlives the collection would keep its memory. */
async function loadWhole(prism: Prism, vector: readonly number[], words: readonly string[]): Promise<Collection> {
  const collection = (await prism.collection("packages")) as Collection
  await collection.search({ vector, limit: 10 })
  for (const word of words) await collection.search({ query: `"${word}"`, limit: 1 })
  return collection
}

/** The same work on a few documents: what the runtime compiles and keeps of it is not the collection's. */
async function warmUp(folder: string, vector: readonly number[], words: readonly string[]): Promise<void> {
  const prism = await Prism.memory()
  const collection = await prism.createCollection("packages", SCHEMA)
  for await (const batch of readBatches(folder, 2000)) {
    await collection.add(batch)
    break
  }
  await collection.checkpoint()
  await loadWhole(prism, vector, words)
  await prism.close()
}

async function measure(folder: string): Promise<void> {
  const words = await sampleWords(folder)
  const vector = readQuestions(folder).queries[0]?.vector ?? []
  const startedMB = MB(await settledBytes())
  await warmUp(folder, vector, words)
  const prism = await Prism.open(join(folder, "data"), { readOnly: true })
  const cycles: Cycle[] = []
  for (let cycle = 0; cycle < CYCLES; cycle++) {
    const before = await settledBytes()
    const open: Collection[] = [await loadWhole(prism, vector, words)]
    const { resident_bytes } = (await open[0]?.stats()) ?? { resident_bytes: 0 }
    const loaded = await settledBytes()
    await open.pop()?.close()
    const after = await settledBytes()
    const givenBack = rounded((loaded - after) / (loaded - before), 4)
    const figures = {
      beforeMB: MB(before),
      loadedMB: MB(loaded),
      afterMB: MB(after),
      indexMB: MB(resident_bytes),
      givenBack,
    }
    cycles.push(figures)
    console.log(
      `before ${figures.beforeMB} MB, loaded ${figures.loadedMB} MB (index ${figures.indexMB} MB), ` +
        `after ${figures.afterMB} MB: ${(givenBack * 100).toFixed(1)}% given back`,
    )
  }
  await prism.close()
  answer({ words: words.length, startedMB, cycles })
}

const { positionals, values } = parseArgs({
  allowPositionals: true,
  options: { folder: { type: "string" }, stage: { type: "string" } },
})
const count = Number(positionals[0] ?? 600_000)
const folder = resolve(values.folder ?? `build/memory-${count}`)
if (values.stage === "build") await build(folder)
else if (values.stage === "measure") await measure(folder)
else {
  dataFile("debian-packages.jsonl.zst")
  const run = <T>(stage: string) =>
    runStage<T>(process.execPath, ["--expose-gc", fileURLToPath(import.meta.url), "--stage", stage, "--folder", folder])
  if (!existsSync(join(folder, "data"))) {
    console.log(`making a collection of ${count} documents in ${folder}`)
    await prepareCorpus(folder, count)
    await run("build")
  }
  const { words, startedMB, cycles } = await run<{ words: number; startedMB: number; cycles: Cycle[] }>("measure")
  const added = Math.min(...cycles.map(({ loadedMB, beforeMB }) => loadedMB - beforeMB))
  const givenBack = Math.min(...cycles.map((cycle) => cycle.givenBack))
  // Of all loads, what is still there after the last unloading.
  const first = cycles[0] as Cycle
  const creepMB = rounded((cycles.at(-1) as Cycle).afterMB - first.afterMB, 1)
  console.log(
    `loading added at least ${Math.round(added)} MB; at least ${(givenBack * 100).toFixed(1)}% of it came back ` +
      `(target ${GIVEN_BACK_MIN * 100}%); from the first unloading to the last ${creepMB} MB more`,
  )
  if (added < LOADED_MB_MIN) console.log(`not recorded: needs ${LOADED_MB_MIN} MB, so more documents`)
  else record("memory", { queries: words + 1, startedMB, cycles, givenBack, creepMB, target: GIVEN_BACK_MIN })
}
