import type { Codecs } from "../runtime.ts"
import type { BlockCache } from "../storage/block-cache.ts"
import type { Storage } from "../storage/storage.ts"
import type { Background } from "./background.ts"

/** Where a collection's files are, and what works on them. */
export interface CollectionContext {
  readonly storage: Storage
  /** Relative to the storage's root. */
  readonly directory: string
  readonly codecs: Codecs
  /** Builds and checks segments off the caller's thread. */
  readonly background: Background
  /** Blocks and pages that were read lately, of all collections together. */
  readonly cache: BlockCache
  /** 8 hex digits that no other opening has; see segment-files.ts. */
  readonly tenure: string
  /** True where the storage was taken over from an owner that never gave it back: it may only have slept. */
  readonly isTakeover: boolean
  /** LOCK_LOST once another process has taken the storage over. */
  readonly assertHeld: () => Promise<void>
  /** False while a restore is staged: nobody was promised anything yet, and the checkpoint at its end syncs. */
  readonly durable: boolean
  readonly tuning: Tuning
}

/** Where segments end. All depend on the documents alone, never on how they were batched. */
export interface Tuning {
  /** Documents of a RAM segment. */
  readonly ramDocuments: number
  /** Stored bytes of a RAM segment: they bound the log that a restart replays. */
  readonly ramBytes: number
  /** Bytes of its vectors, which a search scans whole. */
  readonly ramVectorBytes: number
  /** So many neighbours of a level become one of the next. */
  readonly mergeFactor: number
}

export const DEFAULT_TUNING: Tuning = {
  ramDocuments: 65_536,
  // A restart indexes text at more than 20 MB a second.
  ramBytes: 64 * 1024 * 1024,
  // 8 MiB are scanned in about a millisecond.
  ramVectorBytes: 8 * 1024 * 1024,
  mergeFactor: 8,
}
