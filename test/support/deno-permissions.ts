// A program for `deno run --allow-net --allow-env`: the tour of the library, with the package's own Prism and with what Deno
// Deploy has. Prints as JSON which permissions it has, and what both saw.
import * as zlib from "node:zlib"
import { concatBytes } from "../../src/base/bytes.ts"
import { Prism as Collections } from "../../src/collection/prism.ts"
import { decompressSeekable } from "../../src/formats/seekable-zstd.ts"
import { deployRuntime } from "../../src/runtime-deno/deploy-runtime.ts"
import { Prism } from "../../src/runtime-deno/index.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { tour } from "./memory-tour.ts"
import { streamOf } from "./streams.ts"

type Name = "read" | "write" | "net" | "env" | "run" | "sys" | "ffi" | "import"

const { Deno: deno } = globalThis as unknown as {
  Deno: { permissions: { querySync(descriptor: { name: Name }): { state: string } } }
}

/** node:zlib as @types/node does not know it yet. */
const { zstdCompressSync, constants } = zlib as unknown as {
  readonly zstdCompressSync: (bytes: Uint8Array, options: object) => Uint8Array
  readonly constants: { ZSTD_c_contentSizeFlag: number }
}

/** One frame that does not say how much it holds: it is decoded as a stream. */
async function repack(snapshot: Uint8Array): Promise<Uint8Array> {
  const parts: Uint8Array[] = []
  for await (const part of decompressSeekable(streamOf(snapshot), deployRuntime.zstd)) parts.push(part)
  return zstdCompressSync(concatBytes(parts), { params: { [constants.ZSTD_c_contentSizeFlag]: 0 } })
}

const names: Name[] = ["read", "write", "net", "env", "run", "sys", "ffi", "import"]
const granted = names.filter((name) => deno.permissions.querySync({ name }).state === "granted")

async function seen(prism: Collections): Promise<object> {
  const report = await tour(prism, repack)
  await prism.close()
  return report
}

const ofPackage = await seen(await Prism.memory())
const onDeploy = await seen(await Collections.openStorage(new MemoryStorage(), deployRuntime))
console.log(JSON.stringify({ granted, ofPackage, onDeploy }))
