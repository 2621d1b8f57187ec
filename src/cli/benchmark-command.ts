import { PrismError } from "../base/errors.ts"
import { parseJson } from "../base/json.ts"
import { chunksOf } from "../base/streams.ts"
import type { SearchRequest } from "../collection/search-request.ts"
import { readLines } from "../formats/lines.ts"
import { COLLECTION, PROGRESS } from "./arguments.ts"
import { command } from "./command.ts"
import type { Context } from "./context.ts"
import { facts, formatCount, plural } from "./format.ts"
import { withCollections } from "./with-collections.ts"

const REPEAT = 10
const WARMUP = 10
const LINE_BYTES_MAX = 8 * 1024 * 1024
/** Their durations are kept until the end. */
const SEARCHES_MAX = 10_000_000

export const benchmarkCommand = command({
  name: "benchmark",
  description: "Measure how long searches of a collection take",
  details: [
    "The queries are searched one after the other, each --repeat times, as fast as the answers come. A line of the file is " +
      'the text of a query, or a request as the HTTP interface takes it: {"query":…,"vector":[…],"filter":…}. With --api-url ' +
      "the way to the server and back is measured too.",
  ],
  examples: [
    ["prism benchmark -c products --queries queries.txt", "p50, p95, p99 and queries a second"],
    ["prism benchmark -c products --queries queries.txt -r 100 --json | jq .p99_ms", "for a script"],
  ],
  args: {
    collection: COLLECTION,
    queries: { type: "string", valueHint: "FILE", required: true, description: "Queries, one a line; - reads stdin" },
    repeat: {
      type: "string",
      alias: "r",
      valueHint: "N",
      number: { min: 1, max: 1_000_000, integer: true },
      description: `How often each query is searched (default ${REPEAT})`,
    },
    warmup: {
      type: "string",
      alias: "w",
      valueHint: "N",
      number: { min: 0, max: 1_000_000, integer: true },
      description: `Searches before that are not counted (default ${WARMUP})`,
    },
    limit: {
      type: "string",
      alias: "k",
      valueHint: "N",
      number: { min: 0, max: 10_000, integer: true },
      description: "Results of each search (default 10, or what the request says)",
    },
    progress: PROGRESS,
  },
  async run(context, { collection, queries: path, repeat = REPEAT, warmup = WARMUP, limit, progress }) {
    const queries = await readQueries(context, path, limit)
    const total = queries.length * repeat
    if (total > SEARCHES_MAX) {
      throw new PrismError("LIMIT_EXCEEDED", `${formatCount(total)} searches are over ${formatCount(SEARCHES_MAX)}`, {
        hint: "take fewer queries, or a smaller --repeat",
      })
    }
    const { durations, elapsed } = await withCollections(context, "read", async (collections) => {
      const opened = await collections.collection(collection)
      const search = async (place: number) => {
        context.signal.throwIfAborted()
        const { line, request } = queries[place % queries.length] as Query
        try {
          await opened.search(request)
        } catch (error) {
          throw atLine(error, path, line)
        }
      }
      for (let place = 0; place < warmup; place++) await search(place)
      const display = context.progress(progress)
      const durations = new Float64Array(total)
      const began = context.now()
      for (let place = 0; place < total; place++) {
        const started = context.now()
        await search(place)
        durations[place] = context.now() - started
        display?.update({ stage: "searching", unit: "searches", done: place + 1, total })
      }
      return { durations: durations.sort(), elapsed: context.now() - began }
    })
    context.endProgress()
    const figures = {
      collection,
      queries: queries.length,
      searches: total,
      p50_ms: percentile(durations, 50),
      p95_ms: percentile(durations, 95),
      p99_ms: percentile(durations, 99),
      max_ms: percentile(durations, 100),
      queries_per_second: elapsed > 0 ? (total / elapsed) * 1000 : null,
    }
    if (context.json) await context.printJson(figures)
    else {
      const ms = (value: number) => `${value.toFixed(2)} ms`
      await context.print(
        facts([
          ["Searches", `${formatCount(total)} (${plural(queries.length, "query", "queries")})`],
          ["p50", ms(figures.p50_ms)],
          ["p95", ms(figures.p95_ms)],
          ["p99", ms(figures.p99_ms)],
          ["Slowest", ms(figures.max_ms)],
          [
            "Queries/s",
            figures.queries_per_second === null ? "-" : formatCount(Math.round(figures.queries_per_second)),
          ],
        ]),
      )
    }
    return 0
  },
})

interface Query {
  readonly line: number
  readonly request: SearchRequest
}

async function readQueries(context: Context, path: string, limit: number | undefined): Promise<Query[]> {
  const { name, stream } = await context.openInput(path)
  const queries: Query[] = []
  for await (const lines of readLines(chunksOf(stream), { bytesMax: LINE_BYTES_MAX })) {
    for (const { number, text, problem } of lines) {
      if (problem) throw atLine(problem, name, number)
      if (text.trim() === "") continue
      queries.push({
        line: number,
        request: { ...requestOf(text, name, number), ...(limit !== undefined && { limit }) },
      })
    }
  }
  if (queries.length > 0) return queries
  throw new PrismError("INVALID_REQUEST", `${name} holds no queries`, { place: name, hint: "write one a line" })
}

function requestOf(text: string, name: string, line: number): SearchRequest {
  if (!text.startsWith("{")) return { query: text }
  try {
    // The search says what is wrong in it.
    return parseJson(text, { code: "INVALID_REQUEST" }) as SearchRequest
  } catch (error) {
    throw atLine(error, name, line)
  }
}

function atLine(error: unknown, name: string, line: number): unknown {
  if (!(error instanceof PrismError) || error.code === "INTERRUPTED") return error
  const { code, message, hint } = error
  return new PrismError(code, message, {
    place: `${name}, line ${line}`,
    cause: error,
    ...(hint !== undefined && { hint }),
  })
}

/** Nearest rank. @param sorted ascending, not empty */
export function percentile(sorted: Float64Array, percent: number): number {
  return sorted[Math.max(0, Math.ceil((percent / 100) * sorted.length) - 1)] as number
}
