// One suite for every storage, on every runtime.
import { describe, expect, test } from "vitest"
import { equalBytes } from "../../src/base/bytes.ts"
import type { PrismError } from "../../src/base/errors.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { FaultyStorage, writeWhole } from "../support/faulty-storage.ts"
import { Random } from "../support/random.ts"
import { refusalCode as code, refusal } from "../support/refusal.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"

/** Runs `use` with a new storage, and with a way to open a second one on the same data where there is such a thing. */
type With = (use: (storage: Storage, again: () => Promise<Storage>) => Promise<void>) => Promise<void>

const storages: Record<string, With> = {
  "memory storage": async (use) => {
    const storage = new MemoryStorage()
    await use(storage, async () => storage)
  },
  "local files": async (use) => {
    await using folder = await temporaryFolder()
    await using storage = await runtime.openStorage(folder.path, { create: false })
    await use(storage, () => runtime.openStorage(folder.path, { create: false }))
  },
  "faulty storage without a fault": async (use) => {
    const storage = new FaultyStorage()
    await use(storage, async () => storage)
  },
}

const bytes = (text: string) => new TextEncoder().encode(text)
const text = async (content: Promise<Uint8Array>) => new TextDecoder().decode(await content)

describe.each(Object.entries(storages))("%s", (_, withStorage) => {
  test("what is appended is read back, whole and by range", () =>
    withStorage(async (storage) => {
      const random = new Random(1)
      const expected: number[] = []
      {
        await using file = await storage.create("a.bin")
        expect(file.length).toBe(0)
        for (let round = 0; round < 20; round++) {
          const part = Uint8Array.from({ length: random.below(5000) }, () => random.below(256))
          await file.append(part)
          expected.push(...part)
          expect(file.length).toBe(expected.length)
        }
        await file.sync()
      }
      expect(await storage.size("a.bin")).toBe(expected.length)
      const whole = Uint8Array.from(expected)
      expect(equalBytes(await storage.read("a.bin"), whole)).toBe(true)
      await using file = await storage.open("a.bin")
      expect(file.size).toBe(expected.length)
      for (let round = 0; round < 50; round++) {
        const offset = random.below(expected.length + 1)
        const length = random.below(expected.length - offset + 1)
        const part = whole.subarray(offset, offset + length)
        expect(equalBytes(await file.read(offset, length), part)).toBe(true)
        expect(equalBytes(await storage.read("a.bin", { offset, length }), part)).toBe(true)
      }
    }))

  test("reads of one file at the same time do not disturb each other", () =>
    withStorage(async (storage) => {
      const content = Uint8Array.from({ length: 100_000 }, (_, place) => place % 251)
      await writeWhole(storage, "a", content)
      await using file = await storage.open("a")
      const reads = Array.from({ length: 50 }, async (_, place) => {
        const part = content.subarray(place * 1000, place * 1000 + 2000)
        expect(equalBytes(await file.read(place * 1000, 2000), part)).toBe(true)
      })
      await Promise.all(reads)
    }))

  test("a read past the end is TRUNCATED", () =>
    withStorage(async (storage) => {
      await writeWhole(storage, "a", bytes("12345"))
      await using file = await storage.open("a")
      expect(await code(file.read(3, 3))).toBe("TRUNCATED")
      expect(await code(file.read(6, 1))).toBe("TRUNCATED")
      expect(await code(storage.read("a", { offset: 0, length: 6 }))).toBe("TRUNCATED")
      expect(await file.read(5, 0)).toEqual(new Uint8Array(0))
    }))

  test("a file that is being appended to can be read", () =>
    withStorage(async (storage) => {
      await using writer = await storage.create("log")
      await using reader = await storage.open("log")
      await writer.append(bytes("first"))
      expect(await text(reader.read(0, 5))).toBe("first")
      await writer.append(bytes(" second"))
      expect(await text(reader.read(5, 7))).toBe(" second")
    }))

  test("create takes only a free name", () =>
    withStorage(async (storage) => {
      await writeWhole(storage, "a", bytes("old"))
      await storage.makeDirectory("d")
      expect(await code(storage.create("a"))).toBe("FILE_EXISTS")
      expect(await code(storage.create("d"))).toBe("FILE_EXISTS")
      expect(await text(storage.read("a"))).toBe("old")
      expect(await code(storage.create("missing/a"))).toBe("FILE_NOT_FOUND")
    }))

  test("append cuts a file and goes on from there", () =>
    withStorage(async (storage) => {
      await writeWhole(storage, "log", bytes("whole|torn"))
      {
        await using file = await storage.append("log", 6)
        expect(file.length).toBe(6)
        expect(await storage.size("log")).toBe(6)
        await file.append(bytes("new"))
        await file.sync()
      }
      expect(await text(storage.read("log"))).toBe("whole|new")
      {
        await using file = await storage.append("log", 9)
        await file.append(bytes("!"))
      }
      expect(await text(storage.read("log"))).toBe("whole|new!")
      expect(await code(storage.append("log", 11))).toBe("TRUNCATED")
      expect(await text(storage.read("log"))).toBe("whole|new!")
      expect(await code(storage.append("missing", 0))).toBe("FILE_NOT_FOUND")
    }))

  test("rename replaces a file, and an open one stays what it was", () =>
    withStorage(async (storage) => {
      await writeWhole(storage, "MANIFEST", bytes("old"))
      await writeWhole(storage, "MANIFEST.tmp", bytes("newer"))
      await using old = await storage.open("MANIFEST")
      await storage.rename("MANIFEST.tmp", "MANIFEST")
      await storage.syncDirectory("")
      expect(await text(storage.read("MANIFEST"))).toBe("newer")
      expect(await storage.size("MANIFEST.tmp")).toBe(undefined)
      expect(await text(old.read(0, 3))).toBe("old")
      await storage.remove("MANIFEST")
      expect(await text(old.read(0, 3))).toBe("old")
      expect(await code(storage.rename("MANIFEST.tmp", "b"))).toBe("FILE_NOT_FOUND")
    }))

  test("a folder moves with all that is in it, and replaces nothing", () =>
    withStorage(async (storage) => {
      await storage.makeDirectory("staging/1/text")
      await writeWhole(storage, "staging/1/text/a", bytes("a"))
      await storage.makeDirectory("collections/taken")
      expect(await code(storage.rename("staging/1", "collections/taken"))).toBe("FILE_EXISTS")
      await writeWhole(storage, "file", bytes("f"))
      expect(await code(storage.rename("staging/1", "file"))).toBe("FILE_EXISTS")
      expect(await code(storage.rename("file", "collections/taken"))).toBe("FILE_EXISTS")
      expect(await code(storage.rename("staging/1", "missing/1"))).toBe("FILE_NOT_FOUND")
      await storage.rename("staging/1", "collections/new")
      expect(await text(storage.read("collections/new/text/a"))).toBe("a")
      expect(await storage.list("staging")).toEqual([])
      expect(await storage.list("collections")).toEqual([
        { name: "new", kind: "directory" },
        { name: "taken", kind: "directory" },
      ])
    }))

  test("list is ordered by name and tells files from folders", () =>
    withStorage(async (storage) => {
      for (const name of ["b", "B", "a10", "a9", "_", "-", "0"]) await writeWhole(storage, name, bytes(name))
      await storage.makeDirectory("a")
      await writeWhole(storage, "a/inside", bytes(""))
      const listed = await storage.list("")
      expect(listed.map(({ name }) => name)).toEqual(["-", "0", "B", "_", "a", "a10", "a9", "b"])
      expect(listed.filter(({ kind }) => kind === "directory")).toEqual([{ name: "a", kind: "directory" }])
      expect(await storage.list("a")).toEqual([{ name: "inside", kind: "file" }])
      expect(await storage.list("missing")).toEqual([])
      expect(await storage.size("a")).toBe(undefined)
      expect(await storage.size("missing/deep")).toBe(undefined)
    }))

  test("removing takes a file or a folder, and nothing is fine", () =>
    withStorage(async (storage) => {
      await storage.makeDirectory("d/e")
      await storage.makeDirectory("d/e")
      await writeWhole(storage, "d/e/f", bytes("f"))
      await writeWhole(storage, "g", bytes("g"))
      expect(await code(storage.remove("d"))).toBe("IO_ERROR")
      expect(await code(storage.removeDirectory("g"))).toBe("IO_ERROR")
      await storage.removeDirectory("d")
      await storage.remove("g")
      await storage.syncDirectory("")
      expect(await storage.list("")).toEqual([])
      await storage.removeDirectory("d")
      await storage.remove("g")
      expect(await code(storage.open("g"))).toBe("FILE_NOT_FOUND")
      expect(await code(storage.read("g"))).toBe("FILE_NOT_FOUND")
      expect(await code(storage.syncDirectory("d"))).toBe("FILE_NOT_FOUND")
    }))

  test("a folder is no file, and a file no folder", () =>
    withStorage(async (storage) => {
      await storage.makeDirectory("d")
      await writeWhole(storage, "f", bytes("f"))
      expect(await code(storage.open("d"))).toBe("IO_ERROR")
      expect(await code(storage.read("d"))).toBe("IO_ERROR")
      expect(await code(storage.create("f/a"))).toBe("IO_ERROR")
      expect(["FILE_EXISTS", "IO_ERROR"]).toContain(await code(storage.makeDirectory("f")))
      expect(["FILE_EXISTS", "IO_ERROR"]).toContain(await code(storage.makeDirectory("f/d")))
    }))

  test("a path that leads out of the storage, or means another file elsewhere, is refused", () =>
    withStorage(async (storage) => {
      const paths = [
        "..",
        "../a",
        "a/../../b",
        "/etc/passwd",
        "a//b",
        "a/",
        ".",
        "a/./b",
        "a\\b",
        "C:",
        "a\0b",
        "ä",
        " ",
        "a:b",
      ]
      for (const path of [...paths, "x".repeat(201), "LOCK", "LOCK.0123"]) {
        const calls = [
          () => storage.read(path),
          () => storage.open(path),
          () => storage.size(path),
          () => storage.list(path),
          () => storage.create(path),
          () => storage.append(path, 0),
          () => storage.rename(path, "b"),
          () => storage.rename("a", path),
          () => storage.remove(path),
          () => storage.makeDirectory(path),
          () => storage.removeDirectory(path),
          () => storage.syncDirectory(path),
        ]
        for (const [place, call] of calls.entries()) {
          expect(await code(call()), `call ${place} with ${path}`).toBe("PATH_NOT_ALLOWED")
        }
      }
      expect(await storage.list("")).toEqual([])
    }))

  test("a closed file takes no more", () =>
    withStorage(async (storage) => {
      const writer = await storage.create("a")
      await writer.append(bytes("a"))
      await writer.close()
      await writer.close()
      expect(await code(writer.append(bytes("b")))).toBe("CLOSED")
      expect(await code(writer.sync())).toBe("CLOSED")
      const reader = await storage.open("a")
      await reader.close()
      await reader.close()
      expect(await code(reader.read(0, 1))).toBe("CLOSED")
      expect(await text(storage.read("a"))).toBe("a")
    }))

  test("one writer holds the lock; the second is told which process that is", () =>
    withStorage(async (storage, again) => {
      const lock = await storage.lock()
      const second = await again()
      const error = await refusal(second.lock())
      expect(error.code).toBe("LOCKED")
      expect(error.message).toMatch(/process/)
      expect(error.hint).toBeTruthy()
      // The lock is no part of what is stored.
      expect(await storage.list("")).toEqual([])
      await lock.release()
      await lock.release()
      await using taken = await second.lock()
      expect(await code(storage.lock())).toBe("LOCKED")
      // What was released gives up nothing that somebody else holds now.
      await lock.release()
      expect(await code(storage.lock())).toBe("LOCKED")
      expect(taken).toBeDefined()
    }))

  test("of many that want the lock at once, one gets it", () =>
    withStorage(async (_, again) => {
      const contenders = await Promise.all(Array.from({ length: 8 }, again))
      const results = await Promise.allSettled(contenders.map((storage) => storage.lock()))
      expect(results.filter(({ status }) => status === "fulfilled")).toHaveLength(1)
      for (const result of results) {
        if (result.status === "rejected") expect((result.reason as PrismError).code).toBe("LOCKED")
      }
    }))

  test("a closed storage gives its lock back and refuses every call", () =>
    withStorage(async (_, again) => {
      const storage = await again()
      await storage.lock()
      await storage.close()
      await storage.close()
      expect(await code(storage.size("a"))).toBe("CLOSED")
      expect(await code(storage.lock())).toBe("CLOSED")
      expect(await code(storage.create("a"))).toBe("CLOSED")
    }))
})

