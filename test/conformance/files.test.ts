import { expect, test } from "vitest"
import { equalBytes } from "../../src/base/bytes.ts"
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
