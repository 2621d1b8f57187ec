import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeEach, expect, test } from "vitest"
import { readmeSteps, readReadme, runSteps } from "../scripts/readme.mjs"

const ROOT = fileURLToPath(new URL("..", import.meta.url))

let folder = ""

/** A user's folder in which the build of this checkout is installed as `prism`. */
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), "prism-readme-"))
  mkdirSync(join(folder, "node_modules/.bin"), { recursive: true })
  symlinkSync(ROOT, join(folder, "node_modules/prism"), "dir")
  const program = join(folder, "node_modules/.bin/prism")
  writeFileSync(program, `#!/bin/sh\nexec "${process.execPath}" "${join(ROOT, "dist/runtime-node/bin.js")}" "$@"\n`)
  chmodSync(program, 0o755)
})

afterEach(() => rmSync(folder, { recursive: true }))

test("every command of the README prints what the README shows", () => {
  const steps = readmeSteps(readReadme())
  expect(steps.filter((step) => "command" in step).length).toBeGreaterThan(3)
  expect(steps.filter((step) => "file" in step).length).toBeGreaterThan(1)
  expect(runSteps(folder, steps)).toEqual([])
})

test("files are written, commands run in order, and a changed or failing output is told", () => {
  const markdown = [
    "```yaml title=a.yaml\na: 1\n```",
    "```console\n$ cat a.yaml\na: 1\n$ printf '%s took %s\\n' \\\n    it 12.5ms\nit took 3ms\n$ echo one\ntwo\n$ false\n```",
    "```sh\necho not run\n```\n",
  ].join("\n\ntext\n\n")
  const differences = runSteps(folder, readmeSteps(markdown))
  expect(readFileSync(join(folder, "a.yaml"), "utf8")).toBe("a: 1\n")
  expect(differences).toHaveLength(2)
  expect(differences[0]).toContain("$ echo one\nprints:\none\n\nbut the README says:\ntwo\n")
  expect(differences[1]).toContain("$ false\nends with exit 1")
})

test("what the README links to is there", () => {
  const links = [...readReadme().matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, path = ""]) => path)
  expect(links.length).toBeGreaterThan(3)
  expect(links.filter((path) => !existsSync(join(ROOT, path)))).toEqual([])
})
