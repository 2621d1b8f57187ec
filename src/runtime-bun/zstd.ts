// Bun's own codec, which works on its thread pool. Nothing of what stands in for it on Node 20 may come along: a single
// binary would hold two more codecs, and the paths of the machine that built it.
import { assert } from "../base/errors.ts"
import type { Zstd } from "../runtime.ts"
import { nativeZstd } from "../runtime-node/zstd-native.ts"

assert(nativeZstd !== undefined, "Bun has zstd")

export const zstd: Zstd = nativeZstd
