import { PrismError } from "../../base/errors.ts"
import { letOthersRun } from "../../base/let-others-run.ts"
import { streamOf } from "../../base/streams.ts"
import { VERSION } from "../../base/version.ts"
import {
  encodeDocumentLine,
  inChunks,
  measureLines,
  type PortableContent,
  type PortableHeader,
  type PortableLine,
  PortableReader,
  portableBytes,
  writePortable,
} from "../../formats/portable.ts"
import type { Sha256 } from "../../runtime.ts"
import { backendsOf } from "../backends.ts"
import { DocumentChecker, parseDocumentLine } from "../document.ts"
import { Generations } from "../generations.ts"
import { parseGraphLine } from "../graph-record.ts"
import { placeOf, type WriteOperation } from "../operations.ts"
import type { Progress } from "../progress.ts"
import { parseSchema, renderSchema, type Schema } from "../schema.ts"
import type { PinnedView } from "../view.ts"
import type { GraphLines } from "./graph-lines.ts"
import type { OpenArchive } from "./open-archive.ts"
import type { ExportOptions, ExportReport, RestoreOptions, VerifyOptions, VerifyReport } from "./options.ts"
import { admit, checkRoom, type RestoredCollection, type RestoreHost, unknownKeyWarnings } from "./restore-host.ts"

/** Documents between two progress reports. */
const PROGRESS_STEP = 512

/** A pinned view as `prism-portable-v1`, with a graph as `prism-portable-v2`: once to count and hash, once to write, so that
 *  the header comes first in constant memory, to a pipe too. */
export async function* portableChunks(
  name: string,
  schema: Schema,
  view: PinnedView,
  graphLines: GraphLines | undefined,
  options: ExportOptions,
  createSha256: () => Sha256,
): AsyncGenerator<Uint8Array, ExportReport> {
  const { yaml, redacted } = renderSchema(schema, { collection: name })
  const description = {
    collection: name,
    prismVersion: VERSION,
    exportedAt: new Date().toISOString(),
    backends: backendsOf(schema),
    schema: yaml,
    redacted,
  }
  const content = (stage: Progress["stage"]): PortableContent => ({
    documents: documentLines(view, stage, options),
    graph: graphLines && graphContent(graphLines, view.documentCount, stage, options),
  })
  const measure = await measureLines(content("measuring"), createSha256)
  const header = { document_count: measure.documentCount, checksum: measure.checksum }
  await options.onSize?.(portableBytes(description, measure, createSha256), header)
  const written = yield* writePortable(description, measure, content("writing"), createSha256)
  return {
    collection: name,
    format: "portable",
    document_count: measure.documentCount,
    ...(measure.graph && { node_count: measure.graph.nodeCount, edge_count: measure.graph.edgeCount }),
    size_bytes: written.sizeBytes,
    checksum: measure.checksum,
    file_sha256: written.fileSha256,
  }
}

function graphContent(
  graphLines: GraphLines,
  documentCount: number,
  stage: Progress["stage"],
  { signal, onProgress }: Pick<ExportOptions, "signal" | "onProgress">,
): PortableContent["graph"] {
  let done = documentCount
  const onRead = (count: number): void => {
    signal?.throwIfAborted()
    done += count
    onProgress?.({ stage, unit: "lines", done, total: documentCount + graphLines.countMax })
  }
  return { nodes: graphLines.nodes(onRead), edges: graphLines.edges(onRead) }
}

/** The documents of a view as lines without their ends. */
export async function* documentLines(
  view: PinnedView,
  stage: Progress["stage"] = "writing",
  { signal, onProgress }: Pick<ExportOptions, "signal" | "onProgress"> = {},
): AsyncGenerator<Uint8Array> {
  let done = 0
  for (const { segment, live } of view.segments) {
    for await (const { docOrd, id, fieldsJson } of segment.scan(live)) {
      yield encodeDocumentLine(id, fieldsJson, await segment.storedVectorJson(docOrd))
      if (++done % PROGRESS_STEP !== 0) continue
      await letOthersRun()
      signal?.throwIfAborted()
      onProgress?.({ stage, unit: "documents", done, total: view.documentCount })
    }
  }
  onProgress?.({ stage, unit: "documents", done, total: view.documentCount })
}

