// Shell completion, written from the same definitions as parsing and help. The scripts stand alone: only names of
// collections are asked of the program itself.
import type { Arg, Command, Flag } from "./command.ts"
import { GLOBAL_FLAGS } from "./globals.ts"

export const SHELLS = ["bash", "zsh", "fish"] as const

export function completionScript(shell: (typeof SHELLS)[number], root: Command, bins: readonly string[]): string {
  switch (shell) {
    case "bash":
      return bashScript(root, bins)
    case "zsh":
      return zshScript(root, bins)
    case "fish":
      return fishScript(root, bins)
  }
}

/** What can stand in the place of a value. */
type Kind = { words: readonly string[] } | "files" | "folders" | "collections" | "both" | "nothing"

interface FlagSpec {
  /** With their dashes: `-f`, `--format`. */
  readonly spellings: readonly string[]
  readonly description: string
  /** Undefined for a switch. */
  readonly value: Kind | undefined
}

interface CommandSpec {
  /** Names below the program's own, joined by spaces; "" is the program. */
  readonly path: string
  readonly subCommands: readonly Command[]
  readonly flags: readonly FlagSpec[]
  readonly places: readonly { kind: Kind; description: string }[]
  /** Whether the last place takes every further word too. */
  readonly variadic: boolean
}

function specsOf(root: Command): CommandSpec[] {
  const walk = (command: Command, path: string): CommandSpec[] => {
    const places = Object.values(command.args).flatMap((arg) => (arg.type === "positional" ? [arg] : []))
    const spec: CommandSpec = {
      path,
      subCommands: command.subCommands,
      flags: [
        ...Object.entries(command.args).flatMap(([name, arg]) => flagSpec(name, arg)),
        ...Object.entries(GLOBAL_FLAGS).flatMap(([name, flag]: [string, Flag]) => flagSpec(name, flag)),
      ],
      places: places.map((arg) => ({ kind: kindOf(arg), description: arg.description })),
      variadic: places.at(-1)?.variadic === true,
    }
    return [spec, ...command.subCommands.flatMap((sub) => walk(sub, path === "" ? sub.name : `${path} ${sub.name}`))]
  }
  return walk(root, "")
}

function flagSpec(name: string, arg: Arg): FlagSpec[] {
  const { description } = arg
  const letter = arg.type === "positional" ? arg.spelledAs?.alias : arg.alias
  const short = letter === undefined ? [] : [`-${letter}`]
  if (arg.type === "positional") {
    if (arg.spelledAs === undefined) return []
    return [{ spellings: [...short, `--${arg.spelledAs.flag}`], description, value: kindOf(arg) }]
  }
  if (arg.type !== "boolean") {
    const also = arg.type === "string" && arg.also ? [`--${arg.also}`] : []
    return [{ spellings: [...short, `--${name}`, ...also], description, value: kindOf(arg) }]
  }
  const positive: FlagSpec = { spellings: [...short, `--${name}`], description, value: undefined }
  if (!arg.negatable) return [positive]
  return [positive, { spellings: [`--no-${name}`], description: `Not: ${description}`, value: undefined }]
}

function kindOf(arg: Exclude<Arg, { type: "boolean" }>): Kind {
  if (arg.type !== "string" && arg.options !== undefined) return { words: arg.options }
  switch (arg.type === "enum" ? "" : arg.valueHint) {
    case "FILE|NAME":
      return "both"
    case "FILE":
    case "BEFORE":
    case "AFTER":
    case "VECTOR":
      return "files"
    case "DIR":
      return "folders"
    case "NAME":
      return "collections"
    default:
      return "nothing"
  }
}

// --- bash ---

