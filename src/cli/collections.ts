// What commands do with collections, wherever these are: in a folder of this machine, or behind a server.
import type { ArchiveSource, RestoreOptions, RestoreReport } from "../collection/archive/options.ts"
import type { Collection } from "../collection/collection.ts"
import type { Prism } from "../collection/prism.ts"

/** Prism itself is one, RemoteCollections the other. */
export interface Collections
  extends Pick<Prism, "listCollections" | "listDetached" | "deleteCollection" | "deleteDetached"> {
  createCollection(name: string, schema: string): Promise<unknown>
  collection(name: string): Promise<OpenCollection>
  restore(source: ArchiveSource, options: RestoreOptions): Promise<RestoreReport>
}

export type OpenCollection = Pick<
  Collection,
  | "name"
  | "schema"
  | "stats"
  | "recall"
  | "search"
  | "get"
  | "addChecked"
  | "deleteAll"
  | "exportDocuments"
  | "export"
  | "optimize"
  | "settle"
  | "verify"
>

/** Where they are, as messages and JSON call it. */
export interface Place {
  readonly kind: "data_directory" | "server"
  readonly name: string
}
