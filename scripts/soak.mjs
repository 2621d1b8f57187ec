// Asks a real server a million mixed things and watches its memory, its handles and its answers: nothing may grow.
//   npm run test:soak -- [--requests 1000000] [--clients 16] [--seed 1] [--program "node dist/runtime-node/bin.js"]
// The last line is "N passed, M failed"; exit 1 where anything grew or an answer was not as it must be.
import { spawn } from "node:child_process"
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs"
import { Agent, request } from "node:http"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { parseArgs } from "node:util"

const { values } = parseArgs({
  options: {
    requests: { type: "string", default: "1000000" },
    clients: { type: "string", default: "16" },
    seed: { type: "string", default: "1" },
    program: { type: "string", default: `${process.execPath} dist/runtime-node/bin.js` },
  },
})
const REQUESTS = Number(values.requests)
const CLIENTS = Number(values.clients)

/** Documents that a collection has at most: they are replaced and deleted, so that its size settles. */
const IDS = 5000
const DIMENSION = 16
const WORDS =
  "moon sun star tide lamp hall tree key door rain snow wind fire salt iron glass paper river stone cloud".split(" ")
/** Looks at the process, evenly over the run. */
const SAMPLES = 200
/** Resident memory may differ so much between the second and the last quarter of the run: garbage collection decides
 *  when it is given back, and segments are merged. */
const MEMORY_GROWTH_MAX = 0.15
const HANDLES_GROWTH_MAX = 4

/** xorshift32: the run of a seed is the same run again, but for the order in which clients are served. @param {number} seed */
function randomOf(seed) {
  let state = seed * 2654435761 || 1
  return () => {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    return (state >>> 0) / 2 ** 32
  }
}

const folder = mkdtempSync(join(tmpdir(), "prism-soak-"))
const [program = "", ...first] = values.program.split(" ")
const server = spawn(
  program,
  [...first, "serve", "--port", "0", "--json", "-d", join(folder, "data"), "--backup-root", folder],
  { stdio: ["ignore", "pipe", "ignore"], env: { ...process.env, PRISM_LOG: "off" } },
)
let printed = ""
const url = await new Promise((resolve, reject) => {
  server.on("exit", (code) => reject(new Error(`the server ended with ${code}`)))
  server.stdout.setEncoding("utf8").on("data", (text) => {
    printed += text
    const line = printed.split("\n", 1)[0] ?? ""
    if (printed.includes("\n")) resolve(new URL(JSON.parse(line).url))
  })
})

const agent = new Agent({ keepAlive: true, maxSockets: CLIENTS })

/**
 * @param {string} method
 * @param {string} path
 * @param {unknown} [body]
 * @returns {Promise<{ status: number, json: any }>}
 */
function ask(method, path, body) {
  const text = body === undefined ? undefined : typeof body === "string" ? body : JSON.stringify(body)
  return new Promise((resolve, reject) => {
    const headers =
      text === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(text) }
    const sent = request({ agent, host: url.hostname, port: url.port, method, path, headers }, (answer) => {
      let received = ""
      answer.setEncoding("utf8").on("data", (part) => (received += part))
      answer.on("end", () => {
        let json
        try {
          json = JSON.parse(received)
        } catch {
          json = undefined
        }
        resolve({ status: answer.statusCode ?? 0, json })
      })
      answer.on("error", reject)
    })
    sent.on("error", reject)
    sent.end(text)
  })
}

/** @type {Map<string, number>} */
const wrong = new Map()
/** @type {Map<string, number>} */
const counts = new Map()
/** @param {string} kind @param {{ status: number, json: any }} answer @param {readonly number[]} statuses */
function expectStatus(kind, answer, statuses) {
  counts.set(kind, (counts.get(kind) ?? 0) + 1)
  if (statuses.includes(answer.status)) return
  const what = `${kind}: ${answer.status} ${JSON.stringify(answer.json)?.slice(0, 200)}`
  wrong.set(what, (wrong.get(what) ?? 0) + 1)
}

