import { assert, describe, test } from "vitest"
import { PrismError } from "../src/base/errors.ts"
import { indexFields, searchFields } from "../src/collection/index-fields.ts"
import {
  checkCollectionName,
  compareSchemas,
  parseSchema,
  renderSchema,
  type Schema,
} from "../src/collection/schema.ts"

const FULL = `# Products of the shop
collection: products
description: What we sell
backends:
  text:
    fields:
      - name: title
        type: text
      - {name: category, type: string, stored: true, indexed: true, tokenizer: null}
      - {name: price, type: f64}
      - {name: author.name, type: text, tokenizer: raw}
      - {name: note, type: text, indexed: false, stored: false}
    bm25_k1: 0.9
    bm25_b: 0.4
  vector:
    embedding_field: embedding
    dimension: 384
    distance: dot
    hnsw_m: 8
    hnsw_ef_construction: 64
    hnsw_ef_search: 32
quota: {max_documents: 1000, max_size_mb: 0.5}
system_fields: {indexed_at: true, document_boost: true}
hybrid: {default_strategy: rrf, rrf_k: 10, text_weight: 0.3, vector_weight: 0.7}
`
const SMALL = "backends: {text: {fields: [{name: title, type: text}]}}"

const user = (text: string | object): Schema => parseSchema(text, { from: "user" })
const archive = (text: string): Schema => parseSchema(text, { from: "archive" })

function refusal(text: string | object, from: "user" | "archive" = "user"): PrismError {
  try {
    parseSchema(text, { from })
  } catch (error) {
    assert.instanceOf(error, PrismError)
    return error
  }
  throw new Error("accepted")
}

/** The problems of a schema as `place: message`. */
const problems = (text: string | object): string[] =>
  refusal(text).problems.map(({ place, message }) => `${place}: ${message}`)

describe("a schema", () => {
  test("says what it says", () => {
    const schema = user(FULL)
    const field = { type: "text", stored: true, indexed: true, analyzer: { name: "standard" } }
    assert.deepEqual(schema.text, {
      fields: [
        { ...field, name: "title" },
        { ...field, name: "category", type: "string" },
        { ...field, name: "price", type: "f64" },
        { ...field, name: "author.name", analyzer: { name: "raw" } },
        { ...field, name: "note", stored: false, indexed: false },
      ],
      bm25K1: 0.9,
      bm25B: 0.4,
    } as never)
    assert.deepEqual(schema.vector, {
      embeddingField: "embedding",
      dimension: 384,
      distance: "dot",
      hnswM: 8,
      hnswEfConstruction: 64,
      hnswEfSearch: 32,
    })
    assert.deepEqual(schema.quota, { maxDocuments: 1000, maxSizeMb: 0.5 })
    assert.deepEqual(schema.systemFields, { indexedAt: true, documentBoost: true })
    assert.deepEqual(schema.hybrid, { defaultStrategy: "rrf", rrfK: 10, textWeight: 0.3, vectorWeight: 0.7 })
    assert.deepEqual([schema.collection, schema.description], ["products", "What we sell"])
  })

  test("has the defaults of INTERFACES.md, and null is the same as nothing", () => {
    const vector = "vector: {embedding_field: e, dimension: 4, distance: null, hnsw_m: null}"
    const schema = user(
      `backends: {text: {fields: [{name: a, type: text}], bm25_k1: null}, ${vector}, graph: null}\nhybrid: null`,
    )
    assert.deepEqual([schema.text?.bm25K1, schema.text?.bm25B], [1.2, 0.75])
    assert.deepEqual(schema.vector, {
      embeddingField: "e",
      dimension: 4,
      distance: "cosine",
      hnswM: 16,
      hnswEfConstruction: 200,
      hnswEfSearch: 150,
    })
    assert.deepEqual(schema.hybrid, { defaultStrategy: "weighted", rrfK: 60, textWeight: 0.5, vectorWeight: 0.5 })
    assert.deepEqual(schema.systemFields, { indexedAt: false, documentBoost: false })
    assert.deepEqual([schema.graph, schema.quota.maxDocuments, schema.collection], [undefined, undefined, undefined])
    assert.deepEqual(schema.warnings, [])
  })

  test("is the same from YAML, JSON and an object", () => {
    const object = { backends: { text: { fields: [{ name: "title", type: "text" }] } } }
    const [yaml, json, tabbed, plain] = [SMALL, JSON.stringify(object), JSON.stringify(object, null, "\t"), object].map(
      user,
    )
    for (const other of [json, tabbed, plain]) {
      assert.deepEqual({ ...other!, source: "" }, { ...yaml!, source: "" })
    }
  })

  test("numbers the fields of the index: the id, the indexed fields, the time of indexing", () => {
    const schema = user(FULL)
    assert.deepEqual(
      searchFields(schema).map(({ name, ordinal, index }) => [name, ordinal, index.kind]),
      [
        ["_id", 0, "term"],
        ["title", 1, "text"],
        ["category", 2, "term"],
        ["price", 3, "point"],
        ["author.name", 4, "text"],
        ["_indexed_at", 5, "point"],
      ],
    )
    assert.deepEqual(indexFields(user(SMALL)), [{ kind: "term" }, { kind: "text", analyzer: { name: "standard" } }])
  })
})

