import { afterEach, beforeEach, describe, expect, test, vi } from "vitest"
import type { Collection } from "../../src/collection/collection.ts"
import { Prism } from "../../src/collection/prism.ts"
import { type DocumentInput, PrismError, type SearchRequest } from "../../src/index.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { runtime } from "../support/runtime.ts"
import { collectSink, lines, streamOf } from "../support/streams.ts"

const SCHEMA = `
collection: goods
backends:
  text:
    fields:
      - { name: title, type: text }
      - { name: body, type: text }
      - { name: category, type: string }
      - { name: price, type: f64 }
      - { name: stock, type: i64 }
      - { name: added, type: date }
      - { name: sold_out, type: bool }
      - { name: note, type: text, stored: false }
  vector: { embedding_field: embedding, dimension: 4, distance: cosine }
`

const GOODS: DocumentInput[] = [
  {
    id: "keyboard",
    fields: {
      title: "Wireless keyboard",
      category: "desk",
      price: 49.5,
      stock: 3,
      added: "2026-01-02T03:04:05Z",
      sold_out: false,
    },
    vector: [1, 0, 0, 0],
  },
  {
    id: "mouse",
    fields: {
      title: "Wireless mouse",
      body: "A mouse for the desk",
      category: "desk",
      price: 19,
      stock: 0,
      added: "2026-05-01T00:00:00Z",
      sold_out: true,
    },
    vector: [0.9, 0.1, 0, 0],
  },
  {
    id: "lamp",
    fields: {
      title: "Desk lamp",
      body: "Light for long nights",
      category: "light",
      price: 30,
      stock: 9007199254740993n,
      note: "fragile",
    },
    vector: [0, 1, 0, 0],
  },
  { id: "chair", fields: { title: "Chair", tags: ["wood", "oak"], nested: { a: [1, { b: null }] } } },
]

let storage: LastingStorage
let prism: Prism
let goods: Collection

beforeEach(async () => {
  storage = new LastingStorage()
  prism = await Prism.openStorage(storage, runtime)
  goods = await prism.createCollection("goods", SCHEMA)
  await goods.add(GOODS)
})

afterEach(async () => {
  await prism.close()
})

const ids = async (request: SearchRequest, collection = goods) =>
  (await collection.search(request)).results.map(({ id }) => id)

async function refusal(promise: Promise<unknown>): Promise<PrismError> {
  try {
    await promise
  } catch (error) {
    if (error instanceof PrismError) return error
    throw error
  }
  throw new Error("not refused")
}

async function exported(collection: Collection): Promise<Uint8Array> {
  const sink = collectSink()
  await collection.export(sink.stream)
  return sink.bytes()
}

describe("documents", () => {
  test("come back whole, exact integers, nested values and vectors included", async () => {
    expect(await goods.get("lamp")).toEqual({
      id: "lamp",
      fields: {
        title: "Desk lamp",
        body: "Light for long nights",
        category: "light",
        price: 30,
        stock: 9007199254740993n,
        note: "fragile",
      },
      vector: Float32Array.of(0, 1, 0, 0),
    })
    expect((await goods.get("chair"))?.fields).toEqual({
      title: "Chair",
      tags: ["wood", "oak"],
      nested: { a: [1, { b: null }] },
    })
    expect(await goods.get("missing")).toBeUndefined()
  })

  test("a document added again replaces the old one at once, in every index", async () => {
    await goods.add({ id: "mouse", fields: { title: "Trackball", category: "desk" }, vector: [0, 0, 1, 0] })
    expect(await ids({ query: "mouse" })).toEqual([])
    expect(await ids({ query: "trackball" })).toEqual(["mouse"])
    expect(await ids({ vector: [0, 0, 1, 0], limit: 1 })).toEqual(["mouse"])
    expect(await ids({ filter: "price:19" })).toEqual([])
    expect((await goods.stats()).document_count).toBe(4)
  })

  test("a deleted document is gone from get, search, count and export", async () => {
    expect(await goods.delete(["mouse", "missing"])).toBe(1)
    expect(await goods.get("mouse")).toBeUndefined()
    expect(await ids({ query: "wireless" })).toEqual(["keyboard"])
    expect(await ids({ vector: [0.9, 0.1, 0, 0], limit: 4 })).toEqual(["keyboard", "lamp"])
    expect((await goods.stats()).document_count).toBe(3)
    expect(new TextDecoder().decode(await exported(goods))).not.toContain('"mouse"')
  })

  test("a bad document is refused by itself, with its reason; the others are added", async () => {
    const error = await refusal(
      goods.add([
        { id: "good", fields: { title: "good" } },
        { id: "wrong-type", fields: { price: "cheap" } },
        { id: "wrong-dimension", fields: {}, vector: [1, 2] },
        { id: "not-a-number", fields: { price: Number.NaN } },
        { id: "good", fields: { title: "twice" } },
        { id: "x".repeat(10_000), fields: {} },
      ]),
    )
    expect(error.problems.map(({ code }) => code)).toEqual([
      "INVALID_DOCUMENT",
      "DIMENSION_MISMATCH",
      "INVALID_DOCUMENT",
      "DUPLICATE_ID",
      "LIMIT_EXCEEDED",
    ])
    expect(error.hint).toContain("1")
    expect((await goods.get("good"))?.fields).toEqual({ title: "good" })
    expect((await goods.stats()).document_count).toBe(5)
  })
})