const schema = {
  backends: {
    text: {
      fields: [
        { name: "title", type: "text" },
        { name: "year", type: "i64" },
        { name: "cites", type: "string" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: DIMENSION },
    graph: { edges: [{ edge_type: "cites", from_field: "id", to_field: "cites" }] },
  },
}
for (const name of ["soak", "moved"]) {
  const made = await ask("PUT", `/collections/${name}`, schema)
  if (made.status !== 201) throw new Error(`create: ${JSON.stringify(made)}`)
}

/** @param {() => number} random */
const words = (random) => Array.from({ length: 6 }, () => WORDS[Math.floor(random() * WORDS.length)]).join(" ")
/** @param {() => number} random */
const vector = (random) => Array.from({ length: DIMENSION }, () => random() - 0.5)
/** @param {() => number} random */
const id = (random) => `d${Math.floor(random() * IDS)}`
/** @param {() => number} random */
const documentOf = (random) => ({
  id: id(random),
  title: words(random),
  year: Math.floor(random() * 100),
  cites: id(random),
  embedding: vector(random),
})

/** What is asked, each with its share of a thousand. The rare ones that move whole collections go one at a time. */
/** @type {readonly (readonly [string, number, (random: () => number) => Promise<void>])[]} */
const KINDS = [
  [
    "text search",
    240,
    async (random) =>
      expectStatus(
        "text search",
        await ask("POST", "/collections/soak/search", { query: words(random).split(" ", 2).join(" ") }),
        [200],
      ),
  ],
  [
    "vector search",
    150,
    async (random) =>
      expectStatus("vector search", await ask("POST", "/collections/soak/search", { vector: vector(random) }), [200]),
  ],
  [
    "hybrid search",
    120,
    async (random) =>
      expectStatus(
        "hybrid search",
        await ask("POST", "/collections/soak/search", {
          query: "moon",
          vector: vector(random),
          filter: "year:[10 TO 60]",
          expand: { edge_type: "cites", depth: 1 },
        }),
        [200],
      ),
  ],
  [
    "add",
    150,
    async (random) =>
      expectStatus("add", await ask("POST", "/collections/soak/documents", [documentOf(random)]), [201]),
  ],
  [
    "get",
    120,
    async (random) => expectStatus("get", await ask("GET", `/collections/soak/documents/${id(random)}`), [200, 404]),
  ],
  [
    "delete",
    40,
    async (random) =>
      expectStatus("delete", await ask("DELETE", `/collections/soak/documents/${id(random)}`), [200, 404]),
  ],
  ["stats", 40, async () => expectStatus("stats", await ask("GET", "/collections/soak/stats"), [200])],
  [
    "bfs",
    60,
    async (random) =>
      expectStatus(
        "bfs",
        await ask("POST", "/collections/soak/graph/bfs", { start: id(random), edge_type: "cites", max_depth: 3 }),
        [200, 404],
      ),
  ],
  [
    "edge",
    20,
    async (random) =>
      expectStatus(
        "edge",
        await ask("POST", "/collections/soak/graph/edges", {
          edges: [{ from: id(random), to: id(random), edge_type: "near", weight: random() }],
        }),
        [201],
      ),
  ],
  ["health", 30, async () => expectStatus("health", await ask("GET", "/health"), [200])],
  ["metrics", 5, async () => expectStatus("metrics", await ask("GET", "/metrics"), [200])],
  [
    "bad JSON",
    8,
    async () => expectStatus("bad JSON", await ask("POST", "/collections/soak/search", '{"query":'), [400]),
  ],
  [
    "bad shape",
    8,
    async () => expectStatus("bad shape", await ask("POST", "/collections/soak/search", { quer: 1 }), [422]),
  ],
  ["no route", 4, async () => expectStatus("no route", await ask("GET", "/nothing"), [404])],
  [
    "outside",
    4,
    async () =>
      expectStatus(
        "outside",
        await ask("POST", "/_admin/export", { collection: "soak", output_path: "/etc/soak.prism.jsonl" }),
        [403, 429],
      ),
  ],
]
const SHARES = KINDS.reduce((sum, [, share]) => sum + share, 0)

/** Long work finds its place taken now and then, by others that are refused: it comes again. @type {typeof ask} */
async function askUntilTaken(method, path, body) {
  for (;;) {
    const answer = await ask(method, path, body)
    if (answer.status !== 429) return answer
  }
}

/** Export, import, detach and attach, in a row, one at a time beside the others. */
async function moveCollections() {
  const file = join(folder, "moved.tar.zst")
  const portable = join(folder, "soak.prism.jsonl")
  const steps = /** @type {const} */ ([
    ["export", "/_admin/export", { collection: "soak", format: "portable", output_path: portable }],
    ["import", "/_admin/import", { input_path: portable, target_collection: "moved", mode: "replace" }],
    ["detach", "/_admin/collections/moved/detach", { destination: { type: "file", path: file }, delete_data: true }],
    ["attach", "/_admin/collections/attach", { source: { type: "file", path: file } }],
  ])
  for (const [kind, path, body] of steps) expectStatus(kind, await askUntilTaken("POST", path, body), [200])
}

/** @returns {{ resident: number, handles: number }} */
function look() {
  const status = readFileSync(`/proc/${server.pid}/status`, "utf8")
  return {
    resident: Number(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1]) * 1024,
    handles: readdirSync(`/proc/${server.pid}/fd`).length,
  }
}

let asked = 0
/** @type {{ asked: number, resident: number, handles: number }[]} */
const samples = []
const began = performance.now()
const every = Math.max(1, Math.floor(REQUESTS / SAMPLES))
let isMoving = false
/** @param {number} seed */
async function client(seed) {
  const random = randomOf(seed)
  while (asked < REQUESTS) {
    asked++
    if (asked % every === 0) samples.push({ asked, ...look() })
    if (asked % (every * 2) === 0 && !isMoving) {
      isMoving = true
      await moveCollections()
      isMoving = false
    }
    let left = random() * SHARES
    const kind = KINDS.find(([, share]) => (left -= share) < 0) ?? KINDS[0]
    await kind?.[2](random)
    if (asked % Math.max(1, Math.floor(REQUESTS / 20)) === 0) {
      const { resident, handles } = look()
      const rate = Math.round(asked / ((performance.now() - began) / 1000))
      process.stdout.write(`${asked} requests, ${rate}/s, ${(resident / 1e6).toFixed(0)} MB, ${handles} handles\n`)
    }
  }
}
await Promise.all(Array.from({ length: CLIENTS }, (_, place) => client(Number(values.seed) * 1000 + place + 1)))

/** @param {readonly number[]} numbers */
const median = (numbers) => [...numbers].sort((a, b) => a - b)[Math.floor(numbers.length / 2)] ?? Number.NaN
const quarter = (/** @type {number} */ place) =>
  samples.slice(Math.floor((samples.length * place) / 4), Math.floor((samples.length * (place + 1)) / 4))
const before = quarter(1)
const after = quarter(3)
const memory = [median(before.map(({ resident }) => resident)), median(after.map(({ resident }) => resident))]
const handles = [median(before.map((sample) => sample.handles)), median(after.map((sample) => sample.handles))]

agent.destroy()
const ended = new Promise((resolve) => server.on("exit", resolve))
server.removeAllListeners("exit")
const exit = new Promise((resolve) => server.once("exit", resolve))
server.kill("SIGTERM")
const code = await Promise.race([exit, ended])
rmSync(folder, { recursive: true })

let failed = 0
let passed = 0
/** @param {boolean} holds @param {string} what */
function check(holds, what) {
  if (holds) passed++
  else failed++
  process.stdout.write(`${holds ? "ok   " : "FAIL "} ${what}\n`)
}
process.stdout.write(`\n${[...counts].map(([kind, count]) => `${kind} ${count}`).join(", ")}\n`)
const [memoryBefore = 0, memoryAfter = 0] = memory
const [handlesBefore = 0, handlesAfter = 0] = handles
check(
  wrong.size === 0,
  `every answer is as it must be${[...wrong].map(([what, count]) => `\n      ${count} × ${what}`).join("")}`,
)
check(
  memoryAfter <= memoryBefore * (1 + MEMORY_GROWTH_MAX),
  `resident memory: ${(memoryBefore / 1e6).toFixed(1)} MB in the second quarter, ${(memoryAfter / 1e6).toFixed(1)} MB in the last`,
)
check(handlesAfter <= handlesBefore + HANDLES_GROWTH_MAX, `handles: ${handlesBefore}, then ${handlesAfter}`)
check(code === 0, `SIGTERM ends it with 0 (${code})`)
process.stdout.write(
  `${asked} requests in ${Math.round((performance.now() - began) / 1000)} s\n${passed} passed, ${failed} failed\n`,
)
process.exitCode = failed === 0 ? 0 : 1
