import { PrismError } from "../base/errors.ts"
import { parseAnnouncement, renderAnnouncement } from "./announcement.ts"
import type { ProcessIdentity } from "./disk.ts"
import {
  judge,
  type Moment,
  type Owner,
  type OwnerFile,
  type OwnerHandle,
  Pulse,
  parseOwnerFile,
  samePids,
  type Witness,
  watchMs,
} from "./owner-file.ts"

// One writer per folder, by files alone, safe against any interleaving of processes that come, wait, sleep and die.
//
//   LOCK              the root of a chain: an owner with a nonce that no other attempt ever has
//   LOCK.<nonce>      who took over from the owner with that nonce: the next link of the chain
//   LOCK.new-<nonce>  the token of an attempt: another name of its file, made before it becomes a link
//
// The holder is the owner at the end of the chain that begins at LOCK, while it lives. A link appears with its whole
// content or not at all, and only where its name is free. Taking over from dead X: become LOCK.X, remove the tokens of all
// owners on the chain, look that the chain still leads here, rename the own token over LOCK, remove the links walked over.
// The release is a mark in the own file; LOCK stays where it is.
//
// Why only one holds it:
//
// - Each name LOCK.X is taken once while X is on the chain: all who want to take over from X meet there, and all but one
//   find another end of the chain. Links are removed only by one who renamed the root past them, or who saw that the root
//   had gone past them, and the root never goes back: it moves only by a token of an owner on the chain, from where it is
//   to that owner. So the chain is one path, and only grows at its end.
// - A contender that slept may be judged dead, and wake up between its look and its rename. Its token is gone before its
//   successor looks: either it renamed before, which changes nothing of who is at the end, or it fails.
// - A dead process does nothing more. But one that was judged by its heartbeat may have slept: it must not act as holder
//   once it has a successor, and it looks for one after every heartbeat before it trusts that heartbeat. It trusts one
//   for two intervals; others wait for three. The successor looks again at the heartbeat after it took its name: it sees
//   one that came before its link, and steps back; one that came after makes the sleeper see the link.
//
// So an owner that finds its last trusted heartbeat fresh, or that looks and finds itself at the end, knows: whatever it
// synced before is there before anybody takes over. On a file system without hard links a name is claimed with an empty
// file first, which a token is renamed over: there a contender that dies in between leaves a LOCK that tells no owner.
//
// Who is dead, and how that is known, is in owner-file.ts. A silent owner of another machine is watched for three
// intervals by the contender's own clock; one whose last heartbeat is recent by the wall clock is LOCKED at once.

export interface LockFiles extends Witness {
  /** Makes a file; its name is new. */
  readonly make: (name: string, text: string) => Promise<OwnerHandle>
  /** Gives a file another name in one step: `from` is its name too then, or where there are no links no more ("moved"). */
  readonly link: (from: string, to: string) => Promise<"linked" | "moved" | "taken" | "gone">
  /** Undefined where there is no such file. */
  readonly read: (name: string) => Promise<string | undefined>
  /** False where `from` is gone. */
  readonly rename: (from: string, to: string) => Promise<boolean>
  /** An absent one is fine. */
  readonly remove: (name: string) => Promise<void>
  /** Names of files that begin with `LOCK.`. */
  readonly names: () => Promise<string[]>
}

export const LOCK_NAME = "LOCK"

const linkName = (nonce: string) => `${LOCK_NAME}.${nonce}`
const tokenName = (nonce: string) => `${LOCK_NAME}.new-${nonce}`

// Each retry follows a change that another process made; so many in a row mean that something else is wrong.
const ATTEMPTS_MAX = 64

/** Becomes the holder, or throws LOCKED. `place`: the folder, for messages. `newNonce`: another one for every call. */
export async function acquireLock(files: LockFiles, place: string, newNonce: () => string): Promise<HeldLock> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const nonce = newNonce()
    const { pulse, text } = await Pulse.begin(files, nonce, "")
    pulse.attach(await files.make(tokenName(nonce), text))
    const lock = new HeldLock(files, place, pulse)
    try {
      const contended = await contend(files, place, pulse)
      if (contended && (await lock.beat())) {
        lock.isTakeover = contended === "taken over"
        return lock
      }
    } catch (error) {
      await stepBack(files, pulse).catch(() => undefined)
      throw error
    }
    await stepBack(files, pulse)
  }
  throw new PrismError("LOCKED", `${place} is being opened by several processes at once`, { hint: "try again", place })
}

