import { createHash } from "node:crypto"
import { expect, test } from "vitest"
import { encodeUtf8 } from "../../src/base/bytes.ts"
import { crc32c } from "../../src/base/crc32c.ts"
import { createSha256 } from "../../src/runtime-node/sha256.ts"
import { DocumentStoreReader, DocumentStoreWriter, type StoredDocument } from "../../src/storage/document-store.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import type { ReadableFile } from "../../src/storage/storage.ts"
import { FaultyStorage, writeWhole } from "../support/faulty-storage.ts"
import { Random } from "../support/random.ts"
import { refusal, refusalCode } from "../support/refusal.ts"

const FOOTER_BYTES = 32

function randomDocuments(seed: number, count: number, bytesMax: number): StoredDocument[] {
  const random = new Random(seed)
  return Array.from({ length: count }, (_, place) => ({
    id: `${place}-${["é", "日", "🦉", "x"].slice(0, random.below(5)).join("")}`,
    fieldsJson: JSON.stringify({ text: "lorem ipsum é ".repeat(random.below(bytesMax / 14 + 1)) }),
  }))
}

const encoded = ({ id, fieldsJson }: StoredDocument) => ({ id: encodeUtf8(id), fields: encodeUtf8(fieldsJson) })

async function write(documents: readonly StoredDocument[]): Promise<Uint8Array> {
  const storage = new MemoryStorage()
  await using file = await storage.create("docs")
  const writer = new DocumentStoreWriter(file, createSha256())
  for (const document of documents) await writer.add(encoded(document))
  const { length, sha256, documentCount } = await writer.finish()
  const bytes = await storage.read("docs")
  expect(length).toBe(bytes.length)
  expect(sha256).toBe(createHash("sha256").update(bytes).digest("hex"))
  expect(documentCount).toBe(documents.length)
  return bytes
}

