import { expect, test } from "vitest"
import { crc32c } from "../../src/base/crc32c.ts"
import { PrismError } from "../../src/base/errors.ts"
import { type ByteSource, PagedBlob } from "../../src/engine/blob.ts"
import { Engine } from "../../src/engine/engine.ts"
import { copyOut } from "../../src/engine/memory.ts"
import { bodyOf, repairChecksums } from "../support/blob-bytes.ts"
import { sourceOf } from "../support/bytes-source.ts"
import { Random } from "../support/random.ts"

const PAGE = 65_536
const expected = { what: "test segment", magic: 0x54534554, version: 3 }

function build(engine: Engine, sections: readonly Uint8Array[], version = expected.version): Uint8Array {
  const { abi } = engine
  const bodyBytes = sections.reduce((sum, { length }) => sum + length + 63, 0)
  const headerBytes = abi.blobHeaderBytes(sections.length, BigInt(bodyBytes))
  const blob = abi.regionAlloc(headerBytes + bodyBytes) >>> 0
  abi.blobBegin(blob, expected.magic, 0, version)
  let offset = headerBytes
  for (const [id, bytes] of sections.entries()) {
    engine.bytes.set(bytes, blob + offset)
    offset = abi.blobAddSection(blob, id, offset, bytes.length)
  }
  abi.blobFinish(blob, offset)
  const bytes = copyOut(engine, blob, offset)
  abi.regionFree(blob)
  return bytes
}

const contents = [
  new Uint8Array(0),
  Uint8Array.of(1, 2, 3),
  Uint8Array.from({ length: 64 }, (_, i) => i),
  Uint8Array.of(9),
]

/** Far faster than `toEqual`, which looks at each byte. */
function expectBytes(actual: Uint8Array, wanted: Uint8Array): void {
  expect(actual.length).toBe(wanted.length)
  expect(actual.findIndex((byte, i) => byte !== wanted[i])).toBe(-1)
}

/** Three sections over many pages. */
function large(engine: Engine) {
  const random = new Random(3)
  const sections = [70_000, 40 * PAGE, 100].map((length) => Uint8Array.from({ length }, () => random.bits()))
  return { sections, bytes: build(engine, sections) }
}

/** A source that keeps account of what is read of it, and may fail. */
function counted(bytes: Uint8Array) {
  const reads: { offset: number; length: number }[] = []
  const state = { fails: 0 }
  const source: ByteSource = {
    size: bytes.length,
    read: async (offset, length) => {
      reads.push({ offset, length })
      if (state.fails > 0) {
        state.fails--
        throw new PrismError("IO_ERROR", "the disk says no")
      }
      return bytes.slice(offset, offset + length)
    },
  }
  return { source, reads, state }
}

async function openWhole(engine: Engine, bytes: Uint8Array): Promise<PagedBlob> {
  const blob = await PagedBlob.open(engine, sourceOf(bytes), expected)
  try {
    await blob.loadAll()
    return blob
  } catch (error) {
    blob.close()
    throw error
  }
}

test("sections come back by their id, aligned to 64 bytes", async () => {
  const engine = new Engine()
  const blob = await openWhole(engine, build(engine, contents))
  for (const [id, bytes] of contents.entries()) {
    const { offset, length } = blob.section(id)
    expect(offset % 64).toBe(0)
    expect(length).toBe(bytes.length)
    expect(copyOut(engine, blob.pointer + offset, length)).toEqual(bytes)
    expect(await blob.read(offset, length)).toEqual(bytes)
  }
  expect(blob.section(99)).toEqual({ offset: 0, length: 0 })
})

test("a blob with any bit turned or cut at any byte is refused, and leaves no memory behind", async () => {
  const engine = new Engine()
  const bytes = build(engine, contents)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice()
    damaged[bit >>> 3] = (damaged[bit >>> 3] ?? 0) ^ (1 << (bit & 7))
    await expect(openWhole(engine, damaged), `bit ${bit}`).rejects.toThrow(PrismError)
  }
  for (let length = 0; length < bytes.length; length++) {
    await expect(openWhole(engine, bytes.slice(0, length)), `length ${length}`).rejects.toThrow(PrismError)
  }
  await expect(openWhole(engine, Uint8Array.of(...bytes, 0))).rejects.toThrow(PrismError)
  expect(engine.memoryInUse).toBe(0)
})

