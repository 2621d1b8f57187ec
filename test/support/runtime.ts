// The runtime that the tests run on, and temporary folders through it. The only place where conformance tests may meet
// a platform.
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import type { Runtime } from "../../src/runtime.ts"

const platform = globalThis as { Deno?: unknown; Bun?: unknown }

export const runtime: Runtime =
  platform.Deno !== undefined
    ? (await import("../../src/runtime-deno/runtime.ts")).runtime
    : platform.Bun !== undefined
      ? (await import("../../src/runtime-bun/runtime.ts")).runtime
      : (await import("../../src/runtime-node/runtime.ts")).runtime

/** A new folder that is removed, with all in it, when disposed of. */
export async function temporaryFolder(): Promise<{ path: string } & AsyncDisposable> {
  const path = await mkdtemp(join(tmpdir(), "prism-test-"))
  return {
    path,
    [Symbol.asyncDispose]: () => rm(path, { recursive: true, force: true }),
  }
}

/** Path of a name in a folder of the system. */
export function systemPath(...parts: string[]): string {
  return join(...parts)
}
