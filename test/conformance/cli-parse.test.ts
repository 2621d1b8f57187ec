import { describe, expect, test } from "vitest"
import { PrismError } from "../../src/base/errors.ts"
import type { Command } from "../../src/cli/command.ts"
import { renderHelp } from "../../src/cli/help.ts"
import { parse, spell } from "../../src/cli/parse.ts"
import { program } from "../../src/cli/program.ts"

function parsed(line: string) {
  const { path, globals, rawArgs } = parse(words(line), program)
  return { command: spell(path.slice(1)), globals, rawArgs: rawArgs.join(" ") }
}

function words(line: string): string[] {
  return line === "" ? [] : line.split(" ").map((word) => word.replaceAll("_", " "))
}

function mistake(line: string): string {
  try {
    parse(words(line), program)
  } catch (error) {
    if (error instanceof PrismError && error.code === "USAGE") return `${error.message} | ${error.hint}`
    throw error
  }
  throw new Error(`accepted: ${line}`)
}

describe("spellings", () => {
  test("a name is given in its place or by -n and --name", () => {
    const expected = { command: "collection export", rawArgs: "--output=x -- a" }
    for (const line of [
      "collection export a -o x",
      "collection export -o x a",
      "collection export -n a -o x",
      "collection export --name a --output x",
      "collection export --name=a --output=x",
      "collection export -na -ox",
      "collection export -n=a -o=x",
      "collection export -o x -- a",
    ]) {
      expect(parsed(line)).toMatchObject(expected)
    }
  })

  test("--format and -f, --target-collection, --target and -t are one", () => {
    expect(parsed("collection export a -o x -f portable").rawArgs).toBe("--output=x --format=portable -- a")
    expect(parsed("collection export a -o x --format portable").rawArgs).toBe("--output=x --format=portable -- a")
    for (const flag of ["--target-collection", "--target", "-t"]) {
      expect(parsed(`collection restore -f x ${flag} b`).rawArgs).toBe("--file=x --target-collection=b --")
    }
  })

  test("a name given by its option leaves the places to what follows", () => {
    expect(parsed("search -c a query").rawArgs).toBe("-- a query")
    expect(parsed("search a query").rawArgs).toBe("-- a query")
  })

  test("global flags stand before or after the command", () => {
    const expected = { dataDir: "x", json: true, quiet: true, color: false }
    expect(parsed("-d x --json -q --no-color collection list").globals).toEqual(expected)
    expect(parsed("collection --data-dir=x --json list -q --no-color").globals).toEqual(expected)
    expect(parsed("collection list -d x --json --quiet --no-color").globals).toEqual(expected)
    expect(parsed("collection list").globals).toEqual({ dataDir: undefined, json: false, quiet: false, color: true })
  })

  test("short switches may stand together", () => {
    expect(parsed("collection inspect a -vq")).toMatchObject({ globals: { quiet: true }, rawArgs: "--verbose -- a" })
  })

  test("a switch can be turned off where that is offered", () => {
    expect(parsed("collection export a -o x --no-progress").rawArgs).toBe("--output=x --no-progress -- a")
    expect(parsed("collection export a -o x --progress").rawArgs).toBe("--output=x --progress -- a")
    expect(mistake("collection export a -o x --no-force")).toContain("Unknown option --no-force")
  })

  test("values keep spaces, equals signs and signs", () => {
    expect(parsed("search a --filter=price=_-1 b_c").rawArgs).toBe("--filter=price= -1 -- a b c")
    expect(parsed("search a --min-score -0.5 b").rawArgs).toBe("--min-score=-0.5 -- a b")
    expect(parsed("search a -- -minus").rawArgs).toBe("-- a -minus")
    expect(parsed("collection restore -f -").rawArgs).toBe("--file=- --")
  })

  test("a repeatable option keeps its values apart", () => {
    expect(parsed("search a b --fields x --fields y,z").rawArgs).toBe("--fields=x\0y,z -- a b")
    expect(parsed("serve --backup-root /a,b --backup-root /c").rawArgs).toBe("--backup-root=/a,b\0/c --")
  })
})

