// Requests a second, p50 and p99 of text, vector and hybrid search over HTTP, with 1, 8 and 64 clients, alone and while the
// server exports the collection. Run: npm run bench serve [SECONDS] [ROUNDS] [FOLDER]
//
// The server is a process of its own, as `prism serve` starts it, with Debian's 63,436 packages and their 384-d vectors;
// this process is all clients, over kept connections. Beside it stands node:http alone, which answers every request with
// bytes of the length of a text search's answer: what Node, the kernel and these clients cost without Prism. All take
// turns, in rounds. What the server finds is compared with the library's own answers before it is measured. How much
// others wait is seen from outside: a request of /health every 10 ms, which does nothing but wait for its turn.
import { spawn } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { Agent, createServer, request } from "node:http"
import type { AddressInfo } from "node:net"
import { join, resolve } from "node:path"
import { fileURLToPath } from "node:url"
import { Prism } from "../src/runtime-node/index.ts"
import { PACKAGE_FIELDS } from "./corpus.ts"
import { answer, latencies, median, rounded, runStage } from "./measure.ts"
import { readFloat16, readJsonLines, record } from "./shared-data.ts"

const CORPUS = "debian-packages.jsonl.zst"
const VECTORS = "debian-384.f16"
const DIMENSION = 384
const CLIENTS = [1, 8, 64]
const KINDS = ["text", "vector", "hybrid"] as const
const QUERIES = 500
const CHECKED = 50
const HEALTH_MS = 10
const SCHEMA = {
  backends: {
    text: { fields: PACKAGE_FIELDS },
    vector: { embedding_field: "embedding", dimension: DIMENSION, distance: "cosine" },
  },
} as const

interface Package {
  readonly id: string
  readonly title: string
  readonly text: string
  readonly [field: string]: unknown
}

type Kind = (typeof KINDS)[number] | "bare"

interface Measured {
  readonly kind: Kind
  readonly clients: number
  readonly perSecond: number
  readonly p50: number
  readonly p99: number
  /** CPU seconds of the server a thousand requests. */
  readonly cpuPerThousand: number
}

/** What is asked, and the ids that the library finds for the first of each kind. */
interface Filled {
  readonly asked: { query: string; vector: number[] }[]
  readonly found: string[][]
  readonly documents: number
}

/** Fills a data folder, in a process of its own: its memory is none of the server's. Writes down what is to be asked. */
async function fill(folder: string): Promise<void> {
  const vectors = readFloat16(VECTORS)
  const prism = await Prism.open(folder)
  const packages = await prism.createCollection("packages", SCHEMA)
  const asked: Filled["asked"] = []
  let place = 0
  let batch: { id: string; fields: object; vector: Float32Array }[] = []
  for await (const { id, ...fields } of readJsonLines<Package>(CORPUS)) {
    const vector = vectors.subarray(place * DIMENSION, (place + 1) * DIMENSION)
    batch.push({ id, fields, vector })
    // Two words of a package's own text, from packages spread over all.
    if (place % 127 === 0 && asked.length < QUERIES) {
      const { title, text } = fields
      const words = text.match(/[a-z]{4,}/g) ?? [title]
      asked.push({ query: [words[1] ?? title, words[5] ?? title].join(" "), vector: Array.from(vector) })
    }
    place++
    if (batch.length === 2000) {
      await packages.add(batch as never)
      batch = []
    }
  }
  await packages.add(batch as never)
  await packages.optimize()
  const found: string[][] = []
  for (const kind of KINDS) {
    for (const query of asked.slice(0, CHECKED)) {
      found.push((await packages.search(requestOf(kind, query))).results.map(({ id }) => id))
    }
  }
  await prism.close()
  writeFileSync(`${folder}.json`, JSON.stringify({ asked, found, documents: place } satisfies Filled))
  answer({})
}

function requestOf(kind: Kind, { query, vector }: { query: string; vector: number[] }): object {
  if (kind === "vector") return { vector }
  return kind === "hybrid" ? { query, vector } : { query }
}

class Target {
  readonly #agent = new Agent({ keepAlive: true, maxSockets: 64 })
  readonly #port: number
  readonly pid: number

  constructor(port: number, pid: number) {
    this.#port = port
    this.pid = pid
  }

