import { utf8Length } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { describe, quote } from "./describe.ts"

/** In UTF-8; of a document, and of a node of the graph. */
export const ID_BYTES_MAX = 512

/** INVALID_DOCUMENT or LIMIT_EXCEEDED for what cannot be the id of a document. */
export function checkId(id: unknown): string {
  if (id === undefined) {
    throw new PrismError("INVALID_DOCUMENT", "the document has no id", {
      hint: 'give every document an "id" of its own',
    })
  }
  if (typeof id !== "string") {
    const hint = typeof id === "number" || typeof id === "bigint" ? { hint: "an id is text: put it in quotes" } : {}
    throw new PrismError("INVALID_DOCUMENT", `the id of a document is text, found ${describe(id)}`, hint)
  }
  const place = `document ${quote(id)}`
  const bytes = utf8Length(id)
  if (bytes > ID_BYTES_MAX) {
    throw new PrismError("LIMIT_EXCEEDED", `the id has ${bytes} bytes, at most ${ID_BYTES_MAX} are possible`, { place })
  }
  if (isBroken(id)) {
    throw new PrismError("INVALID_DOCUMENT", "the id holds half a surrogate pair, which is no text", { place })
  }
  return id
}

/** Whether two such texts that differ may be one in UTF-8. */
export function isBroken(text: string): boolean {
  return /\p{Surrogate}/u.test(text)
}
