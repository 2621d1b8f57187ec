// The command line of archives: what a user types to write them, bring them back, check them and look into them.
import { describe, expect, test } from "vitest"
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../src/base/bytes.ts"
import { decompressSeekable } from "../../src/formats/seekable-zstd.ts"
import { expectFailure, expectOk } from "../support/command-line.ts"
import { FakeRuntime, type Result } from "../support/fake-runtime.ts"
import { rawTar, sha256, sliced } from "../support/snapshots.ts"

const SCHEMA = `collection: products
backends:
  text:
    fields:
      - { name: title, type: text, stored: true, indexed: true }
      - { name: price, type: f64, stored: true, indexed: true }
  vector: { embedding_field: embedding, dimension: 2, distance: cosine }
`

const LINES = [
  '{"id":"a","fields":{"title":"Wireless keyboard","price":49.9},"vector":[1,0]}',
  '{"id":"b","fields":{"title":"Wired keyboard","price":10},"vector":[0,1]}',
  '{"id":"c","fields":{"title":"Mouse","price":5}}',
]

type Machine = FakeRuntime & { ok: (line: string) => Promise<string>; typed: (line: string) => Promise<Result> }

/** Words of a line as typed; none of them holds a space. */
function withLines(runtime: FakeRuntime): Machine {
  const typed = (line: string) => runtime.run(...line.split(" "))
  return Object.assign(runtime, { typed, ok: (line: string) => expectOk(typed(line)) })
}

/** A machine with the collection "products" in ./data, two keys and a passphrase. */
async function machine(): Promise<Machine> {
  const runtime = withLines(new FakeRuntime())
  runtime.write("products.yaml", SCHEMA)
  runtime.write("products.jsonl", `${LINES.join("\n")}\n`)
  runtime.write("key", `${"5a".repeat(32)}\n`)
  runtime.write("other.key", "A5".repeat(32))
  runtime.write("passphrase", "correct horse battery staple\r\nnot this\n")
  await runtime.ok("collection create products --schema products.yaml")
  await runtime.ok("document import -c products -f products.jsonl")
  return runtime
}

/** Another machine, where nothing is but these files of the first one. */
function elsewhere(from: FakeRuntime, ...paths: string[]): Machine {
  const runtime = withLines(new FakeRuntime())
  for (const path of paths) runtime.write(path, from.fileBytes.get(path)!)
  return runtime
}

/** The document lines of a collection, in its order. */
async function documents(runtime: Machine, collection = "products"): Promise<string[]> {
  return (await runtime.ok(`document export -c ${collection}`)).trimEnd().split("\n")
}

async function names(runtime: Machine): Promise<string> {
  return (await runtime.ok("collection list -q")).trimEnd().split("\n").join(" ")
}

const FORMATS = [
  { file: "p.prism.jsonl", options: "", key: "", format: "portable" },
  { file: "p.tar.zst", options: "", key: "", format: "snapshot" },
  { file: "p.enc", options: " --key-file key", key: " --key-file key", format: "encrypted" },
  {
    file: "v1.enc",
    options: " --key-file key --enc-version 1",
    key: " --key-file key",
    format: "encrypted",
  },
] as const

