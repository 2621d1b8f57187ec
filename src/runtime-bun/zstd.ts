export { zstd } from "../runtime-node/zstd.ts"
