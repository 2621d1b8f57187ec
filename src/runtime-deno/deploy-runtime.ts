// What Deno brings with the network and the environment alone (`deno run --allow-net --allow-env`), as on Deno Deploy: no
// files, no threads, no terminal. Nothing that is imported here, by any way, may ask for more when it is loaded.
import type { DisklessRuntime } from "../runtime.ts"
import { deno } from "./deno.ts"
import { createGcm } from "./gcm.ts"
import { createSha256 } from "./sha256.ts"
import { zstdHere } from "./zstd-here.ts"

export const deployRuntime: DisklessRuntime = {
  name: "deno",
  version: deno.version.deno,
  createSha256,
  createGcm,
  zstd: zstdHere,
}
