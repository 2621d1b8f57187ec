import fc from "fast-check"
import { assert, describe, test } from "vitest"
import { concatBytes, decodeUtf8, encodeUtf8, equalBytes, toBase64 } from "../../src/base/bytes.ts"
import { type ErrorCode, PrismError } from "../../src/base/errors.ts"
import type { VerifyReport } from "../../src/collection/archive/options.ts"
import { verifyArchive } from "../../src/collection/archive/verify.ts"
import {
  encodeDocumentLine,
  encodeHeader,
  LINE_BYTES_MAX,
  measureLines,
  type PortableDescription,
  PortableReader,
  type PortableReport,
  sniffArchive,
  writePortable,
} from "../../src/formats/portable.ts"
import { runtime } from "../support/runtime.ts"
import { streamOf } from "../support/streams.ts"

const createSha256 = () => runtime.createSha256()

const SCHEMA = "backends:\n  text:\n    fields:\n      - {name: title, type: text} # größer\n"
const description: PortableDescription = {
  collection: "products",
  prismVersion: "0.1.0",
  exportedAt: "2026-11-22T10:00:00.000Z",
  backends: { text: true, vector: false, graph: false },
  schema: SCHEMA,
}
const DOCUMENTS = [
  encodeDocumentLine("a", '{"title":"one"}'),
  encodeDocumentLine('b"\n', '{"title":"zwei €"}'),
  encodeDocumentLine("", "{}", encodeUtf8("[0.1,-1e-7]")),
]

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items
}

async function write(lines: Uint8Array[], about = description): Promise<{ bytes: Uint8Array; fileSha256: string }> {
  const measure = await measureLines({ documents: each(lines) }, createSha256)
  const writer = writePortable(about, measure, { documents: each(lines) }, createSha256)
  const chunks: Uint8Array[] = []
  for (;;) {
    const { done, value } = await writer.next()
    if (!done) chunks.push(value)
    else return { bytes: concatBytes(chunks), fileSha256: value.fileSha256 }
  }
}

interface ReadBack {
  header: PortableReader["header"]
  lines: { lineNumber: number; text: string | undefined; code: ErrorCode | undefined }[]
  report: PortableReport
}

async function read(bytes: Uint8Array, options: { chunk?: number; lineBytesMax?: number } = {}): Promise<ReadBack> {
  const { chunk = 1000, ...limits } = options
  await using reader = await PortableReader.open(streamOf(bytes, chunk), { createSha256, ...limits })
  const lines: ReadBack["lines"] = []
  for await (const batch of reader) {
    for (const { lineNumber, text, error } of batch) lines.push({ lineNumber, text, code: error?.code })
  }
  return { header: reader.header, lines, report: reader.report }
}

async function refusal(bytes: Uint8Array, options = {}): Promise<PrismError> {
  try {
    await read(bytes, options)
  } catch (error) {
    assert.instanceOf(error, PrismError)
    return error
  }
  throw new Error("accepted")
}

/** WebCrypto's, for what the streaming hash of the port says. */
async function sha256(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes.slice())
  return [...new Uint8Array(digest)].map((byte) => byte.toString(16).padStart(2, "0")).join("")
}

const without = (bytes: Uint8Array, unwanted: number): Uint8Array => bytes.filter((byte) => byte !== unwanted)
const textOf = (text: string): Uint8Array => encodeUtf8(text)
/** An archive of hand-made lines; no checksum unless given. */
function archive(metadata: object, lines: string[] = [], root: object = {}): Uint8Array {
  const header = {
    format: "prism-portable-v1",
    metadata: { version: "1.0", collection: "c", document_count: lines.length, checksum: null, ...metadata },
    schema_b64: toBase64(textOf(SCHEMA)),
    ...root,
  }
  return textOf([JSON.stringify(header), ...lines].map((line) => `${line}\n`).join(""))
}

