// Names in a lock file every package for another platform that npm left out. A registry mirror often carries this
// platform's builds alone; npm then drops the others from the lock, and `npm ci` refuses the lock as incomplete, even
// here. Run it after `npm install`:  node scripts/complete-lock.mjs [package-lock.json …]
import { readFileSync, writeFileSync } from "node:fs"

const SYSTEMS = { android: "android", darwin: "darwin", freebsd: "freebsd", linux: "linux" }
Object.assign(SYSTEMS, { openharmony: "openharmony", win32: "win32", windows: "win32" })
const PROCESSORS = { aarch64: "arm64", arm: "arm", arm64: "arm64", ia32: "ia32", loong64: "loong64", ppc64: "ppc64" }
Object.assign(PROCESSORS, { riscv64: "riscv64", s390x: "s390x", x64: "x64" })

/** What package.json of a platform's package says about where it runs, read off its name. */
export function platformOf(name) {
  const words = name.slice(name.lastIndexOf("/") + 1).split("-")
  // The last one counts: bun's "linux-x64-android" runs on Android.
  const os = words.map((word) => SYSTEMS[word]).findLast(Boolean)
  const cpu = words.map((word) => PROCESSORS[word]).find(Boolean)
  if (os === undefined || cpu === undefined) throw new Error(`cannot tell the platform of ${name}`)
  const libc = words.includes("musl")
    ? ["musl"]
    : words.some((word) => /^(gnu|glibc)/.test(word))
      ? ["glibc"]
      : undefined
  return { os: [os], cpu: [cpu], libc }
}

/** Adds to `lock` (the parsed file) an entry for each optional dependency that has none; returns their names. */
export function completeLock(lock) {
  const added = []
  for (const [path, entry] of Object.entries(lock.packages)) {
    for (const [name, version] of Object.entries(entry.optionalDependencies ?? {})) {
      const place = `node_modules/${name}`
      if (lock.packages[place] ?? lock.packages[`${path}/${place}`]) continue
      if (!/^\d+\.\d+\.\d+$/.test(version)) throw new Error(`${path} wants ${name}@${version}: not an exact version`)
      const { os, cpu, libc } = platformOf(name)
      // In npm's own order, so that the next `npm install` changes nothing.
      lock.packages[place] = {
        version,
        cpu,
        ...(entry.dev && { dev: true }),
        ...(libc && { libc }),
        optional: true,
        os,
      }
      added.push(name)
    }
  }
  const byName = ([a], [b]) => a.localeCompare(b, "en")
  lock.packages = Object.fromEntries(Object.entries(lock.packages).sort(byName))
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
