import type { ExportReport } from "./options.ts"

/** Writes what an export gives into a sink: closes it when the archive is whole, aborts it on an error. */
export async function writeArchive(
  chunks: AsyncGenerator<Uint8Array, ExportReport>,
  sink: WritableStream<Uint8Array>,
  signal: AbortSignal | undefined,
): Promise<ExportReport> {
  const writer = sink.getWriter()
  try {
    let chunk = await chunks.next()
    for (; !chunk.done; chunk = await chunks.next()) await writer.write(chunk.value)
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
