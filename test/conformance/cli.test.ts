import { describe, expect, test } from "vitest"
import { decodeUtf8, encodeUtf8 } from "../../src/base/bytes.ts"
import { ERROR_CODES } from "../../src/base/errors.ts"
import { VERSION } from "../../src/base/version.ts"
import { expectFailure, expectOk } from "../support/command-line.ts"
import { FakeRuntime, type Result } from "../support/fake-runtime.ts"
import { Random } from "../support/random.ts"

const SCHEMA = `collection: products
description: Things to buy
backends:
  text:
    fields:
      - { name: title, type: text, stored: true, indexed: true }
      - { name: price, type: f64, stored: true, indexed: true }
      - { name: stock, type: i64, stored: true, indexed: true }
  vector: { embedding_field: embedding, dimension: 2, distance: cosine }
`

const LINES = [
  '{"id":"a","fields":{"title":"Wireless keyboard","price":49.90,"stock":9007199254740993},"vector":[1,0]}',
  '{"id":"b","title":"Wired keyboard","price":10,"embedding":[0,1]}',
  '{"id":"c","title":"Mouse","price":5}',
]

/** A machine with the collection "products" in ./data. */
async function machine(): Promise<FakeRuntime> {
  const runtime = new FakeRuntime()
  runtime.write("products.yaml", SCHEMA)
  runtime.write("products.jsonl", `${LINES.join("\n")}\n`)
  await expectOk(runtime.run("collection", "create", "products", "--schema", "products.yaml"))
  await expectOk(runtime.run("document", "import", "-c", "products", "-f", "products.jsonl"))
  return runtime
}

describe("the way of a collection", () => {
  test("create, import, search, export, delete, restore, and the same answers again", async () => {
    const runtime = await machine()
    const search = ["search", "products", "keyboard", "--vector", "[0.6,0.8]", "--json"]
    const answers = async () => {
      const { results, total } = JSON.parse(await expectOk(runtime.run(...search))) as {
        results: unknown[]
        total: number
      }
      return { results, total }
    }
    const before = await answers()
    expect(before.total).toBe(2)
    expect(before.results).toMatchObject([{ id: "b" }, { id: "a" }])

    const text = await expectOk(runtime.run("collection", "export", "products", "-o", "out/p.prism.jsonl"))
    expect(text).toMatch(/^Exported 3 documents of "products" to out\/p\.prism\.jsonl \(.* B|kB\)\n/)
    expect(text).toMatch(/SHA-256 of the file: {7}[0-9a-f]{64}\n/)
    expect(await expectOk(runtime.run("collection", "verify", "out/p.prism.jsonl"))).toContain("is whole: 3 documents")

    expect(await expectOk(runtime.run("collection", "delete", "products"))).toBe(
      'Deleted collection "products" with 3 documents\n',
    )
    await expectFailure(runtime.run(...search.slice(0, -1)), 3, 'Error: Collection "products" does not exist\nHint: ')

    expect(await expectOk(runtime.run("collection", "restore", "-f", "out/p.prism.jsonl"))).toContain(
      'Restored 3 documents into "products"\nChecksum of the documents: verified\n',
    )
    expect(await answers()).toEqual(before)
    expect(await expectOk(runtime.run("collection", "verify", "products"))).toMatch(
      /^Collection "products" is whole: 3 documents in \d+ files? of [\d.]+ k?B\n$/,
    )
  })

  test("list names, counts and backends, as a table and as stable JSON", async () => {
    const runtime = await machine()
    expect(await expectOk(runtime.run("collection", "list"))).toMatch(
      /^NAME {6}DOCUMENTS {2,}SIZE {2}BACKENDS\nproducts +3 +[\d.]+ k?B {2}text, vector\n$/,
    )
    const listed = JSON.parse(await expectOk(runtime.run("collection", "list", "--json"))) as unknown
    expect(listed).toEqual([
      {
        name: "products",
        document_count: 3,
        size_bytes: expect.any(Number) as number,
        backends: { text: true, vector: true, graph: false },
      },
    ])
    expect(Object.keys((listed as object[])[0]!)).toEqual(["name", "document_count", "size_bytes", "backends"])
    expect(await expectOk(runtime.run("collection", "list", "-q"))).toBe("products\n")
  })

  test("a list of nothing is empty, and JSON all the same", async () => {
    const runtime = new FakeRuntime()
    runtime.directories.set("./data", undefined)
    expect(await runtime.run("collection", "list")).toMatchObject({ code: 0, stdout: "" })
    expect(await expectOk(runtime.run("collection", "list", "--json"))).toBe("[]\n")
  })

  test("inspect shows fields, and all settings on request", async () => {
    const runtime = await machine()
    const short = await expectOk(runtime.run("collection", "inspect", "-n", "products"))
    expect(short).toContain("Description  Things to buy\n")
    expect(short).toMatch(/\nprice +f64 +yes +yes\n/)
    expect(short).not.toContain("Schema:")
    const long = await expectOk(runtime.run("collection", "inspect", "products", "-v"))
    expect(long).toContain("Schema:\n  collection: products\n")
    const json = JSON.parse(await expectOk(runtime.run("collection", "inspect", "products", "--json"))) as object
    expect(json).toMatchObject({ document_count: 3, vector: { dimension: 2, distance: "cosine" } })
  })

  test("both program spellings of restore: -f FILE, -i FILE -f portable, --target", async () => {
    const runtime = await machine()
    await expectOk(runtime.run("collection", "export", "-n", "products", "--output", "p.jsonl", "-f", "portable"))
    await expectOk(runtime.run("collection", "restore", "-i", "p.jsonl", "-f", "portable", "--target", "two"))
    await expectOk(runtime.run("collection", "restore", "--input", "p.jsonl", "--target-collection", "three"))
    await expectOk(runtime.run("collection", "restore", "--file", "p.jsonl", "-t", "four", "--format", "portable"))
    runtime.input = [runtime.fileBytes.get("p.jsonl")!]
    await expectOk(runtime.run("collection", "restore", "-f", "-", "-t", "five"))
    expect(await expectOk(runtime.run("collection", "list", "-q"))).toBe("five\nfour\nproducts\nthree\ntwo\n")
    await expectFailure(
      runtime.run("collection", "restore", "-i", "p.jsonl", "-f", "snapshot", "-t", "six"),
      1,
      "is a portable archive, not a snapshot",
    )
    await expectFailure(
      runtime.run("collection", "restore", "-i", "p.jsonl", "-f", "other"),
      2,
      "Two archives are given",
    )
    await expectFailure(runtime.run("collection", "restore"), 2, "No archive is given", "-f FILE")
  })

  test("restore fails, replaces or merges where the name is taken", async () => {
    const runtime = await machine()
    await expectOk(runtime.run("collection", "export", "products", "-o", "p.jsonl"))
    await expectOk(runtime.run("document", "delete", "-c", "products", "a"))
    runtime.input = ['{"id":"z","title":"New"}\n']
    await expectOk(runtime.run("document", "import", "-c", "products"))
    await expectFailure(
      runtime.run("collection", "restore", "-f", "p.jsonl"),
      4,
      "already exists",
      "--replace or --merge",
    )
    await expectFailure(
      runtime.run("collection", "restore", "-f", "p.jsonl", "--replace", "--merge"),
      2,
      "exclude each other",
    )
    const count = async () =>
      (JSON.parse(await expectOk(runtime.run("collection", "list", "--json"))) as { document_count: number }[])[0]!
        .document_count
    await expectOk(runtime.run("collection", "restore", "-f", "p.jsonl", "--merge"))
    expect(await count()).toBe(4)
    await expectOk(runtime.run("collection", "restore", "-f", "p.jsonl", "--replace"))
    expect(await count()).toBe(3)
  })
})

