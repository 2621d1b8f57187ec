// What a command is: one definition gives parsing, help and completion.
import { type ArgsDef, type CommandDef, defineCommand } from "citty"
import type { Context } from "./context.ts"

/** Between the values of a repeatable option on their way through citty: no argument of a process can hold it. */
export const VALUE_SEPARATOR = "\0"

/** What a value stands for; completion offers files, folders or collections for it, and help shows it as written. */
export type ValueHint =
  | "FILE"
  | "FILE|NAME"
  | "DIR"
  | "URL"
  | "NAME"
  | "ID"
  | "QUERY"
  | "FIELDS"
  | "N"
  | "HOST"
  | "TEXT"
  | "ROLE"
  | "VECTOR"
  | "ENTRY"
  | "BEFORE"
  | "AFTER"

interface Described {
  readonly description: string
  /** One letter, used as `-f`. */
  readonly alias?: string
}

/** On or off. `negatable` offers `--no-…` as well. */
interface BooleanFlag extends Described {
  readonly type: "boolean"
  readonly negatable?: true
}

/** Takes a value. `also` is a second long spelling; `number` bounds the value; `repeatable` takes several, as a list. */
interface StringFlag extends Described {
  readonly type: "string"
  readonly valueHint: ValueHint
  readonly also?: string
  readonly required?: true
  readonly number?: { readonly min: number; readonly max: number; readonly integer: boolean }
  readonly repeatable?: true
}

/** Takes one of `options`. */
interface EnumFlag extends Described {
  readonly type: "enum"
  readonly options: readonly string[]
}

/** Given by its place, or by the flag `spelledAs`: both spellings fill the same value. */
interface Positional {
  readonly type: "positional"
  readonly description: string
  readonly valueHint: ValueHint | "SHELL"
  readonly spelledAs?: { readonly flag: string; readonly alias: string }
  readonly required?: false
  readonly options?: readonly string[]
  /** Takes every further argument too; only for the last one. */
  readonly variadic?: true
}

export type Flag = BooleanFlag | StringFlag | EnumFlag
export type Arg = Flag | Positional
export type Args = Readonly<Record<string, Arg>>

type Value<A> = A extends { type: "boolean" }
  ? boolean | undefined
  : A extends { type: "enum"; options: readonly (infer Option)[] }
    ? Option | undefined
    : A extends { number: object }
      ? number | undefined
      : A extends { repeatable: true }
        ? A extends { required: true }
          ? readonly string[]
          : readonly string[] | undefined
        : A extends { variadic: true }
          ? string[]
          : A extends { type: "positional"; required: false }
            ? string | undefined
            : A extends { type: "positional" } | { required: true }
              ? string
              : string | undefined

export type Values<T extends Args> = { readonly [K in keyof T]: Value<T[K]> }

export interface Example {
  readonly line: string
  readonly meaning: string
}

export interface Command {
  readonly name: string
  readonly description: string
  /** Paragraphs that help shows below the usage. */
  readonly details: readonly string[]
  readonly examples: readonly Example[]
  readonly args: Args
  readonly subCommands: readonly Command[]
  /** What citty runs; it gets arguments that `parse` has checked. */
  readonly citty: CommandDef
}

/** A command that does something. `run` gives the exit code; nothing means 0. */
export function command<const T extends Args>(definition: {
  name: string
  description: string
  details?: readonly string[]
  examples: readonly (readonly [line: string, meaning: string])[]
  args: T
  run(context: Context, args: Values<T>): Promise<number | undefined>
}): Command {
  return {
    name: definition.name,
    description: definition.description,
    details: definition.details ?? [],
    examples: definition.examples.map(([line, meaning]) => ({ line, meaning })),
    args: definition.args,
    subCommands: [],
    citty: defineCommand({
      meta: { name: definition.name, description: definition.description },
      args: cittyArgs(definition.args),
      run: ({ args, data }) => definition.run(data as Context, valuesOf(definition.args, args)),
    }) as CommandDef,
  }
}

/** A noun with commands below it. */
export function group(definition: {
  name: string
  description: string
  details?: readonly string[]
  examples?: readonly (readonly [line: string, meaning: string])[]
  subCommands: readonly Command[]
}): Command {
  return {
    name: definition.name,
    description: definition.description,
    details: definition.details ?? [],
    examples: (definition.examples ?? []).map(([line, meaning]) => ({ line, meaning })),
    args: {},
    subCommands: definition.subCommands,
    citty: defineCommand({
      meta: { name: definition.name, description: definition.description },
      subCommands: Object.fromEntries(definition.subCommands.map((sub) => [sub.name, sub.citty])),
    }),
  }
}

/** Nothing is required here: `parse` has said what is missing, in our words. */
function cittyArgs(args: Args): ArgsDef {
  const converted: ArgsDef = {}
  for (const [name, arg] of Object.entries(args)) {
    if (arg.type === "positional") converted[name] = { type: "positional", required: false }
    else converted[name] = { type: arg.type === "boolean" ? "boolean" : "string" }
  }
  return converted
}

function valuesOf<T extends Args>(definitions: T, parsed: Record<string, unknown> & { _: string[] }): Values<T> {
  const values: Record<string, unknown> = {}
  let place = 0
  for (const [name, arg] of Object.entries(definitions)) {
    if (arg.type === "positional") {
      values[name] = arg.variadic ? parsed._.slice(place) : parsed._[place]
      place++
    } else if (arg.type === "string" && arg.number && parsed[name] !== undefined) {
      values[name] = Number(parsed[name])
    } else if (arg.type === "string" && arg.repeatable) {
      values[name] = (parsed[name] as string | undefined)?.split(VALUE_SEPARATOR)
    } else {
      values[name] = parsed[name]
    }
  }
  return values as Values<T>
}
