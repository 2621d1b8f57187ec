// Exports, scans and searches of a collection that is deleted, replaced or detached meanwhile.
import { expect, test } from "vitest"
import type { ExportOptions } from "../../src/collection/archive/options.ts"
import type { Collection } from "../../src/collection/collection.ts"
import { Prism } from "../../src/collection/prism.ts"
import { generateKey, type PrismError, parseKey } from "../../src/index.ts"
import { fillSmall, openPrism } from "../support/archives.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import { Random } from "../support/random.ts"
import { refusal } from "../support/refusal.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"
import { collectSink, streamOf } from "../support/streams.ts"

const keys = [parseKey(generateKey())]

const FORMATS: ExportOptions[] = [
  { format: "portable" },
  { format: "snapshot" },
  { encryption: { keys } },
  { encryption: { keys, version: 1 } },
]

const archive = await (async () => {
  await using prism = await openPrism()
  const sink = collectSink()
  await (await fillSmall(prism, "other")).export(sink.stream)
  return sink.bytes()
})()

const LEAVINGS: Record<string, (prism: Prism) => Promise<unknown>> = {
  deleted: (prism) => prism.deleteCollection("c"),
  replaced: (prism) => prism.restore(streamOf(archive), { mode: "replace" }),
  detached: (prism) => prism.detach("c", { write: (collection) => collection.export(collectSink().stream) }),
  "detached and deleted": (prism) =>
    prism.detach("c", { write: (collection) => collection.export(collectSink().stream), deleteData: true }),
}

/** What cannot be compressed. */
const random = new Random(1)
const noise = Array.from({ length: 200_000 }, () => random.bits().toString(16).padStart(8, "0")).join("")

/** With documents that are in the log alone: a snapshot seals them. `noiseLength`: of what cannot be compressed, in each. */
async function fill(prism: Prism, noiseLength = 0): Promise<Collection> {
  const collection = await fillSmall(prism)
  const documents = Array.from({ length: 200 }, (_, place) => {
    const from = place * noiseLength
    return { id: `log-${place}`, fields: { words: "common", noise: noise.slice(from, from + noiseLength) } }
  })
  await collection.add(documents)
  return collection
}

const DOCUMENTS = 205

test.each(Object.entries(LEAVINGS))("an export of one that is %s meanwhile is whole, or CLOSED", async (_, leave) => {
  await using folder = await temporaryFolder()
  await using prism = await Prism.openStorage(await runtime.openStorage(folder.path, { create: true }), runtime)
  let whole = 0
  for (const options of FORMATS) {
    // When it has begun to write; and before, where a snapshot is being sealed.
    for (const start of ["first chunk", "a little later"]) {
      // Then most of it is still to come.
      const collection = await fill(prism, start === "first chunk" ? 8_000 : 0)
      let leaving: Promise<unknown> | undefined
      const sink = collectSink({
        afterFirstChunk: async () => {
          if (start === "first chunk") leaving = leave(prism)
          await leaving
        },
      })
      const exporting = collection.export(sink.stream, options).catch((error: unknown) => error)
      if (start === "a little later") await collection.search({ query: "common" })
      if (start !== "first chunk") leaving = leave(prism)
      const result = await exporting
      await leaving
      const place = `${JSON.stringify(options.format ?? options.encryption?.version ?? 2)}, ${start}`
      if (result instanceof Error) {
        expect((result as PrismError).code, place).toBe("CLOSED")
        expect(sink.aborted(), place).toBe(true)
      } else {
        whole++
        const verified = await prism.verify(bytesAccess(sink.bytes()), { keys })
        expect(verified.document_count, place).toBe(DOCUMENTS)
      }
      // One that began to write before is not disturbed.
      if (start === "first chunk") expect(result, place).not.toBeInstanceOf(Error)
      if ((await prism.collectionNames()).length > 0) await prism.deleteCollection("c")
      for (const { copy } of await prism.listDetached()) await prism.deleteDetached(copy)
    }
  }
  expect(whole).toBeGreaterThanOrEqual(FORMATS.length)
})

test.each(Object.entries(LEAVINGS))("who reads one that is %s meanwhile reads it to its end", async (_, leave) => {
  await using folder = await temporaryFolder()
  await using prism = await Prism.openStorage(await runtime.openStorage(folder.path, { create: true }), runtime)
  const collection = await fill(prism)
  const reading = collection.documents()[Symbol.asyncIterator]()
  await reading.next()
  await leave(prism)
  let count = 1
  while (!(await reading.next()).done) count++
  expect(count).toBe(DOCUMENTS)
  expect((await refusal(collection.search({ query: "common" }))).code).toBe("CLOSED")
})
