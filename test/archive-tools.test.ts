// Archives and the tools that others have: what we write is read by tar, zstd, sha256sum, jq and Python, and what they
// pack comes back. Every command line is a process of its own, as a shell starts it.
import { spawnSync } from "node:child_process"
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, beforeAll, describe, expect, test } from "vitest"

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const BIN = at("dist/runtime-node/bin.js")

const SCHEMA = `backends:
  text:
    fields:
      - { name: title, type: text, stored: true, indexed: true }
      - { name: price, type: f64, stored: true, indexed: true }
  vector: { embedding_field: embedding, dimension: 3, distance: cosine }
`
const COUNT = 300

/** Holds the collection "products" in ./data, its archives, and what a test makes under names that begin with "data". */
let folder: string

/** Runs a line in bash, where `prism` is this program. */
function run(line: string, cwd = folder): { status: number | null; stdout: string; stderr: string } {
  const prelude = `set -o pipefail; prism() { "${process.execPath}" "${BIN}" "$@"; }`
  const options = { cwd, encoding: "utf8", maxBuffer: 2 ** 26 } as const
  const { status, stdout, stderr } = spawnSync("bash", ["-c", `${prelude}\n${line}`], options)
  return { status, stdout, stderr }
}

function ok(line: string, cwd?: string): string {
  const { status, stdout, stderr } = run(line, cwd)
  expect({ line, status, stderr: status === 0 ? "" : stderr }).toEqual({ line, status: 0, stderr: "" })
  return stdout
}

const has = (line: string): boolean => spawnSync("bash", ["-c", line]).status === 0
const TOOLS = {
  tar: has("tar --version | grep -q GNU"),
  zstd: has("zstd --version"),
  sha256sum: has("sha256sum --version"),
  jq: has("jq --version"),
  python: has("python3 -c 'import cryptography'"),
}

for (const [tool, isHere] of Object.entries(TOOLS)) if (!isHere) console.warn(`skipped: what needs ${tool}`)

/** Why a test that needs these tools is skipped, for its title; empty where it is not. */
function lacks(...tools: (keyof typeof TOOLS)[]): string {
  const gone = tools.filter((tool) => !TOOLS[tool])
  return gone.length > 0 ? ` (skipped: no ${gone.join(", ")} here)` : ""
}

beforeAll(() => {
  if (!existsSync(BIN)) throw new Error("dist/ is missing: npm run build")
  folder = mkdtempSync(join(tmpdir(), "prism-tools-"))
  writeFileSync(join(folder, "schema.yaml"), SCHEMA)
  const line = (i: number) =>
    JSON.stringify({ id: `d${i}`, title: `größer ${i % 7} hay ${i}`, price: i / 4, embedding: [Math.sin(i), i, 1] })
  writeFileSync(join(folder, "in.jsonl"), Array.from({ length: COUNT }, (_, i) => `${line(i)}\n`).join(""))
  ok("prism collection create products --schema schema.yaml")
  ok("prism document import -c products -f in.jsonl")
  // Two segments, the first with deleted documents.
  ok("prism index optimize -c products")
  ok("head -n 20 in.jsonl | sed s/hay/needle/ | prism document import -c products")
  ok("prism document delete -c products d250")
  ok("prism key generate -o key && echo 'correct horse' >passphrase")
  ok("prism collection export products -o p.prism.jsonl --sha256")
  ok("prism collection export products -o p.tar.zst --sha256")
  ok("prism collection export products -o p.enc --key-file key --passphrase-file passphrase --sha256")
  ok("prism collection export products -o v1.enc --key-file key --enc-version 1 --sha256")
  ok("mkdir unpacked")
  if (TOOLS.tar && TOOLS.zstd) ok("tar --zstd -xf ../p.tar.zst", join(folder, "unpacked"))
}, 60_000)

afterAll(() => rmSync(folder, { recursive: true, force: true }))

const ARCHIVES = ["p.prism.jsonl", "p.tar.zst", "p.enc", "v1.enc"]

/** The document lines that a restore of this file brings back: compared with those of the first export. */
function expectSameDocuments(file: string, options = ""): void {
  const data = mkdtempSync(join(folder, "data-"))
  ok(`prism -d ${data} collection restore -f ${file} -t back ${options}`)
  ok(`prism -d ${data} collection export back -o ${data}/back.prism.jsonl`)
  const documents = (path: string) => readFileSync(path, "utf8").split("\n").slice(1)
  expect(documents(join(data, "back.prism.jsonl"))).toEqual(documents(join(folder, "p.prism.jsonl")))
}

