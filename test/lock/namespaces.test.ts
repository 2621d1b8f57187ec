// Two processes that see neither each other's ids nor each other's network, on one folder: as two containers on a volume.
import { type ChildProcessWithoutNullStreams, spawn, spawnSync } from "node:child_process"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { temporaryFolder } from "../support/runtime.ts"

const HEARTBEAT_MS = Number(process.env["PRISM_HEARTBEAT_MS"] ?? 200)
const NAMESPACES = ["--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
const isPossible = spawnSync("unshare", [...NAMESPACES, "true"]).status === 0
if (!isPossible) console.warn("skipped: two namespaces need root and unshare(1), which this machine does not give")

class Owner implements AsyncDisposable {
  readonly events: { readonly words: string[]; readonly atMs: number }[] = []
  readonly #process: ChildProcessWithoutNullStreams
  readonly #closed: Promise<unknown>
  #heard = () => {}
  #rest = ""
  #stderr = ""

  constructor(folder: string) {
    const script = fileURLToPath(new URL("owner.mjs", import.meta.url))
    this.#process = spawn("unshare", [...NAMESPACES, process.execPath, script, folder, `${HEARTBEAT_MS}`])
    this.#process.stderr.on("data", (bytes: Uint8Array) => {
      this.#stderr += new TextDecoder().decode(bytes)
    })
    this.#process.stdout.on("data", (bytes: Uint8Array) => {
      const lines = (this.#rest + new TextDecoder().decode(bytes)).split("\n")
      this.#rest = lines.pop() ?? ""
      for (const line of lines) this.events.push({ words: line.split(" "), atMs: performance.now() })
      this.#heard()
    })
    this.#closed = once(this.#process, "close")
  }

  /** The next event of this kind after `from` events. */
  async next(kind: string, from = this.events.length): Promise<{ words: string[]; atMs: number }> {
    for (;;) {
      const found = this.events.slice(from).find(({ words }) => words[0] === kind)
      if (found) return found
      const heard = new Promise<void>((resolve) => {
        this.#heard = resolve
      })
      const ended = await Promise.race([heard, this.#closed.then(() => true)])
      if (ended) throw new Error(`the owner ended: ${this.#stderr}`)
    }
  }

  /** The process inside, by its id out here. */
  signal(signal: "SIGSTOP" | "SIGCONT" | "SIGKILL"): void {
    const { pid } = this.#process
    const [inner] = readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8").split(" ")
    process.kill(Number(inner), signal)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#process.kill("SIGKILL")
    await this.#closed
  }
}

const isDefault = HEARTBEAT_MS === 200

test.skipIf(!isPossible)(
  "two namespaces: never two writers, takeover after a kill, nothing acknowledged after a sleep",
  { timeout: isDefault ? 60_000 : 600_000 },
  async () => {
    await using folder = await temporaryFolder()
    const owners: Owner[] = []
    const start = async (): Promise<Owner> => {
      const owner = new Owner(folder.path)
      owners.push(owner)
      return owner
    }
    const report: string[] = []
    await using first = await start()
    await first.next("acknowledged", 0)

    // A live owner is LOCKED at once, also while several of its heartbeats pass.
    await using second = await start()
    const refused = await second.next("locked", 0)
    while ((await second.next("locked")).atMs - refused.atMs < 4 * HEARTBEAT_MS);
    expect(second.events.filter(({ words }) => words[0] !== "locked")).toEqual([])
    report.push(`live owner: ${second.events.length} times LOCKED in ${seconds(4 * HEARTBEAT_MS)}`)

    // A kill: the other one takes over.
    const killedMs = performance.now()
    first.signal("SIGKILL")
    const { atMs: tookOverMs } = await second.next("acquired", 0)
    report.push(`killed owner: taken over after ${seconds(tookOverMs - killedMs)}`)
    await second.next("acknowledged")

    // A sleep: the other one takes over, and the sleeper hears of it before it acknowledges anything.
    await using third = await start()
    await third.next("locked", 0)
    const sleptMs = performance.now()
    second.signal("SIGSTOP")
    const { atMs: againMs } = await third.next("acquired", 0)
    report.push(`stopped owner: taken over after ${seconds(againMs - sleptMs)}`)
    await third.next("acknowledged")
    const before = second.events.length
    second.signal("SIGCONT")
    const { words } = await second.next("lost", before)
    expect(words[2]).toBe("LOCK_LOST")
    await second.next("locked", before)
    const woken = second.events.slice(
      before,
      second.events.findIndex((event) => event.words === words),
    )
    // One that was acknowledged before the sleep may have been on its way.
    expect(woken.filter((event) => event.words[0] === "acknowledged").length).toBeLessThanOrEqual(1)
    await third.next("acknowledged")

    // Whatever anybody acknowledged was there for every later owner.
    const acknowledged = new Map<number, number>()
    const events = owners.flatMap((owner) => owner.events.map((event) => event.words))
    for (const [kind, tenure, entry] of events) {
      if (kind === "acknowledged")
        acknowledged.set(Number(tenure), Math.max(acknowledged.get(Number(tenure)) ?? 0, Number(entry)))
    }
    const tenures = events.filter(([kind]) => kind === "acquired")
    expect(tenures.map(([, tenure]) => Number(tenure)).sort((a, b) => a - b)).toEqual([1, 2, 3])
    for (const [, tenure, logs] of tenures) {
      const seen = JSON.parse(logs!) as Record<string, number>
      for (const [earlier, entries] of acknowledged) {
        if (earlier >= Number(tenure)) continue
        expect(seen[`log-${String(earlier).padStart(6, "0")}`]).toBeGreaterThanOrEqual(entries)
      }
    }
    report.push(
      `${[...acknowledged.values()].reduce((sum, count) => sum + count, 0)} entries acknowledged in 3 tenures, each seen by every later owner`,
    )
    if (!isDefault)
      console.log(`heartbeat ${seconds(HEARTBEAT_MS)}, no two writers\n${report.map((line) => `  ${line}`).join("\n")}`)
  },
)

function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`
}
