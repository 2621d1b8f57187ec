// The README as a program: its files are written, its commands run and their output compared, so that it stays true.
import { spawnSync } from "node:child_process"
import { readFileSync, writeFileSync } from "node:fs"
import { delimiter, join } from "node:path"

/** @typedef {{ file: string, text: string } | { command: string, output: string }} Step */

/**
 * What a reader of a Markdown text would do: fenced blocks with `title=NAME` are files, blocks of the language `console`
 * hold commands after `$ ` (continued where a line ends in a backslash), each followed by what it prints.
 * @param {string} markdown
 * @returns {Step[]}
 */
export function readmeSteps(markdown) {
  /** @type {Step[]} */
  const steps = []
  for (const [, language, title, text = ""] of markdown.matchAll(/^```(\w+)(?: title=(\S+))?\n([\s\S]*?)^```$/gm)) {
    if (title !== undefined) steps.push({ file: title, text })
    else if (language === "console") {
      for (const [, command = "", output = ""] of text.matchAll(/^\$ ((?:.*\\\n)*.*)\n((?:(?!\$ ).*\n)*)/gm)) {
        steps.push({ command, output })
      }
    }
  }
  return steps
}

/** What differs from run to run. @param {string} text */
const settled = (text) =>
  text
    .replace(/\d+(\.\d+)? ?(ms|s)\b/g, "0 $2")
    .replace(/[0-9a-f]{64}/g, "<sha256>")
    .trimEnd()

/**
 * Does what the text says in a folder that has Prism under node_modules. Returns a sentence for each difference.
 * @param {string} folder
 * @param {Step[]} steps
 * @returns {string[]}
 */
export function runSteps(folder, steps) {
  const path = `${join(folder, "node_modules/.bin")}${delimiter}${process.env["PATH"]}`
  /** @type {string[]} */
  const differences = []
  for (const step of steps) {
    if ("file" in step) {
      writeFileSync(join(folder, step.file), step.text)
      continue
    }
    // One stream, as on a terminal: what was printed first stands first.
    const { status, stdout: printed } = spawnSync("sh", ["-c", `exec 2>&1\n${step.command}`], {
      cwd: folder,
      encoding: "utf8",
      env: { ...process.env, PATH: path, PRISM_DATA_DIR: undefined, NO_COLOR: "1" },
    })
    if (status !== 0) differences.push(`$ ${step.command}\nends with exit ${status}:\n${printed}`)
    else if (settled(printed) !== settled(step.output)) {
      differences.push(`$ ${step.command}\nprints:\n${printed}\nbut the README says:\n${step.output}`)
    }
  }
  return differences
}

export const readReadme = () => readFileSync(new URL("../README.md", import.meta.url), "utf8")
