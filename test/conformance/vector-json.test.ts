import { expect, test } from "vitest"
import { Engine } from "../../src/engine/engine.ts"
import { VectorWriter } from "../../src/engine/vector-index.ts"
import { Random } from "../support/random.ts"

/** What vectorJson writes for these f32, a text each. */
function texts(values: Float32Array): string[] {
  const engine = new Engine()
  using writer = new VectorWriter(engine, {
    dimension: values.length,
    metric: "dot",
    m: 16,
    efConstruction: 10,
    graph: false,
  })
  writer.add(0, values)
  const json = new TextDecoder().decode(writer.vectorJson(0))
  expect(json.startsWith("[") && json.endsWith("]")).toBe(true)
  const written = json.slice(1, -1).split(",")
  expect(written.length).toBe(values.length)
  return written
}

function floatsOfBits(bits: Uint32Array): Float32Array {
  const floats = new Float32Array(bits.buffer)
  return floats.filter(Number.isFinite)
}

/** Decimals of `digits` significant digits around x: the nearest, and its neighbours. */
function around(x: number, digits: number): number[] {
  const [mantissa = "", exponent = ""] = x.toExponential(digits - 1).split("e")
  const last = BigInt(mantissa.replace(".", ""))
  return [last - 1n, last, last + 1n].map((n) => Number(`${n}e${Number(exponent) - digits + 1}`))
}

/** Held against Math.fround and the exact toExponential and parser of the runtime, which are not ours. */
function expectShortest(values: Float32Array): void {
  const written = texts(values)
  for (const [i, x] of values.entries()) {
    const text = written[i] ?? ""
    const parsed: unknown = JSON.parse(text)
    if (!Object.is(Math.fround(parsed as number), x)) expect.fail(`${text} is not ${x}`)
    if (text !== (Object.is(parsed, -0) ? "-0" : String(parsed))) expect.fail(`${text} is not JavaScript's notation`)
    if (x === 0) continue
    const size = Math.abs(x)
    const digits = text.replace(/e.*|[-.]/g, "").replace(/^0+|0+$/g, "").length
    const fits = (decimal: number) => Math.fround(decimal) === size
    if (digits > 1 && around(size, digits - 1).some(fits)) expect.fail(`${text} is not the shortest for ${x}`)
    const distance = Math.abs(Math.abs(parsed as number) - size)
    // By more than the rounding of these differences: 0.00024414062 and …63 are as near to 2 ** -12.
    const nearer = around(size, digits).find(
      (decimal) => fits(decimal) && Math.abs(decimal - size) < distance * 0.999999,
    )
    if (nearer !== undefined) expect.fail(`${nearer} is nearer to ${x} than ${text}`)
  }
}

test("any f32 is written as the shortest decimal that parses back to it, in JavaScript's notation", () => {
  const random = new Random(8)
  expectShortest(floatsOfBits(Uint32Array.from({ length: 20_000 }, () => random.bits())))
})

test("so is every power of two, with the f32 beside it", () => {
  const bits = Uint32Array.from({ length: 255 * 5 }, (_, i) => (Math.floor(i / 5) << 23) + (i % 5) - 2)
  expectShortest(floatsOfBits(bits))
})

test("so are the components of embeddings, decimals of few digits, integers and the smallest numbers", () => {
  const random = new Random(9)
  expectShortest(Float32Array.from({ length: 5000 }, () => random.normal() / 20))
  expectShortest(
    Float32Array.from({ length: 5000 }, () => (random.below(2_000_000) - 1_000_000) / 10 ** random.below(9)),
  )
  expectShortest(Float32Array.from({ length: 2000 }, (_, i) => i - 1000))
  expectShortest(floatsOfBits(Uint32Array.from({ length: 2000 }, (_, i) => i)))
})

test("zero keeps its sign, and the ends of the range their value", () => {
  expect(texts(Float32Array.of(0, -0, 1, -1, 0.1, 1e21, 1e20, 1e-6, 1e-7, 3.4028235e38, -1e-45, 123456.79))).toEqual([
    ..."0,-0,1,-1,0.1,1e+21,100000000000000000000,0.000001,1e-7,3.4028235e+38,-1e-45,123456.79".split(","),
  ])
})

test("where the f64 of the shortest decimal would round to the next f32, a digit more is written", () => {
  // The only two such numbers; see assembly/vector/decimal.ts.
  const pair = new Float32Array(Uint32Array.of(0x15ae43fd, 0x15ae43fe).buffer)
  expect(texts(pair)).toEqual(["7.0385307e-26", "7.038531e-26"])
  expectShortest(pair)
})
