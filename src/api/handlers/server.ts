import { VERSION } from "../../base/version.ts"
import type { Handlers } from "../service.ts"

/** The server itself. */
export const serverHandlers: Handlers<"health" | "ready"> = {
  health: async (_, { prism, uptime }) => ({
    status: "ok",
    version: VERSION,
    collections: (await prism.collectionNames()).length,
    uptime_secs: uptime(),
  }),
  ready: async () => ({ status: "ready" }),
}
