import { ERROR_CODES, PrismError, type Problem } from "../base/errors.ts"
import { type RestoreReport, verifyArchive } from "../collection/archive.ts"
import type { Prism } from "../collection/prism.ts"
import type { Progress } from "../collection/progress.ts"
import { checkCollectionName, parseSchema, type Schema } from "../collection/schema.ts"
import { checkExportName, checkReplaceable, ONLY_PORTABLE, openArchive } from "./archive-file.ts"
import { NAME, PROGRESS } from "./arguments.ts"
import { BadLinesFile } from "./bad-lines-file.ts"
import { command, group } from "./command.ts"
import type { Context } from "./context.ts"
import { facts, formatBytes, formatCount, plural, printable, table } from "./format.ts"
import { describeStorage } from "./index-commands.ts"
import { readLines } from "./lines.ts"
import { usageError } from "./parse.ts"
import { settle } from "./settle.ts"
import { chunksOf, readText } from "./streams.ts"

const SCHEMA_BYTES_MAX = 16 * 1024 * 1024

const LATER_FORMATS = {
  snapshot: ONLY_PORTABLE,
  encrypted: ONLY_PORTABLE,
} as const

const list = command({
  name: "list",
  description: "List the collections",
  details: [
    "With --quiet only the names are printed. A collection that cannot be opened, because it is damaged or of another " +
      "version, is listed with the reason (in JSON as the member error); the others are listed all the same, and the " +
      "command ends with the exit code of that reason, such as 5 for damage.",
  ],
  examples: [
    ["prism collection list", "what is there"],
    ["prism collection list --json | jq -r '.[].name'", "their names, for a script"],
  ],
  args: {},
  async run(context) {
    const collections = await context.withPrism("read", (prism) => prism.listCollections())
    if (context.json) {
      await context.printJson(
        collections.map(({ name, document_count, size_bytes, backends, error }) =>
          error ? { name, error } : { name, document_count, size_bytes, backends },
        ),
      )
    } else if (collections.length === 0) {
      context.note("There are no collections yet. Make one with: prism collection create NAME --schema FILE")
    } else if (context.globals.quiet) {
      await context.print(collections.map(({ name }) => `${name}\n`).join(""))
    } else {
      const header = [
        { title: "NAME" },
        { title: "DOCUMENTS", align: "right" },
        { title: "SIZE", align: "right" },
        { title: "BACKENDS" },
      ] as const
      const body = collections.map(({ name, document_count, size_bytes, backends, error }) =>
        error
          ? [name, "-", "-", `${error.code}: ${printable(error.message)}`]
          : [name, formatCount(document_count), formatBytes(size_bytes), backendNames(backends)],
      )
      await context.print(table(header, body))
    }
    const [first, ...others] = collections.flatMap(({ name, error }) => (error ? [{ name, ...error }] : []))
    if (first === undefined) return 0
    // Whoever looks after a hundred collections shall not have to read the list to learn that one of them is lost.
    const more =
      others.length === 0 ? "" : `, nor ${plural(others.length, "other")} of ${formatCount(collections.length)}`
    throw new PrismError(first.code, `collection "${first.name}" cannot be opened${more}: ${first.message}`, {
      hint:
        `look closer with prism collection verify ${first.name}` +
        // What merely may not be read, or is of another version, is not lost.
        (ERROR_CODES[first.code].exit === 5 ? ", or restore it with --replace from its last export" : ""),
    })
  },
})

