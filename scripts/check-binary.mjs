// Checks the single binary as its users would meet it: alone in an empty folder, with an empty home and no search path. It
// must answer what the package answers on Node, do long work on a thread, read what Node wrote and the other way round.
//   node scripts/check-binary.mjs      (after npm run build)
import { execFileSync, spawn, spawnSync } from "node:child_process"
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { check, finishChecks } from "./checks.mjs"
import { ROOT } from "./runtimes.mjs"

/** Answers of one program, by the command line that was asked. @typedef {Map<string, string>} Answers */
/** @typedef {{ command: string[], folder: string }} Program */

const NAME = process.platform === "win32" ? "prism.exe" : "prism"
/** Few enough to stand in a log still when the import is done: `index optimize` builds from it. */
const DOCUMENTS = 2000
const DIMENSION = 48

/** @param {string | number | null | undefined} found @param {string | number | undefined} wanted */
function same(found, wanted) {
  if (found !== wanted) throw new Error(`is\n${found}\nbut should be\n${wanted}`)
}

const root = mkdtempSync(join(tmpdir(), "prism-binary-"))
const home = join(root, "home")
const elsewhere = join(root, "elsewhere")
mkdirSync(home)

/** What a process finds around itself. PATH is empty: nothing that this machine has installed may be needed. */
const environment = { HOME: home, PATH: "", LANG: "C.UTF-8" }

/** Everything that the program prints, and how it ends. @param {Program} program @param {string[]} args @param {string} [input] */
function outcome({ command: [file = "", ...options], folder }, args, input = "") {
  const { status, stdout, stderr, error } = spawnSync(file, [...options, ...args], {
    cwd: folder,
    encoding: "utf8",
    env: environment,
    input,
    maxBuffer: 2 ** 28,
  })
  if (error) throw error
  return { status, stdout, stderr }
}

/** What the program prints where all goes well. @param {Program} program @param {string[]} args @param {string} [input] */
function prism(program, args, input) {
  const { status, stdout, stderr } = outcome(program, args, input)
  if (status !== 0) throw new Error(`prism ${args.join(" ")}: exit ${status}\n${stdout}${stderr}`)
  return stdout
}

/** What the program answers, also where it refuses. @param {Program} program @param {string[]} args @param {string} [input] */
function answer(program, args, input) {
  const { status, stdout, stderr } = outcome(program, args, input)
  return status === 0 ? lasting(stdout) : `exit ${status}\n${stdout}${stderr}`
}

