import { encodeUtf8 } from "../base/bytes.ts"
import { crc32c } from "../base/crc32c.ts"
import type { Clock, ProcessIdentity } from "./disk.ts"

// A file that tells which process owns it, and whether that one lives: the lock and each hold. Text:
//
//   owner    one line of JSON: who made the file, with a nonce that no other file ever has
//   slots    two lines of SLOT_BYTES: "held" or "free", how often it was written, the owner's uptime and wall clock in
//            milliseconds, CRC-32C in hex. They are written in turns, so that one is whole whenever somebody looks
//   content  of a hold, as it was made; of a lock what its holder announces (announcement.ts), if it does
//
// The slots are written through the handle that made the file, never by its name: whatever has that name by now, an owner
// that slept through its own burial touches only its own file.

/** Between two heartbeats. */
export const HEARTBEAT_MS = 10_000
/** An owner that missed so many is dead. */
const BEATS_MISSED_MAX = 3
/** For so long after its last one an owner need not look whether it is one still: one beat less than others wait. */
const BEATS_TRUSTED = 2
/** Clocks that are read one after the other, or are rounded, may seem to run backwards by less than this. */
const CLOCK_TOLERANCE_MS = 1000
const COUNT_DIGITS = 10
const MS_DIGITS = 15
const SLOT_BYTES = 4 + 1 + COUNT_DIGITS + 1 + MS_DIGITS + 1 + MS_DIGITS + 1 + 8 + 1

export interface Owner extends ProcessIdentity {
  readonly nonce: string
}

export interface Beat {
  /** False once the owner gave the file up. */
  readonly isHeld: boolean
  readonly count: number
  /** Since the machine was started; all processes of one boot share it. */
  readonly uptimeMs: number | undefined
  readonly wallMs: number
}

export interface OwnerFile {
  readonly owner: Owner
  /** The last one. */
  readonly beat: Beat
  readonly content: string
}

/** What is known at once of an owner. `silent`: nothing tells, and its last heartbeat is old or from another clock. */
export type Liveness = "alive" | "dead" | "silent"

/** What tells the liveness of another process. */
export interface Witness {
  readonly self: ProcessIdentity
  readonly clock: Clock
  readonly beatMs: number
  readonly findProcess: (pid: number) => Promise<{ readonly startTime: string | undefined } | undefined>
}

/** A file of this process, written through the handle that made it. */
export interface OwnerHandle {
  overwrite(bytes: Uint8Array, position: number): Promise<void>
  sync(): Promise<void>
  close(): Promise<void>
}

export interface Moment {
  readonly monotonicMs: number
  readonly wallMs: number
}

/** The pulse of a file that this process owns. */
export class Pulse {
  readonly nonce: string
  readonly #clock: Clock
  readonly #beatMs: number
  readonly #slotsOffset: number
  #handle: OwnerHandle | undefined
  #writing: Promise<void> = Promise.resolve()
  #contentBytes = 0
  #count = 0
  /** When the last beat that was seen to count began. */
  #trusted: Moment | undefined

  private constructor(nonce: string, clock: Clock, beatMs: number, slotsOffset: number) {
    this.nonce = nonce
    this.#clock = clock
    this.#beatMs = beatMs
    this.#slotsOffset = slotsOffset
  }

  /** A new file's text, whose first beat is now; `attach` the file's handle. */
  static async begin(witness: Witness, nonce: string, content: string): Promise<{ pulse: Pulse; text: string }> {
    const { clock, self } = witness
    const moment = { monotonicMs: clock.monotonicMs(), wallMs: clock.wallMs() }
    const owner = `${JSON.stringify({ ...self, nonce })}\n`
    const slot = renderSlot({ isHeld: true, count: 0, uptimeMs: await clock.uptimeMs(), wallMs: clock.wallMs() })
    const pulse = new Pulse(nonce, clock, witness.beatMs, encodeUtf8(owner).length)
    pulse.trust(moment)
    return { pulse, text: `${owner}${slot}${slot}${content}` }
  }

  attach(handle: OwnerHandle): void {
    this.#handle = handle
  }

  /** Beats once. Returns the moment at which it began: `trust` it once the file was seen to count after it. */
  async beat(): Promise<Moment> {
    const moment = { monotonicMs: this.#clock.monotonicMs(), wallMs: this.#clock.wallMs() }
    await this.#write(this.#handle, true)
    return moment
  }

  /** Writes over what stands behind the slots, durably; nothing once the file was given up. */
  async setContent(bytes: Uint8Array): Promise<void> {
    await this.#inTurn(async () => {
      const handle = this.#handle
      if (!handle) return
      this.#contentBytes = Math.max(this.#contentBytes, bytes.length)
      await handle.overwrite(bytes, this.#slotsOffset + 2 * SLOT_BYTES)
      await handle.sync()
    })
  }

  trust(moment: Moment): void {
    this.#trusted = moment
  }