/** Every command that only reads, on the collection "products". */
const READING = [
  "collection list",
  "collection inspect products -v",
  "collection export products -o -",
  "collection verify products",
  "document get -c products a",
  "document export -c products",
  "search products keyboard",
  "search products --vector [1,0]",
  "index stats -c products --recall",
]
const CHANGING = ["collection delete products", "document delete -c products a", "index optimize -c products"]

describe("commands that read", () => {
  test("work beside a process that writes, which keeps out only others that do", async () => {
    const runtime = await machine()
    const expected = new Map<string, string>()
    for (const line of READING) expected.set(line, steady(await expectDone(runtime.run(...line.split(" ")))))
    const lock = await runtime.directories.get("./data")!.lock()
    for (const line of READING) {
      expect([line, steady(await expectDone(runtime.run(...line.split(" "))))]).toEqual([line, expected.get(line)])
    }
    for (const line of CHANGING) expect((await runtime.run(...line.split(" "), "--json")).stderr).toContain('"LOCKED"')
    await lock.release()
    for (const line of CHANGING.toReversed()) await expectOk(runtime.run(...line.split(" ")))
  })

  test("work on a folder that nobody may write to; the others say so", async () => {
    const runtime = await machine()
    runtime.unwritable.add("./data")
    for (const line of READING) await expectDone(runtime.run(...line.split(" ")))
    for (const line of CHANGING) await expectFailure(runtime.run(...line.split(" ")), 1, "Error: ")
  })

  /** Code 0; stderr may hold notes. */
  async function expectDone(running: Promise<Result>): Promise<string> {
    const { code, stdout, stderr } = await running
    expect({ code, stderr }).toEqual({ code: 0, stderr })
    return stdout
  }

  /** What is the same each time: an archive tells when it was written. */
  function steady(text: string): string {
    return text.replace(/^\{"format":.*\n/, "")
  }
})

describe("index", () => {
  test("stats shows what a collection is made of, as a table and as JSON", async () => {
    const runtime = await machine()
    await expectOk(runtime.run("index", "optimize", "-c", "products"))
    runtime.input = ['{"id":"a","title":"Another keyboard","embedding":[1,1]}\n{"id":"d","title":"Screen"}\n']
    await expectOk(runtime.run("document", "import", "-c", "products"))
    const text = await expectOk(runtime.run("index", "stats", "-c", "products"))
    expect(text).toMatch(/^Collection {2}products\nDocuments {3}4\nSize {2,}[\d.]+ k?B\nGeneration {2}\d+\n/)
    expect(text).toMatch(/\nDeleted {5}1 document, /)
    expect(text).not.toMatch(/Recall|State|Memory|cache/)
    expect(text).toMatch(/\n\nSEGMENT {2}LEVEL {2}DOCUMENTS {2}DELETED {2}VECTORS {2,}SIZE\n( +\d+){6}/)
    const stats = JSON.parse(await expectOk(runtime.run("index", "stats", "--name", "products", "--json"))) as object
    expect(stats).toMatchObject({
      name: "products",
      document_count: 4,
      deleted_count: 1,
      state: "read-only",
      segments: [{ documents: 3, deleted: 1, vectors: 2 }],
      resident_bytes: expect.any(Number) as number,
      cache: { capacity: expect.any(Number) as number },
    })
    expect(stats).not.toHaveProperty("recall")
  })

  test("stats --recall holds the vector search against an exact one", async () => {
    const runtime = await machine()
    const random = new Random(3)
    runtime.input = Array.from(
      { length: 200 },
      (_, n) => `{"id":"v${n}","vector":[${random.unit()},${random.unit()}]}\n`,
    )
    await expectOk(runtime.run("document", "import", "-c", "products"))
    const text = await expectOk(runtime.run("index", "stats", "-c", "products", "--recall"))
    expect(text).toMatch(/\nRecall {6}(100|\d\d\.\d)% of the nearest 10 \(100 samples, ef \d+\)\n/)
    const json = JSON.parse(await expectOk(runtime.run("index", "stats", "-c", "products", "--recall", "--json"))) as {
      recall: { recall: number; samples: number; k: number }
    }
    expect(json.recall).toMatchObject({ samples: 100, k: 10 })
    expect(json.recall.recall).toBeGreaterThan(0.9)
  })

  test("stats --recall of a collection without vectors has none to tell", async () => {
    const runtime = new FakeRuntime()
    runtime.write("s.json", '{"backends":{"text":{"fields":[{"name":"t","type":"text"}]}}}')
    await expectOk(runtime.run("collection", "create", "plain", "-s", "s.json"))
    const { code, stdout, stderr } = await runtime.run("index", "stats", "-c", "plain", "--recall")
    expect([code, stderr]).toEqual([0, "There is no recall to measure: the collection has no vectors\n"])
    expect(stdout).not.toContain("Recall")
    const json = await expectOk(runtime.run("index", "stats", "-c", "plain", "--recall", "--json"))
    expect(JSON.parse(json)).toMatchObject({ recall: null })
  })

  test("optimize leaves one segment without what was deleted, and every document", async () => {
    const runtime = await machine()
    for (const batch of [1, 2, 3]) {
      runtime.input = [`{"id":"a","title":"keyboard ${batch}","stock":9007199254740993}\n{"id":"x${batch}"}\n`]
      await expectOk(runtime.run("document", "import", "-c", "products"))
    }
    await expectOk(runtime.run("document", "delete", "-c", "products", "x2"))
    const before = await expectOk(runtime.run("document", "export", "-c", "products"))
    const report = JSON.parse(await expectOk(runtime.run("index", "optimize", "-c", "products", "--json"))) as object
    expect(Object.keys(report)).toEqual([
      "success",
      "collection",
      "segments_before",
      "segments_after",
      "documents",
      "bytes_before",
      "bytes_after",
    ])
    expect(report).toMatchObject({ success: true, collection: "products", segments_after: 1, documents: 5 })
    expect(await expectOk(runtime.run("document", "export", "-c", "products"))).toBe(before)
    const stats = JSON.parse(await expectOk(runtime.run("index", "stats", "-c", "products", "--json"))) as object
    expect(stats).toMatchObject({ deleted_count: 0, segments: [{ documents: 5, deleted: 0, vectors: 1 }] })
    expect(await expectOk(runtime.run("index", "optimize", "-c", "products"))).toMatch(
      /^Optimized "products": 5 documents, \d segments? before and 1 now, [\d.]+ k?B before and [\d.]+ k?B now\n$/,
    )
  })

  test("optimize shows its progress, and an interrupt leaves every document", async () => {
    const runtime = await machine()
    await expectOk(runtime.run("index", "optimize", "-c", "products"))
    await expectOk(runtime.run("document", "delete", "-c", "products", "b"))
    runtime.input = ['{"id":"d","title":"Screen"}\n']
    await expectOk(runtime.run("document", "import", "-c", "products"))
    const before = await expectOk(runtime.run("document", "export", "-c", "products"))
    const storage = runtime.directories.get("./data")!
    runtime.openStorage = async () => {
      runtime.interrupt()
      return await Promise.resolve(storage)
    }
    await expectFailure(runtime.run("index", "optimize", "-c", "products"), 130, "Error: Interrupted")
    runtime.openStorage = (...args) => FakeRuntime.prototype.openStorage.apply(runtime, args)
    expect(await expectOk(runtime.run("document", "export", "-c", "products"))).toBe(before)
    const { code, stderr } = await runtime.run("index", "optimize", "-c", "products", "--progress")
    expect([code, stderr.trimEnd().split("\n").at(-1)]).toEqual([0, "Optimizing  100%  3 of 3 documents"])
    expect(await expectOk(runtime.run("document", "export", "-c", "products"))).toBe(before)
  })
})

describe("a damaged collection", () => {
  async function damaged(): Promise<FakeRuntime> {
    const runtime = await machine()
    for (const name of ["broken", "whole"]) {
      await expectOk(runtime.run("collection", "create", "products", "-d", "elsewhere", "--schema", "products.yaml"))
      await expectOk(runtime.run("-d", "elsewhere", "collection", "export", "products", "-o", `${name}.jsonl`))
      await expectOk(runtime.run("-d", "elsewhere", "collection", "delete", "products"))
      await expectOk(runtime.run("collection", "restore", "-f", `${name}.jsonl`, "-t", name))
    }
    const storage = runtime.directories.get("./data")!
    const path = "collections/broken/MANIFEST"
    const manifest = decodeUtf8(await storage.read(path)).replace("Things to buy", "Things to sell")
    await storage.remove(path)
    await using file = await storage.create(path)
    await file.append(encodeUtf8(manifest))
    return runtime
  }

  test("is listed with its error; the others too, and the exit code tells", async () => {
    const runtime = await damaged()
    const { stdout } = await expectFailure(runtime.run("collection", "list"), 5, 'Error: Collection "broken"', "Hint: ")
    expect(stdout).toMatch(/^NAME .*\nbroken +- +- {2}(CORRUPT|CHECKSUM_MISMATCH): .+\nproducts +3 .*\nwhole +0 .*\n$/)
    const json = await expectFailure(runtime.run("collection", "list", "--json"), 5, '{"error":{"code":"C')
    expect(JSON.parse(json.stdout)).toMatchObject([
      { name: "broken", error: { code: expect.any(String) as string, message: expect.any(String) as string } },
      { name: "products", document_count: 3 },
      { name: "whole", document_count: 0 },
    ])
    expect((await expectFailure(runtime.run("collection", "list", "-q"), 5)).stdout).toBe("broken\nproducts\nwhole\n")
    await expectFailure(runtime.run("collection", "verify", "broken"), 5)
    await expectOk(runtime.run("collection", "verify", "whole"))
  })

  test("can be replaced from its export, or deleted", async () => {
    const runtime = await damaged()
    await expectOk(runtime.run("collection", "restore", "-f", "broken.jsonl", "-t", "broken", "--replace"))
    expect(await expectOk(runtime.run("collection", "list", "-q"))).toBe("broken\nproducts\nwhole\n")
    const other = await damaged()
    expect(await expectOk(other.run("collection", "delete", "broken"))).toBe(
      'Deleted collection "broken", which cannot be opened\n',
    )
    expect(await expectOk(other.run("collection", "list", "-q"))).toBe("products\nwhole\n")
  })
})

describe("documents", () => {
  test("come back as they went in", async () => {
    const runtime = await machine()
    expect(await expectOk(runtime.run("document", "get", "-c", "products", "a", "--json"))).toBe(
      '{"id":"a","fields":{"title":"Wireless keyboard","price":49.9,"stock":9007199254740993},"vector":[1,0]}\n',
    )
    expect(await expectOk(runtime.run("document", "get", "-c", "products", "a"))).toContain(
      '\n    "stock": 9007199254740993\n',
    )
    const exported = await expectOk(runtime.run("document", "export", "-c", "products"))
    expect(exported.split("\n")).toEqual([
      LINES[0],
      '{"id":"b","fields":{"title":"Wired keyboard","price":10},"vector":[0,1]}',
      '{"id":"c","fields":{"title":"Mouse","price":5}}',
      "",
    ])
    runtime.input = [exported]
    await expectOk(runtime.run("document", "import", "-c", "products"))
    expect(await expectOk(runtime.run("document", "export", "-c", "products"))).toBe(exported)
  })

  test("show their vectors as an export does: the shortest decimals that give the same f32 again", async () => {
    const runtime = await machine()
    const random = new Random(7)
    const vectors = Array.from({ length: 200 }, () => [random.unit() * 2 - 1, random.unit() * 10 ** random.below(30)])
    runtime.input = vectors.map((vector, place) => `${JSON.stringify({ id: `v${place}`, vector })}\n`)
    await expectOk(runtime.run("document", "import", "-c", "products"))
    const ids = vectors.map((_, place) => `v${place}`)
    const got = await expectOk(runtime.run("document", "get", "-c", "products", ...ids))
    const exported = (await expectOk(runtime.run("document", "export", "-c", "products")))
      .split("\n")
      .slice(3)
      .join("\n")
    const numbers = (text: string) => text.split("\n").map((line) => (line === "" ? "" : (JSON.parse(line) as object)))
    expect(numbers(got)).toEqual(numbers(exported))
  })

  test("are exported to a new file, not over another", async () => {
    const runtime = await machine()
    await expectOk(runtime.run("document", "export", "-c", "products", "-o", "d.jsonl"))
    expect(runtime.text("d.jsonl")).toMatch(/^\{"id":"a"/)
    await expectFailure(
      runtime.run("document", "export", "-c", "products", "-o", "d.jsonl"),
      4,
      "d.jsonl exists",
      "--force",
    )
    await expectOk(runtime.run("document", "export", "-c", "products", "-o", "d.jsonl", "--force"))
  })

  test("that are missing are named: 3 where all are, 8 where some are", async () => {
    const runtime = await machine()
    await expectFailure(
      runtime.run("document", "get", "-c", "products", "x"),
      3,
      'No document "x" in collection "products"',
    )
    const some = await expectFailure(runtime.run("document", "get", "-c", "products", "a", "x"), 8, '"x"')
    expect(some.stdout).toContain('"id":"a"')
    await expectFailure(runtime.run("document", "delete", "-c", "products", "x"), 3, 'No document "x"')
    const deleted = await expectFailure(
      runtime.run("document", "delete", "-c", "products", "a", "x", "a"),
      8,
      'No document "x"',
    )
    expect(deleted.stdout).toBe('Deleted 1 document from "products"\n')
  })

  test("that are bad are refused by line, the others come in", async () => {
    const runtime = await machine()
    const longId = "x".repeat(10_000)
    runtime.input = [
      [
        '\ufeff{"id":"d","title":"fine"}\r',
        '{"id":"e","price":"cheap"}',
        "",
        '{"id":"f","title":',
        '{"id":"d","title":"again"}',
        '{"id":"g","vector":[1,2,3]}',
        '{"id":"h","price":1e999}',
        `{"id":"${longId}"}`,
        '{"title":"no id"}',
        "[1,2]",
        '{"id":"i","title":"fine"}',
        '{"id":"j","title":"breaks o',
      ].join("\n"),
    ]
    const result = await expectFailure(
      runtime.run("document", "import", "-c", "products"),
      8,
      "Error: 9 lines were refused",
    )
    expect(result.stdout).toBe('Imported 2 documents into "products"\n')
    const lines = [...result.stderr.matchAll(/^line (\d+): (.*)$/gm)]
    expect(lines.map((line) => Number(line[1]))).toEqual([2, 4, 5, 6, 7, 8, 9, 10, 12])
    expect(lines[0]![2]).toContain('document "e"')
    expect(lines[2]![2]).toContain("twice")
    expect(lines[3]![2]).toContain("3 dimensions")
    expect(lines[5]![2]!.length).toBeLessThan(500)
    expect(lines[8]![2]).toContain("may be cut off")
    for (const id of ["d", "i"]) await expectOk(runtime.run("document", "get", "-c", "products", id))
    for (const id of ["e", "f", "g", "h", "j"])
      await expectFailure(runtime.run("document", "get", "-c", "products", id), 3)
  })

  test("refused ones are counted beyond the first twenty, and listed in JSON", async () => {
    const runtime = await machine()
    runtime.input = [`${'{"id":1}\n'.repeat(500)}{"id":"ok"}\n`]
    const text = await expectFailure(runtime.run("document", "import", "-c", "products"), 8, "… and 480 more lines")
    expect(text.stderr.match(/^line /gm)).toHaveLength(20)
    const { stdout } = await expectFailure(
      runtime.run("document", "import", "-c", "products", "--json"),
      8,
      '"code":"PARTIAL"',
    )
    const report = JSON.parse(stdout) as { errors: { line: number; code: string }[] }
    expect(report).toMatchObject({ success: false, documents_imported: 1, documents_failed: 500 })
    expect(report.errors).toHaveLength(100)
    expect(report.errors[99]).toMatchObject({ line: 100, code: "INVALID_DOCUMENT" })
  })

  test("refused all of them: nothing was imported, which is no partial success", async () => {
    const runtime = await machine()
    runtime.input = ["name,price\nshoe,3\n"]
    await expectFailure(
      runtime.run("document", "import", "-c", "products"),
      1,
      "Nothing was imported: all 2 lines were refused",
    )
  })

  test("a line of 100 MB is refused by its number without being held", async () => {
    const runtime = await machine()
    const chunk = new Uint8Array(1_000_000).fill(0x61)
    runtime.input = ['{"id":"d","title":"', ...Array.from({ length: 100 }, () => chunk), '"}\n{"id":"e"}\n']
    const { stdout } = await expectFailure(
      runtime.run("document", "import", "-c", "products"),
      8,
      "line 1: line is 100000021 bytes long, the limit is 18874368",
    )
    expect(stdout).toBe('Imported 1 document into "products"\n')
  })

  test("what is no JSON lines at all is refused as a whole", async () => {
    const runtime = await machine()
    const expectRefused = async (content: string | Uint8Array, ...parts: string[]) => {
      runtime.write("file", content)
      await expectFailure(runtime.run("document", "import", "-c", "products", "-f", "file"), 1, ...parts)
    }
    await expectRefused("", "file is empty")
    await expectRefused("\n \n\n", "holds no documents")
    await expectRefused('  [\n {"id":"a"}]', "is a JSON array", "jq -c '.[]'")
    await expectRefused(Uint8Array.of(0x1f, 0x8b, 8, 0), "compressed with gzip", "gzip -dc")
    await expectRefused(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd), "compressed with zstd", "zstd -dc")
    await expectRefused("PENC\u0001\u0000", "is an encrypted archive")
    await expectRefused("GIF89a\u0000\u0000", "is not text")
    await expectOk(runtime.run("collection", "export", "products", "-o", "p.jsonl"))
    await expectRefused(runtime.fileBytes.get("p.jsonl")!, "is an archive of a collection", "prism collection restore")
    await expectFailure(runtime.run("document", "import", "-c", "products", "-f", "none"), 3, "none")
  })

  test("come in batches of the size that is asked for, whatever the chunks", async () => {
    const runtime = await machine()
    const lines = Array.from({ length: 57 }, (_, place) => `{"id":"n${place}","stock":${place}}\n`).join("")
    for (const batch of ["1", "7", "1000"]) {
      runtime.input = lines.match(/[\s\S]{1,13}/g)!
      const text = await expectOk(runtime.run("document", "import", "-c", "products", "--batch-size", batch))
      expect(text).toBe('Imported 57 documents into "products"\n')
    }
    expect(JSON.parse(await expectOk(runtime.run("search", "products", "stock:[50 TO 99]", "--json")))).toMatchObject({
      total: 7,
    })
  })

  test("are asked for where stdin is a terminal, which nobody means", async () => {
    const runtime = await machine()
    runtime.stdinIsTerminal = true
    await expectFailure(runtime.run("document", "import", "-c", "products"), 2, "No documents are given")
  })
})

describe("search", () => {
  test("answers in a table that a terminal does not break", async () => {
    const runtime = await machine()
    runtime.input = ['{"id":"long","title":"keyboard \\u001b[31m red \\n second line and much more text than fits"}\n']
    await expectOk(runtime.run("document", "import", "-c", "products"))
    runtime.stdoutIsTerminal = true
    runtime.columns = 60
    const { stdout, stderr } = await runtime.run("search", "products", "keyboard")
    const lines = stdout.trimEnd().split("\n")
    expect(lines[0]).toMatch(/^RANK {2,}SCORE {2}ID {4}FIELDS$/)
    expect(lines).toHaveLength(4)
    for (const line of lines) expect(line.length).toBeLessThanOrEqual(60)
    expect(stdout).not.toContain("\u001b")
    expect(stderr).toMatch(/^3 of 3 matching documents in [\d.]+ ms\n$/)
  })

  test("takes filter, limit, offset, fields, and a vector from a file or stdin", async () => {
    const runtime = await machine()
    const ids = async (...args: string[]) => {
      const found = JSON.parse(await expectOk(runtime.run("search", "products", ...args, "--json"))) as {
        results: { id: string }[]
      }
      return found.results.map(({ id }) => id)
    }
    expect(await ids("keyboard", "--filter", "price:[0 TO 20]")).toEqual(["b"])
    expect(await ids("keyboard OR mouse", "--limit", "1")).toEqual(["c"])
    expect(await ids("keyboard", "--limit", "1", "--offset", "1")).toHaveLength(1)
    expect(await ids("keyboard", "--fields", "title")).toHaveLength(2)
    runtime.write("query.json", "[0, 1]\n")
    expect(await ids("--vector", "query.json")).toEqual(["b", "a"])
    runtime.input = ["[1,0]"]
    expect(await ids("--vector", "-")).toEqual(["a", "b"])
    expect(await ids("keyboard", "--vector=[-1,0]", "--strategy", "rrf", "--rrf-k", "10")).toHaveLength(2)
  })

  test("says what is wrong with a request", async () => {
    const runtime = await machine()
    await expectFailure(runtime.run("search", "products"), 2, "Nothing to search for")
    await expectFailure(runtime.run("search", "prodcts", "x"), 3, 'did you mean "products"?')
    await expectFailure(runtime.run("search", "products", "titel:x"), 2, "titel", 'did you mean "title"?')
    await expectFailure(runtime.run("search", "products", "(a"), 2, "Error: ")
    await expectFailure(runtime.run("search", "products", "--vector", "[1,2,3]"), 1, "3 dimensions")
    await expectFailure(runtime.run("search", "products", "--vector", "[1,"), 2, "ot valid JSON", "--vector")
    await expectFailure(runtime.run("search", "products", "--vector", '["a"]'), 2, "not an array of numbers")
    await expectFailure(runtime.run("search", "products", "--vector", "none.json"), 3, "none.json")
    await expectFailure(runtime.run("search", "products", "--vector", "-1,2"), 2, "--vector '[-1,2]'")
    await expectFailure(runtime.run("search", "products", "x", "--strategy", "best"), 2, "weighted or rrf")
  })
})

describe("the data directory", () => {
  async function place(runtime: FakeRuntime, ...globals: string[]): Promise<string> {
    runtime.write("s.yaml", SCHEMA)
    const name = "products"
    const text = await expectOk(runtime.run(...globals, "collection", "create", name, "--schema", "s.yaml", "--json"))
    await expectOk(runtime.run(...globals, "collection", "delete", name))
    return (JSON.parse(text) as { data_directory: string }).data_directory
  }

  test("is -d, else PRISM_DATA_DIR, else prism.toml, else ./data or /var/lib/prism/data", async () => {
    const runtime = new FakeRuntime()
    expect(await place(runtime)).toBe("./data")
    runtime.directories.clear()
    runtime.directories.set("/var/lib/prism/data", undefined)
    expect(await place(runtime)).toBe("/var/lib/prism/data")
    runtime.directories.set("./data", undefined)
    expect(await place(runtime)).toBe("./data")
    runtime.write("/etc/prism/prism.toml", '[storage]\ndata_dir = "/srv/prism" # for all\n')
    expect(await place(runtime)).toBe("/srv/prism")
    runtime.write("prism.toml", 'data_dir = "mine"\n[server]\nbind_addr = "127.0.0.1:3080"\n')
    expect(await place(runtime)).toBe("mine")
    runtime.environment["PRISM_DATA_DIR"] = "variable"
    expect(await place(runtime)).toBe("variable")
    expect(await place(runtime, "-d", "flag")).toBe("flag")
    runtime.environment["PRISM_DATA_DIR"] = ""
    expect(await place(runtime)).toBe("mine")
  })

  test("in prism.toml may start at home or at the file's folder", async () => {
    const runtime = new FakeRuntime()
    runtime.environment["HOME"] = "/people/me"
    runtime.write("/etc/prism/prism.toml", '[storage]\ndata_dir = "data"\n')
    expect(await place(runtime)).toBe("/etc/prism/data")
    runtime.write("prism.toml", '[storage]\ndata_dir = "~/.prism"\n')
    expect(await place(runtime)).toBe("/people/me/.prism")
    runtime.write("prism.toml", "[server]\nport = 1\n")
    expect(await place(runtime)).toBe("/etc/prism/data")
    runtime.write("prism.toml", "[storage\n")
    await expectFailure(runtime.run("collection", "list"), 1, "prism.toml is not valid TOML", "line 1")
    runtime.write("prism.toml", "data_dir = 7\n")
    await expectFailure(runtime.run("collection", "list"), 1, "data_dir must be the path of a folder")
  })

  test("that is nowhere ends every command that reads with 3 and names the places looked at", async () => {
    const runtime = new FakeRuntime()
    for (const line of [
      "collection list",
      "collection inspect a",
      "collection export a -o x",
      "collection delete a --yes",
      "collection verify a",
      "document export -c a",
      "document get -c a x",
      "document delete -c a x",
      "search a x",
      "index stats -c a",
      "index optimize -c a",
    ]) {
      await expectFailure(
        runtime.run(...line.split(" ")),
        3,
        "No data directory found; looked at --data-dir, PRISM_DATA_DIR, ./prism.toml, /etc/prism/prism.toml, ./data, " +
          "/var/lib/prism/data",
        "Hint: ",
      )
    }
    await expectFailure(
      runtime.run("-d", "nowhere", "collection", "list"),
      3,
      "no data directory at nowhere (from --data-dir)",
    )
    runtime.environment["PRISM_DATA_DIR"] = "there"
    await expectFailure(runtime.run("collection", "list"), 3, "no data directory at there (from PRISM_DATA_DIR)")
  })

  test("is made by what brings data in, and only if that succeeds", async () => {
    const runtime = new FakeRuntime()
    runtime.write("bad.yaml", "backends: { text: { feilds: [] } }\n")
    runtime.write("not.jsonl", "hello\n")
    runtime.write("broken.jsonl", '{"format":"prism-portable-v1","metadata":{}}\n')
    await expectFailure(runtime.run("collection", "create", "a", "--schema", "bad.yaml"), 1, 'did you mean "fields"?')
    await expectFailure(runtime.run("collection", "create", "-n", "a b", "--schema", "bad.yaml"), 2, "a b")
    await expectFailure(runtime.run("collection", "restore", "-f", "not.jsonl"), 1, "is no archive of Prism")
    await expectFailure(runtime.run("collection", "restore", "-f", "broken.jsonl"), 1)
    await expectFailure(runtime.run("collection", "restore", "-f", "none.jsonl"), 3, "none.jsonl")
    runtime.input = ['{"id":"a"}\n']
    await expectFailure(runtime.run("document", "import", "-c", "a"), 3, 'Collection "a" does not exist')
    expect([...runtime.directories.keys()]).toEqual([])
  })
})

describe("archives", () => {
  test("an archive of ours is replaced, any other file is left alone without --force", async () => {
    const runtime = await machine()
    const into = (path: string, ...flags: string[]) =>
      runtime.run("collection", "export", "products", "-o", path, ...flags)
    await expectOk(into("p.prism.jsonl"))
    await expectOk(into("p.prism.jsonl"))
    runtime.write("old.jsonl", "PENC\u0001 old backup")
    await expectOk(into("old.jsonl"))
    runtime.write("notes.txt", "do not lose me")
    await expectFailure(into("notes.txt"), 4, "notes.txt exists and is no archive of Prism", "--force")
    expect(runtime.text("notes.txt")).toBe("do not lose me")
    runtime.write("empty", "")
    await expectFailure(into("empty"), 4)
    await expectOk(into("notes.txt", "--force"))
    expect(runtime.text("notes.txt")).toMatch(/^\{"format":"prism-portable-v1"/)
    await expectFailure(into("./data"), 4, "is a folder")
  })

  test("the name of the file tells the format, unless options do", async () => {
    const runtime = await machine()
    const written = async (path: string, ...flags: string[]) =>
      JSON.parse(await expectOk(runtime.run("collection", "export", "products", "-o", path, "--json", ...flags))) as {
        format: string
      }
    await expectOk(runtime.run("key", "generate", "-o", "k"))
    expect((await written("x.tar.zst")).format).toBe("snapshot")
    expect((await written("x.tar.zst", "-f", "portable")).format).toBe("portable")
    expect((await written("x.other", "-f", "snapshot")).format).toBe("snapshot")
    expect((await written("x.enc", "--key-file", "k")).format).toBe("encrypted")
    expect((await written("y", "--encrypt", "--key-file", "k")).format).toBe("encrypted")
    for (const [says, path, ...flags] of [
      ["needs a key", "z.enc"],
      ["is a snapshot, not a portable one", "z.enc", "-f", "portable", "--key-file", "k"],
      ["--key-file is for encrypted archives", "z.jsonl", "--key-file", "k"],
      ["--enc-version is for encrypted archives", "z.jsonl", "--enc-version", "1"],
      ["--sha256 needs a file", "-", "--sha256"],
    ] as [string, string, ...string[]][]) {
      await expectFailure(runtime.run("collection", "export", "products", "-o", path, ...flags), 2, says)
    }
  })

  test("other formats are told by their first bytes, not by their names", async () => {
    const runtime = await machine()
    await expectOk(runtime.run("collection", "export", "products", "-o", "p.jsonl"))
    runtime.write("p.enc", runtime.fileBytes.get("p.jsonl")!)
    await expectOk(runtime.run("collection", "restore", "-f", "p.enc", "-t", "two"))
    runtime.write("p.prism.jsonl", "PENC\u0001")
    await expectFailure(
      runtime.run("collection", "restore", "-f", "p.prism.jsonl"),
      2,
      "is encrypted, and no key is given",
      "--key-file",
    )
    runtime.write("s.prism.jsonl", Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0))
    await expectFailure(runtime.run("collection", "verify", "s.prism.jsonl"), 5, "Hint: ")
    runtime.write("zero.jsonl", "")
    await expectFailure(runtime.run("collection", "restore", "-f", "zero.jsonl"), 1, "zero.jsonl is empty")
  })

  test("to stdout the archive stands alone there, and its report on stderr", async () => {
    const runtime = await machine()
    const { code, stdout, stderr } = await runtime.run("collection", "export", "products", "-o", "-")
    expect(code).toBe(0)
    expect(stdout.split("\n")).toHaveLength(5)
    expect(stderr).toContain("Exported 3 documents")
    expect((await runtime.run("collection", "export", "products", "-o", "-", "-q")).stderr).toBe("")
  })

  test("JSON of export, verify and restore agree with each other", async () => {
    const runtime = await machine()
    const json = async (...argv: string[]) =>
      JSON.parse(await expectOk(runtime.run(...argv, "--json"))) as Record<string, unknown>
    const written = await json("collection", "export", "products", "-o", "p.jsonl")
    expect(Object.keys(written).toSorted()).toEqual([
      "checksum",
      "collection",
      "document_count",
      "file_sha256",
      "format",
      "output_path",
      "size_bytes",
      "success",
    ])
    expect(written["size_bytes"]).toBe(runtime.fileBytes.get("p.jsonl")!.length)
    const verified = await json("collection", "verify", "p.jsonl")
    const restored = await json("collection", "restore", "-f", "p.jsonl", "-t", "two")
    for (const report of [verified, restored]) {
      expect(report).toMatchObject({ success: true, file_sha256: written["file_sha256"], checksum: "verified" })
    }
    expect(verified["document_count"]).toBe(3)
    expect(restored["documents_imported"]).toBe(3)
  })

  test("damage is told with its code, and nothing is left", async () => {
    const runtime = await machine()
    await expectOk(runtime.run("collection", "export", "products", "-o", "p.jsonl"))
    const text = runtime.text("p.jsonl")
    const expectDamage = async (content: string, code: number, ...parts: string[]) => {
      runtime.write("d.jsonl", content)
      for (const command of ["restore -t two -f", "verify"]) {
        await expectFailure(runtime.run("collection", ...command.split(" "), "d.jsonl"), code, ...parts)
      }
      expect(await expectOk(runtime.run("collection", "list", "-q"))).toBe("products\n")
    }
    await expectDamage(text.replace("Mouse", "Moose"), 5, "Error: Checksum verification failed")
    await expectDamage(text.slice(0, text.trimEnd().lastIndexOf("\n") + 1), 5)
    await expectDamage(text.replace("prism-portable-v1", "prism-portable-v9"), 7)
  })

  test("standard input is one thing only", async () => {
    const runtime = await machine()
    runtime.write("x.enc", "PENC")
    for (const [first, ...others] of [
      ["ids", "restore -f - --ids -"],
      ["00".repeat(32), "restore -f - --key-file -", "verify - --key-file -"],
      ["00".repeat(32), "restore -f x.enc --passphrase-file - --key-file -"],
    ]) {
      for (const command of others) {
        runtime.input = [first as string]
        const asked = runtime.run("collection", ...command.split(" "))
        await expectFailure(asked, 2, "Two things cannot both come from stdin")
      }
    }
  })

  test("bad lines are skipped on request, into a file with their numbers and reasons", async () => {
    const runtime = await machine()
    const header = headerWithoutChecksum(
      "collection: old\nbackends: { text: { fields: [{ name: n, type: i64, indexed: true }] } }\n",
      3,
    )
    runtime.write(
      "old.jsonl",
      `${header}\n{"id":"1","fields":{"n":1}}\n{"id":"2","fields":{"n":"two"}}\n{"id":"3","fields":{"n":3}}\n`,
    )
    await expectFailure(runtime.run("collection", "restore", "-f", "old.jsonl"), 1, "line 3")
    const skip = ["collection", "restore", "-f", "old.jsonl", "--on-bad-line", "skip"]
    const { stdout } = await expectFailure(
      runtime.run(...skip),
      8,
      "1 bad line was skipped",
      "old.jsonl.bad-lines.jsonl",
    )
    expect(stdout).toContain('Restored 2 documents into "old"')
    expect(stdout).toContain("not verified")
    expect(JSON.parse(runtime.text("old.jsonl.bad-lines.jsonl"))).toMatchObject({
      place: "line 3",
      code: "INVALID_DOCUMENT",
      line: '{"id":"2","fields":{"n":"two"}}',
    })
    await expectFailure(runtime.run(...skip, "--replace"), 8)
    runtime.input = [runtime.text("old.jsonl")]
    await expectFailure(runtime.run(...skip.with(3, "-"), "--replace"), 8, "restore.bad-lines.jsonl")
    runtime.write("old.jsonl.bad-lines.jsonl", "somebody's")
    await expectFailure(runtime.run(...skip, "--replace"), 4, "old.jsonl.bad-lines.jsonl")
    runtime.write("none.jsonl", "{}")
    await expectFailure(runtime.run("collection", "restore", "-f", "none.jsonl", "--on-bad-line", "skip"), 1)
    expect(runtime.fileBytes.has("none.jsonl.bad-lines.jsonl")).toBe(false)
  })

  test("verify takes a path that exists for a file, and anything else for a collection", async () => {
    const runtime = await machine()
    runtime.directories.set("products", undefined)
    await expectOk(runtime.run("collection", "verify", "products"))
    runtime.directories.delete("products")
    runtime.write("products", "not an archive")
    await expectFailure(runtime.run("collection", "verify", "products"), 1, "products is no archive of Prism")
    for (const spelling of ["-n products", "--name products", "--name=products"]) {
      const text = await expectOk(runtime.run("collection", "verify", ...spelling.split(" ")))
      expect(text).toContain('Collection "products" is whole')
    }
    await expectFailure(runtime.run("collection", "verify", "products", "-n", "other"), 2, "Two things to verify")
    await expectFailure(runtime.run("collection", "verify"), 2, "Missing FILE|NAME")
    await expectFailure(
      runtime.run("collection", "verify", "backup/x.prism.jsonl"),
      3,
      "There is no file backup/x.prism.jsonl",
    )
    await expectFailure(runtime.run("collection", "verify", "none"), 3, 'Collection "none" does not exist')
  })
})

/** Line 1 of an archive as an older writer made it: without any checksum. */
function headerWithoutChecksum(schema: string, count: number): string {
  return JSON.stringify({
    format: "prism-portable-v1",
    metadata: {
      version: "1.0",
      collection: "old",
      prism_version: "0.6.6",
      exported_at: "2026-11-22T17:31:40.356473432+00:00",
      document_count: count,
      size_bytes: 0,
      checksum: null,
      backends: { text: true, vector: false, graph: false },
    },
    schema_b64: btoa(schema),
  })
}

describe("errors", () => {
  test("with --json are one object on stderr, usage errors too", async () => {
    const runtime = await machine()
    const error = async (code: number, ...argv: string[]) => {
      const result = await runtime.run(...argv)
      expect([result.code, result.stdout]).toEqual([code, ""])
      return (JSON.parse(result.stderr) as { error: unknown }).error
    }
    expect(await error(3, "--json", "collection", "inspect", "prodcts")).toMatchObject({
      code: "COLLECTION_NOT_FOUND",
      message: 'collection "prodcts" does not exist',
      hint: 'did you mean "products"?',
    })
    expect(await error(2, "collection", "inspct", "products", "--json")).toMatchObject({ code: "USAGE" })
    runtime.write("bad.yaml", "backends: { text: { feilds: [] } }\n")
    expect(await error(1, "collection", "create", "x", "--schema", "bad.yaml", "--json")).toMatchObject({
      code: "INVALID_SCHEMA",
      problems: expect.any(Array) as unknown[],
    })
  })

  test("of a schema are said once, each at its place", async () => {
    const runtime = await machine()
    const shown = async (schema: string) => {
      runtime.write("bad.yaml", schema)
      return (await runtime.run("collection", "create", "x", "--schema", "bad.yaml")).stderr.split("\n")
    }
    const one = "backends: { text: { fields: [{ name: a, type: txt }] } }\n"
    const place = "backends.text.fields[0].type (line 1)"
    expect(await shown(one)).toEqual([`Error: ${place}: unknown type "txt", did you mean "text"?`, ""])
    const two = await shown(one.replace("name: a", "nam: a"))
    expect(two[0]).toMatch(/^Error: The schema has \d problems$/)
    expect(two.filter((line) => line.startsWith(`  ${place}: `))).toHaveLength(1)
  })

  test("that are bugs say so, with the stack", async () => {
    const runtime = await machine()
    runtime.openStorage = () => Promise.reject(new Error("boom"))
    const { code, stderr } = await runtime.run("collection", "list")
    expect(code).toBe(1)
    expect(stderr).toContain("Error: boom\nHint: this is a bug in Prism")
    expect(stderr).toMatch(/\n.*cli\.test\.ts/)
  })

  test("are colored on a terminal only, and not against anybody's will", async () => {
    const runtime = await machine()
    const colored = async (...argv: string[]) =>
      (await runtime.run("collection", "inspect", "none", ...argv)).stderr.includes("\u001b[")
    expect(await colored()).toBe(false)
    runtime.stderrIsTerminal = true
    expect(await colored()).toBe(true)
    expect(await colored("--no-color")).toBe(false)
    runtime.environment["NO_COLOR"] = "1"
    expect(await colored()).toBe(false)
  })
})

describe("people", () => {
  test("find every exit code in the help", async () => {
    const help = (await expectOk(new FakeRuntime().run("--help"))).replaceAll(/\s+/g, " ")
    const codes = /Exit codes: ([^.]+)\./
      .exec(help)![1]!
      .match(/\d+(?= )/g)!
      .map(Number)
    expect(codes).toEqual(
      [...new Set([0, ...Object.values(ERROR_CODES).map(({ exit }) => exit)])].sort((a, b) => a - b),
    )
  })

  test("help goes to stdout and succeeds, wherever it is asked for", async () => {
    const runtime = new FakeRuntime()
    expect(await expectOk(runtime.run("--help"))).toContain("Usage: prism COMMAND [OPTIONS]")
    expect(await expectOk(runtime.run("collection", "-h"))).toContain("Usage: prism collection COMMAND [OPTIONS]")
    for (const line of ["collection export --help", "--help collection export", "-d x collection export --wrong -h"]) {
      expect(await expectOk(runtime.run(...line.split(" ")))).toContain(
        "Usage: prism collection export NAME -o FILE [OPTIONS]",
      )
    }
    const { code, stdout, stderr } = await runtime.run()
    expect([code, stdout]).toEqual([2, ""])
    expect(stderr).toContain("Commands:")
  })

  test("the version is the package's, with the runtime's", async () => {
    const runtime = new FakeRuntime()
    expect(await expectOk(runtime.run("-V"))).toBe(`prism ${VERSION} (node 0.0.0)\n`)
    expect(JSON.parse(await expectOk(runtime.run("--version", "--json")))).toEqual({
      version: VERSION,
      runtime: { name: "node", version: "0.0.0" },
    })
  })

  test("are asked before a deletion on a terminal, and nobody elsewhere", async () => {
    const runtime = await machine()
    runtime.stdinIsTerminal = runtime.stderrIsTerminal = true
    runtime.input = ["n\n"]
    const refused = await runtime.run("collection", "delete", "products")
    expect(refused).toEqual({
      code: 1,
      stdout: "",
      stderr: 'Delete collection "products" with 3 documents? [y/N] Nothing deleted\n',
    })
    runtime.input = []
    expect((await runtime.run("collection", "delete", "products")).code).toBe(1)
    runtime.input = ["yes\n"]
    expect((await runtime.run("collection", "delete", "products")).code).toBe(0)
    await expectFailure(runtime.run("collection", "delete", "products"), 3)

    const other = await machine()
    other.stdinIsTerminal = other.stderrIsTerminal = true
    other.inputEnds = false
    await expectOk(other.run("collection", "delete", "products", "--yes"))
  })

  test("see progress on a terminal, or where they ask for it", async () => {
    const runtime = await machine()
    const stderr = async (...flags: string[]) =>
      (await runtime.run("collection", "export", "products", "-o", "p.jsonl", ...flags)).stderr
    expect(await stderr()).toBe("")
    expect(await stderr("--progress")).toMatch(/^Measuring {2}100% {2}3 of 3 documents\nWriting {2}100% .*\n$/)
    runtime.stderrIsTerminal = true
    const drawn = (await stderr()).split("\u001b[K")
    expect(drawn.map((line) => line.slice(0, 8))).toEqual(["\rMeasuri", "\rWriting", "\r", ""])
    expect(await stderr("--no-progress")).toBe("")
    expect(await stderr("--quiet")).toBe("")
  })
})

describe("an import that ends early", () => {
  const QUOTA = SCHEMA.replace("backends:", "quota: { max_documents: 5, max_size_mb: 2.5 }\nbackends:")

  async function bounded(): Promise<FakeRuntime> {
    const runtime = new FakeRuntime()
    runtime.write("s.yaml", QUOTA)
    await expectOk(runtime.run("collection", "create", "products", "-s", "s.yaml"))
    return runtime
  }

  test("at its quota tells how many came in, those of the last batch too", async () => {
    const lines = Array.from({ length: 9 }, (_, n) => `{"id":"n${n}"}\n`)
    for (const batch of ["1", "3", "1000"]) {
      const runtime = await bounded()
      runtime.input = lines
      const run = ["document", "import", "-c", "products", "--batch-size", batch]
      const told = 'quota of 5 documents (document "n5"); 5 documents were imported before this\n'
      await expectFailure(runtime.run(...run), 1, told, "Hint: delete documents")
      const text = await expectOk(runtime.run("document", "export", "-c", "products"))
      expect(text.trimEnd().split("\n")).toHaveLength(5)
      runtime.input = ["{\n", ...lines.slice(5)]
      const { stdout } = await expectFailure(runtime.run(...run, "--json"), 1, "no document was imported before this")
      expect(JSON.parse(stdout)).toMatchObject({ success: false, documents_imported: 0, documents_failed: 1 })
    }
  })

  test("is what inspect can warn of: it shows the quota", async () => {
    const runtime = await bounded()
    const text = await expectOk(runtime.run("collection", "inspect", "products"))
    expect(text).toContain("\nQuota        at most 5 documents and 2.50 MB\n")
    const quota = async (runtime: FakeRuntime) =>
      (JSON.parse(await expectOk(runtime.run("collection", "inspect", "products", "--json"))) as { quota: unknown })
        .quota
    expect(await quota(runtime)).toEqual({ max_documents: 5, max_size_mb: 2.5 })
    const unbounded = await machine()
    expect(await quota(unbounded)).toBeNull()
    expect(await expectOk(unbounded.run("collection", "inspect", "products"))).not.toContain("Quota")
  })
})

describe("merges that are due", () => {
  test("are finished by import and restore --merge; an interrupt leaves them, and everything that came in", async () => {
    const runtime = await machine()
    const segments = async () => {
      const stats = JSON.parse(await expectOk(runtime.run("index", "stats", "-c", "products", "--json"))) as object
      return stats as { segment_count: number; document_count: number }
    }
    const add = ["document", "import", "-c", "products"]
    await expectOk(runtime.run("collection", "export", "products", "-o", "part.jsonl"))
    const merge = ["collection", "restore", "-f", "part.jsonl", "-t", "products", "--merge"]
    // A log of more than 1 MiB becomes a segment when the command ends, too late for a merge.
    for (let part = 0; part < 8; part++) {
      runtime.input = [`{"id":"part ${part}","note":"${"x".repeat(1_100_000)}"}\n`]
      await expectOk(runtime.run(...add))
    }
    expect(await segments()).toMatchObject({ segment_count: 8, document_count: 11 })
    const storage = runtime.directories.get("./data")!
    const create = storage.create.bind(storage)
    let merging = false
    storage.create = async (path) => {
      if (path.includes("/text/")) {
        merging = true
        runtime.interrupt()
      }
      return await create(path)
    }
    runtime.input = ['{"id":"last"}\n']
    expect(await runtime.run(...add)).toEqual({
      code: 0,
      stdout: 'Imported 1 document into "products"\n',
      stderr: "",
    })
    expect(merging).toBe(true)
    expect(await segments()).toMatchObject({ segment_count: 8, document_count: 12 })
    storage.create = create
    runtime.input = ['{"id":"last"}\n']
    await expectOk(runtime.run(...add))
    expect(await segments()).toMatchObject({ segment_count: 1, document_count: 12 })
    for (let time = 0; time < 8; time++) await runtime.run(...merge)
    const merged = await segments()
    expect(merged.segment_count).toBeLessThan(8)
    expect(merged.document_count).toBe(12)
  })
})

describe("an interrupt", () => {
  test("ends an import that waits for more, keeps what was acknowledged, and exits with 130", async () => {
    const runtime = await machine()
    runtime.input = ['{"id":"d"}\n{"id":"e"}\n', '{"id":"f"}\n']
    runtime.inputEnds = false
    runtime.onWaiting = () => runtime.interrupt()
    await expectFailure(
      runtime.run("document", "import", "-c", "products", "--batch-size", "2"),
      130,
      "Error: Interrupted; 2 documents were imported before this\n",
    )
    await expectOk(runtime.run("document", "get", "-c", "products", "d"))
  })

  test("ends a restore that waits, and leaves nothing of it", async () => {
    const runtime = await machine()
    await expectOk(runtime.run("collection", "export", "products", "-o", "p.jsonl"))
    runtime.input = [runtime.fileBytes.get("p.jsonl")!.subarray(0, -10)]
    runtime.inputEnds = false
    runtime.onWaiting = () => runtime.interrupt()
    await expectFailure(runtime.run("collection", "restore", "-f", "-", "-t", "two"), 130, "Error: Interrupted")
    expect(await expectOk(runtime.run("collection", "list", "-q"))).toBe("products\n")
  })

  test("ends a measurement of recall", async () => {
    const runtime = await machine()
    const storage = runtime.directories.get("./data")!
    runtime.openStorage = async () => {
      runtime.interrupt()
      return await Promise.resolve(storage)
    }
    await expectFailure(runtime.run("index", "stats", "-c", "products", "--recall"), 130, "Error: Interrupted")
  })

  test("ends an export without a file", async () => {
    const runtime = await machine()
    runtime.stderrIsTerminal = true
    runtime.onStderr = (text) => {
      if (text.includes("Measuring")) runtime.interrupt()
    }
    await expectFailure(runtime.run("collection", "export", "products", "-o", "p.jsonl"), 130, "Interrupted")
    expect(runtime.fileBytes.has("p.jsonl")).toBe(false)
  })

  test("by the reader of a pipe that has seen enough is silent", async () => {
    const runtime = await machine()
    runtime.stdoutBytesMax = 5
    expect(await runtime.run("document", "export", "-c", "products")).toEqual({ code: 130, stdout: "", stderr: "" })
  })
})
