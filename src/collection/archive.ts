import { PrismError, type Problem } from "../base/errors.ts"
import { letOthersRun } from "../base/let-others-run.ts"
import { VERSION } from "../base/version.ts"
import {
  encodeDocumentLine,
  measureLines,
  type PortableLine,
  PortableReader,
  type Verified,
  writePortable,
} from "../formats/portable.ts"
import type { Sha256 } from "../runtime.ts"
import type { Collection } from "./collection.ts"
import { type CheckedDocument, DocumentChecker, parseDocumentLine } from "./document.ts"
import type { Progress } from "./progress.ts"
import { parseSchema, renderSchema, type Schema } from "./schema.ts"
import type { PinnedView } from "./view.ts"

export interface ExportOptions {
  readonly format?: "portable"
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

export interface ExportReport {
  readonly collection: string
  readonly format: "portable"
  readonly document_count: number
  /** Bytes of the archive. */
  readonly size_bytes: number
  /** What its header says: SHA-256 over the document lines. */
  readonly checksum: string
  /** SHA-256 of the archive's bytes, as `sha256sum` prints it. */
  readonly file_sha256: string
}

export interface RestoreOptions {
  /** Name of the collection; the archive's own by default. */
  readonly target?: string
  /** What to do where it exists: fail (default), replace it, or merge into it by upsert. */
  readonly mode?: "fail" | "replace" | "merge"
  /** Given: a bad line is reported here and skipped. Otherwise the first one refuses the archive. */
  readonly onBadLine?: (problem: Problem, line: string | undefined) => void | Promise<void>
  /** Bytes of a line. Default 16 MiB. */
  readonly lineBytesMax?: number
  /** Length of the source where it is known, for progress. */
  readonly sizeBytes?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

export interface RestoreReport {
  readonly collection: string
  readonly documents_imported: number
  readonly documents_skipped: number
  readonly checksum: Verified
  readonly header: Verified
  readonly file_sha256: string
  /** What a user should know, a sentence each. */
  readonly warnings: readonly string[]
}

export interface VerifyOptions {
  /** Length of the source where it is known, for progress. */
  readonly sizeBytes?: number
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

export interface VerifyReport {
  readonly format: "portable"
  readonly collection: string
  readonly document_count: number
  readonly checksum: Verified
  readonly header: Verified
  readonly size_bytes: number
  readonly file_sha256: string
}

/** Documents between two progress reports. */
const PROGRESS_STEP = 512

/** Writes a pinned view as `prism-portable-v1`: once to count and hash, once to write, so that the header comes first
 *  in constant memory, to a pipe too. Closes the sink when the archive is whole, aborts it on an error. */
export async function exportPortable(
  name: string,
  schema: Schema,
  view: PinnedView,
  sink: WritableStream<Uint8Array>,
  options: ExportOptions,
  createSha256: () => Sha256,
): Promise<ExportReport> {
  const writer = sink.getWriter()
  try {
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
    const chunks = writePortable(description, measure, documentLines(view, "writing", options), createSha256)
    let chunk = await chunks.next()
    for (; !chunk.done; chunk = await chunks.next()) await writer.write(chunk.value)
    options.signal?.throwIfAborted()
    await writer.close()
    return {
      collection: name,
      format: "portable",
      document_count: measure.documentCount,
      size_bytes: chunk.value.sizeBytes,
      checksum: measure.checksum,
      file_sha256: chunk.value.fileSha256,
    }
  } catch (error) {
    await writer.abort(error).catch(() => {})
    throw error
  }
}

async function* documentLines(
  view: PinnedView,
  stage: Progress["stage"],
  { signal, onProgress }: ExportOptions,
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

/** The same stream; an abort is an error of it at once, also while its source has nothing to give, and cancels the source. */
function abortable(source: ReadableStream<Uint8Array>, signal: AbortSignal | undefined): ReadableStream<Uint8Array> {
  return signal ? source.pipeThrough(new TransformStream<Uint8Array, Uint8Array>(), { signal }) : source
}

/** Who makes the collection that a restore fills. */
export interface RestoreHost {
  readonly createSha256: () => Sha256
  /** Called once the header is read and before any document: may refuse the name or the schema. */
  begin(name: string, schema: Schema): Promise<Collection>
}

/** Reads a portable archive into the collection that `begin` gives, and verifies it. What comes back is not visible yet.
 *  The staged collection is closed where this throws. */
export async function restorePortable(
  source: ReadableStream<Uint8Array>,
  options: RestoreOptions,
  host: RestoreHost,
): Promise<{ staged: Collection; report: RestoreReport }> {
  const { signal, onProgress, onBadLine } = options
  await using reader = await PortableReader.open(abortable(source, signal), {
    createSha256: host.createSha256,
    ...(options.lineBytesMax === undefined ? {} : { lineBytesMax: options.lineBytesMax }),
  })
  const name = options.target ?? reader.header.collection
  const archived = parseSchema(reader.header.schema, { from: "archive" })
  const schema = parseSchema(renderSchema(archived, { collection: name }).yaml, { from: "archive" })
  const staged = await host.begin(name, schema)
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
      onProgress?.({ stage: "restoring", unit: "bytes", done: reader.bytesRead, total: options.sizeBytes })
    }
    const { checksum, header, fileSha256 } = reader.report
    if (refusal) throw refusal
    const warnings = [...schema.warnings]
    if (schema.vector && withoutVector > 0) warnings.push(`${withoutVector} documents have no vector`)
    if (plainBytes > 0)
      warnings.push(
        plainBytes === 1
          ? "1 value of a bytes field was not base64 and was taken as UTF-8 text"
          : `${plainBytes} values of bytes fields were not base64 and were taken as UTF-8 text`,
      )
    if (schema.unknownKeys.length > 0)
      warnings.push(`schema keys kept but not known here: ${schema.unknownKeys.join(", ")}`)
    if (reader.header.unknownKeys.length > 0) {
      warnings.push(`header keys not known here: ${reader.header.unknownKeys.join(", ")}`)
    }
    return {
      staged,
      report: {
        collection: name,
        documents_imported: imported,
        documents_skipped: skipped,
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

/** Reads a whole archive without restoring it: header, count, checksum, and that every line is a document. Throws as a
 *  restore would. */
export async function verifyArchive(
  source: ReadableStream<Uint8Array>,
  options: VerifyOptions,
  createSha256: () => Sha256,
): Promise<VerifyReport> {
  await using reader = await PortableReader.open(abortable(source, options.signal), { createSha256 })
  let refusal: PrismError | undefined
  for await (const lines of reader) {
    options.signal?.throwIfAborted()
    for (const line of refusal ? [] : lines) {
      try {
        if (line.error) throw line.error
        parseDocumentLine(line.text)
      } catch (error) {
        if (!(error instanceof PrismError)) throw error
        refusal = badLine(error, line.lineNumber)
      }
    }
    await letOthersRun()
    options.onProgress?.({ stage: "verifying", unit: "bytes", done: reader.bytesRead, total: options.sizeBytes })
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
