// What the demo says while it works: a line a stage, with its time.

export const write = (/** @type {string} */ text) => process.stdout.write(text)

export const number = (/** @type {number} */ value) => value.toLocaleString("en-US")

const line = (/** @type {string} */ name, /** @type {string} */ detail, /** @type {number} */ milliseconds) =>
  write(`${name.padEnd(18)} ${detail.padEnd(70)} ${(milliseconds / 1000).toFixed(1).padStart(6)} s\n`)

/**
 * Runs one stage and prints its line. The work calls `done` with what came of it, and `progress` on the way: one line
 * that changes on a terminal, a line a quarter elsewhere.
 * @template Result
 * @param {string} name
 * @param {(done: (detail: string) => void, progress: (amount: number, total: number) => void) => Promise<Result>} work
 * @returns {Promise<Result>}
 */
export async function stage(name, work) {
  const started = performance.now()
  let detail = ""
  let shown = 0
  const result = await work(
    (text) => {
      detail = text
    },
    (amount, total) => {
      const step = process.stdout.isTTY ? 1 : 25
      const percent = Math.floor(((amount / total) * 100) / step) * step
      if (percent <= shown || percent >= 100) return
      shown = percent
      write(process.stdout.isTTY ? `\r${name.padEnd(18)} ${percent} %` : `${name.padEnd(18)} ${percent} %\n`)
    },
  )
  if (process.stdout.isTTY) write("\r\x1b[K")
  line(name, detail, performance.now() - started)
  return result
}

stage.total = (/** @type {number} */ milliseconds) => line("Total", "", milliseconds)
