// Runs test/conformance on every runtime and prints the table suites × runtimes.
//   node scripts/conformance.mjs [--on node,node-24,deno,bun] [FILTER …]
// The present Node runs it as it is; the others are installed by test/runtimes, a package of its own.
import { spawnSync } from "node:child_process"
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { basename, join } from "node:path"
import { parseArgs } from "node:util"
import { installRuntimes, ROOT, runtimes } from "./runtimes.mjs"

/** @typedef {import("./runtimes.mjs").Runtime} Runtime */
/** @typedef {{ passed: number, failed: number, skipped: number }} Counts */
/** @typedef {{ fullName: string, status: string, failureMessages: string[] }} Assertion */

/**
 * Runs the suites on one runtime.
 * @param {Runtime} runtime
 * @param {string[]} filters
 * @param {string} folder for vitest's report
 */
function run(runtime, filters, folder) {
  const report = join(folder, `${runtime.id}.json`)
  const [program = "", ...options] = runtime.command
  const paths = filters.length > 0 ? filters.map((filter) => `test/conformance/${filter}`) : ["test/conformance/"]
  const vitest = [join(ROOT, "node_modules/vitest/vitest.mjs"), "run", ...paths]
  const { status, stdout, stderr } = spawnSync(
    program,
    [...options, ...vitest, "--reporter=json", `--outputFile=${report}`],
    // The suite itself checks that it runs on what it was started for.
    {
      cwd: ROOT,
      encoding: "utf8",
      maxBuffer: 2 ** 28,
      env: { ...process.env, PRISM_TEST_RUNTIME: `${runtime.title} ${runtime.version}` },
    },
  )
  if (!existsSync(report)) throw new Error(`no report from ${runtime.id} (exit ${status}):\n${stdout}\n${stderr}`)
  const { success, testResults } = JSON.parse(readFileSync(report, "utf8"))

  /** @type {Map<string, Counts>} */
  const suites = new Map()
  /** @type {string[]} */
  const failures = []
  for (const { name, status: suiteStatus, message, assertionResults } of testResults) {
    const counts = { passed: 0, failed: 0, skipped: 0 }
    for (const assertion of /** @type {Assertion[]} */ (assertionResults)) {
      if (assertion.status === "passed") counts.passed++
      else if (assertion.status === "failed") {
        counts.failed++
        failures.push(`${basename(name)}: ${assertion.fullName}\n${assertion.failureMessages.join("\n")}`)
      } else counts.skipped++
    }
    // A suite that breaks while it is loaded has no assertions.
    if (suiteStatus === "failed" && counts.failed === 0) {
      counts.failed++
      failures.push(`${basename(name)}: ${message}`)
    }
    suites.set(basename(name).replace(/\.test\.ts$/, ""), counts)
  }
  if (!success && failures.length === 0) failures.push(`vitest failed with exit ${status}:\n${stdout}\n${stderr}`)
  return { suites, failures }
}

/** @param {Counts | undefined} counts */
function cell(counts) {
  if (counts === undefined) return "missing"
  const parts = [`${counts.passed}`]
  if (counts.skipped > 0) parts.push(`${counts.skipped} skipped`)
  if (counts.failed > 0) parts.push(`${counts.failed} FAILED`)
  return parts.join(", ")
}

/** @param {string[][]} rows */
function table(rows) {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)))
  const line = (/** @type {string[]} */ row) =>
    row
      .map((text, column) => (column === 0 ? text.padEnd(widths[0] ?? 0) : text.padStart(widths[column] ?? 0)))
      .join("  ")
  const [head = [], ...body] = rows
  return [line(head), widths.map((width) => "-".repeat(width)).join("  "), ...body.map(line)].join("\n")
}

const { values, positionals } = parseArgs({ options: { on: { type: "string" } }, allowPositionals: true })
const wanted = values.on?.split(",")
const chosen = runtimes.filter((runtime) => wanted?.includes(runtime.id) ?? true)
if (chosen.length < (wanted?.length ?? 1)) throw new Error(`--on takes ${runtimes.map(({ id }) => id).join(", ")}`)
if (chosen.some((runtime) => runtime.id !== "node")) installRuntimes()

const folder = mkdtempSync(join(tmpdir(), "prism-conformance-"))
try {
  const results = chosen.map((runtime) => {
    const started = performance.now()
    const { suites, failures } = run(runtime, positionals, folder)
    const total = { passed: 0, failed: 0, skipped: 0 }
    for (const counts of suites.values()) {
      total.passed += counts.passed
      total.failed += counts.failed
      total.skipped += counts.skipped
    }
    const seconds = ((performance.now() - started) / 1000).toFixed(1)
    process.stdout.write(`${runtime.title} ${runtime.version}: ${cell(total)} (${seconds} s)\n`)
    for (const failure of failures) process.stdout.write(`\n${failure}\n`)
    return { runtime, suites, failures, total }
  })

  const names = [...new Set(results.flatMap(({ suites }) => [...suites.keys()]))].sort()
  const rows = [
    ["suite", ...results.map(({ runtime }) => `${runtime.title} ${runtime.version}`)],
    ...names.map((name) => [name, ...results.map(({ suites }) => cell(suites.get(name)))]),
    ["all", ...results.map(({ total }) => cell(total))],
  ]
  process.stdout.write(`\n${table(rows)}\n\n`)

  const passed = results.reduce((sum, { total }) => sum + total.passed, 0)
  const failed = results.reduce((sum, { failures }) => sum + failures.length, 0)
  const uneven = names.filter((name) => {
    const sizes = results
      .map(({ suites }) => suites.get(name))
      .map((one) => one && one.passed + one.failed + one.skipped)
    return new Set(sizes).size > 1
  })
  if (uneven.length > 0) process.stdout.write(`Not the same tests on every runtime: ${uneven.join(", ")}\n`)
  if (results.some(({ total }) => total.passed === 0))
    process.stdout.write("A runtime without a passed test is no result\n")
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  if (failed > 0 || uneven.length > 0 || results.some(({ total }) => total.passed === 0)) process.exitCode = 1
} finally {
  rmSync(folder, { recursive: true })
}
