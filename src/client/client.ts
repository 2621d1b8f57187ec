// A client of the HTTP interface whose methods are the operations of the contract. Needs nothing but `fetch`.
import type {
  AnswerOf,
  BodyInputOf,
  HeadersOf,
  OPERATIONS,
  OperationId,
  PathParameters,
  QueryInputOf,
} from "../api/contract.ts"
import { Connection, type ConnectionOptions, type RequestParts } from "./connection.ts"
import { Job } from "./job.ts"
import { ROUTES } from "./routes.ts"

/** Bytes as they are sent. A stream is sent as it comes, never held whole. */
export type Bytes = string | Uint8Array<ArrayBuffer> | Blob | ReadableStream<Uint8Array>

/** A document with its fields in an object of their own, or beside the id. */
export interface DocumentBody {
  readonly id: string
  readonly [member: string]: unknown
}

/** What the bodies are that are no JSON value of one shape. Bytes of documents are JSON lines. */
interface RawBodies {
  documents: readonly DocumentBody[] | { readonly documents: readonly DocumentBody[] } | Bytes
  archive: Bytes
  /** An object, or text in YAML or JSON. */
  schema: object | string
}

/** A member that is left out where the operation has none, and may be where all of it may. */
type Member<Name extends string, Value> = [Value] extends [undefined]
  ? unknown
  : Partial<Value> extends Value
    ? { readonly [N in Name]?: Value | undefined }
    : { readonly [N in Name]: Value }

type BodyMember<Id extends OperationId> = (typeof OPERATIONS)[Id] extends { body: infer Raw extends keyof RawBodies }
  ? { readonly body: RawBodies[Raw] }
  : Member<"body", BodyInputOf<Id>>

/** What an operation takes: the parameters of its path by their names, the rest by where it goes. */
export type InputOf<Id extends OperationId> = PathParameters<Id> &
  Member<"query", QueryInputOf<Id>> &
  Member<"headers", HeadersOf<Id>> &
  BodyMember<Id> & { readonly signal?: AbortSignal | undefined }

type Method<Id extends OperationId> =
  Partial<InputOf<Id>> extends InputOf<Id>
    ? (input?: InputOf<Id>) => Promise<AnswerOf<Id>>
    : (input: InputOf<Id>) => Promise<AnswerOf<Id>>

/** The work goes on after the answer: `"wait": false` in the body. */
type StartMethod<Id extends OperationId> = (
  input: InputOf<Id> & { readonly body: { readonly wait: false } },
) => Promise<Job<AnswerOf<Id>>>

/** Each operation of the contract. It rejects with a PrismError that says what the server said, SERVER_UNREACHABLE where
 *  there is none, and the signal's reason where that was aborted. Answers that are no JSON are a Response whose body is not
 *  read yet. Long work with `wait: false` in its body is answered by a Job. */
type Methods = {
  readonly [Id in OperationId]: (typeof OPERATIONS)[Id] extends { long: true }
    ? StartMethod<Id> & Method<Id>
    : Method<Id>
}

export interface Client extends Methods {
  /** A job by its id, whoever started it. */
  job(id: string): Job
}

const ACCEPTED = 202

/** @throws PrismError INVALID_REQUEST for a URL that is none of a server */
export function createClient(options: ConnectionOptions): Client {
  const connection = new Connection(options)
  const call = async (id: OperationId, parts: RequestParts): Promise<unknown> => {
    const { status, value } = await connection.call(ROUTES[id], parts)
    return status === ACCEPTED ? client.job((value as AnswerOf<"getJob">).job.id) : value
  }
  const methods = Object.fromEntries(
    (Object.keys(ROUTES) as OperationId[]).map((id) => [id, (parts: RequestParts = {}) => call(id, parts)]),
  ) as unknown as Methods
  const client: Client = { ...methods, job: (id) => new Job(client, id) }
  return client
}
