// What answers each operation of the contract.
import type { Handlers } from "../service.ts"
import { archiveStreamHandlers } from "./archive-streams.ts"
import { archiveHandlers } from "./archives.ts"
import { collectionHandlers } from "./collections.ts"
import { documentHandlers } from "./documents.ts"
import { graphHandlers } from "./graph.ts"
import { jobHandlers } from "./jobs.ts"
import { searchHandlers } from "./search.ts"
import { serverHandlers } from "./server.ts"

export const handlers: Handlers = {
  ...serverHandlers,
  ...collectionHandlers,
  ...documentHandlers,
  ...searchHandlers,
  ...graphHandlers,
  ...archiveHandlers,
  ...archiveStreamHandlers,
  ...jobHandlers,
}
