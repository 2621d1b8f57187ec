// Writes docs/cli/prism-cli.md from the built command line: npm run docs:cli
import { mkdirSync, writeFileSync } from "node:fs"

/** @param {string} name of a module of the build, which need not be there when types are checked */
const built = (name) => import(new URL(`../dist/${name}`, import.meta.url).href)
const { program } = await built("cli/program.js")
const { renderReference } = await built("cli/reference.js")

const folder = new URL("../docs/cli/", import.meta.url)
mkdirSync(folder, { recursive: true })
writeFileSync(new URL("prism-cli.md", folder), renderReference(program))
