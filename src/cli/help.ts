import { type Arg, type Command, type Flag } from "./command.ts"
import { GLOBAL_FLAGS } from "./globals.ts"
import { labelOf, spell, usageOf } from "./parse.ts"

/** The help page of the last command of `path`, at most `columns` wide where words allow. */
export function renderHelp(path: readonly Command[], columns: number): string {
  const command = path.at(-1)!
  const width = Math.min(Math.max(columns, 60), 100)
  const sections: string[] = [command.description, `Usage: ${usageOf(path)}`]
  for (const paragraph of command.details) sections.push(wrap(paragraph, width, ""))

  const places = Object.values(command.args).flatMap((arg) => (arg.type === "positional" ? [arg] : []))
  const commands = command.subCommands.map((sub): Row => [sub.name, sub.description])
  if (commands.length > 0) sections.push(`Commands:\n${rows(commands, width)}`)
  if (places.length > 0) sections.push(`Arguments:\n${rows(places.map(placeRow), width)}`)

  const own = Object.entries(command.args).flatMap(([name, arg]) =>
    arg.type === "positional" ? [] : [flagRow(name, arg)],
  )
  if (own.length > 0) sections.push(`Options:\n${rows(own, width)}`)
  const globals = Object.entries(GLOBAL_FLAGS).map(([name, flag]) => flagRow(name, flag))
  sections.push(`Global options:\n${rows(globals, width)}`)

  if (command.examples.length > 0) {
    const examples = command.examples.map(({ line, meaning }) => `  # ${meaning}\n  ${line}`)
    sections.push(`Examples:\n${examples.join("\n\n")}`)
  }
  if (command.subCommands.length > 0) sections.push(`See ${spell(path)} COMMAND --help for more.`)
  return `${sections.join("\n\n")}\n`
}

type Row = readonly [left: string, right: string]

function placeRow(arg: Arg & { type: "positional" }): Row {
  const spelled = arg.spelledAs ? ` (also -${arg.spelledAs.alias}, --${arg.spelledAs.flag})` : ""
  return [(arg.options?.join("|") ?? labelOf(arg)) + (arg.variadic ? "…" : ""), arg.description + spelled]
}

function flagRow(name: string, flag: Flag): Row {
  const short = flag.alias === undefined ? "    " : `-${flag.alias}, `
  const value = labelOf(flag) === "" ? "" : ` ${labelOf(flag)}`
  const no = flag.type === "boolean" && flag.negatable ? `, --no-${name}` : ""
  const also = flag.type === "string" && flag.also ? ` (also --${flag.also})` : ""
  return [`${short}--${name}${no}${value}`, flag.description + also]
}

/** Two columns; the right one is wrapped, and starts below where the left one is long. */
function rows(entries: readonly Row[], width: number): string {
  const left = Math.min(28, Math.max(...entries.map(([name]) => name.length)))
  const indent = " ".repeat(left + 4)
  return entries
    .map(([name, text]) => {
      const wrapped = wrap(text, width, indent)
      return name.length > left ? `  ${name}\n${wrapped}` : `  ${name.padEnd(left + 2)}${wrapped.trimStart()}`
    })
    .join("\n")
}

function wrap(text: string, width: number, indent: string): string {
  const lines: string[] = []
  let line = ""
  for (const word of text.split(" ")) {
    if (line !== "" && indent.length + line.length + 1 + word.length > width) {
      lines.push(indent + line)
      line = word
    } else {
      line = line === "" ? word : `${line} ${word}`
    }
  }
  return [...lines, indent + line].join("\n")
}
