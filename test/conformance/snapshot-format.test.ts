import fc from "fast-check"
import { assert, describe, test } from "vitest"
import { concatBytes, decodeUtf8, encodeUtf8, equalBytes } from "../../src/base/bytes.ts"
import { type ErrorCode, PrismError } from "../../src/base/errors.ts"
import {
  measureSnapshot,
  readEntryTable,
  SNAPSHOT_ENTRIES_MAX,
  type SnapshotDescription,
  type SnapshotFile,
  SnapshotReader,
} from "../../src/formats/snapshot.ts"
import { readTar, TAR_END, tarHeader } from "../../src/formats/tar.ts"
import { refusal } from "../support/refusal.ts"
import {
  createSha256,
  gnuLongName,
  paxHeader,
  type RawEntry,
  type ReadBack,
  rawEntry,
  rawTar,
  read,
  sample,
  sampleFile,
  sha256,
  sliced,
  write,
} from "../support/snapshots.ts"

const SAMPLE = sample()
const { tar: TAR, pieces: PIECES, measure: MEASURE } = await write(SAMPLE)
const WHOLE = await read(sliced(TAR))

async function entriesOf(tar: Uint8Array): Promise<RawEntry[]> {
  const entries: RawEntry[] = []
  for await (const { name, body } of readTar(sliced(tar))) {
    const pieces: Uint8Array[] = []
    for await (const bytes of body) pieces.push(bytes.slice())
    entries.push({ name, body: concatBytes(pieces) })
  }
  return entries
}

const ENTRIES = await entriesOf(TAR)
const entry = (name: string, entries = ENTRIES): RawEntry => entries.find((one) => one.name === name)!

/** The entries with one of them having another body. */
const withBody = (name: string, body: Uint8Array, entries = ENTRIES): RawEntry[] =>
  entries.map((one) => (one.name === name ? { ...one, body } : one))

function assertSame(actual: ReadBack, expected = WHOLE, what = ""): void {
  assert.deepEqual(actual.metadata, expected.metadata, what)
  assert.equal(actual.schema, expected.schema, what)
  assert.deepEqual([...actual.contents.keys()].sort(), [...expected.contents.keys()].sort(), what)
  for (const [name, bytes] of expected.contents)
    assert.isTrue(equalBytes(actual.contents.get(name)!, bytes), what + name)
}

async function refused(tar: Uint8Array, code: ErrorCode, place?: string): Promise<PrismError> {
  const error = await refusal(read(sliced(tar)))
  assert.equal(error.code, code, `${error.message} (${error.place})`)
  if (place !== undefined) assert.equal(error.place, place, error.message)
  return error
}

const bad = (entries: readonly RawEntry[], code: ErrorCode, place?: string): Promise<PrismError> =>
  refused(rawTar(entries), code, place)

/** The entries with another metadata.json, and a MANIFEST.sha256 that fits it: as somebody would forge it. */
function forged(change: (metadata: Record<string, unknown>) => unknown, entries = ENTRIES): RawEntry[] {
  const metadata = JSON.parse(decodeUtf8(entry("metadata.json", entries).body)) as Record<string, unknown>
  const changed = change(metadata) ?? metadata
  return withMetadata(typeof changed === "string" ? changed : JSON.stringify(changed), entries)
}

function withMetadata(text: string, entries = ENTRIES): RawEntry[] {
  const body = encodeUtf8(text)
  return entries.map((one) => {
    if (one.name === "metadata.json") return { ...one, body }
    if (one.name !== "MANIFEST.sha256") return one
    const manifest = decodeUtf8(one.body).replace(/^.*  metadata\.json\n/m, `${sha256(body)}  metadata.json\n`)
    return { ...one, body: encodeUtf8(manifest) }
  })
}