test("a damaged page is found when it is loaded or read, and no other is refused for it", async () => {
  const engine = new Engine()
  const { bytes } = large(engine)
  const body = bodyOf(bytes)
  for (const page of [0, 1, 17, Math.floor((bytes.length - body - 1) / PAGE)]) {
    const damaged = bytes.slice()
    const at = Math.min(body + page * PAGE + 100, bytes.length - 1)
    damaged[at] = (damaged[at] ?? 0) ^ 4
    const blob = await PagedBlob.open(engine, sourceOf(damaged), expected)
    const corrupt = { code: "CORRUPT" }
    await expect(blob.load(at, 1)).rejects.toMatchObject(corrupt)
    await expect(blob.read(at, 1)).rejects.toMatchObject(corrupt)
    await expect(blob.read(0, bytes.length)).rejects.toMatchObject(corrupt)
    await expect(blob.loadAll()).rejects.toMatchObject(corrupt)
    const other = page === 1 ? body : body + PAGE
    await blob.load(other, 10)
    expect(await blob.read(other, 10)).toEqual(bytes.slice(other, other + 10))
    blob.close()
  }
  expect(engine.memoryInUse).toBe(0)
})

test("another format version is told from damage, a blob of before page checksums too", async () => {
  const engine = new Engine()
  const refused = { code: "INCOMPATIBLE_VERSION" }
  await expect(openWhole(engine, build(engine, contents, 4))).rejects.toMatchObject(refused)
  const before = new Uint8Array(128)
  const view = new DataView(before.buffer)
  view.setUint32(0, expected.magic, true)
  view.setUint16(6, 1, true)
  view.setBigUint64(8, 128n, true)
  view.setUint32(16, 1, true)
  view.setBigUint64(32, 64n, true)
  view.setBigUint64(40, 64n, true)
  view.setUint32(20, crc32c(before.subarray(24, 48), crc32c(before.subarray(0, 20))), true)
  await expect(openWhole(engine, before)).rejects.toMatchObject(refused)
  view.setUint8(30, 1)
  await expect(openWhole(engine, before)).rejects.toMatchObject({ code: "CORRUPT" })
})

test("a header that lies with sound checksums never leads outside the blob", async () => {
  const engine = new Engine()
  const random = new Random(7)
  const bytes = build(engine, contents)
  const tableEnd = 24 + 24 * contents.length
  let refused = 0
  for (let round = 0; round < 2000; round++) {
    const forged = bytes.slice()
    const view = new DataView(forged.buffer)
    const at = 8 + 4 * random.below((tableEnd - 8) / 4)
    view.setUint32(at, random.unit() < 0.5 ? random.bits() : random.below(300), true)
    if (at !== 20) repairChecksums(forged)
    let blob: PagedBlob
    try {
      blob = await openWhole(engine, forged)
    } catch (error) {
      expect(error).toBeInstanceOf(PrismError)
      refused++
      continue
    }
    for (let id = 0; id < 300; id++) {
      const { offset, length } = blob.section(id)
      expect(offset + length).toBeLessThanOrEqual(forged.length)
    }
    blob.close()
  }
  expect(refused).toBeGreaterThan(500)
  expect(engine.memoryInUse).toBe(0)
})

test("opening reads the header; loading brings the pages of a range, each once", async () => {
  const engine = new Engine()
  const { sections, bytes } = large(engine)
  const { source, reads } = counted(bytes)
  const blob = await PagedBlob.open(engine, source, expected)
  expect(reads).toHaveLength(1)
  expect(blob.residentBytes).toBe(bodyOf(bytes))
  const { offset } = blob.section(1)
  expect(blob.load(offset, 0)).toBeUndefined()
  expect(blob.load(0, bodyOf(bytes))).toBeUndefined()
  reads.length = 0
  await blob.load(offset, 1)
  await blob.load(offset + 3 * PAGE, 5)
  expect(blob.load(offset, 1)).toBeUndefined()
  expect(reads.map(({ length }) => length)).toEqual([PAGE, PAGE])
  expect(blob.residentBytes).toBe(bodyOf(bytes) + 2 * PAGE)
  // Others ask for the same while it is read.
  await Promise.all([blob.loadAll(), blob.load(offset, 20 * PAGE), blob.load(offset + 5 * PAGE, 20 * PAGE)])
  expect(reads.reduce((sum, { length }) => sum + length, 0)).toBe(bytes.length - bodyOf(bytes))
  for (const { length } of reads) expect(length).toBeLessThanOrEqual(16 * PAGE)
  expect(blob.residentBytes).toBe(bytes.length)
  expectBytes(await blob.read(0, bytes.length), bytes)
  for (const [id, section] of sections.entries()) {
    const at = blob.section(id)
    expectBytes(copyOut(engine, blob.pointer + at.offset, at.length), section)
  }
})

