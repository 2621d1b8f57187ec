// Command lines with a data directory and with a server: what they print, write and end with is the same.
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import { FakeRuntime, type Result } from "../support/fake-runtime.ts"
import { type ServedApi, serveApi } from "../support/http-server.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { sha256 } from "../support/snapshots.ts"

const SCHEMA = `description: Things to buy
backends:
  text:
    fields:
      - { name: title, type: text, stored: true, indexed: true }
      - { name: price, type: f64, stored: true, indexed: true }
      - { name: stock, type: i64, stored: true, indexed: true }
  vector: { embedding_field: embedding, dimension: 2, distance: cosine }
quota: { max_documents: 100 }
`

const LINES = [
  '{"id":"a","fields":{"title":"Wireless keyboard","price":49.90,"stock":9007199254740993},"vector":[1,0]}',
  '{"id":"b","title":"Wired keyboard","price":10,"embedding":[0.1,0.7]}',
  '{"id":"c/../d","title":"Maus, größer","price":5}',
  '{"id":"..","title":"Odd"}',
]

/** A machine with the files that the lines below name. */
function machine(): FakeRuntime {
  const runtime = new FakeRuntime()
  runtime.write("products.yaml", SCHEMA)
  runtime.write("bad.yaml", "backends: { text: { fields: [{ name: a, type: nothing }] } }")
  runtime.write("products.jsonl", `${LINES.join("\n")}\n`)
  runtime.write("bad.jsonl", '{"id":"x","price":"many"}\nno JSON\n\n{"id":"y","title":"good"}\n{"id":"y"}\n')
  runtime.write("all-bad.jsonl", "1\n2\n")
  runtime.write("many.jsonl", Array.from({ length: 120 }, (_, i) => `{"id":"n${i}","title":"item ${i}"}`).join("\n"))
  runtime.write("key", `${"5a".repeat(32)}\n`)
  runtime.write("other.key", "a5".repeat(32))
  runtime.write("passphrase", "päßword\n")
  runtime.write("ids", "a\nb\nnone\n")
  runtime.write("notes.txt", "not an archive")
  return runtime
}

/** In this order, from nothing to nothing. */
const COMMAND_LINES = [
  "collection list",
  "collection list --json",
  "collection create products --schema products.yaml",
  "collection create products --schema products.yaml",
  "collection create bad --schema bad.yaml",
  "collection create -bad --schema products.yaml",
  "document import -c products -f products.jsonl",
  "document import -c products -f bad.jsonl",
  "document import -c products -f bad.jsonl --json",
  "document import -c products -f all-bad.jsonl",
  "document import -c products -f many.jsonl --batch-size 7",
  "document import -c product -f products.jsonl",
  "document import -c products -f missing.jsonl",
  "document delete -c products n0 n1 n2 n2 nothing",
  "document delete -c products nothing --json",
  "document get -c products a",
  "document get -c products a .. c/../d nothing --json",
  "document get -c products nothing",
  "document export -c products",
  "document export -c products -o out.jsonl",
  "document export -c products -o out.jsonl",
  "document export -c products -o out.jsonl --force --json",
  "document export -c nothing",
  "search products keyboard",
  "search products keyboard --json",
  "search products keyboard --vector [0.6,0.8] --strategy rrf --filter price:[1_TO_20] --json",
  "search products --vector [1,0,0]",
  "search products title:(",
  "search products keyboard --offset 1 --limit 1 --fields title,price",
  "search nothing keyboard",
  "index optimize -c products",
  "index stats -c products --json",
  "index stats -c products --recall",
  "index stats -c nothing",
  "collection list",
  "collection list --json",
  "collection inspect products",
  "collection inspect products -v",
  "collection inspect products --json",
  "collection verify products",
  "collection verify products --json",
  "collection verify nothing",
  "collection export products -o p.prism.jsonl",
  "collection export products -o p.prism.jsonl --sha256 --json",
  "collection export products -o p.tar.zst --purge",
  "collection export products -o p.enc --key-file key --json",
  "collection export products -o both.enc --key-file key --passphrase-file passphrase",
  "collection export products -o v1.enc --key-file key --enc-version 1",
  "collection export products -o v1.enc --passphrase-file passphrase --enc-version 1",
  "collection export products -o notes.txt",
  "collection export products -o -",
  "collection export nothing -o n.prism.jsonl",
  "collection verify p.prism.jsonl",
  "collection restore -f p.prism.jsonl",
  "collection restore -f p.prism.jsonl -t one",
  "collection restore -f p.prism.jsonl -t one --replace --json",
  "collection restore -f p.prism.jsonl -t one --merge",
  "collection restore -f p.tar.zst -t two",
  "collection restore -f p.tar.zst -t two2 --format portable",
  "collection restore -f p.enc --key-file key -t three",
  "collection restore -f p.enc --key-file other.key -t four",
  "collection restore -f both.enc --passphrase-file passphrase -t four",
  "collection restore -f v1.enc --key-file key -t five --dry-run",
  "collection restore -f v1.enc --key-file key -t five",
  "collection restore -f p.prism.jsonl -t six --where title:keyboard",
  "collection restore -f p.prism.jsonl -t seven --ids ids",
  "collection restore -f p.prism.jsonl -t eight --ids ids --json",
  "collection restore -f cut.prism.jsonl -t nine",
  "collection restore -f bad.prism.jsonl -t ten",
  "collection restore -f bad.prism.jsonl -t ten --on-bad-line skip",
  "collection restore -f notes.txt",
  "document export -c one",
  "document export -c two",
  "document export -c five",
  "document export -c six",
  "collection list -q",
  "collection delete one",
  "collection delete two --json",
  "collection delete nothing",
  "collection list -q",
]