describe("search", () => {
  test("text: words, phrases, AND, OR, NOT, fields", async () => {
    expect(new Set(await ids({ query: "wireless" }))).toEqual(new Set(["keyboard", "mouse"]))
    expect(await ids({ query: '"desk lamp"' })).toEqual(["lamp"])
    expect(await ids({ query: "wireless AND desk" })).toEqual(["mouse"])
    expect(await ids({ query: "wireless NOT mouse" })).toEqual(["keyboard"])
    expect(await ids({ query: "body:desk" })).toEqual(["mouse"])
    expect(await ids({ query: "desk", fields: ["title"] })).toEqual(["lamp"])
    expect((await goods.search({ query: "wireless", limit: 1 })).total).toBe(2)
  })

  test("vectors: best first, and the score is the cosine", async () => {
    const { results, total } = await goods.search({ vector: [1, 0, 0, 0] })
    expect(results.map(({ id }) => id)).toEqual(["keyboard", "mouse", "lamp"])
    expect(results[1]?.score).toBeCloseTo(0.9 / Math.hypot(0.9, 0.1), 6)
    expect(total).toBe(3)
  })

  test("hybrid: both fusions put first what both sides find", async () => {
    for (const merge_strategy of ["weighted", "rrf"] as const) {
      const { results } = await goods.search({ query: "mouse", vector: [0.9, 0.1, 0, 0], merge_strategy })
      expect(results[0]?.id).toBe("mouse")
      expect(results.length).toBe(3)
    }
  })

  test("weights of 1 and 0 rank as one side alone", async () => {
    const vector = [0, 1, 0, 0]
    expect((await ids({ query: "wireless", vector, text_weight: 0, vector_weight: 1 }))[0]).toBe("lamp")
    expect(await ids({ query: "wireless", vector, text_weight: 1, vector_weight: 0, limit: 2 })).toEqual(
      await ids({ query: "wireless", limit: 2 }),
    )
  })

  test("filters on string, number, date and bool fields", async () => {
    expect(await ids({ filter: "category:light" })).toEqual(["lamp"])
    expect(await ids({ filter: "price:[19 TO 30]" })).toEqual(["mouse", "lamp"])
    expect(await ids({ filter: "price:{19 TO 30]" })).toEqual(["lamp"])
    expect(await ids({ filter: "stock:9007199254740993" })).toEqual(["lamp"])
    expect(await ids({ filter: "stock:9007199254740992" })).toEqual([])
    expect(await ids({ filter: "added:[2026-02-01T00:00:00Z TO *]" })).toEqual(["mouse"])
    expect(await ids({ filter: "sold_out:true" })).toEqual(["mouse"])
    expect(await ids({ query: "wireless", filter: "sold_out:false" })).toEqual(["keyboard"])
    expect(await ids({ vector: [1, 0, 0, 0], filter: "category:light" })).toEqual(["lamp"])
  })

  test("pages follow each other", async () => {
    const all = await ids({ query: "wireless desk", limit: 10 })
    expect([
      ...(await ids({ query: "wireless desk", limit: 2 })),
      ...(await ids({ query: "wireless desk", limit: 2, offset: 2 })),
    ]).toEqual(all)
  })

  test("a field that is not stored is searched, exported, and not shown", async () => {
    const { results } = await goods.search({ query: "note:fragile" })
    expect(results[0]?.id).toBe("lamp")
    expect(results[0]?.fields).not.toHaveProperty("note")
    expect(new TextDecoder().decode(await exported(goods))).toContain("fragile")
  })

  test("a bad request names the key or the column", async () => {
    expect((await refusal(goods.search("mouse" as never))).hint).toContain("query")
    expect((await refusal(goods.search({ limit: -1 }))).place).toBe("limit")
    expect((await refusal(goods.search({ qurey: "x" } as SearchRequest))).hint).toContain('"query"')
    expect((await refusal(goods.search({ vector: [1, 2] }))).code).toBe("DIMENSION_MISMATCH")
    expect((await refusal(goods.search({ query: "(open" }))).code).toBe("INVALID_QUERY")
    expect((await refusal(goods.search({ query: "prize:3" }))).hint).toContain("price")
  })
})