describe.each(FORMATS)("$file", ({ file, options, key, format }) => {
  test("brings the same documents back on another machine, under its own name and another", async () => {
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    const other = elsewhere(runtime, file, "key")
    await other.ok(`collection restore -f ${file}${key}`)
    await other.ok(`collection restore -i ${file} -t two${key}`)
    await other.ok(`collection restore --file ${file} --target-collection three${key}`)
    expect(await names(other)).toBe("products three two")
    for (const name of ["products", "two", "three"]) expect(await documents(other, name)).toEqual(LINES)
    const answer = await other.ok("search two keyboard --vector [0,1] --json")
    expect(JSON.parse(answer)).toMatchObject({ results: [{ id: "b" }, { id: "a" }], total: 2 })
  })

  test("is verified, and its reports agree with each other and with the file", async () => {
    const runtime = await machine()
    const json = async (line: string) => JSON.parse(await runtime.ok(`${line} --json`)) as Record<string, unknown>
    const written = await json(`collection export products -o ${file}${options}`)
    const bytes = runtime.fileBytes.get(file)!
    expect(written).toMatchObject({ success: true, format, document_count: 3, output_path: file })
    expect(written).toMatchObject({ size_bytes: bytes.length, file_sha256: sha256(bytes) })
    const told = { success: true, format, collection: "products", checksum: "verified", file_sha256: sha256(bytes) }
    expect(await json(`collection verify ${file}${key}`)).toMatchObject({ ...told, document_count: 3 })
    expect(await json(`collection restore -f ${file} -t two${key}`)).toMatchObject({
      ...told,
      collection: "two",
      documents_imported: 3,
    })
    expect(await runtime.ok(`collection verify ${file}${key}`)).toContain(`${file} is whole: 3 documents of collection`)
  })

  test("damaged or cut short, it is refused with 5 and nothing is left", async () => {
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    const bytes = runtime.fileBytes.get(file)!
    // What damage of an encrypted archive of version 1 is cannot be told from a wrong key.
    const code = file === "v1.enc" ? 6 : 5
    const flipped = bytes.slice()
    flipped[bytes.length - 40]! ^= 4
    for (const content of [flipped, bytes.subarray(0, -30)]) {
      runtime.write(file, content)
      await expectFailure(runtime.typed(`collection verify ${file}${key}`), code, "Error: ", "Hint: ")
      const other = elsewhere(runtime, file, "key")
      await expectFailure(other.typed(`collection restore -f ${file}${key}`), code, "Error: ", "Hint: ")
      expect(other.directories.size).toBe(0)
    }
  })

  test("goes through a pipe, out and in", async () => {
    const runtime = await machine()
    const asOptions = format === "portable" ? "" : format === "snapshot" ? " -f snapshot" : ` --encrypt${options}`
    const { code, stderr } = await runtime.typed(`collection export products -o -${asOptions}`)
    const bytes = runtime.stdoutBytes
    expect(code).toBe(0)
    expect(stderr).toContain('Exported 3 documents of "products" to standard output')
    expect(stderr).toContain(sha256(bytes))
    const other = elsewhere(runtime, "key")
    other.input = [bytes.subarray(0, 3), bytes.subarray(3, 700), bytes.subarray(700)]
    await other.ok(`collection restore -f -${key}`)
    expect(await documents(other)).toEqual(LINES)
    await other.ok(`collection restore -i - -t two${key}`)
    const verify = other.typed(`collection verify -${key}`)
    if (file === "v1.enc") await expectFailure(verify, 2, "is read twice, which a pipe cannot", "a file first")
    else expect(await expectOk(verify)).toContain("standard input is whole: 3 documents")
  })

  test("is shown without being restored: ls, cat, and no difference to the others", async () => {
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    const other = elsewhere(runtime, file, "key")
    const text = await other.ok(`archive ls ${file}${key}`)
    expect(text).toMatch(/^Collection {2}products\nFormat {6}(portable|snapshot|encrypted)\nDocuments {3}3\n/)
    expect(text).toMatch(/\nENTRY +SIZE\n(.+\n)+$/)
    const quiet = await other.ok(`archive ls ${file}${key} -q`)
    expect(text.endsWith(`\n${quiet}`) && quiet.startsWith("ENTRY")).toBe(true)
    const listed = JSON.parse(await other.ok(`archive ls ${file}${key} --json`)) as { entries: { name: string }[] }
    expect(listed).toMatchObject({ format, collection: "products", document_count: 3 })
    const entries = listed.entries.map(({ name }) => name)
    expect(entries).toContain("schema.yaml")
    expect(entries.at(-1)).toBe("documents.jsonl")
    if (format !== "portable") {
      expect(entries[0]).toBe("metadata.json")
      const metadata = JSON.parse(await other.ok(`archive cat ${file} metadata.json${key}`)) as object
      expect(metadata).toMatchObject({ collection: "products", document_count: 3 })
    }
    expect(await other.ok(`archive cat ${file} schema.yaml${key}`)).toBe(SCHEMA)
    expect(await other.ok(`archive cat ${file} documents.jsonl${key}`)).toBe(`${LINES.join("\n")}\n`)
    await expectFailure(other.typed(`archive cat ${file} nothing${key}`), 3, "no entry nothing", "Hint: it has: ")
    other.write("twin.prism.jsonl", await portable(runtime))
    const same = await other.typed(`archive diff ${file} twin.prism.jsonl${key}`)
    expect(same).toEqual({ code: 0, stdout: "", stderr: "0 documents added, 0 removed, 0 changed\n" })
    expect(other.directories.size).toBe(0)
  })
})

async function portable(runtime: Machine): Promise<string> {
  await runtime.ok("collection export products -o twin.prism.jsonl")
  return runtime.text("twin.prism.jsonl")
}

