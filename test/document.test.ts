import fc from "fast-check"
import { assert, describe, test } from "vitest"
import { type ErrorCode, PrismError } from "../src/base/errors.ts"
import {
  type CheckedDocument,
  type CheckOptions,
  DOCUMENT_BYTES_MAX,
  DocumentChecker,
  type DocumentInput,
  parseDocumentLine,
  parseFields,
} from "../src/collection/document.ts"
import { indexFields, searchFields } from "../src/collection/index-fields.ts"
import { parseSchema } from "../src/collection/schema.ts"
import { sortableBool, sortableDate, sortableF64, sortableI64, sortableU64 } from "../src/engine/sortable.ts"

const TYPES = ["text", "string", "i64", "u64", "f64", "bool", "date", "bytes"] as const
const schema = parseSchema(
  {
    backends: {
      text: {
        fields: [
          ...TYPES.map((type) => ({ name: type, type })),
          { name: "author.name", type: "text" },
          { name: "quiet", type: "i64", indexed: false },
        ],
      },
      vector: { embedding_field: "embedding", dimension: 3 },
    },
  },
  { from: "user" },
)
const ordinals = new Map(searchFields(schema).map(({ name, ordinal }) => [name, ordinal]))
const checker = new DocumentChecker(schema, { collection: "things" })
const check = (input: DocumentInput, options?: CheckOptions): CheckedDocument => checker.check(input, options)
const line = (text: string, options?: CheckOptions): CheckedDocument => check(parseDocumentLine(text), options)
const fieldsLine = (fields: string): CheckedDocument => line(`{"id":"a","fields":${fields}}`)

/** Points of a field as the index takes them. */
function pointsOf({ values }: CheckedDocument, field: string): bigint[] {
  return values.flatMap((value) => ("point" in value && value.field === ordinals.get(field) ? [value.point] : []))
}
function textsOf({ values }: CheckedDocument, field: string): string[] {
  return values.flatMap((value) => {
    if (value.field !== ordinals.get(field) || "point" in value) return []
    return ["text" in value ? value.text : value.term]
  })
}

function refusal(call: () => unknown): PrismError {
  try {
    call()
  } catch (error) {
    assert.instanceOf(error, PrismError, String(error))
    return error
  }
  throw new Error("accepted")
}

describe("the text of the fields is kept", () => {
  test.each([
    ["key order, also of keys like integers", '{"b":1,"2":2,"a":3,"1":4}'],
    [
      "number literals",
      '{"i64":3.0,"f64":1.50,"x":[1E5,-0,-0.0,0.10,9007199254740993,1e400000]}'.replace(",1e400000", ""),
    ],
    ["exact integers", '{"i64":-9223372036854775808,"u64":18446744073709551615,"x":123456789012345678901234567890}'],
    ["escapes", '{"text":"\\u00e9\\/\\ud83d\\ude00\\ud800"}'],
    ["nested objects and arrays", '{"x":{"y":[[],{},[{"z":null}]]},"i64":[1,null,2]}'],
    ["__proto__", '{"__proto__":{"polluted":1},"constructor":1,"toString":null,"hasOwnProperty":0}'],
    ["nothing", "{}"],
    ["system fields", '{"_indexed_at":"2026-11-22T17:31:06Z","_boost":1.0}'],
    ["digits of dates", '{"date":"2024-01-01T00:00:00.123456789+05:30"}'],
  ])("%s", (_name, fields) => {
    assert.equal(fieldsLine(fields).fieldsJson, fields)
    const spaced = ` { "id" : "a" ,\t"fields" : ${fields.replaceAll(/(?<=[{[,]|":)(?!["}\]])/g, " ")} } `
    assert.equal(line(spaced).fieldsJson, fields)
    if (!fields.includes("_")) assert.equal(line(`{"id":"a",${fields.slice(1)}`.replace(",}", "}")).fieldsJson, fields)
    assert.isUndefined(({} as { polluted?: unknown }).polluted)
  })

  test("for any JSON, whatever the white space around it", () => {
    const fields = fc.dictionary(fc.string({ unit: "binary" }), fc.jsonValue({ stringUnit: "binary", maxDepth: 3 }), {
      maxKeys: 5,
    })
    const free = new DocumentChecker(
      parseSchema("backends: {text: {fields: [{name: title, type: text}]}}", { from: "user" }),
    )
    fc.assert(
      fc.property(fields, fc.constantFrom(undefined, 1, "\t"), (value, indent) => {
        delete value.id
        delete value.title
        const compact = JSON.stringify(value)
        const text = JSON.stringify({ id: "a", fields: value }, null, indent)
        assert.equal(free.check(parseDocumentLine(text)).fieldsJson, compact)
        // An object of a program: the same but for −0, which JSON.stringify loses.
        assert.equal(free.check({ id: "a", fields: value }).fieldsJson.replaceAll(/-0\.0(?!\d)/g, "0"), compact)
      }),
      { numRuns: 500, seed: 1 },
    )
  })

  test("and reads back as it was", () => {
    const { fieldsJson } = check({ id: "a", i64: 2n ** 62n, f64: -0, x: { y: [1.5, null, "z"] } })
    assert.equal(fieldsJson, '{"i64":4611686018427387904,"f64":-0.0,"x":{"y":[1.5,null,"z"]}}')
    assert.deepEqual(parseFields(fieldsJson), { i64: 2n ** 62n, f64: -0, x: { y: [1.5, null, "z"] } } as never)
  })

  test("without the id, which 0.6 repeats, and without the embedding", () => {
    assert.equal(fieldsLine('{"id":"a","text":"x"}').fieldsJson, '{"text":"x"}')
    assert.equal(fieldsLine('{"text":"x","\\u0069d":"a"}').fieldsJson, '{"text":"x"}')
    const { fieldsJson, vector } = fieldsLine('{"text":"x","embedding":[1,2,3.0],"u64":1}')
    assert.deepEqual([fieldsJson, [...vector!]], ['{"text":"x","u64":1}', [1, 2, 3]])
    assert.match(refusal(() => fieldsLine('{"id":"b"}')).message, /another id, the text "b"/)
    assert.match(refusal(() => check({ id: "a", fields: { id: "b" } })).message, /another id/)
  })
})

