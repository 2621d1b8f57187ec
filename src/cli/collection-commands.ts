import { ERROR_CODES, PrismError } from "../base/errors.ts"
import { chunksOf, readText } from "../base/streams.ts"
import { backendNames } from "../collection/backends.ts"
import type { DetachedCopy } from "../collection/detached.ts"
import { checkCollectionName, parseSchema, type Schema } from "../collection/schema.ts"
import { readLines } from "../formats/lines.ts"
import { NAME } from "./arguments.ts"
import type { Collections } from "./collections.ts"
import { command, group } from "./command.ts"
import type { Context } from "./context.ts"
import { attachCommand, detachCommand } from "./detach-commands.ts"
import { exportCommand } from "./export-command.ts"
import { facts, formatBytes, formatCount, plural, printable, table } from "./format.ts"
import { describeStorage } from "./index-commands.ts"
import { restoreCommand } from "./restore-command.ts"
import { verifyCommand } from "./verify-command.ts"
import { withCollections } from "./with-collections.ts"

const SCHEMA_BYTES_MAX = 16 * 1024 * 1024

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
    ["prism collection list --all", "what is detached and kept too"],
  ],
  args: {
    all: { type: "boolean", description: "Detached collections whose data is kept too" },
  },
  async run(context, { all }) {
    const { collections, detached } = await withCollections(context, "read", async (collections) => ({
      collections: await collections.listCollections(),
      detached: all ? await collections.listDetached() : [],
    }))
    if (context.json) {
      await context.printJson([
        ...collections.map(({ name, document_count, size_bytes, backends, error }) =>
          error ? { name, error } : { name, document_count, size_bytes, backends },
        ),
        ...detached.map((copy) => ({ ...copy, detached: true })),
      ])
    } else if (collections.length + detached.length === 0) {
      context.note("There are no collections yet. Make one with: prism collection create NAME --schema FILE")
    } else if (context.globals.quiet) {
      const names = [...collections.map(({ name }) => name), ...detached.map(({ copy }) => copy)]
      await context.print(names.map((name) => `${name}\n`).join(""))
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
          : [name, formatCount(document_count), formatBytes(size_bytes), backendNames(backends).join(", ")],
      )
      await context.print(table(header, [...body, ...detached.map(detachedRow)]))
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

function detachedRow({ copy, document_count, size_bytes, detached_at, archive, error }: DetachedCopy): string[] {
  if (error) return [copy, "-", "-", `detached; ${error.code}: ${printable(error.message)}`]
  const where = archive?.path === undefined ? "" : `, archive: ${printable(archive.path)}`
  return [
    copy,
    formatCount(document_count ?? 0),
    formatBytes(size_bytes ?? 0),
    `detached ${printable(detached_at ?? "")}${where}`,
  ]
}

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
    const { kind, name: where } = await withCollections(context, "make", async (collections, place) => {
      await collections.createCollection(collection, text)
      return place
    })
    if (context.json) await context.printJson({ collection, status: "created", [kind]: where })
    else await context.print(`Created collection "${collection}" in ${printable(where)}`)
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
    const { stats, schema } = await withCollections(context, "read", async (collections) => {
      const opened = await collections.collection(collection)
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
      ["Backends", backendNames(backends).join(", ")],
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

const deleteCommand = command({
  name: "delete",
  description: "Delete a collection with all its documents",
  details: [
    "On a terminal it asks first, unless --yes is given; elsewhere it does not ask.",
    "With --detached it deletes what the detach of a collection kept; NAME is as prism collection list --all shows it.",
  ],
  examples: [
    ["prism collection delete products", "asks first"],
    ["prism collection delete products --yes", "for a script"],
  ],
  args: {
    collection: NAME,
    detached: { type: "boolean", description: "Delete the kept data of a detached collection instead" },
    yes: { type: "boolean", alias: "y", description: "Do not ask" },
  },
  async run(context, { collection, detached, yes }) {
    const deleted = await withCollections(context, "change", async (collections) => {
      const count = await (detached ? countDetached : countDocuments)(collections, collection)
      const what = `${detached ? "detached " : ""}collection "${collection}"`
      const described = `${what}${count === null ? ", which cannot be opened" : ` with ${plural(count, "document")}`}`
      if (!yes && context.interactive && !(await confirm(context, `Delete ${described}?`))) return undefined
      await (detached ? collections.deleteDetached(collection) : collections.deleteCollection(collection))
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
async function countDocuments(collections: Collections, collection: string): Promise<number | null> {
  try {
    return (await (await collections.collection(collection)).stats()).document_count
  } catch (error) {
    if (error instanceof PrismError && (ERROR_CODES[error.code].exit === 5 || error.code === "INCOMPATIBLE_VERSION")) {
      return null
    }
    throw error
  }
}

/** Null for a copy that does not tell. @throws PrismError COLLECTION_NOT_FOUND */
async function countDetached(collections: Collections, copy: string): Promise<number | null> {
  const found = (await collections.listDetached()).find((one) => one.copy === copy)
  if (found) return found.document_count ?? null
  throw new PrismError("COLLECTION_NOT_FOUND", `No detached collection "${copy}" is kept`, {
    hint: "prism collection list --all shows which there are",
    place: copy,
  })
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
  description: "Make, inspect, export, restore, detach, attach and delete collections",
  examples: [
    ["prism collection create products --schema products.yaml", "an empty collection"],
    ["prism collection export products -o products.prism.jsonl", "to an archive"],
    ["prism collection restore -f products.prism.jsonl", "and back"],
  ],
  subCommands: [
    list,
    create,
    inspect,
    exportCommand,
    restoreCommand,
    verifyCommand,
    detachCommand,
    attachCommand,
    deleteCommand,
  ],
})
