// The snapshot inside its compression: a tar of a collection's index files, which say what they are and whether they are
// whole (docs/formats/snapshot.md).
//
//   metadata.json      what the archive is, and the list of segments with the names of their files
//   schema.yaml
//   text/…             of one segment after the other: inverted index, stored documents, tombstones
//   vector/…           of one segment after the other
//   graph/…            of one segment after the other, where the collection has a graph
//   MANIFEST.sha256    "<64 hex>  <name>" LF for each of the above, as sha256sum writes and checks it
//
// Two keys of metadata.json tie it to the rest: `size_bytes`, the sum of all entries but itself and MANIFEST.sha256, and
// `checksum`, the SHA-256 of MANIFEST.sha256 without the line of metadata.json itself.
import { encodeUtf8, tryDecodeUtf8 } from "../base/bytes.ts"
import { assert, PrismError } from "../base/errors.ts"
import { type JsonObject, type JsonValue, jsonMembers, parseJson } from "../base/json.ts"
import { once } from "../base/streams.ts"
import type { RandomAccess, Sha256 } from "../runtime.ts"
import type { Backends } from "./portable.ts"
import {
  listTar,
  readTar,
  TAR_END,
  TAR_FILE_BYTES_MAX,
  type TarEntry,
  type TarHeader,
  tarEntryLength,
  tarHeader,
  tarPadding,
} from "./tar.ts"

const FORMAT_VERSION = 1
/** Of the metadata keys that the portable archive has too. */
const METADATA_VERSION = "1.0"

const METADATA = "metadata.json"
const SCHEMA = "schema.yaml"
const MANIFEST = "MANIFEST.sha256"

/** 3,276 segments of five files; a compacted collection has some tens. */
export const SNAPSHOT_ENTRIES_MAX = 16_384
/** Of each of the three files that are held in memory. As many names of 99 bytes as there may be take 2.7 MB in
 *  MANIFEST.sha256 and 2.8 MB in metadata.json; a schema has 1 MiB at most. JSON made to take much memory, 2 million keys
 *  in 16 MiB, took 550 MB and 5 s; in 4 MiB it is a quarter. */
const HELD_BYTES_MAX = 4 * 1024 * 1024

/** A document's number in a segment is a u32. */
const SEGMENT_DOCUMENTS_MAX = 2 ** 32 - 1

/** One segment: counts as in the collection's own manifest, and the names of its entries. */
export interface SnapshotSegment {
  /** All in its files, deleted ones too. */
  readonly documents: number
  readonly deleted: number
  /** Documents with a vector, deleted ones too. */
  readonly vectors: number
  readonly level: number
  readonly files: SegmentFiles
  /** What the graph file holds beside the edges of documents; with it alone. */
  readonly graph?: SnapshotGraphCounts
}

export interface SnapshotGraphCounts {
  readonly nodes: number
  readonly edges: number
  /** Nodes and edges of older segments that are deleted here. */
  readonly deletions: number
}

interface SegmentFiles {
  /** text/… */
  readonly text: string
  readonly documents: string
  readonly tombstones?: string
  /** vector/… */
  readonly vector?: string
  /** graph/… */
  readonly graph?: string
}

/** What a writer says about the collection. */
export interface SnapshotDescription {
  readonly collection: string
  readonly prismVersion: string
  /** RFC 3339: when the generation was committed, so that exporting it again gives the same bytes. */
  readonly exportedAt: string
  readonly generation: number
  /** Documents that are not deleted. */
  readonly documentCount: number
  readonly backends: Backends
  /** YAML, without credentials. */
  readonly schema: string
  /** Paths in the schema whose values were replaced by "***". */
  readonly redacted: readonly string[]
  /** Format version of each kind of segment file. */
  readonly segmentFormats: Readonly<Record<string, number>>
  /** Oldest first. */
  readonly segments: readonly SnapshotSegment[]
}

export interface SnapshotMeasure {
  readonly checksum: string
  /** Of schema.yaml and all segment files. */
  readonly sizeBytes: number
  /** Length of the whole tar. */
  readonly tarBytes: number
}

