import { decodeUtf8 } from "../base/bytes.ts"
import { PrismError, type Problem } from "../base/errors.ts"
import { chunksOf, peek } from "../base/streams.ts"
import type { Document } from "../collection/collection.ts"
import { type CheckedDocument, DocumentChecker, parseDocumentLine } from "../collection/document.ts"
import { type Line, readLines } from "../formats/lines.ts"
import { LINE_BYTES_MAX, sniffArchive } from "../formats/portable.ts"
import { COLLECTION, PROGRESS } from "./arguments.ts"
import type { OpenCollection } from "./collections.ts"
import { command, group } from "./command.ts"
import type { Context } from "./context.ts"
import { plural, prettyJson, printable } from "./format.ts"
import { usageError } from "./parse.ts"
import { settle } from "./settle.ts"
import { withCollections } from "./with-collections.ts"

const BATCH_SIZE = 1000
/** A batch ends before it holds more than this, however few documents that is. */
const BATCH_BYTES_MAX = 8 * 1024 * 1024
/** How many refused lines are told one by one. */
const PROBLEMS_SHOWN = 20
const PROBLEMS_KEPT = 100

const importCommand = command({
  name: "import",
  description: "Add documents, one JSON object a line",
  details: [
    'A line is {"id":"…","fields":{…},"vector":[…]} or {"id":"…","title":"…",…}. A document whose id is there already ' +
      "is replaced, all its fields. Fields that the schema does not name are kept, but not searched. A bad line is refused by itself, with its number and the reason; the others come in, and the " +
      "command ends with 8.",
    "Lines are taken in batches. Each batch is durable and searchable once it is done; of an id twice in one batch " +
      "the second is refused. An import that ends early says how many documents came in. At " +
      "the end segments are merged where that is due; Ctrl-C leaves it to the next command that writes, and nothing is lost.",
  ],
  examples: [
    ["prism document import -c products -f products.jsonl", "from a file"],
    ["zstd -dc products.jsonl.zst | prism document import -c products", "from a pipe"],
    ["jq -c '.[]' products.json | prism document import -c products", "from a JSON array"],
  ],
  args: {
    collection: COLLECTION,
    file: { type: "string", alias: "f", valueHint: "FILE", description: "File of JSON lines (else stdin, also -)" },
    "batch-size": {
      type: "string",
      valueHint: "N",
      number: { min: 1, max: 100_000, integer: true },
      description: `Documents in a batch (default ${BATCH_SIZE})`,
    },
    progress: PROGRESS,
  },
  async run(context, args) {
    if (args.file === undefined && context.runtime.terminal.stdinIsTerminal) {
      throw usageError("No documents are given", "name a file with -f FILE, or pipe JSON lines in")
    }
    return withCollections(context, "make", async (collections) => {
      const collection = await collections.collection(args.collection)
      const { name, size, stream } = await context.openInput(args.file ?? "-")
      const run = new Import(context, collection, args["batch-size"] ?? BATCH_SIZE)
      await run.take(await documentStream(stream, name), size, args.progress)
      return run.report(args.collection, name)
    })
  },
})

/** One run of `document import`. */
class Import {
  readonly #context: Context
  readonly #collection: OpenCollection
  readonly #checker: DocumentChecker
  readonly #batchSize: number
  readonly #indexedAt = new Date().toISOString()
  #imported = 0
  #refused = 0
  readonly #problems: { line: number; problem: Problem }[] = []

  constructor(context: Context, collection: OpenCollection, batchSize: number) {
    this.#checker = new DocumentChecker(collection.schema)
    this.#context = context
    this.#collection = collection
    this.#batchSize = batchSize
  }

