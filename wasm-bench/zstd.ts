// Seekable zstd against the zstd program (level 3, one thread): Debian's 63,436 packages as text, and their 384-d vectors as
// float32. Time and CPU time by turns, ratios; and the proof that each reads what the other wrote.
// Run: npm run bench zstd [ROUNDS]. Needs the zstd program.
import { spawnSync } from "node:child_process"
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { concatBytes, equalBytes } from "../src/base/bytes.ts"
import { compressSeekable, decompressSeekable } from "../src/formats/seekable-zstd.ts"
import { zstd } from "../src/runtime-node/zstd.ts"
import { cpuSeconds, median, rounded } from "./measure.ts"
import { dataFile, readFloat16, record } from "./shared-data.ts"

const ROUNDS = Number(process.argv[2] ?? 5)
const CHUNK = 64 * 1024

interface Run {
  readonly seconds: number
  readonly cpuSeconds: number
}

async function* chunks(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += CHUNK) yield bytes.subarray(start, start + CHUNK)
}

async function* pieces(bytes: Uint8Array) {
  for await (const chunk of chunks(bytes)) yield { bytes: chunk, startsFrame: false }
}

async function ours(run: () => AsyncIterable<Uint8Array>): Promise<Run & { bytes: Uint8Array }> {
  const began = performance.now()
  const cpuBefore = cpuSeconds()
  const parts: Uint8Array[] = []
  for await (const part of run()) parts.push(part)
  const figures = { seconds: (performance.now() - began) / 1000, cpuSeconds: cpuSeconds() - cpuBefore }
  return { ...figures, bytes: concatBytes(parts) }
}

/** Time as the shell has it, the program's start and its files included. */
function program(...words: string[]): Run {
  const script = 'TIMEFORMAT="%R %U %S"; time zstd "$@"'
  const { status, stderr } = spawnSync("bash", ["-c", script, "zstd", "-q", "-f", ...words], { encoding: "utf8" })
  if (status !== 0) throw new Error(`zstd ${words.join(" ")}: ${stderr}`)
  const [seconds = 0, user = 0, system = 0] = stderr.trim().split(" ").map(Number)
  return { seconds, cpuSeconds: user + system }
}

async function measure(name: string, content: Uint8Array, folder: string): Promise<object> {
  const plain = join(folder, "plain")
  const [our, their] = [join(folder, "ours.zst"), join(folder, "theirs.zst")]
  writeFileSync(plain, content)
  const runs = new Map<string, Run[]>()
  const keep = (what: string, run: Run) => runs.set(what, [...(runs.get(what) ?? []), run])
  // One round more: the first warms up.
  for (let round = 0; round <= ROUNDS; round++) {
    const packed = await ours(() => compressSeekable(pieces(content), zstd))
    const unpacked = await ours(() => decompressSeekable(chunks(packed.bytes), zstd))
    if (!equalBytes(unpacked.bytes, content)) throw new Error(`${name}: not what was compressed`)
    writeFileSync(our, packed.bytes)
    const theirsPacked = program("-3", "--single-thread", plain, "-o", their)
    const theirsUnpacked = program("-d", their, "-o", join(folder, "back"))
    const oursByThem = program("-d", our, "-o", join(folder, "back"))
    if (!equalBytes(readFileSync(join(folder, "back")), content)) throw new Error(`${name}: zstd reads something else`)
    const theirsByUs = await ours(() => decompressSeekable(chunks(readFileSync(their)), zstd))
    if (!equalBytes(theirsByUs.bytes, content)) throw new Error(`${name}: zstd's file is read as something else`)
    if (round === 0) continue
    keep("compressSeekable", packed)
    keep("zstd -3", theirsPacked)
    keep("decompressSeekable", unpacked)
    keep("zstd -d", theirsUnpacked)
    keep("zstd -d of ours", oursByThem)
    keep("decompressSeekable of one frame", theirsByUs)
  }
  const ratio = (path: string) => rounded(content.length / readFileSync(path).length)
  const figures: Record<string, object> = {}
  console.log(`\n${name}: ${content.length} bytes, ratio ${ratio(our)}, zstd -3 ${ratio(their)}`)
  for (const [what, all] of runs) {
    const rate = rounded(content.length / 1e6 / median(all.map(({ seconds }) => seconds)), 0)
    const cpu = rounded(median(all.map((run) => run.cpuSeconds)))
    figures[what] = { megabytesPerSecond: rate, cpuSeconds: cpu }
    console.log(`${what.padEnd(32)} ${String(rate).padStart(6)} MB/s  ${cpu.toFixed(2).padStart(6)} CPU-s`)
  }
  return { bytes: content.length, ratio: ratio(our), ratioOfZstd: ratio(their), figures }
}

const folder = mkdtempSync(join(tmpdir(), "prism-zstd-"))
try {
  const text = spawnSync("zstd", ["-dc", dataFile("debian-packages.jsonl.zst")], { maxBuffer: 2 ** 30 }).stdout
  const vectors = new Uint8Array(readFloat16("debian-384.f16").buffer)
  const results = {
    text: await measure("Debian's packages", text, folder),
    vectors: await measure("vectors as float32", vectors, folder),
  }
  record("zstd", { rounds: ROUNDS, ...results })
} finally {
  rmSync(folder, { recursive: true })
}
