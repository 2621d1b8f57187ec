import { PrismError } from "../base/errors.ts"
import { Prism } from "../collection/prism.ts"
import type { Collections, Place } from "./collections.ts"
import type { Context } from "./context.ts"
import { findDataDirectory, requireDataDirectory } from "./data-directory.ts"
import { RemoteCollections } from "./remote-collections.ts"
import { holdingServer, namedServer, type Server } from "./server.ts"

/** `read`: beside whoever writes, and in a folder where nothing can be written. `change`: as the only writer. `make`: that
 *  too, and a data directory that is missing is made. */
export type Mode = "read" | "change" | "make"

type Use<T> = (collections: Collections, place: Place) => Promise<T>

/** Lets `use` work with the collections of the named server, or else of the data directory: there itself, or through the
 *  server that holds it. @throws PrismError DATA_DIRECTORY_NOT_FOUND, SERVER_UNREACHABLE; LOCKED where another command
 *  changes something */
export async function withCollections<T>(context: Context, mode: Mode, use: Use<T>): Promise<T> {
  const named = await namedServer(context)
  if (named) return await use(remote(context, named), { kind: "server", name: named.url })
  const { runtime, globals } = context
  const directory =
    mode === "make"
      ? (await findDataDirectory(runtime, globals.dataDir)).path
      : await requireDataDirectory(runtime, globals.dataDir)
  const place: Place = { kind: "data_directory", name: directory }
  const opened = await openOrReach(context, mode, directory)
  if (!(opened instanceof Prism)) return await use(opened, place)
  let result: T
  try {
    result = await use(opened, place)
  } catch (error) {
    // What went wrong first is what counts.
    await opened.close().catch(() => {})
    throw error
  }
  await opened.close()
  return result
}

function remote({ signal, runtime }: Context, { client }: Server): RemoteCollections {
  return new RemoteCollections({ client, signal, createSha256: runtime.createSha256 })
}

const PAUSE_MS = 100
/** Longer than a server has for its last requests, unless it is told otherwise. */
const PATIENCE_MS = 60_000

/** The data directory, opened; or the server that holds it. One that is about to end, or has ended without giving the lock
 *  back, is waited for: then the directory is free, or another server holds it. */
async function openOrReach(context: Context, mode: Mode, directory: string): Promise<Prism | RemoteCollections> {
  const end = context.now() + PATIENCE_MS
  for (let isFirst = true; ; isFirst = false) {
    try {
      return await open(context, mode, directory)
    } catch (error) {
      if (!(error instanceof PrismError && error.code === "LOCKED")) throw error
      const server = await holdingServer(context, directory)
      if (server && (await takesRequests(context, server))) return remote(context, server)
      if (isFirst ? !server : context.now() > end) throw error
      if (isFirst) context.note(`Waiting for the server that holds ${directory}`)
      await pause(context)
    }
  }
}

async function open({ runtime }: Context, mode: Mode, directory: string): Promise<Prism> {
  const create = mode === "make"
  const readOnly = mode === "read"
  const storage = await runtime.openStorage(directory, { create, removeIfEmpty: create, readOnly })
  return await Prism.openStorage(storage, runtime, { readOnly })
}

async function takesRequests({ signal }: Context, { client }: Server): Promise<boolean> {
  try {
    await client.ready({ signal })
    return true
  } catch (error) {
    signal.throwIfAborted()
    if (error instanceof PrismError) return false
    throw error
  }
}

async function pause({ signal }: Context): Promise<void> {
  await new Promise((resolve) => setTimeout(resolve, PAUSE_MS))
  signal.throwIfAborted()
}
