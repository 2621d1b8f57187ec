// Paths in requests: whatever they look like, and wherever links lead, nothing outside the roots is read or written, and
// nothing of the collections' own data.
import { describe, expect, test } from "vitest"
import { BackupRoots } from "../../src/api/backup-roots.ts"
import type { Files } from "../../src/runtime.ts"
import { ApiServer } from "../support/api-server.ts"
import { fillSmall } from "../support/archives.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime, system, temporaryFolder } from "../support/runtime.ts"

const { files } = runtime

async function put(path: string, text: string): Promise<void> {
  const writer = (await files.write(path, { replace: true })).getWriter()
  await writer.write(new TextEncoder().encode(text))
  await writer.close()
}

/** root/ that is allowed, outside/ that is not, data/ with the collections; links from the root to everywhere. */
async function tree(): Promise<{ path: string; roots: BackupRoots; root: string } & AsyncDisposable> {
  const folder = await temporaryFolder()
  const path = (await files.realPath(folder.path)) as string
  const root = `${path}/root`
  for (const file of ["root/in/file", "outside/in/file", "data/collections/old/MANIFEST", "data/backups/old"]) {
    await put(`${path}/${file}`, "mine")
  }
  const links: Record<string, string> = {
    "root/out": "../outside",
    "root/in/out": `${path}/outside/in`,
    "root/file-out": "../outside/in/file",
    "root/same": "in",
    "root/data": "../data",
    "root/dangling": `${path}/outside/none`,
    "root/loop": "loop",
    "root/twice": "out/in",
    "outside/back": "../root/in",
    "data/backups/collections": "../collections",
  }
  for (const [link, target] of Object.entries(links)) await system.link(target, `${path}/${link}`)
  const roots = new BackupRoots({
    files,
    configured: [root, `${path}/none`, `${path}/data`],
    dataDirectory: `${path}/data`,
  })
  return { path, root, roots, [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose]() }
}

describe("where a path leads", () => {
  test("is followed to its end, and may end in what is not there yet", async () => {
    await using there = await tree()
    const { roots, root, path } = there
    expect(await roots.resolve(`${root}/in/file`)).toBe(`${root}/in/file`)
    expect(await roots.resolve(`${root}//./in/`)).toBe(`${root}/in`)
    expect(await roots.resolve(`${root}/same/new/x.tar.zst`)).toBe(`${root}/in/new/x.tar.zst`)
    expect(await roots.resolve(`${path}/outside/back/file`)).toBe(`${root}/in/file`)
    expect(await roots.resolve(`${path}/data/backups/new`)).toBe(`${path}/data/backups/new`)
    expect(await roots.resolve(`${root}/data/backups/old`)).toBe(`${path}/data/backups/old`)
  })

  test.each([
    "/etc/passwd",
    "/",
    "/proc/self/environ",
    "/proc/self/root/etc/passwd",
    "PATH",
    "PATH/outside/x",
    "PATH/rootless/x",
    "PATH/none/x",
    "ROOT/out",
    "ROOT/out/x",
    "ROOT/out/in/file",
    "ROOT/in/out/file",
    "ROOT/twice/file",
    "ROOT/file-out",
    "ROOT/dangling",
    "ROOT/dangling/x",
    "ROOT/loop",
    "ROOT/loop/x",
    "ROOT/same/out/file",
    "ROOT/data",
    "ROOT/data/LOCK",
    "ROOT/data/collections/old/MANIFEST",
    "PATH/data",
    "PATH/data/x",
    "PATH/data/collections/old/MANIFEST",
    "PATH/data/backupsx/x",
    "PATH/data/backups/collections/old/MANIFEST",
    "PATH/data/backups/collections/d/x",
    "ROOT/../outside/x",
    "ROOT/..",
    "ROOT/in/../in/file",
    "ROOT/new/../../outside/x",
    "ROOT/file/../../outside/x",
  ])("outside it is refused: %s", async (given) => {
    await using there = await tree()
    const error = await refusal(there.roots.resolve(given.replace("PATH", there.path).replace("ROOT", there.root)))
    expect(error.code).toBe("PATH_NOT_ALLOWED")
    expect(error.hint).toBeDefined()
  })

  test.each([
    ["", "INVALID_REQUEST"],
    ["root/in/file", "INVALID_REQUEST"],
    ["./in", "INVALID_REQUEST"],
    ["~/x", "INVALID_REQUEST"],
    ["C:\\backup\\x", "INVALID_REQUEST"],
    ["file:///tmp/x", "INVALID_REQUEST"],
    ["ROOT/a\0b", "INVALID_REQUEST"],
    ["ROOT/\ud800", "INVALID_REQUEST"],
    ["ROOT/\udc00\ud800/x", "INVALID_REQUEST"],
    ["ROOT/in\0/../../outside/x", "INVALID_REQUEST"],
    [`ROOT/${"n".repeat(256)}`, "INVALID_REQUEST"],
    [`ROOT/${"é".repeat(128)}`, "INVALID_REQUEST"],
    ["ROOT/in/file/x", "INVALID_REQUEST"],
    // What stands in the way elsewhere is not told.
    ["PATH/outside/in/file/x", "PATH_NOT_ALLOWED"],
    ["/etc/passwd/x", "PATH_NOT_ALLOWED"],
  ])("what is no path of a file is refused: %j", async (given, code) => {
    await using there = await tree()
    const path = given.replace("PATH", there.path).replace("ROOT", there.root)
    expect(await refusalCode(there.roots.resolve(path))).toBe(code)
  })

  test("a root is looked at when it is needed, through its own links", async () => {
    await using there = await tree()
    const { path } = there
    const roots = new BackupRoots({ files, configured: [`${path}/later`], dataDirectory: undefined })
    expect((await refusal(roots.resolve(`${path}/later/x`))).hint).toContain("none is there now")
    await system.link("outside", `${path}/later`)
    expect(await roots.resolve(`${path}/later/x`)).toBe(`${path}/outside/x`)
    expect(await roots.resolve(`${path}/outside/x`)).toBe(`${path}/outside/x`)
    expect((await refusal(roots.resolve(`${path}/root/x`))).hint).toContain(
      `${path}/root (now these are: ${path}/outside)`,
    )
  })

  test("where nobody says otherwise they are the usual folders, and backups in the data folder", async () => {
    const there = ["/backup", "/archive", "/temporary", "/d", "/d/backups"]
    const some = {
      realPath: async (path: string) => path,
      isDirectory: async (path: string) => there.includes(path),
      temporaryDirectory: () => "/temporary",
    }
    const roots = new BackupRoots({ files: some, configured: undefined, dataDirectory: "/d" })
    for (const path of ["/backup/x/y", "/archive/a", "/temporary/a", "/d/backups/x"]) {
      expect(await roots.resolve(path)).toBe(path)
    }
    for (const path of ["/backups/x", "/d/x", "/home/me", "/temporaryx/a"]) {
      expect([path, await refusalCode(roots.resolve(path))]).toEqual([path, "PATH_NOT_ALLOWED"])
    }
    there.push("/backups")
    expect(await roots.resolve("/backups/x")).toBe("/backups/x")
  })
})

