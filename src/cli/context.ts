// What a command works with: the runtime, the global flags, the interrupt, and how to speak.
import { PrismError } from "../base/errors.ts"
import { stringifyJson } from "../base/json.ts"
import { chunksOf, streamOf } from "../base/streams.ts"
import type { Runtime } from "../runtime.ts"
import type { Globals } from "./globals.ts"
import { ProgressDisplay } from "./progress.ts"

export interface Input {
  /** As messages call it. */
  readonly name: string
  /** In bytes, where it is known. */
  readonly size: number | undefined
  readonly stream: ReadableStream<Uint8Array>
}

export class Context {
  readonly runtime: Runtime
  readonly globals: Globals
  /** Aborted by SIGINT and SIGTERM, with a PrismError INTERRUPTED as its reason. */
  readonly signal: AbortSignal
  readonly #now: () => number
  #display: ProgressDisplay | undefined
  #isStdinTaken = false

  constructor(runtime: Runtime, globals: Globals, signal: AbortSignal, now: () => number) {
    this.runtime = runtime
    this.globals = globals
    this.signal = signal
    this.#now = now
  }

  get json(): boolean {
    return this.globals.json
  }

  /** Whether a person is there to be asked. */
  get interactive(): boolean {
    return this.runtime.terminal.stdinIsTerminal && this.runtime.terminal.stderrIsTerminal
  }

  /** Width that a line of a result may take; undefined where nobody looks at it and nothing must be cut. */
  get resultColumns(): number | undefined {
    return this.runtime.terminal.stdoutIsTerminal ? this.runtime.terminal.columns : undefined
  }

  /** Milliseconds of a clock that never goes back. */
  now(): number {
    return this.#now()
  }

  /** A result, to stdout. */
  async print(text: string): Promise<void> {
    this.#display?.clear()
    await this.runtime.terminal.stdout(text.endsWith("\n") ? text : `${text}\n`)
  }

  /** A result as one line of JSON. */
  async printJson(value: unknown): Promise<void> {
    await this.print(stringifyJson(value))
  }

  /** Something good to know, to stderr; not with --quiet, nor with --json, whose stderr holds errors alone. */
  note(text: string): void {
    if (!this.globals.quiet && !this.json) this.warn(text)
  }

  /** Something that must be known, to stderr. */
  warn(text: string): void {
    this.#display?.clear()
    this.runtime.terminal.stderr(`${text}\n`)
  }

  /** Where progress goes: drawn on a terminal, or wherever `wanted` (--progress) says so; else nowhere. The end of the
   *  command takes it away. */
  progress(wanted: boolean | undefined): ProgressDisplay | undefined {
    const { terminal } = this.runtime
    if (!(wanted ?? (terminal.stderrIsTerminal && !this.globals.quiet))) return undefined
    const columns = terminal.stderrIsTerminal ? terminal.columns : undefined
    this.#display = new ProgressDisplay((text) => terminal.stderr(text), columns, this.#now)
    return this.#display
  }

  endProgress(): void {
    this.#display?.finish()
    this.#display = undefined
  }

  /** A file that the user names, or stdin for "-". It ends with an error when the command is interrupted.
   *  @throws PrismError USAGE where stdin is asked for a second time, FILE_NOT_FOUND, PERMISSION_DENIED */
  async openInput(path: string): Promise<Input> {
    const { files, terminal } = this.runtime
    const isStdin = path === "-"
    if (isStdin && this.#isStdinTaken) {
      throw new PrismError("USAGE", "Two things cannot both come from stdin", { hint: "put one of them into a file" })
    }
    this.#isStdinTaken ||= isStdin
    const size = isStdin ? undefined : await files.size(path)
    const stream = isStdin ? terminal.stdin : await files.read(path)
    // A command that is interrupted does not wait for a pipe.
    const abortable = streamOf(chunksOf(stream, this.signal))
    // A pipe has a name too, as in `-f <(zstd -dc FILE)`, and then no length.
    return { name: isStdin ? "standard input" : path, size: size || undefined, stream: abortable }
  }
}
