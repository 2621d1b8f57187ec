// Small helpers for streams of bytes: read them to the end, look at their beginning, stop when asked to.
import { concatBytes, tryDecodeUtf8 } from "../base/bytes.ts"
import { PrismError } from "../base/errors.ts"
import { chunksOf, streamOf } from "../base/streams.ts"
import { formatBytes } from "./format.ts"

const LINE_FEED = 0x0a

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

/** The first bytes of a stream, and the whole stream as if nobody had looked. Fewer than `length` where the stream is
 *  shorter, or where a line ended: a pipe that brings one short line now and the next one later is not waited for. */
export async function peek(
  stream: ReadableStream<Uint8Array>,
  length: number,
): Promise<{ head: Uint8Array; stream: ReadableStream<Uint8Array> }> {
  const reader = stream.getReader()
  const seen: Uint8Array[] = []
  let seenLength = 0
  while (seenLength < length) {
    const { done, value } = await reader.read()
    if (done) break
    seen.push(value)
    seenLength += value.length
    if (value.includes(LINE_FEED)) break
  }
  const head = concatBytes(seen).subarray(0, length)
  const whole = new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const first = seen.shift()
        if (first !== undefined) return controller.enqueue(first)
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
  return { head, stream: whole }
}

/** The same stream, which ends with the signal's reason when that is aborted, also while a read waits. */
export function abortable(stream: ReadableStream<Uint8Array>, signal: AbortSignal): ReadableStream<Uint8Array> {
  return streamOf(chunksOf(stream, signal))
}
