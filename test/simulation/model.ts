import type { Document } from "../../src/collection/collection.ts"

/** What a collection holds: the version of each document, in the order of their last write, and of each edge that was
 *  added; undefined where there is no such collection. */
export type State = ReadonlyMap<string, number> | undefined

/** A put of this version of a document or an edge, or a delete where it is 0. Every version is written once. An id of an
 *  edge is that of the node that it leaves; its weight is its version. */
export interface Write {
  readonly id: string
  readonly version: number
}

export const DIMENSION = 4

export const SCHEMA = {
  backends: {
    text: {
      fields: [
        { name: "title", type: "text" },
        { name: "version", type: "i64" },
      ],
    },
    vector: { embedding_field: "embedding", dimension: DIMENSION, distance: "euclidean", hnsw_m: 4 },
    graph: { edges: [{ edge_type: "is", to_field: "version" }] },
  },
} as const

/** Where all edges lead that are added, and of which type. */
export const HUB = "hub"
export const EDGE_TYPE = "leads"

export function isEdge(id: string): boolean {
  return id.startsWith("e")
}

export function documentsIn(state: ReadonlyMap<string, number>): ReadonlyMap<string, number> {
  return new Map([...state].filter(([id]) => !isEdge(id)))
}

/** Documents that the collection `QUOTA_NAME` takes. */
export const QUOTA = 24
export const QUOTA_NAME = "c"
export const QUOTA_SCHEMA = { ...SCHEMA, quota: { max_documents: QUOTA } } as const

const WORDS = ["ash", "birch", "cedar", "elm", "fir", "hazel", "juniper", "larch"]

/** A word that this version of all documents has and no other. */
export function markOf(version: number): string {
  return `v${version}`
}

/** Everything of a document follows from its version. */
export function documentOf({ id, version }: Write) {
  const word = (place: number) => WORDS[(version * 7 + place * place) % WORDS.length]
  // Now and then one of several pages and blocks.
  const wordCount = version % 97 === 0 ? 1000 + (version % 1000) : 1 + (version % 5)
  const words = Array.from({ length: wordCount }, (_, place) => word(place)).join(" ")
  const vector = vectorOf(version)
  return { id, fields: { title: `${markOf(version)} ${words}`, version }, ...(vector ? { vector } : {}) }
}

/** Unlike that of any other version; one in four has none. */
export function vectorOf(version: number): number[] | undefined {
  if (version % 4 === 0) return undefined
  return [version % 50, Math.floor(version / 50) % 50, Math.floor(version / 2500) % 50, Math.floor(version / 125_000)]
}

/** What is wrong with a document that should be one of its versions whole. */
export function findWrong({ id, fields, vector }: Pick<Document, "id" | "fields"> & { vector?: ArrayLike<number> }) {
  const version = Number(fields["version"])
  const expected = documentOf({ id, version })
  if (JSON.stringify(fields) !== JSON.stringify(expected.fields)) return `the fields of ${id} are not whole`
  const same = (vector?.length ?? 0) === (expected.vector?.length ?? 0)
  if (!same || expected.vector?.some((value, place) => value !== vector?.[place])) {
    return `the vector of ${id} is not that of version ${version}`
  }
  return undefined
}

export function applyWrites(state: State, writes: readonly Write[]): ReadonlyMap<string, number> {
  const result = new Map(state)
  for (const { id, version } of writes) {
    result.delete(id)
    if (version > 0) result.set(id, version)
  }
  return result
}

/** The writes that a collection with a quota of documents takes before it refuses one. */
export function withinQuota(state: State, writes: readonly Write[], quota: number | undefined): readonly Write[] {
  const ids = new Set(documentsIn(state ?? new Map()).keys())
  const refused = writes.findIndex(({ id, version }) => {
    if (isEdge(id)) return false
    if (version === 0) ids.delete(id)
    else if (!ids.has(id) && ids.size >= (quota ?? Number.POSITIVE_INFINITY)) return true
    else ids.add(id)
    return false
  })
  return refused === -1 ? writes : writes.slice(0, refused)
}

/** The states that any number of the writes, from the first on, lead to: 0, 1, … all of them. */
export function prefixStates(state: State, writes: readonly Write[]): State[] {
  const states = [state]
  for (const write of writes) states.push(applyWrites(states.at(-1), [write]))
  return states
}

export function sameState(a: State, b: State): boolean {
  return describeState(a) === describeState(b)
}

/** Edges are in no order. */
export function describeState(state: State): string {
  if (!state) return "(no collection)"
  const entries = [
    ...documentsIn(state),
    ...[...state].filter(([id]) => isEdge(id)).sort(([a], [b]) => (a < b ? -1 : 1)),
  ]
  return entries.map(([id, version]) => `${id}:${version}`).join(" ") || "(empty)"
}
