// What is written while processes are killed, and what must be there afterwards. Plain JavaScript, because the process
// that is killed runs it too.
import { deepStrictEqual, ok, strictEqual } from "node:assert"

/** @typedef {import("../../src/runtime-node/index.ts").Prism} Prism */
/** @typedef {import("../../src/index.ts").Collection} Collection */
/** One write of one document: a put of this version, or a delete where it is 0. @typedef {[id: string, version: number]} Write */
/** @typedef {{ begin(call: number, writes: Write[]): void, acknowledge(call: number): void }} Report */

export const COLLECTION = "killed"
const DIMENSION = 8
/** Few enough that most writes replace a document. */
const ID_COUNT = 400

const SCHEMA = /** @type {const} */ ({
  backends: {
    text: {
      fields: [
        { name: "title", type: "text" },
        { name: "body", type: "text" },
        { name: "version", type: "i64" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: DIMENSION, distance: "euclidean" },
  },
})

/** Seeded numbers (mulberry32), so that a failure can be run again. @param {number} seed */
export function randomBelow(seed) {
  let state = seed >>> 0
  return (/** @type {number} */ end) => {
    state = (state + 0x6d2b79f5) >>> 0
    let z = Math.imul(state ^ (state >>> 15), 1 | state)
    z = (z + Math.imul(z ^ (z >>> 7), 61 | z)) ^ z
    return ((z ^ (z >>> 14)) >>> 0) % end
  }
}

/** A word that only this version of all documents has. @param {number} version */
function mark(version) {
  return `mark${version}`
}

/** Everything of a document follows from its version. @param {Write} write */
function documentOf([id, version]) {
  const below = randomBelow(version)
  // Now and then one that fills several pages of the disk.
  const words = below(40) === 0 ? 4000 : below(60)
  const body = Array.from({ length: words }, () => `wörd${below(1000)}`).join(" ")
  return {
    id,
    fields: { title: `${id} ${mark(version)}`, body, version },
    vector: Array.from({ length: DIMENSION }, () => below(1 << 16) / 256),
  }
}

/**
 * Adds, replaces and deletes documents until something throws, each call reported before it begins and after it resolved.
 * @param {Prism} prism
 * @param {number} seed
 * @param {number} firstVersion greater than every one before
 * @param {Report} report
 */
export async function write(prism, seed, firstVersion, report) {
  const below = randomBelow(seed)
  const names = (await prism.listCollections()).map(({ name }) => name)
  const collection = names.includes(COLLECTION)
    ? await prism.collection(COLLECTION)
    : await prism.createCollection(COLLECTION, SCHEMA)
  let version = firstVersion
  for (let call = 0; ; ) {
    // Calls at the same time share frames of the log. They write to different documents, so that the order in which
    // they come through does not matter to what must be there.
    const taken = new Set()
    const calls = Array.from({ length: 1 + below(3) }, async () => {
      const number = call++
      const isDelete = below(6) === 0
      /** @type {Write[]} */
      const writes = []
      for (let left = 1 + below(isDelete ? 5 : 30); left > 0; left--) {
        const id = `doc-${below(ID_COUNT)}`
        if (taken.has(id)) continue
        taken.add(id)
        writes.push([id, isDelete ? 0 : version++])
      }
      report.begin(number, writes)
      if (isDelete) await collection.delete(writes.map(([id]) => id))
      else await collection.add(writes.map(documentOf))
      report.acknowledge(number)
    })
    await Promise.all(calls)
    if (below(12) === 0) await collection.checkpoint()
  }
}

/** What was begun and acknowledged, held against what a collection has. */
export class Ledger {
  /** Version of each id that must be there, 0 where there is none. @type {Map<string, number>} */
  #settled = new Map()
  /** Calls that were begun and not acknowledged. @type {Map<number, Write[]>} */
  #open = new Map()
  nextVersion = 1
  acknowledgedWrites = 0
  documentsChecked = 0

  /** @param {number} call @param {Write[]} writes */
  begin(call, writes) {
    this.#open.set(call, writes)
    for (const [, version] of writes) this.nextVersion = Math.max(this.nextVersion, version + 1)
  }

  /** @param {number} call */
  acknowledge(call) {
    const writes = this.#open.get(call) ?? []
    for (const [id, version] of writes) this.#settled.set(id, version)
    this.#open.delete(call)
    this.acknowledgedWrites += writes.length
  }

  /** Throws where an acknowledged write is lost, a document is not exactly one version of it, or text, vector and fields
   *  tell of different ones. What is there now must stay. @param {Prism} prism */
  async check(prism) {
    /** @type {Map<string, number>} */
    const begun = new Map([...this.#open.values()].flat())
    this.#open.clear()
    const names = (await prism.listCollections()).map(({ name }) => name)
    if (!names.includes(COLLECTION)) {
      strictEqual(this.acknowledgedWrites, 0, "the collection is lost")
      return
    }
    const collection = await prism.collection(COLLECTION)
    /** @type {Map<string, number>} */
    const found = new Map()
    let versionBefore = 0
    for await (const { id, fields, vector } of collection.documents()) {
      const version = Number(fields["version"])
      ok(!found.has(id), `${id} is there twice`)
      ok(version > versionBefore, `${id} is not in the order in which it was written`)
      versionBefore = version
      found.set(id, version)
      const expected = documentOf([id, version])
      deepStrictEqual(fields, expected.fields, `${id} is not whole`)
      deepStrictEqual([...(vector ?? [])], expected.vector, `the vector of ${id} is not its own`)
      this.documentsChecked++
    }
    for (const id of new Set([...this.#settled.keys(), ...begun.keys(), ...found.keys()])) {
      const settled = this.#settled.get(id) ?? 0
      const there = found.get(id) ?? 0
      const may = begun.has(id) ? [settled, begun.get(id)] : [settled]
      ok(may.includes(there), `${id} has version ${there}, it must be ${may.join(" or ")}`)
      this.#settled.set(id, there)
    }
    await this.#checkSearch(collection, found)
  }

  /** Text and vector index hold the versions that are there, and no others. @param {Collection} collection @param {Map<string, number>} found */
  async #checkSearch(collection, found) {
    strictEqual((await collection.search({ limit: 0 })).total, found.size)
    const below = randomBelow(this.nextVersion)
    for (let sample = 0; sample < 25; sample++) {
      const version = 1 + below(this.nextVersion)
      const [id] = [...found].find(([, there]) => there === version) ?? []
      const { results } = await collection.search({ query: `title:${mark(version)}` })
      deepStrictEqual(
        results.map((result) => result.id),
        id === undefined ? [] : [id],
      )
    }
    const entries = [...found]
    for (let sample = 0; sample < 10 && entries.length > 0; sample++) {
      const entry = /** @type {Write} */ (entries[below(entries.length)])
      const { results } = await collection.search({ vector: documentOf(entry).vector, limit: 1 })
      strictEqual(results[0]?.id, entry[0])
      deepStrictEqual((await collection.get(entry[0]))?.fields, documentOf(entry).fields)
    }
  }
}
