// Imports until it is killed: import-child.mjs RUNTIME FOLDER SEED FIRST_VERSION. Each line on standard output is in the
// pipe before the next step, so that the parent knows of every acknowledgement that a user could have seen.
import { writeSync } from "node:fs"
import process from "node:process"
import { write } from "./workload.mjs"

const [name, folder = "", seed, firstVersion] = process.argv.slice(2)
const { Prism } = await import(`../../dist/runtime-${name}/index.js`)

/** @param {unknown} message */
const say = (message) => void writeSync(1, `${JSON.stringify(message)}\n`)

say({ started: process.pid })
await write(await Prism.open(folder), Number(seed), Number(firstVersion), {
  begin: (call, writes) => say({ begin: call, writes }),
  acknowledge: (call) => say({ acknowledge: call }),
})
