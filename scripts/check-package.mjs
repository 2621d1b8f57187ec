// Checks what would be published, as its users would meet it: the packed file, its types, the first search of the README
// in an empty folder, on every runtime.  node scripts/check-package.mjs  (after npm run build)
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { check, finishChecks } from "./checks.mjs"
import { readmeSteps, readPage, runSteps } from "./readme.mjs"

const ROOT = fileURLToPath(new URL("..", import.meta.url))
const BIN = join(ROOT, "node_modules/.bin")
/** Of the client's own files, with comments, before anything makes them smaller. */
const CLIENT_BYTES_MAX = 64 * 1024
const RUNTIMES = join(ROOT, "test/runtimes/node_modules")

/**
 * Runs a program and returns what it prints; a failure shows both of its streams.
 * @param {string} program
 * @param {string[]} args
 * @param {string} cwd
 */
function run(program, args, cwd) {
  const { status, stdout, stderr, error } = spawnSync(program, args, { cwd, encoding: "utf8" })
  if (status !== 0)
    throw new Error(`${program} ${args.join(" ")}: exit ${status}\n${stdout}${stderr}${error?.message ?? ""}`)
  return stdout
}

/**
 * A program that builds a segment on a worker thread, and prints how many threads there were and what it built.
 * @param {string} runtime
 */
function buildProgram(runtime) {
  return `import { Background } from "./node_modules/prism/dist/collection/background.js"
import { runtime } from "./node_modules/prism/dist/runtime-${runtime}/runtime.js"
import { WalWriter } from "./node_modules/prism/dist/storage/wal.js"
let threads = 0
const startWorker = (listener) => {
  const onMessage = (message) => {
    if (message.kind === "ready") threads++
    listener.onMessage(message)
  }
  return runtime.startWorker({ onMessage, onEnd: (error) => listener.onEnd(error) })
}
const storage = await runtime.openStorage("segments", { create: true })
for (const folder of ["c/text", "c/vector"]) await storage.makeDirectory(folder)
const wal = await WalWriter.create(storage, "c/wal", { walNumber: 1 })
const documents = Array.from({ length: 2000 }, (_, i) => ({
  kind: "put",
  id: "d" + i,
  fieldsJson: JSON.stringify({ title: "every " + i + " of " + (i % 7), year: i }),
  vector: Float32Array.from({ length: 8 }, (_, j) => Math.fround(Math.sin(i * 8 + j))),
}))
await wal.append(documents)
const { length } = wal
await wal.close()
const schema = JSON.stringify({
  backends: {
    text: { fields: [{ name: "title", type: "text" }, { name: "year", type: "i64" }] },
    vector: { embedding_field: "embedding", dimension: 8 },
  },
})
const live = new Uint8Array(250).fill(0xfd)
const log = { kind: "log", log: { number: 1, path: "wal", length }, documentCount: 2000, live }
const background = new Background({ createSha256: runtime.createSha256, startWorker }, storage)
const entry = await background.build({ directory: "c", schema, id: 1, stem: "1", level: 0, sources: [log] })
console.log(JSON.stringify({ threads, entry }))
// Nothing is closed: threads without work must not keep the process.
`
}

/** Writes, searches, exports and restores in memory. Prints whether it may read files, and what it found. */
const MEMORY_PROGRAM = `import { Prism } from "prism"
const prism = await Prism.memory()
const books = await prism.createCollection("books", { backends: { text: { fields: [{ name: "title", type: "text" }] } } })
await books.add({ id: "left", title: "The Left Hand of Darkness" })
const archive = new TransformStream({}, undefined, { highWaterMark: Infinity })
await books.export(archive.writable, { format: "snapshot" })
const { collection } = await prism.restore(archive.readable, { target: "again" })
const { total, results } = await (await prism.collection(collection)).search({ query: "darkness" })
const { state } = Deno.permissions.querySync({ name: "read" })
console.log((state === "granted" ? "granted" : "denied") + ", " + results.length + " of " + total)
`

/**
 * The files of the build that come with one of them at once, and what they import that is none of them.
 * @param {string} first
 */
