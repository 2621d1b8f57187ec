// The snapshot archive: a collection's segment files leave as they are, and become a collection's again.

import { assert, PrismError } from "../../base/errors.ts"
import { VERSION } from "../../base/version.ts"
import { encrypt } from "../../formats/encrypted.ts"
import { encryptV1 } from "../../formats/encrypted-v1.ts"
import { InOrder } from "../../formats/in-order.ts"
import { compressSeekable } from "../../formats/seekable-zstd.ts"
import {
  measureSnapshot,
  type SnapshotMetadata,
  SnapshotReader,
  type SnapshotReport,
  type SnapshotSegment,
  writeSnapshot,
} from "../../formats/snapshot.ts"
import type { Codecs } from "../../runtime.ts"
import type { FileEntry, SegmentEntry } from "../../storage/manifest.ts"
import { joinPath } from "../../storage/path.ts"
import type { WritableFile } from "../../storage/storage.ts"
import { backendsOf } from "../backends.ts"
import type { CollectionContext } from "../context.ts"
import { foldersOf, Generations } from "../generations.ts"
import { parseSchema, renderSchema, type Schema } from "../schema.ts"
import { SEGMENT_FOLDERS, segmentPaths, segmentStem, tombstonesPath } from "../segment-files.ts"
import type { PinnedGeneration } from "../view.ts"
import type { OpenArchive } from "./open-archive.ts"
import type { ExportOptions, ExportReport, RestoreOptions, VerifyOptions, VerifyReport } from "./options.ts"
import { admit, type RestoredCollection, type RestoreHost, unknownKeyWarnings } from "./restore-host.ts"
import { sealView } from "./sealed-view.ts"
import { checkFormats, rebuildSegments, segmentFormats, unknownKind } from "./segment-formats.ts"

/** Of the files' bytes a snapshot takes at least this share, to refuse what cannot fit before it is written. Far below what
 *  data come to: Debian's packages with vectors .48, sparse vectors of 64 components .04. */
const SHARE_MIN = 0.02

/** A pinned moment as a snapshot, encrypted where keys are given. */
export async function* snapshotChunks(
  name: string,
  schema: Schema,
  view: PinnedGeneration,
  { encryption, signal, onProgress, onSize }: ExportOptions,
  context: Pick<CollectionContext, "storage" | "directory" | "codecs">,
): AsyncGenerator<Uint8Array, ExportReport> {
  const { codecs } = context
  const { segments, files } = await sealView(view, context, signal)
  const { yaml, redacted } = renderSchema(schema, { collection: name })
  const description = {
    collection: name,
    prismVersion: VERSION,
    exportedAt: view.manifest.committedAt,
    generation: view.manifest.generation,
    documentCount: view.documentCount,
    backends: backendsOf(schema),
    schema: yaml,
    redacted,
    segmentFormats: segmentFormats(schema),
    segments,
  }
  const { tarBytes: total, checksum } = measureSnapshot(description, files, codecs.createSha256)
  const bytesMin = Math.floor(files.reduce((sum, { length }) => sum + length, 0) * SHARE_MIN)
  await onSize?.(bytesMin, { document_count: view.documentCount, checksum })
  const pieces = async function* () {
    let done = 0
    for await (const piece of writeSnapshot(description, files, codecs.createSha256)) {
      signal?.throwIfAborted()
      yield piece
      done += piece.bytes.length
      onProgress?.({ stage: "writing", unit: "bytes", done, total })
    }
  }
  const sha256 = codecs.createSha256()
  let sizeBytes = 0
  for await (const bytes of encrypted(compressSeekable(pieces(), codecs.zstd), encryption, codecs)) {
    sha256.update(bytes)
    sizeBytes += bytes.length
    yield bytes
  }
  return {
    collection: name,
    format: encryption ? "encrypted" : "snapshot",
    document_count: view.documentCount,
    size_bytes: sizeBytes,
    checksum,
    file_sha256: sha256.digestHex(),
  }
}

