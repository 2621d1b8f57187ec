import { expect, test } from "vitest"
import { decodeUtf8 } from "../../src/base/bytes.ts"
import { EncryptedFile } from "../../src/formats/encrypted-file.ts"
import { type Key, parseKey } from "../../src/formats/key.ts"
import { runtime } from "../support/runtime.ts"

// Made by the words of docs/formats/encrypted.md (test/support/penc-vector.ts). From the first release on every version's
// file stays readable.

const FIXTURES = "test/fixtures/encrypted"

async function text(path: string): Promise<string> {
  await using file = (await runtime.files.open(path))!
  return decodeUtf8(await file.read(0, file.size))
}

const rawKey = async () => parseKey(await text(`${FIXTURES}.key`))
const passphrase = async (): Promise<Key> => ({
  kind: "passphrase",
  passphrase: (await text(`${FIXTURES}.passphrase`)).trimEnd(),
})

test.each([
  ["version 1", 1, rawKey],
  ["version 2 with its key", 2, rawKey],
  ["version 2 with its passphrase, composed another way", 2, passphrase],
] as const)("%s", async (_, version, key) => {
  await using file = (await runtime.files.open(`${FIXTURES}-v${version}.enc`))!
  const encrypted = await EncryptedFile.open(file, [await key()], (...args) => runtime.createGcm(...args))
  expect(encrypted.version).toBe(version)
  expect(encrypted.size).toBe(5000)
  expect(await encrypted.read(0, 5000)).toEqual(Uint8Array.from({ length: 5000 }, (_, i) => i % 251))
})
