import { expect, test } from "vitest"
import { concatBytes, equalBytes, fromHex } from "../../src/base/bytes.ts"
import { PrismError } from "../../src/base/errors.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime, system, temporaryFolder } from "../support/runtime.ts"

const { files } = runtime
const bytes = (text: string) => new TextEncoder().encode(text)

async function write(path: string, text: string, replace: boolean): Promise<void> {
  const writer = (await files.write(path, { replace })).getWriter()
  await writer.write(bytes(text))
  await writer.close()
}

async function readAll(path: string): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const chunk of await files.read(path)) parts.push(chunk)
  const all = new Uint8Array(parts.reduce((sum, { length }) => sum + length, 0))
  let offset = 0
  for (const part of parts) {
    all.set(part, offset)
    offset += part.length
  }
  return all
}

test("a file is there whole when its stream is closed, for its owner alone, and nothing else is", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "a.jsonl")
  const writer = (await files.write(path, { replace: false })).getWriter()
  await writer.write(bytes("one "))
  expect(await files.size(path)).toBe(undefined)
  await writer.write(bytes("two"))
  await writer.close()
  expect(await system.list(folder.path)).toEqual(["a.jsonl"])
  expect(await system.read(path)).toBe("one two")
  expect(await system.mode(path)).toBe(0o600)
  expect(await files.size(path)).toBe(7)
})

test("missing folders are made, for their owner alone", async () => {
  await using folder = await temporaryFolder()
  await write(system.path(folder.path, "b/c/a"), "text", false)
  expect(await system.read(system.path(folder.path, "b/c/a"))).toBe("text")
  expect(await system.mode(system.path(folder.path, "b"))).toBe(0o700)
})

test("an existing file is replaced only where that is asked for", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "a")
  await system.write(path, "old")
  const error = await refusal(write(path, "new", false))
  expect(error.code).toBe("FILE_EXISTS")
  expect(error.place).toBe(path)
  expect(await system.read(path)).toBe("old")
  await write(path, "new", true)
  expect(await system.read(path)).toBe("new")
  expect(await system.list(folder.path)).toEqual(["a"])
})

test("a file that appears meanwhile stays as it is", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "a")
  const writer = (await files.write(path, { replace: false })).getWriter()
  await writer.write(bytes("ours"))
  await system.write(path, "theirs")
  expect(await refusalCode(writer.close())).toBe("FILE_EXISTS")
  expect(await system.read(path)).toBe("theirs")
  expect(await system.list(folder.path)).toEqual(["a"])
})

test("aborting leaves nothing: no part of the file, no folder made for it, and the old one as it was", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "a")
  await system.write(path, "old")
  for (const target of [path, system.path(folder.path, "new/deep/a")]) {
    const writer = (await files.write(target, { replace: true })).getWriter()
    await writer.write(bytes("half"))
    await writer.abort(new Error("changed my mind"))
  }
  expect(await system.list(folder.path)).toEqual(["a"])
  expect(await system.read(path)).toBe("old")
})

test("a stream that fails in the pipe before it leaves nothing either", async () => {
  await using folder = await temporaryFolder()
  const source = new ReadableStream<Uint8Array>({
    start: (controller) => controller.enqueue(bytes("half")),
    pull: () => {
      throw new Error("the source broke")
    },
  })
  const sink = await files.write(system.path(folder.path, "x/a"), { replace: false })
  await expect(source.pipeTo(sink)).rejects.toThrow("the source broke")
  expect(await system.list(folder.path)).toEqual([])
})

test("links are not followed: the name itself is replaced, or taken", async () => {
  await using folder = await temporaryFolder()
  const [precious, link, dangling] = ["precious", "link", "dangling"].map((name) => system.path(folder.path, name))
  await system.write(precious!, "precious")
  await system.link(precious!, link!)
  await system.link(system.path(folder.path, "nowhere"), dangling!)
  await write(link!, "archive", true)
  expect(await system.read(link!)).toBe("archive")
  expect(await system.read(precious!)).toBe("precious")
  expect(await refusalCode(write(dangling!, "archive", false))).toBe("FILE_EXISTS")
  expect(await system.list(folder.path)).toEqual(["dangling", "link", "precious"])
})

