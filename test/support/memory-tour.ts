// All that a process without files and threads can do with the library: what it answers is the same everywhere.
import type { Prism } from "../../src/collection/prism.ts"
import { type EncryptionOptions, parseKey } from "../../src/index.ts"
import { bytesAccess } from "./bytes-access.ts"
import { collectSink } from "./streams.ts"

const DOCUMENTS = 3000
const SCHEMA = {
  backends: {
    text: {
      fields: [
        { name: "title", type: "text" },
        { name: "count", type: "i64", indexed: true },
      ],
    },
    vector: { embedding_field: "embedding", dimension: 16 },
  },
} as const

const vectorOf = (number: number) => Float32Array.from({ length: 16 }, (_, place) => Math.sin(number * 31 + place * 7))

const key = parseKey("42".repeat(32))
const passphrase = { kind: "passphrase", passphrase: "größer als 世界" } as const

const ARCHIVES: Record<string, { format: "portable" | "snapshot"; encryption?: EncryptionOptions }> = {
  portable: { format: "portable" },
  snapshot: { format: "snapshot" },
  encrypted: { format: "snapshot", encryption: { keys: [key, passphrase] } },
  encrypted1: { format: "snapshot", encryption: { keys: [key], version: 1 } },
}

/** What the tour saw, for JSON. Times and what is random in an encryption are left out. `repack`: writes a snapshot's bytes as
 *  another program would. */
export async function tour(prism: Prism, repack?: (snapshot: Uint8Array) => Promise<Uint8Array>): Promise<object> {
  const things = await prism.createCollection("things", SCHEMA)
  for (let from = 0; from < DOCUMENTS; from += 500) {
    await things.add(
      Array.from({ length: 500 }, (_, place) => {
        const number = from + place
        const fields = { title: `word${number % 97} number ${number} größer`, count: number }
        return { id: `doc-${number}`, fields, vector: vectorOf(number) }
      }),
    )
  }
  await things.delete("doc-7")
  const inLog = await answers(prism, "things")

  // Segments are built here: between the turns of this thread, or nobody else would get one.
  let turns = 0
  const timer = setInterval(() => void turns++, 0)
  const { segments_before, segments_after, documents } = await things.optimize()
  clearInterval(timer)

  const archives: Record<string, unknown> = {}
  const restoreAs = async (name: string, bytes: Uint8Array) => {
    const keys = [key]
    const { collection, document_count, checksum } = await prism.verify(bytesAccess(bytes), { keys })
    const restored = await prism.restore(bytesAccess(bytes), { target: name, keys })
    const { files_extracted, bytes_extracted } = restored
    archives[name] = { collection, document_count, checksum, files_extracted, bytes_extracted }
    archives[`${name}, searched`] = await answers(prism, name)
    await prism.deleteCollection(name)
  }
  for (const [name, options] of Object.entries(ARCHIVES)) {
    const sink = collectSink()
    const { checksum } = await things.export(sink.stream, options)
    archives[`${name}, written`] = checksum
    await restoreAs(name, sink.bytes())
    if (name === "snapshot") await restoreAs("repacked", (await repack?.(sink.bytes())) ?? sink.bytes())
  }
  const optimized = { segments_before, segments_after, documents, othersHadTurns: turns > 0 }
  const { recall } = await things.recall()
  await things.verify()
  return {
    inLog,
    optimized,
    inSegment: await answers(prism, "things"),
    recall,
    archives,
    list: await prism.listCollections(),
  }
}

async function answers(prism: Prism, name: string): Promise<object[]> {
  const collection = await prism.collection(name)
  const requests = [
    { query: "word7 OR word13" },
    { query: "größer", filter: "count:[100 TO 104]" },
    { vector: vectorOf(77) },
    { query: "word5", vector: vectorOf(5), merge_strategy: "rrf" },
  ] as const
  const found: object[] = []
  for (const request of requests) {
    const { results, total } = await collection.search({ ...request, limit: 5 })
    found.push({ total, results })
  }
  return found
}
