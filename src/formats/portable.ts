// The portable archive, prism-portable-v1 and, of a collection with a graph, prism-portable-v2: docs/formats/portable.md.
import { decodeUtf8, encodeUtf8, fromBase64, toBase64, tryDecodeUtf8 } from "../base/bytes.ts"
import { assert, type ErrorCode, PrismError } from "../base/errors.ts"
import { type JsonMember, type JsonValue, jsonMembers, parseJson } from "../base/json.ts"
import type { Sha256 } from "../runtime.ts"
import { LineHash, LineReader, type RawLine } from "./line-reader.ts"

/** No line that we write is longer: 16 MiB of a document's fields or a node's record, and around them an id of 3 KiB at most,
 *  escaped, and a vector of 65,536 components at most with 25 characters each. */
export const LINE_BYTES_MAX = 18 * 1024 * 1024

const FORMAT = "prism-portable-v1"
/** Behind the documents it has lines for nodes and edges. */
const GRAPH_FORMAT = "prism-portable-v2"
const VERSION = "1.0"
const ZERO_CHECKSUM = "0".repeat(64)

export interface Backends {
  readonly text: boolean
  readonly vector: boolean
  readonly graph: boolean
}

/** What a writer says about the collection. */
export interface PortableDescription {
  readonly collection: string
  readonly prismVersion: string
  /** RFC 3339. */
  readonly exportedAt: string
  readonly backends: Backends
  /** YAML, without credentials. */
  readonly schema: string
  /** Paths in the schema whose values were replaced by "***". */
  readonly redacted?: readonly string[]
}

/** What the lines after the header come to. */
export interface PortableMeasure {
  readonly documentCount: number
  /** Lines behind those of the documents, where the collection has a graph. */
  readonly graph?: { readonly nodeCount: number; readonly edgeCount: number }
  /** Bytes of all lines, line ends included. */
  readonly sizeBytes: number
  /** Lowercase hex SHA-256 of the lines without their line ends. */
  readonly checksum: string
}

export type Verified = "verified" | "not verified"

export interface PortableHeader {
  /** As the archive gives it: not checked to be a name that a collection can have here. */
  readonly collection: string
  readonly prismVersion: string | undefined
  readonly exportedAt: string | undefined
  readonly backends: Backends | undefined
  readonly schema: string
  readonly redacted: readonly string[]
  readonly documentCount: number
  /** Of version 2: lines for nodes and edges. */
  readonly graph: { readonly nodeCount: number; readonly edgeCount: number } | undefined
  /** Bytes of the lines after it as they were written; unknown where the header is not verified, as that of Prism 0.6,
   *  which means something else by it. */
  readonly sizeBytes: number | undefined
  /** null: an older writer made none. */
  readonly checksum: string | null
  readonly verified: Verified
  /** Keys of the header that this version does not know. */
  readonly unknownKeys: readonly string[]
}

export interface PortableReport {
  /** "not verified": the header says null. A wrong one is an error. */
  readonly checksum: Verified
  readonly header: Verified
  /** Lines after the header. */
  readonly lineCount: number
  /** Lowercase hex SHA-256 of the file's bytes. */
  readonly fileSha256: string
  /** Of the whole file. */
  readonly sizeBytes: number
}

/** One line after the header, a document unless `parseGraphLine` says another thing of it; lineNumber counts from 1, which is the header. With an `error` (LIMIT_EXCEEDED, or INVALID_FORMAT:
 *  not UTF-8) it is a bad line, to be reported or skipped like one of bad JSON. */
export type PortableLine =
  | { readonly lineNumber: number; readonly text: string; readonly error?: undefined }
  | { readonly lineNumber: number; readonly text?: undefined; readonly error: PrismError }

export interface PortableReadOptions {
  createSha256: () => Sha256
  /** Bytes of a line without its end. Default 18 MiB. */
  lineBytesMax?: number
}

/** A batch is full with so many lines or characters. */
const BATCH_LINES_MAX = 512
const BATCH_LENGTH_MAX = 1024 * 1024

/** Reads a portable archive in memory bounded by `lineBytesMax`, whatever its size:
 *
 *      await using reader = await PortableReader.open(stream, { createSha256 })
 *      for await (const lines of reader) …     // throws after the last batch where count or checksum are wrong
 *      reader.report                           // the file is whole
 */
