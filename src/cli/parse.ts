// The strict layer over citty, which by itself keeps only the last of a repeated option, takes unknown options and
// extra arguments without a word, and loses global flags before the sub-command.
import { PrismError } from "../base/errors.ts"
import { closest } from "../base/similar.ts"
import { type Arg, type Command, type Flag, VALUE_SEPARATOR } from "./command.ts"
import { GLOBAL_FLAGS, type Globals } from "./globals.ts"

export interface Parsed {
  /** From the program down to the command, by name. */
  readonly path: readonly Command[]
  readonly globals: Globals
  /** The same arguments in the one form that citty reads without guessing: `--flag=value`, then `--`, then the rest. */
  readonly rawArgs: readonly string[]
}

/** A mistake in the command line itself. */
export function usageError(message: string, hint: string): PrismError {
  return new PrismError("USAGE", message, { hint })
}

/** Whether a flag stands anywhere before `--`. A value never starts with `-`, so this cannot mistake one for a flag. */
export function hasFlag(argv: readonly string[], name: "help" | "version" | "json"): boolean {
  const end = argv.indexOf("--")
  const flag: Flag = GLOBAL_FLAGS[name]
  const letter = flag.alias
  return (end === -1 ? argv : argv.slice(0, end)).some(
    (token) => token === `--${name}` || (letter !== undefined && /^-[hqvV]+$/.test(token) && token.includes(letter)),
  )
}

/** Global flags whose value is the next word. */
const GLOBAL_VALUES = new Set(
  Object.entries(GLOBAL_FLAGS).flatMap(([name, flag]: [string, Flag]) =>
    flag.type === "boolean" ? [] : [`--${name}`, ...(flag.alias === undefined ? [] : [`-${flag.alias}`])],
  ),
)

/** The deepest command that the words name, as far as they do: what help is shown for. */
export function resolvePath(argv: readonly string[], root: Command): Command[] {
  const path = [root]
  for (let place = 0; place < argv.length; place++) {
    const token = argv[place]!
    if (token === "--") break
    if (token.startsWith("-")) {
      if (GLOBAL_VALUES.has(token)) place++
      continue
    }
    const next = path.at(-1)!.subCommands.find((sub) => sub.name === token)
    if (next === undefined) break
    path.push(next)
  }
  return path
}

