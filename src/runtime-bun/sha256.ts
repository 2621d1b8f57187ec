export { createSha256 } from "../runtime-node/sha256.ts"
