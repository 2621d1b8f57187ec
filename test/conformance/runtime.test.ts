import { expect, inject, test } from "vitest"
import { platformName } from "../support/platform.ts"

test("the suite runs on the runtime that it was started for", () => {
  expect(platformName()).toBe(inject("expectedRuntime") ?? platformName())
})

test("the runtime is one that Prism supports", () => {
  expect(platformName()).toMatch(/^(Node (20\.(19|[2-9]\d)|2[2-9]|[3-9]\d)|Deno 2|Bun 1)\./)
})
