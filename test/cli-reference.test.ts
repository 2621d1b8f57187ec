import { expect, test } from "vitest"
import { readPage } from "../scripts/readme.mjs"
import { program } from "../src/cli/program.ts"
import { renderReference } from "../src/cli/reference.ts"

test("docs/cli/prism-cli.md is what the definitions say: npm run docs:cli writes it", () => {
  expect(readPage("docs/cli/prism-cli.md")).toBe(renderReference(program))
})

test("it has every command and every option, once a section", () => {
  const page = readPage("docs/cli/prism-cli.md")
  for (const section of page.split(/^## /m).slice(2)) {
    const options = [...section.matchAll(/^\| `(?:-\w[^`]*`, `)?(--[\w-]+)/gm)].map(([, option]) => option)
    expect(new Set(options).size, section.split("\n", 1)[0]).toBe(options.length)
  }
  expect(page).toContain("\n## prism collection export\n")
  expect(page).toContain("`-f FILE`, `--file FILE`")
})
