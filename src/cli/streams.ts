// Small helpers for streams of bytes: read them to the end, look at their beginning, stop when asked to.
import { concatBytes, tryDecodeUtf8 } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { chunksOf, streamOf } from "../base/streams.ts"
import { formatBytes } from "./format.ts"

/** All of a small text. @throws PrismError LIMIT_EXCEEDED, INVALID_FORMAT where it is not UTF-8 */
export async function readText(chunks: AsyncIterable<Uint8Array>, bytesMax: number, name: string): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const chunk of chunks) {
    length += chunk.length
    if (length > bytesMax) {
      throw new PrismError("LIMIT_EXCEEDED", `${name} is longer than ${formatBytes(bytesMax)}`, { place: name })
    }
    parts.push(chunk)
  }
  const text = tryDecodeUtf8(concatBytes(parts))
  if (text === undefined) {
    throw new PrismError("INVALID_FORMAT", `${name} is not text in UTF-8`, { place: name })
  }
  return text.startsWith("\ufeff") ? text.slice(1) : text
}

/** The same stream, which ends with the signal's reason when that is aborted, also while a read waits. */
export function abortable(stream: ReadableStream<Uint8Array>, signal: AbortSignal): ReadableStream<Uint8Array> {
  return streamOf(chunksOf(stream, signal))
}
