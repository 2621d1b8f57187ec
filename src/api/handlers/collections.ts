import { parseJson } from "../../base/json.ts"
import { readText } from "../check-request.ts"
import type { Handlers } from "../service.ts"
import { backendNames } from "./backends.ts"

/** Collections as a whole. */
export const collectionHandlers: Handlers<
  "listCollections" | "createCollection" | "deleteCollection" | "schema" | "stats" | "optimize" | "verifyCollection"
> = {
  listCollections: async ({ query, caller }, { prism }) => {
    const collections = (await prism.collectionNames()).filter((name) => caller.may("admin", name))
    if (!query.details) return { collections }
    const details = (await prism.listCollections()).filter(({ name }) => caller.may("admin", name))
    return { collections, details }
  },

  createCollection: async ({ path, request }, { prism }) => {
    const collection = await prism.createCollection(path.collection, await readText(request))
    const { backends } = await collection.stats()
    return { collection: collection.name, status: "created", backends: backendNames(backends) }
  },

  deleteCollection: async ({ path }, { prism }) => {
    await prism.deleteCollection(path.collection)
    return { collection: path.collection, status: "deleted" }
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

/** A schema that was given in YAML stays text. */
function asJson(source: string): unknown {
  try {
    return parseJson(source)
  } catch {
    return null
  }
}
