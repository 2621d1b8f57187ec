// Builds the command line as one file that needs nothing beside it, for the platform it is built on: dist-binary/prism.
//   npm run build:binary
// It holds Bun, the program, the engine (src/engine/generated) and the file that worker threads run.
import { execFileSync } from "node:child_process"
import { readdirSync, rmSync, statSync } from "node:fs"
import { join } from "node:path"
import { installRuntimes, ROOT, runtimes } from "./runtimes.mjs"

const FOLDER = join(ROOT, "dist-binary")

// A thread's file is found by its name beside the first one (runtime-node/thread.ts): each is an entry point.
const ENTRIES = ["src/runtime-bun/bin.ts", "src/runtime-bun/worker.ts"]

const OPTIONS = [
  "--minify",
  "--sourcemap", // inside: a bug's stack names the lines of src/
  // Compiled ahead, to start in 16 ms instead of 41. Its own default of CommonJS knows no `await` at the top of a module.
  "--bytecode",
  "--format=esm",
  // Whatever lies in the folder where it is run is not its own.
  "--no-compile-autoload-dotenv",
  "--no-compile-autoload-bunfig",
]

installRuntimes()
const bun = runtimes.find(({ id }) => id === "bun")?.command[0] ?? "bun"
rmSync(FOLDER, { recursive: true, force: true })
execFileSync(bun, ["build", "--compile", ...OPTIONS, "--outfile", join(FOLDER, "prism"), ...ENTRIES], {
  cwd: ROOT,
  stdio: ["ignore", "ignore", "inherit"],
})
for (const name of readdirSync(FOLDER)) {
  const path = join(FOLDER, name)
  if (name.endsWith(".map")) rmSync(path)
  else process.stdout.write(`dist-binary/${name}: ${(statSync(path).size / 1e6).toFixed(1)} MB\n`)
}
