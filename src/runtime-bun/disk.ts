// Bun has no calls of its own for exclusive creation, sync and positions; its node:fs has, and they are the same.
export { disk } from "../runtime-node/disk.ts"