describe("what is written reads back", () => {
  test("header, lines, count and both hashes", async () => {
    const { bytes, fileSha256 } = await write(DOCUMENTS)
    const { header, lines, report } = await read(bytes)
    assert.equal(header.schema, SCHEMA)
    assert.equal(header.collection, "products")
    assert.deepEqual(header.backends, description.backends)
    assert.deepEqual(header.unknownKeys, [])
    assert.deepEqual(
      lines.map((line) => line.text),
      DOCUMENTS.map(decodeUtf8),
    )
    assert.deepEqual(
      lines.map((line) => line.lineNumber),
      [2, 3, 4],
    )
    assert.deepEqual(report, {
      checksum: "verified",
      header: "verified",
      lineCount: 3,
      fileSha256: await sha256(bytes),
      sizeBytes: bytes.length,
    })
    assert.equal(fileSha256, report.fileSha256)
  })

  test("the checksum is that of `tail -n +2 FILE | tr -d '\\n' | sha256sum`", async () => {
    const { bytes } = await write(DOCUMENTS)
    const tail = bytes.subarray(bytes.indexOf(0x0a) + 1)
    const header = JSON.parse(decodeUtf8(bytes.subarray(0, bytes.indexOf(0x0a))))
    assert.equal(header.metadata.checksum, await sha256(without(tail, 0x0a)))
    assert.equal(header.metadata.size_bytes, tail.length)
    assert.equal(header.metadata.document_count, 3)
  })

  test("the header's checksum is that of line 1 with zeros in its place", async () => {
    const measure = await measureLines({ documents: each(DOCUMENTS) }, createSha256)
    const line = encodeHeader(description, measure, createSha256)
    const { header_checksum } = JSON.parse(line).metadata
    assert.equal(header_checksum, await sha256(textOf(line.replace(header_checksum, "0".repeat(64)))))
    assert.equal(line, encodeHeader(description, measure, createSha256))
  })

  test("an empty collection", async () => {
    const { bytes } = await write([])
    const { lines, report } = await read(bytes)
    assert.deepEqual([lines.length, report.lineCount, report.checksum], [0, 0, "verified"])
    const { checksum } = JSON.parse(decodeUtf8(bytes)).metadata
    assert.equal(checksum, await sha256(new Uint8Array(0)))
  })

  test("paths of credentials that were taken out", async () => {
    const { bytes } = await write(DOCUMENTS, { ...description, redacted: ["storage.secret_key"] })
    assert.deepEqual((await read(bytes)).header.redacted, ["storage.secret_key"])
  })

  test("lines of any length in chunks of any size", async () => {
    const long = [1, 65_535, 65_536, 65_537, 200_000].map((n) => encodeDocumentLine("x", `{"t":"${"é".repeat(n)}"}`))
    const { bytes } = await write(long)
    for (const chunk of [7, 4096, 65_536, 1e9]) {
      const { lines, report } = await read(bytes, { chunk })
      assert.deepEqual(
        lines.map((line) => line.text),
        long.map(decodeUtf8),
      )
      assert.equal(report.checksum, "verified")
    }
  })

  test("writing refuses to end well when the documents changed in between", async () => {
    const measure = await measureLines({ documents: each(DOCUMENTS) }, createSha256)
    const writer = writePortable(description, measure, { documents: each(DOCUMENTS.slice(1)) }, createSha256)
    let error: unknown
    try {
      for await (const _ of writer);
    } catch (caught) {
      error = caught
    }
    assert.match(String(error), /changed between/)
  })
})

describe("a reader is lenient about line ends", () => {
  test("CR LF, a byte order mark, blank lines and a missing last line end change nothing", async () => {
    const { bytes } = await write(DOCUMENTS)
    const text = decodeUtf8(bytes)
    const wanted = (await read(bytes)).lines.map((line) => line.text)
    const variants = [
      text.replaceAll("\n", "\r\n"),
      `\ufeff${text}`,
      `\ufeff${text.replaceAll("\n", "\r\n")}`,
      text.slice(0, -1),
      text.replaceAll("\n", "\r\n").slice(0, -1),
      text.replaceAll("\n", "\n\n\r\n"),
      `\n\r\n${text}`,
    ]
    for (const variant of variants) {
      for (const chunk of [1, 2, 3, 1000]) {
        const { lines, report } = await read(textOf(variant), { chunk })
        assert.deepEqual(
          lines.map((line) => line.text),
          wanted,
        )
        assert.deepEqual([report.checksum, report.header], ["verified", "verified"])
        assert.equal(report.fileSha256, await sha256(textOf(variant)))
      }
    }
  })

  test("only one CR before the LF is part of the line end", async () => {
    const line = '{"id":"a","fields":{}}\r'
    const checksum = await sha256(textOf(line))
    const bytes = archive({ checksum, document_count: 1 }, [`${line}\r`])
    for (const chunk of [1, 5, 1000]) assert.equal((await read(bytes, { chunk })).lines[0]?.text, line)
  })
})

