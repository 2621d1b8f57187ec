import fc from "fast-check"
import { assert, describe, test } from "vitest"
import { PrismError } from "../src/base/errors.ts"
import { compactJson, type JsonOptions, jsonMembers, parseJson, stringifyJson } from "../src/base/json.ts"

/** Puts a long integer before it, so that only the scanner of our own can read it. */
function exactly(text: string): unknown {
  return (parseJson(`{"long":12345678901234567890,"value":${text}}`, { depthMax: 70 }) as { value: unknown }).value
}

/** Exact integers as the doubles that JSON.parse makes of them. */
function rounded(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value)
  if (Array.isArray(value)) return value.map(rounded)
  if (typeof value !== "object" || value === null) return value
  const entries = Object.entries(value).map(([key, member]) => [key, rounded(member)])
  return Object.fromEntries(entries)
}

function refusal(call: () => unknown): PrismError {
  try {
    call()
  } catch (error) {
    assert.instanceOf(error, PrismError)
    return error
  }
  throw new Error("accepted")
}

const anyJson = fc.json({ maxDepth: 5, stringUnit: "binary" })

describe("parsing", () => {
  test("the scanner reads what JSON.parse reads", () => {
    fc.assert(
      fc.property(anyJson, fc.constantFrom(undefined, 1, "\t"), (json, indent) => {
        const text = JSON.stringify(JSON.parse(json), null, indent)
        assert.deepEqual(rounded(exactly(text)), JSON.parse(text))
        assert.deepEqual(rounded(parseJson(text)), JSON.parse(text))
      }),
      { numRuns: 500, seed: 1 },
    )
  })

  test("and refuses what JSON.parse refuses", () => {
    const mutated = fc
      .tuple(anyJson, fc.nat(), fc.constantFrom("", ...'{}[]",:\\0-.eE+tfn\u0000\ud800 '))
      .map(([json, at, character]) => {
        const index = at % (json.length + 1)
        return json.slice(0, index) + character + json.slice(index + 1)
      })
    fc.assert(
      fc.property(mutated, (text) => {
        let wanted: unknown
        try {
          wanted = JSON.parse(text)
        } catch {
          assert.match(refusal(() => exactly(text)).message, /^not valid JSON at column \d+: /)
          assert.match(refusal(() => parseJson(text)).message, /^not valid JSON at column \d+: /)
          return
        }
        // The one thing that JSON.parse alone lets through: numbers beyond the doubles.
        if (/\d[eE]\+?\d{3}|\d{300}/.test(text)) return
        assert.deepEqual(rounded(exactly(text)), wanted)
      }),
      { numRuns: 2000, seed: 2 },
    )
  })

  test.each<[string, unknown]>([
    ["9007199254740991", 9007199254740991],
    ["9007199254740992", 9007199254740992n],
    ["9007199254740993", 9007199254740993n],
    ["-9223372036854775808", -9223372036854775808n],
    ["18446744073709551615", 18446744073709551615n],
    ["123456789012345678901234567890", 123456789012345678901234567890n],
    ["9007199254740993.0", 9007199254740992],
    ["1e16", 1e16],
    ["0.1234567890123456789", 0.12345678901234568],
    ["-0", -0],
    ["5e-324", 5e-324],
    ['"1234567890123456"', "1234567890123456"],
    [
      '{"__proto__":12345678901234567890}',
      Object.defineProperty({}, "__proto__", {
        value: 12345678901234567890n,
        enumerable: true,
        writable: true,
        configurable: true,
      }),
    ],
  ])("%s is exact", (text, value) => assert.deepEqual(parseJson(text), value))

  test("__proto__ is a key like any other", () => {
    for (const text of ['{"__proto__":{"polluted":1}}', '{"__proto__":{"polluted":1},"n":12345678901234567890}']) {
      const value = parseJson(text) as Record<string, unknown>
      assert.isTrue(Object.hasOwn(value, "__proto__"))
      assert.isUndefined(value.polluted)
      assert.equal(Object.getPrototypeOf(value), Object.prototype)
    }
  })

  test.each<[string, number, RegExp]>([
    ["", 1, /ends where a value/],
    ["{", 2, /key in double quotes/],
    ['{"a"}', 5, /expected ":"/],
    ['{"a":1,}', 8, /key in double quotes/],
    ['{"a":1 "b":2}', 8, /expected "," or "}"/],
    ["[1,]", 4, /expected a value/],
    ["[1 2]", 4, /expected "," or "]"/],
    ["[1] 2", 5, /the end of the text/],
    ['["a', 2, /ends inside a string/],
    ['"a\nb"', 3, /control character/],
    ['"a\\x"', 3, /not an escape/],
    ['"\\u12g4"', 2, /not an escape/],
    ["01", 1, /does not begin with 0/],
    ["[1e]", 3, /expected "," or "]"/],
    ["-", 1, /expected a value/],
    ["+1", 1, /expected a value/],
    [".5", 1, /expected a value/],
    ["1e999", 1, /out of range/],
    ["[-1e999]", 2, /out of range/],
    ["nul", 1, /expected a value/],
    ["NaN", 1, /expected a value/],
    ["'a'", 1, /expected a value/],
    ["1".repeat(400), 1, /out of range/],
  ])("%s is refused at its column", (text, column, message) => {
    const error = refusal(() => parseJson(text))
    assert.match(error.message, message)
    assert.include(error.message, `column ${column}:`)
  })

  test("nesting has a limit on both ways, and a million brackets do no harm", () => {
    const nested = (depth: number) => "[".repeat(depth) + "]".repeat(depth)
    for (const read of [parseJson, compactJson] as ((text: string, options?: JsonOptions) => unknown)[]) {
      read(nested(64))
      read(`[${nested(64)},1234567890123456]`, { depthMax: 65 })
      for (const depth of [65, 1e6]) assert.match(refusal(() => read(nested(depth))).message, /64 arrays and objects/)
      assert.match(refusal(() => read("[".repeat(1e6))).message, /64 arrays and objects/)
    }
    assert.match(refusal(() => parseJson(nested(3), { depthMax: 2 })).message, /2 arrays/)
  })

  test("the caller says code and place of the error", () => {
    const error = refusal(() => parseJson("{", { code: "INVALID_FORMAT", place: "line 7" }))
    assert.deepEqual([error.code, error.place], ["INVALID_FORMAT", "line 7"])
  })
})

