// How a server is set up: what wins, what is refused, where, and with which advice.
import { readFileSync } from "node:fs"
import { parse as parseToml } from "smol-toml"
import { describe, expect, test } from "vitest"
import { z } from "zod"
import { CONFIG_FILE_SHAPE, DEFAULT_CONFIG, readServerConfig, type ServerConfig } from "../src/api/config.ts"
import { configuredDataDirectory, readConfigFiles } from "../src/api/config-file.ts"
import { isLoopback } from "../src/api/loopback.ts"
import { PrismError } from "../src/base/errors.ts"
import { FakeRuntime } from "./support/fake-runtime.ts"

interface Given {
  readonly flags?: Parameters<typeof readServerConfig>[0]
  readonly env?: Record<string, string>
  readonly toml?: string
  readonly path?: string
}

async function configOf({ flags = {}, env = {}, toml, path = "prism.toml" }: Given): Promise<ServerConfig> {
  const machine = new FakeRuntime()
  if (toml !== undefined) machine.write(path, toml)
  const variable = (name: string) => env[name]
  const [file] = await readConfigFiles({ files: machine.files, env: variable })
  return readServerConfig(flags, variable, file)
}

async function refusal(given: Given): Promise<PrismError> {
  try {
    await configOf(given)
  } catch (error) {
    if (error instanceof PrismError) return error
    throw error
  }
  throw new Error("it was taken")
}

const HASH = "0123456789abcdef".repeat(4)
const KEY = `[[api_keys]]\nname = "app"\nhash = "${HASH}"\nroles = [{ permissions = ["read"], collections = "*" }]\n`

