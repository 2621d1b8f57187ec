import { describe, expect, test } from "vitest"
import { concatBytes, equalBytes } from "../../src/base/bytes.ts"
import { crc32c } from "../../src/base/crc32c.ts"
import { PrismError } from "../../src/base/errors.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import type { Storage } from "../../src/storage/storage.ts"
import {
  FRAME_BYTES,
  FRAME_BYTES_MAX,
  readWalDocument,
  replayWal,
  type WalEntry,
  type WalOperation,
  WalWriter,
} from "../../src/storage/wal.ts"
import { FaultyStorage, writeWhole } from "../support/faulty-storage.ts"
import { Random } from "../support/random.ts"
import { refusal, refusalCode } from "../support/refusal.ts"

const HEADER_BYTES = 32
const FRAME_HEADER_BYTES = 16
const LOG = "wal"
const NUMBER = { walNumber: 7 }

function randomOperation(random: Random, id: string): WalOperation {
  if (random.below(5) === 0) return { kind: "delete", id }
  if (random.below(4) === 0) return randomGraphOperation(random, id)
  const words = Array.from({ length: random.below(4) }, () => ["naïve", "日本", "x", '\\"', "🦉"][random.below(5)])
  const vector =
    random.below(2) === 0 ? undefined : Float32Array.from({ length: 1 + random.below(4) }, () => random.normal())
  return { kind: "put", id, fieldsJson: JSON.stringify({ title: words.join(" "), n: random.below(1000) }), vector }
}

function randomGraphOperation(random: Random, id: string): WalOperation {
  const edge = {
    from: id,
    edgeType: ["cites", "日本", "-->"][random.below(3)] as string,
    to: `node ${random.below(9)}`,
  }
  switch (random.below(4)) {
    case 0:
      return {
        kind: "put node",
        id,
        recordJson: JSON.stringify({ title: "naïve 🦉", payload: { n: random.below(9) } }),
      }
    case 1:
      return { kind: "delete node", id }
    case 2:
      return { kind: "put edge", ...edge, weight: [0, 1, 0.1, Number.MAX_VALUE][random.below(4)] as number }
    default:
      return { kind: "delete edge", ...edge }
  }
}

/** Of an edge the node that it leaves. */
function idOf(operation: WalOperation): string {
  return "from" in operation ? operation.from : operation.id
}

function randomBatch(random: Random, name: string, most = 4): WalOperation[] {
  return Array.from({ length: 1 + random.below(most) }, (_, place) => randomOperation(random, `${name}.${place}`))
}

async function replay(storage: Storage, path = LOG): Promise<{ entries: WalEntry[]; droppedBytes: number }> {
  const log = replayWal(storage, path, NUMBER)
  const entries: WalEntry[] = []
  for await (const entry of log) entries.push(entry)
  return { entries, droppedBytes: log.droppedBytes }
}

async function operations(storage: Storage): Promise<WalOperation[]> {
  return (await replay(storage)).entries.map(({ operation }) => operation)
}

async function resume(storage: Storage): Promise<{ seen: WalOperation[]; wal: WalWriter }> {
  const log = replayWal(storage, LOG, NUMBER)
  const seen: WalOperation[] = []
  for await (const { operation } of log) seen.push(operation)
  return { seen, wal: await WalWriter.resume(storage, log) }
}

async function holding(bytes: Uint8Array): Promise<MemoryStorage> {
  const storage = new MemoryStorage()
  await writeWhole(storage, LOG, bytes)
  return storage
}

/** A small log that is still open: its bytes, its operations frame by frame, and where each frame ends. */
async function smallLog(seed: number, frameCount: number) {
  const random = new Random(seed)
  const storage = new MemoryStorage()
  await using wal = await WalWriter.create(storage, LOG, NUMBER)
  const frames: WalOperation[][] = []
  const ends: number[] = []
  for (let frame = 0; frame < frameCount; frame++) {
    const batch = randomBatch(random, `${frame}`)
    await wal.append(batch)
    frames.push(batch)
    ends.push(wal.length)
  }
  return { bytes: await storage.read(LOG), frames, ends }
}

