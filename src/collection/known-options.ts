import { PrismError } from "../base/errors.ts"
import { closest } from "../base/similar.ts"

/** INVALID_REQUEST for an option that `call` does not have: a typing error must not be taken for its absence. */
export function checkOptions(call: string, options: object, known: readonly string[]): void {
  for (const key of Object.keys(options)) {
    if (known.includes(key)) continue
    const similar = closest(key, known)
    throw new PrismError("INVALID_REQUEST", `${call} has no option "${key}"`, {
      place: key,
      hint: similar ? `did you mean "${similar}"?` : `its options: ${known.join(", ")}`,
    })
  }
}
