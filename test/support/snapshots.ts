// A small snapshot, and tars of any kind to hold readers against.
import { concatBytes, encodeUtf8 } from "../../src/base/bytes.ts"
import {
  type SnapshotDescription,
  type SnapshotFile,
  type SnapshotMeasure,
  type SnapshotMetadata,
  type SnapshotPiece,
  SnapshotReader,
  type SnapshotReadOptions,
  writeSnapshot,
} from "../../src/formats/snapshot.ts"
import { TAR_END, tarHeader, tarPadding } from "../../src/formats/tar.ts"
import { Random } from "./random.ts"
import { runtime } from "./runtime.ts"

export const createSha256 = (): ReturnType<typeof runtime.createSha256> => runtime.createSha256()

export function sha256(bytes: Uint8Array): string {
  const hash = createSha256()
  hash.update(bytes)
  return hash.digestHex()
}

export interface Sample {
  readonly description: SnapshotDescription
  readonly files: readonly SnapshotFile[]
  readonly contents: ReadonlyMap<string, Uint8Array>
}

export function sampleFile(name: string, bytes: Uint8Array, sliceLength = 100): SnapshotFile {
  return {
    name,
    length: bytes.length,
    sha256: sha256(bytes),
    async *read() {
      for (let at = 0; at < bytes.length; at += sliceLength) yield bytes.subarray(at, at + sliceLength)
    },
  }
}

/** Two segments, the second with deleted documents and without vectors; one file is empty, one ends on a block. */
export function sample(seed = 1, changes: Partial<SnapshotDescription> = {}): Sample {
  const random = new Random(seed)
  const bytes = (length: number): Uint8Array => Uint8Array.from({ length }, () => random.below(256))
  const contents = new Map([
    ["text/0-a.text", bytes(700)],
    ["text/0-a.documents", bytes(512)],
    ["text/1-b.text", bytes(0)],
    ["text/1-b.documents", bytes(33)],
    ["text/1-b.4.tombstones", bytes(20)],
    ["vector/0-a.vector", bytes(1030)],
  ])
  const description: SnapshotDescription = {
    collection: "products",
    prismVersion: "0.1.0",
    exportedAt: "2026-11-22T10:00:00.000Z",
    generation: 7,
    documentCount: 5,
    backends: { text: true, vector: true, graph: false },
    schema: "backends:\n  text:\n    fields:\n      - {name: title, type: text} # größer\n",
    redacted: [],
    segmentFormats: { text: 3, documents: 1, vector: 2 },
    segments: [
      {
        documents: 4,
        deleted: 0,
        vectors: 3,
        level: 1,
        files: { text: "text/0-a.text", documents: "text/0-a.documents", vector: "vector/0-a.vector" },
      },
      {
        documents: 3,
        deleted: 2,
        vectors: 0,
        level: 0,
        files: { text: "text/1-b.text", documents: "text/1-b.documents", tombstones: "text/1-b.4.tombstones" },
      },
    ],
    ...changes,
  }
  return { description, files: [...contents].map(([name, content]) => sampleFile(name, content)), contents }
}

export async function write({ description, files }: Pick<Sample, "description" | "files">): Promise<{
  tar: Uint8Array
  pieces: SnapshotPiece[]
  measure: SnapshotMeasure
}> {
  const writer = writeSnapshot(description, files, createSha256)
  const pieces: SnapshotPiece[] = []
  for (;;) {
    const { done, value } = await writer.next()
    if (done) return { tar: concatBytes(pieces.map(({ bytes }) => bytes)), pieces, measure: value }
    pieces.push(value)
  }
}

/** `bytes` in slices of the given lengths, over and over. */
export async function* sliced(bytes: Uint8Array, lengths: readonly number[] = [1000]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const end = at + lengths[i % lengths.length]!
    yield bytes.slice(at, end)
    at = end
  }
}

export interface ReadBack {
  readonly metadata: SnapshotMetadata
  readonly schema: string
  /** Content by name, in the archive's order. */
  readonly contents: Map<string, Uint8Array>
}

export async function read(
  tar: AsyncIterable<Uint8Array>,
  options: Partial<SnapshotReadOptions> = {},
): Promise<ReadBack> {
  await using reader = await SnapshotReader.open(tar, { createSha256, ...options })
  const contents = new Map<string, Uint8Array>()
  for await (const { name, body } of reader) {
    const pieces: Uint8Array[] = []
    for await (const bytes of body) pieces.push(bytes.slice())
    contents.set(name, concatBytes(pieces))
  }
  const { metadata, schema } = reader.finish()
  return { metadata, schema, contents }
}

/** One entry of a tar as it stands there. */
export interface RawEntry {
  readonly name: string
  readonly body: Uint8Array
  /** Written over the header, whose checksum is made to fit. */
  readonly header?: readonly (readonly [offset: number, bytes: string | Uint8Array])[]
}

export function rawEntry({ name, body, header = [] }: RawEntry): Uint8Array {
  const block = tarHeader(name, body.length)
  for (const [offset, bytes] of header) block.set(typeof bytes === "string" ? encodeUtf8(bytes) : bytes, offset)
  block.fill(0x20, 148, 156)
  const sum = block.reduce((total, byte) => total + byte, 0)
  block.set(encodeUtf8(`${sum.toString(8).padStart(6, "0")}\0 `), 148)
  return concatBytes([block, body, tarPadding(body.length)])
}

export function rawTar(entries: readonly RawEntry[]): Uint8Array {
  return concatBytes([...entries.map(rawEntry), TAR_END])
}

/** A PAX header that holds for the entry behind it (POSIX.1-2001, pax Extended Header). */
export function paxHeader(records: Readonly<Record<string, string>>, type = "x"): RawEntry {
  const lines = Object.entries(records).map(([key, value]) => {
    const rest = encodeUtf8(` ${key}=${value}\n`).length
    let length = rest + String(rest).length
    length = rest + String(length).length
    return `${length} ${key}=${value}\n`
  })
  return { name: "PaxHeaders/x", body: encodeUtf8(lines.join("")), header: [[156, type]] }
}

/** A name of any length for the entry behind it, as GNU tar writes it. */
export function gnuLongName(name: string): RawEntry {
  return {
    name: "././@LongLink",
    body: encodeUtf8(`${name}\0`),
    header: [
      [156, "L"],
      [257, "ustar  \0"],
    ],
  }
}
