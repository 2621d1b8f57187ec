// How a command line ended, held against what was promised of it.
import { expect } from "vitest"
import type { Result } from "./fake-runtime.ts"

/** It succeeded; gives what it printed. */
export async function expectOk(running: Promise<Result>): Promise<string> {
  const { code, stdout, stderr } = await running
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" })
  return stdout
}

/** It failed with this code, said these things on stderr, and showed nobody a stack. */
export async function expectFailure(running: Promise<Result>, code: number, ...parts: string[]): Promise<Result> {
  const result = await running
  expect({ code: result.code, stderr: result.stderr }).toEqual({ code, stderr: result.stderr })
  for (const part of parts) expect(result.stderr).toContain(part)
  expect(result.stderr).not.toMatch(/^ {4}at /m)
  return result
}