describe("restore", () => {
  test("checks that the archive has the format that is asked for, in each spelling", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.tar.zst")
    await runtime.ok("collection export products -o p.enc --key-file key")
    await runtime.ok("collection restore -i p.tar.zst -f snapshot -t two")
    await runtime.ok("collection restore -f p.tar.zst --format snapshot -t three")
    await runtime.ok("collection restore -i p.enc -f snapshot -t four --key-file key")
    await expectFailure(
      runtime.typed("collection restore -i p.tar.zst -f portable -t five"),
      1,
      "is a snapshot, not a portable archive",
    )
    await expectFailure(
      runtime.typed("collection restore -i p.tar.zst -f snapshot --format portable"),
      2,
      "Two formats",
    )
    expect(await names(runtime)).toBe("four products three two")
  })

  test.each(FORMATS)("--dry-run of $file tells what would be, and leaves nothing", async ({ file, options, key }) => {
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    const other = elsewhere(runtime, file, "key")
    expect(await other.ok(`collection restore -f ${file} --dry-run${key}`)).toMatch(
      /^Would restore 3 documents into "pr/,
    )
    expect(other.directories.size).toBe(0)
    const json = await other.ok(`collection restore -f ${file} -t two --dry-run --json${key}`)
    expect(JSON.parse(json)).toMatchObject({ success: true, dry_run: true, collection: "two", documents_imported: 3 })
    await runtime.ok(`collection restore -f ${file} --dry-run --replace${key}`)
    await expectFailure(runtime.typed(`collection restore -f ${file} --dry-run${key}`), 4, "already exists")
    expect(await names(runtime)).toBe("products")
  })

  test.each(FORMATS)("--where of $file brings back what a search would find", async ({ file, options, key }) => {
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    const where = (query: string, target: string) =>
      runtime.run("collection", "restore", "-f", file, "-t", target, "--where", query, ...key.split(" ").slice(1))
    await expectOk(where("price:[0 TO 10]", "cheap"))
    expect(await documents(runtime, "cheap")).toEqual(LINES.slice(1))
    await expectOk(where("title:keyboard", "keyboards"))
    expect(await documents(runtime, "keyboards")).toEqual(LINES.slice(0, 2))
    await expectOk(where("title:nothing", "none"))
    expect(await runtime.ok("document export -c none")).toBe("")
    await expectFailure(where("price:[0 TO", "bad"), 2, "Error: ")
    expect(await names(runtime)).toBe("cheap keyboards none products")
  })

  test.each(FORMATS)("--ids of $file: one a line, and those that are missing are named", async (row) => {
    const { file, options, key } = row
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    const restore = (rest: string) => runtime.typed(`collection restore -f ${file} ${rest}${key}`)
    runtime.write("ids", "\ufeffc\r\n\r\na\r\na")
    await expectOk(restore("-t some --ids ids"))
    expect(await documents(runtime, "some")).toEqual([LINES[0], LINES[2]])
    runtime.write("ids", "c\nz\n\ny\n")
    const { stdout } = await expectFailure(
      restore("-t one --ids ids"),
      8,
      "Error: 2 ids are not in the archive: z, y\n",
    )
    expect(stdout).toContain('Restored 1 document into "one"')
    expect(await documents(runtime, "one")).toEqual([LINES[2]])
    const json = await expectFailure(restore("-t one --replace --ids ids --json"), 8)
    expect(JSON.parse(json.stdout)).toMatchObject({ success: false, documents_imported: 1, ids_missing: ["z", "y"] })
    expect(JSON.parse(json.stderr)).toMatchObject({ error: { code: "PARTIAL" } })
    runtime.write("ids", "\n\r\n")
    await expectFailure(restore("-t none --ids ids"), 2, "ids holds no ids", "one id a line")
    await expectFailure(restore("-t none --ids nowhere"), 3, "nowhere")
    await expectFailure(restore("-t none --ids ids --where a"), 2, "exclude each other")
    expect(await names(runtime)).toBe("one products some")
  })

  test.each(FORMATS)("where the name is taken $file is refused, replaces or merges", async ({ file, options, key }) => {
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    runtime.write("changes.jsonl", '{"id":"a","title":"Changed"}\n{"id":"d","title":"New"}\n')
    await runtime.ok("document import -c products -f changes.jsonl")
    const changed = await documents(runtime)
    await expectFailure(
      runtime.typed(`collection restore -f ${file}${key}`),
      4,
      'Error: Collection "products" already exists',
      "--replace",
    )
    expect(await documents(runtime)).toEqual(changed)
    await runtime.ok(`collection restore -f ${file} --merge${key}`)
    const merged = await documents(runtime)
    expect(merged.toSorted()).toEqual([...LINES, '{"id":"d","fields":{"title":"New"}}'])
    await runtime.ok(`collection restore -f ${file} --replace${key}`)
    expect(await documents(runtime)).toEqual(LINES)
    await expectFailure(runtime.typed(`collection restore -f ${file} --merge --replace${key}`), 2, "exclude each other")
  })

  test("of a portable archive that was compressed with zstd says how to decompress it", async () => {
    const runtime = await machine()
    runtime.write("p.jsonl.zst", await runtime.zstd.compress(encodeUtf8(await portable(runtime))))
    for (const command of ["restore -t two -f", "verify"]) {
      await expectFailure(
        runtime.typed(`collection ${command} p.jsonl.zst`),
        1,
        "is a portable archive that is compressed with zstd",
        "Hint: decompress it: zstd -dc FILE | prism collection restore -f -\n",
      )
    }
  })

  test("of a snapshot that Prism 0.6 made is refused with 7, and says what to do", async () => {
    const runtime = withLines(new FakeRuntime())
    const metadata = { version: "1.0", collection: "text25", prism_version: "0.6.6", document_count: 1, checksum: null }
    const tar = rawTar([
      { name: "metadata.json", body: encodeUtf8(JSON.stringify(metadata)) },
      { name: "schema.yaml", body: encodeUtf8("collection: text25\n") },
      { name: "text/meta.json", body: encodeUtf8("{}") },
    ])
    runtime.write("old.tar.zst", await runtime.zstd.compress(tar))
    for (const command of ["restore -f", "verify"]) {
      const { stderr } = await expectFailure(runtime.typed(`collection ${command} old.tar.zst`), 7)
      expect(stderr).toMatch(/^Error: Incompatible snapshot version.*\nHint: .*export .* as portable .*\n$/)
    }
    const { stderr } = await expectFailure(runtime.typed("collection restore -f old.tar.zst --json"), 7)
    expect(JSON.parse(stderr)).toEqual({
      error: {
        code: "INCOMPATIBLE_VERSION",
        message: "Incompatible snapshot version",
        place: "metadata.json",
        hint: expect.stringContaining("portable") as string,
      },
    })
    expect(runtime.directories.size).toBe(0)
  })
})