/** How a line ends, without what depends on the process that answers, or on chance. */
async function outcome(runtime: FakeRuntime, line: string): Promise<Result> {
  const { code, stdout, stderr } = await runtime.run(...line.split(" ").map((word) => word.replaceAll("_TO_", " TO ")))
  const encrypted = [...runtime.fileBytes].filter(([path]) => path.endsWith(".enc"))
  const hashes = new Map(encrypted.map(([path, bytes]) => [sha256(bytes), `hash of ${path}`]))
  const clean = (text: string) =>
    text
      .replaceAll(/[0-9a-f]{64}/g, (hash) => hashes.get(hash) ?? hash)
      .replaceAll(/"latency_ms":[\d.e-]+/g, '"latency_ms":0')
      .replaceAll(/ in [\d.]+ ms/g, " in 0 ms")
      .replaceAll(/"(memory_bytes|resident_bytes)":\d+/g, '"$1":0')
      .replaceAll(/"cache":\{[^}]*\}/g, '"cache":{}')
      .replaceAll(/"state":"[^"]*"/g, '"state":""')
  return { code, stdout: clean(stdout), stderr: clean(stderr) }
}

/** A cut archive, and one with a bad line, both made of a good one. */
function damage(runtime: FakeRuntime): void {
  const text = runtime.text("p.prism.jsonl")
  runtime.write("cut.prism.jsonl", text.slice(0, -40))
  runtime.write("bad.prism.jsonl", text.replace('"price":10', '"price":[]'))
}

describe("the same command lines", () => {
  let here: FakeRuntime
  let there: FakeRuntime
  let server: ServedApi

  beforeEach(async () => {
    // Archives tell when they were made.
    vi.useFakeTimers({ toFake: ["Date"], now: 1_700_000_000_000 })
    here = machine()
    here.directories.set("./data", undefined)
    there = machine()
    server = await serveApi({ storage: new LastingStorage() })
    there.environment["PRISM_API_URL"] = server.url
  })

  afterEach(async () => {
    vi.useRealTimers()
    await server[Symbol.asyncDispose]()
  })

  test("give the same output, files and exit codes", async () => {
    for (const line of COMMAND_LINES) {
      const local = await outcome(here, line)
      const remote = await outcome(there, line)
      const replaced = (text: string) =>
        text.replaceAll(server.url, "./data").replaceAll('"server":', '"data_directory":')
      expect({ line, ...remote, stdout: replaced(remote.stdout), stderr: replaced(remote.stderr) }).toEqual({
        line,
        ...local,
      })
      expect([...there.fileBytes.keys()], line).toEqual([...here.fileBytes.keys()])
      for (const [path, bytes] of here.fileBytes) {
        const same = there.fileBytes.get(path)!
        // Nonces and salts are random.
        if (path.endsWith(".enc")) expect(same.length, `${line}: ${path}`).toBe(bytes.length)
        else expect(same, `${line}: ${path}`).toEqual(bytes)
      }
      if (line.startsWith("collection export products -o p.prism.jsonl --sha256")) {
        damage(here)
        damage(there)
      }
    }
    expect(there.directories.size).toBe(0)
    expect(server.requests.join("\n")).not.toMatch(/5a5a|a5a5|password|pa%|key=|passphrase/i)
  })
})