test("a replay gives back every operation bit for bit, in order", async () => {
  const random = new Random(1)
  const storage = new MemoryStorage()
  const expected: WalOperation[] = [
    { kind: "put", id: "", fieldsJson: "{}", vector: undefined },
    {
      kind: "put",
      id: "\u0000\ud7ff\u{10ffff}",
      fieldsJson: '{"1":1e400,"":-0.0}',
      vector: Float32Array.of(-0, NaN, 1e-45),
    },
    { kind: "delete", id: "" },
  ]
  {
    await using wal = await WalWriter.create(storage, LOG, NUMBER)
    expect(wal.isEmpty).toBe(true)
    await wal.append([])
    expect(wal.isEmpty).toBe(true)
    await wal.append(expected)
    expect(wal.isEmpty).toBe(false)
    for (let batch = 0; batch < 50; batch++) {
      const added = randomBatch(random, `${batch}`)
      await wal.append(added)
      expected.push(...added)
    }
    expect(wal.length).toBe(await storage.size(LOG))
  }
  expect(await operations(storage)).toEqual(expected)
})

test("every location leads back to its document", async () => {
  const random = new Random(2)
  const storage = new MemoryStorage()
  await using wal = await WalWriter.create(storage, LOG, NUMBER)
  const batch = randomBatch(random, "a", 30)
  // Together, so that frames are shared.
  const [first, second] = await Promise.all([wal.append(batch), wal.append(batch)])
  await using file = await storage.open(LOG)
  for (const locations of [first, second]) {
    expect(locations).toHaveLength(batch.length)
    for (const [place, operation] of batch.entries()) {
      if (operation.kind !== "put") continue
      const { id, fieldsJson } = await readWalDocument(file, locations[place]!)
      expect({ id, fieldsJson }).toEqual({ id: operation.id, fieldsJson: operation.fieldsJson })
    }
  }
  const replayed = (await replay(storage)).entries.map(({ location }) => location)
  expect(replayed).toEqual([...first, ...second])
})

test("a damaged document is CORRUPT when it is read back alone", async () => {
  const storage = new MemoryStorage()
  await using wal = await WalWriter.create(storage, LOG, NUMBER)
  const [location] = await wal.append([{ kind: "put", id: "a", fieldsJson: '{"b":1}', vector: Float32Array.of(1) }])
  const bytes = await storage.read(LOG)
  for (let at = location!.offset; at < location!.offset + location!.length; at++) {
    const flipped = bytes.slice()
    flipped[at]! ^= 1
    await using file = await (await holding(flipped)).open(LOG)
    // The three zero bytes and the dimension say nothing about the document.
    const inRecord = at - location!.offset
    if ((inRecord >= 1 && inRecord < 4) || (inRecord >= 12 && inRecord < 16)) continue
    expect(await refusalCode(readWalDocument(file, location!)), `byte ${inRecord}`).toBe("CORRUPT")
  }
})

/** As a log is on the disk: while it is open, with room behind the last frame, after it was closed. */
async function endings(bytes: Uint8Array): Promise<{ name: string; bytes: Uint8Array }[]> {
  const storage = await holding(bytes)
  const { wal } = await resume(storage)
  await wal.close()
  const closed = await storage.read(LOG)
  expect(closed.length).toBe(bytes.length + FRAME_HEADER_BYTES)
  const room = new Uint8Array(100)
  return [
    { name: "open", bytes },
    { name: "with room", bytes: concatBytes([bytes, room]) },
    { name: "closed", bytes: closed },
    { name: "closed, with room", bytes: concatBytes([closed, room]) },
  ]
}

test.each([0, 1, 2, 3])(
  "a log cut at any byte replays a whole prefix of its frames, and goes on: ending %i",
  async (ending) => {
    const { bytes: open, frames, ends } = await smallLog(3, 8)
    const { bytes } = (await endings(open))[ending]!
    const more: WalOperation = { kind: "put", id: "more", fieldsJson: "{}", vector: undefined }
    for (let cut = 0; cut <= bytes.length; cut++) {
      const storage = await holding(bytes.subarray(0, cut))
      if (cut < HEADER_BYTES) {
        // The header was durable before anybody knew of the log.
        expect(await refusalCode(operations(storage))).toBe("CORRUPT")
        continue
      }
      const whole = ends.filter((end) => end <= cut).length
      const expected = frames.slice(0, whole).flat()
      const { seen, wal } = await resume(storage)
      expect(seen).toEqual(expected)
      expect(await storage.size(LOG)).toBe(ends[whole - 1] ?? HEADER_BYTES)
      await wal.append([more])
      await wal.close()
      expect(await operations(storage)).toEqual([...expected, more])
    }
  },
)

