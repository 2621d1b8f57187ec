import type { Files } from "../runtime.ts"
import { localFiles } from "../storage/local-files.ts"
import { disk } from "./disk.ts"

/** The files that a user names. */
export const files: Files = localFiles(disk)
