import { type ErrorCode, PrismError } from "../base/errors.ts"
import type { Graph } from "../engine/graph.ts"
import { encodeManifest, type Manifest, readManifest } from "../storage/manifest.ts"
import { pinFiles } from "../storage/pins.ts"
import type { StorageHold } from "../storage/storage.ts"
import type { CollectionContext } from "./context.ts"
import type { OpenLog } from "./generations.ts"
import { loadGraph } from "./graph-loader.ts"
import { openSegments, pathsOf, releaseAll } from "./open-segments.ts"
import type { Schema } from "./schema.ts"
import type { Segment, SegmentShape } from "./segment.ts"
import { type PinnedGeneration, pinGeneration } from "./view.ts"

type ReaderContext = Pick<CollectionContext, "storage" | "directory" | "cache">

/** A manifest that stays readable: no file that it names goes while the pin is held, if one could be made. */
export interface PinnedManifest {
  readonly manifest: Manifest
  readonly pin: StorageHold | undefined
}

/** Each attempt after the first follows a change that the writer made meanwhile; so many in a row mean something else. */
const ATTEMPTS_MAX = 100

/** Reads and pins the manifest of a collection that another process may be writing. A writer swaps the manifest first
 *  and looks for pins then: so a pin counts if the manifest is still the same once the pin is there. */
export async function pinManifest({ storage, directory }: ReaderContext): Promise<PinnedManifest> {
  for (let attempt = 0; attempt < ATTEMPTS_MAX; attempt++) {
    const manifest = await readManifest(storage, directory)
    const pin = await pinFiles(storage, directory, pathsOf(manifest))
    try {
      if (isSame(manifest, await readManifest(storage, directory))) return { manifest, pin }
    } catch (error) {
      await pin?.release().catch(() => undefined)
      throw error
    }
    await pin?.release()
  }
  throw new PrismError("LOCKED", `${directory} changes faster than it can be read`, { place: directory })
}

function isCode(error: unknown, code: ErrorCode): boolean {
  return error instanceof PrismError && error.code === code
}

function isSame(a: Manifest, b: Manifest): boolean {
  const [bytes, others] = [encodeManifest(a), encodeManifest(b)]
  return bytes.length === others.length && bytes.every((byte, place) => byte === others[place])
}

/** A collection as it was when it was opened, beside whoever writes it: its segments, and its logs replayed in memory. */
export class CollectionReader {
  readonly manifest: Manifest
  readonly logs: readonly OpenLog[]
  /** For messages. */
  readonly #name: string
  readonly #segments: readonly Segment[]
  readonly #pin: StorageHold | undefined
  readonly #loadGraph: () => Promise<Graph>
  #loading: Promise<Graph> | undefined
  #graph: Graph | undefined
  #closing: Promise<void> | undefined

  private constructor(
    name: string,
    pinned: PinnedManifest,
    segments: readonly Segment[],
    logs: readonly OpenLog[],
    load: () => Promise<Graph>,
  ) {
    this.#loadGraph = load
    this.#name = name
    this.manifest = pinned.manifest
    this.logs = logs
    this.#pin = pinned.pin
    this.#segments = segments
  }

  /** Undefined where the files went away with good reason: look at the manifest again. */
  static async open(
    name: string,
    context: ReaderContext,
    pinned: PinnedManifest,
    schema: Schema,
    shape: SegmentShape,
  ): Promise<CollectionReader | undefined> {
    try {
      const { sealed, logs } = await openSegments(name, context, pinned.manifest, schema, shape)
      const states = logs.map(({ ram, replay }) => ({ ...ram.log, length: replay.wholeBytes ?? 0, ram }))
      const segments = [...sealed, ...logs.map(({ ram }) => ram)]
      const load = async () => await loadGraph(shape.engine, schema, { sealed, logs: states })
      return new CollectionReader(name, pinned, segments, states, load)
    } catch (error) {
      await pinned.pin?.release()
      if (!(error instanceof PrismError && isCode(error.cause, "FILE_NOT_FOUND"))) throw error
      const now = await readManifest(context.storage, context.directory)
      // Another collection has the name now; or nothing kept the writer from removing what it no longer names.
      const isOther = now.collectionId !== pinned.manifest.collectionId
      if (isOther || (!pinned.pin && !isSame(now, pinned.manifest))) return undefined
      throw error
    }
  }

  get isClosed(): boolean {
    return this.#closing !== undefined
  }

  /** Oldest first. */
  get segments(): readonly Segment[] {
    if (this.isClosed) throw new PrismError("CLOSED", `collection "${this.#name}" is closed`, { hint: "open it again" })
    return this.#segments
  }

  /** The collection's graph, which is read at its first use. */
  async loadGraph(): Promise<Graph> {
    const { segments } = this
    if (this.#graph) return this.#graph
    const held = segments.map((segment) => segment.retain())
    this.#loading ??= this.#loadGraph()
    try {
      const graph = await this.#loading
      if (this.isClosed) graph.close()
      else this.#graph = graph
      return graph
    } catch (error) {
      this.#loading = undefined
      throw error
    } finally {
      await releaseAll(held)
    }
  }

  /** The same where it is loaded. */
  get graph(): Graph | undefined {
    return this.segments && this.#graph
  }

  /** Whether the files that it names are kept, beside those that it has open. */
  get isPinned(): boolean {
    return this.#pin !== undefined
  }

  /** The moment at which it was opened. */
  async pin(): Promise<PinnedGeneration> {
    return pinGeneration(this)
  }

  /** The pin keeps them. */
  holdFiles(): () => Promise<void> {
    return async () => {}
  }

  async close(): Promise<void> {
    this.#closing ??= (async () => {
      this.#graph?.close()
      await releaseAll(this.#segments)
      await this.#pin?.release()
    })()
    await this.#closing
  }
}
