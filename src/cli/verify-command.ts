import { PrismError } from "../base/errors.ts"
import { verifyArchive } from "../collection/archive/verify.ts"
import type { Key } from "../formats/key.ts"
import { openArchiveFile } from "./archive-file.ts"
import { PROGRESS } from "./arguments.ts"
import { command } from "./command.ts"
import type { Context } from "./context.ts"
import { countRecords } from "./count-records.ts"
import { formatBytes, plural, printable } from "./format.ts"
import { KEY_FILE, PASSPHRASE_FILE, readKeys } from "./key-file.ts"
import { usageError } from "./parse.ts"
import { withCollections } from "./with-collections.ts"

export const verifyCommand = command({
  name: "verify",
  description: "Check an archive, or a collection, whole without changing anything",
  details: [
    "A path that exists is a file; anything else, and what --name gives, is the name of a collection. Of a collection every file is read and " +
      "compared with its checksum, every index is checked inside, and every document is looked up under its id.",
  ],
  examples: [
    ["prism collection verify backup/products.prism.jsonl", "an archive, before it is needed"],
    ["prism collection verify products.enc --key-file products.key", "an encrypted one"],
    ["prism collection verify products", "a collection, also while it is written to"],
  ],
  args: {
    subject: {
      type: "positional",
      valueHint: "FILE|NAME",
      description: "An archive, - for stdin, or the name of a collection",
      required: false,
    },
    name: {
      type: "string",
      alias: "n",
      valueHint: "NAME",
      description: "Name of the collection, also where a file is called so",
    },
    "key-file": KEY_FILE,
    "passphrase-file": PASSPHRASE_FILE,
    progress: PROGRESS,
  },
  async run(context, args) {
    const { subject, name, progress } = args
    if ((subject === undefined) === (name === undefined)) {
      throw usageError(
        subject === undefined ? "Missing FILE|NAME" : `Two things to verify are given: ${subject} and ${name}`,
        "name one file, or one collection",
      )
    }
    if (subject !== undefined && (await isFile(context, subject))) {
      const keys = await readKeys(context, { keyFile: args["key-file"], passphraseFile: args["passphrase-file"] })
      return verifyFile(context, subject, keys, progress)
    }
    const collection = name ?? subject!
    const report = await withCollections(context, "read", async (collections) => {
      const opened = await collections.collection(collection)
      const display = context.progress(progress)
      return await opened.verify({
        signal: context.signal,
        ...(display && { onProgress: (done) => display.update(done) }),
      })
    })
    context.endProgress()
    if (context.json) await context.printJson({ success: true, collection, ...report })
    else {
      const { documents, files, bytes } = report
      await context.print(
        `Collection "${collection}" is whole: ${plural(documents, "document")} in ${plural(files, "file")} of ${formatBytes(bytes)}`,
      )
    }
    return 0
  },
})

/** @throws PrismError FILE_NOT_FOUND for what can only be the path of a file, and is none */
async function isFile(context: Context, subject: string): Promise<boolean> {
  const { files } = context.runtime
  // A folder of the collection's name, say its sources, is no archive.
  if (subject === "-" || (!(await files.isDirectory(subject)) && (await files.size(subject)) !== undefined)) return true
  if (/[/\\]|\.(jsonl|enc|zst|tzst)$/.test(subject)) {
    throw new PrismError("FILE_NOT_FOUND", `There is no file ${subject}`, { hint: "check the path", place: subject })
  }
  return false
}

async function verifyFile(
  context: Context,
  path: string,
  keys: readonly Key[],
  progress: boolean | undefined,
): Promise<number> {
  await using archive = await openArchiveFile(context, path)
  const display = context.progress(progress)
  const report = await verifyArchive(
    archive.source,
    {
      keys,
      signal: context.signal,
      ...(archive.size !== undefined && { sizeBytes: archive.size }),
      ...(display && { onProgress: display.update.bind(display) }),
    },
    context.runtime,
  )
  context.endProgress()
  if (keys.length > 0 && report.format !== "encrypted") {
    context.note("Note: the archive is not encrypted; no key was needed")
  }
  if (context.json) {
    await context.printJson({ success: true, file: path, ...report })
    return 0
  }
  const { format, collection, document_count, size_bytes, checksum, header, file_sha256 } = report
  const counted = countRecords(document_count, { nodes: report.node_count, edges: report.edge_count })
  await context.print(
    [
      `${printable(archive.name)} is whole: ${counted} of collection "${collection}", ${formatBytes(size_bytes)}`,
      ...(format === "portable"
        ? [
            `Checksum of the documents: ${checksum}${checksum === "verified" ? "" : " (the archive has none)"}`,
            `Header of the archive:     ${header}${header === "verified" ? "" : " (it has no checksum of its own)"}`,
          ]
        : [`Checksum of its files:     ${checksum}`]),
      `SHA-256 of the file:       ${file_sha256}`,
    ].join("\n"),
  )
  return 0
}
