// The README, and other pages, as programs: their files are written, their commands run and the output compared, so that
// they stay true.
import { spawn, spawnSync } from "node:child_process"
import { closeSync, openSync, readFileSync, realpathSync, writeFileSync } from "node:fs"
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
    .replace(/\d{4}-\d\d-\d\dT[\d:.]+Z/g, "<time>")
    .replace(/(\b\d{6})-[0-9a-f]{8}\b/g, "$1-<writer>")
    .trimEnd()

/**
 * Does what the text says in a folder that has Prism under node_modules; the folder is called /home/me in outputs. A server
 * that a page starts (`prism serve`) runs until the end of the page, on a free port in the place of 3080. Returns a
 * sentence for each difference.
 * @param {string} folder
 * @param {Step[]} steps
 * @returns {string[]}
 */
export function runSteps(folder, steps) {
  const path = `${join(folder, "node_modules/.bin")}${delimiter}${process.env["PATH"]}`
  const env = { ...process.env, PATH: path, PRISM_DATA_DIR: undefined, PRISM_API_URL: undefined, NO_COLOR: "1" }
  const port = steps.some(isServer) ? freePort() : PORT
  /** @type {import("node:child_process").ChildProcess[]} */
  const servers = []
  /** @type {string[]} */
  const differences = []
  for (const step of steps) {
    if ("file" in step) {
      writeFileSync(join(folder, step.file), step.text.replaceAll(PORT, port))
      continue
    }
    const command = step.command.replaceAll(PORT, port)
    const { status, printed } = isServer(step)
      ? startServer(folder, `${command} --port ${port}`, env, step.output, servers)
      : runCommand(folder, command, env)
    const shown = printed.replaceAll(realpathSync(folder), "/home/me").replaceAll(port, PORT)
    if (status !== 0) differences.push(`$ ${step.command}\nends with exit ${status}:\n${printed}`)
    else if (settled(shown) !== settled(step.output)) {
      differences.push(`$ ${step.command}\nprints:\n${shown}\nbut the page says:\n${step.output}`)
    }
  }
  for (const server of servers) server.kill("SIGTERM")
  return differences
}

/** The port that pages name. */
const PORT = "3080"
/** Looks at a server that starts, a tenth of a second apart. */
const LOOKS = 300

/** @param {Step} step */
const isServer = (step) => "command" in step && step.command.startsWith("prism serve")

/**
 * One stream, as on a terminal: what was printed first stands first.
 * @param {string} folder
 * @param {string} command
 * @param {NodeJS.ProcessEnv} env
 */
function runCommand(folder, command, env) {
  const { status, stdout } = spawnSync("sh", ["-c", `exec 2>&1\n${command}`], { cwd: folder, encoding: "utf8", env })
  return { status, printed: stdout }
}

/**
 * Starts a server and waits until it has printed as many lines as the page says.
 * @param {string} folder
 * @param {string} command
 * @param {NodeJS.ProcessEnv} env
 * @param {string} output
 * @param {import("node:child_process").ChildProcess[]} servers
 */
function startServer(folder, command, env, output, servers) {
  const log = join(folder, `server-${servers.length + 1}.log`)
  const file = openSync(log, "w")
  servers.push(spawn("sh", ["-c", `exec ${command}`], { cwd: folder, env, stdio: ["ignore", file, file] }))
  closeSync(file)
  const lines = output.split("\n").length
  for (let look = 0; look < LOOKS && readFileSync(log, "utf8").split("\n").length < lines; look++)
    spawnSync("sleep", ["0.1"])
  return { status: 0, printed: readFileSync(log, "utf8") }
}

function freePort() {
  const program =
    'const s = require("node:net").createServer().listen(0, "127.0.0.1", () => { console.log(s.address().port); s.close() })'
  return spawnSync(process.execPath, ["-e", program], { encoding: "utf8" }).stdout.trim()
}

/** A page of this repository. @param {string} path */
export const readPage = (path) => readFileSync(new URL(`../${path}`, import.meta.url), "utf8")
