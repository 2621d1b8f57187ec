// Archives that ask for more than there is, or call things by names that mean something else: refused early, in bounded
// memory and time, with nothing written.
import { describe, expect, test } from "vitest"
import { concatBytes, encodeUtf8 } from "../../src/base/bytes.ts"
import type { ArchiveSource, RestoreOptions } from "../../src/collection/archive/options.ts"
import { encodeHeader, LINE_BYTES_MAX } from "../../src/formats/portable.ts"
import { TAR_END, tarHeader } from "../../src/formats/tar.ts"
import {
  exportBytes,
  fillSmall,
  type OpenSnapshot,
  openPrism,
  openSnapshot,
  packSnapshot,
  treeOf,
} from "../support/archives.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"
import { createSha256, rawTar, sha256 } from "../support/snapshots.ts"
import { lines, streamOf } from "../support/streams.ts"

const MIB = 1024 * 1024

const own = await (async (): Promise<OpenSnapshot> => {
  await using prism = await openPrism()
  return await openSnapshot(await exportBytes(await fillSmall(prism), { format: "snapshot" }))
})()

const copy = (): OpenSnapshot => ({ ...own, metadata: structuredClone(own.metadata), files: new Map(own.files) })

/** A disk with so much room, that counts what is written to it. */
class SmallStorage extends LastingStorage {
  created = 0
  readonly #free: number | undefined

  constructor(free?: number) {
    super()
    this.#free = free
  }

  override async freeBytes(): Promise<number | undefined> {
    return this.#free
  }

  override async create(path: string) {
    this.created++
    return await super.create(path)
  }
}

/** The code that a restore over a collection of the name is refused with, which stays as it was, and how many files it had
 *  begun to write. */
async function refused(source: ArchiveSource, options: RestoreOptions & { free?: number } = {}) {
  const { free, ...rest } = options
  const storage = new SmallStorage(free)
  await using prism = await openPrism(storage)
  await fillSmall(prism, "precious")
  const [before, created] = [await treeOf(storage, "collections"), storage.created]
  const { code } = await refusal(prism.restore(source, { mode: "replace", ...rest }))
  expect(await storage.list("staging")).toEqual([])
  expect(await treeOf(storage, "collections")).toBe(before)
  return { code, written: storage.created - created }
}

const portable = (documentLines: readonly string[], schema = own.schema, collection = "c"): Uint8Array => {
  const description = {
    collection,
    prismVersion: "0.0.1",
    exportedAt: "2026-11-22T10:00:00.000Z",
    backends: { text: true, vector: true, graph: false },
    schema,
  }
  const body = documentLines.map((line) => `${line}\n`).join("")
  const measure = {
    documentCount: documentLines.length,
    sizeBytes: encodeUtf8(body).length,
    checksum: sha256(encodeUtf8(documentLines.join(""))),
  }
  return encodeUtf8(`${encodeHeader(description, measure, createSha256)}\n${body}`)
}

/** Bytes that are made as they are asked for. */
function synthetic(head: Uint8Array, fill: Uint8Array, times: number, tail: Uint8Array = new Uint8Array()) {
  const counted = { pulled: 0 }
  let left = times + 2
  const stream = new ReadableStream<Uint8Array>(
    {
      pull(controller) {
        left--
        const bytes = left === times + 1 ? head : left > 0 ? fill : tail
        counted.pulled += bytes.length
        if (bytes.length > 0) controller.enqueue(bytes)
        if (left === 0) controller.close()
      },
    },
    { highWaterMark: 0 },
  )
  return { stream, counted }
}

