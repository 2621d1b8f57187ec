// Wants the lock of a folder again and again, and writes while it holds it: FOLDER HEARTBEAT_MS. It runs what `npm run
// build` compiled, and tells what it does line by line:
//   locked
//   acquired TENURE {"log-000001":12}   the folder's logs, with how many entries it saw in each
//   acknowledged TENURE ENTRY
//   lost TENURE CODE
import { setTimeout as sleep } from "node:timers/promises"

const [folder = "", heartbeat = ""] = process.argv.slice(2)
const heartbeatMs = Number(heartbeat)
const { disk } = await import(new URL("../../dist/runtime-node/disk.js", import.meta.url).href)
const { LocalStorage } = await import(new URL("../../dist/storage/local-storage.js", import.meta.url).href)
const storage = await LocalStorage.open(disk, folder, { create: false, heartbeatMs })
const tell = (/** @type {unknown[]} */ ...words) => process.stdout.write(`${words.join(" ")}\n`)
process.stdin.on("end", () => process.exit(0)).resume()
/** @param {unknown} error */
const codeOf = (error) => /** @type {{ code?: string }} */ (error).code

for (;;) {
  let lock
  try {
    lock = await storage.lock()
  } catch (error) {
    if (codeOf(error) !== "LOCKED") throw error
    tell("locked")
    await sleep(heartbeatMs / 4)
    continue
  }
  /** @type {Record<string, number>} */
  const seen = {}
  for (const { name } of await storage.list("")) seen[name] = (await storage.size(name)) ?? 0
  const tenure = Object.keys(seen).length + 1
  try {
    const log = await storage.create(`log-${String(tenure).padStart(6, "0")}`)
    tell("acquired", tenure, JSON.stringify(seen))
    for (let entry = 1; ; entry++) {
      await log.appendDurably(Uint8Array.of(entry % 256))
      tell("acknowledged", tenure, entry)
      await sleep(heartbeatMs / 50)
    }
  } catch (error) {
    tell("lost", tenure, codeOf(error))
  }
  await lock.release()
  await sleep(heartbeatMs)
}
