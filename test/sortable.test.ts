import fc from "fast-check"
import { assert, test } from "vitest"
import { fromMicroseconds, parseDateTime, parseDay, TICKS_PER_DAY } from "../src/collection/date.ts"
import { POINT_MAX, sortableBool, sortableDate, sortableF64, sortableI64, sortableU64 } from "../src/engine/sortable.ts"

const order = (a: number | bigint, b: number | bigint): number => (a < b ? -1 : a > b ? 1 : 0)

test("keys sort as their numbers do", () => {
  const double = fc.double({ noNaN: true })
  const i64 = fc.bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  fc.assert(
    fc.property(double, double, (a, b) => assert.equal(order(sortableF64(a), sortableF64(b)), order(a, b))),
    { numRuns: 1000, seed: 1 },
  )
  fc.assert(
    fc.property(i64, i64, (a, b) => assert.equal(order(sortableI64(a), sortableI64(b)), order(a, b))),
    { seed: 2 },
  )
  assert.deepEqual([sortableI64(-(2n ** 63n)), sortableI64(2n ** 63n - 1n)], [0n, POINT_MAX])
  assert.deepEqual([sortableU64(0n), sortableU64(2n ** 64n - 1n)], [0n, POINT_MAX])
  assert.isBelow(Number(sortableBool(false)), Number(sortableBool(true)))
})

test("neighbouring doubles have neighbouring keys, and both zeros one", () => {
  assert.equal(sortableF64(-0), sortableF64(0))
  assert.equal(sortableF64(5e-324) - sortableF64(0), 1n)
  assert.equal(sortableF64(1 + Number.EPSILON) - sortableF64(1), 1n)
  assert.equal(sortableF64(-1) - sortableF64(-1 - Number.EPSILON), 1n)
  assert.isTrue(sortableF64(-Infinity) < sortableF64(-Number.MAX_VALUE))
})

test("what has no order is a bug", () => {
  assert.throws(() => sortableF64(Number.NaN), /Bug/)
  assert.throws(() => sortableI64(2n ** 63n), /Bug/)
  assert.throws(() => sortableU64(-1n), /Bug/)
})

test("dates are the moments that Date says, from the year 1 to 9999", () => {
  const date = fc.date({
    min: new Date("0001-01-01T00:00:00Z"),
    max: new Date("9999-12-31T23:59:59.999Z"),
    noInvalidDate: true,
  })
  fc.assert(
    fc.property(date, (moment) => {
      const ticks = BigInt(moment.getTime()) * 10_000n
      assert.equal(parseDateTime(moment.toISOString()), ticks)
      assert.equal(fromMicroseconds(BigInt(moment.getTime()) * 1000n), ticks)
      sortableDate(ticks)
      const day = moment.toISOString().slice(0, 10)
      assert.equal(parseDay(day), BigInt(Date.parse(`${day}T00:00:00Z`)) * 10_000n)
    }),
    { numRuns: 500, seed: 3 },
  )
})

test.each<[string, string | undefined, bigint?]>([
  ["2024-01-01T00:00:00Z", "2024-01-01T00:00:00.000Z"],
  ["2024-01-01t00:00:00z", "2024-01-01T00:00:00.000Z"],
  ["2024-01-01 00:00:00Z", "2024-01-01T00:00:00.000Z"],
  ["2024-02-29T23:59:59+05:30", "2024-02-29T18:29:59.000Z"],
  ["2024-02-29T23:59:59-05:30", "2024-03-01T05:29:59.000Z"],
  ["2024-01-01T00:00:00-00:00", "2024-01-01T00:00:00.000Z"],
  ["2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000Z"],
  ["1969-12-31T23:59:59.9Z", "1969-12-31T23:59:59.900Z"],
  ["2024-01-01T00:00:00.1234567899Z", "2024-01-01T00:00:00.123Z", 4567n],
  ["2000-02-29T00:00:00Z", "2000-02-29T00:00:00.000Z"],
  ["1900-02-29T00:00:00Z", undefined],
  ["2023-02-29T00:00:00Z", undefined],
  ["2024-13-01T00:00:00Z", undefined],
  ["2024-00-01T00:00:00Z", undefined],
  ["2024-04-31T00:00:00Z", undefined],
  ["2024-01-01T24:00:00Z", undefined],
  ["2024-01-01T00:60:00Z", undefined],
  ["2024-01-01T00:00:61Z", undefined],
  ["2024-01-01T00:00:00+24:00", undefined],
  ["2024-01-01T00:00:00", undefined],
  ["2024-01-01T00:00Z", undefined],
  ["2024-01-01T00:00:00.Z", undefined],
  ["0000-01-01T00:00:00Z", undefined],
  ["12024-01-01T00:00:00Z", undefined],
  ["2024-01-01", undefined],
])("%s", (text, iso, rest = 0n) => {
  const wanted = iso === undefined ? undefined : BigInt(Date.parse(iso)) * 10_000n + rest
  assert.equal(parseDateTime(text), wanted)
})

test("numbers are microseconds, in the years 1 to 9999", () => {
  assert.equal(fromMicroseconds(-1500000n), -15000000n)
  assert.equal(fromMicroseconds(253_402_300_799_999_999n), 2534023007999999990n)
  assert.equal(fromMicroseconds(253_402_300_800_000_000n), undefined)
  assert.equal(fromMicroseconds(-62_135_596_800_000_001n), undefined)
  assert.equal(TICKS_PER_DAY, 864_000_000_000n)
})
