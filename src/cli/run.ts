// The command line: arguments in, exit code out.
import { runCommand } from "citty"
import { ERROR_CODES, PrismError } from "../base/errors.ts"
import { VERSION } from "../base/version.ts"
import type { Runtime, Terminal } from "../runtime.ts"
import { Context } from "./context.ts"
import { printable } from "./format.ts"
import { renderHelp } from "./help.ts"
import { hasFlag, parse, resolvePath } from "./parse.ts"
import { program } from "./program.ts"

const PROBLEMS_SHOWN = 20

/** Runs one command line (without the program's own name) and gives its exit code: 0 done, 1 error, 2 usage,
 *  3 not found, 4 already exists, 5 integrity, 6 wrong key, 7 incompatible version, 8 partial, 130 interrupted.
 *  Never throws. `now`: milliseconds of a clock that never goes back. */
export async function run(
  argv: readonly string[],
  runtime: Runtime,
  now: () => number = () => performance.now(),
): Promise<number> {
  const { terminal } = runtime
  const interrupt = new AbortController()
  // Only the first signal asks politely: after it the platform's own way to end a process is back.
  const stopListening = terminal.onInterrupt(() => {
    stopListening()
    interrupt.abort(new PrismError("INTERRUPTED", "Interrupted"))
  })
  let context: Context | undefined
  try {
    if (hasFlag(argv, "help")) {
      await terminal.stdout(renderHelp(resolvePath(argv, program), terminal.columns))
      return 0
    }
    if (hasFlag(argv, "version")) {
      const { name, version } = runtime
      const json = JSON.stringify({ version: VERSION, runtime: { name, version } })
      await terminal.stdout(hasFlag(argv, "json") ? `${json}\n` : `prism ${VERSION} (${name} ${version})\n`)
      return 0
    }
    if (argv.length === 0) {
      terminal.stderr(renderHelp([program], terminal.columns))
      return ERROR_CODES.USAGE.exit
    }
    const { path, globals, rawArgs } = parse(argv, program)
    context = new Context(runtime, globals, interrupt.signal, now)
    const { result } = await runCommand(path.at(-1)!.citty, { rawArgs: [...rawArgs], data: context })
    return typeof result === "number" ? result : 0
  } catch (error) {
    context?.endProgress()
    // Whatever an interrupt made fail, the interrupt is what happened; what failed by itself stays what it is.
    const reason = interrupt.signal.aborted && !(error instanceof PrismError) ? interrupt.signal.reason : error
    return report(reason, terminal, {
      json: hasFlag(argv, "json"),
      color: mayColor(argv, terminal),
      interrupted: interrupt.signal.aborted,
    })
  } finally {
    stopListening()
  }
}

function report(
  error: unknown,
  terminal: Terminal,
  { json, color, interrupted }: { json: boolean; color: boolean; interrupted: boolean },
): number {
  const label = (text: string, code: number) => (color ? `\u001b[1;${code}m${text}\u001b[0m` : text)
  if (error instanceof PrismError) {
    // The reader of a pipe that has seen enough is no error to talk about.
    const readerGone = error.code === "INTERRUPTED" && !interrupted
    const { code, message, hint, place, problems } = error
    if (json && !readerGone) {
      const members = { code, message, hint, place, ...(problems.length > 0 && { problems }) }
      terminal.stderr(`${JSON.stringify({ error: members })}\n`)
    } else if (!readerGone) {
      // Where several problems are listed, each has its own place; a single one may be the message already.
      // `FILE, bytes 1 to 9` is said by a message that names the file, and the bytes.
      const said = place === undefined || place.split(", ").every((part) => message.includes(part))
      const where = said || problems.length > 1 ? "" : ` (${place})`
      const listed = problems.filter((problem) => problems.length > 1 || !message.includes(problem.message))
      const lines = [`${label("Error:", 31)} ${printable(sentence(message, place) + where)}`]
      for (const problem of listed.slice(0, PROBLEMS_SHOWN)) {
        lines.push(`  ${printable(problem.place === "" ? problem.message : `${problem.place}: ${problem.message}`)}`)
      }
      if (problems.length > PROBLEMS_SHOWN) lines.push(`  … and ${problems.length - PROBLEMS_SHOWN} more`)
      if (hint !== undefined) lines.push(`${label("Hint:", 36)} ${printable(hint)}`)
      terminal.stderr(`${lines.join("\n")}\n`)
    }
    return ERROR_CODES[code].exit
  }
  const { message, stack } = error instanceof Error ? error : new Error(String(error))
  const hint = "this is a bug in Prism, please report it with what stands here"
  if (json) terminal.stderr(`${JSON.stringify({ error: { code: "INTERNAL", message, hint, stack } })}\n`)
  else terminal.stderr(`${label("Error:", 31)} ${message}\n${label("Hint:", 36)} ${hint}\n${stack ?? ""}\n`)
  return 1
}

/** A message with a capital letter, unless it starts with a name, also the program's. */
function sentence(message: string, place: string | undefined): string {
  const startsWithWord = /^(?!prism )[a-z]+[ ,:]/.test(message) && (place === undefined || !message.startsWith(place))
  return startsWithWord ? message[0]!.toUpperCase() + message.slice(1) : message
}

function mayColor(argv: readonly string[], terminal: Terminal): boolean {
  return (
    terminal.stderrIsTerminal &&
    !argv.includes("--no-color") &&
    !terminal.env("NO_COLOR") &&
    terminal.env("TERM") !== "dumb"
  )
}
