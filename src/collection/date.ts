// Dates as documents and queries write them, as moments that can be compared.

/** A moment in units of 100 ns since 1970, the unit of `sortableDate`. */
export type Ticks = bigint

const TICKS_PER_SECOND = 10_000_000n
export const TICKS_PER_DAY: Ticks = 86_400n * TICKS_PER_SECOND

/** 0001-01-01 to the last microsecond of 9999. */
const MICROSECONDS_MIN = -62_135_596_800_000_000n
const MICROSECONDS_MAX = 253_402_300_799_999_999n

const RFC_3339 = /^(\d{4})-(\d{2})-(\d{2})[Tt ](\d{2}):(\d{2}):(\d{2})(?:\.(\d+))?(?:[Zz]|([+-])(\d{2}):(\d{2}))$/
const DAY = /^(\d{4})-(\d{2})-(\d{2})$/

/** The moment of an RFC 3339 date and time with any number of digits of a second, or undefined. Years 0001 to 9999; a
 *  leap second is the moment after it. Digits beyond the seventh are not seen. */
export function parseDateTime(text: string): Ticks | undefined {
  const match = RFC_3339.exec(text)
  if (match === null) return undefined
  const [year, month, day, hour, minute, second] = match.slice(1, 7).map(Number) as [
    number,
    number,
    number,
    number,
    number,
    number,
  ]
  const days = daysSinceEpoch(year, month, day)
  if (days === undefined || hour > 23 || minute > 59 || second > 60) return undefined
  const [offsetHour, offsetMinute] = [Number(match[9] ?? 0), Number(match[10] ?? 0)]
  if (offsetHour > 23 || offsetMinute > 59) return undefined
  const offset = (offsetHour * 60 + offsetMinute) * (match[8] === "-" ? -60 : 60)
  const seconds = days * 86_400 + hour * 3600 + minute * 60 + second - offset
  const fraction = match[7] === undefined ? 0n : BigInt(match[7].slice(0, 7).padEnd(7, "0"))
  return BigInt(seconds) * TICKS_PER_SECOND + fraction
}

/** The first moment (UTC) of a day `2024-05-06`, or undefined. */
export function parseDay(text: string): Ticks | undefined {
  const match = DAY.exec(text)
  if (match === null) return undefined
  const days = daysSinceEpoch(Number(match[1]), Number(match[2]), Number(match[3]))
  return days === undefined ? undefined : BigInt(days) * TICKS_PER_DAY
}

/** The moment of a number of microseconds since 1970, or undefined outside the years 0001 to 9999. */
export function fromMicroseconds(microseconds: bigint): Ticks | undefined {
  if (microseconds < MICROSECONDS_MIN || microseconds > MICROSECONDS_MAX) return undefined
  return microseconds * 10n
}

/** Days from 1970-01-01 to a day of the Gregorian calendar, carried on to the years before it; undefined where there is
 *  no such day. */
function daysSinceEpoch(year: number, month: number, day: number): number | undefined {
  if (year < 1 || month < 1 || month > 12 || day < 1 || day > daysInMonth(year, month)) return undefined
  // Counted in years that begin in March, so that the leap day is the last [Hinnant, days_from_civil].
  const y = month > 2 ? year : year - 1
  const dayOfYear = Math.floor((153 * (month > 2 ? month - 3 : month + 9) + 2) / 5) + day - 1
  return y * 365 + Math.floor(y / 4) - Math.floor(y / 100) + Math.floor(y / 400) + dayOfYear - 719_468
}

function daysInMonth(year: number, month: number): number {
  if (month !== 2) return month === 4 || month === 6 || month === 9 || month === 11 ? 30 : 31
  return year % 4 === 0 && (year % 100 !== 0 || year % 400 === 0) ? 29 : 28
}
