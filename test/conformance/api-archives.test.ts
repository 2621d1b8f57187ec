// Archives through the HTTP interface: into files of the server and back, and as streams. What comes back is held against
// what went in.
import { describe, expect, test } from "vitest"
import { createApp } from "../../src/api/app.ts"
import { decodeUtf8 } from "../../src/base/bytes.ts"
import { generateKey } from "../../src/formats/key.ts"
import { type AnswerBody, ApiServer } from "../support/api-server.ts"
import { documentsOf, fillSmall } from "../support/archives.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { runtime, system, temporaryFolder } from "../support/runtime.ts"

/** A server with collection "c", and a folder for archives. */
async function server(): Promise<{ api: ApiServer; folder: string; documents: string[] } & AsyncDisposable> {
  const folder = await temporaryFolder()
  const storage = await runtime.openStorage(system.path(folder.path, "data"), { create: true })
  const api = await ApiServer.open({ storage, backupRoots: [folder.path] })
  return {
    api,
    folder: folder.path,
    documents: await documentsOf(await fillSmall(api.service.prism)),
    [Symbol.asyncDispose]: async () => {
      await api.close()
      await folder[Symbol.asyncDispose]()
    },
  }
}

const documents = async (api: ApiServer, name: string) => await documentsOf(await api.service.prism.collection(name))

