// The reference page of the command line, made of the definitions that parse it: docs/cli/prism-cli.md.
import { type Arg, type Command, type Flag } from "./command.ts"
import { GLOBAL_FLAGS } from "./globals.ts"
import { labelOf, spell, usageOf } from "./parse.ts"

/** Markdown on every command below `root`. */
export function renderReference(root: Command): string {
  const sections = [
    "# The command line",
    "`prism` and `prism-cli` are one program. This page is made of the definitions that parse its arguments (`npm run docs:cli`), so it says what the " +
      "program does; `--help` after any command says the same on a terminal.",
    contents(root),
    "## Global options",
    "They stand before or after the command.",
    flagTable(Object.entries(GLOBAL_FLAGS)),
    ...commandsBelow([root]).map(section),
  ]
  return `${sections.join("\n\n")}\n`
}

/** Paths to the commands that do something, in the order of help. */
function commandsBelow(path: readonly Command[]): (readonly Command[])[] {
  const { subCommands } = path.at(-1)!
  return subCommands.length === 0 ? [path] : subCommands.flatMap((sub) => commandsBelow([...path, sub]))
}

function contents(root: Command): string {
  const rows = commandsBelow([root]).map((path) => {
    const words = spell(path)
    return `| [\`${words}\`](#${words.replaceAll(" ", "-")}) | ${cell(path.at(-1)!.description)} |`
  })
  return ["| Command | |", "|---|---|", ...rows].join("\n")
}

function section(path: readonly Command[]): string {
  const { description, details, args, examples } = path.at(-1)!
  const places = Object.values(args).flatMap((arg) => (arg.type === "positional" ? [arg] : []))
  const flags = Object.entries(args).flatMap(([name, arg]) => (arg.type === "positional" ? [] : [[name, arg] as const]))
  const parts = [`## ${spell(path)}`, `${description}.`, `    ${usageOf(path)}`, ...details]
  if (places.length > 0) parts.push(placeTable(places))
  if (flags.length > 0) parts.push(flagTable(flags))
  if (examples.length > 0) {
    const lines = examples.map(({ line, meaning }) => `# ${meaning}\n${line}`)
    parts.push(`\`\`\`sh\n${lines.join("\n\n")}\n\`\`\``)
  }
  return parts.join("\n\n")
}

function placeTable(places: readonly (Arg & { type: "positional" })[]): string {
  const rows = places.map((arg) => {
    const also = arg.spelledAs ? `, also \`-${arg.spelledAs.alias}\` and \`--${arg.spelledAs.flag}\`` : ""
    const label = (arg.options?.join("|") ?? labelOf(arg)) + (arg.variadic ? "…" : "")
    return `| \`${cell(label)}\`${also} | ${cell(arg.description)}${arg.required === false ? " (may be left out)" : ""} |`
  })
  return ["| Argument | |", "|---|---|", ...rows].join("\n")
}

function flagTable(flags: readonly (readonly [string, Flag])[]): string {
  const rows = flags.map(([name, flag]) => {
    const label = labelOf(flag)
    const value = label === "" ? "" : ` ${label}`
    const spellings = [
      ...(flag.alias === undefined ? [] : [`-${flag.alias}${value}`]),
      `--${name}${value}`,
      ...(flag.type === "boolean" && flag.negatable ? [`--no-${name}`] : []),
      ...(flag.type === "string" && flag.also ? [`--${flag.also}${value}`] : []),
    ]
    const required = flag.type === "string" && flag.required ? " (required)" : ""
    return `| ${spellings.map((spelling) => `\`${cell(spelling)}\``).join(", ")} | ${cell(flag.description)}${required} |`
  })
  return ["| Option | |", "|---|---|", ...rows].join("\n")
}

function cell(text: string): string {
  return text.replaceAll("|", "\\|")
}
