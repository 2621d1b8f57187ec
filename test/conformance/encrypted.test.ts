import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { concatBytes, encodeUtf8, equalBytes, toHex } from "../../src/base/bytes.ts"
import { PrismError } from "../../src/base/errors.ts"
import { decrypt, encrypt } from "../../src/formats/encrypted.ts"
import { EncryptedFile } from "../../src/formats/encrypted-file.ts"
import { HEADER_BYTES, type KeyChange, openHeader, rotateKeys } from "../../src/formats/encrypted-header.ts"
import { decryptV1, encryptV1 } from "../../src/formats/encrypted-v1.ts"
import { generateKey, type Key, parseKey } from "../../src/formats/key.ts"
import type { Runtime } from "../../src/runtime.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import { Random } from "../support/random.ts"
import { refusal } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"

const createGcm: Runtime["createGcm"] = (...args) => runtime.createGcm(...args)
const CHUNK = 4096
const SEALED = CHUNK + 16
const SLOTS = 40
const RAW_SLOT = 3 + 32 + 32 + 48
const MAC = 4136

const key = parseKey("00".repeat(31) + "01")
const otherKey = parseKey("ff".repeat(32))
const passphrase = (text: string): Key => ({ kind: "passphrase", passphrase: text })

function randomBytes(length: number, seed = 1): Uint8Array {
  const random = new Random(seed)
  return Uint8Array.from({ length }, () => random.bits())
}

/** Bytes in pieces of these sizes, again and again. */
async function* sliced(bytes: Uint8Array, sizes: readonly number[] = [bytes.length]): AsyncGenerator<Uint8Array> {
  for (let at = 0, i = 0; at < bytes.length; i++) {
    const size = sizes[i % sizes.length]!
    yield bytes.subarray(at, at + size)
    at += size
  }
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const piece of pieces) parts.push(piece)
  return concatBytes(parts)
}

/** An archive of small chunks. */
const seal = (payload: Uint8Array, keys: readonly Key[] = [key]) =>
  collect(encrypt(sliced(payload, [1000]), keys, { chunkLog2: 12 }))
const open = (archive: Uint8Array, keys: readonly Key[] = [key], sizes?: number[]) =>
  collect(decrypt(sliced(archive, sizes), keys))
const sealV1 = (payload: Uint8Array) => collect(encryptV1(sliced(payload), key, createGcm))
const openV1 = (archive: Uint8Array, keys: readonly Key[] = [key]) =>
  collect(decryptV1(bytesAccess(archive), keys, createGcm))
const openFile = (archive: Uint8Array, keys: readonly Key[] = [key]) =>
  EncryptedFile.open(bytesAccess(archive), keys, createGcm)
const readFile = async (archive: Uint8Array) => {
  const file = await openFile(archive)
  return await file.read(0, file.size)
}

const same = (a: Uint8Array, b: Uint8Array) => expect(equalBytes(a, b)).toBe(true)
const told = async (call: Promise<unknown>) => {
  const { code, message } = await refusal(call)
  return `${code} ${message}`
}
const changed = (bytes: Uint8Array, change: (bytes: Uint8Array, view: DataView) => void) => {
  const copy = bytes.slice()
  change(copy, new DataView(copy.buffer))
  return copy
}

const WRONG_KEY = "DECRYPTION_FAILED Decryption failed (wrong key or corrupted data)"

