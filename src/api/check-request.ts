// Holds a request against its operation of the contract.
import * as z from "zod"
import { PrismError, type Problem } from "../base/errors.ts"
import { parseJson } from "../base/json.ts"
import { chunksOf, readText } from "../base/streams.ts"
import { collectionName, type Operation } from "./contract.ts"
import { PLAIN_WORDS, shapeProblems } from "./shape-problems.ts"

/** Path and query. @throws PrismError INVALID_NAME, INVALID_REQUEST */
export function checkParameters(
  operation: Operation,
  request: Request,
  path: Readonly<Record<string, string>>,
): { query: unknown } {
  const { collection } = path
  const mayBeDash = operation.body === "archive" && collection === "-"
  if (collection !== undefined && !mayBeDash && !collectionName.safeParse(collection).success) {
    throw new PrismError("INVALID_NAME", `"${collection.slice(0, 200)}" cannot be the name of a collection`, {
      place: "collection",
      hint: "a name has 1 to 128 letters, digits, - and _, and begins with a letter or digit",
    })
  }
  const parameters = new URL(request.url).searchParams
  const given: Record<string, string> = {}
  for (const [name, value] of parameters) {
    if (Object.hasOwn(given, name)) throw new PrismError("INVALID_REQUEST", `"${name}" stands twice in the query`)
    given[name] = value
  }
  return { query: checked(operation.query ?? NOTHING, given, "INVALID_REQUEST", "the query") }
}

const NOTHING = z.strictObject({})

/** What is in a body of JSON; without one it is `{}`, which an operation that takes none takes too.
 *  @throws PrismError INVALID_JSON, LIMIT_EXCEEDED, INVALID_BODY with each problem */
export async function checkBody(operation: Operation, chunks: AsyncIterable<Uint8Array> | undefined): Promise<unknown> {
  const shape = operation.body instanceof z.ZodType ? operation.body : NOTHING
  const text = chunks === undefined ? "" : await textOf(chunks)
  const value = text.trim() === "" ? {} : parseJson(text, { code: "INVALID_JSON", place: "the body" })
  return checked(shape, value, "INVALID_BODY", "the body")
}

/** A whole body of text. @throws PrismError LIMIT_EXCEEDED, INVALID_JSON where it is no UTF-8 */
export async function readBody(request: Request): Promise<string> {
  return request.body === null ? "" : await textOf(chunksOf(request.body as ReadableStream<Uint8Array>))
}

/** How long it may be is seen to as it comes. */
async function textOf(chunks: AsyncIterable<Uint8Array>): Promise<string> {
  return await readText(chunks, Number.POSITIVE_INFINITY, "the body", "INVALID_JSON")
}

function checked(shape: z.ZodType, value: unknown, code: "INVALID_REQUEST" | "INVALID_BODY", what: string): unknown {
  const { success, data, error } = shape.safeParse(value, PLAIN_WORDS)
  if (success) return data
  const problems = shapeProblems(error, shape).map(
    ({ path, message }): Problem => ({ place: path === "" ? what : path, code, message }),
  )
  const [first] = problems as [Problem]
  const message =
    problems.length === 1
      ? `${first.place}: ${first.message}`
      : `${problems.length} things in ${what} are wrong; the first: ${first.place}: ${first.message}`
  throw new PrismError(code, message, { place: first.place, problems, hint: "see /docs for what it takes" })
}
