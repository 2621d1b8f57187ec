import { ByteBudget } from "../../base/byte-budget.ts"
import { PrismError } from "../../base/errors.ts"
import { errorMembers } from "../answers.ts"
import type { Handlers } from "../service.ts"

/** Questions to collections. */
export const searchHandlers: Handlers<"search" | "multiSearch"> = {
  search: async ({ path, body }, { prism, metrics, config }) => {
    metrics.searched(1)
    const budget = new ByteBudget(config.limits.answerBytes)
    return await (await prism.collection(path.collection)).search(body, { budget })
  },

  multiSearch: async ({ body, signal }, { prism, metrics, config }) => {
    metrics.searched(body.searches.length)
    const budget = new ByteBudget(config.limits.answerBytes)
    const responses = []
    for (const { collection, ...search } of body.searches) {
      signal.throwIfAborted()
      try {
        responses.push(await (await prism.collection(collection)).search(search, { budget }))
      } catch (error) {
        if (!(error instanceof PrismError) || budget.isExceeded) throw error
        responses.push({ error: errorMembers(error).error as { code: string; message: string } })
      }
    }
    return { responses }
  },
}