describe("a snapshot that is written", () => {
  test("has its entries in order, and hashes as sha256sum prints them", () => {
    assert.deepEqual(
      ENTRIES.map(({ name }) => name),
      [
        "metadata.json",
        "schema.yaml",
        "text/0-a.text",
        "text/0-a.documents",
        "text/1-b.text",
        "text/1-b.documents",
        "text/1-b.4.tombstones",
        "vector/0-a.vector",
        "MANIFEST.sha256",
      ],
    )
    const lines = ENTRIES.slice(0, -1).map(({ name, body }) => `${sha256(body)}  ${name}\n`)
    assert.equal(decodeUtf8(entry("MANIFEST.sha256").body), lines.join(""))
    assert.equal(decodeUtf8(entry("schema.yaml").body), SAMPLE.description.schema)
    const sizeBytes = ENTRIES.slice(1, -1).reduce((sum, { body }) => sum + body.length, 0)
    const checksum = sha256(encodeUtf8(lines.slice(1).join("")))
    assert.deepEqual(JSON.parse(decodeUtf8(entry("metadata.json").body)), {
      format_version: 1,
      engine_version: "0.1.0",
      version: "1.0",
      collection: "products",
      prism_version: "0.1.0",
      exported_at: "2026-11-22T10:00:00.000Z",
      generation: 7,
      document_count: 5,
      size_bytes: sizeBytes,
      checksum,
      backends: { text: true, vector: true, graph: false },
      segment_formats: { documents: 1, text: 3, vector: 2 },
      segments: SAMPLE.description.segments,
    })
    assert.deepEqual(MEASURE, { checksum, sizeBytes, tarBytes: TAR.length })
    assert.deepEqual(measureSnapshot(SAMPLE.description, SAMPLE.files, createSha256), MEASURE)
  })

  test("is plain ustar and nothing else", () => {
    assert.isTrue(equalBytes(TAR, rawTar(ENTRIES)))
  })

  test("starts a frame at every entry, at its data and at the end blocks", () => {
    const frames: Uint8Array[] = []
    for (const { bytes, startsFrame } of PIECES) {
      if (startsFrame) frames.push(bytes)
      else frames.push(concatBytes([frames.pop()!, bytes]))
    }
    const padded = ({ body }: RawEntry): number => Math.ceil(body.length / 512) * 512
    const expected = ENTRIES.flatMap((one) => (one.body.length === 0 ? [512] : [512, padded(one)]))
    assert.deepEqual(
      frames.map(({ length }) => length),
      [...expected, 1024],
    )
    assert.isTrue(equalBytes(frames.at(-1)!, TAR_END))
  })

  test("has the same bytes whatever order the files and keys are given in", async () => {
    const { segments, segmentFormats, ...rest } = SAMPLE.description
    const description: SnapshotDescription = {
      segments: segments.map(({ files, ...segment }) => ({ files: { ...files }, ...segment })),
      segmentFormats: Object.fromEntries(Object.entries(segmentFormats).reverse()),
      ...rest,
    }
    const files = [...SAMPLE.contents].reverse().map(([name, bytes]) => sampleFile(name, bytes, 7))
    assert.isTrue(equalBytes((await write({ description, files })).tar, TAR))
  })

  test("never says that it is whole when a file is not what was announced", async () => {
    const content = SAMPLE.contents.get("text/0-a.documents")!
    const changed = content.slice()
    changed[100]! ^= 1
    for (const bytes of [changed, content.subarray(1), concatBytes([content, Uint8Array.of(0)]), new Uint8Array(0)]) {
      const files = SAMPLE.files.map((file) =>
        file.name === "text/0-a.documents" ? { ...file, read: () => sliced(bytes) } : file,
      )
      const error = await refusal(write({ ...SAMPLE, files }))
      assert.equal(error.code, "CORRUPT")
      assert.equal(error.place, "text/0-a.documents")
    }
  })

  test("has nothing of a file behind its announced length, and no empty pieces", async () => {
    async function* endless(): AsyncGenerator<Uint8Array> {
      for (let given = 0; given < 2000; given += 100) yield new Uint8Array(100)
      assert.fail("read on")
    }
    const files = SAMPLE.files.map((file) => (file.name === "text/0-a.text" ? { ...file, read: endless } : file))
    assert.equal((await refusal(write({ ...SAMPLE, files }))).place, "text/0-a.text")

    async function* withEmpty(file: SnapshotFile): AsyncGenerator<Uint8Array> {
      yield new Uint8Array(0)
      for await (const bytes of file.read()) {
        yield bytes
        yield new Uint8Array(0)
      }
    }
    const gappy = SAMPLE.files.map((file) => ({ ...file, read: () => withEmpty(file) }))
    assert.deepEqual((await write({ ...SAMPLE, files: gappy })).pieces, PIECES)
  })

  test("is refused before its first byte where a reader would refuse it", async () => {
    const refusedFirst = async (description: SnapshotDescription, files = SAMPLE.files): Promise<string> => {
      assert.throws(() => measureSnapshot(description, files, createSha256))
      try {
        await write({ description, files })
      } catch (error) {
        return error instanceof PrismError ? error.code : String(error)
      }
      return "written"
    }
    const { description } = SAMPLE
    assert.equal(await refusedFirst({ ...description, documentCount: 6 }), "CORRUPT")
    assert.equal(await refusedFirst({ ...description, schema: "#".repeat(4 * 1024 * 1024 + 1) }), "LIMIT_EXCEEDED")
    const large = SAMPLE.files.map((file, i) => (i === 0 ? { ...file, length: 2 ** 33 } : file))
    assert.equal(await refusedFirst(description, large), "LIMIT_EXCEEDED")
    assert.match(await refusedFirst(description, SAMPLE.files.slice(1)), /Bug in Prism/)
    const named = (text: string): SnapshotDescription => ({
      ...description,
      documentCount: 0,
      segments: [{ documents: 0, deleted: 0, vectors: 0, level: 0, files: { text, documents: "text/d" } }],
    })
    for (const name of ["text/../a", "a", "text/a/b", "vector/a"]) {
      const files = [sampleFile(name, new Uint8Array(0)), sampleFile("text/d", new Uint8Array(0))]
      assert.match(await refusedFirst(named(name), files), /Bug in Prism|CORRUPT/)
    }
  })

  test("may have no segments", async () => {
    const empty = sample(1, { segments: [], documentCount: 0, segmentFormats: {}, redacted: ["embedding.key"] })
    const { tar } = await write({ description: empty.description, files: [] })
    const { metadata, contents } = await read(sliced(tar))
    assert.equal(contents.size, 0)
    assert.deepEqual(metadata.redacted, ["embedding.key"])
  })
})

