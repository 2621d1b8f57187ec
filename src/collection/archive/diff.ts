import { encodeUtf8, tryDecodeUtf8 } from "../../base/bytes.ts"
import { crc32c } from "../../base/crc32c.ts"
import { PrismError } from "../../base/errors.ts"
import { stringifyJson } from "../../base/json.ts"
import { letOthersRun } from "../../base/let-others-run.ts"
import type { Sha256 } from "../../runtime.ts"
import { parseDocumentLine } from "../document.ts"
import type { Progress } from "../progress.ts"
import type { ArchiveView } from "./archive-view.ts"

export interface Difference {
  /** What became of the document from the first archive to the second. */
  readonly change: "added" | "removed" | "changed"
  readonly id: string
}

type Documents = Pick<ArchiveView, "documentCount" | "documents">

/** Documents whose hashes are in memory at a time, about 100 MB: archives that hold more are read several times over, each
 *  time for another part of the ids. */
const DOCUMENTS_PER_PASS = 500_000

/** The documents that differ between two archives of any format, in no particular order: in fields (also in the order of
 *  their keys) or in vectors. Memory does not grow with the archives. */
export async function* diffArchives(
  before: Documents,
  after: Documents,
  options: {
    readonly createSha256: () => Sha256
    readonly signal?: AbortSignal
    readonly onProgress?: (progress: Progress) => void
    readonly documentsPerPass?: number
  },
): AsyncGenerator<Difference> {
  const { signal, onProgress, documentsPerPass = DOCUMENTS_PER_PASS } = options
  const passes = Math.max(1, Math.ceil(before.documentCount / documentsPerPass))
  const total = passes * (before.documentCount + after.documentCount)
  let done = 0
  const read = async function* (archive: Documents, pass: number) {
    let count = 0
    for await (const line of archive.documents()) {
      // What is in memory rests on the number of passes, and that on what the archive says.
      if (++count > archive.documentCount) {
        throw new PrismError(
          "CORRUPT",
          `the archive holds more than the ${archive.documentCount} documents that it says`,
          {
            hint: "the file was changed after it was written: copy it again, or use another backup",
          },
        )
      }
      const document = fingerprint(line, options.createSha256)
      if (++done % DOCUMENTS_PER_PAUSE === 0) {
        await letOthersRun()
        signal?.throwIfAborted()
        onProgress?.({ stage: "comparing", unit: "documents", done, total })
      }
      if (crc32c(encodeUtf8(document.id)) % passes === pass) yield document
    }
  }
  for (let pass = 0; pass < passes; pass++) {
    const unseen = new Map<string, string>()
    for await (const { id, hash } of read(before, pass)) unseen.set(id, hash)
    for await (const { id, hash } of read(after, pass)) {
      const former = unseen.get(id)
      unseen.delete(id)
      if (former === undefined) yield { change: "added", id }
      else if (former !== hash) yield { change: "changed", id }
    }
    for (const id of unseen.keys()) yield { change: "removed", id }
  }
}

const DOCUMENTS_PER_PAUSE = 512

/** Of what a document says, however its line is spelled. */
function fingerprint(line: Uint8Array, createSha256: () => Sha256): { id: string; hash: string } {
  const text = tryDecodeUtf8(line)
  if (text === undefined) throw new PrismError("INVALID_FORMAT", "a document is not valid UTF-8")
  const document = parseDocumentLine(text)
  const sha256 = createSha256()
  sha256.update(encodeUtf8(document.fieldsJson([])))
  if (document.vector) sha256.update(encodeUtf8(stringifyJson(document.vector)))
  return { id: document.id, hash: sha256.digestHex().slice(0, HASH_DIGITS) }
}

/** 128 bits: two documents that differ have one hash with a probability that is none. */
const HASH_DIGITS = 32
