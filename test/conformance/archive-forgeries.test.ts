// Archives that somebody made by hand, with every hash as it has to be: what the formats cannot refuse, the way in does, or
// a verification of the collection finds it. Nothing crashes, hangs, takes memory without end or leaves anything behind.
import { describe, expect, test } from "vitest"
import { decodeUtf8 } from "../../src/base/bytes.ts"
import { PrismError } from "../../src/base/errors.ts"
import { viewArchive } from "../../src/collection/archive/view-archive.ts"
import type { Collection } from "../../src/collection/collection.ts"
import {
  exportBytes,
  fillSmall,
  type Metadata,
  type OpenSnapshot,
  openPrism,
  openSnapshot,
  packSnapshot,
  SEARCHES,
  treeOf,
} from "../support/archives.ts"
import { repairChecksums } from "../support/blob-bytes.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { Random } from "../support/random.ts"
import { refusal, refusalCode } from "../support/refusal.ts"
import { runtime } from "../support/runtime.ts"

async function snapshotOf(schema?: object, mark?: string): Promise<OpenSnapshot> {
  await using prism = await openPrism()
  if (!schema) return await openSnapshot(await exportBytes(await fillSmall(prism, mark), { format: "snapshot" }))
  const collection = (await prism.createCollection("c", schema as never)) as unknown as Collection
  await collection.add(
    [1, 2, 3].map((number) => ({ id: `doc-${number}`, fields: { title: "other" }, vector: [1, 2, 3, 4] })),
  )
  return await openSnapshot(await exportBytes(collection, { format: "snapshot" }))
}

const own = await snapshotOf()
const foreign = await snapshotOf(undefined, "foreign")
const other = await snapshotOf({
  backends: {
    text: { fields: [{ name: "title", type: "string" }] },
    vector: { embedding_field: "embedding", dimension: 4 },
  },
})
const [first, second] = own.metadata.segments.map(({ files }) => files) as [Files, Files]
const [elsewhere] = other.metadata.segments.map(({ files }) => files) as [Files]
type Files = Metadata["segments"][number]["files"]

/** A copy that a forger may write into. */
function copy({ metadata, schema, files }: OpenSnapshot = own): OpenSnapshot {
  return { metadata: structuredClone(metadata), schema, files: new Map(files) }
}

/** Refused by a restore over a collection of the name, which stays as it was. */
async function refusedRestore(archive: Uint8Array): Promise<PrismError> {
  const storage = new LastingStorage()
  await using prism = await openPrism(storage)
  await fillSmall(prism, "precious")
  const before = await treeOf(storage, "collections")
  const error = await refusal(prism.restore(bytesAccess(archive), { mode: "replace" }))
  expect(await storage.list("staging")).toEqual([])
  expect(await treeOf(storage, "collections")).toBe(before)
  return error
}

type Forgery = (snapshot: OpenSnapshot) => void

const file = ({ files }: OpenSnapshot, name: string | undefined): Uint8Array => files.get(name ?? "") as Uint8Array

const segment = ({ metadata }: OpenSnapshot, place: number) => metadata.segments[place] as Metadata["segments"][number]

/** Exchanges a file of the first segment with that of the second. */
const exchange =
  (kind: keyof Files): Forgery =>
  (snapshot) => {
    const [a, b] = [file(snapshot, first[kind]), file(snapshot, second[kind])]
    snapshot.files.set(first[kind] as string, b).set(second[kind] as string, a)
  }

