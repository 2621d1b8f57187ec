import { decodeUtf8Fatal } from "../../base/bytes.ts"
import { PrismError, type Problem } from "../../base/errors.ts"
import { parseJson } from "../../base/json.ts"
import type { EncryptionOptions, RestoreReport } from "../../collection/archive/options.ts"
import { type Key, normalizePassphrase, parseKey } from "../../formats/key.ts"
import { ARCHIVE_HEADERS } from "../archive-headers.ts"
import { assertMay } from "../caller.ts"
import type { QueryOf } from "../contract.ts"
import type { JobTools } from "../job.ts"
import type { Handlers } from "../service.ts"

/** Bad lines that an answer lists; it counts all. */
const PROBLEMS_LISTED = 1000
/** Characters of bad lines that an answer holds in all. */
const LINES_LENGTH = 16 * 1024 * 1024

/** Archives that clients without a disk of the server's send and get. They end with the connection. */
export const archiveStreamHandlers: Handlers<"downloadArchive" | "uploadArchive"> = {
  downloadArchive: async ({ path, query, request, signal }, { prism }) => {
    const encryption = encryptionOf(query, keysOf(request))
    const collection = await prism.collection(path.collection)
    const { readable, writable } = new TransformStream<Uint8Array, Uint8Array>()
    const name = `${path.collection}${ENDINGS[query.format]}`
    const answer = new Response(readable, {
      headers: { "content-type": "application/octet-stream", "content-disposition": `attachment; filename="${name}"` },
    })
    const exported = collection.export(writable, {
      signal,
      // Before the first byte: the head is not sent yet.
      onSize: (bytes, { document_count, checksum }) => {
        answer.headers.set(ARCHIVE_HEADERS.bytes, String(bytes))
        answer.headers.set(ARCHIVE_HEADERS.documentCount, String(document_count))
        answer.headers.set(ARCHIVE_HEADERS.checksum, checksum)
      },
      ...(encryption ? { encryption } : { format: query.format === "snapshot" ? "snapshot" : "portable" }),
    })
    // The stream fails with it.
    exported.catch(() => {})
    return answer
  },

  uploadArchive: async ({ path, query, request, caller, signal }, { prism, jobs }) => {
    const { format, mode, on_bad_line, where, ids, dry_run = false } = query
    const ownName = path.collection === "-"
    // Which name that is tells the archive alone.
    if (ownName) assertMay(caller, "admin")
    const problems: (Problem & { line?: string })[] = []
    let linesLength = 0
    const source = (request.body ?? new Blob([]).stream()) as ReadableStream<Uint8Array>
    const restore = async (tools: JobTools) =>
      await prism.restore(source, {
        mode,
        signal: AbortSignal.any([signal, tools.signal]),
        onProgress: tools.onProgress,
        dryRun: dry_run,
        keys: keysOf(request),
        ...(!ownName && { target: path.collection }),
        ...(format && { format }),
        ...(where !== undefined && { where }),
        ...(ids !== undefined && { ids: idsOf(ids) }),
        ...(on_bad_line === "skip" && {
          onBadLine: (problem: Problem, line: string | undefined) => {
            if (problems.length === PROBLEMS_LISTED) return
            linesLength += line?.length ?? 0
            problems.push({ ...problem, ...(line !== undefined && linesLength <= LINES_LENGTH && { line }) })
          },
        }),
      })
    // A restore takes the memory of one, so no more run at once than may.
    const about = {
      kind: "uploadArchive",
      collection: ownName ? null : path.collection,
      started_by: caller.name,
    } as const
    const job = jobs.start(about, restore)
    const report = (await jobs.wait(job)) as RestoreReport
    return { success: true, ...report, ids_missing: [...report.ids_missing], warnings: [...report.warnings], problems }
  },
}

const ENDINGS = { portable: ".prism.jsonl", snapshot: ".tar.zst", encrypted: ".enc" }

/** Keys are in headers: addresses are logged. */
function keysOf({ headers }: Request): Key[] {
  const keys: Key[] = []
  const key = headers.get("prism-key")
  if (key !== null) keys.push(parseKey(key))
  const passphrase = headers.get("prism-passphrase")
  // Refused here, not when the first bytes are out.
  if (passphrase !== null)
    keys.push({ kind: "passphrase", passphrase: normalizePassphrase(decodePassphrase(passphrase)) })
  return keys
}

/** A header holds no other text than ASCII for sure. */
function decodePassphrase(base64: string): string {
  try {
    const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0))
    return decodeUtf8Fatal(bytes, "prism-passphrase")
  } catch {
    throw new PrismError("INVALID_KEY", "the header Prism-Passphrase is not base64 of UTF-8", {
      hint: "for example: printf %s 'the passphrase' | base64",
    })
  }
}

function encryptionOf(query: QueryOf<"downloadArchive">, keys: Key[]): EncryptionOptions | undefined {
  const isEncrypted = query.format === "encrypted"
  if (isEncrypted && keys.length === 0) {
    throw new PrismError("INVALID_KEY", "an encrypted archive needs a key", {
      hint: "give it in the header Prism-Key, or a passphrase in Prism-Passphrase",
    })
  }
  if (isEncrypted) return { keys, version: query.enc_version === "1" ? 1 : 2 }
  if (keys.length > 0 || query.enc_version !== undefined) {
    throw new PrismError("INVALID_REQUEST", "a key is given for an archive that is not encrypted", {
      hint: "ask for format=encrypted",
    })
  }
  return undefined
}

function idsOf(text: string): string[] {
  const ids = parseJson(text, { code: "INVALID_REQUEST", place: "ids" })
  if (Array.isArray(ids) && ids.length > 0 && ids.every((id) => typeof id === "string")) return ids
  throw new PrismError("INVALID_REQUEST", "ids is not a list of ids", { place: "ids", hint: 'for example ["a","b"]' })
}
