// Compiles and runs one benchmark: npm run bench NAME. The engine must be built (npm run build).
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"

// The other files there are what benchmarks share.
const names = readdirSync("wasm-bench")
  .filter((file) => file.endsWith(".ts"))
  .map((file) => file.slice(0, -3))
  .filter((name) => readFileSync(`wasm-bench/${name}.ts`, "utf8").includes(`npm run bench ${name}`))
const [name, ...rest] = process.argv.slice(2)
if (!name || !names.includes(name)) {
  process.stderr.write(`Usage: npm run bench NAME, one of: ${names.join(", ")}\n`)
  process.exit(2)
}
execFileSync("npx", ["tsc", "-p", "tsconfig.bench.json"], { stdio: "inherit" })
execFileSync(process.execPath, ["--expose-gc", `build/bench/wasm-bench/${name}.js`, ...rest], { stdio: "inherit" })
