// Two processes in two network and pid namespaces on one folder, with the heartbeat of every day: npm run test:lock
// Takes minutes. The same with a short heartbeat is a part of npm test.
import { spawnSync } from "node:child_process"
import { fileURLToPath } from "node:url"

const vitest = fileURLToPath(new URL("../node_modules/vitest/vitest.mjs", import.meta.url))
const { status } = spawnSync(process.execPath, [vitest, "run", "test/lock", "--reporter=verbose"], {
  stdio: "inherit",
  env: { ...process.env, PRISM_HEARTBEAT_MS: "10000" },
})
process.exitCode = status ?? 1
