// The program as a shell meets it: exit codes, pipes, signals, real files.
import { type ChildProcess, spawn, spawnSync } from "node:child_process"
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest"
import { VERSION } from "../src/base/version.ts"
import { plural } from "../src/cli/format.ts"

const BIN = fileURLToPath(new URL("../dist/runtime-node/bin.js", import.meta.url))
const SCHEMA = `backends:
  text:
    fields:
      - { name: title, type: text, stored: true, indexed: true }
`

/** Who may not write everywhere: nothing is forbidden to root. */
const SOMEBODY = process.getuid?.() === 0 ? { uid: 65_534, gid: 65_534 } : {}

/** Whether this user reaches the program, which may lie in somebody's home. */
function mayRun(user: object): boolean {
  const may = spawnSync(process.execPath, [BIN, "--version"], { cwd: tmpdir(), ...user }).status === 0
  if (!may) console.warn("skipped: a read-only folder, as no other user may run this build")
  return may
}

let folder: string
let children: ChildProcess[]

beforeAll(() => {
  if (!existsSync(BIN)) throw new Error("dist/ is missing: npm run build")
})

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "prism-cli-"))
  children = []
})

afterEach(async () => {
  for (const child of children) if (child.exitCode === null && child.signalCode === null) child.kill("SIGKILL")
  rmSync(folder, { recursive: true, force: true })
})

function prism(...argv: string[]) {
  return prismWith("", ...argv)
}

function prismWith(input: string, ...argv: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [BIN, ...argv], {
    cwd: folder,
    input,
    encoding: "utf8",
  })
  return { status, stdout, stderr }
}

/** A shell line in which `prism` is this program. */
function shell(line: string) {
  const prelude = `set -o pipefail; prism() { "${process.execPath}" "${BIN}" "$@"; }`
  const { status, stdout, stderr } = spawnSync("bash", ["-c", `${prelude}\n${line}`], { cwd: folder, encoding: "utf8" })
  return { status, stdout, stderr }
}

/** Starts the program without waiting for its end. */
function start(...argv: string[]) {
  const child = spawn(process.execPath, [BIN, ...argv], { cwd: folder, stdio: ["pipe", "pipe", "pipe"] })
  children.push(child)
  let stderr = ""
  const waiting: { part: string; resolve: () => void }[] = []
  child.stderr.setEncoding("utf8").on("data", (text: string) => {
    stderr += text
    for (const { part, resolve } of waiting) if (stderr.includes(part)) resolve()
  })
  child.stdin.on("error", () => {})
  const ended = new Promise<{ status: number | null; stderr: string }>((resolve) => {
    child.on("close", (status) => resolve({ status, stderr }))
  })
  const told = (part: string) => new Promise<void>((resolve) => void waiting.push({ part, resolve }))
  return { child, ended, told }
}

function makeProducts(documentCount: number): void {
  writeFileSync(join(folder, "schema.yaml"), SCHEMA)
  expect(prism("collection", "create", "products", "--schema", "schema.yaml")).toMatchObject({ status: 0, stderr: "" })
  const words = "a search engine that a person can use takes documents in and gives answers out ".repeat(4)
  const lines = Array.from({ length: documentCount }, (_, place) => `{"id":"d${place}","title":"${words}${place}"}\n`)
  const imported = prismWith(lines.join(""), "document", "import", "-c", "products")
  expect(imported).toEqual({
    status: 0,
    stdout: `Imported ${plural(documentCount, "document")} into "products"\n`,
    stderr: "",
  })
}

