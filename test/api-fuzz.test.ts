// A short run of requests that nobody would send; `npm run fuzz:api` makes a long one.
import { expect, test } from "vitest"
import { fuzz, fuzzApi } from "./support/api-fuzz.ts"

/** Set by scripts/fuzz-api.mjs. */
const RUNS = Number(process.env["PRISM_FUZZ_RUNS"] ?? 1500)
const SEED = Number(process.env["PRISM_FUZZ_SEED"] ?? 6)

test("no request gets a 500, no answer, or another answer than the document declares", {
  timeout: 3_600_000,
}, async () => {
  await using api = await fuzzApi()
  const report = await fuzz(api, SEED, RUNS)
  expect(report.requests).toBeGreaterThanOrEqual(RUNS)
  if (process.env["PRISM_FUZZ_RUNS"]) console.log(report)
  // It reaches behind the checks of requests, and each operation with something.
  const answered = Object.values(report.byOperation).filter((counts) =>
    Object.keys(counts).some((status) => status < "300"),
  )
  expect(answered.length).toBeGreaterThan(12)
})
