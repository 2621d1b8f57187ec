// Acknowledged is durable, and half a document is never seen: against processes that are killed while they import, and
// against machines that stop and forget what was not synced. A few rounds here; `npm run test:kill -- 200` does more.

import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import { Prism } from "../../src/collection/prism.ts"
import { FaultyStorage } from "../support/faulty-storage.ts"
import { Child } from "../support/process.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"
import { Ledger, randomBelow, write } from "./workload.mjs"

const KILLS = Number(process.env["PRISM_KILLS"] ?? 4)
const CRASHES = Number(process.env["PRISM_CRASHES"] ?? 16)
const SEED = Number(process.env["PRISM_KILL_SEED"] ?? 1)
/** As many rounds go on in the same folder before a fresh one begins. */
const ROUNDS_A_FOLDER = 8
const CHILD = fileURLToPath(new URL("import-child.mjs", import.meta.url))

interface Line {
  started?: number
  begin?: number
  writes?: [string, number][]
  acknowledge?: number
}

/** Imports in another process until a random moment, then kills it. What it said goes into the ledger. */
async function importAndKill(folder: string, seed: number, ledger: Ledger): Promise<void> {
  const below = randomBelow(seed)
  // Every sixth dies while it starts, the others after some calls; a few milliseconds more make it any moment.
  const linesBefore = below(6) === 0 ? 1 : 1 + below(120)
  const delayMs = below(12)
  await using child = new Child(CHILD, [runtime.name, folder, `${seed}`, `${ledger.nextVersion}`])
  let text = ""
  let lineCount = 0
  const decoder = new TextDecoder()
  for await (const chunk of child.stdout) {
    text += decoder.decode(chunk, { stream: true })
    const lines = text.split("\n")
    // The last one may be half: then what it tells of had not begun, or nobody had heard that it was done.
    text = lines.pop() ?? ""
    for (const line of lines) {
      const { begin, writes, acknowledge } = JSON.parse(line) as Line
      if (begin !== undefined) ledger.begin(begin, writes ?? [])
      if (acknowledge !== undefined) ledger.acknowledge(acknowledge)
      if (++lineCount === linesBefore) setTimeout(() => child.kill("SIGKILL"), delayMs)
    }
  }
  const { signal, stderr } = await child.ended()
  expect({ signal, stderr }).toEqual({ signal: "SIGKILL", stderr: "" })
}

test(`${KILLS} times kill -9 during an import: what was acknowledged is there, every document whole`, async () => {
  const totals = { kills: 0, acknowledgedWrites: 0, documentsChecked: 0 }
  for (let kill = 0; kill < KILLS; ) {
    await using folder = await temporaryFolder()
    const ledger = new Ledger()
    for (let round = 0; round < ROUNDS_A_FOLDER && kill < KILLS; round++, kill++) {
      const seed = SEED * 100_003 + kill
      await importAndKill(folder.path, seed, ledger)
      const prism = await Prism.openStorage(await runtime.openStorage(folder.path, { create: true }), runtime)
      try {
        await ledger.check(prism)
      } catch (error) {
        throw new Error(`after kill ${kill}, seed ${seed}`, { cause: error })
      } finally {
        await prism.close()
      }
      totals.kills++
    }
    totals.acknowledgedWrites += ledger.acknowledgedWrites
    totals.documentsChecked += ledger.documentsChecked
  }
  if (process.env["PRISM_KILLS"]) console.log(JSON.stringify(totals))
  expect(totals.kills).toBe(KILLS)
}, 3_600_000)

test(`${CRASHES} crashes that lose what was not synced: what was acknowledged is there, every document whole`, async () => {
  const totals = { crashes: 0, acknowledgedWrites: 0, documentsChecked: 0 }
  for (let crash = 0; crash < CRASHES; ) {
    let left = new FaultyStorage()
    const ledger = new Ledger()
    for (let round = 0; round < ROUNDS_A_FOLDER && crash < CRASHES; round++, crash++) {
      const seed = SEED * 100_019 + crash
      const below = randomBelow(seed)
      const disk = await FaultyStorage.from(left)
      disk.failAt(below(below(4) === 0 ? 30 : 150), { kind: "stop" })
      try {
        await write(await Prism.openStorage(disk, runtime), seed, ledger.nextVersion, ledger)
      } catch (error) {
        if (!(error instanceof PrismError)) throw error
        expect(["IO_ERROR", "READ_ONLY"]).toContain(error.code)
      }
      // Of the writes that were not synced nothing is left, or any part.
      left = await disk.crash(below(3) === 0 ? undefined : seed)
      const restarted = await FaultyStorage.from(left)
      const prism = await Prism.openStorage(restarted, runtime)
      try {
        await ledger.check(prism)
      } catch (error) {
        throw new Error(`after crash ${crash}, seed ${seed}`, { cause: error })
      }
      // What was seen after a restart is durable too, whether or not the next stop is orderly.
      if (below(2) === 0) await prism.close()
      left = await restarted.crash()
      totals.crashes++
    }
    totals.acknowledgedWrites += ledger.acknowledgedWrites
    totals.documentsChecked += ledger.documentsChecked
  }
  if (process.env["PRISM_CRASHES"]) console.log(JSON.stringify(totals))
  expect(totals.crashes).toBe(CRASHES)
}, 3_600_000)
