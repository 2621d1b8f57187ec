import { ARCHIVE_HEADERS } from "../api/archive-headers.ts"
import { encodeUtf8, toBase64, toHex } from "../base/bytes.ts"
import { type ErrorCode, PrismError, type Problem } from "../base/errors.ts"
import { chunksOf, sequential, streamOf } from "../base/streams.ts"
import type { Client, Job } from "../client/index.ts"
import type {
  ArchiveSource,
  ExportOptions,
  ExportReport,
  LongWork,
  RestoreOptions,
  RestoreReport,
} from "../collection/archive/options.ts"
import { writeArchive } from "../collection/archive/write-archive.ts"
import type { CollectionStats, Document, OptimizeReport } from "../collection/collection.ts"
import type { DetachedCopy } from "../collection/detached.ts"
import type { CheckedDocument } from "../collection/document.ts"
import { checkId } from "../collection/id.ts"
import type { CollectionSummary } from "../collection/prism.ts"
import type { RecallReport } from "../collection/recall.ts"
import { checkCollectionName, parseSchema, type Schema } from "../collection/schema.ts"
import type { SearchRequest, SearchResponse } from "../collection/search-request.ts"
import type { Key } from "../formats/key.ts"
import { encodeDocumentLine, inChunks } from "../formats/portable.ts"
import type { Sha256 } from "../runtime.ts"
import type { Collections, OpenCollection } from "./collections.ts"

interface Connected {
  readonly client: Client
  /** Ends every request. */
  readonly signal: AbortSignal
  readonly createSha256: () => Sha256
}

/** Collections behind a server. They answer as those of a folder do. */
export class RemoteCollections implements Collections {
  readonly #server: Connected

  constructor(server: Connected) {
    this.#server = server
  }

  async listCollections(): Promise<CollectionSummary[]> {
    const { client, signal } = this.#server
    return ((await client.listCollections({ query: { details: true }, signal })).details ?? []) as CollectionSummary[]
  }

  async listDetached(): Promise<DetachedCopy[]> {
    const { client, signal } = this.#server
    return ((await client.listCollections({ query: { all: true }, signal })).detached ??
      []) as unknown as DetachedCopy[]
  }

  async createCollection(name: string, schema: string): Promise<void> {
    const { client, signal } = this.#server
    await client.createCollection({ collection: name, body: schema, signal })
  }

  async deleteCollection(name: string): Promise<void> {
    const { client, signal } = this.#server
    await client.deleteCollection({ collection: name, signal })
  }

  async deleteDetached(copy: string): Promise<void> {
    const { client, signal } = this.#server
    await client.deleteCollection({ collection: copy.replace(/\.\d+$/, ""), query: { detached: copy }, signal })
  }

  async collection(name: string): Promise<RemoteCollection> {
    checkCollectionName(name)
    const { client, signal } = this.#server
    const { source } = await client.schema({ collection: name, signal })
    return new RemoteCollection(this.#server, name, parseSchema(source, { from: "archive" }))
  }

  /** The archive is sent as it is read. */
  async restore(source: ArchiveSource, options: RestoreOptions): Promise<RestoreReport> {
    const { client, signal } = this.#server
    const { target, mode, format, keys = [], where, ids, dryRun, onBadLine, onProgress } = options
    const isStream = source instanceof ReadableStream
    const total = isStream ? options.sizeBytes : source.size
    const sent = async function* () {
      let done = 0
      for await (const chunk of isStream ? chunksOf(source) : sequential(source, { signal })) {
        yield chunk
        done += chunk.length
        onProgress?.({ stage: "restoring", unit: "bytes", done, total })
      }
    }
    const {
      success: _,
      problems,
      ...report
    } = await client.uploadArchive({
      collection: target ?? "-",
      query: {
        ...{ format, mode, where, dry_run: dryRun },
        ids: ids && idsParameter(ids),
        on_bad_line: onBadLine ? "skip" : "fail",
      },
      headers: keyHeaders(keys),
      body: streamOf(sent()),
      signal,
    })
    for (const { line, ...problem } of problems) await onBadLine?.(problem as Problem, line)
    const { documents_skipped: skipped, warnings } = report
    const cut = `of ${skipped} bad lines the server tells the first ${problems.length}`
    return { ...report, warnings: skipped > problems.length ? [...warnings, cut] : warnings } as RestoreReport
  }
}

class RemoteCollection implements OpenCollection {
  readonly name: string
  readonly schema: Schema
  readonly #server: Connected

  constructor(server: Connected, name: string, schema: Schema) {
    this.#server = server
    this.name = name
    this.schema = schema
  }

