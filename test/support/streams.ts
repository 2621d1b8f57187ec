/** A stream of the given bytes in chunks of `size`. */
export function streamOf(bytes: Uint8Array, size = 1000): ReadableStream<Uint8Array> {
  let offset = 0
  return new ReadableStream({
    pull(controller) {
      if (offset >= bytes.length) return controller.close()
      controller.enqueue(bytes.slice(offset, offset + size))
      offset += size
    },
  })
}

/** A sink that keeps what is written. `afterFirstChunk` runs before the first write resolves. */
export function collectSink(options: { afterFirstChunk?: () => Promise<void> } = {}) {
  const chunks: Uint8Array[] = []
  let aborted = false
  const stream = new WritableStream<Uint8Array>({
    async write(chunk) {
      chunks.push(chunk.slice())
      if (chunks.length === 1) await options.afterFirstChunk?.()
    },
    abort() {
      aborted = true
    },
  })
  return {
    stream,
    aborted: () => aborted,
    bytes(): Uint8Array {
      const whole = new Uint8Array(chunks.reduce((sum, chunk) => sum + chunk.length, 0))
      let offset = 0
      for (const chunk of chunks) {
        whole.set(chunk, offset)
        offset += chunk.length
      }
      return whole
    },
  }
}

/** The lines of a text file, the last one's end left out. */
export function lines(bytes: Uint8Array): string[] {
  return new TextDecoder().decode(bytes).replace(/\n$/, "").split("\n")
}