test("folders and devices are no files", async () => {
  await using folder = await temporaryFolder()
  const error = await refusal(files.size(folder.path))
  expect(error.code).toBe("IO_ERROR")
  expect(error.message).toMatch(/is a folder/)
  expect(await files.isDirectory(folder.path)).toBe(true)
  expect(await files.isDirectory(system.path(folder.path, "none"))).toBe(false)
  expect(await refusalCode(files.read(folder.path))).toBe("IO_ERROR")
  expect(await refusalCode(files.write(folder.path, { replace: true }))).toBe("IO_ERROR")
  expect(await refusalCode(files.write("/dev/null", { replace: true }))).toBe("IO_ERROR")
  await system.write(system.path(folder.path, "f"), "f")
  expect(await refusalCode(files.write(system.path(folder.path, "f/a"), { replace: true }))).toMatch(
    /FILE_EXISTS|IO_ERROR/,
  )
  expect(await refusalCode(files.size(system.path(folder.path, "f/a")))).toBe("IO_ERROR")
})

test("a file is read as a stream, whole, and can be left early", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "a")
  const content = Uint8Array.from({ length: 1_000_003 }, (_, place) => place % 251)
  const writer = (await files.write(path, { replace: false })).getWriter()
  for (let at = 0; at < content.length; at += 70_001) await writer.write(content.subarray(at, at + 70_001))
  await writer.close()
  expect(equalBytes(await readAll(path), content)).toBe(true)
  const reader = (await files.read(path)).getReader()
  const { value } = await reader.read()
  expect(equalBytes(value!, content.subarray(0, value!.length))).toBe(true)
  await reader.cancel()
  expect(await readAll("/dev/null")).toEqual(new Uint8Array(0))
})

test("a missing file is FILE_NOT_FOUND by the name that was typed", async () => {
  const error = await refusal(files.read("no/such/file.jsonl"))
  expect(error.code).toBe("FILE_NOT_FOUND")
  expect(error.message).toMatch(/no\/such\/file\.jsonl/)
  expect(error.place).toBe("no/such/file.jsonl")
  expect(await files.size("no/such/file.jsonl")).toBe(undefined)
})

test("a file is read at any place, and ends where it ends", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "a")
  await system.write(path, "0123456789")
  {
    await using file = (await files.open(path))!
    expect(file.size).toBe(10)
    const parts = await Promise.all([file.read(8, 2), file.read(0, 3), file.read(10, 0)])
    expect(parts).toEqual([bytes("89"), bytes("012"), bytes("")])
    expect(await refusalCode(file.read(9, 2))).toBe("TRUNCATED")
    expect(await refusalCode(file.read(11, 1))).toBe("TRUNCATED")
  }
  expect(await files.open("/dev/null")).toBe(undefined)
  expect(await refusalCode(files.open(folder.path))).toBe("IO_ERROR")
  const error = await refusal(files.open(system.path(folder.path, "none")))
  expect([error.code, error.place]).toEqual(["FILE_NOT_FOUND", system.path(folder.path, "none")])
})

test("free space is told for what is there, and for what is not there yet", async () => {
  await using folder = await temporaryFolder()
  await system.write(system.path(folder.path, "a"), "a")
  for (const name of ["", "a", "b", "b/c/d"]) {
    expect(await files.freeBytes(system.path(folder.path, name))).toBeGreaterThan(0)
  }
})

test("what was written is verified before it gets its name", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "a")
  await system.write(path, "old")
  const seen: string[] = []
  const replace = async (verify: (text: string) => void) => {
    const stream = await files.write(path, {
      replace: true,
      verify: async (written) => {
        const text = new TextDecoder().decode(await written.read(0, written.size))
        seen.push(text, await system.read(path))
        verify(text)
      },
    })
    const writer = stream.getWriter()
    await writer.write(bytes("new"))
    await writer.close()
  }
  const refuse = () => {
    throw new PrismError("CORRUPT", "not what I wrote")
  }
  expect(await refusalCode(replace(refuse))).toBe("CORRUPT")
  expect(await system.read(path)).toBe("old")
  expect(await system.list(folder.path)).toEqual(["a"])
  await replace(() => {})
  expect(await system.read(path)).toBe("new")
  expect(seen).toEqual(["new", "old", "new", "old"])
  expect(await system.list(folder.path)).toEqual(["a"])
})

