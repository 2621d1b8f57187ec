// Checks of the scripts here: each is told as it ends, and the last line counts them, as .ci/run reads it.

let passed = 0
let failed = 0

/**
 * @param {string} name
 * @param {() => unknown} work throws, or rejects, where the promise is not kept
 */
export async function check(name, work) {
  try {
    await work()
    passed++
    process.stdout.write(`ok    ${name}\n`)
  } catch (error) {
    failed++
    const what = String(error instanceof Error ? error.message : error)
    process.stdout.write(`FAIL  ${name}\n${what.replace(/^/gm, "      ")}\n`)
  }
}

/** Says how many there were; the process ends with 1 where one failed. */
export function finishChecks() {
  process.stdout.write(`${passed} passed, ${failed} failed\n`)
  if (failed > 0) process.exitCode = 1
}
