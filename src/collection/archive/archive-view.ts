// A look into an archive that stays where it is: what it says of itself, its entries, its documents.
import { PrismError } from "../../base/errors.ts"
import type { ArchiveFormat } from "./options.ts"

export interface ArchiveView extends AsyncDisposable {
  readonly format: ArchiveFormat
  readonly collection: string
  readonly documentCount: number
  readonly exportedAt: string | undefined
  readonly prismVersion: string | undefined
  readonly entries: readonly ArchiveEntry[]
  /** What an entry holds. FILE_NOT_FOUND where there is none of that name. */
  read(name: string): AsyncIterable<Uint8Array>
  /** Every document as a line of a portable archive, without line end, in the archive's order. */
  documents(): AsyncIterable<Uint8Array>
  /** No fewer than the lines of `graph`; undefined where the archive has no graph. */
  readonly graphLineCount: number | undefined
  /** Every node and edge that no document brings, the same way, nodes first. */
  graph(): AsyncIterable<Uint8Array>
}

export interface ArchiveEntry {
  readonly name: string
  /** Bytes, where they are known before all of it is read. */
  readonly size: number | undefined
}

/** The entry that every archive has, whether it is stored so or not. */
export const DOCUMENTS = "documents.jsonl"
/** The one that every archive with a graph has. */
export const GRAPH = "graph.jsonl"

export async function* withLineEnds(lines: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const line of lines) {
    const ended = new Uint8Array(line.length + 1)
    ended.set(line)
    ended[line.length] = LINE_FEED
    yield ended
  }
}

const LINE_FEED = 0x0a

export function noEntry(name: string, entries: readonly ArchiveEntry[]): PrismError {
  return new PrismError("FILE_NOT_FOUND", `the archive has no entry ${name}`, {
    place: name,
    hint: `it has: ${entries
      .slice(0, 10)
      .map((entry) => entry.name)
      .join(", ")}${entries.length > 10 ? ", …" : ""}`,
  })
}
