// Encrypted archives held against what is not src/: the page that describes them, and docs/formats/decrypt.py.
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterAll, describe, expect, test } from "vitest"
import { concatBytes, equalBytes } from "../src/base/bytes.ts"
import { decrypt, encrypt } from "../src/formats/encrypted.ts"
import { decryptV1, encryptV1 } from "../src/formats/encrypted-v1.ts"
import { generateKey, parseKey } from "../src/formats/key.ts"
import { createGcm } from "../src/runtime-node/gcm.ts"
import { bytesAccess } from "./support/bytes-access.ts"
import { PASSPHRASE, PAYLOAD, vector } from "./support/penc-vector.ts"

const at = (path: string) => fileURLToPath(new URL(`../${path}`, import.meta.url))
const folder = mkdtempSync(join(tmpdir(), "prism-penc-"))
afterAll(() => rmSync(folder, { recursive: true }))

async function* once(bytes: Uint8Array) {
  yield bytes
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const piece of pieces) parts.push(piece)
  return concatBytes(parts)
}

const inFolder = (name: string, content: string | Uint8Array) => {
  const path = join(folder, name)
  writeFileSync(path, content)
  return path
}

test("docs/formats/encrypted.md tells the values that follow from its words, and the fixtures are its files", () => {
  const page = readFileSync(at("docs/formats/encrypted.md"), "utf8")
  const block = /```text\n([^`]*)```/.exec(page)![1]!
  const told = block
    .trimEnd()
    .split("\n")
    .map((line) => /^(.+?) {2,}([0-9a-f]+)$|^(SHA-256 .*) ([0-9a-f]+)$/.exec(line)!)
  const { values, v1, v2, key } = vector()
  expect(told.map((match) => [match[1] ?? match[3], match[2] ?? match[4]])).toEqual(
    Object.entries(values).map(([name, bytes]) => [name, bytes.toString("hex")]),
  )
  expect(equalBytes(readFileSync(at("test/fixtures/encrypted-v1.enc")), v1)).toBe(true)
  expect(equalBytes(readFileSync(at("test/fixtures/encrypted-v2.enc")), v2)).toBe(true)
  expect(readFileSync(at("test/fixtures/encrypted.key"), "utf8")).toBe(`${key.toString("hex")}\n`)
  expect(readFileSync(at("test/fixtures/encrypted.passphrase"), "utf8").normalize("NFC")).toBe(`${PASSPHRASE}\n`)
  expect(page).toContain(`\`${PASSPHRASE}\``)
})

// What a user of another language would run.
const python = (...args: string[]) => spawnSync("python3", args, { maxBuffer: 2 ** 26 })
const isPythonHere = python("-c", "import cryptography").status === 0
if (!isPythonHere) console.warn("skipped: docs/formats/decrypt.py, which needs python3 with cryptography")

const decryptor = (...args: string[]) => {
  const { status, stdout, stderr } = python(at("docs/formats/decrypt.py"), ...args)
  return { status, stdout, stderr: stderr.toString() }
}