describe("segments", () => {
  test("the same documents answer the same from memory, from one segment and from several", async () => {
    const requests: SearchRequest[] = [
      { query: "wireless desk" },
      { vector: [0.5, 0.5, 0, 0] },
      { query: "desk", vector: [1, 0, 0, 0] },
      { filter: "price:[0 TO 100]" },
    ]
    const answers = async () =>
      await Promise.all(requests.map(async (request) => (await goods.search(request)).results))
    const inMemory = await answers()
    await goods.checkpoint()
    expect(await answers()).toEqual(inMemory)

    const split = await prism.createCollection("split", SCHEMA)
    for (const document of GOODS) {
      await split.add(document)
      await split.checkpoint()
    }
    expect((await split.stats()).segment_count).toBe(4)
    goods = split
    expect(await answers()).toEqual(inMemory)
  })

  test("updates and deletes reach sealed segments, also over a reopening", async () => {
    await goods.checkpoint()
    await goods.delete("lamp")
    await goods.add({ id: "mouse", fields: { title: "Trackball" } })
    for (const reopen of [false, true]) {
      if (reopen) {
        await goods.checkpoint()
        await prism.close()
        prism = await Prism.openStorage(storage, runtime)
        goods = await prism.collection("goods")
      }
      expect(await goods.get("lamp")).toBeUndefined()
      expect(await ids({ query: "mouse" })).toEqual([])
      expect(await ids({ query: "trackball" })).toEqual(["mouse"])
      expect((await goods.stats()).document_count).toBe(3)
    }
  })

  test("an export holds exactly the documents of its beginning, whatever is written meanwhile", async () => {
    await goods.checkpoint()
    await goods.add({ id: "late", fields: { title: "In the log" } })
    const before = lines(await exported(goods)).slice(1)
    const sink = collectSink({
      afterFirstChunk: async () => {
        await goods.delete(["late", "keyboard"])
        await goods.add({ id: "later", fields: { title: "Later" } })
        await goods.checkpoint()
      },
    })
    await goods.export(sink.stream)
    expect(lines(sink.bytes()).slice(1)).toEqual(before)
  })
})

