// Bytes and their spellings: UTF-8, hex, base64.
import { PrismError } from "./errors.ts"

const encoder = new TextEncoder()
const lossyDecoder = new TextDecoder("utf-8", { ignoreBOM: true })
const fatalDecoder = new TextDecoder("utf-8", { ignoreBOM: true, fatal: true })

/** UTF-8 of a string. A lone surrogate becomes U+FFFD, as everywhere in the Web platform. */
export function encodeUtf8(text: string): Uint8Array {
  return encoder.encode(text)
}

/** Text of UTF-8 bytes; what is not UTF-8 becomes U+FFFD. A byte order mark stays. */
export function decodeUtf8(bytes: Uint8Array): string {
  return lossyDecoder.decode(bytes)
}

/** Text of UTF-8 bytes, or undefined where they are not UTF-8. A byte order mark stays. */
export function tryDecodeUtf8(bytes: Uint8Array): string | undefined {
  try {
    return fatalDecoder.decode(bytes)
  } catch {
    return undefined
  }
}

/** Text of bytes that we wrote as UTF-8 ourselves: anything else is CORRUPT, `place` names the bytes. */
export function decodeUtf8Fatal(bytes: Uint8Array, place?: string): string {
  const text = tryDecodeUtf8(bytes)
  if (text === undefined)
    throw new PrismError("CORRUPT", "text is not valid UTF-8", place === undefined ? {} : { place })
  return text
}

/** Length of a string in UTF-8 without encoding it. */
export function utf8Length(text: string): number {
  let length = text.length
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i)
    if (unit < 0x80) continue
    length++
    // Two surrogates become four bytes, any other unit from U+0800 (a lone surrogate as U+FFFD too) three.
    if (unit < 0x800) continue
    if (unit >= 0xd800 && unit < 0xdc00 && (text.charCodeAt(i + 1) & 0xfc00) === 0xdc00) i++
    length++
  }
  return length
}

export function concatBytes(parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  const all = new Uint8Array(length)
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  if (a.length !== b.length) return false
  for (let i = 0; i < a.length; i++) if (a[i] !== b[i]) return false
  return true
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"))

/** Lowercase hex. */
export function toHex(bytes: Uint8Array): string {
  let hex = ""
  for (let i = 0; i < bytes.length; i++) hex += HEX[bytes[i]!]
  return hex
}

/** Bytes of hex in either case, or undefined where it is not hex of whole bytes. */
export function fromHex(hex: string): Uint8Array | undefined {
  if (!/^(?:[0-9a-fA-F]{2})*$/.test(hex)) return undefined
  const bytes = new Uint8Array(hex.length / 2)
  for (let i = 0; i < bytes.length; i++) bytes[i] = Number.parseInt(hex.slice(2 * i, 2 * i + 2), 16)
  return bytes
}

const BASE64 = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
const BASE64_CODE = new Uint8Array(64)
const BASE64_VALUE = new Uint8Array(128).fill(0xff)
for (let value = 0; value < 64; value++) {
  BASE64_CODE[value] = BASE64.charCodeAt(value)
  BASE64_VALUE[BASE64.charCodeAt(value)] = value
}
const PAD = 0x3d // "="

/** Standard padded base64 (RFC 4648, section 4). */
export function toBase64(bytes: Uint8Array): string {
  const codes = new Uint8Array(Math.ceil(bytes.length / 3) * 4)
  let at = 0
  for (let i = 0; i < bytes.length; i += 3) {
    const left = bytes.length - i
    const group = (bytes[i]! << 16) | ((bytes[i + 1] ?? 0) << 8) | (bytes[i + 2] ?? 0)
    codes[at++] = BASE64_CODE[group >> 18]!
    codes[at++] = BASE64_CODE[(group >> 12) & 63]!
    codes[at++] = left > 1 ? BASE64_CODE[(group >> 6) & 63]! : PAD
    codes[at++] = left > 2 ? BASE64_CODE[group & 63]! : PAD
  }
  return decodeUtf8(codes)
}

/** Bytes of standard padded base64, or undefined. Strict, so that each byte sequence has exactly one spelling: no white
 *  space, no missing padding, no bits set that the padding drops. */
export function fromBase64(text: string): Uint8Array | undefined {
  if (text.length % 4 !== 0) return undefined
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0
  const digits = text.length - padding
  const bytes = new Uint8Array((text.length / 4) * 3 - padding)
  let at = 0
  let group = 0
  let bits = 0
  for (let i = 0; i < digits; i++) {
    const value = BASE64_VALUE[text.charCodeAt(i)] ?? 0xff
    if (value === 0xff) return undefined
    group = ((group << 6) | value) & 0xffff
    bits += 6
    if (bits >= 8) {
      bits -= 8
      bytes[at++] = group >> bits
    }
  }
  return (group & ((1 << bits) - 1)) === 0 ? bytes : undefined
}

/** The order of two texts by their bytes in UTF-8, which is that of their code points. */
export function compareUtf8(a: string, b: string): number {
  const length = Math.min(a.length, b.length)
  for (let i = 0; i < length; i++) {
    const [x, y] = [a.charCodeAt(i), b.charCodeAt(i)]
    if (x === y) continue
    // Halves of surrogate pairs stand for what comes behind all other units.
    return x >= 0xd800 && y >= 0xd800 ? rotated(x) - rotated(y) : x - y
  }
  return a.length - b.length
}

function rotated(unit: number): number {
  return unit >= 0xe000 ? unit - 0x800 : unit + 0x2000
}
