// Readers of the data sets beside the project (../shared/data). They are not part of it: without them a benchmark says
// so and ends.
import { spawn } from "node:child_process"
import { existsSync, mkdirSync, readFileSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import { resolve } from "node:path"
import { createInterface } from "node:readline"
import { pathToFileURL } from "node:url"

/** Benchmarks run from the project's root, whatever folder they were compiled into. */
const FOLDER = pathToFileURL(`${resolve("../shared/data")}/`)
const RECORD = pathToFileURL(`${resolve("wasm-bench/record")}/`)

/** The path of a file of the data sets; ends the process, saying so, where it is absent. */
export function dataFile(name: string): string {
  const url = new URL(name, FOLDER)
  if (existsSync(url)) return url.pathname
  console.log(`skipped: needs ../shared/data/${name}, which is not part of the project`)
  process.exit(0)
}

/** Objects of a .jsonl.zst file, in order, in constant memory. Needs the `zstd` program. */
export async function* readJsonLines<T>(name: string): AsyncGenerator<T> {
  const zstd = spawn("zstd", ["-dc", dataFile(name)], { stdio: ["ignore", "pipe", "inherit"] })
  try {
    for await (const line of createInterface({ input: zstd.stdout })) yield JSON.parse(line) as T
  } finally {
    zstd.kill()
  }
}

/** Rows of a little-endian float16 matrix as one Float32Array. */
export function readFloat16(name: string): Float32Array {
  const bytes = readFileSync(dataFile(name))
  const halves = new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2)
  return Float32Array.from(halves, float16)
}

/** IEEE 754 binary16. */
function float16(bits: number): number {
  const sign = bits & 0x8000 ? -1 : 1
  const exponent = (bits >> 10) & 31
  const fraction = bits & 1023
  if (exponent === 0) return sign * fraction * 2 ** -24
  return sign * (1 + fraction / 1024) * 2 ** (exponent - 15)
}

/** Query → document → grade. */
export function readJudgements(name: string): Map<string, Map<string, number>> {
  const judgements = new Map<string, Map<string, number>>()
  for (const line of readFileSync(dataFile(name), "utf8").split("\n")) {
    const [query, document, grade] = line.split("\t")
    if (!query || !document || !Number(grade)) continue
    const grades = judgements.get(query) ?? new Map<string, number>()
    judgements.set(query, grades.set(document, Number(grade)))
  }
  return judgements
}

/** Keeps a result under record/, named by day and benchmark. */
export function record(benchmark: string, result: object): void {
  const day = new Date().toISOString().slice(0, 10)
  mkdirSync(RECORD, { recursive: true })
  const machine = { cpu: cpus()[0]?.model, cores: cpus().length, node: process.version }
  const text = JSON.stringify({ benchmark, day, machine, ...result }, null, 2)
  writeFileSync(
    new URL(`${day}-${benchmark}.json`, RECORD),
    `${text}
`,
  )
}
