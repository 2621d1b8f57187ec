import { stringifyJson } from "../../base/json.ts"
import { madeOnce } from "../../base/made-once.ts"
import { VERSION } from "../../base/version.ts"
import { JSON_TYPE, textAnswer } from "../answers.ts"
import { OPERATIONS } from "../contract.ts"
import { docsPage, docsPolicy } from "../docs/page.ts"
import { draining } from "../drain.ts"
import { openApiDocument } from "../openapi.ts"
import { serverFigures } from "../server-figures.ts"
import type { Handlers } from "../service.ts"

// Each takes tens of milliseconds, in which nothing else is answered: none is made twice.
const openApiText = madeOnce(() => stringifyJson(openApiDocument()))
const pageWithKey = madeOnce(() => docsPage(true))
const pageWithoutKey = madeOnce(() => docsPage(false))
const policy = madeOnce(docsPolicy)

/** The server itself. */
export const serverHandlers: Handlers<"health" | "ready" | "metrics" | "serverStats" | "openapi" | "docs"> = {
  health: async (_, { prism, uptime }) => ({
    status: "ok",
    version: VERSION,
    collections: (await prism.collectionNames()).length,
    uptime_secs: uptime(),
  }),

  metrics: async (_, service) =>
    textAnswer(service.metrics.render(await serverFigures(service)), OPERATIONS.metrics.answer.mediaType),
  ready: async (_, { drain }) => {
    if (drain.isDraining) throw draining()
    return { status: "ready" }
  },

  serverStats: async (_, { prism, runtime, uptime, metrics, jobs }) => ({
    version: VERSION,
    runtime: { name: runtime.name, version: runtime.version },
    uptime_secs: uptime(),
    collections: (await prism.collectionNames()).length,
    requests_total: metrics.requests,
    requests_in_flight: metrics.inFlight,
    errors_total: metrics.errors,
    jobs_running: jobs.running,
    memory_peak_bytes: runtime.terminal?.peakMemoryBytes() ?? null,
  }),

  openapi: async () => textAnswer(openApiText(), JSON_TYPE),

  docs: async (_, { config }) =>
    textAnswer(config.apiKeys.length > 0 ? pageWithKey() : pageWithoutKey(), OPERATIONS.docs.answer.mediaType, 200, {
      "content-security-policy": await policy(),
      "referrer-policy": "no-referrer",
    }),
}
