import { PrismError, type Problem } from "../base/errors.ts"
import { chunksOf, readText } from "../base/streams.ts"
import type { RestoreReport } from "../collection/archive/options.ts"
import { checkCollectionName } from "../collection/schema.ts"
import { openArchiveFile } from "./archive-file.ts"
import { PROGRESS } from "./arguments.ts"
import { BadLinesFile } from "./bad-lines-file.ts"
import { command } from "./command.ts"
import type { Context } from "./context.ts"
import { countRecords } from "./count-records.ts"
import { formatBytes, plural, printable } from "./format.ts"
import { KEY_FILE, PASSPHRASE_FILE, readKeys } from "./key-file.ts"
import { usageError } from "./parse.ts"
import { settle } from "./settle.ts"
import { withCollections } from "./with-collections.ts"

const FORMATS = ["portable", "snapshot"] as const
type Format = (typeof FORMATS)[number]

export const restoreCommand = command({
  name: "restore",
  description: "Bring a collection back from an archive",
  details: [
    "The archive is read and checked aside; only when all of it is right does the collection appear, whole. Which format " +
      "it has is told by its first bytes, not by its name. A snapshot comes back as it was; a portable archive is indexed.",
    "With --where or --ids only those documents come back.",
    "The data directory is made where there is none (./data by default).",
  ],
  examples: [
    ["prism collection restore -f backup/products.prism.jsonl", "under the name in the archive"],
    ["prism collection restore -f backup/products.tar.zst --target-collection products-2", "under another name"],
    ["prism collection restore -f products.enc --key-file products.key --dry-run", "would it come back?"],
    [
      "zstd -dc products.prism.jsonl.zst | prism collection restore -f - --replace",
      "through a pipe, over the one there",
    ],
    ["prism collection restore -f products.tar.zst -t cheap --where 'price:[0 TO 10]'", "a part of it"],
    ["prism collection restore -f old.prism.jsonl --on-bad-line skip", "without the lines that the schema refuses"],
  ],
  args: {
    file: {
      type: "string",
      alias: "f",
      valueHint: "FILE",
      description: "The archive; - reads stdin. Beside -i: its format",
    },
    input: { type: "string", alias: "i", valueHint: "FILE", description: "The archive; - reads stdin" },
    "target-collection": {
      type: "string",
      alias: "t",
      also: "target",
      valueHint: "NAME",
      description: "Name of the restored collection (else the one in the archive)",
    },
    format: { type: "enum", options: FORMATS, description: "Format that the archive must have" },
    "key-file": KEY_FILE,
    "passphrase-file": PASSPHRASE_FILE,
    replace: { type: "boolean", description: "Replace the collection if it is there" },
    merge: {
      type: "boolean",
      description: "Add to the collection if it is there; a document of the same id is replaced",
    },
    "on-bad-line": {
      type: "enum",
      options: ["fail", "skip"],
      description:
        "What to do with a line that the schema refuses: fail (default), or skip it into FILE.bad-lines.jsonl (of a pipe: restore.bad-lines.jsonl)",
    },
    where: { type: "string", valueHint: "QUERY", description: "Only documents that match" },
    ids: { type: "string", valueHint: "FILE", description: "Only documents with the ids in a file, one a line" },
    "dry-run": { type: "boolean", description: "Do all but make the collection visible" },
    progress: PROGRESS,
  },
  async run(context, args) {
    const { runtime, signal } = context
    const { path, format } = archiveArgument(args.file, args.input, args.format)
    if (args.replace && args.merge) throw usageError("--replace and --merge exclude each other", "choose one of them")
    if (args.where !== undefined && args.ids !== undefined) {
      throw usageError("--where and --ids exclude each other", "choose one of them")
    }
    const target = args["target-collection"]
    if (target !== undefined) checkCollectionName(target)
    const ids = args.ids === undefined ? undefined : await readIds(context, args.ids)
    const badLines = args["on-bad-line"] === "skip" ? await BadLinesFile.prepare(runtime.files, path) : undefined
    const keys = await readKeys(context, { keyFile: args["key-file"], passphraseFile: args["passphrase-file"] })
    // Before the data directory is made: a refused command leaves nothing.
    await using archive = await openArchiveFile(context, path)
    try {
      const report = await withCollections(context, "make", async (collections) => {
        const display = context.progress(args.progress)
        const report = await collections.restore(archive.source, {
          mode: args.replace ? "replace" : args.merge ? "merge" : "fail",
          signal,
          keys,
          dryRun: args["dry-run"] === true,
          ...(format !== undefined && { format }),
          ...(target !== undefined && { target }),
          ...(args.where !== undefined && { where: args.where }),
          ...(ids && { ids }),
          ...(badLines && { onBadLine: (problem: Problem, line: string | undefined) => badLines.add(problem, line) }),
          ...(archive.size !== undefined && { sizeBytes: archive.size }),
          ...(display && { onProgress: display.update.bind(display) }),
        })
        if (args.merge && !args["dry-run"])
          await settle(context, await collections.collection(report.collection), display)
        return report
      })
      context.endProgress()
      await badLines?.close()
      return await reportRestore(context, report, {
        badLinesPath: badLines?.path,
        isDryRun: args["dry-run"] === true,
        hasKeys: keys.length > 0,
      })
    } catch (error) {
      await badLines?.abort()
      throw error
    }
  },
})

