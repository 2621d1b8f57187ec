import { expect, test } from "vitest"
import { encodeUtf8 } from "../../src/base/bytes.ts"
import {
  decodeManifest,
  encodeManifest,
  type Manifest,
  readManifest,
  writeManifest,
} from "../../src/storage/manifest.ts"
import { MemoryStorage } from "../../src/storage/memory-storage.ts"
import { FaultyStorage, writeWhole } from "../support/faulty-storage.ts"
import { refusal, refusalCode } from "../support/refusal.ts"

const file = (path: string) => ({ path, length: 1234, sha256: "0f".repeat(32) })

function manifestOf(generation: number): Manifest {
  return {
    formatVersion: 3,
    collectionId: "0123456789abcdef".repeat(2),
    generation,
    committedAt: "2026-11-22T10:00:00.000Z",
    schema: 'collection: "products"\ndescription: "\\"checksum\\":\\"00000000\\" é"\n',
    documentCount: 9,
    nextSegmentId: 3,
    logs: [
      { number: 4, path: "4.log", length: 1234 },
      { number: 6, path: "6.log" },
    ],
    segments: [
      {
        id: 1,
        documentCount: 10,
        deletedCount: 3,
        vectorCount: 0,
        level: 1,
        files: { text: file("text/1.idx"), documents: file("text/1.docs") },
      },
      {
        id: 2,
        documentCount: 2,
        deletedCount: 0,
        vectorCount: 2,
        level: 0,
        files: {
          text: file("text/2.idx"),
          documents: file("text/2.docs"),
          vector: file("vector/2.hnsw"),
          tombstones: file("text/2.live"),
        },
      },
    ],
  }
}

const decode = async (bytes: Uint8Array) => decodeManifest(bytes, "MANIFEST")

/** A manifest with other values and a checksum that fits them. */
const forged = (change: (manifest: Record<string, unknown>) => void): Uint8Array => {
  const manifest = structuredClone(manifestOf(1)) as unknown as Record<string, unknown>
  change(manifest)
  return encodeManifest(manifest as unknown as Manifest)
}

test("a manifest comes back as it was written", async () => {
  const storage = new MemoryStorage()
  await storage.makeDirectory("c")
  for (const generation of [1, 2, 3]) {
    await writeManifest(storage, "c", manifestOf(generation))
    expect(await readManifest(storage, "c")).toEqual(manifestOf(generation))
  }
  expect((await storage.list("c")).map(({ name }) => name)).toEqual(["MANIFEST"])
  expect(JSON.parse(new TextDecoder().decode(await storage.read("c/MANIFEST")))).toMatchObject({ generation: 3 })
})

test("a manifest that is damaged in any byte, or cut anywhere, is CORRUPT", async () => {
  const bytes = encodeManifest(manifestOf(1))
  for (let at = 0; at < bytes.length; at++) {
    for (const mask of [0x01, 0x02, 0x20, 0x80, 0xff]) {
      const flipped = bytes.slice()
      flipped[at]! ^= mask
      expect(await refusalCode(decode(flipped)), `byte ${at}, mask ${mask}`).toBe("CORRUPT")
    }
    expect(await refusalCode(decode(bytes.subarray(0, at)))).toBe("CORRUPT")
  }
  const error = await refusal(decode(bytes.subarray(0, 10)))
  expect(error.place).toBe("MANIFEST")
})

test("a missing manifest is CORRUPT, never an empty collection", async () => {
  const storage = new MemoryStorage()
  await storage.makeDirectory("c")
  const error = await refusal(readManifest(storage, "c"))
  expect(error.code).toBe("CORRUPT")
  expect(error.place).toBe("c/MANIFEST")
  await writeWhole(storage, "c/MANIFEST", new Uint8Array(0))
  expect(await refusalCode(readManifest(storage, "c"))).toBe("CORRUPT")
})

test("a manifest of version 2 is read: it names no graph", async () => {
  const text = new TextDecoder().decode(forged((manifest) => void (manifest["formatVersion"] = 2)))
  expect(text).toContain('{"formatVersion":2,')
  expect(await decode(new TextEncoder().encode(text))).toEqual(manifestOf(1))
})

test("a graph stands in a manifest with its counts, or not at all", async () => {
  const graph = { nodes: 1, edges: 2, deletions: 0 }
  const change = (counts: unknown, hasFile: boolean) =>
    forged((manifest) => {
      const [segment] = manifest["segments"] as [Record<string, unknown> & { files: Record<string, unknown> }]
      if (counts !== undefined) segment["graph"] = counts
      if (hasFile) segment.files["graph"] = file("graph/1.adj")
    })
  expect((await decode(change(graph, true))).segments[0]?.graph).toEqual(graph)
  for (const [counts, hasFile] of [
    [graph, false],
    [undefined, true],
    [{ ...graph, edges: -1 }, true],
    [{ nodes: 1 }, true],
    [null, true],
  ] as const) {
    expect(await refusalCode(decode(change(counts, hasFile))), JSON.stringify(counts)).toBe("CORRUPT")
  }
})

