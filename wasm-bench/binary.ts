// How long a command takes from its start to its end, in the single binary and in the package on Node, and how large the
// binary is: `prism --version`, which opens nothing, and `prism collection list` of one small collection. By turns.
// Run: npm run build && npm run build:binary && npm run bench binary [ROUNDS].
import { execFileSync } from "node:child_process"
import { mkdtempSync, rmSync, statSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"
import { latencies } from "./measure.ts"
import { record } from "./shared-data.ts"

const ROUNDS = Number(process.argv[2] ?? 20)
const BINARY = resolve("dist-binary/prism")

const PROGRAMS: Record<string, [program: string, ...words: string[]]> = {
  "single binary": [BINARY],
  "package on Node": [process.execPath, resolve("dist/runtime-node/bin.js")],
}
const COMMANDS = [["--version"], ["collection", "list"]]

const folder = mkdtempSync(join(tmpdir(), "prism-binary-"))
try {
  const run = ([program, ...words]: [string, ...string[]], command: readonly string[]) =>
    execFileSync(program, [...words, ...command], { cwd: folder, encoding: "utf8" })
  writeFileSync(join(folder, "schema.json"), '{"backends":{"text":{"fields":[{"name":"title","type":"text"}]}}}')
  run([BINARY], ["collection", "create", "things", "--schema", "schema.json"])

  const times = new Map<string, number[]>()
  // One round more: the first warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const command of COMMANDS) {
      for (const [name, program] of Object.entries(PROGRAMS)) {
        const began = performance.now()
        run(program, command)
        const what = `${name}: prism ${command.join(" ")}`
        if (round > 0) times.set(what, [...(times.get(what) ?? []), performance.now() - began])
      }
    }
  }
  const megabytes = Number((statSync(BINARY).size / 1e6).toFixed(1))
  const figures = Object.fromEntries([...times].map(([what, all]) => [what, latencies(all)]))
  console.log(`${run([BINARY], ["--version"]).trim()}, ${megabytes} MB`)
  for (const [what, { p50, p99 }] of Object.entries(figures)) {
    console.log(`${what.padEnd(40)} p50 ${p50.toFixed(1).padStart(6)} ms  p99 ${p99.toFixed(1).padStart(6)} ms`)
  }
  record("binary", { rounds: ROUNDS, megabytes, figures })
} finally {
  rmSync(folder, { recursive: true })
}