describe("damage is noticed", () => {
  test("every byte of a small archive changed: an error, or exactly the same content", async () => {
    const { bytes } = await write(DOCUMENTS)
    const wanted = await read(bytes)
    const content = ({ header, lines }: ReadBack) => [
      header.collection,
      header.schema,
      lines.map((line) => [line.text, line.code]),
    ]
    let survived = 0
    for (let at = 0; at < bytes.length; at++) {
      for (const flip of [0x01, 0x07, 0x20, 0x80]) {
        const changed = bytes.slice()
        changed[at]! ^= flip
        try {
          assert.deepEqual(content(await read(changed)), content(wanted))
          survived++
        } catch (error) {
          if (!(error instanceof PrismError)) throw error
        }
      }
    }
    // The last LF as CR, and the name of the key header_checksum: its digits are not looked at then.
    assert.isAtMost(survived, 1 + 4 * "header_checksum".length)
  })

  test("cut after any byte: an error, but for the last line end", async () => {
    const { bytes } = await write(DOCUMENTS)
    for (let length = 0; length < bytes.length - 1; length++) {
      const error = await refusal(bytes.subarray(0, length))
      const codes: ErrorCode[] = length === 0 ? ["INVALID_FORMAT"] : ["TRUNCATED", "CHECKSUM_MISMATCH"]
      assert.include(codes, error.code, `cut at ${length}: ${error.message}`)
    }
    assert.equal((await read(bytes.subarray(0, -1))).report.checksum, "verified")
  })

  test("each kind with its own error", async () => {
    const { bytes } = await write(DOCUMENTS)
    const lines = decodeUtf8(bytes).trimEnd().split("\n")
    const file = (changed: string[]): Uint8Array => textOf(changed.map((line) => `${line}\n`).join(""))
    const cases: [Uint8Array, ErrorCode, RegExp][] = [
      [file([lines[0]!, lines[2]!, lines[1]!, lines[3]!]), "CHECKSUM_MISMATCH", /^Checksum verification failed$/],
      [file([lines[0]!, lines[1]!.replace("one", "two"), ...lines.slice(2)]), "CHECKSUM_MISMATCH", /^Checksum veri/],
      [file([lines[0]!.replace("products", "produkts"), ...lines.slice(1)]), "CHECKSUM_MISMATCH", /^Checksum veri/],
      [file(lines.slice(0, 3)), "TRUNCATED", /^the archive ends after 2 of 3 documents$/],
      [file([...lines, lines[1]!]), "CHECKSUM_MISMATCH", /^Checksum verification failed$/],
      [archive({ document_count: 1 }, ["{}", "{}"]), "CORRUPT", /holds 2 documents, its header says 1/],
      [archive({ document_count: 3 }, ["{}", "{}"]), "TRUNCATED", /ends after 2 of 3/],
    ]
    for (const [changed, code, message] of cases) {
      const error = await refusal(changed)
      assert.equal(error.code, code)
      assert.match(error.message, message)
      assert.isDefined(error.hint)
    }
  })
})

describe("older writers", () => {
  test("a null checksum is reported as not verified, a missing one refused", async () => {
    const { report } = await read(archive({}, ["{}"]))
    assert.deepEqual([report.checksum, report.header], ["not verified", "not verified"])
    const error = await refusal(archive({ checksum: undefined }, ["{}"]))
    assert.deepEqual([error.code, error.place], ["INVALID_FORMAT", "line 1"])
    assert.match(error.message, /checksum/)
  })

  test("a missing header_checksum beside a checksum is a header that is not verified", async () => {
    const checksum = await sha256(textOf("{}"))
    const { report } = await read(archive({ checksum }, ["{}"]))
    assert.deepEqual([report.checksum, report.header], ["verified", "not verified"])
  })

  test("keys that are not known are reported", async () => {
    const { header } = await read(archive({ node_count: 1 }, [], { extra: [] }))
    assert.deepEqual(header.unknownKeys, ["extra", "metadata.node_count"])
  })
})

