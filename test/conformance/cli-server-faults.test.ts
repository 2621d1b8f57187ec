// Command lines with a server that is not there, says no, or dies in the middle; and with one that has much to send.
import { describe, expect, test } from "vitest"
import { hashApiKey } from "../../src/api/api-key.ts"
import { ARCHIVE_HEADERS } from "../../src/api/archive-headers.ts"
import { DEFAULT_CONFIG, type Role } from "../../src/api/config.ts"
import { chunksOf, streamOf } from "../../src/base/streams.ts"
import { expectFailure, expectOk } from "../support/command-line.ts"
import { FakeRuntime } from "../support/fake-runtime.ts"
import { type ServedApi, type ServedApiOptions, serveApi } from "../support/http-server.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { runtime as platform } from "../support/runtime.ts"

const SCHEMA = '{"backends":{"text":{"fields":[{"name":"title","type":"text"}]}}}'
const KIB = 1024
const MIB = 1024 * KIB

interface Setting extends AsyncDisposable {
  readonly server: ServedApi
  readonly runtime: FakeRuntime
  readonly typed: (line: string) => ReturnType<FakeRuntime["run"]>
}

/** A server with the collection "products", and a machine that goes to it. */
async function setting(options: Partial<ServedApiOptions> = {}): Promise<Setting> {
  const server = await serveApi({ storage: new LastingStorage(), ...options })
  const products = await server.api.service.prism.createCollection("products", SCHEMA)
  await products.add([
    { id: "a", title: "one" },
    { id: "b", title: "two" },
  ])
  const runtime = new FakeRuntime()
  runtime.environment["PRISM_API_URL"] = server.url
  const typed = async (line: string) => await runtime.run(...line.split(" "))
  return { server, runtime, typed, [Symbol.asyncDispose]: () => server[Symbol.asyncDispose]() }
}

describe("where the server is", () => {
  test("--api-url goes before PRISM_API_URL, -d before that, and both options exclude each other", async () => {
    await using there = await setting()
    const { runtime, server, typed } = there
    runtime.environment["PRISM_API_URL"] = "http://127.0.0.1:1"
    expect(await expectOk(typed(`collection list -q --api-url ${server.url}/`))).toBe("products\n")
    runtime.directories.set("elsewhere", undefined)
    expect(await expectOk(typed("-d elsewhere collection list --json"))).toBe("[]\n")
    await expectFailure(typed(`-d elsewhere collection list --api-url ${server.url}`), 2, "exclude each other")
  })

  test.each([
    ["http://127.0.0.1:1", "Error: Cannot reach http://127.0.0.1:1: "],
    ["localhost:3080", "ocalhost:3080 is no URL of a server"],
    ["http://me:hunter2@localhost", "holds a name or a password"],
  ])("%s is told, with a hint", async (url, message) => {
    const { stderr } = await expectFailure(
      new FakeRuntime().run("collection", "list", "--api-url", url),
      url.endsWith(":1") ? 1 : 2,
      message,
      "Hint: ",
    )
    expect(stderr).not.toContain("hunter2")
  })
})

const KEY = "prism_0123456789abcdef"
const ALL: Role = { permissions: ["read", "write", "delete", "admin"], collections: "*" }

describe("API keys", () => {
  const withKey = (...roles: Role[]) => ({
    service: {
      config: {
        ...DEFAULT_CONFIG,
        apiKeys: [{ name: "k", hash: hashApiKey(KEY, platform.createSha256), roles }],
      },
    },
  })

  test("the right one opens, by environment and by file; none, or another, is refused without being shown", async () => {
    await using there = await setting(withKey(ALL))
    const { runtime, typed, server } = there
    await expectFailure(typed("collection list"), 1, "Error: This needs an API key", "Hint: ")
    runtime.environment["PRISM_API_KEY"] = "prism_wrong"
    const { stderr } = await expectFailure(typed("collection list"), 1, "this API key is not known here".slice(5))
    expect(stderr).not.toContain("prism_wrong")
    runtime.environment["PRISM_API_KEY"] = KEY
    expect(await expectOk(typed("collection list -q"))).toBe("products\n")
    delete runtime.environment["PRISM_API_KEY"]
    runtime.write("api.key", `${KEY}\n`)
    expect(await expectOk(typed("--api-key-file api.key collection list -q"))).toBe("products\n")
    runtime.write("api.key", "two words\n")
    const twice = await expectFailure(
      typed("--api-key-file api.key collection list -q"),
      2,
      "does not hold one API key",
    )
    expect(twice.stderr).not.toContain("two words")
    expect(server.requests.join()).not.toContain("prism_")
  })

  test("one that may only read does so, and is refused the rest with 403", async () => {
    await using there = await setting(withKey({ permissions: ["read"], collections: "prod*" }))
    const { runtime, typed } = there
    runtime.environment["PRISM_API_KEY"] = KEY
    expect(JSON.parse(await expectOk(typed("search products one --json")))).toMatchObject({ total: 1 })
    expect((await expectOk(typed("document export -c products"))).split("\n")).toHaveLength(3)
    await expectFailure(typed("document delete -c products a"), 1, 'no "delete" permission')
    await expectFailure(typed("collection export products -o p.prism.jsonl"), 1, 'no "admin" permission')
    expect([...runtime.fileBytes.keys()]).toEqual([])
  })
})

