import { expect, test } from "vitest"
import { Prism } from "../../src/collection/prism.ts"
import type { DisklessRuntime } from "../../src/runtime.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { tour } from "../support/memory-tour.ts"
import { startDenoProgram } from "../support/process.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"
import { startWorker } from "../support/worker.ts"

async function tourInMemory(): Promise<object> {
  const { name, version, createSha256, createGcm, zstd } = runtime
  const diskless: DisklessRuntime = { name, version, createSha256, createGcm, zstd }
  await using prism = await Prism.openStorage(new MemoryStorage(), diskless)
  return await tour(prism)
}

test("without files, threads and a terminal everything is as it is with them", async () => {
  await using folder = await temporaryFolder()
  const storage = await runtime.openStorage(folder.path, { create: true })
  await using prism = await Prism.openStorage(storage, { ...runtime, startWorker })
  expect(await tourInMemory()).toEqual(await tour(prism))
})

test.skipIf(runtime.name !== "deno")("Deno needs the network and the environment alone", async () => {
  await using program = startDenoProgram("deno-permissions.ts", ["--allow-net", "--allow-env"])
  const line = program.line()
  expect((await program.ended()).stderr).toBe("")
  const { granted, ofPackage, onDeploy } = JSON.parse(await line)
  expect(granted).toEqual(["net", "env"])
  const expected = JSON.parse(JSON.stringify(await tourInMemory()))
  expect(ofPackage).toEqual(expected)
  expect(onDeploy).toEqual(expected)
})