/** What the headers of the files contradict. */
const CONTRADICTIONS: Record<string, Forgery> = {
  "more documents in a segment": (snapshot) => {
    segment(snapshot, 1).documents++
    snapshot.metadata.document_count++
  },
  "fewer documents in a segment": (snapshot) => {
    segment(snapshot, 1).documents--
    snapshot.metadata.document_count--
  },
  "more deleted documents": (snapshot) => {
    segment(snapshot, 0).deleted++
    snapshot.metadata.document_count--
  },
  "no deleted documents beside tombstones": (snapshot) => {
    segment(snapshot, 0).deleted = 0
    snapshot.metadata.document_count++
  },
  "deleted documents without tombstones": (snapshot) => {
    segment(snapshot, 1).deleted = 1
    snapshot.metadata.document_count--
  },
  "tombstones taken away": (snapshot) => {
    snapshot.files.delete(first.tombstones as string)
    delete segment(snapshot, 0).files.tombstones
  },
  "more vectors": (snapshot) => {
    segment(snapshot, 1).vectors++
  },
  "fewer vectors": (snapshot) => {
    segment(snapshot, 0).vectors--
  },
  "vectors taken away": (snapshot) => {
    snapshot.files.delete(first.vector as string)
    delete segment(snapshot, 0).files.vector
  },
  "tombstones of another length": (snapshot) => {
    snapshot.files.set(first.tombstones as string, file(snapshot, first.tombstones).slice(0, -1))
  },
  "a text index for stored documents": (snapshot) => {
    snapshot.files.set(first.documents, file(snapshot, first.text))
  },
  "stored documents for a text index": (snapshot) => {
    snapshot.files.set(first.text, file(snapshot, first.documents))
  },
  "vectors exchanged": exchange("vector"),
  "an empty text index": (snapshot) => {
    snapshot.files.set(first.text, new Uint8Array())
  },
  "a text index of another schema": (snapshot) => {
    snapshot.files.set(first.text, file(other, elsewhere.text))
  },
  "vectors of another dimension": (snapshot) => {
    snapshot.files.set(first.vector as string, file(other, elsewhere.vector))
  },
  "a field of another kind": (snapshot) => {
    snapshot.schema = snapshot.schema.replace("i64", "text")
  },
  "a field more": (snapshot) => {
    snapshot.schema = snapshot.schema.replace("i64", "i64\n      - name: more\n        type: text")
  },
  "another dimension": (snapshot) => {
    snapshot.schema = snapshot.schema.replace("dimension: 3", "dimension: 4")
  },
  "another distance": (snapshot) => {
    snapshot.schema = snapshot.schema.replace("euclidean", "cosine")
  },
  "no vector backend": (snapshot) => {
    snapshot.schema = snapshot.schema.replace(/ {2}vector:\n( {4}.*\n)+/, "")
  },
}

/** What no header tells, and a verification of the collection does. */
const HIDDEN: Record<string, Forgery> = {
  "a segment twice": (snapshot) => {
    const twin = structuredClone(segment(snapshot, 1))
    const { files } = twin
    for (const kind of ["text", "documents", "vector"] as const) {
      const name = files[kind] as string
      files[kind] = name.replace("000002", "000003")
      snapshot.files.set(files[kind], file(snapshot, name))
    }
    snapshot.metadata.segments.push(twin)
    snapshot.metadata.document_count += twin.documents
  },
  "stored documents exchanged": exchange("documents"),
  "text indexes exchanged": exchange("text"),
  "a text index of another collection": (snapshot) => {
    snapshot.files.set(first.text, file(foreign, second.text))
  },
}

