// What the guide does with a collection, done with one that has a graph: a real server, the command line beside it, every
// format, detach, attach and a restart. After each step the copy must answer as the first one did.
//   node scripts/check-graph.mjs [PROGRAM…]   default: node dist/runtime-node/bin.js
// The last line is "N passed, M failed".
import { spawn, spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { check, finishChecks } from "./checks.mjs"

const [program = process.execPath, ...first] = (
  process.argv.length > 2 ? process.argv.slice(2) : [process.execPath, "dist/runtime-node/bin.js"]
).map((word) => (existsSync(word) ? resolve(word) : word))

const folder = mkdtempSync(join(tmpdir(), "prism-graph-"))
const data = join(folder, "data")
const env = { ...process.env, PRISM_DATA_DIR: data, PRISM_API_URL: undefined, PRISM_LOG: "off", NO_COLOR: "1" }
let url = ""

/** A wheel: documents that cite each other in a circle, a hub that was added, and spokes whose weights make detours. */
const COUNT = 200
const at = (/** @type {number} */ place) => `d${place % COUNT}`
const documents = Array.from({ length: COUNT }, (_, place) => ({
  id: at(place),
  title: place === 137 ? "the singular needle" : `plain hay ${place % 7}`,
  cites: [at(place + 1)],
  embedding: [Math.sin(place), Math.cos(place), 1, 0.5],
}))
const nodes = [
  {
    id: "hub",
    node_type: "place",
    title: "The hub",
    payload: { big: 1, list: ["a", null, true], text: "ß 日本 \u{1F600}" },
  },
  { id: "lonely", node_type: "place" },
]
const edges = Array.from({ length: COUNT / 10 }, (_, place) => ({
  from: "hub",
  to: at(place * 10),
  edge_type: "spoke",
  weight: 0.5 + place / 8,
})).concat(
  Array.from({ length: COUNT / 20 }, (_, place) => ({
    from: at(place * 20 + 5),
    to: "hub",
    edge_type: "spoke",
    weight: 2.25,
  })),
)
const schema = {
  backends: {
    text: {
      fields: [
        { name: "title", type: "text" },
        { name: "cites", type: "string" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: 4, distance: "cosine" },
    graph: { edges: [{ edge_type: "cites", from_field: "id", to_field: "cites" }] },
  },
}

/** @param {string} method @param {string} path @param {unknown} [body] @returns {Promise<any>} */
async function ask(method, path, body) {
  const answer = await fetch(`${url}${path}`, {
    method,
    ...(body === undefined ? {} : { body: JSON.stringify(body), headers: { "content-type": "application/json" } }),
  })
  const text = await answer.text()
  if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`)
  return JSON.parse(text)
}

/** @param {string[]} words */
function prism(...words) {
  const { status, stdout, stderr } = spawnSync(program, [...first, ...words], { cwd: folder, env, encoding: "utf8" })
  if (status !== 0) throw new Error(`prism ${words.join(" ")}: exit ${status}\n${stdout}${stderr}`)
  return stdout
}

/** @type {import("node:child_process").ChildProcess | undefined} */
let server
async function start() {
  const words = [...first, "serve", "--port", "0", "--json", "--backup-root", folder]
  const started = spawn(program, words, { cwd: folder, env, stdio: ["ignore", "pipe", "inherit"] })
  server = started
  url = await new Promise((resolve, reject) => {
    let printed = ""
    started.once("exit", (code) => reject(new Error(`the server ended with ${code}`)))
    started.stdout.setEncoding("utf8").on("data", (text) => {
      printed += text
      if (printed.includes("\n")) resolve(JSON.parse(printed).url)
    })
  })
}

async function stop() {
  const stopping = server
  if (!stopping) return
  stopping.removeAllListeners("exit")
  const ended = new Promise((resolve) => stopping.once("exit", resolve))
  stopping.kill("SIGTERM")
  const code = await ended
  server = undefined
  if (code !== 0) throw new Error(`SIGTERM ended it with ${code}`)
}

/** What a collection says of itself and of its graph. @param {string} name */
async function portrait(name) {
  const path = `/collections/${name}`
  const graph = await ask("GET", `${path}/graph/stats`)
  const { document_count, backends } = await ask("GET", `${path}/stats`)
  return JSON.stringify({
    document_count,
    backends,
    counts: [graph.node_count, graph.record_count, graph.edge_count, graph.explicit_edge_count, graph.edge_types],
    hub: await ask("GET", `${path}/graph/nodes/hub`),
    spokes: await ask("GET", `${path}/graph/nodes/hub/edges?direction=both&limit=1000`),
    near: await ask("POST", `${path}/graph/bfs`, { start: "d3", edge_type: "cites", max_depth: 5 }),
    all: await ask("POST", `${path}/graph/bfs`, { start: "hub", max_depth: 3 }),
    cheap: await ask("POST", `${path}/graph/shortest-path`, { start: "d3", target: "d137" }),
    circle: await ask("POST", `${path}/graph/shortest-path`, { start: "d3", target: "d2", edge_types: ["cites"] }),
    nowhere: await ask("POST", `${path}/graph/shortest-path`, { start: "d3", target: "lonely" }),
    found: (({ results, expanded }) => ({ results, expanded }))(
      await ask("POST", `${path}/search`, { query: "needle", expand: { edge_type: "cites", depth: 2 } }),
    ),
    vector: (await ask("POST", `${path}/search`, { vector: documents[3]?.embedding, limit: 3 })).results,
  })
}

let wanted = ""
/** @param {string} name */
async function isSame(name) {
  const found = await portrait(name)
  if (found !== wanted) throw new Error(`${name} is\n${found}\nand not\n${wanted}`)
}
/** Lines of a portable archive behind its header. @param {string} file */
const lines = (file) => readFileSync(join(folder, file), "utf8").split("\n").slice(1).join("\n")

try {
  await check("a server starts, and takes what is put in", async () => {
    await start()
    await ask("PUT", "/collections/wheel", schema)
    await ask("POST", "/collections/wheel/documents", documents)
    await ask("POST", "/collections/wheel/graph/nodes", { nodes })
    await ask("POST", "/collections/wheel/graph/edges", { edges })
    wanted = await portrait("wheel")
  })

  await check("what was put in is there", async () => {
    const { counts, circle, cheap, nowhere, found } = JSON.parse(wanted)
    const expected = [COUNT + 2, 2, COUNT + edges.length, edges.length, { cites: COUNT, spoke: edges.length }]
    if (JSON.stringify(counts) !== JSON.stringify(expected))
      throw new Error(`${JSON.stringify(counts)}, not ${JSON.stringify(expected)}`)
    if (circle.length !== COUNT - 1 || nowhere.path !== null) throw new Error(JSON.stringify({ circle, nowhere }))
    // d3 → d4 → d5 → hub → d130 → … → d137: 2 + 2.25 + (0.5 + 13/8) + 7.
    if (cheap.weight !== 13.375 || cheap.length !== 11) throw new Error(JSON.stringify(cheap))
    if (
      JSON.stringify(found.expanded.map((/** @type {any} */ { id, depth }) => [id, depth])) !==
      '[["d138",1],["d139",2]]'
    )
      throw new Error(JSON.stringify(found.expanded))
  })
  prism("key", "generate", "-o", "key")
  for (const { format, file, key } of [
    { format: "portable", file: "wheel.prism.jsonl", key: [] },
    { format: "snapshot", file: "wheel.tar.zst", key: [] },
    { format: "encrypted", file: "wheel.enc", key: ["--key-file", "key"] },
  ]) {
    await check(`${format}: export, verify and restore by command line`, async () => {
      prism("collection", "export", "wheel", "-o", file, ...key)
      prism("collection", "verify", file, ...key)
      prism("collection", "restore", "-f", file, "-t", `by-${format}`, ...key)
      await isSame(`by-${format}`)
    })
    await check(`${format}: what comes back is exported as it was`, () => {
      prism("collection", "export", `by-${format}`, "-o", "again.prism.jsonl", "--force")
      if (lines("again.prism.jsonl") !== lines("wheel.prism.jsonl")) throw new Error("the lines differ")
    })
  }
  await check("portable is version 2, and tells of its nodes and edges", () => {
    const { format, metadata } = JSON.parse(
      readFileSync(join(folder, "wheel.prism.jsonl"), "utf8").split("\n", 1)[0] ?? "",
    )
    if (
      format !== "prism-portable-v2" ||
      metadata.node_count !== nodes.length ||
      metadata.edge_count !== edges.length
    ) {
      throw new Error(JSON.stringify({ format, metadata }))
    }
  })
  await check("export and import over HTTP, all formats", async () => {
    const { key } = await ask("POST", "/_admin/encryption/generate-key")
    for (const format of ["portable", "snapshot"]) {
      const path = join(folder, `http.${format}`)
      await ask("POST", "/_admin/export", { collection: "wheel", format, output_path: path })
      await ask("POST", "/_admin/import", { input_path: path, target_collection: `http-${format}` })
      await isSame(`http-${format}`)
    }
    const path = join(folder, "http.enc")
    await ask("POST", "/_admin/export/encrypted", { collection: "wheel", key, output_path: path })
    await ask("POST", "/_admin/import/encrypted", { input_path: path, key, target_collection: "http-encrypted" })
    await isSame("http-encrypted")
  })
  await check("detach by command line, attach, under its own name and another", async () => {
    prism("collection", "detach", "--name", "wheel", "--output", join(folder, "detached.tar.zst"), "--api-url", url)
    if ((await fetch(`${url}/collections/wheel/stats`)).status !== 404) throw new Error("it is still there")
    prism("collection", "attach", "--input", join(folder, "detached.tar.zst"), "--api-url", url)
    await isSame("wheel")
    prism("collection", "attach", "--input", join(folder, "detached.tar.zst"), "--target", "other", "--api-url", url)
    await isSame("other")
  })
  await check("detach over HTTP with its data deleted, attach, and what was kept aside", async () => {
    const path = join(folder, "gone.tar.zst")
    await ask("POST", "/_admin/collections/other/detach", { destination: { type: "file", path }, delete_data: true })
    await ask("POST", "/_admin/collections/attach", { source: { type: "file", path } })
    await isSame("other")
    await ask("POST", "/_admin/collections/other/detach", { destination: { type: "file", path } })
    await ask("POST", "/_admin/collections/attach", { target_collection: "other" })
    await isSame("other")
  })
  await check("merge: nodes and edges are put over those that are there", async () => {
    await ask("POST", "/collections/other/graph/nodes", { nodes: [{ id: "hub", title: "changed" }] })
    await ask("DELETE", "/collections/other/graph/edges", {
      edges: edges.slice(0, 3).map(({ from, to, edge_type }) => ({ from, to, edge_type })),
    })
    prism("collection", "restore", "-f", "wheel.prism.jsonl", "-t", "other", "--merge")
    // What was replaced counts in the scores until it is merged away.
    prism("index", "optimize", "-c", "other")
    await isSame("other")
  })
  await check("what was added of a node goes with its edges", async () => {
    await ask("DELETE", "/collections/other/graph/nodes/hub")
    const { edge_count, explicit_edge_count } = await ask("GET", "/collections/other/graph/stats")
    if (edge_count !== COUNT || explicit_edge_count !== 0)
      throw new Error(JSON.stringify({ edge_count, explicit_edge_count }))
    prism("collection", "restore", "-f", "wheel.tar.zst", "-t", "other", "--replace")
    await isSame("other")
  })
  await check("all of it is there after a restart", async () => {
    await stop()
    await start()
    for (const name of ["wheel", "other", "by-portable", "by-snapshot", "by-encrypted", "http-snapshot"])
      await isSame(name)
  })
  await check("and after optimize", async () => {
    prism("index", "optimize", "-c", "wheel")
    await isSame("wheel")
    prism("collection", "verify", "wheel")
  })
  await check("bad input is refused by itself", async () => {
    const answer = await fetch(`${url}/collections/wheel/graph/edges`, {
      method: "POST",
      body: JSON.stringify({
        edges: [
          { from: "d1", to: "d9", edge_type: "x", weight: -1 },
          { from: "d1", to: "d2", edge_type: "x" },
        ],
      }),
      headers: { "content-type": "application/json" },
    })
    const { added, failed, errors } = /** @type {any} */ (await answer.json())
    if (answer.status !== 201 || added !== 1 || failed !== 1 || !/negative/.test(errors[0].message))
      throw new Error(JSON.stringify({ added, failed, errors }))
  })
  await check("SIGTERM ends it", stop)
} finally {
  server?.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
}
finishChecks()