/** Checks every word of a command line. @throws PrismError USAGE, with a suggestion. */
export function parse(argv: readonly string[], root: Command): Parsed {
  const path = [root]
  const values = new Map<string, string | boolean>()
  const positionals: string[] = []
  const current = () => path.at(-1)!
  const see = () => `see ${spell(path)} --help`

  const takePositional = (token: string) => {
    if (current().subCommands.length === 0) {
      positionals.push(token)
      return
    }
    const next = current().subCommands.find((sub) => sub.name === token)
    if (next === undefined) {
      const names = current().subCommands.map((sub) => sub.name)
      const similar = closest(token, names)
      throw usageError(
        `Unknown command "${[...path.slice(1).map((command) => command.name), token].join(" ")}"`,
        token === "help" || token === "version"
          ? `write it as an option: ${spell(token === "help" ? path : [root])} --${token}`
          : similar === undefined
            ? `the commands are ${names.join(", ")}`
            : `did you mean "${similar}"?`,
      )
    }
    path.push(next)
  }

  const set = (name: string, shown: string, flag: Flag | undefined, value: string | boolean) => {
    const before = values.get(name)
    if (before === undefined) values.set(name, value)
    else if (flag?.type === "string" && flag.repeatable) values.set(name, `${before}${VALUE_SEPARATOR}${value}`)
    // Twice the same switch is harmless; two values, or on and off, are not ours to choose from.
    else if (before !== value) throw usageError(`${shown} is given twice`, "give it once")
  }

  let place = 0
  const takeValue = (shown: string): string => {
    const value = argv[place + 1]
    if (value === undefined || (value.startsWith("-") && value !== "-" && !/^-[\d.]/.test(value))) {
      throw usageError(`${shown} needs a value`, `a value that starts with "-" is written ${longOf(shown)}=VALUE`)
    }
    place++
    return value
  }

  const longOf = (shown: string): string => {
    if (shown.startsWith("--")) return shown
    const found = flagsOf(current()).find((entry) => entry.alias === shown.slice(1))
    return found === undefined ? shown : `--${found.name}`
  }

  const unknown = (shown: string): PrismError => {
    const known = flagsOf(current())
    const names = known.flatMap((entry) => (entry.negatable ? [entry.name, `no-${entry.name}`] : [entry.name]))
    const similar = shown.startsWith("--") ? closest(shown.slice(2), names) : undefined
    const below = path.length === 1 || current().subCommands.length > 0
    if (similar === undefined && below && ownerBelow(current(), shown) !== undefined) {
      return usageError(`Unknown option ${shown} before the command`, "put it after the command's name")
    }
    return usageError(
      `Unknown option ${shown}`,
      similar === undefined ? see() : `did you mean --${similar}? (${see()})`,
    )
  }

  const takeLong = (token: string) => {
    const equals = token.indexOf("=")
    const shown = equals === -1 ? token : token.slice(0, equals)
    const entry = flagsOf(current()).find(({ name }) => name === shown.slice(2))
    const negated = entry
      ? undefined
      : flagsOf(current()).find(({ name, negatable }) => negatable && `--no-${name}` === shown)
    const found = entry ?? negated
    if (found === undefined) throw unknown(shown)
    if (found.flag?.type === "boolean") {
      if (equals !== -1) throw usageError(`${shown} takes no value`, `write ${shown} alone`)
      set(found.fills, shown, found.flag, negated === undefined)
      return
    }
    const value = equals === -1 ? takeValue(shown) : token.slice(equals + 1)
    set(found.fills, shown, found.flag, checkValue(shown, found.flag, value))
  }

  const takeShort = (token: string) => {
    for (let letter = 1; letter < token.length; letter++) {
      const shown = `-${token[letter]}`
      const found = flagsOf(current()).find(({ alias }) => alias === token[letter])
      if (found === undefined) throw unknown(shown)
      if (found.flag?.type === "boolean") {
        set(found.fills, shown, found.flag, true)
        continue
      }
      const attached = token.slice(letter + 1).replace(/^=/, "")
      const value = letter + 1 < token.length ? attached : takeValue(shown)
      set(found.fills, shown, found.flag, checkValue(shown, found.flag, value))
      return
    }
  }

  for (; place < argv.length; place++) {
    const token = argv[place]!
    if (token === "--") {
      for (const rest of argv.slice(place + 1)) takePositional(rest)
      break
    }
    if (token.startsWith("--")) takeLong(token)
    else if (token.startsWith("-") && token !== "-") takeShort(token)
    else takePositional(token)
  }

  if (current().subCommands.length > 0) {
    const names = current().subCommands.map((sub) => sub.name)
    throw usageError(`${spell(path)} needs a command`, `one of ${names.join(", ")}; ${see()}`)
  }
  const globals: Globals = {
    dataDir: values.get("data-dir") as string | undefined,
    apiUrl: values.get("api-url") as string | undefined,
    apiKeyFile: values.get("api-key-file") as string | undefined,
    json: values.get("json") === true,
    quiet: values.get("quiet") === true,
    color: values.get("no-color") !== true,
  }
  if (globals.dataDir === "") throw usageError("--data-dir is empty", "name a folder")
  if (globals.dataDir !== undefined && globals.apiUrl !== undefined) {
    throw usageError("--data-dir and --api-url exclude each other", "collections are in one place: give one of them")
  }
  return { path, globals, rawArgs: canonical(path, values, positionals) }
}

interface FlagEntry {
  readonly name: string
  readonly alias: string | undefined
  /** The argument whose value it gives: its own, or the positional that it spells. */
  readonly fills: string
  /** Undefined where it spells a positional. */
  readonly flag: Flag | undefined
  readonly negatable: boolean
}

/** Every flag that a command takes, global ones included. */
function flagsOf(command: Command): FlagEntry[] {
  const entry = (name: string, flag: Flag): FlagEntry => ({
    name,
    alias: flag.alias,
    fills: name,
    flag,
    negatable: flag.type === "boolean" && flag.negatable === true,
  })
  const own = Object.entries(command.args).flatMap(([name, arg]): FlagEntry[] => {
    if (arg.type !== "positional") {
      const also = arg.type === "string" && arg.also ? [{ ...entry(name, arg), name: arg.also, alias: undefined }] : []
      return [entry(name, arg), ...also]
    }
    if (arg.spelledAs === undefined) return []
    return [{ name: arg.spelledAs.flag, alias: arg.spelledAs.alias, fills: name, flag: undefined, negatable: false }]
  })
  return [...own, ...Object.entries(GLOBAL_FLAGS).map(([name, flag]) => entry(name, flag))]
}