describe("a snapshot that is read", () => {
  test("comes back from any slices", async () => {
    const { schema, ...described } = SAMPLE.description
    assert.deepEqual(WHOLE.metadata, {
      ...described,
      checksum: MEASURE.checksum,
      sizeBytes: MEASURE.sizeBytes,
      unknownKeys: [],
    })
    assertSame(WHOLE, { ...WHOLE, schema, contents: new Map(SAMPLE.contents) })
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 3000 }), { minLength: 1, maxLength: 6 }), async (lengths) => {
        assertSame(await read(sliced(TAR, lengths)))
      }),
      { numRuns: 50, seed: 1 },
    )
  })

  test("is verified, and its files reported, where the consumer leaves bodies unread", async () => {
    const hashes = ENTRIES.filter(({ name }) => name.includes("/")).map(
      ({ name, body }) => [name, { length: body.length, sha256: sha256(body) }] as const,
    )
    for (const take of [0, 1, 2]) {
      await using reader = await SnapshotReader.open(sliced(TAR, [300]), { createSha256 })
      assert.equal(reader.metadata?.collection, "products")
      for await (const { body } of reader) {
        let taken = 0
        for await (const _ of body) if (++taken > take) break
      }
      assert.deepEqual([...reader.finish().files], hashes)
    }
  })

  test("in any order of entries has the same content", async () => {
    await fc.assert(
      fc.asyncProperty(fc.shuffledSubarray(ENTRIES, { minLength: ENTRIES.length }), async (entries) => {
        assertSame(await read(sliced(rawTar(entries))))
      }),
      { numRuns: 100, seed: 2 },
    )
  })

  test("as stock tools archive a folder: ./, folders, PAX and GNU headers, a record's padding", async () => {
    const folder = (name: string): RawEntry => ({ name, body: new Uint8Array(0), header: [[156, "5"]] })
    const folders = ["./", "./text/", "./vector/", "./graph/", ".", "text", "vector/"].map(folder)
    const files = ENTRIES.flatMap((one, i) => {
      if (i % 3 === 0) return [{ ...one, name: `./${one.name}` }]
      const extended = { ...one, name: "short" }
      return i % 3 === 1
        ? [paxHeader({ path: `./${one.name}`, mtime: "1.25" }), extended]
        : [gnuLongName(one.name), extended]
    })
    assertSame(await read(sliced(concatBytes([rawTar([...folders, ...files]), new Uint8Array(10_240)]))))
  })

  test("keeps keys that it does not know, and says so", async () => {
    const { metadata } = await read(
      sliced(
        rawTar(
          forged((metadata) => {
            metadata.flavour = "new"
            ;(metadata.segments as { codec: number }[])[1]!.codec = 3
          }),
        ),
      ),
    )
    assert.deepEqual(metadata.unknownKeys, ["flavour", "segments[1].codec"])
    const polluted = withMetadata(
      decodeUtf8(entry("metadata.json").body).replace("{", '{"__proto__":{"polluted":true},'),
    )
    assert.deepEqual((await read(sliced(rawTar(polluted)))).metadata.unknownKeys, ["__proto__"])
    assert.isUndefined(({} as { polluted?: boolean }).polluted)
  })
})

