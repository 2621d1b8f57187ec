import { expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import { openBlob } from "../../src/engine/blob.ts"
import { Engine } from "../../src/engine/engine.ts"
import { copyOut } from "../../src/engine/memory.ts"
import { Random } from "../support/random.ts"

const expected = { what: "test segment", magic: 0x54534554, version: 3 }

function build(engine: Engine, sections: Uint8Array[], version = expected.version): Uint8Array {
  const { abi } = engine
  const headerBytes = abi.blobHeaderBytes(sections.length)
  const blob = abi.regionAlloc(headerBytes + sections.reduce((sum, { length }) => sum + length + 63, 0)) >>> 0
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

test("sections come back by their id, aligned to 64 bytes", () => {
  const engine = new Engine()
  const blob = openBlob(engine, build(engine, contents), expected)
  for (const [id, bytes] of contents.entries()) {
    const at = engine.abi.section(blob, id) >>> 0
    expect(at % 64).toBe(0)
    expect(engine.abi.sectionLength(blob, id)).toBe(bytes.length)
    expect(copyOut(engine, at, bytes.length)).toEqual(bytes)
  }
  expect(engine.abi.section(blob, 99)).toBe(0)
  expect(engine.abi.sectionLength(blob, 99)).toBe(0)
})

test("a blob with any bit turned or cut at any byte is refused, and leaves no memory behind", () => {
  const engine = new Engine()
  const bytes = build(engine, contents)
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const damaged = bytes.slice()
    damaged[bit >>> 3] = (damaged[bit >>> 3] ?? 0) ^ (1 << (bit & 7))
    expect(() => openBlob(engine, damaged, expected), `bit ${bit}`).toThrow(PrismError)
  }
  for (let length = 0; length < bytes.length; length++) {
    expect(() => openBlob(engine, bytes.slice(0, length), expected), `length ${length}`).toThrow(PrismError)
  }
  expect(() => openBlob(engine, Uint8Array.of(...bytes, 0), expected)).toThrow(PrismError)
  expect(engine.memoryInUse).toBe(0)
})

test("another format version is told from damage", () => {
  const engine = new Engine()
  expect(() => openBlob(engine, build(engine, contents, 4), expected)).toThrow(
    expect.objectContaining({ code: "INCOMPATIBLE_VERSION" }),
  )
})

test("a header that lies with sound checksums never leads outside the blob", () => {
  const engine = new Engine()
  const random = new Random(7)
  const bytes = build(engine, contents)
  const tableEnd = 24 + 24 * contents.length
  for (let round = 0; round < 2000; round++) {
    const forged = bytes.slice()
    const view = new DataView(forged.buffer)
    const at = 8 + 4 * random.below((tableEnd - 8) / 4)
    view.setUint32(at, random.unit() < 0.5 ? random.bits() : random.below(300), true)
    const [headerBytes, sectionCount] = [24, Math.min(view.getUint32(16, true), 9)]
    const region = engine.abi.regionAlloc(forged.length) >>> 0
    engine.bytes.set(forged, region)
    const table = engine.abi.crc32c(
      region + headerBytes,
      Math.min(24 * sectionCount, forged.length - headerBytes),
      engine.abi.crc32c(region, 20, 0),
    )
    engine.abi.regionFree(region)
    if (at !== 20) view.setUint32(20, table, true)
    let blob = 0
    try {
      blob = openBlob(engine, forged, expected)
    } catch (error) {
      expect(error).toBeInstanceOf(PrismError)
      continue
    }
    for (let id = 0; id < 300; id++) {
      const section = engine.abi.section(blob, id) >>> 0
      if (section) expect(section + engine.abi.sectionLength(blob, id)).toBeLessThanOrEqual(blob + forged.length)
    }
    engine.abi.regionFree(blob)
  }
  expect(engine.memoryInUse).toBe(0)
})
