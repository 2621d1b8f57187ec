// Random operations, faults and crashes against a Map: see simulation.ts. A short run here, always the same;
// `npm run test:simulation -- OPERATIONS SEED` does more.
import { expect, test } from "vitest"
import { CHANGING_OPERATIONS, READING_OPERATIONS } from "../support/faulty-storage.ts"
import { runtime } from "../support/runtime.ts"
import { simulate } from "./simulation.ts"

const LONG = Number(process.env["PRISM_SIMULATION_OPERATIONS"] ?? 0)
const SEED = Number(process.env["PRISM_SIMULATION_SEED"] ?? 1)

test.each([1, 2, 3, 4])(
  "what was acknowledged is there after every crash, and nothing else (seed %i)",
  async (seed) => {
    const report = await simulate({ seed, operations: 1500, runtime })
    expect(report.recoveries).toBeGreaterThan(5)
    expect(report.seals).toBeGreaterThan(20)
    expect(report.merges).toBeGreaterThan(20)
  },
)

/** A long run goes seed by seed: a failure is replayed from the beginning of its own. */
const OPERATIONS_A_SEED = 10_000

test.runIf(LONG > 0)(
  `${LONG} operations from seed ${SEED}`,
  async () => {
    const began = Date.now()
    const total: Record<string, unknown> = {}
    let seed = SEED
    for (let left = LONG; left > 0; left -= OPERATIONS_A_SEED, seed++) {
      addUp(total, await simulate({ seed, operations: Math.min(left, OPERATIONS_A_SEED), runtime }))
    }
    const seconds = Math.round((Date.now() - began) / 1000)
    console.log(JSON.stringify({ seeds: `${SEED} to ${seed - 1}`, seconds, ...total }, undefined, 2))
    for (const kind of [...CHANGING_OPERATIONS, ...READING_OPERATIONS]) {
      const hit = Object.keys(total["faults"] as object).some((fault) => fault.endsWith(` ${kind}`))
      expect(hit || LONG < 100_000, `a fault hit ${kind}`).toBe(true)
    }
  },
  10 * 3_600_000,
)

/** Adds the numbers of `more`, at any depth, to those of `total`. */
function addUp(total: Record<string, unknown>, more: object): void {
  for (const [key, value] of Object.entries(more)) {
    if (typeof value === "number") total[key] = ((total[key] as number | undefined) ?? 0) + value
    else addUp((total[key] ??= {}) as Record<string, unknown>, value as object)
  }
}