export class PortableReader implements AsyncIterable<PortableLine[]>, AsyncDisposable {
  readonly header: PortableHeader
  readonly #lines: LineReader
  readonly #lineBytesMax: number
  #report: PortableReport | undefined

  private constructor(header: PortableHeader, lines: LineReader, lineBytesMax: number) {
    this.header = header
    this.#lines = lines
    this.#lineBytesMax = lineBytesMax
  }

  /** Reads and checks line 1. Throws INVALID_FORMAT, INCOMPATIBLE_VERSION, CHECKSUM_MISMATCH, LIMIT_EXCEEDED, TRUNCATED;
   *  the stream is cancelled then. */
  static async open(stream: ReadableStream<Uint8Array>, options: PortableReadOptions): Promise<PortableReader> {
    const lineBytesMax = options.lineBytesMax ?? LINE_BYTES_MAX
    const lines = new LineReader(stream, lineBytesMax, options.createSha256)
    try {
      const header = parseHeader(await readHeaderLine(lines, lineBytesMax), options.createSha256)
      lines.hashLines(options.createSha256())
      return new PortableReader(header, lines, lineBytesMax)
    } catch (error) {
      await lines.cancel().catch(() => {})
      throw error
    }
  }

  /** Batches of lines in file order; blank lines are left out. Can be run once. At the end of the file it throws TRUNCATED,
   *  CHECKSUM_MISMATCH or CORRUPT. */
  async *[Symbol.asyncIterator](): AsyncGenerator<PortableLine[]> {
    const lines = this.#lines
    let batch: PortableLine[] = []
    let batchLength = 0
    let lineCount = 0
    let lastLine = 1
    for (;;) {
      const raw = lines.take()
      if (raw === undefined) {
        if (await lines.fill()) continue
        break
      }
      lastLine = raw.number
      const line = this.#decode(raw)
      if (line === undefined) continue
      lineCount++
      batch.push(line)
      batchLength += line.text?.length ?? 0
      if (batch.length >= BATCH_LINES_MAX || batchLength >= BATCH_LENGTH_MAX) {
        yield batch
        batch = []
        batchLength = 0
      }
    }
    if (batch.length > 0) yield batch
    this.#finish(lineCount, lastLine)
  }

  /** Known once the iteration has ended without an error. */
  get report(): PortableReport {
    assert(this.#report !== undefined, "the archive was not read to its end")
    return this.#report
  }

  /** Bytes taken from the stream so far, for progress. */
  get bytesRead(): number {
    return this.#lines.bytesRead
  }

  /** Cancels the stream where it was not read to its end. */
  async close(): Promise<void> {
    await this.#lines.cancel().catch(() => {})
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  #decode(raw: RawLine): PortableLine | undefined {
    const { number: lineNumber, bytes } = raw
    const place = `line ${lineNumber}`
    if (bytes === undefined) {
      const error = new PrismError("LIMIT_EXCEEDED", `the line is longer than ${this.#lineBytesMax} bytes`, { place })
      return { lineNumber, error }
    }
    if (isBlank(bytes)) return undefined
    const text = tryDecodeUtf8(bytes)
    if (text !== undefined) return { lineNumber, text }
    return { lineNumber, error: new PrismError("INVALID_FORMAT", "the line is not valid UTF-8", { place }) }
  }

  #finish(lineCount: number, lastLine: number): void {
    const { checksum, documentCount, graph, verified } = this.header
    const expected = documentCount + (graph ? graph.nodeCount + graph.edgeCount : 0)
    const what = graph ? "documents, nodes and edges" : "documents"
    const digests = this.#lines.digests()
    if (lineCount < expected) {
      throw new PrismError("TRUNCATED", `the archive ends after ${lineCount} of ${expected} ${what}`, {
        place: `line ${lastLine}`,
        hint: "part of the file is missing: copy it again, or use another backup",
      })
    }
    if (checksum !== null && digests.lines !== checksum) throw checksumMismatch(`lines 2 to ${lastLine}`)
    if (lineCount > expected) {
      throw new PrismError("CORRUPT", `the archive holds ${lineCount} ${what}, its header says ${expected}`, {
        place: `line ${lastLine}`,
        hint: "the file was changed after it was written: copy it again, or use another backup",
      })
    }
    this.#report = {
      checksum: checksum === null ? "not verified" : "verified",
      header: verified,
      lineCount,
      fileSha256: digests.file,
      sizeBytes: this.#lines.bytesRead,
    }
  }
}

