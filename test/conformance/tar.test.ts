import fc from "fast-check"
import { assert, describe, test } from "vitest"
import { concatBytes, encodeUtf8, equalBytes } from "../../src/base/bytes.ts"
import type { PrismError } from "../../src/base/errors.ts"
import {
  listTar,
  readTar,
  TAR_END,
  TAR_FILE_BYTES_MAX,
  type TarHeader,
  tarEntryLength,
  tarHeader,
} from "../../src/formats/tar.ts"
import type { RandomAccess } from "../../src/runtime.ts"
import { refusal } from "../support/refusal.ts"
import { gnuLongName, paxHeader, type RawEntry, rawEntry, rawTar, sliced } from "../support/snapshots.ts"

type Read = TarHeader & { content: Uint8Array }

async function readAll(tar: AsyncIterable<Uint8Array>): Promise<Read[]> {
  const entries: Read[] = []
  for await (const { body, ...header } of readTar(tar)) {
    const pieces: Uint8Array[] = []
    for await (const bytes of body) pieces.push(bytes.slice())
    entries.push({ ...header, content: concatBytes(pieces) })
  }
  return entries
}

async function listAll(tar: Uint8Array): Promise<TarHeader[]> {
  const file: RandomAccess = {
    size: tar.length,
    read: async (offset, length) => {
      assert.isAtMost(offset + length, tar.length, "reads inside the file")
      return tar.subarray(offset, offset + length)
    },
  }
  const headers: TarHeader[] = []
  for await (const header of listTar(file)) headers.push(header)
  return headers
}

/** Both readers refuse it, with the same code. */
async function refused(tar: Uint8Array, code: string): Promise<PrismError> {
  const error = await refusal(readAll(sliced(tar)))
  assert.equal(error.code, code, error.message)
  assert.equal((await refusal(listAll(tar))).code, code)
  return error
}

const body = (length: number): Uint8Array => Uint8Array.from({ length }, (_, i) => 1 + (i % 251))
const FILES: RawEntry[] = [
  { name: "a", body: body(10) },
  { name: "empty", body: body(0) },
  { name: "dir/block", body: body(512) },
  { name: "dir/more", body: body(1500) },
]
const TAR = rawTar(FILES)

