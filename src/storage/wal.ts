import { concatBytes, decodeUtf8, decodeUtf8Fatal, encodeUtf8 } from "../base/bytes.ts"
import { crc32c } from "../base/crc32c.ts"
import { assert, PrismError } from "../base/errors.ts"
import { parentPath } from "./path.ts"
import { ReadAhead } from "./read-ahead.ts"
import type { ReadableFile, Storage, WritableFile } from "./storage.ts"

// The write-ahead log: what was acknowledged and is not in a segment yet. Little-endian.
//
//   header   0..4   u32    magic          "PWAL"
//            4..6   u16    formatVersion
//            6..8   u16    zero
//            8..16  u64    walNumber      as the manifest names it
//            16..28 u8[12] salt           random
//            28..32 u32    CRC-32C of the bytes before
//   frames   0..4   u32    magic          "PFRM"
//            4..8   u32    payloadBytes   up to FRAME_BYTES_MAX; 0 in an end mark, which has no payload
//            8..12  u32    CRC-32C of the payload
//            12..16 u32    CRC-32C of salt, the frame's offset as u64, the 12 bytes before
//            then the payload: records
//   record   0      u8     kind           1 put, 2 delete: of a document; from version 3 on
//                                         3 put, 4 delete: of a node; 5 put, 6 delete: of an edge
//            1..4   u8[3]  zero
//            4..8   u32    idBytes
//            8..12  u32    fieldsBytes    0 in a delete of a document or node
//            12..16 u32    dimension      0 where there is no vector
//            16..20 u32    CRC-32C of id and fields, so that one document can be read back alone
//            then id in UTF-8, fields, vector as f32[dimension]
//   fields   of a document and of a node: compact JSON in UTF-8. Of an edge, whose id is the node that it leaves:
//            0..8   f64    weight         0 in a delete
//            8..10  u16    edgeTypeBytes
//            then edgeType and the node that it enters, in UTF-8
//   zeros    any number of them, behind the last frame
//
// The header is durable before a manifest names the log. One group commit is one frame with one sync, and frame n + 1 is
// written only after the sync of n returned. So whenever the machine stops, every frame but the last was synced, and
// replay can tell what a crash leaves from damage:
//
// - The log ends where nothing but zeros follow. They are room made ahead of small frames, durable before a frame is
//   written into it, so that its sync need not bring a new length and new blocks to the disk as well.
// - A frame whose header is right, with anything but zeros behind it: it was synced, because what is behind it was written
//   later. A wrong payload is CORRUPT.
// - The last frame of the file: it may never have been acknowledged, and any part of it may be missing, also from its
//   middle. Where it is not whole, it is dropped. Damage to a last frame that was acknowledged looks the same while the
//   log is open, and after a crash. A log that was closed has an end mark behind it, written after the last sync: then
//   damage is CORRUPT there too.
// - A frame whose header is wrong, so that nobody knows where it ends: it is the last if no right header follows. One
//   that does follow proves that this one was synced: CORRUPT. Because of salt and offset nothing in a document, no
//   copied log and no earlier use of the disk can look like a header.
//
// Of a log that another one continues the manifest tells the length: all of it was synced before that one began, and what
// is behind it was never acknowledged, be it whole or torn.
//
// Before the writer goes on after a dropped frame or an end mark, the file is cut at the end of the last whole frame,
// durably. The same after a disk that was full: what was written of the frame is cut off, and the sync of that cut writes
// again the only page that the frame shares with acknowledged ones, so that nothing rests on the write that failed.

export const WAL_VERSION = 3
/** Logs of version 2 are read and never written to: they hold nothing but documents. */
const WAL_VERSIONS_READ: readonly number[] = [2, WAL_VERSION]
/** A frame takes records up to this size together; one larger record gets a frame of its own. */
export const FRAME_BYTES = 4 * 1024 * 1024
/** Limit of one record, and of what replay holds in memory at once. */
export const FRAME_BYTES_MAX = 64 * 1024 * 1024

