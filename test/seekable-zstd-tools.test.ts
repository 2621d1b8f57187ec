// What the zstd program reads of ours, and what we read of it.
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, assert, describe, test } from "vitest"
import { concatBytes, equalBytes } from "../src/base/bytes.ts"
import { compressSeekable, decompressSeekable } from "../src/formats/seekable-zstd.ts"
import { Random } from "./support/random.ts"
import { runtime } from "./support/runtime.ts"

const hasZstd = spawnSync("zstd", ["--version"]).status === 0
const folder = mkdtempSync(join(tmpdir(), "prism-zstd-"))
afterAll(() => rmSync(folder, { recursive: true }))

const MIB = 1024 * 1024

/** Text-like bytes with repetitions near and far, and stretches of noise. */
function mixture(length: number, seed: number): Buffer {
  const random = new Random(seed)
  const bytes = Buffer.alloc(length)
  for (let at = 0; at < length; ) {
    const part = Math.min(length - at, 1000 + random.below(100_000))
    const kind = random.below(3)
    if (kind === 0 && at > part) bytes.copyWithin(at, random.below(at - part), random.below(at - part) + part)
    else
      for (let index = at; index < at + part; index++) bytes[index] = kind === 1 ? random.bits() : 97 + random.below(5)
    at += part
  }
  return bytes
}

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return concatBytes(parts)
}

async function* sliced(bytes: Uint8Array, size = 64 * 1024): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

const decompress = (bytes: Uint8Array) => gather(decompressSeekable(sliced(bytes), runtime.zstd))

const run = (words: string[], input: Uint8Array) =>
  execFileSync("zstd", ["-q", ...words], { input, maxBuffer: 2 ** 28, stdio: ["pipe", "pipe", "pipe"] })

// A machine without the program has nothing to hold ours against.
describe.skipIf(!hasZstd)("the zstd program", () => {
  test("tests, lists and decompresses what we write", async () => {
    const content = mixture(11 * MIB, 1)
    const pieces = async function* () {
      for (const end of [512, 512 + 7 * MIB, content.length]) {
        const start = end === 512 ? 0 : end === content.length ? 512 + 7 * MIB : 512
        yield { bytes: content.subarray(start, end), startsFrame: true }
      }
    }
    const file = join(folder, "ours.zst")
    writeFileSync(file, await gather(compressSeekable(pieces(), runtime.zstd)))
    execFileSync("zstd", ["-q", "-t", file])
    const listed = execFileSync("zstd", ["-lv", file], { encoding: "utf8", stdio: "pipe" })
    assert.match(listed, /Zstandard Frames: 4\n# Skippable Frames: 1/)
    assert.match(listed, new RegExp(`\\(${content.length} B\\)`))
    assert.match(listed, /Check: XXH64/)
    assert.isTrue(equalBytes(run(["-dc", file], new Uint8Array(0)), content))
    assert.isTrue(equalBytes(run(["-dc", "-M8MB", file], new Uint8Array(0)), content), "a window of 8 MiB is enough")
  })

  test("reads its end from a table of nothing", async () => {
    const nothing = await gather(compressSeekable(sliced(new Uint8Array(0)) as AsyncGenerator<never>, runtime.zstd))
    assert.equal(run(["-dc"], nothing).length, 0)
  })

  const content = mixture(5 * MIB, 2)
  const file = join(folder, "content")
  writeFileSync(file, content)
  const ways: [name: string, words: string[]][] = [
    ["a file, level 3, content size", ["-c", file]],
    ["a file, level 1, without content size", ["-c", "-1", "--no-content-size", file]],
    ["a file, level 19, no checksum", ["-c", "-19", "--no-check", file]],
    ["a pipe", ["-c"]],
    ["a pipe, level 19, a window of 128 MiB", ["-c", "-19", "--long=27"]],
    ["a pipe, a window of 8 MiB", ["-c", "--long=23"]],
    ["a pipe, a window of 16 MiB", ["-c", "--long=24"]],
    ["a pipe, negative level", ["-c", "--fast=5"]],
    ["threads and small jobs", ["-c", "-T2", "-B1MiB", "--rsyncable"]],
  ]
  test.each(ways)("compresses %s, which we read", async (_name, words) => {
    const packed = run(words, words.at(-1) === file ? new Uint8Array(0) : content)
    assert.isTrue(equalBytes(await decompress(packed), content))
  })

  test("writes frames one after another, empty ones too, which we read", async () => {
    const parts = [
      content.subarray(0, 100),
      content.subarray(0, 0),
      content.subarray(0, 4.5 * MIB),
      content.subarray(0, 3000),
    ]
    const packed = parts.flatMap((part, index) => run(index % 2 ? ["-c", "--no-check"] : ["-c"], part))
    assert.isTrue(equalBytes(await decompress(concatBytes(packed)), concatBytes(parts)))
  })

  test("writes windows over 128 MiB, which we refuse by name", async () => {
    const packed = run(["-c", "--ultra", "--long=28"], content)
    const error = await decompress(packed).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    assert.match(String(error), /window is 256 MiB, 128 MiB is the limit/)
  })

  test("writes damage into a checksum, which we find", async () => {
    const packed = new Uint8Array(run(["-c"], content))
    packed[packed.length - 2]! ^= 16
    const error = await decompress(packed).then(
      () => undefined,
      (thrown: unknown) => thrown,
    )
    assert.equal((error as { code?: string }).code, "CORRUPT")
  })

  test("makes tar archives, which we read", async () => {
    const packed = execFileSync("tar", ["--zstd", "-C", folder, "-cf", "-", "content"], { maxBuffer: 2 ** 28 })
    const tar = await decompress(packed)
    assert.isTrue(equalBytes(tar.subarray(512, 512 + content.length), readFileSync(file)))
  })
})
