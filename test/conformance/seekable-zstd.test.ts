import fc from "fast-check"
import { assert, describe, test } from "vitest"
import xxhash from "xxhash-wasm"
import { concatBytes, encodeUtf8, equalBytes } from "../../src/base/bytes.ts"
import { type ErrorCode, PrismError } from "../../src/base/errors.ts"
import { compressSeekable, decompressSeekable, type Piece, SeekableZstdFile } from "../../src/formats/seekable-zstd.ts"
import { storeFrame } from "../../src/formats/zstd-frame.ts"
import type { RandomAccess, Zstd } from "../../src/runtime.ts"
import { zstd as compiledZstd } from "../support/compiled-zstd.ts"
import { Random } from "../support/random.ts"
import { runtime } from "../support/runtime.ts"

const { zstd } = runtime
const xxh = await xxhash()
const hash = (bytes: Uint8Array) => xxh.h64Raw(bytes)
const FRAME = 4 * 1024 * 1024
const KIB = 1024

async function* each<T>(items: Iterable<T>): AsyncGenerator<T> {
  yield* items
}

async function gather(chunks: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of chunks) parts.push(chunk)
  return concatBytes(parts)
}

const compress = (pieces: Iterable<Piece>, codec: Zstd = zstd) => gather(compressSeekable(each(pieces), codec))

const frames = (...contents: Uint8Array[]) => compress(contents.map((bytes) => ({ bytes, startsFrame: true })))

function* sliced(bytes: Uint8Array, size: number): Generator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += size) yield bytes.subarray(start, start + size)
}

const decompress = (bytes: Uint8Array, slice = 64 * KIB, codec: Zstd = zstd) =>
  gather(decompressSeekable(each(sliced(bytes, slice)), codec))

async function errorOf(action: Promise<unknown>): Promise<PrismError> {
  const error = await action.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  // By name: what is compiled has a class of its own.
  assert.equal((error as Error | undefined)?.name, "PrismError", String(error))
  return error as PrismError
}

async function refuses(action: Promise<unknown>, code: ErrorCode, message: RegExp): Promise<void> {
  const error = await errorOf(action)
  assert.equal(error.code, code, error.message)
  assert.match(error.message, message)
  assert.isString(error.place)
}

function noise(length: number, seed = 1): Uint8Array {
  const random = new Random(seed)
  return Uint8Array.from({ length }, () => random.bits())
}

function words(length: number, seed = 1): Uint8Array {
  const random = new Random(seed)
  return Uint8Array.from({ length }, () => 97 + random.below(3) * random.below(4))
}

function fileOf(bytes: Uint8Array): RandomAccess & { reads: [offset: number, length: number][] } {
  const reads: [number, number][] = []
  return {
    size: bytes.length,
    reads,
    async read(offset, length) {
      reads.push([offset, length])
      return bytes.slice(offset, offset + length)
    },
  }
}

interface Entry {
  frameBytes: number
  contentBytes: number
}

/** The entries of a table, read by the layout of the format's document alone. */
function tableOf(file: Uint8Array): { entries: Entry[]; start: number } {
  const view = new DataView(file.buffer, file.byteOffset, file.byteLength)
  assert.equal(view.getUint32(file.length - 4, true), 0x8f92eab1)
  assert.equal(view.getUint8(file.length - 5), 0)
  const count = view.getUint32(file.length - 9, true)
  const start = file.length - 9 - 8 * count - 8
  assert.equal(view.getUint32(start, true), 0x184d2a5e)
  assert.equal(view.getUint32(start + 4, true), 8 * count + 9)
  const entries = Array.from({ length: count }, (_, entry) => ({
    frameBytes: view.getUint32(start + 8 + 8 * entry, true),
    contentBytes: view.getUint32(start + 12 + 8 * entry, true),
  }))
  return { entries, start }
}

