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
import { dirname, join } from "node:path"
import { fileURLToPath } from "node:url"
import { afterEach, beforeEach, expect, test } from "vitest"
import { readmeSteps, readPage, runSteps } from "../scripts/readme.mjs"
import { ERROR_CODES } from "../src/base/errors.ts"

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

const PAGES = ["README.md", "docs/storage.md", "docs/guides/export-import.md", "docs/guides/encryption.md"]

test.each(PAGES)("every command of %s prints what stands there", (page) => {
  const steps = readmeSteps(readPage(page))
  expect(steps.filter((step) => "command" in step).length).toBeGreaterThan(3)
  expect(steps.filter((step) => "file" in step).length).toBeGreaterThan(1)
  expect(runSteps(folder, steps)).toEqual([])
})

test("docs/storage.md has every exit code", () => {
  const codes = [...readPage("docs/storage.md").matchAll(/^\| (\d+) \|/gm)].map(([, code]) => Number(code))
  const known = new Set([0, ...Object.values(ERROR_CODES).map(({ exit }) => exit)])
  expect(codes).toEqual([...known].sort((a, b) => a - b))
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
  expect(differences[0]).toContain("$ echo one\nprints:\none\n\nbut the page says:\ntwo\n")
  expect(differences[1]).toContain("$ false\nends with exit 1")
})

test.each(PAGES)("what %s links to is there", (page) => {
  const links = [...readPage(page).matchAll(/\]\((?!https?:|#)([^)#]+)/g)].map(([, path = ""]) => path)
  expect(links.length).toBeGreaterThan(1)
  expect(links.filter((path) => !existsSync(join(ROOT, dirname(page), path)))).toEqual([])
})
