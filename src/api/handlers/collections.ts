import { PrismError } from "../../base/errors.ts"
import { parseJson } from "../../base/json.ts"
import { backendNames } from "../../collection/backends.ts"
import { readBody } from "../check-request.ts"
import type { Handlers } from "../service.ts"

/** Collections as a whole. */
export const collectionHandlers: Handlers<
  "listCollections" | "createCollection" | "deleteCollection" | "schema" | "stats" | "optimize" | "verifyCollection"
> = {
  listCollections: async ({ query, caller }, { prism }) => {
    const may = (name: string) => caller.may("admin", name)
    return {
      collections: (await prism.collectionNames()).filter(may),
      ...(query.details && { details: (await prism.listCollections()).filter(({ name }) => may(name)) }),
      ...(query.all && { detached: (await prism.listDetached()).filter(({ name }) => may(name)) }),
    }
  },

  createCollection: async ({ path, request }, { prism }) => {
    const collection = await prism.createCollection(path.collection, await readBody(request))
    const { backends } = await collection.stats()
    return { collection: collection.name, status: "created", backends: backendNames(backends) }
  },

  deleteCollection: async ({ path: { collection }, query: { detached } }, { prism }) => {
    if (detached === undefined) await prism.deleteCollection(collection)
    else if (isCopyOf(detached, collection)) await prism.deleteDetached(detached)
    else {
      throw new PrismError("INVALID_REQUEST", `"${detached}" is no name of a copy of "${collection}"`, {
        place: "detached",
        hint: "GET /admin/collections?all=true tells the kept copies",
      })
    }
    return { collection, status: "deleted" }
  },

  schema: async ({ path }, { prism }) => {
    const { name, schema } = await prism.collection(path.collection)
    return { collection: name, schema: asJson(schema.source), source: schema.source }
  },

  stats: async ({ path, query, signal }, { prism }) => {
    const collection = await prism.collection(path.collection)
    const stats = await collection.stats()
    return query.recall ? { ...stats, recall: { ...(await collection.recall({ signal })) } } : { ...stats }
  },

  optimize: async ({ path, signal, onProgress }, { prism }) =>
    await (await prism.collection(path.collection)).optimize({ signal, onProgress }),

  verifyCollection: async ({ path, signal, onProgress }, { prism }) =>
    await (await prism.collection(path.collection)).verify({ signal, onProgress }),
}

/** The first copy has the collection's name, the next ones a number behind it. */
function isCopyOf(copy: string, collection: string): boolean {
  return copy === collection || (copy.startsWith(`${collection}.`) && /^\d+$/.test(copy.slice(collection.length + 1)))
}

/** A schema that was given in YAML stays text. */
function asJson(source: string): unknown {
  try {
    return parseJson(source)
  } catch {
    return null
  }
}