describe("a server's configuration", () => {
  test("is flags, else the environment, else prism.toml, else the defaults", async () => {
    expect(await configOf({})).toEqual(DEFAULT_CONFIG)
    const toml = 'data_dir = "d"\n[server]\nhost = "::1"\nport = 4000\nlog = "json"\n'
    expect(await configOf({ toml })).toEqual({ ...DEFAULT_CONFIG, host: "::1", port: 4000, log: "json" })
    const env = { PRISM_HOST: "localhost", PRISM_PORT: "5000", PRISM_LOG: "off" }
    expect(await configOf({ toml, env })).toMatchObject({ host: "localhost", port: 5000, log: "off" })
    const flags = { host: "127.0.0.2", port: 0, backupRoots: ["/b"] }
    expect(await configOf({ toml, env, flags })).toMatchObject({ ...flags, log: "off" })
    expect(await configOf({ env: { PRISM_PORT: "" } })).toEqual(DEFAULT_CONFIG)
  })

  test("comes from the nearest file, or from the one that PRISM_CONFIG_PATH names", async () => {
    const machine = new FakeRuntime()
    machine.write("/etc/prism/prism.toml", "[server]\nport = 1\n")
    machine.write("other.toml", "[server]\nport = 3\n")
    const pathsWith = async (env: Record<string, string>) =>
      (await readConfigFiles({ files: machine.files, env: (name) => env[name] })).map(({ path }) => path)
    expect(await pathsWith({})).toEqual(["/etc/prism/prism.toml"])
    machine.write("prism.toml", "[server]\nport = 2\n")
    expect(await pathsWith({})).toEqual(["prism.toml", "/etc/prism/prism.toml"])
    expect(await pathsWith({ PRISM_CONFIG_PATH: "other.toml" })).toEqual(["other.toml"])
    await expect(pathsWith({ PRISM_CONFIG_PATH: "gone.toml" })).rejects.toMatchObject({ code: "FILE_NOT_FOUND" })
  })

  test("takes relative paths of a file from the file's folder, and ~/ from the home folder", async () => {
    const toml = `[server]\nbackup_roots = ["b", "/c", "~/d"]\naudit_file = "a.jsonl"\n[tls]\ncert_file = "c.pem"\nkey_file = "~/k.pem"\n`
    const config = await configOf({ toml, path: "/etc/prism/prism.toml", env: { HOME: "/home/me" } })
    expect(config.backupRoots).toEqual(["/etc/prism/b", "/c", "/home/me/d"])
    expect(config.auditFile).toBe("/etc/prism/a.jsonl")
    expect(config.tls).toEqual({ certFile: "/etc/prism/c.pem", keyFile: "/home/me/k.pem" })
  })

  test("has one data directory, not two", async () => {
    const file = (values: Record<string, unknown>) => [{ path: "prism.toml", values }]
    const none = () => undefined
    expect(configuredDataDirectory(file({ storage: { data_dir: "a" } }), none)?.path).toBe("a")
    const both = file({ data_dir: "a", storage: { data_dir: "a" } })
    expect(() => configuredDataDirectory(both, none)).toThrow("data_dir stands at the top and under [storage]")
  })

  test("tells each wrong thing of a file with its place, and guesses what was meant", async () => {
    const toml = `dat_dir = "x"\n[server]\nprot = 1\nhost = ""\n[limits]\nbody_bytes = -1\n${KEY.replace("roles", "rolls")}`
    const { code, problems } = await refusal({ toml })
    expect(code).toBe("INVALID_FORMAT")
    const told = problems.map(({ place, message }) => `${place}: ${message}`)
    expect(told).toHaveLength(6)
    expect(told).toContain('prism.toml: unknown key "dat_dir", did you mean "data_dir"?')
    expect(told).toContain('prism.toml, server: unknown key "prot", did you mean "port"?')
    expect(told).toContain("prism.toml, server.host: is a name or an address, such as 127.0.0.1 or ::1")
    expect(told).toContain('prism.toml, api_keys.0: unknown key "rolls", did you mean "roles"?')
    expect(told.filter((line) => line.startsWith("prism.toml, limits.body_bytes: "))).toHaveLength(1)
    expect(told.filter((line) => line.startsWith("prism.toml, api_keys.0.roles: "))).toHaveLength(1)
  })

  test("tells a wrong variable or flag by its name", async () => {
    expect(await refusal({ env: { PRISM_PORT: "x" } })).toMatchObject({ code: "USAGE", place: "PRISM_PORT" })
    for (const PRISM_PORT of ["65536", " ", "0x10", "1e3", "+1", "1.0", " 80"]) {
      expect([PRISM_PORT, (await refusal({ env: { PRISM_PORT } })).place]).toEqual([PRISM_PORT, "PRISM_PORT"])
    }
    expect(await refusal({ env: { PRISM_LOG: "loud" } })).toMatchObject({ place: "PRISM_LOG" })
    expect(await refusal({ env: { PRISM_API_KEYS: "{" } })).toMatchObject({ place: "PRISM_API_KEYS" })
    expect(await refusal({ flags: { host: "http://here" } })).toMatchObject({ code: "USAGE", place: "--host" })
  })

  test("listens to other machines with an API key alone", async () => {
    for (const host of ["0.0.0.0", "::", "192.168.1.2", "prism.example"]) {
      expect(await refusal({ flags: { host } })).toMatchObject({
        code: "USAGE",
        hint: expect.stringMatching(/api-key/),
      })
      expect((await configOf({ flags: { host }, toml: KEY })).host).toBe(host)
    }
    const PRISM_API_KEYS = JSON.stringify([
      { name: "a", hash: HASH, roles: [{ permissions: ["admin"], collections: "*" }] },
    ])
    expect((await configOf({ flags: { host: "::" }, env: { PRISM_API_KEYS } })).apiKeys).toHaveLength(1)
  })

  test("takes no key twice, none by a name that is no key's, and no key itself in place of its hash", async () => {
    for (const name of ["local", "lock", "anonymous"]) {
      expect(await refusal({ toml: KEY.replace('"app"', `"${name}"`) })).toMatchObject({
        place: "prism.toml, api_keys.0.name",
      })
    }
    expect(await refusal({ toml: KEY + KEY.replace(HASH, "ab".repeat(32)) })).toMatchObject({
      place: "prism.toml, api_keys",
      message: expect.stringContaining("the same name") as string,
    })
    expect(await refusal({ toml: KEY + KEY.replace('"app"', '"other"') })).toMatchObject({
      place: "prism.toml, api_keys",
      message: expect.stringContaining("the same hash") as string,
    })
    const none = await refusal({ toml: KEY, env: { PRISM_API_KEYS: "[]" } })
    expect(none).toMatchObject({ code: "USAGE", place: "PRISM_API_KEYS" })
    const plain = await refusal({ toml: KEY.replace(HASH, "secret-key") })
    expect(plain.place).toBe("prism.toml, api_keys.0.hash")
    expect(JSON.stringify([plain.message, plain.problems])).not.toContain("secret-key")
    const inEnv = await refusal({ env: { PRISM_API_KEYS: '[{"name":"a","hash":"secret-key","roles":[]}]' } })
    expect(inEnv.message).not.toContain("secret-key")
  })

  test("takes origins, not addresses of pages", async () => {
    const toml = (text: string) => `[server]\nallowed_origins = ["${text}"]\n`
    expect((await configOf({ toml: toml("https://app.example:8443") })).allowedOrigins).toHaveLength(1)
    for (const text of ["https://app.example/", "*", "app.example", "null"]) {
      expect(await refusal({ toml: toml(text) })).toMatchObject({ place: "prism.toml, server.allowed_origins.0" })
    }
  })

  test("knows which hosts are this machine", () => {
    for (const host of [
      "localhost",
      "LOCALHOST.",
      "127.0.0.1",
      "127.9.9.9",
      "::1",
      "0:0:0:0:0:0:0:1",
      "0000::0:0001",
      "::ffff:127.0.0.1",
    ]) {
      expect([host, isLoopback(host)]).toEqual([host, true])
    }
    for (const host of [
      "0.0.0.0",
      "::",
      "::2",
      "128.0.0.1",
      "127.0.0.1.example",
      "localhost.example",
      "a.localhost",
      "127.999.0.1",
      "127.0.0.01",
      "127.1",
      "::ffff:127.999.0.1",
      "::ffff:128.0.0.1",
      "0:0:1",
      "0:0:0:0:0:0:0:0:1",
      "::1]",
      "1",
      "",
      "1::1",
    ]) {
      expect([host, isLoopback(host)]).toEqual([host, false])
    }
  })
})

