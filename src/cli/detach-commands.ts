// Taking a collection out of a running server, and bringing it back into one.
import { isLoopback } from "../api/loopback.ts"
import { NAME, PROGRESS } from "./arguments.ts"
import { command } from "./command.ts"
import type { Context } from "./context.ts"
import { formatBytes, plural, printable } from "./format.ts"
import { usageError } from "./parse.ts"
import { finishJob } from "./remote-collections.ts"
import { anyServer } from "./server.ts"

const WHICH_SERVER =
  "The server is the one of --api-url or PRISM_API_URL, else the one that holds the data directory of -d or " +
  "PRISM_DATA_DIR, else http://localhost:3080. Paths are the server's own, below its backup roots; where it runs on this " +
  "machine, a path that is not absolute starts at the folder of the command."

export const detachCommand = command({
  name: "detach",
  description: "Take a collection out of a running server, behind a snapshot of it",
  details: [
    "The collection takes no writes from the beginning on. Once its snapshot is written and verified, it is unloaded and " +
      "its memory given back. Its data is kept, out of service, or deleted with --delete-data. Until then a failure, or " +
      "Ctrl-C, leaves the collection as it was.",
    WHICH_SERVER,
  ],
  examples: [
    ["prism collection detach --name logs-2024 --output /backup/logs-2024.tar.zst", "its data stays, out of service"],
    ["prism collection detach logs-2024 -o /backup/logs-2024.tar.zst --delete-data", "room on the disk"],
  ],
  args: {
    collection: NAME,
    output: {
      type: "string",
      alias: "o",
      valueHint: "FILE",
      required: true,
      description: "Where the server writes the snapshot",
    },
    "delete-data": { type: "boolean", description: "Delete the data once the snapshot is verified" },
    force: { type: "boolean", description: "Replace a file that is no archive of Prism" },
    progress: PROGRESS,
  },
  async run(context, { collection, output, "delete-data": deleteData, force, progress }) {
    const { url, client } = await anyServer(context)
    const path = await pathOn(context, url, output)
    const body = {
      destination: { type: "file" as const, path },
      delete_data: deleteData === true,
      overwrite: force === true,
      wait: false as const,
    }
    const job = await client.detach({ collection, body, signal: context.signal })
    const display = context.progress(progress)
    const report = await finishJob(job, context.signal, display?.update.bind(display))
    context.endProgress()
    if (context.json) await context.printJson({ success: true, ...report })
    else {
      const { document_count, size_bytes, file_sha256 } = report.metadata
      await context.print(
        [
          `Detached "${collection}" with ${plural(document_count, "document")}: ${
            report.data_deleted ? "its data is deleted" : "its data is kept, out of service"
          }`,
          `Snapshot:                  ${printable(path)} (${formatBytes(size_bytes)})`,
          `SHA-256 of the file:       ${file_sha256}`,
        ].join("\n"),
      )
    }
    return 0
  },
})

export const attachCommand = command({
  name: "attach",
  description: "Bring a collection into a running server: an archive, or what a detach kept",
  details: [
    "An archive is read and checked aside; only when all of it is right does the collection appear. With --name and no " +
      "archive the kept data of a detached collection is loaded again, as it was: prism collection list --all shows them.",
    WHICH_SERVER,
  ],
  examples: [
    ["prism collection attach --input /backup/logs-2024.tar.zst", "under the name in the archive"],
    ["prism collection attach -i /backup/logs-2024.tar.zst --target logs-restored", "under another name"],
    ["prism collection attach --name logs-2024", "from what the detach kept"],
  ],
  args: {
    input: { type: "string", alias: "i", valueHint: "FILE", description: "The archive, a file of the server" },
    target: {
      type: "string",
      alias: "t",
      also: "target-collection",
      valueHint: "NAME",
      description: "Name of the collection (else the one in the archive)",
    },
    name: { type: "string", alias: "n", valueHint: "NAME", description: "Detached collection to bring back" },
    progress: PROGRESS,
  },
  async run(context, { input, target, name, progress }) {
    if ((input === undefined) === (name === undefined)) {
      throw usageError(
        input === undefined ? "Nothing to attach is given" : "--input and --name exclude each other",
        "name an archive with --input FILE, or a detached collection with --name NAME",
      )
    }
    if (name !== undefined && target !== undefined) {
      throw usageError("--name and --target exclude each other", "a detached collection comes back under its own name")
    }
    const { url, client } = await anyServer(context)
    const source = input === undefined ? null : { type: "file" as const, path: await pathOn(context, url, input) }
    const body = { source, target_collection: name ?? target ?? null, wait: false as const }
    const job = await client.attach({ body, signal: context.signal })
    const display = context.progress(progress)
    const report = await finishJob(job, context.signal, display?.update.bind(display))
    context.endProgress()
    if (context.json) await context.printJson({ success: true, ...report })
    else {
      const { collection, files_extracted, bytes_extracted } = report
      const from = source
        ? `from ${printable(source.path)} (${plural(files_extracted, "file")}, ${formatBytes(bytes_extracted)})`
        : "from the data that was kept"
      await context.print(`Attached "${collection}" ${from}`)
    }
    return 0
  },
})

/** A path as the server takes it. @throws PrismError USAGE where it is not absolute, and the server is another machine */
async function pathOn({ runtime }: Context, url: string, path: string): Promise<string> {
  if (path === "" || path === "-") throw usageError("A file of the server is needed", "name one, by its whole path")
  if (/^([A-Za-z]:)?[/\\]/.test(path)) return path
  if (!isLoopback(new URL(url).hostname.replace(/^\[|\]$/g, ""))) {
    throw usageError(`${path} is not a whole path`, `it is one of the server ${url}, whose working folder is its own`)
  }
  return `${await runtime.files.realPath(".")}/${path}`
}
