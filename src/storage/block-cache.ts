/** Bytes that a cache holds unless its owner says otherwise. Over 600,000 documents one-word searches took as long with 4 or
 *  8 MiB as with 32 (p50 .80 to .90 ms in two rounds each; the system's own cache is behind it), and of 32 the C library's
 *  allocator keeps most when a collection is closed. */
export const BLOCK_CACHE_BYTES = 8 * 1024 * 1024

export interface CacheStats {
  readonly bytes: number
  readonly capacity: number
  /** Calls of `get`; one that shares the load of another is a hit. */
  readonly hits: number
  readonly misses: number
}

/** Blocks of files in memory, the least recently used ones first to go. A block is known by the identity of its source
 *  and its offset, so that it is always read from the same place in the same length. */
export class BlockCache {
  readonly #capacity: number
  /** By source, then by offset. */
  readonly #blocks = new Map<object, Map<number, Block>>()
  /** Loaded blocks, least recently used first: a map keeps its keys in the order of their insertion. */
  readonly #order = new Map<Block, undefined>()
  #bytes = 0
  #hits = 0
  #misses = 0

  constructor(capacityBytes: number = BLOCK_CACHE_BYTES) {
    this.#capacity = capacityBytes
  }

  get stats(): CacheStats {
    return { bytes: this.#bytes, capacity: this.#capacity, hits: this.#hits, misses: this.#misses }
  }

  /** The block at `offset`, from the cache or from `load`, whose failure is the caller's and is not kept. Calls at the
   *  same time share one load. The bytes are the cache's: do not change them. */
  async get(source: object, offset: number, load: () => Promise<Uint8Array>): Promise<Uint8Array> {
    const ofSource = this.#ofSource(source)
    const found = ofSource.get(offset)
    if (found) {
      this.#hits++
      if (this.#order.delete(found)) this.#order.set(found, undefined)
      return await found.bytes
    }
    this.#misses++
    const block: Block = { source, offset, bytes: load(), byteLength: 0 }
    ofSource.set(offset, block)
    try {
      const bytes = await block.bytes
      // One that is larger than all that may be held would drive out everything for nothing.
      if (bytes.length > this.#capacity) this.#remove(block)
      else if (ofSource.get(offset) === block) this.#keep(block, bytes.length)
      return bytes
    } catch (error) {
      this.#remove(block)
      throw error
    }
  }

  /** Drops every block of a source. */
  forget(source: object): void {
    const ofSource = this.#blocks.get(source)
    for (const block of ofSource?.values() ?? []) this.#drop(block)
    // Loads under way find that they are gone.
    ofSource?.clear()
    this.#blocks.delete(source)
  }

  #ofSource(source: object): Map<number, Block> {
    let found = this.#blocks.get(source)
    if (!found) {
      found = new Map()
      this.#blocks.set(source, found)
    }
    return found
  }

  #keep(block: Block, byteLength: number): void {
    block.byteLength = byteLength
    this.#bytes += byteLength
    this.#order.set(block, undefined)
    for (const oldest of this.#order.keys()) {
      if (this.#bytes <= this.#capacity) break
      this.#remove(oldest)
    }
  }

  #remove(block: Block): void {
    this.#drop(block)
    const ofSource = this.#blocks.get(block.source)
    if (ofSource?.get(block.offset) !== block) return
    ofSource.delete(block.offset)
    if (ofSource.size === 0) this.#blocks.delete(block.source)
  }

  #drop(block: Block): void {
    if (this.#order.delete(block)) this.#bytes -= block.byteLength
  }
}

interface Block {
  readonly source: object
  readonly offset: number
  readonly bytes: Promise<Uint8Array>
  byteLength: number
}