describe("keys", () => {
  const HINT = "Hint: give the file of its key with --key-file, or of its passphrase with --passphrase-file\n"

  test("any key that the archive was written with opens it: the key file, or the passphrase", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.enc --key-file key --passphrase-file passphrase")
    runtime.write("upper", ` ${"5A".repeat(32)}\r\n`)
    for (const key of [
      "--key-file upper",
      "--passphrase-file passphrase",
      "--key-file other.key --passphrase-file passphrase",
    ]) {
      await runtime.ok(`collection restore -f p.enc -t two --replace ${key}`)
      expect(await documents(runtime, "two")).toEqual(LINES)
    }
  })

  test("a wrong one is told from a damaged archive: 6, and nothing of the key is said", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.enc --key-file key")
    await runtime.ok("collection export products -o v1.enc --key-file key --enc-version 1")
    for (const file of ["p.enc", "v1.enc"]) {
      for (const command of ["restore -t two -f", "verify"]) {
        const { stderr, stdout } = await expectFailure(
          runtime.typed(`collection ${command} ${file} --key-file other.key`),
          6,
          "Error: Decryption failed (wrong key or corrupted data)\n",
        )
        expect(`${stdout}${stderr}`).not.toMatch(/a5a5/i)
      }
      const ls = runtime.typed(`archive ls ${file} --key-file other.key --json`)
      expect(JSON.parse((await expectFailure(ls, 6)).stderr)).toMatchObject({ error: { code: "DECRYPTION_FAILED" } })
    }
    await expectFailure(
      runtime.typed("collection restore -f v1.enc --passphrase-file passphrase"),
      2,
      "version 1 is opened by a key, not by a passphrase",
    )
    expect(await names(runtime)).toBe("products")
  })

  test("none is 2, and the hint tells both options", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.enc --key-file key")
    for (const line of ["collection restore -f p.enc", "collection verify p.enc", "archive ls p.enc"]) {
      await expectFailure(runtime.typed(line), 2, "Error: The archive is encrypted, and no key is given\n", HINT)
    }
    await expectFailure(runtime.typed("collection export products -o q.enc"), 2, "needs a key", "prism key generate")
    expect(runtime.fileBytes.has("q.enc")).toBe(false)
  })

  test.each([
    ["abcd", "Key must be 32 bytes, got 2"],
    ["5a".repeat(33), "Key must be 32 bytes, got 33"],
    ["", "Key must be 32 bytes, got 0"],
    ["5a".repeat(31) + "5", "Key must be 64 hex characters"],
    ["zz".repeat(32), "Key must be 64 hex characters"],
  ])("a malformed one is 2 before anything is read or written: %j", async (text, message) => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.enc --key-file key")
    runtime.write("bad.key", text)
    const before = runtime.fileBytes.get("p.enc")
    for (const line of [
      "collection export products -o p.enc --key-file bad.key",
      "collection restore -f p.enc -t two --key-file bad.key",
      "collection verify p.enc --key-file bad.key",
      "archive cat p.enc schema.yaml --key-file bad.key",
    ]) {
      const { stderr } = await expectFailure(runtime.typed(line), 2, `Error: ${message} (bad.key)\nHint: `)
      if (text.length > 0) expect(stderr).not.toContain(text)
    }
    expect(runtime.fileBytes.get("p.enc")).toBe(before)
  })

  test("one may come from stdin; two things may not", async () => {
    const runtime = await machine()
    runtime.input = [runtime.text("key")]
    await runtime.ok("collection export products -o p.enc --key-file -")
    await runtime.ok("collection restore -f p.enc --key-file - -t two")
    await runtime.ok("collection verify p.enc --key-file -")
    for (const line of [
      "collection restore -f - --key-file - -t three",
      "collection restore -f p.enc --key-file - --ids - -t three",
      "collection verify - --key-file -",
      "collection export products -o q.enc --key-file - --passphrase-file -",
    ]) {
      await expectFailure(runtime.typed(line), 2, "both come from stdin", "Hint: put one of them into a file\n")
    }
    expect(await names(runtime)).toBe("products two")
  })

  test("version 1 takes one key, and no passphrase", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.enc --key-file key --enc-version 1")
    const before = runtime.fileBytes.get("p.enc")!
    expect(before[4]).toBe(1)
    for (const keys of ["--passphrase-file passphrase", "--key-file key --passphrase-file passphrase"]) {
      await expectFailure(
        runtime.typed(`collection export products -o p.enc --enc-version 1 ${keys}`),
        2,
        "one key and no passphrase",
        "version 2",
      )
    }
    expect(runtime.fileBytes.get("p.enc")).toBe(before)
    await expectFailure(
      runtime.typed("collection export products -o p.enc --enc-version 3 --key-file key"),
      2,
      "1 or 2",
    )
    await runtime.ok("collection export products -o p.enc --key-file key")
    expect(runtime.fileBytes.get("p.enc")![4]).toBe(2)
  })
})