/** A table that says what the test wants it to. */
function table(
  entries: readonly Entry[],
  changes: { length?: number; count?: number; magic?: number } = {},
): Uint8Array {
  const view = new DataView(new ArrayBuffer(8 + 8 * entries.length + 9))
  view.setUint32(0, changes.magic ?? 0x184d2a5e, true)
  view.setUint32(4, changes.length ?? 8 * entries.length + 9, true)
  entries.forEach(({ frameBytes, contentBytes }, entry) => {
    view.setUint32(8 + 8 * entry, frameBytes, true)
    view.setUint32(12 + 8 * entry, contentBytes, true)
  })
  view.setUint32(view.byteLength - 9, changes.count ?? entries.length, true)
  view.setUint32(view.byteLength - 4, 0x8f92eab1, true)
  return new Uint8Array(view.buffer)
}

/** The frames of a file, without its table. */
function framesOf(file: Uint8Array): Uint8Array[] {
  let start = 0
  return tableOf(file).entries.map(({ frameBytes }) => file.subarray(start, (start += frameBytes)))
}

const u32 = (...values: number[]) => new Uint8Array(Uint32Array.from(values).buffer)
const skippable = (content: Uint8Array) => concatBytes([u32(0x184d2a53, content.length), content])

/** A frame of a given header whose blocks each stand for 128 KiB of one byte. */
function bomb(header: number[], blocks: number): Uint8Array {
  const block = (last: 0 | 1) => [
    (2 | last | ((128 * KIB) << 3)) & 0xff,
    (128 * KIB * 8) >> 8,
    (128 * KIB * 8) >> 16,
    65,
  ]
  const bytes = [0x28, 0xb5, 0x2f, 0xfd, ...header]
  for (let index = 0; index < blocks; index++)
    bytes.push(...block(index === blocks - 1 ? 1 : 0).map((byte) => byte & 255))
  return Uint8Array.from(bytes)
}

const CODECS: [name: string, codec: Zstd][] = [
  ["as written", zstd],
  ["as compiled", compiledZstd],
]

describe.each(CODECS)("the codec %s", (_name, codec) => {
  test("gives back what it was given, with content size and checksum in the frame", async () => {
    for (const content of [words(0), words(1), words(300), words(70_000), words(FRAME), noise(FRAME)]) {
      const frame = await codec.compress(content)
      assert.isTrue(equalBytes(await codec.decompress(frame, content.length), content))
      assert.isTrue(equalBytes(await gather(codec.decompressStream(each([frame]))), content))
      assert.equal(frame[4]! & 4, 4)
      const checksum = new DataView(frame.buffer, frame.byteOffset + frame.length - 4).getUint32(0, true)
      assert.equal(checksum, Number(hash(content) & 0xffff_ffffn))
    }
  })

  test("works on many frames at once, and not on the bytes of its caller", async () => {
    const contents = Array.from({ length: 20 }, (_, seed) => words(10_000 * seed, seed))
    const before = contents.map((content) => content.slice())
    const packed = await Promise.all(contents.map((content) => codec.compress(content)))
    const unpacked = await Promise.all(packed.map((frame, index) => codec.decompress(frame, contents[index]!.length)))
    assert.deepEqual(unpacked.map(hash), before.map(hash))
    assert.deepEqual(contents.map(hash), before.map(hash))
  })

  test("refuses a wrong checksum, length or block, and works on", async () => {
    const content = words(200_000)
    const frame = await codec.compress(content)
    const changed = (at: number) => frame.map((byte, index) => (index === at ? byte ^ 1 : byte))
    for (const at of [frame.length - 1, frame.length - 4, frame.length >> 1]) {
      assert.equal((await errorOf(codec.decompress(changed(at), content.length))).code, "CORRUPT")
      assert.equal((await errorOf(gather(codec.decompressStream(each([changed(at)]))))).code, "CORRUPT")
    }
    for (const length of [0, content.length - 1, content.length + 1]) {
      assert.equal((await errorOf(codec.decompress(frame, length))).code, "CORRUPT")
    }
    assert.isTrue(equalBytes(await codec.decompress(frame, content.length), content))
  })

  test("decodes a stream that fails up to there, and gives the source's own error", async () => {
    const frame = await codec.compress(words(FRAME))
    async function* failing() {
      yield* sliced(frame.subarray(0, frame.length >> 1), 10_000)
      throw new PrismError("IO_ERROR", "the disk is gone")
    }
    assert.equal((await errorOf(gather(codec.decompressStream(failing())))).message, "the disk is gone")
  })

  test("lets go of the source of a stream that is not read to its end", async () => {
    const frame = await codec.compress(words(FRAME))
    let isReleased = false
    async function* source() {
      try {
        yield* sliced(frame, 10_000)
      } finally {
        isReleased = true
      }
    }
    for await (const _ of codec.decompressStream(source())) break
    for (let turn = 0; turn < 100 && !isReleased; turn++) await new Promise((resolve) => setTimeout(resolve, 0))
    assert.isTrue(isReleased)
  })
})

