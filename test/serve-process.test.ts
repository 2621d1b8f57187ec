// `prism serve` as a process: how it starts, what it leaves, how it ends.
import { spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs"
import { networkInterfaces } from "node:os"
import { join } from "node:path"
import { describe, expect, test } from "vitest"
import { readAnnouncement } from "../src/runtime-node/storage.ts"
import { selfSigned } from "./support/certificate.ts"
import { RawClient } from "./support/raw-client.ts"
import { temporaryFolder } from "./support/runtime.ts"
import { PRISM, ServerProcess } from "./support/server-process.ts"

const SCHEMA = JSON.stringify({ backends: { text: { fields: [{ name: "title", type: "text" }] } } })
const JSON_TYPE = { "content-type": "application/json" }

/** Documents with a note that is stored, and not indexed. */
async function fill(url: string, count: number, noteLength = 10): Promise<void> {
  const made = await fetch(`${url}/collections/books`, { method: "PUT", body: SCHEMA, headers: JSON_TYPE })
  expect(made.status).toBe(201)
  const lines = Array.from(
    { length: count },
    (_, i) => `${JSON.stringify({ id: `b${i}`, title: `book ${i}`, note: "n".repeat(noteLength) })}\n`,
  )
  const headers = { "content-type": "application/x-ndjson" }
  const added = await fetch(`${url}/collections/books/documents`, { method: "POST", body: lines.join(""), headers })
  expect(await added.json()).toMatchObject({ indexed: count, failed: 0 })
}

async function announced(data: string): Promise<{ url: string; token: string }> {
  return JSON.parse((await readAnnouncement(data)) ?? "") as { url: string; token: string }
}

/** Runs commands on the data folder of a server, which they can change through it alone. */
function changeBeside(folder: string): void {
  writeFileSync(join(folder, "schema.json"), SCHEMA)
  const { PATH = "", HOME = "" } = process.env
  const prism = (...words: string[]) =>
    spawnSync(process.execPath, [PRISM, "-d", "data", ...words], {
      ...{ cwd: folder, env: { PATH, HOME }, encoding: "utf8" },
      input: '{"id":"a","title":"one"}\n',
    })
  expect(prism("collection", "create", "books", "--schema", "schema.json")).toMatchObject({ status: 0, stderr: "" })
  expect(prism("document", "import", "-c", "books")).toMatchObject({ status: 0, stderr: "" })
  expect(JSON.parse(prism("collection", "list", "--json").stdout)).toMatchObject([{ document_count: 1 }])
}

async function countOf(url: string): Promise<number> {
  const stats = (await (await fetch(`${url}/collections/books/stats`)).json()) as { document_count: number }
  return stats.document_count
}

describe("a server process", () => {
  test("says where it listens, makes its data folder, and ends with 0 and nothing left", async () => {
    await using folder = await temporaryFolder()
    await using server = new ServerProcess(["--port", "0"], { cwd: folder.path })
    expect(await server.line()).toMatch(/^Prism \d+\.\d+\.\d+ listens on http:\/\/127\.0\.0\.1:\d+ \(data: \.\/data\)$/)
    const health = (await (await fetch(`${await server.url()}/health`)).json()) as object
    expect(health).toMatchObject({ status: "ok", collections: 0 })
    expect(readdirSync(folder.path)).toEqual(["data"])
    server.kill("SIGTERM")
    expect(await server.ended()).toMatchObject({ code: 0, signal: null })
    expect(readdirSync(folder.path)).toEqual([])
  })

  test("says so in JSON, and takes its settings of the environment and a file", async () => {
    await using folder = await temporaryFolder()
    writeFileSync(join(folder.path, "other.toml"), '[storage]\ndata_dir = "kept"\n[server]\nport = 1\nlog = "off"\n')
    await using server = new ServerProcess(["--json"], {
      cwd: folder.path,
      env: { PRISM_CONFIG_PATH: "other.toml", PRISM_PORT: "0", PRISM_HOST: "localhost" },
    })
    const line = JSON.parse(await server.line()) as { url: string; port: number; data_directory: string }
    expect(line).toMatchObject({ url: `http://localhost:${line.port}`, data_directory: "kept" })
    await fill(line.url, 3)
    server.kill("SIGINT")
    expect(await server.ended()).toMatchObject({ code: 0, stderr: "" })
    expect(existsSync(join(folder.path, "kept/collections/books/MANIFEST"))).toBe(true)
  })

  test("refuses what it cannot do, with advice, and leaves nothing", async () => {
    await using folder = await temporaryFolder()
    await using first = new ServerProcess(["--port", "0"], { cwd: folder.path })
    const { port } = new URL(await first.url())
    writeFileSync(join(folder.path, "bad.toml"), "[server]\nprot = 1\n")
    const cases: [args: string[], code: number, says: RegExp][] = [
      [
        ["-d", "new", "--port", port],
        1,
        /cannot listen on 127\.0\.0\.1 port \d+: another program does already\nHint: .*--port/i,
      ],
      [["-d", "new", "--host", "0.0.0.0"], 2, /Without an API key[^]*Hint: .*prism api-key generate/],
      [["-d", "new", "-c", "bad.toml"], 1, /unknown key "prot", did you mean "port"\? \(bad\.toml, server\)/i],
      [["-d", "new", "-c", "none.toml"], 3, /none\.toml/],
      [["-d", "new", "--port", "70000"], 2, /--port takes a whole number from 0 to 65535/],
      [["--port", "0"], 1, /Error: .*data.*\nHint: /],
    ]
    for (const [args, code, says] of cases) {
      await using server = new ServerProcess(args, { cwd: folder.path })
      const ended = await server.ended()
      expect(ended).toMatchObject({ code, stdout: "" })
      expect(ended.stderr).toMatch(says)
    }
    expect(readdirSync(folder.path).sort()).toEqual(["bad.toml", "data"])
  })

  test("announces itself to processes of this machine, and takes their token with keys set too", async () => {
    await using folder = await temporaryFolder()
    const hash = "0".repeat(64)
    const PRISM_API_KEYS = JSON.stringify([{ name: "a", hash, roles: [{ permissions: ["read"], collections: "*" }] }])
    await using server = new ServerProcess(["--port", "0", "--host", "0.0.0.0"], {
      cwd: folder.path,
      env: { PRISM_API_KEYS },
    })
    await server.line()
    const { url, token } = await announced(join(folder.path, "data"))
    expect((await fetch(`${url}/admin/collections`)).status).toBe(401)
    const headers = { authorization: `Bearer ${token}` }
    expect((await fetch(`${url}/admin/collections`, { headers })).status).toBe(200)
    server.kill("SIGTERM")
    const { stderr } = await server.ended()
    expect(stderr).not.toContain(token)
  })

  test("is taken over after it was killed, with all that it acknowledged", async () => {
    await using folder = await temporaryFolder()
    await using killed = new ServerProcess(["--port", "0"], { cwd: folder.path })
    await fill(await killed.url(), 100)
    killed.kill("SIGKILL")
    await killed.ended()
    await using next = new ServerProcess(["--port", "0"], { cwd: folder.path })
    expect(await countOf(await next.url())).toBe(100)
  })

  test("does not start where its audit log cannot be written", async () => {
    await using folder = await temporaryFolder()
    writeFileSync(join(folder.path, "file"), "")
    writeFileSync(join(folder.path, "prism.toml"), '[server]\naudit_file = "file/audit.jsonl"\n')
    await using server = new ServerProcess(["--port", "0"], { cwd: folder.path })
    expect(await server.ended()).toMatchObject({
      code: 1,
      stderr: expect.stringContaining("file/audit.jsonl") as string,
    })
    expect(readdirSync(folder.path).sort()).toEqual(["file", "prism.toml"])
  })

  test("starts with a collection that cannot be opened, and says so", async () => {
    await using folder = await temporaryFolder()
    await using before = new ServerProcess(["--port", "0"], { cwd: folder.path })
    await fill(await before.url(), 3)
    before.kill("SIGTERM")
    await before.ended()
    mkdirSync(join(folder.path, "data/collections/broken"))
    writeFileSync(join(folder.path, "data/collections/broken/MANIFEST"), "no manifest")
    await using server = new ServerProcess(["--port", "0"], { cwd: folder.path })
    expect(await countOf(await server.url())).toBe(3)
    await server.says(/collection "broken" cannot be opened: /)
    expect((await fetch(`${await server.url()}/collections/broken/stats`)).status).toBe(422)
  })
})

describe("at the end", () => {
  test("an export on its way arrives whole, and new requests are told", async () => {
    await using folder = await temporaryFolder()
    await using server = new ServerProcess(["--port", "0"], { cwd: folder.path })
    const url = await server.url()
    await fill(url, 4000, 8000)
    await using export_ = await RawClient.connect(Number(new URL(url).port))
    export_.pause()
    await export_.send("GET /collections/books/documents HTTP/1.1\r\nHost: localhost\r\n\r\n")
    // The answer has begun, so the request is known to the server.
    export_.resume()
    await export_.until("\r\n\r\n")
    export_.pause()
    server.kill("SIGTERM")
    // The listener closes only when nothing is worked on; then a new connection is refused.
    await refused(Number(new URL(url).port))
    export_.resume()
    const lines = await export_.rest()
    expect(lines.match(/"id":"b\d+"/g)).toHaveLength(4000)
    expect(lines).toMatch(/\r\n0\r\n\r\n$/)
    expect(await server.ended()).toMatchObject({ code: 0 })
  })

  test("an upload on its way is taken whole, while readiness says 503", async () => {
    await using folder = await temporaryFolder()
    await using server = new ServerProcess(["--port", "0"], { cwd: folder.path })
    const url = await server.url()
    await fill(url, 1)
    await using upload = await RawClient.connect(Number(new URL(url).port))
    const line = (id: string) => `{"id":"${id}","title":"late"}\n`
    const length = line("u1").length * 2
    const headers = `Host: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: ${length}\r\nExpect: 100-continue`
    await upload.send(`POST /collections/books/documents HTTP/1.1\r\n${headers}\r\n\r\n`)
    expect(await upload.until("\r\n\r\n")).toContain("100 Continue")
    await upload.send(line("u1"))
    server.kill("SIGTERM")
    let ready: Response
    do ready = await fetch(`${url}/ready`)
    while (ready.status === 200)
    expect(ready.status).toBe(503)
    const search = await fetch(`${url}/collections/books/search`, { method: "POST", body: "{}", headers: JSON_TYPE })
    expect([search.status, await search.json()]).toMatchObject([503, { error: { code: "UNAVAILABLE" } }])
    expect((await fetch(`${url}/health`)).status).toBe(200)
    await upload.send(line("u2"))
    expect(await upload.rest()).toMatch(/^HTTP\/1\.1 201 [^]*"indexed":2/)
    expect(await server.ended()).toMatchObject({ code: 0 })
    await using next = new ServerProcess(["--port", "0"], { cwd: folder.path })
    expect(await countOf(await next.url())).toBe(3)
  })

  test("a job that nobody waits for is finished", async () => {
    await using folder = await temporaryFolder()
    await using server = new ServerProcess(["--port", "0", "--backup-root", folder.path], { cwd: folder.path })
    const url = await server.url()
    await fill(url, 2000, 8000)
    const output_path = join(folder.path, "books.tar.zst")
    const body = JSON.stringify({ collection: "books", format: "snapshot", output_path, wait: false })
    const started = await fetch(`${url}/_admin/export`, { method: "POST", body, headers: JSON_TYPE })
    expect(started.status).toBe(202)
    server.kill("SIGTERM")
    expect(await server.ended()).toMatchObject({ code: 0 })
    const verified = spawnSync(process.execPath, [PRISM, "collection", "verify", output_path, "--json"], {
      encoding: "utf8",
    })
    expect(JSON.parse(verified.stdout)).toMatchObject({ document_count: 2000 })
    expect(readdirSync(folder.path).sort()).toEqual(["books.tar.zst", "data"])
  })

  test("what is not done in drain_secs is broken off, and the collections are closed all the same", async () => {
    await using folder = await temporaryFolder()
    writeFileSync(join(folder.path, "prism.toml"), "[server]\nport = 0\ndrain_secs = 0\n")
    await using server = new ServerProcess([], { cwd: folder.path })
    const url = await server.url()
    await fill(url, 1)
    await using upload = await hangingUpload(url)
    server.kill("SIGTERM")
    await upload.rest()
    expect(await server.ended()).toMatchObject({ code: 0 })
    // A folded log is the mark of a clean close.
    await using next = new ServerProcess([], { cwd: folder.path })
    expect(await countOf(await next.url())).toBe(1)
  })

  test("a second signal ends it at once", async () => {
    await using folder = await temporaryFolder()
    await using server = new ServerProcess(["--port", "0"], { cwd: folder.path })
    const url = await server.url()
    await fill(url, 1)
    await using _upload = await hangingUpload(url)
    server.kill("SIGTERM")
    let ready: Response
    do ready = await fetch(`${url}/ready`)
    while (ready.status === 200)
    server.kill("SIGTERM")
    expect(await server.ended()).toMatchObject({ code: null, signal: "SIGTERM" })
    await using next = new ServerProcess(["--port", "0"], { cwd: folder.path })
    expect(await countOf(await next.url())).toBe(1)
  })

  async function hangingUpload(url: string): Promise<RawClient> {
    const upload = await RawClient.connect(Number(new URL(url).port))
    const headers =
      "Host: localhost\r\nContent-Type: application/x-ndjson\r\nContent-Length: 1000\r\nExpect: 100-continue"
    await upload.send(`POST /collections/books/documents HTTP/1.1\r\n${headers}\r\n\r\n`)
    await upload.until("100 Continue")
    return upload
  }

  /** Waits until nothing listens there. */
  async function refused(port: number): Promise<void> {
    for (;;) {
      try {
        await using _client = await RawClient.connect(port)
      } catch {
        return
      }
    }
  }
})

describe("commands of this machine", () => {
  /** A server with a port for them alone; undefined without openssl. */
  function withTls(folder: string, more = ""): ServerProcess | undefined {
    const tls = selfSigned()
    if (tls === undefined) return undefined
    writeFileSync(join(folder, "cert.pem"), tls.cert)
    writeFileSync(join(folder, "key.pem"), tls.key)
    const toml = `[server]\nport = 0\n${more}[tls]\ncert_file = "cert.pem"\nkey_file = "key.pem"\n`
    writeFileSync(join(folder, "prism.toml"), toml)
    return new ServerProcess([], { cwd: folder })
  }

  test("change what a server with a certificate that nobody knows holds", async ({ skip }) => {
    await using folder = await temporaryFolder()
    await using server = withTls(folder.path)
    if (server === undefined) return skip("needs openssl")
    expect(await server.url()).toMatch(/^https:/)
    changeBeside(folder.path)
    server.kill("SIGTERM")
    expect(await server.ended()).toMatchObject({ code: 0 })
  })

  test("change what a server on an address of the network holds", async ({ skip }) => {
    const host = Object.values(networkInterfaces())
      .flatMap((addresses) => addresses ?? [])
      .find(({ family, internal }) => family === "IPv4" && !internal)?.address
    if (host === undefined) return skip("this machine has no other address than its own")
    await using folder = await temporaryFolder()
    const roles = [{ permissions: ["read"], collections: "*" }]
    const PRISM_API_KEYS = JSON.stringify([{ name: "a", hash: "0".repeat(64), roles }])
    await using server = new ServerProcess(["--port", "0", "--host", host], {
      cwd: folder.path,
      env: { PRISM_API_KEYS },
    })
    expect(await server.url()).toContain(`http://${host}:`)
    changeBeside(folder.path)
    server.kill("SIGTERM")
    expect(await server.ended()).toMatchObject({ code: 0 })
  })

  test("are waited for at its end as all are, and broken off as all are", async ({ skip }) => {
    for (const drain of ["", "drain_secs = 0\n"]) {
      await using folder = await temporaryFolder()
      await using server = withTls(folder.path, drain)
      if (server === undefined) return skip("needs openssl")
      await server.line()
      changeBeside(folder.path)
      const { url, token } = await announced(join(folder.path, "data"))
      await using upload = await RawClient.connect(Number(new URL(url).port))
      const line = '{"id":"b","title":"late"}\n'
      const headers =
        `Host: localhost\r\nAuthorization: Bearer ${token}\r\nContent-Type: application/x-ndjson\r\n` +
        `Content-Length: ${line.length}\r\nExpect: 100-continue`
      await upload.send(`POST /collections/books/documents HTTP/1.1\r\n${headers}\r\n\r\n`)
      await upload.until("100 Continue\r\n\r\n")
      server.kill("SIGTERM")
      if (drain === "") {
        let ready: Response
        do ready = await fetch(`${url}/ready`, { headers: { authorization: `Bearer ${token}` } })
        while (ready.status === 200)
        await upload.send(line)
        expect(await upload.rest()).toMatch(/^HTTP\/1\.1 201 /)
      } else {
        expect(await upload.rest()).not.toContain("201")
      }
      expect(await server.ended()).toMatchObject({ code: 0 })
    }
  })
})

describe("TLS", () => {
  test("from prism.toml to curl", async ({ skip }) => {
    const tls = selfSigned()
    if (tls === undefined || spawnSync("curl", ["--version"]).status !== 0) return skip("needs openssl and curl")
    await using folder = await temporaryFolder()
    writeFileSync(join(folder.path, "cert.pem"), tls.cert)
    writeFileSync(join(folder.path, "key.pem"), tls.key)
    const toml = '[server]\nport = 0\n[tls]\ncert_file = "cert.pem"\nkey_file = "key.pem"\n'
    writeFileSync(join(folder.path, "prism.toml"), toml)
    await using server = new ServerProcess([], { cwd: folder.path })
    const url = await server.url()
    expect(url).toMatch(/^https:\/\/127\.0\.0\.1:/)
    const curl = spawn("curl", ["-sS", "--noproxy", "*", "--cacert", join(folder.path, "cert.pem"), `${url}/ready`])
    let text = ""
    curl.stdout.setEncoding("utf8").on("data", (chunk: string) => {
      text += chunk
    })
    const [code] = await once(curl, "close")
    expect([code, text]).toEqual([0, '{"status":"ready"}'])
  })
})