describe("every problem is listed with its path, line and a suggestion", () => {
  test("typos", () => {
    assert.deepEqual(
      problems(`colection: x
backends:
  text:
    fields:
      - {name: a, type: txt}
      - name: b
        type: integer
        tokeniser: standard
        tokenizer: standart
  vektor: {}
hybrid:
  default_strategy: rff
`),
      [
        'colection (line 1): unknown key "colection", did you mean "collection"?',
        'backends.text.fields[0].type (line 5): unknown type "txt", did you mean "text"?',
        'backends.text.fields[1].type (line 7): unknown type "integer", did you mean "i64"?',
        'backends.text.fields[1].tokeniser (line 8): unknown key "tokeniser", did you mean "tokenizer"?',
        'backends.text.fields[1].tokenizer (line 9): unknown tokenizer "standart", did you mean "standard"?',
        'backends.vektor (line 10): unknown key "vektor", did you mean "vector"?',
        'hybrid.default_strategy (line 12): unknown default strategy "rff", did you mean "rrf"?',
      ],
    )
  })

  test.each<[string, string, RegExp]>([
    [
      "a missing type",
      "backends: {text: {fields: [{name: a}]}}",
      /fields\[0\]\.type \(line 1\): missing: one of text, string/,
    ],
    ["a missing name", "backends: {text: {fields: [{type: text}]}}", /fields\[0\]\.name \(line 1\): missing/],
    [
      "a field that is a word",
      "backends: {text: {fields: [title]}}",
      /fields\[0\].*expected a field .* found the text "title"/,
    ],
    ["fields that are no list", "backends: {text: {fields: {title: text}}}", /expected a list, found a mapping/],
    ["no fields", "backends: {text: {fields: []}}", /no fields/],
    ["no backend", "description: x", /neither a text nor a vector backend/],
    [
      "a name twice",
      "backends: {text: {fields: [{name: a, type: text}, {name: a, type: i64}]}}",
      /"a" is declared twice/,
    ],
    ["the id", "backends: {text: {fields: [{name: id, type: string}]}}", /"id" is a field of the system/],
    ["an underscore", "backends: {text: {fields: [{name: _x, type: text}]}}", /begins with _/],
    ["a space", "backends: {text: {fields: [{name: a b, type: text}]}}", /cannot name a field/],
    ["a dot at the end", "backends: {text: {fields: [{name: a., type: text}]}}", /cannot name a field/],
    [
      "a number as a name",
      "backends: {text: {fields: [{name: 2024, type: text}]}}",
      /expected text, found 2024: put it in quotes/,
    ],
    [
      "yes",
      "backends: {text: {fields: [{name: a, type: text, stored: yes}]}}",
      /expected true or false, found the text "yes"/,
    ],
    [
      "an old distance",
      "backends: {vector: {embedding_field: e, dimension: 4, distance: L2}}",
      /did you mean "euclidean"/,
    ],
    ["no dimension", "backends: {vector: {embedding_field: e}}", /dimension .*missing/],
    ["no embedding field", "backends: {vector: {dimension: 4}}", /embedding_field .*missing/],
    ["dimension 0", "backends: {vector: {embedding_field: e, dimension: 0}}", /from 1 to 65536, found 0/],
    ["too many dimensions", "backends: {vector: {embedding_field: e, dimension: 65537}}", /from 1 to 65536/],
    ["dimension as text", "backends: {vector: {embedding_field: e, dimension: '4'}}", /found the text "4"/],
    [
      "an embedding field that is text",
      "backends: {text: {fields: [{name: e, type: text}]}, vector: {embedding_field: e, dimension: 4}}",
      /also a field of the text backend/,
    ],
    ["a b over 1", "backends: {text: {fields: [{name: a, type: text}], bm25_b: 2}}", /from 0 to 1, found 2/],
    ["NaN", "backends: {text: {fields: [{name: a, type: text}], bm25_b: .nan}}", /found NaN/],
    [
      "tokenizer options",
      "backends: {text: {fields: [{name: a, type: text, tokenizer_options: {x: 1}}]}}",
      /no tokenizer takes options/,
    ],
    ["a bad collection name", `collection: a b\n${SMALL}`, /"a b" cannot name a collection/],
    ["a key twice", "backends: 1\nbackends: 2", /line 2, column 1: .*unique/],
    ["broken YAML", "backends:\n  text: [", /line 2, column/],
    ["an unknown tag", "backends: !python/object {}", /line 1, column 11: Unresolved tag/],
    ["two documents", `${SMALL}\n---\n${SMALL}`, /multiple documents/],
    ["a list", "- a", /expected a mapping .* found a list/],
    ["nothing", "", /found nothing/],
    ["text", "hello", /found the text "hello"/],
    [
      "an unknown edge key",
      "backends: {graph: {edges: [{edge_type: a, from_field: b, to: c}]}}",
      /unknown key "to": known are edge_type, from_field, to_field/,
    ],
  ])("%s", (_name, text, wanted) => {
    const found = problems(text)
    assert.isTrue(
      found.some((problem) => wanted.test(problem)),
      found.join("\n"),
    )
    assert.equal(refusal(text).code, "INVALID_SCHEMA")
  })

  test("one problem is the message, several are counted", () => {
    assert.match(
      refusal("backends: {text: {fields: [{name: a, type: txt}]}}").message,
      /^backends\.text\.fields\[0\]\.type \(line 1\): unknown/,
    )
    assert.equal(
      refusal("backends: {text: {fields: [{name: a, type: txt}, {name: b, type: txt}]}}").message,
      "the schema has 2 problems",
    )
  })
})