describe("a snapshot that was damaged", () => {
  test("with any byte flipped is an error or has the same content", async () => {
    const counts = { refused: 0, same: 0 }
    const codes = new Set<string>()
    const padding = await paddingOf(TAR)
    for (let at = 0; at < TAR.length; at++) {
      const flipped = TAR.slice()
      flipped[at]! ^= 1 << (at % 8)
      let result: ReadBack | undefined
      try {
        result = await read(sliced(flipped))
      } catch (error) {
        assert.instanceOf(error, PrismError, `byte ${at}`)
        codes.add(error.code)
        counts.refused++
      }
      if (result === undefined) continue
      counts.same++
      assertSame(result, WHOLE, `byte ${at}: `)
      const inHeader = at % 512 >= 148 && at % 512 < 156
      assert.isTrue(inHeader || padding.some(([start, end]) => at >= start && at < end), `byte ${at} means something`)
    }
    assert.equal(counts.refused + counts.same, TAR.length)
    const paddingLength = padding.reduce((sum, [start, end]) => sum + end - start, 0)
    assert.isAtLeast(counts.same, paddingLength)
    assert.isAtMost(counts.same, paddingLength + 3 * ENTRIES.length)
    assert.includeMembers([...codes], ["CORRUPT", "CHECKSUM_MISMATCH"])
  })

  test("cut at any byte is TRUNCATED", async () => {
    for (let length = 0; length < TAR.length; length++) {
      const error = await refusal(read(sliced(TAR.subarray(0, length))))
      assert.equal(error.code, "TRUNCATED", `at ${length}`)
    }
  })

  test("without one of its entries is CORRUPT", async () => {
    for (const { name } of ENTRIES)
      await bad(
        ENTRIES.filter((one) => one.name !== name),
        "CORRUPT",
        name,
      )
  })

  test("with an entry doubled is refused", async () => {
    for (const [i, one] of ENTRIES.entries()) {
      await bad([...ENTRIES, one], "INVALID_FORMAT", one.name)
      await bad(ENTRIES.toSpliced(i, 0, one), "INVALID_FORMAT", one.name)
      const folded = { ...one, name: one.name.toUpperCase() }
      await bad([...ENTRIES, folded], "INVALID_FORMAT", folded.name)
    }
    await bad([...ENTRIES, { name: "text/0-A.text", body: new Uint8Array(0) }], "INVALID_FORMAT", "text/0-A.text")
    await bad([...ENTRIES, { ...ENTRIES[2]!, name: "./text/0-a.text" }], "INVALID_FORMAT", "./text/0-a.text")
  })

  test("with an entry of another snapshot is refused", async () => {
    const others = await entriesOf((await write(sample(2))).tar)
    for (const [i, { name }] of ENTRIES.entries()) {
      if (equalBytes(ENTRIES[i]!.body, others[i]!.body)) continue
      const error = await refusal(read(sliced(rawTar(ENTRIES.with(i, others[i]!)))))
      assert.equal(error.code, "CHECKSUM_MISMATCH", name)
      assert.equal(error.message, "Checksum verification failed")
      if (name !== "MANIFEST.sha256") assert.equal(error.place, name)
    }
  })

  test("with two entries' contents exchanged is refused", async () => {
    const swapped = ENTRIES.map((one) => {
      if (one.name === "text/0-a.documents") return { ...one, body: entry("text/0-a.text").body }
      return one.name === "text/0-a.text" ? { ...one, body: entry("text/0-a.documents").body } : one
    })
    await bad(swapped, "CHECKSUM_MISMATCH", "text/0-a.text")
  })

  test("with all hashes made to fit is held to the checksum of metadata.json", async () => {
    const entries = withBody("text/1-b.documents", new Uint8Array(33))
    const lines = entries.slice(0, -1).map(({ name, body }) => `${sha256(body)}  ${name}\n`)
    await bad(withBody("MANIFEST.sha256", encodeUtf8(lines.join("")), entries), "CHECKSUM_MISMATCH", "MANIFEST.sha256")
  })

  test("with a MANIFEST.sha256 of another shape is refused", async () => {
    const text = decodeUtf8(entry("MANIFEST.sha256").body)
    const lines = text.split("\n").slice(0, -1)
    const line = lines[3]!
    const changes: [text: string, code: ErrorCode][] = [
      ["", "CORRUPT"],
      [text.slice(0, -1), "CORRUPT"],
      [text.replaceAll("\n", "\r\n"), "CORRUPT"],
      [`\n${text}`, "CORRUPT"],
      [`${text}${line}\n`, "CORRUPT"],
      [`${text}${"0".repeat(64)}  MANIFEST.sha256\n`, "CORRUPT"],
      [`${text}${"0".repeat(64)}  text/none\n`, "CORRUPT"],
      [text.replace(`${line}\n`, ""), "CORRUPT"],
      [text.replace("  ", " *"), "CORRUPT"],
      [text.replace(line, line.toUpperCase()), "CORRUPT"],
      [text.replace(line, `0${line.slice(1)}`).replace(line, `1${line.slice(1)}`), "CHECKSUM_MISMATCH"],
      [
        [...lines]
          .reverse()
          .map((one) => `${one}\n`)
          .join(""),
        "CHECKSUM_MISMATCH",
      ],
    ]
    for (const [changed, code] of changes) {
      if (changed === text) continue
      await bad(withBody("MANIFEST.sha256", encodeUtf8(changed)), code)
    }
    await bad(withBody("MANIFEST.sha256", Uint8Array.of(0xff)), "CORRUPT", "MANIFEST.sha256")
  })
})