describe("both shapes of a document mean the same", () => {
  const wanted: CheckedDocument = {
    id: "a",
    fieldsJson: '{"text":"x","i64":1}',
    vector: Float32Array.of(1, 0.5, -2),
    values: [
      { field: 0, term: "a" },
      { field: ordinals.get("text")!, text: "x" },
      { field: ordinals.get("i64")!, point: sortableI64(1n) },
    ],
    edgeCount: 0,
    plainBytesCount: 0,
  }
  test("as objects", () => {
    const vector = [1, 0.5, -2]
    for (const document of [
      check({ id: "a", fields: { text: "x", i64: 1 }, vector }),
      check({ id: "a", fields: { text: "x", i64: 1 }, vector: Float32Array.from(vector) }),
      check({ id: "a", fields: { text: "x", embedding: Float64Array.from(vector), i64: 1 } }),
      check({ id: "a", text: "x", i64: 1, embedding: vector }),
      check({ embedding: vector, text: "x", i64: 1, id: "a" }),
      check({ id: "a", text: "x", i64: 1, vector }),
      check({ id: "a", text: "x", i64: 1, vector, embedding: vector }),
    ]) {
      assert.deepEqual(document, wanted)
    }
  })

  test("as lines", () => {
    for (const text of [
      '{"id":"a","fields":{"text":"x","i64":1},"vector":[1,0.5,-2]}',
      '{"vector":[1,0.5,-2],"fields":{"text":"x","i64":1},"id":"a"}',
      '{"id":"\\u0061","fields":{"text":"x","i64":1},"vector":[1,0.5,-2]}',
      '{"id":"a","fields":{"text":"x","embedding":[1,0.5,-2],"i64":1}}',
      '{"id":"a","fields":{"text":"x","i64":1,"embedding":null},"vector":[1,0.5,-2]}',
      '{"id":"a","text":"x","i64":1,"embedding":[1,0.5,-2]}',
      '{"id":"a","text":"x","vector":[1,0.5,-2],"i64":1}',
    ]) {
      assert.deepEqual(line(text), wanted)
    }
  })

  test("a document of an id alone, or with null for fields or vector", () => {
    for (const document of [
      check({ id: "a" }),
      check({ id: "a", fields: {} }),
      check({ id: "a", fields: {}, vector: undefined as never }),
      line('{"id":"a"}'),
      line('{"id":"a","fields":{}}'),
      line('{"id":"a","fields":{},"vector":null}'),
    ]) {
      assert.deepEqual([document.fieldsJson, document.vector, document.values.length], ["{}", undefined, 1])
    }
  })

  test("a mixture of both is refused, nothing is guessed", () => {
    for (const call of [
      () => check({ id: "a", fields: { text: "x" }, i64: 1 } as unknown as DocumentInput),
      () => line('{"id":"a","fields":{"text":"x"},"i64":1}'),
    ]) {
      assert.match(refusal(call).message, /"fields" beside "i64"/)
    }
  })

  test("a field may be called fields or vector where nothing else is meant", () => {
    assert.equal(line('{"id":"a","fields":"x"}').fieldsJson, '{"fields":"x"}')
    const plain = new DocumentChecker(
      parseSchema("backends: {text: {fields: [{name: t, type: text}]}}", { from: "user" }),
    )
    assert.equal(plain.check({ id: "a", vector: [1] }).fieldsJson, '{"vector":[1]}')
    const named = parseSchema(
      "backends: {text: {fields: [{name: vector, type: f64}]}, vector: {embedding_field: e, dimension: 1}}",
      { from: "user" },
    )
    assert.equal(new DocumentChecker(named).check({ id: "a", vector: [1] }).fieldsJson, '{"vector":[1]}')
  })
})

