// How a server is set up: flags, else the environment, else prism.toml, else the defaults.
import * as z from "zod"
import { PrismError, type Problem } from "../base/errors.ts"
import { ANYBODY, LOCK_READER, NOBODY } from "./caller.ts"
import { type ConfigFile, type ConfigSources, pathFrom } from "./config-file.ts"
import { isLoopback } from "./loopback.ts"
import { PLAIN_WORDS, shapeProblems } from "./shape-problems.ts"

export interface ServerConfig {
  /** A name or an address, IPv6 without brackets. */
  readonly host: string
  /** 0: any that is free. */
  readonly port: number
  /** Folders that archives on the server may be in; undefined: the usual ones. */
  readonly backupRoots: readonly string[] | undefined
  /** PEM files; undefined: plain HTTP. */
  readonly tls: { readonly certFile: string; readonly keyFile: string } | undefined
  readonly apiKeys: readonly ApiKey[]
  /** Origins of pages that may ask from a browser, besides the server's own. */
  readonly allowedOrigins: readonly string[]
  readonly limits: Limits
  /** Seconds that requests and jobs have to finish after the first signal. */
  readonly drainSecs: number
  /** Undefined: `audit.jsonl` in the data directory. */
  readonly auditFile: string | undefined
  readonly log: "text" | "json" | "off"
}

export interface ApiKey {
  /** What logs call it. */
  readonly name: string
  /** SHA-256 of the key, lowercase hex. */
  readonly hash: string
  readonly roles: readonly Role[]
}

export interface Role {
  readonly permissions: readonly ("read" | "write" | "delete" | "admin")[]
  /** A name in which `*` stands for any characters. */
  readonly collections: string
}

export interface Limits {
  /** Of a body that is parsed whole; what streams has no end but the disk's. */
  readonly bodyBytes: number
  /** Of what one answer collects of documents, of searches too; what streams has no limit. */
  readonly answerBytes: number
  /** Of the request line and the headers together. */
  readonly headerBytes: number
  /** For the headers to arrive, and for a body that is parsed whole. How long the server itself works has no limit. */
  readonly requestSecs: number
  /** Without a byte of a body that was announced, and without one taken of an answer. */
  readonly idleBodySecs: number
  readonly concurrentRequests: number
  /** By one key, or by one address where there are no keys; 0: any number. */
  readonly requestsPerSecond: number
  readonly concurrentJobs: number
}

/** Small enough that nobody fills the memory of a small machine, large enough that nobody who means well meets them. */
const DEFAULT_LIMITS: Limits = {
  bodyBytes: 16 * 1024 * 1024, // as one document may have
  answerBytes: 64 * 1024 * 1024, // four of the largest documents, or 6 KiB for each of 10,000 results
  headerBytes: 16 * 1024, // as Node has it
  requestSecs: 60,
  idleBodySecs: 60,
  concurrentRequests: 256,
  requestsPerSecond: 0,
  concurrentJobs: 4,
}

/** Of a server that nobody has set up: it listens to this machine alone. */
export const DEFAULT_CONFIG: ServerConfig = {
  host: "127.0.0.1",
  port: 3080,
  backupRoots: undefined,
  tls: undefined,
  apiKeys: [],
  allowedOrigins: [],
  limits: DEFAULT_LIMITS,
  drainSecs: 30,
  auditFile: undefined,
  log: "text",
}

