import fc from "fast-check"
import { assert, describe, expect, test } from "vitest"
import { PrismError } from "../src/base/errors.ts"
import { type Analyze, parseQuery, QUERY_CLAUSES_MAX, QUERY_LENGTH_MAX } from "../src/collection/query-parser.ts"
import { parseSchema } from "../src/collection/schema.ts"
import type { Query } from "../src/engine/query.ts"
import { POINT_MAX, sortableDate, sortableF64, sortableI64, sortableU64 } from "../src/engine/sortable.ts"

const FIELDS = [
  ["title", "text"],
  ["body", "text"],
  ["tag", "string"],
  ["count", "i64"],
  ["size", "u64"],
  ["price", "f64"],
  ["sold", "bool"],
  ["at", "date"],
  ["raw", "bytes"],
] as const
const schema = parseSchema(
  {
    backends: {
      text: {
        fields: [...FIELDS.map(([name, type]) => ({ name, type })), { name: "hidden", type: "text", indexed: false }],
      },
      vector: { embedding_field: "embedding", dimension: 4 },
    },
  },
  { from: "user" },
)
/** Ordinal of a field: the id is 0. */
const ord = (name: string): number => FIELDS.findIndex(([field]) => field === name) + 1
const [TITLE, BODY, TAG] = [ord("title"), ord("body"), ord("tag")]
const analyze: Analyze = (_field, text) =>
  [...text.toLowerCase().matchAll(/[\p{L}\p{N}]+/gu)].map(([term], position) => ({ term, position }))
const parse = (text: string): Query => parseQuery(text, schema, analyze)

const weighted = (...fields: number[]) => fields.map((field) => ({ field, weight: 1 }))
const both = weighted(TITLE, BODY)
const term = (word: string, boost = 1, fields = both): Query => ({ kind: "term", fields, term: word, boost })
const phrase = (words: string[], boost = 1, fields = both): Query => ({
  kind: "phrase",
  fields,
  terms: words.map((word, offset) => ({ term: word, offset })),
  boost,
})
const bool = (parts: { must?: Query[]; should?: Query[]; mustNot?: Query[] }): Query => ({
  kind: "bool",
  must: parts.must ?? [],
  should: parts.should ?? [],
  mustNot: parts.mustNot ?? [],
})
const points = (name: string, lower: bigint, upper: bigint): Query => ({
  kind: "points",
  field: ord(name),
  lower,
  upper,
})
const ALL: Query = { kind: "all" }
const NONE: Query = { kind: "none" }
const [a, b, c] = [term("a"), term("b"), term("c")]

function refusal(text: string, fields?: string[]): PrismError {
  try {
    parseQuery(text, schema, analyze, { fields })
  } catch (error) {
    assert.instanceOf(error, PrismError, text)
    assert.equal(error.code, "INVALID_QUERY")
    return error
  }
  throw new Error(`accepted: ${text}`)
}

// Worked out by hand from the rule of Lucene's QueryParserBase.addClause; in the comments as Lucene prints a query.
describe("clauses combine as in Lucene's classic parser", () => {
  test.each<[string, Query]>([
    ["a", a],
    ["a b", bool({ should: [a, b] })], // a b
    ["a OR b", bool({ should: [a, b] })], // a b
    ["a || b", bool({ should: [a, b] })],
    ["a AND b", bool({ must: [a, b] })], // +a +b
    ["a && b", bool({ must: [a, b] })],
    ["+a b", bool({ must: [a], should: [b] })], // +a b
    ["a -b", bool({ should: [a], mustNot: [b] })], // a -b
    ["a NOT b", bool({ should: [a], mustNot: [b] })],
    ["a !b", bool({ should: [a], mustNot: [b] })],
    ["a AND NOT b", bool({ must: [a], mustNot: [b] })], // +a -b
    ["a OR b AND c", bool({ must: [b, c], should: [a] })], // a +b +c
    ["a AND b OR c", bool({ must: [a, b], should: [c] })], // +a +b c
    ["a AND b c", bool({ must: [a, b], should: [c] })],
    ["-a AND b", bool({ must: [b], mustNot: [a] })], // -a +b
    ["(a OR b) AND c", bool({ must: [bool({ should: [a, b] }), c] })], // +(a b) +c
    ["((a))", a],
    ["+a", a],
    ["- b a", bool({ should: [a], mustNot: [b] })],
    ["a b^2", bool({ should: [a, term("b", 2)] })],
    ["(a b)^2", bool({ should: [term("a", 2), term("b", 2)] })],
    ["((a b)^2 c)^1.5", bool({ should: [bool({ should: [term("a", 3), term("b", 3)] }), term("c", 1.5)] })],
    ["ANDROID Oracle NOTE", bool({ should: [term("android"), term("oracle"), term("note")] })],
    ["and or not to", bool({ should: ["and", "or", "not", "to"].map((word) => term(word)) })],
  ])("%s", (text, query) => assert.deepEqual(parse(text), query))
})

