import { ByteBudget } from "../../base/byte-budget.ts"
import { PrismError, type Problem } from "../../base/errors.ts"
import { type JsonValue, parseJson } from "../../base/json.ts"
import { chunksOf, streamOf } from "../../base/streams.ts"
import type { Collection, Document } from "../../collection/collection.ts"
import { type DocumentInput, parseDocumentLine } from "../../collection/document.ts"
import { readLines } from "../../formats/lines.ts"
import { inChunks, LINE_BYTES_MAX } from "../../formats/portable.ts"
import { jsonAnswer, PartlyDone } from "../answers.ts"
import { readBody } from "../check-request.ts"
import type { AnswerOf } from "../contract.ts"
import { isJsonLines } from "../request-body.ts"
import type { Handlers } from "../service.ts"

/** Lines that are added together: their commit shares one sync. */
const BATCH_LINES = 1000
/** Characters of such a batch. */
const BATCH_LENGTH = 4 * 1024 * 1024
/** Refused documents that an answer lists; it counts all. */
const ERRORS_LISTED = 1000

interface Refused {
  readonly doc_id: string | null
  readonly error: string
  readonly code: string
  readonly hint?: string
  readonly line?: number
}

/** Documents in and out. */
export const documentHandlers: Handlers<
  "addDocuments" | "getDocument" | "deleteDocument" | "getDocuments" | "deleteDocuments" | "exportDocuments"
> = {
  addDocuments: async ({ path, request }, { prism }) => {
    const collection = await prism.collection(path.collection)
    const addition = new Addition(collection)
    if (isJsonLines(request)) await addition.addLines(request)
    else
      await addition.add(documentsOf(parseJson(await readBody(request), { code: "INVALID_JSON", place: "the body" })))
    return addition.answer()
  },

  getDocument: async ({ path }, { prism }) => {
    const found = await (await prism.collection(path.collection)).get(path.id)
    if (!found) throw notFound(path.collection, path.id)
    return asJson(found)
  },

  deleteDocument: async ({ path }, { prism }) => {
    const deleted = await (await prism.collection(path.collection)).delete(path.id)
    if (deleted === 0) throw notFound(path.collection, path.id)
    return { id: path.id, status: "deleted" }
  },

  getDocuments: async ({ path, body, signal }, { prism, config }) => {
    const budget = new ByteBudget(config.limits.answerBytes)
    const collection = await prism.collection(path.collection)
    const documents = []
    const missing = []
    for (const id of body.ids) {
      signal.throwIfAborted()
      const found = await collection.get(id, { budget })
      if (found) documents.push(asJson(found))
      else missing.push(id)
    }
    return { documents, missing }
  },

  deleteDocuments: async ({ path, body }, { prism }) =>
    await (await prism.collection(path.collection)).deleteAll(body.ids),

  exportDocuments: async ({ path, signal }, { prism }) => {
    const lines = inChunks((await prism.collection(path.collection)).lines({ signal }))
    return new Response(streamOf(lines), { headers: { "content-type": "application/x-ndjson" } })
  },
}

function asJson({ id, fields, vector }: Document): AnswerOf<"getDocument"> {
  return { id, fields, ...(vector && { vector: Array.from(vector) }) }
}

/** A list of documents, or an object with the list as `documents`. */
function documentsOf(value: JsonValue): DocumentInput[] {
  const isObject = typeof value === "object" && value !== null && !Array.isArray(value)
  const list = isObject && Object.keys(value).length === 1 ? value["documents"] : value
  if (Array.isArray(list)) return list as unknown as DocumentInput[]
  throw new PrismError(
    "INVALID_BODY",
    "the body is neither a list of documents nor an object with such a list as documents",
    {
      hint: 'for example [{"id":"a","title":"…"}]',
    },
  )
}

interface Counts {
  readonly indexed: number
  readonly failed: number
  readonly errors: Refused[]
}

/** The documents of one request. */
class Addition {
  readonly #collection: Collection
  #indexed = 0
  #failed = 0
  readonly #errors: Refused[] = []

  constructor(collection: Collection) {
    this.#collection = collection
  }

  async add(documents: readonly DocumentInput[], lineOf?: ReadonlyMap<string, number>): Promise<void> {
    try {
      this.#indexed += (await this.#collection.add(documents)).indexed
    } catch (error) {
      if (!(error instanceof PrismError) || error.problems.length === 0) throw error
      this.#indexed += documents.length - error.problems.length
      for (const problem of error.problems) this.#refuse(problem, lineOf?.get(idOf(problem) ?? ""))
    }
  }

  /** @throws PartlyDone where it ends before the body does, and lines before are taken or refused already */
  async addLines(request: Request): Promise<void> {
    try {
      await this.#addLines(request)
    } catch (cause) {
      if (this.#indexed + this.#failed === 0) throw cause
      throw new PartlyDone(this.#counts(), cause)
    }
  }

  async #addLines(request: Request): Promise<void> {
    if (request.body === null) return
    const batch = new Map<string, DocumentInput>()
    const lineOf = new Map<string, number>()
    let length = 0
    const flush = async () => {
      if (batch.size > 0) await this.add([...batch.values()], lineOf)
      batch.clear()
      lineOf.clear()
      length = 0
    }
    const chunks = chunksOf(request.body as ReadableStream<Uint8Array>)
    for await (const lines of readLines(chunks, { bytesMax: LINE_BYTES_MAX })) {
      for (const { number, text, problem } of lines) {
        if (!problem && text.trim() === "") continue
        try {
          if (problem) throw problem
          const document = parseDocumentLine(text)
          if (batch.has(document.id)) await flush()
          batch.set(document.id, document)
          lineOf.set(document.id, number)
        } catch (error) {
          if (!(error instanceof PrismError)) throw error
          this.#refuse({ place: error.place ?? "", code: error.code, message: error.message }, number)
        }
        length += text.length
        if (batch.size >= BATCH_LINES || length >= BATCH_LENGTH) await flush()
      }
    }
    await flush()
  }

  /** 201 where something was taken; 422 where all was refused, so that no script takes it for done. */
  answer(): Counts | Response {
    const answer = this.#counts()
    if (this.#indexed > 0 || this.#failed === 0) return answer
    const [first] = this.#errors as [Refused]
    const { code, error: message, hint, doc_id } = first
    const isSame = this.#errors.every(({ error }) => error === message)
    const error = {
      code,
      message: isSame ? message : `every document was refused; the first: ${message}`,
      ...(hint !== undefined && { hint }),
      ...(doc_id !== null && { place: `document "${doc_id}"` }),
    }
    return jsonAnswer({ ...answer, error }, 422)
  }

  #counts(): Counts {
    return { indexed: this.#indexed, failed: this.#failed, errors: this.#errors }
  }

  #refuse(problem: Problem, line: number | undefined): void {
    this.#failed++
    if (this.#errors.length === ERRORS_LISTED) return
    const { code, message, hint } = problem
    this.#errors.push({
      doc_id: idOf(problem),
      error: message,
      code,
      ...(hint !== undefined && { hint }),
      ...(line !== undefined && { line }),
    })
  }
}

function idOf({ place }: Problem): string | null {
  return /^document "([^]*)"$/.exec(place)?.[1] ?? null
}

function notFound(collection: string, id: string): PrismError {
  return new PrismError("DOCUMENT_NOT_FOUND", `collection "${collection}" has no document "${id}"`, { place: id })
}