describe("values by type", () => {
  test("each element of a list is indexed, null is none", () => {
    const document = fieldsLine('{"text":["a",null,"b"],"string":["c"],"i64":[],"f64":null,"bytes":["","aGk="]}')
    assert.deepEqual(textsOf(document, "text"), ["a", "b"])
    assert.deepEqual(textsOf(document, "string"), ["c"])
    assert.deepEqual(textsOf(document, "bytes"), ["", "aGk="])
    assert.deepEqual([...pointsOf(document, "i64"), ...pointsOf(document, "f64")], [])
  })

  test.each<[string, string, bigint]>([
    ["i64", "-9223372036854775808", sortableI64(-(2n ** 63n))],
    ["i64", "9223372036854775807", sortableI64(2n ** 63n - 1n)],
    ["i64", "3.0", sortableI64(3n)],
    ["i64", "1e3", sortableI64(1000n)],
    ["i64", "-0", sortableI64(0n)],
    ["u64", "18446744073709551615", sortableU64(2n ** 64n - 1n)],
    ["u64", "9007199254740993", sortableU64(9007199254740993n)],
    ["f64", "1", sortableF64(1)],
    ["f64", "-0.0", sortableF64(0)],
    ["f64", "5e-324", sortableF64(5e-324)],
    ["f64", "18446744073709551615", sortableF64(2 ** 64)],
    ["bool", "true", sortableBool(true)],
    ["bool", "false", sortableBool(false)],
    ["date", '"2024-01-01T00:00:00Z"', sortableDate(17040672000000000n)],
    ["date", '"2024-01-01T05:30:00.5+05:30"', sortableDate(17040672005000000n)],
    ["date", "-1500000", sortableDate(-15000000n)],
    ["date", "0", sortableDate(0n)],
  ])("%s takes %s", (type, literal, key) => {
    const document = fieldsLine(`{"${type}":${literal}}`)
    assert.deepEqual(pointsOf(document, type), [key])
    assert.deepEqual(checker.checkStored("a", document.fieldsJson, undefined).values, document.values)
  })

  test.each<[string, string, RegExp, RegExp?]>([
    ["text", "1", /expects text, found 1/, /quotes/],
    ["text", '{"a":1}', /found an object/],
    ["text", "[[]]", /"text"\[0\] expects text, found a list/, /list of lists/],
    ["string", "true", /expects text, found true/],
    ["i64", '"12"', /expects a whole number .*\(i64\), found the text "12"/, /without quotes/],
    ["i64", "1.5", /found 1.5/],
    ["i64", "9223372036854775808", /found 9223372036854775808/],
    ["i64", "1e18", /found 1000000000000000000/, /bigint/],
    ["u64", "-1", /u64\), found -1/],
    ["u64", "18446744073709551616", /found 18446744073709551616/],
    ["f64", '"1.5"', /finite number \(f64\), found the text/, /without quotes/],
    ["bool", "0", /true or false, found 0/],
    ["bool", '"true"', /found the text "true"/, /without quotes/],
    ["date", '"2024-05-06"', /RFC 3339/, /2024-05-06T00:00:00Z/],
    ["date", '"2024-05-06T07:08:09"', /RFC 3339/, /time zone/],
    ["date", '"2024-02-30T00:00:00Z"', /RFC 3339/],
    ["date", "1.5", /found 1.5/],
    ["date", "1704067200000000000", /found 1704067200000000000/, /microseconds/],
    ["bytes", '"not base64"', /base64/],
    ["bytes", "[1,2]", /"bytes"\[0\] expects base64/],
    ["quiet", '"x"', /"quiet" expects a whole number/],
  ])("%s refuses %s", (type, literal, message, hint = /(?:)/) => {
    const error = refusal(() => fieldsLine(`{"${type}":${literal}}`))
    assert.deepEqual([error.code, error.place], ["INVALID_DOCUMENT", 'document "a"'])
    assert.match(error.message, message)
    assert.match(error.hint ?? "", hint)
  })

  test("a dotted name reaches into nested objects, through lists too", () => {
    assert.deepEqual(textsOf(fieldsLine('{"author":{"name":"Ann"}}'), "author.name"), ["Ann"])
    assert.deepEqual(textsOf(fieldsLine('{"author":[{"name":"Ann"},{},{"name":["Bo","Cy"]},1]}'), "author.name"), [
      "Ann",
      "Bo",
      "Cy",
    ])
    assert.deepEqual(textsOf(fieldsLine('{"author.name":"Dee","author":{"name":"Ann"}}'), "author.name"), ["Dee"])
    assert.deepEqual(textsOf(fieldsLine('{"author":"Ann"}'), "author.name"), [])
    assert.match(refusal(() => fieldsLine('{"author":{"name":7}}')).message, /"author.name" expects text/)
  })

  test("what is not declared, or not indexed, is kept but not indexed", () => {
    assert.equal(fieldsLine('{"other":"x","quiet":5}').values.length, 1)
  })

  test("values only go to fields that the index has", () => {
    const document = line(`{"id":"a","text":"t","string":"s","i64":1,"u64":1,"f64":1,"bool":true,"date":0,"bytes":""}`)
    const kinds = indexFields(schema).map((field) => field.kind)
    assert.equal(document.values.length, 9)
    for (const value of document.values) assert.property(value, kinds[value.field]!)
  })
})

