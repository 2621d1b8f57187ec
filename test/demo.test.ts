import { expect, test } from "vitest"
import { firstDifference } from "../demo/questions.mjs"
import { scanVectors, WordVectors, wordsOf } from "../demo/word-vectors.mjs"
import { parseSynset } from "../demo/wordnet.mjs"

test("a synset's line gives its words, gloss, topic and number of relations", () => {
  const line =
    "01740004 05 n 0b dog 0 domestic_dog 0 a 0 b 0 c 0 d 0 e 0 f 0 g 0 h 0 Canis_familiaris 0 003 @ 02085998 n 0000 " +
    '~ 01325095 n 0000 %p 02161498 n 0000 | a member of the genus Canis; "the dog barked all night"  '
  expect(parseSynset(line, "noun")).toEqual({
    id: "n01740004",
    title: "dog, domestic dog, a, b, c, d, e, f, g, h, Canis familiaris",
    text: 'a member of the genus Canis; "the dog barked all night"',
    pos: "noun",
    topic: "animal",
    relations: 3,
  })
})

test("an adjective's position marker is no part of the word, and adverbs do not share the adjectives' ids", () => {
  const line = (count: string) => `00014377 02 s ${count} galore(ip) 0 abounding 0 000 | existing in abundance`
  expect(parseSynset(line("02"), "adj")).toMatchObject({ id: "a00014377", title: "galore, abounding", relations: 0 })
  expect(parseSynset(line("02"), "adv")).toMatchObject({ id: "r00014377" })
})

test("the licence before the data is passed over, anything else is refused", () => {
  expect(parseSynset("  1 This software and database is being provided to you", "noun")).toBeUndefined()
  expect(() => parseSynset("<html> | not found", "noun")).toThrow("not a line of a WordNet data file")
})

async function* cut(bytes: Uint8Array, length: number): AsyncGenerator<Uint8Array> {
  for (let start = 0; start < bytes.length; start += length) yield bytes.subarray(start, start + length)
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = []
  for await (const item of items) all.push(item)
  return all
}

test("vectors are found wherever the chunks are cut, with words that look like JSON", async () => {
  const file = {
    words: ["the", '"', "\\", "]", "],", "café", "vectors"],
    vectors: {
      the: [1, -0.5, 0],
      '"': [2, 0, 1],
      "\\": [3, 0, 2],
      "]": [4, 0, 3],
      "],": [5e-7, 0, 4],
      café: [6, 0, 5],
    },
    unkVector: [0, 0, -1],
  }
  const bytes = new TextEncoder().encode(JSON.stringify(file))
  for (let length = 1; length <= bytes.length; length++) {
    const found = await collect(scanVectors(cut(bytes, length), (word) => word !== "]"))
    const { "]": _, ...wanted } = file.vectors
    expect(Object.fromEntries(found.map(({ word, numbers }) => [word, numbers]))).toEqual(wanted)
  }
})

test("a file of vectors that breaks off, or has none, is an error", async () => {
  const bytes = new TextEncoder().encode('{"vectors":{"the":[1,2],"of":[3')
  await expect(collect(scanVectors(cut(bytes, 8), () => true))).rejects.toThrow("break off")
  await expect(collect(scanVectors(cut(bytes.subarray(0, 5), 8), () => true))).rejects.toThrow("no word vectors")
})

test("a text's vector is the mean of its words' vectors, frequent words weighing less", () => {
  const vectors = new WordVectors(2)
  vectors.add("the", [1, 0], 0)
  vectors.add("dog", [0, 1], 2769)
  // Weights a / (a + .08 / (rank + 2.7)): .001 / .0306296 = .032648 and .001 / .00102886 = .971945; mean of two words.
  const [x, y] = vectors.embed("The DOG!") ?? []
  expect(x).toBeCloseTo(0.032648 / 2, 5)
  expect(y).toBeCloseTo(0.971945 / 2, 5)
  expect(vectors.embed("zyzzyva, 42")).toBeUndefined()
  expect(vectors.embed("dog-the")).toEqual(vectors.embed("dog the"))
})

test("words keep their inner marks and lose the others", () => {
  expect(wordsOf("Mother-in-law's U.S. (1990s), don't")).toEqual(["mother-in-law's", "u.s", "1990s", "don't"])
})

test("an answer is the same only with the same documents, order, scores and count", () => {
  const answer = (results: [id: string, score: number][], total: number) => ({
    question: { how: "text" as const, ask: "dog" },
    response: {
      results: results.map(([id, score]) => ({ id, score, fields: { title: id } })),
      total,
      latency_ms: total,
    },
  })
  const before = [
    answer([["a", 1]], 1),
    answer(
      [
        ["a", 2],
        ["b", 1.5],
      ],
      7,
    ),
  ]
  const second = (...results: [string, number][]) => [answer([["a", 1]], 1), answer(results, 7)]
  expect(firstDifference(before, second(["a", 2], ["b", 1.5]))).toBe(-1)
  expect(firstDifference(before, second(["b", 1.5], ["a", 2]))).toBe(1)
  expect(firstDifference(before, second(["a", 2], ["b", 1.5000000000000002]))).toBe(1)
  expect(firstDifference(before, second(["a", 2]))).toBe(1)
  expect(firstDifference(before, [answer([["a", 1]], 2), ...second().slice(1)])).toBe(0)
  expect(firstDifference(before, before.slice(0, 1))).toBe(1)
})
