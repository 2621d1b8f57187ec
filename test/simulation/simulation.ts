import { PrismError } from "../../src/base/errors.ts"
import { viewArchive } from "../../src/collection/archive/view-archive.ts"
import type { Collection } from "../../src/collection/collection.ts"
import { Prism } from "../../src/collection/prism.ts"
import { compressSeekable } from "../../src/formats/seekable-zstd.ts"
import type { Codecs } from "../../src/runtime.ts"
import { parentPath } from "../../src/storage/path.ts"
import type { Storage } from "../../src/storage/storage.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import {
  CHANGING_OPERATIONS,
  type Fault,
  FaultyStorage,
  type Operation,
  READING_OPERATIONS,
} from "../support/faulty-storage.ts"
import { Random } from "../support/random.ts"
import { storedZstd } from "../support/stored-zstd.ts"
import { collectSink, streamOf } from "../support/streams.ts"
import {
  applyWrites,
  describeState,
  documentOf,
  documentsIn,
  EDGE_TYPE,
  findWrong,
  HUB,
  markOf,
  prefixStates,
  QUOTA_NAME,
  QUOTA_SCHEMA,
  SCHEMA,
  type State,
  sameState,
  vectorOf,
  type Write,
  withinQuota,
} from "./model.ts"

// Random operations of several processes on one machine that fails in every way it can, against a Map.
//
// The model knows what each collection shows now, and what else it may hold after a crash because an operation failed
// and nobody knows how far it came. An acknowledged write leaves one state; a recovery, one of the possible, and then
// that one for good, whatever happens next. Everything follows from the seed: the numbers, the faults, how many turns of
// the promise queue each storage operation takes, and the clock.

export interface SimulationOptions {
  readonly seed: number
  readonly operations: number
  readonly runtime: Codecs
  /** Storage operations that faults hit; all by default. */
  readonly faulty?: readonly Operation["kind"][]
  /** Puts something between Prism and the storage of a process. */
  readonly between?: (storage: FaultyStorage) => Storage
}

export interface SimulationReport {
  operations: Record<string, number>
  faults: Record<string, number>
  storageOperations: Record<string, number>
  powerCuts: number
  kills: number
  recoveries: number
  /** Recoveries that a fault cut short. */
  failedRecoveries: number
  documentsChecked: number
  seals: number
  merges: number
  readers: number
  diskFull: number
  quotaRefusals: number
}

/** What the simulation found. The message ends with how to run it again. */
export class SimulationFailure extends Error {
  override readonly name = "SimulationFailure"
}

const COLLECTIONS = ["a", "b", QUOTA_NAME]
/** Small, so that segments are sealed and merged all the time. */
const TUNING = { ramDocuments: 40, ramBytes: 64 * 1024, mergeFactor: 3 }
const READERS_MAX = 2
const ID_COUNT = 40
const TRACE_LENGTH = 40
const ALL_OPERATIONS = [...CHANGING_OPERATIONS, ...READING_OPERATIONS]
/** What a user may be told after a fault. */
const FAULT_CODES = new Set(["IO_ERROR", "DISK_FULL", "READ_ONLY"])

interface Known {
  /** What reads show. */
  visible: State
  /** What else a recovery may find. */
  possible: State[]
}

type Outcome<T> = { readonly value: T } | { readonly error: unknown }

interface WriteCall {
  readonly writes: readonly Write[]
  readonly isDelete: boolean
  /** A put that repeats an id: it is refused by itself. */
  readonly repeats: boolean
  readonly outcome: Promise<Outcome<number>>
}

/** Another process that reads a collection as it was when it was opened. */
interface Reader {
  readonly process: FaultyStorage
  readonly prism: Prism
  readonly collection: Collection
  readonly state: ReadonlyMap<string, number>
  /** The collection was deleted or replaced since: it reads what it has open. */
  isGone: boolean
}

interface Archive {
  readonly bytes: Uint8Array
  readonly state: ReadonlyMap<string, number>
}

/** Milliseconds; goes on from one run to the next, as what looks at it does. */
let clock = 0

export async function simulate(options: SimulationOptions): Promise<SimulationReport> {
  // A module that is compiled at its first use would be waited for once, and not the next time.
  const pieces = async function* () {
    yield { bytes: new Uint8Array(1), startsFrame: true }
  }
  for await (const _ of compressSeekable(pieces(), storedZstd));
  // Long work yields to timers by the clock; by a clock of its own here, so that a seed is always the same run.
  const now = performance.now.bind(performance)
  clock += 1000
  // A power of two, so that no sum is rounded: a seed is the same run after others as alone.
  performance.now = () => (clock += 1 / 16)
  const wallClock = Date.now
  let wall = 1.7e12
  Date.now = () => ++wall
  // And names of files, salts of logs.
  const getRandomValues = crypto.getRandomValues.bind(crypto)
  const random = new Random(options.seed ^ 0x5a17)
  crypto.getRandomValues = (array) => {
    const bytes = new Uint8Array(array.buffer, array.byteOffset, array.byteLength)
    for (let at = 0; at < bytes.length; at++) bytes[at] = random.below(256)
    return array
  }
  try {
    return await new Simulation(options).run()
  } finally {
    performance.now = now
    Date.now = wallClock
    crypto.getRandomValues = getRandomValues
  }
}

