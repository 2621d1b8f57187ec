// The README, and other pages, as programs: their files are written, their commands run and the output compared, so that
// they stay true.
import { spawnSync } from "node:child_process"
import { readFileSync, realpathSync, writeFileSync } from "node:fs"
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

/** Without what differs from run to run, as times and names of writers do, or with each change of a file format. @param {string} text */
const settled = (text) =>
  text
    .replace(/ *\b\d+(\.\d+)? (B|kB|MB)\b/g, " 0 B")
    .replace(/\d+(\.\d+)? ?(ms|s)\b/g, "0 $2")
    .replace(/[0-9a-f]{64}/g, "<sha256>")
    .replace(/(\b\d{6})-[0-9a-f]{8}\b/g, "$1-<writer>")
    .trimEnd()

/**
 * Does what the text says in a folder that has Prism under node_modules; the folder is called /home/me in outputs. Returns a sentence for each difference.
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
    const shown = printed.replaceAll(realpathSync(folder), "/home/me")
    if (status !== 0) differences.push(`$ ${step.command}\nends with exit ${status}:\n${printed}`)
    else if (settled(shown) !== settled(step.output)) {
      differences.push(`$ ${step.command}\nprints:\n${shown}\nbut the page says:\n${step.output}`)
    }
  }
  return differences
}

/** A page of this repository. @param {string} path */
export const readPage = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")
