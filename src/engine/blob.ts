import { assert, PrismError } from "../base/errors.ts"
import type { Engine } from "./engine.ts"
import { copyIn } from "./memory.ts"

/** Where a blob's bytes are read from; a storage's ReadableFile is one. Rejects where there are fewer bytes. */
export interface ByteSource {
  readonly size: number
  read(offset: number, length: number): Promise<Uint8Array>
}

/** Keeps pages that were read, by the source's identity and the offset there; a storage's BlockCache is one. */
export interface PageCache {
  get(source: object, offset: number, load: () => Promise<Uint8Array>): Promise<Uint8Array>
}

// What blobCheck of assembly/blob.ts returns.
const OK = 0
const NOT_OURS = 1
const TRUNCATED = 2
const HEADER_DAMAGED = 3
const VERSION = 4
const TABLE_DAMAGED = 5
const SECTION_DAMAGED = 6

/** Copies a segment's bytes into the engine and checks them (assembly/blob.ts). Returns the region that holds them.
 *  `what` names the structure in messages: "vector segment". Throws CORRUPT, TRUNCATED or INCOMPATIBLE_VERSION. */
export function openBlob(
  engine: Engine,
  bytes: Uint8Array,
  expected: { what: string; magic: number; version: number },
): number {
  const blob = copyIn(engine, bytes)
  const failure = engine.abi.blobCheck(blob, bytes.length, expected.magic, expected.version)
  if (failure === OK) return blob
  const version = failure === VERSION ? engine.abi.blobVersion(blob) : 0
  engine.abi.regionFree(blob)
  throw blobError(failure, expected, version)
}

function blobError(failure: number, expected: { what: string; version: number }, version: number): PrismError {
  const hint = "restore the collection from an archive"
  switch (failure) {
    case NOT_OURS:
      return new PrismError("CORRUPT", `this is no ${expected.what}`, { hint })
    case TRUNCATED:
      return new PrismError("TRUNCATED", `the ${expected.what} ends too early`, { hint })
    case HEADER_DAMAGED:
      return new PrismError("CORRUPT", `the header of the ${expected.what} is damaged`, { hint })
    case TABLE_DAMAGED:
      return new PrismError("CORRUPT", `the section table of the ${expected.what} is damaged`, { hint })
    case SECTION_DAMAGED:
      return new PrismError("CORRUPT", `the ${expected.what} is damaged: a section has another checksum`, { hint })
    case VERSION:
      return new PrismError(
        "INCOMPATIBLE_VERSION",
        `the ${expected.what} has format version ${version}, this engine reads ${expected.version}`,
        { hint: "restore it from a portable export" },
      )
    default:
      assert(false, `blobCheck returned ${failure}`)
  }
}
