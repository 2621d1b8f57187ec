// Nodes and edges that no document brings: what comes in, checked, becomes what is stored.
import { utf8Length } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { compactMembers, JSON_DEPTH_MAX, jsonMembers, parseJson, stringifyJson } from "../base/json.ts"
import { closest } from "../base/similar.ts"
import type { WalGraphOperation } from "../storage/wal.ts"
import { describe, quote } from "./describe.ts"
import { DOCUMENT_BYTES_MAX } from "./document.ts"
import { ID_BYTES_MAX, isBroken } from "./id.ts"
import { EDGE_TYPE_BYTES_MAX } from "./schema.ts"

/** A node as a program gives it. An id may be a document's: then it says more about it. */
export interface NodeInput {
  readonly id: string
  readonly node_type?: string | undefined
  readonly title?: string | undefined
  /** What JSON can hold. */
  readonly payload?: unknown
}

/** Of two edges with these three the last one counts. */
export interface EdgeKey {
  readonly from: string
  readonly to: string
  readonly edge_type: string
}

export interface EdgeInput extends EdgeKey {
  /** Not negative, 1e290 at most. Default 1. */
  readonly weight?: number | undefined
}

export type CheckedNode = Extract<WalGraphOperation, { kind: "put node" }>
export type CheckedEdge = Extract<WalGraphOperation, { kind: "put edge" }>
export type CheckedEdgeKey = Extract<WalGraphOperation, { kind: "delete edge" }>

const NODE_KEYS = ["id", "node_type", "title", "payload"]
/** A path of as many edges as a graph can have (2^32) weighs less than the largest double. */
const WEIGHT_MAX = 1e290

const EDGE_KEYS = ["from", "to", "edge_type", "weight"]

/** INVALID_REQUEST or LIMIT_EXCEEDED with place `node "id"`. */
export function checkNode(input: NodeInput): CheckedNode {
  const given = checkObject(input, "node")
  const id = checkNodeId(given["id"], "the id of a node")
  const place = placeOfNode(id)
  refuseUnknown(Object.keys(given), NODE_KEYS, place)
  const members = NODE_KEYS.slice(1).flatMap((key) => {
    const value = given[key]
    if (value === undefined || value === null) return []
    return [[key, key === "payload" ? value : checkText(value, key, place)]]
  })
  const recordJson = stringifyJson(Object.fromEntries(members), {
    code: "INVALID_REQUEST",
    place,
    depthMax: RECORD_DEPTH_MAX,
  })
  return { kind: "put node", id, recordJson: checkSize(recordJson, place) }
}

/** INVALID_REQUEST or LIMIT_EXCEEDED with place `edge from -type-> to`. */
export function checkEdge(input: EdgeInput): CheckedEdge {
  const given = checkObject(input, "edge")
  const key = checkEdgeEnds(given)
  const place = placeOfEdge(key)
  refuseUnknown(Object.keys(given), EDGE_KEYS, place)
  const value = given["weight"] ?? 1
  const weight = typeof value === "bigint" ? Number(value) : value
  if (typeof weight !== "number" || !(weight >= 0 && weight <= WEIGHT_MAX)) {
    throw new PrismError(
      "INVALID_REQUEST",
      `weight expects a number that is not negative, ${WEIGHT_MAX} at most, found ${String(weight)}`,
      {
        place,
        hint: "shortest paths add weights up: smaller is nearer",
      },
    )
  }
  // −0 is 0.
  return { kind: "put edge", ...key, weight: weight + 0 }
}

/** The same for an edge that is named, to be deleted. */
export function checkEdgeKey(input: EdgeKey): CheckedEdgeKey {
  const given = checkObject(input, "edge")
  const key = checkEdgeEnds(given)
  refuseUnknown(Object.keys(given), EDGE_KEYS.slice(0, 3), placeOfEdge(key))
  return { kind: "delete edge", ...key }
}

/** INVALID_REQUEST or LIMIT_EXCEEDED for what can be the id of no node. `what` names it. */
export function checkNodeId(id: unknown, what: string): string {
  return checkName(id, what, ID_BYTES_MAX)
}

/** INVALID_REQUEST or LIMIT_EXCEEDED for what can be no type of edges. */
export function checkEdgeType(type: unknown): string {
  if (type !== "") return checkName(type, "edge_type", EDGE_TYPE_BYTES_MAX)
  throw new PrismError("INVALID_REQUEST", "edge_type is empty", { hint: 'name what the edge says, such as "cites"' })
}

/** What a node's stored record says of it. */
export function nodeOf(id: string, recordJson: string): NodeInput {
  return { id, ...(parseJson(recordJson, { depthMax: RECORD_DEPTH_MAX }) as object) }
}

// --- lines of archives ---

/** `{"node":{…}}`, without line end. CORRUPT where the record is none that `checkNode` makes: somebody who forges one could
 *  put anything into the line. */
export function nodeLine(id: string, recordJson: string): string {
  const line = `{"node":{"id":${JSON.stringify(id)}${recordJson === "{}" ? "" : ","}${recordJson.slice(1)}}`
  const read = asStored(placeOfNode(id), () => parseGraphLine(line))
  if (read?.kind === "put node" && read.id === id && read.recordJson === recordJson) return line
  throw corrupt(placeOfNode(id))
}

/** `{"edge":{…}}`, without line end. */
export function edgeLine({ from, edgeType, to, weight }: Omit<CheckedEdge, "kind">): string {
  return `{"edge":${JSON.stringify({ from, to, edge_type: edgeType, weight })}}`
}

/** What a line holds that is an object with nothing but `node`, or nothing but `edge`, which is an object; undefined where
 *  it is another one, such as a document. Numbers of a payload stay as they are written. Errors as of checkNode and checkEdge;
 *  INVALID_DOCUMENT for what is no JSON. */