describe("compacting", () => {
  test("takes white space away and nothing else", () => {
    fc.assert(
      fc.property(anyJson, fc.constantFrom("  ", "\t", "\r\n"), (json, indent) => {
        const compact = JSON.stringify(JSON.parse(json))
        assert.equal(compactJson(JSON.stringify(JSON.parse(json), null, indent)), compact)
        assert.equal(compactJson(` ${compact}\n`), compact)
      }),
      { numRuns: 500, seed: 3 },
    )
  })

  test.each([
    ['{"2":1,"1":2,"a":0}'], // integer-like keys stay where they are
    ["[1.0,1.50,-0,-0.0,1E5,1e+5,12345678901234567890.123]"], // literals
    ['"\\u0041\\/\\ud83d\\ude00\\ud800"'], // escapes
    ['{"__proto__":1,"":2}'],
    ['" \\" [ 1 , 2 ] \\\\"'],
  ])("%s stays as it is", (text) => assert.equal(compactJson(text), text))

  test("a repeated key is refused, wherever it is and however it is written", () => {
    for (const text of ['{"a":1,"b":2,"a":3}', '[{"x":{"a":1,"\\u0061":2}}]']) {
      assert.match(refusal(() => compactJson(text)).message, /key "a" appears twice/)
    }
    assert.match(refusal(() => jsonMembers('{"a":1, "a":2}')).message, /column 9: key "a" appears twice/)
  })

  test("half a surrogate pair becomes an escape, so that UTF-8 can hold the text", () => {
    assert.equal(
      compactJson('{ "a" : "x\ud800y" , "\udc00" : "\ud83d\ude00" }'),
      '{"a":"x\\ud800y","\\udc00":"\ud83d\ude00"}',
    )
    assert.equal(compactJson('"\ud800\ud83d\ude00"'), '"\\ud800\ud83d\ude00"')
  })
})

test("members say where they stand", () => {
  const text = ' {"a" : [1, 2] ,\n"b":{"c":"}"},"\\u0064":null } '
  const members = jsonMembers(text)
  assert.deepEqual(
    members.map(({ key, start, valueStart, end }) => [key, text.slice(start, end), text.slice(valueStart, end)]),
    [
      ["a", '"a" : [1, 2]', "[1, 2]"],
      ["b", '"b":{"c":"}"}', '{"c":"}"}'],
      ["d", '"\\u0064":null', "null"],
    ],
  )
  assert.deepEqual(jsonMembers("{}"), [])
  assert.match(refusal(() => jsonMembers("[]")).message, /expected an object/)
})

describe("writing", () => {
  test("what JSON.stringify writes, and it reads back", () => {
    fc.assert(
      fc.property(fc.jsonValue({ stringUnit: "binary" }), (value) => {
        const text = stringifyJson(value)
        assert.deepEqual(rounded(parseJson(text)), value)
        if (!text.includes("-0.0")) assert.equal(text, JSON.stringify(value))
      }),
      { numRuns: 500, seed: 4 },
    )
  })

  test("exact integers and minus zero come back as they were", () => {
    const value = { a: [18446744073709551615n, -9223372036854775808n, -0, 0] }
    assert.equal(stringifyJson(value), '{"a":[18446744073709551615,-9223372036854775808,-0.0,0]}')
    assert.deepEqual(parseJson(stringifyJson(value)), value as never)
  })

  test.each<[string, unknown, RegExp]>([
    ["NaN", { a: [1, Number.NaN] }, /^"a\[1\]" is NaN/],
    ["infinity", { a: { b: -Infinity } }, /^"a.b" is -Infinity/],
    ["undefined", { a: undefined }, /^"a" is undefined/],
    ["a function", [() => 1], /is function/],
    ["a symbol", Symbol("x"), /^the value is symbol/],
    ["a Date", { a: new Date(0) }, /^"a" is Date/],
    ["a Map", { a: new Map() }, /^"a" is Map/],
    ["a typed array", { a: new Float32Array(2) }, /^"a" is Float32Array/],
    ["a hole", Array(2), /^"\[0\]" is undefined/],
  ])("%s is refused by its path", (_name, value, message) => {
    assert.match(refusal(() => stringifyJson(value)).message, message)
  })

  test("a circle is refused as too deep", () => {
    const circle: Record<string, unknown> = {}
    circle.a = circle
    assert.match(refusal(() => stringifyJson(circle)).message, /nested too deeply/)
  })
})