function loadedWith(first) {
  /** @type {Set<string>} */
  const files = new Set()
  /** @type {Set<string>} */
  const packages = new Set()
  const waiting = [join(ROOT, first)]
  for (let path = waiting.pop(); path !== undefined; path = waiting.pop()) {
    files.add(path)
    const imports = readFileSync(path, "utf8").matchAll(/^(?:import|export) (?:[^"\n]* from )?"([^"]+)"/gm)
    for (const [, imported = ""] of imports) {
      const target = join(dirname(path), imported)
      if (!imported.startsWith(".")) packages.add(imported)
      else if (!files.has(target)) waiting.push(target)
    }
  }
  return { files: [...files], packages: [...packages] }
}

const folder = mkdtempSync(join(tmpdir(), "prism-package-"))
try {
  const [{ filename, files }] = JSON.parse(
    execFileSync("npm", ["pack", "--json", "--ignore-scripts", "--pack-destination", folder], {
      cwd: ROOT,
      encoding: "utf8",
    }),
  )
  const tarball = join(folder, filename)

  await check("the package holds the build, the texts and nothing else", () => {
    const paths = files.map((/** @type {{ path: string }} */ { path }) => path)
    const wanted = /^(dist\/.+\.(js|d\.ts)|docs\/.+\.(md|svg|py)|README\.md|CHANGELOG\.md|LICENSE|package\.json)$/
    const strange = paths.filter((/** @type {string} */ path) => !wanted.test(path))
    if (strange.length > 0) throw new Error(`does not belong there: ${strange.join(", ")}`)
    for (const path of [
      "LICENSE",
      "README.md",
      "docs/formats/decrypt.py",
      "dist/runtime-node/bin.js",
      "dist/runtime-node/index.d.ts",
    ]) {
      if (!paths.includes(path)) throw new Error(`${path} is missing`)
    }
  })
  await check("publint", () => run(join(BIN, "publint"), ["run", "--strict", tarball], ROOT))
  await check("are the types wrong? (attw, ESM only)", () =>
    run(join(BIN, "attw"), [tarball, "--profile", "esm-only"], ROOT),
  )

  const empty = join(folder, "empty")
  mkdirSync(empty)
  await check("npx -y -p ./prism-*.tgz prism --help, in an empty folder", () => {
    const help = run("bash", ["-c", `cp ../${filename} . && npx -y -p ./prism-*.tgz prism --help`], empty)
    if (!help.includes("collection")) throw new Error(help)
  })

  const user = join(folder, "user")
  mkdirSync(user)
  writeFileSync(join(user, "package.json"), '{ "type": "module", "private": true }\n')
  await check("npm install of the package", () => run("npm", ["install", "--no-audit", "--no-fund", tarball], user))
  const steps = readmeSteps(readPage("README.md"))
  await check("the README's first search, by command line and library", () => {
    if (steps.length < 4) throw new Error("the README has no first search")
    const differences = runSteps(user, steps)
    if (differences.length > 0) throw new Error(differences.join("\n"))
  })
  const example =
    steps.flatMap((step) => ("file" in step && /\.m?js$/.test(step.file) ? [step.file] : []))[0] ?? "missing.mjs"
  const onNode = spawnSync(process.execPath, [example], { cwd: user, encoding: "utf8" }).stdout
  for (const [name, command] of /** @type {[string, string[]][]} */ ([
    ["Node 24", [join(RUNTIMES, `node-24-${process.arch}/bin/node`)]],
    ["Deno", [join(RUNTIMES, ".bin/deno"), "run", "-A", "--node-modules-dir=manual", "--no-lock"]],
    ["Bun", [join(RUNTIMES, ".bin/bun")]],
  ])) {
    await check(`the README's library example on ${name}`, () => {
      const [program = "", ...options] = command
      if (!existsSync(program)) throw new Error("not installed: npm run conformance installs the runtimes")
      rmSync(join(user, "data"), { recursive: true, force: true })
      const printed = run(program, [...options, example], user)
      if (printed !== onNode) throw new Error(`prints:\n${printed}\nbut Node prints:\n${onNode}`)
    })
  }

  await check("the library in memory on Deno, with the network and the environment alone", () => {
    writeFileSync(join(user, "memory.mjs"), MEMORY_PROGRAM)
    const permissions = ["--allow-net", "--allow-env", "--no-prompt"]
    const options = ["run", ...permissions, "--node-modules-dir=manual", "--no-lock", "memory.mjs"]
    const printed = run(join(RUNTIMES, ".bin/deno"), options, user)
    if (printed !== "denied, 1 of 1\n") throw new Error(printed)
  })

  // A worker thread has an entry file of its own, which nothing imports: it must be in the package, and found there. What
  // it builds is the same everywhere.
  const programs = { node: "build-node.mjs", deno: "build-deno.mjs", bun: "build-bun.mjs" }
  for (const [name, path] of Object.entries(programs)) writeFileSync(join(user, path), buildProgram(name))
  /** @param {string[]} command */
  const build = ([program = "", ...options]) => {
    if (!existsSync(program)) throw new Error("not installed: npm run conformance installs the runtimes")
    rmSync(join(user, "segments"), { recursive: true, force: true })
    return run(program, options, user)
  }
  let builtOnNode = ""
  await check("a worker thread of the package builds a segment, on Node 20", () => {
    builtOnNode = build([process.execPath, programs.node])
    if (JSON.parse(builtOnNode).threads !== 1) throw new Error(builtOnNode)
  })
  const bun = join(RUNTIMES, ".bin/bun")
  for (const [name, command] of /** @type {[string, () => string[]][]} */ ([
    ["on Node 24", () => [join(RUNTIMES, `node-24-${process.arch}/bin/node`), programs.node]],
    [
      "on Deno",
      () => [join(RUNTIMES, ".bin/deno"), "run", "-A", "--node-modules-dir=manual", "--no-lock", programs.deno],
    ],
    ["on Bun", () => [bun, programs.bun]],
    [
      "in a single binary by Bun, whose second entry point is a worker file beside the first",
      () => {
        writeFileSync(join(user, "worker.mjs"), 'import "prism/worker"\n')
        build([bun, "build", "--compile", "--outfile", "binary", programs.bun, "worker.mjs"])
        return [join(user, "binary")]
      },
    ],
  ])) {
    await check(`a worker thread of the package builds the same segment, ${name}`, () => {
      const built = build(command())
      if (built !== builtOnNode) throw new Error(`prints ${built}but Node prints ${builtOnNode}`)
    })
  }
  await check("the client is small: it needs no package, and nothing of a platform", () => {
    const { files, packages } = loadedWith("dist/client/index.js")
    if (packages.length > 0) throw new Error(`it imports ${packages.join(", ")}`)
    const bytes = files.reduce((sum, path) => sum + statSync(path).size, 0)
    if (bytes > CLIENT_BYTES_MAX) throw new Error(`its ${files.length} files have ${bytes} bytes`)
  })
  await check("a command that does not serve loads nothing of the server", () => {
    const { packages } = loadedWith("dist/runtime-node/bin.js")
    const needless = packages.filter((name) => /^(zod|hono|@hono\/)/.test(name))
    if (needless.length > 0) throw new Error(`it imports ${needless.join(", ")}`)
  })
  await check("the types compile for a strict user", () => {
    const program = `import { Prism, PrismError, type SearchResponse } from "prism"
import { createClient } from "prism/client"
const prism: Prism = await Prism.memory()
const books = await prism.createCollection("books", { backends: { text: { fields: [{ name: "title", type: "text" }] } } })
const answer: SearchResponse = await books.search({ query: "darkness", limit: 3 })
export const titles: unknown[] = answer.results.map((result) => result.fields["title"])
export const isOurs = (error: unknown): string => (error instanceof PrismError ? error.code : "")
// @ts-expect-error a limit is a number
await books.search({ limit: "3" })
const client = createClient({ url: "http://localhost:3080" })
export const total: number = (await client.search({ collection: "books", body: { query: "darkness" } })).total
// @ts-expect-error a limit is a number
await client.search({ collection: "books", body: { limit: "3" } })
`
    writeFileSync(join(user, "user.ts"), program)
    const options = [
      "--strict",
      "--noEmit",
      "--target",
      "es2022",
      "--module",
      "nodenext",
      "--lib",
      "es2022,esnext.disposable,dom,dom.iterable",
    ]
    run(join(BIN, "tsc"), [...options, "--types", "", "user.ts"], user)
  })
  finishChecks()
} finally {
  rmSync(folder, { recursive: true, force: true })
}
