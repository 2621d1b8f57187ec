import process from "node:process"
import { encodeUtf8 } from "../base/bytes.ts"
import type { Terminal } from "../runtime.ts"

import { stdoutError } from "../storage/system-error.ts"
import { deno } from "./deno.ts"

// Writes to one stream must not overtake each other: Deno hands each to the system by itself.
let written: Promise<unknown> = Promise.resolve()

export const terminal: Terminal = {
  get stdin() {
    return deno.stdin.readable
  },
  stdinIsTerminal: deno.stdin.isTerminal(),
  stdout(bytes) {
    const all = typeof bytes === "string" ? encodeUtf8(bytes) : bytes
    const write = writeAfter(written, all)
    written = write.catch(() => undefined)
    return write
  },
  stderr(text) {
    try {
      const bytes = encodeUtf8(text)
      for (let count = 0; count < bytes.length; ) count += deno.stderr.writeSync(bytes.subarray(count))
    } catch {
      // Standard error has nowhere to report its own failure to.
    }
  },
  stdoutIsTerminal: deno.stdout.isTerminal(),
  stderrIsTerminal: deno.stderr.isTerminal(),
  get columns() {
    try {
      return deno.consoleSize().columns || 80
    } catch {
      return 80
    }
  },
  env: (name) => deno.env.get(name),
  onInterrupt(callback) {
    const signals = ["SIGINT", "SIGTERM"] as const
    for (const signal of signals) deno.addSignalListener(signal, callback)
    return () => {
      for (const signal of signals) deno.removeSignalListener(signal, callback)
    }
  },
  // Deno tells what it uses now, not the peak.
  peakMemoryBytes: () => process.resourceUsage().maxRSS * 1024,
}

async function writeAfter(earlier: Promise<unknown>, bytes: Uint8Array): Promise<void> {
  await earlier
  try {
    for (let count = 0; count < bytes.length; ) count += await deno.stdout.write(bytes.subarray(count))
  } catch (error) {
    throw stdoutError(error)
  }
}

/** Ends the process once everything written to its outputs has been handed to the system. */
export async function exit(code: number): Promise<never> {
  await written
  deno.exit(code)
}
