// The runtimes that Prism is tested on: the present Node as it is, the others from test/runtimes, a package of its own.
import { execFileSync, spawnSync } from "node:child_process"
import { existsSync } from "node:fs"
import { join } from "node:path"
import { fileURLToPath } from "node:url"

/** @typedef {{ id: string, title: string, version: string, command: string[] }} Runtime */

export const ROOT = fileURLToPath(new URL("..", import.meta.url))
const RUNTIMES = join(ROOT, "test/runtimes")
const BIN = join(RUNTIMES, "node_modules")

/** @type {Runtime[]} */
export const runtimes = [
  { id: "node", title: "Node", version: process.versions.node, command: [process.execPath] },
  { id: "node-24", title: "Node", version: "24.21.0", command: [join(BIN, `node-24-${process.arch}/bin/node`)] },
  { id: "deno", title: "Deno", version: "2.9.6", command: [join(BIN, ".bin/deno"), "run", "-A", "--no-lock"] },
  { id: "bun", title: "Bun", version: "1.4.5", command: [join(BIN, ".bin/bun"), "--bun"] },
]

/** The version that a runtime's program tells, or undefined where it does not run. @param {Runtime} runtime */
function installedVersion(runtime) {
  const [program = ""] = runtime.command
  if (!existsSync(program)) return undefined
  const { stdout } = spawnSync(program, ["--version"], { encoding: "utf8" })
  return /\d+\.\d+\.\d+/.exec(stdout ?? "")?.[0]
}

/** Installs those that are not there in the right version. */
export function installRuntimes() {
  if (runtimes.every((runtime) => installedVersion(runtime) === runtime.version)) return
  process.stdout.write("Installing the runtimes (npm ci in test/runtimes)\n")
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], {
    cwd: RUNTIMES,
    stdio: "inherit",
    shell: process.platform === "win32",
  })
  for (const runtime of runtimes) {
    const found = installedVersion(runtime)
    if (found !== runtime.version) {
      throw new Error(
        `${runtime.title} ${runtime.version} is not there after npm ci (${found ?? "it does not run"}). ` +
          "Do npm's settings forbid install scripts? Bun and Deno need theirs.",
      )
    }
  }
}
