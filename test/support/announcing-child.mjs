// A process that holds the lock of a folder and announces what it is told: announcing-child.mjs RUNTIME FOLDER TEXT
import process from "node:process"

const [name, folder = "", text = ""] = process.argv.slice(2)
const { openStorage } = await import(`../../dist/runtime-${name}/storage.js`)
const storage = await openStorage(folder, { create: true })
const lock = await storage.lock()
await lock.announce(text)
process.stdout.write("announced\n")
process.stdin.resume().on("end", async () => {
  await storage.close()
  process.exit(0)
})
