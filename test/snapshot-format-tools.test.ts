// The tar of a snapshot and the tools that others have: GNU tar, sha256sum, Python's tarfile.
import { spawnSync } from "node:child_process"
import { mkdirSync, writeFileSync } from "node:fs"
import { join } from "node:path"
import { assert, describe, test } from "vitest"
import { equalBytes } from "../src/base/bytes.ts"
import { PrismError } from "../src/base/errors.ts"
import { temporaryFolder } from "./support/runtime.ts"
import { type ReadBack, read, sample, sliced, write } from "./support/snapshots.ts"

const has = (tool: string, ...args: string[]): boolean => spawnSync(tool, args).status === 0
const hasTar = has("tar", "--version") && /GNU tar/.test(spawnSync("tar", ["--version"]).stdout.toString())
const hasPython = has("python3", "--version")
const without = (tool: string, isThere: boolean): string => (isThere ? "" : ` (skipped: no ${tool} here)`)

function run(command: string, args: readonly string[], options: { cwd: string; input?: Uint8Array }): Uint8Array {
  const { status, stdout, stderr, error } = spawnSync(command, args, { ...options, maxBuffer: 64 * 1024 * 1024 })
  assert.equal(status, 0, `${command} ${args.join(" ")}: ${error?.message ?? stderr.toString()}`)
  return stdout
}

const { tar: TAR } = await write(sample())
const WHOLE = await read(sliced(TAR))

function assertSame(actual: ReadBack): void {
  assert.deepEqual(actual.metadata, WHOLE.metadata)
  assert.equal(actual.schema, WHOLE.schema)
  assert.equal(actual.contents.size, WHOLE.contents.size)
  for (const [name, bytes] of WHOLE.contents) assert.isTrue(equalBytes(actual.contents.get(name)!, bytes), name)
}

/** The snapshot as GNU tar unpacks it. */
async function unpacked(): Promise<{ path: string } & AsyncDisposable> {
  const folder = await temporaryFolder()
  run("tar", ["-xf", "-"], { cwd: folder.path, input: TAR })
  return folder
}

describe("stock tools", () => {
  test.skipIf(!hasTar)(`list and unpack a snapshot, and sha256sum checks it${without("GNU tar", hasTar)}`, async () => {
    await using folder = await unpacked()
    const listed = run("tar", ["-tvf", "-", "--numeric-owner"], { cwd: folder.path, input: TAR })
      .toString()
      .trim()
      .split("\n")
    assert.equal(listed.length, WHOLE.contents.size + 3)
    for (const line of listed) assert.match(line, /^-rw-r--r-- 0\/0 +\d+ 1970-01-01 \d\d:\d\d \S+$/)
    const checked = run("sha256sum", ["-c", "MANIFEST.sha256"], { cwd: folder.path }).toString()
    assert.equal(checked.match(/: OK$/gm)?.length, WHOLE.contents.size + 2)
  })

  test.skipIf(!hasTar)(`extend a snapshot with nothing that it takes unseen${without("GNU tar", hasTar)}`, async () => {
    await using folder = await unpacked()
    writeFileSync(join(folder.path, "text", "more"), "x")
    const grown = run("tar", ["-cf", "-", "."], { cwd: folder.path })
    let code = ""
    await read(sliced(grown)).catch((error: unknown) => {
      if (error instanceof PrismError) code = error.code
    })
    assert.equal(code, "CORRUPT")
  })

  const ways: [what: string, args: string[]][] = [
    ...["gnu", "oldgnu", "pax", "ustar"].map((format): [string, string[]] => [format, [`--format=${format}`, "."]]),
    ["pax with times and owners", ["--format=pax", "--pax-option=delete=none", "--mtime=2026-11-22 10:00:00.5", "."]],
    ["sorted names", ["--sort=name", "."]],
    ["no ./ and no folders", ["--no-recursion", "-T", "-"]],
    ["names without ./", ["MANIFEST.sha256", "vector", "text", "schema.yaml", "metadata.json"]],
    ["a record of 512 KiB", ["-b", "1024", "."]],
    ["numeric owners of many digits", ["--owner=:3000000000", "--group=:3000000000", "."]],
  ]
  test.skipIf(!hasTar).each(ways)("what GNU tar archives again with %s reads back", async (_what, args) => {
    await using folder = await unpacked()
    mkdirSync(join(folder.path, "graph"))
    const names = [...WHOLE.contents.keys(), "metadata.json", "MANIFEST.sha256", "schema.yaml"].join("\n")
    const tar = run("tar", ["-cf", "-", ...args], { cwd: folder.path, input: Buffer.from(`${names}\n`) })
    assertSame(await read(sliced(tar, [10_000])))
  })

  const formats = ["USTAR_FORMAT", "GNU_FORMAT", "PAX_FORMAT"]
  test.skipIf(!hasTar || !hasPython).each(formats)(
    "what Python's tarfile archives in %s reads back",
    async (format) => {
      await using folder = await unpacked()
      const script = `import sys, tarfile
with tarfile.open(fileobj=sys.stdout.buffer, mode="w|", format=tarfile.${format}) as tar: tar.add(".")`
      assertSame(await read(sliced(run("python3", ["-c", script], { cwd: folder.path }))))
    },
  )
})
