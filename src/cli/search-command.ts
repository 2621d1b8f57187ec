import { PrismError } from "../base/errors.ts"
import { parseJson, stringifyJson } from "../base/json.ts"
import { chunksOf, readText } from "../base/streams.ts"
import { command } from "./command.ts"
import type { Context } from "./context.ts"
import { formatCount, plural, printable, table } from "./format.ts"
import { usageError } from "./parse.ts"
import { withCollections } from "./with-collections.ts"

/** 65,536 components of 17 digits and their commas take a fifth of it. */
const VECTOR_BYTES_MAX = 8 * 1024 * 1024

export const searchCommand = command({
  name: "search",
  description: "Search a collection by text, by vector, or by both",
  details: [
    'QUERY has Lucene\'s syntax: words, "phrases", AND OR NOT + -, field:word, field:[1 TO 9], boosts ^2. Put -- before ' +
      "a query that starts with a minus sign. A vector is a JSON array, or a file that holds one. With both, the two " +
      "lists of results are joined: by weighted scores, or by rank (rrf).",
  ],
  examples: [
    ['prism search products "wireless keyboard"', "by text"],
    ["prism search products 'title:keyboard AND price:[10 TO 50]' --limit 5", "fields and ranges"],
    ["prism search products keyboard --filter 'in_stock:true' --json | jq '.results[].id'", "a filter scores nothing"],
    ["prism search products --vector query.json", "by vector"],
    ["prism search products keyboard --vector '[0.1,0.7,0.2]' --strategy rrf", "hybrid"],
  ],
  args: {
    collection: {
      type: "positional",
      valueHint: "NAME",
      description: "Name of the collection",
      spelledAs: { flag: "collection", alias: "c" },
    },
    query: { type: "positional", valueHint: "QUERY", required: false, description: "What to look for in the text" },
    vector: { type: "string", valueHint: "VECTOR", description: "JSON array, or a file that holds one; - reads stdin" },
    filter: {
      type: "string",
      valueHint: "QUERY",
      description: "Only documents that match this too; it changes no score",
    },
    limit: {
      type: "string",
      alias: "l",
      valueHint: "N",
      number: { min: 0, max: 10_000, integer: true },
      description: "Results at most (default 10)",
    },
    offset: {
      type: "string",
      valueHint: "N",
      number: { min: 0, max: 10_000, integer: true },
      description: "Results to leave out at the top",
    },
    fields: {
      type: "string",
      valueHint: "FIELDS",
      repeatable: true,
      description: "Text fields that bare words search, with commas between (else all)",
    },
    strategy: {
      type: "enum",
      options: ["weighted", "rrf"],
      description: "How text and vector results are joined (default: the schema's, else weighted)",
    },
    "text-weight": {
      type: "string",
      valueHint: "N",
      number: { min: 0, max: 1000, integer: false },
      description: "Weight of the text score (default 0.5)",
    },
    "vector-weight": {
      type: "string",
      valueHint: "N",
      number: { min: 0, max: 1000, integer: false },
      description: "Weight of the vector score (default 0.5)",
    },
    "rrf-k": {
      type: "string",
      valueHint: "N",
      number: { min: 1, max: 100_000, integer: true },
      description: "Constant of rrf (default 60)",
    },
    ef: {
      type: "string",
      valueHint: "N",
      number: { min: 1, max: 10_000, integer: true },
      description: "Breadth of the vector search: more finds more and takes longer",
    },
    "min-score": {
      type: "string",
      valueHint: "N",
      number: { min: -1_000_000, max: 1_000_000, integer: false },
      description: "Leave out results that score less",
    },
  },
  async run(context, args) {
    if (args.query === undefined && args.vector === undefined) {
      throw usageError(
        `Nothing to search for in "${printable(args.collection)}"`,
        "give the collection and a QUERY, --vector, or both; the query *:* matches every document",
      )
    }
    const vector = args.vector === undefined ? undefined : await readVector(context, args.vector)
    const fields = args.fields
      ?.flatMap((names) => names.split(","))
      .map((field) => field.trim())
      .filter((field) => field !== "")
    const request = {
      query: args.query,
      vector,
      filter: args.filter,
      limit: args.limit,
      offset: args.offset,
      fields,
      merge_strategy: args.strategy,
      text_weight: args["text-weight"],
      vector_weight: args["vector-weight"],
      rrf_k: args["rrf-k"],
      ef: args.ef,
      min_score: args["min-score"],
    }
    // Only what was given: the schema and the library know the defaults.
    const given = Object.fromEntries(Object.entries(request).filter(([, value]) => value !== undefined))
    const response = await withCollections(context, "read", async (collections) =>
      (await collections.collection(args.collection)).search(given),
    )
    if (context.json) {
      await context.printJson(response)
      return 0
    }
    const { results, total, latency_ms } = response
    if (results.length > 0) {
      const header = [
        { title: "RANK", align: "right" },
        { title: "SCORE", align: "right" },
        { title: "ID" },
        { title: "FIELDS" },
      ] as const
      const first = (args.offset ?? 0) + 1
      const body = results.map(({ id, score, fields }, place) => [
        String(first + place),
        score.toPrecision(4),
        printable(id),
        previewFields(fields),
      ])
      await context.print(table(header, body, context.resultColumns))
    }
    context.note(
      `${formatCount(results.length)} of ${plural(total, "matching document")} in ${latency_ms.toFixed(1)} ms`,
    )
    return 0
  },
})

/** `title: Wireless keyboard · price: 49.9` */
function previewFields(fields: Readonly<Record<string, unknown>>): string {
  return Object.entries(fields)
    .map(
      ([name, value]) => `${printable(name)}: ${printable(typeof value === "string" ? value : stringifyJson(value))}`,
    )
    .join(" · ")
}

async function readVector(context: Context, given: string): Promise<number[]> {
  let name = "--vector"
  let text = given
  if (!given.trimStart().startsWith("[")) {
    if (/^[-+.\d\seE]+,/.test(given)) {
      throw usageError(`--vector is no JSON array: ${given}`, `write it in brackets: --vector '[${given}]'`)
    }
    const input = await context.openInput(given)
    name = input.name
    text = await readText(chunksOf(input.stream), VECTOR_BYTES_MAX, name)
  }
  const value = parseJson(text, { code: "INVALID_REQUEST", place: name })
  if (!Array.isArray(value) || value.length === 0 || !value.every((item) => typeof item === "number")) {
    throw new PrismError("INVALID_REQUEST", `${name} is not an array of numbers`, {
      hint: "a vector looks like [0.12,-0.5,…], as long as the collection's dimension",
    })
  }
  return value as number[]
}