describe("files of the server", () => {
  test.each([
    ["portable", "c.prism.jsonl"],
    ["snapshot", "c.tar.zst"],
  ])("a %s archive goes out and comes back", async (format, name) => {
    await using there = await server()
    const { api } = there
    const output_path = `${there.folder}/${name}`
    const out = await api.post("/_admin/export", { collection: "c", format, output_path })
    expect(out).toEqual({
      status: 200,
      body: {
        success: true,
        collection: "c",
        format,
        output_path,
        size_bytes: await runtime.files.size(output_path),
        document_count: 5,
        checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
        file_sha256: await sha256(output_path),
      },
    })
    const back = await api.post("/_admin/import", { input_path: output_path, target_collection: "d" })
    expect(back).toMatchObject({ status: 200, body: { success: true, collection: "d", documents_imported: 5 } })
    expect(back.body.files_extracted > 0).toBe(format === "snapshot")
    expect(await documents(api, "d")).toEqual(there.documents)
    expect(await system.list(there.folder)).toEqual([name, "data"].sort())
  })

  test("an encrypted archive goes out and comes back, and its key is nowhere", async () => {
    await using there = await server()
    const { api } = there
    const { body } = await api.post("/_admin/encryption/generate-key", undefined)
    expect(body).toEqual({ key: expect.stringMatching(/^[0-9a-f]{64}$/), key_bytes: 32, algorithm: "AES-256-GCM" })
    const path = `${there.folder}/c.enc`
    const out = await api.post("/_admin/export/encrypted", { collection: "c", key: body.key, output_path: path })
    expect(out).toMatchObject({ status: 200, body: { success: true, collection: "c", output_path: path } })
    expect(decodeUtf8((await bytesOf(path)).subarray(0, 4))).toBe("PENC")
    const import_ = (key: string) =>
      api.post("/_admin/import/encrypted", { input_path: path, key, target_collection: "d" })
    const wrong = await import_(generateKey())
    expect(wrong).toMatchObject({ status: 400, body: { error: { code: "DECRYPTION_FAILED" } } })
    expect(wrong.body.error.message).toContain("Decryption failed")
    const short = await import_("abcd")
    expect(short).toMatchObject({ status: 400, body: { error: { message: "Key must be 32 bytes, got 2" } } })
    expect((await api.get("/admin/collections")).body.collections).toEqual(["c"])
    expect(await import_(body.key.toUpperCase())).toMatchObject({ status: 200, body: { collection: "d" } })
    expect(await documents(api, "d")).toEqual(there.documents)
    expect(JSON.stringify(await api.get("/_admin/jobs")).toLowerCase()).not.toContain(body.key)
  })

  test("an import with a key takes no archive that anybody could have written, and one without says what is missing", async () => {
    await using there = await server()
    const { api, folder } = there
    const key = generateKey()
    await api.post("/_admin/export", { collection: "c", format: "snapshot", output_path: `${folder}/a.tar.zst` })
    await api.post("/_admin/export/encrypted", { collection: "c", key, output_path: `${folder}/a.enc` })
    expect(
      await api.post("/_admin/import/encrypted", {
        input_path: `${folder}/a.tar.zst`,
        key,
        target_collection: "d",
      }),
    ).toMatchObject({ status: 422, body: { error: { code: "INVALID_FORMAT" } } })
    expect(await api.post("/_admin/import", { input_path: `${folder}/a.enc`, target_collection: "d" })).toMatchObject({
      status: 400,
      body: { error: { code: "INVALID_KEY", hint: expect.stringContaining("encrypted") } },
    })
  })

  test("what is encrypted is not attached", async () => {
    await using there = await server()
    const { api, folder } = there
    const path = `${folder}/a.enc`
    await api.post("/_admin/export/encrypted", { collection: "c", key: generateKey(), output_path: path })
    const answer = await api.post("/_admin/collections/attach", {
      source: { type: "file", path },
      target_collection: "d",
    })
    expect(answer).toMatchObject({ status: 400, body: { error: { code: "INVALID_KEY" } } })
  })

  test("errors have their true status", async () => {
    await using there = await server()
    const { api, folder } = there
    const archive = `${folder}/c.tar.zst`
    await api.post("/_admin/export", { collection: "c", format: "snapshot", output_path: archive })
    const refused = async (path: string, body: unknown) => {
      const answer = await api.post(path, body)
      return [answer.status, answer.body.error?.code]
    }
    expect(await refused("/_admin/export", { collection: "x", output_path: `${folder}/x` })).toEqual([
      404,
      "COLLECTION_NOT_FOUND",
    ])
    expect(await refused("/_admin/import", { input_path: `${folder}/none` })).toEqual([404, "FILE_NOT_FOUND"])
    expect(await refused("/_admin/import", { input_path: archive })).toEqual([409, "COLLECTION_EXISTS"])
    expect(await refused("/_admin/import", { input_path: archive, format: "portable" })).toEqual([
      422,
      "INVALID_FORMAT",
    ])
    await system.write(`${folder}/text`, "no archive")
    expect(await refused("/_admin/import", { input_path: `${folder}/text` })).toEqual([422, "INVALID_FORMAT"])
    expect(await refused("/_admin/export", { collection: "c", output_path: `${folder}/text` })).toEqual([
      409,
      "FILE_EXISTS",
    ])
    expect(await system.read(`${folder}/text`)).toBe("no archive")
    expect(await refused("/_admin/export", { collection: "c", output_path: folder })).toEqual([409, "FILE_EXISTS"])
    expect(await refused("/_admin/import", { input_path: folder })).toEqual([400, "INVALID_REQUEST"])
    expect(await refused("/_admin/export", { collection: "../c", output_path: `${folder}/x` })).toEqual([
      422,
      "INVALID_BODY",
    ])
    const cut = `${folder}/cut.tar.zst`
    await writeBytes(cut, (await bytesOf(archive)).slice(0, -1000))
    expect((await refused("/_admin/import", { input_path: cut, target_collection: "d" }))[0]).toBe(422)
    expect((await api.get("/admin/collections")).body.collections).toEqual(["c"])
  })

  test("an archive is replaced by a new one, any other file only where that is asked for", async () => {
    await using there = await server()
    const { api, folder } = there
    const path = `${folder}/a`
    const body = { collection: "c", output_path: path }
    await system.write(path, "mine")
    expect((await api.post("/_admin/export", body)).status).toBe(409)
    expect((await api.post("/_admin/export", { ...body, overwrite: true })).status).toBe(200)
    expect((await api.post("/_admin/export", { ...body, format: "snapshot" })).status).toBe(200)
    expect((await api.post("/_admin/import", { input_path: path, target_collection: "d" })).status).toBe(200)
    expect(await system.list(folder)).toEqual(["a", "data"])
  })

  test("without files there are streams", async () => {
    await using api = await ApiServer.open({ storage: new LastingStorage() })
    await fillSmall(api.service.prism)
    const bare = { ...api.service, backupRoots: undefined }
    const answer = await createApp(bare).fetch(
      new Request("http://localhost/_admin/export", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body: JSON.stringify({ collection: "c", output_path: "/tmp/c.prism.jsonl" }),
      }),
    )
    expect(answer.status).toBe(403)
    expect(await answer.json()).toMatchObject({ error: { hint: expect.stringContaining("/archive") } })
  })
})

