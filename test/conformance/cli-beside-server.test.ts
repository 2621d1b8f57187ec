// Command lines on a data directory that a server holds, with the real lock: they go through the server, or wait for its end.
import { describe, expect, test } from "vitest"
import { hashApiKey } from "../../src/api/api-key.ts"
import { DEFAULT_CONFIG } from "../../src/api/config.ts"
import { Prism } from "../../src/collection/prism.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { expectFailure, expectOk } from "../support/command-line.ts"
import { FakeRuntime } from "../support/fake-runtime.ts"
import { type ServedApi, serveApi } from "../support/http-server.ts"
import { runtime as platform, system, temporaryFolder } from "../support/runtime.ts"

const TOKEN = "a-token-of-this-tenure"
const SCHEMA = '{"backends":{"text":{"fields":[{"name":"title","type":"text"}]}}}'

/** The terminal of a test, the files and folders of this machine. */
class Machine extends FakeRuntime {
  override async openStorage(
    directory: string,
    options: { create: boolean; removeIfEmpty?: boolean; readOnly?: boolean },
  ): Promise<Storage> {
    return await platform.openStorage(directory, options)
  }

  override async readAnnouncement(directory: string): Promise<string | undefined> {
    return await platform.readAnnouncement(directory)
  }

  override get files() {
    return platform.files
  }
}

interface Setting extends AsyncDisposable {
  readonly folder: string
  readonly data: string
  readonly server: ServedApi
  readonly machine: Machine
  readonly typed: (line: string) => ReturnType<FakeRuntime["run"]>
}

/** A server that holds a data directory with the collection "products", and asks for keys that nobody here has. */
async function setting(): Promise<Setting> {
  const folder = await temporaryFolder()
  const data = system.path(folder.path, "data")
  const storage = await platform.openStorage(data, { create: true })
  const apiKeys = [{ name: "k", hash: hashApiKey("other", platform.createSha256), roles: [] }]
  const server = await serveApi({
    storage,
    backupRoots: [folder.path],
    service: { config: { ...DEFAULT_CONFIG, apiKeys }, localToken: TOKEN },
  })
  const { prism } = server.api.service
  await prism.announce(JSON.stringify({ url: server.url, token: TOKEN }))
  await (await prism.createCollection("products", SCHEMA)).add([{ id: "a", title: "one" }])
  const machine = new Machine()
  const typed = async (line: string) =>
    await machine.run(...`-d ${data} ${line}`.split(" ").map((word) => word.replace(/^@/, `${folder.path}/`)))
  return {
    ...{ folder: folder.path, data, server, machine, typed },
    [Symbol.asyncDispose]: async () => {
      await server[Symbol.asyncDispose]()
      await folder[Symbol.asyncDispose]()
    },
  }
}

