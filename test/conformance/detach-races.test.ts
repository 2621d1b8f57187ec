// Everything that moves or writes the collection of one name, at the same time, in any order of the steps.
import { expect, test } from "vitest"
import { assert } from "../../src/base/errors.ts"
import type { Collection } from "../../src/collection/collection.ts"
import { Prism } from "../../src/collection/prism.ts"
import type { ErrorCode } from "../../src/index.ts"
import { FaultyStorage } from "../support/faulty-storage.ts"
import { Random } from "../support/random.ts"
import { refusal } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"
import { storedZstd } from "../support/stored-zstd.ts"
import { collectSink, streamOf } from "../support/streams.ts"

const SCHEMA = { backends: { text: { fields: [{ name: "title", type: "text" }] } } } as const

/** What a user of one name at the wrong moment is told; the rest would be a defect. */
const EXPECTED: readonly ErrorCode[] = ["BUSY", "CLOSED", "COLLECTION_NOT_FOUND", "COLLECTION_EXISTS"]

/** Nothing waits for another thread, so that a seed makes the same run again. */
const open = (storage: FaultyStorage) => {
  const { createSha256, createGcm } = runtime
  return Prism.openStorage(storage, { createSha256, createGcm, zstd: storedZstd })
}

const archiveOfNone = await (async () => {
  await using prism = await open(new FaultyStorage())
  const sink = collectSink()
  await (await prism.createCollection("c", SCHEMA)).export(sink.stream)
  return sink.bytes()
})()

class Race {
  readonly storage = new FaultyStorage()
  readonly random: Random
  prism!: Prism
  /** Ids that were acknowledged. */
  readonly added = new Set<string>()
  /** Written by detaches that came about: the only place of what they deleted. */
  readonly archives = [archiveOfNone]
  readonly told: Partial<Record<string, number>> = {}
  #ids = 0

  constructor(seed: number) {
    this.random = new Random(seed)
    this.storage.turns = () => this.random.below(4)
  }

  readonly #gentle: Record<string, () => Promise<unknown>> = {
    create: () => this.prism.createCollection("c", SCHEMA),
    add: () => this.#add(),
    search: async () => await (await this.prism.collection("c")).search({ query: "word" }),
    read: async () => {
      for await (const document of (await this.prism.collection("c")).documents())
        assert(document.fields, "a document has fields")
    },
    export: async () => await (await this.prism.collection("c")).export(collectSink().stream, { format: "snapshot" }),
    list: async () => await Promise.all([this.prism.listCollections(), this.prism.listDetached()]),
    // Less often: it ends what the others are at.
    close: async () => this.random.below(4) === 0 && (await (await this.prism.collection("c")).close()),
    detach: () => this.#detach(false),
    "detach and delete": () => this.#detach(true),
    reattach: () => this.prism.reattach("c"),
    attach: () => this.prism.attach(this.#archive()),
  }

  readonly #destructive: Record<string, () => Promise<unknown>> = {
    delete: () => this.prism.deleteCollection("c"),
    replace: () => this.prism.restore(this.#archive(), { mode: "replace" }),
    merge: () => this.prism.restore(this.#archive(), { mode: "merge" }),
    "delete kept": () => this.prism.deleteDetached("c"),
  }

  #archive(): ReadableStream<Uint8Array> {
    return streamOf(this.archives[this.random.below(this.archives.length)] as Uint8Array)
  }

  async #add(): Promise<void> {
    const id = `${this.#ids++}`
    await (await this.prism.collection("c")).add({ id, fields: { title: "word" } })
    this.added.add(id)
  }

  async #detach(deleteData: boolean): Promise<void> {
    const sink = collectSink()
    const write = async (collection: Collection) => {
      const report = await collection.export(sink.stream, { format: "snapshot" })
      // Whoever acknowledged a write by now finds it in there.
      const { document_count } = await collection.stats()
      assert(report.document_count === document_count, "what was acknowledged is in the archive")
      return report
    }
    await this.prism.detach("c", { write, deleteData })
    this.archives.push(sink.bytes())
  }

  async run(steps: number, options: { isDestructive: boolean }): Promise<void> {
    this.prism = await open(this.storage)
    const calls = Object.entries({ ...this.#gentle, ...(options.isDestructive ? this.#destructive : {}) })
    const flows = Array.from({ length: 5 }, async () => {
      for (let step = 0; step < steps; step++) {
        const [name, call] = calls[this.random.below(calls.length)]!
        try {
          await call()
          this.told[name] = (this.told[name] ?? 0) + 1
        } catch (error) {
          const { code, message } = await refusal(Promise.reject(error))
          assert(EXPECTED.includes(code), `${name} is refused with ${code}: ${message}`)
          this.told[`${name}: ${code}`] = (this.told[`${name}: ${code}`] ?? 0) + 1
        }
      }
    })
    await Promise.all(flows)
  }

  /** Ids that can be found somewhere: live, in a kept copy, in an archive. */
  async safe(): Promise<Set<string>> {
    this.storage.turns = () => 0
    const ids = new Set<string>()
    const collect = async (collection: Collection) => {
      for await (const { id } of collection.documents()) ids.add(id)
    }
    await this.prism.close()
    const left = this.storage.process()
    await using prism = await open(left)
    const rests = [...(await left.list("staging")), ...(await left.list("trash"))]
    assert(rests.length === 0, "nothing is left half done")
    for (const name of await prism.collectionNames()) {
      await collect(await prism.collection(name))
      await prism.deleteCollection(name)
    }
    for (const { copy, document_count } of await prism.listDetached()) {
      const collection = await prism.reattach("c", { copy })
      assert((await collection.stats()).document_count === document_count, "the list tells what a copy holds")
      await collect(collection)
      await prism.deleteCollection("c")
    }
    for (const [place, archive] of this.archives.entries()) {
      await prism.restore(streamOf(archive), { target: `archive-${place}` })
      await collect(await prism.collection(`archive-${place}`))
    }
    return ids
  }
}

function addUp(counts: Partial<Record<string, number>>, more: Partial<Record<string, number>>): void {
  for (const [key, count = 0] of Object.entries(more)) counts[key] = (counts[key] ?? 0) + count
}

test("nothing that was acknowledged is lost, nobody hangs, and whoever is refused is told why", async () => {
  const told: Partial<Record<string, number>> = {}
  for (let seed = 1; seed <= 30; seed++) {
    const race = new Race(seed)
    await race.run(12, { isDestructive: false })
    addUp(told, race.told)
    const safe = await race.safe()
    const lost = [...race.added].filter((id) => !safe.has(id))
    expect(lost, `seed ${seed}`).toEqual([])
  }
  // All of it happened, and the refusals that matter.
  console.log(JSON.stringify(told))
  const happened = ["add", "detach", "detach and delete", "reattach", "attach", "add: BUSY", "detach: BUSY"]
  expect(happened.filter((what) => !told[what])).toEqual([])
})

test("with deletions, replacements and merges among them it is the same, but for what they take", async () => {
  const told: Partial<Record<string, number>> = {}
  for (let seed = 101; seed <= 125; seed++) {
    const race = new Race(seed)
    await race.run(12, { isDestructive: true })
    addUp(told, race.told)
    await race.safe()
  }
  console.log(JSON.stringify(told))
  const happened = ["delete", "replace", "merge", "delete kept", "delete: BUSY", "replace: BUSY", "merge: BUSY"]
  expect(happened.filter((what) => !told[what])).toEqual([])
})
