export { openStorage } from "../runtime-node/storage.ts"
