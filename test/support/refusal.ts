import { PrismError } from "../../src/base/errors.ts"

/** The PrismError that a call is refused with; anything else fails the test. */
export async function refusal(call: Promise<unknown>): Promise<PrismError> {
  let error: unknown = new Error("nothing was refused")
  try {
    await call
  } catch (thrown) {
    error = thrown
  }
  if (error instanceof PrismError) return error
  throw error
}

export async function refusalCode(call: Promise<unknown>): Promise<string> {
  return (await refusal(call)).code
}