describe("keys", () => {
  test("are 64 hex characters in either case, white space around them", () => {
    const bytes = Uint8Array.from({ length: 32 }, (_, i) => 8 * i)
    expect(parseKey(` ${toHex(bytes).toUpperCase()}\r\n`)).toEqual({ kind: "raw", bytes })
    expect(generateKey()).toMatch(/^[0-9a-f]{64}$/)
    expect(generateKey()).not.toBe(generateKey())
  })

  test.each([
    ["", "Key must be 32 bytes, got 0"],
    ["ab", "Key must be 32 bytes, got 1"],
    ["ab".repeat(33), "Key must be 32 bytes, got 33"],
    ["abc", "Key must be 64 hex characters"],
    ["g".repeat(64), "Key must be 64 hex characters"],
    [`${"a".repeat(32)} ${"a".repeat(32)}`, "Key must be 64 hex characters"],
  ])("%j is refused", async (text, message) => {
    const error = await refusal((async () => parseKey(text))())
    expect([error.code, error.message, error.hint]).toEqual([
      "INVALID_KEY",
      message,
      "make one with prism key generate",
    ])
  })

  test("of another length are refused where they are used", async () => {
    const short: Key = { kind: "raw", bytes: new Uint8Array(16) }
    expect(await told(seal(new Uint8Array(1), [short]))).toBe("INVALID_KEY Key must be 32 bytes, got 16")
    expect(await told(open(await seal(new Uint8Array(1)), [short]))).toBe("INVALID_KEY Key must be 32 bytes, got 16")
    expect(await told(seal(new Uint8Array(1), [passphrase("")]))).toBe("INVALID_KEY Passphrase is empty")
  })
})

describe("what goes in comes out", () => {
  test("in any pieces, of any length", async () => {
    const sizes = fc.array(fc.integer({ min: 1, max: 3 * CHUNK }), { minLength: 1, maxLength: 5 })
    await fc.assert(
      fc.asyncProperty(fc.integer({ min: 0, max: 5 * CHUNK }), sizes, sizes, async (length, inSizes, outSizes) => {
        const payload = randomBytes(length)
        const archive = await collect(encrypt(sliced(payload, inSizes), [key], { chunkLog2: 12 }))
        expect(archive.length).toBe(HEADER_BYTES + length + 16 * Math.max(1, Math.ceil(length / CHUNK)))
        same(await open(archive, [key], outSizes), payload)
      }),
      { numRuns: 40, seed: 1 },
    )
  })

  test("around the ends of chunks, as a stream and as a file", async () => {
    for (const length of [0, 1, CHUNK - 1, CHUNK, CHUNK + 1, 2 * CHUNK, 20 * CHUNK, 20 * CHUNK + 7]) {
      const payload = randomBytes(length)
      const archive = await seal(payload)
      same(await open(archive), payload)
      same(await readFile(archive), payload)
    }
  })

  test("with chunks of 256 KiB, which is what is written", async () => {
    const payload = randomBytes(700_000)
    const archive = await collect(encrypt(sliced(payload, [65_536]), [key]))
    expect(archive[6]).toBe(18)
    expect(archive.length).toBe(HEADER_BYTES + 700_000 + 3 * 16)
    same(await open(archive, [key], [99_999]), payload)
  })

  test("with any of several keys, whichever is given, also among wrong ones", async () => {
    const payload = randomBytes(5000)
    const keys = [key, parseKey(generateKey()), passphrase("Zoë"), parseKey(generateKey())]
    const archive = await seal(payload, keys)
    for (const one of keys) same(await open(archive, [otherKey, one]), payload)
    // The same letter, composed another way.
    same(await open(archive, [passphrase("Zoe\u0308")]), payload)
    expect(await told(open(archive, [otherKey, passphrase("Zoe")]))).toBe(WRONG_KEY)
  })

  test("no two archives are alike, nor is the key in one", async () => {
    const [a, b] = [await seal(new Uint8Array(100)), await seal(new Uint8Array(100))]
    expect(equalBytes(a.subarray(8, 40), b.subarray(8, 40))).toBe(false)
    expect(equalBytes(a.subarray(HEADER_BYTES), b.subarray(HEADER_BYTES))).toBe(false)
    // A key that no run of empty slots with the first byte behind it can look like.
    const hex = generateKey()
    expect(toHex(await seal(new Uint8Array(100), [parseKey(hex)]))).not.toContain(hex)
  })

  test("at any place of a file", async () => {
    const payload = randomBytes(5 * CHUNK + 123)
    for (const archive of [await seal(payload), await sealV1(payload)]) {
      const file = await openFile(archive)
      expect(file.size).toBe(payload.length)
      await fc.assert(
        fc.asyncProperty(fc.nat(payload.length), fc.nat(3 * CHUNK), async (offset, wanted) => {
          const length = Math.min(wanted, payload.length - offset)
          same(await file.read(offset, length), payload.subarray(offset, offset + length))
        }),
        { numRuns: 60, seed: 2 },
      )
      // Whoever changes what was read changes nothing for the next one.
      ;(await file.read(0, 10)).fill(0)
      same(await file.read(0, 10), payload.subarray(0, 10))
      expect((await refusal(file.read(payload.length - 1, 2))).code).toBe("TRUNCATED")
    }
  })

  test("a file keeps few chunks, however much of it is read", async () => {
    const archive = await seal(randomBytes(64 * CHUNK))
    let reads = 0
    const access = bytesAccess(archive)
    const counted = { size: access.size, read: (at: number, length: number) => (reads++, access.read(at, length)) }
    const file = await EncryptedFile.open(counted, [key], createGcm)
    const opened = reads
    await Promise.all([file.read(0, 10), file.read(20, 10), file.read(CHUNK - 5, 5)])
    expect(reads).toBe(opened + 1)
    for (let i = 0; i < 64; i++) await file.read(i * CHUNK, 1)
    await file.read(0, 1)
    expect(reads).toBeGreaterThan(opened + 64)
  })

  test("with version 1 too", async () => {
    for (const length of [0, 1, 16, 1_048_576, 1_048_577, 3_000_000]) {
      const payload = randomBytes(length)
      const archive = await sealV1(payload)
      expect(archive.length).toBe(33 + length)
      same(await openV1(archive, [otherKey, key]), payload)
    }
    const archive = await sealV1(randomBytes(10))
    expect(await told(openV1(archive, [otherKey]))).toBe(WRONG_KEY)
    expect(await told(openV1(archive, [passphrase("a")]))).toMatch(
      /^INVALID_KEY An archive of version 1 is opened by a/,
    )
    expect(await told(open(archive))).toBe("INCOMPATIBLE_VERSION Unsupported format version: 1")
  })

  test("version 1 gives nothing before the whole file was verified", async () => {
    const archive = changed(await sealV1(randomBytes(3_000_000)), (bytes) => bytes[bytes.length - 1]!--)
    const pieces = decryptV1(bytesAccess(archive), [key], createGcm)
    expect(await told(pieces.next())).toBe(WRONG_KEY)
  })

  test("version 1 that changes between its two readings is refused", async () => {
    const archive = await sealV1(randomBytes(100))
    const pieces = decryptV1(
      {
        size: archive.length,
        read: async (offset, length) => {
          const bytes = archive.slice(offset, offset + length)
          // The tag was read last; from now on it is another file.
          if (offset === archive.length - 16) archive[50]!++
          return bytes
        },
      },
      [key],
      createGcm,
    )
    expect(await told(collect(pieces))).toBe(WRONG_KEY)
  })
})

