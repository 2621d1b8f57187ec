import { auditFile } from "../api/audit.ts"
import { BackupRoots } from "../api/backup-roots.ts"
import { systemClock } from "../api/clock.ts"
import { readServerConfig, type ServerConfig } from "../api/config.ts"
import { readConfigFiles } from "../api/config-file.ts"
import { Drain } from "../api/drain.ts"
import { Jobs } from "../api/jobs.ts"
import { createLog } from "../api/log.ts"
import { Metrics } from "../api/metrics.ts"
import type { Service } from "../api/service.ts"
import { toHex } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { chunksOf, readText } from "../base/streams.ts"
import { VERSION } from "../base/version.ts"
import { Prism } from "../collection/prism.ts"
import type { HttpServer, ServeOptions } from "../runtime.ts"
import type { Context } from "./context.ts"
import { findDataDirectory } from "./data-directory.ts"
import { printable } from "./format.ts"
import { listen } from "./listen.ts"
import { usageError } from "./parse.ts"
import { holdingServer } from "./server.ts"

const PEM_BYTES_MAX = 1024 * 1024

/** As the options of `prism serve` have them. */
interface ServeArgs {
  readonly host: string | undefined
  readonly port: number | undefined
  readonly config: string | undefined
  readonly "backup-root": readonly string[] | undefined
}

/** Answers over HTTP until the process is told to end, then lets go of everything. */
export async function serve(
  context: Context,
  { host, port, config: configPath, "backup-root": backupRoots }: ServeArgs,
): Promise<void> {
  const { runtime, signal } = context
  if (backupRoots?.includes("")) throw usageError("--backup-root is empty", "name a folder")
  const env = (name: string) => runtime.terminal.env(name)
  const configs = await readConfigFiles({ files: runtime.files, env }, configPath)
  const config = readServerConfig({ host, port, backupRoots }, env, configs[0])
  const options = await serveOptions(context, config)
  // Where it cannot be written, the first change would be the first to know.
  if (config.auditFile !== undefined) await runtime.files.append(config.auditFile, new Uint8Array(0))
  const directory = (await findDataDirectory(runtime, context.globals.dataDir, configs)).path
  const storage = await runtime.openStorage(directory, { create: true, removeIfEmpty: true })
  await using prism = await Prism.openStorage(storage, runtime).catch(async (error: unknown) => {
    throw await servedAlready(context, directory, error)
  })
  await warnOfMissingRoots(context, config)
  const { files } = runtime
  const jobs = await Jobs.open({ storage, files, concurrent: config.limits.concurrentJobs })
  const began = context.now()
  const localToken = toHex(crypto.getRandomValues(new Uint8Array(32)))
  const drain = new Drain()
  const service: Service = {
    prism,
    runtime,
    drain,
    config,
    clock: systemClock,
    log: createLog(config.log, (line) => runtime.terminal.stderr(`${line}\n`)),
    jobs,
    backupRoots: new BackupRoots({ files, configured: config.backupRoots, dataDirectory: storage.location }),
    audit: auditFile(files, config.auditFile ?? `${directory}/audit.jsonl`),
    metrics: new Metrics(),
    localToken,
    uptime: () => (context.now() - began) / 1000,
  }
  const server = await listen(runtime, options, service)
  try {
    // For commands of this machine on the same data directory: they ask this server, which shows them its lock alone.
    await prism.announce(JSON.stringify({ url: server.localUrl, token: localToken }))
    await greet(context, server, directory)
    void openCollections(context, prism)
    await aborted(signal)
    await finish(server, drain, jobs, config.drainSecs)
  } finally {
    server.kill()
    await jobs.close()
  }
}

/** A folder that another server holds is no reason to stop that one. */
async function servedAlready(context: Context, directory: string, error: unknown): Promise<unknown> {
  if (!(error instanceof PrismError) || error.code !== "LOCKED") return error
  const holder = await holdingServer(context, directory)
  if (!holder) return error
  return new PrismError("LOCKED", `${printable(directory)} is served already, at ${holder.url}`, {
    place: directory,
    hint: "commands of this machine go through that server; stop it to start another one",
    cause: error,
  })
}

/** One that is made or mounted later counts from then on; a name that was mistyped never does. */
async function warnOfMissingRoots(context: Context, { backupRoots = [] }: ServerConfig): Promise<void> {
  for (const root of backupRoots) {
    if (await context.runtime.files.isDirectory(root)) continue
    context.warn(`Warning: there is no folder ${printable(root)}: until there is, no request may name a file in it`)
  }
}

async function serveOptions(
  { runtime: { files } }: Context,
  { host, port, tls, limits }: ServerConfig,
): Promise<ServeOptions> {
  const read = async (path: string) => await readText(chunksOf(await files.read(path)), PEM_BYTES_MAX, path)
  return {
    host,
    port,
    tls: tls && { cert: await read(tls.certFile), key: await read(tls.keyFile) },
    headerBytes: limits.headerBytes,
    headerSecs: limits.requestSecs,
  }
}

async function greet(context: Context, { url, port }: HttpServer, directory: string): Promise<void> {
  if (context.json) await context.printJson({ version: VERSION, url, port, data_directory: directory })
  else await context.print(`Prism ${VERSION} listens on ${url} (data: ${printable(directory)})`)
}

/** Opens every collection, one after another, beside the requests, each of which opens what it needs: damage is told at
 *  once, and the first search waits for nothing. One that cannot be opened keeps nobody from the others. */
async function openCollections(context: Context, prism: Prism): Promise<void> {
  const attempt = async <T>(what: string, work: () => Promise<T>): Promise<T | undefined> => {
    try {
      return await work()
    } catch (error) {
      // It may have been deleted since the names were read, or all be closing.
      if (error instanceof PrismError && ["COLLECTION_NOT_FOUND", "CLOSED"].includes(error.code)) return undefined
      const message = error instanceof Error ? error.message : String(error)
      context.warn(`Warning: ${what}: ${printable(message)}`)
      return undefined
    }
  }
  for (const name of (await attempt("collections cannot be listed", () => prism.collectionNames())) ?? []) {
    if (context.signal.aborted) return
    await attempt(`collection "${name}" cannot be opened`, () => prism.collection(name))
  }
}

function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve()
    else signal.addEventListener("abort", () => resolve(), { once: true })
  })
}

/** Lets requests finish, and jobs, then the answers; what is not done after `seconds` is broken off. */
async function finish(server: HttpServer, drain: Drain, jobs: Jobs, seconds: number): Promise<void> {
  let timer: ReturnType<typeof setTimeout> | undefined
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000)
  })
  const finished = async () => {
    await drain.begin()
    await jobs.idle()
    await server.stop()
  }
  await Promise.race([finished(), late])
  clearTimeout(timer)
}