describe("beside a server", () => {
  test("what changes something goes through it, and is there at once, for both", async () => {
    await using there = await setting()
    const { server, machine, typed, data } = there
    await system.write(`${there.folder}/schema.json`, SCHEMA)
    expect(await expectOk(typed("collection create logs --schema @schema.json"))).toBe(
      `Created collection "logs" in ${data}\n`,
    )
    machine.input = ['{"id":"b","title":"two"}\n', '{"id":"c","title":"three"}\n']
    expect(await expectOk(typed("document import -c products"))).toBe('Imported 2 documents into "products"\n')
    const products = await server.api.service.prism.collection("products")
    expect((await products.search({ query: "three" })).total).toBe(1)
    // What only reads does so beside it.
    const before = server.requests.length
    expect(JSON.parse(await expectOk(typed("search products two --json")))).toMatchObject({ total: 1 })
    await expectOk(typed("collection export products -o @products.tar.zst"))
    expect(server.requests).toHaveLength(before)
    expect(await expectOk(typed("index optimize -c products"))).toContain('Optimized "products": 3 documents')
    await expectOk(typed("collection restore -f @products.tar.zst -t copy"))
    await expectOk(typed("document delete -c copy a"))
    await expectOk(typed("collection delete logs"))
    expect(await server.api.service.prism.collectionNames()).toEqual(["copy", "products"])
    expect(await expectOk(typed("collection list -q"))).toBe("copy\nproducts\n")
    expect(server.requests.join()).not.toContain(TOKEN)
  })

  test("detach and attach find it by the data directory, and what is kept shows, comes back and can be deleted", async () => {
    await using there = await setting()
    const { typed, folder, data } = there
    const detached = await expectOk(typed("collection detach --name products --output @p.tar.zst"))
    expect(detached).toContain('Detached "products" with 1 document: its data is kept, out of service\n')
    expect(detached).toContain(`${folder}/p.tar.zst`)
    expect(await expectOk(typed("collection list -q"))).toBe("")
    expect(await expectOk(typed("collection list --all"))).toMatch(/\nproducts +1 +[\d.]+ k?B {2}detached 2\d{3}-/)
    expect(JSON.parse(await expectOk(typed("collection list --all --json")))).toMatchObject([
      { name: "products", copy: "products", detached: true, document_count: 1 },
    ])
    await expectFailure(typed("collection attach --name nothing"), 3, 'no detached collection "nothing"'.slice(1))
    expect(await expectOk(typed("collection attach --name products"))).toBe(
      'Attached "products" from the data that was kept\n',
    )
    await expectFailure(typed("collection attach --input @p.tar.zst"), 4, "already exists")
    expect(await expectOk(typed("collection attach --input @p.tar.zst --target two"))).toMatch(
      /^Attached "two" from .*p\.tar\.zst \(\d+ files, /,
    )
    const json = JSON.parse(
      await expectOk(typed("collection detach two -o @two.tar.zst --delete-data --json")),
    ) as object
    expect(json).toMatchObject({
      success: true,
      collection: "two",
      data_deleted: true,
      metadata: { document_count: 1 },
    })
    await expectOk(typed("collection detach products -o @p.tar.zst"))
    await expectFailure(typed("collection delete nothing --detached"), 3, "No detached collection")
    expect(await expectOk(typed("collection delete products --detached"))).toBe(
      'Deleted detached collection "products" with 1 document\n',
    )
    expect(await expectOk(typed("collection list --all --json"))).toBe("[]\n")
    await expectFailure(typed("collection attach --input /nowhere/p.tar.zst"), 1, "/nowhere/p.tar.zst", "Hint: ")
    expect(await system.list(data)).not.toContain("p.tar.zst")
  })

  test("a path that is not absolute starts at the folder of the command, where the server is on this machine", async () => {
    await using there = await setting()
    const { stderr } = await expectFailure(there.typed("collection attach --input missing.tar.zst"), 1)
    expect(stderr).toContain(`${await platform.files.realPath(".")}/missing.tar.zst`)
    await expectFailure(
      new FakeRuntime().run(..."collection attach -i x.tar.zst --api-url http://search.example".split(" ")),
      2,
      "x.tar.zst is not a whole path",
    )
  })

  test("one that is about to end is waited for, then the directory is free", async () => {
    await using there = await setting()
    const { server, machine, typed } = there
    void server.api.service.drain.begin()
    machine.onStderr = (text) => {
      if (text.startsWith("Waiting for the server that holds ")) void server[Symbol.asyncDispose]()
    }
    machine.input = ['{"id":"b","title":"two"}\n']
    expect(await expectOk(typed("document import -c products"))).toBe('Imported 1 document into "products"\n')
    expect(server.requests.filter((request) => !request.endsWith("/ready"))).toEqual([])
    expect(JSON.parse(await expectOk(typed("collection list --json")))).toMatchObject([{ document_count: 2 }])
  })

  test("one that nobody can reach is waited for as well, but not for ever", async () => {
    await using there = await setting()
    const { server, machine, typed } = there
    server.http.kill()
    await server.http.stop()
    machine.onStderr = (text) => {
      // Two minutes later.
      if (text.startsWith("Waiting")) machine.clock += 120_000
    }
    await expectFailure(typed("collection delete products"), 1, "open in this process", "Hint: ")
    expect(JSON.parse(await expectOk(typed("collection list --json")))).toMatchObject([{ document_count: 1 }])
  })

  test("another command that changes something is no server: locked, as ever", async () => {
    await using folder = await temporaryFolder()
    const data = system.path(folder.path, "data")
    const storage = await platform.openStorage(data, { create: true })
    await using prism = await Prism.openStorage(storage, platform)
    await prism.createCollection("products", SCHEMA)
    const machine = new Machine()
    await expectFailure(machine.run("-d", data, "collection", "delete", "products"), 1, "open in this process")
    await expectFailure(machine.run("-d", data, "collection", "detach", "products", "-o", "/x"), 1, "No server holds")
  })
})
