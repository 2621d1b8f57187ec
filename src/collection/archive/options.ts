// What an export, a restore and a verification are asked for, and what they answer; one set for every format.
import type { Problem } from "../../base/errors.ts"
import type { Key } from "../../formats/key.ts"
import type { Verified } from "../../formats/portable.ts"
import type { RandomAccess } from "../../runtime.ts"
import type { Progress } from "../progress.ts"

/** An archive's bytes: as a stream, read once from its beginning, or at any place, which an encrypted archive of version 1
 *  needs and a look at single entries. */
export type ArchiveSource = ReadableStream<Uint8Array> | RandomAccess

export type ArchiveFormat = "portable" | "snapshot" | "encrypted"

export interface LongWork {
  readonly signal?: AbortSignal
  readonly onProgress?: (progress: Progress) => void
}

export interface ExportOptions extends LongWork {
  /** "portable" (default): JSON lines, for any version. "snapshot": the index as it is. */
  readonly format?: "portable" | "snapshot"
  /** Called before the first byte with how many there will be: of a portable archive exactly, of a snapshot at the least;
   *  and with what the archive's header will say. */
  readonly onSize?: (bytes: number, header: Pick<ExportReport, "document_count" | "checksum">) => void | Promise<void>
  /** Given: the snapshot is encrypted, and any of these keys opens it. */
  readonly encryption?: EncryptionOptions
}

export interface EncryptionOptions {
  readonly keys: readonly Key[]
  /** Of the encrypted format. 1 is for older readers: one raw key, and no part of it can be read by itself. Default 2. */
  readonly version?: 1 | 2
}

export interface ExportReport {
  readonly collection: string
  readonly format: ArchiveFormat
  readonly document_count: number
  /** Of a portable archive of a collection with a graph: nodes and edges that no document brings. */
  readonly node_count?: number
  readonly edge_count?: number
  /** Bytes of the archive. */
  readonly size_bytes: number
  /** What its header says: of a portable archive SHA-256 over the document lines, of a snapshot over its list of files. */
  readonly checksum: string
  /** SHA-256 of the archive's bytes, as `sha256sum` prints it. */
  readonly file_sha256: string
}

/** Documents of an archive, without the nodes and edges that none brings. */
export interface Selection {
  /** Those that match a query in the syntax of a search. */
  readonly where?: string
  /** Those with these ids. */
  readonly ids?: readonly string[]
}

export interface RestoreOptions extends LongWork, Selection {
  /** Name of the collection; the archive's own by default. */
  readonly target?: string
  /** What to do where it exists: fail (default), replace it, or merge into it by upsert. */
  readonly mode?: "fail" | "replace" | "merge"
  /** Given: a bad line of a portable archive is reported here and skipped. Otherwise the first one refuses the archive. */
  readonly onBadLine?: (problem: Problem, line: string | undefined) => void | Promise<void>
  /** Given: an archive of another format is refused. */
  readonly format?: "portable" | "snapshot"
  /** Bytes of a line of a portable archive. Default 18 MiB. */
  readonly lineBytesMax?: number
  /** Length of a stream where it is known, for progress. */
  readonly sizeBytes?: number
  /** Those that may open an encrypted archive. */
  readonly keys?: readonly Key[]
  /** Does all but make the collection visible. */
  readonly dryRun?: boolean
}

export interface RestoreReport {
  readonly collection: string
  readonly format: ArchiveFormat
  readonly documents_imported: number
  /** Of a portable archive, where the schema has a graph: nodes and edges that no document brings. */
  readonly nodes_imported?: number
  readonly edges_imported?: number
  /** Bad lines. */
  readonly documents_skipped: number
  /** Of `ids`, those that the archive does not have. */
  readonly ids_missing: readonly string[]
  readonly checksum: Verified
  readonly header: Verified
  readonly file_sha256: string
  /** Files of a snapshot that became the collection's, and their bytes. A portable archive has none. */
  readonly files_extracted: number
  readonly bytes_extracted: number
  /** What a user should know, a sentence each. */
  readonly warnings: readonly string[]
}

export interface VerifyOptions extends LongWork {
  /** Length of a stream where it is known, for progress. */
  readonly sizeBytes?: number
  readonly keys?: readonly Key[]
}

export interface VerifyReport {
  readonly format: ArchiveFormat
  readonly collection: string
  readonly document_count: number
  readonly node_count?: number
  readonly edge_count?: number
  readonly checksum: Verified
  readonly header: Verified
  readonly size_bytes: number
  readonly file_sha256: string
}
