// WordNet's database files as documents: https://wordnet.princeton.edu/documentation/wndb5wn
import { createReadStream } from "node:fs"
import { join } from "node:path"
import { createInterface } from "node:readline"

/** @typedef {{ id: string, title: string, text: string, pos: string, topic: string, relations: number }} Synset */

const PARTS_OF_SPEECH = /** @type {const} */ (["noun", "verb", "adj", "adv"])

/** Lexicographer files by number (lexnames(5WN)), without the part of speech in front. */
const TOPICS = `all pert all Tops act animal artifact attribute body cognition communication event feeling food group
  location motive object person phenomenon plant possession process quantity relation shape state substance time body
  change cognition communication competition consumption contact creation emotion motion perception possession social
  stative weather ppl`.split(/\s+/)

/**
 * One line of a data file, or undefined for a line of the licence that stands before them (they begin with a space).
 *     offset lex_filenum ss_type w_cnt word lex_id [word lex_id …] p_cnt [ptr …] [frames …] | gloss
 * Counts of words are hexadecimal, counts of pointers decimal.
 * @param {string} line
 * @param {string} pos name of the file: noun, verb, adj, adv
 * @returns {Synset | undefined}
 */
export function parseSynset(line, pos) {
  if (line === "" || line.startsWith(" ")) return undefined
  const bar = line.indexOf(" | ")
  const columns = line.slice(0, bar).split(" ")
  const [offset, topicNumber, , wordCountHex] = columns
  const wordCount = Number.parseInt(wordCountHex ?? "", 16)
  const relations = Number(columns[4 + 2 * wordCount])
  if (bar < 0 || !Number.isInteger(relations))
    throw new Error(`not a line of a WordNet data file: ${line.slice(0, 80)}`)
  const words = Array.from({ length: wordCount }, (_, word) => columns[4 + 2 * word] ?? "")
  return {
    // The part of speech's letter makes the offset unique over the four files.
    id: `${pos === "adv" ? "r" : pos[0]}${offset}`,
    // Adjectives may end in a marker of their place in a sentence: galore(ip).
    title: words.map((word) => word.replace(/\((a|p|ip)\)$/, "").replaceAll("_", " ")).join(", "),
    text: line.slice(bar + 3).trim(),
    pos,
    topic: TOPICS[Number(topicNumber)] ?? "",
    relations,
  }
}

/**
 * All synsets of a `dict` folder, in the order of its files.
 * @param {string} folder
 * @returns {AsyncGenerator<Synset>}
 */
export async function* readWordNet(folder) {
  for (const pos of PARTS_OF_SPEECH) {
    const lines = createInterface({ input: createReadStream(join(folder, `data.${pos}`)), crlfDelay: Infinity })
    for await (const line of lines) {
      const synset = parseSynset(line, pos)
      if (synset) yield synset
    }
  }
}