  async take(
    stream: ReadableStream<Uint8Array>,
    size: number | undefined,
    progress: boolean | undefined,
  ): Promise<void> {
    const display = this.#context.progress(progress)
    let bytes = 0
    const batch = new Map<string, CheckedDocument>()
    let batchBytes = 0
    const flush = async () => {
      await this.#add([...batch.values()])
      batch.clear()
      batchBytes = 0
      display?.update(
        size === undefined
          ? { stage: "importing", done: this.#imported, total: undefined, unit: "documents" }
          : { stage: "importing", done: bytes, total: size, unit: "bytes" },
      )
      this.#context.signal.throwIfAborted()
    }
    const source = chunksOf(stream)
    try {
      for await (const lines of readLines(source, { bytesMax: LINE_BYTES_MAX, onBytes: (count) => (bytes = count) })) {
        for (const line of lines) {
          const document = this.#check(line, batch)
          if (document === undefined) continue
          batch.set(document.id, document)
          batchBytes += line.text.length
          if (batch.size >= this.#batchSize || batchBytes >= BATCH_BYTES_MAX) await flush()
        }
      }
      await flush()
    } catch (error) {
      this.#context.endProgress()
      throw await this.#endedBy(error)
    }
    await settle(this.#context, this.#collection, display)
  }

  /** What ended the import early, with how far it came. */
  async #endedBy(error: unknown): Promise<unknown> {
    const { signal, json } = this.#context
    const reason: unknown = signal.aborted && !(error instanceof PrismError) ? signal.reason : error
    if (json) await this.#printJson(false)
    if (!(reason instanceof PrismError)) return reason
    const { code, message, hint, place, problems } = reason
    const where = place === undefined || message.includes(place) ? "" : ` (${place})`
    const count = this.#imported === 0 ? "no document was" : plural(this.#imported, "document was", "documents were")
    return new PrismError(code, `${message}${where}; ${count} imported before this`, {
      ...(hint !== undefined && { hint }),
      ...(place !== undefined && { place }),
      problems,
      cause: reason,
    })
  }

  async #printJson(success: boolean): Promise<void> {
    await this.#context.printJson({
      success,
      collection: this.#collection.name,
      documents_imported: this.#imported,
      documents_failed: this.#refused,
      errors: this.#problems.map(({ line, problem }) => ({ line, code: problem.code, error: problem.message })),
    })
  }

  async report(collection: string, source: string): Promise<number> {
    const context = this.#context
    if (this.#imported + this.#refused === 0) {
      throw new PrismError("INVALID_FORMAT", `${source} holds no documents, only blank lines`, { place: source })
    }
    if (context.json) {
      await this.#printJson(this.#refused === 0)
    } else {
      if (this.#refused > PROBLEMS_SHOWN) context.warn(`… and ${plural(this.#refused - PROBLEMS_SHOWN, "more line")}`)
      await context.print(`Imported ${plural(this.#imported, "document")} into "${collection}"`)
    }
    if (this.#refused === 0) return 0
    const lines = plural(this.#refused, "line was", "lines were")
    const hint = "repair those lines and import them again; the others are in"
    if (this.#imported > 0) throw new PrismError("PARTIAL", `${lines} refused`, { hint })
    throw new PrismError("INVALID_DOCUMENT", `Nothing was imported: all ${lines} refused`, {
      hint: 'a line is one JSON object with an "id": see prism document import --help',
    })
  }

  /** The document of a line, or undefined where there is none or it is refused. */
  #check(line: Line, batch: ReadonlyMap<string, CheckedDocument>): CheckedDocument | undefined {
    if (line.problem === undefined && line.text.trim() === "") return undefined
    try {
      if (line.problem) throw line.problem
      const document = this.#checker.check(parseDocumentLine(line.text), { indexedAt: this.#indexedAt })
      if (!batch.has(document.id)) return document
      throw new PrismError("DUPLICATE_ID", `id "${document.id}" occurs twice in one batch; the first was taken`)
    } catch (error) {
      if (!(error instanceof PrismError)) throw error
      const where = error.place === undefined || error.message.includes(error.place) ? "" : `${error.place}: `
      const cut = line.ended || line.problem ? "" : "; the file ends in this line, so it may be cut off"
      this.#refuse(line.number, {
        code: error.code,
        message: where + error.message + cut,
        place: `line ${line.number}`,
      })
      return undefined
    }
  }

  async #add(batch: readonly CheckedDocument[]): Promise<void> {
    if (batch.length === 0) return
    await this.#collection.addChecked(batch, (added) => (this.#imported += added))
  }

  #refuse(line: number, problem: Problem): void {
    this.#refused++
    if (this.#problems.length < PROBLEMS_KEPT) this.#problems.push({ line, problem })
    if (this.#refused <= PROBLEMS_SHOWN && !this.#context.json) {
      this.#context.warn(`line ${line}: ${printable(problem.message)}`)
    }
  }
}

/** Looks at the beginning, and refuses what cannot be JSON lines before it comes in as thousands of bad ones. */
async function documentStream(stream: ReadableStream<Uint8Array>, name: string): Promise<ReadableStream<Uint8Array>> {
  const peeked = await peek(stream, 32)
  const { head } = peeked
  const refuse = async (message: string, hint: string): Promise<never> => {
    await peeked.stream.cancel().catch(() => {})
    throw new PrismError("INVALID_FORMAT", `${name} ${message}`, { hint, place: name })
  }
  if (head.length === 0) return refuse("is empty", 'a line is one JSON object with an "id"')
  const kind = sniffArchive(head)
  if (kind === "portable") return refuse("is an archive of a collection", `use prism collection restore -f ${name}`)
  if (kind === "encrypted")
    return refuse("is an encrypted archive, not JSON lines", `use prism collection restore -f ${name}`)
  if (kind === "zstd") {
    return refuse(
      "is compressed with zstd",
      "pipe it in: zstd -dc FILE | prism document import …; a snapshot is restored",
    )
  }
  if (head[0] === 0x1f && head[1] === 0x8b) {
    return refuse("is compressed with gzip", "pipe it in: gzip -dc FILE | prism document import …")
  }
  if (head.includes(0)) return refuse("is not text", "documents come in as JSON lines in UTF-8")
  const first = decodeUtf8(head).replace(/^\ufeff?\s*/, "")[0]
  if (first === "[") return refuse("is a JSON array, not JSON lines", "make lines of it: jq -c '.[]' FILE")
  return peeked.stream
}