describe("from an archive of 0.6", () => {
  test("bytes that are no base64 are taken as text and counted", () => {
    const document = line('{"id":"a","fields":{"bytes":["not base64 !! ü","aGk="]}}', { from: "archive" })
    assert.equal(document.plainBytesCount, 1)
    assert.deepEqual(textsOf(document, "bytes"), ["not base64 !! ü", "aGk="])
  })
})

describe("vectors", () => {
  test("are the f32 nearest to what was given, in a copy", () => {
    const given = Float32Array.from([0.1, 1e-45, 3.4e38])
    const { vector } = check({ id: "a", fields: {}, vector: given })
    assert.deepEqual(vector, given)
    assert.notStrictEqual(vector, given)
    assert.deepEqual(
      [...line('{"id":"a","fields":{},"vector":[0.1,16777217,-1e-50]}').vector!],
      [Math.fround(0.1), 16777216, -0],
    )
  })

  test.each<[string, DocumentInput, ErrorCode, RegExp]>([
    [
      "too short",
      { id: "a", fields: {}, vector: [1, 2] },
      "DIMENSION_MISMATCH",
      /^vector has 2 dimensions, collection "things" expects 3$/,
    ],
    ["empty", { id: "a", fields: {}, vector: [] }, "DIMENSION_MISMATCH", /has 0 dimensions/],
    ["NaN", { id: "a", fields: {}, vector: [1, Number.NaN, 3] }, "INVALID_DOCUMENT", /vector\[1\] is NaN/],
    ["infinite", { id: "a", fields: {}, vector: [1, 2, -Infinity] }, "INVALID_DOCUMENT", /vector\[2\] is -Infinity/],
    ["beyond f32", { id: "a", fields: {}, vector: [1e39, 2, 3] }, "INVALID_DOCUMENT", /vector\[0\] is 1e\+39/],
    ["text", { id: "a", embedding: ["1", 2, 3] }, "INVALID_DOCUMENT", /vector\[0\] expects a number, found the text/],
    ["no list", { id: "a", embedding: "0,1,2" }, "INVALID_DOCUMENT", /"embedding" expects a list of numbers/],
    [
      "two different ones",
      { id: "a", embedding: [1, 2, 3], vector: [1, 2, 4] },
      "INVALID_DOCUMENT",
      /two different vectors/,
    ],
  ])("%s: refused", (_name, input, code, message) => {
    const error = refusal(() => check(input))
    assert.equal(error.code, code)
    assert.match(error.message, message)
    assert.equal(error.place, 'document "a"')
    const asLine = refusal(() => line(JSON.stringify(input).replace("null", "1e999")))
    assert.oneOf(asLine.code, [code, "INVALID_DOCUMENT"])
  })

  test("need a vector backend", () => {
    const plain = new DocumentChecker(
      parseSchema("backends: {text: {fields: [{name: t, type: text}]}}", { from: "user" }),
    )
    assert.match(refusal(() => plain.check({ id: "a", fields: {}, vector: [1] })).message, /no vector backend/)
    assert.match(
      refusal(() => plain.check(parseDocumentLine('{"id":"a","fields":{},"vector":[1]}'))).message,
      /no vector backend/,
    )
  })
})