describe("a seekable file", () => {
  test("gives back its content, however it is cut into pieces and chunks", async () => {
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.record({ bytes: fc.uint8Array({ maxLength: 2000 }), startsFrame: fc.boolean() }), {
          maxLength: 12,
        }),
        fc.integer({ min: 1, max: 500 }),
        async (pieces, slice) => {
          const file = await compress(pieces)
          const content = concatBytes(pieces.map(({ bytes }) => bytes))
          assert.isTrue(equalBytes(await decompress(file, slice), content))
          // A frame for what stands between two starts, if that is anything.
          const lengths: number[] = [0]
          for (const { bytes, startsFrame } of pieces) {
            if (startsFrame) lengths.push(0)
            lengths.push(lengths.pop()! + bytes.length)
          }
          assert.deepEqual(
            tableOf(file).entries.map(({ contentBytes }) => contentBytes),
            lengths.filter((length) => length > 0),
          )
        },
      ),
      { numRuns: 60 },
    )
  })

  test("cuts long pieces into frames of 4 MiB, and stores what does not shrink", async () => {
    const content = concatBytes([words(FRAME + 100), noise(FRAME)])
    for (const [, codec] of CODECS) {
      const file = await compress([{ bytes: content, startsFrame: false }], codec)
      const { entries } = tableOf(file)
      assert.deepEqual(
        entries.map(({ contentBytes }) => contentBytes),
        [FRAME, FRAME, 100],
      )
      assert.isBelow(entries[0]!.frameBytes, FRAME / 2)
      assert.isBelow(entries[1]!.frameBytes, FRAME + 200)
      assert.isTrue(equalBytes(await decompress(file, 64 * KIB, codec), content))
      // The frames are readable one by one.
      const stored = framesOf(file)[1]!
      assert.isTrue(equalBytes(await codec.decompress(stored, FRAME), content.subarray(FRAME, 2 * FRAME)))
    }
  })

  test("is read at any place, each frame once", async () => {
    const contents = [words(1000), noise(3), words(300_000), noise(200_000), words(70)]
    const content = concatBytes(contents)
    const bytes = await frames(...contents)
    await fc.assert(
      fc.asyncProperty(fc.nat(content.length), fc.nat(content.length), async (a, b) => {
        const [start, end] = a < b ? [a, b] : [b, a]
        const source = fileOf(bytes)
        const file = (await SeekableZstdFile.open(source, zstd))!
        assert.equal(file.size, content.length)
        const [one, two] = await Promise.all([file.read(start, end - start), file.read(start, end - start)])
        assert.isTrue(equalBytes(one, content.subarray(start, end)) && equalBytes(two, one))
        const places = source.reads.map(([offset]) => offset)
        assert.equal(new Set(places).size, places.length)
      }),
      { numRuns: 60 },
    )
    const file = (await SeekableZstdFile.open(fileOf(bytes), zstd))!
    await refuses(file.read(content.length, 1), "TRUNCATED", /ends at byte/)
    assert.equal((await file.read(content.length, 0)).length, 0)
  })

  test("keeps eight decoded frames, and reads what it does not keep again", async () => {
    const source = fileOf(await frames(...Array.from({ length: 10 }, (_, seed) => words(100, seed))))
    const file = (await SeekableZstdFile.open(source, zstd))!
    const read = async (frame: number) => {
      const before = source.reads.length
      assert.isTrue(equalBytes(await file.read(100 * frame, 100), words(100, frame)))
      return source.reads.length - before
    }
    const readsOf = async (...asked: number[]) => {
      const reads: number[] = []
      for (const frame of asked) reads.push(await read(frame))
      return reads
    }
    assert.deepEqual(await readsOf(0, 1, 2, 3, 4, 5, 6, 7), [1, 1, 1, 1, 1, 1, 1, 1])
    assert.deepEqual(await readsOf(0, 8, 0, 1), [0, 1, 0, 1])
  })

  test("of nothing is a table of nothing", async () => {
    const file = await compress([])
    assert.deepEqual(file, table([]))
    assert.equal((await decompress(file)).length, 0)
    assert.equal((await SeekableZstdFile.open(fileOf(file), zstd))!.size, 0)
  })

  test("tells what it read of its source, and lets go of it", async () => {
    const file = await frames(words(10_000), words(10_000, 2))
    let read = 0
    await gather(decompressSeekable(each(sliced(file, 100)), zstd, { onInput: (bytes) => (read += bytes) }))
    assert.equal(read, file.length)
    let isReleased = false
    async function* source() {
      try {
        yield file
        yield file
      } finally {
        isReleased = true
      }
    }
    for await (const _ of decompressSeekable(source(), zstd)) break
    assert.isTrue(isReleased)
  })

  test("fails with the error of its source", async () => {
    async function* pieces() {
      yield { bytes: words(10), startsFrame: true }
      throw new PrismError("IO_ERROR", "the disk is gone")
    }
    assert.equal((await errorOf(gather(compressSeekable(pieces(), zstd)))).message, "the disk is gone")
    async function* source() {
      yield (await frames(words(10_000))).subarray(0, 50)
      throw new PrismError("IO_ERROR", "the disk is gone")
    }
    assert.equal((await errorOf(gather(decompressSeekable(source(), zstd)))).message, "the disk is gone")
  })
})