describe("names and schemas", () => {
  test.each(["", ".", "..", "../x", "a/b", "a\\b", "/etc/x", "x\u0000", "C:x", "con ", "x".repeat(300)])(
    "of a collection that cannot be are refused before anything is written: %j",
    async (name) => {
      const snapshot = copy()
      snapshot.metadata.collection = name
      for (const archive of [await packSnapshot(snapshot), portable([], own.schema, name)]) {
        expect(await refused(bytesAccess(archive))).toEqual({ code: "INVALID_NAME", written: 0 })
      }
    },
  )

  const TOO_LONG = "of more than 1 MiB"
  const bomb = () => {
    const levels = Array.from({ length: 30 }, (_, level) => {
      const value =
        level === 0
          ? '"lol"'
          : Array(10)
              .fill(`*a${level - 1}`)
              .join(", ")
      return `a${level}: &a${level} [${value}]`
    })
    return `${own.schema}${levels.join("\n")}\n`
  }
  const schemas: Record<string, () => string> = {
    "that unfolds to 10^30 words": bomb,
    [TOO_LONG]: () => `${own.schema}# ${"x".repeat(2 * MIB)}\n`,
    "nested 10,000 deep": () => `${own.schema}deep: ${"[".repeat(10_000)}${"]".repeat(10_000)}\n`,
    "that is no schema": () => "- 1\n",
    "that is no YAML": () => "a: [\n",
    "with a field named __proto__ of another type": () =>
      own.schema.replace("fields:", "fields:\n      - {name: __proto__, type: [text]}"),
  }
  test.each(Object.entries(schemas))("of a schema %s is refused before anything is written", async (name, schema) => {
    const snapshot = { ...copy(), schema: schema() }
    for (const archive of [await packSnapshot(snapshot), portable([], snapshot.schema)]) {
      expect(await refused(bytesAccess(archive))).toEqual({
        code: name === TOO_LONG ? "LIMIT_EXCEEDED" : "INVALID_SCHEMA",
        written: 0,
      })
    }
  })

  test("that are __proto__ or constructor are names as others", async () => {
    const names = ["__proto__", "constructor", "prototype", "toString", "hasOwnProperty"]
    const documents = names.map((name) => `{"id":"${name}","fields":{"words":"common","${name}":{"${name}":1}}}`)
    const header = portable(documents)
    await using prism = await openPrism()
    await prism.restore(bytesAccess(header))
    const collection = await prism.collection("c")
    expect(lines(await exportBytes(collection, { format: "portable" })).slice(1)).toEqual(documents)
    for (const id of names) expect((await collection.search({ query: `_id:${id}` })).total).toBe(1)
    // As keys that nobody knows: a note, and nothing else.
    const archive = await packSnapshot(copy(), {
      metadataText: (text) =>
        text.replace("{", '{"__proto__":{"polluted":1},"constructor":{"prototype":{"polluted":1}},'),
    })
    const report = await prism.restore(bytesAccess(archive), { mode: "replace" })
    expect(report.warnings.join()).toContain("__proto__")
    expect(({} as Record<string, unknown>)["polluted"]).toBeUndefined()
  })
})

describe("depth", () => {
  const deep = `${"[".repeat(10_000)}${"]".repeat(10_000)}`

  test("of a document is bounded", async () => {
    const line = `{"id":"a","fields":{"words":${deep}}}`
    const { code } = await refused(bytesAccess(portable([line])))
    expect(["INVALID_FORMAT", "INVALID_DOCUMENT", "LIMIT_EXCEEDED"]).toContain(code)
    await using prism = await openPrism()
    expect(await refusalCode(prism.verify(bytesAccess(portable([line]))))).toBe(code)
  })

  test("of what an archive says of itself is bounded", async () => {
    const archive = await packSnapshot(copy(), { metadataText: (text) => text.replace("{", `{"deep":${deep},`) })
    expect(await refused(bytesAccess(archive))).toEqual({ code: "CORRUPT", written: 0 })
    const line = `{"format":"prism-portable-v1","deep":${deep},"metadata":{}}\n`
    expect(await refused(bytesAccess(encodeUtf8(line)))).toEqual({ code: "INVALID_FORMAT", written: 0 })
  })
})