describe("over HTTP", () => {
  const server = async (path: string, root: string, given: Files = files) => {
    const storage = await runtime.openStorage(`${path}/data`, { create: true })
    const api = await ApiServer.open({ storage, backupRoots: [root, path], files: given })
    await fillSmall(api.service.prism)
    return api
  }

  test("no way of naming the data folder writes into it, or reads from it", async () => {
    await using there = await tree()
    const { path, root } = there
    await using api = await server(path, root)
    const before = await everything(`${path}/data`)
    for (const place of [`${path}/data/x`, `${root}/data/collections/c/x`, `${path}/data/backups/collections/c/x`]) {
      const answers = [
        await api.post("/_admin/export", { collection: "c", output_path: place, overwrite: true }),
        await api.post("/_admin/import", { input_path: place }),
        await api.post("/_admin/collections/c/detach", { destination: { type: "file", path: place }, overwrite: true }),
        await api.post("/_admin/collections/attach", { source: { type: "file", path: place } }),
      ]
      expect(answers.map(({ status, body }) => [status, body.error.code])).toEqual(
        answers.map(() => [403, "PATH_NOT_ALLOWED"]),
      )
    }
    expect(await everything(`${path}/data`)).toEqual(before)
  })

  test("a file that becomes a link after it was looked at is not read through it", async () => {
    await using there = await tree()
    const { path, root } = there
    await using honest = await server(path, root)
    await honest.post("/_admin/export", { collection: "c", output_path: `${path}/outside-secret` })
    await honest.close()
    // The link comes between the last look and the open.
    const racing: Files = {
      ...files,
      open: async (place, options) => {
        await system.link(`${path}/outside-secret`, place)
        return await files.open(place, options)
      },
    }
    const storage = await runtime.openStorage(`${path}/data-2`, { create: true })
    await using api = await ApiServer.open({ storage, backupRoots: [root], files: racing })
    const answer = await api.post("/_admin/import", { input_path: `${root}/race` })
    expect(answer).toMatchObject({ status: 403, body: { error: { code: "PATH_NOT_ALLOWED" } } })
    expect(await api.service.prism.collectionNames()).toEqual([])
  })

  test("a folder that becomes a link while an archive is written gets none", async () => {
    await using there = await tree()
    const { path, root } = there
    const moving: Files = {
      ...files,
      write: async (place, options) => {
        const sink = await files.write(place, options)
        if (place.includes("/swapped/")) {
          await system.move(`${root}/swapped`, `${path}/outside/swapped`)
          await system.link(`${path}/outside/swapped`, `${root}/swapped`)
        }
        return sink
      },
    }
    const storage = await runtime.openStorage(`${path}/data-2`, { create: true })
    await using api = await ApiServer.open({ storage, backupRoots: [root], files: moving })
    await fillSmall(api.service.prism)
    const answer = await api.post("/_admin/export", { collection: "c", output_path: `${root}/swapped/c.prism.jsonl` })
    expect(answer).toMatchObject({ status: 403, body: { error: { code: "PATH_NOT_ALLOWED" } } })
    expect(await system.list(`${path}/outside/swapped`)).toEqual([])
  })
})

/** Names and sizes of all that is in a folder, but what changes by itself. */
async function everything(folder: string): Promise<string[]> {
  const found: string[] = []
  for (const name of await system.list(folder)) {
    const path = `${folder}/${name}`
    if (name.startsWith("LOCK") || name === "backups") continue
    if (await files.isDirectory(path)) found.push(name, ...(await everything(path)))
    else found.push(`${name} ${await files.size(path)}`)
  }
  return found
}
