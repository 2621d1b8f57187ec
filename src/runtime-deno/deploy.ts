// The HTTP interface where Deno has the network and the environment alone: a deployment on Deno Deploy, whose entry point holds
// `export { default } from "prism/deploy"`, or `deno serve --allow-net --allow-env deploy.js`. Collections live in memory, as
// long as the process does: what is to last leaves and comes back as an archive (`GET` and `PUT
// /_admin/collections/NAME/archive`). PRISM_API_KEYS must be set; there is no prism.toml, so limits are the default ones.
import { createApp } from "../api/app.ts"
import { auditLines } from "../api/audit.ts"
import { systemClock } from "../api/clock.ts"
import { readServerConfig } from "../api/config.ts"
import { Drain } from "../api/drain.ts"
import { Jobs } from "../api/jobs.ts"
import { createLog } from "../api/log.ts"
import { Metrics } from "../api/metrics.ts"
import { Prism } from "../collection/prism.ts"
import { peerAt } from "../runtime-node/listening.ts"
import { MemoryStorage } from "../storage/memory-storage.ts"
import { deno } from "./deno.ts"
import { deployRuntime } from "./deploy-runtime.ts"

const writeLine = (line: string) => console.log(line)

// Everybody reaches it.
const config = readServerConfig({ host: "0.0.0.0" }, (name) => deno.env.get(name), undefined)
const storage = new MemoryStorage()
const { monotonicMs } = systemClock
const began = monotonicMs()

const app = createApp({
  prism: await Prism.openStorage(storage, deployRuntime),
  runtime: deployRuntime,
  drain: new Drain(),
  config,
  clock: systemClock,
  log: createLog(config.log, writeLine),
  jobs: await Jobs.open({ storage, concurrent: config.limits.concurrentJobs }),
  backupRoots: undefined,
  audit: auditLines(writeLine),
  metrics: new Metrics(),
  uptime: () => (monotonicMs() - began) / 1000,
})

export default {
  fetch: (request: Request, { remoteAddr }: { remoteAddr: { hostname?: string } }): Promise<Response> =>
    app.fetch(request, peerAt(remoteAddr.hostname)),
}