describe("a query of nothing but NOT finds everything else", () => {
  test.each<[string, Query]>([
    ["-a", bool({ must: [ALL], mustNot: [a] })],
    ["NOT a NOT b", bool({ must: [ALL], mustNot: [a, b] })],
    ["c AND (-a)", bool({ must: [c, bool({ must: [ALL], mustNot: [a] })] })],
  ])("%s", (text, query) => assert.deepEqual(parse(text), query))
})

describe("words, phrases and fields", () => {
  test.each<[string, Query]>([
    ["*:*", ALL],
    ["*", ALL],
    ["Wi-Fi", bool({ should: [term("wi"), term("fi")] })],
    ["+wi-fi", bool({ should: [term("wi"), term("fi")] })],
    ['"wi fi"', phrase(["wi", "fi"])],
    ['"wi"', term("wi")],
    ['"wi fi"^3', phrase(["wi", "fi"], 3)],
    ["title:a b", bool({ should: [term("a", 1, weighted(TITLE)), b] })],
    ["title: a", term("a", 1, weighted(TITLE))],
    ["title:(a b)", bool({ should: [term("a", 1, weighted(TITLE)), term("b", 1, weighted(TITLE))] })],
    ["title:(a body:b)", bool({ should: [term("a", 1, weighted(TITLE)), term("b", 1, weighted(BODY))] })],
    ['title:"a b"', phrase(["a", "b"], 1, weighted(TITLE))],
    ["tag:New-York", term("New-York", 1, weighted(TAG))],
    ['tag:"New York"', term("New York", 1, weighted(TAG))],
    ["tag:New\\ York", term("New York", 1, weighted(TAG))],
    ["id:doc-1", term("doc-1", 1, weighted(0))],
    ['_id:"a:b"', term("a:b", 1, weighted(0))],
    ["raw:aGVsbG8=", term("aGVsbG8=", 1, weighted(ord("raw")))],
    ["tag:a\\:b\\*\\?", term("a:b*?", 1, weighted(TAG))],
    ["tag:\\u0041", term("A", 1, weighted(TAG))],
    ['tag:"say \\"hi\\""', term('say "hi"', 1, weighted(TAG))],
    ["tag:a/b!c", term("a/b!c", 1, weighted(TAG))],
    ["tag:*", { kind: "terms", field: TAG }],
    ["title:*", { kind: "terms", field: TITLE }],
    ["price:*", points("price", 0n, POINT_MAX)],
    // Nothing is left of punctuation: it neither matches nor excludes.
    ["'...'", NONE],
    ["a '...'", a],
    ["+a +'...'", a],
  ])("%s", (text, query) => assert.deepEqual(parse(text), query))

  test("fields that cut a text differently are searched side by side", () => {
    const folding: Analyze = (field, text) => [{ term: field === "title" ? text.toUpperCase() : text, position: 0 }]
    assert.deepEqual(
      parseQuery("a", schema, folding),
      bool({ should: [term("A", 1, weighted(TITLE)), term("a", 1, weighted(BODY))] }),
    )
  })

  test("options.fields says where words without a field are searched", () => {
    assert.deepEqual(parseQuery("a", schema, analyze, { fields: ["body"] }), term("a", 1, weighted(BODY)))
    assert.deepEqual(parseQuery("A", schema, analyze, { fields: ["tag"] }), term("A", 1, weighted(TAG)))
    assert.match(refusal("a", ["price"]).message, /f64, not text/)
    assert.match(refusal("a", ["titel"]).hint ?? "", /"title"/)
  })

  test("a phrase keeps the gaps that the analyzer leaves", () => {
    const gaps: Analyze = (_field, text) => analyze("", text).filter(({ term: word }) => word !== "the")
    assert.deepEqual(parseQuery('"over the hill"', schema, gaps), {
      kind: "phrase",
      fields: both,
      terms: [
        { term: "over", offset: 0 },
        { term: "hill", offset: 2 },
      ],
      boost: 1,
    })
  })
})

