// What systems refuse, made by hand: a test that runs as root meets no permission, and no disk here is full.
import { expect, test } from "vitest"
import { disk } from "../../src/runtime-node/disk.ts"
import type { Disk, DiskWriter } from "../../src/storage/disk.ts"
import { localFiles } from "../../src/storage/local-files.ts"
import { LocalStorage } from "../../src/storage/local-storage.ts"
import { writeWhole } from "../support/faulty-storage.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { system, temporaryFolder } from "../support/runtime.ts"

function systemFailure(code: string): Error {
  return Object.assign(new Error(`${code}: as the system says it`), { code })
}

function fail(code: string): () => Promise<never> {
  return async () => {
    throw systemFailure(code)
  }
}

/** Files that are made can be opened, but `call` fails. */
function withFailingWriter(call: "write" | "sync", code: string): Disk {
  return {
    ...disk,
    async createExclusive(path): Promise<DiskWriter> {
      const writer = await disk.createExclusive(path)
      return { ...writer, [call]: fail(code) }
    },
  }
}

const refusals = [
  ["ENOSPC", "DISK_FULL", /no space left .*\(ENOSPC\)/, /free some space/],
  ["EDQUOT", "DISK_FULL", /quota/, /free some space/],
  ["EACCES", "PERMISSION_DENIED", /permission denied/, /who owns the folder/],
  ["EPERM", "PERMISSION_DENIED", /not permitted/, /who owns the folder/],
  ["EROFS", "READ_ONLY", /file system is read-only/, /can be written to/],
  ["EMFILE", "IO_ERROR", /too many open files/, /ulimit/],
  ["EIO", "IO_ERROR", /device failed/, /check the disk/],
  ["EWEIRD", "IO_ERROR", /as the system says it \(EWEIRD\)/, undefined],
] as const

test.each(refusals)("%s is %s with the path, what it means and what to do", async (system, code, message, hint) => {
  await using folder = await temporaryFolder()
  for (const call of ["write", "sync"] as const) {
    await using storage = await LocalStorage.open(withFailingWriter(call, system), folder.path, { create: false })
    await using file = await storage.create(`a-${call}`)
    const error = await refusal(call === "write" ? file.append(new Uint8Array(1)) : file.sync())
    expect(error.code).toBe(code)
    expect(error.message).toMatch(message)
    expect(error.message).toContain(`${folder.path}/a-${call}`)
    expect(error.place).toBe(`${folder.path}/a-${call}`)
    if (hint) expect(error.hint).toMatch(hint)
    expect(file.length).toBe(0)
  }
})

test("what Deno was not allowed is PERMISSION_DENIED with its own words", async () => {
  const denied = Object.assign(new Error('Requires write access to "/x"'), { name: "NotCapable" })
  const refusing: Disk = {
    ...disk,
    stat: async () => {
      throw denied
    },
  }
  const error = await refusal(LocalStorage.open(refusing, "/x", { create: true }))
  expect(error.code).toBe("PERMISSION_DENIED")
  expect(error.message).toMatch(/Requires write access/)
  expect(error.hint).toMatch(/--allow-write/)
})

test("a folder that cannot be written to refuses the lock with that reason", async () => {
  await using folder = await temporaryFolder()
  for (const [failure, code] of [
    ["EROFS", "READ_ONLY"],
    ["EACCES", "PERMISSION_DENIED"],
  ] as const) {
    const readOnly: Disk = { ...disk, createExclusive: fail(failure), unlink: fail(failure), link: fail(failure) }
    await using storage = await LocalStorage.open(readOnly, folder.path, { create: false })
    expect(await refusalCode(storage.lock())).toBe(code)
  }
  expect(await system.list(folder.path)).toEqual([])
})

test("an archive that does not fit on the disk leaves nothing", async () => {
  await using folder = await temporaryFolder()
  for (const call of ["write", "sync"] as const) {
    const path = system.path(folder.path, "made/for/it/a")
    const writer = (await localFiles(withFailingWriter(call, "ENOSPC")).write(path, { replace: false })).getWriter()
    writer.closed.catch(() => {})
    const error = await refusal(Promise.all([writer.write(new Uint8Array(1)), writer.close()]))
    expect(error.code).toBe("DISK_FULL")
    expect(error.place).toBe(path)
    expect(await system.list(folder.path)).toEqual([])
  }
})

