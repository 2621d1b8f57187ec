// Deno's WebCrypto takes a message at once; its node:crypto streams.
export { createGcm } from "../runtime-node/gcm.ts"