describe("a stream", () => {
  test("that is left early is ended", async () => {
    let ended = 0
    async function* source(bytes: Uint8Array) {
      try {
        yield* sliced(bytes, [20_000])
      } finally {
        ended++
      }
    }
    const leave = async (pieces: AsyncGenerator<Uint8Array>) => {
      for (let i = 0; i < 3; i++) await pieces.next()
      await pieces.return(undefined)
    }
    const payload = randomBytes(64 * CHUNK)
    await leave(encrypt(source(payload), [key], { chunkLog2: 12 }))
    expect(ended).toBe(1)
    await leave(decrypt(source(await seal(payload)), [key]))
    expect(ended).toBe(2)
    expect(await told(collect(decrypt(source(await seal(payload)), [otherKey])))).toBe(WRONG_KEY)
    expect(ended).toBe(3)
  })

  test("that fails fails with its own error", async () => {
    async function* source() {
      yield new Uint8Array(3 * CHUNK)
      throw new PrismError("IO_ERROR", "the device failed")
    }
    expect(await told(collect(encrypt(source(), [key], { chunkLog2: 12 })))).toBe("IO_ERROR the device failed")
  })

  test("gives no byte before the header was verified, and what it gives before damage is right", async () => {
    const payload = randomBytes(40 * CHUNK)
    const archive = await seal(payload)
    const forged = changed(archive, (bytes) => bytes[MAC]!++)
    expect(await told(decrypt(sliced(forged), [key]).next())).toBe("CORRUPT Archive is damaged (header)")
    const hurt = changed(archive, (bytes) => bytes[HEADER_BYTES + 30 * SEALED + 5]!++)
    const parts: Uint8Array[] = []
    const reading = (async () => {
      for await (const piece of decrypt(sliced(hurt), [key])) parts.push(piece)
    })()
    expect(await told(reading)).toBe("CORRUPT Archive is damaged (chunk 30)")
    same(concatBytes(parts), payload.subarray(0, 30 * CHUNK))
  })
})

