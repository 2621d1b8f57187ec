import { encodeUtf8 } from "../../base/bytes.ts"
import { sequential, streamOf } from "../../base/streams.ts"
import { type PortableHeader, PortableReader } from "../../formats/portable.ts"
import type { Codecs, RandomAccess } from "../../runtime.ts"
import { parseGraphLine } from "../graph-record.ts"
import { type ArchiveEntry, type ArchiveView, DOCUMENTS, GRAPH, noEntry, withLineEnds } from "./archive-view.ts"

const SCHEMA = "schema.yaml"

/** A portable archive, read anew each time something of it is asked for. */
export class PortableView implements ArchiveView {
  readonly format = "portable"
  readonly collection: string
  readonly documentCount: number
  readonly exportedAt: string | undefined
  readonly prismVersion: string | undefined
  readonly entries: readonly ArchiveEntry[]
  readonly graphLineCount: number | undefined
  readonly #file: RandomAccess
  readonly #schema: Uint8Array
  readonly #runtime: Codecs

  private constructor(file: RandomAccess, header: PortableHeader, runtime: Codecs) {
    this.#file = file
    this.#runtime = runtime
    this.#schema = encodeUtf8(header.schema)
    this.collection = header.collection
    this.documentCount = header.documentCount
    this.exportedAt = header.exportedAt
    this.prismVersion = header.prismVersion
    const { graph } = header
    this.graphLineCount = graph && graph.nodeCount + graph.edgeCount
    this.entries = [
      { name: SCHEMA, size: this.#schema.length },
      // With a graph the header tells what both come to.
      { name: DOCUMENTS, size: graph ? undefined : header.sizeBytes },
      ...(graph ? [{ name: GRAPH, size: undefined }] : []),
    ]
  }

  static async open(file: RandomAccess, runtime: Codecs): Promise<PortableView> {
    await using reader = await PortableReader.open(streamOf(sequential(file)), runtime)
    return new PortableView(file, reader.header, runtime)
  }

  async *read(name: string): AsyncGenerator<Uint8Array> {
    if (name === SCHEMA) yield this.#schema
    else if (name === DOCUMENTS) yield* withLineEnds(this.documents())
    else if (name === GRAPH && this.graphLineCount !== undefined) yield* withLineEnds(this.graph())
    else throw noEntry(name, this.entries)
  }

  async *documents(): AsyncGenerator<Uint8Array> {
    yield* this.#lines((record) => record === undefined)
  }

  async *graph(): AsyncGenerator<Uint8Array> {
    if (this.graphLineCount === undefined) return
    yield* this.#lines((record) => record?.kind === "put node")
    yield* this.#lines((record) => record?.kind === "put edge")
  }

  async *#lines(isWanted: (record: ReturnType<typeof parseGraphLine>) => boolean): AsyncGenerator<Uint8Array> {
    await using reader = await PortableReader.open(streamOf(sequential(this.#file)), this.#runtime)
    for await (const lines of reader) {
      for (const line of lines) {
        if (line.error) throw line.error
        if (isWanted(reader.header.graph && parseGraphLine(line.text))) yield encodeUtf8(line.text)
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {}
}