describe("a damaged file", () => {
  const contents = [encodeUtf8("a tar header, say. ".repeat(20)), noise(300), words(500)]
  const content = concatBytes(contents)

  test("is an error or the same content, whichever bit is flipped, and random access gives no other", async () => {
    const file = await frames(...contents)
    assert.isBelow(file.length, 2 * KIB)
    let same = 0
    for (let at = 0; at < file.length; at++) {
      const damaged = file.slice()
      damaged[at]! ^= 1 << (at % 8)
      try {
        assert.isTrue(equalBytes(await decompress(damaged, 300), content), `byte ${at} changes the content`)
        same++
      } catch (error) {
        assert.instanceOf(error, PrismError, `byte ${at}`)
        assert.isString((error as PrismError).place)
      }
      try {
        const seekable = await SeekableZstdFile.open(fileOf(damaged), zstd)
        if (seekable) assert.isTrue(equalBytes(await seekable.read(0, seekable.size), content), `byte ${at}, by table`)
      } catch (error) {
        assert.instanceOf(error, PrismError, `byte ${at}, by table`)
      }
    }
    // The table's magic number, descriptor and kind of skippable frame; unused bits of headers and Huffman trees.
    assert.isAtMost(same, 20)
  })

  test("is an error wherever it is cut, but between frames, where what is left is the beginning", async () => {
    const file = await frames(...contents)
    const ends = framesOf(file).map((frame, index, all) =>
      all.slice(0, index).reduce((sum, one) => sum + one.length, frame.length),
    )
    for (let length = 0; length < file.length; length++) {
      if (ends.includes(length)) {
        const left = await decompress(file.subarray(0, length), 300)
        assert.isTrue(equalBytes(left, concatBytes(contents.slice(0, ends.indexOf(length) + 1))))
      } else await refuses(decompress(file.subarray(0, length), 300), "TRUNCATED", /ends|no compressed data/)
    }
  })

  test("is an error where frames are in another order, twice there or missing", async () => {
    const file = await frames(...contents)
    const [a, b, c] = framesOf(file) as [Uint8Array, Uint8Array, Uint8Array]
    const end = file.subarray(tableOf(file).start)
    for (const order of [[b, a, c], [a, a, b, c], [a, c], [], [a, b, c, c], [a, skippable(noise(5)), b, c]]) {
      const changed = concatBytes([...order, end])
      await refuses(decompress(changed), "CORRUPT", /other frames/)
      const error = await errorOf(
        SeekableZstdFile.open(fileOf(changed), zstd).then((seekable) => seekable!.read(0, seekable!.size)),
      )
      assert.include(["CORRUPT", "TRUNCATED"], error.code)
    }
  })

  test("is an error where something follows it, and two files are not one", async () => {
    const file = await frames(...contents)
    await refuses(decompress(concatBytes([file, encodeUtf8("hello")])), "CORRUPT", /no Zstandard frame/)
    await refuses(decompress(concatBytes([file, Uint8Array.of(0)])), "TRUNCATED", /header/)
    await refuses(decompress(concatBytes([file, file])), "CORRUPT", /other frames/)
    await refuses(decompress(encodeUtf8("PENC and so on")), "CORRUPT", /no Zstandard frame/)
  })

  test("is named by frame and byte", async () => {
    const file = await frames(...contents)
    const [a, b] = framesOf(file) as [Uint8Array, Uint8Array]
    const damaged = file.slice()
    damaged[a.length + b.length - 1]! ^= 1
    const error = await errorOf(decompress(damaged))
    assert.equal(error.place, `frame 2, byte ${a.length}`)
    assert.equal(error.code, "CORRUPT")
  })
})

