import { PrismError } from "../../base/errors.ts"
import { errorMembers } from "../answers.ts"
import type { Handlers } from "../service.ts"

/** Questions to collections. */
export const searchHandlers: Handlers<"search" | "multiSearch"> = {
  search: async ({ path, body }, { prism, metrics }) => {
    metrics.searched(1)
    return await (await prism.collection(path.collection)).search(body)
  },

  multiSearch: async ({ body, signal }, { prism, metrics }) => {
    metrics.searched(body.searches.length)
    const responses = []
    for (const { collection, ...search } of body.searches) {
      signal.throwIfAborted()
      try {
        responses.push(await (await prism.collection(collection)).search(search))
      } catch (error) {
        if (!(error instanceof PrismError)) throw error
        responses.push({ error: errorMembers(error).error as { code: string; message: string } })
      }
    }
    return { responses }
  },
}