describe("a schema that would fill the memory", () => {
  test("by aliases of aliases, depth, size or number of fields is refused", () => {
    const letters = "abcdefghijklmnop"
    const bomb = [...letters].map((letter, i) => {
      const items = i === 0 ? "[x,x,x,x,x,x,x,x]" : `[${`*${letters[i - 1]},`.repeat(8).slice(0, -1)}]`
      return `${letter}: &${letter} ${items}`
    })
    assert.deepEqual(problems(bomb.join("\n")), ["schema: too many aliases"])
    assert.match(problems(`facets: &a [*a]\n${SMALL}`).join(), /levels deep/)
    assert.match(problems(`facets: ${"[".repeat(100)}${"]".repeat(100)}\n${SMALL}`).join(), /levels deep/)
    assert.equal(refusal(`${SMALL}\n#${"x".repeat(1024 * 1024)}`).code, "LIMIT_EXCEEDED")
    const fields = Array.from({ length: 501 }, (_, i) => ({ name: `f${i}`, type: "i64" }))
    assert.match(problems({ backends: { text: { fields } } }).join(), /501 fields, at most 500/)
    const circle: { facets?: unknown } = {}
    circle.facets = circle
    assert.match(problems(circle).join(), /levels deep/)
  })

  test("and one that merely says a thing twice is not", () => {
    const schema = user(
      "backends:\n  text:\n    fields:\n      - &a {name: a, type: text}\nfacets: {x: *a}\nstorage: {token: *a}",
    )
    assert.deepEqual(renderSchema(schema).redacted, ["storage.token"])
    assert.notInclude(renderSchema(schema).yaml, "*a")
  })
})

describe("from an archive", () => {
  const FOREIGN = `collection: Ünï code
backends:
  text:
    fields:
      - {name: id, type: string}
      - {name: _weight, type: f64, tokenizer: en_stem, boost: 2, tokenizer_options: {a: 1}}
  vector: {embedding_field: e, dimension: 4, num_shards: 1}
  graph: {path: x, edges: []}
future: {a: 1}
`
  test("what is not known is kept and reported, and does not stop a restore", () => {
    const schema = archive(FOREIGN)
    assert.deepEqual(schema.unknownKeys, ["future", "backends.text.fields[1].boost", "backends.graph.path"])
    assert.deepEqual(
      schema.text?.fields.map(({ name, analyzer }) => [name, analyzer.name]),
      [["_weight", "standard"]],
    )
    assert.deepEqual(schema.warnings, [
      '"id" is a field of the system and not declared a second time',
      "backends.text.fields[1].tokenizer_options: no tokenizer takes options yet, they are kept without effect",
      'backends.text.fields[1].tokenizer: tokenizer "en_stem" is not here yet, standard is used instead',
      "kept, but without effect in this version: backends.vector.num_shards",
    ])
    assert.equal(renderSchema(schema).yaml, FOREIGN)
    for (const text of ["future", "boost: 2", "num_shards", "path: x"]) {
      assert.include(renderSchema(schema, { collection: "other" }).yaml, text)
    }
  })

  test("the defaults that 0.6 writes into every schema are no news", () => {
    const written =
      "indexing: {batch_size: 0, worker_threads: 0}\nquota: {max_documents: null}\nstorage: {type: local, path: null}\nfacets: null"
    assert.deepEqual(archive(`${SMALL}\n${written}`).warnings, [])
  })

  test("what is plainly wrong is wrong there too", () => {
    assert.match(refusal("backends: {text: {fields: [{name: a, type: txt}]}}", "archive").message, /unknown type/)
  })
})