describe("a hostile file", () => {
  const frame = (content: Uint8Array) => storeFrame(content, hash(content))
  const one = frame(words(100))
  const open = (...parts: Uint8Array[]) => SeekableZstdFile.open(fileOf(concatBytes(parts)), zstd)

  test("has no table, or one that cannot be", async () => {
    assert.isUndefined(await open(one))
    assert.isUndefined(await open(Uint8Array.of(1)))
    await refuses(open(one, table([], { count: 2 ** 32 - 1 })), "CORRUPT", /longer than the file/)
    await refuses(open(table([{ frameBytes: 100, contentBytes: 1 }])), "CORRUPT", /more or fewer/)
    await refuses(open(one, table([{ frameBytes: one.length - 1, contentBytes: 100 }])), "CORRUPT", /more or fewer/)
    assert.isUndefined(await open(one, table([{ frameBytes: one.length, contentBytes: 2 ** 32 - 1 }])))
    assert.isUndefined(await open(one, table([{ frameBytes: 2 ** 31, contentBytes: 100 }])))
    await refuses(
      open(one, table([{ frameBytes: one.length, contentBytes: 100 }], { length: 9 })),
      "CORRUPT",
      /lengths/,
    )
    await refuses(open(one, table([{ frameBytes: one.length, contentBytes: 100 }], { magic: 1 })), "CORRUPT", /begin/)
    // So many entries that only the file's size, which is made up, lets them be there.
    const footer = table([], { count: 2 ** 27 }).subarray(8)
    const size = 2 ** 33
    const huge: RandomAccess = { size, read: async (offset) => footer.slice(offset - (size - 9)) }
    assert.isUndefined(await SeekableZstdFile.open(huge, zstd))
  })

  test("has a table that tells of other content than the frames have", async () => {
    const read = async (content: number, ...parts: Uint8Array[]) => {
      const file = (await open(...parts))!
      assert.equal(file.size, content)
      return await file.read(0, file.size)
    }
    const lies: [contentBytes: number, bytes: Uint8Array][] = [
      [99, one],
      [101, one],
      [100, concatBytes([one, one])],
      [100, skippable(one)],
      [100, bomb([0, 0b0111_1000], 1)],
    ]
    for (const [contentBytes, bytes] of lies) {
      const error = await errorOf(read(contentBytes, bytes, table([{ frameBytes: bytes.length, contentBytes }])))
      assert.equal(error.code, "CORRUPT")
    }
    // Others' skippable frames may stand in a table; they hold nothing.
    const note = skippable(noise(10))
    const entries = [note, one, note].map((bytes) => ({
      frameBytes: bytes.length,
      contentBytes: bytes === one ? 100 : 0,
    }))
    assert.isTrue(equalBytes(await read(100, note, one, note, table(entries)), words(100)))
    assert.isTrue(equalBytes(await decompress(concatBytes([note, one, note, table(entries)])), words(100)))
  })

  test("may be 4 MiB of one byte in each frame", async () => {
    const zeros = new Uint8Array(FRAME)
    const file = await frames(zeros, zeros, zeros)
    assert.isBelow(file.length, 2 * KIB)
    let length = 0
    for await (const part of decompressSeekable(each([file]), zstd)) length += part.length
    assert.equal(length, 3 * FRAME)
  })

  test("is cut into pieces of nothing", async () => {
    const content = words(100)
    const blocks = [
      ...Array<Uint8Array>(5000).fill(Uint8Array.of(0, 0, 0)),
      Uint8Array.of(((100 << 3) | 1) & 255, (100 << 3) >> 8, 0),
      content,
    ]
    const pieces = concatBytes([Uint8Array.of(0x28, 0xb5, 0x2f, 0xfd, 0b10_0000, 100), ...blocks])
    assert.deepEqual(await decompress(pieces), content)
  })

  test("says that its frames hold less or more than they do", async () => {
    // 4 GiB of one byte in a frame that says 4 MiB, 300 bytes or 1 TiB.
    const says = (bytes: number) => [...new Uint8Array(BigUint64Array.of(BigInt(bytes)).buffer)]
    for (const [bytes, blocks] of [
      [FRAME, 32_768],
      [300, 32_768],
      [FRAME, 31],
      [2 ** 40, 100],
    ] as const) {
      const lying = bomb([0b1100_0000, 0b0101_1000, ...says(bytes)], blocks)
      assert.equal((await errorOf(decompress(lying))).code, "CORRUPT")
    }
  })

  test("has a window that is too large, a dictionary, a reserved bit or block, or sizes that cannot be", async () => {
    await refuses(decompress(bomb([0, 0b1000_1001], 1)), "LIMIT_EXCEEDED", /window is 144 MiB/)
    await refuses(decompress(bomb([0, 0xff], 1)), "LIMIT_EXCEEDED", /window/)
    assert.equal((await decompress(bomb([0, 0b1000_1000], 3))).length, 3 * 128 * KIB)
    await refuses(decompress(bomb([1, 0b0101_1000, 7], 1)), "INVALID_FORMAT", /dictionary 7/)
    await refuses(decompress(bomb([0b1000, 0b0101_1000], 1)), "CORRUPT", /reserved/)
    await refuses(decompress(bomb([0b1100_0000, 0b0101_1000, ...Array<number>(8).fill(255)], 1)), "CORRUPT", /holds/)
    await refuses(decompress(bomb([0, 0], 1)), "CORRUPT", /block/)
    const reserved = bomb([0, 0b0101_1000], 1)
    reserved[6]! |= 0b110
    await refuses(decompress(reserved), "CORRUPT", /block/)
  })
})
