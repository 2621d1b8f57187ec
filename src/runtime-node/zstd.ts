import type { Zstd } from "../runtime.ts"
import { workerUrl } from "./thread.ts"
import { nativeZstd } from "./zstd-native.ts"
import { zstdOnThreads } from "./zstd-threads.ts"

export const zstd: Zstd = nativeZstd ?? zstdOnThreads(workerUrl(import.meta.url))
