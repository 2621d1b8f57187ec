import { parse as parseToml } from "smol-toml"
import { expect, test } from "vitest"
import { Authenticator } from "../../src/api/authenticator.ts"
import { readServerConfig } from "../../src/api/config.ts"
import { expectFailure, expectOk } from "../support/command-line.ts"
import { FakeRuntime } from "../support/fake-runtime.ts"

const generate = (...args: string[]) => new FakeRuntime().run("api-key", "generate", ...args)

test("what it prints for prism.toml lets the key in, with its name and roles", async () => {
  const name = 'the "dash\\board"'
  const printed = await expectOk(generate("--name", name, "--role", "read,write:logs-*", "--role=delete:old"))
  const [key = "", , ...lines] = printed.split("\n")
  expect(key).toMatch(/^prism_[\w-]{43}$/)
  expect(lines.join("\n")).not.toContain(key)
  const file = { path: "prism.toml", values: parseToml(lines.join("\n")) }
  const { apiKeys } = readServerConfig({}, () => undefined, file)
  const authenticator = new Authenticator(apiKeys, undefined, () => new FakeRuntime().createSha256())
  const request = new Request("http://localhost/", { headers: { "x-api-key": key } })
  const caller = authenticator.identify(request, undefined)
  expect(caller.name).toBe(name)
  const may = (["read", "write", "delete", "admin"] as const).map((permission) => [
    caller.may(permission, "logs-a"),
    caller.may(permission, "old"),
    caller.may(permission, "new"),
  ])
  expect(may).toEqual([
    [true, false, false],
    [true, false, false],
    [false, true, false],
    [false, false, false],
  ])
})

test("another key each time, and as JSON", async () => {
  const run = async () =>
    JSON.parse(await expectOk(generate("--name", "a", "--role", "admin:*", "--json"))) as { key: string }
  const first = await run()
  expect(first).toEqual({
    key: expect.stringMatching(/^prism_/),
    entry: {
      name: "a",
      hash: expect.stringMatching(/^[0-9a-f]{64}$/),
      roles: [{ permissions: ["admin"], collections: "*" }],
    },
  })
  expect((await run()).key).not.toBe(first.key)
})

test("mistakes are told, and no key is made", async () => {
  const wrong = async (message: string, ...args: string[]) => {
    expect((await expectFailure(generate(...args), 2, message, "Hint: ")).stdout).toBe("")
  }
  await wrong("--name", "--role", "admin:*")
  await wrong("--role", "--name", "a")
  await wrong('"admin" is not a role', "--name", "a", "--role", "admin")
  await wrong('"read:a:b" is not a role', "--name", "a", "--role", "read:a:b")
  await wrong("--role", "--name", "a", "--role", "reed:*")
  await wrong("logs-*", "--name", "a", "--role", "read:logs/*")
  await wrong("--name", "--name", "", "--role", "read:*")
})
