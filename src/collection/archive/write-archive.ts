/** Writes what an export gives into a sink: closes it when the archive is whole, aborts it on an error. */
export async function writeArchive<Report>(
  chunks: AsyncGenerator<Uint8Array, Report>,
  sink: WritableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<Report> {
  const writer = sink.getWriter()
  try {
    let chunk = await chunks.next()
    for (; !chunk.done; chunk = await chunks.next()) {
      signal?.throwIfAborted()
      await writer.write(chunk.value)
    }
    signal?.throwIfAborted()
    await writer.close()
    return chunk.value
  } catch (error) {
    await writer.abort(error).catch(() => {})
    // What is under way in other threads comes to its end.
    await chunks.return(undefined as never).catch(() => {})
    throw error
  }
}