const LOGS = ["text", "json", "off"] as const
const host = z.string().regex(/^[\w.:-]+$/, { error: "is a name or an address, such as 127.0.0.1 or ::1" })
const port = z.int().min(0).max(65_535)
const path = z.string().min(1)
const origin = z.string().refine((text) => URL.canParse(text) && new URL(text).origin === text, {
  error: "is a scheme, a host and maybe a port, such as https://app.example",
})
const NAMES_WITHOUT_KEY = [ANYBODY, NOBODY, LOCK_READER].map(({ name }) => name)
export const API_KEYS_SHAPE = z
  .array(
    z.strictObject({
      name: z
        .string()
        .min(1)
        .max(128)
        .refine((name) => !NAMES_WITHOUT_KEY.includes(name), {
          error: "is what logs call somebody without such a key",
        }),
      hash: z.string().regex(/^[0-9a-f]{64}$/, {
        error: "must be the SHA-256 of a key in 64 lowercase hex characters: prism api-key generate prints both",
      }),
      roles: z
        .array(
          z.strictObject({
            permissions: z.array(z.enum(["read", "write", "delete", "admin"])).min(1),
            collections: z.string().regex(/^[\w*-]{1,256}$/, { error: 'is a name, or a pattern such as "logs-*"' }),
          }),
        )
        .min(1),
    }),
  )
  .refine((keys) => new Set(keys.map(({ name }) => name)).size === keys.length, {
    error: "two keys have the same name",
  })
  .refine((keys) => new Set(keys.map(({ hash }) => hash)).size === keys.length, {
    error: "two keys have the same hash: they are one key, and only one of them would count",
  })

/** Of the variable: an empty list would open a server that the file has keys for. */
const SOME_API_KEYS = API_KEYS_SHAPE.refine((keys) => keys.length > 0, {
  error: "holds no key: leave the variable out where there is none",
})

/** A prism.toml. Each key is described in docs/admin/configuration.md. */
export const CONFIG_FILE_SHAPE = z.strictObject({
  data_dir: path.optional(),
  storage: z.strictObject({ data_dir: path.optional() }).optional(),
  server: z
    .strictObject({
      host: host.optional(),
      port: port.optional(),
      backup_roots: z.array(path).optional(),
      allowed_origins: z.array(origin).optional(),
      drain_secs: z.int().min(0).max(86_400).optional(),
      audit_file: path.optional(),
      log: z.enum(LOGS).optional(),
    })
    .optional(),
  tls: z.strictObject({ cert_file: path, key_file: path }).optional(),
  limits: z
    .strictObject({
      body_bytes: z.int().min(1024).max(268_435_456).optional(),
      answer_bytes: z.int().min(1024).max(268_435_456).optional(),
      header_bytes: z.int().min(1024).max(1_048_576).optional(),
      request_secs: z.int().min(1).max(86_400).optional(),
      idle_body_secs: z.int().min(1).max(3600).optional(),
      concurrent_requests: z.int().min(1).max(100_000).optional(),
      requests_per_second: z.int().min(0).max(1_000_000).optional(),
      concurrent_jobs: z.int().min(1).max(64).optional(),
    })
    .optional(),
  api_keys: API_KEYS_SHAPE.optional(),
})

/** What the command line says. */
export interface ConfigFlags {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly backupRoots?: readonly string[] | undefined
}

/** Puts a configuration together. `file`: the prism.toml that applies, if there is one. Environment: PRISM_HOST, PRISM_PORT,
 *  PRISM_LOG, PRISM_API_KEYS (a JSON list as `api_keys` in the file).
 *  @throws PrismError INVALID_FORMAT with each problem of the file, USAGE for all else */
