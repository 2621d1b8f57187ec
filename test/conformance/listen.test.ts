// Where a server listens, and where commands of its machine reach it.
import { describe, expect, test } from "vitest"
import { hashApiKey } from "../../src/api/api-key.ts"
import { DEFAULT_CONFIG, type ServerConfig } from "../../src/api/config.ts"
import { type Listening, listen } from "../../src/cli/listen.ts"
import type { ServeOptions } from "../../src/runtime.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { ApiServer } from "../support/api-server.ts"
import { selfSigned } from "../support/certificate.ts"
import { RawClient } from "../support/raw-client.ts"
import { runtime } from "../support/runtime.ts"

const TOKEN = "a-token-of-this-tenure"
const KEY = "prism_a-key-of-the-configuration"
const bearer = (key: string) => ({ authorization: `Bearer ${key}` })

const apiKeys: ServerConfig["apiKeys"] = [
  {
    name: "k",
    hash: hashApiKey(KEY, runtime.createSha256),
    roles: [{ permissions: ["admin"], collections: "*" }],
  },
]

async function listening(
  options: Partial<ServeOptions>,
  config: Partial<ServerConfig> = {},
): Promise<Listening & AsyncDisposable> {
  const api = await ApiServer.open({
    storage: new MemoryStorage(),
    service: { config: { ...DEFAULT_CONFIG, ...config }, localToken: TOKEN },
  })
  const all = { host: "127.0.0.1", port: 0, headerBytes: 16 * 1024, headerSecs: 60, ...options }
  const server = await listen(runtime, all, api.service)
  return {
    ...server,
    [Symbol.asyncDispose]: async () => {
      server.kill()
      await api.close()
    },
  }
}

async function isOpen(url: string): Promise<boolean> {
  try {
    await using _client = await RawClient.connect(Number(new URL(url).port))
    return true
  } catch {
    return false
  }
}

describe("commands of this machine", () => {
  test("reach a server on loopback without TLS where all do", async () => {
    for (const host of ["127.0.0.1", "localhost"]) {
      await using server = await listening({ host }, { apiKeys })
      expect(server.localUrl).toBe(server.url)
      expect((await fetch(`${server.localUrl}/admin/collections`, { headers: bearer(TOKEN) })).status).toBe(200)
    }
  })

  test.for(["TLS", "TLS and keys", "an address of the network"])(
    "have a port of their own beside %s, which takes the local token alone",
    async (beside, { skip }) => {
      const tls = beside.startsWith("TLS") ? selfSigned() : undefined
      if (beside.startsWith("TLS") && tls === undefined) return skip("needs openssl")
      const host = tls === undefined ? "0.0.0.0" : "127.0.0.1"
      await using server = await listening({ host, tls }, beside === "TLS" ? {} : { apiKeys })
      expect(server.url).toMatch(tls === undefined ? /^http:\/\/0\.0\.0\.0:/ : /^https:\/\/127\.0\.0\.1:/)
      expect(server.localUrl).toMatch(/^http:\/\/127\.0\.0\.1:\d+$/)
      expect(new URL(server.localUrl).port).not.toBe(new URL(server.url).port)
      const statuses = async (headers: Record<string, string>) =>
        await Promise.all(
          ["/health", "/admin/collections", "/nothing"].map(
            async (path) => (await fetch(`${server.localUrl}${path}`, { headers })).status,
          ),
        )
      for (const headers of [{}, bearer(KEY), bearer(`${TOKEN}x`), { origin: "http://localhost" }]) {
        expect(await statuses(headers)).toEqual([401, 401, 401])
      }
      expect(await statuses(bearer(TOKEN))).toEqual([200, 200, 404])
      const preflight = { method: "OPTIONS", headers: { origin: "https://app.example" } }
      expect((await fetch(`${server.localUrl}/admin/collections`, preflight)).status).toBe(401)
    },
  )

  test("find both ports closed when it stops, and when it is killed", async () => {
    for (const end of ["stop", "kill"] as const) {
      await using server = await listening({ host: "0.0.0.0" }, { apiKeys })
      expect([await isOpen(server.url), await isOpen(server.localUrl)]).toEqual([true, true])
      await server[end]()
      while ((await isOpen(server.url)) || (await isOpen(server.localUrl))) continue
    }
  })
})