describe("--sha256", () => {
  test("writes the line that sha256sum -c reads in the file's folder, again for every export", async () => {
    const runtime = await machine()
    for (const path of ["backup/p.tar.zst", "p.prism.jsonl"]) {
      for (const title of ["One", "Two"]) {
        runtime.write("more.jsonl", `{"id":"x","title":"${title}"}\n`)
        await runtime.ok("document import -c products -f more.jsonl")
        await runtime.ok(`collection export products -o ${path} --sha256`)
        const name = path.replace(/^.*\//, "")
        expect(runtime.text(`${path}.sha256`)).toBe(`${sha256(runtime.fileBytes.get(path)!)}  ${name}\n`)
      }
    }
  })

  test("escapes a backslash in the name, and says so with one before the hash", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o a\\b.prism.jsonl --sha256")
    const hash = sha256(runtime.fileBytes.get("a\\b.prism.jsonl")!)
    // GNU coreutils, cksum output modes.
    expect(runtime.text("a\\b.prism.jsonl.sha256")).toBe(`\\${hash}  a\\\\b.prism.jsonl\n`)
    await runtime.ok("collection export products -o a\\b.prism.jsonl --sha256")
  })

  test.each([
    ["notes", "do not lose me\n"],
    ["nothing", ""],
    ["the hashes of several files", `${"0a".repeat(32)}  a\n${"0b".repeat(32)}  b\n`],
    ["bytes", Uint8Array.of(0xff, 0xfe, 0)],
  ])("leaves a file alone that holds %s, and exports nothing then", async (_what, content) => {
    const runtime = await machine()
    runtime.write("p.tar.zst.sha256", content)
    const before = runtime.fileBytes.get("p.tar.zst.sha256")
    await expectFailure(
      runtime.typed("collection export products -o p.tar.zst --sha256"),
      4,
      "p.tar.zst.sha256, where the hash goes, exists and holds something else",
    )
    expect(runtime.fileBytes.get("p.tar.zst.sha256")).toBe(before)
    expect(runtime.fileBytes.has("p.tar.zst")).toBe(false)
    await runtime.ok("collection export products -o p.tar.zst --sha256 --force")
    expect(runtime.text("p.tar.zst.sha256")).toContain(sha256(runtime.fileBytes.get("p.tar.zst")!))
  })
})

