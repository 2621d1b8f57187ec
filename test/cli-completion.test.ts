import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, test } from "vitest"
import type { Command } from "../src/cli/command.ts"
import { completionScript } from "../src/cli/completion.ts"
import { BIN_NAMES, program } from "../src/cli/program.ts"

let folder: string

beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "prism-completion-"))
  writeFileSync(join(folder, "products.yaml"), "")
  mkdirSync(join(folder, "backups"))
  // Stands for the program, which is asked for the names of collections.
  writeFileSync(
    join(folder, "prism"),
    '#!/bin/sh\n[ "$*" = "collection list --quiet" ] && printf "posts\\nproducts\\n"\n',
    {
      mode: 0o755,
    },
  )
})

afterAll(() => rmSync(folder, { recursive: true, force: true }))

function shell(name: string, script: string): string {
  const env = { ...process.env, PATH: `${folder}:${process.env["PATH"]}`, HOME: folder }
  const { status, stdout, stderr } = spawnSync(name, ["-c", script], { cwd: folder, encoding: "utf8", env })
  expect(stderr).toBe("")
  expect(status).toBe(0)
  return stdout
}

function has(name: string): boolean {
  const there = spawnSync(name, ["-c", "exit 0"]).status === 0
  if (!there) console.warn(`skipped: completion in ${name}, which is not installed`)
  return there
}

/** Command lines up to the cursor, and what can follow. */
const CASES: [line: string, candidates: string[]][] = [
  [
    "prism ",
    ["serve", "collection", "archive", "document", "search", "index", "benchmark", "key", "api-key", "completion"],
  ],
  ["prism col", ["collection"]],
  ["prism-cli doc", ["document"]],
  ["prism collection ex", ["export"]],
  ["prism --json collection ex", ["export"]],
  ["prism -d backups collection ex", ["export"]],
  ["prism collection export p", ["posts", "products"]],
  ["prism collection export -n pr", ["products"]],
  ["prism collection export products --fo", ["--format", "--force"]],
  ["prism collection export products --format p", ["portable"]],
  ["prism collection verify prod", ["products", "products.yaml"]],
  ["prism collection verify --name pr", ["products"]],
  ["prism collection restore --on-bad-line ", ["fail", "skip"]],
  ["prism collection create posts --schema pro", ["products.yaml"]],
  ["prism document import -c po", ["posts"]],
  ["prism search products --strategy r", ["rrf"]],
  ["prism search products words and ", []],
  ["prism index ", ["optimize", "stats"]],
  ["prism index stats -c po", ["posts"]],
  ["prism index stats --rec", ["--recall"]],
  ["prism archive ", ["ls", "cat", "diff"]],
  ["prism archive ls products.y", ["products.yaml"]],
  ["prism archive diff one products.y", ["products.yaml"]],
  ["prism archive cat products.yaml --key-file products.y", ["products.yaml"]],
  ["prism key rotate --re", ["--remove", "--rekey"]],
  ["prism collection export products --enc-version ", ["1", "2"]],
  ["prism collection restore --ids products.y", ["products.yaml"]],
  ["prism collection restore --dr", ["--dry-run"]],
  ["prism completion z", ["zsh"]],
  ["prism collection list --data-dir back", ["backups"]],
  ["prism collection list --al", ["--all"]],
  ["prism --api-url http://localhost:3080 collection de", ["detach", "delete"]],
  ["prism collection detach --name po", ["posts"]],
  ["prism collection attach --input products.y", ["products.yaml"]],
  ["prism benchmark -c posts --queries products.y", ["products.yaml"]],
]

describe.skipIf(!has("bash"))("bash", () => {
  test("completes commands, options, their values and names of collections", () => {
    writeFileSync(join(folder, "prism.bash"), completionScript("bash", program, BIN_NAMES))
    const asked = CASES.map(([line]) => {
      const words = line.split(" ")
      return `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}); COMP_CWORD=${words.length - 1}; _prism; echo "\${COMPREPLY[*]}"`
    })
    const answers = shell("bash", `source ./prism.bash\n${asked.join("\n")}`).split("\n")
    // The stub that stands for prism-cli's other name is not there, and it is not asked.
    expect(CASES.map(([line], place) => [line, answers[place]])).toEqual(
      CASES.map(([line, candidates]) => [line, candidates.join(" ")]),
    )
  })

  test("completes the value behind an equals sign, which bash makes a word of its own", () => {
    const asked = "COMP_WORDS=(prism collection export a --format = po); COMP_CWORD=6; _prism; echo ${COMPREPLY[*]}"
    expect(shell("bash", `source ./prism.bash\n${asked}`)).toBe("portable\n")
  })
})

describe.skipIf(!has("fish"))("fish", () => {
  test("completes commands, options, their values and names of collections", () => {
    writeFileSync(join(folder, "prism.fish"), completionScript("fish", program, BIN_NAMES))
    const asked = CASES.map(([line]) => `complete -C '${line}'; echo ==`)
    const answers = shell("fish", `source ./prism.fish\n${asked.join("\n")}`).split("==\n")
    for (const [place, [line, candidates]] of CASES.entries()) {
      const words = answers[place]!.split("\n")
        .map((row) => row.split("\t")[0]!.replace(/\/$/, ""))
        .filter((word) => word !== "")
      expect([line, words.sort()]).toEqual([line, candidates.toSorted()])
    }
  })
})

describe.skipIf(!has("zsh"))("zsh", () => {
  test("reads the script, and every command has its function", () => {
    writeFileSync(join(folder, "prism.zsh"), completionScript("zsh", program, BIN_NAMES))
    const script =
      "autoload -U compinit; compinit -u -D; source ./prism.zsh; print -l ${(k)functions[(I)_prism*]} $_comps[prism-cli]"
    const functions = shell("zsh", script).split("\n")
    for (const name of ["_prism_collection_export", "_prism_document_import", "_prism_search", "_prism"]) {
      expect(functions).toContain(name)
    }
  })
})

test("a letter means a switch everywhere or a value everywhere: completion skips values before it knows the command", () => {
  const switches = new Set<string>()
  const values = new Set<string>()
  const walk = (command: Command) => {
    for (const [name, arg] of Object.entries(command.args)) {
      if (arg.type === "positional") continue
      const kind = arg.type === "boolean" ? switches : values
      kind.add(name)
      if (arg.alias !== undefined) kind.add(arg.alias)
    }
    command.subCommands.forEach(walk)
  }
  walk(program)
  expect([...switches].filter((name) => values.has(name))).toEqual([])
})
