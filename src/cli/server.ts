// The server that a command goes to: the one that is named, the one that holds a data directory, or the usual one.
import { PrismError } from "../base/errors.ts"
import { parseJson } from "../base/json.ts"
import { chunksOf, readText } from "../base/streams.ts"
import { type Client, createClient } from "../client/index.ts"
import type { Context } from "./context.ts"
import { findDataDirectory } from "./data-directory.ts"

const DEFAULT_URL = "http://localhost:3080"
const KEY_FILE_BYTES_MAX = 64 * 1024

export interface Server {
  readonly url: string
  readonly client: Client
}

/** The server that the user names, by --api-url or PRISM_API_URL. A data directory that is named by an option is nearer
 *  than a server that is named by the environment. */
export async function namedServer(context: Context): Promise<Server | undefined> {
  const { apiUrl, dataDir } = context.globals
  const url = apiUrl ?? (dataDir === undefined ? context.runtime.terminal.env("PRISM_API_URL") : undefined)
  return url ? await connect(context, url) : undefined
}

/** The server for what only a server can do. @throws PrismError SERVER_UNREACHABLE where none holds the data directory */
export async function anyServer(context: Context): Promise<Server> {
  const named = await namedServer(context)
  if (named) return named
  const { runtime, globals } = context
  if (globals.dataDir === undefined && !runtime.terminal.env("PRISM_DATA_DIR")) {
    return await connect(context, DEFAULT_URL)
  }
  const { path } = await findDataDirectory(runtime, globals.dataDir)
  const holder = await holdingServer(context, path)
  if (holder) return holder
  throw new PrismError("SERVER_UNREACHABLE", `no server holds ${path}`, {
    place: path,
    hint: `start one with prism serve -d ${path}, or name one with --api-url`,
  })
}

/** The server that holds the lock of a data directory, if it is one, with the token that it left there. */
export async function holdingServer({ runtime }: Context, directory: string): Promise<Server | undefined> {
  const text = await runtime.readAnnouncement(directory)
  if (text === undefined) return undefined
  const { url, token } = parseJson(text) as { url: string; token: string }
  return { url, client: createClient({ url, apiKey: token }) }
}

/** With the user's key. */
async function connect(context: Context, url: string): Promise<Server> {
  const { apiKeyFile } = context.globals
  const apiKey =
    apiKeyFile === undefined ? context.runtime.terminal.env("PRISM_API_KEY") : await readKey(context, apiKeyFile)
  const client = createClient({ url, apiKey: apiKey || undefined })
  return { url: url.replace(/\/+$/, ""), client }
}

async function readKey(context: Context, path: string): Promise<string> {
  const { name, stream } = await context.openInput(path)
  const key = (await readText(chunksOf(stream), KEY_FILE_BYTES_MAX, name)).trim()
  if (/^[\x21-\x7e]+$/.test(key)) return key
  throw new PrismError("INVALID_REQUEST", `${name} does not hold one API key`, {
    place: name,
    hint: "it is one word, as prism api-key generate prints it",
  })
}