test.each([0, 1])(
  "a flipped byte of an open log is CORRUPT, or takes away exactly the last frame: %i",
  async (ending) => {
    const { bytes: open, frames, ends } = await smallLog(4, 5)
    const { bytes } = (await endings(open))[ending]!
    const lastStart = ends.at(-2)!
    const withoutLast = frames.slice(0, -1).flat()
    for (let at = 0; at < bytes.length; at++) {
      for (const mask of [0x01, 0x80, 0xff]) {
        const flipped = bytes.slice()
        flipped[at]! ^= mask
        const storage = await holding(flipped)
        if (at >= ends.at(-1)!) {
          // A byte in the room behind the last frame: that one is whole, so this one began later and was never finished.
          expect(await operations(storage)).toEqual(frames.flat())
          continue
        }
        if (at >= lastStart) {
          // It may never have been synced, so nobody can tell damage from a crash.
          expect(await operations(storage)).toEqual(withoutLast)
          continue
        }
        const error = await refusal(operations(storage))
        expect(error.code).toBe("CORRUPT")
        const [, from, to] = /^wal, bytes (\d+) to (\d+)$/.exec(error.place!)!
        expect(Number(from) <= at && at < Number(to), `${error.place} names byte ${at}`).toBe(true)
      }
    }
  },
)

test.each([2, 3])("a flipped byte of a closed log is CORRUPT, in its last frame too: %i", async (ending) => {
  const { bytes: open, frames } = await smallLog(4, 5)
  const { bytes } = (await endings(open))[ending]!
  for (let at = 0; at < bytes.length; at++) {
    const flipped = bytes.slice()
    flipped[at]! ^= 0x10
    const storage = await holding(flipped)
    if (at < open.length) expect((await refusal(operations(storage))).code, `byte ${at}`).toBe("CORRUPT")
    // The end mark itself may be lost, but nothing comes behind it.
    else if (at < open.length + FRAME_HEADER_BYTES) expect(await operations(storage)).toEqual(frames.flat())
    else expect(await refusalCode(operations(storage))).toBe("CORRUPT")
  }
})

test("an end mark of which only a part arrived is no torn frame", async () => {
  const { bytes: open, frames } = await smallLog(4, 5)
  const { bytes } = (await endings(open))[2]!
  for (let lost = open.length; lost < bytes.length; lost++) {
    for (const tail of [
      bytes.subarray(0, lost),
      bytes.slice().fill(0, lost),
      bytes.slice().fill(0, open.length, lost),
    ]) {
      const { entries, droppedBytes } = await replay(await holding(tail))
      expect(entries.map(({ operation }) => operation)).toEqual(frames.flat())
      expect(droppedBytes).toBe(0)
    }
  }
})

test("what a crash leaves behind the last whole frame is dropped, whatever it is", async () => {
  const { bytes, frames, ends } = await smallLog(5, 4)
  const all = frames.flat()
  const random = new Random(6)
  const frame = bytes.subarray(ends[1]!, ends[2]!)
  const garbage = Uint8Array.from({ length: 5000 }, () => random.below(256))
  const tails: Record<string, Uint8Array> = {
    zeros: new Uint8Array(4096),
    "less than a header": new Uint8Array(FRAME_HEADER_BYTES - 1).fill(0x50),
    garbage,
    "a frame from elsewhere in the log": frame,
    "the whole log again": bytes,
  }
  for (const [name, tail] of Object.entries(tails)) {
    const storage = await holding(concatBytes([bytes, tail]))
    const { entries, droppedBytes } = await replay(storage)
    expect({ name, replayed: entries.map(({ operation }) => operation) }).toEqual({ name, replayed: all })
    expect(droppedBytes).toBe(tail.findLastIndex((byte) => byte !== 0) + 1)
  }
  // Pages of the last frame that never arrived.
  for (let page = ends.at(-2)!; page < bytes.length; page += 8) {
    const holed = bytes.slice()
    holed.fill(0, page, page + 8)
    if (equalBytes(holed, bytes)) continue
    expect(await operations(await holding(holed))).toEqual(frames.slice(0, -1).flat())
  }
})