const create = command({
  name: "create",
  description: "Make an empty collection",
  details: [
    "A schema names the fields that are searched, each with a type: text (words), string (matched whole), i64, u64, f64, " +
      "bool, date or bytes. A field may hold an array of its type. Fields of a document that the schema does not name are " +
      "kept, but not searched. Vectors need the key backends.vector with embedding_field, dimension and distance (cosine, " +
      "dot or euclidean).",
    "The data directory is made where there is none (./data by default).",
  ],
  examples: [
    ["prism collection create products --schema products.yaml", "from a schema in a file"],
    [
      `echo '{"backends":{"text":{"fields":[{"name":"title","type":"text"}]}}}' | prism collection create products -s -`,
      "from a schema on stdin, here the smallest",
    ],
  ],
  args: {
    collection: NAME,
    schema: {
      type: "string",
      alias: "s",
      valueHint: "FILE",
      required: true,
      description: "Schema in YAML or JSON; - reads stdin",
    },
  },
  async run(context, { collection, schema }) {
    const { name, stream } = await context.openInput(schema)
    const text = await readText(chunksOf(stream), SCHEMA_BYTES_MAX, name)
    if (text.trim() === "") {
      throw new PrismError("INVALID_SCHEMA", `${name} is empty`, {
        hint: "a schema names at least one field",
        place: name,
      })
    }
    // Before the data directory is made: a refused command leaves nothing.
    checkCollectionName(collection)
    parseSchema(text, { from: "user" })
    const directory = await context.withPrism("make", async (prism, directory) => {
      await prism.createCollection(collection, text)
      return directory
    })
    if (context.json) await context.printJson({ collection, status: "created", data_directory: directory })
    else await context.print(`Created collection "${collection}" in ${printable(directory)}`)
    return 0
  },
})

const inspect = command({
  name: "inspect",
  description: "Show the size and the fields of a collection",
  examples: [
    ["prism collection inspect products", "size, backends and fields"],
    ["prism collection inspect products -v", "segments, log and every setting too"],
  ],
  args: {
    collection: NAME,
    verbose: { type: "boolean", alias: "v", description: "Show everything that is known" },
  },
  async run(context, { collection, verbose }) {
    const { stats, schema } = await context.withPrism("read", async (prism) => {
      const opened = await prism.collection(collection)
      return { stats: await opened.stats(), schema: opened.schema }
    })
    const { name, document_count, size_bytes, backends } = stats
    if (context.json) {
      await context.printJson({
        ...{ name, document_count, size_bytes, backends },
        ...describeSchema(schema),
        ...(verbose && { stats, schema: schema.source }),
      })
      return 0
    }
    const lines: [string, string][] = [
      ["Collection", name],
      ...(schema.description === undefined ? [] : [["Description", printable(schema.description)] as [string, string]]),
      ["Documents", formatCount(document_count)],
      ["Size", formatBytes(size_bytes)],
      ["Backends", backendNames(backends)],
    ]
    if (schema.vector) {
      const { embeddingField, dimension, distance, hnswM, hnswEfConstruction, hnswEfSearch } = schema.vector
      lines.push(["Vectors", `${printable(embeddingField)}: ${formatCount(dimension)} dimensions, ${distance}`])
      if (verbose) lines.push(["HNSW", `M ${hnswM}, ef ${hnswEfConstruction} to build, ${hnswEfSearch} to search`])
    }
    const quota = describeQuota(schema)
    if (quota !== undefined) lines.push(["Quota", quota])
    if (verbose) lines.push(...describeStorage(stats))
    await context.print(facts(lines))
    if (schema.text && schema.text.fields.length > 0) {
      const header = ["FIELD", "TYPE", "INDEXED", "STORED", "ANALYZER"].map((title) => ({ title }))
      const body = schema.text.fields.map((field) => [
        printable(field.name),
        field.type,
        field.indexed ? "yes" : "no",
        field.stored ? "yes" : "no",
        field.type === "text" ? field.analyzer.name : "",
      ])
      await context.print(`\n${table(header, body)}`)
    }
    if (verbose) await context.print(`\nSchema:\n${indent(schema.source)}`)
    return 0
  },
})

