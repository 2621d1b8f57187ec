// The simulation notices when a rule is broken: each of these storages breaks one, and some seed finds it. The same seed
// without it passes, so that it is the broken rule that was found.
import { expect, test } from "vitest"
import type { Operation } from "../support/faulty-storage.ts"
import { runtime } from "../support/runtime.ts"
import { MUTANTS } from "./mutants.ts"
import { SimulationFailure, simulate } from "./simulation.ts"

const SEEDS_MAX = 20
const OPERATIONS = 800

const CASES: {
  readonly name: keyof typeof MUTANTS
  /** Faults that lead there soonest; all kinds where missing. */
  readonly faulty?: readonly Operation["kind"][]
  /** What is found: files that a manifest or a log promises, and that are not there, or not whole. */
  readonly says: RegExp
}[] = [
  { name: "no sync", says: /is damaged|is missing|bytes long|may hold/ },
  { name: "rename before sync", faulty: ["sync", "rename", "syncDirectory"], says: /is damaged|bytes long/ },
  { name: "unpinned delete", faulty: ["list"], says: /is missing|is not there/ },
  { name: "a retried sync", faulty: ["sync"], says: /is damaged|bytes long|may hold/ },
]

test.each(CASES)("$name is caught", async ({ name, faulty, says }) => {
  const options = { operations: OPERATIONS, runtime, ...(faulty ? { faulty } : {}) }
  for (let seed = 1; seed <= SEEDS_MAX; seed++) {
    const found = await simulate({ ...options, seed, between: MUTANTS[name] }).catch((error: unknown) => error)
    if (!(found instanceof Error)) continue
    expect(found).toBeInstanceOf(SimulationFailure)
    const [message] = found.message.split("\n")
    expect(found.message).toMatch(says)
    if (process.env["PRISM_SIMULATION_OPERATIONS"]) console.log(`${name}, seed ${seed}: ${message}`)
    await simulate({ ...options, seed })
    return
  }
  expect.unreachable(`${name} went unnoticed in ${SEEDS_MAX} seeds`)
})
