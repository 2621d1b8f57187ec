// The HTTP interface without a network: requests go to the app's own fetch.
import { createApp } from "../../src/api/app.ts"
import { BackupRoots } from "../../src/api/backup-roots.ts"
import type { JobAnswer } from "../../src/api/contract.ts"
import { Jobs } from "../../src/api/jobs.ts"
import type { Service } from "../../src/api/service.ts"
import { Prism } from "../../src/collection/prism.ts"
import type { Files, Peer } from "../../src/runtime.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { quietService } from "./api.ts"
import { runtime } from "./runtime.ts"

export interface Answer {
  readonly status: number
  readonly body: AnswerBody
}

/** What tests look into, of one answer or another. */
export interface AnswerBody {
  readonly error: { readonly code: string; readonly message: string; readonly hint?: string; readonly place?: string }
  readonly collections: readonly string[]
  readonly key: string
  readonly job: JobAnswer
  readonly jobs: readonly JobAnswer[]
  readonly files_extracted: number
  readonly bytes_extracted: number
  readonly total: number
}

export interface ApiServerOptions {
  readonly storage: Storage
  /** Folders that archives may be in. */
  readonly backupRoots?: readonly string[]
  readonly files?: Files
  readonly concurrentJobs?: number
  readonly now?: () => number
  /** What is otherwise than in a server without keys and logs. */
  readonly service?: Partial<Service>
}

/** A server of the collections in a storage. */
export class ApiServer implements AsyncDisposable {
  readonly service: Service
  readonly fetch: (request: Request, peer?: Peer) => Promise<Response>

  private constructor(service: Service) {
    this.service = service
    const app = createApp(service)
    this.fetch = async (request, peer) => await app.fetch(request, peer)
  }

  static async open({
    storage,
    backupRoots,
    files = runtime.files,
    concurrentJobs = 2,
    now,
    service,
  }: ApiServerOptions): Promise<ApiServer> {
    const prism = await Prism.openStorage(storage, runtime)
    return new ApiServer({
      ...quietService(),
      prism,
      runtime: { ...runtime, files },
      jobs: await Jobs.open({ storage, files, concurrent: concurrentJobs, ...(now && { now }) }),
      backupRoots: new BackupRoots({ files, configured: backupRoots, dataDirectory: storage.location }),
      ...service,
    })
  }

  /** A request with JSON, or no body. */
  async call(method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const response = await this.fetch(
      new Request(`http://localhost${path}`, {
        method,
        headers: { ...(body !== undefined && { "content-type": "application/json" }), ...headers },
        ...(body !== undefined && { body: JSON.stringify(body) }),
      }),
    )
    return { status: response.status, body: (await response.json()) as AnswerBody }
  }

  async post(path: string, body: unknown): Promise<Answer> {
    return await this.call("POST", path, body)
  }

  async get(path: string): Promise<Answer> {
    return await this.call("GET", path)
  }

  async close(): Promise<void> {
    await this.service.jobs.close()
    await this.service.prism.close()
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }
}
