import { assert, PrismError } from "../base/errors.ts"
import type { Engine } from "./engine.ts"
import { allocated } from "./memory.ts"

const WORDS_OFFSET = 16 // assembly/doc-set.ts

/** A set of docOrds of one segment, a bit for each, in the engine's memory: close it. */
export class DocSet {
  readonly #engine: Engine
  #pointer: number
  #docCount: number

  /** Takes over a set that the engine made. */
  constructor(engine: Engine, pointer: number) {
    this.#engine = engine
    this.#pointer = allocated(pointer)
    this.#docCount = engine.abi.docSetLength(this.#pointer) >>> 0
  }

  /** An empty set over docOrds 0 … docCount - 1. */
  static create(engine: Engine, docCount: number): DocSet {
    return new DocSet(engine, engine.abi.docSetNew(docCount))
  }

  /** Reads what `toBytes` wrote for a set over `docCount` docOrds. */
  static fromBytes(engine: Engine, bytes: Uint8Array, docCount: number): DocSet {
    const tail = docCount & 7
    if (bytes.length !== (docCount + 7) >>> 3 || (tail !== 0 && (bytes[bytes.length - 1] ?? 0) >>> tail !== 0)) {
      throw new PrismError("CORRUPT", `${bytes.length} bytes are no set over ${docCount} documents`)
    }
    const set = DocSet.create(engine, docCount)
    engine.bytes.set(bytes, set.#pointer + WORDS_OFFSET)
    engine.abi.docSetSeal(set.#pointer)
    return set
  }

  /** Where the set is in linear memory; another place after `grow`. */
  get pointer(): number {
    assert(this.#pointer !== 0, "DocSet used after close")
    return this.#pointer
  }

  /** docOrds are below it. */
  get docCount(): number {
    return this.#docCount
  }

  /** How many docOrds are in the set. */
  get count(): number {
    return this.#engine.abi.docSetCount(this.pointer) >>> 0
  }

  /** Returns whether `docOrd` was new. */
  add(docOrd: number): boolean {
    this.#check(docOrd)
    return Boolean(this.#engine.abi.docSetAdd(this.pointer, docOrd))
  }

  /** Returns whether `docOrd` was there. */
  remove(docOrd: number): boolean {
    this.#check(docOrd)
    return Boolean(this.#engine.abi.docSetRemove(this.pointer, docOrd))
  }

  has(docOrd: number): boolean {
    this.#check(docOrd)
    return Boolean(this.#engine.abi.docSetHas(this.pointer, docOrd))
  }

  /** Puts every docOrd in. */
  fill(): void {
    this.#engine.abi.docSetFill(this.pointer)
  }

  /** Keeps what is in `other` too; what lies past its length is not. */
  and(other: DocSet): void {
    this.#engine.abi.docSetAnd(this.pointer, other.pointer)
  }

  /** Takes out what is in `other`. */
  andNot(other: DocSet): void {
    this.#engine.abi.docSetAndNot(this.pointer, other.pointer)
  }

  /** Puts in what is in `other`, as far as this set reaches. */
  or(other: DocSet): void {
    this.#engine.abi.docSetOr(this.pointer, other.pointer)
  }

  /** Puts the bits that `now` has for the members of `members`, side by side and in order, into this set from `offset`
   *  on, where it is empty: what a segment that is made of `members` alone has of `now`. Returns the offset behind. */
  gather(offset: number, members: DocSet, now: DocSet): number {
    assert(offset + members.count <= this.#docCount && members.docCount <= now.docCount, "what is gathered fits")
    return this.#engine.abi.docSetGather(this.pointer, offset, members.pointer, now.pointer) >>> 0
  }

  /** A set over the same docOrds with the same members. The caller closes it. */
  copy(): DocSet {
    const copy = DocSet.create(this.#engine, this.#docCount)
    copy.or(this)
    return copy
  }

  /** Makes the set reach over `docCount` docOrds; the new ones are not in it. Never shrinks. */
  grow(docCount: number): void {
    this.#pointer = allocated(this.#engine.abi.docSetGrow(this.pointer, docCount))
    this.#docCount = Math.max(this.#docCount, docCount)
  }

  /** The bits, docOrd 0 the lowest of the first byte, in as many bytes as they need. */
  toBytes(): Uint8Array<ArrayBuffer> {
    const start = this.pointer + WORDS_OFFSET
    return this.#engine.bytes.slice(start, start + ((this.#docCount + 7) >>> 3))
  }

  /** Gives the memory back. Closing twice is fine. */
  close(): void {
    this.#engine.abi.regionFree(this.#pointer)
    this.#pointer = 0
  }

  [Symbol.dispose](): void {
    this.close()
  }

  // Linear memory has no walls: an ordinal that is too large would write into another structure.
  #check(docOrd: number): void {
    assert(docOrd >= 0 && docOrd < this.#docCount, `docOrd ${docOrd} is not below ${this.#docCount}`)
  }
}