class Simulation {
  readonly #options: SimulationOptions
  readonly #random: Random
  readonly #faultRandom: Random
  readonly #turnRandom: Random
  readonly #known = new Map<string, Known>(COLLECTIONS.map((name) => [name, { visible: undefined, possible: [] }]))
  readonly #trace: string[] = []
  readonly #archives: Archive[] = []
  #machine = new FaultyStorage()
  #process = this.#machine
  #prism: Prism | undefined
  #nextVersion = 1
  #count = 0
  /** The fault that waits for its operation. */
  #armed: { readonly kind: Operation["kind"]; skip: number; readonly fault: Fault; readonly until: number } | undefined
  #firedCount = 0
  /** Faults that had fired when the Prism that is open was opened. */
  #firedAtOpen = 0
  #isCalm = false
  /** Operations up to which the disk has no room, while it has none. */
  #fullUntil: number | undefined
  #readers: Reader[] = []
  /** Manifests that were swapped last, by their path. */
  readonly #manifests = new Map<string, { segments: Map<number, number>; logs: number }>()
  readonly report: SimulationReport = {
    operations: {},
    faults: {},
    storageOperations: {},
    powerCuts: 0,
    kills: 0,
    recoveries: 0,
    failedRecoveries: 0,
    documentsChecked: 0,
    seals: 0,
    merges: 0,
    readers: 0,
    diskFull: 0,
    quotaRefusals: 0,
  }

  readonly #codecs: Codecs

  constructor(options: SimulationOptions) {
    this.#options = options
    const { createSha256, createGcm } = options.runtime
    this.#codecs = { createSha256, createGcm, zstd: storedZstd }
    this.#random = new Random(options.seed)
    this.#faultRandom = new Random(options.seed ^ 0x5bd1e995)
    this.#turnRandom = new Random(options.seed ^ 0x27d4eb2f)
    this.#watch()
  }