describe("written out", () => {
  test("the source comes back whole, comments too", () => {
    assert.deepEqual(renderSchema(user(FULL)), { yaml: FULL, redacted: [] })
    assert.deepEqual(renderSchema(user(FULL), { collection: "products" }), { yaml: FULL, redacted: [] })
  })

  test("under another name, and it says the same but for that", () => {
    for (const source of [
      FULL,
      SMALL,
      JSON.stringify({ backends: { text: { fields: [{ name: "a", type: "text" }] } } }),
    ]) {
      const before = user(source)
      const { yaml } = renderSchema(before, { collection: "other" })
      assert.match(yaml, /^(#[^\n]*\n)?collection: other\n/)
      assert.deepEqual({ ...user(yaml), source: "", collection: "" }, { ...before, source: "", collection: "" })
      assert.equal(renderSchema(user(yaml), { collection: "other" }).yaml, yaml)
    }
  })

  test("JSON as YAML that people can read", () => {
    const { yaml } = renderSchema(user('{"backends":{"text":{"fields":[{"name":"a","type":"text"}]}}}'))
    assert.equal(yaml, "backends:\n  text:\n    fields:\n      - name: a\n        type: text\n")
  })

  test("without what opens doors", () => {
    const secret = "s3cret"
    const source = `${SMALL}
storage: {type: s3, bucket: b, access_key_id: ${secret}, secret_access_key: ${secret}, session_token: null}
embedding_generation: {provider: x, max_tokens: 10, api_key: ${secret}, headers: [{Authorization: ${secret}}]}
`
    const { yaml, redacted } = renderSchema(user(source))
    assert.notInclude(yaml, secret)
    assert.include(yaml, 'api_key: "***"')
    assert.include(yaml, "max_tokens: 10")
    assert.deepEqual(redacted, [
      "storage.access_key_id",
      "storage.secret_access_key",
      "embedding_generation.api_key",
      "embedding_generation.headers[0].Authorization",
    ])
    // A field may have any name.
    const named = "backends: {text: {fields: [{name: password, type: text}]}}"
    assert.deepEqual(renderSchema(user(named)).redacted, [])
  })
})

describe("merging needs schemas that agree", () => {
  const ours = user(FULL)
  test.each<[string, string, string | undefined]>([
    ["the same", FULL, undefined],
    ["a part", SMALL, undefined],
    [
      "another type",
      FULL.replace("price, type: f64", "price, type: string"),
      'field "price" is f64 here, string in the archive',
    ],
    [
      "a field more",
      FULL.replace("name: note", "name: extra"),
      'field "extra" is not declared here, text in the archive',
    ],
    ["another dimension", FULL.replace("384", "4"), "vectors have 384 dimensions here, 4 in the archive"],
    [
      "another distance",
      FULL.replace("distance: dot", "distance: cosine"),
      "the distance is dot here, cosine in the archive",
    ],
    [
      "another embedding field",
      FULL.replace("embedding_field: embedding", "embedding_field: e"),
      'the embedding field is "embedding" here, "e" in the archive',
    ],
  ])("%s", (_name, theirs, conflict) => assert.equal(compareSchemas(ours, archive(theirs)), conflict))

  test("a vector backend on one side", () => {
    assert.equal(
      compareSchemas(user(SMALL), archive("backends: {vector: {embedding_field: e, dimension: 4}}")),
      "no vector backend here, one in the archive",
    )
  })
})

test.each(["a", "A-1_b", "0", "a".repeat(128)])("%s can name a collection", (name) => {
  assert.doesNotThrow(() => checkCollectionName(name))
})

test.each(["", "-a", "_a", "a b", "a/b", "..", "a.b", "ä", "a\n", "a".repeat(129), "CON:"])(
  "%j cannot name a collection",
  (name) => {
    assert.throws(() => checkCollectionName(name), PrismError, /cannot name a collection/)
  },
)
