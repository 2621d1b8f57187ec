// Random operations, faults and crashes against a Map: see simulation.ts. A short run here, always the same;
// `npm run test:simulation -- OPERATIONS SEED` does more.
import { expect, test } from "vitest"
import { runtime } from "../support/runtime.ts"
import { simulate } from "./simulation.ts"

const LONG = Number(process.env["PRISM_SIMULATION_OPERATIONS"] ?? 0)
const SEED = Number(process.env["PRISM_SIMULATION_SEED"] ?? 1)

test.each([1, 2, 3, 4])(
  "what was acknowledged is there after every crash, and nothing else (seed %i)",
  async (seed) => {
    const report = await simulate({ seed, operations: 3000, runtime })
    expect(report.recoveries).toBeGreaterThan(10)
  },
)

test.runIf(LONG > 0)(
  `the same, ${LONG} operations from seed ${SEED}`,
  async () => {
    const began = Date.now()
    const report = await simulate({ seed: SEED, operations: LONG, runtime })
    console.log(JSON.stringify({ seed: SEED, ...report, seconds: (Date.now() - began) / 1000 }, undefined, 2))
  },
  3_600_000,
)
