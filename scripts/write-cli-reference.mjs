// Writes docs/cli/prism-cli.md from the built command line: npm run docs:cli
import { mkdirSync, writeFileSync } from "node:fs"
import { program } from "../dist/cli/program.js"
import { renderReference } from "../dist/cli/reference.js"

const folder = new URL("../docs/cli/", import.meta.url)
mkdirSync(folder, { recursive: true })
writeFileSync(new URL("prism-cli.md", folder), renderReference(program))