  ask(method: string, path: string, body?: string): Promise<{ status: number; text: string }> {
    return new Promise((done, reject) => {
      const headers =
        body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }
      const sent = request(
        { agent: this.#agent, host: "127.0.0.1", port: this.#port, method, path, headers },
        (answered) => {
          let text = ""
          answered.setEncoding("utf8").on("data", (part: string) => {
            text += part
          })
          answered.on("end", () => done({ status: answered.statusCode ?? 0, text }))
          answered.on("error", reject)
        },
      )
      sent.on("error", reject)
      sent.end(body)
    })
  }

  /** CPU seconds of the process so far, all threads, in steps of 10 ms. */
  cpuSeconds(): number {
    const fields = readFileSync(`/proc/${this.pid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? []
    return (Number(fields[11]) + Number(fields[12])) / 100
  }

  close(): void {
    this.#agent.destroy()
  }
}

async function measure(
  target: Target,
  kind: Kind,
  bodies: readonly string[],
  clients: number,
  seconds: number,
): Promise<Measured> {
  const times: number[] = []
  const cpu = target.cpuSeconds()
  const started = performance.now()
  const end = started + seconds * 1000
  let next = 0
  await Promise.all(
    Array.from({ length: clients }, async () => {
      for (;;) {
        const began = performance.now()
        if (began >= end) return
        const { status } = await target.ask(
          "POST",
          "/collections/packages/search",
          bodies[next++ % bodies.length] as string,
        )
        if (status !== 200) throw new Error(`${kind}: ${status}`)
        times.push(performance.now() - began)
      }
    }),
  )
  const { count, p50, p99 } = latencies(times)
  const took = (performance.now() - started) / 1000
  const cpuPerThousand = rounded(((target.cpuSeconds() - cpu) / count) * 1000, 2)
  return { kind, clients, perSecond: Math.round(count / took), p50, p99, cpuPerThousand }
}

async function startServer(data: string, roots: string): Promise<{ target: Target; stop(): Promise<void> }> {
  const words = [
    resolve("dist/runtime-node/bin.js"),
    "serve",
    "--port",
    "0",
    "--json",
    "-d",
    data,
    "--backup-root",
    roots,
  ]
  const child = spawn(process.execPath, words, {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, PRISM_LOG: "off" },
  })
  const line = await new Promise<string>((done, reject) => {
    child.on("exit", (code) => reject(new Error(`the server ended with ${code}`)))
    let printed = ""
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      printed += text
      if (printed.includes("\n")) done(printed)
    })
  })
  const { url } = JSON.parse(line) as { url: string }
  const target = new Target(Number(new URL(url).port), child.pid as number)
  return {
    target,
    async stop() {
      target.close()
      const ended = new Promise((done) => child.once("exit", done))
      child.kill("SIGTERM")
      await ended
    },
  }
}

/** node:http that reads a request and answers so many bytes. */
async function serveBare(bytes: number): Promise<void> {
  const body = JSON.stringify({ filler: "x".repeat(Math.max(0, bytes - 13)) })
  const server = createServer((incoming, outgoing) => {
    let text = ""
    incoming.setEncoding("utf8").on("data", (part: string) => {
      text += part
    })
    incoming.on("end", () => {
      JSON.parse(text)
      outgoing.setHeader("content-type", "application/json").end(body)
    })
  })
  server.listen(0, "127.0.0.1", () => process.stdout.write(`${(server.address() as AddressInfo).port}\n`))
}

async function startBare(bytes: number): Promise<{ target: Target; stop(): void }> {
  const child = spawn(process.execPath, [fileURLToPath(import.meta.url), "bare", String(bytes)], {
    stdio: ["ignore", "pipe", "inherit"],
  })
  const port = await new Promise<number>((done) =>
    child.stdout.setEncoding("utf8").once("data", (text: string) => done(Number(text))),
  )
  const target = new Target(port, child.pid as number)
  return { target, stop: () => void (target.close(), child.kill()) }
}

/** Waits of /health in milliseconds, one every 10 ms, until `work` is done. */
async function healthWaits(target: Target, work: Promise<unknown>): Promise<number[]> {
  const waits: number[] = []
  let isOver = false
  void work.finally(() => {
    isOver = true
  })
  while (!isOver) {
    const began = performance.now()
    await target.ask("GET", "/health")
    waits.push(performance.now() - began)
    await new Promise((done) => setTimeout(done, HEALTH_MS))
  }
  return waits
}

async function main(seconds: number, rounds: number, parent: string): Promise<void> {
  const folder = mkdtempSync(join(resolve(parent), "prism-serve-"))
  const data = join(folder, "data")
  try {
    const self = fileURLToPath(import.meta.url)
    await runStage(process.execPath, [self, "fill", data])
    const { asked, found, documents } = JSON.parse(readFileSync(`${data}.json`, "utf8")) as Filled
    const bodies = Object.fromEntries(
      KINDS.map((kind) => [kind, asked.map((query) => JSON.stringify(requestOf(kind, query)))]),
    ) as Record<Kind, string[]>
    const server = await startServer(data, folder)
    let answerBytes = 0
    for (const [place, ids] of found.entries()) {
      const kind = KINDS[Math.floor(place / CHECKED)] as Kind
      const { text } = await server.target.ask(
        "POST",
        "/collections/packages/search",
        bodies[kind][place % CHECKED] as string,
      )
      const { results } = JSON.parse(text) as { results: { id: string }[] }
      if (results.map(({ id }) => id).join() !== ids.join())
        throw new Error(`${kind} search ${place} finds something else`)
      if (kind === "text") answerBytes += text.length / CHECKED
    }
    console.log(`${found.length} answers are the library's own`)
    const bare = await startBare(Math.round(answerBytes))
    const runs: Measured[] = []
    for (let round = 0; round < rounds; round++) {
      for (const clients of CLIENTS) {
        runs.push(await measure(bare.target, "bare", bodies.text, clients, seconds / 2))
        for (const kind of KINDS) runs.push(await measure(server.target, kind, bodies[kind], clients, seconds))
      }
    }
    bare.stop()
    const alone = summary(runs)
    print("alone", alone)

    const during: Record<string, unknown> = {}
    for (const format of ["portable", "snapshot"] as const) {
      let isMeasured = false
      let exports = 0
      const exporting = (async () => {
        while (!isMeasured) {
          const body = JSON.stringify({
            collection: "packages",
            format,
            output_path: join(folder, `packages.${format}`),
            overwrite: true,
          })
          const { status, text } = await server.target.ask("POST", "/_admin/export", body)
          if (status !== 200) throw new Error(text)
          exports++
        }
      })()
      const measuring = (async () => {
        const measured: Measured[] = []
        for (const kind of KINDS) measured.push(await measure(server.target, kind, bodies[kind], 8, seconds))
        isMeasured = true
        return measured
      })()
      const busy = await healthWaits(server.target, measuring)
      const measured = summary(await measuring)
      await exporting
      // And with nobody else: what an export alone makes others wait.
      const once = server.target.ask(
        "POST",
        "/_admin/export",
        JSON.stringify({
          collection: "packages",
          format,
          output_path: join(folder, `packages.${format}`),
          overwrite: true,
        }),
      )
      const idle = await healthWaits(server.target, once)
      print(`while ${exports} exports (${format}) ran`, measured)
      during[format] = {
        exports,
        searches: measured,
        healthWhileSearching: latencies(busy),
        healthDuringAnExportAlone: latencies(idle),
      }
      console.log("/health meanwhile", latencies(busy), "during an export alone", latencies(idle))
    }
    await server.stop()
    record("serve", { documents, seconds, rounds, alone, during })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

/** Medians over the rounds. */
function summary(runs: readonly Measured[]): Measured[] {
  const keys = [...new Set(runs.map(({ kind, clients }) => `${kind} ${clients}`))]
  return keys.map((key) => {
    const same = runs.filter(({ kind, clients }) => `${kind} ${clients}` === key)
    const of = (name: "perSecond" | "p50" | "p99" | "cpuPerThousand") => median(same.map((run) => run[name]))
    const { kind, clients } = same[0] as Measured
    return {
      kind,
      clients,
      perSecond: of("perSecond"),
      p50: of("p50"),
      p99: of("p99"),
      cpuPerThousand: of("cpuPerThousand"),
    }
  })
}

function print(title: string, rows: readonly Measured[]): void {
  console.log(`\n${title}`)
  console.table(rows)
}

const [first = "5", second = "3", third = "."] = process.argv.slice(2)
if (first === "fill") await fill(second)
else if (first === "bare") await serveBare(Number(second))
else await main(Number(first), Number(second), third)
