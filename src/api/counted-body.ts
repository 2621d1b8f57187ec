import { PrismError } from "../base/errors.ts"

/** The same bytes; `onEnd` is called once, with how many were taken and, where that was not all, why. */
export function countedBody(
  source: ReadableStream<Uint8Array>,
  onEnd: (bytes: number, error?: unknown) => void,
): ReadableStream<Uint8Array> {
  const reader = source.getReader()
  let bytes = 0
  return new ReadableStream<Uint8Array>(
    {
      async pull(controller) {
        try {
          const { done, value } = await reader.read()
          if (done) {
            onEnd(bytes)
            return controller.close()
          }
          bytes += value.length
          controller.enqueue(value)
        } catch (error) {
          onEnd(bytes, error)
          throw error
        }
      },
      async cancel(reason) {
        onEnd(bytes, new PrismError("INTERRUPTED", "the client went away before the end of the answer"))
        await reader.cancel(reason)
      },
    },
    { highWaterMark: 0 },
  )
}