describe.skipIf(!isPythonHere)("docs/formats/decrypt.py", () => {
  const keyText = generateKey()
  const key = parseKey(keyText)
  const keyFile = inFolder("a.key", ` ${keyText.toUpperCase()}\n`)
  const passphraseFile = inFolder("passphrase.txt", "Zoe\u0308 knows\r\nnot this\n")

  test("reads the fixtures", () => {
    for (const [version, ...args] of [
      ["1", "--key-file", "test/fixtures/encrypted.key"],
      ["2", "--key-file", "test/fixtures/encrypted.key"],
      ["2", "--passphrase-file", "test/fixtures/encrypted.passphrase"],
    ] as const) {
      const { status, stdout, stderr } = decryptor(at(`test/fixtures/encrypted-v${version}.enc`), args[0], at(args[1]))
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
      expect(equalBytes(stdout, PAYLOAD)).toBe(true)
    }
  })

  test.each([0, 1, 4095, 4096, 4097, 300_000])("reads what we write, %d bytes", async (length) => {
    const payload = Uint8Array.from({ length }, (_, i) => (i * 7) % 253)
    const passphrase = { kind: "passphrase", passphrase: "Zo\u00eb knows" } as const
    const v2 = inFolder("v2.enc", await collect(encrypt(once(payload), [passphrase, key], { chunkLog2: 12 })))
    const v1 = inFolder("v1.enc", await collect(encryptV1(once(payload), key, createGcm)))
    for (const args of [
      [v2, "--key-file", keyFile],
      [v2, "--passphrase-file", passphraseFile],
      [v1, "--key-file", keyFile],
    ]) {
      const { status, stdout, stderr } = decryptor(...args)
      expect({ status, stderr }).toEqual({ status: 0, stderr: "" })
      expect(equalBytes(stdout, payload)).toBe(true)
    }
  })

  test("says what is wrong, and fails", async () => {
    const payload = new Uint8Array(9000)
    const v2 = await collect(encrypt(once(payload), [key], { chunkLog2: 12 }))
    const v1 = await collect(encryptV1(once(payload), key, createGcm))
    const changed = (bytes: Uint8Array, place: number) => {
      const copy = bytes.slice()
      copy[place]! ^= 1
      return copy
    }
    const cases: [Uint8Array, string][] = [
      [v2.subarray(0, 30), "File too small to be encrypted"],
      [changed(v2, 0), "Invalid file format (not a Prism encrypted export)"],
      [changed(v2, 4), "Unsupported format version: 3"],
      [changed(v2, 5), "Archive is damaged (header)"],
      [changed(v2, 50), "Decryption failed (wrong key or corrupted data)"],
      [changed(v2, 150), "Archive is damaged (key slots)"],
      [changed(v2, 1000), "Archive is damaged (key slots)"],
      [changed(v2, 4150), "Archive is damaged (header)"],
      [changed(v2, 9000), "Archive is damaged or truncated (chunk 1)"],
      [v2.subarray(0, 4168 + 2 * 4112), "Archive is damaged or truncated (chunk 1)"],
      [v2.subarray(0, -1), "Archive is damaged or truncated (chunk 2)"],
      [concatBytes([v2, Uint8Array.of(0)]), "Archive is damaged or truncated (chunk 2)"],
      [changed(v1, 5), "Decryption failed (wrong key or corrupted data)"],
      [v1.subarray(0, -1), "Decryption failed (wrong key or corrupted data)"],
    ]
    for (const [bytes, message] of cases) {
      const { status, stderr, stdout } = decryptor(inFolder("bad.enc", bytes), "--key-file", keyFile)
      expect({ status, stderr }).toEqual({ status: 1, stderr: `Error: ${message}\n` })
      if (bytes[4] === 1) expect(stdout.length).toBe(0)
    }
  })
})

// A file of Prism 0.6 itself, and its key; not part of the project.
const ORIGINAL = "../shared/data/original/text25"
const isOriginalHere = existsSync(at(`${ORIGINAL}.enc`))

test.skipIf(!isOriginalHere)(
  `the original's text25.enc is read${isOriginalHere ? "" : ` (needs ${ORIGINAL}.enc)`}`,
  async () => {
    const key = parseKey(readFileSync(at(`${ORIGINAL}.key`), "utf8"))
    const archive = readFileSync(at(`${ORIGINAL}.enc`))
    const payload = await collect(decryptV1(bytesAccess(archive), [key], createGcm))
    expect(payload.length).toBe(archive.length - 33)
    // It is a snapshot: a zstd frame (RFC 8878, section 3.1.1).
    expect([...payload.subarray(0, 4)]).toEqual([0x28, 0xb5, 0x2f, 0xfd])
    if (!isPythonHere) return
    const { status, stdout } = decryptor(at(`${ORIGINAL}.enc`), "--key-file", at(`${ORIGINAL}.key`))
    expect(status).toBe(0)
    expect(equalBytes(stdout, payload)).toBe(true)
  },
)

test("the vector is read as a stream too", async () => {
  const { v2, key } = vector()
  const payload = await collect(decrypt(once(v2), [{ kind: "raw", bytes: key }]))
  expect(equalBytes(payload, PAYLOAD)).toBe(true)
})
