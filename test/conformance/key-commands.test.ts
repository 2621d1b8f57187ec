import { describe, expect, test } from "vitest"
import { concatBytes, decodeUtf8, encodeUtf8 } from "../../src/base/bytes.ts"
import { decrypt, encrypt } from "../../src/formats/encrypted.ts"
import { encryptV1 } from "../../src/formats/encrypted-v1.ts"
import { type Key, parseKey } from "../../src/formats/key.ts"
import { FakeRuntime } from "../support/fake-runtime.ts"
import { refusalCode } from "../support/refusal.ts"

const OLD = "11".repeat(32)
const NEW = "22".repeat(32)
const SECRET = encodeUtf8("the payload")
const passphrase: Key = { kind: "passphrase", passphrase: "correct horse" }

async function* once(bytes: Uint8Array) {
  yield bytes
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const piece of pieces) parts.push(piece)
  return concatBytes(parts)
}

/** A machine with a.enc, which the old key opens, and files with both keys. */
async function machine(keys: readonly Key[] = [parseKey(OLD)]): Promise<FakeRuntime> {
  const runtime = new FakeRuntime()
  runtime.write("a.enc", await collect(encrypt(once(SECRET), keys)))
  runtime.write("old.key", `${OLD}\n`)
  runtime.write("new.key", ` ${NEW.toUpperCase()}\r\n`)
  runtime.write("passphrase.txt", "correct horse\nand a second line that is no part of it\n")
  return runtime
}

async function opens(runtime: FakeRuntime, ...keys: Key[]): Promise<boolean[]> {
  const archive = runtime.fileBytes.get("a.enc")!
  const opened: boolean[] = []
  for (const key of keys) {
    const text = await collect(decrypt(once(archive), [key])).then(decodeUtf8, () => "")
    opened.push(text === decodeUtf8(SECRET))
  }
  return opened
}

const rotate = (runtime: FakeRuntime, ...args: string[]) => runtime.run("key", "rotate", "a.enc", ...args)
const BOTH = [parseKey(OLD), parseKey(NEW)] as const

describe("key generate", () => {
  test("prints a key, another one each time", async () => {
    const runtime = new FakeRuntime()
    const { code, stdout, stderr } = await runtime.run("key", "generate")
    expect({ code, stderr }).toEqual({ code: 0, stderr: "" })
    expect(stdout).toMatch(/^[0-9a-f]{64}\n$/)
    expect((await runtime.run("key", "generate", "-o", "-")).stdout).not.toBe(stdout)
    const json = JSON.parse((await runtime.run("key", "generate", "--json")).stdout) as object
    expect(json).toEqual({ key: expect.stringMatching(/^[0-9a-f]{64}$/), key_bytes: 32, algorithm: "AES-256-GCM" })
  })

  test("writes it into a file, and never over one", async () => {
    const runtime = new FakeRuntime()
    const { code, stdout } = await runtime.run("key", "generate", "-o", "my.key")
    expect({ code, stdout }).toEqual({ code: 0, stdout: "Wrote a new key to my.key, which only you can read\n" })
    const key = runtime.text("my.key")
    expect(key).toMatch(/^[0-9a-f]{64}\n$/)
    expect(await runtime.run("key", "generate", "-o", "my.key")).toMatchObject({ code: 4, stdout: "" })
    expect(runtime.text("my.key")).toBe(key)
    const json = await runtime.run("key", "generate", "-o", "other.key", "--json")
    expect(JSON.parse(json.stdout)).toEqual({ output_path: "other.key", key_bytes: 32, algorithm: "AES-256-GCM" })
    expect(await runtime.run("key", "generate", "-o", "")).toMatchObject({ code: 2 })
  })
})