describe("--purge", () => {
  const MARKER = "xylograph"

  /** What a snapshot's tar holds, as text. */
  async function tarOf(runtime: FakeRuntime, path: string): Promise<string> {
    const pieces: Uint8Array[] = []
    for await (const bytes of decompressSeekable(sliced(runtime.fileBytes.get(path)!), runtime.zstd)) {
      pieces.push(bytes.slice())
    }
    return decodeUtf8(concatBytes(pieces))
  }

  test("leaves nothing of what was deleted or replaced in a snapshot", async () => {
    const runtime = await machine()
    runtime.write("secret.jsonl", `{"id":"s","title":"${MARKER}"}\n{"id":"t","title":"${MARKER}"}\n`)
    await runtime.ok("document import -c products -f secret.jsonl")
    await runtime.ok("index optimize -c products")
    runtime.write("plain.jsonl", '{"id":"t","title":"Replaced"}\n')
    await runtime.ok("document import -c products -f plain.jsonl")
    await runtime.ok("document delete -c products s")
    // It is looked for where it would be.
    await runtime.ok("collection export products -o p.tar.zst")
    expect(await tarOf(runtime, "p.tar.zst")).toContain(MARKER)
    await runtime.ok("collection export products -o p.tar.zst --purge")
    expect(await tarOf(runtime, "p.tar.zst")).not.toContain(MARKER)
    const other = elsewhere(runtime, "p.tar.zst")
    await other.ok("collection restore -f p.tar.zst")
    expect(await documents(other)).toEqual([...LINES, '{"id":"t","fields":{"title":"Replaced"}}'])
    expect(await documents(runtime)).toEqual(await documents(other))
  })
})

describe("an existing file", () => {
  test.each(FORMATS)("that is an archive of Prism is replaced: $file", async ({ file, options }) => {
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    const archive = runtime.fileBytes.get(file)!
    for (const path of ["x.prism.jsonl", "x.tar.zst"]) {
      runtime.write(path, archive)
      await runtime.ok(`collection export products -o ${path}`)
      await runtime.ok(`collection verify ${path}`)
    }
    runtime.write("x.enc", archive)
    await runtime.ok("collection export products -o x.enc --key-file key")
    await runtime.ok("collection verify x.enc --key-file key")
  })

  test.each<[string, (runtime: FakeRuntime) => string | Uint8Array | Promise<Uint8Array>]>([
    ["notes", () => "do not lose me"],
    ["documents as JSON lines", () => LINES.join("\n")],
    ["a text compressed with zstd", (runtime) => runtime.zstd.compress(encodeUtf8("metadata.json of mine".repeat(99)))],
    [
      "somebody's .tar.zst",
      (runtime) => runtime.zstd.compress(rawTar([{ name: "notes.txt", body: encodeUtf8("do not lose me") }])),
    ],
    [
      "a .tar.zst with a file of a name that begins so",
      (runtime) => runtime.zstd.compress(rawTar([{ name: "metadata.json.bak", body: encodeUtf8("{}") }])),
    ],
    ["a damaged .zst", () => Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0xff, 0xff, 0xff)],
    ["nothing", () => ""],
  ])("that is none is left alone with 4: %s", async (_what, content) => {
    const runtime = await machine()
    for (const file of ["x.tar.zst", "x.prism.jsonl", "x.enc"]) {
      runtime.write(file, await content(runtime))
      const before = runtime.fileBytes.get(file)
      const line = `collection export products -o ${file}${file === "x.enc" ? " --key-file key" : ""}`
      await expectFailure(runtime.typed(line), 4, `${file} exists and is no archive of Prism`, "--force")
      expect(runtime.fileBytes.get(file)).toBe(before)
      await runtime.ok(`${line} --force`)
      expect(runtime.fileBytes.get(file)).not.toBe(before)
    }
  })
})

