export { createGcm } from "../runtime-node/gcm.ts"