describe("detach and attach", () => {
  test("a detached collection is in a verified snapshot, and comes back from it", async () => {
    await using there = await server()
    const { api, folder } = there
    const path = `${folder}/c.tar.zst`
    const destination = { type: "file", path }
    const out = await api.post("/_admin/collections/c/detach", { destination })
    expect(out).toEqual({
      status: 200,
      body: {
        collection: "c",
        destination,
        metadata: {
          version: "1.0",
          collection: "c",
          document_count: 5,
          exported_at: expect.stringMatching(/^\d{4}-\d\d-\d\dT/),
          checksum: expect.stringMatching(/^[0-9a-f]{64}$/),
          file_sha256: await sha256(path),
          size_bytes: await runtime.files.size(path),
          backends: { text: true, vector: true, graph: false },
        },
        data_deleted: false,
      },
    })
    expect((await api.get("/collections/c/stats")).status).toBe(404)
    const back = await api.post("/_admin/collections/attach", { source: destination, target_collection: null })
    expect(back).toMatchObject({ status: 200, body: { collection: "c", source: destination } })
    expect(back.body.files_extracted).toBeGreaterThan(0)
    expect(back.body.bytes_extracted).toBeGreaterThan(0)
    expect(await documents(api, "c")).toEqual(there.documents)
    expect((await api.call("DELETE", "/collections/c/documents/doc-1")).status).toBe(200)
  })

  test("without an archive what was kept comes back; what was deleted does not", async () => {
    await using there = await server()
    const { api, folder } = there
    const destination = { type: "file", path: `${folder}/c.tar.zst` }
    await api.post("/_admin/collections/c/detach", { destination })
    expect(await api.post("/_admin/collections/attach", { target_collection: "c" })).toEqual({
      status: 200,
      body: { collection: "c", source: null, files_extracted: 0, bytes_extracted: 0 },
    })
    expect(await documents(api, "c")).toEqual(there.documents)
    const gone = await api.post("/_admin/collections/c/detach", { destination, delete_data: true })
    expect(gone).toMatchObject({ status: 200, body: { data_deleted: true } })
    expect((await api.post("/_admin/collections/attach", { target_collection: "c" })).status).toBe(404)
    expect((await api.post("/_admin/collections/attach", {})).status).toBe(400)
    expect(
      await api.post("/_admin/collections/attach", { source: destination, target_collection: "other" }),
    ).toMatchObject({ status: 200, body: { collection: "other" } })
    expect(await documents(api, "other")).toEqual(there.documents)
  })

  test("a detach that fails leaves the collection loaded and writable", async () => {
    await using there = await server()
    const { api, folder } = there
    await system.write(`${folder}/text`, "mine")
    for (const [path, status] of [
      [`${folder}/text`, 409],
      [`${folder}/text/c.tar.zst`, 400],
      ["/etc/c.tar.zst", 403],
    ]) {
      const answer = await api.post("/_admin/collections/c/detach", { destination: { type: "file", path } })
      expect([answer.status, path]).toEqual([status, path])
    }
    expect((await api.post("/collections/c/documents", [{ id: "doc-9", words: "new" }])).status).toBe(201)
    expect((await api.post("/collections/c/search", { query: "new" })).body.total).toBe(1)
  })

  test("attaching onto a loaded name is refused, and leaves it", async () => {
    await using there = await server()
    const { api, folder } = there
    const source = { type: "file", path: `${folder}/c.tar.zst` }
    await api.post("/_admin/export", { collection: "c", format: "snapshot", output_path: source.path })
    const answer = await api.post("/_admin/collections/attach", { source })
    expect(answer).toMatchObject({ status: 409, body: { error: { code: "COLLECTION_EXISTS" } } })
    expect(await documents(api, "c")).toEqual(there.documents)
  })
})