/** What metadata.json says. */
export interface SnapshotMetadata extends Omit<SnapshotDescription, "schema"> {
  readonly checksum: string
  readonly sizeBytes: number
  /** Keys that this version does not know, such as `segments[0].codec`. */
  readonly unknownKeys: readonly string[]
}

// --- writing ---

/** A file of a segment, all known of it before it is read. */
export interface SnapshotFile {
  /** Of its entry: text/…, vector/… or graph/… */
  readonly name: string
  readonly length: number
  /** Lowercase hex. */
  readonly sha256: string
  read(): AsyncIterable<Uint8Array>
}

export interface SnapshotPiece {
  readonly bytes: Uint8Array
  /** Whether a compressor begins a new frame here, so that this place can be read without what is before it. */
  readonly startsFrame: boolean
}

/** What writeSnapshot comes to, without reading a file. */
export function measureSnapshot(
  description: SnapshotDescription,
  files: readonly SnapshotFile[],
  createSha256: () => Sha256,
): SnapshotMeasure {
  return plan(description, files, createSha256).measure
}

/** The tar, in pieces as the files give them. Which order `files` have does not matter: the same generation gives the same
 *  bytes. LIMIT_EXCEEDED, before the first piece, for what a reader would refuse. A snapshot never says that it is whole
 *  when it is not: a file of another length or hash than it should have is CORRUPT, with its name as place. */
export async function* writeSnapshot(
  description: SnapshotDescription,
  files: readonly SnapshotFile[],
  createSha256: () => Sha256,
): AsyncGenerator<SnapshotPiece, SnapshotMeasure> {
  const { entries, measure } = plan(description, files, createSha256)
  for (const entry of entries) {
    yield { bytes: tarHeader(entry.name, entry.length), startsFrame: true }
    let startsFrame = true
    for await (const bytes of checked(entry, createSha256)) {
      yield { bytes, startsFrame }
      startsFrame = false
    }
    const padding = tarPadding(entry.length)
    if (padding.length > 0) yield { bytes: padding, startsFrame: false }
  }
  yield { bytes: TAR_END, startsFrame: true }
  return measure
}

/** All entries in their order. */
function plan(
  description: SnapshotDescription,
  files: readonly SnapshotFile[],
  createSha256: () => Sha256,
): { entries: SnapshotFile[]; measure: SnapshotMeasure } {
  const held = (name: string, text: string): SnapshotFile => {
    const bytes = encodeUtf8(text)
    if (bytes.length > HELD_BYTES_MAX) throw tooLarge(name, HELD_BYTES_MAX)
    return { name, length: bytes.length, sha256: hashOf(bytes, createSha256), read: () => once(bytes) }
  }
  const summed = [held(SCHEMA, description.schema), ...inOrder(description.segments, files)]
  const sizeBytes = summed.reduce((sum, { length }) => sum + length, 0)
  const checksum = hashOf(encodeUtf8(manifestOf(summed)), createSha256)
  const metadataText = encodeMetadata(description, checksum, sizeBytes)
  // Whatever an import would refuse, the export refuses first.
  parseMetadata(metadataText)
  const metadata = held(METADATA, metadataText)
  const entries = [metadata, ...summed, held(MANIFEST, manifestOf([metadata, ...summed]))]
  for (const { name, length } of entries) if (length > TAR_FILE_BYTES_MAX) throw tooLarge(name, TAR_FILE_BYTES_MAX)
  if (entries.length > SNAPSHOT_ENTRIES_MAX) throw tooManyEntries()
  const tarBytes = entries.reduce((sum, { length }) => sum + tarEntryLength(length), TAR_END.length)
  return { entries, measure: { checksum, sizeBytes, tarBytes } }
}

function inOrder(segments: readonly SnapshotSegment[], files: readonly SnapshotFile[]): SnapshotFile[] {
  const byName = new Map(files.map((file) => [file.name, file]))
  const names = namesOf(segments)
  assert(byName.size === files.length && byName.size === names.length, "the segments name the files of a snapshot")
  return names.map((name) => {
    const file = byName.get(name)
    assert(file !== undefined && isEntryName(name), `snapshot file ${name}`)
    return file
  })
}