describe("exit codes and outputs", () => {
  test("0 with the result on stdout alone", () => {
    expect(prism("--version")).toEqual({
      status: 0,
      stdout: `prism ${VERSION} (node ${process.versions.node})\n`,
      stderr: "",
    })
    expect(prism("collection", "export", "--help")).toMatchObject({ status: 0, stderr: "" })
  })

  test("2, 3 and 4, with Error and Hint on stderr and no stack", () => {
    makeProducts(3)
    writeFileSync(join(folder, "notes.txt"), "mine")
    for (const [status, ...argv] of [
      ["2", "collection", "lst"],
      ["2", "collection", "list", "--jsno"],
      ["3", "collection", "inspect", "prodcts"],
      ["3", "-d", "elsewhere", "collection", "list"],
      ["4", "collection", "create", "products", "-s", "schema.yaml"],
      ["4", "collection", "export", "products", "-o", "notes.txt"],
    ] as string[][]) {
      const result = prism(...argv)
      expect([result.status, result.stdout]).toEqual([Number(status), ""])
      expect(result.stderr).toMatch(/^Error: .+\nHint: .+\n$/)
    }
    expect(readFileSync(join(folder, "notes.txt"), "utf8")).toBe("mine")
  })

  test("a key for its owner alone, and another one for an archive that it opened", () => {
    const fixture = (name: string) => fileURLToPath(new URL(`fixtures/${name}`, import.meta.url))
    copyFileSync(fixture("encrypted-v2.enc"), join(folder, "a.enc"))
    copyFileSync(fixture("encrypted.key"), join(folder, "old.key"))
    expect(prism("key", "generate", "-o", "new.key")).toMatchObject({ status: 0, stderr: "" })
    expect(statSync(join(folder, "new.key")).mode & 0o777).toBe(0o600)
    expect(prism("key", "generate", "-o", "new.key")).toMatchObject({ status: 4, stdout: "" })
    const rotated = prism("key", "rotate", "a.enc", "--key-file", "old.key", "--new-key-file", "new.key")
    expect(rotated).toMatchObject({ status: 0, stderr: "" })
    const again = prism("key", "rotate", "a.enc", "--key-file", "old.key", "--new-key-file", "new.key")
    expect(again).toMatchObject({ status: 6, stdout: "" })
    const piped = shell("prism key generate | prism key rotate a.enc --key-file new.key --new-key-file - --add")
    expect(piped).toMatchObject({ status: 0, stderr: "" })
    expect(readdirSync(folder).sort()).toEqual(["a.enc", "new.key", "old.key"])
  })

  test("both names of the program are the same file, which starts", () => {
    const { bin } = JSON.parse(readFileSync(new URL("../package.json", import.meta.url), "utf8")) as {
      bin: Record<string, string>
    }
    expect(Object.keys(bin)).toEqual(["prism", "prism-cli"])
    expect(new Set(Object.values(bin))).toEqual(new Set(["dist/runtime-node/bin.js"]))
    expect(readFileSync(BIN, "utf8")).toMatch(/^#!\/usr\/bin\/env node\n/)
  })

  test("a refused command leaves no folder, file or part of one", () => {
    writeFileSync(join(folder, "bad.jsonl"), '{"format":"prism-portable-v1","metadata":{}}\n')
    expect(prism("collection", "restore", "-f", "bad.jsonl").status).not.toBe(0)
    expect(prismWith('{"id":"a"}\n', "document", "import", "-c", "none").status).toBe(3)
    expect(prism("collection", "list").status).toBe(3)
    expect(readdirSync(folder)).toEqual(["bad.jsonl"])
  })
})

describe("the way of a collection", () => {
  test("out to an archive, away, and back, by both spellings and through pipes", () => {
    makeProducts(50)
    const search = () => {
      const { results, total } = JSON.parse(prism("search", "products", "engine 7", "--json").stdout) as {
        results: unknown
        total: number
      }
      return { results, total }
    }
    const before = search()
    expect(before.total).toBe(50)
    expect(
      prism("collection", "export", "-n", "products", "-f", "portable", "-o", "deep/er/a.prism.jsonl").status,
    ).toBe(0)
    expect(shell("prism collection export products --format portable -o - > b.prism.jsonl").status).toBe(0)
    const linesOf = (name: string) => readFileSync(join(folder, name), "utf8").split("\n").slice(1)
    expect(linesOf("deep/er/a.prism.jsonl")).toEqual(linesOf("b.prism.jsonl"))
    const sum = shell("tail -n +2 b.prism.jsonl | tr -d '\\n' | sha256sum; sha256sum < b.prism.jsonl").stdout
    const [documents, file] = sum.match(/[0-9a-f]{64}/g)!
    const verified = JSON.parse(prism("collection", "verify", "b.prism.jsonl", "--json").stdout) as object
    expect(verified).toMatchObject({ file_sha256: file, checksum: "verified", document_count: 50 })
    expect(readFileSync(join(folder, "b.prism.jsonl"), "utf8").split("\n")[0]).toContain(`"checksum":"${documents}"`)

    expect(prism("collection", "delete", "products", "--yes").status).toBe(0)
    expect(prism("collection", "restore", "-i", "b.prism.jsonl", "-f", "portable").status).toBe(0)
    expect(search()).toEqual(before)
    expect(shell("cat b.prism.jsonl | prism collection restore -f - --target two").status).toBe(0)
    expect(shell("prism collection restore -f <(cat b.prism.jsonl) -t three").status).toBe(0)
    expect(shell("prism collection list --json | tr , '\\n' | grep -c '\"name\"'").stdout).toBe("3\n")
  })
})

describe("pipes", () => {
  test("a reader that has seen enough ends the program without a word", () => {
    makeProducts(5000)
    const { status, stdout, stderr } = shell("prism document export -c products | head -n 2; echo ${PIPESTATUS[0]}")
    expect(stderr).toBe("")
    expect(status).toBe(0)
    expect(stdout.split("\n").slice(2)).toEqual(["130", ""])
    expect(stdout).toMatch(/^\{"id":"d0".*\n\{"id":"d1"/)
    expect(shell("prism collection export products -o - | head -c 10 > /dev/null").stderr).toBe("")
  })

  test.skipIf(process.platform === "win32")("a pipe that is named as the output is refused, not read", () => {
    makeProducts(3)
    for (const line of [
      "mkfifo pipe; prism collection export products -o pipe",
      "prism collection export products -o /dev/stdout | cat",
    ]) {
      const { status, stderr } = shell(line)
      expect(status).toBe(4)
      expect(stderr).toMatch(/it is a device or pipe\nHint: use -o - for standard output\n$/)
    }
  })

  test.skipIf(!existsSync("/dev/full"))("a full disk behind stdout is an error", () => {
    makeProducts(3)
    const full = openSync("/dev/full", "w")
    const { status, stderr } = spawnSync(process.execPath, [BIN, "collection", "list"], {
      cwd: folder,
      stdio: ["ignore", full, "pipe"],
      encoding: "utf8",
    })
    expect(status).toBe(1)
    expect(stderr).toMatch(/^Error: .*no space left/)
  })

  test("a slow pipe is read as it comes, and back-pressure holds a fast one", async () => {
    makeProducts(1)
    const { child, ended, told } = start("document", "import", "-c", "products", "--batch-size", "1", "--progress")
    child.stdin!.write('{"id":"slow","title":"first"}\n')
    await told("Importing")
    child.stdin!.end('{"id":"slower","title":"second"}\n')
    expect((await ended).status).toBe(0)
    expect(prism("document", "get", "-c", "products", "slow", "slower").status).toBe(0)
  })
})

describe("signals", () => {
  test.each(["SIGINT", "SIGTERM"] as const)(
    "%s ends an import that waits; what was acknowledged stays",
    async (signal) => {
      makeProducts(1)
      const { child, ended, told } = start("document", "import", "-c", "products", "--batch-size", "1", "--progress")
      child.stdin!.write('{"id":"kept","title":"first"}\n')
      await told("Importing")
      child.kill(signal)
      const { status, stderr } = await ended
      expect(status).toBe(130)
      expect(stderr).toContain("Error: Interrupted; 1 document was imported before this\n")
      expect(prism("document", "get", "-c", "products", "kept").status).toBe(0)
    },
  )

  test("SIGINT during an export leaves no file, whole or part", async () => {
    makeProducts(20_000)
    mkdirSync(join(folder, "out"))
    // It may be done before the signal arrives; then the file must be whole, and it is tried again.
    for (let attempt = 0; ; attempt++) {
      const { child, ended, told } = start("collection", "export", "products", "-o", "out/p.prism.jsonl", "--progress")
      await told("Measuring")
      child.kill("SIGINT")
      const { status, stderr } = await ended
      if (status === 0 && attempt < 10) {
        expect(prism("collection", "verify", "out/p.prism.jsonl").status).toBe(0)
        rmSync(join(folder, "out/p.prism.jsonl"))
        continue
      }
      expect(status).toBe(130)
      expect(stderr).toContain("Error: Interrupted")
      expect(readdirSync(join(folder, "out"))).toEqual([])
      break
    }
  })

  test("SIGINT during a restore leaves no collection and nothing in the data directory", async () => {
    makeProducts(5000)
    expect(prism("collection", "export", "products", "-o", "p.prism.jsonl").status).toBe(0)
    rmSync(join(folder, "data"), { recursive: true })
    const { child, ended, told } = start("collection", "restore", "-f", "-", "--progress")
    child.stdin!.write(readFileSync(join(folder, "p.prism.jsonl")).subarray(0, -100))
    await told("Restoring")
    child.kill("SIGINT")
    expect(await ended).toMatchObject({ status: 130 })
    expect(readdirSync(folder).toSorted()).toEqual(["p.prism.jsonl", "schema.yaml"])
  })
})

describe("several processes on one data directory", () => {
  /** An import that has brought in one document and waits for more. */
  async function startImport() {
    const started = start("document", "import", "-c", "products", "--batch-size", "1", "--progress")
    started.child.stdin!.write('{"id":"a","title":"first"}\n')
    await started.told("Importing")
    return started
  }

  test("a second writer is told who has it", async () => {
    makeProducts(1)
    const { child, ended } = await startImport()
    const second = prism("document", "delete", "-c", "products", "a")
    expect(second.status).toBe(1)
    expect(second.stderr).toContain(String(child.pid))
    expect(second.stderr).toContain("Hint: ")
    child.stdin!.end()
    expect((await ended).status).toBe(0)
    expect(prism("document", "delete", "-c", "products", "a").status).toBe(0)
  })

  test("readers go on beside the writer, and see what it has acknowledged", async () => {
    makeProducts(3)
    const { child, ended } = await startImport()
    for (const line of [
      "collection list",
      "collection inspect products",
      "collection verify products",
      "collection export products -o p.prism.jsonl",
      "document get -c products a",
      "document export -c products -o d.jsonl",
      "search products first",
      "index stats -c products",
    ]) {
      const { status, stderr } = prism(...line.split(" "))
      expect({ line, status, stderr }).toEqual({ line, status: 0, stderr: line.startsWith("search") ? stderr : "" })
    }
    expect(readFileSync(join(folder, "d.jsonl"), "utf8").split("\n")).toHaveLength(5)
    expect(JSON.parse(prism("search", "products", "first", "--json").stdout)).toMatchObject({ total: 1 })
    child.stdin!.end()
    expect((await ended).status).toBe(0)
    expect(JSON.parse(prism("collection", "list", "--json").stdout)).toMatchObject([{ document_count: 4 }])
  })

  test.skipIf(!mayRun(SOMEBODY))("a folder that may only be read is read, and not a byte of it changes", () => {
    makeProducts(50)
    expect(shell("chmod -R a-w,a+rX data && chmod a+rx .").status).toBe(0)
    const run = (line: string) =>
      spawnSync(process.execPath, [BIN, ...line.split(" ")], { cwd: folder, encoding: "utf8", ...SOMEBODY })
    const listing = () => shell("find data -type f -exec sha256sum {} + | sort").stdout
    const before = listing()
    try {
      for (const line of ["collection list", "document get -c products d7", "collection verify products"]) {
        expect(run(line)).toMatchObject({ status: 0, stderr: "" })
      }
      expect(JSON.parse(run("search products engine --json").stdout)).toMatchObject({ total: 50 })
      const refused = run("document delete -c products d7")
      expect(refused.status).toBe(1)
      expect(refused.stderr).toMatch(/^Error: .+\n/)
      expect(listing()).toBe(before)
    } finally {
      shell("chmod -R u+w data")
    }
  })
})
