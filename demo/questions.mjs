// What the demo asks before the loss and after the restore.
import { isDeepStrictEqual } from "node:util"
import { number, write } from "./stage.mjs"

/** @typedef {{ how: "text" | "vector" | "hybrid", ask: string, filter?: string }} Question */
/** @typedef {{ question: Question, response: import("prism").SearchResponse }} Answer */

/** @type {readonly Question[]} */
const QUESTIONS = [
  { how: "text", ask: "celestial telescope" },
  { how: "text", ask: '("drawn by horses" OR "horse-drawn") -sled' },
  { how: "text", ask: "title:bank", filter: "topic:possession AND relations:[5 TO *]" },
  { how: "vector", ask: "fear of heights" },
  { how: "vector", ask: "a doctor for animals", filter: "topic:person" },
  { how: "hybrid", ask: "small boat moved with oars" },
  { how: "hybrid", ask: "to walk slowly", filter: "pos:verb" },
]

/**
 * The answers to all questions.
 * @param {import("prism").Collection} collection
 * @param {import("./word-vectors.mjs").WordVectors} words
 */
export async function answerAll(collection, words) {
  /** @type {Answer[]} */
  const answers = []
  for (const question of QUESTIONS) {
    const { how, ask, filter } = question
    const response = await collection.search({
      query: how === "vector" ? undefined : ask,
      vector: how === "text" ? undefined : words.embed(ask),
      filter,
      limit: 3,
    })
    answers.push({ question, response })
  }
  return answers
}

/**
 * The first answer that is not the same: documents with their fields, order, scores to the last bit, number found. -1
 * where all are.
 * @param {readonly Answer[]} before
 * @param {readonly Answer[]} after
 */
export function firstDifference(before, after) {
  return before.findIndex(({ response: { results, total } }, place) => {
    const then = after[place]?.response
    return !isDeepStrictEqual({ results, total }, { results: then?.results, total: then?.total })
  })
}

/** @param {readonly Answer[]} answers */
export function show(answers) {
  for (const { question, response } of answers) {
    const { how, ask, filter } = question
    const asked = filter === undefined ? ask : `${ask}, only ${filter}`
    write(`\n  ${how}: ${asked}  (${number(response.total)} found, ${response.latency_ms.toFixed(1)} ms)\n`)
    for (const { score, fields } of response.results) {
      const line = [fields["title"], fields["text"]].join(": ")
      write(`    ${score.toFixed(3).padStart(7)}  ${line.length > 96 ? `${line.slice(0, 95)}…` : line}\n`)
    }
  }
  write("\n")
}
