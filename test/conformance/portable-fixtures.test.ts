import { assert, describe, test } from "vitest"
import { decodeUtf8 } from "../../src/base/bytes.ts"
import { type CheckedDocument, DocumentChecker, parseDocumentLine } from "../../src/collection/document.ts"
import { parseSchema, type Schema } from "../../src/collection/schema.ts"
import { encodeDocumentLine, PortableReader, type PortableReport } from "../../src/formats/portable.ts"
import { runtime } from "../support/runtime.ts"

// Written by hand, their checksums by sha256sum. From the first release on every version's file stays readable.

async function restore(path: string) {
  const documents: CheckedDocument[] = []
  const lines: string[] = []
  await using reader = await PortableReader.open(await runtime.files.read(path), {
    createSha256: () => runtime.createSha256(),
  })
  const schema: Schema = parseSchema(reader.header.schema, { from: "archive" })
  const checker = new DocumentChecker(schema)
  for await (const batch of reader) {
    for (const line of batch) {
      assert.isUndefined(line.error)
      lines.push(line.text!)
      documents.push(checker.check(parseDocumentLine(line.text!), { from: "archive" }))
    }
  }
  const report: PortableReport = reader.report
  return { header: reader.header, schema, documents, lines, report }
}

test("an archive of version 1", async () => {
  const { header, schema, documents, lines, report } = await restore("test/fixtures/portable-v1.prism.jsonl")
  assert.deepEqual([report.checksum, report.header, report.lineCount], ["verified", "verified", 3])
  assert.deepEqual([header.unknownKeys, schema.unknownKeys, schema.warnings], [[], [], []])
  assert.equal(schema.vector?.dimension, 3)
  // Lossless: what was stored is what was in the file, to the letter.
  const vectors = ["[0.1,-0.25,1]", "[3.4028235e38,1e-45,0]", undefined]
  for (const [i, { id, fieldsJson, vector }] of documents.entries()) {
    const vectorJson = vectors[i] === undefined ? undefined : new TextEncoder().encode(vectors[i])
    assert.equal(decodeUtf8(encodeDocumentLine(id, fieldsJson, vectorJson)), lines[i])
    assert.deepEqual(vector, vectorJson && Float32Array.from(JSON.parse(vectors[i]!) as number[]))
  }
})

describe("an archive as 0.6 wrote them", () => {
  test("comes in whole", async () => {
    const { header, schema, documents, report } = await restore("test/fixtures/portable-0.6.prism.jsonl")
    assert.deepEqual([report.checksum, report.header, report.lineCount], ["not verified", "not verified", 5])
    assert.deepEqual([header.unknownKeys, schema.unknownKeys], [[], []])
    assert.deepEqual(
      documents.map(({ id, fieldsJson, vector, plainBytesCount }) => [
        id,
        fieldsJson,
        vector && [...vector],
        plainBytesCount,
      ]),
      [
        [
          "no-vector",
          '{"_boost":1.0,"title":"a document without its vector","_indexed_at":"2026-11-22T17:31:06Z"}',
          undefined,
          0,
        ],
        ["vector", '{"_indexed_at":"2026-11-22T17:31:06Z","at":-1500000,"_boost":2.5}', [1, 0], 0],
        [
          "inside",
          '{"at":"2017-01-01T00:00:00Z","_boost":1.0,"_indexed_at":"2026-11-22T17:31:07Z"}',
          [0.6, -0.8].map(Math.fround),
          0,
        ],
        ["", '{"blob":"not base64 !! ü","_indexed_at":"2026-11-22T17:31:08Z","_boost":1.0}', undefined, 1],
        ["id\nnewline", '{"_indexed_at":"2026-11-22T17:31:08Z","blob":"AAEC/f7/","_boost":1.0}', undefined, 0],
      ],
    )
  })
})

// Files of the original itself; not part of the project.
const ORIGINAL = "../shared/data/original"
const samples: [string, number, number][] = [
  ["text25", 25, 0],
  ["alltypes", 92, 1],
  ["hybrid4.with-vectors", 12, 0],
]
for (const [name, count, plainBytes] of samples) {
  const path = `${ORIGINAL}/${name}.prism.jsonl`
  const isHere = (await runtime.files.size(path)) !== undefined
  test.skipIf(!isHere)(
    `the original's ${name}.prism.jsonl comes in whole${isHere ? "" : ` (needs ${path})`}`,
    async () => {
      const { documents, lines, report, schema } = await restore(path)
      assert.equal(report.lineCount, count)
      assert.deepEqual(schema.unknownKeys, [])
      assert.equal(
        documents.reduce((sum, document) => sum + document.plainBytesCount, 0),
        plainBytes,
      )
      for (const [i, document] of documents.entries()) {
        const { id, fields } = JSON.parse(lines[i]!) as { id: string; fields: Record<string, unknown> }
        delete fields.id
        assert.equal(document.id, id)
        assert.deepEqual(JSON.parse(document.fieldsJson), fields)
      }
    },
  )
}
