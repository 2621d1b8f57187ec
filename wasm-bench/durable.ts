// Durable writes of single documents, 1 and 32 callers, beside SQLite in WAL mode with synchronous=FULL, in one
// interleaved run on one file system. Run: npm run bench durable [SECONDS] [ROUNDS] [FOLDER]
//
// A caller adds a document and waits until it is durable, then adds the next. Prism: callers in one process, whose
// writes share a sync; each document is indexed and searchable when it is acknowledged. SQLite (sqlite.py): one
// transaction a document into a table with a primary key; for 32 callers a process and a connection each, with a busy
// timeout, as many users do it; then both with its full-text index, FTS5. What one connection does is what it does for
// any number of callers that take turns. All get the same documents of Debian and make their own JSON of them. After
// the last answer a process ends with nothing closed; another one opens what is there, counts, and looks at a sample of
// the documents.
import { spawnSync } from "node:child_process"
import {
  closeSync,
  fdatasyncSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { Prism } from "../src/runtime-node/index.ts"
import { answer, cpuSeconds, fileSystemOf, latencies, median, rounded, runStage } from "./measure.ts"
import { dataFile, readJsonLines, record } from "./shared-data.ts"

const CORPUS = "debian-packages.jsonl.zst"
/** Documents that are written over and over under new ids. */
const DISTINCT = 2000
const CALLERS = 32
const SCHEMA = {
  backends: {
    text: {
      fields: [
        { name: "title", type: "text" },
        { name: "text", type: "text" },
        { name: "section", type: "string" },
      ],
    },
  },
} as const
type Fields = Readonly<Record<string, unknown>>

/** What a contender's process tells. */
interface Run {
  readonly writes: number
  readonly seconds: number
  readonly cpuSeconds: number
  /** In milliseconds. */
  readonly latencies: { readonly p50: number; readonly p99: number }
}

const readRows = (path: string) => JSON.parse(readFileSync(path, "utf8")) as Fields[]

const idOf = (caller: number, write: number) => `${caller}-${write}`

/** One after the other until the time is over. Gives the milliseconds of each, in order. */
async function writeFor(seconds: number, write: (place: number) => Promise<void> | void): Promise<number[]> {
  const times: number[] = []
  const end = performance.now() + seconds * 1000
  for (let place = 0; ; place++) {
    const started = performance.now()
    if (started >= end) return times
    await write(place)
    times.push(performance.now() - started)
  }
}

async function measured(run: () => Promise<number[][]>): Promise<Run> {
  const cpu = cpuSeconds()
  const started = performance.now()
  const times = (await run()).flat()
  return {
    writes: times.length,
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: cpuSeconds() - cpu,
    latencies: latencies(times),
  }
}

/** Ends the process as a crash would: nothing is closed. */
function die(run: Run, counts: readonly number[]): never {
  answer({ run, counts })
  process.exit(0)
}

async function writePrism(folder: string, rows: Fields[], seconds: number, callers: number): Promise<void> {
  const prism = await Prism.open(folder)
  const collection = await prism.createCollection("packages", SCHEMA)
  await collection.add({ id: "warm", fields: rows[0] as Fields })
  let counts: number[] = []
  const run = await measured(async () => {
    const times = await Promise.all(
      Array.from({ length: callers }, (_, caller) =>
        writeFor(seconds, async (place) => {
          const fields = rows[(place * callers + caller) % rows.length] as Fields
          await collection.add({ id: idOf(caller, place), fields })
        }),
      ),
    )
    counts = times.map(({ length }) => length)
    return times
  })
  die(run, counts)
}

async function checkPrism(folder: string, rows: Fields[], counts: readonly number[]): Promise<void> {
  const prism = await Prism.open(folder)
  const collection = await prism.collection("packages")
  const expected = 1 + counts.reduce((sum, count) => sum + count, 0)
  const { document_count } = await collection.stats()
  if (document_count !== expected) throw new Error(`${expected} acknowledged, ${document_count} there`)
  for (const [caller, count] of counts.entries()) {
    for (let place = 0; place < count; place += Math.ceil(count / 50)) {
      const found = await collection.get(idOf(caller, place))
      const fields = rows[(place * counts.length + caller) % rows.length]
      if (JSON.stringify(found?.fields) !== JSON.stringify(fields)) throw new Error(`${idOf(caller, place)} is not it`)
    }
  }
  await prism.close()
  answer({ documents: document_count })
}

/** What the disk itself does: appends of a document's size, each with its own fdatasync. */
async function writeBare(folder: string, documents: Fields[], seconds: number): Promise<void> {
  const rows = documents.map((fields) => Buffer.from(JSON.stringify(fields)))
  const file = openSync(join(folder, "bare"), "wx")
  const run = await measured(async () => [
    await writeFor(seconds, (place) => {
      writeSync(file, rows[place % rows.length] as Uint8Array)
      fdatasyncSync(file)
    }),
  ])
  closeSync(file)
  die(run, [run.writes])
}

const CONTENDERS = {
  "Prism, 1 caller": ["prism", "1"],
  "Prism, 32 callers": ["prism", String(CALLERS)],
  "SQLite, 1 connection": ["sqlite", "1"],
  "SQLite, 32 processes": ["sqlite", String(CALLERS)],
  "SQLite with FTS5, 1 connection": ["fts5", "1"],
  "SQLite with FTS5, 32 processes": ["fts5", String(CALLERS)],
  "write and fdatasync": ["bare", "1"],
} as const
type Contender = keyof typeof CONTENDERS

async function main(seconds: number, roundCount: number, base: string): Promise<void> {
  dataFile(CORPUS)
  if (spawnSync("python3", ["-c", "import sqlite3"]).status !== 0) {
    console.log("skipped: needs python3 with its module sqlite3")
    return
  }
  mkdirSync(base, { recursive: true })
  const folder = mkdtempSync(join(base, "durable-"))
  const rounds = new Map<Contender, { perSecond: number; p50: number; p99: number; cpu: number }[]>()
  try {
    const fileSystem = fileSystemOf(folder)
    if (/^(tmpfs|ramfs)/.test(fileSystem))
      throw new Error(`${folder} is no disk but ${fileSystem}; give another folder`)
    console.log(`${fileSystem}; ${roundCount} rounds, ${seconds} s each; medians of the rounds\n`)
    const rows: Fields[] = []
    for await (const { id, ...fields } of readJsonLines<{ id: string; [field: string]: unknown }>(CORPUS)) {
      rows.push({ package: id, ...fields })
      if (rows.length === DISTINCT) break
    }
    const documents = join(folder, "documents.json")
    writeFileSync(documents, JSON.stringify(rows))
    const run = <T>(kind: string, stage: string, ...words: string[]) =>
      kind === "prism" || kind === "bare"
        ? runStage<T>(process.execPath, [fileURLToPath(import.meta.url), stage, kind, ...words])
        : runStage<T>("python3", [resolve("wasm-bench/sqlite.py"), stage, ...words])
    const names = Object.keys(CONTENDERS) as Contender[]
    for (let round = 0; round < roundCount; round++) {
      // Each round begins with another one, so that none is always the first or the last.
      for (const name of [...names.slice(round % names.length), ...names.slice(0, round % names.length)]) {
        const [kind, callers] = CONTENDERS[name]
        const place = join(folder, `${kind}-${callers}-${round}`)
        mkdirSync(place)
        const { run: figures, counts } = await run<{ run: Run; counts: number[] }>(
          kind,
          "write",
          place,
          documents,
          ...(kind === "sqlite" || kind === "fts5" ? [kind] : []),
          String(seconds),
          callers,
        )
        if (kind !== "bare") await run(kind, "check", place, documents, JSON.stringify(counts))
        const { p50, p99 } = figures.latencies
        const perSecond = figures.writes / figures.seconds
        rounds.set(name, [
          ...(rounds.get(name) ?? []),
          { perSecond, p50, p99, cpu: (figures.cpuSeconds / figures.writes) * 1e6 },
        ])
        rmSync(place, { recursive: true })
      }
    }
    const of = (name: Contender, figure: "perSecond" | "p50" | "p99" | "cpu") =>
      median((rounds.get(name) ?? []).map((round) => round[figure]))
    const figures = Object.fromEntries(
      names.map((name) => [
        name,
        {
          writesPerSecond: Math.round(of(name, "perSecond")),
          p50Ms: rounded(of(name, "p50")),
          p99Ms: rounded(of(name, "p99")),
          cpuMicrosecondsAWrite: Math.round(of(name, "cpu")),
          rounds: (rounds.get(name) ?? []).map(({ perSecond }) => Math.round(perSecond)),
        },
      ]),
    )
    console.log(`${"".padEnd(34)}writes/s   p50 ms   p99 ms  CPU µs/write`)
    for (const [name, { writesPerSecond, p50Ms, p99Ms, cpuMicrosecondsAWrite }] of Object.entries(figures)) {
      const cells = [String(writesPerSecond).padStart(8), p50Ms.toFixed(2).padStart(9), p99Ms.toFixed(2).padStart(9)]
      console.log(`${name.padEnd(34)}${cells.join("")}${String(cpuMicrosecondsAWrite).padStart(14)}`)
    }
    // Round by round, since a disk has good and bad minutes.
    const ratio = (one: Contender, other: Contender) =>
      rounded(
        median((rounds.get(one) ?? []).map(({ perSecond }, i) => perSecond / (rounds.get(other)?.[i]?.perSecond ?? 0))),
      )
    const ratios = {
      "1 caller: Prism / SQLite": ratio("Prism, 1 caller", "SQLite, 1 connection"),
      "1 caller: Prism / SQLite with FTS5": ratio("Prism, 1 caller", "SQLite with FTS5, 1 connection"),
      "1 caller: Prism / write and fdatasync": ratio("Prism, 1 caller", "write and fdatasync"),
      "32 callers: Prism / SQLite, 32 processes": ratio("Prism, 32 callers", "SQLite, 32 processes"),
      "32 callers: Prism / SQLite, 1 connection": ratio("Prism, 32 callers", "SQLite, 1 connection"),
      "32 callers: Prism / SQLite with FTS5, 32 processes": ratio(
        "Prism, 32 callers",
        "SQLite with FTS5, 32 processes",
      ),
    }
    console.log()
    for (const [name, value] of Object.entries(ratios)) console.log(`${name.padEnd(56)}${value.toFixed(2)}`)
    const versions = await run<object>("sqlite", "version")
    record("durable", { fileSystem, seconds, rounds: roundCount, versions, figures, ratios })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const [stage = "", kind = "", folder = "", documents = "", ...rest] = process.argv.slice(2)
if (stage === "write") {
  const [seconds, callers] = rest.map(Number) as [number, number]
  if (kind === "prism") await writePrism(folder, readRows(documents), seconds, callers)
  else await writeBare(folder, readRows(documents), seconds)
} else if (stage === "check") await checkPrism(folder, readRows(documents), JSON.parse(rest[0] ?? "") as number[])
else await main(Number(stage || 5), Number(kind || 5), resolve(folder || "build"))
