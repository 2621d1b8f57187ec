// Keys for points: u64 values that sort as the numbers and dates that they stand for.
import { assert } from "../base/errors.ts"

export const POINT_MIN = 0n
export const POINT_MAX = 0xffff_ffff_ffff_ffffn
const SIGN = 0x8000_0000_0000_0000n

const scratch = new DataView(new ArrayBuffer(8))

/** value: −2⁶³ … 2⁶³ − 1. */
export function sortableI64(value: bigint): bigint {
  assert(BigInt.asIntN(64, value) === value, "i64 out of range")
  return value + SIGN
}

/** value: 0 … 2⁶⁴ − 1. */
export function sortableU64(value: bigint): bigint {
  assert(BigInt.asUintN(64, value) === value, "u64 out of range")
  return value
}

/** Any double but NaN; −0 and 0 are one key, neighbouring keys are neighbouring doubles. */
export function sortableF64(value: number): bigint {
  assert(!Number.isNaN(value), "NaN has no place in an order")
  scratch.setFloat64(0, value === 0 ? 0 : value)
  const bits = scratch.getBigUint64(0)
  // IEEE 754 sorts as sign and magnitude: flip everything below zero, and only the sign above.
  return bits & SIGN ? BigInt.asUintN(64, ~bits) : bits | SIGN
}

export function sortableBool(value: boolean): bigint {
  return value ? 1n : 0n
}

/** ticks: a moment in units of 100 ns since 1970 (i64). That unit covers the years 0000 to 9999 whole, which
 *  nanoseconds (1677 to 2262) do not; dates that differ only beyond the seventh digit of a second share a key. */
export function sortableDate(ticks: bigint): bigint {
  return sortableI64(ticks)
}
