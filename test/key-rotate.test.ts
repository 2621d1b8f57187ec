// `prism key rotate` on real files, with a disk that fails at every step, and one that is gone from a step on as after a
// kill: the archive is whole at any time.
import { readdirSync, readFileSync, statSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { concatBytes, equalBytes } from "../src/base/bytes.ts"
import { decrypt, encrypt } from "../src/formats/encrypted.ts"
import { generateKey, parseKey } from "../src/formats/key.ts"
import type { Files } from "../src/runtime.ts"
import { disk } from "../src/runtime-node/disk.ts"
import { localFiles } from "../src/storage/local-files.ts"
import { FakeRuntime } from "./support/fake-runtime.ts"
import { Fuse } from "./support/fuse.ts"
import { temporaryFolder } from "./support/runtime.ts"

/** A machine with this disk, and the key files old.key and new.key. */
class Machine extends FakeRuntime {
  readonly #files: Files

  constructor(folder: string, fuse: Fuse) {
    super()
    const files = localFiles(fuse.disk(disk))
    const whole = localFiles(disk)
    // The keys are read from elsewhere: only what happens to the archive is counted.
    const isKey = (path: string) => path.endsWith(".key")
    const at = (path: string) => join(folder, path)
    this.#files = {
      ...files,
      size: (path) => (isKey(path) ? whole : files).size(at(path)),
      read: (path) => (isKey(path) ? whole : files).read(at(path)),
      open: (path) => files.open(at(path)),
      freeBytes: (path) => files.freeBytes(at(path)),
      write: (path, options) => files.write(at(path), options),
    }
  }

  override get files(): Files {
    return this.#files
  }
}

const oldKey = generateKey()
const newKey = generateKey()
const payload = Uint8Array.from({ length: 3_000_000 }, (_, i) => (i * i) % 251)

async function* once(bytes: Uint8Array) {
  yield bytes
}

async function collect(pieces: AsyncIterable<Uint8Array>): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const piece of pieces) parts.push(piece)
  return concatBytes(parts)
}

/** Which of the keys opens the archive; it is whole with them. */
async function openers(path: string): Promise<string> {
  const found: string[] = []
  for (const [name, key] of [
    ["old", oldKey],
    ["new", newKey],
  ] as const) {
    const bytes = await collect(decrypt(once(readFileSync(path)), [parseKey(key)])).catch((error: unknown) => {
      expect(error).toMatchObject({ code: "DECRYPTION_FAILED" })
    })
    if (bytes && equalBytes(bytes, payload)) found.push(name)
  }
  return found.join(" ")
}

const ways: [args: string[], after: string][] = [
  [["--new-key-file", "new.key"], "new"],
  [["--new-key-file", "new.key", "--add"], "old new"],
  [["--new-key-file", "new.key", "--rekey"], "new"],
]

describe.each(ways)("key rotate %s", (args, after) => {
  const line = ["key", "rotate", "a.enc", "--key-file", "old.key", ...args]

  async function prepare() {
    const folder = await temporaryFolder()
    const archive = await collect(encrypt(once(payload), [parseKey(oldKey)]))
    const restore = () => writeFileSync(join(folder.path, "a.enc"), archive, { mode: 0o644 })
    restore()
    writeFileSync(join(folder.path, "old.key"), oldKey)
    writeFileSync(join(folder.path, "new.key"), `${newKey}\n`)
    const list = () => readdirSync(folder.path).sort()
    return { folder, path: join(folder.path, "a.enc"), restore, list, archive }
  }

  test("puts the new file in the place of the old one, of the same length, for its owner alone", async () => {
    const { folder, path, list, archive } = await prepare()
    await using _ = folder
    const result = await new Machine(folder.path, new Fuse(() => false)).run(...line)
    expect(result).toMatchObject({ code: 0, stderr: "" })
    expect(await openers(path)).toBe(after)
    expect(statSync(path).size).toBe(archive.length)
    expect(statSync(path).mode & 0o777).toBe(0o600)
    expect(equalBytes(readFileSync(path).subarray(4168), archive.subarray(4168))).toBe(!args.includes("--rekey"))
    expect(list()).toEqual(["a.enc", "new.key", "old.key"])
  })

  test("fails at any call with the old file as it was, and leaves nothing behind", async () => {
    const { folder, path, restore, list, archive } = await prepare()
    await using _ = folder
    let failures = 0
    for (let failing = 0; ; failing++) {
      const fuse = new Fuse((call) => call === failing)
      const { code, stderr } = await new Machine(folder.path, fuse).run(...line)
      expect(list()).toEqual(["a.enc", "new.key", "old.key"])
      expect(stderr).not.toContain(oldKey)
      expect(stderr).not.toContain(newKey)
      if (equalBytes(readFileSync(path), archive)) expect(code).not.toBe(0)
      else {
        // Only what comes after the rename may fail and leave the new file: the sync of the folder, and a last look.
        expect(await openers(path)).toBe(after)
        restore()
      }
      if (code !== 0) failures++
      if (fuse.calls <= failing) break
    }
    expect(failures).toBeGreaterThan(15)
  })

  test("killed after any call leaves the old file or the new one, whole", async () => {
    const { folder, path, restore, archive } = await prepare()
    await using _ = folder
    const seen = new Set<string>()
    for (let last = 0; ; last++) {
      const fuse = new Fuse((call) => call >= last)
      const { code } = await new Machine(folder.path, fuse).run(...line)
      const isOld = equalBytes(readFileSync(path), archive)
      if (!isOld) expect(await openers(path)).toBe(after)
      seen.add(isOld ? "old" : "new")
      restore()
      if (code === 0) break
    }
    expect(seen).toEqual(new Set(["old", "new"]))
  })
})
