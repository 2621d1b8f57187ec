// What several benchmarks measure with: quantiles, stages that are processes of their own, memory, and the disk below.
import { execFileSync, spawn } from "node:child_process"
import { closeSync, openSync, readdirSync, readFileSync, readSync, statSync, writeFileSync, writeSync } from "node:fs"
import { join } from "node:path"

/** A number with so many digits behind the point. */
export function rounded(value: number, digits = 2): number {
  return Number(value.toFixed(digits))
}

export function median(values: readonly number[]): number {
  return quantile(values, 0.5)
}

/** The smallest value that a share of them does not exceed. */
export function quantile(values: readonly number[], share: number): number {
  const sorted = Float64Array.from(values).sort()
  return sorted[Math.max(0, Math.ceil(sorted.length * share) - 1)] ?? Number.NaN
}

/** p50 and p99 of times in milliseconds, and how many they are. */
export function latencies(milliseconds: readonly number[]): { count: number; p50: number; p99: number; max: number } {
  const at = (share: number) => rounded(quantile(milliseconds, share), 3)
  return { count: milliseconds.length, p50: at(0.5), p99: at(0.99), max: at(1) }
}

/** CPU seconds of this process so far, all threads. */
export function cpuSeconds(): number {
  const { user, system } = process.cpuUsage()
  return (user + system) / 1e6
}

/** Resident memory of this process in bytes, now or at its peak. */
export function residentBytes(which: "VmRSS" | "VmHWM" = "VmRSS"): number {
  const line = new RegExp(`^${which}:\\s+(\\d+) kB`, "m").exec(readFileSync("/proc/self/status", "utf8"))
  return Number(line?.[1]) * 1024
}

/** Runs a stage of a benchmark in a process of its own, and gives what it hands to `answer`. */
export async function runStage<T>(program: string, words: readonly string[]): Promise<T> {
  const child = spawn(program, words, { stdio: ["ignore", "pipe", "inherit"] })
  let printed = ""
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    printed += text
  })
  const code = await new Promise<number | null>((resolve) => void child.on("close", resolve))
  const answered = printed.lastIndexOf(ANSWER)
  if (code !== 0 || answered === -1) throw new Error(`${program} ${words.join(" ")} ended with ${code}: ${printed}`)
  process.stdout.write(printed.slice(0, answered))
  return JSON.parse(printed.slice(answered + ANSWER.length)) as T
}

const ANSWER = "\nanswer: "

/** The last thing that a stage prints. */
export function answer(value: unknown): void {
  writeSync(1, ANSWER + JSON.stringify(value))
}

/** `ext4 on /dev/sda1`, as df has it. */
export function fileSystemOf(folder: string): string {
  const [, line = ""] = execFileSync("df", ["--output=fstype,source", folder], { encoding: "utf8" }).trim().split("\n")
  return line.trim().replace(/\s+/, " on ")
}

/** Bytes of a folder's files, all folders in it too. */
export function folderBytes(folder: string): number {
  return readdirSync(folder, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isFile())
    .reduce((sum, entry) => sum + statSync(join(entry.parentPath, entry.name)).size, 0)
}

/** Makes the kernel forget what it has read, so that the disk is asked. False where only root may do it. */
export function dropPageCache(): boolean {
  try {
    execFileSync("sync")
    writeFileSync("/proc/sys/vm/drop_caches", "3")
    return true
  } catch {
    return false
  }
}

/** Bytes a second at which a file is read from one end to the other, 1 MiB at a time. */
export function readRate(path: string): { bytes: number; seconds: number; perSecond: number } {
  const buffer = new Uint8Array(1 << 20)
  const started = performance.now()
  const file = openSync(path, "r")
  let bytes = 0
  for (;;) {
    const length = readSync(file, buffer, 0, buffer.length, bytes)
    if (length === 0) break
    bytes += length
  }
  closeSync(file)
  const seconds = (performance.now() - started) / 1000
  return { bytes, seconds: rounded(seconds, 3), perSecond: Math.round(bytes / seconds) }
}