test("a device is no place for an archive, whatever may be overwritten", async () => {
  await using api = await ApiServer.open({ storage: new LastingStorage(), backupRoots: ["/dev"] })
  await fillSmall(api.service.prism)
  for (const overwrite of [false, true]) {
    expect(await api.post("/_admin/export", { collection: "c", output_path: "/dev/null", overwrite })).toMatchObject({
      status: 409,
      body: { error: { code: "FILE_EXISTS", hint: "name a file" } },
    })
  }
})

describe("streams", () => {
  const download = async (api: ApiServer, query: string, headers: Record<string, string> = {}) =>
    await api.fetch(new Request(`http://localhost/_admin/collections/c/archive${query}`, { headers }))

  const upload = async (api: ApiServer, name: string, body: BodyInit | null, query = "", headers = {}) => {
    const request = new Request(`http://localhost/_admin/collections/${name}/archive${query}`, {
      method: "PUT",
      body,
      headers: { "content-type": "application/octet-stream", ...headers },
      duplex: "half",
    } as RequestInit)
    const response = await api.fetch(request)
    return { status: response.status, body: (await response.json()) as AnswerBody }
  }

  const passphrase = btoa(String.fromCharCode(...new TextEncoder().encode("größer")))
  test.each([
    ["", {}, "c.prism.jsonl"],
    ["?format=portable", {}, "c.prism.jsonl"],
    ["?format=snapshot", {}, "c.tar.zst"],
    ["?format=encrypted", { "prism-key": generateKey() }, "c.enc"],
    ["?format=encrypted&enc_version=1", { "prism-key": generateKey() }, "c.enc"],
    ["?format=encrypted", { "prism-passphrase": passphrase }, "c.enc"],
  ])("an archive %s comes out and goes in", async (query, headers, name) => {
    await using api = await ApiServer.open({ storage: new LastingStorage() })
    const before = await documentsOf(await fillSmall(api.service.prism))
    const response = await download(api, query, headers)
    expect(response.status).toBe(200)
    expect(response.headers.get("content-disposition")).toBe(`attachment; filename="${name}"`)
    const bytes = await response.arrayBuffer()
    expect(await upload(api, "d", new Blob([bytes]).stream(), "", headers)).toMatchObject({
      status: 200,
      body: { success: true, collection: "d", documents_imported: 5, problems: [] },
    })
    expect(await documents(api, "d")).toEqual(before)
  })

  test("an upload is one of the jobs that may run at once, as long as it runs", async () => {
    await using api = await ApiServer.open({ storage: new LastingStorage(), concurrentJobs: 1 })
    await fillSmall(api.service.prism)
    const bytes = new Uint8Array(await (await download(api, "")).arrayBuffer())
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const writer = writable.getWriter()
    const slow = upload(api, "d", readable)
    // Taken once somebody reads.
    await writer.write(bytes.subarray(0, 10))
    expect(api.service.jobs.list().map((job) => job.answer())).toMatchObject([
      { kind: "uploadArchive", collection: "d", state: "running" },
    ])
    expect(await upload(api, "e", bytes)).toMatchObject({ status: 429, body: { error: { code: "TOO_MANY_REQUESTS" } } })
    await writer.write(bytes.subarray(10))
    await writer.close()
    expect((await slow).status).toBe(200)
    expect(await upload(api, "e", bytes)).toMatchObject({ status: 200 })
  })

  test("a download changes nothing: to leave out what was deleted, one optimizes first", async () => {
    await using api = await ApiServer.open({ storage: new LastingStorage() })
    await fillSmall(api.service.prism)
    expect((await download(api, "?format=snapshot&purge=true")).status).toBe(400)
  })

  test("the name - stands for the archive's own, and a part comes back alone", async () => {
    await using api = await ApiServer.open({ storage: new LastingStorage() })
    await fillSmall(api.service.prism)
    const bytes = await (await download(api, "?format=snapshot")).arrayBuffer()
    expect(await upload(api, "-", bytes)).toMatchObject({ status: 409, body: { error: { code: "COLLECTION_EXISTS" } } })
    expect(await upload(api, "-", bytes, "?mode=replace&where=number:%5B4%20TO%20*%5D")).toMatchObject({
      status: 200,
      body: { collection: "c", documents_imported: 3 },
    })
    expect(await upload(api, "d", bytes, `?ids=${encodeURIComponent('["doc-1","none"]')}`)).toMatchObject({
      status: 200,
      body: { collection: "d", documents_imported: 1, ids_missing: ["none"] },
    })
    expect(await upload(api, "e", bytes, "?dry_run=true")).toMatchObject({ status: 200, body: { collection: "e" } })
    expect((await api.get("/admin/collections")).body.collections).toEqual(["c", "d"])
    expect((await upload(api, "e", bytes, "?ids=doc-1")).status).toBe(400)
  })

  test("bad lines are listed where they are to be skipped, and refuse the archive else", async () => {
    await using api = await ApiServer.open({ storage: new LastingStorage() })
    const schema = { backends: { text: { fields: [{ name: "words", type: "text" }] } } }
    const header = {
      format: "prism-portable-v1",
      metadata: { version: "1.0", collection: "c", document_count: 3, checksum: null },
      schema_b64: btoa(JSON.stringify(schema)),
    }
    const lines = ['{"id":"a","fields":{"words":"one"}}', '{"id":7}', '{"id":"b","fields":{"words":"two"}}']
    const archive = [JSON.stringify(header), ...lines, ""].join("\n")
    expect((await upload(api, "-", archive)).body.error).toMatchObject({ place: "line 3" })
    expect(await upload(api, "-", archive, "?on_bad_line=skip")).toMatchObject({
      status: 200,
      body: { collection: "c", documents_imported: 2, documents_skipped: 1, problems: [{ place: "line 3" }] },
    })
    expect((await upload(api, "d", null)).body.error.code).toBe("INVALID_FORMAT")
    expect((await api.get("/admin/collections")).body.collections).toEqual(["c"])
  })

  test("keys belong to encrypted archives alone", async () => {
    await using api = await ApiServer.open({ storage: new LastingStorage() })
    await fillSmall(api.service.prism)
    expect((await download(api, "?format=encrypted")).status).toBe(400)
    expect((await download(api, "?format=encrypted", { "prism-key": "abcd" })).status).toBe(400)
    expect((await download(api, "?format=encrypted", { "prism-passphrase": "%%" })).status).toBe(400)
    expect((await download(api, "?format=snapshot", { "prism-key": generateKey() })).status).toBe(400)
    expect((await download(api, "?format=portable&enc_version=1")).status).toBe(400)
  })
})

async function bytesOf(path: string): Promise<Uint8Array> {
  await using file = await runtime.files.open(path)
  return await file!.read(0, file!.size)
}

async function writeBytes(path: string, bytes: Uint8Array): Promise<void> {
  const writer = (await runtime.files.write(path, { replace: false })).getWriter()
  await writer.write(bytes)
  await writer.close()
}

async function sha256(path: string): Promise<string> {
  const hash = new Uint8Array(await crypto.subtle.digest("SHA-256", (await bytesOf(path)) as BufferSource))
  return Array.from(hash, (byte) => byte.toString(16).padStart(2, "0")).join("")
}