describe("what an export writes", () => {
  test.each(ARCHIVES)("%s: only its owner reads it, and no other file is left", (file) => {
    expect(statSync(join(folder, file)).mode & 0o777).toBe(0o600)
    const left = readdirSync(folder).filter((name) => !name.startsWith("data"))
    const known = ["schema.yaml", "in.jsonl", "key", "passphrase", "unpacked"]
    expect(left.toSorted()).toEqual([...known, ...ARCHIVES, ...ARCHIVES.map((name) => `${name}.sha256`)].toSorted())
  })

  test.skipIf(lacks("sha256sum"))(
    `sha256sum -c takes FILE.sha256, also of a name with a backslash${lacks("sha256sum")}`,
    () => {
      for (const file of ARCHIVES) expect(ok(`sha256sum -c ${file}.sha256`)).toBe(`${file}: OK\n`)
      mkdirSync(join(folder, "data-names"))
      ok(String.raw`prism collection export products -o 'data-names/a\b c.prism.jsonl' --sha256`)
      expect(ok("sha256sum -c --quiet *.sha256", join(folder, "data-names"))).toBe("")
    },
  )

  test.skipIf(lacks("tar", "zstd"))(
    `tar --zstd lists a snapshot, metadata.json first and MANIFEST.sha256 last${lacks("tar", "zstd")}`,
    () => {
      const names = ok("tar --zstd -tf p.tar.zst").trimEnd().split("\n")
      expect(names.slice(0, 2)).toEqual(["metadata.json", "schema.yaml"])
      expect(names.at(-1)).toBe("MANIFEST.sha256")
      for (const name of names.slice(2, -1)) expect(name).toMatch(/^(text|vector)\/[A-Za-z0-9._-]+$/)
      expect(names.findLastIndex((name) => name.startsWith("text/"))).toBeLessThan(
        names.findIndex((name) => name.startsWith("vector/")),
      )
    },
  )

  test.skipIf(lacks("zstd"))(`zstd -t and zstd -l find frames with checksums${lacks("zstd")}`, () => {
    ok("zstd -tq p.tar.zst")
    // Number of frames, skippable ones (the seek table), check.
    expect(ok("zstd -l p.tar.zst")).toMatch(/\n *\d+ +1 .* XXH64 +p\.tar\.zst\n/)
  })

  test.skipIf(lacks("tar", "zstd", "sha256sum"))(
    `sha256sum -c takes the unpacked snapshot's list, of every file in it${lacks("tar", "zstd", "sha256sum")}`,
    () => {
      const unpacked = join(folder, "unpacked")
      const checked = ok("sha256sum -c MANIFEST.sha256", unpacked).trimEnd().split("\n")
      const files = ok("find . -type f ! -name MANIFEST.sha256 -printf '%P\\n'", unpacked).trimEnd().split("\n")
      expect(checked.toSorted()).toEqual(files.map((name) => `${name}: OK`).toSorted())
    },
  )

  test.skipIf(lacks("tar", "zstd", "jq"))(
    `jq reads metadata.json and every line of a portable archive${lacks("tar", "zstd", "jq")}`,
    () => {
      const metadata = ok("jq -r '.collection, .document_count, .format_version' unpacked/metadata.json")
      expect(metadata).toBe(`products\n${COUNT - 1}\n1\n`)
      expect(ok("jq -c '.segments | map(.deleted)' unpacked/metadata.json")).toBe("[21,0]\n")
      expect(ok("head -n 1 p.prism.jsonl | jq -r '.format, .metadata.document_count'")).toBe(
        `prism-portable-v1\n${COUNT - 1}\n`,
      )
      expect(ok("head -n 1 p.prism.jsonl | jq -r '.schema_b64 | @base64d'")).toContain(SCHEMA.trimEnd())
      expect(ok("tail -n +2 p.prism.jsonl | jq -e 'select(.fields.title | contains(\"needle\")) | .id' | wc -l")).toBe(
        "20\n",
      )
    },
  )

  test.skipIf(lacks("sha256sum", "jq"))(
    `the checksum of a portable archive is that of its lines without their ends${lacks("sha256sum", "jq")}`,
    () => {
      const [sum] = ok("tail -n +2 p.prism.jsonl | tr -d '\\n' | sha256sum").split(" ")
      expect(ok("head -n 1 p.prism.jsonl | jq -r .metadata.checksum")).toBe(`${sum}\n`)
    },
  )

  test.skipIf(lacks("tar", "zstd", "python"))(
    `decrypt.py gives the snapshot that tar --zstd reads${lacks("tar", "zstd", "python")}`,
    () => {
      for (const [file, keys] of [
        ["p.enc", "--key-file key"],
        ["p.enc", "--passphrase-file passphrase"],
        ["v1.enc", "--key-file key"],
      ]) {
        expect(ok(`python3 ${at("docs/formats/decrypt.py")} ${file} ${keys} | tar --zstd -t`)).toBe(
          ok("tar --zstd -tf p.tar.zst"),
        )
      }
    },
  )
})

