import { decodeUtf8 } from "../base/bytes.ts"
import type { Engine } from "./engine.ts"
import { allocated } from "./memory.ts"

const HEADER_BYTES = 16 // assembly/graph/output.ts

/** What a call of the graph engine gave back. */
export interface GraphOutput {
  /** The call's own. */
  readonly values: DataView
  readonly texts: readonly string[]
  /** How many there are of what is given in part. */
  readonly total: number
}

/** Reads what a call left at `pointer`; LIMIT_EXCEEDED where it is 0. */
export function readGraphOutput(engine: Engine, pointer: number): GraphOutput {
  const at = allocated(pointer)
  const { bytes } = engine
  const header = new DataView(bytes.buffer, at, HEADER_BYTES)
  const [valueBytes, textCount, textBytes, total] = [0, 4, 8, 12].map((offset) => header.getUint32(offset, true)) as [
    number,
    number,
    number,
    number,
  ]
  const endsAt = at + HEADER_BYTES + valueBytes
  const textsAt = endsAt + textCount * 4
  const ends = new Uint32Array(bytes.buffer, endsAt, textCount)
  const all = decodeUtf8(bytes.subarray(textsAt, textsAt + textBytes))
  const texts: string[] = []
  let start = 0
  for (const end of ends) {
    texts.push(all.slice(start, end))
    start = end
  }
  const values = new DataView(bytes.slice(at + HEADER_BYTES, endsAt).buffer)
  engine.abi.graphOutputEnd()
  return { values, texts, total }
}

/** The edges whose weights the values begin with, and whose texts begin at `from`: from, type, to of each. */
export function edgesOf({ values, texts }: GraphOutput, count: number, from = 0) {
  return Array.from({ length: count }, (_, i) => ({
    from: texts[from + i * 3] as string,
    to: texts[from + i * 3 + 2] as string,
    edgeType: texts[from + i * 3 + 1] as string,
    weight: values.getFloat64(i * 8, true),
  }))
}
