// The nodes and edges of a pinned moment that no document brings, in the order of an archive.
import { compareUtf8, decodeUtf8, encodeUtf8 } from "../../base/bytes.ts"
import { letOthersRun } from "../../base/let-others-run.ts"
import { Engine } from "../../engine/engine.ts"
import type { GraphEdge } from "../../engine/graph-edge.ts"
import { GraphSegment, GraphSegmentWriter } from "../../engine/graph-segment.ts"
import { writeGraphOperation } from "../graph-operations.ts"
import { edgeLine, nodeLine } from "../graph-record.ts"
import { SealedSegment } from "../sealed-segment.ts"
import type { PinnedGeneration } from "../view.ts"

/** Lines between two looks at the clock. */
const LINES_PER_PAUSE = 512

/** Read in an engine of their own, whose memory goes with this object. */
export class GraphLines implements Disposable {
  /** Oldest first. */
  readonly #sources: readonly GraphSegment[]

  private constructor(sources: readonly GraphSegment[]) {
    this.#sources = sources
  }

  static async open({ segments, logs }: PinnedGeneration): Promise<GraphLines> {
    const engine = new Engine()
    const sources: GraphSegment[] = []
    for (const { segment } of segments) {
      if (!(segment instanceof SealedSegment && segment.files.graph)) continue
      const graph = await GraphSegment.open(engine, segment.files.graph, { docCount: segment.documentCount })
      await graph.load()
      sources.push(graph)
    }
    for (const { ram, length } of logs) {
      using writer = GraphSegmentWriter.create(engine)
      let count = 0
      for await (const operation of ram.replay(length).graphOperations()) {
        writeGraphOperation(writer, operation)
        if (++count % LINES_PER_PAUSE === 0) await letOthersRun()
      }
      sources.push(writer.seal())
    }
    return new GraphLines(sources)
  }

  /** No fewer than the nodes and edges. */
  get countMax(): number {
    return this.#sources.reduce((sum, source) => sum + source.nodeCount + source.edgeCount + source.tombstoneCount, 0)
  }

  /** By the UTF-8 bytes of their ids. `onRead` is called now and then with how many more were read. */
  async *nodes(onRead: (count: number) => void = () => {}): AsyncGenerator<Uint8Array> {
    const records = merged(
      this.#sources.map((source) => source.nodeRecords()),
      (a, b) => compareUtf8(a.id, b.id),
    )
    let count = 0
    for (const { id, record } of records) {
      if (++count % LINES_PER_PAUSE === 0) {
        await letOthersRun()
        onRead(LINES_PER_PAUSE)
      }
      if (record) yield encodeUtf8(nodeLine(id, decodeUtf8(record)))
    }
    onRead(count % LINES_PER_PAUSE)
  }

  /** By the UTF-8 bytes of the node that they leave, then their type, then the node that they enter. `onRead` as of nodes. */
  async *edges(onRead: (count: number) => void = () => {}): AsyncGenerator<Uint8Array> {
    const records = merged(
      this.#sources.map((source) => source.edgeRecords()),
      compareEdges,
    )
    let count = 0
    for (const { from, edgeType, to, weight, deleted } of records) {
      if (++count % LINES_PER_PAUSE === 0) {
        await letOthersRun()
        onRead(LINES_PER_PAUSE)
      }
      if (!deleted) yield encodeUtf8(edgeLine({ from, edgeType, to, weight }))
    }
    onRead(count % LINES_PER_PAUSE)
  }

  [Symbol.dispose](): void {
    for (const source of this.#sources) source.close()
  }
}

function compareEdges(a: GraphEdge, b: GraphEdge): number {
  return compareUtf8(a.from, b.from) || compareUtf8(a.edgeType, b.edgeType) || compareUtf8(a.to, b.to)
}

/** Merges sorted records; of equal ones the last source's. */
function* merged<T extends object>(sources: readonly Iterable<T>[], compare: (a: T, b: T) => number): Generator<T> {
  const iterators = sources.map((source) => source[Symbol.iterator]())
  const heads = iterators.map((iterator) => iterator.next())
  for (;;) {
    let least: T | undefined
    for (const head of heads) if (!head.done && (!least || compare(head.value, least) <= 0)) least = head.value
    if (!least) return
    for (const [place, head] of heads.entries()) {
      if (!head.done && compare(head.value, least) === 0) heads[place] = iterators[place]?.next() ?? head
    }
    yield least
  }
}
