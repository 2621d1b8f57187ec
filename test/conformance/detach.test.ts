import { describe, expect, test } from "vitest"
import type { ExportReport } from "../../src/collection/archive/options.ts"
import type { Collection } from "../../src/collection/collection.ts"
import { Prism } from "../../src/collection/prism.ts"
import { PrismError } from "../../src/index.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { contentOf, documentsOf, fillSmall, openPrism } from "../support/archives.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime, system, temporaryFolder } from "../support/runtime.ts"
import { collectSink, streamOf } from "../support/streams.ts"

/** Where a Prism is opened again and again. */
interface Place extends AsyncDisposable {
  open(readOnly?: boolean): Promise<Prism>
  storage(): Promise<Storage>
}

const PLACES: Record<string, () => Promise<Place>> = {
  memory: async () => {
    const storage = new LastingStorage()
    return {
      storage: async () => storage,
      open: (readOnly = false) => Prism.openStorage(storage, runtime, { readOnly }),
      [Symbol.asyncDispose]: async () => {},
    }
  },
  "local files": async () => {
    const folder = await temporaryFolder()
    const storage = (readOnly = false) => runtime.openStorage(folder.path, { create: true, readOnly })
    return {
      storage,
      open: async (readOnly = false) => await Prism.openStorage(await storage(readOnly), runtime, { readOnly }),
      [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
    }
  },
}

/** Keeps the archives that are written, and lets a test do something while one is. */
class Shelf {
  bytes: Uint8Array = new Uint8Array(0)
  meanwhile: (collection: Collection) => Promise<void> = async () => {}

  readonly write = async (collection: Collection): Promise<ExportReport> => {
    const sink = collectSink({ afterFirstChunk: () => this.meanwhile(collection) })
    const report = await collection.export(sink.stream, { format: "snapshot" })
    this.bytes = sink.bytes()
    return report
  }
}

describe.each(Object.entries(PLACES))("in %s", (_, makePlace) => {
  test("a detached collection is gone from service and kept, over a restart, until it is attached again", async () => {
    await using place = await makePlace()
    let prism = await place.open()
    const content = await contentOf(await fillSmall(prism))
    await (await prism.collection("c")).add({ id: "in the log", fields: {} })
    await (await prism.collection("c")).delete("in the log")
    const shelf = new Shelf()
    const report = await prism.detach("c", { write: shelf.write, archivePath: "/backups/c.tar.zst" })
    expect(report).toMatchObject({ collection: "c", data_deleted: false, copy: "c", archive: { document_count: 5 } })
    const kept = {
      name: "c",
      copy: "c",
      document_count: 5,
      archive: { path: "/backups/c.tar.zst", file_sha256: report.archive.file_sha256 },
    }
    const expectDetached = async () => {
      expect(await prism.collectionNames()).toEqual([])
      const listed = await prism.listDetached()
      expect(listed).toMatchObject([kept])
      expect(listed[0]!.size_bytes).toBeGreaterThan(1000)
      expect(Math.abs(Date.now() - Date.parse(listed[0]!.detached_at!))).toBeLessThan(3_600_000)
      const error = await refusal(prism.collection("c"))
      expect(error.code).toBe("COLLECTION_NOT_FOUND")
      expect(error.hint).toMatch(/was detached/)
    }
    await expectDetached()
    await prism.close()
    prism = await place.open()
    await expectDetached()
    await using reader = await place.open(true)
    expect(await reader.listDetached()).toMatchObject([kept])
    expect(await refusalCode(reader.reattach("c"))).toBe("READ_ONLY")

    const back = await prism.reattach("c")
    expect(await contentOf(back)).toBe(content)
    expect(await prism.listDetached()).toEqual([])
    await back.add({ id: "after", fields: { words: "after" } })
    await prism.close()
    prism = await place.open()
    expect((await (await prism.collection("c")).stats()).document_count).toBe(6)
    const storage = await place.storage()
    expect((await storage.list("collections/c")).map(({ name }) => name)).not.toContain("DETACHED")
    expect(await storage.list("detached")).toEqual([])
    await prism.close()
  })

  test("with its data deleted nothing is left but the archive, which brings it back under its name or another", async () => {
    await using place = await makePlace()
    await using prism = await place.open()
    const content = await contentOf(await fillSmall(prism))
    const shelf = new Shelf()
    const report = await prism.detach("c", { write: shelf.write, deleteData: true })
    expect(report).toMatchObject({ collection: "c", data_deleted: true })
    expect(report.copy).toBe(undefined)
    const storage = await place.storage()
    for (const folder of ["collections", "detached", "trash", "staging"]) expect(await storage.list(folder)).toEqual([])
    expect(await prism.listDetached()).toEqual([])
    const attached = await prism.attach(streamOf(shelf.bytes))
    expect(attached).toMatchObject({ collection: "c", documents_imported: 5, copies_removed: [] })
    expect(await contentOf(await prism.collection("c"))).toBe(content)
    expect(await refusalCode(prism.attach(streamOf(shelf.bytes)))).toBe("COLLECTION_EXISTS")
    await prism.attach(streamOf(shelf.bytes), { target: "other" })
    expect(await prism.collectionNames()).toEqual(["c", "other"])
  })

  test("of several copies of one name an archive takes the place of the one that it was made of", async () => {
    await using place = await makePlace()
    await using prism = await place.open()
    const shelves: Shelf[] = []
    for (const mark of ["first", "second", "third"]) {
      await fillSmall(prism, mark)
      const shelf = new Shelf()
      shelves.push(shelf)
      await prism.detach("c", { write: shelf.write })
    }
    await fillSmall(prism, "live")
    const copies = async () => (await prism.listDetached()).map(({ copy }) => copy)
    expect(await copies()).toEqual(["c", "c.2", "c.3"])
    expect(await refusalCode(prism.reattach("c"))).toBe("COLLECTION_EXISTS")
    expect(await refusalCode(prism.attach(streamOf(shelves[1]!.bytes)))).toBe("COLLECTION_EXISTS")
    expect(await copies()).toEqual(["c", "c.2", "c.3"])
    // Under another name it is another collection.
    expect((await prism.attach(streamOf(shelves[1]!.bytes), { target: "d" })).copies_removed).toEqual([])
    await prism.deleteCollection("c")
    expect((await prism.attach(streamOf(shelves[1]!.bytes))).copies_removed).toEqual(["c.2"])
    expect(await copies()).toEqual(["c", "c.3"])
    expect(await contentOf(await prism.collection("c"))).toContain("second")
    await prism.deleteCollection("c")
    expect(await contentOf(await prism.reattach("c"))).toContain("third")
    expect(await copies()).toEqual(["c"])
    const again = new Shelf()
    expect((await prism.detach("c", { write: again.write })).copy).toBe("c.2")
    expect(await contentOf(await prism.reattach("c", { copy: "c" }))).toContain("first")
    await prism.deleteCollection("c")
    for (const wrong of ["c", "d", "c.3", "c.02", "..", "c/.."]) {
      expect(await refusalCode(prism.deleteDetached(wrong)), wrong).toBe("COLLECTION_NOT_FOUND")
      expect(await refusalCode(prism.reattach("c", { copy: wrong })), wrong).toBe("COLLECTION_NOT_FOUND")
    }
    expect((await refusal(prism.reattach("d1"))).hint).toBe("there are: c.2")
    await prism.deleteDetached("c.2")
    expect(await copies()).toEqual([])
    expect(await refusalCode(prism.reattach("c"))).toBe("COLLECTION_NOT_FOUND")
    expect(await (await place.storage()).list("trash")).toEqual([])
  })
})

describe("while its archive is written", () => {
  test("a collection is read and searched, takes no writes, and nobody waits", async () => {
    await using prism = await openPrism()
    const opened = await fillSmall(prism)
    const shelf = new Shelf()
    const archive = await archiveOf("c")
    let isAsked = false
    shelf.meanwhile = async (frozen) => {
      isAsked = true
      const collection = await prism.collection("c")
      expect(collection).toBe(opened)
      expect(collection).toBe(frozen)
      expect((await collection.search({ query: "common" })).total).toBe(5)
      expect(await collection.get("doc-1")).toBeDefined()
      expect((await prism.listCollections()).map(({ name }) => name)).toEqual(["c"])
      const error = await refusal(collection.add({ id: "a", fields: {} }))
      expect(error).toMatchObject({ code: "BUSY", place: "c" })
      expect(error.message).toBe('collection "c" is being detached')
      const refused: Record<string, Promise<unknown>> = {
        addChecked: collection.addChecked([]),
        delete: collection.delete("doc-1"),
        "delete collection": prism.deleteCollection("c"),
        detach: prism.detach("c", { write: new Shelf().write }),
        replace: prism.restore(streamOf(archive), { mode: "replace" }),
        merge: prism.restore(streamOf(archive), { mode: "merge" }),
      }
      for (const [what, call] of Object.entries(refused)) expect(await refusalCode(call), what).toBe("BUSY")
      expect(await refusalCode(prism.restore(streamOf(archive)))).toBe("COLLECTION_EXISTS")
      expect(await refusalCode(prism.attach(streamOf(archive)))).toBe("COLLECTION_EXISTS")
      expect(await refusalCode(prism.reattach("c"))).toBe("COLLECTION_EXISTS")
      const schema = { backends: { text: { fields: [{ name: "words", type: "text" }] } } } as const
      expect(await refusalCode(prism.createCollection("c", schema))).toBe("COLLECTION_EXISTS")
    }
    await prism.detach("c", { write: shelf.write })
    expect(isAsked).toBe(true)
    expect(opened.isClosed).toBe(true)
    expect(await refusalCode(opened.search({ query: "common" }))).toBe("CLOSED")
    expect(await refusalCode(opened.add({ id: "a", fields: {} }))).toBe("CLOSED")
    expect((await prism.restore(streamOf(shelf.bytes))).documents_imported).toBe(5)
  })

  test("what was begun before ends first, all of it, and is in the archive", async () => {
    await using prism = await openPrism()
    const collection = await fillSmall(prism)
    // More than are handed to the log at once.
    const many = Array.from({ length: 3000 }, (_, place) => ({ id: `new-${place}`, fields: { words: "new" } }))
    let isAdded = false
    const adding = collection.add(many).finally(() => {
      isAdded = true
    })
    const shelf = new Shelf()
    const write = async (frozen: Collection) => {
      expect(isAdded).toBe(true)
      return await shelf.write(frozen)
    }
    const [added, report] = await Promise.all([adding, prism.detach("c", { write })])
    expect(added.indexed).toBe(3000)
    expect(report.archive.document_count).toBe(3005)
    await prism.attach(streamOf(shelf.bytes))
    expect((await (await prism.collection("c")).search({ query: "words:new" })).total).toBe(3000)
  })

  test("a failure leaves it as it was: open, whole, and taking writes", async () => {
    await using prism = await openPrism()
    const collection = await fillSmall(prism)
    const before = await documentsOf(collection)
    const full = new PrismError("DISK_FULL", "no room for the archive")
    const failing = prism.detach("c", {
      write: async (frozen) => {
        const sink = new WritableStream<Uint8Array>({
          write() {
            throw full
          },
        })
        return await frozen.export(sink)
      },
    })
    expect(await refusal(failing)).toBe(full)
    expect(collection.isClosed).toBe(false)
    expect(await documentsOf(collection)).toEqual(before)
    expect((await collection.add({ id: "a", fields: {} })).indexed).toBe(1)
    expect(await prism.listDetached()).toEqual([])
    expect((await prism.detach("c", { write: new Shelf().write })).archive.document_count).toBe(6)
  })

  test.each([false, true])(
    "one that is closed, and written to by who opens it again, stays: delete %s",
    async (deleteData) => {
      await using prism = await openPrism()
      const collection = await fillSmall(prism)
      const shelf = new Shelf()
      shelf.meanwhile = async () => {
        await collection.close()
        await (await prism.collection("c")).add({ id: "late", fields: {} })
      }
      expect(await refusalCode(prism.detach("c", { write: shelf.write, deleteData }))).toBe("CLOSED")
      expect(await (await prism.collection("c")).get("late")).toBeDefined()
      expect((await prism.detach("c", { write: new Shelf().write })).archive.document_count).toBe(6)
    },
  )

  test("a replacement that was begun before is refused when it would take the place", async () => {
    const archive = await archiveOf("other")
    const storage = new LastingStorage()
    await using prism = await openPrism(storage)
    const content = await contentOf(await fillSmall(prism))
    let goOn = () => {}
    const halted = new Promise<void>((resolve) => {
      goOn = resolve
    })
    const parts = [archive.slice(0, -10), archive.slice(-10)]
    const source = new ReadableStream<Uint8Array>({
      async pull(controller) {
        if (parts.length === 1) await halted
        const part = parts.shift()
        if (part) controller.enqueue(part)
        else controller.close()
      },
    })
    const replacing = refusal(prism.restore(source, { mode: "replace" }))
    // Its header was read, and its name and schema found good.
    while ((await storage.list("staging")).length === 0) await new Promise((resolve) => void setTimeout(resolve))
    const shelf = new Shelf()
    shelf.meanwhile = async () => {
      goOn()
      expect((await replacing).code).toBe("BUSY")
    }
    await prism.detach("c", { write: shelf.write })
    expect(await contentOf(await prism.reattach("c"))).toBe(content)
    expect(await storage.list("staging")).toEqual([])
  })

  test("closing the Prism leaves it in service", async () => {
    const storage = new LastingStorage()
    const prism = await openPrism(storage)
    await fillSmall(prism)
    const shelf = new Shelf()
    shelf.meanwhile = () => prism.close()
    expect(await refusalCode(prism.detach("c", { write: shelf.write }))).toBe("CLOSED")
    await using again = await openPrism(storage)
    expect((await again.listCollections()).map(({ name, document_count }) => [name, document_count])).toEqual([
      ["c", 5],
    ])
    expect(await again.listDetached()).toEqual([])
  })
})

test("what is asked for wrongly is refused before anything is done", async () => {
  await using prism = await openPrism()
  await fillSmall(prism)
  const { write } = new Shelf()
  expect((await refusal(prism.detach("d", { write }))).hint).toBe("there are: c")
  expect(await refusalCode(prism.detach("../c", { write }))).toBe("INVALID_NAME")
  expect(await refusalCode(prism.reattach("c.2"))).toBe("INVALID_NAME")
  // @ts-expect-error: no such option.
  expect(await refusalCode(prism.detach("c", { write, delete: true }))).toBe("INVALID_REQUEST")
  // @ts-expect-error: part of an archive is no reason to let go of the whole.
  expect(await refusalCode(prism.attach(streamOf(new Uint8Array(0)), { ids: ["a"] }))).toBe("INVALID_REQUEST")
  expect(await prism.collectionNames()).toEqual(["c"])
})

test("a damaged copy stays where it is, and one without its record is told as such", async () => {
  await using folder = await temporaryFolder()
  await using prism = await Prism.openStorage(await runtime.openStorage(folder.path, { create: true }), runtime)
  await fillSmall(prism)
  await prism.detach("c", { write: new Shelf().write })
  const path = (name: string) => system.path(folder.path, "detached/c", name)
  const [manifest, record] = [await system.read(path("MANIFEST")), await system.read(path("DETACHED"))]
  await system.write(path("MANIFEST"), manifest.replace("schema", "scheme"))
  expect(await refusalCode(prism.reattach("c"))).toBe("CORRUPT")
  expect(await prism.listDetached()).toMatchObject([{ copy: "c", document_count: 5 }])
  expect(await prism.collectionNames()).toEqual([])
  await system.write(path("MANIFEST"), manifest)
  for (const text of [
    "",
    "null",
    record.slice(0, -9),
    record.replace("file_sha256", "sha"),
    record.replace('_count":5', '_count":"5"'),
  ]) {
    await system.write(path("DETACHED"), text)
    expect(await prism.listDetached(), text).toMatchObject([{ name: "c", copy: "c", error: { code: "CORRUPT" } }])
  }
  expect((await (await prism.reattach("c")).stats()).document_count).toBe(5)
})

async function archiveOf(mark: string): Promise<Uint8Array> {
  await using prism = await openPrism()
  const sink = collectSink()
  await (await fillSmall(prism, mark)).export(sink.stream)
  return sink.bytes()
}