test("local files outlast their storage", async () => {
  await using folder = await temporaryFolder()
  {
    await using storage = await runtime.openStorage(`${folder.path}/new/data`, { create: true })
    await storage.makeDirectory("collections/a")
    await writeWhole(storage, "collections/a/f", bytes("kept"))
  }
  await using storage = await runtime.openStorage(`${folder.path}/new/data`, { create: false })
  expect(await text(storage.read("collections/a/f"))).toBe("kept")
  expect(await storage.freeBytes()).toBeGreaterThan(0)
})

test("a data folder made for nothing is taken away again, one with a file in it stays", async () => {
  await using folder = await temporaryFolder()
  const options = { create: true, removeIfEmpty: true }
  const use = async (path: string, use: (storage: Storage) => Promise<void>) => {
    await using storage = await runtime.openStorage(`${folder.path}/${path}`, options)
    await storage.lock()
    await storage.makeDirectory("collections")
    await use(storage)
  }
  await use("made/for/nothing", async () => {})
  expect(await runtime.files.isDirectory(`${folder.path}/made`)).toBe(false)

  await use("made/data", async (storage) => {
    await using file = await storage.create("collections/file")
    await file.sync()
  })
  expect(await runtime.files.size(`${folder.path}/made/data/collections/file`)).toBe(0)
  await use("made/data", async (storage) => storage.remove("collections/file"))
  expect(await runtime.files.isDirectory(`${folder.path}/made/data`)).toBe(true)
})

test("a data folder that is missing, or a file, is told apart", async () => {
  await using folder = await temporaryFolder()
  expect(await code(runtime.openStorage(`${folder.path}/none`, { create: false }))).toBe("DATA_DIRECTORY_NOT_FOUND")
  const stream = await runtime.files.write(`${folder.path}/file`, { replace: false })
  await stream.close()
  expect(await code(runtime.openStorage(`${folder.path}/file`, { create: true }))).toBe("IO_ERROR")
})
