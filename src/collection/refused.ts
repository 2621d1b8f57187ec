// What a user learns of records that were refused one by one.
import { type ErrorCode, PrismError, type Problem } from "../base/errors.ts"

/** Throws what is no PrismError. `place` is where it counts if the error does not tell. */
export function asProblem(error: unknown, place: string): Problem {
  if (!(error instanceof PrismError)) throw error
  const { code, message, hint } = error
  return { place: error.place ?? place, code, message, ...(hint !== undefined && { hint }) }
}

/** One error for all records that were refused: with the code that their problems share, else with `code`. `added`: how
 *  many were not. */
export function refusal(
  problems: readonly Problem[],
  { what, code, added }: { what: "document" | "node" | "edge"; code: ErrorCode; added: number },
): PrismError {
  const [first] = problems as [Problem]
  const shared = problems.every((problem) => problem.code === first.code) ? first.code : code
  const message =
    problems.length === 1
      ? `${first.place}: ${first.message}`
      : `${problems.length} ${what}s are refused; the first: ${first.place}: ${first.message}`
  return new PrismError(shared, message, {
    place: first.place,
    problems,
    hint: added > 0 ? `the other ${added} are added; send these again once mended` : "nothing was added",
  })
}