const micros = (iso: string): bigint => BigInt(Date.parse(iso)) * 10_000n
const DAY = 864_000_000_000n

describe("values and ranges by the type of the field", () => {
  const f = sortableF64
  const i = sortableI64
  const date = (iso: string): bigint => sortableDate(micros(iso))
  test.each<[string, Query]>([
    ["price:1.5", points("price", f(1.5), f(1.5))],
    ["price:-1.5e3", points("price", f(-1500), f(-1500))],
    ["price:[1 TO 2]", points("price", f(1), f(2))],
    ["price:{1 TO 2}", points("price", f(1) + 1n, f(2) - 1n)],
    ["price:[1 TO 2}", points("price", f(1), f(2) - 1n)],
    ["price:[* TO 2]", points("price", 0n, f(2))],
    ["price:[-2 TO -1]", points("price", f(-2), f(-1))],
    ["price:>1", points("price", f(1) + 1n, POINT_MAX)],
    ["price:>=1", points("price", f(1), POINT_MAX)],
    ["price:<1", points("price", 0n, f(1) - 1n)],
    ["price:<=-1", points("price", 0n, f(-1))],
    ["price: > 1", points("price", f(1) + 1n, POINT_MAX)],
    ["price:[2 TO 1]", NONE],
    ["price:[* TO *]", points("price", 0n, POINT_MAX)],
    ["count:-9223372036854775808", points("count", 0n, 0n)],
    ["count:[9223372036854775807 TO *]", points("count", POINT_MAX, POINT_MAX)],
    ["count:>9223372036854775807", NONE],
    ["count:[-99999999999999999999 TO 99999999999999999999]", points("count", 0n, POINT_MAX)],
    ["count:99999999999999999999", NONE],
    ["count:9007199254740993", points("count", i(9007199254740993n), i(9007199254740993n))],
    ["count:[1.5 TO 3.5]", points("count", i(2n), i(3n))],
    ["count:{1.5 TO 3.5}", points("count", i(2n), i(3n))],
    ["count:{1 TO 3}", points("count", i(2n), i(2n))],
    ["count:1.5", NONE],
    ["count:3.0", points("count", i(3n), i(3n))],
    ["size:-1", NONE],
    ["size:[-5 TO 5]", points("size", 0n, sortableU64(5n))],
    ["size:18446744073709551615", points("size", POINT_MAX, POINT_MAX)],
    ["sold:true", points("sold", 1n, 1n)],
    ["sold:[false TO true]", points("sold", 0n, 1n)],
    ["sold:>false", points("sold", 1n, POINT_MAX)],
    ['at:"2024-05-06T07:08:09Z"', points("at", date("2024-05-06T07:08:09Z"), date("2024-05-06T07:08:09Z"))],
    ["at:2024-05-06", points("at", date("2024-05-06"), date("2024-05-06") + DAY - 1n)],
    ["at:[2024-05-06 TO 2024-05-07]", points("at", date("2024-05-06"), date("2024-05-07") + DAY - 1n)],
    ["at:{2024-05-06 TO 2024-05-08}", points("at", date("2024-05-07"), date("2024-05-08") - 1n)],
    ["at:[2024-05-06T07:08:09Z TO *]", points("at", date("2024-05-06T07:08:09Z"), POINT_MAX)],
    ['at:>="2024-05-06T09:08:09+02:00"', points("at", date("2024-05-06T07:08:09Z"), POINT_MAX)],
    ["at:<2024-05-06", points("at", 0n, date("2024-05-06") - 1n)],
    [
      "tag:[a TO b}",
      { kind: "terms", field: TAG, lower: { term: "a", inclusive: true }, upper: { term: "b", inclusive: false } },
    ],
    ['tag:["a b" TO *]', { kind: "terms", field: TAG, lower: { term: "a b", inclusive: true } }],
    ["tag:>m", { kind: "terms", field: TAG, lower: { term: "m", inclusive: false } }],
  ])("%s", (text, query) => assert.deepEqual(parse(text), query))
})