async function paddingOf(tar: Uint8Array): Promise<[start: number, end: number][]> {
  const table = await readEntryTable(randomAccess(tar))
  return table.map(({ offset, size }) => [offset + size, offset + Math.ceil(size / 512) * 512])
}

function randomAccess(bytes: Uint8Array) {
  return { size: bytes.length, read: async (offset: number, length: number) => bytes.subarray(offset, offset + length) }
}

describe("a snapshot of another version", () => {
  test("is INCOMPATIBLE_VERSION before anything else of it is looked at", async () => {
    const old = { version: "1.0", collection: "text25", prism_version: "0.6.6", document_count: 0, checksum: null }
    for (const metadata of [old, { ...old, format_version: 2 }, { format_version: "1" }, { format_version: 0 }, {}]) {
      const tar = rawTar([
        { name: "metadata.json", body: encodeUtf8(JSON.stringify(metadata)) },
        { name: "etc/passwd", body: encodeUtf8("not looked at") },
      ])
      const error = await refusal(SnapshotReader.open(sliced(tar), { createSha256 }))
      assert.equal(error.code, "INCOMPATIBLE_VERSION")
      assert.equal(error.message, "Incompatible snapshot version")
      assert.equal(error.place, "metadata.json")
      assert.match(error.hint ?? "", /portable/)
    }
  })

  test("is refused by open when metadata.json comes first, and when it is met otherwise", async () => {
    const newer = forged((metadata) => ({ ...metadata, format_version: 2 }))
    assert.equal(
      (await refusal(SnapshotReader.open(sliced(rawTar(newer)), { createSha256 }))).code,
      "INCOMPATIBLE_VERSION",
    )
    await using reader = await SnapshotReader.open(sliced(rawTar(newer.toReversed())), { createSha256 })
    assert.isUndefined(reader.metadata)
    const all = (async () => {
      for await (const _ of reader);
    })()
    assert.equal((await refusal(all)).code, "INCOMPATIBLE_VERSION")
  })
})

