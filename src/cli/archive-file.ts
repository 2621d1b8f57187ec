// Archives as files that a user names: opened at any place where they can be, and told from others.
import { PrismError } from "../base/errors.ts"
import { peek } from "../base/streams.ts"
import { archiveKind, HEAD_BYTES } from "../collection/archive/open-archive.ts"
import type { ArchiveSource } from "../collection/archive/options.ts"
import type { Context } from "./context.ts"

export interface ArchiveFile extends AsyncDisposable {
  /** As messages call it. */
  readonly name: string
  readonly source: ArchiveSource
  /** In bytes, where it is known. */
  readonly size: number | undefined
}

/** The archive in a file, or in stdin for "-". @throws PrismError INVALID_FORMAT for what begins as nothing of ours */
export async function openArchiveFile(context: Context, path: string): Promise<ArchiveFile> {
  const file = path === "-" ? undefined : await context.runtime.files.open(path)
  if (file) {
    try {
      checkKind(await file.read(0, Math.min(HEAD_BYTES, file.size)), path)
      const close = () => file[Symbol.asyncDispose]()
      return { name: path, source: file, size: file.size, [Symbol.asyncDispose]: close }
    } catch (error) {
      await file[Symbol.asyncDispose]()
      throw error
    }
  }
  const input = await context.openInput(path)
  const { head, stream } = await peek(input.stream, HEAD_BYTES)
  const close = async () => await stream.cancel().catch(() => {})
  try {
    checkKind(head, input.name)
    return {
      name: input.name,
      source: stream,
      size: input.size,
      [Symbol.asyncDispose]: async () => {
        // Whoever reads it lets go of it himself.
        if (!stream.locked) await close()
      },
    }
  } catch (error) {
    await close()
    throw error
  }
}

function checkKind(head: Uint8Array, name: string): void {
  try {
    archiveKind(head)
  } catch (error) {
    if (!(error instanceof PrismError)) throw error
    const { code, message, hint } = error
    throw new PrismError(code, message.replace(/^the file/, name), { place: name, ...(hint !== undefined && { hint }) })
  }
}