const exportCommand = command({
  name: "export",
  description: "Write all documents, one JSON object a line",
  details: [
    'A line is {"id":"…","fields":{…},"vector":[…]}, as prism document import takes it, in the order in which the ' +
      "documents were last written. For a backup use prism collection export: its header carries the schema and a checksum.",
  ],
  examples: [
    ["prism document export -c products | jq .fields.title", "to a pipe"],
    ["prism document export -c products -o products.jsonl", "to a file"],
  ],
  args: {
    collection: COLLECTION,
    output: { type: "string", alias: "o", valueHint: "FILE", description: "Where they go (else stdout, also -)" },
    force: { type: "boolean", description: "Replace a file that is there" },
    progress: PROGRESS,
  },
  async run(context, { collection, output = "-", force, progress }) {
    const { files, terminal } = context.runtime
    const toStdout = output === "-"
    const count = await withCollections(context, "read", async (collections) => {
      const opened = await collections.collection(collection)
      if (
        !toStdout &&
        force !== true &&
        ((await files.isDirectory(output)) || (await files.size(output)) !== undefined)
      ) {
        throw new PrismError("FILE_EXISTS", `${output} exists`, {
          hint: "choose another name, or replace it with --force",
          place: output,
        })
      }
      const sink = toStdout
        ? new WritableStream<Uint8Array>({ write: (chunk) => terminal.stdout(chunk) })
        : await files.write(output, { replace: force === true })
      const display = context.progress(progress)
      return await opened.exportDocuments(sink, {
        signal: context.signal,
        ...(display && { onProgress: (done) => display.update(done) }),
      })
    })
    context.endProgress()
    if (toStdout) return 0
    if (context.json) await context.printJson({ success: true, collection, output_path: output, document_count: count })
    else await context.print(`Exported ${plural(count, "document")} of "${collection}" to ${printable(output)}`)
    return 0
  },
})

const IDS = { type: "positional", valueHint: "ID", variadic: true, description: "Ids of documents" } as const

const get = command({
  name: "get",
  description: "Show documents by id",
  details: ["With --json, and for several ids, a document is one line of JSON."],
  examples: [
    ["prism document get -c products doc-1", "one document"],
    ["prism document get -c products doc-1 doc-2 --json | jq .fields.title", "several, for a script"],
  ],
  args: { collection: COLLECTION, ids: IDS },
  async run(context, { collection, ids }) {
    const missing = await withCollections(context, "read", async (collections) => {
      const opened = await collections.collection(collection)
      const missing: string[] = []
      for (const id of ids) {
        const document = await opened.get(id)
        if (document === undefined) missing.push(id)
        else if (context.json || ids.length > 1) await context.printJson(plain(document))
        else await context.print(prettyJson(plain(document)))
      }
      return missing
    })
    if (missing.length === 0) return 0
    throw notFound(missing, ids.length, collection)
  },
})

/** The document as JSON holds it: each component of the vector as the shortest decimal that parses back to its f32. */
function plain({ id, fields, vector }: Document): unknown {
  return vector === undefined ? { id, fields } : { id, fields, vector: Array.from(vector, shortestFloat32) }
}

function shortestFloat32(component: number): number {
  // Nine digits tell any two f32 apart.
  for (let digits = 1; digits < 9; digits++) {
    const decimal = Number(component.toPrecision(digits))
    if (Math.fround(decimal) === component) return decimal
  }
  return Number(component.toPrecision(9))
}

const deleteCommand = command({
  name: "delete",
  description: "Delete documents by id",
  examples: [
    ["prism document delete -c products doc-1", "one document"],
    ["xargs prism document delete -c products < ids.txt", "many"],
  ],
  args: { collection: COLLECTION, ids: IDS },
  async run(context, { collection, ids }) {
    const { deleted, missing } = await withCollections(context, "change", async (collections) =>
      (await collections.collection(collection)).deleteAll(ids),
    )
    if (context.json) await context.printJson({ success: missing.length === 0, collection, documents_deleted: deleted })
    else if (deleted > 0) await context.print(`Deleted ${plural(deleted, "document")} from "${collection}"`)
    if (missing.length === 0) return 0
    throw notFound(missing, deleted + missing.length, collection)
  },
})

function notFound(missing: readonly string[], asked: number, collection: string): PrismError {
  const names = missing.slice(0, 5).map((id) => `"${printable(id)}"`)
  const more = missing.length > 5 ? ` and ${missing.length - 5} more` : ""
  return new PrismError(
    missing.length === asked ? "DOCUMENT_NOT_FOUND" : "PARTIAL",
    `No document ${names.join(", ")}${more} in collection "${collection}"`,
    { hint: "ids are exact, upper and lower case too" },
  )
}

export const documentCommands = group({
  name: "document",
  description: "Import, export, get and delete documents",
  examples: [
    ["prism document import -c products -f products.jsonl", "add JSON lines"],
    ["prism document get -c products doc-1", "look at one"],
  ],
  subCommands: [importCommand, exportCommand, get, deleteCommand],
})