/** A file in memory that notes each read. */
function fileOf(bytes: Uint8Array): ReadableFile & { reads: { offset: number; length: number }[] } {
  const reads: { offset: number; length: number }[] = []
  const close = async () => {}
  return {
    path: "docs",
    size: bytes.length,
    reads,
    async read(offset, length) {
      reads.push({ offset, length })
      expect(offset + length).toBeLessThanOrEqual(bytes.length)
      return bytes.slice(offset, offset + length)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

async function readAll(bytes: Uint8Array): Promise<StoredDocument[]> {
  const reader = await DocumentStoreReader.open(fileOf(bytes))
  const documents: StoredDocument[] = []
  for await (const { docOrd, id, fieldsJson } of reader.scan()) {
    expect(docOrd).toBe(documents.length)
    documents.push({ id, fieldsJson })
  }
  return documents
}

test.each([
  ["no document", []],
  ["one empty document", [{ id: "", fieldsJson: "" }]],
  ["many small documents", randomDocuments(1, 5000, 60)],
  ["documents of all sizes", randomDocuments(2, 60, 200_000)],
  ["a document larger than a scan reads at once", randomDocuments(3, 3, 4_000_000)],
] as const)("%s come back by ordinal and in order", async (_, documents) => {
  const bytes = await write(documents)
  expect(await readAll(bytes)).toEqual(documents)
  const file = fileOf(bytes)
  const reader = await DocumentStoreReader.open(file)
  expect(reader.documentCount).toBe(documents.length)
  const random = new Random(9)
  for (let round = 0; round < Math.min(200, documents.length * 4); round++) {
    const docOrd = random.below(documents.length)
    const readsBefore = file.reads.length
    expect(await reader.get(docOrd)).toEqual(documents[docOrd])
    expect(file.reads.length - readsBefore).toBe(1)
  }
})

test("a scan begins anywhere and reads the file once, in pieces", async () => {
  const documents = randomDocuments(4, 3000, 2000)
  const bytes = await write(documents)
  const file = fileOf(bytes)
  const reader = await DocumentStoreReader.open(file)
  for (const from of [0, 1, 57, 1499, documents.length - 1, documents.length]) {
    file.reads.length = 0
    const seen: string[] = []
    for await (const { docOrd, id } of reader.scan(from)) {
      expect(docOrd).toBe(from + seen.length)
      seen.push(id)
    }
    expect(seen).toEqual(documents.slice(from).map(({ id }) => id))
    expect(file.reads.reduce((sum, { length }) => sum + length, 0)).toBeLessThanOrEqual(bytes.length)
    for (const { length } of file.reads) expect(length).toBeLessThanOrEqual(1024 * 1024)
  }
})

test("a flipped byte is found whatever it hits, and no other document comes back in its place", async () => {
  const bytes = await write(randomDocuments(5, 12, 80))
  for (let at = 0; at < bytes.length; at++) {
    const flipped = bytes.slice()
    flipped[at]! ^= 1 << (at % 8)
    const error = await refusal(readAll(flipped))
    expect(error.code, `byte ${at}`).toBe("CORRUPT")
    const [, from, to] = /^docs, bytes (\d+) to (\d+)$/.exec(error.place!)!
    expect(Number(from) < bytes.length && Number(to) <= bytes.length).toBe(true)
  }
})

test("damage in one block leaves the documents of the others", async () => {
  const documents = randomDocuments(6, 2000, 200)
  const bytes = await write(documents)
  const random = new Random(7)
  for (let round = 0; round < 20; round++) {
    const flipped = bytes.slice()
    flipped[12 + random.below(bytes.length - 1000)]! ^= 0x10
    const reader = await DocumentStoreReader.open(fileOf(flipped))
    let damaged = 0
    for (const [docOrd, document] of documents.entries()) {
      if (docOrd % 7 > 0) continue
      try {
        expect(await reader.get(docOrd)).toEqual(document)
      } catch (error) {
        expect((error as { code?: string }).code).toBe("CORRUPT")
        damaged++
      }
    }
    expect(damaged).toBeGreaterThan(0)
    expect(damaged).toBeLessThan(documents.length / 14)
  }
})

test("a file cut anywhere is refused when it is opened", async () => {
  const bytes = await write(randomDocuments(8, 12, 80))
  for (let cut = 0; cut < bytes.length; cut++) {
    const code = await refusalCode(DocumentStoreReader.open(fileOf(bytes.subarray(0, cut))))
    expect(["TRUNCATED", "CORRUPT"]).toContain(code)
  }
})

test("lengths in the footer are checked before they are used, although its checksum fits", async () => {
  const bytes = await write(randomDocuments(10, 12, 80))
  for (const [field, value] of [
    [0, 2n ** 40n],
    [8, 2n ** 40n],
    [8, 0n],
    [16, 0xffff_ffff_0000_0001n],
    [16, 0x0000_0001_ffff_ffffn],
    [16, 0n],
  ] as const) {
    const forged = bytes.slice()
    const footer = forged.subarray(forged.length - FOOTER_BYTES)
    const view = new DataView(footer.buffer, footer.byteOffset)
    view.setBigUint64(field, value, true)
    view.setUint32(28, crc32c(forged.subarray(0, 12), crc32c(footer.subarray(0, 28))), true)
    expect(await refusalCode(readAll(forged)), `${field} = ${value}`).toBe("CORRUPT")
  }
})

test("a newer version is refused by name", async () => {
  const bytes = await write([])
  const view = new DataView(bytes.buffer)
  view.setUint16(4, 2, true)
  view.setUint32(8, crc32c(bytes.subarray(0, 8)), true)
  const error = await refusal(DocumentStoreReader.open(fileOf(bytes)))
  expect(error.code).toBe("INCOMPATIBLE_VERSION")
  expect(error.message).toMatch(/version 2/)
  const other = new MemoryStorage()
  await writeWhole(other, "docs", new TextEncoder().encode("a file that is something else entirely, and long enough"))
  expect(await refusalCode(DocumentStoreReader.open(await other.open("docs")))).toBe("CORRUPT")
})

test("a finished store is durable", async () => {
  const disk = new FaultyStorage()
  const documents = randomDocuments(11, 100, 1000)
  await using file = await disk.create("docs")
  const writer = new DocumentStoreWriter(file, createSha256())
  for (const document of documents) await writer.add(encoded(document))
  await writer.finish()
  await disk.syncDirectory("")
  expect(await readAll(await (await disk.crash()).read("docs"))).toEqual(documents)
})
