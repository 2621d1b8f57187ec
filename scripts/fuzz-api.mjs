// A long run of test/api-fuzz.test.ts: npm run fuzz:api -- --runs 20000 --seed 7. Without a seed it takes a new one, and says
// it: a failure comes back with the same.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"
import { parseArgs } from "node:util"

const { values } = parseArgs({ options: { runs: { type: "string", default: "20000" }, seed: { type: "string" } } })
const seed = values.seed ?? String(Date.now() % 2 ** 31)
console.log(`seed ${seed}, ${values.runs} requests`)
const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url))
const { status } = spawnSync(process.execPath, [vitest, "run", "test/api-fuzz.test.ts"], {
  cwd: fileURLToPath(new URL("../", import.meta.url)),
  env: { ...process.env, PRISM_FUZZ_RUNS: values.runs, PRISM_FUZZ_SEED: seed },
  stdio: "inherit",
})
process.exitCode = status ?? 1