describe("a broken query is an error that names its column", () => {
  test.each<[string, number, RegExp]>([
    ["", 1, /empty/],
    ["   ", 1, /empty/],
    ["a AND", 3, /AND needs a clause after/],
    ["AND a", 1, /AND needs a clause before/],
    ["a AND OR b", 7, /OR where a value/],
    ["a OR OR b", 6, /OR where a value/],
    ["title:AND b", 7, /AND where a value/],
    ["+", 1, /\+ needs a clause/],
    ["a NOT", 3, /NOT needs a clause/],
    ["+-a", 2, /- after \+/],
    ["NOT NOT a", 5, /NOT where a value/],
    ["(a", 1, /never closed/],
    ["a (b (c)", 3, /never closed/],
    ["a)", 2, /closes nothing/],
    ["()", 1, /nothing between/],
    ['"a', 1, /quote that is never closed/],
    ['a "b', 3, /quote that is never closed/],
    ["titel:a", 1, /unknown field "titel"/],
    ["a price>30", 8, />.*without a colon/],
    ["price=3", 6, /without a colon/],
    ["a http://b", 3, /unknown field "http"/],
    [":a", 1, /unexpected ":"/],
    ["hidden:a", 1, /not indexed/],
    ["embedding:a", 1, /vectors/],
    ["title:a:b", 8, /unexpected ":"/],
    ["title:", 7, /ends where a value/],
    ["title:-a", 7, /- after the colon/],
    ["fo*", 3, /prefix.*not supported yet/],
    ["f*o", 2, /wildcard.*not supported yet/],
    ["what?", 5, /wildcard.*not supported yet/],
    ["foo~", 4, /fuzzy.*not supported yet/],
    ["foo~2", 4, /fuzzy.*not supported yet/],
    ['"a b"~2', 6, /slop.*not supported yet/],
    ["/a.b/", 1, /regular expression.*not supported yet/],
    ["a^", 2, /\^ needs a number/],
    ["a^b", 2, /\^ needs a number/],
    ["a^-1", 2, /\^ needs a number/],
    ["a^0", 2, /\^ needs a number/],
    ["^2", 1, /unexpected "\^"/],
    ["((((a^1000000)^1000000))^2)", 4, /boosts multiply/],
    ["a\\", 2, /backslash/],
    ["a\\u12", 2, /four hexadecimal/],
    ["[1 TO 2]", 1, /needs a field/],
    ["title:[a TO b]", 7, /no order/],
    ["title:>a", 7, /no order/],
    ["price:[1 TO", 7, /missing/],
    ["price:[1 TO 2", 7, /never closed/],
    ["price:[1 2]", 10, /expected "TO"/],
    ["price:[TO 2]", 11, /expected "TO"/],
    ["price:cheap", 7, /is f64, "cheap" is not/],
    ["price:1e999", 7, /is f64/],
    ["count:ten", 7, /is i64/],
    ["sold:yes", 6, /is bool/],
    ["at:2024", 4, /is date/],
    ["at:2024-02-30", 4, /is date/],
    ["at:>2024-05-06T07:08:09Z", 5, /is date/],
    ["😀 a)", 4, /closes nothing/],
  ])("%s", (text, column, message) => {
    const error = refusal(text)
    expect(error.message).toMatch(message)
    assert.equal(error.place, `column ${column}`)
  })

  test("with a suggestion where a field is misspelled", () => {
    assert.equal(refusal("titel:a").hint, 'did you mean "title"?')
    assert.match(refusal("at:2024-1-1").hint ?? "", /2024-05-06/)
  })

  test("and without a text field, words need one", () => {
    const numbers = parseSchema({ backends: { text: { fields: [{ name: "n", type: "i64" }] } } }, { from: "user" })
    assert.throws(() => parseQuery("a", numbers, analyze), /no text field/)
  })
})

describe("limits", () => {
  test("length, clauses and depth end in an error, not in a crash", () => {
    refusal("a".repeat(QUERY_LENGTH_MAX + 1))
    refusal("a ".repeat(QUERY_CLAUSES_MAX + 1))
    refusal(`"${"a ".repeat(QUERY_CLAUSES_MAX + 1)}"`)
    refusal("(".repeat(33) + "a" + ")".repeat(33))
    assert.deepEqual(parse("(".repeat(32) + "a" + ")".repeat(32)), a)
    refusal("(".repeat(QUERY_LENGTH_MAX))
  })

  test("boosts of groups inside each other cost no more than their depth", () => {
    assert.deepEqual(parse("(".repeat(32) + "a" + ")^1.01".repeat(32)).kind, "term")
  })
})

