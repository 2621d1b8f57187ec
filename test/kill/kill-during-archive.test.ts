// An archive is there whole or not at all, and so is what it brings: against processes that are killed at a step of their
// export, restore or key rotation. A few steps of each here; `npm run test:kill -- 200` does more.
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs"
import { join, relative } from "node:path"
import { fileURLToPath } from "node:url"
import { expect, test } from "vitest"
import { equalBytes } from "../../src/base/bytes.ts"
import type { ExportOptions } from "../../src/collection/archive/options.ts"
import { Prism } from "../../src/collection/prism.ts"
import { generateKey, parseKey } from "../../src/formats/key.ts"
import { contentOf, documentsOf, exportBytes, fillSmall, openPrism } from "../support/archives.ts"
import { bytesAccess } from "../support/bytes-access.ts"
import { Child } from "../support/process.ts"
import { Random } from "../support/random.ts"
import { runtime, temporaryFolder } from "../support/runtime.ts"

/** Of each command. */
const KILLS = Number(process.env["PRISM_KILLS"] ?? 3)
const SEED = Number(process.env["PRISM_KILL_SEED"] ?? 1)
const CHILD = fileURLToPath(new URL("archive-child.mjs", import.meta.url))
/** A word of every document. */
const MARK = "unmistakable"

const [oldKey, newKey] = [generateKey(), generateKey()]
const keys = [parseKey(oldKey), parseKey(newKey)]

interface Command {
  readonly name: string
  /** File names are relative to the folder of the round. */
  readonly args: readonly string[]
  readonly format: ExportOptions
}

const snapshot: ExportOptions = { format: "snapshot" }
const encrypted: ExportOptions = { encryption: { keys: keys.slice(0, 1) } }
const version1: ExportOptions = { encryption: { keys: keys.slice(0, 1), version: 1 } }

const EXPORT = ["collection", "export", "c", "-d", "data", "-o"]
const RESTORE = ["collection", "restore", "-d", "data", "-i"]
const KEY = ["--key-file", "old.key"]
const COMMANDS: readonly Command[] = [
  { name: "export", args: [...EXPORT, "archive.tar.zst"], format: snapshot },
  { name: "export", args: [...EXPORT, "archive.enc", ...KEY], format: encrypted },
  { name: "restore", args: [...RESTORE, "archive.tar.zst", "-t", "new"], format: snapshot },
  { name: "restore", args: [...RESTORE, "archive.enc", ...KEY, "--replace"], format: encrypted },
  { name: "restore", args: [...RESTORE, "archive.enc", ...KEY, "--merge"], format: version1 },
  { name: "rotate", args: ["key", "rotate", "archive.enc", ...KEY, "--new-key-file", "new.key"], format: encrypted },
  {
    name: "rotate",
    args: ["key", "rotate", "archive.enc", ...KEY, "--new-key-file", "new.key", "--rekey"],
    format: encrypted,
  },
]

const fileOf = ({ args }: Command): string => args.find((arg) => arg.startsWith("archive.")) as string

/** Makes a folder with a data directory, an archive of another state of its collection, and keys. Returns what the archive
 *  holds. */
async function prepare(folder: string, command: Command): Promise<string> {
  mkdirSync(folder)
  await using elsewhere = await openPrism()
  const earlier = await fillSmall(elsewhere, `${MARK} earlier`)
  const archive = await exportBytes(earlier, command.format)
  writeFileSync(join(folder, fileOf(command)), archive)
  writeFileSync(join(folder, "old.key"), oldKey)
  writeFileSync(join(folder, "new.key"), newKey)
  await using prism = await openFolder(folder)
  const collection = await fillSmall(prism, `${MARK} common`)
  await collection.add({ id: "doc-9", fields: { words: `${MARK} ninth`, number: 9 } })
  return await contentOf(earlier)
}

async function openFolder(folder: string): Promise<Prism> {
  return await Prism.openStorage(await runtime.openStorage(join(folder, "data"), { create: true }), runtime)
}

/** Runs a command in another process up to a call; how many there were where it came to its end. */
async function runUntil(folder: string, command: Command, call: number): Promise<number | undefined> {
  const paths = new Set(["data", "old.key", "new.key", fileOf(command)])
  const args = command.args.map((arg) => (paths.has(arg) ? join(folder, arg) : arg))
  await using child = new Child(CHILD, [runtime.name, `${call}`, ...args])
  let text = ""
  for await (const chunk of child.stdout) text += new TextDecoder().decode(chunk)
  const { signal, stderr } = await child.ended()
  if (signal !== null) {
    expect(signal).toBe("SIGKILL")
    return undefined
  }
  const { code, calls } = JSON.parse(text.trim().split("\n").at(-1) as string) as { code: number; calls: number }
  expect({ code, stderr: code === 0 ? "" : stderr }).toEqual({ code: 0, stderr: "" })
  return calls
}

