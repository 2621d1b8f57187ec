import { PrismError } from "../base/errors.ts"
import type { ProcessIdentity } from "./disk.ts"

// One writer per folder, by files alone, safe against any interleaving of processes that come, wait and die.
//
//   LOCK           who holds the lock: a process and a nonce that no other acquisition ever has
//   LOCK.<nonce>   who may take over from the dead owner with that nonce: the next link of a chain that begins at LOCK
//
// A file appears with its whole content or not at all, and only where the name is free (`publish`). Taking over from a
// dead owner X means: publish LOCK.X with oneself in it, look that LOCK still leads here, rename it over LOCK. If the
// taker Y dies in between, LOCK.X names Y, and the next one continues at LOCK.Y.
//
// Why only one wins: LOCK changes from X only by whoever stands at the end of the chain X → … and each link can be
// published once while the chain is there, so all contenders of one dead owner meet at one name and all but one see a
// live process in it. A contender that slept through a whole take-over may publish LOCK.X again after it was cleaned
// away, but then LOCK no longer holds X: it sees that when it looks, before it renames, and steps back. X never comes
// again.

export interface LockFiles {
  /** Makes a file with this content, durable or not, in one step; false where the name is taken. */
  publish(name: string, text: string): Promise<boolean>
  /** Undefined where there is no such file. */
  read(name: string): Promise<string | undefined>
  rename(from: string, to: string): Promise<void>
  /** An absent one is fine. */
  remove(name: string): Promise<void>
  /** Names of files that begin with `LOCK.`, unfinished ones of `publish` included. */
  leftovers(): Promise<string[]>
  self(): Promise<ProcessIdentity>
  findProcess(pid: number): Promise<{ readonly startTime: string | undefined } | undefined>
}

export interface LockOwner extends ProcessIdentity {
  readonly nonce: string
}

export type Liveness = "alive" | "dead" | "unknown"

export const LOCK_NAME = "LOCK"

// Each retry follows a change that another process made; so many in a row mean that something else is wrong.
const ATTEMPTS_MAX = 32

/** Becomes the holder, or throws LOCKED. `place`: the folder, for messages. `nonce`: new for every call. */
export async function acquireLock(files: LockFiles, place: string, nonce: string): Promise<() => Promise<void>> {
  const self = await files.self()
  const text = renderOwner({ ...self, nonce })
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    if (await tryAcquire(files, place, self, nonce, text)) {
      return async () => {
        // Nobody takes over from a live owner, so between this look and the removal the lock stays ours.
        const now = await files.read(LOCK_NAME)
        if (now !== undefined && parseOwner(now)?.nonce === nonce) await files.remove(LOCK_NAME)
      }
    }
  }
  throw new PrismError("LOCKED", `${place} is being opened by several processes at once`, { hint: "try again", place })
}

/** False when another process changed something meanwhile: look again. */
async function tryAcquire(
  files: LockFiles,
  place: string,
  self: ProcessIdentity,
  nonce: string,
  text: string,
): Promise<boolean> {
  if (await files.publish(LOCK_NAME, text)) return true
  const chain: { name: string; nonce: string }[] = []
  let name = LOCK_NAME
  for (;;) {
    const found = await files.read(name)
    if (found === undefined) return false
    const owner = parseOwner(found)
    if (!owner) throw locked(place, "unknown", undefined, self)
    const liveness = await judgeOwner(files, self, owner)
    if (liveness !== "dead") {
      // What one link of the chain says holds only while the chain leads there: a contender that steps back is no holder.
      if (!(await leadsHere(files, chain))) return false
      throw locked(place, liveness, owner, self)
    }
    chain.push({ name, nonce: owner.nonce })
    name = `${LOCK_NAME}.${owner.nonce}`
    if (await files.publish(name, text)) break
  }
  if (!(await leadsHere(files, chain))) {
    await files.remove(name)
    return false
  }
  await files.rename(name, LOCK_NAME)
  // Whoever still works on one of these finds that LOCK leads elsewhere and looks again.
  for (const leftover of await files.leftovers()) {
    if (leftover !== `${LOCK_NAME}.${nonce}`) await files.remove(leftover)
  }
  return true
}

/** Whether each link still names whom it named: whoever comes next in the chain is then the one who takes over. */
async function leadsHere(files: LockFiles, chain: readonly { name: string; nonce: string }[]): Promise<boolean> {
  for (const link of chain) {
    const found = await files.read(link.name)
    if (found === undefined || parseOwner(found)?.nonce !== link.nonce) return false
  }
  return true
}

export async function judgeOwner(files: LockFiles, self: ProcessIdentity, owner: LockOwner): Promise<Liveness> {
  if (owner.bootId !== undefined && self.bootId !== undefined) {
    // Another boot of this machine took its processes with it. Another machine's processes cannot be seen from here.
    if (owner.bootId !== self.bootId) return owner.machine === self.machine && self.machine !== "" ? "dead" : "unknown"
    if (owner.pidNamespace !== self.pidNamespace) return "unknown"
  } else if (owner.machine !== self.machine || self.machine === "") return "unknown"
  const found = await files.findProcess(owner.pid)
  if (!found) return "dead"
  if (found.startTime === undefined || owner.startTime === undefined) return "alive"
  return found.startTime === owner.startTime ? "alive" : "dead"
}

function locked(place: string, liveness: Liveness, owner: LockOwner | undefined, self: ProcessIdentity): PrismError {
  if (!owner) {
    return new PrismError("LOCKED", `${place} is locked, and its file ${LOCK_NAME} does not tell by whom`, {
      place,
      hint: `if no other process uses the folder, remove the file ${LOCK_NAME} in it`,
    })
  }
  if (liveness === "unknown") {
    return new PrismError(
      "LOCKED",
      `${place} is in use by process ${owner.pid} of another machine or container (${owner.machine})`,
      { place, hint: `close it there; if it is gone for good, remove the file ${LOCK_NAME} in the folder` },
    )
  }
  if (owner.pid === self.pid) {
    return new PrismError("LOCKED", `${place} is open in this process (${owner.pid}) already`, {
      place,
      hint: "use the Prism that is open, or close it first",
    })
  }
  return new PrismError("LOCKED", `${place} is in use by process ${owner.pid}`, {
    place,
    hint: `wait until it is done, or stop it with kill ${owner.pid}`,
  })
}

export function renderOwner(owner: LockOwner): string {
  return `${JSON.stringify(owner)}\n`
}

/** Undefined where the text is not one of ours. */
export function parseOwner(text: string): LockOwner | undefined {
  let value: Record<string, unknown>
  try {
    value = JSON.parse(text)
  } catch {
    return undefined
  }
  if (typeof value !== "object" || value === null) return undefined
  const { pid, machine, nonce } = value
  if (!Number.isSafeInteger(pid) || (pid as number) <= 0 || typeof machine !== "string") return undefined
  // The nonce becomes a part of a file name.
  if (typeof nonce !== "string" || !/^[0-9a-f]{16,64}$/.test(nonce)) return undefined
  const optional = (key: string) => (typeof value[key] === "string" ? (value[key] as string) : undefined)
  return {
    pid: pid as number,
    machine,
    nonce,
    bootId: optional("bootId"),
    pidNamespace: optional("pidNamespace"),
    startTime: optional("startTime"),
  }
}
