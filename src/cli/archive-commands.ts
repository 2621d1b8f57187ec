import { encodeUtf8 } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { type Difference, diffArchives } from "../collection/archive/diff.ts"
import { viewArchive } from "../collection/archive/view-archive.ts"
import type { Key } from "../formats/key.ts"
import type { RandomAccess } from "../runtime.ts"
import { PROGRESS } from "./arguments.ts"
import { command, group } from "./command.ts"
import type { Context } from "./context.ts"
import { facts, formatBytes, formatCount, plural, printable, table } from "./format.ts"
import { KEY_FILE, PASSPHRASE_FILE, readKeys } from "./key-file.ts"

const ARCHIVE = { type: "positional", valueHint: "FILE", description: "An archive of any format" } as const
const KEYS = { "key-file": KEY_FILE, "passphrase-file": PASSPHRASE_FILE } as const

const list = command({
  name: "ls",
  description: "Show what an archive holds, without restoring it",
  examples: [
    ["prism archive ls products.tar.zst", "its collection, when it was made, its entries"],
    ["prism archive ls products.enc --key-file products.key --json | jq .document_count", "for a script"],
  ],
  args: { file: ARCHIVE, ...KEYS },
  async run(context, args) {
    const keys = await keysOf(context, args)
    await using file = await openFile(context, args.file)
    await using archive = await viewArchive(file, keys, context.runtime)
    const { format, collection, documentCount, exportedAt, prismVersion, entries } = archive
    if (context.json) {
      await context.printJson({
        ...{ format, collection, document_count: documentCount },
        ...{ exported_at: exportedAt ?? null, prism_version: prismVersion ?? null },
        entries: entries.map(({ name, size }) => ({ name, size: size ?? null })),
      })
      return 0
    }
    if (!context.globals.quiet) {
      await context.print(
        `${facts([
          ["Collection", printable(collection)],
          ["Format", format],
          ["Documents", formatCount(documentCount)],
          // A snapshot is the same whenever it is made: it tells when its documents were last changed.
          [format === "portable" ? "Exported" : "State of", printable(exportedAt ?? "unknown")],
          ["By Prism", printable(prismVersion ?? "unknown")],
        ]).trimEnd()}\n`,
      )
    }
    const header = [{ title: "ENTRY" }, { title: "SIZE", align: "right" }] as const
    const body = entries.map(({ name, size }) => [printable(name), size === undefined ? "-" : formatBytes(size)])
    await context.print(table(header, body))
    return 0
  },
})

const cat = command({
  name: "cat",
  description: "Write one entry of an archive to stdout, without restoring it",
  details: [
    "Every archive, a snapshot too, has the entry documents.jsonl: its documents as JSON lines, as prism document import " +
      "takes them. Where the collection has a graph there is graph.jsonl too: the nodes and edges that no document brings.",
  ],
  examples: [
    ["prism archive cat products.tar.zst schema.yaml", "the schema"],
    ["prism archive cat products.tar.zst documents.jsonl | jq -r .id", "the ids of a snapshot's documents"],
  ],
  args: {
    file: ARCHIVE,
    entry: { type: "positional", valueHint: "ENTRY", description: "As prism archive ls shows it" },
    ...KEYS,
  },
  async run(context, args) {
    const keys = await keysOf(context, args)
    await using file = await openFile(context, args.file)
    await using archive = await viewArchive(file, keys, context.runtime)
    await printBytes(context, archive.read(args.entry))
    return 0
  },
})

/** Lines of a difference are written together up to this size. */
const OUTPUT_BYTES = 64 * 1024

const diff = command({
  name: "diff",
  description: "Tell which documents, nodes and edges differ between two archives",
  details: [
    "Each line is a document: + ID is only in AFTER, - ID only in BEFORE, ~ ID in both, with other fields or another vector. " +
      "Nodes and edges that no document brings are named as such: + node ID, - edge FROM -TYPE-> TO. " +
      "The exit code is 0 where there is no difference, 1 where there is one. A key is tried on both archives.",
  ],
  examples: [
    ["prism archive diff monday.prism.jsonl tuesday.tar.zst", "what changed since"],
    [`prism archive diff a.enc b.enc --key-file k --json | jq -r 'select(.change == "removed").id'`, "for a script"],
  ],
  args: {
    before: { ...ARCHIVE, valueHint: "BEFORE" },
    after: { ...ARCHIVE, valueHint: "AFTER", description: "Another one, of any format too" },
    ...KEYS,
    progress: PROGRESS,
  },
  async run(context, args) {
    const keys = await keysOf(context, args)
    await using first = await openFile(context, args.before)
    await using second = await openFile(context, args.after)
    await using before = await viewArchive(first, keys, context.runtime)
    await using after = await viewArchive(second, keys, context.runtime)
    const display = context.progress(args.progress)
    const counts = { added: 0, removed: 0, changed: 0 }
    const hasGraph = before.graphLineCount !== undefined || after.graphLineCount !== undefined
    const differences = diffArchives(before, after, {
      createSha256: context.runtime.createSha256,
      signal: context.signal,
      ...(display && { onProgress: display.update.bind(display) }),
    })
    const lines = async function* () {
      let text = ""
      for await (const difference of differences) {
        counts[difference.change]++
        text += context.json ? `${JSON.stringify(difference)}\n` : `${SIGNS[difference.change]} ${nameOf(difference)}\n`
        if (text.length < OUTPUT_BYTES) continue
        yield encodeUtf8(text)
        text = ""
      }
      yield encodeUtf8(text)
    }
    await printBytes(context, lines())
    context.endProgress()
    const { added, removed, changed } = counts
    context.note(
      `${plural(added, hasGraph ? "record" : "document")} added, ${formatCount(removed)} removed, ${formatCount(changed)} changed`,
    )
    return added + removed + changed === 0 ? 0 : 1
  },
})

function nameOf({ kind, id }: Difference): string {
  return kind === "document" ? printable(id) : `${kind} ${printable(id)}`
}

const SIGNS = { added: "+", removed: "-", changed: "~" } as const

async function keysOf(
  context: Context,
  args: { "key-file": string | undefined; "passphrase-file": string | undefined },
): Promise<readonly Key[]> {
  return await readKeys(context, { keyFile: args["key-file"], passphraseFile: args["passphrase-file"] })
}

async function openFile({ runtime }: Context, path: string): Promise<RandomAccess & AsyncDisposable> {
  const file = path === "-" ? undefined : await runtime.files.open(path)
  if (file) return file
  throw new PrismError("INVALID_REQUEST", "only a file can be looked into, not a pipe", {
    place: path,
    hint: "write it to a file first",
  })
}

async function printBytes(context: Context, chunks: AsyncIterable<Uint8Array>): Promise<void> {
  for await (const bytes of chunks) {
    context.signal.throwIfAborted()
    if (bytes.length > 0) await context.runtime.terminal.stdout(bytes)
  }
}

export const archiveCommands = group({
  name: "archive",
  description: "Look into archives without restoring them",
  examples: [
    ["prism archive ls products.tar.zst", "what is in it"],
    ["prism archive diff monday.tar.zst tuesday.tar.zst", "what changed"],
  ],
  subCommands: [list, cat, diff],
})