const MAGIC = 0x4c415750
const HEADER_BYTES = 32
const SALT_OFFSET = 16
const SALT_BYTES = 12
const FRAME_MAGIC = 0x4d524650
const FRAME_HEADER_BYTES = 16
const RECORD_HEADER_BYTES = 20
/** Room that is made at once for frames up to this size. A reservation costs about three small frames. */
const RESERVE_BYTES = 256 * 1024
const PUT = 1
const DELETE = 2
const NODE_PUT = 3
const NODE_DELETE = 4
const EDGE_PUT = 5
const EDGE_DELETE = 6
const EDGE_HEADER_BYTES = 10
const SCAN_BYTES = 1024 * 1024

export type WalOperation =
  | {
      readonly kind: "put"
      readonly id: string
      readonly fieldsJson: string
      readonly vector: Float32Array | undefined
    }
  | { readonly kind: "delete"; readonly id: string }
  | WalGraphOperation

/** Changes nodes and edges that no document brings. */
export type WalGraphOperation =
  | { readonly kind: "put node"; readonly id: string; readonly recordJson: string }
  | { readonly kind: "delete node"; readonly id: string }
  | {
      readonly kind: "put edge"
      readonly from: string
      readonly edgeType: string
      readonly to: string
      readonly weight: number
    }
  | { readonly kind: "delete edge"; readonly from: string; readonly edgeType: string; readonly to: string }

/** Where a record lies in the log, its vector left out. */
export interface WalLocation {
  readonly offset: number
  readonly length: number
}

export interface WalEntry {
  readonly operation: WalOperation
  readonly location: WalLocation
}

/** Appends to a log. Only the holder of the storage's lock may have one, and only one a log. */
export class WalWriter {
  readonly #file: WritableFile
  readonly #salt: Uint8Array
  readonly #durable: boolean
  readonly #queue: Batch[] = []
  #draining: Promise<void> | undefined
  #length: number
  /** Zeros behind the last frame, for sure. */
  #reservedBytes = 0
  /** The file must be cut here, durably, before anything is written. */
  #cutAt: number | undefined
  #failure: unknown
  #failed = false
  #closed = false

  private constructor(file: WritableFile, salt: Uint8Array, durable: boolean) {
    this.#file = file
    this.#salt = salt
    this.#durable = durable
    this.#length = file.length
  }

  /** Begins a new log, empty and durable when it resolves. FILE_EXISTS. Its frames are not synced where `durable` is
   *  false, because nobody was promised anything; the log itself is, because a manifest will name it. */
  static async create(
    storage: Storage,
    path: string,
    options: { walNumber: number; durable?: boolean },
  ): Promise<WalWriter> {
    const salt = crypto.getRandomValues(new Uint8Array(SALT_BYTES))
    const file = await storage.create(path)
    try {
      await file.append(encodeHeader(options.walNumber, salt))
      await file.sync()
      await storage.syncDirectory(parentPath(path))
    } catch (error) {
      await file.close()
      throw error
    }
    return new WalWriter(file, salt, options.durable ?? true)
  }

  /** Goes on with a log after all of it was replayed. Cuts off a torn last frame, and makes durable what replay saw:
   *  after a killed process, unlike a crash of the machine, the last frame may be whole in memory alone. Where its sync
   *  had failed, that page cache takes it for written, and a sync would leave it out: so it is written again, over itself. */
  static async resume(storage: Storage, replay: WalReplay, options: { durable?: boolean } = {}): Promise<WalWriter> {
    const { salt, wholeBytes, lastFrame } = replay
    assert(salt !== undefined && wholeBytes !== undefined, "a log goes on only after it was replayed to its end")
    const file = await storage.append(replay.path, wholeBytes)
    try {
      if (lastFrame) await file.rewrite(await storage.read(replay.path, lastFrame), lastFrame.offset)
      await file.sync()
    } catch (error) {
      await file.close()
      throw error
    }
    return new WalWriter(file, salt, options.durable ?? true)
  }

  /** True while it holds no frame. */
  get isEmpty(): boolean {
    return this.#length === HEADER_BYTES
  }

  /** Bytes of the header and all frames that were committed. */
  get length(): number {
    return this.#length
  }