function ownerBelow(command: Command, shown: string): Command | undefined {
  if (flagsOf(command).some(({ name, alias }) => shown === `--${name}` || shown === `-${alias}`)) return command
  for (const sub of command.subCommands) {
    const found = ownerBelow(sub, shown)
    if (found !== undefined) return found
  }
  return undefined
}

function checkValue(shown: string, flag: Flag | undefined, value: string): string {
  if (flag?.type === "enum") {
    checkOption(shown, flag.options, value)
  } else if (flag?.type === "string" && flag.number !== undefined) {
    const { min, max, integer } = flag.number
    const number = /^-?\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN
    if (!(number >= min && number <= max) || (integer && !Number.isInteger(number))) {
      throw usageError(
        `${shown} takes a ${integer ? "whole " : ""}number from ${min} to ${max}, not "${value}"`,
        `for example ${shown} ${integer ? Math.min(max, Math.max(min, 10)) : (min + Math.min(max, min + 1)) / 2}`,
      )
    }
  }
  return value
}

function checkOption(shown: string, options: readonly string[], value: string): void {
  if (options.includes(value)) return
  const similar = closest(value, options)
  const all = [options.slice(0, -1).join(", "), options.at(-1)].filter((part) => part !== "").join(" or ")
  throw usageError(
    `${shown} takes ${all}, not "${value}"`,
    similar === undefined ? `for example ${options[0]}` : `did you mean "${similar}"?`,
  )
}

/** Puts each value in its place, and says what is missing or too much. */
function canonical(
  path: readonly Command[],
  values: ReadonlyMap<string, string | boolean>,
  positionals: readonly string[],
): string[] {
  const command = path.at(-1)!
  const rest = [...positionals]
  const inPlace: string[] = []
  const flags: string[] = []
  for (const [name, arg] of Object.entries(command.args)) {
    const value = values.get(name)
    if (arg.type !== "positional") {
      if (value === undefined && arg.type === "string" && arg.required) {
        throw usageError(`Missing ${spellFlag(name, arg)}`, `usage: ${usageOf(path)}`)
      }
      if (value !== undefined) {
        flags.push(value === true ? `--${name}` : value === false ? `--no-${name}` : `--${name}=${value}`)
      }
      continue
    }
    const word = value === undefined ? rest.shift() : String(value)
    if (word === undefined) {
      if (arg.required !== false) throw usageError(`Missing ${labelOf(arg)}`, `usage: ${usageOf(path)}`)
      continue
    }
    // Ids are variadic, and the empty text is one: archives of 0.6 may hold it.
    if (word === "" && !arg.variadic) throw usageError(`${labelOf(arg)} is empty`, `usage: ${usageOf(path)}`)
    if (arg.options !== undefined) checkOption(arg.valueHint, arg.options, word)
    inPlace.push(word)
    if (arg.variadic) inPlace.push(...rest.splice(0))
  }
  if (rest.length > 0) {
    const spelled = Object.entries(command.args).find(([name, arg]) => arg.type === "positional" && values.has(name))
    const again = spelled === undefined ? "" : ` (${labelOf(spelled[1])} is given by its option already)`
    throw usageError(`Unexpected argument "${rest[0]}"${again}`, `usage: ${usageOf(path)}`)
  }
  return [...flags, "--", ...inPlace]
}

/** How help and messages call an argument. */
export function labelOf(arg: Arg): string {
  return arg.type === "boolean" ? "" : arg.type === "enum" ? arg.options.join("|") : arg.valueHint
}

/** The words that call a command: `prism collection export`. */
export function spell(path: readonly Command[]): string {
  return path.map((command) => command.name).join(" ")
}

/** One line: the words, what stands in place, and that there are options. */
export function usageOf(path: readonly Command[]): string {
  const command = path.at(-1)!
  if (command.subCommands.length > 0) return `${spell(path)} COMMAND [OPTIONS]`
  const places = Object.values(command.args)
    .filter((arg) => arg.type === "positional")
    .map((arg) => {
      const label = (arg.options?.join("|") ?? arg.valueHint) + (arg.variadic ? "…" : "")
      return arg.required === false ? `[${label}]` : label
    })
  const required = Object.entries(command.args).flatMap(([name, arg]) =>
    arg.type === "string" && arg.required ? [spellFlag(name, arg)] : [],
  )
  return [spell(path), ...places, ...required, "[OPTIONS]"].join(" ")
}

function spellFlag(name: string, flag: Flag): string {
  return `${flag.alias === undefined ? `--${name}` : `-${flag.alias}`} ${labelOf(flag)}`
}
