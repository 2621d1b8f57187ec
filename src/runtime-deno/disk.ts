import { basename, dirname, join, resolve } from "node:path"
import { disk as nodeDisk } from "../runtime-node/disk.ts"
import type { Disk, DiskWriter } from "../storage/disk.ts"
import { type DenoFile, deno } from "./deno.ts"

// Deno has no call of its own for these: reads at a position, the folder for temporary files, free space, who runs here,
// timers that let a process end.
const { openRead, temporaryDirectory, freeBytes, self, findProcess, clock } = nodeDisk

export const disk: Disk = {
  resolve: (path) => resolve(path),
  parent: dirname,
  name: (path) => basename(path),
  join: (directory, name) => join(directory, name),

  async stat(path) {
    try {
      const found = await deno.stat(path)
      return { kind: kindOf(found), size: found.size }
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") return undefined
      throw error
    }
  },

  realPath: (path) => deno.realPath(path),

  async isLink(path) {
    try {
      return (await deno.lstat(path)).isSymlink
    } catch (error) {
      if ((error as { code?: string }).code === "ENOENT") return false
      throw error
    }
  },

  temporaryDirectory,

  async list(path) {
    const entries: { name: string; kind: "file" | "directory" | "other" }[] = []
    for await (const entry of deno.readDir(path)) entries.push({ name: entry.name, kind: kindOf(entry) })
    return entries
  },

  openRead,

  async stream(path) {
    return (await deno.open(path, { read: true })).readable
  },

  async openAppend(path, length) {
    const file = await deno.open(path, { read: true, write: true })
    try {
      await file.truncate(length)
      await file.seek(length, SEEK_START)
      return writer(file, length)
    } catch (error) {
      file.close()
      throw error
    }
  },

  async createExclusive(path) {
    return writer(await deno.open(path, { write: true, createNew: true, mode: 0o600 }), 0)
  },

  rename: (from, to) => deno.rename(from, to),
  link: (from, to) => deno.link(from, to),
  unlink: (path) => deno.remove(path),
  makeDirectory: (path) => deno.mkdir(path, { mode: 0o700 }),
  removeDirectory: (path) => deno.remove(path),

  async removeTree(path) {
    try {
      await deno.remove(path, { recursive: true })
    } catch (error) {
      if ((error as { code?: string }).code !== "ENOENT") throw error
    }
  },

  async syncDirectory(path) {
    const file = await deno.open(path, { read: true })
    try {
      await file.sync()
    } finally {
      file.close()
    }
  },

  freeBytes,
  self,
  findProcess,
  clock,
}

const SEEK_START = 0

function writer(file: DenoFile, length: number): DiskWriter {
  let end = length
  const write = async (bytes: Uint8Array) => {
    for (let count = 0; count < bytes.length; ) count += await file.write(bytes.subarray(count))
  }
  const append = async (bytes: Uint8Array) => {
    await write(bytes)
    end += bytes.length
  }
  return {
    write: append,
    async writeDurably(bytes) {
      await append(bytes)
      await file.syncData()
    },
    async cut(length) {
      await file.truncate(length)
      end = length
      await file.seek(end, SEEK_START)
    },
    async overwrite(bytes, position) {
      await file.seek(position, SEEK_START)
      await write(bytes)
      await file.seek(end, SEEK_START)
    },
    sync: () => file.sync(),
    async close() {
      file.close()
    },
  }
}

function kindOf(entry: { isFile: boolean; isDirectory: boolean }): "file" | "directory" | "other" {
  return entry.isFile ? "file" : entry.isDirectory ? "directory" : "other"
}