  /** Durable when it resolves, with the place of each operation's record in the same order. Calls at the same time share
   *  a frame and its sync; the order of calls is the order of replay.
   *
   *  After a crash before it resolved, the operations may be there or not: all or none of them where their records take
   *  up to FRAME_BYTES together; of a larger batch, any number from the first on. Each single one is whole or absent.
   *
   *  LIMIT_EXCEEDED for a record over FRAME_BYTES_MAX, and nothing is written. With DISK_FULL none of the operations is
   *  there, and the writer goes on: a later call may find room. When writing or syncing fails for another reason, it
   *  rejects with that error, and the writer takes nothing more (READ_ONLY): nobody knows what of the frame is on the
   *  disk, and a sync tried again after it failed may succeed without having written anything. */
  async append(operations: readonly WalOperation[]): Promise<WalLocation[]> {
    if (this.#closed) throw new PrismError("CLOSED", `${this.#file.path} is closed`, { place: this.#file.path })
    if (this.#failed) throw this.#readOnly()
    const records = operations.map((operation) => this.#encode(operation))
    if (records.length === 0) return []
    return await new Promise((resolve, reject) => {
      this.#queue.push(new Batch(records, resolve, reject))
      this.#draining ??= this.#drain()
    })
  }

  /** Waits for what was appended. Twice is fine. `endMark`: false where somebody else may have written behind the end: a
   *  mark there, and something behind it, is damage. */
  async close({ endMark = true }: { endMark?: boolean } = {}): Promise<void> {
    if (this.#closed) return
    this.#closed = true
    await this.#draining
    try {
      // Nothing rests on it, so that it need not be synced, nor be there at all.
      const isMarked = endMark && this.#durable && !this.#failed && !this.isEmpty
      if (isMarked) await this.#writeEndMark().catch(() => undefined)
    } finally {
      await this.#file.close()
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close()
  }

  /** Commits frame by frame until the queue is empty. Never rejects: each batch hears of its own failure. */
  async #drain(): Promise<void> {
    // Calls made in the same turn of the event loop come into the first frame together.
    await Promise.resolve()
    while (this.#queue.length > 0) {
      const { records, batches } = this.#takeFrame()
      try {
        await this.#commit(records)
      } catch (error) {
        if (error instanceof PrismError && error.code === "DISK_FULL") {
          // The first may have frames before this one, all of them its own.
          await this.#cutOff(batches[0]!.start)
          if (this.#queue[0] === batches.at(-1)) this.#queue.shift()
        } else this.#fail(error)
        for (const batch of batches) batch.reject(error)
        if (!this.#failed) continue
        for (const batch of this.#queue.splice(0)) if (!batches.includes(batch)) batch.reject(this.#readOnly())
        break
      }
      for (const batch of batches) if (batch.next === batch.records.length) batch.resolve(batch.locations)
    }
    // In the same turn in which the queue was seen empty: what is appended after it begins to drain anew.
    this.#draining = undefined
  }

  /** The records of the next frame, and the batches that have some in it. A batch that fits into a frame is not split. */
  #takeFrame(): { records: EncodedRecord[]; batches: Batch[] } {
    const records: EncodedRecord[] = []
    const batches: Batch[] = []
    let payloadBytes = 0
    let offset = this.#length + FRAME_HEADER_BYTES
    for (let batch = this.#queue[0]; batch !== undefined; batch = this.#queue[0]) {
      if (payloadBytes > 0 && payloadBytes + batch.bytes > FRAME_BYTES) break
      batches.push(batch)
      if (batch.next === 0) batch.start = this.#length
      while (batch.next < batch.records.length) {
        const record = batch.records[batch.next]!
        if (payloadBytes > 0 && payloadBytes + record.bytes.length > FRAME_BYTES) return { records, batches }
        batch.next++
        batch.locations.push({ offset, length: record.documentBytes })
        records.push(record)
        payloadBytes += record.bytes.length
        offset += record.bytes.length
      }
      this.#queue.shift()
    }
    return { records, batches }
  }

  async #commit(records: EncodedRecord[]): Promise<void> {
    const frame = encodeFrame(this.#salt, this.#length, records)
    if (this.#cutAt !== undefined) await this.#cut(this.#cutAt)
    if (!this.#durable) await this.#file.append(frame)
    else {
      if (frame.length > this.#reservedBytes && frame.length <= RESERVE_BYTES) await this.#reserve()
      await this.#file.appendDurably(frame)
    }
    this.#reservedBytes = Math.max(0, this.#reservedBytes - frame.length)
    this.#length += frame.length
  }

  async #reserve(): Promise<void> {
    this.#reservedBytes = 0
    try {
      await this.#file.reserve(RESERVE_BYTES)
      this.#reservedBytes = RESERVE_BYTES
    } catch (error) {
      // There may be room for the frame alone.
      if (!(error instanceof PrismError && error.code === "DISK_FULL")) throw error
    }
  }

  /** Gives up what is behind `length` after DISK_FULL, now or, where there is no room even for that, before the next
   *  frame. Never rejects. */
  async #cutOff(length: number): Promise<void> {
    this.#length = length
    this.#cutAt = length
    try {
      await this.#cut(length)
    } catch (error) {
      if (!(error instanceof PrismError && error.code === "DISK_FULL")) this.#fail(error)
    }
  }

  async #cut(length: number): Promise<void> {
    this.#reservedBytes = 0
    await this.#file.cut(length)
    this.#cutAt = undefined
  }

  async #writeEndMark(): Promise<void> {
    if (this.#cutAt !== undefined) await this.#cut(this.#cutAt)
    await this.#file.append(encodeFrame(this.#salt, this.#length, []))
  }

  #fail(error: unknown): void {
    this.#failed = true
    this.#failure = error
  }

  #encode(operation: WalOperation): EncodedRecord {
    const { kind, id, fields, vector = new Float32Array(0) } = encodedParts(operation)
    const documentBytes = RECORD_HEADER_BYTES + id.length + fields.length
    const length = documentBytes + vector.byteLength
    if (length > FRAME_BYTES_MAX) {
      throw new PrismError("LIMIT_EXCEEDED", `document has ${length} bytes, the log takes up to ${FRAME_BYTES_MAX}`, {
        place: `document ${JSON.stringify(decodeUtf8(id).slice(0, 100))}`,
      })
    }
    const bytes = new Uint8Array(length)
    bytes.set(id, RECORD_HEADER_BYTES)
    bytes.set(fields, RECORD_HEADER_BYTES + id.length)
    bytes.set(new Uint8Array(vector.buffer, vector.byteOffset, vector.byteLength), documentBytes)
    const view = dataView(bytes)
    view.setUint8(0, kind)
    view.setUint32(4, id.length, true)
    view.setUint32(8, fields.length, true)
    view.setUint32(12, vector.length, true)
    view.setUint32(16, crc32c(bytes.subarray(RECORD_HEADER_BYTES, documentBytes)), true)
    return { bytes, documentBytes }
  }

  #readOnly(): PrismError {
    return new PrismError("READ_ONLY", `writing ${this.#file.path} failed before, so nothing more is written`, {
      place: this.#file.path,
      hint: "open the collection again; what was acknowledged is in it",
      cause: this.#failure,
    })
  }
}

/** What the record of an operation is made of. */
function encodedParts(operation: WalOperation): {
  kind: number
  id: Uint8Array
  fields: Uint8Array
  vector?: Float32Array | undefined
} {
  switch (operation.kind) {
    case "put": {
      const { id, fieldsJson, vector } = operation
      return { kind: PUT, id: encodeUtf8(id), fields: encodeUtf8(fieldsJson), vector }
    }
    case "delete":
      return { kind: DELETE, id: encodeUtf8(operation.id), fields: new Uint8Array(0) }
    case "put node":
      return { kind: NODE_PUT, id: encodeUtf8(operation.id), fields: encodeUtf8(operation.recordJson) }
    case "delete node":
      return { kind: NODE_DELETE, id: encodeUtf8(operation.id), fields: new Uint8Array(0) }
    case "put edge":
      return { kind: EDGE_PUT, id: encodeUtf8(operation.from), fields: encodeEdge(operation, operation.weight) }
    case "delete edge":
      return { kind: EDGE_DELETE, id: encodeUtf8(operation.from), fields: encodeEdge(operation, 0) }
  }
}

function encodeEdge({ edgeType, to }: { edgeType: string; to: string }, weight: number): Uint8Array {
  const type = encodeUtf8(edgeType)
  const header = new Uint8Array(EDGE_HEADER_BYTES)
  dataView(header).setFloat64(0, weight, true)
  dataView(header).setUint16(8, type.length, true)
  return concatBytes([header, type, encodeUtf8(to)])
}

interface EncodedRecord {
  readonly bytes: Uint8Array
  /** Length without the vector. */
  readonly documentBytes: number
}

/** One call of `append`. */
class Batch {
  readonly records: readonly EncodedRecord[]
  readonly resolve: (locations: WalLocation[]) => void
  readonly reject: (error: unknown) => void
  readonly bytes: number
  readonly locations: WalLocation[] = []
  /** Records before this one are in frames. */
  next = 0
  /** Where the first of these frames begins. */
  start = 0

  constructor(
    records: readonly EncodedRecord[],
    resolve: (locations: WalLocation[]) => void,
    reject: (error: unknown) => void,
  ) {
    this.records = records
    this.resolve = resolve
    this.reject = reject
    this.bytes = records.reduce((sum, record) => sum + record.bytes.length, 0)
  }
}

/** Reads a log from its beginning, one frame in memory at a time. Iterate it once, to its end; CORRUPT, with the file and
 *  its bytes, for all but a torn last frame. `walNumber`: what the manifest says. `length`: how long it is, where that is
 *  known: then all of that is whole, and what follows was never acknowledged, whoever wrote it. */
export function replayWal(
  storage: Storage,
  path: string,
  { walNumber, length }: { walNumber: number; length?: number | undefined },
): WalReplay {
  const open = async () => {
    if ((await storage.size(path)) === undefined) {
      throw new PrismError("CORRUPT", `${path} is missing`, { place: path, hint: RESTORE_HINT })
    }
    return await storage.open(path)
  }
  return new WalReplay(path, open, walNumber, length)
}

/** The same of a log that is open, and may have no name any more: its first `length` bytes, which are whole frames. */
export function replayOpenWal(
  file: ReadableFile,
  { walNumber, length }: { walNumber: number; length: number },
): WalReplay {
  const close = async () => {}
  const read: ReadableFile["read"] = async (offset, bytes) => await file.read(offset, bytes)
  const borrowed = { path: file.path, size: length, read, close, [Symbol.asyncDispose]: close }
  return new WalReplay(file.path, async () => borrowed, walNumber, length)
}

export class WalReplay implements AsyncIterable<WalEntry> {
  readonly path: string
  /** Set when the header was read. */
  salt: Uint8Array | undefined
  /** Set with it. */
  version: number | undefined
  /** Bytes up to the end of the last whole frame; set when everything was read. */
  wholeBytes: number | undefined
  /** Where the last whole frame lies, if there is one. */
  lastFrame: { readonly offset: number; readonly length: number } | undefined
  /** Bytes of a torn frame behind it: one that was never acknowledged, or damage to the last one. */
  droppedBytes = 0
  readonly #open: () => Promise<ReadableFile>
  readonly #walNumber: number
  readonly #length: number | undefined

  constructor(path: string, open: () => Promise<ReadableFile>, walNumber: number, length: number | undefined) {
    this.path = path
    this.#open = open
    this.#walNumber = walNumber
    this.#length = length
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<WalEntry, void, undefined> {
    for await (const { file, payload, offset } of this.#frames()) yield* decodeRecords(file, payload, offset)
  }

  /** The documents that the log puts, deleted ones too, as the bytes that they have there, a frame at a time. */
  async *encodedPuts(): AsyncGenerator<EncodedPut[], void, undefined> {
    for await (const { file, payload, offset } of this.#frames()) {
      const puts: EncodedPut[] = []
      for (const record of splitRecords(file, payload, offset)) if (record.kind === PUT) puts.push(record)
      yield puts
    }
  }

  /** The changes of nodes and edges in the log, in their order. */
  async *graphOperations(): AsyncGenerator<WalGraphOperation, void, undefined> {
    for await (const { file, payload, offset } of this.#frames()) {
      for (const record of splitRecords(file, payload, offset)) {
        if (record.kind !== PUT && record.kind !== DELETE) yield decodeGraphRecord(file, record)
      }
    }
  }

  async *#frames(): AsyncGenerator<{ file: ReadableFile; payload: Uint8Array; offset: number }, void, undefined> {
    assert(this.salt === undefined, "a log is replayed once")
    await using opened = await this.#open()
    const length = this.#length
    if (length !== undefined && opened.size < length) {
      throw damaged(opened, opened.size, length - opened.size, "they are missing")
    }
    const file = new ReadAhead(opened, length)
    const { salt, version } = await readHeader(file, this.#walNumber)
    this.salt = salt
    this.version = version
    let offset = HEADER_BYTES
    for (;;) {
      const payload = await readFrame(file, offset, salt)
      if (!(payload instanceof Uint8Array)) {
        if (length !== undefined && offset < length)
          throw damaged(file, offset, length - offset, "they are no whole frames")
        this.droppedBytes = payload.tornBytes
        break
      }
      yield { file, payload, offset: offset + FRAME_HEADER_BYTES }
      const frameBytes = FRAME_HEADER_BYTES + payload.length
      this.lastFrame = { offset, length: frameBytes }
      offset += frameBytes
    }
    this.wholeBytes = offset
  }
}

/** Reads back one document that is in the log. */
export async function readWalDocument(
  file: ReadableFile,
  location: WalLocation,
): Promise<{ id: string; fieldsJson: string }> {
  return decodeWalDocument(file, location, await file.read(location.offset, location.length))
}

/** The same from bytes that were read from there already. */
export function decodeWalDocument(
  file: ReadableFile,
  location: WalLocation,
  bytes: Uint8Array,
): { id: string; fieldsJson: string } {
  const view = dataView(bytes)
  const idBytes = view.getUint32(4, true)
  const isWhole =
    view.getUint8(0) === PUT &&
    RECORD_HEADER_BYTES + idBytes + view.getUint32(8, true) === bytes.length &&
    view.getUint32(16, true) === crc32c(bytes.subarray(RECORD_HEADER_BYTES))
  if (!isWhole) throw damaged(file, location.offset, location.length, "a document's checksum does not match")
  const fieldsOffset = RECORD_HEADER_BYTES + idBytes
  return {
    id: decodeUtf8Fatal(bytes.subarray(RECORD_HEADER_BYTES, fieldsOffset), file.path),
    fieldsJson: decodeUtf8Fatal(bytes.subarray(fieldsOffset), file.path),
  }
}

/** Payload of the frame at `offset`, or how many bytes there are of a torn one where the log ends. */
async function readFrame(
  file: ReadableFile,
  offset: number,
  salt: Uint8Array,
): Promise<Uint8Array | { readonly tornBytes: number }> {
  const left = file.size - offset
  const header = await file.read(offset, Math.min(FRAME_HEADER_BYTES, left))
  const payloadBytes = left < FRAME_HEADER_BYTES ? undefined : frameLength(salt, offset, header)
  if (payloadBytes === undefined) {
    const next = await findFrameHeader(file, offset + 1, salt)
    if (next !== undefined) throw damaged(file, offset, next - offset, "a frame's header is wrong and another follows")
    const tornBytes = (await endOfContent(file, offset)) - offset
    if (tornBytes <= FRAME_HEADER_BYTES && isTornEndMark(salt, offset, header)) return { tornBytes: 0 }
    if (tornBytes <= FRAME_HEADER_BYTES + FRAME_BYTES_MAX) return { tornBytes }
    throw damaged(file, offset, tornBytes, "what is there is larger than any frame")
  }
  const end = offset + FRAME_HEADER_BYTES + payloadBytes
  if (payloadBytes > 0) {
    if (end > file.size) return { tornBytes: left }
    const payload = await file.read(offset + FRAME_HEADER_BYTES, payloadBytes)
    if (crc32c(payload) === dataView(header).getUint32(8, true)) return payload
  }
  const behind = (await endOfContent(file, end)) - end
  if (behind > 0 && payloadBytes > 0) throw damaged(file, offset, end - offset, "a frame's checksum does not match")
  if (behind > 0) throw damaged(file, end, behind, "something follows the end of the log")
  return { tornBytes: payloadBytes > 0 ? end - offset : 0 }
}

/** Whether these are bytes of an end mark, those that did not arrive as zeros: nobody waited for them. */
function isTornEndMark(salt: Uint8Array, offset: number, bytes: Uint8Array): boolean {
  const mark = encodeFrame(salt, offset, [])
  return bytes.every((byte, place) => byte === 0 || byte === mark[place])
}

/** Offset behind the last byte from `from` on that is not zero; `from` where there is none. */
async function endOfContent(file: ReadableFile, from: number): Promise<number> {
  for (let end = file.size; end > from; ) {
    const start = Math.max(from, end - SCAN_BYTES)
    const bytes = await file.read(start, end - start)
    let length = bytes.length
    while (length > 0 && bytes[length - 1] === 0) length--
    if (length > 0) return start + length
    end = start
  }
  return from
}

/** Payload bytes that a right frame header tells, else undefined. */
function frameLength(salt: Uint8Array, offset: number, header: Uint8Array): number | undefined {
  const view = dataView(header)
  if (view.getUint32(0, true) !== FRAME_MAGIC) return undefined
  if (view.getUint32(12, true) !== frameHeaderChecksum(salt, offset, header)) return undefined
  const payloadBytes = view.getUint32(4, true)
  return payloadBytes <= FRAME_BYTES_MAX ? payloadBytes : undefined
}

/** Offset of the first right frame header from `from` on. */
async function findFrameHeader(file: ReadableFile, from: number, salt: Uint8Array): Promise<number | undefined> {
  const firstByte = FRAME_MAGIC & 0xff
  for (let start = from; start + FRAME_HEADER_BYTES <= file.size; start += SCAN_BYTES) {
    // Pieces overlap by less than a header, so that one across their border is seen.
    const length = Math.min(SCAN_BYTES + FRAME_HEADER_BYTES - 1, file.size - start)
    const bytes = await file.read(start, length)
    for (let at = bytes.indexOf(firstByte); at !== -1; at = bytes.indexOf(firstByte, at + 1)) {
      if (at + FRAME_HEADER_BYTES > bytes.length) break
      const header = bytes.subarray(at, at + FRAME_HEADER_BYTES)
      if (frameLength(salt, start + at, header) !== undefined) return start + at
    }
  }
  return undefined
}

/** A document of the log: views of the frame that was read for it. */
export interface EncodedPut {
  readonly id: Uint8Array
  readonly fields: Uint8Array
  /** f32[dimension], not aligned; empty where there is none. */
  readonly vector: Uint8Array
}

interface EncodedEntry extends EncodedPut {
  readonly kind: number
  readonly location: WalLocation
}

function* decodeRecords(file: ReadableFile, payload: Uint8Array, payloadOffset: number): Generator<WalEntry> {
  for (const record of splitRecords(file, payload, payloadOffset)) {
    const { kind, location, ...encoded } = record
    if (kind !== PUT && kind !== DELETE) {
      yield { operation: decodeGraphRecord(file, record), location }
      continue
    }
    const id = decodeUtf8Fatal(encoded.id, file.path)
    if (kind === DELETE) {
      yield { operation: { kind: "delete", id }, location }
      continue
    }
    const fieldsJson = decodeUtf8Fatal(encoded.fields, file.path)
    // A copy, because a frame does not keep its vectors aligned.
    const vector = encoded.vector.length === 0 ? undefined : new Float32Array(encoded.vector.slice().buffer)
    yield { operation: { kind: "put", id, fieldsJson, vector }, location }
  }
}

function decodeGraphRecord(
  file: ReadableFile,
  { kind, id: idBytes, fields, location }: EncodedEntry,
): WalGraphOperation {
  const id = decodeUtf8Fatal(idBytes, file.path)
  if (kind === NODE_DELETE) return { kind: "delete node", id }
  if (kind === NODE_PUT) return { kind: "put node", id, recordJson: decodeUtf8Fatal(fields, file.path) }
  const toStart = EDGE_HEADER_BYTES + (fields.length < EDGE_HEADER_BYTES ? 0 : dataView(fields).getUint16(8, true))
  if (toStart > fields.length) throw damaged(file, location.offset, location.length, "an edge does not fit its record")
  const edge = {
    from: id,
    edgeType: decodeUtf8Fatal(fields.subarray(EDGE_HEADER_BYTES, toStart), file.path),
    to: decodeUtf8Fatal(fields.subarray(toStart), file.path),
  }
  if (kind === EDGE_DELETE) return { kind: "delete edge", ...edge }
  return { kind: "put edge", ...edge, weight: dataView(fields).getFloat64(0, true) }
}

function* splitRecords(file: ReadableFile, payload: Uint8Array, payloadOffset: number): Generator<EncodedEntry> {
  const view = dataView(payload)
  let at = 0
  while (at < payload.length) {
    const start = at
    const wrong = () => damaged(file, payloadOffset + start, payload.length - start, "a record does not fit its frame")
    if (payload.length - at < RECORD_HEADER_BYTES) throw wrong()
    const kind = view.getUint8(at)
    const idEnd = at + RECORD_HEADER_BYTES + view.getUint32(at + 4, true)
    const fieldsEnd = idEnd + view.getUint32(at + 8, true)
    const dimension = view.getUint32(at + 12, true)
    const end = fieldsEnd + dimension * 4
    if (end > payload.length || kind < PUT || kind > EDGE_DELETE) throw wrong()
    yield {
      kind,
      id: payload.subarray(at + RECORD_HEADER_BYTES, idEnd),
      fields: payload.subarray(idEnd, fieldsEnd),
      vector: payload.subarray(fieldsEnd, end),
      location: { offset: payloadOffset + at, length: fieldsEnd - at },
    }
    at = end
  }
}

/** A frame with these records, or an end mark. */
function encodeFrame(salt: Uint8Array, offset: number, records: readonly EncodedRecord[]): Uint8Array {
  const frame = concatBytes([new Uint8Array(FRAME_HEADER_BYTES), ...records.map((record) => record.bytes)])
  const payload = frame.subarray(FRAME_HEADER_BYTES)
  const view = dataView(frame)
  view.setUint32(0, FRAME_MAGIC, true)
  view.setUint32(4, payload.length, true)
  view.setUint32(8, crc32c(payload), true)
  view.setUint32(12, frameHeaderChecksum(salt, offset, frame), true)
  return frame
}

function encodeHeader(walNumber: number, salt: Uint8Array): Uint8Array {
  const bytes = new Uint8Array(HEADER_BYTES)
  const view = dataView(bytes)
  view.setUint32(0, MAGIC, true)
  view.setUint16(4, WAL_VERSION, true)
  view.setBigUint64(8, BigInt(walNumber), true)
  bytes.set(salt, SALT_OFFSET)
  view.setUint32(28, crc32c(bytes.subarray(0, 28)), true)
  return bytes
}

/** What the header of a log says, if it is right. */
async function readHeader(file: ReadableFile, walNumber: number): Promise<{ salt: Uint8Array; version: number }> {
  if (file.size < HEADER_BYTES) throw damaged(file, 0, file.size, "it is shorter than its header")
  const bytes = await file.read(0, HEADER_BYTES)
  const view = dataView(bytes)
  if (view.getUint32(0, true) !== MAGIC) throw damaged(file, 0, HEADER_BYTES, "it does not begin as a log")
  if (view.getUint32(28, true) !== crc32c(bytes.subarray(0, 28))) {
    throw damaged(file, 0, HEADER_BYTES, "the header's checksum does not match")
  }
  const version = view.getUint16(4, true)
  if (!WAL_VERSIONS_READ.includes(version)) {
    throw new PrismError(
      "INCOMPATIBLE_VERSION",
      `${file.path} has format version ${version}, this Prism reads up to ${WAL_VERSION}`,
      { place: file.path, hint: "use the newer version of Prism that wrote it" },
    )
  }
  const found = Number(view.getBigUint64(8, true))
  if (found !== walNumber) {
    throw damaged(file, 0, HEADER_BYTES, `it is log ${found}, the manifest names log ${walNumber}`)
  }
  return { salt: bytes.slice(SALT_OFFSET, SALT_OFFSET + SALT_BYTES), version }
}

function frameHeaderChecksum(salt: Uint8Array, offset: number, header: Uint8Array): number {
  const offsetBytes = new Uint8Array(8)
  dataView(offsetBytes).setBigUint64(0, BigInt(offset), true)
  return crc32c(header.subarray(0, 12), crc32c(offsetBytes, crc32c(salt)))
}

const RESTORE_HINT = "restore the collection from an archive"

function damaged(file: ReadableFile, offset: number, length: number, what: string): PrismError {
  return new PrismError("CORRUPT", `${file.path} is damaged in bytes ${offset} to ${offset + length}: ${what}`, {
    place: `${file.path}, bytes ${offset} to ${offset + length}`,
    hint: RESTORE_HINT,
  })
}

function dataView(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength)
}
