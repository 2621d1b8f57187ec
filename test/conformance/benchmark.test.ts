// `prism benchmark`: what it counts, and what it takes for a query.
import fc from "fast-check"
import { describe, expect, test } from "vitest"
import { percentile } from "../../src/cli/benchmark-command.ts"
import { expectFailure, expectOk } from "../support/command-line.ts"
import { FakeRuntime } from "../support/fake-runtime.ts"
import { serveApi } from "../support/http-server.ts"
import { LastingStorage } from "../support/lasting-storage.ts"

const SCHEMA = '{"backends":{"text":{"fields":[{"name":"title","type":"text"}]}}}'

async function machine(): Promise<FakeRuntime> {
  const runtime = new FakeRuntime()
  runtime.write("schema.json", SCHEMA)
  await expectOk(runtime.run("collection", "create", "products", "--schema", "schema.json"))
  runtime.write("queries", 'one\n\n{"query":"two","limit":3}\ntitle:three\n')
  return runtime
}

const line = (text: string) => ["benchmark", "-c", "products", ...text.split(" ")]

describe("benchmark", () => {
  test("searches each query as often as it is told, and tells percentiles", async () => {
    const runtime = await machine()
    const text = await expectOk(runtime.run(...line("--queries queries -r 7")))
    expect(text).toMatch(/^Searches +21 \(3 queries\)\np50 +0\.00 ms\np95 /)
    const figures = JSON.parse(
      await expectOk(runtime.run(...line("--queries queries --json -r 5 -w 0 -k 2"))),
    ) as object
    expect(figures).toMatchObject({ collection: "products", queries: 3, searches: 15, p50_ms: 0, p99_ms: 0 })
    runtime.input = ["one\n"]
    expect(JSON.parse(await expectOk(runtime.run(...line("--queries - --json"))))).toMatchObject({ searches: 10 })
  })

  test("through a server it sends so many searches, and no more", async () => {
    await using server = await serveApi({ storage: new LastingStorage() })
    await server.api.service.prism.createCollection("products", SCHEMA)
    const runtime = await machine()
    await expectOk(runtime.run(...line(`--queries queries -r 4 -w 5 --api-url ${server.url}`)))
    expect(server.requests.filter((request) => request === "POST /collections/products/search")).toHaveLength(17)
  })

  test("a query that is wrong is told with its line", async () => {
    const runtime = await machine()
    runtime.write("bad", "fine\ntitle:(\n")
    await expectFailure(runtime.run(...line("--queries bad")), 2, "bad, line 2")
    runtime.write("bad", '{"query":\n')
    await expectFailure(runtime.run(...line("--queries bad")), 2, "bad, line 1")
    runtime.write("bad", "\n\n")
    await expectFailure(runtime.run(...line("--queries bad")), 2, "bad holds no queries")
  })

  test("a percentile is the smallest value that so many percent do not exceed", () => {
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 50 }), { minLength: 1, maxLength: 300 }),
        fc.integer({ min: 1, max: 100 }),
        (values, percent) => {
          const found = percentile(Float64Array.from(values).sort(), percent)
          const share = (limit: number) => values.filter((value) => value <= limit).length / values.length
          expect(values).toContain(found)
          expect(share(found)).toBeGreaterThanOrEqual(percent / 100)
          expect(share(found - 1)).toBeLessThan(percent / 100)
        },
      ),
      { seed: 3 },
    )
  })
})