describe("files that are something else", () => {
  const document = '{"id":"a","title":"x"}\n'
  test.each<[string, Uint8Array, ErrorCode, RegExp]>([
    ["an empty file", new Uint8Array(0), "INVALID_FORMAT", /empty/],
    ["blank lines", textOf("\n\n \r\n"), "INVALID_FORMAT", /blank/],
    ["text", textOf("Dear Sir,\n"), "INVALID_FORMAT", /not a portable archive/],
    ["JSON lines", textOf(document), "INVALID_FORMAT", /no "format"/],
    ["a JSON list", textOf(`[${document}]`), "INVALID_FORMAT", /not a portable archive/],
    ["JSON of another kind", textOf('{"format":"csv"}\n'), "INVALID_FORMAT", /format "csv"/],
    ["a later version", archive({}, [], { format: "prism-portable-v3" }), "INCOMPATIBLE_VERSION", /v3/],
    ["a later revision", archive({ version: "2.0" }), "INCOMPATIBLE_VERSION", /2\.0/],
    ["an encrypted archive", textOf("PENC\u0001\u0000"), "INVALID_FORMAT", /encrypted/],
    ["zstd", Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 4, 0), "INVALID_FORMAT", /zstd/],
    ["gzip", Uint8Array.of(0x1f, 0x8b, 8, 0), "INVALID_FORMAT", /gzip/],
    ["UTF-16", Uint8Array.of(0xff, 0xfe, 0x7b, 0), "INVALID_FORMAT", /UTF-16/],
    ["a binary file", Uint8Array.of(0x7f, 0x45, 0x4c, 0x46, 0, 1, 2), "INVALID_FORMAT", /binary/],
    ["Latin-1", Uint8Array.of(0x7b, 0xe9, 0x7d, 0x0a), "INVALID_FORMAT", /UTF-8/],
    ["a header without metadata", textOf('{"format":"prism-portable-v1"}\n'), "INVALID_FORMAT", /metadata/],
    ["a key twice", textOf('{"format":"prism-portable-v1","format":"x"}\n'), "INVALID_FORMAT", /twice/],
    ["a bad count", archive({ document_count: -1 }), "INVALID_FORMAT", /document_count/],
    ["a bad checksum", archive({ checksum: "A".repeat(64) }), "INVALID_FORMAT", /checksum/],
    ["a bad header checksum", archive({ header_checksum: "0" }), "INVALID_FORMAT", /header_checksum/],
    ["no schema", archive({}, [], { schema_b64: null }), "INVALID_FORMAT", /schema_b64/],
    ["a schema that is no base64", archive({}, [], { schema_b64: "a b" }), "INVALID_FORMAT", /schema_b64/],
  ])("%s", async (_name, bytes, code, message) => {
    for (const chunk of [1, 1000]) {
      const error = await refusal(bytes, { chunk })
      assert.equal(error.code, code)
      assert.match(error.message, message)
      assert.isDefined(error.hint)
    }
  })

  test("are told from archives by their first bytes", async () => {
    const { bytes } = await write(DOCUMENTS)
    assert.equal(sniffArchive(bytes.subarray(0, 32)), "portable")
    assert.equal(sniffArchive(concatBytes([Uint8Array.of(0xef, 0xbb, 0xbf), bytes])), "portable")
    assert.equal(sniffArchive(textOf("PENC")), "encrypted")
    assert.equal(sniffArchive(Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd)), "zstd")
    assert.equal(sniffArchive(textOf(document)), undefined)
    assert.equal(sniffArchive(new Uint8Array(0)), undefined)
  })

  test("are refused before a line end is looked for", async () => {
    let pulls = 0
    let cancelled = false
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulls++
        controller.enqueue(new Uint8Array(1000).fill(pulls === 1 ? 0 : 0x61))
      },
      cancel() {
        cancelled = true
      },
    })
    let error: unknown
    try {
      await PortableReader.open(endless, { createSha256 })
    } catch (caught) {
      error = caught
    }
    assert.match(String(error), /binary/)
    assert.isTrue(cancelled)
    assert.isAtMost(pulls, 4)
  })
})

