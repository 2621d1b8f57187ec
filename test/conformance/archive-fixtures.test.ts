// Archives that earlier versions wrote, and this one: read for ever. Beside each lies the portable archive of the same
// documents, by the version that wrote it.
import { assert, expect, test } from "vitest"
import xxhash from "xxhash-wasm"
import { viewArchive } from "../../src/collection/archive/view-archive.ts"
import { Prism } from "../../src/collection/prism.ts"
import { parseKey } from "../../src/formats/key.ts"
import { decompressSeekable } from "../../src/formats/seekable-zstd.ts"
import { storeFrame } from "../../src/formats/zstd-frame.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import { refusal } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"
import { read, sampleFile, sliced, write } from "../support/snapshots.ts"
import { collectSink, lines, streamOf } from "../support/streams.ts"

async function fixture(name: string): Promise<Uint8Array> {
  const file = await runtime.files.open(`test/fixtures/${name}`)
  assert(file, "a fixture is a file")
  await using opened = file
  return await opened.read(0, opened.size)
}

test.each([
  { file: "snapshot-v1.tar.zst", twin: "snapshot-v1.prism.jsonl", isRebuilt: false },
  { file: "snapshot-v1.enc", twin: "snapshot-v1.prism.jsonl", isRebuilt: false },
  // Text and vector files of format 1.
  { file: "index-format-1.tar.zst", twin: "index-format-1.prism.jsonl", isRebuilt: true },
])("$file comes back", async ({ file, twin, isRebuilt }) => {
  const bytes = await fixture(file)
  const keys = [parseKey(new TextDecoder().decode(await fixture("encrypted.key")))]
  await using prism = await Prism.openStorage(new MemoryStorage(), runtime)
  expect((await prism.verify(streamOf(bytes), { keys })).collection).toBe("fixture")
  const { warnings, documents_imported } = await prism.restore(streamOf(bytes), { keys })
  expect(warnings.filter((text) => text.includes("indexed anew"))).toHaveLength(isRebuilt ? 1 : 0)
  const documents = lines(await fixture(twin)).slice(1)
  expect(documents_imported).toBe(documents.length)
  const collection = await prism.collection("fixture")
  const sink = collectSink()
  await collection.export(sink.stream)
  expect(lines(sink.bytes()).slice(1)).toEqual(documents)
  await collection.verify()
  expect((await collection.search({ query: "changed" })).results.map(({ id }) => id)).toEqual(["doc-3"])
  const nearest = await collection.search({ vector: [Math.sin(9), Math.cos(9), 1, 0.9, -9], limit: 1 })
  expect(nearest.results.map(({ id }) => id)).toEqual(["doc-9"])
})

test("files of an older version that hold other documents than the metadata says are refused", async () => {
  const tar = decompressSeekable(sliced(await fixture("index-format-1.tar.zst")), runtime.zstd)
  const { metadata, schema, contents } = await read(tar)
  const segments = metadata.segments.map((segment, place) =>
    place === 0 ? { ...segment, deleted: segment.deleted + 1 } : segment,
  )
  const description = { ...metadata, schema, segments, documentCount: metadata.documentCount - 1 }
  const files = [...contents].map(([name, bytes]) => sampleFile(name, bytes))
  const lying = await write({ description, files })
  const xxh = await xxhash()
  await using prism = await Prism.openStorage(new MemoryStorage(), runtime)
  const error = await refusal(prism.restore(streamOf(storeFrame(lying.tar, xxh.h64Raw(lying.tar)))))
  expect([error.code, await prism.collectionNames()]).toEqual(["CORRUPT", []])
})

test("an archive with index files of an older version says that a restore reads it", async () => {
  const bytes = await fixture("index-format-1.tar.zst")
  await using view = await viewArchive(bytesAccess(bytes), [], runtime)
  expect(view.documentCount).toBe(13)
  const error = await refusal(view.documents()[Symbol.asyncIterator]().next())
  expect([error.code, error.hint]).toEqual(["INCOMPATIBLE_VERSION", expect.stringContaining("restore it")])
})