describe("archives", () => {
  test("a restored export is byte-identical from line 2 on and answers the same", async () => {
    const archive = await exported(goods)
    const report = await prism.restore(streamOf(archive), { target: "copy" })
    expect(report).toMatchObject({
      collection: "copy",
      documents_imported: 4,
      checksum: "verified",
      header: "verified",
    })
    const copy = await prism.collection("copy")
    expect(lines(await exported(copy)).slice(1)).toEqual(lines(archive).slice(1))
    for (const request of [
      { query: "wireless desk" },
      { vector: [1, 0, 0, 0] },
      { query: "desk", vector: [1, 0, 0, 0] },
    ]) {
      expect((await copy.search(request)).results).toEqual((await goods.search(request)).results)
    }
  })

  test("a restore onto an existing name is refused, replaces or merges, as asked", async () => {
    const archive = await exported(goods)
    expect((await refusal(prism.restore(streamOf(archive)))).code).toBe("COLLECTION_EXISTS")

    await goods.add([
      { id: "mouse", fields: { title: "Changed" } },
      { id: "new", fields: { title: "New" } },
    ])
    await prism.restore(streamOf(archive), { mode: "merge" })
    goods = await prism.collection("goods")
    expect((await goods.stats()).document_count).toBe(5)
    expect((await goods.get("mouse"))?.fields).toMatchObject({ title: "Wireless mouse" })
    expect(await ids({ query: "changed" })).toEqual([])
    expect(await ids({ query: "new" })).toEqual(["new"])

    await prism.restore(streamOf(archive), { mode: "replace" })
    goods = await prism.collection("goods")
    expect(lines(await exported(goods)).slice(1)).toEqual(lines(archive).slice(1))
  })

  test("a merge of another schema changes nothing", async () => {
    const other = await prism.createCollection("other", SCHEMA.replace("price, type: f64", "price, type: i64"))
    await other.add({ id: "keyboard", fields: { price: 1 } })
    const error = await refusal(prism.restore(streamOf(await exported(other)), { target: "goods", mode: "merge" }))
    expect(error.code).toBe("SCHEMA_CONFLICT")
    expect(error.message).toContain('"price"')
    expect((await goods.get("keyboard"))?.fields).toMatchObject({ price: 49.5 })
  })

  test("a refused archive leaves nothing behind", async () => {
    const archive = await exported(goods)
    const text = new TextDecoder().decode(archive)
    const refused: [string, string][] = [
      [text.replace("Desk lamp", "Dusk lamp"), "CHECKSUM_MISMATCH"],
      [text.slice(0, text.length / 2), "TRUNCATED"],
      [text.replace('"document_count":4', '"document_count":3'), "CHECKSUM_MISMATCH"],
      ["", "INVALID_FORMAT"],
      ["not an archive\n", "INVALID_FORMAT"],
    ]
    for (const [bytes, code] of refused) {
      const error = await refusal(prism.restore(streamOf(new TextEncoder().encode(bytes)), { target: "copy" }))
      expect(error.code === code || (code === "TRUNCATED" && error.code === "CHECKSUM_MISMATCH")).toBe(true)
      expect(error.hint).toBeTruthy()
    }
    expect(await prism.collectionNames()).toEqual(["goods"])
    expect(await storage.list("staging")).toEqual([])
  })

  test("bad lines are skipped on request, with number and reason", async () => {
    const archive = lines(await exported(goods))
    const header = (archive[0] as string)
      .replace(/"checksum":"[0-9a-f]{64}"/, '"checksum":null')
      .replace(/,"header_checksum":"[0-9a-f]{64}"/, "")
    const broken = [header, archive[1], '{"id":"broken"', archive[3], archive[1]].join("\n")
    const skipped: string[] = []
    const report = await prism.restore(streamOf(new TextEncoder().encode(broken)), {
      target: "copy",
      onBadLine: ({ place, code }) => {
        skipped.push(`${place} ${code}`)
      },
    })
    expect(skipped).toEqual(["line 3 INVALID_DOCUMENT", "line 5 DUPLICATE_ID"])
    expect(report).toMatchObject({ documents_imported: 2, documents_skipped: 2, checksum: "not verified" })
  })

  test("an aborted export leaves an aborted sink, an aborted restore nothing", async () => {
    const archive = await exported(goods)
    const sink = collectSink()
    await expect(goods.export(sink.stream, { signal: AbortSignal.abort() })).rejects.toThrow()
    expect(sink.aborted()).toBe(true)
    await expect(prism.restore(streamOf(archive), { target: "copy", signal: AbortSignal.abort() })).rejects.toThrow()
    expect(await prism.collectionNames()).toEqual(["goods"])
  })

  test("an abort ends a restore whose source has stalled, and cancels the source", async () => {
    const archive = await exported(goods)
    for (const length of [0, archive.length - 10]) {
      let cancelled: unknown
      const stalled = new ReadableStream<Uint8Array>({
        start: (controller) => {
          if (length > 0) controller.enqueue(archive.slice(0, length))
        },
        cancel: (reason) => {
          cancelled = reason
        },
      })
      const controller = new AbortController()
      const restoring = prism.restore(stalled, { target: "copy", signal: controller.signal })
      // Where the source gave something, the restore waits for the rest with a collection staged.
      if (length > 0) await vi.waitUntil(async () => (await storage.list("staging")).length > 0)
      const reason = new Error("enough")
      controller.abort(reason)
      await expect(restoring).rejects.toBe(reason)
      expect(cancelled).toBe(reason)
    }
    expect(await prism.collectionNames()).toEqual(["goods"])
    expect(await storage.list("staging")).toEqual([])
  })

  test("verify tells what a restore would say", async () => {
    const archive = await exported(goods)
    expect(await prism.verify(streamOf(archive))).toMatchObject({
      collection: "goods",
      document_count: 4,
      checksum: "verified",
    })
    archive[archive.length - 20] = (archive[archive.length - 20] as number) ^ 1
    expect((await refusal(prism.verify(streamOf(archive)))).message).toContain("Checksum verification failed")
  })
})

