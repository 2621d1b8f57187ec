// Seekable zstd on Deno, on threads against the thread that calls: Debian's 63,436 packages as text, eight times, and their
// 384-d vectors as float32. Rates, and how late a timer of 5 ms comes meanwhile, as a request would that is to be answered beside an export.
// Run: npm run conformance -- --on deno crc32c (installs Deno), then npm run bench deno-zstd [ROUNDS]. Needs the zstd program.
import { spawnSync } from "node:child_process"
import { loadavg } from "node:os"
import { resolve } from "node:path"
import process from "node:process"
import { fileURLToPath } from "node:url"
import { concatBytes, equalBytes } from "../src/base/bytes.ts"
import { compressSeekable, decompressSeekable } from "../src/formats/seekable-zstd.ts"
import type { Zstd } from "../src/runtime.ts"
import { median, quantile, rounded } from "./measure.ts"
import { dataFile, readFloat16, record } from "./shared-data.ts"

const ROUNDS = Number(process.argv[2] ?? 5)
const CHUNK = 64 * 1024
const TICK_MS = 5

async function* pieces(bytes: Uint8Array) {
  for (let start = 0; start < bytes.length; start += CHUNK) {
    yield { bytes: bytes.subarray(start, start + CHUNK), startsFrame: false }
  }
}

async function* once(bytes: Uint8Array) {
  yield bytes
}

interface Run {
  readonly seconds: number
  /** How much later than it should each timer came. */
  readonly lateMs: readonly number[]
}

async function timed(work: () => AsyncIterable<Uint8Array>): Promise<Run & { bytes: Uint8Array }> {
  const lateMs: number[] = []
  let last = performance.now()
  const timer = setInterval(() => {
    const now = performance.now()
    lateMs.push(Math.max(0, now - last - TICK_MS))
    last = now
  }, TICK_MS)
  const began = performance.now()
  const parts: Uint8Array[] = []
  for await (const part of work()) parts.push(part)
  const seconds = (performance.now() - began) / 1000
  clearInterval(timer)
  return { seconds, lateMs, bytes: concatBytes(parts) }
}

async function measure(name: string, content: Uint8Array, codecs: Record<string, Zstd>): Promise<object> {
  const runs = new Map<string, Run[]>()
  const keep = (what: string, { seconds, lateMs }: Run) =>
    runs.set(what, [...(runs.get(what) ?? []), { seconds, lateMs }])
  // One round more: the first warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    for (const [where, zstd] of Object.entries(codecs)) {
      const packed = await timed(() => compressSeekable(pieces(content), zstd))
      const unpacked = await timed(() => decompressSeekable(once(packed.bytes), zstd))
      if (!equalBytes(unpacked.bytes, content)) throw new Error(`${name}: not what was compressed`)
      if (round === 0) continue
      keep(`compress ${where}`, packed)
      keep(`decompress ${where}`, unpacked)
    }
  }
  const figures: Record<string, object> = {}
  console.log(`\n${name}: ${content.length} bytes`)
  for (const [what, all] of runs) {
    const megabytesPerSecond = rounded(content.length / 1e6 / median(all.map(({ seconds }) => seconds)), 0)
    const late = all.flatMap(({ lateMs }) => lateMs)
    const timerLateMs = {
      p50: rounded(median(late), 1),
      p99: rounded(quantile(late, 0.99), 1),
      max: rounded(quantile(late, 1), 1),
    }
    figures[what] = { megabytesPerSecond, timerLateMs }
    const { p50, p99, max } = timerLateMs
    console.log(`${what.padEnd(34)} ${megabytesPerSecond} MB/s, timer late p50 ${p50}, p99 ${p99}, max ${max} ms`)
  }
  return { bytes: content.length, figures }
}

const { Deno: deno } = globalThis as { Deno?: { version: { deno: string } } }
if (deno === undefined) {
  const program = resolve("test/runtimes/node_modules/.bin/deno")
  const words = ["run", "-A", "--no-lock", fileURLToPath(import.meta.url), `${ROUNDS}`]
  process.exitCode = spawnSync(program, words, { stdio: "inherit" }).status ?? 1
} else {
  const { zstd } = await import("../src/runtime-deno/zstd.ts")
  const { zstdHere } = await import("../src/runtime-deno/zstd-here.ts")
  const codecs = { "on the thread that calls": zstdHere, "on threads": zstd }
  const text = spawnSync("zstd", ["-dc", dataFile("debian-packages.jsonl.zst")], { maxBuffer: 2 ** 30 }).stdout
  const vectors = new Uint8Array(readFloat16("debian-384.f16").buffer)
  const results = {
    text: await measure("Debian's packages, eight times", concatBytes(Array.from({ length: 8 }, () => text)), codecs),
    vectors: await measure("vectors as float32", vectors, codecs),
  }
  // What else ran on the machine: both take turns, but threads gain less where no core is free.
  record("deno-zstd", {
    deno: deno.version.deno,
    rounds: ROUNDS,
    loadAverage: rounded(loadavg()[0] ?? 0, 1),
    ...results,
  })
}