describe("a snapshot with hashes that fit", () => {
  test.each(Object.entries(CONTRADICTIONS))("and %s is refused", async (_, forge) => {
    const snapshot = copy()
    forge(snapshot)
    expect(snapshot).not.toEqual(own)
    const error = await refusedRestore(await packSnapshot(snapshot))
    expect(["CORRUPT", "TRUNCATED", "INCOMPATIBLE_VERSION", "INVALID_FORMAT", "INVALID_SCHEMA"]).toContain(error.code)
  })

  test.each(Object.entries(HIDDEN))("and %s is found by a verification", async (_, forge) => {
    const snapshot = copy()
    forge(snapshot)
    await using prism = await openPrism()
    await prism.restore(bytesAccess(await packSnapshot(snapshot)))
    const collection = await prism.collection("c")
    expect(await refusalCode(collection.verify())).toBe("CORRUPT")
    for (const ask of QUESTIONS) await orPrismError(ask(collection))
  })

  test.each(Object.entries({ ...first, "vector of the second": second.vector as string }))(
    "and a %s file that is damaged is refused, or found by a verification, and no search breaks",
    async (_, name) => {
      const bytes = own.files.get(name) as Uint8Array
      const random = new Random(7)
      const damages = Array.from({ length: DAMAGES }, (_, round) => {
        const at = random.below(bytes.length)
        if (round % 4 === 0) return bytes.slice(0, at)
        const damaged = bytes.slice()
        damaged[at] = (damaged[at] as number) ^ (1 + random.below(255))
        return damaged
      })
      const seen = { refused: 0, found: 0, searchesRefused: 0 }
      for (const damaged of damages) {
        const snapshot = copy()
        snapshot.files.set(name, damaged)
        const archive = await packSnapshot(snapshot)
        await lookInto(archive)
        const storage = new LastingStorage()
        await using prism = await openPrism(storage)
        try {
          await prism.restore(bytesAccess(archive))
        } catch (error) {
          if (!(error instanceof PrismError)) throw error
          expect(await storage.list("staging")).toEqual([])
          expect(await prism.collectionNames()).toEqual([])
          seen.refused++
          continue
        }
        const collection = await prism.collection("c")
        expect(["CORRUPT", "TRUNCATED"]).toContain(await refusalCode(collection.verify()))
        seen.found++
        if (!(await answersRightly(collection))) seen.searchesRefused++
      }
      console.log(`${name}: of ${DAMAGES} damages ${JSON.stringify(seen)}`)
      expect(seen.refused + seen.found).toBe(DAMAGES)
    },
  )

  test.each(["text", "vector"] as const)(
    "and a %s file whose own checksums fit too is found, or breaks nothing",
    async (kind) => {
      const bytes = own.files.get(second[kind] as string) as Uint8Array
      const random = new Random(11)
      const seen = { refused: 0, found: 0, answered: 0 }
      for (let round = 0; round < FORGED_BLOBS; round++) {
        const forged = bytes.slice()
        for (let changes = 1 + random.below(3); changes > 0; changes--) {
          forged[random.below(bytes.length)] = random.below(4) === 0 ? 0xff : random.below(256)
        }
        repairChecksums(forged)
        const snapshot = copy()
        snapshot.files.set(second[kind] as string, forged)
        await using prism = await openPrism()
        try {
          await prism.restore(bytesAccess(await packSnapshot(snapshot)))
          const collection = await prism.collection("c")
          if (await orPrismError(collection.verify())) {
            // The answers are the forger's, as a whole collection of his would give them.
            for (const ask of QUESTIONS) await orPrismError(ask(collection))
            seen.answered++
          } else seen.found++
        } catch (error) {
          if (!(error instanceof PrismError)) throw new Error(`round ${round}`, { cause: error })
          seen.refused++
        }
      }
      console.log(`${kind}: of ${FORGED_BLOBS} forged files ${JSON.stringify(seen)}`)
      expect(seen.refused).toBeGreaterThan(0)
    },
  )
})

const DAMAGES = 40
const FORGED_BLOBS = 60

/** Whether a call succeeded; whatever fails otherwise than with a PrismError fails the test. */
async function orPrismError(call: Promise<unknown>): Promise<boolean> {
  try {
    await call
    return true
  } catch (error) {
    if (error instanceof PrismError) return false
    throw error
  }
}

/** Reads every document of an archive where it lies; that it can be refused is all right. */
async function lookInto(archive: Uint8Array): Promise<void> {
  try {
    await using view = await viewArchive(bytesAccess(archive), [], runtime)
    for await (const _ of view.documents());
  } catch (error) {
    if (!(error instanceof PrismError)) throw error
  }
}

/** Every search, and a list of all documents, gives what it gives for the whole collection, or a PrismError, which is
 *  false. */
async function answersRightly(collection: Collection): Promise<boolean> {
  const expected = await wholeAnswers
  let isWhole = true
  for (const [place, ask] of QUESTIONS.entries()) {
    try {
      expect(await ask(collection)).toBe(expected[place])
    } catch (error) {
      if (!(error instanceof PrismError)) throw error
      isWhole = false
    }
  }
  return isWhole
}

const QUESTIONS: ((collection: Collection) => Promise<string>)[] = [
  async (collection) => decodeUtf8(await exportBytes(collection, { format: "portable" })).replace(/.*\n/, ""),
  ...SEARCHES.map((request) => async (collection: Collection) => {
    const { total, results } = await collection.search(request)
    return JSON.stringify([total, results])
  }),
]

const wholeAnswers = (async () => {
  await using prism = await openPrism()
  await prism.restore(bytesAccess(await packSnapshot(own)))
  const collection = await prism.collection("c")
  const answers: string[] = []
  for (const ask of QUESTIONS) answers.push(await ask(collection))
  return answers
})()