describe("damage is an error", () => {
  const payload = randomBytes(CHUNK + 100)

  test("of version 2: each single byte, as a stream and as a file", async () => {
    const archive = await seal(payload, [key, otherKey])
    const found = new Map<string, number>()
    for (let at = 0; at < archive.length; at++) {
      archive[at]! ^= 0x20
      const [asStream, asFile] = [await told(open(archive)), await told(readFile(archive))]
      archive[at]! ^= 0x20
      expect(asFile, `byte ${at}`).toBe(asStream)
      found.set(asStream, (found.get(asStream) ?? 0) + 1)
    }
    expect([...found.values()].reduce((sum, count) => sum + count)).toBe(HEADER_BYTES + payload.length + 2 * 16)
    expect(Object.fromEntries(found)).toEqual({
      "INVALID_FORMAT Invalid file format (not a Prism encrypted export)": 4,
      "INCOMPATIBLE_VERSION Unsupported format version: 34": 1,
      // Flags, the size of a chunk, the reserved byte, the salt of the file, the MAC, and what only the MAC sees: all of
      // the other slot but its length, and zeros that become one more slot, of an unknown type.
      "CORRUPT Archive is damaged (header)": 3 + 32 + 32 + RAW_SLOT - 2 + 1,
      // A salt or a commitment of another key cannot be told from a damaged one; an unknown type is skipped.
      [WRONG_KEY]: 1 + 32 + 32,
      // The length of a slot, the wrapped file key.
      "CORRUPT Archive is damaged (key slot 0)": 2 + 48,
      "CORRUPT Archive is damaged (key slot 1)": 2,
      "CORRUPT Archive is damaged (key slots)": 4096 - 2 * RAW_SLOT - 1,
      "CORRUPT Archive is damaged (chunk 0)": SEALED,
      // A short last chunk may be one that was cut.
      "TRUNCATED Archive is truncated (chunk 1)": 116,
    })
  })

  test("of version 2: each cut, as a stream and as a file", async () => {
    const archive = await seal(payload)
    for (let size = 0; size < archive.length; size++) {
      const cut = archive.subarray(0, size)
      const expected =
        size < 33
          ? "INVALID_FORMAT File too small to be encrypted"
          : size < HEADER_BYTES
            ? "TRUNCATED Archive is truncated (header)"
            : `TRUNCATED Archive is truncated (chunk ${Math.max(0, Math.ceil((size - HEADER_BYTES) / SEALED) - 1)})`
      expect(await told(open(cut)), `size ${size}`).toBe(expected)
      expect(await told(readFile(cut)), `size ${size}`).toBe(expected)
    }
  })

  test("of version 1: each single byte and each cut", async () => {
    const archive = await sealV1(randomBytes(300))
    for (let at = 0; at < archive.length; at++) {
      const hurt = changed(archive, (bytes) => void (bytes[at]! ^= 0x10))
      const expected = at < 4 ? /^INVALID_FORMAT/ : at === 4 ? /^INCOMPATIBLE_VERSION .*: 17$/ : /^DECRYPTION_FAILED/
      expect(await told(openV1(hurt))).toMatch(expected)
      expect(await told(openFile(hurt))).toMatch(expected)
    }
    for (let size = 0; size < archive.length; size++) {
      const expected = size < 33 ? "INVALID_FORMAT File too small to be encrypted" : WRONG_KEY
      expect(await told(openV1(archive.subarray(0, size)))).toBe(expected)
      expect(await told(openFile(archive.subarray(0, size)))).toBe(expected)
    }
  })

  test("also of what is no encrypted archive at all", async () => {
    for (const text of ["", "P", "PENC", `PENC\u0002${"x".repeat(27)}`]) {
      expect(await told(open(encodeUtf8(text)))).toBe("INVALID_FORMAT File too small to be encrypted")
    }
    for (const text of ["x", "PENX", '{"format":"prism-portable-v1"}', "x".repeat(9000)]) {
      expect(await told(open(encodeUtf8(text)))).toBe(
        "INVALID_FORMAT Invalid file format (not a Prism encrypted export)",
      )
    }
    expect(await told(open(encodeUtf8(`PENC\u0003${"x".repeat(28)}`)))).toBe(
      "INCOMPATIBLE_VERSION Unsupported format version: 3",
    )
  })

  test("each error says where and what to do, but never the key", async () => {
    const archive = await seal(payload)
    const secret = generateKey()
    const broken = [
      [archive.subarray(0, 20), key],
      [archive.subarray(0, 2000), key],
      [archive.subarray(0, archive.length - 1), key],
      [changed(archive, (bytes) => bytes[4200]!++), key],
      [changed(archive, (bytes) => bytes[4]!++), key],
      [archive, parseKey(secret)],
    ] as const
    for (const [bytes, one] of broken) {
      const error = await refusal(open(bytes, [one]))
      expect(error.hint).toBeTruthy()
      if (error.code !== "DECRYPTION_FAILED") expect(error.place).toBeTruthy()
      expect(`${error.stack}${JSON.stringify(error)}`).not.toContain(secret)
    }
  })
})

