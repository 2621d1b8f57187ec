// Runs one command line and kills itself at a call that reaches the disk: archive-child.mjs RUNTIME CALL ARGUMENT…. Before
// the odd calls and within the even ones; calls count from 1. Where it lives, it says at last how many there were.
import { writeSync } from "node:fs"
import process from "node:process"

const [name, stop, ...argv] = process.argv.slice(2)
/** @param {string} path */
const built = async (path) => await import(`../../dist/${path}`)
const { run } = await built("cli/run.js")
const { localFiles } = await built("storage/local-files.js")
const { LocalStorage } = await built("storage/local-storage.js")
const { disk } = await built(`runtime-${name}/disk.js`)
const { runtime } = await built(`runtime-${name}/runtime.js`)

const stopAt = Number(stop)
let calls = 0
const die = () => process.kill(process.pid, "SIGKILL")

/** Not system calls, or none that change anything that others see. */
const UNCOUNTED = new Set(["resolve", "parent", "name", "join", "self", "findProcess"])
const OPENING = new Set(["openRead", "openAppend", "createExclusive"])

/**
 * @template {object} T
 * @param {T} target
 * @returns {T}
 */
function counted(target) {
  return new Proxy(target, {
    get(_, key) {
      const member = Reflect.get(target, key)
      if (typeof member !== "function" || typeof key !== "string" || UNCOUNTED.has(key)) return member
      /** @param {unknown[]} args */
      return async (...args) => {
        calls++
        if (calls === stopAt && stopAt % 2 === 1) die()
        const result = Reflect.apply(member, target, args)
        if (calls === stopAt) die()
        return OPENING.has(key) ? counted(await result) : await result
      }
    },
  })
}

const counting = counted(disk)
const code = await run(argv, {
  ...runtime,
  files: localFiles(counting),
  /** @param {string} directory @param {{ create: boolean }} options */
  openStorage: (directory, options) => LocalStorage.open(counting, directory, options),
})
writeSync(1, `${JSON.stringify({ code, calls })}\n`)
