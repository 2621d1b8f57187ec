/** As long as work may keep the event loop to itself: below what a person notices, far above what a turn costs. */
const TURN_MS = 10

let turnBegan = 0

/** Called between the pieces of long work: where the last turn of the event loop is long ago, timers, signals and other
 *  requests get theirs. Promises alone never do that when nothing waits for a device. */
export async function letOthersRun(): Promise<void> {
  if (performance.now() - turnBegan < TURN_MS) return
  await new Promise((resolve) => setTimeout(resolve, 0))
  turnBegan = performance.now()
}
