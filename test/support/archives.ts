// Archives of a small collection, what a restored one holds, and snapshots that somebody made by hand.
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../src/base/bytes.ts"
import type { ExportOptions } from "../../src/collection/archive/options.ts"
import type { Collection } from "../../src/collection/collection.ts"
import { Prism } from "../../src/collection/prism.ts"
import { compressSeekable, decompressSeekable } from "../../src/formats/seekable-zstd.ts"
import { readTar } from "../../src/formats/tar.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { LastingStorage } from "./lasting-storage.ts"
import { runtime } from "./runtime.ts"
import { type RawEntry, rawTar, sha256 } from "./snapshots.ts"
import { collectSink, lines } from "./streams.ts"

export const DIMENSION = 3

const SCHEMA = {
  backends: {
    text: {
      fields: [
        { name: "words", type: "text" },
        { name: "number", type: "i64" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: DIMENSION, distance: "euclidean" },
  },
} as const

export async function openPrism(storage: Storage = new LastingStorage()): Promise<Prism> {
  return await Prism.openStorage(storage, runtime)
}

/** Makes collection "c" of two sealed segments with as many documents each: the first with a deleted document, and so
 *  with tombstones, the second with one that has no vector. */
export async function fillSmall(prism: Prism, mark = "common"): Promise<Collection> {
  const collection = (await prism.createCollection("c", SCHEMA)) as unknown as Collection
  const document = (number: number) => ({
    id: `doc-${number}`,
    fields: { words: `word${number} ${mark}`, number },
    ...(number !== 4 && { vector: [number, number % 2, 1] }),
  })
  await collection.add([1, 2, 3].map(document))
  await collection.checkpoint()
  await collection.delete("doc-2")
  await collection.checkpoint()
  await collection.add([4, 5, 6].map(document))
  await collection.checkpoint()
  return collection
}

export async function exportBytes(collection: Collection, options: ExportOptions): Promise<Uint8Array> {
  const sink = collectSink()
  await collection.export(sink.stream, options)
  return sink.bytes()
}

/** The documents of a collection as lines of a portable archive. */
export async function documentsOf(collection: Collection): Promise<string[]> {
  return lines(await exportBytes(collection, { format: "portable" })).slice(1)
}

/** All that a user can get out of a collection that `fillSmall` made, or that claims to be one. */
export async function contentOf(collection: Collection): Promise<string> {
  const found: unknown[] = await documentsOf(collection)
  for (const request of SEARCHES) {
    const { total, results } = await collection.search({ limit: 20, ...request })
    found.push([total, results])
  }
  return JSON.stringify(found)
}

export const SEARCHES = [
  { query: "common" },
  { query: "words:word5" },
  { query: "number:[2 TO 5]" },
  { vector: [4, 0, 1] },
  { query: "common", vector: [1, 1, 1] },
]

/** Every file below a folder with its bytes: what must not change. */
export async function treeOf(storage: Storage, directory: string): Promise<string> {
  const found: string[] = []
  for (const { name, kind } of await storage.list(directory)) {
    const path = `${directory}/${name}`
    found.push(kind === "file" ? `${path} ${sha256(await storage.read(path))}` : await treeOf(storage, path))
  }
  return found.join("\n")
}

// --- snapshots made by hand ---

/** metadata.json as it stands in an archive. */
export interface Metadata extends Record<string, unknown> {
  collection: string
  document_count: number
  size_bytes: number
  segments: {
    documents: number
    deleted: number
    vectors: number
    level: number
    files: { text: string; documents: string; tombstones?: string; vector?: string }
  }[]
}

/** What a snapshot holds, to be changed. */
export interface OpenSnapshot {
  metadata: Metadata
  schema: string
  readonly files: Map<string, Uint8Array>
}

export async function openSnapshot(archive: Uint8Array): Promise<OpenSnapshot> {
  const entries = new Map<string, Uint8Array>()
  for await (const { name, body } of readTar(decompressSeekable(once(archive), runtime.zstd))) {
    const pieces: Uint8Array[] = []
    for await (const bytes of body) pieces.push(bytes.slice())
    entries.set(name, concatBytes(pieces))
  }
  const take = (name: string): string => {
    const text = decodeUtf8(entries.get(name) ?? new Uint8Array())
    entries.delete(name)
    return text
  }
  take("MANIFEST.sha256")
  return { metadata: JSON.parse(take("metadata.json")) as Metadata, schema: take("schema.yaml"), files: entries }
}

/** The snapshot of these parts, in which every hash, and `size_bytes` where it is not given, is as it has to be.
 *  `metadataText` may change metadata.json at the last moment. */
export async function packSnapshot(
  { metadata, schema, files }: OpenSnapshot,
  options: { sizeBytes?: number; metadataText?: (text: string) => string } = {},
): Promise<Uint8Array> {
  const summed: RawEntry[] = [
    { name: "schema.yaml", body: encodeUtf8(schema) },
    ...[...files].map(([name, body]) => ({ name, body })),
  ]
  const size_bytes = options.sizeBytes ?? summed.reduce((sum, { body }) => sum + body.length, 0)
  const checksum = sha256(encodeUtf8(manifestOf(summed)))
  const { metadataText = (text) => text } = options
  const first = {
    name: "metadata.json",
    body: encodeUtf8(metadataText(JSON.stringify({ ...metadata, size_bytes, checksum }))),
  }
  const manifest = { name: "MANIFEST.sha256", body: encodeUtf8(manifestOf([first, ...summed])) }
  return await compressed(rawTar([first, ...summed, manifest]))
}

function manifestOf(entries: readonly RawEntry[]): string {
  return entries.map(({ name, body }) => `${sha256(body)}  ${name}\n`).join("")
}

export async function compressed(tar: Uint8Array): Promise<Uint8Array> {
  const frames: Uint8Array[] = []
  const pieces = (async function* () {
    yield { bytes: tar, startsFrame: true }
  })()
  for await (const frame of compressSeekable(pieces, runtime.zstd)) frames.push(frame.slice())
  return concatBytes(frames)
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