const IDS_BYTES_MAX = 64 * 1024 * 1024

async function readIds(context: Context, path: string): Promise<string[]> {
  const { name, stream } = await context.openInput(path)
  const lines = (await readText(chunksOf(stream), IDS_BYTES_MAX, name)).split(/\r?\n/)
  const ids = lines.filter((line) => line !== "")
  if (ids.length > 0) return ids
  throw new PrismError("INVALID_REQUEST", `${name} holds no ids`, { place: name, hint: "write one id a line" })
}

async function reportRestore(
  context: Context,
  report: RestoreReport,
  { badLinesPath, isDryRun, hasKeys }: { badLinesPath: string | undefined; isDryRun: boolean; hasKeys: boolean },
): Promise<number> {
  const { documents_skipped: skipped, ids_missing: missing, warnings } = report
  for (const warning of warnings) context.note(`Note: ${printable(warning)}`)
  if (hasKeys && report.format !== "encrypted") context.note("Note: the archive is not encrypted; no key was needed")
  if (context.json) {
    const { ids_missing: _, ...rest } = report
    await context.printJson({
      success: skipped === 0 && missing.length === 0,
      ...rest,
      ...(isDryRun && { dry_run: true }),
      ...(missing.length > 0 && { ids_missing: missing }),
      ...(skipped > 0 && { bad_lines_file: badLinesPath }),
    })
  } else {
    const { nodes_imported: nodes, edges_imported: edges } = report
    const counted = countRecords(report.documents_imported, { nodes, edges })
    const isPortable = report.format === "portable"
    const files = `${plural(report.files_extracted, "file")}, ${formatBytes(report.bytes_extracted)}`
    await context.print(
      [
        `${isDryRun ? "Would restore" : "Restored"} ${counted} into "${report.collection}"${report.files_extracted === 0 ? "" : ` (${files})`}`,
        isPortable
          ? `Checksum of the documents: ${report.checksum}${report.checksum === "verified" ? "" : " (the archive has none)"}`
          : `Checksum of its files:     ${report.checksum}`,
        ...(report.header === "verified"
          ? []
          : ["Header of the archive:     not verified (it has no checksum of its own)"]),
        `SHA-256 of the file:       ${report.file_sha256}`,
      ].join("\n"),
    )
  }
  if (skipped > 0) {
    throw new PrismError("PARTIAL", `${plural(skipped, "bad line was", "bad lines were")} skipped`, {
      hint: `they are in ${badLinesPath}, with their numbers and reasons`,
    })
  }
  if (missing.length > 0) {
    const shown = missing.slice(0, IDS_SHOWN).join(", ")
    throw new PrismError("PARTIAL", `${plural(missing.length, "id is", "ids are")} not in the archive: ${shown}`, {
      hint: missing.length > IDS_SHOWN ? "--json lists them all" : "check how they are spelled",
    })
  }
  return 0
}

/** Of the ids that are missing. */
const IDS_SHOWN = 10

/** -f and -i are two spellings of the archive; but beside -i, -f portable is its format. */
function archiveArgument(
  file: string | undefined,
  input: string | undefined,
  format: Format | undefined,
): { path: string; format: Format | undefined } {
  if (input !== undefined && file !== undefined) {
    const other = FORMATS.find((name) => name === file)
    if (!other) throw usageError(`Two archives are given: ${file} and ${input}`, "give one of -f and -i")
    if (format !== undefined && format !== other) throw usageError("Two formats are given", "give one of them")
    return { path: input, format: other }
  }
  const path = input ?? file
  if (path === undefined || path === "") {
    throw usageError("No archive is given", "name the archive with -f FILE; - reads stdin")
  }
  return { path, format }
}
