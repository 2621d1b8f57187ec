import fc from "fast-check"
import { assert, describe, test } from "vitest"
import {
  concatBytes,
  decodeUtf8,
  decodeUtf8Fatal,
  encodeUtf8,
  equalBytes,
  fromBase64,
  fromHex,
  toBase64,
  toHex,
  tryDecodeUtf8,
  utf8Length,
} from "../src/base/bytes.ts"
import { crc32c } from "../src/base/crc32c.ts"
import { PrismError } from "../src/base/errors.ts"
import { closest } from "../src/base/similar.ts"

describe("UTF-8", () => {
  test("its length is told without encoding", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => assert.equal(utf8Length(text), encodeUtf8(text).length)),
      { seed: 1 },
    )
    // Lone surrogates count as the U+FFFD that they become.
    for (const text of ["\ud800", "a\udc00", "\ud800\ud800\udc00", "\udc00\ud800"]) {
      assert.equal(utf8Length(text), encodeUtf8(text).length)
    }
  })

  test("a byte order mark stays, what is no UTF-8 is told", () => {
    assert.equal(decodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf, 0x61)), "\ufeffa")
    assert.equal(tryDecodeUtf8(Uint8Array.of(0xef, 0xbb, 0xbf)), "\ufeff")
    assert.equal(tryDecodeUtf8(Uint8Array.of(0xc0, 0x80)), undefined)
    assert.equal(decodeUtf8(Uint8Array.of(0xff)), "\ufffd")
    assert.throws(() => decodeUtf8Fatal(Uint8Array.of(0xff), "wal/1"), PrismError, /UTF-8/)
  })
})

describe("hex and base64", () => {
  test("base64 as Web platforms write it", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        const text = btoa(String.fromCharCode(...bytes))
        assert.equal(toBase64(bytes), text)
        assert.deepEqual(fromBase64(text), bytes)
        assert.deepEqual(fromHex(toHex(bytes).toUpperCase()), bytes)
      }),
      { seed: 2 },
    )
    // RFC 4648, section 10.
    const vectors = ["", "f", "fo", "foo", "foob", "fooba", "foobar"].map((text) => toBase64(encodeUtf8(text)))
    assert.deepEqual(vectors, ["", "Zg==", "Zm8=", "Zm9v", "Zm9vYg==", "Zm9vYmE=", "Zm9vYmFy"])
    assert.equal(toHex(Uint8Array.of(0, 0x9f, 0xff)), "009fff")
  })

  test("every byte sequence has one spelling in base64", () => {
    for (const text of ["Zg=", "Zg", "Z===", "====", "Zh==", "Zm9=", "Zm 9", "Zm9v\n", "Zm9-", "Zm9ü", "Zg==Zg=="]) {
      assert.equal(fromBase64(text), undefined, text)
    }
    for (const text of ["0", "0g", " 00", "0x00"]) assert.equal(fromHex(text), undefined, text)
  })

  test("bytes are joined and compared", () => {
    const joined = concatBytes([Uint8Array.of(1), new Uint8Array(0), Uint8Array.of(2, 3)])
    assert.isTrue(equalBytes(joined, Uint8Array.of(1, 2, 3)))
    assert.isFalse(equalBytes(joined, Uint8Array.of(1, 2)))
    assert.isFalse(equalBytes(joined, Uint8Array.of(1, 2, 4)))
  })
})

describe("CRC-32C", () => {
  const ascending = Uint8Array.from({ length: 32 }, (_, i) => i)
  // RFC 3720, appendix B.4, and the check value of the CRC catalogue.
  test.each<[string, Uint8Array, number]>([
    ["32 zeros", new Uint8Array(32), 0x8a9136aa],
    ["32 ones", new Uint8Array(32).fill(0xff), 0x62a8ab43],
    ["0 to 31", ascending, 0x46dd794e],
    ["31 to 0", ascending.toReversed(), 0x113fdb5c],
    ["123456789", encodeUtf8("123456789"), 0xe3069283],
    ["nothing", new Uint8Array(0), 0],
  ])("of %s", (_name, bytes, crc) => assert.equal(crc32c(bytes), crc))

  test("bit by bit gives the same, whole or in pieces", () => {
    const slow = (bytes: Uint8Array): number => {
      let crc = 0xffffffff
      for (const byte of bytes) {
        crc ^= byte
        for (let bit = 0; bit < 8; bit++) crc = (crc >>> 1) ^ (crc & 1 ? 0x82f63b78 : 0)
      }
      return ~crc >>> 0
    }
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 100 }), fc.nat({ max: 100 }), (bytes, at) => {
        assert.equal(crc32c(bytes), slow(bytes))
        assert.equal(crc32c(bytes.subarray(at), crc32c(bytes.subarray(0, at))), slow(bytes))
      }),
      { seed: 3 },
    )
  })
})

describe("the word that was probably meant", () => {
  test.each<[string, string | undefined]>([
    ["titel", "title"],
    ["Title", "title"],
    ["tilte", "title"],
    ["title_", "title"],
    ["boddy", "body"],
    ["od", "id"],
    ["x", undefined],
    ["", undefined],
    ["keyboard", undefined],
    ["t".repeat(1000), undefined],
  ])("%s", (word, meant) => assert.equal(closest(word, ["title", "body", "price", "id"]), meant))

  test("the nearest, and of equals the first", () => {
    assert.equal(closest("price", ["prices", "pride"]), "prices")
    assert.equal(closest("prize", ["price", "prime"]), "price")
    assert.equal(closest("prime_", ["price", "prime"]), "prime")
  })
})