/** The documents of a view alone, as lines of JSON. */
export async function* documentChunks(
  view: PinnedView,
  options: Pick<ExportOptions, "signal" | "onProgress">,
): AsyncGenerator<Uint8Array, number> {
  yield* inChunks(documentLines(view, "writing", options))
  return view.documentCount
}

/** Reads a portable archive into the collection that the host gives, and verifies it. What comes back is not visible yet.
 *  The staged collection is closed where this throws. */
export async function restorePortable(
  archive: OpenArchive,
  options: RestoreOptions,
  host: RestoreHost,
): Promise<RestoredCollection> {
  const { signal, onProgress, onBadLine } = options
  await using reader = await PortableReader.open(streamOf(archive.content), {
    createSha256: host.codecs.createSha256,
    ...(options.lineBytesMax === undefined ? {} : { lineBytesMax: options.lineBytesMax }),
  })
  const { name, schema } = await admit(host, options, reader.header)
  checkGraph(reader.header, schema)
  await checkRoom(host.storage, reader.header.sizeBytes ?? 0)
  const directory = host.stage()
  await Generations.create({ ...host, directory, durable: false }, schema)
  const staged = await host.openStaged(name, directory)
  try {
    const checker = new DocumentChecker(schema)
    const counts = { documents: 0, nodes: 0, edges: 0 }
    let skipped = 0
    let withoutVector = 0
    let plainBytes = 0
    /** The first bad line of an archive that must have none. The rest is only read: a wrong checksum is the better
     *  answer, because then the line is not what was written. */
    let refusal: PrismError | undefined
    for await (const lines of reader) {
      signal?.throwIfAborted()
      const batch = new Map<string, WriteOperation>()
      const parsed = (refusal ? [] : lines).map((line) => ({ line, record: checkLine(checker, line, reader.header) }))
      const records = parsed.flatMap(({ record }) => (record instanceof PrismError ? [] : [record]))
      const there = await staged.replacing(records)
      for (const { line, record } of parsed) {
        let error: PrismError | undefined
        if (record instanceof PrismError) error = record
        else {
          const key = keyOf(record)
          if (batch.has(key) || there.has(record)) error = secondTime(record)
          else batch.set(key, record)
        }
        if (!error) continue
        if (!onBadLine) {
          refusal = badLine(error, line.lineNumber)
          break
        }
        skipped++
        await onBadLine({ place: `line ${line.lineNumber}`, code: error.code, message: error.message }, line.text)
      }
      if (!refusal) {
        await staged.write([...batch.values()])
        for (const record of batch.values()) {
          counts[kindOf(record)]++
          if (record.kind !== "put") continue
          plainBytes += record.document.plainBytesCount
          if (!record.document.vector) withoutVector++
        }
      }
      await letOthersRun()
      onProgress?.({ stage: "restoring", unit: "bytes", done: reader.bytesRead, total: archive.sizeBytes })
    }
    const { checksum, header, fileSha256 } = reader.report
    if (refusal) throw refusal
    if (skipped === 0) checkCounts(reader.header, counts)
    const warnings: string[] = []
    if (schema.vector && withoutVector > 0)
      warnings.push(withoutVector === 1 ? "1 document has no vector" : `${withoutVector} documents have no vector`)
    if (plainBytes > 0)
      warnings.push(
        plainBytes === 1
          ? "1 value of a bytes field was not base64 and was taken as UTF-8 text"
          : `${plainBytes} values of bytes fields were not base64 and were taken as UTF-8 text`,
      )
    warnings.push(...unknownKeyWarnings(schema, reader.header.unknownKeys))
    return {
      staged,
      directory,
      report: {
        collection: name,
        format: "portable",
        documents_imported: counts.documents,
        ...(schema.graph && { nodes_imported: counts.nodes, edges_imported: counts.edges }),
        documents_skipped: skipped,
        ids_missing: [],
        files_extracted: 0,
        bytes_extracted: 0,
        checksum,
        header,
        file_sha256: fileSha256,
        warnings,
      },
    }
  } catch (error) {
    await staged.close()
    throw error
  }
}

type ArchivedRecord = Extract<WriteOperation, { kind: "put" | "put node" | "put edge" }>