describe("a full disk", () => {
  test("refuses a portable archive by its exact size before the first byte", async () => {
    const runtime = await machine()
    const text = await portable(runtime)
    runtime.bytesFree = text.length
    await runtime.ok("collection export products -o p.prism.jsonl")
    const before = runtime.fileBytes.get("p.prism.jsonl")
    runtime.bytesFree = text.length - 1
    const export_ = (path: string) => runtime.typed(`collection export products -o ${path}`)
    for (const path of ["p.prism.jsonl", "q.prism.jsonl"]) {
      await expectFailure(export_(path), 1, "archive takes at least", "are free", path, "Hint: make room")
    }
    expect(runtime.fileBytes.get("p.prism.jsonl")).toBe(before)
    expect(runtime.fileBytes.has("q.prism.jsonl")).toBe(false)
    expect((await runtime.typed("collection export products -o -")).code).toBe(0)
  })

  test("refuses snapshots too, with and without a key, and leaves the earlier archive", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.tar.zst")
    await runtime.ok("collection export products -o p.enc --key-file key")
    const before = new Map(runtime.fileBytes)
    runtime.bytesFree = 10
    for (const rest of ["p.tar.zst --sha256", "p.enc --key-file key", "q.tar.zst --sha256", "q.enc --key-file key"]) {
      const failed = await expectFailure(runtime.typed(`collection export products -o ${rest} --json`), 1)
      const [place] = rest.split(" ")
      expect(JSON.parse(failed.stderr)).toMatchObject({ error: { code: "DISK_FULL", place } })
    }
    expect(runtime.fileBytes).toEqual(before)
  })
})

describe("diff", () => {
  async function pair(): Promise<Machine> {
    const runtime = await machine()
    await runtime.ok("collection export products -o a.tar.zst")
    runtime.write("changes.jsonl", '{"id":"a","title":"Changed"}\n{"id":"d\\u001b","title":"New"}\n')
    await runtime.ok("document import -c products -f changes.jsonl")
    await runtime.ok("document delete -c products c")
    await runtime.ok("collection export products -o b.enc --key-file key")
    return runtime
  }
  const CHANGES = [
    { change: "added", kind: "document", id: "d\u001b" },
    { change: "changed", kind: "document", id: "a" },
    { change: "removed", kind: "document", id: "c" },
  ]

  test("tells what was added, removed and changed, with exit code 1", async () => {
    const runtime = await pair()
    const { code, stdout, stderr } = await runtime.typed("archive diff a.tar.zst b.enc --key-file key")
    expect(code).toBe(1)
    // An id cannot steer the terminal.
    expect(stdout.trimEnd().split("\n").toSorted()).toEqual(["+ d\ufffd", "- c", "~ a"])
    expect(stderr).toBe("1 document added, 1 removed, 1 changed\n")
    const back = await runtime.typed("archive diff b.enc a.tar.zst --key-file key -q")
    expect(back).toMatchObject({ code: 1, stderr: "" })
    expect(back.stdout.trimEnd().split("\n").toSorted()).toEqual(["+ c", "- d\ufffd", "~ a"])
  })

  test("--json is a line a document, and nothing on stderr", async () => {
    const runtime = await pair()
    const { code, stdout, stderr } = await runtime.typed("archive diff a.tar.zst b.enc --key-file key --json")
    expect({ code, stderr }).toEqual({ code: 1, stderr: "" })
    const lines = stdout
      .trimEnd()
      .split("\n")
      .map((line) => JSON.parse(line) as { change: string; id: string })
    expect(lines.toSorted((a, b) => (a.change < b.change ? -1 : 1))).toEqual(CHANGES)
    const same = await runtime.typed("archive diff b.enc b.enc --key-file key --json")
    expect(same).toEqual({ code: 0, stdout: "", stderr: "" })
  })

  test("needs two archives that are files", async () => {
    const runtime = await pair()
    await expectFailure(runtime.typed("archive diff a.tar.zst"), 2, "Missing AFTER")
    await expectFailure(runtime.typed("archive diff a.tar.zst b.enc"), 2, "no key is given")
    await expectFailure(runtime.typed("archive diff a.tar.zst none.tar.zst"), 3, "none.tar.zst")
    await expectFailure(runtime.typed("archive diff a.tar.zst -"), 2, "a pipe", "a file first")
    runtime.write("cut.tar.zst", runtime.fileBytes.get("a.tar.zst")!.subarray(0, -1))
    await expectFailure(runtime.typed("archive diff a.tar.zst cut.tar.zst"), 1, "no seek table", "collection verify")
    runtime.write("notes.txt", "mine")
    await expectFailure(runtime.typed("archive diff a.tar.zst notes.txt"), 1, "is no archive of Prism")
  })
})