interface JsonSchema {
  readonly type?: string
  readonly properties?: Record<string, JsonSchema>
  readonly minimum?: number
  readonly maximum?: number
}

/** Keys that hold no others, by their path. */
function leavesOf({ properties = {} }: JsonSchema, prefix = ""): [path: string, leaf: JsonSchema][] {
  return Object.entries(properties).flatMap(([key, schema]) =>
    schema.type === "object" ? leavesOf(schema, `${prefix}${key}.`) : [[prefix + key, schema] as [string, JsonSchema]],
  )
}

describe("docs/admin/configuration.md", () => {
  const page = readFileSync(new URL("../docs/admin/configuration.md", import.meta.url), "utf8")
  const example = /```toml\n([^]*?)```/.exec(page)?.[1] ?? ""
  const leaves = leavesOf(z.toJSONSchema(CONFIG_FILE_SHAPE) as JsonSchema)
  const valueAt = (path: string): unknown =>
    path.split(".").reduce((value: unknown, key) => (value as Record<string, unknown>)?.[key], parseToml(example))

  test("has an example that is taken, with every key", async () => {
    const { backupRoots, tls, apiKeys, auditFile, ...others } = await configOf({ toml: example })
    expect(backupRoots).toEqual(["/srv/backup"])
    expect(tls).toEqual({ certFile: "/etc/prism/cert.pem", keyFile: "/etc/prism/key.pem" })
    expect(apiKeys).toHaveLength(1)
    expect(auditFile).toBe("/var/log/prism/audit.jsonl")
    expect({ ...DEFAULT_CONFIG, ...others }).toEqual(DEFAULT_CONFIG)
    const missing = leaves.filter(([path]) => path !== "data_dir" && valueAt(path) === undefined)
    expect(missing).toEqual([])
  })

  test("tells of each number its default and its bounds", () => {
    const rows = [...page.matchAll(/^\| `([\w.]+)` \| (\d+) \| (\d+) \| (\d+) \|/gm)]
    const told = rows.map(([, path, ...numbers]) => [path, ...numbers.map(Number)])
    const numbers = leaves.filter(([, { type }]) => type === "integer")
    expect(told).toEqual(numbers.map(([path, { minimum, maximum }]) => [path, valueAt(path), minimum, maximum]))
  })
})
