import { PrismError } from "../../base/errors.ts"
import { errorMembers } from "../answers.ts"
import { assertMay } from "../caller.ts"
import type { Handlers } from "../service.ts"

/** Questions to collections. */
export const searchHandlers: Handlers<"search" | "multiSearch"> = {
  search: async ({ path, body }, { prism }) => await (await prism.collection(path.collection)).search(body),

  multiSearch: async ({ body, caller, signal }, { prism }) => {
    const responses = []
    for (const { collection, ...search } of body.searches) {
      signal.throwIfAborted()
      try {
        assertMay(caller, "read", collection)
        responses.push(await (await prism.collection(collection)).search(search))
      } catch (error) {
        if (!(error instanceof PrismError)) throw error
        responses.push({ error: errorMembers(error).error as { code: string; message: string } })
      }
    }
    return { responses }
  },
}