describe("bad lines", () => {
  test("a line over the limit is an error of its own, hashed but not kept", async () => {
    const lines = ["ok", "x".repeat(1000), "y".repeat(1001), "z".repeat(100_000), "ok"].map((text) =>
      JSON.stringify(text),
    )
    const checksum = await sha256(textOf(lines.join("")))
    for (const chunk of [1, 100, 5000, 1e6]) {
      const { lines: found, report } = await read(archive({ checksum }, lines), { chunk, lineBytesMax: 1002 })
      assert.deepEqual(
        found.map((line) => line.code),
        [undefined, undefined, "LIMIT_EXCEEDED", "LIMIT_EXCEEDED", undefined],
      )
      assert.equal(report.checksum, "verified")
    }
  })

  test("a header over the limit is refused as soon as it is", async () => {
    let pulls = 0
    const endless = new ReadableStream<Uint8Array>({
      pull(controller) {
        pulls++
        controller.enqueue(textOf(pulls === 1 ? '{"format":"prism-portable-v1","x":"' : "x".repeat(65_536)))
      },
    })
    let error: unknown
    try {
      await PortableReader.open(endless, { createSha256 })
    } catch (caught) {
      error = caught
    }
    assert.equal((error as PrismError).code, "LIMIT_EXCEEDED")
    assert.isAtMost(pulls, LINE_BYTES_MAX / 65_536 + 4)
  })

  test("a line that is not UTF-8 is an error of its own", async () => {
    const bytes = concatBytes([archive({ document_count: 2 }), textOf("{}\n"), Uint8Array.of(0xff, 0x0a)])
    assert.deepEqual(
      (await read(bytes)).lines.map((line) => [line.lineNumber, line.code]),
      [
        [2, undefined],
        [3, "INVALID_FORMAT"],
      ],
    )
  })

  test("verifying names the line that is no document, but a wrong checksum first", async () => {
    const good = '{"id":"a","fields":{}}'
    const verify = async (bytes: Uint8Array): Promise<unknown> => {
      try {
        return await verifyArchive(streamOf(bytes), {}, runtime)
      } catch (error) {
        return error
      }
    }
    const bad: [string, RegExp][] = [
      ['{"id":"b","fields":{}', /not valid JSON at column 22/],
      ['{"fields":{}}', /has no id/],
      ['{"id":7,"fields":{}}', /id/],
      ["[]", /object/],
      ['{"id":"b","fields":{},"vector":[1]}', /vector/],
    ]
    for (const [line, message] of bad) {
      const error = (await verify(archive({}, [good, line]))) as PrismError
      assert.match(error.message, message)
      assert.equal(error.place, "line 3")
      const wrong = (await verify(archive({ checksum: "0".repeat(64) }, [good, line]))) as PrismError
      assert.equal(wrong.code, "CHECKSUM_MISMATCH")
    }
    const report = (await verify(archive({}, [good]))) as VerifyReport
    assert.equal(report.document_count, 1)
  })
})

test("any lines, written and read in any chunks, come back with a verified checksum", async () => {
  const document = fc.record({
    id: fc.string({ unit: "grapheme" }),
    fields: fc.dictionary(fc.string({ unit: "grapheme" }), fc.jsonValue({ maxDepth: 2 }), { maxKeys: 3 }),
  })
  await fc.assert(
    fc.asyncProperty(
      fc.array(document, { maxLength: 8 }),
      fc.integer({ min: 1, max: 200 }),
      async (documents, chunk) => {
        const lines = documents.map(({ id, fields }) => encodeDocumentLine(id, JSON.stringify(fields)))
        const { bytes } = await write(lines)
        const back = await read(bytes, { chunk })
        assert.deepEqual(
          back.lines.map((line) => JSON.parse(line.text!)),
          documents.map((one) => JSON.parse(JSON.stringify(one))),
        )
        assert.equal(back.report.checksum, "verified")
        assert.isTrue(equalBytes(bytes, (await write(lines)).bytes))
      },
    ),
    { numRuns: 100, seed: 3 },
  )
})