/** Where a runtime's server sends the head of an answer with its first bytes, it may never have left. */
const BROKEN_OFF = /^Error: (Cannot reach )?http:\S+(: | broke off in the middle of its answer)/

describe("a server that dies", () => {
  /** Cuts the first answer of this path off after its first bytes. */
  const cutting = (path: RegExp): Partial<ServedApiOptions> => ({
    between: async (request, answer) => {
      const response = await answer()
      if (!path.test(request.url)) return response
      const chunks = async function* () {
        for await (const chunk of chunksOf(response.body as ReadableStream<Uint8Array>)) {
          yield chunk.subarray(0, 20)
          throw new Error("the process was killed")
        }
      }
      return new Response(streamOf(chunks()), response)
    },
  })

  test.each([
    ["collection export products -o p.prism.jsonl"],
    ["collection export products -o p.tar.zst --sha256"],
    ["document export -c products -o p.jsonl"],
  ])("in the middle of %s: an error, and no file", async (line) => {
    await using there = await setting(cutting(/\/(archive|documents)(\?|$)/))
    const { runtime, typed, server } = there
    const { stderr } = await expectFailure(typed(line), 1, server.url, "Hint: ")
    expect(stderr).toMatch(BROKEN_OFF)
    expect([...runtime.fileBytes.keys()]).toEqual([])
  })

  test("in the middle of a replacement: the old archive stays", async () => {
    await using good = await setting()
    await expectOk(good.typed("collection export products -o p.prism.jsonl"))
    const before = good.runtime.text("p.prism.jsonl")
    await using bad = await setting(cutting(/\/archive/))
    bad.runtime.write("p.prism.jsonl", before)
    const { stderr } = await expectFailure(bad.typed("collection export products -o p.prism.jsonl"), 1)
    expect(stderr).toMatch(BROKEN_OFF)
    expect(bad.runtime.text("p.prism.jsonl")).toBe(before)
  })

  test("in the middle of an import: what came in is told, and is there", async () => {
    let batches = 0
    await using there = await setting({
      between: async (request, answer, http) => {
        const response = await answer()
        if (request.method !== "POST" || ++batches < 3) return response
        http.kill()
        throw new Error("the process was killed")
      },
    })
    const { runtime, typed, server } = there
    runtime.write("many.jsonl", Array.from({ length: 50 }, (_, i) => `{"id":"n${i}"}`).join("\n"))
    const { stdout } = await expectFailure(
      typed("document import -c products -f many.jsonl --batch-size 10 --json"),
      1,
      "20 documents were imported before this",
    )
    expect(JSON.parse(stdout)).toMatchObject({ success: false, documents_imported: 20 })
    const products = await server.api.service.prism.collection("products")
    expect((await products.stats()).document_count).toBeGreaterThanOrEqual(22)
  })
})

describe("a server that has heard enough", () => {
  test("says so while a large archive is still sent, and is heard", async () => {
    const apiKeys = [{ name: "k", hash: hashApiKey(KEY, platform.createSha256), roles: [ALL] }]
    await using there = await setting({ service: { config: { ...DEFAULT_CONFIG, apiKeys } } })
    const { runtime, typed } = there
    runtime.environment["PRISM_API_KEY"] = KEY
    await expectOk(typed("collection export products -o p.prism.jsonl"))
    const [header] = runtime.text("p.prism.jsonl").split("\n", 1)
    runtime.write("big.prism.jsonl", `${header}\n${`${"x".repeat(KIB)}\n`.repeat(32 * KIB)}`)
    await expectFailure(typed("collection restore -f big.prism.jsonl"), 4, "already exists", "--replace or --merge")
    runtime.environment["PRISM_API_KEY"] = "prism_wrong"
    await expectFailure(typed("collection restore -f big.prism.jsonl -t two"), 1, "is not known here")
  })
})

