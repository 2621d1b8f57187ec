// Archives of a collection with a graph whose bytes are not what was written.
import { expect, test } from "vitest"
import { exportBytes, openPrism, openSnapshot, packSnapshot } from "./support/archives.ts"
import { fillGraph, graphContentOf } from "./support/graph-archives.ts"
import { streamOf } from "./support/streams.ts"

const source = await fillGraph(await openPrism())
const content = await graphContentOf(source)
/** Each takes some 10 s on a machine that does nothing else. */
const TIMEOUT_MS = 300_000

const archives = {
  portable: await exportBytes(source, { format: "portable" }),
  snapshot: await exportBytes(source, { format: "snapshot" }),
}

test(
  "a portable archive with any byte changed, or cut anywhere, is an error or the same",
  async () => {
    const bytes = archives.portable
    const outcomes = { refused: 0, same: 0 }
    await using prism = await openPrism()
    const check = async (damaged: Uint8Array, what: string) => {
      try {
        await prism.restore(streamOf(damaged), { mode: "replace" })
        expect(await graphContentOf(await prism.collection("c")), what).toBe(content)
        outcomes.same++
      } catch (error) {
        expect(error, what).toMatchObject({ name: "PrismError" })
        outcomes.refused++
      }
    }
    for (let at = 0; at < bytes.length; at++) {
      const flipped = bytes.slice()
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      await check(flipped, `flipped at ${at}`)
      await check(bytes.slice(0, at), `cut at ${at}`)
    }
    expect(outcomes.refused).toBeGreaterThan(bytes.length * 1.9)
  },
  TIMEOUT_MS,
)

test(
  "a snapshot with a byte of a graph changed is found, also by who makes the hashes fit",
  async () => {
    const snapshot = await openSnapshot(archives.snapshot)
    // The one that has deletions.
    const name = "graph/000003.adj"
    const bytes = snapshot.files.get(name) as Uint8Array
    const outcomes = { refused: 0, same: 0 }
    for (let at = 0; at < bytes.length; at++) {
      await using prism = await openPrism()
      const flipped = bytes.slice()
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      snapshot.files.set(name, flipped)
      try {
        await prism.restore(streamOf(await packSnapshot(snapshot)))
        expect(await graphContentOf(await prism.collection("c")), `flipped at ${at}`).toBe(content)
        outcomes.same++
      } catch (error) {
        expect(error, `flipped at ${at}`).toMatchObject({ name: "PrismError" })
        outcomes.refused++
      }
    }
    expect(outcomes.refused).toBeGreaterThan(bytes.length * 0.9)
  },
  TIMEOUT_MS,
)

test(
  "a snapshot with bytes changed, or cut anywhere, is an error or the same",
  async () => {
    const bytes = archives.snapshot
    const outcomes = { refused: 0, same: 0 }
    await using prism = await openPrism()
    const check = async (damaged: Uint8Array, what: string) => {
      try {
        await prism.restore(streamOf(damaged), { mode: "replace" })
        expect(await graphContentOf(await prism.collection("c")), what).toBe(content)
        outcomes.same++
      } catch (error) {
        expect(error, what).toMatchObject({ name: "PrismError" })
        outcomes.refused++
      }
    }
    for (let at = 0; at < bytes.length; at += 13) {
      const flipped = bytes.slice()
      flipped[at] = (flipped[at] as number) ^ (1 << (at % 8))
      await check(flipped, `flipped at ${at}`)
      await check(bytes.slice(0, at), `cut at ${at}`)
    }
    expect(outcomes.refused).toBeGreaterThan((bytes.length / 13) * 1.9)
  },
  TIMEOUT_MS,
)