test("AES-256-GCM gives the ciphertext and tag of the GCM specification, in any pieces", async () => {
  // Test case 14 of McGrew & Viega, "The Galois/Counter Mode of Operation (GCM)", 2005, appendix B.
  const key = new Uint8Array(32)
  const nonce = new Uint8Array(12)
  const ciphertext = fromHex("cea7403d4d606b6e074ec5d3baf39d18")!
  const tag = fromHex("d0d1c8a799996bf0265b98b5d48ab919")!
  const encryption = runtime.createGcm("encrypt", key, nonce)
  const parts = [5, 0, 11].map((length) => encryption.update(new Uint8Array(length)))
  expect(equalBytes(concatBytes(parts), ciphertext)).toBe(true)
  expect(equalBytes(encryption.tag(), tag)).toBe(true)
  for (const [last, whole] of [
    [tag[15]!, true],
    [tag[15]! ^ 1, false],
  ] as const) {
    const decryption = runtime.createGcm("decrypt", key, nonce)
    const plaintext = [ciphertext.subarray(0, 7), ciphertext.subarray(7)].map((part) => decryption.update(part))
    expect(equalBytes(concatBytes(plaintext), new Uint8Array(16))).toBe(true)
    expect(decryption.verify(concatBytes([tag.subarray(0, 15), Uint8Array.of(last)]))).toBe(whole)
  }
})

test("SHA-256 gives the digests of FIPS 180-4, in any pieces", async () => {
  const digest = (...parts: string[]) => {
    const sha256 = runtime.createSha256()
    for (const part of parts) sha256.update(bytes(part))
    return sha256.digestHex()
  }
  expect(digest()).toBe("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
  expect(digest("abc")).toBe("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
  expect(digest("a", "", "bc")).toBe(digest("abc"))
  expect(digest("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")).toBe(
    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
  )
})

test("a temporary file's name is told before it is made, and whoever knows it can take the file away", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "new/a")
  let temporary = ""
  const sink = await files.write(path, {
    replace: false,
    onTemporary: async (name) => {
      temporary = name
      expect(await system.list(folder.path)).toEqual([])
    },
  })
  expect(await files.size(temporary)).toBe(0)
  await files.discard(temporary)
  await files.discard(temporary)
  expect(await system.list(system.path(folder.path, "new"))).toEqual([])
  await sink.abort()
  await write(path, "mine", false)
  for (const other of [path, `${path}/.prism-0.tmp/x`, system.path(folder.path, ".prism-x.tmp"), ""]) {
    expect(await refusalCode(files.discard(other))).toBe("INVALID_REQUEST")
  }
  expect(await system.read(path)).toBe("mine")
})

test("a write whose temporary name nobody may know makes nothing", async () => {
  await using folder = await temporaryFolder()
  const onTemporary = () => Promise.reject(new PrismError("DISK_FULL", "no room for the name"))
  const write = files.write(system.path(folder.path, "new/a"), { replace: false, onTemporary })
  expect(await refusalCode(write)).toBe("DISK_FULL")
  expect(await system.list(folder.path)).toEqual([])
})

test("append makes a file for its owner alone, then writes on; rename takes the place of another", async () => {
  await using folder = await temporaryFolder()
  const path = system.path(folder.path, "logs/audit")
  await files.append(path, bytes("one\n"))
  await files.append(path, bytes("two\n"))
  expect(await system.read(path)).toBe("one\ntwo\n")
  expect(await system.mode(path)).toBe(0o600)
  await system.write(`${path}.1`, "old")
  await files.rename(path, `${path}.1`)
  expect(await system.list(system.path(folder.path, "logs"))).toEqual(["audit.1"])
  expect(await system.read(`${path}.1`)).toBe("one\ntwo\n")
  expect(await refusalCode(files.append(folder.path, bytes("x")))).toBe("IO_ERROR")
  expect(await refusalCode(files.rename(path, `${path}.2`))).toBe("FILE_NOT_FOUND")
})