describe("length", () => {
  const fill = new Uint8Array(MIB).fill(0x61)

  test("of a document and a node at their limits comes back, with the longest vector and the longest id", async () => {
    const id = "\u0001".repeat(512)
    const longest = "x".repeat(16 * MIB - '{"payload":""}'.length)
    const vector = new Float32Array(65_536).fill(-1.17549449e-38)
    await using prism = await openPrism()
    const backends = { vector: { embedding_field: "embedding", dimension: 65_536 }, graph: { edges: [] } }
    const source = await prism.createCollection("source", { backends })
    await source.add({ id, fields: { payload: longest }, vector })
    await source.graph.addNodes({ id, payload: longest })
    const more = `${longest}x`
    expect(await refusalCode(source.add({ id, fields: { payload: more } }))).toBe("LIMIT_EXCEEDED")
    expect(await refusalCode(source.graph.addNodes({ id, payload: more }))).toBe("LIMIT_EXCEEDED")
    const archive = await exportBytes(source, { format: "portable" })
    await prism.restore(streamOf(archive), { target: "copy" })
    const copy = await prism.collection("copy")
    expect((await copy.get(id))?.fields["payload"] === longest).toBe(true)
    expect((await copy.graph.node(id))?.payload === longest).toBe(true)
  })

  test("of a first line of 1 GiB is found after as much as a line may have", async () => {
    const { stream, counted } = synthetic(encodeUtf8('{"format":"prism-portable-v1","a":"'), fill, 1024)
    expect(await refused(stream)).toEqual({ code: "LIMIT_EXCEEDED", written: 0 })
    expect(counted.pulled).toBeLessThan(LINE_BYTES_MAX + 4 * MIB)
  })

  test("of a document of 1 GiB takes no memory beyond the limit of a line", async () => {
    const [head = ""] = lines(portable(['{"id":"a","fields":{}}']))
    const start = encodeUtf8(`${head}\n{"id":"b","fields":{"words":"`)
    const before = runtime.terminal.peakMemoryBytes()
    const { stream, counted } = synthetic(start, fill, 1024, encodeUtf8('"}}\n'))
    // It is read to its end: that the checksum is wrong is the better answer.
    expect((await refused(stream)).code).toBe("CHECKSUM_MISMATCH")
    expect(counted.pulled).toBeGreaterThan(1024 * MIB)
    const after = runtime.terminal.peakMemoryBytes()
    if (before !== undefined && after !== undefined) expect(after - before).toBeLessThan(200 * MIB)
  })

  test("that metadata.json claims is held against the room on the disk before anything is written", async () => {
    const archive = await packSnapshot(copy(), { sizeBytes: 2 ** 50 })
    expect(await refused(bytesAccess(archive), { free: 2 ** 40 })).toEqual({ code: "DISK_FULL", written: 0 })
    expect((await refused(bytesAccess(archive))).code).toBe("CORRUPT")
    const honest = await packSnapshot(copy())
    expect(await refused(bytesAccess(honest), { free: 1000 })).toEqual({ code: "DISK_FULL", written: 0 })
  })

  test("that is less than what follows ends a restore before more is written", async () => {
    const { code } = await refused(bytesAccess(await packSnapshot(copy(), { sizeBytes: 1000 })))
    expect(code).toBe("CORRUPT")
  })
})

describe("a bomb: 4 GiB of zeros in a few hundred KB", () => {
  const BOMB_BYTES = 4 * 1024 * MIB
  const NAME = "text/000001.idx"

  /** Frames of 4 MiB each, as an export writes them, behind whatever comes first in the tar. */
  async function bomb(before: Uint8Array): Promise<ArchiveSource> {
    const frame = await runtime.zstd.compress(new Uint8Array(4 * MIB))
    const head = await runtime.zstd.compress(concatBytes([before, tarHeader(NAME, BOMB_BYTES)]))
    const count = BOMB_BYTES / (4 * MIB)
    const archive = concatBytes([head, ...Array<Uint8Array>(count).fill(frame), await runtime.zstd.compress(TAR_END)])
    expect(archive.length).toBeLessThan(MIB)
    return bytesAccess(archive)
  }

  const entriesBefore = async (sizeBytes: number): Promise<Uint8Array> => {
    const { metadata, schema } = copy()
    const text = JSON.stringify({ ...metadata, size_bytes: sizeBytes, checksum: "0".repeat(64) })
    const tar = rawTar([
      { name: "metadata.json", body: encodeUtf8(text) },
      { name: "schema.yaml", body: encodeUtf8(schema) },
    ])
    return tar.subarray(0, tar.length - TAR_END.length)
  }

  test("that says what it holds needs the room for it", async () => {
    const archive = await bomb(await entriesBefore(BOMB_BYTES + 1000))
    expect(await refused(archive, { free: 1024 * MIB })).toEqual({ code: "DISK_FULL", written: 0 })
  })

  test("that says less than it holds is refused by its header", async () => {
    const archive = await bomb(await entriesBefore(MIB))
    expect(await refused(archive)).toEqual({ code: "CORRUPT", written: 0 })
    await using prism = await openPrism()
    expect(await refusalCode(prism.verify(archive))).toBe("CORRUPT")
  })

  test("that says nothing before its data needs the room too", async () => {
    const archive = await bomb(new Uint8Array())
    expect(await refused(archive, { free: 1024 * MIB })).toEqual({ code: "DISK_FULL", written: 0 })
  })
})
