// A disk that is really full: a small tmpfs, which needs root.
import { spawnSync } from "node:child_process"
import { expect, test } from "vitest"
import { disk } from "../../src/runtime-node/disk.ts"
import { LocalStorage } from "../../src/storage/local-storage.ts"
import { replayWal, WalWriter } from "../../src/storage/wal.ts"
import { writeWhole } from "../support/faulty-storage.ts"
import { refusalCode } from "../support/refusal.ts"
import { temporaryFolder } from "../support/runtime.ts"

const run = (command: string, ...args: string[]) => spawnSync(command, args).status === 0

test("a log on a full disk refuses, goes on once there is room, and holds what it acknowledged", async ({ skip }) => {
  await using folder = await temporaryFolder()
  if (!run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", folder.path)) {
    console.warn("skipped: a small disk of its own needs root and mount(8), which this machine does not give")
    skip()
  }
  try {
    await using storage = await LocalStorage.open(disk, folder.path, { create: false })
    await using _ = await storage.lock()
    await writeWhole(storage, "ballast", new Uint8Array(400_000))
    const acknowledged: string[] = []
    {
      await using wal = await WalWriter.create(storage, "log", { walNumber: 1 })
      const add = async (id: string) => {
        await wal.append([{ kind: "put", id, fieldsJson: `"${"x".repeat(10_000)}"`, vector: undefined }])
        acknowledged.push(id)
      }
      let refused = 0
      for (let id = 0; refused < 5; id++) {
        const code = await refusalCode(add(`${id}`).then(() => Promise.reject(new Error("added")))).catch(() => "added")
        if (code === "added") continue
        expect(code).toBe("DISK_FULL")
        refused++
      }
      await storage.remove("ballast")
      for (let id = 0; id < 10; id++) await add(`later ${id}`)
    }
    const replayed: string[] = []
    for await (const { operation } of replayWal(storage, "log", { walNumber: 1 })) replayed.push(operation.id)
    expect(replayed).toEqual(acknowledged)
    expect(replayed.length).toBeGreaterThan(40)
  } finally {
    run("umount", folder.path)
  }
})