// --- the header ---

async function readHeaderLine(lines: LineReader, lineBytesMax: number): Promise<HeaderLine> {
  for (;;) {
    const line = lines.take()
    if (line === undefined) {
      refuseForeign(lines.held)
      if (!lines.isTooLong) {
        const hasMore: boolean = await lines.fill()
        if (hasMore) continue
        if (lines.bytesRead === 0) throw foreign("the file is empty", "check that the export was written whole")
        throw foreign("the file has blank lines only")
      }
    }
    if (line?.bytes === undefined) {
      throw new PrismError("LIMIT_EXCEEDED", `line 1 is longer than ${lineBytesMax} bytes`, { place: "line 1" })
    }
    refuseForeign(line.bytes)
    if (isBlank(line.bytes)) continue
    const text = tryDecodeUtf8(withoutByteOrderMark(line.bytes))
    if (text === undefined) throw foreign("line 1 is not UTF-8 text")
    return { text, isCut: !line.isEnded }
  }
}

interface HeaderLine {
  readonly text: string
  /** True where no line end follows, so that the file may have been cut here. */
  readonly isCut: boolean
}

function parseHeader({ text, isCut }: HeaderLine, createSha256: () => Sha256): PortableHeader {
  const root = readMembers(text, "", isCut)
  const format = root.get("format")
  if (typeof format?.value !== "string") {
    const isDocument = root.has("id")
    throw foreign(
      'line 1 has no "format"',
      isDocument ? "these look like documents: bring them into a collection with document import" : undefined,
    )
  }
  if (format.value !== FORMAT && format.value !== GRAPH_FORMAT) {
    if (/^prism-portable-v\d+$/.test(format.value)) {
      throw incompatible(
        `archive format ${format.value} is not known here`,
        `this version reads ${FORMAT} and ${GRAPH_FORMAT}`,
      )
    }
    throw foreign(`line 1 has the format ${quote(format.value)}`)
  }
  const metadata = root.get("metadata")
  const metadataText = metadata === undefined ? "" : text.slice(metadata.valueStart, metadata.end)
  if (!metadataText.startsWith("{")) throw badHeader('"metadata" is missing')
  const meta = readMembers(metadataText, "metadata.", isCut)
  const get = (key: string): JsonValue | undefined => meta.get(key)?.value

  const version = get("version")
  if (typeof version !== "string") throw badHeader('"metadata.version" is missing')
  if (!/^1\.\d+$/.test(version)) {
    throw incompatible(`archive version ${quote(version)} is not known here`, `this version reads ${VERSION}`)
  }
  if (!meta.has("checksum")) throw badHeader('"metadata.checksum" is missing (null would mean that there is none)')
  const checksum = get("checksum") as string | null
  if (checksum !== null && !isChecksum(checksum)) throw badHeader('"metadata.checksum" is no lowercase SHA-256')
  const verified = verifyHeader(text, metadata!.valueStart, meta.get("header_checksum"), createSha256)

  const collection = get("collection")
  if (typeof collection !== "string") throw badHeader('"metadata.collection" is missing')
  const countOf = (key: string): number => {
    const count = sizeOrNothing(get(key))
    if (count === undefined) throw badHeader(`"metadata.${key}" is no count`)
    return count
  }
  const documentCount = countOf("document_count")
  const graph =
    format.value === GRAPH_FORMAT ? { nodeCount: countOf("node_count"), edgeCount: countOf("edge_count") } : undefined
  const encoded = root.get("schema_b64")?.value
  if (typeof encoded !== "string") throw badHeader('"schema_b64" is missing')
  const schemaBytes = fromBase64(encoded)
  const schema = schemaBytes === undefined ? undefined : tryDecodeUtf8(schemaBytes)
  if (schema === undefined) throw badHeader('"schema_b64" is no base64 of UTF-8 text')
  const redacted = get("redacted")
  const unknownKeys = [
    ...[...root.keys()].filter((key) => !ROOT_KEYS.includes(key)),
    ...[...meta.keys()]
      .filter((key) => !METADATA_KEYS.includes(key) && !(graph && GRAPH_KEYS.includes(key)))
      .map((key) => `metadata.${key}`),
  ]
  return {
    collection,
    prismVersion: textOrNothing(get("prism_version")),
    exportedAt: textOrNothing(get("exported_at")),
    backends: backendsOf(get("backends")),
    schema,
    redacted: Array.isArray(redacted) ? redacted.filter((path) => typeof path === "string") : [],
    documentCount,
    graph,
    sizeBytes: verified === "verified" ? sizeOrNothing(get("size_bytes")) : undefined,
    checksum,
    verified,
    unknownKeys,
  }
}