function encrypted(
  bytes: AsyncIterable<Uint8Array>,
  encryption: ExportOptions["encryption"],
  { createGcm }: Codecs,
): AsyncIterable<Uint8Array> {
  if (!encryption) return bytes
  const { keys, version } = encryption
  if (version !== 1) return encrypt(bytes, keys)
  const [key] = keys
  if (keys.length !== 1 || key?.kind !== "raw") {
    throw new PrismError("INVALID_REQUEST", "version 1 of the encrypted format takes one key and no passphrase", {
      hint: "leave the version out: version 2 takes several of both",
    })
  }
  return encryptV1(bytes, key, createGcm)
}

/** Folder, in a staged collection's, where files lie under the names that the archive gives them. */
const INCOMING = "incoming"

/** Brings the segments of a snapshot into a staged collection, as they are. When this resolves, every file
 *  has the hash that the archive says, and a header that fits; what graph files say is looked at when they are read. */
export async function restoreSnapshot(
  archive: OpenArchive,
  options: RestoreOptions,
  host: RestoreHost,
): Promise<RestoredCollection> {
  const { storage, tenure, codecs } = host
  const { signal, onProgress } = options
  const free = await storage.freeBytes()
  await using reader = await SnapshotReader.open(archive.content, {
    createSha256: codecs.createSha256,
    ...(free !== undefined && { collectionBytesMax: free }),
  })
  // In an archive of ours both stand before the files: what cannot come in is refused before it is read.
  const { metadata, schema: schemaText } = reader
  if (metadata) checkFormats(metadata)
  if (metadata && schemaText !== undefined) {
    checkGraph(metadata, (await admit(host, options, { ...metadata, schema: schemaText })).schema)
  }
  const directory = host.stage()
  const incoming = joinPath(directory, INCOMING)
  for (const folder of SEGMENT_FOLDERS) await storage.makeDirectory(joinPath(incoming, folder))
  // The disk takes a file while the next one is decoded; one at a time, so that it keeps up.
  const syncing = new InOrder<void>(1)
  try {
    for await (const { name, body } of reader) {
      if (!SEGMENT_FOLDERS.some((folder) => name.startsWith(`${folder}/`)))
        throw unknownKind(name.slice(0, name.indexOf("/")))
      const file = await storage.create(joinPath(incoming, name))
      try {
        for await (const bytes of body) {
          await file.append(bytes)
          signal?.throwIfAborted()
          onProgress?.({ stage: "restoring", unit: "bytes", done: archive.bytesRead, total: archive.sizeBytes })
        }
      } catch (error) {
        await file.close().catch(() => {})
        throw error
      }
      if (syncing.isFull) await syncing.take()
      syncing.give(syncAndClose(file))
    }
    while (!syncing.isEmpty) await syncing.take()
  } finally {
    await syncing.settle()
  }
  const snapshot = reader.finish()
  const { name, schema } = await admit(host, options, { ...snapshot.metadata, schema: snapshot.schema })
  checkGraph(snapshot.metadata, schema)
  for (const folder of foldersOf(schema)) await storage.makeDirectory(joinPath(directory, folder))
  const entries: SegmentEntry[] = []
  for (const segment of snapshot.metadata.segments) {
    const id = entries.length + 1
    const paths = { ...segmentPaths(segmentStem(id, tenure)), tombstones: tombstonesPath(id, 0, tenure) }
    const entry = segmentEntry(id, segment, snapshot.files, (_, kind) => paths[kind])
    for (const kind of KINDS) {
      const [from, to] = [segment.files[kind], entry.files[kind]]
      if (from !== undefined && to) await storage.rename(joinPath(incoming, from), joinPath(directory, to.path))
    }
    entries.push(entry)
  }
  await storage.removeDirectory(incoming)
  for (const folder of foldersOf(schema)) await storage.syncDirectory(joinPath(directory, folder))
  const old = checkFormats(snapshot.metadata)
  const segments = old ? await rebuildSegments(entries, old, schema, directory, host, signal) : entries
  await Generations.create({ storage, directory, tenure, durable: false }, schema, segments)
  // Reads every header, and refuses what is not what the metadata says.
  const staged = await host.openStaged(name, directory)
  const files = [...snapshot.files.values()]
  return {
    staged,
    directory,
    report: {
      collection: name,
      format: archive.format,
      documents_imported: snapshot.metadata.documentCount,
      documents_skipped: 0,
      ids_missing: [],
      files_extracted: files.length,
      bytes_extracted: files.reduce((sum, { length }) => sum + length, 0),
      checksum: "verified",
      header: "verified",
      file_sha256: archive.fileSha256(),
      warnings: [
        ...unknownKeyWarnings(schema, snapshot.metadata.unknownKeys),
        ...(old ? ["the index files are of an older version: the documents were indexed anew"] : []),
      ],
    },
  }
}