test("reading leaves linear memory alone; small ranges come through the cache, large ones pass it by", async () => {
  const engine = new Engine()
  const { bytes } = large(engine)
  const { source, reads } = counted(bytes)
  const cached = new Map<number, Uint8Array>()
  const cache = {
    get: async (owner: object, offset: number, load: () => Promise<Uint8Array>) => {
      expect(owner).toBe(source)
      const page = cached.get(offset) ?? (await load())
      cached.set(offset, page)
      return page
    },
  }
  const blob = await PagedBlob.open(engine, source, expected, cache)
  reads.length = 0
  const random = new Random(4)
  for (let round = 0; round < 300; round++) {
    const offset = random.below(bytes.length)
    const length = random.below(Math.min(bytes.length - offset, PAGE) + 1)
    expectBytes(await blob.read(offset, length), bytes.slice(offset, offset + length))
  }
  expect(reads.length).toBe(cached.size)
  expect(cached.size).toBeLessThanOrEqual(43)
  cached.clear()
  expectBytes(await blob.read(0, bytes.length), bytes)
  expectBytes(await blob.read(1000, 30 * PAGE), bytes.slice(1000, 1000 + 30 * PAGE))
  expect(cached.size).toBe(0)
  expect(blob.residentBytes).toBe(bodyOf(bytes))
})

test("a read that fails, or gives too little, is tried again by the next call", async () => {
  const engine = new Engine()
  const { bytes } = large(engine)
  const { source, state } = counted(bytes)
  const blob = await PagedBlob.open(engine, source, expected)
  state.fails = 2
  const results = await Promise.allSettled([blob.loadAll(), blob.load(0, bytes.length)])
  expect(results.map(({ status }) => status)).toEqual(["rejected", "rejected"])
  await blob.loadAll()
  expectBytes(await blob.read(0, bytes.length), bytes)

  const short = {
    size: bytes.length,
    read: async (offset: number, length: number) => bytes.slice(offset, Math.min(offset + length, 99_999)),
  }
  const shortened = await PagedBlob.open(engine, short, expected)
  await expect(shortened.loadAll()).rejects.toMatchObject({ code: "TRUNCATED" })
  await expect(shortened.read(0, bytes.length)).rejects.toMatchObject({ code: "TRUNCATED" })
})

test("a read that arrives after close touches nothing", async () => {
  const engine = new Engine()
  const { bytes } = large(engine)
  const arrive: (() => void)[] = []
  let isSlow = false
  const source: ByteSource = {
    size: bytes.length,
    read: async (offset, length) => {
      if (isSlow) await new Promise<void>((resolve) => arrive.push(resolve))
      return bytes.slice(offset, offset + length)
    },
  }
  const blob = await PagedBlob.open(engine, source, expected)
  isSlow = true
  const loading = Promise.allSettled([blob.loadAll(), blob.read(100, 5 * PAGE)])
  blob.close()
  blob.close()
  expect(engine.memoryInUse).toBe(0)
  const other = engine.abi.regionAlloc(bytes.length) >>> 0
  for (const resolve of arrive) resolve()
  for (const result of await loading) {
    expect(result).toMatchObject({ status: "rejected", reason: { code: "CLOSED" } })
  }
  expect(copyOut(engine, other, bytes.length).every((byte) => byte === 0)).toBe(true)
})

test("a file that is larger than the engine's memory is refused, whatever is in it", async () => {
  const engine = new Engine()
  const start = build(engine, contents)
  for (const size of [2 ** 32 - 1, 2 ** 32, 2 ** 33 + 100]) {
    const source = {
      size,
      read: async (_: number, length: number) => Uint8Array.from({ length }, (_, i) => start[i] ?? 0),
    }
    await expect(PagedBlob.open(engine, source, expected)).rejects.toMatchObject({ code: "LIMIT_EXCEEDED" })
  }
  expect(engine.memoryInUse).toBe(0)
})

test("a blob that the engine made is there whole", () => {
  const engine = new Engine()
  const bytes = build(engine, contents)
  const region = engine.abi.regionAlloc(bytes.length) >>> 0
  engine.bytes.set(bytes, region)
  const blob = PagedBlob.adopt(engine, region)
  expect(blob.residentBytes).toBe(bytes.length)
  expect(blob.load(0, bytes.length)).toBeUndefined()
  blob.close()
  expect(engine.memoryInUse).toBe(0)
})