/** A folder whose own path has no link in it. */
async function realFolder() {
  const folder = await temporaryFolder()
  return { path: await files.realPath(folder.path), [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

test("a real path has no links in it, also where the file is still to be made", async () => {
  await using folder = await realFolder()
  const at = (...names: string[]) => system.path(folder.path, ...names)
  await write(at("inside/deep/file"), "text", false)
  await write(at("outside/secret"), "text", false)
  await system.link(at("inside/deep"), at("absolute"))
  await system.link("../outside", at("inside/relative"))
  await system.link(at("outside/secret"), at("inside/file"))
  await system.link("inside/relative", at("chain"))
  const leads: [string, string][] = [
    ["inside/deep/file", "inside/deep/file"],
    ["inside", "inside"],
    ["inside/", "inside"],
    ["absolute/file", "inside/deep/file"],
    ["absolute/new", "inside/deep/new"],
    ["absolute/new/and/more", "inside/deep/new/and/more"],
    ["inside/relative", "outside"],
    ["inside/relative/new", "outside/new"],
    ["inside/file", "outside/secret"],
    ["chain/secret", "outside/secret"],
    ["chain/none/secret", "outside/none/secret"],
    ["inside/../outside/x", "outside/x"],
    // As everything here reads a path: two dots take the name before them away, before links are looked at.
    ["absolute/../x", "x"],
    ["none/../../x", "../x"],
    ["no\u0308/\u{1F600}", "no\u0308/\u{1F600}"],
  ]
  for (const [path, expected] of leads) {
    expect(await files.realPath(`${folder.path}/${path}`), path).toBe(system.path(at(expected)).replace(/\/$/, ""))
  }
  expect(await files.realPath("/")).toBe("/")
  expect(await files.realPath("/../..")).toBe("/")
  expect(await files.realPath("/none/at/all")).toBe("/none/at/all")
  expect(files.resolve(at("absolute/../x"))).toBe(at("x"))
  const here = files.resolve("")
  expect(files.resolve("a/../b")).toBe(system.path(here, "b"))
  expect(await files.realPath("none/b")).toBe(system.path(await files.realPath(here), "none/b"))
})

test("a path that goes on from a link to nothing, or in a circle, leads nowhere", async () => {
  await using folder = await realFolder()
  const at = (...names: string[]) => system.path(folder.path, ...names)
  await system.link(at("nowhere"), at("dangling"))
  await system.link(at("dangling"), at("to-dangling"))
  await system.link("loop", at("loop"))
  await system.link(at("b"), at("a"))
  await system.link(at("a"), at("b"))
  for (const path of [
    "dangling",
    "dangling/x",
    "dangling/x/y",
    "to-dangling",
    "to-dangling/x",
    "loop",
    "loop/x",
    "a",
    "b/x",
  ]) {
    const error = await refusal(files.realPath(at(path)))
    expect(error, path).toMatchObject({ code: "PATH_NOT_ALLOWED", place: at(path) })
  }
  await system.write(at("file"), "text")
  expect(await refusalCode(files.realPath(at("file/x")))).toBe("IO_ERROR")
  // Whoever makes what it leads to makes it a path.
  await system.write(at("nowhere"), "text")
  expect(await files.realPath(at("to-dangling"))).toBe(at("nowhere"))
})

test("a file is opened at exactly its path where links are not followed", async () => {
  await using folder = await realFolder()
  const at = (...names: string[]) => system.path(folder.path, ...names)
  await write(at("real/file"), "text", false)
  await system.link(at("real/file"), at("link"))
  await system.link(at("nowhere"), at("dangling"))
  await system.link("loop", at("loop"))
  await system.link(at("real"), at("folder"))
  for (const path of ["link", "dangling", "loop"]) {
    expect(await refusalCode(files.open(at(path), { followLink: false })), path).toBe("PATH_NOT_ALLOWED")
  }
  for (const [path, options] of [
    ["real/file", { followLink: false }],
    ["folder/file", { followLink: false }],
    ["link", { followLink: true }],
    ["link", {}],
  ] as const) {
    await using opened = await files.open(at(path), options)
    expect(opened?.size, path).toBe(4)
    expect(await opened?.read(0, 4), path).toEqual(bytes("text"))
  }
  expect(await refusalCode(files.open(at("none"), { followLink: false }))).toBe("FILE_NOT_FOUND")
  expect(await refusalCode(files.open(at("real"), { followLink: false }))).toBe("IO_ERROR")
  expect(await files.open("/dev/null", { followLink: false })).toBe(undefined)
})

test("what is written at a real path comes nowhere else, whatever link is put there meanwhile", async () => {
  await using folder = await realFolder()
  const at = (...names: string[]) => system.path(folder.path, ...names)
  await system.write(at("precious"), "precious")
  for (const replace of [true, false]) {
    const path = await files.realPath(at(`new-${replace}`))
    const writer = (await files.write(path, { replace })).getWriter()
    await system.link(at("precious"), path)
    await writer.write(bytes("archive"))
    if (replace) {
      await writer.close()
      expect(await system.read(path)).toBe("archive")
      await using opened = await files.open(path, { followLink: false })
      expect(opened?.size).toBe(7)
    } else expect(await refusalCode(writer.close())).toBe("FILE_EXISTS")
    expect(await system.read(at("precious"))).toBe("precious")
  }
})

test("the system's folder for temporary files is one", async () => {
  expect(await files.isDirectory(files.temporaryDirectory()!)).toBe(true)
})
