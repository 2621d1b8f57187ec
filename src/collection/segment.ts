import { assert } from "../base/errors.ts"
import type { DocSet } from "../engine/doc-set.ts"
import type { Engine } from "../engine/engine.ts"
import type { IndexField, TextIndex } from "../engine/text-index.ts"
import type { VectorIndex } from "../engine/vector-index.ts"
import type { StoredDocument } from "../storage/document-store.ts"

/** What a segment is made for: the engine that holds it and the shape of its documents. */
export interface SegmentShape {
  readonly engine: Engine
  readonly fields: readonly IndexField[]
  readonly vector: VectorShape | undefined
  readonly hasGraph: boolean
}

export interface VectorShape {
  readonly dimension: number
  readonly metric: "cosine" | "dot" | "euclidean"
  readonly m: number
  readonly efConstruction: number
}

/** The field that every index has first: the document's id as one term. */
export const ID_FIELD = 0

/** Documents 0..documentCount-1 with their text index, vectors and stored bytes. Documents are only added (in the RAM
 *  segment) and marked deleted; everything else is immutable. Whoever reads across an `await` holds it by `retain`. */
export abstract class Segment {
  abstract readonly text: TextIndex
  abstract readonly vector: VectorIndex | undefined
  /** One bit a document that is not deleted. */
  abstract readonly live: DocSet
  /** Files that it is read from, relative to the collection's folder. */
  abstract readonly paths: readonly string[]
  /** Resolves when the last holder has let go. */
  readonly closed: Promise<void>
  #holders = 1
  #resolveClosed: () => void = () => {}

  constructor() {
    this.closed = new Promise((resolve) => {
      this.#resolveClosed = resolve
    })
  }

  get documentCount(): number {
    return this.text.docCount
  }

  get liveCount(): number {
    return this.live.count
  }

  /** The live document with this id, which `text.prepareIds` was called for. An id is written several times in one
   *  segment when it is updated; only the last of them can be live. */
  find(id: string): number | undefined {
    const docOrd = this.text.lastDocument(ID_FIELD, id)
    return docOrd !== undefined && this.live.has(docOrd) ? docOrd : undefined
  }

  /** Marks a document deleted; false if it was already. */
  delete(docOrd: number): boolean {
    return this.live.remove(docOrd)
  }

  /** Marks every document deleted that is not in the set. */
  keepOnly(set: DocSet): void {
    this.live.and(set)
  }

  /** Makes `vector` ready to be searched; undefined when it is. */
  abstract loadVectors(): Promise<void> | undefined

  /** The vector of a document, whether loaded or not. */
  abstract storedVector(docOrd: number): Promise<Float32Array | undefined>

  /** The same as JSON in UTF-8. */
  abstract storedVectorJson(docOrd: number): Promise<Uint8Array | undefined>

  abstract stored(docOrd: number): Promise<StoredDocument>

  /** Stored documents of `accept` (a set of this segment) in the order in which they were written. */
  abstract scan(accept: DocSet): AsyncIterable<StoredDocument & { docOrd: number }>

  /** A copy of the live documents as of now: later deletions do not reach it. The caller closes it. */
  abstract copyOfLive(): DocSet

  retain(): this {
    assert(this.#holders > 0, "a segment is retained after it was closed")
    this.#holders++
    return this
  }

  async release(): Promise<void> {
    assert(this.#holders > 0, "a segment is released twice")
    if (--this.#holders > 0) return
    try {
      await this.close()
    } finally {
      this.#resolveClosed()
    }
  }

  protected abstract close(): Promise<void>
}

/** Makes the text of every segment ready for `find` of these ids; undefined when all are. */
export function prepareIds(segments: readonly Segment[], ids: readonly string[]): Promise<unknown> | undefined {
  return allOf(segments.map(({ text }) => text.prepareIds(ids)))
}

/** Waits for those that have something to wait for. */
export function allOf(waits: readonly (Promise<unknown> | undefined)[]): Promise<unknown> | undefined {
  const open = waits.filter((wait) => wait !== undefined)
  return open.length > 0 ? Promise.all(open) : undefined
}