test("damage to a frame's header is no end of the log while a frame follows", async () => {
  const { bytes, ends } = await smallLog(7, 6)
  for (const start of [HEADER_BYTES, ...ends.slice(0, -2)]) {
    const damaged = bytes.slice()
    damaged.fill(0, start, start + FRAME_HEADER_BYTES)
    const error = await refusal(operations(await holding(damaged)))
    expect(error.code).toBe("CORRUPT")
    expect(error.place).toBe(`wal, bytes ${start} to ${ends.find((end) => end > start)}`)
  }
})

test("appends at the same time share one sync, a later one gets its own", async () => {
  const storage = new FaultyStorage()
  await using wal = await WalWriter.create(storage, LOG, NUMBER)
  const before = storage.operationCount
  await Promise.all(Array.from({ length: 50 }, (_, place) => wal.append([{ kind: "delete", id: `${place}` }])))
  // The first makes room for those that follow.
  expect(storage.operationCount - before).toBe(3)
  await wal.append([{ kind: "delete", id: "later" }])
  expect(storage.operationCount - before).toBe(5)
  expect((await operations(storage)).map(idOf)).toEqual([
    ...Array.from({ length: 50 }, (_, place) => `${place}`),
    "later",
  ])
})

test("a frame is written only after the sync of the one before it returned", async () => {
  const events: string[] = []
  const storage = new MemoryStorage()
  const create = storage.create.bind(storage)
  const syncs: (() => void)[] = []
  storage.create = async (path) => {
    const file = await create(path)
    file.appendDurably = async (bytes) => {
      events.push("write")
      await file.append(bytes)
      events.push("sync")
      await new Promise<void>((resolve) => void syncs.push(resolve))
      events.push("synced")
    }
    return file
  }
  const wal = await WalWriter.create(storage, LOG, NUMBER)
  const acknowledged: string[] = []
  const add = async (id: string) => {
    await wal.append([{ kind: "delete", id }])
    acknowledged.push(id)
  }
  const settle = async () => {
    for (let turn = 0; turn < 50; turn++) await Promise.resolve()
  }
  const added = [add("a")]
  await settle()
  added.push(add("b"), add("c"))
  await settle()
  expect(events).toEqual(["write", "sync"])
  expect(acknowledged).toEqual([])
  syncs.shift()!()
  await settle()
  expect(acknowledged).toEqual(["a"])
  expect(events).toEqual(["write", "sync", "synced", "write", "sync"])
  syncs.shift()!()
  await Promise.all(added)
  expect(acknowledged).toEqual(["a", "b", "c"])
  await wal.close()
})

test("a batch larger than a frame is split between documents, smaller ones never", async () => {
  const storage = new MemoryStorage()
  const put = (id: string, size: number): WalOperation => ({
    kind: "put",
    id,
    fieldsJson: `"${"x".repeat(size)}"`,
    vector: undefined,
  })
  const third = Math.floor(FRAME_BYTES / 3)
  const batches = [
    [put("a", 10)],
    [put("b", third), put("c", third)],
    [put("d", third), put("e", third)],
    Array.from({ length: 7 }, (_, place) => put(`f${place}`, third)),
    [put("g", 2 * FRAME_BYTES)],
    [put("h", 10)],
  ]
  {
    await using wal = await WalWriter.create(storage, LOG, NUMBER)
    const before = wal.length
    await Promise.all(batches.map((batch) => wal.append(batch)))
    expect(wal.length).toBeGreaterThan(before)
  }
  expect(await operations(storage)).toEqual(batches.flat())
  const bytes = await storage.read(LOG)
  const view = new DataView(bytes.buffer)
  const ids: string[][] = []
  const { entries } = await replay(storage)
  for (let at = HEADER_BYTES; at < bytes.length - FRAME_HEADER_BYTES; ) {
    const end = at + FRAME_HEADER_BYTES + view.getUint32(at + 4, true)
    ids.push(
      entries
        .filter(({ location }) => location.offset >= at && location.offset < end)
        .map(({ operation }) => idOf(operation)),
    )
    at = end
  }
  expect(ids).toEqual([["a", "b", "c"], ["d", "e"], ["f0", "f1"], ["f2", "f3"], ["f4", "f5"], ["f6"], ["g"], ["h"]])
})