/** Names of all segments' files in the order of their entries. */
function namesOf(segments: readonly SnapshotSegment[]): string[] {
  return [
    ...segments.flatMap(({ files: { text, documents, tombstones } }) => [text, documents, tombstones ?? []].flat()),
    ...segments.flatMap(({ files: { vector } }) => vector ?? []),
    ...segments.flatMap(({ files: { graph } }) => graph ?? []),
  ]
}

function manifestOf(files: readonly SnapshotFile[]): string {
  return files.map(({ name, sha256 }) => `${sha256}  ${name}\n`).join("")
}

function encodeMetadata(description: SnapshotDescription, checksum: string, sizeBytes: number): string {
  const { backends, redacted, segmentFormats, segments } = description
  const metadata = {
    format_version: FORMAT_VERSION,
    engine_version: description.prismVersion,
    version: METADATA_VERSION,
    collection: description.collection,
    prism_version: description.prismVersion,
    exported_at: description.exportedAt,
    generation: description.generation,
    document_count: description.documentCount,
    size_bytes: sizeBytes,
    checksum,
    backends: { text: backends.text, vector: backends.vector, graph: backends.graph },
    ...(redacted.length > 0 && { redacted }),
    segment_formats: Object.fromEntries(Object.entries(segmentFormats).sort(([a], [b]) => (a < b ? -1 : 1))),
    segments: segments.map(({ documents, deleted, vectors, level, graph, files }) => ({
      documents,
      deleted,
      vectors,
      level,
      ...(graph && { graph: { nodes: graph.nodes, edges: graph.edges, deletions: graph.deletions } }),
      files: {
        text: files.text,
        documents: files.documents,
        ...(files.tombstones !== undefined && { tombstones: files.tombstones }),
        ...(files.vector !== undefined && { vector: files.vector }),
        ...(files.graph !== undefined && { graph: files.graph }),
      },
    })),
  }
  return `${JSON.stringify(metadata, null, 2)}\n`
}

/** A file's bytes, as long as they are those that were announced. */
async function* checked(file: SnapshotFile, createSha256: () => Sha256): AsyncGenerator<Uint8Array> {
  const hash = createSha256()
  let length = 0
  for await (const bytes of file.read()) {
    if (bytes.length === 0) continue
    length += bytes.length
    if (length > file.length) break
    hash.update(bytes)
    yield bytes
  }
  if (length === file.length && hash.digestHex() === file.sha256) return
  const what = length === file.length ? "another hash" : length > file.length ? "more bytes" : "fewer bytes"
  throw new PrismError("CORRUPT", `${file.name} has ${what} than the collection's manifest says`, {
    place: file.name,
    hint: "the collection is damaged: restore it from an archive",
  })
}

// --- reading ---

export interface SnapshotReadOptions {
  createSha256: () => Sha256
  /** Free space: what schema and segment files may come to. Default: no limit but the archive's own `size_bytes`. */
  collectionBytesMax?: number
}

/** A segment file. */
export interface SnapshotEntry {
  /** text/…, vector/… or graph/… */
  readonly name: string
  readonly size: number
  /** Once, before the next entry; not known to be right before `finish` has said so. */
  readonly body: AsyncIterable<Uint8Array>
}

export interface SnapshotReport {
  readonly metadata: SnapshotMetadata
  /** The text of schema.yaml, not parsed. */
  readonly schema: string
  /** The segment files that were read, by name, in the archive's order; their hashes are verified. */
  readonly files: ReadonlyMap<string, { readonly length: number; readonly sha256: string }>
}

/** Reads a snapshot in constant memory, besides the three small files:
 *
 *      await using reader = await SnapshotReader.open(tar, { createSha256, collectionBytesMax })
 *      for await (const { name, size, body } of reader) …    // stage it
 *      const report = reader.finish()                         // all of it is right
 *
 *  Entries may come in any order, as tar collects them from a folder. What is staged never comes to more than
 *  `collectionBytesMax`, nor to more than `size_bytes` once metadata.json was met. */