/** CORRUPT where there are files of a graph that the collection has no place for. */
function checkGraph({ segments }: SnapshotMetadata, schema: Schema): void {
  if (schema.graph || segments.every(({ files }) => files.graph === undefined)) return
  throw new PrismError("CORRUPT", "the snapshot is damaged: it holds a graph, and its schema has none", {
    place: "schema.yaml",
    hint: "the file was damaged or changed after it was written: copy it again, or use another backup",
  })
}

async function syncAndClose(file: WritableFile): Promise<void> {
  await using open = file
  await open.sync()
}

/** Reads a whole snapshot without restoring it: every frame, entry and hash. Throws as a restore would, which
 *  opens the files as well. */
export async function verifySnapshot(
  archive: OpenArchive,
  { signal, onProgress }: VerifyOptions,
  { createSha256 }: Codecs,
): Promise<VerifyReport> {
  await using reader = await SnapshotReader.open(archive.content, { createSha256 })
  for await (const { body } of reader) {
    for await (const _ of body) {
      signal?.throwIfAborted()
      onProgress?.({ stage: "verifying", unit: "bytes", done: archive.bytesRead, total: archive.sizeBytes })
    }
  }
  const { metadata, schema } = reader.finish()
  checkFormats(metadata)
  checkGraph(metadata, parseSchema(schema, { from: "archive" }))
  return {
    format: archive.format,
    collection: metadata.collection,
    document_count: metadata.documentCount,
    checksum: "verified",
    header: "verified",
    size_bytes: archive.bytesRead,
    file_sha256: archive.fileSha256(),
  }
}

const KINDS = ["text", "documents", "vector", "tombstones", "graph"] as const

/** A segment as a manifest has it. `pathOf`: where the file lies, for the name that the archive gives it and its kind. */
export function segmentEntry(
  id: number,
  { documents, deleted, vectors, level, graph: graphCounts, files }: SnapshotSegment,
  found: SnapshotReport["files"],
  pathOf: (name: string, kind: keyof SegmentEntry["files"]) => string,
): SegmentEntry {
  const entry = (kind: keyof SegmentEntry["files"]): FileEntry | undefined => {
    const name = files[kind]
    const file = name === undefined ? undefined : found.get(name)
    return file && { path: pathOf(name as string, kind), ...file }
  }
  const [text, stored] = [entry("text"), entry("documents")]
  const [vector, tombstones, graph] = [entry("vector"), entry("tombstones"), entry("graph")]
  assert(text && stored, "a segment has an index and documents")
  return {
    ...{ id, documentCount: documents, deletedCount: deleted, vectorCount: vectors, level },
    ...(graphCounts && { graph: graphCounts }),
    files: {
      text,
      documents: stored,
      ...(vector && { vector }),
      ...(tombstones && { tombstones }),
      ...(graph && { graph }),
    },
  }
}
