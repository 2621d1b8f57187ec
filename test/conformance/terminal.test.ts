import { expect, test } from "vitest"
import { startScript } from "../support/process.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"

test("a slow reader gets every byte before the process ends", async () => {
  await using child = startScript("terminal-child.mjs", "flood", "1000")
  let text = ""
  const decoder = new TextDecoder()
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true })
    // Slower than the child: pipes are full meanwhile.
    await new Promise((resolve) => setTimeout(resolve, 0))
  }
  expect((await child.ended()).code).toBe(7)
  const lines = text.split("\n")
  expect(lines).toHaveLength(1001)
  expect(lines.findIndex((line, place) => place < 1000 && Number.parseInt(line, 10) !== place)).toBe(-1)
})

test("a reader that has gone is INTERRUPTED, and no crash", async () => {
  await using child = startScript("terminal-child.mjs", "flood-for-ever")
  for await (const _ of child.stdout) break
  expect(await child.ended()).toEqual({ code: 9, signal: null, stderr: "INTERRUPTED\n" })
})

test("standard input streams through", async () => {
  await using child = startScript("terminal-child.mjs", "echo")
  const sent = "naïve 日本 🦉\n".repeat(50_000)
  child.write(sent)
  child.endInput()
  let received = ""
  const decoder = new TextDecoder()
  for await (const chunk of child.stdout) received += decoder.decode(chunk, { stream: true })
  expect(received === sent).toBe(true)
  expect((await child.ended()).code).toBe(0)
})

test("a process ends with its code although its input goes on", async () => {
  await using child = startScript("terminal-child.mjs", "read-once")
  child.write("first\n")
  expect(await child.line()).toBe("first")
  expect(await child.ended()).toEqual({ code: 3, signal: null, stderr: "" })
})

test("pipes are no terminals", async () => {
  await using child = startScript("terminal-child.mjs", "facts")
  let text = ""
  for await (const chunk of child.stdout) text += new TextDecoder().decode(chunk)
  const { peakMemoryBytes, ...facts } = JSON.parse(text)
  expect(facts).toEqual({
    stdinIsTerminal: false,
    stdoutIsTerminal: false,
    stderrIsTerminal: false,
    columns: 80,
    home: null,
  })
  expect(peakMemoryBytes).toBeGreaterThan(8 * 2 ** 20)
  expect(peakMemoryBytes).toBeLessThan(4 * 2 ** 30)
})

test.each(["SIGINT", "SIGTERM"] as const)("%s is heard once, then it ends the process", async (signal) => {
  await using child = startScript("terminal-child.mjs", "interrupt")
  expect(await child.line()).toBe("ready")
  child.kill(signal)
  expect(await child.line()).toBe("interrupted")
  child.kill(signal)
  expect((await child.ended()).signal).toBe(signal)
})

test("the lock of a live process is LOCKED with its id, that of a killed one is free", async () => {
  await using folder = await temporaryFolder()
  await using storage = await runtime.openStorage(folder.path, { create: false })
  await using holder = startScript("terminal-child.mjs", "lock", folder.path)
  expect(await holder.line()).toBe("locked")
  await expect(storage.lock()).rejects.toMatchObject({
    code: "LOCKED",
    message: `${folder.path} is in use by process ${holder.pid}`,
  })
  holder.kill("SIGKILL")
  await holder.ended()
  await (await storage.lock()).release()
})

test("of several processes that find a dead one's lock, one takes it over", async () => {
  await using folder = await temporaryFolder()
  {
    await using dying = startScript("terminal-child.mjs", "lock", folder.path)
    expect(await dying.line()).toBe("locked")
  }
  const children = Array.from({ length: 4 }, () => startScript("terminal-child.mjs", "lock", folder.path))
  try {
    const lines = await Promise.all(children.map((child) => child.line()))
    const winner = children[lines.indexOf("locked")]
    expect(lines.filter((line) => line === "locked")).toHaveLength(1)
    for (const line of lines) {
      if (line !== "locked") expect(line).toBe(`LOCKED ${folder.path} is in use by process ${winner?.pid}`)
    }
  } finally {
    for (const child of children) await child[Symbol.asyncDispose]()
  }
})
