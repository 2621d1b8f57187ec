import { PrismError } from "../base/errors.ts"
import type { Files } from "../runtime.ts"
import type { Disk } from "./disk.ts"
import {
  isCode,
  LocalReadableFile,
  makeDirectories,
  randomHex,
  renameWithoutReplacing,
  unlinkIfThere,
} from "./local-storage.ts"
import { notAllowed, realPath } from "./real-path.ts"
import { attempt, systemError } from "./system-error.ts"

/** The files that a user names, the same on every runtime: the runtime brings the system calls. */
export function localFiles(disk: Disk): Files {
  return {
    async size(path) {
      const found = await attempt("look at", path, () => disk.stat(disk.resolve(path)))
      if (found?.kind === "directory") throw isFolder("read", path)
      return found?.size
    },

    async isDirectory(path) {
      return (await attempt("look at", path, () => disk.stat(disk.resolve(path))))?.kind === "directory"
    },

    resolve: (path) => disk.resolve(path),

    realPath: (path) => realPath(disk, path),

    temporaryDirectory: () => disk.temporaryDirectory(),

    async read(path) {
      const place = disk.resolve(path)
      const found = await attempt("look at", path, () => disk.stat(place))
      if (found?.kind === "directory") throw isFolder("read", path)
      const source = (await attempt("read", path, () => disk.stream(place))).getReader()
      return new ReadableStream<Uint8Array>(
        {
          async pull(controller) {
            const { done, value } = await attempt("read", path, () => source.read())
            if (done) controller.close()
            else controller.enqueue(value)
          },
          cancel: (reason) => source.cancel(reason),
        },
        { highWaterMark: 0 },
      )
    },

    async open(path, options) {
      const place = disk.resolve(path)
      try {
        const found = await disk.stat(place)
        if (found?.kind === "directory") throw isFolder("read", path)
        if (found?.kind === "other") return undefined
        return new LocalReadableFile(path, await disk.openRead(place, options))
      } catch (error) {
        throw isCode(error, "ELOOP") ? notAllowed(path, "a link is in the way") : systemError(error, "read", path)
      }
    },

    freeBytes: (path) =>
      attempt("look at", path, async () => {
        let place = disk.resolve(path)
        while ((await disk.stat(place)) === undefined) place = disk.parent(place)
        return await disk.freeBytes(place)
      }),

    write: (path, options) => writeFile(disk, path, options),

    append: (path, bytes) => attempt("write", path, () => appendFile(disk, path, bytes)),

    rename: (from, to) =>
      attempt("rename", from, async () => {
        const target = disk.resolve(to)
        await disk.rename(disk.resolve(from), target)
        await disk.syncDirectory(disk.parent(target))
      }),

    async discard(temporary) {
      if (!TEMPORARY.test(disk.name(temporary))) {
        throw new PrismError("INVALID_REQUEST", `${temporary} is not the name of a temporary file`, {
          place: temporary,
        })
      }
      await attempt("remove", temporary, () => unlinkIfThere(disk, disk.resolve(temporary)))
    },
  }
}

/** Of a file that is being written; nobody else gives a file such a name. */
const TEMPORARY = /^\.prism-[0-9a-f]+\.tmp$/

async function appendFile(disk: Disk, path: string, bytes: Uint8Array): Promise<void> {
  const target = disk.resolve(path)
  const folder = disk.parent(target)
  const found = await disk.stat(target)
  if (found && found.kind !== "file") throw isFolder("write", path)
  if (!found) await makeDirectories(disk, folder)
  const writer = found ? await disk.openAppend(target, found.size) : await disk.createExclusive(target)
  try {
    await writer.writeDurably(bytes)
  } finally {
    await writer.close()
  }
  if (!found) await disk.syncDirectory(folder)
}

async function writeFile(
  disk: Disk,
  path: string,
  { replace, verify, onTemporary }: Parameters<Files["write"]>[1],
): Promise<WritableStream<Uint8Array>> {
  const target = disk.resolve(path)
  const folder = disk.parent(target)
  const found = await attempt("look at", path, () => disk.stat(target))
  if (found?.kind === "directory") throw isFolder("write", path)
  if (found && !replace) throw exists(path)
  // Renaming over a device would put a file in its place.
  if (found?.kind === "other") {
    throw new PrismError("IO_ERROR", `cannot write ${path}: it is a device or pipe`, {
      place: path,
      hint: "use - for standard output",
    })
  }
  const temporary = disk.join(folder, `.prism-${randomHex()}.tmp`)
  await onTemporary?.(temporary)
  const made = await attempt("make the folder of", path, () => makeDirectories(disk, folder))
  const removeFolders = async () => {
    // One that somebody else uses by now stays.
    for (const directory of made.reverse()) await disk.removeDirectory(directory).catch(() => undefined)
  }
  const writer = await disk.createExclusive(temporary).catch(async (error) => {
    await removeFolders()
    throw systemError(error, "write", path)
  })
  let open = true
  const discard = async () => {
    if (open) await writer.close().catch(() => undefined)
    open = false
    await unlinkIfThere(disk, temporary)
    await removeFolders()
  }
  /** A stream that fails calls neither `close` nor `abort`, so each step cleans up after itself. */
  const step = async (call: () => Promise<void>) => {
    try {
      await call()
    } catch (error) {
      await discard().catch(() => undefined)
      throw !replace && isCode(error, "EEXIST") ? exists(path) : systemError(error, "write", path)
    }
  }
  return new WritableStream<Uint8Array>({
    write: (bytes) => step(() => writer.write(bytes)),
    close: () =>
      step(async () => {
        await writer.sync()
        open = false
        await writer.close()
        if (verify) {
          await using written = new LocalReadableFile(path, await disk.openRead(temporary))
          await verify(written)
        }
        if (replace) await disk.rename(temporary, target)
        else await renameWithoutReplacing(disk, temporary, target)
        await disk.syncDirectory(folder)
      }),
    abort: discard,
  })
}

function isFolder(action: string, path: string): PrismError {
  return new PrismError("IO_ERROR", `cannot ${action} ${path}: it is a folder`, { place: path })
}

function exists(path: string): PrismError {
  return new PrismError("FILE_EXISTS", `${path} exists already`, { place: path, hint: "choose another name" })
}