export class SnapshotReader implements AsyncIterable<SnapshotEntry>, AsyncDisposable {
  readonly #createSha256: () => Sha256
  readonly #collectionBytesMax: number
  readonly #entries: AsyncGenerator<TarEntry>
  readonly #names = new EntryNames()
  readonly #held = new Map<string, Uint8Array>()
  /** Of the entries that were read to their end, in their order. */
  readonly #hashes = new Map<string, string>()
  readonly #files = new Map<string, { length: number; sha256: string }>()
  #metadata: SnapshotMetadata | undefined
  #named: ReadonlySet<string> | undefined
  #first: SnapshotEntry | undefined
  #sizeBytes = 0
  #isEnded = false

  private constructor(tar: AsyncIterable<Uint8Array>, options: SnapshotReadOptions) {
    this.#createSha256 = options.createSha256
    this.#collectionBytesMax = options.collectionBytesMax ?? Number.POSITIVE_INFINITY
    this.#entries = readTar(tar)
  }

  /** Reads what stands before the first segment file: metadata.json and schema.yaml in an archive of ours. Throws what
   *  readTar throws, and
   *  - INCOMPATIBLE_VERSION for a snapshot of another format version, before anything else of its metadata is looked at;
   *  - INVALID_FORMAT for entries that do not belong in a snapshot: names, links, duplicates;
   *  - LIMIT_EXCEEDED for too many entries, or a small file that is large;
   *  - DISK_FULL where it is larger than `collectionBytesMax`;
   *  - CORRUPT where metadata.json contradicts itself or what is there;
   *  with the entry as place. Iterating throws the same. */
  static async open(tar: AsyncIterable<Uint8Array>, options: SnapshotReadOptions): Promise<SnapshotReader> {
    const reader = new SnapshotReader(tar, options)
    try {
      reader.#first = await reader.#next()
      return reader
    } catch (error) {
      await reader.close()
      throw error
    }
  }

  /** What metadata.json says, once it was met; its hash is verified by `finish`. */
  get metadata(): SnapshotMetadata | undefined {
    return this.#metadata
  }

  /** The text of schema.yaml, once it was met. */
  get schema(): string | undefined {
    return this.#held.has(SCHEMA) ? this.#text(SCHEMA) : undefined
  }

  /** The segment files in the archive's order, once. */
  async *[Symbol.asyncIterator](): AsyncGenerator<SnapshotEntry> {
    for (let entry = this.#first; entry !== undefined; entry = await this.#next()) {
      this.#first = undefined
      yield entry
      // What the consumer left is hashed all the same.
      for await (const bytes of entry.body) void bytes
    }
  }

