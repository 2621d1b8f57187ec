// A collection that was detached or deleted leaves nothing of itself in memory.
import { setFlagsFromString } from "node:v8"
import { runInNewContext } from "node:vm"
import { expect, test } from "vitest"
import type { Prism } from "../src/collection/prism.ts"
import { fillSmall, openPrism } from "./support/archives.ts"
import { collectSink } from "./support/streams.ts"

setFlagsFromString("--expose-gc")
const collectGarbage = runInNewContext("gc") as () => void

/** Whether what is referred to was collected, after as many turns as a finalizer may take. */
async function isGone(reference: WeakRef<object>): Promise<boolean> {
  for (let turn = 0; turn < 50 && reference.deref(); turn++) {
    await new Promise((resolve) => void setImmediate(resolve))
    collectGarbage()
  }
  return reference.deref() === undefined
}

/** In a function of its own, whose variables are gone when it returns. */
async function use(prism: Prism, leave: (prism: Prism) => Promise<unknown>): Promise<WeakRef<object>> {
  const collection = await fillSmall(prism)
  await collection.search({ query: "common", vector: [1, 1, 1] })
  await leave(prism)
  return new WeakRef(collection)
}

const detach = (deleteData: boolean) => async (prism: Prism) => {
  // The report is kept, as a job that can be asked for would keep it.
  reports.push(
    await prism.detach("c", {
      write: (collection) => collection.export(collectSink().stream, { format: "snapshot" }),
      deleteData,
    }),
  )
}
const reports: unknown[] = []

test.each([
  ["detached", detach(false)],
  ["detached and deleted", detach(true)],
  ["deleted", (prism: Prism) => prism.deleteCollection("c")],
])("of one that is %s", async (_, leave) => {
  await using prism = await openPrism()
  const gone = await use(prism, leave)
  expect(await isGone(gone)).toBe(true)
  const other = await prism.createCollection("other", { backends: { text: { fields: [{ name: "a", type: "text" }] } } })
  // Nor are its blocks in the cache that all collections share.
  expect((await other.stats()).cache.bytes).toBe(0)
  // One that is open is not collected: the test can fail.
  expect(await isGone(new WeakRef(other))).toBe(false)
})
