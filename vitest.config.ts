import { defineConfig } from "vitest/config"

declare module "vitest" {
  interface ProvidedContext {
    /** The runtime that scripts/conformance.mjs means to test, such as "Deno 2.9.6"; undefined outside of it. */
    expectedRuntime: string | undefined
  }
}

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    allowOnly: false,
    // On Bun vitest does not find the names that zod exports where it is loaded by the runtime.
    server: { deps: { inline: ["zod"] } },
    // Generous, for slow machines: no test waits for a clock.
    testTimeout: 60_000,
    hookTimeout: 60_000,
    provide: { expectedRuntime: process.env["PRISM_TEST_RUNTIME"] },
  },
})