export function readServerConfig(
  flags: ConfigFlags,
  env: ConfigSources["env"],
  file: ConfigFile | undefined,
): ServerConfig {
  const { server = {}, tls, limits = {}, api_keys } = file ? checkedFile(file) : {}
  const inFile = (path: string) => (file ? pathFrom(file, path, env) : path)
  const config: ServerConfig = {
    host:
      checked("--host", host, flags.host) ?? variable(env, "PRISM_HOST", host) ?? server.host ?? DEFAULT_CONFIG.host,
    port: flags.port ?? variable(env, "PRISM_PORT", port, parseDigits) ?? server.port ?? DEFAULT_CONFIG.port,
    backupRoots: flags.backupRoots ?? server.backup_roots?.map(inFile),
    tls: tls && { certFile: inFile(tls.cert_file), keyFile: inFile(tls.key_file) },
    apiKeys: variable(env, "PRISM_API_KEYS", SOME_API_KEYS, parseJsonValue) ?? api_keys ?? DEFAULT_CONFIG.apiKeys,
    allowedOrigins: server.allowed_origins ?? DEFAULT_CONFIG.allowedOrigins,
    limits: {
      bodyBytes: limits.body_bytes ?? DEFAULT_LIMITS.bodyBytes,
      answerBytes: limits.answer_bytes ?? DEFAULT_LIMITS.answerBytes,
      headerBytes: limits.header_bytes ?? DEFAULT_LIMITS.headerBytes,
      requestSecs: limits.request_secs ?? DEFAULT_LIMITS.requestSecs,
      idleBodySecs: limits.idle_body_secs ?? DEFAULT_LIMITS.idleBodySecs,
      concurrentRequests: limits.concurrent_requests ?? DEFAULT_LIMITS.concurrentRequests,
      requestsPerSecond: limits.requests_per_second ?? DEFAULT_LIMITS.requestsPerSecond,
      concurrentJobs: limits.concurrent_jobs ?? DEFAULT_LIMITS.concurrentJobs,
    },
    drainSecs: server.drain_secs ?? DEFAULT_CONFIG.drainSecs,
    auditFile: server.audit_file === undefined ? undefined : inFile(server.audit_file),
    log: variable(env, "PRISM_LOG", z.enum(LOGS)) ?? server.log ?? DEFAULT_CONFIG.log,
  }
  if (!isLoopback(config.host) && config.apiKeys.length === 0) {
    throw new PrismError("USAGE", `without an API key everybody who reaches ${config.host} could read and delete`, {
      hint: "make a key with prism api-key generate, or listen to this machine alone: --host 127.0.0.1",
    })
  }
  return config
}

function checkedFile({ path, values }: ConfigFile): z.output<typeof CONFIG_FILE_SHAPE> {
  const { success, data, error } = CONFIG_FILE_SHAPE.safeParse(values, PLAIN_WORDS)
  if (success) return data
  const problems = shapeProblems(error, CONFIG_FILE_SHAPE).map(
    (problem): Problem => ({
      place: problem.path === "" ? path : `${path}, ${problem.path}`,
      code: "INVALID_FORMAT",
      message: problem.message,
    }),
  )
  const [first] = problems as [Problem]
  const message = problems.length === 1 ? first.message : `${problems.length} things in ${path} are wrong`
  throw new PrismError("INVALID_FORMAT", message, {
    ...(problems.length === 1 && { place: first.place }),
    problems,
    hint: "docs/admin/configuration.md describes every key",
  })
}

/** A variable of the environment; an empty one is none. */
function variable<T extends z.ZodType>(
  env: ConfigSources["env"],
  name: string,
  shape: T,
  parse: (text: string) => unknown = (text) => text,
): z.output<T> | undefined {
  const text = env(name)
  return text ? checked(name, shape, parse(text)) : undefined
}

function checked<T extends z.ZodType>(name: string, shape: T, value: unknown): z.output<T> | undefined {
  if (value === undefined) return undefined
  const { success, data, error } = shape.safeParse(value, PLAIN_WORDS)
  if (success) return data
  const [first] = shapeProblems(error, shape)
  const where = first?.path ? ` ${first.path}:` : ""
  throw new PrismError("USAGE", `${name}:${where} ${first?.message}`, {
    place: name,
    hint: "see docs/admin/configuration.md",
  })
}

/** What is no row of digits stays text, which no shape takes. */
function parseDigits(text: string): unknown {
  return /^\d+$/.test(text) ? Number(text) : text
}

/** What is no JSON stays text, which no shape takes. */
function parseJsonValue(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return text
  }
}