function filesUnder(folder: string): string[] {
  return readdirSync(folder, { recursive: true, encoding: "utf8" })
    .map((name) => join(folder, name))
    .filter((path) => statSync(path).isFile())
}

/** Of an encrypted archive no word is in a file outside of the data directory, and nowhere is it decrypted. */
function checkPlaintext(folder: string): void {
  for (const path of filesUnder(folder)) {
    const bytes = readFileSync(path)
    const name = relative(folder, path)
    const isArchive = bytes.subarray(0, 4).toString("hex") === "28b52ffd" || bytes.includes("metadata.json\0")
    expect(isArchive || (!name.startsWith("data") && bytes.includes(MARK)), name).toBe(false)
  }
}

/** What every collection holds, each of them whole, with nothing left of what was under way. */
async function collectionsOf(folder: string): Promise<Record<string, string[]>> {
  await using prism = await openFolder(folder)
  const contents: Record<string, string[]> = {}
  for (const name of await prism.collectionNames()) {
    const collection = await prism.collection(name)
    await collection.verify()
    // Not its scores, which count what is deleted until segments are merged.
    contents[name] = await documentsOf(collection)
  }
  for (const left of ["staging", "trash"]) expect(readdirSync(join(folder, "data", left))).toEqual([])
  return contents
}

const equals = (one: unknown, other: unknown): boolean => JSON.stringify(one) === JSON.stringify(other)

/** What an archive holds; it is whole. */
async function contentIn(archive: Uint8Array, withKeys = keys): Promise<string> {
  await using prism = await openPrism()
  await prism.restore(bytesAccess(archive), { keys: withKeys })
  return await contentOf(await prism.collection("c"))
}

test.each(COMMANDS)(
  "killed at any step of $args.0 $args.1 $args.2 …",
  async (command) => {
    await using temporary = await temporaryFolder()
    const template = join(temporary.path, "template")
    const archived = await prepare(template, command)
    const earlier = new Uint8Array(readFileSync(join(template, fileOf(command))))
    const copyTo = (name: string): string => {
      const folder = join(temporary.path, name)
      cpSync(template, folder, { recursive: true })
      return folder
    }

    // What is there when nobody kills it.
    const whole = copyTo("whole")
    const calls = (await runUntil(whole, command, 0)) as number
    const before = await collectionsOf(copyTo("before"))
    const after = await collectionsOf(whole)
    const written = await contentIn(new Uint8Array(readFileSync(join(whole, fileOf(command)))))
    if (command.name === "restore") expect(after).not.toEqual(before)
    else expect(after).toEqual(before)
    if (command.name === "export") expect(written).not.toBe(archived)

    const random = new Random(SEED * 1009)
    const seen = { before: 0, after: 0 }
    for (let kill = 0; kill < KILLS; kill++) {
      // Spread over the whole way; where there are more kills than calls, every call comes.
      const call = 1 + Math.min(calls - 1, Math.floor(((kill + random.unit()) / KILLS) * calls))
      const folder = copyTo("killed")
      const place = `call ${call} of ${calls}, seed ${SEED}`
      await runUntil(folder, command, call)
      if (command.format !== snapshot) checkPlaintext(folder)
      const archive = new Uint8Array(readFileSync(join(folder, fileOf(command))))
      const isEarlier = equalBytes(archive, earlier)
      if (!isEarlier) {
        expect(command.name, place).not.toBe("restore")
        expect(await contentIn(archive, command.name === "rotate" ? keys.slice(1) : keys), place).toBe(written)
      }
      const state = await collectionsOf(folder)
      expect(command.name === "restore" ? [before, after] : [before], place).toContainEqual(state)
      const isBefore = command.name === "restore" ? equals(state, before) : isEarlier
      seen[isBefore ? "before" : "after"]++
      rmSync(folder, { recursive: true })
    }
    if (process.env["PRISM_KILLS"]) console.log(JSON.stringify({ command: command.args.join(" "), calls, ...seen }))
  },
  3_600_000,
)
