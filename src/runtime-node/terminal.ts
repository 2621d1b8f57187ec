import { Readable } from "node:stream"
import { isatty } from "node:tty"
import type { Terminal } from "../runtime.ts"
import { stdoutError } from "../storage/system-error.ts"

let stdin: ReadableStream<Uint8Array> | undefined

// A failed write also emits "error", which without a listener ends the process with a stack. Standard error has
// nowhere to report its own failure to.
process.stdout.on("error", () => undefined)
process.stderr.on("error", () => undefined)

export const terminal: Terminal = {
  // Made on demand: a process that looks at its standard input does not end while that is open.
  get stdin() {
    stdin ??= Readable.toWeb(process.stdin) as ReadableStream<Uint8Array>
    return stdin
  },
  stdinIsTerminal: isatty(0),
  stdout: (bytes) =>
    new Promise((resolve, reject) => {
      process.stdout.write(bytes, (error) => {
        if (!error) resolve()
        else reject(stdoutError(error))
      })
    }),
  stderr: (text) => void process.stderr.write(text),
  stdoutIsTerminal: isatty(1),
  stderrIsTerminal: isatty(2),
  get columns() {
    // A terminal that does not know its size says 0.
    return [process.stderr.columns, process.stdout.columns].find((columns) => columns > 0) ?? 80
  },
  env: (name) => process.env[name],
  onInterrupt(callback) {
    const signals = ["SIGINT", "SIGTERM"] as const
    for (const signal of signals) process.on(signal, callback)
    return () => {
      for (const signal of signals) process.off(signal, callback)
    }
  },
  peakMemoryBytes: () => process.resourceUsage().maxRSS * 1024,
}

/** Ends the process once everything written to its outputs has been handed to the system. */
export async function exit(code: number): Promise<never> {
  for (const stream of [process.stdout, process.stderr]) {
    await new Promise<void>((resolve) => void stream.write("", () => resolve()))
  }
  process.exit(code)
}
