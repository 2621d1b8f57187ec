// `prism serve` as a process of this Node, for tests of the process itself. It runs what `npm run build` compiled.
import { type ChildProcess, spawn } from "node:child_process"
import { once } from "node:events"
import { fileURLToPath } from "node:url"

/** The program, as `npm run build` compiled it for Node. */
export const PRISM = fileURLToPath(new URL("../../dist/runtime-node/bin.js", import.meta.url))

export interface Ended {
  readonly code: number | null
  readonly signal: string | null
  readonly stdout: string
  readonly stderr: string
}

export class ServerProcess implements AsyncDisposable {
  readonly #process: ChildProcess
  readonly #ended: Promise<Ended>
  #stdout = ""
  #stderr = ""
  #wake: () => void = () => {}
  #hasEnded = false

  constructor(args: readonly string[], options: { cwd: string; env?: Record<string, string> }) {
    const { PATH = "", HOME = "" } = process.env
    this.#process = spawn(process.execPath, [PRISM, "serve", ...args], {
      cwd: options.cwd,
      env: { PATH, HOME, ...options.env },
      stdio: ["ignore", "pipe", "pipe"],
    })
    this.#process.stdout?.setEncoding("utf8").on("data", (text: string) => {
      this.#stdout += text
      this.#wake()
    })
    this.#process.stderr?.setEncoding("utf8").on("data", (text: string) => {
      this.#stderr += text
      this.#wake()
    })
    this.#ended = once(this.#process, "close").then(([code, signal]) => {
      this.#hasEnded = true
      this.#wake()
      return { code, signal, stdout: this.#stdout, stderr: this.#stderr }
    })
  }

  get pid(): number {
    return this.#process.pid ?? 0
  }

  get stderr(): string {
    return this.#stderr
  }

  /** Its first line of output, once that is whole. */
  async line(): Promise<string> {
    while (!this.#stdout.includes("\n")) {
      if (this.#hasEnded) throw new Error(`the server ended: ${this.#stderr}`)
      await this.#more()
    }
    return this.#stdout.slice(0, this.#stdout.indexOf("\n"))
  }

  /** Where it listens. */
  async url(): Promise<string> {
    const url = /https?:\/\/[^ "]+/.exec(await this.line())?.[0]
    if (url === undefined) throw new Error(`no address in: ${this.#stdout}`)
    return url
  }

  /** What it wrote to standard error, once that matches. */
  async says(pattern: RegExp): Promise<string> {
    while (!pattern.test(this.#stderr)) {
      if (this.#hasEnded) throw new Error(`the server ended: ${this.#stderr}`)
      await this.#more()
    }
    return this.#stderr
  }

  kill(signal: "SIGINT" | "SIGTERM" | "SIGKILL" | "SIGSTOP"): void {
    this.#process.kill(signal)
  }

  ended(): Promise<Ended> {
    return this.#ended
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#hasEnded) this.kill("SIGKILL")
    await this.#ended
  }

  #more(): Promise<void> {
    return new Promise((resolve) => {
      this.#wake = resolve
    })
  }
}