const ROOT_KEYS = ["format", "metadata", "schema_b64"]
const METADATA_KEYS = [
  "version",
  "collection",
  "prism_version",
  "exported_at",
  "document_count",
  "size_bytes",
  "checksum",
  "header_checksum",
  "backends",
  "redacted",
]

/** Of version 2. */
const GRAPH_KEYS = ["node_count", "edge_count"]

type Member = JsonMember & { readonly value: JsonValue }

/** The members of an object in line 1; a key that appears twice is an error, so that nobody can read another value than
 *  the one that was verified. */
function readMembers(json: string, path: string, isCut: boolean): Map<string, Member> {
  const code: ErrorCode = "INVALID_FORMAT"
  let members: JsonMember[]
  try {
    members = jsonMembers(json, { code })
  } catch (error) {
    if (!(error instanceof PrismError)) throw error
    if (isCut && path === "" && json.startsWith("{")) {
      throw new PrismError("TRUNCATED", "the file ends inside its first line", {
        place: "line 1",
        hint: "part of the file is missing: copy it again, or use another backup",
      })
    }
    throw foreign(`line 1 is ${error.message}`)
  }
  return new Map(
    members.map((member) => [
      member.key,
      { ...member, value: parseJson(json.slice(member.valueStart, member.end), { code }) },
    ]),
  )
}

/** header_checksum: SHA-256 of line 1 with its own 64 digits as zeros. */
function verifyHeader(
  text: string,
  metadataStart: number,
  member: Member | undefined,
  createSha256: () => Sha256,
): Verified {
  if (member === undefined || member.value === null) return "not verified"
  const start = metadataStart + member.valueStart + 1
  const given = text.slice(start, metadataStart + member.end - 1)
  if (!isChecksum(given)) throw badHeader('"metadata.header_checksum" is no lowercase SHA-256')
  const zeroed = text.slice(0, start) + ZERO_CHECKSUM + text.slice(start + 64)
  if (hashText(zeroed, createSha256) !== given) throw checksumMismatch("line 1")
  return "verified"
}

/** Line 1 without its line end, with its header_checksum. The same input gives the same line. */
export function encodeHeader(
  description: PortableDescription,
  measure: PortableMeasure,
  createSha256: () => Sha256,
): string {
  const { collection, prismVersion, exportedAt, backends, schema, redacted = [] } = description
  const { graph } = measure
  const line = (headerChecksum: string): string =>
    JSON.stringify({
      format: graph ? GRAPH_FORMAT : FORMAT,
      metadata: {
        version: VERSION,
        collection,
        prism_version: prismVersion,
        exported_at: exportedAt,
        document_count: measure.documentCount,
        ...(graph && { node_count: graph.nodeCount, edge_count: graph.edgeCount }),
        size_bytes: measure.sizeBytes,
        checksum: measure.checksum,
        header_checksum: headerChecksum,
        backends: { text: backends.text, vector: backends.vector, graph: backends.graph },
        ...(redacted.length > 0 && { redacted }),
      },
      schema_b64: toBase64(encodeUtf8(schema)),
    })
  return line(hashText(line(ZERO_CHECKSUM), createSha256))
}

// --- writing ---

const LINE_FEED = 0x0a
const CHUNK_BYTES = 64 * 1024