describe("mistakes", () => {
  test("an unknown command comes with a suggestion", () => {
    expect(mistake("colection list")).toBe('Unknown command "colection" | did you mean "collection"?')
    expect(mistake("collection lsit")).toBe('Unknown command "collection lsit" | did you mean "list"?')
    expect(mistake("collection frobnicate")).toContain("the commands are list, create")
  })

  test("an unknown option comes with a suggestion", () => {
    expect(mistake("collection export a -o x --formta portable")).toContain(
      "Unknown option --formta | did you mean --format?",
    )
    expect(mistake("collection export a -o x --no-progres")).toContain("did you mean --no-progress?")
    expect(mistake("collection export a -o x -z")).toContain("Unknown option -z | see prism collection export --help")
  })

  test("what no version knows, or a later one, is not taken silently", () => {
    for (const line of [
      "backup",
      "collection freeze a",
      "collection attach -f x",
      "collection list --api-token x",
      "collection list --everything",
    ]) {
      expect(mistake(line)).toMatch(/^Unknown (command|option)/)
    }
  })

  test("a format that there is not is refused, with the one that was meant", () => {
    expect(mistake("collection restore -f x --format encrypted")).toContain("--format takes portable or snapshot, not")
    expect(mistake("collection export a -o x -f portabel")).toContain('did you mean "portable"?')
  })

  test("an option of a command that stands before it is told where it belongs", () => {
    expect(mistake("--format portable collection export a")).toContain("Unknown option --format before the command")
    expect(mistake("-o x collection export a")).toContain("Unknown option -o before the command")
  })

  test("missing and extra words are named, with the usage", () => {
    expect(mistake("collection export -o x")).toBe(
      "Missing NAME | usage: prism collection export NAME -o FILE [OPTIONS]",
    )
    expect(mistake("collection export a")).toContain("Missing -o FILE")
    expect(mistake("collection list a")).toContain('Unexpected argument "a"')
    expect(mistake("collection export a b -o x")).toContain('Unexpected argument "b"')
    expect(mistake("collection export -n a b -o x")).toContain("NAME is given by its option already")
    expect(mistake("document get -c a")).toContain("Missing ID")
    expect(mistake("document get x")).toContain("Missing -c NAME")
    expect(mistake("collection")).toContain("prism collection needs a command")
    expect(mistake("-q")).toContain("prism needs a command")
    expect(mistake("collection help")).toContain("prism collection --help")
    expect(mistake("version")).toContain("prism --version")
  })

  test("an option without its value, or with one that it does not take", () => {
    expect(mistake("collection export a -o")).toContain("-o needs a value | a value that starts")
    expect(mistake("collection export a -o --force")).toContain("--output=VALUE")
    expect(mistake("collection list --json=yes")).toContain("--json takes no value")
    expect(mistake("collection list --data-dir=")).toContain("--data-dir is empty")
  })

  test("an option given twice with two values", () => {
    expect(mistake("collection export a -o x -o y")).toContain("-o is given twice")
    expect(mistake("collection export a -o x --progress --no-progress")).toContain("is given twice")
    expect(parsed("collection list --json --json").globals.json).toBe(true)
  })

  test("numbers are whole, and within bounds", () => {
    for (const value of ["abc", "1.5", "-1", "10001", "1e3", "0x10", ""]) {
      expect(mistake(`search a b --limit=${value}`)).toContain("--limit takes a whole number from 0 to 10000")
    }
    expect(parsed("search a b --text-weight 0.25").rawArgs).toContain("--text-weight=0.25")
  })
})

describe("help", () => {
  function* commands(command: Command, path: Command[] = []): Generator<Command[]> {
    const here = [...path, command]
    yield here
    for (const sub of command.subCommands) yield* commands(sub, here)
  }
  const all = [...commands(program)]

  test("every command has a page that names each of its options, with an example that parses", () => {
    for (const path of all) {
      const page = renderHelp(path, 80)
      const command = path.at(-1)!
      expect(page).toContain(command.description)
      for (const [name, arg] of Object.entries(command.args)) {
        if (arg.type === "positional") expect(page).toContain(arg.description.slice(0, 20))
        else expect(page).toContain(`--${name}`)
      }
      expect(command.examples.length).toBeGreaterThan(0)
      for (const { line } of command.examples) {
        const call = /(?:^|[| (])prism ([^|<>)"]*(?:"[^"]*")?[^|<>)]*)/.exec(line)
        if (call === null) throw new Error(`no call of prism in: ${line}`)
        const argv = [...call[1]!.matchAll(/"([^"]*)"|'([^']*)'|([^\s"']+)/g)].map(
          (word) => word[1] ?? word[2] ?? word[3]!,
        )
        if (line.startsWith("xargs ")) argv.push("what-xargs-adds")
        const example = spell(parse(argv, program).path)
        if (command.subCommands.length === 0) expect(example).toBe(spell(path))
      }
    }
  })

  test("no line is wider than the terminal, where words allow", () => {
    for (const path of all) {
      const tooWide = renderHelp(path, 80)
        .split("\n")
        .filter((line) => line.length > 80 && !line.startsWith("  prism") && !/^ {2}\S+.*\| /.test(line))
      expect(tooWide).toEqual([])
    }
  })
})
