// Other processes on the runtime that the tests run on. They run what `npm run build` compiled.
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"
import { runtime } from "./runtime.ts"

export interface Ended {
  /** Exit code, or null after a signal. */
  readonly code: number | null
  readonly signal: string | null
  readonly stderr: string
}

export class Child implements AsyncDisposable {
  readonly #process: ChildProcessWithoutNullStreams
  readonly #ended: Promise<Ended>
  #stderr = ""

  constructor(path: string, args: readonly string[], permissions: readonly string[] = ["-A"]) {
    const options = runtime.name === "deno" ? ["run", ...permissions, "--no-prompt", "--no-lock"] : []
    this.#process = spawn(process.execPath, [...options, path, ...args])
    this.#process.stderr.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text
    })
    // A child that ends early breaks the pipe to it; how it ended tells more.
    this.#process.stdin.on("error", () => {})
    this.#ended = once(this.#process, "close").then(([code, signal]) => ({
      code: code as number | null,
      signal: signal as string | null,
      stderr: this.#stderr,
    }))
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  /** Bytes of standard output as they come. Stopping early closes the pipe. */
  get stdout(): AsyncIterable<Uint8Array> {
    return this.#process.stdout
  }

  /** The next line of standard output is this, or the child ended. */
  async line(): Promise<string> {
    for (;;) {
      const end = this.#lines.indexOf("\n")
      if (end >= 0) {
        const line = this.#lines.slice(0, end)
        this.#lines = this.#lines.slice(end + 1)
        return line
      }
      const chunk = (this.#process.stdout.read() as Uint8Array | null) ?? undefined
      if (chunk) this.#lines += new TextDecoder().decode(chunk)
      else if (this.#process.stdout.readableEnded) throw new Error(`the child ended: ${this.#stderr}`)
      else await Promise.race([once(this.#process.stdout, "readable"), once(this.#process.stdout, "end")])
    }
  }
  #lines = ""

  write(text: string): void {
    this.#process.stdin.write(text)
  }

  endInput(): void {
    this.#process.stdin.end()
  }

  kill(signal: "SIGINT" | "SIGTERM" | "SIGKILL"): void {
    // Not the child's own method: on Deno only its first call sends a signal.
    if (this.#process.exitCode === null && this.#process.signalCode === null) process.kill(this.pid, signal)
  }

  ended(): Promise<Ended> {
    return this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.kill("SIGKILL")
    this.#process.stdout.resume()
    await this.#ended
  }
}

/** Starts a script of this folder. Its first argument is the name of the runtime. */
export function startScript(name: string, ...args: string[]): Child {
  return new Child(fileURLToPath(new URL(name, import.meta.url)), [runtime.name, ...args])
}

/** Starts a program of this folder with Deno's permissions, as `deno run` has them. */
export function startDenoProgram(name: string, permissions: readonly string[], ...args: string[]): Child {
  return new Child(fileURLToPath(new URL(name, import.meta.url)), args, permissions)
}