test("another format is refused by its version, with what to do about a newer one and an older one", async () => {
  for (const [version, hint] of [
    [4, /newer/],
    [1, /export the collection/],
  ] as const) {
    const error = await refusal(decode(forged((manifest) => void (manifest["formatVersion"] = version))))
    expect(error.code).toBe("INCOMPATIBLE_VERSION")
    expect(error.message).toContain(`format version ${version}`)
    expect(error.hint).toMatch(hint)
  }
})

test("values that no manifest has are CORRUPT although the checksum fits", async () => {
  type Segment = { id: number; documentCount: number; deletedCount: number; files: Record<string, { path: string }> }
  const segment = (manifest: Record<string, unknown>, place = 0) => (manifest["segments"] as Segment[])[place]!
  const changes: ((manifest: Record<string, unknown>) => void)[] = [
    (manifest) => void (manifest["generation"] = -1),
    (manifest) => void (manifest["generation"] = 1.5),
    (manifest) => void (manifest["collectionId"] = "0123"),
    (manifest) => void (manifest["logs"] = "4"),
    (manifest) => void (manifest["logs"] = []),
    (manifest) => void (manifest["logs"] = [{ number: 4, path: "../4.log" }]),
    (manifest) => {
      const [log] = manifest["logs"] as [object]
      manifest["logs"] = [log, log]
    },
    (manifest) => void delete (manifest["logs"] as { length?: number }[])[0]!.length,
    (manifest) => void ((manifest["logs"] as { length?: number }[])[1]!.length = 32),
    (manifest) => void delete manifest["schema"],
    (manifest) => void (manifest["segments"] = {}),
    (manifest) => void (manifest["segments"] = [null]),
    (manifest) => void (manifest["documentCount"] = 8),
    (manifest) => void (segment(manifest).deletedCount = 11),
    (manifest) => void (segment(manifest).id = 3),
    (manifest) => void (segment(manifest).files["text"]!.path = "../../etc/passwd"),
    (manifest) => void (segment(manifest).files["text"]!.path = "/etc/passwd"),
    (manifest) => void (segment(manifest).files["text"]!.path = ""),
    (manifest) => void (segment(manifest, 1).files["text"]!.path = "text/1.idx"),
    (manifest) => void (segment(manifest).files["text"] = { path: "text/1.idx" }),
    (manifest) => void delete segment(manifest).files["documents"],
  ]
  for (const change of changes) expect(await refusalCode(decode(forged(change))), change.toString()).toBe("CORRUPT")
  expect(await decode(forged(() => {}))).toEqual(manifestOf(1))
  expect(await refusalCode(decode(encodeUtf8('{"formatVersion":2,"checksum":"00000000"')))).toBe("CORRUPT")
})

test("after a crash at any operation of a swap there is the old manifest or the new one", async () => {
  const before = new MemoryStorage()
  await before.makeDirectory("c")
  await writeManifest(before, "c", manifestOf(1))
  const seen = new Set<number>()
  for (let stopAt = 0; stopAt < 8; stopAt++) {
    for (let seed = 0; seed < 40; seed++) {
      const disk = await FaultyStorage.from(before)
      disk.failAt(stopAt, { kind: "stop" })
      let resolved = false
      try {
        await writeManifest(disk, "c", manifestOf(2))
        resolved = true
      } catch {}
      const left = await disk.crash(seed === 0 ? undefined : seed)
      const { generation } = await readManifest(left, "c")
      expect(await readManifest(left, "c")).toEqual(manifestOf(generation))
      if (resolved) expect(generation).toBe(2)
      seen.add(generation)
      // What the crash left is in nobody's way.
      await writeManifest(left, "c", manifestOf(3))
      expect(await readManifest(left, "c")).toEqual(manifestOf(3))
    }
  }
  expect(seen).toEqual(new Set([1, 2]))
})

test("a swap that failed can be tried again", async () => {
  for (let failAt = 0; failAt < 5; failAt++) {
    const disk = new FaultyStorage()
    await writeManifest(disk, "", manifestOf(1))
    disk.failAt(failAt, { kind: "fail", code: "DISK_FULL" })
    expect(await refusalCode(writeManifest(disk, "", manifestOf(2)))).toBe("DISK_FULL")
    expect([1, 2]).toContain((await readManifest(disk, "")).generation)
    await writeManifest(disk, "", manifestOf(2))
    expect((await readManifest(await disk.crash(), "")).generation).toBe(2)
  }
})