  /** Verifies the whole, after the last entry: CHECKSUM_MISMATCH with the entry as place, or CORRUPT. */
  finish(): SnapshotReport {
    assert(this.#isEnded, "the snapshot was not read to its end")
    for (const name of [METADATA, SCHEMA, MANIFEST]) if (!this.#held.has(name)) throw missing(name)
    const metadata = this.#metadata!
    this.#verifyHashes(metadata)
    for (const name of namesOf(metadata.segments)) if (!this.#files.has(name)) throw missing(name)
    for (const name of this.#files.keys()) if (!this.#named!.has(name)) throw unnamed(name)
    if (this.#sizeBytes !== metadata.sizeBytes) {
      throw corrupt(METADATA, `the files come to ${this.#sizeBytes} bytes, "size_bytes" says ${metadata.sizeBytes}`)
    }
    return { metadata, schema: this.#text(SCHEMA), files: this.#files }
  }

  /** Lets go of the tar where it was not read to its end. */
  async close(): Promise<void> {
    await this.#entries.return(undefined).catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** The next segment file; the small files before it are taken in. */
  async #next(): Promise<SnapshotEntry | undefined> {
    for (;;) {
      const { done, value: entry } = await this.#entries.next()
      if (done) break
      const name = this.#names.admit(entry)
      if (name === undefined) continue
      if (isSegmentFile(name)) {
        if (this.#named?.has(name) === false) throw unnamed(name)
        this.#count(entry.size)
        return { name, size: entry.size, body: this.#hashed(name, entry) }
      }
      if (entry.size > HELD_BYTES_MAX) throw tooLarge(name, HELD_BYTES_MAX)
      if (name === SCHEMA) this.#count(entry.size)
      await this.#hold(name, entry)
      if (name === METADATA) this.#takeMetadata(parseMetadata(this.#text(METADATA)))
    }
    this.#isEnded = true
    return undefined
  }

  async #hold(name: string, entry: TarEntry): Promise<void> {
    const held = new Uint8Array(entry.size)
    let length = 0
    for await (const bytes of entry.body) {
      held.set(bytes, length)
      length += bytes.length
    }
    this.#held.set(name, held)
    this.#hashes.set(name, hashOf(held, this.#createSha256))
  }

  /** Can be iterated again for what is left. */
  #hashed(name: string, entry: TarEntry): AsyncIterable<Uint8Array> {
    const hash = this.#createSha256()
    let left = entry.size
    const iterate = async function* (this: SnapshotReader): AsyncGenerator<Uint8Array> {
      for await (const bytes of entry.body) {
        hash.update(bytes)
        left -= bytes.length
        yield bytes
      }
      if (left > 0 || this.#hashes.has(name)) return
      const sha256 = hash.digestHex()
      this.#hashes.set(name, sha256)
      this.#files.set(name, { length: entry.size, sha256 })
    }
    return { [Symbol.asyncIterator]: () => iterate.call(this) }
  }

  #takeMetadata(metadata: SnapshotMetadata): void {
    this.#metadata = metadata
    this.#named = new Set(namesOf(metadata.segments))
    if (metadata.sizeBytes > this.#collectionBytesMax) throw diskFull(metadata.sizeBytes, this.#collectionBytesMax)
  }

  /** Before `size` more bytes are read. */
  #count(size: number): void {
    this.#sizeBytes += size
    const sizeBytes = this.#metadata?.sizeBytes
    if (sizeBytes !== undefined && this.#sizeBytes > sizeBytes) {
      throw corrupt(METADATA, `the files come to more than the ${sizeBytes} bytes that "size_bytes" says`)
    }
    if (this.#sizeBytes > this.#collectionBytesMax) throw diskFull(this.#sizeBytes, this.#collectionBytesMax)
  }

  #text(name: string): string {
    const text = tryDecodeUtf8(this.#held.get(name)!)
    if (text === undefined) throw corrupt(name, "it is not UTF-8 text")
    return text
  }

  #verifyHashes(metadata: SnapshotMetadata): void {
    const manifest = this.#text(MANIFEST)
    const hashes = parseManifest(manifest)
    for (const [name, sha256] of this.#hashes) {
      if (name === MANIFEST) continue
      const announced = hashes.get(name)
      if (announced === undefined) throw corrupt(MANIFEST, `it does not name ${name}`)
      if (announced !== sha256) throw checksumMismatch(name)
    }
    for (const name of hashes.keys()) if (!this.#hashes.has(name)) throw missing(name)
    checkManifest(manifest, hashes, metadata, this.#createSha256)
  }
}

function parseManifest(text: string): Map<string, string> {
  const hashes = new Map<string, string>()
  const lines = text.split("\n")
  if (lines.pop() !== "") throw corrupt(MANIFEST, "its last line has no end")
  for (const [i, line] of lines.entries()) {
    const [, sha256, name] = /^([0-9a-f]{64}) {2}(.+)$/.exec(line) ?? []
    if (sha256 === undefined || name === undefined || name === MANIFEST || hashes.has(name)) {
      throw corrupt(MANIFEST, `line ${i + 1} is not as it must be`)
    }
    hashes.set(name, sha256)
  }
  return hashes
}

/** Where an entry's data lies in the tar. */
export interface EntryPlace {
  readonly name: string
  readonly offset: number
  readonly size: number
}

/** What the three small files say, which are verified, and the segment files with the hashes that they have to have: these
 *  are not read. `table`: as of readEntryTable. Errors as of SnapshotReader. */
export async function readSnapshotHead(
  tar: RandomAccess,
  table: readonly EntryPlace[],
  createSha256: () => Sha256,
): Promise<SnapshotReport> {
  const places = new Map(table.map((place) => [place.name, place]))
  const read = async (name: string): Promise<{ text: string; sha256: string }> => {
    const place = places.get(name)
    if (!place) throw missing(name)
    if (place.size > HELD_BYTES_MAX) throw tooLarge(name, HELD_BYTES_MAX)
    const bytes = await tar.read(place.offset, place.size)
    const text = tryDecodeUtf8(bytes)
    if (text === undefined) throw corrupt(name, "it is not UTF-8 text")
    return { text, sha256: hashOf(bytes, createSha256) }
  }
  const [metadataFile, schemaFile, manifestFile] = [await read(METADATA), await read(SCHEMA), await read(MANIFEST)]
  const metadata = parseMetadata(metadataFile.text)
  const hashes = parseManifest(manifestFile.text)
  if (hashes.get(METADATA) !== metadataFile.sha256) throw checksumMismatch(METADATA)
  if (hashes.get(SCHEMA) !== schemaFile.sha256) throw checksumMismatch(SCHEMA)
  checkManifest(manifestFile.text, hashes, metadata, createSha256)
  const files = new Map<string, { length: number; sha256: string }>()
  for (const name of namesOf(metadata.segments)) {
    const [place, sha256] = [places.get(name), hashes.get(name)]
    if (!place || sha256 === undefined) throw missing(name)
    files.set(name, { length: place.size, sha256 })
  }
  return { metadata, schema: schemaFile.text, files }
}

/** MANIFEST.sha256 against what metadata.json says of it. */
function checkManifest(
  text: string,
  hashes: ReadonlyMap<string, string>,
  metadata: SnapshotMetadata,
  createSha256: () => Sha256,
): void {
  const others = text.replace(`${hashes.get(METADATA)}  ${METADATA}\n`, "")
  if (hashOf(encodeUtf8(others), createSha256) !== metadata.checksum) throw checksumMismatch(MANIFEST)
}

/** The entries of a snapshot that can be read at any place, in the archive's order: reads their headers alone. `offset` is
 *  where the data begins. Errors as of SnapshotReader.open; what the files say is not looked at. */
export async function readEntryTable(tar: RandomAccess): Promise<EntryPlace[]> {
  const names = new EntryNames()
  const table: EntryPlace[] = []
  for await (const header of listTar(tar)) {
    const name = names.admit(header)
    if (name !== undefined) table.push({ name, offset: header.dataOffset, size: header.size })
  }
  return table
}

// --- names ---

const FILE_NAME = /^(?:metadata\.json|schema\.yaml|MANIFEST\.sha256|(?:text|vector|graph)\/(?!\.\.?$)[A-Za-z0-9._-]+)$/
const FOLDER_NAME = /^(?:\.?|(?:text|vector|graph)\/?)$/
const NAME_LENGTH_MAX = 99

function isEntryName(name: string): boolean {
  return name.length <= NAME_LENGTH_MAX && FILE_NAME.test(name)
}

function isSegmentFile(name: string): boolean {
  return name.includes("/")
}

/** Decides which entries may be there, one after the other. */
class EntryNames {
  readonly #folded = new Set<string>()
  #entryCount = 0

  /** The name of a file, undefined for a folder of the archive. */
  admit({ name: nameInTar, type }: TarHeader): string | undefined {
    if (++this.#entryCount > SNAPSHOT_ENTRIES_MAX) throw tooManyEntries()
    const name = nameInTar.replace(/^\.\//, "")
    if (type === "directory" && FOLDER_NAME.test(name)) return undefined
    if (type === "directory" || !isEntryName(name)) throw foreign(nameInTar, "does not belong in a snapshot")
    // Names that are one on some file systems.
    const folded = name.toLowerCase()
    if (this.#folded.has(folded)) throw foreign(nameInTar, "is there twice")
    this.#folded.add(folded)
    return name
  }
}

// --- metadata ---

const METADATA_KEYS = new Set([
  "format_version",
  "engine_version",
  "version",
  "collection",
  "prism_version",
  "exported_at",
  "generation",
  "document_count",
  "size_bytes",
  "checksum",
  "backends",
  "redacted",
  "segment_formats",
  "segments",
])
const BACKEND_KEYS = ["text", "vector", "graph"] as const
const SEGMENT_KEYS = ["documents", "deleted", "vectors", "level", "graph", "files"] as const
const GRAPH_KEYS = ["nodes", "edges", "deletions"] as const
const FILE_KEYS = ["text", "documents", "tombstones", "vector", "graph"] as const

function parseMetadata(text: string): SnapshotMetadata {
  const json = { code: "CORRUPT", place: METADATA } as const
  // Refuses repeated keys at any depth: nobody shall read another value than the one that was verified.
  jsonMembers(text, json)
  const metadata = parseJson(text, json) as JsonObject
  checkVersion(metadata.format_version)

  const unknownKeys = Object.keys(metadata).filter((key) => !METADATA_KEYS.has(key))
  const noteUnknown = (path: string, object: JsonObject, known: readonly string[]): void => {
    for (const key of Object.keys(object)) if (!known.includes(key)) unknownKeys.push(`${path}.${key}`)
  }
  const backends = objectAt("backends", metadata.backends)
  noteUnknown("backends", backends, BACKEND_KEYS)
  for (const key of BACKEND_KEYS) if (typeof backends[key] !== "boolean") throw wrong(`backends.${key}`)
  const segmentFormats = Object.entries(objectAt("segment_formats", metadata.segment_formats)).map(
    ([kind, version]) => [kind, countAt(`segment_formats.${kind}`, version)] as const,
  )
  const redacted = metadata.redacted ?? []
  if (!Array.isArray(redacted) || !redacted.every((path) => typeof path === "string")) throw wrong("redacted")
  const checksum = textAt("checksum", metadata.checksum)
  if (!/^[0-9a-f]{64}$/.test(checksum)) throw wrong("checksum")
  textAt("version", metadata.version)
  textAt("engine_version", metadata.engine_version)

  if (!Array.isArray(metadata.segments)) throw wrong("segments")
  const segments = metadata.segments.map((value, i) => {
    const path = `segments[${i}]`
    const segment = objectAt(path, value)
    noteUnknown(path, segment, SEGMENT_KEYS)
    const files = objectAt(`${path}.files`, segment.files)
    noteUnknown(`${path}.files`, files, FILE_KEYS)
    if (segment.graph !== undefined) noteUnknown(`${path}.graph`, objectAt(`${path}.graph`, segment.graph), GRAPH_KEYS)
    return segmentOf(path, segment, files)
  })
  const names = namesOf(segments)
  if (new Set(names.map((name) => name.toLowerCase())).size < names.length) throw wrong("segments")
  const documentCount = countAt("document_count", metadata.document_count)
  const live = segments.reduce((sum, { documents, deleted }) => sum + documents - deleted, 0)
  if (live !== documentCount) {
    throw corrupt(METADATA, `the segments hold ${live} documents, "document_count" says ${documentCount}`)
  }
  return {
    collection: textAt("collection", metadata.collection),
    prismVersion: textAt("prism_version", metadata.prism_version),
    exportedAt: textAt("exported_at", metadata.exported_at),
    generation: countAt("generation", metadata.generation),
    documentCount,
    backends: { text: backends.text === true, vector: backends.vector === true, graph: backends.graph === true },
    redacted: redacted as string[],
    segmentFormats: Object.fromEntries(segmentFormats),
    segments,
    checksum,
    sizeBytes: countAt("size_bytes", metadata.size_bytes),
    unknownKeys,
  }
}

function checkVersion(version: JsonValue | undefined): void {
  if (version === FORMAT_VERSION) return
  throw new PrismError("INCOMPATIBLE_VERSION", "Incompatible snapshot version", {
    place: METADATA,
    hint:
      version === undefined
        ? "Prism 0.6 made this snapshot: export the collection there as portable (.prism.jsonl), and restore that"
        : `this Prism reads format version ${FORMAT_VERSION}: restore it with the one that wrote it, or export it there as portable`,
  })
}

function segmentOf(path: string, segment: JsonObject, files: JsonObject): SnapshotSegment {
  const documents = countAt(`${path}.documents`, segment.documents)
  const deleted = countAt(`${path}.deleted`, segment.deleted)
  const vectors = countAt(`${path}.vectors`, segment.vectors)
  if (documents > SEGMENT_DOCUMENTS_MAX) throw wrong(`${path}.documents`)
  if (deleted > documents) throw wrong(`${path}.deleted`)
  if (vectors > documents) throw wrong(`${path}.vectors`)
  if ((segment.graph === undefined) !== (files.graph === undefined)) throw wrong(`${path}.graph`)
  const graphCounts = (graph: JsonObject): SnapshotGraphCounts => {
    const [nodes, edges, deletions] = GRAPH_KEYS.map((key) => countAt(`${path}.graph.${key}`, graph[key]))
    return { nodes, edges, deletions } as SnapshotGraphCounts
  }
  const fileAt = (kind: (typeof FILE_KEYS)[number], folder: string): string => {
    const name = textAt(`${path}.files.${kind}`, files[kind])
    if (!name.startsWith(folder) || !isEntryName(name)) throw wrong(`${path}.files.${kind}`)
    return name
  }
  return {
    documents,
    deleted,
    vectors,
    level: countAt(`${path}.level`, segment.level),
    ...(segment.graph !== undefined && { graph: graphCounts(objectAt(`${path}.graph`, segment.graph)) }),
    files: {
      text: fileAt("text", "text/"),
      documents: fileAt("documents", "text/"),
      ...(files.tombstones !== undefined && { tombstones: fileAt("tombstones", "text/") }),
      ...(files.vector !== undefined && { vector: fileAt("vector", "vector/") }),
      ...(files.graph !== undefined && { graph: fileAt("graph", "graph/") }),
    },
  }
}

function countAt(path: string, value: JsonValue | undefined): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw wrong(path)
  return value as number
}

function textAt(path: string, value: JsonValue | undefined): string {
  if (typeof value !== "string") throw wrong(path)
  return value
}

function objectAt(path: string, value: JsonValue | undefined): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value)) throw wrong(path)
  return value
}

// --- errors ---

const DAMAGED_HINT = "the file was damaged or changed after it was written: copy it again, or use another backup"

function wrong(path: string): PrismError {
  return corrupt(METADATA, `"${path}" is not as it must be`)
}

function corrupt(place: string, what: string): PrismError {
  return new PrismError("CORRUPT", `the snapshot is damaged: ${what}`, { place, hint: DAMAGED_HINT })
}

function missing(name: string): PrismError {
  return corrupt(name, `${name} is missing`)
}

function unnamed(name: string): PrismError {
  return corrupt(name, `no segment has the file ${name}`)
}

function checksumMismatch(place: string): PrismError {
  return new PrismError("CHECKSUM_MISMATCH", "Checksum verification failed", { place, hint: DAMAGED_HINT })
}

function foreign(name: string, what: string): PrismError {
  const place = name.slice(0, 200)
  return new PrismError("INVALID_FORMAT", `entry ${JSON.stringify(place)} ${what}`, {
    place,
    hint: "check that this file is a snapshot of Prism",
  })
}

function limit(message: string, place: string, hint: string): PrismError {
  return new PrismError("LIMIT_EXCEEDED", message, { place, hint })
}

function tooLarge(name: string, bytesMax: number): PrismError {
  return limit(
    `${name} is larger than the ${bytesMax} bytes that a snapshot may have of it`,
    name,
    "export the collection as portable (.prism.jsonl)",
  )
}

function tooManyEntries(): PrismError {
  return limit(
    `the snapshot has more than ${SNAPSHOT_ENTRIES_MAX} entries`,
    `entry ${SNAPSHOT_ENTRIES_MAX + 1}`,
    "compact the collection before it is exported",
  )
}

function diskFull(needed: number, free: number): PrismError {
  return new PrismError("DISK_FULL", `the snapshot needs ${needed} bytes, there is room for ${free}`, {
    hint: "make room, or restore it to another disk",
  })
}

function hashOf(bytes: Uint8Array, createSha256: () => Sha256): string {
  const hash = createSha256()
  hash.update(bytes)
  return hash.digestHex()
}