test("a record that no frame can hold is refused before anything is written", async () => {
  const storage = new MemoryStorage()
  await using wal = await WalWriter.create(storage, LOG, NUMBER)
  const huge: WalOperation = {
    kind: "put",
    id: "huge",
    fieldsJson: "",
    vector: new Float32Array(FRAME_BYTES_MAX / 4),
  }
  expect(await refusalCode(wal.append([{ kind: "delete", id: "a" }, huge]))).toBe("LIMIT_EXCEEDED")
  expect(wal.isEmpty).toBe(true)
  await wal.append([{ kind: "delete", id: "b" }])
  expect(await operations(storage)).toEqual([{ kind: "delete", id: "b" }])
})

test("replay reads a window at a time, and no frame by itself", async () => {
  const storage = new MemoryStorage()
  {
    await using wal = await WalWriter.create(storage, LOG, NUMBER)
    for (let frame = 0; frame < 200; frame++) {
      await wal.append([{ kind: "put", id: `${frame}`, fieldsJson: "x".repeat(30_000), vector: undefined }])
    }
  }
  const open = storage.open.bind(storage)
  let largest = 0
  let reads = 0
  storage.open = async (path) => {
    const file = await open(path)
    const read = file.read.bind(file)
    file.read = (offset, length) => {
      largest = Math.max(largest, length)
      reads++
      return read(offset, length)
    }
    return file
  }
  expect(await operations(storage)).toHaveLength(200)
  expect(largest).toBe(1024 * 1024)
  expect(reads).toBeLessThan(10)
})

describe("a writer whose disk failed", () => {
  const faults = [
    { at: 0, fault: { kind: "fail", code: "IO_ERROR" } },
    { at: 0, fault: { kind: "tear", part: 0.5 } },
    { at: 0, fault: { kind: "tear", part: 1 } },
    { at: 1, fault: { kind: "fail", code: "IO_ERROR" } },
    { at: 1, fault: { kind: "tear", part: 1 } },
  ] as const

  test.each(faults)("takes nothing more, and what was acknowledged is there: $at $fault", async ({ at, fault }) => {
    const storage = new FaultyStorage()
    const wal = await WalWriter.create(storage, LOG, NUMBER)
    const before: WalOperation = { kind: "delete", id: "before" }
    await wal.append([before])
    storage.failAt(at, fault)
    const failing = wal.append([{ kind: "delete", id: "failing" }])
    const waiting = wal.append([{ kind: "delete", id: "waiting" }])
    const expected = "code" in fault ? fault.code : "IO_ERROR"
    expect(await refusalCode(failing)).toBe(expected)
    await refusal(waiting)
    const operationCount = storage.operationCount
    const error = await refusal(wal.append([{ kind: "delete", id: "after" }]))
    expect(error.code).toBe("READ_ONLY")
    expect(error.hint).toMatch(/open the collection again/)
    expect((error.cause as PrismError).code).toBe(expected)
    expect(storage.operationCount).toBe(operationCount)
    await wal.close()
    const { seen, wal: reopened } = await resume(storage)
    expect(seen[0]).toEqual(before)
    expect(seen.map(idOf)).not.toContain("after")
    const after: WalOperation = { kind: "delete", id: "again" }
    await reopened.append([after])
    expect(await operations(storage)).toEqual([...seen, after])
  })
})