  async run(): Promise<SimulationReport> {
    try {
      while (this.#count < this.#options.operations) {
        // What goes on in the background may have met a fault since.
        if (!this.#prism || this.#process.isDead) await this.#recover()
        else await this.#step(this.#prism)
      }
      await this.#quietly(async () => {
        this.#machine.capacity = Number.POSITIVE_INFINITY
        await this.#prism?.close()
        this.#process.kill()
        this.#prism = undefined
      })
      await this.#recover()
      await this.#quietly(async () => await this.#prism?.close())
      return this.report
    } catch (error) {
      const said = error instanceof Error ? (error.stack ?? error.message) : String(error)
      throw new SimulationFailure(
        [
          said,
          `the last operations:\n  ${this.#trace.join("\n  ")}`,
          `again: npm run test:simulation -- ${this.#options.operations} ${this.#options.seed}`,
        ].join("\n"),
        { cause: error },
      )
    }
  }

  // What happens

  async #step(prism: Prism): Promise<void> {
    this.#arm()
    this.#limitDisk()
    const below = (end: number) => this.#random.below(end)
    const names = COLLECTIONS.filter((name) => this.#of(name).visible)
    const name = names[below(names.length)]
    const choice = below(1000)
    if (name === undefined || choice < 12) await this.#create(prism)
    else if (choice < 440) await this.#write(prism, name)
    else if (choice < 640) await this.#get(prism, name)
    else if (choice < 800) await this.#searchText(prism, name)
    else if (choice < 860) await this.#searchVector(prism, name)
    else if (choice < 885) await this.#documents(prism, name)
    else if (choice < 890) await this.#openReader(prism, name)
    else if (choice < 919) await this.#useReader()
    else if (choice < 932) await this.#checkpoint(prism, name)
    else if (choice < 935) await this.#optimize(prism, name)
    else if (choice < 945) await this.#export(prism, name)
    else if (choice < 952) await this.#verify(prism, name)
    else if (choice < 960) await this.#stats(prism, name)
    else if (choice < 968) await this.#reopenCollection(prism, name)
    else if (choice < 974) await this.#restore(prism, name, "replace")
    else if (choice < 980) await this.#restore(prism, name, "merge")
    else if (choice < 985) await this.#delete(prism, name)
    else if (choice < 990) await this.#reopen(prism)
    else if (choice < 995) this.#kill()
    else await this.#cutPower()
    if (this.#process.isDead) this.#prism = undefined
  }

  async #write(prism: Prism, name: string): Promise<void> {
    const known = this.#of(name)
    const before = known.visible
    const fired = this.#firedCount
    const collection = await this.#open(prism, name)
    if (!collection) return
    const below = (end: number) => this.#random.below(end)
    const calls: WriteCall[] = []
    const watchers: Promise<() => void>[] = []
    const issued: Write[] = []
    // What a quota lets through is known only when the calls are answered.
    const isOpen = collection.schema.quota.maxDocuments === undefined
    for (let left = below(3) === 0 ? 2 + below(3) : 1; left > 0; left--) {
      const call = this.#call(collection)
      calls.push(call)
      issued.push(...call.writes)
      if (below(12) === 0 && isOpen) watchers.push(this.#watchExport(collection, before, issued, fired))
      if (below(12) === 0) watchers.push(this.#watchGet(collection, before, issued, fired))
      if (below(60) === 0) watchers.push(this.#watchFold(collection))
      if (below(25) === 0 && isOpen) watchers.push(this.#watchReader(name, before, issued, fired))
    }
    this.#log("write", `${name} ${calls.map((call) => describeCall(call)).join(" | ")}`, calls.length)
    const outcomes = await Promise.all(calls.map(({ outcome }) => outcome))
    const checks = await Promise.all(watchers)
    this.#settleWrites(known, calls, outcomes, collection.schema.quota.maxDocuments)
    for (const check of checks) check()
    if (known.possible.length > 0) await this.#look(prism, name)
  }

  /** What the outcomes of calls, made one after another without waiting, tell of the state. */
  #settleWrites(
    known: Known,
    calls: readonly WriteCall[],
    outcomes: readonly Outcome<number>[],
    quota: number | undefined,
  ): void {
    let states = [known.visible]
    let failed: (readonly Write[])[] = []
    // Each call that failed may have come any part of its way, after those before it.
    const afterFailed = () =>
      states.flatMap((state) => {
        const after = [state]
        for (const writes of failed) {
          const last = after.at(-1)
          after.push(...prefixStates(last, withinQuota(last, writes, quota)).slice(1))
        }
        return after
      })
    let isOpen = known.possible.length > 0
    for (const [place, outcome] of outcomes.entries()) {
      const { writes, isDelete, repeats } = calls[place] as WriteCall
      const refused = "error" in outcome && outcome.error instanceof PrismError ? outcome.error.code : undefined
      const isTold = (repeats && refused === "DUPLICATE_ID") || (quota !== undefined && refused === "QUOTA_EXCEEDED")
      if ("error" in outcome && !isTold) {
        this.#allowFault(outcome.error, "a write")
        // What is refused after an error is not even tried.
        if (refused !== "READ_ONLY") failed.push(writes)
        isOpen = true
        continue
      }
      states = afterFailed()
      failed = []
      isOpen = states.length > 1
      const [state] = states
      if (
        states.length === 1 &&
        (refused === "QUOTA_EXCEEDED") !== withinQuota(state, writes, quota).length < writes.length
      ) {
        this.#fail(`a quota of ${quota} documents: ${refused ?? "no refusal"} with ${state?.size} before`)
      }
      if (refused === "QUOTA_EXCEEDED") this.report.quotaRefusals++
      if ("value" in outcome && states.length === 1) {
        const there = new Set(writes.filter(({ id }) => state?.has(id)).map(({ id }) => id)).size
        const expected = isDelete ? there : writes.length
        if (outcome.value !== expected) this.#fail(`a call told of ${outcome.value} documents instead of ${expected}`)
      }
      states = states.map((state) => applyWrites(state, withinQuota(state, writes, quota)))
    }
    states = afterFailed()
    const wasOpen = known.possible.length > 0 && isOpen
    known.possible = isOpen ? [...(wasOpen ? known.possible : []), ...states] : []
    known.visible = states[0]
  }

  #call(collection: Collection): WriteCall {
    const choice = this.#random.below(12)
    if (choice < 2) return this.#callDelete(collection)
    if (choice < 4) return this.#callAddEdges(collection)
    return choice < 5 ? this.#callDeleteEdges(collection) : this.#callAdd(collection)
  }

  #callAddEdges(collection: Collection): WriteCall {
    const ids = new Set(Array.from({ length: 1 + this.#random.below(8) }, () => `e${this.#random.below(ID_COUNT)}`))
    const writes = [...ids].map((id) => ({ id, version: this.#nextVersion++ }))
    const edges = writes.map(({ id, version }) => ({ from: id, to: HUB, edge_type: EDGE_TYPE, weight: version }))
    const outcome = settled(collection.graph.addEdges(edges).then(({ added }) => added))
    return { writes, isDelete: false, repeats: false, outcome }
  }

  /** By their ends, or with the node that they leave. */
  #callDeleteEdges(collection: Collection): WriteCall {
    const count = this.#random.below(3)
    const ids = Array.from({ length: Math.max(1, count) }, () => `e${this.#random.below(ID_COUNT)}`)
    const [first] = ids as [string]
    const edges = ids.map((id) => ({ from: id, to: HUB, edge_type: EDGE_TYPE }))
    const deleted =
      count === 0
        ? collection.graph.deleteNode(first).then(({ edges_deleted }) => edges_deleted)
        : collection.graph.deleteEdges(edges).then(({ deleted }) => deleted)
    const writes = ids.map((id) => ({ id, version: 0 }))
    return { writes, isDelete: true, repeats: false, outcome: settled(deleted) }
  }

  #callAdd(collection: Collection): WriteCall {
    const below = (end: number) => this.#random.below(end)
    const count = below(3) === 0 ? 1 + below(12) : 1
    const writes = new Map<string, Write>()
    for (let left = count; left > 0; left--) {
      const id = `d${below(ID_COUNT)}`
      if (!writes.has(id)) writes.set(id, { id, version: this.#nextVersion++ })
    }
    const documents = [...writes.values()].map(documentOf)
    // Where a quota refuses documents too, the error would tell of both.
    const repeats = below(40) === 0 && collection.schema.quota.maxDocuments === undefined
    if (repeats) documents.push(documentOf({ id: documents[0]?.id as string, version: this.#nextVersion++ }))
    const outcome = settled(collection.add(documents).then(({ indexed }) => indexed))
    return { writes: [...writes.values()], isDelete: false, repeats, outcome }
  }

  #callDelete(collection: Collection): WriteCall {
    const ids = Array.from({ length: 1 + this.#random.below(3) }, () => `d${this.#random.below(ID_COUNT)}`)
    const writes = ids.map((id) => ({ id, version: 0 }))
    return { writes, isDelete: true, repeats: false, outcome: settled(collection.delete(ids)) }
  }

  /** An export that begins between writes holds what some number of them left. */
  async #watchExport(
    collection: Collection,
    before: State,
    issued: readonly Write[],
    fired: number,
  ): Promise<() => void> {
    const sink = collectSink()
    const outcome = await settled(collection.export(sink.stream, { format: this.#format() }))
    const found = "value" in outcome ? await this.#archived(sink.bytes()) : new Map<string, number>()
    return () => {
      if (!("value" in outcome)) return this.#allowFault(outcome.error, "an export beside writes", fired)
      if (!prefixStates(before, issued).some((state) => sameState(state, found))) {
        this.#fail(`an export beside writes holds ${describeState(found)}`)
      }
    }
  }

  async #watchGet(collection: Collection, before: State, issued: readonly Write[], fired: number): Promise<() => void> {
    const id = `d${this.#random.below(ID_COUNT)}`
    const outcome = await settled(collection.get(id))
    return () => {
      if (!("value" in outcome)) return this.#allowFault(outcome.error, "a get beside writes", fired)
      const found = outcome.value ? this.#whole(outcome.value) : 0
      const may = [before?.get(id) ?? 0, ...issued.filter((write) => write.id === id).map(({ version }) => version)]
      if (!may.includes(found)) this.#fail(`get ${id} beside writes: version ${found}, not one of ${may.join()}`)
    }
  }

  async #watchFold(collection: Collection): Promise<() => void> {
    const outcome = await settled<unknown>(this.#random.below(2) ? collection.checkpoint() : collection.optimize())
    return () => {
      if ("error" in outcome) this.#allowFault(outcome.error, "a checkpoint beside writes")
    }
  }

  /** A process that opens the collection between writes sees what some number of them left. */
  async #watchReader(name: string, before: State, issued: readonly Write[], fired: number): Promise<() => void> {
    const possible = this.#of(name).possible
    const outcome = await settled(this.#startReader(name))
    return () => {
      if (!("value" in outcome)) return this.#allowFault(outcome.error, "a reader beside writes", fired)
      const { state } = outcome.value
      if (![...prefixStates(before, issued), ...possible].some((may) => sameState(may, state))) {
        this.#fail(`a reader beside writes sees ${describeState(state)}`)
      }
    }
  }

  async #startReader(name: string): Promise<Reader> {
    const process = this.#machine.process()
    const storage = this.#options.between?.(process) ?? process
    const prism = await Prism.openStorage(storage, this.#codecs, { readOnly: true, tuning: TUNING })
    const collection = (await prism.collection(name)) as Collection
    const reader = { process, prism, collection, state: await this.#stateOf(collection), isGone: false }
    this.report.readers++
    this.#readers.push(reader)
    return reader
  }

  async #openReader(prism: Prism, name: string): Promise<void> {
    if (this.#readers.length >= READERS_MAX) return await this.#closeReader()
    this.#log("open reader", name)
    const fired = this.#firedCount
    const outcome = await settled(this.#startReader(name))
    if (!("value" in outcome)) return this.#allowFault(outcome.error, "a reader", fired)
    const { visible, possible } = this.#of(name)
    // What is in the log although its write was not acknowledged may be seen too.
    if (![visible, ...possible].some((state) => sameState(state, outcome.value.state))) {
      this.#failState(`${name} of a reader`, outcome.value.state, [visible, ...possible])
    }
    if (this.#process.isDead) return
    await this.#look(prism, name)
  }

  /** A reader holds its view, whatever was written, merged and removed since. */
  async #useReader(): Promise<void> {
    const reader = this.#readers[this.#random.below(this.#readers.length)]
    if (!reader) return
    this.#log("use reader", "")
    const fired = this.#firedCount
    const { collection, state } = reader
    try {
      const choice = this.#random.below(9)
      if (choice < 3) await this.#checkGet(collection, state, `d${this.#random.below(ID_COUNT)}`)
      else if (choice < 5) await this.#checkText(collection, state, this.#versionOf(state))
      else if (choice < 6) await this.#checkVector(collection, state, this.#versionOf(state))
      else if (choice < 7) await this.#checkDocuments("of a reader", collection, state)
      else if (choice < 8 && !reader.isGone) await this.#verifyReader(collection)
      else await this.#closeReader()
    } catch (error) {
      this.#allowFault(error, "a reader", fired)
    }
    this.#readers = this.#readers.filter(({ process }) => !process.isDead)
  }

  async #verifyReader(collection: Collection): Promise<void> {
    try {
      await collection.verify()
    } catch (error) {
      // It could write no pin, on a full disk, and the writer has gone on.
      if (codeOf(error) !== "CLOSED") throw error
    }
  }

  async #closeReader(): Promise<void> {
    const reader = this.#readers.shift()
    if (!reader) return
    this.#log("close reader", "")
    if (this.#random.below(3) === 0) return reader.process.kill()
    const fired = this.#firedCount
    const outcome = await settled(reader.prism.close())
    if ("error" in outcome) this.#allowFault(outcome.error, "closing a reader", fired)
  }

  async #get(prism: Prism, name: string): Promise<void> {
    const id = `d${this.#random.below(ID_COUNT)}`
    this.#log("get", `${name} ${id}`)
    await this.#read(prism, name, (collection, state) => this.#checkGet(collection, state, id))
  }

  async #checkGet(collection: Collection, state: ReadonlyMap<string, number>, id: string): Promise<void> {
    const found = await collection.get(id)
    const version = found ? this.#whole(found) : 0
    if (version !== (state.get(id) ?? 0)) this.#fail(`get ${id}: version ${version}, not ${state.get(id) ?? 0}`)
    if (!found) return
    const { edges } = await collection.graph.edges(id, { direction: "out" })
    if (edges.map(({ to }) => to).join() !== String(version)) {
      this.#fail(`the edges of ${id} lead to [${edges.map(({ to }) => to).join()}], not to its version, ${version}`)
    }
  }

  async #searchText(prism: Prism, name: string): Promise<void> {
    const version = this.#versionOf(this.#of(name).visible)
    this.#log("search text", `${name} ${version}`)
    await this.#read(prism, name, (collection, state) => this.#checkText(collection, state, version))
  }

  async #checkText(collection: Collection, state: ReadonlyMap<string, number>, version: number): Promise<void> {
    const { results, total } = await collection.search({ query: `title:${markOf(version)}` })
    const expected = [...documentsIn(state)].filter(([, there]) => there === version).map(([id]) => id)
    const found = results.map(({ id }) => id)
    if (found.join() !== expected.join() || total !== expected.length) {
      this.#fail(`a search for version ${version} finds [${found.join()}] (${total}), not [${expected.join()}]`)
    }
  }

  async #searchVector(prism: Prism, name: string): Promise<void> {
    const version = this.#versionOf(this.#of(name).visible)
    this.#log("search vector", `${name} ${version}`)
    await this.#read(prism, name, (collection, state) => this.#checkVector(collection, state, version))
  }

  async #checkVector(collection: Collection, state: ReadonlyMap<string, number>, version: number): Promise<void> {
    const vector = vectorOf(version)
    if (!vector) return
    const { results } = await collection.search({ vector, limit: 1 })
    const expected = [...documentsIn(state)].find(([, there]) => there === version)
    const [nearest] = results
    if (expected ? nearest?.id !== expected[0] || nearest.score !== 1 : nearest?.score === 1) {
      this.#fail(`the vector of version ${version} finds ${nearest?.id} (${nearest?.score}), not ${expected?.[0]}`)
    }
  }

  async #documents(prism: Prism, name: string): Promise<void> {
    this.#log("documents", name)
    await this.#read(prism, name, (collection, state) => this.#checkDocuments(name, collection, state))
  }

  async #checkDocuments(name: string, collection: Collection, state: ReadonlyMap<string, number>): Promise<void> {
    const found = await this.#stateOf(collection)
    if (!sameState(found, state)) this.#failState(name, found, [state])
  }

  async #stats(prism: Prism, name: string): Promise<void> {
    this.#log("stats", name)
    await this.#read(prism, name, async (collection, held) => {
      const state = documentsIn(held)
      const { explicit_edge_count: edges } = await collection.graph.stats()
      if (edges !== held.size - state.size) this.#fail(`stats tell of ${edges} edges, not ${held.size - state.size}`)
      const { document_count: count } = await collection.stats()
      if (count !== state.size) this.#fail(`stats tell of ${count} documents, not ${state.size}`)
      const { total } = await collection.search({ limit: 0 })
      if (total !== state.size) this.#fail(`a search for everything finds ${total} documents, not ${state.size}`)
    })
  }

  async #verify(prism: Prism, name: string): Promise<void> {
    this.#log("verify", name)
    await this.#read(prism, name, async (collection) => await collection.verify())
  }

  async #export(prism: Prism, name: string): Promise<void> {
    const format = this.#format()
    this.#log("export", `${name} ${format}`)
    await this.#read(prism, name, async (collection, state) => {
      const sink = collectSink()
      await collection.export(sink.stream, { format })
      const found = await this.#archived(sink.bytes())
      if (!sameState(found, state)) this.#failState(name, found, [state])
      this.#archives.push({ bytes: sink.bytes(), state })
      if (this.#archives.length > 3) this.#archives.shift()
    })
  }

  async #checkpoint(prism: Prism, name: string): Promise<void> {
    this.#log("checkpoint", name)
    const collection = await this.#open(prism, name)
    if (!collection) return
    const outcome = await settled(collection.checkpoint())
    if ("error" in outcome) this.#allowFault(outcome.error, "a checkpoint")
  }

  async #optimize(prism: Prism, name: string): Promise<void> {
    this.#log("optimize", name)
    const collection = await this.#open(prism, name)
    if (!collection) return
    const outcome = await settled(collection.optimize())
    if ("error" in outcome) this.#allowFault(outcome.error, "an optimize")
  }

  async #create(prism: Prism): Promise<void> {
    const name = COLLECTIONS[this.#random.below(COLLECTIONS.length)] as string
    this.#log("create", name)
    const before = this.#of(name).visible
    const outcome = await settled(prism.createCollection(name, name === QUOTA_NAME ? QUOTA_SCHEMA : SCHEMA))
    if (before && "error" in outcome && codeOf(outcome.error) === "COLLECTION_EXISTS") return
    await this.#replaced(prism, name, outcome, "a creation", new Map())
  }

  async #delete(prism: Prism, name: string): Promise<void> {
    this.#log("delete", name)
    await this.#replaced(prism, name, await settled(prism.deleteCollection(name)), "a deletion", undefined)
  }

  async #restore(prism: Prism, name: string, mode: "replace" | "merge"): Promise<void> {
    const archive = this.#archives[this.#random.below(this.#archives.length)]
    if (!archive) return
    this.#log(mode, `${name} with ${describeState(archive.state)}`)
    const before = this.#of(name).visible
    const outcome = await settled(prism.restore(streamOf(archive.bytes), { target: name, mode }))
    const writes = [...archive.state].map(([id, version]) => ({ id, version }))
    const after = mode === "replace" ? archive.state : applyWrites(before, writes)
    await this.#replaced(prism, name, outcome, `a restore (${mode})`, after)
  }

  /** A collection is another one now, or, where that failed, it may still be the old one. */
  async #replaced(prism: Prism, name: string, outcome: Outcome<unknown>, what: string, after: State): Promise<void> {
    const known = this.#of(name)
    for (const reader of this.#readers) if (reader.collection.name === name) reader.isGone = true
    if ("value" in outcome) {
      known.visible = after
      known.possible = []
      return
    }
    this.#allowFault(outcome.error, what)
    known.possible = [...known.possible, known.visible, after]
    await this.#look(prism, name)
  }

  async #reopenCollection(prism: Prism, name: string): Promise<void> {
    this.#log("reopen collection", name)
    const collection = await this.#open(prism, name)
    if (!collection) return
    const outcome = await settled(collection.close())
    if ("error" in outcome) this.#allowFault(outcome.error, "a close")
    await this.#look(prism, name)
  }

  async #reopen(prism: Prism): Promise<void> {
    this.#log("reopen", "")
    const outcome = await settled(prism.close())
    if ("error" in outcome) this.#allowFault(outcome.error, "a close")
    this.#prism = undefined
  }

  #kill(): void {
    this.#log("kill", "")
    this.report.kills++
    this.#process.kill()
  }

  async #cutPower(): Promise<void> {
    this.#log("power cut", "")
    await this.#restart()
  }

  /** The machine stops, and starts again with what is left. */
  async #restart(): Promise<void> {
    this.report.powerCuts++
    this.#machine = await this.#machine.crash(this.#faultRandom.below(3) === 0 ? undefined : this.#faultRandom.bits())
    this.#process.kill()
    this.#fullUntil = undefined
    this.#readers = []
    this.#watch()
  }

  /** Opens what the last process left, and checks that it holds what it must. */
  async #recover(): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      if (this.#machine.isStopped) await this.#restart()
      this.#process = this.#machine.process()
      this.#isCalm = attempt > 3 || this.#faultRandom.below(3) > 0
      this.#armed = undefined
      const fired = this.#firedCount
      if (!this.#isCalm) this.#armed = { ...this.#randomFault(), until: Number.POSITIVE_INFINITY }
      let prism: Prism | undefined
      try {
        const storage = this.#options.between?.(this.#process) ?? this.#process
        prism = await Prism.openStorage(storage, this.#codecs, { tuning: TUNING })
        const names = await prism.collectionNames()
        for (const name of new Set([...COLLECTIONS, ...names])) {
          const found = names.includes(name) ? await this.#stateOf(await prism.collection(name)) : undefined
          this.#recovered(name, found)
        }
      } catch (error) {
        this.#isCalm = false
        if (this.#firedCount === fired) throw error
        this.#allowFault(error, "a recovery", fired)
        this.report.failedRecoveries++
        this.#log("failed recovery", codeOf(error) ?? "")
        this.#process.kill()
        if (this.#faultRandom.below(2) === 0) await this.#restart()
        continue
      }
      this.#isCalm = false
      this.#armed = undefined
      if (this.#process.isDead) continue
      this.#prism = prism
      this.#firedAtOpen = fired
      this.report.recoveries++
      this.#log("recovery", [...this.#known].map(([name, { visible }]) => `${name} ${visible?.size}`).join(", "))
      return
    }
  }

  #recovered(name: string, found: State): void {
    const known = this.#known.get(name)
    if (!known) this.#fail(`a collection ${name} came from nowhere`)
    const may = [known.visible, ...known.possible]
    if (!may.some((state) => sameState(state, found))) this.#failState(name, found, may)
    // What was seen after a recovery stays.
    known.visible = found
    known.possible = []
  }

  // Looking

  /** Reads what a collection shows after something failed, without faults: one of what is possible. */
  async #look(prism: Prism, name: string): Promise<void> {
    if (this.#process.isDead) return
    await this.#quietly(async () => {
      const names = await prism.collectionNames()
      const found = names.includes(name) ? await this.#stateOf(await prism.collection(name)) : undefined
      const known = this.#of(name)
      const may = [known.visible, ...known.possible]
      if (!may.some((state) => sameState(state, found))) this.#failState(name, found, may)
      known.visible = found
    })
  }

  /** Reads, and checks: reads fail only where a fault hits them. */
  async #read(
    prism: Prism,
    name: string,
    check: (collection: Collection, state: ReadonlyMap<string, number>) => Promise<unknown>,
  ): Promise<void> {
    const fired = this.#firedCount
    try {
      const state = this.#of(name).visible
      if (state) await check((await prism.collection(name)) as Collection, new Map(state))
    } catch (error) {
      this.#allowFault(error, "a read", fired)
    }
  }

  async #open(prism: Prism, name: string): Promise<Collection | undefined> {
    const outcome = await settled(prism.collection(name))
    if ("value" in outcome) return outcome.value as Collection
    this.#allowFault(outcome.error, "opening a collection")
    return undefined
  }

  async #stateOf(collection: Collection): Promise<ReadonlyMap<string, number>> {
    const state = new Map<string, number>()
    for await (const document of collection.documents()) {
      if (state.has(document.id)) this.#fail(`${document.id} is there twice`)
      state.set(document.id, this.#whole(document))
    }
    const edges = await collection.graph.edges(HUB, { direction: "in", limit: 10_000 }).catch((error: unknown) => {
      if (codeOf(error) !== "NODE_NOT_FOUND") throw error
      return { edges: [] }
    })
    for (const { from, weight } of edges.edges) state.set(from, weight)
    return state
  }

  #format(): "portable" | "snapshot" {
    return this.#random.below(2) === 0 ? "portable" : "snapshot"
  }

  async #archived(bytes: Uint8Array): Promise<ReadonlyMap<string, number>> {
    const state = new Map<string, number>()
    await using archive = await viewArchive(bytesAccess(bytes), [], this.#codecs)
    for await (const line of archive.documents()) {
      const document = JSON.parse(new TextDecoder().decode(line))
      if (state.has(document.id)) this.#fail(`${document.id} is in an archive twice`)
      state.set(document.id, this.#whole(document))
    }
    for await (const line of archive.graph()) {
      const { edge } = JSON.parse(new TextDecoder().decode(line))
      if (state.has(edge.from)) this.#fail(`the edge of ${edge.from} is in an archive twice`)
      state.set(edge.from, edge.weight)
    }
    return state
  }

  /** The version of a document, which must be whole. */
  #whole(document: Parameters<typeof findWrong>[0]): number {
    const wrong = findWrong(document)
    if (wrong) this.#fail(wrong)
    this.report.documentsChecked++
    return Number(document.fields["version"])
  }

  /** Mostly one that is there. */
  #versionOf(state: State): number {
    const versions = [...documentsIn(state ?? new Map()).values()]
    if (versions.length === 0 || this.#random.below(4) === 0) return 1 + this.#random.below(this.#nextVersion)
    return versions[this.#random.below(versions.length)] as number
  }

  #of(name: string): Known {
    return this.#known.get(name) as Known
  }

  // Faults

  /** Sees every operation of every process of the machine. */
  #watch(): void {
    this.#machine.reserveMax = 2048
    this.#machine.turns = () => Math.max(0, this.#turnRandom.below(6) - 2)
    this.#machine.faults = ({ kind, path }) => {
      if (kind === "rename" && /\/MANIFEST\.[0-9a-f]+\.tmp$/.test(path)) this.#countBuilds(path)
      this.report.storageOperations[kind] = (this.report.storageOperations[kind] ?? 0) + 1
      const armed = this.#armed
      if (this.#isCalm || armed?.kind !== kind || armed.skip-- > 0) return undefined
      this.#armed = undefined
      this.#firedCount++
      const fault = `${armed.fault.kind} ${kind}`
      this.report.faults[fault] = (this.report.faults[fault] ?? 0) + 1
      if (armed.fault.kind === "kill") this.report.kills++
      this.#trace.push(`  fault: ${fault}`)
      return armed.fault
    }
  }

  /** Tells seals and merges apart by the manifests that come one after another. */
  #countBuilds(path: string): void {
    const bytes = this.#machine.peek(path)
    if (!bytes) return
    const { segments, logs } = JSON.parse(new TextDecoder().decode(bytes))
    const levels = new Map<number, number>(segments.map((one: { id: number; level: number }) => [one.id, one.level]))
    const folder = parentPath(path)
    const former = this.#manifests.get(folder)
    const isNew = former && [...levels.keys()].some((id) => !former.segments.has(id))
    if (isNew && logs.length < former.logs) this.report.seals++
    else if (isNew && [...former.segments.keys()].some((id) => !levels.has(id))) this.report.merges++
    this.#manifests.set(folder, { segments: levels, logs: logs.length })
  }

  /** Now and then the disk has no room for a while. */
  #limitDisk(): void {
    if (this.#fullUntil === undefined && this.#faultRandom.below(600) === 0) {
      this.report.diskFull++
      this.#fullUntil = this.#count + 10 + this.#faultRandom.below(60)
      this.#machine.capacity = this.#machine.usedBytes + this.#faultRandom.below(5000)
      this.#trace.push("  the disk is full")
    } else if (this.#fullUntil !== undefined && this.#fullUntil < this.#count) {
      this.#fullUntil = undefined
      this.#machine.capacity = Number.POSITIVE_INFINITY
      this.#trace.push("  the disk has room")
    }
  }

  #arm(): void {
    if (this.#armed && this.#armed.until < this.#count) this.#armed = undefined
    if (this.#armed || this.#faultRandom.below(40) > 0) return
    this.#armed = { ...this.#randomFault(), until: this.#count + 200 }
  }

  #randomFault(): { kind: Operation["kind"]; skip: number; fault: Fault } {
    const below = (end: number) => this.#faultRandom.below(end)
    const { faulty = ALL_OPERATIONS } = this.#options
    const kind = faulty[below(faulty.length)] as Operation["kind"]
    return { kind, skip: below(below(3) === 0 ? 30 : 4), fault: this.#faultOf(below(10)) }
  }

  #faultOf(choice: number): Fault {
    if (choice < 2) return { kind: "stop" }
    if (choice < 4) return { kind: "kill" }
    if (choice < 6) return { kind: "tear", part: [0, 1, this.#faultRandom.unit()][choice % 3] as number }
    return { kind: "fail", code: choice < 8 ? "IO_ERROR" : "DISK_FULL" }
  }

  async #quietly(task: () => Promise<void>): Promise<void> {
    const was = this.#isCalm
    this.#isCalm = true
    try {
      await task()
    } finally {
      this.#isCalm = was
    }
  }

  /** Throws unless the error is one that a fault explains: one since the Prism was opened, or since `fired`. */
  #allowFault(error: unknown, what: string, fired = this.#firedAtOpen): void {
    if (error instanceof SimulationFailure) throw error
    const code = codeOf(error)
    const isFull = code === "DISK_FULL" && this.#fullUntil !== undefined
    if (isFull || (code !== undefined && FAULT_CODES.has(code) && this.#firedCount > fired)) {
      this.#trace.push(`  ${what} failed: ${code}`)
      return
    }
    throw new SimulationFailure(`${what} failed without a reason: ${(error as Error).stack}`, { cause: error })
  }

  #failState(name: string, found: State, may: readonly State[]): never {
    const states = [...new Set(may.map(describeState))]
    this.#fail(`collection ${name} holds\n    ${describeState(found)}\n  it may hold\n    ${states.join("\n    ")}`)
  }

  #fail(message: string): never {
    throw new SimulationFailure(message)
  }

  #log(kind: string, what: string, count = 1): void {
    this.#count += count
    this.report.operations[kind] = (this.report.operations[kind] ?? 0) + count
    this.#trace.push(`${this.#count} ${kind} ${what}`)
    if (this.#trace.length > TRACE_LENGTH) this.#trace.splice(0, this.#trace.length - TRACE_LENGTH)
  }
}

async function settled<T>(promise: Promise<T>): Promise<Outcome<T>> {
  try {
    return { value: await promise }
  } catch (error) {
    return { error }
  }
}

function codeOf(error: unknown): string | undefined {
  return error instanceof PrismError ? error.code : undefined
}

function describeCall({ writes, isDelete, repeats }: WriteCall): string {
  if (isDelete) return `delete ${writes.map(({ id }) => id).join(" ")}`
  return `add ${writes.map(({ id, version }) => `${id}:${version}`).join(" ")}${repeats ? " (again)" : ""}`
}
