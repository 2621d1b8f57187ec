export { files } from "../runtime-node/files.ts"
