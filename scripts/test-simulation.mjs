// Random operations, faults and crashes against a simple model: npm run test:simulation -- [OPERATIONS] [SEED]
// Prints what was covered. A failure prints its seed and the last operations; the same numbers run it again.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const [operations = "1000000", seed = "1"] = process.argv.slice(2)
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url))
const { status } = spawnSync(process.execPath, [vitest, "run", "test/simulation/simulation", "-t", "from seed"], {
  stdio: "inherit",
  env: { ...process.env, PRISM_SIMULATION_OPERATIONS: operations, PRISM_SIMULATION_SEED: seed },
})
process.exitCode = status ?? 1