/** An answer without what differs from run to run: times, and the compressed bytes of archives. @param {string} stdout */
function lasting(stdout) {
  return stdout
    .replace(/"size_bytes":\d+(?=.*"file_sha256":)/g, '"size_bytes":0')
    .replace(/"(latency_ms|exported_at|file_sha256)":("[^"]*"|[^,}]+)/g, '"$1":0')
}

/** @param {number} number */
const vector = (number) =>
  Array.from({ length: DIMENSION }, (_, place) => Math.fround(Math.sin(number * 31 + place * 7)))

function lines() {
  let text = ""
  for (let number = 0; number < DOCUMENTS; number++) {
    const fields = { title: `word${number % 97} number ${number} größer 世界`, count: number }
    text += `${JSON.stringify({ id: `doc-${number}`, fields, ...(number % 5 > 0 && { vector: vector(number) }) })}\n`
  }
  return text
}

const SCHEMA = `backends:
  text:
    fields:
      - { name: title, type: text }
      - { name: count, type: i64, indexed: true }
  vector: { embedding_field: embedding, dimension: ${DIMENSION} }
`
const ARCHIVES = [
  ["things.prism.jsonl"],
  ["things.tar.zst"],
  ["things.enc", "--key-file", "key"],
  ["things-1.enc", "--key-file", "key", "--enc-version", "1"],
]

/** The one command that must fail. */
const REFUSED = "search nothing here"

/** The words that open an archive; its version is told by its bytes. @param {string[]} archive */
const opening = ([file = "", ...options]) => [file, ...options.slice(0, 2)]

/** Runs all commands and gives what they answer. @param {Program} program @param {string} data another data directory */
function answers(program, data) {
  /** @type {Answers} */
  const all = new Map()
  /** @param {string[]} args @param {string} [input] @param {string} [when] */
  const ask = (args, input, when = "") =>
    void all.set(args.join(" ") + when, answer(program, [...args, "--json"], input))
  writeFileSync(join(program.folder, "schema.yaml"), SCHEMA)
  writeFileSync(join(program.folder, "key"), "42".repeat(32))
  writeFileSync(join(program.folder, "a.json"), JSON.stringify(vector(77)))
  writeFileSync(join(program.folder, "b.json"), JSON.stringify(vector(5)))
  ask(["collection", "create", "things", "--schema", "schema.yaml"])
  ask(["document", "import", "-c", "things"], lines())
  /** @param {string} when */
  const queries = (when) => {
    ask(["search", "things", "word7 AND count:[100 TO 900]"], "", when)
    ask(["search", "things", "--vector", "a.json"], "", when)
    ask(["search", "things", "word13", "--vector", "b.json", "--strategy", "rrf"], "", when)
  }
  queries(", in a log")
  for (const archive of ARCHIVES) {
    ask(["collection", "export", "things", "-o", ...archive])
    ask(["collection", "verify", ...opening(archive)])
    ask(["archive", "ls", ...opening(archive)])
    const target = basename(archive[0] ?? "").replaceAll(".", "-")
    ask(["collection", "restore", "-t", target, "-f", ...opening(archive)])
    const there = ["-d", data, "collection", "restore", "-t", target, "-f", ...opening(archive), "--json"]
    all.set(`restore ${target} into another data directory`, answer(program, there))
    all.set(`document export of ${target}`, answer(program, ["document", "export", "-c", target]))
  }
  ask(["index", "optimize", "-c", "things"])
  queries(", in a segment")
  ask(["document", "get", "-c", "things", "doc-1711"])
  ask(["collection", "list"])
  all.set("collection list there", answer(program, ["-d", data, "collection", "list", "--json"]))
  for (const shell of ["bash", "zsh", "fish"]) ask(["completion", shell])
  all.set(REFUSED, answer(program, REFUSED.split(" ")))
  return all
}

/** Whether one of the process's threads gives way to others, as those with tasks alone do (runtime-node/thread.ts): field
 *  19 of /proc/PID/task/TID/stat, proc(5). @param {number} pid */
function hasTaskThread(pid) {
  try {
    return readdirSync(`/proc/${pid}/task`).some((thread) => {
      const text = readFileSync(`/proc/${pid}/task/${thread}/stat`, "utf8")
      return text.slice(text.lastIndexOf(")") + 2).split(" ")[16] === "10"
    })
  } catch {
    return false // a thread, or the process, is gone again
  }
}

try {
  execFileSync(process.execPath, [join(ROOT, "scripts/build-binary.mjs")], { stdio: "inherit" })
  const folders = { node: join(root, "node"), binary: join(root, "binary") }
  for (const folder of Object.values(folders)) mkdirSync(folder)
  const program = join(folders.binary, NAME)
  copyFileSync(join(ROOT, "dist-binary", NAME), program)
  const binary = { command: [program], folder: folders.binary }
  const node = { command: [process.execPath, join(ROOT, "dist/runtime-node/bin.js")], folder: folders.node }

  await check("the folder that it was built in is not named inside", () => {
    const folder = ROOT.slice(0, -1)
    if (readFileSync(program).includes(folder)) throw new Error(`it holds ${folder}`)
  })
  await check("--version tells the version and that it is Bun", () => {
    const { version } = JSON.parse(readFileSync(join(ROOT, "package.json"), "utf8"))
    same(/^prism (\S+) \(bun [\d.]+\)\n$/.exec(prism(binary, ["--version"]))?.[1], version)
  })
  await check("it takes no settings from files of the folder where it is run", () => {
    const folder = join(root, "strange")
    mkdirSync(folder)
    writeFileSync(join(folder, ".env"), "PRISM_DATA_DIR=of-env\n")
    writeFileSync(join(folder, "bunfig.toml"), 'preload = ["./gone.ts"]\n')
    prism({ ...binary, folder }, ["collection", "create", "c", "--schema", "-"], SCHEMA)
    same(readdirSync(folder).sort().join(" "), ".env bunfig.toml data")
  })

  const onNode = answers(node, join(elsewhere, "node"))
  const ofBinary = answers(binary, join(elsewhere, "binary"))
  await check("on Node all goes well", () => {
    const refused = [...onNode].filter(([asked, answer]) => answer.startsWith("exit") !== (asked === REFUSED))
    same(refused.join("\n"), "")
  })
  for (const [asked, answer] of onNode) {
    await check(`as on Node: ${asked}`, () => same(ofBinary.get(asked), answer))
  }
  for (const archive of ARCHIVES) {
    await check(`${archive.join(" ")} goes both ways`, () => {
      const documents = onNode.get("document export of things-prism-jsonl")
      for (const [reader, writer] of /** @type {[Program, Program][]} */ ([
        [binary, node],
        [node, binary],
      ])) {
        const [file = "", ...options] = opening(archive)
        prism(reader, ["collection", "restore", "--replace", "-t", "back", "-f", join(writer.folder, file), ...options])
        same(prism(reader, ["document", "export", "-c", "back"]), documents)
      }
    })
  }

  if (process.platform === "linux") {
    await check("index optimize works on a thread", async () => {
      prism(binary, ["collection", "create", "more", "--schema", "schema.yaml"])
      prism(binary, ["document", "import", "-c", "more"], lines())
      const process = spawn(program, ["index", "optimize", "-c", "more"], { cwd: folders.binary, env: environment })
      /** @type {Promise<number | null>} */
      const ended = new Promise((resolve, reject) => process.once("exit", resolve).once("error", reject))
      let isOver = false
      void ended.then(() => void (isOver = true))
      let hasThread = false
      while (!isOver && !hasThread) {
        hasThread = hasTaskThread(process.pid ?? 0)
        await new Promise((resolve) => void setTimeout(resolve, 2))
      }
      same(await ended, 0)
      if (!hasThread) throw new Error("no thread with tasks was seen")
    })
  } else process.stdout.write("skip  index optimize works on a thread: threads are looked for on Linux alone\n")

  await check("nothing is left in the home folder, nor beside the data", () => {
    same(readdirSync(home).join(" "), "")
    const archives = ARCHIVES.flatMap(([file]) => file ?? [])
    const wanted = [...archives, "a.json", "b.json", "data", "key", NAME, "schema.yaml"].sort()
    same(readdirSync(folders.binary).sort().join(" "), wanted.join(" "))
  })
} finally {
  rmSync(root, { recursive: true, force: true })
}
finishChecks()