describe("metadata.json that lies", () => {
  type Metadata = Record<string, unknown> & { segments: Segment[]; backends: Record<string, unknown> }
  type Segment = Record<string, unknown> & { files: Record<string, unknown> }
  const lies: [what: string, change: (metadata: Metadata) => unknown][] = [
    ["about document_count", (m) => (m.document_count = 6)],
    ["with a negative count", (m) => (m.segments[0]!.deleted = -1)],
    ["with more deleted than there are", (m) => (m.segments[0]!.deleted = 5)],
    ["with more vectors than documents", (m) => (m.segments[1]!.vectors = 4)],
    [
      "with more documents than a segment can number",
      (m) => Object.assign(m.segments[0]!, { documents: 4 + 2 ** 32, deleted: 2 ** 32 }),
    ],
    ["with a count that is no integer", (m) => (m.segments[0]!.vectors = 0.5)],
    ["with a count beyond 2^53", (m) => (m.generation = 2 ** 53)],
    ["with a count that is text", (m) => (m.segments[0]!.level = "1")],
    ["with a size that is too small", (m) => (m.size_bytes = MEASURE.sizeBytes - 1)],
    ["with a size that is too large", (m) => (m.size_bytes = MEASURE.sizeBytes + 1)],
    ["with a negative size", (m) => (m.size_bytes = -1)],
    ["with no checksum", (m) => (m.checksum = null)],
    ["with an upper-case checksum", (m) => (m.checksum = MEASURE.checksum.toUpperCase())],
    ["with a backend that is no boolean", (m) => (m.backends.vector = 1)],
    ["without a backend", (m) => delete m.backends.graph],
    ["without backends", (m) => delete (m as { backends?: unknown }).backends],
    ["with backends that are a list", (m) => (m.backends = [] as never)],
    ["without a collection", (m) => delete m.collection],
    ["without exported_at", (m) => delete m.exported_at],
    ["without engine_version", (m) => delete m.engine_version],
    ["with formats that are no numbers", (m) => (m.segment_formats = { text: "3" })],
    ["with redacted paths that are none", (m) => (m.redacted = [1])],
    ["without segments", (m) => delete (m as { segments?: unknown }).segments],
    ["with segments that are no list", (m) => (m.segments = {} as never)],
    ["with a segment that is none", (m) => (m.segments[0] = null as never)],
    ["with a segment too few", (m) => ((m.document_count = 4), m.segments.pop())],
    ["with a file that is not there", (m) => (m.segments[0]!.files.tombstones = "text/none")],
    ["with a file that nobody names", (m) => delete m.segments[0]!.files.vector],
    ["with a file of two segments", (m) => (m.segments[0]!.files.documents = "text/1-b.documents")],
    ["with a file that is two of a segment", (m) => (m.segments[0]!.files.tombstones = "text/0-a.text")],
    ["with names that are one after case folding", (m) => (m.segments[0]!.files.documents = "text/0-A.text")],
    ["with a vector file in text/", (m) => (m.segments[0]!.files.vector = "text/0-a.vector")],
    ["with a name that leads out", (m) => (m.segments[0]!.files.text = "text/../../a")],
    ["with a name that is an own file", (m) => (m.segments[0]!.files.text = "schema.yaml")],
    ["without a text file", (m) => delete m.segments[0]!.files.text],
    ["with a name that is null", (m) => (m.segments[1]!.files.vector = null)],
  ]
  test.each(lies)("%s is CORRUPT", async (_what, change) => {
    const entries = forged((metadata) => void change(metadata as Metadata))
    await bad(entries, "CORRUPT")
    await bad(entries.toReversed(), "CORRUPT")
  })

  const texts: [what: string, change: (text: string) => string][] = [
    ["is no JSON", () => "{"],
    ["is no object", () => "[]"],
    ["is empty", () => ""],
    ["has a key twice", (text) => text.replace("{", '{"format_version":1,')],
    ["has a key of a segment twice", (text) => text.replace('"deleted":', '"documents": 4, "deleted":')],
    ["is nested deeply", (text) => text.replace("{", `{"deep":${"[".repeat(100_000)}${"]".repeat(100_000)},`)],
    ["has an infinite number", (text) => text.replace("{", '{"far":1e999,')],
    ["has a count of many digits", (text) => text.replace('"generation": 7', '"generation": 12345678901234567890')],
  ]
  test.each(texts)("that %s is CORRUPT", async (_what, change) => {
    await bad(withMetadata(change(decodeUtf8(entry("metadata.json").body))), "CORRUPT")
  })
})

