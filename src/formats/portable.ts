// The portable archive, prism-portable-v1: FORMATS.md, section 1.
import type { Sha256 } from "../runtime.ts"

export const LINE_BYTES_MAX = 16 * 1024 * 1024

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

/** What the document lines come to. */
export interface PortableMeasure {
  readonly documentCount: number
  /** Bytes of all document lines, line ends included. */
  readonly sizeBytes: number
  /** Lowercase hex SHA-256 of the document lines without their line ends. */
  readonly checksum: string
}

export interface PortableHeader extends PortableDescription, Omit<PortableMeasure, "checksum"> {
  /** null: an older writer made none. */
  readonly checksum: string | null
  readonly headerChecked: Verified
  /** Keys of the header that this version does not know. */
  readonly unknownKeys: readonly string[]
}

export type Verified = "verified" | "not verified"

export interface PortableReport {
  readonly checksum: Verified
  readonly header: Verified
  readonly documentCount: number
  /** Lowercase hex SHA-256 of the file's bytes. */
  readonly fileSha256: string
  readonly sizeBytes: number
}

/** One document line of the file; lineNumber counts from 1, which is the header. Either `text` or `error`. */
export type PortableLine =
  | { readonly lineNumber: number; readonly text: string; readonly error?: undefined }
  /** LIMIT_EXCEEDED or INVALID_FORMAT (not UTF-8): a bad line, to be reported or skipped like one of bad JSON. */
  | { readonly lineNumber: number; readonly text?: undefined; readonly error: import("../base/errors.ts").PrismError }

export interface PortableReadOptions {
  createSha256: () => Sha256
  /** Bytes of a line without its end. Default 16 MiB. */
  lineBytesMax?: number
}

/** Reads a portable archive in memory bounded by `lineBytesMax`, whatever its size:
 *
 *      const reader = await PortableReader.open(stream, { createSha256 })
 *      for await (const lines of reader) …     // throws after the last batch where count or checksum are wrong
 *      reader.report                           // whole and verified
 */
export class PortableReader implements AsyncIterable<PortableLine[]>, AsyncDisposable {
  readonly header: PortableHeader
  private constructor(header: PortableHeader) {
    this.header = header
  }

  /** Reads and checks line 1. Throws INVALID_FORMAT, INCOMPATIBLE_VERSION, CHECKSUM_MISMATCH, TRUNCATED. */
  static async open(stream: ReadableStream<Uint8Array>, options: PortableReadOptions): Promise<PortableReader> {
    throw new Error(`not written yet ${String(stream)} ${options.lineBytesMax}`)
  }

  /** Batches of lines in file order. Throws TRUNCATED, CORRUPT or CHECKSUM_MISMATCH at the end of the file. */
  async *[Symbol.asyncIterator](): AsyncIterator<PortableLine[]> {
    throw new Error("not written yet")
  }

  /** Known once the iteration has ended without an error. */
  get report(): PortableReport {
    throw new Error("not written yet")
  }

  /** Bytes taken from the stream so far, for progress. */
  get bytesRead(): number {
    return 0
  }

  /** Cancels the stream where it was not read to its end. */
  async close(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}

/** `{"id":…,"fields":…,"vector":…}` in UTF-8, without line end. fieldsJson and vectorJson are written as they are. */
export function encodeDocumentLine(id: string, fieldsJson: string, vectorJson?: Uint8Array): Uint8Array {
  throw new Error(`not written yet ${id} ${fieldsJson} ${vectorJson?.length}`)
}

/** Line 1 without its line end, with its header_checksum. The same input gives the same line. */
export function encodeHeader(
  description: PortableDescription,
  measure: PortableMeasure,
  createSha256: () => Sha256,
): string {
  throw new Error(`not written yet ${description.collection} ${measure.checksum} ${typeof createSha256}`)
}

/** First run over the document lines (without line ends): counts and hashes. */
export async function measureLines(
  lines: AsyncIterable<Uint8Array>,
  createSha256: () => Sha256,
): Promise<PortableMeasure> {
  throw new Error(`not written yet ${String(lines)} ${typeof createSha256}`)
}

/** Second run: the archive's bytes in chunks of about 64 KiB. Throws a bug where the lines differ from the first run. */
export async function* writePortable(
  description: PortableDescription,
  measure: PortableMeasure,
  lines: AsyncIterable<Uint8Array>,
  createSha256: () => Sha256,
): AsyncGenerator<Uint8Array, { fileSha256: string; sizeBytes: number }> {
  throw new Error(
    `not written yet ${description.collection} ${measure.checksum} ${String(lines)} ${typeof createSha256}`,
  )
}

/** Reads a whole archive without restoring it: header, count, checksum and that each line is a document. */
export async function verifyPortable(
  stream: ReadableStream<Uint8Array>,
  options: PortableReadOptions,
): Promise<PortableReport> {
  throw new Error(`not written yet ${String(stream)} ${options.lineBytesMax}`)
}

/** What a file is by its first bytes (16 are enough), or undefined where it is no archive of ours. */
export function sniffArchive(bytes: Uint8Array): "portable" | "encrypted" | "zstd" | undefined {
  throw new Error(`not written yet ${bytes.length}`)
}