describe("a disk that is full", () => {
  const put = (id: string, size: number): WalOperation => ({
    kind: "put",
    id,
    fieldsJson: `"${"x".repeat(size)}"`,
    vector: undefined,
  })

  test("refuses what does not fit, whole, and goes on once there is room", async () => {
    const storage = new FaultyStorage()
    const wal = await WalWriter.create(storage, LOG, NUMBER)
    const first = put("first", 300_000)
    await wal.append([first])
    const { length } = wal
    // Room for a part of the frame only.
    storage.capacity = storage.usedBytes + 1000
    for (let round = 0; round < 2; round++) expect(await refusalCode(wal.append([put("big", 2000)]))).toBe("DISK_FULL")
    expect(wal.length).toBe(length)
    // A smaller one still finds room, although there is none to reserve.
    const small = put("small", 100)
    await wal.append([small])
    expect(await operations(storage)).toEqual([first, small])
    storage.capacity = Number.POSITIVE_INFINITY
    const later = put("later", 2000)
    await wal.append([later])
    expect(await operations(storage)).toEqual([first, small, later])
    expect(await operations(await storage.crash())).toEqual([first, small, later])
  })

  test("refuses all of a batch of many frames, and only what shares them", async () => {
    const storage = new FaultyStorage()
    const wal = await WalWriter.create(storage, LOG, NUMBER)
    const before = put("before", 10)
    await wal.append([before])
    storage.capacity = storage.usedBytes + 2.5 * FRAME_BYTES
    const large = Array.from({ length: 4 }, (_, place) => put(`${place}`, FRAME_BYTES - 1000))
    const results = await Promise.allSettled([wal.append(large), wal.append([put("small", 10)])])
    expect(results.map(({ status }) => status)).toEqual(["rejected", "fulfilled"])
    expect((await operations(storage)).map(idOf)).toEqual(["before", "small"])
    await wal.close()
    expect((await operations(await storage.crash())).map(idOf)).toEqual(["before", "small"])
  })

  test("at any operation, and wherever the frame tears, takes away what was refused and nothing else", async () => {
    for (const capacity of [undefined, 40, 150]) {
      for (let at = 0; at < 12; at++) {
        for (let seed = 0; seed < 3; seed++) {
          const storage = new FaultyStorage()
          const wal = await WalWriter.create(storage, LOG, NUMBER)
          const random = new Random(seed)
          if (capacity === undefined) storage.failAt(at, { kind: "fail", code: "DISK_FULL" })
          const acknowledged: WalOperation[] = []
          for (let round = 0; round < 8; round++) {
            if (capacity !== undefined) {
              storage.capacity = round === at % 8 ? storage.usedBytes + capacity : Number.POSITIVE_INFINITY
            }
            const batch = randomBatch(random, `${round}`, 3)
            try {
              await wal.append(batch)
              acknowledged.push(...batch)
            } catch (error) {
              expect((error as PrismError).code).toBe("DISK_FULL")
            }
            expect(await operations(storage)).toEqual(acknowledged)
          }
          if (seed > 1) await wal.close()
          const left = await storage.crash(seed % 2 === 0 ? undefined : seed)
          expect(await operations(left), `operation ${at}, seed ${seed}`).toEqual(acknowledged)
        }
      }
    }
  })
})

test("after a crash at any operation, what was acknowledged is there, and batches are there whole", async () => {
  for (let stopAt = 0; stopAt < 24; stopAt++) {
    for (let seed = 0; seed < 12; seed++) {
      const random = new Random(stopAt * 100 + seed)
      const disk = new FaultyStorage()
      const wal = await WalWriter.create(disk, LOG, NUMBER)
      disk.failAt(stopAt, { kind: "stop" })
      const batches: WalOperation[][] = []
      let acknowledged = 0
      try {
        for (;;) {
          const group = Array.from({ length: 1 + random.below(3) }, (_, place) =>
            randomBatch(random, `${batches.length + place}`),
          )
          batches.push(...group)
          await Promise.all(group.map((batch) => wal.append(batch)))
          acknowledged = batches.length
        }
      } catch (error) {
        expect((error as PrismError).code).toMatch(/IO_ERROR|READ_ONLY/)
      }
      let left = await disk.crash(seed === 0 ? undefined : seed)
      // The next start may be cut short too.
      for (let start = 0; start < 2; start++) {
        const { seen, wal: reopened } = await resume(left)
        await reopened.close()
        const whole = batches.findIndex((_, place) => batches.slice(0, place).flat().length === seen.length)
        const count = whole === -1 ? batches.length : whole
        expect(count).toBeGreaterThanOrEqual(acknowledged)
        expect(seen).toEqual(batches.slice(0, count).flat())
        left = await (await FaultyStorage.from(left)).crash(seed)
      }
    }
  }
})

