// Archives that were damaged or made by somebody who means harm, against the whole way in: an error, or the same content
// as before; never other content, and nothing left of it.
import { beforeAll, describe, expect, test } from "vitest"
import { concatBytes, decodeUtf8 } from "../../src/base/bytes.ts"
import { PrismError } from "../../src/base/errors.ts"
import type { ExportOptions, RestoreOptions } from "../../src/collection/archive/options.ts"
import { viewArchive } from "../../src/collection/archive/view-archive.ts"
import type { Prism } from "../../src/collection/prism.ts"
import { HEADER_BYTES } from "../../src/formats/encrypted-header.ts"
import { generateKey, parseKey } from "../../src/formats/key.ts"
import type { ReadableFile } from "../../src/storage/storage.ts"
import { contentOf, documentsOf, exportBytes, fillSmall, openPrism, treeOf } from "../support/archives.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import { LastingStorage } from "../support/lasting-storage.ts"
import { Random } from "../support/random.ts"
import { runtime } from "../support/runtime.ts"
import { streamOf } from "../support/streams.ts"

const keys = [parseKey(generateKey())]

const FORMATS = {
  portable: { format: "portable" },
  snapshot: { format: "snapshot" },
  "encrypted, version 2": { encryption: { keys } },
  "encrypted, version 1": { encryption: { keys, version: 1 } },
} as const satisfies Record<string, ExportOptions>

/** One of so many damaged archives is restored too, even where verify refused it. */
const RESTORE_EVERY = 61

interface Sample {
  readonly archive: Uint8Array
  /** Of another collection, under the same key. */
  readonly foreign: Uint8Array
  /** What a restore of it holds. Scores differ: a portable archive has no deleted documents, which count in statistics. */
  readonly content: string
}

const samples = new Map<string, Sample>()
/** Of every sample, as lines of a portable archive. */
let documents: string[] = []

beforeAll(async () => {
  await using prism = await openPrism()
  await using other = await openPrism()
  const [collection, foreign] = [await fillSmall(prism), await fillSmall(other, "foreign")]
  documents = await documentsOf(collection)
  for (const [name, options] of Object.entries(FORMATS)) {
    const archive = await exportBytes(collection, options)
    await using copy = await openPrism()
    await copy.restore(bytesAccess(archive), { keys })
    const content = await contentOf(await copy.collection("c"))
    samples.set(name, { archive, foreign: await exportBytes(foreign, options), content })
  }
})

function sample(format: keyof typeof FORMATS): Sample {
  return samples.get(format) as Sample
}

/** Whatever is no PrismError fails the test. */
async function isRefused(call: Promise<unknown>): Promise<boolean> {
  try {
    await call
    return false
  } catch (error) {
    if (error instanceof PrismError) return true
    throw error
  }
}

function same(found: unknown, expected: unknown): void {
  expect(found).toEqual(expected)
}

/** A Prism with a collection that every attack is aimed at. */
class Target implements AsyncDisposable {
  #storage = new LastingStorage()
  #prism: Prism | undefined
  #before = ""

