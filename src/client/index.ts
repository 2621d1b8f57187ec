// What `import … from "prism/client"` gives.
export { type ErrorCode, PrismError, type Problem } from "../base/errors.ts"
export { type Bytes, type Client, createClient, type DocumentBody, type InputOf } from "./client.ts"
export type { ConnectionOptions } from "./connection.ts"
export type { Job, WaitOptions } from "./job.ts"