/** `{"id":…,"fields":…,"vector":…}` in UTF-8, without line end. fieldsJson and vectorJson are written as they are. */
export function encodeDocumentLine(id: string, fieldsJson: string, vectorJson?: Uint8Array): Uint8Array {
  const head = `{"id":${JSON.stringify(id)},"fields":${fieldsJson}`
  if (vectorJson === undefined) return encodeUtf8(`${head}}`)
  const start = encodeUtf8(`${head},"vector":`)
  const line = new Uint8Array(start.length + vectorJson.length + 1)
  line.set(start)
  line.set(vectorJson, start.length)
  line[line.length - 1] = 0x7d // "}"
  return line
}

/** What an archive has after its header, without line ends: documents, then, where the collection has a graph, nodes and
 *  edges. */
export interface PortableContent {
  readonly documents: AsyncIterable<Uint8Array>
  readonly graph?: { readonly nodes: AsyncIterable<Uint8Array>; readonly edges: AsyncIterable<Uint8Array> } | undefined
}

async function* linesOf({ documents, graph }: PortableContent, tally: LineTally): AsyncGenerator<Uint8Array> {
  const parts = [documents, ...(graph ? [graph.nodes, graph.edges] : [])]
  for (const [kind, lines] of parts.entries()) {
    for await (const line of lines) {
      tally.add(line, kind)
      yield line
    }
  }
}

/** First run over the lines: counts and hashes. */
export async function measureLines(content: PortableContent, createSha256: () => Sha256): Promise<PortableMeasure> {
  const tally = new LineTally(createSha256)
  for await (const _ of linesOf(content, tally));
  return tally.measure(content.graph !== undefined)
}

/** Bytes that the second run will write. */
export function portableBytes(
  description: PortableDescription,
  measure: PortableMeasure,
  createSha256: () => Sha256,
): number {
  return headerLine(description, measure, createSha256).length + measure.sizeBytes
}

function headerLine(
  description: PortableDescription,
  measure: PortableMeasure,
  createSha256: () => Sha256,
): Uint8Array {
  return encodeUtf8(`${encodeHeader(description, measure, createSha256)}\n`)
}

/** Second run: the archive's bytes in chunks of about 64 KiB. A file never says that it is whole when it is not: where the
 *  lines are others than in the first run, this throws after the last of them. */
export async function* writePortable(
  description: PortableDescription,
  measure: PortableMeasure,
  content: PortableContent,
  createSha256: () => Sha256,
): AsyncGenerator<Uint8Array, { fileSha256: string; sizeBytes: number }> {
  const fileHash = createSha256()
  const tally = new LineTally(createSha256)
  let sizeBytes = 0
  const sent = (bytes: Uint8Array): Uint8Array => {
    fileHash.update(bytes)
    sizeBytes += bytes.length
    return bytes
  }
  yield sent(headerLine(description, measure, createSha256))
  for await (const chunk of inChunks(linesOf(content, tally))) yield sent(chunk)
  const written = tally.measure(measure.graph !== undefined)
  assert(JSON.stringify(written) === JSON.stringify(measure), "the documents changed between measuring and writing")
  return { fileSha256: fileHash.digestHex(), sizeBytes }
}

