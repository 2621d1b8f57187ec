// A disk that is really full: a small tmpfs, which needs root.
import { spawnSync } from "node:child_process"
import { expect, test } from "vitest"
import { Prism } from "../../src/collection/prism.ts"
import { disk } from "../../src/runtime-node/disk.ts"
import { LocalStorage } from "../../src/storage/local-storage.ts"
import { replayWal, WalWriter } from "../../src/storage/wal.ts"
import { writeWhole } from "../support/faulty-storage.ts"
import { refusalCode } from "../support/refusal.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"

const run = (command: string, ...args: string[]) => spawnSync(command, args).status === 0

/** False where there is no such disk to be had. */
function mountSmall(path: string): boolean {
  const isMounted = run("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", path)
  if (!isMounted) {
    console.warn("skipped: a small disk of its own needs root and mount(8), which this machine does not give")
  }
  return isMounted
}

test("on a disk without a byte left a collection can be opened, read and deleted, and then there is room", async ({
  skip,
}) => {
  await using folder = await temporaryFolder()
  if (!mountSmall(folder.path)) skip()
  const open = async () => await Prism.openStorage(await runtime.openStorage(folder.path, { create: true }), runtime)
  try {
    {
      await using prism = await open()
      const schema = { backends: { text: { fields: [{ name: "t", type: "text" }] } } } as const
      const collection = await prism.createCollection("c", schema)
      await collection.add(Array.from({ length: 200 }, (_, place) => ({ id: `${place}`, t: "word ".repeat(100) })))
    }
    // Until nothing fits any more.
    run("dd", "if=/dev/zero", `of=${folder.path}/filler`, "bs=4k")
    for (let place = 0; run("dd", "if=/dev/zero", `of=${folder.path}/filler${place}`, "bs=1", "count=1"); place++)
      continue
    await using prism = await open()
    expect((await (await prism.collection("c")).search({ query: "word", limit: 0 })).total).toBe(200)
    await prism.deleteCollection("c")
    await prism.createCollection("d", { backends: { text: { fields: [{ name: "t", type: "text" }] } } })
  } finally {
    run("umount", folder.path)
  }
})

test("a log on a full disk refuses, goes on once there is room, and holds what it acknowledged", async ({ skip }) => {
  await using folder = await temporaryFolder()
  if (!mountSmall(folder.path)) skip()
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
    for await (const { operation } of replayWal(storage, "log", { walNumber: 1 }))
      replayed.push("id" in operation ? operation.id : "")
    expect(replayed).toEqual(acknowledged)
    expect(replayed.length).toBeGreaterThan(40)
  } finally {
    run("umount", folder.path)
  }
})
