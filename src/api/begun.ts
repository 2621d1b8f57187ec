/** The same answer, once the first bytes of a body that streams are there: what fails before them is an error with a status
 *  of its own, not an answer that breaks off. Rejects with the signal's reason where the client has gone meanwhile. */
export async function begun(answer: Response, signal: AbortSignal): Promise<Response> {
  if (answer.body === null || answer.headers.has("content-length")) return answer
  const reader = (answer.body as ReadableStream<Uint8Array>).getReader()
  const first = await reader.read()
  if (signal.aborted) {
    await reader.cancel(signal.reason).catch(() => {})
    throw signal.reason
  }
  const body = new ReadableStream<Uint8Array>(
    {
      start(controller) {
        if (first.done) controller.close()
        else controller.enqueue(first.value)
      },
      async pull(controller) {
        const { done, value } = await reader.read()
        if (done) controller.close()
        else controller.enqueue(value)
      },
      cancel: (reason) => reader.cancel(reason),
    },
    { highWaterMark: 0 },
  )
  return new Response(body, { status: answer.status, headers: answer.headers })
}