const exportCommand = command({
  name: "export",
  description: "Write a collection to an archive",
  details: [
    "The portable archive (.prism.jsonl) holds every document and vector as JSON lines behind a header with the " +
      "schema, the count and a SHA-256. It comes back on any version.",
    "The archive appears under its name only once it is whole. An archive of Prism that is there is replaced then; " +
      "any other file is left alone without --force.",
  ],
  examples: [
    ["prism collection export products -o backup/products.prism.jsonl", "to a file"],
    ["prism collection export products -o - | zstd > products.prism.jsonl.zst", "through a pipe"],
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
      options: ["portable"],
      later: LATER_FORMATS,
      description: "Format of the archive",
    },
    force: { type: "boolean", description: "Replace a file that is no archive of Prism" },
    progress: PROGRESS,
  },
  async run(context, { collection, output, format, force, progress }) {
    const { files, terminal } = context.runtime
    const toStdout = output === "-"
    if (output === "") throw usageError("--output is empty", "name a file, or - for stdout")
    if (!toStdout) checkExportName(output, format !== undefined)
    const report = await context.withPrism("read", async (prism) => {
      const opened = await prism.collection(collection)
      const sink = toStdout
        ? new WritableStream<Uint8Array>({ write: (chunk) => terminal.stdout(chunk) })
        : await files.write(output, await checkReplaceable(files, output, force === true))
      const display = context.progress(progress)
      return opened.export(sink, {
        format: "portable",
        signal: context.signal,
        ...(display && { onProgress: (done) => display.update(done) }),
      })
    })
    context.endProgress()
    const result = { success: true, ...report, output_path: output }
    const text = [
      `Exported ${plural(report.document_count, "document")} of "${collection}" to ${
        toStdout ? "standard output" : printable(output)
      } (${formatBytes(report.size_bytes)})`,
      `Checksum of the documents: ${report.checksum}`,
      `SHA-256 of the file:       ${report.file_sha256}`,
    ].join("\n")
    // Stdout holds the archive then, and nothing else.
    if (toStdout) context.note(text)
    else if (context.json) await context.printJson(result)
    else await context.print(text)
    return 0
  },
})

const restore = command({
  name: "restore",
  description: "Bring a collection back from an archive",
  details: [
    "The archive is read, checked and indexed aside; only when its count and checksum are right does the collection " +
      "appear, whole. Which format it has is told by its first bytes, not by its name.",
    "The data directory is made where there is none (./data by default).",
  ],
  examples: [
    ["prism collection restore -f backup/products.prism.jsonl", "under the name in the archive"],
    ["prism collection restore -i products.prism.jsonl -f portable -t products-2", "under another name"],
    [
      "zstd -dc products.prism.jsonl.zst | prism collection restore -f - --replace",
      "through a pipe, over the one there",
    ],
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
    format: { type: "enum", options: ["portable"], later: LATER_FORMATS, description: "Format of the archive" },
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
    progress: PROGRESS,
  },
  async run(context, args) {
    const { runtime, signal } = context
    const path = archiveArgument(args.file, args.input)
    if (args.replace && args.merge) throw usageError("--replace and --merge exclude each other", "choose one of them")
    const target = args["target-collection"]
    if (target !== undefined) checkCollectionName(target)
    const badLines = args["on-bad-line"] === "skip" ? await BadLinesFile.prepare(runtime.files, path) : undefined
    // Before the data directory is made: a refused command leaves nothing.
    const archive = await openArchive(await context.openInput(path))
    try {
      const report = await context.withPrism("make", async (prism) => {
        const display = context.progress(args.progress)
        const report = await prism.restore(archive.stream, {
          mode: args.replace ? "replace" : args.merge ? "merge" : "fail",
          signal,
          ...(target !== undefined && { target }),
          ...(badLines && { onBadLine: (problem: Problem, line: string | undefined) => badLines.add(problem, line) }),
          ...(archive.size !== undefined && { sizeBytes: archive.size }),
          ...(display && { onProgress: (done: Progress) => display.update(done) }),
        })
        if (args.merge) await settle(context, await prism.collection(report.collection), display)
        return report
      })
      context.endProgress()
      await badLines?.close()
      return await reportRestore(context, report, badLines?.path)
    } catch (error) {
      await badLines?.abort()
      throw error
    }
  },
})