test.each(["EPERM", "ENOTSUP", "ENOSYS"])("a file system without links (%s) replaces nothing either", async (code) => {
  await using folder = await temporaryFolder()
  const withoutLinks: Disk = { ...disk, link: fail(code) }
  const files = localFiles(withoutLinks)
  const path = system.path(folder.path, "a")
  const write = async (text: string) => {
    const writer = (await files.write(path, { replace: false })).getWriter()
    await writer.write(new TextEncoder().encode(text))
    return writer
  }
  const first = await write("first")
  const second = await write("second")
  await first.close()
  expect(await refusalCode(second.close())).toBe("FILE_EXISTS")
  expect(await system.read(path)).toBe("first")
  expect(await system.list(folder.path)).toEqual(["a"])
  await using storage = await LocalStorage.open(withoutLinks, folder.path, { create: false })
  await using other = await LocalStorage.open(withoutLinks, folder.path, { create: false })
  const lock = await storage.lock()
  expect(await refusalCode(other.lock())).toBe("LOCKED")
  await lock.release()
  await (await other.lock()).release()
  expect(await system.list(folder.path)).toEqual(["LOCK", "LOCK.room", "a"])
})

test("files and folders are for their owner alone", async () => {
  await using folder = await temporaryFolder()
  await using storage = await LocalStorage.open(disk, system.path(folder.path, "data"), { create: true })
  await storage.makeDirectory("a/b")
  await writeWhole(storage, "a/b/c", new Uint8Array(1))
  await using _ = await storage.lock()
  for (const [path, mode] of [
    ["data", 0o700],
    ["data/a", 0o700],
    ["data/a/b", 0o700],
    ["data/a/b/c", 0o600],
    ["data/LOCK", 0o600],
  ] as const) {
    expect(await system.mode(system.path(folder.path, path)), path).toBe(mode)
  }
})

test("a link where a file is to be made is not followed", async () => {
  await using folder = await temporaryFolder()
  const outside = system.path(folder.path, "outside")
  await system.write(outside, "precious")
  await using storage = await LocalStorage.open(disk, system.path(folder.path, "data"), { create: true })
  await system.link(outside, system.path(folder.path, "data/existing"))
  await system.link(system.path(folder.path, "nowhere"), system.path(folder.path, "data/dangling"))
  expect(await refusalCode(storage.create("existing"))).toBe("FILE_EXISTS")
  expect(await refusalCode(storage.create("dangling"))).toBe("FILE_EXISTS")
  expect(await system.list(folder.path)).toEqual(["data", "outside"])
  // A link is nothing that the storage made: it does not show, and removing it keeps what it leads to.
  expect(await storage.list("")).toEqual([])
  await storage.remove("existing")
  expect(await system.read(outside)).toBe("precious")
})

test("removing a folder keeps what links in it lead to", async () => {
  await using folder = await temporaryFolder()
  await using storage = await LocalStorage.open(disk, system.path(folder.path, "data"), { create: true })
  await storage.makeDirectory("a")
  await system.write(system.path(folder.path, "precious"), "precious")
  await system.link(folder.path, system.path(folder.path, "data/a/link"))
  await storage.removeDirectory("a")
  expect(await system.list(folder.path)).toEqual(["data", "precious"])
})

test("what was cut is synced before anything is appended", async () => {
  await using folder = await temporaryFolder()
  const events: string[] = []
  const watched: Disk = {
    ...disk,
    async openAppend(path, length) {
      const writer = await disk.openAppend(path, length)
      return {
        ...writer,
        write: async (bytes) => {
          events.push("write")
          await writer.write(bytes)
        },
        sync: async () => {
          events.push("sync")
          await writer.sync()
        },
      }
    },
  }
  await using storage = await LocalStorage.open(watched, folder.path, { create: false })
  await writeWhole(storage, "log", new Uint8Array(10))
  {
    await using file = await storage.append("log", 4)
    await file.append(new Uint8Array(1))
  }
  expect(events).toEqual(["sync", "write"])
  expect(await storage.size("log")).toBe(5)
})
