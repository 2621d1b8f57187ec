import { expect, test } from "vitest"
import { Prism } from "../../src/collection/prism.ts"
import { startScript } from "../support/process.ts"
import { refusalCode } from "../support/refusal.ts"
import { runtime, system, temporaryFolder } from "../support/runtime.ts"

const ADDRESS = '{"url":"http://127.0.0.1:3080","token":"0123456789abcdef"}'

test("what the holder of a folder announces is read without its lock, until it closes", async () => {
  await using folder = await temporaryFolder()
  const data = system.path(folder.path, "data")
  const read = () => runtime.readAnnouncement(data)
  expect(await read()).toBe(undefined)
  const prism = await Prism.openStorage(await runtime.openStorage(data, { create: true }), runtime)
  expect(await read()).toBe(undefined)
  for (const text of [ADDRESS, "", "ä\n".repeat(300), "short"]) {
    await prism.announce(text)
    expect(await read()).toBe(text)
  }
  expect(await refusalCode(prism.announce("x".repeat(2048)))).toBe("LIMIT_EXCEEDED")
  expect(await read()).toBe("short")
  await prism.announce(ADDRESS)
  const lock = system.path(data, "LOCK")
  expect(await system.read(lock)).toContain("0123456789abcdef")
  expect(await system.read(lock)).not.toContain("short")
  expect(await system.mode(lock)).toBe(0o600)
  // It is a lock still.
  expect(await refusalCode(Prism.openStorage(await runtime.openStorage(data, { create: false }), runtime))).toBe(
    "LOCKED",
  )
  await using reader = await Prism.openStorage(
    await runtime.openStorage(data, { create: false, readOnly: true }),
    runtime,
    {
      readOnly: true,
    },
  )
  expect(await refusalCode(reader.announce("not mine"))).toBe("READ_ONLY")
  await prism.close()
  expect(await read()).toBe(undefined)
  expect(await system.read(lock)).not.toContain("0123456789abcdef")
  await using next = await Prism.openStorage(await runtime.openStorage(data, { create: false }), runtime)
  expect(await read()).toBe(undefined)
  await next.announce("the next")
  expect(await read()).toBe("the next")
})

test("what another process announced is gone with it", async () => {
  await using folder = await temporaryFolder()
  for (const end of ["SIGKILL", "close"] as const) {
    await using child = startScript("announcing-child.mjs", folder.path, ADDRESS)
    expect(await child.line()).toBe("announced")
    expect(await runtime.readAnnouncement(folder.path)).toBe(ADDRESS)
    if (end === "close") child.endInput()
    else child.kill(end)
    await child.ended()
    expect(await runtime.readAnnouncement(folder.path), end).toBe(undefined)
    await using storage = await runtime.openStorage(folder.path, { create: false })
    await using _ = await storage.lock()
    expect(await runtime.readAnnouncement(folder.path), end).toBe(undefined)
  }
})

test("a file that is no lock of ours announces nothing", async () => {
  await using folder = await temporaryFolder()
  for (const text of ["", "\n", "{}\n", ADDRESS, "x".repeat(10_000)]) {
    await system.write(system.path(folder.path, "LOCK"), text)
    expect(await runtime.readAnnouncement(folder.path)).toBe(undefined)
  }
})