  async #open(): Promise<Prism> {
    if (this.#prism) return this.#prism
    this.#storage = new LastingStorage()
    this.#prism = await openPrism(this.#storage)
    await fillSmall(this.#prism, "precious")
    this.#before = await treeOf(this.#storage, "collections")
    return this.#prism
  }

  async passes(archive: Uint8Array): Promise<boolean> {
    const prism = await this.#open()
    return !(await isRefused(prism.verify(bytesAccess(archive), { keys })))
  }

  /** Restores over the collection that is there; half of the archives come as a stream. Where that is refused, which is
   *  false, nothing has changed; where it is not, the content must be what was exported. */
  async restore(archive: Uint8Array, content: string, options: RestoreOptions = {}): Promise<boolean> {
    const prism = await this.#open()
    const source = archive.length % 2 === 0 ? streamOf(archive) : bytesAccess(archive)
    const refused = await isRefused(prism.restore(source, { keys, mode: "replace", ...options }))
    same(await this.#storage.list("staging"), [])
    if (refused) {
      same(await treeOf(this.#storage, "collections"), this.#before)
      return false
    }
    same(await contentOf(await prism.collection("c")), content)
    await this[Symbol.asyncDispose]()
    return true
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#prism?.close()
    this.#prism = undefined
  }
}

/** Every archive is verified; those that pass are restored and looked into, and so are some of the others. */
class Attack implements AsyncDisposable {
  refused = 0
  harmless = 0
  readonly #target = new Target()
  readonly #content: string

  constructor({ content }: Sample) {
    this.#content = content
  }

  async with(archive: Uint8Array): Promise<void> {
    const passes = await this.#target.passes(archive)
    if (passes) this.harmless++
    else this.refused++
    if (!passes && (this.refused + this.harmless) % RESTORE_EVERY !== 0) return
    same(await this.#target.restore(archive, this.#content), passes)
    await lookInto(archive)
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#target[Symbol.asyncDispose]()
  }
}

/** A look reads parts alone, so that it may miss damage elsewhere; what it shows is right. */
async function lookInto(archive: Uint8Array): Promise<void> {
  const read = async () => {
    await using view = await viewArchive(bytesAccess(archive), keys, runtime)
    const found: string[] = []
    for await (const line of view.documents()) found.push(decodeUtf8(line))
    return found
  }
  try {
    expect(await read()).toEqual(documents)
  } catch (error) {
    if (!(error instanceof PrismError)) throw error
  }
}

describe.each(Object.keys(FORMATS) as (keyof typeof FORMATS)[])("an archive, %s,", (format) => {
  const isEncrypted = format.startsWith("encrypted")

  test("with any byte changed is an error or has the same content", async () => {
    const { archive } = sample(format)
    const random = new Random(1)
    await using attack = new Attack(sample(format))
    for (let at = 0; at < archive.length; at++) {
      const damaged = archive.slice()
      damaged[at] = (damaged[at] as number) ^ (1 + random.below(255))
      await attack.with(damaged)
    }
    console.log(`${format}: of ${archive.length} changed bytes ${attack.refused} were refused`)
    if (isEncrypted) expect(attack.harmless).toBe(0)
    expect(attack.refused).toBeGreaterThan(0.9 * archive.length)
  })

  test("cut anywhere is an error or has the same content", async () => {
    const { archive } = sample(format)
    await using attack = new Attack(sample(format))
    for (let length = 0; length < archive.length; length++) await attack.with(archive.slice(0, length))
    console.log(`${format}: of ${archive.length} lengths ${attack.refused} were refused`)
    // Of a portable archive the last line may have no end, of a snapshot the table of frames may be missing.
    expect(attack.harmless).toBe(isEncrypted ? 0 : 1)
  })

  test("with parts exchanged, doubled, dropped or of another archive is an error or has the same content", async () => {
    const { archive, foreign } = sample(format)
    const [parts, others] = [partsOf(archive, format), partsOf(foreign, format)]
    await using attack = new Attack(sample(format))
    for (let at = 0; at < parts.length; at++) {
      const part = parts[at] as Uint8Array
      const [before, after] = [parts.slice(0, at), parts.slice(at + 1)]
      await attack.with(concatBytes([...before, ...after]))
      await attack.with(concatBytes([...before, part, part, ...after]))
      for (const other of others) await attack.with(concatBytes([...before, other, ...after]))
      for (let to = at + 1; to < parts.length; to++) {
        const swapped = parts.slice()
        swapped[at] = parts[to] as Uint8Array
        swapped[to] = part
        await attack.with(concatBytes(swapped))
      }
    }
    await attack.with(concatBytes([archive, archive]))
    await attack.with(concatBytes([archive, foreign]))
    console.log(`${format}: of ${attack.refused + attack.harmless} splices ${attack.refused} were refused`)
    expect(attack.refused).toBeGreaterThan(parts.length)
  })
})

/** Knows which of its files are open to be read. */
class CountingStorage extends LastingStorage {
  readonly opened = new Set<ReadableFile>()

  override async open(path: string): Promise<ReadableFile> {
    const file = await super.open(path)
    const { opened } = this
    const close = async () => {
      opened.delete(counted)
      await file.close()
    }
    const counted: ReadableFile = {
      path,
      size: file.size,
      read: (offset, length) => file.read(offset, length),
      close,
      [Symbol.asyncDispose]: close,
    }
    opened.add(counted)
    return counted
  }
}

test.each(Object.keys(FORMATS) as (keyof typeof FORMATS)[])(
  "a restore closes what it opens, also where it is refused: %s",
  async (format) => {
    const { archive } = sample(format)
    const storage = new CountingStorage()
    await using prism = await openPrism(storage)
    for (const at of [60, archive.length >> 1, archive.length - 20]) {
      const damaged = archive.slice()
      damaged[at] = (damaged[at] as number) ^ 1
      expect(await isRefused(prism.restore(streamOf(damaged), { keys }))).toBe(true)
      expect([...storage.opened].map(({ path }) => path)).toEqual([])
    }
    await prism.restore(streamOf(archive), { keys })
    await (await prism.collection("c")).close()
    expect([...storage.opened].map(({ path }) => path)).toEqual([])
  },
)

/** Lines, frames with the table of them, or header and payload. */
function partsOf(archive: Uint8Array, format: keyof typeof FORMATS): Uint8Array[] {
  const parts: Uint8Array[] = []
  let start = 0
  const cut = (end: number) => {
    parts.push(archive.slice(start, end))
    start = end
  }
  if (format === "portable") {
    for (let at = 0; at < archive.length; at++) if (archive[at] === 0x0a) cut(at + 1)
  } else if (format === "snapshot") {
    // The table's layout stands in src/formats/seekable-zstd.ts.
    const view = new DataView(archive.buffer, archive.byteOffset, archive.length)
    const count = view.getUint32(archive.length - 9, true)
    const table = archive.length - 9 - 8 * count
    for (let frame = 0; frame < count; frame++) cut(start + view.getUint32(table + 8 * frame, true))
  } else cut(format.endsWith("1") ? 17 : HEADER_BYTES)
  if (start < archive.length) cut(archive.length)
  return parts
}
