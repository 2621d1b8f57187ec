// What handlers work with.
import type { Prism } from "../collection/prism.ts"
import type { Codecs, Runtime } from "../runtime.ts"
import type { Audit } from "./audit.ts"
import type { BackupRoots } from "./backup-roots.ts"
import type { Caller } from "./caller.ts"
import type { ApiClock } from "./clock.ts"
import type { ServerConfig } from "./config.ts"
import type { AnswerOf, BodyOf, OperationId, PathParameters, QueryOf } from "./contract.ts"
import type { Drain } from "./drain.ts"
import type { JobTools } from "./job.ts"
import type { Jobs } from "./jobs.ts"
import type { Log } from "./log.ts"
import type { Metrics } from "./metrics.ts"

/** What the HTTP interface needs of a runtime. */
export type ApiRuntime = Pick<Runtime, "name" | "version"> &
  Codecs &
  Partial<Pick<Runtime, "files">> & { readonly terminal?: Pick<Runtime["terminal"], "peakMemoryBytes"> }

export interface Service {
  readonly prism: Prism
  readonly runtime: ApiRuntime
  readonly drain: Drain
  /** Seconds since the server began. */
  readonly uptime: () => number
  readonly config: ServerConfig
  readonly clock: ApiClock
  readonly log: Log
  readonly audit: Audit
  readonly metrics: Metrics
  /** What a process of this machine shows that has read it in the lock of the data directory. */
  readonly localToken?: string
  readonly jobs: Jobs
  /** Undefined where the server has no files but the collections'. */
  readonly backupRoots: BackupRoots | undefined
}

/** One request, checked against the contract. Its signal is aborted when the client has gone; of a job when it is cancelled;
 *  of both when the server ends. */
export interface Call<Id extends OperationId> extends JobTools {
  readonly path: PathParameters<Id>
  readonly query: QueryOf<Id>
  readonly body: BodyOf<Id>
  readonly request: Request
  readonly caller: Caller
}

export type Handler<Id extends OperationId> = (call: Call<Id>, service: Service) => Promise<AnswerOf<Id> | Response>
export type Handlers<Ids extends OperationId = OperationId> = { readonly [Id in Ids]: Handler<Id> }
