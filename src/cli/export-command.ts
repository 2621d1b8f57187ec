import { stringifyJson } from "../base/json.ts"
import type { EncryptionOptions, ExportReport } from "../collection/archive/options.ts"
import { checkReplaceable, checkRoomFor } from "../collection/archive/output-file.ts"
import { NAME, PROGRESS } from "./arguments.ts"
import { ChecksumFile, noteStaleChecksum } from "./checksum-file.ts"
import { command } from "./command.ts"
import type { Context } from "./context.ts"
import { countRecords } from "./count-records.ts"
import { formatBytes, printable } from "./format.ts"
import { KEY_FILE, PASSPHRASE_FILE, readKeys } from "./key-file.ts"
import { usageError } from "./parse.ts"
import { withCollections } from "./with-collections.ts"

interface Wanted {
  readonly format: "portable" | "snapshot"
  readonly isEncrypted: boolean
}

export const exportCommand = command({
  name: "export",
  description: "Write a collection to an archive",
  details: [
    "A portable archive (.prism.jsonl) holds every document, vector, node and edge as JSON lines behind a header with the schema, the " +
      "count and a SHA-256. It comes back on any version. A snapshot (.tar.zst) holds the index as it is: it comes back " +
      "without indexing anew, on a version that reads its files. An encrypted archive (.enc) is a snapshot that only its " +
      "key or passphrase opens. The name of the file tells which is meant, unless options do.",
    "The archive appears under its name only once it is whole. An archive of Prism that is there is replaced then; " +
      "any other file is left alone without --force.",
    "What was deleted or replaced is in no portable archive, but may be in a snapshot until segments are merged: --purge " +
      "merges them first.",
  ],
  examples: [
    ["prism collection export products -o backup/products.prism.jsonl", "portable"],
    [
      "prism collection export products -o backup/products.tar.zst --sha256",
      "a snapshot, and its hash for sha256sum -c",
    ],
    [
      "prism collection export products -o products.enc --key-file products.key",
      "encrypted; prism key generate makes a key",
    ],
    ["prism collection export products -o - | ssh host 'cat > products.prism.jsonl'", "through a pipe"],
    ["prism collection export -n products -o products.prism.jsonl --json | jq -r .checksum", "for a script"],
  ],
  args: {
    collection: NAME,
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      required: true,
      description: "Where the archive goes; - writes it to stdout",
    },
    format: {
      type: "enum",
      alias: "f",
      options: ["portable", "snapshot"],
      description: "Format of the archive (else by the name of the file; portable where that tells nothing)",
    },
    encrypt: { type: "boolean", description: "Encrypt it; a name that ends in .enc means the same" },
    "key-file": KEY_FILE,
    "passphrase-file": PASSPHRASE_FILE,
    "enc-version": {
      type: "enum",
      options: ["1", "2"],
      description: "Version of the encrypted format: 2 (default), or 1 for readers that know no other",
    },
    sha256: { type: "boolean", description: "Write FILE.sha256 beside it, for sha256sum -c" },
    purge: { type: "boolean", description: "Merge the segments first, so that nothing deleted is in the archive" },
    force: { type: "boolean", description: "Replace a file that is no archive of Prism" },
    progress: PROGRESS,
  },
  async run(context, args) {
    const { collection, output, purge } = args
    const { files, terminal } = context.runtime
    const wanted = whatIsWanted(args)
    const toStdout = output === "-"
    if (output === "") throw usageError("--output is empty", "name a file, or - for stdout")
    if (toStdout && args.sha256) throw usageError("--sha256 needs a file", "name one with -o, or hash what comes out")
    const keys = wanted.isEncrypted
      ? await readKeys(context, { keyFile: args["key-file"], passphraseFile: args["passphrase-file"] })
      : undefined
    const encryption: EncryptionOptions | undefined = keys && { keys, version: args["enc-version"] === "1" ? 1 : 2 }
    const force = args.force === true
    const replace = toStdout
      ? false
      : await checkReplaceable(context.runtime, output, { overwrite: force, hints: HINTS })
    const hashFile = args.sha256 ? await ChecksumFile.prepare(files, output, force) : undefined
    const report = await withCollections(context, purge ? "change" : "read", async (collections) => {
      const opened = await collections.collection(collection)
      const display = context.progress(args.progress)
      const watched = { signal: context.signal, ...(display && { onProgress: display.update.bind(display) }) }
      if (purge) await opened.optimize(watched)
      const sink = toStdout
        ? new WritableStream<Uint8Array>({ write: (chunk) => terminal.stdout(chunk) })
        : await files.write(output, { replace })
      return await opened.export(sink, {
        ...watched,
        format: wanted.format,
        ...(encryption && { encryption }),
        ...(!toStdout && { onSize: (bytes) => checkRoomFor(files, output, bytes) }),
      })
    })
    context.endProgress()
    if (hashFile) await hashFile.write(report.file_sha256)
    else if (!toStdout) await noteStaleChecksum(context, output)
    await tell(context, report, output)
    return 0
  },
})

function whatIsWanted(args: {
  output: string
  format: "portable" | "snapshot" | undefined
  encrypt: boolean | undefined
  "key-file": string | undefined
  "passphrase-file": string | undefined
  "enc-version": "1" | "2" | undefined
}): Wanted {
  const { output, format } = args
  const isEncrypted = args.encrypt === true || output.endsWith(".enc")
  if (isEncrypted && format === "portable") {
    throw usageError("An encrypted archive is a snapshot, not a portable one", "leave --format out")
  }
  for (const option of ["key-file", "passphrase-file", "enc-version"] as const) {
    if (!isEncrypted && args[option] !== undefined) {
      throw usageError(`--${option} is for encrypted archives`, "add --encrypt, or name the file .enc")
    }
  }
  if (isEncrypted && args["key-file"] === undefined && args["passphrase-file"] === undefined) {
    throw usageError(
      "An encrypted archive needs a key",
      "give --key-file (see prism key generate) or --passphrase-file",
    )
  }
  if (isEncrypted) return { format: "snapshot", isEncrypted }
  if (format === undefined && /\.(tar|tgz|gz|zip|xz|bz2|zst)$/.test(output) && !output.endsWith(".tar.zst")) {
    throw usageError(
      `The name ${output} is that of another kind of file`,
      "name it .prism.jsonl, .tar.zst or .enc, or say which format is meant with --format",
    )
  }
  return { format: format ?? (/\.(tar\.zst|tzst)$/.test(output) ? "snapshot" : "portable"), isEncrypted }
}

const HINTS = {
  overwrite: "choose another name, or replace it with --force",
  device: "use -o - for standard output",
}

async function tell(context: Context, report: ExportReport, output: string): Promise<void> {
  const toStdout = output === "-"
  const text = [
    `Exported ${countRecords(report.document_count, { nodes: report.node_count, edges: report.edge_count })} of "${report.collection}" to ${
      toStdout ? "standard output" : printable(output)
    } (${formatBytes(report.size_bytes)})`,
    report.format === "portable"
      ? `Checksum of the documents: ${report.checksum}`
      : `Checksum of its files:     ${report.checksum}`,
    `SHA-256 of the file:       ${report.file_sha256}`,
  ].join("\n")
  // Stdout holds the archive then, and nothing else.
  if (toStdout && context.json) context.warn(stringifyJson({ success: true, ...report, output_path: output }))
  else if (toStdout) context.note(text)
  else if (context.json) await context.printJson({ success: true, ...report, output_path: output })
  else await context.print(text)
}