export class HeldLock {
  readonly #files: LockFiles
  readonly #place: string
  readonly #pulse: Pulse
  #state: "held" | "lost" | "released" = "held"
  /** Whether some owner before was judged dead, and had not released the lock. */
  isTakeover = false

  constructor(files: LockFiles, place: string, pulse: Pulse) {
    this.#files = files
    this.#place = place
    this.#pulse = pulse
  }

  /** One heartbeat; false once another owner took over. To be called once an interval. */
  async beat(): Promise<boolean> {
    if (this.#state !== "held") return false
    let moment: Moment | undefined
    try {
      moment = await this.#pulse.beat()
    } catch {
      // Without a heartbeat it may still hold the lock; it only must look each time.
    }
    if (this.#state !== "held") return false
    if (!(await isHolder(this.#files, this.#pulse.nonce))) {
      this.#state = "lost"
      // For those who would judge this process by its id.
      await this.#pulse.end().catch(() => undefined)
      return false
    }
    if (moment) this.#pulse.trust(moment)
    return true
  }

  /** LOCK_LOST once another owner may have taken over, else what was synced before the call is seen by whoever does.
   *  Undefined where that is known without a look. */
  check(): Promise<void> | undefined {
    return this.#state === "held" && this.#pulse.isFresh ? undefined : this.#look()
  }

  async #look(): Promise<void> {
    if (await this.beat()) return
    const what = this.#state === "lost" ? "was taken over by another process meanwhile" : "was given back"
    throw new PrismError("LOCK_LOST", `the lock of ${this.#place} ${what}`, {
      place: this.#place,
      hint: "open it again; what was acknowledged is there",
    })
  }

  /** Tells `text` to whoever reads this lock's file, in place of what it told before, until the release. LOCK_LOST. */
  async announce(text: string): Promise<void> {
    // Through the handle: by now the name may be a successor's.
    await this.#pulse.setContent(renderAnnouncement(text))
    await this.#look()
  }

  /** `forget`: without a trace, for a folder that goes with it; only while nobody else can know of it. */
  async release(options: { forget?: boolean } = {}): Promise<void> {
    if (this.#state === "held" && options.forget && (await isHolder(this.#files, this.#pulse.nonce))) {
      await this.#files.remove(LOCK_NAME)
    }
    this.#state = this.#state === "held" ? "released" : this.#state
    await this.#pulse.end()
  }
}

/** What the live holder of the lock announces. Undefined where there is no holder, or nothing is known of it; where it
 *  announces nothing; and while somebody is taking over from it. */
export async function readAnnouncement(files: Pick<LockFiles, "read"> & Witness): Promise<string | undefined> {
  const root = await files.read(LOCK_NAME)
  const file = root === undefined ? undefined : parseOwnerFile(root)
  if (!file || (await judge(files, file)) !== "alive") return undefined
  return (await isHolder(files, file.owner.nonce)) ? parseAnnouncement(file.content) : undefined
}

/** Whether the root is one's own, without a successor. In this order: a successor's link goes only after the root. */
async function isHolder(files: Pick<LockFiles, "read">, nonce: string): Promise<boolean> {
  if ((await files.read(linkName(nonce))) !== undefined) return false
  const root = await files.read(LOCK_NAME)
  return root !== undefined && parseOwnerFile(root)?.owner.nonce === nonce
}

/** What was judged of an owner on the chain. */
interface Predecessor {
  readonly name: string
  readonly file: OwnerFile
}

/** Makes LOCK one's own, and tells whether somebody held it before who is dead now. Undefined when another process
 *  changed something meanwhile. */
async function contend(files: LockFiles, place: string, pulse: Pulse): Promise<"free" | "taken over" | undefined> {
  const token = tokenName(pulse.nonce)
  const first = await files.link(token, LOCK_NAME)
  if (first === "linked" || first === "moved") {
    await files.remove(token)
    return "free"
  }
  if (first === "gone") return undefined
  const chain = new Map<string, Predecessor>()
  let name = LOCK_NAME
  let source = token
  for (;;) {
    const found = await files.read(name)
    if (found === undefined) return undefined
    const file = parseOwnerFile(found)
    if (!file) throw locked(place, undefined, files.self)
    const { nonce } = file.owner
    if (chain.has(nonce)) return undefined
    const judged = await watch(files, name, file)
    if (judged === "changed") return undefined
    if (judged === "alive") {
      // What one link says holds only while the chain leads there: a contender that steps back is no holder.
      if ((await pathTo(files, chain, nonce)) === undefined) return undefined
      throw locked(place, file.owner, files.self)
    }
    chain.set(nonce, { name, file: judged })
    name = linkName(nonce)
    // While it watched, others may have found it silent.
    if (!pulse.isFresh) pulse.trust(await pulse.beat())
    const linked = await files.link(token, name)
    if (linked === "gone") return undefined
    if (linked === "moved") source = name
    if (linked !== "taken") break
  }
  for (const nonce of chain.keys()) await files.remove(tokenName(nonce))
  const path = await pathTo(files, chain, pulse.nonce)
  if (path === undefined) {
    // The root has gone past all of it, so that nobody meets at this name any more.
    if (await isPast(files, chain)) await files.remove(name)
    return undefined
  }
  for (const { owner, beat } of path) {
    const before = chain.get(owner.nonce)!.file.beat
    if (beat.isHeld && beat.count !== before.count) return undefined
  }
  if (!(await files.rename(source, LOCK_NAME))) return undefined
  for (const predecessor of chain.values()) {
    if (predecessor.name !== LOCK_NAME) await files.remove(predecessor.name)
  }
  await files.remove(name)
  // Of attempts that died; others begin anew.
  for (const other of await files.names()) if (other.startsWith(tokenName(""))) await files.remove(other)
  return [...chain.values()].some(({ file }) => file.beat.isHeld) ? "taken over" : "free"
}

/** The dead owner as it was judged; or "alive"; or "changed" where its file is another by now. */
async function watch(files: LockFiles, name: string, file: OwnerFile): Promise<OwnerFile | "alive" | "changed"> {
  const liveness = await judge(files, file)
  if (liveness === "alive") return "alive"
  if (liveness === "dead") return file
  const begin = files.clock.monotonicMs()
  do {
    await files.clock.sleep(files.beatMs / 2)
    const found = await files.read(name)
    const now = found === undefined ? undefined : parseOwnerFile(found)
    if (!now || now.owner.nonce !== file.owner.nonce) return "changed"
    if (!now.beat.isHeld) return now
    if (now.beat.count !== file.beat.count) return "alive"
  } while (files.clock.monotonicMs() - begin < watchMs(files))
  return file
}

/** The owners from the root to before `nonce`, all of them on `chain`; undefined where the root does not lead there. */
async function pathTo(
  files: LockFiles,
  chain: ReadonlyMap<string, Predecessor>,
  nonce: string,
): Promise<OwnerFile[] | undefined> {
  for (let look = 0; look < ATTEMPTS_MAX; look++) {
    const path: OwnerFile[] = []
    for (let name = LOCK_NAME; ; ) {
      const found = await files.read(name)
      const file = found === undefined ? undefined : parseOwnerFile(found)
      if (file?.owner.nonce === nonce) return path
      if (!file || !chain.has(file.owner.nonce)) {
        if (name === LOCK_NAME) return undefined
        // The root moved while this walked along: look again.
        break
      }
      path.push(file)
      name = linkName(file.owner.nonce)
    }
  }
  return undefined
}

/** Whether the root is none of the chain any more. */
async function isPast(files: LockFiles, chain: ReadonlyMap<string, Predecessor>): Promise<boolean> {
  const root = await files.read(LOCK_NAME)
  const owner = root === undefined ? undefined : parseOwnerFile(root)?.owner
  return owner !== undefined && !chain.has(owner.nonce)
}

/** Leaves an attempt: what it linked is a dead owner's from now on. */
async function stepBack(files: LockFiles, pulse: Pulse): Promise<void> {
  await pulse.end()
  await files.remove(tokenName(pulse.nonce))
}

function locked(place: string, owner: Owner | undefined, self: ProcessIdentity): PrismError {
  if (!owner) {
    return new PrismError("LOCKED", `${place} is locked, and its file ${LOCK_NAME} does not tell by whom`, {
      place,
      hint: `if no other process uses the folder, remove the file ${LOCK_NAME} in it`,
    })
  }
  if (!samePids(self, owner)) {
    return new PrismError(
      "LOCKED",
      `${place} is in use by process ${owner.pid} of another machine or container (${owner.machine})`,
      { place, hint: "close it there; if that one is dead, it is open to others half a minute later" },
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
