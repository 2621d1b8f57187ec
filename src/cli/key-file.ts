// Keys and passphrases as files that a user names. What they hold is never printed, in an error neither.
import { PrismError } from "../base/errors.ts"
import { chunksOf, readText } from "../base/streams.ts"
import { type Key, parseKey } from "../formats/key.ts"
import type { Context } from "./context.ts"

const KEY_FILE_BYTES_MAX = 64 * 1024

export const KEY_FILE = {
  type: "string",
  valueHint: "FILE",
  description: "File with the key, 64 hex characters; - reads stdin",
} as const

export const PASSPHRASE_FILE = {
  type: "string",
  valueHint: "FILE",
  description: "File whose first line is the passphrase; - reads stdin",
} as const

export interface KeyFiles {
  readonly keyFile: string | undefined
  readonly passphraseFile: string | undefined
}

/** The keys in these files, none where none is named.
 *  @throws PrismError INVALID_KEY, USAGE, FILE_NOT_FOUND, PERMISSION_DENIED, LIMIT_EXCEEDED over 64 KiB */
export async function readKeys(context: Context, { keyFile, passphraseFile }: KeyFiles): Promise<Key[]> {
  const keys: Key[] = []
  if (keyFile !== undefined) keys.push(await readKeyFile(context, keyFile))
  if (passphraseFile !== undefined) keys.push(await readPassphraseFile(context, passphraseFile))
  return keys
}

async function readKeyFile(context: Context, path: string): Promise<Key> {
  const { name, text } = await read(context, path)
  try {
    return parseKey(text)
  } catch (error) {
    if (!(error instanceof PrismError)) throw error
    throw new PrismError(error.code, error.message, { place: name, ...(error.hint && { hint: error.hint }) })
  }
}

async function readPassphraseFile(context: Context, path: string): Promise<Key> {
  const { name, text } = await read(context, path)
  const passphrase = /^[^\r\n]*/.exec(text)![0]
  if (passphrase === "") {
    throw new PrismError("INVALID_KEY", "Passphrase is empty", { place: name, hint: "write it into the first line" })
  }
  return { kind: "passphrase", passphrase }
}

async function read(context: Context, path: string): Promise<{ name: string; text: string }> {
  const { name, stream } = await context.openInput(path)
  return { name, text: await readText(chunksOf(stream), KEY_FILE_BYTES_MAX, name) }
}
