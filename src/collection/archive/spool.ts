import { joinPath } from "../../storage/path.ts"
import type { ReadableFile, Storage } from "../../storage/storage.ts"

/** Keeps bytes that come as a stream in a new folder, to be read at any place. The folder goes with what is staged. */
export async function spool(
  storage: Storage,
  directory: string,
  bytes: AsyncIterable<Uint8Array>,
): Promise<ReadableFile> {
  await storage.makeDirectory(directory)
  const path = joinPath(directory, "archive")
  await using file = await storage.create(path)
  for await (const chunk of bytes) await file.append(chunk)
  return await storage.open(path)
}
