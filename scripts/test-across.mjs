// One collection, exported on every runtime: the tars are the same bytes, and each runtime restores what each other wrote.
//   node scripts/test-across.mjs      (after a build; needs the zstd program)
import { spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { installRuntimes, ROOT, runtimes } from "./runtimes.mjs"

/** @typedef {import("./runtimes.mjs").Runtime} Runtime */

installRuntimes()
const folder = mkdtempSync(join(tmpdir(), "prism-across-"))
let passed = 0
let failed = 0

/** @param {string} what @param {boolean} holds */
function check(what, holds) {
  if (holds) passed++
  else {
    failed++
    process.stdout.write(`FAILED: ${what}\n`)
  }
}

/** Runs the program on a runtime. @param {Runtime} runtime @param {string[]} args @param {string} [input] */
function prism({ id, command: [program = "", ...options] }, args, input) {
  const bin = join(ROOT, `dist/runtime-${id.replace(/-\d+$/, "")}/bin.js`)
  const { status, stdout, stderr } = spawnSync(program, [...options, bin, ...args], {
    cwd: folder,
    encoding: "utf8",
    maxBuffer: 2 ** 28,
    env: { ...process.env, PRISM_DATA_DIR: undefined, NO_COLOR: "1" },
    ...(input !== undefined && { input }),
  })
  if (status !== 0) throw new Error(`${id}: prism ${args.join(" ")} ended with exit ${status}:\n${stderr}`)
  return stdout
}

/** @param {string | Buffer} bytes */
const sha256 = (bytes) => createHash("sha256").update(bytes).digest("hex")

/** What a portable archive holds, its header left out. @param {string} name */
const documents = (name) => sha256(readFileSync(join(folder, name), "utf8").replace(/^.*\n/, ""))

/** The tar in a snapshot. @param {string} name */
const tar = (name) => sha256(spawnSync("zstd", ["-dc", name], { cwd: folder, maxBuffer: 2 ** 30 }).stdout)

/** Lines of documents with words and vectors. @param {number} from @param {number} to */
function lines(from, to) {
  let text = ""
  for (let number = from; number < to; number++) {
    const vector = Array.from({ length: 24 }, (_, place) => Math.fround(Math.sin(number * 31 + place * 7)))
    const fields = { title: `word${number % 97} number ${number} größer 世界`, count: number }
    text += `${JSON.stringify({ id: `doc-${number}`, fields, ...(number % 5 > 0 && { vector }) })}\n`
  }
  return text
}

try {
  const [node] = runtimes
  if (!node) throw new Error("there is no runtime")
  const schema = `backends:
  text: { fields: [{ name: title, type: text }, { name: count, type: i64 }] }
  vector: { embedding_field: embedding, dimension: 24, distance: cosine }
`
  writeFileSync(join(folder, "schema.yaml"), schema)
  prism(node, ["collection", "create", "c", "--schema", "schema.yaml"])
  prism(node, ["document", "import", "-c", "c"], lines(0, 6000))
  prism(node, ["index", "optimize", "-c", "c"])
  // Deletions in a sealed segment, and documents in the log alone.
  prism(node, ["document", "delete", "-c", "c", "doc-7", "doc-4000"])
  prism(node, ["document", "import", "-c", "c"], lines(5900, 6100))
  prism(node, ["key", "generate", "-o", "key"])

  for (const runtime of runtimes) {
    const { id } = runtime
    prism(runtime, ["collection", "export", "c", "-o", `${id}.prism.jsonl`])
    prism(runtime, ["collection", "export", "c", "-o", `${id}.tar.zst`])
    prism(runtime, ["collection", "export", "c", "-o", `${id}.enc`, "--key-file", "key"])
    check(`${id}: the tar is Node's, byte for byte`, tar(`${id}.tar.zst`) === tar("node.tar.zst"))
    check(`${id}: the documents are Node's`, documents(`${id}.prism.jsonl`) === documents("node.prism.jsonl"))
  }
  for (const reader of runtimes) {
    const data = ["-d", `data-${reader.id}`]
    for (const writer of runtimes) {
      for (const ending of ["tar.zst", "enc", "prism.jsonl"]) {
        const file = `${writer.id}.${ending}`
        const name = file.replaceAll(".", "_")
        const keys = ending === "enc" ? ["--key-file", "key"] : []
        prism(reader, [...data, "collection", "restore", "-f", file, "-t", name, ...keys])
        prism(reader, [...data, "collection", "export", name, "-o", "again.prism.jsonl"])
        check(`${reader.id} restores ${file}`, documents("again.prism.jsonl") === documents("node.prism.jsonl"))
      }
    }
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  if (failed > 0) process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true })
}
