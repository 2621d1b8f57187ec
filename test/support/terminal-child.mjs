// A process that uses its terminal as it is told: terminal-child.mjs RUNTIME ACTION …
import process from "node:process"

const [name, action = "", ...rest] = process.argv.slice(2)
const { runtime } = await import(`../../dist/runtime-${name}/runtime.js`)
const { exit } = await import(`../../dist/runtime-${name}/terminal.js`)
const { terminal } = runtime

/** @param {unknown} error */
const codeOf = (error) => /** @type {{ code: string }} */ (error).code

/** @type {Record<string, () => Promise<number>>} */
const actions = {
  /** Writes N lines of 4096 bytes. */
  async flood() {
    for (let line = 0; line < Number(rest[0]); line++) await terminal.stdout(`${`${line}`.padEnd(4095, ".")}\n`)
    return 7
  },
  /** Writes until nobody reads any more. */
  async "flood-for-ever"() {
    try {
      for (;;) await terminal.stdout(new Uint8Array(65_536))
    } catch (error) {
      terminal.stderr(`${codeOf(error)}\n`)
      return 9
    }
  },
  async echo() {
    for await (const chunk of terminal.stdin) await terminal.stdout(chunk)
    return 0
  },
  /** Reads one chunk, then ends although there may be more. */
  async "read-once"() {
    const reader = terminal.stdin.getReader()
    const { value } = await reader.read()
    await terminal.stdout(value)
    void reader.read()
    return 3
  },
  async facts() {
    const { stdinIsTerminal, stdoutIsTerminal, stderrIsTerminal, columns } = terminal
    const facts = { stdinIsTerminal, stdoutIsTerminal, stderrIsTerminal, columns }
    const home = terminal.env("PRISM_NO_SUCH_VARIABLE") ?? null
    await terminal.stdout(JSON.stringify({ ...facts, home, peakMemoryBytes: terminal.peakMemoryBytes() }))
    return 0
  },
  /** Hears of the first signal; the second ends it as signals do. */
  async interrupt() {
    // Waiting for a signal alone keeps no process alive.
    setInterval(() => {}, 60_000)
    await new Promise((resolve) => {
      const stop = terminal.onInterrupt(() => {
        stop()
        resolve(undefined)
      })
      void terminal.stdout("ready\n")
    })
    await terminal.stdout("interrupted\n")
    return await new Promise(() => {})
  },
  /** Takes the lock of a folder and holds it until standard input ends. */
  async lock() {
    const storage = await runtime.openStorage(rest[0] ?? "", { create: false })
    try {
      await storage.lock()
      await terminal.stdout("locked\n")
    } catch (error) {
      await terminal.stdout(`${codeOf(error)} ${/** @type {Error} */ (error).message}\n`)
    }
    for await (const _ of terminal.stdin);
    await storage.close()
    return 0
  },
}

await exit((await actions[action ?? ""]?.()) ?? 2)
