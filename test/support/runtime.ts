// The runtime that the tests run on, and temporary folders through it. The only place where conformance tests may meet
// a platform.
import { mkdtemp, readdir, readFile, rename, rm, stat, symlink, writeFile } from "node:fs/promises"
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

/** The system's own view of files, to hold the runtime's against. */
export const system = {
  path: join,
  list: async (folder: string): Promise<string[]> => (await readdir(folder)).sort(),
  read: (path: string): Promise<string> => readFile(path, "utf8"),
  write: (path: string, text: string): Promise<void> => writeFile(path, text),
  link: (target: string, path: string): Promise<void> => symlink(target, path),
  move: (from: string, to: string): Promise<void> => rename(from, to),
  mode: async (path: string): Promise<number> => (await stat(path)).mode & 0o777,
}
