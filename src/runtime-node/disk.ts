import { constants } from "node:fs"
import {
  type FileHandle,
  link,
  lstat,
  mkdir,
  open,
  readdir,
  readFile,
  readlink,
  realpath,
  rename,
  rm,
  rmdir,
  stat,
  statfs,
  unlink,
} from "node:fs/promises"
import { hostname, tmpdir } from "node:os"
import { basename, dirname, join, resolve } from "node:path"
import type { Clock, Disk, DiskReader, DiskWriter, ProcessIdentity } from "../storage/disk.ts"

const STREAM_CHUNK_BYTES = 256 * 1024

const clock: Clock = {
  wallMs: () => Date.now(),
  monotonicMs: () => performance.now(),

  async uptimeMs() {
    const seconds = Number.parseFloat((await readText("/proc/uptime")) ?? "")
    return Number.isNaN(seconds) ? undefined : Math.round(seconds * 1000)
  },

  sleep: (ms) => new Promise((resolve) => void setTimeout(resolve, ms)),

  repeat(ms, call) {
    const timer = setInterval(call, ms).unref()
    return () => clearInterval(timer)
  },
}

export const disk: Disk = {
  resolve: (path) => resolve(path),
  parent: dirname,
  name: (path) => basename(path),
  join: (directory, name) => join(directory, name),

  async stat(path) {
    try {
      const found = await stat(path)
      return { kind: kindOf(found), size: found.size }
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined
      throw error
    }
  },

  realPath: (path) => realpath(path),

  async isLink(path) {
    try {
      return (await lstat(path)).isSymbolicLink()
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return false
      throw error
    }
  },

  temporaryDirectory: () => unlessRefused(tmpdir),

  async list(path) {
    const entries = await readdir(path, { withFileTypes: true })
    return entries.map((entry) => ({ name: entry.name, kind: kindOf(entry) }))
  },

  async openRead(path, { followLink = true } = {}) {
    const handle = await open(path, constants.O_RDONLY | (followLink ? 0 : (constants.O_NOFOLLOW ?? 0)))
    try {
      const found = await handle.stat()
      if (kindOf(found) === "directory") throw Object.assign(new Error("is a directory"), { code: "EISDIR" })
      return reader(handle, found.size)
    } catch (error) {
      await handle.close()
      throw error
    }
  },

  async stream(path) {
    const handle = await open(path, "r")
    return new ReadableStream<Uint8Array>(
      {
        async pull(controller) {
          try {
            const chunk = new Uint8Array(STREAM_CHUNK_BYTES)
            // Without a position it reads on from where it is, which a pipe can do too.
            const { bytesRead } = await handle.read(chunk, 0, chunk.length, null)
            if (bytesRead > 0) return controller.enqueue(chunk.subarray(0, bytesRead))
            await handle.close()
            controller.close()
          } catch (error) {
            await handle.close()
            throw error
          }
        },
        cancel: () => handle.close(),
      },
      { highWaterMark: 0 },
    )
  },

  async openAppend(path, length) {
    const handle = await open(path, "r+")
    try {
      await handle.truncate(length)
      return writer(handle, length)
    } catch (error) {
      await handle.close()
      throw error
    }
  },

  async createExclusive(path) {
    return writer(await open(path, "wx", 0o600), 0)
  },

  rename,
  link,
  unlink,
  makeDirectory: async (path) => await mkdir(path, 0o700),
  removeDirectory: rmdir,
  removeTree: (path) => rm(path, { recursive: true, force: true }),

  async syncDirectory(path) {
    const handle = await open(path, constants.O_RDONLY | (constants.O_DIRECTORY ?? 0))
    try {
      await handle.sync()
    } finally {
      await handle.close()
    }
  },

  async freeBytes(path) {
    const found = await statfs(path)
    return found.bavail * found.bsize
  },

  async self(): Promise<ProcessIdentity> {
    return {
      pid: process.pid,
      machine: (await readText("/etc/machine-id")) ?? unlessRefused(hostname) ?? "",
      bootId: await readText("/proc/sys/kernel/random/boot_id"),
      pidNamespace: await readlink("/proc/self/ns/pid").catch(() => undefined),
      startTime: (await processStat(process.pid))?.startTime,
    }
  },

  async findProcess(pid) {
    const found = await processStat(pid)
    // A zombie runs no more; it only waits for its parent to ask how it ended.
    if (found) return found.state === "Z" || found.state === "X" ? undefined : { startTime: found.startTime }
    try {
      process.kill(pid, 0)
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ESRCH") return undefined
    }
    return { startTime: undefined }
  },

  clock,
}

function reader(handle: FileHandle, size: number): DiskReader {
  return {
    size,
    async read(target, position) {
      let count = 0
      while (count < target.length) {
        const { bytesRead } = await handle.read(target, count, target.length - count, position + count)
        if (bytesRead === 0) break
        count += bytesRead
      }
      return count
    },
    close: () => handle.close(),
  }
}

function writer(handle: FileHandle, length: number): DiskWriter {
  let end = length
  let through: Promise<FileHandle | undefined> | undefined
  const write = async (bytes: Uint8Array, position: number, to = handle) => {
    for (let count = 0; count < bytes.length; ) {
      count += (await to.write(bytes, count, bytes.length - count, position + count)).bytesWritten
    }
  }
  const append = async (bytes: Uint8Array, to = handle) => {
    await write(bytes, end, to)
    end += bytes.length
  }
  return {
    write: append,
    async writeDurably(bytes) {
      through ??= openThrough(handle)
      const throughHandle = await through
      if (throughHandle) return await append(bytes, throughHandle)
      await append(bytes)
      await handle.datasync()
    },
    async cut(length) {
      await handle.truncate(length)
      end = length
    },
    overwrite: (bytes, position) => write(bytes, position),
    sync: () => handle.sync(),
    async close() {
      await (await through)?.close()
      await handle.close()
    },
  }
}

/** The file once more, so that each write through this handle is durable when it returns (open(2), O_DSYNC): one call
 *  instead of two, each of which waits for a thread. Undefined where a descriptor is no path (proc(5)). */
async function openThrough(handle: FileHandle): Promise<FileHandle | undefined> {
  if (process.platform !== "linux") return undefined
  return await open(`/proc/self/fd/${handle.fd}`, constants.O_WRONLY | constants.O_DSYNC).catch(() => undefined)
}

function kindOf(entry: { isFile(): boolean; isDirectory(): boolean }): "file" | "directory" | "other" {
  return entry.isFile() ? "file" : entry.isDirectory() ? "directory" : "other"
}

/** What a runtime with permissions may keep to itself. */
function unlessRefused(ask: () => string): string | undefined {
  try {
    return ask()
  } catch {
    return undefined
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return (await readFile(path, "utf8")).trim() || undefined
  } catch {
    return undefined
  }
}

/** Fields 3 and 22 of /proc/PID/stat (proc(5)). The name before them may hold spaces and parentheses itself. */
async function processStat(pid: number): Promise<{ state: string; startTime: string } | undefined> {
  const text = await readText(`/proc/${pid}/stat`)
  if (text === undefined) return undefined
  const fields = text.slice(text.lastIndexOf(")") + 2).split(" ")
  const state = fields[0]
  const startTime = fields[19]
  return state === undefined || startTime === undefined ? undefined : { state, startTime }
}