describe("ids and limits", () => {
  test.each(["", "a\nb", "../../etc/passwd", 'a"b', "😀", "x".repeat(512), "é".repeat(256), "\u0000"])(
    "the id %j is taken",
    (id) => {
      assert.equal(check({ id }).id, id)
      assert.equal(line(JSON.stringify({ id, fields: {} })).id, id)
      assert.equal(line(JSON.stringify({ fields: {}, id })).id, id)
    },
  )

  test.each<[string, unknown, ErrorCode, RegExp]>([
    ["none", undefined, "INVALID_DOCUMENT", /no id/],
    ["null", null, "INVALID_DOCUMENT", /is text, found null/],
    ["a number", 7, "INVALID_DOCUMENT", /is text, found 7/],
    ["10,000 characters", "x".repeat(10_000), "LIMIT_EXCEEDED", /10000 bytes, at most 512/],
    ["513 bytes", "é".repeat(256) + "x", "LIMIT_EXCEEDED", /513 bytes/],
    ["half a surrogate pair", "a\ud800", "INVALID_DOCUMENT", /surrogate/],
  ])("%s as an id is refused", (_name, id, code, message) => {
    for (const call of [
      () => check({ id: id as string }),
      () => line(JSON.stringify({ id, fields: {} })),
      () => line(JSON.stringify({ id })),
    ]) {
      const error = refusal(call)
      assert.equal(error.code, code)
      assert.match(error.message, message)
      assert.isBelow((error.place ?? "").length, 120)
    }
  })

  test("a document over 16 MiB, or deeper than 64, is refused", () => {
    const error = refusal(() => check({ id: "a", text: "x".repeat(DOCUMENT_BYTES_MAX) }))
    assert.equal(error.code, "LIMIT_EXCEEDED")
    const nested = (depth: number) => `{"x":${"[".repeat(depth)}${"]".repeat(depth)}}`
    assert.equal(fieldsLine(nested(63)).fieldsJson, nested(63))
    assert.match(refusal(() => fieldsLine(nested(64))).message, /inside each other/)
    assert.match(refusal(() => fieldsLine(nested(1e6))).message, /inside each other/)
    assert.match(refusal(() => check({ id: "a", fields: JSON.parse(nested(64)) })).message, /nested too deeply/)
  })

  test.each<[string, RegExp]>([
    ["", /column 1: expected an object/],
    ["[]", /expected an object/],
    ['"a"', /expected an object/],
    ['{"id":"a","fields":{"text":"x"}', /column 32/],
    ['{"id":"a","fields":{"text":"x},"vector":[1,2,3]}', /column/],
    ['{"id":"a","fields":{"a":1,"a":2}}', /"a" appears twice/],
    ['{"id":"a","id":"b"}', /"id" appears twice/],
    ['{"id":"a","fields":{},"vector":[1,2,3],"vector":[1,2,4]}', /"vector" appears twice/],
    ['{"id":"a","fields":{"x":1e999}}', /out of range/],
    ['{"id":"a","fields":{"x":NaN}}', /expected a value/],
    ['{"id":"a","fields":{},"vector":"x"}', /"vector" expects a list of numbers/],
    ['{"id":"a","fields":{},"vector":[1,2,3]]}', /column/],
    ['{"id":"a","fields":{},"vector":[1,2,3]}}', /column/],
  ])("the line %s is refused", (text, message) => {
    const error = refusal(() => line(text))
    assert.equal(error.code, "INVALID_DOCUMENT")
    assert.match(error.message, message)
  })

  test("what JSON cannot hold is refused by its path", () => {
    assert.match(refusal(() => check({ id: "a", x: { y: Number.NaN } })).message, /"x.y" is NaN/)
    assert.match(refusal(() => check({ id: "a", x: undefined })).message, /"x" is undefined/)
    assert.match(refusal(() => check({ id: "a", date: new Date(0) })).hint ?? "", /toISOString/)
    assert.match(refusal(() => check(null as never)).message, /an object with an id, found null/)
    assert.match(refusal(() => check("x" as never)).message, /an object with an id/)
  })
})