describe("an interrupt", () => {
  test("ends an export at once: 130, no file, and the server lets go of it", async () => {
    const runtime = new FakeRuntime()
    let cancel = () => {}
    const cancelled = new Promise<void>((resolve) => {
      cancel = resolve
    })
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => controller.enqueue(new Uint8Array(64 * KIB)),
      cancel,
    })
    await using there = await setting({
      between: async (request, answer) => (request.url.includes("/archive") ? archive(endless) : await answer()),
    })
    runtime.environment["PRISM_API_URL"] = there.server.url
    runtime.onStderr = (text) => {
      if (text.includes("Writing")) runtime.interrupt()
    }
    const line = "collection export products -o p.tar.zst --progress".split(" ")
    expect(await runtime.run(...line)).toMatchObject({ code: 130 })
    expect([...runtime.fileBytes.keys()]).toEqual([])
    await cancelled
  })

  test("cancels the job that the command waits for", async () => {
    await using there = await setting()
    const { runtime, typed, server } = there
    runtime.stderrIsTerminal = true
    // Nothing to do for the job itself: it is held up before it begins.
    const { jobs } = server.api.service
    const start = jobs.start.bind(jobs)
    jobs.start = (about, work) =>
      start(about, async (tools) => {
        tools.onProgress({ stage: "optimizing", unit: "documents", done: 1, total: 2 })
        await new Promise((_resolve, reject) =>
          tools.signal.addEventListener("abort", () => reject(tools.signal.reason as Error)),
        )
        return await work(tools)
      })
    runtime.onStderr = (text) => {
      if (text.includes("Optimizing")) runtime.interrupt()
    }
    expect(await typed("index optimize -c products")).toMatchObject({ code: 130, stdout: "" })
    expect(jobs.list().map((job) => job.answer().state)).toEqual(["cancelled"])
  })
})

describe("constant memory", () => {
  /** How far the one who sends may be ahead of the one who reads: buffers of the system, and of HTTP on both sides. */
  const AHEAD_MAX = 16 * MIB
  const TOTAL = 96 * MIB

  test("a download is pulled no faster than it is written", async () => {
    let sent = 0
    let written = 0
    let ahead = 0
    const body = new ReadableStream<Uint8Array>(
      {
        pull(controller) {
          if (sent === TOTAL) return controller.close()
          sent += 256 * KIB
          controller.enqueue(new Uint8Array(256 * KIB))
        },
      },
      { highWaterMark: 0 },
    )
    await using there = await setting({
      between: async (request, answer) => (request.url.includes("/archive") ? archive(body) : await answer()),
    })
    const { runtime, typed } = there
    runtime.stdout = async (bytes) => {
      written += bytes.length
      ahead = Math.max(ahead, sent - written)
    }
    await expectOk(typed("collection export products -q -o - --format snapshot"))
    expect({ sent, written }).toEqual({ sent: TOTAL, written: TOTAL })
    expect(ahead).toBeLessThan(AHEAD_MAX)
  })

  test("an upload is read no faster than it is taken", async () => {
    let received = 0
    let read = 0
    let ahead = 0
    await using there = await setting({
      between: async (request, answer) => {
        if (request.method !== "PUT") return await answer()
        for await (const chunk of chunksOf(request.body as ReadableStream<Uint8Array>)) {
          received += chunk.length
          ahead = Math.max(ahead, read - received)
        }
        return Response.json({ error: { code: "CORRUPT", message: "not what it seems" } }, { status: 422 })
      },
    })
    const { runtime, typed } = there
    const head = new TextEncoder().encode('{"format":"prism-portable-v1"}\n')
    const piece = new Uint8Array(256 * KIB)
    Object.defineProperty(runtime, "stdin", {
      value: new ReadableStream<Uint8Array>(
        {
          pull(controller) {
            const bytes = read === 0 ? head : piece
            if (read > TOTAL) return controller.close()
            read += bytes.length
            controller.enqueue(bytes)
          },
        },
        { highWaterMark: 0 },
      ),
    })
    await expectFailure(typed("collection restore -f -"), 5, "Error: Not what it seems")
    expect(received).toBe(read)
    expect(ahead).toBeLessThan(AHEAD_MAX)
  })
})

function archive(body: ReadableStream<Uint8Array>): Response {
  return new Response(body, {
    headers: {
      "content-type": "application/octet-stream",
      [ARCHIVE_HEADERS.bytes]: "1",
      [ARCHIVE_HEADERS.documentCount]: "1",
      [ARCHIVE_HEADERS.checksum]: "00",
    },
  })
}