test("any text gives a query or INVALID_QUERY with a column", () => {
  const piece = fc.constantFrom(
    ...'( ) [ ] { } " : ^ ~ * ? \\ / + - ! & && || AND OR NOT TO > < >= = title: price: at: tag: id: a b 1 2.5 2024-05-06 é 😀'.split(
      " ",
    ),
    " ",
    "\\u00",
    "\ud800",
  )
  const text = fc.oneof(
    fc.array(piece, { maxLength: 12 }).map((pieces) => pieces.join("")),
    fc.string({ unit: "binary" }),
  )
  fc.assert(
    fc.property(text, (query) => {
      try {
        parse(query)
      } catch (error) {
        assert.instanceOf(error, PrismError)
        assert.equal(error.code, "INVALID_QUERY")
        const column = Number(/^column (\d+)$/.exec(error.place ?? "")?.[1])
        assert.isAtLeast(column, 1)
        assert.isAtMost(column, [...query].length + 1)
      }
    }),
    { numRuns: 1500, seed: 1 },
  )
})

describe("a query that is written out reads back as the same query", () => {
  const word = fc.constantFrom("a", "bc", "ünï", "日本", "x1", "and", "42")
  const boost = fc.constantFrom(1, 2, 0.5, 10)
  const bare = fc.record({ word, boost }).map(({ word: w, boost: by }) => term(w, by))
  const scoped = fc.record({ word, boost }).map(({ word: w, boost: by }) => term(w, by, weighted(BODY)))
  const exact = fc
    .record({ text: fc.string({ minLength: 1, unit: "grapheme" }), boost })
    .map(({ text, boost: by }) => term(text, by, weighted(TAG)))
  const sequence = fc
    .record({ words: fc.array(word, { minLength: 2, maxLength: 4 }), boost })
    .map(({ words, boost: by }) => phrase(words, by))
  const interval = fc
    .tuple(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n))
    .map(([one, other]) =>
      points("count", sortableI64(one < other ? one : other), sortableI64(one < other ? other : one)),
    )
  const { query } = fc.letrec<{ query: Query }>((tie) => ({
    query: fc.oneof(
      { maxDepth: 4, withCrossShrink: true },
      fc.oneof(bare, scoped, exact, sequence, interval, fc.constant(ALL)),
      fc
        .record({
          must: fc.array(tie("query"), { maxLength: 2 }),
          should: fc.array(tie("query"), { maxLength: 2 }),
          mustNot: fc.array(tie("query"), { maxLength: 2 }),
        })
        // One clause by itself reads back as that clause, and NOT by itself with "all" before it.
        .filter(({ must, should, mustNot }) => must.length + should.length > (mustNot.length > 0 ? 0 : 1))
        .map((parts) => bool(parts)),
    ),
  }))

  /** An independent writer: every group in parentheses, every value that could be misread quoted or escaped. */
  function write(node: Query): string {
    switch (node.kind) {
      case "all":
        return "*:*"
      case "none":
        return "price:[1 TO 0]"
      case "term": {
        const scope = node.fields.length > 1 ? "" : node.fields[0]!.field === BODY ? "body:" : "tag:"
        const text = scope === "tag:" ? `"${node.term.replace(/["\\]/g, "\\$&")}"` : node.term
        return `${scope}${text}${node.boost === 1 ? "" : `^${node.boost}`}`
      }
      case "phrase":
        return `"${node.terms.map((one) => one.term).join(" ")}"${node.boost === 1 ? "" : `^${node.boost}`}`
      case "points":
        return `count:[${node.lower - 2n ** 63n} TO ${node.upper - 2n ** 63n}]`
      case "terms":
        return "tag:*"
      case "bool":
        return `(${[
          ...node.must.map((one) => `+${write(one)}`),
          ...node.should.map(write),
          ...node.mustNot.map((one) => `NOT ${write(one)}`),
        ].join("  ")})`
    }
  }

  test("for random queries", () => {
    fc.assert(
      fc.property(query, (node) => assert.deepEqual(parse(write(node)), node)),
      { numRuns: 500, seed: 2 },
    )
  })
})
