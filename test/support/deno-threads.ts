// A program for Deno: frames by its codec, of which it prints as JSON how many threads they took and whether they come back.
import { encodeUtf8, equalBytes } from "../../src/base/bytes.ts"
import { zstd } from "../../src/runtime-deno/zstd.ts"

let threads = 0
globalThis.Worker = class extends Worker {
  constructor(url: string | URL, options?: WorkerOptions) {
    super(url, options)
    threads++
  }
}

/** Whether several frames of so many bytes, made side by side, hold what they should. */
async function comesBack(length: number): Promise<boolean> {
  const contents = Array.from({ length: 6 }, (_, place) =>
    encodeUtf8(`frame ${place} `.repeat(length)).slice(0, length),
  )
  const frames = await Promise.all(contents.map((content) => zstd.compress(content)))
  const back = await Promise.all(frames.map((frame) => zstd.decompress(frame, length)))
  return back.every((content, place) => equalBytes(content, contents[place]!))
}

const small = { isWell: await comesBack(1000), threads }
const large = { isWell: await comesBack(1024 * 1024), threads }
console.log(JSON.stringify({ small, large }))
// Nothing is closed: threads without work must not keep the process.
