// Names in a lock file every package for another platform that npm left out. A registry mirror often carries this
// platform's builds alone; npm then drops the others from the lock, and `npm ci` refuses the lock as incomplete, even
// here. Run it after `npm install`:  node scripts/complete-lock.mjs [package-lock.json …]
import { readFileSync, writeFileSync } from "node:fs"

/** @typedef {{ version: string, dev?: boolean, optionalDependencies?: Record<string, string> }} LockEntry */

const SYSTEMS = ["android", "darwin", "freebsd", "linux", "openharmony", "win32"]
const PROCESSORS = ["arm", "arm64", "ia32", "loong64", "ppc64", "riscv64", "s390x", "x64"]

/**
 * What package.json of a platform's package says about where it runs, read off its name.
 * @param {string} name
 */
export function platformOf(name) {
  const plain = name
    .slice(name.lastIndexOf("/") + 1)
    .replace("windows", "win32")
    .replace("aarch64", "arm64")
  const words = plain.split("-")
  // The last one counts: bun's "linux-x64-android" runs on Android.
  const os = words.findLast((word) => SYSTEMS.includes(word))
  const cpu = words.find((word) => PROCESSORS.includes(word))
  if (os === undefined || cpu === undefined) throw new Error(`cannot tell the platform of ${name}`)
  const libc = words.includes("musl") ? ["musl"] : os === "linux" ? ["glibc"] : undefined
  return { os: [os], cpu: [cpu], libc }
}

/**
 * Adds to `lock` (the parsed file) an entry for each optional dependency that has none; returns their names.
 * @param {{ packages: Record<string, LockEntry> }} lock
 */
export function completeLock(lock) {
  /** @type {string[]} */
  const added = []
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const place = `node_modules/${name}`
      if (lock.packages[place] ?? lock.packages[`${path}/${place}`]) continue
      if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${path} wants ${name}@${version}: not an exact version`)
      const { os, cpu, libc } = platformOf(name)
      // In npm's own order, so that the next `npm install` changes nothing.
      const platform = { cpu, ...(entry.dev && { dev: true }), ...(libc && { libc }), optional: true, os }
      lock.packages[place] = { version, ...platform }
      added.push(name)
    }
  }
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(([a], [b]) => a.localeCompare(b, "en")))
  return added
}

if (import.meta.url === `file://${process.argv[1]}`) {
  const paths = process.argv.slice(2)
  for (const path of paths.length > 0 ? paths : ["package-lock.json"]) {
    const lock = JSON.parse(readFileSync(path, "utf8"))
    const added = completeLock(lock)
    if (added.length > 0) writeFileSync(path, `${JSON.stringify(lock, null, 2)}\n`)
    process.stdout.write(`${path}: ${added.length} packages for other platforms added\n`)
  }
}