describe("an attacker", () => {
  const payload = randomBytes(5 * CHUNK + 100)
  const sealed = seal(payload)
  const chunk = (archive: Uint8Array, index: number) =>
    archive.slice(HEADER_BYTES + index * SEALED, HEADER_BYTES + (index + 1) * SEALED)
  const assemble = async (order: readonly number[], from?: Uint8Array) => {
    const archive = await sealed
    return concatBytes([archive.subarray(0, HEADER_BYTES), ...order.map((index) => chunk(from ?? archive, index))])
  }

  test("cannot swap, double, drop or append chunks", async () => {
    const orders: [number[], string][] = [
      [[1, 0, 2, 3, 4, 5], "CORRUPT Archive is damaged (chunk 0)"],
      [[0, 1, 1, 2, 3, 4, 5], "CORRUPT Archive is damaged (chunk 2)"],
      [[0, 1, 3, 4, 5], "CORRUPT Archive is damaged (chunk 2)"],
      [[1, 2, 3, 4, 5], "CORRUPT Archive is damaged (chunk 0)"],
      [[0, 1, 2, 3, 4], "TRUNCATED Archive is truncated (chunk 4)"],
      [[0, 1, 2, 3, 4, 5, 5], "TRUNCATED Archive is truncated (chunk 5)"],
      [[], "TRUNCATED Archive is truncated (chunk 0)"],
    ]
    for (const [order, message] of orders) {
      expect(await told(open(await assemble(order)))).toBe(message)
      expect(await told(assemble(order).then(readFile))).toMatch(/^(CORRUPT|TRUNCATED) /)
    }
    same(await open(await assemble([0, 1, 2, 3, 4, 5])), payload)
  })

  test("cannot put bytes behind the last chunk", async () => {
    for (const length of [0, 100, CHUNK]) {
      const archive = await seal(randomBytes(length))
      for (const more of [1, 16, SEALED]) {
        const longer = concatBytes([archive, new Uint8Array(more)])
        expect((await refusal(open(longer))).code).toMatch(/^(CORRUPT|TRUNCATED)$/)
        expect((await refusal(readFile(longer))).code).toMatch(/^(CORRUPT|TRUNCATED)$/)
      }
    }
    const full = concatBytes([await seal(randomBytes(CHUNK)), new Uint8Array(1)])
    expect((await refusal(open(full))).hint).toMatch(/^something stands behind its last chunk/)
  })

  test("no other writer's empty last chunk is taken after others", async () => {
    const header = (await sealed).subarray(0, HEADER_BYTES)
    const chunks = await openHeader(header, [key])
    const full = await chunks.seal(payload.subarray(0, CHUNK), 0, false)
    const archive = concatBytes([header, full, await chunks.seal(new Uint8Array(0), 1, true)])
    expect(await told(open(archive))).toBe("CORRUPT Archive is damaged (chunk 1)")
    expect(await told(openFile(archive))).toBe("CORRUPT Archive is damaged (chunk 1)")
    // Of an empty payload it is the only one.
    same(await open(concatBytes([header, await chunks.seal(new Uint8Array(0), 0, true)])), new Uint8Array(0))
  })

  test("cannot take chunks, or a header, from another file under the same key", async () => {
    const other = await seal(payload)
    expect(await told(open(await assemble([0, 1, 2, 3, 4, 5], other)))).toBe("CORRUPT Archive is damaged (chunk 0)")
    const archive = await sealed
    const slots = changed(archive, (bytes) => bytes.set(other.subarray(SLOTS, MAC), SLOTS))
    expect(await told(open(slots))).toBe("CORRUPT Archive is damaged (header)")
    const salt = changed(archive, (bytes) => bytes.set(other.subarray(8, SLOTS), 8))
    expect(await told(open(salt))).toBe("CORRUPT Archive is damaged (header)")
  })

  test("cannot strip, add or reorder slots", async () => {
    const archive = await seal(payload, [key, otherKey])
    const [first, second] = [0, 1].map((i) => archive.slice(SLOTS + i * RAW_SLOT, SLOTS + (i + 1) * RAW_SLOT))
    const withSlots = (...slots: Uint8Array[]) =>
      changed(archive, (bytes) => {
        bytes.fill(0, SLOTS, MAC)
        bytes.set(concatBytes(slots), SLOTS)
      })
    for (const forged of [withSlots(first!), withSlots(second!, first!), withSlots(first!, second!, second!)]) {
      expect(await told(open(forged))).toBe("CORRUPT Archive is damaged (header)")
    }
    expect(await told(open(withSlots(second!)))).toBe(WRONG_KEY)
    expect(await told(open(withSlots()))).toBe(WRONG_KEY)
  })

  test("cannot keep a reader busy with rounds, nor make it allocate", async () => {
    const passphraseSlot = (rounds: number) => {
      const slot = new Uint8Array(3 + 36 + 32 + 48)
      const view = new DataView(slot.buffer)
      view.setUint8(0, 2)
      view.setUint16(1, slot.length - 3)
      view.setUint32(35, rounds)
      return slot
    }
    const withRounds = async (...rounds: number[]) => {
      const archive = await sealed
      return changed(archive, (bytes) => bytes.set(concatBytes(rounds.map(passphraseSlot)), SLOTS + RAW_SLOT))
    }
    for (const rounds of [[0], [0xffffffff], [10_000_001], [9_999_999, 2], [600_000, 0]]) {
      const bomb = await withRounds(...rounds)
      for (const one of [key, passphrase("a")]) {
        expect(await told(open(bomb, [one]))).toBe("CORRUPT Archive is damaged (key slots)")
      }
    }
    expect(await told(open(await withRounds(1), [passphrase("a")]))).toBe(WRONG_KEY)
    expect(await told(open(await withRounds(...Array<number>(16).fill(1))))).toBe(
      "CORRUPT Archive is damaged (key slot 16)",
    )
    for (const chunkLog2 of [0, 11, 25, 31, 255]) {
      const archive = changed(await sealed, (bytes) => void (bytes[6] = chunkLog2))
      expect(await told(open(archive))).toBe("CORRUPT Archive is damaged (header)")
    }
  })

  test("cannot make slots run over their space", async () => {
    const archive = await sealed
    for (const [at, length] of [
      [SLOTS + RAW_SLOT, 0xffff],
      [SLOTS + RAW_SLOT, 4096 - RAW_SLOT - 2],
    ] as const) {
      const forged = changed(archive, (bytes, view) => {
        bytes[at] = 77
        view.setUint16(at + 1, length)
      })
      expect(await told(open(forged))).toBe("CORRUPT Archive is damaged (key slot 1)")
    }
    // A slot of an unknown type that ends where the space ends leaves no room for a next one's head.
    const full = changed(archive, (bytes, view) => {
      bytes[SLOTS + RAW_SLOT] = 77
      view.setUint16(SLOTS + RAW_SLOT + 1, 4096 - RAW_SLOT - 3 - 2)
      bytes[MAC - 2] = 77
    })
    expect(await told(open(full))).toBe("CORRUPT Archive is damaged (key slot 2)")
  })

  test("cannot turn a version into another", async () => {
    const asV1 = changed(await sealed, (bytes) => void (bytes[4] = 1))
    expect(await told(openV1(asV1))).toBe(WRONG_KEY)
    const asV2 = changed(await sealV1(randomBytes(9000)), (bytes) => void (bytes[4] = 2))
    expect(await told(open(asV2))).toMatch(/^CORRUPT Archive is damaged \((header|key slot \d+)\)$/)
  })

  test("cannot make one file that two keys read differently", async () => {
    // AES-GCM alone does not bind a ciphertext to a key. Here the other key's slot stands in the file under one MAC, and
    // each slot commits to its key: a slot copied from elsewhere wraps another file key, under which the MAC is wrong.
    const [a, b] = [await seal(payload, [key]), await seal(payload, [otherKey])]
    const both = changed(a, (bytes) => bytes.set(b.subarray(SLOTS, SLOTS + RAW_SLOT), SLOTS + RAW_SLOT))
    for (const one of [key, otherKey]) {
      expect(await told(open(both, [one]))).toBe("CORRUPT Archive is damaged (header)")
    }
    // A commitment of its own does not let a wrapped key of another through.
    const spliced = changed(a, (bytes) =>
      bytes.set(b.subarray(SLOTS + RAW_SLOT - 48, SLOTS + RAW_SLOT), SLOTS + RAW_SLOT - 48),
    )
    expect(await told(open(spliced))).toBe("CORRUPT Archive is damaged (key slot 0)")
  })
})

