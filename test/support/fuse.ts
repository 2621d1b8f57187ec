import type { Disk } from "../../src/storage/disk.ts"

/** Counts the calls that reach a disk, of the disk itself and of the files that it opened, and makes some of them fail. */
export class Fuse {
  calls = 0
  readonly #failing: (call: number) => boolean

  constructor(failing: (call: number) => boolean) {
    this.#failing = failing
  }

  disk(disk: Disk): Disk {
    return this.#wrap(disk, DISK_CALLS)
  }

  #wrap<T extends object>(target: T, names: readonly string[]): T {
    return new Proxy(target, {
      get: (_, name) => {
        const member: unknown = Reflect.get(target, name)
        if (typeof member !== "function" || typeof name !== "string" || !names.includes(name)) return member
        return async (...args: unknown[]) => {
          if (this.#failing(this.calls++)) throw Object.assign(new Error("no more"), { code: "EIO" })
          const result: unknown = await Reflect.apply(member, target, args)
          return name === "createExclusive" || name === "openRead" ? this.#wrap(result as object, FILE_CALLS) : result
        }
      },
    })
  }
}

const FILE_CALLS = ["read", "write", "sync"]
const DISK_CALLS: readonly (keyof Disk)[] = [
  "stat",
  "openRead",
  "createExclusive",
  "rename",
  "link",
  "unlink",
  "syncDirectory",
  "freeBytes",
]
