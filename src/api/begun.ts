import { peek } from "../base/streams.ts"

/** The same answer, once the first bytes of a body that streams are there: what fails before them is an error with a status
 *  of its own, not an answer that breaks off. Rejects with the signal's reason where the client has gone meanwhile. */
export async function begun(answer: Response, signal: AbortSignal): Promise<Response> {
  if (answer.body === null || answer.headers.has("content-length")) return answer
  const { stream } = await peek(answer.body as ReadableStream<Uint8Array>, 1)
  if (signal.aborted) {
    await stream.cancel(signal.reason).catch(() => {})
    throw signal.reason
  }
  return new Response(stream, { status: answer.status, headers: answer.headers })
}