describe("key rotate", () => {
  test("changes, adds and removes keys", async () => {
    const runtime = await machine()
    const changed = await rotate(runtime, "--key-file", "old.key", "--new-key-file", "new.key")
    expect(changed).toMatchObject({ code: 0, stderr: "" })
    expect(changed.stdout).toMatch(/^Changed the key of a\.enc \(4\.20 kB\)\nSHA-256 of the file: [0-9a-f]{64}\n$/)
    expect(await opens(runtime, ...BOTH)).toEqual([false, true])

    const added = await rotate(runtime, "--key-file", "new.key", "--new-key-file", "old.key", "--add", "--json")
    expect(JSON.parse(added.stdout)).toEqual({
      success: true,
      file: "a.enc",
      rekeyed: false,
      size_bytes: runtime.fileBytes.get("a.enc")!.length,
      file_sha256: expect.stringMatching(/^[0-9a-f]{64}$/),
    })
    expect(await opens(runtime, ...BOTH)).toEqual([true, true])

    const removed = await rotate(runtime, "--key-file", "new.key", "--remove")
    expect(removed).toMatchObject({ code: 0, stderr: "" })
    expect(await opens(runtime, ...BOTH)).toEqual([true, false])
    const last = await rotate(runtime, "--key-file", "old.key", "--remove")
    expect(last).toMatchObject({ code: 2 })
    expect(last.stderr).toMatch(/^Error: This is the only key of the archive\nHint: /)
  })

  test("takes passphrases, and keys from stdin", async () => {
    const runtime = await machine()
    runtime.input = [OLD]
    const added = await rotate(runtime, "--key-file", "-", "--new-passphrase-file", "passphrase.txt", "--add")
    expect(added).toMatchObject({ code: 0, stderr: "" })
    expect(await opens(runtime, parseKey(OLD), passphrase)).toEqual([true, true])
    await rotate(runtime, "--passphrase-file", "passphrase.txt", "--remove")
    expect(await opens(runtime, parseKey(OLD), passphrase)).toEqual([true, false])
  })

  test("encrypts anew, which makes version 2 of version 1", async () => {
    const runtime = await machine()
    const before = runtime.fileBytes.get("a.enc")!
    const added = await rotate(runtime, "--key-file", "old.key", "--new-key-file", "new.key", "--rekey", "--add")
    expect(added).toMatchObject({ code: 0, stderr: "" })
    expect(await opens(runtime, ...BOTH)).toEqual([true, true])
    expect(runtime.fileBytes.get("a.enc")!.subarray(8, 40)).not.toEqual(before.subarray(8, 40))

    runtime.write("a.enc", await collect(encryptV1(once(SECRET), parseKey(OLD), runtime.createGcm)))
    const refused = await rotate(runtime, "--key-file", "old.key", "--new-key-file", "new.key")
    expect(refused).toMatchObject({ code: 2 })
    expect(refused.stderr).toContain("Hint: encrypt it anew with --rekey\n")
    const upgraded = await rotate(runtime, "--key-file", "old.key", "--new-key-file", "new.key", "--rekey")
    expect(upgraded).toMatchObject({ code: 0, stderr: "" })
    expect(runtime.fileBytes.get("a.enc")![4]).toBe(2)
    expect(await opens(runtime, ...BOTH)).toEqual([false, true])
  })

  test("interrupted at any read leaves the archive as it was", async () => {
    for (const args of [[], ["--rekey"]]) {
      let reads = 0
      for (let last = 1; ; last++) {
        const runtime = await machine()
        const before = runtime.fileBytes.get("a.enc")
        reads = 0
        runtime.onReadAt = () => {
          if (++reads === last) runtime.interrupt()
        }
        const { code } = await rotate(runtime, "--key-file", "old.key", "--new-key-file", "new.key", ...args)
        if (reads < last) break
        expect({ code, bytes: runtime.fileBytes.get("a.enc") }).toEqual({ code: 130, bytes: before })
      }
      expect(reads).toBeGreaterThan(4)
    }
  })

  test("tells of a hash file that it makes stale", async () => {
    const runtime = await machine()
    runtime.write("a.enc.sha256", "whatever")
    const { code, stderr } = await rotate(runtime, "--key-file", "old.key", "--new-key-file", "new.key")
    expect({ code, stderr }).toEqual({ code: 0, stderr: "a.enc.sha256 still tells the hash of the old file\n" })
  })

  test.each([
    [[], "No key is given that opens the archive"],
    [["--key-file", "old.key"], "One new key is needed"],
    [
      ["--key-file", "old.key", "--passphrase-file", "passphrase.txt", "--remove"],
      "Two keys are given that may open the archive",
    ],
    [["--new-key-file", "new.key"], "No key is given that opens the archive"],
    [["--key-file", "old.key", "--new-key-file", "new.key", "--remove"], "--remove takes no new key"],
    [["--key-file", "old.key", "--rekey", "--remove"], "--remove takes no new key"],
    [["--key-file", "-", "--new-key-file", "-"], "Old and new key both come from stdin"],
  ])("%s is refused", async (args, message) => {
    const runtime = await machine()
    const before = runtime.fileBytes.get("a.enc")
    const { code, stderr } = await rotate(runtime, ...args)
    expect({ code, stderr }).toMatchObject({ code: 2, stderr: expect.stringContaining(`Error: ${message}\nHint: `) })
    expect(runtime.fileBytes.get("a.enc")).toBe(before)
  })

  test("what is wrong with a file or a key is said before anything is written", async () => {
    const runtime = await machine()
    const whole = runtime.fileBytes.get("a.enc")!
    const cases: [string, Uint8Array | string, number, string][] = [
      ["a.enc", whole.subarray(0, 4190), 5, "Error: Archive is truncated (chunk 0)\n"],
      ["a.enc", whole.subarray(0, 100), 5, "Error: Archive is truncated (header)\n"],
      ["a.enc", "PENC", 1, "Error: File too small to be encrypted (byte 4)\n"],
      ["a.enc", "x".repeat(100), 1, "Error: Invalid file format (not a Prism encrypted export) (byte 0)\n"],
      ["a.enc", `PENC\u0009${"x".repeat(100)}`, 7, "Error: Unsupported format version: 9 (byte 4)\n"],
      ["old.key", NEW, 6, "Error: Decryption failed (wrong key or corrupted data)\n"],
      ["old.key", "abcd", 2, "Error: Key must be 32 bytes, got 2 (old.key)\n"],
      ["old.key", "secret", 2, "Error: Key must be 64 hex characters (old.key)\n"],
      ["new.key", "", 2, "Error: Key must be 32 bytes, got 0 (new.key)\n"],
    ]
    for (const [path, content, expected, message] of cases) {
      const broken = await machine()
      broken.write(path, content)
      const before = broken.fileBytes.get("a.enc")
      const { code, stderr } = await rotate(broken, "--key-file", "old.key", "--new-key-file", "new.key")
      expect({ code, stderr }).toEqual({ code: expected, stderr: expect.stringContaining(message) })
      for (const secret of [OLD, NEW, "secret"]) expect(stderr).not.toContain(secret)
      expect(broken.fileBytes.get("a.enc")).toBe(before)
    }
    const missing = await rotate(runtime, "--key-file", "none.key", "--new-key-file", "new.key")
    expect(missing).toMatchObject({ code: 3 })
    runtime.write("empty.txt", "\nsecond line")
    const empty = await rotate(runtime, "--passphrase-file", "empty.txt", "--new-key-file", "new.key")
    expect(empty).toMatchObject({ code: 2, stderr: expect.stringContaining("Passphrase is empty (empty.txt)\n") })
    runtime.bytesFree = 1000
    const full = await rotate(runtime, "--key-file", "old.key", "--new-key-file", "new.key")
    expect(full).toMatchObject({ code: 1, stderr: expect.stringContaining("second copy of a.enc takes 4.20 kB") })
    expect(await refusalCode(runtime.files.open("b.enc"))).toBe("FILE_NOT_FOUND")
  })
})