describe("what other tools pack", () => {
  const WAYS: [title: string, line: string][] = [
    ["tar --zstd of the folder, with ./ and folders", "tar --zstd -cf ../data-x . "],
    ["tar --zstd of the names", "tar --zstd -cf ../data-x *"],
    ["one frame with a window of 128 MiB", "tar -cf - . | zstd -q -19 --long=27 -o ../data-x -f"],
    ["no checksum", "tar -cf - . | zstd -q -1 --no-check -o ../data-x -f"],
    [
      "several frames",
      "tar -cf - * | split -b 5000 - ../data-part. && for part in ../data-part.*; do zstd -qc $part; done >../data-x && rm ../data-part.*",
    ],
    [
      "an empty frame and a skippable one before",
      "{ zstd -qc </dev/null; printf 'P*M\\030\\002\\0\\0\\0xx'; tar -cf - * | zstd -qc; } >../data-x",
    ],
    ["a portable archive with CRLF", "sed 's/$/\\r/' ../p.prism.jsonl >../data-x"],
  ]
  test.skipIf(lacks("tar", "zstd")).each(WAYS)(
    `%s restores to the same documents${lacks("tar", "zstd")}`,
    (_title, line) => {
      ok(line, join(folder, "unpacked"))
      expectSameDocuments("data-x")
    },
  )

  test.skipIf(lacks("zstd"))(`a portable archive comes through zstd -dc and a pipe${lacks("zstd")}`, () => {
    ok("zstd -q p.prism.jsonl -o data-p.zst -f")
    expectSameDocuments("<(zstd -dc data-p.zst)")
  })
})

const ORIGINAL = at("../shared/data/original")
const isOriginalHere = existsSync(ORIGINAL)
if (!isOriginalHere)
  console.warn("skipped: files of Prism 0.6 (shared/data/original), which are no part of the project")

describe.skipIf(!isOriginalHere)(`files of Prism 0.6${isOriginalHere ? "" : " (skipped: not here)"}`, () => {
  test("a snapshot is an incompatible version, an encrypted one once its key opened it", () => {
    const { status, stderr } = run(`prism -d data-06 collection restore -f ${ORIGINAL}/text25.tar.zst`)
    expect(status).toBe(7)
    expect(stderr).toMatch(/^Error: Incompatible snapshot version.*\nHint: .*portable/)
    const key = `--key-file ${ORIGINAL}/text25.key`
    for (const command of ["restore -f", "verify"]) {
      const opened = run(`prism -d data-06 collection ${command} ${ORIGINAL}/text25.enc ${key}`)
      expect(opened).toMatchObject({ status: 7, stdout: "", stderr })
      const refused = run(`prism -d data-06 collection ${command} ${ORIGINAL}/text25.enc --key-file key`)
      expect(refused.stderr).toMatch(/^Error: Decryption failed \(wrong key or corrupted data\)\n/)
      expect(refused.status).toBe(6)
    }
    expect(existsSync(join(folder, "data-06"))).toBe(false)
  })

  test.each([
    ["text25.prism.jsonl", 25],
    ["alltypes.prism.jsonl", 92],
    ["hybrid4.with-vectors.prism.jsonl", 12],
  ])("%s comes back", (file, count) => {
    const lines = readFileSync(join(ORIGINAL, file), "utf8").trimEnd().split("\n")
    expect(lines).toHaveLength(count + 1)
    ok(`prism -d data-${count} collection restore -f ${ORIGINAL}/${file} -t old`)
    const ids = (text: string) =>
      text
        .trimEnd()
        .split("\n")
        .map((line) => (JSON.parse(line) as { id: string }).id)
    const back = ok(`prism -d data-${count} document export -c old`)
    expect(ids(back).toSorted()).toEqual(ids(lines.slice(1).join("\n")).toSorted())
  })
})