  /** Whether nobody can have judged the owner dead yet. Both clocks must say so: one of them stands still while a
   *  machine sleeps, the other may be set. */
  get isFresh(): boolean {
    if (!this.#trusted) return false
    const fresh = (age: number) => age >= 0 && age < BEATS_TRUSTED * this.#beatMs
    return (
      fresh(this.#clock.monotonicMs() - this.#trusted.monotonicMs) && fresh(this.#clock.wallMs() - this.#trusted.wallMs)
    )
  }

  /** Gives the file up: from now on it is anybody's. Twice is fine. */
  async end(): Promise<void> {
    this.#trusted = undefined
    const handle = this.#handle
    this.#handle = undefined
    if (!handle) return
    try {
      await this.#write(handle, false)
      // What was announced is for nobody any more.
      if (this.#contentBytes > 0) {
        await handle.overwrite(new Uint8Array(this.#contentBytes).fill(0x20), this.#slotsOffset + 2 * SLOT_BYTES)
        await handle.sync()
      }
    } finally {
      await handle.close()
    }
  }

  async #write(handle: OwnerHandle | undefined, isHeld: boolean): Promise<void> {
    if (!handle) return
    const count = ++this.#count
    await this.#inTurn(async () => {
      const uptimeMs = await this.#clock.uptimeMs()
      const slot = encodeUtf8(renderSlot({ isHeld, count, uptimeMs, wallMs: this.#clock.wallMs() }))
      await handle.overwrite(slot, this.#slotsOffset + (count % 2) * SLOT_BYTES)
      // Other machines that share the folder see it only then.
      await handle.sync()
    })
  }

  /** One write after another: the slots are in order. */
  async #inTurn(write: () => Promise<void>): Promise<void> {
    const before = this.#writing
    this.#writing = before.catch(() => undefined).then(write)
    await this.#writing
  }
}

/** Undefined where the text is not one of ours. */
export function parseOwnerFile(text: string): OwnerFile | undefined {
  const end = text.indexOf("\n") + 1
  const owner = parseOwner(text.slice(0, end))
  if (!owner) return undefined
  let beat: Beat | undefined
  for (const at of [end, end + SLOT_BYTES]) {
    const slot = parseSlot(text.slice(at, at + SLOT_BYTES))
    if (slot && (!beat || slot.count > beat.count)) beat = slot
  }
  return beat && { owner, beat, content: text.slice(end + 2 * SLOT_BYTES) }
}

/** What `self` knows of an owner at once. */
export async function judge(witness: Witness, { owner, beat }: OwnerFile): Promise<Liveness> {
  if (!beat.isHeld) return "dead"
  const { self, clock } = witness
  if (samePids(self, owner)) {
    const found = await witness.findProcess(owner.pid)
    if (!found) return "dead"
    if (found.startTime === undefined || owner.startTime === undefined) return "alive"
    return found.startTime === owner.startTime ? "alive" : "dead"
  }
  const dead = BEATS_MISSED_MAX * witness.beatMs
  const uptimeMs = await clock.uptimeMs()
  const wallAge = clock.wallMs() - beat.wallMs
  const isRecent = (age: number) => age > -CLOCK_TOLERANCE_MS && age < dead
  if (self.bootId !== undefined && self.bootId === owner.bootId) {
    if (uptimeMs === undefined || beat.uptimeMs === undefined) return isRecent(wallAge) ? "alive" : "silent"
    const age = uptimeMs - beat.uptimeMs
    // Both clocks must say it: the uptime may be a container's own, the wall clock may have been set.
    if (age >= dead && wallAge >= dead) return "dead"
    return isRecent(age) && isRecent(wallAge) ? "alive" : "silent"
  }
  const isRestarted =
    self.bootId !== undefined && owner.bootId !== undefined && self.machine === owner.machine && self.machine !== ""
  if (isRestarted) {
    // Its processes went with that boot, unless another machine has the same name: that one would have been heard since.
    const beforeBoot = uptimeMs !== undefined && wallAge > uptimeMs
    return beforeBoot && wallAge >= dead ? "dead" : "silent"
  }
  return isRecent(wallAge) ? "alive" : "silent"
}

/** Whether the id of the owner's process means a process here. */
export function samePids(self: ProcessIdentity, owner: ProcessIdentity): boolean {
  if (owner.bootId !== undefined && self.bootId !== undefined) {
    return owner.bootId === self.bootId && owner.pidNamespace !== undefined && owner.pidNamespace === self.pidNamespace
  }
  return owner.bootId === self.bootId && owner.machine === self.machine && self.machine !== ""
}

/** How long a silent owner must be watched without a beat to be dead. */
export function watchMs(witness: Witness): number {
  return BEATS_MISSED_MAX * witness.beatMs
}

function renderSlot({ isHeld, count, uptimeMs, wallMs }: Beat): string {
  const uptime = uptimeMs === undefined ? "-".padStart(MS_DIGITS) : digits(uptimeMs, MS_DIGITS)
  const text = `${isHeld ? "held" : "free"} ${digits(count, COUNT_DIGITS)} ${uptime} ${digits(wallMs, MS_DIGITS)}`
  return `${text} ${slotChecksum(text)}\n`
}

function parseSlot(slot: string): Beat | undefined {
  const found = /^((held|free) (\d{10}) ( {14}-|\d{15}) (\d{15})) ([0-9a-f]{8})\n$/.exec(slot)
  if (!found) return undefined
  const [, text, state, count, uptime, wall, checksum] = found as unknown as string[]
  if (slotChecksum(text!) !== checksum) return undefined
  return {
    isHeld: state === "held",
    count: Number(count),
    uptimeMs: uptime!.endsWith("-") ? undefined : Number(uptime),
    wallMs: Number(wall),
  }
}

function digits(value: number, width: number): string {
  return Math.max(0, Math.round(value)).toFixed().padStart(width, "0")
}

function slotChecksum(text: string): string {
  return crc32c(encodeUtf8(text)).toString(16).padStart(8, "0")
}

function parseOwner(line: string): Owner | undefined {
  let value: Record<string, unknown>
  try {
    value = JSON.parse(line)
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
