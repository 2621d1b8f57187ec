// Snapshots, plain and encrypted, of a collection of 2 GiB: throughput beside tar, zstd and age, memory of archives twice
// as large, the time until a restored collection answers, and sizes. Run: npm run bench archives [-- --folder DIR]
//
//   --folder DIR       keeps the collection between runs; default build/archives
//   --documents N      default 300,000, which are 2 GiB
//   --parts NAMES      of throughput,memory,search,sizes; default all
//   --rounds N         of throughput; default 3
//   --node PROGRAM     another Node whose figures stand beside those of this one
//
// Documents are Debian's packages over and over with other words each time, a stored text of random passages, and 384-d
// vectors with noise: nothing is there twice. Every stage of Prism is a process of its own; what is measured is the call,
// without the start of the process and the opening of the folder. Programs get the collection's own files, and sync what
// they wrote, as Prism does. Everything is in the page cache, for all. Needs tar, zstd, age; 20 GB on the disk.
import { execFileSync, spawnSync } from "node:child_process"
import {
  existsSync,
  linkSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { loadavg } from "node:os"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"
import { generateKey, parseKey } from "../src/formats/key.ts"
import type { DocumentInput, RestoreReport } from "../src/index.ts"
import { Prism } from "../src/runtime-node/index.ts"
import { runtime } from "../src/runtime-node/runtime.ts"
import { decodeManifest, encodeManifest, type FileEntry, type SegmentEntry } from "../src/storage/manifest.ts"
import { PACKAGE_FIELDS, uniform } from "./corpus.ts"
import { answer, cpuSeconds, fileSystemOf, median, residentBytes, rounded, runStage } from "./measure.ts"
import { dataFile, readFloat16, readJsonLines, record } from "./shared-data.ts"

const CORPUS = "debian-packages.jsonl.zst"
const VECTORS = "debian-384.f16"
const DIMENSION = 384
/** Length of the noise as a part of its vector's. */
const NOISE = 0.3
/** Of the words of a repeated document, so many are other ones. */
const REPLACED_SHARE = 0.2
/** The stored text of a document, and the passages that it is made of. */
const BODY_CHARACTERS = 4500
const PASSAGE_CHARACTERS = [30, 100] as const
/** Documents of the collection that is both restored and indexed again. */
const SAMPLE = 60_000

const SCHEMA = {
  backends: {
    text: { fields: [...PACKAGE_FIELDS, { name: "body", type: "text", indexed: false }] },
    vector: { embedding_field: "embedding", dimension: DIMENSION },
  },
} as const

interface Package {
  readonly id: string
  readonly title: string
  readonly text: string
  readonly [field: string]: unknown
}

async function* documents(count: number): AsyncGenerator<DocumentInput> {
  const random = uniform(count)
  const packages: Package[] = []
  for await (const row of readJsonLines<Package>(CORPUS)) packages.push(row)
  const matrix = readFloat16(VECTORS)
  // Without surrogates, so that it can be cut anywhere.
  const prose = packages
    .map(({ text }) => text)
    .join(" ")
    .replace(/[\ud800-\udfff]/g, "")
  const words = prose.match(/\p{L}{2,}/gu) ?? []
  const edited = (text: string) =>
    text.replace(/\p{L}+/gu, (old) =>
      random() < REPLACED_SHARE ? (words[Math.floor(random() * words.length)] as string) : old,
    )
  const body = () => {
    let text = ""
    while (text.length < BODY_CHARACTERS) {
      const [least, most] = PASSAGE_CHARACTERS
      const start = Math.floor(random() * (prose.length - most))
      text += `${prose.slice(start, start + least + random() * (most - least))} `
    }
    return text
  }
  for (let row = 0; row < count; row++) {
    const place = row % packages.length
    const { id, ...fields } = packages[place] as Package
    const vector = noisy(matrix.slice(place * DIMENSION, (place + 1) * DIMENSION), random)
    const changed = row === place ? {} : { title: edited(fields.title), text: edited(fields.text) }
    yield { id: `${id}~${row}`, fields: { ...fields, ...changed, body: body() }, vector }
  }
}

/** With Gaussian noise (Box and Muller). */
function noisy(vector: Float32Array, random: () => number): Float32Array {
  const deviation = (NOISE * Math.hypot(...vector)) / Math.sqrt(DIMENSION)
  for (let i = 0; i < DIMENSION; i += 2) {
    const radius = deviation * Math.sqrt(-2 * Math.log(1 - random()))
    const angle = 2 * Math.PI * random()
    vector[i] = (vector[i] as number) + radius * Math.cos(angle)
    vector[i + 1] = (vector[i + 1] as number) + radius * Math.sin(angle)
  }
  return vector
}

async function build(data: string, count: number): Promise<void> {
  const draft = `${data}.draft`
  rmSync(draft, { recursive: true, force: true })
  const prism = await Prism.open(draft)
  const collection = await prism.createCollection(NAME, SCHEMA)
  let batch: DocumentInput[] = []
  for await (const document of documents(count)) {
    batch.push(document)
    if (batch.length < 1000) continue
    await collection.add(batch)
    batch = []
  }
  await collection.add(batch)
  await collection.checkpoint()
  await prism.close()
  renameSync(draft, data)
}

/** A collection with the segments of another one twice: its files, linked. What comes again is gigabytes away, where no
 *  compressor finds it. */
function double(data: string, doubled: string): void {
  rmSync(doubled, { recursive: true, force: true })
  const [from, to] = [collectionFolder(data), collectionFolder(doubled)]
  for (const folder of FOLDERS) mkdirSync(join(to, folder), { recursive: true })
  const manifest = decodeManifest(readFileSync(join(from, "MANIFEST")), "MANIFEST")
  let id = 0
  const copy = (segment: SegmentEntry): SegmentEntry => {
    id++
    const files = Object.entries(segment.files).map(([kind, file]: [string, FileEntry]) => {
      const path = file.path.replace(/\d+/, String(id).padStart(6, "0"))
      linkSync(join(from, file.path), join(to, path))
      return [kind, { ...file, path }]
    })
    return { ...segment, id, files: Object.fromEntries(files) as SegmentEntry["files"] }
  }
  const segments = [...manifest.segments, ...manifest.segments].map(copy)
  for (const { path } of manifest.logs) linkSync(join(from, path), join(to, path))
  const documentCount = 2 * manifest.documentCount
  const bytes = encodeManifest({ ...manifest, documentCount, segments, nextSegmentId: id + 1 })
  writeFileSync(join(to, "MANIFEST"), bytes)
}

const NAME = "packages"
const FOLDERS = ["text", "vector"] as const

function collectionFolder(data: string): string {
  return join(data, "collections", NAME)
}

/** Bytes of a collection's segment files. */
function indexBytes(data: string): number {
  const folders = FOLDERS.map((folder) => join(collectionFolder(data), folder))
  return folders.flatMap((folder) => readdirSync(folder).map((name) => statSync(join(folder, name)).size)).reduce(sum)
}

const sum = (a: number, b: number) => a + b

/** What is in a collection's segment files, whatever they are called. */
function contentOf(folder: string): string {
  const lines = execFileSync("bash", ["-c", "find text vector -type f -exec sha256sum {} + | cut -c1-64 | sort"], {
    cwd: folder,
    encoding: "utf8",
  })
  return lines
}

// --- stages: what Prism does, in a process of its own ---

interface Figures {
  readonly seconds: number
  readonly cpuSeconds: number
}

interface Stage extends Figures {
  /** Peak of the resident memory over what it was before. */
  readonly growthMiB: number
  readonly report: { readonly file_sha256: string; readonly document_count?: number; readonly checksum: string }
}

const OPERATIONS = ["export", "verify", "restore"] as const
type Operation = (typeof OPERATIONS)[number] | `${(typeof OPERATIONS)[number]} encrypted`

async function runOperation(operation: Operation, data: string, file: string, key: string): Promise<void> {
  const [kind, isEncrypted] = operation.split(" ") as [(typeof OPERATIONS)[number], string?]
  const keys = isEncrypted ? [parseKey(readFileSync(key, "utf8"))] : []
  await using prism = await Prism.open(data, { readOnly: kind !== "restore" })
  if (kind === "export") {
    const collection = await prism.collection(NAME)
    const options = {
      format: file.endsWith(".jsonl") ? "portable" : "snapshot",
      ...(isEncrypted && { encryption: { keys } }),
    } as const
    answer(await measured(async () => collection.export(await runtime.files.write(file, { replace: true }), options)))
  } else {
    await using source = await runtime.files.open(file)
    if (!source) throw new Error(`${file} is no file`)
    answer(await measured(() => (kind === "verify" ? prism.verify(source, { keys }) : prism.restore(source, { keys }))))
  }
}

async function measured(work: () => Promise<Stage["report"] | RestoreReport>): Promise<Stage> {
  globalThis.gc?.()
  writeFileSync("/proc/self/clear_refs", "5") // the peak begins anew: proc(5)
  const before = residentBytes()
  const cpu = cpuSeconds()
  const started = performance.now()
  const report = await work()
  return {
    seconds: (performance.now() - started) / 1000,
    cpuSeconds: cpuSeconds() - cpu,
    growthMiB: (residentBytes("VmHWM") - before) / 2 ** 20,
    report,
  }
}

const QUERY = "library for compression of data"

interface FirstSearches {
  readonly restored: number
  readonly text: number
  readonly vector: number
  readonly textIds: string[]
  readonly vectorIds: string[]
}

/** Seconds from the start of a restore. */
async function searchFirst(data: string, file: string): Promise<void> {
  await using prism = await Prism.open(data)
  const vector = readFloat16(VECTORS).slice(0, DIMENSION)
  await using source = await runtime.files.open(file)
  if (!source) throw new Error(`${file} is no file`)
  const started = performance.now()
  const seconds = () => (performance.now() - started) / 1000
  await prism.restore(source)
  const restored = seconds()
  const collection = await prism.collection(NAME)
  const ids = ({ results }: { results: readonly { id: string }[] }) => results.map(({ id }) => id)
  const textIds = ids(await collection.search({ query: QUERY, limit: 10 }))
  const text = seconds()
  const vectorIds = ids(await collection.search({ vector, limit: 10 }))
  answer({ restored, text, vector: seconds(), textIds, vectorIds } satisfies FirstSearches)
}

// --- the benchmark ---

interface Place {
  readonly folder: string
  readonly data: string
  readonly key: string
  readonly nodes: Readonly<Record<string, string>>
}

const script = fileURLToPath(import.meta.url)

async function stageOf<T>(program: string, ...words: string[]): Promise<T> {
  return await runStage<T>(program, ["--expose-gc", script, ...words])
}

/** A pipeline of programs, timed by bash with all its processes. */
function shell(folder: string, pipeline: string): Figures {
  const { status, stderr } = spawnSync(
    "bash",
    ["-c", `set -eo pipefail; TIMEFORMAT='%R %U %S'; time { ${pipeline}; }`],
    {
      cwd: folder,
      encoding: "utf8",
    },
  )
  const [seconds = 0, user = 0, system = 0] = (stderr.trim().split("\n").at(-1) ?? "").split(" ").map(Number)
  if (status !== 0) throw new Error(`${pipeline}: ${stderr}`)
  return { seconds, cpuSeconds: user + system }
}

const SYNC_FILES = "find out -type f -exec sync {} +"

/** What a stock program takes for the same work. `{c}` is the collection's folder. */
const PEERS: Record<Operation, Record<string, string>> = {
  export: {
    "tar | zstd -3": "tar c -C {c} text vector | zstd -q -f -3 -o peer.tar.zst; sync peer.tar.zst",
    "tar | zstd -3 -T2": "tar c -C {c} text vector | zstd -q -f -3 -T2 -o peer.tar.zst; sync peer.tar.zst",
  },
  verify: { "zstd -d | sha256sum": "zstd -q -dc peer.tar.zst | sha256sum" },
  restore: { "zstd -d | tar x": `zstd -q -dc peer.tar.zst | tar x -C out; ${SYNC_FILES}` },
  "export encrypted": {
    "tar | zstd -3 -T2 | age": "tar c -C {c} text vector | zstd -q -3 -T2 | age -R age.pub > peer.age; sync peer.age",
    "age alone": "age -R age.pub < snapshot.tar.zst > alone.age; sync alone.age",
  },
  "verify encrypted": {
    "age -d | zstd -d | sha256sum": "age -d -i age.key peer.age | zstd -q -dc | sha256sum",
    "age -d alone": "age -d -i age.key alone.age > /dev/null",
  },
  "restore encrypted": {
    "age -d | zstd -d | tar x": `age -d -i age.key peer.age | zstd -q -dc | tar x -C out; ${SYNC_FILES}`,
  },
}

function archiveOf(operation: Operation): string {
  return operation.endsWith("encrypted") ? "snapshot.enc" : "snapshot.tar.zst"
}

/** One operation of Prism, and its answer checked. */
async function prismDoes(
  { folder, data, key }: Place,
  program: string,
  operation: Operation,
  { thoroughly }: { thoroughly: boolean },
): Promise<Stage> {
  const out = join(folder, "out")
  const archive = join(folder, archiveOf(operation))
  rmSync(out, { recursive: true, force: true })
  const isRestore = operation.startsWith("restore")
  const stage = await stageOf<Stage>(program, "operation", operation, isRestore ? out : data, archive, key)
  const fail = (what: string): never => {
    throw new Error(`${operation}: ${what}`)
  }
  if (operation.startsWith("verify") && stage.report.checksum !== "verified") fail("not verified")
  if (!thoroughly) return stage
  const hash = execFileSync("sha256sum", [archive], { encoding: "utf8" }).slice(0, 64)
  if (hash !== stage.report.file_sha256) fail("the file has another hash than the report says")
  if (isRestore && contentOf(collectionFolder(out)) !== contentOf(collectionFolder(data))) fail("other bytes came back")
  if (operation === "export") {
    mkdirSync(out)
    execFileSync("bash", ["-c", `tar --zstd -xf ${archive} && sha256sum --quiet -c MANIFEST.sha256`], {
      cwd: out,
      stdio: ["ignore", "inherit", "inherit"],
    })
  }
  return stage
}

async function throughput(place: Place, rounds: number): Promise<object> {
  const { folder, data, nodes } = place
  const bytes = indexBytes(data)
  execFileSync("bash", ["-c", "rm -f age.key; age-keygen -o age.key 2>/dev/null; age-keygen -y age.key > age.pub"], {
    cwd: folder,
  })
  warm(data)
  const runs = new Map<Operation, Map<string, Figures[]>>()
  for (let round = 0; round < rounds; round++) {
    for (const [operation, peers] of Object.entries(PEERS) as [Operation, Record<string, string>][]) {
      const contenders: [string, () => Promise<Figures>][] = [
        ...Object.entries(nodes).map(([name, program]): [string, () => Promise<Figures>] => [
          name,
          () => prismDoes(place, program, operation, { thoroughly: round === 0 }),
        ]),
        ...Object.entries(peers).map(([name, pipeline]): [string, () => Promise<Figures>] => [
          name,
          async () => {
            rmSync(join(folder, "out"), { recursive: true, force: true })
            mkdirSync(join(folder, "out"))
            return shell(folder, pipeline.replaceAll("{c}", collectionFolder(data)))
          },
        ]),
      ]
      // The first makes what the others read; from then on each round begins with another one.
      const first = round % contenders.length
      for (const [name, run] of [...contenders.slice(first), ...contenders.slice(0, first)]) {
        const figures = await run()
        const all = runs.get(operation) ?? new Map<string, Figures[]>()
        runs.set(operation, all.set(name, [...(all.get(name) ?? []), figures]))
        console.log(
          `${round + 1}. ${operation.padEnd(18)} ${name.padEnd(30)} ${figures.seconds.toFixed(1)} s ${figures.cpuSeconds.toFixed(1)} CPU-s`,
        )
      }
    }
  }
  if (rounds > 0) {
    execFileSync("bash", ["-c", "cmp <(age -d -i age.key alone.age) snapshot.tar.zst"], { cwd: folder })
  }
  const result: Record<string, Record<string, object>> = {}
  console.log(`\n${"".padEnd(50)}    MB/s  CPU-s   growth MiB`)
  for (const [operation, all] of runs) {
    const of: Record<string, object> = {}
    for (const [name, figures] of all) {
      const rates = figures.map(({ seconds }) => bytes / 1e6 / seconds)
      const growth = figures.map((figure) => ("growthMiB" in figure ? (figure as Stage).growthMiB : 0))
      const perSecond = Math.round(median(rates))
      const cpu = rounded(median(figures.map((figure) => figure.cpuSeconds)), 1)
      const growthMiB = Math.round(Math.max(...growth))
      of[name] = {
        megabytesPerSecond: perSecond,
        cpuSeconds: cpu,
        ...(growthMiB > 0 && { growthMiB }),
        rounds: rates.map(Math.round),
      }
      const cells = [String(perSecond).padStart(8), cpu.toFixed(1).padStart(7), String(growthMiB || "").padStart(13)]
      console.log(`${operation.padEnd(20)}${name.padEnd(30)}${cells.join("")}`)
    }
    // Round by round, since others use the machine too.
    const [ours, theirs] = [Object.keys(nodes), Object.keys(PEERS[operation])]
    const ratios = ours.flatMap((our) =>
      theirs.map((their) => {
        const [a, b] = [all.get(our) ?? [], all.get(their) ?? []]
        return [`${our} / ${their}`, rounded(median(a.map(({ seconds }, i) => (b[i] as Figures).seconds / seconds)))]
      }),
    )
    result[operation] = { ...of, ratios: Object.fromEntries(ratios) as object }
    for (const [name, ratio] of ratios) console.log(`${"".padEnd(20)}${name} = ${ratio}`)
  }
  return result
}

/** Reads a collection's files once. */
function warm(data: string): void {
  execFileSync("bash", ["-c", "cat text/* vector/* > /dev/null"], { cwd: collectionFolder(data) })
}

const GROWTH_MIB_MAX = 256

async function memory(place: Place): Promise<object> {
  const folder = join(place.folder, "twice")
  const data = join(folder, "data")
  double(place.data, data)
  const result: Record<string, object> = {}
  try {
    for (const [name, program] of Object.entries(place.nodes)) {
      const of: Record<string, number> = {}
      for (const operation of Object.keys(PEERS) as Operation[]) {
        const stage = await prismDoes({ ...place, folder, data }, program, operation, { thoroughly: false })
        of[operation] = Math.round(stage.growthMiB)
        const over = stage.growthMiB > GROWTH_MIB_MAX ? `, over ${GROWTH_MIB_MAX}` : ""
        console.log(
          `${name}: ${operation.padEnd(18)} grew by ${of[operation]} MiB${over} (${stage.seconds.toFixed(1)} s)`,
        )
      }
      result[name] = of
    }
    return { tarGiB: rounded(indexBytes(data) / 2 ** 30), growthMiB: result, boundMiB: GROWTH_MIB_MAX }
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const FASTER_MIN = 5

async function search({ folder, key, nodes }: Place): Promise<object> {
  const data = join(folder, "sample")
  if (!existsSync(data)) await stageOf(process.execPath, "build", data, String(SAMPLE))
  const result: Record<string, object> = {}
  const archives = { snapshot: "sample.tar.zst", portable: "sample.prism.jsonl" } as const
  const pathOf = (kind: keyof typeof archives) => join(folder, archives[kind])
  for (const kind of ["snapshot", "portable"] as const) {
    await stageOf(process.execPath, "operation", "export", data, pathOf(kind), key)
  }
  for (const [name, program] of Object.entries(nodes)) {
    const times = async (kind: keyof typeof archives) => {
      const out = join(folder, "out")
      rmSync(out, { recursive: true, force: true })
      return await stageOf<FirstSearches>(program, "search", out, pathOf(kind))
    }
    const [snapshot, portable] = [await times("snapshot"), await times("portable")]
    if (snapshot.textIds.join() !== portable.textIds.join() || snapshot.textIds.length < 10) {
      throw new Error("the same archive answers differently when it is indexed again")
    }
    if (snapshot.vectorIds[0] !== portable.vectorIds[0]) throw new Error("another nearest document")
    const figures = ({ restored, text, vector }: FirstSearches) => ({
      restored: rounded(restored),
      text: rounded(text),
      vector: rounded(vector),
    })
    const ratio = {
      text: rounded(portable.text / snapshot.text, 1),
      vector: rounded(portable.vector / snapshot.vector, 1),
    }
    result[name] = { snapshot: figures(snapshot), portable: figures(portable), ratio }
    console.log(
      `${name}: first text search after ${snapshot.text.toFixed(2)} s of a snapshot, ${portable.text.toFixed(1)} s of a ` +
        `portable archive: ${ratio.text} × as fast (target ${FASTER_MIN}); first vector search after ` +
        `${snapshot.vector.toFixed(2)} and ${portable.vector.toFixed(1)} s: ${ratio.vector} ×`,
    )
  }
  return { documents: SAMPLE, seconds: result, target: FASTER_MIN }
}

async function sizes(place: Place): Promise<object> {
  const { folder, data, key } = place
  const bytes: Record<string, number> = { "index files": indexBytes(data) }
  const portable = join(folder, "whole.prism.jsonl")
  const run = (file: string, operation: Operation = "export") =>
    stageOf<Stage>(process.execPath, "operation", operation, data, file, key)
  const sizeOf = (name: string) => statSync(join(folder, name)).size
  try {
    const { seconds } = await run(portable)
    console.log(`portable export: ${seconds.toFixed(1)} s`)
    bytes["portable"] = sizeOf("whole.prism.jsonl")
  } finally {
    rmSync(portable, { force: true })
  }
  await run(join(folder, archiveOf("export")))
  await run(join(folder, archiveOf("export encrypted")), "export encrypted")
  shell(folder, "tar c -C {c} text vector | zstd -q -f -3 -o peer.tar.zst".replace("{c}", collectionFolder(data)))
  bytes["snapshot"] = sizeOf("snapshot.tar.zst")
  bytes["encrypted"] = sizeOf("snapshot.enc")
  bytes["tar | zstd -3"] = sizeOf("peer.tar.zst")
  for (const [name, size] of Object.entries(bytes))
    console.log(`${name.padEnd(16)} ${String(Math.round(size / 1e6)).padStart(6)} MB`)
  if ((bytes["snapshot"] as number) >= (bytes["portable"] as number)) console.log("a snapshot is larger than portable")
  return Object.fromEntries(Object.entries(bytes).map(([name, size]) => [name, Math.round(size / 1e6)]))
}

/** Of the last 1, 5 and 15 minutes. */
function loads(): number[] {
  return loadavg().map((load) => rounded(load, 1))
}

async function main(): Promise<void> {
  const { values } = parseArgs({
    options: {
      folder: { type: "string", default: "build/archives" },
      documents: { type: "string", default: "300000" },
      parts: { type: "string", default: "throughput,memory,search,sizes" },
      rounds: { type: "string", default: "3" },
      node: { type: "string" },
    },
  })
  dataFile(CORPUS)
  for (const program of ["tar", "zstd", "age"]) {
    if (spawnSync(program, ["--version"]).status === 0) continue
    console.log(`skipped: needs ${program}`)
    return
  }
  const folder = resolve(values.folder)
  mkdirSync(folder, { recursive: true })
  const data = join(folder, "data")
  if (!existsSync(data)) {
    console.log(`making a collection of ${values.documents} documents in ${folder}`)
    await stageOf(process.execPath, "build", data, values.documents)
  }
  const key = join(folder, "prism.key")
  writeFileSync(key, generateKey())
  const versionOf = (program: string) => execFileSync(program, ["--version"], { encoding: "utf8" }).trim()
  const nodes: Record<string, string> = { [`Prism, Node ${process.version}`]: process.execPath }
  if (values.node !== undefined) nodes[`Prism, Node ${versionOf(values.node)}`] = resolve(values.node)
  const place: Place = { folder, data, key, nodes }
  const fileSystem = fileSystemOf(folder)
  console.log(`${rounded(indexBytes(data) / 2 ** 30)} GiB of index; ${fileSystem}; load ${loads().join(" ")}`)
  const parts = values.parts.split(",")
  const runs: Record<string, () => Promise<object>> = {
    throughput: () => throughput(place, Number(values.rounds)),
    memory: () => memory(place),
    search: () => search(place),
    sizes: () => sizes(place),
  }
  // Parts can be run one by one: the record holds what each gave last.
  const kept = join(folder, "results.json")
  const results = (existsSync(kept) ? JSON.parse(readFileSync(kept, "utf8")) : {}) as Record<string, object>
  for (const part of parts) {
    const before = loads()
    results[part] = { ...(await (runs[part] as () => Promise<object>)()), loads: { before, after: loads() } }
    writeFileSync(kept, JSON.stringify(results))
  }
  const indexMB = Math.round(indexBytes(data) / 1e6)
  if (indexMB * 1e6 < 2 ** 31) console.log("not recorded: needs 2 GiB, so more documents")
  else record("archives", { fileSystem, indexMB, ...results })
}

const [kind = "", ...words] = process.argv.slice(2)
const [one = "", two = "", three = "", four = ""] = words
if (kind === "build") {
  await build(one, Number(two))
  answer({})
} else if (kind === "operation") await runOperation(one as Operation, two, three, four)
else if (kind === "search") await searchFirst(one, two)
else await main()
