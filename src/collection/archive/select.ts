// A part of an archive: the documents with given ids, or those that match a query.
import { PrismError } from "../../base/errors.ts"
import { analyze } from "../../engine/analyzer.ts"
import { Engine } from "../../engine/engine.ts"
import { analyzerOf, type Schema } from "../schema.ts"
import { planSearch } from "../search-request.ts"
import type { RestoreOptions, Selection } from "./options.ts"
import type { RestoredCollection } from "./restore-host.ts"

/** INVALID_REQUEST, or INVALID_QUERY with the column, before anything is read. */
export function checkSelection(name: string, schema: Schema, { where, ids }: Selection): void {
  if (where === undefined) return
  if (ids) throw new PrismError("INVALID_REQUEST", "where and ids exclude each other", { hint: "choose one of them" })
  const engine = new Engine()
  planSearch(name, schema, { filter: where }, (field, text) => analyze(engine, analyzerOf(schema, field), text))
}

/** Leaves in a restored collection what was asked for. It is indexed whole first: then the query means what it means in a
 *  search, and counts and checksums of the archive were verified. */
export async function select(
  restored: RestoredCollection,
  { where, ids, signal, onProgress }: RestoreOptions,
): Promise<RestoredCollection> {
  if (where === undefined && ids === undefined) return restored
  const { staged, report } = restored
  try {
    const missing = await staged.keepOnly({ ...(where !== undefined && { where }), ...(ids && { ids }) })
    await staged.optimize({ ...(signal && { signal }), ...(onProgress && { onProgress }) })
    const { document_count } = await staged.stats()
    // What was left is in files of their own.
    const counts = { documents_imported: document_count, ids_missing: missing, files_extracted: 0, bytes_extracted: 0 }
    const warnings = document_count === 0 ? [...report.warnings, "no document was selected"] : report.warnings
    return { ...restored, report: { ...report, ...counts, warnings } }
  } catch (error) {
    await staged.close()
    throw error
  }
}