export function parseGraphLine(text: string): CheckedNode | CheckedEdge | undefined {
  // A cheap look first: most lines are documents.
  if (!/^\s*\{\s*(?:"(?:node|edge)"|"[^"]*\\u[^"]*")\s*:\s*\{/.test(text)) return undefined
  const { json, members } = compactMembers(text, { depthMax: RECORD_DEPTH_MAX + 1 })
  const [member, ...others] = members
  if (!member || others.length > 0 || !["node", "edge"].includes(member.key)) return undefined
  const inner = json.slice(member.valueStart, member.end)
  if (member.key === "edge") return checkEdge(parseJson(inner) as unknown as EdgeInput)
  const options = { depthMax: RECORD_DEPTH_MAX }
  const checked = checkNode(parseJson(inner, options) as unknown as NodeInput)
  const kept = jsonMembers(inner, options).filter(
    ({ key, valueStart, end }) => key !== "id" && inner.slice(valueStart, end) !== "null",
  )
  const written = new Map(kept.map(({ key, start, end }) => [key, inner.slice(start, end)]))
  const recordJson = `{${NODE_KEYS.flatMap((key) => written.get(key) ?? []).join(",")}}`
  return { ...checked, recordJson: checkSize(recordJson, placeOfNode(checked.id)) }
}

// --- what is stored ---

/** CORRUPT where a node of a segment is none that `checkNode` lets in; its record is undefined where it is deleted. */
export function checkStoredNode(id: string, recordJson: string | undefined): void {
  asStored(placeOfNode(id), () => checkNodeId(id, "the id of a node"))
  if (recordJson !== undefined) nodeLine(id, recordJson)
}

/** The same for an edge. */
export function checkStoredEdge({ from, edgeType, to, weight }: Omit<CheckedEdge, "kind">): void {
  asStored(placeOfEdge({ from, edgeType, to }), () => checkEdge({ from, to, edge_type: edgeType, weight }))
}

/** It was checked when it came in: what does not pass now is damage. */
function asStored<T>(place: string, check: () => T): T {
  try {
    return check()
  } catch (error) {
    throw error instanceof PrismError ? corrupt(place, error) : error
  }
}

function corrupt(place: string, cause?: PrismError): PrismError {
  return new PrismError(
    "CORRUPT",
    `${place} is stored as no collection stores it${cause ? `: ${cause.message}` : ""}`,
    {
      hint: "restore the collection from its last export",
      cause,
    },
  )
}

// --- checks ---

/** A record's own braces come on top of its payload's depth, and a line's on top of these. */
const RECORD_DEPTH_MAX = JSON_DEPTH_MAX + 1

function checkObject(input: unknown, what: "node" | "edge"): Readonly<Record<string, unknown>> {
  if (typeof input === "object" && input !== null && !Array.isArray(input)) return input as Record<string, unknown>
  const keys = what === "node" ? NODE_KEYS : EDGE_KEYS
  throw new PrismError(
    "INVALID_REQUEST",
    `a${what === "node" ? "" : "n"} ${what} is an object, found ${describe(input)}`,
    {
      hint: `its keys: ${keys.join(", ")}`,
    },
  )
}

function checkEdgeEnds(given: Readonly<Record<string, unknown>>): { from: string; edgeType: string; to: string } {
  return {
    from: checkNodeId(given["from"], "from"),
    edgeType: checkEdgeType(given["edge_type"]),
    to: checkNodeId(given["to"], "to"),
  }
}

function checkName(value: unknown, what: string, bytesMax: number): string {
  if (typeof value !== "string") {
    const hint = typeof value === "number" || typeof value === "bigint" ? { hint: "put it in quotes" } : {}
    const found = value === undefined ? "nothing" : describe(value)
    throw new PrismError("INVALID_REQUEST", `${what} expects text, found ${found}`, hint)
  }
  const bytes = utf8Length(value)
  if (bytes > bytesMax) {
    throw new PrismError("LIMIT_EXCEEDED", `${what} has ${bytes} bytes, at most ${bytesMax} are possible`)
  }
  // Two names that differ in a lone surrogate alone would be one in UTF-8.
  if (isBroken(value)) throw new PrismError("INVALID_REQUEST", `${what} holds half a surrogate pair, which is no text`)
  return value
}

function checkText(value: unknown, key: string, place: string): string {
  if (typeof value === "string" && !isBroken(value)) return value
  const found = typeof value === "string" ? "half a surrogate pair" : describe(value)
  throw new PrismError("INVALID_REQUEST", `${key} expects text, found ${found}`, { place })
}

function checkSize(recordJson: string, place: string): string {
  const bytes = recordJson.length * 3 <= DOCUMENT_BYTES_MAX ? 0 : utf8Length(recordJson)
  if (bytes <= DOCUMENT_BYTES_MAX) return recordJson
  throw new PrismError("LIMIT_EXCEEDED", `the node has ${bytes} bytes, at most ${DOCUMENT_BYTES_MAX} are possible`, {
    place,
  })
}

function refuseUnknown(keys: readonly string[], known: readonly string[], place: string): void {
  const unknown = keys.find((key) => !known.includes(key))
  if (unknown === undefined) return
  const similar = closest(unknown, known)
  throw new PrismError("INVALID_REQUEST", `unknown key ${quote(unknown)}`, {
    place,
    hint: similar ? `did you mean "${similar}"?` : `known are ${known.join(", ")}`,
  })
}

export function placeOfNode(id: string): string {
  return `node ${quote(id)}`
}

export function placeOfEdge({ from, edgeType, to }: { from: string; edgeType: string; to: string }): string {
  return `edge ${quote(from)} -${edgeType.slice(0, 80)}-> ${quote(to)}`
}