async function reportRestore(
  context: Context,
  report: RestoreReport,
  badLinesPath: string | undefined,
): Promise<number> {
  const skipped = report.documents_skipped
  for (const warning of report.warnings) context.note(`Note: ${printable(warning)}`)
  if (context.json) {
    const { collection, documents_imported, documents_skipped, checksum, header, file_sha256, warnings } = report
    await context.printJson({
      success: skipped === 0,
      collection,
      documents_imported,
      documents_skipped,
      checksum,
      header,
      file_sha256,
      warnings,
      ...(skipped > 0 && { bad_lines_file: badLinesPath }),
    })
  } else {
    const counted = plural(report.documents_imported, "document")
    await context.print(
      [
        `Restored ${counted} into "${report.collection}"`,
        `Checksum of the documents: ${report.checksum}${report.checksum === "verified" ? "" : " (the archive has none)"}`,
        ...(report.header === "verified"
          ? []
          : ["Header of the archive:     not verified (it has no checksum of its own)"]),
        `SHA-256 of the file:       ${report.file_sha256}`,
      ].join("\n"),
    )
  }
  if (skipped === 0) return 0
  throw new PrismError("PARTIAL", `${plural(skipped, "bad line was", "bad lines were")} skipped`, {
    hint: `they are in ${badLinesPath}, with their numbers and reasons`,
  })
}

const deleteCommand = command({
  name: "delete",
  description: "Delete a collection with all its documents",
  details: ["On a terminal it asks first, unless --yes is given; elsewhere it does not ask."],
  examples: [
    ["prism collection delete products", "asks first"],
    ["prism collection delete products --yes", "for a script"],
  ],
  args: {
    collection: NAME,
    yes: { type: "boolean", alias: "y", description: "Do not ask" },
  },
  async run(context, { collection, yes }) {
    const deleted = await context.withPrism("change", async (prism) => {
      const count = await countDocuments(prism, collection)
      const described = `collection "${collection}"${count === null ? ", which cannot be opened" : ` with ${plural(count, "document")}`}`
      if (!yes && context.interactive && !(await confirm(context, `Delete ${described}?`))) return undefined
      await prism.deleteCollection(collection)
      return { count, described }
    })
    if (deleted === undefined) {
      context.warn("Nothing deleted")
      return 1
    }
    if (context.json) await context.printJson({ collection, status: "deleted", documents_deleted: deleted.count })
    else await context.print(`Deleted ${deleted.described}`)
    return 0
  },
})

/** Null for a collection that cannot be opened: it must be possible to delete that too. */
async function countDocuments(prism: Prism, collection: string): Promise<number | null> {
  try {
    return (await (await prism.collection(collection)).stats()).document_count
  } catch (error) {
    if (error instanceof PrismError && (ERROR_CODES[error.code].exit === 5 || error.code === "INCOMPATIBLE_VERSION")) {
      return null
    }
    throw error
  }
}

