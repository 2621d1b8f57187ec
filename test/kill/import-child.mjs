// Imports until it is killed: import-child.mjs RUNTIME FOLDER SEED FIRST_VERSION. Each line on standard output is in the
// pipe before the next step, so that the parent knows of every acknowledgement that a user could have seen.
import { writeSync } from "node:fs"
import process from "node:process"
import { write } from "./workload.mjs"

const [name, folder = "", seed, firstVersion] = process.argv.slice(2)
/** @param {string} path */
const built = async (path) => await import(`../../dist/${path}`)
const { Prism } = await built("collection/prism.js")
const { runtime } = await built(`runtime-${name}/runtime.js`)
/** With every second seed segments are so small that workers seal and merge all the time, also when the kill comes. */
const tuning = Number(seed) % 2 ? { ramDocuments: 60, mergeFactor: 3 } : {}

/** @param {unknown} message */
const say = (message) => void writeSync(1, `${JSON.stringify(message)}\n`)

say({ started: process.pid })
const prism = await Prism.openStorage(await runtime.openStorage(folder, { create: true }), runtime, { tuning })
await write(prism, Number(seed), Number(firstVersion), {
  begin: (call, writes) => say({ begin: call, writes }),
  acknowledge: (call) => say({ acknowledge: call }),
})