describe("collections", () => {
  test("names are checked, similar ones suggested", async () => {
    expect((await refusal(prism.createCollection("../x", SCHEMA))).code).toBe("INVALID_NAME")
    expect((await refusal(prism.createCollection("goods", SCHEMA))).code).toBe("COLLECTION_EXISTS")
    expect((await refusal(prism.collection("good"))).hint).toContain('"goods"')
    expect((await refusal(prism.deleteCollection("nope"))).code).toBe("COLLECTION_NOT_FOUND")
  })

  test("a refused schema leaves nothing", async () => {
    expect((await refusal(prism.createCollection("x", "backends: { txt: {} }"))).code).toBe("INVALID_SCHEMA")
    expect(await prism.collectionNames()).toEqual(["goods"])
    expect(await storage.list("staging")).toEqual([])
  })

  test("a deleted collection is gone, and its name is free", async () => {
    await prism.deleteCollection("goods")
    expect(await prism.collectionNames()).toEqual([])
    await prism.createCollection("goods", SCHEMA)
    goods = await prism.collection("goods")
    expect((await goods.stats()).document_count).toBe(0)
    expect(await storage.list("trash")).toEqual([])
  })

  test("the list tells counts, size and backends", async () => {
    expect(await prism.listCollections()).toEqual([
      {
        name: "goods",
        document_count: 4,
        size_bytes: expect.any(Number),
        backends: { text: true, vector: true, graph: false },
      },
    ])
  })
})

test("a collection that lost its manifest is damaged, not absent, and can be deleted", async () => {
  await prism.close()
  await storage.remove("collections/goods/MANIFEST")
  prism = await Prism.openStorage(storage, runtime)
  expect((await refusal(prism.collection("goods"))).code).toBe("CORRUPT")
  expect((await refusal(prism.createCollection("goods", SCHEMA))).code).toBe("COLLECTION_EXISTS")
  await prism.deleteCollection("goods")
  expect(await prism.collectionNames()).toEqual([])
})

test("long work lets timers run, so that an abort from one is heard", async () => {
  const many = await prism.createCollection("many", { backends: { text: { fields: [{ name: "t", type: "text" }] } } })
  await many.add(Array.from({ length: 20_000 }, (_, place) => ({ id: String(place), fields: { t: `word ${place}` } })))
  const archive = await exported(many)
  for (const work of [
    (signal: AbortSignal) => many.export(collectSink().stream, { signal }),
    async (signal: AbortSignal) => await prism.restore(streamOf(archive), { target: "copy", signal }),
    async (signal: AbortSignal) => await prism.verify(streamOf(archive), { signal }),
  ]) {
    const controller = new AbortController()
    setTimeout(() => controller.abort(new Error("enough")), 0)
    await expect(work(controller.signal)).rejects.toThrow("enough")
  }
  expect(await prism.collectionNames()).toEqual(["goods", "many"])
})

test("an id that is written again and again is found, and its versions are gone", async () => {
  for (let version = 0; version < 100; version++) {
    await goods.add({ id: "mouse", fields: { title: `version${version}` } })
    if (version % 7 === 0) expect(await goods.delete("mouse")).toBe(1)
  }
  expect((await goods.get("mouse"))?.fields).toEqual({ title: "version99" })
  expect(await ids({ query: "version98" })).toEqual([])
  expect((await goods.stats()).document_count).toBe(4)
})
