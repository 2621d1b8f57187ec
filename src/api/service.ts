// What handlers work with.
import type { Prism } from "../collection/prism.ts"
import type { Progress } from "../collection/progress.ts"
import type { Runtime } from "../runtime.ts"
import type { Caller } from "./caller.ts"
import type { AnswerOf, BodyOf, OperationId, PathParameters, QueryOf } from "./contract.ts"

/** What the HTTP interface needs of a runtime. */
export type ApiRuntime = Pick<Runtime, "name" | "version" | "createSha256"> & Partial<Pick<Runtime, "files">>

export interface Service {
  readonly prism: Prism
  readonly runtime: ApiRuntime
  /** Seconds since the server began. */
  readonly uptime: () => number
}

/** One request, checked against the contract. */
export interface Call<Id extends OperationId> {
  readonly path: PathParameters<Id>
  readonly query: QueryOf<Id>
  readonly body: BodyOf<Id>
  readonly request: Request
  readonly caller: Caller
  /** Aborted when the client has gone, or the job is cancelled, or the server ends. */
  readonly signal: AbortSignal
  readonly onProgress: (progress: Progress) => void
}

export type Handler<Id extends OperationId> = (call: Call<Id>, service: Service) => Promise<AnswerOf<Id> | Response>
export type Handlers<Ids extends OperationId = OperationId> = { readonly [Id in Ids]: Handler<Id> }
