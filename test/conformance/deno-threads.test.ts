import { expect, test } from "vitest"
import { startDenoProgram } from "../support/process.ts"
import { runtime } from "../support/runtime.ts"

const isDeno = runtime.name === "deno"

/** What the program prints, once it has ended by itself. */
async function outcome(...permissions: string[]) {
  await using program = startDenoProgram("deno-threads.ts", permissions)
  const line = program.line()
  expect(await program.ended()).toEqual({ code: 0, signal: null, stderr: "" })
  return JSON.parse(await line)
}

test.skipIf(!isDeno)("Deno's codec works on threads that end, and at once where there is little to do", async () => {
  const { small, large } = await outcome("-A")
  expect(small).toEqual({ isWell: true, threads: 0 })
  expect(large.isWell).toBe(true)
  expect(large.threads).toBeGreaterThan(0)
  expect(large.threads).toBeLessThanOrEqual(4)
})

test.skipIf(!isDeno)("Deno's codec works on the calling thread where it may not load another", async () => {
  const { small, large } = await outcome("--allow-net", "--allow-env")
  expect(small).toEqual({ isWell: true, threads: 0 })
  expect(large).toEqual({ isWell: true, threads: 0 })
})