describe("an interrupt", () => {
  /** Interrupts as soon as progress of this stage is drawn. */
  function interruptAt(runtime: FakeRuntime, stage: string): void {
    runtime.stderrIsTerminal = true
    runtime.environment["NO_COLOR"] = "1"
    runtime.onStderr = (text) => {
      if (text.includes(stage)) runtime.interrupt()
    }
  }

  test.each(FORMATS)("ends an export to $file, and leaves the earlier one", async ({ file, options }) => {
    const runtime = await machine()
    runtime.write(file, await portable(runtime))
    const before = new Map(runtime.fileBytes)
    interruptAt(runtime, "Writing")
    const line = `collection export products -o ${file}${options} --sha256`
    await expectFailure(runtime.typed(line), 130, "Error: Interrupted\n")
    expect(runtime.fileBytes).toEqual(before)
  })

  test.each(FORMATS)("ends a restore of $file, and leaves no data directory", async ({ file, options, key }) => {
    const runtime = await machine()
    await runtime.ok(`collection export products -o ${file}${options}`)
    const other = elsewhere(runtime, file, "key")
    interruptAt(other, "Restoring")
    await expectFailure(other.typed(`collection restore -f ${file}${key}`), 130, "Error: Interrupted\n")
    expect(other.directories.size).toBe(0)
  })

  test("ends a verification", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.tar.zst")
    interruptAt(runtime, "Verifying")
    await expectFailure(runtime.typed("collection verify p.tar.zst"), 130, "Error: Interrupted\n")
  })
})

describe("progress", () => {
  /** Each look at the clock is three seconds later. */
  function ticking(runtime: FakeRuntime): void {
    let now = 0
    Object.defineProperty(runtime, "clock", { get: () => (now += 3000) })
  }

  test("of an export has bytes, rate and time left, on request", async () => {
    const runtime = await machine()
    ticking(runtime)
    const line = "collection export products -o p.tar.zst"
    expect((await runtime.typed(line)).stderr).toBe("")
    const { stderr } = await runtime.typed(`${line} --progress`)
    const lines = stderr.trimEnd().split("\n")
    const size = String.raw`[\d.]+ k?B`
    expect(lines[0]).toMatch(new RegExp(`^Writing {2} *\\d+% {2}${size} of ${size}$`))
    for (const text of lines.slice(1, -1)) {
      expect(text).toMatch(new RegExp(`^Writing {2} *\\d+% {2}${size} of ${size} {2}${size}/s {2}[\\d a-z]+ left$`))
    }
    expect(lines.at(-1)).toMatch(new RegExp(`^Writing {2}100% {2}${size} of ${size} {2}${size}/s$`))
    expect(lines.length).toBeGreaterThan(5)
  })

  test("of a restore and a verification is in bytes of the file; of a pipe without an end", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.tar.zst")
    ticking(runtime)
    const { stderr } = await runtime.typed("collection restore -f p.tar.zst -t two --progress")
    expect(stderr).toMatch(/^Restoring {2}100% {2}[\d.]+ kB of [\d.]+ kB$/m)
    const verified = await runtime.typed("collection verify p.tar.zst --progress")
    expect(verified.stderr).toMatch(/^Verifying {2}100% {2}[\d.]+ kB of [\d.]+ kB$/m)
    runtime.input = [runtime.fileBytes.get("p.tar.zst")!]
    const piped = await runtime.typed("collection restore -f - -t three --progress")
    expect(piped.stderr).toMatch(/^Restoring {2}[\d.]+ kB$/m)
    expect(piped.stderr).not.toMatch(/%|left/)
  })
})

describe("what could be misunderstood", () => {
  test("a name of another kind of file is refused, unless the format is said", async () => {
    const runtime = await machine()
    for (const file of ["p.tar", "p.tar.gz", "p.prism.jsonl.zst", "p.zip"]) {
      const refused = runtime.typed(`collection export products -o ${file}`)
      await expectFailure(refused, 2, `The name ${file} is that of another kind of file`, "--format")
    }
    await runtime.ok("collection export products -o p.tar --format snapshot")
    expect(JSON.parse(await runtime.ok("collection verify p.tar --json"))).toMatchObject({ format: "snapshot" })
  })

  test("a key that was not needed is told, and a selection that nothing matches", async () => {
    const runtime = await machine()
    await runtime.ok("collection export products -o p.tar.zst")
    const verified = await runtime.typed("collection verify p.tar.zst --key-file key")
    expect(verified).toMatchObject({ code: 0, stderr: "Note: the archive is not encrypted; no key was needed\n" })
    const restored = await runtime.typed("collection restore -f p.tar.zst -t none --where title:nobody --key-file key")
    expect(restored.code).toBe(0)
    expect(restored.stderr).toContain("Note: no document was selected")
    expect(restored.stderr).toContain("Note: the archive is not encrypted")
    expect(restored.stdout).toContain('Restored 0 documents into "none"\n')
  })

  test("an archive to stdout with --json has its report on stderr", async () => {
    const runtime = await machine()
    const { stderr, code } = await runtime.typed("collection export products -o - --json -f snapshot")
    expect(code).toBe(0)
    expect(JSON.parse(stderr)).toMatchObject({ success: true, document_count: 3, output_path: "-" })
  })
})