describe("system fields", () => {
  const stamping = new DocumentChecker(
    parseSchema(
      "backends: {text: {fields: [{name: t, type: text}]}}\nsystem_fields: {indexed_at: true, document_boost: true}",
      { from: "user" },
    ),
  )
  const indexedAt = "2026-11-22T10:00:00.000Z"
  test("the time of indexing is stamped where the schema asks for it", () => {
    assert.equal(stamping.check({ id: "a" }, { indexedAt }).fieldsJson, `{"_indexed_at":"${indexedAt}"}`)
    const document = stamping.check(parseDocumentLine('{"id":"a","_indexed_at":"x","t":"y"}'), { indexedAt })
    assert.equal(document.fieldsJson, `{"t":"y","_indexed_at":"${indexedAt}"}`)
    assert.deepEqual(document.values.at(-1), { field: 2, point: sortableDate(BigInt(Date.parse(indexedAt)) * 10_000n) })
    assert.equal(check({ id: "a" }, { indexedAt }).fieldsJson, "{}")
  })

  test("what an archive brings stays", () => {
    const given = '{"_indexed_at":"2020-01-01T00:00:00Z","_boost":2.5}'
    assert.equal(
      stamping.check(parseDocumentLine(`{"id":"a","fields":${given}}`), { indexedAt, from: "archive" }).fieldsJson,
      given,
    )
    assert.equal(stamping.check({ id: "a" }, { from: "archive" }).fieldsJson, "{}")
  })

  test("a boost is a number above 0", () => {
    stamping.check({ id: "a", _boost: 2 })
    stamping.check({ id: "a", _boost: null })
    for (const _boost of [0, -1, "2"]) {
      assert.match(refusal(() => stamping.check({ id: "a", _boost })).message, /"_boost" expects a number above 0/)
    }
  })
})

test("the fast way and the exact way agree on every line", () => {
  const piece = fc.constantFrom(
    ...'{ } [ ] , : " \\ 1 0 - e . x'.split(" "),
    '"id"',
    '"fields"',
    '"vector"',
    '"a"',
    ',"vector":[1,2,3]',
    "1.0",
    "\\u0061",
    " ",
  )
  const bases = [
    '{"id":"a","fields":{"text":"x","i64":1},"vector":[1,0.5,-2]}',
    '{"id":"a","fields":{"x":[{"vector":[1]}]}}',
  ]
  const mutated = fc
    .tuple(fc.constantFrom(...bases), fc.nat(), fc.nat({ max: 8 }), fc.array(piece, { maxLength: 3 }))
    .map(([base, at, cut, pieces]) => {
      const start = at % base.length
      return base.slice(0, start) + pieces.join("") + base.slice(start + cut)
    })
  const outcome = (text: string): unknown => {
    try {
      const { id, fieldsJson, vector, values } = line(text)
      return { id, fieldsJson, vector, values }
    } catch (error) {
      assert.instanceOf(error, PrismError)
      return error.message.replace(/column \d+/, "column")
    }
  }
  fc.assert(
    // A space after the first brace keeps the fast way from being taken.
    fc.property(mutated, (text) => assert.deepEqual(outcome(text), outcome(text.replace("{", "{ ")))),
    { numRuns: 3000, seed: 5 },
  )
})

test("a checked document is no larger for the edges that it brings", () => {
  const edges = [{ edge_type: "t", from_field: "a", to_field: "b" }]
  const checker = new DocumentChecker(parseSchema(JSON.stringify({ backends: { graph: { edges } } }), { from: "user" }))
  const ids = Array.from({ length: 64 }, (_, place) => `node ${place}`)
  const checked = checker.check({ id: "d", a: ids, b: ids })
  assert.equal(checked.edgeCount, 64 * 64)
  assert.isBelow(JSON.stringify(checked).length, 2 * checked.fieldsJson.length)
  assert.deepEqual(checker.checkStored("d", checked.fieldsJson, undefined), checked)
  assert.lengthOf(checker.storedEdges("d", checked.fieldsJson), 64 * 64)
  const more = { id: "d", a: ids, b: [...ids, "one more"] }
  assert.match(refusal(() => checker.check(more)).message, /make more than 4096 edges/)
})