describe("changing keys", () => {
  const payload = randomBytes(CHUNK + 5)
  const third = parseKey("3".repeat(64))
  const rotate = async (archive: Uint8Array, old: Key, change: KeyChange) => {
    const header = await rotateKeys(archive.subarray(0, HEADER_BYTES), old, change)
    expect(header.length).toBe(HEADER_BYTES)
    return concatBytes([header, archive.subarray(HEADER_BYTES)])
  }
  const openers = async (archive: Uint8Array) => {
    const found: Key[] = []
    for (const one of [key, otherKey, third]) {
      if (
        await open(archive, [one]).then(
          (bytes) => equalBytes(bytes, payload),
          () => false,
        )
      )
        found.push(one)
    }
    return found
  }

  test("adds, replaces and removes, and leaves every chunk as it is", async () => {
    const one = await seal(payload, [key])
    const two = await rotate(one, key, { add: otherKey })
    expect(await openers(two)).toEqual([key, otherKey])
    const replaced = await rotate(two, otherKey, { replace: third })
    expect(await openers(replaced)).toEqual([key, third])
    const removed = await rotate(replaced, key, { remove: true })
    expect(await openers(removed)).toEqual([third])
    expect(await openers(await rotate(one, key, { replace: otherKey }))).toEqual([otherKey])
  })

  test("a key that is taken away opens nothing, however often it was added", async () => {
    const twice = await rotate(await seal(payload, [key, otherKey]), otherKey, { add: key })
    expect(await openers(await rotate(twice, key, { remove: true }))).toEqual([otherKey])
    expect(await openers(await rotate(twice, key, { replace: third }))).toEqual([otherKey, third])
    expect(await told(rotate(await seal(payload, [key, key]), key, { remove: true }))).toMatch(/only key/)
  })

  test("a passphrase may stand in for a key", async () => {
    const archive = await rotate(await seal(payload), key, { replace: passphrase("correct horse") })
    same(await open(archive, [passphrase("correct horse")]), payload)
    expect(await openers(archive)).toEqual([])
  })

  test("is refused with a wrong key, for the last one, and for a 17th", async () => {
    const archive = await seal(payload)
    expect(await told(rotate(archive, otherKey, { replace: third }))).toBe(WRONG_KEY)
    expect(await told(rotate(archive, key, { remove: true }))).toBe(
      "INVALID_REQUEST This is the only key of the archive",
    )
    const many = await seal(payload, Array<Key>(16).fill(key))
    expect(await told(rotate(many, key, { add: third }))).toMatch(/^LIMIT_EXCEEDED There is no room/)
    expect(await told(seal(payload, Array<Key>(17).fill(key)))).toMatch(/^LIMIT_EXCEEDED There is no room/)
  })

  test("keeps slots of a type that it does not know, and counts them", async () => {
    const unknown = Uint8Array.of(200, 0, 5, 1, 2, 3, 4, 5)
    // A file that a later version could have written: made here by way of a slot that is renamed before the MAC is made.
    const archive = await seal(payload, [key, otherKey])
    const header = archive.slice(0, HEADER_BYTES)
    header.fill(0, SLOTS + RAW_SLOT, MAC)
    header.set(unknown, SLOTS + RAW_SLOT)
    const whole = concatBytes([await resealed(header), archive.subarray(HEADER_BYTES)])
    same(await open(whole), payload)
    const added = await rotate(whole, key, { add: third })
    expect(await openers(added)).toEqual([key, third])
    expect(equalBytes(added.subarray(SLOTS + RAW_SLOT, SLOTS + RAW_SLOT + unknown.length), unknown)).toBe(true)
    const removed = await rotate(whole, key, { remove: true })
    expect(equalBytes(removed.subarray(SLOTS, SLOTS + unknown.length), unknown)).toBe(true)
  })
})