describe("a snapshot that is hostile", () => {
  const NAMES = [
    "../a",
    "text/../a",
    "text/..",
    "text/.",
    "/etc/passwd",
    "//a",
    "C:/a",
    "C:a",
    "text\\a",
    "text/a\\b",
    "text/a/b",
    "text//a",
    "text/",
    "text",
    "./../a",
    "././text/a",
    "other/a",
    "a",
    "text/ä",
    "text/a b",
    "text/a\n",
    " text/a",
    "TEXT/a",
    "graph/..",
    "metadata.json/",
    "METADATA.JSON",
    `text/${"n".repeat(95)}`,
  ]
  test.each(NAMES)("with the name %j is refused, in a header, a PAX header or GNU's long name", async (name) => {
    const body = encodeUtf8("x")
    const plain = {
      name: "x",
      body,
      header: [
        [0, new Uint8Array(100)],
        [0, name],
      ],
    } satisfies RawEntry
    if (encodeUtf8(name).length <= 99) await bad([...ENTRIES.slice(0, 3), plain], "INVALID_FORMAT")
    await bad([...ENTRIES.slice(0, 3), paxHeader({ path: name }), { name: "text/fine", body }], "INVALID_FORMAT")
    await bad([...ENTRIES.slice(0, 3), gnuLongName(name), { name: "text/fine", body }], "INVALID_FORMAT")
  })

  test("with a NUL in a PAX path is refused", async () => {
    await bad([paxHeader({ path: "text/a\0.text" }), { name: "text/fine", body: encodeUtf8("x") }], "INVALID_FORMAT")
  })

  test("with folders of other names is refused", async () => {
    for (const name of ["../", "other/", "/", "text/a/", "./text/../", "metadata.json/"]) {
      await bad([{ name, body: new Uint8Array(0), header: [[156, "5"]] }, ...ENTRIES], "INVALID_FORMAT")
    }
  })

  test("with a link for a file is refused", async () => {
    for (const type of ["1", "2"]) {
      const link = {
        ...entry("text/1-b.text"),
        header: [
          [156, type],
          [157, "/etc/passwd"],
        ],
      } satisfies RawEntry
      await bad(ENTRIES.with(4, link), "INVALID_FORMAT")
    }
  })

  test("with a graph that no segment has is CORRUPT", async () => {
    await bad(
      [...ENTRIES.slice(0, 2), { name: "graph/a", body: encodeUtf8("x") }, ...ENTRIES.slice(2)],
      "CORRUPT",
      "graph/a",
    )
  })

  test("of a million entries is refused at the limit, whether files or folders", async () => {
    for (const type of ["0", "5"]) {
      let given = 0
      const million = async function* (): AsyncGenerator<Uint8Array> {
        for (; given < 1_000_000; given++) {
          const name = type === "5" ? "text/" : `text/${given}`
          yield rawEntry({ name, body: new Uint8Array(0), header: [[156, type]] })
        }
        yield TAR_END
      }
      assert.equal((await refusal(read(million()))).code, "LIMIT_EXCEEDED")
      assert.equal(given, SNAPSHOT_ENTRIES_MAX)
    }
  })

  test("never has more staged than its size_bytes, or the free space, allows", async () => {
    const huge = tarHeader("text/0-a.text", 2 ** 32)
    const stagedOf = async (tar: AsyncIterable<Uint8Array>, collectionBytesMax?: number) => {
      let staged = 0
      const limit = collectionBytesMax === undefined ? {} : { collectionBytesMax }
      const run = async (): Promise<void> => {
        await using reader = await SnapshotReader.open(tar, { createSha256, ...limit })
        for await (const { body } of reader) for await (const bytes of body) staged += bytes.length
      }
      return { code: (await refusal(run())).code, staged }
    }
    const first = concatBytes(ENTRIES.slice(0, 2).map(rawEntry))
    assert.deepEqual(await stagedOf(sliced(concatBytes([first, huge]))), { code: "CORRUPT", staged: 0 })
    assert.deepEqual(await stagedOf(sliced(huge), 2 ** 32 - 1), { code: "DISK_FULL", staged: 0 })
    assert.deepEqual(await stagedOf(sliced(TAR), MEASURE.sizeBytes - 1), { code: "DISK_FULL", staged: 0 })
    const foreign = rawTar(ENTRIES.toReversed())
    const enough = entry("vector/0-a.vector").body.length + 600
    const stopped = await stagedOf(sliced(foreign), enough)
    assert.equal(stopped.code, "DISK_FULL")
    assert.isAtMost(stopped.staged, enough)
    assertSame(await read(sliced(TAR), { collectionBytesMax: MEASURE.sizeBytes }))
    assertSame(await read(sliced(foreign), { collectionBytesMax: MEASURE.sizeBytes }))
  })

  test("with small files that are large is refused before they are read", async () => {
    for (const name of ["metadata.json", "schema.yaml", "MANIFEST.sha256"]) {
      assert.equal((await refusal(read(sliced(tarHeader(name, 4 * 1024 * 1024 + 1))))).code, "LIMIT_EXCEEDED")
    }
  })

  test("with metadata that is no UTF-8 is CORRUPT", async () => {
    await bad(withBody("metadata.json", Uint8Array.of(0x7b, 0xff, 0x7d)), "CORRUPT", "metadata.json")
  })

  test("with a schema that is no UTF-8 is CORRUPT", async () => {
    const schema = Uint8Array.of(0xff, 0xfe)
    const others = ENTRIES.slice(2, -1)
    const lines = [{ name: "schema.yaml", body: schema }, ...others].map(
      ({ name, body }) => `${sha256(body)}  ${name}\n`,
    )
    const manifest = encodeUtf8(`${"0".repeat(64)}  metadata.json\n${lines.join("")}`)
    const entries = withBody("MANIFEST.sha256", manifest, withBody("schema.yaml", schema))
    const fitting = forged((metadata) => {
      metadata.checksum = sha256(encodeUtf8(lines.join("")))
      metadata.size_bytes = MEASURE.sizeBytes - entry("schema.yaml").body.length + 2
    }, entries)
    await bad(fitting, "CORRUPT", "schema.yaml")
  })

  test("that is no snapshot is refused as it is", async () => {
    await bad([], "CORRUPT", "metadata.json")
    await bad([{ name: "README.md", body: encodeUtf8("# hello") }], "INVALID_FORMAT", "README.md")
  })
})