describe("a tar", () => {
  test("has headers as POSIX.1-1988 draws them", () => {
    const header = tarHeader("text/a", 0o1234)
    const text = (start: number, end: number): string => String.fromCharCode(...header.subarray(start, end))
    assert.equal(header.length, 512)
    assert.equal(text(0, 7), "text/a\0")
    assert.equal(text(100, 148), "0000644\x000000000\x000000000\x0000000001234\x0000000000000\0")
    assert.equal(text(156, 157), "0")
    assert.equal(text(257, 265), "ustar\x0000")
    const sum = header.reduce((total, byte, i) => total + (i >= 148 && i < 156 ? 0x20 : byte), 0)
    assert.equal(text(148, 156), `${sum.toString(8).padStart(6, "0")}\0 `)
    assert.equal(String.fromCharCode(...tarHeader("a", TAR_FILE_BYTES_MAX).subarray(124, 136)), "77777777777\0")
  })

  test("is not written with what a header cannot hold", () => {
    for (const [name, size] of [
      ["", 1],
      ["n".repeat(100), 1],
      ["ä".repeat(50), 1],
      ["a", -1],
      ["a", 2 ** 33],
    ] as const) {
      assert.throws(() => tarHeader(name, size), /Bug in Prism/)
    }
    assert.equal(tarHeader("n".repeat(99), 1).length, 512)
  })

  test("comes back from any slices, and from its headers alone", async () => {
    let offset = 0
    const expected = FILES.map(({ name, body }) => {
      const header = { name, type: "file" as const, size: body.length, headerOffset: offset, dataOffset: offset + 512 }
      offset += tarEntryLength(body.length)
      return header
    })
    assert.equal(offset + TAR_END.length, TAR.length)
    assert.deepEqual(await listAll(TAR), expected)
    await fc.assert(
      fc.asyncProperty(fc.array(fc.integer({ min: 1, max: 2000 }), { minLength: 1, maxLength: 6 }), async (lengths) => {
        const entries = await readAll(sliced(TAR, lengths))
        assert.deepEqual(
          entries,
          expected.map((header, i) => ({ ...header, content: FILES[i]!.body })),
        )
      }),
      { numRuns: 50, seed: 1 },
    )
  })

  test("is read where bodies are left, in part or whole", async () => {
    const names: string[] = []
    let first: AsyncIterable<Uint8Array> | undefined
    for await (const { name, body } of readTar(sliced(TAR, [7]))) {
      names.push(name)
      first ??= body
      for await (const bytes of body) {
        assert.isAtMost(bytes.length, 7)
        break
      }
    }
    assert.deepEqual(
      names,
      FILES.map(({ name }) => name),
    )
    for await (const _ of first!) assert.fail("a body gives nothing once the next entry was asked for")
  })

  test("is read no further than asked for, and its source let go of", async () => {
    let given = 0
    let isClosed = false
    async function* endless(): AsyncGenerator<Uint8Array> {
      try {
        yield tarHeader("big", TAR_FILE_BYTES_MAX)
        for (;;) {
          given++
          yield new Uint8Array(1000)
        }
      } finally {
        isClosed = true
      }
    }
    let taken = 0
    for await (const { body } of readTar(endless())) {
      for await (const bytes of body) {
        taken++
        assert.equal(bytes.length, 1000)
        assert.equal(given, taken)
        if (taken === 1000) break
      }
      break
    }
    assert.isTrue(isClosed)
  })

  test("cut at any byte is TRUNCATED", async () => {
    for (let length = 0; length < TAR.length; length++) {
      assert.equal((await refusal(readAll(sliced(TAR.subarray(0, length))))).code, "TRUNCATED", `at ${length}`)
    }
    for (let length = 0; length < TAR.length; length += 73) await refused(TAR.subarray(0, length), "TRUNCATED")
  })

  test("ends with two blocks of zeros and as many more, to a record's end, as its writer pads with", async () => {
    const data = TAR.subarray(0, -1024)
    const ended = (...after: Uint8Array[]): Uint8Array => concatBytes([data, ...after])
    const zeros = (length: number): Uint8Array => new Uint8Array(length)
    for (const length of [1024, 1536, 10_240, 1024 + 1024 * 1024]) {
      assert.equal((await readAll(sliced(ended(zeros(length)), [3000]))).length, FILES.length)
      assert.equal((await listAll(ended(zeros(length)))).length, FILES.length)
    }
    await refused(ended(zeros(512)), "TRUNCATED")
    await refused(ended(zeros(1025)), "TRUNCATED")
    await refused(ended(zeros(1024 + 1024 * 1024 + 512)), "CORRUPT")
    await refused(ended(zeros(1024), rawEntry({ name: "behind", body: body(3) }), zeros(1024)), "CORRUPT")
    await refused(ended(zeros(1024), zeros(5000), Uint8Array.of(1), zeros(511)), "CORRUPT")
    await refused(ended(zeros(512), rawEntry({ name: "behind", body: body(3) }), zeros(1024)), "CORRUPT")
  })

  test("of stock tools: long names, PAX records, folders", async () => {
    const long = `dir/${"n".repeat(300)}`
    const entries = [
      { name: "./", body: body(0), header: [[156, "5"]] },
      gnuLongName(long),
      { name: long.slice(0, 99), body: body(5), header: [[257, "ustar  \0"]] },
      paxHeader({ mtime: "1.5", path: "übrig", size: "6", "SCHILY.xattr.user.a": "b" }),
      { name: "x", body: body(6), header: [[124, "00000000001\0"]] },
    ] satisfies RawEntry[]
    const read = await readAll(sliced(rawTar(entries), [100]))
    assert.deepEqual(
      read.map(({ name, type, size, headerOffset }) => ({ name, type, size, headerOffset })),
      [
        { name: "./", type: "directory", size: 0, headerOffset: 0 },
        { name: long, type: "file", size: 5, headerOffset: 512 },
        { name: "übrig", type: "file", size: 6, headerOffset: 512 + 1024 + 1024 },
      ],
    )
    assert.isTrue(equalBytes(read[2]!.content, body(6)))
    assert.deepEqual(
      (await listAll(rawTar(entries))).map(({ name }) => name),
      ["./", long, "übrig"],
    )
  })

  const base256 = (first: number, ...last: number[]): Uint8Array => {
    const bytes = new Uint8Array(12)
    bytes[0] = first
    bytes.set(last, 12 - last.length)
    return bytes
  }
  const file = (header: RawEntry["header"]): RawEntry[] => [{ name: "a", body: body(3), header: header! }]
  const bad: [what: string, entries: RawEntry[], code: string][] = [
    [
      "a hard link",
      file([
        [156, "1"],
        [157, "b"],
      ]),
      "INVALID_FORMAT",
    ],
    [
      "a symbolic link",
      file([
        [156, "2"],
        [157, "/etc/passwd"],
      ]),
      "INVALID_FORMAT",
    ],
    ["a character device", file([[156, "3"]]), "INVALID_FORMAT"],
    ["a block device", file([[156, "4"]]), "INVALID_FORMAT"],
    ["a fifo", file([[156, "6"]]), "INVALID_FORMAT"],
    ["a contiguous file", file([[156, "7"]]), "INVALID_FORMAT"],
    [
      "a sparse file of old GNU tar",
      file([
        [156, "S"],
        [257, "ustar  \0"],
      ]),
      "INVALID_FORMAT",
    ],
    [
      "a volume label",
      file([
        [156, "V"],
        [257, "ustar  \0"],
      ]),
      "INVALID_FORMAT",
    ],
    ["a sparse file in PAX", [paxHeader({ "GNU.sparse.major": "1" }), ...file([])], "INVALID_FORMAT"],
    ["a global PAX header", [paxHeader({ path: "b" }, "g"), ...file([])], "INVALID_FORMAT"],
    ["a folder with data", [{ name: "d/", body: body(3), header: [[156, "5"]] }], "CORRUPT"],
    ["a negative size", file([[124, base256(0xff, 0xff, 0xfb)]]), "CORRUPT"],
    ["a negative size in octal", file([[124, "-0000000003\0"]]), "CORRUPT"],
    ["a size over 2^53", file([[124, base256(0x80, 0x20, 0, 0, 0, 0, 0, 0)]]), "CORRUPT"],
    ["a size in an unknown base", file([[124, base256(0x81, 3)]]), "CORRUPT"],
    ["a size that is no number", file([[124, "zzzzzzzzzzz\0"]]), "CORRUPT"],
    ["a huge size", file([[124, base256(0x80, 0x0f, 0, 0, 0, 0, 0, 0)]]), "TRUNCATED"],
    ["a negative PAX size", [paxHeader({ size: "-3" }), ...file([])], "CORRUPT"],
    ["a PAX size with a tail", [paxHeader({ size: "3x" }), ...file([])], "CORRUPT"],
    ["a PAX size over 2^53", [paxHeader({ size: "9007199254740992" }), ...file([])], "CORRUPT"],
    ["a PAX size that is no number", [paxHeader({ size: "NaN" }), ...file([])], "CORRUPT"],
    ["a huge PAX size", [paxHeader({ size: "9007199254740991" }), ...file([])], "TRUNCATED"],
    ["a PAX header that is endless", [{ ...paxHeader({ a: "b" }), body: body(70_000) }, ...file([])], "LIMIT_EXCEEDED"],
    ["a long name that is endless", [gnuLongName("n".repeat(70_000)), ...file([])], "LIMIT_EXCEEDED"],
    ["PAX headers without end", Array.from({ length: 100 }, () => paxHeader({ a: "b" })), "LIMIT_EXCEEDED"],
    ["a header of no format", file([[257, "\0\0\0\0\0\0\0\0"]]), "CORRUPT"],
  ]
  test.each(bad)("with %s is refused", async (_what, entries, code) => {
    const error = await refused(rawTar([...FILES, ...entries]), code)
    assert.match(error.place ?? "", /^byte \d+ of the tar$/)
    assert.isString(error.hint)
  })

  test("with a flipped byte in a header is refused, but for the checksum's own blanks", async () => {
    let accepted = 0
    for (let at = 0; at < 512; at++) {
      const flipped = TAR.slice()
      flipped[at]! ^= 0x55
      try {
        await readAll(sliced(flipped))
        accepted++
        assert.isTrue(at >= 148 && at < 156, `byte ${at}`)
      } catch (error) {
        assert.equal((error as PrismError).code, "CORRUPT")
      }
    }
    assert.isAtMost(accepted, 2)
  })

  test("that is no tar is CORRUPT or TRUNCATED", async () => {
    await refused(encodeUtf8("no tar"), "TRUNCATED")
    await refused(body(4000), "CORRUPT")
  })
})