  async stats(): Promise<CollectionStats> {
    return (await this.#client.stats(this.#here)) as unknown as CollectionStats
  }

  async recall(): Promise<RecallReport> {
    return (await this.#client.stats({ ...this.#here, query: { recall: true } })).recall as unknown as RecallReport
  }

  async search(body: SearchRequest): Promise<SearchResponse> {
    return (await this.#client.search({ ...this.#here, body: body as object })) as SearchResponse
  }

  async get(id: string): Promise<Document | undefined> {
    checkId(id)
    const [found] = (await this.#client.getDocuments({ ...this.#here, body: { ids: [id] } })).documents
    if (!found) return undefined
    const { fields, vector } = found
    return { id, fields, ...(vector && { vector: Float32Array.from(vector) }) }
  }

  async addChecked(documents: readonly CheckedDocument[], onAdded?: (count: number) => void): Promise<void> {
    const lines = async function* () {
      for (const { id, fieldsJson, vector } of documents) {
        yield encodeDocumentLine(id, fieldsJson, vector && encodeUtf8(`[${Array.from(vector).join(",")}]`))
      }
    }
    const { indexed, errors } = await this.#client.addDocuments({ ...this.#here, body: streamOf(inChunks(lines())) })
    onAdded?.(indexed)
    const [first] = errors
    if (!first) return
    throw new PrismError(first.code as ErrorCode, first.error, {
      ...(first.hint !== undefined && { hint: first.hint }),
      ...(first.doc_id !== null && { place: `document "${first.doc_id}"` }),
    })
  }

  async deleteAll(ids: readonly string[]): Promise<{ deleted: number; missing: string[] }> {
    for (const id of ids) checkId(id)
    return await this.#client.deleteDocuments({ ...this.#here, body: { ids: [...ids] } })
  }

  async exportDocuments(sink: WritableStream<Uint8Array>, { signal, onProgress }: LongWork = {}): Promise<number> {
    return await writeArchive(this.#documents(onProgress), sink, signal)
  }

  async *#documents(onProgress: LongWork["onProgress"]): AsyncGenerator<Uint8Array, number> {
    const total = onProgress && (await this.stats()).document_count
    let done = 0
    for await (const piece of bytesOf(await this.#client.exportDocuments(this.#here))) {
      yield piece
      done += countLines(piece)
      onProgress?.({ stage: "writing", unit: "documents", done, total })
    }
    return done
  }

  async export(sink: WritableStream<Uint8Array>, options: ExportOptions = {}): Promise<ExportReport> {
    return await writeArchive(this.#archive(options), sink, options.signal)
  }

  async *#archive({
    format = "portable",
    encryption,
    onSize,
    onProgress,
  }: ExportOptions): AsyncGenerator<Uint8Array, ExportReport> {
    const wanted = encryption ? "encrypted" : format
    const answer = await this.#client.downloadArchive({
      ...this.#here,
      query: { format: wanted, enc_version: encryption?.version === 1 ? "1" : undefined },
      headers: keyHeaders(encryption?.keys ?? []),
    })
    const size = Number(answer.headers.get(ARCHIVE_HEADERS.bytes))
    const document_count = Number(answer.headers.get(ARCHIVE_HEADERS.documentCount))
    const checksum = answer.headers.get(ARCHIVE_HEADERS.checksum) ?? ""
    await onSize?.(size, { document_count, checksum })
    // Of the others that is the least.
    const total = wanted === "portable" ? size : undefined
    const sha256 = this.#server.createSha256()
    let done = 0
    for await (const chunk of bytesOf(answer)) {
      sha256.update(chunk)
      yield chunk
      done += chunk.length
      onProgress?.({ stage: "writing", unit: "bytes", done, total })
    }
    const file_sha256 = sha256.digestHex()
    return { collection: this.name, format: wanted, document_count, size_bytes: done, checksum, file_sha256 }
  }

  async optimize({ onProgress }: LongWork = {}): Promise<OptimizeReport> {
    return await this.#finish(await this.#client.optimize({ ...this.#here, body: { wait: false } }), onProgress)
  }

  async verify({ onProgress }: LongWork = {}): Promise<{ files: number; bytes: number; documents: number }> {
    return await this.#finish(await this.#client.verifyCollection({ ...this.#here, body: { wait: false } }), onProgress)
  }

  /** A server merges by itself. */
  async settle(): Promise<void> {}

  get #client(): Client {
    return this.#server.client
  }

  get #here(): { collection: string; signal: AbortSignal } {
    return { collection: this.name, signal: this.#server.signal }
  }

  async #finish<T>(job: Job<T>, onProgress: LongWork["onProgress"]): Promise<T> {
    return await finishJob(job, this.#server.signal, onProgress)
  }
}

/** Waits for a job, and cancels it where the command is interrupted. */
export async function finishJob<T>(job: Job<T>, signal: AbortSignal, onProgress: LongWork["onProgress"]): Promise<T> {
  try {
    return await job.result({
      signal,
      onProgress: ({ progress }) => {
        if (progress) onProgress?.({ ...(progress as Progress), total: progress.total ?? undefined })
      },
    })
  } catch (error) {
    if (signal.aborted) await job.cancel().catch(() => {})
    throw error
  }
}

type Progress = Parameters<NonNullable<LongWork["onProgress"]>>[0]

function bytesOf({ body }: Response): AsyncGenerator<Uint8Array> {
  return chunksOf(body ?? new Blob([]).stream())
}

/** The ids of a selection are part of the URL. @throws PrismError LIMIT_EXCEEDED where they are too many for that */
function idsParameter(ids: readonly string[]): string {
  const text = JSON.stringify(ids)
  if (encodeURIComponent(text).length <= IDS_LENGTH_MAX) return text
  throw new PrismError("LIMIT_EXCEEDED", `${ids.length} ids are too many to be sent to a server with an archive`, {
    hint: "select with --where, or restore all of it under another name and delete the others",
  })
}

/** What is left of the head of a request, which servers limit to 16 KiB at the most. */
const IDS_LENGTH_MAX = 8 * 1024

/** Keys are never part of a URL: those are logged. */
function keyHeaders(keys: readonly Key[]): { "prism-key"?: string; "prism-passphrase"?: string } {
  return Object.assign(
    {},
    ...keys.map((key) =>
      key.kind === "raw"
        ? { "prism-key": toHex(key.bytes) }
        : { "prism-passphrase": toBase64(encodeUtf8(key.passphrase)) },
    ),
  )
}

const LINE_FEED = 0x0a

/** Line feeds in a piece of text. */
function countLines(piece: Uint8Array): number {
  let count = 0
  for (let at = piece.indexOf(LINE_FEED); at !== -1; at = piece.indexOf(LINE_FEED, at + 1)) count++
  return count
}
