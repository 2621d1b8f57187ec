// What a runtime's HTTP server promises, held against a client that sends and sees bytes.
import { describe, expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import { chunksOf, once, streamOf } from "../../src/base/streams.ts"
import type { HttpHandler, HttpServer, ServeOptions } from "../../src/runtime.ts"
import { selfSigned } from "../support/certificate.ts"
import { Random } from "../support/random.ts"
import { RawClient } from "../support/raw-client.ts"
import { runtime } from "../support/runtime.ts"

const MIB = 1024 * 1024

type Serving = HttpServer & AsyncDisposable

async function serving(handler: HttpHandler, options: Partial<ServeOptions> = {}): Promise<Serving> {
  const server = await runtime.serve!(handler, {
    host: "127.0.0.1",
    port: 0,
    headerBytes: 16 * 1024,
    headerSecs: 60,
    ...options,
  })
  return { ...server, [Symbol.asyncDispose]: async () => server.kill() }
}

interface Gate<T = void> {
  readonly passed: Promise<T>
  open(value: T): void
}

function gate<T = void>(): Gate<T> {
  let open!: (value: T) => void
  const passed = new Promise<T>((resolve) => {
    open = resolve
  })
  return { passed, open }
}

const get = (path: string, headers = "") => `GET ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`
const post = (path: string, headers: string) => `POST ${path} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`

/** Gives the server many turns to do what it would do if nothing held it back. */
async function manyTurns(server: HttpServer): Promise<void> {
  await using client = await RawClient.connect(server.port)
  for (let turn = 0; turn < 200; turn++) {
    await client.send(get("/turn"))
    await client.until("turned")
  }
}

const turned = () => new Response("turned", { headers: { "content-length": "6" } })

async function lengthOf(body: ReadableStream<Uint8Array> | null): Promise<number> {
  let length = 0
  if (body) for await (const chunk of chunksOf(body)) length += chunk.length
  return length
}

function randomBytes(seed: number, length: number): Uint8Array {
  const random = new Random(seed)
  return Uint8Array.from({ length }, () => random.below(256))
}

function sha256(): ReturnType<typeof runtime.createSha256> {
  return runtime.createSha256()
}

describe("a server", () => {
  test("hands over what was asked, and by whom", async () => {
    await using server = await serving(async (request, peer) => {
      const { method, url } = request
      return Response.json({ method, url, kind: request.headers.get("x-kind"), body: await request.text(), peer })
    })
    expect(server.url).toBe(`http://127.0.0.1:${server.port}`)
    const answer = await fetch(`${server.url}/a%20b?c=d`, { method: "PUT", body: "ä", headers: { "x-kind": "e" } })
    expect(await answer.json()).toEqual({
      method: "PUT",
      url: `${server.url}/a%20b?c=d`,
      kind: "e",
      body: "ä",
      peer: { address: "127.0.0.1", isLoopback: true },
    })
  })

  test("listens on IPv6", async ({ skip }) => {
    let server: Serving
    try {
      server = await serving(async (_, { isLoopback }) => Response.json({ isLoopback }), { host: "::1" })
    } catch (error) {
      if (error instanceof PrismError) return skip(`this machine has no IPv6: ${error.message}`)
      throw error
    }
    await using open = server
    expect(open.url).toBe(`http://[::1]:${open.port}`)
    expect(await (await fetch(open.url)).json()).toEqual({ isLoopback: true })
  })

  test("says why it cannot listen", async () => {
    await using first = await serving(async () => turned())
    const taken = serving(async () => turned(), { port: first.port })
    await expect(taken).rejects.toMatchObject({
      code: "LISTEN_FAILED",
      message: `cannot listen on 127.0.0.1 port ${first.port}: another program does already`,
    })
    // Of TEST-NET-1 (RFC 5737), and a name that never exists (RFC 6761).
    for (const host of ["192.0.2.1", "prism.invalid"]) {
      await expect(serving(async () => turned(), { host })).rejects.toMatchObject({ code: "LISTEN_FAILED" })
    }
  })

  test("answers one request after another on a connection, and such that come at once in their order", async () => {
    const held = gate()
    await using server = await serving(async ({ url }) => {
      if (url.endsWith("/1")) await held.passed
      return new Response(`answer ${url.at(-1)}.`)
    })
    await using client = await RawClient.connect(server.port)
    await client.send(get("/0"))
    expect(await client.until("answer 0.")).toMatch(/^HTTP\/1\.1 200 /)
    await client.send(get("/1") + get("/2"))
    held.open()
    expect(await client.until("answer 1.")).not.toContain("answer 2.")
    expect(await client.until("answer 2.")).toMatch(/HTTP\/1\.1 200 /)
  })

  test("answers many at once", async () => {
    const all = gate()
    let waiting = 0
    await using server = await serving(async ({ url }) => {
      if (++waiting === 50) all.open()
      await all.passed
      return new Response(url)
    })
    const urls = Array.from({ length: 50 }, (_, i) => `${server.url}/${i}`)
    const answers = await Promise.all(urls.map(async (url) => await (await fetch(url)).text()))
    expect(answers).toEqual(urls)
  })

  test("answers HEAD without a body, and 204 without a length", async () => {
    await using server = await serving(async ({ method }) =>
      method === "DELETE"
        ? new Response(null, { status: 204 })
        : new Response(method === "HEAD" ? null : "body", { headers: { "x-kind": "a" } }),
    )
    await using client = await RawClient.connect(server.port)
    await client.send(
      `HEAD / HTTP/1.1\r\nHost: localhost\r\n\r\nDELETE / HTTP/1.1\r\nHost: localhost\r\n\r\n${get("/")}`,
    )
    const answers = await client.until("body")
    expect(answers.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 204", "HTTP/1.1 200"])
  })

  test("lets a client wait for 100 Continue", async () => {
    await using server = await serving(async (request) => new Response(`got ${await request.text()}.`))
    await using client = await RawClient.connect(server.port)
    await client.send(post("/", "Content-Length: 4\r\nExpect: 100-continue\r\n"))
    expect(await client.until("\r\n\r\n")).toMatch(/^HTTP\/1\.1 100 Continue\r\n/)
    await client.send("body")
    await client.until("got body.")
  })

  test("does not ask the handler about what is no HTTP", async () => {
    let calls = 0
    await using server = await serving(async () => {
      calls++
      return turned()
    })
    for (const bytes of [
      "GET\r\n\r\n",
      "\u0016\u0003\u0001 TLS?",
      "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: x\r\n\r\n",
    ]) {
      await using client = await RawClient.connect(server.port)
      await client.send(`${bytes}\r\n\r\n`)
      expect(await client.rest()).toMatch(/^(HTTP\/1\.1 400 [^]*)?$/)
    }
    expect(calls).toBe(0)
  })

  test("refuses headers without end", async () => {
    await using server = await serving(async () => turned())
    await using client = await RawClient.connect(server.port)
    await client.send(`GET / HTTP/1.1\r\nHost: localhost\r\nX-Kind: ${"a".repeat(4 * MIB)}`)
    expect(await client.rest()).toMatch(/^(HTTP\/1\.1 4(31|00) [^]*)?$/)
  })
})

describe("time", () => {
  test("is short between requests, and not for what is being worked on", async ({ skip }) => {
    if (runtime.name === "deno") return skip("Deno.serve cannot be told")
    const began = gate()
    const go = gate()
    await using server = await serving(
      async ({ url }) => {
        if (url.endsWith("/turn")) return turned()
        if (url.endsWith("/stream")) return new Response(streamOf(once(new TextEncoder().encode("streamed"))))
        began.open()
        await go.passed
        return new Response("at last.")
      },
      { headerSecs: 1 },
    )
    await using busy = await RawClient.connect(server.port)
    await busy.send(get("/"))
    await began.passed
    for (const [path, mark] of [
      ["/turn", "turned"],
      ["/stream", "\r\n0\r\n\r\n"],
    ] as const) {
      await using idle = await RawClient.connect(server.port)
      await idle.send(get(path))
      await idle.until(mark)
      expect(await idle.rest()).toBe("")
    }
    // It waits for longer than they were idle.
    go.open()
    expect(await busy.until("at last.")).toMatch(/^HTTP\/1\.1 200 /)
  })

  test("is short for headers, also such that come bit by bit", async ({ skip }) => {
    if (runtime.name !== "node") return skip("Deno.serve has no limit, Bun.serve has one of its own")
    await using server = await serving(async () => turned(), { headerSecs: 1 })
    await using slow = await RawClient.connect(server.port)
    let isOpen = true
    const answer = slow.rest().finally(() => {
      isOpen = false
    })
    await slow.send("GET / HTTP/1.1\r\nHost: localhost\r\n")
    while (isOpen) {
      await slow.send("X-Kind: a\r\n")
      await manyTurns(server)
    }
    expect(await answer).toMatch(/^(HTTP\/1\.1 (408|431) [^]*)?$/)
  })
})

describe("bodies stream", () => {
  const BLOCK = randomBytes(7, MIB)
  const BLOCKS = 64

  test("both ways, whole", async () => {
    await using server = await serving(async (request) => {
      if (request.method === "GET") return new Response(streamOf(blocks(BLOCKS)))
      const hash = sha256()
      for await (const chunk of chunksOf(request.body!)) hash.update(chunk)
      return new Response(hash.digestHex())
    })
    const expected = sha256()
    for await (const block of blocks(BLOCKS)) expected.update(block)
    const digest = expected.digestHex()

    const received = sha256()
    for await (const chunk of chunksOf((await fetch(server.url)).body!)) received.update(chunk)
    expect(received.digestHex()).toBe(digest)

    await using client = await RawClient.connect(server.port)
    await client.send(post("/", `Content-Length: ${BLOCKS * MIB}\r\n`))
    for await (const block of blocks(BLOCKS)) await client.send(block)
    await client.until(digest)
  })

  async function* blocks(count: number): AsyncGenerator<Uint8Array> {
    for (let i = 0; i < count; i++) yield BLOCK
  }

  test("in, of any announced length, each piece as it comes", async () => {
    const seen = gate<string>()
    await using server = await serving(async (request) => {
      const chunks = chunksOf(request.body!)
      const { value } = await chunks.next()
      seen.open(new TextDecoder().decode(value!))
      await chunks.return(undefined)
      return new Response("enough.")
    })
    await using client = await RawClient.connect(server.port)
    await client.send(post("/", `Content-Length: ${2 ** 40}\r\n`))
    await client.send("first")
    expect(await seen.passed).toBe("first")
    expect(await client.until("enough.")).toMatch(/^HTTP\/1\.1 200 /)
  })

  test("out, each piece as it is made", async () => {
    const more = gate()
    await using server = await serving(async () => {
      async function* pieces() {
        yield new TextEncoder().encode("first")
        await more.passed
        yield new TextEncoder().encode("second")
      }
      return new Response(streamOf(pieces()))
    })
    await using client = await RawClient.connect(server.port)
    await client.send(get("/"))
    expect(await client.until("first")).toContain("first")
    more.open()
    expect(await client.until("0\r\n\r\n")).toContain("second")
  })

  test("in no faster than they are read", async () => {
    const go = gate()
    await using server = await serving(async (request) => {
      if (request.url.endsWith("/turn")) return turned()
      await go.passed
      return new Response(`${await lengthOf(request.body)} bytes.`)
    })
    await using client = await RawClient.connect(server.port)
    await client.send(post("/", `Content-Length: ${BLOCKS * MIB}\r\n`))
    const before = client.sentBytes
    const sending = (async () => {
      for await (const block of blocks(BLOCKS)) await client.send(block)
    })()
    await manyTurns(server)
    expect((client.sentBytes - before) / MIB).toBeLessThan(32)
    go.open()
    await sending
    await client.until(`${BLOCKS * MIB} bytes.`)
  })

  test("out no faster than they are read", async () => {
    let made = 0
    await using server = await serving(async (request) => {
      if (request.url.endsWith("/turn")) return turned()
      async function* counted() {
        for await (const block of blocks(BLOCKS)) {
          made++
          yield block
        }
      }
      return new Response(streamOf(counted()))
    })
    await using client = await RawClient.connect(server.port)
    client.pause()
    await client.send(get("/"))
    await manyTurns(server)
    expect(made).toBeLessThan(32)
    client.resume()
    await client.skipTo("\r\n0\r\n\r\n")
    expect(made).toBe(BLOCKS)
  })

  test("in, and one that breaks off is no whole one", async () => {
    for (const headers of ["Content-Length: 100\r\n", "Transfer-Encoding: chunked\r\n"]) {
      const began = gate()
      const ended = gate<string>()
      await using server = await serving(async (request) => {
        try {
          let length = 0
          for await (const chunk of chunksOf(request.body!)) {
            length += chunk.length
            began.open()
          }
          ended.open(`whole: ${length} bytes`)
        } catch {
          ended.open("broken off")
        }
        return turned()
      })
      await using client = await RawClient.connect(server.port)
      await client.send(post("/", headers))
      await client.send("5\r\nfirst\r\n")
      await began.passed
      client.break()
      expect(await ended.passed).toBe("broken off")
    }
  })

  test("out, and one that fails on its way breaks off", async () => {
    for (const piecesBefore of [0, 1, 5]) {
      await using server = await serving(async () => {
        async function* pieces() {
          for (let i = 0; i < piecesBefore; i++) yield new TextEncoder().encode("piece")
          throw new Error("a secret of the server")
        }
        return new Response(streamOf(pieces()))
      })
      await using client = await RawClient.connect(server.port)
      await client.send(get("/"))
      const answer = await client.rest()
      expect(answer).not.toContain("secret")
      if (answer.startsWith("HTTP/1.1 200")) expect(answer).not.toMatch(/\r\n0\r\n\r\n$/)
      else expect(answer).toMatch(/^(HTTP\/1\.1 500 [^]*)?$/)
    }
  })

  test("in, and may be answered before they are read", async () => {
    await using server = await serving(async () => new Response("too large.", { status: 413 }))
    await using client = await RawClient.connect(server.port)
    await client.send(post("/", `Content-Length: ${MIB}\r\n`))
    await client.send(BLOCK.subarray(0, 1000))
    expect(await client.until("too large.")).toMatch(/^HTTP\/1\.1 413 /)
  })
})

describe("when the client goes", () => {
  test("before it has its answer, the request is aborted", async () => {
    for (const request of [get("/"), `${post("/", "Content-Length: 4\r\n")}body`]) {
      const began = gate()
      const aborted = gate()
      let reason: unknown
      await using server = await serving(async (request) => {
        await request.text()
        request.signal.addEventListener("abort", () => {
          reason = request.signal.reason
          aborted.open()
        })
        began.open()
        await aborted.passed
        return turned()
      })
      await using client = await RawClient.connect(server.port)
      await client.send(request)
      await began.passed
      client.break()
      await aborted.passed
      expect(reason).toBeInstanceOf(Error)
    }
  })

  test("amid its answer, the answer's body is cancelled", async () => {
    const cancelled = gate()
    await using server = await serving(async () => {
      async function* endless() {
        try {
          for (;;) yield new Uint8Array(64 * 1024)
        } finally {
          cancelled.open()
        }
      }
      return new Response(streamOf(endless()))
    })
    await using client = await RawClient.connect(server.port)
    await client.send(get("/"))
    await client.until("\r\n\r\n")
    client.break()
    await cancelled.passed
  })

  test("while the answer's body waits for something, the body is cancelled", async () => {
    const cancelled = gate()
    await using server = await serving(
      async () =>
        new Response(
          new ReadableStream({
            start: (controller) => controller.enqueue(new TextEncoder().encode("first")),
            cancel: () => cancelled.open(),
          }),
        ),
    )
    await using client = await RawClient.connect(server.port)
    await client.send(get("/"))
    await client.until("first")
    client.break()
    await cancelled.passed
  })

  test("after its answer, the request was not aborted", async () => {
    let signal: AbortSignal | undefined
    await using server = await serving(async (request) => {
      signal ??= request.signal
      return turned()
    })
    await using client = await RawClient.connect(server.port)
    await client.send(get("/"))
    await client.until("turned")
    await manyTurns(server)
    expect(signal?.aborted).toBe(false)
  })
})

describe("the end of a server", () => {
  test("lets those who wait have their whole answer, closes idle connections, and takes no new ones", async () => {
    const began = gate()
    const go = gate()
    await using server = await serving(async ({ url }) => {
      if (url.endsWith("/turn")) return turned()
      began.open()
      async function* pieces() {
        yield new TextEncoder().encode("first")
        await go.passed
        yield new TextEncoder().encode("last")
      }
      return new Response(streamOf(pieces()))
    })
    await using idle = await RawClient.connect(server.port)
    await idle.send(get("/turn"))
    await idle.until("turned")
    await using busy = await RawClient.connect(server.port)
    await busy.send(get("/"))
    await began.passed
    await busy.until("first")
    let hasStopped = false
    const stopped = server.stop().then(() => {
      hasStopped = true
    })
    expect(await idle.rest()).toBe("")
    await expect(RawClient.connect(server.port)).rejects.toThrow()
    expect(hasStopped).toBe(false)
    go.open()
    expect(await busy.rest()).toMatch(/last\r\n0\r\n\r\n$/)
    await stopped
  })

  test.for([
    ["never said a word", ""],
    ["began a request", "GET / HTTP/1.1\r\nHost: "],
  ] as const)("does not wait for a connection that %s", async ([, said], { skip }) => {
    if (runtime.name === "bun" && said === "") return skip("Bun.serve waits for its idle timeout")
    await using server = await serving(async () => turned())
    await using silent = await RawClient.connect(server.port)
    if (said !== "") await silent.send(said)
    await manyTurns(server)
    await server.stop()
    expect(await silent.rest()).toBe("")
  })

  test("nor for one that never greets where it should (TLS)", async ({ skip }) => {
    if (runtime.name !== "node") return skip("Deno.serve and Bun.serve wait for it")
    const tls = selfSigned()
    if (tls === undefined) return skip("openssl is not installed")
    await using server = await serving(async () => turned(), { tls })
    await using used = await RawClient.connect(server.port, { ca: tls.cert })
    await using silent = await RawClient.connect(server.port)
    await used.send(get("/"))
    await used.until("turned")
    await server.stop()
    expect(await Promise.all([silent.rest(), used.rest()])).toEqual(["", ""])
  })

  test("comes at once where nothing is there, or nobody waits", async () => {
    await using untouched = await serving(async () => turned())
    await untouched.stop()
    await using used = await serving(async () => turned())
    expect(await (await fetch(used.url)).text()).toBe("turned")
    await used.stop()
    // Nothing more is there to kill.
    used.kill()
  })

  test("breaks off what is there when it is killed, also while it stops", async () => {
    for (const stops of [false, true]) {
      for (const streams of [false, true]) {
        const began = gate()
        const aborted = gate()
        await using server = await serving(async ({ signal }) => {
          signal.addEventListener("abort", () => aborted.open())
          async function* endless() {
            yield new TextEncoder().encode("first")
            began.open()
            await new Promise(() => {})
          }
          if (streams) return new Response(streamOf(endless()))
          began.open()
          await aborted.passed
          return turned()
        })
        await using client = await RawClient.connect(server.port)
        await client.send(get("/"))
        await began.passed
        const stopped = stops ? server.stop() : undefined
        server.kill()
        await aborted.passed
        await stopped
        await expect(RawClient.connect(server.port)).rejects.toThrow()
        if (streams) expect(await client.rest()).not.toMatch(/\r\n0\r\n\r\n$/)
      }
    }
  })
})

describe("TLS", () => {
  test("answers who trusts the certificate", async ({ skip }) => {
    const tls = selfSigned()
    if (tls === undefined) return skip("openssl is not installed")
    await using server = await serving(async ({ url }) => new Response(`${url}.`), { tls })
    expect(server.url).toBe(`https://127.0.0.1:${server.port}`)
    await using client = await RawClient.connect(server.port, { ca: tls.cert })
    await client.send(get("/path"))
    await client.until("https://localhost/path.")
    await expect(RawClient.connect(server.port, {})).rejects.toThrow()
  })

  test("says what is wrong with a certificate or key", async ({ skip }) => {
    const [one, other] = [selfSigned(), selfSigned()]
    if (one === undefined || other === undefined) return skip("openssl is not installed")
    const broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"
    for (const tls of [
      { ...one, cert: broken },
      { ...one, cert: "" },
      { ...one, key: "none" },
      { ...one, key: other.key },
    ]) {
      await expect(serving(async () => turned(), { tls })).rejects.toMatchObject({ code: "USAGE" })
    }
  })
})
