// Bytes as async iterables: of Web streams, which some runtimes cannot iterate, and back; of files; of a piece.
import type { RandomAccess } from "../runtime.ts"
import { concatBytes, tryDecodeUtf8 } from "./bytes.ts"
import { type ErrorCode, PrismError } from "./errors.ts"

const LINE_FEED = 0x0a

/** The chunks of a stream. Aborting ends a read that waits (for a pipe, a terminal) at once, with the signal's reason;
 *  leaving the loop early cancels the stream. */
export async function* chunksOf(stream: ReadableStream<Uint8Array>, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
  const reader = stream.getReader()
  const cancel = () => void reader.cancel(signal?.reason).catch(() => {})
  signal?.throwIfAborted()
  signal?.addEventListener("abort", cancel)
  try {
    for (;;) {
      const { done, value } = await reader.read()
      signal?.throwIfAborted()
      if (done) return
      yield value
    }
  } finally {
    signal?.removeEventListener("abort", cancel)
    await reader.cancel().catch(() => {})
  }
}

/** The chunks as a stream, each made when it is asked for; cancelling it ends the generator. */
export function streamOf(chunks: AsyncIterable<Uint8Array>): ReadableStream<Uint8Array> {
  const iterator = chunks[Symbol.asyncIterator]()
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        const { done, value } = await iterator.next()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      async cancel() {
        await iterator.return?.()
      },
    },
    { highWaterMark: 0 },
  )
}

/** All of a text, without a byte order mark. `name` is what messages call it.
 *  @throws PrismError LIMIT_EXCEEDED, and `code` where it is not UTF-8 */
export async function readText(
  chunks: AsyncIterable<Uint8Array>,
  bytesMax: number,
  name: string,
  code: ErrorCode = "INVALID_FORMAT",
): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const chunk of chunks) {
    length += chunk.length
    if (length > bytesMax) {
      throw new PrismError("LIMIT_EXCEEDED", `${name} is longer than ${bytesMax} bytes`, { place: name })
    }
    parts.push(chunk)
  }
  const text = tryDecodeUtf8(concatBytes(parts))
  if (text === undefined) throw new PrismError(code, `${name} is not text in UTF-8`, { place: name })
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
  reader.releaseLock()
  return { head, stream: tapped(stream, { before: seen }) }
}

/** How a stream came to its end. */
export type StreamEnd =
  | { readonly outcome: "whole"; readonly bytes: number }
  | { readonly outcome: "failed"; readonly bytes: number; readonly error: unknown }
  | { readonly outcome: "cancelled"; readonly bytes: number }

interface Tap {
  /** Chunks that come before those of the stream. */
  readonly before?: Uint8Array[]
  /** Called once, at the end, before who reads knows of it. `bytes`: those that were taken. */
  readonly onEnd?: (end: StreamEnd) => void
  /** Called when the stream begins to wait for who reads it; what it returns, when that waiting ends. */
  readonly onWait?: () => () => void
  /** Aborting fails the stream with the signal's reason, also while a read waits, and cancels its source. */
  readonly signal?: AbortSignal
  /** Whether only `onEnd` is told of a failure: who reads waits on, until it cancels. */
  readonly hidesFailure?: boolean
}

/** The same bytes, each chunk taken when it is asked for. A source that fails is noticed also while nobody reads. */
export function tapped(
  source: ReadableStream<Uint8Array>,
  { before = [], onEnd, onWait, signal, hidesFailure = false }: Tap,
): ReadableStream<Uint8Array> {
  const reader = source.getReader()
  let bytes = 0
  let hasEnded = false
  let fail: (error: unknown) => void
  let stopWaiting: (() => void) | undefined
  const abort = () => {
    fail(signal?.reason)
    void reader.cancel(signal?.reason).catch(() => {})
  }
  /** False where it had ended before. */
  const end = (how: StreamEnd): boolean => {
    if (hasEnded) return false
    hasEnded = true
    stopWaiting?.()
    signal?.removeEventListener("abort", abort)
    onEnd?.(how)
    return true
  }
  return new ReadableStream<Uint8Array>(
    {
      start(controller) {
        fail = (error) => {
          if (end({ outcome: "failed", bytes, error }) && !hidesFailure) controller.error(error)
        }
        stopWaiting = onWait?.()
        reader.closed.catch(fail)
        signal?.addEventListener("abort", abort)
        if (signal?.aborted) abort()
      },
      async pull(controller) {
        stopWaiting?.()
        stopWaiting = undefined
        try {
          const first = before.shift()
          const { done, value } = first ? { done: false, value: first } : await reader.read()
          if (done) return void (end({ outcome: "whole", bytes }) && controller.close())
          if (hasEnded) return
          bytes += (value as Uint8Array).length
          controller.enqueue(value as Uint8Array)
          stopWaiting = onWait?.()
        } catch (error) {
          fail(error)
        }
      },
      async cancel(reason) {
        end({ outcome: "cancelled", bytes })
        await reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
}

/** Read at once of a file. */
const READ_BYTES = 1024 * 1024

interface Part {
  readonly offset?: number
  readonly end?: number
  /** Bytes that are read at once. */
  readonly step?: number
  readonly signal?: AbortSignal | undefined
}

/** The bytes of a file, or a part of it, one after the other. Aborting ends it before the next read. */
export async function* sequential(
  file: RandomAccess,
  { offset = 0, end = file.size, step = READ_BYTES, signal }: Part = {},
): AsyncGenerator<Uint8Array> {
  for (let at = offset; at < end; at += step) {
    signal?.throwIfAborted()
    yield await file.read(at, Math.min(step, end - at))
  }
}

export async function* once(bytes: Uint8Array): AsyncGenerator<Uint8Array> {
  yield bytes
}