/** A header with the right MAC, made by the words of FORMATS.md alone. */
async function resealed(header: Uint8Array): Promise<Uint8Array> {
  const { subtle } = crypto
  const own = (bytes: Uint8Array) => bytes as Uint8Array<ArrayBuffer>
  const hkdf = async (secret: Uint8Array, salt: Uint8Array, info: string, length: number) => {
    const base = await subtle.importKey("raw", own(secret), "HKDF", false, ["deriveBits"])
    const algorithm = { name: "HKDF", hash: "SHA-256", salt: own(salt), info: own(encodeUtf8(info)) }
    return new Uint8Array(await subtle.deriveBits(algorithm, base, length * 8))
  }
  const slot = header.subarray(SLOTS, SLOTS + RAW_SLOT)
  const secret = (key as { bytes: Uint8Array }).bytes
  const wrapping = (await hkdf(secret, slot.subarray(3, 35), "prism-penc-v2/wrap", 64)).subarray(0, 32)
  const fileKey = await subtle.decrypt(
    { name: "AES-GCM", iv: new Uint8Array(12), additionalData: own(slot.subarray(0, 35)) },
    await subtle.importKey("raw", own(wrapping), "AES-GCM", false, ["decrypt"]),
    own(slot.subarray(67)),
  )
  const macKey = await hkdf(new Uint8Array(fileKey), header.subarray(8, 40), "prism-penc-v2/header", 32)
  const hmac = { name: "HMAC", hash: "SHA-256" }
  const signer = await subtle.importKey("raw", own(macKey), hmac, false, ["sign"])
  const mac = new Uint8Array(await subtle.sign("HMAC", signer, own(header.subarray(0, MAC))))
  return concatBytes([header.subarray(0, MAC), mac])
}