/** Works with bash 3.2 (macOS) and without the bash-completion package. */
function bashScript(root: Command, bins: readonly string[]): string {
  const specs = specsOf(root)
  const valueFlags = [
    ...new Set(specs.flatMap(({ flags }) => flags.flatMap(({ value, spellings }) => (value ? spellings : [])))),
  ]
  const action = (kind: Kind): string => {
    if (typeof kind === "object") return `_prism_words "${kind.words.join(" ")}"`
    return {
      files: "_prism_files",
      folders: "_prism_folders",
      collections: "_prism_collections",
      both: "_prism_both",
      nothing: ":",
    }[kind]
  }
  const commands = specs.flatMap(({ path, subCommands }) =>
    subCommands.map((sub) => `      "${path}/${sub.name}") path="${path === "" ? "" : `${path} `}${sub.name}" ;;`),
  )
  const values = specs.flatMap(({ path, flags }) =>
    flags.flatMap(({ spellings, value }) =>
      value === undefined
        ? []
        : [`    ${spellings.map((flag) => `"${path}/${flag}"`).join("|")}) ${action(value)}; return ;;`],
    ),
  )
  const places = specs.flatMap(({ path, subCommands, places, variadic }) => {
    if (subCommands.length > 0)
      return [`    "${path}/"*) _prism_words "${subCommands.map(({ name }) => name).join(" ")}" ;;`]
    return places.map(({ kind }, place) => {
      const any = variadic && place === places.length - 1
      return `    "${path}/"${any ? "*" : place}) ${action(kind)} ;;`
    })
  })
  const options = specs.map(({ path, flags }) => {
    const words = flags.flatMap(({ spellings }) => spellings.filter((flag) => flag.startsWith("--")))
    return `      "${path}") _prism_words "${words.join(" ")}" ;;`
  })
  return `# Completion of prism for bash. Load it with: eval "$(prism completion bash)"
_prism_words() { COMPREPLY=($(compgen -W "$1" -- "$cur")); }
_prism_files() { compopt -o filenames 2>/dev/null; local IFS=$'\\n'; COMPREPLY=($(compgen -f -- "$cur")); }
_prism_folders() { compopt -o filenames 2>/dev/null; local IFS=$'\\n'; COMPREPLY=($(compgen -d -- "$cur")); }
_prism_collections() {
  _prism_words "$("\${COMP_WORDS[0]}" \${directory:+--data-dir "$directory"} collection list --quiet 2>/dev/null)"
}
_prism_both() {
  _prism_collections; local names=("\${COMPREPLY[@]}")
  _prism_files; COMPREPLY=("\${names[@]}" "\${COMPREPLY[@]}")
}
_prism() {
  local cur="\${COMP_WORDS[COMP_CWORD]}" path="" place=0 directory="" flag="" word i
  COMPREPLY=()
  # bash breaks --flag=value into three words.
  [ "$cur" = "=" ] && cur=""
  for ((i = 1; i < COMP_CWORD; i++)); do
    word="\${COMP_WORDS[i]}"
    [ "$word" = "=" ] && continue
    if [ -n "$flag" ]; then
      case "$flag" in -d|--data-dir) directory="$word" ;; esac
      flag=""
      continue
    fi
    case "$word" in
      ${valueFlags.join("|")}) flag="$word"; continue ;;
      --) flag=""; continue ;;
      -?*) continue ;;
    esac
    case "$path/$word" in
${commands.join("\n")}
      *) place=$((place + 1)) ;;
    esac
  done
  case "$path/$flag" in
${values.join("\n")}
  esac
  if [[ "$cur" == -* ]]; then
    case "$path" in
${options.join("\n")}
    esac
    return
  fi
  case "$path/$place" in
${places.join("\n")}
  esac
}
complete -F _prism ${bins.join(" ")}
`
}

// --- zsh ---

