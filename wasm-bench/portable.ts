// Portable export and import of Debian's 63,436 packages with their 384-d vectors, each stage a process of its own:
// time, CPU time and peak memory; and the proof that a restored collection exports the same bytes from line 2 on.
// Run: npm run bench portable
import { execFileSync, spawnSync } from "node:child_process"
import { mkdtempSync, rmSync, statSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import type { DocumentInput } from "../src/index.ts"
import { Prism } from "../src/runtime-node/index.ts"
import { runtime } from "../src/runtime-node/runtime.ts"
import { PACKAGE_FIELDS } from "./corpus.ts"
import { dataFile, readFloat16, readJsonLines, record } from "./shared-data.ts"

const DIMENSION = 384
const SCHEMA = {
  backends: {
    text: { fields: PACKAGE_FIELDS },
    vector: { embedding_field: "embedding", dimension: DIMENSION },
  },
} as const

const stages: Record<string, (...args: string[]) => Promise<unknown>> = {
  async index(folder = "") {
    const prism = await Prism.open(join(folder, "data"))
    const packages = await prism.createCollection("packages", SCHEMA)
    const vectors = readFloat16("debian-384.f16")
    let row = 0
    const batch: DocumentInput[] = []
    for await (const { id, ...fields } of readJsonLines<{ id: string; [field: string]: unknown }>(
      "debian-packages.jsonl.zst",
    )) {
      batch.push({ id, fields, vector: vectors.subarray(row * DIMENSION, ++row * DIMENSION) })
      if (batch.length === 1000) await packages.add(batch.splice(0))
    }
    await packages.add(batch)
    await prism.close()
    return { documents: row }
  },
  async export(folder = "", name = "", file = "") {
    const prism = await Prism.open(join(folder, "data"))
    const collection = await prism.collection(name)
    const report = await collection.export(await runtime.files.write(join(folder, file), { replace: false }))
    await prism.close()
    return report
  },
  async restore(folder = "") {
    const prism = await Prism.open(join(folder, "data"))
    const file = join(folder, "a.prism.jsonl")
    const report = await prism.restore(await runtime.files.read(file), { target: "restored" })
    await prism.close()
    return report
  },
}

const [stage, ...args] = process.argv.slice(2)
if (stage) {
  const report = await stages[stage]?.(...args)
  const usage = process.resourceUsage()
  const cpuSeconds = (usage.userCPUTime + usage.systemCPUTime) / 1e6
  console.log(JSON.stringify({ seconds: performance.now() / 1000, cpuSeconds, peakMiB: usage.maxRSS / 1024, report }))
} else {
  dataFile("debian-packages.jsonl.zst")
  const folder = mkdtempSync(join(tmpdir(), "prism-portable-"))
  const figures: Record<string, object> = {}
  const run = (label: string, ...words: string[]) => {
    const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), ...words], {
      encoding: "utf8",
      maxBuffer: 1e8,
    })
    if (child.status !== 0) throw new Error(`${label}: ${child.stderr}`)
    const { seconds, cpuSeconds, peakMiB } = JSON.parse(child.stdout.trim().split("\n").at(-1) ?? "")
    figures[label] = { seconds: round(seconds), cpuSeconds: round(cpuSeconds), peakMiB: Math.round(peakMiB) }
    console.log(
      `${label.padEnd(16)} ${seconds.toFixed(1).padStart(7)} s  ${cpuSeconds.toFixed(1).padStart(7)} CPU-s  peak ${Math.round(peakMiB)} MiB`,
    )
  }
  const round = (number: number) => Number(number.toFixed(2))
  try {
    run("index", "index", folder)
    run("export", "export", folder, "packages", "a.prism.jsonl")
    run("restore", "restore", folder)
    run("export again", "export", folder, "restored", "b.prism.jsonl")
    const bytes = statSync(join(folder, "a.prism.jsonl")).size
    execFileSync("bash", ["-c", `cmp <(tail -n +2 a.prism.jsonl) <(tail -n +2 b.prism.jsonl)`], {
      cwd: folder,
      stdio: "inherit",
    })
    const checksum = execFileSync("bash", ["-c", "tail -n +2 a.prism.jsonl | tr -d '\\n' | sha256sum | cut -c1-64"], {
      cwd: folder,
      encoding: "utf8",
    }).trim()
    const header = execFileSync("head", ["-n", "1", "a.prism.jsonl"], { cwd: folder, encoding: "utf8", maxBuffer: 1e8 })
    if (JSON.parse(header).metadata.checksum !== checksum)
      throw new Error("the header's checksum is not that of tail, tr and sha256sum")
    console.log(
      `archive ${bytes} bytes; from line 2 on the second export is byte-identical; checksum as sha256sum has it`,
    )
    record("portable", { corpus: "Debian 12, 63,436 packages with 384-d vectors", archiveBytes: bytes, figures })
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}
