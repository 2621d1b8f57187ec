import { encodeUtf8, tryDecodeUtf8 } from "../../base/bytes.ts"
import { crc32c } from "../../base/crc32c.ts"
import { PrismError } from "../../base/errors.ts"
import { stringifyJson } from "../../base/json.ts"
import { letOthersRun } from "../../base/let-others-run.ts"
import type { Sha256 } from "../../runtime.ts"
import { parseDocumentLine } from "../document.ts"
import { parseGraphLine } from "../graph-record.ts"
import type { Progress } from "../progress.ts"
import type { ArchiveView } from "./archive-view.ts"

export interface Difference {
  /** What became of it from the first archive to the second. */
  readonly change: "added" | "removed" | "changed"
  readonly kind: "document" | "node" | "edge"
  /** Of an edge its ends and type, `from -type-> to`. */
  readonly id: string
}

type Content = Pick<ArchiveView, "documentCount" | "documents" | "graphLineCount" | "graph">

/** Documents, nodes and edges whose hashes are in memory at a time, about 100 MB: archives that hold more are read several times over, each
 *  time for another part of the ids. */
const LINES_PER_PASS = 500_000

/** What differs between two archives of any format, in no particular order: documents in fields (also in the order of their
 *  keys) or in vectors, nodes and edges that no document brings. Memory does not grow with the archives. */
export async function* diffArchives(
  before: Content,
  after: Content,
  options: {
    readonly createSha256: () => Sha256
    readonly signal?: AbortSignal
    readonly onProgress?: (progress: Progress) => void
    readonly linesPerPass?: number
  },
): AsyncGenerator<Difference> {
  const { signal, onProgress, linesPerPass = LINES_PER_PASS } = options
  const lineCount = ({ documentCount, graphLineCount = 0 }: Content) => documentCount + graphLineCount
  const passes = Math.max(1, Math.ceil(lineCount(before) / linesPerPass))
  const total = passes * (lineCount(before) + lineCount(after))
  let done = 0
  const read = async function* (archive: Content, pass: number) {
    let count = 0
    for await (const [line, isDocument] of linesOf(archive)) {
      // What is in memory rests on the number of passes, and that on what the archive says.
      if (++count > lineCount(archive)) {
        const what = archive.graphLineCount === undefined ? "documents" : "documents, nodes and edges"
        throw new PrismError("CORRUPT", `the archive holds more than the ${lineCount(archive)} ${what} that it says`, {
          hint: "the file was changed after it was written: copy it again, or use another backup",
        })
      }
      const document = fingerprint(line, isDocument, options.createSha256)
      if (++done % DOCUMENTS_PER_PAUSE === 0) {
        await letOthersRun()
        signal?.throwIfAborted()
        onProgress?.({ stage: "comparing", unit: "documents", done, total })
      }
      if (crc32c(encodeUtf8(document.key)) % passes === pass) yield document
    }
  }
  for (let pass = 0; pass < passes; pass++) {
    const unseen = new Map<string, string>()
    for await (const { key, hash } of read(before, pass)) unseen.set(key, hash)
    for await (const { key, hash } of read(after, pass)) {
      const former = unseen.get(key)
      unseen.delete(key)
      if (former === undefined) yield { change: "added", ...named(key) }
      else if (former !== hash) yield { change: "changed", ...named(key) }
    }
    for (const key of unseen.keys()) yield { change: "removed", ...named(key) }
  }
}

const DOCUMENTS_PER_PAUSE = 512

async function* linesOf(archive: Content): AsyncGenerator<[line: Uint8Array, isDocument: boolean]> {
  for await (const line of archive.documents()) yield [line, true]
  for await (const line of archive.graph()) yield [line, false]
}

/** Of what a line says, however it is spelled. `key`: one letter for its kind, then its id, of an edge JSON of its ends
 *  with its type between them: no two edges have one. */
function fingerprint(line: Uint8Array, isDocument: boolean, createSha256: () => Sha256): { key: string; hash: string } {
  const text = tryDecodeUtf8(line)
  if (text === undefined) throw new PrismError("INVALID_FORMAT", "a line is not valid UTF-8")
  const sha256 = createSha256()
  const hash = (...parts: string[]): string => {
    for (const part of parts) sha256.update(encodeUtf8(part))
    return sha256.digestHex().slice(0, HASH_DIGITS)
  }
  const record = isDocument ? undefined : parseGraphLine(text)
  if (record?.kind === "put node") return { key: `n${record.id}`, hash: hash(record.recordJson) }
  if (record)
    return { key: `e${JSON.stringify([record.from, record.edgeType, record.to])}`, hash: hash(String(record.weight)) }
  const document = parseDocumentLine(text)
  const vector = document.vector ? [stringifyJson(document.vector)] : []
  return { key: `d${document.id}`, hash: hash(document.fieldsJson([]), ...vector) }
}

const KINDS = { d: "document", n: "node", e: "edge" } as const

function named(key: string): Pick<Difference, "kind" | "id"> {
  const kind = KINDS[key[0] as keyof typeof KINDS]
  if (kind !== "edge") return { kind, id: key.slice(1) }
  const [from, edgeType, to] = JSON.parse(key.slice(1)) as [string, string, string]
  return { kind, id: `${from} -${edgeType}-> ${to}` }
}

/** 128 bits: two lines that differ have one hash with a probability that is none. */
const HASH_DIGITS = 32