/** Lines with their ends, in chunks of about 64 KiB. */
export async function* inChunks(lines: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void> {
  let chunk = new Uint8Array(CHUNK_BYTES)
  let used = 0
  for await (const line of lines) {
    if (used + line.length + 1 > chunk.length) {
      if (used > 0) yield chunk.subarray(0, used)
      chunk = new Uint8Array(Math.max(CHUNK_BYTES, line.length + 1))
      used = 0
    }
    chunk.set(line, used)
    chunk[used + line.length] = LINE_FEED
    used += line.length + 1
  }
  if (used > 0) yield chunk.subarray(0, used)
}

class LineTally {
  readonly #hash: LineHash
  /** Documents, nodes, edges. */
  readonly #counts: [number, number, number] = [0, 0, 0]
  #sizeBytes = 0

  constructor(createSha256: () => Sha256) {
    this.#hash = new LineHash(createSha256())
  }

  add(line: Uint8Array, kind: number): void {
    this.#hash.add(line, true)
    this.#counts[kind] = (this.#counts[kind] as number) + 1
    this.#sizeBytes += line.length + 1
  }

  measure(hasGraph: boolean): PortableMeasure {
    const [documentCount, nodeCount, edgeCount] = this.#counts
    return {
      documentCount,
      ...(hasGraph && { graph: { nodeCount, edgeCount } }),
      sizeBytes: this.#sizeBytes,
      checksum: this.#hash.digestHex(),
    }
  }
}

// --- other files ---

const MAGIC: readonly (readonly [kind: string, bytes: readonly number[]])[] = [
  ["encrypted", [0x50, 0x45, 0x4e, 0x43]], // "PENC"
  ["zstd", [0x28, 0xb5, 0x2f, 0xfd]],
  ["gzip", [0x1f, 0x8b]],
  ["zip", [0x50, 0x4b, 0x03, 0x04]],
  ["UTF-16", [0xff, 0xfe]],
  ["UTF-16", [0xfe, 0xff]],
]

/** What a file is by its first bytes (32 are enough), or undefined where it is no archive of ours. */
export function sniffArchive(bytes: Uint8Array): "portable" | "encrypted" | "zstd" | undefined {
  const kind = magicOf(bytes)
  if (kind === "encrypted" || kind === "zstd") return kind
  const text = decodeUtf8(withoutByteOrderMark(bytes.subarray(0, 64)))
  return /^\{\s*"format"\s*:\s*"prism-portable-/.test(text) ? "portable" : undefined
}

function magicOf(bytes: Uint8Array): string | undefined {
  return MAGIC.find(([, magic]) => magic.every((byte, i) => bytes[i] === byte))?.[0]
}

/** Tells what is plainly something else by its first bytes before a line end is looked for. */
function refuseForeign(bytes: Uint8Array): void {
  switch (magicOf(bytes)) {
    case "encrypted":
      throw foreign("this is an encrypted archive", "this version restores portable archives")
    case "zstd":
      throw foreign(
        "this is compressed with zstd, as snapshots are",
        "this version restores portable archives: export the collection again as portable, or decompress a compressed one first",
      )
    case "gzip":
    case "zip":
      throw foreign(`this is a ${magicOf(bytes)} file`, "decompress it first")
    case "UTF-16":
      throw foreign("this is UTF-16 text", "convert it to UTF-8 first")
  }
  if (bytes.subarray(0, 512).includes(0)) throw foreign("this is a binary file")
}

function foreign(what: string, hint?: string): PrismError {
  return new PrismError("INVALID_FORMAT", `not a portable archive: ${what}`, {
    place: "line 1",
    hint: hint ?? `a portable archive begins with {"format":"${FORMAT}"`,
  })
}

function badHeader(what: string): PrismError {
  return new PrismError("INVALID_FORMAT", `the header is broken: ${what}`, {
    place: "line 1",
    hint: "the file was changed after it was written: copy it again, or use another backup",
  })
}

function incompatible(what: string, hint: string): PrismError {
  return new PrismError("INCOMPATIBLE_VERSION", what, {
    place: "line 1",
    hint: `${hint}: restore it with a newer version of Prism`,
  })
}

function checksumMismatch(place: string): PrismError {
  return new PrismError("CHECKSUM_MISMATCH", "Checksum verification failed", {
    place,
    hint: "the file was damaged or changed after it was written: copy it again, or use another backup",
  })
}

function hashText(text: string, createSha256: () => Sha256): string {
  const hash = createSha256()
  hash.update(encodeUtf8(text))
  return hash.digestHex()
}

function isChecksum(value: unknown): value is string {
  return typeof value === "string" && /^[0-9a-f]{64}$/.test(value)
}

function isObject(value: JsonValue | undefined): value is { [key: string]: JsonValue } {
  return typeof value === "object" && value !== null && !Array.isArray(value)
}

function backendsOf(value: JsonValue | undefined): Backends | undefined {
  if (!isObject(value)) return undefined
  return { text: value.text === true, vector: value.vector === true, graph: value.graph === true }
}

function textOrNothing(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined
}

function sizeOrNothing(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : undefined
}

function withoutByteOrderMark(bytes: Uint8Array): Uint8Array {
  return bytes[0] === 0xef && bytes[1] === 0xbb && bytes[2] === 0xbf ? bytes.subarray(3) : bytes
}

/** Nothing but spaces and tabs. */
function isBlank(bytes: Uint8Array): boolean {
  for (let i = 0; i < bytes.length; i++) if (bytes[i] !== 0x20 && bytes[i] !== 0x09) return false
  return true
}

function quote(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text)
}