const verify = command({
  name: "verify",
  description: "Check an archive, or a collection, whole without changing anything",
  details: [
    "A path that exists is a file; anything else, and what --name gives, is the name of a collection. Of a collection every file is read and " +
      "compared with its checksum, every index is checked inside, and every document is looked up under its id.",
  ],
  examples: [
    ["prism collection verify backup/products.prism.jsonl", "an archive, before it is needed"],
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
    progress: PROGRESS,
  },
  async run(context, { subject, name, progress }) {
    if ((subject === undefined) === (name === undefined)) {
      throw usageError(
        subject === undefined ? "Missing FILE|NAME" : `Two things to verify are given: ${subject} and ${name}`,
        "name one file, or one collection",
      )
    }
    if (subject !== undefined && (await isFile(context, subject))) return verifyFile(context, subject, progress)
    const collection = name ?? subject!
    const report = await context.withPrism("read", async (prism) => {
      const opened = await prism.collection(collection)
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
  if (/[/\\]|\.(jsonl|enc|zst)$/.test(subject)) {
    throw new PrismError("FILE_NOT_FOUND", `There is no file ${subject}`, { hint: "check the path", place: subject })
  }
  return false
}

async function verifyFile(context: Context, path: string, progress: boolean | undefined): Promise<number> {
  const archive = await openArchive(await context.openInput(path))
  const display = context.progress(progress)
  const report = await verifyArchive(
    archive.stream,
    {
      signal: context.signal,
      ...(archive.size !== undefined && { sizeBytes: archive.size }),
      ...(display && { onProgress: (done: Progress) => display.update(done) }),
    },
    () => context.runtime.createSha256(),
  )
  context.endProgress()
  if (context.json) {
    await context.printJson({ success: true, file: path, ...report })
    return 0
  }
  const { collection, document_count, size_bytes, checksum, header, file_sha256 } = report
  const counted = plural(document_count, "document")
  await context.print(
    [
      `${printable(archive.name)} is whole: ${counted} of collection "${collection}", ${formatBytes(size_bytes)}`,
      `Checksum of the documents: ${checksum}${checksum === "verified" ? "" : " (the archive has none)"}`,
      `Header of the archive:     ${header}${header === "verified" ? "" : " (it has no checksum of its own)"}`,
      `SHA-256 of the file:       ${file_sha256}`,
    ].join("\n"),
  )
  return 0
}

/** -f and -i are two spellings of the archive; but beside -i, -f portable is its format. */
function archiveArgument(file: string | undefined, input: string | undefined): string {
  const hint = "name the archive with -f FILE; - reads stdin"
  if (input !== undefined && file !== undefined) {
    if (Object.hasOwn(LATER_FORMATS, file)) throw usageError(ONLY_PORTABLE, "use -f portable")
    if (file !== "portable") throw usageError(`Two archives are given: ${file} and ${input}`, "give one of -f and -i")
    return input
  }
  const path = input ?? file
  if (path === undefined || path === "") throw usageError("No archive is given", hint)
  return path
}

/** Asks on stderr, reads the answer from stdin; only "y" and "yes" mean yes. */
async function confirm(context: Context, question: string): Promise<boolean> {
  const { terminal } = context.runtime
  terminal.stderr(`${question} [y/N] `)
  for await (const lines of readLines(chunksOf(terminal.stdin, context.signal), { bytesMax: 1024 })) {
    return /^\s*y(es)?\s*$/i.test(lines[0]!.text)
  }
  return false
}

function backendNames(backends: Readonly<Record<string, boolean>>): string {
  const names = Object.entries(backends).filter(([, present]) => present)
  return names.map(([name]) => name).join(", ")
}

/** Undefined where the schema sets no bounds. */
function describeQuota({ quota: { maxDocuments, maxSizeMb } }: Schema): string | undefined {
  const bounds = [
    ...(maxDocuments === undefined ? [] : [plural(maxDocuments, "document")]),
    ...(maxSizeMb === undefined ? [] : [formatBytes(maxSizeMb * 1_000_000)]),
  ]
  return bounds.length === 0 ? undefined : `at most ${bounds.join(" and ")}`
}

function describeSchema(schema: Schema) {
  const { description, text, vector, quota } = schema
  return {
    description: description ?? null,
    fields: (text?.fields ?? []).map(({ name, type, indexed, stored, analyzer }) => ({
      name,
      type,
      indexed,
      stored,
      ...(type === "text" && { analyzer: analyzer.name }),
    })),
    vector: vector
      ? {
          embedding_field: vector.embeddingField,
          dimension: vector.dimension,
          distance: vector.distance,
          hnsw_m: vector.hnswM,
          hnsw_ef_construction: vector.hnswEfConstruction,
          hnsw_ef_search: vector.hnswEfSearch,
        }
      : null,
    quota:
      describeQuota(schema) === undefined
        ? null
        : { max_documents: quota.maxDocuments ?? null, max_size_mb: quota.maxSizeMb ?? null },
  }
}

function indent(text: string): string {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => `  ${printable(line)}\n`)
    .join("")
}

export const collectionCommands = group({
  name: "collection",
  description: "Make, list, inspect, export, restore, verify and delete collections",
  examples: [
    ["prism collection create products --schema products.yaml", "an empty collection"],
    ["prism collection export products -o products.prism.jsonl", "to an archive"],
    ["prism collection restore -f products.prism.jsonl", "and back"],
  ],
  subCommands: [list, create, inspect, exportCommand, restore, verify, deleteCommand],
})
