// The codec that `npm run build` compiled, which runs on threads where the runtime's does: Node 20 starts none from
// TypeScript.
import { fileURLToPath } from "node:url"
import type { Zstd } from "../../src/runtime.ts"
import { runtime } from "./runtime.ts"

const compiled = new URL(`../../dist/runtime-${runtime.name}/zstd.js`, import.meta.url)
export const { zstd } = (await import(/* @vite-ignore */ fileURLToPath(compiled))) as { zstd: Zstd }