function checkLine(
  checker: DocumentChecker,
  line: PortableLine,
  { graph }: PortableHeader,
): ArchivedRecord | PrismError {
  try {
    if (line.error) throw line.error
    const record = graph && parseGraphLine(line.text)
    return record ?? { kind: "put", document: checker.check(parseDocumentLine(line.text), { from: "archive" }) }
  } catch (error) {
    if (error instanceof PrismError) return error
    throw error
  }
}

function kindOf({ kind }: WriteOperation): "documents" | "nodes" | "edges" {
  return kind === "put node" ? "nodes" : kind === "put edge" ? "edges" : "documents"
}

/** INVALID_FORMAT where there are nodes and edges that the collection has no place for. */
function checkGraph({ graph }: PortableHeader, schema: Schema): void {
  if (!graph || schema.graph) return
  throw new PrismError("INVALID_FORMAT", "the archive may hold nodes and edges, and its schema has no graph", {
    place: "line 1",
    hint: "the file was changed after it was written: copy it again, or use another backup",
  })
}

/** CORRUPT where as many lines as announced are not of the kinds that were. */
function checkCounts(
  { documentCount, graph }: PortableHeader,
  counts: { documents: number; nodes: number; edges: number },
): void {
  if (!graph) return
  const announced = { documents: documentCount, nodes: graph.nodeCount, edges: graph.edgeCount }
  for (const kind of ["documents", "nodes", "edges"] as const) {
    if (counts[kind] === announced[kind]) continue
    throw new PrismError("CORRUPT", `the archive holds ${counts[kind]} ${kind}, its header says ${announced[kind]}`, {
      hint: "the file was changed after it was written: copy it again, or use another backup",
    })
  }
}

/** The same for records that replace each other. */
function keyOf(record: ArchivedRecord): string {
  if (record.kind === "put") return `document ${record.document.id}`
  return record.kind === "put node" ? `node ${record.id}` : JSON.stringify([record.from, record.edgeType, record.to])
}

function secondTime(record: ArchivedRecord): PrismError {
  const what = record.kind === "put" ? `id "${record.document.id}"` : placeOf(record)
  return new PrismError("DUPLICATE_ID", `${what} occurs a second time`, {
    hint: "an archive holds each document, node and edge once",
  })
}

function badLine(error: PrismError, lineNumber: number): PrismError {
  return new PrismError(error.code, `line ${lineNumber}: ${error.message}`, {
    place: `line ${lineNumber}`,
    hint: error.hint ?? "mend the line, or skip bad lines",
    cause: error,
  })
}

/** Reads a whole portable archive without restoring it: header, count, checksum, and that every line is a document that the
 *  schema takes. Throws as a restore would; that an id occurs twice, which only an index tells, is not looked for. */
export async function verifyPortable(
  archive: OpenArchive,
  options: VerifyOptions,
  createSha256: () => Sha256,
): Promise<VerifyReport> {
  await using reader = await PortableReader.open(streamOf(archive.content), { createSha256 })
  const schema = parseSchema(reader.header.schema, { from: "archive" })
  checkGraph(reader.header, schema)
  const checker = new DocumentChecker(schema)
  /** As of restorePortable. */
  let refusal: PrismError | undefined
  const counts = { documents: 0, nodes: 0, edges: 0 }
  for await (const lines of reader) {
    options.signal?.throwIfAborted()
    for (const line of lines) {
      if (refusal) break
      const record = checkLine(checker, line, reader.header)
      if (record instanceof PrismError) refusal = badLine(record, line.lineNumber)
      else counts[kindOf(record)]++
    }
    await letOthersRun()
    options.onProgress?.({ stage: "verifying", unit: "bytes", done: reader.bytesRead, total: archive.sizeBytes })
  }
  const { checksum, header, sizeBytes, fileSha256 } = reader.report
  if (refusal) throw refusal
  checkCounts(reader.header, counts)
  return {
    format: "portable",
    collection: reader.header.collection,
    document_count: counts.documents,
    ...(reader.header.graph && { node_count: counts.nodes, edge_count: counts.edges }),
    checksum,
    header,
    size_bytes: sizeBytes,
    file_sha256: fileSha256,
  }
}
