// Deno streams no digest of its own; its node:crypto does.
export { createSha256 } from "../runtime-node/sha256.ts"
