import { PrismError } from "../../base/errors.ts"
import { letOthersRun } from "../../base/let-others-run.ts"
import { streamOf } from "../../base/streams.ts"
import { VERSION } from "../../base/version.ts"
import {
  encodeDocumentLine,
  measureLines,
  type PortableLine,
  PortableReader,
  portableBytes,
  writePortable,
} from "../../formats/portable.ts"
import type { Sha256 } from "../../runtime.ts"
import { type CheckedDocument, DocumentChecker, parseDocumentLine } from "../document.ts"
import { Generations } from "../generations.ts"
import type { Progress } from "../progress.ts"
import { parseSchema, renderSchema, type Schema } from "../schema.ts"
import type { PinnedView } from "../view.ts"
import type { OpenArchive } from "./open-archive.ts"
import type { ExportOptions, ExportReport, RestoreOptions, VerifyOptions, VerifyReport } from "./options.ts"
import { admit, checkRoom, type RestoredCollection, type RestoreHost, unknownKeyWarnings } from "./restore-host.ts"

/** Documents between two progress reports. */
const PROGRESS_STEP = 512

/** A pinned view as `prism-portable-v1`: once to count and hash, once to write, so that the header comes first in constant
 *  memory, to a pipe too. */
export async function* portableChunks(
  name: string,
  schema: Schema,
  view: PinnedView,
  options: ExportOptions,
  createSha256: () => Sha256,
): AsyncGenerator<Uint8Array, ExportReport> {
  const { yaml, redacted } = renderSchema(schema, { collection: name })
  const description = {
    collection: name,
    prismVersion: VERSION,
    exportedAt: new Date().toISOString(),
    backends: { text: schema.text !== undefined, vector: schema.vector !== undefined, graph: false },
    schema: yaml,
    redacted,
  }
  const measure = await measureLines(documentLines(view, "measuring", options), createSha256)
  await options.onSize?.(portableBytes(description, measure, createSha256))
  const lines = documentLines(view, "writing", options)
  const written = yield* writePortable(description, measure, lines, createSha256)
  return {
    collection: name,
    format: "portable",
    document_count: measure.documentCount,
    size_bytes: written.sizeBytes,
    checksum: measure.checksum,
    file_sha256: written.fileSha256,
  }
}

/** The documents of a view as lines without their ends. */
export async function* documentLines(
  view: PinnedView,
  stage: Progress["stage"] = "writing",
  { signal, onProgress }: ExportOptions = {},
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
  await checkRoom(host.storage, reader.header.sizeBytes ?? 0)
  const directory = host.stage()
  await Generations.create({ ...host, directory, durable: false }, schema.source)
  const staged = await host.openStaged(name, directory)
  try {
    const checker = new DocumentChecker(schema)
    let imported = 0
    let skipped = 0
    let withoutVector = 0
    let plainBytes = 0
    /** The first bad line of an archive that must have none. The rest is only read: a wrong checksum is the better
     *  answer, because then the line is not what was written. */
    let refusal: PrismError | undefined
    for await (const lines of reader) {
      signal?.throwIfAborted()
      const batch = new Map<string, CheckedDocument>()
      const parsed = (refusal ? [] : lines).map((line) => ({ line, document: checkLine(checker, line) }))
      const ids = parsed.flatMap(({ document }) => (document instanceof PrismError ? [] : [document.id]))
      const there = await staged.which(ids)
      for (const { line, document } of parsed) {
        let error: PrismError | undefined
        if (document instanceof PrismError) error = document
        else if (batch.has(document.id) || there.has(document.id)) error = secondTime(document.id)
        else {
          batch.set(document.id, document)
          plainBytes += document.plainBytesCount
          if (!document.vector) withoutVector++
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
        await staged.addChecked([...batch.values()])
        imported += batch.size
      }
      await letOthersRun()
      onProgress?.({ stage: "restoring", unit: "bytes", done: reader.bytesRead, total: archive.sizeBytes })
    }
    const { checksum, header, fileSha256 } = reader.report
    if (refusal) throw refusal
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
        documents_imported: imported,
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

function checkLine(checker: DocumentChecker, line: PortableLine): CheckedDocument | PrismError {
  try {
    if (line.error) throw line.error
    return checker.check(parseDocumentLine(line.text), { from: "archive" })
  } catch (error) {
    if (error instanceof PrismError) return error
    throw error
  }
}

function secondTime(id: string): PrismError {
  return new PrismError("DUPLICATE_ID", `id "${id}" occurs a second time`, {
    hint: "an archive holds each document once",
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
  const checker = new DocumentChecker(parseSchema(reader.header.schema, { from: "archive" }))
  /** As of restorePortable. */
  let refusal: PrismError | undefined
  for await (const lines of reader) {
    options.signal?.throwIfAborted()
    for (const line of lines) {
      if (refusal) break
      const document = checkLine(checker, line)
      if (document instanceof PrismError) refusal = badLine(document, line.lineNumber)
    }
    await letOthersRun()
    options.onProgress?.({ stage: "verifying", unit: "bytes", done: reader.bytesRead, total: archive.sizeBytes })
  }
  const { checksum, header, documentCount, sizeBytes, fileSha256 } = reader.report
  if (refusal) throw refusal
  return {
    format: "portable",
    collection: reader.header.collection,
    document_count: documentCount,
    checksum,
    header,
    size_bytes: sizeBytes,
    file_sha256: fileSha256,
  }
}
