// Kills processes that import, export, restore and change keys, and stops machines, many times: npm run test:kill -- [TIMES]
// [SEED]. TIMES is for each of them.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const [times = "200", seed = "1"] = process.argv.slice(2)
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url))
const { status } = spawnSync(process.execPath, [vitest, "run", "test/kill", "--reporter=verbose"], {
  stdio: "inherit",
  env: { ...process.env, PRISM_KILLS: times, PRISM_CRASHES: times, PRISM_KILL_SEED: seed },
})
process.exitCode = status ?? 1