describe("the table of entries", () => {
  test("is read from headers alone", async () => {
    let bytesRead = 0
    const file = randomAccess(TAR)
    const table = await readEntryTable({
      size: file.size,
      read: (offset, length) => {
        bytesRead += length
        return file.read(offset, length)
      },
    })
    assert.equal(bytesRead, ENTRIES.length * 512 + 1024)
    assert.deepEqual(
      table.map(({ name }) => name),
      ENTRIES.map(({ name }) => name),
    )
    for (const { name, offset, size } of table) {
      assert.isTrue(equalBytes(TAR.subarray(offset, offset + size), entry(name).body), name)
    }
  })

  test("has the rules of the reader", async () => {
    const x = encodeUtf8("x")
    const code = async (tar: Uint8Array): Promise<string> => (await refusal(readEntryTable(randomAccess(tar)))).code
    assert.equal(await code(rawTar([{ name: "../a", body: x }])), "INVALID_FORMAT")
    assert.equal(await code(rawTar([ENTRIES[2]!, { name: "./text/0-A.text", body: x }])), "INVALID_FORMAT")
    assert.equal(await code(TAR.subarray(0, -1024)), "TRUNCATED")
    const names = await readEntryTable(randomAccess(rawTar([paxHeader({ path: "./text/a" }), { name: "x", body: x }])))
    assert.deepEqual(names, [{ name: "text/a", offset: 512 + 512 + 512, size: 1 }])
  })
})
