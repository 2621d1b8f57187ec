import { defineConfig } from "vitest/config"

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    allowOnly: false,
    // Slow machines only: no test waits for a clock.
    testTimeout: 60_000,
    hookTimeout: 60_000,
  },
})