function zshScript(root: Command, bins: readonly string[]): string {
  const specs = specsOf(root)
  const name = (path: string) => `_prism${path === "" ? "" : `_${path.replaceAll(" ", "_")}`}`
  const text = (words: string) =>
    words.replaceAll("'", "'\\''").replaceAll("[", "\\[").replaceAll("]", "\\]").replaceAll(":", "\\:")
  const action = (kind: Kind): string => {
    if (typeof kind === "object") return `(${kind.words.join(" ")})`
    return {
      files: "_files",
      folders: "_files -/",
      collections: "_prism_names",
      both: "_prism_both",
      nothing: " ",
    }[kind]
  }
  const functions = specs.map(({ path, subCommands, flags, places, variadic }) => {
    const lines = flags.map(({ spellings, description, value }) => {
      // A long flag takes its value after a space or after "=".
      const forms = spellings.map((flag) => (value !== undefined && flag.startsWith("--") ? `${flag}=` : flag))
      const all = forms.length === 1 ? forms[0] : `{${forms.join(",")}}`
      const others = spellings.length === 1 ? "" : `'(${spellings.join(" ")})'`
      return `${others}${all}'[${text(description)}]${value === undefined ? "" : `:value:${action(value)}`}'`
    })
    if (subCommands.length > 0) {
      lines.push("'1:command:->command'", "'*::argument:->argument'")
    } else {
      places.forEach(({ kind, description }, place) => {
        const where = variadic && place === places.length - 1 ? "*" : place + 1
        lines.push(`'${where}:${text(description)}:${action(kind)}'`)
      })
    }
    const descriptions = subCommands.map((sub) => `'${sub.name}:${text(sub.description)}'`)
    const dispatch =
      subCommands.length === 0
        ? ""
        : `
  case $state in
    command)
      local -a commands=(${descriptions.join(" ")})
      _describe command commands ;;
    argument)
      case $words[1] in
${subCommands.map((sub) => `        ${sub.name}) ${name(path === "" ? sub.name : `${path} ${sub.name}`)} ;;`).join("\n")}
      esac ;;
  esac`
    return `${name(path)}() {
  local curcontext="$curcontext" state line
  typeset -A opt_args
  _arguments -C -S \\
    ${lines.join(" \\\n    ")}${dispatch}
}`
  })
  return `#compdef ${bins.join(" ")}
# Completion of prism for zsh. Load it after compinit with: eval "$(prism completion zsh)"
_prism_names() {
  local -a names=(\${(f)"$(prism collection list --quiet 2>/dev/null)"})
  compadd -a names
}
_prism_both() { _prism_names; _files }
${functions.join("\n")}
# Autoloaded from fpath it is called at once, else it is made known.
if [ "$funcstack[1]" = "_prism" ]; then _prism "$@"; else compdef _prism ${bins.join(" ")}; fi
`
}

// --- fish ---

function fishScript(root: Command, bins: readonly string[]): string {
  const specs = specsOf(root)
  const quote = (words: string) => `'${words.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`
  const action = (kind: Kind): string => {
    if (typeof kind === "object") return `-x -a ${quote(kind.words.join(" "))}`
    return {
      files: "-r -F",
      both: "-r -F -a '(prism collection list --quiet 2>/dev/null)'",
      folders: "-x -a '(__fish_complete_directories)'",
      collections: "-x -a '(prism collection list --quiet 2>/dev/null)'",
      nothing: "-x",
    }[kind]
  }
  const valueFlags = [
    ...new Set(specs.flatMap(({ flags }) => flags.flatMap(({ value, spellings }) => (value ? spellings : [])))),
  ]
  const paths = specs.filter(({ path }) => path !== "").map(({ path }) => quote(path))
  const lines: string[] = []
  for (const bin of bins) {
    lines.push(`complete -c ${bin} -f`)
    for (const { path, subCommands, flags, places, variadic } of specs) {
      const at = (place?: string) => `-n ${quote(`__prism_at ${quote(path)}${place === undefined ? "" : ` ${place}`}`)}`
      for (const sub of subCommands)
        lines.push(`complete -c ${bin} ${at()} -a ${sub.name} -d ${quote(sub.description)}`)
      places.forEach(({ kind }, place) => {
        if (kind === "nothing") return
        const where = variadic && place === places.length - 1 ? undefined : String(place)
        lines.push(`complete -c ${bin} ${at(where)} ${action(kind).replace("-r -F", "-F").replace("-x", "-f")}`)
      })
      for (const { spellings, description, value } of flags) {
        const names = spellings.map((flag) => (flag.startsWith("--") ? `-l ${flag.slice(2)}` : `-s ${flag.slice(1)}`))
        lines.push(
          `complete -c ${bin} ${at()} ${names.join(" ")} ${value === undefined ? "" : `${action(value)} `}-d ${quote(description)}`,
        )
      }
    }
  }
  return `# Completion of prism for fish: prism completion fish > ~/.config/fish/completions/prism.fish
# Succeeds where the words typed so far name this command (and, if given, this many arguments follow it).
function __prism_at
    set -l path
    set -l place 0
    set -l skip no
    for word in (commandline -opc)[2..-1]
        if test $skip = yes
            set skip no
            continue
        end
        switch $word
            case ${valueFlags.join(" ")}
                set skip yes
            case '-*'
                continue
            case '*'
                if contains -- (string join ' ' $path $word) ${paths.join(" ")}
                    set -a path $word
                else
                    set place (math $place + 1)
                end
        end
    end
    set -l joined (string join ' ' $path)
    test "$joined" = "$argv[1]"; or return 1
    test (count $argv) -lt 2; or test $place -eq $argv[2]
end
${lines.join("\n")}
`
}