test("what a replay saw stays, although the process that wrote it died before its sync", async () => {
  const disk = new FaultyStorage()
  const wal = await WalWriter.create(disk, LOG, NUMBER)
  disk.failAt(1, { kind: "kill" })
  await refusal(wal.append([{ kind: "delete", id: "seen" }]))
  const { seen, wal: reopened } = await resume(disk.process())
  expect(seen).toEqual([{ kind: "delete", id: "seen" }])
  await reopened.close()
  expect(await operations(await disk.crash())).toEqual(seen)
})

test("a log is there after a crash as soon as it was made", async () => {
  const disk = new FaultyStorage()
  await (await WalWriter.create(disk, LOG, { ...NUMBER, durable: false })).close()
  expect(await operations(await disk.crash())).toEqual([])
})

test("a log whose length is known ends there whatever follows, and is damaged where any of it is missing", async () => {
  const { bytes, frames, ends } = await smallLog(9, 4)
  for (const [place, length] of [HEADER_BYTES, ...ends].entries()) {
    for (const behind of [bytes.subarray(length), bytes.subarray(length, length + 20), new Uint8Array(50).fill(7)]) {
      const storage = await holding(concatBytes([bytes.subarray(0, length), behind]))
      const seen: WalOperation[] = []
      for await (const { operation } of replayWal(storage, LOG, { ...NUMBER, length })) seen.push(operation)
      expect(seen).toEqual(frames.slice(0, place).flat())
    }
  }
  const length = bytes.length
  const replayOf = async (damaged: Uint8Array) => {
    for await (const _ of replayWal(await holding(damaged), LOG, { ...NUMBER, length })) continue
  }
  for (let cut = HEADER_BYTES; cut < length; cut++) {
    expect(await refusalCode(replayOf(bytes.subarray(0, cut))), `cut at ${cut}`).toBe("CORRUPT")
    const zeros = bytes.slice().fill(0, cut)
    expect(await refusalCode(replayOf(zeros)), `zeros from ${cut} on`).toBe("CORRUPT")
  }
})

test("a log of another number, of a newer version, or none at all, is told by name", async () => {
  const { bytes } = await smallLog(8, 1)
  const storage = await holding(bytes)
  const other = replayWal(storage, LOG, { walNumber: 8 })
  expect((await refusal(other[Symbol.asyncIterator]().next())).message).toMatch(/it is log 7, the manifest names log 8/)
  const missing = await refusal(replayWal(new MemoryStorage(), LOG, NUMBER)[Symbol.asyncIterator]().next())
  expect(missing.code).toBe("CORRUPT")
  const newer = bytes.slice()
  const view = new DataView(newer.buffer)
  view.setUint16(4, 4, true)
  view.setUint32(28, crc32c(newer.subarray(0, 28)), true)
  const error = await refusal(operations(await holding(newer)))
  expect(error.code).toBe("INCOMPATIBLE_VERSION")
  expect(error.message).toMatch(/version 4/)
})

test("a closed writer takes no more, after all that was appended", async () => {
  const storage = new MemoryStorage()
  const wal = await WalWriter.create(storage, LOG, NUMBER)
  const appended = wal.append([{ kind: "delete", id: "a" }])
  const closed = wal.close()
  expect(await refusalCode(wal.append([{ kind: "delete", id: "b" }]))).toBe("CLOSED")
  await closed
  await appended
  expect(await operations(storage)).toEqual([{ kind: "delete", id: "a" }])
  expect(await refusalCode(WalWriter.create(storage, LOG, NUMBER))).toBe("FILE_EXISTS")
})
