// What programs in JavaScript ask for, before anything is done: TypeScript has seen it already.
import { PrismError } from "../../base/errors.ts"
import type { Key } from "../../formats/key.ts"
import type { ArchiveSource, ExportOptions } from "./options.ts"

const FORMATS: readonly unknown[] = ["portable", "snapshot"]

/** INVALID_REQUEST, or INVALID_KEY. */
export function checkExport(sink: WritableStream<Uint8Array>, { format, encryption }: ExportOptions): void {
  if (typeof (sink as Partial<WritableStream> | null)?.getWriter !== "function") {
    throw invalid("an export goes into a Web stream", "of a Node stream: Writable.toWeb(stream)")
  }
  checkFormat(format)
  if (encryption === undefined) return
  checkKeys(encryption?.keys)
  if (encryption.keys.length === 0) throw noKey()
  if (format === "portable") {
    throw invalid("what is encrypted is a snapshot, not a portable archive", "leave the format out")
  }
  if (![undefined, 1, 2].includes(encryption.version)) {
    throw invalid(`there is no version ${encryption.version} of the encrypted format`, "it is 2 (default) or 1")
  }
}

export function checkSource(
  source: ArchiveSource,
  { format, keys = [] }: { readonly format?: unknown; readonly keys?: readonly Key[] | undefined },
): void {
  const file = source as { readonly size?: unknown; readonly read?: unknown } | null
  const isFile = typeof file?.size === "number" && typeof file.read === "function"
  if (!(source instanceof ReadableStream) && !isFile) {
    throw invalid(
      "an archive comes as a Web stream of bytes, or as something that has a size and a read",
      "of a Node stream: Readable.toWeb(stream)",
    )
  }
  checkFormat(format)
  checkKeys(keys)
}

function checkFormat(format: unknown): void {
  if (format === undefined || FORMATS.includes(format)) return
  throw invalid(`${JSON.stringify(format)} is no format of an archive`, 'it is "portable" or "snapshot"')
}

function checkKeys(keys: unknown): void {
  if (!Array.isArray(keys)) throw noKey()
  for (const key of keys as (Partial<Record<string, unknown>> | null)[]) {
    const isRaw = key?.["kind"] === "raw" && key["bytes"] instanceof Uint8Array
    if (!isRaw && !(key?.["kind"] === "passphrase" && typeof key["passphrase"] === "string")) throw noKey()
  }
}

function noKey(): PrismError {
  return new PrismError("INVALID_KEY", "keys is a list of keys", {
    place: "keys",
    hint: 'a key is what parseKey gives, or { kind: "passphrase", passphrase: "…" }',
  })
}

function invalid(message: string, hint: string): PrismError {
  return new PrismError("INVALID_REQUEST", message, { hint })
}
