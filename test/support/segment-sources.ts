// Logs and segments to build from, and what they hold, worked out apart from the builder.
import type { BuildSource } from "../../src/collection/segment-builder.ts"
import type { SegmentEntry } from "../../src/storage/manifest.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { type WalOperation, WalWriter } from "../../src/storage/wal.ts"
import type { Random } from "./random.ts"

export const DIMENSION = 6

export const SCHEMA = JSON.stringify({
  backends: {
    text: {
      fields: [
        { name: "words", type: "text" },
        { name: "number", type: "i64" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: DIMENSION, distance: "euclidean" },
  },
})

export const WORDS = ["ash", "birch", "cedar", "elm", "fir", "hazel", "juniper", "larch"]

export interface Put {
  readonly kind: "put"
  readonly id: string
  readonly fieldsJson: string
  readonly vector: Float32Array | undefined
}

/** A put of some words, a number and, mostly, a vector. */
export function randomPut(random: Random, id: string): Put {
  const words = Array.from({ length: 1 + random.below(6) }, () => WORDS[random.below(WORDS.length)]).join(" ")
  const vector = random.below(4) === 0 ? undefined : Float32Array.from({ length: DIMENSION }, () => random.normal())
  // Spelled as no JSON.stringify would, so that a copy that is parsed and written again shows.
  const fieldsJson = `{"number":${random.below(9)}.0,"words":"${words}","\\u0061":"\\/é🦉"}`
  return { kind: "put", id, fieldsJson, vector }
}

/** Makes the folders of a collection. */
export async function makeFolders(storage: Storage, directory: string): Promise<void> {
  for (const folder of ["", "/text", "/vector"]) await storage.makeDirectory(directory + folder)
}

/** Writes a log, several operations a frame, and takes all its puts as a source, those in `dead` as deleted. */
export async function writeLog(
  storage: Storage,
  directory: string,
  walNumber: number,
  operations: readonly WalOperation[],
  dead: ReadonlySet<number> = new Set(),
): Promise<Extract<BuildSource, { kind: "log" }>> {
  const path = `wal-${String(walNumber).padStart(6, "0")}.log`
  await using wal = await WalWriter.create(storage, `${directory}/${path}`, { walNumber })
  for (let first = 0; first < operations.length; first += 7) await wal.append(operations.slice(first, first + 7))
  const documentCount = operations.filter(({ kind }) => kind === "put").length
  const log = { number: walNumber, path, length: wal.length }
  return { kind: "log", log, documentCount, live: liveBits(documentCount, dead) }
}

export function segmentSource(entry: SegmentEntry, dead: ReadonlySet<number> = new Set()): BuildSource {
  return { kind: "segment", entry, live: liveBits(entry.documentCount, dead) }
}

export function liveBits(documentCount: number, dead: ReadonlySet<number>): Uint8Array {
  const bits = new Uint8Array((documentCount + 7) >>> 3)
  for (let docOrd = 0; docOrd < documentCount; docOrd++) {
    if (!dead.has(docOrd)) bits[docOrd >>> 3] = (bits[docOrd >>> 3] ?? 0) | (1 << (docOrd & 7))
  }
  return bits
}

/** Some of 0 … count - 1. */
export function randomOrdinals(random: Random, count: number, share: number): Set<number> {
  return new Set(Array.from({ length: count }, (_, docOrd) => docOrd).filter(() => random.unit() < share))
}
